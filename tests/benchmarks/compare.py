"""Time the same work in minigrad, in hand-written NumPy, and in the frameworks installed.

    pip install -e .[bench]
    python tests/benchmarks/compare.py                                    all suites
    python tests/benchmarks/compare.py --only epoch --frameworks minigrad numpy --repetitions 5

Each framework runs in its own process on two threads (see frameworks.py). The frameworks run in
turns, case by case, so that a change in the machine's speed affects all. The first run is not
measured. The report gives the ratio of the medians, and the smallest and largest ratio of a turn.
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

from minigrad.optimizers.blocks import BLOCK

WORKER = Path(__file__).with_name("frameworks.py")
OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam")
SUITES = ("epoch", "small", "fit", "step", "import", "whole", "scaling")
FEW = ("minigrad", "compiled", "numpy", "torch", "jax")  # the frameworks of suites with many cases
DISTURBED = 0.1  # processors used by other programs, above which a run is repeated
THREADS = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")}
ENVIRONMENT = os.environ | THREADS
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)  # imports use compiled files

# (case, ours, framework by whose time ours is divided, highest ratio that meets the target)
SIZES = (400_000, 10_000_000)
TARGETS = [
    ("epoch rmsprop", "minigrad", "numpy", 1.08),
    ("epoch rmsprop", "minigrad", "matmul", 1.6),
    *((f"epoch {o}", "minigrad", "torch", 0.9 if o == "rmsprop" else 1.0) for o in OPTIMIZERS),
    ("epoch rmsprop", "minigrad", "mygrad", 0.85),
    ("epoch rmsprop", "minigrad", "keras-tensorflow", 0.5),
    ("epoch rmsprop", "minigrad", "keras-jax", 0.5),
    ("epoch rmsprop", "minigrad.keras", "keras-tensorflow", 0.6),
    ("import", "minigrad.keras", "keras-tensorflow", 0.1),
    ("epoch rmsprop", "minigrad", "jax", 1.15),
    ("epoch rmsprop", "compiled", "numpy", 0.85),
    *((f"epoch {o}", "compiled", "torch", 0.95 if o == "sgd" else 0.85) for o in OPTIMIZERS),
    *((f"epoch {o}", "compiled", "jax", 1.0) for o in ("rmsprop", "adam")),
    ("whole float32", "minigrad", "jax", 0.8),
    ("whole float32", "compiled", "jax", 0.8),
    *((f"small batch {n}", "minigrad", "torch", 0.8) for n in (1, 8, 32)),
    *(("fit", ours, "sklearn", 1.0) for ours in ("minigrad", "compiled")),
    *(("fit", ours, "torch", 0.45) for ours in ("minigrad", "compiled")),
    *((f"step rmsprop {n}", "minigrad", "numpy", 1.1) for n in SIZES),
    *((f"step momentum {n}", "compiled", "minigrad", 0.6) for n in SIZES),
    *((f"step {o} {n}", "compiled", "minigrad", 0.35) for o in OPTIMIZERS[1:] for n in SIZES),
    *(
        (f"step {o} {n}", "compiled", "torch", 0.9)
        for o in ("momentum", *OPTIMIZERS[1:])
        for n in SIZES
    ),
    ("import", "minigrad", "numpy", 1.5),
    ("peak bytes", "minigrad", "torch", 0.5),
]


class Results:
    """Seconds (or MiB) by case and framework, one number for each repetition."""

    def __init__(self) -> None:
        self.cases: dict[str, dict[str, list[float]]] = {}
        self.disturbed: list[float] = []  # processors used by other programs, for each run

    def add(self, case: str, framework: str, number: float | None) -> None:
        if number is not None:
            self.cases.setdefault(case, {}).setdefault(framework, []).append(number)

    def has(self, case: str, *frameworks: str) -> bool:
        return all(f in self.cases.get(case, {}) for f in frameworks)

    def median(self, case: str, framework: str) -> float:
        return statistics.median(self.cases[case][framework])

    def ratio(self, case: str, ours: str, other: str) -> tuple[float, float, float]:
        """Return our time / theirs: of the medians, then the smallest and largest of a turn."""
        turns = [a / b for a, b in zip(self.cases[case][ours], self.cases[case][other])]
        of_medians = self.median(case, ours) / self.median(case, other)
        return of_medians, min(turns), max(turns)


class Worker:
    """A framework in its own process, which waits for jobs."""

    def __init__(self, framework: str):
        command = [sys.executable, str(WORKER), framework]
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process = subprocess.Popen(
            command, text=True, env=ENVIRONMENT, stderr=subprocess.DEVNULL, **pipes
        )

    def measure(self, job: dict[str, Any]) -> list[float] | None:
        """Return seconds and processors used by other programs; None if it cannot do the job."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        while answer := self.process.stdout.readline():
            if answer.strip() == "null" or answer.startswith("["):  # skip what libraries print
                return json.loads(answer)
        raise RuntimeError(f"{self.process.args} failed at {job}; run it by hand to see the error")

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def take_turns(jobs: dict[str, dict], who: list[str], args: Any, results: Results) -> None:
    """Run every case with every framework in turn, and repeat."""
    workers: dict[str, Worker] = {}
    for case, job in jobs.items():
        for _ in range(args.repetitions):
            for framework in who:
                if framework not in workers:
                    workers[framework] = Worker(framework)
                if measured := quietest(workers[framework], job, args):
                    results.add(case, framework, measured[0])
                    results.disturbed.append(measured[1])
        print(f"  {case}", file=sys.stderr)
    for worker in workers.values():
        worker.close()


def quietest(worker: Worker, job: dict[str, Any], args: Any) -> list[float] | None:
    """Measure until no other program disturbs; return the least disturbed measurement."""
    best = None
    for _ in range(args.tries):
        time.sleep(args.pause)
        measured = worker.measure(job)
        if measured is None:
            return None
        if best is None or measured[1] < best[1]:
            best = measured
        if best[1] < DISTURBED:
            break
    return best


# The suites


def training(optimizer: str, sizes: list[int], batch: int, count: int) -> dict[str, Any]:
    job = dict(kind="train", optimizer=optimizer, sizes=sizes, batch=batch, count=count)
    return job | {"form": "float32"}


def epoch_jobs(examples: int) -> dict[str, dict]:
    """Train on images scaled beforehand; in the last case, on bytes scaled batch by batch."""
    jobs = {f"epoch {o}": training(o, MNIST, 128, examples) for o in OPTIMIZERS}
    return jobs | {"epoch rmsprop, bytes": jobs["epoch rmsprop"] | {"form": "bytes"}}


def small_jobs(examples: int) -> dict[str, dict]:
    """Train 784-32-10 with SGD, where overhead dominates."""
    steps = examples // 60
    return {f"small batch {n}": training("sgd", [784, 32, 10], n, n * steps) for n in (1, 8, 32)}


def fit_jobs(examples: int) -> dict[str, dict]:
    """Train 30-16-2 with Adam on 569 rows in batches of 32, through `fit`, with accuracy."""
    return {"fit": dict(kind="fit", count=569 * max(1, examples // 1500), batch=569 / 18)}


def step_jobs(examples: int) -> dict[str, dict]:
    """Measure the optimizer's step alone, repeated often enough to be measurable."""
    return {
        f"step {o} {n}": dict(kind="step", optimizer=o, size=n, times=max(4, 400 * examples // n))
        for n in (10_000, 100_000, 400_000, 1_000_000, 10_000_000)
        for o in ("sgd", "momentum", *OPTIMIZERS[1:])
    }


def scaling_jobs(examples: int) -> dict[str, dict]:
    """Vary the batch size, the width and the depth."""
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
    """Measure the import alone, each in a new process, without Python's own start."""
    for i in range(repetitions + 1):
        for name in who:
            imports = ", ".join(PACKAGES[name])
            code = f"import time; t = time.perf_counter(); import {imports}; "
            command = [sys.executable, "-c", code + "print(time.perf_counter() - t)"]
            backend = {"KERAS_BACKEND": name.partition("-")[2]} if "keras" in name else {}
            run = subprocess.run(command, env=ENVIRONMENT | backend, capture_output=True, text=True)
            if i:  # the first import fills the disk cache
                results.add("import", name, float(run.stdout.split()[-1]))


def whole_processes(who: list[str], repetitions: int, examples: int, results: Results) -> None:
    """Measure whole processes, from import to the end of an epoch, and their peak memory."""
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
    """Return the processor and the versions."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [s for s in info.read_text().splitlines() if s.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    versions = []
    names = (
        "numpy",
        "scipy",
        "numba",
        "torch",
        "jax",
        "optax",
        "keras",
        "tensorflow-cpu",
        "tensorflow",
    )
    for package in (*names, "mygrad", "autograd", "scikit-learn"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return (
        f"{name}, {os.cpu_count()} processors, two threads each; Python "
        f"{platform.python_version()}; {', '.join(versions)}; blocks of {BLOCK} elements"
    )


def table(title: str, cases: list[str], results: Results, per: Callable[[str], float]) -> str:
    """Return a table of medians, one case per line; ± is half the range, in percent."""
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
            spread = (max(numbers) - min(numbers)) / middle
            cells.append(f"{middle * per(case):.4g} ±{50 * spread:.0f}%")
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def targets(results: Results) -> str:
    """Return a table of the targets, and whether each is met."""
    lines = ["### Targets", "", "| case | ours / theirs | at most | measured | turn by turn | |"]
    lines.append("|---" * 6 + "|")
    for case, ours, other, limit in TARGETS:
        if results.has(case, ours, other):
            middle, least, most = results.ratio(case, ours, other)
            met = "met" if middle <= limit else "**not met**"
            spread = f"{least:.2f} … {most:.2f}"
            pair = f"{ours} / {other}"
            lines.append(f"| {case} | {pair} | {limit} | {middle:.3f} | {spread} | {met} |")
    return "\n".join(lines) + "\n"


def report(results: Results, jobs: dict[str, dict]) -> str:
    """Return all tables as Markdown."""

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
        table("30-16-2, Adam, 569 rows, fit: µs a step", ["fit"], results, per_step),
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
    """Return the machine, the conditions and the tables as Markdown."""
    text = f"{machine()}.\n\n{args.repetitions} repetitions in {seconds:.0f} s"
    if results.disturbed:
        share = sum(x >= DISTURBED for x in results.disturbed) / len(results.disturbed)
        text += f"; other programs disturbed {share:.0%} of the runs"
    return text + ".\n\n" + report(results, jobs)


def draw(results: Results, jobs: dict[str, dict], path: str) -> None:
    """Draw the epoch's times as bars, and the cost by size as lines."""
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
        for f in FEW:
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
    add("--only", nargs="+", choices=SUITES, default=SUITES, help="suites to run (default: all)")
    add("--frameworks", nargs="+", choices=FRAMEWORKS, default=list(FRAMEWORKS),
        help="frameworks to run (default: all that are installed)")  # fmt: skip
    add("--repetitions", type=int, default=3, help="measured runs of each (default: 3)")
    add("--examples", type=int, default=60_000, help="images per epoch (default: 60000)")
    add("--tries", type=int, default=1, help="attempts at a disturbed run (default: 1)")
    add("--pause", type=float, default=0.3, help="seconds between runs (default: 0.3)")
    add("--output", help="file to write the tables to")
    add("--picture", help="file to draw a picture to (needs matplotlib)")
    args = parser.parse_args()

    who = [f for f in args.frameworks if all(map(find_spec, PACKAGES[f]))]
    few = [f for f in who if f in FEW]
    products = {"matmul"}  # matrix products only: not a framework to import or train
    variants = {"compiled", "torch-fused", "torch-compile"}  # import what others import
    results, jobs = Results(), {}
    began = time.perf_counter()
    suites = {
        "epoch": (epoch_jobs, who),
        "small": (small_jobs, [f for f in who if f not in products]),
        "fit": (fit_jobs, [f for f in who if f not in products]),
        "step": (step_jobs, few),
        "scaling": (scaling_jobs, few),
    }
    for suite in args.only:
        print(suite, file=sys.stderr)
        if suite == "import":
            imported = [f for f in who if f not in products | variants]
            import_times(imported, args.repetitions, results)
        elif suite == "whole":
            real = [f for f in who if f not in products | variants or f == "compiled"]
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
