"""Mistakes in custom rules: each raises an error that says what to write."""

import functools

import numpy as np
import pytest

from minigrad.optimizers import SGD, Optimizer, Parameter, Wrapper, get, register
from tests.optimizers.helpers import parameter, take_steps

# ---- Declarations ----


def declares_without_annotation():
    class Unannotated(Optimizer):
        beta = 0.9

        def direction(self, g, slots, *, beta):
            return beta * g


def inherits_without_annotation():
    class Inherits(SGD):
        lr = 0.5


def declares_without_default():
    class NoDefault(Optimizer):
        beta: float


def asks_for_what_is_not_declared():
    class Undeclared(Optimizer):
        def direction(self, g, slots, *, beta):
            return beta * g


def has_a_keyword_without_default():
    @register("no_default")
    def no_default(g, slots, *, beta):
        return beta * g


def defines_init():
    class Torch(Optimizer):
        def __init__(self, params, lr=0.1, beta=0.9):
            super().__init__(params, lr=lr)
            self.beta = beta


def takes_a_hyperparameter_by_position():
    class Positional(Optimizer):
        beta: float = 0.9

        def direction(self, g, slots, beta):
            return beta * g


def uses_a_name_of_the_base_class():
    class Named(Optimizer):
        t: float = 1.0


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (
            declares_without_annotation,
            r"^Unannotated: beta = 0\.9 has no annotation.*; write beta: float = 0\.9$",
        ),
        (
            inherits_without_annotation,
            r"^Inherits: lr = 0\.5 has no annotation.*; write lr: float = 0\.5$",
        ),
        (
            declares_without_default,
            r"^NoDefault: the hyperparameter beta has no default; write beta: float = 0\.9",
        ),
        (
            asks_for_what_is_not_declared,
            r"no hyperparameter 'beta' .*Declare it in the class: beta: float = 0\.9",
        ),
        (
            has_a_keyword_without_default,
            r"^no_default: the keyword beta has no default; write beta=0\.9 to make it",
        ),
        (defines_init, r"^Torch must not define __init__; declare .* such as beta: float = 0\.9$"),
        (
            takes_a_hyperparameter_by_position,
            r"^Positional: write direction\(self, g, slots, \*, hyper.*argument: 'beta'$",
        ),
        (uses_a_name_of_the_base_class, r"^Named: Optimizer uses the name 't'; rename it$"),
    ],
)
def test_each_mistake_in_a_declaration_has_its_own_message(declare, message):
    with pytest.raises(TypeError, match=message):
        declare()


def test_a_direction_with_an_unknown_keyword_is_refused_at_definition():
    with pytest.raises(TypeError, match="Odd has no hyperparameter 'betta'; did you mean 'beta'"):

        class Odd(Optimizer):
            beta: float = 0.5

            def direction(self, g, slots, *, betta):
                return g


def test_a_stage_of_the_parents_rule_cannot_be_forgotten():
    class Heavy(Optimizer):
        momentum: float = 0.9

        def direction(self, g, slots, *, momentum):
            return momentum * g

    with pytest.raises(TypeError, match=r"Sign: direction must name momentum among its keywords"):

        class Sign(Heavy):
            def direction(self, g, slots):
                return np.sign(g)


def test_a_predefined_callable_object_is_refused():
    with pytest.raises(
        TypeError, match=r"needs a class or a function, received functools\.partial"
    ):
        register("x")(functools.partial(lambda g, slots, a: g, a=1.0))


def test_a_group_cannot_override_what_only_a_custom_step_reads():
    class OwnStep(Optimizer):
        k: float = 0.5

        def step(self, closure=None):
            result = super().step(closure)
            for p in self.parameters.values():
                p.data *= self.k
            return result

        def direction(self, g, slots):
            return g

    groups = [{"params": [parameter(4.0)], "k": 0.25}]
    for change in (
        lambda: OwnStep(groups),
        lambda: OwnStep([parameter(4.0)]).groups[0].update(k=0.25),
    ):
        with pytest.raises(TypeError, match=r"own k: .*direction\(self, g, slots, \*, k\)"):
            change()


# ---- What direction and init return ----


def rule_that_returns(u):
    return type("Mine", (Optimizer,), {"direction": lambda self, g, slots: u(g)})


@pytest.mark.parametrize(
    ("u", "received"),
    [
        (lambda g: None, "NoneType"),
        (lambda g: g.sum(), r"\(\)"),
        (lambda g: g[:1], r"\(1,\)"),
        (lambda g: [1.0, 2.0], "list"),
    ],
)
def test_a_direction_must_return_an_array_like_g(u, received):
    p = parameter(1.0, 2.0)
    optimizer = rule_that_returns(u)([p])
    for _ in range(2):  # the second time, too
        with pytest.raises(
            TypeError, match=rf"Mine: direction .* must .* \(2,\), .*returned {received}"
        ):
            take_steps(optimizer)
    assert p.data.tolist() == [1, 2]
    rule_that_returns(lambda g: g.sum())([Parameter(np.array(4.0), np.array(1.0))]).step()


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


def test_the_name_of_the_momentum_buffer_is_taken():
    class Own(Optimizer):
        def init(self, w):
            return {"momentum_buffer": np.zeros_like(w)}

        def direction(self, g, slots):
            return g

    take_steps(Own([parameter(1.0)]))
    with pytest.raises(TypeError, match="Own: rename the slot momentum_buffer"):
        Own([parameter(1.0)], momentum=0.5)
