"""The result table: one byte string per content, three kinds of cells, Arrow and pandas."""

from __future__ import annotations

import json
import sys
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput import documents
from stayput.errors import ConfigurationError, DocumentError
from stayput.table import (
    WITHHELD,
    CellState,
    CellType,
    ResultColumn,
    ResultTable,
    column,
    float_text,
    parse_table,
)

NULL, HELD, OTHER = CellState.NULL, CellState.WITHHELD, CellState.OTHER

TABLE = ResultTable(
    (
        column("g", CellType.TEXT, ["x", "", NULL, OTHER], key=True),
        column("k", CellType.INTEGER, ["1", "2", "-3", OTHER], key=True),
        column("b", CellType.BOOLEAN, ["true", "false", NULL, OTHER], key=True),
        column("n", CellType.INTEGER, ["0", "12", HELD, HELD]),
        column("d", CellType.DECIMAL, ["-0.50", NULL, HELD, HELD], scale=2),
        column("f", CellType.FLOAT, ["0.1", "1e+300", NULL, HELD]),
    )
)


def test_three_kinds_of_cells_never_look_alike() -> None:
    assert TABLE.rows() == [
        ("x", 1, True, 0, Decimal("-0.50"), 0.1),
        ("", 2, False, 12, None, 1e300),
        (None, -3, None, WITHHELD, WITHHELD, None),
        ("__other__", "__other__", "__other__", WITHHELD, WITHHELD, WITHHELD),
    ]
    assert repr(WITHHELD) == "WITHHELD"
    assert WITHHELD is not None
    assert not WITHHELD


def test_summary() -> None:
    summary = TABLE.summary
    assert (summary.rows, summary.cells) == (4, 12)
    assert (summary.withheld_cells, summary.withheld_rows) == (5, 1)
    assert str(summary) == "5 of 12 cells in 4 rows are withheld"
    assert len(TABLE) == 4


def test_one_byte_string() -> None:
    data = documents.encode(TABLE)
    assert parse_table(data) == TABLE
    assert documents.encode(parse_table(data)) == data
    assert b"withheld" not in data  # a withheld cell costs one letter


def test_any_other_byte_is_refused_or_another_table() -> None:
    data = documents.encode(TABLE)
    for index in range(len(data)):
        changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        try:
            assert parse_table(changed) != TABLE
        except DocumentError:
            continue


@pytest.mark.parametrize(
    ("type", "scale", "text"),
    [
        *[(CellType.INTEGER, 0, t) for t in ("", "01", "-0", "+1", "1.0", " 1", "1_0", "1e3", "١")],
        *[
            (CellType.DECIMAL, 2, t)
            for t in ("1", "1.0", "1.000", "-0.00", ".50", "01.00", "1.5e1")
        ],
        *[
            (CellType.FLOAT, 0, t)
            for t in ("1", "inf", "nan", "-0.0", "0.10", "1e5", "1_0.0", "1E+300", "")
        ],
        *[(CellType.BOOLEAN, 0, t) for t in ("True", "1", "")],
    ],
)
def test_one_text_for_one_value(type: CellType, scale: int, text: str) -> None:
    with pytest.raises(ValueError, match="another type"):
        column("c", type, [text], scale=scale)


@pytest.mark.parametrize(
    "change",
    [
        {"states": "vvv"},  # more values than texts
        {"states": "w"},
        {"states": "x"},
        {"states": "o"},  # a measure is never __other__
        {"key": True, "states": "w"},  # a key is never withheld
        {"type": "CELL_TYPE_DECIMAL"},
        {"scale": 2},
        {"scale": -1},
        {"name": ""},
        {"type": "CELL_TYPE_MAGIC"},
        {"texts": [1]},
        {"extra": 1},
    ],
)
def test_malformed_tables_are_refused(change: dict[str, object]) -> None:
    good: dict[str, object] = {
        "name": "c",
        "type": "CELL_TYPE_INTEGER",
        "states": "v",
        "texts": ["1"],
    }
    parse_table(documents.canonical_json({"columns": [good]}))
    with pytest.raises(DocumentError):
        parse_table(documents.canonical_json({"columns": [{**good, **change}]}))


@pytest.mark.parametrize(
    "columns",
    [
        (),
        (column("a", CellType.INTEGER, ["1"]), column("b", CellType.INTEGER, [])),
        (column("a", CellType.INTEGER, []), column("A", CellType.INTEGER, [])),
    ],
)
def test_tables_that_are_no_tables(columns: tuple[ResultColumn, ...]) -> None:
    with pytest.raises(ValueError, match=r"columns|name"):
        ResultTable(columns)


@settings(deadline=None, max_examples=40)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_real_number_reads_back(value: float) -> None:
    (cell,) = column("f", CellType.FLOAT, [float_text(value)]).values
    assert cell == value
    assert float_text(-0.0) == "0.0"


def test_arrow_marks_withheld_cells_beside_their_column() -> None:
    table = TABLE.to_arrow()
    assert table.column_names == [
        *("g", "k", "b"),
        *("n", "n__withheld", "d", "d__withheld", "f", "f__withheld"),
    ]
    assert table.schema.field("n").type == pa.int64()
    assert table.schema.field("f").type == pa.float64()
    assert table.column("n").to_pylist() == [0, 12, None, None]
    assert table.column("d").to_pylist() == [Decimal("-0.50"), None, None, None]
    assert table.column("d__withheld").to_pylist() == [False, False, True, True]
    assert table.column("g").to_pylist() == ["x", "", None, "__other__"]
    assert table.column("k").to_pylist() == [1, 2, -3, None]
    assert table.schema.metadata == {b"stayput.synthetic": b"false", b"stayput.noisy": b"false"}


def test_arrow_has_one_type_per_column_even_when_all_is_withheld() -> None:
    table = ResultTable((column("f", CellType.FLOAT, [HELD, HELD]),), synthetic=True).to_arrow()
    assert table.schema.field("f").type == pa.float64()
    assert table.schema.metadata == {b"stayput.synthetic": b"true", b"stayput.noisy": b"false"}


def test_arrow_holds_sums_beyond_64_bits() -> None:
    big = 10**38
    table = ResultTable((column("s", CellType.INTEGER, [str(big), NULL]),)).to_arrow()
    assert [int(v) if v is not None else None for v in table.column("s").to_pylist()] == [big, None]


def test_pandas() -> None:
    frame = TABLE.to_pandas()
    assert list(frame["n__withheld"]) == [False, False, True, True]
    assert frame["f"][0] == 0.1


def test_without_pandas_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError) as caught:
        TABLE.to_pandas()
    assert "stayput[pandas]" in caught.value.hint


def test_jq_can_read_it() -> None:
    found = json.loads(documents.encode(TABLE))
    assert [c["name"] for c in found["columns"]] == ["g", "k", "b", "n", "d", "f"]
    assert found["columns"][3]["states"] == "vvww"
