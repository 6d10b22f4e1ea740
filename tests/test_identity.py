"""Home folders: what is written, for whom, and what happens when it is wrong."""

from __future__ import annotations

import dataclasses
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID

from stayput import identity as module
from stayput.crypto import signing
from stayput.errors import ConfigurationError, InvalidInput, VerificationError
from stayput.identity import (
    Identity,
    coordinator_address,
    create_identity,
    load_identity,
    load_members,
    member_card,
    parse_address,
    save_members,
    verify_membership,
)
from stayput.membership import form_member_list, verify_card, verify_member_list
from stayput.steps import Member, Role

NOW = 1_790_000_000
ADDRESS = "10.0.0.5:7443"

PRIVATE = ["agreement.key", "paillier.key", "signing.key", "tls.key"]
COSIGNING = ["auditor.key", "witness.key"]
PUBLIC = ["card.json", "identity.json", "tls.crt"]


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    home = tmp_path_factory.mktemp("homes") / "office"
    return create_identity(home, "office", Role.CHECKER, now=NOW, paillier_bits=2048)


def holder(root: Path, name: str = "north") -> Identity:
    return create_identity(root / name, name, Role.HOLDER, now=NOW)


def hub(root: Path) -> Identity:
    return create_identity(root / "hub", "hub", Role.COORDINATOR, now=NOW, address=ADDRESS)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- making -------------------------------------------------------------------------------------


def test_what_is_written_and_who_may_read_it(checker: Identity) -> None:
    assert sorted(path.name for path in checker.home.iterdir()) == sorted(PRIVATE + PUBLIC)
    assert mode(checker.home) == 0o700
    assert [mode(checker.home / name) for name in PRIVATE] == [0o600] * 4


def test_a_cosigner_has_two_keys_more(tmp_path: Path) -> None:
    for role in (Role.HOLDER, Role.AUDITOR):
        made = create_identity(tmp_path / role.name, "north", role, now=NOW)
        assert made.witness_key is not None
        assert made.auditor_key is not None
        loaded = load_identity(made.home)
        assert loaded.member == made.member
        for name, key in (("witness.key", made.witness_key), ("auditor.key", made.auditor_key)):
            assert mode(made.home / name) == 0o600
            assert (made.home / name).read_bytes() == key.to_bytes()
        (made.home / "witness.key").unlink()
        with pytest.raises(ConfigurationError, match=r"witness\.key"):
            load_identity(made.home)


def test_private_parts_are_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = holder(tmp_path / "deep" / "down")
    finally:
        os.umask(before)
    assert mode(made.home) == 0o700
    assert [mode(made.home / name) for name in PRIVATE if name != "paillier.key"] == [0o600] * 3
    assert [mode(made.home / name) for name in COSIGNING] == [0o600] * 2


def test_what_is_loaded_is_what_was_made(checker: Identity, tmp_path: Path) -> None:
    for made in (checker, holder(tmp_path), hub(tmp_path)):
        loaded = load_identity(made.home)
        assert loaded.member == made.member
        assert loaded.address == made.address
        assert loaded.tls_key == made.tls_key
        assert loaded.signing_key.to_bytes() == made.signing_key.to_bytes()
        assert loaded.agreement_key.to_bytes() == made.agreement_key.to_bytes()
        assert loaded.derive_key(b"a") == made.derive_key(b"a")
        assert (loaded.paillier_key is not None) == (made.role is Role.CHECKER)


def test_every_key_is_new(tmp_path: Path) -> None:
    one, other = holder(tmp_path / "a"), holder(tmp_path / "b")
    for field in ("signing_key", "agreement_key", "certificate"):
        assert getattr(one.member, field) != getattr(other.member, field)


def test_the_card_is_the_public_half_and_nothing_else(checker: Identity) -> None:
    card = (checker.home / "card.json").read_bytes()
    assert card == member_card(checker)
    assert verify_card(card) == checker.member
    secret = checker.paillier_key
    assert secret is not None
    p, q = secret.primes()
    for private in (
        checker.signing_key.to_bytes(),
        checker.agreement_key.to_bytes(),
        p.to_bytes(128, "big"),
        q.to_bytes(128, "big"),
    ):
        document = signing.parse_envelope(card).payload
        assert private not in document
        assert private.hex().encode() not in document


def test_no_secret_shows(checker: Identity) -> None:
    shown = repr(checker) + str(checker)
    assert "PRIVATE KEY" not in shown
    assert repr(checker.signing_key.to_bytes()) not in shown
    assert checker.signing_key.to_bytes().hex() not in shown


def test_the_certificate_is_for_both_ends_and_no_authority(tmp_path: Path) -> None:
    made = x509.load_der_x509_certificate(holder(tmp_path).certificate)
    extensions = made.extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert made.not_valid_before_utc.timestamp() == NOW - 3600
    assert made.not_valid_after_utc.timestamp() == NOW + 730 * 86400


def test_derived_keys_are_hkdf_and_apart(tmp_path: Path) -> None:
    made = holder(tmp_path)
    root = HKDF(hashes.SHA256(), 32, None, b"stayput/v1/root").derive(made.signing_key.to_bytes())
    expected = HKDF(hashes.SHA256(), 32, None, b"stayput/v1/derive\x00storage").derive(root)
    assert made.derive_key(b"storage") == expected
    assert len({made.derive_key(label) for label in (b"", b"a", b"storage")}) == 3


@pytest.mark.parametrize(
    ("name", "role", "address"),
    [
        ("North", Role.HOLDER, ""),
        ("", Role.HOLDER, ""),
        ("a.b", Role.HOLDER, ""),
        ("../north", Role.HOLDER, ""),
        ("n" * 64, Role.HOLDER, ""),
        ("north", Role.HOLDER, ADDRESS),
        ("hub", Role.COORDINATOR, ""),
        ("hub", Role.COORDINATOR, "10.0.0.5"),
    ],
)
def test_what_cannot_be_made(tmp_path: Path, name: str, role: Role, address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        create_identity(tmp_path / "home", name, role, now=NOW, address=address)
    assert refused.value.hint
    assert not (tmp_path / "home").exists()


def test_a_short_paillier_key_is_refused_and_leaves_no_identity(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        create_identity(tmp_path / "o", "office", Role.CHECKER, now=NOW, paillier_bits=1024)
    with pytest.raises(ConfigurationError, match="holds no identity"):
        load_identity(tmp_path / "o")


# --- never overwritten, never half --------------------------------------------------------------


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    made = holder(tmp_path)
    before = {path: path.read_bytes() for path in made.home.iterdir()}
    with pytest.raises(ConfigurationError, match="holds an identity already") as refused:
        holder(tmp_path)
    assert "another folder" in refused.value.hint
    assert {path: path.read_bytes() for path in made.home.iterdir()} == before


def test_a_crash_at_any_write_leaves_none_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each rename in turn; the next attempt succeeds and agrees with itself."""
    real = Path.replace
    for survive in range(6):
        left = [survive]

        def replace(path: Path, target: Path, left: list[int] = left) -> Path:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(path, target)

        root = tmp_path / str(survive)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                holder(root)
        with pytest.raises(ConfigurationError, match="holds no identity"):
            load_identity(root / "north")
        made = holder(root)
        assert load_identity(made.home).member == made.member
        assert verify_card((made.home / "card.json").read_bytes()) == made.member


def test_two_at_once_make_one_identity(tmp_path: Path) -> None:
    outcomes: list[object] = []

    def attempt() -> None:
        try:
            outcomes.append(holder(tmp_path))
        except ConfigurationError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [outcome for outcome in outcomes if isinstance(outcome, Identity)]
    assert len(made) == 1
    assert load_identity(tmp_path / "north").member == made[0].member


def test_files_beside_it_are_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "north"
    home.mkdir(0o700)
    (home / "stayput.toml").write_text("mine")
    holder(tmp_path)
    assert (home / "stayput.toml").read_text() == "mine"


# --- not read when others could have ------------------------------------------------------------


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o644, 0o660, 0o700])
@pytest.mark.parametrize("name", PRIVATE)
def test_a_key_that_others_can_read_is_not_used(checker: Identity, name: str, wide: int) -> None:
    path = checker.home / name
    path.chmod(wide)
    try:
        with pytest.raises(ConfigurationError, match="others can") as refused:
            load_identity(checker.home)
        assert refused.value.hint == f"chmod 600 {path}"
    finally:
        path.chmod(0o600)
    load_identity(checker.home)


@pytest.mark.parametrize("wide", [0o750, 0o705, 0o755, 0o711])
def test_a_folder_that_others_can_enter_is_not_used(tmp_path: Path, wide: int) -> None:
    made = holder(tmp_path)
    made.home.chmod(wide)
    with pytest.raises(ConfigurationError) as refused:
        load_identity(made.home)
    assert refused.value.hint == f"chmod 700 {made.home}"

    other = tmp_path / "other"
    other.mkdir()
    other.chmod(wide)
    with pytest.raises(ConfigurationError, match="others can"):
        create_identity(other, "south", Role.HOLDER, now=NOW)
    assert list(other.iterdir()) == []


@pytest.mark.parametrize("name", [*PRIVATE, "identity.json", "tls.crt"])
@pytest.mark.parametrize("content", [b"", b"junk", b"{}", b"\xff" * 40, None])
def test_a_damaged_home_is_not_loaded(checker: Identity, name: str, content: bytes | None) -> None:
    path = checker.home / name
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    try:
        with pytest.raises(ConfigurationError) as refused:
            load_identity(checker.home)
        assert refused.value.hint
        assert before.hex() not in str(refused.value)
    finally:
        path.write_bytes(before)
        path.chmod(0o600)


def test_files_of_two_parties_are_not_mixed(tmp_path: Path) -> None:
    one, other = holder(tmp_path / "a"), holder(tmp_path / "b")
    (one.home / "tls.key").write_bytes((other.home / "tls.key").read_bytes())
    with pytest.raises(ConfigurationError, match="do not belong together"):
        load_identity(one.home)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot make"):
        create_identity(tmp_path / "file" / "home", "north", Role.HOLDER, now=NOW)
    with pytest.raises(ConfigurationError, match="cannot make"):
        create_identity(tmp_path / "file", "north", Role.HOLDER, now=NOW)


# --- joining ------------------------------------------------------------------------------------


def listed(*identities: Identity, at: int = NOW) -> bytes:
    cards = [member_card(identity) for identity in identities]
    (coordinator,) = [i for i in identities if i.role is Role.COORDINATOR]
    return form_member_list("testers", cards, coordinator.signing_key, at)


def test_joining_pins_the_list_and_the_address(checker: Identity, tmp_path: Path) -> None:
    north, centre = holder(tmp_path), hub(tmp_path)
    data = listed(checker, north, centre)
    with pytest.raises(ConfigurationError, match="has not joined") as refused:
        load_members(north.home)
    assert "stayput join" in refused.value.hint
    assert load_identity(north.home).address == ""

    digest = verify_member_list(data, pinned=None).digest
    joined = save_members(north.home, data, coordinator=ADDRESS, expected=digest)
    assert joined.digest == load_members(north.home).digest == digest
    assert coordinator_address(north.home) == load_identity(north.home).address == ADDRESS

    save_members(north.home, data, coordinator="[::1]:99")
    assert load_identity(north.home).address == "[::1]:99"
    save_members(centre.home, data, coordinator="127.0.0.1:1")
    assert load_identity(centre.home).address == ADDRESS  # its own


def test_joining_is_refused(checker: Identity, tmp_path: Path) -> None:
    north, centre, other = holder(tmp_path), hub(tmp_path), holder(tmp_path / "other")
    data = listed(checker, north, centre)
    with pytest.raises(VerificationError, match="confirmed"):
        save_members(north.home, data, coordinator=ADDRESS, expected=bytes(32))
    with pytest.raises(InvalidInput, match="no address"):
        save_members(north.home, data, coordinator="somewhere")
    with pytest.raises(ConfigurationError, match="with other keys"):
        save_members(other.home, data, coordinator=ADDRESS)
    with pytest.raises(ConfigurationError, match="not in the member list"):
        save_members(north.home, listed(checker, centre), coordinator=ADDRESS)
    assert not (north.home / "members.json").exists()

    save_members(north.home, data, coordinator=ADDRESS)
    later = listed(checker, north, centre, at=NOW + 1)
    with pytest.raises(ConfigurationError, match="another member list already"):
        save_members(north.home, later, coordinator=ADDRESS)
    assert (north.home / "members.json").read_bytes() == data


def test_a_list_that_was_exchanged_on_disk_is_noticed(checker: Identity, tmp_path: Path) -> None:
    north, centre = holder(tmp_path), hub(tmp_path)
    save_members(north.home, listed(checker, north, centre), coordinator=ADDRESS)
    path = north.home / "members.json"
    for data in (listed(checker, north, centre, at=NOW + 1), b"junk", b""):
        path.write_bytes(data)
        with pytest.raises(ConfigurationError, match="not the list that was confirmed"):
            load_members(north.home)
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_members(north.home)
    (north.home / "joined.json").write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="damaged"):
        load_members(north.home)


def test_membership_is_of_these_keys(checker: Identity, tmp_path: Path) -> None:
    north, centre = holder(tmp_path), hub(tmp_path)
    members = verify_member_list(listed(checker, north, centre), pinned=None)
    assert verify_membership(north, members) == north.member
    for changed in (
        dataclasses.replace(north, role=Role.AUDITOR),
        dataclasses.replace(north, certificate=centre.certificate),
        dataclasses.replace(north, agreement_key=centre.agreement_key),
    ):
        with pytest.raises(ConfigurationError, match="other keys"):
            verify_membership(changed, members)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5:7443", "10.0.0.5", 7443),
        ("hub.example:1", "hub.example", 1),
        ("[::1]:65535", "::1", 65535),
        ("127.0.0.1:0", "127.0.0.1", 0),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":1",
        "host",
        "host:",
        "host:x",
        "host:-1",
        "host:65536",
        "host:000001",
        "::1:1",
        "[::1]",
        "unix:/tmp/x:1",
        "dns:///host:1",
        "ho st:1",
        "host:１",
        "host:1\n",
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_address(text)


def test_a_huge_file_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = holder(tmp_path)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 20)
    with pytest.raises(ConfigurationError, match="damaged"):
        load_identity(made.home)


def test_the_public_half_has_no_room_for_more(checker: Identity) -> None:
    assert {field.name for field in dataclasses.fields(Member)} == {
        "name",
        "role",
        "signing_key",
        "agreement_key",
        "certificate",
        "paillier_modulus",
        "witness_key",
        "auditor_key",
        "reviewers",
        "quorum",
    }
