"""Write golden.npz: the weights after steps of the optimizers of PyTorch, Keras and optax.

    python tests/golden/generate.py        in an environment with torch, keras, jax and optax

Every case runs in float64 and float32 on the same given gradients. They do not depend on the
weights, so rounding errors do not grow. What each part of the inputs distinguishes:

    a changing lr                       lr inside or outside the momentum buffer
    gradients near 1e-5                 where ε stands
    a burst that fades                  the two variants of AMSGrad, and the decay rates
    zero gradients, nonzero weights     L2 and decoupled weight decay
    rare gradients                      the effect of a zero gradient on the state
    two parameters, one a matrix        norm and global norm
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import torch

jax.config.update("jax_enable_x64", True)

STEPS = 120
KEPT = [0, 1, 2, 3, 4, 5, 10, 20, 40, 80, 120]


def inputs():
    rng = np.random.default_rng(7)
    t = np.arange(1, STEPS + 1)
    g = rng.standard_normal((STEPS, 8)) + 0.3
    g[:, 1] *= 1e-5
    g[:, 2] *= 1e-3
    g[:, 3] *= np.where(t % 40 < 3, 30.0, 0.05)  # bursts, the first in steps 1 and 2
    g[:, 4] = 0.0
    g[:, 5] *= t % 4 == 2
    g[:, 6] = 5.0 + np.cos(t)
    lrs = 0.004 * (1 + 0.8 * np.sin(1.7 * t)) * 0.99**t
    theta = np.array([3.0, -3.0, 4.0, 5.0, -2.0, 6.0, -4.0, 2.5])
    return theta, g, lrs


# framework: optimizer: [(the framework's options, ours)]
CASES = {
    "torch": {
        "SGD": [
            ({}, {}),
            (dict(momentum=0.9), dict(momentum=0.9)),
            (dict(momentum=0.9, dampening=0.3), dict(momentum=0.9, dampening=0.3)),
            (dict(momentum=0.9, nesterov=True), dict(momentum=0.9, nesterov=True)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(weight_decay=0.1, momentum=0.8), dict(weight_decay=0.1, momentum=0.8)),
            (dict(maximize=True, weight_decay=0.1), dict(maximize=True, weight_decay=0.1)),
        ],
        "AdaGrad": [
            ({}, {}),
            (dict(lr_decay=0.05), dict(lr_decay=0.05)),
            (dict(initial_accumulator_value=0.2), dict(initial_accumulator=0.2)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(eps=1e-4), dict(eps=1e-4)),
            (dict(maximize=True), dict(maximize=True)),
        ],
        "RMSprop": [
            ({}, {}),
            (dict(alpha=0.8, eps=1e-5), dict(rho=0.8, eps=1e-5)),
            (dict(centered=True), dict(centered=True)),
            (dict(momentum=0.7), dict(momentum=0.7)),
            (dict(momentum=0.7, centered=True), dict(momentum=0.7, centered=True)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(weight_decay=0.1, momentum=0.7), dict(weight_decay=0.1, momentum=0.7)),
            (dict(maximize=True), dict(maximize=True)),
        ],
        "Adam": [
            ({}, {}),
            (dict(betas=(0.8, 0.95)), dict(beta1=0.8, beta2=0.95)),
            (dict(eps=1e-4), dict(eps=1e-4)),
            (dict(amsgrad=True), dict(amsgrad=True)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(weight_decay=0.1, amsgrad=True), dict(weight_decay=0.1, amsgrad=True)),
            (
                dict(weight_decay=0.1, decoupled_weight_decay=True),
                dict(weight_decay=0.1, decoupled_weight_decay=True),
            ),
            (dict(maximize=True), dict(maximize=True)),
        ],
        "AdamW": [
            ({}, {}),
            (dict(weight_decay=0.3), dict(weight_decay=0.3)),
            (dict(amsgrad=True), dict(amsgrad=True)),
            (dict(maximize=True), dict(maximize=True)),
        ],
        "Adadelta": [
            ({}, {}),
            (dict(rho=0.8, eps=1e-4), dict(rho=0.8, eps=1e-4)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(maximize=True), dict(maximize=True)),
        ],
        "NAdam": [
            ({}, {}),
            (dict(momentum_decay=0.1), dict(momentum_decay=0.1)),
            (dict(betas=(0.8, 0.95)), dict(beta1=0.8, beta2=0.95)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (
                dict(weight_decay=0.1, decoupled_weight_decay=True),
                dict(weight_decay=0.1, decoupled_weight_decay=True),
            ),
            (dict(maximize=True), dict(maximize=True)),
        ],
    },
    "keras": {
        "SGD": [
            ({}, {}),
            (dict(momentum=0.9), dict(momentum=0.9)),
            (dict(momentum=0.9, nesterov=True), dict(momentum=0.9, nesterov=True)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(weight_decay=0.1, momentum=0.8), dict(weight_decay=0.1, momentum=0.8)),
            (dict(clipvalue=0.5), dict(clip_value=0.5)),
            (dict(clipnorm=0.5), dict(clip_norm=0.5)),
            (dict(global_clipnorm=0.5), dict(clip_global_norm=0.5)),
        ],
        "AdaGrad": [
            ({}, {}),
            (dict(initial_accumulator_value=0.0), dict(initial_accumulator=0.0)),
            (dict(epsilon=1e-3), dict(eps=1e-3)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
        ],
        "RMSprop": [
            ({}, {}),
            (dict(rho=0.8, epsilon=1e-5), dict(rho=0.8, eps=1e-5)),
            (dict(centered=True), dict(centered=True)),
            (dict(momentum=0.7), dict(momentum=0.7)),
            (dict(momentum=0.7, centered=True), dict(momentum=0.7, centered=True)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(clipnorm=0.5), dict(clip_norm=0.5)),
        ],
        "Adam": [
            ({}, {}),
            (dict(beta_1=0.8, beta_2=0.95), dict(beta1=0.8, beta2=0.95)),
            (dict(epsilon=1e-4), dict(eps=1e-4)),
            (dict(amsgrad=True), dict(amsgrad=True)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
            (dict(clipvalue=0.5), dict(clip_value=0.5)),
        ],
        "AdamW": [
            ({}, {}),
            (dict(weight_decay=0.3), dict(weight_decay=0.3)),
            (dict(amsgrad=True), dict(amsgrad=True)),
        ],
        "Adadelta": [
            ({}, {}),
            (dict(rho=0.8, epsilon=1e-4), dict(rho=0.8, eps=1e-4)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
        ],
        "NAdam": [
            ({}, {}),
            (dict(beta_1=0.8, beta_2=0.95), dict(beta1=0.8, beta2=0.95)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
        ],
        "Lion": [
            ({}, {}),
            (dict(beta_1=0.8, beta_2=0.9), dict(beta1=0.8, beta2=0.9)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
        ],
    },
    # "L2", "clip" and "clip_by_global_norm" are transformations that users of optax chain
    "optax": {
        "SGD": [
            ({}, {}),
            (dict(momentum=0.9), dict(momentum=0.9)),
            (dict(momentum=0.9, nesterov=True), dict(momentum=0.9, nesterov=True)),
            (dict(L2=0.1, momentum=0.8), dict(weight_decay=0.1, momentum=0.8)),
            (dict(clip=0.5), dict(clip_value=0.5)),
            (dict(clip_by_global_norm=0.5), dict(clip_global_norm=0.5)),
        ],
        "AdaGrad": [
            ({}, {}),
            (dict(initial_accumulator_value=0.0), dict(initial_accumulator=0.0)),
            (dict(eps=1e-3), dict(eps=1e-3)),
        ],
        "RMSprop": [
            ({}, {}),
            (dict(decay=0.8, eps=1e-5), dict(rho=0.8, eps=1e-5)),
            (dict(eps_in_sqrt=False), dict(eps_in_sqrt=False)),
            (dict(initial_scale=1.0), dict(initial_accumulator=1.0)),
            (dict(bias_correction=True), dict(bias_correction=True)),
            (dict(centered=True), dict(centered=True)),
            (
                dict(centered=True, eps_in_sqrt=False, decay=0.8),
                dict(centered=True, eps_in_sqrt=False, rho=0.8),
            ),
            (dict(momentum=0.7), dict(momentum=0.7)),
            (dict(momentum=0.7, nesterov=True), dict(momentum=0.7, nesterov=True)),
            (dict(momentum=0.7, centered=True), dict(momentum=0.7, centered=True)),
            (dict(L2=0.1), dict(weight_decay=0.1)),
            (dict(clip_by_global_norm=0.5), dict(clip_global_norm=0.5)),
        ],
        "Adam": [
            ({}, {}),
            (dict(b1=0.8, b2=0.95), dict(beta1=0.8, beta2=0.95)),
            (dict(eps=1e-4), dict(eps=1e-4)),
            (dict(eps_root=1e-6), dict(eps_root=1e-6)),
            (dict(amsgrad=True), dict(amsgrad=True)),
            (dict(amsgrad=True, eps_root=1e-6), dict(amsgrad=True, eps_root=1e-6)),
            (
                dict(amsgrad=True, bias_correction_mu=False, bias_correction_nu=False),
                dict(amsgrad=True, bias_correction=False),
            ),
            (dict(L2=0.1), dict(weight_decay=0.1)),
        ],
        "AdamW": [
            ({}, {}),
            (dict(weight_decay=0.3), dict(weight_decay=0.3)),
            (dict(eps_root=1e-6), dict(eps_root=1e-6)),
        ],
        "Adadelta": [
            ({}, {}),
            (dict(rho=0.8, eps=1e-4), dict(rho=0.8, eps=1e-4)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
        ],
        "NAdam": [
            ({}, {}),
            (dict(b1=0.8, b2=0.95), dict(beta1=0.8, beta2=0.95)),
            (dict(nadamw=True), dict(weight_decay=1e-4, decoupled_weight_decay=True)),
        ],
        "Lion": [
            ({}, {}),
            (dict(b1=0.8, b2=0.9), dict(beta1=0.8, beta2=0.9)),
            (dict(weight_decay=0.1), dict(weight_decay=0.1)),
        ],
    },
}


def split(flat):
    return flat[:4], flat[4:].reshape(2, 2)


def join(parts):
    return np.concatenate([np.asarray(part).ravel() for part in parts])


def run_torch(name, options, theta, gradients, lrs):
    torch.set_default_dtype(torch.float64 if theta.dtype == np.float64 else torch.float32)
    params = [torch.tensor(part, requires_grad=True) for part in split(theta)]
    kind = {"AdaGrad": "Adagrad"}.get(name, name)
    optimizer = getattr(torch.optim, kind)(params, lr=1.0, **options)
    for g, lr in zip(gradients, lrs):
        optimizer.param_groups[0]["lr"] = float(lr)
        for p, part in zip(params, split(g)):
            p.grad = torch.tensor(part)
        optimizer.step()
        yield join(p.detach().numpy() for p in params)


def run_keras(name, options, theta, gradients, lrs):
    keras.config.set_floatx(str(theta.dtype))
    params = [keras.Variable(part, dtype=str(theta.dtype)) for part in split(theta)]
    kind = {"AdaGrad": "Adagrad", "NAdam": "Nadam"}.get(name, name)
    optimizer = getattr(keras.optimizers, kind)(learning_rate=1.0, **options)
    for g, lr in zip(gradients, lrs):
        optimizer.learning_rate = float(lr)
        optimizer.apply([jnp.asarray(part) for part in split(g)], params)
        yield join(p.numpy() for p in params)


def run_optax(name, options, theta, gradients, lrs):
    options = dict(options)
    before = [
        link(options.pop(word))
        for word, link in {
            "clip": optax.clip,
            "clip_by_global_norm": optax.clip_by_global_norm,
            "L2": optax.add_decayed_weights,
        }.items()
        if word in options
    ]
    kind = name.lower()
    for word in ("amsgrad", "nadamw"):
        kind = word if options.pop(word, False) else kind
    table = jnp.asarray(lrs, dtype=theta.dtype)
    rule = getattr(optax, kind)(learning_rate=lambda count: table[count], **options)
    transformation = optax.chain(*before, rule)
    params = [jnp.asarray(part) for part in split(theta)]
    state = transformation.init(params)

    @jax.jit
    def step(params, state, g):
        updates, state = transformation.update(g, state, params)
        return optax.apply_updates(params, updates), state

    for g in gradients:
        params, state = step(params, state, [jnp.asarray(part) for part in split(g)])
        yield join(params)


RUN = {"torch": run_torch, "keras": run_keras, "optax": run_optax}


def main():
    theta, gradients, lrs = inputs()
    cases, paths = [], {"float64": [], "float32": []}
    for framework, optimizers in CASES.items():
        for name, configurations in optimizers.items():
            for options, ours in configurations:
                cases.append({"framework": framework, "optimizer": name, "ours": ours})
                for dtype, stored in paths.items():
                    data = theta.astype(dtype), gradients.astype(dtype), lrs
                    path = [data[0], *RUN[framework](name, options, *data)]
                    stored.append(np.stack(path)[KEPT].astype(dtype))
                print(framework, name, options, np.abs(paths["float64"][-1]).min())
    versions = {m.__name__: m.__version__ for m in (torch, keras, jax, optax, np)}
    np.savez_compressed(
        Path(__file__).with_name("golden.npz"),
        about=json.dumps({"versions": versions, "cases": cases, "kept": KEPT}),
        theta=theta, gradients=gradients, lrs=lrs,
        float64=np.stack(paths["float64"]), float32=np.stack(paths["float32"]),
    )


if __name__ == "__main__":
    main()
