"""A passphrase around a key file: scrypt and ChaCha20-Poly1305.

Format: a line that says what it is, 16 bytes of salt, the sealed bytes.  Not here: where files lie
and who may read them (mode 0600 is the caller's duty), asking for a passphrase.  What leaks: the
length of the key.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from stayput.errors import DocumentError, InvalidInput, VerificationError

_HEADER: Final = b"stayput key locked with scrypt 2^17 8 1\n"
_SALT_BYTES: Final = 16
_COST: Final = 1 << 17
"""128 MB and 0.3 s per guess (OWASP's recommendation for scrypt)."""

_NONCE: Final = bytes(12)
"""The key is fresh with every salt and seals one message."""


def lock(data: bytes, passphrase: str) -> bytes:
    """Encrypt ``data`` under a passphrase.

    Raises:
        InvalidInput: the passphrase is empty.
    """
    if not passphrase:
        raise InvalidInput("a passphrase is not empty")
    salt = secrets.token_bytes(_SALT_BYTES)
    return _HEADER + salt + _cipher(passphrase, salt).encrypt(_NONCE, data, _HEADER)


def is_locked(data: bytes) -> bool:
    """Whether ``data`` says that it is what :func:`lock` writes."""
    return data.startswith(_HEADER)


def unlock(data: bytes, passphrase: str) -> bytes:
    """What :func:`lock` was given.

    Raises:
        DocumentError: not such bytes.
        VerificationError: another passphrase, or altered.
    """
    if not is_locked(data) or len(data) < len(_HEADER) + _SALT_BYTES:
        raise DocumentError("not a locked key file")
    salt, sealed = data[len(_HEADER) :][:_SALT_BYTES], data[len(_HEADER) + _SALT_BYTES :]
    try:
        return _cipher(passphrase, salt).decrypt(_NONCE, sealed, _HEADER)
    except InvalidTag:
        raise VerificationError("the passphrase does not open the key file") from None


def _cipher(passphrase: str, salt: bytes) -> ChaCha20Poly1305:
    scrypt = Scrypt(salt=salt, length=32, n=_COST, r=8, p=1)
    return ChaCha20Poly1305(scrypt.derive(passphrase.encode("utf-8")))
