"""New keys, whatever interrupts them; and what was signed, masked and sealed with the old ones."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parties import NOW, Party
from pets import HOLDERS, TEXT, TableStager, pooled, rows_of, sources

from stayput import documents
from stayput import identity as identity_files
from stayput.audit import verify_log, verify_release
from stayput.client import Result
from stayput.crypto import signing
from stayput.crypto.paillier import PrivateKey
from stayput.errors import (
    ConfigurationError,
    NotFound,
    PermissionDenied,
    RuleViolation,
    Unavailable,
    VerificationError,
)
from stayput.federation import Federation, LocalLink
from stayput.identity import Identity, load_identity, pending_rotation
from stayput.link import CoordinatorLink, LogPage
from stayput.release import ReleaseBundle
from stayput.replica import Replica
from stayput.rotation import finish_rotation, rotate
from stayput.session import Session, read_claim
from stayput.steps import Contributed, FailureReason, FreezeReason, KeysRotated, StagingDestroyed
from stayput.store.journal import Journal, MemoryMirror
from stayput.store.ledger import STORAGE_KEY, Ledger, Outgoing
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint
from stayput.tlog.note import verify_note
from stayput.witness import Witness

PRIVATE = ("signing.key", "tls.key", "agreement.key", "witness.key", "auditor.key", "paillier.key")


class Killed(BaseException):
    """The process is gone."""


class Door:
    """A link behind the door of the listener: only the certificate of now gets in."""

    def __init__(self, world: World, caller: Identity) -> None:
        self._world, self._caller = world, caller
        self._inner = LocalLink(lambda: world.coordinator, caller.member)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._inner, name)

        def guarded(*arguments: Any, **named: Any) -> Any:
            listed = self._world.coordinator.members[self._caller.name]
            if self._caller.member.certificate != listed.certificate:
                raise PermissionDenied("not the certificate of now")
            return self._world.on_call(name, lambda: call(*arguments, **named))

        return guarded


class World(Federation):
    """The pets federation, whose members rotate."""

    def __init__(self, root: Path) -> None:
        self.stagers = {holder: TableStager(rows_of(holder)) for holder in HOLDERS}
        self.now = NOW
        self.on_call: Callable[[str, Callable[[], Any]], Any] = lambda name, call: call()
        super().__init__(
            root,
            holders=HOLDERS,
            checker="office",
            user="asker",
            coordinator="hub",
            sources=sources(root),
            stager=lambda name: self.stagers[name],
            clock=lambda: self.now,
            paillier_bits=2048,
        )
        self.scenario = self.client.propose(TEXT)
        self.approve(self.client.scenario(self.scenario))
        self.settle()

    def link(self, name: str) -> Any:
        return Door(self, self.identities[name])

    @contextlib.contextmanager
    def connect(self, identity: Identity) -> Iterator[tuple[Replica, CoordinatorLink]]:
        link: Any = Door(self, identity)
        replica = Replica(self.members, MemoryMirror())
        replica.catch_up(link)
        yield replica, link

    def home(self, name: str) -> Path:
        return self.root / name

    def rotate(self, name: str) -> Identity:
        """As the command does it, with the daemon stopped and started again."""
        rotated = rotate(load_identity(self.home(name)), self.connect, self.clock)
        assert load_identity(self.home(name)).member == rotated.member
        self.restart(name)
        return rotated

    def restart(self, name: str) -> None:
        known = finish_rotation(load_identity(self.home(name)), self.connect)
        self.identities[name] = known
        if name in self.holders:
            self.nodes[name] = self.start_node(name)
        elif name == self.checker_name:
            self.checker = self.start_checker()
        elif name == self.user_name:
            self.client = self.start_client()

    def ask(self) -> Result:
        run = self.client.run(self.scenario, "by_colour", youngest=0)
        self.settle()
        return self.client.fetch(run.id)

    def ordered(self) -> bytes:
        return self.client.run(self.scenario, "by_colour", youngest=0).id

    @property
    def log(self) -> list[bytes]:
        return list(self.coordinator.log.entries())

    def verify(self) -> None:
        report = verify_log(self.log, self.coordinator.log.checkpoint, self.members)
        assert report.finding is None, report.finding

    def known(self, name: str) -> bytes:
        """The signing key by which everybody knows a member."""
        return self.coordinator.members[name].signing_key


@pytest.fixture(scope="module")
def paillier_keys() -> list[PrivateKey]:
    """Drawn once: within one log they are new."""
    return [PrivateKey.generate(2048) for _ in range(3)]


@pytest.fixture
def drawing(paillier_keys: list[PrivateKey], monkeypatch: pytest.MonkeyPatch) -> list[PrivateKey]:
    """What is drawn next, last one first."""
    pool = list(paillier_keys)
    monkeypatch.setattr(identity_files, "draw_paillier_key", lambda *_, **__: pool.pop())
    return pool


@pytest.fixture
def world(tmp_path: Path, drawing: list[PrivateKey]) -> Iterator[World]:
    built = World(tmp_path)
    yield built
    built.close()


def assert_right(result: Result) -> None:
    """The released table equals DuckDB on the pooled rows."""
    truth = pooled([row for holder in HOLDERS for row in rows_of(holder)], 0)
    rows = {row["colour"]: row for row in result.table.to_pylist() if row["pets"] is not None}
    assert rows.keys() >= {"red", "green"}
    for colour, row in rows.items():
        count, mean, deviation = truth[colour]
        assert row["pets"] == count
        assert math.isclose(row["mean"], mean, rel_tol=1e-9)
        assert math.isclose(row["sd"], deviation, rel_tol=1e-9)


# --- before and after -----------------------------------------------------------------------------


def test_answers_before_and_after_everybody_has_new_keys(world: World) -> None:
    before = world.ask()
    paillier = world.coordinator.members.checker_key("office")
    for name in ("north", "office", "asker"):
        world.rotate(name)
    world.settle()
    after = world.ask()
    for result in (before, after):
        assert_right(result)
        result.verify()
        assert verify_release(result.bundle, world.members).result == result.checked.result
    assert world.coordinator.members.checker_key("office") != paillier
    world.verify()

    # Each part was masked and encrypted for the keys of its own moment.
    session = world.client.replica.session
    assert len(session.rotations) == 3
    runs = list(session.runs.values())
    assert [run.checker for run in runs] == ["office", "office"]
    keys = [session.members_at(run.entries[0]).checker_key("office").key_id for run in runs]
    assert len(set(keys)) == 2


def test_two_rotations_in_a_row_and_an_answer_after_each(world: World) -> None:
    first = world.ask()
    for _ in range(2):
        world.rotate("asker")
        world.rotate("south")
        world.settle()
        assert_right(world.ask())
    run = next(iter(world.client.replica.session.runs))
    again = world.client.fetch(run)  # sealed to the first key of three
    assert again.checked.result == first.checked.result
    assert world.identities["asker"].rotations == 2
    world.verify()


def test_a_result_sealed_to_a_key_that_is_gone_is_said_to_be_so(world: World) -> None:
    world.ask()
    run = next(iter(world.client.replica.session.runs))
    world.rotate("asker")
    (world.home("asker") / "agreement.key").unlink()
    world.restart("asker")
    with pytest.raises(NotFound, match="does not have the agreement key") as refused:
        world.client.fetch(run)
    assert "backup" in refused.value.hint


def test_a_release_does_not_verify_without_the_rotation_before_it(world: World) -> None:
    world.rotate("north")
    world.settle()
    bundle = documents.parse(ReleaseBundle, world.ask().bundle)
    index = world.client.replica.session.rotations[0]
    without = tuple(proven for proven in bundle.entries if proven.index != index)
    assert len(without) == len(bundle.entries) - 1
    shortened = documents.encode(dataclasses.replace(bundle, entries=without))
    with pytest.raises((VerificationError, RuleViolation)):
        verify_release(shortened, world.members)


def test_cosignatures_of_before_and_after_verify_under_the_keys_of_then(world: World) -> None:
    old = world.identities["north"]
    world.rotate("north")
    world.settle()
    replica = world.client.replica
    replica.catch_up(world.link("asker"))
    assert replica.cosigned("north").size == replica.size
    assert old.witness_key is not None
    kept = world.coordinator.log
    rotation = replica.session.rotations[0]
    names = {key.name: key for key in world.members.cosigners(["north"])}
    for size, old_ones in ((rotation, True), (rotation + 1, False)):
        note = kept._notes.note(size)
        members = replica.session.members_at(size)
        found = [key for key in members.cosigners(["north"]) if key.public in _keys_on(note, key)]
        if not old_ones:
            assert len(found) == 2
            assert {key.public for key in found}.isdisjoint(k.public for k in names.values())


def _keys_on(note: bytes, key: Any) -> set[bytes]:
    try:
        verify_note(note, [key])
    except VerificationError:
        return set()
    return {key.public}


def test_a_witness_that_still_has_the_old_keys_cosigns_nothing(world: World) -> None:
    old = world.identities["north"]
    rotate(load_identity(world.home("north")), world.connect, world.clock)
    with contextlib.closing(Journal(world.root / "copy.db")) as journal:
        replica = Replica(world.members, journal)
        inner: Any = LocalLink(lambda: world.coordinator, old.member)
        replica.catch_up(inner)
        witness = Witness(old, replica, journal, inner, world.clock)
        assert witness.cosign() is False
        assert journal.cosigned() == {}


def test_who_comes_with_the_old_keys_is_not_let_in(world: World) -> None:
    old = world.nodes["north"]
    rotate(load_identity(world.home("north")), world.connect, world.clock)
    with pytest.raises(PermissionDenied):
        old.work()


# --- what is at rest ------------------------------------------------------------------------------


def test_what_was_sealed_at_rest_is_readable_after_rotations(world: World) -> None:
    """Nothing of an open run has to survive, since nobody rotates in one; it does all the same."""
    run = b"r" * 16
    receipt = {"receipt": Outgoing(b"step")}
    world._ledgers["north"].store(run, receipt, partial=b"sums that wait for round two")
    key = world.identities["north"].derive_key(STORAGE_KEY)
    for _ in range(2):
        rotated = world.rotate("north")
        assert rotated.derive_key(STORAGE_KEY) == key
        assert load_identity(world.home("north")).derive_key(STORAGE_KEY) == key
        assert world._ledgers["north"].partial(run) == b"sums that wait for round two"
    fresh = dataclasses.replace(rotated, storage_root=b"")
    assert fresh.derive_key(STORAGE_KEY) != key, "it follows from the first signing key, not this"


def test_approvals_and_charges_survive(world: World) -> None:
    world.ask()
    world.rotate("north")
    path = world.home("north") / "ledger.db"
    key = load_identity(world.home("north")).derive_key(STORAGE_KEY)
    with contextlib.closing(Ledger(path, key)) as ledger:
        assert ledger.is_approved(world.scenario)
        assert ledger.charged(world.scenario) == 1


def test_an_owed_receipt_is_given_under_the_new_key(world: World) -> None:
    """The receipt was signed and stored, the run timed out, then the keys were rotated."""

    def lost(name: str, call: Callable[[], Any]) -> Any:
        if name == "submit_receipt":
            raise Unavailable("lost")
        return call()

    run = world.ordered()
    for _ in range(3):
        for node in world.nodes.values():
            node.follow()
    world.on_call = lost
    with pytest.raises(Unavailable):
        world.nodes["north"].work()
    world.on_call = lambda name, call: call()
    world.now += 10_000
    world.coordinator.tick()
    world.client.replica.catch_up(world.link("asker"))
    assert world.client.replica.session.runs[run].failure is FailureReason.TIMED_OUT
    world.rotate("north")
    world.settle()
    world.client.replica.catch_up(world.link("asker"))
    receipts = world.client.replica.session.runs[run].receipts
    assert isinstance(receipts["north"], StagingDestroyed)
    world.verify()


# --- when it is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["north", "office", "asker"])
def test_nobody_rotates_in_an_open_run_and_nothing_is_left_of_the_attempt(
    world: World, drawing: list[PrivateKey], name: str
) -> None:
    world.ordered()
    keys = list(drawing)
    before = _files(world.home(name))
    with pytest.raises(RuleViolation, match="open run") as refused:
        rotate(load_identity(world.home(name)), world.connect, world.clock)
    assert refused.value.clause == "K-3"
    assert "wait until it is over" in refused.value.hint
    assert _files(world.home(name)) == before
    assert drawing == keys, "a Paillier key was drawn for nothing"
    world.settle()
    world.rotate(name)
    assert_right(world.ask())


def test_a_run_that_comes_in_between_only_delays_it(world: World) -> None:
    """The keys were drawn and written; they are the ones that hold when the run is over."""
    connections = 0
    identity = load_identity(world.home("north"))

    @contextlib.contextmanager
    def connect(who: Identity) -> Iterator[tuple[Replica, CoordinatorLink]]:
        nonlocal connections
        connections += 1
        if connections == 2:
            world.ordered()
        with world.connect(who) as connected:
            yield connected

    with pytest.raises(RuleViolation):
        rotate(identity, connect, world.clock)
    pending = pending_rotation(identity)
    assert pending is not None
    world.restart("north")  # with the present keys
    assert world.identities["north"].member == identity.member
    world.settle()
    assert world.rotate("north").member == pending[0].member


def test_a_coordinator_that_only_says_so_gets_no_keys_erased(world: World) -> None:
    identity = load_identity(world.home("north"))

    class Lying(Door):
        def __getattr__(self, name: str) -> Callable[..., Any]:
            if name == "rotate_keys":
                return lambda step: 99
            return getattr(LocalLink(lambda: world.coordinator, self._caller.member), name)

    @contextlib.contextmanager
    def connect(who: Identity) -> Iterator[tuple[Replica, CoordinatorLink]]:
        link: Any = Lying(world, who)
        replica = Replica(world.members, MemoryMirror())
        replica.catch_up(link)
        yield replica, link

    with pytest.raises(VerificationError, match="its log does not have them"):
        rotate(identity, connect, world.clock)
    assert load_identity(world.home("north")).member == identity.member
    assert (world.home("north") / "signing.key").is_file()
    assert finish_rotation(identity, connect).member == identity.member
    assert world.rotate("north").member != identity.member


def test_a_member_whose_key_was_used_by_a_thief_sees_that_it_is_out(world: World) -> None:
    """A thief of the old signing key can rotate it away: the member cannot follow, and is told."""
    identity = load_identity(world.home("north"))
    theirs = identity_files.draw_next(identity, now=NOW)
    card = identity_files.member_card(theirs)
    step = signing.sign(KeysRotated("north", card, NOW), identity.signing_key)
    world.coordinator.rotate_keys(identity.member, step)
    with pytest.raises(PermissionDenied):
        rotate(identity, world.connect, world.clock)
    assert load_identity(world.home("north")).member == identity.member
    assert (world.home("north") / "signing.key").is_file()


def test_the_coordinator_has_no_rotation(world: World) -> None:
    with pytest.raises(ConfigurationError, match="do not rotate"):
        rotate(load_identity(world.home("hub")), world.connect, world.clock)


# --- killed at every point ------------------------------------------------------------------------


def _files(home: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and ".db" not in path.name
    }


class Deaths:
    """Counts the moments at which a process can die, and dies at the chosen one."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed = 0

    def moment(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any, **named: Any) -> Any:
            self.moment()
            result = call(*arguments, **named)
            self.moment()
            return result

        return dying


class Bare:
    """A coordinator that only orders and admits, behind the same door; quick to make anew."""

    def __init__(self, consortium: Party) -> None:
        self.members = consortium.members
        self._key = consortium.identities["hub"].signing_key
        self.session = Session()
        self.entries = [self.members.envelope]
        self.session.replay(self.entries[0])
        self.on_call: Callable[[Callable[[], Any]], Any] = lambda call: call()

    @contextlib.contextmanager
    def connect(self, identity: Identity) -> Iterator[tuple[Replica, CoordinatorLink]]:
        link: Any = BareLink(self, identity)
        replica = Replica(self.members, MemoryMirror())
        replica.catch_up(link)
        yield replica, link

    def admit(self, step: bytes) -> int:
        if step not in self.entries:
            self.session.replay(step)
            self.entries.append(step)
        return self.entries.index(step)

    def checkpoint(self) -> bytes:
        tree = merkle.CompactRange()
        for entry in self.entries:
            tree.append(merkle.leaf_hash(entry))
        named = Checkpoint(self.members.log_origin, tree.size, tree.root())
        return sign_checkpoint(named, self._key)

    def knows(self, identity: Identity) -> bool:
        assert self.session.members is not None
        return self.session.members[identity.name] == identity.member


class BareLink:
    def __init__(self, bare: Bare, caller: Identity) -> None:
        self._bare, self._caller = bare, caller

    def _door(self) -> None:
        if not self._bare.knows(self._caller):
            raise PermissionDenied("not the certificate of now")

    def read_log(self, start: int, wait_ms: int, known: bytes = b"") -> LogPage:
        self._door()
        return LogPage(start, tuple(self._bare.entries[start:]), self._bare.checkpoint())

    def rotate_keys(self, step: bytes) -> int:
        self._door()
        index: int = self._bare.on_call(lambda: self._bare.admit(step))
        return index


def _rotate_and_die(bare: Bare, home: Path, at: int) -> Deaths:
    deaths = Deaths(at)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "mkdir"):
            patch.setattr(Path, name, deaths.around(getattr(Path, name)))
        bare.on_call = lambda call: deaths.around(call)()
        with contextlib.suppress(Killed):
            rotate(load_identity(home), bare.connect, lambda: NOW)
    bare.on_call = lambda call: call()
    return deaths


@pytest.mark.parametrize(
    ("name", "start_in_between"),
    [
        ("north", False),
        ("north", True),
        ("asker", True),
        pytest.param("office", False, marks=pytest.mark.long),
        pytest.param("office", True, marks=pytest.mark.long),
    ],
)
def test_killed_at_any_point_a_rotation_is_finished_or_has_not_begun(
    consortium: Party,
    tmp_path: Path,
    paillier_keys: list[PrivateKey],
    drawing: list[PrivateKey],
    name: str,
    start_in_between: bool,
) -> None:
    at = 0
    while True:
        at += 1
        bare, home = Bare(consortium), tmp_path / str(at)
        drawing[:] = paillier_keys  # new to each of these logs
        shutil.copytree(consortium.identities[name].home, home)
        before = load_identity(home)
        deaths = _rotate_and_die(bare, home, at)
        if deaths.passed < at:
            break

        if start_in_between:  # a daemon goes on with keys that everybody knows
            started = finish_rotation(load_identity(home), bare.connect)
            assert bare.knows(started), f"out of step after a death at {at}"
            assert load_identity(home).member == started.member
            assert started.derive_key(b"x") == before.derive_key(b"x")

        # The next rotation goes on, or, had the other one got through, is another one.
        rotated = rotate(load_identity(home), bare.connect, lambda: NOW)
        assert bare.knows(rotated)
        assert load_identity(home).member == rotated.member
        assert rotated.signing_key.public != before.signing_key.public
        assert rotated.derive_key(b"x") == before.derive_key(b"x")
        assert pending_rotation(rotated) is None
        _assert_old_keys_gone(home, rotated)
    assert at > 30, "the deaths are not where they were"


def _assert_old_keys_gone(home: Path, identity: Identity) -> None:
    present = home / f"keys-{identity.rotations}"
    kept = {path for key in PRIVATE for path in home.rglob(key) if path.parent != present}
    allowed = {"agreement.key"} if identity.role.name == "USER" else set()
    assert {path.name for path in kept} <= allowed, kept
    assert not list(home.rglob(".*")), "half a file is left"


def test_new_private_keys_are_private(world: World) -> None:
    world.rotate("north")
    folder = world.home("north") / "keys-1"
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        public = path.name in ("tls.crt", "card.json", "step.json")
        assert path.stat().st_mode & 0o777 == (0o644 if public else 0o600), path.name
    folder.chmod(0o755)
    with pytest.raises(ConfigurationError, match="others can read"):
        load_identity(world.home("north"))


def test_the_card_in_the_home_folder_is_the_present_one(world: World) -> None:
    rotated = world.rotate("north")
    card = (world.home("north") / "card.json").read_bytes()
    assert card == identity_files.member_card(rotated)


@pytest.mark.parametrize("folder_is_there", [True, False])
def test_a_home_restored_from_before_a_rotation(world: World, folder_is_there: bool) -> None:
    """Restored over the newer one it finds the way; without the new keys it is told that it has
    keys that nobody knows."""
    home = world.home("north")
    saved = _files(home)
    rotated = world.rotate("north")
    for name, data in saved.items():
        (home / name).write_bytes(data)
        (home / name).chmod(0o600)
    if folder_is_there:
        world.restart("north")
        assert world.identities["north"].member == rotated.member
        _assert_old_keys_gone(home, rotated)
    else:
        shutil.rmtree(home / "keys-1")
        restored = finish_rotation(load_identity(home), world.connect)
        assert restored.signing_key.public != world.known("north")
        with pytest.raises(PermissionDenied), world.connect(restored):
            pass


# --- the end of a log -----------------------------------------------------------------------------


def test_a_frozen_log_takes_nothing_and_everybody_cosigns_its_end(world: World) -> None:
    run = world.ordered()
    index = world.coordinator.freeze(FreezeReason.KEY_COMPROMISED)
    for _ in range(3):
        for node in world.nodes.values():
            node.work()
    world.checker.work()
    world.client.replica.catch_up(world.link("asker"))
    replica = world.client.replica
    assert replica.session.frozen is not None
    assert replica.size == index + 1
    assert replica.session.runs[run].failure is FailureReason.LOG_FROZEN
    for holder in HOLDERS:
        assert replica.cosigned(holder).size == replica.size
    with pytest.raises(RuleViolation) as refused:
        world.client.propose(TEXT)
    assert refused.value.clause == "K-5"
    assert "successor" in refused.value.hint
    with pytest.raises(RuleViolation):
        world.rotate("north")
    # For the same reason in the same second it would be the very same step.
    for reason in (FreezeReason.KEY_COMPROMISED, FreezeReason.CONSORTIUM_ENDS):
        with pytest.raises(RuleViolation):
            world.coordinator.freeze(reason)
    world.start_coordinator()  # it comes up again, and goes on serving what there is
    world.coordinator.tick()
    assert world.coordinator.size == index + 1
    world.verify()


def test_old_results_are_read_from_a_frozen_log(world: World) -> None:
    before = world.ask()
    world.coordinator.freeze(FreezeReason.MEMBERS_CHANGE)
    for _ in range(3):
        for node in world.nodes.values():
            node.work()
    run = next(iter(world.client.replica.session.runs))
    assert world.client.fetch(run).checked.result == before.checked.result


def test_parts_of_a_frozen_run_are_erased(world: World) -> None:
    run = world.ordered()
    for _ in range(4):
        for node in world.nodes.values():
            node.work()
    parts = [s for s in map(_step, world.log) if isinstance(s, Contributed)]
    assert parts, "nobody has contributed"
    world.coordinator.freeze(FreezeReason.LOG_DAMAGED)
    journal = world._journals["hub"]
    assert not [key for key in journal.keys("contribution") if key.startswith(run)]


def _step(entry: bytes) -> object:
    return read_claim(entry).step
