"""Optimizer.state_dict and load_state_dict: the state as flat arrays and plain values."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from .evaluation import check_not_evaluating
from .schedules import Schedule

KEYS = ("optimizer", "steps", "updates", "hyper", "groups", "slots")


def state_dict(optimizer: Any) -> dict[str, Any]:
    """Return what resuming needs: plain values, and copies of the slots as {"name/slot": array}.

    numpy.savez can save the slots, json the rest. Schedules of this library are saved with their
    numbers. Another function is saved as a placeholder: assign it again before load_state_dict.
    """
    optimizer.require_parameters()
    check_not_evaluating(optimizer, "state_dict()")
    groups, named_slots = optimizer.groups, optimizer.slots.items()
    return {
        "optimizer": type(optimizer).__name__,
        "steps": optimizer.steps,
        "updates": dict(optimizer.updates),
        "hyper": {k: to_plain(v) for k, v in optimizer.raw_hyperparameters().items()},
        "groups": [{"params": [*g.names]} | {k: to_plain(g[k]) for k in g} for g in groups],
        "slots": {f"{n}/{k}": a.copy() for n, slots in named_slots for k, a in slots.items()},
    }


def load_state_dict(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Load a state_dict(). The steps that follow have the same bits as without the interruption.

    Raises ValueError for a state that does not match these parameters and groups, and TypeError
    for an unknown hyperparameter. After an error nothing has changed.
    """
    parameters = optimizer.require_parameters()
    check_not_evaluating(optimizer, "load_state_dict()")
    check_form(optimizer, state)
    # Build a second optimizer with every check, and take over its attributes at the end.
    collected = []
    for saved, group in zip(state["groups"], optimizer.groups):
        overrides = {k: from_plain(v, group.get(k)) for k, v in saved.items()}
        collected.append(overrides | {"params": [(n, parameters[n]) for n in group.names]})
    hyper = {k: from_plain(v, vars(optimizer).get(k)) for k, v in state["hyper"].items()}
    loaded = type(optimizer)(collected, **hyper)
    loaded.steps, loaded.updates = state["steps"], dict(state["updates"])
    loaded.compiled = optimizer.compiled
    load_slots(optimizer, loaded, state["slots"])
    vars(optimizer).update(vars(loaded))
    for group in optimizer.groups:
        group.optimizer = optimizer


def require(optimizer: Any, condition: Any, problem: str) -> None:
    if not condition:
        raise ValueError(f"{type(optimizer).__name__}: this state does not match: {problem}")


def check_form(optimizer: Any, state: Any) -> None:
    """Raise ValueError unless the state is of such an optimizer, with the same groups."""
    keys = set(state) if isinstance(state, Mapping) else set()
    require(optimizer, keys >= set(KEYS), f"it must be a dict with {', '.join(KEYS)}")
    saved_by, steps, updates, hyper, groups, slots = (state[key] for key in KEYS)
    require(optimizer, isinstance(groups, list | tuple), "groups must be a list")
    are_dicts = all(isinstance(part, Mapping) for part in (updates, hyper, slots, *groups))
    require(optimizer, are_dicts, "updates, hyper, slots and every group must be a dict")
    require(optimizer, saved_by == type(optimizer).__name__, f"it was saved by {saved_by}")
    require(optimizer, set(hyper) >= set(optimizer.defaults), "hyperparameters are missing")
    saved_names = [[*group.get("params", ())] for group in groups]
    names = [group.names for group in optimizer.groups]
    require(optimizer, saved_names == names, f"its groups hold {saved_names}, not {names}")
    has_names = set(updates) == set(optimizer.parameters)
    require(optimizer, has_names, "its updates are of other parameters")
    are_counts = all(type(n) is int and n >= 0 for n in (steps, *updates.values()))
    require(optimizer, are_counts, "steps and updates must be integers >= 0")


def load_slots(optimizer: Any, loaded: Any, slots: Mapping[str, Any]) -> None:
    """Check the slots of a state, and copy them into the optimizer `loaded`."""
    expected = {f"{n}/{k}": a for n, arrays in loaded.slots.items() for k, a in arrays.items()}
    missing, extra = expected.keys() - slots.keys(), slots.keys() - expected.keys()
    require(optimizer, not missing, f"it lacks {sorted(missing)}")
    # A switch that is off keeps its slots: with momentum=0, the state can still have the buffer
    switches = {k: True for k, v in optimizer.defaults.items() if isinstance(v, bool)}
    all_on = vars(loaded) | {"momentum": 0.5} | switches
    for name in {key.rsplit("/", 1)[0] for key in extra} & loaded.parameters.keys():
        for k, a in optimizer.init_slots(loaded.parameters[name].data, all_on).items():
            expected.setdefault(f"{name}/{k}", a)
    unknown = sorted(extra - expected.keys())
    require(optimizer, optimizer.lazy_slots or not unknown, f"this optimizer has no {unknown}")
    for key, saved in slots.items():
        array, (name, slot) = np.asarray(saved), key.rsplit("/", 1)
        require(optimizer, name in loaded.parameters, f"there is no parameter {name!r}")
        arrays = (expected.get(key, array), array)
        required, received = (f"{a.dtype} of shape {a.shape}" for a in arrays)
        require(optimizer, received == required, f"{key!r} must be {required}, received {received}")
        loaded.slots[name][slot] = array.copy()


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
