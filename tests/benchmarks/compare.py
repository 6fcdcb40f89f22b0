"""The same work side by side: minigrad, NumPy by hand, and whichever frameworks are installed.

    pip install -e .[bench]
    python tests/benchmarks/compare.py                                    all of it
    python tests/benchmarks/compare.py --only epoch --frameworks minigrad numpy --repetitions 5

Each framework runs in a process of its own on two threads (see frameworks.py). They take turns,
case by case, so that a machine whose speed drifts is fair to all; a first, uncounted run warms up.
What counts is the ratio of the medians, beside it the smallest and largest ratio within one turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from frameworks import BYTES, FRAMEWORKS, MNIST, PACKAGES

WORKER = Path(__file__).with_name("frameworks.py")
OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam")
SUITES = ("epoch", "small", "step", "import", "whole", "scaling")
NEAR = ("minigrad", "numpy", "torch")  # who takes part where a suite has many cases
DISTURBED = 0.1  # of a processor used by other programs: then the run is made again
THREADS = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")}
ENVIRONMENT = os.environ | THREADS
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles a library at every import

# (case, whose time is divided by whose, at most)
TARGETS = [
    ("epoch rmsprop", "numpy", 1.08),
    ("epoch rmsprop", "matmul", 1.6),
    *((f"epoch {o}", "torch", 0.9 if o == "rmsprop" else 1.0) for o in OPTIMIZERS),
    ("epoch rmsprop", "mygrad", 0.85),
    ("epoch rmsprop", "keras-tensorflow", 0.5),
    ("epoch rmsprop", "keras-jax", 0.5),
    ("epoch rmsprop", "jax", 1.15),
    ("whole float32", "jax", 0.8),
    *((f"small batch {n}", "torch", 0.8) for n in (1, 8, 32)),
    *((f"step rmsprop {n}", "numpy", 1.1) for n in (400_000, 10_000_000)),
    ("import", "numpy", 1.5),
    ("peak bytes", "torch", 0.5),
]


class Results:
    """Seconds (or MiB) by case and framework, one number a repetition."""

    def __init__(self) -> None:
        self.cases: dict[str, dict[str, list[float]]] = {}
        self.disturbed: list[float] = []  # processors that other programs used, run by run

    def add(self, case: str, framework: str, number: float | None) -> None:
        if number is not None:
            self.cases.setdefault(case, {}).setdefault(framework, []).append(number)

    def has(self, case: str, *frameworks: str) -> bool:
        return all(f in self.cases.get(case, {}) for f in frameworks)

    def median(self, case: str, framework: str) -> float:
        return statistics.median(self.cases[case][framework])

    def ratio(self, case: str, other: str) -> tuple[float, float, float]:
        """Ours by theirs: of the medians; the smallest and largest within one turn."""
        pairs = [a / b for a, b in zip(self.cases[case]["minigrad"], self.cases[case][other])]
        of_medians = self.median(case, "minigrad") / self.median(case, other)
        return of_medians, min(pairs), max(pairs)


class Worker:
    """A framework in a process of its own, which waits for jobs."""

    def __init__(self, framework: str):
        command = [sys.executable, str(WORKER), framework]
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process = subprocess.Popen(
            command, text=True, env=ENVIRONMENT, stderr=subprocess.DEVNULL, **pipes
        )

    def measure(self, job: dict[str, Any]) -> list[float] | None:
        """Seconds, and how many processors other programs used meanwhile."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        while answer := self.process.stdout.readline():
            if answer.strip() == "null" or answer.startswith("["):  # else it is talk
                return json.loads(answer)
        raise RuntimeError(f"{self.process.args}: failed at {job}; run it by hand to see why")

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def take_turns(jobs: dict[str, dict], who: list[str], args: Any, results: Results) -> None:
    """Every case by every framework, one after the other, and all of that again."""
    workers: dict[str, Worker] = {}
    for case, job in jobs.items():
        for _ in range(args.repetitions):
            for framework in who:
                if framework not in workers:
                    workers[framework] = Worker(framework)
                if found := quietest(workers[framework], job, args):
                    results.add(case, framework, found[0])
                    results.disturbed.append(found[1])
        print(f"  {case}", file=sys.stderr)
    for worker in workers.values():
        worker.close()


def quietest(worker: Worker, job: dict[str, Any], args: Any) -> list[float] | None:
    """The first measurement that no other program disturbed, or else the least disturbed one."""
    best = None
    for _ in range(args.tries):
        time.sleep(args.pause)
        found = worker.measure(job)
        if found is None:
            return None
        if best is None or found[1] < best[1]:
            best = found
        if best[1] < DISTURBED:
            break
    return best


# The suites


def training(optimizer: str, sizes: list[int], batch: int, count: int) -> dict[str, Any]:
    job = dict(kind="train", optimizer=optimizer, sizes=sizes, batch=batch, count=count)
    return job | {"form": "float32"}


def epoch_jobs(examples: int) -> dict[str, dict]:
    """Images scaled before; in the last case, bytes that each batch scales."""
    jobs = {f"epoch {o}": training(o, MNIST, 128, examples) for o in OPTIMIZERS}
    return jobs | {"epoch rmsprop, bytes": jobs["epoch rmsprop"] | {"form": "bytes"}}


def small_jobs(examples: int) -> dict[str, dict]:
    """784-32-10 with SGD, where overhead rules."""
    steps = examples // 60
    return {f"small batch {n}": training("sgd", [784, 32, 10], n, n * steps) for n in (1, 8, 32)}


def step_jobs(examples: int) -> dict[str, dict]:
    """A step alone, repeated until it can be measured."""
    return {
        f"step {o} {n}": dict(kind="step", optimizer=o, size=n, times=max(4, 400 * examples // n))
        for n in (10_000, 100_000, 400_000, 1_000_000, 10_000_000)
        for o in OPTIMIZERS
    }


def scaling_jobs(examples: int) -> dict[str, dict]:
    """How the cost of a step grows with the batch, the width and the depth."""
    steps = max(2, examples // 2000)
    jobs = {}
    for n in (1, 4, 16, 64, 256, 1024, 4096):
        jobs[f"batch {n}"] = training("rmsprop", MNIST, n, n * min(steps, 60_000 // n))
    for n in (32, 128, 512, 2048, 4096):
        jobs[f"width {n}"] = training("rmsprop", [784, n, 10], 128, 128 * steps)
    for n in (1, 3, 10, 30, 100):
        jobs[f"depth {n}"] = training("rmsprop", [784, *[64] * n, 10], 128, 128 * steps)
    return jobs


def import_times(who: list[str], repetitions: int, results: Results) -> None:
    """The import alone, in a fresh process each; without the time that Python itself needs."""
    for i in range(repetitions + 1):
        for name in who:
            imports = ", ".join(PACKAGES[name])
            code = f"import time; t = time.perf_counter(); import {imports}; "
            command = [sys.executable, "-c", code + "print(time.perf_counter() - t)"]
            backend = {"KERAS_BACKEND": name.partition("-")[2]} if "keras" in name else {}
            run = subprocess.run(command, env=ENVIRONMENT | backend, capture_output=True, text=True)
            if i:  # the first one fills the disk's cache
                results.add("import", name, float(run.stdout.split()[-1]))


def whole_processes(who: list[str], repetitions: int, examples: int, results: Results) -> None:
    """From the start of a process to a trained epoch, import included; and its peak memory."""
    for form in ("float32", "bytes"):
        for i in range(repetitions + 1):
            for name in who:
                if form == "bytes" and name not in BYTES:
                    continue
                command = [sys.executable, str(WORKER), name, "rmsprop", form, str(examples)]
                start = time.perf_counter()
                process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                if i and not process.returncode:
                    results.add(f"whole {form}", name, time.perf_counter() - start)
                    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
                    results.add(f"peak {form}", name, usage.ru_maxrss / unit)
        print(f"  whole process, {form}", file=sys.stderr)


# The report


def machine() -> str:
    """What it ran on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [s for s in info.read_text().splitlines() if s.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    versions = []
    names = ("numpy", "scipy", "torch", "jax", "optax", "keras", "tensorflow-cpu", "tensorflow")
    for package in (*names, "mygrad", "autograd", "scikit-learn"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return (
        f"{name}, {os.cpu_count()} processors, two threads each; Python "
        f"{platform.python_version()}; {', '.join(versions)}"
    )


def table(title: str, cases: list[str], results: Results, per: Callable[[str], float]) -> str:
    """Medians, a case a line; behind them how far the values lie apart, in percent."""
    cases = [case for case in cases if case in results.cases]
    who = [f for f in FRAMEWORKS if any(results.has(case, f) for case in cases)]
    if not cases:
        return ""
    lines = [f"### {title}", "", "| | " + " | ".join(who) + " |", "|---" * (len(who) + 1) + "|"]
    for case in cases:
        cells = []
        for f in who:
            if not results.has(case, f):
                cells.append("–")
                continue
            numbers = results.cases[case][f]
            middle = statistics.median(numbers)
            apart = (max(numbers) - min(numbers)) / middle
            cells.append(f"{middle * per(case):.4g} ±{50 * apart:.0f}%")
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def targets(results: Results) -> str:
    lines = ["### Targets", "", "| ours / | case | at most | measured | turn by turn | |"]
    lines.append("|---" * 6 + "|")
    for case, other, limit in TARGETS:
        if results.has(case, "minigrad", other):
            middle, least, most = results.ratio(case, other)
            met = "met" if middle <= limit else "**not met**"
            spread = f"{least:.2f} … {most:.2f}"
            lines.append(f"| {other} | {case} | {limit} | {middle:.3f} | {spread} | {met} |")
    return "\n".join(lines) + "\n"


def report(results: Results, jobs: dict[str, dict]) -> str:
    """All tables as Markdown."""

    def starting(word: str) -> list[str]:
        return [case for case in results.cases if case.startswith(word + " ")]

    def steps(case: str) -> float:
        return jobs[case]["count"] / jobs[case]["batch"]

    per_step = lambda case: 1e6 / steps(case)  # noqa: E731
    per_parameter = lambda case: 1e9 / jobs[case]["size"] / jobs[case]["times"]  # noqa: E731
    seconds = lambda case: 1.0  # noqa: E731
    parts = [
        targets(results),
        table("Epoch: seconds", starting("epoch"), results, seconds),
        table("784-32-10, SGD: µs a step", starting("small"), results, per_step),
        table("Optimizer's step: ns a parameter", starting("step"), results, per_parameter),
        table("Import: ms", ["import"], results, lambda case: 1e3),
        table("Whole process: seconds", starting("whole"), results, seconds),
        table("Peak memory: MiB", starting("peak"), results, seconds),
        table("Batch size, 784-512-10: µs a step", starting("batch"), results, per_step),
        table("Width, 784-n-10: µs a step", starting("width"), results, per_step),
        table("Depth, n layers of 64: µs a step", starting("depth"), results, per_step),
    ]
    return "\n".join(filter(None, parts))


def document(results: Results, jobs: dict[str, dict], args: Any, seconds: float) -> str:
    """The machine, the conditions and the tables."""
    text = f"{machine()}.\n\n{args.repetitions} repetitions in {seconds:.0f} s"
    if results.disturbed:
        share = sum(x < DISTURBED for x in results.disturbed) / len(results.disturbed)
        text += f"; {share:.0%} of the runs had the machine to themselves"
    return text + ".\n\n" + report(results, jobs)


def draw(results: Results, jobs: dict[str, dict], path: str) -> None:
    """The epoch as bars, and how cost grows as lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(12, 6.5), layout="constrained")
    names = [f for f in FRAMEWORKS if results.has("epoch rmsprop", f)]
    for i, f in enumerate(names):
        color = "C3" if f == "minigrad" else "0.7"
        axes[0, 0].barh(i, results.median("epoch rmsprop", f), color=color)
    axes[0, 0].set(yticks=range(len(names)), yticklabels=names, xlabel="epoch, RMSprop [s]")
    axes[0, 0].invert_yaxis()
    grown = [("small batch", "784-32-10, SGD: batch"), ("batch", "784-512-10: batch")]
    grown += [("width", "784-n-10: width n"), ("depth", "depth"), ("step rmsprop", "parameters")]
    for ax, (kind, label) in zip(axes.flat[1:], grown):
        cases = [case for case in results.cases if case.startswith(kind + " ")]
        for f in NEAR:
            at = [case for case in cases if results.has(case, f)]
            n = [int(case.split()[-1]) for case in at]
            if kind == "step rmsprop":
                cost = [results.median(c, f) * 1e9 / jobs[c]["times"] / m for c, m in zip(at, n)]
            else:
                per = [jobs[c]["batch"] / jobs[c]["count"] for c in at]
                cost = [results.median(c, f) * 1e6 * s for c, s in zip(at, per)]
            color = "C3" if f == "minigrad" else None
            ax.loglog(n, cost, marker="o", markersize=3, label=f, color=color)
        ax.set(xlabel=label, ylabel="ns a parameter" if "step" in kind else "µs a step")
        ax.legend(fontsize="small")
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=SUITES, default=SUITES, help="which suites (default: all)")
    add("--frameworks", nargs="+", choices=FRAMEWORKS, default=list(FRAMEWORKS), help="which")
    add("--repetitions", type=int, default=3, help="counted runs of each (default: 3)")
    add("--examples", type=int, default=60_000, help="images in an epoch; fewer for a quick look")
    add("--tries", type=int, default=1, help="repeat a run that other programs disturb (1: never)")
    add("--pause", type=float, default=0.3, help="seconds for threads to fall asleep in between")
    add("--output", help="a file for the tables, too")
    add("--picture", help="a file for a picture (needs matplotlib)")
    args = parser.parse_args()

    who = [f for f in args.frameworks if all(map(find_spec, PACKAGES[f]))]
    near = [f for f in who if f in NEAR]
    products = {"matmul"}  # no framework: nothing to import, nothing to train
    results, jobs = Results(), {}
    began = time.perf_counter()
    suites = {
        "epoch": (epoch_jobs, who),
        "small": (small_jobs, [f for f in who if f != "matmul"]),
        "step": (step_jobs, near),
        "scaling": (scaling_jobs, near),
    }
    for suite in args.only:
        print(suite, file=sys.stderr)
        if suite == "import":
            import_times([f for f in who if f not in products], args.repetitions, results)
        elif suite == "whole":
            real = [f for f in who if f not in products]
            whole_processes(real, args.repetitions, args.examples, results)
        else:
            make, members = suites[suite]
            mine = make(args.examples)
            jobs |= mine
            take_turns(mine, members, args, results)
        text = document(results, jobs, args, time.perf_counter() - began)
        if args.output:
            Path(args.output).write_text(text)
    print(text)
    if args.picture:
        draw(results, jobs, args.picture)


if __name__ == "__main__":
    main()
