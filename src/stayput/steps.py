"""Steps: the signed statements of which the log consists.

Every log entry is one step, signed by the party that took it and carried verbatim (a DSSE
envelope, :mod:`stayput.crypto.signing`).  The classes are closed: identifiers of parties, digests,
salted commitments, enums and allowed integers; no free text, no counts, no bare hash of anything
guessable (promise 7).  Every field has one length or a short list of codes, so that nobody can put
anything else there, or so much that others cannot read on.  What a step *means*, and when it is
allowed, is :mod:`stayput.session`.

``time`` is the signer's clock in Unix seconds.  It is checked against expiry but nothing is ordered
by it: order is the order of the log.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any

from stayput.documents import Int64, document
from stayput.scenario import END_OF_TIME, SLUG, AuthorisationMode, OutputReview


class Role(enum.Enum):
    HOLDER = 1
    COORDINATOR = 2
    CHECKER = 3
    USER = 4
    AUDITOR = 5


COSIGNING_ROLES = frozenset({Role.HOLDER, Role.AUDITOR})
"""Who cosigns checkpoints of the log: it has a witness key and an auditor key."""


class Decision(enum.Enum):
    APPROVED = 1
    REFUSED = 2


class RefusalReason(enum.Enum):
    """Why a holder refuses or revokes: a code, since free text has no place in the log."""

    UNSPECIFIED_BY_HOLDER = 1
    PURPOSE = 2
    DATA_TOO_SENSITIVE = 3
    STATEMENT_TOO_DETAILED = 4
    OUTPUT_POLICY_TOO_WEAK = 5
    LIMITS_TOO_WIDE = 6
    DATA_NOT_AVAILABLE = 7
    LEGAL = 8


class AuthorityDecision(enum.Enum):
    """What an authority says of a scenario that names it."""

    AUTHORISED = 1
    REFUSED = 2
    WITHDRAWN = 3  # it had authorised it


class Waiver(enum.Enum):
    """A default protection that a holder gives up, explicitly, in its approval."""

    TWO_HOLDERS = 1  # cells to which only two holders contribute may be released


class Round(enum.Enum):
    COUNTS = 1
    VALUES = 2


class StagingMethod(enum.Enum):
    PROCESS_MEMORY = 1  # rows lived in one confined process that wrote no file


class Outcome(enum.Enum):
    DESTROYED = 1
    FAILED = 2


class DeletionCheck(enum.Enum):
    PROCESS_REAPED = 1
    NO_FILES_LEFT = 2
    NO_OPEN_DESCRIPTORS = 3
    NO_CORE_DUMP = 4
    NO_MOUNT_LEFT = 5
    CONFINED_BY_LANDLOCK = 6
    LATE_SWEEP = 7  # a janitor did it at the next start


class NotCovered(enum.Enum):
    """What a deletion receipt does not speak of."""

    SOURCE_SYSTEM = 1
    BACKUPS = 2
    SNAPSHOTS = 3
    SWAP = 4
    PAGE_CACHE = 5
    ROW_HASHES = 6  # keyed, sealed, kept for comparing later answers (clause N-8)


class FailureReason(enum.Enum):
    TIMED_OUT = 1  # somebody stayed away
    HOLDER_REFUSED = 2  # the node's own ledger or verification said no
    DATA_DO_NOT_FIT = 3  # table contract violated at a holder
    STAGING_FAILED = 4
    DELETION_FAILED = 5
    INVARIANT_VIOLATED = 6  # opened sums are impossible (clause C-3)
    REVOKED = 7
    STATE_LOST = 8  # a node lost its partials after a crash; a new run is needed
    SUM_MISMATCH = 9  # the logged sum is not that of the parts (clause N-7)
    LOG_FROZEN = 10  # the coordinator ended the log while the run was open
    RESULT_NOT_CLEARED = 11  # a person at the checker decided that the held result stays


class FreezeReason(enum.Enum):
    """Why a log ends: a code, since free text has no place in the log."""

    KEY_COMPROMISED = 1  # somebody else may hold a key that the log rests on
    LOG_DAMAGED = 2
    MEMBERS_CHANGE = 3  # somebody joins or leaves
    KEYS_EXPIRE = 4  # the coordinator's certificate; its keys do not rotate
    CONSORTIUM_ENDS = 5


ID_BYTES = 16
"""Of runs and stagings: drawn at random."""

DIGEST_BYTES = 32

MAX_CARD_BYTES = 8192
"""Of a logged card: a checker's with the longest certificate and modulus has some 6,500."""

MAX_REVIEWERS = 16
"""Persons who may sign for one member: more than a board has, and they all fit into one entry."""

REVIEWING_ROLES = frozenset({Role.HOLDER, Role.CHECKER, Role.AUDITOR})
"""Whose steps persons may have to sign as well."""

MAX_STATEMENT_BYTES = 1024
"""Of a reviewer's signed statement; the longest has some 600."""

MAX_PREDECESSOR_BYTES = 24 * 1024
"""Of the checkpoint of a predecessor: with 100 Ed25519 signatures it has about 20 kB."""

MIN_RUN_KEY_BYTES, MAX_RUN_KEY_BYTES = 256, 512
"""Of the modulus of a run key: 2048 to 4096 bits."""

_IDS = ("run", "staging")
_STATEMENTS = ("countersignatures", "examination")
_MOMENTS = ("time", "started", "ended", "valid_until")


class _Plain:
    """A step of which every field is what its name says, and no longer.

    Raises:
        ValueError: on construction: an id or digest of another length, codes that are not in order,
            each once, or a time that no calendar shows.
    """

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, require in _requirements(kind):
            require(name, getattr(self, name))


@functools.cache
def _requirements(cls: type) -> tuple[tuple[str, Callable[[str, Any], None]], ...]:
    """The fields of a step about which there is something to require, once for each class: a log
    of a million entries is read through them."""
    found = []
    for field in dataclasses.fields(cls):
        require = _requirement(field.name, str(field.type))
        if require is not None:
            found.append((field.name, require))
    return tuple(found)


def _requirement(name: str, hint: str) -> Callable[[str, Any], None] | None:
    if hint.startswith("tuple["):
        return _require_items
    if hint.startswith("bytes"):
        return _require_bytes
    return _require_time if name in _MOMENTS else None


def _require_items(name: str, items: tuple[Any, ...]) -> None:
    if items and isinstance(items[0], bytes):
        for item in items:
            _require_length(name, item)
    elif items and isinstance(items[0], enum.Enum):
        codes = [item.value for item in items]
        if codes != sorted(set(codes)):
            raise ValueError(f"{name} are in order, each once")


def _require_bytes(name: str, value: bytes | None) -> None:
    if value is not None:
        _require_length(name, value)


def _require_time(name: str, time: int) -> None:
    del name
    _require_moment(time)


def _require_length(name: str, value: bytes) -> None:
    if name in _STATEMENTS:  # what is inside is for the session to verify
        if len(value) > MAX_STATEMENT_BYTES:
            raise ValueError(f"a statement has at most {MAX_STATEMENT_BYTES} bytes")
        return
    if name == "modulus":
        if not MIN_RUN_KEY_BYTES <= len(value) <= MAX_RUN_KEY_BYTES or value[0] < 0x80:
            raise ValueError("a run key has 2048 to 4096 bits, in whole bytes")
        return
    size = ID_BYTES if name in _IDS else DIGEST_BYTES
    if len(value) != size:
        raise ValueError(f"{name} has {size} bytes, not {len(value)}")


def _require_moment(time: int) -> None:
    if not 0 <= time < END_OF_TIME:
        raise ValueError("a time is between the years 1970 and 10000")


@document("stayput.v1.Member")
@dataclasses.dataclass(frozen=True)
class Member:
    """A party's public identity; signed by itself (proof of possession).

    ``certificate`` is the self-signed TLS certificate (DER).  ``paillier_modulus`` (big-endian) is
    the checker's alone.  ``witness_key`` and ``auditor_key`` (Ed25519) are those of the cosigners,
    holders and auditors: with the one it says that it has seen one growing log, with the other that
    it holds the entries and that they obey the rules.  ``reviewers`` are keys of persons,
    Ed25519 and in order, of whom ``quorum`` have to sign what it decides (clause S-7).
    """

    name: str
    role: Role
    signing_key: bytes
    agreement_key: bytes
    certificate: bytes
    paillier_modulus: bytes = b""
    witness_key: bytes = b""
    auditor_key: bytes = b""
    reviewers: tuple[bytes, ...] = ()
    quorum: int = 0

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a party")
        if len(self.signing_key) != 32 or len(self.agreement_key) != 32:
            raise ValueError("public keys have 32 bytes")
        cosigning = 32 if self.role in COSIGNING_ROLES else 0
        if (len(self.witness_key), len(self.auditor_key)) != (cosigning, cosigning):
            raise ValueError(
                "holders and auditors, and only they, have a witness key and an auditor key"
            )
        if bool(self.paillier_modulus) != (self.role is Role.CHECKER):
            raise ValueError("the checker, and only the checker, has a Paillier modulus")
        self._require_reviewers()

    def _require_reviewers(self) -> None:
        if self.reviewers and self.role not in REVIEWING_ROLES:
            raise ValueError("only holders, checkers and auditors have reviewers")
        if len(self.reviewers) > MAX_REVIEWERS or any(len(key) != 32 for key in self.reviewers):
            raise ValueError(f"at most {MAX_REVIEWERS} reviewers, each a key of 32 bytes")
        if list(self.reviewers) != sorted(set(self.reviewers)):
            raise ValueError("reviewers stand in order, each once")
        if not min(1, len(self.reviewers)) <= self.quorum <= len(self.reviewers):
            raise ValueError("the quorum is 1 to the number of reviewers; 0 without any")


@document("stayput.v1.Predecessor")
@dataclasses.dataclass(frozen=True)
class Predecessor:
    """The log that a successor continues: its origin and its last checkpoint, a signed note."""

    origin: str
    checkpoint: bytes

    def __post_init__(self) -> None:
        if len(self.checkpoint) > MAX_PREDECESSOR_BYTES:
            raise ValueError(
                f"a predecessor's checkpoint has at most {MAX_PREDECESSOR_BYTES} bytes"
            )


@document("stayput.v1.MemberList")
@dataclasses.dataclass(frozen=True)
class MemberList:
    """Entry 0: who takes part. Signed by the coordinator; its digest is pinned by every party.

    ``cards`` are the members' own signed :class:`Member` envelopes, verbatim, in order of name.
    ``predecessor`` is the log that this one continues, if there is one.
    """

    consortium: str
    cards: tuple[bytes, ...]
    time: Int64
    predecessor: Predecessor | None = None

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.consortium):
            raise ValueError(f"{self.consortium!r} is no name of a consortium")
        _require_moment(self.time)


@document("stayput.v1.KeysRotated")
@dataclasses.dataclass(frozen=True)
class KeysRotated:
    """By any member but the coordinator, signed with the old signing key: from the next entry on
    its keys are those of this card.

    ``card`` is the new :class:`Member` envelope, verbatim, signed by the new signing key: the one
    signature says that the member wants it, the other that it has the new keys.  A card with other
    reviewers, or another quorum, needs the statements of the present ones (clause K-7).
    """

    member: str
    card: bytes
    time: Int64
    countersignatures: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.member):
            raise ValueError(f"{self.member!r} is no name of a party")
        if len(self.card) > MAX_CARD_BYTES:
            raise ValueError(f"a card in the log has at most {MAX_CARD_BYTES} bytes")
        for statement in self.countersignatures:
            _require_length("countersignatures", statement)
        _require_moment(self.time)


@document("stayput.v1.LogFrozen")
@dataclasses.dataclass(frozen=True)
class LogFrozen(_Plain):
    """By the coordinator: this log ends here; nothing may follow."""

    reason: FreezeReason
    time: Int64


@document("stayput.v1.ScenarioProposed")
@dataclasses.dataclass(frozen=True)
class ScenarioProposed(_Plain):
    """By the data user. The scenario itself goes to its parties, not into the log.

    ``review`` and ``deciders`` say whether persons look at results before release, and how many;
    ``authorisation`` and ``authorities`` who authorises besides the holders; ``replaces`` is the
    scenario that this one is a new version of.
    """

    scenario: bytes
    user: str
    checker: str
    holders: tuple[str, ...]
    runs: int
    valid_until: Int64
    min_holders: int
    time: Int64
    review: OutputReview | None = None
    deciders: int = 0
    authorisation: AuthorisationMode | None = None
    authorities: tuple[str, ...] = ()
    replaces: bytes | None = None


@document("stayput.v1.ScenarioAuthorised")
@dataclasses.dataclass(frozen=True)
class ScenarioAuthorised(_Plain):
    """By an authority that the scenario names, besides the holders, never in place of one."""

    scenario: bytes
    authority: str
    decision: AuthorityDecision
    report: bytes
    time: Int64
    reason: RefusalReason | None = None
    countersignatures: tuple[bytes, ...] = ()


@document("stayput.v1.ScenarioReviewed")
@dataclasses.dataclass(frozen=True)
class ScenarioReviewed(_Plain):
    """By a holder, over the digest of exactly the approval report that it read.

    ``countersignatures`` are statements of its reviewers (clause S-7).
    """

    scenario: bytes
    holder: str
    decision: Decision
    report: bytes
    time: Int64
    reason: RefusalReason | None = None
    waivers: tuple[Waiver, ...] = ()
    countersignatures: tuple[bytes, ...] = ()


@document("stayput.v1.ScenarioSealed")
@dataclasses.dataclass(frozen=True)
class ScenarioSealed(_Plain):
    """By the coordinator, when every holder has approved."""

    scenario: bytes
    time: Int64


@document("stayput.v1.ScenarioRevoked")
@dataclasses.dataclass(frozen=True)
class ScenarioRevoked(_Plain):
    """By a holder: takes its approval back, from the next step on."""

    scenario: bytes
    holder: str
    reason: RefusalReason
    time: Int64


@dataclasses.dataclass(frozen=True)
class JoinPair:
    """Two holders that compute sums over a join together (:mod:`stayput.vertical.plan`): the
    ``owner`` encrypts rows, the ``combiner`` adds them up."""

    combiner: str
    owner: str


@document("stayput.v1.RunOrdered")
@dataclasses.dataclass(frozen=True)
class RunOrdered(_Plain):
    """By the data user. ``order`` commits to the :class:`stayput.release.RunOrder` (statement and
    parameters), which goes to the parties of the scenario only.

    ``pairs`` are those of a run over a join, in the order of its plan; without any the rows of all
    participants are added up as they are.
    """

    run: bytes
    scenario: bytes
    user: str
    order: bytes
    participants: tuple[str, ...]
    rounds: int
    time: Int64
    pairs: tuple[JoinPair, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds not in (1, 2):
            raise ValueError("a run has one or two rounds")


@document("stayput.v1.SetBlinded")
@dataclasses.dataclass(frozen=True)
class SetBlinded(_Plain):
    """By the holder that has raised a blinded set: this is the set after the ``place``-th holder of
    its way, counted from 0 (:mod:`stayput.vertical.blinding`).

    ``set`` is the digest of the set as it is now.
    """

    run: bytes
    holder: str
    owner: str
    place: int
    set: bytes
    time: Int64


@document("stayput.v1.RowsEncrypted")
@dataclasses.dataclass(frozen=True)
class RowsEncrypted(_Plain):
    """By the owner of a pair: its rows are encrypted, under its own key for this run.

    ``pair`` is the position in ``RunOrdered.pairs``, ``modulus`` the run key (big-endian), ``rows``
    the digest of the pieces in which the ciphertexts travel (:mod:`stayput.vertical.pieces`).
    """

    run: bytes
    holder: str
    pair: int
    modulus: bytes
    rows: bytes
    time: Int64


@document("stayput.v1.RowsHandedOver")
@dataclasses.dataclass(frozen=True)
class RowsHandedOver(_Plain):
    """By the coordinator: the sets are matched, and of every pair the combiner's rows are ready.

    ``handed`` are the digests of what each pair's combiner gets, in the order of the pairs.
    """

    run: bytes
    handed: tuple[bytes, ...]
    time: Int64


@document("stayput.v1.SumsReturned")
@dataclasses.dataclass(frozen=True)
class SumsReturned(_Plain):
    """By the combiner of a pair: masked sums, for the owner to open. ``sums`` is their digest."""

    run: bytes
    holder: str
    pair: int
    sums: bytes
    time: Int64


@document("stayput.v1.RowsErased")
@dataclasses.dataclass(frozen=True)
class RowsErased(_Plain):
    """The coordinator's deletion receipt for what it had of single rows: blinded sets, encrypted
    rows, and what it made of them."""

    run: bytes
    scenario: bytes
    outcome: Outcome
    passed: tuple[DeletionCheck, ...]
    failed: tuple[DeletionCheck, ...]
    not_covered: tuple[NotCovered, ...]
    started: Int64
    ended: Int64


@document("stayput.v1.StagingDestroyed")
@dataclasses.dataclass(frozen=True)
class StagingDestroyed(_Plain):
    """The deletion receipt, by the node whose staging it was (DESIGN §4.6)."""

    run: bytes
    scenario: bytes
    holder: str
    staging: bytes
    method: StagingMethod
    outcome: Outcome
    passed: tuple[DeletionCheck, ...]
    failed: tuple[DeletionCheck, ...]
    not_covered: tuple[NotCovered, ...]
    started: Int64
    ended: Int64


@document("stayput.v1.Contributed")
@dataclasses.dataclass(frozen=True)
class Contributed(_Plain):
    """By a node: this masked, encrypted partial is mine, for exactly this run and round.

    ``ciphertexts`` is the digest of the ciphertext vector, ``context`` the digest of everything
    it is bound to (:class:`stayput.encryption.Context`).
    """

    run: bytes
    scenario: bytes
    holder: str
    round: Round
    ciphertexts: bytes
    context: bytes
    time: Int64


@document("stayput.v1.SumFormed")
@dataclasses.dataclass(frozen=True)
class SumFormed(_Plain):
    """By the coordinator: the homomorphic sum of all participants' contributions of a round.

    ``contributions`` are the ciphertext digests in the order of ``RunOrdered.participants``.
    """

    run: bytes
    round: Round
    sum: bytes
    contributions: tuple[bytes, ...]
    time: Int64


@document("stayput.v1.CountsChecked")
@dataclasses.dataclass(frozen=True)
class CountsChecked(_Plain):
    """By the checker: counts are opened and judged. Commits to the cell verdict."""

    run: bytes
    checker: str
    verdict: bytes
    time: Int64


@document("stayput.v1.ResultHeld")
@dataclasses.dataclass(frozen=True)
class ResultHeld(_Plain):
    """By the checker: the result is computed and waits for persons. ``result`` commits to it."""

    run: bytes
    checker: str
    result: bytes
    time: Int64


@document("stayput.v1.ResultExamined")
@dataclasses.dataclass(frozen=True)
class ResultExamined(_Plain):
    """By the checker: one of its reviewers has decided about a held result.

    ``examination`` is the person's own signed statement, verbatim
    (:class:`stayput.countersigning.ResultExamination`).
    """

    run: bytes
    checker: str
    examination: bytes
    time: Int64


@document("stayput.v1.ResultReleased")
@dataclasses.dataclass(frozen=True)
class ResultReleased(_Plain):
    """By the checker: ``result`` commits to the checked result, ``sealed`` is the digest of the
    bytes encrypted to the data user."""

    run: bytes
    checker: str
    result: bytes
    sealed: bytes
    time: Int64


@document("stayput.v1.RunFailed")
@dataclasses.dataclass(frozen=True)
class RunFailed(_Plain):
    """By the party that ends a run without a result."""

    run: bytes
    party: str
    reason: FailureReason
    time: Int64


Step = (
    MemberList
    | ScenarioProposed
    | ScenarioReviewed
    | ScenarioAuthorised
    | ScenarioSealed
    | ScenarioRevoked
    | RunOrdered
    | SetBlinded
    | RowsEncrypted
    | RowsHandedOver
    | SumsReturned
    | RowsErased
    | StagingDestroyed
    | Contributed
    | SumFormed
    | CountsChecked
    | ResultHeld
    | ResultExamined
    | ResultReleased
    | RunFailed
    | KeysRotated
    | LogFrozen
)
"""Every kind of log entry."""

STEP_CLASSES: tuple[type, ...] = Step.__args__
