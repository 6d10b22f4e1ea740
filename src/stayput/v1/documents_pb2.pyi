from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_HOLDER: _ClassVar[Role]
    ROLE_COORDINATOR: _ClassVar[Role]
    ROLE_CHECKER: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_AUDITOR: _ClassVar[Role]

class ColumnType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLUMN_TYPE_UNSPECIFIED: _ClassVar[ColumnType]
    COLUMN_TYPE_LEVEL: _ClassVar[ColumnType]
    COLUMN_TYPE_INTEGER: _ClassVar[ColumnType]
    COLUMN_TYPE_DECIMAL: _ClassVar[ColumnType]
    COLUMN_TYPE_BOOLEAN: _ClassVar[ColumnType]
    COLUMN_TYPE_IDENTIFIER: _ClassVar[ColumnType]

class IdentifierKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDENTIFIER_KIND_UNSPECIFIED: _ClassVar[IdentifierKind]
    IDENTIFIER_KIND_TEXT: _ClassVar[IdentifierKind]
    IDENTIFIER_KIND_CN_RESIDENT: _ClassVar[IdentifierKind]
    IDENTIFIER_KIND_CN_ORGANISATION: _ClassVar[IdentifierKind]
    IDENTIFIER_KIND_LUHN: _ClassVar[IdentifierKind]
    IDENTIFIER_KIND_IBAN: _ClassVar[IdentifierKind]
    IDENTIFIER_KIND_LEI: _ClassVar[IdentifierKind]

class Duplicates(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATES_UNSPECIFIED: _ClassVar[Duplicates]
    DUPLICATES_REFUSE: _ClassVar[Duplicates]
    DUPLICATES_COLLAPSE: _ClassVar[Duplicates]

class ModelKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_KIND_UNSPECIFIED: _ClassVar[ModelKind]
    MODEL_KIND_OLS: _ClassVar[ModelKind]
    MODEL_KIND_RIDGE: _ClassVar[ModelKind]

class Outside(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTSIDE_UNSPECIFIED: _ClassVar[Outside]
    OUTSIDE_REFUSE: _ClassVar[Outside]
    OUTSIDE_CLIP: _ClassVar[Outside]
    OUTSIDE_OTHER: _ClassVar[Outside]

class Grade(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRADE_UNSPECIFIED: _ClassVar[Grade]
    GRADE_PUBLIC: _ClassVar[Grade]
    GRADE_INTERNAL: _ClassVar[Grade]
    GRADE_SENSITIVE: _ClassVar[Grade]

class ColumnRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLUMN_ROLE_UNSPECIFIED: _ClassVar[ColumnRole]
    COLUMN_ROLE_KEY: _ClassVar[ColumnRole]
    COLUMN_ROLE_MEASURE: _ClassVar[ColumnRole]
    COLUMN_ROLE_FILTER: _ClassVar[ColumnRole]

class NoiseMechanism(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOISE_MECHANISM_UNSPECIFIED: _ClassVar[NoiseMechanism]
    NOISE_MECHANISM_GEOMETRIC: _ClassVar[NoiseMechanism]
    NOISE_MECHANISM_GAUSSIAN: _ClassVar[NoiseMechanism]

class OutputReview(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_REVIEW_UNSPECIFIED: _ClassVar[OutputReview]
    OUTPUT_REVIEW_DOUBTFUL: _ClassVar[OutputReview]
    OUTPUT_REVIEW_ALWAYS: _ClassVar[OutputReview]

class AuthorisationMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTHORISATION_MODE_UNSPECIFIED: _ClassVar[AuthorisationMode]
    AUTHORISATION_MODE_CENTRALISED: _ClassVar[AuthorisationMode]
    AUTHORISATION_MODE_SECTORAL: _ClassVar[AuthorisationMode]

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_APPROVED: _ClassVar[Decision]
    DECISION_REFUSED: _ClassVar[Decision]

class RefusalReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_REASON_UNSPECIFIED: _ClassVar[RefusalReason]
    REFUSAL_REASON_UNSPECIFIED_BY_HOLDER: _ClassVar[RefusalReason]
    REFUSAL_REASON_PURPOSE: _ClassVar[RefusalReason]
    REFUSAL_REASON_DATA_TOO_SENSITIVE: _ClassVar[RefusalReason]
    REFUSAL_REASON_STATEMENT_TOO_DETAILED: _ClassVar[RefusalReason]
    REFUSAL_REASON_OUTPUT_POLICY_TOO_WEAK: _ClassVar[RefusalReason]
    REFUSAL_REASON_LIMITS_TOO_WIDE: _ClassVar[RefusalReason]
    REFUSAL_REASON_DATA_NOT_AVAILABLE: _ClassVar[RefusalReason]
    REFUSAL_REASON_LEGAL: _ClassVar[RefusalReason]

class AuthorityDecision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTHORITY_DECISION_UNSPECIFIED: _ClassVar[AuthorityDecision]
    AUTHORITY_DECISION_AUTHORISED: _ClassVar[AuthorityDecision]
    AUTHORITY_DECISION_REFUSED: _ClassVar[AuthorityDecision]
    AUTHORITY_DECISION_WITHDRAWN: _ClassVar[AuthorityDecision]

class Waiver(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAIVER_UNSPECIFIED: _ClassVar[Waiver]
    WAIVER_TWO_HOLDERS: _ClassVar[Waiver]

class Round(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUND_UNSPECIFIED: _ClassVar[Round]
    ROUND_COUNTS: _ClassVar[Round]
    ROUND_VALUES: _ClassVar[Round]

class StagingMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGING_METHOD_UNSPECIFIED: _ClassVar[StagingMethod]
    STAGING_METHOD_PROCESS_MEMORY: _ClassVar[StagingMethod]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_DESTROYED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]

class DeletionCheck(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELETION_CHECK_UNSPECIFIED: _ClassVar[DeletionCheck]
    DELETION_CHECK_PROCESS_REAPED: _ClassVar[DeletionCheck]
    DELETION_CHECK_NO_FILES_LEFT: _ClassVar[DeletionCheck]
    DELETION_CHECK_NO_OPEN_DESCRIPTORS: _ClassVar[DeletionCheck]
    DELETION_CHECK_NO_CORE_DUMP: _ClassVar[DeletionCheck]
    DELETION_CHECK_NO_MOUNT_LEFT: _ClassVar[DeletionCheck]
    DELETION_CHECK_CONFINED_BY_LANDLOCK: _ClassVar[DeletionCheck]
    DELETION_CHECK_LATE_SWEEP: _ClassVar[DeletionCheck]

class NotCovered(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOT_COVERED_UNSPECIFIED: _ClassVar[NotCovered]
    NOT_COVERED_SOURCE_SYSTEM: _ClassVar[NotCovered]
    NOT_COVERED_BACKUPS: _ClassVar[NotCovered]
    NOT_COVERED_SNAPSHOTS: _ClassVar[NotCovered]
    NOT_COVERED_SWAP: _ClassVar[NotCovered]
    NOT_COVERED_PAGE_CACHE: _ClassVar[NotCovered]
    NOT_COVERED_ROW_HASHES: _ClassVar[NotCovered]

class FailureReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_REASON_UNSPECIFIED: _ClassVar[FailureReason]
    FAILURE_REASON_TIMED_OUT: _ClassVar[FailureReason]
    FAILURE_REASON_HOLDER_REFUSED: _ClassVar[FailureReason]
    FAILURE_REASON_DATA_DO_NOT_FIT: _ClassVar[FailureReason]
    FAILURE_REASON_STAGING_FAILED: _ClassVar[FailureReason]
    FAILURE_REASON_DELETION_FAILED: _ClassVar[FailureReason]
    FAILURE_REASON_INVARIANT_VIOLATED: _ClassVar[FailureReason]
    FAILURE_REASON_REVOKED: _ClassVar[FailureReason]
    FAILURE_REASON_STATE_LOST: _ClassVar[FailureReason]
    FAILURE_REASON_SUM_MISMATCH: _ClassVar[FailureReason]
    FAILURE_REASON_LOG_FROZEN: _ClassVar[FailureReason]
    FAILURE_REASON_RESULT_NOT_CLEARED: _ClassVar[FailureReason]

class FreezeReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FREEZE_REASON_UNSPECIFIED: _ClassVar[FreezeReason]
    FREEZE_REASON_KEY_COMPROMISED: _ClassVar[FreezeReason]
    FREEZE_REASON_LOG_DAMAGED: _ClassVar[FreezeReason]
    FREEZE_REASON_MEMBERS_CHANGE: _ClassVar[FreezeReason]
    FREEZE_REASON_KEYS_EXPIRE: _ClassVar[FreezeReason]
    FREEZE_REASON_CONSORTIUM_ENDS: _ClassVar[FreezeReason]

class Examination(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXAMINATION_UNSPECIFIED: _ClassVar[Examination]
    EXAMINATION_PASS: _ClassVar[Examination]
    EXAMINATION_FAIL: _ClassVar[Examination]

class ExaminationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXAMINATION_REASON_UNSPECIFIED: _ClassVar[ExaminationReason]
    EXAMINATION_REASON_DISCLOSIVE: _ClassVar[ExaminationReason]
    EXAMINATION_REASON_OUTSIDE_PURPOSE: _ClassVar[ExaminationReason]
    EXAMINATION_REASON_IMPLAUSIBLE: _ClassVar[ExaminationReason]
    EXAMINATION_REASON_PROCEDURE: _ClassVar[ExaminationReason]

class CellType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CELL_TYPE_UNSPECIFIED: _ClassVar[CellType]
    CELL_TYPE_INTEGER: _ClassVar[CellType]
    CELL_TYPE_DECIMAL: _ClassVar[CellType]
    CELL_TYPE_FLOAT: _ClassVar[CellType]
    CELL_TYPE_TEXT: _ClassVar[CellType]
    CELL_TYPE_BOOLEAN: _ClassVar[CellType]
ROLE_UNSPECIFIED: Role
ROLE_HOLDER: Role
ROLE_COORDINATOR: Role
ROLE_CHECKER: Role
ROLE_USER: Role
ROLE_AUDITOR: Role
COLUMN_TYPE_UNSPECIFIED: ColumnType
COLUMN_TYPE_LEVEL: ColumnType
COLUMN_TYPE_INTEGER: ColumnType
COLUMN_TYPE_DECIMAL: ColumnType
COLUMN_TYPE_BOOLEAN: ColumnType
COLUMN_TYPE_IDENTIFIER: ColumnType
IDENTIFIER_KIND_UNSPECIFIED: IdentifierKind
IDENTIFIER_KIND_TEXT: IdentifierKind
IDENTIFIER_KIND_CN_RESIDENT: IdentifierKind
IDENTIFIER_KIND_CN_ORGANISATION: IdentifierKind
IDENTIFIER_KIND_LUHN: IdentifierKind
IDENTIFIER_KIND_IBAN: IdentifierKind
IDENTIFIER_KIND_LEI: IdentifierKind
DUPLICATES_UNSPECIFIED: Duplicates
DUPLICATES_REFUSE: Duplicates
DUPLICATES_COLLAPSE: Duplicates
MODEL_KIND_UNSPECIFIED: ModelKind
MODEL_KIND_OLS: ModelKind
MODEL_KIND_RIDGE: ModelKind
OUTSIDE_UNSPECIFIED: Outside
OUTSIDE_REFUSE: Outside
OUTSIDE_CLIP: Outside
OUTSIDE_OTHER: Outside
GRADE_UNSPECIFIED: Grade
GRADE_PUBLIC: Grade
GRADE_INTERNAL: Grade
GRADE_SENSITIVE: Grade
COLUMN_ROLE_UNSPECIFIED: ColumnRole
COLUMN_ROLE_KEY: ColumnRole
COLUMN_ROLE_MEASURE: ColumnRole
COLUMN_ROLE_FILTER: ColumnRole
NOISE_MECHANISM_UNSPECIFIED: NoiseMechanism
NOISE_MECHANISM_GEOMETRIC: NoiseMechanism
NOISE_MECHANISM_GAUSSIAN: NoiseMechanism
OUTPUT_REVIEW_UNSPECIFIED: OutputReview
OUTPUT_REVIEW_DOUBTFUL: OutputReview
OUTPUT_REVIEW_ALWAYS: OutputReview
AUTHORISATION_MODE_UNSPECIFIED: AuthorisationMode
AUTHORISATION_MODE_CENTRALISED: AuthorisationMode
AUTHORISATION_MODE_SECTORAL: AuthorisationMode
DECISION_UNSPECIFIED: Decision
DECISION_APPROVED: Decision
DECISION_REFUSED: Decision
REFUSAL_REASON_UNSPECIFIED: RefusalReason
REFUSAL_REASON_UNSPECIFIED_BY_HOLDER: RefusalReason
REFUSAL_REASON_PURPOSE: RefusalReason
REFUSAL_REASON_DATA_TOO_SENSITIVE: RefusalReason
REFUSAL_REASON_STATEMENT_TOO_DETAILED: RefusalReason
REFUSAL_REASON_OUTPUT_POLICY_TOO_WEAK: RefusalReason
REFUSAL_REASON_LIMITS_TOO_WIDE: RefusalReason
REFUSAL_REASON_DATA_NOT_AVAILABLE: RefusalReason
REFUSAL_REASON_LEGAL: RefusalReason
AUTHORITY_DECISION_UNSPECIFIED: AuthorityDecision
AUTHORITY_DECISION_AUTHORISED: AuthorityDecision
AUTHORITY_DECISION_REFUSED: AuthorityDecision
AUTHORITY_DECISION_WITHDRAWN: AuthorityDecision
WAIVER_UNSPECIFIED: Waiver
WAIVER_TWO_HOLDERS: Waiver
ROUND_UNSPECIFIED: Round
ROUND_COUNTS: Round
ROUND_VALUES: Round
STAGING_METHOD_UNSPECIFIED: StagingMethod
STAGING_METHOD_PROCESS_MEMORY: StagingMethod
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_DESTROYED: Outcome
OUTCOME_FAILED: Outcome
DELETION_CHECK_UNSPECIFIED: DeletionCheck
DELETION_CHECK_PROCESS_REAPED: DeletionCheck
DELETION_CHECK_NO_FILES_LEFT: DeletionCheck
DELETION_CHECK_NO_OPEN_DESCRIPTORS: DeletionCheck
DELETION_CHECK_NO_CORE_DUMP: DeletionCheck
DELETION_CHECK_NO_MOUNT_LEFT: DeletionCheck
DELETION_CHECK_CONFINED_BY_LANDLOCK: DeletionCheck
DELETION_CHECK_LATE_SWEEP: DeletionCheck
NOT_COVERED_UNSPECIFIED: NotCovered
NOT_COVERED_SOURCE_SYSTEM: NotCovered
NOT_COVERED_BACKUPS: NotCovered
NOT_COVERED_SNAPSHOTS: NotCovered
NOT_COVERED_SWAP: NotCovered
NOT_COVERED_PAGE_CACHE: NotCovered
NOT_COVERED_ROW_HASHES: NotCovered
FAILURE_REASON_UNSPECIFIED: FailureReason
FAILURE_REASON_TIMED_OUT: FailureReason
FAILURE_REASON_HOLDER_REFUSED: FailureReason
FAILURE_REASON_DATA_DO_NOT_FIT: FailureReason
FAILURE_REASON_STAGING_FAILED: FailureReason
FAILURE_REASON_DELETION_FAILED: FailureReason
FAILURE_REASON_INVARIANT_VIOLATED: FailureReason
FAILURE_REASON_REVOKED: FailureReason
FAILURE_REASON_STATE_LOST: FailureReason
FAILURE_REASON_SUM_MISMATCH: FailureReason
FAILURE_REASON_LOG_FROZEN: FailureReason
FAILURE_REASON_RESULT_NOT_CLEARED: FailureReason
FREEZE_REASON_UNSPECIFIED: FreezeReason
FREEZE_REASON_KEY_COMPROMISED: FreezeReason
FREEZE_REASON_LOG_DAMAGED: FreezeReason
FREEZE_REASON_MEMBERS_CHANGE: FreezeReason
FREEZE_REASON_KEYS_EXPIRE: FreezeReason
FREEZE_REASON_CONSORTIUM_ENDS: FreezeReason
EXAMINATION_UNSPECIFIED: Examination
EXAMINATION_PASS: Examination
EXAMINATION_FAIL: Examination
EXAMINATION_REASON_UNSPECIFIED: ExaminationReason
EXAMINATION_REASON_DISCLOSIVE: ExaminationReason
EXAMINATION_REASON_OUTSIDE_PURPOSE: ExaminationReason
EXAMINATION_REASON_IMPLAUSIBLE: ExaminationReason
EXAMINATION_REASON_PROCEDURE: ExaminationReason
CELL_TYPE_UNSPECIFIED: CellType
CELL_TYPE_INTEGER: CellType
CELL_TYPE_DECIMAL: CellType
CELL_TYPE_FLOAT: CellType
CELL_TYPE_TEXT: CellType
CELL_TYPE_BOOLEAN: CellType

class Member(_message.Message):
    __slots__ = ("name", "role", "signing_key", "agreement_key", "certificate", "paillier_modulus", "witness_key", "auditor_key", "reviewers", "quorum")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEY_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_KEY_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PAILLIER_MODULUS_FIELD_NUMBER: _ClassVar[int]
    WITNESS_KEY_FIELD_NUMBER: _ClassVar[int]
    AUDITOR_KEY_FIELD_NUMBER: _ClassVar[int]
    REVIEWERS_FIELD_NUMBER: _ClassVar[int]
    QUORUM_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: Role
    signing_key: bytes
    agreement_key: bytes
    certificate: bytes
    paillier_modulus: bytes
    witness_key: bytes
    auditor_key: bytes
    reviewers: _containers.RepeatedScalarFieldContainer[bytes]
    quorum: int
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., signing_key: _Optional[bytes] = ..., agreement_key: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., paillier_modulus: _Optional[bytes] = ..., witness_key: _Optional[bytes] = ..., auditor_key: _Optional[bytes] = ..., reviewers: _Optional[_Iterable[bytes]] = ..., quorum: _Optional[int] = ...) -> None: ...

class MemberList(_message.Message):
    __slots__ = ("consortium", "cards", "time", "predecessor")
    CONSORTIUM_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PREDECESSOR_FIELD_NUMBER: _ClassVar[int]
    consortium: str
    cards: _containers.RepeatedScalarFieldContainer[bytes]
    time: int
    predecessor: Predecessor
    def __init__(self, consortium: _Optional[str] = ..., cards: _Optional[_Iterable[bytes]] = ..., time: _Optional[int] = ..., predecessor: _Optional[_Union[Predecessor, _Mapping]] = ...) -> None: ...

class Predecessor(_message.Message):
    __slots__ = ("origin", "checkpoint")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    origin: str
    checkpoint: bytes
    def __init__(self, origin: _Optional[str] = ..., checkpoint: _Optional[bytes] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "type", "grade", "outside", "unit", "decimals", "minimum", "maximum", "levels", "nullable", "description", "roles", "identifier")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    GRADE_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: ColumnType
    grade: Grade
    outside: Outside
    unit: str
    decimals: int
    minimum: int
    maximum: int
    levels: _containers.RepeatedScalarFieldContainer[str]
    nullable: bool
    description: str
    roles: _containers.RepeatedScalarFieldContainer[ColumnRole]
    identifier: IdentifierRule
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[ColumnType, str]] = ..., grade: _Optional[_Union[Grade, str]] = ..., outside: _Optional[_Union[Outside, str]] = ..., unit: _Optional[str] = ..., decimals: _Optional[int] = ..., minimum: _Optional[int] = ..., maximum: _Optional[int] = ..., levels: _Optional[_Iterable[str]] = ..., nullable: _Optional[bool] = ..., description: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[ColumnRole, str]]] = ..., identifier: _Optional[_Union[IdentifierRule, _Mapping]] = ...) -> None: ...

class IdentifierRule(_message.Message):
    __slots__ = ("kind", "duplicates", "any_case", "separators")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    ANY_CASE_FIELD_NUMBER: _ClassVar[int]
    SEPARATORS_FIELD_NUMBER: _ClassVar[int]
    kind: IdentifierKind
    duplicates: Duplicates
    any_case: bool
    separators: str
    def __init__(self, kind: _Optional[_Union[IdentifierKind, str]] = ..., duplicates: _Optional[_Union[Duplicates, str]] = ..., any_case: _Optional[bool] = ..., separators: _Optional[str] = ...) -> None: ...

class TableContract(_message.Message):
    __slots__ = ("name", "holders", "columns", "max_rows", "unit", "units_apart", "pad_to")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    UNITS_APART_FIELD_NUMBER: _ClassVar[int]
    PAD_TO_FIELD_NUMBER: _ClassVar[int]
    name: str
    holders: _containers.RepeatedScalarFieldContainer[str]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    max_rows: int
    unit: str
    units_apart: bool
    pad_to: int
    def __init__(self, name: _Optional[str] = ..., holders: _Optional[_Iterable[str]] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., max_rows: _Optional[int] = ..., unit: _Optional[str] = ..., units_apart: _Optional[bool] = ..., pad_to: _Optional[int] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "type", "decimals", "minimum", "maximum", "levels")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: ColumnType
    decimals: int
    minimum: int
    maximum: int
    levels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[ColumnType, str]] = ..., decimals: _Optional[int] = ..., minimum: _Optional[int] = ..., maximum: _Optional[int] = ..., levels: _Optional[_Iterable[str]] = ...) -> None: ...

class Statement(_message.Message):
    __slots__ = ("name", "sql", "parameters", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    sql: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    description: str
    def __init__(self, name: _Optional[str] = ..., sql: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., description: _Optional[str] = ...) -> None: ...

class Reference(_message.Message):
    __slots__ = ("column", "level")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    column: str
    level: str
    def __init__(self, column: _Optional[str] = ..., level: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "kind", "tables", "using", "target", "predictors", "references", "penalty", "penalty_decimals", "without_constant", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    USING_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PREDICTORS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    PENALTY_FIELD_NUMBER: _ClassVar[int]
    PENALTY_DECIMALS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_CONSTANT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ModelKind
    tables: _containers.RepeatedScalarFieldContainer[str]
    using: str
    target: str
    predictors: _containers.RepeatedScalarFieldContainer[str]
    references: _containers.RepeatedCompositeFieldContainer[Reference]
    penalty: int
    penalty_decimals: int
    without_constant: bool
    description: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ModelKind, str]] = ..., tables: _Optional[_Iterable[str]] = ..., using: _Optional[str] = ..., target: _Optional[str] = ..., predictors: _Optional[_Iterable[str]] = ..., references: _Optional[_Iterable[_Union[Reference, _Mapping]]] = ..., penalty: _Optional[int] = ..., penalty_decimals: _Optional[int] = ..., without_constant: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

class Dominance(_message.Message):
    __slots__ = ("p_percent", "top_one_percent", "top_two_percent")
    P_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TOP_ONE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TOP_TWO_PERCENT_FIELD_NUMBER: _ClassVar[int]
    p_percent: int
    top_one_percent: int
    top_two_percent: int
    def __init__(self, p_percent: _Optional[int] = ..., top_one_percent: _Optional[int] = ..., top_two_percent: _Optional[int] = ...) -> None: ...

class Privacy(_message.Message):
    __slots__ = ("mechanism", "epsilon", "delta", "rho", "unit", "max_rows_per_unit")
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    RHO_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_PER_UNIT_FIELD_NUMBER: _ClassVar[int]
    mechanism: NoiseMechanism
    epsilon: int
    delta: int
    rho: int
    unit: str
    max_rows_per_unit: int
    def __init__(self, mechanism: _Optional[_Union[NoiseMechanism, str]] = ..., epsilon: _Optional[int] = ..., delta: _Optional[int] = ..., rho: _Optional[int] = ..., unit: _Optional[str] = ..., max_rows_per_unit: _Optional[int] = ...) -> None: ...

class Authority(_message.Message):
    __slots__ = ("name", "holders")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    holders: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., holders: _Optional[_Iterable[str]] = ...) -> None: ...

class OutputPolicy(_message.Message):
    __slots__ = ("min_count", "min_holders", "dominance", "min_count_per_holder", "group_percent", "release_zeros", "min_freedom", "rounding", "privacy", "min_difference", "review", "review_below")
    MIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_HOLDERS_FIELD_NUMBER: _ClassVar[int]
    DOMINANCE_FIELD_NUMBER: _ClassVar[int]
    MIN_COUNT_PER_HOLDER_FIELD_NUMBER: _ClassVar[int]
    GROUP_PERCENT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ZEROS_FIELD_NUMBER: _ClassVar[int]
    MIN_FREEDOM_FIELD_NUMBER: _ClassVar[int]
    ROUNDING_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    MIN_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    REVIEW_BELOW_FIELD_NUMBER: _ClassVar[int]
    min_count: int
    min_holders: int
    dominance: Dominance
    min_count_per_holder: int
    group_percent: int
    release_zeros: bool
    min_freedom: int
    rounding: int
    privacy: Privacy
    min_difference: int
    review: OutputReview
    review_below: int
    def __init__(self, min_count: _Optional[int] = ..., min_holders: _Optional[int] = ..., dominance: _Optional[_Union[Dominance, _Mapping]] = ..., min_count_per_holder: _Optional[int] = ..., group_percent: _Optional[int] = ..., release_zeros: _Optional[bool] = ..., min_freedom: _Optional[int] = ..., rounding: _Optional[int] = ..., privacy: _Optional[_Union[Privacy, _Mapping]] = ..., min_difference: _Optional[int] = ..., review: _Optional[_Union[OutputReview, str]] = ..., review_below: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("runs", "valid_until")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    runs: int
    valid_until: int
    def __init__(self, runs: _Optional[int] = ..., valid_until: _Optional[int] = ...) -> None: ...

class Scenario(_message.Message):
    __slots__ = ("name", "title", "purpose", "data_user", "checker", "holders", "tables", "statements", "output", "limits", "nonce", "models", "run_key_bits", "proven", "authorisation", "authorities", "replaces")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATA_USER_FIELD_NUMBER: _ClassVar[int]
    CHECKER_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    RUN_KEY_BITS_FIELD_NUMBER: _ClassVar[int]
    PROVEN_FIELD_NUMBER: _ClassVar[int]
    AUTHORISATION_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    purpose: str
    data_user: str
    checker: str
    holders: _containers.RepeatedScalarFieldContainer[str]
    tables: _containers.RepeatedCompositeFieldContainer[TableContract]
    statements: _containers.RepeatedCompositeFieldContainer[Statement]
    output: OutputPolicy
    limits: Limits
    nonce: bytes
    models: _containers.RepeatedCompositeFieldContainer[Model]
    run_key_bits: int
    proven: bool
    authorisation: AuthorisationMode
    authorities: _containers.RepeatedCompositeFieldContainer[Authority]
    replaces: bytes
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., purpose: _Optional[str] = ..., data_user: _Optional[str] = ..., checker: _Optional[str] = ..., holders: _Optional[_Iterable[str]] = ..., tables: _Optional[_Iterable[_Union[TableContract, _Mapping]]] = ..., statements: _Optional[_Iterable[_Union[Statement, _Mapping]]] = ..., output: _Optional[_Union[OutputPolicy, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., nonce: _Optional[bytes] = ..., models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., run_key_bits: _Optional[int] = ..., proven: _Optional[bool] = ..., authorisation: _Optional[_Union[AuthorisationMode, str]] = ..., authorities: _Optional[_Iterable[_Union[Authority, _Mapping]]] = ..., replaces: _Optional[bytes] = ...) -> None: ...

class ScenarioProposed(_message.Message):
    __slots__ = ("scenario", "user", "checker", "holders", "runs", "valid_until", "min_holders", "time", "review", "deciders", "authorisation", "authorities", "replaces")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    CHECKER_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    MIN_HOLDERS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    DECIDERS_FIELD_NUMBER: _ClassVar[int]
    AUTHORISATION_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    scenario: bytes
    user: str
    checker: str
    holders: _containers.RepeatedScalarFieldContainer[str]
    runs: int
    valid_until: int
    min_holders: int
    time: int
    review: OutputReview
    deciders: int
    authorisation: AuthorisationMode
    authorities: _containers.RepeatedScalarFieldContainer[str]
    replaces: bytes
    def __init__(self, scenario: _Optional[bytes] = ..., user: _Optional[str] = ..., checker: _Optional[str] = ..., holders: _Optional[_Iterable[str]] = ..., runs: _Optional[int] = ..., valid_until: _Optional[int] = ..., min_holders: _Optional[int] = ..., time: _Optional[int] = ..., review: _Optional[_Union[OutputReview, str]] = ..., deciders: _Optional[int] = ..., authorisation: _Optional[_Union[AuthorisationMode, str]] = ..., authorities: _Optional[_Iterable[str]] = ..., replaces: _Optional[bytes] = ...) -> None: ...

class ScenarioAuthorised(_message.Message):
    __slots__ = ("scenario", "authority", "decision", "report", "time", "reason", "countersignatures")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNATURES_FIELD_NUMBER: _ClassVar[int]
    scenario: bytes
    authority: str
    decision: AuthorityDecision
    report: bytes
    time: int
    reason: RefusalReason
    countersignatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, scenario: _Optional[bytes] = ..., authority: _Optional[str] = ..., decision: _Optional[_Union[AuthorityDecision, str]] = ..., report: _Optional[bytes] = ..., time: _Optional[int] = ..., reason: _Optional[_Union[RefusalReason, str]] = ..., countersignatures: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ScenarioReviewed(_message.Message):
    __slots__ = ("scenario", "holder", "decision", "report", "time", "reason", "waivers", "countersignatures")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WAIVERS_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNATURES_FIELD_NUMBER: _ClassVar[int]
    scenario: bytes
    holder: str
    decision: Decision
    report: bytes
    time: int
    reason: RefusalReason
    waivers: _containers.RepeatedScalarFieldContainer[Waiver]
    countersignatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, scenario: _Optional[bytes] = ..., holder: _Optional[str] = ..., decision: _Optional[_Union[Decision, str]] = ..., report: _Optional[bytes] = ..., time: _Optional[int] = ..., reason: _Optional[_Union[RefusalReason, str]] = ..., waivers: _Optional[_Iterable[_Union[Waiver, str]]] = ..., countersignatures: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ScenarioSealed(_message.Message):
    __slots__ = ("scenario", "time")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    scenario: bytes
    time: int
    def __init__(self, scenario: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class ScenarioRevoked(_message.Message):
    __slots__ = ("scenario", "holder", "reason", "time")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    scenario: bytes
    holder: str
    reason: RefusalReason
    time: int
    def __init__(self, scenario: _Optional[bytes] = ..., holder: _Optional[str] = ..., reason: _Optional[_Union[RefusalReason, str]] = ..., time: _Optional[int] = ...) -> None: ...

class RunOrdered(_message.Message):
    __slots__ = ("run", "scenario", "user", "order", "participants", "rounds", "time", "pairs")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    scenario: bytes
    user: str
    order: bytes
    participants: _containers.RepeatedScalarFieldContainer[str]
    rounds: int
    time: int
    pairs: _containers.RepeatedCompositeFieldContainer[JoinPair]
    def __init__(self, run: _Optional[bytes] = ..., scenario: _Optional[bytes] = ..., user: _Optional[str] = ..., order: _Optional[bytes] = ..., participants: _Optional[_Iterable[str]] = ..., rounds: _Optional[int] = ..., time: _Optional[int] = ..., pairs: _Optional[_Iterable[_Union[JoinPair, _Mapping]]] = ...) -> None: ...

class JoinPair(_message.Message):
    __slots__ = ("combiner", "owner")
    COMBINER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    combiner: str
    owner: str
    def __init__(self, combiner: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class SetBlinded(_message.Message):
    __slots__ = ("run", "holder", "owner", "place", "set", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    holder: str
    owner: str
    place: int
    set: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., holder: _Optional[str] = ..., owner: _Optional[str] = ..., place: _Optional[int] = ..., set: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class RowsEncrypted(_message.Message):
    __slots__ = ("run", "holder", "pair", "modulus", "rows", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    PAIR_FIELD_NUMBER: _ClassVar[int]
    MODULUS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    holder: str
    pair: int
    modulus: bytes
    rows: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., holder: _Optional[str] = ..., pair: _Optional[int] = ..., modulus: _Optional[bytes] = ..., rows: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class RowsHandedOver(_message.Message):
    __slots__ = ("run", "handed", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    HANDED_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    handed: _containers.RepeatedScalarFieldContainer[bytes]
    time: int
    def __init__(self, run: _Optional[bytes] = ..., handed: _Optional[_Iterable[bytes]] = ..., time: _Optional[int] = ...) -> None: ...

class SumsReturned(_message.Message):
    __slots__ = ("run", "holder", "pair", "sums", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    PAIR_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    holder: str
    pair: int
    sums: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., holder: _Optional[str] = ..., pair: _Optional[int] = ..., sums: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class RowsErased(_message.Message):
    __slots__ = ("run", "scenario", "outcome", "passed", "failed", "not_covered", "started", "ended")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    NOT_COVERED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    scenario: bytes
    outcome: Outcome
    passed: _containers.RepeatedScalarFieldContainer[DeletionCheck]
    failed: _containers.RepeatedScalarFieldContainer[DeletionCheck]
    not_covered: _containers.RepeatedScalarFieldContainer[NotCovered]
    started: int
    ended: int
    def __init__(self, run: _Optional[bytes] = ..., scenario: _Optional[bytes] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., passed: _Optional[_Iterable[_Union[DeletionCheck, str]]] = ..., failed: _Optional[_Iterable[_Union[DeletionCheck, str]]] = ..., not_covered: _Optional[_Iterable[_Union[NotCovered, str]]] = ..., started: _Optional[int] = ..., ended: _Optional[int] = ...) -> None: ...

class StagingDestroyed(_message.Message):
    __slots__ = ("run", "scenario", "holder", "staging", "method", "outcome", "passed", "failed", "not_covered", "started", "ended")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    STAGING_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    NOT_COVERED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    scenario: bytes
    holder: str
    staging: bytes
    method: StagingMethod
    outcome: Outcome
    passed: _containers.RepeatedScalarFieldContainer[DeletionCheck]
    failed: _containers.RepeatedScalarFieldContainer[DeletionCheck]
    not_covered: _containers.RepeatedScalarFieldContainer[NotCovered]
    started: int
    ended: int
    def __init__(self, run: _Optional[bytes] = ..., scenario: _Optional[bytes] = ..., holder: _Optional[str] = ..., staging: _Optional[bytes] = ..., method: _Optional[_Union[StagingMethod, str]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., passed: _Optional[_Iterable[_Union[DeletionCheck, str]]] = ..., failed: _Optional[_Iterable[_Union[DeletionCheck, str]]] = ..., not_covered: _Optional[_Iterable[_Union[NotCovered, str]]] = ..., started: _Optional[int] = ..., ended: _Optional[int] = ...) -> None: ...

class Contributed(_message.Message):
    __slots__ = ("run", "scenario", "holder", "round", "ciphertexts", "context", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    scenario: bytes
    holder: str
    round: Round
    ciphertexts: bytes
    context: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., scenario: _Optional[bytes] = ..., holder: _Optional[str] = ..., round: _Optional[_Union[Round, str]] = ..., ciphertexts: _Optional[bytes] = ..., context: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class SumFormed(_message.Message):
    __slots__ = ("run", "round", "sum", "contributions", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    round: Round
    sum: bytes
    contributions: _containers.RepeatedScalarFieldContainer[bytes]
    time: int
    def __init__(self, run: _Optional[bytes] = ..., round: _Optional[_Union[Round, str]] = ..., sum: _Optional[bytes] = ..., contributions: _Optional[_Iterable[bytes]] = ..., time: _Optional[int] = ...) -> None: ...

class CountsChecked(_message.Message):
    __slots__ = ("run", "checker", "verdict", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    CHECKER_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    checker: str
    verdict: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., checker: _Optional[str] = ..., verdict: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class ResultHeld(_message.Message):
    __slots__ = ("run", "checker", "result", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    CHECKER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    checker: str
    result: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., checker: _Optional[str] = ..., result: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class ResultExamined(_message.Message):
    __slots__ = ("run", "checker", "examination", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    CHECKER_FIELD_NUMBER: _ClassVar[int]
    EXAMINATION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    checker: str
    examination: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., checker: _Optional[str] = ..., examination: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class ResultReleased(_message.Message):
    __slots__ = ("run", "checker", "result", "sealed", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    CHECKER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    checker: str
    result: bytes
    sealed: bytes
    time: int
    def __init__(self, run: _Optional[bytes] = ..., checker: _Optional[str] = ..., result: _Optional[bytes] = ..., sealed: _Optional[bytes] = ..., time: _Optional[int] = ...) -> None: ...

class RunFailed(_message.Message):
    __slots__ = ("run", "party", "reason", "time")
    RUN_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    party: str
    reason: FailureReason
    time: int
    def __init__(self, run: _Optional[bytes] = ..., party: _Optional[str] = ..., reason: _Optional[_Union[FailureReason, str]] = ..., time: _Optional[int] = ...) -> None: ...

class KeysRotated(_message.Message):
    __slots__ = ("member", "card", "time", "countersignatures")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNATURES_FIELD_NUMBER: _ClassVar[int]
    member: str
    card: bytes
    time: int
    countersignatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, member: _Optional[str] = ..., card: _Optional[bytes] = ..., time: _Optional[int] = ..., countersignatures: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LogFrozen(_message.Message):
    __slots__ = ("reason", "time")
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    reason: FreezeReason
    time: int
    def __init__(self, reason: _Optional[_Union[FreezeReason, str]] = ..., time: _Optional[int] = ...) -> None: ...

class ReportApproved(_message.Message):
    __slots__ = ("scenario", "member", "report", "waivers")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    WAIVERS_FIELD_NUMBER: _ClassVar[int]
    scenario: bytes
    member: str
    report: bytes
    waivers: _containers.RepeatedScalarFieldContainer[Waiver]
    def __init__(self, scenario: _Optional[bytes] = ..., member: _Optional[str] = ..., report: _Optional[bytes] = ..., waivers: _Optional[_Iterable[_Union[Waiver, str]]] = ...) -> None: ...

class ResultExamination(_message.Message):
    __slots__ = ("run", "member", "result", "decision", "reason")
    RUN_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    member: str
    result: bytes
    decision: Examination
    reason: ExaminationReason
    def __init__(self, run: _Optional[bytes] = ..., member: _Optional[str] = ..., result: _Optional[bytes] = ..., decision: _Optional[_Union[Examination, str]] = ..., reason: _Optional[_Union[ExaminationReason, str]] = ...) -> None: ...

class CardApproved(_message.Message):
    __slots__ = ("member", "card")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    member: str
    card: bytes
    def __init__(self, member: _Optional[str] = ..., card: _Optional[bytes] = ...) -> None: ...

class Argument(_message.Message):
    __slots__ = ("name", "number", "level", "truth")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    level: str
    truth: bool
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., level: _Optional[str] = ..., truth: _Optional[bool] = ...) -> None: ...

class RunOrder(_message.Message):
    __slots__ = ("run", "scenario", "statement", "arguments", "salt")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    scenario: bytes
    statement: str
    arguments: _containers.RepeatedCompositeFieldContainer[Argument]
    salt: bytes
    def __init__(self, run: _Optional[bytes] = ..., scenario: _Optional[bytes] = ..., statement: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., salt: _Optional[bytes] = ...) -> None: ...

class Context(_message.Message):
    __slots__ = ("run", "scenario", "round", "participants", "checker_key", "width", "count", "question", "proven")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    CHECKER_KEY_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    PROVEN_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    scenario: bytes
    round: Round
    participants: _containers.RepeatedScalarFieldContainer[str]
    checker_key: bytes
    width: int
    count: int
    question: bytes
    proven: bool
    def __init__(self, run: _Optional[bytes] = ..., scenario: _Optional[bytes] = ..., round: _Optional[_Union[Round, str]] = ..., participants: _Optional[_Iterable[str]] = ..., checker_key: _Optional[bytes] = ..., width: _Optional[int] = ..., count: _Optional[int] = ..., question: _Optional[bytes] = ..., proven: _Optional[bool] = ...) -> None: ...

class CellVerdict(_message.Message):
    __slots__ = ("run", "cells", "measures", "passes", "salt")
    RUN_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    cells: int
    measures: int
    passes: bytes
    salt: bytes
    def __init__(self, run: _Optional[bytes] = ..., cells: _Optional[int] = ..., measures: _Optional[int] = ..., passes: _Optional[bytes] = ..., salt: _Optional[bytes] = ...) -> None: ...

class ResultColumn(_message.Message):
    __slots__ = ("name", "type", "scale", "key", "states", "texts", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: CellType
    scale: int
    key: bool
    states: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    error: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[CellType, str]] = ..., scale: _Optional[int] = ..., key: _Optional[bool] = ..., states: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., error: _Optional[str] = ...) -> None: ...

class ResultTable(_message.Message):
    __slots__ = ("columns", "synthetic", "noisy")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    NOISY_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[ResultColumn]
    synthetic: bool
    noisy: bool
    def __init__(self, columns: _Optional[_Iterable[_Union[ResultColumn, _Mapping]]] = ..., synthetic: _Optional[bool] = ..., noisy: _Optional[bool] = ...) -> None: ...

class CheckedResult(_message.Message):
    __slots__ = ("run", "scenario", "statement", "arguments", "min_count", "min_holders", "table", "salt", "compared")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    MIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_HOLDERS_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    scenario: bytes
    statement: str
    arguments: _containers.RepeatedCompositeFieldContainer[Argument]
    min_count: int
    min_holders: int
    table: ResultTable
    salt: bytes
    compared: int
    def __init__(self, run: _Optional[bytes] = ..., scenario: _Optional[bytes] = ..., statement: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., min_count: _Optional[int] = ..., min_holders: _Optional[int] = ..., table: _Optional[_Union[ResultTable, _Mapping]] = ..., salt: _Optional[bytes] = ..., compared: _Optional[int] = ...) -> None: ...

class ProvenEntry(_message.Message):
    __slots__ = ("index", "entry", "proof")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    index: int
    entry: bytes
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, index: _Optional[int] = ..., entry: _Optional[bytes] = ..., proof: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReleaseBundle(_message.Message):
    __slots__ = ("checkpoint", "entries", "scenario", "order", "result")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    entries: _containers.RepeatedCompositeFieldContainer[ProvenEntry]
    scenario: bytes
    order: bytes
    result: bytes
    def __init__(self, checkpoint: _Optional[bytes] = ..., entries: _Optional[_Iterable[_Union[ProvenEntry, _Mapping]]] = ..., scenario: _Optional[bytes] = ..., order: _Optional[bytes] = ..., result: _Optional[bytes] = ...) -> None: ...

class PartyHome(_message.Message):
    __slots__ = ("name", "role", "address", "created", "rotations")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    ROTATIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: Role
    address: str
    created: int
    rotations: int
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., address: _Optional[str] = ..., created: _Optional[int] = ..., rotations: _Optional[int] = ...) -> None: ...

class Joined(_message.Message):
    __slots__ = ("digest", "coordinator")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    coordinator: str
    def __init__(self, digest: _Optional[bytes] = ..., coordinator: _Optional[str] = ...) -> None: ...

class PaillierKeyFile(_message.Message):
    __slots__ = ("type", "p", "q")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    P_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    type: str
    p: bytes
    q: bytes
    def __init__(self, type: _Optional[str] = ..., p: _Optional[bytes] = ..., q: _Optional[bytes] = ...) -> None: ...
