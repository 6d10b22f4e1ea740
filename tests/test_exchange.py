"""The coordinator's part of a join: who may send and fetch what, what it takes, what it erases.

A real coordinator over a folder, and three holders whose every message can be bent
(:mod:`vertical.by_hand`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gmpy2
import pytest
from parties import NOW, Party
from vertical.by_hand import (
    HOLDERS,
    Holder,
    World,
    digest_of,
    expected,
    join_plan,
    scenario,
)

from stayput import exchange
from stayput.crypto.ristretto import Exponent, hash_to_points, raise_points, random_points
from stayput.errors import (
    NotFound,
    NotYet,
    PermissionDenied,
    RuleViolation,
    StayputError,
    VerificationError,
)
from stayput.link import Item, ItemKind
from stayput.session import Blind, Combine, EncryptRows, EraseRows, HandOver, RunPhase
from stayput.steps import (
    DeletionCheck,
    FailureReason,
    NotCovered,
    Outcome,
    RefusalReason,
    RunFailed,
    ScenarioRevoked,
    SetBlinded,
    SumsReturned,
)
from stayput.vertical.blinding import BlindedSet
from stayput.vertical.pieces import set_pieces
from stayput.vertical.rows import hand_over, parse_rows

TODAY = b"t" * 16


@pytest.fixture
def world(tmp_path: Path, consortium: Party) -> Iterator[World]:
    found = World(tmp_path / "hub", consortium)
    yield found
    found.close()


def on_disk(world: World) -> list[str]:
    """Names of everything below ``joins``."""
    root = world.root / "joins"
    return sorted(path.name for path in root.rglob("*") if path.is_file())


# --- the whole ------------------------------------------------------------------------------------


def test_a_run_over_a_join_gives_the_right_sums(world: World) -> None:
    world.settle()
    assert world.state.phase is RunPhase.COUNTING
    assert world.sums() == expected()


@pytest.mark.parametrize("empty", [("west",), ("north", "south", "west")])
def test_who_has_nobody_takes_part_all_the_same(world: World, empty: tuple[str, ...]) -> None:
    for name in empty:
        had = world.holders[name].people
        world.holders[name].people = dataclasses.replace(
            had,
            identifiers=(),
            groups=had.groups[:0],
            features=tuple(feature[:0] for feature in had.features),
        )
    world.settle()
    assert world.state.phase is RunPhase.COUNTING
    assert not any(any(row) for row in world.sums())
    assert world.state.erased is not None


def test_the_coordinator_may_be_restarted_before_every_step(world: World) -> None:
    while True:
        turns = [(name, turn) for name in HOLDERS for turn in world.turns(name)]
        world.restart()
        if not any(world.holders[name].obey(turn) for name, turn in turns[:1]):
            world.restart()
            if not world.hub.work():
                break
    assert world.sums() == expected()
    assert world.state.erased is not None


def test_handing_over_goes_on_where_the_process_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was handed over for one pair is not made again after a restart."""
    world.until(HandOver)
    made: list[int] = []

    def one_and_the_end(*arguments: Any, **options: Any) -> bytes:
        made.append(len(made))
        world.hub.interrupt()
        return hand_over(*arguments, **options)

    monkeypatch.setattr(exchange, "hand_over", one_and_the_end)
    for _ in join_plan().pairs:
        world.hub.work()
        world.restart()
    kept = (world.folder / "handed-0").read_bytes()
    world.hub.work()
    assert made == list(range(len(join_plan().pairs)))
    assert (world.folder / "handed-0").read_bytes() == kept
    assert world.state.phase is RunPhase.COMBINING
    world.settle()
    assert world.sums() == expected()


def test_pieces_are_private_files_and_nowhere_else(world: World) -> None:
    world.until(Combine)
    assert {name.partition("-")[0] for name in on_disk(world)} == {"set", "rows", "handed"}
    for path in (world.root / "joins").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    rows = (world.folder / "rows-0").read_bytes()
    points = (world.folder / "set-north-0").read_bytes()
    journal = b"".join(path.read_bytes() for path in world.root.glob("journal.db*"))
    log = b"".join(path.read_bytes() for path in (world.root / "log").rglob("*") if path.is_file())
    for secret in (rows[:64], points[:32]):
        assert secret not in journal + log


def test_a_coordinator_with_a_dictionary_of_everybody_finds_nobody(world: World) -> None:
    """All that it has, log, documents and pieces, against every identifier there could be."""
    world.until(Combine)
    names = [f"p{i}".encode() for i in range(40)]
    tag = b"stayput/v1/join" + world.run + scenario().digest
    dictionary = hash_to_points(names, tag, Exponent(1))
    kept = [path.read_bytes() for path in world.root.rglob("*") if path.is_file()]
    has = {data[i : i + 32] for data in kept for i in range(0, len(data), 32)}
    hashes = {hashlib.sha256(name).digest() for name in names}
    assert not has & {*dictionary, *hashes}
    # It would find them with a holder's secret: that is what it lacks.
    secret = world.holders["north"].blinding._first
    north = set(raise_points(dictionary, secret))
    assert len(has & north) == len(world.holders["north"].people.identifiers)


# --- who may send and fetch what ------------------------------------------------------------------

SET = Item(ItemKind.SET, "north", 0)


def owner_of(pair: int) -> str:
    return join_plan().holders[join_plan().pairs[pair].owner]


def combiner_of(pair: int) -> str:
    return join_plan().holders[join_plan().pairs[pair].combiner]


def fetched(world: World, item: Item) -> dict[str, str]:
    """What each member gets who asks for an item's first piece."""
    found = {}
    for name in ("hub", "office", "asker", "rival", "reviewer", "eve", *HOLDERS):
        try:
            world.link(name).get_piece(world.run, item, 0)
        except StayputError as error:
            found[name] = type(error).__name__
        else:
            found[name] = "piece"
    return found


def but(**others: str) -> dict[str, str]:
    """Everybody else finds nothing."""
    everybody = ("hub", "office", "asker", "rival", "reviewer", "eve", *HOLDERS)
    return {**dict.fromkeys(everybody, "NotFound"), **others}


def test_every_item_has_one_receiver_once_the_log_has_it(world: World) -> None:
    """Encrypted rows have none: a holder cannot fetch another's."""
    handed = Item(ItemKind.HANDED, number=0)
    sums, rows = Item(ItemKind.SUMS, number=0), Item(ItemKind.ROWS, number=0)
    assert fetched(world, SET) == but(south="NotYet")
    world.holders["north"].obey(world.until(Blind, "north"))
    assert fetched(world, SET) == but(south="piece")
    last = Item(ItemKind.SET, "north", 3)
    assert fetched(world, last) == but()
    world.until(Combine)
    assert fetched(world, last) == but()
    assert fetched(world, rows) == but()
    assert fetched(world, handed) == but(**{combiner_of(0): "piece"})
    assert fetched(world, sums) == but(**{owner_of(0): "NotYet"})
    world.settle()
    assert fetched(world, handed) == but(**{combiner_of(0): "NotYet"})  # erased
    assert fetched(world, sums) == but(**{owner_of(0): "piece"})
    for strange in (
        Item(ItemKind.SET, "eve", 0),
        Item(ItemKind.SET, "../north", 0),
        Item(ItemKind.SET, "north", 99),
        Item(ItemKind.HANDED, number=99),
        Item(ItemKind.SUMS, "north", 99),
    ):
        assert fetched(world, strange) == but()
        for name in HOLDERS:
            with pytest.raises(NotFound):
                world.link(name).put_piece(world.run, strange, 0, b"")


@pytest.mark.parametrize(
    ("item", "sender"),
    [
        (SET, "south"),  # not its own
        (Item(ItemKind.SET, "south", 0), "north"),
        (Item(ItemKind.SET, "north", 1), "north"),  # south's turn
        (Item(ItemKind.SET, "north", 1), "west"),
        (Item(ItemKind.ROWS, number=0), "the combiner"),
        (Item(ItemKind.HANDED, number=0), "the combiner"),
        (Item(ItemKind.HANDED, number=0), "the owner"),
        (Item(ItemKind.SUMS, number=0), "the owner"),
        (SET, "eve"),
        (SET, "office"),
    ],
)
def test_nobody_sends_what_is_not_its_to_send(world: World, item: Item, sender: str) -> None:
    name = {"the owner": owner_of(0), "the combiner": combiner_of(0)}.get(sender, sender)
    with pytest.raises(NotFound):
        world.link(name).put_piece(world.run, item, 0, b"")
    with pytest.raises(NotFound):
        world.link("north").put_piece(b"x" * 16, SET, 0, b"")
    assert on_disk(world) == []


def test_nothing_is_sent_before_its_time_or_after_it(world: World) -> None:
    rows = Item(ItemKind.ROWS, number=0)
    sums = Item(ItemKind.SUMS, number=0)
    with pytest.raises(NotYet):
        world.link("south").put_piece(world.run, Item(ItemKind.SET, "north", 1), 0, b"")
    with pytest.raises(NotYet):
        world.link(owner_of(0)).put_piece(world.run, rows, 0, b"")
    with pytest.raises(NotYet):
        world.link(combiner_of(0)).put_piece(world.run, sums, 0, b"")
    world.until(EncryptRows)
    north = world.link("north")
    piece = world.link("south").get_piece(world.run, SET, 0)
    north.put_piece(world.run, SET, 0, piece)  # the same again is taken, another not
    with pytest.raises(RuleViolation) as refused:
        north.put_piece(world.run, SET, 0, piece[:-32])
    assert refused.value.clause == "R-11"
    with pytest.raises(NotYet):
        north.put_piece(world.run, SET, 1, piece)
    assert north.count_pieces(world.run, SET) == 1
    with pytest.raises(NotFound):
        world.link("west").count_pieces(world.run, SET)


# --- blinded sets ---------------------------------------------------------------------------------


def bent(found: BlindedSet, points: bytes) -> BlindedSet:
    return dataclasses.replace(found, points=points)


def _not_raised(before: bytes, points: bytes) -> bytes:
    del points
    return before


def _one_not_raised(before: bytes, points: bytes) -> bytes:
    return before[:32] + points[32:]


BENT: dict[str, Callable[[bytes, bytes], bytes]] = {
    "not raised": _not_raised,
    "one not raised": _one_not_raised,
    "the identity": lambda before, points: bytes(32) + points[32:],
    "no element": lambda before, points: b"\xff" * 32 + points[32:],
    "a second encoding": lambda before, points: (
        points[:31] + bytes([points[31] | 0x80]) + points[32:]
    ),
    "one twice": lambda before, points: points[:32] + points[:32] + points[64:],
}


@pytest.mark.parametrize("attack", BENT)
def test_a_set_that_is_not_the_one_before_raised_is_not_logged(world: World, attack: str) -> None:
    turn = world.until(Blind, "north")
    world.holders["north"].obey(turn)
    south = world.holders["south"]
    before = south.link.get_piece(world.run, SET, 0)
    found = south.raised("north", 1)
    with pytest.raises(VerificationError):
        south.submit_set(bent(found, BENT[attack](before, found.points)))
    assert len(world.state.blinded["north"]) == 1


@pytest.mark.parametrize(
    "change", [lambda p: p[:-32], lambda p: p + p[:32], lambda p: p[:-1], lambda p: b""]
)
def test_a_raised_set_has_the_length_of_the_one_before(
    world: World, change: Callable[[bytes], bytes]
) -> None:
    world.holders["north"].obey(world.until(Blind, "north"))
    south = world.holders["south"]
    found = south.raised("north", 1)
    with pytest.raises(VerificationError, match="length"):
        south.submit_set(bent(found, change(found.points)))
    assert on_disk(world) == ["set-north-0", "set-north-0.list"]


def test_a_first_set_is_as_long_as_its_table_may_be(world: World) -> None:
    """At most ``max_rows``; of a padded table exactly ``pad_to``, so that nobody sees its rows."""
    north, south = world.holders["north"], world.holders["south"]
    for count in (41, 1000):
        points = b"".join(random_points(count))
        with pytest.raises(VerificationError, match="length"):
            north.submit_set(BlindedSet(world.run, "north", ("north",), points))
    for count, why in ((29, "padded"), (31, "length")):
        points = b"".join(random_points(count))
        with pytest.raises(VerificationError, match=why):
            south.submit_set(BlindedSet(world.run, "south", ("south",), points))
    assert world.state.blinded == {}


def test_a_step_needs_its_pieces(world: World) -> None:
    north = world.holders["north"]
    found = north.raised("north", 0)
    step = SetBlinded(world.run, "north", "north", 0, found.digest, NOW)
    with pytest.raises(VerificationError, match="pieces"):
        north.submit(step)
    with pytest.raises(VerificationError, match="signed"):
        north.submit_set(found, set=b"d" * 32)
    assert world.state.blinded == {}
    assert north.submit_set(found) == north.submit(step)  # asked again, the same entry


def test_what_yesterdays_run_sent_is_of_no_use_today(world: World) -> None:
    """A set of another run, in its own envelope, under a new signature, and to its next raiser."""
    world.settle()
    yesterday, old = world.run, dict(world.holders)
    sets = {name: steps[0] for name, steps in world.state.blinded.items()}
    world.hub.fail_run(
        world.consortium.members["north"],
        world.sign(RunFailed(yesterday, "north", FailureReason.STATE_LOST, NOW), "north"),
    )
    world.hub.work()
    world.order(TODAY)
    north, south = world.holders["north"], world.holders["south"]
    with pytest.raises(RuleViolation) as refused:  # its envelope, with its run
        south.link.submit_join_step(
            world.sign(dataclasses.replace(sets["south"], time=NOW + 1), "south")
        )
    assert refused.value.clause == "R-11"
    with pytest.raises(RuleViolation) as refused:  # its digest, under this run
        south.submit(dataclasses.replace(sets["south"], run=world.run))
    assert refused.value.clause == "R-11"
    # Its points, signed anew: nobody can see that, and they match nothing of this run.
    again = old["north"].blinding._own
    assert again is not None
    with pytest.raises(PermissionDenied):
        south.blinding.further(again, again.digest)
    north.order = old["north"].order
    north.blinding = _replayed(north, again)
    assert world.run != yesterday
    world.settle()
    sums = world.sums()
    assert [row[0] for row in sums] == [0] * len(sums)


def _replayed(north: Holder, again: BlindedSet) -> object:
    """North's blinding, that begins with yesterday's points."""
    blinding = north.blinding
    own = BlindedSet(north.run, "north", ("north",), again.points)
    blinding._own = own
    blinding.first = lambda identifiers, **options: (own, north.order)  # type: ignore[method-assign]
    return blinding


# --- encrypted rows -------------------------------------------------------------------------------


def test_rows_are_as_many_as_the_set_has_points(world: World) -> None:
    world.until(EncryptRows)
    owner = world.holders[owner_of(0)]
    pieces = owner.encrypted(0)
    width = len(pieces[0]) // len(owner.order)
    for strange in (pieces[0][:-width], pieces[0] + pieces[0][:width], pieces[0][:-1], b""):
        with pytest.raises(VerificationError, match="length"):
            owner.submit_rows(0, [strange])
    with pytest.raises(VerificationError, match="length"):
        owner.submit_rows(0, [*pieces, pieces[0]])
    owner.submit_rows(0, pieces)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_run_key_has_the_length_of_the_scenario_and_no_small_factor(
    world: World, bits: int
) -> None:
    world.until(EncryptRows)
    owner = world.holders[owner_of(0)]
    prime = gmpy2.next_prime(3 << bits // 2 - 2)
    factor = 3 if bits == 2048 else gmpy2.next_prime(prime + (1 << 1000))
    modulus = int(owner.key.public.modulus // 3 * 3 if factor == 3 else prime * factor)
    with pytest.raises(VerificationError):
        owner.submit_rows(0, owner.encrypted(0), modulus=modulus.to_bytes(bits // 8, "big"))
    assert world.state.rows == {}


@pytest.mark.parametrize("attack", ["Jacobi symbol -1", "no unit", "too large", "zero"])
def test_rows_that_could_be_told_from_zeros_are_handed_to_nobody(world: World, attack: str) -> None:
    """An owner that marks a row would see in the combiner's work whether it is joined."""
    world.until(EncryptRows)
    owner = world.holders[owner_of(0)]
    public = owner.key.public
    n, width = public.modulus, public.ciphertext_bytes
    (piece,) = owner.encrypted(0)
    marked = {
        "Jacobi symbol -1": next(x for x in range(2, 99) if gmpy2.jacobi(x, n) == -1),
        "no unit": owner.key.primes()[0],
        "too large": n * n,
        "zero": 0,
    }[attack]
    bad = marked.to_bytes(width, "big") + piece[width:]
    with pytest.raises(VerificationError):
        parse_rows(bad, public, join_plan().pairs[0], len(owner.order))
    owner.submit_rows(0, [bad])
    world.until(HandOver)
    world.settle()
    assert world.state.failure is FailureReason.INVARIANT_VIOLATED
    assert world.state.handed is None
    assert world.state.erased is not None
    assert on_disk(world) == []


# --- sums -----------------------------------------------------------------------------------------


def test_sums_are_those_that_were_signed_and_as_many_as_the_pair_has(world: World) -> None:
    world.until(Combine)
    name = combiner_of(0)
    combiner = world.holders[name]
    returned = combiner.combined(0)
    width = world.holders[owner_of(0)].key.public.ciphertext_bytes
    for strange in (returned[:-width], returned + returned[:width], b""):
        with pytest.raises(VerificationError, match="length"):
            combiner.submit_sums(0, strange)
    with pytest.raises(VerificationError, match="signed"):
        combiner.submit_sums(0, returned, sums=b"d" * 32)
    combiner.put(Item(ItemKind.SUMS, number=0), [returned[:-1] + bytes([returned[-1] ^ 1])])
    with pytest.raises(VerificationError, match="signed"):
        combiner.submit(signed_sums(world, returned))
    combiner.submit_sums(0, returned)


def signed_sums(world: World, returned: bytes) -> SumsReturned:
    return SumsReturned(world.run, combiner_of(0), 0, digest_of([returned]), NOW)


def test_who_was_killed_before_its_step_begins_anew(world: World) -> None:
    """Its new process has other secrets; only a first piece replaces what is there."""
    long = b"".join(random_points(10))
    north = world.holders["north"]
    north.put(SET, [long])
    north.submit_set(north.raised("north", 0))
    with pytest.raises(RuleViolation):  # and not once the log has it
        north.put(SET, [long])


def test_sums_that_are_no_ciphertexts_are_not_logged(world: World) -> None:
    world.until(Combine)
    combiner = world.holders[combiner_of(0)]
    with pytest.raises(VerificationError):
        combiner.submit_sums(0, bytes(len(combiner.combined(0))))
    assert world.state.returned == {}


# --- erasing --------------------------------------------------------------------------------------


def test_rows_are_erased_when_the_last_sums_are_back(world: World) -> None:
    world.until(EraseRows)
    assert world.turns("hub") == [EraseRows(world.run)]
    world.now += 7
    world.hub.work()
    receipt = world.state.erased
    assert receipt is not None
    assert receipt.outcome is Outcome.DESTROYED
    assert receipt.passed == (DeletionCheck.NO_FILES_LEFT, DeletionCheck.NO_OPEN_DESCRIPTORS)
    assert NotCovered.BACKUPS in receipt.not_covered
    assert (receipt.started, receipt.ended) == (NOW, NOW + 7)
    assert {name.partition("-")[0] for name in on_disk(world)} == {"sums"}
    assert world.sums() == expected()
    world.hub.fail_run(
        world.consortium.members["office"],
        world.sign(RunFailed(world.run, "office", FailureReason.INVARIANT_VIOLATED, NOW), "office"),
    )
    world.hub.work()
    assert on_disk(world) == []
    assert not world.folder.exists()


def test_rows_are_erased_when_a_holder_revokes_in_the_middle(world: World) -> None:
    world.until(HandOver)
    step = ScenarioRevoked(scenario().digest, "west", RefusalReason.LEGAL, NOW)
    world.link("west").revoke_scenario(world.sign(step, "west"))
    assert world.hub.work()
    assert world.state.failure is FailureReason.REVOKED
    assert world.state.handed is None
    assert world.state.erased is not None
    assert on_disk(world) == []
    for name in HOLDERS:  # nothing comes after the receipt
        for item in (SET, Item(ItemKind.ROWS, number=0), Item(ItemKind.ROWS, number=1)):
            with pytest.raises((NotFound, NotYet)):
                world.link(name).put_piece(world.run, item, 0, bytes(32))
    assert on_disk(world) == []


def test_pieces_that_no_step_names_are_erased_with_a_receipt(world: World) -> None:
    north = world.holders["north"]
    north.put(SET, list(set_pieces(north.raised("north", 0).points)))
    step = RunFailed(world.run, "north", FailureReason.STAGING_FAILED, NOW)
    world.link("north").fail_run(world.sign(step, "north"))
    world.hub.work()
    assert world.state.erased is not None
    assert on_disk(world) == []


def test_what_a_killed_coordinator_left_of_a_run_that_is_over_is_swept(world: World) -> None:
    world.until(Combine)
    step = RunFailed(world.run, "north", FailureReason.STATE_LOST, NOW)
    world.link("north").fail_run(world.sign(step, "north"))
    world.restart()
    assert on_disk(world) != []
    world.hub.work()
    assert on_disk(world) == []
    assert world.state.erased is not None
    assert DeletionCheck.LATE_SWEEP in world.state.erased.passed


def test_a_file_that_cannot_be_erased_is_said_to_be_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.until(Combine)
    (world.folder / "rows-0.copy").write_bytes(b"somebody's copy")
    with (world.folder / "handed-0").open("rb"):  # somebody reads it
        assert world.hub._exchange.erase(world.run) == {
            DeletionCheck.NO_FILES_LEFT: True,
            DeletionCheck.NO_OPEN_DESCRIPTORS: False,
        }
    monkeypatch.setattr(world.hub._exchange._files, "erase", lambda run, keep="": None)
    (world.folder / "rows-0").write_bytes(b"")
    assert not world.hub._exchange.erase(world.run)[DeletionCheck.NO_FILES_LEFT]


def test_a_failed_erasure_is_logged_and_ends_the_run(world: World) -> None:
    world.until(EraseRows)
    with (world.folder / "rows-0").open("rb"):
        world.hub.work()
    assert world.state.failure is FailureReason.DELETION_FAILED


# --- time -----------------------------------------------------------------------------------------


def test_pieces_are_progress(world: World) -> None:
    """A run of which pieces arrive is not given up, one of which nothing comes is."""
    north = world.holders["north"]
    piece = north.raised("north", 0).points
    world.now += 500
    north.link.put_piece(world.run, SET, 0, piece)
    world.now += 500
    world.hub.tick()
    assert world.state.phase is RunPhase.BLINDING
    world.now += 101
    world.hub.tick()
    assert world.state.failure is FailureReason.TIMED_OUT
    world.hub.work()
    assert on_disk(world) == []


# --- on the disk ----------------------------------------------------------------------------------


def test_a_torn_piece_is_sent_again(world: World) -> None:
    """The process died while it wrote: what fits the list is kept, the rest asked for again."""
    north = world.holders["north"]
    found = north.raised("north", 0)
    (piece,) = set_pieces(found.points)
    north.link.put_piece(world.run, SET, 0, piece)
    for damage in (piece[:-1], piece[:-1] + bytes([piece[-1] ^ 1])):
        world.restart()
        (world.folder / "set-north-0").write_bytes(damage)
        assert north.link.count_pieces(world.run, SET) == 0
        north.link.put_piece(world.run, SET, 0, piece)
    world.restart()
    assert north.link.count_pieces(world.run, SET) == 1
    north.submit_set(found)
