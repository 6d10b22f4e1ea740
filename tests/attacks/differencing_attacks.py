"""Attacks with several questions: differences, combinations, copies, snapshots, participants."""

from __future__ import annotations

from collections.abc import Sequence

from attacks.court import Answer, Court
from attacks.disclosure_attacks import everywhere, rows, rules
from attacks.registry import Outcome, attack, require, undetectable
from pets import HOLDERS

COUNT = "SELECT COUNT(*) AS pets FROM pets"


def ask_all(court: Court, statements: dict[str, str]) -> tuple[list[Answer], str]:
    """All answers of one scenario, and the approval report."""
    scenario, report = court.seal(statements)
    return [court.ask(scenario, name) for name in statements], " ".join(report.split())


def stopped(answers: Sequence[Answer], report: str = "", isolated: str = "") -> tuple[str, str]:
    """What was answered and by what it was stopped, where any withheld answer stops it."""
    kept = [a for a in answers if a.refused or any(r["pets"] is None for r in a.rows)]
    if kept:
        words = "; ".join(dict.fromkeys(rules(answer) or answer.refused for answer in kept))
        answered = f"{len(kept)} of {len(answers)} withheld"
        return answered, words
    require(isolated and isolated in report, "nothing was withheld, and no report warned")
    return (
        "released, if every holder approves",
        f"the approval report: “isolates rows with {isolated}”",
    )


@attack("all, and all minus one")
def all_minus_one(court: Court) -> Outcome:
    parts = everywhere(20)
    parts["north"] = [*rows(20), ("a", 777, 15)]
    court.put(parts)
    found, report = ask_all(court, {"everybody": COUNT, "most": f"{COUNT} WHERE age <> 777"})
    answered, rule = stopped(found, report, "age 777")
    require("isolates rows with age 777" in report, "no holder is told before it approves")
    return Outcome("COUNT of all and of all but one, in two statements", answered, rule)


@attack("four answers that pass every pair")
def span(court: Court) -> Outcome:
    """A+B+x, B+C, A+C, A: Q1 - Q2 + Q3 - 2·Q4 is x."""
    one = [("d", 5, 15)]
    court.put(
        {
            h: [r for c in "abc" for r in rows(20, c)] + (one if h == "north" else [])
            for h in HOLDERS
        }
    )
    questions = {"q1": "'a','b','d'", "q2": "'b','c'", "q3": "'a','c'"}
    statements = {n: f"{COUNT} WHERE colour IN ({v})" for n, v in questions.items()}
    found, report = ask_all(court, {**statements, "q4": f"{COUNT} WHERE colour = 'a'"})
    answered, rule = stopped(found, report, "colour d")
    require("isolates rows with colour d" in report, "no holder is told before it approves")
    return Outcome("A+B+x, B+C, A+C, A: Q1 - Q2 + Q3 - 2·Q4 = x", answered, rule)


@attack("the same question after one person was added")
def snapshot(court: Court) -> Outcome:
    court.put(everywhere(20))
    scenario, _ = court.seal({"question": COUNT})
    before = court.ask(scenario, "question")
    parts = everywhere(20)
    parts["north"] = rows(21)
    court.put(parts)
    after = court.ask(scenario, "question")
    if after.row["pets"] == 61:
        rule = undetectable("Nobody checks at run time")
        return Outcome("60 people, then 61", "released", rule)
    require(after.row["pets"] in (None, before.row["pets"]), "something else was released")
    return Outcome("60 people, then 61", "second withheld", rules(after))


@attack("the same question without one holder")
def one_holder_fewer(court: Court) -> Outcome:
    court.put(everywhere(20))
    three, _ = court.seal({"question": COUNT}, "min_count: 10, min_holders: 2")
    two, _ = court.seal(
        {"question": COUNT},
        "min_count: 10, min_holders: 2",
        name="fewer",
        holders=("north", "south"),
    )
    first, second = court.ask(three, "question"), court.ask(two, "question")
    if (
        not first.refused
        and not second.refused
        and (first.row["pets"], second.row["pets"]) == (60, 40)
    ):
        rule = undetectable("Nobody checks at run time")
        return Outcome("60 people of three holders, 40 of two of them", "released", rule)
    return Outcome("60 people of three holders, 40 of two of them", *stopped([first, second]))


@attack("100 copies under other names")
def copies(court: Court) -> Outcome:
    court.put(everywhere(20))
    names = [f"copy{i}" for i in range(100)]
    scenario, report = court.seal(dict.fromkeys(names, COUNT))
    shown = {court.ask(scenario, name).row["pets"] for name in names[:: 1 if court.live else 20]}
    require(len(shown) == 1, f"copies are answered differently: {shown}")
    require("isolates" not in report, "copies of one question are taken for different ones")
    return Outcome(
        "one question under 100 names",
        f"the same each time: {shown.pop()}",
        "exact answers: there is nothing to average",
    )


@attack("reordered and algebraically equal conditions")
def equal(court: Court) -> Outcome:
    court.put(everywhere(20))
    conditions = (
        "age < 10 AND colour = 'a'",
        "colour IN ('a') AND NOT age >= 10",
        "2 * age <= 18 AND (colour = 'a' OR colour = 'a')",
        "age BETWEEN 0 AND 9 AND NOT colour <> 'a'",
    )
    found, report = ask_all(
        court, {f"q{i}": f"{COUNT} WHERE {c}" for i, c in enumerate(conditions)}
    )
    require("isolates" not in report, "equal questions are taken for different ones")
    shown = {answer.row["pets"] for answer in found}
    require(len(shown) == 1, f"equal questions are answered differently: {shown}")
    return Outcome(
        "four spellings of one condition", f"four times {shown.pop()}", "seen as one question"
    )
