"""Every convention against stored steps of its framework; golden/generate.py stored them."""

import json
from pathlib import Path

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.optimizers import Parameter

TITLE = "optimizers against the steps of the frameworks"  # of the deviations that the run prints
GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "golden.npz")
ABOUT = json.loads(str(GOLDEN["about"]))
CASES, KEPT = ABOUT["cases"], ABOUT["kept"]
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def title(case):
    options = ",".join(f"{k}={v}" for k, v in case["ours"].items())
    return f"{case['framework']}-{case['optimizer']}({options})"


def our_path(case, dtype):
    """Return our weights after the steps at which the framework's weights were stored."""
    theta, lrs = GOLDEN["theta"].astype(dtype), GOLDEN["lrs"]
    params = [Parameter(theta[:4]), Parameter(theta[4:].reshape(2, 2))]
    optimizer_class = getattr(optimizers, case["optimizer"])
    optimizer = optimizer_class.as_in(
        case["framework"], params, lr=lambda t: lrs[t], **case["ours"]
    )
    path = [theta.copy()]
    for g in GOLDEN["gradients"].astype(dtype):
        params[0].grad, params[1].grad = g[:4].copy(), g[4:].reshape(2, 2).copy()
        optimizer.step()
        path.append(theta.copy())
    return np.stack(path)[KEPT]


def test_there_are_enough_cases_and_the_versions_are_stored():
    assert len(CASES) >= 60
    assert {case["framework"] for case in CASES} == {"torch", "keras", "optax"}
    assert {"torch", "keras", "optax", "jax"} <= set(ABOUT["versions"])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("i", range(len(CASES)), ids=map(title, CASES))
def test_our_steps_match_the_framework(i, dtype, deviations):
    theirs = GOLDEN[dtype][i]
    ours = our_path(CASES[i], dtype)
    assert ours.dtype == theirs.dtype
    deviation = float(np.max(np.abs(ours - theirs) / np.abs(theirs)))
    deviations[TITLE, CASES[i]["framework"], dtype].append(deviation)
    assert deviation < TOLERANCE[dtype]
