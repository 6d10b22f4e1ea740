"""A holder looks at its own rows before it approves, and at its quotas."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pets
import pytest
from cli.transcript import Stayput
from e2e.consortium import write_rows

from stayput import estimating
from stayput.disclosure import defaults
from stayput.federation import Federation
from stayput.partials import assemble
from stayput.quota import Use
from stayput.scenario import Dominance
from stayput.scenario_file import parse_scenario_file

TEXT = pets.TEXT.replace(
    "output: {", "output: {dominance: {p_percent: 10}, min_count_per_holder: 4, "
)


@pytest.fixture
def north(live: Federation) -> Iterator[Path]:
    """North has its rows in a file, and settings."""
    home = live.root / "north"
    write_rows(home / "pets.csv", pets.rows_of("north"))
    (home / "stayput.toml").write_text(
        '[sources.pets]\npath = "pets.csv"\n[staging]\nmemory_limit_mb = 256\nthreads = 1\n'
        "[quotas.pets]\nruns_per_user = 3\ndays = 30\n"
    )
    yield home
    (home / "stayput.toml").unlink()


def test_an_estimate_counts_own_cells_and_tells_nobody(
    stayput: Stayput, live: Federation, north: Path
) -> None:
    """Against the plain rows: 30 red, 12 green, 40 blue, 3 white."""
    text = TEXT.replace("scenario: pets", "scenario: estimated")
    digest = live.client.propose(text)
    entries, charged = live.coordinator.log.size, live._ledgers["north"].charged(digest)
    left = north / "estimates" / ("ab" * 16)
    left.mkdir(parents=True)
    (left / "rows").write_text("of a killed estimate")

    outcome = stayput("node", "estimate", "estimated", "--json", home=north)
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert (found["local"], found["signed"], found["not_estimated"]) == (True, False, 0)
    for one in found["questions"]:
        least = one["arguments"].get("youngest", 0)
        rows = Counter(colour for colour, age, _ in pets.rows_of("north") if age >= least)
        assert one["cells"] == 5  # four colours, and all others
        assert one["empty"] == 5 - len(rows)
        assert one["few"] == sum(0 < number < 10 for number in rows.values())
        assert one["below_own"] == sum(0 < number < 4 for number in rows.values())
    assert [one["arguments"] for one in found["questions"]] == [
        {"youngest": 0}, {"youngest": 10}, {},
    ]  # fmt: skip
    shown = stayput("node", "estimate", "estimated", "-p", "youngest=5", home=north)
    assert "LOCAL ESTIMATE" in shown.err
    assert "not part of the signed report" in shown.err
    assert shown.out.count("\n") == 4
    assert "youngest=5" in shown.out

    # Nothing is logged or charged, nothing is left, and receipts stay here.
    assert live.coordinator.log.size == entries
    assert live._ledgers["north"].charged(digest) == charged == 0
    assert list((north / "estimates").iterdir()) == []
    receipts = stayput("node", "receipts", "--json", home=north).json
    assert len(receipts) == 6
    swept, *staged = receipts
    assert swept["staging"] == "ab" * 16
    assert "LATE_SWEEP" in swept["passed"]
    assert {(one["scenario"], one["outcome"]) for one in staged} == {(digest.hex(), "destroyed")}
    assert all("CONFINED_BY_LANDLOCK" in one["passed"] for one in staged)


def test_what_cannot_be_estimated(stayput: Stayput, live: Federation, north: Path) -> None:
    live.client.propose(TEXT.replace("scenario: pets", "scenario: unestimated"))
    for words, home, message in (
        (("-p", "oldest=1"), north, "no statement has a parameter 'oldest'"),
        (("-p", "youngest=99"), north, "youngest"),
        ((), live.root / "south", "no source for the table 'pets'"),
        ((), live.root / "asker", "not a holder"),
    ):
        outcome = stayput("node", "estimate", "unestimated", *words, home=home)
        assert outcome.code == 1
        assert message in outcome.err
    (north / "estimates").mkdir(exist_ok=True)
    lock = os.open(north / "estimates", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    outcome = stayput("node", "estimate", "unestimated", home=north)
    assert outcome.code == 1
    assert "another estimate is under way" in outcome.err
    os.close(lock)
    (north / "pets.csv").write_text("colour,age,weight\nred,999,1.0\n")
    outcome = stayput("node", "estimate", "unestimated", home=north)
    assert outcome.code == 1
    assert "999" not in outcome.err  # no value of a row, not even here
    assert stayput("node", "receipts", "--json", home=north).json[-1]["outcome"] == "destroyed"


def test_cells_are_counted_as_the_rules_have_them() -> None:
    """By hand: 1 dominated cell of 12, 4 of which 3 are late, 9 alone, nothing else."""
    text = TEXT.replace(
        "SELECT colour, COUNT(*) AS pets, AVG(weight) AS mean, STDDEV_SAMP(age) AS sd",
        "SELECT colour, COUNT(*) AS pets, COUNT(*) FILTER (WHERE age > 9) AS old, SUM(age) AS s",
    )
    scenario = parse_scenario_file(text, nonce=bytes(16))
    bound = next(iter(estimating.questions(scenario, {"by_colour": {"youngest": 0}})))
    plan = bound.plan
    assert (len(plan.counts), len(plan.values)) == (2, 1)
    rows = [
        ("red", 12, 12, 48, 48, 20, 15),  # 20 and 15 of 48: without them 13, more than 10 % of 20
        ("green", 12, 3, 48, 48, 40, 7),  # 40 and 7 of 48: without them 1, less than 10 % of 40
        ("blue", 9, 0, 9, 9, 1, 1),
    ]
    partial = assemble(plan, rows)
    found = estimating.local_cells(bound, partial, scenario.output)
    assert (found.cells, found.empty, found.few, found.narrow) == (5, 2, 1, 1)
    assert (found.below_own, found.dominated, found.withheld) == (1, 1, 1)
    assert scenario.output.dominance == Dominance(10)
    assert scenario.output.min_count == defaults.MIN_COUNT


def test_quotas_are_shown(stayput: Stayput, live: Federation, north: Path) -> None:
    digest = live.client.propose(TEXT.replace("scenario: pets", "scenario: counted"))
    ledger = live._ledgers["north"]
    ledger.approve(digest, b"report", 5)
    assert "0 of 3" in stayput("node", "quota", home=north).out
    ledger.charge(digest, b"counted-run-16-b", None, Use("asker", ("pets",), live.clock()))
    assert "1 of 3" in stayput("node", "quota", home=north).out
    told = stayput("report", "counted", home=north)
    assert "your quota pets leaves asker 2 runs, the scenario asks for 40" in told.err
    assert "quota" not in told.out  # what depends on settings is not signed
    (row,) = stayput("node", "quota", "--json", home=north).json
    assert (row["quota"], row["used"], row["used_by"]) == ("pets", 1, {"asker": 1})
    assert stayput("node", "quota", home=live.root / "south").out.count("\n") == 2  # no row
