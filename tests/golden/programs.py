"""The documentation examples of HIPS autograd and MyGrad, written once for all three engines.

The argument `np` is autograd.numpy, mygrad, or NumPy itself for minigrad's tensors. The argument
`value` is a function that returns the plain array inside a traced one.
"""

import itertools

import numpy

ORDERS = 6
POINTS = numpy.linspace(-1, 1, 9)  # the formula of tanh loses digits further from 0


def tanh(np, x):
    """autograd, README and examples/tanh.py: derivatives of every order."""
    return (1 - np.exp(-2 * x)) / (1 + np.exp(-2 * x))


def sigmoid(np, x):
    """autograd, tutorial: the logistic function, computed from tanh."""
    return 0.5 * (np.tanh(x / 2) + 1)


def sine_by_its_series(np, x, terms=20):
    """autograd, tutorial: the Taylor series of the sine, in a Python loop."""
    total = term = x
    for k in range(1, terms):
        term = -term * x * x / ((2 * k + 1) * (2 * k))
        total = total + term
    return total


# Logistic regression: autograd, tutorial

INPUTS = numpy.array(
    [[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]]
)
TARGETS = numpy.array([True, True, False, True])


def logistic_loss(np, w):
    p = sigmoid(np, np.dot(INPUTS, w))
    return -np.sum(np.log(p * TARGETS + (1 - p) * (1 - TARGETS)))


# A fluid, after Stam: autograd, examples/fluidsim


def fluid_start(n=10):
    rng = numpy.random.default_rng(7)
    return rng.normal(0, 0.4, (2, n, n)), rng.random((n, n))


def project(np, vx, vy):
    """Remove the divergence of the flow: ten iterations of Jacobi's method for the pressure."""
    h = 1.0 / vx.shape[0]
    divergence = (
        -0.5 * h * (np.roll(vx, -1, 0) - np.roll(vx, 1, 0) + np.roll(vy, -1, 1) - np.roll(vy, 1, 1))
    )
    p = 0 * divergence
    for _ in range(10):
        around = np.roll(p, 1, 0) + np.roll(p, -1, 0) + np.roll(p, 1, 1) + np.roll(p, -1, 1)
        p = (divergence + around) / 4
    vx = vx - 0.5 * (np.roll(p, -1, 0) - np.roll(p, 1, 0)) / h
    vy = vy - 0.5 * (np.roll(p, -1, 1) - np.roll(p, 1, 1)) / h
    return vx, vy


def advect(np, value, f, vx, vy):
    """Move f with the flow by one step: interpolate bilinearly at the point upstream of a cell."""
    n, m = f.shape
    rows, columns = numpy.meshgrid(numpy.arange(n), numpy.arange(m), indexing="ij")
    y, x = rows - vx, columns - vy
    top, left = numpy.floor(value(y)).astype(int), numpy.floor(value(x)).astype(int)
    down, right = y - top, x - left
    top, below, left, beside = top % n, (top + 1) % n, left % m, (left + 1) % m
    return (1 - down) * ((1 - right) * f[top, left] + right * f[top, beside]) + down * (
        (1 - right) * f[below, left] + right * f[below, beside]
    )


def fluid_loss(np, value, velocity, steps=4):
    """Return the mean squared distance of the smoke from a target, after some steps of the flow."""
    smoke = numpy.outer(numpy.linspace(0, 1, 10), numpy.linspace(1, 0, 10))
    target = fluid_start()[1]
    vx, vy = velocity[0], velocity[1]
    for _ in range(steps):
        ahead = advect(np, value, vx, vx, vy), advect(np, value, vy, vx, vy)
        vx, vy = project(np, *ahead)
        smoke = advect(np, value, smoke + 0 * vx, vx, vy)
    return np.mean((smoke - target) ** 2)


# A recurrent network that predicts the next character: autograd, examples/rnn.py

TEXT = "hello recurrent world"
LETTERS = sorted(set(TEXT))


def rnn_start(hidden=5):
    rng, n = numpy.random.default_rng(1), len(LETTERS)
    return [
        rng.normal(0, 0.5, shape)
        for shape in [(hidden,), (n, hidden), (hidden, hidden), (hidden + 1, n)]
    ]


def rnn_loss(np, h, from_letter, from_hidden, to_letter):
    one_hot = numpy.eye(len(LETTERS))[[LETTERS.index(c) for c in TEXT]]
    total = 0.0
    for now, following in itertools.pairwise(one_hot):
        h = np.tanh(np.matmul(now, from_letter) + np.matmul(h, from_hidden))
        scores = np.matmul(h, to_letter[:-1]) + to_letter[-1]
        total = total - np.sum(following * (scores - np.log(np.sum(np.exp(scores)))))
    return total / (len(TEXT) - 1)


# MyGrad: README and documentation


def rosenbrock(np, x):
    """(1 − x₀)² + 100·(x₁ − x₀²)², from MyGrad's gradient-descent example."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def contraction(np, a, b):
    """Combine einsum with an ellipsis and a reduction of a view."""
    return np.sum(np.einsum("...ij,jk->...ik", a, b)[..., ::2] ** 2)


def contraction_start():
    rng = numpy.random.default_rng(2)
    return rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))
