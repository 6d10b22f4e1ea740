"""Least squares from sums of products, in exact integers.

Given the matrix of sums of products of the columns X and the target y (a Gram matrix), over n
people, all in whole numbers::

    b = (XᵀX + Λ)⁻¹ Xᵀy                       coefficients; Λ = 0 for ordinary least squares
    RSS = yᵀy - 2·bᵀXᵀy + bᵀXᵀX b
    H = X (XᵀX + Λ)⁻¹ Xᵀ, tr H = p for ordinary least squares
    s² = RSS / (n - tr H)
    Var b = s² (XᵀX + Λ)⁻¹ XᵀX (XᵀX + Λ)⁻¹    = s² (XᵀX)⁻¹ for ordinary least squares
    R² = 1 - RSS / Σ(y - ȳ)², or 1 - RSS / Σy² without a constant

Sources: Greene, *Econometric Analysis*, ch. 3 and 4; for ridge Hoerl and Kennard (1970), Hastie,
Tibshirani, Friedman, *The Elements of Statistical Learning*, 3.4.1 (effective degrees of freedom).
The conventions of R² are those of statsmodels.

Nothing is rounded before the last step, so nothing depends on how well conditioned the columns are;
linear dependence is found exactly.  Not here: which model may be released
(:mod:`stayput.disclosure`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction

Integers = Sequence[Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Fit:
    """A fitted model, exactly; in the units of the columns that were given.

    ``variances`` are those of the coefficients, not their roots; ``None`` where no degree of
    freedom is left.  ``r_squared`` is ``None`` if the target is constant.
    """

    coefficients: tuple[Fraction, ...]
    variances: tuple[Fraction, ...] | None
    r_squared: Fraction | None
    freedom: Fraction  # residual degrees of freedom: n - tr H


def fit(people: int, gram: Integers, *, constant: bool, penalty: Sequence[Fraction]) -> Fit | None:
    """Fit the last column of a Gram matrix by the others.

    Args:
        people: n.
        gram: symmetric, columns and then the target; the constant, if any, is the first column.
        constant: whether the first column is 1.
        penalty: the diagonal of Λ, one number ≥ 0 for each column.

    Returns:
        The fit; ``None`` if the columns are linearly dependent.
    """
    size = len(gram) - 1
    products = [list(row[:size]) for row in gram[:size]]
    right = [row[size] for row in gram[:size]]
    found = _adjugate(products, penalty)
    if found is None:
        return None
    inverse, whole = found  # divided by ``whole``: the inverse of XᵀX + Λ
    coefficients = [_dot(row, right) / whole for row in inverse]
    residual = gram[size][size] - sum(
        (
            b * (2 * c - d)
            for b, c, d in zip(coefficients, right, _fitted(products, coefficients), strict=True)
        ),
        Fraction(0),
    )
    hat = _times(inverse, products)  # times 1 / whole: its trace is that of H
    freedom = people - Fraction(sum(hat[i][i] for i in range(size))) / whole
    variances = None
    if freedom > 0:
        columns = list(zip(*inverse, strict=True))
        spread = residual / freedom / whole**2
        variances = tuple(
            spread * sum(a * b for a, b in zip(hat[i], columns[i], strict=True))
            for i in range(size)
        )
    total = gram[size][size] - (Fraction(right[0] ** 2, people) if constant and people else 0)
    return Fit(
        coefficients=tuple(coefficients),
        variances=variances,
        r_squared=1 - residual / total if total else None,
        freedom=freedom,
    )


def _adjugate(
    products: Integers, penalty: Sequence[Fraction]
) -> tuple[list[list[int]], Fraction] | None:
    """Integers and the number by which they are divided to give the inverse of XᵀX + Λ.

    Elimination without fractions (Bareiss 1968): every intermediate number is a minor of the
    matrix, so an integer, and every division is exact.
    """
    size = len(products)
    unit = math.lcm(*(value.denominator for value in penalty))
    rows = [
        [int(products[i][j] * unit + (penalty[i] * unit if i == j else 0)) for j in range(size)]
        + [int(i == j) for j in range(size)]
        for i in range(size)
    ]
    last = 1
    for pivot in range(size):
        # XᵀX + Λ is positive semi-definite: a zero on the diagonal means a row of zeros.
        head = rows[pivot][pivot]
        if head == 0:
            return None
        for i in range(size):
            if i != pivot:
                factor = rows[i][pivot]
                rows[i] = [
                    (head * a - factor * b) // last
                    for a, b in zip(rows[i], rows[pivot], strict=True)
                ]
        last = head
    return [row[size:] for row in rows], Fraction(last, unit)


def _fitted(products: Integers, coefficients: Sequence[Fraction]) -> list[Fraction]:
    """XᵀX b."""
    return [
        sum((x * b for x, b in zip(row, coefficients, strict=True)), Fraction(0))
        for row in products
    ]


def _dot(left: Sequence[int], right: Sequence[int]) -> Fraction:
    return Fraction(sum(a * b for a, b in zip(left, right, strict=True)))


def _times(left: Integers, right: Integers) -> list[list[int]]:
    columns = list(zip(*right, strict=True))
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left
    ]
