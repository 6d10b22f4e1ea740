"""New keys and the end of a log, with real processes, certificates and commands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pets
import pytest
from e2e.consortium import Consortium, running, wait_until

import stayput
from stayput import rotation
from stayput.daemon import clock, connected
from stayput.errors import PermissionDenied, Unavailable
from stayput.identity import (
    Identity,
    create_identity,
    load_identity,
    load_members,
    member_card,
    pending_rotation,
)
from stayput.rpc.client import GrpcLink
from stayput.steps import Role


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Consortium]:
    """A consortium of its own: what happens to it cannot be undone."""
    with running(tmp_path / "up") as consortium:
        yield consortium


class Killed(BaseException):
    """The process is gone."""


def rotate_halfway(home: Path, monkeypatch: pytest.MonkeyPatch) -> Identity:
    """Killed after the coordinator took the new keys, before the folder has them."""

    def die(_: Identity) -> Identity:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "complete_rotation", die)
        with pytest.raises(Killed):
            rotation.rotate(load_identity(home), connected, clock)
    pending = pending_rotation(load_identity(home))
    assert pending is not None
    return pending[0]


def test_parties_rotate_while_the_others_go_on(
    apart: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    with apart.client() as client:
        scenario = apart.agree(client)
        first = client.run(scenario, "by_colour", youngest=0)
        apart.verify_result(first.wait(timeout=60))
    old = {name: load_identity(apart.home(name)) for name in ("north", "south", "office", "asker")}

    told = apart.cli("north", "rotate")
    assert told.returncode == 1
    assert "running already" in told.stderr
    assert load_identity(apart.home("north")).member == old["north"].member

    for name in ("north", "office"):
        apart.stop(name)
        told = apart.cli(name, "rotate")
        assert told.returncode == 0, told.stderr
        assert load_identity(apart.home(name)).rotations == 1
        apart.start(name)

    told = apart.cli("asker", "rotate")
    assert told.returncode == 0, told.stderr

    apart.stop("south")
    following = rotate_halfway(apart.home("south"), monkeypatch)
    apart.start("south")
    assert load_identity(apart.home("south")).member == following.member

    # Who shows an old certificate is let in so far that it can be told why not.
    for name, identity in old.items():
        members = load_members(apart.home(name))
        with (
            GrpcLink(identity, members) as link,
            pytest.raises(PermissionDenied, match="were rotated") as refused,
        ):
            link.read_log(0, 0)
        assert "docs/operating.md" in refused.value.hint

    with stayput.connect(apart.home("asker")) as client:
        apart.verify_result(client.run(scenario, "by_colour", youngest=0).wait(timeout=60))
        apart.verify_result(client.fetch(first.id))  # sealed to the key of before

    report = apart.report()
    assert report.finding is None
    assert len(report.session.rotations) == 4
    told = apart.cli("reviewer", "log", "verify")
    assert told.returncode == 0, told.stderr
    assert "4 KeysRotated" in told.stdout


def test_a_command_finishes_what_a_kill_interrupted(
    apart: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = rotate_halfway(apart.home("asker"), monkeypatch)
    told = apart.cli("asker", "log", "show")
    assert told.returncode == 0, told.stderr
    assert "KeysRotated" in told.stdout
    assert load_identity(apart.home("asker")).member == following.member
    assert not (apart.home("asker") / "signing.key").exists()


def test_a_daemon_with_an_interrupted_rotation_waits_for_its_coordinator(
    apart: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.stop("north")
    following = rotate_halfway(apart.home("north"), monkeypatch)
    apart.stop("hub")
    monkeypatch.setattr("stayput.daemon.GrpcLink", _impatient)
    with pytest.raises(Unavailable):
        rotation.finish_rotation(load_identity(apart.home("north")), connected)
    apart.start("hub")
    apart.start("north")
    assert load_identity(apart.home("north")).member == following.member


def _impatient(*arguments: Any) -> GrpcLink:
    return GrpcLink(*arguments, patience=0.0)


# --- the end of a log, and its successor ----------------------------------------------------------


def new_home(root: Path, name: str, role: Role, now: int) -> Identity:
    address = "127.0.0.1:1" if role is Role.COORDINATOR else ""
    return create_identity(root / name, name, role, now=now, address=address, paillier_bits=2048)


def test_a_log_is_ended_and_continued(apart: Consortium, tmp_path: Path) -> None:
    told = apart.cli("hub", "log", "freeze", "--reason", "key-compromised", "--yes")
    assert told.returncode == 1
    assert "running already" in told.stderr

    apart.stop("hub")
    told = apart.cli("hub", "log", "freeze", "--reason", "key-compromised")
    assert told.returncode == 1
    assert "nothing was signed" in told.stderr
    told = apart.cli("hub", "log", "freeze", "--reason", "key-compromised", "--yes")
    assert told.returncode == 0, told.stderr
    assert "is frozen" in told.stdout
    told = apart.cli("hub", "log", "freeze", "--reason", "key-compromised", "--yes")
    assert told.returncode == 1
    assert "nothing may follow" in told.stderr
    apart.start("hub")

    note = tmp_path / "last"
    wait_until(lambda: _cosigned_by_all(apart, note), pause=0.2)
    told = apart.cli("asker", "rotate")
    assert told.returncode == 1
    assert "K-5" in told.stderr or "frozen" in told.stderr

    # The old coordinator's key is not trusted any more: a new one forms the successor.
    now = clock()
    homes = tmp_path / "new"
    parties = {
        name: new_home(homes, name, role, now)
        for name, role in {
            "hub": Role.COORDINATOR,
            "office": Role.CHECKER,
            "asker": Role.USER,
            **dict.fromkeys(pets.HOLDERS, Role.HOLDER),
        }.items()
    }
    cards = []
    for name, identity in parties.items():
        path = tmp_path / f"{name}.json"
        path.write_bytes(member_card(identity))
        cards.append(str(path))
    listed = tmp_path / "members.json"
    form = ("consortium", "form")
    told = _cli(apart, homes / "hub", *form, "menagerie", *cards, "-o", str(listed),
                "--successor-of", str(note))  # fmt: skip
    assert told.returncode == 1
    assert "does not continue itself" in told.stderr
    told = _cli(apart, homes / "hub", *form, "menagerie-2", *cards, "-o", str(listed),
                "--successor-of", str(note))  # fmt: skip
    assert told.returncode == 0, told.stderr

    join = ("join", str(listed), "--coordinator", "127.0.0.1:1")
    fingerprint = _fingerprint(told.stdout)
    told = _cli(apart, homes / "north", *join, "--fingerprint", fingerprint,
                "--predecessor", str(apart.home("north")))  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "Continues menagerie.stayput/log" in told.stdout
    assert "KEY_COMPROMISED" in told.stdout
    assert "menagerie.stayput/auditor/west" in told.stderr
    assert load_members(homes / "north").predecessor is not None
    told = _cli(apart, homes / "south", *join, "--fingerprint", fingerprint)
    assert told.returncode == 0, told.stderr
    assert "add --predecessor FOLDER" in told.stderr

    # Another log's last checkpoint, properly signed by its own coordinator, continues nothing.
    other = tmp_path / "other"
    shutil.copytree(homes / "office", other)
    told = _cli(apart, other, *join, "--fingerprint", fingerprint,
                "--predecessor", str(homes / "north"))  # fmt: skip
    assert told.returncode == 1
    assert "continues menagerie.stayput/log, not" in told.stderr
    assert not (other / "joined.json").exists()


def _cli(apart: Consortium, home: Path, *words: str) -> Any:
    """A command in a home of the new consortium."""
    return Consortium(home.parent, apart.port).cli(home.name, *words)


def _cosigned_by_all(apart: Consortium, note: Path) -> bool:
    told = apart.cli("asker", "log", "checkpoint", "-o", str(note))
    assert told.returncode == 0, told.stderr
    return all(f"/{kind}/{name}" in told.stderr
               for kind in ("witness", "auditor") for name in pets.HOLDERS)  # fmt: skip


def _fingerprint(text: str) -> str:
    line = next(line for line in text.splitlines() if line.startswith("Fingerprint"))
    return line.removeprefix("Fingerprint").replace(" ", "")
