"""Decomposes aggregates into additive measures.

A *count* is a number of rows under a condition; a *value* is a sum over the rows of one count, its
*support*, and is opened only where that count passes.  The support must therefore be the rows that
really enter.  So everything that selects rows is turned into a condition, never into a factor:

* FILTER and the branches of CASE, also ``SUM(CASE WHEN p THEN 1 ELSE 0 END)``, which is a count;
* a column with two possible values, whose sum is a count of one of them.

Refused, because it selects rows by arithmetic: ``//`` and ``%`` inside an aggregate, products of
three columns, products or sums of a two-valued column with another one.  What remains: a polynomial
of degree two weighs rows unevenly, several such sums together may single out few rows, and a column
declared wide may hold two values only.  That is differencing, and belongs to the audit of all
statements of a scenario together, not to the check of one cell.
"""

from __future__ import annotations

import dataclasses

from stayput.sql.formulas import Bins, Term, Terms
from stayput.sql.translate import both, is_strict, not_null
from stayput.sql.tree import (
    And,
    Arithmetic,
    Case,
    Column,
    Comparison,
    Expr,
    IntegerDivision,
    IsNull,
    IsTrue,
    Kind,
    Not,
    Number,
    Operation,
    Parameter,
    Relation,
    Remainder,
    columns_of,
    conjunction,
    substitute_column,
    walk,
)

MAX_SUM = 2**126
"""A holder's own sum stays below; HUGEINT ends at 2**127."""

MAX_MEASURES = 512
"""Counts and values of a statement; each is a ciphertext slot per cell."""


PERCENTILE_HINT = (
    "write APPROX_PERCENTILE(x, 0.5, 10): of a numeric column x the median, from bins 10 wide"
)

MAX_BINS = 200
"""Bins of a number; each is a count of every cell, with what is evaluated of it."""


class Unsupported(ValueError):
    """An argument that cannot be decomposed; the caller adds the place."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclasses.dataclass(frozen=True)
class CountMeasure:
    """A number of rows.

    ``complements`` are the larger counts of the plan out of which these rows were chosen, where
    the rows left out could be seen as a difference of two outputs: disclosure control then looks
    at how many they are, too.  Empty for all rows of the cell, and for rows left out only because
    the argument is NULL when no other output adds up the same column over them.
    """

    condition: Expr | None
    complements: tuple[int, ...] = ()

    @property
    def filtered(self) -> bool:
        return bool(self.complements)


@dataclasses.dataclass(frozen=True)
class ValueMeasure:
    """A sum of ``expr`` over the rows of ``counts[support]``; one row adds minimum to maximum."""

    expr: Expr
    support: int
    minimum: int
    maximum: int


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows under ``condition`` contribute ``value``, which may still be NULL.

    ``chosen_from`` are the rows out of which a constant's rows are chosen: the complement.
    """

    condition: Expr | None
    value: Expr
    chosen_from: Expr | None = None


@dataclasses.dataclass(frozen=True)
class Argument:
    """An aggregate's argument: parts with disjoint conditions, and where it is not NULL."""

    parts: tuple[Part, ...]
    rows: int
    scale: int


class Measures:
    """Collects the distinct measures of a statement."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._conditions: list[Expr | None] = [None]
        self._narrowed: set[tuple[int, int]] = set()  # index, index of what it was chosen from
        self._added: set[tuple[frozenset[Column], int]] = set()  # columns added up, support
        self.values: list[ValueMeasure] = []
        self._bins: dict[tuple[Expr, Expr | None], tuple[int, Bins]] = {}  # with their width

    def count(self, condition: Expr | None, base: Expr | None = None, *, narrowed: bool) -> int:
        """Index of a count of the rows under ``condition``, narrowed from those under ``base``."""
        if condition not in self._conditions:
            self._conditions.append(condition)
            self._verify_number()
        index = self._conditions.index(condition)
        if narrowed and condition != base:
            self._narrowed.add((index, self.count(base, narrowed=False)))
        return index

    def counts(self) -> tuple[CountMeasure, ...]:
        """All counts with their complements; call it when every measure is collected.

        Two counts of which one implies the other differ by a group of rows.  It is a complement if
        the smaller one was chosen by a FILTER or CASE, or if outputs add up a common column over
        both, as in SUM(x + y) and SUM(x), where y is NULL in some rows.
        """
        # Conditions as sets of numbers: hashing trees again for every pair would take minutes.
        numbers: dict[Expr, int] = {}
        stated, parts = (
            [
                frozenset(numbers.setdefault(p, len(numbers)) for p in of(c))
                for c in self._conditions
            ]
            for of in (_conjuncts, _implied)
        )
        chosen = {index for index, _ in self._narrowed}
        found = []
        for index, condition in enumerate(self._conditions):
            complements = tuple(
                other
                for other, _ in enumerate(self._conditions)
                if (index, other) in self._narrowed
                or (
                    stated[other] <= parts[index]
                    and not parts[index] <= parts[other]
                    and (index in chosen or self._share_column(index, other))
                )
            )
            found.append(CountMeasure(condition, complements))
        return tuple(found)

    def _share_column(self, index: int, other: int) -> bool:
        mine = [columns for columns, support in self._added if support == index]
        others = [columns for columns, support in self._added if support == other]
        return any(a & b for a in mine for b in others)

    def value(self, expr: Expr, support: int) -> int:
        """Index of the sum of ``expr`` over the rows of ``counts[support]``."""
        if expr.size * self._max_rows >= MAX_SUM:
            raise Unsupported(
                "the sum can become too large to compute exactly",
                "declare tighter min/max, fewer decimals or a smaller max_rows",
            )
        measure = ValueMeasure(expr, support, expr.low, expr.high)
        if measure not in self.values:
            self.values.append(measure)
            self._verify_number()
        return self.values.index(measure)

    def rows(self, filtered: Expr | None) -> int:
        """COUNT(*), under a FILTER."""
        return self.count(filtered, narrowed=True)

    def not_null(self, expr: Expr, filtered: Expr | None) -> int:
        """COUNT(expr): rows in which it is not NULL."""
        if isinstance(expr, Case):
            return self._argument_rows(expr, self._parts(expr, filtered), filtered)
        return self._present(Part(filtered, expr))

    def argument(self, expr: Expr, filtered: Expr | None, degree: int) -> Argument:
        """Decompose the argument of SUM, AVG, VAR …

        Raises:
            Unsupported: not a number, or rows are selected by arithmetic.
        """
        if expr.kind is not Kind.NUMBER:
            raise Unsupported(
                "only numbers are added up",
                "count rows that satisfy a condition with COUNT(*) FILTER (WHERE …)",
            )
        parts = self._parts(expr, filtered)
        for part in parts:
            verify_weights(part.value, degree)
        rows = self._argument_rows(expr, parts, filtered)
        split = tuple(piece for part in parts for piece in _by_value(part))
        return Argument(split, rows, expr.scale)

    def moment(self, argument: Argument, power: int) -> Terms:
        """The sum of the argument's ``power``-th powers (1 or 2)."""
        terms: list[Term] = []
        for part in argument.parts:
            if isinstance(part.value, Number):
                factor = part.value.value**power
                if factor:
                    index = self.count(
                        part.condition, part.chosen_from, narrowed=part.condition is not None
                    )
                    terms.append(Term(index, factor, counted=True))
            else:
                expr = part.value
                if power == 2:
                    expr = Arithmetic(Operation.MULTIPLY, expr, expr)
                support = self._present(part)
                self._added.add((columns_of(expr), support))
                terms.append(Term(self.value(expr, support)))
        return tuple(terms)

    def pair(self, x: Expr, y: Expr, filtered: Expr | None) -> int:
        """Support of COVAR and CORR: rows in which both are not NULL."""
        for expr in (x, y):
            if isinstance(expr, Case):
                raise Unsupported(
                    "CASE is not supported here", "use FILTER (WHERE …) with plain columns"
                )
            if expr.kind is not Kind.NUMBER or not columns_of(expr):
                raise Unsupported("this takes two numeric columns", "write CORR(x, y)")
            verify_weights(expr, 1)
            if any(_is_two_valued(column) for column in columns_of(expr)):
                raise Unsupported(
                    "a column with two possible values selects rows",
                    "compare the groups: AVG(x) FILTER (WHERE flag = 1), or flag as a group key",
                )
        base = both(*not_null(x), *not_null(y))
        condition = both(filtered, base)
        return self.count(condition, base, narrowed=filtered is not None)

    def bins(self, expr: Expr, width: Number, filtered: Expr | None) -> Bins:
        """Counts of a number by ranges of one width, each beginning at a multiple of it.

        Of one number there is one width: ranges that cross would tell the rows between their ends.

        Raises:
            Unsupported: no plain number, or the width does not fit it.
        """
        if expr.kind is not Kind.NUMBER or isinstance(expr, Case) or not columns_of(expr):
            raise Unsupported("a percentile is one of a numeric column", PERCENTILE_HINT)
        if any(isinstance(node, Parameter) for node in walk(expr)):
            raise Unsupported("a parameter moves the ends of bins", PERCENTILE_HINT)
        step = self._step(expr, width)
        if any(other == expr and wide != step for (other, _), (wide, _) in self._bins.items()):
            raise Unsupported(
                "the same number is cut into bins of two widths",
                "use one width for all percentiles of a number",
            )
        known = self._bins.get((expr, filtered))
        if known is not None:
            return known[1]
        base = both(*not_null(expr))
        rows = self._present(Part(filtered, expr))
        counts, ranges = [], []
        for start in range(expr.low // step * step, expr.high + 1, step):
            inside = (max(start, expr.low), min(start + step - 1, expr.high))
            ends = (
                Comparison(Relation.AT_LEAST, expr, Number(inside[0], expr.scale)),
                Comparison(Relation.AT_MOST, expr, Number(inside[1], expr.scale)),
            )
            counts.append(self.count(both(filtered, base, *ends), base, narrowed=True))
            ranges.append(inside)
        found = Bins(rows, tuple(counts), tuple(ranges))
        self._bins[expr, filtered] = step, found
        return found

    def _step(self, expr: Expr, width: Number) -> int:
        """The width in units of the number."""
        if width.places > expr.scale and width.value % 10 ** (width.places - expr.scale):
            raise Unsupported("the width has more decimals than the number", PERCENTILE_HINT)
        step: int = width.value * 10**expr.scale // 10**width.places
        if step < 1:
            raise Unsupported("the width of a bin is more than nothing", PERCENTILE_HINT)
        number = expr.high // step - expr.low // step + 1
        if number > MAX_BINS:
            raise Unsupported(
                f"these are {number} bins; at most {MAX_BINS} are supported",
                "take wider bins, or declare tighter min/max",
            )
        return step

    # --- parts ---

    def _present(self, part: Part) -> int:
        """Count of the rows of a part in which its value is not NULL."""
        base = both(*not_null(part.value))
        narrowed = part.condition is not None
        if not is_strict(part.value):
            # NULL-ness of a condition is a condition, as in COUNT(p AND q): a filter.
            return self.count(both(part.condition, base), narrowed=base is not None or narrowed)
        return self.count(both(part.condition, base), base, narrowed=narrowed)

    def _parts(self, expr: Expr, filtered: Expr | None) -> tuple[Part, ...]:
        return tuple(
            Part(both(filtered, *conditions), value) for conditions, value in _branches(expr)
        )

    def _argument_rows(self, expr: Expr, parts: tuple[Part, ...], filtered: Expr | None) -> int:
        if not expr.nullable:
            return self.rows(filtered)
        if len(parts) == 1:
            return self._present(parts[0])
        return self.count(both(filtered, Not(IsNull(expr))), narrowed=True)

    def _verify_number(self) -> None:
        if len(self._conditions) + len(self.values) > MAX_MEASURES:
            raise Unsupported(
                f"the statement needs more than {MAX_MEASURES} sums per cell",
                "split it into several statements",
            )


def _conjuncts(condition: Expr | None) -> frozenset[Expr]:
    if condition is None:
        return frozenset()
    return frozenset(condition.items if isinstance(condition, And) else (condition,))


def _implied(condition: Expr | None) -> frozenset[Expr]:
    """The conjuncts, and that the columns they compare are not NULL."""
    found = set(_conjuncts(condition))
    for part in _conjuncts(condition):
        if is_strict(part):
            found.update(not_null(part))
    return frozenset(found)


def _branches(expr: Expr) -> list[tuple[tuple[Expr, ...], Expr]]:
    """Disjoint conditions and values that are not the constant NULL."""
    if not isinstance(expr, Case):
        return [((), expr)]
    found: list[tuple[tuple[Expr, ...], Expr]] = []
    before: tuple[Expr, ...] = ()
    for branch in expr.branches:
        if branch.value is not None:
            for inner, value in _branches(branch.value):
                found.append(((*before, branch.condition, *inner), value))
        before = (*before, _not_true(branch.condition))
    if expr.otherwise is not None:
        for inner, value in _branches(expr.otherwise):
            found.append(((*before, *inner), value))
    return found


def _not_true(condition: Expr) -> Expr:
    """The rows that go on to the next branch: FALSE and NULL alike."""
    return Not(IsTrue(condition) if condition.nullable else condition)


def _by_value(part: Part) -> tuple[Part, ...]:
    """A part of one two-valued column, as two counts; any other part as it is."""
    columns = columns_of(part.value)
    if isinstance(part.value, Number) or len(columns) > 1:
        return (part,)
    if not columns:
        return (Part(part.condition, Number(part.value.low, part.value.scale)),)
    (column,) = columns
    if not _is_two_valued(column):
        return (part,)
    pieces = []
    for value in dict.fromkeys((column.low, column.high)):
        constant = Number(value, column.places)
        contribution = substitute_column(part.value, column, constant)
        chosen = Comparison(Relation.EQUAL, column, constant)
        condition = conjunction(tuple(c for c in (part.condition, chosen) if c is not None))
        present = both(*not_null(column))
        pieces.append(Part(condition, Number(contribution.low, contribution.scale), present))
    return tuple(pieces)


def verify_weights(expr: Expr, degree: int) -> None:
    """Refuse arithmetic that selects rows (see module).

    Raises:
        Unsupported: with what to write instead.
    """
    for node in walk(expr):
        if isinstance(node, (IntegerDivision, Remainder)):
            raise Unsupported(
                "// and % are not supported inside an aggregate",
                "use them in a group key, in WHERE or in FILTER (WHERE …)",
            )
    columns = columns_of(expr)
    two_valued = any(_is_two_valued(column) for column in columns)
    if any(isinstance(node, Parameter) for node in walk(expr)):
        if two_valued:
            raise Unsupported(
                "a column with two possible values is combined with a parameter",
                "write COUNT(*) FILTER (WHERE flag = 1) and scale the released value",
            )
        if not columns:
            raise Unsupported("a parameter alone is not added up", "use COUNT(*)")
    if two_valued and len(columns) == 1:
        return  # becomes two counts, whatever the polynomial
    if _degree(expr) > degree:
        raise Unsupported(
            f"a product of more than {degree} column(s) is not supported here",
            "select rows with FILTER (WHERE …); SUM and AVG take products of two columns",
        )
    if two_valued:
        raise Unsupported(
            "a column with two possible values selects rows when combined with another",
            "write SUM(x) FILTER (WHERE flag = 1)",
        )


def _is_two_valued(column: Column) -> bool:
    return column.kind is Kind.NUMBER and column.high - column.low <= 1


def _degree(expr: Expr) -> int:
    if isinstance(expr, Column):
        return 1
    if isinstance(expr, Arithmetic):
        left, right = _degree(expr.left), _degree(expr.right)
        return left + right if expr.operation is Operation.MULTIPLY else max(left, right)
    return 0
