"""Write engine.json: the results of HIPS autograd and MyGrad for the programs in programs.py.

pip install autograd==1.9.1 mygrad==2.5.0 numpy
python tests/golden/engine.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import autograd
import autograd.numpy as anp
import mygrad
import numpy
import programs
from autograd.extend import Box


def value(x):
    """Return the array inside autograd's boxes."""
    while isinstance(x, Box):
        x = x._value
    return x


def derivatives(f):
    """Return f and its derivatives up to the sixth, at programs.POINTS."""
    rows = [f(programs.POINTS)]
    for _ in range(programs.ORDERS):
        f = autograd.elementwise_grad(f)
        rows.append(f(programs.POINTS))
    return numpy.array(rows).tolist()


def train_logistic():
    w, slope = numpy.zeros(3), autograd.grad(lambda w: programs.logistic_loss(anp, w))
    losses = [programs.logistic_loss(anp, w)]
    for _ in range(100):
        w = w - 0.01 * slope(w)
    losses.append(programs.logistic_loss(anp, w))
    return {"losses": losses, "weights": w.tolist()}


def by_autograd(f, *points):
    numbers, found = autograd.value_and_grad(f, tuple(range(len(points))))(*points)
    return {"value": float(numbers), "gradients": [g.tolist() for g in found]}


def by_mygrad(f, *points):
    leaves = [mygrad.tensor(x) for x in points]
    out = f(*leaves)
    out.backward()
    return {"value": out.item(), "gradients": [x.grad.tolist() for x in leaves]}


numbers = {
    "versions": {name: version(name) for name in ("autograd", "mygrad", "numpy")},
    "tanh": derivatives(lambda x: programs.tanh(anp, x)),
    "sigmoid": derivatives(lambda x: programs.sigmoid(anp, x)),
    "sine": derivatives(lambda x: programs.sine_by_its_series(anp, x)),
    "logistic": train_logistic(),
    "fluid": by_autograd(lambda v: programs.fluid_loss(anp, value, v), programs.fluid_start()[0]),
    "rnn": by_autograd(lambda *w: programs.rnn_loss(anp, *w), *programs.rnn_start()),
    "rosenbrock": by_mygrad(lambda x: programs.rosenbrock(mygrad, x), numpy.array([-1.5, 2.0])),
    "contraction": by_mygrad(
        lambda *x: programs.contraction(mygrad, *x), *programs.contraction_start()
    ),
}
Path(__file__).with_name("engine.json").write_text(json.dumps(numbers, indent=1) + "\n")
