"""The rules of linear models, against the people behind the Gram matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.disclosure import Reason
from stayput.disclosure.models import (
    ModelColumn,
    Problem,
    check_categories,
    check_model,
    verify_model,
)
from stayput.errors import VerificationError
from stayput.scenario import OutputPolicy

POLICY = OutputPolicy(min_count=10, min_holders=2, min_freedom=10)
ONE = ModelColumn("constant", 1, 1, constant=True)
AGE = ModelColumn("age", 0, 120)
RENT = ModelColumn("rent", 0, 5_000)
MALE = ModelColumn("sex=m", 0, 1, "sex")
SOUTH = ModelColumn("side=south", 0, 1, "side")
WEST = ModelColumn("side=west", 0, 1, "side")
TARGET = ModelColumn("income", -10_000, 10_000)
RANDOM = np.random.default_rng(3)


def problems(
    columns: Sequence[ModelColumn], design: Sequence[Sequence[int]], target: Sequence[int]
) -> set[Problem]:
    """The verdict on people, given column by column."""
    data = np.array([*design, target], dtype=object)
    people = len(target)
    gram = [[int(x) for x in row] for row in data @ data.T]
    verify_model(columns, TARGET, people, gram)
    return set(check_model(columns, TARGET, people, gram, POLICY))


def some(people: int, low: int = 0, high: int = 100) -> list[int]:
    return [int(x) for x in RANDOM.integers(low, high + 1, people)]


def marked(people: int, ones: int) -> list[int]:
    return [1] * ones + [0] * (people - ones)


def test_a_decent_model_passes() -> None:
    columns = (ONE, AGE, RENT, MALE)
    design = ([1] * 90, some(90), some(90, 0, 5_000), marked(90, 40))
    assert problems(columns, design, some(90)) == set()


@pytest.mark.parametrize(("ones", "fails"), [(0, 1), (1, 1), (9, 1), (10, 0), (80, 0), (81, 1)])
def test_a_column_of_few_ones_or_zeros(ones: int, fails: bool) -> None:
    found = problems((ONE, AGE, MALE), ([1] * 90, some(90), marked(90, ones)), some(90))
    assert (Problem(Reason.SMALL_CATEGORY, "sex=m") in found) is bool(fails)
    assert bool(found) is bool(fails)


def test_the_level_without_a_column_may_not_be_one_person() -> None:
    """Both columns have enough ones and zeros, and the constant is the income of one person."""
    south, west = marked(91, 45), [0] * 45 + [1] * 45 + [0]
    design, income = ([1] * 91, south, west), some(91)
    assert problems((ONE, SOUTH, WEST), design, income) == {Problem(Reason.SMALL_REFERENCE, "side")}
    found, *_ = np.linalg.lstsq(np.array(design).T, np.array(income), rcond=None)
    assert round(found[0]) == income[-1]


@pytest.mark.parametrize("low", [0, 17, 119])
def test_two_values_that_nobody_declared(low: int) -> None:
    """An age that is 17 for all and 18 for one is a column of ones and zeros."""
    for ones in (1, 20):
        age = [low + mark for mark in marked(60, ones)]
        found = problems((ONE, AGE), ([1] * 60, age), some(60))
        assert (found == {Problem(Reason.SMALL_VALUE, "age")}) is (ones == 1)
    rent = [5_000 * mark for mark in marked(60, 59)]  # at both declared bounds
    found = problems((ONE, RENT), ([1] * 60, rent), some(60))
    assert found == {Problem(Reason.SMALL_VALUE, "rent")}


def test_a_target_that_is_one_for_one_person() -> None:
    """XᵀX times the coefficients would be that person's predictors."""
    age, target = some(60), marked(60, 1)
    assert problems((ONE, AGE), ([1] * 60, age), target) == {Problem(Reason.SMALL_VALUE, "income")}
    design = np.array([[1] * 60, age])
    found, *_ = np.linalg.lstsq(design.T, np.array(target), rcond=None)
    assert round((design @ design.T @ found)[1]) == age[0]


@pytest.mark.parametrize(
    ("people", "parameters", "reasons"),
    [
        (11, 1, set()),
        (10, 1, {Reason.FEW_FREEDOM}),
        (9, 1, {Reason.FEW_ROWS, Reason.FEW_FREEDOM}),
        (30, 10, {Reason.MANY_PARAMETERS}),
        (31, 10, set()),
        (0, 1, {Reason.FEW_ROWS, Reason.FEW_FREEDOM, Reason.MANY_PARAMETERS}),
    ],
)
def test_people_for_each_parameter(people: int, parameters: int, reasons: set[Reason]) -> None:
    columns = [dataclasses.replace(AGE, name=f"age{i}") for i in range(parameters)]
    assert {p.reason for p in check_categories(columns, people, [], POLICY)} == reasons


def test_columns_that_follow_from_others_and_perfect_fits() -> None:
    age, rent = some(60), some(60)
    both = [a + 2 * r for a, r in zip(age, rent, strict=True)]
    double = dataclasses.replace(RENT, name="both")
    design = ([1] * 60, age, rent, both)
    assert problems((ONE, AGE, RENT, double), design, some(60)) == {Problem(Reason.FOLLOWS, "both")}
    assert problems((ONE, AGE, RENT), design[:3], [b - 7 for b in both]) == {
        Problem(Reason.PERFECT_FIT)
    }


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_column_follows_exactly_when_the_rank_says_so(data: st.DataObject) -> None:
    columns = data.draw(st.integers(1, 6))
    rows = st.lists(st.integers(-3, 3), min_size=columns, max_size=columns)
    people = np.array(data.draw(st.lists(rows, min_size=1, max_size=8)))
    design = [ModelColumn(f"c{i}", -3, 3) for i in range(columns - 1)]
    target = ModelColumn("y", -3, 3)
    gram = [[int(x) for x in row] for row in people.T @ people]
    verify_model(design, target, len(people), gram)
    found = set(check_model(design, target, len(people), gram, POLICY))
    ranks = [np.linalg.matrix_rank(people[:, :i]) for i in range(columns + 1)]
    for i, column in enumerate(design):
        follows = ranks[i + 1] == ranks[i]
        assert (Problem(Reason.FOLLOWS, column.name) in found) is bool(follows)
    assert (Problem(Reason.PERFECT_FIT) in found) is bool(ranks[-1] == ranks[-2])


def test_sums_that_no_people_can_have() -> None:
    design = np.array([[1] * 40, some(40), marked(40, 15), some(40)], dtype=object)
    honest = [[int(x) for x in row] for row in design @ design.T]
    columns = (ONE, AGE, MALE)
    verify_model(columns, TARGET, 40, honest)
    changes = [
        ((0, 0), 41),  # another number of people
        ((1, 1), -5),
        ((1, 1), 40 * 120 * 120 + 1),
        ((1, 1), honest[0][1] ** 2 // 40 - 1),  # less than the mean allows
        ((2, 2), honest[2][2] + 1),  # ones that are not their squares
        ((0, 1), 40 * 120 + 1),
        ((0, 2), -1),
        ((1, 3), 2**90),
    ]
    for (i, j), number in changes:
        bent = [list(row) for row in honest]
        bent[i][j] = bent[j][i] = number
        with pytest.raises(VerificationError):
            verify_model(columns, TARGET, 40, bent)
    skewed = [list(row) for row in honest]
    skewed[0][1] += 1
    for wrong in (skewed, honest[:-1], [row[:-1] for row in honest]):
        with pytest.raises(VerificationError):
            verify_model(columns, TARGET, 40, wrong)


def test_nobody_is_in_two_levels() -> None:
    data = np.array([[1] * 40, marked(40, 15), marked(40, 20), some(40)], dtype=object)
    with pytest.raises(VerificationError):
        verify_model((ONE, SOUTH, WEST), TARGET, 40, [[int(x) for x in r] for r in data @ data.T])
