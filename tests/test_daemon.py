"""What ends a daemon: its own findings, never a peer's word."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from stayput import daemon
from stayput.errors import (
    ConfigurationError,
    NotFound,
    RuleViolation,
    StayputError,
    Unavailable,
    VerificationError,
)
from stayput.rpc.status import CODES, FAILED_INSIDE, to_error, to_status


class Over(BaseException):
    """The test has seen enough."""


def at_work(
    monkeypatch: pytest.MonkeyPatch, home: Path, errors: list[StayputError | None]
) -> tuple[list[str], list[float]]:
    """What a daemon says and how long it pauses while its work meets these errors, then ends."""
    said: list[str] = []
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    left = iter(errors)

    def step(*, wait_ms: int) -> bool:
        assert wait_ms > 0
        try:
            error = next(left)
        except StopIteration:
            raise Over from None
        if error is not None:
            raise error
        return True

    with pytest.raises(Over):
        daemon._work(step, home, said.append)
    return said, pauses


def over_the_wire(error: StayputError) -> StayputError:
    status = to_status(error)
    return to_error(status.code, status.metadata)


@pytest.mark.parametrize("cls", [one for one in CODES if one not in (RuleViolation,)])
def test_no_word_of_a_peer_ends_a_daemon(
    cls: type[StayputError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever a coordinator answers to a request, the daemon asks on."""
    error = to_error(CODES[cls], (("stayput-error", cls.__name__),))
    assert type(error) is cls
    said, pauses = at_work(monkeypatch, tmp_path, [error, error, None, error])
    assert len(said) == 3, "once each time it begins, and that it goes on"
    assert said[1] == "going on"
    assert len(pauses) == 3
    assert all(0 < pause <= daemon.MAX_BACKOFF for pause in pauses)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_no_status_ends_a_daemon(
    code: grpc.StatusCode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also those that gRPC makes by itself: an older coordinator does not know a call."""
    said, _ = at_work(monkeypatch, tmp_path, [to_error(code, ()), None])
    assert said[-1] == "going on"


@pytest.mark.parametrize(
    "error",
    [
        VerificationError("the coordinator signed a log that does not extend the one we hold"),
        ConfigurationError("the state file journal.db is damaged"),
    ],
)
def test_what_it_has_found_out_itself_ends_it(
    error: StayputError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def step(*, wait_ms: int) -> bool:
        raise error

    with pytest.raises(type(error)) as caught:
        daemon._work(step, tmp_path, lambda words: None)
    assert caught.value is error


def test_what_a_peer_said_is_marked_as_its_word() -> None:
    assert over_the_wire(VerificationError("secret")).from_peer
    assert to_error(FAILED_INSIDE.code, ()).from_peer
    assert not VerificationError("ours").from_peer
    marked = over_the_wire(VerificationError("secret"))
    assert not to_status(marked).metadata[2:]
    assert "secret" not in marked.message + marked.hint


@pytest.mark.parametrize(
    "make", [lambda: Unavailable("away"), lambda: NotFound("gone"), lambda: StayputError("odd")]
)
def test_the_same_trouble_is_said_once(
    make: Callable[[], StayputError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said, _ = at_work(monkeypatch, tmp_path, [make() for _ in range(40)])
    assert len(said) == 1
