"""What parent and staging process say to each other during a join.

The beginning is as for a statement (:mod:`stayput.staging.messages`): READY, one :class:`JoinJob`,
:class:`~stayput.staging.messages.Confined`.  Then the parent asks, one :class:`Call` after the
other, each followed by its data in pieces; the process answers each with any number of progress
reports and one last word (:class:`Said`), followed by the answer's data in pieces.  After
``failed`` the process ends; after ``refused`` it can be asked on.

The plan of a run crosses the pipe as a document.  What the process says is bounded, and is codes,
numbers of work done, and what may leave a holder anyway: blinded identifiers, a public key, row
ciphertexts, masked sums, and the holder's own shares.
"""

from __future__ import annotations

import dataclasses
import enum

from stayput import documents
from stayput.documents import Int64
from stayput.errors import (
    PermissionDenied,
    RuleViolation,
    StayputError,
    VerificationError,
)
from stayput.scenario import IdentifierRule
from stayput.staging.messages import Failed, Job
from stayput.vertical.plan import Joined, JoinPlan, Pair, Source

SHARE_WIDTH = 160
"""Bits of a share: the largest width there is; modulo 2^w a share is one for any smaller width w,
since 2^w divides 2^160."""

SHARE_BYTES = SHARE_WIDTH // 8


@dataclasses.dataclass(frozen=True)
class PlannedTable:
    """A :class:`~stayput.vertical.plan.Joined`; bounds big-endian, since they leave 64 bits."""

    holder: str
    table: str
    rule: IdentifierRule
    max_rows: Int64
    pad_to: Int64
    groups: int
    bounds: tuple[bytes, ...]


@documents.document("stayput.staging.Plan")
@dataclasses.dataclass(frozen=True)
class PlanMessage:
    """A :class:`~stayput.vertical.plan.JoinPlan`."""

    tables: tuple[PlannedTable, ...]
    key_bits: int
    cells: tuple[tuple[int, ...], ...]
    pairs: tuple[Pair, ...]
    sources: tuple[Source, ...]
    sum_bits: tuple[int, ...]

    @classmethod
    def of(cls, plan: JoinPlan) -> PlanMessage:
        """The message with this plan."""
        tables = tuple(
            PlannedTable(
                table.holder,
                table.table,
                table.rule,
                table.max_rows,
                table.pad_to,
                table.groups,
                tuple(_to_bytes(bound) for bound in table.bounds),
            )
            for table in plan.tables
        )
        return cls(tables, plan.key_bits, plan.cells, plan.pairs, plan.sources, plan.sum_bits)

    def plan(self) -> JoinPlan:
        """The plan in this message."""
        tables = tuple(
            Joined(
                table.holder,
                table.table,
                table.rule,
                table.max_rows,
                table.pad_to,
                table.groups,
                tuple(int.from_bytes(bound, "big") for bound in table.bounds),
            )
            for table in self.tables
        )
        return JoinPlan(tables, self.key_bits, self.cells, self.pairs, self.sources, self.sum_bits)


def _to_bytes(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8), "big")


@documents.document("stayput.staging.JoinJob")
@dataclasses.dataclass(frozen=True)
class JoinJob:
    """What a process that lives for a join is to do: ``job`` says how it reads its rows."""

    job: Job
    run: bytes
    scenario: bytes
    me: str
    plan: PlanMessage


class Method(enum.Enum):
    """What the process can be asked; see :class:`stayput.staging.joins.JoinStaging`."""

    FIRST = 1
    FURTHER = 2
    RUN_KEY = 3
    ENCRYPT = 4
    COMBINE = 5
    FINISH = 6
    OPEN = 7
    SHARES = 8


@documents.document("stayput.staging.Call")
@dataclasses.dataclass(frozen=True)
class Call:
    """One question; ``size`` bytes of data follow.

    ``run``, ``owner``, ``raised_by`` and ``signed`` are of a blinded set that is to be raised.
    """

    method: Method
    pair: int = 0
    chunk: int = 0
    modulus: bytes = b""
    run: bytes = b""
    owner: str = ""
    raised_by: tuple[str, ...] = ()
    signed: bytes = b""
    size: Int64 = 0


class Refusal(enum.Enum):
    """Why the process does not do what it was asked, and stays as it was."""

    NOT_VERIFIED = 1  # bytes of another party do not hold
    FOREIGN = 2  # of another run or way, or not this holder's part
    NOT_NOW = 3  # out of order, or a second time


@dataclasses.dataclass(frozen=True)
class Progressed:
    """Work done, of all of it."""

    done: Int64
    total: Int64


@documents.document("stayput.staging.Said")
@dataclasses.dataclass(frozen=True)
class Said:
    """What the process says to a call: one of the four. ``answer``: bytes of data that follow."""

    answer: Int64 | None = None
    progress: Progressed | None = None
    refused: Refusal | None = None
    failed: Failed | None = None

    def __post_init__(self) -> None:
        said = (self.answer, self.progress, self.refused, self.failed)
        if sum(one is not None for one in said) != 1:
            raise ValueError("one word at a time")


def refusal(method: Method, why: Refusal) -> StayputError:
    """A refusal as the error that it is, in constant words."""
    match why:
        case Refusal.NOT_VERIFIED:
            return VerificationError(_NOT_VERIFIED.get(method, "what came does not verify"))
        case Refusal.FOREIGN:
            return PermissionDenied(
                "the blinded set belongs to another run, or is not with this holder now"
                if method is Method.FURTHER
                else "this holder has another part in this pair, or none"
            )
        case Refusal.NOT_NOW:
            sentence, clause = _NOT_NOW.get(method, ("not now", "J-3"))
            return RuleViolation(sentence, clause=clause)


_NOT_VERIFIED = {
    Method.FURTHER: "the blinded set is not the one in the log, not as long as its table allows, "
    "or has something in it that is no point",
    Method.COMBINE: "what was handed over is not the ciphertexts of this holder's rows, under a "
    "run key of this scenario",
    Method.FINISH: "the run key is not the one whose rows were combined",
    Method.OPEN: "what came back is not the sums of this pair",
}

_NOT_NOW = {
    Method.FIRST: ("a holder blinds its identifiers once, before all else", "J-3"),
    Method.FURTHER: ("of each owner one set is raised, and the own one was sent before", "J-3"),
    Method.ENCRYPT: ("rows are encrypted chunk after chunk, once", "J-6"),
    Method.COMBINE: ("rows are combined chunk after chunk, once", "J-9"),
    Method.FINISH: ("sums are finished once, after the last chunk", "J-9"),
    Method.OPEN: ("what comes back is opened once, after the last row was encrypted", "J-10"),
    Method.SHARES: ("shares are made of what was combined and opened, all of it", "J-10"),
}
