"""The replica: one party's verified copy of the log, and the session replayed from it.

Following the log is where a party stops trusting the coordinator.  Nothing fetched is looked at
before the whole batch stands: the checkpoint is signed by the enrolled log key, the tree recomputed
from all entries has exactly its root, the tree only ever grows, and every entry obeys the rules of
:mod:`stayput.session`.  What verified but could not be stored is not believed.

It also knows who else holds the same tree: of every cosigner and key the largest size that it has
cosigned (:meth:`Replica.cosigned`), each line verified here, under the keys that the member has in
the tree of that size, and compared with our own root.  :meth:`Replica.awaited` is the gate in front
of everything that matters: whose cosignatures over an entry are missing.

A checkpoint that contradicts what we hold is kept as evidence and the replica refuses to go on:
the coordinator has forked or rewritten history, and that is for people to settle.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator

from stayput.cosigning import Standing, is_milestone
from stayput.errors import DocumentError, NotFound, RuleViolation, VerificationError
from stayput.link import CoordinatorLink, LogPage
from stayput.membership import Members
from stayput.plans import Earlier
from stayput.session import Instruction, Session
from stayput.steps import Step
from stayput.store.journal import Evidence, Mirror
from stayput.tlog import merkle
from stayput.tlog.checkpoint import (
    Checkpoint,
    claimed_checkpoint,
    verify_checkpoint,
    verify_cosigned,
)
from stayput.tlog.note import verify_note


class Replica:
    """A verified copy of the log of one consortium.

    Args:
        members: the pinned member list; entry 0 must be exactly it.
        mirror: where verified entries are kept; entries in it are verified again on loading.

    Raises:
        VerificationError: the mirror was altered.
    """

    def __init__(self, members: Members, mirror: Mirror) -> None:
        self._pinned = members
        self._mirror = mirror
        self.earlier: dict[bytes, Earlier | None] = {}
        """Questions of earlier runs, read once (:mod:`stayput.runs`)."""
        self._load()

    def _load(self) -> None:
        """Replay what the mirror holds."""
        self.session = Session()
        self.tree = merkle.Tree()
        self._edge = merkle.CompactRange()
        self.leaf_hashes: list[bytes] = []
        self.entries: list[bytes] = []
        self.milestones: list[int] = []  # sizes of the trees that end with one
        self._milestone_steps: list[Step] = []
        self._index: dict[Step, int] = {}
        self._standing: dict[str, Standing] = {}
        self._ahead: tuple[bytes, ...] = ()
        self._taken: frozenset[bytes] = frozenset()
        self._known = b""
        entries, self._checkpoint = self._mirror.load()
        if entries:
            try:
                self._take(entries, self._checkpoint)
            except (VerificationError, RuleViolation, DocumentError) as error:
                raise VerificationError(
                    f"this party's own copy of the log was altered: {error}",
                    hint="keep the folder as evidence; restore it from a backup, or start a new "
                    "copy by moving journal.db away",
                ) from None

    @property
    def members(self) -> Members:
        """The members as of the newest entry held; the pinned ones before there is any."""
        return self.session.members or self._pinned

    @property
    def size(self) -> int:
        return self.session.size

    @property
    def checkpoint(self) -> bytes:
        """The newest verified checkpoint, empty before the first."""
        return self._checkpoint  # not the mirror's: another command may have brought that forward

    def instructions(self, party: str) -> tuple[Instruction, ...]:
        """What ``party`` has to do now, as far as this copy knows."""
        return tuple(self.session.instructions(party)) if self.size else ()

    # --- who holds the same tree (clauses W-3, W-4) -----------------------------------------------

    def cosigned(self, member: str) -> Standing:
        """The largest sizes of our own tree that a member has cosigned, as far as we were shown."""
        return self._standing.get(member, Standing())

    def is_ahead(self, member: str) -> bool:
        """Whether a member has cosigned a larger tree than ours, which we cannot compare yet."""
        return any(
            name in (self.members.witness_name(member), self.members.auditor_name(member))
            for note in self._ahead
            for name in self._cosigners_on(note)
        )

    def awaited(self, step: Step, names: Iterable[str]) -> tuple[str, ...]:
        """Who of ``names`` has not cosigned, with both keys, a tree that contains the step.

        Raises:
            KeyError: the step is no milestone of this log.
        """
        index = self._index[step]
        return tuple(name for name in names if self.cosigned(name).size <= index)

    def index_of(self, step: Step) -> int:
        """The index of a milestone. Raises KeyError."""
        return self._index[step]

    def milestones_from(self, size: int) -> Iterator[tuple[int, Step]]:
        """Indices and steps of the milestones from entry ``size`` on, in order."""
        first = bisect.bisect_right(self.milestones, size)
        for position in range(first, len(self.milestones)):
            yield self.milestones[position] - 1, self._milestone_steps[position]

    def cosigned_note(
        self, link: CoordinatorLink, step: Step, names: Iterable[str]
    ) -> bytes | None:
        """One note of a checkpoint with the step that all of ``names`` have cosigned, or None.

        Raises:
            VerificationError: what the coordinator shows does not stand.
            Unavailable: it cannot be reached.
        """
        index = self._index[step]
        page = link.read_log(index, 0)
        self._take_notes(page)
        wanted = tuple(names)
        for note in page.cosigned:
            size = claimed_checkpoint(note).size
            if index < size <= self.size:
                members = self.session.members_at(size)
                needed = {verifier.name for verifier in members.cosigners(wanted)}
                if needed <= set(self._cosigners_on(note)):
                    return note
        return None

    # --- following --------------------------------------------------------------------------------

    def catch_up(self, link: CoordinatorLink, *, wait_ms: int = 0) -> bool:
        """Fetch, verify and store what is new.

        Args:
            wait_ms: how long the coordinator may wait for something new.

        Returns:
            Whether there are new entries or cosignatures.

        Raises:
            VerificationError: what the coordinator shows does not extend what we hold, or an entry
                of it breaks the rules.
            Unavailable: the coordinator cannot be reached.
        """
        pending: list[bytes] = []
        while True:
            start = self.size + len(pending)
            page = self._read(link, start, 0 if pending else wait_ms)
            checkpoint = self._open_checkpoint(page)
            pending.extend(page.entries)
            if self.size + len(pending) >= checkpoint.size or not page.entries:
                break
        if pending:
            self._grow(tuple(pending), checkpoint, page.checkpoint)
        else:
            self._require_same_tree(page, checkpoint)
        cosigned = self._take_notes(page)
        self._known = page.cosigned_digest
        return bool(pending) or cosigned

    def _read(self, link: CoordinatorLink, start: int, wait_ms: int) -> LogPage:
        try:
            return link.read_log(start, wait_ms, self._known)
        except NotFound:
            self._open_checkpoint(link.read_log(0, 0))  # a log shorter than ours is evidence
            raise

    def _grow(self, fresh: tuple[bytes, ...], checkpoint: Checkpoint, signed: bytes) -> None:
        self._verify_growth(fresh, checkpoint, signed)
        start = self.size
        try:
            self._replay(fresh)
        except (RuleViolation, DocumentError) as error:
            self._mirror.keep_evidence(Evidence.FORK, signed)
            index = self.size
            self._load()  # none of them counts
            raise VerificationError(
                f"entry {index} of the coordinator's log breaks the rules: {error.message}",
                hint="an honest coordinator signs no such log; the signed evidence is kept in "
                "journal.db: do not go on, compare with the other members",
            ) from None
        try:
            self._mirror.append(start, fresh, signed)
        except BaseException:
            self._load()  # what is not stored is not believed
            raise
        self._checkpoint = signed

    def _open_checkpoint(self, page: LogPage) -> Checkpoint:
        members = self.members
        checkpoint = verify_checkpoint(page.checkpoint, members.log_origin, members.log_verifier)
        if checkpoint.size < self.size:
            ours = self.tree.root(checkpoint.size) == checkpoint.root
            self._mirror.keep_evidence(Evidence.SHRUNK if ours else Evidence.FORK, page.checkpoint)
            raise VerificationError(
                f"the coordinator shows a log of {checkpoint.size} entries, we hold {self.size}",
                hint="the log was cut or restored from an old copy: do not go on, ask the operator",
            )
        return checkpoint

    def _require_same_tree(self, page: LogPage, checkpoint: Checkpoint) -> None:
        if checkpoint.size != self.size or checkpoint.root != self.tree.root():
            self._fork(page.checkpoint)

    def _take(self, entries: tuple[bytes, ...], signed: bytes) -> None:
        """Verify and replay entries that the mirror holds already."""
        members = self.members
        checkpoint = verify_checkpoint(signed, members.log_origin, members.log_verifier)
        self._verify_growth(entries, checkpoint, signed)
        self._replay(entries)

    def _verify_growth(
        self, fresh: tuple[bytes, ...], checkpoint: Checkpoint, signed: bytes
    ) -> None:
        """The signed root is that of what we hold plus exactly these entries."""
        edge = self._edge.copy()
        for entry in fresh:
            edge.append(merkle.leaf_hash(entry))
        if checkpoint.size != edge.size or checkpoint.root != edge.root():
            self._fork(signed)

    def _fork(self, signed: bytes) -> None:
        self._mirror.keep_evidence(Evidence.FORK, signed)
        raise VerificationError(
            "the coordinator signed a log that does not extend the one we hold",
            hint="history was rewritten or forked; the signed evidence is kept in journal.db "
            "(`stayput log evidence`): do not go on, compare with the other members",
        )

    def _replay(self, fresh: tuple[bytes, ...]) -> None:
        if self.size == 0 and fresh[0] != self._pinned.envelope:
            raise VerificationError(
                "entry 0 is another member list than the one pinned here",
                hint="compare the fingerprint of members.json with the other parties",
            )
        for entry in fresh:
            step = self.session.replay(entry)
            leaf = merkle.leaf_hash(entry)
            self.tree.append(leaf)
            self._edge.append(leaf)
            self.leaf_hashes.append(leaf)
            self.entries.append(entry)
            if is_milestone(step):
                self.milestones.append(self.size)
                self._milestone_steps.append(step)
                self._index[step] = self.size - 1

    # --- cosigned notes ---------------------------------------------------------------------------

    def _take_notes(self, page: LogPage) -> bool:
        """Verify the cosigned notes of a page; whether one of them was not known."""
        notes = dict.fromkeys((*self._ahead, *page.cosigned))
        fresh = [note for note in notes if note not in self._taken]
        for note in fresh:
            self._take_note(note)
        self._taken = frozenset(notes)
        self._ahead = tuple(n for n in notes if claimed_checkpoint(n).size > self.size)
        self._taken -= frozenset(self._ahead)  # to be compared when our tree has grown
        return any(note not in self._ahead for note in fresh)

    def _take_note(self, note: bytes) -> None:
        checkpoint = self._verify_note(note)
        if checkpoint.size > self.size:
            return
        if checkpoint.root != self.tree.root(checkpoint.size):
            self._fork(note)
        members = self.session.members_at(checkpoint.size)
        names = set(self._cosigners_on(note))
        for member in members:
            if member.witness_key:
                held, size = self.cosigned(member.name), checkpoint.size
                witness = size if members.witness_name(member.name) in names else 0
                auditor = size if members.auditor_name(member.name) in names else 0
                self._standing[member.name] = Standing(
                    max(held.witness, witness), max(held.auditor, auditor)
                )

    def _verify_note(self, note: bytes) -> Checkpoint:
        """The log has signed the note; if not, but a member has, that is evidence too."""
        members = self.members
        try:
            return verify_checkpoint(note, members.log_origin, members.log_verifier)
        except VerificationError:
            verify_note(note, members.cosigners())  # raises if nobody's line holds
            self._mirror.keep_evidence(Evidence.COSIGNED, note)
            raise VerificationError(
                "the coordinator passes on a cosigned checkpoint that it has not signed",
                hint="a member may have been shown another history: the note is kept in "
                "journal.db (`stayput log evidence`), compare with the other members",
            ) from None

    def _cosigners_on(self, note: bytes) -> Iterable[str]:
        """Names of the cosigning keys whose lines on the note hold."""
        size = min(claimed_checkpoint(note).size, self.size)
        members = self.session.members_at(size) if size else self._pinned
        verified = verify_cosigned(
            note, members.log_origin, members.log_verifier, members.cosigners()
        )
        return verified.times
