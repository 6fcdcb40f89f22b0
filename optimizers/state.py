"""The state of an optimizer as flat arrays and plain values: save it and load it."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from .evaluation import refuse_while_evaluating
from .schedules import Schedule

KEYS = ("optimizer", "steps", "updates", "hyper", "groups", "slots")


def state_dict(self: Any) -> dict[str, Any]:
    """Return what resuming needs: plain values, and copies of the slots as {"name/slot": array}.

    numpy.savez can save the slots, json the rest. Schedules of this library are saved with their
    numbers. Another function is saved as a placeholder: assign it again before load_state_dict.
    """
    self.require_parameters()
    refuse_while_evaluating(self, "state_dict()")
    return {
        "optimizer": type(self).__name__,
        "steps": self.steps,
        "updates": dict(self.updates),
        "hyper": {k: to_plain(v) for k, v in self.raw_hyperparameters().items()},
        "groups": [{"params": [*g.names]} | {k: to_plain(g[k]) for k in g} for g in self.groups],
        "slots": {f"{n}/{k}": a.copy() for n, own in self.slots.items() for k, a in own.items()},
    }


def load_state_dict(self: Any, state: Mapping[str, Any]) -> None:
    """Load a state_dict(). The steps that follow have the same bits as without the interruption.

    Raises ValueError for a state that does not match these parameters and groups, and TypeError
    for an unknown hyperparameter. After an error nothing has changed.
    """
    who, parameters = type(self).__name__, self.require_parameters()
    refuse_while_evaluating(self, "load_state_dict()")

    def require(condition: Any, problem: str) -> None:
        if not condition:
            raise ValueError(f"{who}: this state does not match: {problem}")

    keys = set(state) if isinstance(state, Mapping) else set()
    require(keys >= set(KEYS), f"it must be a dict with {', '.join(KEYS)}")
    saved_by, steps, updates, hyper, groups, slots = (state[key] for key in KEYS)
    require(isinstance(groups, list | tuple), "groups must be a list")
    dicts = all(isinstance(part, Mapping) for part in (updates, hyper, slots, *groups))
    require(dicts, "updates, hyper, slots and every group must be a dict")
    require(saved_by == who, f"it was saved by {saved_by}")
    require(set(hyper) >= set(self.defaults), "hyperparameters are missing")
    theirs, ours = [[*g.get("params", ())] for g in groups], [g.names for g in self.groups]
    require(theirs == ours, f"its groups hold {theirs}, this optimizer's {ours}")
    require(set(updates) == set(parameters), "its updates are of other parameters")
    counts = all(type(n) is int and n >= 0 for n in (steps, *updates.values()))
    require(counts, "steps and updates must be integers >= 0")

    # Build a second optimizer with every check, and take over its attributes at the end.
    collected = []
    for group, own in zip(groups, self.groups):
        overrides = {k: from_plain(v, own.get(k)) for k, v in group.items()}
        collected.append(overrides | {"params": [(n, parameters[n]) for n in own.names]})
    hyper = {k: from_plain(v, vars(self).get(k)) for k, v in hyper.items()}
    loaded = type(self)(collected, **hyper)
    loaded.steps, loaded.updates, loaded.compiled = steps, dict(updates), self.compiled
    expected = {f"{n}/{k}": a for n, arrays in loaded.slots.items() for k, a in arrays.items()}
    missing, extra = expected.keys() - slots.keys(), slots.keys() - expected.keys()
    require(not missing, f"it lacks {sorted(missing)}")
    # a switch that is turned off, such as momentum=0, leaves its slots as they are
    on = {"momentum": 0.5} | {k: True for k, v in self.defaults.items() if isinstance(v, bool)}
    for name in {key.rsplit("/", 1)[0] for key in extra} & parameters.keys():
        unused = self.init_slots(parameters[name].data, vars(loaded) | on)
        expected = {f"{name}/{k}": a for k, a in unused.items()} | expected
    extra -= expected.keys()
    require(self.lazy_slots or not extra, f"this optimizer has no {sorted(extra)}")
    for key, saved in slots.items():
        array, (name, slot) = np.asarray(saved), key.rsplit("/", 1)
        require(name in parameters, f"there is no parameter {name!r}")
        like = expected.get(key, array)
        needed, received = (f"{a.dtype} of shape {a.shape}" for a in (like, array))
        require(needed == received, f"{key!r} must be {needed}, received {received}")
        loaded.slots[name][slot] = array.copy()
    vars(self).update(vars(loaded))
    for group in self.groups:
        group.optimizer = self


def to_plain(value: Any) -> Any:
    """Return a schedule as a dict of plain values, and anything else as it is."""
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Schedule):
        plain = {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
        return {"schedule": type(value).__name__} | plain
    return {"schedule": "FromFunction"} if callable(value) else value


def from_plain(plain: Any, current: Any) -> Any:
    """Invert to_plain. Return `current` for a function, whose code is not saved."""
    if isinstance(plain, list):
        return tuple(from_plain(item, None) for item in plain)
    if not isinstance(plain, dict):
        return plain
    classes = {cls.__name__: cls for cls in Schedule.__subclasses__()}
    name = plain.get("schedule")
    if name == "FromFunction":
        if not callable(current) or isinstance(current, Schedule):
            raise ValueError("a function is saved without its code; assign it again, then load")
        return current
    if name not in classes:
        raise ValueError(f"unknown schedule {name!r} (there are: {', '.join(classes)})")
    return classes[name](**{k: from_plain(v, None) for k, v in plain.items() if k != "schedule"})
