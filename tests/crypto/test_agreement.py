"""Key agreement against RFC 7748; points of small order refused."""

from __future__ import annotations

import pytest

from stayput.crypto.agreement import AgreementKey, verify_agreement_key
from stayput.errors import ConfigurationError, VerificationError

P = 2**255 - 19

# RFC 7748 §6.1
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SECRET = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

# All u of order 1, 2, 4, 8 on the curve and its twist (Bernstein, "ECDH", "May the Fourth").
SMALL_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
]


def test_rfc_7748_exchange() -> None:
    alice, bob = AgreementKey.from_bytes(ALICE), AgreementKey.from_bytes(BOB)
    assert (alice.public, bob.public) == (ALICE_PUBLIC, BOB_PUBLIC)
    assert alice.exchange(BOB_PUBLIC) == bob.exchange(ALICE_PUBLIC) == SECRET


@pytest.mark.parametrize("u", SMALL_ORDER)
def test_small_order_is_refused(u: int) -> None:
    with pytest.raises(VerificationError, match="small order"):
        verify_agreement_key(u.to_bytes(32, "little"))
    with pytest.raises(VerificationError):
        AgreementKey.generate().exchange(u.to_bytes(32, "little"))


@pytest.mark.parametrize("u", [P, P + 1, P + 9, 2**255 - 1, 2**255 + 9])
def test_second_encodings_are_refused(u: int) -> None:
    with pytest.raises(VerificationError, match="canonical"):
        verify_agreement_key(u.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(VerificationError):
        verify_agreement_key(bytes([9] * length))
    with pytest.raises(ConfigurationError):
        AgreementKey.from_bytes(bytes(length))


def test_honest_keys_are_accepted_and_survive_their_file() -> None:
    for _ in range(20):
        key = AgreementKey.generate()
        assert verify_agreement_key(key.public) == key.public
        assert AgreementKey.from_bytes(key.to_bytes()).public == key.public


def test_repr_shows_no_secret() -> None:
    key = AgreementKey.from_bytes(ALICE)
    assert key.to_bytes().hex()[:8] not in repr(key)
    assert repr(key).startswith("AgreementKey(public=")
