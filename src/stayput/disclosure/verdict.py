"""The verdict: all rules together, for each cell and each count."""

from __future__ import annotations

import numpy as np

from stayput.disclosure.opened import OpenedCounts
from stayput.disclosure.rules import Flags, Numbers, empty, enough_holders, enough_rows
from stayput.release import Passes
from stayput.scenario import OutputPolicy
from stayput.sql import Plan


def check_counts(plan: Plan, opened: OpenedCounts, policy: OutputPolicy) -> Passes:
    """Cells × counts: true where the count, and sums over its rows, may be released.

    A group of rows passes if it has enough rows of enough holders.  A narrowed count passes only
    if each of its rests is empty or passes as well: else whole minus part gives a small group, or
    one holder's rows, away.  A cell that fails as a whole releases nothing.
    """
    counts = _matrix(opened.counts)
    holders = _matrix(opened.holders)
    parts = [part for part, _ in plan.rests]
    wholes = [whole for _, whole in plan.rests]
    rows = np.concatenate([counts, counts[:, wholes] - counts[:, parts]], axis=1)
    groups = enough_rows(rows, policy.min_count) & enough_holders(holders, policy.min_holders)
    passes: Flags = groups[:, : len(plan.counts)].copy()
    rests = groups[:, len(plan.counts) :] | empty(rows[:, len(plan.counts) :])
    for index, part in enumerate(parts):
        passes[:, part] &= rests[:, index]
    passes &= passes[:, :1]
    return passes


def _matrix(rows: object) -> Numbers:
    return np.array(rows, dtype=object)
