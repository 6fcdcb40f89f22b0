"""keras.datasets: MNIST and Fashion-MNIST."""

from ..datasets import fashion_mnist, mnist
from .backend import getattr_for

__all__ = ["fashion_mnist", "mnist"]


OTHERS = "cifar10 cifar100 imdb reuters boston_housing california_housing"
__getattr__ = getattr_for("keras.datasets", __all__, OTHERS, "load the data yourself.")
