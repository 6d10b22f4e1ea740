"""Where the published test vectors are, and keys for notes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Reads a JSON vector file; skips the test where they are not beside the repository."""

    def read(relative: str) -> Any:
        if not VECTORS.is_dir():
            pytest.skip(f"no published vectors at {VECTORS}")
        return json.loads((VECTORS / relative).read_text("utf-8"))

    return read


class Key:
    """An Ed25519 key with the two members that notes need."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


@pytest.fixture(scope="session")
def key() -> Key:
    return Key()


@pytest.fixture(scope="session")
def other_key() -> Key:
    return Key()
