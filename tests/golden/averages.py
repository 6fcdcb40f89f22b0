"""Write averages.json: the averages of the weights that PyTorch and Keras keep while SGD trains.

    python tests/golden/averages.py        in an environment with torch, keras and jax

Each case runs SGD on the same given gradients, in float64 and in float32. lr is 1/8, because Keras
keeps lr in float32. Keras computes on JAX, step by step and not compiled, so that it rounds like
NumPy. In float32, Keras rounds ρ first and then subtracts it from 1.
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_ENABLE_X64"] = "1"

import jax
import keras
import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

STEPS, KEPT, LR = 120, [0, 1, 2, 3, 10, 40, 119], 0.125
DTYPES = ("float64", "float32")


def inputs():
    rng = np.random.default_rng(5)
    start = rng.standard_normal(6) * [1, 1, 1e-4, 1e4, 1, 1]
    gradients = rng.standard_normal((STEPS, 6)) * [1, 1, 1e-4, 1e4, 1, 0] + 0.3
    return start.astype(np.float32), gradients.astype(np.float32)


def in_torch(start, gradients, first=0, every=1, **options):
    """Return the average after each step; average every k-th weights after the first steps."""
    model = torch.nn.Module()
    model.w = torch.nn.Parameter(torch.tensor(start))
    average = AveragedModel(model, **options)
    optimizer, path = torch.optim.SGD([model.w], lr=LR), []
    for step, g in enumerate(gradients, start=1):
        model.w.grad = torch.tensor(g)
        optimizer.step()
        if step > first and (step - first) % every == 0:
            average.update_parameters(model)
        is_begun = int(average.n_averaged) > 0
        w = average.module.w if is_begun else model.w
        path.append(w.detach().numpy().copy())
    return path


def in_keras(start, gradients, decay):
    optimizer = keras.optimizers.SGD(LR, use_ema=True, ema_momentum=decay)
    w, path = keras.Variable(start, dtype=str(start.dtype)), []
    for g in gradients:
        optimizer.apply([jax.numpy.asarray(g)], [w])
        path.append(np.asarray(optimizer._model_variables_moving_average[0]))
    return path


# our class, its hyperparameters, the framework, its run
CASES = [
    *[
        ("ema", {"decay": decay}, "torch", in_torch, {"multi_avg_fn": get_ema_multi_avg_fn(decay)})
        for decay in (0.999, 0.9, 0.0)
    ],
    *[("ema", {"decay": d}, "keras", in_keras, {"decay": d}) for d in (0.999, 0.9, 0.0)],
    ("swa", {}, "torch", in_torch, {}),
    ("swa", {"start": 10, "every": 3}, "torch", in_torch, {"first": 10, "every": 3}),
]


def main():
    start, gradients = inputs()
    cases = []
    for plugin, ours, framework, run, options in CASES:
        for dtype in DTYPES:
            path = run(start.astype(dtype), gradients.astype(dtype), **options)
            assert {array.dtype.name for array in path} == {dtype}
            kept = [path[i].tolist() for i in KEPT]
            cases.append(
                dict(plugin=plugin, ours=ours, framework=framework, dtype=dtype, average=kept)
            )
    about = {
        "versions": {m.__name__: m.__version__ for m in (torch, keras, jax, np)},
        "lr": LR, "kept": KEPT, "start": start.tolist(), "gradients": gradients.tolist(),
        "cases": cases,
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
