"""Grid, supports, complements, widths, binding, and the SQL that nodes run."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.errors import InvalidInput, SqlError
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    Outside,
    Parameter,
    Statement,
    TableContract,
)
from stayput.sql import CountMeasure, Plan, bind, plan
from stayput.sql.render import render
from stayput.sql.tree import Column as TypedColumn
from stayput.sql.tree import IntegerDivision, Kind, Remainder, divide_toward_zero

INTEGER, LEVEL = ColumnType.INTEGER, ColumnType.LEVEL


def _number(name: str, low: int, high: int, *, nullable: bool = False, decimals: int = 0) -> Column:
    return Column(
        name,
        ColumnType.DECIMAL if decimals else INTEGER,
        Grade.SENSITIVE,
        Outside.CLIP,
        decimals=decimals,
        minimum=low,
        maximum=high,
        nullable=nullable,
    )


PAY = TableContract(
    "pay",
    ("a", "b"),
    (
        Column("job", LEVEL, Grade.PUBLIC, Outside.OTHER, levels=("b", "a", "o'k"), nullable=True),
        Column("ward", LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("x", "y")),
        Column("night", ColumnType.BOOLEAN, Grade.PUBLIC, Outside.REFUSE, nullable=True),
        _number("id", 0, 1_000),
        _number("age", -7, 12),
        _number("flag", 0, 1, nullable=True),
        _number("salary", -100, 900_000, decimals=2),
        _number("bonus", 0, 50_000, nullable=True, decimals=2),
    ),
    1_000_000,
)


def plan_of(select: str, rest: str = "", *parameters: Parameter, holders: int = 3) -> Plan:
    statement = Statement("s", f"SELECT {select} FROM pay {rest}", parameters)
    return plan(statement, [PAY], holders)


def conditions(planned: Plan) -> list[str | None]:
    return [None if c.condition is None else render(c.condition) for c in planned.counts]


# --- grid ---


@pytest.mark.parametrize(
    ("key", "values", "nullable", "other"),
    [
        ("job", ("b", "a", "o'k"), True, True),
        ("ward", ("x", "y"), False, False),
        ("night", (False, True), True, False),
        ("age", tuple(range(-7, 13)), False, False),
        ("age // 3", (-2, -1, 0, 1, 2, 3, 4), False, False),
        ("age % 4", (-3, -2, -1, 0, 1, 2, 3), False, False),
        ("id % 3", (0, 1, 2), False, False),
        ("age + 2 * flag", tuple(range(-7, 15)), True, False),
        ("-age", tuple(range(-12, 8)), False, False),
        ("age > 3", (False, True), False, False),
        ("flag = 1", (False, True), True, False),
        ("CASE WHEN age > 3 THEN 'old' ELSE 'new' END", ("old", "new"), False, False),
        ("CASE WHEN age > 3 THEN 30 WHEN night THEN 7 END", (7, 30), True, False),
        ("CASE WHEN night THEN ward ELSE 'none' END", ("x", "y", "none"), False, False),
        ("CASE WHEN night THEN job ELSE 'none' END", ("b", "a", "o'k", "none"), True, True),
    ],
)
def test_a_key_has_the_declared_values_then_null_then_other(
    key: str, values: tuple[object, ...], nullable: bool, other: bool
) -> None:
    planned = plan_of(f"{key} AS k, COUNT(*)", "GROUP BY k")
    (dimension,) = planned.dimensions
    assert dimension.values == values
    assert [type(v) for v in dimension.values] == [type(v) for v in values]
    assert (dimension.nullable, dimension.open) == (nullable, other)
    assert planned.cells == len(values) + nullable + 1
    assert dimension.label == "k"


def test_cells_are_the_product_of_the_slots() -> None:
    assert plan_of("ward, job, COUNT(*)", "GROUP BY ward, job").cells == (2 + 1) * (3 + 1 + 1)
    assert plan_of("COUNT(*)").cells == 1


@settings(deadline=None, max_examples=60)
@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4))
def test_integer_division_is_the_engines(value: int, divisor: int) -> None:
    found = duckdb.execute(f"SELECT ({value}) // {divisor}, ({value}) % {divisor}").fetchone()
    assert found is not None
    assert divide_toward_zero(value, divisor) == found[0]
    assert value - divisor * divide_toward_zero(value, divisor) == found[1]


@settings(deadline=None, max_examples=60)
@given(st.integers(-40, 40), st.integers(0, 40), st.integers(1, 50))
def test_bounds_of_division_hold_every_value_and_both_ends(
    low: int, width: int, divisor: int
) -> None:
    column = TypedColumn("x", Kind.NUMBER, minimum=low, maximum=low + width)
    quotients = [divide_toward_zero(v, divisor) for v in range(low, low + width + 1)]
    remainders = [
        v - divisor * q for v, q in zip(range(low, low + width + 1), quotients, strict=True)
    ]
    division, remainder = IntegerDivision(column, divisor), Remainder(column, divisor)
    assert (division.low, division.high) == (min(quotients), max(quotients))
    assert remainder.low <= min(remainders)
    assert max(remainders) <= remainder.high


# --- supports: the rows that enter, and no others ---


@pytest.mark.parametrize(
    "spelling",
    [
        "SUM(salary) FILTER (WHERE id = 5)",
        "SUM(CASE WHEN id = 5 THEN salary END)",
        "SUM(CASE WHEN id = 5 THEN salary ELSE 0 END)",
        "SUM(CASE WHEN id <> 5 THEN 0 ELSE salary END)",
        "AVG(CASE WHEN id = 5 THEN salary ELSE 0 END)",
        "100 * SUM(CASE WHEN id = 5 THEN salary ELSE 0 END) / COUNT(*)",
        "SUM(CASE WHEN id = 5 THEN salary ELSE NULL END) FILTER (WHERE TRUE)",
    ],
)
def test_a_narrowed_sum_stands_on_the_rows_that_enter(spelling: str) -> None:
    planned = plan_of(spelling)
    (value,) = planned.values
    support = planned.counts[value.support]
    assert value.support != 0
    assert support.complements
    assert '"id"' in str(conditions(planned)[value.support])
    assert render(value.expr) == '"salary"'


@pytest.mark.parametrize(
    "spelling",
    [
        "COUNT(*) FILTER (WHERE id = 5)",
        "COUNT(CASE WHEN id = 5 THEN 1 END)",
        "SUM(CASE WHEN id = 5 THEN 1 ELSE 0 END)",
        "SUM(CASE WHEN id = 5 THEN 1 END)",
        "SUM(1) FILTER (WHERE id = 5)",
    ],
)
def test_a_count_in_disguise_is_a_count(spelling: str) -> None:
    planned = plan_of(spelling)
    assert planned.values == ()
    assert planned.rounds == 1
    assert '("id" = CAST(5 AS BIGINT))' in conditions(planned)
    narrowed = conditions(planned).index('("id" = CAST(5 AS BIGINT))')
    assert planned.counts[narrowed].complements == (0,)


def test_the_sum_of_a_two_valued_column_is_a_count() -> None:
    planned = plan_of("SUM(flag), AVG(2 * flag + 1)")
    assert planned.values == ()
    by_text = dict(zip(conditions(planned), planned.counts, strict=True))
    ones = by_text['("flag" = CAST(1 AS BIGINT))']
    present = conditions(planned).index('(NOT ("flag" IS NULL))')
    assert present in ones.complements


@pytest.mark.parametrize(
    "argument",
    ["(id = 5) OR (flag IS NULL AND flag = 1)", "night AND id = 5", "NOT (night OR id = 5)"],
)
def test_null_ness_of_a_condition_is_a_filter(argument: str) -> None:
    planned = plan_of(f"COUNT({argument})")
    assert any(count.complements == (0,) for count in planned.counts)


def test_rows_that_are_null_are_no_filter() -> None:
    planned = plan_of("COUNT(*), COUNT(bonus), AVG(bonus), CORR(bonus, salary)")
    assert conditions(planned) == [None, '(NOT ("bonus" IS NULL))']
    assert planned.counts[1] == CountMeasure(planned.counts[1].condition, ())


def test_the_rest_of_a_filter_is_taken_from_the_rows_of_the_same_argument() -> None:
    planned = plan_of("SUM(bonus), SUM(bonus) FILTER (WHERE night)")
    whole, part = (value.support for value in planned.values)
    assert whole in planned.counts[part].complements
    assert 0 in planned.counts[part].complements


def test_a_filter_inside_a_filter_names_both_wholes() -> None:
    planned = plan_of("COUNT(*) FILTER (WHERE night), COUNT(*) FILTER (WHERE id = 5 AND night)")
    assert planned.counts[1].complements == (0,)
    assert set(planned.counts[2].complements) == {0, 1}
    assert planned.counts[0].complements == ()


def test_the_same_column_added_over_different_rows_names_the_difference() -> None:
    # SUM(salary) - (SUM(salary + bonus) - SUM(bonus)) is the pay of those without a bonus.
    planned = plan_of("SUM(salary), SUM(salary + bonus), SUM(bonus)")
    assert planned.counts[1].complements == (0,)


def test_equal_measures_are_asked_for_once() -> None:
    planned = plan_of(
        "AVG(bonus), STDDEV_POP(bonus), VAR_SAMP(bonus), SUM(bonus) / COUNT(bonus), "
        "COVAR_POP(salary, bonus), COVAR_SAMP(bonus, salary), CORR(salary, bonus)"
    )
    assert len(planned.counts) == 2
    assert len(planned.values) == 5  # x, xx, y, yy, xy
    assert len(set(planned.values)) == 5


def test_roles_of_columns() -> None:
    planned = plan_of(
        "ward, SUM(salary) FILTER (WHERE night), SUM(CASE WHEN flag = 1 THEN bonus END)",
        "WHERE id > 3 GROUP BY ward",
    )
    assert planned.key_columns == ("ward",)
    assert planned.filter_columns == ("flag", "id", "night")
    assert {"salary", "bonus"} <= set(planned.measure_columns)
    assert planned.columns == ("bonus", "flag", "id", "night", "salary", "ward")


# --- widths ---


@pytest.mark.parametrize("holders", [2, 3, 1000, 65_536])
@pytest.mark.parametrize(
    "select", ["COUNT(*)", "SUM(id)", "SUM(salary * bonus)", "VAR_POP(salary)"]
)
def test_the_smallest_slot_that_holds_every_sum(select: str, holders: int) -> None:
    planned = plan_of(select, holders=holders)
    largest = max((max(abs(v.minimum), abs(v.maximum)) for v in planned.values), default=1)
    for width, size in ((planned.count_width, 1), (planned.value_width, largest)):
        bound = size * PAY.max_rows * holders
        assert bound < 2 ** (width - 1)
        smaller = [w for w in (32, 64, 96, 128, 160) if w < width]
        assert not smaller or bound >= 2 ** (smaller[-1] - 1)


# --- binding ---

P = Parameter("p", INTEGER, 0, -3, 7)
D = Parameter("d", ColumnType.DECIMAL, 2, 0, 5_000)
L = Parameter("l", LEVEL, levels=("a", "o'k"))
B = Parameter("b", ColumnType.BOOLEAN)
ALL = "WHERE age > :p AND salary < :d AND job = :l AND night = :b"


def test_values_become_constants() -> None:
    sql = bind(
        plan_of("COUNT(*)", ALL, P, D, L, B), {"p": -3, "d": 5, "l": "o'k", "b": False}
    ).node_sql()
    assert ":" not in sql
    for constant in ("CAST(-3 AS BIGINT)", "CAST(5 AS BIGINT)", "'o''k'", "FALSE"):
        assert constant in sql


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("p", bad) for bad in (-4, 8, 1.0, "1", True, None, 10**30)],
        *[("d", bad) for bad in (-1, 5_001, "5", 0.5, False)],
        *[("l", bad) for bad in ("b", "", "A", "__other__", "a'; DROP TABLE x", 1, None)],
        *[("b", bad) for bad in (0, 1, "true", None)],
        ("extra", 1),
    ],
)
def test_a_value_outside_its_declaration_is_refused(name: str, value: object) -> None:
    good = {"p": 0, "d": 0, "l": "a", "b": True}
    planned = plan_of("COUNT(*)", ALL, P, D, L, B)
    with pytest.raises(InvalidInput) as caught:
        bind(planned, {**good, name: value})  # type: ignore[dict-item]
    assert caught.value.hint


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'d' is missing"):
        bind(plan_of("COUNT(*)", ALL, P, D, L, B), {"p": 0, "l": "a", "b": True})


def test_the_report_shows_parameters_by_name() -> None:
    assert ":p" in plan_of("COUNT(*)", "WHERE age > :p", P).node_sql()


# --- regenerated SQL ---


def test_the_text_of_the_statement_does_not_reach_the_node() -> None:
    sql = bind(
        plan_of('Job AS "drop_table", CoUnT( * ) as N', "WHERE ((NIGHT)) group   by JOB"), {}
    ).node_sql()
    assert sql == (
        'SELECT "job" AS key_0,\n       COUNT(*) AS count_0\nFROM "stayput_source"\n'
        'WHERE "night"\nGROUP BY 1'
    )


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=30).filter(lambda t: t.isprintable() and t != "__other__"))
def test_any_label_stays_a_constant(label: str) -> None:
    quoted = label.replace("'", "''")
    select = f"CASE WHEN night THEN '{quoted}' ELSE 'rest of it' END AS k, COUNT(*)"
    try:
        planned = plan_of(select, "GROUP BY k")
    except SqlError as error:  # only a quote or sign inside the quotes that the reader cannot see
        pytest.fail(f"{label!r}: {error}")
    duckdb.execute("CREATE OR REPLACE TEMP TABLE stayput_source AS SELECT TRUE AS night")
    assert duckdb.execute(bind(planned, {}).node_sql()).fetchall() == [(label, 1)]
