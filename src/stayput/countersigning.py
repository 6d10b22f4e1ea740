"""Countersigning: what persons sign, with keys of their own, before a member's step counts.

A member may enrol *reviewers* on its card: public keys of persons, and how many of them (its
*quorum*) have to sign.  The step itself is signed by the member, as always; the persons' statements
ride in it, each an envelope, verbatim.  So everybody who replays the log verifies them, and sees
keys, never names.

What is signed: the approval of exactly one report (:class:`ReportApproved`), a decision about
exactly one held result (:class:`ResultExamination`), a card that changes who the reviewers are
(:class:`CardApproved`).  Each names the member for which it speaks, so none counts for another.

Not here: which step needs them, and how many (:mod:`stayput.session`); files in which keys and
statements travel (:mod:`stayput.reviewers`).  Pure.  What leaks: which of a member's reviewers have
signed, as a key.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import TypeVar

from stayput.crypto import signing
from stayput.documents import document
from stayput.errors import StayputError, VerificationError
from stayput.scenario import SLUG
from stayput.steps import DIGEST_BYTES, ID_BYTES, Member, Waiver

D = TypeVar("D")


class Examination(enum.Enum):
    """What a person decides about a held result."""

    PASS = 1
    FAIL = 2


class ExaminationReason(enum.Enum):
    """Why a held result is not released.

    A code that everybody reads in the log, the data user among them: so there is one for all that
    speaks of data.  Which cell it was stays with the checker's own people.
    """

    DISCLOSIVE = 1
    OUTSIDE_PURPOSE = 2
    IMPLAUSIBLE = 3
    PROCEDURE = 4


@document("stayput.v1.ReportApproved")
@dataclasses.dataclass(frozen=True)
class ReportApproved:
    """By a reviewer: the scenario may be approved for ``member``; this report was read."""

    scenario: bytes
    member: str
    report: bytes
    waivers: tuple[Waiver, ...] = ()

    def __post_init__(self) -> None:
        _require_member(self.member)
        _require_length(self.scenario, DIGEST_BYTES)
        _require_length(self.report, DIGEST_BYTES)


@document("stayput.v1.ResultExamination")
@dataclasses.dataclass(frozen=True)
class ResultExamination:
    """By a reviewer of the checker: what becomes of the held result with this commitment."""

    run: bytes
    member: str
    result: bytes
    decision: Examination
    reason: ExaminationReason | None = None

    def __post_init__(self) -> None:
        _require_member(self.member)
        _require_length(self.run, ID_BYTES)
        _require_length(self.result, DIGEST_BYTES)
        if (self.reason is None) != (self.decision is Examination.PASS):
            raise ValueError("a failed result, and only that, has a reason")


@document("stayput.v1.CardApproved")
@dataclasses.dataclass(frozen=True)
class CardApproved:
    """By a present reviewer of ``member``: its next card, which changes the reviewers."""

    member: str
    card: bytes

    def __post_init__(self) -> None:
        _require_member(self.member)
        _require_length(self.card, DIGEST_BYTES)


def countersign(statement: object, key: signing.SigningKey) -> bytes:
    """A person's signed statement, an envelope."""
    return signing.sign(statement, key)


def in_order(envelopes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Statements in the one order in which a step carries them: by key id.

    Raises:
        DocumentError: one is no envelope.
    """
    return tuple(sorted(envelopes, key=lambda data: signing.parse_envelope(data).key_id))


def verify_countersigned(envelopes: Sequence[bytes], said: object, member: Member) -> int:
    """How many of a member's reviewers have signed exactly ``said``.

    Each statement holds under another enrolled key, in order of key id, and says nothing else: one
    person that signs twice counts once, and a statement about another report counts for nothing.

    Raises:
        VerificationError: a stranger's, a second one of the same key, another statement, or a
            signature that does not hold.
    """
    before = ""
    for envelope in envelopes:
        key = signer_among(envelope, member.reviewers)
        if verify_statement(envelope, type(said), key) != said:
            raise VerificationError("a reviewer has signed something else")
        if signing.fingerprint(key) <= before:
            raise VerificationError("each reviewer signs once, in order of key id")
        before = signing.fingerprint(key)
    return len(envelopes)


def signer_among(envelope: bytes, keys: Sequence[bytes]) -> bytes:
    """The key of ``keys`` that a statement claims.

    Raises:
        VerificationError: it is no statement of theirs.
    """
    try:
        claimed = signing.parse_envelope(envelope).key_id
    except StayputError as error:
        raise VerificationError(f"not a reviewer's statement: {error.message}") from None
    for key in keys:
        if signing.fingerprint(key) == claimed:
            return key
    raise VerificationError("signed by nobody who is enrolled as reviewer")


def verify_statement(envelope: bytes, cls: type[D], key: bytes) -> D:
    """A statement that ``key`` signed.

    Raises:
        VerificationError: another kind of document, or a signature that does not hold.
    """
    try:
        return signing.verify(envelope, cls, key).doc
    except StayputError as error:
        raise VerificationError(f"not a reviewer's statement: {error.message}") from None


def _require_member(name: str) -> None:
    if not SLUG.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a party")


def _require_length(value: bytes, size: int) -> None:
    if len(value) != size:
        raise ValueError(f"{size} bytes are needed here, not {len(value)}")
