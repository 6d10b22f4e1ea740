"""A clever data user against output checking, with real keys and real encryption.

What everybody but the data user does is honest; the question is what the answer gives away.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from attacks.lying import World
from pets import HOLDERS, TEXT, Row

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
