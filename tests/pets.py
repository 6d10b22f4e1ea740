"""A small scenario with everything in it, and rows of three holders."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from pathlib import Path
from typing import Any

import duckdb

from stayput.engines.snapshots import compare, take
from stayput.engines.source import SourceSpec
from stayput.staging import (
    DeletionFacts,
    JoinRequest,
    JoinStaging,
    Staged,
    StagingRequest,
    Swept,
)
from stayput.staging.process import Ended
from stayput.steps import DeletionCheck, Outcome

HOLDERS = ("north", "south", "west")

TEXT = """\
scenario: pets
title: Pets by colour
purpose: See that a federation in bad weather answers correctly or not at all.
data_user: asker
checker: office
holders: [north, south, west]
limits: {runs: 40, valid_until: 2099-12-31}
tables:
  pets:
    at: [north, south, west]
    max_rows: 1000
    columns:
      colour: {type: level, levels: [red, green, blue, white], grade: public}
      age: {type: integer, min: 0, max: 30, grade: internal}
      weight:
        {type: decimal, decimals: 1, min: -100, max: 100, nullable: true, grade: internal}
statements:
  by_colour:
    sql: |
      SELECT colour, COUNT(*) AS pets, AVG(weight) AS mean, STDDEV_SAMP(age) AS sd
      FROM pets WHERE age >= :youngest GROUP BY colour
    parameters: {youngest: {type: integer, min: 0, max: 10}}
  numbers:
    sql: SELECT colour, COUNT(*) AS pets FROM pets GROUP BY colour
output: {min_count: 10, min_holders: 3, min_difference: none}
"""

Row = tuple[str, int, int | None]
"""colour, age, weight in tenths."""


def rows_of(holder: str, seed: int = 1) -> list[Row]:
    """White pets are few everywhere; blue ones live at two holders only."""
    dice = random.Random(f"{holder} {seed}")
    rows: list[Row] = []
    for colour, number in (("red", 30), ("green", 12), ("blue", 40), ("white", 3)):
        if colour == "blue" and holder == "west":
            continue
        for _ in range(number):
            weight = None if dice.random() < 0.1 else dice.randint(-1000, 1000)
            rows.append((colour, dice.randint(0, 30), weight))
    return rows


def destroyed() -> Staged:
    """A staging that came and went without any row."""
    facts = DeletionFacts(
        outcome=Outcome.DESTROYED,
        passed=(DeletionCheck.PROCESS_REAPED,),
        failed=(),
        started=1,
        ended=1,
    )
    ended = Ended(reaped=True, dumped_core=False, peak_bytes=0, cpu_seconds=0.0)
    return Staged(rows=[], receipt=facts, ended=ended)


@dataclasses.dataclass
class TableStager:
    """Stages in this process, so that a thousand runs are quick; the real one has its own tests."""

    rows: list[Row]
    requests: list[StagingRequest] = dataclasses.field(default_factory=list)
    sweeps: list[Swept] = dataclasses.field(default_factory=list)

    def stage(self, request: StagingRequest) -> Staged:
        self.requests.append(request)
        with duckdb.connect() as connection:
            connection.execute(
                "CREATE TABLE stayput_source (colour VARCHAR, age BIGINT, weight BIGINT)"
            )
            if self.rows:
                connection.executemany("INSERT INTO stayput_source VALUES (?, ?, ?)", self.rows)

            def run(sql: str) -> list[tuple[Any, ...]]:
                return connection.execute(sql).fetchall()

            staged = dataclasses.replace(destroyed(), rows=run(request.sql))
            if request.lineage is None:
                return staged
            shared = compare(connection, request.lineage, request.snapshots, run)
            kept = take(connection, request.lineage) if request.lineage.take else b""
        return dataclasses.replace(staged, shared=shared, snapshot=kept)

    def open_join(self, request: JoinRequest) -> JoinStaging:
        raise AssertionError("pets have no identifiers")  # registers.RegisterStager does joins

    def state(self, source: SourceSpec) -> str:
        del source
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()


def sources(root: Path) -> dict[str, dict[str, SourceSpec]]:
    """A declared source at every holder; the table stager does not open it."""
    spec = SourceSpec(path=str(root / "pets.parquet"), format="parquet")
    return {holder: {"pets": spec} for holder in HOLDERS}


def pooled(rows: list[Row], youngest: int) -> dict[str, tuple[int, float | None, float | None]]:
    """The independent answer: the same SQL by DuckDB on the pooled plain rows."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE pets (colour VARCHAR, age INTEGER, weight DECIMAL(9,1))")
        connection.executemany(
            "INSERT INTO pets VALUES (?, ?, CAST(? AS DECIMAL(9,1)) * 0.1)", rows
        )
        answer = connection.execute(
            "SELECT colour, COUNT(*), AVG(weight), STDDEV_SAMP(age) FROM pets "
            "WHERE age >= ? GROUP BY colour",
            [youngest],
        ).fetchall()
    return {colour: (count, mean, sd) for colour, count, mean, sd in answer}
