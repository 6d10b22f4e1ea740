"""Cosignatures: the message of the specification, and every forged or doubled line refused."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle, note
from stayput.tlog.checkpoint import Checkpoint
from stayput.tlog.cosignature import (
    COSIGNATURE_ED25519,
    MAX_TIME,
    CosignatureVerifier,
    cosign,
    parse_cosigner_vkey,
    signature_time,
)

NAME = "example.stayput/witness/ewr"
TEXT = Checkpoint("example.stayput/log", 1, merkle.leaf_hash(b"entry")).text
TIME = 1_679_315_147
KEY = SigningKey.from_bytes(bytes(range(32)))  # names of cases must not differ per process
VERIFIER = CosignatureVerifier(NAME, KEY.public)


def parts(line: bytes) -> tuple[str, bytes, bytes]:
    """Name, key id and timestamped signature, taken apart without the code under test."""
    dash, name, encoded = line.decode().removesuffix("\n").split(" ")
    assert dash == "\u2014"
    blob = base64.b64decode(encoded, validate=True)
    return name, blob[:4], blob[4:]


# --- the format -----------------------------------------------------------------------------------


def test_the_line_is_that_of_the_specification() -> None:
    name, key_id, signature = parts(cosign(TEXT, NAME, KEY, TIME))
    assert name == NAME
    preimage = NAME.encode() + b"\n\x04" + KEY.public
    assert key_id == VERIFIER.key_id == hashlib.sha256(preimage).digest()[:4]
    assert len(signature) == 8 + 64
    assert signature[:8] == TIME.to_bytes(8, "big")
    message = f"cosignature/v1\ntime {TIME}\n{TEXT}".encode()
    Ed25519PublicKey.from_public_bytes(KEY.public).verify(signature[8:], message)


def test_the_key_id_is_not_that_of_a_note_key() -> None:
    assert VERIFIER.key_id != note.NoteVerifier(NAME, KEY.public).key_id


@pytest.mark.parametrize("time", [1, TIME, 2**32, MAX_TIME])
def test_the_time_comes_back(time: int) -> None:
    signature = parts(cosign(TEXT, NAME, KEY, time))[2]
    assert VERIFIER.verify(TEXT, signature) == signature_time(signature) == time


@pytest.mark.parametrize("time", [-1, 0, MAX_TIME + 1, 2**64])
def test_a_time_that_cannot_be_is_not_signed(time: int) -> None:
    with pytest.raises(ValueError, match="time"):
        cosign(TEXT, NAME, KEY, time)


def test_a_text_without_its_newline_is_not_signed() -> None:
    with pytest.raises(ValueError, match="newline"):
        cosign(TEXT.removesuffix("\n"), NAME, KEY, TIME)


@pytest.mark.parametrize("name", ["", "two words", "plus+sign", "no\u00a0break", "line\nbreak"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match="key name"):
        CosignatureVerifier(name, KEY.public)


# --- forgeries ------------------------------------------------------------------------------------


def forged(message: str, time: int = TIME) -> bytes:
    return time.to_bytes(8, "big") + KEY.sign(message.encode())


SIZE_TWO = TEXT.replace("\n1\n", "\n2\n")
ORIGIN = "example.stayput/log\n"


@pytest.mark.parametrize(
    "signature",
    [
        forged(f"cosignature/v1\ntime {TIME + 1}\n{TEXT}"),  # the line states another time
        forged(f"cosignature/v1\ntime 0{TIME}\n{TEXT}"),  # a leading zero
        forged(f"cosignature/v1\ntime +{TIME}\n{TEXT}"),
        forged(f"cosignature/v1\ntime {TIME}.0\n{TEXT}"),
        forged(f"cosignature/v1\ntime  {TIME}\n{TEXT}"),
        forged(f"cosignature/v1\n{TEXT}"),  # no time
        forged(f"cosignature/v2\ntime {TIME}\n{TEXT}"),
        forged(f"cosignature/v1\r\ntime {TIME}\n{TEXT}"),
        forged(f"cosignature/v1\ntime {TIME}\n{SIZE_TWO}"),  # another size
        forged(f"cosignature/v1\ntime {TIME}\n{TEXT.replace(ORIGIN, 'example.org/log' + chr(10))}"),
        forged(f"cosignature/v1\ntime {TIME}\n{TEXT.removesuffix(chr(10))}"),
        forged(f"cosignature/v1\ntime {TIME}\n{TEXT}extension\n"),
        forged(TEXT),  # a plain note signature in the place of a cosignature
        forged(f"cosignature/v1\ntime {TIME}\n{TEXT}")[:-1],
        forged(f"cosignature/v1\ntime {TIME}\n{TEXT}") + b"\x00",
        forged(f"cosignature/v1\ntime {TIME}\n{TEXT}")[8:],  # no time in the blob
        forged(f"cosignature/v1\ntime {2**63}\n{TEXT}", 2**63),
        forged(f"cosignature/v1\ntime {2**64 - 1}\n{TEXT}", 2**64 - 1),
        b"",
    ],
    ids=lambda _: "forgery",  # keys differ in every process: bytes are no name
)
def test_forged_cosignatures_are_refused(signature: bytes) -> None:
    with pytest.raises(VerificationError):
        VERIFIER.verify(TEXT, signature)


def test_the_forger_makes_a_cosignature_that_holds_when_nothing_is_changed() -> None:
    assert VERIFIER.verify(TEXT, forged(f"cosignature/v1\ntime {TIME}\n{TEXT}")) == TIME


@given(bit=st.integers(0, 72 * 8 - 1))
def test_every_flipped_bit_is_refused(bit: int) -> None:
    signature = bytearray(parts(cosign(TEXT, NAME, KEY, TIME))[2])
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(VerificationError):
        VERIFIER.verify(TEXT, bytes(signature))


@given(data=st.binary(max_size=100))
def test_arbitrary_bytes_are_no_cosignature(data: bytes) -> None:
    with pytest.raises(VerificationError):
        VERIFIER.verify(TEXT, data)


def test_a_cosignature_is_no_note_signature() -> None:
    signed = note.add_signatures(
        note.sign_note(TEXT, "example.stayput/log", KEY), [cosign(TEXT, NAME, KEY, TIME)]
    )
    with pytest.raises(VerificationError, match="no trusted key"):
        note.verify_note(signed, [note.NoteVerifier(NAME, KEY.public)])


# --- keys -----------------------------------------------------------------------------------------


def test_a_vkey_survives_its_text() -> None:
    assert parse_cosigner_vkey(VERIFIER.vkey) == VERIFIER


def test_a_vkey_of_another_type_is_named() -> None:
    with pytest.raises(DocumentError, match=r"0x01 \(Ed25519\)"):
        parse_cosigner_vkey(note.NoteVerifier(NAME, KEY.public).vkey)
    with pytest.raises(DocumentError, match=r"0x04 \(Ed25519 cosignature\)"):
        note.parse_vkey(VERIFIER.vkey)
    with pytest.raises(DocumentError, match=r"0xff \(unassigned\)"):
        parse_cosigner_vkey(note.encode_vkey(NAME, 0xFF, KEY.public))


@pytest.mark.parametrize("length", [32, 1312])
def test_ml_dsa_44_is_named_and_not_misread(length: int) -> None:
    """Also with 32 bytes, which an Ed25519 parser could take for its own."""
    vkey = note.encode_vkey(NAME, 0x06, KEY.public * (length // 32))
    assert note.decode_vkey(vkey) == (NAME, 0x06, KEY.public * (length // 32))
    with pytest.raises(DocumentError, match="ML-DSA-44") as refused:
        parse_cosigner_vkey(vkey)
    assert "Ask its owner" in refused.value.hint


def test_an_ml_dsa_44_line_beside_ours_is_ignored() -> None:
    """2,420 bytes of signature after the time, by a key nobody here knows."""
    identifier = note.key_id("example.org/pq", 0x06, bytes(1312))
    blob = identifier + TIME.to_bytes(8, "big") + bytes(2420)
    line = f"\u2014 example.org/pq {base64.b64encode(blob).decode()}\n".encode()
    signed = note.add_signatures(
        note.sign_note(TEXT, "example.stayput/log", KEY), [line, cosign(TEXT, NAME, KEY, TIME)]
    )
    opened = note.verify_note(signed, [VERIFIER])
    assert opened.verified == (NAME,)
    assert "example.org/pq" in opened.unverified


def mutated(**change: str) -> str:
    name, key_id, key = VERIFIER.vkey.split("+", 2)
    fields = {"name": name, "key_id": key_id, "key": key} | change
    return "+".join(fields.values())


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "+",
        "++",
        mutated(name=""),
        mutated(name="another"),
        mutated(key_id="00000000"),
        mutated(key_id=VERIFIER.key_id.hex().upper() + " "),
        mutated(key_id=VERIFIER.key_id.hex()[:-1]),
        mutated(key=""),
        mutated(key=base64.b64encode(b"\x04" + KEY.public[:-1]).decode()),
        mutated(key=base64.b64encode(b"\x04" + KEY.public + b"\x00").decode()),
        note.encode_vkey(NAME, COSIGNATURE_ED25519, KEY.public + b"\x00"),
        note.encode_vkey(NAME, COSIGNATURE_ED25519, b""),
        VERIFIER.vkey + "+",
        VERIFIER.vkey + "\n",
        " " + VERIFIER.vkey,
    ],
)
def test_malformed_vkeys_are_refused(vkey: str) -> None:
    with pytest.raises(DocumentError):
        parse_cosigner_vkey(vkey)


def test_keys_that_no_honest_party_has_are_refused(vectors) -> None:
    """The C2SP edge cases: whoever enrols such a key can sign many messages with one signature."""
    weak = {
        bytes.fromhex(vector["key"])
        for vector in vectors("c2sp-cctv-ed25519/ed25519vectors.json")
        if {"low_order_A", "non_canonical_A"} & set(vector["flags"] or ())
    }
    assert len(weak) >= 14
    for public in weak:
        with pytest.raises(ValueError, match="signing key"):
            CosignatureVerifier(NAME, public)
        for kind, parse in ((0x01, note.parse_vkey), (0x04, parse_cosigner_vkey)):
            with pytest.raises(DocumentError, match="signing key"):
                parse(note.encode_vkey(NAME, kind, public))
