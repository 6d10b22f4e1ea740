"""Results of one length: how long a sealed result is says nothing about what is in it.

A sealed result passes the coordinator and a network.  Its length would tell how many cells were
withheld after the verdict, and how many digits the numbers have.  So spaces are put behind the
document until it is as long as if every cell had a number of the largest size that the plan allows:
a function of scenario and arguments alone.  Canonical JSON does not end with a space, so what was
added can be taken off again.

Noise may make numbers larger than any data; there is room for that of all holders.  It reaches
further with probability below 2**-64, and such a result is brought to the next whole :data:`STEP`.
What leaks: the length of an answer to this question, whatever the answer is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

from stayput import documents
from stayput.sql import Plan
from stayput.sql.formulas import (
    Combination,
    Constant,
    Counted,
    Formula,
    NullIfZero,
    Operator,
    PercentileBound,
    Rounded,
    Term,
    Terms,
    Total,
)
from stayput.table import CellState, CellType, ResultColumn, ResultTable

LONGEST_FLOAT = "-2.2250738585072014e-308"
"""Longest text of a double: sign, 17 digits, an exponent of three."""

STEP = 4096

_MARGIN = 1_000
"""Rounding a count to multiples, at most of 1,000, can make it larger by as much."""


def padded(encoded: bytes, table: ResultTable, widths: Sequence[int]) -> bytes:
    """An encoded document with spaces behind it, so that its length does not depend on the numbers.

    Args:
        encoded: canonical JSON, with the table somewhere in it.
        table: its table.
        widths: of each column, characters of the longest possible number; not read for keys.
    """
    fullest = dataclasses.replace(
        table,
        columns=tuple(
            column if column.key else _full(column, width)
            for column, width in zip(table.columns, widths, strict=True)
        ),
    )
    missing = len(documents.encode(fullest)) - len(documents.encode(table))
    return encoded + b" " * (missing if missing >= 0 else -len(encoded) % STEP)


def _full(column: ResultColumn, width: int) -> ResultColumn:
    """The column with the longest number in every cell."""
    text = "9" * width
    if column.type is CellType.FLOAT:
        text = LONGEST_FLOAT
    elif column.scale:
        text = "9" * (width - column.scale - 1) + "." + "9" * column.scale
    rows = len(column.states)
    return dataclasses.replace(column, states=CellState.VALUE.value * rows, texts=(text,) * rows)


def unpadded(encoded: bytes) -> bytes:
    """The document without the spaces behind it."""
    return encoded.rstrip(b" ")


def widths(plan: Plan) -> tuple[int, ...]:
    """Of each output column of a plan, characters of the longest possible number; 0 for keys."""
    return tuple(
        0 if output.formula is None else _width(plan, output.formula) for output in plan.outputs
    )


def _width(plan: Plan, formula: Formula) -> int:
    if formula.places is None:
        return len(LONGEST_FLOAT)
    digits = len(str(int(_largest(plan, formula))))
    return 1 + digits + 1 + formula.places + 1  # sign, one digit to spare, point


def _largest(plan: Plan, formula: Formula) -> Fraction:  # noqa: PLR0911 -- one case per formula
    """A bound of the absolute value of an exact formula."""
    match formula:
        case Constant(value=value):
            return abs(value)
        case Counted(index=index):
            return Fraction(_most(plan, Term(index, counted=True)))
        case Total(first=terms, decimals=decimals):
            return _sum(plan, terms) / Fraction(10**decimals)
        case PercentileBound(bins=bins, decimals=decimals):
            ends = (*bins.ranges[0], *bins.ranges[-1])
            return Fraction(max(map(abs, ends)), 10**decimals)
        case NullIfZero(operand=operand):
            return _largest(plan, operand)
        case Rounded(operand=operand, digits=digits):
            return _largest(plan, operand) + Fraction(10 ** max(0, -digits))
        case Combination(operator=operator, left=left, right=right):
            one, other = _largest(plan, left), _largest(plan, right)
            return one * other if operator is Operator.MULTIPLY else one + other
    raise TypeError(f"{type(formula).__name__} has no bound")


def _sum(plan: Plan, terms: Terms) -> Fraction:
    return Fraction(sum(abs(term.factor) * _most(plan, term) for term in terms))


def _most(plan: Plan, term: Term) -> int:
    """A bound of what one measure adds up to, with the noise in it."""
    size = 1 if term.counted else plan.values[term.index].expr.size
    place = term.index if term.counted else len(plan.counts) + term.index
    noise = 0 if plan.noise is None else plan.holders * plan.noise.tail(place)
    return (plan.max_rows * plan.holders + _MARGIN) * size + noise
