"""Pieces on the coordinator's disk: blinded sets, encrypted rows and sums of runs over a join.

One *item* is one file, its pieces one after the other, so that all encrypted rows of an owner can
be mapped into memory; beside it a list says of each piece how long it is, and its SHA-256.  A piece
is there when its line in the list is: its bytes were written before.  Nothing is synced piece by
piece; whoever opens an item first after a start reads it again and keeps what fits the list, so a
torn write costs the pieces from there on.  :meth:`PieceFiles.keep` syncs an item that others will
rely on.

Files are 0600 in folders 0700, one folder for each run.  Nothing here is in the journal, whose file
keeps what is deleted until it is overwritten: erasing an item takes its files away.

Not here: who may put or get what, and what is in an item (:mod:`stayput.exchange`).
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from stayput.errors import NotYet, Unavailable
from stayput.store.disk import Disk, make_folder, read_exactly, sync_folder, write_all

_LINE: Final = struct.Struct(">Q32s")
"""Of the list: length and SHA-256 of a piece."""

_LIST: Final = ".list"

_RUN: Final = re.compile(r"[0-9a-f]{32}")


class _Piece(NamedTuple):
    offset: int
    length: int
    hash: bytes


class _Item:
    """One item; its lock is held by who reads or writes its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.list = path.with_name(path.name + _LIST)
        self.lock = threading.Lock()
        self.pieces: list[_Piece] | None = None  # not read yet

    @property
    def size(self) -> int:
        last = self.pieces[-1] if self.pieces else _Piece(0, 0, b"")
        return last.offset + last.length


class PieceFiles:
    """The items of all runs.

    Args:
        folder: made with the first piece.
        disk: the disk.

    Every method raises Unavailable if the disk cannot be used now.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or Disk()
        self._lock = threading.Lock()
        self._items: dict[tuple[bytes, str], _Item] = {}
        self._closed: set[bytes] = set()

    def put(self, run: bytes, name: str, index: int, data: bytes, *, afresh: bool = False) -> bool:
        """Add the next piece, or find it there already.

        Args:
            afresh: a first piece that is another than the one that is there begins the item anew.

        Returns:
            False if another piece is there under this index.

        Raises:
            NotYet: the pieces before it are missing, or the run's pieces are erased.
        """
        with self._opened(run, name) as item:
            assert item.pieces is not None
            digest = hashlib.sha256(data).digest()
            if index < len(item.pieces):
                if item.pieces[index].hash == digest:
                    return True
                if index or not afresh:
                    return False
                self._cut(item.list, 0)
                item.pieces.clear()
            if index > len(item.pieces) or run in self._closed:
                raise NotYet("pieces are put in order, while the run needs them")
            if not item.path.parent.is_dir():
                make_folder(self._disk, self.folder)
                make_folder(self._disk, item.path.parent)
            piece = _Piece(item.size, len(data), digest)
            self._write(item.path, data, piece.offset)
            self._write(item.list, _LINE.pack(len(data), digest), index * _LINE.size)
            item.pieces.append(piece)
            return True

    def count(self, run: bytes, name: str) -> int:
        """How many pieces of an item are there."""
        return len(self.hashes(run, name))

    def hashes(self, run: bytes, name: str) -> list[bytes]:
        """The SHA-256 of each piece, in order."""
        with self._opened(run, name) as item:
            return [piece.hash for piece in item.pieces or ()]

    def size(self, run: bytes, name: str) -> int:
        """Bytes of all pieces."""
        with self._opened(run, name) as item:
            return item.size

    def get(self, run: bytes, name: str, index: int) -> bytes:
        """One piece.

        Raises:
            NotYet: it is not there.
        """
        with self._opened(run, name) as item:
            assert item.pieces is not None
            if not 0 <= index < len(item.pieces):
                raise NotYet("this piece is not here")
            piece = item.pieces[index]
            return self._read(item.path, piece.length, piece.offset)

    def read(self, run: bytes, name: str) -> bytes:
        """All pieces, one after the other."""
        with self._opened(run, name) as item:
            return self._read(item.path, item.size, 0) if item.pieces else b""

    @contextlib.contextmanager
    def mapped(self, run: bytes, name: str) -> Iterator[memoryview]:
        """All pieces as they lie on the disk, without reading them into memory."""
        with self._opened(run, name) as item:
            size = item.size
            if not size:
                yield memoryview(b"")
                return
            descriptor = self._disk.open(item.path, os.O_RDONLY)
            try:
                found = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
            finally:
                self._disk.close(descriptor)
            with found, memoryview(found) as view:
                yield view

    def keep(self, run: bytes, name: str) -> None:
        """Make an item durable: from now on others rely on it."""
        with self._opened(run, name) as item:
            if not item.pieces:
                return
            for path in (item.path, item.list):
                descriptor = self._disk.open(path, os.O_RDONLY)
                try:
                    self._disk.fdatasync(descriptor)
                finally:
                    self._disk.close(descriptor)
            sync_folder(self._disk, item.path.parent)

    # --- erasing ----------------------------------------------------------------------------------

    def runs(self) -> list[bytes]:
        """The runs of which anything is there."""
        if not self.folder.is_dir():
            return []
        names = (path.name for path in self.folder.iterdir())
        return sorted(bytes.fromhex(name) for name in names if _RUN.fullmatch(name))

    def names(self, run: bytes) -> list[str]:
        """The items of a run of which anything is there."""
        folder = self.folder / run.hex()
        if not folder.is_dir():
            return []
        return sorted({path.name.removesuffix(_LIST) for path in folder.iterdir()})

    def opened(self, run: bytes) -> list[str]:
        """The items of a run that this process has open, or mapped into memory, erased ones too."""
        folder = f"{(self.folder / run.hex()).resolve()}/"
        found = []
        with self._in_words():
            for descriptor in os.listdir("/proc/self/fd"):
                with contextlib.suppress(FileNotFoundError):  # closed since the listing
                    found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        found += [line[line.index("/") :] for line in mapped.splitlines() if "/" in line]
        inside = {path.removeprefix(folder) for path in found if path.startswith(folder)}
        return sorted(name.removesuffix(" (deleted)").removesuffix(_LIST) for name in inside)

    def erase(self, run: bytes, keep: str = "") -> None:
        """Take away the files of a run, for good: nothing more is put for it.

        Who is reading one is waited for.

        Args:
            keep: items whose names begin so stay; none by default.
        """
        self._closed.add(run)
        with self._lock:  # before the names: a piece that is being put is in one of them
            known = {name for one, name in self._items if one == run}
        folder = self.folder / run.hex()
        for name in sorted(known | set(self.names(run))):
            if keep and name.startswith(keep):
                continue
            with self._opened(run, name, load=False) as item:
                for path in (item.path, item.list):
                    with contextlib.suppress(FileNotFoundError):
                        self._disk.unlink(path)
                item.pieces = []
        with self._in_words():
            if folder.is_dir():
                sync_folder(self._disk, folder)

    def forget(self, run: bytes) -> None:
        """Take all of a run away, its folder too."""
        self.erase(run)
        with self._in_words(), contextlib.suppress(FileNotFoundError):
            self._disk.rmdir(self.folder / run.hex())
        with self._lock:
            for key in [key for key in self._items if key[0] == run]:
                del self._items[key]

    # --- files ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, run: bytes, name: str, *, load: bool = True) -> Iterator[_Item]:
        with self._lock:
            path = self.folder / run.hex() / name
            item = self._items.setdefault((run, name), _Item(path))
        with item.lock, self._in_words():
            if load and item.pieces is None:
                item.pieces = self._verified(item)
            yield item

    def _verified(self, item: _Item) -> list[_Piece]:
        """The pieces that lie on the disk as the list says; what follows is written over."""
        pieces: list[_Piece] = []
        if not item.list.exists() or not item.path.exists():
            return pieces
        lines = self._read(item.list, item.list.stat().st_size, 0)
        offset, end = 0, item.path.stat().st_size
        for start in range(0, len(lines) - _LINE.size + 1, _LINE.size):
            length, digest = _LINE.unpack_from(lines, start)
            if length > end - offset:
                break
            data = self._read(item.path, length, offset)
            if len(data) != length or hashlib.sha256(data).digest() != digest:
                break
            pieces.append(_Piece(offset, length, digest))
            offset += length
        self._cut(item.list, len(pieces) * _LINE.size)
        self._cut(item.path, offset)
        return pieces

    def _write(self, path: Path, data: bytes, offset: int) -> None:
        descriptor = self._disk.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            write_all(self._disk, descriptor, data, offset)
        finally:
            self._disk.close(descriptor)

    def _read(self, path: Path, length: int, offset: int) -> bytes:
        descriptor = self._disk.open(path, os.O_RDONLY)
        try:
            return read_exactly(self._disk, descriptor, length, offset)
        finally:
            self._disk.close(descriptor)

    def _cut(self, path: Path, length: int) -> None:
        descriptor = self._disk.open(path, os.O_WRONLY)
        try:
            self._disk.ftruncate(descriptor, length)
        finally:
            self._disk.close(descriptor)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(
                f"pieces of a join cannot be stored now: {error.strerror or error}",
                hint="is the disk full?",
            ) from None
