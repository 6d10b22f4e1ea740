"""What a person gives as arguments, and what the client says when it cannot go on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stayput.client import scaled_arguments, stages
from stayput.errors import InvalidInput
from stayput.scenario import ColumnType, Parameter, Statement
from stayput.session import RunState
from stayput.steps import RunOrdered

STATEMENT = Statement(
    "s",
    "SELECT 1",
    (
        Parameter("price", ColumnType.DECIMAL, decimals=2, minimum=0, maximum=10_000),
        Parameter("month", ColumnType.INTEGER, minimum=1, maximum=12),
        Parameter("colour", ColumnType.LEVEL, levels=("red", "true")),
        Parameter("late", ColumnType.BOOLEAN),
    ),
)


@pytest.mark.parametrize(
    ("name", "given", "scaled"),
    [
        ("price", "1.5", 150),
        ("price", Decimal("99.99"), 9999),
        ("price", 3, 300),
        ("price", "1.50", 150),
        ("price", "-0.01", -1),  # the range is checked when it is bound
        ("month", "7", 7),
        ("month", 7, 7),
        ("month", "1e1", 10),
        ("colour", "red", "red"),
        ("colour", "true", "true"),
        ("late", "true", True),
        ("late", "False", False),
        ("late", True, True),
    ],
)
def test_arguments_become_scaled_integers_exactly(name: str, given: Any, scaled: Any) -> None:
    found = scaled_arguments(STATEMENT, {name: given})
    assert found == {name: scaled}
    assert type(found[name]) is type(scaled)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("price", "1.505"),
        ("price", 1.5),  # a float is not exact
        ("price", "one"),
        ("price", "nan"),
        ("price", "inf"),
        ("price", "1e999999"),
        ("price", True),
        ("month", "7.5"),
        ("month", ""),
        ("late", "yes"),
        ("late", 1),
        ("nothing", 1),
    ],
)
def test_what_is_no_such_value_is_refused(name: str, given: Any) -> None:
    with pytest.raises(InvalidInput):
        scaled_arguments(STATEMENT, {name: given})


def test_stages_of_a_fresh_run_are_told_in_words() -> None:
    ordered = RunOrdered(b"r" * 16, b"s" * 32, "asker", b"o" * 32, ("a", "b", "c"), 2, 1)
    assert stages(RunState(ordered, "office")) == ["ordered: 3 holders take part"]
