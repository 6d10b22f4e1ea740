"""The rules of the log, each with the step that somebody who breaks it would send."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from parties import NOW, Party

from stayput import documents
from stayput.crypto import signing
from stayput.crypto.paillier import PrivateKey
from stayput.errors import ConfigurationError, DocumentError, RuleViolation, VerificationError
from stayput.identity import Identity, create_identity, draw_next, member_card
from stayput.session import (
    NO_CIPHERTEXTS,
    NO_ROWS,
    Add,
    Blind,
    Combine,
    Contribute,
    EncryptRows,
    EraseRows,
    HandOver,
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
    FreezeReason,
    JoinPair,
    KeysRotated,
    LogFrozen,
    NotCovered,
    Outcome,
    RefusalReason,
    ResultReleased,
    Role,
    Round,
    RowsEncrypted,
    RowsErased,
    RowsHandedOver,
    RunFailed,
    RunOrdered,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioRevoked,
    ScenarioSealed,
    SetBlinded,
    StagingDestroyed,
    StagingMethod,
    SumFormed,
    SumsReturned,
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
        self.proposal: dict[str, object] = {}

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
        self.tell(proposed(**{**self.proposal, **changes}), "asker")
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


def destroyed(holder: str, *, run: bytes = RUN, **changes: object) -> StagingDestroyed:
    step = StagingDestroyed(
        run=run,
        scenario=SCENARIO,
        holder=holder,
        staging=hashlib.sha256(run + holder.encode()).digest()[:16],
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
    receipt = destroyed("north")
    story.tell(receipt, "north")
    story.refuses(destroyed("north"), "north", "R-2")
    story.refuses(destroyed("south", staging=receipt.staging), "south", "R-2")
    second = b"2" * 16
    story.tell(ordered(run=second), "asker")
    story.refuses(destroyed("north", run=second, staging=receipt.staging), "north", "R-2")
    story.tell(destroyed("north", run=second), "north")


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


@pytest.mark.parametrize(
    ("party", "reason"),
    [
        ("hub", FailureReason.TIMED_OUT),
        ("office", FailureReason.INVARIANT_VIOLATED),
        ("north", FailureReason.SUM_MISMATCH),
    ],
)
def test_a_party_of_the_run_may_end_it(story: Story, party: str, reason: FailureReason) -> None:
    story.until_judged()
    story.tell(RunFailed(RUN, party, reason, NOW), party)
    assert story.session.runs[RUN].phase is RunPhase.FAILED
    story.refuses(released(), "office", "R-6")
    story.refuses(RunFailed(RUN, party, reason, NOW), party, "R-7")


def test_each_role_gives_its_own_reasons_alone(story: Story) -> None:
    """Nobody says in the log what only somebody else can know, or what another step says."""
    hub = {FailureReason.TIMED_OUT, FailureReason.INVARIANT_VIOLATED}
    told = {
        FailureReason.REVOKED,
        FailureReason.LOG_FROZEN,
        FailureReason.RESULT_NOT_CLEARED,
    }
    allowed = {
        "hub": hub,
        "office": {FailureReason.INVARIANT_VIOLATED},
        "north": set(FailureReason) - hub - told,
    }
    story.until_ordered()
    for party, reasons in allowed.items():
        for reason in FailureReason:
            step = RunFailed(RUN, party, reason, NOW)
            if reason in reasons:
                story.session.admit(story.consortium.sign(step, party))
            else:
                story.refuses(step, party, "R-7")


def test_a_stranger_to_the_run_cannot_end_it_nor_can_anyone_unrelease(story: Story) -> None:
    story.until_finishing()
    for stranger in ("eve", "rival", "asker", "reviewer"):
        for reason in FailureReason:
            story.refuses(RunFailed(RUN, stranger, reason, NOW), stranger, "R-7")
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


# --- keys over time -------------------------------------------------------------------------------


ROTATING = ("north", "office", "asker", "reviewer")
"""One member of every role but the coordinator."""

DAY = 86_400


def card_of(new: Identity, **changes: object) -> bytes:
    """The card of new keys, perhaps bent, always signed by the new signing key."""
    return signing.sign(dataclasses.replace(new.member, **changes), new.signing_key)


def rotation(new: Identity, time: int = NOW, **changes: object) -> KeysRotated:
    return KeysRotated(new.name, card_of(new, **changes), time)


def drawn(story: Story, name: str, now: int = NOW) -> Identity:
    """Next keys of a party; the consortium's own are shared by all tests and stay."""
    return draw_next(story.consortium.identities[name], now=now)


def told(story: Story, step: object, identity: Identity) -> None:
    entry = signing.sign(step, identity.signing_key)
    story.session.replay(entry)
    story.log.append(entry)


@pytest.mark.parametrize("name", ROTATING)
def test_a_member_of_any_role_takes_new_keys(story: Story, name: str) -> None:
    before = story.session.members
    assert before is not None
    new = drawn(story, name)
    story.tell(rotation(new), name)
    now = story.session.members
    assert now is not None
    assert now[name] == new.member
    assert now.envelope == before.envelope
    assert [m for m in now if m.name != name] == [m for m in before if m.name != name]
    assert before[name] == story.consortium.identities[name].member, "the list of before changed"
    assert now.by_certificate(before.certificate(name).sha256) is None
    assert now.formerly(before.certificate(name).sha256) == name
    assert now.by_certificate(now.certificate(name).sha256) == new.member
    if new.paillier_key is not None:
        assert now.checker_key(name) == new.paillier_key.public
    assert replay(story.log).members == now


def test_each_entry_is_verified_with_the_keys_of_its_moment(story: Story) -> None:
    new = drawn(story, "asker")
    with pytest.raises(VerificationError, match="another key"):
        told(story, proposed(), new)  # not yet
    story.tell(rotation(new), "asker")
    with pytest.raises(VerificationError, match="another key"):
        story.tell(proposed(), "asker")  # no longer
    told(story, proposed(), new)
    again = replay(story.log)
    assert again.scenarios.keys() == story.session.scenarios.keys()
    assert again.rotations == [1]


def test_what_was_signed_before_the_rotation_stays(story: Story) -> None:
    story.until_proposed()
    story.tell(reviewed("north"), "north")
    new = drawn(story, "north")
    story.tell(rotation(new), "north")
    for holder in ("south", "west"):
        story.tell(reviewed(holder), holder)
    story.tell(ScenarioSealed(SCENARIO, NOW), "hub")
    assert story.session.scenarios[SCENARIO].phase is ScenarioPhase.SEALED


def test_two_rotations_in_a_row_and_who_was_a_member_when(story: Story) -> None:
    first = drawn(story, "north")
    second = draw_next(first, now=NOW)
    story.tell(rotation(first), "north")
    with pytest.raises(VerificationError, match="another key"):
        story.tell(rotation(second), "north")  # with the first keys of all
    told(story, rotation(second), first)
    original = story.consortium.identities["north"].member
    members_at = story.session.members_at
    assert [members_at(size)["north"] for size in (1, 2, 3, 99)] == [
        original,
        first.member,
        second.member,
        second.member,
    ]
    assert story.session.rotations == [1, 2]
    with pytest.raises(RuleViolation):
        members_at(0)


def test_the_new_key_alone_does_not_rotate(story: Story) -> None:
    new = drawn(story, "north")
    with pytest.raises(VerificationError, match="another key"):
        told(story, rotation(new), new)


def test_the_old_key_alone_does_not_rotate(story: Story) -> None:
    """A card that the new key has not signed: whoever signs it need not have that key."""
    new = drawn(story, "north")
    unproven = story.consortium.sign(new.member, "north")
    with pytest.raises(VerificationError):
        story.tell(KeysRotated("north", unproven, NOW), "north")


def test_nobody_rotates_the_keys_of_somebody_else(story: Story, tmp_path: Path) -> None:
    theirs = drawn(story, "south")
    story.refuses(KeysRotated("north", card_of(theirs), NOW), "north", "K-1")
    with pytest.raises(VerificationError, match="another key"):
        story.tell(rotation(theirs), "north")
    stranger = create_identity(tmp_path / "stranger", "stranger", Role.HOLDER, now=NOW)
    story.refuses(KeysRotated("north", member_card(stranger), NOW), "north", "K-1")
    story.refuses(KeysRotated("stranger", member_card(stranger), NOW), "north", "L-2")


def test_a_rotation_changes_no_role(story: Story) -> None:
    new = drawn(story, "reviewer")
    story.refuses(rotation(new, role=story.consortium.members.role("north")), "reviewer", "K-1")


def test_the_coordinator_does_not_rotate(story: Story) -> None:
    hub = story.consortium.identities["hub"]
    with pytest.raises(ConfigurationError, match="do not rotate") as refused:
        draw_next(hub, now=NOW)
    assert "operating.md" in refused.value.hint
    key = drawn(story, "asker").signing_key
    card = signing.sign(dataclasses.replace(hub.member, signing_key=key.public), key)
    story.refuses(KeysRotated("hub", card, NOW), "hub", "K-1")


def test_no_key_comes_back_and_none_is_taken_over(story: Story) -> None:
    """By whom and for what it was used does not matter."""
    old, other = story.consortium.identities["north"], story.consortium.identities["south"]
    new = drawn(story, "north")
    assert old.witness_key is not None
    assert other.witness_key is not None
    for changes in (
        {"agreement_key": other.agreement_key.public},
        {"witness_key": other.witness_key.public},
        {"auditor_key": old.witness_key.public},
        {"witness_key": old.signing_key.public},
        {"witness_key": new.member.auditor_key},
        {"witness_key": new.signing_key.public},
        {"agreement_key": story.consortium.identities["west"].signing_key.public},
    ):
        before = snapshot(story.session)
        with pytest.raises((RuleViolation, VerificationError)):
            story.tell(rotation(new, **changes), "north")
        assert snapshot(story.session) == before
    story.tell(rotation(new), "north")
    for changes in (
        {"agreement_key": old.agreement_key.public},
        {"witness_key": old.witness_key.public},
        {"certificate": old.certificate},
    ):
        following = draw_next(new, now=NOW)
        with pytest.raises(RuleViolation) as refused:
            told(story, rotation(following, **changes), new)
        assert refused.value.clause == "K-2"
    back = KeysRotated("north", member_card(old), NOW)
    with pytest.raises(RuleViolation) as refused:
        told(story, back, new)
    assert refused.value.clause == "K-2"


def test_another_member_cannot_take_a_retired_key(story: Story) -> None:
    old = story.consortium.identities["north"]
    story.tell(rotation(drawn(story, "north")), "north")
    taken = rotation(drawn(story, "south"), agreement_key=old.agreement_key.public)
    story.refuses(taken, "south", "K-2")


def test_a_rotation_that_changes_nothing_is_none(story: Story) -> None:
    card = member_card(story.consortium.identities["north"])
    story.refuses(KeysRotated("north", card, NOW), "north", "K-2")


def test_one_key_may_be_replaced_and_the_others_stay(story: Story) -> None:
    """A certificate that expires is renewed with the same signing key."""
    old = story.consortium.identities["north"]
    renewed = dataclasses.replace(old.member, certificate=drawn(story, "north").certificate)
    story.tell(KeysRotated("north", signing.sign(renewed, old.signing_key), NOW), "north")
    story.until_proposed()
    story.tell(reviewed("north"), "north")  # still its key
    members = story.session.members
    assert members is not None
    assert members.certificate("north").der == renewed.certificate


def test_a_small_order_key_is_refused(story: Story) -> None:
    new = drawn(story, "north")
    for field in ("witness_key", "auditor_key", "agreement_key"):
        with pytest.raises(VerificationError):
            story.tell(rotation(new, **{field: bytes(32)}), "north")


def test_a_paillier_key_with_a_known_factor_is_refused(story: Story) -> None:
    """Who learns the factors of the old key would have those of the new one."""
    new = drawn(story, "office")
    old = story.consortium.identities["office"].paillier_key
    assert old is not None
    assert new.paillier_key is not None
    shared = PrivateKey(old.primes()[0], new.paillier_key.primes()[0])
    story.refuses(rotation(new, paillier_modulus=shared.public.to_bytes()), "office", "K-2")


@pytest.mark.parametrize("days", [-1, 731])
def test_the_new_certificate_is_in_date(story: Story, days: int) -> None:
    new = drawn(story, "north")
    story.refuses(rotation(new, NOW + days * DAY), "north", "K-2")


@pytest.mark.parametrize("name", ["asker", "office", "north", "south"])
def test_nobody_rotates_within_an_open_run(story: Story, name: str) -> None:
    story.until_ordered()
    new = drawn(story, name)
    story.refuses(rotation(new), name, "K-3")
    story.tell(RunFailed(RUN, "hub", FailureReason.TIMED_OUT, NOW), "hub")
    story.tell(rotation(new), name)


@pytest.mark.parametrize("name", ["eve", "rival", "reviewer"])
def test_who_is_not_in_the_run_may_rotate_meanwhile(story: Story, name: str) -> None:
    story.until_ordered()
    story.tell(rotation(drawn(story, name)), name)


def test_a_late_receipt_is_signed_with_the_new_key(story: Story) -> None:
    story.until_ordered()
    story.tell(RunFailed(RUN, "north", FailureReason.STAGING_FAILED, NOW), "north")
    new = drawn(story, "north")
    story.tell(rotation(new), "north")
    with pytest.raises(VerificationError):
        story.tell(destroyed("north"), "north")
    told(story, destroyed("north"), new)


def test_a_rotation_has_no_room_for_anything_else() -> None:
    with pytest.raises(ValueError, match="at most"):
        KeysRotated("north", bytes(9000), NOW)
    with pytest.raises(ValueError, match="no name"):
        KeysRotated("../north", b"", NOW)
    with pytest.raises(ValueError, match="year"):
        KeysRotated("north", b"", -1)


# --- runs over a join -----------------------------------------------------------------------------

PAIRS = (JoinPair("south", "north"), JoinPair("west", "north"), JoinPair("west", "south"))
"""Of (combiner, owner)."""

KEYS = {"north": b"\xf1" * 256, "south": b"\xf2" * 256, "west": b"\xf3" * 256}


def blinded(owner: str, place: int, /, **changes: object) -> SetBlinded:
    at = HOLDERS.index(owner)
    way = (*HOLDERS[at:], *HOLDERS[:at], owner)
    holder = way[place] if place < len(way) else owner
    step = SetBlinded(RUN, holder, owner, place, digest(f"set {owner} {place}"), NOW)
    return dataclasses.replace(step, **changes)


def encrypted(pair: int, /, **changes: object) -> RowsEncrypted:
    owner = PAIRS[pair].owner
    step = RowsEncrypted(RUN, owner, pair, KEYS[owner], digest(f"rows {pair}"), NOW)
    return dataclasses.replace(step, **changes)


def handed(**changes: object) -> RowsHandedOver:
    digests = tuple(digest(f"handed {pair}") for pair in range(len(PAIRS)))
    return dataclasses.replace(RowsHandedOver(RUN, digests, NOW), **changes)


def returned(pair: int, /, **changes: object) -> SumsReturned:
    step = SumsReturned(RUN, PAIRS[pair].combiner, pair, digest(f"sums {pair}"), NOW)
    return dataclasses.replace(step, **changes)


def erased(**changes: object) -> RowsErased:
    step = RowsErased(
        run=RUN,
        scenario=SCENARIO,
        outcome=Outcome.DESTROYED,
        passed=(DeletionCheck.NO_FILES_LEFT,),
        failed=(),
        not_covered=(NotCovered.BACKUPS,),
        started=NOW,
        ended=NOW + 1,
    )
    return dataclasses.replace(step, **changes)


JOIN: tuple[tuple[object, str], ...] = (
    *(
        (blinded(owner, place), blinded(owner, place).holder)
        for place in range(4)
        for owner in HOLDERS
    ),
    *((encrypted(pair), PAIRS[pair].owner) for pair in range(3)),
    (handed(), "hub"),
    *((returned(pair), PAIRS[pair].combiner) for pair in range(3)),
)
"""The steps of a join before its counts, in an order that is allowed, with who signs."""

BLINDING, ENCRYPTING, MATCHING, COMBINING, COUNTING = 0, 12, 15, 16, 19
"""How many of them are told when each phase begins."""


def until_joined(story: Story, steps: int) -> Story:
    story.until_ordered(pairs=PAIRS)
    for step, signer in JOIN[:steps]:
        story.tell(step, signer)
    return story


def test_a_run_over_a_join_is_told_and_each_turn_is_one_party_s(story: Story) -> None:
    def turns() -> dict[str, list[object]]:
        names = ["hub", "office", "asker", "reviewer", "eve", *HOLDERS]
        found = {name: list(story.session.instructions(name)) for name in names}
        return {name: turn for name, turn in found.items() if turn}

    story.until_ordered(pairs=PAIRS)
    assert turns() == {name: [Blind(RUN, name, 0)] for name in HOLDERS}
    story.tell(blinded("north", 0), "north")
    assert turns() == {
        "south": [Blind(RUN, "north", 1), Blind(RUN, "south", 0)],
        "west": [Blind(RUN, "west", 0)],
    }
    for step, signer in JOIN[1 : BLINDING + 12]:
        assert any(isinstance(turn, Blind) for turn in turns()[signer])
        story.tell(step, signer)
    assert turns() == {
        "north": [EncryptRows(RUN, 0), EncryptRows(RUN, 1)],
        "south": [EncryptRows(RUN, 2)],
    }
    for step, signer in JOIN[ENCRYPTING:MATCHING]:
        story.tell(step, signer)
    assert turns() == {"hub": [HandOver(RUN)]}
    story.tell(*JOIN[MATCHING])
    assert turns() == {
        "south": [Combine(RUN, 0)],
        "west": [Combine(RUN, 1), Combine(RUN, 2)],
    }
    for step, signer in JOIN[COMBINING:]:
        story.tell(step, signer)
    counting = {h: [Contribute(RUN, Round.COUNTS, h)] for h in HOLDERS}
    assert turns() == {"hub": [EraseRows(RUN)], **counting}
    story.tell(erased(), "hub")
    assert turns() == counting


def until_finished(story: Story) -> Story:
    """A run over a join of which only the release is missing."""
    until_joined(story, COUNTING)
    for holder in HOLDERS:
        story.tell(destroyed(holder), holder)
        story.tell(contributed(holder), holder)
    story.tell(summed(Round.COUNTS), "hub")
    story.tell(CountsChecked(RUN, "office", digest("verdict"), NOW), "office")
    for holder in HOLDERS:
        story.tell(contributed(holder, Round.VALUES), holder)
    story.tell(summed(Round.VALUES), "hub")
    return story


def test_nothing_is_released_without_the_coordinators_receipt(story: Story) -> None:
    until_finished(story)
    story.refuses(released(), "office", "R-6")
    story.tell(erased(), "hub")
    story.tell(released(), "office")


@pytest.mark.parametrize(
    ("told", "step", "signer", "clause"),
    [
        # who raises which set, when, once
        (BLINDING, blinded("north", 1), "south", "R-11"),  # before its owner
        (BLINDING, blinded("north", 0, holder="south"), "south", "R-11"),
        (BLINDING, blinded("north", 0, place=1), "north", "R-11"),
        (BLINDING, blinded("north", 0, place=-1), "north", "R-11"),
        (BLINDING, blinded("north", 0, owner="eve", holder="eve"), "eve", "R-11"),
        (BLINDING, blinded("north", 0, run=b"x" * 16), "north", "R-11"),
        (3, blinded("north", 0), "north", "R-11"),  # again
        (3, blinded("north", 1, holder="west"), "west", "R-11"),  # out of turn
        (3, blinded("north", 1, set=digest("set north 0")), "south", "R-11"),  # not raised
        (3, blinded("north", 1, set=digest("set south 0")), "south", "R-11"),  # another's
        (10, blinded("north", 4), "north", "R-11"),  # once too often
        (ENCRYPTING, blinded("north", 4), "north", "R-11"),
        (BLINDING, encrypted(0), "north", "R-12"),  # before the sets are whole
        # whose rows, under which key, once
        (ENCRYPTING, encrypted(0, holder="south"), "south", "R-12"),
        (ENCRYPTING, encrypted(0, holder="west"), "west", "R-12"),
        (ENCRYPTING, encrypted(0, pair=3), "north", "R-12"),
        (ENCRYPTING, encrypted(0, pair=-1), "north", "R-12"),
        (ENCRYPTING, encrypted(0, run=b"x" * 16), "north", "R-12"),
        (13, encrypted(0, rows=digest("others")), "north", "R-12"),
        (13, encrypted(1, modulus=b"\xf9" * 256), "north", "R-12"),  # a second key
        (13, encrypted(1, rows=digest("rows 0")), "north", "R-12"),  # the same rows
        (14, encrypted(2, modulus=KEYS["north"]), "south", "R-12"),  # another's key
        (MATCHING, encrypted(0), "north", "R-12"),
        (ENCRYPTING, handed(), "hub", "R-13"),  # before the rows are whole
        # handed over once, for all; returned once, by the combiner
        (MATCHING, handed(handed=(digest("handed 0"),)), "hub", "R-13"),
        (MATCHING, handed(run=b"x" * 16), "hub", "R-13"),
        (MATCHING, returned(0), "south", "R-13"),
        (COMBINING, handed(), "hub", "R-13"),
        (COMBINING, returned(0, holder="north"), "north", "R-13"),  # the owner
        (COMBINING, returned(0, holder="west"), "west", "R-13"),
        (COMBINING, returned(0, pair=3), "south", "R-13"),
        (COMBINING, returned(1, pair=-1), "west", "R-13"),
        (17, returned(0, sums=digest("others")), "south", "R-13"),
        (17, returned(1, sums=digest("sums 0")), "west", "R-13"),
        (COUNTING, returned(0), "south", "R-13"),
        # no counts before the join is done
        (COMBINING, contributed("north"), "north", "R-3"),
        # erased when nobody needs the rows, once, without contradiction
        (BLINDING, erased(), "hub", "R-14"),
        (18, erased(), "hub", "R-14"),
        (COUNTING, erased(run=b"x" * 16), "hub", "R-14"),
        (COUNTING, erased(scenario=OTHER_SCENARIO), "hub", "R-14"),
        (COUNTING, erased(passed=()), "hub", "R-14"),
        (COUNTING, erased(ended=NOW - 1), "hub", "R-14"),
        (COUNTING, erased(outcome=Outcome.FAILED), "hub", "R-14"),
        (COUNTING, erased(failed=(DeletionCheck.NO_FILES_LEFT,)), "hub", "R-14"),
        (COUNTING, erased(failed=(DeletionCheck.NO_OPEN_DESCRIPTORS,)), "hub", "R-14"),
    ],
)
def test_a_step_that_breaks_the_rules_of_a_join(
    story: Story, told: int, step: object, signer: str, clause: str
) -> None:
    until_joined(story, told).refuses(step, signer, clause)


@pytest.mark.parametrize(
    "changes",
    [
        {"pairs": (JoinPair("north", "north"),)},
        {"pairs": (JoinPair("eve", "north"),)},
        {"pairs": (JoinPair("south", "north"), JoinPair("north", "south"))},
        {"participants": ("north", "south")},  # west is in a pair
        {"participants": ("south", "north", "west")},
        {"participants": ("north", "north", "south", "west")},
        {"participants": ("eve", "north", "south", "west")},
        {"participants": ("north",), "pairs": (JoinPair("north", "north"),)},
    ],
)
def test_an_impossible_join_is_refused(story: Story, changes: dict[str, object]) -> None:
    story.until_sealed()
    story.refuses(ordered(**{"pairs": PAIRS, **changes}), "asker", "R-10")


def test_a_join_may_leave_out_holders_of_the_scenario(story: Story) -> None:
    story.until_sealed()
    story.tell(ordered(participants=("north", "west"), pairs=PAIRS[1:2]), "asker")
    story.refuses(blinded("south", 0), "south", "R-11")
    for owner, holder, place in (
        ("north", "north", 0),
        ("west", "west", 0),
        ("north", "west", 1),
        ("west", "north", 1),  # of two holders, sets do not come back
    ):
        story.tell(blinded(owner, place, holder=holder), holder)
    assert story.session.runs[RUN].phase is RunPhase.ENCRYPTING


def test_a_run_without_a_join_has_none_of_its_steps(story: Story) -> None:
    story.until_ordered()
    story.refuses(blinded("north", 0), "north", "R-11")
    story.refuses(encrypted(0), "north", "R-12")
    story.refuses(handed(), "hub", "R-13")
    story.refuses(returned(0), "south", "R-13")
    story.refuses(erased(), "hub", "R-14")


def test_who_has_destroyed_its_staging_takes_no_step_of_the_join(story: Story) -> None:
    """Its secrets are gone: whatever it sends is something else."""
    until_joined(story, 3)
    story.tell(destroyed("south"), "south")
    story.refuses(blinded("north", 1), "south", "R-11")


def test_a_set_of_an_earlier_run_is_refused(story: Story) -> None:
    """And rows, sums and a run key of one."""
    until_joined(story, COUNTING)
    second = b"2" * 16
    story.tell(ordered(run=second, pairs=PAIRS), "asker")
    story.refuses(blinded("north", 0, run=second), "north", "R-11")
    for step, signer in JOIN[:12]:
        assert isinstance(step, SetBlinded)
        fresh = digest(f"again {step.owner} {step.place}")
        story.tell(dataclasses.replace(step, run=second, set=fresh), signer)
    story.refuses(encrypted(0, run=second, rows=digest("fresh")), "north", "R-12")
    story.refuses(encrypted(0, run=second, modulus=b"\xfa" * 256), "north", "R-12")
    story.tell(encrypted(0, run=second, modulus=b"\xfa" * 256, rows=digest("fresh")), "north")


def test_two_empty_tables_have_the_same_rows(story: Story) -> None:
    until_joined(story, ENCRYPTING)
    story.tell(encrypted(0, rows=NO_ROWS), "north")
    story.tell(encrypted(1, rows=NO_ROWS), "north")


def test_rows_are_erased_also_when_the_run_has_failed(story: Story) -> None:
    until_joined(story, 5)
    assert list(story.session.instructions("hub")) == []
    story.tell(RunFailed(RUN, "hub", FailureReason.TIMED_OUT, NOW), "hub")
    assert list(story.session.instructions("hub")) == [EraseRows(RUN)]
    story.tell(erased(), "hub")
    assert list(story.session.instructions("hub")) == []
    story.refuses(erased(), "hub", "R-14")


def test_a_failed_erasure_fails_the_run(story: Story) -> None:
    until_joined(story, COUNTING)
    step = erased(outcome=Outcome.FAILED, passed=(), failed=(DeletionCheck.NO_FILES_LEFT,))
    story.tell(step, "hub")
    assert story.session.runs[RUN].failure is FailureReason.DELETION_FAILED


@pytest.mark.parametrize("signer", ["north", "office", "asker"])
def test_only_the_coordinator_hands_over_and_erases(story: Story, signer: str) -> None:
    until_joined(story, MATCHING)
    with pytest.raises(VerificationError):
        story.tell(handed(), signer)


def test_a_run_key_has_its_length(story: Story) -> None:
    for modulus in (b"\xf1" * 255, b"\xf1" * 513, b"\x7f" + b"\xf1" * 255, b""):
        with pytest.raises(ValueError, match="run key"):
            encrypted(0, modulus=modulus)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (ordered(), "bb74e1b0b17e3be0ba452631c64332fc"),
        (ordered(pairs=PAIRS[:1]), "beeba62f88062270a68b9da0404ff932"),
        (blinded("north", 0), "b9e4c9ca334604cc506d218292b53a96"),
        (encrypted(0), "91eca749a24de41d656cd7a02820a312"),
        (handed(), "6b987c9781dbbe0f9c1b8b028bd3d276"),
        (returned(0), "4195a0a637c1190bb9f914b1fd349f7f"),
        (erased(), "edd48d6ec131e3aa3ecd9f1bf55aa786"),
    ],
)
def test_what_is_signed_keeps_its_bytes(step: object, expected: str) -> None:
    assert documents.digest(step).hex()[:32] == expected


def test_an_order_of_a_join_in_full() -> None:
    assert json.loads(documents.encode(ordered(pairs=PAIRS[:1]))) == {
        **json.loads(documents.encode(ordered())),
        "pairs": [{"combiner": "south", "owner": "north"}],
    }


# --- the end of a log -----------------------------------------------------------------------------


FROZEN = LogFrozen(FreezeReason.KEY_COMPROMISED, NOW)


def test_nothing_follows_a_frozen_log(story: Story) -> None:
    story.until_judged()
    story.tell(FROZEN, "hub")
    assert story.session.frozen == FROZEN
    new = drawn(story, "eve")
    for step, signer in (
        (FROZEN, "hub"),
        (proposed(scenario=OTHER_SCENARIO), "asker"),
        (contributed("north", Round.VALUES), "north"),
        (destroyed("eve"), "eve"),
        (rotation(new), "eve"),
        (RunFailed(RUN, "hub", FailureReason.TIMED_OUT, NOW), "hub"),
        (ScenarioRevoked(SCENARIO, "north", RefusalReason.LEGAL, NOW), "north"),
    ):
        story.refuses(step, signer, "K-5")
    with pytest.raises(RuleViolation) as refused:
        story.session.replay(story.log[0])
    assert refused.value.clause == "L-1"
    assert replay(story.log).frozen == FROZEN


def test_open_runs_of_a_frozen_log_have_failed(story: Story) -> None:
    story.until_judged()
    story.tell(FROZEN, "hub")
    assert story.session.runs[RUN].phase is RunPhase.FAILED
    assert story.session.runs[RUN].failure is FailureReason.LOG_FROZEN
    assert story.session.open_runs() == ()


def test_a_frozen_log_gives_nobody_anything_to_do(story: Story) -> None:
    story.until_approved()
    assert list(story.session.instructions("hub")) == [Seal(SCENARIO)]
    story.tell(FROZEN, "hub")
    for name in story.consortium.identities:
        assert list(story.session.instructions(name)) == []


@pytest.mark.parametrize("signer", ["north", "office", "asker", "reviewer"])
def test_only_the_coordinator_freezes(story: Story, signer: str) -> None:
    with pytest.raises(VerificationError):
        story.tell(FROZEN, signer)
    assert story.session.frozen is None


def test_no_other_reason_than_a_code_is_given() -> None:
    assert [field.name for field in dataclasses.fields(LogFrozen)] == ["reason", "time"]
