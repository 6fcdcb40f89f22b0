"""The data: real sets, made-up ones, and shuffled mini-batches. Imports NumPy, never minigrad.

batches         batches(x, y, batch_size, rng)   shuffled mini-batches
synthetic       linear, blobs, spirals           small sets made from a generator
problems        PROBLEMS                         functions of two variables to minimise
idx             read, write                      the file format of MNIST
mnist           load_data()                      handwritten digits; ships with the library
fashion_mnist   load_data()                      clothing; downloaded once
airfoil         load_data()                      a regression; downloaded once
download        fetch, folder                    mirrors, digests, the cache
"""

if __name__ == "datasets":
    raise ImportError(
        "this folder is the package minigrad.datasets: write 'from minigrad import datasets'. "
        "(The bare name belongs to another project, and two copies would not know each other.)"
    )

from . import airfoil, download, fashion_mnist, idx, mnist, problems, synthetic
from .batches import batches

__all__ = [
    "airfoil",
    "batches",
    "download",
    "fashion_mnist",
    "idx",
    "mnist",
    "problems",
    "synthetic",
]
