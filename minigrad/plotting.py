"""Pictures, in order of difficulty: curves, paths over contours, images, animations.

Matplotlib is imported when a picture is drawn, so that everything else works without it; where
there is no display, it falls back to files by itself. Backgrounds are transparent and the ink is
grey, to be read on light and on dark pages; the colours (Okabe & Ito 2008) are told apart by
colour-blind eyes as well. Whatever draws on an `ax`, draws on matplotlib's Axes.
"""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

INK = "#7a7a7a"
COLORS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9".split()
BLUE, VERMILLION = COLORS[:2]
DASHES = ("-", "--", ":", "-.")  # when the colours are used up, they begin again with dashes
STYLE = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
ADVICE = 'drawing needs matplotlib, which is not installed: pip install "minigrad[plot]"'


def pyplot() -> Any:
    """matplotlib.pyplot, or an ImportError that says how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(ADVICE) from error
    return pyplot


def destination(path: str, endings: Sequence[str] = (".png", ".svg", ".pdf")) -> Path | None:
    """Where a picture shall go, for argparse's `type=`, checked before any work is done.

    None without matplotlib, which is said on stderr: a program can go on and print its numbers.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise ArgumentTypeError(f"there is no folder {target.parent} to write {target.name} to")
    if target.suffix not in endings:
        raise ArgumentTypeError(f"a name ending in {' or '.join(endings)} is required: {path}")
    if find_spec("matplotlib") is None:
        print(f"{target.name} will not be made: {ADVICE}", file=sys.stderr)
        return None
    return target


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None) -> Any:
    """A figure in our style; `figure.axes` lists its rows · columns axes. Size in inches."""
    plt = pyplot()
    with plt.rc_context(STYLE):
        size = size or (5.2 * columns, 3.6 * rows)
        made, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.set_prop_cycle(linestyle=[d for d in DASHES for _ in COLORS], color=COLORS * len(DASHES))
        ax.tick_params(colors=INK)  # ticks are made later, when STYLE is out of force
    return made


def label(ax: Any, x: str, y: str, title: str = "", legend: str = "best") -> None:
    """Say what the axes are, and which curve is which: a legend there, or below, or "" for none."""
    ax.set(xlabel=x, ylabel=y, title=title)
    if legend == "below":
        ax.figure.legend(labelcolor=INK, frameon=False, loc="outside lower center", ncols=2)
    elif legend:
        ax.legend(frameon=False, labelcolor=INK, loc=legend)


def save(drawn: Any, path: str | Path) -> None:
    """Write a figure to a file, whose ending names the format, and let go of it."""
    drawn.savefig(path, dpi=144)
    pyplot().close(drawn)
    if Path(path).suffix == ".png":  # 128 colours look the same, in a quarter of the bytes
        from PIL import Image  # matplotlib needs it, too

        with Image.open(path) as picture:
            small = picture.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def epochs(history: Mapping[str, Sequence[float]], axes: Sequence[Any] = ()) -> Any:
    """Numbers per epoch, on the axes or in a new figure: each with its `val_` fellow dashed.

    history: lists by name, such as loss, val_loss, accuracy, as `fit` gathers them.
    """
    panels = [name for name in history if name != "lr" and not name.startswith("val_")]
    if not panels:
        raise ValueError("there is nothing to draw: the history is empty, so fit a model first")
    axes = axes or figure(1, len(panels)).axes
    for ax, name in zip(axes, panels):
        for key, title, dash in ((name, "training", "-"), (f"val_{name}", "validation", "--")):
            if numbers := history.get(key):
                x = range(1, len(numbers) + 1)
                ax.plot(x, numbers, dash, marker="o", markersize=4, label=title)
        ax.set_xlim(0.5, len(history[name]) + 0.5)
        ax.xaxis.get_major_locator().set_params(integer=True)
        label(ax, "epoch", name, legend="best" if f"val_{name}" in history else "")
    return axes[0].figure


def contour(ax: Any, f: Callable, view: Sequence[float], minima: Sequence) -> None:
    """Lines of equal f(x₁, x₂) within view = (x₁ from, to, x₂ from, to), a star at each minimum.

    f must work on arrays. The levels are evenly spaced in the fourth root of f − min f: even
    spacing would crowd the slopes and leave the bottom of a valley bare.
    """
    x1, x2, z = surface(f, view, 240, 240)
    root = (z - z.min()) ** 0.25
    ax.contour(x1, x2, root, levels=12, colors=INK, linewidths=0.7, alpha=0.55)
    ax.plot(*np.transpose(minima), "*", color=INK, ms=10, zorder=3, label="minimum")
    ax.set(xlim=view[:2], ylim=view[2:])


def surface(f: Callable, view: Sequence[float], rows: int, columns: int) -> tuple:
    """x₁, x₂ and f on a grid over the view, (rows, columns) each."""
    left, right, bottom, top = view
    x1, x2 = np.meshgrid(np.linspace(left, right, columns), np.linspace(bottom, top, rows))
    return x1, x2, f(x1, x2)


def path(ax: Any, points: np.ndarray, name: str) -> None:
    """The way (steps, 2) of one optimizer: a ring at its start, a square at its end."""
    points = np.asarray(points)
    dots = {"marker": ".", "markersize": 4} if len(points) < 100 else {}
    (line,) = ax.plot(*points.T, linewidth=1.2, label=name, **dots)
    ax.plot(*points[0], "o", color=INK, mfc="none", mew=1.5, ms=8, linestyle="none")
    ax.plot(*points[-1], "s", color=line.get_color(), ms=5, linestyle="none")


def animate(drawn: Any, path: str | Path, frames: int, rate: int = 8) -> None:
    """Write a GIF of a figure's lines up to their point 1, 2, … `frames`; marks stand still."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    lines = [(line, *line.get_data()) for ax in drawn.axes for line in ax.get_lines()]
    lines = [(line, x, y) for line, x, y in lines if line.get_linestyle() != "None"]

    def show(frame: int) -> None:
        for line, x, y in lines:
            line.set_data(x[: frame + 1], y[: frame + 1])

    pictures = [*range(frames), *[frames - 1] * rate]
    opaque = {"facecolor": "white"}  # a GIF has no half-transparent pixels, so letters would fray
    movie = FuncAnimation(drawn, show, pictures)
    movie.save(path, PillowWriter(fps=rate), dpi=80, savefig_kwargs=opaque)
    pyplot().close(drawn)


def images(ax: Any, pictures: Any, truth: Any, predicted: Any, columns: int = 6) -> None:
    """Images (N, height, width) in rows, each under its predicted label; the wrong ones marked.

    A wrong one is framed, and its label says what it is not: "4≠9" was a 9.
    """
    pictures = np.asarray(pictures, float)
    n, height, width = pictures.shape
    down, across = height + 14, width + 6  # with room for a label above, and space between
    sheet = np.full((-(-n // columns) * down, columns * across), np.nan)  # NaN: transparent
    for i, (picture, true, guess) in enumerate(zip(pictures, truth, predicted)):
        y, x = i // columns * down + 14, i % columns * across
        sheet[y : y + height, x : x + width] = picture
        text, color = (f"{guess}", BLUE) if guess == true else (f"{guess}≠{true}", VERMILLION)
        ax.text(x + width / 2, y - 2, text, color=color, ha="center", va="bottom", size=9)
        if guess != true:
            corners = np.array([[0, width, width, 0, 0], [0, 0, height, height, 0]]) - 0.5
            ax.plot(corners[0] + x, corners[1] + y, "-", color=VERMILLION, linewidth=1.5)
    ax.imshow(sheet, cmap="gray_r")
    ax.axis("off")


def text_paths(
    f: Callable, view: Sequence[float], paths: Mapping[str, np.ndarray], minima: Sequence
) -> str:
    """Paths over bands of f for a terminal: a digit for each path's points, S start, * minimum.

    >>> bowl = lambda x, y: x**2 + y**2
    >>> picture = text_paths(bowl, (-1, 1, -1, 1), {"way": np.array([[-1, 1], [0.5, 0]])}, [(0, 0)])
    >>> picture[0], picture.count("1"), picture.count("*"), picture.splitlines()[-1]
    ('S', 2, 1, '1 way')
    """
    rows, columns = 22, 72
    _, _, z = surface(f, view, rows, columns)
    level = 12 * ((z - z.min()) / np.ptp(z)) ** 0.25
    canvas = np.where(level % 2 < 1, " ", "·")  # a band for each level

    def put(point: Sequence[float], mark: str) -> None:
        x, y = (np.asarray(point) - view[::2]) / np.subtract(view[1::2], view[::2])
        if 0 <= x <= 1 and 0 <= y <= 1:
            canvas[round(y * (rows - 1)), round(x * (columns - 1))] = mark

    for i, points in enumerate(paths.values(), start=1):
        for point in points:
            put(point, f"{i % 10}")
    for points in paths.values():
        put(points[0], "S")
    for point in minima:
        put(point, "*")
    lines = ["".join(row).rstrip() for row in canvas[::-1]]
    return "\n".join([*lines, *(f"{i} {name}" for i, name in enumerate(paths, start=1))])
