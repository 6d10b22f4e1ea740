"""What an audit says of runs over joins: every receipt, and what is missing."""

from __future__ import annotations

import pytest
from audit.logs import Log
from audit.test_examine import audit, condemns
from parties import Party

from stayput.audit.crate import crate_metadata
from stayput.audit.page import render_page
from stayput.audit.picture import Mark, place_entries
from stayput.audit.report import Verdict
from stayput.steps import DeletionCheck, Outcome


@pytest.fixture
def log(consortium: Party) -> Log:
    return Log(consortium)


def test_an_honest_run_over_a_join_passes_with_the_coordinators_receipt(log: Log) -> None:
    scenario = log.sealed()
    log.run_join(scenario)
    log.run(scenario)
    report = audit(log)
    assert report.verdict is Verdict.PASS
    joined, plain = report.runs
    assert joined.join
    assert [step.kind for step in joined.exchanges] == [
        *["set_blinded"] * 4 * len(log.holders),
        "rows_encrypted",
        "rows_handed_over",
        "sums_returned",
    ]
    assert {receipt.holder for receipt in joined.every_receipt} == {"hub", *log.holders}
    assert joined.receipts_due == len(log.holders) + 1
    assert (plain.join, plain.exchanges, plain.erased) == (False, (), None)
    assert plain.receipts_due == len(log.holders)
    assert len(report.receipts) == 2 * len(log.holders) + 1
    placed = place_entries(report)
    assert [one.entry for one in placed] == list(range(report.log.size))
    assert sum(one.mark is Mark.EXCHANGED for one in placed) == len(joined.exchanges)
    events = [event.sentence for event in report.timeline if event.run == joined.run]
    assert "over a join" in events[0]


def test_page_and_crate_show_the_coordinators_receipt(log: Log) -> None:
    log.run_join(log.sealed())
    report = audit(log)
    page = render_page(report).decode()
    due = len(log.holders) + 1
    assert f"{due} of {due}" in page
    assert "encrypted rows" in page
    graph = {one["@id"]: one for one in crate_metadata(report, [], "0.1")["@graph"]}
    erased = report.runs[0].erased
    assert erased is not None
    receipt = graph[f"#entry-{erased.entry}"]
    assert receipt["@type"][0] == "DeleteAction"
    assert "hub" in receipt["name"]
    for step in report.runs[0].exchanges:
        assert step.party in graph[f"#entry-{step.entry}"]["name"]


def test_a_release_without_the_coordinators_receipt_is_found(log: Log) -> None:
    log.run_join(log.sealed(), erased=False)
    condemns(audit(log), log.releases[0], "R-6", "coordinator's deletion receipt")


def test_a_failed_or_second_erasure_is_found(log: Log) -> None:
    scenario = log.sealed()
    run = log.order_join(scenario)
    log.exchange(run)
    failed = log.erase(
        run,
        scenario,
        outcome=Outcome.FAILED,
        passed=(),
        failed=(DeletionCheck.NO_FILES_LEFT,),
    )
    report = audit(log)
    assert report.verdict is Verdict.PASS  # it says so honestly
    assert [(one.entry, one.clause) for one in report.findings] == [(failed, "R-14")]
    assert report.runs[0].reason == "deletion_failed"
    again = log.erase(run, scenario)
    condemns(audit(log), again, "R-14", "second")


def test_steps_of_a_join_in_a_run_without_one_are_found(log: Log) -> None:
    scenario = log.sealed()
    run = log.order(scenario)
    first = log.size
    log.exchange(run)
    condemns(audit(log), first, "R-11")
    condemns(audit(log), first + 1, "R-11", "not ordered")
