"""Matching: which rows belong to one person, found by tokens that say nothing else.

The coordinator compares the sets after their whole way (:mod:`stayput.vertical.blinding`).  It
learns, for each row of each holder, in which other sets its person is; not who that is.  A row is
*joined* if its person is in all sets.

* J-5  A set is matched when it has gone its whole way; a token is in a set once.

Not here: what is done with the rows (:mod:`stayput.vertical.rows`).  What leaks: sizes of all sets
and of all their intersections, to the coordinator alone.  They are in no log entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stayput.crypto.ristretto import parse_points
from stayput.errors import RuleViolation, VerificationError
from stayput.vertical.blinding import BlindedSet
from stayput.vertical.way import way_of

UNMATCHED = -1

Rows = npt.NDArray[np.int64]


class Matching:
    """Rows by person. Shows nothing.

    Args:
        sets: of all holders, after their whole way.

    Raises:
        RuleViolation: a set is missing or has not gone its whole way (J-5).
        VerificationError: sets of several runs, no points, or a token twice.
    """

    def __init__(self, sets: Mapping[str, BlindedSet], holders: Sequence[str]) -> None:
        if set(sets) != set(holders):
            raise RuleViolation("all sets are matched, and no others", clause="J-5")
        if len({one.run for one in sets.values()}) != 1:
            raise VerificationError("the blinded sets are of several runs")
        self._rows: dict[str, dict[bytes, int]] = {}
        for name in holders:
            found = sets[name]
            if found.owner != name or found.raised_by != way_of(name, holders):
                raise RuleViolation("a set is matched after its whole way", clause="J-5")
            tokens = parse_points(found.points, found.count)
            self._rows[name] = {token: row for row, token in enumerate(tokens)}
        smallest = min(self._rows.values(), key=len)
        self._joined = [
            token for token in smallest if all(token in rows for rows in self._rows.values())
        ]

    @property
    def joined(self) -> int:
        """How many people are in all sets."""
        return len(self._joined)

    def size(self, holder: str) -> int:
        """Rows of a holder, with padding."""
        return len(self._rows[holder])

    def partners(self, combiner: str, owner: str) -> Rows:
        """Of each row of the combiner the joined row of the owner, or :data:`UNMATCHED`."""
        mine, theirs = self._rows[combiner], self._rows[owner]
        found = np.full(len(mine), UNMATCHED, dtype=np.int64)
        for token in self._joined:
            found[mine[token]] = theirs[token]
        return found

    def __repr__(self) -> str:
        return "Matching()"
