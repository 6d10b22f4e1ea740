"""What is not in the grammar is refused, with construct, place and a way out."""

from __future__ import annotations

import pytest

from stayput.errors import SqlError
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    Outside,
    Parameter,
    Statement,
    TableContract,
)
from stayput.sql import Plan, plan
from stayput.sql.reading import MAX_CHARACTERS

INT, LEVEL, DECIMAL, BOOL = (
    ColumnType.INTEGER,
    ColumnType.LEVEL,
    ColumnType.DECIMAL,
    ColumnType.BOOLEAN,
)


def _number(name: str, low: int, high: int, decimals: int = 0) -> Column:
    kind = DECIMAL if decimals else INT
    return Column(
        name, kind, Grade.INTERNAL, Outside.CLIP, decimals=decimals, minimum=low, maximum=high
    )


FLIGHTS = TableContract(
    "flights",
    ("a", "b"),
    (
        Column("carrier", LEVEL, Grade.PUBLIC, Outside.OTHER, levels=("AA", "UA")),
        Column("origin", LEVEL, Grade.PUBLIC, Outside.OTHER, levels=("EWR", "JFK")),
        Column("night", BOOL, Grade.PUBLIC, Outside.REFUSE, nullable=True),
        _number("month", 1, 12),
        _number("dist", 0, 5_000),
        _number("flag", 0, 1),
        _number("id", 0, 10**7),
        _number("huge", -(10**18), 10**18),
        _number("delay", -9_000, 130_000, 2),
        _number("first", 0, 9),  # a keyword of some dialects
    ),
    1_000_000,
)
OTHER_TABLE = TableContract("people", ("a", "b"), (_number("age", 0, 120),), 100)
PARAMETERS = {
    "p": Parameter("p", INT, 0, 1, 12),
    "lvl": Parameter("lvl", LEVEL, levels=("AA", "DL")),
}


def plan_of(sql: str, *parameters: str) -> Plan:
    declared = tuple(PARAMETERS[name] for name in parameters)
    return plan(Statement("s", sql, declared), [FLIGHTS, OTHER_TABLE], 2)


def place(sql: str) -> tuple[str, tuple[int, int]]:
    """The text without its mark ``«``, and the line and column of the mark."""
    at = sql.index("«")
    before = sql[:at]
    return sql.replace("«", ""), (before.count("\n") + 1, at - before.rfind("\n"))


# (SQL with « before the place that the error names, part of the message, part of the hint)
REFUSALS = [
    # not one SELECT over one table
    ("«DELETE FROM flights", "begins with SELECT", "SELECT keys"),
    ("«WITH x AS (SELECT 1) SELECT COUNT(*) FROM x", "WITH is not supported", "FILTER or CASE"),
    ("«FROM flights SELECT COUNT(*)", "begins with SELECT", "SELECT keys"),
    ("SELECT COUNT(*) FROM flights«; DROP TABLE flights", "; is not supported", "semicolon"),
    ("SELECT COUNT(*) FROM flights«;", "; is not supported", "semicolon"),
    ("SELECT COUNT(*) FROM («SELECT * FROM flights)", "subqueries", "WHERE, FILTER or CASE"),
    (
        "SELECT COUNT(*) FROM flights WHERE dist > («SELECT AVG(dist) FROM flights)",
        "subqueries",
        "WHERE, FILTER",
    ),
    ("SELECT COUNT(*) FROM flights «UNION ALL SELECT 1 FROM flights", "UNION", "two statements"),
    ("SELECT COUNT(*) FROM flights «JOIN people ON TRUE", "JOIN", "one table"),
    ("SELECT COUNT(*) FROM flights, «people", "join", "one table"),
    ("SELECT COUNT(*) FROM «secrets", "no table 'secrets'", "flights, people"),
    ("SELECT COUNT(*) FROM «f.flights", "qualified", "FROM"),
    ("SELECT COUNT(*) FROM «flights AS f", "alias", "FROM"),
    ("SELECT COUNT(*) FROM «read_csv('/etc/passwd')", "READ_CSV", "functions are"),
    ("SELECT COUNT(*) FROM «'/etc/passwd'", "no table '/etc/passwd'", "flights, people"),
    ("«SELECT COUNT(*)", "reads no table", "FROM"),
    ("SELECT COUNT(*) «INTO x FROM flights", "INTO", "only reads"),
    ("SELECT COUNT(*) FROM flights «FOR UPDATE", "FOR", "only reads"),
    ("SELECT COUNT(*) FROM flights «TABLESAMPLE 10", "TABLESAMPLE", "whole table"),
    ("SELECT COUNT(*) «-- all of them\nFROM flights", "comments", "description"),
    ("SELECT COUNT(*) «/* x */ FROM flights", "comments", "description"),
    # clauses
    ("SELECT month, COUNT(*) FROM flights GROUP BY month «HAVING COUNT(*) > 1", "HAVING", "policy"),
    ("SELECT COUNT(*) FROM flights «LIMIT 5", "LIMIT", "sort the released"),
    ("SELECT COUNT(*) FROM flights «OFFSET 5", "OFFSET", "sort the released"),
    ("SELECT month, COUNT(*) FROM flights GROUP BY 1 «ORDER BY 2", "ORDER BY", "declared order"),
    ("SELECT «DISTINCT month FROM flights", "DISTINCT", "group key"),
    ("SELECT COUNT(«DISTINCT month) FROM flights", "DISTINCT", "group key"),
    ("SELECT SUM(dist) «OVER () FROM flights", "OVER", "per group"),
    ("SELECT COUNT(*) FROM flights «QUALIFY 1 = 1", "QUALIFY", "per group"),
    ("SELECT COUNT(*) FROM flights GROUP BY «ALL", "ALL", "name each group key"),
    ("SELECT month, COUNT(*) FROM flights GROUP BY «ROLLUP (month)", "ROLLUP", "margin"),
    ("SELECT month, COUNT(*) FROM flights GROUP BY «CUBE (month)", "CUBE", "margin"),
    # rows
    ("SELECT «* FROM flights", "SELECT *", "group keys and aggregates"),
    ("SELECT «carrier, COUNT(*) FROM flights", "neither a group key", "GROUP BY"),
    ("«SELECT carrier FROM flights GROUP BY carrier", "no aggregate", "COUNT(*)"),
    ("SELECT carrier «|| 'x', COUNT(*) FROM flights", "|| is not supported", "CASE WHEN"),
    ("SELECT COUNT(*) FROM flights «GROUP BY month", "missing in the SELECT list", "every key"),
    ("SELECT «month + dist AS x, COUNT(*) FROM flights GROUP BY month", "neither", "GROUP BY"),
    # functions
    ("SELECT «MIN(dist) FROM flights", "MIN", "count per bin"),
    ("SELECT «max(dist) FROM flights", "MAX", "count per bin"),
    ("SELECT «MEDIAN(dist) FROM flights", "MEDIAN", "bin"),
    ("SELECT «QUANTILE_CONT(dist, 0.5) FROM flights", "QUANTILE_CONT", "bin"),
    ("SELECT «LIST(dist) FROM flights", "LIST", "aggregates per group"),
    ("SELECT «STRING_AGG(carrier, ',') FROM flights", "STRING_AGG", "aggregates per group"),
    ("SELECT «FIRST(dist) FROM flights", "FIRST", "aggregates per group"),
    ("SELECT SUM(«ABS(delay)) FROM flights", "ABS", "CASE WHEN x < 0"),
    ("SELECT SUM(«COALESCE(delay, 0)) FROM flights", "COALESCE", "IS NULL"),
    ("SELECT SUM(«CAST(delay AS INT)) FROM flights", "CAST", "table contract"),
    ("SELECT SUM(delay«::INT) FROM flights", ":: is not supported", "table contract"),
    ("SELECT «my_udf(dist) FROM flights", "MY_UDF", "functions are"),
    ("SELECT COUNT(*) FROM flights WHERE «getenv('HOME') = 'x'", "GETENV", "functions are"),
    ("SELECT COUNT(*) FROM flights WHERE carrier «LIKE 'A%'", "LIKE", "IN with the levels"),
    ("SELECT SUM(dist «** 2) FROM flights", "**", "x * x"),
    ("SELECT SUM(dist «^ 2) FROM flights", "^", "x * x"),
    ("SELECT «COUNT(month, dist) FROM flights", "COUNT", "plain form"),
    ("SELECT «COUNT() FROM flights", "COUNT()", "COUNT(*)"),
    ("SELECT COUNT(«flights) FROM flights", "no declared column 'flights'", "carrier"),
    ("SELECT «COUNT(NULL) FROM flights", "NULL", "COUNT(*)"),
    ("SELECT SUM(«SUM(dist)) FROM flights", "aggregate is not supported here", "SELECT list"),
    ("SELECT COUNT(*) FROM flights WHERE «SUM(dist) > 3", "aggregate", "SELECT list"),
    ("SELECT «SUM(night) FROM flights", "only numbers", "COUNT(*) FILTER"),
    ("SELECT «SUM(carrier) FROM flights", "only numbers", "COUNT(*) FILTER"),
    ("SELECT «CORR(dist, carrier) FROM flights", "two numeric columns", "CORR(x, y)"),
    ("SELECT «ROUND(AVG(dist), month) FROM flights", "ROUND", "ROUND(AVG(x), 2)"),
    ("SELECT 1 + «ROUND(AVG(dist), 1) FROM flights", "ROUND", "final value"),
    ("SELECT «NULLIF(SUM(dist), 1) FROM flights", "NULLIF", "NULLIF(SUM(x), 0)"),
    ("SELECT COUNT(*) * «:p FROM flights", "parameter", "WHERE"),
    # names
    ("SELECT SUM(«salary) FROM flights", "no declared column 'salary'", "declared are"),
    ("SELECT SUM(«age) FROM flights", "no declared column 'age'", "declared are"),
    ("SELECT SUM(«people.dist) FROM flights", "not the table", "flights"),
    ('SELECT SUM(«"Dist") FROM flights', "no declared column 'Dist'", "declared are"),
    ("SELECT SUM(«délai) FROM flights", "not plain ASCII", "small letters"),
    ("SELECT SUM(«ԁist) FROM flights", "not plain ASCII", "small letters"),  # Cyrillic d
    ("SELECT COUNT(*) AS n, SUM(dist) AS «N FROM flights", "called N", "AS name"),
    ('SELECT COUNT(*) AS «"a b" FROM flights', "no column name", "letters"),
    ("SELECT month, COUNT(*) FROM flights GROUP BY «3", "no position", "1 to 2"),
    ("SELECT month, COUNT(*) FROM flights «GROUP BY month, 1", "twice", "once"),
    # parameters
    ("SELECT COUNT(*) FROM flights WHERE month = «:nope", "not declared", "declare it"),
    ("SELECT COUNT(*) FROM flights WHERE month = «?", "?", "name the parameter"),
    ("SELECT COUNT(*) FROM flights WHERE month = «$1", "$", "name the parameter"),
    # types and values
    ("SELECT COUNT(*) FROM flights WHERE «carrier = 3", "compared", "one type"),
    ("SELECT COUNT(*) FROM flights WHERE «carrier = 'XX'", "not a declared level", "AA, UA"),
    ("SELECT COUNT(*) FROM flights WHERE «carrier = '__other__'", "not a declared level", "AA, UA"),
    ("SELECT COUNT(*) FROM flights WHERE «carrier < 'UA'", "orders numbers only", "IN"),
    ("SELECT COUNT(*) FROM flights WHERE «carrier = origin", "outside its levels", "refuse"),
    ("SELECT COUNT(*) FROM flights WHERE «month", "where true or false is needed", "compare"),
    ("SELECT COUNT(*) FROM flights WHERE «night + 1 = 2", "true or false where a number", "FILTER"),
    ("SELECT COUNT(*) FROM flights WHERE «night < TRUE", "orders numbers only", "="),
    ("SELECT COUNT(*) FROM flights WHERE «month IN (dist)", "constants or parameters", "IN (1"),
    ("SELECT COUNT(*) FROM flights WHERE month = «1e3", "no plain number", "1000"),
    ("SELECT COUNT(*) FROM flights WHERE month = «1_0", "no plain number", "1000"),
    ("SELECT COUNT(*) FROM flights WHERE delay = «0.0000000001", "too many digits", "9 decimals"),
    ("SELECT COUNT(*) FROM flights WHERE «dist / 2 = 1", "between aggregates", "x // 10"),
    ("SELECT COUNT(*) FROM flights WHERE «dist // 0 = 1", "positive whole constant", "// 10"),
    ("SELECT COUNT(*) FROM flights WHERE «delay // 2 = 1", "integer", "decimals group"),
    ("SELECT COUNT(*) FROM flights WHERE «dist % month = 1", "positive whole constant", "% 10"),
    ("SELECT COUNT(*) FROM flights WHERE «!night", "! is not supported", "NOT"),
    ("SELECT COUNT(*) FROM flights WHERE «month = 1 = night", "needs parentheses", "AND"),
    ("SELECT COUNT(*) FROM flights WHERE «1 < month = night", "needs parentheses", "AND"),
    ("SELECT COUNT(*) FROM flights WHERE «month BETWEEN SYMMETRIC 2 AND 1", "symmetric", "plain"),
    ("SELECT COUNT(*) FROM flights WHERE («month, dist) = (1, 2)", "TUPLE", "columns"),
    ('SELECT "MIN"(«dist) FROM flights', "MIN", "aggregates"),
    ("SELECT «\"getenv\"('HOME'), COUNT(*) FROM flights", "ANONYMOUS", "aggregates"),
    ("SELECT COUNT(«flights.*) FROM flights", "COUNT(*) only", "aggregates"),
    ("SELECT «1 FROM flights", "constant", "aggregates"),
    # group keys
    ("SELECT «delay, COUNT(*) FROM flights GROUP BY 1", "a decimal is no group key", "CASE WHEN"),
    ("SELECT «id, COUNT(*) FROM flights GROUP BY 1", "10000001 values", "x // 10"),
    (
        "SELECT dist, month, first, COUNT(*) FROM flights «GROUP BY dist, month, first",
        "bytes",
        "fewer keys",
    ),
    ("SELECT «5 AS x, COUNT(*) FROM flights GROUP BY x", "constant", "column"),
    (
        "SELECT «CASE WHEN month = 1 THEN '__other__' ELSE 'x' END AS k, COUNT(*) FROM flights "
        "GROUP BY k",
        "label",
        "rename",
    ),
    (
        "SELECT «CASE WHEN month = 1 THEN 'a' ELSE 3 END AS k, COUNT(*) FROM flights GROUP BY k",
        "different types",
        "numbers",
    ),
    ("SELECT «CASE month WHEN 1 THEN 2 END AS k, COUNT(*) FROM flights GROUP BY k", "CASE x", ""),
    # bounds
    ("SELECT «SUM(huge * huge) FROM flights", "too large", "min/max"),
    ("SELECT «VAR_POP(huge) FROM flights", "too large", "min/max"),
    ("SELECT SUM(«huge * 1000000000000000000 * 1000) FROM flights", "too large", "min/max"),
    # rows selected by arithmetic instead of a condition: the count threshold must not be dodged
    ("SELECT «SUM(delay * flag) FROM flights", "two possible values", "FILTER"),
    ("SELECT «SUM(delay + 1000000 * flag) FROM flights", "two possible values", "FILTER"),
    ("SELECT «SUM(flag * flag * flag * delay) FROM flights", "product of more than 2", "FILTER"),
    ("SELECT «SUM((month - 1) * (month - 2) * delay) FROM flights", "more than 2", "FILTER"),
    ("SELECT «SUM(id // 10000000) FROM flights", "// and %", "FILTER"),
    ("SELECT «SUM(delay * (id // 10000000)) FROM flights", "// and %", "FILTER"),
    ("SELECT «AVG(month % 12) FROM flights", "// and %", "FILTER"),
    ("SELECT SUM(delay * («month = 3)) FROM flights", "true or false where a number", "FILTER"),
    ("SELECT SUM(delay * «CASE WHEN id = 5 THEN 1 ELSE 0 END) FROM flights", "CASE", "FILTER"),
    ("SELECT «VAR_POP(dist * month) FROM flights", "more than 1 column", "FILTER"),
    ("SELECT «CORR(delay, flag) FROM flights", "two possible values", "group key"),
    ("SELECT COUNT(night OR «NULL) FROM flights", "NULL is no operand", "IS NULL"),
    ("SELECT «SUM(flag * :p) FROM flights", "two possible values", "FILTER"),
    ("SELECT «SUM(:p) FROM flights", "parameter alone", "COUNT(*)"),
    # unreadable
    ("«SELECT COUNT(*) FROM flights WHERE carrier = 'AA", "cannot be read", "close every quote"),
    ("SELECT COUNT(*) FROM flights WHERE (month = 1«", "", ""),
    ("SELECT COUNT(*) a «b FROM flights", "'b'", "SELECT keys"),
    ("SELECT COUNT(*) FROM flights WHERE night = «!", "", ""),
    ("SELECT SUM(«[1, 2]) FROM flights", "[ is not supported", "SELECT"),
    ("SELECT SUM(«{'a': 1}) FROM flights", "{ is not supported", "SELECT"),
]


@pytest.mark.parametrize(("marked", "message", "hint"), REFUSALS)
def test_names_construct_place_and_remedy(marked: str, message: str, hint: str) -> None:
    sql, where = place(marked)
    used = tuple(name for name in PARAMETERS if f":{name}" in sql)
    with pytest.raises(SqlError) as caught:
        plan_of(sql, *used)
    error = caught.value
    assert message in error.message
    assert hint in error.hint
    assert error.hint, "an error says what to do"
    assert error.construct, "an error names the construct"
    if message:
        assert (error.line, error.column) == where


# --- bounds on the text itself ---


def test_the_longest_statement_is_read_and_a_longer_one_refused() -> None:
    head = "SELECT COUNT(*) FROM flights WHERE month = 1 "
    assert plan_of(head + " " * (MAX_CHARACTERS - len(head))).cells == 1
    with pytest.raises(SqlError, match="at most") as caught:
        plan_of(head + " " * (MAX_CHARACTERS - len(head) + 1))
    assert caught.value.construct == "length"


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 600 + "month = 1" + ")" * 600,
        "NOT " * 600 + "night",
        "month = " + "- " * 600 + "1",
        "CASE WHEN " * 600,
        "(" * 3_000,
    ],
)
def test_nesting_is_refused_before_a_parser_overflows(condition: str) -> None:
    with pytest.raises(SqlError, match="nests deeper") as caught:
        plan_of("SELECT COUNT(*) FROM flights WHERE " + condition)
    assert caught.value.line == 1


@pytest.mark.parametrize(
    "condition",
    [
        "month" + " + 1" * 1_500 + " = 1",
        "month IN (" + "1," * 2_500 + "1)",
        "month = 1" + " = 1" * 900,
    ],
)
def test_long_chains_are_refused(condition: str) -> None:
    with pytest.raises(SqlError):
        plan_of("SELECT COUNT(*) FROM flights WHERE " + condition)


def test_a_long_chain_of_alternatives_is_fine() -> None:
    sql = "SELECT COUNT(*) FROM flights WHERE " + " OR ".join(f"dist = {i}" for i in range(600))
    assert plan_of(sql).cells == 1


def test_a_declared_parameter_must_be_used() -> None:
    with pytest.raises(SqlError, match="declared but not used"):
        plan_of("SELECT COUNT(*) FROM flights", "p")


def test_a_level_parameter_takes_declared_levels_only() -> None:
    with pytest.raises(SqlError, match="'DL' is not a declared level of carrier"):
        plan_of("SELECT COUNT(*) FROM flights WHERE carrier = :lvl", "lvl")


def test_the_place_counts_lines() -> None:
    with pytest.raises(SqlError) as caught:
        plan_of("SELECT COUNT(*),\n  SUM(salary)\nFROM flights")
    assert (caught.value.line, caught.value.column) == (2, 7)
    assert caught.value.construct == "salary"


def test_keywords_of_other_dialects_may_be_declared_names() -> None:
    assert plan_of("SELECT first, AVG(dist) FROM flights GROUP BY first").columns == (
        "dist",
        "first",
    )


def test_text_inside_quotes_is_no_comment() -> None:
    sql = (
        "SELECT CASE WHEN night THEN '-- /* no' ELSE 'x' END AS k, COUNT(*) FROM flights GROUP BY k"
    )
    assert plan_of(sql).dimensions[0].values == ("-- /* no", "x")
