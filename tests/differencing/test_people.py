"""People behind the rows in which two answers differ: the nodes' SQL against plain Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pytest

from stayput.differencing.overlap import Overlap
from stayput.disclosure.isolating import Judged, Pair, isolating
from stayput.engines.snapshots import Lineage, Sharing, compare, take
from stayput.partials import assemble_people
from stayput.plans import _apart, _together
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    OutputPolicy,
    Outside,
    Statement,
    TableContract,
)
from stayput.sql import SOURCE, BoundPlan, bind, plan

Row = tuple[int, str, int]
"""Whom it is about, town, size."""

TABLE = TableContract(
    "visits",
    ("a", "b", "c"),
    (
        Column("who", ColumnType.INTEGER, Grade.PUBLIC, Outside.REFUSE, minimum=0, maximum=9),
        Column("town", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("x", "y")),
        Column("size", ColumnType.INTEGER, Grade.PUBLIC, Outside.REFUSE, minimum=0, maximum=3),
    ),
    1_000,
    unit="who",
)
CONDITIONS = ("size >= 0", "size < 2", "size <> 1", "town = 'x'", "size = 3 OR town = 'y'")


def asked(condition: str, keys: str = "") -> BoundPlan:
    head, tail = (f"{keys}, ", f" GROUP BY {keys}") if keys else ("", "")
    sql = f"SELECT {head}COUNT(*) AS n FROM visits WHERE {condition}{tail}"
    return bind(plan(Statement("s", sql), (TABLE,), 3, OutputPolicy(2, 2)), {})


def table_of(rows: Sequence[Row]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE {SOURCE} (who BIGINT, town VARCHAR, size BIGINT)")
    if rows:
        connection.executemany(f"INSERT INTO {SOURCE} VALUES (?, ?, ?)", rows)
    return connection


def tasks(overlap: Overlap) -> Lineage:
    columns = overlap.old.plan.columns
    rows = Sharing(
        overlap.sql(), overlap.sql_by_row(), len(overlap.dimensions), len(overlap.pairs), columns
    )
    people = Sharing(
        overlap.units_sql("who"),
        overlap.units_by_row("who"),
        len(overlap.common_axes),
        len(overlap.pairs),
        columns,
        people=True,
    )
    return Lineage(bytes(32), (rows, people), columns, take=True)


def found(overlap: Overlap, now: Sequence[Row], then: Sequence[Row] | None) -> list[list[int]]:
    lineage = tasks(overlap)
    sealed = b""
    if then is not None:
        with table_of(then) as before:
            sealed = take(before, lineage)
    with table_of(now) as connection:

        def run(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        _, people = compare(connection, lineage, [sealed, b""], run)
    return assemble_people(overlap, people)


def chosen(rows: Sequence[Row], condition: str) -> list[Row]:
    with table_of(rows) as connection:
        return connection.execute(f"SELECT * FROM {SOURCE} WHERE {condition}").fetchall()  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(7))
def test_people_of_two_questions_about_the_same_rows(seed: int) -> None:
    dice = random.Random(seed)
    rows = [(dice.randrange(8), dice.choice("xy"), dice.randrange(4)) for _ in range(25)]
    one, other = dice.choice(CONDITIONS), dice.choice(CONDITIONS)
    overlap = Overlap(asked(one, "town"), asked(other, "town"))
    differ = Counter(chosen(rows, one))
    differ.subtract(chosen(rows, other))
    cells = found(overlap, rows, None)
    for cell, town in enumerate(("x", "y")):
        behind = {who for (who, where, _), n in differ.items() if n and where == town}
        assert cells[cell] == [len(behind)]


@pytest.mark.parametrize("seed", range(7))
def test_people_of_rows_that_came(seed: int) -> None:
    """Exactly those with a row that was not in the old answer, as far as that one reads rows; of
    rows that went nobody is known, so it is never more than there are."""
    dice = random.Random(seed)
    then = [(dice.randrange(8), dice.choice("xy"), dice.randrange(4)) for _ in range(20)]
    now = [row for row in then if dice.random() < 0.8]
    now += [(dice.randrange(10), dice.choice("xy"), dice.randrange(4)) for _ in range(6)]
    one, other = dice.choice(CONDITIONS), dice.choice(CONDITIONS)
    overlap = Overlap(asked(one), asked(other))
    read = [("who", "town", "size").index(name) for name in overlap.old.plan.columns]

    def seen(rows: Sequence[Row]) -> Counter[tuple[Any, ...]]:
        return Counter(tuple(row[i] for i in read) for row in rows)

    ((number,),) = found(overlap, now, then)
    mine, both = seen(chosen(now, one)), seen(chosen(now, f"({one}) AND ({other})"))
    came = mine - (both & seen(then))
    person = read.index(0)
    assert number == len({row[person] for row in came})


@pytest.mark.parametrize(("people", "passes"), [(1, False), (9, False), (10, True), (30, True)])
def test_few_people_behind_many_rows(people: int, passes: bool) -> None:
    new, old = asked("size < 2"), asked("size >= 0")
    overlap = Overlap(new, old)
    before = Judged(b"old", old, np.array([[100]], object), np.array([[True]]), 10)
    now = Judged(b"new", new, np.array([[60]], object), np.array([[True]]), 10)
    pair = Pair(overlap, np.array([[60]], object), np.array([[3]]), np.array([[people]], object))
    isolated = isolating(now, [before], {(b"new", b"old"): pair}, least=10, min_holders=3)
    assert isolated.any() != passes


def test_numbers_of_people_share_a_number_and_stay_apart() -> None:
    own = [[10, 0, 7, 10, 3, 1, 10], [10, 0, 0, 10, 10, 1, 10], [10, 0, 3, 10, 0, 1, 10]]
    numbers = [_together(one, 30) for one in own]
    assert len(numbers[0]) == 2
    summed = [sum(column) for column in zip(*numbers, strict=True)]
    assert _apart(summed, 7, 30) == [sum(column) for column in zip(*own, strict=True)]
    assert max(summed) < 2**31
