"""The public folder: checkpoint, tiles and entry bundles (C2SP tlog-tiles) for any web server.

Everything here is derived from the entries and may be thrown away: opening compares each file with
what it has to be and writes what is missing or wrong again.  For the same reason nothing is synced.
A full tile is written once; a partial one lies beside it until the full one is there.  The
checkpoint is written last, so a reader finds every tile that it needs.

Files are 0644 and folders 0755, in a private parent: nobody else can read them until the operator
lets a web server into this one folder, on purpose.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stayput.errors import NotFound, Unavailable
from stayput.store.disk import Disk, make_folder, replace_file
from stayput.tlog import merkle
from stayput.tlog.tiles import ENTRIES, TILE_WIDTH, TileEdge, TileId, encode_entry_bundle

PUBLIC_FILE: Final = 0o644
PUBLIC_FOLDER: Final = 0o755
CHECKPOINT: Final = "checkpoint"


class TileFiles:
    """The public folder of a log.

    Args:
        folder: made if it is not there.
        disk: the disk.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._folders: set[Path] = set()
        self._start()

    def _start(self) -> None:
        self._edge = TileEdge()
        self._bundle: list[bytes] = []  # entries after the last full bundle

    @property
    def size(self) -> int:
        """Entries under the tiles."""
        return self._edge.size

    def rebuild(self, entries: Iterable[bytes], checkpoint: bytes) -> tuple[str, ...]:
        """Make the folder what it has to be for a whole log.

        Returns:
            The paths that were missing, wrong or of no log, below a folder that was there; all are
            mended. (Partial tiles of a smaller tree go without a word.)

        Raises:
            Unavailable: the disk cannot be used now.
        """
        self._start()
        is_new = not self._folder.exists()
        mended: list[str] = []
        expected: set[Path] = set()
        try:
            for path, data in self._files(entries, checkpoint):
                expected.add(path)
                if not _holds(path, data):
                    mended.append(str(path.relative_to(self._folder)))
                    self._write(path, data)
            for path in self._surplus(expected):
                if path.parent.suffix != ".p":
                    mended.append(str(path.relative_to(self._folder)))
                self._disk.unlink(path)
        except OSError as error:
            raise _unavailable(error) from None
        return () if is_new else tuple(mended)

    def extend(self, entries: Iterable[bytes], checkpoint: bytes) -> None:
        """Bring tiles and bundles forward by the entries from :attr:`size` on, then the checkpoint.

        Raises:
            Unavailable: the disk cannot be used now; call :meth:`rebuild` before the next time.
        """
        try:
            for path, data in self._files(entries, checkpoint):
                self._write(path, data)
        except OSError as error:
            raise _unavailable(error) from None

    def read(self, path: str) -> bytes:
        """The file at a path that was parsed, so that it can be no other than one of ours.

        Raises:
            NotFound: there is none.
            Unavailable: the disk cannot be read now.
        """
        try:
            return (self._folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("the log has no such tile") from None
        except OSError as error:
            raise _unavailable(error) from None

    # --- making -----------------------------------------------------------------------------------

    def _files(self, entries: Iterable[bytes], checkpoint: bytes) -> Iterator[tuple[Path, bytes]]:
        """Every file that these further entries change, the checkpoint last."""
        for entry in entries:
            self._bundle.append(entry)
            full = self._edge.append(merkle.leaf_hash(entry))
            if len(self._bundle) == TILE_WIDTH:
                bundle, self._bundle = self._bundle, []
                index = self._edge.size // TILE_WIDTH - 1
                full.append((TileId(ENTRIES, index), encode_entry_bundle(bundle)))
            for tile, data in full:
                yield self._folder / tile.path, data
                self._drop_partial(tile)
        for tile, data in self._edge.partial_tiles():
            yield self._folder / tile.path, data
        if self._bundle:
            tile = TileId(ENTRIES, self._edge.size // TILE_WIDTH, len(self._bundle))
            yield self._folder / tile.path, encode_entry_bundle(self._bundle)
        yield self._folder / CHECKPOINT, checkpoint

    def _drop_partial(self, tile: TileId) -> None:
        """The full tile is there: what led up to it is of no use any more."""
        path = self._folder / tile.path
        folder = path.with_name(path.name + ".p")
        if folder.is_dir():
            for partial in folder.iterdir():
                self._disk.unlink(partial)
            self._disk.rmdir(folder)
            self._folders.discard(folder)

    def _write(self, path: Path, data: bytes) -> None:
        self._make_folders(path.parent)
        replace_file(self._disk, path, data, mode=PUBLIC_FILE, durable=False)

    def _make_folders(self, path: Path) -> None:
        if path in self._folders:
            return
        if path != self._folder:
            self._make_folders(path.parent)
        make_folder(self._disk, path, PUBLIC_FOLDER)
        self._folders.add(path)

    def _surplus(self, expected: set[Path]) -> Iterator[Path]:
        """Files below the folder that no log of this size has. Other people's files stay."""
        tiles = self._folder / "tile"
        for parent, _, names in os.walk(tiles):
            for name in names:
                path = Path(parent) / name
                if path not in expected:
                    yield path


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except (FileNotFoundError, NotADirectoryError):
        return False


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(
        f"the public folder of the log cannot be used now: {error.strerror or error}",
        hint="is the disk full, or does it fail?",
    )
