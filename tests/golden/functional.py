"""Write functional.json: values and derivatives of PyTorch's functions for networks.

pip install torch==2.13.0 numpy
python tests/golden/functional.py

A case has the name of minigrad's function, its operands and options, and PyTorch's results: the
value, the gradients of Σ w·value with w = cos(0), cos(1), …, and, away from kinks, the gradient of
Σ w·(first gradient), which is a second derivative. Large operands are in float32.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

X = [-4.0, -1.5, -0.75, -0.1, 0.2, 0.9, 2.5, 6.0]
CERTAIN = [0.0, 1.0, 0.0, 1.0]  # here the loss has kinks
LARGE = [-1000.0, -100.0, -20.0, 20.0, 100.0, 1000.0]
Z = [[2.0, -1.0, 0.5], [-0.2, 0.4, 1.1]]
T = [[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]]
P = [[0.1, 0.5, 0.97], [0.3, 0.62, 0.004]]
FAR = [[1000.0, -1000.0, 0.0], [3.0, 1000.0, -1000.0]]
WEIGHT, BIAS = [0.5, -2.0, 1.5], [0.1, 0.2, -0.3]


def kl_div(z, t):
    return F.kl_div(F.log_softmax(z, -1), t, reduction="batchmean")


def bce_with_logits(z, t, pos_weight=1.0):
    return F.binary_cross_entropy_with_logits(z, t, pos_weight=torch.tensor(pos_weight).to(z))


def affine_layer_norm(z, weight, bias, normalized_shape):
    return F.layer_norm(z, normalized_shape, weight, bias)


CASES = [
    *[
        (name, f, [x], options)
        for x in (X, LARGE)
        for name, f, options in [
            ("gelu", F.gelu, {}),
            ("gelu", F.gelu, {"approximate": "tanh"}),
            ("silu", F.silu, {}),
            ("elu", F.elu, {}),
            ("elu", F.elu, {"alpha": 0.3}),
            ("leaky_relu", F.leaky_relu, {}),
            ("leaky_relu", F.leaky_relu, {"negative_slope": 0.2}),
            ("softplus", F.softplus, {}),
        ]
    ],
    *[
        (name, f, [z, *more], options)
        for z in (Z, FAR)
        for name, f, more, options in [
            ("huber_loss", F.huber_loss, [T], {}),
            ("huber_loss", F.huber_loss, [T], {"delta": 0.4}),
            ("binary_cross_entropy_with_logits", bce_with_logits, [T], {}),
            ("binary_cross_entropy_with_logits", bce_with_logits, [T], {"pos_weight": 3.0}),
            ("kl_divergence_with_logits", kl_div, [T], {}),
            ("cross_entropy", F.cross_entropy, [T], {}),
            ("cross_entropy", F.cross_entropy, [[2, 0]], {}),
            ("nll_loss", F.nll_loss, [[2, 0]], {}),
            ("layer_norm", F.layer_norm, [], {"normalized_shape": [3]}),
            ("layer_norm", F.layer_norm, [], {"normalized_shape": [2, 3], "eps": 0.5}),
            ("rms_norm", F.rms_norm, [], {"normalized_shape": [3]}),
            ("rms_norm", F.rms_norm, [], {"normalized_shape": [2, 3], "eps": 0.5}),
        ]
    ],
    ("layer_norm", affine_layer_norm, [Z, WEIGHT, BIAS], {"normalized_shape": [3]}),
    ("binary_cross_entropy", F.binary_cross_entropy, [P, T], {}),
    ("binary_cross_entropy", F.binary_cross_entropy, [CERTAIN, [0.0, 1.0, 1.0, 0.0]], {}),
]  # fmt: skip


def case(name, f, operands, options):
    dtype = torch.float32 if operands[0] in (LARGE, FAR) else torch.float64
    tensors = [torch.tensor(x, dtype=torch.long if x == [2, 0] else dtype) for x in operands]
    leaves = [tensors[0].requires_grad_()]
    if name == "layer_norm":
        leaves += [x.requires_grad_() for x in tensors[1:]]
    value = f(*tensors, **options)
    first = torch.autograd.grad(weighted(value), leaves, create_graph=True)
    second = [None]
    if first[0].requires_grad and operands[0] != CERTAIN:
        second = torch.autograd.grad(weighted(first[0]), leaves[:1], allow_unused=True)
    return {
        "name": name, "operands": operands, "options": options,
        "dtype": str(dtype).removeprefix("torch."), "value": value.tolist(),
        "first": [g.tolist() for g in first],
        "second": None if second[0] is None else second[0].tolist(),
    }  # fmt: skip


def weighted(x):
    return (x * torch.arange(x.numel()).to(x).cos().reshape(x.shape)).sum()


numbers = {"version": torch.__version__, "cases": [case(*c) for c in CASES]}
text = json.dumps(numbers).replace('{"name"', '\n{"name"')
Path(__file__).with_name("functional.json").write_text(text + "\n")
