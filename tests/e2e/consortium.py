"""A real consortium: real folders, real files of rows, real processes that can be killed.

Each daemon is a process of its own that talks gRPC over TLS on the loopback.  Only processes that a
:class:`Consortium` started are ended, each by its process id.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pets

import stayput
from stayput import documents
from stayput.audit import LogReport, verify_log
from stayput.client import Client, Result
from stayput.config import add_source
from stayput.connecting import connection
from stayput.identity import (
    Identity,
    PartyHome,
    create_identity,
    load_identity,
    load_members,
    member_card,
    save_members,
)
from stayput.membership import Members, form_member_list
from stayput.review import approve, review_report
from stayput.rpc.tls import require_tls13
from stayput.sequencer import load_log
from stayput.session import RunPhase
from stayput.steps import (
    Contributed,
    Outcome,
    ResultReleased,
    Role,
    RunOrdered,
    StagingDestroyed,
    SumFormed,
)
from stayput.store.ledger import STORAGE_KEY, Ledger

require_tls13()

ROLES = {
    "hub": Role.COORDINATOR,
    "office": Role.CHECKER,
    "asker": Role.USER,
    "rival": Role.USER,
    "north": Role.HOLDER,
    "south": Role.HOLDER,
    "west": Role.HOLDER,
    "late": Role.USER,  # its certificate has expired
    "reviewer": Role.AUDITOR,
}
DAEMONS = ("hub", "office", *pets.HOLDERS)
SUFFIXES = {"north": "parquet", "south": "csv", "west": "sqlite"}
INSTRUMENTED = Path(__file__).with_name("instrumented.py")

DAY = 86400
UP_SECONDS = 60.0
RUN_SECONDS = 90.0
TEXT = pets.TEXT.replace("runs: 40", "runs: 1000")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], Any], seconds: float = RUN_SECONDS, pause: float = 0.005) -> Any:
    """The first true answer; fails the test after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {true}"
        time.sleep(pause)
    return answer


# --- parties, made once ---------------------------------------------------------------------------


@functools.cache
def template() -> Path:
    """Homes of all parties, joined; copied for every consortium since keys take seconds."""
    root = Path(tempfile.mkdtemp(prefix="stayput-e2e-"))
    return make_homes(root, int(time.time()) - 60 * DAY)


def make_homes(
    root: Path, formed: int, make_checker: Callable[[Path], Identity] | None = None
) -> Path:
    """Homes of all parties below ``root``, and their member list.

    Args:
        make_checker: makes the checker's home, which has a small ordinary key otherwise.
    """
    cards = []
    for name, role in ROLES.items():
        address = "127.0.0.1:1" if role is Role.COORDINATOR else ""
        if role is Role.CHECKER and make_checker is not None:
            cards.append(member_card(make_checker(root / name)))
            continue
        made = create_identity(
            root / name,
            name,
            role,
            now=formed - (700 * DAY if name == "late" else 0),
            address=address,
            paillier_bits=2048,
        )
        cards.append(member_card(made))
        if role is Role.COORDINATOR:
            key = made.signing_key
    (root / "members.json").write_bytes(form_member_list("menagerie", cards, key, formed))
    return root


def discard_template() -> None:
    """At the end of the tests."""
    if template.cache_info().currsize:
        shutil.rmtree(template())


# --- rows in three formats ------------------------------------------------------------------------


def write_rows(path: Path, rows: list[pets.Row]) -> None:
    """Rows as a holder would have them, in the format that the suffix names."""
    path.unlink(missing_ok=True)
    plain = [(c, a, None if w is None else w / 10) for c, a, w in rows]
    if path.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE pets (colour TEXT, age INTEGER, weight REAL)")
            database.executemany("INSERT INTO pets VALUES (?, ?, ?)", plain)
        return
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (colour VARCHAR, age BIGINT, weight DECIMAL(18,1))")
        if plain:
            connection.executemany("INSERT INTO t VALUES (?, ?, ?)", plain)
        form = "PARQUET, CODEC UNCOMPRESSED" if path.suffix == ".parquet" else "CSV, HEADER"
        connection.execute(f"COPY t TO '{path}' (FORMAT {form})")


def read_rows(path: Path) -> list[tuple[Any, ...]]:
    """All rows of a file, by the engine itself or by the standard library."""
    if path.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT colour, age, weight FROM pets").fetchall()
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT colour, age, weight FROM '{path}'").fetchall()


# --- processes ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Consortium:
    """All parties of one consortium below one folder.

    Attributes:
        dials: where a party finds the coordinator, if not at the port it listens on.
    """

    root: Path
    port: int
    dials: Mapping[str, int] = dataclasses.field(default_factory=dict)
    environment: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = dataclasses.field(default_factory=dict)

    @classmethod
    def make(
        cls,
        root: Path,
        *,
        rows: Callable[[str], list[pets.Row]] = pets.rows_of,
        run_timeout: int = 600,
        dials: Mapping[str, int] | None = None,
        port: int = 0,
        homes: Path | None = None,
    ) -> Consortium:
        """Copy all homes, give the coordinator a free port and every holder its file of rows."""
        made = cls(root, port or free_port(), dials or {})
        shutil.copytree(homes or template(), root, dirs_exist_ok=True)
        listed = (root / "members.json").read_bytes()
        hub = documents.parse(PartyHome, (made.home("hub") / "identity.json").read_bytes())
        hub = dataclasses.replace(hub, address=f"127.0.0.1:{made.port}")
        (made.home("hub") / "identity.json").write_bytes(documents.encode(hub))
        for name in ROLES:
            dialled = made.dials.get(name, made.port)
            save_members(made.home(name), listed, coordinator=f"127.0.0.1:{dialled}")
        (made.home("hub") / "stayput.toml").write_text(
            f"[coordinator]\nrun_timeout_seconds = {run_timeout}\n"
        )
        for name in pets.HOLDERS:
            (made.home(name) / "stayput.toml").write_text(
                "[staging]\nmemory_limit_mb = 256\nthreads = 1\n"
            )
            made.source(name).parent.mkdir(exist_ok=True)
            write_rows(made.source(name), rows(name))
            table = "pets" if name == "west" else ""
            add_source(made.home(name), "pets", made.source(name), None, table)
        return made

    def home(self, name: str) -> Path:
        return self.root / name

    def source(self, name: str) -> Path:
        return self.root / "data" / f"{name}.{SUFFIXES[name]}"

    @property
    def members(self) -> Members:
        return load_members(self.home("asker"))

    # --- starting and ending ----------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start daemons and wait until they say that they are up."""
        marks = {}
        for name in names:
            assert name not in self.running or self.running[name].poll() is not None
            log = self.home(name) / "daemon.log"
            marks[name] = log.stat().st_size if log.exists() else 0
            extra = self.environment.get(name, {})
            program = [str(INSTRUMENTED)] if extra else ["-m", "stayput"]
            with log.open("ab") as sink:
                self.running[name] = subprocess.Popen(
                    [sys.executable, *program, "start", "--home", str(self.home(name))],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    cwd=self.root,
                    env={**os.environ, **extra},
                )
        for name in names:
            wait_until(functools.partial(self._is_up, name, marks[name]), UP_SECONDS)

    def _is_up(self, name: str, mark: int) -> bool:
        said = self.said(name)[mark:]
        assert self.running[name].poll() is None, f"{name} ended: {said}"
        return f" {name} listens on " in said or f" {name} follows the log" in said

    def said(self, name: str) -> str:
        """What a daemon wrote in all its lives."""
        return (self.home(name) / "daemon.log").read_text("utf-8", "replace")

    def kill(self, name: str) -> None:
        """kill -9."""
        self.running[name].kill()
        assert self.running[name].wait(10) == -signal.SIGKILL

    def stop(self, name: str) -> tuple[int, float]:
        """SIGTERM; exit code and seconds."""
        started = time.monotonic()
        self.running[name].terminate()
        return self.running[name].wait(20), time.monotonic() - started

    def end(self) -> None:
        """Whatever still runs."""
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def cli(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of a party, in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "stayput", *words, "--home", str(self.home(name))],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={key: value for key, value in os.environ.items() if key != "COLUMNS"},
        )

    # --- what people do ---------------------------------------------------------------------------

    def client(self, name: str = "asker") -> Client:
        return stayput.connect(self.home(name))

    def agree(self, client: Client, text: str = TEXT) -> bytes:
        """Propose a scenario, let every holder approve it, wait for the seal."""
        digest = client.propose(text)
        for name in pets.HOLDERS:
            with connection(self.home(name)) as (identity, replica, link), self.ledger(name) as own:
                review = review_report(identity, replica, link, digest)
                approve(review, identity, replica, link, own, clock=lambda: int(time.time()))
        client.wait_until_sealed(digest, timeout=30)
        return digest

    @contextlib.contextmanager
    def ledger(self, name: str) -> Iterator[Ledger]:
        key = load_identity(self.home(name)).derive_key(STORAGE_KEY)
        with contextlib.closing(Ledger(self.home(name) / "ledger.db", key)) as ledger:
            yield ledger

    # --- looking, without touching ----------------------------------------------------------------

    def query(self, name: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask a journal or ledger beside its daemon; never writes."""
        return query(self.home(name) / "journal.db", statement, *values)

    def entries(self, name: str = "hub") -> list[bytes]:
        """The log as this party has it on disk."""
        if name == "hub":
            return list(load_log(self.home(name) / "log")[0])
        if not (self.home(name) / "journal.db").exists():
            return []
        return [leaf for (leaf,) in self.query(name, "SELECT leaf FROM entry ORDER BY position")]

    def delivered(self, run: bytes) -> bool:
        held = "SELECT 1 FROM document WHERE kind = 'result' AND key = ?"
        return bool(self.query("hub", held, run))

    def staging_folders(self) -> list[Path]:
        return [one for name in pets.HOLDERS for one in (self.home(name) / "staging").glob("*")]

    def report(self) -> LogReport:
        """The coordinator's log, verified from its bytes."""
        return verify_log(*load_log(self.home("hub") / "log"), self.members)

    # --- what must hold at any time ---------------------------------------------------------------

    def verify_promises(self, scenario: bytes, before: Mapping[str, list[bytes]]) -> LogReport:
        """No entry lost, no second release, no part in two versions, no run charged twice.

        Args:
            before: the log as each party had it at some earlier moment.
        """
        report = self.report()
        assert report.finding is None, report.finding
        log = self.entries()
        for name, held in before.items():
            assert log[: len(held)] == held, f"entries that {name} held are lost"
        for kind in (ResultReleased, Contributed, SumFormed, StagingDestroyed):
            steps = [one for one in report.steps if isinstance(one, kind)]
            identities = Counter(
                (one.run, getattr(one, "round", None), getattr(one, "holder", None))
                for one in steps
            )
            assert all(count == 1 for count in identities.values()), f"{kind.__name__} twice"
        ordered = {
            one.run
            for one in report.steps
            if isinstance(one, RunOrdered) and one.scenario == scenario
        }
        for name in pets.HOLDERS:
            charged = query(
                self.home(name) / "ledger.db",
                "SELECT run FROM charge WHERE scenario = ?",
                scenario,
            )
            assert {run for (run,) in charged} <= ordered
            assert len(charged) == len({run for (run,) in charged})
        return report

    def verify_run(self, run: bytes, result: Result | None) -> None:
        """A run that is over left what it should and nothing else."""
        state = self.report().session.runs[run]
        assert state.over
        if result is not None:
            assert state.phase is RunPhase.RELEASED
            assert set(state.receipts) == set(pets.HOLDERS)
            assert all(one.outcome is Outcome.DESTROYED for one in state.receipts.values())
            self.verify_result(result)
        wait_until(lambda: not self.staging_folders(), 20)
        for name in pets.HOLDERS:
            wait_until(lambda name=name: not self._kept(name, run), 20)
        held = "SELECT 1 FROM document WHERE kind IN ('contribution', 'context')"
        assert not self.query("hub", f"{held} AND substr(key, 1, 16) = ?", run)

    def _kept(self, name: str, run: bytes) -> list[tuple[Any, ...]]:
        return query(
            self.home(name) / "ledger.db",
            "SELECT run FROM partial WHERE run = ?1 "
            "UNION SELECT run FROM outgoing WHERE run = ?1 AND length(payload) > 0",
            run,
        )

    def verify_result(self, result: Result) -> None:
        """The released table equals DuckDB on the pooled rows, cell by cell."""
        checked = result.verify().result
        youngest = {a.name: a.value for a in checked.arguments}.get("youngest", 0)
        truth = self.pooled(int(youngest))
        released = set()
        for row in result.table.to_pylist():
            if row["pets"] is None:
                continue
            count, mean, deviation, holders = truth[row["colour"]]
            assert count >= 10
            assert holders == 3
            assert row["pets"] == count
            if "mean" in row:
                assert math.isclose(row["mean"], mean, rel_tol=1e-9)
                assert math.isclose(row["sd"], deviation, rel_tol=1e-9)
            released.add(row["colour"])
        assert released == {c for c, (n, _, _, holders) in truth.items() if n >= 10 and holders > 2}

    def pooled(self, youngest: int) -> dict[str, tuple[int, float, float, int]]:
        """The independent answer: the same SQL by DuckDB, on the rows of all files together."""
        with duckdb.connect() as connection:
            connection.execute(
                "CREATE TABLE pets (holder TEXT, colour TEXT, age INT, weight DOUBLE)"
            )
            for name in pets.HOLDERS:
                rows = [(name, *row) for row in read_rows(self.source(name))]
                connection.executemany("INSERT INTO pets VALUES (?, ?, ?, ?)", rows)
            found = connection.execute(
                "SELECT colour, COUNT(*), AVG(weight), STDDEV_SAMP(age), COUNT(DISTINCT holder) "
                "FROM pets WHERE age >= ? GROUP BY colour",
                [youngest],
            ).fetchall()
        return {row[0]: row[1:] for row in found}


def query(path: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask a SQLite file without writing to it, whoever uses it."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as file:
        return file.execute(statement, values).fetchall()


@contextlib.contextmanager
def running(root: Path, **options: Any) -> Iterator[Consortium]:
    """A consortium with all daemons up."""
    made = Consortium.make(root, **options)
    try:
        made.start(*DAEMONS)
        yield made
    finally:
        made.end()
