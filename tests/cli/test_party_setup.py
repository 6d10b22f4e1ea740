"""Setting a party up: init, card, consortium form, join, members, source, start."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli.transcript import Stayput
from parties import Party

from stayput.identity import load_identity, load_members

SECRETS = ("signing.key", "agreement.key", "tls.key")


@pytest.fixture
def homes(stayput: Stayput, tmp_path: Path, consortium: Party) -> dict[str, Path]:
    """Keys of a coordinator, a checker (the shared one: its key takes seconds) and two holders."""
    made = {name: tmp_path / name for name in ("desk", "alpha", "beta")}
    roles = {"desk": "coordinator", "alpha": "holder", "beta": "holder"}
    for name, home in made.items():
        listen = ("--listen", "127.0.0.1:7443") if name == "desk" else ()
        outcome = stayput("init", name, "--role", roles[name], *listen, home=home)
        assert outcome.code == 0, outcome.err
        assert outcome.out == f"{home / 'card.json'}\n"
    return {**made, "office": consortium.identities["office"].home}


@pytest.fixture
def members(stayput: Stayput, homes: dict[str, Path]) -> Path:
    cards = [str(homes[name] / "card.json") for name in ("alpha", "beta", "office")]
    outcome = stayput(
        "consortium", "form", "testers", *cards, "-o", "members.json", home=homes["desk"]
    )
    assert outcome.code == 0, outcome.err
    assert "Consortium testers, 4 members" in outcome.out
    return Path("members.json").resolve()


def fingerprint(stayput: Stayput, members: Path) -> str:
    found: str = stayput("members", "--file", str(members), "--json").json["fingerprint"]
    return found


def test_private_parts_are_private(homes: dict[str, Path]) -> None:
    for name in ("desk", "alpha"):
        assert homes[name].stat().st_mode & 0o777 == 0o700
        for secret in SECRETS:
            assert (homes[name] / secret).stat().st_mode & 0o777 == 0o600


def test_the_card_is_public_and_always_the_same(stayput: Stayput, homes: dict[str, Path]) -> None:
    card = stayput("card", home=homes["alpha"]).out
    assert card.strip().encode() == (homes["alpha"] / "card.json").read_bytes()
    assert json.loads(card)["signatures"]
    for secret in SECRETS:
        assert (homes["alpha"] / secret).read_bytes().hex() not in card


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["init", "alpha", "--role", "holder"], "holds an identity already"),
        (["init", "desk", "--role", "coordinator"], "listens on an address"),
    ],
)
def test_init_refuses(
    words: list[str], says: str, stayput: Stayput, homes: dict[str, Path]
) -> None:
    outcome = stayput(*words, home=homes["alpha"])
    assert outcome.code == 1
    assert says in outcome.err
    assert "hint: " in outcome.err


def test_everybody_joins_the_same_list(
    stayput: Stayput, homes: dict[str, Path], members: Path
) -> None:
    digest = fingerprint(stayput, members)
    for name in ("desk", "alpha", "beta"):
        address = () if name == "desk" else ("--coordinator", "127.0.0.1:7443")
        typed = " ".join(digest[i : i + 4] for i in range(0, 64, 4)).upper()
        outcome = stayput("join", str(members), *address, "--fingerprint", typed, home=homes[name])
        assert outcome.code == 0, outcome.err
        assert load_members(homes[name]).digest.hex() == digest
    shown = stayput("members", home=homes["alpha"])
    assert "desk" in shown.out
    assert "2048 bits, safe-primes" in next(x for x in shown.out.splitlines() if "office" in x)
    assert shown.out.count("bits") == 1
    assert digest[:4] + " " + digest[4:8] in shown.out
    assert load_identity(homes["beta"]).address == "127.0.0.1:7443"


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--coordinator", "h:1", "--fingerprint", "00" * 32], "stayput: error"),
        (["--coordinator", "h:1", "--fingerprint", "abcd"], "64 hexadecimal digits"),
        (["--coordinator", "h:1"], "the fingerprint is not confirmed"),
        (["--fingerprint", "00" * 32], "where does the coordinator listen?"),
        (["--coordinator", "nowhere", "--fingerprint", "right"], "nowhere"),
    ],
)
def test_joining_blindly_is_refused(
    extra: list[str], says: str, stayput: Stayput, homes: dict[str, Path], members: Path
) -> None:
    digest = fingerprint(stayput, members)
    words = [digest if word == "right" else word for word in extra]
    outcome = stayput("join", str(members), *words, home=homes["alpha"])
    assert outcome.code == 1
    assert says in outcome.err
    assert not (homes["alpha"] / "members.json").exists()


def test_only_the_coordinator_forms_a_list_and_only_of_cards(
    stayput: Stayput, homes: dict[str, Path]
) -> None:
    card = str(homes["alpha"] / "card.json")
    outcome = stayput("consortium", "form", "x", card, "-o", "m.json", home=homes["beta"])
    assert (outcome.code, "the coordinator forms the list" in outcome.err) == (1, True)
    for wrong in (__file__, str(homes["alpha"] / "identity.json"), "missing.json"):
        outcome = stayput("consortium", "form", "x", wrong, "-o", "m.json", home=homes["desk"])
        assert outcome.code == 1
    assert not Path("m.json").exists()


def test_sources(stayput: Stayput, homes: dict[str, Path]) -> None:
    Path("visits.csv").write_text("ward,minutes\nA,10\nB,20\n")
    alpha = homes["alpha"]
    assert stayput("source", "add", "visits", "visits.csv", home=alpha).code == 0
    listed = stayput("source", "list", "--json", home=alpha).json
    assert listed == [
        {"table": "visits", "path": os.path.realpath("visits.csv"), "format": "csv", "inner": ""}
    ]
    assert "visits" in stayput("source", "list", home=alpha).out
    outcome = stayput("source", "add", "visits", "visits.csv", home=alpha)
    assert "has a source already" in outcome.err
    assert stayput("source", "add", "other", "nothing.csv", home=alpha).code == 1
    outcome = stayput("source", "add", "visits", "visits.csv", home=homes["desk"])
    assert "only holders have data" in outcome.err


def test_a_draft_of_a_contract(stayput: Stayput) -> None:
    Path("visits.csv").write_text("ward,minutes\n" + "A,10\nB,20\n" * 20)
    outcome = stayput("source", "describe", "visits.csv")
    assert outcome.code == 0
    assert "visits:" in outcome.out
    assert "minutes:" in outcome.out


def test_who_has_no_daemon_is_told(
    stayput: Stayput, tmp_path: Path, consortium: Party, homes: dict[str, Path]
) -> None:
    outcome = stayput("start", home=homes["alpha"])
    assert outcome.code == 1
    assert "has not joined a consortium" in outcome.err
