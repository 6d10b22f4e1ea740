"""What a run is, for whoever takes part: documents fetched and verified, sums formed again.

Node and checker each derive from the verified log, and from documents that the log commits to,
what a run computes, to what its parts are bound, and what their sum is.  They use the same
functions, so that both refuse the same things.  Everything fetched is untrusted until it is
compared with the log.

Not here: who may go on when (the gates of node and checker), opening sums (:mod:`stayput.checker`).
What leaks: parts are masked and encrypted; a sum that was formed again stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from stayput import documents
from stayput.crypto.cores import Progress
from stayput.encryption import Addition, Context, EncryptedSum, digest_ciphertexts
from stayput.errors import DocumentError, InvalidInput, SqlError, VerificationError
from stayput.join_plans import JoinRunPlan
from stayput.link import CoordinatorLink
from stayput.plans import (
    Earlier,
    Planned,
    RunPlan,
    counts_context,
    earlier_answer,
    plan_run,
    values_context,
)
from stayput.release import CellVerdict, RunOrder
from stayput.replica import Replica
from stayput.scenario import Scenario
from stayput.session import RunState, Session, verify_proposal
from stayput.steps import Round

TELL_EVERY = 5
"""Seconds between two words about long work."""


def told(report: Callable[[str], None], clock: Callable[[], int], what: str) -> Progress:
    """Progress of long work, told now and then as percentages, with the time that is left if it
    goes on as it went; short work stays silent."""
    begun = last = clock()

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = clock()
        if now - last < TELL_EVERY:
            return
        last = now
        left = (now - begun) * (total - done) // max(done, 1)
        words = f", {left // 60} min left" if left >= 120 else f", {left} s left" if left else ""
        report(f"{what} {100 * done // total} %{words}")

    return progress


def fetch_scenario(link: CoordinatorLink, replica: Replica, digest: bytes) -> Scenario:
    """The scenario document that the log names.

    Raises:
        VerificationError: what came is another one, or none.
        NotFound: the coordinator does not have it for this party.
    """
    try:
        scenario = documents.parse(Scenario, link.get_scenario(digest))
    except DocumentError as error:
        raise VerificationError(error.message, hint=error.hint) from None
    verify_proposal(replica.session.scenarios[digest].proposed, scenario)
    return scenario


def fetch_order(link: CoordinatorLink, state: RunState) -> RunOrder:
    """The order to which the log commits. Raises as :func:`fetch_scenario`."""
    try:
        order = documents.parse(RunOrder, link.get_run_order(state.ordered.run))
    except DocumentError as error:
        raise VerificationError(error.message, hint=error.hint) from None
    if documents.digest(order) != state.ordered.order or order.run != state.ordered.run:
        raise VerificationError("the order is not the one in the log")
    return order


def fetch_plan(
    link: CoordinatorLink, replica: Replica, run: bytes
) -> tuple[Scenario, RunOrder, RunPlan | JoinRunPlan]:
    """Scenario, order and plan of a run (clause N-3).

    Raises:
        VerificationError, NotFound: as :func:`fetch_scenario`.
        InvalidInput, RuleViolation: the order is not inside what was sealed.
    """
    state = replica.session.runs[run]
    scenario = fetch_scenario(link, replica, state.ordered.scenario)
    order = fetch_order(link, state)
    known: list[RunState] = []
    strangers: list[RunState] = []
    if scenario.output.min_difference:  # else nobody waits for the question of another run
        known, strangers = runs_beside(replica.session, run)
    earlier = [earlier_run(link, replica, other) for other in known]
    planned = plan_run(
        scenario,
        order,
        state.ordered,
        replica.members,
        [answer for answer in earlier if answer is not None],
        strangers=bool(strangers),
    )
    return scenario, order, planned


def runs_beside(session: Session, run: bytes) -> tuple[list[RunState], list[RunState]]:
    """Runs before this one with a participant of it (clause N-8).

    First those whose question all participants and the checker of this run know; then the others.
    """
    state = session.runs[run]
    mine = set(state.ordered.participants)
    known: list[RunState] = []
    strangers: list[RunState] = []
    for other in session.runs_before(run):
        if not mine & set(other.ordered.participants):
            continue
        everybody = mine <= set(other.ordered.participants) and other.checker == state.checker
        (known if everybody else strangers).append(other)
    return known, strangers


def earlier_run(link: CoordinatorLink, replica: Replica, state: RunState) -> Earlier | None:
    """What is compared of an earlier run; None if nothing is (:func:`plan_earlier`)."""
    run = state.ordered.run
    if run not in replica.earlier:
        scenario = fetch_scenario(link, replica, state.ordered.scenario)
        replica.earlier[run] = plan_earlier(scenario, fetch_order(link, state))
    return replica.earlier[run]


def plan_earlier(scenario: Scenario, order: RunOrder) -> Earlier | None:
    """What is compared of an earlier run; None if it was over a join, or outside what was sealed,
    so that every node refused it."""
    try:
        return earlier_answer(scenario, order)
    except (InvalidInput, SqlError, KeyError):
        return None


def fetch_verdict(link: CoordinatorLink, state: RunState) -> CellVerdict:
    """The verdict to which the log commits. Raises as :func:`fetch_scenario`."""
    assert state.verdict is not None  # asked for in round two only, which it opens
    try:
        verdict = documents.parse(CellVerdict, link.get_verdict(state.ordered.run))
    except DocumentError as error:
        raise VerificationError(error.message, hint=error.hint) from None
    if documents.digest(verdict) != state.verdict.verdict or verdict.run != state.ordered.run:
        raise VerificationError("the verdict is not the one in the log")
    return verdict


def context_of(link: CoordinatorLink, state: RunState, plan: Planned, round: Round) -> Context:
    """What the parts of a round are bound to, from sealed text and verdict."""
    if round is Round.COUNTS:
        return counts_context(plan)
    return values_context(plan, fetch_verdict(link, state))


def verify_sum(
    link: CoordinatorLink, replica: Replica, run: bytes, round: Round, context: Context
) -> EncryptedSum:
    """The sum in the log, formed again from the parts in the log (clauses C-1, C-2, N-7).

    The parts are fetched and added one at a time: whoever added something else to the sum, left a
    part out or took one twice, the coordinator included, is found out.

    Raises:
        VerificationError: a part is bound to another context, is not the one in the log, or the sum
            in the log is not the sum of the parts.
        NotFound, NotYet: a part is not there, or the run is over.
        PermissionDenied: somebody contributed who does not take part.
    """
    state = replica.session.runs[run]
    expected = documents.digest(context)
    addition = Addition(context, replica.members.checker_key_of(context.checker_key))
    for name, part in state.contributions[round].items():
        if part.context != expected:
            raise VerificationError(f"the part of {name} is bound to another context")
        data = link.get_contribution(run, round, name)
        if digest_ciphertexts(data) != part.ciphertexts:
            raise VerificationError(f"the part of {name} is not the one in the log")
        addition.add(name, data)
    total = addition.sum()
    if total.digest != state.sums[round].sum:
        raise VerificationError("the sum in the log is not the sum of the parts in the log")
    return total
