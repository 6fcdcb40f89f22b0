"""The callbacks of a training: they are called in order, and Ctrl-C stops the training."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .callbacks import HOOKS, Callback, ModelCheckpoint
from .utils import unknown_name


class CallbackList:
    """Dispatch hooks. The first Ctrl-C stops after the current batch, the second at once."""

    def __init__(self, callbacks: Iterable[Callback], model: Any):
        self.model, self.running, self.interrupted = model, False, False
        self.callbacks_by_name: dict[str, Callback] = {}  # by "EarlyStopping.0", as in checkpoints
        for callback in sorted(callbacks, key=lambda c: isinstance(c, ModelCheckpoint)):
            if not isinstance(callback, Callback):
                raise TypeError(f"fit: a callback such as CSVLogger(…) is needed, not {callback!r}")
            callback.model, name = model, type(callback).__name__
            known = {*HOOKS, *callback.uncalled}
            for hook in dir(type(callback)):
                if hook.lower().startswith("on_") and hook not in known:
                    raise unknown_name(f"hook of {name}", hook, HOOKS)
            number = sum(type(other).__name__ == name for other in self.callbacks_by_name.values())
            self.callbacks_by_name[f"{name}.{number}"] = callback

    def __call__(self, hook: str, *args: Any) -> None:
        self.model.stop_training |= self.interrupted
        for callback in self.callbacks_by_name.values():
            self.call_with_note(callback, hook, *args)

    def call_with_note(self, callback: Callback, method: str, *args: Any) -> Any:
        try:
            return getattr(callback, method)(*args)
        except Exception as error:
            error.add_note(f"in the callback {type(callback).__name__}, {method}")
            raise

    @contextmanager
    def training(self) -> Iterator[None]:
        """Handle Ctrl-C inside the block; if the block raises, forget the training state."""
        is_main_thread = threading.current_thread() is threading.main_thread()
        is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        installs_handler = is_main_thread and is_default
        if installs_handler:
            signal.signal(signal.SIGINT, self.on_ctrl_c)
        self.running = True
        try:
            yield
        except BaseException:
            self.model.training_state = None  # a half-finished step must not be resumed
            raise
        finally:
            self.running = False
            if installs_handler:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_ctrl_c(self, *_: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def state_dict(self) -> dict[str, Any]:
        return {k: self.call_with_note(c, "state_dict") for k, c in self.callbacks_by_name.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore each callback, or reset it if it has no saved state."""
        for name, callback in self.callbacks_by_name.items():
            self.call_with_note(callback, "load_state_dict", state.get(name, {}))
