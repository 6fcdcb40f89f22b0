"""Helpers for the command lines of the examples."""

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter

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


def limit_threads(n: int | None) -> None:
    """Let the matrix products use n threads; None leaves the choice to NumPy's BLAS."""
    if n is None:
        return
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise SystemExit('--threads needs threadpoolctl: pip install "minigrad[fast]"') from error
    threadpool_limits(n)
