"""The result of a race: table, CSV file, curves; and the file that keeps its trials."""

import csv
import itertools
import json
import math
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from . import plotting

Hyper = dict[str, Any]
Trial = tuple[str, str, int]  # optimizer, hyperparameters as JSON, seed


@dataclass
class RaceResult:
    """The losses of each trial (the last is inf if it diverged), and the trials that are lost.

    choices: for each optimizer its configurations, dicts of hyperparameters.
    """

    train: str
    choices: dict[str, list[Hyper]]
    seeds: list[int]
    losses: dict[Trial, list[float]] = field(default_factory=dict, repr=False)
    lost: list[Trial] = field(default_factory=list)
    code: int = 0  # a checksum of the training's code

    def trials(self, label: str) -> list[list[Trial]]:
        """Return the trials of an optimizer: a list for each configuration, one for each seed."""
        return [[(label, json.dumps(h), seed) for seed in self.seeds] for h in self.choices[label]]

    def final(self, label: str) -> np.ndarray:
        """Return the final losses (configurations, seeds): inf if diverged, NaN if lost."""
        rows = self.trials(label)
        return np.array([[self.losses.get(trial, [math.nan])[-1] for trial in row] for row in rows])

    def quartiles(self, label: str) -> np.ndarray:
        """Return the quartiles of the final losses over the seeds, (configurations, 3)."""
        return quartiles(self.final(label))

    def best_index(self, label: str) -> int:
        medians = self.quartiles(label)[:, 1]
        return int(np.argmin(np.where(np.isnan(medians), math.inf, medians)))

    def best(self, label: str) -> Hyper:
        """Return the configuration with the lowest median of the final losses."""
        return self.choices[label][self.best_index(label)]

    def curves(self, label: str) -> np.ndarray:
        """Return the quartiles of the losses at the best configuration, (reports, 3)."""
        trials = self.trials(label)[self.best_index(label)]
        runs = [self.losses.get(trial, [math.nan]) for trial in trials]
        longest = max(map(len, runs))
        return quartiles(np.transpose([run + run[-1:] * (longest - len(run)) for run in runs]))

    def start(self) -> float:
        """Return the median of the first losses of all trials."""
        return float(np.median([run[0] for run in self.losses.values()] or [math.nan]))

    def expected_best(self, label: str) -> np.ndarray:
        """Return E[lowest median of n configurations] for n = 1, 2, …, N, drawn with replacement.

        With sorted medians y₁ ≤ … ≤ y_N it is Σ yᵢ·[((N − i + 1) / N)ⁿ − ((N − i) / N)ⁿ]: what a
        tuning budget of n trials yields (Dodge et al. 2019; Sivaprasad et al. 2020, arXiv
        1910.11758). A median above the loss at the start counts as the loss at the start, as if
        the initial weights were kept.
        """
        y = np.sort(np.fmin(self.quartiles(label)[:, 1], self.start()))
        n, above = np.arange(1, len(y) + 1)[:, None], np.arange(len(y), -1, -1) / len(y)
        return (above[:-1] ** n - above[1:] ** n) @ y

    def differences(self) -> list[tuple[str, str, float, float]]:
        """Return (better, worse, mean difference d of the final losses, half of its 95 % interval).

        Each optimizer has its best configuration, and the losses are paired by seed; the interval
        is Student's. If d is above this half, the seeds alone give such a d in fewer than 5 of 100
        races. The best configurations were chosen with the same seeds, so they look a little better
        than they are.
        Pairs with a trial that diverged or is lost are left out.
        """
        final = {label: self.final(label)[self.best_index(label)] for label in self.choices}
        found, n = [], len(self.seeds)
        order = sorted(final, key=lambda label: np.nan_to_num(np.mean(final[label]), nan=math.inf))
        for a, b in itertools.combinations(order, 2):
            if n > 1 and np.all(np.isfinite(final[a] + final[b])):
                d = final[b] - final[a]
                half = stdtrit(n - 1, 0.975) * d.std(ddof=1) / n**0.5
                found.append((a, b, float(d.mean()), float(half)))
        return found

    def __str__(self) -> str:
        count, width = len(next(iter(self.choices.values()))), max(map(len, self.choices))
        lines = [f"{self.train}; configurations: {count}, seeds of each: {len(self.seeds)}"]
        lines += [f"{'':{width}}  median of the final losses (quartiles) at the best configuration"]
        best = {label: self.quartiles(label)[self.best_index(label)] for label in self.choices}
        order = sorted(best, key=lambda label: np.nan_to_num(best[label][1], nan=math.inf))
        for label in order:
            low, middle, high = best[label]
            at = ", ".join(f"{name} {x:.4g}" for name, x in self.best(label).items())
            if diverged := int(np.isinf(self.final(label)).sum()):
                at += f"; diverged: {diverged}"
            if count > 1 and self.best_index(label) in (0, count - 1):
                at += "; the best lr is at the edge: try others beyond it"
            lines.append(f"{label:{width}}  {middle:.4g} ({low:.4g} … {high:.4g}) at {at}")
        pairs = self.differences()
        if pairs:
            lines.append("mean differences, with half of their 95 % intervals over the seeds:")
        for better, worse, d, half in pairs:
            verdict = "clear" if d > half else "not clear with these seeds"
            lines.append(f"{better} below {worse}: {d:.2g} ± {half:.2g}, {verdict}")
        lines += [f"lost, because its worker died twice: {trial}" for trial in self.lost]
        return "\n".join(lines)

    def to_csv(self, path: str | Path) -> None:
        """Write a table with one line for each configuration."""
        names = list(dict.fromkeys(k for row in self.choices.values() for h in row for k in h))
        with open(path, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            statistics = "quartile_1", "median", "quartile_3", "diverged", "lost"
            table.writerow(["optimizer", *names, *statistics])
            for label, rows in self.choices.items():
                for hyper, of_seeds, final in zip(rows, self.quartiles(label), self.final(label)):
                    counts = np.isinf(final).sum(), np.isnan(final).sum()
                    values = [hyper.get(name, "") for name in names]
                    table.writerow([label, *values, *of_seeds.tolist(), *counts])

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the results; return the figure; save it if a path is given."""
        figure = plotting.race(self)
        if path is not None:
            plotting.save(figure, path)
        return figure


def quartiles(x: np.ndarray) -> np.ndarray:
    """Return the quartiles along the last axis; NaN does not count, inf does."""
    with warnings.catch_warnings(action="ignore"):  # a row of NaN has the quartiles NaN
        low, high = np.nanquantile(x, [0.25, 0.75], axis=-1, method="inverted_cdf")
        return np.stack([low, np.nanmedian(x, axis=-1), high], axis=-1)


# ---- The file of results ----


def to_record(result: RaceResult, trial: Trial) -> dict[str, Any]:
    """Return a trial as plain values for JSON, which has no inf."""
    finite = [x for x in result.losses[trial] if math.isfinite(x)]
    diverged = len(finite) < len(result.losses[trial])
    return {"train": result.train, "code": result.code, "optimizer": trial[0],
            "hyper": json.loads(trial[1]), "seed": trial[2], "losses": finite,
            "diverged": diverged}  # fmt: skip


def append(path: Path, content: dict[str, Any]) -> None:
    """Append a line of JSON; when this returns, it is on the disk."""
    with open(path, "ab") as file:
        file.write(json.dumps(content).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def remove_partial_line(path: Path) -> bytes:
    """Cut off an unfinished last line, which a killed race leaves; return the rest."""
    raw = path.read_bytes() if path.exists() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        os.truncate(path, len(whole))
    return whole


def read(path: Path, result: RaceResult, known: set[Trial]) -> dict[Trial, list[float]]:
    """Return the losses of the known trials from an earlier call; ignore others."""
    found = {}
    for number, text in enumerate(remove_partial_line(path).splitlines(), start=1):
        try:
            line = json.loads(text)
            trial = line["optimizer"], json.dumps(line["hyper"]), line["seed"]
            losses = line["losses"] + [math.inf] * line["diverged"]
            other, code = line["train"], line["code"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"race: {path}, line {number}, is damaged: {text!r:.60}") from error
        how = "give another folder with out=…"
        if other != result.train:
            raise FileExistsError(f"race: {path} is of {other}, not of {result.train}; {how}")
        if code != result.code:
            problem = f"the code of {other} has changed since the trials in {path}"
            raise FileExistsError(f"race: {problem}; {how}")
        if trial in known:
            found[trial] = losses
    return found
