"""Which cells pass: at, below and above every threshold, and sums that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pets import TEXT

from stayput.disclosure import OpenedCounts, check_counts, passes, verify_counts, verify_values
from stayput.errors import VerificationError
from stayput.scenario import OutputPolicy, Statement
from stayput.scenario_file import parse_scenario_file
from stayput.sql import Plan, plan

SCENARIO = parse_scenario_file(TEXT, nonce=b"n" * 16)
POLICY = OutputPolicy(min_count=10, min_holders=3)


def planned(sql: str) -> Plan:
    return plan(Statement("s", sql), SCENARIO.tables, 3)


ONE_CELL = planned("SELECT COUNT(*) AS n FROM pets")
FILTERED = planned("SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE age > 3) AS old FROM pets")
NULLS = planned("SELECT COUNT(*) AS n, COUNT(weight) AS weighed FROM pets")
SUMS = planned("SELECT COUNT(*) AS n, SUM(weight) AS total FROM pets")


def verdict_of(planned: Plan, opened: OpenedCounts, policy: OutputPolicy) -> Any:
    return passes(check_counts(planned, opened, policy))


@pytest.mark.parametrize(
    ("count", "holders", "passing"),
    [
        (0, 0, False),
        (9, 3, False),
        (10, 3, True),
        (11, 3, True),
        (10, 2, False),
        (1000, 2, False),
        (1000, 1, False),
    ],
)
def test_a_cell_needs_enough_rows_of_enough_holders(
    count: int, holders: int, passing: bool
) -> None:
    verdict = verdict_of(ONE_CELL, OpenedCounts([[count]], [[holders]]), POLICY)
    assert verdict.tolist() == [[passing]]


@pytest.mark.parametrize(
    ("whole", "part", "passing"),
    [
        (100, 10, True),
        (100, 9, False),
        (100, 90, True),
        (100, 91, False),  # 9 are left: the rest would be given away
        (100, 99, False),
        (100, 100, True),  # nobody is left out
        (19, 10, False),
        (9, 9, False),
    ],
)
def test_what_a_filter_leaves_out_counts_too(whole: int, part: int, passing: bool) -> None:
    verdict = verdict_of(FILTERED, OpenedCounts([[whole, part]], [[3, 3, 3]]), POLICY)
    assert verdict.tolist()[0][1] is passing
    assert verdict.tolist()[0][0] is (whole >= 10)


def test_a_cell_that_fails_as_a_whole_releases_nothing() -> None:
    """Enough rows have a weight, but one of two holders could subtract its own."""
    assert verdict_of(NULLS, OpenedCounts([[20, 20]], [[2, 3]]), POLICY).tolist() == [
        [False, False]
    ]


def test_rows_without_a_value_are_not_held_against_those_with_one() -> None:
    assert verdict_of(NULLS, OpenedCounts([[20, 19]], [[3, 3]]), POLICY).tolist() == [[True, True]]


def test_the_policy_of_the_scenario_decides() -> None:
    strict = OutputPolicy(min_count=50, min_holders=2)
    assert verdict_of(ONE_CELL, OpenedCounts([[49]], [[3]]), strict).tolist() == [[False]]
    assert verdict_of(ONE_CELL, OpenedCounts([[50]], [[2]]), strict).tolist() == [[True]]


@pytest.mark.parametrize(
    ("rest", "holders", "passing"),
    [(0, 0, True), (10, 3, True), (9, 3, False), (90, 2, False), (90, 1, False), (90, 3, True)],
)
def test_what_a_filter_leaves_out_comes_from_enough_holders(
    rest: int, holders: int, passing: bool
) -> None:
    """Whole minus part is the rest: of one holder, it would be that holder's own sum."""
    found = OpenedCounts([[100 + rest, 100]], [[3, 3, holders]])
    verdict = verdict_of(FILTERED, found, POLICY)
    assert verdict.tolist() == [[True, passing]]


@pytest.mark.parametrize(
    ("counts", "holders"),
    [
        ([-1, 0], [0, 0, 0]),
        ([5, 6], [1, 1, 0]),  # a part larger than the whole
        ([5, -1], [1, 0, 1]),
        ([5, 5], [4, 1, 0]),  # more holders than take part
        ([5, 5], [-1, 1, 0]),
        ([5, 5], [0, 0, 0]),  # rows of nobody
        ([5, 0], [1, 1, 1]),  # a holder without rows
        ([1, 1], [2, 2, 0]),  # more holders than rows
        ([3001, 0], [3, 0, 3]),  # more rows than three holders may have
        ([2**62, 0], [3, 0, 3]),
        ([5, 3], [2, 2, 0]),  # a rest of nobody
        ([5, 5], [2, 2, 1]),  # a holder of an empty rest
        ([5, 4], [2, 2, 2]),  # more holders than rows in the rest
        ([50, 4], [2, 2, 4]),
    ],
)
def test_impossible_counts_end_the_run(counts: list[int], holders: list[int]) -> None:
    with pytest.raises(VerificationError, match="impossible"):
        verify_counts(FILTERED, OpenedCounts([counts], [holders]), 3)


def test_possible_counts_do_not() -> None:
    for counts, holders in (
        ([0, 0], [0, 0, 0]),
        ([3000, 3000], [3, 3, 0]),
        ([3, 1], [3, 1, 2]),
        ([3, 0], [1, 0, 1]),
    ):
        verify_counts(FILTERED, OpenedCounts([counts], [holders]), 3)


def test_opened_counts_do_not_print_themselves() -> None:
    assert repr(OpenedCounts([[77]], [[3]])) == "OpenedCounts(1 cells)"


@pytest.mark.parametrize(
    ("total", "possible"), [(0, True), (20_000, True), (-20_000, True), (20_001, False)]
)
def test_sums_stay_within_count_times_bounds(total: int, possible: bool) -> None:
    counts = [[20, 20]]
    if possible:
        verify_values(SUMS, counts, [[total]])
    else:
        with pytest.raises(VerificationError, match="impossible"):
            verify_values(SUMS, counts, [[total]])
    verify_values(SUMS, counts, [[None]])
