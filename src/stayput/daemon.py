"""Daemons: the cores of coordinator, node, checker and auditor as processes that stay up.

Each takes its home folder and runs until it is told to stop.  All but the coordinator dial out and
keep asking; when the coordinator is away they wait with jittered backoff and say so once.  An error
that repeating cannot mend (a forked log, an altered file) ends the process with a message, because
going on would hide it.

Files of a home folder: ``identity.json`` and keys, ``members.json``, ``stayput.toml``, ``log/``
(the coordinator's log), ``joins/`` (its pieces of runs over joins, while they last),
``journal.db`` (documents, and everybody else's mirror of the log),
``ledger.db`` (holders), ``wire.json`` (what went over this party's wire), ``staging/`` (empty but
for a running staging process), ``daemon.lock``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from stayput.checker import Checker
from stayput.config import load_settings
from stayput.coordinator import Coordinator
from stayput.errors import ConfigurationError, StayputError, Unavailable, VerificationError
from stayput.identity import Identity, load_identity, load_members
from stayput.membership import Members
from stayput.node import Node
from stayput.replica import Replica
from stayput.rotation import finish_rotation
from stayput.rpc import wire
from stayput.rpc.client import GrpcLink
from stayput.rpc.server import serve
from stayput.sequencer import load_log
from stayput.staging import StagingPool
from stayput.steps import Role
from stayput.store.journal import Journal, MemoryMirror
from stayput.store.ledger import STORAGE_KEY, Ledger
from stayput.witness import Witness
from stayput.workers import Workers

POLL_MS = 20_000
"""How long one question to the coordinator may wait for news."""

IDLE = 0.1
"""Pause after asking for news in vain, seconds: answers that come at once must not make it spin."""

JOINS_AT_ONCE = 4
"""Joins of a node that go on at the same time; each has a staging process with rows in memory."""

MAX_BACKOFF = 15.0
"""Longest pause between two attempts to reach the coordinator, seconds."""

Report = Callable[[str], None]


def clock() -> int:
    """Unix seconds."""
    return int(time.time())


def run_daemon(home: Path, report: Report, ask_passphrase: Callable[[], str] | None = None) -> None:
    """Run the daemon of whatever role the identity in ``home`` has, until SIGTERM or SIGINT.

    Args:
        ask_passphrase: asked, before anything else, if a checker's key is locked.

    Raises:
        ConfigurationError: not set up, a role without daemon, or already running.
        VerificationError: the log or this party's files do not stand.
    """
    identity = load_identity(home, ask_passphrase)
    if identity.role is Role.CHECKER and identity.paillier_key is None:
        raise ConfigurationError(
            "the Paillier key is locked", hint="start the checker where its passphrase can be given"
        )
    members = load_members(home)
    daemons = {
        Role.COORDINATOR: _run_coordinator,
        Role.HOLDER: _run_node,
        Role.CHECKER: _run_checker,
        Role.AUDITOR: _run_auditor,
    }
    if identity.role not in daemons:
        raise ConfigurationError(
            f"a {identity.role.name.lower()} has no daemon",
            hint="daemons are run by coordinator, checker, holders and auditors",
        )
    with exclusively(home), _recording_wire(home), _stopping_on_signals():
        known = _with_known_keys(identity, report)
        daemons[known.role](home, known, members, report)


@contextlib.contextmanager
def connected(identity: Identity) -> Iterator[tuple[Replica, GrpcLink]]:
    """A link with these keys, and a replica that has caught up over it.

    Starts from the party's mirror on disk if a daemon keeps one (so that a log that was cut since
    is noticed) and keeps what is new in memory.
    """
    members = load_members(identity.home)
    with GrpcLink(identity, members) as link:
        replica = Replica(members, _mirror(identity.home))
        replica.catch_up(link)
        yield replica, link


def _mirror(home: Path) -> MemoryMirror:
    if (home / "log").exists():  # the coordinator's own
        return MemoryMirror(*load_log(home / "log"))
    if not (home / "journal.db").exists():
        return MemoryMirror()
    with contextlib.closing(Journal(home / "journal.db")) as journal:
        return MemoryMirror(*journal.load())


def _with_known_keys(identity: Identity, report: Report) -> Identity:
    """The identity that the log knows; waits for the coordinator if a rotation was interrupted."""
    said = False
    while True:
        try:
            return finish_rotation(identity, connected)
        except Unavailable as error:
            if not said:
                report(f"a rotation of keys was interrupted: {error.message}; trying again")
            said = True
            time.sleep(MAX_BACKOFF * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


@contextlib.contextmanager
def exclusively(home: Path) -> Iterator[None]:
    """One daemon per home folder, or a command that wants none to run meanwhile.

    The lock goes with the process, however it ends.

    Raises:
        ConfigurationError: one is running.
    """
    descriptor = os.open(home / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(
            "the daemon of this home folder is running already",
            hint="stop it first, or use another home folder",
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _recording_wire(home: Path) -> Iterator[None]:
    """Add what went over the wire to ``wire.json`` on leaving; see :func:`save_wire`."""
    try:
        yield
    finally:
        save_wire(home)


def save_wire(home: Path) -> None:
    """Write the counters of this process's wire (bytes and kinds, no content) to ``wire.json``."""
    path = home / "wire.json"
    temporary = home / "wire.json.new"
    with contextlib.suppress(OSError):  # a full disk: counters are not worth a daemon
        temporary.write_text(json.dumps(wire.snapshot(), indent=1), encoding="utf-8")
        temporary.replace(path)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Stopped(BaseException):
    """Told to stop; like an interrupt, not for anybody's ``except Exception``."""


@contextlib.contextmanager
def _stopping_on_signals() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    except _Stopped:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_coordinator(home: Path, identity: Identity, members: Members, report: Report) -> None:
    with Workers() as workers, opened_coordinator(home, identity, members, workers) as core:
        for notice in core.log.notices:
            report(notice)
        asyncio.run(_serve(home, core, identity, members, report))


@contextlib.contextmanager
def opened_coordinator(
    home: Path, identity: Identity, members: Members, workers: Executor | None = None
) -> Iterator[Coordinator]:
    """The coordinator's core over its home folder: ``log/``, documents in ``journal.db``, and
    pieces of joins in ``joins/``.

    Raises:
        ConfigurationError: another process has the log.
        VerificationError: the files do not stand.
    """
    settings = load_settings(home).coordinator
    with contextlib.closing(Journal(home / "journal.db")) as journal:
        core = Coordinator(
            members,
            identity.signing_key,
            journal,
            home / "log",
            clock,
            run_timeout=settings.run_timeout_seconds,
            retention_days=settings.retention_days,
            held_timeout=settings.held_timeout_seconds,
            workers=workers,
        )
        with contextlib.closing(core):
            yield core


async def _serve(
    home: Path, core: Coordinator, identity: Identity, members: Members, report: Report
) -> None:
    server = await serve(core, identity)
    # The loop swallows what is raised while it carries out a callback, so it asks for itself.
    stop = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    core.report = report
    report(f"coordinator {identity.name} listens on {server.address}")
    joins = asyncio.create_task(_join(core, stop, report))
    try:
        while not stop.is_set() and not joins.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
            try:
                await asyncio.to_thread(core.tick)
            except Unavailable as error:  # its own disk
                report(f"{error.message}; trying again")
            save_wire(home)
    finally:
        stop.set()
        core.interrupt()
        await server.stop()
        await joins  # raises what ended it


async def _join(core: Coordinator, stop: asyncio.Event, report: Report) -> None:
    """What takes long in runs over joins, in a thread of its own."""
    while not stop.is_set():
        moved = False
        try:
            moved = await asyncio.to_thread(core.work)
        except Unavailable as error:
            report(f"{error.message}; trying again")
            await asyncio.sleep(1.0)
        if not moved:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), IDLE)


def _run_node(home: Path, identity: Identity, members: Members, report: Report) -> None:
    settings = load_settings(home).staging
    journal, ledger = (
        Journal(home / "journal.db"),
        Ledger(home / "ledger.db", identity.derive_key(STORAGE_KEY)),
    )
    pool = StagingPool(
        workdir=home / "staging",
        memory_limit_mb=settings.memory_limit_mb,
        time_limit_s=settings.time_limit_seconds,
        require_landlock=settings.require_landlock,
        threads=settings.threads,
    )
    background = ThreadPoolExecutor(JOINS_AT_ONCE, "stayput-join")
    with background, GrpcLink(identity, members) as link, pool, Workers() as workers:
        swept = pool.swept
        if swept:
            report(f"swept what {swept} interrupted staging(s) had left")
        node = Node(
            identity,
            Replica(members, journal),
            journal,
            ledger,
            link,
            lambda: load_settings(home).sources,
            pool,
            clock,
            secrets.token_bytes,
            lambda: load_settings(home).budgets,
            workers,
            lambda: load_settings(home).quotas,
            background,
        )
        node.report = report
        report(f"node {identity.name} follows the log")
        try:
            _work(node.work, home, report)
        finally:
            journal.close()
            ledger.close()


def _run_checker(home: Path, identity: Identity, members: Members, report: Report) -> None:
    journal = Journal(home / "journal.db")
    with GrpcLink(identity, members) as link:
        checker = Checker(
            identity,
            Replica(members, journal),
            journal,
            link,
            clock,
            secrets.token_bytes,
            constant_time=load_settings(home).checker.constant_time,
        )
        checker.report = report
        report(f"checker {identity.name} follows the log")
        try:
            _work(checker.work, home, report)
        finally:
            journal.close()


def _run_auditor(home: Path, identity: Identity, members: Members, report: Report) -> None:
    journal = Journal(home / "journal.db")
    with GrpcLink(identity, members) as link:
        witness = Witness(identity, Replica(members, journal), journal, link, clock)
        witness.report = report
        report(f"auditor {identity.name} follows and cosigns the log")
        try:
            _work(witness.work, home, report)
        finally:
            journal.close()


def _work(step: Callable[..., bool], home: Path, report: Report) -> None:
    """Ask what is to be done, for ever."""
    pause = 0.0
    said = ""
    while True:
        try:
            moved = step(wait_ms=POLL_MS)
            if said:
                report("going on")
            pause, said = 0.0, ""
            if not moved:
                time.sleep(IDLE)
        except StayputError as error:
            if _ends(error):
                raise
            words = _in_words(error)
            if words != said:
                report(words)
            said = words
            # A refusal for one run must not keep the others waiting; the next round asks afresh.
            patient = isinstance(error, Unavailable) or error.from_peer
            pause = min(MAX_BACKOFF, max(0.2, pause * 2)) if patient else 0.5
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        save_wire(home)


def _ends(error: StayputError) -> bool:
    """Whether asking again is of no use: this process has found its files or the log not to stand.

    Not because a peer says so of a request: nobody's daemon ends at somebody else's word.
    """
    return isinstance(error, VerificationError | ConfigurationError) and not error.from_peer


def _in_words(error: StayputError) -> str:
    if isinstance(error, Unavailable):
        return f"{error.message}; trying again"
    said = ", says the coordinator" if error.from_peer else ""
    return f"{type(error).__name__}{said}: {error.message}"
