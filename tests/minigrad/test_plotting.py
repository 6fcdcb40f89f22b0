"""Plots show the given values, and are readable on light and on dark pages."""

import sys

import numpy as np
import pytest

from minigrad import plotting
from minigrad.models import History

PAGES = ("#ffffff", "#0d1117")  # GitHub's light and dark backgrounds


def luminance(color):
    """Return the relative luminance of an sRGB colour, as WCAG 2.1 defines it."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    high, low = sorted([luminance(a), luminance(b)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", PAGES)
def test_ink_and_colours_have_contrast(page):
    """WCAG 2.1 requires 3 : 1 for graphics; no grey reaches more than 4.4 : 1 on both pages."""
    assert contrast(plotting.INK, page) > 4
    assert all(contrast(color, page) > 3 for color in plotting.COLORS[:4])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "minigrad\[plot\]"'):
        plotting.figure()


def test_a_figure_is_saved_with_transparency_and_closed(plt, tmp_path):
    from matplotlib.colors import to_hex

    made = plotting.figure(1, 2)
    made.axes[0].plot([1, 2], label="curve")
    plotting.label(made.axes[0], "step", "loss", "a title")
    for ending in ("png", "svg", "pdf"):
        plotting.save(made, tmp_path / f"a.{ending}")
        assert (tmp_path / f"a.{ending}").stat().st_size > 1000
    assert plt.get_fignums() == []
    picture = plt.imread(tmp_path / "a.png")
    assert picture[0, 0, 3] == 0 and np.mean(picture[..., 3] == 0) > 0.9
    shades = picture[picture[..., 3] > 0.95]
    assert np.abs(shades[:, :3] - np.array([0, 0x72, 0xB2]) / 255).max(axis=1).min() < 0.03
    axes = made.axes[0]
    texts = [axes.xaxis.label, axes.yaxis.label, axes.title, *axes.get_legend().get_texts()]
    assert [text.get_text() for text in texts] == ["step", "loss", "a title", "curve"]
    inks = {to_hex(text.get_color()) for text in [*texts, *axes.get_xticklabels()]}
    assert inks == {plotting.INK}


def test_colours_and_dashes_make_24_curves_distinct(plt):
    (ax,) = plotting.figure().axes
    lines = [line for _ in range(24) for line in ax.plot([0, 1])]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 24


def test_a_history_is_plotted_per_epoch(plt, tmp_path):
    numbers = {"loss": [3.0, 2.0, 1.0], "accuracy": [0.1, 0.2, 0.3], "val_loss": [4.0, 3.0, 2.5]}
    made = History(numbers | {"lr": [0.1] * 3}).plot(tmp_path / "history.png")
    loss, accuracy = made.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [
        numbers["loss"],
        numbers["val_loss"],
    ]
    assert accuracy.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert (loss.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "accuracy")
    assert (tmp_path / "history.png").exists()
    with pytest.raises(ValueError, match=r"history is empty.* call fit first"):
        History({}).plot()
