"""The conformance suite over everything that is registered; and what it finds in wrong ones."""

import numpy as np
import pytest

from minigrad.optimizers import Optimizer, register, registry
from minigrad.optimizers.tools import conformance
from minigrad.optimizers.tools.conformance import *  # noqa: F403

remembered: list = []


def writes(g, slots):
    g *= 0.5
    return g


def climbs(g, slots):
    return -g


def remembers(g, slots):  # outside its slots, by the order of the calls
    remembered.append(g.mean())
    return g + remembered[len(remembered) // 2]


def promotes(g, slots):
    return g * np.float64(1)


def promotes_a_slot(g, slots):
    slots["m"] = slots.get("m", 0) * np.float64(0.5) + g
    return slots["m"].astype(g.dtype)


def shrinks(g, slots):
    return g.mean(keepdims=True)


def keeps_the_gradient(g, slots):
    slots["last"] = g
    return g * 1


def shares(g, slots):
    slots["a"] = slots["b"] = slots.get("a", g) + g
    return slots["a"]


def divides_by_zero(g, slots):
    return g / np.abs(g).max()


def is_random(g, slots):
    return g * np.random.default_rng().random()


class Joint(Optimizer):
    """u = g / ‖g‖, which blocks of a large array cannot know"""

    elementwise = True

    def direction(self, g, slots):
        return g / np.linalg.norm(g)


@pytest.mark.parametrize(
    "wrong, test, arguments",
    [
        (writes, "never_writes_into_a_gradient", ()),
        (climbs, "descends_on_a_quadratic", ()),
        (climbs, "descends_on_rosenbrocks_valley", ()),
        (remembers, "resumes_bit_for_bit", ()),
        (promotes, "keeps_the_dtype_and_the_arrays", (np.float32,)),
        (promotes_a_slot, "keeps_the_dtype_and_the_arrays", (np.float32,)),
        (shrinks, "keeps_the_dtype_and_the_arrays", (np.float64,)),
        (keeps_the_gradient, "no_two_arrays_share_memory", ()),
        (shares, "no_two_arrays_share_memory", ()),
        (divides_by_zero, "zero_gradients_do_no_harm", ()),
        (is_random, "the_same_steps_give_the_same_bits", ()),
        (Joint, "large_arrays_are_treated_as_small_ones", ()),
    ],
)
def test_a_wrong_optimizer_is_found_out(monkeypatch, wrong, test, arguments):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    register("wrong")(wrong)
    with pytest.raises((AssertionError, ValueError, RuntimeWarning)):
        getattr(conformance, f"test_{test}")("wrong", *arguments)
