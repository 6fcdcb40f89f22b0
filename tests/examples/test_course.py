"""The lessons run headless and have one form; the solutions of their exercises are right."""

import ast
import os
import re
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

COURSE = Path(__file__).parents[2] / "examples" / "course"
LESSONS = sorted(COURSE.glob("0[1-7]_*.py"))
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)


def solutions_of(number):
    return runpy.run_path(str(COURSE / "solutions" / LESSONS[number - 1].name))


@cache
def run_program(path):
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", path]
    return subprocess.run(command, env=env, capture_output=True, encoding="utf-8")


def test_there_are_seven_lessons():
    assert [path.stem[:3] for path in LESSONS] == [f"0{i}_" for i in range(1, 8)]


@each_lesson
def test_a_lesson_has_one_question_one_slider_one_picture_and_three_exercises(lesson):
    text = lesson.read_text(encoding="utf-8")
    calls = [ast.unparse(n.func) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    assert calls.count("mo.ui.slider") == calls.count("plotting.figure") == 1
    assert len(re.findall(r"\*\*Question\.\*\* .*\?$", text, re.MULTILINE)) == 1
    exercises = text[text.index("## Exercises", text.index("**Question.**")) :]
    assert re.findall(r"^ +(\d)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]
    assert f"Solutions: `solutions/{lesson.name}`" in exercises


@pytest.mark.slow
@each_lesson
def test_a_lesson_runs_without_a_display(lesson):
    pytest.importorskip("marimo", reason="the lessons need the extra course")
    pytest.importorskip("matplotlib", reason="the lessons draw")
    done = run_program(lesson)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@each_lesson
def test_the_solutions_of_a_lesson_print_three_answers(lesson):
    done = run_program(COURSE / "solutions" / lesson.name)
    assert (done.returncode, done.stderr) == (0, "")
    assert {*re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE)} == {*"123"}


def test_solutions_of_gradient_descent_agree_with_the_eigenvalues():
    solutions = solutions_of(1)
    hessian = 2 / len(solutions["X"]) * solutions["X"].T @ solutions["X"]
    largest = solutions["exercise_1"]()
    assert largest < 2 / np.linalg.eigvalsh(hessian)[-1] < largest + 0.01
    steps, shrink = solutions["exercise_2"](), np.eye(2) - 0.4 * hessian
    powers = [np.linalg.matrix_power(shrink, n) for n in (steps - 1, steps)]
    before, after = powers @ (solutions["start"] - solutions["best"])
    assert np.abs(after).max() < 0.01 <= np.abs(before).max()
    cycle = solutions["exercise_3"](0.1)[:, 0]
    assert cycle == pytest.approx([4.172151084052, 2.918467515999], abs=1e-9)
    np.testing.assert_allclose(solutions["best"] - solutions["exercise_3"](0.05), 0.025, rtol=0.01)


def test_solutions_of_adagrad():
    solutions = solutions_of(2)
    assert solutions["exercise_1"]() == 200
    assert solutions["exercise_2"]() == pytest.approx(0.1 / 100**0.5)
    np.testing.assert_allclose(*solutions["exercise_3"](), atol=1e-6)
    assert solutions["exercise_3"]()[0][-1] == pytest.approx(2, abs=0.3)


def test_solutions_of_rmsprop():
    solutions, rho = solutions_of(3), 0.9
    assert solutions["exercise_1"]() == rho
    direction = solutions["directions"](rho=rho)[160]
    assert direction == pytest.approx((1 + 99 * rho**61) ** -0.5, rel=1e-4)
    assert solutions["exercise_2"]() == pytest.approx((10, 1))
    np.testing.assert_allclose(solutions["exercise_3"](), [-0.01059867213411372, 0], atol=1e-13)


def test_solutions_of_momentum_and_adam():
    solutions = solutions_of(4)
    assert solutions["exercise_1"]() == 0.55
    expected = (-0.3878140, -1673.365109), (-0.1263396, -0.1866322), (0.00718787, 0.00255327)
    np.testing.assert_allclose([*solutions["exercise_2"]().values()], expected, rtol=1e-5)
    np.testing.assert_allclose(*solutions["exercise_3"](), rtol=1e-12)


@pytest.mark.slow
def test_solutions_of_epsilon():
    first, second, third = run_program(COURSE / "solutions" / LESSONS[4].name).stdout.splitlines()
    assert first == "1. keras 0.0001, torch 1e-08" and second == "2. torch 3.1523, keras 3.1623"
    assert third == "3. RMSprop(eps=1e-06, eps_in_sqrt=True): deviation 0.0e+00"


@pytest.mark.slow
def test_solutions_of_mnist():
    *optimizers, last = run_program(COURSE / "solutions" / LESSONS[5].name).stdout.splitlines()
    assert float(last[3:-1]) > 96
    for line, best in zip(optimizers, ("0.001", "0.1"), strict=True):
        accuracies = {lr: float(x) for lr, x in re.findall(r"(\S+): ([\d.]+)%", line)}
        assert len(accuracies) == 6
        assert max(accuracies, key=accuracies.get) == best and accuracies[best] > 88


def test_solutions_of_your_own_optimizer():
    solutions = solutions_of(7)
    for number, *task in (1, "rmsprop"), (2, "rmsprop", "7"), (3, "adam"):
        report = solutions["graded"](solutions[f"EXERCISE_{number}"], *task)
        assert report.points == report.most_points > 0, report
