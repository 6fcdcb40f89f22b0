"""What an optimizer moves: parameters with names, in groups."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .hyperparameters import unknown_hyperparameter

REMEDY = "pass a list of parameters, such as model.parameters()"


@dataclass(eq=False)
class Parameter:
    """An array and its gradient: all that an optimizer needs. A minigrad.Tensor is one, too.

    >>> Parameter(np.zeros(2))
    Parameter(data=array([0., 0.]), grad=None)
    """

    data: np.ndarray
    grad: np.ndarray | None = None


def collect_groups(owner: str, params: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Groups of (parameters by name, overrides), from any of the forms that `params` may take."""
    entries = list(_iterable(owner, params))
    if not any(isinstance(entry, dict) for entry in entries):
        entries = [{"params": entries}]

    groups: list[tuple[dict[str, Any], dict[str, Any]]] = []
    owners: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, dict) or "params" not in entry:
            raise TypeError(f"{owner}: a group must be a dict with 'params', received {entry!r}")
        members = {}
        for item in _iterable(owner, entry["params"]):
            named = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            name, parameter = item if named else (str(len(owners)), item)
            _check(owner, name, parameter)
            if name in owners or any(parameter is other for other in owners.values()):
                raise ValueError(f"{owner}: the parameter {name!r} appears twice; pass it once")
            owners[name] = members[name] = parameter
        if not members:
            raise ValueError(
                f"{owner}: no parameters (was the generator used up before?); {REMEDY}"
            )
        groups.append((members, {key: v for key, v in entry.items() if key != "params"}))
    return groups


def _iterable(owner: str, params: Any) -> Iterable[Any]:
    if isinstance(params, set | frozenset):
        raise TypeError(f"{owner}: a set of parameters has no order; {REMEDY}")
    if isinstance(params, dict | str) or hasattr(params, "data") or hasattr(params, "parameters"):
        raise TypeError(f"{owner}: received a single {type(params).__name__}; {REMEDY}")
    if not isinstance(params, Iterable):
        raise TypeError(f"{owner}: {type(params).__name__} is no collection; {REMEDY}")
    return params


def _check(owner: str, name: str, parameter: Any) -> None:
    """A parameter has .data, a floating-point array that can be written, and .grad."""
    who = f"{owner}: the parameter {name!r}"
    if isinstance(parameter, np.ndarray):
        raise TypeError(f"{who} is a bare array; write Parameter(array), which has a .grad as well")
    if not (hasattr(parameter, "data") and hasattr(parameter, "grad")):
        raise TypeError(f"{who} must have .data and .grad, received a {type(parameter).__name__}")
    if getattr(parameter, "node", None) is not None:
        raise ValueError(
            f"{who} was computed, and so never receives a .grad; compute its array first: "
            "Tensor(0.01 * array, requires_grad=True), not 0.01 * Tensor(array, …)"
        )
    w = parameter.data
    if not (isinstance(w, np.ndarray) and np.issubdtype(w.dtype, np.floating)):
        kind = w.dtype if isinstance(w, np.ndarray) else type(w).__name__
        raise TypeError(f"{who} must hold a floating-point array, received {kind}")
    if not w.flags.writeable:
        raise ValueError(f"{who} is read-only, and a step writes into it; pass a copy")


class Group(UserDict):
    """Some parameters' names, and what they override: group["lr"] = 0.01 is checked as ever.

    Reading any other hyperparameter gives the optimizer's, a schedule as the function it is, and
    del group["lr"] returns to it. What is contradictory one by one can be set by one update(…).
    """

    def __init__(self, optimizer: Any, names: list[str], overrides: dict[str, Any]) -> None:
        self.optimizer, self.names = optimizer, names
        self.data = optimizer.validate_overrides(overrides)

    def __missing__(self, name: str) -> Any:
        if name not in self.optimizer.defaults:
            who = f"a group of {type(self.optimizer).__name__}"
            raise KeyError(unknown_hyperparameter(who, name, self.optimizer.defaults))
        return vars(self.optimizer)[name]

    def _become(self, overrides: dict[str, Any]) -> None:
        self.data = self.optimizer.validate_overrides(overrides)
        self.optimizer.allocate()

    def __setitem__(self, name: str, value: Any) -> None:
        self._become(self.data | {name: value})

    def __delitem__(self, name: str) -> None:
        if name not in self.data:
            raise KeyError(f"this group does not override {name!r}; it has: {', '.join(self.data)}")
        self._become({k: v for k, v in self.data.items() if k != name})

    def update(self, *overrides: Any, **more: Any) -> None:
        self._become(self.data | dict(*overrides, **more))

    def __ior__(self, overrides: Any) -> Self:  # type: ignore[misc]
        self.update(overrides)
        return self
