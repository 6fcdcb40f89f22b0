"""Helpers for the command lines of the examples."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import optimizers
from minigrad.utils import positive_int, run_file


def argument_parser(description: str | None) -> ArgumentParser:
    """Return a parser that prints the description, such as a module's docstring, unchanged."""
    return ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)


def positive_int_argument(text: str) -> int:
    """Parse a positive integer from the command line: a `type` for argparse.

    >>> positive_int_argument("3")
    3
    """
    try:
        return positive_int("the value", int(text))
    except ValueError as error:
        raise ArgumentTypeError(f"a positive integer is required, received {text!r}") from error


def seed_argument(text: str) -> int:
    """Parse the seed of a random generator from the command line: a `type` for argparse.

    >>> seed_argument("0")
    0
    """
    if not text.isdecimal():
        raise ArgumentTypeError(f"an integer of at least 0 is required, received {text!r}")
    return int(text)


def require_package(parser: ArgumentParser, option: str, package: str) -> None:
    """Stop with an error if the package of the extra `fast`, which an option needs, is missing."""
    if not find_spec(package):
        parser.error(f'{option} needs {package}: pip install "minigrad[fast]"')


def limit_threads(parser: ArgumentParser, n: int) -> None:
    """Let the matrix products use n threads; stop with an error without threadpoolctl."""
    require_package(parser, "--threads", "threadpoolctl")
    from threadpoolctl import threadpool_limits

    threadpool_limits(n)


def make_optimizer(parser: ArgumentParser, args: Namespace) -> Any:
    """Return the optimizer that --plugin, --optimizer, --lr and --compile describe.

    It has no parameters yet. If one of these options is wrong, stop with an error.
    """
    name, option = args.optimizer.lower(), f"--plugin {args.plugin}"
    hyper = {} if args.lr is None else {"lr": args.lr}
    if args.compile:
        require_package(parser, "--compile", "numba")
    try:
        if args.plugin:
            run_file(args.plugin)
        option = f"--optimizer {args.optimizer}"
        optimizer = optimizers.get(name, **hyper)
        if args.compile:
            kernel, bias = (optimizers.Parameter(np.ones(shape)) for shape in ((2, 3), 3))
            optimizers.get(name, [kernel, bias], **hyper).compile()  # a rule may refuse matrices
            optimizer.compile()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        parser.error(f"{option}: {reason}{hint_at_plugin(name)}")
    return optimizer


def hint_at_plugin(name: str) -> str:
    """Return a hint if a file in examples/optimizers/ registers this name, and has not run."""
    if name not in optimizers.available():
        for file in Path(__file__).with_name("optimizers").glob("*.py"):
            if f'@register("{name}"' in file.read_text(encoding="utf-8"):
                return f"; add --plugin examples/optimizers/{file.name}"
    return ""
