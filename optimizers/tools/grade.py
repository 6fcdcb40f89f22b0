"""Grade a submission: compare it with the library's optimizer, name the mistake, count points.

In reading order: the calls and the criteria, grading, the report, the skeleton.
"""

import itertools
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..rmsprop import RMSprop
from .identify import identify
from .mistakes import diagnose
from .submission import Directions, Series, environment, run_apart
from .task_rules import TASKS, Call, Rule, agree, differs, make_rule, run_library

OTHER = {"mu": 0.6, "rho": 0.7, "eps": 3e-3, "beta1": 0.7, "beta2": 0.95}
SECONDS, MEGABYTES = 10, 1024  # limits of a submission
IsMet = Callable[[Rule, Directions], bool]


# ---- The calls and the criteria ----


def calls_of(rule: Rule) -> Series:
    """Return the calls of each series of the grading; they are the same for every submission."""
    rng, hyper = np.random.default_rng(0), TASKS[rule.task]
    magnitudes = 10.0 ** rng.uniform(-9, 2, (2, 2, 3))
    calls = []
    for t, (number, size) in itertools.product(range(1, 21), enumerate(magnitudes, start=1)):
        g = size * rng.normal(size=(2, 3)) * 10.0 ** rng.uniform(-1, 1, (2, 3))
        calls.append(Call(f"parameter {number}", g, t, hyper))
    without_eps = {k: 0.0 if k == "eps" else x for k, x in hyper.items()}
    return {
        "float64": calls,
        "float32": [call._replace(g=call.g.astype(np.float32)) for call in calls],
        "other numbers": [call._replace(hyper={k: OTHER[k] for k in hyper}) for call in calls],
        "eps = 0": [call._replace(hyper=without_eps) for call in calls],
        "1024·g": [call._replace(g=1024 * call.g, hyper=without_eps) for call in calls],
        "equal g": [call._replace(g=calls[0].g, hyper=without_eps) for call in calls[::2]],
        "beta1 = 0": [call._replace(hyper=hyper | {"beta1": 0.0}) for call in calls],
    }


def equals_reference(name: str, steps: int | None = None, tolerance: float = 1e-6) -> IsMet:
    """Return whether the library's optimizer has the same u in the first calls of this series."""

    def is_met(rule: Rule, directions: Directions) -> bool:
        expected = [*rule.reference(calls_of(rule)[name])]
        return agree(expected[:steps], directions[name][:steps], tolerance)

    return is_met


def larger_gradients_change_nothing(rule: Rule, directions: Directions) -> bool:
    moves = all(np.all(np.isfinite(u) & (u != 0)) for u in directions["1024·g"])
    return moves and agree(directions["eps = 0"], directions["1024·g"])


def first_step_is_the_sign(rule: Rule, directions: Directions) -> bool:
    signs = [np.sign(call.g) for call in calls_of(rule)["eps = 0"]]
    return agree(signs[:2], directions["eps = 0"][:2])


def steps_fall_as_the_root_of_t(rule: Rule, directions: Directions) -> bool:
    u = directions["equal g"]
    return agree([u[0] / (i + 1) ** 0.5 for i in range(len(u))], u)


def without_beta1_it_is_corrected_rmsprop(rule: Rule, directions: Directions) -> bool:
    h, inside = TASKS["adam"], rule.eps_at == "inside"
    options = {"rho": h["beta2"], "eps": h["eps"], "eps_in_sqrt": inside, "bias_correction": True}
    expected = run_library(RMSprop, options, calls_of(rule)["beta1 = 0"])
    return agree([*expected], directions["beta1 = 0"])


@dataclass(frozen=True)
class Criterion:
    """A criterion, its points, and the series of calls that it needs."""

    name: str
    points: int
    series: tuple[str, ...]
    is_met: IsMet


def criteria_of(rule: Rule) -> list[Criterion]:
    """Return the criteria of a task. A property is one only if the variant has it."""
    in_float32 = equals_reference("float32", tolerance=1e-3)
    criteria = [
        Criterion("the first step", 2, ("float64",), equals_reference("float64", steps=2)),
        Criterion("twenty steps", 4, ("float64",), equals_reference("float64")),
        Criterion("twenty steps in float32", 1, ("float32",), in_float32),
    ]
    if TASKS[rule.task]:
        other = equals_reference("other numbers")
        criteria.append(Criterion("other hyperparameters", 3, ("other numbers",), other))
    if rule.task in ("rmsprop", "adam") and rule.start == 0:
        name = "1024·g takes the same steps as g, for ε = 0"
        criteria.append(Criterion(name, 1, ("eps = 0", "1024·g"), larger_gradients_change_nothing))
    if rule.task == "adagrad" and rule.start == 0:
        name = "with equal gradients u falls as 1 / √t, for ε = 0"
        criteria.append(Criterion(name, 1, ("equal g",), steps_fall_as_the_root_of_t))
    if rule.task == "adam":
        name = "the first u is the sign of g, for ε = 0"
        criteria.append(Criterion(name, 1, ("eps = 0",), first_step_is_the_sign))
    if rule.task == "adam" and not rule.amsgrad and rule.eps_at != "hat":
        name = "with β₁ = 0 it is RMSprop with bias correction"
        criteria.append(Criterion(name, 1, ("beta1 = 0",), without_beta1_it_is_corrected_rmsprop))
    return criteria


# ---- Grading ----


@dataclass
class Report:
    """What a submission gets: (name, points, most points) of each criterion, and what is wrong."""

    file: str
    task: str
    scores: list[tuple[str, int, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    variant: str | None = None

    @property
    def points(self) -> int:
        return sum(points for _, points, _ in self.scores)

    @property
    def most_points(self) -> int:
        return sum(most for *_, most in self.scores)

    def __str__(self) -> str:
        what = self.task + (f", variant {self.variant}" if self.variant else "")
        lines = [f"{self.file}, {what}: {self.points} of {self.most_points} points"]
        lines += [f"  {points}/{most}  {name}" for name, points, most in self.scores]
        return "\n".join(lines + [f"  {problem}" for problem in self.problems])

    def as_gradescope(self) -> dict[str, Any]:
        """Return the report in the format of Gradescope's results.json."""
        about = "\n".join(self.problems) or "not right"
        tests = [
            {"name": name, "score": points, "max_score": most, "visibility": "visible",
             "output": "passed" if points == most else about}
            for name, points, most in self.scores
        ]  # fmt: skip
        return {"score": self.points, "output": str(self), "visibility": "visible", "tests": tests}


def grade(file: str | Path, task: str, variant: str | None = None, *, seconds: float = SECONDS,
          megabytes: int = MEGABYTES) -> Report:  # fmt: skip
    """Grade a submission: a Python file that defines the function of the task.

    task: sgd, momentum, adagrad, rmsprop or adam.
    variant: a student's number, which draws the switches of the rule.
    The submission runs in a process of its own, at most `seconds` long, with `megabytes` of memory
    (on Linux) and 1 MB of output. This keeps the grader alive; it is not a sandbox.

    Raises ValueError for an unknown task, or limits that are not above 0.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "sgd.py"
    ...     _ = file.write_text("def sgd(g, slots):\\n    return -g\\n")
    ...     print(grade(file, "sgd").problems[0])
    The sign is wrong. minigrad subtracts lr·u, so u must have the sign of g.
    """
    check_arguments(task, variant, seconds, megabytes)
    rule = make_rule(task, variant)
    criteria = criteria_of(rule)
    calls = calls_of(rule)
    series = {name: calls[name] for criterion in criteria for name in criterion.series}
    directions, problems = run_apart(file, task, series, seconds, megabytes)
    report = Report(str(file), task, problems=problems, variant=variant)
    title = "u has the shape and dtype of g; g does not change"
    report.scores.append((title, 1 - bool(problems), 1))
    for criterion in criteria:
        is_met = {*criterion.series} <= directions.keys() and criterion.is_met(rule, directions)
        report.scores.append((criterion.name, criterion.points * is_met, criterion.points))
    report.problems += explain_difference(rule, series, directions)
    return report


def check_arguments(task: str, variant: str | None, seconds: float, megabytes: int) -> None:
    """Raise ValueError for arguments that no submission can satisfy."""
    if task not in TASKS:
        raise ValueError(f"grade: a task is one of {', '.join(TASKS)}; received {task!r}")
    if variant is not None and not re.fullmatch(r"[\w .@+-]{1,64}", variant):
        required = "a student's number or name, of at most 64 letters and digits"
        raise ValueError(f"grade: variant must be {required}; received {variant!r:.80}")
    if not 0 < seconds < math.inf or not 0 < megabytes < 1 << 24:
        required = "seconds and megabytes must be above 0, and finite"
        raise ValueError(f"grade: {required}; received {seconds!r} and {megabytes!r}")


def explain_difference(rule: Rule, series: Series, directions: Directions) -> list[str]:
    """Name the mistakes that explain the steps, or the first difference and a similar optimizer."""
    both = [name for name in ("float64", "other numbers") if name in directions]
    expected = {name: [*rule.reference(series[name])] for name in both}
    wrong = [name for name in both if not agree(expected[name], directions[name])]
    if not wrong:
        return []
    if mistakes := diagnose(rule, [(series[name], directions[name]) for name in both]):
        return mistakes
    calls, right, received = series[wrong[0]], expected[wrong[0]], directions[wrong[0]]
    number, *where = map(int, np.argwhere(differs(right, received))[0])
    call, index = calls[number], tuple(where)
    numbers = f"{received[number][index]:.6g}; {right[number][index]:.6g} is right"
    first = f"u{where} of {call.name} in step {call.t} is {numbers}, for g = {call.g[index]:.6g}."
    return [first, *resemblance(calls, received, number)]


def resemblance(calls: list[Call], directions: list[np.ndarray], number: int) -> list[str]:
    """Say which optimizer takes these steps of the parameter, if `identify` finds one soon."""
    name, until = calls[number].name, number + 12
    pairs = [(call.g, u) for call, u in zip(calls[:until], directions) if call.name == name]
    thetas = np.cumsum([np.zeros(6), *[-0.01 * u.ravel() for _, u in pairs]], axis=0)
    gradients = [g.ravel().tolist() for g, _ in pairs]
    program = f"from {__name__} import name_steps; name_steps({thetas.tolist()}, {gradients})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=10,
            env=environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return []
    return [f"These are the steps of {done.stdout.strip()}."] if done.stdout.strip() else []


def name_steps(thetas: list[list[float]], gradients: list[list[float]]) -> None:
    """Print the optimizer that takes these steps, if there is one."""
    best = identify(thetas, gradients, lr=0.01)[0]
    if best.first_mismatch is None:
        print(best)


def skeleton(task: str, variant: str | None = None) -> str:
    """Return the file that a student fills in."""
    check_arguments(task, variant, SECONDS, MEGABYTES)
    rule = make_rule(task, variant)
    arguments = ["t"] if task == "adam" else []
    arguments += [f"{k}={x!r}" for k, x in TASKS[task].items()]
    star = ", *, " if arguments else ""
    option, name = (f" --variant {variant}", f"{task}_{variant}") if variant else ("", task)
    equations = "\n    ".join(rule.equations)
    return f'''"""Fill in the rule; then run: minigrad grade {name}.py --task {task}{option}"""

import numpy as np


def {task}(g, slots{star}{", ".join(arguments)}):
    """Return u, an array like g. minigrad then computes w ← w − lr·u.

    {equations}

    g: the gradient, an array. Do not change it.
    slots: a dict for each parameter, empty before the first step. Keep what the rule remembers.
    """
    raise NotImplementedError("write the rule here")
'''
