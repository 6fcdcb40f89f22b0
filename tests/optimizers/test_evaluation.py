"""Weights for evaluation, closures, and rules that ask for w or do a stage themselves."""

import functools
import threading

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.optimizers import (
    EMA,
    SGD,
    Adam,
    AdamW,
    Lion,
    Optimizer,
    Parameter,
    RMSprop,
    Wrapper,
    get,
    register,
)


class Average(Optimizer):
    """u = g; the mean of all weights so far is evaluated."""

    share: float = 1.0

    def init(self, w):
        return {"sum": np.zeros_like(w)}

    def direction(self, g, slots, *, w, lr):
        slots["sum"] += w - lr * g
        return g

    def evaluation_weight(self, w, slots, *, t, share):
        return share * slots["sum"] / t


def parameter(*values, dtype=float):
    return Parameter(np.array(values, dtype))


def take_steps(optimizer, n=1):
    for _ in range(n):
        for p in optimizer.parameters.values():
            p.grad = np.ones_like(p.data)
        optimizer.step()


# ---- Weights for evaluation ----


def test_evaluating_puts_other_weights_in_place_and_restores_the_bits():
    p, frozen = parameter(0.1, 0.7), parameter(5.0)
    optimizer = Average([p, frozen], lr=0.3)
    p.grad = np.ones(2)
    optimizer.step()
    p.grad = np.ones(2)
    optimizer.step()
    data, before = p.data, p.data.copy()
    with optimizer.evaluating():
        np.testing.assert_allclose(p.data, [0.1 - 0.45, 0.7 - 0.45], rtol=1e-14)
        assert frozen.data.tolist() == [5.0]  # never updated: nothing was averaged
    assert p.data is data
    assert p.data.tobytes() == before.tobytes()


def test_evaluating_inside_evaluating_changes_nothing_more():
    class Shifted(Optimizer):
        def direction(self, g, slots):
            return g

        def evaluation_weight(self, w, slots):
            return w + 1

    p = parameter(1.0)
    optimizer = Shifted([p], lr=1.0)
    take_steps(optimizer)
    with optimizer.evaluating(), optimizer.evaluating():
        assert p.data == 1.0
    assert p.data == 0.0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_evaluating_restores_the_weights_after_any_error(error):
    p = parameter(1.0)
    optimizer = Average([p], lr=0.5)
    take_steps(optimizer, 3)
    before = p.data.copy()
    with pytest.raises(error), optimizer.evaluating():
        assert p.data != before
        raise error
    assert p.data == before
    take_steps(optimizer)  # and training goes on


def test_a_rule_that_writes_into_w_while_evaluating_changes_nothing():
    class Doubles(Optimizer):
        def direction(self, g, slots):
            return g

        def evaluation_weight(self, w, slots):
            w *= 2
            return w

    p = parameter(1.0)
    optimizer = Doubles([p], lr=0.0)
    take_steps(optimizer)
    with optimizer.evaluating():
        assert p.data == 2.0
    assert p.data == 1.0


def test_evaluation_ends_also_if_the_weights_cannot_be_restored():
    p = parameter(1.0)
    optimizer = Average([p])
    take_steps(optimizer)
    p.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optimizer.evaluating().__enter__()
    p.data.flags.writeable = True
    take_steps(optimizer)


def test_a_thread_that_evaluates_waits_for_a_custom_step():
    class Perturbs(Wrapper):
        def step(self, closure=None):
            w, _ = next(self.weights())
            w += 1
            closure()
            w -= 1
            return self.inner.step(lambda: None)

    p = parameter(1.0)
    optimizer = Perturbs(Average([p], lr=0.0))
    take_steps(optimizer.inner)
    done = threading.Event()

    def evaluate():
        with optimizer.evaluating():
            done.set()

    thread = threading.Thread(target=evaluate)

    def closure():
        thread.start()
        assert not done.wait(0.05)
        p.grad = np.ones(1)

    optimizer.step(closure)
    thread.join(10)
    assert done.is_set() and p.data == 1.0


def test_evaluating_uses_the_hyperparameters_of_each_group():
    p, q = parameter(1.0), parameter(1.0)
    optimizer = Average([{"params": [p], "share": 0.5}, {"params": [q]}], lr=0.5)
    take_steps(optimizer)
    with optimizer.evaluating():
        assert (p.data, q.data) == (0.25, 0.5)


def test_most_optimizers_evaluate_their_weights():
    for name in ("sgd", "adam"):
        p = parameter(1.0)
        optimizer = get(name, [p])
        take_steps(optimizer)
        assert optimizer.evaluation_weights() == {}
        before = p.data.copy()
        with optimizer.evaluating():
            assert p.data == before
            take_steps(optimizer)  # nothing forbids it


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("step", lambda optimizer, state: take_steps(optimizer)),
        ("state_dict", lambda optimizer, state: optimizer.state_dict()),
        ("load_state_dict", lambda optimizer, state: optimizer.load_state_dict(state)),
    ],
)
@pytest.mark.parametrize("make", [Average, lambda params: EMA(SGD(params))])
def test_what_needs_the_training_weights_is_refused_while_evaluating(make, method, call):
    optimizer = make([parameter(1.0)])
    take_steps(optimizer)
    state, message = optimizer.state_dict(), rf"{method}\(\) needs the training weights; call it"
    with optimizer.evaluating(), pytest.raises(RuntimeError, match=message):
        call(optimizer, state)
    assert optimizer.steps == 1


@pytest.mark.parametrize("make", [Average, lambda p: EMA(Adam(p), decay=0.5)])
@pytest.mark.parametrize("is_tensor", [False, True])
def test_averages_start_anew_at_weights_that_replace_the_trained_ones(make, is_tensor):
    t = parameter(1.0, 2.0)
    t = Tensor(t.data, requires_grad=True) if is_tensor else t
    optimizer = make([t])
    take_steps(optimizer, 2)
    t.data[...] = 7.0
    optimizer.forget_weights()
    with optimizer.evaluating():
        assert t.data.tolist() == [7.0, 7.0]
    take_steps(optimizer)
    with optimizer.evaluating():
        assert np.all(np.abs(t.data - 7) < 0.01)


def test_averages_start_anew_at_the_first_weights_too():
    class Around(Wrapper):
        pass

    p, q = parameter(3.0), parameter(3.0)
    optimizer, fresh = Around(Average([p], lr=0.5)), Around(Average([q], lr=0.5))
    take_steps(optimizer, 2)
    p.data[...] = 3.0
    optimizer.forget_weights()
    take_steps(optimizer)
    take_steps(fresh)
    assert optimizer.slots["0"]["sum"] == fresh.slots["0"]["sum"]
    assert optimizer.updates == {"0": 1}


def test_a_state_saved_after_the_weights_were_replaced_starts_anew_too():
    p, q = parameter(1.0), parameter(50.0)
    optimizer, resumed = Average([p], lr=0.1), Average([q], lr=0.1)
    take_steps(optimizer, 3)
    p.data[...] = 50.0
    optimizer.forget_weights()
    resumed.load_state_dict(optimizer.state_dict())
    take_steps(optimizer)
    take_steps(resumed)
    assert optimizer.slots["0"]["sum"] == resumed.slots["0"]["sum"] == 49.9


def test_rules_without_weights_for_evaluation_forget_nothing():
    p = parameter(1.0)
    optimizer = Adam([p])
    take_steps(optimizer, 2)
    optimizer.forget_weights()
    assert optimizer.updates == {"0": 2}


def test_constraints_and_other_writers_leave_the_average_alone():
    p, q = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer, other = EMA(SGD([p], lr=0.1), decay=0.5), EMA(SGD([q], lr=0.1), decay=0.5)
    for _ in range(3):
        take_steps(optimizer)
        take_steps(other)
        p.data = np.clip(p.data, -5, 5)
        p.version += 1
    with optimizer.evaluating(), other.evaluating():
        assert p.data.tolist() == q.data.tolist()


def test_a_loaded_state_evaluates_the_weights_that_come_with_it():
    t, other = (Tensor(np.array([1.0]), requires_grad=True) for _ in range(2))
    optimizer, resumed = Average([t], lr=0.5), Average([other], lr=0.5)
    take_steps(optimizer, 2)
    resumed.load_state_dict(optimizer.state_dict())
    other.data[...] = t.data
    other.version += 1
    with optimizer.evaluating(), resumed.evaluating():
        assert t.data == other.data == 0.25


def test_a_loss_from_inside_has_no_gradient_outside():
    t = Tensor(np.array([1.0]), requires_grad=True)
    optimizer = Average([t], lr=0.5)
    take_steps(optimizer, 2)
    with optimizer.evaluating():
        inside = np.sum(t**3)
    with pytest.raises(RuntimeError, match="compute the loss again"):
        inside.backward()


@pytest.mark.parametrize("make", [Average, lambda p: EMA(SGD(p))])
def test_threads_that_evaluate_or_step_wait_for_each_other(make):
    p = parameter(1.0)
    optimizer = make([p])
    take_steps(optimizer, 3)
    with optimizer.evaluating():
        evaluated = p.data.copy()
    training = p.data.copy()
    seen, inside, go_on = [], threading.Event(), threading.Event()

    def evaluate():
        with optimizer.evaluating():
            inside.set()
            go_on.wait(10)
            seen.append(p.data.copy())

    def step():
        def closure():
            seen.append(p.data.copy())
            p.grad = np.ones(1)

        optimizer.step(closure)

    first, second, third = (threading.Thread(target=f) for f in (evaluate, evaluate, step))
    first.start()
    inside.wait(10)
    second.start()
    second.join(0.05)
    go_on.set()
    first.join(10)
    second.join(10)
    assert seen == [evaluated, evaluated]
    third.start()
    third.join(10)
    assert seen[2] == training
    assert optimizer.steps == 4


# ---- Closures ----


@pytest.mark.parametrize("make", [SGD, lambda p: EMA(SGD(p))])
def test_step_calls_the_closure_and_returns_its_result(make):
    p = parameter(1.0)
    optimizer = make([p])

    def closure():
        p.grad = np.ones(1)
        return "the loss", 3

    assert optimizer.step(closure) == ("the loss", 3)
    assert optimizer.steps == 1
    assert optimizer.step() is None
    with pytest.raises(TypeError, match=r"SGD: call step\(closure\), .* received 3"):
        optimizer.step(3)


def test_a_closure_keeps_numpys_warnings():
    p = parameter(1.0)

    def closure():
        p.grad = np.ones(1)
        return np.log(np.zeros(1))

    with pytest.raises(RuntimeWarning, match="divide by zero"):
        SGD([p]).step(closure)
    assert p.data == 1.0


def test_a_rule_can_need_a_closure():
    class Twice(Optimizer):
        """u = the sum of two gradients."""

        needs_closure = True

        def step(self, closure=None):
            loss = self.run_closure(closure)
            closure()
            super().step(lambda: None)
            return loss

        def direction(self, g, slots):
            return g

    p = parameter(1.0)

    def closure():
        p.grad = (0 if p.grad is None else p.grad) + np.full(1, 0.25)
        return 0.5

    optimizer = Twice([p], lr=1.0)
    assert optimizer.step(closure) == 0.5
    assert p.data == 0.5
    with pytest.raises(TypeError, match=r"Twice: call step\(closure\), where closure\(\) computes"):
        optimizer.step()


def test_a_step_must_take_a_closure():
    with pytest.raises(TypeError, match=r"Old: write step\(self, closure\), not step\(self\)"):

        class Old(Optimizer):
            def step(self):
                super().step()


# ---- w in direction, and stages of one's own ----


def test_a_rule_can_ask_for_w():
    @register("shrink")
    def shrink(g, slots, *, w, share=0.5):
        """u = g + s·w."""
        return g + share * w

    p = parameter(2.0, -4.0)
    optimizer = get("shrink", [p], lr=0.5)
    take_steps(optimizer)
    assert p.data.tolist() == [2 - 0.5 * 2, -4 - 0.5 * -1]
    assert "u = g + 0.5·w" in optimizer.explain()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rule_that_asks_for_w_runs_in_blocks_and_compiled(dtype):
    class Decays(Optimizer):
        """u = g + λ·w."""

        elementwise = True

        def init(self, w):
            return {"start": w.copy()}

        def direction(self, g, slots, *, w, weight_decay):
            return g + weight_decay * (w - slots["start"])

    def path(change):
        w = Parameter(np.sin(np.arange(1 << 17, dtype=dtype)))
        optimizer = change(Decays([w], lr=0.1, weight_decay=0.25))
        rng = np.random.default_rng(0)
        for _ in range(3):
            w.grad = rng.standard_normal(w.data.shape).astype(dtype)
            optimizer.step()
        return w.data.tobytes()

    blocks = path(lambda optimizer: optimizer)
    Decays.elementwise = False
    assert path(lambda optimizer: optimizer) == blocks
    Decays.elementwise = True
    pytest.importorskip("numba")
    assert path(lambda optimizer: optimizer.compile()) == blocks


def test_a_rule_that_names_weight_decay_or_momentum_does_this_itself():
    class Own(Optimizer):
        momentum: float = 0.5
        weight_decay: float = 0.25

        def init(self, w):
            return {"b": np.zeros_like(w)}

        def direction(self, g, slots, *, w, momentum, weight_decay):
            b = slots["b"]
            b *= momentum
            b += g
            return b + weight_decay * w

    p = parameter(4.0)
    optimizer = Own([p], lr=0.5)
    assert [*optimizer.slots["0"]] == ["b"]
    take_steps(optimizer, 2)
    w = 4.0 - 0.5 * (1 + 0.25 * 4.0)
    assert p.data == w - 0.5 * (1.5 + 0.25 * w)
    assert optimizer.explain().splitlines()[1:] == [
        "    b ← 0.5·b + g",
        "    u = b + 0.25·w",
        "    w ← w − 0.5·u",
        "the convention of none of the frameworks known here",
    ]
    for switch in ("nesterov", "lr_in_momentum", "decoupled_weight_decay"):
        with pytest.raises(
            ValueError, match=f"Own: contradictory switches: Own has no {switch}"
        ):
            Own([parameter(1.0)], **{switch: True})
    with pytest.raises(ValueError, match="Own has no dampening"):
        optimizer.dampening = 0.5


def test_all_hyperparameters_at_once_take_over_no_stage():
    class Everything(Optimizer):
        def direction(self, g, slots, **hyper):
            assert not {"weight_decay", "momentum"} & hyper.keys()
            return g

    p, q = parameter(4.0), parameter(4.0)
    take_steps(Everything([p], lr=0.5, weight_decay=0.25, momentum=0.5), 2)
    take_steps(SGD([q], lr=0.5, weight_decay=0.25, momentum=0.5), 2)
    assert p.data == q.data


def test_integer_defaults_demand_integers_and_limits_are_checked():
    class Counted(Optimizer):
        k: int = 5
        rho: float = 2.0
        limits = {"k": (1, 10, True), "rho": (0, np.inf, False)}

        def direction(self, g, slots, *, k, rho):
            return sum([g for _ in range(k)])

    p = parameter(10.0)
    take_steps(Counted([p], lr=1.0, k=np.int64(3)))
    assert p.data == 7.0
    assert type(Counted(k=np.float64(3)).k) is int
    assert Counted(k=10, rho=5.0).rho == 5.0
    for wrong in (2.5, 0, 11, "3", np.nan, None):
        with pytest.raises(ValueError, match=r"Counted: k must be an integer \(as its default 5\)"):
            Counted(k=wrong)
    with pytest.raises(ValueError, match=r"k at step 0 must be an integer"):
        Counted(k=lambda t: t + 0.5)


def test_slots_can_have_any_shape_and_dtype():
    class Factored(Optimizer):
        def init(self, w):
            rows = np.zeros(w.shape[:-1], w.dtype)
            return {"rows": rows, "count": np.zeros((), np.int64), "signs": np.ones(w.shape, bool)}

        def direction(self, g, slots):
            slots["rows"] += np.mean(g**2, axis=-1)
            slots["count"] += 1
            slots["signs"][...] = g > 0
            return g / (1 + np.sqrt(slots["rows"]))[..., None]

    w = [Parameter(np.ones((2, 3), np.float32)), Parameter(np.ones(4, np.float32))]
    optimizer, other = (Factored([Parameter(p.data.copy()) for p in w]) for _ in range(2))
    take_steps(optimizer, 2)
    for n, p in other.parameters.items():
        p.data[...] = optimizer.parameters[n].data
    other.load_state_dict(optimizer.state_dict())
    take_steps(optimizer)
    take_steps(other)
    for n, p in other.parameters.items():
        assert p.data.tobytes() == optimizer.parameters[n].data.tobytes()
        assert other.slots[n]["count"] == 3


@pytest.mark.parametrize("rule", [SGD, RMSprop, Adam, AdamW, Lion])
def test_a_closure_changes_no_bit(rule):
    p, q = parameter(1.0, 2.0, dtype=np.float32), parameter(1.0, 2.0, dtype=np.float32)
    plain, closed = rule([p], momentum=0.5), rule([q], momentum=0.5)
    for t in range(5):
        p.grad = np.full(2, np.sin(t), np.float32)
        plain.step()

        def closure(t=t):
            q.grad = np.full(2, np.sin(t), np.float32)

        closed.step(closure)
    assert p.data.tobytes() == q.data.tobytes()


# ---- What a rule returns, and what it inherits ----


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (lambda w: None, r"array of shape \(3,\), as w has; it returned NoneType; end it with"),
        (lambda w: w.mean(), r"array of shape \(3,\), as w has; it returned \(\)"),
        (lambda w: w.mean(keepdims=True), r"array of shape \(3,\), as w has; it returned \(1,\)"),
        (lambda w: w.astype(np.float32), r"array of dtype float64, as w has; it returned float32"),
    ],
)
def test_the_weights_to_evaluate_must_be_arrays_like_w(result, text):
    class Bad(Optimizer):
        def direction(self, g, slots):
            return g

        def evaluation_weight(self, w, slots):
            return result(w)

    class BadWrapper(Wrapper):
        evaluation_weight = Bad.evaluation_weight

    for optimizer in (Bad([parameter(1.0, 2.0, 3.0)]), BadWrapper(SGD([parameter(1.0, 2.0, 3.0)]))):
        take_steps(optimizer)
        (p,) = optimizer.parameters.values()
        before = p.data.copy()
        with pytest.raises(TypeError, match=rf"Bad.*: evaluation_weight .* must return an {text}"):
            optimizer.evaluating().__enter__()
        assert p.data.tolist() == before.tolist()
        take_steps(optimizer)  # not evaluating any longer


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda w: None, r"Slotted: slots must be arrays by name; init returned NoneType; end it"),
        (lambda w: {"n": 0}, r"received n = 0; write slots\['n'\] = np.array\(…\)"),
        (lambda w: {"n": [0.0]}, r"received n = \[0.0\]"),
    ],
)
def test_slots_must_be_arrays(make, text):
    class Slotted(Optimizer):
        def init(self, w):
            return make(w)

        def direction(self, g, slots):
            return g

    with pytest.raises(TypeError, match=text):
        Slotted([parameter(1.0)])

    class SlottedWrapper(Wrapper):
        init = Slotted.init

    p = parameter(1.0)
    optimizer = SlottedWrapper(SGD([p]))
    with pytest.raises(TypeError, match=text.replace("Slotted", "SlottedWrapper")):
        take_steps(optimizer)
    assert p.data == 1.0 and optimizer.steps == 0


def test_a_function_must_make_arrays_too():
    @register("counts")
    def counts(g, slots):
        slots["n"] = slots.get("n", 0) + 1
        return g

    with pytest.raises(TypeError, match=r"counts: slots must be arrays by name; received n = 1"):
        take_steps(get("counts", [parameter(1.0)]))


def test_slots_that_a_step_writes_before_the_first_update_stay():
    class Sets(Optimizer):
        def init(self, w):
            return {"h": np.zeros_like(w)}

        def direction(self, g, slots):
            return g + slots["h"]

        def step(self, closure=None):
            for slots in self.slots.values():
                slots["h"][...] = 10.0
            return super().step(closure)

    p = parameter(0.0)
    take_steps(Sets([p], lr=1.0), 2)
    assert p.data == -22.0


def test_elementwise_is_not_inherited_by_another_rule():
    class Centered(RMSprop):
        def direction(self, g, slots, **hyper):
            hyper = {k: hyper[k] for k in RMSprop.required_hyperparameters["direction"]}
            return super().direction(g - g.mean(), slots, **hyper)

    assert RMSprop.elementwise and not Centered.elementwise
    p = Parameter(np.zeros((200, 200)), np.ones((200, 200)))
    Centered([p]).step()
    assert p.data.tolist() == np.zeros((200, 200)).tolist()

    class Normed:
        def direction(self, g, slots):
            return g / float(np.linalg.norm(g))

    class Mixed(Normed, SGD):
        pass

    assert not Mixed.elementwise

    class Scaled(SGD):
        lr: float = 0.5

    assert Scaled.elementwise  # it has the same rule


def test_an_elementwise_rule_that_replaces_a_slot_is_refused_at_large_arrays():
    class Replaces(Optimizer):
        elementwise = True

        def init(self, w):
            return {"m": np.zeros_like(w)}

        def direction(self, g, slots):
            slots["m"] = 0.5 * slots["m"] + g
            return slots["m"]

    class Adds(Optimizer):
        elementwise = True

        def direction(self, g, slots):
            return slots.setdefault("m", np.zeros_like(g)) + g

    for make in (Replaces, Adds):
        with pytest.raises(
            TypeError, match="direction replaces or adds a slot; make slots in init"
        ):
            take_steps(make([Parameter(np.ones(1 << 16))]))


class Heavy(Optimizer):
    momentum: float = 0.9

    def init(self, w):
        return {"m": np.zeros_like(w)}

    def direction(self, g, slots, *, momentum):
        m = slots["m"]
        m *= momentum
        m += g
        return m


class HeavyByName(Heavy):
    def direction(self, g, slots, *, momentum):
        return super().direction(g, slots, momentum=momentum)


class HeavyByHyper(Heavy):
    def direction(self, g, slots, **hyper):
        return super().direction(g, slots, momentum=hyper["momentum"])


@pytest.mark.parametrize("make", [HeavyByName, HeavyByHyper])
def test_a_subclass_inherits_the_stages_of_its_parents_rule(make):
    p, q = parameter(1.0), parameter(1.0)
    take_steps(Heavy([p], lr=0.1), 3)
    take_steps(make([q], lr=0.1), 3)
    assert p.data == q.data
    assert [*make([parameter(1.0)]).slots["0"]] == ["m"]


def test_a_stage_of_the_parents_rule_cannot_be_forgotten():
    with pytest.raises(TypeError, match=r"Sign: direction must name momentum among its keywords"):

        class Sign(Heavy):
            def direction(self, g, slots):
                return np.sign(g)


def test_update_and_clip_read_the_value_of_the_group_too():
    class Noise(Optimizer):
        noise: float = 0.0
        limit: float = 9.0

        def direction(self, g, slots):
            return g

        def clip(self, g, h):
            return np.minimum(g, self.limit)

        def update(self, w, g, slots, h):
            super().update(w, g, slots, h)
            w += self.noise

    p, q = parameter(1.0), parameter(1.0)
    groups = [{"params": [p], "noise": 5.0, "limit": 0.5}, {"params": [q]}]
    optimizer = Noise(groups, lr=1.0)
    take_steps(optimizer)
    assert (p.data, q.data) == (5.5, 0.0)
    assert optimizer.noise == 0.0


def test_a_rule_does_not_see_empty_arrays():
    class Centered(Optimizer):
        def direction(self, g, slots):
            return g - np.mean(g)  # NumPy warns of the mean of an empty array

    empty, p = Parameter(np.ones((0, 3))), parameter(1.0, 3.0)
    optimizer = Centered([empty, p], lr=1.0)
    take_steps(optimizer, 2)
    assert optimizer.updates == {"0": 0, "1": 2}
    assert p.data.tolist() == [1.0, 3.0]


def test_the_name_of_the_momentum_buffer_is_taken():
    class Own(Optimizer):
        def init(self, w):
            return {"momentum_buffer": np.zeros_like(w)}

        def direction(self, g, slots):
            return g

    take_steps(Own([parameter(1.0)]))
    with pytest.raises(TypeError, match="Own: rename the slot momentum_buffer"):
        Own([parameter(1.0)], momentum=0.5)


def test_a_rule_can_ask_for_w_and_all_hyperparameters():
    class All(Optimizer):
        def direction(self, g, slots, *, w, **hyper):
            return hyper["lr"] * w

    p = parameter(8.0)
    take_steps(All([p], lr=0.5))
    assert p.data == 8 - 0.25 * 8


def test_a_rule_that_needs_a_closure_compiles():
    pytest.importorskip("numba")

    class Polyak(Optimizer):
        needs_closure = True
        loss = 0.0

        def step(self, closure=None):
            self.zero_grad()

            def keep():
                self.loss = float(result := closure())
                return result

            return super().step(keep if closure else None)

        def direction(self, g, slots):
            return g * self.loss

    p = parameter(2.0)
    optimizer = Polyak([p], lr=1.0).compile()

    def closure():
        p.grad = np.ones(1)
        return 0.5

    optimizer.step(closure)
    assert p.data == 1.5


def test_a_predefined_callable_object_is_refused():
    with pytest.raises(
        TypeError, match=r"needs a class or a function, received functools\.partial"
    ):
        register("x")(functools.partial(lambda g, slots, a: g, a=1.0))


def test_a_hyperparameter_can_be_called_inner():
    class Loops(Optimizer):
        inner: int = 5

        def direction(self, g, slots, *, inner):
            return inner * g

        def evaluation_weight(self, w, slots):
            return w + 1

    p = parameter(6.0)
    optimizer = Loops([p], lr=1.0)
    take_steps(optimizer)
    with optimizer.evaluating():
        assert p.data == 2.0


@pytest.mark.parametrize("make", [Average, lambda p: EMA(SGD(p))])
def test_a_thread_that_evaluates_waits_for_the_closure(make):
    p = parameter(1.0)
    optimizer = make([p])
    take_steps(optimizer, 2)
    seen, done = [], threading.Event()

    def evaluate():
        with optimizer.evaluating():
            seen.append("evaluated")
        done.set()

    def closure():
        thread.start()
        assert not done.wait(0.05)
        p.grad = np.ones(1)
        seen.append("computed")

    thread = threading.Thread(target=evaluate)
    optimizer.step(closure)
    thread.join(10)
    assert seen == ["computed", "evaluated"]
