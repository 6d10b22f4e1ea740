"""Partial sums: one holder's cells × measures, from the rows of its engine.

A partial never leaves its holder in clear (promise 2); what leaves is
:class:`stayput.encryption.EncryptedPartial`.  Its ``repr`` shows its size only.

Invariants: the grid is the plan's, dense, so its shape says nothing about which groups the holder
has; every value is an exact integer within the plan's widths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from stayput.errors import InvalidInput
from stayput.sql import OTHER, Dimension, Plan

EngineValue = int | str | bool | None


@dataclasses.dataclass(frozen=True, repr=False)
class LocalPartial:
    """One holder's sums: ``counts`` is cells × counts, ``values`` cells × value measures."""

    counts: list[list[int]]
    values: list[list[int]]
    count_width: int
    value_width: int

    def __repr__(self) -> str:
        return f"LocalPartial({len(self.counts)} cells)"

    def to_bytes(self) -> bytes:
        """All counts, then all values, row-major, big-endian two's complement in whole slots."""
        counts = [c.to_bytes(self.count_width // 8, "big") for row in self.counts for c in row]
        size = self.value_width // 8
        values = [v.to_bytes(size, "big", signed=True) for row in self.values for v in row]
        return b"".join(counts) + b"".join(values)


def assemble(plan: Plan, rows: Iterable[Sequence[EngineValue]]) -> LocalPartial:
    """The dense partial of a plan from the engine's groups.

    Args:
        plan: the plan whose :meth:`BoundPlan.node_sql` the engine executed.
        rows: key_0…, count_0…, value_0… of each group that has rows; a key that is not declared
            goes to the ``__other__`` cell.

    Raises:
        InvalidInput: a row has another shape, or a sum that the declared bounds exclude.
    """
    keys, counts, values = len(plan.dimensions), len(plan.counts), len(plan.values)
    partial = LocalPartial(
        [[0] * counts for _ in range(plan.cells)],
        [[0] * values for _ in range(plan.cells)],
        plan.count_width,
        plan.value_width,
    )
    slots = [_slots(dimension) for dimension in plan.dimensions]
    for row in rows:
        if len(row) != keys + counts + values:
            raise InvalidInput("the engine returned another number of columns than the plan has")
        cell = 0
        for dimension, of, key in zip(plan.dimensions, slots, row[:keys], strict=True):
            cell = cell * dimension.slots + of.get(key, dimension.other_slot)
        _add(partial.counts[cell], row[keys : keys + counts])
        _add(partial.values[cell], row[keys + counts :])
    _verify(plan, partial)
    return partial


def parse_partial(data: bytes, plan: Plan) -> LocalPartial:
    """Read back what :meth:`LocalPartial.to_bytes` wrote for the same plan.

    Raises:
        InvalidInput: it does not fit the plan.
    """
    counts, values = len(plan.counts), len(plan.values)
    size, wide = plan.count_width // 8, plan.value_width // 8
    middle = plan.cells * counts * size
    if len(data) != middle + plan.cells * values * wide:
        raise InvalidInput("a stored partial does not fit the plan")
    first = [int.from_bytes(data[i : i + size], "big") for i in range(0, middle, size)]
    second = [
        int.from_bytes(data[i : i + wide], "big", signed=True)
        for i in range(middle, len(data), wide)
    ]
    partial = LocalPartial(
        [first[i * counts : (i + 1) * counts] for i in range(plan.cells)],
        [second[i * values : (i + 1) * values] for i in range(plan.cells)],
        plan.count_width,
        plan.value_width,
    )
    _verify(plan, partial)
    return partial


def _slots(dimension: Dimension) -> dict[EngineValue, int]:
    slots: dict[EngineValue, int] = {value: i for i, value in enumerate(dimension.values)}
    if dimension.null_slot is not None:
        slots[None] = dimension.null_slot
    slots[OTHER] = dimension.other_slot
    return slots


def _add(into: list[int], numbers: Sequence[EngineValue]) -> None:
    # Adds: several undeclared keys meet in one cell.
    for index, number in enumerate(numbers):
        if type(number) is not int:
            raise InvalidInput("the engine returned a sum that is no integer")
        into[index] += number


def _verify(plan: Plan, partial: LocalPartial) -> None:
    """Counts and sums are what rows within the declared bounds can give.

    Raises:
        InvalidInput: they are not; without numbers, since the message may travel.
    """
    total = 0
    for counts, values in zip(partial.counts, partial.values, strict=True):
        total += counts[0]
        inside = all(counts[part] <= counts[whole] for part, whole in plan.rests)
        if not (inside and all(0 <= count <= counts[0] for count in counts)):
            raise InvalidInput("a count is impossible")
        for measure, value in zip(plan.values, values, strict=True):
            rows = counts[measure.support]
            if not rows * measure.minimum <= value <= rows * measure.maximum:
                raise InvalidInput("a sum is outside what the declared bounds allow")
    if total > plan.max_rows:
        raise InvalidInput("there are more rows than the table contract declares")
