"""The playground's runs are those of plain loops, and its numbers satisfy the equations."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minigrad import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "course"))
import playground_pictures
import playground_runs
import step_microscope
from playground_runs import CHOICES, PROBLEMS, first_values, make, run
from step_microscope import examine

COURSE = Path(playground_runs.__file__).parent
each_choice = pytest.mark.parametrize("choice", CHOICES)
each_surface = pytest.mark.parametrize("surface", PROBLEMS)
SIX = ["sgd", "sgd with momentum", "adagrad", "rmsprop", "adam", "rmsprop as in keras"]


def look(choice, number=3, surface="quadratic", **settings):
    settings = first_values(surface, choice) | settings
    step = examine(PROBLEMS[surface], make(choice, settings), number)
    return step.before, step.inside, step.after


def runs_of(surface, steps=200, choices=SIX):
    made = {choice: make(choice, first_values(surface, choice)) for choice in choices}
    return {choice: run(PROBLEMS[surface], rule, steps) for choice, rule in made.items()}


# ---- The equations hold, to the last bit ----


def test_sgd_satisfies_its_equations():
    before, inside, after = look("sgd", lr=0.3)
    assert_array_equal(before["g"], np.array([0.2, 4.0]) * before["w"])
    assert_array_equal(inside["u"], before["g"])
    assert_array_equal(inside["Δw"], -0.3 * before["g"])
    assert_array_equal(after["w"], before["w"] + inside["Δw"])


def test_momentum_satisfies_its_equations():
    before, inside, after = look("sgd with momentum", lr=0.3, momentum=0.9)
    assert_array_equal(after["b"], 0.9 * before["b"] + before["g"])
    assert_array_equal(inside["Δw"], -0.3 * after["b"])


def test_momentum_as_in_keras_satisfies_its_equations():
    before, inside, after = look("sgd as in keras", lr=0.3, momentum=0.9)
    assert_array_equal(after["b"], 0.9 * before["b"] + 0.3 * before["g"])
    assert_array_equal(inside["Δw"], -after["b"])


def test_nesterov_momentum_satisfies_its_equations():
    before, inside, after = look("sgd with Nesterov momentum", lr=0.3, momentum=0.9)
    assert_array_equal(inside["Δw"], -0.3 * (before["g"] + 0.9 * after["b"]))


def test_rmsprop_satisfies_its_equations():
    before, inside, after = look("rmsprop", lr=0.3, rho=0.8)
    assert_array_equal(after["v"], 0.8 * before["v"] + (1 - 0.8) * before["g"] ** 2)
    assert_array_equal(inside["√v"], np.sqrt(after["v"]))
    assert_array_equal(inside["u"], before["g"] / (inside["√v"] + 1e-8))
    assert_array_equal(inside["Δw"], -0.3 * inside["u"])
    assert_array_equal(after["w"], before["w"] + inside["Δw"])


def test_rmsprop_as_in_keras_satisfies_its_equations():
    before, inside, after = look("rmsprop as in keras", lr=0.3, rho=0.8, momentum=0.5)
    assert_array_equal(after["v"], 0.8 * before["v"] + (1 - 0.8) * before["g"] ** 2)
    assert_array_equal(inside["√(v + 1e-07)"], np.sqrt(after["v"] + 1e-7))
    assert_array_equal(inside["u"], before["g"] / inside["√(v + 1e-07)"])
    assert_array_equal(after["b"], 0.5 * before["b"] + 0.3 * inside["u"])
    assert_array_equal(inside["Δw"], -after["b"])


def test_adam_satisfies_its_equations():
    before, inside, after = look("adam", lr=0.3, beta1=0.8, beta2=0.99)
    g, m, v = before["g"], after["m"], after["v"]
    assert_array_equal(m, 0.8 * before["m"] + (1 - 0.8) * g)
    assert_array_equal(v, 0.99 * before["v"] + (1 - 0.99) * g**2)
    (root,) = [x for name, x in inside.items() if name.startswith("√(v / ")]
    assert_array_equal(root, np.sqrt(v / (1 - 0.99**3)))
    assert_array_equal(inside["u"], m / (1 - 0.8**3) / (root + 1e-8))
    assert_array_equal(inside["Δw"], -0.3 * inside["u"])


def test_adadelta_has_two_roots():
    before, inside, _ = look("adadelta", lr=1.0, rho=0.95)
    d_root, v_root = (x for name, x in inside.items() if name.startswith("√"))
    assert_array_equal(d_root, np.sqrt(before["d"] + 1e-6))
    assert_array_equal(inside["u"], before["g"] * d_root / v_root)


def test_decoupled_weight_decay_is_in_the_change_of_w():
    before, inside, after = look("adamw", lr=0.5)
    np.testing.assert_allclose(inside["Δw"], -0.5 * 0.01 * before["w"] - 0.5 * inside["u"])
    np.testing.assert_allclose(after["w"], before["w"] + inside["Δw"])


@each_choice
def test_watching_changes_no_bit(choice):
    path = run(PROBLEMS["beale"], make(choice, first_values("beale", choice)), 70).path
    for number in (1, 64, 70):  # in update 64 the optimizer flushes its slots
        before, _, after = look(choice, number, "beale")
        assert_array_equal(before["w"], path[number - 1])
        assert_array_equal(after["w"], path[number])


@each_choice
def test_each_worked_equation_is_right(choice):
    step = examine(PROBLEMS["booth"], make(choice, first_values("booth", choice)), 5)
    lines = step_microscope.worked(step, 0) + step_microscope.worked(step, 1)
    assert len(lines) >= 2
    for line in lines:
        text, result = re.split(" [←=] ", line, maxsplit=1)[1].rsplit(" = ", 1)
        text = re.sub(r"√([\d.]+)", r"√(\1)", text)
        for sign, python in zip("−·²√", ("-", "*", "**2", "np.sqrt")):
            text, result = text.replace(sign, python), result.replace(sign, python)
        value = eval(text, {"np": np, "sign": np.sign})
        # the numbers in the line have six digits, and their difference may be small
        terms = max(map(abs, map(float, re.findall(r"\d[\d.]*(?:e[+-]?\d+)?", text))))
        assert value == pytest.approx(float(result), rel=1e-4, abs=1e-5 * terms), line


# ---- Runs ----


@each_surface
@pytest.mark.parametrize("choice", ["sgd with momentum", "adam as in keras"])
def test_a_path_is_that_of_a_plain_loop(surface, choice):
    problem, settings = PROBLEMS[surface], first_values(surface, choice)
    w = Tensor(np.array(problem.start), requires_grad=True)
    optimizer = make(choice, settings).bind([w])
    path, losses = [w.data.copy()], []
    for _ in range(100):
        loss = problem(*w)
        loss.backward()
        losses.append(float(loss.data))
        optimizer.step()
        optimizer.zero_grad()
        path.append(w.data.copy())
    found = playground_runs.run_choice(surface, choice, tuple(settings.items()))
    found = playground_runs.first_steps(found, 100)
    assert_array_equal(found.path, path)
    assert_array_equal(found.losses[:-1], losses)
    assert found.losses[-1] == pytest.approx(problem(*path[-1]))
    assert (found.steps, found.divergence) == (100, "")


@pytest.mark.slow
@each_surface
def test_the_first_settings_do_not_diverge(surface):
    for choice, one in runs_of(surface, choices=CHOICES).items():
        assert not one.divergence and one.losses[-1] < one.losses[0], choice


def test_a_diverged_run_says_so(plt):
    settings = (("lr", 0.1), ("momentum", 0.0))
    one = playground_runs.run_choice("rosenbrock", "sgd", settings)
    assert 1 <= one.steps < 20
    assert one.divergence == f"diverged: after step {one.steps} the gradient is no finite number"
    runs = {"sgd": one} | runs_of("rosenbrock", choices=["adam"])
    assert one.divergence in playground_pictures.pictures_as_html("rosenbrock", runs, 50)
    text = playground_pictures.step_as_html("rosenbrock", "sgd", settings, one, 50)
    assert f"There is no step 50: {one.divergence}. This is the last step." in text
    assert f"Step {one.steps} of sgd" in text


def test_a_number_that_is_too_large_is_explained():
    settings = (("lr", 0.1), ("momentum", 0.0), ("rho", 0.9))
    huge = playground_runs.Run(np.zeros((2, 2)), np.zeros(2))
    problem = playground_runs.Problem(
        lambda x1, x2: 1e200 * x1 * x2, (1.0, 1.0), ((0, 0),), (0, 1, 0, 1)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROBLEMS, "huge", problem)
        text = playground_pictures.step_as_html("huge", "rmsprop", settings, huge, 1)
    assert "∞ means: too large" in text and "<td" in text and "∞" in text.split("<table>")[1]


def test_a_step_after_the_end_of_the_run_says_so():
    settings = tuple(first_values("booth", "adam").items())
    one = playground_runs.first_steps(playground_runs.run_choice("booth", "adam", settings), 30)
    text = playground_pictures.step_as_html("booth", "adam", settings, one, 31)
    assert "There is no step 31: the run has 30 steps. This is the last step." in text


# ---- The page ----


@each_choice
def test_a_slider_can_show_the_value_it_begins_with(choice):
    for surface in PROBLEMS:
        for name, value in first_values(surface, choice).items():
            assert value in playground_runs.slider_steps(choice, name)


@each_surface
def test_pictures_show_paths_losses_and_the_chosen_step(surface, plt):
    runs = runs_of(surface, 40)
    for figure in (
        playground_pictures.draw_paths(surface, runs, 7),
        playground_pictures.draw_losses(runs, 7),
    ):
        (ax,) = figure.axes
        assert set(runs) <= {line.get_label() for line in ax.lines}
        assert sum(line.get_marker() == "D" for line in ax.lines) == len(runs)
    assert plt.get_fignums()  # closed by picture(…)
    html = playground_pictures.pictures_as_html(surface, runs, 7)
    assert html.count("data:image/png;base64,") == 2


@pytest.mark.slow
def test_a_redraw_is_fast_enough_to_follow_a_slider(plt):
    """Allow a busy machine five times what a quiet one needs."""
    settings = {choice: tuple(first_values("quadratic", choice).items()) for choice in SIX}

    def redraw():
        playground_runs.run_choice.cache_clear()
        runs = {c: playground_runs.run_choice("quadratic", c, settings[c]) for c in SIX}
        playground_pictures.pictures_as_html("quadratic", runs, 100)
        playground_pictures.step_as_html("quadratic", "adam", settings["adam"], runs["adam"], 100)

    times = []
    for _ in range(5):
        start = time.perf_counter()
        redraw()
        times.append(time.perf_counter() - start)
    assert min(times) < 5 * 0.3


@pytest.mark.slow
def test_the_playground_runs_as_a_program():
    pytest.importorskip("marimo", reason="needs marimo")
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    command = [sys.executable, "-W", "error", COURSE / "playground.py"]
    env = os.environ | {"MPLBACKEND": "Agg"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
