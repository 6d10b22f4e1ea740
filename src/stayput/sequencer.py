"""The sequencer: gives every step its place in the log, and never takes it back.

It admits steps through :mod:`stayput.session`, makes them durable, reads them back from the disk,
hashes what it read, signs the new checkpoint, makes that durable, and only then tells anybody.
Whoever submits at the same time shares one write and one checkpoint (group commit); a step that the
rules refuse does not disturb the others.  The same bytes get the same index again.

The order of things, and what a crash between them leaves:

1. admit: nothing.
2. append, ``fdatasync``: whole records are kept and covered by the next checkpoint, half ones cut.
3. read back and hash: a log that once signed a root over bytes that its disk did not hold could
   never again prove anything.  What comes back different is never signed.
4. sign and store the checkpoint: as 2.
5. answer; the public tiles follow (:meth:`Sequencer.tend`), they are derived.

If the disk refuses, all steps of the group are refused as
:class:`~stayput.errors.Unavailable`, and the session is the replay of exactly what is on disk.

It also collects the cosignatures of the others (:mod:`stayput.cosigning`).  Not here: documents
beside the log and whose turn it is (:mod:`stayput.coordinator`), the network.

Opening replays everything: every record, every rule, the root against the signed checkpoint, every
cosignature.  A log that is smaller than its checkpoint, or another one, is not continued.  That a
whole folder is an old copy nobody can see from inside: the parties do, who hold newer checkpoints.

What leaks: nothing beyond the entries, which every member may read.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stayput.cosigning import CosignedNotes, is_milestone
from stayput.errors import (
    ConfigurationError,
    DocumentError,
    NotFound,
    RuleViolation,
    StayputError,
    Unavailable,
    VerificationError,
)
from stayput.membership import Members
from stayput.session import Admitted, Session
from stayput.store.disk import Disk, make_folder, replace_file, sweep
from stayput.store.note_files import NoteFiles
from stayput.store.segments import Segments, stored_entries
from stayput.store.tile_files import CHECKPOINT, TileFiles
from stayput.tlog import merkle
from stayput.tlog.checkpoint import (
    Checkpoint,
    claimed_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from stayput.tlog.note import Signer
from stayput.tlog.tiles import parse_tile_path, require_entry_size

MAX_GROUP: Final = 1024
"""Steps of one group: bounds how long the first of them waits for the last."""

MAX_PAGE: Final = 1000
"""Entries in one page of the log."""

MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes in one page of the log, so that a page always fits a message."""


MAX_NAMED: Final = 10
"""Files of the public folder that one notice names."""


class Sequencer:
    """The log of one consortium.

    Args:
        members: the pinned member list; entry 0 is exactly it.
        key: the coordinator's signing key; it signs checkpoints.
        folder: where the log is; made if it is not there.
        disk: the disk.

    Attributes:
        lock: held while the log changes; whoever holds it sees one moment of :attr:`session`.
        session: the replay of the log; a new object after the disk failed.
        on_commit: called with steps that are in the log now, under the lock.
        notices: what opening had to mend, in words.

    Raises:
        VerificationError: the folder does not hold the log that its checkpoint was signed for.
        ConfigurationError: another process writes this log.
        Unavailable: the disk cannot be used now.
    """

    def __init__(
        self, members: Members, key: Signer, folder: Path, disk: Disk | None = None
    ) -> None:
        self._members = members
        self._key = key
        self._folder = folder
        self._disk = disk or Disk()
        self.lock = threading.RLock()
        self.on_commit: Callable[[Sequence[Admitted]], None] = _nobody_listens
        self.notices: tuple[str, ...] = ()
        self._arrivals: deque[_Ticket] = deque()
        self._alone = False  # after a failure: one step at a time, so that none must be undone
        self._damage = ""
        self._uncovered: list[Admitted] = []  # durable, but nobody was told
        self._tiles_stale = True
        self._public_note = b""
        with contextlib.ExitStack() as opened:
            self._open(opened)
            self._opened = opened.pop_all()

    # --- opening ----------------------------------------------------------------------------------

    def _open(self, opened: contextlib.ExitStack) -> None:
        with _in_words("opened"):
            make_folder(self._disk, self._folder)
            opened.enter_context(_exclusively(self._folder))
            sweep(self._disk, self._folder)
            signed, self._note = self._load_checkpoint()
        self._segments = Segments(self._folder / "segments", signed.size, self._disk)
        opened.callback(self._segments.close)
        if not self._note and self._segments.size > 1:
            raise VerificationError(
                f"the file {CHECKPOINT} of the log is missing, which holds "
                f"{self._segments.size} entries",
                hint=_RESTORE,
            )
        self._replay(signed)
        self._note_files = NoteFiles(self._folder / "cosigned", self._disk)
        self._load_notes()
        self._tiles = TileFiles(self._folder / "public", self._disk)
        if not self._segments.size:
            self.submit(self._members.envelope)
        self._cover()
        self._uncovered.clear()  # whoever opens looks at the session first
        self.notices = tuple(notice for notice in (self._segments.notice,) if notice)
        with contextlib.suppress(Unavailable):  # derived; the next tend() tries again
            self.tend()

    def _load_checkpoint(self) -> tuple[Checkpoint, bytes]:
        origin = self._members.log_origin
        try:
            note = (self._folder / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            return Checkpoint(origin, 0, merkle.EMPTY_ROOT), b""
        try:
            return verify_checkpoint(note, origin, self._members.log_verifier), note
        except (DocumentError, VerificationError) as error:
            raise VerificationError(
                f"the file {CHECKPOINT} of the log does not hold: {error}", hint=_RESTORE
            ) from None

    def _replay(self, signed: Checkpoint) -> None:
        """Everything that memory holds, from the entries on disk."""
        self.session = Session()
        self._tree = merkle.Tree()
        self._positions: dict[bytes, int] = {}
        self._milestones: set[int] = set()
        self._edge = merkle.CompactRange()  # of what the checkpoint covers
        for entry in self._segments.entries():
            index = self.session.size
            admitted = self._replay_one(index, entry)
            self._take(admitted, merkle.leaf_hash(entry))
            if self._tree.size == signed.size:
                self._edge.extend(self._tree.hashes(0, 0, signed.size))
            elif self._tree.size > signed.size:
                self._uncovered.append(admitted)
        if signed.root != self._tree.root(signed.size):
            raise VerificationError(
                "the stored log is not the one this coordinator signed",
                hint="restore the whole folder from one backup; never mix files of two moments",
            )
        self._covered = signed.size
        self._notes = CosignedNotes(self._members.log_origin, self._key, self._tree)

    def _replay_one(self, index: int, entry: bytes) -> Admitted:
        try:
            if index == 0 and entry != self._members.envelope:
                raise VerificationError("another member list than the one pinned here")
            admitted = self.session.admit(entry)
            self.session.apply(admitted)
        except (DocumentError, RuleViolation, VerificationError) as error:
            raise VerificationError(
                f"entry {index} of the log, in {self._segments.place(index)}, does not stand: "
                f"{error}",
                hint=_RESTORE,
            ) from None
        return admitted

    def _load_notes(self) -> None:
        files = self._note_files.files()
        self._passing = files.keys() - self._milestones  # notes that go when they are not newest
        for size, path in files.items():
            try:
                self._notes.load(size, path.read_bytes(), self.session.members_at)
            except (DocumentError, VerificationError) as error:
                raise VerificationError(
                    f"the file {path.name} of the cosigned checkpoints does not hold: {error}",
                    hint="restore it from a backup, or move it away: its cosignatures are then "
                    "those that their cosigners send again",
                ) from None

    # --- the log ----------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Entries that the newest checkpoint covers."""
        return self._covered

    @property
    def checkpoint(self) -> bytes:
        """The newest checkpoint, signed by the log alone."""
        return self._note

    def entries(self, start: int = 0) -> Iterator[bytes]:
        """Entries from ``start`` on, as far as the newest checkpoint covers them."""
        return self._segments.entries(start, self._covered)

    def page(self, start: int) -> tuple[tuple[bytes, ...], bytes, tuple[bytes, ...]]:
        """Entries from ``start`` on, the newest checkpoint, and cosigned notes up to it.

        Raises:
            NotFound: the log has not so many entries.
            VerificationError: the disk gives back something else than was written.
            Unavailable: the disk cannot be read now.
        """
        with self.lock:
            size, note, cosigned = self._covered, self._note, self._notes.page(start)
        if start > size:
            raise NotFound(f"the log has {size} entries")
        found = self._segments.read(start, min(MAX_PAGE, size - start), MAX_PAGE_BYTES)
        return found, note, cosigned

    def find(self, entry: bytes) -> int | None:
        """The index of an entry that the newest checkpoint covers, or None."""
        index = self._positions.get(merkle.leaf_hash(entry))
        return index if index is not None and index < self._covered else None

    def submit(self, entry: bytes) -> int:
        """Put a step into the log, with whatever else comes at the same time.

        Returns:
            Its index: it is durable, and a durable checkpoint covers it.

        Raises:
            DocumentError: the bytes are no step, or too large for an entry.
            VerificationError: its signature does not hold.
            RuleViolation: the protocol forbids it now.
            Unavailable: the disk is full or fails. The step may be in the log or not; submit the
                same bytes again.
        """
        known = self.find(entry)
        if known is not None:
            return known
        ticket = _Ticket(require_entry_size(entry))
        self._arrivals.append(ticket)
        with self.lock:  # whoever comes in first works for all who wait
            while not ticket.done:
                self._commit()
        if ticket.error is not None:
            raise ticket.error
        return ticket.index

    def _commit(self) -> None:
        """One group: admit, write, cover, answer."""
        limit = 1 if self._alone else MAX_GROUP
        group = [self._arrivals.popleft() for _ in range(min(len(self._arrivals), limit))]
        try:
            self._align()
            self._cover()
            fresh = self._admit(group)
            if fresh:
                self._write(fresh)
                self._cover()
            for ticket in group:
                ticket.index = self._positions.get(ticket.leaf, -1)
        except Unavailable as error:
            for ticket in group:
                ticket.refuse(error)
        finally:
            for ticket in group:
                ticket.close()
        self._report()

    def _admit(self, group: Sequence[_Ticket]) -> dict[bytes, Admitted]:
        """Let each step that the rules allow be the next one; by leaf hash, in order.

        The last one is not applied before it is durable, so that a step that comes alone never has
        to be undone.
        """
        fresh: dict[bytes, Admitted] = {}
        last: Admitted | None = None
        for ticket in group:
            if ticket.leaf in self._positions or ticket.leaf in fresh:
                continue  # the same bytes again
            if last is not None and last.index == self.session.size:
                self.session.apply(last)
            try:
                last = fresh[ticket.leaf] = self.session.admit(ticket.entry)
            except StayputError as error:
                ticket.error = error
        return fresh

    def _write(self, fresh: Mapping[bytes, Admitted]) -> None:
        """Make a group durable, and believe it."""
        try:
            self._segments.append([admitted.entry for admitted in fresh.values()])
        except Unavailable:
            self._alone = True
            raise
        self._alone = False
        for leaf, admitted in fresh.items():
            if admitted.index == self.session.size:
                self.session.apply(admitted)
            self._take(admitted, leaf)
            self._uncovered.append(admitted)

    def _take(self, admitted: Admitted, leaf: bytes) -> None:
        self._positions[leaf] = admitted.index
        self._tree.append(leaf)
        if is_milestone(admitted.step):
            self._milestones.add(admitted.index + 1)

    def _align(self) -> None:
        """Forget steps that were admitted and could not be made durable."""
        if self.session.size == self._segments.size:
            return
        session = Session()
        for entry in self._segments.entries():
            session.replay(entry)
        self.session = session

    def _cover(self) -> None:
        """Sign and store the checkpoint of all that is durable, if it is not there yet."""
        size = self._segments.size
        if size == self._covered:
            return
        edge = self._edge.copy()
        try:
            if not self._damage:
                edge.extend(merkle.leaf_hashes(self._segments.read_back(edge.size)))
                if edge.root() != self._tree.root():
                    self._damage = "the disk gave back other bytes than were written to it"
        except VerificationError as error:
            self._damage = error.message
        if self._damage:
            raise Unavailable(
                f"the log takes no more steps: {self._damage}",
                hint="stop the coordinator, look at the disk, start it again",
            )
        signed = Checkpoint(self._members.log_origin, size, edge.root())
        note = sign_checkpoint(signed, self._key)
        with _in_words("written"):
            replace_file(self._disk, self._folder / CHECKPOINT, note)
        self._edge, self._note, self._covered = edge, note, size

    def _report(self) -> None:
        """Tell who listens of steps that are covered now."""
        if self._uncovered and self._covered == self._segments.size:
            told, self._uncovered = self._uncovered, []
            self.on_commit(told)

    def tend(self) -> None:
        """What is not urgent: bring the public tiles forward, and mend what a failing disk left.

        Raises:
            Unavailable: the disk cannot be used now.
        """
        with self.lock:
            self._align()
            self._cover()
            self._report()
            self._publish()

    # --- cosignatures -----------------------------------------------------------------------------

    def add_cosignatures(self, notes: Sequence[bytes], cosigner: str) -> bool:
        """Merge a cosigner's own lines, durably; other lines on the notes are not looked at.

        Kept are, for each size that is a milestone or the newest of some key, all lines on one
        note.

        Args:
            notes: untrusted notes of checkpoints.
            cosigner: the member whose lines they are.

        Returns:
            Whether any was new.

        Raises:
            DocumentError: no note of a checkpoint.
            NotFound: no member that cosigns.
            VerificationError: no line of the cosigner's, one that does not hold, or a checkpoint of
                another history than this log's.
            Unavailable: the disk cannot be used now; some may be stored.
        """
        with self.lock:
            self._cover()  # nobody else can have seen more
            members_at = self.session.members_at
            merged = self._notes.merge(notes, members_at, cosigner)
            self._note_files.put(merged)
            self._notes.believe(merged, members_at)
            self._passing.update(merged.keys() - self._milestones)
            for size in self._passing - self._notes.newest:
                self._note_files.drop(size)
                self._notes.forget(size)
                self._passing.discard(size)
        return bool(merged)

    def cosigned(self, start: int = 0) -> tuple[bytes, ...]:
        """For every cosigner's key its newest note, and the first few above ``start``."""
        with self.lock:
            return self._notes.page(start)

    def note_at(self, size: int) -> bytes:
        """The checkpoint of a size with all cosignatures that are kept for it.

        Raises:
            NotFound: the log never had a checkpoint of that size.
        """
        with self.lock:
            if not 0 < size <= self._covered:
                raise NotFound(f"the log has {self._covered} entries")
            return self._notes.note(size)

    # --- the public folder ------------------------------------------------------------------------

    def read_public(self, path: str) -> bytes:
        """A file of the public folder: ``checkpoint``, or a tile or entry bundle by its path.

        Raises:
            DocumentError: not such a path.
            NotFound: the log has no such tile (any more: a partial one goes when it is full).
            Unavailable: the disk cannot be used now.
        """
        if path != CHECKPOINT:
            path = parse_tile_path(path).path
        with self.lock:
            self._publish()
            return self._tiles.read(path)

    def _publish(self) -> None:
        note = self._notes.note(self._covered)
        if note == self._public_note:
            return
        self._public_note = b""
        if self._tiles_stale:
            mended = self._tiles.rebuild(self.entries(), note)
            if mended:
                named = ", ".join(mended[:MAX_NAMED])
                more = f" and {len(mended) - MAX_NAMED} more" if len(mended) > MAX_NAMED else ""
                self.notices += (f"mended the log's public folder: {named}{more}",)
        else:
            self._tiles_stale = True
            self._tiles.extend(self.entries(self._tiles.size), note)
        self._tiles_stale = False
        self._public_note = note

    def close(self) -> None:
        """Give up the folder."""
        with self.lock:
            self._opened.close()


def load_log(folder: Path) -> tuple[tuple[bytes, ...], bytes]:
    """Entries and checkpoint of a log's folder, for one who only reads, also beside its writer.

    Nothing is verified but that the files are whole: replay what comes back.

    Raises:
        DocumentError: the checkpoint is none.
        VerificationError: a file is damaged.
        OSError: a file cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return (), b""
    note = path.read_bytes()
    size = claimed_checkpoint(note).size
    return tuple(stored_entries(folder / "segments", size)), note


class _Ticket:
    """A step that waits for its index."""

    __slots__ = ("done", "entry", "error", "index", "leaf")

    def __init__(self, entry: bytes) -> None:
        self.entry = entry
        self.leaf = merkle.leaf_hash(entry)
        self.index = -1
        self.error: StayputError | None = None
        self.done = False

    def refuse(self, error: Unavailable) -> None:
        """Unless the rules have refused it: that would be so on any disk."""
        if self.error is None:
            self.error = Unavailable(error.message, hint=error.hint)

    def close(self) -> None:
        """Whatever happened, nobody waits for it any longer."""
        if self.index < 0:
            self.refuse(Unavailable("the step was not taken into the log", hint="submit it again"))
        self.done = True


_RESTORE: Final = (
    "keep this folder as it is; restore the newest whole copy of the folder log/, or freeze the "
    "log and continue in a successor"
)


@contextlib.contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """One writer per log; the lock goes with the process, however it ends."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "another process writes this log",
                hint="stop the other coordinator first: two writers would fork the log",
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _in_words(done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"the log cannot be {done} now: {error.strerror or error}",
            hint="is the disk full, or does it fail?",
        ) from None


def _nobody_listens(admitted: Sequence[Admitted]) -> None:
    pass
