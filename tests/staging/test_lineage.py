"""Rows that two answers share, by real staging processes over a file that changes."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path

import duckdb
import pytest

from stayput.engines.snapshots import Lineage, Sharing
from stayput.engines.source import SourceSpec
from stayput.scenario import Column, ColumnType, Grade, Outside, TableContract
from stayput.staging import StagingFailed, StagingPool, StagingRequest
from stayput.staging.messages import Code

CONTRACT = TableContract(
    "pets",
    ("a", "b"),
    (
        Column("colour", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("red", "blue")),
        Column("age", ColumnType.INTEGER, Grade.INTERNAL, Outside.REFUSE, minimum=0, maximum=99),
    ),
    1000,
)
COUNT = 'SELECT "colour" AS key_0, COUNT(*) AS count_0 FROM "stayput_source" GROUP BY 1'
KEY = bytes(range(32))


def sharing(columns: tuple[str, ...]) -> Sharing:
    return Sharing(
        sql='SELECT "colour" AS key_0, COUNT(*) FILTER (WHERE "age" < 50) AS shared_0 '
        'FROM "stayput_source" GROUP BY 1',
        by_row='SELECT "colour" AS key_0, identity, COUNT(*) FILTER (WHERE "age" < 50) AS shared_0 '
        'FROM "stayput_source" GROUP BY 1, 2',
        keys=1,
        pairs=1,
        columns=columns,
    )


def write(path: Path, rows: list[tuple[str, int, str]]) -> SourceSpec:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (colour VARCHAR, age INTEGER, exported VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        kind = "(FORMAT parquet)" if path.suffix == ".parquet" else "(HEADER)"
        connection.execute(f"COPY t TO '{path}' {kind}")
    return SourceSpec(str(path), path.suffix[1:])


def request(source: SourceSpec, columns: tuple[str, ...], **rest: object) -> StagingRequest:
    lineage = Lineage(KEY, (), columns, take=True)
    asked = StagingRequest(
        source, CONTRACT, ("age", "colour"), COUNT, secrets.token_bytes(8), lineage
    )
    return dataclasses.replace(asked, **rest)  # type: ignore[arg-type]


def test_rows_then_and_now(tmp_path: Path) -> None:
    """As many copies of a row are shared as there were then and are now; columns that the question
    does not read make no difference."""
    path = tmp_path / "pets.csv"
    then = [("red", 1, "mon")] * 3 + [("red", 60, "mon")] + [("blue", 2, "mon")] * 2
    now = [("red", 1, "tue")] * 5 + [("red", 4, "tue")] + [("blue", 2, "tue")]
    columns = ("age", "colour")
    with StagingPool(tmp_path / "work", require_landlock=False) as pool:
        source = write(path, then)
        before = pool.state(source)
        kept = pool.stage(request(source, columns))
        assert sorted(kept.rows) == [("blue", 2), ("red", 4)]
        assert b"red" not in kept.snapshot
        assert len(kept.snapshot) == 12 + 3 * 12 + 16
        task = Lineage(KEY, (sharing(columns),), columns, take=False)
        same = pool.stage(request(source, columns, lineage=task, snapshots=(b"",)))
        assert sorted(same.shared[0]) == [("blue", 2), ("red", 3)]
        write(path, now)
        assert pool.state(source) != before
        asked = request(source, columns, lineage=task, snapshots=(kept.snapshot,))
        changed = pool.stage(asked)
        assert sorted(changed.rows) == [("blue", 1), ("red", 6)]
        assert sorted(changed.shared[0]) == [("blue", 1), ("red", 3)]
        assert changed.snapshot == b""
        bent = kept.snapshot[:-1] + bytes([kept.snapshot[-1] ^ 1])
        for key, sealed in ((KEY, bent), (bytes(32), kept.snapshot)):
            other = dataclasses.replace(task, key=key)
            asked = request(source, columns, lineage=other, snapshots=(sealed,))
            with pytest.raises(StagingFailed) as refused:
                pool.stage(asked)
            assert refused.value.code is Code.SNAPSHOT
