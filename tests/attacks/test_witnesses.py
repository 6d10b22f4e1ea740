"""Somebody tries to get past the witnesses: two histories, wrong sums, borrowed cosignatures.

What must not happen in any of them: a node computes, the checker opens, a result is shown.
"""

from __future__ import annotations

import dataclasses
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attacks.lying import NOW, World, forged_page, nothing_staged
from attacks.test_attacks import count_openings
from pets import HOLDERS, TEXT

from stayput import documents
from stayput.audit import verify_release
from stayput.crypto import signing
from stayput.crypto.paillier import Accumulator, parse_ciphertexts
from stayput.crypto.signing import SigningKey
from stayput.encryption import Addition, EncryptedSum
from stayput.errors import NotFound, NotYet, StayputError, VerificationError
from stayput.identity import draw_next, member_card
from stayput.link import LogPage
from stayput.release import Argument, ReleaseBundle, RunOrder
from stayput.session import RunPhase
from stayput.steps import FailureReason, KeysRotated, Round, RunOrdered
from stayput.store.journal import Evidence
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, claimed_checkpoint, sign_checkpoint
from stayput.tlog.cosignature import cosign
from stayput.tlog.note import add_signatures

Fork = list[bytes]


def order_entry(world: World, youngest: int) -> bytes:
    """An order that a data user signs in league with the coordinator."""
    document = RunOrder(
        b"r" * 16,
        world.scenario,
        "by_colour",
        (Argument("youngest", number=youngest),),
        secrets.token_bytes(32),
    )
    step = RunOrdered(
        document.run, world.scenario, "asker", documents.digest(document), HOLDERS, 2, NOW
    )
    return world.sign(step, "asker")


def show(world: World, name: str, log: Fork, notes: Callable[[], tuple[bytes, ...]]) -> None:
    """From now on a party is shown this log, signed, and these cosigned notes."""

    def lie(start: int, wait_ms: int, known: bytes = b"") -> LogPage:
        return dataclasses.replace(forged_page(world, log, start), cosigned=notes())

    world.instead[name, "read_log"] = lie


def collected(world: World, names: tuple[str, ...]) -> dict[int, bytes]:
    """The coordinator of a fork: takes what these parties cosign, merges it, signs it."""
    notes: dict[int, bytes] = {}
    honest = world.coordinator.submit_cosignatures

    def take(caller: Any, sent: tuple[bytes, ...]) -> None:
        if caller.name not in names:
            honest(caller, sent)
            return
        for note in sent:
            checkpoint = claimed_checkpoint(note)
            before = notes.get(checkpoint.size) or sign_checkpoint(
                checkpoint, world.identities["hub"].signing_key
            )
            lines = note.rpartition(b"\n\n")[2].splitlines(keepends=True)
            notes[checkpoint.size] = add_signatures(before, lines)

    world.coordinator.submit_cosignatures = take  # type: ignore[method-assign]
    return notes


def cosigned_by(world: World, names: tuple[str, ...], log: Fork) -> bytes:
    """A note over a log with the cosignatures of these holders, who sign whatever they like."""
    tree = merkle.Tree(merkle.leaf_hash(entry) for entry in log)
    checkpoint = Checkpoint(world.members.log_origin, tree.size, tree.root())
    note = sign_checkpoint(checkpoint, world.identities["hub"].signing_key)
    return add_signatures(
        note, [line for name in names for line in own_lines(world, name, checkpoint)]
    )


def own_lines(world: World, name: str, checkpoint: Checkpoint) -> list[bytes]:
    identity, members = world.identities[name], world.members
    assert identity.witness_key is not None
    assert identity.auditor_key is not None
    return [
        cosign(checkpoint.text, members.witness_name(name), identity.witness_key, NOW),
        cosign(checkpoint.text, members.auditor_name(name), identity.auditor_key, NOW),
    ]


def bend_notes(world: World, name: str, bend: Callable[[bytes], bytes | None]) -> None:
    """Every cosigned note that a party is shown passes through a lie."""

    def lie(page: LogPage) -> LogPage:
        bent = tuple(note for note in map(bend, page.cosigned) if note is not None)
        return dataclasses.replace(page, cosigned=bent)

    world.lies[name, "read_log"] = lie


def without(member: str) -> Callable[[bytes], bytes]:
    def bend(note: bytes) -> bytes:
        head, _, lines = note.rpartition(b"\n\n")
        kept = [
            line for line in lines.splitlines() if not line.split(b" ")[1].endswith(member.encode())
        ]
        return head + b"\n\n" + b"\n".join(kept) + b"\n"

    return bend


# --- a node computes nothing ----------------------------------------------------------------------


def test_two_histories_for_two_halves_of_the_holders(world: World) -> None:
    """Each half cosigns what it is shown, and none of it is enough for anybody."""
    world.settle()
    log = list(world.coordinator.log.entries())
    left, right = [*log, order_entry(world, 0)], [*log, order_entry(world, 10)]
    notes = collected(world, HOLDERS)
    seen: dict[str, dict[int, bytes]] = {"left": {}, "right": {}}
    halves = {"north": "left", "south": "right", "west": "right"}
    for name, half in halves.items():
        entries = left if half == "left" else right
        show(world, name, entries, lambda half=half: tuple(seen[half].values()))
    for _ in range(3):
        for name, half in halves.items():
            notes.clear()
            world.nodes[name].work()
            for size, note in notes.items():
                lines = note.rpartition(b"\n\n")[2].splitlines(keepends=True)
                seen[half][size] = add_signatures(seen[half].get(size, note), lines)
    assert all(nothing_staged(world, name) for name in HOLDERS)
    for name, half in halves.items():
        replica = world.nodes[name].replica
        (run,) = replica.session.runs.values()
        there = tuple(other for other in HOLDERS if halves[other] != half)
        assert replica.awaited(run.ordered, HOLDERS) == there
    # Shown the other half's note in the end, a holder has both signatures of the log in hand.
    other = seen["right"][len(right)]
    show(world, "north", left, lambda: (other,))
    with pytest.raises(VerificationError, match="does not extend"):
        world.nodes["north"].work()
    (kept,) = world._journals["north"].evidence()
    assert (kept.kind, kept.note) == (Evidence.FORK, other)


def test_a_coordinator_and_a_holder_who_signs_both_histories(world: World) -> None:
    """Two of three have cosigned what each victim sees: with 2 of 3 both would have computed."""
    world.settle()
    log = list(world.coordinator.log.entries())
    shown = {"north": [*log, order_entry(world, 0)], "south": [*log, order_entry(world, 10)]}
    collected(world, HOLDERS)
    for name, entries in shown.items():
        show(world, name, entries, lambda e=entries, n=name: (cosigned_by(world, (n, "west"), e),))
    for _ in range(3):
        for name in shown:
            world.nodes[name].work()
    for name, entries in shown.items():
        assert world.nodes[name].replica.size == len(entries)
        assert nothing_staged(world, name)


def test_an_order_that_a_holder_was_not_shown_is_computed_by_nobody(world: World) -> None:
    run = world.order()  # everybody has cosigned it …
    second = hidden_order(world)  # … and not this one
    world.lies["west", "read_log"] = lambda page: dataclasses.replace(
        forged_page(world, list(world.coordinator.log.entries())[:known], page.start)
    )
    known = world.nodes["west"].replica.size
    for _ in range(4):
        for name in HOLDERS:
            world.nodes[name].work()
    staged = {name: len(world.stagers[name].requests) for name in HOLDERS}
    assert staged == {"north": 1, "south": 1, "west": 1}
    world.client.replica.catch_up(world.link("asker"))
    assert world.client.replica.session.runs[second].receipts == {}
    assert world.client.replica.session.runs[run].receipts


def hidden_order(world: World) -> bytes:
    follow, world.follow = world.follow, lambda: None  # type: ignore[method-assign]
    try:
        return world.order()
    finally:
        world.follow = follow  # type: ignore[method-assign]


def test_values_are_not_sent_before_everybody_has_cosigned_the_verdict(world: World) -> None:
    run = world.order()
    world.contribute()
    world.checker.work()
    world.checker.work()
    for _ in range(3):
        for name in ("north", "south"):
            world.nodes[name].work()
    world.client.replica.catch_up(world.link("asker"))
    state = world.client.replica.session.runs[run]
    assert state.phase is RunPhase.VALUING
    assert state.contributions[Round.VALUES] == {}
    world.settle()
    assert world.client.wait_for(run, timeout=0)


# --- the coordinator of yesterday -----------------------------------------------------------------


def test_a_coordinator_restored_from_yesterdays_backup(world: World, tmp_path: Path) -> None:
    world.settle()
    world.coordinator.close()
    world._journals.pop("hub").close()
    shutil.copytree(world.root / "hub", tmp_path / "yesterday")
    world._started = False
    world.start_coordinator()
    run = world.order()
    world.settle()
    assert world.client.wait_for(run, timeout=0)
    world.coordinator.close()
    world._journals.pop("hub").close()
    world._started = False
    shutil.rmtree(world.root / "hub")
    shutil.copytree(tmp_path / "yesterday", world.root / "hub")
    world.start_coordinator()
    for name in HOLDERS:
        with pytest.raises(VerificationError, match="we hold"):
            world.nodes[name].work()
        assert [kept.kind for kept in world._journals[name].evidence()] == [Evidence.SHRUNK]
    # It goes on as if nothing had been: what it signs now contradicts what it signed.
    entry = order_entry(world, 3)
    log = [*world.coordinator.log.entries(), entry]
    while len(log) < world.nodes["north"].replica.size:
        log.append(entry)
    for name in HOLDERS:
        show(world, name, log, tuple)
        with pytest.raises(VerificationError):
            world.nodes[name].work()
        assert Evidence.FORK in {kept.kind for kept in world._journals[name].evidence()}


def test_an_older_log_is_no_fork_and_still_no_log_to_go_on_with(world: World) -> None:
    world.order()
    world.settle()
    log = list(world.coordinator.log.entries())
    show(world, "north", log[:-2], tuple)
    with pytest.raises(VerificationError, match="we hold"):
        world.nodes["north"].work()
    (kept,) = world._journals["north"].evidence()
    assert kept.kind is Evidence.SHRUNK
    world.instead.clear()
    world.order()
    world.settle()
    assert world.nodes["north"].replica.cosigned("north").size == world.coordinator.size


# --- sums -----------------------------------------------------------------------------------------


def test_one_part_twice_and_another_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data user's friend adds north's part twice: what is logged as the sum is no sum."""
    opened = count_openings(monkeypatch)
    run = world.order(statement="numbers", arguments=(), rounds=1)
    coordinator = world.coordinator

    def doubled(addition: Any) -> EncryptedSum:
        parts = coordinator._session.runs[run].contributions[Round.COUNTS]
        key, count = addition._checker, addition._layout.ciphertexts
        total = Accumulator(key, count)
        for name in ("north", "north", "south"):
            named = run + b"\x01" + parts[name].ciphertexts
            stored = coordinator._journal.get("contribution", named)
            total.add(parse_ciphertexts(stored, key, count))
        return EncryptedSum(addition._context, total.total().to_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Addition, "sum", doubled)
        for name in HOLDERS:
            world.nodes[name].work()
    world.settle()
    assert world.failure(run) is FailureReason.SUM_MISMATCH
    assert opened == []


@pytest.mark.parametrize("victim", HOLDERS)
def test_a_holder_that_is_shown_another_part_ends_the_run(world: World, victim: str) -> None:
    run = world.order(statement="numbers", arguments=(), rounds=1)
    world.lies[victim, "get_contribution"] = lambda part: part[:-1] + bytes([part[-1] ^ 1])
    world.settle()
    assert world.failure(run) is FailureReason.SUM_MISMATCH
    assert "not the one in the log" in world.notes(victim)
    second = world.order(statement="numbers", arguments=(), rounds=1)
    world.lies.clear()
    world.settle()
    assert world.client.wait_for(second, timeout=0)


def test_a_refusal_of_a_sum_outlives_the_node(world: World) -> None:
    """Killed between finding out and telling: it tells after the restart, and cosigns no sum."""
    run = world.order(statement="numbers", arguments=(), rounds=1)
    for name in HOLDERS:
        world.nodes[name].work()
    world.lies["north", "get_contribution"] = lambda part: part[:-1] + bytes([part[-1] ^ 1])

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> int:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.coordinator, "fail_run", kill)
        with pytest.raises(Killed):
            world.nodes["north"].work()
    del world.lies["north", "get_contribution"]  # the coordinator shows the right part now
    world.nodes["north"] = world.start_node("north")
    world.settle()
    assert world.failure(run) is FailureReason.SUM_MISMATCH


def test_a_part_in_this_holders_name_that_it_did_not_send(world: World) -> None:
    """Somebody has north's signing key: its node does not agree to the sum."""
    run = world.order(statement="numbers", arguments=(), rounds=1)
    for name in HOLDERS:
        world.nodes[name].work()
    with world._ledgers["north"]._database.transaction() as connection:
        connection.execute("DELETE FROM outgoing WHERE name LIKE 'contribution%'")
    world.settle()
    assert world.failure(run) is FailureReason.SUM_MISMATCH
    assert "not the one that it sent" in world.notes("north")


def test_a_release_of_a_sum_that_a_holder_never_formed_again_is_not_confirmed(
    world: World,
) -> None:
    """Checker and coordinator in league open without north: nobody is shown what they release."""
    run = world.order(statement="numbers", arguments=(), rounds=1)
    for name in HOLDERS:
        world.nodes[name].work()

    def hidden(part: bytes) -> bytes:
        raise NotFound("no such contribution for this party")

    world.lies["north", "get_contribution"] = hidden
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.checker, "_may_open", lambda _: True)
        world.checker.work()
        world.checker.work()
    for _ in range(3):
        for name in HOLDERS:
            world.nodes[name].work()
    world.nodes["north"] = world.start_node("north")
    world.settle()
    replica = world.client.replica
    replica.catch_up(world.link("asker"))
    state = replica.session.runs[run]
    assert state.phase is RunPhase.RELEASED
    assert replica.cosigned("north").auditor <= replica.index_of(state.sums[Round.COUNTS])
    assert replica.cosigned("north").witness > replica.index_of(state.sums[Round.COUNTS])
    with pytest.raises(NotYet, match="not every holder has confirmed"):
        world.client.wait_for(run, timeout=0)


# --- the checker opens nothing --------------------------------------------------------------------


def test_a_checker_that_is_shown_no_cosignatures(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = count_openings(monkeypatch)
    run = world.order()
    bend_notes(world, "office", lambda note: None)
    world.settle()
    assert opened == []
    world.client.replica.catch_up(world.link("asker"))
    assert world.client.replica.session.runs[run].phase is RunPhase.JUDGING
    world.lies.clear()
    world.settle()
    assert len(opened) == 2


@pytest.mark.parametrize("absent", HOLDERS)
def test_a_checker_that_is_shown_all_holders_but_one(
    world: World, absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = count_openings(monkeypatch)
    world.order()
    bend_notes(world, "office", without(absent))
    world.settle()
    assert opened == []


def shifted(note: bytes, world: World) -> bytes:
    """The lines of one size on the checkpoint of the next, signed by the log."""
    size = claimed_checkpoint(note).size
    log = list(world.coordinator.log.entries())[: size - 1] or [b""]
    tree = merkle.Tree(merkle.leaf_hash(entry) for entry in log)
    checkpoint = Checkpoint(world.members.log_origin, tree.size, tree.root())
    signed = sign_checkpoint(checkpoint, world.identities["hub"].signing_key)
    lines = note.rpartition(b"\n\n")[2].splitlines(keepends=True)
    return add_signatures(signed, [line for line in lines if b"/log " not in line])


def test_cosignatures_of_another_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_openings(monkeypatch)
    world.order()
    bend_notes(world, "office", lambda note: shifted(note, world))
    world.contribute()
    with pytest.raises(VerificationError, match="does not hold"):
        world.checker.work()
    assert opened == []


def test_forged_cosignatures(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right name, right key id, somebody else's signature."""
    opened = count_openings(monkeypatch)
    world.order()
    world.contribute()

    def forge(note: bytes) -> bytes:
        head, _, lines = note.rpartition(b"\n\n")
        bent = bytearray(lines)
        position = bent.index(b"/west ") + 30
        bent[position] = ord("A") if bent[position] != ord("A") else ord("B")
        return head + b"\n\n" + bytes(bent)

    bend_notes(world, "office", forge)
    with pytest.raises(VerificationError, match=r"cosignature of .*west does not hold"):
        world.checker.work()
    assert opened == []


def test_cosignatures_by_keys_that_are_no_members(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator makes keys of its own for west, or borrows those of another consortium."""
    opened = count_openings(monkeypatch)
    world.order()
    strangers = {kind: SigningKey.generate() for kind in ("witness", "auditor")}

    def borrow(note: bytes) -> bytes:
        checkpoint = claimed_checkpoint(note)
        names = (world.members.witness_name("west"), world.members.auditor_name("west"))
        lines = [
            cosign(checkpoint.text, name, key, NOW)
            for name, key in zip(names, strangers.values(), strict=True)
        ]
        return add_signatures(without("west")(note), lines)

    bend_notes(world, "office", borrow)
    world.settle()
    assert opened == []
    assert world.checker.replica.cosigned("west").size == 0


def test_one_holders_keys_under_anothers_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """South signs in west's name too: the key says whose line it is, not the name."""
    opened = count_openings(monkeypatch)
    world.order()
    keys = world.identities["south"]
    assert keys.witness_key is not None
    assert keys.auditor_key is not None

    def impersonate(note: bytes) -> bytes:
        text, members = claimed_checkpoint(note).text, world.members
        lines = [
            cosign(text, members.witness_name("west"), keys.witness_key, NOW),
            cosign(text, members.auditor_name("west"), keys.auditor_key, NOW),
        ]
        return add_signatures(without("west")(note), lines)

    bend_notes(world, "office", impersonate)
    world.settle()
    assert opened == []


def test_witness_cosignatures_alone_are_not_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the log grew says nothing about its sums."""
    opened = count_openings(monkeypatch)
    world.order()

    def bend(note: bytes) -> bytes:
        head, _, lines = note.rpartition(b"\n\n")
        kept = [line for line in lines.splitlines(keepends=True) if b"/auditor/" not in line]
        return head + b"\n\n" + b"".join(kept)

    bend_notes(world, "office", bend)
    world.settle()
    assert opened == []


def test_a_key_that_was_rotated_away_cosigns_nothing_any_more(world: World) -> None:
    """Old keys in foreign hands: what they sign after the rotation counts for nobody."""
    world.settle()
    old = world.identities["west"]
    new = draw_next(old, now=NOW)
    step = KeysRotated("west", member_card(new), NOW)
    world.coordinator.rotate_keys(world.members["west"], signing.sign(step, old.signing_key))
    log = list(world.coordinator.log.entries())
    note = cosigned_by(world, ("west",), log)
    replica = world.nodes["north"].replica
    before = replica.cosigned("west").size
    bend_notes(world, "north", lambda _: note)
    world.nodes["north"].follow()
    assert replica.size == len(log)
    assert replica.cosigned("west").size == before < len(log)
    world.lies.clear()
    with pytest.raises(VerificationError):
        world.coordinator.submit_cosignatures(world.members["west"], (note,))
    world.nodes["west"].follow()  # a node that runs on with the old keys signs nothing
    world.nodes["north"].follow()
    assert replica.cosigned("west").size == before


# --- the data user is shown nothing ---------------------------------------------------------------


def test_a_release_without_the_cosignatures_of_its_holders(world: World) -> None:
    run = world.order()
    world.settle()
    bend_notes(world, "asker", without("south"))
    with pytest.raises(NotYet, match="not every holder has confirmed") as told:
        world.client.wait_for(run, timeout=0)
    assert "south" in told.value.hint
    with pytest.raises(NotYet):
        world.client.fetch(run)
    world.lies.clear()
    assert world.client.fetch(run).verify()


def bundle_of(world: World) -> ReleaseBundle:
    run = world.order()
    world.settle()
    return documents.parse(ReleaseBundle, world.client.wait_for(run, timeout=0).bundle)


def test_a_bundle_whose_checkpoint_a_holder_did_not_cosign(world: World) -> None:
    bundle = bundle_of(world)
    assert verify_release(documents.encode(bundle), world.members)
    for holder in HOLDERS:
        for key in (f"/witness/{holder}", f"/auditor/{holder}"):
            bent = dataclasses.replace(bundle, checkpoint=without(key)(bundle.checkpoint))
            with pytest.raises(VerificationError, match=f"not cosigned by .*{key}"):
                verify_release(documents.encode(bent), world.members)
    bent = dataclasses.replace(bundle, checkpoint=without("/log")(bundle.checkpoint))
    with pytest.raises(VerificationError):
        verify_release(documents.encode(bent), world.members)


def test_a_bundle_with_the_cosignatures_of_another_checkpoint(world: World) -> None:
    bundle = bundle_of(world)
    size = claimed_checkpoint(bundle.checkpoint).size
    other = world.coordinator.log.note_at(size - 4)
    lines = bundle.checkpoint.rpartition(b"\n\n")[2].splitlines(keepends=True)
    bare = without("west")(without("south")(without("north")(other)))
    pasted = add_signatures(bare, [line for line in lines if b"/log " not in line])
    with pytest.raises(VerificationError):
        verify_release(
            documents.encode(dataclasses.replace(bundle, checkpoint=pasted)), world.members
        )


# --- the coordinator takes nothing that is wrong --------------------------------------------------


def test_what_a_coordinator_does_not_take_as_cosignature(world: World) -> None:
    world.settle()
    log = list(world.coordinator.log.entries())
    good = cosigned_by(world, ("west",), log)
    west = world.members["west"]
    other_history = cosigned_by(world, ("west",), [*log[:-1], b"x"])
    too_large = cosigned_by(world, ("west",), [*log, b"x"])
    nobodys = cosigned_by(world, (), log)
    anothers = cosigned_by(world, ("north",), log)
    bent = bytearray(good)
    bent[-30] ^= 1
    for note in (other_history, too_large, nobodys, anothers, bytes(bent), b"", b"\n\n"):
        with pytest.raises(StayputError):
            world.coordinator.submit_cosignatures(west, (note,))
    for name in ("asker", "office", "hub"):
        with pytest.raises(StayputError):
            world.coordinator.submit_cosignatures(world.members[name], (good,))
    world.coordinator.submit_cosignatures(west, (good, good))


def test_a_holder_that_cosigns_another_history_is_not_counted_and_kept(world: World) -> None:
    """The coordinator passes on what west signed of a history that the log did not sign here."""
    world.settle()
    log = [*world.coordinator.log.entries()]
    tree = merkle.Tree(merkle.leaf_hash(entry) for entry in [*log[:-1], b"other"])
    checkpoint = Checkpoint(world.members.log_origin, tree.size, tree.root())
    note = f"{checkpoint.text}\n".encode() + b"".join(own_lines(world, "west", checkpoint))
    bend_notes(world, "north", lambda _: note)
    with pytest.raises(VerificationError, match="passes on a cosigned checkpoint"):
        world.nodes["north"].work()
    (kept,) = world._journals["north"].evidence()
    assert kept.kind is Evidence.COSIGNED
    world.lies.clear()
    run = world.order()
    world.settle()
    assert world.client.wait_for(run, timeout=0)  # a holder alone cannot stop the others so


def test_a_consortium_of_the_same_name_lends_no_cosignatures(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = World(tmp_path / "other", TEXT)
    other.settle()
    lines = [
        line
        for note in other.coordinator.log.cosigned()
        for line in note.rpartition(b"\n\n")[2].splitlines(keepends=True)
        if b"/log " not in line
    ]
    opened = count_openings(monkeypatch)
    world.order()
    bend_notes(world, "office", lambda note: add_signatures(without("west")(note), lines[:6]))
    world.settle()
    assert opened == []
    other.close()
