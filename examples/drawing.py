"""Drawing helpers of the examples: files to draw to, paths over contours, images, animations.

This is a module that the examples import, not a program. `ax` is a matplotlib Axes.
"""

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.plotting import COLORS, INK, INSTALL_HINT, pyplot

BLUE, VERMILLION = COLORS[:2]


def picture_file(path: str, endings: Sequence[str] = (".png", ".svg", ".pdf")) -> Path | None:
    """Check the name of a file to draw to, before the program computes: a `type` for argparse.

    Without matplotlib, return None and say so on stderr. The program still prints its numbers.
    """
    file = Path(path)
    if not file.parent.is_dir():
        problem = f"there is no folder {file.parent} for {file.name}"
        raise ArgumentTypeError(f"{problem}; create it first")
    if file.suffix not in endings:
        raise ArgumentTypeError(f"FILE must end in {' or '.join(endings)}, received {path}")
    if find_spec("matplotlib") is None:
        print(f"{file.name} is not drawn: {INSTALL_HINT}", file=sys.stderr)
        return None
    return file


def evaluate_on_grid(f: Callable, view: Sequence[float], rows: int, columns: int) -> tuple:
    """Return x₁, x₂ and f(x₁, x₂) on a grid over the view; each has shape (rows, columns)."""
    left, right, bottom, top = view
    x1, x2 = np.meshgrid(np.linspace(left, right, columns), np.linspace(bottom, top, rows))
    return x1, x2, f(x1, x2)


def draw_contours(ax: Any, f: Callable, view: Sequence[float], minima: Sequence) -> None:
    """Draw lines of equal f(x₁, x₂), and a star at each minimum.

    f: works on arrays.
    view: (x₁ from, x₁ to, x₂ from, x₂ to).
    The levels are evenly spaced in the fourth root of f − min f: even spacing in f would put most
    lines on the slopes and none at the bottom of a valley.
    """
    x1, x2, z = evaluate_on_grid(f, view, 240, 240)
    root = (z - z.min()) ** 0.25
    ax.contour(x1, x2, root, levels=12, colors=INK, linewidths=0.7, alpha=0.55)
    ax.plot(*np.transpose(minima), "*", color=INK, ms=10, zorder=3, label="minimum")
    ax.set(xlim=view[:2], ylim=view[2:])


def draw_path(ax: Any, points: np.ndarray, name: str) -> None:
    """Draw the points (steps, 2) of one optimizer: a ring at the start, a square at the end."""
    points = np.asarray(points)
    dots = {"marker": ".", "markersize": 4} if len(points) < 100 else {}
    (line,) = ax.plot(*points.T, linewidth=1.2, label=name, **dots)
    ax.plot(*points[0], "o", color=INK, mfc="none", mew=1.5, ms=8, linestyle="none")
    ax.plot(*points[-1], "s", color=line.get_color(), ms=5, linestyle="none")


def paths_as_text(
    f: Callable, view: Sequence[float], paths: Mapping[str, np.ndarray], minima: Sequence
) -> str:
    """Draw paths over bands of f in characters: a digit for each path, S start, * minimum.

    >>> bowl = lambda x, y: x**2 + y**2
    >>> paths = {"path": np.array([[-1, 1], [0.5, 0]])}
    >>> text = paths_as_text(bowl, (-1, 1, -1, 1), paths, [(0, 0)])
    >>> text[0], text.count("1"), text.count("*"), text.splitlines()[-1]
    ('S', 2, 1, '1 path')
    """
    rows, columns = 22, 72
    _, _, z = evaluate_on_grid(f, view, rows, columns)
    level = 12 * ((z - z.min()) / np.ptp(z)) ** 0.25
    canvas = np.where(level % 2 < 1, " ", "·")

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
    legend = [f"{i} {name}" for i, name in enumerate(paths, start=1)]
    return "\n".join(lines + legend)


def draw_images(ax: Any, images: Any, labels: Any, predictions: Any, columns: int = 6) -> None:
    """Draw images (N, height, width) in rows, each below its predicted label.

    An image with a wrong prediction has a frame and both labels: "4≠9" is a 9 mistaken for a 4.
    """
    images = np.asarray(images, float)
    n, height, width = images.shape
    cell_height, cell_width = height + 14, width + 6  # 14 for the text above, 6 for the gap
    rows = -(-n // columns)
    sheet = np.full((rows * cell_height, columns * cell_width), np.nan)  # NaN is transparent
    for i, (image, label, prediction) in enumerate(zip(images, labels, predictions)):
        y, x = i // columns * cell_height + 14, i % columns * cell_width
        sheet[y : y + height, x : x + width] = image
        right = prediction == label
        text, color = (f"{prediction}", BLUE) if right else (f"{prediction}≠{label}", VERMILLION)
        ax.text(x + width / 2, y - 2, text, color=color, ha="center", va="bottom", size=9)
        if not right:
            corners = np.array([[0, width, width, 0, 0], [0, 0, height, height, 0]]) - 0.5
            ax.plot(corners[0] + x, corners[1] + y, "-", color=VERMILLION, linewidth=1.5)
    ax.imshow(sheet, cmap="gray_r")
    ax.axis("off")


def save_animation(figure: Any, path: str | Path, frames: int, rate: int = 8) -> None:
    """Write a GIF in which each frame extends the lines by one point; single marks stay fixed."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    lines = [(line, *line.get_data()) for ax in figure.axes for line in ax.get_lines()]
    lines = [(line, x, y) for line, x, y in lines if line.get_linestyle() != "None"]

    def show(frame: int) -> None:
        for line, x, y in lines:
            line.set_data(x[: frame + 1], y[: frame + 1])

    pause = [frames - 1] * rate  # the last frame stays for a second
    animation = FuncAnimation(figure, show, [*range(frames), *pause])
    opaque = {"facecolor": "white"}  # a GIF has no half-transparent pixels: text would look ragged
    animation.save(path, PillowWriter(fps=rate), dpi=80, savefig_kwargs=opaque)
    pyplot().close(figure)
