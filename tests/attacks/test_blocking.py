"""One party that would hold up or bring down the others, and a holder's word that holds at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from attacks.lying import NOW, World, contribution, forged_page, submit
from pets import TEXT, TableStager

from stayput.errors import NotFound, StayputError, Unavailable, VerificationError
from stayput.review import revoke_locally
from stayput.session import RunPhase
from stayput.staging import Staged, StagingRequest
from stayput.steps import FailureReason, Member, Outcome, Round, ScenarioSealed


def phase(world: World, run: bytes) -> RunPhase:
    world.client.replica.catch_up(world.link("asker"))
    return world.client.replica.session.runs[run].phase


# --- the first context --------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [True, False], ids=["no ciphertexts", "ciphertexts"])
@pytest.mark.parametrize("change", [{"count": 1}, {"count": 100_000}, {"width": 96}])
def test_a_holder_that_comes_first_with_a_context_of_its_own(
    world: World, change: dict[str, int], broken: bool
) -> None:
    """What binds the parts is the sealed text, not who comes first."""
    run = world.order()
    named: dict[str, Any] = {"ciphertexts": b"junk"} if broken else {}
    with pytest.raises(StayputError):
        submit(world, "north", contribution(world, run, "north", context=change, **named))
    world.settle()
    assert phase(world, run) is RunPhase.RELEASED


# --- a node goes on -----------------------------------------------------------------------------


def test_a_coordinator_that_refuses_a_part_ends_one_run_and_no_node(world: World) -> None:
    run = world.order()

    def refuse(*arguments: Any) -> int:
        raise VerificationError("the contribution is bound to another run or key")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.coordinator, "submit_contribution", refuse)
        world.nodes["north"].work()
    assert world.failure(run) is FailureReason.HOLDER_REFUSED
    assert "another run or key" in world.notes("north")
    second = world.order()
    world.settle()
    assert phase(world, second) is RunPhase.RELEASED


@dataclasses.dataclass
class LyingStager(TableStager):
    """Sums that the declared bounds exclude: a source with wrong statistics, a broken engine."""

    lies: int = 1

    def stage(self, request: StagingRequest) -> Staged:
        staged = super().stage(request)
        if self.lies:
            self.lies -= 1
            return dataclasses.replace(staged, rows=[(*row[:-1], 10**15) for row in staged.rows])
        return staged


def test_impossible_sums_of_its_own_engine_end_one_run_with_a_receipt(world: World) -> None:
    world.stagers["north"] = LyingStager(world.stagers["north"].rows)
    world.nodes["north"] = world.start_node("north")
    first, second = world.order(), world.order()
    world.settle()
    assert world.failure(first) is FailureReason.DATA_DO_NOT_FIT
    receipt = world.client.replica.session.runs[first].receipts["north"]
    assert receipt.outcome is Outcome.DESTROYED
    assert phase(world, second) is RunPhase.RELEASED
    assert len(world.stagers["north"].requests) == 2, "rows were staged again and again"


def test_altered_partial_sums_at_rest_end_one_run(world: World) -> None:
    run = world.order()
    world.contribute()
    world.checker.work()
    ledger = world._ledgers["north"]
    ledger._database._connection.execute("UPDATE partial SET sealed = zeroblob(length(sealed))")
    world.settle()
    assert world.failure(run) is FailureReason.STATE_LOST


# --- revoking is at once ------------------------------------------------------------------------


def compute_but_do_not_reach(world: World, holder: str) -> None:
    """The holder's part is computed and stored, and the coordinator is away."""

    def away(*arguments: Any) -> int:
        raise Unavailable("nobody there")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.coordinator, "submit_contribution", away)
        with pytest.raises(Unavailable):
            world.nodes[holder].work()


@pytest.mark.parametrize("turn", list(Round))
def test_a_part_that_waits_is_not_sent_after_its_holder_revoked(world: World, turn: Round) -> None:
    """The coordinator is away; the holder revokes at home; the coordinator comes back."""
    run = world.order()
    if turn is Round.VALUES:
        world.contribute()
        world.checker.work()
        world.follow()
    compute_but_do_not_reach(world, "north")
    revoke_locally(world.identities["north"], world._ledgers["north"], world.scenario)
    world.settle()
    assert world.failure(run) is FailureReason.HOLDER_REFUSED
    given = world.client.replica.session.runs[run].contributions[turn]
    assert "north" not in given


def test_a_part_that_waits_is_not_sent_after_the_scenario_expired(world: World) -> None:
    run = world.order()
    compute_but_do_not_reach(world, "north")
    world.clock = lambda: 5_000_000_000
    world.nodes["north"] = world.start_node("north")
    world.settle()
    assert world.failure(run) is FailureReason.HOLDER_REFUSED
    given = world.client.replica.session.runs[run].contributions[Round.COUNTS]
    assert "north" not in given


def test_a_revocation_of_what_a_lost_ledger_does_not_know_lasts(world: World) -> None:
    """Revoked with an empty ledger, then approved again by a repeated command: stays revoked."""
    (world.root / "north" / "ledger.db").unlink()
    world.nodes["north"] = world.start_node("north")
    ledger = world._ledgers["north"]
    ledger.revoke(world.scenario)
    ledger.approve(world.scenario, b"r" * 32, 40)
    assert not ledger.is_approved(world.scenario)


# --- a log that breaks the rules ----------------------------------------------------------------


def test_a_log_that_breaks_the_rules_stops_the_node_for_good_and_is_kept(world: World) -> None:
    """Good entries, then one that the rules forbid: none of them counts, the evidence does."""
    second = world.client.propose(TEXT.replace("scenario: pets", "scenario: more-pets"))
    node = world.nodes["north"]
    size = node.replica.size
    log = list(world.coordinator.log.entries())
    assert len(log) > size + 1 or size == 0
    log.append(world.sign(ScenarioSealed(second, NOW), "hub"))
    world.lies["north", "read_log"] = lambda page: forged_page(world, log, page.start)
    for _ in range(2):
        with pytest.raises(VerificationError, match="breaks the rules: not every holder"):
            node.work()
        assert node.replica.size == size
        assert len(node.replica.entries) == node.replica.tree.size == size
    with world._journals["north"]._database.reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM evidence").fetchone() == (1,)
    del world.lies["north", "read_log"]
    world.settle()  # the coordinator's real log was never that


def test_a_coordinator_that_hides_documents_from_the_checker_ends_one_run(world: World) -> None:
    first, second = world.order(), world.order()
    honest = world.coordinator.get_run_order

    def hide(caller: Member, run: bytes) -> bytes:
        if (caller.name, run) == ("office", first):
            raise NotFound("no such run for this party")
        return honest(caller, run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.coordinator, "get_run_order", hide)
        world.settle()
    assert world.failure(first) is FailureReason.INVARIANT_VIOLATED
    assert phase(world, second) is RunPhase.RELEASED
