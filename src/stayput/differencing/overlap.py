"""Which rows two answers share: one query at each holder, one number per pair of their cells.

Two answers about the row sets S and T give away a number about the rows in which they differ.  How
many those are, |S| + |T| - 2·|S ∩ T|, is pooled if |S ∩ T| is, whatever the conditions look like:
so nodes count rows that both answers are about, and no text has to be understood.

An :class:`Overlap` lays out these numbers for two bound plans over one table.  Keys that both plans
have are shared; the *joint grid* is the product of all keys of either, the *common grid* that of
the shared ones.  Only counts of the same rows but for a condition are compared (:func:`kinds`):
that a column is NULL in few rows shows in any answer, and is no difference of two questions.  Nor
are two counts compared that no row can be in both (:func:`apart`), such as two months, or two bins
of one number: they share nothing, and differ in all rows of both, which each was judged by.

Pure: plans in, SQL text and positions out.  What leaks: nothing; everything follows from the text.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from stayput.scenario import Column, TableContract
from stayput.sql import BoundPlan, Dimension
from stayput.sql.render import SOURCE, quote_name, render
from stayput.sql.tree import (
    And,
    Comparison,
    Expr,
    IsNull,
    Not,
    Number,
    Relation,
    Text,
    conjunction,
    substitute,
)

Indices = npt.NDArray[np.int64]


class Incomparable(Exception):
    """Two answers read one column under different declarations."""


def kinds(bound: BoundPlan) -> tuple[frozenset[str], ...]:
    """Of each count the columns that must not be NULL in its rows, apart from what it chooses."""
    return tuple(_missing_columns(count.condition) for count in bound.plan.counts)


def _missing_columns(condition: Expr | None) -> frozenset[str]:
    items = condition.items if isinstance(condition, And) else (condition,)
    return frozenset(
        render(item.operand.operand)
        for item in items
        if isinstance(item, Not) and isinstance(item.operand, IsNull)
    )


def merged(contract: TableContract, other: TableContract, used: tuple[str, ...]) -> TableContract:
    """The contract with the used columns of another one.

    Raises:
        Incomparable: a column is declared otherwise there, so the same row may count differently.
    """
    known = {column.name: column for column in contract.columns}
    extra = []
    for name in used:
        column = other.column(name)
        if name not in known:
            extra.append(column)
        elif _meaning(known[name]) != _meaning(column):
            raise Incomparable(name)
    return dataclasses.replace(contract, columns=(*contract.columns, *extra))


def _meaning(column: Column) -> Column:
    return dataclasses.replace(
        column, grade=type(column.grade)(1), unit="", description="", roles=()
    )


@dataclasses.dataclass(frozen=True)
class Overlap:
    """The layout of what a new and an earlier answer share."""

    new: BoundPlan
    old: BoundPlan

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(count of the new plan, count of the old plan) that are compared; may be empty."""
        theirs = list(zip(kinds(self.old), _spans_of(self.old), strict=True))
        return tuple(
            (i, j)
            for i, (kind, spans) in enumerate(
                zip(kinds(self.new), _spans_of(self.new), strict=True)
            )
            for j, (other, other_spans) in enumerate(theirs)
            if kind == other and not _disjoint(spans, other_spans)
        )

    @cached_property
    def place(self) -> dict[tuple[int, int], int]:
        """Where each pair stands among all of them."""
        return {pair: index for index, pair in enumerate(self.pairs)}

    @cached_property
    def _places(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Axes of the joint grid that are keys of the new plan, and of the old one."""
        mine, theirs = _keys(self.new), _keys(self.old)
        axes = list(mine)
        axes += [key for key in theirs if key not in mine]
        return tuple(axes.index(key) for key in mine), tuple(axes.index(key) for key in theirs)

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The axes of the joint grid: the keys of the new plan, then others of the old one."""
        shared, others = self._places
        del shared
        first = len(self.new.plan.dimensions)
        added = dict(zip(others, self.old.plan.dimensions, strict=True))
        own = self.new.plan.dimensions
        return (*own, *(added[axis] for axis in sorted(added) if axis >= first))

    @property
    def cells(self) -> int:
        """Cells of the joint grid."""
        return math.prod(dimension.slots for dimension in self.dimensions)

    @cached_property
    def new_cell(self) -> Indices:
        """The cell of the new plan in which each cell of the joint grid lies."""
        return self._project(self._places[0])

    @cached_property
    def old_cell(self) -> Indices:
        """The cell of the old plan in which each cell of the joint grid lies."""
        return self._project(self._places[1])

    @cached_property
    def common_cell(self) -> Indices:
        """The cell of the common grid in which each cell of the joint grid lies."""
        return self._project(self.common_axes)

    @cached_property
    def common_axes(self) -> tuple[int, ...]:
        """Axes of the joint grid that are keys of both plans."""
        return tuple(axis for axis in self._places[0] if axis in self._places[1])

    @property
    def common_cells(self) -> int:
        """Cells of the common grid."""
        return math.prod(self.dimensions[axis].slots for axis in self.common_axes)

    @property
    def shared(self) -> int:
        """Numbers of rows that both answers are about: one per joint cell and pair of counts."""
        return len(self.pairs) * self.cells

    @property
    def flags(self) -> int:
        """Whether a holder has rows in which they differ: one per common cell and pair."""
        return len(self.pairs) * self.common_cells

    def _project(self, axes: tuple[int, ...]) -> Indices:
        shape = [dimension.slots for dimension in self.dimensions]
        if not axes:
            return np.zeros(math.prod(shape), dtype=np.int64)
        grids = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((0, 1), np.int64)
        return np.asarray(
            np.ravel_multi_index([grids[a] for a in axes], [shape[a] for a in axes]), np.int64
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the query reads."""
        return tuple(sorted({*self.new.plan.columns, *self.old.plan.columns}))

    def sql(self) -> str:
        """The query of a node: keys of the joint grid, then the rows of each pair.

        Rows in which no count of either is one do not appear.
        """
        keys, counts, where = self._parts()
        items = [f"{key} AS key_{i}" for i, key in enumerate(keys)]
        items += [f"COUNT(*) FILTER (WHERE {c}) AS shared_{i}" for i, c in enumerate(counts)]
        lines = ["SELECT " + ",\n       ".join(items), f"FROM {quote_name(SOURCE)}"]
        if where:
            lines.append(f"WHERE {where}")
        if keys:
            lines.append("GROUP BY " + ", ".join(str(i + 1) for i in range(len(keys))))
        return "\n".join(lines)

    def sql_by_row(self) -> str:
        """As :meth:`sql`, broken down by ``identity`` (:mod:`stayput.engines.snapshots`)."""
        keys, counts, where = self._parts()
        items = [f"{key} AS key_{i}" for i, key in enumerate(keys)]
        items.append("identity")
        items += [f"COUNT(*) FILTER (WHERE {c}) AS shared_{i}" for i, c in enumerate(counts)]
        lines = ["SELECT " + ",\n       ".join(items), f"FROM {quote_name(SOURCE)}"]
        if where:
            lines.append(f"WHERE {where}")
        lines.append("GROUP BY " + ", ".join(str(i + 1) for i in range(len(keys) + 1)))
        return "\n".join(lines)

    def units_sql(self, unit: str) -> str:
        """The query of a node for people: keys of the common grid, then of each pair the number of
        distinct values of ``unit`` among rows in which the two answers differ."""
        chosen = self._chosen()
        items = [
            f"COUNT(DISTINCT {quote_name(unit)}) FILTER (WHERE {mine} <> {theirs}) AS units_{k}"
            for k, (mine, theirs) in enumerate(chosen)
        ]
        return self._over_common([], items, "")

    def units_by_row(self, unit: str) -> str:
        """As :meth:`units_sql`, per ``identity`` and unit: rows of the new answer, ``mine_0`` …,
        and of these the ones that the conditions of the old one choose as well, ``shared_0`` …"""
        chosen = self._chosen()
        items = [
            f"COUNT(*) FILTER (WHERE {mine}) AS mine_{k}" for k, (mine, _) in enumerate(chosen)
        ]
        items += [
            f"COUNT(*) FILTER (WHERE {mine} AND {theirs}) AS shared_{k}"
            for k, (mine, theirs) in enumerate(chosen)
        ]
        where = _where(self.new)
        text = "" if where is None else render(where)
        return self._over_common(["identity", f"{quote_name(unit)} AS unit"], items, text)

    def _chosen(self) -> list[tuple[str, str]]:
        """Of each pair, whether a row is in either: never NULL."""

        def text(bound: BoundPlan, index: int) -> str:
            both = (_where(bound), _conditions(bound)[index])
            condition = conjunction(tuple(c for c in both if c is not None))
            return "TRUE" if condition is None else f"COALESCE({render(condition)}, FALSE)"

        return [(text(self.new, i), text(self.old, j)) for i, j in self.pairs]

    def _over_common(self, more: list[str], items: list[str], where: str) -> str:
        expressions = self._expressions()
        keys = [f"{render(expressions[a])} AS key_{n}" for n, a in enumerate(self.common_axes)]
        lines = [
            "SELECT " + ",\n       ".join([*keys, *more, *items]),
            f"FROM {quote_name(SOURCE)}",
        ]
        if where:
            lines.append(f"WHERE {where}")
        if keys or more:
            groups = range(1, len(keys) + len(more) + 1)
            lines.append("GROUP BY " + ", ".join(map(str, groups)))
        return "\n".join(lines)

    @property
    def same_grid(self) -> bool:
        """Whether both plans have the same keys, so that cells are compared one to one."""
        return len(self.common_axes) == len(self.dimensions)

    def _parts(self) -> tuple[list[str], list[str], str]:
        keys = [render(expr) for expr in self._expressions()]
        mine, theirs = _conditions(self.new), _conditions(self.old)
        counts = []
        for i, j in self.pairs:
            both = conjunction(tuple(c for c in (mine[i], theirs[j]) if c is not None))
            counts.append("TRUE" if both is None else render(both))
        wheres = (_where(self.new), _where(self.old))
        where = conjunction(tuple(c for c in wheres if c is not None))
        return keys, counts, "" if where is None else render(where)

    def _expressions(self) -> list[Expr]:
        found: list[Expr] = [_bound(d.expr, self.new) for d in self.new.plan.dimensions]
        first = len(found)
        theirs = [_bound(d.expr, self.old) for d in self.old.plan.dimensions]
        placed = dict(zip(self._places[1], theirs, strict=True))
        return found + [placed[axis] for axis in sorted(placed) if axis >= first]

    def common(self, numbers: Indices, cell: Indices) -> Indices:
        """Totals over the cells of the common grid, of one number per cell of one plan."""
        joint = np.zeros(self.common_cells, dtype=np.int64)
        first = _first_of_each(cell, len(numbers))
        np.add.at(joint, self.common_cell[first], numbers)
        return joint


def _first_of_each(cell: Indices, count: int) -> Indices:
    """For each cell of a plan one cell of the joint grid that lies in it."""
    found = np.zeros(count, dtype=np.int64)
    found[cell[::-1]] = np.arange(len(cell) - 1, -1, -1)
    return found


_Span = tuple[Any, Any]
"""The least and the greatest value, None if there is no bound: fractions, or one text twice."""


def apart(one: BoundPlan, i: int, other: BoundPlan, j: int) -> bool:
    """Whether no row can be in count i of one answer and in count j of another, by their text:
    both compare the same expression with constants, and no value satisfies both."""
    return bool(_apart(one, other)[i, j])


@functools.lru_cache(maxsize=512)
def _apart(one: BoundPlan, other: BoundPlan) -> npt.NDArray[np.bool_]:
    """Counts of one × counts of the other."""
    theirs = _spans_of(other)
    return np.array([[_disjoint(mine, their) for their in theirs] for mine in _spans_of(one)])


def _spans_of(bound: BoundPlan) -> tuple[dict[Expr, _Span], ...]:
    """Of each count, between what its rows have each compared expression."""
    where = _where(bound)
    return tuple(
        _spans(conjunction(tuple(c for c in (where, own) if c is not None)))
        for own in _conditions(bound)
    )


def _spans(condition: Expr | None) -> dict[Expr, _Span]:
    found: dict[Expr, _Span] = {}
    for item in condition.items if isinstance(condition, And) else (condition,):
        if isinstance(item, Comparison) and isinstance(item.right, Text):
            if item.relation is Relation.EQUAL:
                found.setdefault(item.left, (item.right.value, item.right.value))
        elif isinstance(item, Comparison) and isinstance(item.right, Number):
            low, high = found.get(item.left, (None, None))
            edge = Fraction(item.right.value, 10**item.right.places)
            if item.relation in (Relation.AT_LEAST, Relation.GREATER, Relation.EQUAL):
                low = edge if low is None else max(low, edge)
            if item.relation in (Relation.AT_MOST, Relation.LESS, Relation.EQUAL):
                high = edge if high is None else min(high, edge)
            found[item.left] = low, high
    return found


def _disjoint(one: dict[Expr, _Span], other: dict[Expr, _Span]) -> bool:
    for expr, (low, high) in one.items():
        theirs = other.get(expr)
        if theirs is not None:
            beyond = theirs[1] is not None and low is not None and theirs[1] < low
            below = theirs[0] is not None and high is not None and high < theirs[0]
            if beyond or below:
                return True
    return False


def key_texts(bound: BoundPlan) -> tuple[str, ...]:
    """What makes a key the same in two plans: its expression and its declared values, as text."""
    return tuple(f"{text} {key.values} {key.nullable}" for text, key in _keys(bound))


@functools.lru_cache(maxsize=512)
def level_cells(bound: BoundPlan, level: frozenset[str]) -> Indices:
    """Of each cell of a plan, the cell of the grid of some of its keys, in order of their texts:
    the same for all plans that have these keys."""
    texts = key_texts(bound)
    shape = [dimension.slots for dimension in bound.plan.dimensions]
    axes = [texts.index(text) for text in sorted(level)]
    if not axes:
        return np.zeros(math.prod(shape), dtype=np.int64)
    grids = np.indices(shape).reshape(len(shape), -1)
    chosen = [grids[axis] for axis in axes]
    return np.asarray(np.ravel_multi_index(chosen, [shape[a] for a in axes]), np.int64)


def _keys(bound: BoundPlan) -> tuple[tuple[str, Dimension], ...]:
    """Keys are the same if their expression is, and they have the same declared values."""
    return tuple(
        (
            render(_bound(d.expr, bound)),
            dataclasses.replace(d, label="", expr=_bound(d.expr, bound)),
        )
        for d in bound.plan.dimensions
    )


def _bound(expr: Expr, bound: BoundPlan) -> Expr:
    return substitute(expr, bound.constants())


def _where(bound: BoundPlan) -> Expr | None:
    where = bound.plan.where
    return None if where is None else _bound(where, bound)


def _conditions(bound: BoundPlan) -> list[Expr | None]:
    return [
        None if count.condition is None else _bound(count.condition, bound)
        for count in bound.plan.counts
    ]
