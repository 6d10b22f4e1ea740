"""Sealing: encryption of one message to one recipient (RFC 9180 HPKE, base mode).

The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; the sealed form is the
32-byte encapsulated key followed by the ciphertext with its 16-byte tag.

Not here: authentication of the sender.  Anybody can seal to a public key; who sent something is
shown by a signature elsewhere.  What leaks: the length of the plaintext.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from stayput.crypto.agreement import AgreementKey, verify_agreement_key
from stayput.errors import VerificationError


def seal(recipient_public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Encrypt to the holder of an agreement key; ``info`` is the context both sides know.

    Raises:
        VerificationError: the recipient's key is refused.
    """
    public = X25519PublicKey.from_public_bytes(verify_agreement_key(recipient_public))
    return _suite().encrypt(plaintext, public, info)


def unseal(key: AgreementKey, sealed: bytes, info: bytes) -> bytes:
    """Decrypt what was sealed to ``key`` under the same ``info``.

    Raises:
        VerificationError: for another recipient or context, altered, or malformed; which of them
            is not told.
    """
    try:
        return _suite().decrypt(sealed, key.unwrap(), info)
    except (InvalidTag, ValueError):
        raise VerificationError(
            "the sealed message does not open with this key and context",
            hint="It was sealed for another recipient or purpose, or altered on the way.",
        ) from None


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
