"""Attacks on the answer to one question: small groups, dominance, margins, SQL that picks a row."""

from __future__ import annotations

import numpy as np
import pytest
from attacks.court import Answer, Court, InMemory
from attacks.registry import Outcome, attack, require, undetectable
from pets import HOLDERS, Row

from stayput import node as stayput_node
from stayput.disclosure.models import ModelColumn, check_model
from stayput.errors import SqlError, StayputError
from stayput.plans import RunPlan
from stayput.scenario import OutputPolicy

BOTH = "SELECT COUNT(*) AS pets, SUM(weight) AS weight FROM pets"
BY_COLOUR = "SELECT colour, COUNT(*) AS pets, SUM(weight) AS weight FROM pets GROUP BY colour"


def rows(number: int, colour: str = "a", start: int = 10) -> list[Row]:
    """Pets that differ in weight, so that nobody makes up much of a sum."""
    return [(colour, 5, start + i % 7) for i in range(number)]


def everywhere(number: int, colour: str = "a") -> dict[str, list[Row]]:
    return {holder: rows(number, colour) for holder in HOLDERS}


def rules(answer: Answer) -> str:
    """What stopped it, in the checker's words."""
    return "; ".join(r for r in answer.rules if not r.startswith("the cell is withheld as"))


def kept_back(answer: Answer, column: str, colours: str) -> None:
    found = answer.by()
    for colour in colours:
        require(found[colour][column] is None, f"{column} of {colour} is released")


@attack("1 to 9 people of one holder in a big pool")
def one_holders_few(court: Court) -> Outcome:
    parts = {"north": [], "south": [], "west": []}
    for number, colour in enumerate("abcdefghij", 1):
        parts["north"] += rows(number, colour)
        for other in ("south", "west"):
            parts[other] += rows(50, colour)
    answer = court.question(
        BY_COLOUR, parts, "min_count: 10, min_holders: 3, min_count_per_holder: 10"
    )
    kept_back(answer, "pets", "abcdefghi")
    kept_back(answer, "weight", "abcdefghi")
    require(answer.by()["j"]["pets"] == 110, "ten people at every holder are withheld")
    return Outcome(
        "cells with n of north's and 100 of the others', n = 1 … 9, under min_count_per_holder 10",
        "all nine withheld; n = 10 released",
        rules(answer),
    )


@attack("one rich person in a big pool")
def one_rich(court: Court) -> Outcome:
    parts = everywhere(40)
    parts["north"] = [*rows(5), ("a", 5, 900000)]
    answer = court.question(BOTH, parts)
    require(answer.row["weight"] is None, "the sum is nearly one person's value")
    return Outcome(
        "SUM where one of 86 has 99 % of it", "sum withheld, count released", rules(answer)
    )


@attack("50,000 + 49,000 of 100,000")
def two_dominate(court: Court) -> Outcome:
    """The example of the Handbook on Statistical Disclosure Control, ch. 4."""
    parts = everywhere(20)
    parts["north"] = [("a", 5, 500_000), ("a", 5, 490_000)] + [("a", 5, 1_000)] * 10
    answer = court.question(BOTH, parts)
    require(answer.row["weight"] is None, "the second largest computes the largest to 2 %")
    return Outcome("SUM of 50,000, 49,000 and ten times 100", "sum withheld", rules(answer))


@attack("one of two holders subtracts its own part")
def two_holders(court: Court) -> Outcome:
    parts = {"north": rows(200), "south": rows(300), "west": rows(50, "b")}
    answer = court.question(BOTH + " WHERE colour = 'a'", parts)
    require(answer.row["pets"] is None, "the difference is the other holder's part")
    return Outcome("500 people of two holders", "withheld", rules(answer))


@attack("9, 10, 11 people")
def threshold(court: Court) -> Outcome:
    sizes = {"a": (3, 3, 3), "b": (4, 3, 3), "c": (4, 4, 3), "d": (30, 30, 30)}
    parts = {
        holder: [row for colour, n in sizes.items() for row in rows(n[i], colour)]
        for i, holder in enumerate(HOLDERS)
    }
    found = court.question("SELECT colour, COUNT(*) AS pets FROM pets GROUP BY colour", parts)
    shown = [found.by()[colour]["pets"] for colour in "abc"]
    require(shown == [None, 10, 11], f"9, 10, 11 show as {shown}")
    return Outcome("cells of 9, 10 and 11", "9 withheld, 10 and 11 released", rules(found))


@attack("an empty cell")
def empty(court: Court) -> Outcome:
    found = court.question(
        "SELECT colour, COUNT(*) AS pets FROM pets GROUP BY colour", everywhere(20)
    )
    require(found.by()["b"]["pets"] is None, "that nobody is there is released")
    return Outcome("a cell without people", "withheld like any other", rules(found))


@attack("everybody of a group in one category")
def one_category(court: Court) -> Outcome:
    parts = {holder: [("a", 5, 10 + i % 5) for i in range(40)] for holder in HOLDERS}
    five = "COUNT(*) FILTER (WHERE age = 5) AS five"
    sql = f"SELECT colour, COUNT(*) AS pets, {five} FROM pets GROUP BY colour"
    answer = court.question(sql, parts)
    require(answer.by()["a"]["five"] is None, "everybody's age is told")
    return Outcome("120 people, all of them aged 5", "part withheld", rules(answer))


@attack("every value the same")
def all_equal(court: Court) -> Outcome:
    parts = {holder: [("a", 5, 77)] * 40 for holder in HOLDERS}
    sql = "SELECT COUNT(*) AS pets, AVG(weight) AS mean, STDDEV_POP(weight) AS sd FROM pets"
    answer = court.question(sql, parts)
    require(answer.row["mean"] is None, "a mean with deviation 0 is everybody's value")
    require(answer.row["sd"] is None, "a deviation of 0 says that all are alike")
    return Outcome("AVG and STDDEV of equal values", "both withheld", rules(answer))


# --- statements that pick rows --------------------------------------------------------------------


@attack("CASE or FILTER that isolates a person")
def case_isolates(court: Court) -> Outcome:
    parts = everywhere(40)
    parts["north"] = [*rows(40), ("a", 777, 15)]
    sql = (
        "SELECT COUNT(*) AS pets, SUM(weight) AS all_of_them,"
        " SUM(CASE WHEN age = 777 THEN weight END) AS one,"
        " SUM(CASE WHEN age <> 777 THEN weight END) AS others,"
        " SUM(CASE WHEN age = 777 THEN 2 * weight ELSE weight END) AS doubled,"
        " COUNT(*) FILTER (WHERE age <> 777) AS rest FROM pets"
    )
    row = (answer := court.question(sql, parts)).row
    for name in ("one", "others", "doubled", "rest"):
        require(row[name] is None, f"{name} is released")
    return Outcome(
        "the person, everybody but the person, twice the person", "all withheld", rules(answer)
    )


@attack("a weight that isolates a person")
def weights(court: Court) -> Outcome:
    refused = []
    for sql in (
        "SELECT SUM(weight * (age // 777)) AS s FROM pets",
        "SELECT SUM(weight * (age % 778)) AS s FROM pets",
        "SELECT SUM(weight * age * age) AS s FROM pets",
        "SELECT SUM(weight / (age - 5)) AS s FROM pets",
        "SELECT SUM(weight * (age = 777)) AS s FROM pets",
    ):
        refused.append(_refusal(court, sql))
    parts = {holder: [("a", 1, 10 + i % 7) for i in range(40)] for holder in HOLDERS}
    parts["north"][0] = ("a", 99_999, 15)
    answer = court.question("SELECT COUNT(*) AS pets, SUM(weight * age) AS s FROM pets", parts)
    require(answer.row["s"] is None, "a sum of products is one person's")
    return Outcome(
        "//, %, cubes, quotients and comparisons as weights; a column that is a weight",
        f"{len(refused)} statements refused before approval; the product withheld",
        f"the grammar; {rules(answer)}",
    )


@attack("row numbers, hashes, samples, subqueries")
def predicates(court: Court) -> Outcome:
    conditions = (
        "ROW_NUMBER() OVER () = 1",
        "rowid = 1",
        "HASH(age) % 1000 = 7",
        "MD5(colour) < '1'",
        "RANDOM() < 0.5",
        "age = (SELECT MAX(age) FROM pets)",
        "weight LIKE '7%'",
    )
    for condition in conditions:
        _refusal(court, f"SELECT COUNT(*) AS n FROM pets WHERE {condition}")
    for tail in (
        "LIMIT 1",
        "ORDER BY weight DESC LIMIT 1",
        "USING SAMPLE 1",
        "HAVING COUNT(*) = 1",
    ):
        _refusal(court, f"SELECT COUNT(*) AS n FROM pets {tail}")
    parts = everywhere(40)
    parts["north"] = [*rows(40), ("a", 778, 15)]
    answer = court.question(f"{BOTH} WHERE age % 1000 = 778", parts)
    require(answer.row["pets"] is None, "a remainder picked one person")
    return Outcome(
        "ROW_NUMBER, rowid, HASH, MD5, RANDOM, subquery, LIKE, LIMIT, SAMPLE, HAVING; age % 1000",
        "refused before approval; what the grammar allows is withheld",
        f"the grammar; {rules(answer)}",
    )


@attack("MIN, MAX and quantiles of rows")
def extremes(court: Court) -> Outcome:
    for function in (
        "MIN(weight)",
        "MAX(weight)",
        "MEDIAN(weight)",
        "QUANTILE_CONT(weight, 0.99)",
        "APPROX_QUANTILE(weight, 0.5)",
        "MODE(weight)",
        "ARG_MAX(age, weight)",
        "FIRST(weight)",
        "LIST(weight)",
        "HISTOGRAM(weight)",
    ):
        _refusal(court, f"SELECT {function} AS x FROM pets")
    return Outcome(
        "MIN, MAX, MEDIAN, quantiles, MODE, ARG_MAX, FIRST, LIST, HISTOGRAM",
        "refused before approval, with the offer of percentiles from bins",
        "the grammar",
    )


@attack("percentiles from bins, one bin with one person")
def bins(court: Court) -> Outcome:
    parts = {holder: [("a", 5, 10 * (i % 40)) for i in range(80)] for holder in HOLDERS}
    parts["north"].append(("a", 5, 990_000))
    step = "CASE WHEN weight < 20 THEN 1 WHEN weight < 40 THEN 2 ELSE 3 END"
    answer = court.question(f"SELECT {step} AS bin, COUNT(*) AS n FROM pets GROUP BY {step}", parts)
    require(answer.by("bin")[3]["n"] is None, "a bin with one person is released")
    require(answer.by("bin")[1]["n"] is not None, "a full bin is withheld")
    ends = []
    sql = "SELECT APPROX_PERCENTILE(age, 0.999, 1000) AS top, COUNT(*) AS n FROM pets"
    for age in (99_000, 1_500):
        parts["north"][-1] = ("a", age, 0)
        alone = court.question(sql, parts, "min_holders: 3, min_difference: none")
        ends.append(alone.row)
    require(ends[0] == ends[1], "where one person's number lies is told")
    require(ends[0]["top_high"] - ends[0]["top_low"] > 90_000, "the interval is too narrow")
    return Outcome(
        "counts per bin, and APPROX_PERCENTILE; the last bin has one person",
        "that bin withheld; the interval reaches to the end of what is declared",
        rules(alone),
    )


def _refusal(court: Court, sql: str) -> str:
    try:
        court.seal({"question": sql})
    except SqlError as error:
        return str(error)
    except StayputError as error:  # the file as a whole is refused, because of its SQL
        return str(error)
    require(False, f"accepted: {sql}")
    raise AssertionError("unreachable")


@attack("a column of ones and zeros with a single one, in a model")
def one_hot(court: Court) -> Outcome:
    """The rule itself: a person alone in a category, or in the one without a column."""
    dice = np.random.default_rng(5)
    people = 60
    policy = OutputPolicy(min_count=10, min_holders=2, min_freedom=10)
    one = ModelColumn("constant", 1, 1, constant=True)
    found = set()
    for ones, category in ((1, "g"), (59, "g"), (1, "")):
        mark = [1] * ones + [0] * (people - ones)
        design = np.array([[1] * people, mark, dice.integers(0, 100, people)], dtype=object)
        gram = [[int(x) for x in row] for row in design @ design.T]
        columns = (one, ModelColumn("mark", 0, 1 if category else 9, category))
        problems = check_model(columns, ModelColumn("y", 0, 100), people, gram, policy)
        require(problems, "the coefficient of one person is released")
        found |= {p.reason.name.lower().replace("_", " ") for p in problems}
    return Outcome(
        "one 1, one 0, one 1 in an undeclared column", "model withheld", "; ".join(sorted(found))
    )


# --- totals ---------------------------------------------------------------------------------------


@attack("totals that give a withheld cell away")
def margins(court: Court) -> Outcome:
    sizes = {"a": 20, "b": 30, "c": 40, "d": 2}
    court.put({h: [r for c, n in sizes.items() for r in rows(n, c)] for h in HOLDERS})
    table = "SELECT colour, COUNT(*) AS pets FROM pets GROUP BY colour"
    scenario, _ = court.seal(
        {"colours": table, "everybody": "SELECT COUNT(*) AS pets, COUNT(*) AS n FROM pets"}
    )
    first = court.ask(scenario, "colours")
    total = court.ask(scenario, "everybody")
    known = sum(r["pets"] for r in first.rows if r["pets"] is not None)
    if total.row["pets"] is not None:
        require(total.row["pets"] - known >= 16, "the total minus the cells is the small cell")
    return Outcome("the table, then its total", "the total withheld", rules(total))


@attack("what is left out of a part")
def complement(court: Court) -> Outcome:
    parts = {
        "north": rows(20) + [("a", 25, 30 + i) for i in range(30)],
        "south": rows(20),
        "west": rows(20),
    }
    sql = f"{BOTH[:-10]}, SUM(weight) FILTER (WHERE age < 20) AS young FROM pets"
    answer = court.question(sql, parts)
    require(answer.row["young"] is None, "all minus young is north's part")
    return Outcome(
        "a sum and the part of it that leaves out one holder's", "part withheld", rules(answer)
    )


# --- nodes that lie -------------------------------------------------------------------------------


def _lying(court: Court, change: str, size: int) -> Answer:
    """North's node adds ``size`` to a number of its vector of counts."""
    assert isinstance(court, InMemory)
    honest = stayput_node.counts_vector
    place = {"count": 0, "flag": -1}[change]
    asked = [0]

    def lying(run: RunPlan, *given: object) -> list[int]:
        vector = list(honest(run, *given))  # type: ignore[arg-type]
        asked[0] += 1
        if asked[0] == 1:
            vector[place] += size
        return vector

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stayput_node, "counts_vector", lying)
        return court.question(BOTH, everywhere(20))


@attack("a lying node: huge and negative counts, false flags", in_memory=True)
def impossible_lies(court: Court) -> Outcome:
    for change, size in (("count", 10**6), ("count", -1_000), ("flag", 7), ("flag", -1)):
        answer = _lying(court, change, size)
        require(answer.refused, f"{change} {size:+} was accepted")
    return Outcome(
        "+1,000,000 and -1,000 rows; a flag of 7 and of -1",
        f"no result: {answer.refused}",
        "; ".join(answer.rules) + " (invariants after opening, clause C-3)",
    )


@attack("a lying node: five people more than it has", in_memory=True)
def plausible_lie(court: Court) -> Outcome:
    answer = _lying(court, "count", 5)
    require(answer.row["pets"] == 65, "the lie was noticed, so the caveat is wrong")
    return Outcome(
        "a plausible number",
        "released as it came",
        undetectable("A holder can lie about its own data"),
    )
