"""Persons in the log: reviewers, authorities, held results, and who tries to pass for one of them.

The rules alone, on a log told step by step; with real sums they are in ``tests/attacks``.
"""

from __future__ import annotations

import dataclasses

import pytest
from parties import NOW, Party
from test_session import (
    HOLDERS,
    OTHER_SCENARIO,
    RUN,
    SCENARIO,
    Story,
    digest,
    ordered,
    proposed,
    released,
    reviewed,
)

from stayput.countersigning import (
    CardApproved,
    Examination,
    ExaminationReason,
    ReportApproved,
    ResultExamination,
    countersign,
    in_order,
)
from stayput.crypto.signing import SigningKey
from stayput.errors import RuleViolation, VerificationError
from stayput.identity import Identity, draw_next, member_card, with_reviewers
from stayput.membership import form_member_list, verify_card, verify_member_list
from stayput.scenario import AuthorisationMode, OutputReview
from stayput.session import RunPhase, ScenarioPhase, card_digest
from stayput.steps import (
    AuthorityDecision,
    Decision,
    FailureReason,
    KeysRotated,
    RefusalReason,
    ResultExamined,
    ResultHeld,
    ScenarioAuthorised,
    ScenarioRevoked,
    ScenarioSealed,
)

PEOPLE = [SigningKey.from_bytes(bytes([i]) * 32) for i in range(1, 4)]
CHECKERS = [SigningKey.from_bytes(bytes([i]) * 32) for i in range(11, 13)]
STRANGER = SigningKey.from_bytes(b"x" * 32)
RESULT = digest("result")
PUBLIC = [key.public for key in PEOPLE]


@pytest.fixture
def story(consortium: Party) -> Story:
    """North has three reviewers, of whom two sign; the checker has two."""
    people = {"north": (PUBLIC, 2), "office": ([key.public for key in CHECKERS], 1)}
    identities = {
        name: with_reviewers(one, *people[name]) if name in people else one
        for name, one in consortium.identities.items()
    }
    return Story(listed(identities))


def listed(identities: dict[str, Identity]) -> Party:
    cards = [member_card(identity) for identity in identities.values()]
    envelope = form_member_list("testers", cards, identities["hub"].signing_key, NOW - 900)
    return Party(identities, verify_member_list(envelope, pinned=None))


def said(**changes: object) -> ReportApproved:
    return dataclasses.replace(ReportApproved(SCENARIO, "north", digest("report")), **changes)


def signed_by(*keys: SigningKey, **changes: object) -> tuple[bytes, ...]:
    return in_order([countersign(said(**changes), key) for key in keys])


# --- reviewers of a holder ------------------------------------------------------------------------


def test_an_approval_counts_with_enough_reviewers(story: Story) -> None:
    story.until_proposed()
    story.refuses(reviewed("north"), "north", "S-7")
    one = signed_by(PEOPLE[0])
    story.refuses(reviewed("north", countersignatures=one), "north", "S-7")
    for pair in (PEOPLE[:2], PEOPLE[1:], PEOPLE):
        step = reviewed("north", countersignatures=signed_by(*pair))
        story.session.admit(story.consortium.sign(step, "north"))
    story.tell(reviewed("north", countersignatures=signed_by(*PEOPLE[1:])), "north")


@pytest.mark.parametrize(
    "statements",
    [
        signed_by(PEOPLE[0]) * 2,
        signed_by(PEOPLE[0], STRANGER),
        signed_by(PEOPLE[0]) + signed_by(PEOPLE[1], report=digest("another report")),
        signed_by(PEOPLE[0]) + signed_by(PEOPLE[1], scenario=OTHER_SCENARIO),
        signed_by(PEOPLE[0]) + signed_by(PEOPLE[1], member="south"),
        signed_by(*PEOPLE[:2])[::-1],
        (signed_by(PEOPLE[0])[0], b"no envelope"),
        (
            signed_by(PEOPLE[0])[0],
            countersign(ResultExamination(RUN, "north", RESULT, Examination.PASS), PEOPLE[1]),
        ),
    ],
    ids=["one-twice", "stranger", "report", "scenario", "member", "order", "junk", "other-type"],
)
def test_forged_or_borrowed_statements_do_not_count(
    story: Story, statements: tuple[bytes, ...]
) -> None:
    story.until_proposed()
    story.refuses(reviewed("north", countersignatures=statements), "north", "S-7")


def test_every_flipped_bit_of_a_statement_is_refused(story: Story) -> None:
    story.until_proposed()
    first, second = signed_by(*PEOPLE[:2])
    for position in range(0, len(second), 3):
        bent = second[:position] + bytes([second[position] ^ 1]) + second[position + 1 :]
        step = reviewed("north", countersignatures=(first, bent))
        with pytest.raises((RuleViolation, VerificationError)):
            story.session.admit(story.consortium.sign(step, "north"))


def test_whoever_has_no_reviewers_carries_no_statements(story: Story) -> None:
    story.until_proposed()
    borrowed = reviewed("south", countersignatures=signed_by(PEOPLE[0], member="south"))
    story.refuses(borrowed, "south", "S-7")
    story.tell(reviewed("south"), "south")
    refusal = reviewed("north", decision=Decision.REFUSED, reason=RefusalReason.LEGAL)
    padded = dataclasses.replace(refusal, countersignatures=signed_by(*PEOPLE[:2]))
    story.refuses(padded, "north", "S-7")
    story.tell(refusal, "north")  # no is said without anybody's leave


def test_one_person_does_not_count_for_two_members(consortium: Party) -> None:
    identities = dict(consortium.identities)
    identities["north"] = with_reviewers(identities["north"], PUBLIC, 2)
    identities["south"] = with_reviewers(identities["south"], PUBLIC[:1], 1)
    with pytest.raises(VerificationError, match="two purposes or two members"):
        listed(identities)
    own = identities["eve"].signing_key.public
    identities["south"] = with_reviewers(identities["south"], [own], 1)
    with pytest.raises(VerificationError, match="two purposes or two members"):
        listed(identities)


def test_who_cannot_be_reviewers(consortium: Party) -> None:
    north, asker = consortium.identities["north"], consortium.identities["asker"]
    for keys, quorum in ((PUBLIC, 0), (PUBLIC, 4), (PUBLIC[:1] * 2, 1), ([], 1)):
        with pytest.raises(Exception, match="reviewers"):
            with_reviewers(north, keys, quorum)
    with pytest.raises(Exception, match="only holders"):
        with_reviewers(asker, PUBLIC, 1)
    with pytest.raises(VerificationError, match="small order"):
        with_reviewers(north, [bytes(32)], 1)


def test_a_node_s_key_alone_does_not_change_who_its_reviewers_are(story: Story) -> None:
    north = story.consortium.identities["north"]
    following = draw_next(north, now=NOW)
    story.session.admit(story.consortium.sign(rotation(following), "north"))  # the same reviewers
    for changed in (
        with_reviewers(following, [STRANGER.public], 1),
        with_reviewers(following, PUBLIC, 1),
        with_reviewers(following, [], 0),
    ):
        story.refuses(rotation(changed), "north", "K-7")
        story.refuses(rotation(changed, PEOPLE[0]), "north", "K-7")
        story.refuses(rotation(changed, PEOPLE[0], STRANGER), "north", "K-7")
    kept = with_reviewers(following, [*PUBLIC[:2], STRANGER.public], 1)
    story.tell(rotation(kept, *PEOPLE[1:]), "north")
    later = signed_by(STRANGER)
    story.consortium = listed({**story.consortium.identities, "north": kept})
    story.until_proposed()
    story.refuses(reviewed("north", countersignatures=signed_by(PEOPLE[2])), "north", "S-7")
    story.tell(reviewed("north", countersignatures=later), "north")


def rotation(following: Identity, *keys: SigningKey) -> KeysRotated:
    card = member_card(following)
    said = CardApproved(following.name, card_digest(card))
    return KeysRotated(
        following.name, card, NOW, in_order([countersign(said, key) for key in keys])
    )


def test_what_persons_once_signed_does_not_lower_the_quorum_again(story: Story) -> None:
    """The keys stay, so the card with the lower quorum is the same: its statements are old ones."""
    north = story.consortium.identities["north"]
    lower, higher = with_reviewers(north, PUBLIC, 1), with_reviewers(north, PUBLIC, 3)
    agreed = rotation(lower, *PEOPLE[:2])
    story.tell(agreed, "north")
    story.tell(rotation(higher, PEOPLE[0]), "north")
    story.refuses(agreed, "north", "K-2")
    story.refuses(rotation(lower, *PEOPLE), "north", "K-2")
    story.refuses(rotation(north, *PEOPLE), "north", "K-2")  # nor the very first card
    rotated = draw_next(higher, now=NOW)
    story.tell(rotation(rotated), "north")
    story.consortium = Party(
        {**story.consortium.identities, "north": rotated}, story.consortium.members
    )
    story.tell(rotation(with_reviewers(rotated, PUBLIC, 1), *PEOPLE), "north")


def test_cards_without_reviewers_read_as_before(consortium: Party) -> None:
    card = member_card(consortium.identities["north"])
    assert b"reviewers" not in card
    assert verify_card(card).reviewers == ()


# --- authorities ----------------------------------------------------------------------------------

CENTRAL = {"authorisation": AuthorisationMode.CENTRALISED, "authorities": ("reviewer",)}


def authorised(**changes: object) -> ScenarioAuthorised:
    step = ScenarioAuthorised(
        SCENARIO, "reviewer", AuthorityDecision.AUTHORISED, digest("report"), NOW
    )
    return dataclasses.replace(step, **changes)


@pytest.fixture
def plain(consortium: Party) -> Story:
    return Story(consortium)


def test_a_scenario_is_sealed_with_its_authority_and_every_holder(plain: Story) -> None:
    plain.until_approved(**CENTRAL)
    plain.refuses(ScenarioSealed(SCENARIO, NOW), "hub", "S-4")
    assert list(plain.session.instructions("hub")) == []
    plain.tell(authorised(), "reviewer")
    plain.refuses(authorised(), "reviewer", "S-8")
    plain.tell(ScenarioSealed(SCENARIO, NOW), "hub")


def test_an_authority_never_stands_in_for_a_holder(plain: Story) -> None:
    plain.until_proposed(**CENTRAL)
    plain.tell(authorised(), "reviewer")
    for holder in HOLDERS[:-1]:
        plain.tell(reviewed(holder), holder)
    plain.refuses(ScenarioSealed(SCENARIO, NOW), "hub", "S-4")
    with pytest.raises(RuleViolation):
        plain.tell(reviewed("reviewer"), "reviewer")


@pytest.mark.parametrize(
    "changes",
    [
        {"authorities": ("reviewer",)},
        {"authorisation": AuthorisationMode.SECTORAL},
        {"authorisation": AuthorisationMode.CENTRALISED, "authorities": ("eve",)},
        {"authorisation": AuthorisationMode.CENTRALISED, "authorities": ("nobody",)},
        {"authorisation": AuthorisationMode.CENTRALISED, "authorities": ("reviewer", "reviewer")},
    ],
)
def test_impossible_authorities_are_refused(plain: Story, changes: dict[str, object]) -> None:
    plain.refuses(proposed(**changes), "asker", "S-8")


def test_an_authority_that_is_not_named_is_none(plain: Story) -> None:
    plain.until_proposed()
    plain.refuses(authorised(), "reviewer", "S-8")


def test_an_authority_refuses_for_good(plain: Story) -> None:
    plain.until_proposed(**CENTRAL)
    no = authorised(decision=AuthorityDecision.REFUSED, reason=RefusalReason.PURPOSE)
    plain.refuses(dataclasses.replace(no, reason=None), "reviewer", "S-8")
    plain.refuses(authorised(reason=RefusalReason.PURPOSE), "reviewer", "S-8")
    plain.tell(no, "reviewer")
    assert plain.session.scenarios[SCENARIO].phase is ScenarioPhase.REFUSED
    plain.refuses(authorised(), "reviewer", "S-8")


def test_an_authority_that_withdraws_stops_the_next_run_and_the_present_one(plain: Story) -> None:
    plain.until_approved(**CENTRAL)
    back = authorised(decision=AuthorityDecision.WITHDRAWN, reason=RefusalReason.LEGAL)
    plain.refuses(back, "reviewer", "S-8")
    plain.tell(authorised(), "reviewer")
    plain.tell(ScenarioSealed(SCENARIO, NOW), "hub")
    plain.tell(ordered(), "asker")
    plain.tell(back, "reviewer")
    assert plain.session.runs[RUN].failure is FailureReason.REVOKED
    plain.refuses(ordered(run=b"q" * 16), "asker", "R-1")
    plain.refuses(back, "reviewer", "S-8")


# --- versions -------------------------------------------------------------------------------------


def test_a_new_version_ends_the_earlier_one_when_it_is_sealed(plain: Story) -> None:
    plain.until_sealed()
    plain.refuses(proposed(scenario=OTHER_SCENARIO, replaces=digest("none")), "asker", "S-9")
    stolen = proposed(scenario=OTHER_SCENARIO, replaces=SCENARIO, user="rival")
    plain.refuses(stolen, "rival", "S-9")
    plain.tell(proposed(scenario=OTHER_SCENARIO, replaces=SCENARIO), "asker")
    plain.tell(ordered(), "asker")  # until then the earlier one runs
    for holder in HOLDERS:
        # An approval is of one digest: that of the earlier version does not carry over.
        plain.refuses(ScenarioSealed(OTHER_SCENARIO, NOW), "hub", "S-4")
        plain.tell(reviewed(holder, scenario=OTHER_SCENARIO), holder)
    plain.tell(ScenarioSealed(OTHER_SCENARIO, NOW), "hub")
    assert plain.session.scenarios[SCENARIO].phase is ScenarioPhase.REPLACED
    assert not plain.session.runs[RUN].over
    plain.refuses(ordered(run=b"q" * 16), "asker", "R-1")
    plain.tell(ordered(run=b"q" * 16, scenario=OTHER_SCENARIO), "asker")
    plain.tell(ScenarioRevoked(SCENARIO, "south", RefusalReason.LEGAL, NOW), "south")
    assert plain.session.runs[RUN].failure is FailureReason.REVOKED
    assert not plain.session.runs[b"q" * 16].over


# --- held results ---------------------------------------------------------------------------------


def held() -> ResultHeld:
    return ResultHeld(RUN, "office", RESULT, NOW)


def examined(
    key: SigningKey, decision: Examination = Examination.PASS, **changes: object
) -> ResultExamined:
    reason = ExaminationReason.DISCLOSIVE if decision is Examination.FAIL else None
    statement = dataclasses.replace(
        ResultExamination(RUN, "office", RESULT, decision, reason), **changes
    )
    return ResultExamined(RUN, "office", countersign(statement, key), NOW)


def until_finishing(story: Story, review: OutputReview, deciders: int) -> Story:
    """North's two persons sign in between."""
    tell = story.tell

    def telling(step: object, signer: str) -> None:
        if step == reviewed("north"):
            step = reviewed("north", countersignatures=signed_by(*PEOPLE[:2]))
        tell(step, signer)

    story.tell = telling  # type: ignore[method-assign]
    story.proposal = {"review": review, "deciders": deciders}
    story.until_finishing()
    return story


def test_two_persons_clear_a_held_result(story: Story) -> None:
    until_finishing(story, OutputReview.ALWAYS, 2)
    story.refuses(released(), "office", "R-8")  # without anybody having looked
    story.refuses(examined(CHECKERS[0]), "office", "R-9")  # before it is held
    story.tell(held(), "office")
    story.refuses(held(), "office", "R-8")
    assert list(story.session.instructions("office")) == []
    story.refuses(released(), "office", "R-8")
    story.tell(examined(CHECKERS[0]), "office")
    story.refuses(examined(CHECKERS[0]), "office", "R-9")  # the same person once more
    no = examined(CHECKERS[0], Examination.FAIL)
    story.refuses(no, "office", "R-9")  # nor otherwise
    story.refuses(released(), "office", "R-8")  # one is not two
    story.tell(examined(CHECKERS[1]), "office")
    assert story.session.runs[RUN].phase is RunPhase.CLEARED
    story.refuses(released(result=digest("another")), "office", "R-8")
    story.tell(released(), "office")


@pytest.mark.parametrize(
    "step",
    [
        examined(STRANGER),
        examined(PEOPLE[0]),
        examined(CHECKERS[0], result=digest("another")),
        examined(CHECKERS[0], run=b"q" * 16),
        examined(CHECKERS[0], member="north"),
        ResultExamined(RUN, "office", b"junk", NOW),
        ResultExamined(RUN, "office", countersign(said(member="office"), CHECKERS[0]), NOW),
    ],
    ids=["stranger", "holders-person", "result", "run", "member", "junk", "other-type"],
)
def test_no_other_statement_clears_a_held_result(story: Story, step: ResultExamined) -> None:
    until_finishing(story, OutputReview.DOUBTFUL, 1)
    story.tell(held(), "office")
    story.refuses(step, "office", "R-9")


def test_one_person_s_no_ends_the_run(story: Story) -> None:
    until_finishing(story, OutputReview.ALWAYS, 2)
    story.tell(held(), "office")
    story.tell(examined(CHECKERS[0]), "office")
    story.tell(examined(CHECKERS[1], Examination.FAIL), "office")
    assert story.session.runs[RUN].failure is FailureReason.RESULT_NOT_CLEARED
    story.refuses(released(), "office", "R-6")


def test_without_doubt_a_result_goes_when_only_doubtful_ones_are_held(story: Story) -> None:
    until_finishing(story, OutputReview.DOUBTFUL, 1)
    story.tell(released(), "office")


def test_nothing_is_held_where_nobody_is_to_decide(plain: Story) -> None:
    plain.until_finishing()
    plain.refuses(held(), "office", "R-8")


def test_a_checker_without_enough_persons_is_proposed_for_no_held_results(
    story: Story, plain: Story
) -> None:
    wanted = {"review": OutputReview.ALWAYS, "deciders": 1}
    plain.refuses(proposed(**wanted), "asker", "R-8")
    story.refuses(proposed(review=OutputReview.ALWAYS), "asker", "S-1")
    story.refuses(proposed(deciders=1), "asker", "S-1")
    story.refuses(proposed(**{**wanted, "deciders": 3}), "asker", "S-1")
    story.tell(proposed(**{**wanted, "deciders": 2}), "asker")
