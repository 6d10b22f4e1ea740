"""Any statement over a join is refused, or answered as DuckDB answers it on the joined rows."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from vertical.plain import moments

from stayput.errors import SqlError
from stayput.finishing import finish
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    IdentifierKind,
    IdentifierRule,
    Outside,
    Statement,
    TableContract,
)
from stayput.sql import bind, plan
from stayput.vertical.questions import ask


def column(name: str, kind: ColumnType, **more: Any) -> Column:
    return Column(name, kind, Grade.PUBLIC, Outside.REFUSE, **more)


def contract(name: str, *columns: Column) -> TableContract:
    who = column("who", ColumnType.IDENTIFIER, identifier=IdentifierRule(IdentifierKind.TEXT))
    return TableContract(name, (f"h-{name}",), (who, *columns), 1000)


TABLES = (
    contract(
        "a",
        column("ak", ColumnType.LEVEL, levels=("x", "y")),
        column("ai", ColumnType.INTEGER, minimum=-9, maximum=12),
        column("ad", ColumnType.DECIMAL, decimals=2, minimum=-150, maximum=320),
    ),
    contract(
        "b",
        column("bk", ColumnType.INTEGER, minimum=-2, maximum=2),
        column("bi", ColumnType.INTEGER, minimum=3, maximum=40),
    ),
    contract(
        "c",
        column("ck", ColumnType.BOOLEAN, nullable=True),
        column("cd", ColumnType.DECIMAL, decimals=1, minimum=-50, maximum=50),
    ),
)
CONTRACTS = {table.name: table for table in TABLES}


@functools.cache
def rows() -> dict[str, pa.Table]:
    rng = np.random.default_rng(11)

    def who() -> list[str]:
        return [str(n) for n in rng.permutation(60)[:45]]

    def decimals(low: int, high: int, places: int) -> list[Decimal]:
        return [Decimal(int(v)).scaleb(-places) for v in rng.integers(low, high + 1, 45)]

    truth = [None, True, False]
    return {
        "a": pa.table(
            {
                "who": who(),
                "ak": [("x", "y")[i] for i in rng.integers(0, 2, 45)],
                "ai": rng.integers(-9, 13, 45),
                "ad": pa.array(decimals(-150, 320, 2), pa.decimal128(10, 2)),
            }
        ),
        "b": pa.table({"who": who(), "bk": rng.integers(-2, 3, 45), "bi": rng.integers(3, 41, 45)}),
        "c": pa.table(
            {
                "who": who(),
                "ck": [truth[i] for i in rng.integers(0, 3, 45)],
                "cd": pa.array(decimals(-50, 50, 1), pa.decimal128(10, 1)),
            }
        ),
    }


@functools.cache
def pool() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, table in rows().items():
        connection.register(name, table)
    return connection


COLUMNS = ("ai", "ad", "bi", "bk", "cd")
KEYS = ("ak", "bk", "ck", "ai // 4", "CASE WHEN ad < 0.5 THEN 'low' ELSE 'high' END",
        "CASE WHEN ai + bi < 20 THEN 'low' ELSE 'high' END")  # fmt: skip
CONDITIONS = ("ai > 0", "ad BETWEEN -1 AND 2.5", "bk IN (-1, 0, 2)", "ck", "ck IS NULL",
              "NOT (ai = 3 AND ad < 1)", "ai < bi")  # fmt: skip
CONSTANTS = ("2", "0.5", "1.25", "-3")


@st.composite
def numbers(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.integers(0, 3 if depth else 1))
    if kind == 0:
        return draw(st.sampled_from(COLUMNS))
    if kind == 1:
        return f"{draw(st.sampled_from(COLUMNS))} * {draw(st.sampled_from(CONSTANTS))}"
    left, right = draw(numbers(depth - 1)), draw(numbers(depth - 1))
    operation = draw(st.sampled_from("+-*" if kind == 2 else "+-"))
    return f"({left}) {operation} ({right})"


@st.composite
def statements(draw: st.DrawFn) -> str:
    tables = draw(st.sampled_from([("a", "b"), ("b", "a", "c"), ("c", "a"), ("a", "b", "c")]))
    first, *others = tables
    known = {c.name for name in tables for c in CONTRACTS[name].columns}

    def fits(text: str) -> bool:
        return all(c in known for c in (*COLUMNS, "ak", "ck") if c in text.replace("CASE", ""))

    keys = [k for k in draw(st.lists(st.sampled_from(KEYS), max_size=2, unique=True)) if fits(k)]
    sums = [n for n in draw(st.lists(numbers(), min_size=1, max_size=3)) if fits(n)]
    where = [c for c in draw(st.lists(st.sampled_from(CONDITIONS), max_size=2)) if fits(c)]
    items = [f"{key} AS k{i}" for i, key in enumerate(keys)]
    items += ["COUNT(*) AS n", *(f"SUM({number}) AS s{i}" for i, number in enumerate(sums))]
    sql = f"SELECT {', '.join(items)} FROM {first}"
    sql += "".join(f" JOIN {other} USING (who)" for other in others)
    sql += f" WHERE {' AND '.join(f'({c})' for c in where)}" if where else ""
    return sql + (f" GROUP BY {', '.join(str(i + 1) for i in range(len(keys)))}" if keys else "")


OUTCOMES: set[str] = set()


@settings(max_examples=80, deadline=None)
@given(statements())
def test_refused_or_right(sql: str) -> None:
    try:
        bound = bind(plan(Statement("s", sql), TABLES, 3), {})
        question = ask(bound, TABLES)
    except SqlError as error:
        OUTCOMES.add("refused, and told what works" if error.hint else "refused")
        return
    OUTCOMES.add("answered")
    found = moments(question.staged, question.moments, CONTRACTS, rows())
    empty = [0] * len(question.moments)
    sums = [found.pop(groups, empty) for groups in question.groups()]
    assert not found
    passes = np.ones((bound.plan.cells, bound.plan.measures), dtype=np.bool_)
    counts = [[row[0]] for row in sums]
    table = finish(bound.plan, counts, [question.values(row) for row in sums], passes)
    keys = sum(c.key for c in table.columns)
    theirs = {row[:keys]: row[keys:] for row in pool().execute(sql).fetchall()}
    for row in table.rows():
        expected = theirs.pop(row[:keys], (0, *(None for _ in row[keys + 1 :])))
        assert row[keys:] == expected, (row, expected)
    assert not theirs


def test_both_have_occurred() -> None:
    assert {"answered", "refused, and told what works"} == OUTCOMES
