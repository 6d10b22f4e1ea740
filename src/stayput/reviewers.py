"""Reviewers: the key of a person, in a file that is nobody's but theirs.

The file holds 32 secret bytes, locked with a passphrase unless the person wants none (0600, never
overwritten).  Its public half stands on a member's card; no name does.

Not here: what is signed with it (:mod:`stayput.countersigning`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from stayput.crypto.lock import is_locked, lock, unlock
from stayput.crypto.signing import SigningKey
from stayput.errors import ConfigurationError, InvalidInput

MAX_KEY_BYTES = 1024


def create_reviewer_key(path: Path, passphrase: str | None) -> SigningKey:
    """Draw a person's key and keep it in a new file.

    Raises:
        ConfigurationError: the file exists, or cannot be written.
        InvalidInput: the passphrase is empty.
    """
    key = SigningKey.generate()
    data = key.to_bytes() if passphrase is None else lock(key.to_bytes(), passphrase)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists already", hint="a key is never overwritten: choose another file"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return key


def load_reviewer_key(path: Path, ask_passphrase: Callable[[], str]) -> SigningKey:
    """The key in a file.

    Raises:
        ConfigurationError: others can read it, or it is no such file.
        VerificationError: another passphrase.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes() if mode else b""
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigurationError(f"others can read {path}", hint=f"chmod 600 {path}")
    if len(data) > MAX_KEY_BYTES:
        raise ConfigurationError(f"{path} is no reviewer's key")
    return SigningKey.from_bytes(unlock(data, ask_passphrase()) if is_locked(data) else data)


def parse_reviewer(text: str) -> bytes:
    """A public key as a person types it: 64 hex digits.

    Raises:
        InvalidInput: it is not.
    """
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InvalidInput(
            f"{text!r} is no reviewer's key",
            hint="`stayput reviewer new` prints it: 64 hex digits",
        )
    return key
