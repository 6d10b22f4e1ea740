"""Versions of a scenario: no change stays hidden, whatever field it is in."""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_approval import AMOUNT, LATE, POLICY, SECTOR, scenario, unquoted

from stayput.approval import WIDTH, ApprovalWarning, approval_report, authority_report
from stayput.errors import PermissionDenied, VerificationError
from stayput.scenario import (
    AuthorisationMode,
    Authority,
    ColumnType,
    Dominance,
    Grade,
    IdentifierKind,
    IdentifierRule,
    Limits,
    Model,
    ModelKind,
    NoiseMechanism,
    OutputReview,
    Parameter,
    Privacy,
    Reference,
    Scenario,
    Statement,
)
from stayput.scenario_file import parse_scenario_file
from stayput.shows import demo_file
from stayput.versions import Change, differences, loosened, lowered_grades

SQL = "SELECT sector, COUNT(*) AS n FROM loans WHERE amount > :least\nGROUP BY sector"


def whole() -> Scenario:
    """A scenario with something in every field, whether or not it makes sense together."""
    least = Parameter("least", ColumnType.DECIMAL, decimals=2, minimum=-5, maximum=500)
    asked = scenario(
        columns=(SECTOR, AMOUNT, dataclasses.replace(LATE, unit="days", description="Late?")),
        statements=(Statement("by_sector", SQL, (least,), "Loans."), Statement("all_of", SQL)),
        authorisation=AuthorisationMode.SECTORAL,
        authorities=(Authority("bank", ("a", "b")), Authority("care", ("c",))),
    )
    asked = copy.deepcopy(asked)  # what is forced below is forced upon nobody else
    rule = IdentifierRule(IdentifierKind.TEXT, separators="-")
    table = dataclasses.replace(copy.deepcopy(asked.tables[0]), name="x")
    force(table.columns[0], "identifier", rule)
    model = Model(
        "fit", ModelKind.RIDGE, ("loans", "x"), "who", "amount", ("late", "sector"),
        (Reference("sector", "farm"), Reference("late", "true")), 15, 1,
    )  # fmt: skip
    privacy = Privacy(NoiseMechanism.GAUSSIAN, epsilon=10**9, delta=10**10)
    for name, value in {"tables": (*asked.tables, table), "models": (model,)}.items():
        force(asked, name, value)
    force(asked, "output", dataclasses.replace(POLICY, review=OutputReview.DOUBTFUL))
    force(asked.output, "privacy", privacy)
    return asked


def force(owner: Any, field: str, value: Any) -> None:
    """Past what the classes refuse: the comparison must not rely on it."""
    object.__setattr__(owner, field, value)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all fields and of all items of lists."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield (*path, field.name)
            yield from leaves(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            if dataclasses.is_dataclass(item):
                yield from leaves(item, (*path, index))


def changed(value: Any, how: int = 0) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, enum.Enum):
        members = [*type(value)]
        return members[(members.index(value) + 1) % len(members)]
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return (
            value + " ",
            value + "x",
            value.replace("a", "\u0430") + ("" if "a" in value else "y"),
        )[how % 3]
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, tuple) and value:
        return (value[::-1] if len(value) > 1 else (), value[:-1])[how % 2]
    if value is None or value == ():
        return None
    return None


def with_change(asked: Scenario, path: tuple[Any, ...], how: int) -> Scenario | None:
    """The scenario with one thing changed, or None where there is nothing else to put there."""
    made = copy.deepcopy(asked)
    owner: Any = made
    for step in path[:-1]:
        owner = owner[step] if isinstance(step, int) else getattr(owner, step)
    before = getattr(owner, path[-1])
    after = changed(before, how)
    if after == before or (after is None and before in (None, ())):
        return None
    force(owner, path[-1], after)
    return made


PATHS = [path for path in leaves(whole()) if path[0] not in ("nonce", "replaces")]


def test_the_paths_reach_every_class_of_a_scenario() -> None:
    asked, seen = whole(), set()
    for path in PATHS:
        owner: Any = asked
        for step in path[:-1]:
            owner = owner[step] if isinstance(step, int) else getattr(owner, step)
        seen.add(type(owner).__name__)
    assert seen >= {
        "Scenario", "TableContract", "Column", "IdentifierRule", "Statement", "Parameter", "Model",
        "Reference", "OutputPolicy", "Dominance", "Privacy", "Limits", "Authority",
    }  # fmt: skip
    assert len(PATHS) > 150


def test_no_field_can_be_changed_unseen() -> None:
    asked = whole()
    assert differences(asked, copy.deepcopy(asked)) == ()
    tried = 0
    for path in PATHS:
        for how in range(3):
            other = with_change(asked, path, how)
            if other is None:
                continue
            tried += 1
            for pair in ((asked, other), (other, asked)):
                found = differences(*pair)
                assert found, path
                assert any([*one.lines()] for one in found), path
    assert tried > 250


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.integers(0, 2)), min_size=1, max_size=4))
def test_several_changes_do_not_cover_each_other(changes: list[tuple[Any, int]]) -> None:
    asked = other = whole()
    for path, how in changes:
        try:
            other = with_change(other, path, how) or other
        except (IndexError, AttributeError):
            continue  # what it was in is gone
    assert bool(differences(asked, other)) == (asked != other)


def test_two_of_one_name_do_not_hide_each_other() -> None:
    """No class admits them; if one ever does, the first is still compared."""
    first, second = Statement("s", "SELECT 1"), Statement("s", "SELECT 2")
    earlier, later = scenario(), scenario()
    force(earlier, "statements", (first, second))
    force(later, "statements", (Statement("s", "SELECT 3"), second))
    (found,) = differences(earlier, later)
    assert [*found.lines()] == ["- SELECT 1", "+ SELECT 3"]


def test_nonce_and_predecessor_are_no_difference() -> None:
    asked = scenario()
    assert differences(asked, dataclasses.replace(asked, nonce=b"n" * 16, replaces=bytes(32))) == ()


def test_differences_read_as_a_person_says_them() -> None:
    earlier = scenario(output=dataclasses.replace(POLICY, min_count=10))
    columns = (
        SECTOR,
        dataclasses.replace(AMOUNT, maximum=1005),
        dataclasses.replace(LATE, name="l"),
    )
    later = scenario(
        columns=columns,
        purpose="Compare.\nAnd price.",
        limits=Limits(9, 1_900_000_000),
        output=dataclasses.replace(POLICY, min_count=5, dominance=None),
    )
    found = {one.place: one for one in differences(earlier, later)}
    assert [*found["purpose"].lines()] == ["+ And price."]
    assert [*found["limits, runs"].lines()] == ["- 5", "+ 9"]
    assert [*found["output, min count"].lines()] == ["- 10", "+ 5"]
    assert [*found["table loans, column amount, max"].lines()] == ["- 0.05", "+ 10.05"]
    assert found["table loans, column late"].change is Change.REMOVED
    assert found["table loans, column l"].change is Change.ADDED
    fewer = dataclasses.replace(SECTOR, levels=("a", "b", "c", "z"))
    more = dataclasses.replace(SECTOR, levels=("a", "b", "new", "c", "z"))
    (levels,) = differences(scenario(columns=(fewer,)), scenario(columns=(more,)))
    assert [*levels.lines()] == ['+ "new"']
    assert "+ grade: internal" in [*found["table loans, column l"].lines()]
    assert found["output, dominance"].change is Change.REMOVED


def test_what_protects_less_is_said() -> None:
    earlier = scenario(
        output=dataclasses.replace(
            POLICY, rounding=5, review=OutputReview.ALWAYS, dominance=Dominance(10, 50)
        ),
        authorisation=AuthorisationMode.CENTRALISED,
        authorities=(Authority("bank", ("a", "b", "c")),),
        proven=True,
    )
    for change, words in (
        ({"min_count": 5}, "min_count 10 to 5"),
        ({"min_holders": 2}, "min_holders 3 to 2"),
        ({"rounding": 0}, "rounding 5 to none"),
        ({"min_difference": 0}, "min_difference 10 to none"),
        ({"review": None}, "review always to none"),
        ({"review": OutputReview.DOUBTFUL}, "review always to doubtful"),
        ({"dominance": Dominance(5, 50)}, "dominance.p_percent 10 to 5"),
        ({"dominance": Dominance(10, 60)}, "dominance.top_one_percent 50 to 60"),
        ({"dominance": Dominance(10)}, "dominance.top_one_percent 50 to none"),
        ({"group_percent": 95}, "group_percent 90 to 95"),
        ({"release_zeros": True}, "zeros withhold to release"),
    ):
        output = dataclasses.replace(earlier.output, **change)
        later = dataclasses.replace(earlier, output=output)
        assert words in loosened(earlier, later), change
        assert loosened(later, earlier) == (), change
    later = dataclasses.replace(earlier, authorisation=None, authorities=(), proven=False)
    assert loosened(earlier, later) == (
        "bank does not have to authorise it any more",
        "no proof that a holder knows its part",
    )
    secret = dataclasses.replace(AMOUNT, grade=Grade.SENSITIVE)
    graded = scenario(columns=(SECTOR, secret, LATE))
    assert lowered_grades(graded, scenario()) == (("loans.amount", "sensitive", "internal"),)
    assert lowered_grades(scenario(), graded) == ()


# --- in the report --------------------------------------------------------------------------------


def new_version(earlier: Scenario, **changes: Any) -> Scenario:
    return dataclasses.replace(earlier, nonce=b"2" * 16, replaces=earlier.digest, **changes)


def test_a_new_version_s_report_shows_every_difference_and_warns() -> None:
    secret = dataclasses.replace(AMOUNT, grade=Grade.SENSITIVE)
    earlier = scenario(columns=(SECTOR, secret, LATE))
    plain = scenario(output=dataclasses.replace(POLICY, min_count=5))
    later = new_version(earlier, tables=plain.tables, output=plain.output, title="Other")
    report = approval_report(later, "a", earlier=earlier)
    kinds = [warning.kind for warning in report.warnings]
    assert kinds[:3] == [
        ApprovalWarning.NEW_VERSION,
        ApprovalWarning.PROTECTION_LOWERED,
        ApprovalWarning.GRADE_LOWERED,
    ]
    section = report.text[report.text.index("8. WHAT IS DIFFERENT") :]
    for one in differences(earlier, later):
        assert f"   - {one.place}: {one.change.name.lower()}\n" in section
        for line in one.lines():
            assert f"     | {line}" in section
    assert "9. IF YOU APPROVE" in section
    assert report == approval_report(later, "a", earlier=earlier)
    other = dataclasses.replace(earlier, title="Changed")
    with pytest.raises(VerificationError):
        approval_report(later, "a", earlier=other)


def test_without_a_part_in_the_earlier_version_nothing_is_compared() -> None:
    later = new_version(scenario())
    report = approval_report(later, "a")
    assert report.warnings[0].kind is ApprovalWarning.VERSION_UNKNOWN
    assert "WHAT IS DIFFERENT" not in report.text
    assert report.digest != approval_report(later, "a", earlier=scenario()).digest


def test_an_earlier_version_cannot_write_lines_of_the_report() -> None:
    forged = "1. WHO ASKS, AND WHY\n   Data user    somebody else"
    earlier = scenario(purpose=forged + "\n- nothing is different")
    later = new_version(earlier, purpose="Compare.")
    text = approval_report(later, "a", earlier=earlier).text
    assert "somebody else" not in "\n".join(unquoted(text))
    assert all(len(line) <= WIDTH for line in text.split("\n"))
    model = Model("m", ModelKind.OLS, ("a", "b"), "x", "y", ("z\n9. IF YOU APPROVE",),
                  (Reference("z\n   ! NOTHING\u202e", "l"),))  # fmt: skip
    hostile = dataclasses.replace(earlier, models=(model,))
    text = approval_report(new_version(hostile, models=()), "a", earlier=hostile).text
    assert not [line for line in unquoted(text) if "NOTHING" in line and "\\n" not in line]
    assert "\u202e" not in text


def test_an_authority_reads_a_report_for_every_holder_with_other_tables() -> None:
    """Of a join each holder has its own tables: what leaves one is not in another's report."""
    text = demo_file("income-capacity.yaml").read_text(encoding="utf-8")
    asked = parse_scenario_file(text + "authorisation: {centralised: bureau}\n", nonce=bytes(16))
    report = authority_report(asked, "bureau")
    for holder in asked.holders:
        own = approval_report(asked, holder)
        assert own.text in report.text
        assert set(own.warnings) <= set(report.warnings)
    assert len(set(report.warnings)) == len(report.warnings)
    with pytest.raises(PermissionDenied):
        authority_report(asked, asked.holders[0])
    with pytest.raises(PermissionDenied):
        authority_report(parse_scenario_file(text, nonce=bytes(16)), "bureau")
