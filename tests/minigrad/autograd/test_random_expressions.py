"""Random expressions: gradcheck, and the same expression with its operands in another order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import Tensor, grad
from minigrad.gradcheck import gradcheck

SMOOTH = [np.sin, np.tanh, np.arctan, np.cos, lambda x: np.exp(np.sin(x)), lambda x: x * x]
SMOOTH += [lambda x: np.logaddexp(x, 0.3), lambda x: np.sqrt(1 + np.square(x)), lambda x: -x]
PAIRS = [np.add, np.subtract, np.multiply, lambda a, b: a / (2 + np.sin(b)), np.logaddexp]
FOLDS = [np.sum, np.mean, np.var, lambda x: np.max(np.cumsum(x)), lambda x: np.linalg.norm(x + 3)]
MOVES = [
    np.flip,
    np.ravel,
    lambda x: np.roll(x, 1),
    lambda x: np.tile(x, 2),
    lambda x: x[..., None],
]

expressions = st.recursive(
    st.sampled_from(["x", "y", "z", 0.7]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(SMOOTH + MOVES), inner),
        st.tuples(st.sampled_from(PAIRS), inner, inner),
    ),
    max_leaves=8,
)
POINTS = dict(
    x=np.array([[0.3, -1.1, 0.8], [1.7, 0.2, -0.6]]), y=np.array([0.5, -0.4, 1.3]), z=np.array(0.9)
)


def evaluate(expression, names):
    """Evaluate an expression tree; reduce parts to scalars where their shapes do not fit."""
    if not isinstance(expression, tuple):
        return names.get(expression, expression)
    function, *parts = (expression[0], *(evaluate(part, names) for part in expression[1:]))
    try:
        np.broadcast_shapes(*map(np.shape, parts))
    except ValueError:
        parts = [np.mean(part) for part in parts]
    return function(*parts) if isinstance(parts[0], Tensor) or len(parts) > 1 else parts[0]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expressions, st.sampled_from(FOLDS))
def test_random_expressions_agree_with_finite_differences(expression, fold):
    def f(*inputs):
        value = evaluate(expression, dict(zip(POINTS, inputs)))
        return fold(value) + np.sum(inputs[0])

    assert gradcheck(f, *POINTS.values(), order=2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(expressions, expressions, expressions)
def test_the_same_expression_associated_differently(first, second, third):
    def gradients(combine):
        leaves = {name: Tensor(x, requires_grad=True) for name, x in POINTS.items()}
        parts = [np.mean(evaluate(e, leaves) + leaves["z"]) for e in (first, second, third)]
        return [g.data for g in grad(combine(*parts), list(leaves.values()))]

    together = gradients(lambda a, b, c: (a * b) * c + (a + (b + c)))
    apart = gradients(lambda a, b, c: ((c + b) + a) + a * (b * c))
    for one, other in zip(together, apart):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)
