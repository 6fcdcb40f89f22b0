"""Single functions of Keras with given arguments; keras_programs.py stores their numbers.

`function_cases` takes the module keras, or minigrad.keras.
"""

import numpy as np

X = np.array([-4.0, -3.0, -1.5, -1.0, -0.4, 0.0, 0.3, 0.5, 1.0, 2.5, 3.0, 6.0])
Z = np.array([[2.0, -1.0, 0.5], [-0.2, 0.4, 1.1], [0.3, 0.3, -2.0], [1.5, 0.1, 0.2]])
T = np.array([[0.2, 0.3, 0.5], [0.7, 0.1, 0.2], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
P = np.array([[0.1, 0.5, 0.4], [0.3, 0.6, 0.1], [0.0, 1.0, 0.0], [0.01, 0.9, 0.09]])
BITS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
CLASSES = np.array([2, 0, 1, 0])
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.25])
W = np.array([[0.5, -2.0, 0.0], [1.5, 0.1, 0.0], [-0.3, 0.7, 0.0], [0.2, 1.0, 1e-4]])
STEPS = [0, 1, 2, 3, 4, 5, 7, 10, 11, 25]

ACTIVATIONS = (
    "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear "
    "log_sigmoid mish relu relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus "
    "sparse_sigmoid squareplus swish tanh tanh_shrink"
).split()
LOSSES = {  # a loss with its arguments: its targets and predictions
    "MeanSquaredError()": (T, Z),
    "MeanAbsoluteError()": (T, Z),
    "MeanAbsolutePercentageError()": (T, Z),
    "MeanSquaredLogarithmicError()": (T, P),
    "CosineSimilarity()": (T, Z),
    "Huber()": (T, Z),
    "Huber(0.4)": (T, Z),
    "LogCosh()": (T, Z),
    "Hinge()": (BITS, Z),
    "SquaredHinge()": (BITS, Z),
    "CategoricalHinge()": (BITS, Z),
    "KLDivergence()": (T, P),
    "Poisson()": (T, P),
    "BinaryCrossentropy()": (BITS, P),
    "BinaryCrossentropy(from_logits=True)": (BITS, Z),
    "BinaryCrossentropy(label_smoothing=0.1)": (BITS, P),
    "BinaryFocalCrossentropy()": (BITS, P),
    "CategoricalCrossentropy()": (T, P),
    "CategoricalCrossentropy(True, 0.2)": (T, Z),
    "CategoricalFocalCrossentropy()": (T, P),
    "SparseCategoricalCrossentropy()": (CLASSES, P),
    "SparseCategoricalCrossentropy(from_logits=True)": (CLASSES, Z),
    "SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)": (CLASSES, Z),
}
METRICS = {
    "MeanSquaredError()": (T, Z),
    "RootMeanSquaredError()": (T, Z),
    "MeanAbsoluteError()": (T, Z),
    "CosineSimilarity()": (T, Z),
    "R2Score()": (T, Z),
    "BinaryAccuracy()": (BITS, P),
    "BinaryAccuracy(threshold=0.3)": (BITS, P),
    "CategoricalAccuracy()": (T, Z),
    "SparseCategoricalAccuracy()": (CLASSES, Z),
    "TopKCategoricalAccuracy(2)": (T, Z),
    "SparseTopKCategoricalAccuracy(k=2)": (CLASSES, Z),
    "Precision()": (BITS, P),
    "Recall()": (BITS, P),
    "Precision(thresholds=[0.2, 0.6])": (BITS, P),
    "Recall(class_id=1)": (BITS, P),
    "TruePositives()": (BITS, P),
    "FalsePositives()": (BITS, P),
    "TrueNegatives()": (BITS, P),
    "FalseNegatives()": (BITS, P),
    "AUC()": (BITS, P),
    "AUC(num_thresholds=5)": (BITS, P),
    "AUC(curve='PR')": (BITS, P),
    "BinaryCrossentropy()": (BITS, P),
    "CategoricalCrossentropy()": (T, P),
    "SparseCategoricalCrossentropy()": (CLASSES, P),
    "KLDivergence()": (T, P),
}
SCHEDULES = [
    "ExponentialDecay(0.1, 4, 0.5)",
    "ExponentialDecay(0.1, 4, 0.5, staircase=True)",
    "InverseTimeDecay(0.1, 4, 0.5)",
    "InverseTimeDecay(0.1, 4, 0.5, True)",
    "PiecewiseConstantDecay([2, 5], [1.0, 0.5, 0.1])",
    "PolynomialDecay(0.1, 10)",
    "PolynomialDecay(0.1, 10, 0.01, power=2.0, cycle=True)",
    "CosineDecay(0.1, 10)",
    "CosineDecay(0.01, 10, alpha=0.1, warmup_target=0.1, warmup_steps=4)",
    "CosineDecayRestarts(0.1, 5)",
]
REGULARIZERS = ["L1()", "L2()", "L1L2()", "L1L2(0.1, 0.2)", "l1(0.3)", "l2(0.3)", "l1_l2(l2=0.5)"]
CONSTRAINTS = [
    "MaxNorm()",
    "MaxNorm(0.5, axis=1)",
    "max_norm(1.0)",
    "NonNeg()",
    "UnitNorm()",
    "UnitNorm(axis=None)",
    "MinMaxNorm()",
    "min_max_norm(0.5, 2.0, rate=0.5)",
]
UTILITIES = {
    "to_categorical(classes)": lambda utils: utils.to_categorical(CLASSES),
    "to_categorical((N, 1), 4)": lambda utils: utils.to_categorical(CLASSES[:, None], 4),
    "normalize(z)": lambda utils: utils.normalize(Z),
    "normalize(x)": lambda utils: utils.normalize(X),
    "normalize(z, order=1)": lambda utils: utils.normalize(Z, order=1),
}


def called(module, call):
    """Return what the text of a call means in a module: `Huber(0.4)` in keras.losses."""
    return eval(f"module.{call}", {"module": module})


def as_floats(keras, array):
    return array if array.dtype.kind == "i" else array.astype(keras.backend.floatx())


def metric_result(keras, call, arrays):
    """Return a metric's result after two updates, then after one more with weights."""
    metric = called(keras.metrics, call)
    t, p = (as_floats(keras, array) for array in arrays)
    metric.update_state(t[:3], p[:3])
    metric.update_state(t[3:], p[3:])
    first = np.array(metric.result()).ravel()
    metric.update_state(t, p, sample_weight=as_floats(keras, WEIGHTS))
    return [*first, *np.array(metric.result()).ravel()]


def function_cases(keras):
    """Return functions without arguments by name; each returns numbers."""
    x, z, w = (as_floats(keras, array) for array in (X, Z, W))

    def loss(call, t, p):
        function, t, p = called(keras.losses, call), as_floats(keras, t), as_floats(keras, p)
        return [function(t, p), function(t, p, sample_weight=as_floats(keras, WEIGHTS))]

    cases = {
        f"activations.{name}": lambda name=name: getattr(keras.activations, name)(x)
        for name in ACTIVATIONS
    }
    for name in ("softmax", "log_softmax"):
        cases[f"activations.{name}"] = lambda name=name: getattr(keras.activations, name)(z)
    for call, (t, p) in LOSSES.items():
        cases[f"losses.{call}"] = lambda call=call, t=t, p=p: loss(call, t, p)
    for call, arrays in METRICS.items():
        cases[f"metrics.{call}"] = lambda call=call, arrays=arrays: metric_result(
            keras, call, arrays
        )
    for call in SCHEDULES:
        cases[f"schedules.{call}"] = lambda call=call: [
            called(keras.optimizers.schedules, call)(step) for step in STEPS
        ]
    for call in REGULARIZERS:
        cases[f"regularizers.{call}"] = lambda call=call: called(keras.regularizers, call)(w)
    for call in CONSTRAINTS:
        cases[f"constraints.{call}"] = lambda call=call: called(keras.constraints, call)(w)
    for name, utility in UTILITIES.items():
        cases[f"utils.{name}"] = lambda utility=utility: utility(keras.utils)
    return cases


def call_function(keras, name, dtype):
    """Return the numbers of one function as a flat array."""
    before = keras.backend.floatx()
    keras.backend.set_floatx(dtype)
    try:
        result = function_cases(keras)[name]()
        if isinstance(result, list):
            result = [np.asarray(number) for number in result]
        return np.ravel(np.asarray(result, dtype=float))
    finally:
        keras.backend.set_floatx(before)
