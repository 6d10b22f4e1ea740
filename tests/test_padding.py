"""Whatever the answer, a sealed result has one length."""

from __future__ import annotations

import random
from typing import Any

import duckdb
import numpy as np
import pytest

from stayput import documents
from stayput.finishing import finish
from stayput.padding import STEP, padded, unpadded, widths
from stayput.partials import assemble
from stayput.release import CheckedResult
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    NoiseMechanism,
    OutputPolicy,
    Outside,
    Privacy,
    Statement,
    TableContract,
)
from stayput.sql import Plan, bind, plan
from stayput.table import CellType, ResultTable, column

TABLE = TableContract(
    "t",
    ("a", "b", "c"),
    (
        Column("g", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("p", "q")),
        Column("h", ColumnType.LEVEL, Grade.PUBLIC, Outside.OTHER, levels=("u", "v")),
        Column("x", ColumnType.DECIMAL, Grade.INTERNAL, Outside.REFUSE, "", 2, -99_999, 99_999),
    ),
    1_000,
)
SQL = """
SELECT g, h, COUNT(*) AS n, SUM(x) AS s, AVG(x) AS mean, STDDEV_SAMP(x) AS sd,
  -SUM(x) * SUM(x) AS square, COUNT(*) FILTER (WHERE x > 5) - 7 AS less, NULLIF(SUM(x), 0) AS total,
  ROUND(SUM(x), -1) AS tens, SUM(CASE WHEN x < 0 THEN 3 ELSE x END) + 12.5 AS mixed
FROM t GROUP BY g, h
"""


def result(made: Plan, table: ResultTable) -> bytes:
    document = CheckedResult(bytes(16), bytes(32), "s", (), 10, 3, table, bytes(32))
    return padded(documents.encode(document), table, widths(made))


def answer(made: Plan, rows: list[tuple[str, str, int]], kept: float, rounding: int) -> bytes:
    """The result of some rows of which a share of the measures passes."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE stayput_source (g VARCHAR, h VARCHAR, x BIGINT)")
        connection.executemany("INSERT INTO stayput_source VALUES (?, ?, ?)", rows)
        part = assemble(made, connection.execute(bind(made, {}).node_sql()).fetchall())
    passes = np.random.default_rng(1).random((made.cells, made.measures)) < kept
    return result(made, finish(made, part.counts, part.values, passes.tolist(), rounding=rounding))


def test_the_length_says_nothing() -> None:
    made = plan(Statement("s", SQL), [TABLE], 3)
    dice = random.Random(2)
    some = [
        (dice.choice("pq"), dice.choice("uvw"), dice.randint(-99_999, 99_999)) for _ in [0] * 90
    ]
    most = [(g, h, x) for g in "pq" for h in "uvw" for x in [99_999] * 160]
    least = [(g, h, -x) for g, h, x in most]
    lengths = {
        len(answer(made, rows, kept, rounding))
        for rows in ([("p", "u", 0)], some, most, least)
        for kept in (0, 0.5, 1)
        for rounding in (0, 1_000)
    }
    assert len(lengths) == 1


def test_the_length_says_nothing_about_noise_either() -> None:
    """As large as it gets, as small as it gets, and withheld."""
    policy = OutputPolicy(10, 3, privacy=Privacy(NoiseMechanism.GEOMETRIC, epsilon=10**5))
    made = plan(Statement("s", "SELECT g, COUNT(*) AS n, SUM(x) AS s FROM t GROUP BY g"), [TABLE],
                3, policy)  # fmt: skip
    assert made.noise is not None
    (count, value), lengths = [3 * made.noise.tail(i) for i in (0, 1)], set()
    for sign in (-1, 0, 1):
        counts = [[sign * (3_000 + count)] for _ in range(made.cells)]
        values = [[sign * (3_000 * 99_999 + value)] for _ in range(made.cells)]
        for kept in (True, False):
            passes = [[kept] * made.measures] * made.cells
            lengths.add(len(result(made, finish(made, counts, values, passes))))
    assert len(lengths) == 1
    assert not lengths & {n * STEP for n in range(10)}


def test_what_was_added_comes_off() -> None:
    table = ResultTable((column("n", CellType.INTEGER, ["17"]),), synthetic=False)
    document = CheckedResult(bytes(16), bytes(32), "s", (), 10, 3, table, bytes(32))
    encoded = documents.encode(document)
    long = padded(encoded, table, (10,))
    assert len(long) == len(encoded) + 10 - 2
    assert unpadded(long) == unpadded(encoded) == encoded


@pytest.mark.parametrize("digits", [12, 300])
def test_a_number_beyond_every_bound_does_not_show_either(digits: int) -> None:
    texts: list[Any] = ["9" * digits]
    table = ResultTable((column("n", CellType.INTEGER, texts),), synthetic=False)
    document = CheckedResult(bytes(16), bytes(32), "s", (), 10, 3, table, bytes(32))
    assert len(padded(documents.encode(document), table, (10,))) % STEP == 0
