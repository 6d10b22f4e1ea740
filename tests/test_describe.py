"""Drafted table contracts: they parse, they fit the file, and they give little away."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput.describe import MAX_LISTED_LEVELS, RARE, _round_down, _round_up, describe_source
from stayput.errors import ConfigurationError, InvalidInput
from stayput.scenario import Column, ColumnType, Grade, Outside
from stayput.scenario_file import parse_tables

DEMO = Path(__file__).parents[1] / "src" / "stayput" / "demo_data"


def draft(folder: Path, **columns: list[object] | pa.Array) -> str:
    path = folder / "data.parquet"
    pq.write_table(pa.table(columns), path)
    return describe_source(path)


def columns_of(text: str) -> dict[str, Column]:
    (table,) = parse_tables(text)
    return {column.name: column for column in table.columns}


def test_the_demo_data(tmp_path: Path) -> None:
    text = describe_source(DEMO / "jfk.parquet", table="flights")
    (table,) = parse_tables(text)
    assert table.name == "flights"
    assert table.max_rows >= 111_279
    columns = columns_of(text)
    assert columns["month"].type is ColumnType.INTEGER
    assert columns["dep_delay"].nullable
    assert not columns["carrier"].nullable
    assert "HA" in columns["carrier"].levels  # 342 flights
    # Bounds hold the data (JFK: -43 to 1301), and are not the data.
    delay = columns["dep_delay"]
    assert (delay.minimum, delay.maximum) == (-50, 2000)
    assert "# dest: left out" in text


def test_grades_begin_at_sensitive(tmp_path: Path) -> None:
    columns = columns_of(draft(tmp_path, a=[1, 2], b=[True, None], c=[0.5, 1.0]))
    assert {column.grade for column in columns.values()} == {Grade.SENSITIVE}
    assert set(columns) == {"a", "b", "c"}


def test_floats_get_the_decimals_that_they_use(tmp_path: Path) -> None:
    columns = columns_of(draft(tmp_path, a=[0.25, -3.5, None], whole=[1.0, 2.0, 3.0]))
    assert columns["a"].type is ColumnType.DECIMAL
    assert columns["a"].decimals == 2
    assert (columns["a"].minimum, columns["a"].maximum) == (-500, 50)
    assert columns["a"].nullable
    assert (columns["whole"].type, columns["whole"].decimals) == (ColumnType.DECIMAL, 0)


def test_noisy_floats_are_rounded_and_it_says_so(tmp_path: Path) -> None:
    text = draft(tmp_path, a=[1 / 3, 2 / 3])
    assert columns_of(text)["a"].decimals == 2
    assert "rounded to this many" in text


def test_infinities_and_nan_do_not_become_bounds(tmp_path: Path) -> None:
    column = columns_of(draft(tmp_path, a=[1.5, float("inf"), float("nan"), 0.5]))["a"]
    assert (column.minimum, column.maximum) == (5, 20)
    assert column.nullable  # neither can be a value


def test_decimal_columns_keep_their_scale(tmp_path: Path) -> None:
    values = pa.array([Decimal("12.50"), Decimal("0.01")], pa.decimal128(9, 2))
    column = columns_of(draft(tmp_path, a=values))["a"]
    assert (column.type, column.decimals) == (ColumnType.DECIMAL, 2)
    assert (column.minimum, column.maximum) == (1, 2000)


def test_rare_levels_are_not_named(tmp_path: Path) -> None:
    text = draft(tmp_path, a=["common"] * RARE + ["seldom"] * (RARE - 1))
    assert columns_of(text)["a"].levels == ("common",)
    assert columns_of(text)["a"].outside is Outside.OTHER
    assert "seldom" not in text


def test_yaml_traps_in_levels_come_out_quoted(tmp_path: Path) -> None:
    odd = ["NO", "1:30", "010", 'say "hi"', "a: b", "- x", "#1", "ß"]
    column = columns_of(draft(tmp_path, a=odd * RARE))["a"]
    assert set(column.levels) == set(odd)


def test_levels_that_do_not_show_are_not_listed(tmp_path: Path) -> None:
    odd = ["ok", " padded ", "", "red\x1b[31m", "two\nlines", "rtl\u202e", "__other__"]
    assert columns_of(draft(tmp_path, a=odd * RARE))["a"].levels == ("ok",)


def test_many_levels_are_left_out_with_a_reason(tmp_path: Path) -> None:
    names = [f"level-{i}" for i in range(MAX_LISTED_LEVELS + 1)] * RARE
    text = draft(tmp_path, a=names, n=[1, 2, 3] * 70)
    assert "# a: left out, text with more than 20 values" in text
    assert "level-1" not in text
    assert set(columns_of(text)) == {"n"}


def test_identifiers_dates_and_other_types_are_left_out(tmp_path: Path) -> None:
    import datetime

    rows = 100
    text = draft(
        tmp_path,
        customer=list(range(1000, 1000 + rows)),
        email=[f"p{i}@example.org" for i in range(rows)],
        born=[datetime.date(1980, 1, 1)] * rows,
        seen=[datetime.datetime(2020, 1, 1)] * rows,
        blob=[b"x"] * rows,
        empty=pa.nulls(rows, pa.int64()),
        **{"Not a name": [1] * rows},
        ok=[i % 7 for i in range(rows)],
    )
    assert set(columns_of(text)) == {"ok"}
    for name in ("customer", "email", "born", "seen", "blob", "empty", "Not a name"):
        assert f"# {name}: left out, " in text
    assert "@example" not in text


def test_numbers_beyond_the_protocol_are_left_out(tmp_path: Path) -> None:
    text = draft(tmp_path, big=[2**62, 5], ok=[1, 2])
    assert set(columns_of(text)) == {"ok"}


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "My Loans.2024.csv"
    path.write_text("Sector,amount,paid\n" + "retail,1.50,true\nfarm,2.25,false\n" * 20)
    (table,) = parse_tables(describe_source(path))
    assert table.name == "my_loans"
    assert [column.name for column in table.columns] == ["sector", "amount", "paid"]
    assert [column.type.name for column in table.columns] == ["LEVEL", "DECIMAL", "BOOLEAN"]


def test_numbers_mixed_with_words_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "delays.csv"
    lines = [f"{i},{i % 5}" if i % 7 else f"NA,{i % 5}" for i in range(500)]
    path.write_text("delay,k\n" + "\n".join(lines) + "\n")
    text = describe_source(path)
    assert "# delay: left out, numbers mixed with words" in text


def test_unusable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file"):
        describe_source(tmp_path / "absent.csv")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match="neither CSV nor Parquet"):
        describe_source(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"secret-cell-value" * 10)
    with pytest.raises(ConfigurationError) as caught:
        describe_source(tmp_path / "a.parquet")
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInput, match="no rows"):
        draft(tmp_path, a=pa.array([], pa.int64()))
    with pytest.raises(InvalidInput, match="no column"):
        draft(tmp_path, a=[b"x"])
    with pytest.raises(InvalidInput, match="no name of a table"):
        describe_source(DEMO / "jfk.parquet", table="1; DROP")


def test_quotes_in_paths_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "o'hare"
    folder.mkdir()
    text = draft(folder, **{'x" FROM y; --': [1, 2], "a": [1, 2]})
    assert set(columns_of(text)) == {"a"}


@given(st.fractions(min_value=-(10**12), max_value=10**12, max_denominator=10**6))
def test_rounding_outwards(value: Fraction) -> None:
    low, high = _round_down(value), _round_up(value)
    assert low <= value <= high
    for bound in (low, high):
        digits = f"{Decimal(bound.numerator) / Decimal(bound.denominator):f}"
        significant = digits.strip("-").replace(".", "").strip("0")
        assert significant in ("", "1", "2", "5")
    # Never more than two and a half times too wide.
    assert high <= Fraction(5, 2) * value or value <= 0
    assert low >= Fraction(5, 2) * value or value >= 0
