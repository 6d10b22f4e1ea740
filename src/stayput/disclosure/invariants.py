"""What no honest data within the declared bounds can give (clause C-3).

Not disclosure rules: a violation says that a part is missing, foreign, altered, or made by a broken
node, and ends the run.  What leaks: the fact.
"""

from __future__ import annotations

from collections.abc import Sequence

from stayput.disclosure.opened import Matrix, OpenedCounts
from stayput.errors import VerificationError
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
    total = 0
    for row, having in zip(opened.counts, opened.holders, strict=True):
        total += row[0]
        rests = [row[whole] - row[part] for part, whole in plan.rests]
        if any(count > row[0] for count in row):
            raise _impossible()
        for rows, holders in zip([*row, *rests], having, strict=True):
            most = min(rows, participants)  # a holder that has some has at least one
            if rows < 0 or not (rows > 0) <= holders <= most:
                raise _impossible()
    if total > plan.max_rows * participants:
        raise _impossible()
    return opened


def verify_values(plan: Plan, counts: Matrix, values: Sequence[Sequence[int | None]]) -> None:
    """Opened sums are possible: each within its count times the declared bounds per row.

    ``values`` is cells × value measures, ``None`` where nothing was opened.

    Raises:
        VerificationError: they are not.
    """
    for row, sums in zip(counts, values, strict=True):
        for measure, total in zip(plan.values, sums, strict=True):
            if total is None:
                continue
            rows = row[measure.support]
            if not rows * measure.minimum <= total <= rows * measure.maximum:
                raise _impossible()


def _impossible() -> VerificationError:
    return VerificationError(
        "the opened sums are impossible for data within the declared bounds",
        hint="a part is missing, foreign or altered, or a holder's node is broken: order a new run",
    )
