"""Staging as its callers see it: sums and receipts, refusals for the holder, limits, endings.

Everything runs in the real process.
"""

from __future__ import annotations

import dataclasses
import math
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from staging.flights import (
    CANARY,
    CONTRACT,
    ENDLESS,
    EXPECTED,
    ROWS,
    SQL,
    WRITERS,
    request,
    stage,
    write_csv,
    write_parquet,
    write_sqlite,
)

from stayput.engines.source import SourceSpec
from stayput.errors import ConfigurationError, ContractViolation, StagingError
from stayput.scenario import Column, ColumnType, Grade, Outside, TableContract
from stayput.staging import SourceRefused, StagingFailed, StagingPool, sweep
from stayput.staging.messages import Code
from stayput.steps import DeletionCheck, Outcome

CHECKS = tuple(check for check in DeletionCheck if check is not DeletionCheck.LATE_SWEEP)


def numbers(name: str = "n", **changes: object) -> TableContract:
    given = {"minimum": -(10**18), "maximum": 10**18, "outside": Outside.REFUSE, **changes}
    column = Column(name, ColumnType.INTEGER, Grade.PUBLIC, **given)  # type: ignore[arg-type]
    return TableContract("t", ("north", "south"), (column,), 1_000)


@pytest.mark.parametrize("kind", WRITERS)
def test_sums_and_receipt(pool: StagingPool, tmp_path: Path, kind: str) -> None:
    source = WRITERS[kind](tmp_path / f"flights.{kind}", ROWS)
    before = int(time.time())
    staged = stage(pool, source)
    assert set(staged.rows) == EXPECTED
    assert len(staged.rows) == len(EXPECTED)
    assert staged.receipt.passed == CHECKS
    assert staged.receipt.failed == ()
    assert staged.receipt.outcome is Outcome.DESTROYED
    assert before <= staged.receipt.started <= staged.receipt.ended <= time.time()
    assert CANARY not in repr(staged)
    assert "125" not in repr(staged)


def test_sums_beyond_64_bits_are_exact(pool: StagingPool, tmp_path: Path) -> None:
    values = [10**18 - 1, 10**18, -(10**18), 999_999_999_999_999_999, 3]
    for kind, writer in WRITERS.items():
        source = writer(tmp_path / f"wide.{kind}", {"n": values})
        sql = (
            "SELECT COUNT(*) AS count_0, SUM(n) AS value_0, "
            "SUM(CAST(n AS HUGEINT) * CAST(n AS HUGEINT)) AS value_1 FROM stayput_source"
        )
        staged = stage(pool, source, sql, contract=numbers(), columns=("n",))
        assert staged.rows == [(5, sum(values), sum(v * v for v in values))], kind


def test_an_empty_table_and_no_columns(pool: StagingPool, tmp_path: Path) -> None:
    for kind, writer in WRITERS.items():
        empty = pa.table({"n": pa.array([], pa.int64())})
        source = writer(tmp_path / f"empty.{kind}", {"n": []})
        if kind == "parquet":
            pyarrow.parquet.write_table(empty, source.path)
        sql = "SELECT COUNT(*) AS count_0, COALESCE(SUM(n), 0) AS value_0 FROM stayput_source"
        got = stage(pool, source, sql, contract=numbers(), columns=("n",)).rows
        assert got == [(0, 0)], kind
        sql = "SELECT COUNT(*) AS count_0 FROM stayput_source"
        counted = write_sqlite if kind == "sqlite" else writer
        three = counted(tmp_path / f"three.{kind}", {"n": [1, 2, 3]})
        assert stage(pool, three, sql, contract=numbers(), columns=()).rows == [(3,)], kind


# --- the holder is told what does not fit ---------------------------------------------------------


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"month": [1, 2, 13, 0, 1]}, "column 'month' of {f} has 2 rows outside 1 … 12"),
        ({"month": [1, None, 3, 4, 5]}, "column 'month' of {f} has 1 row without a value"),
        ({"delay": ROWS["DELAY"], "DELAY": None}, ""),
        ({"DELAY": [1.0, math.nan, math.inf, 0.0, 1.0]}, "'delay' of {f} has 2 rows whose value"),
        ({"month": ["1", "two", "3", "4", "5"]}, "'month' of {f} has 1 row whose value is not a"),
        ({"month": [1.0, 2.5, 3.0, 4.0, 5.0]}, "has 1 row whose value is not a whole number"),
        ({"month": None}, "column 'month' is missing in {f}; the file has: Carrier, DELAY, late"),
    ],
)
def test_what_does_not_fit_is_told_to_the_holder(
    pool: StagingPool, tmp_path: Path, kind: str, changed: dict[str, list[object]], told: str
) -> None:
    rows = {name: values for name, values in {**ROWS, **changed}.items() if values is not None}
    if kind == "sqlite" and "DELAY" in changed and changed["DELAY"] is not None:
        told = told.replace("2 rows", "1 row")  # SQLite stores NaN as NULL
    source = WRITERS[kind](tmp_path / f"flights.{kind}", rows)
    if not told:
        assert stage(pool, source).receipt.outcome is Outcome.DESTROYED
        return
    with pytest.raises(SourceRefused) as refused:
        stage(pool, source)
    assert told.format(f=f"flights.{kind}") in refused.value.message
    assert isinstance(refused.value, ContractViolation)
    assert refused.value.receipt.passed == CHECKS
    assert CANARY not in refused.value.message  # a level that is not declared is data
    assert "two" not in refused.value.message


def test_unknown_levels_and_too_many_rows(pool: StagingPool, tmp_path: Path) -> None:
    strict = dataclasses.replace(CONTRACT.columns[0], outside=Outside.REFUSE)
    contract = dataclasses.replace(CONTRACT, columns=(strict, *CONTRACT.columns[1:]))
    source = write_parquet(tmp_path / "flights.parquet", ROWS)
    with pytest.raises(SourceRefused) as refused:
        stage(pool, source, contract=contract)
    assert "has 1 row whose value is none of the 2 declared levels" in refused.value.message
    assert CANARY not in refused.value.message
    for kind, writer in WRITERS.items():
        source = writer(tmp_path / f"many.{kind}", ROWS)
        with pytest.raises(SourceRefused, match="has 5 rows; the contract of table 'flights'"):
            stage(pool, source, contract=dataclasses.replace(CONTRACT, max_rows=4))


def test_all_violations_are_told_at_once(pool: StagingPool, tmp_path: Path) -> None:
    rows = {**ROWS, "month": [0, 1, 2, None, 99], "late": ["yes", "no", "perhaps", "no", "no"]}
    with pytest.raises(SourceRefused) as refused:
        stage(pool, write_csv(tmp_path / "f.csv", rows))
    for part in ("1 row without a value", "2 rows outside 1 … 12", "1 row whose value is not true"):
        assert part in refused.value.message


def test_sources_that_cannot_be_read(pool: StagingPool, tmp_path: Path) -> None:
    text = tmp_path / "text.parquet"
    text.write_text(f"{CANARY}\n" * 100)
    cases = {
        "parquet": (SourceSpec(str(text), "parquet"), Code.SOURCE_MALFORMED),
        "sqlite": (SourceSpec(str(text), "sqlite"), Code.SOURCE_MALFORMED),
        "unknown": (SourceSpec(str(text), "xlsx"), Code.SOURCE_UNREADABLE),
    }
    whole = write_parquet(tmp_path / "whole.parquet", ROWS)
    data = Path(whole.path).read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(data[:30] + data[60:])
    cases["cut"] = (SourceSpec(str(cut), "parquet"), Code.SOURCE_MALFORMED)
    for name, (source, code) in cases.items():
        with pytest.raises(StagingFailed) as failed:
            stage(pool, source)
        assert failed.value.code in (code, Code.SOURCE_UNREADABLE, Code.INTERNAL), name
        assert CANARY not in str(failed.value) + failed.value.hint
        assert failed.value.receipt.outcome is Outcome.DESTROYED
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ConfigurationError):
            stage(pool, SourceSpec(str(path), "csv"))


def test_a_path_that_stands_for_several_files_is_refused(pool: StagingPool, tmp_path: Path) -> None:
    for name in ("a*.parquet", "b[1].parquet", "c?.parquet", "d{1,2}.parquet"):
        source = write_parquet(tmp_path / name, ROWS)
        with pytest.raises(ConfigurationError, match="one of the characters"):
            stage(pool, source)
    folder = tmp_path / "month=9"
    folder.mkdir()
    quoted = write_parquet(folder / "it's.parquet", ROWS)
    assert set(stage(pool, quoted).rows) == EXPECTED  # and month is the file's, not the folder's


def test_sqlite_tables_and_unfinished_writes(pool: StagingPool, tmp_path: Path) -> None:
    path = tmp_path / "two.db"
    write_sqlite(path, ROWS, "other table")
    write_sqlite(path, ROWS, "flights")
    for table in ("", "none", 'x"; DROP TABLE flights; --'):
        with pytest.raises(StagingFailed) as failed:
            stage(pool, SourceSpec(str(path), "sqlite", table))
        assert failed.value.code is Code.NO_SUCH_TABLE
    assert set(stage(pool, SourceSpec(str(path), "sqlite", "other table")).rows) == EXPECTED
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("DELETE FROM flights WHERE month = 1")
    writer.commit()
    with pytest.raises(StagingFailed) as failed:  # an immutable reader would not see the deletion
        stage(pool, SourceSpec(str(path), "sqlite", "flights"))
    assert failed.value.code is Code.SOURCE_BUSY
    writer.close()
    assert len(stage(pool, SourceSpec(str(path), "sqlite", "flights")).rows) == 3


# --- limits and endings ---------------------------------------------------------------------------


def test_too_long(tmp_path: Path, source: SourceSpec) -> None:
    with StagingPool(tmp_path / "work", time_limit_s=1.5) as pool:
        started = time.monotonic()
        with pytest.raises(StagingFailed, match=r"longer than 1\.5 seconds") as failed:
            stage(pool, source, ENDLESS)
        assert time.monotonic() - started < 10
        assert failed.value.code is Code.TIMED_OUT
        assert DeletionCheck.PROCESS_REAPED in failed.value.receipt.passed
        assert not failed.value.receipt.failed or failed.value.receipt.failed == (
            DeletionCheck.CONFINED_BY_LANDLOCK,  # on a slow machine it had not come so far
        )
    assert list((tmp_path / "work").iterdir()) == []


def _pid_of_the_running(pool: StagingPool, timeout: float = 20) -> int:
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        for process in list(pool._running.values()):
            if process.confined is not None:
                return process.pid
        time.sleep(0.02)
    raise AssertionError("no staging process came to be confined")


def test_killed_in_the_middle(pool: StagingPool, source: SourceSpec) -> None:
    def kill() -> None:
        os.kill(_pid_of_the_running(pool), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(StagingFailed) as failed:
        stage(pool, source, ENDLESS)
    killer.join()
    assert failed.value.code is Code.DIED
    assert isinstance(failed.value, StagingError)
    assert failed.value.receipt.passed == CHECKS
    assert set(stage(pool, source).rows) == EXPECTED  # the next one is not concerned


def test_a_crash_with_core_signal_dumps_nothing(pool: StagingPool, source: SourceSpec) -> None:
    def crash() -> None:
        os.kill(_pid_of_the_running(pool), signal.SIGSEGV)

    killer = threading.Thread(target=crash)
    killer.start()
    with pytest.raises(StagingFailed) as failed:
        stage(pool, source, ENDLESS)
    killer.join()
    assert failed.value.code is Code.DIED
    assert DeletionCheck.NO_CORE_DUMP in failed.value.receipt.passed


def test_cancelled(pool: StagingPool, source: SourceSpec) -> None:
    asked = request(source, ENDLESS)

    def cancel() -> None:
        _pid_of_the_running(pool)
        assert pool.cancel(asked.staging_id)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(StagingFailed) as failed:
        pool.stage(asked)
    canceller.join()
    assert failed.value.code is Code.CANCELLED
    assert not pool.cancel(asked.staging_id)


def test_out_of_memory_ends_the_staging_and_not_the_node(
    tmp_path: Path, source: SourceSpec
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bombs = (
        "SELECT COUNT(*) AS count_0 FROM (SELECT DISTINCT hash(i) h, hash(i + 1) FROM "
        "range(200000000) t(i)), stayput_source",
        "SELECT length(repeat('x', 4000000000)) AS value_0 FROM stayput_source",
    )
    with StagingPool(tmp_path / "work", memory_limit_mb=100, time_limit_s=60) as pool:
        for bomb in bombs:
            with pytest.raises(StagingFailed) as failed:
                stage(pool, source, bomb)
            assert failed.value.code in (Code.OUT_OF_MEMORY, Code.DIED, Code.SOURCE_MALFORMED)
            assert failed.value.receipt.passed == CHECKS
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024  # kibibytes


def test_a_source_that_changes_while_it_is_read(pool: StagingPool, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "f.csv", {"n": list(range(1000))})
    slow = (
        "SELECT COUNT(*) AS count_0, SUM(hash(a.i) % 7) AS value_0 "
        "FROM range(60000) a(i), range(1000) b(i), (SELECT COUNT(n) FROM stayput_source)"
    )

    def touch() -> None:
        _pid_of_the_running(pool)
        until = time.monotonic() + 20
        while not done.is_set() and time.monotonic() < until:
            os.utime(source.path, ns=(time.time_ns(), time.time_ns()))
            time.sleep(0.01)

    done = threading.Event()
    toucher = threading.Thread(target=touch)
    toucher.start()
    try:
        with pytest.raises(StagingFailed) as failed:
            stage(pool, source, slow, contract=numbers(maximum=10_000), columns=("n",))
    finally:
        done.set()
        toucher.join()
    assert failed.value.code is Code.SOURCE_CHANGED


def test_one_staging_at_a_time_per_id(pool: StagingPool, source: SourceSpec) -> None:
    asked = request(source, ENDLESS)
    failures: list[StagingError] = []

    def first() -> None:
        try:
            pool.stage(asked)
        except StagingFailed as failed:
            failures.append(failed)

    thread = threading.Thread(target=first)
    thread.start()
    _pid_of_the_running(pool)
    with pytest.raises(StagingError, match="being staged already"):
        pool.stage(asked)
    assert set(stage(pool, source).rows) == EXPECTED  # another id runs beside it
    pool.cancel(asked.staging_id)
    thread.join()
    assert len(failures) == 1


def test_a_closed_pool_leaves_nothing(tmp_path: Path, source: SourceSpec) -> None:
    pool = StagingPool(tmp_path / "work")
    assert set(stage(pool, source).rows) == EXPECTED
    assert pool._warm is not None
    ready = pool._warm.result().pid
    assert not _gone(ready)
    pool.close()
    assert _gone(ready)
    pool.close()
    with pytest.raises(StagingError, match="closed"):
        stage(pool, source)
    assert list((tmp_path / "work").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "work").stat().st_mode) == 0o700


def test_a_ready_process_that_died_is_replaced(tmp_path: Path, source: SourceSpec) -> None:
    with StagingPool(tmp_path / "work") as pool:
        assert pool._warm is not None
        os.kill(pool._warm.result().pid, signal.SIGKILL)
        time.sleep(0.2)
        assert set(stage(pool, source).rows) == EXPECTED


# --- the node dies --------------------------------------------------------------------------------

NODE = """
import sys, threading, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from staging.flights import ENDLESS, request
from stayput.engines.source import SourceSpec
from stayput.staging import StagingPool
pool = StagingPool(Path(sys.argv[1]))
asked = request(SourceSpec(sys.argv[2], "parquet"), ENDLESS)
threading.Thread(target=pool.stage, args=[asked]).start()
while not any(p.confined for p in pool._running.values()): time.sleep(0.02)
time.sleep(0.5)
print(*[p.pid for p in pool._running.values()], flush=True)
time.sleep(600)
"""


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


def test_orphans_die_with_the_node_and_leave_no_row_behind(
    tmp_path: Path, source: SourceSpec
) -> None:
    work = tmp_path / "work"
    before = {path for path in Path("/tmp").iterdir() if path.is_file()}
    code = NODE.format(tests=str(Path(__file__).parents[1]))
    command = [sys.executable, "-c", code, str(work), source.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as node:
        assert node.stdout is not None
        try:
            pids = [int(word) for word in node.stdout.readline().split()]
            assert pids
            assert all(not _gone(pid) for pid in pids)
        finally:
            node.kill()
    until = time.monotonic() + 5
    while not all(_gone(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert all(_gone(pid) for pid in pids)
    created = [path for path in Path("/tmp").iterdir() if path.is_file() and path not in before]
    for path in [*tmp_path.rglob("*"), *created]:
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
    (left,) = work.iterdir()
    with StagingPool(work, warm=False) as pool:
        assert pool.swept == 1
        (swept,) = pool.sweeps
        assert swept.staging_id.hex() == left.name
        assert swept.receipt.outcome is Outcome.DESTROYED
        assert DeletionCheck.LATE_SWEEP in swept.receipt.passed
        assert set(stage(pool, source).rows) == EXPECTED
    assert sweep(work) == []


def test_sql_text_is_the_contract_of_this_file() -> None:
    assert "stayput_source" in SQL
    assert request(SourceSpec("/x", "csv")).sql == SQL
