"""One holder's part in a join, from rows to shares: what the staging process does when asked.

:class:`JoinWork` keeps everything that must not leave: people, the order of the blinded set,
exponents, the run key, masks, sums with masks.  It hands out what may, in the order of the protocol
(``docs/protocol.md``, J-1 to J-10), and refuses anything else.  Pure but for the reader that it is
handed; it knows no pipe and no file, so it also runs inside a rehearsal or a test.

All moments of all cells are combined in one pass, before any is opened: the shares of a cell that
does not pass are never asked for, and rows and keys are gone by then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from stayput.crypto.cores import Progress
from stayput.crypto.paillier import PrivateKey, PublicKey
from stayput.errors import InvalidInput, PermissionDenied, RuleViolation, VerificationError
from stayput.staging.join_messages import SHARE_WIDTH, Method, Refusal, refusal
from stayput.vertical.blinding import BlindedSet, Blinding
from stayput.vertical.combining import (
    Combination,
    Combining,
    Place,
    Wanted,
    combinations,
    open_masked,
    share_of,
)
from stayput.vertical.people import People
from stayput.vertical.plan import JoinPlan, Pair
from stayput.vertical.rows import chunks, encrypt_rows, expect_rows, verify_run_key


@dataclasses.dataclass
class _Combined:
    """The combiner's side of a pair."""

    combining: Combining
    public: PublicKey
    chunks: int = 0
    masks: dict[Place, int] | None = dataclasses.field(default=None, repr=False)


class JoinWork:
    """One holder's part in one run. One use; shows nothing.

    Args:
        plan: what the run computes.
        run: the run id.
        scenario: the scenario's digest.
        me: this holder.
        read: gives the people in this holder's table; called once.
        workers: threads of this process, for long work.  Other processes would be sent rows.

    Raises:
        PermissionDenied: this holder is not in the join.
    """

    def __init__(
        self,
        plan: JoinPlan,
        run: bytes,
        scenario: bytes,
        me: str,
        read: Callable[[], People],
        workers: Executor | None = None,
    ) -> None:
        self._plan = plan
        self._me = me
        self._blinding = Blinding(run, scenario, me, plan.tables)
        self._position = plan.holders.index(me)
        self._read = read
        self._workers = workers
        self._people: People | None = None
        self._order: list[int] = []
        self._encrypted: dict[int, int] = {}
        self._combined: dict[int, _Combined] = {}
        self._returned: dict[int, bytes] = {}
        self._opened: dict[int, dict[Place, int]] = {}

    def first(self, progress: Progress | None = None) -> BlindedSet:
        """Read the rows and blind their identifiers (J-1, J-2). Once.

        Raises:
            RuleViolation: it was done before.
            Whatever the reader raises.
        """
        if self._people is not None:
            raise refusal(Method.FIRST, Refusal.NOT_NOW)
        people = self._read()
        blinded, self._order = self._blinding.first(
            people.identifiers, workers=self._workers, progress=progress
        )
        # From here on a row is its position.
        self._people = dataclasses.replace(people, identifiers=(b"",) * len(people))
        return blinded

    def further(
        self, received: BlindedSet, signed: bytes, progress: Progress | None = None
    ) -> BlindedSet:
        """Raise a set that came to this holder (J-3). Asked again it gives the same bytes.

        Raises:
            VerificationError, PermissionDenied, RuleViolation: see
                :meth:`stayput.vertical.blinding.Blinding.further`.
        """
        with _refusing(Method.FURTHER):
            return self._blinding.further(
                received, signed, workers=self._workers, progress=progress
            )

    def run_key(self) -> bytes:
        """The modulus of this holder's run key (J-6), big-endian; made when first asked for.

        Raises:
            PermissionDenied: this holder owns no pair.
        """
        if all(pair.owner != self._position for pair in self._plan.pairs):
            raise refusal(Method.RUN_KEY, Refusal.FOREIGN)
        return self._key.public.modulus.to_bytes(self._plan.key_bits // 8, "big")

    def encrypt(self, pair: int, chunk: int, progress: Progress | None = None) -> bytes:
        """The ciphertexts of a chunk of this holder's rows (J-6): chunk after chunk, once.

        Raises:
            PermissionDenied: this holder does not own the pair.
            RuleViolation: not the next chunk.
        """
        planned = self._pair(pair, Method.ENCRYPT)
        rows = self._rows(pair, chunk)
        if self._people is None or rows is None or chunk != self._encrypted.get(pair, 0):
            raise refusal(Method.ENCRYPT, Refusal.NOT_NOW)
        public = self._key.public
        if not self._encrypted:
            mine = [one for one in self._plan.pairs if one.owner == self._position]
            expect_rows(public, mine, len(self._order))
        self._encrypted[pair] = chunk + 1
        return encrypt_rows(
            self._people, rows, planned, public, workers=self._workers, progress=progress
        )

    def combine(self, pair: int, modulus: bytes, chunk: int, handed: bytes) -> None:
        """Combine what was handed over for a chunk of this holder's rows: chunk after chunk, once.

        Raises:
            PermissionDenied: this holder does not combine the pair.
            RuleViolation: not the next chunk.
            VerificationError: no ciphertexts of these rows; or another key than before, or one that
                is no run key.  Nothing was combined.
        """
        combined = self._combining(pair, modulus, Method.COMBINE)
        rows = self._rows(pair, chunk)
        if self._people is None or rows is None or chunk != combined.chunks:
            raise refusal(Method.COMBINE, Refusal.NOT_NOW)
        with _refusing(Method.COMBINE):
            combined.combining.add(self._people, rows, handed, self._workers)
        combined.chunks += 1
        self._combined[pair] = combined

    def finish(self, pair: int, modulus: bytes, progress: Progress | None = None) -> bytes:
        """Mask what was combined (J-9): what goes back to the owner. Once.

        Raises:
            PermissionDenied, VerificationError: as for :meth:`combine`.
            RuleViolation: a chunk is missing, or it was done before.
        """
        combined = self._combining(pair, modulus, Method.FINISH)
        if (
            self._people is None
            or self._rows(pair, combined.chunks) is not None
            or combined.masks is not None
        ):
            raise refusal(Method.FINISH, Refusal.NOT_NOW)
        returned, combined.masks = combined.combining.finish(self._workers, progress)
        self._combined[pair] = combined
        return returned

    def open(self, pair: int, returned: bytes, progress: Progress | None = None) -> None:
        """Open what came back for a pair of this holder's rows. Once; the same again is nothing.

        Raises:
            PermissionDenied: this holder does not own the pair.
            RuleViolation: rows are not yet encrypted, or something else was opened before.
            VerificationError: not the sums of this pair.
        """
        planned = self._pair(pair, Method.OPEN)
        before = self._returned.get(pair)
        if before == returned:
            return
        left = self._rows(pair, self._encrypted.get(pair, 0))
        if before is not None or self._people is None or left is not None:
            raise refusal(Method.OPEN, Refusal.NOT_NOW)
        with _refusing(Method.OPEN):
            self._opened[pair] = open_masked(
                self._key, returned, planned, self._combinations(pair), progress=progress
            )
        self._returned[pair] = returned

    def shares(self) -> list[list[int]]:
        """This holder's shares (J-10): cells × moments, residues modulo 2^160.

        Raises:
            RuleViolation: a pair of this holder is not yet finished or opened.
        """
        masks = {
            index: combined.masks
            for index, combined in self._combined.items()
            if combined.masks is not None
        }
        for index, pair in enumerate(self._plan.pairs):
            if (pair.combiner == self._position and index not in masks) or (
                pair.owner == self._position and index not in self._opened
            ):
                raise refusal(Method.SHARES, Refusal.NOT_NOW)
        width = len(self._plan.sources)
        flat = share_of(
            self._plan, self._me, self._wanted, SHARE_WIDTH, masks=masks, opened=self._opened
        )
        return [flat[start : start + width] for start in range(0, len(flat), width)]

    # --- parts ------------------------------------------------------------------------------------

    @functools.cached_property
    def _key(self) -> PrivateKey:
        return PrivateKey.generate(self._plan.key_bits)

    @functools.cached_property
    def _wanted(self) -> Wanted:
        moments = range(len(self._plan.sources))
        return [(cell, moment) for cell in range(len(self._plan.cells)) for moment in moments]

    def _rows(self, pair: int, chunk: int) -> list[int] | None:
        """The rows of a chunk; None if there are not so many chunks."""
        planned = list(chunks(len(self._order), self._plan.pairs[pair], self._plan.key_bits))
        return self._order[planned[chunk]] if 0 <= chunk < len(planned) else None

    def _combinations(self, pair: int) -> tuple[Combination, ...]:
        return combinations(self._plan, pair, self._wanted)

    def _pair(self, index: int, method: Method) -> Pair:
        """A pair in which this holder has the part that the method is about."""
        if not 0 <= index < len(self._plan.pairs):
            raise refusal(method, Refusal.FOREIGN)
        pair = self._plan.pairs[index]
        owns = method in (Method.ENCRYPT, Method.OPEN)
        if self._position != (pair.owner if owns else pair.combiner):
            raise refusal(method, Refusal.FOREIGN)
        return pair

    def _combining(self, index: int, modulus: bytes, method: Method) -> _Combined:
        pair = self._pair(index, method)
        known = self._combined.get(index)
        number = int.from_bytes(modulus, "big")
        if known is not None:
            if known.public.modulus != number:
                raise refusal(method, Refusal.NOT_VERIFIED)
            return known
        with _refusing(method):
            public = verify_run_key(PublicKey(number), self._plan.key_bits)
        return _Combined(Combining(pair, self._combinations(index), public), public)

    def __repr__(self) -> str:
        return f"JoinWork(me={self._me!r})"


@contextlib.contextmanager
def _refusing(method: Method) -> Iterator[None]:
    """Refusals of the protocol's functions in the constant words of :func:`refusal`."""
    try:
        yield
    except (VerificationError, InvalidInput):
        raise refusal(method, Refusal.NOT_VERIFIED) from None
    except PermissionDenied:
        raise refusal(method, Refusal.FOREIGN) from None
    except RuleViolation:
        raise refusal(method, Refusal.NOT_NOW) from None
