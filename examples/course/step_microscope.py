"""One step under the microscope: the equations of an optimizer, with the numbers of one step.

This is a module that playground_pictures.py imports, not a program.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from playground_runs import Problem, backward

from minigrad.optimizers import Optimizer, Parameter
from minigrad.optimizers.tools.explain import LETTERS


class Watched(np.ndarray):
    """An array that records each operation on it: its name, its operands, its result."""

    notes: list[tuple[str, list[np.ndarray], np.ndarray]]  # of a subclass, made for one step

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **options: Any
    ) -> Any:
        operands = [np.array(x) for x in inputs]  # copies: an operation in place overwrites one
        if out:
            options["out"] = tuple(x.view(np.ndarray) for x in out)
        result = getattr(ufunc, method)(*operands, **options)
        self.notes.append((ufunc.__name__, operands, np.array(result)))
        return out[0] if out else np.asarray(result).view(type(self))


@dataclass(frozen=True)
class Step:
    """One step of a run: the text of explain(), and arrays by the letters in it.

    before: w, g and the slots before the step. after: w and the slots after it.
    inside: what the rule computed: g′ (g with weight decay in it), the roots, u and Δw.
    """

    number: int
    equations: str
    before: dict[str, np.ndarray]
    inside: dict[str, np.ndarray]
    after: dict[str, np.ndarray]


ROOT = re.compile(r"√(?:\w+|\w*\((?:[^()]|\([^()]*\))*\))")


def examine(problem: Problem, optimizer: Optimizer, number: int) -> Step:
    """Run the optimizer to the step of this number, and watch this step."""
    w = Parameter(np.array(problem.start))
    optimizer.bind([("w", w)])
    with np.errstate(all="ignore"):
        for _ in range(number - 1):
            backward(problem, w)
            optimizer.step()
        backward(problem, w)
    before = {"w": w.data.copy(), "g": w.grad} | letters(optimizer)
    equations = optimizer.explain()

    watched = type("WatchedInOneStep", (Watched,), {"notes": []})
    rule, inside = optimizer.direction, {}

    def direction(g: np.ndarray, slots: dict[str, np.ndarray], **hyper: Any) -> np.ndarray:
        if not np.array_equal(g, w.grad):
            inside["g′"] = g.copy()
        watched.notes.clear()
        seen = {k: x.view(watched) if x.shape == g.shape else x for k, x in slots.items()}
        u = np.asarray(rule(g.view(watched), seen, **hyper))
        slots.update({k: np.asarray(x) for k, x in seen.items()})  # the rule may replace one
        roots = [result for name, _, result in watched.notes if name == "sqrt"]
        inside.update(zip(ROOT.findall(equations), roots))
        inside["u"] = u.copy()
        return u

    vars(optimizer)["direction"] = direction
    w.data = w.data.view(watched)
    optimizer.step()
    w.data = w.data.view(np.ndarray)
    _, (shrunk, change), _ = watched.notes[-1]  # the last operation of a step is w ← w − change
    with np.errstate(all="ignore"):
        inside["Δw"] = (shrunk - before["w"]) - change  # shrunk is w, or w after weight decay
    return Step(number, equations, before, inside, {"w": w.data} | letters(optimizer))


def letters(optimizer: Optimizer) -> dict[str, np.ndarray]:
    """Return copies of the slots by the letters that explain() uses."""
    return {LETTERS.get(name, name): x.copy() for name, x in optimizer.slots["w"].items()}


def number_text(x: float, digits: int = 6) -> str:
    """Return a number as explain() writes it, with a real minus.

    >>> number_text(-0.25), number_text(float("inf"))
    ('−0.25', '∞')
    """
    return f"{x:.{digits}g}".replace("-", "−").replace("inf", "∞").replace("nan", "no number")


def columns(step: Step) -> dict[str, np.ndarray]:
    """Return the columns of the table: title → a number for each weight."""
    slots = {name: x for name, x in step.before.items() if name not in ("w", "g")}
    table = {"w before": step.before["w"], "g": step.before["g"]}
    for name, x in slots.items():
        if x.shape == table["g"].shape:
            table |= {f"{name} before": x, f"{name} after": step.after[name]}
    return table | step.inside | {"w after": step.after["w"]}


def worked(step: Step, weight: int) -> list[str]:
    """Return the equations of explain() with the numbers of one weight instead of letters."""
    size = step.before["w"].shape
    values = {name: x[weight] for name, x in step.before.items() if x.shape == size}
    new = {name: x[weight] for name, x in (step.inside | step.after).items() if x.shape == size}
    lines = []
    for name, sign, rule in re.findall(r"^ {4}(\S+) ([←=]) (.*)$", step.equations, re.M):
        if name not in new:
            continue
        text = re.sub(r"(?<![^\W\d²])[^\W\d²]+′?", lambda m: substituted(m, values), rule)
        lines.append(f"{name} {sign} {text} = {number_text(new[name])}")
        values[name] = new[name]
    return lines


def substituted(letter: re.Match, values: Mapping[str, float]) -> str:
    """Return the number for a letter, in brackets where they are needed; keep other words."""
    if letter[0] not in values:
        return letter[0]
    text = number_text(values[letter[0]])
    return f"({text})" if re.search("[−e]", text) else text


def table_as_html(step: Step) -> str:
    """Return the table: a row for each weight, a column for each quantity."""
    table = columns(step)
    rows = [["weight", *table]]
    for i in range(len(table["g"])):
        rows.append([f"x{'₁₂'[i]}", *(number_text(x[i]) for x in table.values())])
    style = "padding: 0.2rem 0.8rem 0.2rem 0; text-align: left; white-space: nowrap"
    cells = ["".join(f'<td style="{style}">{text}</td>' for text in row) for row in rows]
    lines = "".join(f"<tr>{row}</tr>" for row in [cells[0].replace("td", "th"), *cells[1:]])
    return f'<div style="overflow-x: auto; font-size: 0.8rem"><table>{lines}</table></div>'
