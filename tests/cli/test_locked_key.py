"""A checker's Paillier key: its kind, its passphrase, and what works while it is locked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli.transcript import Stayput

from stayput import daemon, identity
from stayput.cli import terminal
from stayput.crypto import lock
from stayput.crypto.paillier import PrivateKey
from stayput.errors import ConfigurationError, InvalidInput
from stayput.identity import (
    Identity,
    begin_rotation,
    create_identity,
    draw_next,
    load_identity,
    member_card,
    pending_rotation,
)
from stayput.membership import verify_card
from stayput.steps import Role

NOW = 1_790_000_000
PASSPHRASE = "correct horse battery staple"


@pytest.fixture(scope="module")
def subgroup_key() -> PrivateKey:
    return PrivateKey.generate_subgroup(2048)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch, subgroup_key: PrivateKey) -> list[tuple[int, bool]]:
    """Guesses cost nothing and every key is the same one; what was asked for is noted."""
    drawn: list[tuple[int, bool]] = []

    def draw(bits: int, *, subgroup: bool = False, progress: object = None) -> PrivateKey:
        drawn.append((bits, subgroup))
        return subgroup_key

    monkeypatch.setattr(lock, "_COST", 2)
    monkeypatch.setattr(identity, "draw_paillier_key", draw)
    return drawn


@pytest.fixture
def locked(tmp_path: Path) -> Identity:
    return create_identity(
        tmp_path / "office",
        "office",
        Role.CHECKER,
        now=NOW,
        paillier_bits=2048,
        subgroup=True,
        passphrase=PASSPHRASE,
    )


def never() -> str:
    raise AssertionError("nobody had to be asked")


def test_a_locked_key_file_shows_no_prime(locked: Identity, subgroup_key: PrivateKey) -> None:
    data = (locked.home / "paillier.key").read_bytes()
    assert data.startswith(b"stayput key locked with scrypt")
    for prime in subgroup_key.primes():
        assert prime.to_bytes(128, "big") not in data
        assert str(prime) not in repr(locked)
    assert PASSPHRASE not in repr(locked)
    assert PASSPHRASE.encode() not in b"".join(
        path.read_bytes() for path in locked.home.iterdir() if path.is_file()
    )


def test_without_its_passphrase_everything_is_there_but_the_key(locked: Identity) -> None:
    loaded = load_identity(locked.home)
    assert loaded.paillier_key is None
    assert loaded.paillier_public == locked.paillier_public
    assert loaded.member == locked.member
    assert member_card(loaded) == (locked.home / "card.json").read_bytes()
    assert verify_card(member_card(loaded)).paillier_modulus[:1] == b"\0"  # a subgroup key


def test_with_its_passphrase_the_key_is_there(locked: Identity) -> None:
    loaded = load_identity(locked.home, lambda: PASSPHRASE)
    assert loaded.paillier_key is not None
    assert loaded.paillier_key.primes() == PrivateKey.primes(locked.paillier_key)  # type: ignore[arg-type]
    assert PASSPHRASE not in repr(loaded)


def test_nobody_is_asked_for_a_key_that_is_not_locked(tmp_path: Path) -> None:
    made = create_identity(tmp_path / "office", "office", Role.CHECKER, now=NOW)
    loaded = load_identity(made.home, never)
    assert loaded.paillier_key is not None
    assert loaded.passphrase is None
    holder = create_identity(tmp_path / "north", "north", Role.HOLDER, now=NOW)
    assert load_identity(holder.home, never).paillier_public is None


@pytest.mark.parametrize("passphrase", ["", "correct horse battery stapler"])
def test_another_passphrase_is_refused_without_a_cause(locked: Identity, passphrase: str) -> None:
    with pytest.raises(ConfigurationError, match="passphrase does not open") as caught:
        load_identity(locked.home, lambda: passphrase)
    assert caught.value.__cause__ is None
    assert "hint" not in str(caught.value)
    assert caught.value.hint


def test_a_card_that_the_party_did_not_sign_is_no_source_of_its_key(locked: Identity) -> None:
    card = locked.home / "card.json"
    card.write_bytes(card.read_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1))
    with pytest.raises(ConfigurationError, match=r"card\.json is damaged"):
        load_identity(locked.home)


def test_an_empty_passphrase_locks_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        create_identity(tmp_path / "o", "office", Role.CHECKER, now=NOW, passphrase="")
    assert not (tmp_path / "o" / "identity.json").exists()
    with pytest.raises(ConfigurationError, match="no identity"):
        load_identity(tmp_path / "o")


def test_the_next_key_is_of_the_same_kind_and_locked_alike(
    locked: Identity, cheap: list[tuple[int, bool]]
) -> None:
    following = draw_next(locked, now=NOW + 1)
    assert cheap[-1] == (2048, True)
    begin_rotation(following, b"{}")
    assert lock.is_locked((locked.home / "keys-1" / "paillier.key").read_bytes())
    pending = pending_rotation(load_identity(locked.home, lambda: PASSPHRASE))
    assert pending is not None
    assert pending[0].paillier_key is not None
    with pytest.raises(ConfigurationError, match="locked"):
        draw_next(load_identity(locked.home), now=NOW + 1)


# --- the command line -----------------------------------------------------------------------------


Say = Callable[[str], None]


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Hands a passphrase over as a service manager does."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return lambda text: (folder / "stayput-passphrase").write_text(text, encoding="utf-8") and None


def test_init_draws_the_kind_that_was_asked_for(
    stayput: Stayput, tmp_path: Path, cheap: list[tuple[int, bool]]
) -> None:
    outcome = stayput("init", "office", "--role", "checker", home=tmp_path / "a")
    assert outcome.code == 0, outcome.err
    kind = ("--paillier", "subgroup")
    outcome = stayput("init", "office", "--role", "checker", *kind, home=tmp_path / "b")
    assert outcome.code == 0, outcome.err
    assert cheap == [(3072, False), (3072, True)]


def test_init_locks_with_a_credential_and_start_unlocks(
    stayput: Stayput, tmp_path: Path, credentials: Say
) -> None:
    home = tmp_path / "office"
    credentials(PASSPHRASE + "\n")
    outcome = stayput("init", "office", "--role", "checker", "--lock", home=home)
    assert outcome.code == 0, outcome.err
    assert PASSPHRASE not in outcome.err + outcome.out
    assert load_identity(home, lambda: PASSPHRASE).paillier_key is not None
    assert stayput("card", home=home).code == 0  # asks nobody
    assert "has not joined" in stayput("start", home=home).err  # unlocked, and went on
    credentials("wrong")
    outcome = stayput("start", home=home)
    assert (outcome.code, "does not open" in outcome.err) == (1, True)
    credentials("")
    assert "the passphrase is empty" in stayput("start", home=home).err


def test_start_says_what_to_do_where_there_is_nobody_to_ask(
    stayput: Stayput, locked: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    outcome = stayput("start", home=locked.home)
    assert outcome.code == 1
    assert "nobody to ask" in outcome.err
    assert "hint: start it by hand, or hand it over as the systemd credential" in outcome.err
    with pytest.raises(ConfigurationError, match="locked"):
        daemon.run_daemon(locked.home, print)


def test_a_typed_passphrase_is_asked_twice_when_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["one", "one", "one", "two"])
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: next(typed))
    assert terminal.choose_passphrase("passphrase") == "one"
    with pytest.raises(ConfigurationError, match="differ"):
        terminal.choose_passphrase("passphrase")


@pytest.mark.parametrize("words", [("--lock",), ("--paillier", "subgroup")])
def test_only_a_checker_has_a_paillier_key(
    words: tuple[str, ...], stayput: Stayput, tmp_path: Path
) -> None:
    outcome = stayput("init", "north", "--role", "holder", *words, home=tmp_path / "north")
    assert (outcome.code, "has no Paillier key" in outcome.err) == (1, True)
    assert not (tmp_path / "north").exists()


def test_a_key_that_takes_long_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = terminal.counting("numbers tested")
    tell(10, 2580)
    tell(2580, 2580)
    assert capsys.readouterr().err == "numbers tested: done\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    tell = terminal.counting("numbers tested")
    tell(10, 2580)
    tell(2580, 2580)
    assert capsys.readouterr().err.endswith("numbers tested: 2,580 of about 2,580\n")
