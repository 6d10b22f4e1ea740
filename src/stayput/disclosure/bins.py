"""Bins of a number: none that is withheld may follow from the others and their total.

The bins of a percentile are ordinary counts, each judged by itself; but together they are all rows
of their total, so what is withheld of them is the total less the rest.  If any with rows is
withheld, so is another one, the smallest that passes: then those withheld are together at least as
many rows, of as many holders and people, as that one alone, and each of them can have none or all
that they have together.  Of several that are equally small all are: so whoever knows this rule, and
what is withheld, does not know which was why (numbers put to other places give the same).

Where some holder has too few in a bin that is withheld (a rule about each holder, which a union of
bins need not keep), all bins are.

What leaks: that a bin is withheld, in the width of an interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stayput.disclosure.opened import OpenedCounts
from stayput.disclosure.rules import Flags
from stayput.sql import Plan
from stayput.sql.formulas import Bins


def following(plan: Plan, opened: OpenedCounts, passes: Flags, chosen: Flags) -> Flags:
    """Cells × counts: bins that pass, and with which a withheld one would follow.

    Args:
        passes: cells × counts, what may be released so far.
        chosen: of the same shape, what was withheld for this reason before.
    """
    found: Flags = np.zeros_like(passes)
    for bins in plan.bins:
        for cell, counts in enumerate(opened.counts):
            small = () if opened.small is None else opened.small[cell]
            for index in _with(bins, counts, small, passes[cell], chosen[cell]):
                found[cell, index] = True
    return found


def _with(
    bins: Bins, counts: Sequence[int], small: Sequence[int], passes: Flags, chosen: Flags
) -> list[int]:
    """Bins of one cell that go with those that are withheld."""
    withheld = [i for i in bins.counts if not passes[i] and counts[i]]
    passing = [i for i in bins.counts if passes[i] and counts[i]]
    if any(small[i] for i in withheld if small):
        return passing
    if not withheld or not passing or any(chosen[i] for i in withheld):
        return []
    least = min(counts[i] for i in passing)
    return [i for i in passing if counts[i] == least]
