"""The plug-ins in examples/optimizers/: steps of the frameworks, conformance, size, imports."""

import ast
import json
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.optimizers import EMA, Optimizer, Parameter, available, get, registry
from minigrad.optimizers.tools.conformance import conformance

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples" / "optimizers").glob("*.py"))
ELEMENTWISE = ["adabelief", "adamax", "radam", "rprop"]
NOT_COMPILED = ["adafactor", "lamb", "muon"]  # they compute with whole arrays
NAMES = [
    *ELEMENTWISE,
    *NOT_COMPILED,
    "lookahead",
    "sam",
    "schedule_free_adamw",
    "schedule_free_sgd",
]
each_name = pytest.mark.parametrize("name", NAMES)

GOLDEN = np.load(ROOT / "tests" / "golden" / "zoo.npz")
ABOUT = json.loads(str(GOLDEN["about"]))
CASES, KEPT, SHAPES = ABOUT["cases"], ABOUT["kept"], ABOUT["shapes"]
ENDS = np.cumsum([int(np.prod(shape)) for shape in SHAPES.values()])


@pytest.fixture(autouse=True, scope="module")
def plug_ins():
    """Register the plug-ins for the tests in this file only; return their names."""
    with pytest.MonkeyPatch.context() as patch:
        before = {*available()}
        patch.setattr(registry, "_registry", dict(registry._registry))
        for file in FILES:
            runpy.run_path(str(file))
        yield {*available()} - before


def test_every_plug_in_is_listed_and_compared_with_a_framework(plug_ins):
    assert {*NAMES} == plug_ins
    assert {case["plugin"] for case in CASES} == {*NAMES} - {"sam"}
    assert len(CASES) >= 35 and {"torch", "jax", "optax"} <= {*ABOUT["versions"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_short_and_needs_only_numpy_and_the_optimizers(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    tree = ast.parse(text)
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    assert modules <= {"numpy", "minigrad.optimizers"}
    assert f"--plugin examples/optimizers/{file.name}" in ast.get_docstring(tree)


@each_name
def test_a_plug_in_passes_the_conformance_tests(name):
    assert conformance(name) == {}


# ---- The steps of the frameworks ----


def title(case):
    return f"{case['plugin']}({', '.join(f'{k}={v}' for k, v in case['ours'].items())})"


def split(flat):
    """Return views of the flat array: one for each parameter, by name."""
    parts = np.split(flat, ENDS[:-1])
    return {name: part.reshape(shape) for part, (name, shape) in zip(parts, SHAPES.items())}


def our_paths(plugin, ours, lr, moves=(*SHAPES,), dtype=np.float64):
    """Return our weights, and those for evaluation, before the first step and after each."""
    theta, lrs = GOLDEN["theta"].astype(dtype), GOLDEN[f"lr_{lr}"]
    params = {name: Parameter(w) for name, w in split(theta).items()}
    optimizer = get(plugin, [*params.items()], lr=lambda t: lrs[min(t, len(lrs) - 1)], **ours)
    training, evaluation = [theta.copy()], [theta.copy()]
    for g in GOLDEN["gradients"].astype(dtype):
        for name, part in split(g).items():
            params[name].grad = part if name in moves else None
        optimizer.step()
        training.append(theta.copy())
        with optimizer.evaluating():
            evaluation.append(theta.copy())
    return np.stack(training), np.stack(evaluation)


def deviation(ours, theirs):
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


@pytest.mark.parametrize("i", range(len(CASES)), ids=map(title, CASES))
def test_our_steps_match_the_framework(i):
    """PyTorch's Muon ran in float64 instead of bfloat16: see golden/zoo.py."""
    case, theirs = CASES[i], GOLDEN["training"][i]
    moves = [n for n, part in split(theirs[-1] != theirs[0]).items() if np.any(part)]
    training, evaluation = our_paths(case["plugin"], case["ours"], case["lr"], moves)
    assert deviation(training[KEPT], theirs) < 1e-12
    j = case["evaluation"]
    expected = theirs if j is None else GOLDEN["evaluation"][j]
    assert deviation(evaluation[KEPT], expected) < 1e-12


def test_pytorchs_bfloat16_is_the_only_difference_to_its_muon():
    """bfloat16 rounds to 2⁻⁹ ≈ 0.002. Five iterations with factors up to 3.4 enlarge the error."""
    theirs = np.diff(GOLDEN["muon_bfloat16"], axis=0)
    path, _ = our_paths(
        "muon", dict(match_rms=False, weight_decay=0.0), "changing", ["wide", "tall"]
    )
    for a, b in zip(np.diff(path, axis=0)[1:5], theirs):
        for name in ("wide", "tall"):
            error = np.linalg.norm(split(a)[name] - split(b)[name]) / np.linalg.norm(split(b)[name])
            assert 0.001 < error < 0.05


@pytest.mark.parametrize("i", range(len(ABOUT["sam_cases"])))
def test_sam_matches_optax_on_a_loss(i):
    X, Y = GOLDEN["sam_X"], GOLDEN["sam_Y"]
    A, b = (Tensor(GOLDEN[f"sam_{name}"], requires_grad=True) for name in "Ab")
    optimizer = get("sam", [A, b], **ABOUT["sam_cases"][i])

    def closure():
        loss = np.mean((np.tanh(X @ A + b) - Y) ** 2)
        loss.backward()
        return loss

    for theirs in GOLDEN["sam"][i]:
        before = closure().item()
        optimizer.zero_grad()
        assert optimizer.step(closure).item() == before  # the loss at w, not at w + e
        optimizer.zero_grad()
        assert deviation(np.concatenate([A.data.ravel(), b.data]), theirs) < 1e-12


@pytest.mark.parametrize("i", range(len(CASES)), ids=map(title, CASES))
def test_our_float32_steps_stay_near_the_framework_in_float64(i):
    case, theirs = CASES[i], GOLDEN["training"][i]
    moves = [n for n, part in split(theirs[-1] != theirs[0]).items() if np.any(part)]
    eps = {"eps1": float(np.finfo(float).eps)} if case["plugin"] == "adafactor" else {}
    ours, evaluation = our_paths(
        case["plugin"], eps | case["ours"], case["lr"], moves, dtype=np.float32
    )
    assert ours.dtype == evaluation.dtype == np.float32
    size = np.max(np.abs(theirs), axis=0)
    assert np.max(np.abs(ours[KEPT] - theirs) / size) < 1e-5


# The defaults of PyTorch 2.13 (Adamax … Muon) and of optax 0.2.8.
DEFAULTS = {
    "adamax": dict(lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0),
    "radam": dict(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0),
    "rprop": dict(lr=0.01, eta_minus=0.5, eta_plus=1.2),
    "adafactor": dict(lr=0.01, beta2_decay=-0.8, eps1=None, eps2=1e-3, d=1.0, weight_decay=0.0),
    "muon": dict(lr=0.001, weight_decay=0.1, momentum=0.95, nesterov=True, eps=1e-7, ns_steps=5),
    "adabelief": dict(beta1=0.9, beta2=0.999, eps=1e-16, eps_root=1e-16),
    "lamb": dict(beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0),
    "schedule_free_sgd": dict(lr=1.0, momentum=0.9, weight_decay=0.0),
    "schedule_free_adamw": dict(lr=0.0025, momentum=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_the_frameworks(name):
    defaults = get(name).defaults
    assert {key: defaults[key] for key in DEFAULTS[name]} == DEFAULTS[name]


# ---- What only some plug-ins do ----


def test_lamb_moves_weights_of_zero_by_the_rule_without_the_trust_ratio():
    g = np.array([0.5, -2.0])
    zero, still = Parameter(np.zeros(2), g), Parameter(np.ones(2), np.zeros(2))
    get("lamb", [zero, still], lr=0.1).step()
    np.testing.assert_allclose(zero.data, -0.1 * g / (np.abs(g) + 1e-6), rtol=1e-12)
    np.testing.assert_array_equal(still.data, 1)


@pytest.mark.parametrize("shape", [(2, 1, 3), (3, 2, 4), (4, 3, 2, 1)])
def test_muon_takes_all_axes_but_the_last_as_rows(shape):
    rng = np.random.default_rng(3)
    array = rng.standard_normal(shape)
    whole, rows = Parameter(array.copy()), Parameter(array.copy().reshape(-1, shape[-1]))
    optimizer = get("muon", [whole, rows])
    for _ in range(3):
        whole.grad = rng.standard_normal(shape)
        rows.grad = whole.grad.reshape(rows.data.shape)
        optimizer.step()
    np.testing.assert_array_equal(whole.data.reshape(rows.data.shape), rows.data)
    assert not np.any(whole.data == array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_adafactor_divides_by_the_dtypes_epsilon_at_least(dtype, shape):
    """PyTorch does the same with eps1=None. For g = ε / 8, √V̂ is less than ε, so U = g / ε."""
    eps = np.finfo(dtype).eps
    w = Parameter(np.ones(shape, dtype), np.full(shape, eps / 8, dtype))
    get("adafactor", [w], lr=0.5).step()
    np.testing.assert_allclose(w.data, 1 - 0.5 / 8, rtol=4 * eps)


def test_adafactor_moves_weights_of_zero():
    w = Parameter(np.zeros((2, 3)), np.ones((2, 3)))
    get("adafactor", [w], lr=0.5).step()
    np.testing.assert_allclose(w.data, -0.5 * 1e-3, rtol=1e-12)


def test_sam_says_how_to_call_it():
    optimizer = get("sam", [Parameter(np.ones(2), np.ones(2))])
    with pytest.raises(TypeError, match=r"step\(closure\).*backward\(\)"):
        optimizer.step()


def test_sam_restores_every_bit_when_the_closure_fails():
    w = Tensor(np.random.default_rng(0).standard_normal(50), requires_grad=True)
    optimizer, before, calls = get("sam", [w], inner="sgd", rho=1e6), w.data.copy(), []

    def closure():
        calls.append(w.data.copy())
        loss = np.sum(w**2)
        loss.backward()
        if len(calls) == 2:
            raise KeyboardInterrupt
        return loss

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert np.linalg.norm(calls[1] - before) == pytest.approx(1e6)
    np.testing.assert_array_equal(w.data, before)
    assert optimizer.steps == 0


def test_sam_with_a_gradient_of_nan_changes_no_weight():
    w = Parameter(np.array([1.0, -2.0]))
    optimizer = get("sam", [w], inner="sgd", lr=0.1)

    def closure():
        w.grad = np.array([np.nan, 1.0])

    with pytest.raises(FloatingPointError, match="nothing was updated"):
        optimizer.step(closure)
    np.testing.assert_array_equal(w.data, [1.0, -2.0])


def test_sam_stands_still_where_the_gradient_is_zero():
    w = Tensor(np.zeros(3), requires_grad=True)
    optimizer = get("sam", [w], inner="sgd", lr=0.1)

    def closure():
        loss = np.sum(w**2)
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_array_equal(w.data, 0)


def test_sam_refuses_an_optimizer_that_needs_a_closure_of_its_own():
    class TwoGradients(Optimizer):
        needs_closure = True

        def direction(self, g, slots):
            return g

    w = Parameter(np.ones(2))
    for inner in (TwoGradients([w]), EMA(TwoGradients([w]))):
        with pytest.raises(TypeError, match=r"SAM cannot hold .*TwoGradients.* closure of its own"):
            get("sam", inner=inner).step(lambda: None)


def sam_path(sign, maximize):
    """Return the weights after steps on sign·Σ wᵢ⁴, uphill or downhill."""
    w = Tensor(np.array([1.0, -0.5, 0.2]), requires_grad=True)
    optimizer = get("sam", [w], inner="sgd", lr=0.01, rho=0.3, maximize=maximize)

    def closure():
        optimizer.zero_grad()
        loss = sign * np.sum(w**4)
        loss.backward()
        return loss

    path = []
    for _ in range(5):
        optimizer.step(closure)
        path.append(w.data.copy())
    return np.stack(path)


def test_sam_maximizes_f_as_it_minimizes_its_mirror_image():
    np.testing.assert_array_equal(sam_path(-1, maximize=True), sam_path(1, maximize=False))
    assert not np.array_equal(sam_path(1, maximize=True), sam_path(1, maximize=False))


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (np.float16, 6e-8), (np.float16, 6e4), (np.float32, 1e-40), (np.float32, 1e-25),
        (np.float32, 3e38), (np.float64, 1e-300), (np.float64, 1e300),
    ],
)  # fmt: skip
def test_sam_goes_the_same_way_for_tiny_and_for_huge_gradients(dtype, size):
    w, seen = Parameter(np.array([3, 1], dtype)), []
    optimizer = get("sam", [w], inner="sgd", lr=0.1, rho=0.5)

    def closure():
        seen.append(w.data.copy())
        w.grad = np.array([-size, size], dtype) if len(seen) == 1 else np.zeros(2, dtype)

    optimizer.step(closure)
    expected = np.array([3, 1]) + 0.5 * np.array([-1, 1]) / 2**0.5
    np.testing.assert_allclose(seen[1], expected, rtol=2 * np.finfo(dtype).eps)
    assert seen[1].dtype == dtype and np.array_equal(w.data, [3, 1])


def test_lookahead_goes_half_of_the_way_back():
    w = Parameter(np.array([10.0]))
    optimizer = get("lookahead", [w], inner="sgd", lr=1.0, k=3)
    path = []
    for _ in range(6):
        w.grad = np.array([1.0])
        optimizer.step()
        path.append(w.data[0])
    assert path == [9.0, 8.0, 8.5, 7.5, 6.5, 7.0]


def test_newton_schulz_makes_the_step_of_muon_nearly_orthogonal():
    rng = np.random.default_rng(0)
    w = Parameter(np.zeros((5, 8)), rng.standard_normal((5, 8)))
    get("muon", [w], lr=1.0, match_rms=False).step()
    values = np.linalg.svd(w.data / (8 / 5) ** 0.5, compute_uv=False)
    assert 0.6 < values.min() and values.max() < 1.3


def test_adafactor_keeps_one_number_for_each_row_and_column():
    w = Parameter(np.ones((30, 50), np.float32), np.ones((30, 50), np.float32))
    optimizer = get("adafactor", [("w", w)])
    optimizer.step()
    assert sum(slot.size for slot in optimizer.slots["w"].values()) == 80
    assert {slot.dtype for slot in optimizer.slots["w"].values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["schedule_free_sgd", "schedule_free_adamw"])
def test_schedule_free_survives_steps_with_lr_0(name):
    w = Parameter(np.array([1.0, -2.0]))
    optimizer = get(name, [w], lr=lambda t: 0.0 if t in (0, 1, 4) else 0.1)
    path = []
    for _ in range(6):
        w.grad = w.data.copy()
        path.append(w.data.copy())
        optimizer.step()
    np.testing.assert_array_equal(path[0], path[2])
    np.testing.assert_array_equal(path[4], path[5])
    assert np.all(np.isfinite(w.data)) and not np.array_equal(path[2], path[3])


# ---- State and compiled steps ----


def train(optimizer, steps):
    """Take steps downhill on ½·Σ w²."""

    def closure():
        for p in optimizer.parameters.values():
            p.grad = p.data.copy()
        return sum(float(np.sum(p.data**2)) / 2 for p in optimizer.parameters.values())

    for _ in range(steps):
        closure()
        optimizer.step(closure)
    return np.concatenate([p.data.ravel() for p in optimizer.parameters.values()])


def start():
    return [Parameter(part.copy()) for part in split(GOLDEN["theta"]).values()]


@each_name
def test_a_resumed_run_has_the_same_bits(name):
    whole = train(get(name, start(), lr=0.01), 8)
    first = get(name, start(), lr=0.01)
    train(first, 5)
    params = [Parameter(p.data.copy()) for p in first.parameters.values()]
    second = get(name, params)
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(train(second, 3), whole)


@pytest.mark.skipif(not find_spec("numba"), reason="numba is not installed")
@each_name
def test_compile_gives_the_same_bits_or_refuses_by_name(name):
    plain, compiled = get(name, start(), lr=0.01), get(name, start(), lr=0.01)
    if name in NOT_COMPILED:
        with pytest.raises(TypeError, match=rf"{type(plain).__name__} cannot be.*{name}\.py, line"):
            compiled.compile()
    else:
        compiled.compile()
        np.testing.assert_array_equal(train(compiled, 4), train(plain, 4))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_rules_say_so(name):
    assert type(get(name)).elementwise
