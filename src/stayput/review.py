"""Review: what a holder does about a scenario (read, approve, refuse, revoke), with its own key;
what an authority reads of it (what that does is :mod:`stayput.authorising`).

Each action is fit to be repeated after a crash at any point.  The order matters: an approval is in
the holder's own ledger before anybody hears of it, so a node never meets a seal that it knows
nothing of; a revocation stops the holder's own node before anybody is told, and does so even while
the coordinator cannot be reached.

Not here: the text that is read (:mod:`stayput.approval`), what a node does with an approval
(:mod:`stayput.node`).  What leaks: a step in the log: decision, digests, a reason code, no text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from stayput import documents
from stayput.approval import (
    NO_CEILING,
    ApprovalReport,
    Ceiling,
    approval_report,
    authority_report,
    required_waivers,
    verify_ceiling,
)
from stayput.countersigning import ReportApproved, countersign, in_order
from stayput.crypto import signing
from stayput.crypto.signing import SigningKey
from stayput.differencing import StaticAudit, audit
from stayput.disclosure.floor import NO_FLOOR, OutputFloor, verify_floor
from stayput.errors import NotFound, PermissionDenied, RuleViolation, Unavailable, VerificationError
from stayput.identity import Identity
from stayput.link import CoordinatorLink
from stayput.privacy import Budget, budget_for, run_cost
from stayput.replica import Replica
from stayput.scenario import Scenario
from stayput.session import ScenarioPhase, ScenarioState, verify_proposal
from stayput.sql import Plan, plan
from stayput.steps import (
    Decision,
    RefusalReason,
    Role,
    ScenarioReviewed,
    ScenarioRevoked,
    Waiver,
)
from stayput.store.ledger import Ledger

Clock = Callable[[], int]
"""Unix seconds."""


@dataclasses.dataclass(frozen=True)
class Review:
    """A scenario that stands against the log, and one holder's, or authority's, report about it."""

    scenario: Scenario
    report: ApprovalReport

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """The protections that an approval has to give up explicitly; an authority has none."""
        holder = self.report.reader in self.scenario.holders
        return required_waivers(self.scenario) if holder else ()


def fetch_scenario(replica: Replica, link: CoordinatorLink, digest: bytes) -> Scenario:
    """The scenario with this digest, verified against its proposal in the log.

    Raises:
        NotFound: it was not proposed, or this party is not in it.
        VerificationError: the coordinator sent another one.
    """
    state = _state(replica, digest)
    scenario = documents.parse(Scenario, link.get_scenario(digest))
    if scenario.digest != digest:
        raise VerificationError("the coordinator sent another scenario")
    return verify_proposal(state.proposed, scenario)


def review_report(
    identity: Identity, replica: Replica, link: CoordinatorLink, digest: bytes
) -> Review:
    """What this holder, or authority, has to read before it decides.

    Raises:
        PermissionDenied: this party is neither in this scenario.
        NotFound, VerificationError: see :func:`fetch_scenario`.
        SqlError: a statement is outside the supported grammar.
    """
    state = _state(replica, digest)
    if identity.name not in (*state.proposed.holders, *state.proposed.authorities):
        raise PermissionDenied(
            f"{identity.name} is no holder of this scenario, and no authority",
            hint="use --home with the folder of a holder of the scenario, or of an authority",
        )
    scenario = fetch_scenario(replica, link, digest)
    earlier = earlier_version(identity.name, replica, link, scenario)
    return read_by(identity.name, scenario, earlier, state.proposed.time)


def read_by(reader: str, scenario: Scenario, earlier: Scenario | None, proposed: int) -> Review:
    """The review of one party, from the texts alone.

    Args:
        proposed: time of the proposal in the log.

    Raises as :func:`review_report`.
    """
    make = approval_report if reader in scenario.holders else authority_report
    return Review(scenario, make(scenario, reader, earlier=earlier, proposed=proposed))


def earlier_version(
    name: str, replica: Replica, link: CoordinatorLink, scenario: Scenario
) -> Scenario | None:
    """The scenario that this one replaces, if there is one and ``name`` has a part in it.

    Raises:
        VerificationError: the coordinator sent another one.
    """
    if scenario.replaces is None:
        return None
    known = name in _state(replica, scenario.replaces).parties()
    return fetch_scenario(replica, link, scenario.replaces) if known else None


def audit_beside(
    identity: Identity, replica: Replica, link: CoordinatorLink, scenario: Scenario
) -> StaticAudit | None:
    """What answers of a scenario would give away together with others that its data user has, or
    may still get, about tables of the same name; from the text alone. None if there are none.

    Not part of the report that is signed: two holders need not know the same scenarios.

    Raises:
        VerificationError: the coordinator sent another scenario than the log names.
    """
    plans = _plans(scenario)
    tables = {planned.table for planned in plans}
    held: dict[str, list[Plan]] = {}
    for digest, state in replica.session.scenarios.items():
        asked = state.phase in (ScenarioPhase.SEALED, ScenarioPhase.USED_UP) or state.runs_ordered
        ours = identity.name in (*state.proposed.holders, *state.proposed.authorities)
        if digest == scenario.digest or not asked or not ours:
            continue
        if state.proposed.user == scenario.data_user:
            other = fetch_scenario(replica, link, digest)
            found = [planned for planned in _plans(other) if planned.table in tables]
            if found:
                held.setdefault(f"{other.name} ({digest.hex()[:8]})", []).extend(found)
    return audit(plans, held) if held else None


def _plans(scenario: Scenario) -> list[Plan]:
    found = [
        plan(statement, scenario.tables, len(scenario.holders), scenario.output)
        for statement in scenario.statements
    ]
    return [planned for planned in found if not planned.joined]


def pending_reviews(identity: Identity, replica: Replica) -> tuple[bytes, ...]:
    """Digests of the scenarios that wait for this holder or authority, oldest first."""
    return tuple(
        digest
        for digest, state in replica.session.scenarios.items()
        if state.phase is ScenarioPhase.PROPOSED and identity.name in state.awaited()
    )


def approve(
    review: Review,
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    ledger: Ledger,
    *,
    waivers: tuple[Waiver, ...] = (),
    countersignatures: Sequence[bytes] = (),
    floor: OutputFloor = NO_FLOOR,
    ceiling: Ceiling = NO_CEILING,
    budgets: Sequence[Budget] = (),
    clock: Clock,
) -> ScenarioReviewed:
    """Approve exactly what was read.

    0. The output policy asks for no less than this holder demands, no column is used further than
       its grade allows (clause S-6), and what is asked of privacy budgets can be charged to one
       (clause D-6).
    1. The step would be admitted by the rules, so nothing is recorded that cannot be.
    2. The holder's own ledger has the approval.
    3. The log has it.

    Args:
        review: what was read, from :func:`review_report`.
        waivers: the protections given up; all that the scenario needs.
        countersignatures: statements of this holder's reviewers, in any order (clause S-7).
        floor: what this holder demands of every output policy.
        ceiling: how its columns may be used, by grade.
        budgets: what runs may cost, of each data set.

    Returns:
        The approval in the log: this one, or the one that was there already.

    Raises:
        PermissionDenied: not a holder of the scenario.
        RuleViolation: the policy asks for too little, a waiver is missing, or the rules forbid it
            (reviewed otherwise, expired…).
    """
    _require_holder(review.scenario, identity)
    replica.catch_up(link)
    digest = review.scenario.digest
    done = _own_review(replica, identity, digest)
    if done is not None and done.decision is Decision.APPROVED:
        ledger.approve(digest, done.report, review.scenario.limits.runs)
        return done
    verify_floor(review.scenario.output, floor)
    verify_ceiling(review.scenario, identity.name, ceiling)
    verify_budgets(review.scenario, budgets)
    missing = [waiver for waiver in review.waivers if waiver not in waivers]
    if missing:
        names = ", ".join(waiver.name for waiver in missing)
        options = " ".join(f"--waive {waiver_word(waiver)}" for waiver in missing)
        raise RuleViolation(
            f"an approval of this scenario has to waive {names} explicitly",
            clause="S-3",
            hint=f"read the warnings of the report; to give it up, add {options}",
        )
    step = ScenarioReviewed(
        scenario=digest,
        holder=identity.name,
        decision=Decision.APPROVED,
        report=review.report.digest,
        time=clock(),
        waivers=in_code_order(waivers),
        countersignatures=in_order(countersignatures),
    )
    entry = signing.sign(step, identity.signing_key)
    replica.session.admit(entry)
    ledger.approve(digest, review.report.digest, review.scenario.limits.runs)
    link.review_scenario(entry)
    replica.catch_up(link)
    return step


def verify_budgets(scenario: Scenario, budgets: Sequence[Budget]) -> Scenario:
    """A scenario of which at least one run of each statement could be paid; returns it.

    Raises:
        RuleViolation: see :func:`stayput.privacy.budget_for`; or a run costs more than a total.
    """
    privacy = scenario.output.privacy
    for table in scenario.tables:
        budget = budget_for(privacy, table.name, budgets)
        if privacy is not None and budget is not None and run_cost(privacy) > budget.total:
            raise RuleViolation(
                f"one run costs more than the whole privacy budget of {budget.name!r}",
                clause="D-4",
                hint="refuse, or change the budget in stayput.toml",
            )
    return scenario


def in_code_order(waivers: Iterable[Waiver]) -> tuple[Waiver, ...]:
    """Each once, in the one order that a step has."""
    return tuple(sorted(set(waivers), key=lambda waiver: waiver.value))


def countersign_report(
    review: Review, read: bytes, key: SigningKey, *, waivers: tuple[Waiver, ...] = ()
) -> bytes:
    """A person's statement that its party may approve, or authorise, what was read, for
    :func:`approve` and :func:`stayput.authorising.authorise`.

    Args:
        read: digest of the report that the person has read.

    Raises:
        RuleViolation: that is another report.
    """
    if read != review.report.digest:
        raise RuleViolation(
            "the report is not the one that was read",
            clause="S-7",
            hint="read it again: `stayput report`",
        )
    said = ReportApproved(
        review.scenario.digest, review.report.reader, read, in_code_order(waivers)
    )
    return countersign(said, key)


@documents.document("stayput.persons.ReadingCopy")
@dataclasses.dataclass(frozen=True)
class ReadingCopy:
    """What a reviewer reads on a machine that has no keys of the party: a file, handed over by any
    way.

    The report is made from it again, so whoever alters the file alters what is read, and a
    statement about that counts for nothing.  ``earlier`` is empty where there is no earlier version
    that the party knows; ``proposed`` is the time of the proposal in the log.
    """

    reader: str
    scenario: bytes = dataclasses.field(repr=False)
    proposed: documents.Int64
    earlier: bytes = dataclasses.field(default=b"", repr=False)


def reading_copy(
    identity: Identity, replica: Replica, link: CoordinatorLink, digest: bytes
) -> bytes:
    """The file from which a person can read this party's report of a scenario.

    Raises as :func:`review_report`.
    """
    review = review_report(identity, replica, link, digest)
    earlier = earlier_version(identity.name, replica, link, review.scenario)
    return documents.encode(
        ReadingCopy(
            identity.name,
            documents.encode(review.scenario),
            _state(replica, digest).proposed.time,
            b"" if earlier is None else documents.encode(earlier),
        )
    )


def parse_reading_copy(data: bytes) -> Review:
    """The scenario and the report in a file of :func:`reading_copy`, untrusted bytes.

    Raises:
        DocumentError: it is no such file.
        PermissionDenied: the party in it is not in the scenario.
        SqlError, VerificationError: see :func:`review_report`.
    """
    copy = documents.parse(ReadingCopy, data)
    earlier = documents.parse(Scenario, copy.earlier) if copy.earlier else None
    return read_by(copy.reader, documents.parse(Scenario, copy.scenario), earlier, copy.proposed)


def refuse(
    review: Review,
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    *,
    reason: RefusalReason,
    clock: Clock,
) -> ScenarioReviewed:
    """Refuse a scenario, for everybody and for good.

    Returns:
        The refusal in the log: this one, or the one that was there already.

    Raises:
        PermissionDenied: not a holder of the scenario.
        RuleViolation: it is sealed or approved already (revoke it), or closed.
    """
    _require_holder(review.scenario, identity)
    replica.catch_up(link)
    digest = review.scenario.digest
    done = _own_review(replica, identity, digest)
    if done is not None and done.decision is Decision.REFUSED:
        return done
    if done is not None:
        raise RuleViolation(
            f"{identity.name} has approved it already", clause="S-2", hint="revoke it instead"
        )
    step = ScenarioReviewed(
        scenario=digest,
        holder=identity.name,
        decision=Decision.REFUSED,
        report=review.report.digest,
        time=clock(),
        reason=reason,
    )
    entry = signing.sign(step, identity.signing_key)
    replica.session.admit(entry)
    link.review_scenario(entry)
    replica.catch_up(link)
    return step


def revoke_locally(identity: Identity, ledger: Ledger, digest: bytes) -> None:
    """Stop this holder's own node from taking part again; needs nobody else.

    Raises:
        PermissionDenied: not a holder.
    """
    if identity.role is not Role.HOLDER:
        raise PermissionDenied(
            f"{identity.name} is no holder", hint="only holders approve, so only holders revoke"
        )
    ledger.revoke(digest)


def publish_revocation(
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    digest: bytes,
    *,
    reason: RefusalReason,
    clock: Clock,
) -> None:
    """Tell everybody, after :func:`revoke_locally`; runs that are under way fail.

    Again after a crash, or when the scenario is closed already, changes nothing.

    Raises:
        RuleViolation: the log has no approval of this holder.
        Unavailable: the coordinator cannot be reached; the own node refuses all the same.
    """
    try:
        replica.catch_up(link)
        if _state(replica, digest).phase in (ScenarioPhase.REVOKED, ScenarioPhase.REFUSED):
            return
        step = ScenarioRevoked(scenario=digest, holder=identity.name, reason=reason, time=clock())
        entry = signing.sign(step, identity.signing_key)
        replica.session.admit(entry)
        link.revoke_scenario(entry)
        replica.catch_up(link)
    except Unavailable as error:
        raise Unavailable(
            f"revoked at this node, but nobody else knows: {error.message}",
            hint="this node takes no part from now on; revoke again when the coordinator is back",
        ) from None


def _require_holder(scenario: Scenario, identity: Identity) -> None:
    if identity.name not in scenario.holders:
        raise PermissionDenied(
            f"{identity.name} is no holder of this scenario",
            hint="an authority decides with `stayput authority`",
        )


def waiver_word(waiver: Waiver) -> str:
    """A waiver as it is typed: ``two-holders``."""
    return waiver.name.lower().replace("_", "-")


def _state(replica: Replica, digest: bytes) -> ScenarioState:
    state = replica.session.scenarios.get(digest)
    if state is None:
        raise NotFound("no such scenario was proposed", hint="`stayput scenario list` shows all")
    return state


def _own_review(replica: Replica, identity: Identity, digest: bytes) -> ScenarioReviewed | None:
    return _state(replica, digest).reviews.get(identity.name)
