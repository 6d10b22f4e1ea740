"""Exact formulas against independent oracles, and what is withheld."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.errors import InvalidInput
from stayput.finishing import finish, fixed_text, round_half_away, square_root
from stayput.scenario import Column, ColumnType, Grade, Outside, Statement, TableContract
from stayput.sql import Plan, plan
from stayput.table import WITHHELD, ResultTable

BIG = 10**12
CONTRACT = TableContract(
    "t",
    ("a", "b"),
    (
        Column(
            "g", ColumnType.LEVEL, Grade.PUBLIC, Outside.OTHER, levels=("x", "y"), nullable=True
        ),
        Column("k", ColumnType.INTEGER, Grade.PUBLIC, Outside.REFUSE, minimum=7, maximum=9),
        Column("n", ColumnType.BOOLEAN, Grade.PUBLIC, Outside.REFUSE),
        Column("x", ColumnType.INTEGER, Grade.PUBLIC, Outside.CLIP, minimum=-BIG, maximum=BIG),
        Column(
            "y",
            ColumnType.DECIMAL,
            Grade.PUBLIC,
            Outside.CLIP,
            decimals=2,
            minimum=-BIG,
            maximum=BIG,
            nullable=True,
        ),
    ),
    1_000,
)
Pair = tuple[int, int]
pairs = st.lists(
    st.tuples(st.integers(-BIG, BIG), st.one_of(st.integers(-BIG, BIG), st.integers(0, 2))),
    max_size=12,
)


def plan_of(select: str, rest: str = "") -> Plan:
    return plan(Statement("s", f"SELECT {select} FROM t {rest}"), [CONTRACT], 2)


def opened(planned: Plan, rows: Sequence[Pair]) -> tuple[list[int], list[int]]:
    """Counts and values of one cell in which y is never NULL, by evaluating the measures."""
    sums = {
        '"x"': sum(x for x, _ in rows),
        '"y"': sum(y for _, y in rows),
        '("x" * "x")': sum(x * x for x, _ in rows),
        '("y" * "y")': sum(y * y for _, y in rows),
        '("x" * "y")': sum(x * y for x, y in rows),
    }
    return [len(rows)] * len(planned.counts), [sums[_plain(v)] for v in planned.values]


def _plain(measure: object) -> str:
    from stayput.sql.render import render

    text = render(measure.expr)  # type: ignore[attr-defined]
    text = text.replace("CAST(", "").replace(" AS HUGEINT)", "")
    return text if text != '("y" * "x")' else '("x" * "y")'


def one(select: str, rows: Sequence[Pair]) -> object:
    planned = plan_of(select)
    counts, values = opened(planned, rows)
    table = finish(planned, [counts], [values], [[True] * planned.measures])
    return table.rows()[0][0]


# --- against the standard library's exact statistics ---


def exact(rows: Sequence[Pair]) -> tuple[list[Fraction], list[Fraction]]:
    return [Fraction(x) for x, _ in rows], [Fraction(y, 100) for _, y in rows]


def root(value: Fraction) -> float:
    with localcontext() as context:
        context.prec = 120
        return float((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


@settings(deadline=None, max_examples=40)
@given(pairs)
def test_moments_are_the_exact_ones_rounded_once(rows: list[Pair]) -> None:
    _, y = exact(rows)
    n = len(rows)
    assert one("SUM(y)", rows) == (Decimal(sum(v for _, v in rows)).scaleb(-2) if n else None)
    assert one("AVG(y)", rows) == (float(sum(y) / n) if n else None)
    for name, least, oracle in (
        ("VAR_POP", 1, statistics.pvariance),
        ("VAR_SAMP", 2, statistics.variance),
    ):
        found = one(f"{name}(y)", rows)
        if n < least:
            assert found is None
            continue
        variance = oracle(y)
        assert found == float(variance)
        assert one(f"{name.replace('VAR', 'STDDEV')}(y)", rows) == root(variance)


@settings(deadline=None, max_examples=40)
@given(pairs)
def test_pairs_are_the_exact_ones_rounded_once(rows: list[Pair]) -> None:
    x, y = exact(rows)
    n = len(rows)
    if n == 0:
        assert one("COVAR_POP(x, y)", rows) is None
        assert one("CORR(x, y)", rows) is None
        return
    mean_x, mean_y = sum(x) / n, sum(y) / n
    together = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    assert one("COVAR_POP(x, y)", rows) == float(together / n)
    assert one("COVAR_SAMP(x, y)", rows) == (float(together / (n - 1)) if n > 1 else None)
    spread = statistics.pvariance(x) * statistics.pvariance(y) * n * n
    found = one("CORR(x, y)", rows)
    if spread == 0:
        assert found is None  # undefined: one of them is constant
    else:
        assert found == math.copysign(root(together**2 / spread), together)
        assert isinstance(found, float)
        assert -1.0 <= found <= 1.0


def test_the_variance_that_doubles_get_wrong() -> None:
    # 1e12 + {0, 1, 2}: the textbook formula in doubles gives 0 or thousands.
    assert one("VAR_SAMP(x)", [(BIG - 2, 0), (BIG - 1, 0), (BIG, 0)]) == 1.0


# --- numbers ---


@settings(deadline=None, max_examples=40)
@given(st.fractions(min_value=0, max_value=10**30, max_denominator=10**30))
def test_square_root_rounds_as_the_true_root(value: Fraction) -> None:
    assert float(square_root(value)) == root(value)
    assert square_root(value * value) == value


def test_no_root_of_a_negative_number() -> None:
    with pytest.raises(ValueError, match="negative"):
        square_root(Fraction(-1, 3))


@settings(deadline=None, max_examples=40)
@given(st.decimals(-(10**9), 10**9, places=6, allow_nan=False), st.integers(-4, 6))
def test_rounding_takes_halves_away_from_zero(value: Decimal, digits: int) -> None:
    expected = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    assert round_half_away(Fraction(value), digits) == Fraction(expected)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (Fraction(-1, 2), 2, "-0.50"),
        (Fraction(5, 100), 2, "0.05"),
        (Fraction(-1, 100), 2, "-0.01"),
        (Fraction(0), 2, "0.00"),
        (Fraction(0), 0, "0"),
        (Fraction(12345), 0, "12345"),
        (Fraction(12345), 1, "12345.0"),
        (Fraction(10**40), 0, "1" + "0" * 40),
    ],
)
def test_fixed_point_text(value: Fraction, places: int, text: str) -> None:
    assert fixed_text(value, places) == text


def test_fixed_point_text_loses_no_digit() -> None:
    with pytest.raises(ValueError, match="more decimals"):
        fixed_text(Fraction(1, 3), 2)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("SUM(x) / COUNT(*)", 3.5),
        ("SUM(x) * 2 - 1.5", Decimal("12.5")),
        ("-SUM(y)", Decimal("-0.25")),
        ("SUM(y) * SUM(y)", Decimal("0.0625")),
        ("100.0 * SUM(y) / SUM(x)", 25 / 7),
        ("SUM(x) / (COUNT(*) - 2)", None),
        ("SUM(x) / NULLIF(SUM(x) - 7, 0)", None),
        ("NULLIF(SUM(x), 0)", 7),
        ("ROUND(SUM(y), 1)", Decimal("0.3")),
        ("ROUND(-SUM(y), 1)", Decimal("-0.3")),
        ("ROUND(SUM(y))", 0),
        ("ROUND(SUM(x), -1)", 10),
        ("ROUND(AVG(x), 0)", 4.0),
        ("ROUND(AVG(x))", 4.0),
        ("ROUND(SUM(x) / 3, 2)", 2.33),
        ("ROUND(STDDEV_POP(x), 3)", 0.5),
        ("STDDEV_SAMP(x) / AVG(x)", math.sqrt(0.5) / 3.5),
    ],
)
def test_arithmetic(select: str, expected: object) -> None:
    found = one(select, [(3, 12), (4, 13)])
    assert type(found) is type(expected)
    if isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-15)
    else:
        assert found == expected


# --- withholding ---


def table_of(planned: Plan, counts: list[list[int]], passes: list[list[bool]]) -> ResultTable:
    values: list[list[int | None]] = []
    for cell, passed in zip(counts, passes, strict=True):
        values.append(
            [cell[v.support] if passed[0] and passed[v.support] else None for v in planned.values]
        )
    whole = [[*p, *(p[v.support] for v in planned.values)] for p in passes]
    return finish(planned, counts, values, whole)


def test_rows_are_listed_in_declared_order_whatever_is_withheld() -> None:
    planned = plan_of("g, n, COUNT(*)", "GROUP BY g, n")
    table = table_of(planned, [[0]] * 12, [[False]] * 12)
    # n is never outside its values, so its __other__ cells are not listed; g can be.
    keys = [(g, n) for g in ("x", "y", None, "__other__") for n in (False, True)]
    assert table.rows() == [(*key, WITHHELD) for key in keys]


def test_rows_in_a_cell_that_should_be_empty_are_not_dropped() -> None:
    planned = plan_of("k, COUNT(*)", "GROUP BY k")
    table = table_of(planned, [[1], [2], [3], [4]], [[True]] * 4)
    assert table.rows() == [(7, 1), (8, 2), (9, 3), ("__other__", 4)]


def test_an_output_is_withheld_if_any_count_it_stands_on_fails() -> None:
    planned = plan_of(
        "COUNT(*), COUNT(y), SUM(x), AVG(y), SUM(x) FILTER (WHERE n), "
        "SUM(x) FILTER (WHERE n) / COUNT(*), AVG(y) / AVG(x)"
    )
    names = ["all", "y", "n"]
    assert len(planned.counts) == 3
    expected = {
        "": [True] * 7,
        "y": [True, False, True, False, True, True, False],
        "n": [True, True, True, True, False, False, True],
        "all": [False] * 7,
    }
    for failing, kept in expected.items():
        passed = [name != failing for name in names]
        (row,) = table_of(planned, [[30, 20, 10]], [passed]).rows()
        assert [value is not WITHHELD for value in row] == kept


def test_null_needs_a_passing_count_too() -> None:
    # That no row has p is as telling as how many have it.
    planned = plan_of("SUM(CASE WHEN n THEN 0 END)")
    assert table_of(planned, [[30, 0]], [[True, True]]).rows() == [(None,)]
    assert table_of(planned, [[30, 0]], [[True, False]]).rows() == [(WITHHELD,)]


def test_a_value_that_should_be_there_and_is_not_is_an_error() -> None:
    planned = plan_of("SUM(x)")
    with pytest.raises(InvalidInput, match="was not opened"):
        finish(planned, [[30]], [[None]], [[True, True]])


def test_other_shapes_are_refused() -> None:
    planned = plan_of("g, COUNT(*)", "GROUP BY g")
    with pytest.raises(InvalidInput):
        finish(planned, [[1]], [[]], [[True]])


def test_a_rehearsal_is_marked() -> None:
    planned = plan_of("COUNT(*)")
    assert finish(planned, [[1]], [[]], [[True]], synthetic=True).synthetic
    assert not finish(planned, [[1]], [[]], [[True]]).synthetic


def test_types_follow_the_arithmetic() -> None:
    planned = plan_of("g, k, n, COUNT(*), SUM(y), SUM(y) * 0.5, AVG(x)", "GROUP BY g, k, n")
    table = table_of(planned, [[0, 0]] * planned.cells, [[False, False]] * planned.cells)
    types = [(c.type.name, c.scale, c.key) for c in table.columns]
    assert types == [
        ("TEXT", 0, True),
        ("INTEGER", 0, True),
        ("BOOLEAN", 0, True),
        ("INTEGER", 0, False),
        ("DECIMAL", 2, False),
        ("DECIMAL", 3, False),
        ("FLOAT", 0, False),
    ]
    assert dataclasses.is_dataclass(table)
