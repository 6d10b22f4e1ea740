"""Real processes answer, and everybody can see that the answer stands."""

from __future__ import annotations

import json

import pets
import pytest
from e2e.consortium import RUN_SECONDS, TEXT, Consortium

from stayput.audit import verify_release
from stayput.errors import RuleViolation
from stayput.steps import Outcome


def test_the_answer_is_that_of_the_pooled_rows_for_everybody(
    up: Consortium, scenario: bytes
) -> None:
    with up.client() as client:
        ordered = client.run(scenario, "by_colour", youngest=2)
        said: list[str] = []
        result = ordered.wait(timeout=RUN_SECONDS, progress=said.append)
        up.verify_run(ordered.id, result)
        colours = {row["colour"]: row for row in result.table.to_pylist()}
        assert colours["red"]["pets"] > 10
        assert colours["white"]["pets"] is None  # too few everywhere
        assert colours["blue"]["pets"] is None  # two holders only
        assert said[0].startswith("ordered")
        assert said[-1] == "result checked and released"
        # Asked again, by another connection too: the same sealed bytes, so the same result.
        again = client.fetch(ordered.id)
        assert again.checked.result == result.checked.result
        first = client._link.fetch_result(ordered.id)
    with up.client() as client:
        later = client.wait_for(ordered.id, timeout=0)
        assert client._link.fetch_result(ordered.id) == first
        assert later.checked.result == result.checked.result
        numbers = client.run(scenario, "numbers").wait(timeout=RUN_SECONDS)
        up.verify_result(numbers)
    assert verify_release(result.bundle, up.members).run.released is not None
    # The auditor, in a process of its own.
    verified = up.cli("reviewer", "log", "verify", "--json")
    assert verified.returncode == 0, verified.stderr
    told = json.loads(verified.stdout)
    assert told["finding"] is None
    assert told["steps"]["ResultReleased"] >= 2
    receipts = up.report().session.runs[ordered.id].receipts.values()
    assert len(receipts) == 3
    assert {one.outcome for one in receipts} == {Outcome.DESTROYED}
    assert all("CONFINED_BY_LANDLOCK" in {check.name for check in one.passed} for one in receipts)


def test_two_users_and_several_runs_at_once(up: Consortium, scenario: bytes) -> None:
    other = TEXT.replace("data_user: asker", "data_user: rival").replace("pets\n", "zoo\n", 1)
    with up.client() as asker, up.client("rival") as rival:
        second = up.agree(rival, other)
        runs = [asker.run(scenario, "by_colour", youngest=one) for one in (0, 1, 3)]
        theirs = [rival.run(second, "by_colour", youngest=4), rival.run(second, "numbers")]
        for run in (*runs, *theirs):
            up.verify_run(run.id, run.wait(timeout=RUN_SECONDS))
    for digest in (scenario, second):
        up.verify_promises(digest, {})


def test_a_used_up_scenario_is_refused_in_words(up: Consortium) -> None:
    with up.client() as client:
        scenario = up.agree(client, TEXT.replace("runs: 1000", "runs: 2"))
        runs = [client.run(scenario, "numbers") for _ in range(2)]
        with pytest.raises(RuleViolation) as refused:
            client.run(scenario, "numbers")
        assert refused.value.clause == "R-1"
        for run in runs:
            up.verify_result(run.wait(timeout=RUN_SECONDS))
    told = up.cli("asker", "run", scenario.hex(), "numbers")
    assert told.returncode == 1
    assert told.stdout == ""
    assert "used up" in told.stderr, told.stderr
    for name in pets.HOLDERS:
        with up.ledger(name) as ledger:
            assert ledger.charged(scenario) == 2
