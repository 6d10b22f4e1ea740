"""Statements and disks that would keep a party busy or bring it down."""

from __future__ import annotations

import secrets
import sqlite3
import time
from pathlib import Path

import pytest
from attacks.lying import World
from pets import HOLDERS

from stayput.cli import main
from stayput.engines.source import SourceSpec
from stayput.errors import ConfigurationError, SqlError, Unavailable
from stayput.scenario import Column, ColumnType, Grade, Outside, Statement, TableContract
from stayput.session import RunPhase
from stayput.sql import plan
from stayput.staging import StagingFailed, StagingPool, StagingRequest
from stayput.steps import DeletionCheck
from stayput.store.database import Database
from stayput.store.journal import Journal

TABLE = TableContract(
    "t",
    ("a", "b"),
    (
        Column("k", ColumnType.INTEGER, Grade.PUBLIC, Outside.REFUSE, minimum=0, maximum=50_000),
        Column("m", ColumnType.INTEGER, Grade.PUBLIC, Outside.REFUSE, minimum=0, maximum=600),
    ),
    1_000,
)


def branches(number: int) -> str:
    return " ".join(f"WHEN m = {i} THEN {i + 1}" for i in range(number))


def test_a_statement_whose_parts_fit_no_message_is_refused_before_anybody_approves() -> None:
    sql = f"SELECT k, SUM(CASE {branches(100)} END) AS s FROM t GROUP BY k"
    with pytest.raises(SqlError, match="50002 cells with 305 counts and flags"):
        plan(Statement("s", sql), [TABLE], 3)
    assert plan(Statement("s", "SELECT k, COUNT(*) AS n FROM t GROUP BY k"), [TABLE], 3).cells


def test_a_statement_with_many_branches_is_understood_in_seconds() -> None:
    """Whoever only reads it, to refuse it, has to understand it first."""
    started = time.monotonic()
    planned = plan(Statement("s", f"SELECT SUM(CASE {branches(200)} END) AS s FROM t"), [TABLE], 3)
    assert len(planned.counts) > 200
    assert time.monotonic() - started < 10


def test_an_output_without_a_name_is_refused_in_words() -> None:
    with pytest.raises(SqlError):
        plan(Statement("s", "SELECT - :p FROM t"), [TABLE], 3)


# --- disks --------------------------------------------------------------------------------------


def full(database: Database) -> None:
    """No page more, as on a full disk."""
    connection = database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def fill(journal: Journal) -> None:
    """Nor room in the pages that there are."""
    size = 4096
    while size:
        try:
            journal.put("filler", secrets.token_bytes(8), bytes(size))
        except Unavailable:
            size //= 2


def test_a_full_disk_is_waited_for_not_a_crash(world: World) -> None:
    run = world.order()
    for name in ("north", "hub"):
        full(world._journals[name]._database)
    fill(world._journals["hub"])
    full(world._ledgers["north"]._database)
    for holder in HOLDERS * 2:
        with pytest.raises(Unavailable, match="cannot be used now"):
            world.nodes[holder].work()
    for database in (
        world._journals["north"]._database,
        world._journals["hub"]._database,
        world._ledgers["north"]._database,
    ):
        database._connection.execute("PRAGMA max_page_count = 1000000")
    world.settle()
    world.client.replica.catch_up(world.link("asker"))
    assert world.client.replica.session.runs[run].phase is RunPhase.RELEASED


def test_a_staging_that_cannot_be_marked_ends_with_a_receipt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmarked, a later sweep could not find the process; so it gets no job at all."""

    def full_disk(folder: Path, pid: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stayput.staging.destruction.mark", full_disk)
    source = tmp_path / "t.csv"
    source.write_text("k,m\n1,2\n")
    with StagingPool(tmp_path / "staging", warm=False) as pool:
        request = StagingRequest(
            SourceSpec(str(source), "csv"), TABLE, ("k",), "SELECT COUNT(*) AS n", b"run"
        )
        with pytest.raises(StagingFailed) as caught:
            pool.stage(request)
    assert DeletionCheck.PROCESS_REAPED in caught.value.receipt.passed
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_folder_that_may_not_be_entered_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(home: Path) -> None:
        raise PermissionError(13, "Permission denied", str(home / "identity.json"))

    monkeypatch.setattr("stayput.identity.load_identity", forbidden)
    assert main(["node", "notes", "--home", "/elsewhere"]) == 1
    assert "stayput: error: /elsewhere/identity.json: Permission denied" in capsys.readouterr().err


def test_a_state_file_that_another_process_holds_or_that_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stayput.store.database.BUSY_SECONDS", 0.1)
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.put("verdict", b"run", b"x" * 100_000)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"journal\.db"):
        journal.put("verdict", b"other", b"")
    other.execute("ROLLBACK")
    other.close()
    journal.put("verdict", b"other", b"")
    journal.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(ConfigurationError, match="damaged"):
        Journal(path).get("verdict", b"run")
