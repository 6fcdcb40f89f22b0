"""What must hold for every input: scale, order, and optimizers that contain each other."""

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


def walk(optimizer, gradients, start=(1.0, -2.0, 3.0, -4.0)):
    w = Parameter(np.array(start))
    optimizer.bind([w])
    for g in gradients:
        w.grad = g
        optimizer.step()
    return w.data


@given(paths, powers)
def test_without_eps_the_scale_of_the_gradients_does_not_matter(g, factor):
    for kind, hyper in ((RMSprop, {}), (RMSprop, dict(centered=True)), (AdaGrad, {}), (Adam, {})):
        # a power of 2 changes no bit but the exponent
        plain, scaled = (walk(kind(lr=0.1, eps=0.0, **hyper), x) for x in (g, g * factor))
        assert np.array_equal(plain, scaled)


@given(paths, st.floats(0.5, 0.999))
def test_adam_without_its_mean_is_rmsprop_with_bias_correction(g, rho):
    adam = Adam(lr=0.1, beta1=0.0, beta2=rho)
    assert walk(adam, g) == pytest.approx(
        walk(RMSprop(lr=0.1, rho=rho, bias_correction=True), g), rel=1e-12, abs=1e-12
    )


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion"])
@settings(max_examples=20)
@given(g=paths, order=st.permutations(range(4)))
def test_the_order_of_coordinates_does_not_matter(name, g, order):
    start = np.array([1.0, -2.0, 3.0, -4.0])
    straight = walk(get(name, lr=0.1), g, start)
    assert np.array_equal(straight[order], walk(get(name, lr=0.1), g[:, order], start[order]))


@given(st.floats(1e-3, 1.0), st.floats(1e-3, 0.9), st.integers(1, 20))
def test_adamw_without_a_gradient_decays_geometrically(lr, decay, steps):
    end = walk(AdamW(lr=lr, weight_decay=decay), np.zeros((steps, 4)))
    expected = np.array([1.0, -2.0, 3.0, -4.0]) * (1 - lr * decay) ** steps
    assert end == pytest.approx(expected, rel=1e-12)


@given(paths, st.floats(1e-3, 1.0), st.floats(0.0, 0.99), st.booleans())
def test_lr_inside_is_lr_outside_while_it_is_constant(g, lr, momentum, nesterov):
    nesterov = nesterov and momentum > 0
    for kind in (SGD, RMSprop):
        hyper = dict(lr=lr, momentum=momentum, nesterov=nesterov)
        inside, outside = kind(lr_in_momentum=True, **hyper), kind(**hyper)
        assert walk(inside, g) == pytest.approx(walk(outside, g), rel=1e-9, abs=1e-9 * abs(g).max())


@given(paths)
def test_maximizing_is_minimizing_the_negative(g):
    for kind in (SGD, RMSprop, Adam):
        assert np.array_equal(walk(kind(lr=0.1, maximize=True), g), walk(kind(lr=0.1), -g))
