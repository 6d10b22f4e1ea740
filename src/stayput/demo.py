"""The demonstration: a whole consortium on one machine, with real data and real processes.

Makes a folder with the parties of a show (:mod:`stayput.shows`: coordinator, checker, three
holders, a data user, an auditor),
each with its own keys and folder; starts the daemons as processes of their own, which talk gRPC
over mutual TLS on loopback; then does what the parties would do, with the commands that they would
type.
At the end it compares every released value with the same question to the pooled plain rows, which
only a demonstration can: it is the one place where the rows of all holders are ever read together.

Not here: anything of the protocol.  Invariants: a folder is deleted only if an earlier
demonstration marked it as its own; no process is left behind, however it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from pyarrow import parquet

from stayput.audit import VerifiedRelease, verify_release
from stayput.audit.report import ReceiptAccount
from stayput.config import add_source
from stayput.crypto.cores import Progress
from stayput.errors import ConfigurationError, StayputError, VerificationError
from stayput.identity import (
    coordinator_address,
    create_identity,
    load_members,
    member_card,
    parse_address,
    save_members,
)
from stayput.membership import form_member_list
from stayput.pack_file import audit_file
from stayput.pooled import Comparison, compare_model_with_pooled, compare_with_pooled
from stayput.shows import AIRPORTS, CREDIT, Show, demo_file
from stayput.steps import Role
from stayput.tlog.policy import parse_policy
from stayput.traffic import party_traffic

MARKER = ".stayput-demo"
MARKER_TEXT = "A demonstration of stayput made this folder; the next one deletes it.\n"
LOG_NAME = "daemon.log"
PACK, POLICY = "log.pack", "log.policy"
PIDS = "daemons.txt"

START_SECONDS = 60.0
"""Longest wait for a daemon to come up, on a busy machine."""

STOP_SECONDS = 15.0
"""Longest wait for a daemon to stop before it is killed."""

COMMAND_SECONDS = 120.0
HEAD = 12
"""Rows of each result that are printed."""

_NUMBERS = {2: "Two", 3: "Three", 4: "Four"}

WIDTH = 100
"""Columns of what is shown."""

LAST_STAGE = "fetched, opened and verified"
"""What `stayput run` says last before it prints the result."""

Tell = Callable[[str], None]


class DemoFailure(StayputError):
    """A step of the demonstration failed; the message has what its command wrote."""


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """What the demonstration showed."""

    directory: str
    comparisons: tuple[Comparison, ...]
    receipts: int
    log_entries: int
    seconds: float


# --- the show -------------------------------------------------------------------------------------


def run_demo(
    directory: Path,
    tell: Tell,
    show: Show = AIRPORTS,
    *,
    program: str = "stayput",
    progress: Progress | None = None,
) -> DemoReport:
    """Make the consortium in ``directory``, let it answer its questions, verify everything.

    Args:
        show: which consortium, with which rows and questions.
        directory: made afresh; one of an earlier demonstration is deleted first.
        tell: is told every line of the show.
        program: how a person calls this program; commands are shown so.
        progress: is told how far the search for the checker's key is.

    Raises:
        ConfigurationError: the folder is somebody's, or in use.
        DemoFailure: a command or a daemon failed.
        VerificationError: a released value differs from the pooled one.
    """
    started = time.monotonic()
    with _owned(directory, afresh=True):
        stage = _Stage(directory, tell, program, started, show)
        _make_parties(stage, progress)
        with _daemons(stage):
            _propose_and_approve(stage)
            _run_statements(stage)
            auditor = show.auditor
            stage.show("log", "pack", str(directory / auditor / PACK), of=auditor)
            stage.show("log", "policy", str(directory / auditor / POLICY), of=auditor)
        tell("")
        tell("All daemons are stopped. What follows asks nobody: it reads files.")
        _show_wire(stage)
        entries, receipts = _verify_offline(stage)
        comparisons = _compare(stage)
        report = DemoReport(
            str(directory), comparisons, receipts, entries, round(time.monotonic() - started, 1)
        )
        _say_what_next(stage, report)
    return report


def keep_up(directory: Path, tell: Tell) -> None:
    """Start the daemons of an earlier demonstration again, until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: there is no demonstration in the folder, or it is up already.
        DemoFailure: a daemon ended.
    """
    if not _is_ours(directory):
        raise ConfigurationError(
            f"there is no demonstration in {directory}", hint="make one with `stayput demo`"
        )
    with _owned(directory, afresh=False):
        stage = _Stage(directory, tell, "stayput", time.monotonic(), _found(directory))
        # An interrupt that is raised may be lost where Python ignores exceptions (in finalisers);
        # one that is noted is not.
        with _daemons(stage) as running, _noting_signals() as noted:
            tell("up; Ctrl-C stops all five")
            while not noted:
                _require_alive(directory, running)
                time.sleep(0.5)


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Where the show takes place, and how commands are carried out and shown on it."""

    directory: Path
    tell: Tell
    program: str
    started: float
    scene: Show

    def heading(self, text: str) -> None:
        self.tell("")
        self.tell(f"== {text}  [{time.monotonic() - self.started:.0f} s]")

    def home(self, name: str) -> Path:
        return self.directory / name

    def shown(self, *words: str, of: str) -> str:
        return f"$ {self.program} {' '.join((*words, *self._home(of)))}"

    def _home(self, of: str) -> tuple[str, ...]:
        return ("--home", str(self.home(of))) if of else ()

    def begin(self, *words: str, of: str) -> subprocess.Popen[str]:
        """Start a command of a party; of nobody if ``of`` is empty."""
        return subprocess.Popen(  # noqa: S603 - this program
            [*_python(), *words, *self._home(of)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "COLUMNS": str(WIDTH - 2)},
        )

    def end(self, process: subprocess.Popen[str], *words: str, of: str) -> tuple[str, str]:
        """Wait for a command; its stdout and stderr.

        Raises:
            DemoFailure: it failed.
        """
        try:
            out, err = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        if process.returncode != 0:
            raise DemoFailure(
                f"{self.shown(*words, of=of)}\n{out}{err}"
                f"{_tails(self.directory, *self.scene.daemons)}".rstrip(),
                hint=f"what every daemon wrote is in {self.directory}/*/{LOG_NAME}",
            )
        return out, err

    def show(self, *words: str, of: str) -> str:
        """Show a command, carry it out, show what it prints."""
        self.tell(self.shown(*words, of=of))
        out, err = self.end(self.begin(*words, of=of), *words, of=of)
        self.tell_lines(out + err)
        return out

    def show_all(self, commands: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Carry several commands of parties out at once, show them one after the other."""
        begun = [self.begin(*words, of=name) for name, words in commands]
        for process, (name, words) in zip(begun, commands, strict=True):
            out, err = self.end(process, *words, of=name)
            self.tell(self.shown(*words, of=name))
            self.tell_lines(err + out)

    def tell_lines(self, text: str) -> None:
        for line in text.rstrip("\n").split("\n"):
            self.tell(f"  {line}".rstrip())

    def tell_wrapped(self, label: str, text: str) -> None:
        """A label and a text that goes on below itself."""
        for line in textwrap.wrap(
            text, WIDTH, initial_indent=label, subsequent_indent=" " * len(label)
        ):
            self.tell(line)


def _python() -> list[str]:
    return [sys.executable, "-m", "stayput"]


# --- 1. the parties -------------------------------------------------------------------------------


def _make_parties(stage: _Stage, progress: Progress | None) -> None:
    stage.heading("Seven parties, each with its own keys, folder and process")
    now, address = int(time.time()), f"127.0.0.1:{_free_port()}"
    show, cards = stage.scene, []
    for name, role in show.roles.items():
        own_address = address if role == "coordinator" else ""
        identity = create_identity(
            stage.home(name),
            name,
            Role[role.upper()],
            address=own_address,
            now=now,
            progress=progress,
        )
        cards.append(member_card(identity))
        if role == "coordinator":
            coordinator_key = identity.signing_key
    files = {name: show.data(stage.home(name), name) for name in show.holders}
    for path in files.values():
        path.parent.mkdir()
    show.put(files)
    for name, path in files.items():
        add_source(stage.home(name), show.tables[name], path, None, "")
    data = form_member_list(show.consortium, cards, coordinator_key, int(time.time()))
    (stage.directory / "members.json").write_bytes(data)
    for name in show.roles:
        members = save_members(stage.home(name), data, coordinator=address)
    for name, role in show.roles.items():
        own = f", {_rows(files[name]):,} {show.rows} of its own" if name in files else ""
        stage.tell(f"  {name:<24}{role}{own}")
    stage.tell(f"  gRPC over mutual TLS 1.3 on {address}; fingerprint of the member list")
    stage.tell(f"  {members.digest.hex(' ', 4)}")


def _rows(path: Path) -> int:
    return int(parquet.read_metadata(path).num_rows)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- 2. daemons -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _daemons(stage: _Stage) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """All daemons, up; stopped on leaving."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    with _interrupted_by_sigterm():
        try:
            for name in stage.scene.daemons:
                with (stage.home(name) / LOG_NAME).open("ab") as log:
                    running[name] = _start(stage.home(name), log)
            pids = "".join(f"{process.pid} {name}\n" for name, process in running.items())
            (stage.directory / PIDS).write_text(pids)
            _wait_until_up(stage, running)
            yield running
        finally:
            _stop(running)
            (stage.directory / PIDS).unlink(missing_ok=True)


def _start(home: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - this program
        [*_python(), "start", "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


@contextlib.contextmanager
def _noting_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM end up in a list, and interrupt nothing."""
    noted: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda told, frame: noted.append(told))
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM ends like Ctrl-C: daemons are stopped, not orphaned."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_until_up(stage: _Stage, running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """The coordinator answers; the others dial it by themselves, sooner or later."""
    deadline = time.monotonic() + START_SECONDS
    directory, coordinator = stage.directory, stage.scene.coordinator
    host, port = parse_address(coordinator_address(directory / coordinator))
    while time.monotonic() < deadline:
        _require_alive(directory, running)
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.05)
    raise DemoFailure(f"the coordinator does not come up{_tails(directory, *running)}")


def _require_alive(directory: Path, running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for name, process in running.items():
        if process.poll() is not None:
            raise DemoFailure(
                f"the daemon of {name} ended with {process.returncode}{_tails(directory, name)}"
            )


def _stop(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running.values():
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tails(directory: Path, *names: str, lines: int = 15) -> str:
    """The ends of the daemons' logs."""
    text = ""
    for name in names:
        path = directory / name / LOG_NAME
        if path.exists():
            tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            text += "\n".join(["", f"--- {path}", *tail])
    return text


# --- 3. proposal and approval ---------------------------------------------------------------------


def _propose_and_approve(stage: _Stage) -> None:
    stage.heading("The data user proposes a scenario")
    show = stage.scene
    stage.show("scenario", "propose", str(demo_file(f"{show.scenario}.yaml")), of=show.user)
    stage.heading("One holder reads its approval report")
    stage.show("report", show.scenario, of=show.holders[0])
    stage.heading("The three holders approve, each with its own key")
    waived = [word for name in show.waived for word in ("--waive", name)]
    approve = ("approve", show.scenario, *waived, "--yes")
    stage.show_all([(name, approve) for name in show.holders])


# --- 4. runs --------------------------------------------------------------------------------------


def _run_statements(stage: _Stage) -> None:
    user, runs = stage.scene.user, stage.scene.runs
    stage.heading(f"{_NUMBERS[len(runs)]} questions are asked")
    (stage.directory / "results").mkdir()
    commands = [_run_words(stage, name, parameters) for name, parameters in runs]
    begun: list[subprocess.Popen[str]] = []
    try:
        for place, words in enumerate(commands):
            # Joins take all processors: they are asked one after the other.
            wanted = commands[len(begun) :] if stage.scene.at_once else commands[place : place + 1]
            begun += [stage.begin(*more, of=user) for more in wanted]
            process = begun[place]
            stage.tell("")
            stage.tell(stage.shown(*words, of=user))
            assert process.stderr is not None
            after: list[str] = []  # what it says once the result is there, shown below it
            ready = False
            for line in process.stderr:  # as it happens
                if ready:
                    after.append(line)
                else:
                    stage.tell(f"  {line.rstrip()}")
                ready = ready or line.rstrip().endswith(LAST_STAGE)
            out, _ = stage.end(process, *words, of=user)
            stage.tell_lines(out + "".join(after))
    finally:
        for process in begun:
            if process.poll() is None:
                process.kill()


def _run_words(stage: _Stage, name: str, parameters: Mapping[str, str]) -> tuple[str, ...]:
    values = [word for key, value in parameters.items() for word in ("-p", f"{key}={value}")]
    output = str(stage.directory / "results" / f"{name}.json")
    return ("run", stage.scene.scenario, name, *values, "--head", str(HEAD), "--output", output)


# --- 5. afterwards --------------------------------------------------------------------------------


def _show_wire(stage: _Stage) -> None:
    stage.heading("What each party saw: all that went over its wire")
    show = stage.scene
    for name, role in show.roles.items():
        traffic = party_traffic(stage.home(name))
        own = show.data(stage.home(name), name) if name in show.tables else None
        held = f"; its {own.stat().st_size:,} bytes of {show.rows} stayed" if own else ""
        stage.tell(f"  {name} ({role}){held}")
        for direction in ("sent", "received"):
            counted: dict[str, int] = {}
            for one in traffic:
                if one["direction"] == direction and one["bytes"]:
                    counted[one["kind"]] = counted.get(one["kind"], 0) + one["bytes"]
            largest = sorted(counted.items(), key=lambda item: -item[1])
            kinds = ", ".join(f"{kind} {size:,}" for kind, size in largest)
            total = f"    {direction:<9}{sum(counted.values()):>9,} bytes: "
            stage.tell_wrapped(total, kinds or "nothing")


def _verify_offline(stage: _Stage) -> tuple[int, int]:
    """The log and every release, by the auditor; entries of the log and deletion receipts."""
    show = stage.scene
    pack, policy = (stage.directory / show.auditor / name for name in (PACK, POLICY))
    receipts = _show_receipts(stage, pack, policy)
    stage.heading("The auditor verifies log and releases offline")
    bundles = [str(stage.directory / "results" / f"{name}.json") for name, _ in show.runs]
    stage.show_all(
        [
            ("", ("audit", str(pack), "--policy", str(policy))),
            *((show.auditor, ("verify", bundle)) for bundle in bundles),
        ]
    )
    return receipts


def _show_receipts(stage: _Stage, pack: Path, policy: Path) -> tuple[int, int]:
    report = audit_file(pack, parse_policy(policy.read_bytes()))
    stage.heading("Deletion receipts, from the log")
    by_kind: dict[str, list[ReceiptAccount]] = {}
    for one in report.receipts:
        kind = "encrypted rows" if one.method == "encrypted_rows" else "staged rows"
        by_kind.setdefault(kind, []).append(one)
    for kind, receipts in by_kind.items():
        for one in receipts:
            failed = "".join(f", FAILED {check.upper()}" for check in one.failed)
            stage.tell(
                f"  run {one.run[:12]}  {one.holder}  {kind} {one.outcome.upper()} "
                f"within {max(1, one.seconds)} s, {len(one.passed)} checks passed{failed}"
            )
        passed = set.intersection(*(set(one.passed) for one in receipts))
        not_covered = set[str]().union(*(one.not_covered for one in receipts))
        stage.tell_wrapped("  passed by all: ", _names(passed))
        stage.tell_wrapped("  not covered:   ", _names(not_covered))
    if any(one.outcome != "destroyed" for one in report.receipts):
        raise VerificationError("somebody could not show that rows were destroyed")
    return report.log.size, len(report.receipts)


def _names(codes: Iterable[str]) -> str:
    return ", ".join(sorted(code.upper() for code in codes))


def _compare(stage: _Stage) -> tuple[Comparison, ...]:
    show = stage.scene
    stage.heading("The same questions on all rows pooled, as only a demonstration can")
    members = load_members(stage.home(show.auditor))
    files: dict[str, list[Path]] = {}
    for holder, table in show.tables.items():
        files.setdefault(table, []).append(show.data(stage.home(holder), holder))
    comparisons = []
    for name, _ in show.runs:
        data = (stage.directory / "results" / f"{name}.json").read_bytes()
        compared = _compare_one(verify_release(data, members), name, files)
        comparisons.append(compared)
        stage.tell(
            f"  {name}: {compared.exact_cells} counts and sums exactly equal, "
            f"{compared.derived_cells} derived values equal to the last printed digit, "
            f"{compared.withheld_cells} withheld cells not compared"
        )
    wrong = [mismatch for compared in comparisons for mismatch in compared.mismatches]
    if wrong:
        raise VerificationError(
            "released values differ from the pooled ones:\n  " + "\n  ".join(wrong[:20])
        )
    return tuple(comparisons)


def _compare_one(
    verified: VerifiedRelease, name: str, files: Mapping[str, Sequence[Path]]
) -> Comparison:
    scenario, table = verified.scenario, verified.result.table
    models = {model.name: model for model in scenario.models}
    if name in models:
        return compare_model_with_pooled(table, models[name], files, scenario.tables)
    arguments = {argument.name: argument.value for argument in verified.result.arguments}
    return compare_with_pooled(table, scenario.statement(name), arguments, files, scenario.tables)


def _say_what_next(stage: _Stage, report: DemoReport) -> None:
    directory, program, show = stage.directory, stage.program, stage.scene
    own = demo_file(show.scenario + ".yaml")
    stage.heading(f"What next (all of this took {report.seconds:.0f} s)")
    for line in (
        f"The consortium stays in {directory}; its daemons are stopped. Start them again with",
        f"  {program} demo --dir {directory} --up &",
        "then ask something else, read your own data's history, or take an approval back:",
        f"  {program} run {show.scenario} {' '.join(show.again)} --home {stage.home(show.user)}",
        f"  {program} log show --home {stage.home(show.auditor)}",
        f"  {program} revoke {show.scenario} --reason purpose --home {stage.home(show.holders[0])}",
        "Write a question of your own, starting from a copy of this one:",
        f"  cp {_shown_path(own)} my-question.yaml",
        f"  {program} scenario check my-question.yaml",
        f"  {program} rehearse my-question.yaml {show.rehearsed}",
    ):
        stage.tell(line)


def _shown_path(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


# --- the folder -----------------------------------------------------------------------------------


def _found(directory: Path) -> Show:
    """Which demonstration was made in a folder."""
    for show in (AIRPORTS, CREDIT):
        if all((directory / name).is_dir() for name in show.daemons):
            return show
    raise ConfigurationError(
        f"the demonstration in {directory} is incomplete", hint="make it again"
    )


def _is_ours(directory: Path) -> bool:
    marker = directory / MARKER
    return marker.is_file() and marker.read_bytes() == MARKER_TEXT.encode()


@contextlib.contextmanager
def _owned(directory: Path, *, afresh: bool) -> Iterator[None]:
    """The folder is this demonstration's alone while it lasts.

    Raises:
        ConfigurationError: it is not, and never was, or a demonstration runs in it.
    """
    foreign = directory.exists() and not _is_ours(directory)
    if foreign and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(
            f"{directory} is there already, and no demonstration made it",
            hint="choose another folder with --dir",
        )
    with contextlib.ExitStack() as stack:
        if directory.exists() and _is_ours(directory):
            stack.enter_context(_locked(directory / MARKER))
            _require_stopped(directory)
            if afresh:
                _empty(directory)
        if afresh and not _is_ours(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (directory / MARKER).write_text(MARKER_TEXT)
            stack.enter_context(_locked(directory / MARKER))
        yield


def _empty(directory: Path) -> None:
    """Delete all but the marker, which we hold locked."""
    for path in directory.iterdir():
        if path.name == MARKER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigurationError(
            f"a demonstration is running in {path.parent}",
            hint="stop it first (Ctrl-C), or choose another folder with --dir",
        ) from None
    finally:
        os.close(descriptor)


def _require_stopped(directory: Path) -> None:
    """No daemon of a demonstration that was killed is still at work in the folder."""
    for path in directory.glob("*/daemon.lock"):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pids = directory / PIDS
            listed = pids.read_text().split()[::2] if pids.exists() else []
            raise ConfigurationError(
                f"the daemon of {path.parent} is still running",
                hint=("stop it: kill " + " ".join(listed)) if listed else "stop it first",
            ) from None
        finally:
            os.close(descriptor)
