"""explain(): its lines, run as a Python program, compute the same step."""

import math
import re
from copy import deepcopy
from dataclasses import field
from typing import Any

import numpy as np
import pytest

from minigrad.optimizers import (
    SGD,
    Adadelta,
    AdaGrad,
    Adam,
    AdamW,
    CosineDecay,
    Lion,
    NAdam,
    Optimizer,
    Parameter,
    RMSprop,
)

CONFIGURED = [
    SGD(lr=0.1),
    SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1, maximize=True),
    SGD(lr=0.1, momentum=0.9, dampening=0.25, lr_in_momentum=True),
    AdaGrad(lr=0.1, lr_decay=0.5, initial_accumulator=0.1, weight_decay=0.1),
    RMSprop(lr=0.1, momentum=0.9, weight_decay=0.1, decoupled_weight_decay=True),
    RMSprop(lr=0.1, centered=True, eps_in_sqrt=True, bias_correction=True, eps=0.01),
    Adam(lr=CosineDecay(0.1, 9), weight_decay=0.1),
    Adam.as_in("keras", amsgrad=True),
    Adam.as_in("optax", amsgrad=True, eps_root=0.01),
    AdamW(lr=0.1),
    Adadelta(lr=0.1),
    NAdam(lr=0.1),
    Lion(lr=0.1, weight_decay=0.1),
]


def program(lines):
    """Return the lines of an explanation as Python code."""
    text = "\n".join(lines).replace("←", "=").replace("·", "*").replace("−", "-")
    text = re.sub(r"√(\w+)", r"sqrt(\1)", text.replace("√(", "sqrt("))
    return text.replace("²", "**2").replace("′", "_").replace("maximum", "max")


@pytest.mark.parametrize("optimizer", CONFIGURED, ids=repr)
def test_the_lines_compute_the_step(optimizer):
    p = Parameter(np.array([0.8]))
    optimizer.bind([p])
    for g in (0.3, -0.7):
        p.grad = np.array([g])
        optimizer.step()
    head, *lines, foot = optimizer.explain().splitlines()
    assert head == f"{optimizer!r} after 2 steps, for 0:"
    p.grad, letters = np.array([0.4]), re.findall(r"(\w+) = (\w+)", foot)
    values = {"w": float(p.data[0]), "g": 0.4}
    values |= {letter: float(optimizer.slots["0"][slot].item()) for letter, slot in letters}
    exec(program([line.strip() for line in lines]), vars(math) | {"sign": np.sign}, values)
    optimizer.step()
    assert values["w"] == pytest.approx(p.data[0], rel=1e-7)
    for letter, slot in letters:
        assert values[letter] == pytest.approx(optimizer.slots["0"][slot].item(), rel=1e-6)


def lines_of(optimizer):
    return [line.strip() for line in optimizer.bind([Parameter(np.ones(2))]).explain().splitlines()]


def test_only_what_is_switched_on_is_shown():
    assert lines_of(SGD(lr=0.5)) == [
        "SGD(lr=0.5) after 0 steps, for 0:",
        "w ← w − 0.5·g",
        "the convention of torch, keras, optax, d2l",
    ]
    assert lines_of(RMSprop.as_in("keras", clip_norm=2.0))[1:5] == [
        "g = g·min(1, 2 / ‖g‖)",
        "v ← 0.9·v + 0.1·g²",
        "u = g / √(v + 1e-07)",
        "w ← w − 0.001·u",
    ]


@pytest.mark.parametrize(
    "optimizer, frameworks",
    [
        (RMSprop(eps=1e-3, rho=0.5), "torch, keras2"),
        (RMSprop(eps_in_sqrt=True), "keras, optax, d2l"),
        (RMSprop(eps_in_sqrt=True, momentum=0.5), "d2l"),
        (RMSprop(eps_in_sqrt=True, momentum=0.5, lr_in_momentum=True), "keras, optax"),
        (RMSprop.as_in("tf1"), "tf1"),
        (Adam(), "torch, optax, d2l"),
        (Adam(amsgrad=True), "torch, d2l"),
        (Adam(eps_hat=True), "keras"),
        (Adam(eps_in_sqrt=True), "none of the frameworks known here"),
    ],
)
def test_the_frameworks_with_the_same_convention_are_named(optimizer, frameworks):
    assert lines_of(optimizer)[-1].endswith(f"the convention of {frameworks}")


def test_every_group_has_its_own_lines():
    groups = [{"params": [Parameter(np.ones(2))], "lr": 0.5}, {"params": [Parameter(np.ones(2))]}]
    text = SGD(groups, lr=0.25).explain()
    assert "for 0:\n    w ← w − 0.5·g\n" in text
    assert "for 1:\n    w ← w − 0.25·g\n" in text


def test_update_of_a_rule_shows_the_value_of_its_group():
    class Scaled(Optimizer):
        k: float = 2.0

        def direction(self, g, slots, *, k):
            return g

        def update(self, w, g, slots, h):
            super().update(w, self.k * g, slots, h)

    w = Parameter(np.zeros(3), grad=np.ones(3))
    optimizer = Scaled([{"params": [w], "k": 5.0}], lr=0.1)
    assert "g′ = 5·g" in optimizer.explain()
    optimizer.step()
    assert w.data.tolist() == [-0.5] * 3


def test_the_docstring_replaces_lines_that_cannot_be_traced():
    class Normed(Optimizer):
        """u = g / ‖g‖."""

        def direction(self, g, slots):
            return g / np.linalg.norm(g)

    assert lines_of(Normed())[2] == "u = g / ‖g‖."


def test_the_docstring_comes_with_the_stages_of_the_base_class():
    class Normed(Optimizer):
        """u = g / ‖g‖."""

        def direction(self, g, slots):
            return g / np.linalg.norm(g)

    assert lines_of(Normed(lr=0.5, momentum=0.9, weight_decay=0.1))[2:-1] == [
        "u = g / ‖g‖.",
        "g′ = g + 0.1·w",
        "u = direction(g′)",
        "b ← 0.9·b + u",
        "w ← w − 0.5·b",
    ]


def test_parameters_of_a_group_with_other_steps_have_lines_of_their_own():
    class ByAxes(Optimizer):
        """In words."""

        def direction(self, g, slots, *, w, t):
            return g / t if w.ndim > 1 else g

    params = {n: Parameter(np.ones(s)) for n, s in {"a": 2, "b": (2, 2), "c": 3}.items()}
    optimizer = ByAxes(params.items(), lr=1.0)
    params["b"].grad = np.ones((2, 2))
    optimizer.step()
    head = "ByAxes(lr=1.0) after 1 steps, for "
    foot = "the convention of none of the frameworks known here"
    one, two = ["    w ← w − 1·g", foot], ["    u = g / 2", "    w ← w − 1·u", foot]
    expected = [f"{head}a, c:", *one, f"{head}b:", *two]
    assert optimizer.explain().splitlines() == expected
    adam = Adam(params.items(), lr=1.0)
    adam.step()
    assert adam.explain().count("after 1 steps, for") == 2  # t is 2 for b, 1 for a and c


def test_numbers_among_the_slots_have_a_line():
    class Sums(Optimizer):
        """In words."""

        def init(self, w):
            return {"total": np.array(0.5), "rows": np.zeros(3), "kept": np.array(2)}

        def direction(self, g, slots, *, lr):
            slots["total"] += lr**2
            slots["rows"] += 1
            slots.setdefault("n", np.array(1))
            return g / float(slots["total"])

    assert lines_of(Sums(lr=0.5))[1:-1] == [
        "u = g / 0.75",
        "total ← 0.75",
        "rows changes, too",
        "n ← 1",
        "w ← w − 0.5·u",
    ]
    product = 0.9 * (1 - 0.5 * 0.96**0.004)
    assert f"mu_product ← {product:.9g}" in lines_of(NAdam())


def test_an_unbound_optimizer_can_be_explained():
    optimizer = RMSprop(lr=0.5, momentum=0.9)
    bound = RMSprop([("no parameters yet", Parameter(np.ones(3)))], lr=0.5, momentum=0.9)
    assert optimizer.explain() == bound.explain()
    assert "for no parameters yet:\n    v ← 0.9·v + 0.1·g²\n" in optimizer.explain()
    assert not (optimizer.groups or optimizer.parameters or optimizer.slots)


def test_a_rule_that_uses_old_state_is_not_shown_with_new_state():
    class Old(Optimizer):
        """u = 2·z − 2·(z − g)."""

        def init(self, w):
            return {"z": np.zeros_like(w)}

        def direction(self, g, slots):
            z = slots["z"]
            old = 2 * z
            z -= g
            return old - 2 * z

    class Kept(Old):
        """u = 2·z + g, z ← z − g."""

        def direction(self, g, slots):
            old = 2 * slots["z"]
            slots["z"] -= g
            return old + g

    class Late(Old):
        """Lines in the order of the slots would show the new a in b."""

        def init(self, w):
            return {"a": np.zeros_like(w), "b": np.zeros_like(w)}

        def direction(self, g, slots):
            slots["b"] += slots["a"]
            slots["a"] -= g
            return g

    for rule, text in (Old, "2·z"), (Late, "b + a"):
        note, docstring, *stages = lines_of(rule(lr=1.0))[1:-1]
        reason = f"{text} uses values from before an assignment"
        assert note == f"(its code cannot be shown as equations: {reason}; this is its docstring)"
        assert docstring == rule.__doc__
        assert stages == ["u = direction(g)", "w ← w − 1·u"]
    assert lines_of(Kept(lr=1.0))[1:-1] == ["u = 2·z + g", "z ← z − g", "w ← w − 1·u"]


def subtracts_old(g, slots):
    old = 2 * slots["z"]
    slots["z"] -= g
    return slots["z"] - old


def reads_an_alias(g, slots):
    old = slots["z"]
    slots["z"] -= g
    return old + g


def replaces(g, slots):
    slots["z"] = 0.5 * slots["z"] + g
    return slots["z"]


def reads_before_it_replaces(g, slots):
    u = 2 * slots["z"]
    slots["z"] = 3 * g
    return u


def swaps(g, slots):
    slots["z"], slots["y"] = slots["y"] + g, slots["z"]
    return g


def shares_an_array(g, slots):
    slots["y"] = slots["z"]
    slots["z"] += g
    return slots["y"] + 1


def makes_a_slot(g, slots):
    m = slots.setdefault("mean", np.zeros_like(g))
    m += 2 * g
    return m


def uses_a_copy(g, slots):
    old = np.array(slots["z"])
    slots["z"] -= g
    return old - slots["z"]


def uses_a_deepcopy(g, slots):
    old = deepcopy(slots["z"])
    slots["z"] -= g
    return old - slots["z"]


def uses_a_mask(g, slots):
    return g * (g > 0)


def writes_where_a_mask_is(g, slots):
    u = 2 * g
    u[g < 0] = 0
    return u


def branches(g, slots):
    return g if slots["z"] < 0 else 2 * g


def assigns_elements(g, slots):
    slots["z"][0] = g
    return g


def assigns(g, slots):
    slots["z"][...] = g
    return g


def assigns_twice(g, slots):
    slots["y"][:] = slots["z"]
    slots["z"][:] = g + slots["y"]
    slots["y"][...] += 3 * g
    return 2 * slots["z"]


def assigns_after_reading(g, slots):
    old = 2 * slots["z"]
    slots["z"][...] -= g
    slots["y"][...] = 0
    return old


def assigns_a_value_that_changes(g, slots):
    d = 2 * g
    slots["z"][...] = d
    d *= 3
    return slots["z"] + d


def assigns_and_changes_the_source(g, slots):
    slots["y"][...] = 2 * slots["z"]
    slots["z"] += g
    return slots["z"] + slots["y"]


def branches_on_the_shape(g, slots):
    return 2 * g if g.ndim == 1 and g.shape == (2,) and g.size == 2 else g


def takes_a_norm(g, slots):
    return g / np.linalg.norm(g)


def takes_a_mean(g, slots):
    return g - g.mean()


def needs_a_number(g, slots):
    return g * float(slots["z"])


def looks_up(g, slots):
    return g * slots["lost"]


def changes_a_derived_value(g, slots):
    d = 1 * g
    e = d + slots["z"]
    d *= 3
    return d - e


def reduces(g, slots):
    return np.maximum.reduce(g) * g


def drops_a_slot(g, slots):
    return g + slots.pop("z")


def makes_a_constant(g, slots):
    slots["z"] = np.zeros(2)
    return g


OLD = "uses values from before an assignment"


@pytest.mark.parametrize(
    "rule, expected",
    [
        (reads_an_alias, "z ← z − g; u = z + g"),
        (replaces, "u = 0.5·z + g; z ← 0.5·z + g"),
        (reads_before_it_replaces, "u = 2·z; z ← 3·g"),
        (shares_an_array, "z ← z + g; u = z + 1; y ← z"),
        (makes_a_slot, "u = 0 + 2·g; m ← 0 + 2·g"),
        (uses_a_mask, "u = g·greater(g, 0)"),
        (changes_a_derived_value, "u = 3·1·g − (1·g + z)"),
        (assigns, "z ← g"),
        (assigns_twice, "y ← z; z ← g + y; u = 2·z; y ← y + 3·g"),
        (assigns_after_reading, "u = 2·z; z ← z − g; y ← 0"),
        (assigns_a_value_that_changes, "z ← 2·g; u = z + 3·2·g"),
        (branches_on_the_shape, "u = 2·g"),
        *((rule, OLD) for rule in (subtracts_old, swaps, assigns_and_changes_the_source)),
        *(
            (rule, "it branches on values of an array, or reads")
            for rule in (uses_a_copy, needs_a_number)
        ),
        (uses_a_deepcopy, "or reads or copies them"),
        (branches, "it branches on values of an array"),
        *((rule, "single elements") for rule in (writes_where_a_mask_is, assigns_elements)),
        (reduces, "np.maximum.reduce has no formula"),
        (takes_a_norm, "numpy.linalg.norm has no formula"),
        (takes_a_mean, ": .mean has no formula"),
        (looks_up, "it raises KeyError: 'lost'"),
        *((rule, "it drops a slot, or makes a") for rule in (drops_a_slot, makes_a_constant)),
    ],
)
def test_a_name_stands_for_the_value_that_it_has_in_this_line(rule, expected):
    class Rule(Optimizer):
        """In words."""

        def init(self, w):
            return {"z": np.zeros_like(w), "y": np.zeros_like(w)}

        def direction(self, g, slots):
            return rule(g, slots)

    lines = lines_of(Rule(lr=1.0))[1:-1]
    if lines[0].startswith("(its code cannot be shown as equations: "):
        assert expected in lines[0] and lines[1] == "In words."
    else:
        assert lines[:-1] == expected.split("; ")


def test_two_slots_that_share_an_array_are_not_shown():
    class Shares(Optimizer):
        """In words."""

        def init(self, w):
            return dict.fromkeys("zy", np.zeros_like(w))

        def direction(self, g, slots):
            slots["z"] += g
            return slots["y"]

    assert lines_of(Shares())[2] == "In words."


def test_a_rule_that_names_w_is_shown():
    class Pulls(Optimizer):
        """u = g + w / 2."""

        def direction(self, g, slots, *, w):
            return g + w / 2

    lines = ["u = g + w / 2", "w ← w − 1·u"]
    assert lines_of(Pulls(lr=1.0))[1:-1] == lines
    assert lines_of(Pulls(lr=1.0, weight_decay=0.5))[1:-1] == [
        "g′ = g + 0.5·w",
        "u = g′ + w / 2",
        *lines[1:],
    ]


def test_explain_changes_nothing():
    class Counts(Optimizer):
        """u = g."""

        seen: Any = field(default_factory=list, init=False)

        def direction(self, g, slots):
            self.seen.append(g)
            return g

    optimizer = Counts()
    assert "w ← w − 0.001·g" in lines_of(optimizer) and optimizer.seen == []


def test_another_rule_has_not_the_conventions_of_its_parent():
    def update(self, w, g, slots, h):
        Optimizer.update(self, w, g / 2, slots, h)

    def step(self, closure=None):
        return Optimizer.step(self, closure)

    def evaluation_weight(self, w, slots):
        return w

    stages = dict(update=update, step=step, evaluation_weight=evaluation_weight)
    stages |= dict(init=Optimizer.init, direction=SGD.direction)
    stages |= dict(hyperparameters_at_step=SGD.hyperparameters_at_step)
    stages |= {name: staticmethod(getattr(SGD, name)) for name in ("apply_momentum", "clip")}
    for name, stage in stages.items():
        other = type("Other", (SGD,), {name: stage})
        assert lines_of(other())[-1] == "the convention of none of the frameworks known here", name
    named = type("Named", (SGD,), {})
    assert lines_of(named())[-1] == "the convention of torch, keras, optax, d2l"


def test_the_lines_of_the_base_class_are_not_shown_for_another_step():
    class Other(SGD):
        """In words."""

        def step(self, closure=None):
            super().step(closure)
            return super().step(closure)

    class Clips(SGD):
        """In words."""

        clip = staticmethod(lambda g, h: g)

    assert lines_of(Other())[2] == lines_of(Clips(clip_norm=1.0))[2] == "In words."


def test_explain_without_docstring_does_not_print_the_signature():
    class Silent(Optimizer):
        def direction(self, g, slots):
            return np.where(g > 0, g, 0)

    assert "docstring)\n    none\n" in Silent().explain()
