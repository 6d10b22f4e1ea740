"""Joins in sentences, for the approval report of one holder.

The same scenario, the same text.  What these sentences say is learned is clause by clause in
docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stayput.scenario import (
    Duplicates,
    IdentifierKind,
    IdentifierRule,
    ModelKind,
    Scenario,
    TableContract,
)
from stayput.vertical.models import ModelQuestion
from stayput.vertical.plan import ONE, JoinPlan, plan_join
from stayput.vertical.questions import JoinQuestion, Staged

_KINDS = {
    IdentifierKind.TEXT: "text",
    IdentifierKind.CN_RESIDENT: "resident number of 18 characters (GB 11643)",
    IdentifierKind.CN_ORGANISATION: "unified social credit code (GB 32100)",
    IdentifierKind.LUHN: "number with a Luhn check digit",
    IdentifierKind.IBAN: "IBAN (ISO 13616)",
    IdentifierKind.LEI: "LEI (ISO 17442)",
}


def identifier_words(rule: IdentifierRule) -> str:
    """What an identifier is and how it is compared."""
    words = f"identifier: {_KINDS[rule.kind]}"
    if rule.any_case:
        words += ", in any case"
    if rule.separators:
        words += ", separators left out"
    if rule.duplicates is Duplicates.COLLAPSE:
        return words + ", equal rows of one person are one"
    return words


def of_this_holder(staged: Sequence[Staged], holder: str) -> Staged | None:
    """What a holder stages for a question; ``None`` if none of its tables is joined."""
    return next((one for one in staged if one.holder == holder), None)


def join_sentences(
    scenario: Scenario, question: JoinQuestion | ModelQuestion, own: Staged
) -> Iterator[str]:
    """What leaves one holder's node in a run of a join, and what is learned from it."""
    tables = {table.name: table for table in scenario.tables}
    others = [one for one in question.staged if one != own]
    names = " and ".join(f"{one.holder} ({one.table})" for one in others)
    yield (
        "the identifier of each of your people, blinded with secrets that your node draws for"
        f" this run and forgets, and then by {names} as well: only what all have blinded is"
        " compared, by the coordinator;"
    )
    yield _size(tables[own.table])
    plan = plan_join(question, scenario.tables, scenario.run_key_bits)
    place = question.staged.index(own)
    yield from _numbers(scenario, plan, place)
    yield (
        f"nobody alone learns who is in another's table: not"
        f" {' nor '.join(one.holder for one in others)}, not the coordinator, not you; the"
        " coordinator learns how many people the tables have in common;"
    )
    yield (
        "together some could: the coordinator with a holder, or two holders of which one calculates"
        " with the other's numbers, would see which of a holder's people are in the other tables."
    )


def _numbers(scenario: Scenario, plan: JoinPlan, place: int) -> Iterator[str]:
    """Numbers that a holder encrypts, and those that it calculates with."""
    for pair in plan.pairs:
        if pair.owner != place:
            continue
        numbers = {slot.number for slots in pair.slots for slot in slots} - {ONE}
        groups = plan.tables[place].groups
        what = [f"{len(numbers)} number{'s' if len(numbers) > 1 else ''}"] if numbers else []
        what += [f"which of {groups} groups it is in"] if groups > 1 else []
        yield (
            f"of each of your rows {' and '.join(what) or 'a 1'}, encrypted under a key of"
            f" {scenario.run_key_bits} bits that your node makes for this run;"
            f" {plan.holders[pair.combiner]} calculates with them unread, and returns sums over"
            " many people, masked;"
        )
    combined = [plan.holders[pair.owner] for pair in plan.pairs if pair.combiner == place]
    if combined:
        yield (
            f"masked sums, which your node computes from encrypted rows of {' and '.join(combined)}"
            " and your own, without seeing who has one;"
        )


def _size(table: TableContract) -> str:
    if table.pad_to:
        return (
            f"always {table.pad_to} identifiers, with invented ones beside yours, so that nobody"
            " learns how many people you have;"
        )
    return (
        "as many identifiers as you have people: the coordinator and the other holders learn that"
        " number;"
    )


def model_sentences(question: ModelQuestion) -> Iterator[str]:
    """What a model is, in words."""
    model = question.model
    kind = {
        ModelKind.OLS: "Ordinary least squares",
        ModelKind.RIDGE: f"Ridge regression, penalty {_penalty(question)}",
    }[model.kind]
    yield f"{kind}: {question.target.of} explained by"
    for term in question.terms:
        yield f"  {term.name}" + (f" ({term.of})" if term.of else "")
    yield f"over the people in {', '.join(model.tables)}, by {model.using}."


def _penalty(question: ModelQuestion) -> str:
    value, decimals = question.model.penalty, question.model.penalty_decimals
    digits = str(value).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
