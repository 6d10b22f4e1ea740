"""The staging process: one job, then it ends.

Started by :mod:`stayput.staging.process` with an empty environment, two pipes and nothing else.
In this order: give up what it never needs; import what it will need; say READY; read its job; cap
memory; confine itself; only then open the source.  It answers with sums or with a code.  It ends
when its parent does: the kernel kills it, and it also watches its standard input.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import TYPE_CHECKING

from stayput.staging import confinement

if TYPE_CHECKING:
    from stayput.staging.messages import Confined, Job

KERNEL_FILES = (
    "/proc/self",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/stat",
    "/proc/sys/vm",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
)
"""Where DuckDB and its allocator look for cores and memory; without some of them it aborts.  Not
all of /proc: other processes are nobody's business.  Those that a machine lacks are left out."""

_ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Keeps pyarrow and numpy from starting threads when imported: Landlock would miss them."""

HEADROOM_MB = 768
"""Address space beyond the engine's memory limit: program, libraries, buffers outside the limit.
Measured over a Parquet file: 0.4 GB in all beside 0.1 GB in use, with MALLOC_ARENA_MAX=2."""

STACK_MB = 16
"""More of it per engine thread: a stack of 8 MiB, doubled."""


def main(parent: int) -> None:
    """Serve one job from standard input, answering on standard output."""
    confinement.harden(parent)
    answers = os.dup(1)
    os.dup2(2, 1)  # to nowhere: what a library prints is no answer
    # Nothing of the engine is loaded before the process is hardened.
    from stayput import documents  # noqa: PLC0415
    from stayput.engines.contract import SourceDoesNotFit  # noqa: PLC0415
    from stayput.engines.duckdb import (  # noqa: PLC0415
        EngineFailure,
        SourceSpec,
        aggregate,
        connect,
    )
    from stayput.errors import DocumentError  # noqa: PLC0415
    from stayput.staging.messages import (  # noqa: PLC0415
        MAX_GROUPS,
        READY,
        Code,
        Failed,
        Groups,
        Job,
        encode_rows,
        pieces,
        read_frame,
        read_pieces,
    )

    send(answers, READY)
    try:
        job = documents.parse(Job, read_frame(read))
        snapshots = [read_pieces(read, size) for size in job.snapshots]
    except (DocumentError, EOFError):
        return
    try:
        # What is kept of earlier rows is there beside the engine, as bytes and as arrays.
        kept = 4 * sum(job.snapshots) // 2**20
        send(answers, documents.encode(confine(job, beside_mb=kept)))
    except confinement.NotConfined:
        send(answers, documents.encode(Failed(Code.NOT_CONFINED)))
        return
    end_with_parent()
    try:
        connection = connect(job.memory_limit_mb, job.threads)
        source = SourceSpec(job.path, job.format, job.table)
        found = aggregate(
            connection,
            source,
            job.contract,
            job.columns,
            job.sql,
            max_groups=MAX_GROUPS,
            lineage=job.lineage,
            snapshots=snapshots,
        )
        tables = [found.rows, *found.shared]
        data = [encode_rows(rows) for rows in tables] + pieces(found.snapshot)
    except SourceDoesNotFit as unfit:
        send(answers, documents.encode(Failed(Code.DATA_DO_NOT_FIT, unfit.violations)))
    except EngineFailure as failure:
        send(answers, documents.encode(Failed(Code[failure.code.name])))
    except MemoryError:
        send(answers, documents.encode(Failed(Code.OUT_OF_MEMORY)))
    else:
        sizes = tuple(map(len, tables))
        groups = Groups(sizes[0], sizes[1:], len(found.snapshot))
        for frame in (documents.encode(groups), *data):
            send(answers, frame)


def confine(job: Job, *, beside_mb: int) -> Confined:
    """Give up the rest; the folder is where a file would land that nothing can write.

    Args:
        beside_mb: memory that is needed beside the engine's.
    """
    from stayput.staging.messages import Confined  # noqa: PLC0415

    os.chdir(job.folder)
    if job.format == "sqlite":
        os.environ.update(_ONE_THREAD)
        import pyarrow.pandas_compat  # noqa: PLC0415 - what pyarrow itself loads late
        import pyarrow.vendored.version  # noqa: F401, PLC0415
    sys.path.clear()  # nothing new is imported from here on; pyarrow would try pandas
    megabytes = job.memory_limit_mb + HEADROOM_MB + STACK_MB * job.threads + beside_mb
    confinement.limit_memory(megabytes * 2**20)
    if not job.require_landlock and confinement.landlock_abi() < confinement.LANDLOCK_ABI:
        return Confined(0, confinement.restrict_calls())
    kernel = [path for path in KERNEL_FILES if os.path.exists(path)]
    abi = confinement.restrict_files((job.path, *kernel))
    return Confined(abi, confinement.restrict_calls())


def end_with_parent() -> None:
    """End when standard input does: the kernel's signal is tied to the parent's thread, this is
    tied to the process."""
    hung_up = select.poll()
    hung_up.register(0, 0)  # tells that nobody can write any more, and not that somebody has

    def watch() -> None:
        hung_up.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def send(sink: int, data: bytes) -> None:
    """Write a frame."""
    frame = memoryview(len(data).to_bytes(4, "big") + data)
    while frame:
        frame = frame[os.write(sink, frame) :]


def read(size: int) -> bytes:
    """So many bytes of standard input. Raises EOFError."""
    data = bytearray()
    while len(data) < size:
        chunk = os.read(0, min(size - len(data), 1 << 20))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
