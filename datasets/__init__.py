"""Data sets, generated data, and shuffled batches. Imports NumPy, never minigrad.

synthetic       linear, blobs, spirals           small generated data sets
batches         batches(x, y, batch_size, rng)   shuffled batches
mnist           load_data()                      handwritten digits; included
fashion_mnist   load_data()                      clothing; downloaded once
airfoil         load_data()                      a regression; downloaded once
idx             read, write                      the file format of MNIST
download        fetch, folder                    mirrors, digests, cache
"""

if __name__ == "datasets":
    raise ImportError("import it as minigrad.datasets; the bare name belongs to another library")

from . import airfoil, download, fashion_mnist, idx, mnist, synthetic
from .batches import batches

__all__ = ["airfoil", "batches", "download", "fashion_mnist", "idx", "mnist", "synthetic"]
