"""Cosigned checkpoints: for a size of the log the note with everybody's lines, one file each.

A file is the signed note itself (C2SP), under its size as name, replaced as a whole.  What a line
is worth is judged by :mod:`stayput.sequencer`, which verifies each before it is stored and again
when it is loaded; these files cannot be derived from anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stayput.errors import DocumentError, Unavailable, VerificationError
from stayput.store.disk import Disk, make_folder, replace_files, sweep
from stayput.tlog.merkle import MAX_SIZE
from stayput.tlog.note import parse_decimal

_KIND: Final = ".note"


class NoteFiles:
    """The folder of cosigned notes.

    Args:
        folder: made if it is not there.
        disk: the disk.

    Raises:
        Unavailable: the disk cannot be used now.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        try:
            make_folder(disk, folder)
            sweep(disk, folder)
        except OSError as error:
            raise _unavailable(error) from None

    def files(self) -> dict[int, Path]:
        """The files by size of the log, in order.

        Raises:
            VerificationError: a file whose name is no size.
        """
        sized = []
        for path in self._folder.glob("*" + _KIND):
            try:
                sized.append((parse_decimal(path.name.removesuffix(_KIND), MAX_SIZE), path))
            except DocumentError:
                raise VerificationError(
                    f"{path.name} among the cosigned checkpoints is none of them",
                    hint="move the file to another folder",
                ) from None
        return dict(sorted(sized))

    def put(self, notes: Mapping[int, bytes]) -> None:
        """Store notes by size, durably, in the place of those before. Raises Unavailable."""
        try:
            replace_files(self._disk, {self._path(size): note for size, note in notes.items()})
        except OSError as error:
            raise _unavailable(error) from None

    def drop(self, size: int) -> None:
        """Remove the note of a size. Raises Unavailable."""
        try:
            self._disk.unlink(self._path(size))
        except OSError as error:
            raise _unavailable(error) from None

    def _path(self, size: int) -> Path:
        return self._folder / f"{size}{_KIND}"


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(
        f"the cosigned checkpoints cannot be stored now: {error.strerror or error}",
        hint="is the disk full, or does it fail?",
    )
