"""The optimizers. Read optimizer.py to its line for advanced readers, then sgd.py, rmsprop.py."""

if __name__ == "optimizers":
    raise ImportError("import it as minigrad.optimizers; a second copy would have its own registry")

from .adadelta import Adadelta
from .adagrad import AdaGrad
from .adam import Adam
from .adamw import AdamW
from .averaging import EMA, SWA
from .clipping import clip_by_global_norm, clip_by_norm, clip_by_value
from .formulas import ema, root
from .hyperparameters import Number
from .lion import Lion
from .nadam import NAdam
from .optimizer import Optimizer
from .parameters import Group, Parameter
from .registry import Rule, available, from_name, get, name_of, register
from .rmsprop import RMSprop
from .schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    Join,
    LinearWarmup,
    OneCycle,
    Schedule,
    StepDecay,
)
from .sgd import SGD
from .tools.candidate import Match
from .tools.identify import identify
from .wrapper import Wrapper

__all__ = [
    "EMA", "SGD", "SWA", "AdaGrad", "Adadelta", "Adam", "AdamW", "Constant", "CosineDecay",
    "ExponentialDecay", "Group", "InverseTimeDecay", "Join", "LinearWarmup", "Lion", "Match",
    "NAdam", "Number", "OneCycle", "Optimizer", "Parameter", "RMSprop", "Rule", "Schedule",
    "StepDecay", "Wrapper", "available", "clip_by_global_norm", "clip_by_norm", "clip_by_value",
    "ema", "from_name", "get", "identify", "name_of", "register", "root",
]  # fmt: skip
