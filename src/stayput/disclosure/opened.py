"""What round one opens: the pooled counts, and of how many holders each group of rows comes.

A *group* of a cell is one of the plan's counts (the rows counted), then one of its rests
(:attr:`stayput.sql.Plan.rests`): the rows that a narrowed count leaves out of a larger one.  Rests
need no count of their own, since it is a difference of two counts; that they come from enough
holders is no difference of anything, so each holder adds one bit per rest.

Everything is a matrix with a row per cell.  Nothing here says which holder gave what.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from stayput import documents

Matrix = Sequence[Sequence[int]]
"""Exact integers, a row per cell."""


@dataclasses.dataclass(frozen=True, repr=False)
class OpenedOverlap:
    """Beside one earlier answer, ``run``: joint cells × pairs, the rows that both are about; common
    cells × pairs, the number of holders that have rows in which they differ
    (:class:`stayput.differencing.overlap.Overlap`).  ``people``, common cells × pairs, where the
    table has a unit: how many there are behind these rows, of each holder at most as many as have
    to be."""

    run: bytes
    shared: Matrix
    holders: Matrix
    people: Matrix | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class OpenedCounts:
    """The opened sums of round one.

    ``counts`` is cells × counts; ``holders`` is cells × groups: how many holders have any row of
    the group.  The others are there if the plan's evidence says so:

    * ``units``, cells × groups: the sum over holders of distinct units where these are apart, else
      the number of holders that alone have enough;
    * ``small``, cells × groups: the number of holders that have some but too few;
    * ``dominated``, cells × contributions: the number of holders of whose part few contributors
      make up most;
    * ``overlaps``, with each earlier answer that this one is compared with;
    * ``close``, cells × counts: the number of holders at which this answer is too close to an
      answer of others.

    Where holders add noise there are noisy counts, and nothing else.
    """

    counts: Matrix
    holders: Matrix | None = None
    units: Matrix | None = None
    small: Matrix | None = None
    dominated: Matrix | None = None
    overlaps: Sequence[OpenedOverlap] = ()
    close: Matrix | None = None

    def __repr__(self) -> str:
        return f"OpenedCounts({len(self.counts)} cells)"


def overlaps_to_bytes(overlaps: Sequence[OpenedOverlap]) -> bytes:
    """For the checker's own store; not a signed document, and never sent."""

    def texts(matrix: Matrix) -> list[list[str]]:
        return [[str(number) for number in row] for row in matrix]

    return documents.canonical_json(
        [
            [o.run.hex(), *(texts(m) for m in (o.shared, o.holders, o.people) if m is not None)]
            for o in overlaps
        ]
    )


def parse_overlaps(data: bytes) -> list[OpenedOverlap]:
    """What :func:`overlaps_to_bytes` wrote."""

    def matrix(rows: list[list[str]]) -> list[list[int]]:
        return [[int(number) for number in row] for row in rows]

    return [
        OpenedOverlap(bytes.fromhex(run), *map(matrix, matrices))
        for run, *matrices in documents.parse_canonical_json(data)
    ]
