"""From the parser's tree to formulas: the aggregates of the SELECT list and arithmetic on them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NoReturn

from sqlglot import exp

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
    Term,
    Total,
    Variance,
)
from stayput.sql.measures import PERCENTILE_HINT, Measures, Unsupported
from stayput.sql.reading import Reading
from stayput.sql.translate import Translator, only, unwrap
from stayput.sql.tree import Arithmetic, Expr, Number, Operation

_OPERATORS: dict[type, Operator] = {
    exp.Add: Operator.ADD,
    exp.Sub: Operator.SUBTRACT,
    exp.Mul: Operator.MULTIPLY,
    exp.Div: Operator.DIVIDE,
}
_SPREAD: dict[type, tuple[bool, bool]] = {  # sample, root
    exp.VariancePop: (False, False),
    exp.Variance: (True, False),
    exp.StddevPop: (False, True),
    exp.StddevSamp: (True, True),
    exp.Stddev: (True, True),
}
_PAIRS = (exp.CovarPop, exp.CovarSamp, exp.Corr)
_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, *_SPREAD, *_PAIRS)

MAX_DIGITS = 18
"""ROUND(x, n): n between minus this and this."""

MAX_DEPTH = 40

PERCENTILE = "APPROX_PERCENTILE"
ENDS = ("_low", "_high")
"""What a percentile's two output columns end with."""


class OutputTranslator:
    """Translates the aggregate columns of one statement, collecting their measures."""

    def __init__(self, reading: Reading, scalar: Translator, measures: Measures) -> None:
        self._reading = reading
        self._scalar = scalar
        self._measures = measures
        self.conditions: list[Expr] = []
        self.arguments: list[Expr] = []

    def outputs(self, node: exp.Expression) -> tuple[tuple[str, Formula], ...]:
        """What one item of the SELECT list becomes: an output, or of a percentile two, each with
        what is put behind its name. Raises SqlError."""
        node = unwrap(node)
        percentile = node.this if type(node) is exp.Filter else node
        if not is_percentile(percentile):
            return (("", self.output(node)),)
        condition = None if percentile is node else self._filter_of(node)
        try:
            ends = self._percentile(percentile, condition)
        except Unsupported as error:
            self._reading.refuse(node, str(error), error.hint, PERCENTILE)
        return tuple(zip(ENDS, ends, strict=True))

    def _percentile(self, node: exp.Expression, filtered: Expr | None) -> tuple[Formula, ...]:
        given = node.expressions
        if len(given) != 3:
            raise Unsupported(
                "this takes a number, which percentile, and the width of bins", PERCENTILE_HINT
            )
        share, width = (self._scalar.plain(item) for item in given[1:])
        if not isinstance(share, Number) or not 0 < share.value < 10**share.places:
            raise Unsupported(
                "which percentile is a constant between 0 and 1, both excluded", PERCENTILE_HINT
            )
        if not isinstance(width, Number):
            raise Unsupported("the width of the bins is a constant", PERCENTILE_HINT)
        expr = self._argument(given[0])
        bins = self._measures.bins(expr, width, filtered)
        of = Fraction(share.value, 10**share.places)
        return tuple(PercentileBound(bins, of, upper, expr.scale) for upper in (False, True))

    def output(self, node: exp.Expression) -> Formula:
        """One output column: ROUND outermost, or plain. Raises SqlError."""
        node = unwrap(node)
        if type(node) is not exp.Round:
            return self._formula(node, 0)
        only(self._reading, node, "this", "decimals")
        digits = node.args.get("decimals")
        count = Number(0) if digits is None else self._scalar.plain(digits)
        if not isinstance(count, Number) or count.places or abs(count.value) > MAX_DIGITS:
            self._reading.refuse(
                node, "ROUND takes a whole number of decimals", "write ROUND(AVG(x), 2)", "ROUND"
            )
        return Rounded(self._formula(node.this, 0), count.value)

    def _formula(  # noqa: PLR0911 -- one case per node type
        self, node: exp.Expression, depth: int
    ) -> Formula:
        node = unwrap(node)
        kind = type(node)
        if depth > MAX_DEPTH:
            self._reading.refuse(
                node, "the arithmetic nests too deeply", "split it into several output columns"
            )
        if kind in _AGGREGATES:
            return self._aggregate(node, None)
        if kind is exp.Filter:
            return self._filtered(node)
        if kind in _OPERATORS:
            # "typed" and "safe" are notes of the parser about its dialect, not of the statement.
            only(self._reading, node, "this", "expression", "typed", "safe")
            left = self._formula(node.this, depth + 1)
            right = self._formula(node.expression, depth + 1)
            return Combination(_OPERATORS[kind], left, right)
        if kind is exp.Neg:
            zero = Constant(Fraction(0), 0)
            return Combination(Operator.SUBTRACT, zero, self._formula(node.this, depth + 1))
        if kind is exp.Nullif:
            return self._null_if(node, depth)
        if kind is exp.Literal and not node.args["is_string"]:
            number = self._scalar.plain(node)
            return Constant(Fraction(number.low, 10**number.scale), number.scale)
        return self._refuse(node)

    def _refuse(self, node: exp.Expression) -> Formula:
        if is_percentile(node):
            self._reading.refuse(
                node,
                "a percentile becomes two output columns, so it is an output by itself",
                "write it without arithmetic and ROUND around it",
                PERCENTILE,
            )
        if type(node) is exp.Round:
            self._reading.refuse(
                node,
                "ROUND is supported around a whole output column only",
                "round the final value: ROUND(100 * SUM(x) / SUM(y), 1)",
                "ROUND",
            )
        if type(node) is exp.Column and self._scalar.is_column(node):
            self._reading.refuse(
                node,
                f"{node.name} is neither a group key nor inside an aggregate",
                "rows do not leave: add it to GROUP BY, or write SUM, AVG, COUNT … of it",
                node.name,
            )
        if type(node) is exp.Column and type(node.this) is exp.Identifier:
            self._scalar.plain(node)  # names the undeclared column
        if type(node) is exp.Star or (type(node) is exp.Column and type(node.this) is exp.Star):
            self._reading.refuse(
                node, "SELECT * is not supported", "name group keys and aggregates", "*"
            )
        if type(node) is exp.Case:
            self._reading.refuse(
                node,
                "this CASE is neither a group key nor inside an aggregate",
                "repeat it exactly in GROUP BY, or put it into the aggregate: SUM(CASE WHEN …)",
                "CASE",
            )
        if type(node) is exp.Placeholder:
            self._reading.refuse(
                node,
                "a parameter is not supported in arithmetic on aggregates",
                "use parameters in WHERE, FILTER, CASE or group keys",
                str(node.this),
            )
        return self._reading.refuse(
            node,
            f"{node.key.upper()} is neither a group key nor an aggregate",
            "select group keys, aggregates, and + - * / of aggregates and numbers",
            node.key.upper(),
        )

    def _null_if(self, node: exp.Expression, depth: int) -> Formula:
        only(self._reading, node, "this", "expression")
        other = unwrap(node.expression)
        if type(other) is not exp.Literal or other.args["is_string"] or other.this != "0":
            self._reading.refuse(
                node, "NULLIF is supported with 0 only", "write NULLIF(SUM(x), 0)", "NULLIF"
            )
        return NullIfZero(self._formula(node.this, depth + 1))

    def _filtered(self, node: exp.Expression) -> Formula:
        if type(node.this) not in _AGGREGATES:
            self._refuse_filter(node)
        return self._aggregate(node.this, self._filter_of(node))

    def _filter_of(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "this", "expression")
        where = node.expression
        if type(where) is not exp.Where:
            self._refuse_filter(node)
        condition = self._scalar.condition(where.this)
        self.conditions.append(condition)
        return condition

    def _refuse_filter(self, node: exp.Expression) -> NoReturn:
        if is_percentile(node.this):
            self._refuse(node.this)
        self._reading.refuse(
            node, "FILTER belongs to an aggregate", "write SUM(x) FILTER (WHERE …)", "FILTER"
        )

    def _aggregate(self, node: exp.Expression, filtered: Expr | None) -> Formula:
        try:
            if type(node) is exp.Count:
                return self._count(node, filtered)
            if type(node) in _PAIRS:
                return self._pair(node, filtered)
            return self._single(node, filtered)
        except Unsupported as error:
            self._reading.refuse(node, str(error), error.hint, _name(node))

    def _count(self, node: exp.Expression, filtered: Expr | None) -> Formula:
        only(self._reading, node, "this", "big_int")
        what = node.args.get("this")
        if what is None or type(what) is exp.Star:
            if what is None:
                raise Unsupported("COUNT() names nothing to count", "write COUNT(*)")
            only(self._reading, what)
            return Counted(self._measures.rows(filtered))
        expr = self._argument(what)
        return Counted(self._measures.not_null(expr, filtered))

    def _single(self, node: exp.Expression, filtered: Expr | None) -> Formula:
        only(self._reading, node, "this")
        spread = _SPREAD.get(type(node))
        # A variance squares its argument: products of products would be of degree four.
        expr = self._argument(node.this)
        argument = self._measures.argument(expr, filtered, 2 if spread is None else 1)
        first = self._measures.moment(argument, 1)
        if type(node) is exp.Sum:
            return Total(argument.rows, first, argument.scale)
        if spread is None:
            return Mean(argument.rows, first, argument.scale)
        second = self._measures.moment(argument, 2)
        sample, root = spread
        return Variance(argument.rows, first, second, argument.scale, sample, root)

    def _pair(self, node: exp.Expression, filtered: Expr | None) -> Formula:
        only(self._reading, node, "this", "expression")
        if node.args.get("expression") is None:
            raise Unsupported("this takes two numeric columns", "write CORR(x, y)")
        x, y = self._argument(node.this), self._argument(node.expression)
        rows = self._measures.pair(x, y, filtered)
        total = self._sums_over(rows)
        if type(node) is not exp.Corr:
            places = x.scale + y.scale
            sample = type(node) is exp.CovarSamp
            return Covariance(rows, total(x), total(y), total(x, y), places, sample)
        return Correlation(rows, total(x), total(y), total(x, x), total(y, y), total(x, y))

    def _sums_over(self, rows: int) -> Callable[..., tuple[Term, ...]]:
        def total(x: Expr, y: Expr | None = None) -> tuple[Term, ...]:
            if y is None:
                return (Term(self._measures.value(x, rows)),)
            # One order for both, so that COVAR(x, y) and CORR(y, x) share a measure.
            left, right = sorted((x, y), key=repr)
            return (Term(self._measures.value(_product(left, right), rows)),)

        return total

    def _argument(self, node: exp.Expression) -> Expr:
        expr = self._scalar.maybe_case(node)
        if expr is None:
            raise Unsupported("NULL is no argument of an aggregate", "write COUNT(*)")
        self.arguments.append(expr)
        return expr


def is_percentile(node: exp.Expression) -> bool:
    """Whether this is a call of APPROX_PERCENTILE."""
    return type(node) is exp.Anonymous and str(node.this).upper() == PERCENTILE


def _product(x: Expr, y: Expr) -> Expr:
    return Arithmetic(Operation.MULTIPLY, x, y)


def _name(node: exp.Expression) -> str:
    return node.key.upper()
