"""The coordinator's part of a join: it carries pieces, matches sets, hands rows over, erases them.

::

    put ──pieces──▶ files ──verify──▶ (the step is logged) ──get──▶ the next holder
                      └──hand_over: match, re-randomise──▶ files ──get──▶ the combiner

Every item has one sender and one receiver, named by the log: a blinded set goes to the next holder
of its way, rows that are handed over to the pair's combiner, sums to the pair's owner; encrypted
rows to nobody.  How long each item is follows from the sealed text, so nobody can send more.

A step is logged only when what it names is here, whole, with its digest; of a set, when it is the
set before raised point by point, as far as anybody can see (J-4).  Encrypted rows are looked at
before they are handed over (J-7), since that takes as long as there are rows.

Not here: the log and its lock (:mod:`stayput.coordinator`), files (:mod:`stayput.store.pieces`).
What leaks: to the coordinator what docs/protocol.md says, sizes and who is in which set of numbers
without names; it is in memory while rows are handed over, and in no file.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from concurrent.futures import Executor

from stayput.crypto.paillier import parse_ciphertexts, parse_public_key
from stayput.crypto.ristretto import POINT_BYTES, parse_points
from stayput.errors import NotFound, NotYet, RuleViolation, VerificationError
from stayput.link import Item, ItemKind
from stayput.session import RunPhase, RunState
from stayput.steps import (
    DeletionCheck,
    RowsEncrypted,
    SetBlinded,
    SumsReturned,
)
from stayput.store.pieces import PieceFiles
from stayput.vertical.blinding import BlindedSet, verify_raised
from stayput.vertical.combining import Combination, combinations
from stayput.vertical.matching import Matching
from stayput.vertical.pieces import SET_PIECE_BYTES, digest_of_hashes
from stayput.vertical.plan import Joined, JoinPlan
from stayput.vertical.rows import chunks, hand_over, parse_rows, row_bytes, verify_run_key

JoinStep = SetBlinded | RowsEncrypted | SumsReturned
"""Steps of holders that name pieces."""

JOIN_STEPS: tuple[type, ...] = JoinStep.__args__

_SUMS = "sums"

_CLAUSES = {
    ItemKind.SET: "R-11",
    ItemKind.ROWS: "R-12",
    ItemKind.SUMS: "R-13",
}


# --- who may do what; the log's lock is held ------------------------------------------------------


def require_sender(state: RunState, caller: str, item: Item) -> bool:
    """The caller is who sends this item.

    Returns:
        Whether it is sent now; false if it was sent before.

    Raises:
        NotFound: nobody sends such a thing, or somebody else does.
        NotYet: it is not its turn yet.
    """
    if item.kind is ItemKind.SET:
        way = state.way(item.owner) if item.owner in state.ordered.participants else ()
        sender = way[item.number] if 0 <= item.number < len(way) else None
    else:
        sender = _pair_member(state, item, {ItemKind.ROWS: "owner", ItemKind.SUMS: "combiner"})
    if sender is None or sender != caller:
        raise NotFound("nothing of this kind is sent by this party")
    logged = {
        ItemKind.SET: item.number < len(state.blinded.get(item.owner, ())),
        ItemKind.ROWS: item.number in state.rows,
        ItemKind.SUMS: item.number in state.returned,
    }[item.kind]
    if logged or state.over:
        return False
    if item.kind is ItemKind.SET and item.number > len(state.blinded.get(item.owner, ())):
        raise NotYet("the set is not with this holder yet")
    if state.phase is not _SENT_IN[item.kind]:
        raise NotYet("the run has not come so far")
    return True


def require_receiver(state: RunState, caller: str, item: Item) -> None:
    """The caller is who receives this item, and the log says that it is there.

    Raises:
        NotFound: nobody receives such a thing, or somebody else does.
        NotYet: the log does not say so yet, or the run is over.
    """
    if item.kind is ItemKind.SET:
        way = state.way(item.owner) if item.owner in state.ordered.participants else ()
        receiver = way[item.number + 1] if 0 <= item.number < len(way) - 1 else None
        logged = item.number < len(state.blinded.get(item.owner, ()))
    else:
        receiver = _pair_member(state, item, {ItemKind.HANDED: "combiner", ItemKind.SUMS: "owner"})
        logged = state.handed is not None
        if item.kind is ItemKind.SUMS:
            logged = item.number in state.returned
    if receiver is None or receiver != caller:
        raise NotFound("nothing of this kind is for this party")
    if not logged or state.over:
        raise NotYet("it is not in the log yet, or the run is over")


def require_counting(state: RunState, caller: str, item: Item) -> None:
    """The caller sends or receives this item. Raises as the two functions above."""
    try:
        require_sender(state, caller, item)
    except NotFound:
        require_receiver(state, caller, item)


_SENT_IN = {
    ItemKind.SET: RunPhase.BLINDING,
    ItemKind.ROWS: RunPhase.ENCRYPTING,
    ItemKind.SUMS: RunPhase.COMBINING,
}


def _pair_member(state: RunState, item: Item, roles: dict[ItemKind, str]) -> str | None:
    """Who of the item's pair has the role that this kind of item is about, if there is one."""
    role = roles.get(item.kind)
    if role is None or not 0 <= item.number < len(state.ordered.pairs):
        return None
    name: str = getattr(state.ordered.pairs[item.number], role)
    return name


# --- what is done ---------------------------------------------------------------------------------


class Exchange:
    """The pieces of all runs over joins, and what the coordinator makes of them.

    Args:
        files: where pieces lie.
        workers: processes that share long computations; none computes here.
    """

    def __init__(self, files: PieceFiles, workers: Executor | None = None) -> None:
        self._files = files
        self._workers = workers
        self._looking = threading.Lock()  # two sets at a time would take their memory twice

    # --- pieces -----------------------------------------------------------------------------------

    def put(self, run: bytes, plan: JoinPlan | None, item: Item, index: int, data: bytes) -> None:
        """Take a piece of the caller's.

        As long as no step names the item, another first piece begins it anew: a holder whose
        process was killed meanwhile blinds with other secrets.

        Args:
            plan: of the run, if the item is sent now (:func:`require_sender`); None: what is there
                may be sent again.

        Raises:
            VerificationError: a piece of another length than it has to have.
            RuleViolation: another piece is there under this index.
            NotYet: pieces before it are missing, or it is not sent any more.
        """
        name = name_of(item)
        there = self._files.count(run, name)
        if plan is None and index >= there:
            raise NotYet("this is not sent any more")
        if plan is not None and (index >= there or index == 0):
            self._require_length(run, plan, item, index, len(data))
        if not self._files.put(run, name, index, data, afresh=plan is not None):
            raise RuleViolation("another piece was sent before", clause=_CLAUSES[item.kind])

    def count(self, run: bytes, item: Item) -> int:
        """How many pieces of an item are there."""
        return self._files.count(run, name_of(item))

    def get(self, run: bytes, item: Item, index: int) -> bytes:
        """One piece. Raises NotYet: it is not there."""
        return self._files.get(run, name_of(item), index)

    def _require_length(
        self, run: bytes, plan: JoinPlan, item: Item, index: int, length: int
    ) -> None:
        if item.kind is ItemKind.SET:
            fits = self._fits_set(run, plan, item, index, length)
        elif item.kind is ItemKind.ROWS:
            lengths = self._rows_lengths(run, plan, item.number)
            fits = index < len(lengths) and length == lengths[index]
        else:
            fits = index == 0 and length == _sums_length(plan, item.number)
        if not fits:
            raise VerificationError("the piece does not have the length that it has to have")

    def _fits_set(self, run: bytes, plan: JoinPlan, item: Item, index: int, length: int) -> bool:
        before = index * SET_PIECE_BYTES
        if (index and self._files.size(run, name_of(item)) != before) or length % POINT_BYTES:
            return False  # the piece before it was the last one
        if item.number:
            total = self._files.size(run, name_of(Item(item.kind, item.owner, item.number - 1)))
            return length == min(SET_PIECE_BYTES, total - before) and (length > 0 or not index)
        table = _table(plan, item.owner)
        longest = (table.pad_to or table.max_rows) * POINT_BYTES
        return length <= min(SET_PIECE_BYTES, longest - before) and (length > 0 or not index)

    def _rows_lengths(self, run: bytes, plan: JoinPlan, pair: int) -> list[int]:
        of = plan.pairs[pair]
        rows = self._points(run, plan.holders[of.owner])
        width = row_bytes(of, plan.key_bits)
        return [(part.stop - part.start) * width for part in chunks(rows, of, plan.key_bits)]

    def _points(self, run: bytes, owner: str) -> int:
        """How many rows a holder has, with padding: the length of its set."""
        return self._files.size(run, name_of(Item(ItemKind.SET, owner, 0))) // POINT_BYTES

    # --- steps ------------------------------------------------------------------------------------

    def verify(self, state: RunState, plan: JoinPlan, step: JoinStep) -> None:
        """What a holder's step names is here, and is what it says; it is durable then.

        Raises:
            VerificationError: it is not: another digest, too short, no raised points, another key.
        """
        run = step.run
        match step:
            case SetBlinded():
                item = Item(ItemKind.SET, step.owner, step.place)
                with self._looking:
                    self._verify_set(state, plan, step)
            case RowsEncrypted():
                item = Item(ItemKind.ROWS, number=step.pair)
                verify_run_key(parse_public_key(step.modulus), plan.key_bits)
                whole = len(self._rows_lengths(run, plan, step.pair))
                self._require_digest(run, item, whole, step.rows)
            case SumsReturned():
                item = Item(ItemKind.SUMS, number=step.pair)
                self._require_digest(run, item, 1, step.sums)
                count = len(_products(plan, step.pair))
                public = parse_public_key(state.rows[step.pair].modulus)
                parse_ciphertexts(self._files.read(run, name_of(item)), public, count)
        self._files.keep(run, name_of(item))

    def _require_digest(self, run: bytes, item: Item, count: int, digest: bytes) -> None:
        hashes = self._files.hashes(run, name_of(item))
        if len(hashes) != count:
            raise VerificationError("not all pieces are here")
        if not hmac.compare_digest(digest_of_hashes(hashes), digest):
            raise VerificationError("the pieces are not those that were signed")

    def _verify_set(self, state: RunState, plan: JoinPlan, step: SetBlinded) -> None:
        found = self._set(state, step.owner, step.place, step.set)
        if step.place:
            logged = state.blinded[step.owner][-1]
            before = self._set(state, step.owner, logged.place, logged.set)
            verify_raised(before, found, step.holder)
            return
        table = _table(plan, step.owner)
        if found.count != table.pad_to if table.pad_to else found.count > table.max_rows:
            raise VerificationError("the set is longer than its table may be, or not padded")
        parse_points(found.points, found.count)

    def _set(self, state: RunState, owner: str, place: int, digest: bytes) -> BlindedSet:
        """The set after a place of its way, with the digest that the log has of it.

        A holder could put further pieces while its step was verified: so the digest is looked at
        whenever the set is.
        """
        run = state.ordered.run
        item = Item(ItemKind.SET, owner, place)
        if not self._files.count(run, name_of(item)):
            raise VerificationError("not all pieces are here")
        points = self._files.read(run, name_of(item))
        found = BlindedSet(run, owner, state.way(owner)[: place + 1], points)
        if not hmac.compare_digest(found.digest, digest):
            raise VerificationError("the blinded set is not the one that was signed")
        return found

    # --- handing over -----------------------------------------------------------------------------

    def hand_over(
        self, state: RunState, plan: JoinPlan, going_on: Callable[[str, int, int], None]
    ) -> tuple[bytes, ...]:
        """Match the sets and re-randomise rows for every combiner (J-5, J-7, J-8), piece by piece.

        What was handed over before the process ended is not done again: fresh encryptions of zero
        are secret from everybody, so it does not matter which.

        Args:
            going_on: is told what is done with how many rows of how many; what it raises ends the
                work.

        Returns:
            The digest of the pieces of each pair.

        Raises:
            VerificationError: a set or row is not what it has to be.
        """
        matching = Matching(
            {
                owner: self._set(state, owner, steps[-1].place, steps[-1].set)
                for owner, steps in state.blinded.items()
            },
            plan.holders,
        )
        for pair in range(len(plan.pairs)):
            self._verify_rows(state, plan, pair, going_on)
        return tuple(
            self._hand_over_pair(state, plan, pair, matching, going_on)
            for pair in range(len(plan.pairs))
        )

    def _verify_rows(
        self, state: RunState, plan: JoinPlan, index: int, going_on: Callable[[str, int, int], None]
    ) -> None:
        """Every ciphertext of an owner's rows is one, of the kind of an encrypted zero (J-7)."""
        item, pair, step = Item(ItemKind.ROWS, number=index), plan.pairs[index], state.rows[index]
        rows = self._points(step.run, step.holder)
        parts = list(chunks(rows, pair, plan.key_bits))
        self._require_digest(step.run, item, len(parts), step.rows)
        public = parse_public_key(step.modulus)
        for piece, part in enumerate(parts):
            data = self._files.get(step.run, name_of(item), piece)
            parse_rows(data, public, pair, part.stop - part.start)
            going_on("encrypted rows looked at", part.stop, rows)

    def _hand_over_pair(
        self,
        state: RunState,
        plan: JoinPlan,
        index: int,
        matching: Matching,
        going_on: Callable[[str, int, int], None],
    ) -> bytes:
        run, pair = state.ordered.run, plan.pairs[index]
        name = name_of(Item(ItemKind.HANDED, number=index))
        public = parse_public_key(state.rows[index].modulus)
        partners = matching.partners(plan.holders[pair.combiner], plan.holders[pair.owner])
        there = self._files.count(run, name)
        with self._files.mapped(run, name_of(Item(ItemKind.ROWS, number=index))) as owned:
            for piece, part in enumerate(chunks(len(partners), pair, plan.key_bits)):
                if piece >= there:
                    made = hand_over(partners[part], owned, public, pair, workers=self._workers)
                    self._files.put(run, name, piece, made)
                going_on("rows handed over", part.stop, len(partners))
        self._files.keep(run, name)
        return digest_of_hashes(self._files.hashes(run, name))

    # --- erasing ----------------------------------------------------------------------------------

    def erase(self, run: bytes) -> dict[DeletionCheck, bool]:
        """Take away all that is about single rows; sums stay until :meth:`forget` (R-14).

        Returns:
            What was checked afterwards, and whether it is so.
        """
        self._files.erase(run, keep=_SUMS)
        left = [name for name in self._files.names(run) if not name.startswith(_SUMS)]
        opened = [name for name in self._files.opened(run) if not name.startswith(_SUMS)]
        return {
            DeletionCheck.NO_FILES_LEFT: not left,
            DeletionCheck.NO_OPEN_DESCRIPTORS: not opened,
        }

    def forget(self, run: bytes) -> None:
        """Take away all that is left of a run."""
        self._files.forget(run)

    def runs(self) -> list[bytes]:
        """Runs of which anything is on the disk."""
        return self._files.runs()


def name_of(item: Item) -> str:
    """The name of an item's file; ``owner`` is the name of a participant."""
    if item.kind is ItemKind.SET:
        return f"set-{item.owner}-{item.number}"
    return {
        ItemKind.ROWS: f"rows-{item.number}",
        ItemKind.HANDED: f"handed-{item.number}",
        ItemKind.SUMS: f"{_SUMS}-{item.number}",
    }[item.kind]


def _table(plan: JoinPlan, holder: str) -> Joined:
    return next(table for table in plan.tables if table.holder == holder)


def _sums_length(plan: JoinPlan, pair: int) -> int:
    return len(_products(plan, pair)) * plan.key_bits // 4


def _products(plan: JoinPlan, pair: int) -> tuple[Combination, ...]:
    """What a pair's combiner returns: the products for all moments of all cells."""
    everything = [
        (cell, moment) for cell in range(len(plan.cells)) for moment in range(len(plan.sources))
    ]
    return combinations(plan, pair, everything)
