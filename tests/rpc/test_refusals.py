"""What crosses when a call fails: class, constant sentence and clause, never the message."""

from __future__ import annotations

import inspect
import logging

import grpc
import pytest
from rpc.loopback import Running

from stayput import errors
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
from stayput.rpc import status

CANARY = "4929-1234-canary"

RAISED: list[Exception] = [
    StayputError(CANARY, hint=CANARY),
    InvalidInput(CANARY, hint=CANARY),
    DocumentError(CANARY),
    ScenarioError(CANARY, line=3, where=CANARY),
    SqlError(CANARY, construct=CANARY),
    VerificationError(CANARY),
    RuleViolation(CANARY, clause="R-3", hint=CANARY),
    PermissionDenied(CANARY),
    NotFound(CANARY),
    NotYet(CANARY),
    Unavailable(CANARY),
    ContractViolation(CANARY),
    StagingError(CANARY),
    ConfigurationError(CANARY),
    RunFailure(CANARY, reason=CANARY),
]


def _classes() -> set[type[StayputError]]:
    return {
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, StayputError)
    }


def test_the_table_has_every_class() -> None:
    assert set(status.CODES) == _classes() == {type(error) for error in RAISED}


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_the_same_class_comes_out_with_the_public_sentence(
    server: Running, error: StayputError
) -> None:
    server.core.failure = error
    with server.link("north") as link, pytest.raises(StayputError) as refused:
        link.fail_run(b"step")
    assert type(refused.value) is type(error)
    assert refused.value.message == type(error).public
    assert CANARY not in repr(vars(refused.value))
    if isinstance(refused.value, RuleViolation):
        assert refused.value.clause == "R-3"
        assert "R-3" in refused.value.hint


FAILED: list[Exception] = [*RAISED, ValueError(CANARY), KeyError(CANARY), AssertionError(CANARY)]


@pytest.mark.parametrize("error", FAILED, ids=lambda error: type(error).__name__)
def test_nothing_of_the_message_crosses(
    server: Running, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Looked at below our client: status, text, metadata, and gRPC's own words."""
    server.core.failure = error
    with server.link("north") as link:
        channel = link._line._channel  # type: ignore[attr-defined]
        call = channel.unary_unary("/stayput.v1.RunService/FailRun", bytes, bytes)
        with caplog.at_level(logging.INFO), pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=5)
    crossed = refused.value
    everything = repr(
        (
            crossed.code(),
            crossed.details(),
            crossed.initial_metadata(),
            crossed.trailing_metadata(),
            crossed.debug_error_string(),
        )
    )
    assert CANARY not in everything
    assert CANARY in caplog.text  # it stays here, where somebody can act on it


def test_a_defect_is_only_said_to_be_one(server: Running) -> None:
    server.core.failure = ValueError(CANARY)
    with server.link("north") as link, pytest.raises(StayputError) as refused:
        link.fail_run(b"step")
    assert type(refused.value) is StayputError
    assert refused.value.message == "The coordinator failed."
    assert "operator" in refused.value.hint


@pytest.mark.parametrize("clause", ["R-3\n", "r-3", "", "R-", "R-3 " + CANARY, "\u0661-1"])
def test_a_strange_clause_does_not_cross(clause: str) -> None:
    made = status.to_status(RuleViolation("no", clause=clause))
    assert made.metadata == ((status.ERROR_KEY, "RuleViolation"),)
    read = status.to_error(made.code, [*made.metadata, (status.CLAUSE_KEY, clause)])
    assert isinstance(read, RuleViolation)
    assert read.clause == ""


def test_a_subclass_crosses_as_its_parent() -> None:
    class Particular(NotFound):
        public = CANARY

    assert status.to_status(Particular("no")) == status.to_status(NotFound("no"))


@pytest.mark.parametrize(
    ("code", "named", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "NotFound", NotFound),
        (grpc.StatusCode.NOT_FOUND, "PermissionDenied", StayputError),  # code and class disagree
        (grpc.StatusCode.NOT_FOUND, "SystemExit", StayputError),
        (grpc.StatusCode.NOT_FOUND, "", StayputError),
        (grpc.StatusCode.UNAVAILABLE, "", Unavailable),
        (grpc.StatusCode.CANCELLED, "", Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", Unavailable),
        (grpc.StatusCode.UNAUTHENTICATED, "", PermissionDenied),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "", InvalidInput),
        (grpc.StatusCode.UNIMPLEMENTED, "", ConfigurationError),
        (grpc.StatusCode.UNKNOWN, "", StayputError),
        (grpc.StatusCode.DATA_LOSS, "", StayputError),
    ],
)
def test_what_a_peer_may_make_us_raise(
    code: grpc.StatusCode, named: str, expected: type[StayputError]
) -> None:
    error = status.to_error(code, [(status.ERROR_KEY, named), ("other", b"\xff")])
    assert type(error) is expected
    assert error.message


def test_sentences_are_constant_and_for_people() -> None:
    for cls in _classes():
        assert cls.public.endswith(".")
        assert "{" not in cls.public
