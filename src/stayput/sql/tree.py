"""The typed expression tree: what a statement means, and nothing that SQL could also mean.

A node is frozen, knows its kind, its scale (numbers are integers in units of ``10**-scale``), an
interval that contains every value it can take, and whether it can be NULL.  Bounds come from the
table contract, so they hold at every honest holder.  :mod:`stayput.sql.translate` builds the tree
from untrusted text, :mod:`stayput.sql.render` writes the SQL that nodes execute from it; no text of
the statement goes around it.

Semantics are those of DuckDB: three-valued logic; ``//`` and ``%`` truncate toward zero, so a
remainder has the sign of the dividend.  Numbers are exact, nothing here is a float.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator
from functools import cached_property

OTHER = "__other__"
"""The level of values outside the declared ones, and the name of the cell that takes them."""


class Kind(enum.Enum):
    NUMBER = 1
    LEVEL = 2
    BOOLEAN = 3


@dataclasses.dataclass(frozen=True)
class Expr:
    """Any expression. Only its subclasses are made."""

    @property
    def kind(self) -> Kind:
        return Kind.BOOLEAN

    @property
    def children(self) -> tuple[Expr, ...]:
        return ()

    @property
    def scale(self) -> int:
        return 0

    @property
    def low(self) -> int:
        """Smallest scaled value; numbers only."""
        return 0

    @property
    def high(self) -> int:
        """Largest scaled value; numbers only."""
        return 0

    @cached_property
    def nullable(self) -> bool:
        return any(child.nullable for child in self.children)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Texts that the expression can be, in declared order; levels only."""
        return ()

    @property
    def open(self) -> bool:
        """Whether a level may also be :data:`OTHER`."""
        return False

    @cached_property
    def size(self) -> int:
        """Upper bound on the largest absolute value."""
        return max(abs(self.low), abs(self.high))

    @cached_property
    def columns(self) -> frozenset[Column]:
        """The columns that the expression reads."""
        return frozenset().union(*(child.columns for child in self.children))


@dataclasses.dataclass(frozen=True)
class Column(Expr):
    """A declared column, as the engine hands it over: BIGINT, VARCHAR or BOOLEAN."""

    name: str
    of: Kind
    places: int = 0
    minimum: int = 0
    maximum: int = 0
    declared: tuple[str, ...] = ()
    takes_other: bool = False
    may_be_null: bool = False
    table: str = ""  # of a join; the name is then qualified, as in housing.district

    @property
    def kind(self) -> Kind:
        return self.of

    @property
    def scale(self) -> int:
        return self.places

    @property
    def low(self) -> int:
        return self.minimum

    @property
    def high(self) -> int:
        return self.maximum

    @cached_property
    def columns(self) -> frozenset[Column]:
        return frozenset((self,))

    @cached_property
    def nullable(self) -> bool:
        return self.may_be_null

    @cached_property
    def levels(self) -> tuple[str, ...]:
        return self.declared

    @property
    def open(self) -> bool:
        return self.takes_other


@dataclasses.dataclass(frozen=True)
class Parameter(Expr):
    """A named parameter; replaced by its value when the plan is bound."""

    name: str
    of: Kind
    places: int = 0
    minimum: int = 0
    maximum: int = 0
    declared: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        return self.of

    @property
    def scale(self) -> int:
        return self.places

    @property
    def low(self) -> int:
        return self.minimum

    @property
    def high(self) -> int:
        return self.maximum

    @cached_property
    def levels(self) -> tuple[str, ...]:
        return self.declared


@dataclasses.dataclass(frozen=True)
class Number(Expr):
    """A numeric constant ``value * 10**-places``."""

    value: int
    places: int = 0

    @property
    def kind(self) -> Kind:
        return Kind.NUMBER

    @property
    def scale(self) -> int:
        return self.places

    @property
    def low(self) -> int:
        return self.value

    @property
    def high(self) -> int:
        return self.value


@dataclasses.dataclass(frozen=True)
class Text(Expr):
    """A constant level."""

    value: str

    @property
    def kind(self) -> Kind:
        return Kind.LEVEL

    @cached_property
    def levels(self) -> tuple[str, ...]:
        return (self.value,)


@dataclasses.dataclass(frozen=True)
class Truth(Expr):
    """TRUE or FALSE."""

    value: bool


class Operation(enum.Enum):
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"


@dataclasses.dataclass(frozen=True)
class Arithmetic(Expr):
    """``left op right``; sums align scales, products add them."""

    operation: Operation
    left: Expr
    right: Expr

    @property
    def kind(self) -> Kind:
        return Kind.NUMBER

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.left, self.right)

    @cached_property
    def _scale(self) -> int:
        if self.operation is Operation.MULTIPLY:
            return self.left.scale + self.right.scale
        return max(self.left.scale, self.right.scale)

    @property
    def scale(self) -> int:
        return self._scale

    @cached_property
    def _range(self) -> tuple[int, int]:
        left, right = self.left, self.right
        if self.operation is Operation.MULTIPLY:
            corners = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
            if left == right:  # a square is not negative
                low = 0 if left.low <= 0 <= left.high else min(left.low**2, left.high**2)
                return low, max(corners)
            return min(corners), max(corners)
        up = 10 ** (self.scale - left.scale)
        other = 10 ** (self.scale - right.scale)
        if self.operation is Operation.ADD:
            return left.low * up + right.low * other, left.high * up + right.high * other
        return left.low * up - right.high * other, left.high * up - right.low * other

    @property
    def low(self) -> int:
        return self._range[0]

    @property
    def high(self) -> int:
        return self._range[1]


@dataclasses.dataclass(frozen=True)
class IntegerDivision(Expr):
    """``operand // divisor`` of an integer by a positive constant, truncating toward zero."""

    operand: Expr
    divisor: int

    @property
    def kind(self) -> Kind:
        return Kind.NUMBER

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    @property
    def low(self) -> int:
        return divide_toward_zero(self.operand.low, self.divisor)

    @property
    def high(self) -> int:
        return divide_toward_zero(self.operand.high, self.divisor)


@dataclasses.dataclass(frozen=True)
class Remainder(Expr):
    """``operand % divisor`` of an integer by a positive constant; the sign is the operand's."""

    operand: Expr
    divisor: int

    @property
    def kind(self) -> Kind:
        return Kind.NUMBER

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    @property
    def low(self) -> int:
        return max(min(self.operand.low, 0), 1 - self.divisor)

    @property
    def high(self) -> int:
        return min(max(self.operand.high, 0), self.divisor - 1)


class Relation(enum.Enum):
    EQUAL = "="
    DIFFERENT = "<>"
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


@dataclasses.dataclass(frozen=True)
class Comparison(Expr):
    """``left relation right`` of two expressions of one kind."""

    relation: Relation
    left: Expr
    right: Expr

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.left, self.right)


@dataclasses.dataclass(frozen=True)
class And(Expr):
    items: tuple[Expr, ...]

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.items


@dataclasses.dataclass(frozen=True)
class Or(Expr):
    items: tuple[Expr, ...]

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.items


@dataclasses.dataclass(frozen=True)
class Not(Expr):
    operand: Expr

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)


@dataclasses.dataclass(frozen=True)
class IsNull(Expr):
    operand: Expr

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    @cached_property
    def nullable(self) -> bool:
        return False


@dataclasses.dataclass(frozen=True)
class IsTrue(Expr):
    """TRUE where the operand is, FALSE where it is FALSE or NULL."""

    operand: Expr

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    @cached_property
    def nullable(self) -> bool:
        return False


@dataclasses.dataclass(frozen=True)
class Branch:
    """``WHEN condition THEN value``; a value of ``None`` is NULL."""

    condition: Expr
    value: Expr | None


@dataclasses.dataclass(frozen=True)
class Case(Expr):
    """``CASE WHEN … THEN … ELSE otherwise END``; all values of one kind and, numbers, one scale."""

    branches: tuple[Branch, ...]
    otherwise: Expr | None

    @cached_property
    def values(self) -> tuple[Expr, ...]:
        found = [*(branch.value for branch in self.branches), self.otherwise]
        return tuple(value for value in found if value is not None)

    @property
    def kind(self) -> Kind:
        return self.values[0].kind

    @property
    def scale(self) -> int:
        return self.values[0].scale

    @property
    def children(self) -> tuple[Expr, ...]:
        return (*(branch.condition for branch in self.branches), *self.values)

    @property
    def low(self) -> int:
        return min(value.low for value in self.values)

    @property
    def high(self) -> int:
        return max(value.high for value in self.values)

    @cached_property
    def nullable(self) -> bool:
        null = self.otherwise is None or any(branch.value is None for branch in self.branches)
        return null or any(value.nullable for value in self.values)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(level for value in self.values for level in value.levels))

    @property
    def open(self) -> bool:
        return any(value.open for value in self.values)


def divide_toward_zero(value: int, divisor: int) -> int:
    """Integer division as DuckDB does it (measured: ``-7 // 2`` is -3); ``divisor`` > 0."""
    return value // divisor if value >= 0 else -(-value // divisor)


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything in it."""
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(node.children))


def columns_of(expr: Expr) -> frozenset[Column]:
    """The columns that an expression reads."""
    return expr.columns


def conjunction(items: tuple[Expr, ...]) -> Expr | None:
    """The AND of conditions, each once, flat; ``None`` for no condition."""
    flat: list[Expr] = []
    for item in items:
        flat.extend(item.items if isinstance(item, And) else (item,))
    distinct = tuple(dict.fromkeys(flat))
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    return And(distinct)


def substitute(expr: Expr, values: dict[str, Expr]) -> Expr:
    """The expression with every parameter replaced by its value."""
    return replace_leaves(
        expr, lambda leaf: values[leaf.name] if isinstance(leaf, Parameter) else leaf
    )


def replace_leaves(expr: Expr, leaf: Callable[[Expr], Expr]) -> Expr:  # noqa: PLR0911 -- one per type
    """The expression with every column, parameter and constant put through ``leaf``."""

    def inner(part: Expr) -> Expr:
        return replace_leaves(part, leaf)

    if isinstance(expr, Arithmetic):
        return Arithmetic(expr.operation, inner(expr.left), inner(expr.right))
    if isinstance(expr, Comparison):
        return Comparison(expr.relation, inner(expr.left), inner(expr.right))
    if isinstance(expr, (And, Or)):
        return type(expr)(tuple(inner(item) for item in expr.items))
    if isinstance(expr, (Not, IsNull, IsTrue)):
        return type(expr)(inner(expr.operand))
    if isinstance(expr, (IntegerDivision, Remainder)):
        return type(expr)(inner(expr.operand), expr.divisor)
    if isinstance(expr, Case):
        return Case(
            tuple(
                Branch(
                    inner(branch.condition), None if branch.value is None else inner(branch.value)
                )
                for branch in expr.branches
            ),
            None if expr.otherwise is None else inner(expr.otherwise),
        )
    return leaf(expr)


def substitute_column(expr: Expr, column: Column, value: Number) -> Expr:
    """A numeric expression with one column replaced by a constant."""
    if expr == column:
        return value
    if isinstance(expr, Arithmetic):
        return Arithmetic(
            expr.operation,
            substitute_column(expr.left, column, value),
            substitute_column(expr.right, column, value),
        )
    return expr
