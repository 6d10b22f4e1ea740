"""Conditions as sets of atoms.

Every column that a condition looks at is an *axis*: its possible values, those together that no
condition and no group key tells apart.  An *atom* takes one class of each axis; a *region* is a set
of atoms, one bit each.  Two regions can then be compared, subtracted and combined.

What is not a matter of one column (``a < b``) becomes an axis of its own, with the values true,
false and NULL.  No region is lost that way; some atoms may be impossible.  So do numbers with too
many values for what is done to them.  Such axes are *opaque* and are named.

Invariant: the atoms of one :class:`Universe` are disjoint and cover all rows.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stayput.differencing.evaluation import Value, evaluate
from stayput.sql import OTHER
from stayput.sql.render import render
from stayput.sql.tree import (
    And,
    Case,
    Column,
    Comparison,
    Expr,
    IsNull,
    IsTrue,
    Kind,
    Not,
    Number,
    Or,
    Text,
    Truth,
    columns_of,
    walk,
)

MAX_VALUES = 5_000
"""Values of a number that are looked at one by one, where its cuts do not say enough."""

MAX_BOXES = 512
"""Boxes of one condition; beyond, it is too complex to examine."""

MAX_ATOMS = 4_096

Mask = int
Box = tuple[tuple[int, Mask], ...]
"""Axis and classes allowed on it, in order of axis; an axis left out is free."""


class TooComplex(Exception):
    """What cannot be examined, in words."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """``samples`` stand for the classes of a column, or of a condition if it is opaque.

    ``ends`` is the last value of the class that ``samples`` begins (numbers only).
    """

    name: str
    samples: tuple[Value, ...]
    ends: tuple[Value, ...]
    column: Column | None

    @property
    def full(self) -> Mask:
        return (1 << len(self.samples)) - 1

    def words(self, mask: Mask) -> str:
        """The classes of a mask for a person."""
        if self.column is None:
            return _opaque_words(self.name, mask)
        chosen = [i for i in range(len(self.samples)) if mask >> i & 1]
        if self.column.kind is Kind.NUMBER:
            return f"{self.name} {_number_words(self, chosen)}"
        texts = [_value_word(self.samples[i]) for i in chosen]
        shown = texts[:4] + ([f"{len(texts) - 4} more"] if len(texts) > 4 else [])
        return f"{self.name} " + " or ".join(shown)


def _opaque_words(condition: str, mask: Mask) -> str:
    held = {0b001: "is true", 0b010: "is false", 0b100: "is NULL"}
    return f"({condition}) " + " or ".join(text for bit, text in held.items() if mask & bit)


def _value_word(value: Value) -> str:
    if value is None:
        return "NULL"
    if value == OTHER:
        return "outside its levels"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number_words(axis: Axis, chosen: Sequence[int]) -> str:
    assert axis.column is not None
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    for index in chosen:
        low, high = axis.samples[index], axis.ends[index]
        if low is None or high is None:
            parts.append("NULL")
            continue
        if spans and spans[-1][1] + 1 == low:
            spans[-1] = (spans[-1][0], _int(high))
        else:
            spans.append((_int(low), _int(high)))
    places = axis.column.places
    texts = [
        _decimal(low, places)
        if low == high
        else f"{_decimal(low, places)} to {_decimal(high, places)}"
        for low, high in spans
    ]
    shown = texts[:4] + ([f"{len(texts) - 4} more"] if len(texts) > 4 else [])
    return " or ".join(shown + parts)


def _decimal(value: int, places: int) -> str:
    if not places:
        return str(value)
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value), 10**places)
    return f"{sign}{whole}.{part:0{places}}"


# --- from conditions to axes ----------------------------------------------------------------------


def leaves(expr: Expr) -> Iterator[Expr]:
    """The largest parts of a condition that look at one column at most, or cannot be split."""
    if len(columns_of(expr)) > 1 and isinstance(expr, (And, Or, Not, IsTrue)):
        for child in expr.children:
            yield from leaves(child)
    else:
        yield expr


class Axes:
    """The axes of one table.

    Args:
        conditions: every condition of every question, parameters replaced.
        keys: every group key.
    """

    def __init__(self, conditions: Iterable[Expr], keys: Iterable[Expr]) -> None:
        read: dict[Column, list[Expr]] = {}
        self._index: dict[object, int] = {}
        self._axes: list[Axis] = []
        # By identity: hashing a tree each time would take most of the time of an audit.
        self._truths: dict[int, tuple[Expr, tuple[Box, ...], tuple[Box, ...]]] = {}
        found = dict.fromkeys(leaf for condition in conditions for leaf in leaves(condition))
        for expr in (*found, *dict.fromkeys(keys)):
            columns = columns_of(expr)
            if len(columns) == 1:
                read.setdefault(next(iter(columns)), []).append(expr)
        for column, exprs in sorted(read.items(), key=lambda item: item[0].name):
            axis = _column_axis(column, exprs)
            if axis is not None:
                self._add(column, axis)
        for leaf in found:
            if columns_of(leaf) and self._axis_of(leaf) is None:
                self._add(leaf, Axis(_plain(leaf), (True, False, None), (), None))

    def __getitem__(self, index: int) -> Axis:
        return self._axes[index]

    def __len__(self) -> int:
        return len(self._axes)

    @property
    def opaque(self) -> tuple[str, ...]:
        """Conditions that are axes of their own."""
        return tuple(axis.name for axis in self._axes if axis.column is None)

    def _add(self, key: object, axis: Axis) -> None:
        self._index[key] = len(self._axes)
        self._axes.append(axis)

    def _axis_of(self, expr: Expr) -> int | None:
        columns = columns_of(expr)
        if len(columns) == 1:
            found = self._index.get(next(iter(columns)))
            if found is not None:
                return found
        return self._index.get(expr)

    def boxes(self, condition: Expr | None) -> tuple[Box, ...]:
        """Where a condition is true, as boxes that may overlap.

        Raises:
            TooComplex: more than :data:`MAX_BOXES`.
        """
        return ((),) if condition is None else self._truth(condition)[0]

    def key_slices(self, key: Expr) -> tuple[int, tuple[Mask, ...]] | None:
        """The axis of a group key and the classes of each of its values; ``None`` if the key is not
        a matter of one column."""
        index = self._axis_of(key)
        if index is None or self._axes[index].column is None:
            return None
        slices: dict[tuple[type, Value], Mask] = {}
        for position, sample in enumerate(self._axes[index].samples):
            value = evaluate(key, sample)
            slot = (type(value), value)
            slices[slot] = slices.get(slot, 0) | 1 << position
        return index, tuple(slices.values())

    def _truth(self, expr: Expr) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
        """Where ``expr`` is true, and where it is false; it is NULL elsewhere."""
        if not isinstance(expr, (And, Or, Not, IsTrue)):
            return self._leaf(expr)
        columns = columns_of(expr)
        if len(columns) < 2 and not (isinstance(expr, And) and self._has_parts(expr, columns)):
            return self._leaf(expr)
        if isinstance(expr, Not):
            true, false = self._truth(expr.operand)
            return false, true
        if isinstance(expr, IsTrue):
            return self._is_true(expr)
        parts = [self._truth(item) for item in expr.items]
        if isinstance(expr, And):
            return _product([t for t, _ in parts]), _union([f for _, f in parts])
        return _union([t for t, _ in parts]), _product([f for _, f in parts])

    def _has_parts(self, expr: And, columns: frozenset[Column]) -> bool:
        """Whether the parts of a conjunction about one column are known one by one."""
        return any(column in self._index for column in columns) or expr not in self._index

    def _is_true(self, expr: IsTrue) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
        """False also where the operand is NULL: the complement of where it is true."""
        true, _ = self._truth(expr.operand)
        outside = [
            tuple(((axis, self._axes[axis].full & ~mask),) for axis, mask in box) for box in true
        ]
        return true, _product(outside)

    def _leaf(self, expr: Expr) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
        known = self._truths.get(id(expr))
        if known is not None:
            return known[1:]
        true, false = self._leaf_boxes(expr)
        self._truths[id(expr)] = expr, true, false  # holds it, so that its identity stays its own
        return true, false

    def _leaf_boxes(self, expr: Expr) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
        index = self._axis_of(expr)
        if index is None:  # every leaf that reads a column was shown to the constructor
            held = evaluate(expr, None)
            return (((),) if held is True else ()), (((),) if held is False else ())
        true, false = self._masks(index, expr)
        full = self._axes[index].full
        return _one_box(index, true, full), _one_box(index, false, full)

    def _masks(self, index: int, expr: Expr) -> tuple[Mask, Mask]:
        axis = self._axes[index]
        if axis.column is None:
            return 0b001, 0b010
        if isinstance(expr, Comparison) and _thresholds(axis.column, expr) is not None:
            return _compared(axis, axis.column, expr)
        values = [evaluate(expr, sample) for sample in axis.samples]
        true = sum(1 << i for i, value in enumerate(values) if value is True)
        return true, sum(1 << i for i, value in enumerate(values) if value is False)


def _compared(axis: Axis, column: Column, expr: Comparison) -> tuple[Mask, Mask]:
    """As evaluating at every sample, but between two thresholds nothing changes."""
    numbers = len(axis.samples) - column.nullable
    starts = axis.samples[:numbers]
    edges = [bisect.bisect_left(starts, cut, key=_int) for cut in _thresholds(column, expr) or ()]
    true, begin = 0, 0
    for end in sorted({*edges, numbers}):
        if end > begin and evaluate(expr, starts[begin]) is True:
            true |= (1 << end) - (1 << begin)
        begin = end
    return true, ((1 << numbers) - 1) & ~true


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _one_box(axis: int, mask: Mask, full: Mask) -> tuple[Box, ...]:
    if not mask:
        return ()
    return ((),) if mask == full else (((axis, mask),),)


def _union(parts: Sequence[tuple[Box, ...]]) -> tuple[Box, ...]:
    return _bounded(dict.fromkeys(box for part in parts for box in part))


def _product(parts: Sequence[tuple[Box, ...]]) -> tuple[Box, ...]:
    found: tuple[Box, ...] = ((),)
    for part in parts:
        boxes: dict[Box, None] = {}
        for left, right in itertools.product(found, part):
            box = intersect(left, right)
            if box is not None:
                boxes[box] = None
        found = _bounded(boxes)
    return found


def _bounded(boxes: dict[Box, None]) -> tuple[Box, ...]:
    if () in boxes:
        return ((),)
    if len(boxes) > MAX_BOXES:
        raise TooComplex(f"a condition has more than {MAX_BOXES} alternatives")
    return tuple(boxes)


def intersect(left: Box, right: Box) -> Box | None:
    """What two boxes share, ``None`` if nothing."""
    if not left or not right:
        return left or right
    masks = dict(left)
    for axis, mask in right:
        masks[axis] = masks.get(axis, mask) & mask
        if not masks[axis]:
            return None
    return tuple(sorted(masks.items()))


def _plain(expr: Expr) -> str:
    """A condition as a person would write it."""
    text = render(expr).replace('"', "")
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _column_axis(column: Column, exprs: Sequence[Expr]) -> Axis | None:
    null: tuple[Value, ...] = (None,) if column.nullable else ()
    if column.kind is Kind.NUMBER:
        starts = _cuts(column, exprs)
        if starts is None:
            return None
        ends = [start - 1 for start in starts[1:]] + [column.high]
        return Axis(column.name, (*starts, *null), (*ends, *null), column)
    samples: tuple[Value, ...] = (False, True)
    if column.kind is Kind.LEVEL:
        samples = (*column.declared, *((OTHER,) if column.open else ()))
    return Axis(column.name, (*samples, *null), (), column)


_HARMLESS = (And, Or, Not, IsTrue, IsNull, Case, Number, Text, Truth, Column)


def _cuts(column: Column, exprs: Sequence[Expr]) -> list[int] | None:
    """Where the classes of a numeric column begin; ``None`` if it has too many values to look at
    each of them and something else is done to it than comparing it with constants."""
    cuts = {column.low}
    for expr in exprs:
        for node in walk(expr):
            if isinstance(node, Comparison):
                found = _thresholds(column, node)
            elif isinstance(node, _HARMLESS):
                found = ()
            else:
                found = None  # arithmetic, or a key that is the column itself
            if found is None or expr == column:
                if column.high - column.low >= MAX_VALUES:
                    return None
                return list(range(column.low, column.high + 1))
            cuts.update(found)
    return sorted(cut for cut in cuts if column.low <= cut <= column.high)


def _thresholds(column: Column, node: Comparison) -> tuple[int, ...] | None:
    """The values at which a comparison with a constant changes, in units of the column."""
    if node.left == column and isinstance(node.right, Number):
        constant = node.right
    elif node.right == column and isinstance(node.left, Number):
        constant = node.left
    else:
        return None
    scaled = constant.value * 10**column.places
    floor = scaled // 10**constant.places
    exact = floor * 10**constant.places == scaled
    return (floor, floor + 1) if exact else (floor + 1,)


# --- from boxes to atoms --------------------------------------------------------------------------


class Universe:
    """The atoms of some boxes: products of the classes that these boxes tell apart.

    Raises:
        TooComplex: more than :data:`MAX_ATOMS`.
    """

    def __init__(self, axes: Axes, boxes: Iterable[Box]) -> None:
        masks: dict[int, dict[Mask, None]] = {}
        for box in boxes:
            for axis, mask in box:
                masks.setdefault(axis, {})[mask] = None
        self._axes = axes
        self._order = sorted(masks)
        self._groups = {axis: _classes(axes[axis].full, masks[axis]) for axis in self._order}
        self.size = math.prod(len(group) for group in self._groups.values())
        if self.size > MAX_ATOMS:
            raise TooComplex(f"its conditions tell {self.size} groups of rows apart")
        self._bits: dict[Box, int] = {}
        self._firsts = {
            axis: np.array([(group & -group).bit_length() - 1 for group in self._groups[axis]])
            for axis in self._order
        }

    def region(self, boxes: Iterable[Box]) -> int:
        """The atoms in any of the boxes, one bit each."""
        found = 0
        for box in boxes:
            if box not in self._bits:
                self._bits[box] = self._region(dict(box))
            found |= self._bits[box]
        return found

    def _region(self, box: dict[int, Mask]) -> int:
        inside = np.ones(1, dtype=np.bool_)
        for axis in self._order:  # the last axis varies fastest
            mask = box.get(axis, self._axes[axis].full)
            held = membership([mask], len(self._axes[axis].samples))[0]
            inside = np.outer(inside, held[self._firsts[axis]]).ravel()
        return int.from_bytes(np.packbits(inside, bitorder="little").tobytes(), "little")

    def words(self, region: int) -> str:
        """A region for a person: exact if it is a box, else the box around it, and said so."""
        hull = dict.fromkeys(self._order, 0)
        for atom in range(self.size):
            if region >> atom & 1:
                for axis, group in self._coordinates(atom):
                    hull[axis] |= group
        box = tuple(hull.items())
        parts = [
            self._axes[axis].words(mask) for axis, mask in box if mask != self._axes[axis].full
        ]
        text = ", ".join(parts) or "all rows"
        return text if self._region(dict(box)) == region else f"some of: {text}"

    def _coordinates(self, atom: int) -> Iterator[tuple[int, Mask]]:
        for axis in reversed(self._order):
            group = self._groups[axis]
            atom, position = divmod(atom, len(group))
            yield axis, group[position]


def membership(sets: Sequence[int], size: int) -> npt.NDArray[np.uint8]:
    """Sets × members, 0 or 1."""
    width = (size + 7) // 8
    data = b"".join(bits.to_bytes(width, "little") for bits in sets)
    rows = np.frombuffer(data, dtype=np.uint8).reshape(len(sets), width)
    return np.unpackbits(rows, axis=1, count=size, bitorder="little")


def partition(sets: Sequence[int], size: int) -> list[tuple[int, bool]]:
    """Members that no set tells apart, together, and whether they are in any set."""
    columns = np.ascontiguousarray(np.packbits(membership(sets, size), axis=0).T)
    groups: dict[bytes, int] = {}
    for member in range(size):
        signature = columns[member].tobytes()
        groups[signature] = groups.get(signature, 0) | 1 << member
    return [(group, any(signature)) for signature, group in groups.items()]


def _classes(full: Mask, masks: Iterable[Mask]) -> tuple[Mask, ...]:
    """The coarsest partition of ``full`` in which every mask is a union of classes."""
    return tuple(group for group, _ in partition(list(masks), full.bit_length()))
