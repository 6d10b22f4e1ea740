"""What is kept, for how long: entries for ever, what stands beside them three years or longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks.lying import NOW, World

from stayput.audit import verify_log, verify_release
from stayput.config import FILE_NAME, MIN_RETENTION_DAYS, load_settings
from stayput.coordinator import DAY
from stayput.errors import ConfigurationError, NotFound, NotYet


@pytest.mark.parametrize("days", [1, 30, 365, MIN_RETENTION_DAYS - 1])
def test_less_than_three_years_is_refused(tmp_path: Path, days: int) -> None:
    (tmp_path / FILE_NAME).write_text(f"[coordinator]\nretention_days = {days}\n")
    with pytest.raises(ConfigurationError, match="three years") as caught:
        load_settings(tmp_path)
    assert str(MIN_RETENTION_DAYS) in caught.value.hint


@pytest.mark.parametrize("days", [0, MIN_RETENTION_DAYS, 3653])
def test_nothing_for_ever_or_longer_is_taken(tmp_path: Path, days: int) -> None:
    (tmp_path / FILE_NAME).write_text(f"[coordinator]\nretention_days = {days}\n")
    assert load_settings(tmp_path).coordinator.retention_days == days


def test_three_years_are_three_years() -> None:
    import datetime

    for year in range(2024, 2034):
        begun = datetime.date(year, 2, 28)
        assert begun.replace(year=year + 3) <= begun + datetime.timedelta(MIN_RETENTION_DAYS)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = World(tmp_path)
    yield built
    built.close()


def test_documents_go_after_their_time_and_entries_stay(world: World) -> None:
    """By default nothing goes; with a retention, not a day before it is over."""
    run = world.order()
    world.settle()
    result = world.client.fetch(run)
    entries = list(world.coordinator.log.entries())
    expiry = world.client.scenario(world.scenario).limits.valid_until
    assert expiry > NOW
    now = [expiry + 40_000 * DAY]
    core = world.coordinator
    core._clock = lambda: now[0]
    core.tick()
    assert world.client.fetch(run).bundle == result.bundle, "nothing is erased by default"

    core._retention = MIN_RETENTION_DAYS * DAY
    now[0] = expiry + MIN_RETENTION_DAYS * DAY
    core.tick()
    assert world.client.fetch(run).bundle == result.bundle
    now[0] += DAY + 1
    core.tick()
    asker = world.members["asker"]
    with pytest.raises(NotYet):
        core.fetch_result(asker, run)
    with pytest.raises(NotFound):
        core.get_run_order(asker, run)
    assert core.get_scenario(asker, world.scenario)
    # The log, and what was proven from it, stand as before.
    assert list(core.log.entries()) == entries
    assert verify_log(entries, core.log.checkpoint, world.members).finding is None
    verify_release(result.bundle, world.members)


def test_documents_of_an_open_run_never_go(world: World) -> None:
    run = world.order()
    core = world.coordinator
    core._retention = MIN_RETENTION_DAYS * DAY
    core._run_timeout = 10**12
    expiry = world.client.scenario(world.scenario).limits.valid_until
    core._clock = lambda: expiry + 2 * MIN_RETENTION_DAYS * DAY
    core.tick()
    assert core.get_run_order(world.members["north"], run)
