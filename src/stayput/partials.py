"""Partial sums: one holder's cells × measures, from the rows of its engine.

A partial never leaves its holder in clear (promise 2); what leaves is
:class:`stayput.encryption.EncryptedPartial`.  Its ``repr`` shows its size only.

Invariants: the grid is the plan's, dense, so its shape says nothing about which groups the holder
has; every value is an exact integer within the plan's widths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from stayput.differencing.overlap import Overlap
from stayput.errors import InvalidInput
from stayput.sql import OTHER, Dimension, Plan

EngineValue = int | str | bool | None


@dataclasses.dataclass(frozen=True, repr=False)
class LocalPartial:
    """One holder's sums: ``counts`` is cells × counts, ``values`` cells × value measures.

    Evidence for round one, where the plan needs it: ``units`` is cells × groups, numbers of
    distinct units; ``sizes`` is cells × 3·contributions: total, largest and second largest
    contribution, in absolute values.  It is not kept for round two.
    """

    counts: list[list[int]]
    values: list[list[int]]
    count_width: int
    value_width: int
    units: list[list[int]] = dataclasses.field(default_factory=list, compare=False)
    sizes: list[list[int]] = dataclasses.field(default_factory=list, compare=False)

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
        rows: key_0…, count_0…, value_0…, then the evidence that the plan needs, of each group
            that has rows; a key that is not declared goes to the ``__other__`` cell.

    Raises:
        InvalidInput: a row has another shape, or a sum that the declared bounds exclude.
    """
    keys, counts, values = len(plan.dimensions), len(plan.counts), len(plan.values)
    units = plan.groups if plan.evidence.unit else 0
    sizes = 3 * plan.contributions
    partial = LocalPartial(
        _zeros(plan, counts),
        _zeros(plan, values),
        plan.count_width,
        plan.value_width,
        _zeros(plan, units),
        _zeros(plan, sizes),
    )
    slots = [_slots(dimension) for dimension in plan.dimensions]
    for row in rows:
        if len(row) != keys + counts + values + units + sizes:
            raise InvalidInput("the engine returned another number of columns than the plan has")
        cell = 0
        for dimension, of, key in zip(plan.dimensions, slots, row[:keys], strict=True):
            cell = cell * dimension.slots + of.get(key, dimension.other_slot)
        numbers = _integers(row[keys:])
        _add(partial.counts[cell], numbers[:counts])
        _add(partial.values[cell], numbers[counts : counts + values])
        # Groups that meet in one cell may be of the same people: at least the most of either.
        found = numbers[counts + values : counts + values + units]
        partial.units[cell][:] = map(max, partial.units[cell], found)
        # Adding the largest of each overstates the largest of both: on the safe side.
        _add(partial.sizes[cell], numbers[counts + values + units :])
    _verify(plan, partial)
    return partial


def assemble_overlap(overlap: Overlap, rows: Iterable[Sequence[EngineValue]]) -> list[list[int]]:
    """Joint cells × pairs: rows that two answers are both about, from the engine's groups.

    Args:
        rows: keys of the joint grid, then the number of each pair.

    Raises:
        InvalidInput: a row has another shape.
    """
    keys, pairs = len(overlap.dimensions), len(overlap.pairs)
    found = [[0] * pairs for _ in range(overlap.cells)]
    slots = [_slots(dimension) for dimension in overlap.dimensions]
    for row in rows:
        if len(row) != keys + pairs:
            raise InvalidInput("the engine returned another number of columns than the plan has")
        cell = 0
        for dimension, of, key in zip(overlap.dimensions, slots, row[:keys], strict=True):
            cell = cell * dimension.slots + of.get(key, dimension.other_slot)
        _add(found[cell], _integers(row[keys:]))
    return found


def assemble_people(overlap: Overlap, rows: Iterable[Sequence[EngineValue]]) -> list[list[int]]:
    """Common cells × pairs: units with rows in which two answers differ, from the engine's groups.

    Groups that meet in one cell may be of the same people: at least the most of either.

    Raises:
        InvalidInput: a row has another shape.
    """
    dimensions = [overlap.dimensions[axis] for axis in overlap.common_axes]
    keys, pairs = len(dimensions), len(overlap.pairs)
    found = [[0] * pairs for _ in range(overlap.common_cells)]
    slots = [_slots(dimension) for dimension in dimensions]
    for row in rows:
        if len(row) != keys + pairs:
            raise InvalidInput("the engine returned another number of columns than the plan has")
        cell = 0
        for dimension, of, key in zip(dimensions, slots, row[:keys], strict=True):
            cell = cell * dimension.slots + of.get(key, dimension.other_slot)
        found[cell][:] = map(max, found[cell], _integers(row[keys:]))
    return found


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


def _zeros(plan: Plan, width: int) -> list[list[int]]:
    return [[0] * width for _ in range(plan.cells)]


def _integers(numbers: Sequence[EngineValue]) -> list[int]:
    found = []
    for number in numbers:
        if type(number) is not int:
            raise InvalidInput("the engine returned a sum that is no integer")
        found.append(number)
    return found


def _add(into: list[int], numbers: Sequence[int]) -> None:
    # Adds: several undeclared keys meet in one cell.
    for index, number in enumerate(numbers):
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
    _verify_evidence(plan, partial)
    if total > plan.max_rows:
        raise InvalidInput("there are more rows than the table contract declares")


def _verify_evidence(plan: Plan, partial: LocalPartial) -> None:
    if partial.units and plan.evidence.unit:
        for counts, units in zip(partial.counts, partial.units, strict=True):
            rests = [counts[whole] - counts[part] for part, whole in plan.rests]
            for rows, found in zip([*counts, *rests], units, strict=True):
                if not (rows > 0) <= found <= rows:
                    raise InvalidInput("a number of units is impossible")
    for sizes in partial.sizes:
        for total, largest, second in zip(sizes[::3], sizes[1::3], sizes[2::3], strict=True):
            if not 0 <= second <= largest or largest + second > total:
                raise InvalidInput("a contribution is impossible")
