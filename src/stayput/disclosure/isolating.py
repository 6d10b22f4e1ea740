"""Answers that together are about few rows: the differencing rule, on pooled numbers of rows.

The checker knows of each answer the opened counts and which of them passed, and of each pair of
answers how many rows both are about (:mod:`stayput.differencing.overlap`), over all holders.  A
count of a new answer is withheld if it, with others that were released,

* differs from one of them in some, but fewer than ``least`` rows: cell against cell, and total
  against total for the keys that both have (a total being that of all its released cells); where
  the table has a unit, also if few people are behind these rows;
* or is, in one cell, but for few rows made of cells of another answer, or with its cells makes up
  such a cell; what a FILTER leaves out counts as a cell;
* or, with others of its own cell, leaves out few rows, as far as the text shows how they lie;
* or differs from one of them in rows of fewer than ``min_holders`` holders, where the totals are
  complete: the difference would be those holders' part;
* or is in a combination that is about fewer than ``least`` rows
  (:func:`stayput.differencing.short.few_rows`), for the same keys, or, where all answers together
  have no more than :data:`MAX_TOGETHER` cells, of any cells;
* or is too close to an answer that only some of the holders know, as they say.

Of the cells of a total those with the fewest rows go first.  Released means passed: whether or not
a column shows it, and whether or not its run was released in the end.  What earlier answers give
away by themselves stays given away.  Everything in question is withheld in the *new* answer; nobody
can take back the old one.

Not seen where there are more cells than :data:`MAX_TOGETHER`: combinations of single cells of one
answer with totals of another, beyond pairs and unions; counts of one answer under several FILTERs,
beyond what is left out of each.  Not seen at all: people with several rows in
combinations, in cells of answers with other keys, and in totals with other keys of which cells are
withheld.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stayput.differencing.overlap import Indices, Overlap, apart, key_texts, kinds, level_cells
from stayput.differencing.short import few_rows, surely_apart
from stayput.sql import BoundPlan

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[Any]

MAX_LEVELS = 16
"""Sets of keys at which totals are combined; pairs are compared at all of them."""

MAX_TOGETHER = 40
"""Answers that are combined, the newest first; pairs are compared with all of them.  And released
cells up to which those of all answers are combined, one by one."""


@dataclasses.dataclass(frozen=True, repr=False)
class Judged:
    """An answer: cells × counts, and which of them may be released."""

    run: bytes
    bound: BoundPlan
    counts: Counts
    passes: Flags
    least: int = 0


@dataclasses.dataclass(frozen=True, repr=False)
class Pair:
    """What two answers share: ``shared`` is joint cells × pairs, ``holders`` common cells × pairs,
    the number of holders with rows in which they differ; ``people`` of the same shape, how many are
    known to be behind these rows (as many as have to be is enough), or nothing: rows are people."""

    overlap: Overlap
    shared: Counts
    holders: Counts
    people: Counts | None = None


Pairs = Mapping[tuple[bytes, bytes], Pair]
"""By the runs of the later and the earlier answer."""


def isolating(
    new: Judged, others: Sequence[Judged], pairs: Pairs, *, least: int, min_holders: int
) -> Flags:
    """Cells × counts of a new answer that must not be released beside the others."""
    left = _without(new, _alone(new, least))
    for other in others:
        between = _between(pairs, new, other)
        if between is not None:
            few = max(least, other.least)
            left = _without(left, _cells(left, other, between, few))
            left = _without(left, _totals(left, other, between, few, min_holders))
            left = _without(left, _unions(left, other, between, few))
    left = _without(left, _combinations(left, others, pairs, least))
    left = _without(left, _small_tables(left, others, pairs, least))
    return new.passes & ~left.passes


def _without(judged: Judged, found: Flags) -> Judged:
    return dataclasses.replace(judged, passes=judged.passes & ~found)


@dataclasses.dataclass(frozen=True)
class _Between:
    """A pair seen from one of its answers."""

    pairs: tuple[tuple[int, int], ...]
    place: Mapping[tuple[int, int], int]
    mine: Indices
    theirs: Indices
    common: Indices
    shared: Counts
    holders: Counts
    people: Counts | None  # of cells too, if both have the same keys
    same_grid: bool


def _between(pairs: Pairs, one: Judged, other: Judged) -> _Between | None:
    pair = pairs.get((one.run, other.run))
    if pair is not None:
        o = pair.overlap
        return _Between(
            o.pairs,
            o.place,
            o.new_cell,
            o.old_cell,
            o.common_cell,
            pair.shared,
            pair.holders,
            pair.people,
            o.same_grid,
        )
    pair = pairs.get((other.run, one.run))
    if pair is None:
        return None
    o = pair.overlap
    mirrored = {(j, i): index for (i, j), index in o.place.items()}
    return _Between(
        tuple(mirrored),
        mirrored,
        o.old_cell,
        o.new_cell,
        o.common_cell,
        pair.shared,
        pair.holders,
        pair.people,
        o.same_grid,
    )


def _alone(new: Judged, least: int) -> Flags:
    """Counts to withhold so that what several of one cell leave out together is not few rows: of
    those that the text shows to be apart, or one inside another, the smallest."""
    found: Flags = np.zeros_like(new.passes)
    cut = {index for bins in new.bound.plan.bins for index in bins.counts}  # a rule of their own
    counts = [i for i in range(new.counts.shape[1]) if i not in cut][:MAX_TOGETHER]
    if len(counts) < 3:
        return found
    gram = _Gram({})
    for cell in range(len(new.counts)):
        own = [(new, i, cell) for i in counts if new.passes[cell, i] and new.counts[cell, i]]
        own.sort(key=lambda one: -new.counts[one[2], one[1]])
        while len(own) > 2:
            chosen = _all_known(own, gram)
            table = [[gram.shared(a, b) or 0 for b in chosen] for a in chosen]
            if not few_rows(table, _fewest(table, least), len(chosen)):
                break
            found[cell, chosen[-1][1]] = True
            own.remove(chosen[-1])
    return found


def _fewest(table: Sequence[Sequence[int]], least: int) -> int:
    """How few rows are few in combinations: not more than a released number is about by itself,
    where the minimum count is below the minimum difference."""
    return min([least, *(row[i] for i, row in enumerate(table))])


def _all_known(cells: Sequence[_Cell], gram: _Gram) -> list[_Cell]:
    """Of released cells those of which every pair is known, the first ones first."""
    chosen: list[_Cell] = []
    for cell in cells:
        if all(gram.shared(cell, before) is not None for before in chosen):
            chosen.append(cell)
    return chosen


def _cells(new: Judged, other: Judged, between: _Between, least: int) -> Flags:
    """Single cells that differ in few rows."""
    found: Flags = np.zeros_like(new.passes)
    for index, (i, j) in enumerate(between.pairs):
        mine, theirs = between.mine, between.theirs
        differ = new.counts[mine, i] + other.counts[theirs, j] - 2 * between.shared[:, index]
        released = new.passes[mine, i] & other.passes[theirs, j]
        few = differ < least
        if between.people is not None and between.same_grid:
            few |= between.people[between.common, index] < least
        few &= released & (differ > 0)
        found[mine[few], i] = True
    return found


def _totals(new: Judged, other: Judged, between: _Between, least: int, min_holders: int) -> Flags:
    """Cells to withhold so that no totals for the common keys differ in few rows, or in rows of few
    holders: those with the fewest rows, one after the other, until the totals are far apart."""
    found: Flags = np.zeros_like(new.passes)
    mine = _of_cells(between.mine, between.common, len(new.counts))
    theirs = _of_cells(between.theirs, between.common, len(other.counts))
    for index, (i, _) in enumerate(between.pairs):
        while True:
            left = _without(new, found)
            bad = _close_totals(left, other, between, index, (mine, theirs), least, min_holders)
            cells = np.flatnonzero(left.passes[:, i] & bad[mine] & (new.counts[:, i] > 0))
            if not cells.size:
                break
            for common in np.unique(mine[cells]):
                inside = cells[mine[cells] == common]
                found[inside[np.argmin(new.counts[inside, i])], i] = True
    return found


def _close_totals(
    new: Judged,
    other: Judged,
    between: _Between,
    index: int,
    levels: tuple[Indices, Indices],
    least: int,
    min_holders: int,
) -> Flags:
    """Common cells at which the totals differ in too few rows, or of too few holders."""
    (i, j), size = between.pairs[index], len(between.holders)
    mine, theirs = _total(new, i, levels[0], size), _total(other, j, levels[1], size)
    released = new.passes[between.mine, i] & other.passes[between.theirs, j]
    both = np.zeros(size, dtype=object)
    np.add.at(both, between.common[released], between.shared[released, index])
    differ = mine + theirs - 2 * both
    some = (mine > 0) & (theirs > 0) & (differ > 0)
    whole = _complete(new, i, levels[0], size) & _complete(other, j, levels[1], size)
    alone = whole & (between.holders[:, index] < min_holders)
    few = differ < least
    if between.people is not None:
        few |= whole & (between.people[:, index] < least)
    return np.asarray(some & (few | alone), dtype=np.bool_)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Numbers of rows of each cell that follow from an answer: a count, or what it leaves out."""

    counts: Counts
    passes: Flags
    signs: tuple[tuple[int, int], ...]  # (count, 1 or -1)

    @property
    def narrowest(self) -> int:
        """The count to withhold where the number must not follow."""
        return self.signs[-1][0]


def _parts(judged: Judged) -> list[_Part]:
    counts, passes, planned = judged.counts, judged.passes, judged.bound.plan
    found = [_Part(counts[:, i], passes[:, i], ((i, 1),)) for i in range(counts.shape[1])]
    cut = {index for bins in planned.bins for index in bins.counts}  # too many, and a partition
    return found + [
        _Part(counts[:, w] - counts[:, p], passes[:, w] & passes[:, p], ((w, 1), (p, -1)))
        for p, w in planned.rests
        if p not in cut
    ]


def _unions(new: Judged, other: Judged, between: _Between, least: int) -> Flags:
    """Cells to withhold so that no cell of either answer is, but for few rows, cells of the other.

    Cells of one answer have no row in common, so the cells of which most rows are inside another
    answer's cell are those that come closest to it.
    """
    found: Flags = np.zeros_like(new.passes)
    for mine in _parts(new):
        for theirs in _parts(other):
            shared = _shared_by(mine, theirs, new, other, between)
            if shared is None:
                continue
            place, old = between.mine, between.theirs
            passes = mine.passes & ~found[:, mine.narrowest]
            gain = theirs.counts[old] - 2 * shared
            few = _close(mine.counts, place, gain, theirs.passes[old], least) & passes
            found[few, mine.narrowest] = True
            while True:
                passes = mine.passes & ~found[:, mine.narrowest]
                gain = mine.counts[place] - 2 * shared
                few = _close(theirs.counts, old, gain, passes[place], least) & theirs.passes
                inside = few[old] & passes[place] & (gain < 0)
                if not inside.any():
                    break
                for cell in np.unique(old[inside]):
                    candidates = place[inside & (old == cell)]
                    found[candidates[np.argmin(mine.counts[candidates])], mine.narrowest] = True
    return found


def _close(whole: Counts, place: Indices, gain: Counts, passes: Flags, least: int) -> Flags:
    """Cells that differ in few rows from the released cells of another answer that come closest."""
    taken = passes & (gain < 0)
    rest = whole.copy()
    np.add.at(rest, place[taken], gain[taken])
    some = np.zeros(len(whole), dtype=np.bool_)
    some[place[taken]] = True
    return np.asarray(some & (rest > 0) & (rest < least), dtype=np.bool_)


def _shared_by(
    mine: _Part, theirs: _Part, new: Judged, other: Judged, between: _Between
) -> Counts | None:
    """Rows that two parts share in each joint cell, where that is known."""
    found = np.zeros(len(between.mine), dtype=object)
    known = False
    for i, sign in mine.signs:
        for j, other_sign in theirs.signs:
            if (i, j) in between.place:
                found = found + sign * other_sign * between.shared[:, between.place[i, j]]
                known = True
            elif not apart(new.bound, i, other.bound, j):
                return None
    return found if known else None


def _of_cells(cell: Indices, level: Indices, count: int) -> Indices:
    found = np.zeros(count, dtype=np.int64)
    found[cell] = level
    return found


def _total(judged: Judged, count: int, level: Indices, size: int) -> Counts:
    """Rows of all released cells."""
    found = np.zeros(size, dtype=object)
    passed = judged.passes[:, count]
    np.add.at(found, level[passed], judged.counts[passed, count])
    return found


def _complete(judged: Judged, count: int, level: Indices, size: int) -> Flags:
    """Where no cell with rows is withheld."""
    found: Flags = np.ones(size, dtype=np.bool_)
    missing = ~judged.passes[:, count] & (judged.counts[:, count] > 0)
    found[level[missing]] = False
    return found


# --- combinations ---------------------------------------------------------------------------------


def _combinations(new: Judged, others: Sequence[Judged], pairs: Pairs, least: int) -> Flags:
    found: Flags = np.zeros_like(new.passes)
    mine = frozenset(key_texts(new.bound))
    levels = list(dict.fromkeys(mine & frozenset(key_texts(o.bound)) for o in others))
    levels = list(dict.fromkeys([*levels, frozenset[str]()]))[:MAX_LEVELS]
    for level in levels if others else ():
        beside = [o for o in others if level <= frozenset(key_texts(o.bound))][-MAX_TOGETHER:]
        for i in range(new.counts.shape[1]):
            terms = [(new, i), *_terms(new, i, beside)]
            for cell in _exposing(terms, pairs, level, least):
                found[level_cells(new.bound, level) == cell, i] = True
    return found


def _terms(new: Judged, count: int, others: Sequence[Judged]) -> Iterator[tuple[Judged, int]]:
    """Counts of other answers about the same kind of rows, with which some can be shared; of each
    answer one of each FILTER that is chosen out of all rows."""
    kind = kinds(new.bound)[count]
    for other in others:
        same = [j for j, found in enumerate(kinds(other.bound)) if found == kind]
        yield from ((other, j) for j in same if not apart(new.bound, count, other.bound, j))


def _exposing(
    terms: Sequence[tuple[Judged, int]], pairs: Pairs, level: frozenset[str], least: int
) -> Iterator[int]:
    """Cells of a level at which the first of some totals is in a combination about few rows."""
    size = int(level_cells(terms[0][0].bound, level).max()) + 1
    grams: dict[tuple[int, int], Counts] = {}
    for a, one in enumerate(terms):
        for b, other in enumerate(terms[: a + 1]):
            shared = _gram(one, other, pairs, level, size)
            if shared is not None:
                grams[a, b] = shared
    alike: dict[tuple[int, ...], list[int]] = {}
    for cell in range(size):
        chosen = _known(grams, len(terms), cell)
        if len(chosen) > 2 and chosen[0] == 0:
            alike.setdefault(tuple(chosen), []).append(cell)
    for together, cells in alike.items():
        tables = np.empty((len(cells), len(together), len(together)), dtype=np.int64)
        for x, a in enumerate(together):
            for y, b in enumerate(together):
                tables[:, x, y] = grams[max(a, b), min(a, b)][cells]
        safe = surely_apart(tables, least)
        for cell, table, sure in zip(cells, tables, safe, strict=True):
            if not sure and few_rows(table.tolist(), least):
                yield cell


_Cell = tuple[Judged, int, int]
"""A released number of rows: answer, count, cell."""


def _small_tables(new: Judged, others: Sequence[Judged], pairs: Pairs, least: int) -> Flags:
    """Cells to withhold, the smallest first, until no combination of released ones is about few
    rows; nothing where they are too many to look at."""
    found: Flags = np.zeros_like(new.passes)
    own = sorted(_released(new), key=lambda cell: -new.counts[cell[2], cell[1]])
    cells = own + [cell for other in others for cell in _released(other)]
    if len(cells) > MAX_TOGETHER:
        return found
    gram = _Gram(pairs)
    while own:
        chosen = _all_known(cells, gram)
        fresh = sum(cell[0] is new for cell in chosen)
        table = [[gram.shared(a, b) or 0 for b in chosen] for a in chosen]
        if not few_rows(table, _fewest(table, least), fresh):
            break
        _, count, place = own.pop()
        cells = own + [cell for cell in cells if cell[0] is not new]
        found[place, count] = True
    return found


def _released(judged: Judged) -> list[_Cell]:
    some = judged.passes & (judged.counts > 0)
    return [(judged, int(count), int(cell)) for cell, count in np.argwhere(some)]


class _Gram:
    """Rows that two released cells share, as far as that is known."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._between: dict[tuple[bytes, bytes], tuple[_Between, dict[tuple[int, int], int]]] = {}

    def shared(self, one: _Cell, other: _Cell) -> int | None:
        (first, i, cell), (second, j, place) = one, other
        if first is second:
            return self._within(first, (i, cell), (j, place))
        if apart(first.bound, i, second.bound, j):
            return 0
        between, joint = self._known(first, second)
        if between is None or (i, j) not in between.place:
            return None
        index = joint.get((cell, place))
        return 0 if index is None else int(between.shared[index, between.place[i, j]])

    def _within(self, judged: Judged, one: tuple[int, int], other: tuple[int, int]) -> int | None:
        (i, cell), (j, place) = one, other
        if cell != place or (i != j and apart(judged.bound, i, judged.bound, j)):
            return 0
        rests = judged.bound.plan.rests
        inner = i if i == j or (i, j) in rests else j if (j, i) in rests else None
        return None if inner is None else int(judged.counts[cell, inner])

    def _known(
        self, first: Judged, second: Judged
    ) -> tuple[_Between | None, dict[tuple[int, int], int]]:
        known = self._between.get((first.run, second.run))
        if known is not None:
            return known
        between = _between(self._pairs, first, second)
        if between is None:
            return None, {}
        both = zip(between.mine.tolist(), between.theirs.tolist(), strict=True)
        found = between, {pair: index for index, pair in enumerate(both)}
        self._between[first.run, second.run] = found
        return found


def _known(grams: Mapping[tuple[int, int], Counts], count: int, cell: int) -> list[int]:
    """Terms with rows, all different, of which every pair is known."""
    chosen: list[int] = []
    for a in range(count):
        own = grams[a, a][cell]
        known = all((a, b) in grams for b in chosen)
        if own > 0 and known:
            twin = any(grams[b, b][cell] == own == grams[a, b][cell] for b in chosen if b)
            if not twin:
                chosen.append(a)
    return chosen


def _gram(
    one: tuple[Judged, int],
    other: tuple[Judged, int],
    pairs: Pairs,
    level: frozenset[str],
    size: int,
) -> Counts | None:
    """Rows that two totals share at each cell of a level, where that is known."""
    (first, i), (second, j) = one, other
    cells = level_cells(first.bound, level)
    if first is second and i != j and apart(first.bound, i, first.bound, j):
        return np.zeros(size, dtype=object)
    if first is second:
        inner = (
            i if i == j or (i, j) in first.bound.plan.rests
            else j if (j, i) in first.bound.plan.rests
            else None
        )  # fmt: skip
        if inner is None:
            return None
        both = first.passes[:, i] & first.passes[:, j]
        found = np.zeros(size, dtype=object)
        np.add.at(found, cells[both], first.counts[both, inner])
        return found
    if apart(first.bound, i, second.bound, j):
        return np.zeros(size, dtype=object)
    between = _between(pairs, first, second)
    if between is None or (i, j) not in between.place:
        return None
    index = between.place[i, j]
    released = first.passes[between.mine, i] & second.passes[between.theirs, j]
    found = np.zeros(size, dtype=object)
    np.add.at(found, cells[between.mine[released]], between.shared[released, index])
    return found
