"""The conformance suite over everything that is registered."""

from minigrad.optimizers.conformance import *  # noqa: F403
