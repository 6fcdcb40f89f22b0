"""Properties for every input: invariance to scale and order, and rules equal to each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minigrad.optimizers import SGD, AdaGrad, Adam, AdamW, Parameter, RMSprop, get

sizes = st.floats(1e-3, 1e3)
signed = st.builds(lambda size, sign: size * sign, sizes, st.sampled_from([-1.0, 1.0]))
paths = arrays(float, (6, 4), elements=signed)
powers = st.integers(-30, 30).map(lambda k: 2.0**k)


def train(optimizer, gradients, start=(1.0, -2.0, 3.0, -4.0)):
    w = Parameter(np.array(start))
    optimizer.bind([w])
    for g in gradients:
        w.grad = g
        optimizer.step()
    return w.data


@given(paths, powers)
def test_without_eps_the_step_does_not_depend_on_the_scale_of_the_gradients(g, factor):
    for optimizer_class, hyper in (
        (RMSprop, {}),
        (RMSprop, dict(centered=True)),
        (AdaGrad, {}),
        (Adam, {}),
    ):
        # a power of 2 changes the exponent's bits only
        plain, scaled = (
            train(optimizer_class(lr=0.1, eps=0.0, **hyper), x) for x in (g, g * factor)
        )
        assert np.array_equal(plain, scaled)


@given(paths, st.floats(0.5, 0.999))
def test_adam_with_beta1_0_is_rmsprop_with_bias_correction(g, rho):
    adam = Adam(lr=0.1, beta1=0.0, beta2=rho)
    assert train(adam, g) == pytest.approx(
        train(RMSprop(lr=0.1, rho=rho, bias_correction=True), g), rel=1e-12, abs=1e-12
    )


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion"])
@settings(max_examples=20)
@given(g=paths, order=st.permutations(range(4)))
def test_permuting_the_coordinates_permutes_the_result(name, g, order):
    start = np.array([1.0, -2.0, 3.0, -4.0])
    straight = train(get(name, lr=0.1), g, start)
    assert np.array_equal(straight[order], train(get(name, lr=0.1), g[:, order], start[order]))


@given(st.floats(1e-3, 1.0), st.floats(1e-3, 0.9), st.integers(1, 20))
def test_adamw_without_a_gradient_decays_geometrically(lr, decay, steps):
    end = train(AdamW(lr=lr, weight_decay=decay), np.zeros((steps, 4)))
    expected = np.array([1.0, -2.0, 3.0, -4.0]) * (1 - lr * decay) ** steps
    assert end == pytest.approx(expected, rel=1e-12)


@given(paths, st.floats(1e-3, 1.0), st.floats(0.0, 0.99), st.booleans())
def test_a_constant_lr_gives_the_same_steps_inside_and_outside_the_momentum(
    g, lr, momentum, nesterov
):
    nesterov = nesterov and momentum > 0
    for optimizer_class in (SGD, RMSprop):
        hyper = dict(lr=lr, momentum=momentum, nesterov=nesterov)
        inside = optimizer_class(lr_in_momentum=True, **hyper)
        outside = optimizer_class(**hyper)
        assert train(inside, g) == pytest.approx(
            train(outside, g), rel=1e-9, abs=1e-9 * abs(g).max()
        )


@given(paths)
def test_maximizing_is_minimizing_the_negative(g):
    for optimizer_class in (SGD, RMSprop, Adam):
        maximized = train(optimizer_class(lr=0.1, maximize=True), g)
        assert np.array_equal(maximized, train(optimizer_class(lr=0.1), -g))
