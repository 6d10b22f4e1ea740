"""Who tries to see through the noise, to average it away, or to spend a budget twice.

Real keys and encryption; everybody but the attacker is honest.  There is no seed to fix: what is
said of noise holds but with a probability that is named.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sqlite3
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attacks.lying import NOW, World
from pets import HOLDERS, TEXT, Row

from stayput import node as stayput_node
from stayput.crypto.noise import draw_noise
from stayput.disclosure import OpenedCounts
from stayput.errors import RuleViolation, RunFailure, Unavailable
from stayput.privacy import PICO, Budget
from stayput.review import verify_budgets
from stayput.runs import fetch_plan
from stayput.steps import FailureReason, Round, RunFailed
from stayput.store.ledger import Ledger, contribution_name

GEOMETRIC = "privacy: {mechanism: geometric, epsilon: 1}\n"
COST = PICO // 2
"""ρ of a pure epsilon of 1, from its definition."""

PLENTY = (Budget("pets", 100 * PICO, ("pets",)),)


def text(privacy: str = GEOMETRIC, sql: str = "SELECT COUNT(*) AS pets FROM pets") -> str:
    changed = re.sub(r"(?s)statements:.*", "", TEXT)
    return f"{changed}statements:\n  question:\n    sql: {sql}\n{privacy}"


def rows(number: int) -> list[Row]:
    return [("red", 5, 10)] * number


BY_AGE = "SELECT age, COUNT(*) AS pets FROM pets GROUP BY age"
"""32 cells: of 31 ages and the one for all others."""


def of_every_age(number: int) -> list[Row]:
    return [("red", age, 10) for age in range(31) for _ in range(number)]


class Noisy(World):
    """A world whose scenario asks for noise."""

    def __init__(self, root: Path, written: str = "", budgets: Any = PLENTY) -> None:
        self.chosen = budgets
        super().__init__(root, written or text())
        for holder in HOLDERS:
            self.stagers[holder].rows = rows(100)
        self.budgets = budgets

    def ask(self) -> int | None:
        run = self.client.run(self.scenario, "question")
        self.settle()
        (row,) = run.wait().table.to_pylist()
        found = row["pets"]
        assert found is None or isinstance(found, int)
        return found

    def own(self, holder: str) -> Ledger:
        return self._ledgers[holder]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noisy]:
    """One consortium for those that only order runs, since its keys take a second."""
    built = Noisy(tmp_path_factory.mktemp("noisy"))
    yield built
    built.close()


@pytest.fixture(scope="module")
def by_age(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noisy]:
    """A count for each age, of 20 pets at each holder: many numbers from one run."""
    built = Noisy(tmp_path_factory.mktemp("by-age"), text(sql=BY_AGE))
    for holder in HOLDERS:
        built.stagers[holder].rows = of_every_age(20)
    yield built
    built.close()


@pytest.fixture
def before(noisy: Noisy) -> int:
    """What north had spent when the test began."""
    return noisy.own("north").spent("pets")


def test_the_answer_is_noisy_and_says_so(noisy: Noisy, before: int) -> None:
    run = noisy.client.run(noisy.scenario, "question")
    noisy.settle()
    result = run.wait()
    table = result.checked.result.table
    assert table.noisy
    (column,) = table.columns
    assert column.error == "5"  # three holders, scale 1: |x| ≤ 4 in 94, ≤ 5 in 97 of 100 cases
    assert result.table.schema.metadata[b"stayput.noisy"] == b"true"
    assert result.table.schema.field("pets").metadata == {b"stayput.error95": b"5"}
    result.verify()
    (value,) = column.values
    assert isinstance(value, int)
    assert abs(value - 300) < 3 * 73 + 3
    assert {noisy.own(holder).spent("pets") for holder in HOLDERS} == {before + COST}


def test_nothing_exact_leaves_a_node_beside_the_noise(
    by_age: Noisy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No flag, no number of holders: what is sent are the counts, and they are moved."""
    world = by_age
    sent: list[list[int]] = []
    original = stayput_node.encrypt

    def encrypt(vector: Any, *arguments: Any, **named: Any) -> Any:
        sent.append(list(vector))
        return original(vector, *arguments, **named)

    monkeypatch.setattr(stayput_node, "encrypt", encrypt)
    run = world.order(statement="question", arguments=(), rounds=1)
    for holder in HOLDERS:
        world.nodes[holder].work()
    world.follow()
    world.checker.replica.catch_up(world.link("office"))
    _, _, plan = fetch_plan(world.link("office"), world.checker.replica, run)
    opened = world.checker._open_counts(run, plan)
    assert [len(vector) for vector in sent] == [32] * 3
    moved = [n - 20 for vector in sent for n in vector[:31]]
    # Scale 1: a number stays as it is in 46 of 100 cases; 93 of them all do in 10**-31.
    assert any(moved)
    assert statistics.pstdev(moved) > 0.5
    assert opened == OpenedCounts([[sum(column)] for column in zip(*sent, strict=True)])
    world.settle()


def lose_answers(world: Noisy, times: int) -> list[bytes]:
    """North does not hear that its part arrived, so it sends it again; returns all that it sent."""
    sent: list[bytes] = []

    def submit(step: bytes, context: bytes, ciphertexts: bytes) -> int:
        sent.append(step + context + ciphertexts)
        if len(sent) <= times:
            raise Unavailable("the answer was lost")
        del world.instead["north", "submit_contribution"]
        return world.coordinator.submit_contribution(
            world.members["north"], step, context, ciphertexts
        )

    world.instead["north", "submit_contribution"] = submit
    return sent


def test_time_outs_and_restarts_do_not_average_the_noise_away(
    noisy: Noisy, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = watch_draws(monkeypatch)
    sent = lose_answers(noisy, times=6)
    run = noisy.order(statement="question", arguments=(), rounds=1)
    for attempt in range(6):
        with pytest.raises(Unavailable):
            noisy.nodes["north"].work()
        if attempt % 2:
            noisy.nodes["north"] = noisy.start_node("north")
    noisy.settle()
    assert len(sent) == 7
    assert len(set(sent)) == 1
    noisy.client.replica.catch_up(noisy.link("asker"))
    assert noisy.client.replica.session.runs[run].released is not None
    assert len(drawn) == len(HOLDERS)
    assert noisy.own("north").spent("pets") == before + COST


def watch_draws(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    drawn: list[list[int]] = []

    def draw(scales: Any, *, gaussian: bool) -> list[int]:
        drawn.append(draw_noise(scales, gaussian=gaussian))
        return drawn[-1]

    monkeypatch.setattr(stayput_node, "draw_noise", draw)
    return drawn


class Death(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("where", ["before the charge", "charge", "draw", "store", "send"])
def test_a_node_that_dies_has_spent_once_and_sends_one_noise(
    noisy: Noisy, before: int, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """After every step of charge, draw, store, send: spent never more than once, never un-spent,
    and whatever was drawn without being stored went nowhere."""
    drawn = watch_draws(monkeypatch)
    run = noisy.order(statement="question", arguments=(), rounds=1)
    with monkeypatch.context() as patch:
        kill(patch, where)
        with pytest.raises(Death):
            noisy.nodes["north"].work()
    spent = noisy.own("north").spent("pets")
    assert spent == before + (0 if where == "before the charge" else COST)
    fixed = noisy.own("north").outgoing(run, contribution_name(Round.COUNTS))
    assert (fixed is not None) == (where in ("store", "send"))
    noisy.nodes["north"] = noisy.start_node("north")
    noisy.settle()
    after = noisy.own("north").outgoing(run, contribution_name(Round.COUNTS))
    assert after is not None
    assert fixed is None or fixed.step == after.step
    assert noisy.own("north").spent("pets") == before + COST
    noisy.client.replica.catch_up(noisy.link("asker"))
    assert noisy.client.replica.session.runs[run].released is not None
    again = len(drawn) - len(HOLDERS)
    assert again == (1 if where == "draw" else 0)


def kill(patch: pytest.MonkeyPatch, where: str) -> None:
    """Die right after (or before) a step, by whatever comes next in the real code."""

    def dies(*_: Any, **__: Any) -> Any:
        raise Death

    if where == "before the charge":
        patch.setattr(Ledger, "charge", dies)
    elif where == "charge":
        patch.setattr(stayput_node.Node, "_stage", dies)
    elif where == "draw":
        patch.setattr(stayput_node, "encrypt", dies)
    elif where == "store":
        patch.setattr(stayput_node.Node, "_send", dies)
    else:
        original = stayput_node.Node._send

        def send_and_die(*arguments: Any) -> Any:
            original(*arguments)
            raise Death

        patch.setattr(stayput_node.Node, "_send", send_and_die)


def test_it_is_charged_and_on_disk_before_anything_is_drawn(
    noisy: Noisy, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a second process that opens the file sees the charge when noise is drawn."""
    seen = []

    def draw(scales: Any, *, gaussian: bool) -> list[int]:
        path = noisy.root / "north" / "ledger.db"
        with contextlib.closing(sqlite3.connect(path)) as other:
            seen.append(other.execute("SELECT SUM(cost) FROM spent").fetchone())
            mine = "SELECT COUNT(*) FROM outgoing WHERE run = ?"
            seen.append(other.execute(mine, (run,)).fetchone())
        return draw_noise(scales, gaussian=gaussian)

    monkeypatch.setattr(stayput_node, "draw_noise", draw)
    run = noisy.order(statement="question", arguments=(), rounds=1)
    noisy.nodes["north"].work()
    assert seen == [(before + COST,), (0,)]
    monkeypatch.undo()
    noisy.settle()


def test_a_budget_ends_for_all_scenarios_and_in_one_way(tmp_path: Path) -> None:
    """Two and a half runs fit: the third is refused like a run too many, and stays refused."""
    world = Noisy(tmp_path, budgets=(Budget("pets", 5 * COST // 2, ("pets",)),))
    assert world.ask() is not None
    copy = text().replace("scenario: pets", "scenario: other-pets")
    first, world.scenario = world.scenario, world.client.propose(copy)
    world.approve(world.client.scenario(world.scenario))
    assert world.ask() is not None
    for scenario in (first, world.scenario, first):
        world.scenario = scenario
        run = world.order(statement="question", arguments=(), rounds=1)
        world.settle()
        assert world.failure(run) is FailureReason.HOLDER_REFUSED
    assert {world.own(holder).spent("pets") for holder in HOLDERS} == {2 * COST}
    assert "budget of 'pets' is used up" in world.notes("north")
    with pytest.raises(RunFailure) as failed:
        world.client.wait_for(run, timeout=0)
    assert "budget" not in str(failed.value), "the data user learns a code, not what is left"
    world.close()


def test_a_failed_run_stays_paid(noisy: Noisy, before: int) -> None:
    run = noisy.order(statement="question", arguments=(), rounds=1)
    noisy.nodes["north"].work()
    own = noisy.own("north")
    noisy.coordinator.fail_run(
        noisy.members["hub"],
        noisy.sign(RunFailed(run, "hub", FailureReason.TIMED_OUT, NOW), "hub"),
    )
    noisy.settle()
    assert own.spent("pets") == before + COST
    noisy.nodes["north"] = noisy.start_node("north")
    assert noisy.own("north").spent("pets") == before + COST


def test_without_a_budget_no_noise_and_with_one_nothing_exact(
    noisy: Noisy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = noisy
    monkeypatch.setattr(world, "budgets", ())
    staged = len(world.stagers["north"].requests)
    with pytest.raises(RuleViolation, match="no privacy budget") as refused:
        verify_budgets(world.client.scenario(world.scenario), ())
    assert refused.value.clause == "D-6"
    run = world.order(statement="question", arguments=(), rounds=1)
    world.settle()
    assert world.failure(run) is FailureReason.HOLDER_REFUSED
    assert len(world.stagers["north"].requests) == staged
    exact = Noisy(tmp_path / "exact", text(privacy="output: {min_count: 10, min_holders: 3}\n"))
    with pytest.raises(RuleViolation, match="asks without noise"):
        verify_budgets(exact.client.scenario(exact.scenario), PLENTY)
    run = exact.order(statement="question", arguments=(), rounds=1)
    exact.settle()
    assert exact.failure(run) is FailureReason.HOLDER_REFUSED
    exact.budgets = (dataclasses.replace(PLENTY[0], exact=True),)
    assert exact.ask() == 300
    exact.close()


def test_nodes_that_add_no_noise_take_none_from_the_others(
    by_age: Noisy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can see it (docs/caveats.md).  In league with the data user they subtract what they
    gave: what is left of each of south's counts still has south's own, full noise."""
    world = by_age
    run = world.order(statement="question", arguments=(), rounds=1)
    with monkeypatch.context() as patch:
        patch.setattr(stayput_node, "draw_noise", lambda scales, gaussian: [0] * len(scales))
        world.nodes["north"].work()
        world.nodes["west"].work()
    world.settle()
    table = world.client.wait_for(run, timeout=0).table.to_pylist()
    left = [row["pets"] - 20 - 20 for row in table if row["pets"] is not None]
    assert len(left) == 31
    # Two-sided geometric noise of scale 1: a deviation of 1.36 around south's 20.
    assert 0.5 < statistics.pstdev(left) < 3
    assert 18 < statistics.mean(left) < 22
    assert len(set(left)) > 2


def test_small_cells_are_withheld_by_their_noisy_count(tmp_path: Path) -> None:
    """One pet, or none: which of the two is not told by what is released or withheld."""
    sql = "SELECT colour, COUNT(*) AS pets, SUM(age) AS years FROM pets GROUP BY colour"
    world = Noisy(tmp_path, text(sql=sql))
    for holder in HOLDERS:
        world.stagers[holder].rows = [*rows(100), *[("white", 30, 1)] * (holder == "north")]
    run = world.client.run(world.scenario, "question")
    world.settle()
    table = {row["colour"]: row for row in run.wait().table.to_pylist()}
    assert set(table) == {"red", "green", "blue", "white"}
    assert abs(table["red"]["pets"] - 300) < 100
    assert abs(table["red"]["years"] - 1500) < 3 * 73 * 61
    # Scale 2 at three holders: beyond 10 in one of 60 runs, with or without the white pet.
    withheld = [table[colour]["pets"] is None for colour in ("green", "blue", "white")]
    assert sum(withheld) >= 1
    for colour in ("green", "blue", "white"):
        assert (table[colour]["pets"] is None) <= (table[colour]["years"] is None)
    world.close()


def test_a_count_that_no_noise_gives_ends_the_run(
    noisy: Noisy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = noisy.order(statement="question", arguments=(), rounds=1)
    with monkeypatch.context() as patch:
        patch.setattr(stayput_node, "draw_noise", lambda scales, gaussian: [-1000] * len(scales))
        noisy.nodes["north"].work()
    noisy.settle()
    assert noisy.failure(run) is FailureReason.INVARIANT_VIOLATED
