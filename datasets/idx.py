"""The IDX file format: an array behind a short header.

    0, 0, type, d      one byte each: two zeros, the element type, the number of dimensions
    n₁ … n_d           the dimensions, four bytes each, most significant byte first
    elements           n₁·…·n_d elements in row-major order, most significant byte first

Format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

import gzip
import io
import math
import os
import struct
import zlib

import numpy as np

DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MAX_NDIM = 64  # NumPy's limit


def write(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as an IDX file, gzipped if the name ends in `.gz`.

    The same array gives the same bytes: the gzip header holds no name and no time.
    Raises TypeError for a dtype that IDX does not have, ValueError for a shape.
    """
    array = np.asarray(array)
    types = {np.dtype(code).newbyteorder("="): kind for kind, code in DTYPES.items()}
    kind = types.get(array.dtype.newbyteorder("="))
    if kind is None:
        raise TypeError(f"IDX holds {', '.join(map(str, types))}; cast the {array.dtype} array")
    if not 1 <= array.ndim <= MAX_NDIM or max(array.shape) >= 1 << 32:
        raise ValueError(f"IDX needs 1 to {MAX_NDIM} dimensions below 2³², not {array.shape}")
    header = struct.pack(f">4B{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    content = header + array.astype(DTYPES[kind]).tobytes()
    if os.fspath(path).endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with open(path, "wb") as file:
        file.write(content)


def read(path: str | os.PathLike[str], max_bytes: int = 1 << 30) -> np.ndarray:
    """Read an IDX file, gzipped or not, into a writable array of native byte order.

    The file is not trusted. An array larger than `max_bytes` is refused, and gzip never unpacks
    more bytes than the header declares. Raises ValueError unless the file is exactly one array.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "counts.gz"
    ...     write(path, np.arange(6, dtype="int16").reshape(2, 3))
    ...     read(path)
    array([[0, 1, 2],
           [3, 4, 5]], dtype=int16)
    """
    with open(path, "rb") as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            return _read(gzip.GzipFile(fileobj=raw) if gzipped else raw, max_bytes)
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{os.fspath(path)} is not a valid IDX file: {error}") from error


def _read(file: io.BufferedIOBase, max_bytes: int) -> np.ndarray:
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise ValueError(f"it must begin with two zeros, a type and a number, not {header!r}")
    kind, ndim = header[2:]
    if kind not in DTYPES:
        raise ValueError(f"the element type must be one of {list(DTYPES)}, not {kind}")
    if not 1 <= ndim <= MAX_NDIM:
        raise ValueError(f"the number of dimensions must be 1 to {MAX_NDIM}, not {ndim}")
    dimensions = file.read(4 * ndim)
    if len(dimensions) < 4 * ndim:
        raise ValueError(f"the header ends before its {ndim} dimensions")
    shape, dtype = struct.unpack(f">{ndim}I", dimensions), np.dtype(DTYPES[kind])

    # NumPy limits the product of the lengths that are not 0, so compute this product
    if math.prod(n or 1 for n in shape) * dtype.itemsize > max_bytes:
        raise ValueError(f"it declares shape {shape} of {dtype.name}, above {max_bytes=}")
    array = np.empty(shape, dtype)
    missing = array.nbytes - file.readinto(array.reshape(-1).view(np.uint8).data)
    if missing:
        raise ValueError(f"{missing} of the {array.nbytes} bytes of {shape} are missing")
    if file.read(1):  # at the end of the file gzip compares the checksum
        raise ValueError(f"more bytes follow the {array.nbytes} bytes of {shape}")
    return array.astype(dtype.newbyteorder("="), copy=False)
