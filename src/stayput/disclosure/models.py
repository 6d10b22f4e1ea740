"""Linear models: may the coefficients of this Gram matrix be released?

All or nothing: a model without one of its terms is another model.  Two steps, since nobody sees the
sums of a small group (promise 3):

1. :func:`check_categories` on what round one opens, the number of people in each category;
2. :func:`check_model` on the opened Gram matrix, before anything is computed from it.

The rules, with N people and p columns (the constant among them, the target not):

* residual degrees of freedom N - p ≥ ``min_freedom`` (acro 1.0.2 ``safe_dof_threshold``: 10);
* p ≤ 33 % of N (DataSHIELD dsBase ``nfilter.glm``), or coefficients begin to be a copy of the data;
* every category has at least ``min_count`` people and leaves out as many: that of each column of
  ones and zeros, and **that of the reference level**, which has no column.  Where one person alone
  is in the reference level, the constant of the model is that person's value;
* the same for columns that nobody declared to be ones and zeros but whose people have two values
  only, the declared bounds or two neighbours.  With whole numbers and low ≤ x ≤ high,
  Σ (x - low)·(high - x) = 0 only if everybody is at a bound; with c ≤ mean ≤ c + 1,
  Σ (x - c)·(x - c - 1) = 0 only if everybody is at c or c + 1.  The target counts, too: if it is 1
  for one person, XᵀX times the coefficients is that person's row;
* no column follows from the others, for everybody (singular Gram matrix): its coefficient would
  mean nothing, and that it follows is a fact about every single person;
* no perfect fit (R² = 1): whoever knows somebody's predictors could compute the target.

:func:`verify_model` is no rule but sanity, as in :mod:`stayput.disclosure.invariants`.

Not seen: columns of two values in a model without a constant (their sums are not opened); one
person far off in a column of many values (moments of the second degree do not tell it
from a wide spread); a fit that is nearly perfect; models of the same people with other columns.
Residuals, fitted values and leverages are never released, so there is no rule for them.

Pure; what leaks is the verdict, one bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from stayput.disclosure.defaults import MAX_PARAMETERS_PERCENT
from stayput.disclosure.verdict import Reason
from stayput.errors import VerificationError
from stayput.scenario import OutputPolicy

Gram = Sequence[Sequence[int]]
"""Σ over people of the products of any two columns, as scaled integers; symmetric, target last."""


@dataclasses.dataclass(frozen=True)
class ModelColumn:
    """A column of a design, or its target: declared bounds in scaled integers.

    ``category`` is the declared column of which this one marks a level with 1, empty for others;
    ``constant`` is the column of ones.
    """

    name: str
    minimum: int
    maximum: int
    category: str = ""
    constant: bool = False


@dataclasses.dataclass(frozen=True)
class Problem:
    """A rule that a model fails, and the column at which it does; empty: the whole model."""

    reason: Reason
    column: str = ""


def check_categories(
    columns: Sequence[ModelColumn], people: int, ones: Sequence[int], policy: OutputPolicy
) -> tuple[Problem, ...]:
    """What can be said of a model before any sum of values is opened; empty if it may go on.

    Args:
        columns: of the design, in order; the target may follow.
        people: N, everybody in the join.
        ones: of each column with a category, in order, the number of people for whom it is 1.
        policy: its ``min_count`` and ``min_freedom``.

    Returns:
        Every rule that fails.
    """
    marked = [column for column in columns if column.category]
    found = _check_size(people, len(columns), policy)
    inside: dict[str, int] = {}
    for column, number in zip(marked, ones, strict=True):
        if not _both_enough(number, people, policy.min_count):
            found.append(Problem(Reason.SMALL_CATEGORY, column.name))
        inside[column.category] = inside.get(column.category, 0) + number
    for category, number in inside.items():
        if people - number < policy.min_count:
            found.append(Problem(Reason.SMALL_REFERENCE, category))
    return tuple(found)


def check_model(
    columns: Sequence[ModelColumn],
    target: ModelColumn,
    people: int,
    gram: Gram,
    policy: OutputPolicy,
) -> tuple[Problem, ...]:
    """Every rule that a model fails, given its opened Gram matrix; empty if it passes.

    Args:
        columns: of the design, in order.
        target: what it explains; last in the matrix.
        people: N, everybody in the join.
        gram: (p + 1) × (p + 1), after :func:`verify_model`.
        policy: its ``min_count`` and ``min_freedom``.
    """
    ones = [gram[i][i] for i, column in enumerate(columns) if column.category]
    found = list(check_categories(columns, people, ones, policy))
    sums = _sums(columns, gram)
    for i, column in enumerate([*columns, target]):
        if column.category or column.constant or sums is None:
            continue
        for number in _of_two_values(column, people, sums[i], gram[i][i]):
            if not _both_enough(number, people, policy.min_count):
                found.append(Problem(Reason.SMALL_VALUE, column.name))
    *independent, rest = _independent(gram)
    found += [
        Problem(Reason.FOLLOWS, column.name)
        for column, free in zip(columns, independent, strict=True)
        if not free
    ]
    if not rest:
        found.append(Problem(Reason.PERFECT_FIT))
    return tuple(found)


def verify_model(
    columns: Sequence[ModelColumn], target: ModelColumn, people: int, gram: Gram
) -> None:
    """An opened Gram matrix is possible for so many people within the declared bounds.

    Raises:
        VerificationError: it is not: not symmetric, not positive semi-definite, a sum of squares
            beyond count times bound, ones that are not their own squares.
    """
    every = [*columns, target]
    sums = _sums(columns, gram)
    possible = len(gram) == len(every) and all(
        len(row) == len(every) and all(row[j] == gram[j][i] for j in range(i))
        for i, row in enumerate(gram)
    )
    for i, column in enumerate(every):
        if not possible:
            break
        most = max(abs(column.minimum), abs(column.maximum))
        possible &= 0 <= gram[i][i] <= people * most * most
        if column.constant:
            possible &= gram[i][i] == people
        if sums is not None:
            possible &= people * column.minimum <= sums[i] <= people * column.maximum
            possible &= not column.category or sums[i] == gram[i][i]
        for j, other in enumerate(every[:i]):
            same = column.category and column.category == other.category
            possible &= not same or gram[i][j] == 0  # nobody is in two levels
    if not possible or not _is_semidefinite(gram):
        raise VerificationError(
            "the opened sums of the model are impossible for data within the declared bounds",
            hint="a part is missing, foreign or altered, or a holder's node is broken: order a new"
            " run",
        )


def _check_size(people: int, parameters: int, policy: OutputPolicy) -> list[Problem]:
    found = []
    if people < policy.min_count:
        found.append(Problem(Reason.FEW_ROWS))
    if people - parameters < policy.min_freedom:
        found.append(Problem(Reason.FEW_FREEDOM))
    if 100 * parameters > MAX_PARAMETERS_PERCENT * people:
        found.append(Problem(Reason.MANY_PARAMETERS))
    return found


def _both_enough(ones: int, people: int, least: int) -> bool:
    return ones >= least and people - ones >= least


def _sums(columns: Sequence[ModelColumn], gram: Gram) -> Sequence[int] | None:
    """Σ of each column: its products with the constant, if the design has one."""
    for i, column in enumerate(columns):
        if column.constant:
            return gram[i]
    return None


def _of_two_values(column: ModelColumn, people: int, total: int, squares: int) -> list[int]:
    """How many people have the upper one of two values, if there are no others; see module."""
    if not people:
        return []
    found = []
    neighbour = total // people
    for low, high in ((column.minimum, column.maximum), (neighbour, neighbour + 1)):
        # Σ (x - low)·(high - x)
        if high > low and (low + high) * total - squares - people * low * high == 0:
            found.append((total - people * low) // (high - low))
    return found[:1]


def _independent(gram: Gram) -> list[bool]:
    """Of each column, whether it is no combination of those before it.

    Fraction-free elimination (Bareiss 1968), exact.  In a Gram matrix a column follows from those
    before it if and only if its pivot is zero, and then all that is left of its row is.
    """
    pivots = _pivots(gram)
    if pivots is None:
        raise ValueError("not a matrix of sums of products")
    return [pivot > 0 for pivot in pivots]


def _is_semidefinite(gram: Gram) -> bool:
    return _pivots(gram) is not None


def _pivots(gram: Gram) -> list[int] | None:
    """Diagonal of the elimination; ``None`` unless positive semi-definite."""
    left = [list(row) for row in gram]
    found: list[int] = []
    before = 1
    for k, row in enumerate(left):
        pivot = row[k]
        found.append(pivot)
        if pivot < 0 or (pivot == 0 and any(row[k + 1 :])):
            return None
        if pivot == 0:
            continue
        for i in range(k + 1, len(left)):
            factor = left[i][k]
            line = left[i]
            for j in range(i, len(left)):
                # The upper triangle only: the matrix stays symmetric.
                line[j] = (line[j] * pivot - factor * row[j]) // before
            for j in range(i + 1, len(left)):
                left[j][i] = line[j]
        before = pivot
    return found
