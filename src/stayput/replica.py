"""The replica: one party's verified copy of the log, and the session replayed from it.

Following the log is where a party stops trusting the coordinator.  Nothing fetched is looked at
before the whole batch stands: the checkpoint is signed by the enrolled log key, the tree recomputed
from all entries has exactly its root, the tree only ever grows, and every entry obeys the rules of
:mod:`stayput.session`.  What verified but could not be stored is not believed.

A checkpoint that contradicts what we hold is kept as evidence and the replica refuses to go on:
the coordinator has forked or rewritten history, and that is for people to settle.
"""

from __future__ import annotations

from stayput.errors import DocumentError, RuleViolation, VerificationError
from stayput.link import CoordinatorLink, LogPage
from stayput.membership import Members
from stayput.session import Instruction, Session
from stayput.store.journal import Mirror
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, verify_checkpoint


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
        self._load()

    def _load(self) -> None:
        """Replay what the mirror holds."""
        self.session = Session()
        self.tree = merkle.CompactRange()
        self.leaf_hashes: list[bytes] = []
        self.entries: list[bytes] = []
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

    def catch_up(self, link: CoordinatorLink, *, wait_ms: int = 0) -> int:
        """Fetch, verify and store what is new.

        Args:
            wait_ms: how long the coordinator may wait for something new.

        Returns:
            How many entries are new.

        Raises:
            VerificationError: what the coordinator shows does not extend what we hold, or an entry
                of it breaks the rules.
            Unavailable: the coordinator cannot be reached.
        """
        pending: list[bytes] = []
        while True:
            page = link.read_log(self.size + len(pending), 0 if pending else wait_ms)
            checkpoint = self._open_checkpoint(page)
            pending.extend(page.entries)
            if self.size + len(pending) >= checkpoint.size or not page.entries:
                break
        if not pending:
            self._require_same_tree(page, checkpoint)
            return 0
        fresh = tuple(pending)
        self._verify_growth(fresh, checkpoint, page.checkpoint)
        start = self.size
        try:
            self._replay(fresh)
        except (RuleViolation, DocumentError) as error:
            self._mirror.keep_evidence(page.checkpoint)
            index = self.size
            self._load()  # none of them counts
            raise VerificationError(
                f"entry {index} of the coordinator's log breaks the rules: {error.message}",
                hint="an honest coordinator signs no such log; the signed evidence is kept in "
                "journal.db: do not go on, compare with the other members",
            ) from None
        try:
            self._mirror.append(start, fresh, page.checkpoint)
        except BaseException:
            self._load()  # what is not stored is not believed
            raise
        self._checkpoint = page.checkpoint
        return len(fresh)

    def _open_checkpoint(self, page: LogPage) -> Checkpoint:
        members = self.members
        checkpoint = verify_checkpoint(page.checkpoint, members.log_origin, members.log_verifier)
        if checkpoint.size < self.size:
            self._mirror.keep_evidence(page.checkpoint)
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
        tree = self.tree.copy()
        for entry in fresh:
            tree.append(merkle.leaf_hash(entry))
        if checkpoint.size != tree.size or checkpoint.root != tree.root():
            self._fork(signed)

    def _fork(self, signed: bytes) -> None:
        self._mirror.keep_evidence(signed)
        raise VerificationError(
            "the coordinator signed a log that does not extend the one we hold",
            hint="history was rewritten or forked; the signed evidence is kept in journal.db: do "
            "not go on, compare with the other members",
        )

    def _replay(self, fresh: tuple[bytes, ...]) -> None:
        if self.size == 0 and fresh[0] != self.members.envelope:
            raise VerificationError(
                "entry 0 is another member list than the one pinned here",
                hint="compare the fingerprint of members.json with the other parties",
            )
        for entry in fresh:
            self.session.replay(entry)
            leaf = merkle.leaf_hash(entry)
            self.tree.append(leaf)
            self.leaf_hashes.append(leaf)
            self.entries.append(entry)
