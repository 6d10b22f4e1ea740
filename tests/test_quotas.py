"""A holder's quotas: how they are written, that they hold over scenarios, and are spent once."""

from __future__ import annotations

import dataclasses
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attacks.lying import NOW, World
from pets import TEXT

from stayput.config import load_settings
from stayput.errors import ConfigurationError, RuleViolation, RunFailure
from stayput.quota import DAY_SECONDS, Quota, Use
from stayput.steps import FailureReason, RunFailed
from stayput.store.ledger import Ledger, Spend

KEY = bytes(32)
FIRST, SECOND = b"s" * 32, b"t" * 32
PEOPLE = Quota("people", ("people", "people_2025"), runs=5, runs_per_user=2)


def settings(home: Path, text: str) -> tuple[Quota, ...]:
    for name in ("people.parquet", "others.parquet"):
        (home / name).touch()
    (home / "stayput.toml").write_text(text)
    return load_settings(home).quotas


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    made = Ledger(tmp_path / "ledger.db", KEY)
    for scenario in (FIRST, SECOND):
        made.approve(scenario, b"report", runs=1000)
    yield made
    made.close()


def use(user: str = "asker", table: str = "people", time: int = NOW) -> Use:
    return Use(user, (table,), time)


def run_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


# --- settings -------------------------------------------------------------------------------------


def test_quotas_as_they_are_written(tmp_path: Path) -> None:
    assert settings(tmp_path, "[quotas.people]\nruns = 5\n") == (Quota("people", ("people",), 5),)
    text = '[quotas.q]\nruns_per_user = 2\ndays = 30\ntables = ["a", "b"]\n'
    assert settings(tmp_path, text) == (Quota("q", ("a", "b"), 0, 2, 30),)
    assert settings(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[quotas.q]\n", "limits nothing"),
        ("[quotas.q]\ndays = 3\n", "limits nothing"),
        ("[quotas.q]\nruns = 0\n", "1 or more"),
        ("[quotas.q]\nruns = -1\n", "1 or more"),
        ("[quotas.q]\nruns = 1.5\n", "1 or more"),
        ("[quotas.q]\nruns = true\n", "1 or more"),
        ('[quotas.q]\nruns = "5"\n', "1 or more"),
        ("[quotas.q]\nruns_per_usr = 5\n", "unknown key"),
        ('[quotas.q]\nruns = 5\ntables = "people"\n', "list of table names"),
        ("[quotas.Q]\nruns = 5\n", "no name of a quota"),
        ("quotas = 5\n", "not a section"),
        ('[quotas.a]\nruns = 5\ntables = ["t"]\n[quotas.b]\nruns = 5\ntables = ["t"]\n', "two"),
        (
            '[quotas.t]\nruns = 5\n[sources.t]\npath = "people.parquet"\n'
            '[sources.u]\npath = "./people.parquet"\n',
            "under another name",
        ),
    ],
)
def test_what_is_no_quota_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings(tmp_path, text)


# --- the ledger -----------------------------------------------------------------------------------


def test_a_second_scenario_brings_no_more_runs(ledger: Ledger) -> None:
    for number, scenario in enumerate((FIRST, SECOND)):
        ledger.charge(scenario, run_of(number), None, use(), [PEOPLE])
    for scenario in (FIRST, SECOND):
        with pytest.raises(RuleViolation) as caught:
            ledger.charge(scenario, run_of(9), None, use(), [PEOPLE])
        assert caught.value.clause == "N-9"
        with pytest.raises(RuleViolation):  # nor does another name of the same data
            ledger.charge(scenario, run_of(9), None, use(table="people_2025"), [PEOPLE])
    ledger.charge(FIRST, run_of(1), None, use(), [PEOPLE])  # the same run again is free
    ledger.charge(FIRST, run_of(3), None, use(table="others"), [PEOPLE])  # other data
    assert ledger.used(PEOPLE, NOW) == (2, {"asker": 2})
    for number in (4, 5):
        ledger.charge(FIRST, run_of(number), None, use("rival"), [PEOPLE])
    ledger.charge(FIRST, run_of(6), None, use("third"), [PEOPLE])
    with pytest.raises(RuleViolation):  # five of all of them
        ledger.charge(FIRST, run_of(7), None, use("fourth"), [PEOPLE])


def test_runs_count_for_so_many_days(ledger: Ledger) -> None:
    monthly = dataclasses.replace(PEOPLE, days=30)
    for number in range(2):
        ledger.charge(FIRST, run_of(number), None, use(), [monthly])
    last = NOW + 30 * DAY_SECONDS
    with pytest.raises(RuleViolation):
        ledger.charge(FIRST, run_of(3), None, use(time=last - 1), [monthly])
    ledger.charge(FIRST, run_of(3), None, use(time=last), [monthly])
    with pytest.raises(RuleViolation):
        ledger.charge(FIRST, run_of(4), None, use(time=last), [PEOPLE])  # for ever


def test_a_quota_that_is_set_later_counts_earlier_runs(ledger: Ledger) -> None:
    for number in range(3):
        ledger.charge(FIRST, run_of(number), None, use(), [])
    with pytest.raises(RuleViolation):
        ledger.charge(FIRST, run_of(4), None, use(), [PEOPLE])


def test_what_is_refused_costs_nothing(ledger: Ledger) -> None:
    once = Quota("once", ("people",), runs=1)
    with pytest.raises(RuleViolation):
        ledger.charge(FIRST, run_of(0), Spend("people", 5, 4), use(), [once])
    assert ledger.used(once, NOW) == (0, {})
    ledger.charge(FIRST, run_of(1), Spend("people", 4, 4), use(), [once])
    with pytest.raises(RuleViolation) as caught:
        ledger.charge(FIRST, run_of(2), Spend("others", 4, 4), use(), [once])
    assert caught.value.clause == "N-9"
    assert (ledger.charged(FIRST), ledger.spent("others")) == (1, 0)


def test_a_quota_is_spent_once_however_many_ask_at_the_same_time(tmp_path: Path) -> None:
    """Two processes' openings of one file, two scenarios, forty runs at once: seven are charged."""
    ledgers = [Ledger(tmp_path / "ledger.db", KEY) for _ in range(2)]
    for scenario in (FIRST, SECOND):
        ledgers[0].approve(scenario, b"report", runs=1000)
    seven = Quota("seven", ("people",), runs_per_user=7)
    start = threading.Barrier(8)

    def worker(number: int) -> int:
        start.wait()
        return sum(
            charged(ledgers[number % 2], (FIRST, SECOND)[number // 4], run_of(8 * i + number))
            for i in range(5)
        )

    def charged(ledger: Ledger, scenario: bytes, run: bytes) -> bool:
        try:
            ledger.charge(scenario, run, None, use(), [seven])
        except RuleViolation as refused:
            return refused.clause != "N-9"
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(worker, range(8))) == 7
    assert {ledger.used(seven, NOW)[0] for ledger in ledgers} == {7}
    assert sum(ledgers[0].charged(scenario) for scenario in (FIRST, SECOND)) == 7
    for ledger in ledgers:
        ledger.close()


# --- a whole run ----------------------------------------------------------------------------------


def test_a_used_up_quota_looks_like_a_run_too_many(tmp_path: Path) -> None:
    """The data user, and everybody else, sees a code; the holder's own people read the reason."""
    plain = re.sub(r"(?s)  by_colour:.*?(?=  numbers:)", "", TEXT)
    world = World(tmp_path, plain)
    second = world.client.propose(plain.replace("scenario: pets", "scenario: again"))
    world.approve(world.client.scenario(second))
    world.quotas = (Quota("pets", ("pets",), runs_per_user=1),)

    def ask(scenario: bytes) -> Any:
        run = world.client.run(scenario, "numbers")
        world.settle()
        return run

    for name in world.holders:
        world._ledgers[name].charge(world.scenario, run_of(1), None, use(table="pets"))
    over = ask(second)
    with pytest.raises(RunFailure) as by_quota:
        over.wait(timeout=0)
    assert by_quota.value.reason == "HOLDER_REFUSED"
    world.quotas = ()
    for name in world.holders:  # now the limit of the scenario, in these ledgers alone
        with world._ledgers[name]._database.transaction() as connection:
            connection.execute("UPDATE approval SET runs = 0 WHERE scenario = ?", (second,))
    with pytest.raises(RunFailure) as by_limit:
        ask(second).wait(timeout=0)
    assert (str(by_quota.value), by_quota.value.hint) == (str(by_limit.value), by_limit.value.hint)
    failed = [run.failed for run in world.client.replica.session.runs.values() if run.failed]
    assert {(type(step), step.reason) for step in failed} == {
        (RunFailed, FailureReason.HOLDER_REFUSED)
    }
    notes = [note.message for note in world._ledgers["north"].notes()]
    assert any("the quota 'pets' is used up" in note for note in notes)
    assert not any(b"quota" in entry for entry in world.client.replica.entries)
    world.close()
