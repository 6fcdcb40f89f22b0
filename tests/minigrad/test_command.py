"""The command `minigrad` and its subcommands."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad import functional
from minigrad.__main__ import main, shape
from minigrad.optimizers import registry
from minigrad.optimizers.tools import conformance

ROOT = Path(__file__).parents[2]
FUNCTIONS = """\
from __future__ import annotations

import numpy as np

import beside  # a file in the same folder
from minigrad import primitive


def scaled_tanh(x, y):
    return np.tanh(x) * y


@primitive(lambda g, _, x: g * 1.1)
def wrong(x):
    return x * beside.ONE


def fails(x):
    return x[1, 2, 3]


number = 3
"""
PLUGIN = """\
from __future__ import annotations

from minigrad.optimizers import Optimizer, register


@register("my_sgd")
class MySGD(Optimizer):
    scale: float = 2.0

    def direction(self, g, slots, *, scale):
        return scale * g


@register("my_sign")
def my_sign(g, slots):
    return g / abs(g)
"""


@pytest.fixture(autouse=True)
def files(monkeypatch, tmp_path):
    """Write the files of a user; forget afterwards what they registered and imported."""
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "beside.py").write_text("ONE = 1")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "broken.py").write_text("\nimport no_such_module\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "PLUGIN.PY").write_text(PLUGIN)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "sgd").mkdir()  # a folder with an optimizer's name
    (tmp_path / "unfinished.py").write_text("def f(")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "beside", raising=False)


@pytest.fixture
def reported(monkeypatch):
    """Record the names that `minigrad conformance` tests, instead of testing them."""
    received = []
    monkeypatch.setattr(conformance, "report", lambda names, _: received.extend(names) or 0)
    return received


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "  gradcheck  " in out and "  conformance  " in out


@pytest.mark.parametrize("command", ["gradcheck", "conformance"])
def test_each_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0 and f"usage: minigrad {command}" in capsys.readouterr().out


def test_without_a_target_gradcheck_lists_the_functions_with_a_derivative(capsys):
    assert main(["gradcheck"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert names == sorted(set(names))
    assert {"np.exp", "np.linalg.norm", "np.matmul", "scipy.special.erf"} <= {*names}
    assert all(name.startswith(("np.", "scipy.special.")) for name in names)


@pytest.mark.parametrize(
    "target, options",
    [
        ("np.tanh", ["--shapes", "3,4", "--order", "3"]),
        ("np.matmul", ["--shapes", "3,4", "4"]),
        ("np.linalg.norm", ["--shapes", "2,2"]),
        ("np.log", ["--shapes", "20", "--positive"]),
        ("np.exp", ["--shapes", "()", "--seed", "7"]),
        ("scipy.special.erf", ["--shapes", "0-d"]),
        ("minigrad.functional.softmax", ["--shapes", "2,3"]),
        ("functions.py:scaled_tanh", ["--shapes", "3", "2,3"]),
    ],
)
def test_a_right_derivative_passes(target, options, capsys):
    assert main(["gradcheck", target, *options]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{target}: the derivatives agree") and out.count("\n") == 1


def test_a_wrong_derivative_is_an_exit_status_of_1(capsys):
    assert main(["gradcheck", "functions.py:wrong", "--shapes", "3"]) == 1
    out = capsys.readouterr().out
    assert "wrong derivative" in out and "element (0,)" in out and " 1.1, " in out


def test_the_seed_decides_the_inputs(monkeypatch):
    seen = []
    monkeypatch.setattr(functional, "relu", lambda x: seen.append(x.data.copy()) or np.exp(x))
    for seed in ("0", "0", "1"):
        assert main(["gradcheck", "minigrad.functional.relu", "--shapes", "2", "--seed", seed]) == 0
    first = seen[:: len(seen) // 3]
    assert np.array_equal(first[0], first[1]) and not np.array_equal(first[0], first[2])


@pytest.mark.parametrize(
    "text, expected", [("3,4", (3, 4)), ("4", (4,)), ("(4,)", (4,)), ("()", ()), ("0-d", ())]
)
def test_a_shape_may_be_written_in_five_ways(text, expected):
    assert shape(text) == expected


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("", "required: command"),
        ("gradchek", "invalid choice: 'gradchek'"),
        ("gradcheck np.exp", "write the shape of each input of np.exp, as in --shapes 3,4 4"),
        ("gradcheck np.exp --shapes 3,x", "invalid shape value: '3,x'"),
        ("gradcheck np.exp --shapes 3 --order 0", "order must be "),
        ("gradcheck np.matmul --shapes 3,4 5", r"shapes (3, 4) and (5,)"),
        ("gradcheck np.nope --shapes 3", "'numpy' has no attribute 'nope'"),
        ("gradcheck np.pi --shapes 3", "np.pi is not a function"),
        ("gradcheck np.argmax --shapes 3", "TypeError: "),
        ("gradcheck no_file.py:f --shapes 3", "there is no file no_file.py"),
        ("gradcheck functions.py --shapes 3", "received 'functions.py'"),
        ("gradcheck functions.py:nope --shapes 3", "functions.py defines no 'nope'"),
        ("gradcheck functions.py:number --shapes 3", "functions.py:number is not a function"),
        ("gradcheck :f --shapes 3", "received ':f'"),
        ("gradcheck np.exp --shapes -3", "invalid shape value: '-3'"),
        ("gradcheck np.exp --shapes 0", "invalid shape value: '0'"),
        ("gradcheck np.exp --shapes 3 --seed -1", "argument --seed: invalid natural value"),
        ("gradcheck functions.py:fails --shapes 3", "IndexError: "),
        ("gradcheck functions.py:fails --shapes 3", "(functions.py, line 19)"),
        ("gradcheck broken.py:f --shapes 3", "No module named 'no_such_module' (broken.py, line 2"),
        ("conformance no_name", "unknown optimizer 'no_name'"),
        ("conformance sgdd", "did you mean 'sgd'?"),
        ("conformance no_file.py", "there is no file no_file.py"),
        ("conformance empty.py", 'empty.py registers no optimizer; write @register("name")'),
        ("conformance plugin.py empty.py", "empty.py registers no optimizer"),
        ("conformance sgd broken.py", "No module named 'no_such_module' (broken.py, line 2"),
        ("conformance unfinished.py", "SyntaxError: '(' was never closed (unfinished.py, line 1"),
        ("conformance exits.py", "exits.py ended the program with sys.exit(3)"),
        ("conformance notes.txt", "ValueError: a file must end in .py; notes.txt does not"),
        ("conformance sgd PLUGIN.PY", "a file must end in .py; PLUGIN.PY does not"),
        ("conformance folder", "a file must end in .py; folder is a folder"),
        ("conformance folder.py", "a file must end in .py; folder.py is a folder"),
        ("conformance sgd --plugin plugin.py", "unrecognized arguments: --plugin"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_status_of_2(words, sentence, capsys, reported):
    with pytest.raises(SystemExit) as exit_:
        main(words.split())
    out, err = capsys.readouterr()
    assert exit_.value.code == 2 and not out and not reported
    assert err.startswith("minigrad") and sentence in err and err.count("\n") == 1


def test_conformance_tests_all_names_by_default(reported):
    assert main(["conformance"]) == 0
    assert reported == [*registry.available()]


@pytest.mark.parametrize(
    "words, expected",
    [
        ("sgd lion", ["sgd", "lion"]),
        ("plugin.py", ["my_sgd", "my_sign"]),
        ("sgd plugin.py Lion", ["sgd", "my_sgd", "my_sign", "lion"]),
        ("plugin.py my_sign sgd SGD", ["my_sgd", "my_sign", "sgd"]),
    ],
)
def test_conformance_checks_names_and_files(words, expected, reported):
    assert main(["conformance", *words.split()]) == 0
    assert reported == expected


@pytest.mark.parametrize("words", ["first.py second.py", "second.py first.py"])
def test_a_file_that_another_file_imports_runs_once(words, reported, tmp_path, capsys, monkeypatch):
    for name in ("first", "second"):  # forget these afterwards
        monkeypatch.setitem(sys.modules, name, sys)
        del sys.modules[name]
    (tmp_path / "second.py").write_text(f"{PLUGIN}\nprint('ran')\n")
    rule = "@register('mine')\ndef mine(g, slots):\n    return g\n"
    text = f"from minigrad.optimizers import register\nfrom second import MySGD\n{rule}"
    (tmp_path / "first.py").write_text(text)
    assert main(["conformance", *words.split()]) == 0
    assert sorted(reported) == ["mine", "my_sgd", "my_sign"] and capsys.readouterr().out == "ran\n"


def test_a_file_named_like_a_module_does_not_replace_it(reported, tmp_path):
    (tmp_path / "time.py").write_text(PLUGIN)
    assert main(["conformance", "time.py"]) == 0
    assert reported == ["my_sgd", "my_sign"] and "perf_counter" in vars(sys.modules["time"])


def test_an_interruption_names_the_check(monkeypatch, capsys):
    def interrupt(make):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setitem(conformance.CHECKS, "zero_gradients", interrupt)
    with pytest.raises(SystemExit) as exit_:
        main(["conformance", "sgd"])
    err = capsys.readouterr().err
    assert exit_.value.code == 2 and err.count("\n") == 1
    assert "KeyboardInterrupt: stopped in the check zero_gradients of sgd\n" in err


def test_a_file_that_replaces_a_name_is_checked(reported, tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN.replace('"my_sgd"', '"sgd", override=True'))
    assert main(["conformance", "plugin.py"]) == 0
    assert reported == ["my_sign", "sgd"]


def test_a_file_passes_or_fails_the_real_checks(capsys):
    assert main(["conformance", "plugin.py"]) == 1
    lines = capsys.readouterr().out.splitlines()
    count = len(conformance.CHECKS)
    assert lines[0] == f"my_sgd: all {count} checks passed"
    assert lines[1] == f"my_sign (plugin.py, line 14): 1 of {count} checks failed"  # 0 / 0
    assert lines[2].startswith("  zero_gradients: gradients of 0 make scalar inf or NaN; add an")


def test_a_traceback_is_shown_only_if_asked(capsys, tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("g / abs(g)", 'slots["lost"]'))
    for options, count in ([], 0), (["--traceback"], 1):
        assert main(["conformance", "plugin.py", *options]) == 1
        out, err = capsys.readouterr()
        assert out.count("Traceback (most recent") == count and not err
        assert "it raises KeyError in my_sign (plugin.py, line 16): 'lost'" in out
        with pytest.raises(SystemExit):
            main(["conformance", "broken.py", *options])
        assert capsys.readouterr().err.count("Traceback (most recent") == count


def test_the_help_of_conformance_lists_the_checks(capsys):
    with pytest.raises(SystemExit):
        main(["conformance", "--help"])
    out = capsys.readouterr().out
    for name, check in conformance.CHECKS.items():
        assert f"  {name}\n      {check.__doc__}\n" in out and "\n" not in check.__doc__


def test_python_m_minigrad_runs_the_command():
    command = [sys.executable, "-W", "error", "-m", "minigrad", "gradcheck", "np.exp"]
    done = subprocess.run(
        [*command, "--shapes", "3"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "np.exp" in done.stdout, done.stderr
