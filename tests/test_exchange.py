"""The coordinator's part of a join: who may send and fetch what, what it takes, what it erases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from parties import Party
from vertical.by_hand import World, expected

from stayput.session import RunPhase


@pytest.fixture
def world(tmp_path: Path, consortium: Party) -> Iterator[World]:
    found = World(tmp_path / "hub", consortium)
    yield found
    found.close()


def test_a_run_over_a_join_is_carried(world: World) -> None:
    world.settle()
    assert world.state.phase is RunPhase.COUNTING
    assert world.sums() == expected()
    assert world.state.erased is not None
