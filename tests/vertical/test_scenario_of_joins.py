"""Scenario files with vertical tables and models: what is read, how mistakes are explained."""

from __future__ import annotations

import dataclasses

import pytest

from stayput import documents
from stayput.scenario import (
    Column,
    ColumnType,
    Duplicates,
    Grade,
    IdentifierKind,
    IdentifierRule,
    Model,
    ModelKind,
    Outside,
    Reference,
    Scenario,
    TableContract,
)
from stayput.scenario_file import check_scenario_file, parse_scenario_file
from stayput.vertical import plan as join_plan

NONCE = bytes(range(16))

GOOD = """\
scenario: income-capacity
title: Income capacity of residents
purpose: To test reading.
data_user: city
checker: office
holders: [fund, insurance, registry]
limits: {runs: 3, valid_until: 2027-06-30}
join: {key_bits: 2048}
tables:
  housing:
    at: [fund]
    pad_to: 6000
    columns:
      resident: {type: identifier, kind: cn_resident, duplicates: collapse, grade: sensitive}
      deposit: {type: decimal, decimals: 2, min: 0, max: 9000, grade: sensitive}
  social:
    at: [insurance]
    max_rows: 5000
    columns:
      resident: {type: identifier, kind: cn_resident, grade: sensitive}
      base: {type: integer, min: 0, max: 50000, grade: sensitive}
      sector: {type: level, levels: [public, private], grade: internal}
  property:
    at: [registry]
    columns:
      resident: {type: identifier, kind: cn_resident, grade: sensitive}
      value: {type: integer, min: 0, max: 90000000, grade: sensitive}
models:
  deposits:
    kind: ridge
    join: [housing, social, property]
    using: resident
    target: deposit
    predictors: [base, value, sector]
    reference: {sector: public}
    penalty: 0.50
output: {min_holders: 3, dominance: none}
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def read(text: str) -> Scenario:
    return parse_scenario_file(text, nonce=NONCE)


def test_what_is_read() -> None:
    scenario = read(GOOD)
    housing = scenario.table("housing")
    assert housing.vertical
    assert housing.holders == ("fund",)
    assert (housing.pad_to, housing.max_rows) == (6000, 6000)
    assert housing.identifier is not None
    assert housing.identifier.identifier == IdentifierRule(
        IdentifierKind.CN_RESIDENT, Duplicates.COLLAPSE
    )
    assert scenario.run_key_bits == 2048
    assert scenario.statements == ()
    assert scenario.models == (
        Model(
            name="deposits",
            kind=ModelKind.RIDGE,
            tables=("housing", "social", "property"),
            using="resident",
            target="deposit",
            predictors=("base", "value", "sector"),
            references=(Reference("sector", "public"),),
            penalty=50,
            penalty_decimals=2,
        ),
    )
    assert documents.parse(Scenario, documents.encode(scenario)) == scenario


def test_usual_run_keys() -> None:
    assert read(changed("join: {key_bits: 2048}\n", "")).run_key_bits == 3072


@pytest.mark.parametrize(
    ("old", "new", "where", "about", "hint"),
    [
        ("key_bits: 2048", "key_bits: 1024", "join.key_bits", "no size", "2048, 3072"),
        ("key_bits: 2048", "bits: 2048", "join.bits", "unknown key", "key_bits"),
        ("at: [fund]", "at: [fund, insurance]", "tables.housing.at", "one holder", "of its own"),
        ("at: [fund]", "at: [bank]", "tables.housing.at", "no holder", "add it"),
        ("pad_to: 6000", "pad_to: 0", "tables.housing.pad_to", "outside 1", ""),
        (
            "pad_to: 6000",
            "pad_to: 6000\n    max_rows: 6001",
            "tables.housing",
            "at least max_rows",
            "",
        ),
        (
            "at: [registry]",
            "at: [registry]\n    unit: value",
            "tables.property",
            "identifier is its",
            "",
        ),
        (
            "kind: cn_resident, grade",
            "kind: resident, grade",
            "tables.social.columns.resident.kind",
            "not known",
            "cn_resident",
        ),
        (
            "kind: cn_resident, grade",
            "kind: iban, case: ignore, grade",
            "tables.social.columns.resident.case",
            "has no case",
            "capitals",
        ),
        (
            "kind: cn_resident, grade",
            "separators: ab, grade",
            "tables.social.columns.resident.separators",
            "punctuation",
            "",
        ),
        (
            "kind: cn_resident, grade",
            "case: maybe, grade",
            "tables.social.columns.resident.case",
            "keep or ignore",
            "ignore",
        ),
        (
            "duplicates: collapse",
            "duplicates: first",
            "tables.housing.columns.resident.duplicates",
            "not known",
            "refuse, collapse",
        ),
        (
            "type: identifier, kind: cn_resident, grade",
            "type: identifier, nullable: true, grade",
            "tables.social.columns.resident.nullable",
            "has no nullable",
            "only joins",
        ),
        (
            "base: {type: integer,",
            "base: {type: integer, kind: luhn,",
            "tables.social.columns.base.kind",
            "has no kind",
            "identifier",
        ),
        (
            "base: {type: integer, min: 0, max: 50000",
            "base: {type: identifier",
            "tables.social",
            "one identifier",
            "",
        ),
        ("kind: ridge", "kind: lasso", "models.deposits.kind", "not known", "ols, ridge"),
        ("penalty: 0.50", "penalty: 0", "models.deposits", "penalty above 0", ""),
        ("penalty: 0.50", "penalty: -1", "models.deposits", "penalty above 0", ""),
        ("    target: deposit\n", "", "models.deposits", "target is missing", "explains"),
        ("target: deposit", "target: value", "models.deposits", "appears twice", ""),
        (
            "join: [housing, social, property]",
            "join: [housing]",
            "models.deposits",
            "joins 2",
            "",
        ),
    ],
)
def test_mistakes(old: str, new: str, where: str, about: str, hint: str) -> None:
    errors = check_scenario_file(changed(old, new))
    assert [error.where for error in errors] == [where]
    assert about in errors[0].message
    assert hint in errors[0].hint
    assert errors[0].line > 1


def test_a_scenario_asks_something() -> None:
    errors = check_scenario_file(GOOD[: GOOD.index("models:")] + GOOD[GOOD.index("output:") :])
    assert any("statements is missing" in error.message for error in errors)


def test_join_without_identifiers() -> None:
    text = GOOD.replace(
        "type: identifier, kind: cn_resident, duplicates: collapse", "type: boolean"
    )
    text = text.replace("type: identifier, kind: cn_resident", "type: boolean")
    for name in ("fund", "insurance", "registry"):
        text = text.replace(f"at: [{name}]", "at: [fund, insurance, registry]")
    text = text.replace("    pad_to: 6000\n", "")
    assert any(error.where == "join" for error in check_scenario_file(text))


def test_nobody_is_looked_up() -> None:
    text = changed(
        "models:\n",
        "statements:\n  one:\n    sql: SELECT COUNT(*) AS n FROM housing\n"
        "    parameters: {who: {type: identifier}}\nmodels:\n",
    )
    errors = check_scenario_file(text)
    assert "statements.one.parameters.who.type" in [error.where for error in errors]


def column(**changes: object) -> Column:
    plain = Column(
        "resident",
        ColumnType.IDENTIFIER,
        Grade.SENSITIVE,
        Outside.REFUSE,
        identifier=IdentifierRule(IdentifierKind.TEXT),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identifier": None}, "say how they are compared"),
        ({"nullable": True}, "never missing"),
        ({"unit": "people"}, "no unit"),
        ({"outside": Outside.CLIP}, "cannot clip"),
        ({"levels": ("a",)}, "levels"),
    ],
)
def test_identifier_columns(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        column(**changes)


def test_run_keys_belong_to_joins() -> None:
    scenario = read(GOOD)
    for bits in (0, 1024):
        with pytest.raises(ValueError, match="run keys"):
            dataclasses.replace(scenario, run_key_bits=bits)
    with pytest.raises(ValueError, match="one holder"):
        TableContract("t", ("a", "b"), (column(),), 10)


def test_models_are_checked_with_their_place() -> None:
    text = changed("    reference: {sector: public}\n", "")
    (error,) = check_scenario_file(text)
    assert error.where == "models.deposits"
    assert "needs one of its levels" in error.message
    assert error.line == text[: text.index("    kind: ridge")].count("\n") + 1


STATEMENT = """\
statements:
  one:
    sql: |
      SELECT sector, COUNT(*) AS n, AVG(deposit) AS m
      FROM housing JOIN social USING (resident)
      WHERE deposit > 1 OR base > 1
      GROUP BY sector
models:
"""


def test_joins_are_checked_against_the_output_policy() -> None:
    joins = STATEMENT.replace("      WHERE deposit > 1 OR base > 1\n", "")
    (error,) = check_scenario_file(changed("models:\n", joins))
    assert "2 holders are joined, but min_holders is 3" in error.message
    two = changed("models:\n", joins).replace("min_holders: 3", "min_holders: 2")
    assert check_scenario_file(two) == []
    dominance = two.replace("dominance: none", "dominance: {p_percent: 10}")
    errors = check_scenario_file(dominance)
    assert [e.where for e in errors] == ["statements.one.sql", "models.deposits"]
    assert all("nobody sees" in e.message for e in errors)
    compared = two.replace("dominance: none", "dominance: none, min_difference: 10")
    errors = check_scenario_file(compared)
    assert [e.where for e in errors] == ["statements.one.sql", "models.deposits"]
    assert all("do not share" in e.message and "none" in e.hint for e in errors)
    (error,) = check_scenario_file(two.replace("dominance: none", "dominance: none, rounding: 5"))
    assert error.where == "models.deposits"
    assert "rounding" in error.message


def test_a_join_that_takes_too_many_ciphertexts_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joins = STATEMENT.replace("      WHERE deposit > 1 OR base > 1\n", "")
    text = changed("models:\n", joins).replace("min_holders: 3", "min_holders: 2")
    monkeypatch.setattr(join_plan, "MAX_ROW_CIPHERTEXTS", 0)  # real ones take hundreds of columns
    errors = check_scenario_file(text)
    assert [e.where for e in errors] == ["statements.one.sql", "models.deposits"]
    assert all("ciphertexts" in e.message and e.hint and e.line > 1 for e in errors)


def test_mistakes_of_joins_have_a_place() -> None:
    text = changed("models:\n", STATEMENT).replace("min_holders: 3", "min_holders: 2")
    (error,) = check_scenario_file(text)
    assert "nobody sees both" in error.message
    assert error.where == "statements.one.sql"
    assert error.line >= text[: text.index("    sql: |")].count("\n") + 1
