"""Pictures hold what they were given, and can be read on light and on dark pages."""

import os
import sys
from argparse import ArgumentTypeError

import numpy as np
import pytest

from minigrad import plotting
from minigrad.models import History

PAGES = ("#ffffff", "#0d1117")  # GitHub's, by day and by night
LINE = np.array([[0.0, 1.0], [1.0, 0.5], [2.0, -1.0]])


def bowl(x, y):
    return x**2 + y**2


@pytest.fixture
def plt(monkeypatch):
    monkeypatch.setitem(os.environ, "MPLBACKEND", "Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def luminance(color):
    """Of sRGB, as WCAG 2.1 defines it."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    high, low = sorted([luminance(a), luminance(b)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", PAGES)
def test_ink_and_the_first_colours_stand_out(page):
    """WCAG 2.1 asks for 3 : 1 of graphics; no grey has more than 4.4 : 1 on both pages."""
    assert contrast(plotting.INK, page) > 4
    assert all(contrast(color, page) > 3 for color in plotting.COLORS[:4])


def test_without_matplotlib_a_sentence_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "minigrad\[plot\]"'):
        plotting.figure()
    assert plotting.destination(str(tmp_path / "a.png")) is None
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere/a.png", "no folder nowhere"), ("a.jpeg", "ending in .png or .svg or .pdf")],
)
def test_a_bad_destination_is_refused_before_any_work(path, message):
    with pytest.raises(ArgumentTypeError, match=message):
        plotting.destination(path)


def test_a_figure_is_saved_transparent_and_let_go_of(plt, tmp_path):
    from matplotlib.colors import to_hex

    made = plotting.figure(1, 2)
    made.axes[0].plot([1, 2], label="curve")
    plotting.label(made.axes[0], "step", "loss", "a title")
    for ending in ("png", "svg", "pdf"):
        plotting.save(made, plotting.destination(str(tmp_path / f"a.{ending}")))
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


def test_colours_then_dashes_tell_curves_apart(plt):
    (ax,) = plotting.figure().axes
    lines = [line for _ in range(24) for line in ax.plot([0, 1])]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 24


def test_epochs(plt, tmp_path):
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
    with pytest.raises(ValueError, match="fit a model first"):
        History({}).plot()


def test_a_path_over_a_contour(plt):
    (ax,) = plotting.figure().axes
    plotting.contour(ax, bowl, (-3, 3, -2, 2), [(0, 0)])
    plotting.path(ax, LINE, "way")
    star, way, start, end = ax.lines
    np.testing.assert_array_equal(way.get_xydata(), LINE)
    np.testing.assert_array_equal([start.get_xydata()[0], end.get_xydata()[0]], LINE[[0, -1]])
    assert star.get_xydata().tolist() == [[0, 0]]
    assert ax.get_xlim() == (-3, 3) and ax.get_ylim() == (-2, 2)


def test_images_mark_the_wrong_ones(plt):
    (ax,) = plotting.figure().axes
    pictures = np.arange(3 * 4 * 4).reshape(3, 4, 4)
    plotting.images(ax, pictures, [7, 8, 9], [7, 3, 9], columns=2)
    assert [text.get_text() for text in ax.texts] == ["7", "3≠8", "9"]
    (frame,) = ax.lines
    assert frame.get_color() == plotting.VERMILLION
    left, top = frame.get_xydata().min(axis=0) + 0.5
    sheet = ax.images[0].get_array()
    np.testing.assert_array_equal(
        sheet[int(top) : int(top) + 4, int(left) : int(left) + 4], pictures[1]
    )
    assert np.sum(~np.isnan(sheet)) == pictures.size


def test_an_animation_has_a_picture_for_each_point(plt, tmp_path):
    from PIL import Image

    made = plotting.figure(size=(2, 2))
    plotting.path(made.axes[0], LINE, "way")
    plotting.animate(made, tmp_path / "a.gif", frames=3)
    with Image.open(tmp_path / "a.gif") as movie:
        assert movie.n_frames == 3  # the last, repeated, is one picture shown for longer
    assert plt.get_fignums() == []


def test_paths_as_text():
    text = plotting.text_paths(bowl, (-3, 3, -2, 2), {"one": LINE, "two": -LINE}, [(0, 0)])
    *rows, one, two = text.splitlines()
    assert (one, two) == ("1 one", "2 two")
    assert len(rows) == 22 and max(map(len, rows)) <= 72
    marks = {mark: text[: text.index("1 one")].count(mark) for mark in "S12*"}
    assert marks == {"S": 2, "1": 2, "2": 2, "*": 1}
    where = {mark: next(i for i, row in enumerate(rows) if mark in row) for mark in "1S*"}
    assert where["S"] < where["1"] < where["*"]  # (0, 1) above (1, 0.5) above (0, 0)
