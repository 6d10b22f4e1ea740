"""Scenario files: what is read, and how every mistake is explained."""

from __future__ import annotations

import dataclasses
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stayput.disclosure import defaults
from stayput.errors import ScenarioError
from stayput.scenario import (
    AuthorisationMode,
    Authority,
    ColumnRole,
    ColumnType,
    Dominance,
    Grade,
    Limits,
    NoiseMechanism,
    OutputPolicy,
    Outside,
    Privacy,
    Scenario,
)
from stayput.scenario_file import (
    check_scenario_file,
    parse_scenario_file,
    parse_tables,
)
from stayput.strict_yaml import MAX_FILE_CHARACTERS

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "src" / "stayput" / "demo_data" / "nyc-delays.yaml"
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
NONCE = bytes(range(16))
USUAL = defaults.policy()
GEOMETRIC, GAUSSIAN = NoiseMechanism.GEOMETRIC, NoiseMechanism.GAUSSIAN

GOOD = """\
scenario: small
title: A small question
purpose: To test reading.
data_user: asker
checker: office
holders: [a, b, c]
limits: {runs: 3, valid_until: 2027-06-30}
tables:
  t:
    at: [a, b, c]
    columns:
      k: {type: level, levels: [x, "NO", 9E], grade: public}
      v: {type: decimal, decimals: 2, min: -0.05, max: 1000000.1, grade: internal, outside: clip}
statements:
  s:
    sql: |
      SELECT k, COUNT(*) AS n, AVG(v) AS mean_v
      FROM t
      WHERE v >= :least
      GROUP BY k
    parameters:
      least: {type: decimal, decimals: 1, min: -0.5, max: 99}
"""


def mistakes(text: str) -> list[ScenarioError]:
    return check_scenario_file(text)


def only(text: str) -> ScenarioError:
    found = mistakes(text)
    assert len(found) == 1, [(e.line, e.where, str(e)) for e in found]
    return found[0]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def place(text: str, marker: str) -> tuple[int, int]:
    """1-based line and column of the first occurrence of ``marker``: the oracle for positions."""
    before = text[: text.index(marker)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


# --- what is read --------------------------------------------------------------------------------


def test_a_good_file() -> None:
    assert mistakes(GOOD) == []
    scenario = parse_scenario_file(GOOD, nonce=NONCE)
    assert (scenario.name, scenario.title, scenario.purpose) == (
        "small",
        "A small question",
        "To test reading.",
    )
    assert (scenario.data_user, scenario.checker) == ("asker", "office")
    assert scenario.holders == ("a", "b", "c")
    assert scenario.nonce == NONCE
    level, number = scenario.tables[0].columns
    assert level.type is ColumnType.LEVEL
    assert level.levels == ("x", "NO", "9E")
    assert (level.grade, level.outside) == (Grade.PUBLIC, Outside.REFUSE)
    assert (number.decimals, number.minimum, number.maximum) == (2, -5, 100_000_010)
    assert number.outside is Outside.CLIP
    (statement,) = scenario.statements
    assert statement.sql.startswith("SELECT k, COUNT(*)")
    assert statement.sql.endswith("GROUP BY k")
    (parameter,) = statement.parameters
    assert (parameter.minimum, parameter.maximum) == (-5, 990)


def test_defaults_are_written_out() -> None:
    scenario = parse_scenario_file(GOOD, nonce=NONCE)
    assert scenario.output == USUAL
    assert scenario.tables[0].max_rows == 10**9
    assert scenario.tables[0].columns[0].nullable is False
    assert scenario.tables[0].columns[0].roles == ()


def test_valid_until_includes_its_day() -> None:
    limits = parse_scenario_file(GOOD, nonce=NONCE).limits
    after = datetime.datetime(2027, 7, 1, tzinfo=datetime.UTC)
    assert limits == Limits(runs=3, valid_until=int(after.timestamp()))


def test_the_nonce_makes_the_identity() -> None:
    one, two = (parse_scenario_file(GOOD, nonce=bytes([n]) * 16) for n in (1, 2))
    assert one.digest != two.digest
    assert one.digest == parse_scenario_file(GOOD, nonce=b"\x01" * 16).digest


def test_layout_and_comments_do_not_matter() -> None:
    other = GOOD.replace("holders: [a, b, c]", "holders:  # three\n- a\n- b\n- 'c'", 1)
    assert parse_scenario_file(other, nonce=NONCE) == parse_scenario_file(GOOD, nonce=NONCE)


def test_roles() -> None:
    text = changed("grade: public}", "grade: public, role: [filter, key]}").replace(
        "outside: clip}", "outside: clip, role: [measure, filter]}"
    )
    columns = parse_scenario_file(text, nonce=NONCE).tables[0].columns
    assert columns[0].roles == (ColumnRole.KEY, ColumnRole.FILTER)
    error = only(changed("grade: public}", "grade: public, role: measure}"))
    assert str(error) == "k is used as key, but its role is measure"
    assert error.where == "statements.s.sql"


def test_the_demo_scenario() -> None:
    text = DEMO.read_text()
    assert mistakes(text) == []
    scenario = parse_scenario_file(text, nonce=NONCE)
    assert scenario.name == "nyc-delays"
    assert scenario.holders == ("ewr", "jfk", "lga")
    assert (scenario.data_user, scenario.checker) == ("port-authority", "city-statistics-office")
    assert len(scenario.statements) == 3
    assert scenario.output == USUAL


def test_the_demo_contract_holds_the_demo_data() -> None:
    duckdb = pytest.importorskip("duckdb")
    table = parse_scenario_file(DEMO.read_text(), nonce=NONCE).table("flights")
    for holder in table.holders:
        path = DEMO.parent / f"{holder}.parquet"
        for column in table.columns:
            (row,) = duckdb.execute(
                f"SELECT MIN({column.name}), MAX({column.name}), COUNT(*) - COUNT({column.name})"
                f" FROM read_parquet('{path}')"
            ).fetchall()
            if column.minimum is not None and column.maximum is not None:
                assert column.minimum <= row[0] <= row[1] <= column.maximum
            assert column.nullable or row[2] == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_sample_scenarios(path: Path) -> None:
    text = path.read_text()
    assert [(e.line, str(e)) for e in mistakes(text)] == []
    assert isinstance(parse_scenario_file(text, nonce=NONCE), Scenario)


def test_there_are_samples() -> None:
    assert len(EXAMPLES) >= 2


@settings(max_examples=100)
@given(st.integers(-(10**16), 10**16), st.integers(0, 9))
def test_bounds_are_exact(value: int, decimals: int) -> None:
    value %= 10**17
    written = f"{Decimal(value).scaleb(-decimals):f}"
    text = f"""
tables:
  t:
    at: [a, b]
    columns:
      v: {{type: decimal, decimals: {decimals}, min: -{written}, max: {written}, grade: public}}
"""
    (table,) = parse_tables(text)
    assert (table.columns[0].minimum, table.columns[0].maximum) == (-value, value)


# --- mistakes: all at once, each in its place --------------------------------------------------


def test_all_mistakes_at_once_in_order_of_lines() -> None:
    text = (
        GOOD.replace("scenario: small", "scenario: Small One")
        .replace("runs: 3", "runs: 1_000")
        .replace("grade: public", "grade: secret")
        .replace("min: -0.05", "min: -0.055")
        .replace("checker: office", "cheker: office")
    )
    found = mistakes(text)
    assert [error.where for error in found] == [
        "scenario file",
        "scenario",
        "cheker",
        "limits.runs",
        "tables.t.columns.k.grade",
        "tables.t.columns.v.min",
    ]
    assert [error.line for error in found] == sorted(error.line for error in found)
    with pytest.raises(ScenarioError, match="5 more") as caught:
        parse_scenario_file(text, nonce=NONCE)
    assert caught.value.line == found[0].line


MISTAKES = [
    # (old, new, marker of the place, where, in the message, in the hint)
    ("title: A small question", "title: NO", "NO\n", "title", "means false", '"NO"'),
    ("title: A small question", "title: 2024-01-01", "2024", "title", "means a date", "quotes"),
    ("title: A small question", "title:", "\npurpose", "title", "no text", "after the colon"),
    ("title: A small question", "title: 12", "12", "title", "means a number", '"12"'),
    ("title: A small question", "title: [x]", "[x]", "title", "found a list", ""),
    ("title: A small question", 'title: "a\\e[31mb"', '"a', "title", "U+001B", "remove"),
    ("title: A small question", 'title: "a\\u202eb"', '"a', "title", "U+202E", "remove"),
    ("title: A small question", "title: " + "x" * 201, "xxx", "title", "more than 200", ""),
    ("data_user: asker", "data_user: The Asker", "The Asker", "data_user", "no name", "the-asker"),
    ("data_user: asker", "data_user: a", "a\ncheck", "data_user", "also a holder", "different"),
    ("checker: office", "checker: asker", "asker\nhold", "checker", "another role", "different"),
    ("holders: [a, b, c]", "holders: [a, b, no]", "no]", "holders[2]", "means false", '"no"'),
    ("holders: [a, b, c]", "holders: a", "a\nlimits", "holders", "expected a list", "[one, two]"),
    ("runs: 3", "runs: 0", "0, valid", "limits.runs", "outside 1", ""),
    ("runs: 3", "runs: 1_000", "1_000", "limits.runs", "whole number", "underscores"),
    ("runs: 3", "runs: 010", "010", "limits.runs", "whole number", "octal"),
    ("runs: 3", "runs: 1:30", "1:30", "limits.runs", "whole number", "base 60"),
    ("runs: 3", "runs: 3.0", "3.0", "limits.runs", "whole number", "no point"),
    ("runs: 3", "runs: 1e3", "1e3", "limits.runs", "whole number", "exponent"),
    ("runs: 3", "runs: 0x10", "0x10", "limits.runs", "whole number", "decimal digits"),
    ("runs: 3", "runs: +3", "+3", "limits.runs", "whole number", "plus"),
    ("runs: 3", 'runs: "3"', '"3"', "limits.runs", "quoted", "remove the quotes"),
    ("runs: 3", "runs: ٣", "٣", "limits.runs", "whole number", "digits"),
    ("runs: 3", "run: 3", "run: 3", "limits.run", "unknown key 'run'", "did you mean runs?"),
    ("2027-06-30", "2027-06-31", "2027-06-31", "limits.valid_until", "calendar", ""),
    ("2027-06-30", "2027-6-30", "2027-6-30", "limits.valid_until", "no date", "2027-06-30"),
    ("2027-06-30", "30.06.2027", "30.06", "limits.valid_until", "no date", "year-month-day"),
    ("2027-06-30", "1960-06-30", "1960", "limits.valid_until", "long over", ""),
    ("2027-06-30", "9999-12-31", "9999", "limits.valid_until", "calendar", ""),
    ("at: [a, b, c]", "at: [a, b]", "[a, b]\n", "tables.t.at", "differ: c", "every holder"),
    ("k: {type: level", "K: {type: level", "K: {", "tables.t.columns.K", "no name", "such as k"),
    ('levels: [x, "NO"', "levels: [x, NO", "NO, 9E", "tables.t.columns.k.levels[1]", "false", "NO"),
    ("9E]", "1.0]", "1.0]", "tables.t.columns.k.levels[2]", "a number", '"1.0"'),
    ("9E]", "x]", "x], ", "tables.t.columns.k.levels", "listed twice", ""),
    ("9E]", "__other__]", '[x, "NO', "tables.t.columns.k.levels", "reserved", "outside: other"),
    ("type: level", "type: text", "text", "tables.t.columns.k.type", "not known", "free text"),
    ("type: level", "type: date", "date", "tables.t.columns.k.type", "not known", "number of days"),
    ("type: level", "type: enum", "enum", "tables.t.columns.k.type", "not known", "mean level?"),
    ("grade: public", "grade: secret", "secret", "tables.t.columns.k.grade", "", "sensitive?"),
    ("grade: public", "outside: refuse", "{type: level", "tables.t.columns.k", "grade is missing",
     "public, internal, sensitive"),
    ("grade: public", "grade: public, min: 1", "1}", "tables.t.columns.k.min", "no min", "numbers"),
    ("grade: public", "grade: public, outside: clip", "clip}", "tables.t.columns.k.outside",
     "only numbers", "other for levels"),
    ("grade: public", "grade: public, nullable: yes", "yes}", "tables.t.columns.k.nullable",
     "true or false", ""),
    ("outside: clip", "outside: other", "other}", "tables.t.columns.v.outside", "only levels", ""),
    ("decimals: 2, ", "", "{type: decimal, min", "tables.t.columns.v", "decimals is missing", ""),
    ("min: -0.05", "min: -0.055", "-0.055", "tables.t.columns.v.min", "3 decimals", "declare more"),
    ("min: -0.05", "min: .5", ".5", "tables.t.columns.v.min", "expected a number", "0 before"),
    ("min: -0.05", "min: .inf", ".inf", "tables.t.columns.v.min", "expected a number", "finite"),
    ("min: -0.05", "min: 2000000", "2000000", "tables.t.columns.v.min", "above max", "swap"),
    ("max: 1000000.1", "max: 1,000", None, "tables.t.columns.v.000", "unknown key", ""),
    ("max: 1000000.1", "max: 99999999999999999999", "9999999", "tables.t.columns.v.max", "", ""),
    ("max: 1000000.1", "max: 1000000000000000000", "100000000", "tables.t.columns.v.max",
     "too large", "coarser unit"),
    ("    parameters:", "    params:", "params", "statements.s.params", "unknown key",
     "did you mean parameters?"),
    ("    sql: |", "    query: |", "query", "statements.s.query", "unknown key", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "marker", "where", "message", "hint"), MISTAKES)
def test_a_mistake_is_explained_in_its_place(
    old: str, new: str, marker: str | None, where: str, message: str, hint: str
) -> None:
    text = changed(old, new)
    found = [error for error in mistakes(text) if error.where == where]
    assert found, [(e.where, str(e)) for e in mistakes(text)]
    error = found[0]
    assert message in str(error)
    assert hint in error.hint
    if marker is not None and not marker.startswith("\n"):
        assert (error.line, error.column) == place(text, marker)
    with pytest.raises(ScenarioError):
        parse_scenario_file(text, nonce=NONCE)


@pytest.mark.parametrize(
    ("output", "where", "message", "hint"),
    [
        ("{min_count: 0}", "output.min_count", "outside", ""),
        ("{min_holders: 1}", "output.min_holders", "at least 2", "that holder's part"),
        ("{min_holders: 4}", "output.min_holders", "only 3 holders", "min_holders: 3"),
        ("{epsilon: 1}", "output.epsilon", "another place", "privacy: {mechanism"),
        ("{p_percent: 10}", "output.p_percent", "unknown key", ""),
        ("{min_count: none}", "output.min_count", "cannot be switched off", ""),
        ("{dominance: 10}", "output.dominance", "expected keys", ""),
        ("{dominance: {}}", "output.dominance", "no rule", "dominance: none"),
        ("{dominance: {p_percent: 0}}", "output.dominance.p_percent", "outside", ""),
        ("{dominance: {top_one_percent: 100}}", "output.dominance.top_one_percent", "outside", ""),
        ("{group_percent: 50}", "output.group_percent", "outside", ""),
        ("{zeros: show}", "output.zeros", "withhold or release", ""),
        ("{rounding: 1}", "output.rounding", "outside", ""),
        ("{min_freedom: many}", "output.min_freedom", "", ""),
        ("{min_cout: 10}", "output.min_cout", "unknown key", "did you mean min_count?"),
        ("10", "output", "expected keys and values", ""),
    ],
)
def test_output_policy(output: str, where: str, message: str, hint: str) -> None:
    error = only(GOOD + f"output: {output}\n")
    assert error.where == where
    assert message in str(error)
    assert hint in error.hint
    assert error.line == GOOD.count("\n") + 1


@pytest.mark.parametrize(
    ("output", "changes"),
    [
        ("{}", {}),
        ("{dominance: none}", {"dominance": None}),
        (
            "{dominance: {top_one_percent: 50, top_two_percent: 67}}",
            {"dominance": Dominance(0, 50, 67)},
        ),
        ("{group_percent: none, min_freedom: none}", {"group_percent": 0, "min_freedom": 0}),
        ("{min_count_per_holder: 5, rounding: 5}", {"min_count_per_holder": 5, "rounding": 5}),
        ("{zeros: release}", {"release_zeros": True}),
        ("{zeros: withhold}", {}),
    ],
)
def test_rules_of_output(output: str, changes: dict[str, Any]) -> None:
    scenario = parse_scenario_file(GOOD + f"output: {output}\n", nonce=NONCE)
    assert scenario.output == dataclasses.replace(USUAL, **changes)


def test_a_table_names_whom_a_row_is_about() -> None:
    column = "      person: {type: integer, min: 0, max: 10, grade: internal}\n"
    text = GOOD.replace(
        "    columns:\n", "    unit: person\n    units_apart: true\n    columns:\n" + column, 1
    )
    table = parse_scenario_file(text, nonce=NONCE).tables[0]
    assert (table.unit, table.units_apart) == ("person", True)
    (error,) = mistakes(text.replace("unit: person", "unit: nobody"))
    assert "no declared column" in str(error)
    (error,) = mistakes(text.replace("max: 10, grade", "max: 10, nullable: true, grade"))
    assert "never missing" in str(error)
    (error,) = mistakes(text.replace("SELECT k,", "SELECT k, SUM(person) AS p,"))
    assert "says whom a row is about" in str(error)


def test_two_holders_have_to_say_so() -> None:
    two = GOOD.replace("[a, b, c]", "[a, b]")
    error = only(two)
    assert error.where == "output.min_holders"
    assert "min_holders: 2" in error.hint
    assert "waive" in error.hint
    scenario = parse_scenario_file(two + "output: {min_holders: 2}\n", nonce=NONCE)
    assert scenario.output == dataclasses.replace(USUAL, min_holders=2)


def test_repeated_keys_are_refused() -> None:
    error = only(GOOD + "title: Another\n")
    assert error.line == GOOD.count("\n") + 1
    assert "appears twice" in str(error)
    assert "line 2" in error.hint
    inner = changed("grade: public}", "grade: public, grade: sensitive}")
    assert "appears twice" in str(only(inner))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 0, "empty"),
        ("# only a comment\n", 0, "empty"),
        ("scenario: &x small\n", 1, "anchors"),
        ("a: 1\nb: *x\n", 2, "anchors"),
        ("a: 1\nb: !!python/object/apply:os.system [x]\n", 2, "tags"),
        ("a: !custom x\n", 1, "tags"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: {b: [}\n", 1, "not YAML"),
        ("a:\n\tb: 1\n", 2, "not YAML"),
        ("a: \x07\n", 1, "U+0007"),
        ("a: 1\nb: x\x1b[31m\n", 2, "U+001B"),
        ("[" * 100_000, 1, "nested too deeply"),
        ("- " * 5_000, 1, "nested too deeply"),
        ("x" * (MAX_FILE_CHARACTERS + 1), 0, "more than"),
        ("just text\n", 1, "expected keys and values"),
        ("- a\n", 1, "expected keys and values"),
        ("? [a, b]\n: 1\n", 1, "plain word"),
    ],
)
def test_hostile_yaml(text: str, line: int, message: str) -> None:
    found = [error for error in mistakes(text) if message in str(error)]
    assert found, [(e.line, str(e)) for e in mistakes(text)]
    assert found[0].line == line
    with pytest.raises(ScenarioError):
        parse_scenario_file(text, nonce=NONCE)


def test_an_alias_bomb_never_unfolds() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for one, two in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{two}: &{two} [{', '.join([f'*{one}'] * 9)}]\n"
    assert "anchors" in str(only(bomb))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
@example("\ufeffscenario: x")
@example("? ?")
@example("{?: }")
@example("a: |\n  x\n b")
@example("!")
@example("%YAML 9.9\n--- a")
@example("'")
def test_any_text_gives_mistakes_and_no_crash(text: str) -> None:
    assert mistakes(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_never_crashes(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 40)))
    insert = data.draw(st.text(alphabet="[]{}:,|>-&*!#'\"\n x0_é", max_size=6))
    text = GOOD[:start] + insert + GOOD[end:]
    if not mistakes(text):
        assert isinstance(parse_scenario_file(text, nonce=NONCE), Scenario)


def test_messages_repeat_no_invisible_text() -> None:
    text = changed("data_user: asker", 'data_user: "x\\e[2J\\u202ey"')
    error = only(text)
    assert "\x1b" not in str(error)
    assert "\u202e" not in str(error)


# --- SQL -----------------------------------------------------------------------------------------


def test_sql_mistakes_point_into_the_file() -> None:
    text = changed("WHERE v >= :least", "WHERE nosuch >= :least")
    error = only(text)
    assert error.where == "statements.s.sql"
    assert (error.line, error.column) == place(text, "nosuch")


@pytest.mark.parametrize(
    "form",
    [
        "sql: SELECT k, COUNT(*) AS n, MAX(v) AS m FROM t GROUP BY k",
        "sql: 'SELECT k, COUNT(*) AS n, MAX(v) AS m FROM t GROUP BY k'",
        'sql: "SELECT k, COUNT(*) AS n, MAX(v) AS m FROM t GROUP BY k"',
        "sql: |-\n\n        SELECT k,\n          COUNT(*) AS n,\n          MAX(v) AS m\n"
        "        FROM t GROUP BY k",
        "sql: |2\n      SELECT k,\n          COUNT(*) AS n, MAX(v) AS m\n      FROM t GROUP BY k",
    ],
)
def test_sql_in_any_yaml_style(form: str) -> None:
    head = GOOD[: GOOD.index("    sql: |")]
    text = f"{head}    {form}\n"
    error = only(text)
    assert (error.line, error.column) == place(text, "MAX")


def test_folded_sql_points_to_its_beginning() -> None:
    head = GOOD[: GOOD.index("    sql: |")]
    text = head + "    sql: >\n      SELECT k,\n      MAX(v) AS m FROM t GROUP BY k\n"
    assert only(text).line == place(text, "sql: >")[0]


def test_every_statement_is_checked() -> None:
    text = GOOD + "  s2: {sql: 'SELECT nosuch FROM t'}\n  s3: {sql: 'DELETE FROM t'}\n"
    assert [error.where for error in mistakes(text)] == ["statements.s2.sql", "statements.s3.sql"]


# --- table contracts alone -----------------------------------------------------------------------


def test_tables_alone() -> None:
    text = "tables:\n  t: {at: [a, b], columns: {b: {type: boolean, grade: public}}}\n"
    (table,) = parse_tables(text)
    assert table.holders == ("a", "b")
    with pytest.raises(ScenarioError) as caught:
        parse_tables(text + "title: x\n")
    assert caught.value.where == "title"
    with pytest.raises(ScenarioError, match="nested too deeply"):
        parse_tables("[" * 50)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{mechanism: geometric, epsilon: 0.5}", Privacy(GEOMETRIC, epsilon=500_000_000)),
        ("{mechanism: laplace, epsilon: 0.5}", None),
        ("{mechanism: gaussian, rho: 0.05, unit: row}", Privacy(GAUSSIAN, rho=50_000_000)),
        (
            "{mechanism: gaussian, epsilon: 1, delta: 1e-9}",
            Privacy(GAUSSIAN, epsilon=10**9, delta=10**9),
        ),
        (
            "{mechanism: gaussian, epsilon: 1, delta: 0.000001}",
            Privacy(GAUSSIAN, epsilon=10**9, delta=10**12),
        ),
        ("{mechanism: geometric, epsilon: 0.0001}", Privacy(GEOMETRIC, epsilon=10**5)),
    ],
)
def test_noise_is_declared(written: str, expected: Privacy | None) -> None:
    text = GOOD + f"privacy: {written}\n"
    if expected is None:
        assert "did you mean geometric" in only(text).hint
        return
    scenario = parse_scenario_file(text, nonce=NONCE)
    assert scenario.output == OutputPolicy(10, 3, privacy=expected)


@pytest.mark.parametrize(
    ("written", "where", "message"),
    [
        ("{mechanism: geometric, epsilon: 0}", "privacy.epsilon", "outside 0.0001 to 10"),
        ("{mechanism: geometric, epsilon: -1}", "privacy.epsilon", "outside"),
        ("{mechanism: geometric, epsilon: 10.1}", "privacy.epsilon", "outside"),
        ("{mechanism: geometric, epsilon: 0.00001}", "privacy.epsilon", "outside"),
        ("{mechanism: geometric, epsilon: 1000000000000000000}", "privacy.epsilon", "too large"),
        ("{mechanism: geometric, epsilon: 0.0000000001}", "privacy.epsilon", "decimals"),
        ("{mechanism: geometric, epsilon: .inf}", "privacy.epsilon", "expected a number"),
        ("{mechanism: geometric, epsilon: .nan}", "privacy.epsilon", "expected a number"),
        ("{mechanism: geometric, epsilon: inf}", "privacy.epsilon", "expected a number"),
        ("{mechanism: geometric, epsilon: 1e2}", "privacy.epsilon", "expected a number"),
        ("{mechanism: geometric, epsilon: '1'}", "privacy.epsilon", "quoted"),
        ("{mechanism: gaussian, rho: 0}", "privacy.rho", "outside"),
        ("{mechanism: gaussian, rho: 11}", "privacy.rho", "outside"),
        ("{mechanism: gaussian, epsilon: 1, delta: 0}", "privacy.delta", "outside"),
        ("{mechanism: gaussian, epsilon: 1, delta: 0.1}", "privacy.delta", "outside"),
        ("{mechanism: gaussian, epsilon: 1, delta: 1e-19}", "privacy.delta", "expected a number"),
        ("{mechanism: gaussian, epsilon: 1}", "privacy", "rho or epsilon and delta"),
        ("{mechanism: gaussian, rho: 1, delta: 1e-9}", "privacy", "rho or epsilon and delta"),
        ("{mechanism: geometric, rho: 1}", "privacy", "declared by epsilon"),
        ("{mechanism: geometric}", "privacy", "declared by epsilon"),
        ("{epsilon: 1}", "privacy", "mechanism is missing"),
        ("{mechanism: uniform, epsilon: 1}", "privacy.mechanism", "not known here"),
        ("{mechanism: geometric, epsilon: 1, scale: 0}", "privacy.scale", "unknown key"),
        ("{mechanism: geometric, epsilon: 1, max_rows_per_unit: 2}", "privacy", "1 where the unit"),
        ("{mechanism: geometric, epsilon: 1, unit: age}", "privacy", "max_rows_per_unit is miss"),
        (
            "{mechanism: geometric, epsilon: 1, unit: row, max_rows_per_unit: 0}",
            "privacy.max_rows_per_unit",
            "outside",
        ),
    ],
)
def test_noise_that_hides_nobody_or_everything_is_refused(
    written: str, where: str, message: str
) -> None:
    error = only(GOOD + f"privacy: {written}\n")
    assert error.where == where
    assert message in str(error)
    if where in ("privacy.epsilon", "privacy.delta", "privacy.rho"):
        assert error.hint, "what to write instead"


def test_a_unit_that_the_table_does_not_declare() -> None:
    text = GOOD + "privacy: {mechanism: gaussian, rho: 1, unit: who, max_rows_per_unit: 3}\n"
    assert "its unit is not who" in str(only(text))


@pytest.mark.parametrize(
    "rule",
    ["dominance: {p_percent: 10}", "group_percent: 90", "zeros: release", "rounding: 5",
     "min_freedom: 10", "min_count_per_holder: 5"],
)  # fmt: skip
def test_a_rule_that_needs_exact_numbers_is_not_promised_beside_noise(rule: str) -> None:
    noise = "privacy: {mechanism: gaussian, rho: 0.05}\n"
    error = only(GOOD + noise + f"output: {{{rule}}}\n")
    assert "not evaluated where holders add noise" in str(error)
    assert error.where == "output." + rule.split(":")[0]
    text = GOOD + noise + "output: {min_count: 50, min_holders: 2}\n"
    assert parse_scenario_file(text, nonce=NONCE).output.min_count == 50


# --- who authorises, and which version it is ------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "where", "message"),
    [
        ("authorisation: both", "authorisation", "one mode"),
        ("authorisation: {}", "authorisation", "one mode"),
        ("authorisation: {centralised: a, sectoral: {b: [a]}}", "authorisation", "one mode"),
        ("authorisation: {central: bureau}", "authorisation.central", "unknown key"),
        ("authorisation: {centralised: [a]}", "authorisation.centralised", "expected a text"),
        ("authorisation: {centralised: Bureau}", "authorisation.centralised", "is no name"),
        ("authorisation: {centralised: a}", "authorisation", "no other part"),
        ("authorisation: {sectoral: {}}", "authorisation.sectoral", "a has no authority"),
        ("authorisation: {sectoral: {b: [a, b]}}", "authorisation.sectoral", "c has no"),
        (
            "authorisation: {sectoral: {b: [a, b], c: [b, c]}}",
            "authorisation.sectoral",
            "b has two authorities",
        ),
        (
            "authorisation: {sectoral: {b: [a, b, c, sfo]}}",
            "authorisation.sectoral",
            "sfo is no holder",
        ),
        ("authorisation: {sectoral: {b: a}}", "authorisation.sectoral.b", "expected a list"),
        ("replaces: 12345678", "replaces", "means a number"),
        ("replaces: ab", "", ""),
        ("replaces: Two Words", "replaces", "names no scenario"),
        ("replaces: [a]", "replaces", "expected a text"),
    ],
)
def test_authorities_and_versions_are_read_strictly(written: str, where: str, message: str) -> None:
    found = mistakes(GOOD + written + "\n")
    if not message:
        assert found == []
        return
    assert any(e.where == where and message in str(e) for e in found), found


def test_authorities_and_versions_are_what_was_written() -> None:
    sectors = "authorisation: {sectoral: {rail: [c], air: [b, a]}}\nreplaces: earlier-one\n"
    asked: list[str] = []

    def earlier(name: str) -> bytes:
        asked.append(name)
        return b"e" * 32

    scenario = parse_scenario_file(GOOD + sectors, nonce=NONCE, earlier=earlier)
    assert scenario.authorities == (Authority("air", ("b", "a")), Authority("rail", ("c",)))
    assert scenario.authorisation is AuthorisationMode.SECTORAL
    assert (scenario.replaces, asked) == (b"e" * 32, ["earlier-one"])
    central = parse_scenario_file(GOOD + "authorisation: {centralised: air}\n", nonce=NONCE)
    assert central.authorities == (Authority("air", central.holders),)
    plain = parse_scenario_file(GOOD, nonce=NONCE)
    assert parse_scenario_file(GOOD + "authorisation: dispersed\n", nonce=NONCE) == plain
    unknown = parse_scenario_file(GOOD + "replaces: earlier-one\n", nonce=NONCE)
    assert unknown.replaces == bytes(32)  # the digest of no scenario: it cannot be proposed
