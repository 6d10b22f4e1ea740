"""Exposed cells against every small table, and complementary cells that protect them."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.disclosure import Reason
from stayput.disclosure.margins import Fact, exposed, protect
from stayput.disclosure.tables import Answer, withhold_derivable
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    Outside,
    Parameter,
    Statement,
    TableContract,
)
from stayput.sql import bind, plan

Table = tuple[tuple[int, ...], ...]


def facts_of(
    table: Sequence[Sequence[int]], withheld: set[tuple[int, int]], margins: bool
) -> list[Fact]:
    """Cells of a table in row-major order, then its row and column totals, all released."""
    wide = len(table[0])
    found = [
        Fact(frozenset([r * wide + c]), n, (r, c) not in withheld)
        for r, row in enumerate(table)
        for c, n in enumerate(row)
    ]
    if margins:
        for r, row in enumerate(table):
            found.append(Fact(frozenset(r * wide + c for c in range(wide)), sum(row), True))
        for c in range(wide):
            atoms = frozenset(r * wide + c for r in range(len(table)))
            found.append(Fact(atoms, sum(row[c] for row in table), True))
    return found


def all_tables(facts: Sequence[Fact], atoms: int, most: int) -> Iterator[tuple[int, ...]]:
    """Every table of whole numbers up to ``most`` that gives all that is released."""
    for numbers in itertools.product(range(most + 1), repeat=atoms):
        if all(sum(numbers[a] for a in f.atoms) == f.rows for f in facts if f.released):
            yield numbers


def test_one_withheld_cell_follows_from_its_row_total() -> None:
    facts = facts_of([[20, 3], [30, 40]], {(0, 1)}, margins=True)
    assert exposed(facts, 10) == [1]
    assert exposed(facts_of([[20, 3], [30, 40]], {(0, 1)}, margins=False), 10) == []


def test_two_withheld_cells_of_a_row_follow_from_the_columns() -> None:
    table = [[20, 3], [30, 40]]
    assert exposed(facts_of(table, {(0, 0), (0, 1)}, margins=True), 10) == [0, 1]
    square = {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert exposed(facts_of(table, square, margins=True), 10) == []


def test_small_cells_that_only_hide_each_other_are_exposed() -> None:
    """Of two withheld cells with 5 rows together, each has 0 to 5: fewer than a cell needs."""
    row = [Fact(frozenset([0]), 2, False), Fact(frozenset([1]), 3, False)]
    total = Fact(frozenset([0, 1]), 5, True)
    assert exposed([*row, total], 10) == [0, 1]
    assert exposed([*row, Fact(frozenset([0, 1]), 10, True)], 10) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=2, max_size=3),
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=5),
    st.integers(1, 4),
)
def test_intervals_are_those_of_all_tables(
    table: list[list[int]], chosen: set[tuple[int, int]], least: int
) -> None:
    facts = facts_of(table, chosen, margins=True)
    atoms = 2 * len(table)
    tables = list(all_tables(facts, atoms, max(map(sum, table), default=0)))
    expected = []
    for index, fact in enumerate(facts):
        if not fact.released and fact.rows:
            (atom,) = fact.atoms
            numbers = [numbers[atom] for numbers in tables]
            if max(numbers) - min(numbers) < least:
                expected.append(index)
    assert exposed(facts, least) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=2, max_size=4),
    st.integers(1, 12),
    st.booleans(),
)
def test_after_protecting_nothing_is_exposed(
    table: list[list[int]], least: int, margins_first: bool
) -> None:
    """Whichever comes first, the table or its totals; of what comes second, some are withheld."""
    small = {(r, c) for r, row in enumerate(table) for c, n in enumerate(row) if n < least}
    facts = facts_of(table, small, margins=True)
    cells = 3 * len(table)
    first, second = facts[:cells], facts[cells:]
    if margins_first:
        first, second = second, first
    assert not exposed(first, least) or margins_first
    chosen = protect(first, second, least)
    assert all(second[i].released for i in chosen)
    left = [Fact(f.atoms, f.rows, f.released and i not in chosen) for i, f in enumerate(second)]
    still = exposed([*first, *left], least)
    # What the first alone exposes cannot be helped: totals below ``least`` are themselves small.
    alone = exposed([*first, *(Fact(f.atoms, f.rows, False) for f in second)], least)
    position = [*first, *left]
    assert {position[i].atoms for i in still} <= {position[i].atoms for i in alone}


def test_the_cheapest_cell_that_helps_is_withheld() -> None:
    """A row of 3, 500, 20, 60 with its total: 20 rows hide the 3."""
    facts = [Fact(frozenset([i]), n, n != 3) for i, n in enumerate([3, 500, 20, 60])]
    total = Fact(frozenset(range(4)), 583, True)
    assert protect([total], facts, 10) == {2}
    assert protect(facts, [total], 10) == {0}  # the cells are out: the total stays in


def test_nothing_is_withheld_where_nothing_is_exposed() -> None:
    facts = facts_of([[20, 30], [40, 50]], set(), margins=True)
    assert protect(facts[:4], facts[4:], 10) == set()
    assert protect([], facts_of([[20, 3], [4, 50]], {(0, 1), (1, 0)}, margins=False), 10) == set()


def test_what_was_released_before_cannot_be_taken_back() -> None:
    facts = facts_of([[20, 3], [30, 40]], {(0, 1)}, margins=True)
    assert protect(facts, [Fact(frozenset([9]), 100, True)], 10) == set()


def test_facts_that_contradict_each_other_still_give_their_combinations() -> None:
    """A row was added between the two runs: 20 + 3 is not 24, but 24 - 20 is about 3."""
    facts = [
        Fact(frozenset([0]), 20, True),
        Fact(frozenset([1]), 3, False),
        Fact(frozenset([0]), 21, True),
        Fact(frozenset([0, 1]), 24, True),
        Fact(frozenset([2, 3]), 50, True),
        Fact(frozenset([2]), 7, False),
    ]
    assert exposed(facts, 10) == [1]


def test_combinations_of_four_questions() -> None:
    """A+B+x, B+C, A+C, A: every pair differs by ten or more, yet x follows (also if rows moved)."""
    a, b, c, x = range(4)
    sets = [{a, b, x}, {b, c}, {a, c}, {a}]
    facts = [Fact(frozenset(s), 20 * len(s - {x}) + (x in s), True) for s in sets]
    secret = Fact(frozenset([x]), 1, False)
    assert exposed([*facts, secret], 10) == [4]
    drifted = [*facts, Fact(frozenset([a]), 25, True), secret]
    assert exposed(drifted, 10) == [5]
    assert exposed([*facts[1:], secret], 10) == []


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=5),
    st.sets(st.integers(0, 4), min_size=1),
)
def test_the_row_space_is_that_of_exact_elimination(sets: list[set[int]], target: set[int]) -> None:
    contradiction = [Fact(frozenset([99]), 1, True), Fact(frozenset([99]), 2, True)]
    facts = [Fact(frozenset(s), 1, True) for s in sets]
    found = exposed([*facts, *contradiction, Fact(frozenset(target), 1, False)], 1)
    assert bool(found) is _in_row_space(sets, target)


def _in_row_space(sets: list[set[int]], target: set[int]) -> bool:
    def rank(rows: list[set[int]]) -> int:
        left = [[Fraction(int(i in row)) for i in range(5)] for row in rows]
        found = 0
        for column in range(5):
            pivot = next((r for r in left[found:] if r[column]), None)
            if pivot is None:
                continue
            left.remove(pivot)
            left.insert(found, pivot)
            for row in left[found + 1 :]:
                factor = row[column] / pivot[column]
                row[:] = [x - factor * y for x, y in zip(row, pivot, strict=True)]
            found += 1
        return found

    return rank([*sets, target]) == rank(sets)


def test_the_solver_says_nothing() -> None:
    """Results go to stdout, and nothing else; its banner would come at the end of the process."""
    code = (
        "from stayput.disclosure.margins import Fact, exposed\n"
        "facts = [Fact(frozenset([0]), 3, False), Fact(frozenset([0, 1]), 5, True)]\n"
        "assert exposed(facts, 10) == [0]"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (found.stdout, found.stderr) == (b"", b"")


def test_that_a_cell_is_empty_may_follow() -> None:
    row = [Fact(frozenset([0]), 30, True), Fact(frozenset([1]), 0, False)]
    assert exposed([*row, Fact(frozenset([0, 1]), 30, True)], 10) == []


def test_open_intervals_are_wide() -> None:
    assert exposed([Fact(frozenset([0]), 3, False)], 10**9) == []
    assert math.inf > 10**9


# --- statements that are margins of each other ----------------------------------------------------


Counts = dict[Any, int]
BY_BOTH = "SELECT g, k, COUNT(*) AS n FROM t GROUP BY g, k"
BY_ONE = "SELECT g, COUNT(*) AS n FROM t GROUP BY g"
TOTAL = "SELECT COUNT(*) AS n FROM t"
KEY = Column("k", ColumnType.INTEGER, Grade.PUBLIC, Outside.REFUSE, minimum=1, maximum=3)
CONTRACT = TableContract(
    "t",
    ("a", "b", "c"),
    (
        Column("g", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("p", "q")),
        KEY,
        Column("f", ColumnType.BOOLEAN, Grade.PUBLIC, Outside.REFUSE),
    ),
    10_000,
)
LEAST = Parameter("least", ColumnType.INTEGER, 0, 1, 3)


def answer(sql: str, counts: Counts, **arguments: int) -> Answer:
    """A run's counts by key; those below ten do not pass."""
    parameters = (LEAST,) if arguments else ()
    made = plan(Statement("s", sql, parameters), [CONTRACT], 3)
    keys = itertools.product(
        *([*d.values, *([None] if d.nullable else []), "__other__"] for d in made.dimensions)
    )
    rows = [[counts.get(key, 0)] * len(made.counts) for key in keys]
    return Answer(bind(made, arguments), rows, [[n >= 10 for n in row] for row in rows])


def checked(new: Answer, *earlier: Answer) -> set[int]:
    """Cells of the new answer that are withheld because a withheld one would follow."""
    reasons = np.array(
        [[0 if p else Reason.FEW_ROWS for p in row] for row in new.passes], dtype=np.uint8
    )
    found = withhold_derivable(new, earlier, reasons, 10)
    assert ((found == reasons) | ((reasons == 0) & (found == Reason.DERIVABLE))).all()
    return {int(cell) for cell in np.flatnonzero((found != reasons).any(axis=1))}


CELLS: Counts = {("p", 1): 30, ("p", 2): 3, ("p", 3): 40, ("q", 1): 50, ("q", 2): 60, ("q", 3): 70}
SUMS: Counts = {("p",): 73, ("q",): 180}
FINE, COARSE, WHOLE = answer(BY_BOTH, CELLS), answer(BY_ONE, SUMS), answer(TOTAL, {(): 253})


def test_totals_after_the_table_are_withheld_where_a_small_cell_follows() -> None:
    assert checked(COARSE, FINE) == {0}  # the total of p gives its three rows of k = 2 away
    assert checked(WHOLE, FINE) == {0}


def test_after_totals_a_second_cell_of_the_row_is_withheld() -> None:
    assert checked(FINE, COARSE) == {0}  # (p, 1): the fewest rows that hide the three
    assert checked(FINE, COARSE, WHOLE) == {0}


def test_totals_in_two_steps() -> None:
    """The total of p is withheld, and would follow from q's and the whole."""
    assert checked(WHOLE, answer(BY_ONE, {("p",): 3, ("q",): 180})) == {0}


def test_unrelated_questions_are_left_alone() -> None:
    other = "SELECT g, COUNT(*) AS n FROM t WHERE f GROUP BY g"
    assert checked(answer(other, SUMS), FINE) == set()
    assert checked(COARSE) == set()
    assert checked(FINE, FINE) == set()  # the identical question
    safe = answer(BY_BOTH, {**CELLS, ("p", 2): 33})
    assert checked(answer(BY_ONE, {("p",): 103, ("q",): 180}), safe) == set()


@pytest.mark.parametrize(("least", "cells"), [(2, {0}), (1, set())])
def test_arguments_make_the_question(least: int, cells: set[int]) -> None:
    fine = BY_BOTH.replace("FROM t", "FROM t WHERE k >= :least")
    coarse = BY_ONE.replace("FROM t", "FROM t WHERE k >= :least")
    counts = {("p", 2): 3, ("p", 3): 40, ("q", 2): 60, ("q", 3): 70}
    new = answer(coarse, {("p",): 43, ("q",): 130}, least=least)
    assert checked(new, answer(fine, counts, least=2)) == cells


def test_counts_of_a_filter_are_a_table_of_their_own() -> None:
    fine = answer(BY_BOTH.replace("COUNT(*)", "COUNT(*) FILTER (WHERE f)"), CELLS)
    assert checked(answer(TOTAL.replace("COUNT(*)", "COUNT(*) FILTER (WHERE f)"), {(): 253}), fine)


def test_a_table_too_large_to_look_through_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stayput.disclosure.tables.MAX_ATOMS", 5)
    assert checked(COARSE, FINE) == {0, 1}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=6, max_size=6),
    st.permutations([BY_BOTH, BY_ONE, TOTAL, "SELECT k, COUNT(*) AS n FROM t GROUP BY k"]),
)
def test_whatever_the_order_no_small_cell_follows(numbers: list[int], order: list[str]) -> None:
    """Judged by everything released, cell by cell, against the withheld ones."""
    cells = dict(zip(CELLS, numbers, strict=True))
    past: list[Answer] = []
    facts: list[Fact] = []
    for sql in order:
        names = [n for n in ("g", "k") if f" {n}," in sql]
        places = [("g", "k").index(n) for n in names]
        counts: Counts = {}
        for key, number in cells.items():
            short = tuple(key[i] for i in places)
            counts[short] = counts.get(short, 0) + number
        new = answer(sql, counts)
        gone = checked(new, *past)
        passes = [[p and c not in gone for p in row] for c, row in enumerate(new.passes)]
        past.append(Answer(new.bound, new.counts, passes))
        keys = itertools.product(*([*d.values, "__other__"] for d in new.bound.plan.dimensions))
        for cell, key in enumerate(keys):
            atoms = [i for i, k in enumerate(CELLS) if tuple(k[p] for p in places) == key]
            if atoms:
                facts.append(Fact(frozenset(atoms), new.counts[cell][0], passes[cell][0]))
        assert not [i for i in exposed(facts, 10) if facts[i].rows < 10]
