"""What an optimizer updates: parameters with names, in groups."""

from collections import UserDict
from collections.abc import Iterable
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import numpy as np

from .hyperparameters import unknown_hyperparameter

REMEDY = "pass a list of parameters, such as model.parameters()"

Params = Iterable[Any]  # parameters, (name, parameter) pairs, or groups


@dataclass(eq=False)
class Parameter:
    """An array and its gradient. Optimizers need only .data and .grad; a Tensor has them too.

    >>> Parameter(np.zeros(2))
    Parameter(data=array([0., 0.]), grad=None)
    """

    data: np.ndarray
    grad: np.ndarray | None = None


def collect_groups(owner: str, params: Params) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Check params; return (parameters by name, overrides) for each of its groups."""
    entries = list(_require_collection(owner, params))
    if not any(isinstance(entry, dict) for entry in entries):
        entries = [{"params": entries}]

    groups: list[tuple[dict[str, Any], dict[str, Any]]] = []
    seen: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, dict) or "params" not in entry:
            raise TypeError(f"{owner}: a group must be a dict with 'params', received {entry!r}")
        members = {}
        for item in _require_collection(owner, entry["params"]):
            has_name = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            name, parameter = item if has_name else (str(len(seen)), item)
            _check_parameter(f"{owner}: the parameter {name!r}", parameter)
            if name in seen or any(parameter is other for other in seen.values()):
                raise ValueError(f"{owner}: the parameter {name!r} appears twice; pass it once")
            seen[name] = members[name] = parameter
        if not members:
            advice = "call the network first, or give input_shape (a generator works only once)"
            raise ValueError(f"{owner}: received no parameters; {advice}")
        groups.append((members, {key: v for key, v in entry.items() if key != "params"}))
    return groups


def _require_collection(owner: str, params: Any) -> Iterable[Any]:
    if isinstance(params, set | frozenset):
        raise TypeError(f"{owner}: a set of parameters has no order; {REMEDY}")
    if isinstance(params, dict | str) or hasattr(params, "data") or hasattr(params, "parameters"):
        raise TypeError(f"{owner}: received a single {type(params).__name__}; {REMEDY}")
    if not isinstance(params, Iterable):
        hint = f" (or write lr={params!r})" if isinstance(params, float) else ""
        raise TypeError(f"{owner}: {type(params).__name__} is not iterable; {REMEDY}{hint}")
    return params


def _check_parameter(who: str, parameter: Any) -> None:
    if isinstance(parameter, np.ndarray):
        raise TypeError(f"{who} is a plain array without .grad; write Parameter(array)")
    if not (hasattr(parameter, "data") and hasattr(parameter, "grad")):
        raise TypeError(f"{who} must have .data and .grad, received a {type(parameter).__name__}")
    if getattr(parameter, "node", None) is not None:
        problem = f"{who} was computed, so it is not a leaf and never receives a .grad"
        advice = "write Tensor(0.01 * array, requires_grad=True), not 0.01 * Tensor(array, …)"
        raise ValueError(f"{problem}; {advice}")
    w = parameter.data
    if not (isinstance(w, np.ndarray) and np.issubdtype(w.dtype, np.floating)):
        received = w.dtype if isinstance(w, np.ndarray) else type(w).__name__
        raise TypeError(f"{who} must hold a floating-point array, received {received}")
    if not w.flags.writeable:
        raise ValueError(f"{who} is read-only, and a step writes into it; pass a copy")


def dtype_and_shape(array: Any) -> Any:
    return (array.dtype, array.shape) if isinstance(array, np.ndarray) else type(array).__name__


def checksum(array: np.ndarray) -> int:
    return crc32(np.ascontiguousarray(array).data)


def unbound_copy(optimizer: Any) -> Any:
    """Return a copy without parameters and slots, to try a rule: it may change what it holds."""
    twin = copy(optimizer)
    vars(twin).update(parameters={}, groups=[], slots={}, compiled=None, is_evaluating=False)
    return deepcopy(twin)


def signature_text(kind: Any) -> str:
    return kind if isinstance(kind, str) else f"an array of {kind[0]} and shape {kind[1]}"


def check_arrays(optimizer: Any, name: str, w: Any, g: Any) -> None:
    """Raise ValueError if dtype or shape of a parameter, or of its gradient, has changed."""
    required, who = optimizer.bound_signatures[name], type(optimizer).__name__
    for what, array in ("{0!r}", w), ("the gradient of {0!r}", g):
        if dtype_and_shape(array) != required:
            received = signature_text(dtype_and_shape(array))
            needed = f"{what.format(name)} must be {signature_text(required)}"
            raise ValueError(f"{who}: {needed}, as when it was bound; received {received}")
    if not w.flags.writeable:
        raise ValueError(f"{who}: {name!r} is read-only; nothing was updated")


class Group(UserDict):
    """The names of some parameters, and the hyperparameters that this group overrides.

    Setting group["lr"] = 0.01 checks the value. Reading a hyperparameter that the group does
    not override gives the optimizer's; a schedule is returned as a function. del group["lr"]
    removes an override. group.update(…) sets several at once and then checks for contradictions.
    """

    def __init__(self, optimizer: Any, names: list[str], overrides: dict[str, Any]) -> None:
        self.optimizer, self.names = optimizer, names
        self.data = optimizer.validate_overrides(overrides)

    def __missing__(self, name: str) -> Any:
        if name not in self.optimizer.defaults:
            who = f"a group of {type(self.optimizer).__name__}"
            raise KeyError(unknown_hyperparameter(who, name, self.optimizer.defaults))
        return vars(self.optimizer)[name]

    def _replace(self, overrides: dict[str, Any]) -> None:
        self.data = self.optimizer.validate_overrides(overrides)
        self.optimizer.allocate()

    def __setitem__(self, name: str, value: Any) -> None:
        self._replace(self.data | {name: value})

    def __delitem__(self, name: str) -> None:
        if name not in self.data:
            raise KeyError(f"this group does not override {name!r}; it has: {', '.join(self.data)}")
        self._replace({k: v for k, v in self.data.items() if k != name})

    def update(self, *overrides: Any, **more: Any) -> None:
        self._replace(self.data | dict(*overrides, **more))

    def __ior__(self, overrides: Any) -> Self:  # type: ignore[misc]
        self.update(overrides)
        return self
