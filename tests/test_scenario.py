"""The scenario document: its invariants, and its digest as identity."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput import documents
from stayput.errors import DocumentError
from stayput.scenario import (
    END_OF_TIME,
    MAX_DELTA,
    MAX_EPSILON,
    MAX_LINE,
    MAX_NUMBER,
    MAX_RHO,
    MAX_TEXT,
    MIN_EPSILON,
    MIN_RHO,
    Column,
    ColumnRole,
    ColumnType,
    Dominance,
    Grade,
    Limits,
    NoiseMechanism,
    OutputPolicy,
    Outside,
    Parameter,
    Privacy,
    Scenario,
    Statement,
    TableContract,
)

NUMBER = Column(
    "amount", ColumnType.DECIMAL, Grade.SENSITIVE, Outside.CLIP,
    unit="EUR", decimals=2, minimum=-100, maximum=10**12, nullable=True,
    roles=(ColumnRole.MEASURE, ColumnRole.FILTER),
)  # fmt: skip
LEVEL = Column(
    "sector", ColumnType.LEVEL, Grade.PUBLIC, Outside.OTHER, levels=("Bäckerei", "NO", "农业")
)
FLAG = Column("late", ColumnType.BOOLEAN, Grade.INTERNAL, Outside.REFUSE)


def scenario(**changes: Any) -> Scenario:
    fields: dict[str, Any] = {
        "name": "loans",
        "title": "Loans by sector",
        "purpose": "Compare.\nNothing else.",
        "data_user": "association",
        "checker": "office",
        "holders": ("a", "b", "c"),
        "tables": (TableContract("loans", ("c", "a", "b"), (NUMBER, LEVEL, FLAG), 10**6),),
        "statements": (
            Statement(
                "by_sector",
                "SELECT sector, COUNT(*) AS n FROM loans\nWHERE amount > :least GROUP BY sector",
                (Parameter("least", ColumnType.DECIMAL, 2, 0, 500),),
            ),
        ),
        "output": OutputPolicy(10, 3),
        "limits": Limits(5, 1_900_000_000),
        "nonce": bytes(range(16)),
    }
    return Scenario(**(fields | changes))


def test_round_trip_through_canonical_bytes() -> None:
    data = documents.encode(scenario())
    assert documents.parse(Scenario, data) == scenario()
    assert documents.parse(Scenario, data).digest == scenario().digest
    assert '"农业"'.encode() in data


def test_every_field_is_in_the_digest() -> None:
    digests = {scenario().digest}
    table = scenario().tables[0]
    parameter = scenario().statements[0].parameters[0]
    changed = [
        scenario(name="loans2"),
        scenario(title="Loans by Sector"),
        scenario(purpose="Compare.\nNothing else. "),
        scenario(data_user="association2"),
        scenario(checker="office2"),
        scenario(tables=(dataclasses.replace(table, max_rows=10**6 + 1),)),
        scenario(tables=(dataclasses.replace(table, holders=("a", "b", "c")),)),
        scenario(statements=(Statement("by_sector", "SELECT 1"),)),
        scenario(output=OutputPolicy(11, 3)),
        scenario(output=OutputPolicy(10, 2)),
        scenario(limits=Limits(6, 1_900_000_000)),
        scenario(limits=Limits(5, 1_900_000_001)),
        scenario(nonce=bytes(16)),
    ]
    for field, value in [
        ("grade", Grade.PUBLIC), ("outside", Outside.REFUSE), ("unit", "USD"), ("minimum", 0),
        ("maximum", 1), ("nullable", False), ("roles", ()), ("description", "x"), ("decimals", 3),
    ]:  # fmt: skip
        column = dataclasses.replace(NUMBER, **{field: value})
        changed.append(
            scenario(tables=(dataclasses.replace(table, columns=(column, LEVEL, FLAG)),))
        )
    for field, value in [("minimum", 1), ("maximum", 501), ("decimals", 3), ("name", "most")]:
        statement = dataclasses.replace(
            scenario().statements[0], parameters=(dataclasses.replace(parameter, **{field: value}),)
        )
        changed.append(scenario(statements=(statement,)))
    for other in changed:
        assert other.digest not in digests
        digests.add(other.digest)


def test_lookups() -> None:
    assert scenario().table("loans").column("late") is FLAG
    assert scenario().statement("by_sector").name == "by_sector"
    with pytest.raises(KeyError):
        scenario().table("flights")
    with pytest.raises(KeyError):
        scenario().statement("other")
    with pytest.raises(KeyError):
        scenario().table("loans").column("other")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Loans"}, "is no name"),
        ({"data_user": ""}, "is no name"),
        ({"title": " "}, "title is empty"),
        ({"title": "a\nb"}, "one line"),
        ({"title": "x" * (MAX_LINE + 1)}, "longer than"),
        ({"purpose": "x" * (MAX_TEXT + 1)}, "longer than"),
        ({"purpose": ""}, "purpose is empty"),
        ({"holders": ("a",)}, "at least 2"),
        ({"holders": ("a", "a", "b")}, "appears twice"),
        ({"holders": ("a", "b", "d")}, "names every holder"),
        ({"checker": "a"}, "different parties"),
        ({"checker": "association"}, "different parties"),
        ({"statements": ()}, "has tables, and statements or models"),
        ({"tables": ()}, "has tables, and statements or models"),
        ({"nonce": b"short"}, "16 bytes"),
        ({"output": OutputPolicy(10, 4)}, "exceeds"),
    ],
)
def test_refused_scenarios(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scenario(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Amount"}, "no column name"),
        ({"name": "a b"}, "no column name"),
        ({"minimum": None}, "have min and max"),
        ({"minimum": None, "maximum": None}, "have min and max"),
        ({"minimum": 1, "maximum": 0}, "min is above max"),
        ({"maximum": MAX_NUMBER + 1}, "10\\*\\*18"),
        ({"decimals": 10}, "0 to 9"),
        ({"decimals": -1}, "0 to 9"),
        ({"levels": ("a",)}, "only levels"),
        ({"outside": Outside.OTHER}, "cannot other"),
        ({"roles": (ColumnRole.FILTER, ColumnRole.MEASURE)}, "in order"),
        ({"roles": (ColumnRole.KEY, ColumnRole.KEY)}, "in order"),
        ({"unit": "a\x1b[1m"}, "U\\+001B"),
    ],
)
def test_refused_number_columns(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(NUMBER, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": ()}, "only levels"),
        ({"levels": ("a", "a")}, "listed twice"),
        ({"levels": ("__other__",)}, "reserved"),
        ({"levels": ("a\u202eb",)}, "U\\+202E"),
        ({"levels": tuple(map(str, range(10_001)))}, "more than"),
        ({"outside": Outside.CLIP}, "cannot clip"),
        ({"decimals": 1}, "only a decimal column"),
        ({"minimum": 1, "maximum": 2}, "have min and max"),
    ],
)
def test_refused_level_columns(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(LEVEL, **changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("P", ColumnType.BOOLEAN), "no parameter name"),
        (("p", ColumnType.INTEGER), "min and max"),
        (("p", ColumnType.INTEGER, 0, 2, 1), "above"),
        (("p", ColumnType.INTEGER, 1, 0, 1), "only a decimal"),
        (("p", ColumnType.DECIMAL, 10, 0, 1), "0 to 9"),
        (("p", ColumnType.LEVEL), "only levels"),
        (("p", ColumnType.BOOLEAN, 0, 0, 1), "min and max"),
        (("p", ColumnType.LEVEL, 0, None, None, ("a", "a")), "listed twice"),
    ],
)
def test_refused_parameters(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameter(*arguments)


def test_a_cell_of_one_holder_is_never_allowed() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        OutputPolicy(10, 1)
    with pytest.raises(ValueError, match="at least 1"):
        OutputPolicy(0, 2)


@pytest.mark.parametrize("until", [0, -1, END_OF_TIME, 2**62])
def test_refused_limits(until: int) -> None:
    with pytest.raises(ValueError, match="valid_until"):
        Limits(1, until)
    with pytest.raises(ValueError, match="runs"):
        Limits(0, 1)


UNSHOWABLE_EXAMPLES = [
    *range(0x20), *range(0x7F, 0xA0), 0xAD, 0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x202A,
    0x202E, 0x2060, 0x2066, 0x2069, 0x3164, 0xFEFF, 0xFE0F, 0xFFFE, 0xE0041,
]  # fmt: skip


@pytest.mark.parametrize("code", UNSHOWABLE_EXAMPLES)
def test_text_that_does_not_show_is_refused_everywhere(code: int) -> None:
    bad = f"a{chr(code)}b"
    with pytest.raises(ValueError, match="title"):
        scenario(title=bad)
    if code != 0x0A:  # a line break in a text is one
        with pytest.raises(ValueError, match="purpose"):
            scenario(purpose=bad)
        with pytest.raises(ValueError, match="description"):
            dataclasses.replace(NUMBER, description=bad)
        if code != 0x09:  # tabs in SQL are spaces in the report
            with pytest.raises(ValueError, match="SQL"):
                Statement("s", bad)


@given(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs"]))
def test_no_control_or_format_character_gets_into_a_title(character: str) -> None:
    # Oracle: the general category in Python's Unicode tables. Arabic and Kaithi number signs and
    # hieroglyph and musical format controls are visible or need their script: they are let be.
    harmless = [
        (0x600, 0x605),
        (0x6DD, 0x6DD),
        (0x70F, 0x70F),
        (0x890, 0x891),
        (0x8E2, 0x8E2),
        (0x110BD, 0x110CD),
        (0x13430, 0x1343F),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
    ]
    if any(low <= ord(character) <= high for low, high in harmless):
        return
    with pytest.raises(ValueError, match=r"title"):
        scenario(title=f"a{character}b")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Loans by sector", "Loans \u202eby sector".encode()),
        (b"Loans by sector", b""),
        (b'"min_count"', b'"max_count"'),
        (b'"runs":5', b'"runs":0'),
        (b'"runs":5', b'"runs":5.0'),
        (b'"holders":["a","b","c"]', b'"holders":["a","b"]'),
        (b'"COLUMN_ROLE_MEASURE","COLUMN_ROLE_FILTER"', b'"COLUMN_ROLE_MEASURE","X"'),
        (b'"GRADE_SENSITIVE"', b'"GRADE_SECRET"'),
        (b'"minimum":"-100"', b'"minimum":-100'),
    ],
)
def test_hostile_documents_do_not_parse(old: bytes, new: bytes) -> None:
    data = documents.encode(scenario())
    assert old in data
    with pytest.raises(DocumentError):
        documents.parse(Scenario, data.replace(old, new))


GEOMETRIC, GAUSSIAN = NoiseMechanism.GEOMETRIC, NoiseMechanism.GAUSSIAN


@pytest.mark.parametrize(
    "arguments",
    [
        {"mechanism": GEOMETRIC},
        {"mechanism": GAUSSIAN},
        {"mechanism": GEOMETRIC, "epsilon": -1},
        {"mechanism": GEOMETRIC, "epsilon": 1},
        {"mechanism": GEOMETRIC, "epsilon": MIN_EPSILON - 1},
        {"mechanism": GEOMETRIC, "epsilon": MAX_EPSILON + 1},
        {"mechanism": GEOMETRIC, "epsilon": 2**63 - 1},
        {"mechanism": GEOMETRIC, "epsilon": 10**9, "delta": 1},
        {"mechanism": GEOMETRIC, "rho": 10**9},
        {"mechanism": GAUSSIAN, "rho": MIN_RHO - 1},
        {"mechanism": GAUSSIAN, "rho": MAX_RHO + 1},
        {"mechanism": GAUSSIAN, "rho": -(10**9)},
        {"mechanism": GAUSSIAN, "rho": 10**9, "epsilon": 10**9, "delta": 1},
        {"mechanism": GAUSSIAN, "epsilon": 10**9},
        {"mechanism": GAUSSIAN, "epsilon": 10**9, "delta": -1},
        {"mechanism": GAUSSIAN, "epsilon": 10**9, "delta": MAX_DELTA + 1},
        {"mechanism": GAUSSIAN, "rho": 10**9, "max_rows_per_unit": 0},
        {"mechanism": GAUSSIAN, "rho": 10**9, "max_rows_per_unit": 2},
        {"mechanism": GAUSSIAN, "rho": 10**9, "unit": "who", "max_rows_per_unit": 10**6 + 1},
    ],
)
def test_refused_noise_of_a_document_that_no_file_was_read_for(arguments: dict[str, Any]) -> None:
    """Whoever writes the document by hand gets no further than with a file."""
    with pytest.raises(ValueError, match=r"epsilon|rho|delta|max_rows"):
        Privacy(**arguments)


@pytest.mark.parametrize(
    "rule",
    [
        {"dominance": Dominance(10)}, {"min_count_per_holder": 5}, {"group_percent": 90},
        {"release_zeros": True}, {"min_freedom": 3}, {"rounding": 5}, {"min_difference": 10},
    ],
)  # fmt: skip
def test_no_rule_that_needs_exact_numbers_beside_noise(rule: dict[str, Any]) -> None:
    """Flags that such rules ask of nodes would leave without noise."""
    with pytest.raises(ValueError, match="only rule about cells"):
        OutputPolicy(10, 3, privacy=Privacy(GAUSSIAN, rho=10**9), **rule)


def test_noise_changes_the_digest_and_needs_a_declared_unit() -> None:
    noise = Privacy(GAUSSIAN, rho=10**9)
    other = dataclasses.replace(noise, rho=10**9 + 1)
    asked = [scenario(output=OutputPolicy(10, 3, privacy=p)) for p in (None, noise, other)]
    assert len({one.digest for one in asked}) == 3
    assert documents.parse(Scenario, documents.encode(asked[1])) == asked[1]
    whole = dataclasses.replace(noise, unit="who")
    with pytest.raises(ValueError, match="its unit is not who"):
        scenario(output=OutputPolicy(10, 3, privacy=whole))
