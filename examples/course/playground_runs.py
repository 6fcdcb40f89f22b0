"""What the playground computes: the optimizers to choose, and their runs on a surface.

This is a module that playground.py imports, not a program.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of problems.py
from problems import PROBLEMS, Problem

from minigrad import Tensor, optimizers
from minigrad.optimizers import Optimizer, Parameter

# ---- What can be chosen ----

MOST_STEPS = 200
DECADES = [m * 10.0**e for e in range(-4, 1) for m in (1, 1.5, 2, 3, 4, 5, 6, 8)]
LRS = [float(f"{lr:.2g}") for lr in [*DECADES, 10.0]]
SHARES = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999]
FIRST_LR = {  # surface: learning rates to begin with, of SGD and of rules that scale the gradient
    "quadratic": (0.3, 0.4), "booth": (0.02, 0.5), "rosenbrock": (0.0005, 0.1),
    "beale": (0.01, 0.1), "himmelblau": (0.01, 0.2), "rastrigin": (0.001, 0.1),
}  # fmt: skip


def list_choices() -> dict[str, tuple[type[Optimizer], dict[str, Any]]]:
    """Return the class and the hyperparameters of every optimizer in every convention."""
    choices = {}
    for name in optimizers.available():
        cls = optimizers.registry.find(name)
        if not issubclass(cls, Optimizer) or cls.needs_closure:
            continue
        choices[name] = cls, {}
        if name == "sgd":
            choices["sgd with momentum"] = cls, {"momentum": 0.7}
            choices["sgd with Nesterov momentum"] = cls, {"momentum": 0.7, "nesterov": True}
        choices |= {f"{name} as in {c}": (cls, hyper) for c, hyper in cls.conventions.items()}
    return choices


CHOICES = list_choices()


def first_values(surface: str, choice: str) -> dict[str, float]:
    """Return the hyperparameters that have a slider, with their first values."""
    cls, hyper = CHOICES[choice]
    names = [name for name in ("rho", "beta1", "beta2") if name in cls.defaults]
    if cls.__name__ in ("SGD", "RMSprop"):
        names.insert(0, "momentum")
    for_sgd, for_others = FIRST_LR[surface]
    lr = {"SGD": for_sgd, "Adadelta": 1.0}.get(cls.__name__, for_others)
    return {"lr": lr} | {name: (cls.defaults | hyper)[name] for name in names}


def slider_steps(choice: str, name: str) -> list[float]:
    """Return the values of a slider; Nesterov needs a momentum above 0."""
    if name == "lr":
        return LRS
    return SHARES[1:] if "nesterov" in CHOICES[choice][1] else SHARES


def make(choice: str, settings: Mapping[str, float]) -> Optimizer:
    cls, hyper = CHOICES[choice]
    return cls(**(hyper | dict(settings)))


# ---- A run ----


@dataclass(frozen=True)
class Run:
    """The path (steps + 1, 2) and the loss at each of its points; if it diverged, a sentence."""

    path: np.ndarray
    losses: np.ndarray
    divergence: str = ""

    @property
    def steps(self) -> int:
        return len(self.path) - 1


def backward(problem: Problem, w: Parameter) -> float:
    """Compute the gradient of w; return the loss."""
    x1, x2 = (Tensor(x, requires_grad=True) for x in w.data)
    loss = problem(x1, x2)
    loss.backward()
    w.grad = np.array([x1.grad, x2.grad])
    return float(loss.data)


def run(problem: Problem, optimizer: Optimizer, steps: int) -> Run:
    """Run the optimizer from the start of the problem. A run that diverges ends early."""
    w = Parameter(np.array(problem.start))
    optimizer.bind([("w", w)])
    path, losses, divergence = [w.data.copy()], [], ""
    with np.errstate(all="ignore"):
        for step in range(1, steps + 1):
            losses.append(backward(problem, w))
            try:
                optimizer.step()
            except FloatingPointError:  # the gradient is inf or NaN
                divergence = f"diverged: after step {step - 1} the gradient is no finite number"
                break
            path.append(w.data.copy())
        else:
            losses.append(float(problem(*w.data)))
    return Run(np.array(path), np.array(losses), divergence)


@lru_cache(maxsize=256)
def run_choice(surface: str, choice: str, settings: tuple) -> Run:
    """Run a choice for MOST_STEPS. A slider that moves runs only its own optimizer again.

    settings: the pairs (hyperparameter, value) of the sliders.
    """
    return run(PROBLEMS[surface], make(choice, dict(settings)), MOST_STEPS)


def first_steps(one: Run, steps: int) -> Run:
    """Return the first steps of a run."""
    divergence = one.divergence if one.steps < steps else ""
    return Run(one.path[: steps + 1], one.losses[: steps + 1], divergence)
