"""What is computed from opened sums: the typed tree of an output column.

A formula refers to measures of the plan by index.  :mod:`stayput.finishing` evaluates it exactly.
``needs`` says on which counts it stands: the output is withheld in a cell where one of them fails.
"""

from __future__ import annotations

import dataclasses
import enum
from fractions import Fraction


@dataclasses.dataclass(frozen=True)
class Term:
    """``factor`` times a count or a value measure of the cell."""

    index: int
    factor: int = 1
    counted: bool = False  # index into counts instead of values


Terms = tuple[Term, ...]


@dataclasses.dataclass(frozen=True)
class Formula:
    """Any formula. Only its subclasses are made. ``places`` is ``None`` for a real number."""

    @property
    def places(self) -> int | None:
        return None

    @property
    def children(self) -> tuple[Formula, ...]:
        return ()

    @property
    def terms(self) -> Terms:
        """What this node itself reads, without its children."""
        return ()


@dataclasses.dataclass(frozen=True)
class Constant(Formula):
    value: Fraction
    decimals: int

    @property
    def places(self) -> int | None:
        return self.decimals


@dataclasses.dataclass(frozen=True)
class Counted(Formula):
    """Number of rows."""

    index: int

    @property
    def places(self) -> int | None:
        return 0

    @property
    def terms(self) -> Terms:
        return (Term(self.index, counted=True),)


@dataclasses.dataclass(frozen=True)
class Total(Formula):
    """Sum of an argument in units of ``10**-decimals``; NULL when ``rows`` is zero."""

    rows: int
    first: Terms
    decimals: int

    @property
    def places(self) -> int | None:
        return self.decimals

    @property
    def terms(self) -> Terms:
        # With a term, "not NULL" follows from its passing support; alone, NULL itself is the news.
        return self.first or (Term(self.rows, counted=True),)


@dataclasses.dataclass(frozen=True)
class Mean(Formula):
    rows: int
    first: Terms
    decimals: int

    @property
    def terms(self) -> Terms:
        return (Term(self.rows, counted=True), *self.first)


@dataclasses.dataclass(frozen=True)
class Variance(Formula):
    """Variance or, with ``root``, standard deviation; ``sample`` divides by n - 1."""

    rows: int
    first: Terms
    second: Terms
    decimals: int
    sample: bool
    root: bool

    @property
    def terms(self) -> Terms:
        return (Term(self.rows, counted=True), *self.first, *self.second)


@dataclasses.dataclass(frozen=True)
class Covariance(Formula):
    rows: int
    x: Terms
    y: Terms
    xy: Terms
    decimals: int  # of x and y together
    sample: bool

    @property
    def terms(self) -> Terms:
        return (Term(self.rows, counted=True), *self.x, *self.y, *self.xy)


@dataclasses.dataclass(frozen=True)
class Correlation(Formula):
    """Pearson's; the scales of x and y cancel."""

    rows: int
    x: Terms
    y: Terms
    xx: Terms
    yy: Terms
    xy: Terms

    @property
    def terms(self) -> Terms:
        return (Term(self.rows, counted=True), *self.x, *self.y, *self.xx, *self.yy, *self.xy)


class Operator(enum.Enum):
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"


MAX_PLACES = 18
"""Beyond, an exact product is given as a real number."""


@dataclasses.dataclass(frozen=True)
class Combination(Formula):
    """Arithmetic of two formulas; NULL if one is, or if the divisor is zero."""

    operator: Operator
    left: Formula
    right: Formula

    @property
    def places(self) -> int | None:
        left, right = self.left.places, self.right.places
        if left is None or right is None or self.operator is Operator.DIVIDE:
            return None
        if self.operator is Operator.MULTIPLY:
            return left + right if left + right <= MAX_PLACES else None
        return max(left, right)

    @property
    def children(self) -> tuple[Formula, ...]:
        return (self.left, self.right)


@dataclasses.dataclass(frozen=True)
class NullIfZero(Formula):
    operand: Formula

    @property
    def places(self) -> int | None:
        return self.operand.places

    @property
    def children(self) -> tuple[Formula, ...]:
        return (self.operand,)


@dataclasses.dataclass(frozen=True)
class Rounded(Formula):
    """Rounded to ``digits`` decimals, halves away from zero."""

    operand: Formula
    digits: int

    @property
    def places(self) -> int | None:
        inner = self.operand.places
        return None if inner is None else min(inner, max(self.digits, 0))

    @property
    def children(self) -> tuple[Formula, ...]:
        return (self.operand,)


@dataclasses.dataclass(frozen=True)
class Bins:
    """A number cut into ranges: of each one its count, and the least and the greatest value in it.

    In ascending order; together they are the rows of ``counts[rows]``, each in one of them.
    """

    rows: int
    counts: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class PercentileBound(Formula):
    """An end of the interval in which a percentile lies, in units of ``10**-decimals``.

    Its bins are no terms: it is released where the number of rows is, and as wide as the bins that
    are withheld make it (:mod:`stayput.percentiles`).
    """

    bins: Bins
    share: Fraction  # between 0 and 1: 1/2 is the median
    upper: bool
    decimals: int

    @property
    def places(self) -> int | None:
        return self.decimals

    @property
    def terms(self) -> Terms:
        return (Term(self.bins.rows, counted=True),)


def all_terms(formula: Formula) -> Terms:
    """Every term that a formula reads, each once."""
    found = list(formula.terms)
    for child in formula.children:
        found.extend(all_terms(child))
    return tuple(dict.fromkeys(found))
