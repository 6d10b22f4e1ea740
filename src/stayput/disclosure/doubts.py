"""Doubts: what the rules let pass, and a person should see before it is released.

The rules say pass or fail of each cell.  Where a scenario's results are reviewed when doubtful, a
result with any of these is held (clause R-8).  For the checker's own people; nobody else is told
which it was.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from stayput.disclosure.verdict import Reason
from stayput.release import Passes
from stayput.scenario import OutputPolicy
from stayput.sql import Plan


class Doubt(enum.Enum):
    """Why a person looks."""

    NARROW = 1  # a released count is above the minimum, but below ``review_below``
    FOLLOWS = 2  # a cell was withheld only because another would follow from it
    CONSTANT = 3  # opened values showed that all rows of a group have the same


_BEHIND = {
    Reason.DERIVABLE: Doubt.FOLLOWS,
    Reason.ISOLATING: Doubt.FOLLOWS,
    Reason.ALL_EQUAL: Doubt.CONSTANT,
}


def doubts(
    plan: Plan,
    counts: Sequence[Sequence[int]],
    kept: Passes,
    reasons: Sequence[Sequence[Reason]],
    policy: OutputPolicy,
) -> tuple[Doubt, ...]:
    """The doubts about a result, each once, in order.

    Args:
        counts: opened, cells × counts.
        kept: what is released, cells × measures.
        reasons: why the rest is not, cells × measures.
    """
    found = {_BEHIND[reason] for row in reasons for reason in row if reason in _BEHIND}
    narrow = (
        0 < counts[cell][index] < policy.review_below
        for cell in range(plan.cells)
        for index in range(len(plan.counts))
        if kept[cell, index]
    )
    if any(narrow):
        found.add(Doubt.NARROW)
    return tuple(sorted(found, key=lambda doubt: doubt.value))
