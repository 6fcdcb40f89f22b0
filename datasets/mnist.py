"""MNIST: 70,000 images of handwritten digits, 28×28 grey pixels each; included in the library."""

from pathlib import Path

import numpy as np

from .idx import read

Split = tuple[np.ndarray, np.ndarray]
FOLDER = Path(__file__).parent / "data" / "mnist"
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def load_data() -> tuple[Split, Split]:
    """Return (train_images, train_labels), (test_images, test_labels), all uint8.

    The shapes are (60000, 28, 28), (60000,), (10000, 28, 28) and (10000,); shapes and order are
    those of Keras. A pixel is 0 (paper) to 255 (ink), a label 0 to 9. Divide the images by 255
    before training. Every call reads the files and returns new arrays, which may be changed.
    Source and licence: `data/mnist/README.md`.

    >>> (train_images, train_labels), (test_images, test_labels) = load_data()
    >>> train_images.shape, test_images.dtype, train_labels[:5].tolist()
    ((60000, 28, 28), dtype('uint8'), [5, 0, 4, 1, 9])
    """
    train_images, train_labels, test_images, test_labels = (read(FOLDER / name) for name in FILES)
    return (train_images, train_labels), (test_images, test_labels)
