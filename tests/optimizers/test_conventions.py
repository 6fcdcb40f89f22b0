"""Conventions of frameworks that are not stored in golden/, checked with plain numbers."""

from math import sqrt

import numpy as np
import pytest

from minigrad.optimizers import SGD, Adadelta, AdaGrad, Adam, Parameter, RMSprop

GRADIENTS = [0.5, -0.25, 1e-5, 2.0, 0.0, -1.5]
RATES = [0.1, 0.2, 0.05, 0.1, 0.3, 0.02]


def our_weight(optimizer_class, framework, **hyper):
    w = Parameter(np.array([1.0]))
    optimizer = optimizer_class.as_in(framework, [w], lr=lambda t: RATES[t], **hyper)
    for g in GRADIENTS:
        w.grad = np.array([g])
        optimizer.step()
    return w.data[0]


def weight_by_hand(change, state):
    """Return w after w ← w − change(g, lr, t, state, w) for every gradient; state is updated."""
    w = 1.0
    for t, (g, lr) in enumerate(zip(GRADIENTS, RATES), start=1):
        w -= change(g, lr, t, state, w)
    return w


def keras2_rmsprop(g, lr, t, s, w):
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    return lr * g / (sqrt(s["v"]) + 1e-7)


def tf1_rmsprop(g, lr, t, s, w):
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    s["b"] = 0.8 * s["b"] + lr * g / sqrt(s["v"] + 1e-10)
    return s["b"]


def tf1_centered(g, lr, t, s, w):
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    s["m"] = 0.9 * s["m"] + 0.1 * g
    return lr * g / sqrt(s["v"] - s["m"] ** 2 + 1e-10)


def tf1_l2(g, lr, t, s, w):
    return tf1_rmsprop(g + 0.1 * w, lr, t, s, w)


def d2l_rmsprop(g, lr, t, s, w):
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    return lr * g / sqrt(s["v"] + 1e-6)


def d2l_adagrad(g, lr, t, s, w):
    s["v"] += g * g
    return lr * g / sqrt(s["v"] + 1e-6)


def d2l_adam(g, lr, t, s, w):
    s["m"] = 0.9 * s["m"] + 0.1 * g
    s["v"] = 0.999 * s["v"] + 0.001 * g * g
    return lr * s["m"] / (1 - 0.9**t) / (sqrt(s["v"] / (1 - 0.999**t)) + 1e-6)


def d2l_adadelta(g, lr, t, s, w):
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    u = sqrt(s["d"] + 1e-5) / sqrt(s["v"] + 1e-5) * g
    s["d"] = 0.9 * s["d"] + 0.1 * u * u
    return lr * u


def d2l_momentum(g, lr, t, s, w):
    s["b"] = 0.8 * s["b"] + g
    return lr * s["b"]


@pytest.mark.parametrize(
    "optimizer_class, framework, hyper, change, v0",
    [
        (RMSprop, "keras2", {}, keras2_rmsprop, 0.0),
        (RMSprop, "tf1", dict(momentum=0.8), tf1_rmsprop, 1.0),
        (RMSprop, "tf1", dict(centered=True), tf1_centered, 1.0),
        (RMSprop, "tf1", dict(momentum=0.8, weight_decay=0.1), tf1_l2, 1.0),
        (RMSprop, "d2l", {}, d2l_rmsprop, 0.0),
        (AdaGrad, "d2l", {}, d2l_adagrad, 0.0),
        (Adam, "d2l", {}, d2l_adam, 0.0),
        (Adadelta, "d2l", {}, d2l_adadelta, 0.0),
        (SGD, "d2l", dict(momentum=0.8), d2l_momentum, 0.0),
    ],
)
def test_each_convention_takes_the_steps_by_hand(optimizer_class, framework, hyper, change, v0):
    state = dict(v=v0, m=0.0, b=0.0, d=0.0)
    expected = weight_by_hand(change, state)
    assert our_weight(optimizer_class, framework, **hyper) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    "framework, size",
    [("torch", 3.152), ("keras2", 3.065), ("optax", 0.100), ("keras", 0.0316), ("d2l", 0.010)],
)
def test_the_first_step_at_a_tiny_gradient_has_the_length_of_the_convention(framework, size):
    w = Parameter(np.zeros(1), np.array([1e-5]))
    RMSprop.as_in(framework, [w], lr=1.0, rho=0.9).step()
    assert -w.data[0] == pytest.approx(size, abs=6e-4 if size > 0.05 else 6e-5)


@pytest.mark.parametrize(
    "optimizer, end",
    [
        (RMSprop(lr=0.4, eps=1e-6, eps_in_sqrt=True), [-0.01059867213411372, 1.0362121337e-14]),
        (AdaGrad(lr=0.4, eps=1e-6, eps_in_sqrt=True), [-2.382562771979649, -0.1585905500366697]),
        (AdaGrad(lr=2.0, eps=1e-6, eps_in_sqrt=True), [-0.002295340252192116, 0.0]),
        (SGD(lr=0.4), [-0.9434666458139824, -7.312316880125978e-05]),
        (SGD(lr=0.6), [-0.3878139681909479, -1673.365108505695]),
        (SGD(lr=0.6, momentum=0.5), [0.007187866737294238, 0.002553274754712074]),
        (SGD(lr=0.6, momentum=0.25), [-0.1263396302056502, -0.1866322301151672]),
    ],
)
def test_the_path_on_a_quadratic_ends_where_the_textbooks_does(optimizer, end):
    w = Parameter(np.array([-5.0, -2.0]))
    optimizer.bind([w])
    for _ in range(20):
        w.grad = np.array([0.2, 4.0]) * w.data
        optimizer.step()
    assert w.data == pytest.approx(end, rel=1e-9, abs=1e-16)
