"""The report of an audit: what an auditor reads, as plain frozen values.

Made by the replay of a whole log (:mod:`stayput.audit.replay`); shown by the command line, by the
HTML page and in the research-object crate, all from these same values.

Not here: how anything was verified.  Invariants: a report *passes* exactly when no finding is a
violation; every index is that of an entry in the log; ids and digests are lower-case hexadecimal;
times are Unix seconds as the signers wrote them (only a cosigner's time is a third party's word).
What leaks: what the log shows, names of parties and times among it; no counts, no results.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any


class Severity(enum.Enum):
    """A violation condemns the log; a notice is for a person to read."""

    VIOLATION = "violation"
    NOTICE = "notice"


class Verdict(enum.Enum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not stand, or that a person should know.

    ``entry`` is the index of the log entry it is about, ``None`` when it is about the log as a
    whole; ``clause`` names the rule in ``docs/protocol.md``; ``member`` the file of the pack.
    """

    severity: Severity
    message: str
    entry: int | None = None
    clause: str = ""
    member: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        plain: dict[str, Any] = _plain(self)
        return plain


@dataclasses.dataclass(frozen=True, slots=True)
class CosignedAt:
    """One cosigner's line on the final checkpoint. ``name`` is the key name in the policy."""

    name: str
    time: int


@dataclasses.dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log this is: compare these with other members.

    ``fingerprint`` is that of the member list (entry 0); ``started`` and ``last`` are the times in
    the first and the last entry that carries one.
    """

    origin: str
    size: int
    root: str
    fingerprint: str
    started: int
    last: int
    cosigned: tuple[CosignedAt, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Party:
    """A member of the consortium; ``key`` is the fingerprint of its signing key at the end."""

    name: str
    role: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A line of the timeline.

    ``kind`` is the name of the step class, such as ``ScenarioSealed``.  Decisions and outcomes are
    in the timeline; receipts, contributions and sums stand with their run.
    """

    entry: int
    time: int
    actor: str
    kind: str
    sentence: str
    scenario: str = ""
    run: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """Who did something, when, as which entry. ``reason`` is a code, lower case, or empty."""

    entry: int
    time: int
    party: str
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ReceiptAccount:
    """One deletion receipt: what a holder's node attests about one staging, or the coordinator
    about the encrypted rows of a join (``method`` is ``encrypted_rows``, ``staging`` empty).

    ``outcome`` is ``destroyed`` or ``failed``; ``passed``, ``failed`` and ``not_covered`` are codes
    in lower case.
    """

    entry: int
    run: str
    holder: str
    staging: str
    method: str
    outcome: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    not_covered: tuple[str, ...]
    started: int
    ended: int

    @property
    def seconds(self) -> int:
        """How long rows were staged."""
        return max(0, self.ended - self.started)


@dataclasses.dataclass(frozen=True, slots=True)
class ContributionAccount:
    """One holder's part of one round. ``round`` is ``counts`` or ``values``."""

    entry: int
    time: int
    holder: str
    round: str
    ciphertexts: str


@dataclasses.dataclass(frozen=True, slots=True)
class ExchangeAccount:
    """A step of a run over a join. ``kind`` is ``set_blinded``, ``rows_encrypted``,
    ``rows_handed_over`` or ``sums_returned``."""

    entry: int
    time: int
    party: str
    kind: str


@dataclasses.dataclass(frozen=True, slots=True)
class SumAccount:
    """The logged sum of one round."""

    entry: int
    time: int
    round: str
    sum: str


@dataclasses.dataclass(frozen=True, slots=True)
class RunAccount:
    """All that the log says about one run.

    ``outcome`` is ``released``, ``failed`` or ``open``; ``reason`` is a code when it failed;
    ``ended`` is the act that ended it.  ``result`` is the digest of the released document, which
    carries a nonce; ``cosigned_size`` the size of the checkpoint in which the release is proven and
    that every participating holder has cosigned with both keys, 0 when there is none.

    Of a run over a join (``join``), ``exchanges`` are the steps before its counts, and ``erased``
    is the coordinator's receipt.
    """

    run: str
    scenario: str
    order: str
    ordered: Act
    participants: tuple[str, ...]
    rounds: int
    receipts: tuple[ReceiptAccount, ...]
    contributions: tuple[ContributionAccount, ...]
    sums: tuple[SumAccount, ...]
    verdict: Act | None
    outcome: str
    ended: Act | None
    reason: str = ""
    result: str = ""
    cosigned_size: int = 0
    join: bool = False
    exchanges: tuple[ExchangeAccount, ...] = ()
    erased: ReceiptAccount | None = None

    @property
    def every_receipt(self) -> tuple[ReceiptAccount, ...]:
        """Those of the holders, and of a run over a join the coordinator's."""
        return self.receipts if self.erased is None else (*self.receipts, self.erased)

    @property
    def receipts_due(self) -> int:
        """How many deletion receipts the run needs for a release."""
        return len(self.participants) + self.join


@dataclasses.dataclass(frozen=True, slots=True)
class ScenarioAccount:
    """All that the log says about one scenario; its text is not in the log.

    ``phase`` is ``proposed``, ``refused``, ``sealed``, ``revoked`` or ``used up``.
    """

    scenario: str
    proposed: Act
    checker: str
    holders: tuple[str, ...]
    min_holders: int
    runs_allowed: int
    runs_ordered: int
    valid_until: int
    approvals: tuple[Act, ...]
    refusals: tuple[Act, ...]
    revocations: tuple[Act, ...]
    sealed: Act | None
    phase: str


@dataclasses.dataclass(frozen=True, slots=True)
class Metering:
    """What one holder or data user did: the base of a settlement.

    ``ordered`` is for data users, ``took_part``, ``receipts``, ``staging_seconds`` and
    ``contributions`` are for holders; ``released`` and ``failed`` count the runs that a party
    ordered or took part in.
    """

    party: str
    role: str
    ordered: int = 0
    took_part: int = 0
    released: int = 0
    failed: int = 0
    receipts: int = 0
    staging_seconds: int = 0
    contributions: int = 0


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """The outcome of an audit. ``receipts`` of all runs: :attr:`receipts`."""

    log: LogIdentity
    findings: tuple[Finding, ...]
    parties: tuple[Party, ...]
    timeline: tuple[Event, ...]
    scenarios: tuple[ScenarioAccount, ...]
    runs: tuple[RunAccount, ...]
    metering: tuple[Metering, ...]

    @property
    def verdict(self) -> Verdict:
        """Pass exactly when no finding is a violation."""
        failed = any(finding.severity is Severity.VIOLATION for finding in self.findings)
        return Verdict.FAIL if failed else Verdict.PASS

    @property
    def receipts(self) -> tuple[ReceiptAccount, ...]:
        """Every deletion receipt, in the order of the log."""
        found = [receipt for run in self.runs for receipt in run.every_receipt]
        return tuple(sorted(found, key=lambda receipt: receipt.entry))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values: objects by field name, enums by value."""
        plain: dict[str, Any] = _plain(self)
        return {"verdict": self.verdict.value, **plain}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value
