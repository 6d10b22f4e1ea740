"""Each rule against brute force over people, and inputs that must fail it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.disclosure import (
    OpenedCounts,
    Reason,
    check_counts,
    check_values,
    dominated,
    verify_counts,
    verify_values,
)
from stayput.disclosure.floor import OutputFloor, verify_floor
from stayput.disclosure.moments import is_semidefinite
from stayput.errors import InvalidInput, RuleViolation, SqlError, VerificationError
from stayput.finishing import finish
from stayput.partials import LocalPartial, assemble
from stayput.plans import RunPlan, counts_vector, split_counts
from stayput.scenario import (
    Column,
    ColumnType,
    Dominance,
    Grade,
    OutputPolicy,
    Outside,
    Statement,
    TableContract,
)
from stayput.sql import Plan, bind, plan
from stayput.table import WITHHELD

P10 = Dominance(p_percent=10)
ABS = Dominance(top_one_percent=50, top_two_percent=67)


def _integer(name: str, low: int, high: int, grade: Grade = Grade.INTERNAL) -> Column:
    return Column(name, ColumnType.INTEGER, grade, Outside.REFUSE, minimum=low, maximum=high)


TABLE = TableContract(
    "t",
    ("a", "b", "c"),
    (
        Column("g", ColumnType.LEVEL, Grade.SENSITIVE, Outside.REFUSE, levels=("p", "q")),
        Column("k", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("u", "v")),
        Column("ill", ColumnType.BOOLEAN, Grade.SENSITIVE, Outside.REFUSE),
        Column("late", ColumnType.BOOLEAN, Grade.INTERNAL, Outside.REFUSE),
        _integer("x", -1000, 1000),
        _integer("y", 0, 1000),
        _integer("miles", 0, 1000, Grade.PUBLIC),
        _integer("person", 0, 1000),
    ),
    1_000,
)
PEOPLE = dataclasses.replace(TABLE, unit="person")
APART = dataclasses.replace(PEOPLE, units_apart=True)
POLICY = OutputPolicy(10, 3)


def planned(sql: str, policy: OutputPolicy = POLICY, table: TableContract = TABLE) -> Plan:
    return plan(Statement("s", sql), [table], 3, policy)


def run_of(made: Plan, policy: OutputPolicy, table: TableContract = TABLE) -> RunPlan:
    zero = bytes(32)
    names = ("a", "b", "c")
    return RunPlan(bytes(16), zero, table, policy, bind(made, {}), names, zero, zero, zero)


Row = dict[str, Any]


def at_node(made: Plan, rows: Sequence[Row], table: TableContract = TABLE) -> LocalPartial:
    """What a node makes of its rows, by the SQL that it executes."""
    types = {ColumnType.LEVEL: "VARCHAR", ColumnType.BOOLEAN: "BOOLEAN"}
    columns = ", ".join(f"{c.name} {types.get(c.type, 'BIGINT')}" for c in table.columns)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE stayput_source ({columns})")
        usual: Row = {"g": "p", "k": "u", "ill": False, "late": False, "x": 1, "y": 1}
        usual |= {"miles": 5, "person": 0}
        for row in rows:
            values = [(usual | row)[c.name] for c in table.columns]
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO stayput_source VALUES ({marks})", values)
        return assemble(made, connection.execute(bind(made, {}).node_sql()).fetchall())


def pooled(
    made: Plan, parts: Sequence[Sequence[Row]], policy: OutputPolicy, table: TableContract = TABLE
) -> OpenedCounts:
    """Round one of all holders, opened."""
    run = run_of(made, policy, table)
    vectors = [counts_vector(run, at_node(made, part, table)) for part in parts]
    assert {len(v) for v in vectors} == {made.cells * made.round_one}
    total = [sum(numbers) for numbers in zip(*vectors, strict=True)]
    return verify_counts(made, split_counts(run, total), len(parts))


def reasons(
    sql: str,
    parts: Sequence[Sequence[Row]],
    policy: OutputPolicy = POLICY,
    table: TableContract = TABLE,
) -> list[list[Reason]]:
    made = planned(sql, policy, table)
    found = check_counts(made, pooled(made, parts, policy, table), policy)
    return [[Reason(code) for code in row] for row in found.tolist()]


# --- dominance ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contributions", "rule", "fails"),
    [
        ([], P10, False),
        ([0, 0, 0], P10, False),
        ([100], P10, True),  # alone
        ([100, 100], P10, True),  # each of two knows the other
        ([100, 100, 9], P10, True),
        ([100, 100, 10], P10, False),
        ([50_000, 49_000, 1_000], P10, True),  # the Handbook's example: 50,000 + 49,000 of 100,000
        ([60, 60, 60], P10, False),
        ([51, 25, 24], ABS, True),
        ([50, 17, 17, 16], ABS, False),
        ([50, 18, 16, 16], ABS, True),
        ([1], ABS, True),
        ([0], ABS, False),
    ],
)
def test_dominance(contributions: list[int], rule: Dominance, fails: bool) -> None:
    first, second, *_ = [*sorted(contributions, reverse=True), 0, 0]
    assert dominated(sum(contributions), first, second, rule) is fails


RULES = st.builds(
    Dominance,
    p_percent=st.integers(1, 60),
    top_one_percent=st.integers(1, 99),
    top_two_percent=st.integers(1, 99),
)
CONTRIBUTIONS = st.dictionaries(st.integers(0, 6), st.integers(0, 50), max_size=7)


def _fails(contributions: Sequence[int], rule: Dominance) -> bool:
    """The rules as somebody who knows one contribution sees them, by trying everybody."""
    total = sum(contributions)
    for u, v in itertools.permutations([*contributions, 0, 0], 2):
        if rule.p_percent and total - u - v < Fraction(rule.p_percent, 100) * u:
            return True
        if rule.top_one_percent and u > Fraction(rule.top_one_percent, 100) * total:
            return True
        if rule.top_two_percent and u + v > Fraction(rule.top_two_percent, 100) * total:
            return True
    return False


@given(st.lists(st.integers(0, 60), max_size=7), RULES)
def test_dominance_is_what_everybody_in_the_cell_could_do(
    contributions: list[int], rule: Dominance
) -> None:
    first, second, *_ = [*sorted(contributions, reverse=True), 0, 0]
    assert dominated(sum(contributions), first, second, rule) is _fails(contributions, rule)


# Why nobody opens Σ|x| and Σx² to decide about dominance (docs/adr/0011-no-pooled-dominance.md).


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_of_two_contributors_power_sums_are_the_values(x: int, y: int) -> None:
    total, squares = x + y, x * x + y * y
    root = math.isqrt(2 * squares - total * total)
    assert sorted([(total + root) // 2, (total - root) // 2]) == sorted([x, y])


@given(st.integers(10, 10**9), st.lists(st.integers(0, 10**8), max_size=12))
def test_of_a_dominated_cell_power_sums_tell_the_largest_value(
    largest: int, others: list[int]
) -> None:
    """Ten people or more, so the count passes; and the p% rule fails, so the values are sent to
    nobody.  With both sums the checker would know one of them to within the p% itself."""
    share = 10 * sum(others) // largest + 1
    everybody = [largest, *(value // share for value in others), *[0] * 12]
    total, squares = sum(everybody), sum(value * value for value in everybody)
    first, second, *_ = sorted(everybody, reverse=True)
    assert dominated(total, first, second, P10)
    low, high = Fraction(squares, total), math.isqrt(squares) + 1
    assert low <= largest <= high
    assert high - 1 - low <= Fraction(largest, 10)


def test_a_pooled_bound_would_pass_what_another_holder_subtracts() -> None:
    parts = [[100], [60, 60, 60]]
    pooled_parts = sorted(parts[0] + parts[1], reverse=True)
    total = sum(pooled_parts)
    squares = sum(value * value for value in pooled_parts)
    assert 2 * squares * 100**2 <= (90 * total) ** 2  # the bound says (2, 90) is kept
    assert not dominated(total, *pooled_parts[:2], P10)
    assert dominated(sum(parts[0]), 100, 0, P10)
    assert total - sum(parts[1]) == 100  # what the second holder finds


@settings(max_examples=400)
@given(st.lists(CONTRIBUTIONS, min_size=1, max_size=4), RULES)
def test_what_holds_at_every_node_holds_of_every_coalition(
    nodes: list[dict[int, int]], rule: Dominance
) -> None:
    """The same people may be known to several nodes; any subset of the nodes may be left."""
    if any(_fails(list(node.values()), rule) for node in nodes):
        return
    for size in range(1, len(nodes) + 1):
        for chosen in itertools.combinations(nodes, size):
            people: defaultdict[int, int] = defaultdict(int)
            for node in chosen:
                for person, contribution in node.items():
                    people[person] += contribution
            assert not _fails(list(people.values()), rule)


DOMINANCE = dataclasses.replace(POLICY, dominance=P10)
SUM = "SELECT COUNT(*) AS n, SUM(x) AS s FROM t"
WELL = [{"x": 5}] * 10


def test_one_contributor_of_99_percent_at_one_holder() -> None:
    rich = [{"x": 5}] * 9 + [{"x": 900}]
    assert reasons(SUM, [WELL, WELL, rich], DOMINANCE) == [[Reason.PASSES, Reason.DOMINATED]]
    assert reasons(SUM, [WELL, WELL, WELL], DOMINANCE) == [[Reason.PASSES, Reason.PASSES]]
    assert reasons(SUM, [WELL, WELL, rich]) == [[Reason.PASSES, Reason.PASSES]]  # rule off


def test_losses_do_not_hide_a_large_gain() -> None:
    """In absolute values: with signs the total is small, or negative, and any rule passes it."""
    part = [{"x": 900}, {"x": -1}, {"x": -1}] + [{"x": 1}] * 7
    assert reasons(SUM, [WELL, WELL, part], DOMINANCE)[0][1] is Reason.DOMINATED


def test_a_single_row_of_a_holder_in_a_large_pool() -> None:
    """All other holders together would subtract their parts and read it."""
    assert reasons(SUM, [WELL, WELL, [{"x": 7}]], DOMINANCE)[0] == [Reason.PASSES, Reason.DOMINATED]
    assert reasons(SUM, [WELL, WELL, [{"x": 0}]], DOMINANCE)[0] == [Reason.PASSES, Reason.PASSES]


PART = "SELECT COUNT(*) AS n, SUM(y) AS s, SUM(y) FILTER (WHERE NOT late) AS s1 FROM t"


def test_what_a_filter_leaves_out_of_a_sum_is_not_dominated_either() -> None:
    """SUM(y) - SUM(y) FILTER (WHERE NOT late) is the sum of the late ones."""
    fine = [{"y": 5}] * 10 + [{"y": 5, "late": True}] * 10
    rich = [{"y": 5}] * 10 + [{"y": 1, "late": True}] * 9 + [{"y": 900, "late": True}]
    enough = [{"y": 90}] * 100  # of the whole, the rich one makes up little
    assert reasons(PART, [fine, fine, fine], DOMINANCE) == [[Reason.PASSES] * 4]
    assert reasons(PART, [fine, fine, enough + rich], DOMINANCE) == [
        [Reason.PASSES, Reason.PASSES, Reason.PASSES, Reason.REST_DOMINATED]
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("pq"), st.booleans(), st.integers(-40, 40), st.integers(0, 3)),
        max_size=14,
    ),
    st.booleans(),
)
def test_contributions_are_those_of_the_rows(
    rows: list[tuple[str, bool, int, int]], by_person: bool
) -> None:
    """The node's SQL against sorting the rows, or the sums of each person's rows."""
    sql = "SELECT g, SUM(x) AS s, SUM(x) FILTER (WHERE late) AS s1 FROM t GROUP BY g"
    table = PEOPLE if by_person else TABLE
    made = planned(sql, DOMINANCE, table)
    given_rows: list[Row] = [{"g": g, "late": late, "x": x, "person": p} for g, late, x, p in rows]
    partial = at_node(made, given_rows, table)
    masks = (lambda r: True, lambda r: r["late"], lambda r: not r["late"])
    for cell, level in enumerate("pq"):
        expected = []
        for chosen in masks:
            found: defaultdict[int, int] = defaultdict(int)
            for number, row in enumerate(given_rows):
                if row["g"] == level and chosen(row):
                    found[row["person"] if by_person else number] += abs(row["x"])
            largest = [*sorted(found.values(), reverse=True), 0, 0]
            expected += [sum(found.values()), *largest[:2]]
        assert partial.sizes[cell] == expected
        if by_person:
            people = [
                {r["person"] for r in given_rows if r["g"] == level and chosen(r)}
                for chosen in masks
            ]
            assert partial.units[cell] == [len(found) for found in people]


def test_wide_numbers_do_not_wrap() -> None:
    wide = dataclasses.replace(
        TABLE,
        columns=(*TABLE.columns[:-1], _integer("big", -(10**17), 10**17), TABLE.columns[-1]),
    )
    made = planned("SELECT SUM(big * big) AS s FROM t", DOMINANCE, wide)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE stayput_source (big BIGINT)")
        connection.execute("INSERT INTO stayput_source VALUES (?), (?)", [-(10**17), 10**16])
        partial = assemble(made, connection.execute(bind(made, {}).node_sql()).fetchall())
    assert partial.sizes == [[10**34 + 10**32, 10**34, 10**32]]


# --- people ---------------------------------------------------------------------------------------


COUNT = "SELECT COUNT(*) AS n FROM t"


def people(*numbers: int, times: int = 1) -> list[Row]:
    return [{"person": number} for number in numbers for _ in range(times)]


def test_one_person_as_fifty_rows_counts_once() -> None:
    parts = [people(1, times=50), people(2, times=50), people(3, times=50)]
    assert reasons(COUNT, parts) == [[Reason.PASSES]]
    assert reasons(COUNT, parts, table=PEOPLE) == [[Reason.FEW_UNITS]]
    assert reasons(COUNT, parts, table=APART) == [[Reason.FEW_UNITS]]


def test_people_of_several_holders_add_up_only_where_nobody_is_known_to_two() -> None:
    parts = [people(*range(4)), people(*range(4)), people(*range(4))]
    assert reasons(COUNT, parts, table=APART) == [[Reason.PASSES]]
    # They may be the same four people: ten are sure only where one holder alone has ten.
    assert reasons(COUNT, parts, table=PEOPLE) == [[Reason.FEW_UNITS]]
    assert reasons(COUNT, [people(*range(10)), *parts[1:]], table=PEOPLE) == [[Reason.PASSES]]
    assert reasons(COUNT, [people(*range(9)), *parts[1:]], table=PEOPLE) == [[Reason.FEW_UNITS]]


def test_the_rest_of_a_filter_is_counted_in_people_too() -> None:
    sql = "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE NOT late) AS m FROM t"
    late = [{"person": 1, "late": True}] * 20
    parts = [people(*range(100, 120)) + late] * 3
    assert reasons(sql, parts) == [[Reason.PASSES, Reason.PASSES]]
    assert reasons(sql, parts, table=APART) == [[Reason.PASSES, Reason.SMALL_REST]]


def test_no_statement_uses_the_unit() -> None:
    for sql in ("SELECT person, COUNT(*) AS n FROM t GROUP BY person", "SELECT SUM(person) FROM t"):
        with pytest.raises(SqlError, match="whom a row is about"):
            planned(sql, POLICY, PEOPLE)


def test_units_of_groups_that_meet_are_not_added_up() -> None:
    """Two undeclared values of a key may be of the same people."""
    made = planned("SELECT k, COUNT(*) AS n FROM t GROUP BY k", POLICY, APART)
    partial = assemble(made, [("new", 7, 5), ("other", 6, 6)])
    assert partial.counts[2] == [13]
    assert partial.units[2] == [6]


@pytest.mark.parametrize("row", [(7, 8), (7, 0), (0, 1), (7, -1)])
def test_impossible_numbers_of_people_are_refused(row: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="units"):
        assemble(planned(COUNT, POLICY, APART), [row])


@pytest.mark.parametrize("sizes", [(5, 3, 4), (5, 3, 3), (2, 3, 0), (-1, 0, 0), (3, 3, -1)])
def test_impossible_contributions_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput, match="contribution"):
        assemble(planned(SUM, DOMINANCE), [(7, 7, *sizes)])


# --- few at a holder ------------------------------------------------------------------------------


def test_all_holders_but_one_in_league() -> None:
    """0 < N - n_i < k: without the largest holder's rows nine are left."""
    strict = dataclasses.replace(POLICY, min_count_per_holder=10)
    parts = [people(*range(50)), people(*range(8)), people(1)]
    assert reasons(COUNT, parts) == [[Reason.PASSES]]
    assert reasons(COUNT, parts, strict) == [[Reason.FEW_AT_A_HOLDER]]
    full = [people(*range(10))] * 3
    assert reasons(COUNT, full, strict) == [[Reason.PASSES]]


@given(st.lists(st.integers(0, 30), min_size=2, max_size=5), st.integers(1, 12))
def test_none_or_enough_at_each_leaves_none_or_enough_to_any_coalition(
    numbers: list[int], least: int
) -> None:
    if any(0 < n < least for n in numbers):
        return
    for size in range(len(numbers)):
        for gone in itertools.combinations(range(len(numbers)), size):
            left = sum(n for i, n in enumerate(numbers) if i not in gone)
            assert left == 0 or left >= least


# --- zeros, groups, freedom -----------------------------------------------------------------------


def test_empty_cells_are_withheld_or_released_as_the_policy_says() -> None:
    sql = "SELECT k, COUNT(*) AS n, SUM(x) AS s FROM t GROUP BY k"
    parts = [people(*range(10))] * 3
    assert reasons(sql, parts)[1] == [Reason.FEW_ROWS, Reason.SUPPORT]
    released = dataclasses.replace(POLICY, release_zeros=True)
    assert reasons(sql, parts, released)[1] == [Reason.PASSES, Reason.PASSES]
    few = [*parts[:2], [*parts[2], {"k": "v"}]]
    assert reasons(sql, few, released)[1] == [Reason.FEW_ROWS, Reason.SUPPORT]


GROUPS = dataclasses.replace(POLICY, group_percent=90)


def line(p: int, q: int, k: str = "u") -> list[Row]:
    return [{"g": "p", "k": k}] * p + [{"g": "q", "k": k}] * q


@pytest.mark.parametrize(
    ("p", "q", "fails"), [(290, 10, True), (90, 10, True), (89, 11, False), (50, 50, False)]
)
def test_nearly_everybody_of_a_line_in_one_category(p: int, q: int, fails: bool) -> None:
    """96.7 % in one category is one of the probes that acro passes."""
    sql = "SELECT k, g, COUNT(*) AS n FROM t GROUP BY k, g"
    parts = [line(p, q) + line(50, 50, "v")] * 3
    found = reasons(sql, parts, GROUPS)
    expected = Reason.ONE_CATEGORY if fails else Reason.PASSES
    assert [found[0][0], found[1][0]] == [expected, expected]  # the other one would tell
    assert [found[3][0], found[4][0]] == [Reason.PASSES] * 2


def test_a_public_category_is_no_secret() -> None:
    sql = "SELECT k, COUNT(*) AS n FROM t GROUP BY k"
    parts = [[{"k": "u"}] * 290 + [{"k": "v"}] * 10] * 3
    assert reasons(sql, parts, GROUPS)[:2] == [[Reason.PASSES], [Reason.PASSES]]


@pytest.mark.parametrize(
    ("inside", "column", "fails"),
    [
        (90, "ill", True),
        (10, "ill", True),  # 90 % are in the other category
        (89, "ill", False),
        (11, "ill", False),
        (96, "late", False),  # internal: only everybody
        (100, "late", True),
        (100, "ill", True),
    ],
)
def test_nearly_everybody_of_a_cell_satisfies_a_filter(
    inside: int, column: str, fails: bool
) -> None:
    sql = f"SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE {column}) AS m FROM t"
    part = [{column: True}] * inside + [{column: False}] * (100 - inside)
    found = reasons(sql, [part] * 3, GROUPS)
    assert found == [[Reason.PASSES, Reason.ONE_CATEGORY if fails else Reason.PASSES]]


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 200), min_size=3, max_size=3), min_size=3, max_size=3),
    st.integers(51, 100),
)
def test_lines_against_brute_force(grid: list[list[int]], percent: int) -> None:
    from stayput.disclosure.groups import in_one_category

    made = planned("SELECT k, g, COUNT(*) AS n FROM t GROUP BY k, g")
    counts = np.array([[n] for row in grid for n in row], dtype=object)
    found = in_one_category(made, counts, percent)[:, 0].reshape(3, 3).tolist()
    for row, flags in zip(grid, found, strict=True):
        fails = sum(row) > 0 and any(Fraction(n, sum(row)) >= Fraction(percent, 100) for n in row)
        assert flags == [fails] * 3


def test_a_correlation_needs_degrees_of_freedom() -> None:
    sql = "SELECT COUNT(*) AS n, CORR(x, y) AS r, AVG(x) AS a FROM t"
    strict = dataclasses.replace(POLICY, min_freedom=10)
    made = planned(sql)
    xy = len(made.counts) + next(
        i for i, v in enumerate(made.values) if {c.name for c in _columns(v)} == {"x", "y"}
    )
    for rows, expected in ((11, Reason.FEW_FREEDOM), (12, Reason.PASSES)):
        found = reasons(sql, [[{}] * (rows - 6), [{}] * 3, [{}] * 3], strict)[0]
        assert found[xy] is expected
        assert [r for i, r in enumerate(found) if i != xy] == [Reason.PASSES] * (len(found) - 1)


def _columns(value: Any) -> Any:
    from stayput.sql.tree import columns_of

    return columns_of(value.expr)


SPREAD = "SELECT COUNT(*) AS n, AVG(y) AS a, VAR_SAMP(y) AS v, SUM(x) AS s FROM t"


@pytest.mark.parametrize(
    ("values", "withheld"),
    [
        ((30, 30 * 7, 30 * 49), True),  # everybody has 7
        ((30, 30 * 7, 30 * 49 + 2), False),
        ((30, 0, 0), True),  # nobody has anything
        ((30, 30_000, 30_000_000), True),  # everybody has the largest
    ],
)
def test_sums_that_tell_everybodys_value(values: tuple[int, int, int], withheld: bool) -> None:
    made = planned(SPREAD)
    rows, first, second = values
    sums = [first, second, 12]
    verify_values(made, [[rows]], [sums])
    found = check_values(made, [[rows]], [sums], GROUPS)[0].tolist()
    assert found == [0, *([Reason.ALL_EQUAL] * 2 if withheld else [0, 0]), 0]
    assert not check_values(made, [[rows]], [sums], POLICY).any()  # rule off


def test_everybody_has_the_same_public_value() -> None:
    made = planned("SELECT COUNT(*) AS n, SUM(miles) AS s FROM t")
    assert not check_values(made, [[30]], [[0]], GROUPS).any()


def test_a_sum_alone_at_its_bound() -> None:
    made = planned("SELECT COUNT(*) AS n, SUM(x) AS s FROM t")
    for total, fails in ((30_000, True), (-30_000, True), (29_999, False), (0, False)):
        found = check_values(made, [[30]], [[total]], GROUPS)
        assert bool(found.any()) is fails
    assert not check_values(made, [[0]], [[0]], GROUPS).any()
    assert not check_values(made, [[30]], [[None]], GROUPS).any()


# --- rounding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "base", "shown"), [(12, 5, 10), (13, 5, 15), (15, 5, 15), (12, 0, 12), (15, 10, 20)]
)
def test_counts_are_rounded_and_sums_are_not(count: int, base: int, shown: int) -> None:
    made = planned("SELECT COUNT(*) AS n, COUNT(*) / 2.0 AS half, SUM(y) AS s, AVG(y) AS a FROM t")
    (row,) = finish(made, [[count]], [[7 * count]], [[True] * 2], rounding=base).rows()
    assert row == (shown, shown / 2, 7 * count, 7.0)


def test_a_ratio_needs_numerator_and_denominator() -> None:
    made = planned("SELECT SUM(y) / SUM(x) AS r FROM t")
    for kept, shown in (([1, 1, 1], True), ([1, 0, 1], False), ([1, 1, 0], False)):
        (row,) = finish(made, [[30]], [[6, 3]], [[bool(k) for k in kept]]).rows()
        assert (row[0] is not WITHHELD) is shown


# --- invariants -----------------------------------------------------------------------------------


MOMENTS = "SELECT COUNT(*) AS n, CORR(x, y) AS r, CORR(x, miles) AS r2, CORR(y, miles) AS r3 FROM t"


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-9, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9
    ),
    st.integers(0, 2),
)
def test_sums_of_real_rows_pass_and_too_small_squares_do_not(
    rows: list[tuple[int, int, int]], column: int
) -> None:
    made = planned(MOMENTS)
    names = ("x", "y", "miles")
    table = [dict(zip(names, row, strict=True)) for row in rows]
    values = [_value_of(v, table) for v in made.values]
    counts = [[len(rows)] * len(made.counts)]
    verify_values(made, counts, [values])
    total = sum(row[column] for row in rows)
    place = [_text(v) for v in made.values].index(f"({names[column]} * {names[column]})")
    values[place] = (total * total - 1) // len(rows)  # n·Σx² < (Σx)²
    with pytest.raises(VerificationError, match="impossible"):
        verify_values(made, counts, [values])


def _text(value: Any) -> str:
    from stayput.sql.render import render

    return render(value.expr).replace('"', "")


def _value_of(value: Any, rows: list[dict[str, int]]) -> int:
    return sum(eval(_text(value), {"__builtins__": {}}, row) for row in rows)


def test_a_square_smaller_than_the_mean_squared() -> None:
    made = planned("SELECT COUNT(*) AS n, VAR_POP(y) AS v FROM t")
    verify_values(made, [[3]], [[6, 12]])
    with pytest.raises(VerificationError):
        verify_values(made, [[3]], [[6, 11]])
    verify_values(made, [[3]], [[None, None]])


@given(
    st.lists(st.lists(st.integers(-5, 5), min_size=3, max_size=3), max_size=5),
    st.integers(0, 2),
    st.integers(1, 20),
)
def test_semidefinite(vectors: list[list[int]], place: int, less: int) -> None:
    """A Gram matrix is; lowered on the diagonal, numpy's smallest eigenvalue decides."""
    gram = [[sum(v[i] * v[j] for v in vectors) for j in range(3)] for i in range(3)]
    assert is_semidefinite(gram)
    gram[place][place] -= less
    smallest = float(np.linalg.eigvalsh(np.array(gram, dtype=float))[0])
    if abs(smallest) > 1e-6:
        assert is_semidefinite(gram) is (smallest > 0)


@pytest.mark.parametrize(
    ("evidence", "possible"),
    [
        ({"units": [[12]]}, True),
        ({"units": [[31]]}, False),
        ({"units": [[2]]}, False),  # three holders have rows, so three people at least
        ({"small": [[3]]}, True),
        ({"small": [[4]]}, False),
        ({"small": [[-1]]}, False),
    ],
)
def test_impossible_flags_end_the_run(evidence: dict[str, Any], possible: bool) -> None:
    strict = dataclasses.replace(POLICY, min_count_per_holder=5)
    opened = OpenedCounts([[30]], [[3]], **evidence)
    if possible:
        verify_counts(planned(COUNT, strict, APART), opened, 3)
    else:
        with pytest.raises(VerificationError):
            verify_counts(planned(COUNT, strict, APART), opened, 3)


@pytest.mark.parametrize(("flags", "possible"), [([0, 0], True), ([3, 1], True), ([3, 2], False)])
def test_only_who_has_rows_says_that_they_are_dominated(flags: list[int], possible: bool) -> None:
    sql = "SELECT COUNT(*) AS n, SUM(y) AS s, SUM(y) FILTER (WHERE late) AS s1 FROM t"
    made = planned(sql, DOMINANCE)
    opened = OpenedCounts([[30, 20]], [[3, 1, 3]], dominated=[[*flags, 0]])
    if possible:
        verify_counts(made, opened, 3)
    else:
        with pytest.raises(VerificationError):
            verify_counts(made, opened, 3)


# --- what a holder demands ------------------------------------------------------------------------


FLOOR = OutputFloor(10, 3, 5, 10, 90, 10, allow_zeros=False)
ENOUGH = OutputPolicy(10, 3, Dominance(p_percent=10), 5, 90, False, 10)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"min_count": 9}, "min_count 9, not 10"),
        ({"min_holders": 2}, "min_holders 2, not 3"),
        ({"min_count_per_holder": 4}, "min_count_per_holder 4, not 5"),
        ({"dominance": None}, "dominance.p_percent 0, not 10"),
        ({"dominance": Dominance(9)}, "dominance.p_percent 9, not 10"),
        ({"dominance": Dominance(0, 50)}, "dominance.p_percent 0, not 10"),
        ({"group_percent": 91}, "group_percent 91, not 90"),
        ({"group_percent": 0}, "group_percent none, not 90"),
        ({"min_freedom": 9}, "min_freedom 9, not 10"),
        ({"release_zeros": True}, "zeros release, not withhold"),
    ],
)
def test_a_laxer_policy_is_not_approved(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(RuleViolation, match=re.escape(named)) as caught:
        verify_floor(dataclasses.replace(ENOUGH, **changes), FLOOR)
    assert caught.value.clause == "S-6"


def test_a_policy_that_is_strict_enough_is() -> None:
    stricter = OutputPolicy(20, 4, Dominance(20, 40, 60), 6, 80, False, 12, 5)
    for policy in (ENOUGH, stricter):
        assert verify_floor(policy, FLOOR) is policy
        assert verify_floor(policy, OutputFloor()) is policy
    assert verify_floor(OutputPolicy(1, 2), OutputFloor())
