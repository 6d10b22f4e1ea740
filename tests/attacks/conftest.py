"""The fixture of all attacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks.lying import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = World(tmp_path)
    yield built
    built.close()
