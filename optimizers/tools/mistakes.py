"""The table of mistakes that students make, and the diagnosis: which of them explains the numbers.

To add a mistake, add an entry: what is wrong, in which tasks, and what it changes in the rule.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .task_rules import TASKS, Call, Rule, agree, decayed_sum, divide_inside, divide_outside, ema

EVERY, SQUARES, MEANS = set(TASKS), {"adagrad", "rmsprop", "adam"}, {"rmsprop", "adam"}


class Mistake(NamedTuple):
    """What is wrong, in sentences; in which tasks; and what it changes in the rule.

    {v} is the letter of the mean or sum of squares, {m} that of the gradients, {rho} and {beta}
    those of the fractions that they keep.
    """

    text: str
    tasks: set[str]
    changes: dict[str, Any]


def number(text: str, name: str, f: Callable[[float], float]) -> Mistake:
    tasks = {task for task, hyper in TASKS.items() if name in hyper}
    return Mistake(text, tasks, {"hyper": lambda h: h | {name: f(h[name])}})


def constant(name: str, value: float) -> Mistake:
    text = f"{value!r} is written in the code. Use the argument {name}."
    return number(text, name, lambda _: value)


def square(text: str, f: Callable[[Any], Any]) -> Mistake:
    return Mistake(text, SQUARES, {"square": f})


def divide(text: str, f: Callable[..., Any]) -> Mistake:
    return Mistake(text, SQUARES, {"divide": f})


def average(text: str, tasks: set[str], f: Callable[..., Any]) -> Mistake:
    return Mistake(text, tasks, {"average": f})


def average_m(text: str, tasks: set[str], f: Callable[..., Any]) -> Mistake:
    return Mistake(text, tasks, {"average_m": f})


def correct(text: str, f: Callable[..., Any]) -> Mistake:
    return Mistake(text, {"adam"}, {"correct": f})


MISTAKES = [
    Mistake("The state is not kept. Store the new value in slots.", EVERY - {"sgd"},
            {"keep": False}),
    Mistake("The parameters share one state. Keep it in slots, not in a global variable or in a "
            "default value.", EVERY - {"sgd"}, {"shared": True}),
    Mistake("The sign is wrong. minigrad subtracts lr·u, so u must have the sign of g.", EVERY,
            {"scale": -1.0}),
    Mistake("All numbers are written in the code. Use the arguments.", SQUARES,
            {"hyper": lambda h: next(x for x in TASKS.values() if x.keys() == h.keys())}),
    *[constant(name, x) for task in TASKS.values() for name, x in task.items()],
    square("The code has |g|; the equation has g².", np.abs),
    square("The code has g; the equation has g².", np.asarray),
    square("The code has 2·g; the equation has g².", lambda g: 2 * g),
    square("The code takes the mean of g² over all elements. Each element has its own {v}.",
           lambda g: np.mean(g**2) + 0 * g),
    square("The code takes the sum of g² over all elements. Each element has its own {v}.",
           lambda g: np.sum(g**2) + 0 * g),
    square("The code has the norm of g; the equation has g², element by element.",
           lambda g: np.sqrt(np.sum(g**2)) + 0 * g),
    divide("The root is missing: u divides by √{v}, not by {v}.", lambda u, v, eps: u / (v + eps)),
    divide("There is one root too many: u divides by √{v}.",
           lambda u, v, eps: u / (v**0.25 + eps)),
    divide("ε is added to the quotient. Write brackets: g / (√{v} + ε).",
           lambda u, v, eps: u / np.sqrt(v) + eps),
    divide("The code takes the maximum of √{v} and ε. Add them.",
           lambda u, v, eps: u / np.maximum(np.sqrt(v), eps)),
    divide("u is g: it does not divide by √{v}.", lambda u, v, eps: u),
    divide("The code multiplies by √{v}. Divide.", lambda u, v, eps: u * (np.sqrt(v) + eps)),
    divide("ε stands outside of the root. It belongs inside: √({v} + ε).", divide_outside),
    divide("ε stands inside the root. It belongs outside: √{v} + ε.", divide_inside),
    Mistake("ε is added to √v. It belongs to √v̂, after the bias correction.", {"adam"},
            {"eps_at": "hat"}),
    Mistake("ε is added to √v̂. It belongs to √v, before the bias correction.", {"adam"},
            {"eps_at": "outside"}),
    number("ε is missing.", "eps", lambda eps: 0.0),
    number("The code has ε²; the equation has ε.", "eps", lambda eps: eps**2),
    number("The code has √ε; the equation has ε.", "eps", lambda eps: eps**0.5),
    number("ε is subtracted. Add it.", "eps", lambda eps: -eps),
    average("{rho} and 1 − {rho} are exchanged in {v}.", MEANS,
            lambda old, x, rho: (1 - rho) * old + rho * x),
    average("The factor 1 − {rho} is missing in {v}.", MEANS, decayed_sum),
    average("The old {v} is not multiplied by {rho}.", MEANS, lambda old, x, rho: old + x),
    average("The old {v} is not multiplied by {rho}.", MEANS,
            lambda old, x, rho: old + (1 - rho) * x),
    average("{v} is g² of this step alone. Add it to the old {v}.", {"adagrad"},
            lambda old, x, _: x),
    average("{v} is g² of this step alone. Add {rho} times the old {v}.", MEANS,
            lambda old, x, _: x),
    average("{v} is (1 − {rho})·g² of this step alone. Add {rho} times the old {v}.", MEANS,
            lambda old, x, rho: (1 - rho) * x),
    average("{v} is a moving average with 0.9 and 0.1. It must be a sum.", {"adagrad"},
            lambda old, x, _: ema(old, x, 0.9)),
    Mistake("{v} is used before its update. Update it first.", SQUARES, {"late": "v"}),
    Mistake("{m} is used before its update. Update it first.", {"momentum", "adam"},
            {"late": "m"}),
    Mistake("m and v are used before their update. Update them first.", {"adam"}, {"late": "mv"}),
    *[Mistake(f"{{v}} starts at {x:g}. It must start at {{start:g}}.", SQUARES, {"start": x})
      for x in (0.0, 1.0, 0.1)],
    Mistake("{v} starts at ε. It must start at {start:g}.", SQUARES, {"start": 1e-8}),
    Mistake("{v} starts at the first g². It must start at {start:g}.", SQUARES,
            {"start": "first"}),
    Mistake("β₁ and β₂ are exchanged.", {"adam"},
            {"hyper": lambda h: h | {"beta1": h["beta2"], "beta2": h["beta1"]}}),
    average_m("β₁ and 1 − β₁ are exchanged in m.", {"adam"},
              lambda old, x, beta: (1 - beta) * old + beta * x),
    average_m("The factor 1 − β₁ is missing in m.", {"adam"}, decayed_sum),
    average_m("The old {m} is not multiplied by {beta}.", {"momentum", "adam"},
              lambda old, x, beta: old + x),
    average_m("{m} is g of this step alone. Add {beta} times the old {m}.", {"momentum", "adam"},
              lambda old, x, beta: x),
    average_m("The old b is subtracted. Add it.", {"momentum"},
              lambda old, x, mu: x - mu * old),
    average_m("g is multiplied by μ, too. Write μ·b + g, not μ·(b + g).", {"momentum"},
              lambda old, x, mu: mu * (old + x)),
    average_m("g is subtracted from μ·b. Add it.", {"momentum"}, lambda old, x, mu: mu * old - x),
    correct("The bias correction is missing.", lambda m, v, *_: (m, v)),
    correct("The bias correction of m is missing.", lambda m, v, b1, b2, t: (m, v / (1 - b2**t))),
    correct("The bias correction of v is missing.", lambda m, v, b1, b2, t: (m / (1 - b1**t), v)),
    correct("The bias corrections of m and v are exchanged.",
            lambda m, v, b1, b2, t: (m / (1 - b2**t), v / (1 - b1**t))),
    correct("The code multiplies by the bias corrections. Divide.",
            lambda m, v, b1, b2, t: (m * (1 - b1**t), v * (1 - b2**t))),
    correct("v is corrected after the root. Divide v by 1 − β₂ᵗ before.",
            lambda m, v, b1, b2, t: (m / (1 - b1**t), v / (1 - b2**t) ** 2)),
    correct("The code has 1 − β·t; the equation has 1 − βᵗ.",
            lambda m, v, b1, b2, t: (m / (1 - b1 * t), v / (1 - b2 * t))),
    correct("u uses g, not m̂.", lambda m, v, b1, b2, t: (None, v / (1 - b2**t))),
    Mistake("The bias correction counts from t = 0: the code has t − 1.", {"adam"},
            {"time": lambda t, _: t - 1}),
    Mistake("The bias correction uses t + 1. Use t.", {"adam"}, {"time": lambda t, _: t + 1}),
    Mistake("One counter counts the steps of all parameters. Use the argument t.", {"adam"},
            {"time": lambda t, number: number}),
    Mistake("m̂ and v̂ are stored. Store m and v.", {"adam"}, {"stores_corrected": True}),
    Mistake("The maximum of v is missing.", {"adam"}, {"amsgrad": False}),
    Mistake("The code takes the largest v. The equation has no maximum.", {"adam"},
            {"amsgrad": True}),
    *[Mistake(f"The code has another momentum: {text}.", {"momentum"}, {"form": form})
      for form, text in {
          "heavy ball": "the heavy ball, u = b", "nesterov": "Nesterov's, u = g + μ·b",
          "averaged": "an average, with (1 − μ)·g",
          "averaged nesterov": "an average and Nesterov's"}.items()],
]  # fmt: skip


def diagnose(rule: Rule, parts: Sequence[tuple[list[Call], list[np.ndarray]]]) -> list[str]:
    """Return the one or two mistakes that explain the directions in all parts; [] if none do."""
    keeps = {"adam": "β₂"}.get(rule.task, "ρ")
    letters: dict[str, Any] = {
        "v": "r" if rule.task == "adagrad" else "v", "m": "b" if rule.task == "momentum" else "m",
        "rho": keeps, "beta": "μ" if rule.task == "momentum" else "β₁", "start": rule.start,
    }  # fmt: skip
    table = [*[m for m in MISTAKES if rule.task in m.tasks], *scaled(rule, *parts[0])]
    for chosen in [*zip(table), *itertools.combinations(table, 2)]:
        changes = [item for mistake in chosen for item in mistake.changes.items()]
        wrong = replace(rule, **dict(changes))
        if len(dict(changes)) == len(changes) and all(computes(wrong, *part) for part in parts):
            return [mistake.text.format(**letters) for mistake in chosen]
    return []


def computes(rule: Rule, calls: list[Call], found: list[np.ndarray]) -> bool:
    try:
        first = [next(rule.directions(calls))]
        return agree(first, found[:1]) and agree([*rule.directions(calls)], found)
    except (ArithmeticError, TypeError, ValueError):  # two mistakes that do not go together
        return False


def scaled(rule: Rule, calls: list[Call], found: list[np.ndarray]) -> list[Mistake]:
    """Return an entry for a factor of u, such as lr, if the first step has one."""
    with np.errstate(all="ignore"):
        c = float(np.median(found[0] / next(rule.directions(calls))))
    if not np.isfinite(c) or abs(c) < 1e-12 or abs(abs(c) - 1) < 1e-3:
        return []
    text = f"u is multiplied by {c:.4g}. minigrad multiplies by lr; leave it out."
    return [Mistake(text, EVERY, {"scale": c})]
