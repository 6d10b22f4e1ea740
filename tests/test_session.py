"""The rules of the log, each with the step that somebody who breaks it would send."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from parties import NOW, Party

from stayput.errors import DocumentError, RuleViolation, VerificationError
from stayput.session import (
    NO_CIPHERTEXTS,
    Add,
    Contribute,
    Judge,
    Release,
    RunPhase,
    ScenarioPhase,
    Seal,
    Session,
)
from stayput.steps import (
    Contributed,
    CountsChecked,
    Decision,
    DeletionCheck,
    FailureReason,
    NotCovered,
    Outcome,
    RefusalReason,
    ResultReleased,
    Round,
    RunFailed,
    RunOrdered,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioRevoked,
    ScenarioSealed,
    StagingDestroyed,
    StagingMethod,
    SumFormed,
    Waiver,
)

SCENARIO = b"s" * 32
OTHER_SCENARIO = b"o" * 32
RUN = b"r" * 16
HOLDERS = ("north", "south", "west")


def digest(text: str) -> bytes:
    return text.encode().ljust(32, b".")


class Story:
    """Tells a log step by step; every step can be bent before it is signed."""

    def __init__(self, consortium: Party) -> None:
        self.consortium = consortium
        self.session = Session()
        self.log = [consortium.members.envelope]
        self.session.replay(self.log[0])

    def tell(self, step: object, signer: str) -> None:
        entry = self.consortium.sign(step, signer)
        self.session.replay(entry)
        self.log.append(entry)

    def refuses(self, step: object, signer: str, clause: str) -> None:
        before = snapshot(self.session)
        with pytest.raises(RuleViolation) as caught:
            self.tell(step, signer)
        assert caught.value.clause == clause
        assert snapshot(self.session) == before, "a refused step changed the state"

    def until_proposed(self, **changes: object) -> Story:
        self.tell(proposed(**changes), "asker")
        return self

    def until_approved(self, **changes: object) -> Story:
        self.until_proposed(**changes)
        for holder in HOLDERS:
            self.tell(reviewed(holder), holder)
        return self

    def until_sealed(self, **changes: object) -> Story:
        self.until_approved(**changes)
        self.tell(ScenarioSealed(SCENARIO, NOW), "hub")
        return self

    def until_ordered(self, **changes: object) -> Story:
        self.until_sealed()
        self.tell(ordered(**changes), "asker")
        return self

    def until_contributed(self, **changes: object) -> Story:
        self.until_ordered(**changes)
        for holder in HOLDERS:
            self.tell(destroyed(holder), holder)
            self.tell(contributed(holder), holder)
        return self

    def until_judged(self, **changes: object) -> Story:
        self.until_contributed(**changes)
        self.tell(summed(Round.COUNTS), "hub")
        self.tell(CountsChecked(RUN, "office", digest("verdict"), NOW), "office")
        return self

    def until_finishing(self) -> Story:
        self.until_judged()
        for holder in HOLDERS:
            self.tell(contributed(holder, Round.VALUES), holder)
        self.tell(summed(Round.VALUES), "hub")
        return self


def snapshot(session: Session) -> Snapshot:
    return Snapshot(
        session.size,
        {d: (s.phase, tuple(s.reviews), s.runs_ordered) for d, s in session.scenarios.items()},
        {
            r: (s.phase, tuple(s.receipts), tuple(s.sums), s.failure)
            for r, s in session.runs.items()
        },
    )


@dataclasses.dataclass(frozen=True)
class Snapshot:
    size: int
    scenarios: object
    runs: object


def proposed(**changes: object) -> ScenarioProposed:
    step = ScenarioProposed(
        scenario=SCENARIO,
        user="asker",
        checker="office",
        holders=HOLDERS,
        runs=2,
        valid_until=NOW + 100,
        min_holders=3,
        time=NOW,
    )
    return dataclasses.replace(step, **changes)


def reviewed(holder: str, **changes: object) -> ScenarioReviewed:
    step = ScenarioReviewed(SCENARIO, holder, Decision.APPROVED, digest("report"), NOW)
    return dataclasses.replace(step, **changes)


def ordered(**changes: object) -> RunOrdered:
    step = RunOrdered(RUN, SCENARIO, "asker", digest("order"), HOLDERS, 2, NOW)
    return dataclasses.replace(step, **changes)


def destroyed(holder: str, **changes: object) -> StagingDestroyed:
    step = StagingDestroyed(
        run=RUN,
        scenario=SCENARIO,
        holder=holder,
        staging=b"t" * 16,
        method=StagingMethod.PROCESS_MEMORY,
        outcome=Outcome.DESTROYED,
        passed=(DeletionCheck.PROCESS_REAPED,),
        failed=(),
        not_covered=tuple(NotCovered),
        started=NOW,
        ended=NOW + 1,
    )
    return dataclasses.replace(step, **changes)


def contributed(holder: str, round: Round = Round.COUNTS, **changes: object) -> Contributed:
    step = Contributed(
        run=RUN,
        scenario=SCENARIO,
        holder=holder,
        round=round,
        ciphertexts=digest(f"{holder} {round.name}"),
        context=digest(f"context {round.name}"),
        time=NOW,
    )
    return dataclasses.replace(step, **changes)


def summed(round: Round, **changes: object) -> SumFormed:
    parts = tuple(digest(f"{holder} {round.name}") for holder in HOLDERS)
    return dataclasses.replace(SumFormed(RUN, round, digest("sum"), parts, NOW), **changes)


def released(**changes: object) -> ResultReleased:
    step = ResultReleased(RUN, "office", digest("result"), digest("sealed"), NOW)
    return dataclasses.replace(step, **changes)


@pytest.fixture
def story(consortium: Party) -> Story:
    return Story(consortium)


def test_the_whole_story_is_told_and_each_turn_is_one_party_s(story: Story) -> None:
    def turns() -> dict[str, list[object]]:
        names = ["hub", "office", "asker", "reviewer", "eve", *HOLDERS]
        found = {name: list(story.session.instructions(name)) for name in names}
        return {name: turn for name, turn in found.items() if turn}

    story.until_proposed()
    assert turns() == {}
    for holder in HOLDERS:
        story.tell(reviewed(holder), holder)
    assert turns() == {"hub": [Seal(SCENARIO)]}
    story.tell(ScenarioSealed(SCENARIO, NOW), "hub")
    assert turns() == {}
    story.tell(ordered(), "asker")
    assert turns() == {h: [Contribute(RUN, Round.COUNTS, h)] for h in HOLDERS}
    for holder in HOLDERS:
        story.tell(destroyed(holder), holder)
        story.tell(contributed(holder), holder)
    assert turns() == {"hub": [Add(RUN, Round.COUNTS)]}
    story.tell(summed(Round.COUNTS), "hub")
    assert turns() == {"office": [Judge(RUN)]}
    story.tell(CountsChecked(RUN, "office", digest("verdict"), NOW), "office")
    assert turns() == {h: [Contribute(RUN, Round.VALUES, h)] for h in HOLDERS}
    for holder in HOLDERS:
        story.tell(contributed(holder, Round.VALUES), holder)
    story.tell(summed(Round.VALUES), "hub")
    assert turns() == {"office": [Release(RUN)]}
    story.tell(released(), "office")
    assert turns() == {}
    assert story.session.runs[RUN].phase is RunPhase.RELEASED


def test_a_run_of_counts_alone_has_one_round(story: Story) -> None:
    story.until_judged(rounds=1)
    assert list(story.session.instructions("office")) == [Release(RUN)]
    story.refuses(contributed("north", Round.VALUES), "north", "R-3")
    story.tell(released(), "office")


# --- L: the log -----------------------------------------------------------------------------------


def test_the_member_list_is_entry_0_and_only_that(consortium: Party) -> None:
    empty = Session()
    with pytest.raises(RuleViolation) as caught:
        empty.replay(consortium.sign(proposed(), "asker"))
    assert caught.value.clause == "L-1"
    empty.replay(consortium.members.envelope)
    with pytest.raises(RuleViolation) as caught:
        empty.replay(consortium.members.envelope)
    assert caught.value.clause == "L-1"


@pytest.mark.parametrize("signer", ["hub", "rival", "north", "office"])
def test_nobody_signs_for_somebody_else(story: Story, signer: str) -> None:
    with pytest.raises(VerificationError):
        story.tell(proposed(), signer)
    assert story.session.size == 1


def test_the_coordinator_cannot_approve_for_a_holder(story: Story) -> None:
    story.until_proposed()
    with pytest.raises(VerificationError):
        story.tell(reviewed("north"), "hub")


def test_a_step_needs_the_role_that_takes_it(story: Story) -> None:
    story.refuses(proposed(user="north"), "north", "L-2")
    story.refuses(proposed(user="nobody"), "asker", "L-2")
    story.until_proposed()
    story.refuses(reviewed("asker"), "asker", "L-2")


def test_one_flipped_bit_anywhere_in_an_entry_is_refused(story: Story) -> None:
    entry = story.consortium.sign(proposed(), "asker")
    for position in range(len(entry)):
        bent = entry[:position] + bytes([entry[position] ^ 1]) + entry[position + 1 :]
        with pytest.raises((DocumentError, VerificationError, RuleViolation)):
            story.session.replay(bent)
    assert story.session.size == 1


# --- S: scenarios ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"checker": "north"},
        {"checker": "asker"},
        {"holders": ("north", "south", "office")},
        {"holders": ("north", "nobody")},
        {"holders": ("south", "north")},
        {"holders": ("north", "north")},
        {"holders": ("north",)},
        {"min_holders": 1},
        {"min_holders": 4},
        {"runs": 0},
        {"valid_until": NOW},
    ],
)
def test_an_impossible_proposal_is_refused(story: Story, changes: dict[str, object]) -> None:
    story.refuses(proposed(**changes), "asker", "S-1")


def test_a_scenario_is_proposed_once(story: Story) -> None:
    story.until_proposed()
    story.refuses(proposed(), "asker", "S-1")


def test_a_review_is_by_a_holder_of_the_scenario_once_and_in_time(story: Story) -> None:
    story.refuses(reviewed("north", scenario=OTHER_SCENARIO), "north", "S-1")
    story.until_proposed()
    story.refuses(reviewed("eve"), "eve", "S-2")
    story.refuses(reviewed("north", reason=RefusalReason.LEGAL), "north", "S-2")
    story.refuses(reviewed("north", decision=Decision.REFUSED), "north", "S-2")
    story.refuses(reviewed("north", time=NOW + 100), "north", "S-2")
    story.tell(reviewed("north"), "north")
    story.refuses(reviewed("north"), "north", "S-2")


def test_one_refusal_ends_a_scenario(story: Story) -> None:
    story.until_proposed()
    refusal = reviewed("west", decision=Decision.REFUSED, reason=RefusalReason.PURPOSE)
    story.tell(refusal, "west")
    assert story.session.scenarios[SCENARIO].phase is ScenarioPhase.REFUSED
    story.refuses(reviewed("north"), "north", "S-2")
    story.refuses(ScenarioSealed(SCENARIO, NOW), "hub", "S-4")


def test_two_holders_need_every_holders_waiver(story: Story) -> None:
    story.until_proposed(min_holders=2)
    story.refuses(reviewed("north"), "north", "S-3")
    story.tell(reviewed("north", waivers=(Waiver.TWO_HOLDERS,)), "north")


def test_nothing_is_sealed_before_everybody_has_approved(story: Story) -> None:
    story.until_proposed()
    for holder in HOLDERS:
        story.refuses(ScenarioSealed(SCENARIO, NOW), "hub", "S-4")
        story.tell(reviewed(holder), holder)
    story.tell(ScenarioSealed(SCENARIO, NOW), "hub")
    story.refuses(ScenarioSealed(SCENARIO, NOW), "hub", "S-4")


def test_revocation_is_by_one_who_approved_and_final(story: Story) -> None:
    revocation = ScenarioRevoked(SCENARIO, "south", RefusalReason.LEGAL, NOW)
    story.until_proposed()
    story.refuses(revocation, "south", "S-5")
    for holder in HOLDERS:
        story.tell(reviewed(holder), holder)
    story.tell(ScenarioSealed(SCENARIO, NOW), "hub")
    story.refuses(dataclasses.replace(revocation, holder="eve"), "eve", "S-5")
    story.tell(revocation, "south")
    story.refuses(revocation, "south", "S-5")
    story.refuses(ordered(), "asker", "R-1")


def test_revocation_fails_runs_on_their_way(story: Story) -> None:
    story.until_finishing()
    story.tell(ScenarioRevoked(SCENARIO, "south", RefusalReason.LEGAL, NOW), "south")
    assert story.session.runs[RUN].failure is FailureReason.REVOKED
    story.refuses(released(), "office", "R-6")


# --- R: runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"participants": ("north", "south")},
        {"participants": ("eve", "north", "south", "west")},
        {"participants": ("south", "north", "west")},
        {"participants": ()},
        {"time": NOW + 100},
    ],
)
def test_a_run_outside_the_sealed_scenario_is_refused(
    story: Story, changes: dict[str, object]
) -> None:
    story.until_sealed()
    story.refuses(ordered(**changes), "asker", "R-1")


def test_only_the_scenarios_own_data_user_orders(story: Story) -> None:
    story.until_sealed()
    story.refuses(ordered(user="rival"), "rival", "R-1")
    story.refuses(ordered(scenario=OTHER_SCENARIO), "asker", "S-1")


def test_nothing_runs_before_the_seal(story: Story) -> None:
    story.until_approved()
    story.refuses(ordered(), "asker", "R-1")


def test_a_scenario_runs_as_often_as_sealed(story: Story) -> None:
    story.until_sealed()
    story.tell(ordered(), "asker")
    story.refuses(ordered(), "asker", "R-1")
    story.tell(ordered(run=b"2" * 16), "asker")
    assert story.session.scenarios[SCENARIO].phase is ScenarioPhase.USED_UP
    story.refuses(ordered(run=b"3" * 16), "asker", "R-1")


def test_a_receipt_is_the_participants_own_once_and_consistent(story: Story) -> None:
    story.until_ordered()
    story.refuses(destroyed("eve"), "eve", "R-2")
    story.refuses(destroyed("north", run=b"x" * 16), "north", "R-2")
    story.refuses(destroyed("north", scenario=OTHER_SCENARIO), "north", "R-2")
    story.refuses(destroyed("north", ended=NOW - 1), "north", "R-2")
    story.refuses(destroyed("north", failed=(DeletionCheck.NO_FILES_LEFT,)), "north", "R-2")
    story.refuses(destroyed("north", outcome=Outcome.FAILED), "north", "R-2")
    story.tell(destroyed("north"), "north")
    story.refuses(destroyed("north"), "north", "R-2")


def test_a_failed_deletion_ends_the_run_and_is_logged(story: Story) -> None:
    story.until_ordered()
    receipt = destroyed(
        "north", outcome=Outcome.FAILED, failed=(DeletionCheck.NO_FILES_LEFT,), passed=()
    )
    story.tell(receipt, "north")
    assert story.session.runs[RUN].failure is FailureReason.DELETION_FAILED
    story.tell(destroyed("south"), "south")  # a receipt is never too late
    story.refuses(contributed("south"), "south", "R-3")


def test_no_part_before_the_receipt_and_each_part_once(story: Story) -> None:
    story.until_ordered()
    story.refuses(contributed("north"), "north", "R-3")
    story.tell(destroyed("north"), "north")
    story.refuses(contributed("north", Round.VALUES), "north", "R-3")
    story.refuses(contributed("north", scenario=OTHER_SCENARIO), "north", "R-3")
    story.refuses(contributed("eve"), "eve", "R-3")
    story.tell(contributed("north"), "north")
    story.refuses(contributed("north"), "north", "R-3")
    story.refuses(contributed("north", ciphertexts=digest("other")), "north", "R-3")


def test_a_replayed_part_is_refused_also_in_another_run(story: Story) -> None:
    story.until_contributed()
    second = b"2" * 16
    story.tell(ordered(run=second), "asker")
    story.tell(destroyed("north", run=second), "north")
    story.refuses(contributed("north", run=second), "north", "R-3")
    stolen = digest("south COUNTS")
    story.refuses(contributed("north", run=second, ciphertexts=stolen), "north", "R-3")
    story.tell(contributed("north", run=second, ciphertexts=digest("fresh")), "north")


def test_where_no_cell_passes_everybody_sends_the_same_empty_vector(story: Story) -> None:
    story.until_judged()
    for holder in HOLDERS:
        story.tell(contributed(holder, Round.VALUES, ciphertexts=NO_CIPHERTEXTS), holder)
    empty = summed(Round.VALUES, contributions=(NO_CIPHERTEXTS,) * 3, sum=NO_CIPHERTEXTS)
    story.tell(empty, "hub")
    story.tell(released(), "office")


def test_parts_bound_to_different_contexts_do_not_meet(story: Story) -> None:
    story.until_ordered()
    for holder in HOLDERS:
        story.tell(destroyed(holder), holder)
    story.tell(contributed("north"), "north")
    story.refuses(contributed("south", context=digest("another width")), "south", "R-3")


def test_a_sum_is_of_exactly_the_logged_parts(story: Story) -> None:
    story.until_ordered()
    for holder in HOLDERS:
        story.tell(destroyed(holder), holder)
        story.refuses(summed(Round.COUNTS), "hub", "R-4")
        story.tell(contributed(holder), holder)
    parts = summed(Round.COUNTS).contributions
    for bent in (parts[:2], parts[::-1], (*parts, parts[0]), (parts[0], parts[0], parts[2])):
        story.refuses(summed(Round.COUNTS, contributions=bent), "hub", "R-4")
    story.refuses(summed(Round.VALUES), "hub", "R-4")
    story.tell(summed(Round.COUNTS), "hub")
    story.refuses(summed(Round.COUNTS), "hub", "R-4")


def test_counts_are_judged_once_by_the_checker_after_the_sum(story: Story) -> None:
    verdict = CountsChecked(RUN, "office", digest("verdict"), NOW)
    story.until_contributed()
    story.refuses(verdict, "office", "R-5")
    story.tell(summed(Round.COUNTS), "hub")
    story.tell(verdict, "office")
    story.refuses(verdict, "office", "R-5")


def test_values_are_not_taken_before_the_verdict(story: Story) -> None:
    story.until_contributed()
    story.tell(summed(Round.COUNTS), "hub")
    story.refuses(contributed("north", Round.VALUES), "north", "R-3")


def test_nothing_is_released_unchecked_or_twice(story: Story) -> None:
    story.until_judged()
    story.refuses(released(), "office", "R-6")
    for holder in HOLDERS:
        story.tell(contributed(holder, Round.VALUES), holder)
    story.refuses(released(), "office", "R-6")
    story.tell(summed(Round.VALUES), "hub")
    story.tell(released(), "office")
    story.refuses(released(), "office", "R-6")
    story.refuses(released(result=digest("better")), "office", "R-6")


@pytest.mark.parametrize("party", ["hub", "office", "north"])
def test_a_party_of_the_run_may_end_it(story: Story, party: str) -> None:
    story.until_judged()
    story.tell(RunFailed(RUN, party, FailureReason.TIMED_OUT, NOW), party)
    assert story.session.runs[RUN].phase is RunPhase.FAILED
    story.refuses(released(), "office", "R-6")
    story.refuses(RunFailed(RUN, party, FailureReason.TIMED_OUT, NOW), party, "R-7")


def test_a_stranger_to_the_run_cannot_end_it_nor_can_anyone_unrelease(story: Story) -> None:
    story.until_finishing()
    for stranger in ("eve", "rival", "asker", "reviewer"):
        step = RunFailed(RUN, stranger, FailureReason.TIMED_OUT, NOW)
        story.refuses(step, stranger, "R-7")
    story.tell(released(), "office")
    story.refuses(RunFailed(RUN, "hub", FailureReason.TIMED_OUT, NOW), "hub", "R-7")


def replay(log: list[bytes]) -> Session:
    session = Session()
    for entry in log:
        session.replay(entry)
    return session


REORDERINGS: list[Callable[[list[bytes]], list[bytes]]] = [
    lambda log: log[1:],
    lambda log: log[:1] + log[2:],
    lambda log: [log[0], *log[:0:-1]],
    lambda log: [*log[:5], log[6], log[5], *log[7:]],
    lambda log: [*log, log[-1]],
]


@pytest.mark.parametrize("bend", REORDERINGS)
def test_no_reordered_or_shortened_story_is_accepted(
    story: Story, bend: Callable[[list[bytes]], list[bytes]]
) -> None:
    story.until_finishing()
    story.tell(released(), "office")
    replay(story.log)
    with pytest.raises((RuleViolation, VerificationError, DocumentError)):
        replay(bend(story.log))
