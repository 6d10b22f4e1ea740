"""Group disclosure: a group of which nearly everybody is in one category.

Then nothing about anybody has to be picked out: who is known to be in the group is known to be in
the category.  The two places where categories show:

* **lines of a table**: along a group key, with the other keys fixed.  Of N rows on the line one
  cell has N_j: the whole line is withheld if N_j ≥ percent/100 · N;
* **a narrowed count** (FILTER, CASE) within its whole: the part or the rest has percent of it.

How strict depends on the grade of the columns that make the category: sensitive ones, ``percent``;
internal ones, 100: everybody in one category ("full rows", "empty rows"); public ones, never: that
an airline flies from its own airport is no secret.  The 90 % of the default is our own choice; see
:mod:`stayput.disclosure.defaults`.

Not seen: the same distribution asked for otherwise, such as by two statements; categories that are
made of ranges of a number across statements.
"""

from __future__ import annotations

import numpy as np

from stayput.disclosure.rules import Flags, Numbers
from stayput.scenario import Grade
from stayput.sql import Plan


def in_one_category(plan: Plan, counts: Numbers, percent: int) -> Flags:
    """Cells × counts: whether a count stands in a group nearly all of which is in one category."""
    found: Flags = np.zeros(counts.shape, dtype=np.bool_)
    found |= _lines(plan, counts[:, 0], percent)[:, np.newaxis]
    for part, whole in plan.rests:
        limit = _limit(plan.grade(plan.counts[part].condition), percent)
        if limit is not None:
            inside, total = counts[:, part], counts[:, whole]
            found[:, part] |= concentrated(inside, total, limit)
            found[:, part] |= concentrated(total - inside, total, limit)
    return found


def concentrated(inside: Numbers, total: Numbers, percent: int) -> Flags:
    """inside / total ≥ percent / 100, of groups that have anybody."""
    return np.asarray((total > 0) & (100 * inside >= percent * total), dtype=np.bool_)


def _lines(plan: Plan, rows: Numbers, percent: int) -> Flags:
    """Cells on a line that is concentrated along any key."""
    shape = tuple(dimension.slots for dimension in plan.dimensions)
    grid = rows.reshape(shape)
    found: Flags = np.zeros(shape, dtype=np.bool_)
    for axis, dimension in enumerate(plan.dimensions):
        limit = _limit(plan.grade(dimension.expr), percent)
        categories = len(dimension.values) + dimension.nullable + dimension.open
        if limit is None or categories < 2:  # with one category there is nothing to learn
            continue
        total = grid.sum(axis=axis, keepdims=True)
        line = concentrated(grid, total, limit).any(axis=axis, keepdims=True)
        found |= np.broadcast_to(line, shape)
    return found.reshape(-1)


def _limit(grade: Grade, percent: int) -> int | None:
    return {Grade.PUBLIC: None, Grade.INTERNAL: 100, Grade.SENSITIVE: percent}[grade]
