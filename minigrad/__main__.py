"""The command `minigrad`: check derivatives, check and compare optimizers.

One function a subcommand. Exit status: 0 all checks passed, 1 a check failed or a trial of a race
is lost, 2 the command could not run, 130 Ctrl-C stopped a race.
"""

import json
import os
import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from traceback import extract_tb, print_exc
from typing import Any, NoReturn

import numpy as np

from . import __version__
from .utils import positive_int, run_file


class Parser(ArgumentParser):
    """Report a mistake in one sentence, without the usage lines."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run_gradcheck(parser: Parser, argv: list[str]) -> int:
    """Check the derivatives of a function; without a target, list what has derivatives."""
    parser.add_argument("target", nargs="?", help="FILE.py:NAME, np.NAME or scipy.special.NAME")
    about = 'one shape per input, such as: 3,4 4 "()"'
    parser.add_argument("--shapes", nargs="+", type=shape, help=about)
    parser.add_argument("--order", type=int, default=1, help="highest order of derivative (1)")
    parser.add_argument("--positive", action="store_true", help="draw only positive inputs")
    parser.add_argument("--seed", type=natural, default=0, help="seed of the random inputs (0)")
    args = parser.parse_args(argv)

    from .autograd import dispatch
    from .autograd import scipy_vjps as scipy_vjps  # registers SciPy's functions
    from .gradcheck import GradcheckError, gradcheck

    if args.target is None:
        names = {dispatch.name_of(f) for f in dispatch.HANDLED_FUNCTIONS if callable(f)}
        print("\n".join(sorted(names)))
        return 0
    if not args.shapes:
        parser.error(f"write the shape of each input of {args.target}, as in --shapes 3,4 4")
    function = find_function(args.target)
    rng = np.random.default_rng(args.seed)
    inputs = [rng.uniform(0.1 if args.positive else -1.0, 1.0, size) for size in args.shapes]
    try:
        with np.errstate(all="ignore"):  # gradcheck reports values that are not finite
            gradcheck(function, *inputs, order=args.order)
    except GradcheckError as error:
        print(f"{args.target}: {error}")
        return 1
    print(f"{args.target}: the derivatives agree with finite differences to order {args.order}")
    return 0


def run_conformance(parser: Parser, argv: list[str]) -> int:
    """Check what every optimizer must satisfy; by default check all registered optimizers."""
    from .optimizers.registry import available, find
    from .optimizers.tools.conformance import CHECKS, report

    about = "a registered name, or a file that registers optimizers"
    parser.add_argument("targets", nargs="*", metavar="NAME or FILE.py", help=about)
    about = "show the traceback of an exception that a check met"
    parser.add_argument("--traceback", action="store_true", help=about)
    checks = "\n".join(f"  {name}\n      {check.__doc__}" for name, check in CHECKS.items())
    parser.epilog, parser.formatter_class = f"The checks:\n{checks}", RawDescriptionHelpFormatter
    args = parser.parse_args(argv)

    names: list[str] = []
    for target in args.targets:
        path = Path(target)
        if target.lower() in available() or not (path.suffix or path.is_dir()):
            find(target)  # refuses a wrong name before the first check
            names.append(target.lower())
            continue
        before = {name: find(name) for name in available()}
        module = run_file(target).__name__
        new = []
        for name in available():
            is_new = find(name) is not before.get(name)
            if is_new or find(name).__module__ == module:  # another file can have imported it
                new.append(name)
        if not new:
            parser.error(f'{target} registers no optimizer; write @register("name") before a rule')
        names += new
    return report(dict.fromkeys(names) or available(), args.traceback)


def run_race(parser: Parser, argv: list[str]) -> int:
    """Find the best optimizer for a training, by a fair comparison on several workers."""
    names = ["sgd", "sgd:momentum=0.9", "adagrad", "rmsprop", "adam"]
    grid = [10**exponent for exponent in (-4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5, 0)]
    add = parser.add_argument
    add("--optimizers", nargs="+", default=names, metavar="NAME:HYPER=X,…", help=" ".join(names))
    about = "learning rates (nine from 1e-4 to 1); with --draws the lowest and the highest"
    add("--lrs", nargs="+", type=float, metavar="LR", help=about)
    add("--draws", type=int, help="number of random configurations; lr is drawn log-uniformly")
    about = "with --draws: draw another hyperparameter, too, log-uniformly"
    add("--search", nargs="+", type=search_range, default=[], metavar="NAME=LOW:HIGH", help=about)
    add("--seeds", type=int, default=5, help="seeds of each configuration (5)")
    add("--epochs", type=int, help="epochs of the MNIST MLP (2)")
    add("--hidden", type=int, help="its hidden units (512)")
    add("--batch-size", type=int, help="its images per step (128)")
    about = "another training: train(optimizer, seed, data) yields losses; pydoc minigrad.race.race"
    add("--train", metavar="FILE.py:NAME", help=about)
    add("--load", metavar="NAME", help="the function in that file that returns the data")
    add("--plugin", metavar="FILE.py", help="a file that registers optimizers")
    about = "local, processes, dask, mpi, or the address tcp://… of a Dask scheduler (local)"
    add("--executor", default="local", help=about)
    add("--workers", type=int, help="workers to start (the number of cores)")
    about = "folder of the results; trials finished there are not repeated (race)"
    add("--out", default="race", metavar="DIR", help=about)
    add("--plot", metavar="FILE", help="file of the picture (race.png in that folder)")
    args = parser.parse_args(argv)

    from functools import partial

    from . import race

    settings: dict[str, Any] = {}
    for name in ("epochs", "hidden", "batch_size"):
        if (n := vars(args)[name]) is not None:
            settings[name] = positive_int(f"--{name.replace('_', '-')}", n)
    if settings and args.train:
        parser.error("--train has its own settings; leave out --epochs, --hidden, --batch-size")
    load: Any = race.load_mnist
    train: Any = partial(race.mnist_mlp, **settings)
    file, _, name = (args.train or "").rpartition(":")
    if (args.train or args.load) and not file.endswith(".py"):
        parser.error("write --train FILE.py:NAME; --load names another function of this file")
    if args.train:
        for function in filter(None, (name, args.load)):
            find_function(f"{file}:{function}")
        path = str(Path(file).resolve())
        train = partial(race.call_function_of, path, name)
        load = partial(race.call_function_of, path, args.load) if args.load else None
    lrs = args.lrs or ([grid[0], grid[-1]] if args.draws else grid)
    makers = {text: partial(race.make_optimizer, text, args.plugin) for text in args.optimizers}
    try:
        result = race.race(
            train, makers, lrs, args.seeds, args.executor, load=load, draws=args.draws,
            search=dict(args.search), workers=args.workers, out=args.out,
        )  # fmt: skip
    except KeyboardInterrupt:
        how = f"finished trials are saved in {args.out}; repeat the command to continue"
        parser.exit(130, f"{parser.prog}: stopped; {how}\n")
    print(result)
    result.to_csv(Path(args.out) / "race.csv")
    picture = args.plot or Path(args.out) / "race.png"
    try:
        result.plot(picture)
    except ImportError as error:
        print(f"{picture} is not drawn: {error}", file=sys.stderr)
    return 1 if result.lost else 0


def run_grade(parser: Parser, argv: list[str]) -> int:
    """Grade submissions of an optimizer: points, and what is wrong in a sentence."""
    from .optimizers.tools.grade import MEGABYTES, SECONDS, Report, check_arguments, grade, skeleton
    from .optimizers.tools.task_rules import TASKS

    parser.epilog = (
        "Each submission runs in a process of its own with limits, so that an endless loop or a "
        "crash is a finding and does not end the grader. This is no sandbox: it does not stop a "
        "program that means harm. Run submissions of strangers in a container."
    )
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE.py", help="submissions")
    add("--task", choices=TASKS, required=True, help="the function that a submission defines")
    about = "a student's number: it selects the rule's switches; name: the number in the file name"
    add("--variant", metavar="ID", help=about)
    add("--skeleton", action="store_true", help="print the file that a student fills in")
    about = "write Gradescope's results.json; for several submissions a folder, one file for each"
    add("--json", type=Path, metavar="PATH", help=about)
    add("--seconds", type=float, default=SECONDS, help=f"time of a submission ({SECONDS})")
    about = f"memory of a submission in MB, on Linux ({MEGABYTES})"
    add("--memory", type=int, default=MEGABYTES, help=about)
    add("--jobs", type=int, default=os.cpu_count(), help="submissions at once (number of cores)")
    args = parser.parse_args(argv)

    check_arguments(args.task, args.variant, args.seconds, args.memory)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # the equations have letters of many alphabets
    if args.skeleton:
        print(skeleton(args.task, args.variant), end="")
        return 0
    if not args.files:
        parser.error("write the files to grade, or --skeleton")
    if missing := [file for file in args.files if not Path(file).is_file()]:
        parser.error(f"there is no file {', '.join(missing)}")
    results = dict.fromkeys(args.files, args.json)
    if args.json and len(args.files) > 1:
        results = {file: args.json / f"{Path(file).stem}.json" for file in args.files}
        if len({*results.values()}) < len(args.files):
            parser.error("--json: two files have the same name; rename one, or grade them apart")
        args.json.mkdir(parents=True, exist_ok=True)
    elif args.json and not args.json.parent.is_dir():
        parser.error(f"--json: there is no folder {args.json.parent}")

    def grade_one(file: str) -> Report:
        variant, problem = args.variant, "its name has no student's number."
        if variant == "name":  # browsers add (1) to the name of a second download
            variant = "".join(re.findall(r"\d+", re.sub(r" ?\(\d+\)$", "", Path(file).stem)))
        if variant != "":
            try:
                return grade(file, args.task, variant, seconds=args.seconds, megabytes=args.memory)
            except Exception as error:  # a submission must not end the grading of the others
                problem = f"{type(error).__name__}: {error}"
        return Report(file, args.task, [("graded", 0, 1)], [f"It cannot be graded: {problem}"])

    with ThreadPoolExecutor(positive_int("--jobs", args.jobs)) as pool:
        reports = list(pool.map(grade_one, results))
    for report in reports:
        print(report)
        if path := results[report.file]:
            path.write_text(json.dumps(report.as_gradescope(), indent=2), encoding="utf-8")
    return 0 if all(report.points == report.most_points for report in reports) else 1


COMMANDS = {
    "gradcheck": run_gradcheck, "conformance": run_conformance, "race": run_race, "grade": run_grade
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    listed = "\n".join(f"  {name:13} {function.__doc__}" for name, function in COMMANDS.items())
    about = f"minigrad COMMAND --help says more. The commands:\n{listed}"
    parser = Parser("minigrad", description=about, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    parser.add_argument("command", choices=COMMANDS)
    name = parser.parse_args(argv[:1]).command
    parser = Parser(f"minigrad {name}", description=COMMANDS[name].__doc__)
    try:
        return COMMANDS[name](parser, argv[1:])
    except (Exception, KeyboardInterrupt) as error:
        if "--traceback" in argv:
            print_exc()
        files = [path.rpartition(":")[0] or path for path in argv]
        lines = [x for x in extract_tb(error.__traceback__) if x.filename in files]
        where = f" ({lines[-1].filename}, line {lines[-1].lineno})" if lines else ""
        parser.error(f"{type(error).__name__}: {error}{where}")


def shape(text: str) -> tuple[int, ...]:
    """Parse a shape of at least one element, such as 3,4 or 4; a scalar is () or 0-d."""
    lengths = [int(n) for n in text.replace("0-d", "").strip("()").split(",") if n]
    return tuple(positive_int("a length", n) for n in lengths)


def natural(text: str) -> int:
    """Parse an integer that is 0 or more."""
    if int(text) < 0:
        raise ValueError("a negative number")
    return int(text)


def search_range(text: str) -> tuple[str, tuple[float, float]]:
    """Parse a range such as eps=1e-10:1e-4."""
    name, _, limits = text.partition("=")
    low, high = map(float, limits.split(":"))
    return name, (low, high)


def find_function(target: str) -> Callable[..., Any]:
    """Return the function at FILE.py:NAME, or with a dotted name such as np.exp."""
    path, _, name = target.rpartition(":")
    full_name = "numpy" + target[2:] if target.startswith("np.") else target
    if target.endswith(".py") or not name or target.startswith(":"):
        raise ValueError(f"a function is required, as in FILE.py:NAME; received {target!r}")
    module = run_file(path) if path else None
    if module and not hasattr(module, name):
        raise ValueError(f"{path} defines no {name!r}")
    function = getattr(module, name) if module else resolve_name(full_name)
    if not callable(function):
        raise TypeError(f"{target} is not a function")
    return function


if __name__ == "__main__":
    sys.exit(main())
