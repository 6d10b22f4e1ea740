"""Synthetic rows fit the contract that they are made from."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.scenario import (
    MAX_NUMBER,
    Column,
    ColumnType,
    Grade,
    IdentifierKind,
    IdentifierRule,
    Outside,
    TableContract,
)
from stayput.synthetic import is_synthetic, synthetic_rows
from stayput.vertical.identifiers import normalise


def column(name: str, kind: ColumnType, **more: object) -> Column:
    return Column(name, kind, Grade.INTERNAL, Outside.REFUSE, **more)  # type: ignore[arg-type]


def contract(*columns: Column, max_rows: int = 10**9) -> TableContract:
    return TableContract("t", ("a", "b"), columns, max_rows)


EVERY_TYPE = contract(
    column("lvl", ColumnType.LEVEL, levels=("x", "y", "NO"), nullable=True),
    column("num", ColumnType.INTEGER, minimum=-7, maximum=3),
    column("amt", ColumnType.DECIMAL, decimals=2, minimum=-105, maximum=995, nullable=True),
    column("yes", ColumnType.BOOLEAN),
)


def test_types_and_names_are_those_of_the_contract() -> None:
    rows = synthetic_rows(EVERY_TYPE, 1000, np.random.default_rng(1))
    assert rows.schema.names == ["lvl", "num", "amt", "yes"]
    assert rows.schema.types == [pa.string(), pa.int64(), pa.decimal128(38, 2), pa.bool_()]
    assert rows.num_rows == 1000


def test_values_stay_inside_and_reach_the_bounds() -> None:
    rows = synthetic_rows(EVERY_TYPE, 5000, np.random.default_rng(2))
    assert set(rows["lvl"].to_pylist()) == {"x", "y", "NO", None}
    assert set(rows["num"].to_pylist()) == set(range(-7, 4))
    amounts = [value for value in rows["amt"].to_pylist() if value is not None]
    assert min(amounts) >= Decimal("-1.05")
    assert max(amounts) <= Decimal("9.95")
    assert min(amounts) < 0 < max(amounts)
    assert set(rows["yes"].to_pylist()) == {True, False}


def test_only_nullable_columns_have_nulls() -> None:
    rows = synthetic_rows(EVERY_TYPE, 2000, np.random.default_rng(3))
    assert [rows[name].null_count > 0 for name in rows.schema.names] == [True, False, True, False]
    assert rows["lvl"].null_count < 400


def test_levels_are_unevenly_frequent() -> None:
    levels = tuple(f"l{i}" for i in range(50))
    table = contract(column("lvl", ColumnType.LEVEL, levels=levels))
    counts = pc.value_counts(synthetic_rows(table, 5000, np.random.default_rng(4))["lvl"])
    sizes = sorted(entry["counts"] for entry in counts.to_pylist())
    assert sizes[-1] > 10 * sizes[0]


@settings(max_examples=50)
@given(st.data(), st.integers(0, 9))
def test_any_bounds(data: st.DataObject, decimals: int) -> None:
    low = data.draw(st.integers(-MAX_NUMBER, MAX_NUMBER))
    high = data.draw(st.integers(low, MAX_NUMBER))
    table = contract(column("v", ColumnType.DECIMAL, decimals=decimals, minimum=low, maximum=high))
    rows = synthetic_rows(table, 20, np.random.default_rng(5))
    for value in rows["v"].to_pylist():
        scaled = int(value.scaleb(decimals))
        assert low <= scaled <= high
        assert Decimal(scaled).scaleb(-decimals) == value


def test_the_generator_decides() -> None:
    first, again, other = (
        synthetic_rows(EVERY_TYPE, 50, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first.equals(other)


def test_tables_are_marked_and_others_are_not() -> None:
    rows = synthetic_rows(EVERY_TYPE, 3, np.random.default_rng(1))
    assert is_synthetic(rows)
    assert is_synthetic(rows.slice(1))
    assert not is_synthetic(pa.table({"a": [1]}))
    assert not is_synthetic(rows.replace_schema_metadata({b"stayput.synthetic": b"no"}))


def test_no_rows() -> None:
    assert synthetic_rows(EVERY_TYPE, 0, np.random.default_rng(1)).num_rows == 0


@pytest.mark.parametrize("rows", [-1, 11])
def test_row_numbers_outside_the_contract_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="0 to 10 rows"):
        synthetic_rows(
            contract(column("b", ColumnType.BOOLEAN), max_rows=10), rows, np.random.default_rng(1)
        )


def test_tables_of_one_identifier_have_people_in_common() -> None:
    rule = IdentifierRule(IdentifierKind.CN_RESIDENT)
    who = Column(
        "resident", ColumnType.IDENTIFIER, Grade.SENSITIVE, Outside.REFUSE, identifier=rule
    )
    tables = [
        synthetic_rows(TableContract(name, (name,), (who,), 1000), 400, np.random.default_rng(seed))
        for seed, name in enumerate(("a", "b", "c"))
    ]
    people = [{normalise(text, rule) for text in t["resident"].to_pylist()} for t in tables]
    assert [len(known) for known in people] == [400, 400, 400]
    assert 200 < len(people[0] & people[1] & people[2]) < 300
