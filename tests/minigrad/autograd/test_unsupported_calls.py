"""NumPy calls that a tensor does not support raise an error and change nothing."""

import operator

import numpy as np
import pytest

from minigrad import Tensor
from tests.minigrad.autograd.helpers import ids_of, leaf

X, N = leaf([1.0, 2.0]), Tensor(np.arange(2))
REFUSED = [
    (lambda: np.split(X, 0), ValueError, r"np\.split: at least 1 part .* received 0"),
    (lambda: np.array_split(X, 2.5), TypeError, r"float"),
    (lambda: np.array_split(X, Tensor([1.0])), TypeError, r"integer"),
    (lambda: X + np.ones(3), ValueError, r"np\.add of shapes \(2,\) and \(3,\)"),
    (lambda: X @ np.ones((3, 2)), ValueError, r"np\.matmul of shapes \(2,\) and \(3, 2\)"),
    (lambda: np.concatenate([X, np.ones((2, 2))]), ValueError, r"np\.concatenate of shapes \(2,\)"),
    (lambda: np.reshape(X, 3), ValueError, r"np\.reshape of shapes \(2,\): .*\(3,\)"),
    (lambda: X.reshape(2, order="A"), ValueError, r"order must be 'C' or 'F', received 'A'"),
    (lambda: np.sum(X, axis=1), ValueError, r"np\.sum of shapes \(2,\): axis 1"),
    (lambda: np.prod(X, axis=1), ValueError, r"axis 1 is out of bounds"),
    (lambda: np.moveaxis(X, 1, 0), ValueError, r"axis 1 is out of bounds"),
    (lambda: np.take(X, 0, axis=-2), ValueError, r"axis -2 is out of bounds"),
    (lambda: np.tensordot(X, X, ([1], [0])), ValueError, r"axis 1 is out of bounds"),
    (lambda: np.tensordot(X, np.ones(3), 1), ValueError, r"np\.tensordot of \(2,\) and \(3,\)"),
    (lambda: np.average(X, weights=np.ones((2, 2))), TypeError, r"np\.average: weights must have"),
    (lambda: np.fft.fft(X), TypeError, r"np\.fft\.fft has no derivative.*x\.data"),
    (lambda: np.linalg.lstsq(X, X), TypeError, r"np\.linalg\.lstsq has no derivative.*x\.data"),
    (lambda: np.nextafter(X, 2), TypeError, r"np\.nextafter has no derivative"),
    (lambda: np.subtract.reduce(X), TypeError, r"np\.subtract\.reduce has no .*: reduce of add"),
    (lambda: np.add.reduceat(X, [0]), TypeError, r"np\.add\.reduceat has no derivative.*x\.data"),
    (lambda: np.add.reduce(X, out=np.ones(())), TypeError, r"np\.add\.reduce .*Without out="),
    (lambda: np.add.reduce(X.data, out=N), TypeError, r"np\.add\.reduce .*Without out="),
    (lambda: np.add.outer(X, X, out=N), TypeError, r"np\.add\(\.\.\., out=tensor\) would"),
    (lambda: np.add.at(X, [0], 1.0), TypeError, r"np\.add\.at would change values"),
    (lambda: np.add.at(np.ones(2), [0], X[0]), TypeError, r"np\.add\.at would change values"),
    (lambda: np.sum(X, out=np.ones(())), TypeError, r"np\.sum: .*argument out; supported: a, axis"),
    (lambda: np.exp(X, where=[True, False]), TypeError, r"np\.exp: .*where.*np\.where"),
    (lambda: np.add(X, 1, dtype=int), TypeError, r"np\.add: .*argument dtype"),
    (lambda: np.add(X, 1, casting="unsafe"), TypeError, r"np\.add: .*argument casting"),
    (lambda: np.where([True, False], X), TypeError, r"np\.where: .*received object"),
    (lambda: np.concatenate([X, X], axis=1), ValueError, r"np\.concatenate of .*: axis 1 is out"),
    (lambda: np.concatenate([X, 1.0]), ValueError, r"of shapes \(2,\) and \(\): .* dimension"),
    (lambda: np.roll(X, shift=X), TypeError, r"np\.roll has no derivative with respect to shift"),
    (lambda: np.exp(X, out=X), TypeError, r"np\.exp\(\.\.\., out=tensor\) would change"),
    (lambda: np.argmax(X, out=N), TypeError, r"np\.argmax\(\.\.\., out=tensor\) would change"),
    (lambda: operator.iadd(np.ones(2), X), TypeError, r"np\.add: .*argument out"),
    (
        lambda: np.einsum("...i->i", leaf(np.ones((2, 2)))),
        ValueError,
        r"np\.einsum: .* needs the dots on the right",
    ),
    (lambda: np.einsum("ii->i", leaf(np.ones((2, 3)))), ValueError, r"np\.einsum: axes.* \(2, 3\)"),
    (lambda: np.pad(X, 1, mode="mean"), TypeError, r"np\.pad: .*'mean'"),
    (lambda: np.linalg.norm(X, ord="nuc"), ValueError, r"np\.linalg\.norm: .*'nuc'"),
    (lambda: np.split(X[[0, 1, 1]], 2), ValueError, r"np\.split: .*array_split"),
    (lambda: np.max(X, where=[True, False]), ValueError, r"np\.max: where= needs initial="),
]


@pytest.mark.parametrize(("act", "error", "message"), REFUSED, ids=ids_of(REFUSED))
def test_unsupported_numpy_calls_name_the_function_and_the_argument(act, error, message):
    with pytest.raises(error, match=message):
        act()
    assert X.tolist() == [1, 2] and X.grad is None and N.tolist() == [0, 1]
