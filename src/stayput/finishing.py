"""From opened sums to the result table, in exact arithmetic.

Integers and fractions all the way; a real number is rounded to a double once, at the end, to the
nearest.  Square roots are taken of exact fractions with enough digits that this holds for them as
well.  (The textbook variance in doubles can be off by orders of magnitude.)

SQL's meaning of few rows: SUM, AVG and population moments of no row are NULL, sample moments of
fewer than two rows are NULL.  Three things that engines do differently are fixed here: a division
by zero is NULL, the correlation with a constant is NULL, and ROUND takes halves away from zero of
the exact value.

Where holders added noise, a spread that comes out negative and a correlation beyond ±1 are NULL
(noise has swallowed them), and each count and sum comes with the size of the noise in it.

A cell is withheld where one of the counts it stands on did not pass (an end of a percentile's
interval stands on the number of rows, and uses those bins that passed); a row whose number of rows
did not pass is withheld as a whole.  The row itself is listed: its key is declared, not found.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from stayput import percentiles
from stayput.errors import InvalidInput, VerificationError
from stayput.sql import Dimension, OutputColumn, Plan
from stayput.sql.formulas import (
    Combination,
    Constant,
    Correlation,
    Counted,
    Covariance,
    Formula,
    Mean,
    NullIfZero,
    Operator,
    PercentileBound,
    Rounded,
    Terms,
    Total,
    Variance,
    all_terms,
)
from stayput.sql.tree import Kind
from stayput.table import (
    OTHER_TEXT,
    CellState,
    CellType,
    ResultColumn,
    ResultTable,
    column,
    float_text,
)

_KEY_TYPES = {
    Kind.NUMBER: CellType.INTEGER,
    Kind.LEVEL: CellType.TEXT,
    Kind.BOOLEAN: CellType.BOOLEAN,
}

ROOT_BITS = 256
"""Precision of a square root that is not exact, beyond the bits of its operand."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """The opened measures of one cell.

    ``passes`` says which counts may be used where an output needs not all of them, ``rounding``
    what they are multiples of.
    """

    counts: Sequence[int]
    values: Sequence[int | None]
    passes: Sequence[bool] = ()
    rounding: int = 0

    def total(self, terms: Terms) -> int:
        """Sum of the terms; all of them are opened."""
        result = 0
        for term in terms:
            part = self.counts[term.index] if term.counted else self.values[term.index]
            if part is None:
                raise InvalidInput("a value that passed was not opened")
            result += term.factor * part
        return result


def finish(
    plan: Plan,
    counts: Sequence[Sequence[int]],
    values: Sequence[Sequence[int | None]],
    passes: Sequence[Sequence[bool]],
    *,
    rounding: int = 0,
    synthetic: bool = False,
) -> ResultTable:
    """The result table of a plan.

    Args:
        plan: the plan that all parts were computed from.
        counts: cells × counts, pooled.
        values: cells × value measures, pooled; ``None`` where nothing was opened.
        passes: cells × measures; true where a count or value may be released.
        rounding: counts are rounded to its multiples, after all checks; 0 leaves them exact.
        synthetic: mark the table as a rehearsal.

    Raises:
        InvalidInput: the matrices do not fit the plan.
    """
    if not len(counts) == len(values) == len(passes) == plan.cells:
        raise InvalidInput("the opened sums do not fit the plan")
    grid = [
        (slots, Opened(count, value, passed), passed)
        for slots, count, value, passed in zip(_grid(plan), counts, values, passes, strict=True)
        if (count[0] and plan.noise is None) or not _impossible(plan, slots)
    ]
    columns = []
    for output in plan.outputs:
        if output.formula is None:
            columns.append(_key_column(plan, output, [slots for slots, _, _ in grid]))
        else:
            needs = _measures_needed(plan, output.formula)
            cells = [
                _cell(output.formula, _rounded(output.formula, opened, rounding))
                if all(passed[index] for index in needs)
                else CellState.WITHHELD
                for _, opened, passed in grid
            ]
            columns.append(_formula_column(plan, output.name, output.formula, cells))
    return ResultTable(tuple(columns), synthetic, plan.noise is not None)


def verify_table(plan: Plan, table: ResultTable) -> ResultTable:
    """A table that :func:`finish` can have given for this plan; returns it.

    Whoever has the sealed text can tell without a number: columns and types, the rows of the
    declared grid in their order, how much noise it has, and that it is no rehearsal.

    Raises:
        VerificationError: it cannot.
    """
    grid = list(_grid(plan))
    expected = [
        _key_column(plan, output, grid)
        if output.formula is None
        else _formula_column(plan, output.name, output.formula, ())
        for output in plan.outputs
    ]
    marks = (table.synthetic, table.noisy) != (False, plan.noise is not None)
    if marks or [_bare(c) for c in table.columns] != [_bare(c) for c in expected]:
        raise VerificationError("the table does not have the columns of the statement")
    keys = [index for index, found in enumerate(expected) if found.key]
    rows = iter([tuple(row[index] for index in keys) for row in table.rows()])
    row = next(rows, None)
    for slots, *key in zip(grid, *(expected[index].values for index in keys), strict=True):
        if tuple(key) == row:
            row = next(rows, None)
        elif not _impossible(plan, slots):
            break
    else:
        if row is None:
            return table
    raise VerificationError("the table does not have the rows of the statement")


def _rounded(formula: Formula, opened: Opened, base: int) -> Opened:
    """What an output is computed from: rounded counts where it has nothing but counts in it.

    To the nearest multiple of the base, halves up (acro 1.0.2 rounds to multiples of 5).  Means and
    sums of other columns are exact: rounding their number of rows would make them wrong.
    """
    if base < 2 or not all(term.counted for term in all_terms(formula)):
        return opened
    return dataclasses.replace(
        opened,
        counts=[(2 * n + base) // (2 * base) * base for n in opened.counts],
        rounding=base,
    )


def _bare(found: ResultColumn) -> ResultColumn:
    return dataclasses.replace(found, states="", texts=())


def _measures_needed(plan: Plan, formula: Formula) -> tuple[int, ...]:
    """The measures on which an output stands, the cell's number of rows always among them.

    So a ratio needs numerator and denominator, a mean the sum and the number of its rows.
    """
    found = {0}
    for term in all_terms(formula):
        if term.counted:
            found.add(term.index)
        else:
            found |= {plan.values[term.index].support, len(plan.counts) + term.index}
    return tuple(sorted(found))


def cell_keys(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The group keys of each cell as people read them, in order of the cells."""
    words = {CellState.NULL: "NULL", CellState.OTHER: OTHER_TEXT}
    for slots in _grid(plan):
        cells = [_key_cell(d, slot) for d, slot in zip(plan.dimensions, slots, strict=True)]
        yield tuple(words[cell] if isinstance(cell, CellState) else cell for cell in cells)


def _grid(plan: Plan) -> Iterator[tuple[int, ...]]:
    """The slots of each cell, in order of the cells: row-major, first key slowest."""
    return itertools.product(*(range(dimension.slots) for dimension in plan.dimensions))


def _impossible(plan: Plan, slots: tuple[int, ...]) -> bool:
    """An ``__other__`` cell of a key that has no other values; listed only if it has rows."""
    return any(
        slot == dimension.other_slot and not dimension.open
        for dimension, slot in zip(plan.dimensions, slots, strict=True)
    )


def _key_column(plan: Plan, output: OutputColumn, grid: Sequence[tuple[int, ...]]) -> ResultColumn:
    if output.key is None:
        raise TypeError("an output column is a key or a formula")
    dimension = plan.dimensions[output.key]
    texts = [_key_cell(dimension, slot) for slot in range(dimension.slots)]
    cells = [texts[slots[output.key]] for slots in grid]
    return column(output.name, _KEY_TYPES[dimension.kind], cells, key=True)


def _key_cell(dimension: Dimension, slot: int) -> str | CellState:
    if slot == dimension.null_slot:
        return CellState.NULL
    if slot == dimension.other_slot:
        return CellState.OTHER
    value = dimension.values[slot]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _formula_column(
    plan: Plan, name: str, formula: Formula, cells: Sequence[str | CellState]
) -> ResultColumn:
    places = formula.places
    if places is None:
        return column(name, CellType.FLOAT, cells)
    kind = CellType.DECIMAL if places else CellType.INTEGER
    error = noise_error(plan, formula)
    text = "" if error is None else fixed_text(Fraction(error, 10**places), places)
    return column(name, kind, cells, scale=places, error=text)


def noise_error(plan: Plan, formula: Formula) -> int | None:
    """Within what the noise of all holders in an output is in 95 of 100 cells, in units of its last
    place, rounded up; None without noise, and for what is not just a count or a sum."""
    if plan.noise is None or not isinstance(formula, Counted | Total):
        return None
    terms = [
        (term.factor, term.index if term.counted else len(plan.counts) + term.index)
        for term in (formula.first if isinstance(formula, Total) else formula.terms)
    ]
    return math.ceil(plan.noise.error(terms, plan.holders)) if terms else None


def _cell(formula: Formula, opened: Opened) -> str | CellState:
    value = evaluate(formula, opened)
    if value is None:
        return CellState.NULL
    if formula.places is not None:
        return fixed_text(value, formula.places)
    try:
        return float_text(float(value))
    except OverflowError:  # beyond 1e308 there is no double, so no value
        return CellState.NULL


def fixed_text(value: Fraction, places: int) -> str:
    """An exact number with ``places`` decimals, such as ``-0.50``."""
    scaled = value * 10**places
    if scaled.denominator != 1:
        raise ValueError("the number has more decimals")
    digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
    sign = "-" if scaled < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


# --- formulas -------------------------------------------------------------------------------------


def evaluate(formula: Formula, opened: Opened) -> Fraction | None:  # noqa: PLR0911 -- one case per formula
    """The value of a formula in one cell; ``None`` is NULL.

    Exact, but for square roots that are irrational: those are within 2**-256 relative, on the
    right side of the true value.
    """
    match formula:
        case Constant(value=value):
            return value
        case Counted(index=index):
            return Fraction(opened.counts[index])
        case Total(rows=rows, first=first, decimals=decimals):
            if opened.counts[rows] == 0:
                return None
            return Fraction(opened.total(first), 10**decimals)
        case Mean(rows=rows, first=first, decimals=decimals):
            n = opened.counts[rows]
            return None if n == 0 else Fraction(opened.total(first), n * 10**decimals)
        case Variance():
            return _variance(formula, opened)
        case Covariance():
            return _covariance(formula, opened)
        case Correlation():
            return _correlation(formula, opened)
        case PercentileBound(bins=bins, share=share, upper=upper, decimals=decimals):
            ends = percentiles.enclose(bins, share, opened.counts, opened.passes, opened.rounding)
            return None if ends is None else Fraction(ends[upper], 10**decimals)
        case Combination():
            return _combine(formula, opened)
        case NullIfZero(operand=operand):
            return evaluate(operand, opened) or None
        case Rounded(operand=operand, digits=digits):
            inner = evaluate(operand, opened)
            return None if inner is None else round_half_away(inner, digits)
    raise TypeError(f"{type(formula).__name__} cannot be evaluated")


def _variance(formula: Variance, opened: Opened) -> Fraction | None:
    """(n·Σx² - (Σx)²) / (n·(n - sample)), a standard identity, exact here."""
    n = opened.counts[formula.rows]
    if n - formula.sample <= 0:
        return None
    first, second = opened.total(formula.first), opened.total(formula.second)
    spread = n * second - first * first
    if spread < 0:  # only of noise: exact moments are not so (clause C-3)
        return None
    variance = Fraction(spread, n * (n - formula.sample) * 100**formula.decimals)
    return square_root(variance) if formula.root else variance


def _covariance(formula: Covariance, opened: Opened) -> Fraction | None:
    n = opened.counts[formula.rows]
    if n - formula.sample <= 0:
        return None
    x, y, xy = (opened.total(terms) for terms in (formula.x, formula.y, formula.xy))
    return Fraction(n * xy - x * y, n * (n - formula.sample) * 10**formula.decimals)


def _correlation(formula: Correlation, opened: Opened) -> Fraction | None:
    n = opened.counts[formula.rows]
    x, y = opened.total(formula.x), opened.total(formula.y)
    spread_x = n * opened.total(formula.xx) - x * x
    spread_y = n * opened.total(formula.yy) - y * y
    if n <= 0 or spread_x <= 0 or spread_y <= 0:
        return None
    together = n * opened.total(formula.xy) - x * y
    if together * together > spread_x * spread_y:  # only of noise
        return None
    size = square_root(Fraction(together * together, spread_x * spread_y))
    return size if together >= 0 else -size


def _combine(formula: Combination, opened: Opened) -> Fraction | None:
    left, right = evaluate(formula.left, opened), evaluate(formula.right, opened)
    if left is None or right is None:
        return None
    if formula.operator is Operator.ADD:
        return left + right
    if formula.operator is Operator.SUBTRACT:
        return left - right
    if formula.operator is Operator.MULTIPLY:
        return left * right
    return left / right if right else None


def square_root(value: Fraction) -> Fraction:
    """The root of a fraction >= 0: exact if rational, else truncated with a sticky last bit.

    The sticky bit keeps an irrational root off every rounding boundary, so rounding the result to
    a double, or half away from zero, gives what rounding the true root gives: a boundary m that
    differs from sqrt(p/q) does so by at least 1/(q·4^d·(m + sqrt)) for d binary digits of m, which
    is more than the precision kept here.

    Raises:
        ValueError: negative.
    """
    if value < 0:
        raise ValueError("the square root of a negative number")
    numerator, denominator = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if numerator**2 == value.numerator and denominator**2 == value.denominator:
        return Fraction(numerator, denominator)
    bits = ROOT_BITS + value.numerator.bit_length() + value.denominator.bit_length()
    root = math.isqrt((value.numerator << (2 * bits)) // value.denominator)
    return Fraction(2 * root + 1, 1 << (bits + 1))


def round_half_away(value: Fraction, digits: int) -> Fraction:
    """Rounded to ``digits`` decimals (negative: to tens, hundreds …), halves away from zero."""
    unit = Fraction(10) ** digits
    scaled = abs(value) * unit
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if value >= 0 else -whole) / unit
