"""Fixtures of the wire tests; see ``loopback.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rpc.loopback import Consortium, Running, running


@pytest.fixture(scope="session")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    return Consortium(tmp_path_factory.mktemp("parties"))


@pytest.fixture(scope="module")
def shared(parties: Consortium) -> Iterator[Running]:
    with running(parties) as server:
        yield server


@pytest.fixture
def server(shared: Running) -> Running:
    """A running server with a fresh memory."""
    shared.core.calls.clear()
    shared.core.failure = None
    shared.core.log[:] = [b"entry 0"]
    return shared
