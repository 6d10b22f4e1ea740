"""Staging: one process per run that sees the rows, gives back sums, and is destroyed.

:meth:`StagingPool.stage` is the whole story: open a folder, take a started process, give it the
job, wait for sums, end the process, check what is left, state the facts for the deletion receipt.
Facts are stated for failures too (:class:`StagingFailed`, :class:`SourceRefused`), since rows may
have been read.

A pool keeps one process ready whose start is done and that has seen nothing, so that a run does not
wait for it.  Processes are started from one thread that lives as long as the pool: the kernel kills
a staging process when the *thread* that started it ends.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from stayput.engines.contract import sentence
from stayput.engines.snapshots import Lineage
from stayput.engines.source import GLOB_CHARACTERS, SourceSpec
from stayput.errors import ConfigurationError, ContractViolation, StagingError, StayputError
from stayput.scenario import TableContract
from stayput.staging import destruction
from stayput.staging.destruction import DeletionFacts, Swept
from stayput.staging.join_messages import JoinJob, PlanMessage
from stayput.staging.joins import JoinProcess, JoinRequest, JoinStaging
from stayput.staging.messages import Code, Job, Value
from stayput.staging.process import Answer, Ended, StagingProcess, StagingProcessFailed
from stayput.steps import DeletionCheck

MAX_SENTENCES = 20
"""Violations told at once; a holder mends the first ones first."""


@dataclasses.dataclass(frozen=True)
class StagingRequest:
    """One statement over one holder's file.

    ``columns`` are the declared columns that ``sql`` uses; ``sql`` is node SQL over
    ``stayput_source``; ``staging_id`` (1 to 32 bytes) names the folder while it lasts.  ``lineage``
    is what to find out beside earlier answers, ``snapshots`` what is kept of their rows, sealed.
    """

    source: SourceSpec
    contract: TableContract
    columns: tuple[str, ...]
    sql: str
    staging_id: bytes
    lineage: Lineage | None = None
    snapshots: tuple[bytes, ...] = dataclasses.field(default=(), repr=False)


@dataclasses.dataclass(frozen=True, repr=False)
class Staged:
    """The sums of one staging and the facts of its destruction.

    ``rows`` are the holder's own partial sums: seen by nobody else in clear (promise 2).
    """

    rows: list[tuple[Value, ...]]
    receipt: DeletionFacts
    ended: Ended
    shared: list[list[tuple[Value, ...]]] = dataclasses.field(default_factory=list)
    snapshot: bytes = b""

    def __repr__(self) -> str:
        return f"Staged({len(self.rows)} groups, {self.receipt.outcome.name})"


class StagingFailed(StagingError):
    """No sums; the rows, if any were read, are gone as ``receipt`` says."""

    def __init__(self, message: str, *, hint: str, code: Code, receipt: DeletionFacts) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.receipt = receipt


class SourceRefused(ContractViolation):
    """The source does not fit; the message is for the holder alone."""

    def __init__(self, message: str, *, hint: str, receipt: DeletionFacts) -> None:
        super().__init__(message, hint=hint)
        self.receipt = receipt


class StagingPool:
    """Stages one statement after the other, or several at once.

    Args:
        workdir: private folder; made if missing, 0700; empty but for running stagings.
        memory_limit_mb: memory of the engine; it never spills.
        time_limit_s: a process that takes longer is killed.
        require_landlock: refuse to stage where the kernel cannot confine the process.
        threads: of the engine.
        warm: keep one started process ready.

    Attributes:
        sweeps: what a killed node had left here.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        memory_limit_mb: int = 1024,
        time_limit_s: float = 300,
        require_landlock: bool = True,
        threads: int = 2,
        warm: bool = True,
    ) -> None:
        self._workdir = Path(workdir).absolute()
        self._memory_limit_mb = memory_limit_mb
        self._time_limit_s = time_limit_s
        self._require_landlock = require_landlock
        self._threads = threads
        self._keep_warm = warm
        self.sweeps: list[Swept] = destruction.sweep(self._workdir)
        self._lock = threading.Lock()
        self._running: dict[bytes, StagingProcess] = {}
        self._joins: dict[bytes, JoinProcess] = {}
        self._closed = False
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="stayput-staging")
        self._warm: Future[StagingProcess] | None = None
        self._warm_up()

    @property
    def swept(self) -> int:
        """How many interrupted stagings were swept at the start."""
        return len(self.sweeps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what runs and end the process that was kept ready."""
        with self._lock:
            self._closed = True
            warm, self._warm = self._warm, None
            running, joins = list(self._running.values()), list(self._joins.values())
        for process in running:
            process.cancel()
        for join in joins:
            join.close()
        if warm is not None:
            warm.result().end()
        self._starter.shutdown()

    def cancel(self, staging_id: bytes) -> bool:
        """Kill a running staging. Returns whether there was one."""
        with self._lock:
            process = self._running.get(staging_id)
        if process is not None:
            process.cancel()
        return process is not None

    def state(self, source: SourceSpec) -> str:
        """What tells whether a source was changed: the same text, the same file, unwritten since.

        Raises:
            ConfigurationError: the source is not there, or its path cannot be used.
        """
        try:
            found = os.stat(_source_path(source))
        except OSError:
            raise ConfigurationError(
                f"the source {os.path.basename(source.path)} is not there", hint="check its path"
            ) from None
        return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{source.table}"

    def open_join(self, request: JoinRequest) -> JoinStaging:
        """Start a process that lives for a join; it is confined and has read nothing yet.

        Whoever asks for it closes it, whatever happens; the pool does when it is closed itself.

        Raises:
            StagingFailed: (a StagingError) it could not be confined, or failed otherwise.
            StagingError: nothing was started.
            ConfigurationError: the source is not there, or its path cannot be used.
        """
        path = _source_path(request.source)
        folder = self._open(request.staging_id)
        started = int(time.time())
        process = self._start(folder, joins=True)

        def end() -> DeletionFacts:
            ended = process.end()
            with self._lock:
                self._running.pop(request.staging_id, None)
                self._joins.pop(request.staging_id, None)
            return self._destroyed(folder, path, process, ended, started)

        def told(failure: StagingProcessFailed, receipt: DeletionFacts) -> StayputError:
            return _told(failure, request, receipt, self._time_limit_s)

        join = JoinProcess(process, request, end=end, told=told, silence=self._time_limit_s)
        try:
            self._admit(request.staging_id, process)
            destruction.mark(folder, process.pid)
            job = JoinJob(
                job=self._job(request, path, folder),
                run=request.run,
                scenario=request.scenario,
                me=request.me,
                plan=PlanMessage.of(request.plan),
            )
            process.begin(job, time.monotonic() + self._time_limit_s)
            with self._lock:
                if self._closed:
                    raise StagingProcessFailed(Code.CANCELLED)
                self._joins[request.staging_id] = join
        except StagingProcessFailed as failed:
            raise told(failed, join.close()) from None
        except OSError:  # as in stage
            raise told(StagingProcessFailed(Code.INTERNAL), join.close()) from None
        except BaseException:
            join.close()
            raise
        return join

    def stage(self, request: StagingRequest) -> Staged:
        """Run one statement over one source in a process of its own, and destroy the process.

        Raises:
            SourceRefused: (a ContractViolation) the source does not fit its contract.
            StagingFailed: (a StagingError) no sums for another reason.
            StagingError: nothing was started.
            ConfigurationError: the source is not there, or its path cannot be used.
        """
        job_path = _source_path(request.source)
        folder = self._open(request.staging_id)
        started = int(time.time())
        found = Answer([], [], b"")
        failure: StagingProcessFailed | None = None
        process = self._take(folder)
        try:
            self._admit(request.staging_id, process)
            destruction.mark(folder, process.pid)
            job = dataclasses.replace(
                self._job(request, job_path, folder),
                lineage=request.lineage,
                snapshots=tuple(map(len, request.snapshots)),
            )
            found = process.ask(job, time.monotonic() + self._time_limit_s, request.snapshots)
        except StagingProcessFailed as failed:
            failure = failed
        except OSError:  # the mark cannot be written: no process stages that a sweep would miss
            failure = StagingProcessFailed(Code.INTERNAL)
        finally:
            ended = process.end()
            with self._lock:
                self._running.pop(request.staging_id, None)
            receipt = self._destroyed(folder, job_path, process, ended, started)
            self._warm_up()
        if failure is not None:
            raise _told(failure, request, receipt, self._time_limit_s)
        return Staged(found.rows, receipt, ended, found.shared, found.snapshot)

    # --- steps ------------------------------------------------------------------------------------

    def _open(self, staging_id: bytes) -> Path:
        if not 1 <= len(staging_id) <= 32:
            raise ValueError("a staging id has 1 to 32 bytes")
        if self._closed:
            raise StagingError("this staging pool is closed")
        try:
            return destruction.open_folder(self._workdir, staging_id)
        except FileExistsError:
            raise StagingError(
                "this run is being staged already, or an earlier try was never swept",
                hint="start the node again: it sweeps what was left",
            ) from None
        except OSError as error:
            raise StagingError(
                f"the staging folder cannot be made: {error.strerror}",
                hint=f"check the permissions of {self._workdir}",
            ) from None

    def _take(self, folder: Path) -> StagingProcess:
        """The process kept ready, or a new one."""
        with self._lock:
            warm, self._warm = self._warm, None
        try:
            if warm is not None:
                process = warm.result()
                if process.alive():
                    return process
                process.end()
        except (OSError, RuntimeError) as error:
            destruction.look_for_files(folder)
            raise StagingError(f"no staging process could be started: {error}") from None
        return self._start(folder, joins=False)

    def _start(self, folder: Path, *, joins: bool) -> StagingProcess:
        try:
            return self._starter.submit(lambda: StagingProcess(joins=joins)).result()
        except (OSError, RuntimeError) as error:  # RuntimeError: closed in between
            destruction.look_for_files(folder)
            raise StagingError(f"no staging process could be started: {error}") from None

    def _admit(self, staging_id: bytes, process: StagingProcess) -> None:
        with self._lock:
            if self._closed:
                raise StagingProcessFailed(Code.CANCELLED)
            self._running[staging_id] = process

    def _warm_up(self) -> None:
        with self._lock:
            if self._keep_warm and not self._closed and self._warm is None:
                self._warm = self._starter.submit(StagingProcess)

    def _job(self, request: StagingRequest | JoinRequest, path: str, folder: Path) -> Job:
        return Job(
            path=path,
            format=request.source.format,
            table=request.source.table,
            contract=request.contract,
            columns=request.columns,
            sql=request.sql,
            folder=str(folder),
            memory_limit_mb=self._memory_limit_mb,
            threads=self._threads,
            require_landlock=self._require_landlock,
        )

    def _destroyed(
        self, folder: Path, source: str, process: StagingProcess, ended: Ended, started: int
    ) -> DeletionFacts:
        confined = process.confined
        checks = {
            DeletionCheck.PROCESS_REAPED: ended.reaped,
            DeletionCheck.NO_OPEN_DESCRIPTORS: destruction.no_descriptor_into(
                (str(folder), source)
            ),
            DeletionCheck.NO_CORE_DUMP: not ended.dumped_core
            and process.core_limit in (None, (0, 0))  # None: it never came to have a job
            and destruction.no_core_file(folder),
            DeletionCheck.NO_MOUNT_LEFT: destruction.no_mount_below(folder),
        }
        if ended.reaped:
            destruction.unmark(folder)
        checks[DeletionCheck.NO_FILES_LEFT] = destruction.look_for_files(folder)
        if confined is None or confined.landlock_abi > 0:
            # A process that never said so is not known to have been confined.
            checks[DeletionCheck.CONFINED_BY_LANDLOCK] = confined is not None
        # Without Landlock where the holder does not insist: not done, so not named as passed.
        return destruction.facts(checks, started)


def _source_path(source: SourceSpec) -> str:
    """The real path of the source: what is allowed is one file, not a link that may turn."""
    path = os.path.realpath(source.path)
    name = os.path.basename(source.path)
    if not os.path.isfile(path):
        raise ConfigurationError(
            f"the source {name} is not there, or is no file", hint="check its path"
        )
    if any(character in GLOB_CHARACTERS for character in path):
        raise ConfigurationError(
            f"the path of the source {name} has one of the characters {GLOB_CHARACTERS}",
            hint="rename the file or its folder",
        )
    return path


_SENTENCES = {
    Code.NOT_CONFINED: (
        "the staging process could not be confined",
        "Landlock needs Linux 5.13 or newer, switched on; staging.require_landlock = false in "
        "stayput.toml does without, and the receipts will not claim it",
    ),
    Code.SOURCE_UNREADABLE: (
        "the source {name} cannot be read",
        "check its format and its permissions",
    ),
    Code.SOURCE_MALFORMED: (
        "the source {name} is damaged or not of the declared format",
        "open it with another tool on this machine",
    ),
    Code.SOURCE_BUSY: (
        "the source {name} has unfinished writes beside it",
        "close the program that writes to it, or give a finished copy",
    ),
    Code.SOURCE_CHANGED: (
        "the source {name} changed while it was read",
        "give a file that nobody writes to",
    ),
    Code.NO_SUCH_TABLE: (
        "the source {name} has no such table",
        "name the table in stayput.toml: table = …",
    ),
    Code.SNAPSHOT: (
        "what is kept of the rows of an earlier answer does not open",
        "restore ledger.db from a backup, or begin a new lineage: stayput source renew TABLE",
    ),
    Code.OUT_OF_MEMORY: (
        "the staging process ran out of memory",
        "raise staging.memory_limit_mb in stayput.toml",
    ),
    Code.FORBIDDEN: ("the statement tried what staging forbids", ""),
    Code.STATEMENT: ("the engine does not understand the statement", ""),
    Code.RESULT_SHAPE: ("the statement gives something else than sums", ""),
    Code.TOO_MANY_GROUPS: ("the statement gives too many groups", ""),
    Code.INTERNAL: ("the local engine failed", ""),
    Code.TIMED_OUT: (
        "the staging process took longer than {limit} seconds and was killed",
        "raise staging.time_limit_seconds in stayput.toml",
    ),
    Code.CANCELLED: ("the staging was cancelled", ""),
    Code.NO_TEMPORARY_FOLDER: (
        "libsodium cannot be loaded from the folder for temporary files",
        "set TMPDIR to a folder of this user in which programs may run",
    ),
    Code.DIED: (
        "the staging process died",
        "it may have been killed for memory: see staging.memory_limit_mb in stayput.toml",
    ),
    Code.MISSPOKE: ("the staging process gave no proper answer", ""),
}


def _told(
    failure: StagingProcessFailed,
    request: StagingRequest | JoinRequest,
    receipt: DeletionFacts,
    limit: float,
) -> StagingFailed | SourceRefused:
    """The failure in words for the holder; no value from the data."""
    name = os.path.basename(request.source.path)
    if failure.code is Code.DATA_DO_NOT_FIT:
        try:
            told = [
                sentence(violation, request.contract, name)
                for violation in failure.violations[:MAX_SENTENCES]
            ]
        except (KeyError, AssertionError):  # of a column that the contract does not have
            told = []
        if told:
            return SourceRefused(
                "; ".join(told), hint="mend the file, or agree on another contract", receipt=receipt
            )
        failure = StagingProcessFailed(Code.MISSPOKE)
    message, hint = _SENTENCES[failure.code]
    return StagingFailed(
        message.format(name=name, limit=f"{limit:g}"),
        hint=hint,
        code=failure.code,
        receipt=receipt,
    )
