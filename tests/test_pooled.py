"""The comparison with pooled rows notices what differs."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from stayput.cli import terminal
from stayput.pooled import PRINTED_DIGITS, Comparison, compare_with_pooled, duckdb_parameters
from stayput.scenario import ColumnType, Parameter, Statement
from stayput.table import CellState, CellType, ResultTable, column

STATEMENT = Statement(
    "late",
    "SELECT carrier, COUNT(*) AS flights, SUM(minutes) AS total, AVG(minutes) AS mean\n"
    "FROM flights WHERE minutes <= :most GROUP BY carrier",
    (Parameter("most", ColumnType.INTEGER, minimum=0, maximum=100),),
)
W = CellState.WITHHELD


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """AA: 3 flights, 7 minutes; BB: 1 flight; 99 minutes are outside the parameter."""
    paths = []
    for name, values in (
        ("one", "('AA', 1), ('AA', 2), ('BB', 5)"),
        ("two", "('AA', 4), ('AA', 99)"),
    ):
        paths.append(tmp_path / f"{name}.parquet")
        duckdb.execute(
            f"COPY (SELECT * FROM (VALUES {values}) AS t (carrier, minutes)) TO '{paths[-1]}'"
        )
    return paths


def table(
    flights: str = "3",
    total: str = "7",
    mean: str = "2.3333333333333335",
    other: CellState | str = W,
) -> ResultTable:
    return ResultTable(
        (
            column("carrier", CellType.TEXT, ["AA", "BB", CellState.OTHER], key=True),
            column("flights", CellType.INTEGER, [flights, W, other]),
            column("total", CellType.INTEGER, [total, W, other]),
            column("mean", CellType.FLOAT, [mean, W, W]),
        )
    )


def compare(released: ResultTable, files: list[Path]) -> Comparison:
    return compare_with_pooled(released, STATEMENT, {"most": 50}, {"flights": files})


def test_the_right_answer_is_the_right_answer(files: list[Path]) -> None:
    assert compare(table(), files) == Comparison("late", 3, 2, 1, 6, ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"flights": "4"},
        {"total": "8"},
        {"mean": "2.3333433"},
        {"mean": "2.33333333999"},  # the same when printed, but not within 1e-9
        {"other": "1"},  # a row that the pooled answer does not have
    ],
)
def test_a_wrong_value_is_found(wrong: dict[str, str], files: list[Path]) -> None:
    found = compare(table(**wrong), files)
    assert found.mismatches
    assert all(text.startswith("late (") for text in found.mismatches)


def test_nothing_counted_is_no_row(files: list[Path]) -> None:
    assert compare(table(other="0"), files).mismatches == ()


def test_a_missing_row_is_found(files: list[Path]) -> None:
    less = ResultTable(
        tuple(column(c.name, c.type, list(c.texts[:1]), key=c.key) for c in table().columns)
    )
    assert compare(less, files).mismatches == ("late: the row ('BB',) is missing",)


def test_parameters_are_replaced_where_they_are_parameters() -> None:
    sql = "SELECT ':a', x::INT -- :a\nFROM t WHERE x = :a AND y = :ab AND z = ': a' /* :a */"
    assert duckdb_parameters(sql, ("a",)) == (
        "SELECT ':a', x::INT -- :a\nFROM t WHERE x = $a AND y = :ab AND z = ': a' /* :a */"
    )


def test_the_last_printed_digit_is_the_one_that_is_printed() -> None:
    assert PRINTED_DIGITS == terminal.SIGNIFICANT_DIGITS
