"""What no honest data within the declared bounds can give (clause C-3).

Not disclosure rules: a violation says that a part is missing, foreign, altered, or made by a broken
node, and ends the run.  What leaks: the fact.
"""

from __future__ import annotations

from collections.abc import Sequence

from stayput.disclosure.moments import moments_of, possible
from stayput.disclosure.opened import Matrix, OpenedCounts, OpenedOverlap
from stayput.errors import VerificationError
from stayput.privacy import Noise
from stayput.sql import Plan


def verify_counts(plan: Plan, opened: OpenedCounts, participants: int) -> OpenedCounts:
    """Opened counts are possible: numbers of rows, and of holders that have some.

    Args:
        plan: of the run.
        opened: the sums of round one.
        participants: number of holders in the run.

    Raises:
        VerificationError: they are not.
    """
    if plan.noise is not None:
        return _verify_noisy_counts(plan, plan.noise, opened, participants)
    assert opened.holders is not None  # only noise leaves them out
    total, cut = 0, plan.bins
    for row, having in zip(opened.counts, opened.holders, strict=True):
        total += row[0]
        rests = [row[whole] - row[part] for part, whole in plan.rests]
        if any(count > row[0] for count in row):
            raise _impossible()
        if any(sum(row[i] for i in bins.counts) != row[bins.rows] for bins in cut):
            raise _impossible()
        for rows, holders in zip([*row, *rests], having, strict=True):
            most = min(rows, participants)  # a holder that has some has at least one
            if rows < 0 or not (rows > 0) <= holders <= most:
                raise _impossible()
    if total > plan.max_rows * participants:
        raise _impossible()
    _verify_flags(plan, opened)
    for beside in opened.overlaps:
        if any(number < 0 for row in beside.shared for number in row):
            raise _impossible()
        for row in beside.holders:
            _within(row, [0] * len(row), [participants] * len(row))
        _verify_people(beside)
    for row, close in zip(opened.counts, opened.close or [], strict=False):
        _within(close, [0] * len(close), [min(count, participants) for count in row])
    return opened


def _verify_people(beside: OpenedOverlap) -> None:
    """Only a holder with rows in which the answers differ has people behind them."""
    for having, row in zip(beside.holders, beside.people or [], strict=False):
        if any(
            number < 0 or (number and not some) for some, number in zip(having, row, strict=True)
        ):
            raise _impossible()


def _verify_noisy_counts(
    plan: Plan, noise: Noise, opened: OpenedCounts, participants: int
) -> OpenedCounts:
    """Noisy counts are as far from possible ones as the noise of all holders reaches.

    It goes further with probability below 2**-64 in a run (:mod:`stayput.privacy`).
    """
    most = plan.max_rows * participants
    for row in opened.counts:
        for index, count in enumerate(row):
            reach = participants * noise.tail(index)
            if not -reach <= count <= most + reach:
                raise _impossible()
    return opened


def _verify_flags(plan: Plan, opened: OpenedCounts) -> None:
    """Only a holder that has rows raises a flag about them, or counts units in them."""
    assert opened.holders is not None  # the caller looked
    for cell, having in enumerate(opened.holders):
        row = opened.counts[cell]
        rows = [*row, *(row[whole] - row[part] for part, whole in plan.rests)]
        if opened.units is not None:
            most = rows if plan.evidence.units_apart else having
            # Apart, every holder that has rows has a unit.
            least = having if plan.evidence.units_apart else [0] * len(rows)
            _within(opened.units[cell], least, most)
        if opened.small is not None:
            _within(opened.small[cell], [0] * len(rows), having)
        if opened.dominated is not None:
            most = [having[group] for group in contribution_groups(plan)]
            _within(opened.dominated[cell], [0] * len(most), most)


def contribution_groups(plan: Plan) -> list[int]:
    """The group of rows that each contribution of the plan adds up."""
    found = [value.support for value in plan.values]
    for part, whole in plan.differences:
        rest = (plan.values[part].support, plan.values[whole].support)
        found.append(len(plan.counts) + plan.rests.index(rest))
    return found


def _within(numbers: Sequence[int], least: Sequence[int], most: Sequence[int]) -> None:
    for number, low, high in zip(numbers, least, most, strict=True):
        if not low <= number <= high:
            raise _impossible()


def verify_values(plan: Plan, counts: Matrix, values: Sequence[Sequence[int | None]]) -> None:
    """Opened sums are possible: each within its count times the declared bounds per row, and
    squares and products no smaller than the sums demand (:mod:`stayput.disclosure.moments`); with
    noise, as far from its bounds as the noise reaches in both.

    ``values`` is cells × value measures, ``None`` where nothing was opened.

    Raises:
        VerificationError: they are not.
    """
    if plan.noise is not None:
        _verify_noisy_values(plan, plan.noise, counts, values)
        return
    second = moments_of(plan)
    for row, sums in zip(counts, values, strict=True):
        if not all(possible(moments, row[moments.support], sums) for moments in second):
            raise _impossible()
        for measure, total in zip(plan.values, sums, strict=True):
            if total is None:
                continue
            rows = row[measure.support]
            if not rows * measure.minimum <= total <= rows * measure.maximum:
                raise _impossible()


def _verify_noisy_values(
    plan: Plan, noise: Noise, counts: Matrix, values: Sequence[Sequence[int | None]]
) -> None:
    for row, sums in zip(counts, values, strict=True):
        for index, (measure, total) in enumerate(zip(plan.values, sums, strict=True)):
            if total is None:
                continue
            spread = plan.holders * noise.tail(measure.support)
            fewest = max(0, row[measure.support] - spread)
            most = max(0, row[measure.support] + spread)
            low = min(rows * measure.minimum for rows in (fewest, most))
            high = max(rows * measure.maximum for rows in (fewest, most))
            reach = plan.holders * noise.tail(len(plan.counts) + index)
            if not low - reach <= total <= high + reach:
                raise _impossible()


def _impossible() -> VerificationError:
    return VerificationError(
        "the opened sums are impossible for data within the declared bounds",
        hint="a part is missing, foreign or altered, or a holder's node is broken: order a new run",
    )
