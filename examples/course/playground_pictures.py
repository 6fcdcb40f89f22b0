"""What the playground shows: paths and losses of runs, and one step, as HTML.

This is a module that playground.py imports, not a program.
"""

import base64
import html
import io
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from playground_runs import PROBLEMS, Run, make
from step_microscope import columns, examine, number_text, table_as_html, worked

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of drawing.py
from drawing import draw_path, evaluate_on_grid

from minigrad import plotting

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


def pictures_as_html(surface: str, runs: Mapping[str, Run], step: int) -> str:
    """Return the legend, with the last loss of each run, and both pictures."""
    ends = [
        f": {one.divergence or f'loss {number_text(one.losses[-1], 2)}'}" for one in runs.values()
    ]
    legend = [name_with_color(i, name, end) for i, (name, end) in enumerate(zip(runs, ends))]
    step = min(step, max(one.steps for one in runs.values()))
    paths = picture(draw_paths(surface, runs, step), f"paths over contours of {surface}")
    losses = picture(draw_losses(runs, step), "loss over steps")
    return side_by_side(legend, "14rem") + side_by_side([paths, losses], "20rem")


def step_as_html(surface: str, choice: str, settings: tuple, one: Run, step: int) -> str:
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
