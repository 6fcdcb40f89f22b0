"""minigrad.keras against stored numbers of Keras; golden/keras_programs.py stored them."""

import json
from pathlib import Path

import numpy as np
import pytest

from minigrad import keras
from tests.golden.keras_functions import call_function, function_cases
from tests.golden.keras_programs import PROGRAMS, run

TITLE = "minigrad.keras against Keras"  # of the deviations that the run prints at its end
GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "keras_programs.npz")
ABOUT = json.loads(str(GOLDEN["about"]))
FUNCTIONS = list(ABOUT["functions"])
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}

# Deviations are relative, but to no less than this. Weights, outputs and losses are of size 1. A
# smaller number is a difference of such numbers, and has their absolute error. In float32 this is
# up to 1e-5: 1 − β₂ᵗ, by which Adam divides, is then a difference of numbers near 1, too.
FLOOR = 0.1

# What Keras has and minigrad.keras refuses. If you add one of them, delete it here.
MISSING_PROGRAMS = {"ema_of_adam"}
MISSING_FUNCTIONS = {
    "activations.celu",
    "activations.hard_shrink",
    "activations.soft_shrink",
    "activations.sparse_plus",
    "activations.sparse_sigmoid",
    "activations.squareplus",
    "losses.CategoricalHinge()",
    "losses.BinaryFocalCrossentropy()",
    "losses.CategoricalFocalCrossentropy()",
    "losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)",
    "metrics.R2Score()",
    "metrics.TruePositives()",
    "metrics.FalsePositives()",
    "metrics.TrueNegatives()",
    "metrics.FalseNegatives()",
    "metrics.AUC(curve='PR')",
    "schedules.CosineDecayRestarts(0.1, 5)",
}
REFUSED = (AttributeError, ImportError, ValueError)


def deviation(ours, theirs):
    assert ours.shape == theirs.shape
    return float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), FLOOR), initial=0.0))


@pytest.fixture(scope="module")
def ran():
    """Return a function that runs a program and caches its result."""
    known = {}

    def result(name, dtype):
        if (name, dtype) not in known:
            known[name, dtype] = run(keras, PROGRAMS[name], dtype)
        return known[name, dtype]

    return result


def stored_function(name, dtype):
    sizes = list(ABOUT["functions"].values())
    begin = sum(sizes[: FUNCTIONS.index(name)])
    return GOLDEN[f"functions/{dtype}"][begin : begin + ABOUT["functions"][name]]


each_dtype = pytest.mark.parametrize("dtype", TOLERANCE)
each_program = pytest.mark.parametrize(
    "name", [name for name in PROGRAMS if name not in MISSING_PROGRAMS]
)
each_function = pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if name not in MISSING_FUNCTIONS]
)


def test_all_programs_and_functions_are_stored():
    assert list(ABOUT["programs"]) == list(PROGRAMS)
    assert list(function_cases(keras)) == FUNCTIONS
    assert MISSING_PROGRAMS <= set(PROGRAMS)
    assert MISSING_FUNCTIONS <= set(FUNCTIONS)
    assert ABOUT["versions"]["keras"].startswith("3.")


@each_dtype
@each_program
def test_the_numbers_of_a_program_match(name, dtype, ran, deviations):
    _, numbers = ran(name, dtype)
    found = {
        part: deviation(ours, GOLDEN[f"{name}/{dtype}/{part}"]) for part, ours in numbers.items()
    }
    deviations[TITLE, "programs", dtype].append(max(found.values()))
    assert max(found.values()) < TOLERANCE[dtype], found


@each_dtype
@each_program
def test_the_float_type_is_kept(name, dtype, ran):
    _, numbers = ran(name, dtype)
    assert numbers["weights"].dtype == numbers["predict"].dtype == dtype


@each_program
def test_metrics_and_history_have_their_names(name, ran):
    names, _ = ran(name, "float64")
    stored = ABOUT["programs"][name]
    assert names["metric"] == stored["metric"]
    assert names["history"] == stored["history"]


@each_program
def test_the_history_is_sorted_as_in_keras(name, ran):
    names, _ = ran(name, "float64")
    assert names["order"] == ABOUT["programs"][name]["order"]


@each_dtype
@each_function
def test_each_function_gives_keras_numbers(name, dtype, deviations):
    found = deviation(call_function(keras, name, dtype), stored_function(name, dtype))
    deviations[TITLE, "functions", dtype].append(found)
    assert found < TOLERANCE[dtype]


@pytest.mark.parametrize("name", sorted(MISSING_PROGRAMS))
def test_a_program_that_needs_what_is_missing_is_refused(name):
    with pytest.raises(REFUSED):
        run(keras, PROGRAMS[name], "float64")


@pytest.mark.parametrize("name", sorted(MISSING_FUNCTIONS))
def test_a_missing_function_is_refused(name):
    with pytest.raises(REFUSED):
        call_function(keras, name, "float64")


def test_the_cases_restore_the_float_type():
    call_function(keras, "activations.relu", "float64")
    assert keras.backend.floatx() == "float32"
