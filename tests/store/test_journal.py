"""The log on disk: all of an append or nothing, and never two versions of one position."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from audit.logs import Log
from parties import Party

from stayput.errors import NotFound, StayputError, VerificationError
from stayput.replica import Replica
from stayput.store.journal import Journal, MemoryMirror


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def test_entries_come_back_exactly_and_in_order(journal: Journal) -> None:
    entries = tuple(bytes([i]) * (i + 1) for i in range(20))
    journal.append(0, entries[:7], b"checkpoint 7")
    journal.append(7, entries[7:], b"checkpoint 20", {("order", b"run"): b"order"})
    assert tuple(journal.entries()) == entries
    assert journal.read(5, 4) == entries[5:9]
    assert journal.checkpoint() == b"checkpoint 20"
    assert journal.get("order", b"run") == b"order"


def test_a_gap_or_another_entry_at_a_position_is_refused_and_changes_nothing(
    journal: Journal,
) -> None:
    journal.append(0, (b"a", b"b"), b"checkpoint 2")
    for start, entries in ((3, (b"d",)), (1, (b"x",)), (0, (b"a", b"x", b"c"))):
        with pytest.raises(VerificationError):
            journal.append(start, entries, b"checkpoint x", {("order", b"k"): b"v"})
    assert tuple(journal.entries()) == (b"a", b"b")
    assert journal.checkpoint() == b"checkpoint 2"
    assert journal.find("order", b"k") is None


def test_two_commands_may_bring_one_mirror_forward_at_once(tmp_path: Path) -> None:
    fast, slow = Journal(tmp_path / "journal.db"), Journal(tmp_path / "journal.db")
    fast.append(0, (b"a", b"b", b"c"), b"checkpoint 3")
    slow.append(0, (b"a", b"b"), b"checkpoint 2")
    assert tuple(slow.entries()) == (b"a", b"b", b"c")
    assert fast.checkpoint() == b"checkpoint 3"
    fast.close()
    slow.close()


def test_entries_and_checkpoint_are_read_of_one_moment(tmp_path: Path) -> None:
    """Another command of the same party appends while this one loads its copy."""
    journal, other = Journal(tmp_path / "journal.db"), Journal(tmp_path / "journal.db")
    journal.append(0, (b"0",), b"1")
    done = threading.Event()

    def append() -> None:
        for size in range(1, 120):
            other.append(size, (b"%d" % size,), b"%d" % (size + 1))
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    while not done.is_set():
        entries, checkpoint = journal.load()
        assert checkpoint == b"%d" % len(entries)
    thread.join()
    journal.close()
    other.close()


def test_the_first_document_under_a_key_stays(journal: Journal) -> None:
    journal.put("result", b"run", b"first")
    journal.put("result", b"run", b"second")
    assert journal.get("result", b"run") == b"first"


def test_documents_are_forgotten_by_kind_and_prefix(journal: Journal) -> None:
    journal.put_all(
        {("sum", b"run1\x01"): b"1", ("sum", b"run1\x02"): b"2", ("sum", b"run2"): b"3"}
    )
    journal.put("order", b"run1", b"order")
    journal.forget("sum", b"run1")
    assert journal.keys("sum") == (b"run2",)
    assert journal.find("order", b"run1") == b"order"
    with pytest.raises(NotFound):
        journal.get("sum", b"run1\x01")


def test_a_memory_mirror_has_no_gaps_either() -> None:
    mirror = MemoryMirror((b"a",), b"checkpoint 1")
    mirror.append(1, (b"b",), b"checkpoint 2")
    with pytest.raises(VerificationError):
        mirror.append(3, (b"d",), b"checkpoint 4")
    assert tuple(mirror.entries()) == (b"a", b"b")


# --- every byte of a party's own copy -------------------------------------------------------------


def test_a_flipped_byte_changes_nothing_or_is_found_and_the_file_named(
    consortium: Party, tmp_path: Path
) -> None:
    """A database has bytes that mean nothing; no flip makes a party believe another log."""
    log = Log(consortium)
    log.run(log.sealed())
    path = tmp_path / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        journal.append(0, tuple(log.entries), log.note(holders=[]))
    sound = path.read_bytes()
    said = []
    for position in range(0, len(sound), 331):
        bent = bytearray(sound)
        bent[position] ^= 1 << (position % 8)
        path.write_bytes(bent)
        try:
            with contextlib.closing(Journal(path)) as journal:
                replica = Replica(consortium.members, journal)
        except StayputError as error:
            said.append(error.message + error.hint)
        else:
            assert replica.entries == log.entries, position
            assert replica.checkpoint == log.note(holders=[]), position
        for left in tmp_path.glob("journal.db-*"):
            left.unlink()
    assert len(said) > 50
    assert all("journal.db" in one for one in said)
