"""Helpers for the command lines of the examples."""

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from importlib.util import find_spec

from minigrad.utils import positive_int


def argument_parser(description: str | None) -> ArgumentParser:
    """Return a parser whose help shows the description, such as a module's docstring, unchanged."""
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


def require_package(parser: ArgumentParser, option: str, package: str) -> None:
    """Stop with an error if the package of the extra `fast`, which an option needs, is missing."""
    if not find_spec(package):
        parser.error(f'{option} needs {package}: pip install "minigrad[fast]"')


def limit_threads(n: int) -> None:
    """Let the matrix products use n threads."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(n)
