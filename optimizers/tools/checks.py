"""The checks of conformance: functions that yield a sentence for each problem that they find."""

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from ..blocks import BLOCK
from ..hyperparameters import CHOICES
from ..parameters import Parameter
from ..registry import available, find
from ..schedules import CosineDecay
from ..tracing import Refusal
from .trial import (
    STEPS,
    Arrays,
    Make,
    Problems,
    closure_of,
    difference,
    error_location,
    flat_slots,
    intercept,
    legal_hyper,
    make_bound,
    random_gradient,
    state_difference,
    step,
    take_steps,
    weights,
    wrapper_chain,
)


def check_descends_on_a_quadratic(make: Make) -> Problems:
    """Require that 400 steps (of an average, 4000) reduce the loss in a bowl to a twentieth."""
    a = np.array([0.2, 4.0])
    return require_descent(make, [-5.0, -2.0], lambda w: (a @ w**2 / 2, a * w), 0.05)


def check_descends_on_rosenbrock(make: Make) -> Problems:
    """Require that 400 steps (4000 of an average) halve the loss in Rosenbrock's valley."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = 1 - w[0], w[1] - w[0] ** 2
        return a**2 + 100 * b**2, np.array([-2 * a - 400 * b * w[0], 200 * b])

    return require_descent(make, [-1.5, 2.0], loss, 0.5)


def require_descent(make: Make, start: list[float], loss: Callable, fraction: float) -> Problems:
    """Yield a problem if no lr takes the loss below this fraction of its first value."""
    first = lowest = loss(np.array(start))[0]
    goal, lr = fraction * first, make(None).lr
    lrs = dict.fromkeys((0.1, 1.0, 0.01, 10.0, 0.3, 0.03, 0.003, 0.001, lr, 10 * lr, 0.1 * lr))
    steps = 4000 if make(None).has_evaluation_weights else 400  # averages follow slowly
    for lr in lrs:
        p = Parameter(np.array(start))
        optimizer = make([p], lr=lr, on_nonfinite="skip")

        def closure(p: Parameter = p) -> float:
            value, p.grad = loss(p.data)
            return value

        with np.errstate(all="ignore"):
            for _ in range(steps // 10):
                for _ in range(10):
                    step(optimizer, closure)
                with optimizer.evaluating():
                    value = loss(p.data)[0]
                if value < goal:
                    return
                if not np.isfinite(value):
                    break
                lowest = min(lowest, value)
    digits = 3 if f"{lowest:.3g}" != f"{goal:.3g}" else 9
    seen = f"{steps} steps with the best of {len(lrs)} lrs take the loss from {first:.3g}"
    required = f"to {lowest:.{digits}g}; it must fall below {goal:.{digits}g}"
    yield f"{seen} {required}; check the sign and the size of u: w ← w − lr·u"


def check_hyperparameters_are_validated(make: Make) -> Problems:
    """Require that unknown and illegal hyperparameters are refused, and then change nothing."""

    def is_refused(name: str, call: Callable[[], Any]) -> bool:
        try:
            call()
        except (TypeError, ValueError) as error:
            return name in str(error)
        return False

    if not is_refused("learning_rate", lambda: make(None, learning_rate=0.1)):
        yield "it accepts learning_rate=0.1, which it does not have; it must raise a TypeError"
    accepted, kept = [], []
    for name, default in make(None).defaults.items():
        wrong = "nonsense" if name in CHOICES or isinstance(default, bool) else float("nan")
        optimizer = make_bound(make)
        before = repr(optimizer)
        calls = partial(make_bound, make, **{name: wrong}), partial(setattr, optimizer, name, wrong)
        if not all(is_refused(name, call) for call in calls):
            accepted.append(f"{name}={wrong!r}")
        elif repr(optimizer) != before:
            kept.append(f"{name}={wrong!r}")
    advice = "leave this to the base class: call super().__setattr__(name, value)"
    if accepted:
        required = "it must raise a ValueError with the name"
        yield f"it accepts {', '.join(accepted)}; {required}; {advice}"
    if kept:
        yield f"it refuses {', '.join(kept)} but keeps the value; {advice} first"


def check_repr_recreates_the_optimizer(make: Make) -> Problems:
    """Require that repr is one line of Python that makes the same optimizer."""
    optimizer = make(None, lr=0.125, **legal_hyper(make, weight_decay=0.5))
    text = repr(optimizer)
    classes = [*map(find, available()), *map(type, wrapper_chain(optimizer))]
    try:
        again = eval(text, {cls.__name__: cls for cls in classes})
        values = [[getattr(x, n) for n in optimizer.defaults] for x in (optimizer, again)]
    except Exception as error:
        yield f"repr is {text}, which raises {type(error).__name__}: {error}; delete your __repr__"
        return
    if repr(again) != text or values[0] != values[1] or "\n" in text:
        required = "it must be one line of Python that makes the same optimizer"
        yield f"repr is {text}; {required}; delete your __repr__"


def check_resumes_bit_for_bit(make: Make) -> Problems:
    """Require the same bits after state_dict, JSON and load_state_dict, and in the next steps."""
    optimizer = make_bound(make, lr=CosineDecay(0.01, 99), **legal_hyper(make, weight_decay=0.01))
    resumed = make_bound(make)
    take_steps(3, optimizer)
    take_steps(20, optimizer, gradient=lambda w, _: w)  # down a bowl: the gradients agree
    for name, w in weights(resumed).items():
        w[...] = optimizer.parameters[name].data
    state = optimizer.state_dict()
    arrays = state.pop("slots")
    resumed.load_state_dict(json.loads(json.dumps(state)) | {"slots": arrays})
    for when in ("after load_state_dict", "4 steps after load_state_dict"):
        if changed := state_difference(optimizer, resumed):
            advice = "keep all that changes in training in the slots, not in attributes or globals"
            yield f"{when} it differs from the saved optimizer in {changed}; {advice}"
            return
        take_steps(4, optimizer, resumed)


def check_keeps_the_dtype(make: Make) -> Problems:
    """Require that u and the floating-point slots have the dtype of the gradients."""
    wrong: list[str] = []

    def call(direction: Any, g: Any, own: Any, h: Any) -> Any:
        u = direction(g, own, **h)
        if (np.asarray(u).dtype, np.shape(u)) != (g.dtype, g.shape):
            received = f"{np.asarray(u).dtype} of shape {np.shape(u)}"
            wrong.append(f"direction returns {received}; it must return {g.dtype}, in g's shape")
        return u

    for dtype in (np.float32, np.float64):
        optimizer = make_bound(make, dtype, **legal_hyper(make, weight_decay=0.01))
        intercept(optimizer, call)
        take_steps(STEPS, optimizer)
        for name, a in flat_slots(optimizer).items():
            if a.ndim and a.dtype.kind == "f" and a.dtype != dtype:
                needed = f"where the gradients have {np.dtype(dtype)}"
                wrong.append(f"the slot {name} has {a.dtype}, {needed}")
    if wrong:
        advice = "compute with Python numbers, no NumPy scalars, and make slots by np.zeros_like(w)"
        yield f"{wrong[0]}; {advice}"


def check_never_writes_into_gradients_or_weights(make: Make) -> Problems:
    """Require that direction writes into its slots only: the base class writes into w."""
    changed: list[str] = []

    def call(direction: Any, g: Any, own: Any, h: Any) -> Any:
        before = deepcopy(weights(optimizer))
        read_only = {k: np.broadcast_to(a, a.shape) for k, a in h.items() if k == "w"}
        u = direction(np.broadcast_to(g, g.shape), own, **h | read_only)
        changed.append(difference(before, weights(optimizer)))  # through self.parameters
        return u

    optimizer = make_bound(make)
    intercept(optimizer, call)
    try:
        take_steps(STEPS, optimizer, read_only=True)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        how = "write g = g * 0.5 instead of g *= 0.5; the base class computes w ← w − lr·u"
        yield f"it writes into g or w{error_location(error)}; {how}"
    if any(changed):
        yield f"direction changes {max(changed)}; return u: the base class computes w ← w − lr·u"


def check_no_two_arrays_share_memory(make: Make) -> Problems:
    """Require that weights, gradients and slots stay arrays of their own."""
    optimizer = make_bound(make, **legal_hyper(make, momentum=0.5))
    before = weights(optimizer)
    for _ in range(STEPS):
        take_steps(1, optimizer)
        if any(w is not before[name] for name, w in weights(optimizer).items()):
            yield "a step replaces p.data, which others hold, too; write into it: p.data[...] = …"
            return
        named = weights(optimizer) | flat_slots(optimizer)
        named |= {f"{n}.grad": p.grad for n, p in optimizer.parameters.items()}
        for (m, a), (n, b) in itertools.combinations(named.items(), 2):
            if np.shares_memory(a, b):
                yield f"{m} and {n} share memory: a write into one changes both; store a copy"
                return


def check_zero_gradients(make: Make) -> Problems:
    """Require no inf or NaN if gradients are 0, or equal in two steps."""
    cases = [  # what, steps with random gradients before, factor of the gradients of 3 steps
        ("gradients of 0", 0, 0), ("gradients of 0 after 3 others", 3, 0),
        ("equal gradients in two steps", 1, 1),
    ]  # fmt: skip
    for what, before, factor in cases:
        optimizer = make_bound(make)
        take_steps(before, optimizer)
        take_steps(3, optimizer, gradient=lambda w, _, f=factor: f * random_gradient(w, 0))
        bad = [n for n, w in weights(optimizer).items() if not np.isfinite(w).all()]
        bad += [n for n, a in flat_slots(optimizer).items() if np.isnan(a).any()]
        if bad:
            yield f"{what} make {bad[0]} inf or NaN; add an eps > 0 to the denominator"
            return


def check_parameter_without_gradient(make: Make) -> Problems:
    """Require that a parameter without a gradient, and its slots, stay unchanged."""
    optimizer = make_bound(make)
    take_steps(2, optimizer)
    rule = wrapper_chain(optimizer)[-1]

    def state() -> Arrays:  # a wrapper may move all weights
        arrays = flat_slots(rule) | (weights(rule) if rule is optimizer else {})
        return deepcopy({n: a for n, a in arrays.items() if n.startswith("vector")})

    before = state()
    take_steps(1, optimizer, without="vector")
    for key, a in rule.slots["vector"].items():
        if a.ndim == 0 and all(a == slots.get(key) for slots in rule.slots.values()):
            before[f"vector/{key}"] = a  # a number that all parameters share
    if changed := difference(before, state()):
        how = "skip parameters whose grad is None; only numbers that all share may change"
        yield f"a step without a gradient changes {changed}; {how}"
    required = {name: 3 - (name == "vector") for name in optimizer.updates}
    if optimizer.updates != required:
        counts = f"{[*required.values()]}, not {[*optimizer.updates.values()]}"
        yield f"updates must count the steps with a gradient, {counts}; leave it to super().step()"


def check_same_steps_give_the_same_bits(make: Make) -> Problems:
    """Require that two optimizers with the same gradients end with the same bits."""
    one, other = make_bound(make), make_bound(make)
    take_steps(STEPS, one, other)
    if changed := state_difference(one, other):
        yield f"the same steps give different bits in {changed}; use no randomness or global state"


def check_large_arrays(make: Make) -> Problems:
    """Require that updating a large array block by block changes no bit, if elementwise = True."""
    if not make(None).elementwise:
        return
    g = np.sin(np.arange(BLOCK + 5, dtype=float))
    large, tail = Parameter(np.ones(g.size)), Parameter(np.ones(7))

    def closure() -> float:
        large.grad, tail.grad = g, g[-7:].copy()
        return 0.5

    optimizer = make([large, tail], **legal_hyper(make, momentum=0.5))
    step(optimizer, closure)
    step(optimizer, closure)
    if not np.array_equal(large.data[-7:], tail.data):
        how = "an element of u may need no other element of g; or delete elementwise = True"
        yield f"a large array, updated in blocks, gets other bits than a small one; {how}"


def check_compiled_steps_have_the_same_bits(make: Make) -> Problems:
    """Require that compile() changes no bit, where it is possible."""
    for dtype in (np.float32, np.float64):
        hyper = legal_hyper(make, momentum=0.5, weight_decay=0.01)
        plain, compiled = (make_bound(make, dtype, **hyper) for _ in range(2))
        try:
            compiled.compile()
        except (ImportError, Refusal):
            return
        take_steps(STEPS, plain, compiled)
        if changed := state_difference(plain, compiled):
            how = "let direction depend on nothing but its arguments"
            yield f"compile() changes bits of {changed}; {how}"
            return


def check_groups_have_their_own_values(make: Make) -> Problems:
    """Require that a group with a value of its own steps like an optimizer with this value."""
    if [*check_same_steps_give_the_same_bits(make)]:
        return  # it would differ from itself
    rule, wrong = wrapper_chain(make(None))[-1], dict[str, Any]()
    overridable = {k: v for k, v in rule.defaults.items() if k not in rule.not_overridable}
    for name, value in overridable.items():
        others: list[Any] = [not value] if isinstance(value, bool) else []
        others += [0.9 * value, 1.1 * value, 0.1] if isinstance(value, float) else []
        for other in [x for x in others if x != value]:
            try:
                alone = make_bound(make, group={}, **{name: other})
            except ValueError:  # an illegal value, or it contradicts another
                continue
            grouped = make_bound(make, group={name: other})
            take_steps(3, alone, grouped)
            if state_difference(alone, grouped):
                wrong[name] = other
            break
    if wrong:
        pairs = [f"{k}={x}" if x in (True, False) else f"{k}={x:.6g}" for k, x in wrong.items()]
        how = f"take {', '.join(wrong)} as a keyword of direction; in update, read h[name]"
        values = ", ".join(pairs)
        yield f"a group with {values} does not take the steps of an optimizer with the same; {how}"


def check_evaluating_restores_the_weights(make: Make) -> Problems:
    """Require finite weights in evaluating(), and the old weights after it, also after an error."""
    optimizer, other = make_bound(make), make_bound(make)
    how = "evaluation_weight must return a new array of finite numbers, and write into nothing"
    for error in (None, None, InterruptedError()):
        before = deepcopy(weights(optimizer))
        with suppress(InterruptedError), optimizer.evaluating():
            bad = [n for n, w in weights(optimizer).items() if not np.isfinite(w).all()]
            if error:
                raise error
        if bad:
            yield f"after {optimizer.steps} steps evaluating() makes {bad[0]} inf or NaN; {how}"
            return
        if changed := difference(before, weights(optimizer)):
            when = "after an exception " if error else ""
            yield f"{when}evaluating() does not restore {changed}; {how}"
            return
        take_steps(2, optimizer, other)
    if changed := state_difference(optimizer, other):
        yield f"after evaluating(), the next steps have other bits in {changed}; {how}"


def check_step_returns_the_loss(make: Make) -> Problems:
    """Require that step(closure) calls the closure and returns its loss."""
    optimizer = make_bound(make)
    loss = optimizer.step(closure_of(optimizer))
    if loss != 0.5:
        how = "write return super().step(closure), or return self.inner.step(closure)"
        yield f"step(closure) returns {loss!r}, not the closure's loss 0.5; {how}"
