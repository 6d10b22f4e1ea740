"""Key agreement: X25519 between two parties that know each other's public keys.

Not here: what a shared secret is used for (:mod:`stayput.crypto.masks`) and encryption to a
recipient (:mod:`stayput.crypto.sealing`).

Invariants: a public key of small order is refused, since with it the "shared" secret is known to
everybody; a key has one encoding.  The raw secret is never a key itself: derive with HKDF.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from stayput.crypto.signing import fingerprint
from stayput.errors import ConfigurationError, VerificationError

KEY_BYTES: Final = 32
_P: Final = 2**255 - 19


def verify_agreement_key(public: bytes) -> bytes:
    """Refuse public keys that no honest party has; returns the key.

    Clamped scalars are multiples of the cofactor, so the exchange with *any* private key yields
    zero exactly for the points of small order (RFC 7748 §6.1): one trial exchange finds them all.

    Raises:
        VerificationError: wrong length, second encoding of a coordinate, or small order.
    """
    if len(public) != KEY_BYTES:
        raise VerificationError(f"an agreement key has {KEY_BYTES} bytes, not {len(public)}")
    if int.from_bytes(public, "little") >= _P:
        raise VerificationError("the agreement key is not in its canonical encoding")
    _exchange(X25519PrivateKey.generate(), public)
    return public


class AgreementKey:
    """An X25519 private key. Shows only the fingerprint of its public half."""

    __slots__ = ("_private", "public")

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> AgreementKey:
        """A new key from the operating system's randomness."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> AgreementKey:
        """Read what :meth:`to_bytes` wrote (32 bytes, RFC 7748).

        Raises:
            ConfigurationError: another length.
        """
        if len(data) != KEY_BYTES:
            raise ConfigurationError(
                f"an agreement key file has {KEY_BYTES} bytes, not {len(data)}",
                hint="Restore the key file from its backup.",
            )
        return cls(X25519PrivateKey.from_private_bytes(data))

    def to_bytes(self) -> bytes:
        """The 32 secret bytes; the caller stores them where only the owner can read."""
        return self._private.private_bytes_raw()

    def exchange(self, peer: bytes) -> bytes:
        """The 32-byte secret shared with ``peer``; input of a key derivation, never a key.

        Raises:
            VerificationError: the peer's key is refused (:func:`verify_agreement_key`).
        """
        return _exchange(self._private, verify_agreement_key(peer))

    def unwrap(self) -> X25519PrivateKey:
        """The key for the sealing primitive; for :mod:`stayput.crypto.sealing` alone."""
        return self._private

    def __repr__(self) -> str:
        return f"AgreementKey(public={fingerprint(self.public)})"


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # the library's answer to an all-zero secret
        raise VerificationError("the agreement key is a point of small order") from None
