"""Signatures against RFC 8032, DSSE and the edge cases of C2SP CCTV; every altered byte refused."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from stayput import documents
from stayput.crypto import signing
from stayput.crypto.signing import SigningKey
from stayput.documents import document
from stayput.errors import ConfigurationError, DocumentError, VerificationError
from stayput.steps import RunFailed, ScenarioSealed

SHARED = Path(__file__).parents[3] / "shared" / "vectors"
CCTV = SHARED / "c2sp-cctv-ed25519" / "ed25519vectors.json"

# RFC 8032 §7.1, TEST 1
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
    "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)

SEALED = ScenarioSealed(scenario=bytes(range(32)), time=1_700_000_000)


@document("stayput.v1.ScenarioUnsealed")
@dataclasses.dataclass(frozen=True)
class Lookalike:
    """The very fields of ScenarioSealed under another type."""

    scenario: bytes
    time: documents.Int64


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


# --- keys -----------------------------------------------------------------------------------------


def test_rfc_8032_test_1() -> None:
    key = SigningKey.from_bytes(SEED)
    assert key.public == PUBLIC
    assert key.sign(b"") == SIGNATURE
    assert signing.verify_signature(PUBLIC, b"", SIGNATURE) == b""


def test_key_survives_its_file(key: SigningKey) -> None:
    assert SigningKey.from_bytes(key.to_bytes()).public == key.public


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_key_file_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigurationError):
        SigningKey.from_bytes(bytes(length))


def test_repr_shows_only_the_public_fingerprint() -> None:
    shown = repr(SigningKey.from_bytes(SEED))
    # sha256 of the RFC's public key, by coreutils
    assert shown == "SigningKey(public=21fe31dfa154a261)"


def test_signature_over_another_message_is_refused(key: SigningKey) -> None:
    with pytest.raises(VerificationError):
        signing.verify_signature(key.public, b"b", key.sign(b"a"))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signature_of_another_length_is_refused(key: SigningKey, length: int) -> None:
    with pytest.raises(VerificationError):
        signing.verify_signature(key.public, b"a", key.sign(b"a").ljust(65, b"\0")[:length])


# --- public keys ----------------------------------------------------------------------------------

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Edwards addition, straight from RFC 8032 §5.1.4 in affine form: an oracle, not a library."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P
    return x, y


def order_8_point() -> Point:
    """8-torsion by halving (sqrt(-1)·…): found by clearing the prime order from a random point."""
    prime_order = 2**252 + 27742317777372353535851937790883648493
    for y in range(3, 200):
        x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(x2, (P + 3) // 8, P)
        if x * x % P != x2:
            x = x * pow(2, (P - 1) // 4, P) % P
        if x * x % P != x2:
            continue
        point, total, scalar = (x, y), (0, 1), prime_order
        while scalar:
            if scalar & 1:
                total = add(total, point)
            point = add(point, point)
            scalar >>= 1
        quarter = add(add(total, total), add(total, total))
        if quarter != (0, 1):
            return total
    raise AssertionError("no point of order 8 among 200 coordinates")


def test_all_points_of_small_order_are_refused_in_every_encoding() -> None:
    generator = order_8_point()
    point, seen = (0, 1), set()
    for _ in range(8):
        point = add(point, generator)
        for y in (y for y in (point[1], point[1] + P) if y < 2**255):
            for sign in (0, 1):
                encoding = (y | sign << 255).to_bytes(32, "little")
                seen.add(encoding)
                with pytest.raises(VerificationError):
                    signing.verify_public_key(encoding)
    assert point == (0, 1)
    assert len(seen) == 14  # eight points and six alternative encodings (CCTV README)


def test_second_encoding_and_points_off_the_curve_are_refused() -> None:
    for y in range(2, 19):
        with pytest.raises(VerificationError, match="canonical"):
            signing.verify_public_key((P + y).to_bytes(32, "little"))
    verdicts = Counter()
    for y in range(2, 200):
        try:
            signing.verify_public_key(y.to_bytes(32, "little"))
            verdicts["on the curve"] += 1
        except VerificationError as error:
            verdicts[error.message] += 1
    assert set(verdicts) == {"on the curve", "the signing key is not a point of the curve"}
    assert min(verdicts.values()) > 60  # about one half each


@pytest.mark.parametrize("length", [0, 31, 33])
def test_public_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(VerificationError):
        signing.verify_public_key(PUBLIC.ljust(33, b"\0")[:length])


def test_honest_keys_are_accepted() -> None:
    for _ in range(50):
        public = SigningKey.generate().public
        assert signing.verify_public_key(public) == public


@pytest.mark.skipif(not CCTV.exists(), reason="the shared vectors are not here")
def test_cctv_vectors() -> None:
    """No signature under a key flagged small-order or non-canonical is ever accepted; under the
    others, the verdict is that of the library, and never one that RFC 8032 forbids."""
    accepted: Counter[str] = Counter()
    vectors = json.loads(CCTV.read_text())
    for vector in vectors:
        flags = set(vector["flags"] or ())
        public, signature = bytes.fromhex(vector["key"]), bytes.fromhex(vector["sig"])
        message = vector["msg"].encode()
        try:
            signing.verify_signature(public, message, signature)
        except VerificationError:
            accepted["refused"] += 1
            continue
        accepted["accepted"] += 1
        assert not flags & {"low_order_A", "non_canonical_A", "non_canonical_R"}, vector["number"]
        assert not flags & {"low_order_residue", "reencoded_k"}, vector["number"]
    assert len(vectors) == 914
    assert accepted["accepted"] > 0  # mixed-order keys and low-order R that every library takes


# --- envelopes ------------------------------------------------------------------------------------


def test_envelope_is_a_dsse_envelope(key: SigningKey) -> None:
    envelope = json.loads(signing.sign(SEALED, key))
    payload = base64.b64decode(envelope["payload"])
    kind = "application/vnd.stayput+json; type=stayput.v1.ScenarioSealed"
    assert envelope["payloadType"] == kind
    assert payload == documents.encode(SEALED)
    # DSSE v1: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body
    encoded = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    (signature,) = envelope["signatures"]
    assert signature["keyid"] == signing.fingerprint(key.public)
    Ed25519PublicKey.from_public_bytes(key.public).verify(
        base64.b64decode(signature["sig"]), encoded
    )


def test_example_of_the_dsse_specification() -> None:
    encoded = signing._pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_verify_returns_document_envelope_and_key(key: SigningKey) -> None:
    data = signing.sign(SEALED, key)
    signed = signing.verify(data, ScenarioSealed, key.public)
    assert signed == signing.Signed(SEALED, data, key.public)


def test_another_key_is_refused(key: SigningKey) -> None:
    with pytest.raises(VerificationError, match="another key"):
        signing.verify(signing.sign(SEALED, key), ScenarioSealed, SigningKey.generate().public)


def test_claimed_key_id_does_not_help(key: SigningKey) -> None:
    victim = SigningKey.generate()
    value = json.loads(signing.sign(SEALED, key))
    value["signatures"][0]["keyid"] = signing.fingerprint(victim.public)
    with pytest.raises(VerificationError, match="does not hold"):
        signing.verify(documents.canonical_json(value), ScenarioSealed, victim.public)


def test_type_is_under_the_signature(key: SigningKey) -> None:
    data = signing.sign(SEALED, key)
    with pytest.raises(VerificationError, match="expected"):
        signing.verify(data, Lookalike, key.public)
    retagged = data.replace(b"ScenarioSealed", b"ScenarioUnsealed")
    with pytest.raises(VerificationError, match="does not hold"):
        signing.verify(retagged, Lookalike, key.public)


def test_signed_payload_that_is_no_such_document_is_refused(key: SigningKey) -> None:
    payload = b'{"scenario":"AA==","time":"01"}'
    kind = "application/vnd.stayput+json; type=stayput.v1.ScenarioSealed"
    signature = key.sign(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    data = envelope_bytes(
        payload=base64.b64encode(payload).decode(),
        sig=base64.b64encode(signature).decode(),
        keyid=signing.fingerprint(key.public),
    )
    with pytest.raises(DocumentError):
        signing.verify(data, ScenarioSealed, key.public)


@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    key = SigningKey.from_bytes(SEED)
    envelope = bytearray(signing.sign(SEALED, key))
    position = data.draw(st.integers(0, len(envelope) * 8 - 1))
    envelope[position // 8] ^= 1 << position % 8
    with pytest.raises((DocumentError, VerificationError)):
        signing.verify(bytes(envelope), ScenarioSealed, key.public)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DocumentError):
        signing.parse_envelope(data)


def test_peek_tells_the_claim_and_knows_only_what_it_is_given(key: SigningKey) -> None:
    envelope = signing.parse_envelope(signing.sign(SEALED, key))
    assert signing.peek(envelope, [RunFailed, ScenarioSealed]) == SEALED
    with pytest.raises(DocumentError):
        signing.peek(envelope, [RunFailed])


def envelope_bytes(
    payload: str = "e30=", kind: str = "ScenarioSealed", keyid: str = "0" * 16, sig: str = ""
) -> bytes:
    return documents.canonical_json(
        {
            "payload": payload,
            "payloadType": f"application/vnd.stayput+json; type=stayput.v1.{kind}",
            "signatures": [{"keyid": keyid, "sig": sig or base64.b64encode(bytes(64)).decode()}],
        }
    )


def test_the_envelope_the_malformed_ones_are_made_from_is_well_formed() -> None:
    envelope = signing.parse_envelope(envelope_bytes())
    assert (envelope.type_name, envelope.payload) == ("stayput.v1.ScenarioSealed", b"{}")


SIG = base64.b64encode(bytes(64)).decode()
TYPE = "application/vnd.stayput+json; type=stayput.v1.ScenarioSealed"
ONE = {"keyid": "0" * 16, "sig": SIG}


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"payload": "e30=", "payloadType": TYPE},
        {"payload": "e30=", "payloadType": TYPE, "signatures": []},
        {"payload": "e30=", "payloadType": TYPE, "signatures": [ONE, ONE]},
        {"payload": "e30=", "payloadType": TYPE, "signatures": ONE},
        {"payload": "e30=", "payloadType": TYPE, "signatures": [{"sig": SIG}]},
        {"payload": "e30=", "payloadType": TYPE, "signatures": [ONE | {"cert": ""}]},
        {"payload": "e30=", "payloadType": TYPE, "signatures": [ONE], "more": 1},
        {"payload": 1, "payloadType": TYPE, "signatures": [ONE]},
        {"payload": "e30", "payloadType": TYPE, "signatures": [ONE]},
        {"payload": "e31=", "payloadType": TYPE, "signatures": [ONE]},  # unused bits set
        {"payload": "e3 0=", "payloadType": TYPE, "signatures": [ONE]},
        {"payload": "e30=", "payloadType": "text/plain", "signatures": [ONE]},
        {"payload": "e30=", "payloadType": TYPE + "; x", "signatures": [ONE]},
        {"payload": "e30=", "payloadType": 3, "signatures": [ONE]},
        {"payload": "e30=", "payloadType": TYPE, "signatures": [ONE | {"sig": SIG[:-4]}]},
        {"payload": "e30=", "payloadType": TYPE, "signatures": [ONE | {"keyid": "0" * 15}]},
        {"payload": "e30=", "payloadType": TYPE, "signatures": [ONE | {"keyid": "A" * 16}]},
    ],
)
def test_malformed_envelopes_are_refused(value: object) -> None:
    with pytest.raises(DocumentError):
        signing.parse_envelope(documents.canonical_json(value))


@pytest.mark.parametrize("suffix", [b"\n", b" ", b"\0"])
def test_anything_after_the_envelope_is_refused(key: SigningKey, suffix: bytes) -> None:
    with pytest.raises(DocumentError):
        signing.parse_envelope(signing.sign(SEALED, key) + suffix)
