"""The coordinator's methods as the wire sees them: bytes in, bytes out, errors as ours.

A thin adapter between the messages of ``services.proto`` and the coordinator's core, one row of
:data:`METHODS` each.  Two things are decided here and not in the core: a request that is no such
message is malformed, and a role that no call of a method may have is refused before the core sees a
byte (the core checks role and scenario again, by name).

Not here: sockets, TLS, waiting (:mod:`stayput.rpc.listener`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import DecodeError, Message

from stayput.errors import InvalidInput, PermissionDenied
from stayput.link import MAX_PIECE_BYTES, Item, ItemKind, LogPage
from stayput.membership import Members
from stayput.steps import COSIGNING_ROLES, Member, Role, Round
from stayput.v1 import services_pb2 as pb

MAX_WAIT_MS = 30_000
"""Longest wait of one ``ReadLog``; services.proto says so."""


MAX_NOTES = 256
"""Most notes of one ``SubmitCosignatures``; services.proto says so."""


class CoordinatorCore(Protocol):
    """The coordinator behind the wire: the calls of the link, and who makes them.

    Every call may block; none waits for anything but its own disk.  The core calls ``on_append``,
    from any thread, when the log may have grown or another cosignature has come.
    """

    on_append: Callable[[], None]

    @property
    def members(self) -> Members:
        """As of now: keys rotate."""

    def read_log(self, caller: Member, start: int, wait_ms: int = 0) -> LogPage: ...
    def read_tile(self, caller: Member, path: str) -> bytes: ...
    def rotate_keys(self, caller: Member, step: bytes) -> int: ...
    def submit_cosignatures(self, caller: Member, notes: tuple[bytes, ...]) -> None: ...
    def propose_scenario(self, caller: Member, step: bytes, scenario: bytes) -> int: ...
    def get_scenario(self, caller: Member, scenario: bytes) -> bytes: ...
    def review_scenario(self, caller: Member, step: bytes) -> int: ...
    def revoke_scenario(self, caller: Member, step: bytes) -> int: ...
    def authorise_scenario(self, caller: Member, step: bytes) -> int: ...
    def order_run(self, caller: Member, step: bytes, order: bytes) -> int: ...
    def get_run_order(self, caller: Member, run: bytes) -> bytes: ...
    def submit_receipt(self, caller: Member, step: bytes) -> int: ...
    def submit_contribution(
        self, caller: Member, step: bytes, context: bytes, ciphertexts: bytes
    ) -> int: ...
    def get_contribution(self, caller: Member, run: bytes, round: Round, holder: str) -> bytes: ...
    def submit_verdict(self, caller: Member, step: bytes, verdict: bytes) -> int: ...
    def get_verdict(self, caller: Member, run: bytes) -> bytes: ...
    def hold_result(self, caller: Member, step: bytes) -> int: ...
    def examine_result(self, caller: Member, step: bytes) -> int: ...
    def submit_release(self, caller: Member, step: bytes) -> int: ...
    def deliver_result(self, caller: Member, run: bytes, sealed: bytes) -> None: ...
    def fetch_result(self, caller: Member, run: bytes) -> bytes: ...
    def fail_run(self, caller: Member, step: bytes) -> int: ...
    def put_piece(
        self, caller: Member, run: bytes, item: Item, index: int, data: bytes
    ) -> None: ...
    def count_pieces(self, caller: Member, run: bytes, item: Item) -> int: ...
    def get_piece(self, caller: Member, run: bytes, item: Item, index: int) -> bytes: ...
    def submit_join_step(self, caller: Member, step: bytes) -> int: ...


@dataclasses.dataclass(frozen=True)
class Method:
    """One method: its request message, who may call it at all, and what it does."""

    request: Callable[[], Message]
    roles: frozenset[Role]
    call: Callable[[CoordinatorCore, Member, Any], Message]


def _read_log(core: CoordinatorCore, caller: Member, request: pb.ReadLogRequest) -> Message:
    page = core.read_log(caller, request.start)
    return pb.ReadLogResponse(
        entries=page.entries, checkpoint=page.checkpoint, cosigned=page.cosigned
    )


def _submit_cosignatures(
    core: CoordinatorCore, caller: Member, request: pb.SubmitCosignaturesRequest
) -> Message:
    if len(request.notes) > MAX_NOTES:
        raise InvalidInput(f"at most {MAX_NOTES} notes are taken at once")
    core.submit_cosignatures(caller, tuple(request.notes))
    return pb.SubmitCosignaturesResponse()


def _submit_contribution(
    core: CoordinatorCore, caller: Member, request: pb.SubmitContributionRequest
) -> Message:
    index = core.submit_contribution(caller, request.step, request.context, request.ciphertexts)
    return pb.SubmitContributionResponse(index=index)


def _get_contribution(
    core: CoordinatorCore, caller: Member, request: pb.GetContributionRequest
) -> Message:
    try:
        turn = Round(request.round)
    except ValueError:
        raise InvalidInput(f"there is no round {request.round}") from None
    found = core.get_contribution(caller, request.run, turn, request.holder)
    return pb.GetContributionResponse(ciphertexts=found)


def _deliver_result(
    core: CoordinatorCore, caller: Member, request: pb.DeliverResultRequest
) -> Message:
    core.deliver_result(caller, request.run, request.sealed)
    return pb.DeliverResultResponse()


def _put_piece(core: CoordinatorCore, caller: Member, request: pb.PutPieceRequest) -> Message:
    if len(request.data) > MAX_PIECE_BYTES:
        raise InvalidInput(f"a piece has at most {MAX_PIECE_BYTES} bytes")
    item = _item(request.item)
    core.put_piece(caller, request.run, item, request.index, request.data)
    return pb.PutPieceResponse()


def _count_pieces(core: CoordinatorCore, caller: Member, request: pb.CountPiecesRequest) -> Message:
    count = core.count_pieces(caller, request.run, _item(request.item))
    return pb.CountPiecesResponse(count=count)


def _get_piece(core: CoordinatorCore, caller: Member, request: pb.GetPieceRequest) -> Message:
    item = _item(request.item)
    return pb.GetPieceResponse(data=core.get_piece(caller, request.run, item, request.index))


def _item(message: pb.JoinItem) -> Item:
    try:
        return Item(ItemKind(message.kind), message.owner, message.number)
    except ValueError:
        raise InvalidInput(f"nothing of kind {message.kind} travels in pieces") from None


_ANY = frozenset(Role)
_USER = frozenset({Role.USER})
_HOLDER = frozenset({Role.HOLDER})
_CHECKER = frozenset({Role.CHECKER})
_AUTHORITY = frozenset({Role.AUDITOR})
_PARTIES = frozenset({Role.USER, Role.HOLDER, Role.CHECKER})
_READERS = _PARTIES | _AUTHORITY

METHODS: dict[str, Method] = {
    "LogService/ReadLog": Method(pb.ReadLogRequest, _ANY, _read_log),
    "LogService/ReadTile": Method(
        pb.ReadTileRequest,
        _ANY,
        lambda core, caller, request: pb.ReadTileResponse(
            data=core.read_tile(caller, request.path)
        ),
    ),
    "LogService/RotateKeys": Method(
        pb.RotateKeysRequest,
        _ANY - {Role.COORDINATOR},
        lambda core, caller, request: pb.RotateKeysResponse(
            index=core.rotate_keys(caller, request.step)
        ),
    ),
    "LogService/SubmitCosignatures": Method(
        pb.SubmitCosignaturesRequest, COSIGNING_ROLES, _submit_cosignatures
    ),
    "ScenarioService/ProposeScenario": Method(
        pb.ProposeScenarioRequest,
        _USER,
        lambda core, caller, request: pb.ProposeScenarioResponse(
            index=core.propose_scenario(caller, request.step, request.scenario)
        ),
    ),
    "ScenarioService/GetScenario": Method(
        pb.GetScenarioRequest,
        _READERS,
        lambda core, caller, request: pb.GetScenarioResponse(
            document=core.get_scenario(caller, request.scenario)
        ),
    ),
    "ScenarioService/ReviewScenario": Method(
        pb.ReviewScenarioRequest,
        _HOLDER,
        lambda core, caller, request: pb.ReviewScenarioResponse(
            index=core.review_scenario(caller, request.step)
        ),
    ),
    "ScenarioService/RevokeScenario": Method(
        pb.RevokeScenarioRequest,
        _HOLDER,
        lambda core, caller, request: pb.RevokeScenarioResponse(
            index=core.revoke_scenario(caller, request.step)
        ),
    ),
    "ScenarioService/AuthoriseScenario": Method(
        pb.AuthoriseScenarioRequest,
        _AUTHORITY,
        lambda core, caller, request: pb.AuthoriseScenarioResponse(
            index=core.authorise_scenario(caller, request.step)
        ),
    ),
    "RunService/OrderRun": Method(
        pb.OrderRunRequest,
        _USER,
        lambda core, caller, request: pb.OrderRunResponse(
            index=core.order_run(caller, request.step, request.order)
        ),
    ),
    "RunService/GetRunOrder": Method(
        pb.GetRunOrderRequest,
        _PARTIES,
        lambda core, caller, request: pb.GetRunOrderResponse(
            document=core.get_run_order(caller, request.run)
        ),
    ),
    "RunService/SubmitReceipt": Method(
        pb.SubmitReceiptRequest,
        _HOLDER,
        lambda core, caller, request: pb.SubmitReceiptResponse(
            index=core.submit_receipt(caller, request.step)
        ),
    ),
    "RunService/SubmitContribution": Method(
        pb.SubmitContributionRequest, _HOLDER, _submit_contribution
    ),
    "RunService/GetContribution": Method(
        pb.GetContributionRequest, _HOLDER | _CHECKER, _get_contribution
    ),
    "RunService/SubmitVerdict": Method(
        pb.SubmitVerdictRequest,
        _CHECKER,
        lambda core, caller, request: pb.SubmitVerdictResponse(
            index=core.submit_verdict(caller, request.step, request.verdict)
        ),
    ),
    "RunService/GetVerdict": Method(
        pb.GetVerdictRequest,
        _HOLDER | _CHECKER,
        lambda core, caller, request: pb.GetVerdictResponse(
            document=core.get_verdict(caller, request.run)
        ),
    ),
    "RunService/HoldResult": Method(
        pb.HoldResultRequest,
        _CHECKER,
        lambda core, caller, request: pb.HoldResultResponse(
            index=core.hold_result(caller, request.step)
        ),
    ),
    "RunService/ExamineResult": Method(
        pb.ExamineResultRequest,
        _CHECKER,
        lambda core, caller, request: pb.ExamineResultResponse(
            index=core.examine_result(caller, request.step)
        ),
    ),
    "RunService/SubmitRelease": Method(
        pb.SubmitReleaseRequest,
        _CHECKER,
        lambda core, caller, request: pb.SubmitReleaseResponse(
            index=core.submit_release(caller, request.step)
        ),
    ),
    "RunService/DeliverResult": Method(pb.DeliverResultRequest, _CHECKER, _deliver_result),
    "RunService/FetchResult": Method(
        pb.FetchResultRequest,
        _USER,
        lambda core, caller, request: pb.FetchResultResponse(
            sealed=core.fetch_result(caller, request.run)
        ),
    ),
    "RunService/FailRun": Method(
        pb.FailRunRequest,
        _HOLDER | _CHECKER,
        lambda core, caller, request: pb.FailRunResponse(index=core.fail_run(caller, request.step)),
    ),
    "JoinService/PutPiece": Method(pb.PutPieceRequest, _HOLDER, _put_piece),
    "JoinService/CountPieces": Method(pb.CountPiecesRequest, _HOLDER, _count_pieces),
    "JoinService/GetPiece": Method(pb.GetPieceRequest, _HOLDER, _get_piece),
    "JoinService/SubmitJoinStep": Method(
        pb.SubmitJoinStepRequest,
        _HOLDER,
        lambda core, caller, request: pb.SubmitJoinStepResponse(
            index=core.submit_join_step(caller, request.step)
        ),
    ),
}
"""Every method of services.proto; a test says so."""


def parse_request(method: str, caller: Member, data: bytes) -> Message:
    """Parse the untrusted request of a caller for a method.

    Raises:
        PermissionDenied: no call of this method is for the caller's role.
        InvalidInput: not such a message.
    """
    spec = METHODS[method]
    if caller.role not in spec.roles:
        raise PermissionDenied(f"{method} is not for a {caller.role.name.lower()}")
    request = spec.request()
    try:
        request.ParseFromString(data)
    except DecodeError:
        raise InvalidInput(f"the request is no message of {method}") from None
    return request


def answer(core: CoordinatorCore, method: str, caller: Member, request: Message) -> Message:
    """Carry out one request. Blocks; raises what the core raises."""
    return METHODS[method].call(core, caller, request)
