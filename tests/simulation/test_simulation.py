"""The promises hold after every moment of a federation in bad weather.

Each seed is another history of lost, repeated, late and reordered messages and of processes that
die before or after any write.  Calm returns at the end, and every run must then be answered
correctly or have failed cleanly.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import pets
import pytest
from simulation.chaos import ChaosFederation, Death, Weather, deadly_disk

from stayput import documents, identity
from stayput.audit import verify_log
from stayput.client import Result
from stayput.crypto.paillier import PrivateKey, Randomness, parse_public_key
from stayput.errors import RunFailure, StayputError, Unavailable
from stayput.federation import Federation
from stayput.privacy import Budget
from stayput.session import RunPhase, ScenarioPhase, Session
from stayput.steps import Contributed, FailureReason, ResultReleased

START = 1_790_000_000

NOISY = pets.TEXT.replace(
    "output: {min_count: 10, min_holders: 3, min_difference: none}",
    "privacy: {mechanism: gaussian, rho: 0.5}",
)
assert NOISY != pets.TEXT
RHO = 10**12 // 2
BUDGETS = (Budget("pets", 4 * RHO, ("pets",)),)
"""Four runs of :data:`NOISY` at each holder."""


@dataclasses.dataclass
class Clock:
    now: int = START

    def __call__(self) -> int:
        return self.now


@dataclasses.dataclass
class World:
    federation: ChaosFederation
    weather: Weather
    scenario: bytes
    log: list[bytes] = dataclasses.field(default_factory=list)

    def verify_promises(self) -> Session:
        """What must hold at every moment."""
        kept = self.federation.coordinator.log
        log = list(kept.entries())
        assert log[: len(self.log)] == self.log, "history was rewritten"
        self.log = log
        report = verify_log(log, kept.checkpoint, self.federation.members)
        assert report.finding is None, report.finding
        releases = Counter(s.run for s in report.steps if isinstance(s, ResultReleased))
        assert all(count == 1 for count in releases.values()), "released twice"
        parts = Counter(
            (s.run, s.round, s.holder) for s in report.steps if isinstance(s, Contributed)
        )
        assert all(count == 1 for count in parts.values()), "a part in two versions"
        for name in self.federation.holders:
            ledger = self.federation._ledgers[name]
            assert ledger.charged(self.scenario) <= 40, "budget overspent"
        return report.session


def make_world(
    root: Path, weather: Weather, clock: Clock | None = None, text: str = pets.TEXT
) -> World:
    stagers = {holder: pets.TableStager(pets.rows_of(holder)) for holder in pets.HOLDERS}
    loss, death = weather.loss, weather.death
    weather.calm()
    federation = ChaosFederation(
        weather,
        root,
        holders=pets.HOLDERS,
        checker="office",
        user="asker",
        coordinator="hub",
        sources=pets.sources(root),
        stager=lambda name: stagers[name],
        clock=clock or Clock(),
        paillier_bits=2048,
        budgets=BUDGETS if text is NOISY else (),
    )
    scenario = federation.client.propose(text)
    federation.approve(federation.client.scenario(scenario))
    assert federation.client.state(scenario).phase is ScenarioPhase.SEALED
    weather.loss, weather.death = loss, death
    return World(federation, weather, scenario)


def assert_right(result: Result) -> None:
    """The released table equals DuckDB on the pooled rows, cell by cell."""
    checked = result.verify().result
    youngest = {a.name: a.value for a in checked.arguments}.get("youngest", 0)
    rows = [row for holder in pets.HOLDERS for row in pets.rows_of(holder)]
    truth = pets.pooled(rows, int(youngest))
    for row in result.table.to_pylist():
        if row["pets"] is None:
            assert row["colour"] not in ("red", "green") or int(youngest) > 0
            continue
        count, mean, deviation = truth[row["colour"]]
        assert row["pets"] == count
        if "mean" in row:
            assert math.isclose(row["mean"], mean, rel_tol=1e-9)
            assert math.isclose(row["sd"], deviation, rel_tol=1e-9)
        assert row["colour"] not in ("white", "blue"), "a small cell was released"


def order(federation: Federation, scenario: bytes, statement: str, youngest: int) -> None:
    parameters = {"youngest": youngest} if statement == "by_colour" else {}
    federation.client.run(scenario, statement, **parameters)


@pytest.mark.parametrize("seed", range(6))
def test_bad_weather(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    storm(tmp_path, seed, moments=250, monkeypatch=monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 160))
def test_long_bad_weather(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    storm(tmp_path, seed, moments=1500, monkeypatch=monkeypatch)


def storm(tmp_path: Path, seed: int, moments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weather = Weather(seed)
    world = make_world(tmp_path, weather)
    federation, dice = world.federation, weather.dice
    with deadly_disk(weather, monkeypatch):
        for moment in range(moments):
            if moment % 40 == 0:
                try:
                    statement = dice.choice(["by_colour", "numbers"])
                    order(federation, world.scenario, statement, dice.randint(0, 3))
                except Unavailable:
                    pass
                except Death:
                    federation.revive_client()
            federation.some_moment()
            if moment % 10 == 0:
                with monkeypatch.context() as calm:
                    calm.setattr(weather, "death", 0.0)
                    world.verify_promises()
    weather.calm()
    federation.settle()
    session = world.verify_promises()
    outcomes = Counter(run.phase for run in session.runs.values())
    assert set(outcomes) <= {RunPhase.RELEASED, RunPhase.FAILED}, outcomes
    assert outcomes[RunPhase.RELEASED] > 0
    assert weather.deaths > 0
    for run, state in session.runs.items():
        if state.phase is RunPhase.RELEASED:
            assert_right(federation.client.wait_for(run, timeout=0))
        else:
            assert state.failure in (FailureReason.STATE_LOST, FailureReason.TIMED_OUT)
    federation.close()


def test_noise_in_bad_weather(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is lost, repeated and killed: every run is paid once, at most four are, and what a
    node has stored of a run never changes."""
    weather = Weather(7)
    world = make_world(tmp_path, weather, text=NOISY)
    federation = world.federation
    with deadly_disk(weather, monkeypatch):
        for moment in range(150):
            if moment % 30 == 0:
                try:
                    order(federation, world.scenario, "numbers", 0)
                except Unavailable:
                    pass
                except Death:
                    federation.revive_client()
            federation.some_moment()
            with monkeypatch.context() as calm:
                calm.setattr(weather, "death", 0.0)
                for name in federation.holders:
                    ledger = federation._ledgers[name]
                    spent = ledger.spent("pets")
                    assert spent == RHO * ledger.charged(world.scenario) <= 4 * RHO
    weather.calm()
    federation.settle()
    for _ in range(5):
        order(federation, world.scenario, "numbers", 0)
        federation.settle()
    session = world.verify_promises()
    released = [run for run in session.runs.values() if run.phase is RunPhase.RELEASED]
    assert 0 < len(released) <= 4
    spent_by_all = [federation._ledgers[name].spent("pets") for name in federation.holders]
    assert max(spent_by_all) == 4 * RHO, "somebody's is used up"
    for run in released:
        table = federation.client.wait_for(run.ordered.run, timeout=0).verify().result.table
        assert table.noisy
    failures = {run.failure for run in session.runs.values() if run not in released}
    assert failures <= {FailureReason.HOLDER_REFUSED, FailureReason.STATE_LOST}
    assert weather.deaths > 0
    federation.close()


def test_who_stays_away_for_too_long_fails_the_run(tmp_path: Path) -> None:
    clock = Clock()
    world = make_world(tmp_path, Weather(0, loss=0, death=0), clock)
    federation = world.federation
    order(federation, world.scenario, "numbers", 0)
    for name in ("north", "south"):
        federation.nodes[name].work()
    clock.now += 601
    federation.coordinator.tick()
    (run,) = world.verify_promises().runs.values()
    assert run.failure is not None
    assert run.failure.name == "TIMED_OUT"
    federation.settle()  # the late node finds the run over and does nothing
    with pytest.raises(RunFailure, match="stayed away"):
        federation.client.wait_for(run.ordered.run, timeout=0)
    federation.close()


def test_the_release_is_verified_offline_by_anybody_with_the_member_list(tmp_path: Path) -> None:
    world = make_world(tmp_path, Weather(0, loss=0, death=0))
    federation = world.federation
    order(federation, world.scenario, "by_colour", 1)
    federation.settle()
    (run,) = federation.client.replica.session.runs or world.verify_promises().runs
    result = federation.client.wait_for(run, timeout=0)
    assert_right(result)
    bundle = result.bundle
    for position in range(0, len(bundle), 97):
        bent = bundle[:position] + bytes([bundle[position] ^ 1]) + bundle[position + 1 :]
        with pytest.raises(StayputError):
            Result(bent, federation.members)
    assert documents.digest(result.verify().scenario) == world.scenario
    federation.close()


def test_a_checker_with_a_subgroup_key_answers_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        identity, "draw_paillier_key", lambda bits, **_: PrivateKey.generate_subgroup(bits)
    )
    world = make_world(tmp_path, Weather(0, loss=0, death=0))
    federation = world.federation
    order(federation, world.scenario, "by_colour", 1)
    federation.settle()
    (run,) = world.verify_promises().runs
    assert_right(federation.client.wait_for(run, timeout=0))
    key = parse_public_key(federation.members["office"].paillier_modulus)
    assert key.randomness is Randomness.SUBGROUP
    federation.close()
