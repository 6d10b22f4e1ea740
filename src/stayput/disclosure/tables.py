"""From runs to facts: which tables of a scenario are margins of each other.

Two answers speak of the same rows if they read the same table under the same WHERE and the same
condition of a count, with the same arguments; then their cells are unions of the cells of one
table, the product of all their group keys, and :mod:`stayput.disclosure.margins` finds what follows
from what.  Keys are the same if their expression is, as the node executes it.

Every count that passes is taken as released, whether or not a column shows it, and whether or not
its run was released in the end.  Of an identical question asked again only the newest answer
counts: what changed between the two is a matter of differencing.

Not seen: answers whose conditions differ but are related (``month <= 6`` and a key ``month``), keys
that are functions of each other, other scenarios, sums (a sum over a withheld cell does not follow
exactly where its count does not, but bounds of it may).

Over a join it is the same, with the tables that are joined instead of the table: their people are
the same whatever the order in which they are named.  A model stands here as the count of everybody
that it is about.  Not seen: that who is in three tables is in each two of them.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stayput import documents
from stayput.disclosure.margins import Fact, protect
from stayput.disclosure.opened import Matrix
from stayput.disclosure.verdict import Reason, Reasons
from stayput.release import RunOrder
from stayput.sql import BoundPlan, Dimension
from stayput.sql.render import render
from stayput.sql.tree import Expr, substitute

MAX_ATOMS = 50_000
"""Cells of the table of all keys; beyond, the new answer's cells are withheld unseen."""

MAX_FACTS = 5_000


@dataclasses.dataclass(frozen=True, repr=False)
class Answer:
    """The counts of one run: cells × counts, and which of them pass."""

    bound: BoundPlan
    counts: Matrix
    passes: Sequence[Sequence[bool]]


def remember(order: RunOrder, answer: Answer) -> bytes:
    """An answer for the checker's own store: counts that pass, and of others whether there are any.

    Not a signed document, and never sent.
    """
    kept = [
        [str(count if passes else min(count, 1)) for count, passes in zip(*both, strict=True)]
        for both in zip(answer.counts, answer.passes, strict=True)
    ]
    passing = [[int(passes) for passes in row] for row in answer.passes]
    order_text = base64.b64encode(documents.encode(order)).decode("ascii")
    return documents.canonical_json({"order": order_text, "counts": kept, "passes": passing})


def recall(data: bytes, bound: Callable[[RunOrder], BoundPlan]) -> Answer:
    """What :func:`remember` wrote.

    Args:
        bound: the plan of an order, bound to its arguments; of a model, of its count.
    """
    found = documents.parse_canonical_json(data)
    order = documents.parse(RunOrder, base64.b64decode(found["order"]))
    return Answer(bound(order), *recall_counts(data))


def recall_counts(data: bytes) -> tuple[list[list[int]], list[list[bool]]]:
    """The counts of an answer, and which of them pass; of the others whether there are any."""
    found = documents.parse_canonical_json(data)
    counts = [[int(count) for count in row] for row in found["counts"]]
    return counts, [[bool(passes) for passes in row] for row in found["passes"]]


def withhold_derivable(
    answer: Answer, earlier: Sequence[Answer], reasons: Reasons, least: int
) -> Reasons:
    """The reasons of a new answer, with cells withheld so that no small one follows from totals.

    Args:
        answer: the new one; its ``passes`` are those of ``reasons``.
        earlier: answers of the same scenario, oldest first.
        reasons: cells × measures; not changed.
        least: how uncertain a withheld count has to stay, in rows.
    """
    found = reasons.copy()
    for index in range(len(answer.bound.plan.counts)):
        mine = _Part(answer, index)
        others = _related(mine, earlier)
        if not others:
            continue
        for cell in _exposing(mine, others, least):
            row = found[cell]
            row[row == Reason.PASSES] = Reason.DERIVABLE
    return found


class _Part:
    """One count of an answer: a table of numbers over some keys."""

    def __init__(self, answer: Answer, index: int) -> None:
        self.constants = answer.bound.constants()
        planned = answer.bound.plan
        self.question = (
            " JOIN ".join(sorted(planned.joined)) or planned.table,
            self._text(planned.where),
            self._text(planned.counts[index].condition),
        )
        self.keys: Mapping[str, Dimension] = {
            self._text(dimension.expr): dimension for dimension in planned.dimensions
        }
        self.slots = [dimension.slots for dimension in planned.dimensions]
        self.rows = [row[index] for row in answer.counts]
        self.released = [bool(row[index]) for row in answer.passes]

    def _text(self, expr: Expr | None) -> str:
        return "" if expr is None else render(substitute(expr, self.constants))


def _related(mine: _Part, earlier: Sequence[Answer]) -> list[_Part]:
    """Parts of earlier answers about the same rows, the newest of each set of keys."""
    found: dict[tuple[str, ...], _Part] = {}
    for answer in earlier:
        for index in range(len(answer.bound.plan.counts)):
            part = _Part(answer, index)
            if part.question == mine.question and part.keys != mine.keys:
                found[tuple(sorted(part.keys))] = part
    return list(found.values())


def _exposing(mine: _Part, others: Sequence[_Part], least: int) -> list[int]:
    """Cells of the new answer to withhold."""
    parts = [*others, mine]
    dimensions = {text: d for part in parts for text, d in part.keys.items()}
    atoms = math.prod(dimension.slots for dimension in dimensions.values())
    passing = [cell for cell, released in enumerate(mine.released) if released]
    if atoms > MAX_ATOMS or sum(len(part.rows) for part in parts) > MAX_FACTS:
        return passing
    names = list(dimensions)
    axes = [list(_possible(dimensions[name])) for name in names]
    place = {cell: i for i, cell in enumerate(itertools.product(*axes))}
    earlier = [fact for part in others for _, fact in _facts(part, names, place)]
    current = _facts(mine, names, place)
    chosen = protect(earlier, [fact for _, fact in current], least)
    return [current[index][0] for index in chosen]


def _possible(dimension: Dimension) -> range:
    """Slots that rows can be in: not ``__other__`` where nothing else is declared to occur."""
    return range(dimension.slots if dimension.open else dimension.other_slot)


def _facts(
    part: _Part, names: Sequence[str], place: Mapping[tuple[int, ...], int]
) -> list[tuple[int, Fact]]:
    """(cell, fact) of each cell of a part that can have rows."""
    axes = [names.index(text) for text in part.keys]
    members: dict[int, set[int]] = {}
    for slots, atom in place.items():
        index = [slots[axis] for axis in axes]
        cell = int(np.ravel_multi_index(index, part.slots)) if part.slots else 0
        members.setdefault(cell, set()).add(atom)
    return [
        (cell, Fact(frozenset(atoms), part.rows[cell], part.released[cell]))
        for cell, atoms in sorted(members.items())
    ]
