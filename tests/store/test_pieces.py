"""Pieces on a disk that is full, that errs, whose process dies, whose power is cut."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from store.faults import FAULTS, Death, FaultyDisk

from stayput.errors import NotYet, Unavailable
from stayput.store.pieces import PieceFiles

RUN, OTHER = b"r" * 16, b"o" * 16
PIECES = (b"a" * 300, b"b" * 300, b"", b"c" * 7)
KEPT = 2
"""So many are there before the item is kept."""


def told(files: PieceFiles) -> int:
    """Put all pieces; how many steps were acknowledged before something failed."""
    acknowledged = 0
    try:
        for index, piece in enumerate(PIECES):
            assert files.put(RUN, "rows-0", index, piece)
            acknowledged += 1
            if index + 1 == KEPT:
                files.keep(RUN, "rows-0")
                acknowledged += 1
    except (Unavailable, Death):
        pass
    return acknowledged


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_no_piece_is_another_and_kept_ones_stay(tmp_path: Path, fault: str) -> None:
    for at in range(100):
        root = tmp_path / f"home {at}"
        root.mkdir(mode=0o700)
        disk = FaultyDisk(root, at, fault)
        acknowledged = told(PieceFiles(root / "joins", disk))
        for left, folder in disk.remains(tmp_path / f"left {at}"):
            files = PieceFiles(folder / "joins")
            count = files.count(RUN, "rows-0")
            assert [files.get(RUN, "rows-0", i) for i in range(count)] == list(PIECES[:count]), left
            if acknowledged > KEPT:
                assert count >= KEPT, left
            if left == "all of it":
                assert count >= acknowledged - (acknowledged > KEPT)
            assert told(files) == len(PIECES) + 1, left  # and it goes on
            assert files.read(RUN, "rows-0") == b"".join(PIECES), left
        if acknowledged == len(PIECES) + 1:
            return
    raise AssertionError("nothing comes to an end")


def test_a_full_disk_refuses_and_goes_on_later(tmp_path: Path) -> None:
    for at in range(2, 8):
        root = tmp_path / str(at)
        root.mkdir()
        disk = FaultyDisk(root, at, "short", lasting=True)
        files = PieceFiles(root / "joins", disk)
        assert told(files) < len(PIECES)
        with pytest.raises(Unavailable):
            files.put(RUN, "rows-1", 0, b"data")
        disk.heal()
        assert told(files) == len(PIECES) + 1
        assert files.read(RUN, "rows-0") == b"".join(PIECES)


def test_pieces_come_in_order_and_are_not_replaced(tmp_path: Path) -> None:
    files = PieceFiles(tmp_path / "joins")
    with pytest.raises(NotYet):
        files.put(RUN, "sums-0", 1, b"second")
    assert files.put(RUN, "sums-0", 0, b"first")
    assert files.put(RUN, "sums-0", 0, b"first")
    assert not files.put(RUN, "sums-0", 0, b"another")
    files.put(RUN, "rows-0", 0, b"first")
    files.put(RUN, "rows-0", 1, b"second")
    assert not files.put(RUN, "rows-0", 1, b"other", afresh=True)
    assert files.put(RUN, "rows-0", 0, b"first", afresh=True)
    assert files.count(RUN, "rows-0") == 2
    assert files.put(RUN, "rows-0", 0, b"new", afresh=True)
    for again in (files, PieceFiles(tmp_path / "joins")):
        assert again.read(RUN, "rows-0") == b"new"
    assert files.put(OTHER, "sums-0", 0, b"another")
    assert files.hashes(RUN, "sums-0") == [hashlib.sha256(b"first").digest()]
    for index in (1, -1):
        with pytest.raises(NotYet):
            files.get(RUN, "sums-0", index)
    with files.mapped(RUN, "sums-0") as view:
        assert bytes(view) == b"first"
        assert files.opened(RUN) == ["sums-0"]
    with files.mapped(RUN, "none") as view:
        assert len(view) == 0
    assert files.opened(RUN) == []


def test_erasing_waits_for_who_reads_and_nothing_comes_after_it(tmp_path: Path) -> None:
    files = PieceFiles(tmp_path / "joins")
    for name in ("rows-0", "set-a-0", "sums-0"):
        files.put(RUN, name, 0, b"data")
    files.put(OTHER, "rows-0", 0, b"data")
    erased = threading.Event()

    def erase() -> None:
        files.erase(RUN, keep="sums")
        erased.set()

    with files.mapped(RUN, "rows-0") as view:
        thread = threading.Thread(target=erase)
        thread.start()
        assert not erased.wait(0.05)
        assert bytes(view) == b"data"
    thread.join()
    assert files.names(RUN) == ["sums-0"]
    assert sorted(os.listdir(tmp_path / "joins" / RUN.hex())) == ["sums-0", "sums-0.list"]
    for name in ("rows-0", "rows-1", "set-a-0"):
        assert files.count(RUN, name) == 0
        with pytest.raises(NotYet):
            files.put(RUN, name, 0, b"data")
    assert files.get(RUN, "sums-0", 0) == b"data"
    files.forget(RUN)
    assert files.runs() == [OTHER]
    assert files.names(RUN) == []
    files.forget(RUN)


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    files = PieceFiles(tmp_path / "joins")
    files.put(RUN, "rows-0", 0, b"data")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    (tmp_path / "joins" / RUN.hex() / "rows-1").symlink_to(elsewhere)
    with pytest.raises(Unavailable):
        files.put(RUN, "rows-1", 0, b"data")
    assert elsewhere.read_bytes() == b"mine"
