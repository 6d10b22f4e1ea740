"""Joins at one node: what passes between their staging processes and the coordinator.

::

    coordinator ──pieces──▶ Join ──▶ staging process ──▶ Join ──pieces──▶ coordinator
                                                              ──then a signed step──▶ the log

The staging process (:class:`JoinStaging`) reads this holder's rows and keeps them, with the secrets
of the run, until every sum is masked; it trusts nobody.  A :class:`Join` carries bytes: it fetches
what the log says is there, compares it with the digest in the log before anything is done with it
that others will see, and puts what comes out where the next party fetches it.

Everything can be asked for twice: what was computed is kept until it is in the log, pieces that are
there are not sent again, and a step is signed once.  So a lost connection costs one piece.

:class:`Joins` are those that are under way.  What takes long goes on in the background, so that the
node keeps following and cosigning the log.  Whatever fails ends the staging process, and what is
raised then has the facts of that for the deletion receipt (:class:`JoinFailed`).

Not here: whose turn it is (:mod:`stayput.session`), whether the holder agrees
(:mod:`stayput.node`), cryptography (:mod:`stayput.vertical`).  What leaks: blinded sets, encrypted
rows and masked sums, as docs/protocol.md says; nothing of what is refused.
"""

from __future__ import annotations

import contextlib
import functools
import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future

from stayput.crypto.cores import Progress
from stayput.crypto.ristretto import POINT_BYTES
from stayput.errors import (
    NotYet,
    StagingError,
    StayputError,
    Unavailable,
    VerificationError,
)
from stayput.link import Item, ItemKind, JoinLink
from stayput.session import Blind, Combine, EncryptRows, RunState
from stayput.staging import DeletionFacts, JoinStaging, SourceRefused
from stayput.steps import (
    FailureReason,
    RowsEncrypted,
    RowsHandedOver,
    SetBlinded,
    Step,
    SumsReturned,
)
from stayput.vertical.blinding import BlindedSet
from stayput.vertical.pieces import SET_PIECE_BYTES, PiecesDigest, set_pieces
from stayput.vertical.plan import JoinPlan
from stayput.vertical.rows import chunks
from stayput.vertical.way import way_of

SHARE_BYTES = 20
"""A holder's share of a moment: a residue modulo 2^160."""

Task = Blind | EncryptRows | Combine

Report = Callable[[str, int, int], None]
"""Is told what was done, in words, how much of it, of how much."""


class Join:
    """One run's join at one holder; one task at a time.

    Args:
        me: the holder.
        run: the run id.
        plan: what is computed, derived from the sealed text.
        staging: its staging process; closed by :meth:`close`.
        link: the way to the coordinator.
        sign: makes the log entry of a step of this holder's.
        clock: Unix seconds.
        report: is told how far it has come.
    """

    def __init__(
        self,
        me: str,
        run: bytes,
        plan: JoinPlan,
        staging: JoinStaging,
        link: JoinLink,
        sign: Callable[[Step], bytes],
        clock: Callable[[], int],
        report: Report = lambda what, done, total: None,
    ) -> None:
        self._me, self._run, self._plan = me, run, plan
        self._staging, self._link = staging, link
        self._sign, self._clock, self._report = sign, clock, report
        self._sets: dict[tuple[str, int], BlindedSet] = {}  # to be sent again if need be
        self._points = 0  # of this holder's own set
        self._encrypted: dict[int, PiecesDigest] = {}
        self._unsent: dict[int, bytes] = {}  # of each pair the chunk that is under way
        self._combined: dict[int, PiecesDigest] = {}
        self._returned: dict[int, bytes] = {}
        self._opened: set[int] = set()
        self._signed: dict[object, bytes] = {}
        self._begun: set[Item] = set()  # of which a piece was put

    # --- tasks ------------------------------------------------------------------------------------

    def carry_out(self, task: Task, state: RunState) -> None:
        """Carry out what the log says is this holder's turn, from what the log says before it.

        Raises:
            VerificationError, StagingError, SourceRefused: as the tasks say.
            Unavailable, NotYet: the coordinator is away; carry it out again, from where it was.
        """
        match task:
            case Blind():
                self.blind(task.owner, tuple(state.blinded.get(task.owner, ())))
            case EncryptRows():
                self.encrypt_rows(task.pair)
            case Combine():
                assert state.handed is not None  # else nobody is asked to combine
                self.combine(task.pair, state.rows[task.pair], state.handed)

    def blind(self, owner: str, before: Sequence[SetBlinded]) -> None:
        """Blind this holder's own set, or raise the set of ``owner`` further.

        Args:
            before: the steps about this set so far, in order.

        Raises:
            VerificationError: what came is not what the log says, or no blinded set (J-3, J-4).
        """
        place = len(before)
        key = owner, place
        if key not in self._sets:
            if before:
                received = self._fetch_set(owner, place - 1)
                self._sets[key] = self._staging.further(
                    received, before[-1].set, self._progress(f"identifiers of {owner} blinded")
                )
            else:
                self._sets[key] = self._staging.first(self._progress("identifiers blinded"))
                self._points = self._sets[key].count
        found = self._sets[key]
        item = Item(ItemKind.SET, owner, place)
        self._put(item, set_pieces(found.points))
        self._submit(
            item,
            lambda now: SetBlinded(self._run, self._me, owner, place, found.digest, now),
        )

    def encrypt_rows(self, pair: int) -> None:
        """Encrypt this holder's rows as the owner of a pair, chunk by chunk."""
        self._sets.clear()  # all are in the log by now
        modulus = self._staging.run_key()
        item = Item(ItemKind.ROWS, number=pair)
        sent = self._encrypted.setdefault(pair, PiecesDigest())
        total = self._chunks(pair)
        while sent.count < total:
            chunk = sent.count
            if pair not in self._unsent:
                self._unsent[pair] = self._staging.encrypt(pair, chunk)
            self._link.put_piece(self._run, item, chunk, self._unsent[pair])
            sent.add(self._unsent.pop(pair))
            self._report("rows encrypted", chunk + 1, total)
        self._submit(
            item,
            lambda now: RowsEncrypted(self._run, self._me, pair, modulus, sent.digest, now),
        )

    def combine(self, pair: int, rows: RowsEncrypted, handed: RowsHandedOver) -> None:
        """Combine the other holder's encrypted rows with this one's, and return masked sums.

        Raises:
            VerificationError: the coordinator handed over something else than it has logged, or no
                ciphertexts.
        """
        item = Item(ItemKind.HANDED, number=pair)
        taken = self._combined.setdefault(pair, PiecesDigest())
        total = self._chunks(pair)
        while taken.count < total:
            chunk = taken.count
            piece = self._link.get_piece(self._run, item, chunk)
            self._staging.combine(pair, rows.modulus, chunk, piece)
            taken.add(piece)
            self._report("rows combined", chunk + 1, total)
        # Before anything of it leaves: the owner must not open sums over other rows.
        if not hmac.compare_digest(taken.digest, handed.handed[pair]):
            raise VerificationError("the encrypted rows are not those that the log names")
        if pair not in self._returned:
            self._returned[pair] = self._staging.finish(
                pair, rows.modulus, self._progress("sums masked")
            )
        back = Item(ItemKind.SUMS, number=pair)
        self._put(back, [self._returned[pair]])
        digest = _digest(self._returned[pair])
        self._submit(back, lambda now: SumsReturned(self._run, self._me, pair, digest, now))

    def shares(self, returned: Mapping[int, SumsReturned]) -> list[list[int]]:
        """Open what came back to this holder as an owner; its shares of every moment.

        Returns:
            Cells × moments, residues modulo 2^160 (J-10).

        Raises:
            VerificationError: what came back is not what the log says, or not masked sums.
        """
        for index, pair in enumerate(self._plan.pairs):
            if self._plan.holders[pair.owner] != self._me or index in self._opened:
                continue
            piece = self._link.get_piece(self._run, Item(ItemKind.SUMS, number=index), 0)
            if not hmac.compare_digest(_digest(piece), returned[index].sums):
                raise VerificationError("the returned sums are not those that the log names")
            self._staging.open(index, piece, self._progress("masked sums opened"))
            self._opened.add(index)
        return self._staging.shares()

    def close(self) -> DeletionFacts:
        """End the staging process: rows, secrets and masks are gone as the facts say."""
        return self._staging.close()

    def _progress(self, what: str) -> Progress:
        return functools.partial(self._report, what)

    # --- carrying ---------------------------------------------------------------------------------

    def _chunks(self, pair: int) -> int:
        """How many, of this holder's rows in a pair."""
        found = chunks(self._points, self._plan.pairs[pair], self._plan.key_bits)
        return sum(1 for _ in found)

    def _fetch_set(self, owner: str, place: int) -> BlindedSet:
        """What the raiser before this holder has put there; whether it did is compared by the
        staging process."""
        table = next(table for table in self._plan.tables if table.holder == owner)
        longest = max(table.max_rows, table.pad_to) * POINT_BYTES
        item = Item(ItemKind.SET, owner, place)
        count = self._link.count_pieces(self._run, item)
        if not 1 <= count <= -(-longest // SET_PIECE_BYTES) + 1:
            raise VerificationError("the blinded set is longer than its table may be")
        points = b"".join(self._link.get_piece(self._run, item, index) for index in range(count))
        way = way_of(owner, self._plan.holders)
        return BlindedSet(self._run, owner, way[: place + 1], points)

    def _put(self, item: Item, pieces: Iterable[bytes]) -> None:
        # What is there before the first piece of this life, another life has put there.
        there = self._link.count_pieces(self._run, item) if item in self._begun else 0
        self._begun.add(item)
        for index, piece in enumerate(pieces):
            if index >= there:
                self._link.put_piece(self._run, item, index, piece)

    def _submit(self, key: object, step: Callable[[int], Step]) -> None:
        """Sign once: asked for again, the log has the same entry already."""
        if key not in self._signed:
            self._signed[key] = self._sign(step(self._clock()))
        self._link.submit_join_step(self._signed[key])


class JoinFailed(StayputError):
    """A join cannot go on at this holder; its staging process is gone as ``receipt`` says."""

    def __init__(
        self, reason: FailureReason, message: str, hint: str, receipt: DeletionFacts
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.receipt = receipt


class Joins:
    """The joins of a node that are under way.

    Args:
        background: where tasks are carried out; None: at once, by whoever asks.
    """

    def __init__(self, background: Executor | None = None) -> None:
        self._background = background
        self._joins: dict[bytes, Join] = {}
        self._working: dict[bytes, Future[None]] = {}

    def __contains__(self, run: bytes) -> bool:
        return run in self._joins

    def __iter__(self) -> Iterator[bytes]:
        return iter(tuple(self._joins))

    def begin(self, run: bytes, join: Join) -> None:
        """Take over a join whose staging process waits."""
        self._joins[run] = join

    def advance(self, task: Task, state: RunState) -> bool:
        """Go on with a task, or begin it.

        Returns:
            Whether anything was begun or done.

        Raises:
            JoinFailed: it ended; so has its staging process.
            Unavailable, NotYet: the coordinator is away; advance it again.
        """
        run = task.run
        with self._ending(run):
            if self._busy(run):
                return False
            work = functools.partial(self._joins[run].carry_out, task, state)
            if self._background is None:
                work()
            else:
                self._working[run] = self._background.submit(work)
        return True

    def shares(
        self, run: bytes, returned: Mapping[int, SumsReturned]
    ) -> tuple[list[list[int]], DeletionFacts]:
        """This holder's shares of every moment, and how its rows were destroyed after that.

        Raises:
            As :meth:`advance`.
        """
        with self._ending(run):
            if self._busy(run):
                raise NotYet("a task of the join is not at its end")
            found = self._joins[run].shares(returned)
        return found, self.end(run)

    def end(self, run: bytes) -> DeletionFacts:
        """End a join, whatever it is at."""
        self._working.pop(run, None)
        return self._joins.pop(run).close()

    def _busy(self, run: bytes) -> bool:
        """Whether a task is being carried out; raises what the last one raised."""
        working = self._working.get(run)
        if working is None:
            return False
        if not working.done():
            return True
        del self._working[run]
        working.result()
        return False

    @contextlib.contextmanager
    def _ending(self, run: bytes) -> Iterator[None]:
        """An error that trying again does not mend ends the join."""
        try:
            yield
        except (Unavailable, NotYet):
            raise
        except StayputError as error:
            if isinstance(error, SourceRefused):
                reason = FailureReason.DATA_DO_NOT_FIT
            elif isinstance(error, StagingError):
                reason = FailureReason.STAGING_FAILED
            else:
                reason = FailureReason.HOLDER_REFUSED
            raise JoinFailed(reason, error.message, error.hint, self.end(run)) from None


def shares_to_bytes(shares: Sequence[Sequence[int]]) -> bytes:
    """Shares for the ledger, which seals them: cell by cell, 20 bytes each, big-endian."""
    return b"".join(share.to_bytes(SHARE_BYTES, "big") for row in shares for share in row)


def parse_shares(data: bytes, cells: int, moments: int) -> list[list[int]]:
    """Inverse of :func:`shares_to_bytes`.

    Raises:
        VerificationError: not that many shares.
    """
    if len(data) != cells * moments * SHARE_BYTES:
        raise VerificationError("the kept shares are of another shape")
    numbers = [
        int.from_bytes(data[start : start + SHARE_BYTES], "big")
        for start in range(0, len(data), SHARE_BYTES)
    ]
    return [numbers[start : start + moments] for start in range(0, len(numbers), moments)]


def _digest(piece: bytes) -> bytes:
    """Of what travels in one piece."""
    found = PiecesDigest()
    found.add(piece)
    return found.digest
