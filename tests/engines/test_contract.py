"""A file against its contract: scaling, clipping and counting, compared with exact fractions.

The oracle is written from the contract's words in Python's ``Fraction`` and ``Decimal``; the SQL
runs in a plain DuckDB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput import sql
from stayput.engines import contract as contracts
from stayput.engines.contract import Kind, SourceDoesNotFit, Violation
from stayput.scenario import Column, ColumnType, Grade, Outside, TableContract


def column(name: str = "x", **changes: Any) -> Column:
    given_: dict[str, Any] = {
        "name": name,
        "type": ColumnType.INTEGER,
        "grade": Grade.PUBLIC,
        "outside": Outside.REFUSE,
        "minimum": -100,
        "maximum": 100,
    }
    given_.update(changes)
    if given_["type"] in (ColumnType.LEVEL, ColumnType.BOOLEAN):
        given_["minimum"] = given_["maximum"] = None
    return Column(**given_)


def table(*columns: Column, max_rows: int = 1000) -> TableContract:
    return TableContract("t", ("north", "south"), columns, max_rows)


def run(
    declared: Column, actual: str, values: Sequence[Any], *, name: str = "X"
) -> tuple[list[Any], dict[Kind, int]]:
    """The scaled values in order, and the numbers of offending rows that are not zero."""
    contract, types = table(declared), {name: actual}
    with duckdb.connect() as connection:
        connection.execute(f'CREATE TABLE stayput_raw ("{name}" {actual})')
        if values:
            connection.executemany("INSERT INTO stayput_raw VALUES (?)", [[v] for v in values])
        checks = contracts.checks(contract, types, [declared.name])
        (counts,) = connection.execute(contracts.count_sql(checks)).fetchall()
        assert counts[0] == len(values)
        connection.execute(contracts.source_view_sql(contract, types, [declared.name]))
        rows = connection.execute(
            f"SELECT {declared.name}, typeof({declared.name}) FROM stayput_source"
        ).fetchall()
    if declared.type in (ColumnType.INTEGER, ColumnType.DECIMAL):
        assert {kind for _, kind in rows} <= {"BIGINT"}
    found = {check.kind: n for check, n in zip(checks, counts[1:], strict=True) if n}
    return [value for value, _ in rows], found


def half_up(exact: Fraction, decimals: int) -> int:
    return math.floor(exact * 10**decimals + Fraction(1, 2))


def test_the_words_are_those_of_the_sql_package() -> None:
    assert contracts.SOURCE == sql.SOURCE
    assert contracts.OTHER == sql.OTHER


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.integers(-(10**15), 10**15) | st.none(), max_size=8),
    decimals=st.integers(0, 9),
    places=st.integers(0, 12),
    clip=st.booleans(),
    bound=st.integers(1, 10**18),
)
def test_decimals_are_scaled_exactly(
    values: list[int | None], decimals: int, places: int, clip: bool, bound: int
) -> None:
    declared = column(
        type=ColumnType.DECIMAL,
        decimals=decimals,
        minimum=-bound,
        maximum=bound,
        nullable=True,
        outside=Outside.CLIP if clip else Outside.REFUSE,
    )
    stored = [None if v is None else Decimal(v).scaleb(-places) for v in values]
    rows, found = run(declared, f"DECIMAL(30,{places})", stored)
    scaled = [None if v is None else half_up(Fraction(v), decimals) for v in stored]
    outside = sum(1 for v in scaled if v is not None and abs(v) > bound)
    if clip:
        assert rows == [None if v is None else max(-bound, min(bound, v)) for v in scaled]
        assert not found
    else:
        assert found == ({Kind.OUTSIDE_BOUNDS: outside} if outside else {})
        if not outside:
            assert rows == scaled


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(-(2**30), 2**30), max_size=8), decimals=st.integers(0, 6))
def test_floats_are_scaled_half_up(values: list[int], decimals: int) -> None:
    declared = column(type=ColumnType.DECIMAL, decimals=decimals, minimum=-(10**18), maximum=10**18)
    stored = [value / 8 for value in values]  # eighths: exact in a double, ties among them
    rows, found = run(declared, "DOUBLE", stored)
    assert rows == [half_up(Fraction(v), decimals) for v in stored]
    assert not found


@pytest.mark.parametrize(
    ("actual", "values", "found"),
    [
        ("DOUBLE", [1.0, math.nan, math.inf, -math.inf], {Kind.NOT_A_VALUE: 3}),
        ("DOUBLE", [1.5, 2.0], {Kind.NOT_WHOLE: 1}),
        ("DOUBLE", [1e300, -1e300, 100.0], {Kind.OUTSIDE_BOUNDS: 2}),
        ("FLOAT", [1.0, 101.0], {Kind.OUTSIDE_BOUNDS: 1}),
        ("BIGINT", [2**63 - 1, -(2**63), 100, -100, None], {Kind.NULLS: 1, Kind.OUTSIDE_BOUNDS: 2}),
        ("TINYINT", [101, -101, 5], {Kind.OUTSIDE_BOUNDS: 2}),
        ("UBIGINT", [2**64 - 1, 3], {Kind.OUTSIDE_BOUNDS: 1}),
        ("HUGEINT", [2**127 - 1, -(2**127) + 1, 3], {Kind.OUTSIDE_BOUNDS: 2}),
        ("DECIMAL(38,0)", [Decimal(10) ** 37, 7], {Kind.OUTSIDE_BOUNDS: 1}),
        ("DECIMAL(38,37)", [Decimal("1.5"), 7], {Kind.NOT_WHOLE: 1}),
        ("VARCHAR", ["7", "+7", " 8 ", "1e1", "7.0"], {}),
        ("VARCHAR", ["", "abc", "1.2.3", "nan", "inf", "0x10"], {Kind.NOT_A_VALUE: 6}),
        ("VARCHAR", ["9" * 30, "1"], {Kind.NOT_A_VALUE: 1}),
        ("VARCHAR", ["7.5", "1e-3"], {Kind.NOT_WHOLE: 2}),
        ("VARCHAR", ["101", "-1e3"], {Kind.OUTSIDE_BOUNDS: 2}),
    ],
)
def test_offending_numbers_are_counted(
    actual: str, values: list[Any], found: dict[Kind, int]
) -> None:
    assert run(column(), actual, values)[1] == found


def test_missing_values_are_not_clipped_to_a_bound() -> None:
    # LEAST and GREATEST skip NULL in DuckDB: this is the trap that the CASE avoids.
    clipped = column(outside=Outside.CLIP, nullable=True)
    for actual in ("BIGINT", "DOUBLE", "DECIMAL(18,2)", "VARCHAR", "HUGEINT"):
        assert run(clipped, actual, [None, 1000, -1000]) == ([None, 100, -100], {}), actual


def test_levels() -> None:
    listed = column(type=ColumnType.LEVEL, levels=("a", "b'c", "ü"), nullable=True)
    assert run(listed, "VARCHAR", ["a", "b'c", "ü", None]) == (["a", "b'c", "ü", None], {})
    assert run(listed, "VARCHAR", ["A", "a ", ""])[1] == {Kind.UNKNOWN_LEVEL: 3}
    other = column(type=ColumnType.LEVEL, levels=("a",), outside=Outside.OTHER, nullable=True)
    assert run(other, "VARCHAR", ["a", "z", None]) == (["a", contracts.OTHER, None], {})
    codes = column(type=ColumnType.LEVEL, levels=("1", "2"))
    assert run(codes, "INTEGER", [1, 2, 3, None])[1] == {Kind.UNKNOWN_LEVEL: 1, Kind.NULLS: 1}
    chosen = column(type=ColumnType.LEVEL, levels=("a",))
    assert run(chosen, "ENUM('a', 'z')", ["a", "z"])[1] == {Kind.UNKNOWN_LEVEL: 1}


def test_truth_values() -> None:
    truth = column(type=ColumnType.BOOLEAN, nullable=True)
    assert run(truth, "BOOLEAN", [True, False, None]) == ([True, False, None], {})
    assert run(truth, "INTEGER", [1, 0, 2, None])[1] == {Kind.NOT_A_VALUE: 1}
    assert run(truth, "VARCHAR", ["true", "F", "0", "maybe"])[1] == {Kind.NOT_A_VALUE: 1}


@pytest.mark.parametrize("actual", ["DATE", "BLOB", "INTEGER[]", "STRUCT(a INTEGER)", "TIMESTAMP"])
def test_types_that_no_column_can_have_are_refused(actual: str) -> None:
    for declared in (
        column(),
        column(type=ColumnType.BOOLEAN),
        column(type=ColumnType.LEVEL, levels=("a",)),
    ):
        with pytest.raises(SourceDoesNotFit) as refused:
            contracts.source_view_sql(table(declared), {"x": actual}, ["x"])
        assert refused.value.violations == (Violation(Kind.WRONG_TYPE, "x", found=(actual,)),)


def test_columns_match_without_regard_to_case_and_exactly_once() -> None:
    contract = table(column("a"), column("b"))
    types = {"A": "BIGINT", "other": "DATE", "B ": "BIGINT"}
    assert contracts.match_columns(contract, types, ["a"]) == {"a": "A"}
    with pytest.raises(SourceDoesNotFit) as missing:
        contracts.match_columns(contract, types, ["a", "b"])
    (violation,) = missing.value.violations
    assert (violation.kind, violation.column) == (Kind.MISSING_COLUMN, "b")
    text = contracts.sentence(violation, contract, "flights.parquet")
    assert text == "column 'b' is missing in flights.parquet; the file has: A, other, B "
    with pytest.raises(SourceDoesNotFit) as twice:
        contracts.match_columns(contract, {"a": "BIGINT", "A": "BIGINT"}, ["a"])
    assert twice.value.violations[0].kind is Kind.AMBIGUOUS_COLUMN


def test_an_enumeration_in_a_type_name_is_not_quoted_at_length() -> None:
    # An enumeration's members are data of the file.
    actual = "STRUCT(" + ", ".join(f"secret{i} INTEGER" for i in range(100)) + ")"
    with pytest.raises(SourceDoesNotFit) as refused:
        contracts.match_columns(table(column()), {"x": actual}, ["x"])
    assert len(refused.value.violations[0].found[0]) <= contracts.MAX_TYPE_NAME


def test_names_are_quoted() -> None:
    declared = column("x")
    name = "X"
    assert run(declared, "BIGINT", [1], name=name)[0] == [1]
    nasty = 'x"; DROP TABLE stayput_raw; --'
    with pytest.raises(SourceDoesNotFit):
        contracts.match_columns(table(declared), {nasty: "BIGINT"}, ["x"])


@pytest.mark.parametrize(
    ("violation", "text"),
    [
        (Violation(Kind.NULLS, "x", 1), "column 'x' of f has 1 row without a value; "),
        (Violation(Kind.OUTSIDE_BOUNDS, "x", 12), "column 'x' of f has 12 rows outside -1.05 … 2"),
        (Violation(Kind.NOT_WHOLE, "x", 2), "has 2 rows whose value is not a whole number"),
        (Violation(Kind.NOT_A_VALUE, "x", 2), "is not a finite number"),
        (Violation(Kind.TOO_MANY_ROWS, rows=1001), "f has 1001 rows; the contract of table 't'"),
        (Violation(Kind.WRONG_TYPE, "x", found=("DATE",)), "is of type DATE; the contract says de"),
    ],
)
def test_sentences_name_column_count_and_bounds(violation: Violation, text: str) -> None:
    declared = column(type=ColumnType.DECIMAL, decimals=2, minimum=-105, maximum=200)
    assert text in contracts.sentence(violation, table(declared), "f")


def test_statistics_settle_what_they_can_and_nothing_else() -> None:
    contract = table(column("a"), column("b", nullable=True), column("c"))
    types = {"a": "INTEGER", "b": "BIGINT", "c": "DOUBLE"}
    used = ["a", "b", "c"]
    checks = contracts.checks(contract, types, used)
    _, narrow = contracts.extremes_sql(contract, types, used)
    assert narrow == ["a", "b"]  # a float may be NaN, which no extreme shows

    def left(*row: int | None) -> set[tuple[str, Kind]]:
        return {
            (check.column, check.kind)
            for check in contracts.unproven(contract, used, narrow, row, checks)
        }

    floats = {("c", Kind.NOT_A_VALUE), ("c", Kind.NOT_WHOLE), ("c", Kind.OUTSIDE_BOUNDS)}
    assert left(5, 5, 3, 5, -100, 100, 0, 1) == floats
    assert left(5, 4, 3, 5, -100, 100, 0, 1) == floats | {("a", Kind.NULLS)}
    assert left(5, 5, 3, 5, -101, 100, 0, 1) == floats | {("a", Kind.OUTSIDE_BOUNDS)}
    assert left(5, 5, 3, 4, -1, 1, 0, 101) == floats | {
        ("b", Kind.OUTSIDE_BOUNDS),
        ("c", Kind.NULLS),
    }
    assert left(0, 0, 0, 0, None, None, None, None) == floats


def test_a_statement_that_uses_no_column_still_has_rows() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE stayput_raw AS SELECT 1 AS z FROM range(7)")
        connection.execute(contracts.source_view_sql(table(column()), {"z": "INTEGER"}, []))
        assert connection.execute("SELECT COUNT(*) FROM stayput_source").fetchall() == [(7,)]
