"""The audit of all statements together, against brute force over every possible row."""

from __future__ import annotations

import itertools
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.differencing import StaticAudit, audit
from stayput.differencing.evaluation import evaluate
from stayput.differencing.regions import Axes, Universe
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    Outside,
    Parameter,
    Statement,
    TableContract,
)
from stayput.sql import Plan, bind, plan

LEVELS = ("AA", "B6", "HA")


def column(name: str, **rest: object) -> Column:
    return Column(name, grade=Grade.PUBLIC, outside=Outside.REFUSE, **rest)  # type: ignore[arg-type]


FLIGHTS = TableContract(
    "flights",
    ("ewr", "jfk", "lga"),
    (
        column("carrier", type=ColumnType.LEVEL, levels=LEVELS),
        column("month", type=ColumnType.INTEGER, minimum=1, maximum=6),
        column("delay", type=ColumnType.INTEGER, minimum=-3, maximum=3, nullable=True),
        column("fare", type=ColumnType.DECIMAL, decimals=2, minimum=0, maximum=10**9),
        column("late", type=ColumnType.BOOLEAN),
    ),
    1000,
)


def number(name: str, low: int, high: int) -> Parameter:
    return Parameter(name, ColumnType.INTEGER, minimum=low, maximum=high)


def planned(name: str, sql: str, *parameters: Parameter) -> Plan:
    return plan(Statement(name, sql, parameters), (FLIGHTS,), 3)


def count(name: str, where: str = "", keys: str = "", *parameters: Parameter) -> Plan:
    head = f"SELECT {keys + ', ' if keys else ''}COUNT(*) AS n FROM flights"
    tail = f"{' WHERE ' + where if where else ''}{' GROUP BY ' + keys if keys else ''}"
    return planned(name, head + tail, *parameters)


def texts(found: StaticAudit) -> list[str]:
    return [str(finding) for finding in found.findings]


# --- what is found --------------------------------------------------------------------------------


def test_all_but_one_group_isolates_that_group() -> None:
    found = audit([count("everyone"), count("most", "NOT (carrier = 'HA' AND month = 2)")])
    assert texts(found) == ["everyone - most isolates rows with carrier HA, month 2"]
    assert found.findings[0].pair


def test_four_answers_that_pass_every_pair_give_one_group_away() -> None:
    """A+B+x, B+C, A+C, A: no difference of two is x, yet Q1 - Q2 + Q3 - 2·Q4 is."""
    found = audit(
        [
            count("q1", "month IN (1, 2, 6)"),
            count("q2", "month IN (2, 3)"),
            count("q3", "month IN (1, 3)"),
            count("q4", "month = 1"),
        ]
    )
    (combined,) = [f for f in found.findings if f.isolated == "month 6"]
    assert {(factor, name) for factor, name in combined.terms} == {
        (Fraction(1), "q1"),
        (Fraction(-1), "q2"),
        (Fraction(1), "q3"),
        (Fraction(-2), "q4"),
    }
    assert not combined.pair
    assert "2 x q4" in str(combined)


def test_neighbouring_parameters_isolate_what_lies_between() -> None:
    found = audit([count("late", "delay > :d", "carrier", number("d", -2, 2))])
    assert "late(d=0) - late(d=1) isolates rows with delay 1, for each carrier" in texts(found)
    assert found.questions == 5


def test_answers_by_finer_keys_are_added_up_first() -> None:
    found = audit([count("months", keys="month"), count("late", "late", "carrier, month")])
    assert texts(found) == ["months - late isolates rows with late false, for each month"]


def test_a_key_that_is_also_chosen_from() -> None:
    """By month, and all months but one: the difference is a cell that is an answer already."""
    assert not audit([count("by_month", keys="month"), count("rest", "month <> 2")]).findings


def test_every_part_asked_for_itself_is_nothing_new() -> None:
    found = audit(
        [count("any", "month BETWEEN :a AND :b", "", number("a", 1, 6), number("b", 1, 6))]
    )
    assert not found.findings
    assert not found.undecided


def test_what_a_filter_leaves_out_is_checked_with_the_filter() -> None:
    sql = "SELECT carrier, COUNT(*) AS n, COUNT(*) FILTER (WHERE delay > 1) AS k FROM flights"
    assert not audit([planned("both", sql + " GROUP BY carrier")]).findings


def test_a_filter_of_another_statement_is_not() -> None:
    found = audit([count("all", keys="carrier"), count("some", "delay > 1 OR late", "carrier")])
    assert texts(found) == [
        "all - some isolates rows with delay -3 to 1 or NULL, late false, for each carrier"
    ]


def test_renamed_reordered_and_equal_questions_are_one() -> None:
    same = [
        count("a", "month < 3 AND late"),
        count("b", "late AND NOT month >= 3"),
        count("c", "late AND (month = 1 OR month = 2)"),
        count("d", "late AND month // 3 = 0"),
    ]
    assert not audit(same).findings


def test_other_scenarios_of_the_same_user_are_taken_together() -> None:
    earlier = {"last-year": [count("everyone")]}
    found = audit([count("most", "carrier <> 'HA'")], earlier)
    assert texts(found) == ["last-year: everyone - most isolates rows with carrier HA"]


def test_tables_are_looked_at_apart() -> None:
    other = TableContract("trains", FLIGHTS.holders, FLIGHTS.columns, 10)
    elsewhere = plan(Statement("t", "SELECT COUNT(*) AS n FROM trains"), (other,), 3)
    assert not audit([elsewhere, count("most", "month <> 2")]).findings


# --- what is said instead -------------------------------------------------------------------------


def test_conditions_on_two_columns_are_named() -> None:
    found = audit([count("a", "delay < month"), count("b", "NOT (delay < month)"), count("all")])
    assert any("(delay < month) was taken as independent" in text for text in found.undecided)


def test_too_many_choices_are_sampled_and_said() -> None:
    many = count("m", "fare > :f", "", Parameter("f", ColumnType.DECIMAL, 2, 0, 10**9))
    found = audit([many])
    assert found.questions <= 1_000
    assert found.found
    assert any("1000000001 choices" in text for text in found.undecided)


def test_too_many_groups_are_examined_statement_by_statement() -> None:
    plans = [
        count(f"s{month}", f"fare > :f AND month <> {month}", "", number("f", 0, 900))
        for month in range(1, 7)
    ]
    found = audit(plans)
    assert any("too many to compare" in text for text in found.undecided)
    assert any("s1(f=0) - s1(f=1) isolates" in text for text in texts(found))


def test_the_same_scenario_gives_the_same_findings() -> None:
    plans = [count("late", "delay > :d", "carrier", number("d", -2, 2)), count("all")]
    assert audit(plans) == audit(plans)


# --- against brute force --------------------------------------------------------------------------

ROWS = [
    (carrier, month, delay, late)
    for carrier in LEVELS
    for month in range(1, 7)
    for delay in (None, *range(-3, 4))
    for late in (False, True)
]
"""Every possible row but for its fare."""

_ATOMS = st.sampled_from(
    [
        "month = 2",
        "month > 3",
        "month % 2 = 1",
        "month // 2 = 1",
        "carrier = 'HA'",
        "carrier IN ('AA', 'B6')",
        "delay IS NULL",
        "delay >= 0",
        "delay <> 2",
        "late",
        "delay < month",
        "month BETWEEN 2 AND 4",
    ]
)


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(_ATOMS)
    left, right = draw(conditions(depth - 1)), draw(conditions(depth - 1))
    form = draw(st.sampled_from(["({} AND {})", "({} OR {})", "(NOT {} AND {})", "NOT ({} OR {})"]))
    return form.format(left, right)


def rows_where(condition: str) -> frozenset[int]:
    """Indices of :data:`ROWS` for which DuckDB says that the condition is true."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE f (i INT, carrier TEXT, month INT, delay INT, late BOOL)")
        connection.executemany(
            "INSERT INTO f VALUES (?, ?, ?, ?, ?)", [(i, *row) for i, row in enumerate(ROWS)]
        )
        found = connection.execute(f"SELECT i FROM f WHERE {condition}").fetchall()
    return frozenset(i for (i,) in found)


@settings(max_examples=40, deadline=None)
@given(st.lists(conditions(), min_size=2, max_size=5, unique=True))
def test_findings_are_true_and_single_groups_complete(wheres: list[str]) -> None:
    regions = {f"q{i}": rows_where(where) for i, where in enumerate(wheres)}
    found = audit([count(f"q{i}", where) for i, where in enumerate(wheres)])
    isolated = []
    for finding in found.findings:
        total: dict[int, Fraction] = {}
        for factor, name in finding.terms:
            for row in regions[name]:
                total[row] = total.get(row, Fraction(0)) + factor
        assert set(total.values()) <= {Fraction(0), Fraction(1)}, str(finding)
        isolated.append(frozenset(row for row, value in total.items() if value))
    if "delay < month" in " ".join(wheres):
        return  # taken as independent: more groups than there are
    for group in spanned_groups(list(regions.values())):
        assert group in isolated or found.found > len(found.findings), (wheres, group)


def spanned_groups(regions: list[frozenset[int]]) -> list[frozenset[int]]:
    """Smallest groups of rows whose count follows from the counts of the regions, but that are no
    region themselves: by exact elimination over the rationals."""
    signatures: dict[tuple[bool, ...], set[int]] = {}
    for row in range(len(ROWS)):
        signatures.setdefault(tuple(row in r for r in regions), set()).add(row)
    atoms = [(s, frozenset(rows)) for s, rows in signatures.items() if any(s)]
    matrix = [[Fraction(s[i]) for s, _ in atoms] for i in range(len(regions))]
    base = rank_of(matrix)
    return [
        rows
        for position, (_, rows) in enumerate(atoms)
        if rows not in regions
        and rank_of([*matrix, [Fraction(i == position) for i in range(len(atoms))]]) == base
    ]


def rank_of(matrix: list[list[Fraction]]) -> int:
    rows, rank = [list(row) for row in matrix], 0
    for column_index in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column_index]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for i in range(rank + 1, len(rows)):
            factor = rows[i][column_index] / rows[rank][column_index]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[rank], strict=True)]
        rank += 1
    return rank


@settings(max_examples=60, deadline=None)
@given(conditions(depth=3))
def test_regions_are_where_the_engine_says_true(where: str) -> None:
    """Atoms of a condition, sampled at their classes, against DuckDB on every row."""
    if "delay < month" in where:
        return
    bound = bind(count("q", where), {})
    condition = bound.plan.where
    assert condition is not None
    axes = Axes([condition], [])
    boxes = axes.boxes(condition)
    names = ["carrier", "month", "delay", "late"]
    inside = set()
    for index, row in enumerate(ROWS):
        values = dict(zip(names, row, strict=True))
        for box in boxes:
            if all(mask >> _class_of(axes[a], values[axes[a].name]) & 1 for a, mask in box):
                inside.add(index)
    assert inside == rows_where(where)


def _class_of(axis: object, value: object) -> int:
    samples = axis.samples  # type: ignore[attr-defined]
    if value in samples and (
        value is None or not isinstance(value, int) or isinstance(value, bool)
    ):
        return int(samples.index(value))
    numbers = [i for i, s in enumerate(samples) if s is not None and s <= value]
    return numbers[-1] if isinstance(value, int) else int(samples.index(value))


@pytest.mark.parametrize("value", [None, -3, 0, 2, 3])
@pytest.mark.parametrize(
    "condition",
    [
        "delay % 2 = -1",
        "delay // 2 = -1",
        "delay * delay - delay > 3",
        "NOT delay > 0",
        "delay > 0 OR delay IS NULL",
    ],
)
def test_values_are_the_engines(condition: str, value: int | None) -> None:
    where = count("q", condition).where
    assert where is not None
    literal = "NULL" if value is None else str(value)
    with duckdb.connect() as connection:
        (expected,) = connection.execute(
            f"SELECT {condition} FROM (SELECT CAST({literal} AS BIGINT) AS delay)"
        ).fetchall()
    assert evaluate(where, value) == expected[0]


def test_words_of_a_region_that_is_no_box_say_so() -> None:
    where = count("q", "(month = 1 AND late) OR (month = 2 AND NOT late)").where
    assert where is not None
    axes = Axes([where], [])
    boxes = axes.boxes(where)
    universe = Universe(axes, boxes)
    assert universe.words(universe.region(boxes)) == "some of: month 1 to 2"


def test_combinations_of_pairs_are_not_reported_twice() -> None:
    plans = [count(f"q{m}", f"month <= {m}") for m in range(1, 7)]
    regions = [f.isolated for f in audit(plans).findings]
    assert len(regions) == len(set(regions))
    assert set(regions) >= {f"month {m}" for m in range(2, 7)}
    assert list(itertools.islice((r for r in regions if r == "month 1"), 1)) == []
