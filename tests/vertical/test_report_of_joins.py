"""What each holder of a join reads before it signs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import stayput
from stayput.approval import ApprovalWarning, approval_report, verify_roles
from stayput.errors import SqlError
from stayput.scenario import ColumnRole, Scenario, TableContract
from stayput.scenario_file import parse_scenario_file

FILE = Path(stayput.__file__).parent / "demo_data" / "income-capacity.yaml"


def scenario(text: str = FILE.read_text(encoding="utf-8")) -> Scenario:
    return parse_scenario_file(text, nonce=bytes(16))


def flat(holder: str, of: Scenario | None = None) -> str:
    return " ".join(approval_report(of or scenario(), holder).text.split())


def test_each_holder_reads_about_its_own_rows() -> None:
    own = {"housing-fund": "score_e", "social-insurance": "score_f", "property-registry": "score_a"}
    for holder, column in own.items():
        text = flat(holder)
        assert f'"{column}"' in text
        for other in set(own.values()) - {column}:
            assert f'"{other}"' not in text
        assert approval_report(scenario(), holder).text == approval_report(scenario(), holder).text


def test_the_statement_that_a_holder_has_no_part_in() -> None:
    text = flat("property-registry")
    part = text[text.index("5.2 deposits_by_bands") : text.index("5.3 deposits_and_wealth")]
    assert "None of your tables is joined: nothing runs on your node." in part
    assert "Leaves your node" not in part


def test_what_is_learned_and_by_whom() -> None:
    text = flat("social-insurance")
    for words in (
        "blinded with secrets that your node draws for this run and forgets, and then by "
        "housing-fund (housing) and property-registry (property) as well",
        "of each of your rows 1 number, encrypted under a key of 2048 bits that your node makes "
        "for this run; housing-fund calculates with them unread",
        "1 number and which of 4 groups it is in",
        "together some could: the coordinator with a holder",
        "always 6000 identifiers, with invented ones beside yours",
        "nobody alone learns who is in another's table: not housing-fund nor property-registry, "
        "not the coordinator, not you; the coordinator learns how many people the tables have in "
        "common",
        "identifier: resident number of 18 characters (GB 11643)",
        "Not yours: housing, at housing-fund, of which resident, district, age_band, deposit, "
        "score_e are used.",
        "Joins of different tables are about different people, and were not compared",
        "5.4 deposits, a model over housing JOIN social JOIN property",
        "any two of the 5 columns of the model",
        "the number of people in each cell (36 in all) and, where it passes, sums over them "
        "(3 a cell)",  # of each holder's own part of the score
        "it erases before anything is released, with a receipt of its own",
    ):
        assert words in text, words


def test_who_calculates_with_whose_numbers() -> None:
    text = flat("housing-fund")
    part = text[text.index("5.1 capacity") : text.index("5.2 deposits_by_bands")]
    assert "encrypted under a key" not in part  # its own numbers stay with it
    assert "encrypted rows of social-insurance and property-registry and your own" in part


def test_a_size_that_is_not_hidden_is_a_warning() -> None:
    plain = scenario(FILE.read_text(encoding="utf-8").replace("    pad_to: 6000\n", "", 1))
    report = approval_report(plain, "housing-fund")
    kinds = [warning.kind for warning in report.warnings]
    assert ApprovalWarning.SIZE_SHOWN in kinds
    assert "learn that number" in flat("housing-fund", plain)
    others = approval_report(plain, "social-insurance").warnings
    assert ApprovalWarning.SIZE_SHOWN not in [warning.kind for warning in others]


def test_warnings_name_what_is_joined_and_modelled() -> None:
    warnings = approval_report(scenario(), "property-registry").warnings
    joined = [dict(w.parameters) for w in warnings if w.kind is ApprovalWarning.PEOPLE_JOINED]
    assert [p["asked"] for p in joined] == [
        "capacity_by_district_and_age",
        "deposits_and_wealth",
        "deposits",
    ]
    modelled = [w for w in warnings if w.kind is ApprovalWarning.SENSITIVE_COLUMN_MODELLED]
    assert {dict(w.parameters)["column"] for w in modelled} == {
        "housing.deposit",
        "social.contribution_base",
        "property.property_value",
    }
    unused = [dict(w.parameters) for w in warnings if w.kind is ApprovalWarning.UNUSED_COLUMN]
    assert {p["column"] for p in unused} == {
        "housing.months",
        "social.sector",
        "property.mortgaged",
    }


def with_roles(table: str, name: str, *roles: ColumnRole) -> Scenario:
    def given(contract: TableContract) -> TableContract:
        columns = [
            dataclasses.replace(c, roles=roles) if c.name == name else c for c in contract.columns
        ]
        return dataclasses.replace(contract, columns=tuple(columns))

    tables = [given(t) if t.name == table else t for t in scenario().tables]
    return dataclasses.replace(scenario(), tables=tuple(tables))


def test_roles_hold_in_joins_and_models() -> None:
    assert len(verify_roles(with_roles("housing", "district", ColumnRole.KEY))) == 3
    with pytest.raises(SqlError, match=r"housing\.district is used as key, but its role is filter"):
        verify_roles(with_roles("housing", "district", ColumnRole.FILTER))
    with pytest.raises(SqlError, match="months_36 is used as measure, but its role is key"):
        verify_roles(with_roles("social", "months_36", ColumnRole.KEY))
