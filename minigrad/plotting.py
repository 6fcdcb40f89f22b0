"""Plots of training: a figure style, labels, files, and curves per epoch.

Matplotlib is imported when a figure is made: everything else works without it. Without a display,
matplotlib writes to files only. Backgrounds are transparent and text is grey, so that plots are
readable on light and on dark pages. The colours (Okabe & Ito 2008) are distinct for colour-blind
readers too. An argument `ax` is a matplotlib Axes, and `axes` a sequence of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#7a7a7a"
COLORS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9".split()
DASHES = ("-", "--", ":", "-.")  # the next dash after each round of colours
INKED = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")
STYLE = dict.fromkeys(INKED, INK) | {
    "axes.facecolor": "none",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
}
INSTALL_HINT = 'drawing needs matplotlib, which is not installed: pip install "minigrad[plot]"'


def pyplot() -> Any:
    """Import and return matplotlib.pyplot; the ImportError says how to install matplotlib."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(INSTALL_HINT) from error
    return pyplot


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None) -> Figure:
    """Make a figure in minigrad's style; `figure.axes` lists its rows · columns Axes.

    size: (width, height) in inches.
    """
    plt = pyplot()
    with plt.rc_context(STYLE):
        size = size or (5.2 * columns, 3.6 * rows)
        fig, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.set_prop_cycle(linestyle=[d for d in DASHES for _ in COLORS], color=COLORS * len(DASHES))
        ax.tick_params(colors=INK)  # matplotlib makes ticks later, outside rc_context
    return fig


def label(ax: Any, x: str, y: str, title: str = "", legend: str = "best") -> None:
    """Label the axes and add a legend.

    legend: a location on the axes, such as "best"; "below" the figure; or "" for no legend.
    """
    ax.set(xlabel=x, ylabel=y, title=title)
    if legend == "below":
        ax.figure.legend(labelcolor=INK, frameon=False, loc="outside lower center", ncols=2)
    elif legend:
        ax.legend(frameon=False, labelcolor=INK, loc=legend)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file and close it; the file name's ending sets the format."""
    figure.savefig(path, dpi=144)
    pyplot().close(figure)
    if Path(path).suffix == ".png":  # 128 colours look the same, in a quarter of the bytes
        from PIL import Image  # a dependency of matplotlib

        with Image.open(path) as picture:
            small = picture.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def epochs(
    history: Mapping[str, Sequence[float]], axes: Sequence[Any] = (), held_out: str = "validation"
) -> Figure:
    """Plot each quantity per epoch, with its validation curve dashed; return the figure.

    history: lists by name, such as loss, val_loss, accuracy, as in `fit(…).history`.
    axes: one Axes for each quantity; by default those of a new figure.
    held_out: what the legend calls the curves of val_….
    """
    names = [name for name in history if name != "lr" and not name.startswith("val_")]
    if not names:
        raise ValueError("plot: the history is empty; call fit first")
    panels: list[Any] = list(axes or figure(1, len(names)).axes)
    for ax, name in zip(panels, names):
        for key, curve, dash in ((name, "training", "-"), (f"val_{name}", held_out, "--")):
            if values := history.get(key):
                x = range(1, len(values) + 1)
                ax.plot(x, values, dash, marker="o", markersize=4, label=curve)
        ax.set_xlim(0.5, len(history[name]) + 0.5)
        ax.xaxis.get_major_locator().set_params(integer=True)
        label(ax, "epoch", name, legend="best" if f"val_{name}" in history else "")
    return panels[0].figure


def race(result: Any) -> Figure:
    """Plot the result of a race: sensitivity to lr, learning curves, expected best result.

    Lines are medians over the seeds; bands reach from the first to the third quartile. The axes end
    a little above the loss at the start.
    """
    fig = figure(1, 3, (13.5, 3.8))
    by_lr, by_time, by_budget = fig.axes
    inf, nan = float("inf"), float("nan")  # inf: the training diverged; nan leaves a gap
    for name, choices in result.choices.items():
        curves, budget = result.curves(name), result.expected_best(name)
        share = [i / max(1, len(curves) - 1) for i in range(len(curves))]
        lrs, trials = [hyper["lr"] for hyper in choices], range(1, len(budget) + 1)
        for ax, x, rows in (by_lr, lrs, result.quartiles(name)), (by_time, share, curves):
            low, median, high = [[y if y < inf else nan for y in row] for row in rows.T]
            (line,) = ax.plot(x, median, marker=".", label=name)
            ax.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        by_budget.plot(trials, budget, marker=".", label=name)
    label(by_lr, "learning rate", "final loss", "Sensitivity", legend="")
    label(by_time, "share of the training", "loss", "Each at its best configuration", legend="")
    label(by_budget, "number of configurations tried", "best final loss to expect", "Tuning budget")
    by_lr.set_xscale("log")
    losses = [loss for run in result.losses.values() for loss in run if loss < inf]
    if losses and min(losses) > 0 and result.start() < inf:
        for ax in fig.axes:
            ax.set_yscale("log")
            ax.set_ylim(top=1.1 * result.start())
    return fig
