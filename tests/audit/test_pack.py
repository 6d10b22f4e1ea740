"""The form of a review pack: one for each log, read by other tools, refused when it is another."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import tarfile
from collections.abc import Iterator

import pytest
from audit.logs import Log, mth
from parties import Party

from stayput.audit.pack import FORMAT_NAME, Pack, write_pack
from stayput.errors import DocumentError
from stayput.tlog.merkle import leaf_hash
from stayput.tlog.tiles import parse_entry_bundle


@pytest.fixture(scope="module")
def log(consortium: Party) -> Log:
    """Three groups of entries, one of them begun."""
    log = Log(consortium)
    scenario = log.sealed()
    while log.size < 540:
        log.run(scenario)
    return log


@pytest.fixture(scope="module")
def pack(log: Log) -> bytes:
    return log.pack()


def members(data: bytes) -> dict[str, tuple[int, bytes]]:
    """By name, where the contents begin and what they are, as Python's own archive reader sees."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: (one.offset_data, archive.extractfile(one).read()) for one in archive}


def read(data: bytes) -> None:
    for _ in Pack(io.BytesIO(data)).groups():
        pass


def header(name: str, size: int, *, ours: bool = True) -> bytes:
    """As Python's own archive writer makes it, and with the device numbers that POSIX wants."""
    about = tarfile.TarInfo(name)
    about.size = size
    made = bytearray(about.tobuf(tarfile.USTAR_FORMAT))
    if ours:
        made[329:345] = b"0000000\0" * 2
        made[148:156] = b" " * 8
        made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def member(name: str, data: bytes, *, ours: bool = True) -> bytes:
    """One more member."""
    return header(name, len(data), ours=ours) + data + bytes(-len(data) % 512)


def unsigned(size: int) -> bytes:
    """The shape of a checkpoint: who writes a pack does not verify."""
    root = base64.b64encode(bytes(32)).decode()
    line = base64.b64encode(bytes(68)).decode()
    return f"log\n{size}\n{root}\n\n\u2014 log {line}\n".encode()


def headers(data: bytes) -> Iterator[int]:
    yield from (offset - 512 for offset, _ in members(data).values())


# --- what it is -----------------------------------------------------------------------------------


def test_any_archive_reader_finds_the_log_in_it(log: Log, pack: bytes) -> None:
    found = {name: data for name, (_, data) in members(pack).items()}
    full, rest = divmod(log.size, 256)
    assert full == 2
    widths = [256, 256, rest]
    names = ["000", "001", f"002.p/{rest}"]
    entries = []
    for name, width in zip(names, widths, strict=True):
        bundle = parse_entry_bundle(found.pop(f"tile/entries/{name}"), width)
        entries += bundle
        assert found.pop(f"tile/0/{name}") == b"".join(map(leaf_hash, bundle))
    assert entries == log.entries
    assert found.pop("tile/1/000.p/2") == mth(entries[:256]) + mth(entries[256:512])
    assert found.pop("checkpoint") == log.note()
    assert found.pop(FORMAT_NAME) == b"stayput review pack, version 1\n"
    assert {name for name in found if name.startswith("checkpoints/")} == {"checkpoints/6"}
    assert {name for name in found if name.startswith("proofs/")} == {
        f"proofs/{index}" for index in log.releases
    }


def test_the_same_log_gives_the_same_bytes(log: Log, pack: bytes) -> None:
    again = log.pack(entries=iter(log.entries))
    changed = {name for name, (_, data) in members(again).items() if members(pack)[name][1] != data}
    assert not changed
    assert hashlib.sha256(again).digest() == hashlib.sha256(pack).digest()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"entries": []}, "fewer entries"),
        ({"proven": {5: 5}}, "has not the entry"),
        ({"proven": {5: 10_000}}, "newer"),
        ({"milestones": {10_000: 10}}, "newer"),
    ],
)
def test_a_pack_that_could_not_stand_is_not_written(log: Log, changes: dict, error: str) -> None:
    contents = {"entries": log.entries, "milestones": {}, "proven": {}} | {
        key: {number: unsigned(size) for number, size in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in changes.items()
    }
    with pytest.raises(ValueError, match=error):
        write_pack(
            io.BytesIO(),
            contents["entries"],
            log.note(),
            milestones=contents["milestones"],
            proven=contents["proven"],
        )


# --- what it is not -------------------------------------------------------------------------------


def test_a_pack_that_ends_too_early_is_refused_wherever_it_ends(pack: bytes) -> None:
    dice = random.Random(4)
    ends = {0, 1, len(pack) - 1, len(pack) - 512, len(pack) - 1024}
    ends |= set(headers(pack)) | {offset for offset, _ in members(pack).values()}
    ends |= {dice.randrange(len(pack)) for _ in range(200)}
    for end in sorted(ends):
        with pytest.raises(DocumentError, match=r"ends too early|end of the pack") as caught:
            read(pack[:end])
        assert caught.value.hint or "end of the pack" in caught.value.message


def test_what_is_cut_off_is_named(pack: bytes) -> None:
    for name, (offset, data) in members(pack).items():
        with pytest.raises(DocumentError, match=f"ends too early, in {name}"):
            read(pack[: offset + len(data) - 1])


@pytest.mark.parametrize("ours", [True, False], ids=["our header", "as by tar"])
@pytest.mark.parametrize("name", ["policy", "trust/POLICY.txt"])
def test_a_pack_that_carries_a_policy_is_refused_wherever_it_stands(
    pack: bytes, name: str, ours: bool
) -> None:
    own = member(name, b"log somebody's own key\nquorum none\n", ours=ours)
    places = [*headers(pack), len(pack) - 1024]
    assert len(places) > 30
    for place in places:
        with pytest.raises(DocumentError, match="never carries a policy") as caught:
            read(pack[:place] + own + pack[place:])
        assert "--policy" in caught.value.hint


def test_nothing_is_there_twice_in_another_order_or_behind_the_end(pack: bytes) -> None:
    places = list(headers(pack))
    ends = [*places[1:], len(pack) - 1024]
    parts = [pack[start:end] for start, end in zip(places, ends, strict=True)]
    end = pack[-1024:]
    assert b"".join([*parts, end]) == pack
    read(pack)
    for index in range(len(parts)):
        with pytest.raises(DocumentError):
            read(b"".join([*parts[: index + 1], parts[index], *parts[index + 1 :], end]))
        if index + 1 < len(parts):
            order = [*parts[:index], parts[index + 1], parts[index], *parts[index + 2 :]]
            with pytest.raises(DocumentError):
                read(b"".join([*order, end]))
        if not parts[index].startswith((b"checkpoints/", b"proofs/")):  # what is optional
            with pytest.raises(DocumentError):
                read(b"".join([*parts[:index], *parts[index + 1 :], end]))
    for behind in (b"\0", b"x", member("more", b"1"), bytes(10240)):
        with pytest.raises(DocumentError, match="behind the end"):
            read(pack + behind)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "tile/entries/000", "checkpoints/07", "proofs/+5"]
)
def test_a_member_of_any_other_name_is_refused(pack: bytes, name: str) -> None:
    for place in [*headers(pack)][1:]:
        if pack[place:].startswith(name.encode() + b"\0"):
            continue
        with pytest.raises(DocumentError):
            read(pack[:place] + member(name, b"x") + pack[place:])


def test_every_bit_of_a_header_counts(pack: bytes) -> None:
    """Owner, time, links, the second name: no byte of a header may say anything of its own."""
    place = list(headers(pack))[2]
    for position in range(place, place + 512):
        bent = bytearray(pack)
        bent[position] ^= 1 << (position % 8)
        with pytest.raises(DocumentError):
            read(bytes(bent))


def test_sizes_are_bounded_before_they_are_read(pack: bytes) -> None:
    """A header that claims eight gigabytes is refused, not read."""

    class Counting(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1) -> bytes:
            self.most = max(self.most, size or 0)
            return super().read(size)

    place = list(headers(pack))[1]
    huge = header("checkpoint", 8**11 - 1)
    source = Counting(pack[:place] + huge + pack[place + 512 :])
    with pytest.raises(DocumentError):
        Pack(source)
    assert source.most <= 64 * 1024


@pytest.mark.parametrize(
    "data", [b"", b"x", bytes(512), bytes(1024), b"PK\x03\x04" + bytes(600), b"\x1f\x8b" * 600]
)
def test_other_files_are_no_packs(data: bytes) -> None:
    with pytest.raises(DocumentError):
        Pack(io.BytesIO(data))


def test_another_version_is_said_to_be_one(pack: bytes) -> None:
    with pytest.raises(DocumentError, match="another version"):
        Pack(io.BytesIO(pack.replace(b"version 1", b"version 2", 1)))
