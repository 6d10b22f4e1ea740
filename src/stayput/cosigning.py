"""Cosigning: which checkpoints are cosigned, by whom, and what a cosignature counts for.

Holders and auditors cosign checkpoints with two keys each (clause W-1): the *witness* key states
that the log only grew, the *auditor* key that its entries obey the rules and that the sums of one's
own runs are right.  Of each size of the log there is one text to sign (origin, size, root), so the
lines of all cosigners come together on one note.  *Milestones* are the sizes on which that matters.

:class:`CosignedNotes` is the coordinator's collection, :class:`Standing` what a reader knows of one
member.  Not here: deciding what to cosign (:mod:`stayput.witness`), which cosignatures a party
waits for (:mod:`stayput.replica` and the cores), signatures themselves (:mod:`stayput.tlog`).

What leaks: cosignatures say when a member was up to date; every member sees them.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterable, Mapping

from stayput.errors import VerificationError
from stayput.link import NOTES_PER_PAGE
from stayput.membership import Members
from stayput.steps import (
    CountsChecked,
    KeysRotated,
    LogFrozen,
    ResultReleased,
    RunOrdered,
    ScenarioSealed,
    Step,
    SumFormed,
)
from stayput.tlog import merkle
from stayput.tlog.checkpoint import (
    Checkpoint,
    CosignedCheckpoint,
    claimed_checkpoint,
    sign_checkpoint,
    verify_cosigned,
)
from stayput.tlog.note import Signer, add_signatures, verify_note

MembersAt = Callable[[int], Members]
"""The members as of the first so many entries (:meth:`stayput.session.Session.members_at`)."""

MILESTONES: tuple[type, ...] = (
    ScenarioSealed,
    RunOrdered,
    SumFormed,
    CountsChecked,
    ResultReleased,
    KeysRotated,
    LogFrozen,
)
"""Steps after which everybody cosigns exactly the tree that ends with them."""


def is_milestone(step: Step) -> bool:
    """Whether the tree that ends with this step is cosigned by everybody."""
    return isinstance(step, MILESTONES)


@dataclasses.dataclass(frozen=True)
class Standing:
    """The largest size of our own tree that a member has cosigned with each of its keys."""

    witness: int = 0
    auditor: int = 0

    @property
    def size(self) -> int:
        """The largest size that it has cosigned with both."""
        return min(self.witness, self.auditor)


class CosignedNotes:
    """The cosignatures of one log, merged into one note for each size.

    Args:
        origin: of the log.
        key: the log's own; it signs every note, since a note without its signature is none.
        tree: of the log; it grows with it.
    """

    def __init__(self, origin: str, key: Signer, tree: merkle.Tree) -> None:
        self._origin = origin
        self._key = key
        self._tree = tree
        self._notes: dict[int, bytes] = {}
        self._sizes: list[int] = []
        self._newest: dict[str, int] = {}

    def merge(
        self, notes: Iterable[bytes], members_at: MembersAt, caller: str
    ) -> Mapping[int, bytes]:
        """The notes, by size, that a cosigner's own lines change; nothing is believed yet.

        Args:
            notes: untrusted; other lines than the caller's are not looked at.
            members_at: the members as of a size of this log; keys rotate (K-4).

        Raises:
            DocumentError: no note of a checkpoint.
            VerificationError: no cosignature of the caller's, one that does not hold, another log,
                or not the tree of this log.
        """
        merged: dict[int, bytes] = {}
        for data in notes:
            checkpoint = claimed_checkpoint(data)
            self._require_ours(checkpoint)
            size = checkpoint.size
            note = verify_note(data, members_at(size).cosigners([caller]))
            before = merged.get(size) or self._notes.get(size) or self._signed(checkpoint)
            after = add_signatures(before, note.lines)
            if after != self._notes.get(size):
                merged[size] = after
        return merged

    def _require_ours(self, checkpoint: Checkpoint) -> None:
        if checkpoint.origin != self._origin:
            raise VerificationError("the checkpoint is of another log")
        ours = 0 < checkpoint.size <= self._tree.size
        if not ours or self._tree.root(checkpoint.size) != checkpoint.root:
            raise VerificationError(
                "the cosigned checkpoint is of another history than this log's",
                hint="one of the two copies was altered or restored: compare them before going on",
            )

    def _signed(self, checkpoint: Checkpoint) -> bytes:
        return sign_checkpoint(checkpoint, self._key)

    def load(self, size: int, data: bytes, members_at: MembersAt) -> None:
        """Take the note that was stored for a size.

        Raises:
            DocumentError, VerificationError: not, byte for byte, a note that :meth:`merge` made.
        """
        checkpoint = claimed_checkpoint(data)
        if checkpoint.size != size:
            raise VerificationError(f"the checkpoint is of size {checkpoint.size}, not {size}")
        self._require_ours(checkpoint)
        found = self._verify(size, data, members_at)
        if add_signatures(self._signed(checkpoint), found.lines) != data:
            raise VerificationError("a line in it is of nobody who cosigns")
        self._take(size, data, found)

    def believe(self, notes: Mapping[int, bytes], members_at: MembersAt) -> None:
        """Take notes that :meth:`merge` made and that are stored."""
        for size, data in notes.items():
            self._take(size, data, self._verify(size, data, members_at))

    def _verify(self, size: int, data: bytes, members_at: MembersAt) -> CosignedCheckpoint:
        members = members_at(size)
        return verify_cosigned(data, self._origin, members.log_verifier, members.cosigners())

    def _take(self, size: int, data: bytes, found: CosignedCheckpoint) -> None:
        if size not in self._notes:
            bisect.insort(self._sizes, size)
        self._notes[size] = data
        for name in found.times:
            self._newest[name] = max(size, self._newest.get(name, 0))

    def page(self, start: int) -> tuple[bytes, ...]:
        """For every cosigner's key its newest note, and the first few above ``start``, by size."""
        first = bisect.bisect_right(self._sizes, start)
        sizes = {*self.newest, *self._sizes[first : first + NOTES_PER_PAGE]}
        return tuple(self._notes[size] for size in sorted(sizes))

    def note(self, size: int) -> bytes:
        """The note of a size of the log, with all lines that are known; the log's own at least.

        Raises:
            ValueError: the log is smaller.
        """
        known = self._notes.get(size)
        return known or self._signed(Checkpoint(self._origin, size, self._tree.root(size)))

    @property
    def newest(self) -> frozenset[int]:
        """The sizes that are the newest of some key."""
        return frozenset(self._newest.values())

    def forget(self, size: int) -> None:
        """Drop the note of a size."""
        del self._notes[size]
        self._sizes.remove(size)
