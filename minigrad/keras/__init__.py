"""The Keras face: Keras 3's names with Keras 3's meanings, over minigrad's own models.

Replace `tensorflow.keras`, `tf.keras` or `keras` by `minigrad.keras` in the imports of a program
for a small network, and run it:

    from minigrad import keras
    model = keras.Sequential([keras.layers.Dense(10, activation="softmax", input_shape=(784,))])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

The words, defaults and formulas here are Keras's. In minigrad itself they are:

| Keras | minigrad |
|---|---|
| `Adam(learning_rate=…, beta_1=…)` | `Adam.as_in("keras", lr=…, beta1=…)` |
| `SGD(clipnorm=…, weight_decay=…)` | `clip_norm=`, and `decoupled_weight_decay=True` |
| `keras.utils.set_random_seed(0)` | `Sequential(layers, seed=0)` |
| `y_true, y_pred` | our functions take (prediction, target) |
| `categorical_crossentropy` refuses integer labels | it takes integers and one-hot rows |
| `layers.Layer` with `call`, `add_weight` | `Layer` with `forward`; tensors as attributes |
| `model.get_weights()` | `model.state_dict()`, by name |
| `LeakyReLU`, `PReLU`, … | a function: `Dense(8, leaky_relu)` |
| `tf.GradientTape` | `loss.backward()` |
| `model.save("m.keras")` | `model.save("m.npz")`: no pickle |

Many names of Keras that are missing here can be imported; their use raises an ImportError that
says what there is instead. These differ from Keras: files are .npz; `model.metrics` is a dict by
name; `metrics_names` has the names of the metrics, as in Keras 2. A loss after a final softmax or
sigmoid uses its logits, as Keras does on TensorFlow.
"""

import sys

from . import (
    activations,
    backend,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    schedules,
    utils,
)
from .backend import getattr_for
from .layers import Input
from .models import Model, Sequential

__version__ = "3.0"  # the version of Keras whose names these are

ops = config = random = backend  # modules of Keras; here, backend has the names of all three
saving = models
# Older programs import from modules inside these; Python finds them here.
INSIDE = {
    "ops": backend, "config": backend, "random": backend, "saving": models,
    "layers.core": layers, "layers.normalization": layers, "layers.advanced_activations": layers,
    "engine.training": models, "utils.np_utils": utils,
    "optimizers.schedules": schedules, "optimizers.legacy": optimizers,
    "datasets.mnist": datasets.mnist, "datasets.fashion_mnist": datasets.fashion_mnist,
}  # fmt: skip
sys.modules.update({f"{__name__}.{name}": module for name, module in INSIDE.items()})

__all__ = [
    "Input", "Model", "Sequential", "activations", "backend", "callbacks", "constraints",
    "datasets", "initializers", "layers", "losses", "metrics", "models", "optimizers",
    "regularizers", "schedules", "utils",
]  # fmt: skip

__getattr__ = getattr_for("keras", __all__)
