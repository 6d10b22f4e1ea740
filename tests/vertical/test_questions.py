"""Statements over joins: moments give what DuckDB gives on the pooled join; the rest is refused.

Oracle: DuckDB runs the statement as the data user wrote it, over the three registers with their
identifiers cleaned in SQL.
"""

from __future__ import annotations

import dataclasses
import functools
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from vertical.plain import moments

import stayput
from stayput.errors import SqlError
from stayput.finishing import finish
from stayput.residents import registers
from stayput.scenario import (
    ColumnType,
    IdentifierKind,
    IdentifierRule,
    Parameter,
    Scenario,
    Statement,
    TableContract,
)
from stayput.scenario_file import parse_scenario_file
from stayput.sql import Plan, bind, plan
from stayput.vertical import moments as moments_of_questions
from stayput.vertical.questions import ask

FILE = Path(stayput.__file__).parent / "demo_data" / "income-capacity.yaml"
ALL = "housing JOIN social USING (resident) JOIN property USING (resident)"
TWO = "housing JOIN social USING (resident)"


@functools.cache
def scenario() -> Scenario:
    return parse_scenario_file(FILE.read_text(encoding="utf-8"), nonce=bytes(16))


@functools.cache
def city() -> dict[str, pa.Table]:
    return registers(1500, np.random.default_rng(20260101))


def planned(sql: str, *parameters: Parameter) -> Plan:
    found = scenario()
    return plan(Statement("s", sql, parameters), found.tables, 3, found.output)


def answer(sql: str, values: dict[str, Any], *parameters: Parameter) -> list[tuple[Any, ...]]:
    """Rows of the result, by way of features, moments and recipes."""
    bound = bind(planned(sql, *parameters), values)
    question = ask(bound, scenario().tables)
    contracts = {table.name: table for table in scenario().tables}
    found = moments(question.staged, question.moments, contracts, city())
    empty = [0] * len(question.moments)
    counts, sums = [], []
    for groups in question.groups():
        opened = found.pop(groups, empty)
        counts.append([opened[0]])
        sums.append(question.values(opened))
    assert not found  # everybody is in a cell
    passes = np.ones((bound.plan.cells, bound.plan.measures), dtype=np.bool_)
    return finish(bound.plan, counts, sums, passes).rows()


@functools.cache
def pool() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, table in city().items():
        connection.register(f"raw_{name}", table)
        clean = "upper(replace(replace(translate(resident, '０１２３４５６７８９Ｘ', "
        clean += "'0123456789X'), ' ', ''), '\u3000', ''))"
        connection.execute(
            f"CREATE TABLE {name} AS "
            f"SELECT {clean} AS resident, * EXCLUDE (resident) FROM raw_{name}"
        )
    return connection


def pooled(sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    for name, value in (values or {}).items():
        sql = sql.replace(f":{name}", repr(value))
    return pool().execute(sql).fetchall()


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and theirs is not None:
        return bool(ours == pytest.approx(float(theirs), rel=1e-9, abs=1e-12))
    if isinstance(ours, Decimal):
        return ours == Decimal(str(theirs))
    return bool(ours == theirs)


CASES = [
    f"SELECT COUNT(*) AS n FROM {ALL}",
    f"SELECT COUNT(*) AS n FROM {TWO}",
    f"SELECT SUM(deposit) AS a, SUM(contribution_base) AS b, SUM(property_value) AS c FROM {ALL}",
    f"SELECT district, age_band, COUNT(*) AS n, SUM((score_a + score_b) * 0.4 + (score_c + score_d)"
    f" * 0.25 + (score_e + score_f) * 0.35) AS s, AVG(score_f) AS m FROM {ALL} "
    "GROUP BY district, age_band",
    f"SELECT district, sector, COUNT(*) AS n, SUM(deposit) AS d, AVG(contribution_base) AS b, "
    f"SUM(deposit * contribution_base) AS p, VAR_SAMP(deposit) AS v FROM {TWO} GROUP BY 1, 2",
    f"SELECT months // 60 AS years, COUNT(*) AS n, SUM(score_f) AS s FROM {TWO} GROUP BY years",
    "SELECT CASE WHEN score_e < 40 THEN 'low' WHEN score_e < 70 THEN 'middle' ELSE 'high' END AS a,"
    f" CASE WHEN score_f < 40 THEN 'low' ELSE 'high' END AS b, COUNT(*) AS n, AVG(deposit) AS m "
    f"FROM {TWO} GROUP BY a, b",
    f"SELECT CORR(deposit, property_value) AS r, COVAR_SAMP(contribution_base, deposit) AS c, "
    f"COVAR_POP(months, months_36) AS p, VAR_SAMP(score_e + score_f + score_a) AS v FROM {ALL}",
    f"SELECT sector, COUNT(*) AS n, AVG(deposit - 12.5) AS m, STDDEV_SAMP(deposit) AS s FROM {TWO} "
    "WHERE months > 24 AND contribution_base BETWEEN 3000 AND 20000 AND NOT district = 'Hills' "
    "GROUP BY sector",
    "SELECT mortgaged, AVG(property_value - 500000) AS m, SUM((deposit - 900) * "
    "(property_value - 2000000)) AS p FROM housing JOIN property USING (resident) "
    "GROUP BY mortgaged",
    f"SELECT sector, SUM(deposit * 0.5 - months * months * 0.25 - score_e * 3 + score_f) AS s, "
    f"AVG(deposit * 12 - contribution_base * 0.08 - months_36) AS d FROM {TWO} GROUP BY sector",
    f"SELECT housing.district, SUM(social.score_f) AS s FROM {TWO} GROUP BY housing.district",
    f"SELECT age_band, 100 * SUM(score_f) / SUM(score_e) AS share, ROUND(AVG(score_f), 1) AS r "
    f"FROM {TWO} WHERE sector IN ('public') GROUP BY age_band",
]


@pytest.mark.parametrize("sql", CASES)
def test_as_on_the_pooled_join(sql: str) -> None:
    outputs = planned(sql).outputs
    keys = [i for i, output in enumerate(outputs) if output.key is not None]
    counts = [i for i, output in enumerate(outputs) if output.name == "n"]
    expected = {tuple(row[i] for i in keys): row for row in pooled(sql)}
    assert expected
    for row in answer(sql, {}):
        found = expected.pop(tuple(row[i] for i in keys), None)
        if found is None:  # a cell without people
            assert all(row[i] == 0 for i in counts)
            continue
        assert all(same(a, b) for a, b in zip(row, found, strict=True)), (row, found)
    assert not expected


def test_what_a_holder_can_add_up_by_itself_is_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody learns the sum of a column that the question only has in a weighted sum."""
    weighted = planned(CASES[3].replace(", AVG(score_f) AS m", ""))
    question = ask(weighted, scenario().tables)
    assert [len(staged.bounds) for staged in question.staged] == [1, 1, 1]
    assert len(question.moments) == 1 + 3
    # Parts that would be too large together stay apart, and give the same.
    together = answer(CASES[3], {})
    monkeypatch.setattr(moments_of_questions, "MAX_MERGED", 1)
    assert len(ask(weighted, scenario().tables).moments) == 1 + 6
    assert answer(CASES[3], {}) == together


def test_parameters_select_rows_and_bands() -> None:
    least = Parameter("least", ColumnType.INTEGER, minimum=0, maximum=480)
    edge = Parameter("edge", ColumnType.INTEGER, minimum=0, maximum=100)
    sql = (
        "SELECT CASE WHEN score_f < :edge THEN 'low' ELSE 'high' END AS band, COUNT(*) AS n, "
        f"AVG(deposit) AS m FROM {TWO} WHERE months >= :least GROUP BY band"
    )
    values = {"least": 100, "edge": 55}
    ours = answer(sql, values, least, edge)
    theirs = {row[0]: row for row in pooled(sql, values)}
    assert len(theirs) == 2
    for row in ours:
        if row[0] in theirs:
            assert all(same(a, b) for a, b in zip(row, theirs[row[0]], strict=True))


def test_the_statements_of_the_demonstration_can_be_asked() -> None:
    for statement in scenario().statements:
        found = plan(statement, scenario().tables, 3, scenario().output)
        question = ask(found, scenario().tables)
        assert len({staged.holder for staged in question.staged}) == len(found.joined) >= 2
        for staged in question.staged:
            assert staged.columns[0] == "resident"
            assert "resident" not in staged.sql.partition(" AS identifier")[2]


def test_what_a_holder_reads_is_what_the_statement_needs() -> None:
    sql = f"SELECT sector, AVG(deposit) AS m FROM {TWO} WHERE months > 3 GROUP BY 1"
    question = ask(planned(sql), scenario().tables)
    housing, social = question.staged
    assert housing.columns == ("resident", "deposit", "months")
    assert social.columns == ("resident", "sector")
    assert housing.groups == 1
    assert social.groups == 4  # three levels and __other__
    assert housing.bounds == (600_000,)
    assert social.bounds == ()
    assert housing.sql == (
        'SELECT "resident" AS identifier,\n'
        "       CAST(0 AS BIGINT) AS group_number,\n"
        '       "deposit" AS feature_0\n'
        'FROM "stayput_source"\n'
        'WHERE ("months" > CAST(3 AS BIGINT))'
    )


REFUSED = [
    # (sql, construct or words of the message, words of the hint)
    ("SELECT COUNT(*) AS n FROM housing", "own data", "JOIN social USING (resident)"),
    ("SELECT COUNT(*) AS n FROM housing LEFT JOIN social USING (resident)", "LEFT", "every table"),
    ("SELECT COUNT(*) AS n FROM housing FULL JOIN social USING (resident)", "FULL", "every table"),
    (
        "SELECT COUNT(*) AS n FROM housing JOIN social ON housing.months = social.months_36",
        "ON",
        "USING (person)",
    ),
    ("SELECT COUNT(*) AS n FROM housing CROSS JOIN social", "CROSS", "every table"),
    ("SELECT COUNT(*) AS n FROM housing, social", "an identifier", "JOIN other USING"),
    ("SELECT COUNT(*) AS n FROM housing JOIN social USING (months)", "identifiers", "has resident"),
    (
        "SELECT COUNT(*) AS n FROM housing JOIN housing USING (resident)",
        "both at housing-fund",
        "one table",
    ),
    (f"SELECT resident, COUNT(*) AS n FROM {TWO} GROUP BY resident", "identifier", "many people"),
    (f"SELECT COUNT(resident) AS n FROM {TWO}", "identifier", "many people"),
    (
        f"SELECT score_e + score_f AS s FROM {TWO}",
        "neither a group key",
        "",
    ),
    (f"SELECT MAX(score_e) AS s FROM {TWO}", "MAX", "one person"),
    (
        f"SELECT CASE WHEN score_a + score_e + score_f < 150 THEN 'low' ELSE 'high' END AS band, "
        f"COUNT(*) AS n FROM {ALL} GROUP BY band",
        "compared",
        "mean of the sum per group",
    ),
    (
        f"SELECT district, sector, mortgaged, COUNT(*) AS n FROM {ALL} GROUP BY 1, 2, 3",
        "at most two holders",
        "of its own",
    ),
    (
        f"SELECT district, sector, AVG(property_value) AS v FROM {ALL} GROUP BY 1, 2",
        "product of what housing, property, social know",
        "group by columns of one holder",
    ),
    (
        f"SELECT district, SUM(score_f * score_a) AS v FROM {ALL} GROUP BY 1",
        "multiplied once",
        "leave out the group keys",
    ),
    (
        f"SELECT district, VAR_POP(score_e + score_f + score_a) AS v FROM {ALL} GROUP BY 1",
        "multiplied once",
        "leave out the group keys",
    ),
    (f"SELECT COUNT(*) AS n FROM {TWO} WHERE months > months_36", "nobody sees both", "group keys"),
    (
        f"SELECT COUNT(*) AS n FROM {TWO} WHERE months > 3 OR months_36 > 3",
        "nobody sees both",
        "AND",
    ),
    (
        f"SELECT COUNT(*) FILTER (WHERE months > 3) AS n FROM {TWO}",
        "takes everybody",
        "group key",
    ),
    (
        f"SELECT SUM(CASE WHEN months > 3 THEN score_f ELSE 0 END) AS n FROM {TWO}",
        "takes everybody",
        "group key",
    ),
    (f"SELECT COUNT(*) AS n FROM {TWO} WHERE TRUE", "no column", "drop"),
    (f"SELECT SUM(nosuch) AS n FROM {TWO}", "no declared column", "deposit"),
    (f"SELECT SUM(property.score_a) AS n FROM {TWO}", "not a table of the statement", "housing"),
    ("SELECT COUNT(*) AS n FROM housing h JOIN social s USING (resident)", "alias", "FROM"),
]


@pytest.mark.parametrize(("sql", "about", "hint"), REFUSED)
def test_refused(sql: str, about: str, hint: str) -> None:
    with pytest.raises(SqlError) as caught:
        ask(planned(sql), scenario().tables)
    assert about in str(caught.value) + caught.value.construct
    assert hint in caught.value.hint
    assert caught.value.hint


def changed(table: str, column: str, **changes: Any) -> tuple[TableContract, ...]:
    tables = []
    for contract in scenario().tables:
        columns = tuple(
            dataclasses.replace(c, **changes) if (contract.name, c.name) == (table, column) else c
            for c in contract.columns
        )
        tables.append(dataclasses.replace(contract, columns=columns))
    return tuple(tables)


def test_a_missing_value_is_left_out_knowingly() -> None:
    tables = changed("housing", "deposit", nullable=True)
    with pytest.raises(SqlError) as caught:
        ask(plan(Statement("s", f"SELECT AVG(deposit) AS m FROM {TWO}"), tables, 3), tables)
    assert "WHERE housing.deposit IS NOT NULL" in caught.value.hint
    sql = f"SELECT sector, AVG(deposit) AS m FROM {TWO} WHERE deposit IS NOT NULL GROUP BY sector"
    question = ask(plan(Statement("s", sql), tables, 3), tables)
    assert question.staged[0].sql.endswith('WHERE (NOT ("deposit" IS NULL))')


def test_other_people_are_not_joined() -> None:
    rule = IdentifierRule(IdentifierKind.TEXT, any_case=True)
    tables = changed("social", "resident", identifier=rule)
    with pytest.raises(SqlError, match="different forms"):
        plan(Statement("s", f"SELECT COUNT(*) AS n FROM {TWO}"), tables, 3)


def test_one_name_in_two_tables_is_qualified() -> None:
    tables = tuple(
        dataclasses.replace(
            table,
            columns=tuple(
                dataclasses.replace(c, name="score") if c.name in ("score_e", "score_f") else c
                for c in table.columns
            ),
        )
        for table in scenario().tables
    )
    with pytest.raises(SqlError) as caught:
        plan(Statement("s", f"SELECT AVG(score) AS m FROM {TWO}"), tables, 3)
    assert caught.value.hint == "write housing.score"
    sql = f"SELECT AVG(housing.score * social.score) AS m FROM {TWO}"
    question = ask(plan(Statement("s", sql), tables, 3), tables)
    assert question.moments == ((), ((0, 0), (1, 0)))


def test_a_row_below_zero_is_shifted_and_shifted_back() -> None:
    tables = changed("housing", "months", minimum=-480)
    sql = f"SELECT SUM(months * months_36) AS p FROM {TWO}"
    question = ask(plan(Statement("s", sql), tables, 3), tables)
    assert question.staged[0].bounds == (960,)
    assert "feature_0" in question.staged[0].sql
    # 2 people: (-480, 3), (7, 36)
    counts = {(): 2, ((0, 0), (1, 0)): 0 * 3 + 487 * 36, ((1, 0),): 39, ((0, 0),): 487}
    opened = [counts[moment] for moment in question.moments]
    assert question.values(opened) == [-480 * 3 + 7 * 36]
