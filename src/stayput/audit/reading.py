"""The part of an audit that needs no state: shared out over processes, one group at a time.

A worker vouches only for what holds.  Whatever it cannot vouch for it leaves out, and the one who
replays decides that by the same functions that a live party uses; so sharing out changes no word of
a report.

Not here: whose signature it has to be, and whether a step is allowed (:mod:`stayput.session`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from stayput.errors import StayputError, VerificationError
from stayput.session import Claim, read_claim
from stayput.steps import KeysRotated, MemberList
from stayput.tlog import merkle, tiles
from stayput.tlog.checkpoint import Checkpoint, CosignedCheckpoint, verify_cosigned
from stayput.tlog.cosignature import CosignatureVerifier
from stayput.tlog.note import NoteVerifier


@dataclasses.dataclass(frozen=True)
class NoteKeys:
    """Under which keys the checkpoints of a log are signed and cosigned."""

    log: NoteVerifier
    cosigners: tuple[CosignatureVerifier, ...]

    def read(self, note: bytes) -> CosignedNote:
        """Verify a checkpoint, every line of it.

        Raises:
            DocumentError, VerificationError: as :func:`stayput.tlog.checkpoint.verify_cosigned`, or
                a line is of nobody here: the coordinator's notes have none such.
        """
        found = verify_cosigned(note, self.log.name, self.log, self.cosigners)
        if foreign_lines(note, found):
            raise VerificationError("a line in it is of nobody who cosigns")
        return CosignedNote(found.checkpoint, found.keys)


def foreign_lines(note: bytes, *verified: CosignedCheckpoint) -> bool:
    """Whether a note has signature lines beside those that were verified in it, each once."""
    known = {line for found in verified for line in found.lines}
    lines = note.rpartition(b"\n\n")[2].splitlines(keepends=True)
    return len(set(lines)) < len(lines) or not known.issuperset(lines)


@dataclasses.dataclass(frozen=True)
class CosignedNote:
    """A verified checkpoint, and the public keys of those who cosigned it."""

    checkpoint: Checkpoint
    keys: frozenset[bytes]


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker is sent: a bundle of entries, and checkpoints.

    ``keys`` are signing keys by fingerprint, ``note_keys`` those of checkpoints, as known when the
    work is handed out; a rotation on the way only means that less is vouched for.
    """

    bundle: bytes
    width: int
    keys: Mapping[str, bytes]
    notes: tuple[bytes, ...]
    note_keys: NoteKeys | None


@dataclasses.dataclass(frozen=True)
class WorkDone:
    """What a worker vouches for, in the order of the work; ``None`` where it does not."""

    leaves: tuple[bytes, ...]
    claims: tuple[Claim | None, ...]
    notes: tuple[CosignedNote | None, ...]


def do_work(work: Work) -> WorkDone:
    """Read entries and checkpoints.

    Raises:
        DocumentError: the bundle is malformed.
    """
    entries = tiles.parse_entry_bundle(work.bundle, work.width)
    return WorkDone(
        tuple(merkle.leaf_hashes(entries)),
        tuple(_vouched(entry, work.keys) for entry in entries),
        tuple(_cosigned(note, work.note_keys) for note in work.notes),
    )


def _vouched(entry: bytes, keys: Mapping[str, bytes]) -> Claim | None:
    try:
        claim = read_claim(entry, keys)
    except StayputError:
        return None
    return None if isinstance(claim.step, (MemberList, KeysRotated)) else claim


def _cosigned(note: bytes, keys: NoteKeys | None) -> CosignedNote | None:
    try:
        return None if keys is None else keys.read(note)
    except StayputError:
        return None
