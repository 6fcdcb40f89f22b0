"""keras.datasets: those that minigrad has."""


from ..datasets import fashion_mnist, mnist
from .backend import names_of

__all__ = ["fashion_mnist", "mnist"]


__getattr__ = names_of("keras.datasets", __all__)
