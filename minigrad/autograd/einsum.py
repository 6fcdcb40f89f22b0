"""np.einsum with its derivatives.

The vjp of an operand is again an einsum: g replaces the operand, and the subscripts of operand and
result are swapped. For 'ij,jk->ik' the vjp of the first operand is 'ik,jk->ij'.
"""

from string import ascii_letters
from typing import Any

import numpy as np

from .numpy_vjps import implements
from .tensor import Tensor
from .variadic import VariadicPrimitive


def einsum_vjp(
    g: Any, _out: Any, operands: Any, i: int, subscripts: str = "", optimize: Any = False
) -> Any:
    """Return the einsum in which g replaces operand i."""
    left, out = subscripts.split("->")
    terms = left.split(",")
    own, terms[i] = terms[i], out
    kept = "".join(c for c in own if any(c in term for term in terms))
    factors = [*operands[:i], g, *operands[i + 1 :]]
    r = np.einsum(f"{','.join(terms)}->{kept}", *factors, optimize=optimize)
    r = np.expand_dims(r, tuple(k for k, c in enumerate(own) if c not in kept))
    return np.broadcast_to(r, np.broadcast_shapes(r.shape, operands[i].shape))


einsum_primitive = VariadicPrimitive(
    lambda *x, subscripts, optimize: np.einsum(subscripts, *x, optimize=optimize),
    einsum_vjp,
    name="np.einsum",
)


@implements(np.einsum)
def einsum(*operands: Any, optimize: Any = False) -> Tensor:
    subscripts, *arrays = operands if isinstance(operands[0], str) else from_lists(*operands)
    left, out = explicit(subscripts, [np.ndim(x) for x in arrays]).split("->")
    diagonals, terms = zip(*map(diagonal_of, arrays, left.split(",")))
    return einsum_primitive(*diagonals, subscripts=f"{','.join(terms)}->{out}", optimize=optimize)


def explicit(subscripts: str, ranks: list[int]) -> str:
    """Replace '...' by letters and add a missing right side: '...i,i' becomes 'Ai,i->A'."""
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms, who = left.split(","), f"np.einsum: {subscripts!r}"
    if len(terms) != len(ranks):
        raise ValueError(f"{who} needs {len(terms)} operands, received {len(ranks)}")
    if not arrow:  # NumPy's rule: the indices that occur once, in alphabetical order
        out = "..." + "".join(sorted(c for c in set(left) - set(".,") if left.count(c) == 1))
    # '...' stands for axes without a letter; they are aligned at the right, as in broadcasting
    axes = [n - len(t.replace("...", "")) if "..." in t else 0 for t, n in zip(terms, ranks)]
    most = max(axes)
    if most > 0 and "..." not in out:
        raise ValueError(f"{who} needs the dots on the right side of -> as well")
    letters = "".join(c for c in ascii_letters if c not in subscripts)[:most]
    terms = [t.replace("...", letters[most - n :]) for t, n in zip(terms, axes)]
    return f"{','.join(terms)}->{out.replace('...', letters)}"


def from_lists(*operands: Any) -> tuple:
    """Return (subscripts, *arrays) for np.einsum(a, [0, 1], b, [1, ...], [0]): 'AB,B...->A'."""
    letters = dict(enumerate(sorted(ascii_letters))) | {Ellipsis: "..."}
    try:
        terms = ["".join(letters[i] for i in axes) for axes in (*operands[1::2], operands[-1])]
    except (KeyError, TypeError):
        first = "a string such as 'ij,jk->ik' is required first"
        axes = f"a list of its axes, numbers from 0 to {len(ascii_letters) - 1}"
        raise TypeError(f"np.einsum: {first}, or after each operand {axes}") from None
    *terms, out = terms
    arrow = f"->{out}" if len(operands) % 2 else ""
    return ",".join(terms) + arrow, *operands[: 2 * len(terms) : 2]


def diagonal_of(x: Any, term: str) -> tuple[Any, str]:
    """Take the diagonal of the axes that share an index: 'iji' becomes 'ji'."""
    for c in term:
        i, j, shape = term.index(c), term.rindex(c), np.shape(x)
        if i < j and len(term) == len(shape):
            if shape[i] != shape[j]:
                problem = f"axes {i} and {j} have one index, but the shape is {shape}"
                raise ValueError(f"np.einsum: {problem}")
            x, term = np.diagonal(x, 0, i, j), term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    return x, term
