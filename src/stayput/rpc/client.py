"""The link over the network: what a node, checker, user or auditor asks of the coordinator.

Implements :class:`stayput.link.CoordinatorLink`.  Every call is idempotent, so a call whose answer
was lost is simply made again: only when the coordinator cannot be reached, with growing, jittered
pauses, up to a total.  A refusal is never repeated.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from stayput.errors import ConfigurationError, DocumentError, Unavailable, VerificationError
from stayput.identity import Identity, verify_membership
from stayput.link import Item, LogPage
from stayput.membership import Members, parse_certificate, require_in_date
from stayput.rpc import wire
from stayput.rpc.tls import require_tls13
from stayput.steps import Round
from stayput.v1 import services_pb2 as pb

CALL_SECONDS = 30.0
"""Deadline of a call that carries documents."""

TRANSFER_SECONDS = 180.0
"""Deadline of a call that carries ciphertexts: 64 MB over a line of 4 Mbit/s."""

PATIENCE_SECONDS = 5.0
"""How long calls are repeated while the coordinator cannot be reached."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

M = TypeVar("M", bound=Message)


class _Line(Protocol):
    """What is needed of :class:`stayput.rpc.channel.Channel`."""

    def call(self, method: str, request: bytes, timeout: float) -> bytes: ...
    def close(self) -> None: ...


class GrpcLink:
    """One party's link to its coordinator. Connects when first used; close it, or use ``with``.

    Args:
        identity: who calls.
        members: the pinned member list, which says whom to talk to.
        address: ``host:port`` if another than the one given on joining.
        record: where to count what crosses.
        patience: seconds for which a call is repeated while the coordinator cannot be reached.
        clock: Unix seconds, to judge certificates.

    Raises:
        ConfigurationError: no address, this identity is not in the list, a certificate is out of
            date, or TLS 1.3 alone cannot be had any more in this process.
    """

    def __init__(
        self,
        identity: Identity,
        members: Members,
        *,
        address: str = "",
        record: wire.WireRecord = wire.PROCESS,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._members = members
        self._own = parse_certificate(identity.certificate, identity.name)
        self._clock = clock
        self._patience = patience
        self._closed = threading.Event()
        address = address or identity.address
        if not address:
            raise ConfigurationError(
                f"{identity.name} does not know where the coordinator listens",
                hint="get members.json from the coordinator, then `stayput join`",
            )
        verify_membership(identity, members)
        self._require_in_date()
        require_tls13()  # before gRPC is imported: it reads its cipher setting once
        from stayput.rpc.channel import Channel  # noqa: PLC0415

        self._line: _Line = Channel(address, identity, members, record)

    def __enter__(self) -> GrpcLink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection up; a call under way or waiting to be repeated ends."""
        self._closed.set()
        self._line.close()

    # --- the link ---------------------------------------------------------------------------------

    def read_log(self, start: int, wait_ms: int, known: bytes = b"") -> LogPage:
        request = pb.ReadLogRequest(start=start, wait_ms=wait_ms, known=known)
        timeout = CALL_SECONDS + wait_ms / 1000
        page = self._call("LogService/ReadLog", request, pb.ReadLogResponse, timeout)
        return LogPage(start, tuple(page.entries), page.checkpoint, tuple(page.cosigned))

    def read_tile(self, path: str) -> bytes:
        request = pb.ReadTileRequest(path=path)
        return self._call("LogService/ReadTile", request, pb.ReadTileResponse).data

    def rotate_keys(self, step: bytes) -> int:
        request = pb.RotateKeysRequest(step=step)
        return self._call("LogService/RotateKeys", request, pb.RotateKeysResponse).index

    def submit_cosignatures(self, notes: tuple[bytes, ...]) -> None:
        request = pb.SubmitCosignaturesRequest(notes=notes)
        self._call("LogService/SubmitCosignatures", request, pb.SubmitCosignaturesResponse)

    def propose_scenario(self, step: bytes, scenario: bytes) -> int:
        request = pb.ProposeScenarioRequest(step=step, scenario=scenario)
        method = "ScenarioService/ProposeScenario"
        return self._call(method, request, pb.ProposeScenarioResponse).index

    def get_scenario(self, scenario: bytes) -> bytes:
        request = pb.GetScenarioRequest(scenario=scenario)
        return self._call("ScenarioService/GetScenario", request, pb.GetScenarioResponse).document

    def review_scenario(self, step: bytes) -> int:
        request = pb.ReviewScenarioRequest(step=step)
        method = "ScenarioService/ReviewScenario"
        return self._call(method, request, pb.ReviewScenarioResponse).index

    def revoke_scenario(self, step: bytes) -> int:
        request = pb.RevokeScenarioRequest(step=step)
        method = "ScenarioService/RevokeScenario"
        return self._call(method, request, pb.RevokeScenarioResponse).index

    def authorise_scenario(self, step: bytes) -> int:
        request = pb.AuthoriseScenarioRequest(step=step)
        method = "ScenarioService/AuthoriseScenario"
        return self._call(method, request, pb.AuthoriseScenarioResponse).index

    def order_run(self, step: bytes, order: bytes) -> int:
        request = pb.OrderRunRequest(step=step, order=order)
        return self._call("RunService/OrderRun", request, pb.OrderRunResponse).index

    def get_run_order(self, run: bytes) -> bytes:
        request = pb.GetRunOrderRequest(run=run)
        return self._call("RunService/GetRunOrder", request, pb.GetRunOrderResponse).document

    def submit_receipt(self, step: bytes) -> int:
        request = pb.SubmitReceiptRequest(step=step)
        return self._call("RunService/SubmitReceipt", request, pb.SubmitReceiptResponse).index

    def submit_contribution(self, step: bytes, context: bytes, ciphertexts: bytes) -> int:
        request = pb.SubmitContributionRequest(step=step, context=context, ciphertexts=ciphertexts)
        method = "RunService/SubmitContribution"
        answer = self._call(method, request, pb.SubmitContributionResponse, TRANSFER_SECONDS)
        return answer.index

    def get_contribution(self, run: bytes, round: Round, holder: str) -> bytes:
        request = pb.GetContributionRequest(run=run, round=round.value, holder=holder)
        method = "RunService/GetContribution"
        answer = self._call(method, request, pb.GetContributionResponse, TRANSFER_SECONDS)
        return answer.ciphertexts

    def submit_verdict(self, step: bytes, verdict: bytes) -> int:
        request = pb.SubmitVerdictRequest(step=step, verdict=verdict)
        return self._call("RunService/SubmitVerdict", request, pb.SubmitVerdictResponse).index

    def get_verdict(self, run: bytes) -> bytes:
        request = pb.GetVerdictRequest(run=run)
        return self._call("RunService/GetVerdict", request, pb.GetVerdictResponse).document

    def hold_result(self, step: bytes) -> int:
        request = pb.HoldResultRequest(step=step)
        return self._call("RunService/HoldResult", request, pb.HoldResultResponse).index

    def examine_result(self, step: bytes) -> int:
        request = pb.ExamineResultRequest(step=step)
        return self._call("RunService/ExamineResult", request, pb.ExamineResultResponse).index

    def submit_release(self, step: bytes) -> int:
        request = pb.SubmitReleaseRequest(step=step)
        return self._call("RunService/SubmitRelease", request, pb.SubmitReleaseResponse).index

    def deliver_result(self, run: bytes, sealed: bytes) -> None:
        request = pb.DeliverResultRequest(run=run, sealed=sealed)
        method = "RunService/DeliverResult"
        self._call(method, request, pb.DeliverResultResponse, TRANSFER_SECONDS)

    def fetch_result(self, run: bytes) -> bytes:
        request = pb.FetchResultRequest(run=run)
        method = "RunService/FetchResult"
        return self._call(method, request, pb.FetchResultResponse, TRANSFER_SECONDS).sealed

    def fail_run(self, step: bytes) -> int:
        request = pb.FailRunRequest(step=step)
        return self._call("RunService/FailRun", request, pb.FailRunResponse).index

    def put_piece(self, run: bytes, item: Item, index: int, data: bytes) -> None:
        request = pb.PutPieceRequest(run=run, item=_message(item), index=index, data=data)
        self._call("JoinService/PutPiece", request, pb.PutPieceResponse, TRANSFER_SECONDS)

    def count_pieces(self, run: bytes, item: Item) -> int:
        request = pb.CountPiecesRequest(run=run, item=_message(item))
        return self._call("JoinService/CountPieces", request, pb.CountPiecesResponse).count

    def get_piece(self, run: bytes, item: Item, index: int) -> bytes:
        request = pb.GetPieceRequest(run=run, item=_message(item), index=index)
        method = "JoinService/GetPiece"
        return self._call(method, request, pb.GetPieceResponse, TRANSFER_SECONDS).data

    def submit_join_step(self, step: bytes) -> int:
        request = pb.SubmitJoinStepRequest(step=step)
        method = "JoinService/SubmitJoinStep"  # the coordinator looks at every point of a set
        return self._call(method, request, pb.SubmitJoinStepResponse, TRANSFER_SECONDS).index

    # --- calling ----------------------------------------------------------------------------------

    def _call(
        self, method: str, request: Message, answer: type[M], timeout: float = CALL_SECONDS
    ) -> M:
        self._require_in_date()
        data = self._persist(method, request.SerializeToString(), timeout)
        try:
            return answer.FromString(data)
        except DecodeError:
            raise DocumentError(
                "the coordinator's answer is malformed",
                hint="both sides should run the same version of stayput",
            ) from None

    def _persist(self, method: str, request: bytes, timeout: float) -> bytes:
        """Call, and call again while the coordinator cannot be reached and patience lasts."""
        give_up = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            if self._closed.is_set():
                raise Unavailable("This link to the coordinator is closed.")
            try:
                return self._line.call(method, request, timeout)
            except Unavailable:
                # Jitter: parties that lost the coordinator together do not come back together.
                pause = min(LONGEST_PAUSE, pause * 2) * random.uniform(0.5, 1.0)  # noqa: S311
                if time.monotonic() + pause > give_up:
                    raise
            self._closed.wait(pause)

    def _require_in_date(self) -> None:
        """Own and coordinator's certificate, before dialling: TLS would only say "closed"."""
        now = int(self._clock())
        try:
            require_in_date(self._identity.name, self._own, now)
            self._members.verify_current(self._members.coordinator.name, now)
        except VerificationError as error:
            raise ConfigurationError(error.message, hint=error.hint) from None


def _message(item: Item) -> pb.JoinItem:
    return pb.JoinItem(kind=item.kind.value, owner=item.owner, number=item.number)
