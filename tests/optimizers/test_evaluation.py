"""Weights for evaluation: evaluating() puts them in place and restores the training weights."""

import threading

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.optimizers import EMA, SGD, Adam, Optimizer, Wrapper, get
from tests.optimizers.helpers import parameter, take_steps


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


class Perturbs(Wrapper):
    """Compute the gradients at w + 1."""

    def step(self, closure=None):
        if closure is not None:
            w, _ = next(self.weights())
            w += 1
            closure()
            w -= 1
        return self.inner.step()


@pytest.mark.parametrize(
    "make", [Average, lambda p, lr: EMA(SGD(p, lr=lr)), lambda p, lr: Perturbs(Average(p, lr=lr))]
)
def test_a_thread_that_evaluates_waits_for_the_closure(make):
    p = parameter(1.0)
    optimizer = make([p], lr=0.0)
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
    assert seen == ["computed", "evaluated"] and p.data == 1.0


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
