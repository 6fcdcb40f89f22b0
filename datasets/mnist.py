"""MNIST: 70,000 handwritten digits, 28×28 grey pixels each. Ships with the library."""

from pathlib import Path

import numpy as np

from .idx import read

Split = tuple[np.ndarray, np.ndarray]
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
FOLDER = Path(__file__).parent / "data" / "mnist"


def load_data() -> tuple[Split, Split]:
    """((60000, 28, 28), (60000,)), ((10000, 28, 28), (10000,)): images and labels, all uint8.

    The shape and order are Keras's. A pixel is 0 (paper) to 255 (ink), a label 0 to 9; divide the
    images by 255 before training. The arrays are yours: each call reads the four files anew.
    Source and licence stand beside the files in `data/mnist`.

    >>> (train_images, train_labels), (test_images, test_labels) = load_data()
    >>> train_images.shape, test_images.dtype, train_labels[:5].tolist()
    ((60000, 28, 28), dtype('uint8'), [5, 0, 4, 1, 9])
    """
    train_images, train_labels, test_images, test_labels = (read(FOLDER / name) for name in FILES)
    return (train_images, train_labels), (test_images, test_labels)
