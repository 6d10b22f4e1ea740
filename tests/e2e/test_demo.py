"""The demonstration, for real: seven homes, five daemons, gRPC over TLS, the commands it shows."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from stayput import demo
from stayput.demo import (
    LAST_STAGE,
    MARKER,
    MARKER_TEXT,
    PIDS,
    keep_up,
    run_demo,
)
from stayput.errors import ConfigurationError
from stayput.shows import AIRPORTS

DEMO_DATA = Path(sys.modules["stayput"].__file__ or "").parent / "demo_data"
SECONDS = 240  # a busy machine; from a quiet one it takes about 20

pytestmark = pytest.mark.timeout(2 * SECONDS)


def environment() -> dict[str, str]:
    # Dozens of processes that compile every module anew would be measured, not the demonstration.
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stayput", *words],
        cwd=cwd, capture_output=True, text=True, timeout=SECONDS, env=environment(), check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Where it was, its report as JSON, and everything that it told."""
    folder = tmp_path_factory.mktemp("demo")
    done = command("demo", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


def test_every_released_value_is_the_pooled_one(shown: tuple[Path, str, str]) -> None:
    folder, out, _ = shown
    report = json.loads(out)
    compared = {one["statement"]: one for one in report["comparisons"]}
    assert list(compared) == [name for name, _ in AIRPORTS.runs]
    for one in compared.values():
        assert one["mismatches"] == []
        assert one["exact_cells"] >= 8
        assert one["derived_cells"] >= 8
        assert one["withheld_cells"] > 0, "something to withhold is part of the show"
    assert report["receipts"] == len(AIRPORTS.runs) * len(AIRPORTS.holders)
    assert folder / report["directory"] == folder / "consortium"


def test_one_count_by_hand(shown: tuple[Path, str, str]) -> None:
    """An oracle of its own: not the demonstration's comparison."""
    folder, _, _ = shown
    done = command(
        "verify", "consortium/results/late_by_hour.json", "--home", "consortium/auditor", "--json",
        cwd=folder,
    )  # fmt: skip
    rows = {row[0]: row for row in json.loads(done.stdout)["result"]["rows"]}
    files = [str(DEMO_DATA / f"{name}.parquet") for name in AIRPORTS.holders]
    expected = duckdb.execute(
        "SELECT COUNT(dep_delay), COUNT(*) FILTER (dep_delay > 15) FROM read_parquet(?) "
        "WHERE hour = 8",
        [files],
    ).fetchone()
    assert expected is not None
    assert rows[8][1] == expected[0]
    assert rows[8][2] == expected[1] / expected[0]
    assert rows[1][1:] == ["withheld", "withheld"]  # one flight left at one in the morning


def test_it_tells_the_whole_story(shown: tuple[Path, str, str]) -> None:
    _, _, told = shown
    for needed in (
        *AIRPORTS.roles,
        "APPROVAL REPORT FOR ewr",
        "WHAT RUNS ON YOUR NODE",
        "approved by jfk",
        "the scenario is sealed",
        "masked and encrypted counts: 3 of 3 holders",
        LAST_STAGE,
        "withheld",
        "more rows",
        "All daemons are stopped",
        "of flights stayed",
        "encrypted part",
        "DESTROYED",
        "CONFINED_BY_LANDLOCK",
        "PASS: the log",
        "releases the checked result",
        "verified, against the member list",
        "exactly equal",
        "derived values equal to the last printed digit",
        "What next",
    ):
        assert needed in told, needed
    assert told.count("cells in") == len(AIRPORTS.runs), "each result says how much is withheld"


def test_every_airport_has_its_own_rows_only(shown: tuple[Path, str, str]) -> None:
    folder, _, _ = shown
    for name in AIRPORTS.holders:
        own = folder / "consortium" / name / "data" / "flights.parquet"
        origins = duckdb.execute("SELECT DISTINCT origin FROM read_parquet(?)", [str(own)])
        assert origins.fetchall() == [(name.upper(),)]


def test_no_process_is_left(shown: tuple[Path, str, str]) -> None:
    folder, _, _ = shown
    assert _processes_of(folder) == []


def test_what_it_says_to_type_next_works(shown: tuple[Path, str, str]) -> None:
    """The commands as printed, one after the other, with the daemons up as it says."""
    folder, _, told = shown
    printed = re.findall(r"^  (?:python -m stayput) (.+)$", told.partition("What next")[2], re.M)
    words = [shlex.split(line.rstrip("&")) for line in printed]
    up, *others = words
    assert up[:1] == ["demo"]
    assert "--up" in up
    assert [line[0] for line in others] == ["run", "log", "revoke", "scenario", "rehearse"]
    (copy,) = re.findall(r"^  cp (\S+) my-question.yaml$", told, re.M)
    (folder / "my-question.yaml").write_text((folder / copy).resolve().read_text())
    with _running(*up, cwd=folder) as process:
        for line in others:
            answer = ["--yes"] if line[0] == "revoke" else []
            done = command(*line, *answer, cwd=folder)
            assert done.returncode == 0, f"{line}: {done.stderr}"
        again = command("demo", cwd=folder)
        assert again.returncode == 1, "the folder is in use"
        assert "a demonstration is running" in again.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert _processes_of(folder) == []


class _running:
    def __init__(self, *words: str, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stayput", *words],
            cwd=cwd, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip

    def __enter__(self) -> subprocess.Popen[str]:
        assert self.process.stderr is not None
        assert "up; Ctrl-C stops" in self.process.stderr.readline()
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)
        assert self.process.stderr is not None
        self.process.stderr.close()


def _processes_of(folder: Path) -> list[str]:
    """Command lines of processes that work in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            here = os.readlink(path / "cwd")
        except OSError:
            continue  # ended, or not ours
        if "stayput" in line and here.startswith(str(folder)):
            found.append(line)
    return found


# --- the folder -----------------------------------------------------------------------------------


@pytest.fixture
def nothing() -> list[str]:
    return []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, nothing: list[str]) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("ten years")
    with pytest.raises(ConfigurationError, match="no demonstration made it"):
        run_demo(precious, nothing.append)
    (precious / MARKER).write_text("another text")
    with pytest.raises(ConfigurationError, match="no demonstration made it"):
        run_demo(precious, nothing.append)
    assert (precious / "thesis.txt").read_text() == "ten years"
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ConfigurationError):
        run_demo(file, nothing.append)
    assert nothing == []


def test_a_daemon_that_outlived_its_demonstration_is_named(
    tmp_path: Path, nothing: list[str]
) -> None:
    (tmp_path / MARKER).write_text(MARKER_TEXT)
    (tmp_path / PIDS).write_text("4711 hub\n4712 ewr\n")
    (tmp_path / "hub").mkdir()
    with (tmp_path / "hub" / "daemon.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="still running") as caught:
            run_demo(tmp_path, nothing.append)
    assert caught.value.hint == "stop it: kill 4711 4712"
    assert (tmp_path / "hub").exists()


def test_a_command_that_fails_is_shown_with_what_it_wrote(
    tmp_path: Path, nothing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import runpy, sys
if sys.argv[1] == "start":
    runpy.run_module("stayput", run_name="__main__")
print("no luck", file=sys.stderr)
sys.exit(3)
"""
    monkeypatch.setattr(demo, "_python", lambda: [sys.executable, "-c", program])
    with pytest.raises(demo.DemoFailure, match="no luck") as caught:
        run_demo(tmp_path / "here", nothing.append)
    assert "scenario propose" in caught.value.message
    assert "daemon.log" in caught.value.hint


def test_up_needs_a_demonstration(tmp_path: Path, nothing: list[str]) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="there is no demonstration"):
            keep_up(path, nothing.append)


def test_interrupted_in_the_middle_it_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stayput", "demo", "--dir", "here"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "The data user proposes" in line:  # all daemons are up
            break
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
    deadline = time.monotonic() + 20  # a command under way ends by itself
    while _processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert _processes_of(tmp_path) == []
