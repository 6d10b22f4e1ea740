"""The disk under the log: the few calls of the operating system that durability rests on.

One narrow object, so that tests can put a disk in its place that is full, that errs, or that is the
last thing a process ever called.  It decides nothing: which write must be durable before which
answer is said by its callers (:mod:`stayput.store.segments`, :mod:`stayput.sequencer`).

Symbolic links are not followed when a file is opened: a log is where it says it is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

_NEW = ".new"
"""What a file is called until all of it is there."""


class Disk:
    """The operating system's calls, by their own names; each raises OSError."""

    def open(self, path: Path, flags: int, mode: int = PRIVATE_FILE) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """May write less than all of ``data``; returns how much."""
        return os.pwrite(descriptor, data, offset)

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        return os.pread(descriptor, length, offset)

    def fdatasync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def ftruncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)

    def fchmod(self, descriptor: int, mode: int) -> None:
        os.fchmod(descriptor, mode)

    def forget_cached(self, descriptor: int, offset: int) -> None:
        """Ask the kernel to drop its copy from ``offset`` on: the next read comes from the disk."""
        os.posix_fadvise(descriptor, offset & ~4095, 0, os.POSIX_FADV_DONTNEED)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def rmdir(self, path: Path) -> None:
        path.rmdir()

    def mkdir(self, path: Path, mode: int) -> None:
        path.mkdir(mode)
        path.chmod(mode)  # whatever the umask


def write_all(disk: Disk, descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``, however often the system takes only a part. OSError."""
    view = memoryview(data)
    while view:
        written = disk.pwrite(descriptor, view, offset)
        if written <= 0:
            raise OSError("a write wrote nothing")
        view, offset = view[written:], offset + written


def read_exactly(disk: Disk, descriptor: int, length: int, offset: int) -> bytes:
    """The ``length`` bytes at ``offset``; fewer only at the end of the file. OSError."""
    parts = []
    while length and (part := disk.pread(descriptor, length, offset)):
        parts.append(part)
        length, offset = length - len(part), offset + len(part)
    return b"".join(parts)


def make_folder(disk: Disk, path: Path, mode: int = PRIVATE_FOLDER) -> None:
    """Make a folder if it is not there; either way its name is durable afterwards. OSError.

    Also one that is there may have been made a moment ago by a call that failed before the sync.
    """
    if not path.is_dir():
        disk.mkdir(path, mode)
    sync_folder(disk, path.parent)


def sync_folder(disk: Disk, path: Path) -> None:
    """Make durable which files a folder has. OSError."""
    descriptor = disk.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)


def replace_file(
    disk: Disk, path: Path, data: bytes, *, mode: int = PRIVATE_FILE, durable: bool = True
) -> None:
    """Put ``data`` in the place of a file: whoever looks sees all of the old or all of the new.

    Written under another name, synced, renamed, and the folder synced.

    Args:
        durable: false for what is derived from other files and rebuilt at the next start.

    Raises:
        OSError: it is not known which of the two is there after a power cut.
    """
    replace_files(disk, {path: data}, mode=mode, durable=durable)


def replace_files(
    disk: Disk, files: Mapping[Path, bytes], *, mode: int = PRIVATE_FILE, durable: bool = True
) -> None:
    """:func:`replace_file` for several files of one folder, which is synced once.

    Raises:
        OSError: it is not known of any of them.
    """
    temporary = {path: path.with_name(path.name + _NEW) for path in files}
    try:
        for path, data in files.items():
            _write_new(disk, temporary[path], data, mode, durable)
        for path in files:
            disk.rename(temporary[path], path)
    except OSError:
        for path in temporary.values():
            with contextlib.suppress(OSError):
                disk.unlink(path)
        raise
    if durable:
        for folder in {path.parent for path in files}:
            sync_folder(disk, folder)


def _write_new(disk: Disk, path: Path, data: bytes, mode: int, durable: bool) -> None:
    descriptor = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        if mode != PRIVATE_FILE:
            disk.fchmod(descriptor, mode)
        write_all(disk, descriptor, data, 0)
        if durable:
            disk.fsync(descriptor)
    finally:
        disk.close(descriptor)


def sweep(disk: Disk, folder: Path) -> None:
    """Remove what an interrupted :func:`replace_file` left in a folder. OSError.

    The names that it finds are durable afterwards: a process that died between renaming and syncing
    left one that nobody promised, and whoever opens the folder next would build on it.
    """
    for path in folder.glob("*" + _NEW):
        disk.unlink(path)
    sync_folder(disk, folder)
