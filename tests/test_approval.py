"""Approval reports: complete, deterministic, and not to be spoofed by the scenario's author."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.approval import (
    WIDTH,
    ApprovalReport,
    ApprovalWarning,
    approval_report,
    column_roles,
    required_waivers,
    verify_roles,
)
from stayput.disclosure import defaults
from stayput.errors import PermissionDenied, SqlError
from stayput.scenario import (
    UNSHOWABLE,
    Column,
    ColumnRole,
    ColumnType,
    Dominance,
    Grade,
    Limits,
    NoiseMechanism,
    OutputPolicy,
    OutputReview,
    Outside,
    Parameter,
    Privacy,
    Scenario,
    Statement,
    TableContract,
)
from stayput.scenario_file import parse_scenario_file
from stayput.sql import plan
from stayput.steps import Waiver

DEMO = Path(__file__).parents[1] / "src" / "stayput" / "demo_data" / "nyc-delays.yaml"

POLICY = defaults.policy()

SECTOR = Column("sector", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("farm", "shop"))
AMOUNT = Column(
    "amount", ColumnType.DECIMAL, Grade.INTERNAL, Outside.REFUSE,
    decimals=2, minimum=-125, maximum=5,
)  # fmt: skip
LATE = Column("late", ColumnType.BOOLEAN, Grade.INTERNAL, Outside.REFUSE)
PLAIN = "SELECT sector, COUNT(*) AS n, AVG(amount) AS a FROM loans WHERE late GROUP BY sector"


def scenario(*, columns: tuple[Column, ...] = (SECTOR, AMOUNT, LATE), **changes: Any) -> Scenario:
    holders = changes.get("holders", ("a", "b", "c"))
    fields: dict[str, Any] = {
        "name": "loans",
        "title": "Loans by sector",
        "purpose": "Compare.",
        "data_user": "association",
        "checker": "office",
        "holders": holders,
        "tables": (TableContract("loans", holders, columns, 10**6),),
        "statements": (Statement("by_sector", PLAIN),),
        "output": POLICY,
        "limits": Limits(5, 1_900_000_000),
        "nonce": bytes(16),
    }
    return Scenario(**(fields | changes))


def demo() -> Scenario:
    return parse_scenario_file(DEMO.read_text(), nonce=bytes(16))


def kinds(report: ApprovalReport) -> list[ApprovalWarning]:
    return [warning.kind for warning in report.warnings]


def unquoted(text: str) -> list[str]:
    return [line for line in text.split("\n") if not line.startswith("     |")]


# --- completeness --------------------------------------------------------------------------------


def test_the_demo_report_says_everything() -> None:
    asked = demo()
    text = approval_report(asked, "jfk").text
    assert text.startswith("APPROVAL REPORT FOR jfk\n")
    for part in (
        asked.digest.hex(), "port-authority", "city-statistics-office", "ewr, jfk (you), lga",
        "On-time performance", "24 runs", "2030-12-31 23:59:59 UTC", "at least 10 rows",
        "3 of the 3 holders", ":first, chosen at each run: integer, 1 to 12", "221 cells",
        '"9E", "AA"', "PARAMETRISED_FILTER", "-120 to 1800, or missing",
    ):  # fmt: skip
        assert part in text, part
    for statement in asked.statements:
        for line in statement.sql.split("\n"):
            assert f"     | {line}" in text
        assert statement.name in text


def test_the_sql_that_runs_is_shown_as_the_plan_makes_it() -> None:
    asked = demo()
    text = approval_report(asked, "ewr").text
    shown = "".join(re.sub(r"\n     \|(\\| )", r"\1", text).replace("\\", "").split())
    for statement in asked.statements:
        made = plan(statement, asked.tables, 3, POLICY).node_sql()
        assert "".join(made.split()) in shown


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"min_count": 12}, "at least 12 rows, of at least 3 of the 3 holders"),
        ({"min_count_per_holder": 5}, "each holder has none of them, or 5 or more"),
        ({}, "is at least 10 % of the largest"),
        ({"dominance": Dominance(top_one_percent=50)}, "one contribution is at most 50 % of a sum"),
        ({"dominance": Dominance(top_two_percent=67)}, "two contributions are at most 67 %"),
        ({"dominance": None}, "DOMINANCE IS NOT CHECKED"),
        ({}, "nor 90 % of it in one of a sensitive column"),
        ({"group_percent": 0}, "GROUP DISCLOSURE IS NOT CHECKED"),
        ({"min_freedom": 8}, "8 degrees of freedom"),
        ({"release_zeros": True}, "empty cells are shown as 0"),
        ({}, "empty cells look like all other withheld ones"),
        ({"rounding": 5}, "counts are rounded to multiples of 5."),
        ({}, "numbers are exact, not rounded."),
    ],
)
def test_the_output_policy_is_said_in_words(changes: dict[str, Any], sentence: str) -> None:
    report = approval_report(scenario(output=dataclasses.replace(POLICY, **changes)), "a")
    released = report.text[report.text.index("7. WHAT IS RELEASED") :]
    assert sentence in " ".join(released.split())


@pytest.mark.parametrize(("apart", "words"), [(True, "over all holders"), (False, "at one holder")])
def test_how_people_are_counted_is_said(apart: bool, words: str) -> None:
    person = Column(
        "person", ColumnType.INTEGER, Grade.INTERNAL, Outside.REFUSE, minimum=0, maximum=9
    )
    asked = scenario(columns=(SECTOR, AMOUNT, LATE, person))
    table = dataclasses.replace(asked.tables[0], unit="person", units_apart=apart)
    text = approval_report(dataclasses.replace(asked, tables=(table,)), "a").text
    flat = " ".join(text.split())
    assert f"of loans also 10 different person: {words}" in flat
    assert re.search(r"person +internal +counts people", text)


def test_roles_and_grades_of_every_column() -> None:
    text = approval_report(demo(), "ewr").text
    rows = {
        line.split()[0]: re.split(r" {2,}", line.strip())[1:3]
        for line in text[text.index("4. YOUR") : text.index("5. WHAT")].split("\n")
        if re.match(r"   [a-z_]+ +(public|internal|sensitive) ", line)
    }
    assert rows == {
        "carrier": ["public", "key"],
        "month": ["public", "key, filter"],
        "hour": ["public", "key"],
        "dep_delay": ["internal", "measure, filter"],
        "arr_delay": ["internal", "measure"],
        "distance": ["public", "measure"],
    }


def test_numbers_read_as_people_write_them() -> None:
    text = approval_report(scenario(), "a").text
    assert "-1.25 to 0.05" in text
    assert "Not given to anybody: a row" in text


def test_level_parameters_are_listed() -> None:
    statement = Statement(
        "s",
        "SELECT COUNT(*) AS n, SUM(amount) AS total FROM loans"
        " WHERE sector = :which AND late = :yes",
        (
            Parameter("which", ColumnType.LEVEL, levels=("farm", "shop")),
            Parameter("yes", ColumnType.BOOLEAN),
        ),
    )
    report = approval_report(scenario(statements=(statement,)), "a")
    assert ":which, chosen at each run: one of 2 levels" in report.text
    assert '     | "farm", "shop"' in report.text
    assert ":yes, chosen at each run: true or false" in report.text
    (warning,) = [w for w in report.warnings if w.kind is ApprovalWarning.PARAMETRISED_FILTER]
    assert dict(warning.parameters) == {"statement": "s", "combinations": 4}


def test_strangers_get_no_report() -> None:
    for name in ("association", "office", "d", ""):
        with pytest.raises(PermissionDenied):
            approval_report(scenario(), name)


# --- identity ------------------------------------------------------------------------------------


def test_the_digest_is_of_exactly_the_text() -> None:
    report = approval_report(scenario(), "a")
    name = b"stayput.v1.ApprovalReport"
    tag = len(name).to_bytes(2, "big") + name
    oracle = hashlib.sha256(tag + scenario().nonce + report.text.encode()).digest()
    assert report.digest == oracle
    assert report.scenario == scenario().digest
    assert dataclasses.replace(report, text=report.text + " ").digest != report.digest
    # It stands in the log: without the nonce, whoever guesses the text could be sure of it.
    assert report.nonce.hex() not in report.text
    assert dataclasses.replace(report, nonce=b"n" * 16).digest != report.digest


def test_same_scenario_same_text() -> None:
    assert approval_report(demo(), "ewr") == approval_report(demo(), "ewr")


def test_each_holder_and_each_scenario_has_its_own() -> None:
    reports = [approval_report(scenario(), holder).digest for holder in "abc"]
    reports += [
        approval_report(scenario(**change), "a").digest
        for change in (
            {"nonce": b"\x01" * 16},
            {"purpose": "Compare!"},
            {"limits": Limits(6, 1_900_000_000)},
            {"limits": Limits(5, 1_900_000_001)},
            {"output": dataclasses.replace(POLICY, min_count=11)},
        )
    ]
    assert len(set(reports)) == len(reports)


# --- warnings ------------------------------------------------------------------------------------


def test_a_quiet_scenario_has_no_warnings() -> None:
    report = approval_report(scenario(), "a")
    assert report.warnings == ()
    assert "2. WARNINGS: none" in report.text


FILTERED = (
    "SELECT sector, COUNT(*) AS n, COUNT(*) FILTER (WHERE late) AS l FROM loans GROUP BY sector"
)
CASED = (
    "SELECT sector, COUNT(*) AS n, SUM(CASE WHEN late THEN amount END) AS l FROM loans"
    " GROUP BY sector"
)
ASKED_AMOUNT = Statement(
    "by_sector", PLAIN.replace("late", "late AND amount > :x"),
    (Parameter("x", ColumnType.DECIMAL, 2, -100, 0),),
)  # fmt: skip


def test_no_person_sees_results_about_sensitive_columns() -> None:
    secret = (SECTOR, dataclasses.replace(AMOUNT, grade=Grade.SENSITIVE), LATE)
    report = approval_report(scenario(columns=secret), "a")
    assert ApprovalWarning.RELEASED_UNSEEN in kinds(report)
    assert (
        "loans.amount"
        in report.warnings[kinds(report).index(ApprovalWarning.RELEASED_UNSEEN)].sentence
    )
    seen = dataclasses.replace(POLICY, review=OutputReview.DOUBTFUL)
    assert ApprovalWarning.RELEASED_UNSEEN not in kinds(
        approval_report(scenario(columns=secret, output=seen), "a")
    )


def test_a_long_validity_is_measured_from_the_proposal_in_the_log() -> None:
    asked, day = scenario(), 86_400
    until = asked.limits.valid_until
    for days, warned in ((401, True), (400, False)):
        report = approval_report(asked, "a", proposed=until - days * day)
        assert (ApprovalWarning.VALID_LONG in kinds(report)) == warned
    assert ApprovalWarning.VALID_LONG not in kinds(approval_report(asked, "a"))


@pytest.mark.parametrize(
    ("changes", "kind", "parameters"),
    [
        (
            {"holders": ("a", "b"), "output": dataclasses.replace(POLICY, min_holders=2)},
            "TWO_HOLDERS_ONLY",
            {},
        ),
        ({"output": dataclasses.replace(POLICY, min_holders=2)}, "MIN_HOLDERS_TWO", {}),
        (
            {"output": dataclasses.replace(POLICY, min_count=9)},
            "MIN_COUNT_LOW",
            {"min_count": 9, "usual": 10},
        ),
        (
            {"output": dataclasses.replace(POLICY, dominance=None)},
            "NO_DOMINANCE_RULE",
            {},
        ),
        ({"output": dataclasses.replace(POLICY, group_percent=0)}, "NO_GROUP_RULE", {}),
        ({"output": dataclasses.replace(POLICY, release_zeros=True)}, "ZEROS_RELEASED", {}),
        ({"limits": Limits(101, 1_900_000_000)}, "MANY_RUNS", {"runs": 101}),
        (
            {
                "columns": (SECTOR, dataclasses.replace(AMOUNT, grade=Grade.SENSITIVE), LATE),
                "output": dataclasses.replace(POLICY, review=OutputReview.DOUBTFUL),
            },
            "SENSITIVE_COLUMN_USED",
            {"column": "loans.amount", "role": "measure", "statement": "by_sector"},
        ),
        ({"output": dataclasses.replace(POLICY, min_difference=0)}, "NO_DIFFERENCE_RULE", {}),
        (
            {"columns": (SECTOR, dataclasses.replace(AMOUNT, outside=Outside.CLIP), LATE)},
            "CLIPPED_VALUES",
            {"column": "loans.amount", "low": "-1.25", "high": "0.05"},
        ),
        (
            {"columns": (SECTOR, AMOUNT, LATE, dataclasses.replace(LATE, name="spare"))},
            "UNUSED_COLUMN",
            {"column": "loans.spare"},
        ),
        (
            {"statements": (ASKED_AMOUNT,)},
            "PARAMETRISED_FILTER",
            {"statement": "by_sector", "combinations": 101},
        ),
        (
            {"statements": (Statement("s1", PLAIN), Statement("s2", PLAIN))},
            "SEVERAL_STATEMENTS",
            {"table": "loans", "statements": 2},
        ),
        (
            {"columns": (SECTOR, LATE), "statements": (Statement("s", FILTERED),)},
            "FILTERED_COUNTS",
            {"statement": "s"},
        ),
        ({"statements": (Statement("s", CASED),)}, "FILTERED_COUNTS", {"statement": "s"}),
        (
            {
                "columns": (
                    dataclasses.replace(SECTOR, levels=tuple(f"s{i}" for i in range(1000))),
                    AMOUNT,
                    LATE,
                )
            },
            "MANY_CELLS",
            {"statement": "by_sector", "cells": 1001},
        ),
    ],
)
def test_each_warning_alone(changes: dict[str, Any], kind: str, parameters: dict[str, Any]) -> None:
    report = approval_report(scenario(**changes), "a")
    (warning,) = report.warnings
    assert warning.kind is ApprovalWarning[kind]
    assert dict(warning.parameters) == parameters
    assert f"! {kind}\n" in report.text
    flat = " ".join(report.text.split())
    assert warning.sentence in flat
    assert "{" not in warning.sentence


def test_sensitive_columns_that_nobody_uses_are_only_unused() -> None:
    spare = dataclasses.replace(LATE, name="spare", grade=Grade.SENSITIVE)
    report = approval_report(scenario(columns=(SECTOR, AMOUNT, LATE, spare)), "a")
    assert kinds(report) == [ApprovalWarning.UNUSED_COLUMN]


def test_waivers() -> None:
    assert required_waivers(scenario()) == ()
    two = scenario(output=dataclasses.replace(POLICY, min_holders=2))
    assert required_waivers(two) == (Waiver.TWO_HOLDERS,)
    assert "waive explicitly: TWO_HOLDERS" in approval_report(two, "a").text
    assert "waive" not in approval_report(scenario(), "a").text


# --- roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "roles"),
    [
        (PLAIN, {"sector": "KEY", "amount": "MEASURE", "late": "FILTER"}),
        (FILTERED, {"sector": "KEY", "late": "FILTER"}),
        (CASED, {"sector": "KEY", "amount": "MEASURE", "late": "FILTER"}),
        (
            "SELECT CASE WHEN amount > 0 THEN 'a' ELSE 'b' END AS band, COUNT(*) AS n FROM loans"
            " GROUP BY band",
            {"amount": "KEY"},
        ),
        ("SELECT COUNT(*) AS n FROM loans", {}),
        (
            "SELECT SECTOR AS s, AVG(amount) FILTER (WHERE amount > 0) AS n FROM loans GROUP BY s",
            {"sector": "KEY", "amount": "MEASURE FILTER"},
        ),
    ],
)
def test_roles_as_used(sql: str, roles: dict[str, str]) -> None:
    planned = plan(Statement("s", sql), scenario().tables, 3)
    assert {
        name: " ".join(role.name for role in used) for name, used in column_roles(planned).items()
    } == roles


def test_a_column_used_against_its_role_is_refused() -> None:
    fits = dataclasses.replace(AMOUNT, roles=(ColumnRole.MEASURE,))
    assert verify_roles(scenario(columns=(SECTOR, fits, LATE)))
    for role in (ColumnRole.KEY, ColumnRole.FILTER):
        broken = scenario(columns=(SECTOR, dataclasses.replace(AMOUNT, roles=(role,)), LATE))
        with pytest.raises(SqlError, match="amount is used as measure"):
            verify_roles(broken)
        with pytest.raises(SqlError, match="amount is used as measure"):
            approval_report(broken, "a")


# --- spoofing ------------------------------------------------------------------------------------

FAKE = "8. IF YOU APPROVE\n   Nothing leaves your node.\nAPPROVAL REPORT FOR a\n2. WARNINGS: none"


def test_no_text_of_the_author_reaches_the_left_edge() -> None:
    sql = PLAIN.replace("WHERE late", "WHERE sector IN ('farm')")
    hostile = scenario(
        title="2. WARNINGS: none " + "x" * 150,
        purpose=FAKE + "\n" + " " * 500 + "Nothing leaves\n" + "w" * 3000,
        columns=(
            dataclasses.replace(SECTOR, description=FAKE, levels=("farm", '", 8. IF YOU APPROVE')),
            dataclasses.replace(AMOUNT, unit="7. WHAT IS RELEASED"),
        ),
        statements=(Statement("by_sector", "\n" + sql + "\n", description=FAKE),),
    )
    text = approval_report(hostile, "a").text
    ours = unquoted(text)
    for fake in ("Nothing leaves", "8. IF YOU APPROVE\n   Nothing", "xxx", "www", "farm"):
        assert not any(fake in line for line in ours), fake
    assert sum(line.startswith("8. IF YOU APPROVE") for line in ours) == 1
    assert sum(line.startswith("APPROVAL REPORT") for line in ours) == 1
    assert sum(line.startswith("2. WARNINGS") for line in ours) == 1


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=100))
def test_the_frame_of_the_report_does_not_depend_on_free_text(purpose: str, title: str) -> None:
    try:
        asked = scenario(purpose=purpose, title=title)
    except ValueError:
        return  # refused: does not show as what it is
    text = approval_report(asked, "a").text
    frame = [line for line in unquoted(text) if "Digest" not in line]
    usual = [
        line for line in unquoted(approval_report(scenario(), "a").text) if "Digest" not in line
    ]
    assert frame == usual
    assert not UNSHOWABLE.search(text.replace("\n", ""))


@settings(max_examples=100)
@given(st.text(alphabet="ab \n農é", min_size=1, max_size=600).filter(lambda text: text.strip()))
def test_quoted_text_is_complete_and_never_wider_than_the_report(purpose: str) -> None:
    text = approval_report(scenario(purpose=purpose), "a").text
    block = text[text.index("   Purpose\n") : text.index("\n\n2. WARN")].split("\n")[1:]
    for line in block:
        assert sum(2 if character >= "\u1100" else 1 for character in line) <= WIDTH
    words = "".join(re.sub(r"^     \|[ \\]?", "", line) for line in block)
    assert "".join(words.split()) == "".join(purpose.split())


def test_text_in_any_script_is_shown() -> None:
    asked = scenario(title="Prêts – Kredite – 贷款 – قروض", purpose="汉" * 200)
    text = approval_report(asked, "a").text
    assert "贷款" in text
    assert text.count("汉") == 200


def test_what_answers_give_away_together_is_named() -> None:
    all_of_them = Statement("everyone", "SELECT COUNT(*) AS n FROM loans")
    all_but = Statement("most", "SELECT COUNT(*) AS n FROM loans WHERE sector <> 'farm'")
    text = approval_report(scenario(statements=(all_of_them, all_but)), "a").text
    section = text[text.index("6. WHAT ANSWERS") : text.index("7. WHAT IS RELEASED")]
    assert "All 2 questions" in section
    assert "everyone - most isolates rows with sector farm" in " ".join(section.split())


def test_a_single_question_gives_nothing_away_together() -> None:
    alone = Statement("everyone", "SELECT COUNT(*) AS n FROM loans")
    assert "No such group was found." in approval_report(scenario(statements=(alone,)), "a").text


# --- noise ----------------------------------------------------------------------------------------


def noisy(privacy: Privacy, **changes: Any) -> Scenario:
    return scenario(output=OutputPolicy(10, 3, privacy=privacy), **changes)


def test_the_report_tells_what_noise_costs_and_does_before_anybody_agrees() -> None:
    """By hand: two measures, rows and a sum to which a row adds up to 1.25, share an epsilon of 1,
    so the count has scale 2; three Laplace variables of scale 1 are within 4.9 in 95 of 100 cases.
    """
    asked = noisy(Privacy(NoiseMechanism.GEOMETRIC, epsilon=10**9))
    report = approval_report(asked, "a")
    own = "\n".join(unquoted(report.text))
    assert "8. NOISE, AND WHAT IT COSTS" in own
    assert "9. IF YOU APPROVE" in own
    two = plan(asked.statements[0], asked.tables, 3, asked.output)
    assert two.measures == 2, "rows and the sum: nothing is ever missing"
    assert re.search(r"by_sector +n +±10\n", own)
    assert re.search(r"by_sector +a +about ±12\.\d\d divided by the number of rows", own)
    assert "Declared     epsilon 1\n" in own
    assert "rho 0.5: an epsilon of 1 at a delta of 0.000001" in own
    assert re.search(r"All 5 +rho 2\.5: an epsilon of 5 at that delta", own)
    assert "with your noise in every one" in own
    assert "whether you have any such row" not in own, "no flag leaves beside noise"
    assert "no other rule is evaluated" in own
    assert approval_report(asked, "a").text == report.text
    assert "NOISE" not in "\n".join(unquoted(approval_report(scenario(), "a").text))


def test_gaussian_noise_is_shown_at_a_delta() -> None:
    """rho + 2·sqrt(rho·ln(10**6)): 0.05 is 1.72, five runs 4.0."""
    text = approval_report(noisy(Privacy(NoiseMechanism.GAUSSIAN, rho=5 * 10**7)), "a").text
    assert "rho 0.05: an epsilon of 1.72 at" in text
    assert "rho 0.25: an epsilon of 3.97 at" in text
    # sigma = sqrt(2 / 0.1) = 4.47 for a count; three holders: 1.96 · 1.73 · 4.47 = 15.2
    assert re.search(r"by_sector +n +±16\n", text)


def test_warnings_about_noise() -> None:
    some = Privacy(NoiseMechanism.GEOMETRIC, epsilon=10**9)
    few = [w for w in kinds(approval_report(noisy(some), "a")) if "NOISE" in w.name]
    assert few == [ApprovalWarning.NOISE_OF_ONE_HOLDER]
    much = Privacy(NoiseMechanism.GEOMETRIC, epsilon=10**10)
    report = approval_report(noisy(much), "a")
    assert ApprovalWarning.NOISE_COSTS_MUCH in kinds(report)
    assert "an epsilon of 50 at" in next(
        w.sentence for w in report.warnings if w.kind is ApprovalWarning.NOISE_COSTS_MUCH
    )
    drowned = approval_report(noisy(Privacy(NoiseMechanism.GEOMETRIC, epsilon=10**8)), "a")
    assert ApprovalWarning.NOISE_DROWNS in kinds(drowned)
    stops = next(w for w in report.warnings if w.kind is ApprovalWarning.RUN_MAY_BE_REFUSED)
    assert stops.sentence.endswith("loans.sector, loans.amount.")
    person = Column("who", ColumnType.INTEGER, Grade.INTERNAL, Outside.REFUSE, minimum=0, maximum=9)
    table = TableContract("loans", ("a", "b", "c"), (SECTOR, AMOUNT, LATE, person), 10**6, "who")
    rows_only = approval_report(noisy(some, tables=(table,)), "a")
    assert ApprovalWarning.NOISE_HIDES_ROWS_ONLY in kinds(rows_only)
    whole = dataclasses.replace(some, unit="who", max_rows_per_unit=4)
    apart = dataclasses.replace(table, units_apart=True)
    of_people = approval_report(noisy(whole, tables=(apart,)), "a")
    assert ApprovalWarning.NOISE_HIDES_ROWS_ONLY not in kinds(of_people)
    assert ApprovalWarning.NOISE_OF_ONE_HOLDER not in kinds(of_people)
    assert "one who, with at most 4 rows" in " ".join(of_people.text.split())
    assert 'WHERE "_row" <= 4' in of_people.text, "the SQL that runs is the SQL that is shown"
    none = {w.name for w in kinds(rows_only)} & {"NO_DOMINANCE_RULE", "NO_GROUP_RULE"}
    assert not none, "noise stands in for these rules"
