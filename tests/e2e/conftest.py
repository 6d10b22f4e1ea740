"""Real consortia for real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.consortium import Consortium, discard_template, running


@pytest.fixture(scope="session", autouse=True)
def _homes() -> Iterator[None]:
    yield
    discard_template()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """A consortium with all daemons up, for the tests of one module."""
    with running(tmp_path_factory.mktemp("up")) as consortium:
        yield consortium


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Consortium]:
    """A consortium of this test's own, all daemons up."""
    with running(tmp_path / "own") as consortium:
        yield consortium
