"""The examples' drawing helpers draw what they are given, and check file names early."""

import doctest
import sys
from argparse import ArgumentTypeError

import drawing
import numpy as np
import pytest

from minigrad import plotting

LINE = np.array([[0.0, 1.0], [1.0, 0.5], [2.0, -1.0]])


def bowl(x, y):
    return x**2 + y**2


def test_the_docstrings_are_right():
    tried = doctest.testmod(drawing)
    assert tried.failed == 0 < tried.attempted


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere/a.png", "no folder nowhere"), ("a.jpeg", "must end in .png or .svg or .pdf")],
)
def test_a_wrong_file_name_is_refused(path, message):
    with pytest.raises(ArgumentTypeError, match=message):
        drawing.picture_file(path)


def test_a_picture_file_is_its_path(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for ending in ("png", "svg", "pdf"):
        file = tmp_path / f"a.{ending}"
        assert drawing.picture_file(str(file)) == file
    assert capsys.readouterr().err == ""


def test_without_matplotlib_a_message_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert drawing.picture_file(str(tmp_path / "a.png")) is None
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and 'pip install "minigrad[plot]"' in error


def test_a_path_is_drawn_with_its_start_end_and_minimum(plt):
    (ax,) = plotting.figure().axes
    drawing.draw_contours(ax, bowl, (-3, 3, -2, 2), [(0, 0)])
    drawing.draw_path(ax, LINE, "path")
    star, path, start, end = ax.lines
    np.testing.assert_array_equal(path.get_xydata(), LINE)
    np.testing.assert_array_equal([start.get_xydata()[0], end.get_xydata()[0]], LINE[[0, -1]])
    assert star.get_xydata().tolist() == [[0, 0]]
    assert ax.get_xlim() == (-3, 3) and ax.get_ylim() == (-2, 2)


def test_wrong_predictions_are_framed(plt):
    (ax,) = plotting.figure().axes
    images = np.arange(3 * 4 * 4).reshape(3, 4, 4)
    drawing.draw_images(ax, images, [7, 8, 9], [7, 3, 9], columns=2)
    assert [text.get_text() for text in ax.texts] == ["7", "3≠8", "9"]
    (frame,) = ax.lines
    assert frame.get_color() == drawing.VERMILLION
    left, top = frame.get_xydata().min(axis=0) + 0.5
    sheet = ax.images[0].get_array()
    np.testing.assert_array_equal(
        sheet[int(top) : int(top) + 4, int(left) : int(left) + 4], images[1]
    )
    assert np.sum(~np.isnan(sheet)) == images.size


def test_an_animation_has_a_frame_for_each_point(plt, tmp_path):
    from PIL import Image

    figure = plotting.figure(size=(2, 2))
    drawing.draw_path(figure.axes[0], LINE, "path")
    drawing.save_animation(figure, tmp_path / "a.gif", frames=3)
    with Image.open(tmp_path / "a.gif") as movie:
        assert movie.n_frames == 3  # Pillow stores the repeated last frame once, with its duration
    assert plt.get_fignums() == []


def test_paths_as_text_marks_start_points_and_minimum():
    text = drawing.paths_as_text(bowl, (-3, 3, -2, 2), {"one": LINE, "two": -LINE}, [(0, 0)])
    *rows, one, two = text.splitlines()
    assert (one, two) == ("1 one", "2 two")
    assert len(rows) == 22 and max(map(len, rows)) <= 72
    marks = {mark: text[: text.index("1 one")].count(mark) for mark in "S12*"}
    assert marks == {"S": 2, "1": 2, "2": 2, "*": 1}
    first_row = {mark: next(i for i, row in enumerate(rows) if mark in row) for mark in "1S*"}
    assert first_row["S"] < first_row["1"] < first_row["*"]  # (0, 1), then (1, 0.5), then (0, 0)
