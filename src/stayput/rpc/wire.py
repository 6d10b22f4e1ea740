"""The wire record: what this process sent and received, counted where the bytes are.

Counted are the serialised messages of every call of the four services, both sides, under a kind in
words ("signed step", "encrypted part").  Not counted: headers, TLS, health and reflection calls.
An *observer* may look at the messages of its own process (a demonstration shows a party what it
itself saw; a test searches them for planted values).  The record itself keeps numbers only.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable


class Direction(enum.Enum):
    SENT = "sent"
    RECEIVED = "received"


WireObserver = Callable[[str, Direction, bytes], None]
"""Is shown method, direction and the serialised message, on the thread that carries the call."""

_STEP = "signed step"
_INDEX = "log index"
_DIGEST = "digest"
_PIECE = "blinded identifiers, encrypted rows or masked sums"

KINDS: dict[str, tuple[str, str]] = {
    "LogService/ReadLog": ("log position", "log entries"),
    "LogService/ReadTile": ("file name", "part of the log"),
    "LogService/RotateKeys": (_STEP, _INDEX),
    "LogService/SubmitCosignatures": ("cosignatures", "acknowledgement"),
    "ScenarioService/ProposeScenario": (_STEP + " and scenario", _INDEX),
    "ScenarioService/GetScenario": (_DIGEST, "scenario"),
    "ScenarioService/ReviewScenario": (_STEP, _INDEX),
    "ScenarioService/RevokeScenario": (_STEP, _INDEX),
    "RunService/OrderRun": (_STEP + " and run order", _INDEX),
    "RunService/GetRunOrder": ("run id", "run order"),
    "RunService/SubmitReceipt": (_STEP, _INDEX),
    "RunService/SubmitContribution": (_STEP + " and encrypted part", _INDEX),
    "RunService/GetContribution": ("run id", "encrypted part"),
    "RunService/SubmitVerdict": (_STEP + " and cell verdict", _INDEX),
    "RunService/GetVerdict": ("run id", "cell verdict"),
    "RunService/SubmitRelease": (_STEP, _INDEX),
    "RunService/DeliverResult": ("sealed result", "acknowledgement"),
    "RunService/FetchResult": ("run id", "sealed result"),
    "RunService/FailRun": (_STEP, _INDEX),
    "RunService/HoldResult": (_STEP, _INDEX),
    "RunService/ExamineResult": (_STEP, _INDEX),
    "ScenarioService/AuthoriseScenario": (_STEP, _INDEX),
    "JoinService/PutPiece": (_PIECE, "acknowledgement"),
    "JoinService/CountPieces": ("run id", "number"),
    "JoinService/GetPiece": ("run id", _PIECE),
    "JoinService/SubmitJoinStep": (_STEP, _INDEX),
}
"""What request and response of each method are, in words."""


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Messages of one method in one direction: how many, how many bytes in all."""

    method: str
    direction: Direction
    kind: str
    messages: int
    bytes: int

    def to_json(self) -> dict[str, str | int]:
        """For a file or a terminal."""
        return {**dataclasses.asdict(self), "direction": self.direction.value}


class WireRecord:
    """Counters of one process, or of one link; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Direction, str], tuple[int, int]] = {}
        self._observers: list[WireObserver] = []

    def observe(self, observer: WireObserver) -> None:
        """Show every message from now on to ``observer``."""
        with self._lock:
            self._observers.append(observer)

    def unobserve(self, observer: WireObserver) -> None:
        """Show it no more."""
        with self._lock:
            self._observers.remove(observer)

    def request(self, method: str, direction: Direction, data: bytes) -> None:
        """Note a request message."""
        self._note(method, direction, KINDS[method][0], data)

    def response(self, method: str, direction: Direction, data: bytes) -> None:
        """Note a response message."""
        self._note(method, direction, KINDS[method][1], data)

    def _note(self, method: str, direction: Direction, kind: str, data: bytes) -> None:
        with self._lock:
            messages, size = self._counts.get((method, direction, kind), (0, 0))
            self._counts[method, direction, kind] = (messages + 1, size + len(data))
            observers = tuple(self._observers)
        for observer in observers:
            observer(method, direction, data)

    def traffic(self) -> tuple[Traffic, ...]:
        """The counters, in order of method."""
        with self._lock:
            counts = dict(self._counts)
        return tuple(
            Traffic(method, direction, kind, messages, size)
            for (method, direction, kind), (messages, size) in sorted(
                counts.items(), key=lambda item: (item[0][0], item[0][1].value)
            )
        )


PROCESS = WireRecord()
"""The record of this process; links and servers count here unless they are given another."""


def snapshot() -> list[dict[str, str | int]]:
    """The counters of this process, ready for JSON."""
    return [traffic.to_json() for traffic in PROCESS.traffic()]
