"""NumPy's statistics, composed of the table's rows."""

import numpy as np

from .conversion import coerce_lists, constant_options
from .numpy_functions import convert, merge_axes, normalize_axes
from .numpy_vjps import implements


def sort_merged(a, axis):
    """Merge the axes to reduce and sort along them; where one element is NaN, all become NaN."""
    axes = normalize_axes(a, axis)
    x = np.sort(merge_axes(convert(a, None, float), axes)[0], axis=0)
    has_nan = np.isnan(x[-1:])  # NaN is sorted last
    return (np.where(has_nan, np.nan, x) if has_nan.any() else x), axes


@implements(np.median)
def median(a, axis=None, keepdims=False):
    x, axes = sort_merged(a, axis)
    result = np.mean(x[(len(x) - 1) // 2 : len(x) // 2 + 1], axis=0)
    return np.expand_dims(result, axes) if keepdims else result


@implements(np.quantile)
def quantile(a, q, axis=None, keepdims=False):
    """Interpolate between the sorted elements on both sides of the position (n − 1)·q."""
    (a,) = coerce_lists("np.quantile", [a])
    x, axes = sort_merged(a, axis)
    q = constant_options("np.quantile", dict(q=q))["q"]
    dtype = np.result_type(x.dtype, getattr(q, "dtype", x.dtype))
    np.quantile(0.0, q)  # refuses q outside of 0 … 1
    position = (len(x) - 1) * np.asarray(q, float)
    below, above = x[np.floor(position).astype(int)], x[np.ceil(position).astype(int)]
    weight = np.reshape(position % 1, position.shape + (1,) * (x.ndim - 1))
    result = below + (above - below) * weight.astype(dtype)
    return np.expand_dims(result, [position.ndim + i for i in axes]) if keepdims else result


@implements(np.percentile)
def percentile(a, q, axis=None, keepdims=False):
    q = q / 100 if hasattr(q, "dtype") else np.divide(q, 100).tolist()
    return quantile(a, q, axis, keepdims)


@implements(np.cov)
def cov(m, y=None, rowvar=True, bias=False, ddof=None, dtype=None):
    """Return X Xᵀ / (n − ddof), where each row of X is a variable minus its mean."""
    samples = coerce_lists("np.cov", [m] if y is None else [m, y])
    if any(np.ndim(x) > 2 for x in samples):
        raise ValueError("np.cov: arrays of at most two axes are required")
    rows = [np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x if rowvar else x.T for x in samples]
    x = np.concatenate(rows)
    x = convert(x, np.result_type(x.dtype, float) if dtype is None else dtype)
    x = x - np.mean(x, axis=1, keepdims=True)
    ddof = 1 - bias if ddof is None else ddof
    return np.squeeze(x @ x.T / float(max(x.shape[1] - ddof, 0)))


@implements(np.corrcoef)
def corrcoef(x, y=None, rowvar=True, dtype=None):
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    s = np.sqrt(np.diagonal(c))
    return np.clip(c / s[:, None] / s, -1, 1)
