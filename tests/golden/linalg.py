"""Write linalg.json: PyTorch's values and gradients of expressions in its torch.linalg.

Each key is an expression in `la`, which is torch.linalg here and np.linalg in the test, and in the
inputs below. Its gradients are those of ⟨cos(0, 1, 2, …), expression⟩. Eigenvectors and singular
vectors are squared, because their signs differ between libraries.

pip install torch==2.13.0 numpy
python tests/golden/linalg.py
"""

import json
import re
from pathlib import Path

import numpy
import torch

EXPRESSIONS = """
la.inv(a); la.inv(b); la.pinv(m); la.pinv(n); la.pinv(r); la.solve(a, n.T); la.solve(a, v)
la.solve(b, v); la.solve(b, n.T); la.solve(a, b); la.det(a); la.det(b); la.det(r); la.det(z)
la.slogdet(a).logabsdet; la.slogdet(b).logabsdet; la.matrix_power(a, 3); la.matrix_power(b, -2)
la.matrix_power(a, 0); la.multi_dot([v, a, m, n]); la.cholesky(p); la.cholesky(p, upper=True)
la.qr(n).Q; la.qr(n).R; la.qr(b).Q; la.qr(b).R; la.eigvalsh(s); la.eigvalsh(s, UPLO="U")
la.eigvalsh(p); la.eigh(s).eigenvalues; la.eigh(s).eigenvectors ** 2; la.eigh(p).eigenvectors ** 2
la.eigh(s, UPLO="U").eigenvectors ** 2; la.svdvals(m); la.svdvals(b); la.svdvals(i)
la.svd(m, full_matrices=False).U ** 2; la.svd(m, full_matrices=False).Vh ** 2
la.svd(n, full_matrices=False).U ** 2; la.svd(n, full_matrices=False).Vh ** 2; la.svd(b).U ** 2
la.svd(b).S; la.svd(a).Vh ** 2; la.eigvalsh(i); la.eigh(i).eigenvalues; la.svd(i).S
la.norm(m); la.norm(m, "nuc"); la.norm(m, 1); la.norm(m, -1); la.norm(m, 2); la.norm(m, -2)
la.norm(m, float("inf")); la.norm(m, -float("inf")); la.norm(b, 2, (2, 0)); la.norm(i, 2)
la.norm(i, "nuc"); la.norm(v, 3); la.norm(m, 1, (0,)); la.vector_norm(m, ord=3)
la.vector_norm(b); la.matrix_norm(b, ord="nuc"); la.matrix_norm(b)
"""


def draw():
    """Draw the inputs: a square, b a stack, m, n not square, v a vector, r of rank 2, z zeros.

    s is symmetric, p a stack of positive definite matrices, i the identity.
    """
    rng = numpy.random.default_rng(5)
    a, b, m, n, v = (rng.normal(size=x) for x in ((3, 3), (2, 3, 3), (3, 4), (4, 3), 3))
    return dict(
        a=a, b=b, m=m, n=n, v=v, r=a[:, :2] @ m[:2, :3], z=numpy.zeros((3, 3)),
        s=a + a.T, p=b @ b.swapaxes(1, 2) + numpy.eye(3), i=numpy.eye(3),
    )  # fmt: skip


def numbers(text, arrays):
    """Return value and gradients of an expression."""
    names = sorted(set(re.findall(r"\b[a-z]\b", re.sub(r'"[^"]*"', "", text))))
    leaves = {name: torch.tensor(arrays[name], requires_grad=True) for name in names}
    out = eval(text, {"la": torch.linalg} | leaves)
    out.backward(torch.arange(float(out.numel()), dtype=out.dtype).reshape(out.shape).cos())
    gradients = {name: x.grad.tolist() for name, x in leaves.items()}
    return {"value": out.tolist(), "gradients": gradients}


if __name__ == "__main__":
    inputs = draw()
    stored = {
        "versions": {"torch": torch.__version__, "numpy": numpy.__version__},
        "inputs": {name: x.tolist() for name, x in inputs.items()},
        "expressions": {
            text: numbers(text, inputs) for text in re.split(r"[;\n]\s*", EXPRESSIONS.strip())
        },
    }
    Path(__file__).with_name("linalg.json").write_text(json.dumps(stored, indent=1) + "\n")
