"""Output checking: which cells may be opened and released.

Evaluated by the checker on the opened *counts* alone, before any value is sent (promise 3).  The
rules of this version, each per cell and per count of the plan:

* **frequency**: at least ``min_count`` rows (default 10: ABS DataLab "rule of 10", acro 1.0.2
  ``safe_threshold``);
* **contributing holders**: at least ``min_holders`` of them have such rows, else the sum would be
  one holder's partial (or one of two could subtract its own);
* **complement**: for a count that a FILTER or CASE narrows, the rest of the cell is empty or at
  least ``min_count`` as well, else total minus part gives a small group away.

Not here yet: dominance, linear combinations of several outputs, differencing over statements and
runs (see ``docs/caveats.md``).  A withheld cell is one bit; the checker publishes no reason.

:func:`verify_counts` and :func:`verify_values` are not disclosure rules but sanity: sums that no
honest data within the declared bounds can produce end the run (clause C-3).  Masks turn a missing,
foreign or altered part into uniform noise, which fails here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stayput.errors import VerificationError
from stayput.release import Passes
from stayput.scenario import OutputPolicy
from stayput.sql import Plan

Matrix = Sequence[Sequence[int]]
"""Cells × measures, exact integers."""


def verify_counts(plan: Plan, counts: Matrix, holders: Matrix, participants: int) -> None:
    """Opened counts are possible: numbers of rows, and of holders that have some.

    Args:
        counts: cells × counts, pooled numbers of rows.
        holders: cells × counts, number of holders with at least one such row.
        participants: number of holders in the run.

    Raises:
        VerificationError: they are not.
    """
    limit = plan.max_rows * participants
    total = 0
    for row, present in zip(counts, holders, strict=True):
        total += row[0]
        for count, having in zip(row, present, strict=True):
            possible = (
                0 <= count <= row[0] and 0 <= having <= participants and (count > 0) == (having > 0)
            )
            if not possible or having > count:
                raise _impossible()
    if total > limit:
        raise _impossible()


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


def check_counts(plan: Plan, counts: Matrix, holders: Matrix, policy: OutputPolicy) -> Passes:
    """The verdict: cells × counts, true where count and values over it may be released."""
    number = np.array(counts, dtype=object).reshape(plan.cells, len(plan.counts))
    having = np.array(holders, dtype=object).reshape(plan.cells, len(plan.counts))
    passes = (number >= policy.min_count) & (having >= policy.min_holders)
    for index, measure in enumerate(plan.counts):
        for whole in measure.complements:
            rest = number[:, whole] - number[:, index]
            passes[:, index] &= (rest == 0) | (rest >= policy.min_count)
    passes &= passes[:, :1]  # a cell that fails as a whole releases nothing
    result: Passes = passes.astype(np.bool_)
    return result


def _impossible() -> VerificationError:
    return VerificationError(
        "the opened sums are impossible for data within the declared bounds",
        hint="a part is missing, foreign or altered, or a holder's node is broken: order a new run",
    )
