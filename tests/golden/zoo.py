"""Write zoo.npz: the weights after steps of the optimizers that examples/optimizers/ also has.

    python tests/golden/zoo.py        in an environment with torch, jax and optax

Every case runs in float64 on the same given gradients, as in generate.py. Only SAM has a small loss
instead, because it needs gradients at other weights. Each case stores the training weights, and the
weights for evaluation if they differ. What each part of the inputs distinguishes:

    a changing lr                       where lr enters
    lr = 0 in the first step            a division by lr, or by a sum of lr²
    gradients near 1e-5, and zeros      where ε stands
    a burst that fades                  decay rates, and maxima
    a vector, two matrices, a scalar    rules for matrices, and norms
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)

STEPS = 60
KEPT = [0, 1, 2, 3, 4, 5, 10, 20, 40, 60]
SHAPES = {"vector": (4,), "wide": (3, 4), "tall": (4, 2), "scalar": ()}
ENDS = np.cumsum([int(np.prod(shape)) for shape in SHAPES.values()])
N = ENDS[-1]


def inputs():
    rng = np.random.default_rng(11)
    t = np.arange(1, STEPS + 1)
    g = rng.standard_normal((STEPS, N)) + 0.3
    g[:, 1] *= 1e-5
    g[:, 2] = 0.0
    g[:, 3] *= np.where(t % 20 < 3, 30.0, 0.05)  # bursts, the first in steps 1 and 2
    g[:, 5] *= t % 4 == 2
    g[:, 9] *= 1e-3
    g[:, 17] = 5.0 + np.cos(t)
    theta = 3 + rng.uniform(0, 3, N)
    theta[::2] *= -1
    lrs = {
        "changing": 0.004 * (1 + 0.8 * np.sin(1.7 * t)) * 0.99**t,
        "warmup": 0.01 * np.minimum((t - 1) / 10, 1),
        "constant": np.full(STEPS, 0.01),
        "large": np.full(STEPS, 0.4),
    }
    return theta, g, lrs


def split(flat):
    parts = np.split(np.asarray(flat), ENDS[:-1])
    return {name: part.reshape(shape) for part, (name, shape) in zip(parts, SHAPES.items())}


def join(parts):
    return np.concatenate([np.asarray(parts[name]).ravel() for name in SHAPES])


# ---- The frameworks ----


def in_torch(rule, *, for_muon=False, **options):
    """Return a function that runs the rule.

    for_muon: run it on matrices only, transposed: torch's matrices are (outputs, inputs).
    """
    names = ["wide", "tall"] if for_muon else [*SHAPES]

    def turn(array):
        return array.T.copy() if for_muon else array

    def run(theta, gradients, lrs):
        whole = split(theta)
        params = {name: torch.tensor(turn(whole[name]), requires_grad=True) for name in names}
        optimizer = rule([*params.values()], lr=float(lrs[0]), **options)
        for g, lr in zip(gradients, lrs):
            optimizer.param_groups[0]["lr"] = float(lr)
            for name, p in params.items():
                p.grad = torch.tensor(turn(split(g)[name]))
            optimizer.step()
            yield join(whole | {name: turn(p.detach().numpy()) for name, p in params.items()}), None

    return run


def in_optax(make, evaluate=None, start=lambda params: params, training=lambda params: params):
    """Return a function that runs make(schedule); evaluate(state, params) gives weights, too."""

    def run(theta, gradients, lrs):
        table = jnp.asarray(lrs)
        transformation = make(lambda count: table[count])
        params = start({name: jnp.asarray(part) for name, part in split(theta).items()})
        state = transformation.init(params)
        update = jax.jit(transformation.update)
        for g in gradients:
            updates, state = update(split(g), state, params)
            params = optax.apply_updates(params, updates)
            yield join(training(params)), evaluate and join(evaluate(state, params))

    return run


def in_lookahead(fast, k, alpha):
    return in_optax(
        lambda lr: optax.lookahead(fast(lr), sync_period=k, slow_step_size=alpha),
        evaluate=lambda state, params: params.slow,
        start=optax.LookaheadParams.init_synced,
        training=lambda params: params.fast,
    )


def in_schedule_free(make):
    return in_optax(make, evaluate=contrib.schedule_free_eval_params)


def schedule_free(base, lr, b1=0.9):
    """Weigh x by the lr of the same step; optax's shortcuts take that of the next step."""
    return contrib.schedule_free(base(lr), lambda count: lr(count - 1), b1=b1)


def sgd_with_decay(lr):
    return optax.chain(optax.add_decayed_weights(0.1), optax.sgd(lr))


def adamw_without_momentum(lr):
    """Return the inner optimizer of contrib.schedule_free_adamw."""
    return optax.chain(
        optax.scale_by_rms(decay=0.999, eps=1e-8, eps_in_sqrt=False, bias_correction=True),
        optax.scale_by_learning_rate(lr),
    )


def muon(**options):
    return in_torch(DoubleMuon, for_muon=True, **options)


class DoubleMuon(torch.optim.Muon):
    """PyTorch's Muon in float64. The original uses bfloat16, which has three digits."""

    def step(self):
        original = torch.Tensor.bfloat16
        torch.Tensor.bfloat16 = torch.Tensor.clone
        try:
            super().step()
        finally:
            torch.Tensor.bfloat16 = original


# ---- The cases ----

o, contrib = torch.optim, optax.contrib
L2, DECOUPLED = dict(weight_decay=0.1), dict(weight_decay=0.1, decoupled_weight_decay=True)
BETAS, B = dict(beta1=0.8, beta2=0.95), dict(b1=0.8, b2=0.95)
RMS = dict(adjust_lr_fn="match_rms_adamw")

# plug-in: [(our hyperparameters, the schedule of lr, the framework's run)]
CASES = {
    "adamax": [
        ({}, "changing", in_torch(o.Adamax)),
        (BETAS, "changing", in_torch(o.Adamax, betas=(0.8, 0.95))),
        (dict(eps=1e-4), "changing", in_torch(o.Adamax, eps=1e-4)),
        (L2, "changing", in_torch(o.Adamax, **L2)),
        ({}, "changing", in_optax(optax.adamax)),
    ],
    "radam": [
        ({}, "changing", in_torch(o.RAdam)),
        (BETAS, "changing", in_torch(o.RAdam, betas=(0.8, 0.95))),
        (dict(eps=1e-4), "changing", in_torch(o.RAdam, eps=1e-4)),
        (L2, "changing", in_torch(o.RAdam, **L2)),
        (DECOUPLED, "changing", in_torch(o.RAdam, **DECOUPLED)),
    ],
    "rprop": [
        ({}, "constant", in_torch(o.Rprop)),
        (dict(eta_minus=0.6, eta_plus=1.5), "constant", in_torch(o.Rprop, etas=(0.6, 1.5))),
        (
            dict(min_factor=0.5, max_factor=3.0), "constant",
            in_torch(o.Rprop, step_sizes=(0.005, 0.03)),
        ),
    ],
    "adabelief": [
        ({}, "changing", in_optax(optax.adabelief)),
        (BETAS, "changing", in_optax(lambda lr: optax.adabelief(lr, **B))),
        (
            dict(eps=1e-8, eps_root=0.0), "changing",
            in_optax(lambda lr: optax.adabelief(lr, eps=1e-8, eps_root=0.0)),
        ),
        (
            L2, "changing",
            in_optax(lambda lr: optax.chain(optax.add_decayed_weights(0.1), optax.adabelief(lr))),
        ),
    ],
    "lamb": [
        ({}, "changing", in_optax(optax.lamb)),
        (L2, "changing", in_optax(lambda lr: optax.lamb(lr, **L2))),
        (BETAS | dict(eps=1e-3), "changing", in_optax(lambda lr: optax.lamb(lr, eps=1e-3, **B))),
    ],
    "adafactor": [
        ({}, "changing", in_torch(o.Adafactor)),
        ({}, "large", in_torch(o.Adafactor)),  # lr > 1 / √t
        (
            dict(beta2_decay=-0.5, d=2.0), "changing",
            in_torch(o.Adafactor, beta2_decay=-0.5, d=2.0),
        ),
        (dict(eps1=1.2, eps2=10.0), "changing", in_torch(o.Adafactor, eps=(1.2, 10.0))),
        (L2, "changing", in_torch(o.Adafactor, **L2)),
    ],
    "muon": [
        ({}, "changing", muon(**RMS)),
        (dict(match_rms=False), "changing", muon()),
        (
            dict(momentum=0.8, nesterov=False, ns_steps=3, weight_decay=0.0), "changing",
            muon(momentum=0.8, nesterov=False, ns_steps=3, weight_decay=0.0, **RMS),
        ),
        # nesterov=False: optax corrects the bias of both terms of the Nesterov sum.
        # eps=1e-30: optax adds it to the norm, which PyTorch keeps above it.
        (
            dict(nesterov=False, match_rms=False, eps=1e-30), "changing",
            in_optax(
                lambda lr: contrib.muon(
                    lr, nesterov=False, eps=1e-30, weight_decay=0.1, adam_weight_decay=0.1
                )
            ),
        ),
        (
            dict(nesterov=False, eps=1e-30, weight_decay=0.0) | BETAS, "changing",
            in_optax(
                lambda lr: contrib.muon(
                    lr, nesterov=False, eps=1e-30, adam_b1=0.8, adam_b2=0.95, consistent_rms=0.2
                )
            ),
        ),
    ],
    "schedule_free_sgd": [
        ({}, "warmup", in_schedule_free(lambda lr: schedule_free(optax.sgd, lr))),
        (
            dict(momentum=0.6, weight_decay=0.1), "warmup",
            in_schedule_free(lambda lr: schedule_free(sgd_with_decay, lr, b1=0.6)),
        ),
        (L2, "constant", in_schedule_free(lambda lr: contrib.schedule_free_sgd(0.01, **L2))),
    ],
    "schedule_free_adamw": [
        ({}, "warmup", in_schedule_free(lambda lr: schedule_free(adamw_without_momentum, lr))),
        (
            dict(momentum=0.8, beta2=0.95, eps=1e-4, weight_decay=0.1), "constant",
            in_schedule_free(lambda lr: contrib.schedule_free_adamw(0.01, eps=1e-4, **L2, **B)),
        ),
    ],
    "lookahead": [
        (dict(inner="sgd"), "changing", in_lookahead(optax.sgd, 5, 0.5)),
        (dict(inner="adam", k=3, alpha=0.8), "changing", in_lookahead(optax.adam, 3, 0.8)),
        (
            dict(inner="sgd", momentum=0.9, k=1), "changing",
            in_lookahead(lambda lr: optax.sgd(lr, momentum=0.9), 1, 0.5),
        ),
    ],
}  # fmt: skip


# ---- SAM: the loss is mean((tanh(X·A + b) − Y)²) ----

SAM_STEPS = 12
SAM_CASES = [
    (dict(inner="sgd", lr=0.3), optax.sgd(0.3), 0.05),
    (dict(inner="sgd", lr=0.1, momentum=0.9, rho=0.5), optax.sgd(0.1, momentum=0.9), 0.5),
    (dict(inner="adam", lr=0.02, rho=0.1), optax.adam(0.02), 0.1),
]


def sam_inputs():
    rng = np.random.default_rng(12)
    shapes = {"X": (10, 3), "Y": (10, 2), "A": (3, 2), "b": (2,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def run_sam(inner, rho, data):
    def loss(w):
        return jnp.mean((jnp.tanh(data["X"] @ w["A"] + w["b"]) - data["Y"]) ** 2)

    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(rho))
    transformation = contrib.sam(inner, ascent, opaque_mode=True)
    params = {name: jnp.asarray(data[name]) for name in ("A", "b")}
    state, gradient = transformation.init(params), jax.jit(jax.grad(loss))
    for _ in range(SAM_STEPS):
        updates, state = transformation.update(
            gradient(params), state, params, grad_fn=lambda w, _: gradient(w)
        )
        params = optax.apply_updates(params, updates)
        yield np.concatenate([params["A"].ravel(), params["b"]])


def main():
    theta, gradients, lrs = inputs()
    cases, training, evaluation = [], [], []
    for plugin, configurations in CASES.items():
        for ours, lr, run in configurations:
            steps = [*run(theta, gradients, lrs[lr])]
            both = [weights for weights in zip(*steps) if weights[0] is not None]
            paths = [np.stack([theta, *weights])[KEPT] for weights in both]
            cases.append(dict(plugin=plugin, ours=ours, lr=lr, evaluation=None))
            training.append(paths[0])
            if len(paths) == 2:
                cases[-1]["evaluation"] = len(evaluation)
                evaluation.append(paths[1])
            print(plugin, ours, np.abs(paths).min())
    data = sam_inputs()
    sam = [np.stack([*run_sam(inner, rho, data)]) for _, inner, rho in SAM_CASES]
    plain = in_torch(o.Muon, for_muon=True, weight_decay=0.0)
    bfloat16 = [w for w, _ in plain(theta, gradients[:5], lrs["changing"])]
    about = {
        "versions": {m.__name__: m.__version__ for m in (torch, jax, optax, np)},
        "cases": cases, "kept": KEPT, "shapes": SHAPES,
        "sam_cases": [ours for ours, *_ in SAM_CASES],
    }  # fmt: skip
    np.savez_compressed(
        Path(__file__).with_name("zoo.npz"),
        about=json.dumps(about), theta=theta, gradients=gradients,
        training=np.stack(training), evaluation=np.stack(evaluation),
        muon_bfloat16=np.stack(bfloat16), sam=np.stack(sam),
        **{f"lr_{name}": values for name, values in lrs.items()},
        **{f"sam_{name}": array for name, array in data.items()},
    )  # fmt: skip


if __name__ == "__main__":
    main()
