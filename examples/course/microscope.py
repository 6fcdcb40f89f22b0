"""What the playground computes and draws: runs, pictures, and one step under the microscope.

This is a module that playground.py imports, not a program.
"""

import base64
import html
import io
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of drawing.py and problems.py
from drawing import draw_path, evaluate_on_grid
from problems import PROBLEMS, Problem

from minigrad import Tensor, optimizers, plotting
from minigrad.optimizers import Optimizer, Parameter
from minigrad.optimizers.tools.explain import LETTERS

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


# ---- Pictures ----


DPI = 110


@lru_cache
def contours(surface: str) -> list[np.ndarray]:
    """Return the lines of equal f that drawing.draw_contours draws, computed once per surface."""
    problem = PROBLEMS[surface]
    x1, x2, z = evaluate_on_grid(problem, problem.view, 120, 120)
    found = plotting.pyplot().figure().gca().contour(x1, x2, (z - z.min()) ** 0.25, levels=12)
    plotting.pyplot().close(found.figure)
    return [segment for level in found.allsegs for segment in level]


def panel(x: str, y: str, title: str) -> tuple[Any, Any]:
    """Return a figure with one Axes. Its layout is fixed, because computing one takes long."""
    figure = plotting.figure(size=(5.2, 3.9))
    figure.set_layout_engine("none")
    figure.set_dpi(DPI)
    (ax,) = figure.axes
    ax.set_position((0.18, 0.14, 0.79, 0.76))
    ax.set(xlabel=x, ylabel=y)
    ax.set_title(title, y=1.02)  # without y, matplotlib measures every text to find a place
    ax.locator_params(nbins=5)
    return figure, ax


def draw_paths(surface: str, runs: Mapping[str, Run], step: int) -> Any:
    """Draw the paths over contours, with a diamond at the chosen step."""
    from matplotlib.collections import LineCollection

    problem = PROBLEMS[surface]
    figure, ax = panel("x₁", "x₂", f"{surface}: start ○, end ■, minimum ★")
    lines = LineCollection(contours(surface), colors=plotting.INK, linewidths=0.7, alpha=0.55)
    ax.add_collection(lines, autolim=False)
    ax.plot(*np.transpose(problem.minima), "*", color=plotting.INK, ms=10, zorder=3)
    left, right, bottom, top = problem.view
    far = 10 * max(right - left, top - bottom)  # a point far outside is too far for matplotlib
    for i, (name, one) in enumerate(runs.items()):
        is_near = np.abs(one.path).max(axis=1) < far
        draw_path(ax, one.path[is_near], name)
        at = min(step, one.steps)
        if is_near[at]:
            mark_chosen(ax, one.path[at], i)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    return figure


def draw_losses(runs: Mapping[str, Run], step: int) -> Any:
    """Draw the loss over steps on a log scale, with a diamond at the chosen step."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure, ax = panel("step", "loss", f"the loss; ◇ is after step {step}")
    start = next(iter(runs.values())).losses[0]
    for i, (name, one) in enumerate(runs.items()):
        is_drawn = (one.losses > 0) & (one.losses < 1e6 * start)  # others have no place here
        ax.plot(np.where(is_drawn, one.losses, np.nan), linewidth=1.2, label=name)
        at = min(step, one.steps)
        if is_drawn[at]:
            mark_chosen(ax, (at, one.losses[at]), i)
    ax.axvline(step, color=plotting.INK, linewidth=0.7)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    is_narrow = high < 100 * low  # so that there may be a single power of 10
    ax.yaxis.set_major_formatter("{x:g}")  # matplotlib sets its own, 10ⁿ, as a formula: slow
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_narrow else (1,), numticks=6))
    ax.yaxis.set_minor_locator(NullLocator())
    return figure


def mark_chosen(ax: Any, xy: Any, number: int) -> None:
    """Draw ◇ in the colour of the optimizer with this number."""
    ax.plot(*xy, "D", color=plotting.COLORS[number], mfc="none", mew=1.5, ms=8)


def picture(figure: Any, words: str) -> str:
    """Return the figure as HTML, and close it; words: what a screen reader says."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file, pil_kwargs={"compress_level": 1})  # savefig draws twice
    plotting.pyplot().close(figure)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{words}" style="width: 100%" src="data:image/png;base64,{data}">'


# ---- One step under the microscope ----


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


# ---- The page ----


def side_by_side(parts: Iterable[str], least: str) -> str:
    """Return HTML: parts in a row, or in several rows if the window is narrow; least: a width."""
    style = f"flex: 1 1 {least}; min-width: 0; max-width: 100%"
    cells = "".join(f'<div style="{style}">{part}</div>' for part in parts)
    return f'<div style="display: flex; flex-wrap: wrap; gap: 0.5rem 1.5rem">{cells}</div>'


def name_with_color(i: int, choice: str, more: str = "") -> str:
    """Return the name of the i-th optimizer after a line of its colour: a row of the legend."""
    line = f"display: inline-block; width: 1.5rem; border-top: 3px solid {plotting.COLORS[i]}"
    mark = f'<span style="{line}; margin: 0 0.5rem 0.25rem 0"></span>'
    return f"<div>{mark}<b>{choice}</b>{more}</div>"


def pictures(surface: str, runs: Mapping[str, Run], step: int) -> str:
    """Return the legend, with the last loss of each run, and both pictures."""
    ends = [
        f": {one.divergence or f'loss {number_text(one.losses[-1], 2)}'}" for one in runs.values()
    ]
    legend = [name_with_color(i, name, end) for i, (name, end) in enumerate(zip(runs, ends))]
    step = min(step, max(one.steps for one in runs.values()))
    paths = picture(draw_paths(surface, runs, step), f"paths over contours of {surface}")
    losses = picture(draw_losses(runs, step), "loss over steps")
    return side_by_side(legend, "14rem") + side_by_side([paths, losses], "20rem")


def view(surface: str, choice: str, settings: tuple, one: Run, step: int) -> str:
    """Return the step under the microscope: words, equations, the numbers of each weight."""
    words = []
    if step > one.steps:
        reason = one.divergence or f"the run has {one.steps} steps"
        words.append(f"There is no step {step}: {reason}. This is the last step.")
        step = one.steps
    seen = examine(PROBLEMS[surface], make(choice, dict(settings)), step)
    if any(not np.isfinite(x).all() for x in columns(seen).values()):
        words.append("∞ means: too large for a number of the computer.")
    text = "".join(f"<p>{sentence}</p>" for sentence in words)
    blocks = [seen.equations, *("\n".join(worked(seen, i)) for i in (0, 1))]
    style = "white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.8rem; margin-bottom: 1rem"
    shown = [f'<pre style="{style}">{html.escape(block)}</pre>' for block in blocks]
    parts = [f"<b>{name} with its numbers</b>{x}" for name, x in zip(("x₁", "x₂"), shown[1:])]
    head = f"<b>Step {step} of {choice}</b>{shown[0]}"
    return text + head + table_as_html(seen) + side_by_side(parts, "20rem")
