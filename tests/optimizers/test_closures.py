"""step(closure): it calls the closure, returns its result and changes no bit."""

import numpy as np
import pytest

from minigrad.optimizers import EMA, SGD, Adam, AdamW, Lion, Optimizer, RMSprop
from tests.optimizers.helpers import parameter


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
