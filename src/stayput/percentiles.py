"""Where a percentile lies, as far as counts per bin tell.

Nobody opens a row's value, so a percentile is not found but enclosed: of each bin that passed, the
checker knows the number of rows; of all bins together, their total.  How many rows are up to the
end of a bin is then known within two bounds, and so is the bin in which a rank lies:

* at least the rows of the bins up to there that passed, and the total less the most that can be in
  all bins above;
* at most the rows of the bins up to there, with everything that bins that did not pass can hold,
  and the total less what is surely above.

With r the rank of the percentile, the low end is the least value of the first bin up to which at
most r rows or more can be, the high end the greatest value of the first one up to which r surely
are.  Withheld bins thus widen the interval; they never move it off the truth.

Both percentiles of SQL are enclosed: PERCENTILE_DISC(q), the value of rank ⌈q·n⌉, and
PERCENTILE_CONT(q), which interpolates between ranks 1 + ⌊q·(n - 1)⌋ and 1 + ⌈q·(n - 1)⌉; the first
is never outside the second two, since q·n - q ≤ q·n and q ≤ 1.

What leaks: nothing that the counts that passed do not say.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

from stayput.sql.formulas import Bins

Range = tuple[int, int]
"""The least and the greatest number that something can be."""


def enclose(
    bins: Bins, share: Fraction, counts: Sequence[int], passes: Sequence[bool], rounding: int = 0
) -> Range | None:
    """The least and the greatest value that the percentile of a cell can have; None of no row.

    Args:
        bins: their positions among the counts, and their values.
        share: which percentile, between 0 and 1.
        counts: of the cell; what did not pass is not looked at, and the total has passed.
        passes: which of them did.
        rounding: the counts are rounded to multiples of this; 0 if they are exact.
    """
    rows = _before_rounding(counts[bins.rows], rounding)
    if rows[1] < 1:
        return None
    passed = [bool(passes[index]) for index in bins.counts]
    known = [
        _before_rounding(counts[index], rounding) if one else (0, 0)
        for index, one in zip(bins.counts, passed, strict=True)
    ]
    hidden = max(0, rows[1] - sum(least for least, _ in known))
    up_to = _running(known, passed, hidden)
    beyond = [*_running(known[::-1], passed[::-1], hidden)[-2::-1], (0, 0)]
    first = 1 + math.floor(share * (max(rows[0], 1) - 1))
    last = 1 + math.ceil(share * (rows[1] - 1))
    low, high = bins.ranges[-1][0], bins.ranges[-1][1]
    for below, above, (least, _) in zip(up_to, beyond, bins.ranges, strict=True):
        if min(below[1], rows[1] - above[0]) >= first:
            low = least
            break
    for below, above, (_, greatest) in zip(up_to, beyond, bins.ranges, strict=True):
        if max(below[0], rows[0] - above[1]) >= last:
            high = greatest
            break
    return low, high


def _running(known: Sequence[Range], passed: Sequence[bool], hidden: int) -> list[Range]:
    """Rows of the bins up to each one, if those that did not pass have ``hidden`` in all."""
    least = itertools.accumulate(least for least, _ in known)
    most = itertools.accumulate(most for _, most in known)
    some = itertools.accumulate((not one for one in passed), max)
    return [
        (low, high + (hidden if unknown else 0))
        for low, high, unknown in zip(least, most, some, strict=True)
    ]


def _before_rounding(count: int, base: int) -> Range:
    """What was rounded to a multiple of the base, halves up, before it was."""
    if base < 2:
        return count, count
    return max(0, count - base // 2), count + (base + 1) // 2 - 1
