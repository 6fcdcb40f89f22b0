"""Custom rules: what a rule may ask for, define, return and inherit."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from minigrad.optimizers import SGD, Optimizer, Parameter, RMSprop, get, register
from tests.optimizers.helpers import parameter, take_steps, weights_after

# ---- The argument w ----


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


def test_a_rule_can_ask_for_w_and_all_hyperparameters():
    class All(Optimizer):
        def direction(self, g, slots, *, w, **hyper):
            return hyper["lr"] * w

    p = parameter(8.0)
    take_steps(All([p], lr=0.5))
    assert p.data == 8 - 0.25 * 8


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


# ---- Stages and inheritance ----


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


def test_a_subclass_may_be_decorated_as_a_dataclass():
    @dataclass(kw_only=True)
    class Fading(Optimizer):
        """v ← ρ·v + g        u = v"""

        rho: float = 0.5

        def init(self, w):
            return {"trace": np.zeros_like(w)}

        def direction(self, g, slots, *, rho):
            slots["trace"] *= rho
            slots["trace"] += g
            return slots["trace"]

    assert weights_after(2, Fading([parameter(4.0)], lr=1.0)) == [[4 - 1 - 1.5]]
    optimizer = Fading([parameter(4.0)], lr=lambda t: 1.0 - t, rho=0.25)
    assert weights_after(2, optimizer) == [[3.0]]
    assert (optimizer.lr, optimizer.rho) == (-1.0, 0.25)
    with pytest.raises(TypeError, match="did you mean 'rho'"):
        Fading(roh=0.5)


# ---- Hyperparameters, groups and attributes ----


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


def test_a_group_overrides_what_direction_asks_for():
    class Keyword(Optimizer):
        beta: float = 0.5

        def direction(self, g, slots, *, beta):
            return beta * g

    class Default(Keyword):
        def direction(self, g, slots, beta=None):
            return beta * g

    class Hyper(Keyword):
        def direction(self, g, slots, **hyper):
            return hyper["beta"] * g

    class OwnUpdate(Keyword):
        def direction(self, g, slots):
            return g

        def update(self, w, g, slots, h):
            w -= h["lr"] * h["beta"] * g

    for cls in (Keyword, Default, Hyper, OwnUpdate):
        groups = [{"params": [parameter(4.0)], "beta": 0.25}, {"params": [parameter(4.0)]}]
        assert weights_after(1, cls(groups, lr=1.0)) == [[3.75], [3.5]]


def test_a_rule_reads_the_value_of_its_group_from_self():
    class FromSelf(Optimizer):
        beta: float = 0.5

        def init(self, w):
            return {"start": np.full_like(w, self.beta)}

        def direction(self, g, slots):
            return self.beta * slots["start"] * g

    groups = [{"params": [parameter(4.0)], "beta": 0.25}, {"params": [parameter(4.0)]}]
    optimizer = FromSelf(groups, lr=1.0)
    assert weights_after(1, optimizer) == [[4 - 0.0625], [3.75]]
    assert optimizer.beta == 0.5
    optimizer.groups[0]["beta"] = lambda t: 0.125 * t
    assert weights_after(1, optimizer) == [[4 - 0.0625 - 0.125 * 0.25], [3.5]]


def test_a_function_that_the_rule_calls_reads_the_value_of_the_group_too():
    def helper(optimizer, g):
        return optimizer.beta * g

    class Hidden(Optimizer):
        beta: float = 0.5

        def direction(self, g, slots):
            return helper(self, g)

    groups = [{"params": [parameter(4.0)], "beta": 0.25}, {"params": [parameter(4.0)]}]
    assert weights_after(1, Hidden(groups, lr=1.0)) == [[3.75], [3.5]]


def test_a_rule_reads_what_it_has_just_written():
    class Halves(Optimizer):
        beta: float = 1.0

        def direction(self, g, slots):
            self.beta = self.beta * 0.5
            return self.beta * g

    optimizer = Halves([parameter(4.0)], lr=1.0)
    assert weights_after(2, optimizer) == [[4 - 0.5 - 0.25]]
    assert optimizer.beta == 0.25


def test_a_custom_attribute_is_declared_in_the_class():
    class Counts(Optimizer):
        calls = 0
        cache: dict = field(default_factory=dict, init=False)

        def direction(self, g, slots):
            self.calls += 1
            self.cache[self.calls] = g.sum()
            return g

    optimizer = Counts([parameter(4.0)])
    weights_after(2, optimizer)
    assert (optimizer.calls, Counts.calls, len(optimizer.cache)) == (2, 0, 2)
    with pytest.raises(AttributeError, match=r"hyperparameter 'call'.*or call = None for"):
        optimizer.call = 3
    with pytest.raises(AttributeError, match=r"SGD has no .*'cache' .*on_nonfinite\)$"):
        SGD().cache = {}


# ---- Slots and arrays ----


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


def test_a_rule_does_not_see_empty_arrays():
    class Centered(Optimizer):
        def direction(self, g, slots):
            return g - np.mean(g)  # NumPy warns of the mean of an empty array

    empty, p = Parameter(np.ones((0, 3))), parameter(1.0, 3.0)
    optimizer = Centered([empty, p], lr=1.0)
    take_steps(optimizer, 2)
    assert optimizer.updates == {"0": 0, "1": 2}
    assert p.data.tolist() == [1.0, 3.0]


def test_a_slot_that_is_no_array_is_refused_in_every_step():
    class Wrong(Optimizer):
        def direction(self, g, slots):
            slots["k"] = [1.0]
            return g

    p = parameter(1.0)
    optimizer = Wrong([p])
    for _ in range(2):
        p.grad = np.ones_like(p.data)
        with pytest.raises(TypeError, match="slots must be arrays"):
            optimizer.step()
    assert optimizer.steps == 0 and optimizer.updates == {"0": 0}


def test_elementwise_can_come_from_a_mixin_and_ends_with_another_direction():
    class Blocks:
        elementwise = True

    class Same(Blocks, RMSprop):
        pass

    class Other(Blocks, RMSprop):
        def direction(self, g, slots, **hyper):
            return g

    assert Same.elementwise and not Other.elementwise
