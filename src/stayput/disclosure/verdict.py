"""The verdict: all rules together, for each cell and each measure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stayput.disclosure import rules
from stayput.disclosure.bins import following
from stayput.disclosure.groups import in_one_category
from stayput.disclosure.opened import OpenedCounts
from stayput.disclosure.rules import Flags, Numbers
from stayput.finishing import Opened
from stayput.release import Passes
from stayput.scenario import Grade, OutputPolicy
from stayput.sql import Plan
from stayput.sql.formulas import Correlation, Covariance, Formula, Variance
from stayput.sql.tree import columns_of

Reasons = npt.NDArray[np.uint8]
"""Cells × measures: :class:`Reason` values, 0 where it passes."""


class Reason(enum.IntEnum):
    """Why a measure of a cell is withheld: the first rule that it fails.

    For the checker's own people.  What nodes and data user get is one bit.
    """

    PASSES = 0
    FEW_ROWS = 1
    FEW_HOLDERS = 2
    FEW_UNITS = 3
    FEW_AT_A_HOLDER = 4  # some holder has some, but fewer than it may
    SMALL_REST = 5  # the rows that it leaves out fail one of the rules above
    CELL = 6  # the cell fails as a whole
    SUPPORT = 7  # a sum: the count of its rows is withheld
    DOMINATED = 8  # at some holder few contributors make up most of the sum
    REST_DOMINATED = 9  # and so of what it leaves out of another sum
    ONE_CATEGORY = 10  # nearly all people of a group are in one category
    FEW_FREEDOM = 11  # too few rows for a variance, a correlation or a model
    ALL_EQUAL = 12  # every row has the same value
    DERIVABLE = 13  # with it, a withheld cell would follow from totals
    ISOLATING = 14  # with earlier answers it would be about few rows, or of few holders
    # Of a model, which is released as a whole or not at all (stayput.disclosure.models):
    MANY_PARAMETERS = 15  # for so few people
    SMALL_CATEGORY = 16  # few people in a category, or few outside
    SMALL_REFERENCE = 17  # few people in the level without a column
    SMALL_VALUE = 18  # a column has two values, and few people one of them
    FOLLOWS = 19  # a column is a combination of others
    PERFECT_FIT = 20
    # Of a percentile:
    BIN = 21  # with it, a withheld bin of the same number would follow


def check_counts(plan: Plan, opened: OpenedCounts, policy: OutputPolicy) -> Reasons:
    """Why each measure of each cell is withheld, or that it passes.

    1. A group of rows passes if it has enough rows, of enough people, of enough holders, and no
       holder has too few; where the policy releases zeros, also if it is empty.
    2. A narrowed count passes only if each of its rests is empty or passes as well: else whole
       minus part gives a small group, or one holder's rows, away.
    3. Where a bin of a number is withheld, another one is, too (:mod:`stayput.disclosure.bins`).
    4. A cell that fails as a whole releases nothing, nor does one in a group of which nearly all
       are in one category (:mod:`stayput.disclosure.groups`).
    5. A sum passes if the count of its rows does, and no holder says that few contributors make up
       most of its part, or of what it leaves out of another sum of the plan.
    6. A sum of squares or products, from which variances and correlations are made, needs enough
       degrees of freedom.

    Where holders add noise, a count passes if it has enough rows as far as the noise lets see, and
    a sum if its count does (clause D-3): what the other rules protect, noise does.
    """
    if plan.noise is not None:
        return _check_noisy_counts(plan, opened, policy)
    counts = np.array(opened.counts, dtype=object)
    parts = [part for part, _ in plan.rests]
    wholes = [whole for _, whole in plan.rests]
    rows = np.concatenate([counts, counts[:, wholes] - counts[:, parts]], axis=1)
    groups = _groups(plan, rows, opened, policy)
    reasons = np.zeros((plan.cells, plan.measures), dtype=np.uint8)
    narrow = reasons[:, : len(plan.counts)]
    narrow[:] = groups[:, : len(plan.counts)]
    for index, part in enumerate(parts, len(plan.counts)):
        fails = (groups[:, index] != 0) & ~rules.empty(rows[:, index])
        _mark(narrow[:, part], fails, Reason.SMALL_REST)
    if policy.group_percent:
        _mark(narrow, in_one_category(plan, counts, policy.group_percent), Reason.ONE_CATEGORY)
    _withhold_bins(plan, opened, narrow)
    _mark(narrow, narrow[:, :1] != 0, Reason.CELL)
    _check_values(plan, opened, reasons)
    _check_freedom(plan, counts, policy.min_freedom, reasons)
    return reasons


def _withhold_bins(plan: Plan, opened: OpenedCounts, narrow: Reasons) -> None:
    found = following(plan, opened, narrow == Reason.PASSES, narrow == Reason.BIN)
    _mark(narrow, found, Reason.BIN)


def _check_noisy_counts(plan: Plan, opened: OpenedCounts, policy: OutputPolicy) -> Reasons:
    """Only of what was opened with noise, so whatever follows from it costs nothing more."""
    reasons = np.zeros((plan.cells, plan.measures), dtype=np.uint8)
    counts = np.array(opened.counts, dtype=object)
    narrow = reasons[:, : len(plan.counts)]
    _mark(narrow, ~rules.enough_rows(counts, policy.min_count), Reason.FEW_ROWS)
    _mark(narrow, narrow[:, :1] != 0, Reason.CELL)
    _check_values(plan, opened, reasons)
    return reasons


def _check_freedom(plan: Plan, counts: Numbers, least: int, reasons: Reasons) -> None:
    for formula in _formulas(plan):
        if isinstance(formula, (Covariance, Correlation)):
            parameters, terms = 2, formula.xy
        elif isinstance(formula, Variance):
            parameters, terms = 1, formula.second
        else:
            continue
        fails = ~rules.enough_freedom(counts[:, formula.rows], parameters, least)
        for term in terms:
            if not term.counted:  # else it says what the counts say
                _mark(reasons[:, len(plan.counts) + term.index], fails, Reason.FEW_FREEDOM)


def check_values(
    plan: Plan,
    counts: Sequence[Sequence[int]],
    values: Sequence[Sequence[int | None]],
    policy: OutputPolicy,
) -> Reasons:
    """Why opened sums are withheld all the same: in some cell every row has the same value.

    Seen by a sum at its declared bound, or by a spread of zero, of columns that are not public.
    All sums of the column over these rows go, so that what is left does not tell which value it is.
    """
    reasons: Reasons = np.zeros((plan.cells, plan.measures), dtype=np.uint8)
    if not policy.group_percent:
        return reasons
    spreads = [formula for formula in _formulas(plan) if isinstance(formula, Variance)]
    for cell, (row, sums) in enumerate(zip(counts, values, strict=True)):
        for index in _all_equal(plan, spreads, row, sums):
            reasons[cell, len(plan.counts) + index] = Reason.ALL_EQUAL
    return reasons


def _all_equal(
    plan: Plan, spreads: Sequence[Variance], row: Sequence[int], sums: Sequence[int | None]
) -> set[int]:
    """Values of a cell that only a constant column can give, and others over the same rows."""
    found: set[int] = set()
    for index, (value, total) in enumerate(zip(plan.values, sums, strict=True)):
        rows = row[value.support]
        at_bound = total in (rows * value.minimum, rows * value.maximum)
        if rows and total is not None and at_bound:
            found.add(index)
    for formula in spreads:
        indices = {t.index for t in (*formula.first, *formula.second) if not t.counted}
        opened = Opened(row, sums)
        if all(sums[i] is not None for i in indices) and row[formula.rows]:
            first, second = opened.total(formula.first), opened.total(formula.second)
            if row[formula.rows] * second == first * first:
                found |= indices
    secret = {i for i in found if plan.grade(plan.values[i].expr) is not Grade.PUBLIC}
    return {
        index
        for index, value in enumerate(plan.values)
        if any(
            value.support == plan.values[i].support
            and columns_of(value.expr) & columns_of(plan.values[i].expr)
            for i in secret
        )
    }


def _formulas(plan: Plan) -> Iterator[Formula]:
    """Every formula of the outputs, with what is inside it."""
    pending = [output.formula for output in plan.outputs if output.formula is not None]
    while pending:
        formula = pending.pop()
        yield formula
        pending += formula.children


def recall_reasons(kept: bytes, wide: int) -> list[list[Reason]]:
    """Reasons from the bytes that a checker keeps, so many to each cell."""
    if len(kept) % wide:
        raise ValueError("these are the reasons of another plan")
    found = [Reason(code) for code in kept]
    return [found[i : i + wide] for i in range(0, len(found), wide)]


def withhold_isolating(
    plan: Plan, opened: OpenedCounts, reasons: Reasons, isolating: Flags
) -> Reasons:
    """The reasons, with counts withheld that isolate rows, and what stands on them.

    Args:
        isolating: cells × counts (:mod:`stayput.disclosure.isolating`).
    """
    found = reasons.copy()
    narrow = found[:, : len(plan.counts)]
    _mark(narrow, isolating, Reason.ISOLATING)
    _withhold_bins(plan, opened, narrow)
    _mark(narrow, narrow[:, :1] != 0, Reason.CELL)
    values = found[:, len(plan.counts) :]
    for index, value in enumerate(plan.values):
        _mark(values[:, index], narrow[:, value.support] != 0, Reason.SUPPORT)
    return found


def passes(reasons: Reasons) -> Passes:
    """The bits that leave the checker."""
    return np.asarray(reasons == Reason.PASSES, dtype=np.bool_)


def _groups(plan: Plan, rows: Numbers, opened: OpenedCounts, policy: OutputPolicy) -> Reasons:
    """Rules about groups of rows, cells × groups."""
    holders = np.array(opened.holders, dtype=object)
    found: Reasons = np.zeros(rows.shape, dtype=np.uint8)
    _mark(found, ~rules.enough_rows(rows, policy.min_count), Reason.FEW_ROWS)
    if opened.units is not None:
        units = np.array(opened.units, dtype=object)
        apart = plan.evidence.units_apart
        enough = rules.enough_units(units, policy.min_count, apart=apart)
        _mark(found, ~enough, Reason.FEW_UNITS)
    _mark(found, ~rules.enough_holders(holders, policy.min_holders), Reason.FEW_HOLDERS)
    if opened.small is not None:
        small = np.array(opened.small, dtype=object)
        _mark(found, ~rules.none(small), Reason.FEW_AT_A_HOLDER)
    if policy.release_zeros:
        found[rules.empty(rows)] = Reason.PASSES
    return found


def _check_values(plan: Plan, opened: OpenedCounts, reasons: Reasons) -> None:
    values = reasons[:, len(plan.counts) :]
    for index, value in enumerate(plan.values):
        _mark(values[:, index], reasons[:, value.support] != 0, Reason.SUPPORT)
    if opened.dominated is None:
        return
    flagged = ~rules.none(np.array(opened.dominated, dtype=object))
    _mark(values, flagged[:, : len(plan.values)], Reason.DOMINATED)
    for index, (part, _) in enumerate(plan.differences, len(plan.values)):
        _mark(values[:, part], flagged[:, index], Reason.REST_DOMINATED)


def _mark(found: Reasons, fails: Flags, reason: Reason) -> None:
    """Note the reason where there is none yet."""
    found[(found == Reason.PASSES) & fails] = reason
