"""Audit is replay: verify a whole log from bytes alone.

No network, no clock, nobody's server: a member list that the reader pinned beforehand, and the
bytes.  :func:`verify_log` feeds every entry to the same state machine that the parties ran and
reports the first one that it would have refused.  :class:`Replay` goes on behind that one: the
rules are silent then, but whose statement each entry is can still be said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from stayput.audit.report import Finding, Severity
from stayput.errors import RuleViolation, StayputError
from stayput.membership import Members
from stayput.session import Admitted, Claim, Session
from stayput.steps import Step
from stayput.tlog import merkle
from stayput.tlog.checkpoint import verify_checkpoint

MAX_FINDINGS = 1000
"""Findings that are kept of one replay; beyond, they are only counted."""


class Replay:
    """A log as it is fed to the rules, entry by entry.

    Attributes:
        session: the state before the first entry that a rule forbids.
        stands: no entry was refused yet.
        findings: entries that are nobody's statement, and the first that a rule forbids.
    """

    def __init__(self) -> None:
        self.session = Session()
        self.stands = True
        self.findings: list[Finding] = []
        self.unlisted = 0
        self._allowed = True

    def take(self, index: int, entry: bytes, claim: Claim | None = None) -> Admitted | None:
        """Take the next entry.

        Args:
            claim: what :func:`stayput.session.read_claim` made of exactly this entry, if known.

        Returns:
            Whose step it is, unless it is nobody's; whether the rules allow it or not.
        """
        try:
            attributed = self.session.attribute(entry, claim, index=index)
        except StayputError as error:
            self.refuse(index, error)
            return None
        if self._allowed:
            try:
                self.session.apply(self.session.judge(attributed))
            except StayputError as error:
                self._allowed = False
                self.refuse(index, error)
        return attributed

    def refuse(self, index: int, error: StayputError) -> None:
        """Note that an entry does not stand."""
        self.stands = False
        if len(self.findings) == MAX_FINDINGS:
            self.unlisted += 1
            return
        self.findings.append(_finding(index, error))


def _finding(index: int, error: StayputError) -> Finding:
    clause = error.clause if isinstance(error, RuleViolation) else ""
    return Finding(Severity.VIOLATION, error.message, index, clause)


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
    replay = Replay()
    tree = merkle.CompactRange()
    steps: list[Step] = []
    for index, entry in enumerate(entries):
        tree.append(merkle.leaf_hash(entry))
        if index == 0 and entry != members.envelope:
            other = "entry 0 is another member list than the pinned one"
            replay.refuse(0, RuleViolation(other, clause="L-1"))
        if replay.stands:
            taken = replay.take(index, entry)
            if taken is not None and replay.stands:
                steps.append(taken.step)
    finding = replay.findings[0] if replay.findings else None
    if finding is None and (tree.size, tree.root()) != (signed.size, signed.root):
        finding = Finding(
            Severity.VIOLATION,
            f"the entries are not the {signed.size} that the checkpoint was signed for",
            tree.size,
        )
    return LogReport(tree.size, tree.root(), tuple(steps), replay.session, finding)
