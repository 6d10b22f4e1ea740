"""A data user who asks twice: answers that are fine alone, and together are about few.

Real keys, real encryption, real SQL; everybody but the data user is honest.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from attacks.lying import World
from pets import HOLDERS, TEXT, Row

from stayput.disclosure import Reason

POLICY = "output: {min_count: 10, min_holders: 3, dominance: none, group_percent: none}\n"


def world_of(root: Path, statements: dict[str, str], rows: dict[str, list[Row]]) -> World:
    text = re.sub(r"(?s)statements:.*", "statements:\n", TEXT)
    for name, sql in statements.items():
        text += f"  {name}:\n    sql: {sql}\n"
    world = World(root, text + POLICY)
    for holder in HOLDERS:
        world.stagers[holder].rows = rows[holder]
    return world


def ask(world: World, statement: str) -> list[Any]:
    """The table, or what is left of it: one tuple per row."""
    run = world.client.run(world.scenario, statement)
    world.settle()
    rows = run.wait().table.to_pylist()
    return [
        tuple(value for name, value in row.items() if not name.endswith("__withheld"))
        for row in rows
    ]


def pets(number: int, age: int = 5, colour: str = "red") -> list[Row]:
    return [(colour, age, 10)] * number


def test_all_minus_one(tmp_path: Path) -> None:
    rows = dict.fromkeys(HOLDERS, pets(20))
    rows["north"] = [*pets(20), *pets(1, age=25)]
    statements = {
        "everybody": "SELECT COUNT(*) AS pets, SUM(age) AS years FROM pets",
        "young": "SELECT COUNT(*) AS pets, SUM(age) AS years FROM pets WHERE age < 20",
    }
    for first, second in (("everybody", "young"), ("young", "everybody")):
        world = world_of(tmp_path / first, statements, rows)
        assert ask(world, first)[0][0] == (61 if first == "everybody" else 60)
        assert ask(world, second) == [(None, None)]
        (reason, *_) = world.checker.reasons(list(world.checker.replica.session.runs)[1])[0]
        assert reason is Reason.ISOLATING
        world.close()


def test_the_four_answers(tmp_path: Path) -> None:
    """No two of A+B+x, B+C, A+C and A differ in few rows; together they give x away."""
    ages = {"a": 1, "b": 2, "c": 3, "x": 4}
    rows = {h: pets(20, 1) + pets(20, 2) + pets(20, 3) for h in HOLDERS}
    rows["south"] = [*rows["south"], *pets(1, 4)]
    del ages
    where = {"abx": "1, 2, 4", "bc": "2, 3", "ac": "1, 3", "a": "1"}
    statements = {
        name: f"SELECT COUNT(*) AS pets, SUM(age) AS years FROM pets WHERE age IN ({ages})"
        for name, ages in where.items()
    }
    world = world_of(tmp_path, statements, rows)
    assert [ask(world, name)[0][0] for name in where] == [121, 120, 120, None]
    world.close()


def test_snapshot_plus_one(tmp_path: Path) -> None:
    """The same question before and after one row came; and after it went again."""
    rows = dict.fromkeys(HOLDERS, pets(20))
    world = world_of(tmp_path, {"all": "SELECT COUNT(*) AS pets, SUM(age) AS y FROM pets"}, rows)
    assert ask(world, "all") == [(60, 300)]
    world.stagers["west"].rows = [*pets(20), *pets(1, age=7)]
    assert ask(world, "all") == [(None, None)]
    world.stagers["west"].rows = pets(20)
    assert ask(world, "all") == [(60, 300)]
    # Enough rows, but all of them one holder's: the difference would be that holder's part.
    world.stagers["west"].rows = pets(60)
    assert ask(world, "all") == [(None, None)]
    for holder in HOLDERS:
        world.stagers[holder].rows = pets(70)
    assert ask(world, "all") == [(210, 1050)]
    world.close()
