"""From the parser's tree to the typed tree: scalar expressions.

The parser's node types are matched exactly and every argument of a node must be one that is
handled here; anything else is refused by name.  So a construct that a later parser version adds is
refused until somebody has read it.

What is refused for disclosure and not for lack of meaning: texts that are not declared levels
(with ``outside: other`` they would compare differently at the node), CASE inside a condition or
inside arithmetic (it would hide a filter), NULL as an operand (``COUNT(p OR NULL)`` is a filter).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from sqlglot import exp

from stayput import scenario
from stayput.scenario import ColumnType, Outside, TableContract
from stayput.sql.reading import DIALECT, Reading
from stayput.sql.tree import (
    And,
    Arithmetic,
    Branch,
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
    Or,
    Parameter,
    Relation,
    Remainder,
    Text,
    Truth,
    columns_of,
    conjunction,
)

MAX_DEPTH = 100
"""Nesting of the tree: chains of ``+`` nest without parentheses."""

MAX_SIZE = 2**126
"""Largest intermediate value; HUGEINT ends at 2**127."""

MAX_PLACES = 18
"""Most decimals of an intermediate value; two columns of the most declared decimals."""

_KINDS = {
    ColumnType.LEVEL: Kind.LEVEL,
    ColumnType.INTEGER: Kind.NUMBER,
    ColumnType.DECIMAL: Kind.NUMBER,
    ColumnType.BOOLEAN: Kind.BOOLEAN,
}
_WORDS = {Kind.NUMBER: "a number", Kind.LEVEL: "a level", Kind.BOOLEAN: "true or false"}
_ARITHMETIC: dict[type, Operation] = {
    exp.Add: Operation.ADD,
    exp.Sub: Operation.SUBTRACT,
    exp.Mul: Operation.MULTIPLY,
}
_RELATIONS: dict[type, Relation] = {
    exp.EQ: Relation.EQUAL,
    exp.NEQ: Relation.DIFFERENT,
    exp.LT: Relation.LESS,
    exp.LTE: Relation.AT_MOST,
    exp.GT: Relation.GREATER,
    exp.GTE: Relation.AT_LEAST,
}
_PREDICATES = (*_RELATIONS, exp.Is, exp.Between, exp.In)
_BOUNDS_HINT = "declare tighter min/max or fewer decimals in the table contract"


def column_of(column: scenario.Column, table: str = "") -> Column:
    """The typed column of a declared one; in a join, of its table."""
    return Column(
        name=f"{table}.{column.name}" if table else column.name,
        of=_KINDS[column.type],
        places=column.decimals,
        minimum=column.minimum or 0,
        maximum=column.maximum or 0,
        declared=column.levels,
        takes_other=column.outside is Outside.OTHER,
        may_be_null=column.nullable,
        table=table,
    )


def parameter_of(parameter: scenario.Parameter) -> Parameter:
    """The typed parameter of a declared one."""
    return Parameter(
        name=parameter.name,
        of=_KINDS[parameter.type],
        places=parameter.decimals,
        minimum=parameter.minimum or 0,
        maximum=parameter.maximum or 0,
        declared=parameter.levels,
    )


def only(reading: Reading, node: exp.Expression, *handled: str) -> None:
    """Refuse a node that carries an argument nobody here reads."""
    for name, value in node.args.items():
        if name not in handled and value not in (None, False, []):
            reading.refuse(
                node,
                f"{node.key.upper()} with {name.strip('_').replace('_', ' ')} is not supported",
                "use the plain form",
                node.key.upper(),
            )


def unwrap(node: exp.Expression) -> exp.Expression:
    """Without the parentheses around it."""
    while type(node) is exp.Paren:
        node = node.this
    return node


class Translator:
    """Translates scalar expressions of one statement over one table, or over a join of several."""

    def __init__(
        self,
        reading: Reading,
        contracts: Sequence[TableContract],
        parameters: Mapping[str, Parameter],
    ) -> None:
        self._reading = reading
        self._tables = [contract.name for contract in contracts]
        self._columns: dict[str, list[Column]] = {}
        for contract in contracts:
            for column in contract.columns:
                if column.type is not ColumnType.IDENTIFIER:
                    typed = column_of(column, contract.name if len(contracts) > 1 else "")
                    self._columns.setdefault(column.name, []).append(typed)
        self._identifiers = {c.identifier.name for c in contracts if c.identifier is not None}
        self._present: frozenset[Column] = frozenset()
        self._parameters = parameters
        self._depth = 0
        self.used_parameters: set[str] = set()

    def assume_present(self, columns: Iterable[Column]) -> None:
        """From here on, these columns are not NULL: rows in which they are do not count."""
        self._present = frozenset(columns)

    def condition(self, node: exp.Expression) -> Expr:
        """A condition. Raises SqlError."""
        return self._of_kind(node, Kind.BOOLEAN)

    def plain(self, node: exp.Expression) -> Expr:
        """Any expression without CASE. Raises SqlError."""
        node = unwrap(node)
        if type(node) is exp.Case:
            self._reading.refuse(
                node,
                "CASE is supported as a whole group key or as the whole argument of an aggregate",
                "write the condition with AND and OR, or as FILTER (WHERE …)",
                "CASE",
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._reading.refuse(
                node, f"an expression nests deeper than {MAX_DEPTH} levels", "shorten it"
            )
        try:
            return self._bounded(node, self._dispatch(node))
        finally:
            self._depth -= 1

    def maybe_case(self, node: exp.Expression) -> Expr | None:
        """An expression, or CASE of such, or NULL (``None``). Raises SqlError."""
        node = unwrap(node)
        if type(node) is exp.Null:
            return None
        if type(node) is exp.Case:
            return self._case(node)
        return self.plain(node)

    def is_column(self, node: exp.Expression) -> bool:
        """Whether the node names a declared column."""
        return type(node) is exp.Column and node.name.lower() in self._columns

    # --- by node type ---

    def _dispatch(self, node: exp.Expression) -> Expr:  # noqa: PLR0911, PLR0912 -- one case per node type
        kind = type(node)
        if kind is exp.Column:
            return self._column(node)
        if kind is exp.Placeholder:
            return self._parameter(node)
        if kind is exp.Literal:
            return self._literal(node)
        if kind is exp.Boolean:
            return Truth(bool(node.this))
        if kind is exp.Neg:
            return self._negative(node)
        if kind in _ARITHMETIC:
            return self._arithmetic(node, _ARITHMETIC[kind])
        if kind in (exp.IntDiv, exp.Mod):
            return self._division(node)
        if kind in _PREDICATES:
            self._verify_unchained(node)
        if kind in _RELATIONS:
            only(self._reading, node, "this", "expression")
            left, right = self.plain(node.this), self.plain(node.expression)
            return self._compare(node, _RELATIONS[kind], left, right)
        if kind in (exp.And, exp.Or):
            return self._chain(node)
        if kind is exp.Not:
            return self._not(node)
        if kind is exp.Is:
            return self._is(node)
        if kind is exp.Between:
            return self._between(node)
        if kind is exp.In:
            return self._in(node)
        return self._refuse_node(node)

    def _refuse_node(self, node: exp.Expression) -> Expr:
        if type(node) is exp.Null:
            self._reading.refuse(
                node, "NULL is no operand", "write x IS NULL or x IS NOT NULL", "NULL"
            )
        if type(node) is exp.Div:
            self._reading.refuse(
                node,
                "division is supported between aggregates, not inside them",
                "divide the aggregates, as in SUM(x) / SUM(y); integers group with x // 10",
                "/",
            )
        if isinstance(node, exp.AggFunc) or type(node) is exp.Filter:
            self._reading.refuse(
                node,
                "an aggregate is not supported here",
                "aggregates stand in the SELECT list, not inside one another, in WHERE or GROUP BY",
                node.key.upper(),
            )
        return self._reading.refuse(
            node,
            f"{node.key.upper()} is not supported",
            "use columns, constants, parameters, + - * // %, comparisons, AND, OR, NOT",
            node.key.upper(),
        )

    def _column(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "this", "table")
        identifier = node.this
        if type(identifier) is not exp.Identifier:
            self._reading.refuse(
                node, "* is supported in COUNT(*) only", "name keys and aggregates", "*"
            )
        name = identifier.name if identifier.args.get("quoted") else identifier.name.lower()
        table = node.args.get("table")
        written = "" if table is None else str(table.name)
        asked = written.lower()
        if asked and asked not in self._tables:
            self._reading.refuse(
                node,
                f"{written!r} is not {self._of_the_statement()}",
                "use " + " or ".join(self._tables),
            )
        if name in self._identifiers:
            self._reading.refuse(
                node,
                f"{name} is an identifier: it joins tables and is nothing else",
                "results are about many people: use COUNT, SUM, AVG … with GROUP BY",
                identifier.name,
            )
        found = [
            column
            for column in self._columns.get(name, ())
            if not asked or column.table in ("", asked)
        ]
        if not found:
            self._reading.refuse(
                node,
                f"{asked or ' and '.join(self._tables)} has no declared column {name!r}",
                "declared are: " + ", ".join(self._columns),
                identifier.name,
            )
        if len(found) > 1:
            self._reading.refuse(
                node,
                f"{name!r} is a column of {' and of '.join(c.table for c in found)}",
                f"write {found[0].name}",
                identifier.name,
            )
        (column,) = found
        if column in self._present:
            return dataclasses.replace(column, may_be_null=False)
        return column

    def _of_the_statement(self) -> str:
        if len(self._tables) == 1:
            return "the table of the statement"
        return "a table of the statement"

    def _parameter(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "this")
        name = node.this
        if not isinstance(name, str) or name not in self._parameters:
            self._reading.refuse(
                node,
                f"the parameter :{name} is not declared",
                "declare it under parameters with its type and range",
                str(name or "?"),
            )
        self.used_parameters.add(name)
        return self._parameters[name]

    def _literal(self, node: exp.Expression) -> Expr:
        if node.args["is_string"]:
            return Text(node.this)
        return self._number(node, node.this)

    def _number(self, node: exp.Expression, text: str) -> Number:
        sign, digits, exponent = Decimal(text).as_tuple()
        places = -int(exponent)  # a literal is finite, so this is a number
        value = int("".join(map(str, digits)) or "0")
        if places > scenario.MAX_DECIMALS or value > 10**18:
            self._reading.refuse(
                node,
                f"the number {text} has too many digits",
                "numbers have at most 9 decimals and 18 digits",
                text,
            )
        return Number(-value if sign else value, places)

    def _negative(self, node: exp.Expression) -> Expr:
        operand = self._of_kind(node.this, Kind.NUMBER)
        if isinstance(operand, Number):
            return Number(-operand.value, operand.places)
        return Arithmetic(Operation.SUBTRACT, Number(0), operand)

    def _arithmetic(self, node: exp.Expression, operation: Operation) -> Expr:
        only(self._reading, node, "this", "expression")
        left = self._of_kind(node.this, Kind.NUMBER)
        right = self._of_kind(node.expression, Kind.NUMBER)
        return Arithmetic(operation, left, right)

    def _division(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "this", "expression")
        sign = "//" if type(node) is exp.IntDiv else "%"
        operand = self._of_kind(node.this, Kind.NUMBER)
        divisor = self.plain(node.expression)
        if operand.scale or not isinstance(divisor, Number) or divisor.places or divisor.value <= 0:
            self._reading.refuse(
                node,
                f"{sign} takes an integer and a positive whole constant",
                f"write x {sign} 10 with an integer column x; decimals group with CASE WHEN",
                sign,
            )
        return (IntegerDivision if sign == "//" else Remainder)(operand, divisor.value)

    def _chain(self, node: exp.Expression) -> Expr:
        # Flattened without recursion: a chain of AND is as deep as it is long.
        kind = type(node)
        pending: list[exp.Expression] = [node]
        items: list[Expr] = []
        while pending:
            item = unwrap(pending.pop())
            if type(item) is kind:
                pending += [item.args["expression"], item.this]
            else:
                items.append(self.condition(item))
        distinct = tuple(dict.fromkeys(items))
        if len(distinct) == 1:
            return distinct[0]
        return And(distinct) if kind is exp.And else Or(distinct)

    def _not(self, node: exp.Expression) -> Expr:
        inner = unwrap(node.this)
        operand = self.condition(inner)
        return Not(operand)

    def _is(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "this", "expression")
        what = unwrap(node.expression)
        if type(what) is exp.Null:
            return IsNull(self.plain(node.this))
        if type(what) is exp.Boolean:
            operand = self.condition(node.this)
            return IsTrue(operand if what.this else Not(operand))
        return self._refuse_node(node)

    def _between(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "this", "low", "high")
        value, low, high = (self.plain(node.args[name]) for name in ("this", "low", "high"))
        return And(
            (
                self._compare(node, Relation.AT_LEAST, value, low),
                self._compare(node, Relation.AT_MOST, value, high),
            )
        )

    def _in(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "this", "expressions")
        value = self.plain(node.this)
        options = [self.plain(option) for option in node.args.get("expressions") or []]
        if not options or any(columns_of(option) for option in options):
            self._reading.refuse(
                node, "IN takes constants or parameters", "write x IN (1, 2, :third)", "IN"
            )
        found = dict.fromkeys(
            self._compare(node, Relation.EQUAL, value, option) for option in options
        )
        return Or(tuple(found)) if len(found) > 1 else next(iter(found))

    def _case(self, node: exp.Expression) -> Expr:
        only(self._reading, node, "ifs", "default", "this")
        if node.args.get("this") is not None:
            self._reading.refuse(
                node, "CASE x WHEN is not supported", "write CASE WHEN x = … THEN …", "CASE"
            )
        branches = []
        for part in node.args["ifs"]:
            only(self._reading, part, "this", "true")
            branches.append((self.condition(part.this), self.maybe_case(part.args["true"])))
        default = node.args.get("default")
        otherwise = None if default is None else self.maybe_case(default)
        values = [v for v in (*(value for _, value in branches), otherwise) if v is not None]
        if not values:
            self._reading.refuse(node, "every branch of the CASE is NULL", "give a value", "CASE")
        if len({value.kind for value in values}) > 1:
            self._reading.refuse(
                node,
                "the branches of the CASE are of different types",
                "make all of them numbers, or all of them texts",
                "CASE",
            )
        scale = max(value.scale for value in values)
        return Case(
            tuple(Branch(condition, _rescale(value, scale)) for condition, value in branches),
            _rescale(otherwise, scale),
        )

    # --- checks ---

    def _verify_unchained(self, node: exp.Expression) -> None:
        """Engines disagree on ``a = b = c`` and ``a > 1 IS NULL``, and so do readers."""
        for name in ("this", "expression", "low", "high"):
            if type(node.args.get(name)) in (*_PREDICATES, exp.Not):
                self._reading.refuse(
                    node,
                    "a comparison of a comparison needs parentheses",
                    "write (a = b) = c, or combine comparisons with AND",
                    _RELATIONS[type(node)].value if type(node) in _RELATIONS else "",
                )

    def _of_kind(self, node: exp.Expression, kind: Kind) -> Expr:
        expr = self.plain(node)
        if expr.kind is not kind:
            self._reading.refuse(
                node,
                f"this is {_WORDS[expr.kind]} where {_WORDS[kind]} is needed",
                "count rows that satisfy a condition with COUNT(*) FILTER (WHERE …)"
                if expr.kind is Kind.BOOLEAN
                else "compare it: x = …, x IN (…)",
                node.sql(DIALECT)[:60],
            )
        return expr

    def _bounded(self, node: exp.Expression, expr: Expr) -> Expr:
        if expr.kind is Kind.NUMBER and (expr.size > MAX_SIZE or expr.scale > MAX_PLACES):
            self._reading.refuse(
                node, "the values can become too large to compute exactly", _BOUNDS_HINT
            )
        return expr

    def _compare(self, node: exp.Expression, relation: Relation, left: Expr, right: Expr) -> Expr:
        if left.kind is not right.kind:
            self._reading.refuse(
                node,
                f"{_WORDS[left.kind]} is compared with {_WORDS[right.kind]}",
                "compare values of one type",
                relation.value,
            )
        if left.kind is not Kind.NUMBER and relation not in (Relation.EQUAL, Relation.DIFFERENT):
            self._reading.refuse(
                node,
                f"{relation.value} orders numbers only",
                "use = or IN with the levels that are meant",
                relation.value,
            )
        if left.kind is Kind.LEVEL:
            self._compare_levels(node, left, right)
            self._compare_levels(node, right, left)
        else:
            scale = max(left.scale, right.scale)
            for side in (left, right):
                if side.size * 10 ** (scale - side.scale) > MAX_SIZE:
                    self._reading.refuse(node, "the numbers compared are too large", _BOUNDS_HINT)
        return Comparison(relation, left, right)

    def _compare_levels(self, node: exp.Expression, side: Expr, against: Expr) -> None:
        """What the node compares must decide as the original values would (see module)."""
        if not isinstance(side, Column):
            return
        if isinstance(against, (Text, Parameter)):
            unknown = [level for level in against.levels if level not in side.levels]
            if unknown:
                self._reading.refuse(
                    node,
                    f"{unknown[0]!r} is not a declared level of {side.name}",
                    "declared are: " + ", ".join(side.levels[:20]),
                    unknown[0],
                )
        elif side.open:
            self._reading.refuse(
                node,
                f"{side.name} has values outside its levels and is compared with a column",
                "compare it with declared levels, or declare outside: refuse",
                side.name,
            )


def _rescale(value: Expr | None, scale: int) -> Expr | None:
    """The same value with ``scale`` decimals."""
    if value is None or value.kind is not Kind.NUMBER or value.scale == scale:
        return value
    factor = 10 ** (scale - value.scale)
    if isinstance(value, Number):
        return Number(value.value * factor, scale)
    if isinstance(value, Case):
        return Case(
            tuple(Branch(b.condition, _rescale(b.value, scale)) for b in value.branches),
            _rescale(value.otherwise, scale),
        )
    return Arithmetic(Operation.MULTIPLY, value, Number(factor, scale - value.scale))


def not_null(expr: Expr) -> tuple[Expr, ...]:
    """Conditions under which an expression is not NULL; empty if it never is."""
    if not expr.nullable:
        return ()
    if is_strict(expr):
        columns = sorted((c for c in columns_of(expr) if c.nullable), key=lambda c: c.name)
        return tuple(Not(IsNull(column)) for column in columns)
    return (Not(IsNull(expr)),)


def is_strict(expr: Expr) -> bool:
    """NULL exactly when one of its columns is."""
    if isinstance(expr, (And, Or, IsNull, IsTrue, Case)):
        return False
    return all(is_strict(child) for child in expr.children)


def both(*conditions: Expr | None) -> Expr | None:
    """The AND of those that are given."""
    return conjunction(tuple(c for c in conditions if c is not None))
