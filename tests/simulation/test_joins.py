"""Runs over a join in bad weather: answered correctly, or failed cleanly, and nothing is left.

As :mod:`simulation.test_simulation`, with three registers of the same people; besides, the
coordinator dies while it writes pieces.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from registers import RegisterStager
from simulation.chaos import ChaosFederation, Death, Weather, deadly_disk
from vertical.by_hand import TABLES, TEXT

from stayput.audit import verify_log
from stayput.client import Result
from stayput.engines.source import SourceSpec
from stayput.errors import Unavailable
from stayput.session import RunPhase, Session
from stayput.steps import FailureReason, Outcome, ResultReleased, RowsErased
from stayput.store.pieces import PieceFiles

START = 1_790_000_000

AT = {"north": "homes", "south": "wages", "west": "plots"}


class JoiningFederation(ChaosFederation):
    """Its coordinator also does, now and then, what takes long."""

    def some_moment(self) -> None:
        super().some_moment()
        self.alive(self.revive_coordinator, self.coordinator.work)


@contextlib.contextmanager
def deadly_pieces(weather: Weather, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every piece may be the last one that a coordinator has written, whole or in part."""
    put = PieceFiles.put

    def dying(
        self: PieceFiles, run: bytes, name: str, index: int, data: bytes, *, afresh: bool = False
    ) -> bool:
        if weather.dies():
            if data:  # it is not in the list yet: nobody has promised it
                path = self.folder / run.hex() / name
                if path.exists():
                    path.write_bytes(path.read_bytes() + data[: len(data) // 2])
            raise Death
        found = put(self, run, name, index, data, afresh=afresh)
        if weather.dies():
            raise Death
        return found

    with monkeypatch.context() as patch:
        patch.setattr(PieceFiles, "put", dying)
        yield


@dataclasses.dataclass
class World:
    federation: JoiningFederation
    weather: Weather
    scenario: bytes

    def verify_promises(self) -> Session:
        kept = self.federation.coordinator.log
        log = list(kept.entries())
        report = verify_log(log, kept.checkpoint, self.federation.members)
        assert report.finding is None, report.finding
        for kind in (ResultReleased, RowsErased):
            each = Counter(step.run for step in report.steps if isinstance(step, kind))
            assert all(count == 1 for count in each.values()), "twice"
        return report.session


def make_world(root: Path, weather: Weather) -> World:
    loss, death = weather.loss, weather.death
    weather.calm()
    stagers = {name: RegisterStager(TABLES) for name in AT}
    federation = JoiningFederation(
        weather,
        root,
        holders=tuple(AT),
        checker="office",
        user="asker",
        coordinator="hub",
        sources={
            name: {table: SourceSpec(f"/{table}.parquet", "parquet")} for name, table in AT.items()
        },
        stager=lambda name: stagers[name],
        clock=lambda: START,
        paillier_bits=2048,
    )
    scenario = federation.client.propose(TEXT)
    federation.approve(federation.client.scenario(scenario))
    weather.loss, weather.death = loss, death
    return World(federation, weather, scenario)


def assert_right(result: Result) -> None:
    """What plain Python says of the people who are in all three registers."""
    columns = {name: table.to_pydict() for name, table in TABLES.items()}
    homes = {
        person: (district, rent)
        for person, district, rent in zip(*columns["homes"].values(), strict=True)
    }
    wages = dict(zip(*columns["wages"].values(), strict=True))
    plots = dict(zip(*columns["plots"].values(), strict=True))
    common = homes.keys() & wages.keys() & plots.keys()
    rows = {row["district"]: row for row in result.table.to_pylist()}
    for district in ("harbour", "hills"):
        inside = [person for person in common if homes[person][0] == district]
        row = rows[district]
        assert row["people"] == len(inside)
        assert row["rent"] == pytest.approx(sum(homes[p][1] for p in inside) / len(inside))
        assert row["wage"] == pytest.approx(sum(wages[p] for p in inside) / len(inside))
        assert row["area"] == pytest.approx(sum(plots[p] for p in inside) / len(inside))


def storm(root: Path, seed: int, moments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weather = Weather(seed, loss=0.08, death=0.002)
    world = make_world(root, weather)
    federation = world.federation
    with deadly_disk(weather, monkeypatch), deadly_pieces(weather, monkeypatch):
        for moment in range(moments):
            if moment % 90 == 0:
                try:
                    federation.client.run(world.scenario, "by_district")
                except Unavailable:
                    pass
                except Death:
                    federation.revive_client()
            federation.some_moment()
    weather.calm()
    federation.settle()
    last = federation.client.run(world.scenario, "by_district").id
    federation.settle()
    session = world.verify_promises()
    assert session.runs[last].phase is RunPhase.RELEASED
    for run, state in session.runs.items():
        if state.phase is RunPhase.RELEASED:
            assert_right(federation.client.wait_for(run, timeout=0))
            assert set(state.receipts) == set(AT)
        else:
            assert state.failure in (FailureReason.STATE_LOST, FailureReason.TIMED_OUT)
        if state.blinded:
            assert state.erased is not None
            assert state.erased.outcome is Outcome.DESTROYED
    assert not list((root / "hub" / "joins").iterdir())
    federation.close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200, 212))
def test_joins_in_bad_weather(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    storm(tmp_path, seed, 600, monkeypatch)
