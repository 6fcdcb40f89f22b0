"""EMA and SWA keep the averages that PyTorch and Keras keep: see golden/averages.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from minigrad.optimizers import Parameter, get

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "averages.json").read_text("utf-8"))
CASES, KEPT = GOLDEN["cases"], GOLDEN["kept"]
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}


def title(case):
    return f"{case['plugin']}{case['ours']}-{case['framework']}-{case['dtype']}"


def our_averages(plugin, ours, dtype):
    w = Parameter(np.array(GOLDEN["start"], dtype))
    optimizer = get(plugin, [w], inner="sgd", lr=GOLDEN["lr"], **ours)
    path = []
    for g in np.array(GOLDEN["gradients"], dtype):
        w.grad = g
        optimizer.step()
        with optimizer.evaluating():
            path.append(w.data.copy())
    return np.stack(path)


@pytest.mark.parametrize("case", CASES, ids=title)
def test_our_average_is_the_frameworks(case):
    """In float32 the rounding errors of ρ and 1 − ρ add up: 2e-6 after 120 steps."""
    hyper, dtype = case["ours"], case["dtype"]
    if case["framework"] == "keras" and dtype == "float32":  # Keras rounds ρ, too
        hyper = {"decay": float(np.float32(hyper["decay"]))}
    ours = our_averages(case["plugin"], hyper, dtype)[KEPT]
    assert ours.dtype == dtype
    size = np.max(np.abs(case["average"]), axis=0)  # an element can pass 0
    error, tolerance = np.abs(ours - case["average"]) / size, TOLERANCE[dtype]
    assert np.max(error[:5]) < tolerance and np.max(error) < 3 * tolerance


def test_keras_differs_in_float32_by_the_rounding_of_the_decay():
    """Here 1 − ρ is 0.001. Keras first rounds ρ to float32: there, 1 − ρ is 0.00099998713."""
    key = ("keras", "float32", {"decay": 0.999})
    (case,) = (c for c in CASES if (c["framework"], c["dtype"], c["ours"]) == key)
    ours = our_averages("ema", case["ours"], "float32")[KEPT]
    error = np.abs(ours - case["average"]) / np.max(np.abs(case["average"]), axis=0)
    assert 1e-5 < np.max(error) < 3e-5


def test_every_average_has_its_frameworks():
    found = {(case["plugin"], case["framework"], case["dtype"]) for case in CASES}
    pairs = [("ema", "torch"), ("ema", "keras"), ("swa", "torch")]
    assert found == {(*pair, dtype) for pair in pairs for dtype in TOLERANCE}
