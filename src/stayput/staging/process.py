"""The parent's end of one staging process: start it, talk to it, end it.

The parent never holds a row: what comes through the pipe is sums or a code.  A process is asked
once, or, if it lives for a join, call after call.  Whatever happens, :meth:`StagingProcess.end`
leaves it dead and reaped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stayput import documents
from stayput.crypto.cores import Progress
from stayput.documents import D
from stayput.engines.contract import Violation
from stayput.errors import DocumentError
from stayput.staging.join_messages import Call, Progressed, Said, refusal
from stayput.staging.messages import (
    READY,
    Code,
    Confined,
    Failed,
    Groups,
    Job,
    Value,
    pack_frame,
    parse_rows,
    pieces,
    read_frame,
    read_pieces,
)

START_SECONDS = 60.0
"""Enough to load the engine from a cold disk."""

REAP_SECONDS = 10.0
"""A killed process that the kernel has not given up after this long is reported."""

ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""All of it.  Else the C library reserves 64 MiB of address space per thread, which is limited:
0.4 instead of 1.3 GB were measured for ten threads.  And numpy would start threads when imported,
which Landlock would miss."""

_BOOT = (
    "import sys; parent = int(sys.argv[1]); sys.path[:] = sys.argv[2:]; "
    "from stayput.staging.child import main; main(parent)"
)


_JOIN_BOOT = _BOOT.replace("staging.child", "staging.join_child")

MAX_WORK = 2**48
"""More rows and ciphertexts than any process can tell to have done."""


class StagingProcessFailed(Exception):
    """No answer came; the code says why."""

    def __init__(self, code: Code, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(code.name)
        self.code = code
        self.violations = violations


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended, from the kernel's accounting."""

    reaped: bool
    dumped_core: bool
    peak_bytes: int  # resident, highest
    cpu_seconds: float


@dataclasses.dataclass(frozen=True, repr=False)
class Answer:
    """Groups, those shared with each earlier answer, and a sealed snapshot or nothing."""

    rows: list[tuple[Value, ...]]
    shared: list[list[tuple[Value, ...]]]
    snapshot: bytes


class StagingProcess:
    """One started process, before, during and after its job."""

    def __init__(self, *, joins: bool = False) -> None:
        """Start it, for a statement or for a join; returns before it is ready."""
        boot, environment = _BOOT, ENVIRONMENT
        if joins:
            boot, environment = _JOIN_BOOT, {**ENVIRONMENT, "TMPDIR": tempfile.gettempdir()}
        # -I and -S: no environment variable, no site hook, no user folder decides what it imports.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-I", "-S", "-B", "-c", boot, str(os.getpid()), *_import_paths()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a crash report could quote rows
            env=environment,
            cwd="/",
            close_fds=True,
            start_new_session=True,
        )
        self.cancelled = False
        self.confined: Confined | None = None
        self.core_limit: tuple[int, int] | None = None
        self._ended: Ended | None = None

    @property
    def pid(self) -> int:
        """Process id, which is also its session and group."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it has not ended by itself."""
        if self._ended is not None:
            return False
        # WNOWAIT: looking must not reap, or the kernel's account of it would be lost.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is None

    def begin(self, job: object, deadline: float, snapshots: Sequence[bytes] = ()) -> None:
        """Give it its job, and wait until it is confined.

        Args:
            job: a document.
            snapshots, deadline: as for :meth:`ask`.

        Raises:
            StagingProcessFailed: it is not.
        """
        with self._in_codes():
            if self._frame(min(deadline, time.monotonic() + START_SECONDS)) != READY:
                raise StagingProcessFailed(Code.MISSPOKE)
            self.core_limit = resource.prlimit(self.pid, resource.RLIMIT_CORE)
            self._write(pack_frame(documents.encode(job)), deadline)
            for piece in itertools.chain.from_iterable(map(pieces, snapshots)):
                self._write(pack_frame(piece), deadline)
            self.confined = self._document(Confined, deadline)

    def ask(self, job: Job, deadline: float, snapshots: Sequence[bytes] = ()) -> Answer:
        """Give it its job and wait for the groups.

        Args:
            job: what to do.
            snapshots: sealed, of earlier answers, as the job says.
            deadline: on the monotonic clock.

        Raises:
            StagingProcessFailed: there are no groups.
        """
        self.begin(job, deadline, snapshots)
        with self._in_codes():
            groups = self._document(Groups, deadline)
            rows = parse_rows(self._frame(deadline), groups.rows)
            shared = [parse_rows(self._frame(deadline), count) for count in groups.shared]
            if len(shared) != (0 if job.lineage is None else len(job.lineage.sharing)):
                raise StagingProcessFailed(Code.MISSPOKE)
            return Answer(rows, shared, read_pieces(self._reader(deadline), groups.snapshot))

    def call(
        self, call: Call, data: bytes, *, limit: int, silence: float, progress: Progress | None
    ) -> bytes:
        """Ask a process that lives for a join, and wait for the answer.

        Args:
            data: go with the call.
            limit: bytes that the answer has at most.
            silence: seconds without a word after which it is given up.
            progress: told what the process tells.

        Raises:
            StagingProcessFailed: it will answer no more.
            VerificationError, PermissionDenied, RuleViolation: it refuses, and can be asked on.
        """
        with self._in_codes():
            deadline = time.monotonic() + silence
            asked = dataclasses.replace(call, size=len(data))
            for frame in (documents.encode(asked), *pieces(data)):
                self._write(pack_frame(frame), deadline)
        done = -1
        while (said := self._said(silence)).progress is not None:
            # Work is finite: so is the time that a process can take by telling of it.
            if not done < said.progress.done <= said.progress.total <= MAX_WORK:
                raise StagingProcessFailed(Code.MISSPOKE)
            done = said.progress.done
            self._pass_on(said.progress, progress)
        if said.failed is not None:
            raise StagingProcessFailed(said.failed.code, said.failed.violations)
        if said.refused is not None:
            raise refusal(call.method, said.refused)
        if said.answer is None or said.answer > limit:
            raise StagingProcessFailed(Code.MISSPOKE)
        with self._in_codes():
            return read_pieces(self._reader(time.monotonic() + silence), said.answer)

    def _pass_on(self, progressed: Progressed, progress: Progress | None) -> None:
        if progress is None:
            return
        try:
            progress(progressed.done, progressed.total)
        except BaseException:
            self.cancel()  # nobody will wait for this answer
            raise

    def _said(self, silence: float) -> Said:
        with self._in_codes():
            return documents.parse(Said, self._frame(time.monotonic() + silence))

    @contextlib.contextmanager
    def _in_codes(self) -> Iterator[None]:
        """What goes wrong with a process becomes a code."""
        try:
            yield
        except DocumentError:
            raise StagingProcessFailed(Code.MISSPOKE) from None
        except (EOFError, BrokenPipeError, ProcessLookupError):
            raise StagingProcessFailed(Code.CANCELLED if self.cancelled else Code.DIED) from None
        except TimeoutError:
            raise StagingProcessFailed(Code.TIMED_OUT) from None

    def _document(self, cls: type[D], deadline: float) -> D:
        data = self._frame(deadline)
        try:
            return documents.parse(cls, data)
        except DocumentError:
            failed = documents.parse(Failed, data)
        raise StagingProcessFailed(failed.code, failed.violations)

    def _frame(self, deadline: float) -> bytes:
        return read_frame(self._reader(deadline))

    def _reader(self, deadline: float) -> Callable[[int], bytes]:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()

        def read(size: int) -> bytes:
            data = bytearray()
            while len(data) < size:
                _wait(source, select.POLLIN, deadline)
                chunk = os.read(source, min(size - len(data), 1 << 20))
                if not chunk:
                    raise EOFError
                data += chunk
            return bytes(data)

        return read

    def _write(self, data: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        sink = self._process.stdin.fileno()
        left = memoryview(data)
        while left:
            _wait(sink, select.POLLOUT, deadline)
            # Up to PIPE_BUF bytes fit whenever poll says so; more could block past the deadline.
            left = left[os.write(sink, left[: select.PIPE_BUF]) :]

    def cancel(self) -> None:
        """Kill it; whoever waits in :meth:`ask` learns that it was cancelled."""
        self.cancelled = True
        self._kill()

    def _kill(self) -> None:
        if self._ended is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                self._process.kill()  # it had not come to start its own session

    def end(self) -> Ended:
        """Kill and reap it, close the pipes. Safe to call again."""
        if self._ended is not None:
            return self._ended
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        self._ended = self._reap()
        return self._ended

    def _reap(self) -> Ended:
        until = time.monotonic() + REAP_SECONDS
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > until:
                return Ended(reaped=False, dumped_core=False, peak_bytes=0, cpu_seconds=0.0)
            time.sleep(0.001)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return Ended(
            reaped=not _group_exists(self.pid),
            dumped_core=os.WCOREDUMP(status),
            peak_bytes=usage.ru_maxrss * 1024,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
        )


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll: Any = select.poll()
    poll.register(descriptor, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _import_paths() -> list[str]:
    """The folders from which this process imports; the new one imports the same code."""
    return [path for path in sys.path if path and os.path.isabs(path)]
