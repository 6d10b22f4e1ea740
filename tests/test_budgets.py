"""A holder's privacy budgets: how they are named, and that they are spent once.

What a run charges, and when, is shown against attackers in ``tests/attacks/test_noise.py``.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from stayput.config import load_settings
from stayput.errors import ConfigurationError, RuleViolation
from stayput.privacy import PICO, Budget, budget_of
from stayput.store.ledger import Ledger, Spend

KEY = bytes(32)
SCENARIO = b"s" * 32


def settings(home: Path, text: str) -> tuple[Budget, ...]:
    for name in ("people.parquet", "others.parquet"):
        (home / name).touch()
    (home / "stayput.toml").write_text(text)
    return load_settings(home).budgets


def test_budgets_in_either_form(tmp_path: Path) -> None:
    assert settings(tmp_path, '[budgets.people]\nrho = "0.5"\n') == (
        Budget("people", PICO // 2, ("people",)),
    )
    (found,) = settings(
        tmp_path,
        '[budgets.people]\nepsilon = 4\ndelta = 1e-6\ntables = ["a", "b"]\nexact = true\n',
    )
    assert found == Budget("people", budget_of(Decimal(4), Decimal("1e-6")), ("a", "b"), exact=True)
    # 0.1 as a double is more than a tenth; as written it is not.
    assert settings(tmp_path, "[budgets.people]\nrho = 0.1\n")[0].total == PICO // 10
    assert settings(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("rho = 0", "above 0"),
        ("rho = -1", "above 0"),
        ("rho = 1001", "at most 1000"),
        ("rho = inf", "is a number"),
        ("rho = nan", "is a number"),
        ('rho = "Infinity"', "is a number"),
        ('rho = "sNaN"', "is a number"),
        ('rho = "much"', "is a number"),
        ("rho = true", "is a number"),
        ("rho = [1]", "is a number"),
        ("rho = 1\nepsilon = 1\ndelta = 1e-6", "has no total"),
        ("epsilon = 1", "has no total"),
        ("delta = 1e-6", "has no total"),
        ("epsilon = 1\ndelta = 0", "above 0"),
        ("epsilon = 1\ndelta = 0.5", "at most 0.00001"),
        ("", "has no total"),
        ("rho = 1\ntotal = 2", "unknown key"),
        ("rho = 1\ntables = []", "list of table names"),
        ('rho = 1\ntables = "a"', "list of table names"),
        ('rho = 1\ntables = ["A B"]', "list of table names"),
        ("rho = 1\nexact = 1", "true or false"),
    ],
)
def test_what_is_no_budget_is_told(tmp_path: Path, section: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(tmp_path, f"[budgets.people]\n{section}\n")
    assert message in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        # One table in two budgets.
        '[budgets.a]\nrho = 1\ntables = ["t"]\n[budgets.b]\nrho = 1\ntables = ["t"]\n',
        # One file under two names, each with a budget of its own.
        '[sources.t]\npath = "people.parquet"\n[sources.u]\npath = "./people.parquet"\n'
        "[budgets.t]\nrho = 1\n[budgets.u]\nrho = 1\n",
        # One file under two names, one of them without any.
        '[sources.t]\npath = "people.parquet"\n[sources.u]\npath = "people.parquet"\n'
        "[budgets.t]\nrho = 1\n",
    ],
)
def test_one_data_set_has_one_budget_under_whatever_names(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="budget"):
        settings(tmp_path, text)
    fine = '[sources.t]\npath = "people.parquet"\n[sources.u]\npath = "people.parquet"\n'
    fine += '[budgets.people]\nrho = 1\ntables = ["t", "u"]\n'
    assert settings(tmp_path, fine) == (Budget("people", PICO, ("t", "u")),)


def test_a_budget_is_spent_once_however_many_ask_at_the_same_time(tmp_path: Path) -> None:
    """Forty runs at once, through two openings of the file as two processes have them: thirteen
    fit, thirteen are charged, and none of the others leaves a trace."""
    ledgers = [Ledger(tmp_path / "ledger.db", KEY) for _ in range(2)]
    ledgers[0].approve(SCENARIO, b"report", runs=1000)
    spend = Spend("people", 3, 41)
    start = threading.Barrier(8)

    def worker(number: int) -> list[bool]:
        start.wait()
        return [charged(ledgers[number % 2], bytes([number, i]) * 8) for i in range(5)]

    def charged(ledger: Ledger, run: bytes) -> bool:
        try:
            ledger.charge(SCENARIO, run, spend)
        except RuleViolation as refused:
            return refused.clause != "D-4"  # any other refusal makes the sum below wrong
        return True

    with ThreadPoolExecutor(8) as pool:
        found = [one for many in pool.map(worker, range(8)) for one in many]
    assert (len(found), sum(found)) == (40, 13)
    assert {ledger.spent("people") for ledger in ledgers} == {39}
    assert ledgers[0].charged(SCENARIO) == 13, "a run that was refused is not a run that was used"
    for ledger in ledgers:
        ledger.close()


def test_charging_again_is_free_and_nothing_comes_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", KEY)
    ledger.approve(SCENARIO, b"report", runs=3)
    for _ in range(3):
        ledger.charge(SCENARIO, b"r" * 16, Spend("people", 10, 10))
    ledger.close_run(b"r" * 16)
    ledger.revoke(SCENARIO)
    ledger.close()
    again = Ledger(tmp_path / "ledger.db", KEY)
    assert again.spent("people") == 10
    assert again.spent("others") == 0
    with pytest.raises(RuleViolation):
        again.charge(SCENARIO, b"q" * 16, Spend("others", 1, 10))
    assert again.spent("others") == 0, "a run of a revoked scenario costs nothing"
    again.close()


def test_a_free_run_with_noise_is_a_mistake_of_ours(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", KEY)
    ledger.approve(SCENARIO, b"report", runs=3)
    for cost in (0, -5):
        with pytest.raises(ValueError, match="costs something"):
            ledger.charge(SCENARIO, b"r" * 16, Spend("people", cost, 10))
    assert (ledger.spent("people"), ledger.charged(SCENARIO)) == (0, 0)
    ledger.close()
