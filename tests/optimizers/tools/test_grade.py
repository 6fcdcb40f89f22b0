"""grade gives every submission its points and the right sentence; no submission stops the grader.

The folder `submissions` holds the programs. Each begins with comments: the task, the variant (if it
has one), what is right or wrong, and words that the report must contain.
"""

import contextlib
import inspect
import itertools
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minigrad.__main__ import main
from minigrad.optimizers.tools.grade import Report, calls_of, criteria_of, grade, skeleton
from minigrad.optimizers.tools.mistakes import MISTAKES, diagnose
from minigrad.optimizers.tools.task_rules import TASKS, VARIANTS, Rule, agree, make_rule

slow = pytest.mark.slow
FOLDER = Path(__file__).with_name("submissions")
SUBMISSIONS = sorted(FOLDER.glob("*.py"))
# These are of different kinds; the others are slow only because each is a process of its own.
SAMPLE = {"right_adam_rearranged", "adam_hard_coded"}
RULES = [(task, Rule(task, **switches)) for task in TASKS for switches in VARIANTS[task]]
RULE_IDS = [f"{task}-{i}" for task in TASKS for i in range(len(VARIANTS[task]))]
RIGHT = (FOLDER / "right_rmsprop_setdefault.py").read_text(encoding="utf-8")


def headers(file):
    """Return the comments at the top of a submission, {key: text}; `# right` has no text."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"# (\w+)(?:: (.*))?", line) for line in lines[:4]]
    return {match[1]: match[2] for match in found if match}


def marks(file):
    return [] if file.stem in SAMPLE else [slow]


# ---- What students hand in ----


@pytest.mark.parametrize("file", [
    pytest.param(file, id=file.stem, marks=marks(file)) for file in SUBMISSIONS
])  # fmt: skip
def test_a_submission_gets_its_points_and_the_right_sentence(file):
    about = headers(file)
    report = grade(file, about["task"], about.get("variant"))
    if "right" in about:  # a header without text: {"right": None}
        assert (report.points, report.problems) == (report.most_points, [])
    else:
        assert report.points < report.most_points
        assert about["says"] in " ".join(report.problems)


def test_there_are_forty_submissions_of_all_tasks():
    kinds = [headers(file) for file in SUBMISSIONS]
    assert len(kinds) == 40
    assert {about["task"] for about in kinds} == {*TASKS}
    assert all(("right" in about) != ("wrong" in about and "says" in about) for about in kinds)
    assert sum("right" in about for about in kinds) == 12


@slow
@pytest.mark.parametrize("name", ["momentum_changes_gradient", "adam_float64"])
def test_right_steps_get_no_diagnosis(name):
    file = FOLDER / f"{name}.py"
    report = grade(file, headers(file)["task"])
    assert report.points == report.most_points - 1
    assert len(report.problems) == 1, report.problems


# ---- The table of mistakes ----


PARTS = "float64", "other numbers"


def directions(rule, part="float64"):
    """Return u of every call."""
    return [*rule.directions(calls_of(rule)[part])]


def diagnosis(rule, wrong):
    """Return what explains a rule with a mistake; None if it changes nothing in this variant."""
    parts = [(calls_of(rule)[part], directions(wrong, part)) for part in PARTS]
    right = [directions(rule, part) for part in PARTS]
    if all(agree(one, found) for one, (_, found) in zip(right, parts)):
        return None
    return diagnose(rule, parts)


def equal_mistakes(rule, wrong):
    """Return the entries of the table that compute the same numbers."""
    return [
        mistake.text for mistake in MISTAKES
        if rule.task in mistake.tasks and all(
            agree(directions(replace(rule, **mistake.changes), part), directions(wrong, part))
            for part in PARTS
        )
    ]  # fmt: skip


def says(text, sentence):
    """Return whether a sentence is this entry of the table, with letters in place of {names}."""
    pattern = re.sub(r"\\\{[\w:]+\\\}", ".+", re.escape(text))
    return re.fullmatch(pattern, sentence) is not None


@pytest.mark.parametrize("task", TASKS)
def test_each_entry_of_the_table_finds_itself(task):
    unnamed, applied = [], 0
    for text, tasks, changes in MISTAKES:
        for switches in (VARIANTS[task][0], VARIANTS[task][-1]):  # they differ in every switch
            rule = Rule(task, **switches)
            wrong = replace(rule, **changes)
            if task not in tasks or (sentences := diagnosis(rule, wrong)) is None:
                continue
            applied += 1
            if len(sentences) == 1 and says(text, sentences[0]):
                continue
            equal = equal_mistakes(rule, wrong)
            if len(sentences) != 1 or not any(says(other, sentences[0]) for other in equal):
                unnamed.append((text, switches, sentences))
    assert not unnamed
    assert applied >= {"sgd": 1, "momentum": 20, "adagrad": 35, "rmsprop": 45, "adam": 75}[task]


@pytest.mark.parametrize("task", [task for task in TASKS if task != "sgd"])
def test_two_mistakes_are_both_named(task):
    rule = make_rule(task)
    sentences = diagnosis(rule, replace(rule, scale=-1.0, shared=True))
    assert len(sentences) == 2
    assert "sign is wrong" in " ".join(sentences) and "share one state" in " ".join(sentences)


def test_infinite_directions_explain_nothing():
    # Without ε and with the old v, the first u is g / 0.
    rule = make_rule("rmsprop")
    wrong = [np.cbrt(u) for u in directions(rule)]
    assert diagnose(rule, [(calls_of(rule)["float64"], wrong)]) == []
    assert not agree([np.array([np.inf])], [np.array([1.0])])


@pytest.mark.parametrize("value", ["eps", "rho"])
def test_one_number_in_the_code_is_found(value):
    rule = make_rule("rmsprop")
    wrong = replace(rule, hyper=lambda h: h | {value: TASKS["rmsprop"][value]})
    (sentence,) = diagnosis(rule, wrong)
    assert sentence.endswith(f"is written in the code. Use the argument {value}.")


# ---- The rules and their variants ----


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=RULE_IDS)
def test_a_rule_without_mistakes_takes_the_steps_of_the_library(rule):
    parts = ["float64", "float32", "other numbers"] if TASKS[rule.task] else ["float64"]
    for part in parts:
        calls = calls_of(rule)[part]
        tolerance = 1e-4 if part == "float32" else 1e-9
        assert agree([*rule.reference(calls)], [*rule.directions(calls)], tolerance), part


@pytest.mark.parametrize("task", [task for task in TASKS if len(VARIANTS[task]) > 1])
def test_neighbours_have_different_variants(task):
    rules = [make_rule(task, str(n)) for n in range(100, 400)]
    assert all(a != b for a, b in itertools.pairwise(rules))
    assert {*rules} == {rule for name, rule in RULES if name == task}
    assert make_rule(task, "s0123") == make_rule(task, "123")


@pytest.mark.parametrize("task", [task for task in TASKS if len(VARIANTS[task]) > 1])
def test_the_code_of_a_variant_passes_no_other(task):
    # The rule of PyTorch is the first variant; a student draws it once in 4 to 10 times.
    rules = [rule for name, rule in RULES if name == task]
    steps = [directions(rule, "other numbers") for rule in rules]
    equal = [[agree(right, found) for found in steps] for right in steps]
    assert np.array_equal(equal, np.eye(len(rules)))


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=RULE_IDS)
def test_the_right_directions_pass_all_tests_and_the_opposite_fails_most(rule):
    names = [name for criterion in criteria_of(rule) for name in criterion.series]
    right = {name: directions(rule, name) for name in names}
    assert all(criterion.is_met(rule, right) for criterion in criteria_of(rule))
    opposite = {name: [-u for u in found] for name, found in right.items()}
    failed = [c.points for c in criteria_of(rule) if not c.is_met(rule, opposite)]
    assert sum(failed) >= 7


# ---- The limits ----


@pytest.fixture
def grade_code(tmp_path):
    """Return a function that grades a text as a submission of rmsprop."""

    def grade_code(code, **options):
        file = tmp_path / "rmsprop.py"
        file.write_bytes(code if isinstance(code, bytes) else code.encode())
        return grade(file, "rmsprop", **options)

    return grade_code


def body(line):
    """Return a submission whose function has this line first."""
    return "import os, sys, time\n" + RIGHT.replace("    v = slots", f"    {line}\n    v = slots")


def test_a_gradient_that_is_changed_in_place_is_found(grade_code):
    assert "changes g in place" in grade_code(body("g *= 1.5")).problems[0]


THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n"
IGNORE = """\
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks are those of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory has a limit on Linux")


@pytest.mark.parametrize("code, text", [
    pytest.param(IGNORE, "endless loop", id="a loop that catches everything"),
    pytest.param(body("while True: pass"), "endless loop", id="a loop", marks=slow),
    pytest.param(body("os.kill(os.getpid(), 9)"), "SIGKILL", id="kill", marks=posix),
    pytest.param(body("os.kill(os.getpid(), 36)"), "signal", id="signal 36",
                 marks=[linux, slow]),
    pytest.param(body("os._exit(0)"), "status 0", id="_exit", marks=slow),
    pytest.param(body("os.abort()"), "SIGABRT", id="abort", marks=[posix, slow]),
    pytest.param(body("sys.exit(3)"), "sys.exit in line 9", id="exit", marks=slow),
    pytest.param("raise KeyboardInterrupt", "KeyboardInterrupt", id="interrupt", marks=slow),
    pytest.param(body("print('x' * 10**6)"), "prints more than 1 MB", id="print"),
    pytest.param(body("os.write(2, bytes(1 << 21))"), "more than 1 MB", id="write", marks=slow),
    pytest.param(body("os.fork()"), "may not start processes", id="fork", marks=[posix, slow]),
    pytest.param(body("os.system('true')"), "may not start", id="system", marks=slow),
    pytest.param("import subprocess\nsubprocess.Popen(['ls'])", "may not start", id="Popen",
                 marks=slow),
    pytest.param("x = [0] * 10**10", "too much memory in line 1", id="memory",
                 marks=[linux, slow]),
    pytest.param(body("raise ValueError('x' * 10**7)"), "ValueError", id="long message",
                 marks=slow),
    pytest.param("class E(Exception):\n    def __str__(self): raise self\nraise E", "E in line 3",
                 id="no message", marks=slow),
    pytest.param(body("return g.ravel()"), "shape (2, 3)", id="shape", marks=slow),
    pytest.param(body("return iter(g)"), "shape", id="iterator", marks=slow),
    pytest.param(b"", "must define a function rmsprop(", id="empty", marks=slow),
    pytest.param(bytes(range(256)), "SyntaxError", id="binary", marks=slow),
    pytest.param(RIGHT.replace("def rmsprop", "def rmsprp"), "did you mean 'rmsprp'", id="name",
                 marks=slow),
])  # fmt: skip
def test_a_program_that_misbehaves_is_a_finding(grade_code, code, text):
    # Only an endless program needs a short time; a busy machine takes seconds for the others.
    endless = "endless" in text or "second" in text
    report = grade_code(code, seconds=0.9 if endless else 10.0, megabytes=400)
    assert report.points == 0
    assert text in " ".join(report.problems)
    assert all(len(problem) < 1000 for problem in report.problems)


HOSTILE = {
    "deletes the output": "import os\nfor name in os.listdir(): os.remove(name)\n",
    "deletes the folder": "import os, shutil\nshutil.rmtree(os.getcwd())\n",
    "saves nothing": "import numpy as np\nnp.savez = lambda *args, **kwargs: None\n",
    "saves garbage": "import os, sys\nopen(sys.argv[4], 'wb').write(b'x')\nos._exit(0)\n",
}


@slow
@posix
@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
def test_a_program_that_breaks_the_grader_s_files_is_a_finding(grade_code, code):
    report = grade_code(code + RIGHT)
    assert report.points == 12 or report.problems


@slow
@pytest.mark.parametrize("encode", [
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: b"\xef\xbb\xbf" + text.encode(),
    lambda text: "# -*- coding: latin-1 -*-\n# grüßt\n".encode("latin-1") + text.encode(),
    lambda text: ("import numpy as np\nnp.seterr(all='raise')\n" + text).encode(),
    lambda text: ("import warnings\nwarnings.simplefilter('error')\n" + text).encode(),
    lambda text: ("import os\nos.chdir('/')\n" + text).encode(),
    lambda text: (THREAD + text).encode(),
], ids=["CRLF", "BOM", "latin-1", "seterr", "warnings", "chdir", "thread"])  # fmt: skip
def test_unusual_but_right_files_get_all_points(grade_code, encode):
    report = grade_code(encode(RIGHT))
    assert (report.points, report.problems) == (12, [])


@slow
def test_the_parent_s_numpy_stays_as_it_is(grade_code):
    square_root = np.sqrt
    assert "root is missing" in grade_code("import numpy\nnumpy.sqrt = abs\n" + RIGHT).problems[0]
    assert np.sqrt is square_root


@slow
@linux
def test_no_process_stays(grade_code, tmp_path):
    assert "more than 1 second" in grade_code(body("while True: pass"), seconds=1.0).problems[0]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            assert bytes(tmp_path) not in process.read_bytes()


# ---- Reports ----


@pytest.fixture(scope="module")
def report():
    """Return the report of a submission with a mistake, graded in its own process."""
    return grade(FOLDER / "rmsprop_no_root.py", "rmsprop")


def test_the_text_has_every_test_and_every_problem(report):
    lines = str(report).splitlines()
    assert lines[0].endswith(f"rmsprop: {report.points} of {report.most_points} points")
    assert len(lines) == 1 + len(report.scores) + len(report.problems)
    assert "The root is missing" in lines[-1]


def test_the_report_has_the_format_of_gradescope(report):
    result = json.loads(json.dumps(report.as_gradescope()))
    assert result.keys() == {"score", "output", "visibility", "tests"}
    assert result["score"] == sum(test["score"] for test in result["tests"]) == report.points
    assert sum(test["max_score"] for test in result["tests"]) == report.most_points == 12
    assert result["output"] == str(report)
    for test in result["tests"]:
        assert test.keys() == {"name", "score", "max_score", "visibility", "output"}
        assert 0 <= test["score"] <= test["max_score"]
        assert test["visibility"] == "visible"
        assert (test["output"] == "passed") == (test["score"] == test["max_score"])
    assert "The root is missing" in str([test["output"] for test in result["tests"]])


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=RULE_IDS)
def test_all_tests_give_about_ten_points(rule):
    scores = [(test.name, 0, test.points) for test in criteria_of(rule)]
    assert 7 <= Report("file.py", rule.task, scores).most_points <= 13
    assert len({name for name, *_ in scores}) == len(scores)


# ---- The skeletons ----


@pytest.mark.parametrize("variant", [None, "1234", "1235"])
@pytest.mark.parametrize("task", TASKS)
def test_a_skeleton_is_a_program_with_the_equations(task, variant):
    text, names = skeleton(task, variant), {}
    exec(compile(text, "skeleton", "exec"), names)
    equations = make_rule(task, variant).equations
    assert all(equation in names[task].__doc__ for equation in equations)
    parameters = inspect.signature(names[task]).parameters
    assert {k: p.default for k, p in parameters.items() if k in TASKS[task]} == TASKS[task]
    assert [*parameters][:2] == ["g", "slots"]
    assert ("t" in parameters) == (task == "adam")
    assert max(map(len, text.splitlines())) <= 100
    with pytest.raises(NotImplementedError, match="write the rule here"):
        names[task](np.ones(2), {}, **{"t": 1} if task == "adam" else {})


def test_the_skeleton_itself_gets_no_points(grade_code):
    report = grade_code(skeleton("rmsprop"))
    assert report.points == 0
    assert "NotImplementedError" in report.problems[0]
    assert "write the rule here" in report.problems[0]


# ---- The command ----


def test_the_command_grades_files_and_writes_json(capsys, tmp_path):
    files = [str(FOLDER / f"{name}.py") for name in ("rmsprop_typo", "right_rmsprop_setdefault")]
    out = tmp_path / "results"
    status = main(["grade", *files, "--task", "rmsprop", "--json", str(out), "--jobs", "2"])
    printed = capsys.readouterr().out
    assert status == 1
    assert printed.index("rmsprop_typo.py, rmsprop: 0 of 12") < printed.index("12 of 12 points")
    found = {file.name: json.loads(file.read_bytes())["score"] for file in out.iterdir()}
    assert found == {"rmsprop_typo.json": 0, "right_rmsprop_setdefault.json": 12}


@slow
def test_the_command_returns_0_for_all_points_and_writes_one_json(capsys, tmp_path):
    submission, out = tmp_path / "a_1234.py", tmp_path / "results.json"
    submission.write_bytes((FOLDER / "right_rmsprop_out.py").read_bytes())
    arguments = ["grade", str(submission), "--task", "rmsprop", "--json", str(out)]
    assert main([*arguments, "--variant", "name"]) == 0
    assert json.loads(out.read_bytes())["score"] == 11
    assert "11 of 11 points" in capsys.readouterr().out


@slow
def test_files_of_the_same_name_cannot_write_to_one_folder(tmp_path, capsys):
    files = [tmp_path / student / "rmsprop.py" for student in ("ada", "bob")]
    for file, code in zip(files, [RIGHT, "import x"]):
        file.parent.mkdir()
        file.write_text(code, encoding="utf-8")
    arguments = [*map(str, files), "--task", "rmsprop"]
    with pytest.raises(SystemExit):
        main(["grade", *arguments, "--json", str(tmp_path / "out")])
    assert "two files have the same name" in capsys.readouterr().err
    assert main(["grade", *arguments]) == 1
    assert capsys.readouterr().out.count("rmsprop.py, rmsprop:") == 2


@slow
@posix
def test_one_submission_does_not_cost_the_others_their_report(capsys, tmp_path):
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    bad.write_text(HOSTILE["saves nothing"] + body("while True: pass"), encoding="utf-8")
    good.write_text(RIGHT, encoding="utf-8")
    assert main(["grade", str(bad), str(good), "--task", "rmsprop"]) == 1
    assert "good.py, rmsprop: 12 of 12 points" in capsys.readouterr().out


def test_the_number_in_a_file_s_name_is_the_variant(capsys, tmp_path):
    numbered, other = tmp_path / "rmsprop_7 (1).py", tmp_path / "homework.py"
    for file in numbered, other:
        file.write_text(skeleton("rmsprop", "7"), encoding="utf-8")
    arguments = ["grade", str(numbered), str(other), "--task", "rmsprop", "--variant", "name"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "rmsprop_7 (1).py, rmsprop, variant 7: 0 of" in printed
    assert "its name has no student's number" in printed


def test_the_command_prints_a_skeleton(capsys):
    assert main(["grade", "--skeleton", "--task", "adam", "--variant", "79"]) == 0
    assert capsys.readouterr().out == skeleton("adam", "79")


@pytest.mark.parametrize("arguments, text", [
    (["--task", "rmsprop"], "write the files"),
    (["nothing.py", "--task", "rmsprop"], "no file nothing.py"),
    ([str(FOLDER), "--task", "rmsprop"], "no file"),
    ([__file__, "--task", "rms"], "invalid choice"),
    ([__file__, "--task", "sgd", "--jobs", "0"], "positive"),
    pytest.param([__file__, "--task", "sgd", "--seconds", "nan"], "seconds and megabytes"),
    pytest.param([__file__, "--task", "sgd", "--seconds", "0"], "seconds and megabytes"),
    pytest.param([__file__, "--task", "sgd", "--memory", "-5"], "seconds and megabytes"),
])  # fmt: skip
def test_wrong_arguments_are_refused(capsys, arguments, text):
    with pytest.raises(SystemExit) as end:
        main(["grade", *arguments])
    assert end.value.code == 2
    assert text in capsys.readouterr().err
