"""Somebody tries to break a promise, with real keys, real signatures and real encryption.

The federation of :mod:`attacks.lying` is honest but for one party.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gmpy2
import pytest
from attacks.lying import (
    NOW,
    World,
    contribution,
    forged_page,
    nothing_staged,
    steps,
    submit,
)
from pets import HOLDERS, TEXT

from stayput import documents, encryption
from stayput.audit import verify_log
from stayput.crypto import signing
from stayput.crypto.paillier import Accumulator, parse_ciphertexts
from stayput.encryption import Addition, Context, EncryptedSum
from stayput.errors import (
    DocumentError,
    NotFound,
    PermissionDenied,
    RuleViolation,
    RunFailure,
    StayputError,
    VerificationError,
)
from stayput.link import LogPage
from stayput.release import Argument, RunOrder
from stayput.replica import Replica
from stayput.scenario import Scenario
from stayput.session import Session
from stayput.steps import (
    Contributed,
    FailureReason,
    MemberList,
    Round,
    ScenarioSealed,
)
from stayput.store.journal import MemoryMirror
from stayput.store.segments import stored_entries
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint

# --- promise 1: only what was reviewed runs -------------------------------------------------------


def test_one_byte_of_the_scenario_changed_after_approval(world: World) -> None:
    run = world.order()
    honest = world.coordinator.get_scenario(world.members["north"], world.scenario)
    world.nodes["north"].replica.catch_up(world.link("north"))
    for position in range(0, len(honest), 41):
        bent = honest[:position] + bytes([honest[position] ^ 1]) + honest[position + 1 :]
        world.lies["north", "get_scenario"] = lambda _, bent=bent: bent
        with pytest.raises(StayputError):
            world.nodes["north"]._verify_run(run)
    world.nodes["north"].work()
    assert nothing_staged(world)
    assert world.failure(run) is FailureReason.HOLDER_REFUSED


def test_another_valid_scenario_under_the_sealed_digest(world: World) -> None:
    honest = documents.parse(
        Scenario, world.coordinator.get_scenario(world.members["north"], world.scenario)
    )
    weaker = dataclasses.replace(honest, output=dataclasses.replace(honest.output, min_count=1))
    world.lies["north", "get_scenario"] = lambda _: documents.encode(weaker)
    run = world.order()
    world.nodes["north"].work()
    assert nothing_staged(world)
    assert world.failure(run) is FailureReason.HOLDER_REFUSED


@pytest.mark.parametrize(
    "changes",
    [
        {"statement": "not_there"},
        {"arguments": (Argument("youngest", number=11),)},
        {"arguments": (Argument("youngest", number=-1),)},
        {"arguments": (Argument("youngest", level="0"),)},
        {"arguments": ()},
        {"arguments": (Argument("oldest", number=1), Argument("youngest", number=1))},
        {"rounds": 1},
    ],
)
def test_a_statement_or_argument_outside_the_sealed_ones(
    world: World, changes: dict[str, Any]
) -> None:
    run = world.order(**changes)
    for holder in HOLDERS:
        world.nodes[holder].work()
        assert nothing_staged(world, holder)
    assert world.failure(run) is FailureReason.HOLDER_REFUSED


@pytest.mark.parametrize("participants", [("north", "south"), ("north", "office", "south", "west")])
def test_a_participant_more_or_fewer(world: World, participants: tuple[str, ...]) -> None:
    with pytest.raises(RuleViolation):
        world.order(participants=participants)


def test_an_order_that_the_log_does_not_commit_to(world: World) -> None:
    run = world.order()
    other = RunOrder(run, world.scenario, "by_colour", (Argument("youngest", number=5),), b"x" * 32)
    world.lies["south", "get_run_order"] = lambda _: documents.encode(other)
    world.nodes["south"].work()
    assert nothing_staged(world, "south")
    assert world.failure(run) is FailureReason.HOLDER_REFUSED


def test_a_node_whose_own_ledger_does_not_know_the_approval(world: World) -> None:
    """Somebody else approved with the holder's key: the node itself refuses."""
    (world.root / "north" / "ledger.db").unlink()
    world.nodes["north"] = world.start_node("north")
    run = world.order()
    world.nodes["north"].work()
    assert nothing_staged(world)
    assert world.failure(run) is FailureReason.HOLDER_REFUSED
    assert "not approved here" in world.notes("north")


def test_an_expired_scenario_by_the_nodes_own_clock(world: World) -> None:
    """The data user backdates its order; the node has a clock of its own."""
    run = world.order()
    world.clock = lambda: 5_000_000_000
    world.nodes["north"] = world.start_node("north")
    world.nodes["north"].work()
    assert nothing_staged(world)
    assert world.failure(run) is FailureReason.HOLDER_REFUSED
    assert "expired" in world.notes("north")


def test_a_coordinator_that_ignores_the_limit_meets_the_nodes_ledger(world: World) -> None:
    world._ledgers["north"]._database._connection.execute("UPDATE approval SET runs = 1")
    first, second = world.order(), world.order()
    world.settle()
    assert world.failure(first) is None
    assert world.failure(second) is FailureReason.HOLDER_REFUSED
    assert world._ledgers["north"].charged(world.scenario) == 1


# --- a coordinator that lies about the log --------------------------------------------------------


def test_a_seal_without_all_approvals(tmp_path: Path) -> None:
    world = World(tmp_path)
    text = TEXT.replace("scenario: pets", "scenario: more-pets")
    second = world.client.propose(text)
    node = world.nodes["north"]
    node.replica.catch_up(world.link("north"))
    log = list(world.coordinator.log.entries())
    log.append(world.sign(ScenarioSealed(second, NOW), "hub"))
    size = node.replica.size
    world.lies["north", "read_log"] = lambda page: forged_page(world, log, size)
    with pytest.raises(VerificationError, match="not every holder"):
        node.work()
    assert node.replica.size == size
    world.close()


def test_a_log_without_the_revocation(world: World) -> None:
    """A fork: one node is shown a history that another was not."""
    node = world.nodes["north"]
    node.replica.catch_up(world.link("north"))
    log = list(world.coordinator.log.entries())
    world.lies["north", "read_log"] = lambda page: forged_page(world, log[:-1], page.start)
    with pytest.raises(VerificationError):
        node.work()
    assert nothing_staged(world)
    evidence = world._journals["north"]._database
    with evidence.reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM evidence").fetchone() == (1,)


def test_a_rewritten_history_of_the_same_length(world: World) -> None:
    node = world.nodes["north"]
    node.replica.catch_up(world.link("north"))
    log = list(world.coordinator.log.entries())
    log[-1] = world.sign(ScenarioSealed(world.scenario, NOW + 1), "hub")
    world.lies["north", "read_log"] = lambda page: forged_page(world, log, page.start)
    with pytest.raises(VerificationError, match="does not extend"):
        node.work()


def test_another_member_list_with_another_checker_key(world: World, tmp_path: Path) -> None:
    """The checker's key is the pinned one: a coordinator cannot slip in its own."""
    other = World(tmp_path / "other")
    log = list(other.coordinator.log.entries())
    fresh = MemoryMirror()
    replica = Replica(world.members, fresh)
    world.lies["north", "read_log"] = lambda page: forged_page(world, log, 0)
    with pytest.raises((VerificationError, RuleViolation)):
        replica.catch_up(world.link("north"))
    assert replica.size == 0
    assert list(fresh.entries()) == []
    other.close()


def test_a_checkpoint_by_another_key(world: World) -> None:
    def lie(page: LogPage) -> LogPage:
        log = list(world.coordinator.log.entries())
        tree = merkle.CompactRange()
        for entry in log:
            tree.append(merkle.leaf_hash(entry))
        checkpoint = Checkpoint(world.members.log_origin, tree.size, tree.root())
        signed = sign_checkpoint(checkpoint, world.identities["west"].signing_key)
        return LogPage(page.start, page.entries, signed)

    world.lies["north", "read_log"] = lie
    with pytest.raises(VerificationError):
        world.nodes["north"].work()


# --- promise 2: nobody sees a partial -------------------------------------------------------------


def bad_ciphertexts(world: World, length: int) -> dict[str, bytes]:
    key = world.members.checker_key("office")
    n, width = key.modulus, key.ciphertext_bytes
    assert world.identities["office"].paillier_key is not None
    p, _ = world.identities["office"].paillier_key.primes()
    numbers = {"0": 0, "n": n, "n²": n * n, "n² + 1": n * n + 1, "multiple of p": 7 * p}
    count = length // width
    made = {
        name: number.to_bytes(width, "big") + b"\x01".rjust(width, b"\0") * (count - 1)
        for name, number in numbers.items()
    }
    one = b"\x01".rjust(width, b"\0") * count
    return {**made, "too short": one[:-1], "too long": one + b"\0", "empty": b""}


def test_what_is_no_ciphertext_is_refused_and_not_logged(world: World) -> None:
    run = world.order()
    _, _, honest = contribution(world, run, "north")
    for name, data in bad_ciphertexts(world, len(honest)).items():
        size = world.coordinator.size
        with pytest.raises(StayputError):
            submit(world, "north", contribution(world, run, "north", ciphertexts=data))
        logged = [s for s in steps(world)[size:] if isinstance(s, Contributed)]
        assert not logged, name


def test_a_contribution_under_another_checker_key(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    key = other.members.checker_key("office")
    run = world.order()
    part = contribution(world, run, "north", checker=key, context={"checker_key": key.key_id})
    with pytest.raises(VerificationError, match="another run or key"):
        submit(world, "north", part)
    other.close()


def test_a_contribution_of_another_run_round_or_holder(world: World) -> None:
    first, second = world.order(), world.order()
    part = contribution(world, first, "north")
    with pytest.raises(StayputError):
        submit(world, "south", part)  # signed by north, sent by south
    submit(world, "north", part)
    assert submit(world, "north", part) >= 0  # the same bytes again: the same answer
    for changes in ({"context": {"run": second}}, {"context": {"round": Round.VALUES}}):
        with pytest.raises(StayputError):
            submit(world, "south", contribution(world, first, "south", **changes))
    step, context, ciphertexts = part
    stolen = contribution(world, second, "south", ciphertexts=ciphertexts)
    with pytest.raises(RuleViolation, match="contributed before"):
        submit(world, "south", stolen)
    del step, context


def test_the_checkers_key_opens_nothing_but_the_full_sum(world: World) -> None:
    """A coordinator that sends the checker something else as the sum: the run ends."""
    run = world.order(statement="numbers", arguments=(), rounds=1)
    world.contribute()
    key = world.members.checker_key("office")

    def altered(part: bytes) -> bytes:
        """Enc(m) · g = Enc(m + 1): malleability, on purpose."""
        width, n = key.ciphertext_bytes, gmpy2.mpz(key.modulus)
        first = int.from_bytes(part[:width], "big") * (n + 1) % (n * n)
        return int(first).to_bytes(width, "big") + part[width:]

    world.lies["office", "get_contribution"] = altered
    world.checker.work()
    assert world.failure(run) is FailureReason.INVARIANT_VIOLATED


def count_openings(monkeypatch: pytest.MonkeyPatch) -> list[EncryptedSum]:
    """Collects every sum that is opened."""
    opened: list[EncryptedSum] = []
    honest = encryption.open

    def note(encrypted: EncryptedSum, *arguments: Any, **named: Any) -> tuple[int, ...]:
        opened.append(encrypted)
        return honest(encrypted, *arguments, **named)

    monkeypatch.setattr(encryption, "open", note)
    return opened


def test_a_coordinator_that_lifts_a_count_in_the_logged_sum(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It adds 1 to the first count and logs the sum so: every holder adds the parts again."""
    opened = count_openings(monkeypatch)
    run = world.order(statement="numbers", arguments=(), rounds=1)
    honest = Addition.sum

    def lifted(addition: Addition) -> EncryptedSum:
        total = honest(addition)
        key = world.members.checker_key("office")
        width, n = key.ciphertext_bytes, gmpy2.mpz(key.modulus)
        first = int.from_bytes(total.ciphertexts[:width], "big") * (n + 1) % (n * n)
        bent = int(first).to_bytes(width, "big") + total.ciphertexts[width:]
        return EncryptedSum(total.context, bent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Addition, "sum", lifted)
        for holder in HOLDERS:
            world.nodes[holder].work()
    world.checker.work()
    assert not opened
    world.settle()
    assert not opened
    assert world.failure(run) is FailureReason.SUM_MISMATCH
    assert all("not that of the parts" in world.notes(holder) for holder in HOLDERS[:1])


def test_a_coordinator_that_sums_fewer_parts_and_logs_it_as_the_sum(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the log says so, nobody opens it (it would be noise: masks do not cancel)."""
    opened = count_openings(monkeypatch)
    run = world.order(statement="numbers", arguments=(), rounds=1)
    coordinator = world.coordinator

    def only_two(addition: Any) -> Any:
        parts = coordinator._session.runs[run].contributions[Round.COUNTS]
        context = addition._context
        key = world.members.checker_key("office")
        total = Accumulator(key, addition._layout.ciphertexts)
        for name in list(parts)[:2]:
            named = run + b"\x01" + parts[name].ciphertexts
            stored = coordinator._journal.get("contribution", named)
            total.add(parse_ciphertexts(stored, key, addition._layout.ciphertexts))
        return EncryptedSum(context, total.total().to_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Addition, "sum", only_two)
        for holder in HOLDERS:
            world.nodes[holder].work()
    world.checker.work()
    assert not opened
    world.settle()
    assert not opened
    assert world.failure(run) is FailureReason.SUM_MISMATCH
    assert all("not that of the parts" in world.notes(holder) for holder in HOLDERS[:1])
    with pytest.raises(RunFailure, match="not that of the holders' parts"):
        world.client.wait_for(run, timeout=0)


# --- promise 3: no one sees the values of a small cell --------------------------------------------


def test_values_of_withheld_cells_are_never_sent(world: World) -> None:
    run = world.order()
    world.settle()
    (vector,) = {documents.parse(Context, c) for c in world.contexts if b"ROUND_VALUES" in c}
    result = world.client.wait_for(run, timeout=0)
    table = result.table.to_pylist()
    shown = [row for row in table if row["mean"] is not None]
    assert {row["colour"] for row in shown} == {"red", "green"}
    # red and green pass: sum of weights, sum and sum of squares of ages; white and blue send none.
    assert vector.count == 2 * 3


def test_a_question_of_which_no_cell_passes_is_answered_with_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, TEXT.replace("min_count: 10", "min_count: 400"))
    run = world.order()
    world.settle()
    table = world.client.wait_for(run, timeout=0).table.to_pylist()
    assert table
    assert all(row[name] is None for row in table for name in ("pets", "mean", "sd"))
    world.close()


# --- promise 4: only a checked result, to the data user alone -------------------------------------


def test_another_users_release_and_a_foreign_scenario(world: World) -> None:
    run = world.order()
    world.settle()
    stranger = dataclasses.replace(world.members["asker"], name="rival")
    for name in ("north", "office", "hub"):
        with pytest.raises(NotFound):
            world.coordinator.fetch_result(world.members[name], run)
    for call in (
        lambda c: c.fetch_result(stranger, run),
        lambda c: c.get_scenario(stranger, world.scenario),
        lambda c: c.get_run_order(stranger, run),
        lambda c: c.get_verdict(stranger, run),
        lambda c: c.get_contribution(stranger, run, Round.COUNTS, "north"),
    ):
        with pytest.raises(NotFound):
            call(world.coordinator)
    assert world.coordinator.fetch_result(world.members["asker"], run)


def test_only_checker_and_participants_get_encrypted_parts(world: World) -> None:
    run = world.order()
    submit(world, "north", contribution(world, run, "north"))
    for name in ("office", "south", "north"):
        assert world.coordinator.get_contribution(world.members[name], run, Round.COUNTS, "north")
    for name in ("asker", "hub"):
        with pytest.raises(NotFound):
            world.coordinator.get_contribution(world.members[name], run, Round.COUNTS, "north")


def test_nobody_submits_a_step_of_somebody_else(world: World) -> None:
    step = world.sign(ScenarioSealed(world.scenario, NOW), "hub")
    with pytest.raises((PermissionDenied, StayputError)):
        world.coordinator.review_scenario(world.members["north"], step)
    part = contribution(world, world.order(), "north")
    with pytest.raises(PermissionDenied):
        world.coordinator.submit_contribution(world.members["south"], *part)


def test_released_bytes_that_differ_from_the_released_ones(world: World) -> None:
    run = world.order()
    world.settle()
    sealed = world.coordinator.fetch_result(world.members["asker"], run)
    with pytest.raises(VerificationError):
        world.coordinator.deliver_result(world.members["office"], run, sealed[:-1] + b"x")
    world.lies["asker", "fetch_result"] = lambda found: found[:-1] + bytes([found[-1] ^ 1])
    with pytest.raises(VerificationError):
        world.client.wait_for(run, timeout=0)


# --- promise 6: history cannot be rewritten -------------------------------------------------------


def test_every_altered_entry_order_or_checkpoint_is_found(world: World) -> None:
    world.order()
    world.settle()
    log, checkpoint = list(world.coordinator.log.entries()), world.coordinator.log.checkpoint
    assert verify_log(log, checkpoint, world.members).finding is None
    for index in range(len(log)):
        flipped = bytearray(log[index])
        flipped[len(flipped) // 2] ^= 1
        bent = [*log[:index], bytes(flipped), *log[index + 1 :]]
        finding = verify_log(bent, checkpoint, world.members).finding
        assert finding is not None
        assert finding.entry == index
        for bent in ([*log[:index], *log[index + 1 :]], log[:index]):
            assert verify_log(bent, checkpoint, world.members).finding is not None
    for index in range(1, len(log) - 1):
        swapped = [*log[:index], log[index + 1], log[index], *log[index + 2 :]]
        assert verify_log(swapped, checkpoint, world.members).finding is not None
    for position in range(len(checkpoint)):
        bent_checkpoint = bytearray(checkpoint)
        bent_checkpoint[position] ^= 1
        with pytest.raises((VerificationError, DocumentError)):
            verify_log(log, bytes(bent_checkpoint), world.members)


def test_a_coordinator_restored_from_half_a_backup_does_not_start(world: World) -> None:
    world.order()
    world.settle()
    """The newest checkpoint, and entries of yesterday."""
    entries = world.coordinator.size
    world.coordinator.close()
    (segment,) = (world.root / "hub" / "log" / "segments").iterdir()
    size = len(segment.read_bytes())
    last = len(list(stored_entries(segment.parent, entries))[-1])
    with segment.open("r+b") as file:
        file.truncate(size - last - 8)
    with pytest.raises(VerificationError, match=r"holds \d+ entries, its checkpoint covers"):
        world.start_coordinator()


# --- promise 7: the log gives nothing away --------------------------------------------------------


def test_no_name_number_or_text_of_the_question_is_in_the_log(world: World) -> None:
    world.order()
    world.settle()
    session = Session()
    for entry in world.coordinator.log.entries():
        step = session.replay(entry)
        if isinstance(step, MemberList):
            continue
        payload = signing.parse_envelope(entry).payload
        for word in (b"colour", b"weight", b"by_colour", b"youngest", b"Pets", b"green", b"SELECT"):
            assert word not in payload, step


def test_two_identical_runs_have_nothing_equal_in_the_log(world: World) -> None:
    """Salts: not even whoever knows the question can recognise it, or that it was asked twice."""
    first, second = world.order(), world.order()
    world.settle()
    seen: dict[bytes, set[bytes]] = {first: set(), second: set()}
    for step in steps(world):
        run = getattr(step, "run", None)
        if run in seen:
            for field in ("order", "ciphertexts", "sum", "verdict", "result", "sealed", "staging"):
                value = getattr(step, field, None)
                if isinstance(value, bytes):
                    seen[run].add(value)
    assert not seen[first] & seen[second]
    assert len(seen[first]) > 8


def test_a_part_without_its_proof_or_with_anothers(tmp_path: Path) -> None:
    """The scenario asks for proofs: the coordinator logs no part that its holder did not make."""
    proven = World(tmp_path, TEXT + "encryption: {proof_of_knowledge: true}\n")
    run = proven.order()
    honest = {name: contribution(proven, run, name) for name in ("north", "south")}
    size = proven.coordinator.size
    with pytest.raises(VerificationError, match="does not know what is in them"):
        submit(proven, "south", contribution(proven, run, "south", ciphertexts=honest["north"][2]))
    width = proven.members.checker_key("office").ciphertext_bytes
    bare = honest["south"][2][: len(honest["south"][2]) // width * width]
    with pytest.raises(VerificationError, match="length"):
        submit(proven, "south", contribution(proven, run, "south", ciphertexts=bare))
    assert proven.coordinator.size == size + 1  # south's receipt, no part
    again = proven.client.run(proven.scenario, "by_colour", youngest=0)
    proven.settle()
    assert again.wait().table.num_rows
    proven.close()
