"""Attacks on noise and budgets: the tests of :mod:`attacks.test_noise`, as lines of the table.

Each needs nodes that are killed, restarted or bent, so they are tried in this process only.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from attacks import test_noise
from attacks.court import Court
from attacks.registry import Outcome, attack, undetectable
from pets import HOLDERS


class _Room:
    """A noisy consortium of its own, and patches that end with it."""

    def __init__(self, sql: str = "") -> None:
        self._text = test_noise.text(sql=sql) if sql else test_noise.text()

    def __enter__(self) -> tuple[test_noise.Noisy, pytest.MonkeyPatch]:
        self._folder = tempfile.TemporaryDirectory(prefix="stayput-noisy-")
        self._noisy = test_noise.Noisy(Path(self._folder.name), self._text)
        self._patch = pytest.MonkeyPatch()
        return self._noisy, self._patch

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
        self._noisy.close()
        self._folder.cleanup()


@attack("averaging the noise by retries and time-outs", in_memory=True)
def averaging(court: Court) -> Outcome:
    with _Room() as (noisy, patch):
        test_noise.test_time_outs_and_restarts_do_not_average_the_noise_away(noisy, 0, patch)
    return Outcome(
        "answers lost, runs timed out, nodes restarted",
        "the same bytes again, or a run that is charged again",
        "what is sent is stored first (clauses D)",
    )


@attack("a crash after charge, draw, store or send", in_memory=True)
def crashes(court: Court) -> Outcome:
    places = ("before the charge", "charge", "draw", "store", "send")
    for place in places:
        with _Room() as (noisy, patch):
            test_noise.test_a_node_that_dies_has_spent_once_and_sends_one_noise(
                noisy, 0, patch, place
            )
    return Outcome(
        f"killed after each of {len(places)} steps",
        "charged once, one noise sent",
        "charge, fsync, draw, store, send",
    )


@attack("the budget spent twice", in_memory=True)
def budget(court: Court) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="stayput-noisy-") as folder:
        test_noise.test_a_budget_ends_for_all_scenarios_and_in_one_way(Path(folder))
    return Outcome(
        "three runs, two scenarios, a budget for two and a half",
        "the third refused",
        "the node's own ledger",
    )


@attack("nodes that add no noise", in_memory=True)
def silent(court: Court) -> Outcome:
    with _Room(test_noise.BY_AGE) as (noisy, patch):
        for holder in HOLDERS:
            noisy.stagers[holder].rows = test_noise.of_every_age(20)
        test_noise.test_nodes_that_add_no_noise_take_none_from_the_others(noisy, patch)
    return Outcome(
        "two of three nodes add none",
        "the third's noise is whole",
        undetectable("A node that adds no noise is not noticed"),
    )
