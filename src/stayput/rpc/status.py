"""The one table between our errors and gRPC statuses, both ways.

What crosses to another organisation is the name of the class, its constant public sentence, and for
a :class:`~stayput.errors.RuleViolation` the number of the clause.  Never the message: it can hold a
value, a path, a name.  The reader's side takes the sentence from its own table, not from the wire,
so a peer cannot put words into our mouth.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import grpc

from stayput.errors import (
    ConfigurationError,
    ContractViolation,
    DocumentError,
    InvalidInput,
    NotFound,
    NotYet,
    PermissionDenied,
    RuleViolation,
    RunFailure,
    ScenarioError,
    SqlError,
    StagingError,
    StayputError,
    Unavailable,
    VerificationError,
)

ERROR_KEY = "stayput-error"
CLAUSE_KEY = "stayput-clause"

_CLAUSE = re.compile(r"[A-Z]{1,2}-[0-9]{1,3}")

CODES: dict[type[StayputError], grpc.StatusCode] = {
    StayputError: grpc.StatusCode.INTERNAL,
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    DocumentError: grpc.StatusCode.INVALID_ARGUMENT,
    ScenarioError: grpc.StatusCode.INVALID_ARGUMENT,
    SqlError: grpc.StatusCode.INVALID_ARGUMENT,
    VerificationError: grpc.StatusCode.INVALID_ARGUMENT,
    RuleViolation: grpc.StatusCode.FAILED_PRECONDITION,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    NotYet: grpc.StatusCode.ABORTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    ContractViolation: grpc.StatusCode.FAILED_PRECONDITION,
    StagingError: grpc.StatusCode.FAILED_PRECONDITION,
    ConfigurationError: grpc.StatusCode.FAILED_PRECONDITION,
    RunFailure: grpc.StatusCode.FAILED_PRECONDITION,
}
"""Every class of :mod:`stayput.errors`; a test says so."""

_NAMES = {cls.__name__: cls for cls in CODES}

_HINTS: dict[type[StayputError], str] = {
    InvalidInput: "both sides should run the same version of stayput",
    DocumentError: "both sides should run the same version of stayput",
    VerificationError: "the coordinator's own log says which check failed",
    PermissionDenied: "check the role of this identity with `stayput members`",
    NotFound: "only parties of a scenario see it and its runs",
    NotYet: "try again later",
}


@dataclasses.dataclass(frozen=True)
class Status:
    """What goes over the wire when a call fails."""

    code: grpc.StatusCode
    sentence: str
    metadata: tuple[tuple[str, str], ...] = ()


FAILED_INSIDE = Status(grpc.StatusCode.INTERNAL, StayputError.public)
"""A defect of ours: nothing about it crosses."""

UNKNOWN_PEER = Status(
    grpc.StatusCode.UNAUTHENTICATED, "This certificate is no current member's of the consortium."
)

REPLACED_PEER = Status(
    grpc.StatusCode.UNAUTHENTICATED,
    "This certificate was replaced when the keys of its member were rotated.",
    ((ERROR_KEY, "Replaced"),),
)


def to_status(error: StayputError) -> Status:
    """The status of an error: constant sentence, class, clause."""
    cls = next(base for base in type(error).__mro__ if base in CODES)
    metadata = [(ERROR_KEY, cls.__name__)]
    if isinstance(error, RuleViolation) and _CLAUSE.fullmatch(error.clause):
        metadata.append((CLAUSE_KEY, error.clause))
    return Status(CODES[cls], cls.public, tuple(metadata))


def to_error(code: grpc.StatusCode, metadata: Iterable[tuple[str, str | bytes]]) -> StayputError:
    """The error behind a status, marked as a peer's word; its words are not looked at."""
    error = _meant(code, metadata)
    error.from_peer = True
    return error


def _meant(code: grpc.StatusCode, metadata: Iterable[tuple[str, str | bytes]]) -> StayputError:
    said = {key: value for key, value in metadata if isinstance(value, str)}
    if (code, said.get(ERROR_KEY)) == (REPLACED_PEER.code, REPLACED_PEER.metadata[0][1]):
        return PermissionDenied(
            "The keys of this identity were rotated: the coordinator takes the new ones only.",
            hint="if this party rotated them, `stayput rotate` finishes it here; if it did not, "
            "its signing key is in foreign hands: see docs/operating.md",
        )
    cls = _NAMES.get(said.get(ERROR_KEY, ""))
    if cls is None or CODES[cls] is not code:
        return _without_class(code)
    if cls is RuleViolation:
        clause = said.get(CLAUSE_KEY, "")
        clause = clause if _CLAUSE.fullmatch(clause) else ""
        hint = f"see clause {clause} in docs/protocol.md" if clause else ""
        return RuleViolation(cls.public, clause=clause, hint=hint)
    if cls is RunFailure:
        return RunFailure(cls.public, reason="")
    return cls(cls.public, hint=_HINTS.get(cls, ""))


def _without_class(code: grpc.StatusCode) -> StayputError:
    """Statuses that gRPC itself, or the check of the caller, made."""
    match code:
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return Unavailable("The coordinator cannot be reached.", hint=UNREACHABLE_HINT)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unavailable("The coordinator did not answer in time.", hint="try again")
        case grpc.StatusCode.UNAUTHENTICATED:
            return PermissionDenied(
                "The coordinator does not accept this identity's certificate.",
                hint="it is in another member list, or out of date: compare with the coordinator",
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return InvalidInput("A message is larger than the wire takes.")
        case grpc.StatusCode.UNIMPLEMENTED:
            return ConfigurationError(
                "The coordinator does not know this call.",
                hint="both sides should run the same version of stayput",
            )
        case _:
            return StayputError(
                "The coordinator failed.", hint="its own log says why: ask its operator"
            )


UNREACHABLE_HINT = (
    "is the coordinator running, is the address right, and does its member list have this "
    "identity's certificate?"
)
