"""What several answers give away together, by trying every database that would give the same.

A small register: two kinds of six groups of people, at three holders.  Some questions are asked,
one after the other, and judged as the checker judges them.  Then comes somebody with all the time
in the world: do all registers that have what was released agree in the number of some few people?
Groups are all unions of the six, so cells, what filters leave out, margins, complements and
whatever combinations there are.  What a question counts comes from the engine, group by group;
nothing else of the reasoning is shared with what is tested.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

from stayput.differencing.overlap import Overlap
from stayput.disclosure import (
    OpenedCounts,
    check_counts,
    passes,
    verify_counts,
    withhold_isolating,
)
from stayput.disclosure.isolating import Judged, Pair, isolating
from stayput.disclosure.tables import Answer, withhold_derivable
from stayput.partials import assemble, assemble_overlap
from stayput.plans import differing
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    OutputPolicy,
    Outside,
    Statement,
    TableContract,
)
from stayput.sql import SOURCE, BoundPlan, bind, plan

Numbers = npt.NDArray[np.int64]

LEAST = 3
MOST = 7
"""People of one group; the registers have no more than six."""

POLICY = OutputPolicy(min_count=LEAST, min_holders=2, min_difference=LEAST)
GROUPS = tuple(itertools.product("xy", "uvw"))
TABLE = TableContract(
    "t",
    ("p", "q", "r"),
    tuple(
        Column(name, ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=tuple(levels))
        for name, levels in (("a", "xy"), ("b", "uvw"))
    ),
    1_000,
)
QUESTIONS = (
    "SELECT a, b, COUNT(*) AS n FROM t GROUP BY a, b",
    "SELECT a, COUNT(*) AS n FROM t GROUP BY a",
    "SELECT b, COUNT(*) AS n FROM t GROUP BY b",
    "SELECT COUNT(*) AS n FROM t",
    "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE b = 'u') AS m FROM t",
    "SELECT a, COUNT(*) AS n, COUNT(*) FILTER (WHERE b <> 'u') AS m FROM t GROUP BY a",
    "SELECT a, COUNT(*) AS n FROM t WHERE b = 'u' GROUP BY a",
    "SELECT COUNT(*) AS n FROM t WHERE b <> 'w'",
    "SELECT COUNT(*) AS n FROM t WHERE NOT (a = 'x' AND b = 'u')",
    "SELECT b, COUNT(*) AS n FROM t WHERE a = 'x' GROUP BY b",
    "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE b = 'u') AS u,"
    " COUNT(*) FILTER (WHERE b = 'v') AS v FROM t",
    "SELECT a, COUNT(*) AS n, COUNT(*) FILTER (WHERE b = 'u') AS u,"
    " COUNT(*) FILTER (WHERE b = 'w') AS w FROM t GROUP BY a",
)


@functools.cache
def asked(question: int) -> BoundPlan:
    return bind(plan(Statement("s", QUESTIONS[question]), (TABLE,), 3, POLICY), {})


@functools.cache
def overlap(new: int, old: int) -> Overlap:
    return Overlap(asked(new), asked(old))


@functools.cache
def of_groups(new: int, old: int | None = None) -> Numbers:
    """Cells × counts × groups: what one person of each group adds to a question, or to what two
    questions share."""
    sql = asked(new).node_sql() if old is None else overlap(new, old).sql()
    found = []
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE {SOURCE} (a VARCHAR, b VARCHAR)")
        for group in GROUPS:
            connection.execute(f"DELETE FROM {SOURCE}")
            connection.execute(f"INSERT INTO {SOURCE} VALUES (?, ?)", group)
            rows = connection.execute(sql).fetchall()
            if old is None:
                found.append(assemble(asked(new).plan, rows).counts)
            else:
                found.append(assemble_overlap(overlap(new, old), rows))
    return np.array(found, dtype=np.int64).transpose(1, 2, 0)


class Office:
    """Judges one question after the other, as the checker does."""

    def __init__(self, register: Numbers) -> None:
        self.register = register  # holders × groups
        self.questions: list[int] = []
        self.judged: list[Judged] = []
        self._answers: list[Answer] = []
        self._pairs: dict[tuple[bytes, bytes], Pair] = {}

    def ask(self, question: int) -> None:
        bound = asked(question)
        planned, count = bound.plan, len(bound.plan.counts)
        own = of_groups(question) @ self.register.T
        rests = [own[:, whole] - own[:, part] for part, whole in planned.rests]
        rows = np.concatenate([own, *(rest[:, np.newaxis] for rest in rests)], axis=1)
        counts, holders = own.sum(axis=2).tolist(), (rows > 0).sum(axis=2).tolist()
        opened = verify_counts(planned, OpenedCounts(counts, holders), 3)
        reasons = check_counts(planned, opened, POLICY)
        new = Judged(
            bytes([len(self.judged)]),
            bound,
            np.array(opened.counts, dtype=object),
            passes(reasons)[:, :count],
            LEAST,
        )
        for old, other in zip(self.questions, self.judged, strict=True):
            self._compare(new, question, other, old, own)
        found = isolating(new, self.judged, self._pairs, least=LEAST, min_holders=2)
        reasons = withhold_isolating(planned, opened, reasons, found)

        def answer() -> Answer:
            return Answer(bound, opened.counts, passes(reasons)[:, :count].tolist())

        reasons = withhold_derivable(answer(), self._answers, reasons, LEAST)
        self._answers.append(answer())
        self.judged.append(dataclasses.replace(new, passes=passes(reasons)[:, :count]))
        self.questions.append(question)

    def _compare(self, new: Judged, question: int, other: Judged, old: int, own: Numbers) -> None:
        between = overlap(question, old)
        if not between.pairs:
            return
        shared = of_groups(question, old) @ self.register.T
        then = of_groups(old) @ self.register.T
        holders = sum(
            np.array(differing(between, *(m[:, :, h].tolist() for m in (own, shared, then)))) > 0
            for h in range(3)
        )
        self._pairs[new.run, other.run] = Pair(
            between, shared.sum(axis=2).astype(object), np.asarray(holders)
        )

    def released(self) -> list[tuple[Numbers, int]]:
        """Of each released number its groups, and the number."""
        return [
            (of_groups(question)[cell, count], int(judged.counts[cell, count]))
            for question, judged in zip(self.questions, self.judged, strict=True)
            for cell, count in np.argwhere(judged.passes)
        ]


@functools.cache
def registers() -> Numbers:
    """Every register, as people per group."""
    return np.stack(np.meshgrid(*[np.arange(MOST + 1)] * 6, indexing="ij"), -1).reshape(-1, 6)


def known(office: Office) -> list[tuple[tuple[int, ...], int]]:
    """Unions of groups with few people whose number follows from what was released."""
    possible = registers()
    for groups, number in office.released():
        possible = possible[possible @ groups == number]
    people = office.register.sum(axis=0)
    found = []
    for size in range(1, 7):
        for union in itertools.combinations(range(6), size):
            few = int(people[list(union)].sum())
            if 0 < few < LEAST and len(np.unique(possible[:, list(union)].sum(axis=1))) == 1:
                found.append((union, few))
    return found


def attack(dice: random.Random) -> int:
    """One register, up to three questions: how many numbers are released."""
    register = np.array([[dice.choice((0, 0, 1, 1, 2)) for _ in GROUPS] for _ in range(3)])
    office = Office(register)
    for _ in range(dice.choice((1, 2, 3))):
        office.ask(dice.randrange(len(QUESTIONS)))
    assert known(office) == [], (office.questions, register.sum(axis=0).tolist())
    return len(office.released())


def test_no_few_people_follow_from_several_answers() -> None:
    dice = random.Random(11)
    released = sum(attack(dice) for _ in range(20))
    assert released > 40, "an office that releases nothing keeps everything to itself"


@pytest.mark.long
def test_no_few_people_follow_from_many_answers() -> None:
    dice = random.Random(12)
    for _ in range(1_000):
        attack(dice)


@pytest.mark.parametrize(
    ("people", "questions"),
    [
        ((4, 3, 4, 2, 4, 3), (4, 8)),  # a filtered count, its whole, and a complement
        ((4, 3, 3, 1, 1, 2), (5, 2)),  # a cell, and what a FILTER leaves out of another
        ((1, 3, 3, 2, 3, 5), (9, 5)),  # cells that make up a cell of another answer but for one
        ((1, 1, 4, 1, 3, 1), (7, 4, 0)),  # a cell, and totals of two others
        ((3, 5, 3, 1, 1, 4), (7, 9, 2)),
        ((4, 4, 3, 2, 3, 1), (5, 2, 7)),
        ((4, 4, 1, 4, 4, 1), (10,)),  # what two filters leave out together
        ((4, 1, 4, 4, 9, 4), (11,)),
    ],
)
def test_what_was_once_given_away(people: tuple[int, ...], questions: tuple[int, ...]) -> None:
    register = np.array([[n // 3 + (n % 3 > holder) for n in people] for holder in range(3)])
    office = Office(register)
    for question in questions:
        office.ask(question)
    assert known(office) == []
