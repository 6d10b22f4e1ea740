"""What parent and staging process say to each other over the pipes.

Frames: four bytes of length, big-endian, then canonical JSON.  The parent sends one :class:`Job`,
and after it the snapshots that it names the sizes of, in pieces.  The child answers READY (before
the job), then :class:`Confined`, then either :class:`Groups` and their rows, those of each earlier
answer and a snapshot in pieces, or :class:`Failed`.

The child has parsed a holder's file with native code, so what it says is parsed strictly and is
bounded in size; it says codes, names from the contract, and sums, and no row.

These documents live in the pipes between a process and its own child of the same version: they are
not signed, not stored and not part of the protocol, so ``proto/`` does not describe them.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Callable, Sequence
from typing import Any

from stayput import documents
from stayput.documents import Int64
from stayput.engines.contract import Violation
from stayput.engines.snapshots import Lineage
from stayput.errors import DocumentError
from stayput.scenario import TableContract

MAX_FRAME = 64 * 1024 * 1024
"""A million groups of a few sums; sums are all that leaves the process."""

MAX_GROUPS = 1_000_000

READY = b"ready"

Value = int | str | bool | None


@documents.document("stayput.staging.StagingJob")
@dataclasses.dataclass(frozen=True)
class Job:
    """What one staging process is to do."""

    path: str
    format: str
    table: str
    contract: TableContract
    columns: tuple[str, ...]
    sql: str
    folder: str
    memory_limit_mb: int
    threads: int
    require_landlock: bool
    lineage: Lineage | None = None
    snapshots: tuple[Int64, ...] = ()  # bytes of each, sent after the job


@documents.document("stayput.staging.StagingConfined")
@dataclasses.dataclass(frozen=True)
class Confined:
    """The process has given up its rights; only now does it open the source."""

    landlock_abi: int  # 0: the kernel has none, and the holder does not insist
    seccomp: bool


class Code(enum.Enum):
    """Why there are no groups."""

    DATA_DO_NOT_FIT = 1
    NOT_CONFINED = 2
    SOURCE_UNREADABLE = 3
    SOURCE_MALFORMED = 4
    SOURCE_BUSY = 5
    SOURCE_CHANGED = 6
    NO_SUCH_TABLE = 7
    SNAPSHOT = 18
    OUT_OF_MEMORY = 8
    FORBIDDEN = 9
    STATEMENT = 10
    RESULT_SHAPE = 11
    TOO_MANY_GROUPS = 12
    INTERNAL = 13
    TIMED_OUT = 14  # from here on by the parent
    CANCELLED = 15
    DIED = 16
    MISSPOKE = 17
    NO_TEMPORARY_FOLDER = 19


@documents.document("stayput.staging.StagingFailed")
@dataclasses.dataclass(frozen=True)
class Failed:
    """The child's last word when it has no groups."""

    code: Code
    violations: tuple[Violation, ...] = ()


@documents.document("stayput.staging.StagingGroups")
@dataclasses.dataclass(frozen=True)
class Groups:
    """The next frame has this many rows; then come ``shared``, a frame each, and a snapshot."""

    rows: int
    shared: tuple[int, ...] = ()
    snapshot: Int64 = 0


def pack_frame(data: bytes) -> bytes:
    """Length and data."""
    return len(data).to_bytes(4, "big") + data


def read_frame(read: Callable[[int], bytes]) -> bytes:
    """The next frame.

    Args:
        read: gives exactly so many bytes, or raises.

    Raises:
        DocumentError: the frame is longer than :data:`MAX_FRAME`.
    """
    size = int.from_bytes(read(4), "big")
    if size > MAX_FRAME:
        raise DocumentError("a frame of the staging process is too long")
    return read(size)


PIECE = 16 * 1024 * 1024
"""Long data travel in frames of this size: of many rows a snapshot is longer than a frame."""

MAX_SNAPSHOT = 2 * 1024**3


def pieces(data: bytes) -> list[bytes]:
    """The frames in which long data travel."""
    return [data[i : i + PIECE] for i in range(0, len(data), PIECE)]


def read_pieces(read: Callable[[int], bytes], size: int) -> bytes:
    """Data of that size: a snapshot, or what goes with a call.

    Raises:
        DocumentError: the frames do not add up to it.
    """
    if not 0 <= size <= MAX_SNAPSHOT:
        raise DocumentError("what comes in pieces is too long")
    found = bytearray()
    while len(found) < size:
        piece = read_frame(read)
        if not piece or len(found) + len(piece) > size:
            raise DocumentError("what came in pieces is not as long as it was said to be")
        found += piece
    return bytes(found)


def encode_rows(rows: Sequence[Sequence[Value]]) -> bytes:
    """Rows as JSON: a whole number as ``"#42"``, a text as ``"=text"``, truth and NULL as they are.

    JSON numbers end at 53 bits and sums do not, so every number is text, marked by its first
    character.
    """
    marked = [[_mark(value) for value in row] for row in rows]
    return json.dumps(marked, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def parse_rows(data: bytes, count: int) -> list[tuple[Value, ...]]:
    """Inverse of :func:`encode_rows`.

    Raises:
        DocumentError: not ``count`` rows of one width.
    """
    try:
        raw = json.loads(data.decode("utf-8"))
        rows = [tuple(_unmark(item) for item in row) for row in raw]
    except (ValueError, TypeError, RecursionError):
        raise DocumentError("the staging process sent no rows") from None
    if len(rows) != count or len({len(row) for row in rows}) > 1:
        raise DocumentError("the staging process sent rows of another shape")
    return rows


def _mark(value: Value) -> str | bool | None:
    if value is None or isinstance(value, bool):
        return value
    return f"#{value}" if isinstance(value, int) else "=" + value


def _unmark(item: Any) -> Value:
    if item is None or isinstance(item, bool):
        return item
    if not isinstance(item, str) or item[:1] not in ("#", "="):
        raise ValueError
    if item[0] == "=":
        return item[1:]
    value = int(item[1:])
    if str(value) != item[1:]:
        raise ValueError
    return value
