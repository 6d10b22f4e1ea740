"""Review packs on disk: written from a party's verified copy of the log, audited on all cores.

Not here: the format (:mod:`stayput.audit.pack`) and the audit (:mod:`stayput.audit.examine`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gc
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from stayput import documents
from stayput.audit.examine import Progress, audit_pack
from stayput.audit.report import AuditReport
from stayput.errors import DocumentError, NotFound
from stayput.tlog.policy import Policy

WORKERS_FROM_BYTES = 4 * 1024 * 1024
"""Size of a pack from which starting processes (a second) pays: some 5,000 entries."""


def audit_file(
    path: Path,
    policy: Policy,
    *,
    since: bytes | None = None,
    cores: int | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a pack in a file.

    Args:
        since: an older checkpoint that the auditor has kept.
        cores: how many processes share the work; as many as this one may use by default.

    Raises:
        NotFound: there is no such file.
        DocumentError, VerificationError: as :func:`stayput.audit.examine.audit_pack`.
    """
    try:
        source = path.open("rb")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(
            f"there is no file {path}", hint="make one with `stayput log pack FILE`"
        ) from None
    with source:
        small = path.stat().st_size < WORKERS_FROM_BYTES
        count = 1 if small else (cores or len(os.sched_getaffinity(0)))
        with _no_collector(), _processes(count) as workers:
            return audit_pack(source, policy, since=since, workers=workers, progress=progress)


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Records of an audit have no cycles; looking for some in millions of them takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _processes(count: int) -> Iterator[Executor | None]:
    if count < 2:
        yield None
        return
    # Spawned, not forked: the command line may have threads by now.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=gc.disable) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


MAX_LOG_FILE_BYTES = 1 << 30
"""About half a million entries; a longer log wants another form."""

FORMAT = "stayput-log-1"


def log_file(entries: Sequence[bytes], checkpoint: bytes) -> bytes:
    """The bytes of the file."""
    header = {"checkpoint": base64.b64encode(checkpoint).decode("ascii"), "format": FORMAT}
    return b"".join(line + b"\n" for line in (documents.canonical_json(header), *entries))


def parse_log_file(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Entries and checkpoint from untrusted bytes; nothing is verified.

    Raises:
        DocumentError: not such a file.
    """
    if len(data) > MAX_LOG_FILE_BYTES:
        raise DocumentError(f"a log file has at most {MAX_LOG_FILE_BYTES} bytes")
    if not data.endswith(b"\n"):
        raise _no_log("its last line does not end")
    head, *entries = data[:-1].split(b"\n")
    try:
        header = documents.parse_canonical_json(head)
        checkpoint = base64.b64decode(header["checkpoint"], validate=True)
        stands = header == {"checkpoint": header["checkpoint"], "format": FORMAT}
    except (DocumentError, binascii.Error, KeyError, TypeError, ValueError):
        stands = False
    if not stands:
        raise _no_log("its first line is no header of one")
    return tuple(entries), checkpoint


def _no_log(why: str) -> DocumentError:
    return DocumentError(
        f"not an exported log: {why}", hint="make one with `stayput log export FILE`"
    )
