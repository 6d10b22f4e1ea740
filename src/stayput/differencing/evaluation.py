"""The value of an expression for one value of the column it reads, as a node's engine computes it.

Three-valued logic as in SQL: ``None`` is NULL.  Numbers are integers in units of ``10**-scale`` of
the expression; division truncates toward zero.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Final

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
    Relation,
    Remainder,
    Text,
    Truth,
    divide_toward_zero,
)

Value = int | str | bool | None

_HOLDS: Final[dict[str, Callable[[int, int], bool]]] = {
    Relation.EQUAL.value: operator.eq,
    Relation.DIFFERENT.value: operator.ne,
    Relation.LESS.value: operator.lt,
    Relation.AT_MOST.value: operator.le,
    Relation.GREATER.value: operator.gt,
    Relation.AT_LEAST.value: operator.ge,
}


def evaluate(expr: Expr, value: Value) -> Value:  # noqa: PLR0911, PLR0912 -- one case per node type
    """``expr`` where its one column has ``value`` (a number scaled as the column is)."""
    match expr:
        case Column():
            return value
        case Number(value=constant):
            return constant
        case Text(value=text):
            return text
        case Truth(value=truth):
            return truth
        case Arithmetic():
            return _arithmetic(expr, value)
        case IntegerDivision(operand=operand, divisor=divisor):
            number = evaluate(operand, value)
            return None if number is None else divide_toward_zero(_int(number), divisor)
        case Remainder(operand=operand, divisor=divisor):
            number = evaluate(operand, value)
            if number is None:
                return None
            return _int(number) - divisor * divide_toward_zero(_int(number), divisor)
        case Comparison():
            return _compare(expr, value)
        case And(items=items):
            return _all([evaluate(item, value) for item in items])
        case Or(items=items):
            return _not(_all([_not(evaluate(item, value)) for item in items]))
        case Not(operand=operand):
            return _not(evaluate(operand, value))
        case IsNull(operand=operand):
            return evaluate(operand, value) is None
        case IsTrue(operand=operand):
            return evaluate(operand, value) is True
        case Case(branches=branches, otherwise=otherwise):
            for branch in branches:
                if evaluate(branch.condition, value) is True:
                    return None if branch.value is None else evaluate(branch.value, value)
            return None if otherwise is None else evaluate(otherwise, value)
    raise TypeError(f"{type(expr).__name__} has no value without a run")


def _int(value: Value) -> int:
    assert isinstance(value, int)  # the translator has checked the kinds
    return value


def _arithmetic(expr: Arithmetic, value: Value) -> Value:
    left, right = evaluate(expr.left, value), evaluate(expr.right, value)
    if left is None or right is None:
        return None
    if expr.operation is Operation.MULTIPLY:
        return _int(left) * _int(right)
    a: int = _int(left) * 10 ** (expr.scale - expr.left.scale)
    b: int = _int(right) * 10 ** (expr.scale - expr.right.scale)
    return a + b if expr.operation is Operation.ADD else a - b


def _compare(expr: Comparison, value: Value) -> Value:
    left, right = evaluate(expr.left, value), evaluate(expr.right, value)
    if left is None or right is None:
        return None
    if expr.left.kind is not Kind.NUMBER:
        return (left == right) == (expr.relation is Relation.EQUAL)
    a = _int(left) * 10**expr.right.scale
    b = _int(right) * 10**expr.left.scale
    return _HOLDS[expr.relation.value](a, b)


def _not(value: Value) -> Value:
    return None if value is None else not value


def _all(values: list[Value]) -> Value:
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True
