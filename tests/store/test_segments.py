"""Segments: what was acknowledged is there after anything; damage is named, never served."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store.faults import FAULTS, Death, FaultyDisk

from stayput.errors import DocumentError, Unavailable, VerificationError
from stayput.store.disk import Disk
from stayput.store.segments import Segments, stored_entries

FIRST = "00000000000000000000.log"
HEADER = 28


def opened(folder: Path, covered: int = 0, disk: Disk | None = None, size: int = 100) -> Segments:
    return Segments(folder, covered, disk or Disk(), segment_bytes=size)


def entry(number: int) -> bytes:
    return b"entry %d " % number * (1 + number % 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "segments"


@pytest.fixture
def filled(folder: Path) -> Path:
    """Twelve entries in several files, appended in batches."""
    with_files = opened(folder)
    for start, stop in ((0, 1), (1, 5), (5, 6), (6, 11), (11, 12)):
        assert with_files.append([entry(i) for i in range(start, stop)]) == start
    with_files.close()
    assert len(list(folder.iterdir())) > 2
    return folder


# --- appending and reading ------------------------------------------------------------------------


def test_entries_come_back_exactly_and_in_order(filled: Path) -> None:
    segments = opened(filled, 12)
    everything = [entry(i) for i in range(12)]
    assert segments.size == 12
    assert segments.notice == ""
    assert list(segments.entries()) == everything
    assert list(segments.read_back(3)) == everything[3:]
    assert list(segments.entries(2, 7)) == everything[2:7]
    for start in range(13):
        for limit in range(13):
            assert list(segments.read(start, limit)) == everything[start : start + limit]
    assert list(stored_entries(filled, 12)) == everything
    assert list(stored_entries(filled, 5)) == everything[:5]
    segments.close()


def test_a_page_has_at_least_one_entry_and_not_more_bytes_than_asked_for(filled: Path) -> None:
    segments = opened(filled, 12)
    for start in range(12):
        for room in range(0, 400, 7):
            page = segments.read(start, 100, room)
            assert page == tuple(entry(start + i) for i in range(len(page)))
            assert len(page) == 1 or sum(map(len, page)) <= room
    segments.close()


def test_the_form_of_a_file_is_what_the_module_says(folder: Path) -> None:
    """Written down once more, by hand: what is on disks now must be readable later."""
    segments = opened(folder)
    segments.append([b"abc", b"\x00\xff"])
    segments.close()
    magic = b"stayput log v1\r\n"
    head = magic + struct.pack(">QI", 0, zlib.crc32(magic + bytes(8)))
    records = b"".join(
        struct.pack(">II", len(one), zlib.crc32(struct.pack(">QI", index, len(one)) + one)) + one
        for index, one in enumerate((b"abc", b"\x00\xff"))
    )
    assert (folder / FIRST).read_bytes() == head + records


def test_files_are_for_their_owner_alone(filled: Path) -> None:
    assert stat.S_IMODE(filled.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in filled.iterdir()} == {0o600}


@pytest.mark.parametrize("size", [1, 65_535])
def test_the_smallest_and_the_largest_entry(folder: Path, size: int) -> None:
    segments = opened(folder)
    segments.append([b"x" * size])
    segments.close()
    assert list(opened(folder, 1).entries()) == [b"x" * size]


@pytest.mark.parametrize("size", [0, 65_536])
def test_an_entry_that_fits_no_record_is_refused_with_all_of_its_batch(
    folder: Path, size: int
) -> None:
    segments = opened(folder)
    with pytest.raises(DocumentError):
        segments.append([b"good", b"x" * size])
    assert segments.size == 0
    assert segments.append([b"good"]) == 0
    segments.close()


@given(batches=st.lists(st.lists(st.binary(min_size=1, max_size=90), min_size=1), max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_is_appended_is_there_when_opened_again(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("log") / "segments"
    everything: list[bytes] = []
    for batch in batches:
        segments = opened(folder, len(everything), size=150)
        assert segments.append(batch) == len(everything)
        everything += batch
        segments.close()
    segments = opened(folder, len(everything), size=150)
    assert list(segments.entries()) == everything
    segments.close()


# --- damage ---------------------------------------------------------------------------------------


def test_every_flipped_byte_of_every_file_is_found_and_its_file_named(filled: Path) -> None:
    for path in sorted(filled.iterdir()):
        sound = path.read_bytes()
        for position in range(len(sound)):
            bent = bytearray(sound)
            bent[position] ^= 1 << (position % 8)
            path.write_bytes(bent)
            with pytest.raises(VerificationError, match=path.name) as caught:
                opened(filled, 12)
            assert caught.value.hint
        path.write_bytes(sound)
    assert opened(filled, 12).size == 12


def test_damage_is_said_with_the_byte_where_its_record_begins(filled: Path) -> None:
    path = filled / FIRST
    bent = bytearray(path.read_bytes())
    second = HEADER + 8 + len(entry(0))
    bent[second + 9] ^= 1
    path.write_bytes(bent)
    with pytest.raises(VerificationError, match=f"{FIRST} .* damaged at byte {second}: .* entry 1"):
        opened(filled, 12)


def test_damage_while_the_log_is_open_is_found_on_reading(filled: Path) -> None:
    segments = opened(filled, 12)
    path = filled / FIRST
    bent = bytearray(path.read_bytes())
    bent[HEADER + 10] ^= 1
    path.write_bytes(bent)
    with pytest.raises(VerificationError, match=f"{FIRST} .* damaged at byte {HEADER}"):
        segments.read(0, 3)
    segments.close()


def test_a_missing_file_and_two_that_changed_places(filled: Path) -> None:
    paths = sorted(filled.iterdir())
    assert len(paths) >= 3
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(VerificationError):
            opened(filled, 12)
        path.write_bytes(content)
    first, second = (path.read_bytes() for path in paths[:2])
    paths[0].write_bytes(second)
    paths[1].write_bytes(first)
    with pytest.raises(VerificationError, match=paths[0].name):
        opened(filled, 12)


def test_records_that_changed_places_are_found(folder: Path) -> None:
    segments = opened(folder)
    segments.append([b"first", b"other"])
    segments.close()
    path = folder / FIRST
    data = path.read_bytes()
    middle = HEADER + 8 + 5
    path.write_bytes(data[:HEADER] + data[middle:] + data[HEADER:middle])
    with pytest.raises(VerificationError, match="checksum of entry 0"):
        opened(folder, 2)


def test_a_foreign_file_among_them_is_named(filled: Path) -> None:
    (filled / "copy.log").write_bytes(b"")
    with pytest.raises(VerificationError, match=r"copy\.log"):
        opened(filled, 12)


def test_fewer_entries_than_the_checkpoint_covers(filled: Path) -> None:
    with pytest.raises(VerificationError, match="holds 12 entries, its checkpoint covers 13"):
        opened(filled, 13)
    with pytest.raises(VerificationError, match="holds 12 entries, its checkpoint covers 13"):
        list(stored_entries(filled, 13))


def test_a_link_in_the_place_of_a_file_is_not_followed(filled: Path, tmp_path: Path) -> None:
    last = sorted(filled.iterdir())[-1]
    moved = last.rename(tmp_path / "elsewhere")
    last.symlink_to(moved)
    with pytest.raises(Unavailable):
        opened(filled, 12)


# --- torn tails -----------------------------------------------------------------------------------


def last_batch(folder: Path) -> tuple[Path, int]:
    """Three entries that a checkpoint covers, two that none does: the file, where those begin."""
    segments = opened(folder, size=10_000)
    segments.append([entry(0), entry(1), entry(2)])
    path = folder / FIRST
    covered = path.stat().st_size
    segments.append([entry(3), entry(7)])
    segments.close()
    return path, covered


def tails(sound: bytes, covered: int) -> Iterator[bytes]:
    """Torn, zeroed and junk tails of every length behind what is covered."""
    for end in range(covered, len(sound)):
        yield sound[:end]
        yield sound[:end] + bytes(len(sound) - end)
        yield sound[:end] + bytes(5000)
        yield sound[:end] + b"\xa5" * (len(sound) - end)


def test_torn_and_zeroed_tails_of_every_length_are_cut_and_said(folder: Path) -> None:
    path, covered = last_batch(folder)
    sound = path.read_bytes()
    third = covered + 8 + len(entry(3))
    cut = 0
    for torn in tails(sound, covered):
        path.write_bytes(torn)
        segments = opened(folder, 3, size=10_000)
        whole = 4 if torn[:third] == sound[:third] else 3
        assert list(segments.entries()) == [entry(i) for i in range(whole)]
        end = third if whole == 4 else covered
        assert path.stat().st_size == end
        if len(torn) > end:
            cut += 1
            assert f"{len(torn) - end} bytes" in segments.notice
            assert FIRST in segments.notice
        assert segments.append([b"next"]) == whole
        segments.close()
        assert list(stored_entries(folder, whole + 1))[-1] == b"next"
    assert cut > 300


def test_a_torn_tail_of_what_was_acknowledged_is_damage(folder: Path) -> None:
    path, covered = last_batch(folder)
    sound = path.read_bytes()
    for torn in tails(sound, covered):
        path.write_bytes(torn)
        with pytest.raises(VerificationError, match=r"damaged at byte|holds \d entries"):
            opened(folder, 5, size=10_000)
        assert path.read_bytes() == torn, "nothing is cut that somebody was told of"


def test_a_torn_record_before_a_later_file_is_damage_even_if_nobody_was_told(filled: Path) -> None:
    path = filled / FIRST
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VerificationError, match=FIRST):
        opened(filled, 0)


# --- disks that fail ------------------------------------------------------------------------------


BATCHES = ((0,), (1, 2, 3), (4,), (5, 6), (7, 8, 9), (10,))


def run(folder: Path, disk: FaultyDisk) -> tuple[dict[int, bytes], bool]:
    """Append all batches, each tried twice; what was acknowledged, and whether it came to an end.

    Who dies is started again, on what the kernel still held.
    """
    acknowledged: dict[int, bytes] = {}
    for _ in range(2):
        with contextlib.suppress(Death, Unavailable):
            append_all(folder, disk, acknowledged)
            return acknowledged, True
    return acknowledged, False


def append_all(folder: Path, disk: FaultyDisk, acknowledged: dict[int, bytes]) -> None:
    try:
        segments = opened(folder, len(acknowledged), disk=disk)
    except Unavailable:
        segments = opened(folder, len(acknowledged), disk=disk)
    for batch in BATCHES:
        rest = [entry(i) for i in batch if i >= segments.size]  # the others outlived a death
        for _ in range(2 if rest else 0):
            with contextlib.suppress(Unavailable):
                segments.append(rest)
                break
        acknowledged.update(enumerate(segments.entries()))
    segments.close()


def calls_of_a_run(tmp_path: Path) -> int:
    root = tmp_path / "counted"
    root.mkdir()
    disk = FaultyDisk(root)
    run(root / "segments", disk)
    return len(disk.calls)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_fault_at_every_call_loses_nothing_that_was_acknowledged(
    tmp_path: Path, fault: str, lasting: bool
) -> None:
    number = calls_of_a_run(tmp_path)
    assert number > 30
    for at in range(number):
        root = tmp_path / f"{at}"
        root.mkdir()
        disk = FaultyDisk(root, at, fault, lasting=lasting)
        acknowledged, ended = run(root / "segments", disk)
        if ended and not lasting:
            assert list(acknowledged.values()) == [entry(i) for i in range(11)], disk.calls[at]
        for name, left in disk.remains(tmp_path / f"left-{at}"):
            segments = opened(left / "segments", len(acknowledged))
            held = list(segments.entries())
            what = (disk.calls[at], name)
            assert held[: len(acknowledged)] == list(acknowledged.values()), what
            assert held == [entry(i) for i in range(len(held))], what  # none twice, none foreign
            assert segments.append([b"next"]) == len(held), what
            segments.close()


def test_a_write_that_failed_leaves_nothing_between_two_entries(tmp_path: Path) -> None:
    """The failed batch is longer than what follows: its end must not stand behind that."""
    disk = FaultyDisk(tmp_path)
    segments = opened(tmp_path / "segments", disk=disk, size=10_000)
    segments.append([b"first"])
    disk._at, disk._fault, disk._lasting = len(disk.calls) + 1, "broken", True  # the fdatasync
    with pytest.raises(Unavailable, match="Input/output error"):
        segments.append([b"lost " * 100] * 3)
    with pytest.raises(Unavailable):
        segments.append([b"x"])
    disk.heal()
    assert segments.append([b"second"]) == 1
    segments.close()
    again = opened(tmp_path / "segments", 2, size=10_000)
    assert list(again.entries()) == [b"first", b"second"]
    assert again.notice == ""
    again.close()


def test_a_real_full_disk(tmp_path: Path) -> None:
    """Not simulated: the kernel itself says that a file may not grow."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    pid = os.fork()
    if pid == 0:  # the limit is one of the process
        code = 2
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            segments = opened(tmp_path / "segments", size=10_000_000)
            segments.append([b"first"])
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
            for _ in range(3):
                with pytest.raises(Unavailable, match="File too large"):
                    segments.append([b"x" * 2000] * 3)
            code = 0 if segments.append([b"second"]) == 1 else 1
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert list(opened(tmp_path / "segments", 2).entries()) == [b"first", b"second"]


# --- a process that is killed ---------------------------------------------------------------------


def kill_while_it_writes(folder: Path, moment: float) -> int:
    """A child appends and tells what it got; killed after a moment. Returns what it had told."""
    import signal
    import subprocess
    import sys
    import time

    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, bufsize=0
    )
    assert child.stdout is not None
    child.stdout.readline()  # it is under way
    time.sleep(moment)
    child.send_signal(signal.SIGKILL)
    told = child.stdout.read().split(b"\n")[:-1]
    child.wait()
    child.stdout.close()
    return int(told[-1]) if told else 0


WRITER = """
import sys
from pathlib import Path
from stayput.store.disk import Disk
from stayput.store.segments import Segments, stored_entries

folder = Path(sys.argv[1])
covered = int((folder / "told").read_text()) if (folder / "told").exists() else 0
segments = Segments(folder / "segments", covered, Disk(), segment_bytes=20_000)
out = sys.stdout
print("ready", flush=True)
while True:
    start = segments.size
    batch = [b"entry %d " % i * (1 + i % 50) for i in range(start, start + 1 + start % 7)]
    segments.append(batch)
    print(segments.size, flush=True)
"""


def survive(tmp_path: Path, times: int, seed: int) -> None:
    dice = random.Random(seed)
    folder = tmp_path
    size = 0
    for _ in range(times):
        size = max(size, kill_while_it_writes(folder, dice.random() * 0.05))
        (folder / "told").write_text(str(size))
        held = list(stored_entries(folder / "segments", size))
        assert held == [b"entry %d " % i * (1 + i % 50) for i in range(size)]
    assert size > times


def test_a_killed_writer_loses_nothing_that_it_told(tmp_path: Path) -> None:
    survive(tmp_path, 4, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_a_writer_that_is_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    survive(tmp_path, 50, seed)
