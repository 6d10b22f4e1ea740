"""The session: which step is allowed when, and who has to do what next.

A state machine without I/O, clock or randomness.  It is fed the log, entry by entry; it refuses an
entry that breaks a rule and knows, after each one, what every party is to do.  Coordinator, node,
checker, client and auditor run this same code over the same bytes, so *audit is replay*: the
auditor reports the first entry that :meth:`Session.admit` refuses.

States of a scenario::

    PROPOSED ──all approve, coordinator seals──▶ SEALED ──last run ordered──▶ USED_UP
        └──one refuses──▶ REFUSED                  └──one revokes (also from PROPOSED)──▶ REVOKED
    PROPOSED, SEALED, USED_UP ──a new version is sealed──▶ REPLACED ──one revokes──▶ REVOKED

(Expiry is not a state of the log: it is the comparison of a clock with ``valid_until``, done on
the time in each step here, and again by each node with its own clock.)

States of a run::

    COUNTING ─counts added─▶ JUDGING ─verdict─▶ VALUING ─values added─▶ FINISHING ─▶ RELEASED
                                              held for persons ─▶ HELD ─▶ CLEARED ──────┘
        any of them ──a party fails it, a deletion fails, a holder revokes──▶ FAILED

A run of one round goes from JUDGING to FINISHING directly.  A run over a join begins earlier::

    BLINDING ─sets have gone their way─▶ ENCRYPTING ─rows of all pairs─▶ MATCHING
             ─handed over─▶ COMBINING ─sums of all pairs returned─▶ COUNTING

Members may take new keys between runs (``KeysRotated``); every entry is verified with the keys of
its moment, and :meth:`Session.members_at` tells those of any earlier one.  After ``LogFrozen``
nothing is admitted any more.  The clauses quoted (``S-3``, ``R-2``…)
are those of ``docs/protocol.md``.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stayput import documents
from stayput.countersigning import (
    CardApproved,
    Examination,
    ReportApproved,
    ResultExamination,
    signer_among,
    verify_countersigned,
    verify_statement,
)
from stayput.crypto import signing
from stayput.encryption import digest_ciphertexts
from stayput.errors import RuleViolation, VerificationError
from stayput.membership import Members, verify_member_list
from stayput.scenario import AuthorisationMode, OutputReview, Scenario
from stayput.steps import (
    STEP_CLASSES,
    AuthorityDecision,
    Contributed,
    CountsChecked,
    Decision,
    DeletionCheck,
    FailureReason,
    KeysRotated,
    LogFrozen,
    MemberList,
    Outcome,
    ResultExamined,
    ResultHeld,
    ResultReleased,
    Role,
    Round,
    RowsEncrypted,
    RowsErased,
    RowsHandedOver,
    RunFailed,
    RunOrdered,
    ScenarioAuthorised,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioRevoked,
    ScenarioSealed,
    SetBlinded,
    StagingDestroyed,
    Step,
    SumFormed,
    SumsReturned,
    Waiver,
)
from stayput.vertical.pieces import PiecesDigest
from stayput.vertical.way import way_of

REASONS_OF: Mapping[Role, frozenset[FailureReason]] = {
    Role.COORDINATOR: frozenset({FailureReason.TIMED_OUT, FailureReason.INVARIANT_VIOLATED}),
    Role.CHECKER: frozenset({FailureReason.INVARIANT_VIOLATED}),
    Role.HOLDER: frozenset(
        {
            FailureReason.HOLDER_REFUSED,
            FailureReason.DATA_DO_NOT_FIT,
            FailureReason.STAGING_FAILED,
            FailureReason.DELETION_FAILED,
            FailureReason.STATE_LOST,
            FailureReason.SUM_MISMATCH,
        }
    ),
}
"""Why each role may end a run (clause R-7).  The others follow from a step of their own: a failed
receipt, a revocation, the end of the log."""

NO_CIPHERTEXTS = digest_ciphertexts(b"")
"""The digest of the empty vector."""

NO_ROWS = PiecesDigest().digest
"""The digest of the rows of an empty table."""

# --- instructions ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Seal:
    """To the coordinator: every holder has approved, seal the scenario."""

    scenario: bytes


@dataclasses.dataclass(frozen=True)
class Contribute:
    """To a holder's node: send your part of this round (and stage first, for the counts)."""

    run: bytes
    round: Round
    holder: str


@dataclasses.dataclass(frozen=True)
class Add:
    """To the coordinator: all parts are here, form and log the sum."""

    run: bytes
    round: Round


@dataclasses.dataclass(frozen=True)
class Judge:
    """To the checker: open the counts and decide which cells may be opened."""

    run: bytes


@dataclasses.dataclass(frozen=True)
class Release:
    """To the checker: open what survived, finish, and release."""

    run: bytes


@dataclasses.dataclass(frozen=True)
class Blind:
    """To a holder's node: raise this owner's blinded set, at this place of its way."""

    run: bytes
    owner: str
    place: int


@dataclasses.dataclass(frozen=True)
class EncryptRows:
    """To the node of a pair's owner: send your rows, encrypted."""

    run: bytes
    pair: int


@dataclasses.dataclass(frozen=True)
class HandOver:
    """To the coordinator: match the sets and give every combiner its rows."""

    run: bytes


@dataclasses.dataclass(frozen=True)
class Combine:
    """To the node of a pair's combiner: add up the rows that you were handed."""

    run: bytes
    pair: int


@dataclasses.dataclass(frozen=True)
class EraseRows:
    """To the coordinator: nobody needs the rows of the run any more, erase them and say so."""

    run: bytes


Instruction = (
    Seal | Contribute | Add | Judge | Release | Blind | EncryptRows | HandOver | Combine | EraseRows
)


# --- state ----------------------------------------------------------------------------------------


class ScenarioPhase(enum.Enum):
    PROPOSED = 1
    REFUSED = 2
    SEALED = 3
    REVOKED = 4
    USED_UP = 5
    REPLACED = 6


class RunPhase(enum.Enum):
    COUNTING = 1
    JUDGING = 2
    VALUING = 3
    FINISHING = 4
    RELEASED = 5
    FAILED = 6
    HELD = 7
    CLEARED = 8
    BLINDING = 9
    ENCRYPTING = 10
    MATCHING = 11
    COMBINING = 12


JOINING = frozenset({RunPhase.BLINDING, RunPhase.ENCRYPTING, RunPhase.MATCHING, RunPhase.COMBINING})
"""Phases in which rows of a join are on their way."""


@dataclasses.dataclass
class ScenarioState:
    """What the log says about one scenario. ``entries`` are the indices that speak of it."""

    proposed: ScenarioProposed
    phase: ScenarioPhase = ScenarioPhase.PROPOSED
    reviews: dict[str, ScenarioReviewed] = dataclasses.field(default_factory=dict)
    authorisations: dict[str, ScenarioAuthorised] = dataclasses.field(default_factory=dict)
    runs_ordered: int = 0
    revoked: ScenarioRevoked | None = None
    entries: list[int] = dataclasses.field(default_factory=list)

    @property
    def approved_by_all(self) -> bool:
        """Every holder, and every authority besides."""
        return all(
            holder in self.reviews and self.reviews[holder].decision is Decision.APPROVED
            for holder in self.proposed.holders
        ) and not set(self.proposed.authorities) - set(self.authorisations)

    def awaited(self) -> tuple[str, ...]:
        """Holders and authorities that have not decided yet."""
        decided = {**self.reviews, **self.authorisations}
        everybody = (*self.proposed.holders, *self.proposed.authorities)
        return tuple(name for name in everybody if name not in decided)

    def refusals(self) -> tuple[str, ...]:
        """Who has closed it, and the code that they gave: ``north: LEGAL``."""
        said = [(name, step.reason) for name, step in self.reviews.items()]
        said += [(name, step.reason) for name, step in self.authorisations.items()]
        said += [] if self.revoked is None else [(self.revoked.holder, self.revoked.reason)]
        return tuple(f"{name}: {reason.name}" for name, reason in said if reason is not None)

    def parties(self) -> frozenset[str]:
        """Everybody named in the scenario."""
        step = self.proposed
        return frozenset((step.user, step.checker, *step.holders, *step.authorities))


@dataclasses.dataclass
class RunState:
    """What the log says about one run. ``entries`` are the indices that speak of it."""

    ordered: RunOrdered
    checker: str
    phase: RunPhase = RunPhase.COUNTING
    receipts: dict[str, StagingDestroyed] = dataclasses.field(default_factory=dict)
    contributions: dict[Round, dict[str, Contributed]] = dataclasses.field(
        default_factory=lambda: {Round.COUNTS: {}, Round.VALUES: {}}
    )
    sums: dict[Round, SumFormed] = dataclasses.field(default_factory=dict)
    blinded: dict[str, list[SetBlinded]] = dataclasses.field(default_factory=dict)
    """Of a join: by owner, in the order of the way."""
    rows: dict[int, RowsEncrypted] = dataclasses.field(default_factory=dict)
    handed: RowsHandedOver | None = None
    returned: dict[int, SumsReturned] = dataclasses.field(default_factory=dict)
    erased: RowsErased | None = None
    verdict: CountsChecked | None = None
    held: ResultHeld | None = None
    cleared_by: set[bytes] = dataclasses.field(default_factory=set)
    released: ResultReleased | None = None
    failed: RunFailed | None = None
    failure: FailureReason | None = None
    ordered_at: int = 0
    """Index of the entry that ordered it."""
    failed_at: int | None = None
    """Index of the entry that ended it without a result."""
    entries: list[int] = dataclasses.field(default_factory=list)

    @property
    def open_round(self) -> Round | None:
        """The round in which contributions are taken now."""
        return {RunPhase.COUNTING: Round.COUNTS, RunPhase.VALUING: Round.VALUES}.get(self.phase)

    def way(self, owner: str) -> tuple[str, ...]:
        """Who raises the set of an owner, in order (J-3)."""
        return way_of(owner, self.ordered.participants)

    def next_raiser(self, owner: str) -> str | None:
        """Who raises it now; None when it has gone its whole way."""
        way = self.way(owner)
        place = len(self.blinded.get(owner, ()))
        return way[place] if place < len(way) else None

    @property
    def over(self) -> bool:
        return self.phase in (RunPhase.RELEASED, RunPhase.FAILED)

    def fail(self, reason: FailureReason) -> None:
        self.phase = RunPhase.FAILED
        self.failure = reason


class Claim(NamedTuple):
    """What an entry says, read without the log.

    ``key`` is the public key under which its signature was found to hold, ``None`` if that was not
    tried: reading claims can be shared out over processes, since it needs no state.
    """

    step: Step
    key: bytes | None = None


def read_claim(entry: bytes, keys: Mapping[str, bytes] | None = None) -> Claim:
    """Read an entry as far as that goes without the log.

    Args:
        entry: untrusted leaf bytes.
        keys: public keys by fingerprint.  If the entry claims one of them, the signature is
            verified under it; what that key may sign is for :meth:`Session.attribute` to say.

    Raises:
        DocumentError: the bytes are no step.
        VerificationError: the signature does not hold under the key that the entry claims.
    """
    envelope = signing.parse_envelope(entry)
    step: Step = signing.peek(envelope, STEP_CLASSES)
    key = None if keys is None else keys.get(envelope.key_id)
    if key is not None:
        signing.verify_envelope(envelope, key)
    return Claim(step, key)


@dataclasses.dataclass(frozen=True)
class Admitted:
    """An entry that was verified and may be applied to the session that admitted it, next."""

    step: Step
    index: int
    entry: bytes


class Session:
    """The replay of a log up to :attr:`size` entries."""

    def __init__(self) -> None:
        self.size = 0
        self.members: Members | None = None
        self.rotations: list[int] = []
        self.frozen: LogFrozen | None = None
        self._eras: list[tuple[int, Members]] = []  # (first size at which they hold, members)
        self.scenarios: dict[bytes, ScenarioState] = {}
        self.runs: dict[bytes, RunState] = {}
        self._open_runs: dict[bytes, None] = {}  # insertion-ordered set
        self._applied = 0  # index of the entry that is being applied
        self._ciphertexts: set[bytes] = set()
        self._run_keys: set[bytes] = set()
        self._unerased: dict[bytes, None] = {}  # runs with rows at the coordinator, in order
        self._stagings: set[bytes] = set()

    # --- admitting: all checks, no change ---------------------------------------------------------

    def admit(self, entry: bytes, *, index: int | None = None) -> Admitted:
        """Check an entry as the next one, without changing anything.

        Args:
            entry: leaf bytes, a signed envelope.
            index: its index in the log when only part of a log is replayed (entries of other
                scenarios left out); the next index by default.

        1. The envelope is canonical and holds one of the known steps.
        2. The signer is the member whom the step names, in the role that may take it (L-2).
        3. The signature holds, under the member's present key.
        4. The log is not frozen (K-5).
        5. The rules of the step hold in the present state.

        Raises:
            DocumentError: the bytes are no step.
            VerificationError: the signature does not hold.
            RuleViolation: the protocol forbids the step now.
        """
        return self.judge(self.attribute(entry, index=index))

    def attribute(
        self, entry: bytes, claim: Claim | None = None, *, index: int | None = None
    ) -> Admitted:
        """Whose step an entry is: points 1 to 3 of :meth:`admit`.

        Args:
            claim: what :func:`read_claim` made of exactly this entry, if somebody has read it.
        """
        position = self.size if index is None else index
        step, key = read_claim(entry) if claim is None else claim
        if isinstance(step, MemberList):
            self._admit_member_list(entry, position)
            return Admitted(step, position, entry)
        members = self._known_members()
        name, role = signer_of(step, members)
        member = members.get(name)
        if member is None or member.role is not role:
            raise RuleViolation(
                f"{name} is no {role.name.lower()} of this consortium", clause="L-2"
            )
        if key != member.signing_key:
            signing.verify_envelope(signing.parse_envelope(entry), member.signing_key)
        return Admitted(step, position, entry)

    def judge(self, attributed: Admitted) -> Admitted:
        """Whether the protocol allows the step now: points 4 and 5 of :meth:`admit`."""
        step = attributed.step
        if isinstance(step, MemberList):
            return attributed
        if self.frozen is not None:
            raise RuleViolation(
                "the log is frozen: nothing may follow",
                clause="K-5",
                hint="ask the coordinator for the successor log, and join that",
            )
        _RULES[type(step)](self, step)
        return attributed

    def _admit_member_list(self, entry: bytes, position: int) -> None:
        if self.size or position:
            raise RuleViolation("the member list is entry 0, and only that", clause="L-1")
        verify_member_list(entry, pinned=None)

    def _known_members(self) -> Members:
        if self.members is None:
            raise RuleViolation("entry 0 is the member list", clause="L-1")
        return self.members

    # --- applying: all changes, no checks ---------------------------------------------------------

    def apply(self, admitted: Admitted) -> None:
        """Take an admitted entry as the next one."""
        self.size += 1
        step = admitted.step
        if isinstance(step, MemberList):
            self._enter_era(1, verify_member_list(admitted.entry, pinned=None))
            return
        if isinstance(step, KeysRotated):
            self.rotations.append(admitted.index)
            self._enter_era(admitted.index + 1, self._known_members().rotated(step.card, step.time))
            return
        self._applied = admitted.index
        self._note_entry(step, admitted.index)
        _EFFECTS[type(step)](self, step)

    def replay(self, entry: bytes, *, index: int | None = None) -> Step:
        """Admit and apply."""
        admitted = self.admit(entry, index=index)
        self.apply(admitted)
        return admitted.step

    def _note_entry(self, step: Step, index: int) -> None:
        run = getattr(step, "run", None)
        if isinstance(step, ScenarioProposed):
            self.scenarios[step.scenario] = ScenarioState(step)
        if isinstance(step, RunOrdered):
            checker = self.scenarios[step.scenario].proposed.checker
            phase = RunPhase.BLINDING if step.pairs else RunPhase.COUNTING
            self.runs[step.run] = RunState(step, checker, phase, ordered_at=index)
            self._open_runs[step.run] = None
        if run is not None:
            self.runs[run].entries.append(index)
        elif not isinstance(step, LogFrozen):
            self.scenarios[getattr(step, "scenario")].entries.append(index)  # noqa: B009

    # --- the members over time --------------------------------------------------------------------

    def _enter_era(self, size: int, members: Members) -> None:
        self.members = members
        self._eras.append((size, members))

    def members_at(self, size: int) -> Members:
        """The members as of the first ``size`` entries.

        With their keys entry ``size`` is signed, and the checkpoint of that size cosigned: a
        rotation at index i holds from the checkpoint of size i + 1 on (clause K-4).

        Raises:
            RuleViolation: there are no members before entry 0.
        """
        for first, members in reversed(self._eras):
            if first <= size:
                return members
        raise RuleViolation("entry 0 is the member list", clause="L-1")

    def card_since(self, name: str) -> int:
        """The smallest size of the log in whose members ``name`` has its present card (K-4).

        Raises:
            NotFound: no member.
        """
        present = self._known_members()[name]
        since = 0
        for first, members in reversed(self._eras):
            if members[name] != present:
                break
            since = first
        return since

    def require_idle(self, name: str) -> None:
        """A member takes part in no open run, so that its keys may change.

        Raises:
            RuleViolation: it does (clause K-3).
        """
        for run_id in self._open_runs:
            run = self.runs[run_id]
            if name in (run.ordered.user, run.checker, *run.ordered.participants):
                raise RuleViolation(
                    f"{name} takes part in an open run",
                    clause="K-3",
                    hint="its keys are in the masks, sums and seals of the run: wait until it is "
                    "over, or fail it",
                )

    # --- who has to do what -----------------------------------------------------------------------

    def instructions(self, party: str) -> Iterator[Instruction]:
        """What ``party`` has to do now; empty when it is somebody else's turn.

        Derived from the state alone, so a party that was killed asks again and goes on.
        """
        members = self._known_members()
        coordinator = members.coordinator.name
        if party == coordinator and self.frozen is None:
            for digest, scenario in self.scenarios.items():
                if scenario.phase is ScenarioPhase.PROPOSED and scenario.approved_by_all:
                    yield Seal(digest)
            for run_id in tuple(self._unerased):
                if self.runs[run_id].phase not in JOINING:
                    yield EraseRows(run_id)
        for run_id in tuple(self._open_runs):
            yield from self._instructions_of_join(run_id, party, coordinator)
            yield from self._instructions_of_run(run_id, party, coordinator)

    def _instructions_of_join(
        self, run_id: bytes, party: str, coordinator: str
    ) -> Iterator[Instruction]:
        run = self.runs[run_id]
        pairs = run.ordered.pairs
        if run.phase is RunPhase.BLINDING:
            for owner in run.ordered.participants:
                if run.next_raiser(owner) == party:
                    yield Blind(run_id, owner, len(run.blinded.get(owner, ())))
        elif run.phase is RunPhase.ENCRYPTING:
            for index, pair in enumerate(pairs):
                if pair.owner == party and index not in run.rows:
                    yield EncryptRows(run_id, index)
        elif run.phase is RunPhase.MATCHING and party == coordinator:
            yield HandOver(run_id)
        elif run.phase is RunPhase.COMBINING:
            for index, pair in enumerate(pairs):
                if pair.combiner == party and index not in run.returned:
                    yield Combine(run_id, index)

    def _instructions_of_run(
        self, run_id: bytes, party: str, coordinator: str
    ) -> Iterator[Instruction]:
        run = self.runs[run_id]
        turn = run.open_round
        if turn is not None:
            done = run.contributions[turn]
            if party in run.ordered.participants and party not in done:
                yield Contribute(run_id, turn, party)
            if party == coordinator and len(done) == len(run.ordered.participants):
                yield Add(run_id, turn)
        elif run.phase is RunPhase.JUDGING and party == run.checker:
            yield Judge(run_id)
        elif run.phase in (RunPhase.FINISHING, RunPhase.CLEARED) and party == run.checker:
            yield Release(run_id)

    def forget_parts(self, run_id: bytes) -> None:
        """Drop what no later rule looks at of a run that is over: for readers of long logs."""
        run = self.runs[run_id]
        if run.over:
            for parts in run.contributions.values():
                parts.clear()
            run.sums.clear()
            run.blinded.clear()
            run.rows.clear()
            run.returned.clear()
            run.handed = None
            run.entries.clear()
            run.verdict = None

    def open_runs(self) -> tuple[bytes, ...]:
        """Runs that are neither released nor failed, oldest first."""
        return tuple(self._open_runs)

    def runs_before(self, run: bytes) -> tuple[RunState, ...]:
        """Runs that were ordered before this one and had not failed by then, oldest first.

        The same at everybody who has the order: what happens later changes nothing.
        """
        at = self.runs[run].ordered_at
        return tuple(
            other
            for other in self.runs.values()
            if other.ordered_at < at and (other.failed_at is None or other.failed_at > at)
        )

    def runs_after(self, run: bytes) -> tuple[RunState, ...]:
        """Runs that were ordered after this one, oldest first."""
        at = self.runs[run].ordered_at
        return tuple(other for other in self.runs.values() if other.ordered_at > at)

    def scenario_of(self, run: bytes) -> ScenarioState:
        """The scenario of a run. Raises KeyError."""
        return self.scenarios[self.runs[run].ordered.scenario]

    def predecessors(self, scenario: bytes) -> Iterator[bytes]:
        """The scenarios that this one is a new version of, newest first (clause S-9)."""
        earlier = self.scenarios[scenario].proposed.replaces
        while earlier is not None:
            yield earlier
            earlier = self.scenarios[earlier].proposed.replaces

    # --- rules, one function per step -------------------------------------------------------------

    def _scenario(self, digest: bytes) -> ScenarioState:
        state = self.scenarios.get(digest)
        if state is None:
            raise RuleViolation("no such scenario was proposed", clause="S-1")
        return state

    def _open_run(self, run_id: bytes, clause: str) -> RunState:
        run = self.runs.get(run_id)
        if run is None:
            raise RuleViolation("no such run was ordered", clause=clause)
        if run.over:
            raise RuleViolation(f"the run is {_words(run.phase)} already", clause=clause)
        return run

    def _rule_proposed(self, step: ScenarioProposed) -> None:
        members = self._known_members()
        if step.scenario in self.scenarios:
            raise RuleViolation("this scenario is proposed already", clause="S-1")
        if list(step.holders) != sorted(set(step.holders)) or len(step.holders) < 2:
            raise RuleViolation("holders are two or more, each once, in order", clause="S-1")
        for name, role in ((step.checker, Role.CHECKER), *((h, Role.HOLDER) for h in step.holders)):
            member = members.get(name)
            if member is None or member.role is not role:
                raise RuleViolation(f"{name} is no {role.name.lower()} here", clause="S-1")
        if not 2 <= step.min_holders <= len(step.holders) or step.runs < 1:
            raise RuleViolation("the limits of the scenario make no sense", clause="S-1")
        if step.time >= step.valid_until:
            raise RuleViolation("the scenario has expired already", clause="S-1")
        self._require_deciders(step, members)
        self._require_authorities(step, members)
        earlier = None if step.replaces is None else self.scenarios.get(step.replaces)
        if step.replaces is not None and (earlier is None or earlier.proposed.user != step.user):
            raise RuleViolation("it replaces no scenario of this data user", clause="S-9")

    def _require_deciders(self, step: ScenarioProposed, members: Members) -> None:
        if (step.review is None) != (step.deciders == 0) or not 0 <= step.deciders <= 2:
            raise RuleViolation("one or two persons decide, where results are held", clause="S-1")
        if step.deciders > len(members[step.checker].reviewers):
            raise RuleViolation(
                f"{step.checker} has too few reviewers to decide about held results",
                clause="R-8",
                hint=f"its card has to enrol {step.deciders} or more: `stayput reviewer enrol`",
            )

    def _require_authorities(self, step: ScenarioProposed, members: Members) -> None:
        names = list(step.authorities)
        if names != sorted(set(names)) or bool(names) != (step.authorisation is not None):
            raise RuleViolation("authorities stand in order, under a mode", clause="S-8")
        if step.authorisation is AuthorisationMode.CENTRALISED and len(names) != 1:
            raise RuleViolation("centralised authorisation is by one authority", clause="S-8")
        for name in names:
            member = members.get(name)
            if member is None or member.role is not Role.AUDITOR:
                raise RuleViolation(
                    f"{name} is no auditor here: only such a member is an authority", clause="S-8"
                )

    def _require_countersigned(
        self, name: str, statements: tuple[bytes, ...], said: object | None, clause: str
    ) -> None:
        """The statements are of enough reviewers of a member; none, where nothing is to be said."""
        member = self._known_members()[name]
        if said is None or not member.reviewers:
            if statements:
                raise RuleViolation("nobody has to countersign this", clause=clause)
            return
        try:
            signed = verify_countersigned(statements, said, member)
        except VerificationError as error:
            raise RuleViolation(error.message, clause=clause) from None
        if signed < member.quorum:
            raise RuleViolation(
                f"{signed} of the {member.quorum} reviewers that {name} needs have signed",
                clause=clause,
                hint="collect their statements: `stayput reviewer sign`",
            )

    def _rule_reviewed(self, step: ScenarioReviewed) -> None:
        state = self._scenario(step.scenario)
        if step.holder not in state.proposed.holders:
            raise RuleViolation(f"{step.holder} is no holder of the scenario", clause="S-2")
        if state.phase is not ScenarioPhase.PROPOSED:
            raise RuleViolation(f"the scenario is {_words(state.phase)}", clause="S-2")
        if step.holder in state.reviews:
            raise RuleViolation(f"{step.holder} has reviewed it already", clause="S-2")
        approved = step.decision is Decision.APPROVED
        if (step.reason is None) != approved:
            raise RuleViolation("a refusal, and only a refusal, gives a reason", clause="S-2")
        if approved and step.time >= state.proposed.valid_until:
            raise RuleViolation("the scenario has expired", clause="S-2")
        if approved and state.proposed.min_holders < 3 and Waiver.TWO_HOLDERS not in step.waivers:
            raise RuleViolation("min_holders 2 needs the holder's waiver", clause="S-3")
        said = ReportApproved(step.scenario, step.holder, step.report, step.waivers)
        self._require_countersigned(
            step.holder, step.countersignatures, said if approved else None, "S-7"
        )

    def _rule_authorised(self, step: ScenarioAuthorised) -> None:
        state = self._scenario(step.scenario)
        if step.authority not in state.proposed.authorities:
            raise RuleViolation(f"{step.authority} is no authority of the scenario", clause="S-8")
        authorised = step.decision is AuthorityDecision.AUTHORISED
        if (step.reason is None) != authorised:
            raise RuleViolation("a refusal, and only a refusal, gives a reason", clause="S-8")
        known = state.authorisations.get(step.authority)
        if step.decision is AuthorityDecision.WITHDRAWN:
            if known is None or known.decision is not AuthorityDecision.AUTHORISED:
                raise RuleViolation(f"{step.authority} has not authorised it", clause="S-8")
            if state.phase in (ScenarioPhase.REVOKED, ScenarioPhase.REFUSED):
                raise RuleViolation(f"the scenario is {_words(state.phase)}", clause="S-8")
        elif state.phase is not ScenarioPhase.PROPOSED:
            raise RuleViolation(f"the scenario is {_words(state.phase)}", clause="S-8")
        elif known is not None:
            raise RuleViolation(f"{step.authority} has decided already", clause="S-8")
        elif authorised and step.time >= state.proposed.valid_until:
            raise RuleViolation("the scenario has expired", clause="S-8")
        said = ReportApproved(step.scenario, step.authority, step.report)
        self._require_countersigned(
            step.authority, step.countersignatures, said if authorised else None, "S-7"
        )

    def _rule_sealed(self, step: ScenarioSealed) -> None:
        state = self._scenario(step.scenario)
        if state.phase is not ScenarioPhase.PROPOSED:
            raise RuleViolation(f"the scenario is {_words(state.phase)}", clause="S-4")
        if not state.approved_by_all:
            names = ", ".join(state.awaited())
            raise RuleViolation(f"not every holder has approved; awaited: {names}", clause="S-4")

    def _rule_revoked(self, step: ScenarioRevoked) -> None:
        state = self._scenario(step.scenario)
        review = state.reviews.get(step.holder)
        if review is None or review.decision is not Decision.APPROVED:
            raise RuleViolation(f"{step.holder} has not approved it", clause="S-5")
        if state.phase in (ScenarioPhase.REVOKED, ScenarioPhase.REFUSED):
            raise RuleViolation(f"the scenario is {_words(state.phase)}", clause="S-5")

    def _rule_ordered(self, step: RunOrdered) -> None:
        state = self._scenario(step.scenario)
        if state.phase is not ScenarioPhase.SEALED:
            raise RuleViolation(
                f"the scenario is {_words(state.phase)}",
                clause="R-1",
                hint=_NO_RUNS.get(state.phase, "propose it again, for all holders to approve"),
            )
        if step.user != state.proposed.user:
            raise RuleViolation(f"{step.user} is not the scenario's data user", clause="R-1")
        if step.time >= state.proposed.valid_until:
            raise RuleViolation("the scenario has expired", clause="R-1")
        if step.run in self.runs:
            raise RuleViolation("this run is ordered already", clause="R-1")
        if step.pairs:
            _require_join(step, state.proposed.holders)
        elif step.participants != state.proposed.holders:
            raise RuleViolation("the participants are exactly the scenario's holders", clause="R-1")

    def _rule_blinded(self, step: SetBlinded) -> None:
        run = self._joining_run(step.run, RunPhase.BLINDING, step.holder, "R-11")
        if step.owner not in run.ordered.participants:
            raise RuleViolation(f"{step.owner} has no set in the join", clause="R-11")
        if run.next_raiser(step.owner) is None:
            raise RuleViolation("the set has gone its whole way", clause="R-11")
        place = len(run.blinded.get(step.owner, ()))
        if (step.place, step.holder) != (place, run.next_raiser(step.owner)):
            raise RuleViolation(
                f"the set of {step.owner} is not with {step.holder} now", clause="R-11"
            )
        self._require_new(step.set, "R-11")

    def _rule_encrypted(self, step: RowsEncrypted) -> None:
        run = self._joining_run(step.run, RunPhase.ENCRYPTING, step.holder, "R-12")
        if not 0 <= step.pair < len(run.ordered.pairs):
            raise RuleViolation("the run has no such pair", clause="R-12")
        if step.holder != run.ordered.pairs[step.pair].owner:
            raise RuleViolation(f"{step.holder} is not the owner of the pair", clause="R-12")
        if step.pair in run.rows:
            raise RuleViolation("the rows of this pair are encrypted", clause="R-12")
        mine = [one.modulus for one in run.rows.values() if one.holder == step.holder]
        if mine and step.modulus != mine[0]:
            raise RuleViolation("an owner has one key for the run", clause="R-12")
        if not mine and step.modulus in self._run_keys:
            raise RuleViolation("the run key was used before, or is another's", clause="R-12")
        self._require_new(step.rows, "R-12")

    def _rule_handed_over(self, step: RowsHandedOver) -> None:
        run = self._joining_run(step.run, RunPhase.MATCHING, None, "R-13")
        if len(step.handed) != len(run.ordered.pairs):
            raise RuleViolation("rows are handed over for every pair, at once", clause="R-13")

    def _rule_returned(self, step: SumsReturned) -> None:
        run = self._joining_run(step.run, RunPhase.COMBINING, step.holder, "R-13")
        if not 0 <= step.pair < len(run.ordered.pairs):
            raise RuleViolation("the run has no such pair", clause="R-13")
        if step.holder != run.ordered.pairs[step.pair].combiner:
            raise RuleViolation(f"{step.holder} is not the combiner of the pair", clause="R-13")
        if step.pair in run.returned:
            raise RuleViolation("the sums of this pair are returned", clause="R-13")
        self._require_new(step.sums, "R-13")

    def _joining_run(
        self, run_id: bytes, phase: RunPhase, holder: str | None, clause: str
    ) -> RunState:
        """The run, if it is in this phase and the holder still has what it staged."""
        run = self._open_run(run_id, clause)
        if run.phase is not phase:
            raise RuleViolation(f"the run is {_words(run.phase)}", clause=clause)
        if holder in run.receipts:
            raise RuleViolation(f"{holder} has destroyed its staging", clause=clause)
        return run

    def _require_new(self, digest: bytes, clause: str) -> None:
        if digest in self._ciphertexts and digest != NO_ROWS:
            raise RuleViolation("the log has these bytes already", clause=clause)

    def _rule_erased(self, step: RowsErased) -> None:
        run = self.runs.get(step.run)  # also after a run is over
        if run is None or not run.ordered.pairs or step.scenario != run.ordered.scenario:
            raise RuleViolation("no such join was ordered", clause="R-14")
        if run.phase in JOINING:
            raise RuleViolation("the rows are still needed", clause="R-14")
        if run.erased is not None:
            raise RuleViolation("the rows of the run are erased", clause="R-14")
        _require_consistent(step, DeletionCheck.NO_FILES_LEFT, "R-14")

    def _rule_destroyed(self, step: StagingDestroyed) -> None:
        run = self.runs.get(step.run)  # also after a run is over: a receipt is never too late
        if run is None or step.holder not in run.ordered.participants:
            raise RuleViolation("no such staging was ordered", clause="R-2")
        if step.scenario != run.ordered.scenario:
            raise RuleViolation("the receipt names another scenario", clause="R-2")
        if step.holder in run.receipts:
            raise RuleViolation(f"{step.holder} has given its receipt", clause="R-2")
        if step.staging in self._stagings:
            raise RuleViolation("this staging has a receipt already", clause="R-2")
        _require_consistent(step, DeletionCheck.PROCESS_REAPED, "R-2")

    def _rule_contributed(self, step: Contributed) -> None:
        run = self._open_run(step.run, "R-3")
        if step.holder not in run.ordered.participants:
            raise RuleViolation(f"{step.holder} takes no part in the run", clause="R-3")
        if step.scenario != run.ordered.scenario:
            raise RuleViolation("the contribution names another scenario", clause="R-3")
        if step.round is not run.open_round:
            raise RuleViolation("this round is not open", clause="R-3")
        if step.holder in run.contributions[step.round]:
            raise RuleViolation(f"{step.holder} has contributed", clause="R-3")
        if step.holder not in run.receipts:
            raise RuleViolation("no contribution before the deletion receipt", clause="R-3")
        # Where no cell passes the vector of round two is empty, the same bytes for everybody.
        if step.ciphertexts in self._ciphertexts and step.ciphertexts != NO_CIPHERTEXTS:
            raise RuleViolation("these ciphertexts were contributed before", clause="R-3")
        for other in run.contributions[step.round].values():
            if other.context != step.context:
                raise RuleViolation("the parts are bound to different contexts", clause="R-3")

    def _rule_sum(self, step: SumFormed) -> None:
        run = self._open_run(step.run, "R-4")
        if step.round is not run.open_round:
            raise RuleViolation("this round is not open", clause="R-4")
        parts = run.contributions[step.round]
        if len(parts) != len(run.ordered.participants):
            raise RuleViolation("not every participant has contributed", clause="R-4")
        logged = tuple(parts[name].ciphertexts for name in run.ordered.participants)
        if step.contributions != logged:
            raise RuleViolation("the sum is of other contributions", clause="R-4")

    def _rule_checked(self, step: CountsChecked) -> None:
        run = self._open_run(step.run, "R-5")
        if step.checker != run.checker:
            raise RuleViolation(f"{step.checker} is not the scenario's checker", clause="R-5")
        if run.phase is not RunPhase.JUDGING:
            raise RuleViolation("there are no counts to judge", clause="R-5")

    def _rule_held(self, step: ResultHeld) -> None:
        run = self._open_run(step.run, "R-8")
        if step.checker != run.checker:
            raise RuleViolation(f"{step.checker} is not the scenario's checker", clause="R-8")
        if run.phase is not RunPhase.FINISHING:
            raise RuleViolation("there is no result to hold", clause="R-8")
        if self.scenario_of(step.run).proposed.review is None:
            raise RuleViolation("nobody is to decide about results of the scenario", clause="R-8")

    def _rule_examined(self, step: ResultExamined) -> None:
        run = self._open_run(step.run, "R-9")
        if step.checker != run.checker:
            raise RuleViolation(f"{step.checker} is not the scenario's checker", clause="R-9")
        if run.held is None or run.phase is not RunPhase.HELD:
            raise RuleViolation("no result is held", clause="R-9")
        try:
            key, said = self._examination(step)
        except VerificationError as error:
            raise RuleViolation(error.message, clause="R-9") from None
        if (said.run, said.member, said.result) != (step.run, step.checker, run.held.result):
            raise RuleViolation("the decision is about another result", clause="R-9")
        if key in run.cleared_by:
            raise RuleViolation("this person has decided already", clause="R-9")

    def _examination(self, step: ResultExamined) -> tuple[bytes, ResultExamination]:
        """Whose decision it is, and what it says."""
        reviewers = self._known_members()[step.checker].reviewers
        key = signer_among(step.examination, reviewers)
        return key, verify_statement(step.examination, ResultExamination, key)

    def _rule_released(self, step: ResultReleased) -> None:
        run = self._open_run(step.run, "R-6")
        if step.checker != run.checker:
            raise RuleViolation(f"{step.checker} is not the scenario's checker", clause="R-6")
        if run.phase is RunPhase.HELD:
            raise RuleViolation("the result is held: persons have to clear it", clause="R-8")
        if run.phase not in (RunPhase.FINISHING, RunPhase.CLEARED):
            raise RuleViolation("the result is not checked yet", clause="R-6")
        if run.held is None and self.scenario_of(step.run).proposed.review is OutputReview.ALWAYS:
            raise RuleViolation("every result of the scenario is held first", clause="R-8")
        if run.held is not None and step.result != run.held.result:
            raise RuleViolation("this is not the result that was cleared", clause="R-8")
        for name in run.ordered.participants:
            if name not in run.receipts:
                raise RuleViolation(f"the deletion receipt of {name} is missing", clause="R-6")
        if run.ordered.pairs and run.erased is None:
            raise RuleViolation("the coordinator's deletion receipt is missing", clause="R-6")

    def _rule_failed(self, step: RunFailed) -> None:
        run = self._open_run(step.run, "R-7")
        members = self._known_members()
        if step.party not in (members.coordinator.name, run.checker, *run.ordered.participants):
            raise RuleViolation(f"{step.party} takes no part in the run", clause="R-7")
        role = members[step.party].role
        if step.reason not in REASONS_OF[role]:
            raise RuleViolation(
                f"{step.reason.name} is nothing that a {role.name.lower()} can say", clause="R-7"
            )

    def _rule_rotated(self, step: KeysRotated) -> None:
        changed = self._known_members().rotated(step.card, step.time)
        if changed[step.member] == self._known_members()[step.member]:
            raise RuleViolation("the card is another member's", clause="K-1")
        self.require_idle(step.member)
        before, after = self._known_members()[step.member], changed[step.member]
        same = (before.reviewers, before.quorum) == (after.reviewers, after.quorum)
        said = None if same else CardApproved(step.member, card_digest(step.card))
        self._require_countersigned(step.member, step.countersignatures, said, "K-7")

    def _rule_frozen(self, step: LogFrozen) -> None:
        pass  # L-2 says who; whatever is open ends with it

    # --- effects, one function per step -----------------------------------------------------------

    def _effect_proposed(self, step: ScenarioProposed) -> None:
        pass  # noted with its first entry

    def _effect_reviewed(self, step: ScenarioReviewed) -> None:
        state = self.scenarios[step.scenario]
        state.reviews[step.holder] = step
        if step.decision is Decision.REFUSED:
            state.phase = ScenarioPhase.REFUSED

    def _effect_authorised(self, step: ScenarioAuthorised) -> None:
        state = self.scenarios[step.scenario]
        state.authorisations[step.authority] = step
        if step.decision is AuthorityDecision.REFUSED:
            state.phase = ScenarioPhase.REFUSED
        elif step.decision is AuthorityDecision.WITHDRAWN:
            self._revoke(step.scenario)

    def _effect_sealed(self, step: ScenarioSealed) -> None:
        state = self.scenarios[step.scenario]
        state.phase = ScenarioPhase.SEALED
        if state.proposed.replaces is not None:
            earlier = self.scenarios[state.proposed.replaces]
            if earlier.phase not in (ScenarioPhase.REFUSED, ScenarioPhase.REVOKED):
                earlier.phase = ScenarioPhase.REPLACED  # its open runs go on

    def _effect_revoked(self, step: ScenarioRevoked) -> None:
        self.scenarios[step.scenario].revoked = step
        self._revoke(step.scenario)

    def _revoke(self, scenario: bytes) -> None:
        self.scenarios[scenario].phase = ScenarioPhase.REVOKED
        for run_id in self.open_runs():
            if self.runs[run_id].ordered.scenario == scenario:
                self._close(run_id, FailureReason.REVOKED)

    def _effect_ordered(self, step: RunOrdered) -> None:
        state = self.scenarios[step.scenario]
        state.runs_ordered += 1
        if state.runs_ordered >= state.proposed.runs:
            state.phase = ScenarioPhase.USED_UP

    def _effect_blinded(self, step: SetBlinded) -> None:
        run = self.runs[step.run]
        run.blinded.setdefault(step.owner, []).append(step)
        self._ciphertexts.add(step.set)
        self._unerased[step.run] = None
        if all(run.next_raiser(owner) is None for owner in run.ordered.participants):
            run.phase = RunPhase.ENCRYPTING

    def _effect_encrypted(self, step: RowsEncrypted) -> None:
        run = self.runs[step.run]
        run.rows[step.pair] = step
        self._run_keys.add(step.modulus)
        self._ciphertexts.add(step.rows)
        if len(run.rows) == len(run.ordered.pairs):
            run.phase = RunPhase.MATCHING

    def _effect_handed_over(self, step: RowsHandedOver) -> None:
        run = self.runs[step.run]
        run.handed = step
        run.phase = RunPhase.COMBINING

    def _effect_returned(self, step: SumsReturned) -> None:
        run = self.runs[step.run]
        run.returned[step.pair] = step
        self._ciphertexts.add(step.sums)
        if len(run.returned) == len(run.ordered.pairs):
            run.phase = RunPhase.COUNTING

    def _effect_erased(self, step: RowsErased) -> None:
        run = self.runs[step.run]
        run.erased = step
        self._unerased.pop(step.run, None)
        if step.outcome is Outcome.FAILED and not run.over:
            self._close(step.run, FailureReason.DELETION_FAILED)

    def _effect_destroyed(self, step: StagingDestroyed) -> None:
        run = self.runs[step.run]
        run.receipts[step.holder] = step
        self._stagings.add(step.staging)
        if step.outcome is Outcome.FAILED and not run.over:
            self._close(step.run, FailureReason.DELETION_FAILED)

    def _effect_contributed(self, step: Contributed) -> None:
        self.runs[step.run].contributions[step.round][step.holder] = step
        self._ciphertexts.add(step.ciphertexts)

    def _effect_sum(self, step: SumFormed) -> None:
        run = self.runs[step.run]
        run.sums[step.round] = step
        run.phase = RunPhase.JUDGING if step.round is Round.COUNTS else RunPhase.FINISHING

    def _effect_checked(self, step: CountsChecked) -> None:
        run = self.runs[step.run]
        run.verdict = step
        run.phase = RunPhase.VALUING if run.ordered.rounds == 2 else RunPhase.FINISHING

    def _effect_held(self, step: ResultHeld) -> None:
        run = self.runs[step.run]
        run.held = step
        run.phase = RunPhase.HELD

    def _effect_examined(self, step: ResultExamined) -> None:
        run = self.runs[step.run]
        key, said = self._examination(step)
        if said.decision is Examination.FAIL:
            self._close(step.run, FailureReason.RESULT_NOT_CLEARED)
            return
        run.cleared_by.add(key)
        if len(run.cleared_by) >= self.scenario_of(step.run).proposed.deciders:
            run.phase = RunPhase.CLEARED

    def _effect_released(self, step: ResultReleased) -> None:
        run = self.runs[step.run]
        run.released = step
        run.phase = RunPhase.RELEASED
        del self._open_runs[step.run]

    def _effect_failed(self, step: RunFailed) -> None:
        self.runs[step.run].failed = step
        self._close(step.run, step.reason)

    def _effect_frozen(self, step: LogFrozen) -> None:
        self.frozen = step
        for run_id in self.open_runs():
            self._close(run_id, FailureReason.LOG_FROZEN)

    def _close(self, run_id: bytes, reason: FailureReason) -> None:
        self.runs[run_id].fail(reason)
        self.runs[run_id].failed_at = self._applied
        del self._open_runs[run_id]


def _require_join(step: RunOrdered, holders: tuple[str, ...]) -> None:
    """The participants and pairs of a join make sense; whether they are those of the statement,
    only the parties of the scenario can see (N-3)."""
    names = list(step.participants)
    if names != sorted(set(names) & set(holders)) or len(names) < 2:
        raise RuleViolation("a join is of two or more holders of the scenario", clause="R-10")
    members = [frozenset((pair.combiner, pair.owner)) for pair in step.pairs]
    if any(len(two) != 2 or not two <= set(names) for two in members):
        raise RuleViolation("a pair is two holders of the join", clause="R-10")
    if len(set(members)) != len(members):
        raise RuleViolation("two holders are one pair", clause="R-10")


def _require_consistent(
    step: StagingDestroyed | RowsErased, least: DeletionCheck, clause: str
) -> None:
    """A deletion receipt does not contradict itself, and says the least that has to be true."""
    if step.ended < step.started:
        raise RuleViolation("the receipt ends before it starts", clause=clause)
    if (step.outcome is Outcome.DESTROYED) == bool(step.failed):
        raise RuleViolation("a receipt with a failed check is a failed one", clause=clause)
    if set(step.passed) & set(step.failed):
        raise RuleViolation("a check passed or failed, not both", clause=clause)
    if not step.failed and least not in step.passed:
        raise RuleViolation(f"nothing is destroyed without {_words(least)}", clause=clause)


def card_digest(card: bytes) -> bytes:
    """What reviewers sign of a card that changes who they are (clause K-7)."""
    return documents.digest_bytes("stayput.v1.MemberEnvelope", card)


_NO_RUNS = {
    ScenarioPhase.PROPOSED: "it can be run when every holder has approved it",
    ScenarioPhase.USED_UP: "all its runs are ordered; for more, propose it again",
    ScenarioPhase.REPLACED: "a new version of it is sealed: run that",
}


def _words(code: ScenarioPhase | RunPhase | DeletionCheck) -> str:
    return code.name.lower().replace("_", " ")


def signer_of(step: Step, members: Members) -> tuple[str, Role]:
    """Name and role of the party that has to have signed a step (clause L-2)."""
    named = _SIGNERS.get(type(step))
    if named is None:
        return members.coordinator.name, Role.COORDINATOR
    field, role = named
    name: str = getattr(step, field)
    if role is not None:
        return name, role
    member = members.get(name)
    return name, member.role if member is not None else Role.COORDINATOR


_SIGNERS: dict[type, tuple[str, Role | None]] = {
    ScenarioProposed: ("user", Role.USER),
    RunOrdered: ("user", Role.USER),
    ScenarioReviewed: ("holder", Role.HOLDER),
    ScenarioRevoked: ("holder", Role.HOLDER),
    ScenarioAuthorised: ("authority", Role.AUDITOR),
    SetBlinded: ("holder", Role.HOLDER),
    RowsEncrypted: ("holder", Role.HOLDER),
    SumsReturned: ("holder", Role.HOLDER),
    StagingDestroyed: ("holder", Role.HOLDER),
    Contributed: ("holder", Role.HOLDER),
    CountsChecked: ("checker", Role.CHECKER),
    ResultHeld: ("checker", Role.CHECKER),
    ResultExamined: ("checker", Role.CHECKER),
    ResultReleased: ("checker", Role.CHECKER),
    RunFailed: ("party", None),
    KeysRotated: ("member", None),
}
"""The field that names the signer, and its role; None: in whatever role that member has."""


def verify_proposal(step: ScenarioProposed, scenario: Scenario) -> Scenario:
    """The step says about the scenario exactly what the scenario says (clause S-1).

    Raises:
        VerificationError: it does not.
    """
    said = (
        step.scenario,
        step.user,
        step.checker,
        step.holders,
        step.runs,
        step.valid_until,
        step.min_holders,
        step.review,
        step.deciders,
        step.authorisation,
        step.authorities,
        step.replaces,
    )
    meant = (
        scenario.digest,
        scenario.data_user,
        scenario.checker,
        tuple(sorted(scenario.holders)),
        scenario.limits.runs,
        scenario.limits.valid_until,
        scenario.output.min_holders,
        scenario.output.review,
        scenario.deciders,
        scenario.authorisation,
        tuple(authority.name for authority in scenario.authorities),
        scenario.replaces,
    )
    if said != meant:
        raise VerificationError("the proposal and the scenario do not say the same")
    return scenario


_RULES: dict[type, Callable[[Session, Any], None]] = {
    ScenarioProposed: Session._rule_proposed,
    ScenarioReviewed: Session._rule_reviewed,
    ScenarioAuthorised: Session._rule_authorised,
    ScenarioSealed: Session._rule_sealed,
    ScenarioRevoked: Session._rule_revoked,
    RunOrdered: Session._rule_ordered,
    SetBlinded: Session._rule_blinded,
    RowsEncrypted: Session._rule_encrypted,
    RowsHandedOver: Session._rule_handed_over,
    SumsReturned: Session._rule_returned,
    RowsErased: Session._rule_erased,
    StagingDestroyed: Session._rule_destroyed,
    Contributed: Session._rule_contributed,
    SumFormed: Session._rule_sum,
    CountsChecked: Session._rule_checked,
    ResultHeld: Session._rule_held,
    ResultExamined: Session._rule_examined,
    ResultReleased: Session._rule_released,
    RunFailed: Session._rule_failed,
    KeysRotated: Session._rule_rotated,
    LogFrozen: Session._rule_frozen,
}

_EFFECTS: dict[type, Callable[[Session, Any], None]] = {
    ScenarioProposed: Session._effect_proposed,
    ScenarioReviewed: Session._effect_reviewed,
    ScenarioAuthorised: Session._effect_authorised,
    ScenarioSealed: Session._effect_sealed,
    ScenarioRevoked: Session._effect_revoked,
    RunOrdered: Session._effect_ordered,
    SetBlinded: Session._effect_blinded,
    RowsEncrypted: Session._effect_encrypted,
    RowsHandedOver: Session._effect_handed_over,
    SumsReturned: Session._effect_returned,
    RowsErased: Session._effect_erased,
    StagingDestroyed: Session._effect_destroyed,
    Contributed: Session._effect_contributed,
    SumFormed: Session._effect_sum,
    CountsChecked: Session._effect_checked,
    ResultHeld: Session._effect_held,
    ResultExamined: Session._effect_examined,
    ResultReleased: Session._effect_released,
    RunFailed: Session._effect_failed,
    LogFrozen: Session._effect_frozen,
}
