"""Audit is replay: verify a whole log from bytes alone.

No network, no clock, nobody's server: a member list that the reader pinned beforehand, and the
bytes.  :func:`verify_log` feeds every entry to the same state machine that the parties ran and
reports the first one that it would have refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from stayput.errors import RuleViolation, StayputError
from stayput.membership import Members
from stayput.session import Session
from stayput.steps import Step
from stayput.tlog import merkle
from stayput.tlog.checkpoint import verify_checkpoint


@dataclasses.dataclass(frozen=True)
class Finding:
    """Why a log does not stand: at which entry, and what is wrong."""

    index: int
    message: str
    clause: str = ""


@dataclasses.dataclass(frozen=True)
class LogReport:
    """What the replay of a whole log showed.

    ``finding`` is the first entry that the rules refuse, ``None`` when all stand; ``steps`` are
    those before it.
    """

    size: int
    root: bytes
    steps: tuple[Step, ...]
    session: Session
    finding: Finding | None


def verify_log(entries: Iterable[bytes], checkpoint: bytes, members: Members) -> LogReport:
    """Replay a whole log.

    1. The checkpoint is signed by the log key of the pinned member list.
    2. Entry 0 is that member list.
    3. Every entry obeys the rules; the first that does not is the finding.
    4. The tree over exactly these entries has the signed size and root.

    Returns:
        The report; it has a finding when step 2, 3 or 4 fails.

    Raises:
        VerificationError: the checkpoint itself does not stand.
    """
    signed = verify_checkpoint(checkpoint, members.log_origin, members.log_verifier)
    session = Session()
    tree = merkle.CompactRange()
    steps: list[Step] = []
    finding: Finding | None = None
    for index, entry in enumerate(entries):
        tree.append(merkle.leaf_hash(entry))
        if finding is None:
            finding = _replay_entry(session, index, entry, members, steps)
    if finding is None and (tree.size, tree.root()) != (signed.size, signed.root):
        finding = Finding(
            tree.size, f"the entries are not the {signed.size} that the checkpoint was signed for"
        )
    return LogReport(tree.size, tree.root(), tuple(steps), session, finding)


def _replay_entry(
    session: Session, index: int, entry: bytes, members: Members, steps: list[Step]
) -> Finding | None:
    if index == 0 and entry != members.envelope:
        return Finding(0, "entry 0 is another member list than the pinned one", "L-1")
    try:
        steps.append(session.replay(entry))
    except RuleViolation as error:
        return Finding(index, error.message, error.clause)
    except StayputError as error:
        return Finding(index, error.message)
    return None
