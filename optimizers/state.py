"""The state of an optimizer as flat arrays and plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .schedules import Schedule, from_plain

PARTS = ("optimizer", "steps", "updates", "hyper", "groups", "slots")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.plain() if isinstance(v, Schedule) else v for k, v in values.items()}


def state_dict(self: Any) -> dict[str, Any]:
    """All that resuming needs: copies of the slots as {"name/slot": array}, the rest plain values.

    Works with numpy.savez for the slots and json for the rest; functions of t that are not
    schedules of this library are saved only by their place.
    """
    names = list(self.require_parameters())
    return {
        "optimizer": type(self).__name__,
        "steps": self.steps,
        "updates": dict(self.updates),
        "hyper": _plain({name: vars(self)[name] for name in self.defaults}),
        "groups": [{"params": list(g.names)} | _plain(g.data) for g in self.groups],
        "slots": {f"{n}/{k}": a.copy() for n in names for k, a in self.slots[n].items()},
    }


def load_state_dict(self: Any, state: Mapping[str, Any]) -> None:
    """Become the optimizer that was saved; going on from here repeats its steps bit for bit.

    Raises ValueError, or TypeError for a hyperparameter we do not have, if anything does not fit
    these parameters; nothing has changed then.
    """
    who, parameters = type(self).__name__, self.require_parameters()

    def require(fits: Any, what: str) -> None:
        if not fits:
            raise ValueError(f"{who}: this state does not fit: {what}")

    require(isinstance(state, Mapping) and set(PARTS) <= set(state), f"it needs {', '.join(PARTS)}")
    groups, parts = state["groups"], [state[part] for part in ("updates", "hyper", "slots")]
    mappings = [*parts, *groups] if isinstance(groups, list | tuple) else [None]
    require(all(isinstance(m, Mapping) for m in mappings), "a part is no dict, or groups no list")
    require(state["optimizer"] == who, f"it is of a {state['optimizer']}")
    require(set(state["hyper"]) >= set(self.defaults), "hyperparameters are missing")
    members, ours = [list(g.get("params", ())) for g in groups], [g.names for g in self.groups]
    require(members == ours, f"its groups hold {members}, this optimizer's {ours}")
    counts = [state["steps"], *state["updates"].values()]
    require(set(state["updates"]) == set(parameters), "its updates are of other parameters")
    require(all(type(n) is int and n >= 0 for n in counts), "a count must be an integer >= 0")

    # a twin is built and checked in full before this optimizer takes its place
    collected = [
        {k: from_plain(v, own.get(k)) for k, v in group.items()}
        | {"params": [(name, parameters[name]) for name in own.names]}
        for group, own in zip(groups, self.groups)
    ]
    hyper = {k: from_plain(v, vars(self).get(k)) for k, v in state["hyper"].items()}
    twin = type(self)(collected, **hyper)
    twin.steps, twin.updates = state["steps"], dict(state["updates"])
    expected = {f"{n}/{k}": a for n, slots in twin.slots.items() for k, a in slots.items()}
    missing = expected.keys() - state["slots"].keys()
    extra = state["slots"].keys() - expected.keys()
    require(not missing, f"it lacks {sorted(missing)}")
    require(self.lazy_slots or not extra, f"it has {sorted(extra)} as well")
    for key, saved in state["slots"].items():
        got, (name, slot) = np.asarray(saved), key.rsplit("/", 1)
        fresh = expected.get(key, got)
        want = f"{fresh.dtype} of shape {fresh.shape}"
        same = (got.dtype, got.shape) == (fresh.dtype, fresh.shape) and name in parameters
        require(same, f"{key!r} must be {want}, received {got.dtype} of shape {got.shape}")
        twin.slots[name][slot] = got.copy()
    vars(self).update(vars(twin))
    for group in self.groups:
        group.optimizer = self
