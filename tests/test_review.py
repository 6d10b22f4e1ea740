"""What a holder does about a scenario, and what is left of it after a crash."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pets
import pytest

from stayput import documents, review
from stayput.approval import Ceiling
from stayput.disclosure.floor import OutputFloor
from stayput.errors import (
    NotFound,
    PermissionDenied,
    RuleViolation,
    Unavailable,
    VerificationError,
)
from stayput.federation import Federation
from stayput.link import CoordinatorLink
from stayput.replica import Replica
from stayput.scenario import Grade
from stayput.session import ScenarioPhase
from stayput.steps import Decision, RefusalReason, Waiver
from stayput.store.journal import MemoryMirror

NORTH = "north"
WEAK = pets.TEXT.replace("min_holders: 3", "min_holders: 2")


@dataclasses.dataclass
class Desk:
    """One holder's desk in a federation."""

    federation: Federation
    digest: bytes

    def replica(self) -> Replica:
        replica = Replica(self.federation.members, MemoryMirror())
        replica.catch_up(self.link)
        return replica

    @property
    def link(self) -> CoordinatorLink:
        return self.federation.link(NORTH)

    def common(self, link: Any = None) -> dict[str, Any]:
        return {
            "identity": self.federation.identities[NORTH],
            "replica": self.replica(),
            "link": link or self.link,
        }

    def read(self) -> review.Review:
        return review.review_report(digest=self.digest, **self.common())

    def approve(self, link: Any = None, **changes: Any) -> Any:
        common = self.common(link)
        ledger = self.federation._ledgers[NORTH]
        reviewed = changes.pop("reviewed", None) or self.read()
        clock = self.federation.clock
        return review.approve(reviewed, ledger=ledger, clock=clock, **common, **changes)

    @property
    def state(self) -> Any:
        return self.replica().session.scenarios[self.digest]

    @property
    def in_ledger(self) -> bool:
        return self.federation._ledgers[NORTH].is_approved(self.digest)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    root: Path = tmp_path_factory.mktemp("review")
    federation = Federation(
        root,
        holders=pets.HOLDERS,
        checker="office",
        user="asker",
        sources=pets.sources(root),
        stager=lambda name: pets.TableStager(pets.rows_of(name)),
        paillier_bits=2048,
    )
    yield federation
    federation.close()


@pytest.fixture
def desk(federation: Federation) -> Desk:
    return Desk(federation, federation.client.propose(pets.TEXT))


@pytest.fixture
def weak(federation: Federation) -> Desk:
    return Desk(federation, federation.client.propose(WEAK))


class Broken:
    """A link that breaks at one call, before or after the coordinator has acted."""

    def __init__(self, link: CoordinatorLink, method: str, *, after: bool = False) -> None:
        self._link, self._method, self._after = link, method, after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._link, name)
        if name != self._method:
            return call

        def broken(*arguments: Any) -> Any:
            if self._after:
                call(*arguments)
            raise Unavailable("the line is cut")

        return broken


class Forging:
    """A coordinator that sends another scenario."""

    def __init__(self, link: CoordinatorLink, forged: bytes) -> None:
        self._link, self._forged = link, forged

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def get_scenario(self, scenario: bytes) -> bytes:
        return self._forged


def test_a_report_is_about_the_scenario_in_the_log(desk: Desk) -> None:
    found = desk.read()
    assert found.scenario.digest == desk.digest
    assert found.report.reader == NORTH
    assert found.report.scenario == desk.digest
    assert "APPROVAL REPORT FOR north" in found.report.text


def test_another_scenario_than_the_proposed_is_not_even_shown(desk: Desk) -> None:
    honest = desk.read().scenario
    for change in ({"purpose": "Another purpose."}, {"nonce": bytes(16)}):
        forged = documents.encode(dataclasses.replace(honest, **change))
        with pytest.raises(VerificationError):
            review.review_report(digest=desk.digest, **desk.common(Forging(desk.link, forged)))


def test_only_holders_of_the_scenario_review_it(desk: Desk, federation: Federation) -> None:
    with pytest.raises(PermissionDenied, match="asker is no holder"):
        review.review_report(
            federation.identities["asker"], desk.replica(), federation.link("asker"), desk.digest
        )
    with pytest.raises(NotFound):
        review.review_report(digest=b"?" * 32, **desk.common())


def test_what_waits_for_a_holder(desk: Desk, federation: Federation) -> None:
    north, asker = (federation.identities[name] for name in (NORTH, "asker"))
    assert desk.digest in review.pending_reviews(north, desk.replica())
    assert review.pending_reviews(asker, desk.replica()) == ()
    desk.approve()
    assert desk.digest not in review.pending_reviews(north, desk.replica())


def test_an_approval_signs_what_was_read(desk: Desk) -> None:
    step = desk.approve()
    assert step.report == desk.read().report.digest
    assert desk.state.reviews[NORTH] == step
    assert desk.in_ledger


def test_the_ledger_is_first_and_a_crash_in_between_is_mended(desk: Desk) -> None:
    with pytest.raises(Unavailable):
        desk.approve(Broken(desk.link, "review_scenario"))
    assert desk.in_ledger
    assert NORTH not in desk.state.reviews
    assert desk.approve().decision is Decision.APPROVED
    assert desk.state.reviews[NORTH].decision is Decision.APPROVED


def test_a_lost_answer_is_found_in_the_log(desk: Desk) -> None:
    with pytest.raises(Unavailable):
        desk.approve(Broken(desk.link, "review_scenario", after=True))
    first = desk.state.reviews[NORTH]
    assert desk.approve() == first, "the second time changes nothing"


def test_a_weak_policy_needs_the_waiver_in_so_many_words(weak: Desk) -> None:
    assert weak.read().waivers == (Waiver.TWO_HOLDERS,)
    with pytest.raises(RuleViolation) as caught:
        weak.approve()
    assert caught.value.clause == "S-3"
    assert "--waive two-holders" in caught.value.hint
    assert not weak.in_ledger
    assert NORTH not in weak.state.reviews
    assert weak.approve(waivers=(Waiver.TWO_HOLDERS,)).waivers == (Waiver.TWO_HOLDERS,)


def test_what_the_rules_forbid_is_not_in_the_ledger_either(desk: Desk) -> None:
    _refuse(desk)
    with pytest.raises(RuleViolation):
        desk.approve()
    assert not desk.in_ledger


def _refuse(desk: Desk, link: Any = None) -> Any:
    return review.refuse(
        desk.read(),
        **desk.common(link),
        reason=RefusalReason.PURPOSE,
        clock=desk.federation.clock,
    )


def test_a_refusal_closes_the_scenario_and_can_be_repeated(desk: Desk) -> None:
    first = _refuse(desk)
    assert desk.state.phase is ScenarioPhase.REFUSED
    assert first.reason is RefusalReason.PURPOSE
    assert _refuse(desk) == first
    assert not desk.in_ledger


def test_a_holder_that_demands_more_does_not_approve(desk: Desk) -> None:
    """Nothing is signed and nothing is in its ledger, whatever its people overlook."""
    with pytest.raises(RuleViolation, match="min_count 10, not 50") as caught:
        desk.approve(floor=OutputFloor(min_count=50))
    assert caught.value.clause == "S-6"
    assert not desk.in_ledger
    assert desk.state.phase is ScenarioPhase.PROPOSED


@pytest.mark.parametrize(
    ("ceiling", "said"),
    [
        (Ceiling(key=Grade.PUBLIC), None),
        (Ceiling(measure=Grade.PUBLIC), r"uses weight \(internal\) as a measure, at most public"),
        (Ceiling(filter=Grade.PUBLIC), r"uses age \(internal\) as a filter, at most public"),
    ],
)
def test_a_column_above_the_ceiling_is_not_approved(
    desk: Desk, ceiling: Ceiling, said: str | None
) -> None:
    """``colour`` is public and the key; ``age`` and ``weight`` are internal."""
    if said is None:
        desk.approve(ceiling=ceiling)
        assert desk.in_ledger
        return
    with pytest.raises(RuleViolation, match=said) as caught:
        desk.approve(ceiling=ceiling)
    assert caught.value.clause == "S-6"
    assert not desk.in_ledger
    assert desk.state.phase is ScenarioPhase.PROPOSED


def test_an_approval_is_revoked_not_refused(desk: Desk) -> None:
    desk.approve()
    with pytest.raises(RuleViolation) as caught:
        _refuse(desk)
    assert caught.value.hint == "revoke it instead"


def _publish(desk: Desk, link: Any = None) -> None:
    review.publish_revocation(
        digest=desk.digest,
        **desk.common(link),
        reason=RefusalReason.LEGAL,
        clock=desk.federation.clock,
    )


def test_a_revocation_stops_the_own_node_before_anybody_is_told(desk: Desk) -> None:
    desk.approve()
    ledger = desk.federation._ledgers[NORTH]
    review.revoke_locally(desk.federation.identities[NORTH], ledger, desk.digest)
    assert not desk.in_ledger
    with pytest.raises(RuleViolation):
        ledger.charge(desk.digest, b"r" * 16)
    with pytest.raises(Unavailable, match="revoked at this node, but nobody else knows"):
        _publish(desk, Broken(desk.link, "revoke_scenario"))
    assert desk.state.phase is ScenarioPhase.PROPOSED
    _publish(desk)
    assert desk.state.phase is ScenarioPhase.REVOKED
    _publish(desk)  # once more changes nothing


def test_who_did_not_approve_cannot_revoke(desk: Desk, federation: Federation) -> None:
    with pytest.raises(RuleViolation) as caught:
        _publish(desk)
    assert caught.value.clause == "S-5"
    with pytest.raises(PermissionDenied):
        review.revoke_locally(
            federation.identities["asker"], federation._ledgers[NORTH], desk.digest
        )


def test_approving_again_does_not_undo_a_revocation(desk: Desk) -> None:
    desk.approve()
    review.revoke_locally(
        desk.federation.identities[NORTH], desk.federation._ledgers[NORTH], desk.digest
    )
    desk.approve()
    assert not desk.in_ledger


def one_statement(name: str, sql: str) -> str:
    text = pets.TEXT.partition("statements:")[0].replace("scenario: pets", f"scenario: {name}")
    return f"{text}statements:\n  {name}:\n    sql: {sql}\noutput: {{min_count: 10}}\n"


def test_other_scenarios_of_the_data_user_are_looked_at_together(federation: Federation) -> None:
    """The text alone says that two scenarios, fine apart, differ in the pets of one age."""
    total = "SELECT colour, COUNT(*) AS pets FROM pets"
    first = federation.client.propose(one_statement("all", f"{total} GROUP BY colour"))
    second = federation.client.propose(
        one_statement("rest", f"{total} WHERE age <> 7 GROUP BY colour")
    )
    desk = Desk(federation, second)
    apart = review.audit_beside(scenario=desk.read().scenario, **desk.common())
    assert apart is None or not any("all (" in str(f) for f in apart.findings)  # not sealed yet
    federation.approve(federation.client.scenario(first))
    beside = review.audit_beside(scenario=desk.read().scenario, **desk.common())
    assert beside is not None
    (finding,) = [f for f in beside.findings if f"all ({first.hex()[:8]}): all" in str(f)]
    assert finding.pair
    assert "isolates rows with age 7" in str(finding)
