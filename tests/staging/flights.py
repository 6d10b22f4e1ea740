"""A small table with a planted canary, as Parquet, CSV and SQLite."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stayput.engines.source import SourceSpec
from stayput.scenario import Column, ColumnType, Grade, Outside, TableContract
from stayput.staging import Staged, StagingPool, StagingRequest

CANARY = "canary-7f3a9c51e0"
"""A level that occurs in the rows; it may be in the source and in no other place."""

ROWS = {
    "Carrier": ["AA", "UA", CANARY, None, "AA"],
    "DELAY": [1.25, -2.5, 3.0, None, 2000.0],
    "month": [1, 2, 12, 3, 1],
    "late": [True, False, True, None, False],
}

CONTRACT = TableContract(
    "flights",
    ("north", "south"),
    (
        Column(
            "carrier",
            ColumnType.LEVEL,
            Grade.PUBLIC,
            Outside.OTHER,
            levels=("AA", "UA"),
            nullable=True,
        ),
        Column(
            "delay",
            ColumnType.DECIMAL,
            Grade.INTERNAL,
            Outside.CLIP,
            decimals=2,
            minimum=-10_000,
            maximum=100_000,
            nullable=True,
        ),
        Column("month", ColumnType.INTEGER, Grade.PUBLIC, Outside.REFUSE, minimum=1, maximum=12),
        Column("late", ColumnType.BOOLEAN, Grade.PUBLIC, Outside.REFUSE, nullable=True),
    ),
    max_rows=10_000,
)

USED = ("carrier", "delay", "month", "late")

SQL = (
    "SELECT carrier AS key_0, late AS key_1, COUNT(*) AS count_0, COUNT(delay) AS count_1, "
    "COALESCE(SUM(delay), 0) AS value_0, SUM(CAST(month AS HUGEINT)) AS value_1 "
    'FROM "stayput_source" GROUP BY 1, 2'
)

ENDLESS = (
    "SELECT COUNT(*) AS count_0, SUM(hash(a.i) % 7) AS value_0 "
    "FROM range(100000000) a(i), range(100000000) b(i), stayput_source"
)
"""Would take years; kept from being a constant by the source."""

EXPECTED = {
    ("AA", True, 1, 1, 125, 1),
    ("UA", False, 1, 1, -250, 2),
    ("__other__", True, 1, 1, 300, 12),
    (None, None, 1, 0, 0, 3),
    ("AA", False, 1, 1, 100_000, 1),  # clipped
}


def write_parquet(path: Path, rows: dict[str, list[Any]]) -> SourceSpec:
    pyarrow.parquet.write_table(pa.table(rows), path)
    return SourceSpec(str(path), "parquet")


def write_csv(path: Path, rows: dict[str, list[Any]]) -> SourceSpec:
    pyarrow.csv.write_csv(pa.table(rows), path)
    return SourceSpec(str(path), "csv")


def write_sqlite(path: Path, rows: dict[str, list[Any]], table: str = "flights") -> SourceSpec:
    connection = sqlite3.connect(path)
    names = ", ".join(f'"{name}"' for name in rows)
    connection.execute(f'CREATE TABLE "{table}" ({names})')
    marks = ", ".join("?" for _ in rows)
    connection.executemany(
        f'INSERT INTO "{table}" VALUES ({marks})', zip(*rows.values(), strict=True)
    )
    connection.commit()
    connection.close()
    return SourceSpec(str(path), "sqlite")


WRITERS: dict[str, Callable[[Path, dict[str, list[Any]]], SourceSpec]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "sqlite": write_sqlite,
}

_ids = itertools.count(1)


def request(
    source: SourceSpec,
    sql: str = SQL,
    *,
    contract: TableContract = CONTRACT,
    columns: tuple[str, ...] = USED,
) -> StagingRequest:
    return StagingRequest(source, contract, columns, sql, next(_ids).to_bytes(16, "big"))


def stage(pool: StagingPool, source: SourceSpec, sql: str = SQL, **changes: Any) -> Staged:
    return pool.stage(request(source, sql, **changes))
