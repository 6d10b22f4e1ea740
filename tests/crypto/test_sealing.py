"""Sealing against a second implementation of RFC 9180 written here from the text."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from stayput.crypto.agreement import AgreementKey
from stayput.crypto.sealing import seal, unseal
from stayput.errors import VerificationError

OVERHEAD = 32 + 16  # encapsulated key and tag


# --- RFC 9180, mode_base, KEM 0x0020, KDF 0x0001, AEAD 0x0003 -------------------------------------


def extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    assert length <= 32
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\x01", "sha256")[:length]


def key_and_nonce(dh: bytes, enc: bytes, recipient: bytes, info: bytes) -> tuple[bytes, bytes]:
    kem = b"KEM" + (0x0020).to_bytes(2, "big")
    shared = expand(
        kem, extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + recipient, 32
    )  # §4.1
    suite = b"HPKE" + bytes([0, 0x20, 0, 0x01, 0, 0x03])
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"")
    context += extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")  # §5.1
    return (
        expand(suite, secret, b"key", context, 32),
        expand(suite, secret, b"base_nonce", context, 12),
    )


def seal_by_the_rfc(recipient: bytes, plaintext: bytes, info: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    key, nonce = key_and_nonce(dh, enc, recipient, info)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def unseal_by_the_rfc(private: bytes, sealed: bytes, info: bytes) -> bytes:
    recipient = X25519PrivateKey.from_private_bytes(private)
    enc, ciphertext = sealed[:32], sealed[32:]
    dh = recipient.exchange(X25519PublicKey.from_public_bytes(enc))
    key, nonce = key_and_nonce(dh, enc, recipient.public_key().public_bytes_raw(), info)
    return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, b"")


@given(st.binary(max_size=300), st.binary(max_size=64))
def test_both_implementations_open_each_other(plaintext: bytes, info: bytes) -> None:
    key = AgreementKey.generate()
    sealed = seal(key.public, plaintext, info)
    assert len(sealed) == len(plaintext) + OVERHEAD
    assert unseal_by_the_rfc(key.to_bytes(), sealed, info) == plaintext
    assert unseal(key, seal_by_the_rfc(key.public, plaintext, info), info) == plaintext
    assert unseal(key, sealed, info) == plaintext


# --- attacks --------------------------------------------------------------------------------------


def test_another_recipient_or_context_does_not_open() -> None:
    key = AgreementKey.generate()
    sealed = seal(key.public, b"result", b"run 1")
    for wrong_key, wrong_info in ((AgreementKey.generate(), b"run 1"), (key, b"run 2")):
        with pytest.raises(VerificationError, match="does not open"):
            unseal(wrong_key, sealed, wrong_info)


def test_any_altered_byte_or_length_is_refused() -> None:
    key = AgreementKey.generate()
    sealed = seal(key.public, b"result", b"")
    for i in range(len(sealed)):
        altered = sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :]
        with pytest.raises(VerificationError):
            unseal(key, altered, b"")
        with pytest.raises(VerificationError):
            unseal(key, sealed[:i], b"")
    with pytest.raises(VerificationError):
        unseal(key, sealed + b"\0", b"")
    with pytest.raises(VerificationError):
        unseal(key, bytes(32) + sealed[32:], b"")  # encapsulated key of small order


def test_recipient_of_small_order_is_refused() -> None:
    with pytest.raises(VerificationError):
        seal(bytes(32), b"result", b"")


def test_the_same_plaintext_never_seals_alike() -> None:
    key = AgreementKey.generate()
    assert seal(key.public, b"result", b"") != seal(key.public, b"result", b"")
