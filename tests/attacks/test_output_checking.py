"""A clever data user against output checking, with real keys and real encryption.

What everybody but the data user does is honest; the question is what the answer gives away.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attacks.lying import World
from pets import HOLDERS, TEXT, Row

from stayput import node as stayput_node
from stayput.disclosure import Reason
from stayput.errors import RunFailure
from stayput.steps import FailureReason

FEW_COLUMNS = "SELECT COUNT(*) AS pets, SUM(age) AS years"


def asked(root: Path, sql: str, rows: dict[str, list[Row]], output: str = "") -> dict[str, Any]:
    """The one row that the data user gets for a statement without parameters."""
    text = re.sub(r"(?s)statements:.*?output: .*\n", "", TEXT)
    text += f"statements:\n  question:\n    sql: {sql}\n"
    text += "output: {" + (output or "min_count: 10, min_holders: 3") + "}\n"
    world = World(root, text)
    for holder in HOLDERS:
        world.stagers[holder].rows = rows[holder]
    run = world.client.run(world.scenario, "question")
    world.settle()
    (row,) = run.wait().table.to_pylist()
    world.close()
    return {name: value for name, value in row.items() if not name.endswith("__withheld")}


def rows(number: int, age: int = 5, weight: int | None = 10) -> list[Row]:
    return [("red", age, weight)] * number


def test_a_filter_that_leaves_out_the_rows_of_one_holder(tmp_path: Path) -> None:
    """SUM(x) minus SUM(x) FILTER (…) would be the sum of north's old pets alone."""
    sql = f"{FEW_COLUMNS}, SUM(age) FILTER (WHERE age < 20) AS young FROM pets"
    parts = {"north": rows(20) + rows(30, age=25), "south": rows(20), "west": rows(20)}
    whole = {"pets": 90, "years": 20 * 3 * 5 + 30 * 25}
    assert asked(tmp_path / "one", sql, parts) == {**whole, "young": None}
    parts = {holder: rows(20) + rows(10, age=25) for holder in HOLDERS}
    whole = {"pets": 90, "years": 20 * 3 * 5 + 30 * 25}
    assert asked(tmp_path / "all", sql, parts) == {**whole, "young": 20 * 3 * 5}


def world_of(root: Path, statements: dict[str, str], parts: dict[str, list[Row]]) -> World:
    text = re.sub(r"(?s)statements:.*?output: .*\n", "statements:\n", TEXT)
    for name, sql in statements.items():
        text += f"  {name}:\n    sql: {sql}\n"
    world = World(root, text)
    for holder in HOLDERS:
        world.stagers[holder].rows = parts[holder]
    return world


def released(world: World, statement: str) -> dict[Any, Any]:
    run = world.client.run(world.scenario, statement)
    world.settle()
    rows = run.wait().table.to_pylist()
    return {next(iter(row.values())): tuple(row.values())[1] for row in rows}


def test_a_total_after_the_table_does_not_give_a_small_cell_away(tmp_path: Path) -> None:
    """White pets are withheld; the number of all pets minus the other colours would be theirs."""
    colours = {"red": 20, "green": 30, "blue": 40, "white": 2}
    rows = [(colour, 5, 10) for colour, n in colours.items() for _ in range(n)]
    statements = {
        "colours": "SELECT colour, COUNT(*) AS pets FROM pets GROUP BY colour",
        "everybody": "SELECT COUNT(*) AS pets, COUNT(*) AS again FROM pets",
    }
    for order in (["colours", "everybody"], ["everybody", "colours"]):
        world = world_of(tmp_path / order[0], statements, dict.fromkeys(HOLDERS, rows))
        answers = {name: released(world, name) for name in order}
        table, (total,) = answers["colours"], answers["everybody"]
        assert table["white"] is None
        known = sum(n for n in table.values() if n is not None)
        if order[0] == "colours":
            assert total is None
            assert known == 3 * 90
        else:
            assert total == 3 * 92
            assert total - known >= 10 + 6  # somebody else is withheld beside them
        reasons = {r for rows in _reasons(world) for row in rows for r in row}
        assert Reason.FEW_ROWS in reasons
        assert reasons & {Reason.DERIVABLE, Reason.ISOLATING}
        world.close()


def _reasons(world: World) -> list[Any]:
    return [world.checker.reasons(run) for run in world.checker.replica.session.runs]


def test_one_rich_pet_at_one_holder(tmp_path: Path) -> None:
    """The others subtract their parts; north's sum is nearly the rich one's."""
    parts = {holder: rows(20, weight=10) for holder in HOLDERS}
    parts["north"] = rows(20, weight=1) + rows(1, weight=900)
    answer = asked(tmp_path, "SELECT COUNT(*) AS pets, SUM(weight) AS weight FROM pets", parts)
    assert answer == {"pets": 61, "weight": None}


def test_everybody_has_the_same(tmp_path: Path) -> None:
    sql = "SELECT COUNT(*) AS pets, AVG(age) AS mean, STDDEV_POP(age) AS sd FROM pets"
    parts = {holder: rows(20) for holder in HOLDERS}
    assert asked(tmp_path / "same", sql, parts) == {"pets": 60, "mean": None, "sd": None}
    parts["west"] = rows(19) + rows(1, age=6)
    found = asked(tmp_path / "other", sql, parts)
    assert found["mean"] == (59 * 5 + 6) / 60


def test_counts_are_rounded_after_all_checks(tmp_path: Path) -> None:
    parts = {holder: rows(4) for holder in HOLDERS}
    policy = "min_count: 11, min_holders: 3, rounding: 5"
    sql = "SELECT COUNT(*) AS pets, SUM(weight) AS weight FROM pets"
    assert asked(tmp_path, sql, parts, policy)["pets"] == 10  # of 12, which pass


def test_a_node_that_lies_about_its_flags(tmp_path: Path) -> None:
    """Nobody can tell that it does not flag what is dominated; it harms only itself.

    A flag that it may not raise, of rows that it does not have, ends the run."""
    sql = "SELECT COUNT(*) AS pets, SUM(weight) AS weight FROM pets"
    world = world_of(tmp_path, {"question": sql}, {holder: rows(20) for holder in HOLDERS})
    honest = stayput_node.counts_vector

    def lying(run: Any, partial: Any, beside: Any) -> list[int]:
        return [*honest(run, partial, beside)[:-1], 7]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stayput_node, "counts_vector", lying)
        run = world.client.run(world.scenario, "question")
        world.settle()
    with pytest.raises(RunFailure):
        run.wait()
    assert world.failure(run.id) is FailureReason.INVARIANT_VIOLATED
    world.close()
