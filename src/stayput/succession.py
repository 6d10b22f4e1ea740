"""Succession: the last checkpoint of a log, and whether another log continues exactly that.

A log ends when its coordinator freezes it (clause K-5), or when nobody trusts its coordinator's key
any more.  A successor's entry 0 then holds the old log's last checkpoint (K-6).  Here is what a
member of both compares before it joins the new one: the signature against the member list that it
pinned, size and root against the entries that it verified itself.

Not here: the form of a predecessor (:mod:`stayput.membership`), the commands and what to do when
(``docs/operating.md``).  No state is kept.
"""

from __future__ import annotations

import dataclasses

from stayput.errors import VerificationError
from stayput.link import CoordinatorLink
from stayput.membership import Members, verify_predecessor
from stayput.replica import Replica
from stayput.steps import FreezeReason
from stayput.tlog import merkle
from stayput.tlog.checkpoint import (
    Checkpoint,
    CosignedCheckpoint,
    claimed_checkpoint,
    verify_checkpoint,
    verify_cosigned,
)
from stayput.tlog.note import add_signatures


def last_checkpoint(replica: Replica, link: CoordinatorLink) -> tuple[bytes, CosignedCheckpoint]:
    """The newest checkpoint of the log that the replica holds, with the cosignatures there are.

    Args:
        replica: has caught up over ``link``.

    Returns:
        The signed note, and what it says, verified.

    Raises:
        VerificationError: what the coordinator shows is not the log that the replica holds.
    """
    members, page = replica.members, link.read_log(replica.size, 0)
    verify_checkpoint(page.checkpoint, members.log_origin, members.log_verifier)
    note = page.checkpoint
    for other in page.cosigned:
        if claimed_checkpoint(other) == claimed_checkpoint(note):
            verified = _verify_cosigned(other, members)
            note = add_signatures(note, verified.lines)
    found = _verify_cosigned(note, members)
    _require_own_tree(found.checkpoint, replica)
    return note, found


def _verify_cosigned(note: bytes, members: Members) -> CosignedCheckpoint:
    return verify_cosigned(note, members.log_origin, members.log_verifier, members.cosigners())


@dataclasses.dataclass(frozen=True)
class Continued:
    """What was verified of a predecessor.

    ``cosigners`` are the key names that cosigned its last checkpoint; ``frozen`` is why the log
    that we hold was ended, ``None`` if it was not; ``left_behind`` is the number of entries that we
    hold and the successor does not continue.
    """

    checkpoint: Checkpoint
    cosigners: tuple[str, ...]
    frozen: FreezeReason | None
    left_behind: int


def verify_continuation(successor: Members, old: Replica) -> Continued:
    """A log continues the one that we hold.

    1. It names that log, and a checkpoint that the old log signed.
    2. We hold all entries up to it, and they have its root.  An own copy that is behind does not
       do: the end could be another than the others saw.
    3. Lines of the old log's cosigners on it hold, under their keys as of then.

    Entries that we hold beyond it are counted, for people to judge: after a freeze there are none,
    and a thief of the coordinator's key may have added some.

    Args:
        successor: the member list of the new log.
        old: our verified copy of the old log.

    Raises:
        DocumentError, VerificationError: one of them fails.
    """
    pinned = old.members
    checkpoint = verify_predecessor(successor, pinned)
    _require_own_tree(checkpoint, old)
    assert successor.predecessor is not None  # else it was refused above
    signed = _verify_cosigned(
        successor.predecessor.checkpoint, old.session.members_at(checkpoint.size)
    )
    ended = old.session.frozen
    return Continued(
        checkpoint,
        tuple(sorted(signed.times)),
        ended.reason if ended is not None else None,
        old.size - checkpoint.size,
    )


def _require_own_tree(checkpoint: Checkpoint, replica: Replica) -> None:
    if checkpoint.size > replica.size:
        raise VerificationError(
            f"our copy of the log has {replica.size} entries, its last checkpoint speaks of "
            f"{checkpoint.size}",
            hint="let this party's daemon, or any command of it, catch up with the old coordinator",
        )
    if merkle.Tree(replica.leaf_hashes).root(checkpoint.size) != checkpoint.root:
        raise VerificationError(
            "the last checkpoint is of another history than the one we hold",
            hint="keep both as evidence, and compare with the other members before going on",
        )
