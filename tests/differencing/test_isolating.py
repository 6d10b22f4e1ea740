"""Few rows in combinations: the search against brute force, and the rule on small tables."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from fractions import Fraction

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.differencing.overlap import Overlap, level_cells
from stayput.differencing.short import few_rows, surely_apart
from stayput.disclosure.isolating import Judged, Pair, isolating
from stayput.plans import _apart, _together
from stayput.scenario import Column, ColumnType, Grade, Outside, Statement, TableContract
from stayput.sql import SOURCE, BoundPlan, bind, plan

Rows = frozenset[int]


def gram(sets: Sequence[Rows]) -> list[list[int]]:
    return [[len(a & b) for b in sets] for a in sets]


def follows(target: Rows, sets: Sequence[Rows], universe: Rows) -> bool:
    """Whether the indicator of a set is a rational combination of others: by elimination."""
    rows = [[Fraction(r in s) for r in sorted(universe)] for s in sets]
    wanted = [Fraction(r in target) for r in sorted(universe)]
    for column in range(len(wanted)):
        pivot = next((row for row in rows if row[column]), None)
        if pivot is None:
            if wanted[column]:
                return False
            continue
        rows = [row for row in rows if row is not pivot]
        for row in (*rows, wanted):
            factor = row[column] / pivot[column]
            row[:] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
    return not any(wanted)


def isolated(sets: Sequence[Rows], universe: Rows, least: int) -> list[Rows]:
    small = [frozenset(c) for n in range(1, least) for c in itertools.combinations(universe, n)]
    return [rows for rows in small if follows(rows, sets, universe)]


SETS = st.lists(
    st.frozensets(st.integers(0, 6), min_size=1, max_size=7), min_size=1, max_size=4, unique=True
)


@settings(max_examples=400, deadline=None)
@given(SETS, st.integers(2, 3))
def test_no_small_set_follows_from_answers_that_pass(asked: list[Rows], least: int) -> None:
    """Whoever asks one question after the other, and gets those that pass, isolates nobody."""
    universe: Rows = frozenset(range(7))
    released: list[Rows] = []
    for rows in asked:
        if len(rows) >= least and not few_rows(gram([rows, *released]), least):
            released.append(rows)
    assert not isolated(released, universe, least)


@settings(max_examples=200, deadline=None)
@given(SETS, st.integers(2, 4))
def test_a_pair_that_differs_in_few_rows_is_found_and_others_are_not(
    asked: list[Rows], least: int
) -> None:
    for one, other in itertools.combinations(asked, 2):
        small = len(one) < least or 0 < len(one ^ other) < least
        assert few_rows(gram([one, other]), least) == small


def test_nested_and_crossing_answers_pass() -> None:
    """False alarms matter: what differs in enough rows is left alone, and quickly."""
    nested = [frozenset(range(100 * i)) for i in range(1, 31)]
    dice = random.Random(5)
    crossing = [frozenset(dice.sample(range(5_000), 2_500)) for _ in range(30)]
    assert not few_rows(gram(nested), 10)
    assert not few_rows(gram(crossing), 10)
    assert few_rows(gram([nested[5] | {9_999}, *nested]), 10)
    hidden = crossing[0] ^ crossing[1]  # S + T - 2·(S ∩ T), and a row more
    assert few_rows(gram([hidden | {9_999}, *crossing[:2], crossing[0] & crossing[1]]), 10)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=3, max_size=6),
    st.lists(st.integers(0, 60), min_size=6, max_size=6),
    st.integers(2, 6),
)
def test_the_quick_answer_for_many_tables_is_the_search_s(
    members: list[list[bool]], sizes: list[int], least: int
) -> None:
    """Answers made of six groups of rows, of any sizes; small ones are what must be found."""
    sets = np.array(members, dtype=np.int64)
    table = sets @ np.diag(sizes) @ sets.T
    wider = sets @ np.diag([size + 90 for size in sizes]) @ sets.T
    for gram, sure in zip(
        (table, wider), surely_apart(np.array([table, wider]), least), strict=True
    ):
        assert not (sure and few_rows(gram.tolist(), least))


def test_the_quick_answer_decides_most_tables() -> None:
    dice = np.random.default_rng(7)
    nested = np.tril(np.ones((8, 8), dtype=np.int64))
    tables = [nested @ np.diag(dice.integers(25, 60, 8)) @ nested.T for _ in range(40)]
    assert surely_apart(np.array(tables), 10).mean() > 0.5
    tables = [nested @ np.diag([30] * 7 + [9]) @ nested.T]
    assert not surely_apart(np.array(tables), 10).any()


def test_four_answers_of_which_no_two_differ_in_few_rows() -> None:
    a, b, c = (frozenset(range(21 * i, 21 * i + 21)) for i in range(3))
    x = frozenset([99])
    asked = [b | c, a | c, a, a | b | x]
    assert not any(few_rows(gram([s, *asked[:i]]), 10) for i, s in enumerate(asked[:3]))
    assert all(not few_rows(gram(pair), 10) for pair in itertools.combinations(asked, 2))
    assert few_rows(gram(asked[::-1]), 10)


def test_twice_and_three_times_a_row() -> None:
    a, b, c = ({1}, set(range(10, 30)), set(range(40, 60)))
    assert few_rows(gram([frozenset(a | b), frozenset(b | c), frozenset(a | c)]), 3)
    but_one = [frozenset(range(4)) - {i} for i in range(4)]
    assert few_rows(gram(but_one), 2)


# --- plans, cells and totals ----------------------------------------------------------------------


def column(name: str, **rest: object) -> Column:
    return Column(name, grade=Grade.PUBLIC, outside=Outside.REFUSE, **rest)  # type: ignore[arg-type]


PEOPLE = TableContract(
    "people",
    ("a", "b", "c"),
    (
        column("id", type=ColumnType.INTEGER, minimum=0, maximum=63),
        column("town", type=ColumnType.LEVEL, levels=("x", "y")),
        column("band", type=ColumnType.INTEGER, minimum=0, maximum=2),
        column("pay", type=ColumnType.INTEGER, minimum=0, maximum=9, nullable=True),
    ),
    100,
)

Person = tuple[int, str, int, int | None]


def asked(sql: str) -> BoundPlan:
    return bind(plan(Statement("q", sql), (PEOPLE,), 3), {})


class Table:
    """DuckDB does what a node does, over all holders at once."""

    def __init__(self, people: Sequence[Person]) -> None:
        self.connection = duckdb.connect()
        self.connection.execute(
            f"CREATE TABLE {SOURCE} (id BIGINT, town VARCHAR, band BIGINT, pay BIGINT)"
        )
        if people:
            self.connection.executemany(f"INSERT INTO {SOURCE} VALUES (?, ?, ?, ?)", people)

    def counts(self, bound: BoundPlan) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        found = np.zeros((bound.plan.cells, len(bound.plan.counts)), dtype=object)
        keys = len(bound.plan.dimensions)
        for row in self.connection.execute(bound.node_sql()).fetchall():
            found[cell_of(bound.plan.dimensions, row)] = row[keys : keys + found.shape[1]]
        return found

    def shared(self, overlap: Overlap) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        found = np.zeros((overlap.cells, len(overlap.pairs)), dtype=object)
        for row in self.connection.execute(overlap.sql()).fetchall():
            found[cell_of(overlap.dimensions, row)] = row[len(overlap.dimensions) :]
        return found


def cell_of(dimensions: Sequence[object], row: Sequence[object]) -> int:
    cell = 0
    for dimension, key in zip(dimensions, row, strict=False):
        slots = {value: i for i, value in enumerate(dimension.values)}  # type: ignore[attr-defined]
        cell = cell * dimension.slots + slots.get(key, dimension.other_slot)  # type: ignore[attr-defined]
    return cell


class Checked:
    """One question after the other, with the rule about few rows and minimum counts only."""

    def __init__(self, table: Table, least: int) -> None:
        self.table, self.least = table, least
        self.judged: list[Judged] = []
        self.pairs: dict[tuple[bytes, bytes], Pair] = {}

    def ask(self, sql: str) -> Judged:
        bound = asked(sql)
        counts = self.table.counts(bound)
        run = bytes([len(self.judged)])
        new = Judged(run, bound, counts, np.asarray(counts >= self.least, dtype=np.bool_))
        for other in self.judged:
            overlap = Overlap(bound, other.bound)
            holders = np.full((overlap.common_cells, len(overlap.pairs)), 3)
            self.pairs[run, other.run] = Pair(overlap, self.table.shared(overlap), holders)
        found = isolating(new, self.judged, self.pairs, least=self.least, min_holders=3)
        new = Judged(run, bound, counts, new.passes & ~found)
        self.judged.append(new)
        return new

    def released(self, people: Sequence[Person]) -> list[Rows]:
        """The rows of every released cell, by DuckDB again."""
        alone = {person[0]: Table([person]) for person in people}
        found = []
        for answer in self.judged:
            where = {i: np.flatnonzero(t.counts(answer.bound)[:, 0]) for i, t in alone.items()}
            for cell in np.flatnonzero(answer.passes[:, 0]):
                found.append(frozenset(i for i, cells in where.items() if cell in cells))
        return [rows for rows in found if rows]


CONDITIONS = (
    "",
    " WHERE band < 2",
    " WHERE id <> 3",
    " WHERE id < 5 OR band = 1",
    " WHERE id % 2 = 0",
)
KEYS = ("", "town", "band")


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 2)), min_size=4, max_size=7),
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(CONDITIONS)), min_size=2, max_size=3),
)
def test_tables_and_totals_isolate_nobody(
    drawn: list[tuple[str, int]], questions: list[tuple[str, str]]
) -> None:
    """Real statements with keys: no single person follows from all released cells together."""
    people = [(i, town, band, 1) for i, (town, band) in enumerate(drawn)]
    checked = Checked(Table(people), 2)
    for key, where in questions:
        head = f"SELECT {key}, COUNT(*) AS n" if key else "SELECT COUNT(*) AS n"
        tail = f" GROUP BY {key}" if key else ""
        checked.ask(f"{head} FROM people{where}{tail}")
    universe = frozenset(range(len(people)))
    pairs = checked.released(people)
    assert not [r for r in isolated(pairs, universe, 2) if _by_two(r, pairs)]


def _by_two(rows: Rows, sets: Sequence[Rows]) -> bool:
    """By a difference of two, or of totals: what the rule about cells and totals claims."""
    return any(one - other == rows and other <= one for one in sets for other in sets)


def test_totals_of_a_table_and_a_total_that_differ_in_one_row() -> None:
    people: list[Person] = [(i, "xy"[i % 2], i % 3, 1) for i in range(60)]
    checked = Checked(Table(people), 10)
    assert checked.ask("SELECT town, COUNT(*) AS n FROM people GROUP BY town").passes.sum() == 2
    assert not checked.ask("SELECT COUNT(*) AS n FROM people WHERE id <> 7").passes.any()
    # The other way round one town goes, since the total is out already.
    checked = Checked(Table(people), 10)
    assert checked.ask("SELECT COUNT(*) AS n FROM people WHERE id <> 7").passes.all()
    assert checked.ask("SELECT town, COUNT(*) AS n FROM people GROUP BY town").passes.sum() == 1


def test_rows_without_a_value_are_no_difference_of_two_questions() -> None:
    """COUNT(*) and AVG(pay): that few rows have no pay shows in any answer with both."""
    people: list[Person] = [(i, "x", 0, None if i < 3 else 1) for i in range(60)]
    checked = Checked(Table(people), 10)
    assert checked.ask("SELECT COUNT(*) AS n FROM people").passes.all()
    assert checked.ask("SELECT COUNT(*) AS n, AVG(pay) AS pay FROM people").passes.all()
    assert not checked.ask("SELECT AVG(pay) AS pay FROM people WHERE id <> 9").passes.any()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("id < 20 AND band = 1", "band = 1 AND id < 20"),
        ("id < 20", "NOT (id >= 20)"),
        ("id BETWEEN 0 AND 19", "id + 5 < 25"),
        ("id // 10 < 2", "id < 20"),
    ],
)
def test_the_same_rows_in_other_words(one: str, other: str) -> None:
    people: list[Person] = [(i, "x", i % 2, 1) for i in range(60)]
    overlap = Overlap(
        asked(f"SELECT COUNT(*) AS n FROM people WHERE {one}"),
        asked(f"SELECT COUNT(*) AS n FROM people WHERE {other}"),
    )
    table = Table(people)
    (shared,) = table.shared(overlap)[0]
    assert shared == table.counts(overlap.new)[0, 0] == table.counts(overlap.old)[0, 0] > 0


def test_grids_fit_together() -> None:
    overlap = Overlap(
        asked("SELECT town, band, COUNT(*) AS n FROM people GROUP BY town, band"),
        asked("SELECT band AS b, id, COUNT(*) AS n FROM people GROUP BY band, id"),
    )
    assert [d.label for d in overlap.dimensions] == ["town", "band", "id"]
    assert overlap.cells == 3 * 4 * 65
    assert overlap.common_cells == 4
    level = frozenset(
        text
        for text in __import__("stayput.differencing.overlap", fromlist=["x"]).key_texts(
            overlap.old
        )
        if "band" in text
    )
    assert (level_cells(overlap.old, level)[overlap.old_cell] == overlap.common_cell).all()
    assert (level_cells(overlap.new, level)[overlap.new_cell] == overlap.common_cell).all()


@given(st.integers(2, 70), st.lists(st.booleans(), min_size=1, max_size=80))
def test_flags_are_added_up_together_and_stay_apart(holders: int, flags: list[bool]) -> None:
    """Also when every holder raises every flag; and too many are not taken for few."""
    numbers = _together([int(flag) for flag in flags], holders)
    assert len(numbers) == -(-len(flags) // (30 // holders.bit_length()))
    summed = [number * holders for number in numbers]
    assert max(summed) < 2**31
    assert _apart(summed, len(flags), holders) == [holders * flag for flag in flags]
    excess = [number + (1 << 30) for number in summed]
    assert max(_apart(excess, len(flags), holders)) > holders
