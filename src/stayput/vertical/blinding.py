"""Blinded identifiers: equal people get equal tokens, and nobody can tell whose a token is.

::

    people ──first──▶ BlindedSet ──further──▶ … ──further, by the owner──▶ tokens, for matching

Every holder has a run secret a.  The point P of an identifier becomes P^(a_1 · a_2 · … · a_n), the
same for everybody who has that identifier, by each holder raising every set once.  The *owner* of a
set begins with another secret b of its own, and comes back at the end with a / b: until then its
set is blinded by something that no other set is blinded by, so that other holders, even together,
cannot compare two sets that pass through their hands.

Clauses (``docs/protocol.md``):

* J-1  An identifier becomes a point by hashing it with the run id and the scenario's digest; the
  secrets are drawn for the run.  A set of another run matches nothing.
* J-2  The owner shuffles its rows, together with random points up to ``pad_to``, before the first
  raising.  Later ones keep the order and the number.
* J-3  A set goes from its owner to the other holders in the order of names after the owner, and
  back to it (of two holders, not back).  A holder raises a set only if the log has its digest,
  signed by the holder before, and no longer than the table's contract allows (exactly ``pad_to``
  points where it is given); of each owner one set, once; asked again it sends the same bytes.
* J-4  Points are canonical encodings of elements, not the identity, and distinct.

J-3 is what keeps a coordinator from having a dictionary blinded: without a holder on its side it
has nothing that a holder would raise.

Not here: sending, storing, signing.  What leaks: the number of rows (``pad_to`` hides it); to the
coordinator and a holder together, which of that holder's identifiers are in which other set.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Sequence
from concurrent.futures import Executor

from stayput import documents
from stayput.crypto.cores import Progress
from stayput.crypto.ristretto import (
    POINT_BYTES,
    Exponent,
    hash_to_points,
    parse_points,
    raise_points,
    random_order,
    random_points,
)
from stayput.errors import InvalidInput, PermissionDenied, RuleViolation, VerificationError
from stayput.vertical.plan import Joined
from stayput.vertical.way import way_of

_TAG = b"stayput/v1/join"

PADDING = -1
"""Stands in an order where no row is."""


@dataclasses.dataclass(frozen=True)
class BlindedSet:
    """The identifiers of one holder, raised by those in ``raised_by``, the owner first."""

    run: bytes
    owner: str
    raised_by: tuple[str, ...]
    points: bytes = dataclasses.field(repr=False)

    @property
    def count(self) -> int:
        """Number of points."""
        return len(self.points) // 32

    @property
    def digest(self) -> bytes:
        """What the raiser's log entry names: run, owner, way and points."""
        names = b"".join(
            len(name).to_bytes(2, "big") + name.encode("ascii")
            for name in (self.owner, *self.raised_by)
        )
        head = self.run + len(self.raised_by).to_bytes(4, "big") + names
        return documents.digest_bytes("stayput.v1.BlindedSet", head + self.points)


class Blinding:
    """One holder's secrets of a run. One use; shows nothing.

    Args:
        run: the run id, 16 bytes.
        scenario: the scenario's digest.
        me: this holder.
        tables: all of the join.
    """

    def __init__(self, run: bytes, scenario: bytes, me: str, tables: Sequence[Joined]) -> None:
        self._tables = {table.holder: table for table in tables}
        if me not in self._tables or len(self._tables) < 2:
            raise PermissionDenied("only a holder of the join blinds identifiers")
        self._run = run
        self._tag = _TAG + run + scenario
        self._me = me
        self._holders = tuple(sorted(self._tables))
        self._secret = Exponent.draw()
        self._first = self._secret if len(self._holders) == 2 else Exponent.draw()
        self._own: BlindedSet | None = None
        self._raised: dict[tuple[str, int], tuple[bytes, BlindedSet]] = {}

    def first(
        self,
        identifiers: Sequence[bytes],
        *,
        workers: Executor | None = None,
        progress: Progress | None = None,
    ) -> tuple[BlindedSet, list[int]]:
        """Blind and shuffle this holder's identifiers (J-1, J-2).

        Returns:
            The set, and for each of its points the row, or :data:`PADDING`.

        Raises:
            RuleViolation: it was done before: a second set would be a second chance.
            InvalidInput: more identifiers than the table's contract allows, or one twice.
        """
        if self._own is not None:
            raise RuleViolation("a holder blinds its identifiers once", clause="J-3")
        table = self._tables[self._me]
        if len(identifiers) > table.max_rows:
            raise InvalidInput(f"{table.table} has more than max_rows identifiers")
        if len(set(identifiers)) != len(identifiers):
            raise InvalidInput("an identifier is there twice")
        points = hash_to_points(identifiers, self._tag, self._first, workers, progress)
        rows = [*range(len(points)), *[PADDING] * max(0, table.pad_to - len(points))]
        points += random_points(len(rows) - len(points))
        order = random_order(len(rows))
        shuffled = b"".join(points[place] for place in order)
        self._own = BlindedSet(self._run, self._me, (self._me,), shuffled)
        return self._own, [rows[place] for place in order]

    def further(
        self,
        received: BlindedSet,
        signed: bytes,
        *,
        workers: Executor | None = None,
        progress: Progress | None = None,
    ) -> BlindedSet:
        """Raise a set that came to this holder (J-3).

        Args:
            signed: the digest of it that its last raiser has put into the log.

        Raises:
            VerificationError: not the set that was signed, not of a length that the table's
                contract allows, or no points (J-4).
            PermissionDenied: a set of another run, or one that is not with this holder now.
            RuleViolation: another set of this owner was raised before.
        """
        if received.run != self._run or received.owner not in self._holders:
            raise PermissionDenied("the blinded set belongs to another run")
        way = way_of(received.owner, self._holders)
        place = len(received.raised_by)
        if received.raised_by != way[:place] or way[place : place + 1] != (self._me,):
            raise PermissionDenied("the blinded set is not with this holder now")
        digest = received.digest
        if not hmac.compare_digest(digest, signed):
            raise VerificationError("the blinded set is not the one in the log")
        table = self._tables[received.owner]
        if received.count != table.pad_to if table.pad_to else received.count > table.max_rows:
            raise VerificationError(
                "the blinded set is longer than its table may be, or not padded"
            )
        known = self._raised.get((received.owner, place))
        if known is not None:
            if known[0] != digest:
                raise RuleViolation("of each owner one set is raised", clause="J-3")
            return known[1]
        exponent = self._secret
        if received.owner == self._me:
            if self._own is None or self._own.count != received.count:
                raise VerificationError("my set came back with another length")
            exponent = self._secret.divided_by(self._first)
        points = raise_points(
            parse_points(received.points, received.count), exponent, workers, progress
        )
        raised = dataclasses.replace(
            received, raised_by=(*received.raised_by, self._me), points=b"".join(points)
        )
        self._raised[received.owner, place] = (digest, raised)
        return raised

    def __repr__(self) -> str:
        return f"Blinding(me={self._me!r})"


def verify_raised(before: BlindedSet, after: BlindedSet, raiser: str) -> BlindedSet:
    """Check what anybody can check of one raising; the coordinator does.

    Whether every point was raised to the same number cannot be seen: a holder that raises some to
    another takes people out of the join, as it could by leaving out rows.

    Raises:
        VerificationError: another run, owner, way or number of points (J-2, J-3), or no points
            (J-4), or nothing was done.
    """
    expected = dataclasses.replace(
        before, raised_by=(*before.raised_by, raiser), points=after.points
    )
    if after != expected:
        raise VerificationError("the raised set is not of this run, owner and way")
    if after.count != before.count:
        raise VerificationError("the raised set has another number of points")
    points = set(parse_points(after.points, after.count))
    starts = range(0, len(before.points), POINT_BYTES)
    if any(before.points[start : start + POINT_BYTES] in points for start in starts):
        raise VerificationError("a point was not raised")
    return after
