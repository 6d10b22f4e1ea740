"""Statements that try to get out, executed in the real staging process.

The node only ever executes SQL that it wrote itself from a validated tree; here somebody has got
past that.  Whatever the statement, the process must not read another file, write one, reach the
network, load code, change a setting or return anything but sums; and the caller must learn a code
and no text.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from staging.flights import (
    CANARY,
    CONTRACT,
    ENDLESS,
    EXPECTED,
    ROWS,
    USED,
    request,
    stage,
    write_parquet,
)

from stayput.engines.source import SourceSpec
from stayput.staging import StagingFailed, StagingPool, confinement
from stayput.staging.messages import Code

REFUSED = (Code.FORBIDDEN, Code.STATEMENT, Code.RESULT_SHAPE, Code.SOURCE_MALFORMED)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT content FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd', header=false, all_varchar=true)",
        "SELECT * FROM read_blob('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM read_parquet('{folder}/*.parquet')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM parquet_metadata('{other}')",
        "COPY (SELECT * FROM stayput_source) TO '{folder}/out.csv'",
        "COPY (SELECT * FROM stayput_source) TO '{source}' (USE_TMP_FILE false)",
        "COPY (SELECT * FROM stayput_source) TO '/dev/stdout'",
        "COPY (SELECT * FROM stayput_source) TO '/proc/self/fd/1'",
        "EXPORT DATABASE '{folder}/all'",
        "ATTACH '{folder}/new.db' AS other; CREATE TABLE other.t AS FROM stayput_source",
        "ATTACH '{folder}/new.db' AS other (ENCRYPTION_KEY 'x')",
        "INSTALL httpfs",
        "INSTALL sqlite FROM community",
        "LOAD httpfs",
        "LOAD '{folder}/evil.duckdb_extension'",
        "SET temp_directory='{folder}'",
        "SET enable_external_access=true",
        "SET allowed_paths=['/etc/passwd']",
        "SET lock_configuration=false",
        "RESET enable_external_access",
        "PRAGMA enable_profiling; PRAGMA profiling_output='{folder}/profile.json'",
        "SET log_query_path='{folder}/queries.log'",
        "CREATE SECRET (TYPE s3)",
        "SELECT * FROM read_csv('http://127.0.0.1:{port}/x')",
        "SELECT * FROM 's3://bucket/x.parquet'",
        "SELECT * FROM sql_auto_complete",
        "SELECT getenv('PATH')",
        "SELECT * FROM secret_python_table",
        "SELECT error(carrier) FROM stayput_source",
        "SELECT CAST(carrier AS INTEGER) FROM stayput_source",
        "SELECT carrier::DATE FROM stayput_raw",
        "SELECT delay::DOUBLE AS value_0 FROM stayput_source",
        "SELECT list(carrier) AS value_0 FROM stayput_source",
        "SELECT to_json(s) FROM stayput_source s",
        "not even SQL '{other}'",
        "ATTACH ':memory:' AS other",
        "CREATE TABLE t AS FROM stayput_source",
        "SELECT COUNT(*) AS count_0 FROM stayput_source; SELECT 1 AS count_0",
        "",
    ],
)
def test_getting_out_is_refused(pool: StagingPool, tmp_path: Path, sql: str) -> None:
    source = write_parquet(tmp_path / "flights.parquet", ROWS)
    before = Path(source.path).read_bytes()
    other = write_parquet(tmp_path / "other.parquet", {"carrier": [CANARY]})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        filled = sql.format(
            folder=tmp_path,
            other=other.path,
            source=source.path,
            port=listener.getsockname()[1],
        )
        with pytest.raises(StagingFailed) as failed:
            stage(pool, source, filled)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert failed.value.code in (*REFUSED, Code.SOURCE_UNREADABLE, Code.INTERNAL)
    for text in (failed.value.message, failed.value.hint, str(failed.value)):
        assert CANARY not in text
        assert "passwd" not in text
    assert {path.name for path in tmp_path.iterdir()} == {"flights.parquet", "other.parquet"}
    assert Path(source.path).read_bytes() == before
    assert not failed.value.receipt.failed


def test_a_link_is_followed_once_and_by_the_parent(pool: StagingPool, tmp_path: Path) -> None:
    real = write_parquet(tmp_path / "real.parquet", ROWS)
    link = tmp_path / "link.parquet"
    link.symlink_to(real.path)
    assert set(stage(pool, SourceSpec(str(link), "parquet")).rows) == EXPECTED


def test_more_groups_than_any_statement_has(pool: StagingPool, source: SourceSpec) -> None:
    with pytest.raises(StagingFailed) as failed:
        stage(pool, source, "SELECT i AS key_0 FROM range(1100000) t(i)")
    assert failed.value.code is Code.TOO_MANY_GROUPS
    with pytest.raises(StagingFailed) as failed:
        stage(pool, source, "SELECT repeat('x', 90000000) AS key_0")
    assert failed.value.code in (Code.MISSPOKE, Code.OUT_OF_MEMORY)


def test_a_view_inside_a_sqlite_source_cannot_load_code(pool: StagingPool, tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE VIEW w AS SELECT load_extension('/tmp/evil.so') AS carrier, 1 AS delay, "
        "1 AS month, 1 AS late"
    )
    connection.execute(
        "CREATE VIEW fine AS SELECT 'AA' AS carrier, 1 AS delay, 1 AS month, 1 AS late"
    )
    connection.commit()
    connection.close()
    with pytest.raises(StagingFailed) as failed:
        stage(pool, SourceSpec(str(path), "sqlite", "w"))
    assert failed.value.code is Code.SOURCE_MALFORMED
    assert stage(pool, SourceSpec(str(path), "sqlite", "fine")).rows == [("AA", True, 1, 1, 100, 1)]


def test_seen_from_outside_the_process_has_nothing(tmp_path: Path, source: SourceSpec) -> None:
    with (
        (tmp_path / "secret-of-the-node").open("w+b") as inherited,
        StagingPool(tmp_path / "work", time_limit_s=30) as pool,
    ):
        os.set_inheritable(inherited.fileno(), True)
        os.environ["STAYPUT_TEST_SECRET"] = CANARY
        asked = request(source, ENDLESS)
        thread = threading.Thread(target=_expect_cancelled, args=[pool, asked])
        thread.start()
        try:
            pid = _wait_for_confined(pool)
            proc = Path(f"/proc/{pid}")
            environment = (proc / "environ").read_bytes()
            assert environment == b"MALLOC_ARENA_MAX=2\0OPENBLAS_NUM_THREADS=1\0"
            assert CANARY.encode() not in (proc / "cmdline").read_bytes()
            targets = {os.readlink(fd) for fd in (proc / "fd").iterdir()}
            assert all(
                target.startswith("pipe:") or target in ("/dev/null", source.path)
                for target in targets
            ), targets
            status = dict(
                line.split(":\t", 1)
                for line in (proc / "status").read_text().splitlines()
                if ":\t" in line
            )
            assert status["NoNewPrivs"] == "1"
            assert status["CoreDumping"] == "0"
            assert status["Seccomp"] == "2"
            limits = (proc / "limits").read_text()
            for name in ("Max core file size", "Max file size"):
                (line,) = [line for line in limits.splitlines() if line.startswith(name)]
                assert line.split()[-3:-1] == ["0", "0"]
            assert os.getsid(pid) == pid
        finally:
            del os.environ["STAYPUT_TEST_SECRET"]
            pool.cancel(asked.staging_id)
            thread.join()


def _expect_cancelled(pool: StagingPool, asked: object) -> None:
    with pytest.raises(StagingFailed):
        pool.stage(asked)  # type: ignore[arg-type]


def _wait_for_confined(pool: StagingPool) -> int:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for process in list(pool._running.values()):
            if process.confined is not None:
                time.sleep(0.3)  # into the query
                return process.pid
        time.sleep(0.02)
    raise AssertionError("no staging process came to be confined")


# --- confinement by itself, without DuckDB --------------------------------------------------------

ATTEMPT = """
import os, socket, subprocess, ctypes, threading
from stayput.staging import confinement
confinement.harden(os.getppid())
abi = confinement.restrict_files([{allowed!r}, "/proc/self"])
assert abi >= confinement.LANDLOCK_ABI
if {seccomp}:
    assert confinement.restrict_calls()
def attempt():
    {code}
try:
    attempt()
except {error} as error:
    print("refused")
else:
    print("allowed")
"""


def _attempt(code: str, allowed: Path, error: str, *, seccomp: bool = False) -> str:
    program = ATTEMPT.format(code=code, allowed=str(allowed), error=error, seccomp=seccomp)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() or f"exit {done.returncode}: {done.stderr[-300:]}"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('/etc/passwd').read()", "PermissionError"),
        ("open('{folder}/other').read()", "PermissionError"),
        ("open('{folder}/allowed', 'r+b')", "PermissionError"),
        ("open('{folder}/new', 'w')", "PermissionError"),
        ("os.truncate('{folder}/allowed', 0)", "OSError"),
        ("os.rename('{folder}/allowed', '{folder}/new')", "OSError"),
        ("os.unlink('{folder}/allowed')", "PermissionError"),
        ("os.mkdir('{folder}/new')", "PermissionError"),
        ("os.symlink('/etc/passwd', '{folder}/new')", "PermissionError"),
        ("os.listdir('{folder}')", "PermissionError"),
        ("open('/proc/1/cmdline').read()", "PermissionError"),
        ("os.kill(os.getppid(), 0)", "PermissionError"),
    ],
)
def test_landlock_alone(tmp_path: Path, code: str, error: str) -> None:
    if confinement.landlock_abi() < 6 and "kill" in code:
        pytest.skip("signals are confined since Landlock ABI 6")
    (tmp_path / "allowed").write_text("data")
    (tmp_path / "other").write_text("data")
    assert _attempt(code.format(folder=tmp_path), tmp_path / "allowed", error) == "refused"
    assert (tmp_path / "allowed").read_text() == "data"
    assert not (tmp_path / "new").exists()


def test_landlock_keeps_tcp_away(tmp_path: Path) -> None:
    if confinement.landlock_abi() < 4:
        pytest.skip("TCP is confined since Landlock ABI 4")
    (tmp_path / "allowed").touch()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = f"socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}))"
        assert _attempt(code, tmp_path / "allowed", "PermissionError") == "refused"


@pytest.mark.parametrize(
    "code",
    [
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socketpair()",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "subprocess.run(['/bin/true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_seccomp_alone(tmp_path: Path, code: str) -> None:
    (tmp_path / "allowed").touch()
    assert _attempt(code, tmp_path / "allowed", "OSError", seccomp=True) == "refused"


def test_what_is_needed_still_works(tmp_path: Path) -> None:
    (tmp_path / "allowed").write_text("data")
    read = f"assert open('{tmp_path}/allowed').read() == 'data'"
    assert _attempt(read, tmp_path / "allowed", "OSError", seccomp=True) == "allowed"
    thread = "t = threading.Thread(target=print); t.start(); t.join()"
    assert _attempt(thread, tmp_path / "allowed", "OSError", seccomp=True) == "allowed"


def test_a_process_with_threads_is_not_called_confined(tmp_path: Path) -> None:
    (tmp_path / "allowed").touch()
    program = (
        "import threading, time\n"
        "from stayput.staging import confinement\n"
        "threading.Thread(target=time.sleep, args=[5], daemon=True).start()\n"
        "try:\n"
        f"    confinement.restrict_files([{str(tmp_path / 'allowed')!r}])\n"
        "except confinement.NotConfined as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "other threads would escape"


def test_an_orphan_does_not_start() -> None:
    with pytest.raises(confinement.NotConfined):
        # Not this process's parent; and nothing after the first call may have happened here.
        _harden_elsewhere()


def _harden_elsewhere() -> None:
    program = (
        "from stayput.staging import confinement\n"
        "try:\n    confinement.harden(1)\n"
        "except confinement.NotConfined:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    if done.stdout.strip() == "refused":
        raise confinement.NotConfined


def test_without_landlock_nothing_is_staged_unless_the_holder_says_so(
    tmp_path: Path, source: SourceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel without Landlock, by making the process see version 0 of it."""
    from stayput.staging import process as process_module
    from stayput.steps import DeletionCheck

    blinded = process_module._BOOT.replace(
        "main(parent)",
        "from stayput.staging import confinement; confinement.landlock_abi = lambda: 0; "
        "main(parent)",
    )
    monkeypatch.setattr(process_module, "_BOOT", blinded)
    with StagingPool(tmp_path / "strict") as pool:
        with pytest.raises(StagingFailed, match="could not be confined") as failed:
            stage(pool, source)
        assert failed.value.code is Code.NOT_CONFINED
        assert DeletionCheck.CONFINED_BY_LANDLOCK in failed.value.receipt.failed
    with StagingPool(tmp_path / "lax", require_landlock=False) as pool:
        staged = stage(pool, source)
        assert set(staged.rows) == EXPECTED
        assert DeletionCheck.CONFINED_BY_LANDLOCK not in staged.receipt.passed
        assert not staged.receipt.failed


def test_columns_that_the_contract_lacks_are_a_programmers_error(
    pool: StagingPool, source: SourceSpec
) -> None:
    with pytest.raises(StagingFailed) as failed:
        stage(pool, source, columns=(*USED, "nonsense"))
    assert failed.value.code in (Code.DIED, Code.MISSPOKE)
    assert CONTRACT.column("carrier").levels == ("AA", "UA")
