"""Withheld cells that follow from what is released: margins, totals, tables that share them.

A *fact* is a number of rows over a set of atoms, the cells of the finest table: released, or
withheld.  Released facts are linear equations in the atoms, which are at least 0.  What somebody
who reads them all can say about a withheld fact is its *feasibility interval*: the least and the
largest total among all tables that satisfy the equations (Handbook on SDC, ch. 4; found by linear
programming).  A withheld fact is *exposed* if that interval is narrower than ``least``.  Empty
facts are not protected: that nobody is there may follow.

:func:`protect` withholds further facts, complementary ones, until none is exposed: of the facts
that share an equation with an exposed one the one with the fewest rows that helps, and if none
helps alone, the one with the fewest rows; a greedy choice, which need not be the best.  It ends,
since what releases nothing exposes nothing.

Bounds of real numbers are looked at, so who reasons in whole numbers can know more in tables of
three and more keys.  Where the facts contradict each other (rows were added between two runs),
intervals mean nothing, and only exact consequences count: a fact whose atoms are a rational
combination of released ones (the row space, found modulo a large prime).

Pure; knows nothing of statements (:mod:`stayput.disclosure.tables`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import highspy
import numpy as np

TOLERANCE = 1e-6
"""Of the solver's bounds, in rows."""

PRIME = 2**61 - 1
"""A combination over the rationals is one modulo a prime, but for primes that divide a minor."""


@dataclasses.dataclass(frozen=True)
class Fact:
    """A number of rows over some atoms."""

    atoms: frozenset[int]
    rows: int
    released: bool


def exposed(facts: Sequence[Fact], least: int) -> list[int]:
    """Indices of withheld facts that follow too closely from the released ones; see module."""
    return _exposed(facts, _secrets(facts), least)


def _secrets(facts: Sequence[Fact]) -> list[int]:
    return [i for i, fact in enumerate(facts) if not fact.released and fact.rows > 0]


def _exposed(facts: Sequence[Fact], targets: Iterable[int], least: int) -> list[int]:
    system = _System(facts)
    if not system.feasible:
        return [i for i in targets if system.follows(facts[i])]
    return [i for i in targets if system.width(facts[i]) < least]


def protect(earlier: Sequence[Fact], current: Sequence[Fact], least: int) -> set[int]:
    """Indices of released facts of ``current`` to withhold, so that no withheld fact is exposed.

    What earlier releases expose by themselves stays exposed: nobody can take them back.

    Args:
        earlier: what was released or withheld before.
        current: what is about to be.
        least: how wide an interval has to be, in rows.
    """
    facts = [*earlier, *current]
    targets = _secrets(facts)
    chosen: set[int] = set()
    while found := _exposed(facts, targets, least):
        index = _complement(facts, len(earlier), found[0], least)
        if index is None:
            targets.remove(found[0])
            continue
        facts[index] = dataclasses.replace(facts[index], released=False)
        targets.append(index)  # nor may it follow, or it would not help
        chosen.add(index - len(earlier))
    return chosen


def _complement(facts: Sequence[Fact], first: int, target: int, least: int) -> int | None:
    """The released fact from ``first`` on to withhold for an exposed one, if there is any."""
    touching = [f for f in facts if f.released and f.atoms & facts[target].atoms]
    candidates = [
        i
        for i in range(first, len(facts))
        if facts[i].released and any(facts[i].atoms & other.atoms for other in touching)
    ]
    candidates.sort(key=lambda i: (facts[i].rows, i))
    for index in candidates[:MAX_TRIES]:
        without = list(facts)
        without[index] = dataclasses.replace(facts[index], released=False)
        if not _exposed(without, [target], least):
            return index
    return candidates[0] if candidates else None


MAX_TRIES = 20
"""Complementary facts tried alone, fewest rows first; each costs two linear programs."""


class _Solver(highspy.Highs):
    """HiGHS without its banner, which ``Highs()`` writes to stdout before it can be silenced."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()  # all but the callbacks, which write it
        self.setOptionValue("output_flag", False)


class _System:
    """The released facts as equations; atoms that are in the same facts are one variable."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        member: dict[int, list[int]] = {}
        for index, fact in enumerate(facts):
            for atom in fact.atoms:
                member.setdefault(atom, []).append(index)
        classes: dict[tuple[int, ...], int] = {}
        self._variable = {a: classes.setdefault(tuple(m), len(classes)) for a, m in member.items()}
        self._columns = len(classes)
        released = [fact for fact in facts if fact.released]
        self._rows = [self._of(fact) for fact in released]
        self._used = np.zeros(self._columns, dtype=np.bool_)
        for row in self._rows:
            self._used[row] = True
        self._model = _Solver()
        self._model.setOptionValue("threads", 1)
        self._model.addVars(
            self._columns, np.zeros(self._columns), np.full(self._columns, highspy.kHighsInf)
        )
        for fact, columns in zip(released, self._rows, strict=True):
            total = float(fact.rows)
            self._model.addRow(total, total, len(columns), columns, np.ones(len(columns)))
        self._costs = np.zeros(self._columns)
        self.feasible = self._bound(np.array([], dtype=np.int32), largest=False) is not None

    def _of(self, fact: Fact) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return np.array(sorted({self._variable[atom] for atom in fact.atoms}), dtype=np.int32)

    def width(self, fact: Fact) -> float:
        """Largest minus least total of a fact, rounded to whole numbers."""
        columns = self._of(fact)
        if not any(self._used[column] for column in columns):
            return math.inf  # no equation speaks of it
        least = self._bound(columns, largest=False)
        most = self._bound(columns, largest=True)
        if least is None or most is None:
            raise AssertionError("a feasible system became infeasible")
        if most == math.inf:
            return math.inf
        return math.floor(most + TOLERANCE) - math.ceil(least - TOLERANCE)

    def _bound(
        self, columns: np.ndarray[tuple[int], np.dtype[np.int32]], *, largest: bool
    ) -> float | None:
        """The extreme total of some variables; infinity if there is none, None if infeasible."""
        self._costs[:] = 0.0
        self._costs[columns] = 1.0
        every = np.arange(self._columns, dtype=np.int32)
        self._model.changeColsCost(self._columns, every, self._costs)
        sense = highspy.ObjSense.kMaximize if largest else highspy.ObjSense.kMinimize
        self._model.changeObjectiveSense(sense)
        self._model.run()
        status = self._model.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            return float(self._model.getInfo().objective_function_value)
        if status == highspy.HighsModelStatus.kInfeasible:
            return None
        if largest and status in (
            highspy.HighsModelStatus.kUnbounded,
            highspy.HighsModelStatus.kUnboundedOrInfeasible,
        ):
            return math.inf  # that it is feasible was asked first
        raise AssertionError(f"the solver stopped with {status}")

    def follows(self, fact: Fact) -> bool:
        """Whether a fact is a rational combination of released ones, whatever their totals."""
        pivots: dict[int, dict[int, int]] = {}
        for row in self._rows:
            rest = _reduced(dict.fromkeys(map(int, row), 1), pivots)
            if rest:
                lead = min(rest)
                inverse = pow(rest[lead], -1, PRIME)
                pivots[lead] = {c: v * inverse % PRIME for c, v in rest.items()}
        return not _reduced(dict.fromkeys(map(int, self._of(fact)), 1), pivots)


def _reduced(row: dict[int, int], pivots: dict[int, dict[int, int]]) -> dict[int, int]:
    """What is left of a row after elimination, by column; columns ascend."""
    done: dict[int, int] = {}
    while row:
        lead = min(row)
        factor = row[lead]
        if lead not in pivots:
            done[lead] = row.pop(lead)
            continue
        for column, value in pivots[lead].items():
            changed = (row.get(column, 0) - factor * value) % PRIME
            if changed:
                row[column] = changed
            else:
                row.pop(column, None)
    return done
