"""minigrad: a deep-learning framework small enough to read in an evening.

Reading order: autograd.tensor, autograd.numpy_vjps, functional, layer; then optimizers/, which
stands alone; then model and trainer. The README lists the files to read in an evening.

If you know Keras, see minigrad.keras. If you know scikit-learn, see minigrad.sklearn. If you know
PyTorch:

| PyTorch | minigrad |
|---|---|
| `torch.tensor(a, requires_grad=True)` | `Tensor(a, requires_grad=True)` |
| `nn`, `optim`, `nn.functional` | `minigrad.layers` and `.models`, `.optimizers`, `.functional` |
| `torch.exp(x)`, `x @ w`, `torch.cat` | NumPy's functions: `np.exp(x)`, `x @ w`, `np.concatenate` |
| `nn.Sequential(a, b)` | `Sequential([a, b])` |
| `nn.Linear(i, o)` | `Dense(o, input_shape=(i,))`; `kernel` is the transposed `weight` |
| `nn.ReLU()`, `nn.Dropout(0.5)` | `ReLU()`, `Dropout(0.5)`, or `Dense(8, "relu")` |
| `nn.Module` with `forward` | `Layer` with `forward`, or `Model`, which also has `fit` |
| `net.train()` is the default | `net.eval()` is the default: call `net.train()` before a loop |
| `nn.CrossEntropyLoss()` | `cross_entropy(logits, labels)` |
| `nn.BCEWithLogitsLoss()` | `binary_cross_entropy_with_logits(logits, target)` |
| `nn.BatchNorm1d(n, momentum=0.1)` | `BatchNormalization(momentum=0.9)`; ε is 1e-3, not 1e-5 |
| `optim.RMSprop(p, alpha=0.9)` | `RMSprop(p, rho=0.9)`; `RMSprop.as_in("torch", p)` |
| `optim.Adam(p, betas=(0.9, 0.99))` | `Adam(p, beta1=0.9, beta2=0.99)` |
| `net.parameters()` | the same, after the first batch or with an `input_shape` |
| `optimizer.param_groups[0]["lr"]` | `optimizer.lr` |
| `DataLoader(data, batch_size, shuffle)` | `batches(x, y, batch_size, rng)` |
| `torch.manual_seed(0)` | `Sequential(…, seed=0)`, `net.seed(0)` |
| `clip_grad_norm_` | `RMSprop(clip_global_norm=1.0)` |
| `DistributedDataParallel(net)` | `minigrad.distributed.DataParallel(optimizer)` |
| `torch.save(net.state_dict())` | `model.save_weights("w.npz")`: no pickle |
"""

from .anomaly import detect_anomaly
from .autograd import (
    Primitive,
    Tensor,
    grad,
    hessian,
    hessian_vector_product,
    jacobian,
    largest_curvature,
    no_grad,
    primitive,
)
from .second_order import minimize

__version__ = "0.7.1"

__all__ = [
    "Primitive", "Tensor", "activations", "anomaly", "autograd", "callback_list", "callbacks",
    "checkpoint", "detect_anomaly", "distributed", "exchange", "functional", "grad", "gradcheck",
    "graph", "hessian", "hessian_vector_product", "initializers", "jacobian", "keras",
    "largest_curvature", "layer", "layer_state", "layers", "losses", "minimize", "model", "models",
    "no_grad", "normalization", "plotting", "primitive", "race", "race_result", "race_workers",
    "recurrent", "regularizers", "saving", "second_order", "trainer", "training_data",
    "training_state", "utils",
]  # fmt: skip
