"""Who goes on without the authority, passes for one, or hides what a new version changes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest
from attacks.lying import NOW, World, nothing_staged
from pets import HOLDERS, TEXT

from stayput import authorising, documents, review
from stayput.approval import ApprovalWarning
from stayput.errors import RuleViolation, StayputError, VerificationError
from stayput.replica import Replica
from stayput.scenario import Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.session import ScenarioPhase
from stayput.steps import AuthorityDecision, RefusalReason, ScenarioAuthorised, ScenarioProposed
from stayput.store.journal import MemoryMirror

PLAIN = re.sub(r"(?s)  by_colour:.*?(?=  numbers:)", "", TEXT)
GOVERNED = PLAIN + "authorisation: {centralised: bureau}\n"


class Governed(World):
    auditors = ("bureau", "clinic")

    def reader(self, name: str) -> Replica:
        """A replica of one party that has caught up, over its own link."""
        replica = Replica(self.members, MemoryMirror())
        replica.catch_up(self.link(name))
        return replica

    def read(self, name: str, digest: bytes) -> review.Review:
        return review.review_report(
            self.identities[name], self.reader(name), self.link(name), digest
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    """One for all, since its keys take a second; the last test leaves its log a forgery."""
    built = Governed(tmp_path_factory.mktemp("governed"), GOVERNED)
    yield built
    built.close()


@pytest.fixture(autouse=True)
def _asked_anew(world: Governed) -> None:
    """Every test has a scenario of its own that all holders have approved."""
    world.lies.clear()
    world.scenario = world.client.propose(GOVERNED)
    world.approve(world.client.scenario(world.scenario))


def proposal(scenario: Scenario, **changes: Any) -> ScenarioProposed:
    step = ScenarioProposed(
        scenario=scenario.digest,
        user="asker",
        checker="office",
        holders=tuple(sorted(scenario.holders)),
        runs=scenario.limits.runs,
        valid_until=scenario.limits.valid_until,
        min_holders=scenario.output.min_holders,
        time=NOW,
        authorisation=scenario.authorisation,
        authorities=tuple(one.name for one in scenario.authorities),
        replaces=scenario.replaces,
    )
    return dataclasses.replace(step, **changes)


def test_a_data_user_does_not_leave_the_authority_out_of_its_step(world: Governed) -> None:
    scenario = parse_scenario_file(GOVERNED, nonce=b"n" * 16)
    asker, document = world.members["asker"], documents.encode(scenario)
    for changes in ({"authorisation": None, "authorities": ()}, {"authorities": ("clinic",)}):
        step = world.sign(proposal(scenario, **changes), "asker")
        with pytest.raises(VerificationError):
            world.coordinator.propose_scenario(asker, step, document)
    # With the coordinator on its side it gets into the log, and no holder is shown a report.
    step = world.sign(proposal(scenario, authorisation=None, authorities=()), "asker")
    claimed = dataclasses.replace(scenario, authorisation=None, authorities=())
    world.coordinator._submit(
        asker, step, ScenarioProposed, {("scenario", scenario.digest): document}
    )
    assert claimed.digest != scenario.digest
    with pytest.raises(VerificationError, match="do not say the same"):
        world.read("north", scenario.digest)
    world.lies["north", "get_scenario"] = lambda _: documents.encode(claimed)
    with pytest.raises(VerificationError, match="another scenario"):
        world.read("north", scenario.digest)


def test_an_auditor_that_is_not_named_and_a_second_word_of_the_one_that_is(
    world: Governed,
) -> None:
    link = world.link("bureau")
    read = world.read("bureau", world.scenario)
    stranger = ScenarioAuthorised(
        world.scenario, "clinic", AuthorityDecision.AUTHORISED, read.report.digest, NOW
    )
    for signer in ("clinic", "asker", "bureau"):  # a word of its own, or one in another's name
        with pytest.raises(StayputError):
            world.coordinator.authorise_scenario(
                world.members[signer], world.sign(stranger, signer)
            )
    common: Any = (read, world.identities["bureau"], world.reader("bureau"), link)
    first = authorising.authorise(*common, clock=lambda: NOW)
    assert authorising.authorise(*common, clock=lambda: NOW + 5) == first
    again = dataclasses.replace(first, time=NOW + 5, report=b"q" * 32)
    with pytest.raises(RuleViolation) as caught:
        world.coordinator.authorise_scenario(world.members["bureau"], world.sign(again, "bureau"))
    assert caught.value.clause == "S-8"
    with pytest.raises(RuleViolation):
        authorising.refuse(*common, reason=RefusalReason.LEGAL, clock=lambda: NOW)
    authorising.withdraw(*common, reason=RefusalReason.LEGAL, clock=lambda: NOW)
    with pytest.raises(RuleViolation):  # what is closed stays closed
        authorising.authorise(*common, clock=lambda: NOW)
    assert world.client.state(world.scenario).phase is ScenarioPhase.REVOKED


def test_a_coordinator_that_shows_another_earlier_version_hides_no_change(
    world: Governed,
) -> None:
    """The earlier text is named by digest: one with the change already in it is not accepted."""
    later = world.client.propose(
        GOVERNED.replace("min_count: 10", "min_count: 5") + f"replaces: {world.scenario.hex()}\n"
    )
    found = world.read("north", later)
    kinds = [warning.kind for warning in found.report.warnings]
    assert ApprovalWarning.PROTECTION_LOWERED in kinds
    earlier = world.client.scenario(world.scenario)
    milder = dataclasses.replace(earlier, output=dataclasses.replace(earlier.output, min_count=5))
    answers = iter([documents.encode(found.scenario), documents.encode(milder)])
    world.lies["north", "get_scenario"] = lambda _: next(answers)
    with pytest.raises(VerificationError):
        world.read("north", later)
    # Nor does a reading copy with another earlier version.
    copy = review.ReadingCopy(
        "north", documents.encode(found.scenario), NOW, documents.encode(milder)
    )
    with pytest.raises(VerificationError, match="new version of"):
        review.parse_reading_copy(documents.encode(copy))
    # Without it the report is another one, and says that nothing was compared.
    bare = review.parse_reading_copy(documents.encode(dataclasses.replace(copy, earlier=b"")))
    assert bare.report.warnings[0].kind is ApprovalWarning.VERSION_UNKNOWN
    assert bare.report.digest != found.report.digest


def test_a_coordinator_that_seals_without_the_authority_is_followed_by_nobody(
    world: Governed,
) -> None:
    """It believes its own forgery: its log then has a seal that nobody else admits."""
    forged = ScenarioAuthorised(
        world.scenario, "bureau", AuthorityDecision.AUTHORISED, b"r" * 32, NOW
    )
    world.coordinator._session.scenarios[world.scenario].authorisations["bureau"] = forged
    with world.coordinator.log.lock:
        world.coordinator._carry_out()
    assert world.coordinator._session.scenarios[world.scenario].phase is ScenarioPhase.SEALED
    with pytest.raises(StayputError):
        world.reader("south")
    for node in world.nodes.values():
        with pytest.raises(StayputError):
            node.work()
    assert all(nothing_staged(world, holder) for holder in HOLDERS)
    with pytest.raises(StayputError):
        world.client.run(world.scenario, "numbers")
