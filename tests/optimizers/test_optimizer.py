"""The base class: links, parameters, groups, checks, and what a step must leave unchanged."""

import copy

import numpy as np
import pytest

from minigrad.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Constant,
    CosineDecay,
    Parameter,
    RMSprop,
    StepDecay,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
)


def parameter(*values, grad=1.0, dtype=float):
    w = np.array(values, dtype)
    return Parameter(w, np.full_like(w, grad))


def after(steps, optimizer, grads=None):
    """Return the weights after some steps, on constant gradients or on grads[t]."""
    for t in range(steps):
        for p in optimizer.parameters.values():
            if grads is not None:
                p.grad = np.full_like(p.data, grads[t])
        optimizer.step()
    return [p.data.tolist() for p in optimizer.parameters.values()]


# ---- The links, by hand ----


def test_gradient_descent_and_maximize():
    assert after(1, SGD([parameter(1.0)], lr=0.5)) == [[0.5]]
    assert after(1, SGD([parameter(1.0)], lr=0.5, maximize=True)) == [[1.5]]


def test_momentum_outside_and_inside_differ_when_lr_changes():
    lr = StepDecay(1.0, factor=0.5, every=1)  # 1, then 1/2
    # b: 1, 1.5                                steps: 1·1, 0.5·1.5
    assert after(2, SGD([parameter(4.0)], lr=lr, momentum=0.5)) == [[4 - 1 - 0.75]]
    # b: 1·1, 0.5·1 + 0.5·1
    assert after(2, SGD([parameter(4.0)], lr=lr, momentum=0.5, lr_in_momentum=True)) == [[2.0]]


def test_nesterov_steps_by_u_plus_momentum_times_the_buffer():
    # u + μ·b: 1 + 0.5·1, then 1 + 0.5·1.5
    optimizer = SGD([parameter(4.0)], lr=1.0, momentum=0.5, nesterov=True)
    assert after(2, optimizer) == [[4 - 1.5 - 1.75]]


def test_dampening_does_not_affect_the_first_step():
    # b: 1, then 0.5·1 + 0.75·1
    optimizer = SGD([parameter(4.0)], lr=1.0, momentum=0.5, dampening=0.25)
    assert after(2, optimizer) == [[4 - 1 - 1.25]]


def test_l2_decay_is_scaled_like_the_gradient_and_decoupled_decay_is_not():
    g_zero = dict(lr=0.5, weight_decay=0.5)
    l2 = AdaGrad([parameter(4.0, grad=0.0)], eps=0.0, **g_zero)
    decoupled = AdaGrad([parameter(4.0, grad=0.0)], decoupled_weight_decay=True, **g_zero)
    assert after(1, l2) == [[4 - 0.5]]  # the sign of 0.5·4
    assert after(1, decoupled) == [[4 * (1 - 0.25)]]


def test_clipping_by_value_norm_and_global_norm():
    def pair():
        return [parameter(0.0, 0.0, grad=3.0), parameter(0.0, grad=4.0)]

    assert after(1, SGD(pair(), lr=1.0, clip_value=3.5)) == [[-3.0, -3.0], [-3.5]]
    assert after(1, SGD(pair(), lr=1.0, clip_norm=2.0))[1] == [-2.0]
    clipped = after(1, SGD(pair(), lr=1.0, clip_global_norm=1.0))
    assert np.sqrt(sum(np.square(w).sum() for w in clipped)) == pytest.approx(1.0)
    assert after(1, SGD(pair(), lr=1.0, clip_global_norm=100.0)) == [[-3.0, -3.0], [-4.0]]


def test_centered_rmsprop_never_takes_the_root_of_a_negative_number():
    optimizer = RMSprop([parameter(1.0, grad=0.1, dtype=np.float32)], centered=True, rho=0.9)
    for _ in range(3000):  # v − m² is then a rounding error
        optimizer.step()
    assert np.isfinite(optimizer.parameters["0"].data).all()


def test_float32_stays_float32_whatever_the_hyperparameters_are():
    optimizer = Adam([parameter(1.0, dtype=np.float32)], lr=np.float64(0.1), beta1=np.float64(0.9))
    assert type(optimizer.lr) is float
    optimizer.step()
    dtypes = {a.dtype for a in optimizer.slots["0"].values()}
    assert dtypes == {np.dtype(np.float32)}
    assert optimizer.parameters["0"].data.dtype == np.float32


def test_arrays_that_are_not_contiguous_are_written_in_place():
    base = np.zeros((4, 6))
    SGD([Parameter(base[:, ::2], np.ones((4, 3)))], lr=1.0).step()
    assert base.sum() == -12


# ---- Parameters and groups ----


def test_names_are_given_or_positions():
    a, b, c = parameter(1.0), parameter(1.0), parameter(1.0)
    assert list(SGD([("kernel", a), b, c]).parameters) == ["kernel", "1", "2"]
    assert list(SGD([{"params": [a]}, {"params": [("x", b), c]}]).parameters) == ["0", "x", "2"]
    assert list(SGD(iter([a, b])).parameters) == ["0", "1"]


def test_a_group_overrides_and_reads_the_rest():
    groups = [{"params": [parameter(1.0)], "lr": 0.1}, {"params": [parameter(1.0)]}]
    optimizer = SGD(groups, lr=0.5)
    assert after(1, optimizer) == [[0.9], [0.5]]
    optimizer.lr = 0.25
    optimizer.groups[0]["weight_decay"] = 1.0
    assert (optimizer.groups[0]["lr"], optimizer.groups[1]["lr"]) == (0.1, 0.25)
    assert after(1, optimizer) == [[pytest.approx(0.9 - 0.1 * 1.9)], [0.25]]


def test_momentum_can_start_later_and_in_one_group_only():
    optimizer = SGD([{"params": [parameter(4.0)]}, {"params": [parameter(4.0)]}], lr=1.0)
    optimizer.groups[1]["momentum"] = 0.5
    assert after(2, optimizer) == [[2.0], [4 - 1 - 1.5]]


def test_bind_works_later_and_only_once():
    params = [parameter(1.0)]
    optimizer = SGD(lr=0.5)
    assert optimizer.bind(params) is optimizer
    optimizer.step()
    assert optimizer.bind(params).steps == 1
    with pytest.raises(RuntimeError, match="already has parameters"):
        optimizer.bind([parameter(1.0)])


def test_a_copy_is_independent():
    optimizer = RMSprop([parameter(1.0)], lr=0.1, momentum=0.5)
    optimizer.step()
    twin = copy.deepcopy(optimizer)
    twin.lr = 0.7
    twin.step()
    assert twin.groups[0]["lr"] == 0.7
    assert (optimizer.lr, optimizer.steps) == (0.1, 1)
    assert optimizer.parameters["0"].data[0] > twin.parameters["0"].data[0]


def test_deleting_an_override_returns_to_the_optimizers_value():
    optimizer = RMSprop([{"params": [parameter(1.0)], "centered": False}], centered=True)
    del optimizer.groups[0]["centered"]
    optimizer.step()
    assert set(optimizer.slots["0"]) == {"mean_square", "mean"}
    with pytest.raises(KeyError, match="does not override 'centered'"):
        del optimizer.groups[0]["centered"]


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda group: group.update(weight_decay=0.1, lr=-1), "lr must be"),
        (lambda group: group.__ior__({"lr": -1}), "lr must be"),
        (lambda group: group.pop("momentum"), "nesterov needs a momentum"),
    ],
)
def test_a_refused_change_leaves_the_group_as_it_was(change, text):
    optimizer = SGD([{"params": [parameter(1.0)], "momentum": 0.5, "nesterov": True}])
    group = optimizer.groups[0]
    with pytest.raises(ValueError, match=text):
        change(group)
    assert group.data == {"momentum": 0.5, "nesterov": True}


def test_a_group_reads_the_optimizers_value_of_what_it_does_not_override():
    optimizer = SGD([{"params": [parameter(1.0)], "momentum": 0.5}], lr=0.25)
    group = optimizer.groups[0]
    assert group.setdefault("lr", -1) == 0.25 and group.data == {"momentum": 0.5}
    group.update(momentum=0.0)
    assert (group["momentum"], optimizer.momentum) == (0.0, 0.0)
    with pytest.raises(KeyError, match=r"has no hyperparameter 'learning_rate'; here .* lr"):
        group["learning_rate"]


def test_binding_again_with_other_overrides_is_refused():
    params = [parameter(1.0)]
    with pytest.raises(RuntimeError, match="already has parameters"):
        SGD(params).bind([{"params": params, "lr": 0.7}])


# ---- Hyperparameters ----


def test_lr_is_read_and_assigned_at_any_time():
    optimizer = SGD([parameter(1.0)], lr=lambda t: 0.5 / (t + 1))
    assert optimizer.lr == 0.5
    optimizer.step()
    assert optimizer.lr == 0.25
    optimizer.lr *= 0.5
    assert optimizer.lr == 0.125


def test_any_number_may_be_a_schedule():
    optimizer = SGD([parameter(4.0)], lr=1.0, momentum=lambda t: 0.5 if t < 1 else 0.0)
    assert after(3, optimizer) == [[1.0]]
    optimizer = RMSprop([{"params": [parameter(1.0)], "rho": CosineDecay(0.9, 3)}])
    after(4, optimizer)  # in the fourth step ρ is 0, so v = g² = 1
    assert optimizer.slots["0"]["mean_square"] == 1


LEGAL = dict(lr=0.1, momentum=0.5)
WRONG = [
    (SGD, dict(learning_rate=0.1), TypeError, "no hyperparameter 'learning_rate'; here .* lr"),
    (RMSprop, dict(alpha=0.9), TypeError, "here it is called rho"),
    (RMSprop, dict(epsilon=0.9), TypeError, "here it is called eps"),
    (Adam, dict(betas=(0.9, 0.99)), TypeError, "here it is called beta1 and beta2"),
    (SGD, dict(momentun=0.9), TypeError, "did you mean 'momentum'"),
    (SGD, dict(rho=0.9), TypeError, "no hyperparameter 'rho'"),
    (SGD, dict(lr=-0.1), ValueError, r"SGD: lr must be a finite number in \[0.0, inf\).*-0.1"),
    (SGD, dict(lr=float("nan")), ValueError, "lr must be .* received nan"),
    (SGD, dict(lr=float("inf")), ValueError, "lr must be .* received inf"),
    (SGD, dict(lr="0.1"), ValueError, "lr must be .* received '0.1'"),
    (SGD, dict(lr=True), ValueError, "lr must be"),
    (SGD, dict(lr=lambda t: -1.0), ValueError, "lr at step 0 must be"),
    (SGD, dict(momentum=1.0), ValueError, r"momentum must be a finite number in \[0.0, 1.0\)"),
    (SGD, dict(momentum=0.5, dampening=1.1), ValueError, r"dampening must be .* \[0.0, 1.0\]"),
    (RMSprop, dict(rho=1.0), ValueError, "rho must be"),
    (RMSprop, dict(eps=-1e-9), ValueError, "eps must be"),
    (Adam, dict(beta2=-0.1), ValueError, "beta2 must be"),
    (AdaGrad, dict(initial_accumulator=-1), ValueError, "initial_accumulator must be"),
    (SGD, dict(clip_norm=0), ValueError, "clip_norm must be a finite number above 0, or None"),
    (SGD, dict(nesterov=1), ValueError, "nesterov must be True or False"),
    (SGD, dict(nesterov=True), ValueError, "switches: nesterov needs a momentum"),
    (SGD, dict(nesterov=True, momentum=0.5, dampening=0.1), ValueError, "needs dampening=0"),
    (SGD, dict(dampening=0.5), ValueError, "dampening needs a momentum"),
    (SGD, dict(clip_norm=1, clip_value=1), ValueError, "choose one of clip_value and clip_norm"),
    (Adam, dict(eps_hat=True, eps_in_sqrt=True), ValueError, "eps_hat"),
    (Adam, dict(eps_root=1.0, eps_in_sqrt=True), ValueError, "eps_in_sqrt or eps_root"),
    (Adam, dict(amsgrad_corrected=True, eps_hat=True), ValueError, "amsgrad_corrected"),
    (RMSprop, dict(bias_correction=True, initial_accumulator=1), ValueError, "accumulator=0"),
]


@pytest.mark.parametrize("optimizer_class, wrong, error, text", WRONG)
def test_wrong_hyperparameters_are_refused_everywhere(optimizer_class, wrong, error, text):
    with pytest.raises(error, match=text):
        optimizer_class(**wrong)
    with pytest.raises(error, match=text):
        optimizer_class([{"params": [parameter(1.0)], **wrong}])
    optimizer = optimizer_class([parameter(1.0)])
    if len(wrong) == 1:
        (name, value), before = *wrong.items(), repr(optimizer)
        with pytest.raises((AttributeError, ValueError), match=text):
            setattr(optimizer, name, value)
        with pytest.raises(error, match=text):
            optimizer.groups[0][name] = value
        assert repr(optimizer) == before
        assert not optimizer.groups[0].data


def test_only_params_is_positional():
    with pytest.raises(TypeError, match=r"only params is positional; write lr=0.1"):
        SGD([parameter(1.0)], 0.1)


def test_an_invalid_choice_is_refused():
    with pytest.raises(ValueError, match="on_nonfinite must be one of raise, skip, ignore"):
        SGD(on_nonfinite="warn")


def test_global_hyperparameters_are_refused_in_a_group():
    with pytest.raises(TypeError, match="a group of SGD has no hyperparameter 'clip_global_norm'"):
        SGD([{"params": [parameter(1.0)], "clip_global_norm": 1.0}])


A = parameter(1.0)
BAD_PARAMS = [
    ([], ValueError, "received no parameters; call the network first, or give"),
    (iter([]), ValueError, "a generator works only once"),
    (0.01, TypeError, r"float is not iterable; .* \(or write lr=0.01\)"),
    ([{"params": []}], ValueError, "no parameters"),
    ({A}, TypeError, "a set of parameters has no order"),
    ([{"params": {A}}], TypeError, "a set of parameters has no order"),
    (A, TypeError, "received a single Parameter; pass a list"),
    (np.ones(2), TypeError, "received a single ndarray"),
    (3, TypeError, "int is not iterable"),
    ([np.ones(2)], TypeError, r"plain array without .grad; write Parameter\(array\)"),
    ([1.0], TypeError, "must have .data and .grad, received a float"),
    ([Parameter(np.arange(3))], TypeError, "floating-point array, received int64"),
    ([Parameter([1.0])], TypeError, "floating-point array, received list"),
    ([Parameter(np.broadcast_to(1.0, 3))], ValueError, "read-only"),
    ([A, A], ValueError, "'1' appears twice"),
    ([("a", parameter(1.0)), ("a", parameter(1.0))], ValueError, "'a' appears twice"),
    ([{"params": [A]}, {"params": [A]}], ValueError, "appears twice"),
    ([{"params": [A]}, A], TypeError, "a group must be a dict with 'params'"),
    ([{"lr": 0.1}], TypeError, "a group must be a dict with 'params'"),
]


@pytest.mark.parametrize("params, error, text", BAD_PARAMS)
def test_wrong_parameters_are_refused_and_bind_nothing(params, error, text):
    optimizer = SGD()
    with pytest.raises(error, match=text):
        optimizer.bind(params)
    assert not optimizer.parameters
    assert optimizer.bind([parameter(1.0)]).parameters


# ---- Gradients ----


def test_steps_without_parameters_or_gradients_say_what_to_do():
    with pytest.raises(RuntimeError, match=r"call bind\(model.parameters\(\)\)"):
        SGD().step()
    with pytest.raises(RuntimeError, match=r"call loss.backward\(\) first"):
        SGD([Parameter(np.ones(2))]).step()


@pytest.mark.parametrize("optimizer_class", [SGD, Adam])
@pytest.mark.parametrize("data", [np.ones(3), np.ones((3, 2)), np.ones(2, np.float32), [1.0], None])
def test_data_of_another_dtype_or_shape_changes_nothing(optimizer_class, data):
    first, second = parameter(1.0, 1.0), parameter(2.0, 2.0)
    optimizer = optimizer_class([first, second], momentum=0.5)
    optimizer.step()
    before = snapshot(optimizer)
    kept, second.data = second.data, data
    second.grad = np.ones_like(data) if isinstance(data, np.ndarray) else second.grad
    with pytest.raises(ValueError, match=r": '1' must be .* float64 and shape \(2,\), as when it"):
        optimizer.step()
    second.data = kept
    assert all(map(np.array_equal, before, snapshot(optimizer)))
    assert (optimizer.steps, optimizer.updates) == (1, {"0": 1, "1": 1})


@pytest.mark.parametrize("optimizer_class", [SGD, AdamW])
def test_a_gradient_may_be_the_weights_themselves(optimizer_class):
    hyper = dict(weight_decay=0.5, decoupled_weight_decay=True, lr=0.5)
    w = np.array([1.0, 2.0])  # the slope of w²/2
    optimizer_class([Parameter(w, w)], **hyper).step()
    apart = Parameter(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    optimizer_class([apart], **hyper).step()
    assert np.array_equal(w, apart.data)


def test_zero_grad_sets_gradients_to_none():
    p = parameter(1.0)
    SGD([p]).zero_grad()
    assert p.grad is None


def snapshot(optimizer):
    slots = [a for slots in optimizer.slots.values() for a in slots.values()]
    return [np.copy(a) for a in [p.data for p in optimizer.parameters.values()] + slots]


WRONG_GRADIENTS = [
    (np.ones(3), ValueError, r"gradient of 'b' must be .* shape \(2,\).*received.*\(3,\)"),
    (np.ones(()), ValueError, "gradient of 'b'"),
    (np.ones(2, np.float32), ValueError, "float64 .* received .*float32"),
    ([1.0, 1.0], ValueError, "received list"),
    (np.array([1.0, np.nan]), FloatingPointError, "gradient of 'b' has an inf or NaN"),
    (np.array([1.0, -np.inf]), FloatingPointError, "nothing was updated"),
]


@pytest.mark.parametrize("g, error, text", WRONG_GRADIENTS)
def test_a_wrong_gradient_changes_nothing(g, error, text):
    b = parameter(1.0, 1.0)
    optimizer = Adam([("a", parameter(1.0)), ("b", b)], momentum=0.5)
    optimizer.step()
    before, b.grad = snapshot(optimizer), g
    with pytest.raises(error, match=text):
        optimizer.step()
    assert all(map(np.array_equal, before, snapshot(optimizer)))
    assert (optimizer.steps, optimizer.updates) == (1, {"a": 1, "b": 1})


def test_a_schedule_with_an_invalid_value_changes_nothing():
    def lr(t):
        return [0.1, float("nan")][t]

    optimizer = RMSprop([{"params": [parameter(1.0)]}, {"params": [parameter(2.0)], "lr": lr}])
    optimizer.step()
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=r"lr at step 1 must be .* received nan"):
        optimizer.step()
    assert all(map(np.array_equal, before, snapshot(optimizer)))
    assert optimizer.steps == 1


def test_a_schedule_that_returns_a_schedule_changes_nothing():
    optimizer = SGD([parameter(1.0)], lr=lambda t: 0.1 if t == 0 else Constant(0.1))
    optimizer.step()
    with pytest.raises(ValueError, match="lr at step 1 must be"):
        optimizer.step()
    assert optimizer.updates == {"0": 1}


def test_an_initial_value_may_be_a_schedule():
    optimizer = RMSprop([parameter(1.0)], initial_accumulator=Constant(0.5))
    assert optimizer.slots["0"]["mean_square"] == 0.5


def test_a_nonfinite_gradient_is_skipped_or_ignored_if_chosen():
    optimizer = SGD([parameter(1.0), parameter(1.0, grad=np.inf)], lr=1.0, on_nonfinite="skip")
    assert after(1, optimizer) == [[1.0], [1.0]]
    assert optimizer.steps == 0
    optimizer.on_nonfinite = "ignore"
    assert after(1, optimizer) == [[0.0], [-np.inf]]


def test_float16_norms_do_not_overflow_and_small_state_is_kept():
    many = np.full(70_000, 1.0, np.float16)  # more than the largest float16
    assert clip_by_norm(many, 1.0)[0] == np.float16(70_000**-0.5)
    optimizer = RMSprop([parameter(1.0, grad=5e-3, dtype=np.float16)])
    after(64, optimizer)
    assert 0 < optimizer.slots["0"]["mean_square"].min() < np.finfo(np.float16).tiny


def test_the_clipping_functions_refuse_limits_that_are_not_positive():
    g = np.array([3.0, 4.0], np.float32)
    for clip in (clip_by_value, clip_by_norm, lambda g, limit: clip_by_global_norm([g], limit)):
        for limit in (-1.0, 0.0, float("nan")):
            with pytest.raises(ValueError, match="clipping needs a limit above 0, received"):
                clip(g, limit)
    assert clip_by_norm(g, np.float64(0.5)).dtype == np.float32
    assert clip_by_global_norm(iter([g]), 10.0)[0] == [pytest.approx(g)]
    big = np.array([2**40, 2**40])  # as integers, their squares overflow
    assert clip_by_norm(big, 1.0) == pytest.approx([0.5**0.5] * 2)
    assert clip_by_norm([3, 4], 1.0) == pytest.approx([0.6, 0.8])


def test_large_finite_gradients_are_accepted():
    optimizer = SGD([parameter(1.0, 1.0, grad=1e30, dtype=np.float32)], lr=0.0)
    assert after(1, optimizer) == [[1.0, 1.0]]
    optimizer = SGD([parameter(0.0, grad=1e30, dtype=np.float32)], lr=1.0, clip_norm=1.0)
    assert after(1, optimizer) == [[-1.0]]


def test_as_in_sets_the_defaults_of_a_framework():
    assert RMSprop.as_in("torch", [A]).rho == 0.99
    assert RMSprop.as_in("tf1", initial_accumulator=0.5).initial_accumulator == 0.5
    assert AdamW.as_in("optax").weight_decay == 1e-4
    with pytest.raises(ValueError, match=r"'tf1' has no Adam; .*: torch, keras, optax, d2l"):
        Adam.as_in("tf1")


def test_a_step_with_read_only_weights_changes_nothing():
    first, second = parameter(1.0), parameter(2.0)
    optimizer = Adam([first, second])
    second.data.setflags(write=False)
    with pytest.raises(ValueError, match="'1' is read-only; nothing was updated"):
        optimizer.step()
    assert (first.data, optimizer.steps, optimizer.updates) == (1.0, 0, {"0": 0, "1": 0})


def test_a_computed_tensor_is_refused_as_a_parameter():
    computed = parameter(1.0)
    computed = type("Computed", (), {"data": computed.data, "grad": None, "node": object()})()
    with pytest.raises(ValueError, match="the parameter '0' was computed"):
        SGD([computed])


# ---- What a step leaves behind ----


class Versioned(Parameter):
    """A parameter that counts the writes into its data, as a Tensor does."""

    version = 0


def test_a_step_counts_up_the_version_of_each_parameter_that_it_updates():
    moved, still, plain = Versioned(np.ones(2), np.ones(2)), Versioned(np.ones(2)), parameter(1.0)
    optimizer = Adam([moved, still, plain])
    optimizer.step()
    optimizer.step()
    assert (moved.version, still.version, hasattr(plain, "version")) == (2, 0, False)
    plain.grad[:] = np.nan
    with pytest.raises(FloatingPointError):
        optimizer.step()
    assert moved.version == 2


@pytest.mark.parametrize("value", [1e38, 1e-38])
def test_a_step_is_whole_when_numpy_raises_on_overflow(value):
    first, second = (parameter(1.0, grad=g, dtype=np.float32) for g in (1.0, value))
    optimizer = RMSprop([first, second], lr=1.0)
    with np.errstate(all="raise"):
        optimizer.step()
    assert (optimizer.steps, optimizer.updates) == (1, {"0": 1, "1": 1})
    assert first.data != 1


def test_momentum_0_keeps_the_buffer():
    """PyTorch 2.13: SGD(lr=1) on gradients 1 … 6, with momentum .9 twice, 0 twice, .5 twice."""
    optimizer, found = SGD([parameter(4.0)], lr=1.0), []
    for t, momentum in enumerate([0.9, 0.9, 0.0, 0.0, 0.5, 0.5]):
        optimizer.momentum = momentum
        optimizer.parameters["0"].grad = np.array([t + 1.0])
        optimizer.step()
        found.append(optimizer.parameters["0"].data.item())
    assert found == pytest.approx([3, 0.1, -2.9, -6.9, -13.35, -22.575], rel=1e-12)
