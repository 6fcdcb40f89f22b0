"""SciPy's methods of minimization (Nocedal & Wright 2006) with the engine's derivatives."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import numpy as np

from .autograd.differential_operators import grad, gradient_of_inner_product, subgraph_to
from .autograd.tensor import Tensor, grad_key

DERIVATIVES: dict[str, tuple] = {  # jac is ∇f, hessp is H v, hess is H; other methods use jac alone
    **dict.fromkeys(["nelder-mead", "powell", "cobyla", "cobyqa"], ()),
    **dict.fromkeys(["newton-cg", "trust-ncg", "trust-krylov", "trust-constr"], ("jac", "hessp")),
    **dict.fromkeys(["dogleg", "trust-exact"], ("jac", "hess")),
}


def minimize(loss: Any, parameters: Any, method: str = "L-BFGS-B", **options: Any) -> Any:
    """Minimize a loss f with scipy.optimize.minimize, and return SciPy's result.

    loss: a function that returns f, a scalar. It must not call backward(), and must not be random:
    call model.eval() first.
    parameters: tensors or (name, tensor) pairs. At the end they hold result.x; after an error, the
    values from the start.
    method, options: SciPy's. Bounds, constraints and callbacks see x: all parameters in one vector.

    >>> minimize(lambda: np.sum((x - 3) ** 2), [x := Tensor(np.ones(2), requires_grad=True)]).x
    array([3., 3.])
    """
    from scipy.optimize import minimize as scipy_minimize  # slow to import

    for name, function in {"loss": loss, "jac": options.get("jac", loss)}.items():
        require(callable(function), f"{name} must be a function", function)
    names = DERIVATIVES.get(str(method).lower(), ("jac",))
    objective = Objective(loss, distinct_tensors(parameters), names)
    callback = options.get("callback") or (lambda *_: None)

    @wraps(callback)  # SciPy reads its signature
    def at_iterate(*args: Any, **named: Any) -> Any:
        objective.set_parameters(args[0] if args else named["intermediate_result"].x)
        return callback(*args, **named)

    derivatives = {name: getattr(objective, name) for name in names}
    options = derivatives | options | {"callback": at_iterate}
    start = objective.flat_parameters()
    end = start
    try:
        result = scipy_minimize(objective.value, start.astype(float), method=method, **options)
        end = result.x
    finally:
        objective.set_parameters(end)
    return result


def require(condition: object, what: str, received: object) -> None:
    if not condition:
        raise ValueError(f"minimize: {what}; received {received!r:.60}")


def distinct_tensors(parameters: Iterable[Tensor | tuple[str, Tensor]]) -> list[Tensor]:
    """Return the tensors; raise ValueError unless they are leaves that share no memory."""
    tensors = [p[-1] if isinstance(p, tuple) else p for p in parameters]
    bad = [p for p in tensors if not isinstance(p, Tensor) or not p.requires_grad or p.node]
    if not bad:
        pairs = ((p, q) for i, p in enumerate(tensors) for q in tensors[:i])
        bad = [p for p, q in pairs if np.shares_memory(p.data, q.data)]
    what = "parameters must be distinct tensors that need gradients"
    require(tensors and not bad, what, bad or tensors)
    return tensors


class Objective:
    """f(x) and its derivatives, as SciPy calls them; f and ∇f are computed once for each x."""

    def __init__(self, loss: Callable, parameters: list[Tensor], names: tuple[str, ...]):
        self.loss, self.parameters = loss, parameters
        self.needs_gradient, self.needs_hessian = bool(names), len(names) > 1
        self.versions: list[int] = []  # of the parameters when f and ∇f were computed
        self.f = 0.0
        self.gradient: Any = None  # a tensor, so that it can be differentiated again

    def value(self, x: np.ndarray) -> float:
        """Return f(x)."""
        self.evaluate(x)
        return self.f

    def jac(self, x: np.ndarray) -> np.ndarray:
        """Return ∇f(x)."""
        self.evaluate(x)
        return self.gradient.data.astype(float)

    def hessp(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return H v."""
        self.evaluate(x)
        products = gradient_of_inner_product([self.gradient], self.parameters, [v])
        return np.concatenate([h.ravel() for h in products], dtype=float)

    def hess(self, x: np.ndarray) -> np.ndarray:
        """Return H, a column at a time."""
        return np.stack([self.hessp(x, v) for v in np.eye(len(x))])

    def evaluate(self, x: np.ndarray) -> None:
        """Compute f and ∇f at x, unless the parameters have not changed since the last time."""
        versions = self.set_parameters(x)
        if versions == self.versions:
            return
        f = self.loss()
        unchanged = self.set_parameters(x) == versions
        require(unchanged, "loss must not change the parameters", self.loss)
        is_computed = isinstance(f, Tensor) and (
            not self.needs_gradient or grad_key(f) in subgraph_to({*self.parameters}, f)
        )
        what = "loss must compute a scalar from the parameters, not under no_grad()"
        require(is_computed, what, f)
        if self.needs_gradient:
            parts = grad(f, self.parameters, create_graph=self.needs_hessian)
            self.gradient = np.concatenate([np.ravel(g) for g in parts])
        self.f, self.versions = f.item(), versions

    def flat_parameters(self) -> np.ndarray:
        return np.concatenate([p.data.ravel() for p in self.parameters])

    def set_parameters(self, x: np.ndarray) -> list[int]:
        """Write x into the parameters; return their versions."""
        ends = np.cumsum([p.size for p in self.parameters])
        for p, part in zip(self.parameters, np.split(x, ends)):
            if not np.array_equal(p.data.ravel(), part.astype(p.dtype), equal_nan=True):
                p.data[...] = part.reshape(p.shape)
                p.version += 1
        return [p.version for p in self.parameters]
