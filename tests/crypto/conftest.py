"""Keys for the tests of numbers: real ones of the smallest allowed size, drawn once per session."""

from __future__ import annotations

import pytest

from stayput.crypto.paillier import PrivateKey


@pytest.fixture(scope="session")
def private_key() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def other_private_key() -> PrivateKey:
    return PrivateKey.generate(2048)
