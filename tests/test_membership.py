"""The member list: what is verified, and each way in which it can be wrong."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput import documents
from stayput.crypto import signing
from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, NotFound, StayputError, VerificationError
from stayput.identity import Identity, create_identity, member_card
from stayput.membership import (
    MAX_CERTIFICATE_BYTES,
    Members,
    form_member_list,
    parse_certificate,
    tls_name,
    verify_card,
    verify_member_list,
)
from stayput.steps import Member, MemberList, Role

NOW = 1_790_000_000
DAY = 86400
Parties = dict[str, Identity]

ROLES = {
    "hub": Role.COORDINATOR,
    "office": Role.CHECKER,
    "north": Role.HOLDER,
    "south": Role.HOLDER,
}


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    root = tmp_path_factory.mktemp("members")
    return {name: make(root, name, role) for name, role in ROLES.items()}


def make(root: Path, name: str, role: Role, now: int = NOW) -> Identity:
    address = "127.0.0.1:7443" if role is Role.COORDINATOR else ""
    return create_identity(root / name, name, role, now=now, address=address, paillier_bits=2048)


def formed(parties: Parties) -> bytes:
    cards = [member_card(identity) for identity in parties.values()]
    return form_member_list("testers", cards, parties["hub"].signing_key, NOW)


@pytest.fixture(scope="module")
def members(parties: Parties) -> Members:
    return verify_member_list(formed(parties), pinned=None)


def signed_list(parties: Parties, *cards: bytes, key: SigningKey | None = None) -> bytes:
    """A list as a coordinator without scruples signs it: no order made, nothing checked."""
    listed = MemberList("testers", cards, NOW)
    return signing.sign(listed, key or parties["hub"].signing_key)


def cards_of(parties: Parties, **replaced: bytes) -> list[bytes]:
    """All cards in order of name, some replaced."""
    cards = {name: member_card(identity) for name, identity in parties.items()} | replaced
    return [cards[name] for name in sorted(cards)]


def altered(identity: Identity, **changes: Any) -> bytes:
    """A card with other content, properly signed by its party."""
    return signing.sign(dataclasses.replace(identity.member, **changes), identity.signing_key)


# --- what is right ------------------------------------------------------------------------------


def test_everybody_is_found_by_everything(parties: Parties, members: Members) -> None:
    assert [member.name for member in members] == sorted(ROLES)
    assert len(members) == 4
    assert members.consortium == "testers"
    for name, identity in parties.items():
        member = identity.member
        assert members[name] == members.get(name) == member
        assert members.role(name) is ROLES[name]
        assert members.by_certificate(members.certificate(name).sha256) == member
        assert members.by_fingerprint(signing.fingerprint(member.signing_key)) == member
        assert members.certificate(name).der == identity.certificate
    assert members.coordinator.name == "hub"
    assert [m.name for m in members.with_role(Role.HOLDER)] == ["north", "south"]
    assert members.with_role(Role.AUDITOR) == ()
    key = parties["office"].paillier_key
    assert key is not None
    assert members.checker_key("office") == key.public
    assert members.checker_key_of(key.public.key_id) == key.public


def test_nobody_else_is_found(members: Members) -> None:
    assert members.get("stranger") is None
    assert members.by_certificate(bytes(32)) is None
    assert members.by_fingerprint("0" * 16) is None
    for ask in (
        lambda: members["stranger"],
        lambda: members.role("stranger"),
        lambda: members.certificate("stranger"),
        lambda: members.checker_key("stranger"),
        lambda: members.checker_key("north"),
        lambda: members.checker_key_of(bytes(32)),
        lambda: members.verify_current("stranger", NOW),
    ):
        with pytest.raises(NotFound):
            ask()


def test_the_log_has_the_consortiums_name_and_the_coordinators_key(
    parties: Parties, members: Members
) -> None:
    assert members.log_origin == "testers.stayput/log"
    assert members.log_verifier.name == members.log_origin
    assert members.log_verifier.public == parties["hub"].signing_key.public


def test_the_list_does_not_depend_on_the_order_of_cards(parties: Parties) -> None:
    cards = [member_card(identity) for identity in parties.values()]
    key = parties["hub"].signing_key
    assert form_member_list("testers", cards[::-1], key, NOW) == formed(parties)


def test_the_pinned_digest_decides(parties: Parties, members: Members) -> None:
    data = formed(parties)
    assert verify_member_list(data, pinned=members.digest).digest == members.digest
    assert members.digest == documents.digest_bytes("stayput.v1.MemberListEnvelope", data)
    later = form_member_list("testers", cards_of(parties), parties["hub"].signing_key, NOW + 1)
    with pytest.raises(VerificationError, match="confirmed on joining"):
        verify_member_list(later, pinned=members.digest)


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "not valid yet"), (0, ""), (729, ""), (731, "has expired")]
)
def test_certificates_have_dates(members: Members, days: int, words: str) -> None:
    if not words:
        assert members.verify_current("north", NOW + days * DAY).name == "north"
        return
    with pytest.raises(VerificationError, match=words):
        members.verify_current("north", NOW + days * DAY)


# --- what is wrong with a list ------------------------------------------------------------------


def refused(data: bytes, words: str) -> None:
    with pytest.raises((VerificationError, DocumentError), match=words):
        verify_member_list(data, pinned=None)


def test_the_coordinator_has_to_have_signed(parties: Parties) -> None:
    cards = cards_of(parties)
    assert verify_member_list(signed_list(parties, *cards), pinned=None)
    refused(signed_list(parties, *cards, key=parties["north"].signing_key), "another key")
    refused(signed_list(parties, *cards, key=SigningKey.generate()), "another key")


def test_there_is_one_coordinator(parties: Parties, tmp_path: Path) -> None:
    without = [card for card in cards_of(parties) if card != member_card(parties["hub"])]
    refused(signed_list(parties, *without), "one coordinator, not 0")
    second = member_card(make(tmp_path, "rival", Role.COORDINATOR))
    refused(signed_list(parties, *cards_of(parties, rival=second)), "one coordinator, not 2")


def test_there_is_a_checker(parties: Parties) -> None:
    without = [card for card in cards_of(parties) if card != member_card(parties["office"])]
    refused(signed_list(parties, *without), "has a checker")


def test_cards_are_in_order(parties: Parties) -> None:
    refused(signed_list(parties, *reversed(cards_of(parties))), "order of name")


def test_nobody_is_listed_twice(parties: Parties) -> None:
    doubled = sorted(
        [*cards_of(parties), member_card(parties["north"])], key=cards_of(parties).index
    )
    refused(signed_list(parties, *doubled), "same name")


def test_nobody_has_anothers_name(parties: Parties, tmp_path: Path) -> None:
    cards = cards_of(parties)
    second = member_card(make(tmp_path, "north", Role.HOLDER))
    position = cards.index(member_card(parties["north"]))
    refused(signed_list(parties, *cards[:position], second, *cards[position:]), "same name")


def test_keys_are_not_shared(parties: Parties, tmp_path: Path) -> None:
    south, north = parties["south"], parties["north"]
    same_agreement = altered(south, agreement_key=north.agreement_key.public)
    refused(signed_list(parties, *cards_of(parties, south=same_agreement)), "same agreement key")

    other = make(tmp_path, "south", Role.HOLDER)
    same_signing = signing.sign(
        dataclasses.replace(other.member, signing_key=north.signing_key.public), north.signing_key
    )
    refused(signed_list(parties, *cards_of(parties, south=same_signing)), "same signing key")

    office = parties["office"]
    second = make(tmp_path, "bureau", Role.HOLDER)
    same_modulus = altered(
        second,
        role=Role.CHECKER,
        paillier_modulus=office.member.paillier_modulus,
        witness_key=b"",
        auditor_key=b"",
    )
    refused(signed_list(parties, *cards_of(parties, bureau=same_modulus)), "same Paillier key")


def test_no_key_cosigns_for_two_or_in_two_trades(parties: Parties) -> None:
    """A cosignature does not commit to a name: a second name would count one witness twice."""
    south, north = parties["south"], parties["north"].member
    for changes in (
        {"witness_key": north.witness_key},
        {"auditor_key": north.auditor_key},
        {"auditor_key": north.witness_key},
        {"witness_key": north.signing_key},
        {"witness_key": south.member.signing_key},
        {"auditor_key": south.member.witness_key},
    ):
        listed = signed_list(parties, *cards_of(parties, south=altered(south, **changes)))
        refused(listed, "two purposes or two members")


def test_holders_and_auditors_cosign_and_nobody_else(parties: Parties, tmp_path: Path) -> None:
    outside = make(tmp_path, "press", Role.AUDITOR)
    listed = form_member_list(
        "testers",
        cards_of(parties, press=member_card(outside)),
        parties["hub"].signing_key,
        NOW,
    )
    for member in verify_member_list(listed, pinned=None):
        cosigns = member.role in (Role.HOLDER, Role.AUDITOR)
        assert [len(member.witness_key), len(member.auditor_key)] == [32 * cosigns] * 2
    for name, changes in (
        ("north", {"witness_key": b""}),
        ("north", {"auditor_key": b""}),
        ("hub", {"witness_key": bytes([9] * 32), "auditor_key": bytes([8] * 32)}),
    ):
        with pytest.raises(ValueError, match="and only they"):
            altered(parties[name], **changes)


def test_tls_keys_are_not_shared(parties: Parties) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    cards = {
        name: altered(parties[name], certificate=certificate(name, key))
        for name in ("north", "south")
    }
    refused(signed_list(parties, *cards_of(parties, **cards)), "same TLS key")


def test_certificates_are_in_date_when_the_list_is_made(parties: Parties, tmp_path: Path) -> None:
    for days, words in ((-800, "expired"), (3, "not valid yet")):
        old = make(tmp_path / str(days), "south", Role.HOLDER, now=NOW + days * DAY)
        refused(signed_list(parties, *cards_of(parties, south=member_card(old))), words)


@pytest.mark.parametrize("name", ["", "Testers", "the testers", "t+t", "t\nt", "9t"])
def test_a_consortium_has_a_plain_name(parties: Parties, name: str) -> None:
    """Not least because it becomes the origin of a log."""
    with pytest.raises(DocumentError) as wrong:
        form_member_list(name, cards_of(parties), parties["hub"].signing_key, NOW)
    assert wrong.value.hint


def test_no_wrong_list_is_formed(parties: Parties) -> None:
    with pytest.raises(VerificationError, match="another key"):
        form_member_list("testers", cards_of(parties), parties["north"].signing_key, NOW)
    with pytest.raises(VerificationError, match="one coordinator"):
        form_member_list("testers", [], parties["hub"].signing_key, NOW)
    with pytest.raises(DocumentError):
        form_member_list("testers", [b"junk"], parties["hub"].signing_key, NOW)


# --- what is wrong with a card ------------------------------------------------------------------


def _order_two() -> bytes:
    return (2**255 - 20).to_bytes(32, "little")  # y = -1


WRONG_CARDS: dict[str, tuple[Callable[[Parties], bytes], str]] = {
    "signed by another": (
        lambda p: signing.sign(p["south"].member, p["north"].signing_key),
        "another key",
    ),
    "signing key of order two": (
        lambda p: signing.sign(
            dataclasses.replace(p["south"].member, signing_key=_order_two()),
            p["south"].signing_key,
        ),
        "small order",
    ),
    "witness key of order two": (
        lambda p: altered(p["south"], witness_key=_order_two()),
        "small order",
    ),
    "auditor key of order two": (
        lambda p: altered(p["south"], auditor_key=_order_two()),
        "small order",
    ),
    "agreement key of small order": (
        lambda p: altered(p["south"], agreement_key=bytes(32)),
        "small order",
    ),
    "agreement key one": (
        lambda p: altered(p["south"], agreement_key=(1).to_bytes(32, "little")),
        "small order",
    ),
    "another's certificate": (
        lambda p: altered(p["south"], certificate=p["north"].certificate),
        "not for south.stayput",
    ),
    "no certificate": (lambda p: altered(p["south"], certificate=b""), "X.509"),
    "renamed": (lambda p: altered(p["south"], name="west"), "not for west.stayput"),
    "modulus one": (lambda p: altered(p["office"], paillier_modulus=b"\1"), "bits"),
    "modulus with zeros before it": (
        lambda p: altered(
            p["office"], paillier_modulus=b"\0" + p["office"].member.paillier_modulus
        ),
        "modulus",
    ),
    "even modulus": (
        lambda p: altered(p["office"], paillier_modulus=(2**2048 - 2).to_bytes(256, "big")),
        "modulus is even",
    ),
    "another document": (
        lambda p: signing.sign(MemberList("testers", (), NOW), p["south"].signing_key),
        "not expected here",
    ),
    "junk": (lambda p: b"junk", "JSON"),
}


@pytest.mark.parametrize("name", sorted(WRONG_CARDS))
def test_wrong_cards_are_refused(parties: Parties, name: str) -> None:
    make_card, words = WRONG_CARDS[name]
    card = make_card(parties)
    with pytest.raises((VerificationError, DocumentError), match=words):
        verify_card(card)
    owner = "office" if "modulus" in name else "south"
    refused(signed_list(parties, *cards_of(parties, **{owner: card})), words)


@pytest.mark.parametrize(
    ("role", "modulus"),
    [("ROLE_HOLDER", b"\1" * 256), ("ROLE_CHECKER", b""), ("ROLE_UNSPECIFIED", b"")],
)
def test_the_checker_alone_has_a_modulus(parties: Parties, role: str, modulus: bytes) -> None:
    """Such a document cannot be made with our classes: it is written by hand."""
    fields = json.loads(documents.encode(parties["south"].member)) | {"role": role}
    if modulus:
        fields["paillier_modulus"] = base64.b64encode(modulus).decode()
    with pytest.raises(DocumentError):
        documents.parse(Member, documents.canonical_json(fields))


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0), flip=st.integers(1, 255))
def test_any_altered_byte_is_refused(parties: Parties, position: int, flip: int) -> None:
    data = bytearray(formed(parties))
    data[position % len(data)] ^= flip
    with pytest.raises(StayputError):
        verify_member_list(bytes(data), pinned=None)


# --- certificates -------------------------------------------------------------------------------


def certificate(
    name: str,
    key: Any = None,
    *,
    signer: Any = None,
    ca: bool | None = False,
    names: list[x509.GeneralName] | None = None,
    extra: int = 0,
) -> bytes:
    """A certificate, independent of the code that makes ours."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime.fromtimestamp(NOW - DAY, datetime.UTC)
    alternatives = [x509.DNSName(tls_name(name))] if names is None else names
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=10))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    if extra:
        comment = x509.ObjectIdentifier("2.16.840.1.113730.1.13")
        builder = builder.add_extension(x509.UnrecognizedExtension(comment, bytes(extra)), False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer or key, digest).public_bytes(Encoding.DER)


def test_a_certificate_says_when_and_whose() -> None:
    parsed = parse_certificate(certificate("north"), "north")
    assert (parsed.not_before, parsed.not_after) == (NOW - DAY, NOW + 9 * DAY)
    again = x509.load_pem_x509_certificate(parsed.pem)
    assert again.fingerprint(hashes.SHA256()) == parsed.sha256


WRONG_CERTIFICATES: dict[str, tuple[Callable[[], bytes], str]] = {
    "RSA, with which TLS 1.2 would be possible": (
        lambda: certificate("north", rsa.generate_private_key(65537, 2048)),
        "not ECDSA",
    ),
    "Ed25519": (lambda: certificate("north", ed25519.Ed25519PrivateKey.generate()), "not ECDSA"),
    "another curve": (
        lambda: certificate("north", ec.generate_private_key(ec.SECP384R1())),
        "not ECDSA P-256",
    ),
    "an authority": (lambda: certificate("north", ca=True), "could issue"),
    "perhaps an authority": (lambda: certificate("north", ca=None), "could issue"),
    "another name": (lambda: certificate("south"), "not for north"),
    "no name": (lambda: certificate("north", names=[]), "not for north"),
    "a second name": (
        lambda: certificate(
            "north", names=[x509.DNSName("north.stayput"), x509.DNSName("hub.stayput")]
        ),
        "not for north",
    ),
    "every name": (
        lambda: certificate("north", names=[x509.DNSName("*.stayput")]),
        "not for north",
    ),
    "a name of another kind": (
        lambda: certificate(
            "north", names=[x509.DNSName("north.stayput"), x509.RFC822Name("a@b.example")]
        ),
        "not for north",
    ),
    "signed by another key": (
        lambda: certificate("north", signer=ec.generate_private_key(ec.SECP256R1())),
        "own key",
    ),
    "too long": (lambda: certificate("north", extra=MAX_CERTIFICATE_BYTES), "at most"),
    "cut": (lambda: certificate("north")[:-1], "X.509"),
    "longer": (lambda: certificate("north") + b"\0", "X.509"),
    "empty": (lambda: b"", "X.509"),
}


@pytest.mark.parametrize("name", sorted(WRONG_CERTIFICATES))
def test_wrong_certificates_are_refused(name: str) -> None:
    make_certificate, words = WRONG_CERTIFICATES[name]
    with pytest.raises((VerificationError, DocumentError), match=words):
        parse_certificate(make_certificate(), "north")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_junk_is_no_certificate(data: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_certificate(data, "north")


def test_nobody_takes_anothers_keys_under_a_key_of_its_own(parties: Parties) -> None:
    """North's card, with the thief's signing key and the thief's signature: no name is left."""
    thief = SigningKey.generate()
    for name in ("north", "thief"):
        stolen = dataclasses.replace(parties["north"].member, name=name, signing_key=thief.public)
        cards = [*cards_of(parties), signing.sign(stolen, thief)]
        refused(signed_list(parties, *cards), "order of name|same name|not for thief")
