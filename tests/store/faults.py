"""Disks that fail, and what is left of a folder after the power is cut.

:class:`FaultyDisk` passes everything on to the real file system and, at one call, fails as a disk
does (full, input/output error, a write that takes only half) or is the last thing the process ever
called (:class:`Death`).

It also remembers what POSIX promises to be there after a power cut: of a file the bytes at its last
sync, of a folder the names at its last sync.  :meth:`FaultyDisk.remains` makes folders of what may
be left: everything (only the process died), nothing but what was promised, and mixtures.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from stayput.store.disk import Disk


class Death(BaseException):
    """The process is gone."""


FAULTS = {
    "full": errno.ENOSPC,
    "broken": errno.EIO,
    "short": errno.ENOSPC,  # after half of the bytes
    "dies before": None,
    "dies after": None,
}
"""What happens at the chosen call; a number is that of an OSError."""


class QuickDisk(Disk):
    """Syncs nothing: for what is looked at and thrown away."""

    def fdatasync(self, descriptor: int) -> None:
        pass

    def fsync(self, descriptor: int) -> None:
        pass


class FaultyDisk(Disk):
    """A disk under ``root`` with one fault.

    Args:
        root: what a power cut is simulated for; it exists.
        at: the number of the call that fails, from 0; none by default.
        fault: one of :data:`FAULTS`.
        lasting: every call from ``at`` on fails, not only that one.
    """

    def __init__(
        self, root: Path, at: int = -1, fault: str = "broken", *, lasting: bool = False
    ) -> None:
        self.root = root
        self.calls: list[str] = []
        self._at = at
        self._fault = fault
        self._lasting = lasting
        self._open: dict[int, Path] = {}
        self._durable: dict[int, bytes] = {}  # by inode
        self._names: dict[Path, dict[str, int]] = {}  # of a folder, durably
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder) / name
                self._durable[path.stat().st_ino] = path.read_bytes()
            self._note_names(Path(folder))

    def heal(self) -> None:
        """From now on nothing fails."""
        self._at = -1

    # --- calls that change something --------------------------------------------------------------

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        writing = flags & (os.O_WRONLY | os.O_RDWR)
        if writing:
            self._before(f"open {path.name}")
        fresh = not path.exists()
        descriptor = super().open(path, flags, mode)
        self._open[descriptor] = path
        if fresh or flags & os.O_TRUNC:
            self._durable[os.fstat(descriptor).st_ino] = b""
        if writing:
            self._after()
        return descriptor

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        number = len(self.calls)
        if self._fault == "short" and self._strikes(number):
            half = bytes(data)[: len(data) // 2]
            if half:
                super().pwrite(descriptor, half, offset)
        self._before(f"pwrite {self._open[descriptor].name}")
        written = super().pwrite(descriptor, data, offset)
        self._after()
        return written

    def fdatasync(self, descriptor: int) -> None:
        self._before(f"fdatasync {self._open[descriptor].name}")  # it is remembered, not done
        self._note_sync(descriptor)
        self._after()

    def fsync(self, descriptor: int) -> None:
        self._before(f"fsync {self._open[descriptor].name}")
        self._note_sync(descriptor)
        self._after()

    def ftruncate(self, descriptor: int, length: int) -> None:
        self._before(f"ftruncate {self._open[descriptor].name}")
        super().ftruncate(descriptor, length)
        self._after()

    def fchmod(self, descriptor: int, mode: int) -> None:
        self._before(f"fchmod {self._open[descriptor].name}")
        super().fchmod(descriptor, mode)
        self._after()

    def rename(self, source: Path, target: Path) -> None:
        self._before(f"rename {target.name}")
        super().rename(source, target)
        self._after()

    def unlink(self, path: Path) -> None:
        self._before(f"unlink {path.name}")
        super().unlink(path)
        self._after()

    def rmdir(self, path: Path) -> None:
        self._before(f"rmdir {path.name}")
        super().rmdir(path)
        self._after()

    def mkdir(self, path: Path, mode: int) -> None:
        self._before(f"mkdir {path.name}")
        super().mkdir(path, mode)
        self._names[path] = {}
        self._after()

    def _strikes(self, number: int) -> bool:
        return number == self._at or (self._lasting and 0 <= self._at <= number)

    def _before(self, call: str) -> None:
        self.calls.append(call)
        if not self._strikes(len(self.calls) - 1):
            return
        code = FAULTS[self._fault]
        if code is not None:
            raise OSError(code, os.strerror(code))
        if self._fault == "dies before":
            raise Death

    def _after(self) -> None:
        if self._fault == "dies after" and self._strikes(len(self.calls) - 1):
            raise Death

    # --- what a power cut leaves ------------------------------------------------------------------

    def _note_sync(self, descriptor: int) -> None:
        path = self._open[descriptor]
        if path.is_dir():
            self._note_names(path)
            return
        self._durable[os.fstat(descriptor).st_ino] = path.read_bytes()

    def _note_names(self, folder: Path) -> None:
        self._names[folder] = {path.name: path.stat().st_ino for path in folder.iterdir()}

    def remains(self, target: Path) -> Iterator[tuple[str, Path]]:
        """What may be left of the root when the power goes now, each in a new folder."""
        shutil.rmtree(target, ignore_errors=True)
        yield "all of it", shutil.copytree(self.root, target / "all")
        for name, tail in _TAILS.items():
            made = target / name.replace(" ", "-")
            self._rebuild(self.root, made, tail, promised_names=name == "only what was promised")
            yield name, made

    def _rebuild(self, folder: Path, made: Path, tail: str, *, promised_names: bool) -> None:
        made.mkdir(parents=True)
        made.chmod(0o700)
        promised = self._names.get(folder, {})
        present = {path.name: path for path in folder.iterdir()}
        inodes = {path.stat().st_ino: path for path in present.values()}
        for name in promised if promised_names else present:
            path = inodes.get(promised[name]) if promised_names else present[name]
            if path is not None and path.is_dir():
                self._rebuild(path, made / name, tail, promised_names=promised_names)
                continue
            inode = promised[name] if promised_names else present[name].stat().st_ino
            kept = self._durable.get(inode, b"")
            now = path.read_bytes() if path is not None else kept
            (made / name).write_bytes(_torn(kept, now, tail))


_TAILS = {
    "only what was promised": "",
    "names without contents": "",
    "half of the new bytes": "half",
    "zeroes for the new bytes": "zeroes",
    "junk for the new bytes": "junk",
}


def _torn(kept: bytes, now: bytes, tail: str) -> bytes:
    """A file of which ``kept`` is promised while the kernel held ``now``."""
    if not now.startswith(kept) or len(now) == len(kept):
        return kept
    fresh = now[len(kept) :]
    torn = {
        "": b"",
        "half": fresh[: len(fresh) // 2],
        "zeroes": bytes(len(fresh)),
        "junk": b"\xa5" * len(fresh),
    }
    return kept + torn[tail]
