"""The same network in each framework, written as in the framework's own examples.

In order of difficulty: the data, minigrad, hand-written NumPy, and the other frameworks. Each class
has two methods. __init__(sizes, optimizer, x, y) makes the network, with ReLU between its layers.
run(batch, count) trains it on `count` examples and returns the last loss. All do the same float32
work: shuffled batches, softmax cross-entropy, steps with PyTorch's default lr.

    python tests/benchmarks/frameworks.py minigrad        one job a line on stdin, see `serve`
"""

from __future__ import annotations

import gzip
import json
import math
import os
import sys
import time
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "datasets" / "data" / "mnist"
MNIST = [784, 512, 10]
LR = {"sgd": 1e-2, "momentum": 1e-2, "adagrad": 1e-2, "rmsprop": 1e-3, "adam": 1e-3}
MU, RHO, BETA1, BETA2, EPS = 0.9, 0.9, 0.9, 0.999, 1e-8


def mnist(scaled: bool) -> tuple[Any, Any]:
    """Return 60,000 images (N, 784) and labels; images as float32 in 0 … 1, or as bytes."""
    import numpy as np

    read = lambda name: np.frombuffer(gzip.decompress((DATA / name).read_bytes()), np.uint8)  # noqa: E731
    images = read("train-images-idx3-ubyte.gz")[16:].reshape(-1, 784)
    labels = read("train-labels-idx1-ubyte.gz")[8:].astype(np.int64)
    return (np.divide(images, 255, dtype=np.float32) if scaled else images), labels


def initial(sizes: list[int]) -> list[tuple[Any, Any]]:
    """Return (kernel, bias) of each layer, Glorot uniform."""
    import numpy as np

    rng = np.random.default_rng(0)
    layers = []
    for n, m in pairwise(sizes):
        limit = math.sqrt(6 / (n + m))
        kernel = rng.uniform(-limit, limit, (n, m)).astype(np.float32)
        layers.append((kernel, np.zeros(m, np.float32)))
    return layers


class Minigrad:
    """minigrad's layers and optimizers in an explicit loop; compiled: with optimizer.compile()."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any, compiled: bool = False):
        import numpy as np

        from minigrad.layers import Dense
        from minigrad.models import Sequential

        hidden = [Dense(n, activation="relu") for n in sizes[1:-1]]
        self.model = Sequential([*hidden, Dense(sizes[-1])], seed=0)
        self.model(np.zeros((1, sizes[0]), np.float32))
        self.optimizer = minigrad_optimizer(optimizer, self.model.named_parameters(), compiled)
        self.x, self.y, self.rng = x, y, np.random.default_rng(0)

    def run(self, batch: int, count: int) -> float:
        from minigrad.datasets import batches
        from minigrad.functional import cross_entropy

        for x, y in batches(self.x[:count], self.y[:count], batch, self.rng):
            loss = cross_entropy(self.model(as_float(x)), y)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        return loss.item()


def minigrad_optimizer(name: str, parameters: Any, compiled: bool) -> Any:
    from minigrad import optimizers

    options = {"lr": LR[name]} | ({"momentum": MU} if name == "momentum" else {})
    name = "sgd" if name == "momentum" else name
    optimizer = optimizers.get(name, **options).bind(parameters)
    return optimizer.compile() if compiled else optimizer


def as_float(x: Any) -> Any:
    """Scale bytes to 0 … 1; return floats unchanged."""
    import numpy as np

    return x if x.dtype == np.float32 else np.divide(x, 255, dtype=np.float32)


class NumPy:
    """NumPy with hand-written gradients and the optimizers' formulas from the textbook."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any):
        import numpy as np

        self.layers = initial(sizes)
        self.parameters = [p for layer in self.layers for p in layer]
        self.update = HandWritten(self.parameters, optimizer)
        self.x, self.y, self.rng = x, y, np.random.default_rng(0)

    def run(self, batch: int, count: int) -> float:
        order = self.rng.permutation(count)
        for i in range(0, count, batch):
            rows = order[i : i + batch]
            loss, gradients = self.gradients(as_float(self.x[rows]), self.y[rows])
            self.update.step(gradients)
        return loss

    def gradients(self, x: Any, y: Any) -> tuple[float, list[Any]]:
        import numpy as np

        inputs = []
        for w, b in self.layers[:-1]:
            inputs.append(x)
            x = np.maximum(x @ w + b, 0)
        inputs.append(x)
        w, b = self.layers[-1]
        z = x @ w + b
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(axis=1, keepdims=True)
        each = np.arange(len(y))
        loss = -float(np.log(p[each, y]).mean())
        p[each, y] -= 1
        g = p / len(y)
        gradients: list[Any] = []
        for i in reversed(range(len(inputs))):
            gradients = [inputs[i].T @ g, g.sum(axis=0), *gradients]
            if i:
                g = (g @ self.layers[i][0].T) * (inputs[i] > 0)
        return loss, gradients


class HandWritten:
    """The optimizers as in-place NumPy formulas."""

    def __init__(self, parameters: list[Any], optimizer: str):
        import numpy as np

        self.formula = getattr(self, optimizer)
        self.slots = [(w, np.zeros_like(w), np.zeros_like(w)) for w in parameters]
        self.lr, self.t = LR[optimizer], 0

    def step(self, gradients: list[Any]) -> None:
        self.t += 1
        for g, (w, m, v) in zip(gradients, self.slots):
            self.formula(w, g, m, v)

    def sgd(self, w: Any, g: Any, m: Any, v: Any) -> None:
        w -= self.lr * g

    def momentum(self, w: Any, g: Any, m: Any, v: Any) -> None:
        m *= MU
        m += g
        w -= self.lr * m

    def adagrad(self, w: Any, g: Any, m: Any, v: Any) -> None:
        import numpy as np

        v += g * g
        w -= self.lr * g / (np.sqrt(v) + EPS)

    def rmsprop(self, w: Any, g: Any, m: Any, v: Any) -> None:
        import numpy as np

        v *= RHO
        v += (1 - RHO) * g * g
        w -= self.lr * g / (np.sqrt(v) + EPS)

    def adam(self, w: Any, g: Any, m: Any, v: Any) -> None:
        import numpy as np

        m *= BETA1
        m += (1 - BETA1) * g
        v *= BETA2
        v += (1 - BETA2) * g * g
        m_hat, v_hat = m / (1 - BETA1**self.t), v / (1 - BETA2**self.t)
        w -= self.lr * m_hat / (np.sqrt(v_hat) + EPS)


class Matmul:
    """Only the matrix products of the forward and backward pass: a lower bound for the time."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any):
        self.kernels, self.x = [w for w, _ in initial(sizes)], x

    def run(self, batch: int, count: int) -> float:
        for i in range(0, count, batch):
            inputs = [self.x[i : min(i + batch, count)]]
            for w in self.kernels:
                inputs.append(inputs[-1] @ w)
            g = inputs.pop()
            for x, w in zip(reversed(inputs), reversed(self.kernels)):
                x.T @ g
                if w is not self.kernels[0]:
                    g = g @ w.T
        return 0.0


class PyTorch:
    """Eager PyTorch with its default optimizers or its fused ones; or torch.compile of all."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any, variant: str = ""):
        import torch

        torch.set_num_threads(2)
        modules: list[Any] = []
        for n, m in pairwise(sizes):
            modules += [torch.nn.Linear(n, m), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*modules[:-1])
        self.optimizer = torch_optimizer(optimizer, self.model.parameters(), variant)
        self.step, self.forward = self.optimizer.step, self.model
        if variant == "compile":
            self.step, self.forward = torch.compile(self.step), torch.compile(self.model)
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)

    def run(self, batch: int, count: int) -> float:
        import torch

        order = torch.randperm(count)
        for i in range(0, count, batch):
            rows = order[i : i + batch]
            x = self.x[rows]
            x = x if x.dtype == torch.float32 else x.float() / 255
            loss = torch.nn.functional.cross_entropy(self.forward(x), self.y[rows])
            loss.backward()
            self.step()
            self.optimizer.zero_grad()
        return loss.item()


def torch_optimizer(name: str, parameters: Any, variant: str = "") -> Any:
    """Make an optimizer; variant: "fused" or "foreach" chooses PyTorch's implementation."""
    from torch import optim

    if (name, variant) == ("rmsprop", "fused"):
        raise NotImplementedError("PyTorch has no fused RMSprop")
    options = {variant: True} if variant in ("fused", "foreach") else {}
    return {
        "sgd": lambda: optim.SGD(parameters, LR["sgd"], **options),
        "momentum": lambda: optim.SGD(parameters, LR["sgd"], MU, **options),
        "adagrad": lambda: optim.Adagrad(parameters, LR["adagrad"], eps=EPS, **options),
        "rmsprop": lambda: optim.RMSprop(parameters, LR["rmsprop"], RHO, EPS, **options),
        "adam": lambda: optim.Adam(parameters, LR["adam"], (BETA1, BETA2), EPS, **options),
    }[name]()


class Jax:
    """JAX and optax: the whole step is compiled, and its buffers are donated."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any):
        import jax
        import jax.numpy as jnp
        import numpy as np
        import optax

        rule = optax_rule(optimizer)

        def loss_of(layers: Any, x: Any, y: Any) -> Any:
            *hidden, (w, b) = layers
            for kernel, bias in hidden:
                x = jax.nn.relu(x @ kernel + bias)
            return optax.softmax_cross_entropy_with_integer_labels(x @ w + b, y).mean()

        def step(layers: Any, state: Any, x: Any, y: Any) -> Any:
            loss, gradients = jax.value_and_grad(loss_of)(layers, x, y)
            updates, state = rule.update(gradients, state, layers)
            return optax.apply_updates(layers, updates), state, loss

        self.step = jax.jit(step, donate_argnums=(0, 1))
        self.layers = jax.tree.map(jnp.asarray, initial(sizes))
        self.state = rule.init(self.layers)
        self.x, self.y, self.rng = x, y, np.random.default_rng(0)

    def run(self, batch: int, count: int) -> float:
        order = self.rng.permutation(count)
        for i in range(0, count, batch):
            rows = order[i : i + batch]
            x, y = as_float(self.x[rows]), self.y[rows]
            self.layers, self.state, loss = self.step(self.layers, self.state, x, y)
        return float(loss)


def optax_rule(name: str) -> Any:
    import optax

    return {
        "sgd": lambda: optax.sgd(LR["sgd"]),
        "momentum": lambda: optax.sgd(LR["sgd"], MU),
        "adagrad": lambda: optax.adagrad(LR["adagrad"]),
        "rmsprop": lambda: optax.rmsprop(LR["rmsprop"], RHO, EPS),
        "adam": lambda: optax.adam(LR["adam"], BETA1, BETA2, EPS),
    }[name]()


class Keras:
    """Keras's own `fit` on a given backend, or the same program on minigrad.keras."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any, backend: str):
        os.environ |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if backend == "minigrad":
            from minigrad import keras
        else:
            import keras

        hidden = [keras.layers.Dense(n, activation="relu") for n in sizes[1:-1]]
        self.model = keras.Sequential([keras.Input((sizes[0],)), *hidden])
        self.model.add(keras.layers.Dense(sizes[-1]))
        lr = {"learning_rate": LR[optimizer]}
        names = {name.lower(): name for name in ("SGD", "Adagrad", "RMSprop", "Adam")}
        rule = getattr(keras.optimizers, names[optimizer])(**lr)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer=rule, loss=loss)
        self.x, self.y = as_float(x), y

    def run(self, batch: int, count: int) -> float:
        x, y = self.x[:count], self.y[:count]
        return self.model.fit(x, y, batch_size=batch, verbose=0).history["loss"][-1]


class MyGrad:
    """MyGrad's layers and gradients; a hand-written step, since MyGrad has no optimizers."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any):
        import mygrad
        import numpy as np

        self.layers = [(mygrad.tensor(w), mygrad.tensor(b)) for w, b in initial(sizes)]
        self.parameters = [p for layer in self.layers for p in layer]
        self.update = HandWritten([p.data for p in self.parameters], optimizer)
        self.x, self.y, self.rng = x, y, np.random.default_rng(0)

    def run(self, batch: int, count: int) -> float:
        from mygrad.nnet import softmax_crossentropy
        from mygrad.nnet.activations import relu

        order = self.rng.permutation(count)
        for i in range(0, count, batch):
            rows = order[i : i + batch]
            x = as_float(self.x[rows])
            for w, b in self.layers[:-1]:
                x = relu(x @ w + b)
            w, b = self.layers[-1]
            loss = softmax_crossentropy(x @ w + b, self.y[rows])
            loss.backward()
            self.update.step([p.grad for p in self.parameters])
            for p in self.parameters:
                p.null_grad()
        return loss.item()


class Autograd:
    """HIPS autograd with a hand-written step."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any):
        import autograd.numpy as anp
        import numpy as np
        from autograd import value_and_grad
        from autograd.scipy.special import logsumexp

        def loss_of(parameters: Any, x: Any, y: Any) -> Any:
            *hidden, w, b = parameters
            for kernel, bias in zip(hidden[::2], hidden[1::2]):
                x = anp.maximum(x @ kernel + bias, 0)
            z = x @ w + b
            return anp.mean(logsumexp(z, axis=1) - z[np.arange(len(y)), y])

        self.value_and_grad = value_and_grad(loss_of)
        self.parameters = [p for layer in initial(sizes) for p in layer]
        self.update = HandWritten(self.parameters, optimizer)
        self.x, self.y, self.rng = x, y, np.random.default_rng(0)

    def run(self, batch: int, count: int) -> float:
        order = self.rng.permutation(count)
        for i in range(0, count, batch):
            rows = order[i : i + batch]
            x, y = as_float(self.x[rows]), self.y[rows]
            loss, gradients = self.value_and_grad(self.parameters, x, y)
            self.update.step(gradients)
        return float(loss)


class ScikitLearn:
    """scikit-learn's MLPClassifier, which has SGD and Adam."""

    def __init__(self, sizes: list[int], optimizer: str, x: Any, y: Any):
        from sklearn.neural_network import MLPClassifier

        if optimizer not in ("sgd", "adam"):
            raise NotImplementedError(optimizer)
        options = {"solver": optimizer, "momentum": 0.0, "alpha": 0.0, "random_state": 0}
        lr = LR[optimizer]
        self.model = MLPClassifier(tuple(sizes[1:-1]), learning_rate_init=lr, **options)
        self.x, self.y, self.classes = as_float(x), y, list(range(sizes[-1]))

    def run(self, batch: int, count: int) -> float:
        self.model.batch_size = min(batch, count)
        self.model.partial_fit(self.x[:count], self.y[:count], classes=self.classes)
        return self.model.loss_


FRAMEWORKS = {
    "minigrad": Minigrad,
    "compiled": partial(Minigrad, compiled=True),
    "numpy": NumPy,
    "matmul": Matmul,
    "torch": PyTorch,
    "torch-fused": partial(PyTorch, variant="fused"),
    "torch-compile": partial(PyTorch, variant="compile"),
    "jax": Jax,
    "minigrad.keras": partial(Keras, backend="minigrad"),
    "keras-tensorflow": partial(Keras, backend="tensorflow"),
    "keras-jax": partial(Keras, backend="jax"),
    "keras-torch": partial(Keras, backend="torch"),
    "mygrad": MyGrad,
    "autograd": Autograd,
    "sklearn": ScikitLearn,
}
PACKAGES = {  # that each one needs
    "minigrad": ["minigrad"],
    "compiled": ["minigrad", "numba"],
    "numpy": ["numpy"],
    "matmul": ["numpy"],
    "torch": ["torch"],
    "torch-fused": ["torch"],
    "torch-compile": ["torch"],
    "jax": ["jax", "optax"],
    "minigrad.keras": ["minigrad.keras"],
    "keras-tensorflow": ["keras", "tensorflow"],
    "keras-jax": ["keras", "jax"],
    "keras-torch": ["keras", "torch"],
    "mygrad": ["mygrad"],
    "autograd": ["autograd"],
    "sklearn": ["sklearn"],
}


# The optimizer's step alone


def stepper(framework: str, optimizer: str, size: int) -> Any:
    """Return a function that updates `size` parameters with constant gradients.

    PyTorch's step is its fastest one: foreach or fused, on one thread or two.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    w, g = (rng.standard_normal(size, np.float32) for _ in range(2))
    if framework == "numpy":
        update = HandWritten([w], optimizer)
        return lambda: update.step([g])
    if framework in ("minigrad", "compiled"):
        from minigrad.optimizers import Parameter

        return minigrad_optimizer(optimizer, [Parameter(w, g)], framework == "compiled").step
    if framework == "torch":
        return fastest_torch_step(optimizer, w, g)
    if framework == "jax":
        return jax_step(optimizer, w, g)
    raise NotImplementedError(framework)


def fastest_torch_step(optimizer: str, w: Any, g: Any) -> Any:
    import torch

    parameter = torch.nn.Parameter(torch.from_numpy(w))
    parameter.grad = torch.from_numpy(g)
    found = []
    for variant in ("foreach", "fused")[: 1 if optimizer == "rmsprop" else 2]:
        step = torch_optimizer(optimizer, [parameter], variant).step
        for threads in (1, 2):
            torch.set_num_threads(threads)
            step()
            seconds = []
            for _ in range(20):
                start = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - start)
            found.append((sorted(seconds)[10], threads, step))
    _, threads, step = min(found, key=lambda x: x[0])
    torch.set_num_threads(threads)
    return step


def jax_step(optimizer: str, w: Any, g: Any) -> Any:
    import jax
    import jax.numpy as jnp
    import optax

    rule = optax_rule(optimizer)
    state = [jnp.asarray(w), rule.init(jnp.asarray(w))]
    gradient = jnp.asarray(g)

    def update(w: Any, state: Any, g: Any) -> Any:
        updates, state = rule.update(g, state, w)
        return optax.apply_updates(w, updates), state

    compiled = jax.jit(update, donate_argnums=(0, 1))

    def step() -> None:
        state[:] = compiled(*state, gradient)
        state[0].block_until_ready()

    return step


# Small networks, where calls cost more than numbers


def fitter(framework: str, epochs: int) -> Any:
    """Return a function that trains 30-16-2 with Adam on 569 rows, with `fit` and its accuracy."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((569, 30)).astype(np.float32)
    y = (x @ rng.standard_normal(30) > 0).astype(np.int64)
    if framework in ("minigrad", "compiled"):
        from minigrad.layers import Dense
        from minigrad.models import Sequential

        model = Sequential([Dense(16, activation="relu", input_shape=(30,)), Dense(2)], seed=0)
        rule = minigrad_optimizer("adam", model.named_parameters(), framework == "compiled")
        model.compile(rule, "cross_entropy", metrics=["accuracy"])
        return lambda: model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    if framework == "sklearn":
        from sklearn.neural_network import MLPClassifier

        forever = dict(max_iter=epochs, tol=0, n_iter_no_change=10**9, random_state=0)
        return lambda: MLPClassifier((16,), batch_size=32, **forever).fit(x, y)
    if framework == "torch":
        return torch_fitter(x, y, epochs)
    if framework == "keras-jax":
        keras = Keras([30, 16, 2], "adam", x, y, "jax").model
        keras.compile("adam", keras.loss, metrics=["accuracy"])
        return lambda: keras.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    raise NotImplementedError(framework)


def torch_fitter(x: Any, y: Any, epochs: int) -> Any:
    import torch

    trainer = PyTorch([30, 16, 2], "adam", x, y)
    loss_of = torch.nn.functional.cross_entropy

    def fit() -> None:
        for _ in range(epochs):
            order, loss_sum, hits = torch.randperm(len(x)), 0.0, 0.0
            for i in range(0, len(x), 32):
                rows = order[i : i + 32]
                logits = trainer.model(trainer.x[rows])
                loss = loss_of(logits, trainer.y[rows])
                loss.backward()
                trainer.optimizer.step()
                trainer.optimizer.zero_grad()
                loss_sum += loss.item() * len(rows)
                hits += (logits.argmax(1) == trainer.y[rows]).sum().item()

    return fit


# The worker process


def serve(framework: str) -> None:
    """Run the jobs on stdin: one line of JSON each, one line of JSON as the answer.

    The answer is [seconds, processors used by other programs meanwhile], or null if the framework
    cannot do the job. A job's first run is repeated, and only the repetition is measured. The
    network is kept for later runs of the same job, which continue its training.
    """
    ready: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for line in sys.stdin:
        try:
            if line not in ready:
                ready[line] = prepare(framework, json.loads(line), data)
                ready[line]()
            start, before = time.perf_counter(), others_seconds()
            ready[line]()
            seconds = time.perf_counter() - start
            print(json.dumps([seconds, (others_seconds() - before) / seconds]), flush=True)
        except NotImplementedError:
            print("null", flush=True)


BYTES = (
    "minigrad",
    "compiled",
    "numpy",
    "torch",
    "jax",
    "mygrad",
    "autograd",
)  # can scale each batch


def others_seconds() -> float:
    """Return the processor seconds that other programs have used, or 0 if not known."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, irq, soft, steal = map(int, stat.read_text().split()[1:9])
    own = os.times()
    total = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    return total - own.user - own.system - own.children_user - own.children_system


def prepare(framework: str, job: dict[str, Any], data: dict[str, Any]) -> Any:
    """Return the job as a function without arguments."""
    if job.get("form") == "bytes" and framework not in BYTES:
        raise NotImplementedError(framework)
    if job["kind"] == "step":
        step, times = stepper(framework, job["optimizer"], job["size"]), range(job["times"])
        return lambda: [step() for _ in times]
    if job["kind"] == "fit":
        return fitter(framework, job["count"] // 569)
    import numpy as np

    if job["form"] not in data:
        data[job["form"]] = mnist(scaled=job["form"] == "float32")
    x, y = data[job["form"]]
    if job["sizes"][0] != 784:
        x = np.ascontiguousarray(x[:, : job["sizes"][0]])
    trainer = FRAMEWORKS[framework](job["sizes"], job["optimizer"], x, y)
    return lambda: trainer.run(job["batch"], job["count"])


def run_once(framework: str, optimizer: str, form: str, count: int) -> None:
    """Import, read the images and train: the whole work of a new process."""
    x, y = mnist(scaled=form == "float32")
    FRAMEWORKS[framework](MNIST, optimizer, x, y).run(128, count)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if hasattr(os, "sched_setaffinity"):  # XLA uses a thread for each processor
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    name, *job = sys.argv[1:]
    if job:
        run_once(name, job[0], job[1], int(job[2]))
    else:
        serve(name)
