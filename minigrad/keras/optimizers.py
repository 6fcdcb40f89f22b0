"""keras.optimizers: minigrad's optimizers with Keras's arguments, defaults and conventions."""

from typing import Any

from .. import optimizers as native
from ..optimizers.hyperparameters import Hyperparameter
from ..utils import lookup
from . import schedules
from .backend import Scalar, getattr_for

NAMES = {  # Keras's → ours
    "learning_rate": "lr", "beta_1": "beta1", "beta_2": "beta2", "epsilon": "eps",
    "initial_accumulator_value": "initial_accumulator", "clipnorm": "clip_norm",
    "clipvalue": "clip_value", "global_clipnorm": "clip_global_norm",
}  # fmt: skip
TAIL = "weight_decay clipnorm clipvalue global_clipnorm".split()
IGNORED = {"name", "jit_compile", "is_legacy_optimizer"}  # they change no number


class LearningRate(Scalar):
    """The learning rate of an optimizer, a number that also has numpy() and assign(value)."""

    optimizer: Any

    def assign(self, value: float) -> None:
        self.optimizer.lr = value


class Rate(Hyperparameter):
    """The attribute lr: a number is read as a LearningRate."""

    def __get__(self, optimizer: Any, owner: Any = None) -> Any:
        value = super().__get__(optimizer, owner)
        if optimizer is None or not isinstance(value, float):
            return value
        rate = LearningRate(value)
        rate.optimizer = optimizer
        return rate


class KerasArguments(type):
    """Make an optimizer from Keras's arguments; `head` lists the positional ones.

    If a list of parameters comes first, all arguments are minigrad's: load_state_dict needs this.
    """

    def __call__(cls: Any, *args: Any, **keywords: Any) -> Any:
        if args and isinstance(args[0], list):
            return super().__call__(*args, **keywords)
        who, order = cls.__name__, [*cls.head.split(), *TAIL]
        positional = dict(zip(order, args if args != (None,) else ()))
        if len(args) > len(order) or positional.keys() & keywords.keys():
            raise TypeError(f"{who}: too many arguments; their order is {', '.join(order)}")
        keywords |= positional
        if "lr" in keywords:  # Keras 2
            keywords["learning_rate"] = keywords.pop("lr")
        decay = keywords.pop("decay", 0)
        hyper, ours = {}, {name: NAMES.get(name, name) for name in order}
        for name, value in keywords.items():
            is_off = not value and ("clip" in name or name == "nesterov")
            if name not in IGNORED and value is not None and not is_off:
                hyper[lookup(f"argument of {who}", name, ours)] = value
        if decay:  # Keras 2: lr / (1 + decay·t)
            lr = hyper.get("lr", cls.conventions["keras"]["lr"])
            hyper["lr"] = schedules.InverseTimeDecay(lr, 1, decay)
        return super().__call__(None, **(cls.conventions["keras"] | hyper))


class Attributes:
    """Keras's names of what an optimizer knows."""

    @property
    def learning_rate(self: Any) -> LearningRate:
        """The learning rate of the next step; assign a number or a schedule."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self: Any, value: Any) -> None:
        self.lr = value if callable(value) else float(value)

    @property
    def iterations(self: Any) -> int:
        return self.steps


HEADS = {
    "SGD": (native.SGD, "learning_rate momentum nesterov"),
    "RMSprop": (native.RMSprop, "learning_rate rho momentum epsilon centered"),
    "Adam": (native.Adam, "learning_rate beta_1 beta_2 epsilon amsgrad"),
    "AdamW": (native.AdamW, "learning_rate weight_decay beta_1 beta_2 epsilon amsgrad"),
    "Adagrad": (native.AdaGrad, "learning_rate initial_accumulator_value epsilon"),
    "Adadelta": (native.Adadelta, "learning_rate rho epsilon"),
    "Nadam": (native.NAdam, "learning_rate beta_1 beta_2 epsilon"),
    "Lion": (native.Lion, "learning_rate beta_1 beta_2"),
}
CLASSES: dict[str, Any] = {
    name: KerasArguments(name, (Attributes, base), {"head": head, "__module__": __name__})
    for name, (base, head) in HEADS.items()
}
for _cls in CLASSES.values():
    _cls.lr = Rate("lr", _cls.defaults["lr"])
Optimizer = native.Optimizer


def get(identifier: Any) -> Any:
    """Return an optimizer by its name or of a class; an instance as it is."""
    if isinstance(identifier, str):
        by_name = {name.lower(): cls for name, cls in CLASSES.items()}
        return lookup("optimizer", identifier, by_name)()
    return native.get(identifier)


globals().update(CLASSES)
__all__ = [*CLASSES, "Optimizer", "schedules"]
INSTEAD = "examples/optimizers shows how to write an optimizer."
__getattr__ = getattr_for("keras.optimizers", CLASSES, "Adamax Ftrl Adafactor Muon Lamb", INSTEAD)
