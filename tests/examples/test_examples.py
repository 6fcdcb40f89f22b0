"""Every example runs without a display and without matplotlib, and prints the right numbers."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import command_line
import numpy as np
import pytest
from problems import PROBLEMS

from minigrad import checkpoint
from minigrad.__main__ import main as minigrad_command
from minigrad.datasets import airfoil, mnist

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
SHORT = {  # arguments for a short run of each example
    "adagrad_vs_rmsprop": ["--steps", "40"],
    "airfoil": ["--epochs", "1"],
    "char_rnn": ["--epochs", "1", "--units", "8", "--sample", "5"],
    "conventions": ["--steps", "20"],
    "grid_search": ["--epochs", "1", "--workers", "1"],
    "leaky_average": [],
    "linear_regression": ["--steps", "20", "--schedule"],
    "mnist_mlp": ["--epochs", "1", "--hidden", "16"],
    "trajectory": ["--steps", "5", "--text"],
    "zoo": ["--steps", "2"],
}
each_example = pytest.mark.parametrize("name", SHORT)
load_mnist = cache(mnist.load_data)


@pytest.fixture
def run_example(monkeypatch, capsys):
    """Return a function that runs an example and returns its output.

    It uses a part of MNIST, no network, and replaces the running time by "…".
    """
    train, test = load_mnist()
    small = tuple(a[:3000] for a in train), tuple(a[:500] for a in test)
    monkeypatch.setattr(mnist, "load_data", lambda: small)
    monkeypatch.setattr(airfoil, "MIRRORS", ())
    monkeypatch.setenv("MINIGRAD_DATA", str(SHARED))
    monkeypatch.setenv("MPLBACKEND", "Agg")


    def run_example(name, *args):
        if name == "airfoil" and not SHARED.is_dir():
            pytest.skip("the measurements are not in ../shared/data")
        monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
        capsys.readouterr()
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        return re.sub(r"\d+\.\d s$", "… s", capsys.readouterr().out, flags=re.M)

    return run_example


def numbers(text):
    return [float(x) for x in re.findall(r"-?\d+\.\d+(?:e[+-]?\d+)?", text)]


def line(text, start):
    """Return the only line of the text that begins with `start`, without that beginning."""
    (found,) = [row for row in text.splitlines() if row.strip().startswith(start)]
    return found.strip().removeprefix(start)


# ---- Every example ----


def test_every_program_is_listed_here():
    programs = {
        path.stem
        for path in (ROOT / "examples").glob("*.py")
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }
    assert programs - {"custom_optimizer", "custom_primitive"} == set(SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHORT.keys() - {"grid_search"}))  # it draws nothing
def test_output_is_the_same_without_matplotlib(name, run_example, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    printed = run_example(name, *SHORT[name], "--plot", picture)
    assert picture.stat().st_size > 5000
    picture.unlink()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run_example(name, *SHORT[name], "--plot", picture) == printed != ""
    assert not picture.exists()


@each_example
def test_help_explains_each_option_and_shows_a_command(name, run_example, capsys):
    with pytest.raises(SystemExit) as end:
        run_example(name, "--help")
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"python examples/{name}.py" in text
    options = re.split(r"^  (?=-)", text[text.index("options:") :], flags=re.M)[1:]
    assert len(options) >= 4
    for option in options:
        assert len(option.split()) >= 4, f"not explained: {option}"


def test_a_plot_needs_neither_display_nor_backend(tmp_path):
    pytest.importorskip("matplotlib")
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    command = [sys.executable, "-W", "error", ROOT / "examples" / "leaky_average.py"]
    done = subprocess.run(
        [*command, "--plot", tmp_path / "a.svg"],
        cwd=ROOT, env=env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.svg").exists()


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("trajectory", ["--function", "rosnbrock"], "did you mean 'rosenbrock'"),
        ("trajectory", ["--optimizer", "rmsporp"], "did you mean 'rmsprop'"),
        ("trajectory", ["--optimizer", "rmsprop:gamma=0.9"], "here it is called rho"),
        ("trajectory", ["--optimizer", "sgd:lr"], "sgd:lr"),
        ("trajectory", ["--optimizer", "sgd:lr=-1"], "lr must be a finite number"),
        ("trajectory", ["--gif", "paths.png"], "must end in .gif"),
        ("char_rnn", ["--optimizer", "rmsporp=0.1"], "did you mean 'rmsprop'"),
        ("char_rnn", ["--optimizer", "rmsprop"], "NAME=LR is required"),
        ("mnist_mlp", ["--resume"], "--resume needs --checkpoint"),
        ("mnist_mlp", ["--epochs", "0"], "a positive integer is required, received '0'"),
        ("leaky_average", ["--rho", "1.5"], "between 0 and 1"),
        ("zoo", ["--seed", "-1"], "an integer of at least 0 is required, received '-1'"),
        ("zoo", ["--seed", "x"], "an integer of at least 0 is required, received 'x'"),
        ("conventions", ["--plot", "nowhere/a.png"], "there is no folder nowhere"),
    ],
)
def test_a_wrong_argument_is_reported(name, args, message, run_example, capsys):
    with pytest.raises(SystemExit) as end:
        run_example(name, *args)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "option, message",
    [
        (["--compile"], '--compile needs numba: pip install "minigrad[fast]"'),
        (["--threads", "1"], '--threads needs threadpoolctl: pip install "minigrad[fast]"'),
    ],
)
def test_the_mnist_example_names_the_extra_that_an_option_needs(
    option, message, run_example, monkeypatch, capsys
):
    monkeypatch.setattr(command_line, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run_example("mnist_mlp", *option)
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not find_spec("numba"), reason="numba is not installed")
def test_the_mnist_example_compiled_prints_the_same_numbers(run_example, tmp_path):
    def train(*args):
        return run_example("mnist_mlp", "--hidden", 16, "--checkpoint", tmp_path, "--resume", *args)

    expected = run_example("mnist_mlp", "--hidden", 16, "--epochs", 2)
    first = train("--epochs", 1, "--compile").splitlines()[0]
    rest = train("--epochs", 2)  # resumed without compiling
    assert first.replace("1/1", "1/2") + "\n" + rest == expected


@pytest.mark.skipif(not find_spec("threadpoolctl"), reason="threadpoolctl is not installed")
def test_the_mnist_example_limits_the_threads(run_example):
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(2):  # sets the threads back at its end
        run_example("mnist_mlp", *SHORT["mnist_mlp"], "--threads", 1)
        assert {library["num_threads"] for library in threadpool_info()} == {1}


PLUG_IN = """
from minigrad.optimizers import Optimizer, register

@register("mine")
class Mine(Optimizer):
    def direction(self, g, slots):
        return g
"""


@pytest.fixture
def run_without_data(run_example, monkeypatch):
    """Return `run`, where loading the data fails the test."""
    monkeypatch.setattr(mnist, "load_data", lambda: pytest.fail("the data were loaded"))
    return run_example


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        (None, ["--optimizer", "rmsporp"], "unknown optimizer 'rmsporp'; did you mean 'rmsprop'"),
        (None, ["--optimizer", "Muon"], "; add --plugin examples/optimizers/muon.py"),
        (None, ["--optimizer", "schedule_free_sgd"], "optimizers/schedule_free.py"),
        (None, ["--lr", "-1"], "--optimizer rmsprop: ValueError: RMSprop: lr must be a"),
        (None, ["--plugin", "nowhere.py"], "FileNotFoundError: there is no file nowhere.py"),
        ("def f(:", [], "plugin.py: SyntaxError: invalid syntax (plugin.py, line 1)"),
        ("import numppy", [], "plugin.py: ModuleNotFoundError: No module named 'numppy'"),
        ("import sys; sys.exit(3)", [], "ended the program with sys.exit(3)"),
        (PLUG_IN, ["--optimizer", "mime"], "unknown optimizer 'mime'; did you mean 'mine'"),
    ],
)  # fmt: skip
def test_the_mnist_example_reports_a_wrong_optimizer_before_it_loads_data(
    text, args, message, run_without_data, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if text:
        Path("plugin.py").write_text(text, encoding="utf-8")
        args = ["--plugin", "plugin.py", *args]
    with pytest.raises(SystemExit) as end:
        run_without_data("mnist_mlp", *args)
    last = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and ": error: --" in last and message in last


@pytest.mark.skipif(not find_spec("numba"), reason="numba is not installed")
@pytest.mark.parametrize("name", ["muon", "lamb"])
def test_the_mnist_example_reports_a_rule_that_cannot_be_compiled(name, run_without_data, capsys):
    plugin = ROOT / "examples" / "optimizers" / f"{name}.py"
    with pytest.raises(SystemExit) as end:
        run_without_data("mnist_mlp", "--compile", "--plugin", plugin, "--optimizer", name)
    assert end.value.code == 2 and f"--optimizer {name}: " in (error := capsys.readouterr().err)
    assert "cannot be compiled" in error and f"{name}.py, line" in error


def test_the_mnist_example_resumes_bit_for_bit_or_refuses(run_example, tmp_path):
    def train(folder, epochs, *more):
        path = tmp_path / folder
        args = ["--hidden", 16, "--epochs", epochs, "--checkpoint", path, *more]
        return run_example("mnist_mlp", *args), checkpoint.latest(path).read_bytes()

    printed, whole = train("whole", 2, "--resume")
    train("parts", 1)
    before = train("parts", 1, "--resume")[1]
    assert train("parts", 1, "--resume", "--optimizer", "RMSProp")[1] == before
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUG_IN, encoding="utf-8")
    for name, value, message in (
        ("batch-size", 64, "received .*'batch_size': 64"),
        ("seed", 1, "received .*'seed': 1"),
        ("lr", 0.1, "received .*'lr': 0.1"),
        ("plugin", plugin, "received .*plugin.py"),
        ("optimizer", "sgd", "saved by RMSprop"),
    ):
        with pytest.raises((SystemExit, ValueError), match=message):
            train("parts", 2, "--resume", f"--{name}", value)
    assert checkpoint.latest(tmp_path / "parts").read_bytes() == before
    with pytest.raises(FileExistsError, match="holds a later checkpoint"):
        train("parts", 2)
    rest, parts = train("parts", 2, "--resume")
    assert parts == whole and printed.endswith(rest) and "epoch 1" not in rest


# ---- The numbers of each example ----


def test_linear_regression_ends_lr_half_from_least_squares(run_example):
    out = run_example("linear_regression", "--schedule")
    best = [4.222151077447, 2.968467510701]
    constant, falling = (numbers(line(out, f"{name} lr")) for name in ("constant", "falling"))
    assert constant[:2] == pytest.approx([4.172151084052, 2.918467515999], abs=1e-9)
    assert constant[2] == pytest.approx(0.1 / 2, rel=0.01)
    assert falling[:2] == pytest.approx(best, abs=1e-7)
    assert numbers(line(out, "least squares"))[:2] == pytest.approx(best, abs=1e-9)


def test_leaky_average_prints_the_weights_of_the_formula(run_example):
    out = run_example("leaky_average")
    for rho in (0.95, 0.9, 0.8, 0.7):
        newest, oldest, total, half_life = numbers(line(out, f"{rho} "))
        assert newest == pytest.approx(1 - rho)
        assert oldest == pytest.approx((1 - rho) * rho**39, abs=1e-6)
        assert total == pytest.approx(1 - rho**40, abs=1e-6)
        assert rho**half_life == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("optimizer", "x1", "x2"),
    [
        ("rmsprop:eps=1e-6,eps_in_sqrt=True", -0.01059867213411372, 1.036e-14),
        ("adagrad:eps=1e-6,eps_in_sqrt=True", -2.382562771979649, -0.1585905500366697),
        ("adagrad:lr=2.0,eps=1e-6,eps_in_sqrt=True", -0.002295340252192116, 0),
        ("sgd", -0.9434666458139824, -7.312316880125978e-05),
        ("sgd:lr=0.6", -0.3878139681909479, -1673.365108505695),
        ("sgd:lr=0.6,momentum=0.5", 0.007187866737294238, 0.002553274754712074),
        ("sgd:lr=0.6,momentum=0.25", -0.1263396302056502, -0.1866322301151672),
    ],
)
def test_trajectory_ends_where_the_textbook_does(optimizer, x1, x2, run_example):
    out = run_example("trajectory", "--optimizer", optimizer)
    assert f" x1: {x1:.6f}, x2: {x2:.6f}, f:" in out.replace("-0.000000", "0.000000")


@pytest.mark.parametrize("name", PROBLEMS)
def test_trajectory_draws_every_function(name, run_example, tmp_path):
    pytest.importorskip("matplotlib")
    paths = "--optimizer", "rmsprop:lr=0.02", "--optimizer", "sgd:lr=1000.0", "--steps", "9"
    out = run_example("trajectory", "--function", name, *paths, "--plot", tmp_path / "a.svg")
    assert "diverged in" in out
    problem = PROBLEMS[name]
    assert numbers(line(out, "rmsprop:lr=0.02"))[2] < problem(*problem.start)


@pytest.mark.slow
def test_trajectory_draws_an_animation(run_example, tmp_path):
    pytest.importorskip("matplotlib")
    run_example("trajectory", "--steps", "3", "--gif", tmp_path / "a.gif")
    assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF89a")


def test_airfoil_losses_are_between_the_optimum_and_the_textbook(run_example):
    out = run_example("airfoil")
    (best,) = numbers(out.splitlines()[0])
    assert best == pytest.approx(0.24168795509193775, abs=1e-12)
    for name in ("SGD", "momentum", "AdaGrad", "RMSProp", "Adam "):
        *_, scratch, library, textbook = numbers(line(out, name))
        assert best < scratch < textbook + 4 * 0.0021
        assert library == scratch


def test_adagrad_stalls_and_rmsprop_follows(run_example):
    out = run_example("adagrad_vs_rmsprop")
    adagrad, rmsprop = (numbers(line(out, name)) for name in ("AdaGrad  ", "RMSprop "))
    assert adagrad[0] / rmsprop[0] >= 5
    assert rmsprop[1] == pytest.approx(2, abs=0.3) and adagrad[1] < 1.7
    assert adagrad[3] < adagrad[2] < rmsprop[2] / 10
    assert numbers(line(out, "AdaGrad is"))[0] == pytest.approx(adagrad[0] / rmsprop[0], rel=0.01)


def test_conventions_differ_in_their_first_step(run_example):
    """First step / lr = g / root of 0.1·g², with each framework's ε, at g = 1e-5 and ρ = 0.9."""
    out = run_example("conventions", "--steps", "1")
    g, table = 1e-5, out[out.index("first step") :]
    v = 0.1 * g**2
    expected = {
        "torch": g / (np.sqrt(v) + 1e-8),
        "keras": g / np.sqrt(v + 1e-7),
        "keras2": g / (np.sqrt(v) + 1e-7),
        "optax": g / np.sqrt(v + 1e-8),
        "d2l": g / np.sqrt(v + 1e-6),
        "tf1": g / np.sqrt(0.9 + v + 1e-10),
    }
    for name, step in expected.items():
        assert numbers(line(table, f"{name} "))[0] == pytest.approx(step, rel=1e-3)
        assert f"{name}:\nRMSprop(" in out
    for formula in ("u = g / (√v + 1e-08)", "u = g / √(v + 1e-07)"):
        assert formula in out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:training did not converge")
def test_a_grid_search_on_dask_workers_gives_the_scores_of_one_process(run_example):
    pytest.importorskip("distributed")
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.datasets import load_digits

    from minigrad.sklearn import MLPClassifier

    out = run_example("grid_search", "--epochs", "2")
    x, y = load_digits(return_X_y=True)
    for solver, lr in ("sgd", 0.1), ("adam", 0.01):
        model = MLPClassifier((32,), max_iter=2, learning_rate_init=lr, random_state=0)
        scores = selection.cross_val_score(model.set_params(solver=solver), x / 16, y, cv=3)
        assert f"{solver:10} {lr:6g}  {scores.mean():.4f} ± {scores.std():.4f}" in out


def test_the_zoo_runs_all_plug_ins(run_example):
    out = run_example("zoo", "--steps", "2")
    plug_ins = {path.stem for path in (ROOT / "examples" / "optimizers").glob("*.py")}
    names = {row.split()[0] for row in out.splitlines()[2:-1]}
    assert plug_ins - {"schedule_free"} < names
    assert {"sgd", "adam", "schedule_free_sgd", "schedule_free_adamw"} < names
    assert out.splitlines()[-1].startswith("lookahead took too few steps: ")


def entropy_losses_and_samples(out):
    """Return the three kinds of numbers and texts that char_rnn prints."""
    (entropy,) = numbers(out.splitlines()[0])
    reports = re.split(r"rmsprop lr 0.005, epoch \d+: loss ([\d.]+); sample:\n", out)[1:]
    return entropy, [float(x) for x in reports[::2]], reports[1::2]


def test_char_rnn_beats_character_frequencies(run_example):
    out = run_example("char_rnn", "--optimizer", "rmsprop=0.005", "--epochs", 4, "--sample", 10)
    text = (ROOT / "examples" / "char_rnn.txt").read_text(encoding="utf-8")
    p = np.array([text.count(character) for character in set(text)]) / len(text)
    entropy, losses, samples = entropy_losses_and_samples(out)
    assert entropy == pytest.approx(-np.sum(p * np.log(p)), abs=1e-4)
    assert losses[-1] < entropy and len(losses) == len(samples) == 3


@pytest.mark.slow
def test_char_rnn_learns_to_write_words(run_example):
    out = run_example("char_rnn", "--optimizer", "rmsprop=0.005", "--epochs", 24, "--sample", 400)
    text = (ROOT / "examples" / "char_rnn.txt").read_text(encoding="utf-8")
    entropy, losses, samples = entropy_losses_and_samples(out)
    assert losses[-1] < entropy / 2
    vocabulary = set(re.findall(r"[a-z]{4,}", text.lower()))
    first, last = (
        {word for word in re.findall(r"[a-z]{4,}", sample.lower()) if word in vocabulary}
        for sample in (samples[0], samples[-1])
    )
    assert len(last) >= 8 > 3 * len(first)


# ---- The README ----


def test_the_readme_has_a_command_for_every_program_plug_in_and_page():
    folder = ROOT / "examples"
    text = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.py)` \|.*\| `((?:python|marimo run) .*)` \|$", text, re.M)
    files = [*folder.glob("*.py"), *folder.glob("course/*.py")]
    files = [path for path in files if "__main__" in path.read_text("utf-8")]  # others are modules
    files += folder.glob("optimizers/*.py")
    assert sorted(name for name, _ in rows) == sorted(path.name for path in files)
    for name, command in rows:
        assert name in command
        for file in re.findall(r"\S+\.py", command):
            assert (ROOT / file).is_file()


# ---- The gallery ----


def gallery():
    """Return the pictures that README.md shows, and the (command, picture) pairs it gives."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"(examples/gallery/\w+\.png)", text)
    command = r"`\w+ ((?:examples/\w+\.py|race) [^`]*--plot (examples/gallery/\w+\.png))`"
    return shown, re.findall(command, text)


def test_each_picture_of_the_readme_is_small_and_has_a_command_that_parses(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    shown, commands = gallery()
    assert 3 <= len({*shown}) == len(commands)
    for command, picture in commands:
        content = (ROOT / picture).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) < 60_000
        script, *args = shlex.split(command)
        if script == "race":
            with pytest.raises(SystemExit):
                minigrad_command(["race", *args, "--workers", "0"])
            assert "workers must be a positive integer" in capsys.readouterr().err
            continue
        monkeypatch.setattr(sys, "argv", [script, *args])
        runpy.run_path(str(ROOT / script))["parse"]()
