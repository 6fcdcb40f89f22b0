"""Write keras_programs.npz: the numbers of Keras for small programs and single functions.

    python tests/golden/keras_programs.py tests/golden/keras_programs.npz

Run it in an environment with keras and jax. Keras 3.15 rounds some float64 numbers to float32: on
JAX tanh, floor and the normalization layers, on PyTorch even products, on TensorFlow factors, betas
and learning rates. `keep_float64` prevents this on JAX.

A program takes the module keras, or minigrad.keras, and uses nothing else but NumPy. It returns a
compiled model, x, y and the other arguments of fit. `run` trains the model for 20 steps: 15 in
three epochs of fit with validation, five with train_on_batch. A callback may end fit earlier. The
file also holds the numbers of the single functions in keras_functions.py.
"""

import json
import os
import sys
import warnings

import numpy as np

DTYPES = ("float64", "float32")
SAMPLES, BATCH, EPOCHS, SINGLE_STEPS = 75, 16, 3, 5  # the last of the five batches has 11 samples
PROGRAMS = {}


def program(build):
    PROGRAMS[build.__name__] = build
    return build


def normal(keras, seed, *shape):
    """Return normal numbers in the float type of Keras."""
    return np.random.default_rng(seed).standard_normal(shape).astype(keras.backend.floatx())


def inputs(keras, width=4):
    return normal(keras, 1, SAMPLES, width)


def labels(classes):
    """Return class numbers; class 0 is twice as frequent as the others."""
    return np.random.default_rng(2).integers(0, classes + 1, SAMPLES) % classes


def sample_weights(keras):
    rng = np.random.default_rng(3)
    return rng.uniform(0.1, 2.0, SAMPLES).astype(keras.backend.floatx())


# ---- Optimizers, losses, activations ----


@program
def sgd_mse(keras):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(6, activation="tanh"), layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.1), loss="mse", metrics=["mae"])
    return model, inputs(keras), normal(keras, 4, SAMPLES), {}  # y (N,) for outputs (N, 1)


@program
def momentum_mae_l2(keras):
    layers, l2 = keras.layers, keras.regularizers.l2
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="relu", kernel_regularizer=l2(0.03)),
            layers.Dense(2, kernel_regularizer="l2"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.05, momentum=0.9),
        loss="mean_absolute_error",
        metrics=["mse"],
    )
    return model, inputs(keras), normal(keras, 4, SAMPLES, 2), {}


@program
def nesterov_huber_l1_clipnorm(keras):
    layers, l1 = keras.layers, keras.regularizers.L1
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="elu", kernel_regularizer=l1(0.02)),
            layers.Dense(1, bias_regularizer="l1"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.8, nesterov=True, clipnorm=0.3),
        loss=keras.losses.Huber(delta=0.7),
        metrics=[keras.metrics.RootMeanSquaredError()],
    )
    return model, inputs(keras), 2 * normal(keras, 4, SAMPLES, 1), {}


@program
def rmsprop_binary_class_weight(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="sigmoid"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=0.02),
        loss="binary_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=["mse"],
    )
    return model, inputs(keras), labels(2), {"class_weight": {0: 0.5, 1: 3.0}}


@program
def rmsprop_centered_logits_sample_weight(keras):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(6, activation="gelu"), layers.Dense(1)]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(0.01, rho=0.8, momentum=0.7, centered=True),
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
        weighted_metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
    )
    return model, inputs(keras), labels(2), {"sample_weight": sample_weights(keras)}


@program
def adam_one_hot_class_weight(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="selu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = 0.02
    one_hot = keras.utils.to_categorical(labels(3), 3)
    return model, inputs(keras), one_hot, {"class_weight": {1: 2.5}}  # the others weigh 1


@program
def amsgrad_sparse_logits_exponential_decay(keras):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(6, activation="swish"), layers.Dense(3)]
    )
    schedule = keras.optimizers.schedules.ExponentialDecay(0.03, decay_steps=4, decay_rate=0.7)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, beta_2=0.9, amsgrad=True, global_clipnorm=0.4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model, inputs(keras), labels(3), {}


@program
def adamw_sparse_clipvalue(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="leaky_relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(0.02, weight_decay=0.3, clipvalue=0.05),
        loss="sparse_categorical_crossentropy",
        metrics=["acc", keras.metrics.SparseCategoricalCrossentropy(name="entropy")],
    )
    return model, inputs(keras), labels(3)[:, None], {}


@program
def adagrad_hinge(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="softplus"),
            layers.Dense(1, activation="tanh"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adagrad(0.2), loss="hinge", metrics=["accuracy"])
    return model, inputs(keras), labels(2), {}  # the loss reads 0 and 1 as −1 and 1


@program
def adadelta_label_smoothing(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6),
            layers.Activation("relu"),
            layers.Dense(3),
            layers.Activation("softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adadelta(learning_rate=1.0, rho=0.9, epsilon=1e-3),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.2),
        metrics=["categorical_accuracy"],
    )
    return model, inputs(keras), keras.utils.to_categorical(labels(3)), {}


@program
def nadam_piecewise(keras):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(6, activation="exponential"), layers.Dense(1)]
    )
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3, 9], [0.03, 0.01, 0.002])
    model.compile(
        optimizer=keras.optimizers.Nadam(learning_rate=schedule),
        loss="log_cosh",
        metrics=["mean_squared_error"],
    )
    return model, inputs(keras), normal(keras, 4, SAMPLES), {}


@program
def lion_kl_divergence(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="softsign"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Lion(0.01, weight_decay=0.1),
        loss=keras.losses.KLDivergence(),
        metrics=["mae"],
    )
    scores = np.exp(normal(keras, 4, SAMPLES, 3))
    return model, inputs(keras), scores / scores.sum(axis=1, keepdims=True), {}


@program
def weight_decay_in_sgd(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, activation="hard_sigmoid"),
            layers.Dense(1, activation="linear", use_bias=False),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.5, weight_decay=0.2), loss="mse"
    )  # no metrics: evaluate returns a number
    return model, inputs(keras), normal(keras, 4, SAMPLES), {"sample_weight": sample_weights(keras)}


@program
def ema_of_adam(keras):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(6, activation="mish"), layers.Dense(1)]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.8),
        loss="mse",
        metrics=["mae"],
    )  # the end of fit copies the averages into the model
    return model, inputs(keras), normal(keras, 4, SAMPLES), {}


# ---- Layers ----


@program
def batch_normalization(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(5, use_bias=False),  # the gradient of a bias would be 0 and rounding
            layers.BatchNormalization(momentum=0.8),
            layers.Activation("tanh"),
            layers.Dropout(0.0),
            layers.BatchNormalization(epsilon=0.01, scale=False),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return model, inputs(keras), normal(keras, 4, SAMPLES), {}


@program
def layer_normalization_shapes(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(12,)),
            layers.Normalization(mean=0.3, variance=2.25),
            layers.Reshape((3, 4)),
            layers.Dense(5),
            layers.LayerNormalization(),
            layers.ELU(alpha=0.5),
            layers.Flatten(),
            layers.LayerNormalization(center=False, epsilon=0.1),
            layers.Dense(3),
            layers.Softmax(),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model, inputs(keras, 12), labels(3), {}


@program
def activation_layers(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(5),
            layers.LeakyReLU(),
            layers.Dense(5),
            layers.PReLU(),
            layers.Dense(5),
            layers.ReLU(max_value=0.8, negative_slope=0.1),
            layers.Dense(2),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return model, inputs(keras), normal(keras, 4, SAMPLES, 2), {}


@program
def embedding(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,), dtype="int32"),
            layers.Embedding(7, 3, embeddings_regularizer="l2"),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(0.01), loss="binary_crossentropy", metrics=["accuracy"]
    )
    words = np.random.default_rng(5).integers(0, 7, (SAMPLES, 4)).astype("int32")
    return model, words, labels(2), {}


@program
def recurrent(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(3, 4)),
            layers.SimpleRNN(5, return_sequences=True),
            layers.SimpleRNN(4, activation="softsign"),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return model, normal(keras, 6, SAMPLES, 3, 4), normal(keras, 4, SAMPLES), {}


@program
def functional_model_with_penalties(keras):
    layers, regularizers = keras.layers, keras.regularizers
    x = keras.Input(shape=(4,))
    hidden = layers.Dense(
        6,
        activation="tanh",
        kernel_regularizer=regularizers.l1_l2(l1=0.01, l2=0.02),
        activity_regularizer="l2",
    )(x)
    hidden = layers.Dense(5, activation="relu", activity_regularizer=regularizers.L1(0.05))(hidden)
    model = keras.Model(inputs=x, outputs=layers.Dense(1)(hidden))
    model.compile(
        optimizer=keras.optimizers.SGD(0.05), loss="mean_squared_error", metrics=["mae", "mse"]
    )
    return model, inputs(keras), normal(keras, 4, SAMPLES, 1), {}


@program
def constraints(keras):
    layers, constraints = keras.layers, keras.constraints
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, "tanh", kernel_constraint=constraints.max_norm(0.7)),
            layers.Dense(5, "tanh", kernel_constraint="unit_norm", bias_constraint="non_neg"),
            layers.Dense(
                4, "tanh", kernel_constraint=constraints.MinMaxNorm(0.5, 0.6, rate=0.3, axis=1)
            ),
            layers.Dense(1, kernel_constraint=constraints.NonNeg()),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"])
    return model, inputs(keras), normal(keras, 4, SAMPLES), {}


@program
def frozen_layers(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(6, "relu", kernel_regularizer="l2", activity_regularizer="l1"),
            layers.BatchNormalization(momentum=0.5),
            layers.Dense(5, "tanh", kernel_regularizer="l2", trainable=False),
            layers.Dense(1),
        ]
    )
    model.layers[0].trainable = False  # its weight penalty leaves the loss
    model.layers[1].trainable = False  # it normalizes with its moving averages, and keeps them
    model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss="mse", metrics=["mae"])
    return model, inputs(keras), normal(keras, 4, SAMPLES), {}


# ---- Callbacks ----


@program
def plateau_and_best_weights(keras):
    layers, callbacks = keras.layers, keras.callbacks
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(6, activation="tanh"), layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"])
    plateau = callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=100.0)
    best = callbacks.EarlyStopping(mode="max", patience=9, restore_best_weights=True)
    options = {"callbacks": [plateau, best]}  # the best weights come back without a stop, too
    return model, inputs(keras), normal(keras, 4, SAMPLES), options


@program
def scheduler_and_early_stop(keras):
    layers, callbacks = keras.layers, keras.callbacks
    model = keras.Sequential(
        [keras.Input(shape=(4,)), layers.Dense(6, activation="sigmoid"), layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="mse", metrics=["mae"])
    scheduler = callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.7**epoch)
    stop = callbacks.EarlyStopping(monitor="val_loss", min_delta=100.0, patience=0)
    options = {"callbacks": [scheduler, stop]}  # it stops after the second epoch
    return model, inputs(keras), normal(keras, 4, SAMPLES), options


# ---- Running a program ----


def start(arrays):
    """Return start weights; those that begin at 1 (scales and variances) stay near 1."""
    rng = np.random.default_rng(7)
    new = []
    for array in arrays:
        noise = rng.uniform(-1, 1, array.shape)
        value = 1 + 0.3 * noise if np.all(array == 1) else 0.6 * noise
        new.append(value.astype(array.dtype))
    return new


def run(keras, build, dtype):
    """Train a program for 20 steps; return the names of its columns and its numbers.

    "loss" and "metric" hold a row for each step. A row of fit is the mean over the epoch so far; a
    row of train_on_batch is that of the batch. "history" holds a row for each epoch.
    """
    before = keras.backend.floatx()
    keras.backend.set_floatx(dtype)
    try:
        return train(keras, *build(keras))
    finally:
        keras.backend.set_floatx(before)


def train(keras, model, x, y, options):
    model.set_weights(start(model.get_weights()))
    callbacks = options.get("callbacks", [])
    options = {name: option for name, option in options.items() if name != "callbacks"}
    sample_weight = options.get("sample_weight")
    weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
    weighted_20 = [weight[:20] for weight in weighted.values()]
    steps = []
    history = model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        validation_data=(x[:20], y[:20], *weighted_20),
        validation_batch_size=8,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: steps.append(dict(logs))
            ),
            *callbacks,
        ],
        **options,
    )
    # After fit with use_ema, JAX refuses a step, for weights and averages are one array then.
    model.set_weights(model.get_weights())
    for i in range(SINGLE_STEPS):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        if sample_weight is not None:
            options = {"sample_weight": sample_weight[rows]}
        steps.append(model.train_on_batch(x[rows], y[rows], return_dict=True, **options))

    weights = [np.ravel(array) for array in model.get_weights()]
    metrics = sorted(set(steps[0]) - {"loss"})
    columns = sorted(history.history)
    numbers = {
        "loss": [step["loss"] for step in steps],
        "metric": [[step[name] for name in metrics] for step in steps],
        "history": np.transpose([history.history[name] for name in columns]),
        "evaluate": np.atleast_1d(model.evaluate(x, y, verbose=0, **weighted)),
        "predict": model.predict(x[:5], verbose=0),
        "weights": np.concatenate(weights, dtype=weights[0].dtype, casting="no"),
    }
    names = {"metric": metrics, "history": columns, "order": list(history.history)}
    return names, {name: np.asarray(array) for name, array in numbers.items()}


# ---- Writing the file ----


def keep_float64():
    """Patch Keras so that float64 operands give a float64 result in every function."""
    from keras.src import backend
    from keras.src.backend.common import dtypes

    rule = dtypes.result_type

    def result_type(*types):
        names = [getattr(dtype, "name", dtype) for dtype in types]
        return "float64" if "float64" in names else rule(*types)

    dtypes.result_type = backend.result_type = result_type


def main(path):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ["JAX_ENABLE_X64"] = "1"
    import keras
    from keras_functions import call_function, function_cases

    keep_float64()
    arrays, names = {}, {}
    for dtype in DTYPES:
        keras.backend.set_floatx(dtype)
        for name, build in PROGRAMS.items():
            keras.utils.clear_session()  # Keras forgets the float type of the layers before
            names[name], numbers = run(keras, build, dtype)
            assert numbers["weights"].dtype == numbers["predict"].dtype == dtype
            arrays |= {f"{name}/{dtype}/{part}": array for part, array in numbers.items()}
        # One array holds all functions, because an entry of the file costs 300 bytes.
        found = [call_function(keras, name, dtype) for name in function_cases(keras)]
        arrays[f"functions/{dtype}"] = np.concatenate(found)
    about = {
        "versions": {"keras": keras.__version__, "numpy": np.__version__},
        "backend": keras.backend.backend(),
        "programs": names,
        "functions": {name: array.size for name, array in zip(function_cases(keras), found)},
    }
    np.savez_compressed(path, about=json.dumps(about), **arrays)


if __name__ == "__main__":
    warnings.simplefilter("error", UserWarning)
    main(*sys.argv[1:])
