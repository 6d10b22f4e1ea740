"""What a person gives as arguments, and what the client says when it cannot go on."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from attacks.lying import World, steps
from pets import TEXT

from stayput.client import scaled_arguments, stages
from stayput.errors import InvalidInput, RuleViolation, Unavailable
from stayput.federation import LocalLink
from stayput.scenario import ColumnType, Parameter, Statement
from stayput.session import RunState
from stayput.steps import RunOrdered, ScenarioProposed

STATEMENT = Statement(
    "s",
    "SELECT 1",
    (
        Parameter("price", ColumnType.DECIMAL, decimals=2, minimum=0, maximum=10_000),
        Parameter("month", ColumnType.INTEGER, minimum=1, maximum=12),
        Parameter("colour", ColumnType.LEVEL, levels=("red", "true")),
        Parameter("late", ColumnType.BOOLEAN),
    ),
)


@pytest.mark.parametrize(
    ("name", "given", "scaled"),
    [
        ("price", "1.5", 150),
        ("price", Decimal("99.99"), 9999),
        ("price", 3, 300),
        ("price", "1.50", 150),
        ("price", "-0.01", -1),  # the range is checked when it is bound
        ("month", "7", 7),
        ("month", 7, 7),
        ("month", "1e1", 10),
        ("colour", "red", "red"),
        ("colour", "true", "true"),
        ("late", "true", True),
        ("late", "False", False),
        ("late", True, True),
    ],
)
def test_arguments_become_scaled_integers_exactly(name: str, given: Any, scaled: Any) -> None:
    found = scaled_arguments(STATEMENT, {name: given})
    assert found == {name: scaled}
    assert type(found[name]) is type(scaled)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("price", "1.505"),
        ("price", 1.5),  # a float is not exact
        ("price", "one"),
        ("price", "nan"),
        ("price", "inf"),
        ("price", "1e999999"),
        ("price", True),
        ("month", "7.5"),
        ("month", ""),
        ("late", "yes"),
        ("late", 1),
        ("nothing", 1),
    ],
)
def test_what_is_no_such_value_is_refused(name: str, given: Any) -> None:
    with pytest.raises(InvalidInput):
        scaled_arguments(STATEMENT, {name: given})


def test_stages_of_a_fresh_run_are_told_in_words() -> None:
    ordered = RunOrdered(b"r" * 16, b"s" * 32, "asker", b"o" * 32, ("a", "b", "c"), 2, 1)
    assert stages(RunState(ordered, "office")) == ["ordered: 3 holders take part"]


# --- answers that are lost ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = World(tmp_path_factory.mktemp("world"))
    yield built
    built.close()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """One world for all: keys take seconds."""
    yield shared
    shared.instead.clear()


class Dying:
    """A coordinator that takes a step, or not, and is gone before it answers, so many times."""

    def __init__(self, world: World, call: str, *, takes: bool, times: int = 1) -> None:
        self._world, self._takes, self._left = world, takes, times
        self._honest = getattr(LocalLink(lambda: world.coordinator, world.members["asker"]), call)
        self.asked: list[tuple[bytes, ...]] = []
        world.instead["asker", call] = self

    def __call__(self, *arguments: bytes) -> int:
        self.asked.append(arguments)
        if not self._left:
            return int(self._honest(*arguments))
        self._left -= 1
        if self._takes:
            self._honest(*arguments)
        raise Unavailable("gone", hint="is it running?")


def logged(world: World, kind: type) -> list[Any]:
    return [step for step in steps(world) if isinstance(step, kind)]


@pytest.mark.parametrize("takes", [True, False], ids=["took it", "did not"])
def test_a_lost_answer_to_an_order_is_no_second_run(world: World, takes: bool) -> None:
    before = logged(world, RunOrdered)
    dying = Dying(world, "order_run", takes=takes)
    run = world.client.run(world.scenario, "by_colour", youngest=1)
    (new,) = logged(world, RunOrdered)[len(before) :]
    assert new.run == run.id
    assert len(dying.asked) == (1 if takes else 2)
    assert len(set(dying.asked)) == 1, "the same bytes again"
    world.settle()
    assert run.wait(timeout=0).table.num_rows > 0


def test_who_cannot_know_whether_a_run_was_ordered_is_told_which(world: World) -> None:
    """The coordinator dies between logging the order and answering, and does not come back."""
    before = logged(world, RunOrdered)
    dying = Dying(world, "order_run", takes=True, times=9)

    def away(*_: object) -> None:
        raise Unavailable("gone")

    catch_up = world.client.replica.catch_up
    calls = 0

    def at_first(link: Any, *, wait_ms: int = 0) -> bool:
        nonlocal calls
        calls += 1
        if calls > 1:
            away()
        return catch_up(link, wait_ms=wait_ms)

    world.client.replica.catch_up = at_first  # type: ignore[method-assign]
    with pytest.raises(Unavailable) as caught:
        world.client.run(world.scenario, "by_colour", youngest=1)
    world.client.replica.catch_up = catch_up  # type: ignore[method-assign]
    (new,) = logged(world, RunOrdered)[len(before) :]
    run = new.run
    assert len(set(dying.asked)) == 1
    assert run.hex() in caught.value.message
    assert f"stayput result {run.hex()[:12]}" in caught.value.hint
    world.settle()
    assert world.client.wait_for(run, timeout=0).table.num_rows > 0


@pytest.mark.parametrize("takes", [True, False], ids=["took it", "did not"])
def test_a_lost_answer_to_a_proposal_is_no_second_scenario(world: World, takes: bool) -> None:
    before = logged(world, ScenarioProposed)
    Dying(world, "propose_scenario", takes=takes)
    digest = world.client.propose(TEXT)
    (new,) = logged(world, ScenarioProposed)[len(before) :]
    assert new.scenario == digest


def test_a_refusal_is_not_asked_again(world: World) -> None:
    asked = 0

    def refuse(*_: object) -> int:
        nonlocal asked
        asked += 1
        raise RuleViolation("no", clause="R-1")

    world.instead["asker", "order_run"] = refuse
    with pytest.raises(RuleViolation):
        world.client.run(world.scenario, "numbers")
    assert asked == 1
