"""Dense partials: every row has a cell, impossible ones are refused, bytes read back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.errors import InvalidInput
from stayput.partials import LocalPartial, assemble, parse_partial
from stayput.scenario import Column, ColumnType, Grade, Outside, Statement, TableContract
from stayput.sql import Plan, plan

CONTRACT = TableContract(
    "t",
    ("a", "b"),
    (
        Column(
            "g", ColumnType.LEVEL, Grade.PUBLIC, Outside.OTHER, levels=("x", "y"), nullable=True
        ),
        Column("n", ColumnType.BOOLEAN, Grade.PUBLIC, Outside.REFUSE),
        Column("v", ColumnType.INTEGER, Grade.PUBLIC, Outside.CLIP, minimum=-5, maximum=9),
    ),
    1_000,
)
# cells of g: x, y, NULL, other; times those of n: false, true, other
SQL = "SELECT g, n, COUNT(*), SUM(v) FROM t GROUP BY g, n"


def plan_of(sql: str = SQL) -> Plan:
    return plan(Statement("s", sql), [CONTRACT], 2)


@pytest.mark.parametrize(
    ("keys", "cell"),
    [
        (("x", False), 0),
        (("x", True), 1),
        (("y", False), 3),
        ((None, True), 7),
        (("__other__", True), 10),
        (("new level", False), 9),
        (("x", None), 2),  # n cannot be NULL, so this is nowhere declared
        ((3, "z"), 11),
    ],
)
def test_every_row_has_its_cell(keys: tuple[object, object], cell: int) -> None:
    partial = assemble(plan_of(), [(*keys, 4, -20)])  # type: ignore[arg-type]
    assert partial.counts[cell] == [4]
    assert partial.values[cell] == [-20]
    assert sum(row[0] for row in partial.counts) == 4
    assert len(partial.counts) == len(partial.values) == 12


def test_undeclared_keys_meet_in_one_cell() -> None:
    partial = assemble(
        plan_of(), [("p", True, 1, 9), ("q", True, 2, -3), ("__other__", True, 3, 1)]
    )
    assert partial.counts[10] == [6]
    assert partial.values[10] == [7]


def test_no_rows_are_zeros() -> None:
    partial = assemble(plan_of(), [])
    assert partial.counts == [[0]] * 12
    assert partial.values == [[0]] * 12


@pytest.mark.parametrize(
    "row",
    [
        ("x", True, 4),
        ("x", True, 4, 1, 1),
        ("x", True, 4, None),
        ("x", True, 4, 1.0),
        ("x", True, True, 1),
        ("x", True, -1, 0),
        ("x", True, 1, 10),  # above one row's bound
        ("x", True, 1, -6),
        ("x", True, 0, 1),  # a sum of no row
        ("x", True, 1_001, 0),  # more rows than declared
    ],
)
def test_an_impossible_row_is_refused_without_its_numbers(row: tuple[object, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        assemble(plan_of(), [row])  # type: ignore[list-item]
    assert not any(c.isdigit() for c in caught.value.message)


def test_a_part_is_never_larger_than_the_whole() -> None:
    planned = plan_of("SELECT COUNT(*), COUNT(*) FILTER (WHERE n) FROM t")
    assert assemble(planned, [(5, 5)]).counts == [[5, 5]]
    with pytest.raises(InvalidInput):
        assemble(planned, [(5, 6)])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 80), st.integers(-5, 9)), min_size=12, max_size=12))
def test_bytes_read_back(cells: list[tuple[int, int]]) -> None:
    planned = plan_of()
    partial = LocalPartial(
        [[n] for n, _ in cells],
        [[n * v] for n, v in cells],
        planned.count_width,
        planned.value_width,
    )
    data = partial.to_bytes()
    assert parse_partial(data, planned) == partial
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(InvalidInput):
            parse_partial(wrong, planned)


def test_stored_bytes_that_are_impossible_are_refused() -> None:
    data = bytearray(assemble(plan_of(), [("x", True, 4, -20)]).to_bytes())
    data[0] = 0x7F  # millions of rows
    with pytest.raises(InvalidInput):
        parse_partial(bytes(data), plan_of())


def test_repr_shows_no_sum() -> None:
    assert repr(assemble(plan_of(), [("x", True, 777, 888)])) == "LocalPartial(12 cells)"
