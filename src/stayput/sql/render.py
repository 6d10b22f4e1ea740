"""Writes SQL for nodes from the typed tree; the only place that writes SQL.

The text holds what the tree holds: declared column names (quoted), integers, quoted constants,
operators from a fixed list.  It reads one relation whose columns are already scaled integers,
texts and truth values.  Integers are 64 bits wide while the bounds say that this is enough, and
128 bits (``HUGEINT``) beyond, so no operation can wrap.
"""

from __future__ import annotations

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
    Or,
    Parameter,
    Remainder,
    Text,
    Truth,
)

SOURCE = "stayput_source"
"""The relation at the node: the contract's columns, checked, clipped and scaled."""

NARROW = 2**62
"""Up to here expressions are computed in 64 bits; one bit below the limit, so that negation and
the interval of an intermediate sum stay inside too."""


def quote_name(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """A quoted SQL string; DuckDB knows no escape but the doubled quote."""
    return "'" + value.replace("'", "''") + "'"


def render(expr: Expr) -> str:  # noqa: PLR0911, PLR0912 -- one case per node type
    """The SQL of an expression. Parameters appear as ``:name`` (for reports only)."""
    match expr:
        case Column(name=name):
            return quote_name(name)
        case Parameter(name=name):
            return f":{name}"
        case Number(value=value):
            return _integer(value)
        case Text(value=text):
            return quote_text(text)
        case Truth(value=truth):
            return "TRUE" if truth else "FALSE"
        case Arithmetic():
            return _arithmetic(expr)
        case IntegerDivision(operand=operand, divisor=divisor):
            return f"({render(operand)} // {divisor})"
        case Remainder(operand=operand, divisor=divisor):
            return f"({render(operand)} % {divisor})"
        case Comparison():
            return _comparison(expr)
        case And(items=items):
            return "(" + " AND ".join(render(item) for item in items) + ")"
        case Or(items=items):
            return "(" + " OR ".join(render(item) for item in items) + ")"
        case Not(operand=operand):
            return f"(NOT {render(operand)})"
        case IsNull(operand=operand):
            return f"({render(operand)} IS NULL)"
        case IsTrue(operand=operand):
            return f"COALESCE({render(operand)}, FALSE)"
        case Case():
            return _case(expr)
    raise TypeError(f"{type(expr).__name__} has no SQL")


def _integer(value: int) -> str:
    # Always typed: DuckDB would make a bare literal an INTEGER of 32 bits and multiply in 32 bits.
    return f"CAST({value} AS {'BIGINT' if abs(value) <= NARROW else 'HUGEINT'})"


def _aligned(expr: Expr, scale: int, wide: bool) -> str:
    text = render(expr)
    if wide:
        text = f"CAST({text} AS HUGEINT)"
    if expr.scale == scale:
        return text
    factor = 10 ** (scale - expr.scale)
    if isinstance(expr, Number):
        return _integer(expr.value * factor)
    return f"({text} * {_integer(factor)})"


def _arithmetic(expr: Arithmetic) -> str:
    multiply = expr.operation is Operation.MULTIPLY
    scales = (expr.left.scale, expr.right.scale) if multiply else (expr.scale, expr.scale)
    parts = (expr.left, expr.right)
    sizes = [p.size * 10 ** (s - p.scale) for p, s in zip(parts, scales, strict=True)]
    wide = max(expr.size, *sizes) > NARROW
    left, right = (_aligned(p, s, wide) for p, s in zip(parts, scales, strict=True))
    return f"({left} {expr.operation.value} {right})"


def _comparison(expr: Comparison) -> str:
    if expr.left.kind is not Kind.NUMBER:
        return f"({render(expr.left)} {expr.relation.value} {render(expr.right)})"
    scale = max(expr.left.scale, expr.right.scale)
    wide = any(p.size * 10 ** (scale - p.scale) > NARROW for p in (expr.left, expr.right))
    left, right = (_aligned(p, scale, wide) for p in (expr.left, expr.right))
    return f"({left} {expr.relation.value} {right})"


def _case(expr: Case) -> str:
    parts = ["CASE"]
    for branch in expr.branches:
        value = "NULL" if branch.value is None else render(branch.value)
        parts.append(f"WHEN {render(branch.condition)} THEN {value}")
    if expr.otherwise is not None:
        parts.append(f"ELSE {render(expr.otherwise)}")
    return " ".join([*parts, "END"])
