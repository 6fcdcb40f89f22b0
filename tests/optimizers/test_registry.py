"""The registry, and plug-ins from other packages."""

import sys

import numpy as np
import pytest

from minigrad.optimizers import (
    SGD,
    AdaGrad,
    Optimizer,
    Parameter,
    RMSprop,
    available,
    get,
    register,
    registry,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a distribution with an entry point for an optimizer."""

    def make(name, value, code):
        (tmp_path / f"{name}.py").write_text(code)
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[minigrad.optimizers]\n{value}\n")
        monkeypatch.syspath_prepend(tmp_path)

    yield make
    for module in [m for m in sys.modules if m.startswith("plugged_")]:
        del sys.modules[module]


def test_names_classes_and_instances():
    assert type(get("rmsprop")) is RMSprop
    assert get("RMSProp", lr=0.5).lr == 0.5
    assert type(get(AdaGrad, lr=0.5)) is AdaGrad
    optimizer = SGD(lr=0.5)
    assert get(optimizer) is optimizer
    params = [Parameter(np.ones(1))]
    assert list(get("sgd", params).parameters) == ["0"]
    assert get(optimizer, params).parameters


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: get("rmsporp"), ValueError, "unknown optimizer 'rmsporp'; did you mean 'rmsprop'"),
        (lambda: get("zzz"), ValueError, r"unknown optimizer 'zzz' \(there are: adadelta, adagr"),
        (lambda: get(3), TypeError, "must be a name, a class or an Optimizer, not 3"),
        (lambda: get(SGD(), lr=1.0), TypeError, "is an instance; set lr on it instead"),
        (lambda: get("sgd", epsilon=1.0), TypeError, "SGD has no hyperparameter 'epsilon'"),
        (lambda: register("sgd")(RMSprop), ValueError, "'sgd' is taken by minigrad.optimizers.sgd"),
        (lambda: register("x", "Adam")(RMSprop), ValueError, "the name 'adam' is taken"),
        (lambda: register(RMSprop), TypeError, "register needs a name, as in @register"),
        (lambda: register(""), TypeError, "register needs a name"),
        (lambda: register("x")(lambda g, slots, step=1.0: g), TypeError, "uses the name 'step'"),
        (lambda: register("x")(lambda g, slots, steps=1.0: g), TypeError, "uses the name 'steps'"),
        (lambda: register("x")(int), TypeError, "a subclass of Optimizer or a function"),
        (lambda: register("x")(3), TypeError, "needs a class or a function, received 3"),
    ],
)
def test_invalid_arguments_leave_the_registry_unchanged(call, error, text):
    before = dict(registry._registry)
    with pytest.raises(error, match=text):
        call()
    assert registry._registry == before


def test_aliases_and_override():
    @register("half_sgd", "HSGD")
    class Half(Optimizer):
        """u = g / 2

        Half a step of gradient descent.
        """

        def direction(self, g, slots):
            return g / 2

    assert type(get("hsgd")) is Half
    assert available()["half_sgd"] == "Half a step of gradient descent."
    assert "hsgd" not in available()
    register("sgd", override=True)(Half)
    assert type(get("SGD")) is Half


def test_every_optimizer_has_a_description_of_one_line():
    lines = available()
    assert list(lines) == sorted(lines)
    assert {"sgd", "adagrad", "rmsprop", "adam", "adamw", "adadelta", "nadam", "lion"} <= set(lines)
    assert all(20 < len(line) < 120 and "\n" not in line for line in lines.values())
    equations = {name: line for name, line in lines.items() if "←" in line or "=" in line}
    assert not equations, "a description is a sentence of words"


def test_a_function_becomes_an_optimizer_with_every_switch():
    @register("scaled")
    def scaled(g, slots, *, t, factor=2.0, lr=0.5):
        """u = factor·g / t"""
        return factor * g / t

    w = Parameter(np.array([1.0]), np.array([1.0]))
    optimizer = scaled([w], momentum=0.5, factor=lambda t: 2.0 + t)
    assert repr(scaled()) == "scaled(lr=0.5)"
    optimizer.step()
    optimizer.step()  # u: 2/1, 3/2; b: 2, 1 + 1.5
    assert w.data[0] == 1 - 0.5 * 2 - 0.5 * 2.5
    with pytest.raises(TypeError, match="no hyperparameter 'factr'; did you mean 'factor'"):
        get("scaled", factr=1.0)


def test_a_function_with_hyper_keywords_receives_all_hyperparameters_but_those_of_stages():
    seen = {}

    @register("takes_all")
    def takes_all(g, slots, **hyper):
        seen.update(hyper)
        return g

    takes_all([Parameter(np.ones(1), np.ones(1))], lr=0.25).step()
    assert (seen["lr"], seen["t"], seen["nesterov"]) == (0.25, 1, False)
    assert not {"momentum", "weight_decay"} & seen.keys()  # the base class does these stages


def test_a_notebook_cell_may_register_again():
    for _ in range(2):

        @register("again")
        def again(g, slots):
            return g


def test_an_installed_package_is_imported_when_its_name_is_looked_up(package):
    code = "def direction(g, slots): return g"
    package("plugged_good", "remote_rule = plugged_good:direction", code)
    assert "plugged_good" not in sys.modules
    assert type(get("Remote_Rule", lr=0.5)).__name__ == "direction"
    assert "remote_rule" in available()


def test_a_package_may_call_register_itself(package):
    code = (
        "from minigrad.optimizers import Optimizer, register\n"
        "@register('own_name')\nclass Own(Optimizer):\n"
        "    def direction(self, g, slots): return g\n"
    )
    package("plugged_own", "own_name = plugged_own:Own", code)
    assert type(get("own_name")).__name__ == "Own"


@pytest.mark.parametrize(
    "code, text",
    [
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("", "AttributeError"),
        ("direction = 3", "TypeError: register needs a class or a function"),
    ],
)
def test_the_error_names_a_broken_package(package, code, text):
    package("plugged_bad", "bad = plugged_bad:direction", code)
    with pytest.raises(ImportError, match=f"'bad' of plugged_bad 1.5 .* does not load: {text}"):
        get("bad")
    assert type(get("sgd")) is SGD  # a registered name loads no package
    with pytest.raises(ValueError, match="did you mean 'bad'"):
        get("badd")
