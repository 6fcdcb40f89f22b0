"""A race: its statistics, its fairness, its files, and the same bits on every executor."""

import itertools
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
import pytest
import race_trainings
from race_trainings import bowl, lines_of, outcomes
from scipy.stats import ttest_rel

import minigrad.race as racing
from minigrad.__main__ import main
from minigrad.optimizers import SGD, Adam, RMSprop
from minigrad.race_result import RaceResult, quartiles


@pytest.fixture
def compete(tmp_path):
    """Return a function that races in this process, in a folder of the test."""
    pytest.importorskip("threadpoolctl", reason="without it, trials run in another process")

    def run(train=bowl, optimizers=("sgd",), lrs=(0.1,), seeds=1, out="race", **options):
        return racing.race(train, optimizers, lrs, seeds, out=tmp_path / out, **options)

    return run


# ---- Statistics ----


def result_of(**finals):
    """Return a result with these final losses (configurations, seeds); each starts with 10."""
    (seeds,) = {len(row) for rows in finals.values() for row in rows}
    lrs = {label: [{"lr": 0.1**i} for i in range(len(rows))] for label, rows in finals.items()}
    result = RaceResult("module.train", lrs, [*range(seeds)])
    for label, rows in finals.items():
        trials = itertools.chain(*result.trials(label))
        losses = {trial: [10.0, x] for trial, x in zip(trials, np.ravel(rows).tolist())}
        result.losses |= {trial: run for trial, run in losses.items() if not isnan(run[1])}
        result.lost += [trial for trial in losses if trial not in result.losses]
    return result


@pytest.mark.parametrize("losses, expected", [
    ([5, 1, 4, 2, 3], [2, 3, 4]), ([1, 3], [1, 2, 3]), ([7], [7, 7, 7]),
    ([1, 2, 3, inf], [1, 2.5, 3]),
    ([1, inf, inf, inf], [1, inf, inf]), ([inf, inf], [inf] * 3), ([3, nan, 1, 2], [1, 2, 3]),
    ([nan, 2, inf, nan], [2, inf, inf]), ([nan, nan], [nan] * 3),
])  # fmt: skip
def test_quartiles_are_those_of_the_losses(losses, expected):
    np.testing.assert_array_equal(quartiles(np.array(losses, float)), expected)


def test_the_best_configuration_has_the_lowest_median_and_the_curves():
    result = result_of(a=[[4, 4, 4], [1, 2, inf], [0, 3, 3]], b=[[nan] * 3, [inf] * 3, [9, 9, nan]])
    assert result.best("a") == {"lr": 0.1} and result.best_index("b") == 2
    np.testing.assert_array_equal(result.final("b")[1:], [[inf] * 3, [9, 9, nan]])
    for trial, run in zip(result.trials("a")[1], ([9, 5, 1], [7, 2], [8, inf])):
        result.losses[trial] = run
    np.testing.assert_array_equal(result.curves("a"), [[7, 8, 9], [2, 5, inf], [1, 2, inf]])


def test_the_expected_best_is_the_mean_over_all_tuples_of_configurations():
    medians = [3.0, 0.5, 25.0, 2.0, inf, nan]
    capped = [3.0, 0.5, 10.0, 2.0, 10.0, 10.0]  # the loss at the start is 10
    found = result_of(a=[[y] for y in medians]).expected_best("a")
    brute = [np.mean([*map(min, itertools.product(capped, repeat=n))]) for n in range(1, 7)]
    np.testing.assert_allclose(found, brute, rtol=1e-12)


def test_differences_are_those_of_a_paired_t_test():
    a, b, c = np.random.default_rng(1).uniform(1, 2, (3, 5)) + [[0], [0], [3]]
    result = result_of(c=[c, [9] * 5], a=[[9] * 5, a], b=[b])
    pairs, rows = result.differences(), {"a": a, "b": b, "c": c}
    order = sorted(rows, key=lambda label: rows[label].mean())
    assert [pair[:2] for pair in pairs] == [*itertools.combinations(order, 2)]
    for first, second, d, half in pairs:
        interval = ttest_rel(rows[second], rows[first]).confidence_interval(0.95)
        np.testing.assert_allclose([d - half, d + half], interval, rtol=1e-9)
    assert str(result).count(", not clear") == sum(d < half for *_, d, half in pairs) == 1
    assert str(result).count(", clear") == 2
    assert result_of(a=[[1]], b=[[2]]).differences() == []  # one seed says nothing of a spread


@pytest.mark.parametrize("bad", [[inf, 1], [nan, 1], [nan, nan]])
def test_pairs_with_a_diverged_or_lost_trial_are_left_out(bad):
    pairs = result_of(a=[[5, 6]], b=[bad], c=[[1, 3]]).differences()
    assert [pair[:2] for pair in pairs] == [("c", "a")]


def test_an_optimizer_whose_trials_are_all_lost_is_the_last_one():
    lines = str(result_of(a=[[2, 3]], b=[[nan, nan]], c=[[1, 2]])).splitlines()[2:5]
    assert [line[0] for line in lines] == ["c", "a", "b"]


def test_the_text_and_the_csv_file_count_diverged_and_lost_trials(tmp_path):
    result = result_of(name=[[4, 5, inf]], b=[[1, 2, 3]], lost=[[nan, 3, 4], [nan, nan, nan]])
    head, _, *lines = str(result).splitlines()
    assert head == "module.train; configurations: 1, seeds of each: 3"
    assert lines[:2] == ["b     2 (1 … 3) at lr 1", "lost  3.5 (3 … 4) at lr 1"]
    assert lines[2] == "name  5 (4 … inf) at lr 1; diverged: 1"
    assert lines[3] == "lost, because its worker died twice: ('lost', '{\"lr\": 1.0}', 0)"
    result.choices["b"][0]["momentum"] = 0.5
    result.to_csv(tmp_path / "a.csv")
    head, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert head == "optimizer,lr,momentum,quartile_1,median,quartile_3,diverged,lost"
    assert rows[0] == "name,1.0,,4.0,5.0,inf,1,0" and rows[2] == "lost,1.0,,3.0,3.5,4.0,0,1"
    assert rows[1] == "b,1.0,0.5,nan,nan,nan,0,3" and rows[3] == "lost,0.1,,nan,nan,nan,0,3"


# ---- Choices ----


def test_more_draws_contain_the_same_ones_evenly_in_the_logarithm():
    search = {"eps": (1e-10, 1e-4), "momentum": lambda rng: 1 - 10 ** rng.uniform(-3, 0)}
    many = racing.configs([1e-4, 1.0], 400, search)
    assert all(x in many for x in racing.configs([1e-4, 1.0], 7, search)) and len(many) == 400
    logs = np.log10([[hyper["lr"], hyper["eps"]] for hyper in many])
    assert np.all((logs > [-4, -10]) & (logs < [0, -4]))
    np.testing.assert_allclose(np.mean(logs < [-2, -7], axis=0), 0.5, atol=0.07)
    assert np.mean([hyper["momentum"] < 1 - 10**-1.5 for hyper in many]) == pytest.approx(0.5, 0.1)
    assert [x["lr"] for x in many] == [x["lr"] for x in racing.configs([1e-4, 1.0], 400, {})]
    assert racing.configs([1, 0.1, 1.0], None, {}) == [{"lr": 0.1}, {"lr": 1.0}]


def test_optimizers_leave_out_what_they_do_not_have_and_have_the_same_budget(compete):
    search = {"eps": (1e-10, 1e-4), "beta1": lambda rng: rng.uniform(0.5, 1)}
    makers = {"SGD": SGD, "Adam": Adam, "RMSprop": RMSprop}
    found = compete(optimizers=makers, lrs=(0.01, 1.0), draws=4, search=search).choices
    names = [{(*hyper,) for hyper in found[label]} for label in makers]
    assert names == [{("lr",)}, {("lr", "eps", "beta1")}, {("lr", "eps")}]
    lrs = [[hyper["lr"] for hyper in found[label]] for label in makers]
    assert len({*lrs[0]}) == 4 and lrs[0] == lrs[1] == lrs[2]


DRAW = {"draws": 2, "lrs": (0.1, 1)}


@pytest.mark.parametrize("options, message", [
    ({"optimizers": ["sdg"]}, "did you mean 'sgd'"),
    ({"optimizers": ["sgd:momentun=0.9"]}, "did you mean 'momentum'"),
    ({"optimizers": ["sgd:momentum=1.9"]}, r"momentum must be .*1\.9"),
    ({"optimizers": ["sgd:momentum"]}, "not 'sgd:momentum'"),
    ({"optimizers": ["sgd:lr=1"]}, "'sgd:lr=1' sets what the race varies: lr"),
    ({"optimizers": {}}, "at least one optimizer"),
    ({"optimizers": [SGD]}, "mapping"),
    ({"lrs": []}, "lrs"), ({"lrs": [0.1, 0]}, "lrs must be"), ({"lrs": [nan]}, "lrs must be"),
    ({"lrs": 0.1}, "lrs must be a list of numbers above 0, received 0.1"),
    ({"seeds": 0}, "seeds must be"), ({"seeds": [1, 1]}, r"different integers .*\[1, 1\]"),
    ({"seeds": [-1]}, "integers of at least 0"),
    ({"seeds": [0.5]}, "integers of at least 0"),
    ({"draws": 0}, "draws must be a positive integer"), ({"draws": 2}, r"lr needs \(low, high\)"),
    ({"search": {"eps": (1, 2)}}, "search needs draws"),
    (DRAW | {"search": {"eps": (1, 0)}}, "eps needs"),
    (DRAW | {"search": {"momentum": (2, 3)}}, "momentum must be"),
    (DRAW | {"search": {"momentun": (0.1, 0.9)}}, "momentun"),
    (DRAW | {"search": {"MOMENTUM": (0.1, 0.9)}}, "did you mean 'momentum'"),
    ({"executor": "proceses"}, "one of local, processes, .*'proceses'"),
    ({"executor": 5}, "needs submit; received 5"), ({"workers": -1}, "workers must be"),
    ({"workers": 0}, "workers must be"),
])  # fmt: skip
def test_a_mistake_is_reported_before_the_first_trial(options, message, compete, tmp_path):
    ran = []
    with pytest.raises((ValueError, TypeError), match=message):
        compete(lambda *_: ran.append(1) or [1.0], **options)
    assert not ran and not (tmp_path / "race" / "results.jsonl").exists()


@pytest.mark.parametrize("seeds", [range(3), {0, 1, 2}, np.arange(3)])
def test_seeds_are_any_iterable_of_integers(seeds, compete):
    assert {trial[2] for trial in compete(seeds=seeds).losses} == {0, 1, 2}


# ---- Fairness ----


def test_every_optimizer_meets_the_same_weights_data_order_and_random_numbers(compete, monkeypatch):
    seen, rng = {}, np.random.default_rng(0)
    data = rng.random((40, 784), np.float32), rng.integers(0, 10, 40)

    def spy(model, x, y):
        seen[key].append([w.tobytes() for w in model.state_dict().values()] * (not seen[key]))
        seen[key].append([x.tobytes(), y.tobytes()])
        return step(model, x, y)

    def train(optimizer, seed, data):
        nonlocal key
        key = type(optimizer).__name__.lower(), json.dumps({"lr": optimizer.lr}), seed
        seen[key] = [[random.random(), np.random.random()]]
        return racing.mnist_mlp(optimizer, seed, (data, data), epochs=2, hidden=3, batch_size=8)

    key, step = None, racing.forward_and_backward
    monkeypatch.setattr(racing, "forward_and_backward", spy)
    losses = compete(train, ["sgd", "adam"], [0.01, 0.1], 2, load=lambda: data).losses
    assert seen.keys() == losses.keys() and len(seen) == 8
    for trial, found in seen.items():
        first = "sgd", '{"lr": 0.01}', trial[2]
        assert found == seen[first] and len(found) == 21 and losses[trial][0] == losses[first][0]
        assert found[0] != seen[(*first[:2], 1 - trial[2])][0] and len(losses[trial]) == 9


def test_the_data_are_loaded_once_and_cannot_be_written(compete):
    loads = []

    def train(optimizer, seed, data):
        assert not data[0].flags.writeable and not data[1][0].flags.writeable
        yield 1.0

    load = lambda: loads.append(1) or (np.zeros(2), [np.zeros(2)])  # noqa: E731
    assert len(compete(train, seeds=3, load=load).losses) == 3 and loads == [1]


def test_arrays_in_a_dict_cannot_be_written_either():
    assert not racing.read_only({"x": np.zeros(2)})["x"].flags.writeable


# ---- The file of results ----


@pytest.fixture
def counted():
    """Return a training with a list of the trials that it has run."""

    def train(optimizer, seed, data):
        train.ran.append((type(optimizer).__name__, optimizer.lr, seed))
        yield from bowl(optimizer, seed, data)

    train.ran = []
    return train


@pytest.mark.parametrize("cut", [0, 1, -1, -9, -170, -400])
def test_after_half_a_line_the_race_goes_on(cut, compete, counted, tmp_path):
    whole = compete(counted, ["sgd", "adam"], seeds=2)
    file = tmp_path / "race" / "results.jsonl"
    complete, raw = lines_of(file.parent), file.read_bytes()
    file.write_bytes(raw[:cut])
    counted.ran.clear()
    assert compete(counted, ["sgd", "adam"], seeds=2) == whole
    assert lines_of(file.parent) == complete and len(counted.ran) == 4 - raw[:cut].count(b"\n")


def test_only_new_trials_run(compete, counted, tmp_path):
    calls = [["sgd"], [0.1], 1], [["sgd"], [0.1], 1], [["sgd"], [0.1], 2], [["sgd"], [0.1, 1], [0]]
    for call in *calls, [["adam", "sgd"], [0.1], [1]]:
        compete(counted, *call)
    assert counted.ran == [("SGD", 0.1, 0), ("SGD", 0.1, 1), ("SGD", 1.0, 0), ("Adam", 0.1, 1)]
    assert len({*lines_of(tmp_path / "race")}) == 4


@pytest.mark.parametrize("bad", [b"", b"{", b"[1]", b"3", b'{"optimizer": "sgd"}', b"\xff"])
def test_a_damaged_line_is_named(bad, compete, tmp_path):
    compete(seeds=3)
    file = tmp_path / "race" / "results.jsonl"
    first, _, last = file.read_bytes().splitlines()
    file.write_bytes(damaged := b"\n".join([first, bad, last, b""]))
    with pytest.raises(ValueError, match=r"results\.jsonl, line 2, is damaged"):
        compete(seeds=3)
    assert file.read_bytes() == damaged


@pytest.mark.parametrize("other", [partial(bowl, steps=3), race_trainings.raises_unpicklable])
def test_another_training_in_the_folder_is_refused(other, compete):
    compete(partial(bowl, steps=2))
    with pytest.raises(FileExistsError, match=r"is of race_trainings.bowl\(.*2\), not of .*out="):
        compete(other)


def test_the_name_of_a_training_is_the_same_in_the_next_process():
    assert "0x" not in racing.describe(partial(bowl, steps=bowl))


@pytest.mark.parametrize(
    "ends", [nan, inf, -inf, FloatingPointError(), OverflowError(), np.float32(nan)]
)
def test_a_trial_that_diverges_is_a_result(ends, compete, tmp_path):
    def train(optimizer, seed, data):
        yield 3.0
        if isinstance(ends, Exception):
            raise ends
        yield ends
        raise AssertionError("it ends here")

    for _ in range(2):  # the second time from the file
        result = compete(train)
        assert [*result.losses.values()] == [[3.0, inf]] and "diverged: 1" in str(result)
    (line,) = outcomes(lines_of(tmp_path / "race"))
    assert line["losses"] == [3.0] and line["diverged"] is True


def test_another_exception_names_the_trial_and_keeps_the_finished_ones(compete, counted, tmp_path):
    def train(optimizer, seed, data):
        return counted(optimizer, seed, None) if seed != 2 or mended else 1 / 0

    mended = False
    with pytest.raises(RuntimeError, match=r"to continue.*\('sgd', .*, 2\): ZeroDivisionError"):
        compete(train, seeds=4)
    assert len(lines_of(tmp_path / "race")) == 2
    mended = True
    assert len(compete(train, seeds=4).losses) == 4 == len(counted.ran)


@pytest.mark.parametrize(
    "returned, message",
    [([], "yield at least one loss"), (0.5, "yield loss"), (None, "yield loss")],
)
def test_a_training_must_yield(returned, message, compete):
    with pytest.raises(RuntimeError, match=message):
        compete(lambda *_: returned)


def test_a_failed_race_cancels_what_waits_in_the_executor_of_the_caller(compete):
    ran = []
    with ThreadPoolExecutor(1) as threads, pytest.raises(RuntimeError, match="received None"):
        compete(lambda *_: time.sleep(0.005) or ran.append(1), seeds=20, executor=threads)
    assert len(ran) < 5


def test_a_training_whose_code_has_changed_needs_another_folder(compete, tmp_path):
    file = tmp_path / "training.py"
    train = partial(racing.call_function_of, str(file), "train")
    for loss in 1.0, 2.0:
        file.write_text(f"def train(optimizer, seed, data):\n    yield {loss}\n")
        assert [*compete(train, out=f"race {loss}").losses.values()] == [[loss]]
    with pytest.raises(FileExistsError, match=r"the code of .*train has changed"):
        compete(train, out="race 1.0")


def test_trials_of_other_calls_stay_in_the_file_and_out_of_the_result(compete, tmp_path):
    assert len(compete(lrs=(0.1, 0.2)).losses) == 2
    assert {json.loads(trial[1])["lr"] for trial in compete(lrs=(0.1,)).losses} == {0.1}
    assert len((tmp_path / "race" / "results.jsonl").read_text().splitlines()) == 2


def test_the_random_numbers_of_the_caller_go_on(compete):
    random.seed(12345)
    np.random.seed(12345)
    before = random.getstate(), np.random.get_state()[1].tolist()
    compete()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_second_race_in_the_folder_is_refused(compete, tmp_path):
    with racing.alone_in(tmp_path / "race"), pytest.raises(RuntimeError, match="another race"):
        compete()
    assert len(compete().losses) == 1


# ---- The picture, and the command ----


@pytest.mark.parametrize("finals, scale", [
    ({"a": [[1, 2, inf], [inf] * 3, [nan] * 3], "b": [[3, nan, nan]] * 3}, "log"),
    ({"a": [[1.0], [inf]]}, "log"), ({"a": [[1.0, 3.0]]}, "log"), ({"a": [[-1.0, 3.0]]}, "linear"),
    ({"a": [[nan]]}, "linear"),
])  # fmt: skip
def test_the_picture_shows_medians_and_the_expected_best(plt, finals, scale):
    result = result_of(**finals)
    axes = result.plot().axes
    assert [ax.get_yscale() for ax in axes] == [scale] * 3
    for i, label in enumerate(finals):
        medians = result.quartiles(label)[:, 1], result.curves(label)[:, 1]
        for ax, true in zip(axes, (*medians, result.expected_best(label))):
            shown = np.array(ax.lines[i].get_ydata(), float)
            np.testing.assert_array_equal(shown, np.where(np.isinf(true), nan, true))


USER = """\
from minigrad.optimizers import register

def load():
    return "data"

def train(optimizer, seed, data):
    print("ran", type(optimizer).__name__, optimizer.lr, seed, data)
    yield from [5.0, optimizer.lr + seed]

@register("mine")
def mine(g, slots, *, power=2.0):
    return g**power
"""


@pytest.fixture
def files(compete, monkeypatch, tmp_path):
    """Write the file of a user; forget afterwards what it registered."""
    (tmp_path / "user.py").write_text(USER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(RaceResult, "plot", lambda _, path: Path(path).touch())


def test_the_command_races_a_training_of_a_file(files, capsys):
    words = "race --train user.py:train --load load --plugin user.py --seeds 2 --out r/s --lrs 0.1"
    assert main(f"{words} 1 --draws 2 --search power=0.5:2 --optimizers sgd mine".split()) == 0
    ran = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ran ")]
    assert len({*ran}) == len(ran) == 8 and all(line.endswith(" data") for line in ran)
    rows = Path("r/s/race.csv").read_text().splitlines()
    assert rows[0].startswith("optimizer,lr,power,quartile_1") and len(rows) == 5
    assert Path("r/s/race.png").exists()


@pytest.mark.parametrize("final, status", [(nan, 1), (inf, 0)])
def test_a_lost_trial_is_an_exit_status_of_1(final, status, files, monkeypatch):
    monkeypatch.setattr(racing, "race", lambda *_, **__: result_of(a=[[1.0, final]]))
    Path("race").mkdir()
    assert main(["race"]) == status


@pytest.mark.parametrize("words, sentence", [
    ("--optimizers sdg", "did you mean 'sgd'?"),
    ("--train user.py", "write --train FILE.py:NAME"),
    ("--train user.py:nope", "user.py defines no 'nope'"),
    ("--train no.py:train", "there is no file no.py"),
    ("--train user.py:train --load nope", "user.py defines no 'nope'"),
    ("--load load", "--train"),
    ("--train race_trainings.bowl --lrs 0.1", "FILE.py:NAME"),
    ("--plugin no.py", "there is no file no.py"), ("--lrs -1", "lrs must be a list of numbers"),
    ("--optimizers sgd:eps=1", "no hyperparameter 'eps'"), ("--seeds 0", "seeds must be"),
    ("--epochs 0", "--epochs must be"), ("--search eps=1", "invalid search_range value: 'eps=1'"),
    ("--train user.py:train --epochs 3", "leave out --epochs"),
    ("--executor nope", "one of local, processes, dask"), ("--workers -1", "workers must be"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(words, sentence, files, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["race", *words.split()])
    out, err = capsys.readouterr()
    assert exit_.value.code == 2 and not out and sentence in err and err.count("\n") == 1
