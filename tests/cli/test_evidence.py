"""Evidence of a fork: noticed, kept, shown, and exported so that anybody can verify it."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from audit.logs import HOLDERS, Log, digest, run_id
from cli.transcript import Stayput
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from parties import Party

from stayput.errors import VerificationError
from stayput.identity import save_members
from stayput.link import LogPage
from stayput.replica import Replica
from stayput.steps import RunOrdered
from stayput.store.journal import Evidence, Journal


class Shows:
    """A coordinator that shows this log."""

    def __init__(self, log: Log, cosigned: tuple[bytes, ...] = ()) -> None:
        self._log, self._cosigned = log, cosigned

    def read_log(self, start: int, wait_ms: int, known: bytes = b"") -> LogPage:
        entries = tuple(self._log.entries[start:])
        return LogPage(start, entries, self._log.note(holders=[]), self._cosigned)


@pytest.fixture
def home(consortium: Party, tmp_path: Path) -> Path:
    """A member's folder: identity and member list, nothing that happened yet."""
    folder = tmp_path / "north"
    shutil.copytree(consortium.identities["north"].home, folder)
    save_members(folder, consortium.members.envelope, coordinator="127.0.0.1:1")
    return folder


@pytest.fixture
def forked(consortium: Party) -> tuple[Log, Log]:
    """Two logs of one key, the same up to the last entry."""
    one, other = Log(consortium), Log(consortium)
    scenario = one.sealed()
    other.entries = list(one.entries)
    for log in (one, other):
        step = RunOrdered(run_id(), scenario, "asker", digest(), HOLDERS, 2, log.time)
        log.add(step, "asker")
    return one, other


def follow(home: Path, consortium: Party, *shown: Shows) -> None:
    with contextlib.closing(Journal(home / "journal.db")) as journal:
        replica = Replica(consortium.members, journal)
        for one in shown:
            replica.catch_up(one)


def verify(note: str, vkeys: list[str]) -> list[str]:
    """Whose Ed25519 lines on a note hold, by the C2SP texts alone."""
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    known = {}
    for vkey in vkeys:
        name, hint, key = vkey.split("+", 2)
        raw = base64.b64decode(key)
        known[name, bytes.fromhex(hint)] = raw[0], Ed25519PublicKey.from_public_bytes(raw[1:])
    held = []
    for line in lines.splitlines():
        _, name, encoded = line.split(" ")
        blob = base64.b64decode(encoded)
        kind, public = known[name, blob[:4]]
        message, signature = text.encode(), blob[4:]
        if kind == 4:  # tlog-cosignature
            time = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {time}\n".encode() + message
            signature = signature[8:]
        with contextlib.suppress(InvalidSignature):
            public.verify(signature, message)
            held.append(name)
    return held


def exported(stayput: Stayput, home: Path) -> Any:
    assert stayput("log", "evidence", "evidence.json", home=home).code == 0
    return json.loads(Path("evidence.json").read_text("utf-8"))


def test_two_trees_of_one_size_are_kept_and_exported(
    stayput: Stayput, consortium: Party, home: Path, forked: tuple[Log, Log]
) -> None:
    one, other = forked
    assert "nothing was shown" in stayput("log", "evidence", home=home).err
    follow(home, consortium, Shows(one))
    assert "nothing was shown" in stayput("log", "evidence", home=home).err
    for _ in range(2):  # the second time it is the same
        with pytest.raises(VerificationError, match="does not extend"):
            follow(home, consortium, Shows(other))
    shown = stayput("log", "evidence", home=home).out
    assert "does not extend" in shown
    found = exported(stayput, home)
    assert found["consortium"] == "testers"
    assert found["member_list"] == consortium.members.digest.hex()
    (kept,) = found["evidence"]
    assert kept["kind"] == "fork"
    texts = [kept[which].splitlines()[:3] for which in ("note", "held")]
    assert texts[0][:2] == texts[1][:2]  # one origin, one size
    assert texts[0][2] != texts[1][2]  # two roots
    origin = consortium.members.log_origin
    for which in ("note", "held"):
        assert verify(kept[which], [found["log_key"]]) == [origin], "the log has signed both"


def test_a_shortened_log(
    stayput: Stayput, consortium: Party, home: Path, forked: tuple[Log, Log]
) -> None:
    one, _ = forked
    follow(home, consortium, Shows(one))
    older = Log(consortium)
    older.entries = one.entries[:-2]
    with pytest.raises(VerificationError, match="shows a log of"):
        follow(home, consortium, Shows(older))
    (kept,) = exported(stayput, home)["evidence"]
    assert kept["kind"] == Evidence.SHRUNK.value
    assert int(kept["note"].splitlines()[1]) < int(kept["held"].splitlines()[1])


def test_a_holder_that_cosigned_the_other_history(
    stayput: Stayput, consortium: Party, home: Path, forked: tuple[Log, Log]
) -> None:
    """The keys of all cosigners are in the file, so that it can be seen who has signed what."""
    one, other = forked
    follow(home, consortium, Shows(one))
    with pytest.raises(VerificationError):
        follow(home, consortium, Shows(one, (other.note(holders=["south"]),)))
    found = exported(stayput, home)
    (kept,) = found["evidence"]
    names = verify(kept["note"], [found["log_key"], *found["cosigner_keys"]])
    assert [name.rpartition("/")[2] for name in names[1:]] == ["south", "south"]


def test_what_nobody_has_signed_is_no_evidence(
    stayput: Stayput, consortium: Party, home: Path, forked: tuple[Log, Log]
) -> None:
    """Else whoever stands between could make a witness stop."""
    one, other = forked
    follow(home, consortium, Shows(one))
    line = other.note(holders=[]).rpartition(b" ")[2]
    forged = one.note(holders=[]).rpartition(b" ")[0] + b" " + line
    with pytest.raises(VerificationError):
        follow(home, consortium, Shows(one, (forged,)))
    assert "nothing was shown" in stayput("log", "evidence", home=home).err
