"""Segments: the exact bytes of the log's entries in append-only files.

A folder of files named by the index of their first entry, ``00000000000000000000.log``.  Each has
a header (magic, first index, CRC-32) and then records: length, CRC-32 over index, length and entry,
and the entry, byte for byte as it was signed.  Numbers are big-endian.  A file is begun under
another name and renamed when its header is durable, and a batch never spans two files; so only the
end of the last file can ever be half-written.

:meth:`Segments.append` returns after ``fdatasync``.  What it could not make durable it takes back
before anything else is written.

When a log is opened every record is read.  Up to ``covered`` (what the last signed checkpoint
covers, and so all that anybody was told of) every damage is an error that names file and byte.
Behind it, in the last file, whole records are kept and made durable, and what a killed process left
half-written is cut and reported.  A checksum finds accidents, not malice: that is what checkpoints
are for.

What leaks: the entries, which every member may read.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import re
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from stayput.errors import DocumentError, Unavailable, VerificationError
from stayput.store.disk import Disk, make_folder, read_exactly, replace_file, sweep, write_all
from stayput.tlog.tiles import MAX_ENTRY_BYTES, require_entry_size

SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""A file that has reached this takes no further batch: one is read into memory on opening."""

_MAGIC: Final = b"stayput log v1\r\n"
_HEADER: Final = struct.Struct(">16sQI")
_RECORD: Final = struct.Struct(">II")
_INDEXED: Final = struct.Struct(">QI")
_NAME: Final = re.compile(r"[0-9]{20}\.log", re.ASCII)


class Segments:
    """The entries of a log on disk. One writer; reading needs no lock.

    Args:
        folder: where the files are; made if it is not there.
        covered: how many entries the last signed checkpoint covers.
        disk: the disk.
        segment_bytes: when a new file is begun.

    Raises:
        VerificationError: the files are damaged, or hold fewer entries than are covered.
        Unavailable: the disk cannot be used now.
    """

    def __init__(
        self, folder: Path, covered: int, disk: Disk, *, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._descriptor = -1  # of the last segment
        self._in_doubt = False  # bytes behind the last whole record may be on disk
        self.notice = ""
        """What was cut on opening, in words; empty if nothing was."""
        try:
            with _in_words():
                self._open(covered)
        except BaseException:
            self.close()
            raise

    def _open(self, covered: int) -> None:
        make_folder(self._disk, self._folder)
        sweep(self._disk, self._folder)
        paths = _paths(self._folder)
        size = 0
        for path in paths:
            segment, torn = _scan(path, path.read_bytes(), size)
            if torn and (path is not paths[-1] or segment.after < covered):
                raise _damaged(path, segment.end, torn)
            self._segments.append(segment)
            size = segment.after
        if size < covered:
            where = f"{paths[-1].name} ends early, at" if paths else "there is no file, at"
            raise VerificationError(
                f"the log on disk holds {size} entries, its checkpoint covers {covered}: "
                f"{where} entry {size}",
                hint=_HINT,
            )
        if self._segments:
            self._continue(self._segments[-1])

    def _continue(self, last: _Segment) -> None:
        """Open the last file for writing, without a half-written end."""
        self._descriptor = self._disk.open(last.path, os.O_RDWR)
        surplus = last.path.stat().st_size - last.end
        # Whole records may be there that only the kernel holds: their writer died before the sync.
        self._disk.fdatasync(self._descriptor)
        if surplus:
            self._cut()
            self.notice = (
                f"cut {surplus} bytes of an unfinished write from byte {last.end} of "
                f"{last.path.name}"
            )

    @property
    def size(self) -> int:
        """Entries that are durable."""
        return self._segments[-1].after if self._segments else 0

    # --- writing ----------------------------------------------------------------------------------

    def append(self, entries: Sequence[bytes]) -> int:
        """Append entries, all or none; they are on disk when this returns.

        Returns:
            The index of the first of them.

        Raises:
            DocumentError: an entry is empty or too large for the log; nothing was written.
            Unavailable: the disk is full or fails; none of them is in the log.
        """
        first = self.size
        data = b"".join(_record(first + i, entry) for i, entry in enumerate(entries))
        with _in_words():
            if self._in_doubt:
                self._cut()
            last = self._segments[-1] if self._segments else None
            if last is None or last.end >= self._segment_bytes:
                last = self._begin(first)
            self._in_doubt = True
            try:
                write_all(self._disk, self._descriptor, data, last.end)
                self._disk.fdatasync(self._descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    self._cut()  # else at the next append, before anything is written
                raise
            self._in_doubt = False
        for entry in entries:
            last.offsets.append(last.end)
            last.end += _RECORD.size + len(entry)
        return first

    def _begin(self, first: int) -> _Segment:
        """A new last file with its header, durable."""
        path = self._folder / f"{first:020d}.log"
        replace_file(self._disk, path, _header(first))
        former, self._descriptor = self._descriptor, self._disk.open(path, os.O_RDWR)
        self._segments.append(_Segment(path, first, _HEADER.size))
        if former >= 0:
            self._disk.close(former)
        return self._segments[-1]

    def _cut(self) -> None:
        """Cut what stands behind the last whole record."""
        self._disk.ftruncate(self._descriptor, self._segments[-1].end)
        self._disk.fsync(self._descriptor)
        self._in_doubt = False

    # --- reading ----------------------------------------------------------------------------------

    def read(self, start: int, limit: int, max_bytes: int | None = None) -> tuple[bytes, ...]:
        """At most ``limit`` entries from ``start`` on.

        Args:
            max_bytes: stop before the entry that passes this; the first is always there.

        Raises:
            VerificationError: a file was damaged since it was opened.
            Unavailable: the disk cannot be read now.
        """
        found: list[bytes] = []
        left = max_bytes
        while len(found) < limit and start + len(found) < self.size:
            part = self._read_in_one(start + len(found), limit - len(found), left)
            if not part:
                break
            if left is not None:
                left -= sum(map(len, part))
                if found and left < 0:
                    break
            found.extend(part)
        return tuple(found)

    def read_back(self, start: int) -> Iterator[bytes]:
        """The entries from ``start`` on as the disk has them, not the kernel's memory of them.

        Raises as :meth:`read`.
        """
        last = self._segments[-1]
        with _in_words():
            if start >= last.first:
                self._disk.forget_cached(self._descriptor, last.offset(start))
        return self.entries(start)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Entries ``start`` to ``stop`` exclusive, all by default. Raises as :meth:`read`."""
        stop = self.size if stop is None else stop
        while start < stop:
            part = self._read_in_one(start, min(4096, stop - start), None)
            yield from part
            start += len(part)

    def place(self, index: int) -> str:
        """Where an entry stands, in words."""
        segment = self._holding(index)
        return f"{segment.path.name} at byte {segment.offset(index)}"

    def _read_in_one(self, start: int, limit: int, max_bytes: int | None) -> list[bytes]:
        """Entries from ``start`` on that are in one file, at least one."""
        segment = self._holding(start)
        stop = min(start + limit, segment.after)
        if max_bytes is not None:
            fits = bisect.bisect_right(segment.offsets, segment.offset(start) + max_bytes)
            stop = max(start + 1, min(stop, segment.first + fits - 1))
        begin, end = segment.offset(start), segment.offset(stop)
        with _in_words():
            descriptor = self._disk.open(segment.path, os.O_RDONLY)
            try:
                data = read_exactly(self._disk, descriptor, end - begin, begin)
            finally:
                self._disk.close(descriptor)
        found = []
        for index in range(start, stop):
            offset = segment.offset(index) - begin
            entry = _parse_record(data, offset, index)
            if isinstance(entry, str):
                raise _damaged(segment.path, begin + offset, entry)
            found.append(entry)
        return found

    def _holding(self, index: int) -> _Segment:
        segments = self._segments
        return segments[bisect.bisect_right(segments, index, key=lambda s: s.first) - 1]

    def close(self) -> None:
        """Close the last file."""
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1


def stored_entries(folder: Path, size: int) -> Iterator[bytes]:
    """The first ``size`` entries in a folder, for one who only reads, also beside the writer.

    Raises:
        VerificationError: the files are damaged, or hold fewer.
        OSError: they cannot be read.
    """
    index = 0
    for path in _paths(folder):
        data = path.read_bytes()
        segment, torn = _scan(path, data, index)
        if torn and segment.after < size:
            raise _damaged(path, segment.end, torn)
        for offset in segment.offsets:
            if index == size:
                return
            length, _ = _RECORD.unpack_from(data, offset)
            yield data[offset + _RECORD.size : offset + _RECORD.size + length]
            index += 1
    if index < size:
        raise VerificationError(
            f"the log on disk holds {index} entries, its checkpoint covers {size}", hint=_HINT
        )


# --- the form of a file ---------------------------------------------------------------------------


class _Segment:
    """One file: where each of its entries begins, and where the last one ends."""

    __slots__ = ("end", "first", "offsets", "path")

    def __init__(self, path: Path, first: int, end: int) -> None:
        self.path = path
        self.first = first
        self.offsets = array("Q")
        self.end = end

    @property
    def after(self) -> int:
        """The index after its last entry."""
        return self.first + len(self.offsets)

    def offset(self, index: int) -> int:
        """Where the record of an entry begins; for the index after the last one, where it ends."""
        position = index - self.first
        return self.offsets[position] if position < len(self.offsets) else self.end


def _paths(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.log"))
    for path in paths:
        if not _NAME.fullmatch(path.name):
            raise VerificationError(
                f"{path.name} among the files of the log is none of them",
                hint="move the file to another folder",
            )
    return paths


def _scan(path: Path, data: bytes, first: int) -> tuple[_Segment, str]:
    """The whole records of a file, and why the bytes behind them are none; empty at its end.

    Raises:
        VerificationError: the header is damaged, or the file does not begin with entry ``first``.
    """
    if data[: _HEADER.size] != _header(first):
        if path.name != f"{first:020d}.log":
            raise VerificationError(
                f"the file of the log that begins with entry {first} is missing before {path.name}",
                hint=_HINT,
            )
        raise _damaged(path, 0, "not the header of this file")
    segment = _Segment(path, first, _HEADER.size)
    offset, index, total = segment.end, first, len(data)
    while offset < total:
        entry = _parse_record(data, offset, index)
        if isinstance(entry, str):
            return segment, entry
        segment.offsets.append(offset)
        offset += _RECORD.size + len(entry)
        segment.end = offset
        index += 1
    return segment, ""


def _header(first: int) -> bytes:
    return _HEADER.pack(_MAGIC, first, zlib.crc32(_MAGIC + first.to_bytes(8, "big")))


def _record(index: int, entry: bytes) -> bytes:
    require_entry_size(entry)
    if not entry:
        raise DocumentError("an entry of the log has at least one byte")
    return _RECORD.pack(len(entry), _checksum(index, entry)) + entry


def _checksum(index: int, entry: bytes) -> int:
    return zlib.crc32(entry, zlib.crc32(_INDEXED.pack(index, len(entry))))


def _parse_record(data: bytes, offset: int, index: int) -> bytes | str:
    """The entry of the record at ``offset``, or why there is none."""
    begin = offset + _RECORD.size
    if len(data) < begin:
        return "a record is cut short"
    length, checksum = _RECORD.unpack_from(data, offset)
    if not 0 < length <= MAX_ENTRY_BYTES:
        return f"no entry has {length} bytes"
    entry = data[begin : begin + length]
    if len(entry) < length:
        return "a record is cut short"
    if _checksum(index, entry) != checksum:
        return f"the checksum of entry {index} does not hold"
    return entry


_HINT: Final = (
    "keep this folder as it is; restore the newest whole copy of the folder log/, or freeze the "
    "log and continue in a successor: every member holds the entries that are missing here"
)


def _damaged(path: Path, offset: int, why: str) -> VerificationError:
    return VerificationError(
        f"the file {path.name} of the log is damaged at byte {offset}: {why}", hint=_HINT
    )


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"the log cannot be written or read now: {error.strerror or error}",
            hint="is the disk full, or does it fail?",
        ) from None
