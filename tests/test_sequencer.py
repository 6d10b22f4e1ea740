"""The sequencer: one order for all who come at once, and nothing acknowledged is ever lost."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from audit.logs import HOLDERS, Log, mth
from parties import NOW, ROLES, Party
from store.faults import FAULTS, Death, FaultyDisk, QuickDisk

from stayput import documents
from stayput.crypto import signing
from stayput.errors import (
    ConfigurationError,
    DocumentError,
    NotFound,
    RuleViolation,
    Unavailable,
    VerificationError,
)
from stayput.identity import create_identity, member_card
from stayput.membership import Members, form_member_list, verify_member_list
from stayput.sequencer import Sequencer, load_log
from stayput.session import Session
from stayput.steps import Role, ScenarioProposed
from stayput.store.disk import Disk
from stayput.store.segments import _record
from stayput.tlog.checkpoint import Checkpoint, claimed_checkpoint, verify_checkpoint
from stayput.tlog.cosignature import cosign
from stayput.tlog.merkle import leaf_hash
from stayput.tlog.tiles import parse_entry_bundle


@pytest.fixture(scope="module")
def story(consortium: Party) -> Log:
    """A scenario, sealed, and a released run of it."""
    log = Log(consortium)
    log.run(log.sealed())
    return log


def opened(party: Party, folder: Path, disk: Disk | None = None) -> Sequencer:
    return Sequencer(party.members, party.identities["hub"].signing_key, folder, disk)


def filled(log: Log, folder: Path, size: int | None = None) -> Sequencer:
    """A log of these entries, with cosignatures on some of its sizes, and its public folder."""
    sequencer = opened(log.party, folder)
    for index, entry in enumerate(log.entries[1:size], 1):
        assert sequencer.submit(entry) == index
    for name in HOLDERS:
        for size in sorted({min(6, sequencer.size), sequencer.size}):
            sequencer.add_cosignatures([log.note(size, [name])], name)
    sequencer.tend()
    return sequencer


# --- one order for all ----------------------------------------------------------------------------


def test_each_step_gets_its_index_and_a_checkpoint_that_covers_it(
    story: Log, tmp_path: Path
) -> None:
    sequencer = opened(story.party, tmp_path / "log")
    members = story.party.members
    for index, entry in enumerate(story.entries):
        assert sequencer.submit(entry) == index
        assert sequencer.submit(entry) == index  # the same bytes again
        signed = verify_checkpoint(sequencer.checkpoint, members.log_origin, members.log_verifier)
        assert (signed.size, signed.root) == (index + 1, mth(story.entries[: index + 1]))
    assert tuple(sequencer.entries()) == tuple(story.entries)
    sequencer.tend()
    sequencer.close()
    again = opened(story.party, tmp_path / "log")
    assert tuple(again.entries()) == tuple(story.entries)
    assert again.notices == ()
    assert load_log(tmp_path / "log")[0] == tuple(story.entries)
    again.close()


def test_what_the_rules_refuse_is_not_written(story: Log, tmp_path: Path) -> None:
    sequencer = filled(story, tmp_path / "log", 5)
    size = sequencer.size
    for entry, error in (
        (b"no step", DocumentError),
        (b"x" * 65_536, DocumentError),
        (story.entries[9], RuleViolation),
        (b"{}", DocumentError),
    ):
        with pytest.raises(error):
            sequencer.submit(entry)
    assert sequencer.size == size
    assert sequencer.submit(story.entries[5]) == size
    sequencer.close()


class CountingDisk(Disk):
    syncs = 0

    def fdatasync(self, descriptor: int) -> None:
        self.syncs += 1
        super().fdatasync(descriptor)


def test_who_comes_at_once_shares_one_write(consortium: Party, tmp_path: Path) -> None:
    """Contiguous indices, one for each; a refused step disturbs nobody; fewer writes than steps."""
    log = Log(consortium)
    for _ in range(240):
        log.propose()
    disk = CountingDisk()
    sequencer = opened(consortium, tmp_path / "log", disk)
    given: dict[int, bytes] = {}
    refused: list[bytes] = []
    barrier = threading.Barrier(8)

    def submit(entries: list[bytes]) -> None:
        barrier.wait()
        for number, entry in enumerate(entries):
            if number % 10 == 9:
                try:
                    sequencer.submit(entry[:-1])
                except DocumentError:
                    refused.append(entry)
            given[sequencer.submit(entry)] = entry

    begun = disk.syncs
    threads = [threading.Thread(target=submit, args=(log.entries[1 + n :: 8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, log.size))
    assert [given[index] for index in sorted(given)] == list(sequencer.entries(1))
    assert set(given.values()) == set(log.entries[1:])
    assert len(refused) == 24
    assert disk.syncs - begun < 240
    sequencer.close()


def test_two_at_once_of_which_only_one_can_stand(consortium: Party, tmp_path: Path) -> None:
    """Both are admissible alone: whoever comes second is refused, and nothing of it is written."""
    log = Log(consortium)
    scenario = log.sealed(runs=1)
    sequencer = filled(log, tmp_path / "log")
    for _ in range(2):
        log.order(scenario)
    results: list[object] = []
    barrier = threading.Barrier(2)

    def submit(entry: bytes) -> None:
        barrier.wait()
        try:
            results.append(sequencer.submit(entry))
        except RuleViolation as error:
            results.append(error.clause)

    threads = [threading.Thread(target=submit, args=(entry,)) for entry in log.entries[-2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [6, "R-1"]
    assert sequencer.size == 7
    sequencer.close()


def test_two_processes_do_not_write_one_log(story: Log, tmp_path: Path) -> None:
    sequencer = filled(story, tmp_path / "log", 5)
    with pytest.raises(ConfigurationError, match="another process"):
        opened(story.party, tmp_path / "log")
    sequencer.close()
    opened(story.party, tmp_path / "log").close()


# --- what the disk gives back ---------------------------------------------------------------------


class LyingDisk(Disk):
    """Gives back other bytes than were written, from a moment on."""

    def __init__(self, lie: Callable[[bytes], bytes]) -> None:
        self.lie = lie
        self.lies = False

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        data = super().pread(descriptor, length, offset)
        return self.lie(data) if self.lies else data


@pytest.mark.parametrize("kind", ["one bit", "another entry"])
def test_what_comes_back_different_is_never_signed(story: Log, tmp_path: Path, kind: str) -> None:
    """One flipped bit between writing and signing, and the log could never prove anything again."""
    other = story.party.sign(_bent_proposal(story), "asker")
    assert len(other) == len(story.entries[1])
    lies = {
        "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "another entry": lambda data: _record(1, other),
    }
    disk = LyingDisk(lies[kind])
    sequencer = opened(story.party, tmp_path / "log", disk)
    before = sequencer.checkpoint
    disk.lies = True
    with pytest.raises(Unavailable, match="takes no more steps"):
        sequencer.submit(story.entries[1])
    assert sequencer.checkpoint == before
    disk.lies = False  # too late: it is said until people have looked
    with pytest.raises(Unavailable, match="takes no more steps"):
        sequencer.submit(story.entries[1])
    assert sequencer.size == 1
    sequencer.close()
    again = opened(story.party, tmp_path / "log")  # the disk did hold the right bytes
    assert tuple(again.entries()) == tuple(story.entries[:2])
    again.close()


def _bent_proposal(story: Log) -> ScenarioProposed:
    step = documents.parse(ScenarioProposed, signing.parse_envelope(story.entries[1]).payload)
    return dataclasses.replace(step, scenario=bytes(32 - len(b"other")) + b"other")


# --- every byte of every file ---------------------------------------------------------------------


def flips(path: Path, step: int) -> Iterator[int]:
    """Writes the file with one flipped bit, again and again; the file is whole afterwards."""
    sound = path.read_bytes()
    for position in sorted({0, len(sound) - 1, *range(3, len(sound), step)}):
        bent = bytearray(sound)
        bent[position] ^= 1 << (position % 8)
        path.write_bytes(bent)
        yield position
    path.write_bytes(sound)


def test_every_flipped_byte_of_what_the_log_rests_on_is_found_and_its_file_named(
    story: Log, tmp_path: Path
) -> None:
    """(Of segments alone, all bytes: tests/store/test_segments.py.)"""
    folder = tmp_path / "log"
    filled(story, folder).close()
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    private = [path for path in files if folder / "public" not in path.parents]
    assert {path.parent.name for path in private} == {"log", "segments", "cosigned"}
    for path in private:
        for position in flips(path, 149 if path.suffix == ".log" else 11):
            with pytest.raises(VerificationError) as caught:
                opened(story.party, folder)
            assert path.name in caught.value.message, position
            assert caught.value.hint
    opened(story.party, folder).close()


def test_every_flipped_byte_of_what_is_derived_is_mended_and_its_file_named(
    story: Log, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    filled(story, folder).close()
    opened(story.party, folder).close()  # without the partial tiles of smaller trees
    files = [path for path in (folder / "public").rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        sound = path.read_bytes()
        for position in flips(path, 701):
            sequencer = opened(story.party, folder)
            assert path.read_bytes() == sound, position
            (notice,) = sequencer.notices
            assert notice.endswith(f": {path.relative_to(folder / 'public')}")
            sequencer.close()
    files[0].unlink()
    sequencer = opened(story.party, folder)
    assert str(files[0].relative_to(folder / "public")) in sequencer.notices[0]
    sequencer.close()
    sequencer = opened(story.party, folder)
    assert sequencer.notices == ()
    sequencer.close()


@pytest.mark.parametrize("name", ["checkpoint", "segments", "cosigned", "public"])
def test_a_file_or_folder_that_is_missing(story: Log, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "log"
    sequencer = filled(story, folder)
    whole = sequencer.note_at(sequencer.size)
    sequencer.close()
    path = folder / name
    path.unlink() if path.is_file() else shutil.rmtree(path)
    if name in ("checkpoint", "segments"):
        with pytest.raises(VerificationError) as caught:
            opened(story.party, folder)
        assert "entries" in caught.value.message
        return
    sequencer = opened(story.party, folder)  # cosigners send theirs again; the public is derived
    assert tuple(sequencer.entries()) == tuple(story.entries)
    for holder in HOLDERS:
        sequencer.add_cosignatures([story.note(sequencer.size, [holder])], holder)
    assert claimed_checkpoint(sequencer.note_at(sequencer.size)) == claimed_checkpoint(whole)
    sequencer.close()


def test_yesterdays_entries_under_todays_checkpoint_are_no_log(story: Log, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    filled(story, old, 8).close()
    filled(story, new).close()
    shutil.rmtree(new / "segments")
    shutil.copytree(old / "segments", new / "segments")
    with pytest.raises(VerificationError, match="its checkpoint covers"):
        opened(story.party, new)


def test_todays_entries_under_yesterdays_checkpoint_lose_nothing(
    story: Log, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    filled(story, old, 8).close()
    filled(story, new).close()
    shutil.copy(old / "checkpoint", new / "checkpoint")
    sequencer = opened(story.party, new)
    assert tuple(sequencer.entries()) == tuple(story.entries)
    assert claimed_checkpoint(sequencer.checkpoint).root == story.root(story.size)
    sequencer.close()


def test_the_log_of_another_consortium_of_the_same_name(story: Log, tmp_path: Path) -> None:
    """The key in the member list is not the key that signed."""
    folder = tmp_path / "log"
    filled(story, folder).close()
    with pytest.raises(VerificationError, match="checkpoint"):
        Sequencer(
            _of_another(tmp_path),
            story.party.identities["hub"].signing_key,
            folder,
        )


def _of_another(root: Path) -> Members:
    made = {
        name: create_identity(
            root / name,
            name,
            role,
            now=NOW - 1000,
            address="127.0.0.1:7443" if role is Role.COORDINATOR else "",
            paillier_bits=2048,
        )
        for name, role in ROLES.items()
        if name in ("hub", "office", "north", "south")
    }
    listed = form_member_list(
        "testers", [member_card(one) for one in made.values()], made["hub"].signing_key, NOW
    )
    return verify_member_list(listed, pinned=None)


# --- disks that fail, processes that die ----------------------------------------------------------


class Told:
    """What somebody outside was told: it must hold for ever."""

    def __init__(self) -> None:
        self.indices: dict[int, bytes] = {}
        self.checkpoints: list[Checkpoint] = []
        self.cosigned: dict[int, bytes] = {}  # size -> lines

    def remember(self, note: bytes) -> None:
        self.checkpoints.append(claimed_checkpoint(note))


def live(log: Log, folder: Path, disk: FaultyDisk, told: Told) -> None:
    """A coordinator's life: open, take steps and cosignatures, publish. Each thing tried twice.

    Who dies is started again: what the kernel still held is there then, and was promised by nobody.
    """
    for _ in range(2):
        with contextlib.suppress(Death):
            live_once(log, folder, disk, told)
            return


def live_once(log: Log, folder: Path, disk: FaultyDisk, told: Told) -> None:
    sequencer: Sequencer | None = None
    try:
        for _ in range(2):
            try:
                sequencer = opened(log.party, folder, disk)
                break
            except Unavailable:
                continue
        if sequencer is None:
            return
        for start in range(1, len(log.entries)):
            for _ in range(2):
                try:
                    told.indices[sequencer.submit(log.entries[start])] = log.entries[start]
                except Unavailable:
                    continue
                told.remember(sequencer.checkpoint)
                break
            else:
                return
            assert sequencer.session.size == sequencer.size
            if start in (5, 6):  # milestones: such notes are kept
                cosign_now(log, sequencer, told, start + 1)
        tend(sequencer)
    finally:
        if sequencer is not None:
            sequencer.close()


def cosign_now(log: Log, sequencer: Sequencer, told: Told, size: int) -> None:
    identity = log.party.identities["north"]
    assert identity.witness_key is not None
    name = log.party.members.witness_name("north")
    line = cosign(Checkpoint(*log_at(log, size)).text, name, identity.witness_key, log.time)
    for _ in range(2):
        try:
            sequencer.add_cosignatures([log.note(size, ["north"])], "north")
        except Unavailable:
            continue
        told.cosigned[size] = line
        break
    tend(sequencer)


def tend(sequencer: Sequencer) -> None:
    with contextlib.suppress(Unavailable):
        sequencer.tend()


def log_at(log: Log, size: int) -> tuple[str, int, bytes]:
    return log.party.members.log_origin, size, log.root(size)


def holds(log: Log, folder: Path, told: Told, what: object) -> None:
    """After whatever happened: all that was told is true of the log that opens now."""
    sequencer = opened(log.party, folder, QuickDisk())
    held = list(sequencer.entries())
    assert held == log.entries[: len(held)], what  # nothing foreign, nothing twice, no gap
    for index, entry in told.indices.items():
        assert held[index] == entry, what
    for checkpoint in told.checkpoints:
        assert checkpoint.size <= len(held), what
        assert checkpoint.root == mth(held[: checkpoint.size]), what
    for size in told.cosigned:
        assert b"testers.stayput/witness/north" in sequencer.note_at(size), what
    replayed = Session()
    for entry in held:
        replayed.replay(entry)
    assert sequencer.session.size == replayed.size
    sequencer.tend()
    bundle = folder / "public" / f"tile/entries/000.p/{len(held)}"
    assert list(parse_entry_bundle(bundle.read_bytes(), len(held))) == held, what
    tile = folder / "public" / f"tile/0/000.p/{len(held)}"
    assert tile.read_bytes() == b"".join(map(leaf_hash, held)), what
    signed = claimed_checkpoint((folder / "public" / "checkpoint").read_bytes())
    assert (signed.size, signed.root) == (len(held), mth(held)), what
    if len(held) < len(log.entries):
        assert sequencer.submit(log.entries[len(held)]) == len(held), what
    sequencer.close()


@pytest.fixture(scope="module")
def short(consortium: Party) -> Log:
    log = Log(consortium)
    log.order(log.sealed())
    return log


def calls_of_a_life(log: Log, tmp_path: Path) -> int:
    root = tmp_path / "counted"
    root.mkdir()
    disk = FaultyDisk(root)
    told = Told()
    live(log, root / "log", disk, told)
    assert list(told.indices) == [1, 2, 3, 4, 5, 6]
    assert set(told.cosigned) == {6, 7}
    return len(disk.calls)


def survives(log: Log, tmp_path: Path, at: int, fault: str, lasting: bool, cuts: int) -> None:
    root = tmp_path / f"{fault}-{at}-{lasting}"
    root.mkdir()
    disk, told = FaultyDisk(root, at, fault, lasting=lasting), Told()
    live(log, root / "log", disk, told)
    what = (at, fault, lasting, disk.calls[at])
    if not lasting and FAULTS[fault] is not None:
        assert list(told.indices) == [1, 2, 3, 4, 5, 6], what  # once is no reason to give up
    for number, (name, left) in enumerate(disk.remains(tmp_path / "left")):
        if cuts == 6 or number == 1 + at % 5 or (number == 0 and at % 3 == 0):
            holds(log, left / "log", told, (*what, name))
    shutil.rmtree(root)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_whatever_fails_at_any_call_nothing_that_was_told_is_untrue(
    short: Log, tmp_path: Path, lasting: bool
) -> None:
    """Every write, sync, rename, truncation and removal, with the faults in turn; what is left is
    looked at as the process left it and after a power cut."""
    number = calls_of_a_life(short, tmp_path)
    assert number > 100
    kinds = list(FAULTS)
    for at in range(0, number, 1 + lasting):
        survives(short, tmp_path, at, kinds[at % len(kinds)], lasting, 1)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_each_fault_at_each_call(short: Log, tmp_path: Path, fault: str, lasting: bool) -> None:
    for at in range(calls_of_a_life(short, tmp_path)):
        survives(short, tmp_path, at, fault, lasting, 6)


# --- reading --------------------------------------------------------------------------------------


def test_no_tile_or_note_that_the_log_does_not_have(story: Log, tmp_path: Path) -> None:
    sequencer = filled(story, tmp_path / "log", 9)
    for path in ("tile/0/000", "tile/0/000.p/8", "tile/1/000", "tile/entries/000.p/10"):
        with pytest.raises(NotFound):
            sequencer.read_public(path)
    for path in ("../checkpoint", "/etc/passwd", "tile/0/0", "tile/0/000.p/0", "cosigned/6.note"):
        with pytest.raises(DocumentError):
            sequencer.read_public(path)
    for size in (0, 10, -1):
        with pytest.raises(NotFound):
            sequencer.note_at(size)
    with pytest.raises(NotFound):
        sequencer.page(10)
    assert sequencer.page(9)[0] == ()
    sequencer.close()
