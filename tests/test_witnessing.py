"""Cosigning: what each holder says of the log, in which order, and what it remembers of it."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attacks.lying import NOW, World, forged_page
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pets import HOLDERS, TEXT

from stayput.cosigning import Standing, is_milestone
from stayput.errors import ConfigurationError, NotYet, Unavailable, VerificationError
from stayput.link import LogPage
from stayput.replica import Replica
from stayput.session import RunPhase
from stayput.steps import Round
from stayput.store.journal import Evidence, Journal
from stayput.tlog.checkpoint import claimed_checkpoint
from stayput.witness import Witness

Line = tuple[str, int, int]
"""Key name, size, time."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = World(tmp_path)
    yield built
    built.close()


def lines(note: bytes, world: World) -> list[Line]:
    """The cosignatures on a note, verified by nothing of ours: C2SP tlog-cosignature by hand."""
    text, _, signatures = note.decode().rpartition("\n\n")
    size = int(text.split("\n")[1])
    found = []
    for line in signatures.splitlines():
        mark, name, encoded = line.split(" ")
        assert mark == "—"
        blob = base64.b64decode(encoded, validate=True)
        kind, _, member = name.removeprefix("rehearsal.stayput/").partition("/")
        if kind == "log":
            continue
        card = world.members[member]
        public = card.witness_key if kind == "witness" else card.auditor_key
        time = int.from_bytes(blob[4:12], "big")
        message = f"cosignature/v1\ntime {time}\n{text}\n".encode()
        Ed25519PublicKey.from_public_bytes(public).verify(blob[12:], message)
        found.append((name, size, time))
    return found


def standing(world: World, member: str, at: str = "asker") -> Standing:
    replica = world.nodes[at].replica if at in world.nodes else world.client.replica
    replica.catch_up(world.link(at))
    return replica.cosigned(member)


def recorded(world: World, name: str) -> list[bytes]:
    """The notes that a party submits from now on."""
    notes: list[bytes] = []
    honest = world.coordinator.submit_cosignatures

    def submitted(caller: Any, sent: tuple[bytes, ...]) -> None:
        if caller.name == name:
            notes.extend(sent)
        honest(caller, sent)

    world.coordinator.submit_cosignatures = submitted  # type: ignore[method-assign]
    return notes


# --- what is cosigned -----------------------------------------------------------------------------


def test_at_rest_every_holder_has_cosigned_the_whole_log_with_both_keys(world: World) -> None:
    world.order()
    world.settle()
    size = world.coordinator.size
    for at in (*HOLDERS, "asker"):
        for member in HOLDERS:
            assert standing(world, member, at) == Standing(size, size)
        assert standing(world, "office", at) == Standing()


def test_milestones_are_cosigned_by_everybody_on_one_note(world: World) -> None:
    run = world.order()
    world.settle()
    client = world.client
    client.replica.catch_up(world.link("asker"))
    steps = [s for _, s in client.replica.milestones_from(0)]
    assert {type(step).__name__ for step in steps} == {
        *("ScenarioSealed", "RunOrdered", "SumFormed", "CountsChecked", "ResultReleased")
    }
    assert all(map(is_milestone, steps))
    for step in steps:
        note = client.replica.cosigned_note(world.link("asker"), step, HOLDERS)
        assert note is not None
        assert claimed_checkpoint(note).size == client.replica.index_of(step) + 1
        assert sorted(name for name, _, _ in lines(note, world)) == sorted(
            f"rehearsal.stayput/{kind}/{holder}"
            for kind in ("witness", "auditor")
            for holder in HOLDERS
        )
    assert client.replica.session.runs[run].phase is RunPhase.RELEASED


def test_each_key_signs_larger_and_larger_trees_and_never_backdates(world: World) -> None:
    notes = recorded(world, "north")
    for now in (NOW + 50, NOW + 10, NOW + 60):  # a clock that was set back in between
        world.clock = lambda now=now: now
        world.nodes["north"] = world.start_node("north")
        world.order()
        world.settle()
    signed: dict[str, list[tuple[int, int]]] = {}
    for note in notes:
        for name, size, time in lines(note, world):
            signed.setdefault(name, []).append((size, time))
    assert len(signed) == 2
    for sizes in signed.values():
        assert [size for size, _ in sizes] == sorted({size for size, _ in sizes})
        assert [time for _, time in sizes] == sorted(time for _, time in sizes)
        assert sizes[-1] == (world.coordinator.size, NOW + 60)


def test_a_step_for_which_nobody_waits_is_cosigned_when_nothing_else_is_new(world: World) -> None:
    world.settle()
    size = world.coordinator.size
    proposed = world.client.propose(TEXT.replace("scenario: pets", "scenario: more-pets"))
    assert not is_milestone(world.client.state(proposed).proposed)
    node = world.nodes["north"]
    assert node.follow()
    assert standing(world, "north").size == size
    assert node.follow()
    assert standing(world, "north").size == size + 1


def test_who_does_not_cosign_is_no_witness(world: World) -> None:
    replica = Replica(world.members, world.journal("office"))
    with pytest.raises(ConfigurationError, match="no keys to cosign with"):
        Witness(
            world.identities["office"],
            replica,
            world._journals["office"],
            world.link("office"),
            world.clock,
        )


# --- before a signature leaves --------------------------------------------------------------------


def test_what_was_signed_is_on_disk_before_it_leaves_and_leaves_again_unchanged(
    world: World,
) -> None:
    world.settle()
    node = world.nodes["north"]
    seen: list[tuple[bytes, ...]] = []

    def lost(caller: Any, notes: tuple[bytes, ...]) -> None:
        file = Journal(world.root / "north" / "journal.db")  # what a restart would find
        assert tuple(note for _, note in file.unsent(10)) == notes
        largest = max(claimed_checkpoint(note).size for note in notes)
        assert {one.size for one in file.cosigned().values()} == {largest}
        file.close()
        seen.append(notes)
        raise Unavailable("lost on the way")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.coordinator, "submit_cosignatures", lost)
        submit_order(world)
        with pytest.raises(Unavailable):
            node.follow()
    sent = recorded(world, "north")
    world.clock = lambda: NOW + 1000
    world.nodes["north"] = world.start_node("north")
    world.nodes["north"].follow()
    assert tuple(sent[: len(seen[0])]) == seen[0]
    assert world._journals["north"].unsent(10) == ()


def submit_order(world: World) -> bytes:
    """An order that nobody has looked at yet."""
    follow, world.follow = world.follow, lambda: None  # type: ignore[method-assign]
    try:
        return world.order()
    finally:
        world.follow = follow  # type: ignore[method-assign]


def test_nothing_is_cosigned_that_could_not_be_stored(world: World) -> None:
    world.settle()
    before = standing(world, "north")
    submit_order(world)
    journal = world._journals["north"]

    def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "append", full)
        with pytest.raises(Unavailable):
            world.nodes["north"].follow()
    assert standing(world, "north") == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "cosign", full)
        with pytest.raises(Unavailable):
            world.nodes["north"].follow()
    assert standing(world, "north") == before
    world.nodes["north"].follow()
    assert standing(world, "north").size == before.size + 1


def test_two_processes_over_one_journal_never_sign_the_smaller_tree_last(world: World) -> None:
    """Both look at N, one goes on to N + K and signs: the other, still at N, signs nothing."""
    world.settle()
    submit_order(world)
    fast, slow = (_witness(world, "north") for _ in range(2))
    slow.replica.catch_up(world.link("north"))
    submit_order(world)
    fast.replica.catch_up(world.link("north"))
    notes = recorded(world, "north")
    assert fast.cosign()
    assert not slow.cosign()
    sizes = [claimed_checkpoint(note).size for note in notes]
    assert sizes == [slow.replica.size, fast.replica.size]
    slow.replica.catch_up(world.link("north"))
    assert not slow.cosign()


def test_the_check_is_made_again_inside_the_transaction_that_stores(world: World) -> None:
    """The other process signs after this one has looked, and before it has written."""
    world.settle()
    submit_order(world)
    slow, fast = (_witness(world, "north") for _ in range(2))
    slow.replica.catch_up(world.link("north"))
    submit_order(world)
    fast.replica.catch_up(world.link("north"))
    notes = recorded(world, "north")
    store = slow._journal.cosign

    def late(decide: Any) -> bool:
        fast.cosign()
        return store(decide)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slow._journal, "cosign", late)
        slow.cosign()
    signed = [size for note in notes for _, size, _ in lines(note, world)]
    assert signed == sorted(signed)
    assert len(signed) == len(set(signed)) * 2  # both keys, each size once


def _witness(world: World, name: str) -> Witness:
    journal = Journal(world.root / name / "journal.db")
    replica = Replica(world.members, journal)
    return Witness(world.identities[name], replica, journal, world.link(name), world.clock)


# --- restored from an old copy --------------------------------------------------------------------


def roll_back(world: World, name: str, copy: Path) -> None:
    world._journals.pop(name).close()
    for path in (world.root / name).glob("journal.db*"):
        path.unlink()
    shutil.copy(copy, world.root / name / "journal.db")
    world.nodes[name] = world.start_node(name)


def saved(world: World, name: str, copy: Path) -> None:
    connection = world._journals[name]._database._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(world.root / name / "journal.db", copy)


def test_a_witness_that_was_rolled_back_signs_nothing_that_it_has_signed(
    world: World, tmp_path: Path
) -> None:
    world.settle()
    saved(world, "north", tmp_path / "old.db")
    world.order()
    world.settle()
    roll_back(world, "north", tmp_path / "old.db")
    notes = recorded(world, "north")
    size = world.coordinator.size
    world.settle()
    assert notes == []
    assert world.nodes["north"].replica.size == size
    run = world.order()
    world.settle()
    assert [claimed_checkpoint(note).size > size for note in notes] == [True] * len(notes)
    assert world.client.wait_for(run, timeout=0)


def test_a_witness_that_was_rolled_back_waits_for_the_tree_that_it_has_signed(
    world: World, tmp_path: Path
) -> None:
    """It is shown the old log, and beside it its own cosignature of a larger one."""
    world.settle()
    saved(world, "north", tmp_path / "old.db")
    old = list(world.coordinator.log.entries())
    world.order()
    world.settle()
    roll_back(world, "north", tmp_path / "old.db")
    newest = world.coordinator.read_log(world.members["north"], world.coordinator.size).cosigned
    # One entry more than north has, but fewer than it has signed.
    log = list(world.coordinator.log.entries())[: len(old) + 1]
    world.lies["north", "read_log"] = lambda page: dataclasses.replace(
        forged_page(world, log, page.start), cosigned=newest
    )
    notes = recorded(world, "north")
    for _ in range(3):
        world.nodes["north"].follow()
    assert world.nodes["north"].replica.size == len(log)
    assert notes == []
    del world.lies["north", "read_log"]
    world.settle()
    assert world.nodes["north"].replica.size == world.coordinator.size
    assert notes == []


def test_a_journal_that_holds_another_tree_than_was_cosigned_is_noticed(world: World) -> None:
    world.settle()
    with world._journals["north"]._database.transaction() as connection:
        connection.execute("UPDATE cosigned SET root = zeroblob(32)")
    submit_order(world)
    with pytest.raises(VerificationError, match="has cosigned another tree"):
        world.nodes["north"].follow()


# --- a fork ---------------------------------------------------------------------------------------


def fork(world: World, name: str) -> None:
    """Show a node another history of the same length, signed by the log."""
    log = list(world.coordinator.log.entries())
    log[-1] = log[1]
    world.lies[name, "read_log"] = lambda page: forged_page(world, log, page.start)
    with pytest.raises(VerificationError, match="does not extend"):
        world.nodes[name].follow()
    del world.lies[name, "read_log"]


def test_who_was_shown_a_fork_cosigns_nothing_any_more(world: World) -> None:
    world.settle()
    fork(world, "north")
    (kept,) = world._journals["north"].evidence()
    assert kept.kind is Evidence.FORK
    notes = recorded(world, "north")
    said: list[str] = []
    world.nodes["north"].report = said.append
    run = world.order()
    for _ in range(2):
        world.settle()
        world.nodes["north"] = world.start_node("north")
    assert notes == []
    assert len(said) == 1
    assert "evidence of a fork" in said[0]
    world.client.replica.catch_up(world.link("asker"))
    assert world.client.replica.session.runs[run].receipts == {}  # so nobody computes


def test_the_same_evidence_is_kept_once(world: World) -> None:
    world.settle()
    for _ in range(3):
        fork(world, "north")
    assert len(world._journals["north"].evidence()) == 1


# --- sums -----------------------------------------------------------------------------------------


def test_the_auditor_key_waits_for_the_sum_and_the_witness_key_does_not(world: World) -> None:
    run = world.order()

    def away(part: bytes) -> bytes:
        raise Unavailable("the line is down")

    for holder in HOLDERS[1:]:
        world.nodes[holder].work()
    world.lies["north", "get_contribution"] = away
    node = world.nodes["north"]
    node.work()
    with pytest.raises(Unavailable):
        node.follow()
    replica = world.client.replica
    replica.catch_up(world.link("asker"))
    formed = replica.index_of(replica.session.runs[run].sums[Round.COUNTS])
    before = standing(world, "north")
    assert before.auditor <= formed
    # The run is known to the witness part alone: nothing keeps it from what only grows.
    assert node._witness.cosign(until=formed)
    assert standing(world, "north") == Standing(formed + 1, formed)
    for holder in HOLDERS[1:]:
        world.nodes[holder].follow()
    world.checker.work()
    replica.catch_up(world.link("asker"))
    assert replica.session.runs[run].phase is RunPhase.JUDGING  # and stays there
    del world.lies["north", "get_contribution"]
    world.settle()
    assert world.client.wait_for(run, timeout=0)


def test_a_restarted_node_does_not_form_sums_again_that_it_has_cosigned(world: World) -> None:
    run = world.order()
    world.contribute()
    fetched: list[bytes] = []
    world.lies["north", "get_contribution"] = lambda part: fetched.append(part) or part
    world.nodes["north"] = world.start_node("north")
    world.nodes["north"].follow()
    assert fetched == []
    world.settle()
    assert len(fetched) == len(HOLDERS)  # of the values
    assert world.client.wait_for(run, timeout=0)


# --- an outside witness ---------------------------------------------------------------------------


class Outside(World):
    """With an auditor who has nothing to do with any scenario."""

    auditors = ("press",)


def test_an_auditor_follows_and_cosigns_but_nobody_waits_for_it(tmp_path: Path) -> None:
    world = Outside(tmp_path)
    run = world.order()
    for _ in range(50):  # everybody but the auditor
        if not any([*(node.work() for node in world.nodes.values()), world.checker.work()]):
            break
    assert world.client.wait_for(run, timeout=0)
    assert standing(world, "press") == Standing()
    world.settle()
    size = world.coordinator.size
    assert standing(world, "press") == Standing(size, size)
    assert world.witnesses["press"].replica.size == size
    world.lies["asker", "read_log"] = lambda page: _only(page, world, "press")
    with pytest.raises(NotYet):  # its word does not stand for a holder's
        world.client.fetch(run)
    world.close()


def _only(page: LogPage, world: World, member: str) -> LogPage:
    kept = [n for n in page.cosigned if any(line[0].endswith(member) for line in lines(n, world))]
    notes = []
    for note in kept:
        head, _, signatures = note.decode().rpartition("\n\n")
        mine = [s for s in signatures.splitlines() if "/log " in s or f"/{member} " in s]
        notes.append(f"{head}\n\n{chr(10).join(mine)}\n".encode())
    return dataclasses.replace(page, cosigned=tuple(notes))


# --- waiting --------------------------------------------------------------------------------------


def test_who_asks_is_told_which_holder_is_awaited(world: World) -> None:
    run = world.order()
    while not _released(world, run):
        world.nodes["west"].work()
        for name in ("north", "south"):
            world.nodes[name].work()
        world.checker.work()
    assert _released(world, run)
    released = world.client.replica.session.runs[run].released
    assert released is not None
    assert world.client.replica.awaited(released, HOLDERS) == HOLDERS
    for name in ("north", "south"):
        world.nodes[name].work()
    with pytest.raises(NotYet, match="not every holder has confirmed") as told:
        world.client.wait_for(run, timeout=0)
    assert told.value.hint.startswith("waiting for west:")
    world.settle()
    assert world.client.wait_for(run, timeout=0).verify()


def _released(world: World, run: bytes) -> bool:
    world.client.replica.catch_up(world.link("asker"))
    return world.client.replica.session.runs[run].phase is RunPhase.RELEASED


def test_catching_up_says_whether_there_is_anything_new(world: World) -> None:
    world.settle()
    node = world.nodes["north"]
    node.follow()
    assert not node.follow()
    submit_order(world)
    world.nodes["south"].follow()
    assert node.replica.catch_up(world.link("north"))  # an entry and a cosignature
    assert not node.replica.catch_up(world.link("north"))
    world.nodes["west"].follow()
    assert node.replica.catch_up(world.link("north"))  # a cosignature
    assert not node.replica.catch_up(world.link("north"))
