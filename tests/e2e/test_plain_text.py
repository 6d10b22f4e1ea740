"""The plain-text test: no planted value crosses a socket or reaches a disk but the holder's own.

Each holder's file has a row whose text is no declared level, and which is alone in its cell at this
holder, so that the holder's partial sum of the cell *is* the planted number.  While a whole run
goes on, and after it, everything is searched: every message of every process before TLS, every byte
on the loopback, every file of every party, of the temporary folders and of the working folder,
files that are deleted but open.  The same with a node that is killed in the middle.

The same scanner is shown to find what is known to be there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pets
import pytest
from e2e.canaries import Canary, Relay, Scanner, found_in, random_number
from e2e.consortium import DAEMONS, RUN_SECONDS, Consortium, free_port, wait_until, write_rows
from e2e.test_faults import STAGES, staging_child

from stayput.errors import RunFailure
from stayput.rpc import wire

TEXT = """\
scenario: aviary
title: Birds by colour
purpose: The word %s is known to be sent.
data_user: asker
checker: office
holders: [north, south, west]
limits: {runs: 9, valid_until: 2099-12-31}
tables:
  pets:
    at: [north, south, west]
    max_rows: 1000
    columns:
      colour: {type: level, levels: [red, green], outside: other, grade: public}
      age: {type: integer, min: 0, max: 140737488355328, grade: internal}
      weight: {type: decimal, decimals: 1, min: 0, max: 14073748835532.8, grade: internal}
statements:
  by_colour:
    sql: |
      SELECT colour, COUNT(*) AS pets, SUM(age) AS ages, SUM(weight) AS weights
      FROM pets GROUP BY colour
output: {min_count: 10, min_holders: 3}
"""


@dataclasses.dataclass(frozen=True)
class Planted:
    """The values of one holder's lonely row."""

    text: str = dataclasses.field(default_factory=lambda: "quetzal" + secrets.token_hex(5))
    age: int = dataclasses.field(default_factory=random_number)
    weight: int = dataclasses.field(default_factory=random_number)

    def canaries(self) -> list[Canary]:
        numbers = [Canary.of_number(self.age), Canary.of_number(self.weight, decimals=1)]
        return [Canary.of_text(self.text), *numbers]

    def rows(self) -> list[pets.Row]:
        usual = [(colour, 1 + i, 2 + i) for colour in ("red", "green") for i in range(15)]
        return [*usual, (self.text, self.age, self.weight)]


@dataclasses.dataclass
class Watch:
    """Everything that is looked at while the daemons work."""

    consortium: Consortium
    planted: dict[str, Planted]
    relay: Relay
    scanner: Scanner
    dumps: Path
    said: bytearray = dataclasses.field(default_factory=bytearray)
    _stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    rounds: int = 0

    @property
    def word(self) -> str:
        return self.dumps.name

    def poll(self) -> None:
        while not self._stop.is_set():
            self.look()
            self.rounds += 1
            time.sleep(0.02)

    def look(self) -> None:
        self.scanner.scan(self.consortium.root)
        for name in DAEMONS:
            pid = self.consortium.running[name].pid
            for one in (pid, *children_of(pid)):
                self.scanner.scan_descriptors(one)

    def stop(self) -> None:
        self._stop.set()


def children_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(one) for task in tasks for one in (task / "children").read_text().split()]
    return []


TEMPORARY = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.cwd()]


def listing() -> set[Path]:
    return {path for place in TEMPORARY if place.is_dir() for path in place.iterdir()}


def own_files(consortium: Consortium) -> list[Path]:
    """The holders' sources, and what their own systems keep beside them while they write."""
    sources = [consortium.source(name) for name in pets.HOLDERS]
    beside = [source.with_name(source.name + "-journal") for source in sources]
    return [*sources, *beside]


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A consortium whose every party dials through the relay, every daemon writes its messages."""
    before = listing()
    root = tmp_path_factory.mktemp("plain")
    planted = {name: Planted() for name in pets.HOLDERS}
    port = free_port()
    relay = Relay(port)
    consortium = Consortium.make(
        root / "parties",
        rows=lambda name: planted[name].rows(),
        port=port,
        dials=dict.fromkeys((*DAEMONS, "asker"), relay.port),
    )
    word = "control" + secrets.token_hex(5)
    dumps = root / "parties" / word
    (root / "parties" / "tmp").mkdir()
    dumps.mkdir()
    for name in DAEMONS:
        consortium.environment[name] = {
            "E2E_DUMP": str(dumps / name),
            "TMPDIR": str(root / "parties" / "tmp"),
        }
    canaries = [canary for one in planted.values() for canary in one.canaries()]
    scanner = Scanner(canaries, spared=own_files(consortium))
    watch = Watch(consortium, planted, relay, scanner, dumps)

    def hear(method: str, direction: wire.Direction, data: bytes) -> None:
        watch.said += data

    wire.PROCESS.observe(hear)
    try:
        consortium.start(*DAEMONS)
        threading.Thread(target=watch.poll, daemon=True).start()
        yield watch
    finally:
        watch.stop()
        wire.PROCESS.unobserve(hear)
        consortium.end()
        relay.close()
    # The daemons have closed their files: nothing is left in them, nor in any new place.
    watch.look()
    new = listing() - before
    assert scanner.scan(*new) == set()
    assert any(path.name == "journal.db" for path in scanner.files)


@pytest.fixture(scope="module")
def scenario(watch: Watch) -> bytes:
    with watch.consortium.client() as client:
        return watch.consortium.agree(client, TEXT % watch.word)


def assert_nothing_found(watch: Watch) -> None:
    before = watch.rounds
    wait_until(lambda: watch.rounds > before + 1)
    assert watch.scanner.findings == set()
    for data in (bytes(watch.relay.seen), bytes(watch.said)):
        assert found_in(data, watch.scanner.canaries) == []


def test_a_whole_run_in_the_open(watch: Watch, scenario: bytes) -> None:
    with watch.consortium.client() as client:
        run = client.run(scenario, "by_colour")
        result = run.wait(timeout=RUN_SECONDS)
        watch.consortium.verify_run(run.id, None)
        rows = {row["colour"]: row for row in result.table.to_pylist()}
        assert rows["red"]["pets"] == 45
        assert rows["red"]["ages"] == 3 * sum(range(1, 16))
        assert rows["__other__"]["pets"] is None
        assert rows["__other__"]["ages"] is None
        assert found_in(result.bundle, watch.scanner.canaries) == []
    for name in pets.HOLDERS:
        assert watch.consortium.cli(name, "node", "notes").returncode == 0
    assert_nothing_found(watch)
    # It looked at what it should: every daemon's messages and both of its databases' files.
    looked = {str(path.relative_to(watch.consortium.root)) for path in watch.scanner.files}
    assert {f"{watch.word}/{name}" for name in DAEMONS} <= looked
    assert {"north/ledger.db", "north/ledger.db-wal", "hub/journal.db-wal"} <= looked
    assert len(watch.relay.seen) > 100_000
    assert watch.scanner.bytes > 1_000_000


@pytest.mark.parametrize("stage", ["staging", "counts"])
def test_a_node_that_is_killed_leaves_nothing(watch: Watch, scenario: bytes, stage: str) -> None:
    consortium = watch.consortium
    with consortium.client() as client:
        child = staging_child(consortium, "west")
        if stage == "staging":
            os.kill(child, signal.SIGSTOP)
        run = client.run(scenario, "by_colour")
        wait_until(lambda: STAGES[stage](consortium, run.id), pause=0.0)
        consortium.kill("west")
        assert_nothing_found(watch)
        consortium.start("west")
        assert run.wait(timeout=RUN_SECONDS).table.num_rows == 3
    assert_nothing_found(watch)


def test_values_that_do_not_fit_are_in_no_message(watch: Watch, scenario: bytes) -> None:
    """Out of bounds, and a text where a number should be: the holder's words name no value."""
    consortium = watch.consortium
    beyond = Planted(age=2**47 + random_number() // 2)
    source = consortium.source("west")
    sound = source.read_bytes()
    with consortium.client() as client:
        with contextlib.closing(sqlite3.connect(source)) as database, database:
            database.execute("INSERT INTO pets VALUES ('red', ?, ?)", (beyond.age, beyond.text))
        run = client.run(scenario, "by_colour")
        with pytest.raises(RunFailure, match="do not fit the table contract"):
            run.wait(timeout=RUN_SECONDS)
    forms = [Canary.of_text(beyond.text), Canary(str(beyond.age), (str(beyond.age).encode(),))]
    scanner = Scanner(forms, spared=own_files(watch.consortium))
    assert scanner.scan(consortium.root) == set()
    assert found_in(bytes(watch.said), forms) == []
    source.write_bytes(sound)
    assert_nothing_found(watch)


def test_the_scanner_finds_what_is_known_to_be_there(watch: Watch, scenario: bytes) -> None:
    """The control: sent in clear inside TLS, kept by who may have it; and the rows at home."""
    with watch.consortium.client() as client:  # so that everybody has fetched the scenario
        client.run(scenario, "by_colour").wait(timeout=RUN_SECONDS)
    word = Canary.of_text(watch.word)
    scanner = Scanner([word])
    scanner.scan(watch.consortium.home("hub"))
    assert any("journal.db" in place for _, place in scanner.findings)
    for name in DAEMONS:
        assert found_in((watch.dumps / name).read_bytes(), [word]), name
    assert found_in(bytes(watch.said), [word])
    assert not found_in(bytes(watch.relay.seen), [word])  # TLS
    assert b"hub.stayput" in watch.relay.seen  # but it is the real traffic
    # In signed documents it would stand in base64.
    signed = Canary("user", tuple(Canary.of_text('"user":"asker"').forms[3:]))
    assert found_in((watch.dumps / "north").read_bytes(), [signed])
    for name in pets.HOLDERS:
        own = Scanner(watch.planted[name].canaries())
        own.scan(watch.consortium.source(name))
        assert len(own.findings) == 3, f"{name}: {own.findings}"


@pytest.mark.parametrize("suffix", ["parquet", "csv", "sqlite"])
def test_the_scanner_finds_a_leaked_file(tmp_path: Path, suffix: str) -> None:
    planted = Planted()
    write_rows(tmp_path / f"leak.{suffix}", planted.rows())
    findings = Scanner(planted.canaries()).scan(tmp_path)
    assert {name for name, _ in findings} == {planted.text, str(planted.age), str(planted.weight)}


@pytest.mark.parametrize("position", range(3))
def test_the_scanner_finds_every_form(tmp_path: Path, position: int) -> None:
    import base64
    import json

    planted = Planted()
    text, number, _ = planted.canaries()
    shift = b"x" * position
    for value, canary in (
        (planted.text.encode(), text),
        (str(planted.age).encode(), number),
        (planted.age.to_bytes(8, "little"), number),
        (planted.age.to_bytes(8, "big"), number),
        (planted.age.to_bytes(16, "little"), number),
        (planted.age.to_bytes(16, "big"), number),
    ):
        inner = base64.b64encode(shift + value + b"y").decode()
        document = json.dumps({"payload": inner}).encode()
        for data in (value, inner.encode(), base64.b64encode(shift + document)):
            assert found_in(shift + data + shift, [canary]) == [canary.name], (value, data)
    assert found_in(os.urandom(1_000_000), [text, number]) == []


def test_the_scanner_looks_into_write_ahead_logs_and_deleted_files(tmp_path: Path) -> None:
    planted = Planted()
    database = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE leak (text TEXT, number INTEGER)")
    database.execute("INSERT INTO leak VALUES (?, ?)", (planted.text, planted.age))
    findings = Scanner(planted.canaries()).scan(tmp_path)
    assert {Path(place).name for _, place in findings} == {"ledger.db-wal"}
    assert {name for name, _ in findings} == {planted.text, str(planted.age)}
    database.close()
    with (tmp_path / "gone").open("w+b") as file:
        file.write(planted.text.encode())
        file.flush()
        (tmp_path / "gone").unlink()
        scanner = Scanner(planted.canaries())
        scanner.scan_descriptors(os.getpid())
        assert {name for name, _ in scanner.findings} == {planted.text}
