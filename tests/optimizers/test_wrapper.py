"""Optimizers that hold an optimizer, and averages of the weights."""

import copy
import json
import pickle
from itertools import chain

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.optimizers import (
    EMA,
    SGD,
    SWA,
    Adam,
    CosineDecay,
    Optimizer,
    Parameter,
    RMSprop,
    Wrapper,
    get,
    register,
)


class Pull(Wrapper):
    """w ← w + α·(w₀ − w) after every k steps."""

    k: int = 1
    alpha: float = 0.5
    limits = {"k": (1, np.inf, False), "alpha": (0, 1, True)}

    def init(self, w):
        return {"start": w.copy()}

    def after_step(self, w, slots):
        if self.steps % self.k == 0:
            w += self.alpha * (slots["start"] - w)


def parameters(dtype=float):
    return [
        ("a", Parameter(np.array([1.0, -2.0], dtype))),
        ("b", Parameter(np.ones((2, 3), dtype))),
    ]


def take_steps(optimizer, n):
    """Take n steps with gradients that depend on the step; return the weights after each."""
    path = []
    for _ in range(n):
        for i, p in enumerate(optimizer.parameters.values()):
            p.grad = np.full_like(p.data, np.sin(optimizer.steps + i))
        optimizer.step()
        path.append([p.data.copy() for p in optimizer.parameters.values()])
    return path


def equal(path, other):
    pairs = zip(chain(*path), chain(*other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def weights_for_evaluation(optimizer):
    with optimizer.evaluating():
        return [p.data.copy() for p in optimizer.parameters.values()]


# ---- Averages ----


@pytest.mark.parametrize("decay", [0.0, 0.75, 0.999])
def test_ema_is_the_weighted_sum_of_all_weights(decay):
    optimizer = EMA(SGD(parameters(), lr=0.1), decay=decay)
    path = take_steps(optimizer, 6)
    shares = [decay**5] + [(1 - decay) * decay ** (4 - t) for t in range(5)]
    for i, average in enumerate(weights_for_evaluation(optimizer)):
        expected = sum(c * w[i] for c, w in zip(shares, path, strict=True))
        np.testing.assert_allclose(average, expected, rtol=1e-13)
    assert equal(path, take_steps(SGD(parameters(), lr=0.1), 6))


def test_swa_is_the_mean_of_the_chosen_weights():
    optimizer = SWA(SGD(parameters(), lr=0.1), start=3, every=2)
    path = take_steps(optimizer, 3)
    assert equal([weights_for_evaluation(optimizer)], path[-1:])  # no average yet
    path += take_steps(optimizer, 6)
    for i, average in enumerate(weights_for_evaluation(optimizer)):
        np.testing.assert_allclose(average, np.mean([path[t][i] for t in (4, 6, 8)], 0), rtol=1e-14)


@pytest.mark.parametrize("make", [EMA, SWA])
def test_an_average_keeps_the_dtype_and_its_own_memory(make):
    optimizer = make(SGD(parameters(np.float32)))
    take_steps(optimizer, 2)
    for name, p in optimizer.parameters.items():
        average = optimizer.own_slots[name]["average"]
        assert average.dtype == np.float32
        assert not np.shares_memory(average, p.data)


def test_a_step_that_fails_leaves_no_slots_of_former_weights():
    optimizer = Pull(SGD(parameters(), lr=0.0), alpha=1.0)
    with pytest.raises(RuntimeError, match="no parameter has a gradient"):
        optimizer.step()
    optimizer.parameters["a"].data[...] = 7.0
    take_steps(optimizer, 1)
    assert optimizer.parameters["a"].data.tolist() == [7.0, 7.0]


def test_an_average_starts_at_the_weights_of_the_first_step():
    optimizer = EMA(SGD(parameters(), lr=0.0), decay=0.5)
    optimizer.parameters["a"].data[...] = 7.0  # pretrained weights, loaded after bind
    take_steps(optimizer, 1)
    assert weights_for_evaluation(optimizer)[0].tolist() == [7.0, 7.0]


# ---- Seeing through ----


def test_all_that_is_not_its_own_is_the_inner_optimizers():
    inner = Adam(parameters(), lr=0.25)
    optimizer = Pull(inner, k=2)
    assert (optimizer.lr, optimizer.beta1, optimizer.k) == (0.25, 0.9, 2)
    optimizer.lr, optimizer.k = 0.5, 3
    assert (inner.lr, optimizer.k) == (0.5, 3)
    optimizer.groups[0]["lr"] = 0.125
    assert inner.groups[0].data == {"lr": 0.125}
    assert optimizer.parameters is inner.parameters
    take_steps(optimizer, 2)
    assert (optimizer.steps, inner.updates) == (2, {"a": 2, "b": 2})
    assert set(optimizer.slots["a"]) == {"first_moment", "second_moment", "Pull.start"}
    optimizer.zero_grad()
    assert all(p.grad is None for p in inner.parameters.values())


def test_after_step_runs_after_every_step_that_counts():
    optimizer = Pull(SGD(parameters(), lr=0.5, on_nonfinite="skip"), k=2, alpha=1.0)
    take_steps(optimizer, 1)
    for p in optimizer.parameters.values():
        p.grad = np.full_like(p.data, np.nan)
    before = [p.data.copy() for p in optimizer.parameters.values()]
    optimizer.step()
    assert equal([[p.data for p in optimizer.parameters.values()]], [before])
    (weights,) = take_steps(optimizer, 1)
    assert [w.tolist() for w in weights] == [[1.0, -2.0], [[1.0] * 3] * 2]


def test_own_hyperparameters_can_be_schedules():
    optimizer = Pull(SGD(parameters(), lr=0.0), alpha=lambda t: 0.25 * t)
    take_steps(optimizer, 2)
    assert optimizer.alpha == 0.5
    with pytest.raises(ValueError, match=r"Pull: alpha at step 2 must be .* in \[0, 1\], rec.*-0"):
        optimizer.alpha = lambda t: 0.25 * t - 0.75
    optimizer.alpha = lambda t: 2.5 - t  # 0.5 at step 2, −0.5 at step 3
    take_steps(optimizer, 1)
    with pytest.raises(ValueError, match=r"Pull: alpha at step 3 must be .* received -0\.5"):
        take_steps(optimizer, 1)
    assert optimizer.steps == 3  # nothing has changed


def test_wrappers_can_hold_wrappers():
    optimizer = EMA(Pull(RMSprop(parameters(), lr=0.1), k=2), decay=0.5)
    assert repr(optimizer) == "EMA(Pull(RMSprop(lr=0.1), k=2), decay=0.5)"
    path = take_steps(optimizer, 3)
    assert equal(path, take_steps(Pull(RMSprop(parameters(), lr=0.1), k=2), 3))
    for i, average in enumerate(weights_for_evaluation(optimizer)):
        expected = path[0][i] / 4 + path[1][i] / 4 + path[2][i] / 2
        np.testing.assert_allclose(average, expected, rtol=1e-14)
    with pytest.raises(ValueError, match=r"EMA\(Pull.* holds a Pull already"):
        Pull(optimizer)


def test_explain_shows_the_wrapper_and_the_rule_inside():
    text = Pull(SGD(parameters(), lr=0.25), k=7).explain()
    first, *rest = text.splitlines()
    assert first == "Pull(SGD(lr=0.25), k=7): w ← w + α·(w₀ − w) after every k steps."
    assert rest == SGD(parameters(), lr=0.25).explain().splitlines()


def test_a_wrapper_compiles_the_inner_optimizer():
    pytest.importorskip("numba")
    plain, compiled = (Pull(Adam(parameters(), momentum=0.5)) for _ in range(2))
    assert compiled.compile() is compiled
    assert compiled.inner.compiled is not None
    assert equal(take_steps(plain, 5), take_steps(compiled, 5))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_takes_the_same_steps(duplicate):
    optimizer = EMA(Pull(Adam(parameters())), decay=0.5)
    take_steps(optimizer, 3)
    again = duplicate(optimizer)
    assert equal(take_steps(optimizer, 3), take_steps(again, 3))
    assert equal([weights_for_evaluation(optimizer)], [weights_for_evaluation(again)])
    assert again.inner.inner is not optimizer.inner.inner


# ---- Making one ----


def test_get_makes_the_inner_optimizer_by_name():
    register("pull")(Pull)
    optimizer = get("Pull", parameters(), inner="rmsprop", lr=0.5, rho=0.75, k=4)
    assert repr(optimizer) == "Pull(RMSprop(lr=0.5, rho=0.75), k=4)"
    assert [*optimizer.parameters] == ["a", "b"]
    assert repr(get(Pull)) == "Pull(Adam(lr=0.001))"
    assert repr(get("pull", inner=SGD, lr=0.5)) == "Pull(SGD(lr=0.5))"
    assert repr(get("pull", inner=get("ema", inner="sgd"))) == "Pull(EMA(SGD(lr=0.01)))"
    assert get(optimizer) is optimizer
    with pytest.raises(TypeError, match="SGD has no hyperparameter 'learning_rate'; here it is"):
        get("pull", inner="sgd", learning_rate=0.1)
    with pytest.raises(TypeError, match="is an instance; set lr on it instead"):
        get("pull", inner=SGD(), lr=0.1)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: Pull("adam"),
            TypeError,
            r"Pull needs an optimizer to hold, received 'adam'; .*get",
        ),
        (
            lambda: Pull(Adam),
            TypeError,
            r"Pull needs an optimizer .*; write Pull\(Adam\(lr=0.001\)\)",
        ),
        (
            lambda: Pull(SGD(), kk=3),
            TypeError,
            r"Pull has no hyperparameter 'kk'; did you mean 'k'",
        ),
        (lambda: Pull(SGD(), lr=3.0), TypeError, r"'lr' .*; set lr on the inner optimizer"),
        (
            lambda: Pull(SGD(), k=2.5),
            ValueError,
            r"Pull: k must be an integer .* in \[1, inf\), rec",
        ),
        (lambda: Pull(SGD(), k=0), ValueError, r"Pull: k must be an integer .* received 0"),
        (lambda: Pull(SGD(), alpha=1.5), ValueError, r"alpha must be .* \[0, 1\], received 1.5"),
        (lambda: Pull(SGD()).step(), RuntimeError, r"SGD.* has no parameters yet"),
        (lambda: setattr(Pull(SGD()), "kk", 3), AttributeError, "SGD has no hyperparameter 'kk'"),
    ],
)
def test_a_mistake_has_a_clear_message(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_a_name_of_the_optimizer_cannot_be_an_own_hyperparameter():
    for name in ("lr", "steps", "inner"):
        with pytest.raises(TypeError, match=f"Wrong: an optimizer uses the name '{name}'; rename"):
            type("Wrong", (Wrapper,), {name: 1.0, "__annotations__": {name: float}})


def test_a_new_default_needs_an_annotation():
    with pytest.raises(TypeError, match=r"Slow: decay = 0\.5 has no annotation.* decay: float = 0"):
        type("Slow", (EMA,), {"decay": 0.5})
    slow = type("Slow", (EMA,), {"decay": 0.5, "__annotations__": {"decay": float}})
    assert slow(SGD()).decay == 0.5


# ---- State ----


def test_the_state_is_flat_and_json_holds_all_but_the_arrays():
    optimizer = EMA(Pull(Adam(parameters(), lr=CosineDecay(0.1, 9)), k=2), decay=0.5)
    take_steps(optimizer, 3)
    state = optimizer.state_dict()
    slots = state.pop("slots")
    assert state["optimizer"] == "EMA(Pull(Adam))"
    assert {"lr", "beta1", "Pull.k", "Pull.alpha", "EMA.decay"} <= set(state["hyper"])
    assert {"a/first_moment", "a/Pull.start", "b/EMA.average"} <= set(slots)

    resumed = EMA(Pull(Adam(parameters())))
    for name, p in resumed.parameters.items():
        p.data[...] = optimizer.parameters[name].data
    resumed.load_state_dict(json.loads(json.dumps(state)) | {"slots": slots})
    assert (resumed.k, resumed.decay, resumed.lr) == (2, 0.5, optimizer.lr)
    assert equal(take_steps(optimizer, 4), take_steps(resumed, 4))
    assert equal([weights_for_evaluation(optimizer)], [weights_for_evaluation(resumed)])


def test_a_state_from_before_the_first_step_loads():
    optimizer, other = Pull(SGD(parameters())), Pull(SGD(parameters()))
    other.load_state_dict(optimizer.state_dict())
    assert equal(take_steps(optimizer, 2), take_steps(other, 2))


def broken(change):
    optimizer = Pull(SGD(parameters(), momentum=0.5), k=2)
    take_steps(optimizer, 2)
    state = optimizer.state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.update(optimizer="SGD"), r"Pull: this state does .* it was saved by SGD"),
        (lambda s: s.update(optimizer="Pull(Adam)"), r"SGD: this state does .* saved by Adam"),
        (lambda s: s["slots"].pop("a/Pull.start"), r"does not match in a/Pull.start"),
        (lambda s: s["slots"].update({"a/Pull.start": np.ones(3)}), r"not match in a/Pull.start"),
        (lambda s: s["slots"].update({"c/Pull.start": np.ones(2)}), r"not match in c/Pull.start"),
        (lambda s: s["slots"].pop("b/momentum_buffer"), r"SGD: .* it lacks .'b/momentum_buffer'"),
        (lambda s: s["hyper"].update({"Pull.k": 0}), r"Pull: k must be an integer"),
    ],
)
def test_a_state_that_does_not_match_changes_nothing(change, text):
    optimizer = Pull(SGD(parameters(), momentum=0.5))
    take_steps(optimizer, 1)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=text):
        optimizer.load_state_dict(broken(change))
    after = optimizer.state_dict()
    np.testing.assert_equal(after, before)


# ---- What a wrapper declares, and what it may hold ----


def test_the_methods_of_a_wrapper_are_checked_when_it_is_defined():
    for method in ("init", "after_step", "evaluation_weight", "step"):
        with pytest.raises(TypeError, match=rf"Wrong: write {method}\(self, .*, not {method}\("):
            type("Wrong", (Wrapper,), {method: lambda self, w, slots, extra, more: None})


def test_a_rule_that_evaluates_other_weights_has_no_second_average():
    class Average(Optimizer):
        def direction(self, g, slots):
            return g

        def evaluation_weight(self, w, slots):
            return w + 1

    class Around(Wrapper):
        def step(self, closure=None):
            return self.inner.step(closure)

    for make in (EMA, SWA, Pull, lambda o: EMA(Around(o)), lambda _: SWA(EMA(SGD(parameters())))):
        with pytest.raises(ValueError, match="which evaluates other weights than it trains"):
            make(Average(parameters()))
    optimizer = Around(Average(parameters()))
    take_steps(optimizer, 1)
    assert weights_for_evaluation(optimizer)[0][0] == optimizer.parameters["a"].data[0] + 1


def test_a_name_is_not_searched_in_the_text_of_the_inner_optimizer():
    class A(Wrapper):
        pass

    class Decay(Wrapper):
        pass

    assert repr(A(EMA(SGD()))) == "A(EMA(SGD(lr=0.01)))"
    assert Decay(SGD(lr=CosineDecay(0.1, 9))).lr == 0.1


def test_limits_are_inherited_one_by_one():
    class Late(EMA):
        warm: int = 3
        limits = {"warm": (0, np.inf, False)}

    for wrong in ({"warm": -1}, {"decay": 5.0}):
        with pytest.raises(ValueError, match="Late: "):
            Late(SGD(), **wrong)


def test_schedules_of_a_wrapper_count_like_those_of_the_inner_optimizer():
    seen = []

    def note(name, value):
        def schedule(t):
            seen.append((name, t))
            return value

        return schedule

    optimizer = EMA(SGD(parameters(), lr=note("lr", 0.5)), decay=note("decay", 0.5))
    seen.clear()
    take_steps(optimizer, 3)
    assert {t for name, t in seen if name == "decay"} == {t for name, t in seen if name == "lr"}


def test_swa_starts_with_the_weights_themselves():
    p = Parameter(np.array([1e8], np.float32))
    optimizer = SWA(SGD([p], lr=1.0))
    p.grad = np.array([1e8 - 0.25], np.float32)
    optimizer.step()
    with optimizer.evaluating():
        first = p.data.copy()
    assert first == p.data


@pytest.mark.parametrize("decay", [0.3, 0.5])
def test_underflow_and_subnormals_do_not_disturb_an_average(decay):
    p = Parameter(np.ones(2, np.float32))
    optimizer = EMA(SGD([p], lr=1.0), decay=decay)
    with np.errstate(all="raise"):
        for t in range(128):  # from step 2 on w is 0
            p.grad = np.ones(2, np.float32) if t == 1 else np.zeros(2, np.float32)
            optimizer.step()
    assert optimizer.steps == 128
    assert weights_for_evaluation(optimizer)[0].tolist() == [0.0, 0.0]


def test_a_step_that_is_skipped_is_not_averaged():
    optimizer = EMA(SGD(parameters(), on_nonfinite="skip"))
    for p in optimizer.parameters.values():
        p.grad = np.full_like(p.data, np.nan)
    optimizer.step()
    assert optimizer.own_slots["a"]["count"] == 0
    take_steps(optimizer, 1)
    assert optimizer.own_slots["a"]["count"] == 1


def test_the_engine_notices_a_parameter_that_only_the_wrapper_moves():
    t, other = (Tensor(np.array([1.0]), requires_grad=True) for _ in range(2))
    optimizer = Pull(SGD([t, other], lr=1.0))
    t.grad = np.ones(1)
    loss = np.sum(other**3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="compute the loss again"):
        loss.backward()


def test_another_inner_optimizer_needs_another_wrapper():
    with pytest.raises(AttributeError, match="EMA: to hold another optimizer, make a new one"):
        EMA(SGD()).inner = Adam()


@pytest.mark.parametrize("broken", [3, None, {}, {"optimizer": "EMA(SGD)", "hyper": None}])
def test_what_is_no_state_is_refused(broken):
    with pytest.raises(ValueError, match="EMA: this state does not match"):
        EMA(SGD(parameters())).load_state_dict(broken)


def test_a_state_without_an_average_or_a_decay_is_refused():
    def state(*keys):
        optimizer = EMA(SGD(parameters()))
        take_steps(optimizer, 2)
        state = optimizer.state_dict()
        for part, key in keys:
            del state[part][key]
        return state

    optimizer = EMA(SGD(parameters()))
    with pytest.raises(ValueError, match=r"EMA: .* does not match in a/EMA\.average$"):
        optimizer.load_state_dict(state(("slots", "a/EMA.average")))
    with pytest.raises(ValueError, match="EMA: this state lacks decay"):
        optimizer.load_state_dict(state(("hyper", "EMA.decay")))
    optimizer.load_state_dict(state())
