"""Second moments that real numbers can have: sums, squares and products over the same rows.

For n rows of values x_1 … x_k let S be the matrix of Σ x_a·x_b and X the vector of Σ x_a.  Then
n·S - X·Xᵀ is n² times a covariance matrix, so positive semi-definite; for one column this is
n·Σx² ≥ (Σx)² (Cauchy-Schwarz).  Evaluated exactly, in integers and fractions.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction

from stayput.sql import Plan
from stayput.sql.tree import Arithmetic, Expr, Operation


@dataclasses.dataclass(frozen=True)
class Moments:
    """Columns summed over the rows of one count: where in the plan's values their sums stand.

    ``products`` has an index for each pair, and for each column with itself, that is measured.
    """

    support: int
    sums: tuple[int, ...]
    products: Mapping[tuple[int, int], int]  # positions in ``sums``, the smaller one first


def moments_of(plan: Plan) -> list[Moments]:
    """All columns of a plan of which both sum and sum of squares are opened, by support."""
    found = []
    for support in range(len(plan.counts)):
        index = {v.expr: i for i, v in enumerate(plan.values) if v.support == support}
        exprs = [e for e in index if _product(e, e) in index]
        products = {}
        for (a, x), (b, y) in itertools.combinations_with_replacement(enumerate(exprs), 2):
            place = index.get(_product(x, y), index.get(_product(y, x)))
            if place is not None:
                products[a, b] = place
        if exprs:
            found.append(Moments(support, tuple(index[e] for e in exprs), products))
    return found


def possible(moments: Moments, rows: int, sums: Sequence[int | None]) -> bool:
    """Whether opened sums of one cell can be those of ``rows`` rows.

    Looks at every set of columns all of whose products are opened: pairs, and all together.
    """
    known = {
        (a, b)
        for (a, b), place in moments.products.items()
        if None not in (sums[place], sums[moments.sums[a]], sums[moments.sums[b]])
    }
    columns = [a for a in range(len(moments.sums)) if (a, a) in known]
    sets: list[tuple[int, ...]] = [(a,) for a in columns]
    sets += [pair for pair in itertools.combinations(columns, 2) if pair in known]
    if len(columns) > 2 and all(p in known for p in itertools.combinations(columns, 2)):
        sets.append(tuple(columns))
    return all(is_semidefinite(_centred(moments, rows, sums, chosen)) for chosen in sets)


def _centred(
    moments: Moments, rows: int, sums: Sequence[int | None], chosen: Sequence[int]
) -> list[list[int]]:
    """n·S - X·Xᵀ of some columns."""

    def at(place: int) -> int:
        number = sums[place]
        assert number is not None  # the caller looked
        return number

    first = [at(moments.sums[a]) for a in chosen]
    return [
        [
            rows * at(moments.products[min(a, b), max(a, b)]) - first[i] * first[j]
            for j, b in enumerate(chosen)
        ]
        for i, a in enumerate(chosen)
    ]


def is_semidefinite(matrix: Sequence[Sequence[int]]) -> bool:
    """Whether a symmetric matrix is positive semi-definite: LDLᵀ in fractions, so no tolerance.

    A pivot below zero refuses, and so does a pivot of zero in a row that is not zero.
    """
    left = [[Fraction(number) for number in row] for row in matrix]
    while left:
        pivot, row = left[0][0], left[0][1:]
        if pivot < 0 or (pivot == 0 and any(row)):
            return False
        rest = [line[1:] for line in left[1:]]
        if pivot:
            rest = [
                [rest[i][j] - row[i] * row[j] / pivot for j in range(len(row))]
                for i in range(len(row))
            ]
        left = rest
    return True


def _product(x: Expr, y: Expr) -> Expr:
    return Arithmetic(Operation.MULTIPLY, x, y)
