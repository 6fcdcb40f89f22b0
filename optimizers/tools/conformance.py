"""Check that an optimizer satisfies the base class's contract: run this on yours.

>>> conformance("sgd")
{}
"""

import warnings
from collections.abc import Iterable
from functools import partial
from itertools import product
from traceback import extract_tb, format_exception
from typing import Any, NamedTuple

from ..registry import find, get
from . import checks as conformance_checks
from .trial import Check, error_location

CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): check
    for name, check in vars(conformance_checks).items()
    if name.startswith("check_")
}
METHODS = ("direction", "update", "step", "after_step", "evaluation_weight", "init")  # of a rule


class Finding(NamedTuple):
    """A sentence from a check. Findings with equal reasons are the same problem."""

    check: str
    sentence: str
    reason: Any
    error: BaseException | None = None


def conformance(optimizer: Any, checks: Iterable[str] | None = None) -> dict[str, str]:
    """Run checks, by default all CHECKS; return {check: what is wrong}, {} if all pass.

    optimizer: a registered name, a class, or a function (params, **hyper) that returns an
    optimizer, such as partial(get, "lookahead", inner="sgd"). Every exception is a finding, and
    inside a check every warning is an error. Raises ValueError for an unknown name or check.
    """
    failures: dict[str, str] = {}
    for check, sentence, *_ in find_problems(optimizer, checks):
        failures[check] = f"{failures[check]}; {sentence}" if check in failures else sentence
    return failures


def report(names: Iterable[str], show_traceback: bool = False) -> int:
    """Print for each optimizer that it passes, or what to mend; return 1 if any fails, else 0."""
    status = 0
    for name in names:
        problems = find_problems(name)
        if not problems:
            print(f"{name}: all {len(CHECKS)} checks passed")
            continue
        status, reasons = 1, dict[Any, list[Finding]]()
        for finding in problems:
            reasons.setdefault(finding.reason, []).append(finding)
        failed = len({finding.check for finding in problems})
        print(f"{name}{rule_location(find(name))}: {failed} of {len(CHECKS)} checks failed")
        for first, *others in reasons.values():
            count = f"{len(others)} other checks" if others[1:] else "another check"
            more = f" … and the same in {count}" if others else ""
            print(f"  {first.check}: {first.sentence}{more}")
            if show_traceback and first.error:
                print("".join(format_exception(first.error)))
    return status


def find_problems(optimizer: Any, checks: Iterable[str] | None = None) -> list[Finding]:
    """Return the findings of the checks: see conformance."""
    if isinstance(optimizer, str):
        find(optimizer)  # refuses an unknown name
    elif not callable(optimizer):
        needed = "a registered name, a class, or a function (params, **hyper) -> optimizer"
        raise TypeError(f"conformance needs {needed}; received {optimizer!r}")
    make = partial(get, optimizer) if isinstance(optimizer, str | type) else optimizer
    findings = []
    for check in CHECKS if checks is None else checks:
        if check not in CHECKS:
            raise ValueError(f"unknown check {check!r} (there are: {', '.join(CHECKS)})")
        try:
            with warnings.catch_warnings(action="error"):
                for sentence in CHECKS[check](make):
                    findings.append(Finding(check, sentence, sentence))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped in the check {check} of {optimizer}") from None
        except (Exception, SystemExit) as error:  # an optimizer under test can raise anything
            last = extract_tb(error.__traceback__)[-1]
            what = f"it raises {type(error).__name__}{error_location(error)}: {error}"
            if isinstance(error, KeyError):
                what += "; make slots in init(self, w), or by slots.setdefault(…, np.zeros_like(g))"
            findings.append(Finding(check, what, (type(error), last.filename, last.lineno), error))
    return findings


def rule_location(rule: type) -> str:
    """Return the file and line where the rule begins."""
    for cls, method in product(rule.__mro__, METHODS):
        function = vars(cls).get(method)
        if code := getattr(getattr(function, "__func__", function), "__code__", None):
            return f" ({code.co_filename}, line {code.co_firstlineno})"
    return ""
