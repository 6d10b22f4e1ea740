from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadLogRequest(_message.Message):
    __slots__ = ("start", "wait_ms", "known")
    START_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    start: int
    wait_ms: int
    known: bytes
    def __init__(self, start: _Optional[int] = ..., wait_ms: _Optional[int] = ..., known: _Optional[bytes] = ...) -> None: ...

class ReadLogResponse(_message.Message):
    __slots__ = ("entries", "checkpoint", "cosigned")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: bytes
    cosigned: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, entries: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[bytes] = ..., cosigned: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReadTileRequest(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class ReadTileResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class RotateKeysRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class RotateKeysResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class SubmitCosignaturesRequest(_message.Message):
    __slots__ = ("notes",)
    NOTES_FIELD_NUMBER: _ClassVar[int]
    notes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, notes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SubmitCosignaturesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProposeScenarioRequest(_message.Message):
    __slots__ = ("step", "scenario")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    scenario: bytes
    def __init__(self, step: _Optional[bytes] = ..., scenario: _Optional[bytes] = ...) -> None: ...

class ProposeScenarioResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class GetScenarioRequest(_message.Message):
    __slots__ = ("scenario",)
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    scenario: bytes
    def __init__(self, scenario: _Optional[bytes] = ...) -> None: ...

class GetScenarioResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class ReviewScenarioRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class ReviewScenarioResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class RevokeScenarioRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class RevokeScenarioResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class AuthoriseScenarioRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class AuthoriseScenarioResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class OrderRunRequest(_message.Message):
    __slots__ = ("step", "order")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    order: bytes
    def __init__(self, step: _Optional[bytes] = ..., order: _Optional[bytes] = ...) -> None: ...

class OrderRunResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class GetRunOrderRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    def __init__(self, run: _Optional[bytes] = ...) -> None: ...

class GetRunOrderResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class SubmitReceiptRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class SubmitReceiptResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class SubmitContributionRequest(_message.Message):
    __slots__ = ("step", "context", "ciphertexts")
    STEP_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    context: bytes
    ciphertexts: bytes
    def __init__(self, step: _Optional[bytes] = ..., context: _Optional[bytes] = ..., ciphertexts: _Optional[bytes] = ...) -> None: ...

class SubmitContributionResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class GetContributionRequest(_message.Message):
    __slots__ = ("run", "round", "holder")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    round: int
    holder: str
    def __init__(self, run: _Optional[bytes] = ..., round: _Optional[int] = ..., holder: _Optional[str] = ...) -> None: ...

class GetContributionResponse(_message.Message):
    __slots__ = ("ciphertexts",)
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    ciphertexts: bytes
    def __init__(self, ciphertexts: _Optional[bytes] = ...) -> None: ...

class SubmitVerdictRequest(_message.Message):
    __slots__ = ("step", "verdict")
    STEP_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    verdict: bytes
    def __init__(self, step: _Optional[bytes] = ..., verdict: _Optional[bytes] = ...) -> None: ...

class SubmitVerdictResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class GetVerdictRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    def __init__(self, run: _Optional[bytes] = ...) -> None: ...

class GetVerdictResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class HoldResultRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class HoldResultResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class ExamineResultRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class ExamineResultResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class SubmitReleaseRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class SubmitReleaseResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class DeliverResultRequest(_message.Message):
    __slots__ = ("run", "sealed")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    sealed: bytes
    def __init__(self, run: _Optional[bytes] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class DeliverResultResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FetchResultRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    def __init__(self, run: _Optional[bytes] = ...) -> None: ...

class FetchResultResponse(_message.Message):
    __slots__ = ("sealed",)
    SEALED_FIELD_NUMBER: _ClassVar[int]
    sealed: bytes
    def __init__(self, sealed: _Optional[bytes] = ...) -> None: ...

class FailRunRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class FailRunResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class JoinItem(_message.Message):
    __slots__ = ("kind", "owner", "number")
    KIND_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    kind: int
    owner: str
    number: int
    def __init__(self, kind: _Optional[int] = ..., owner: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class PutPieceRequest(_message.Message):
    __slots__ = ("run", "item", "index", "data")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    item: JoinItem
    index: int
    data: bytes
    def __init__(self, run: _Optional[bytes] = ..., item: _Optional[_Union[JoinItem, _Mapping]] = ..., index: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutPieceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CountPiecesRequest(_message.Message):
    __slots__ = ("run", "item")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    item: JoinItem
    def __init__(self, run: _Optional[bytes] = ..., item: _Optional[_Union[JoinItem, _Mapping]] = ...) -> None: ...

class CountPiecesResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class GetPieceRequest(_message.Message):
    __slots__ = ("run", "item", "index")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    item: JoinItem
    index: int
    def __init__(self, run: _Optional[bytes] = ..., item: _Optional[_Union[JoinItem, _Mapping]] = ..., index: _Optional[int] = ...) -> None: ...

class GetPieceResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class SubmitJoinStepRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: bytes
    def __init__(self, step: _Optional[bytes] = ...) -> None: ...

class SubmitJoinStepResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...
