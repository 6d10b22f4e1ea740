"""What a run computes: the plan that node and checker derive, each by itself, from sealed text.

Nobody sends a plan: from scenario and order everybody gets the same one, and the encryption context
of each round binds it.  The vectors of the two rounds are laid out here:

* counts: first all counts, cell by cell; then, cell by cell, for each count and for each rest (the
  rows that a narrowed count leaves out of a larger one) whether this holder has any such row (0 or
  1), so that the checker learns how many holders contribute, not which.  Then, if table contract or
  output policy ask for it, cell by cell:

  * the number of distinct units in each of these groups, where nobody is known to two holders; else
    whether this holder alone has ``min_count`` of them;
  * whether this holder has some, but fewer than ``min_count_per_holder``, in each group;
  * whether few contributors make up most of this holder's part of each sum, and of the difference
    of two sums over a part and its whole (:mod:`stayput.disclosure.dominance`);

* values: cell by cell, those value measures that the verdict lets through, in the order of the
  plan.

Where the scenario asks for noise, round one has the counts alone: every bit that leaves is made of
noisy numbers (clause D-3).  Which noise goes to which place is said here; the node draws it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from stayput import documents
from stayput.disclosure import OpenedCounts, dominated
from stayput.encryption import Context
from stayput.errors import InvalidInput, RuleViolation
from stayput.membership import Members
from stayput.partials import LocalPartial
from stayput.release import CellVerdict, Passes, RunOrder
from stayput.scenario import OutputPolicy, Scenario, TableContract
from stayput.sql import BoundPlan, bind, plan
from stayput.steps import Round, RunOrdered


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """The plan of one run, bound to its order."""

    run: bytes
    scenario: bytes
    contract: TableContract
    policy: OutputPolicy
    bound: BoundPlan
    participants: tuple[str, ...]
    checker_key: bytes
    order: bytes
    salt: bytes = dataclasses.field(repr=False)  # the order's; only parties of the scenario have it

    @property
    def rounds(self) -> int:
        return self.bound.plan.rounds


def plan_run(scenario: Scenario, order: RunOrder, ordered: RunOrdered, members: Members) -> RunPlan:
    """The plan of an ordered run (clause N-3).

    Raises:
        InvalidInput: statement or arguments are outside what was sealed.
        RuleViolation: the step in the log does not fit the plan.
    """
    try:
        statement = scenario.statement(order.statement)
    except KeyError:
        raise InvalidInput(
            f"the scenario has no statement {order.statement!r}",
            hint="it has: " + ", ".join(s.name for s in scenario.statements),
        ) from None
    planned = plan(statement, scenario.tables, len(scenario.holders), scenario.output)
    if ordered.rounds != planned.rounds:
        raise RuleViolation("the order names another number of rounds", clause="N-3")
    return RunPlan(
        run=order.run,
        scenario=scenario.digest,
        contract=scenario.table(planned.table),
        policy=scenario.output,
        bound=bind(planned, order.parameters()),
        participants=ordered.participants,
        checker_key=members.checker_key(scenario.checker).key_id,
        order=documents.digest(order),
        salt=order.salt,
    )


def counts_context(run: RunPlan) -> Context:
    """What contributions of round one are bound to."""
    planned = run.bound.plan
    return _context(run, Round.COUNTS, planned.count_width, planned.cells * planned.round_one)


def values_context(run: RunPlan, verdict: CellVerdict) -> Context:
    """What contributions of round two are bound to."""
    count = int(_surviving(run, verdict.matrix()).sum())
    return _context(run, Round.VALUES, run.bound.plan.value_width, count, documents.digest(verdict))


def _context(run: RunPlan, round: Round, width: int, count: int, verdict: bytes = b"") -> Context:
    return Context(
        run=run.run,
        scenario=run.scenario,
        round=round,
        participants=run.participants,
        checker_key=run.checker_key,
        width=width,
        count=count,
        question=documents.commitment("stayput.v1.Question", run.salt, run.order + verdict),
    )


def counts_vector(run: RunPlan, partial: LocalPartial) -> list[int]:
    """One holder's vector of round one; its sections are laid out as the module says."""
    planned, policy = run.bound.plan, run.policy
    if planned.noise is not None:
        return [count for row in partial.counts for count in row]
    rows = [
        [*row, *(row[whole] - row[part] for part, whole in planned.rests)] for row in partial.counts
    ]
    people = partial.units if planned.evidence.unit else rows
    vector = [count for row in partial.counts for count in row]
    vector += [int(number > 0) for row in rows for number in row]
    if planned.evidence.unit:
        apart, least = planned.evidence.units_apart, policy.min_count
        vector += [n if apart else int(n >= least) for row in people for n in row]
    if planned.evidence.smallest:
        least = policy.min_count_per_holder
        vector += [int(0 < number < least) for row in people for number in row]
    if planned.contributions:
        vector += [flag for row in partial.sizes for flag in _flags(row, policy)]
    return vector


def _flags(sizes: Sequence[int], policy: OutputPolicy) -> list[int]:
    assert policy.dominance is not None  # only then the plan has contributions
    threes = zip(sizes[::3], sizes[1::3], sizes[2::3], strict=True)
    return [int(dominated(*three, policy.dominance)) for three in threes]


def split_counts(run: RunPlan, vector: Sequence[int]) -> OpenedCounts:
    """The inverse of :func:`counts_vector`, of an opened sum."""
    planned = run.bound.plan
    if planned.noise is not None:
        return OpenedCounts(counts=_rows(vector, len(planned.counts)))
    start = 0

    def section(width: int) -> list[list[int]]:
        nonlocal start
        found = _rows(vector[start : start + planned.cells * width], width)
        start += planned.cells * width
        return found

    return OpenedCounts(
        counts=section(len(planned.counts)),
        holders=section(planned.groups),
        units=section(planned.groups) if planned.evidence.unit else None,
        small=section(planned.groups) if planned.evidence.smallest else None,
        dominated=section(planned.contributions) if planned.contributions else None,
    )


def _rows(vector: Sequence[int], width: int) -> list[list[int]]:
    return [list(vector[i : i + width]) for i in range(0, len(vector), width)]


def values_vector(run: RunPlan, partial: LocalPartial, passes: Passes) -> list[int]:
    """One holder's vector of round two: surviving values only (clause N-6)."""
    keep = _surviving(run, passes)
    return [
        value
        for row, kept in zip(partial.values, keep, strict=True)
        for value, wanted in zip(row, kept, strict=True)
        if wanted
    ]


def split_values(run: RunPlan, passes: Passes, vector: Sequence[int]) -> list[list[int | None]]:
    """Values, cells × value measures, ``None`` where nothing was opened."""
    opened = iter(vector)
    return [
        [next(opened) if wanted else None for wanted in kept] for kept in _surviving(run, passes)
    ]


def counts_noise(run: RunPlan) -> list[float]:
    """The scale of the noise of each number in :func:`counts_vector` (clause D-1); empty: none."""
    planned = run.bound.plan
    if planned.noise is None:
        return []
    return list(planned.noise.scales[: len(planned.counts)]) * planned.cells


def values_noise(run: RunPlan, passes: Passes) -> list[float]:
    """The scale of the noise of each number in :func:`values_vector`; empty: none."""
    planned = run.bound.plan
    if planned.noise is None:
        return []
    scales = planned.noise.scales[len(planned.counts) :]
    return [
        scale
        for kept in _surviving(run, passes)
        for scale, wanted in zip(scales, kept, strict=True)
        if wanted
    ]


def _surviving(run: RunPlan, passes: Passes) -> Passes:
    """Cells × value measures that the verdict lets through, with their support.

    Raises:
        InvalidInput: the verdict is of another shape.
    """
    planned = run.bound.plan
    if passes.shape != (planned.cells, planned.measures):
        raise InvalidInput("the verdict does not fit the plan of the run")
    supports = np.array([measure.support for measure in planned.values], dtype=np.int64)
    result: Passes = passes[:, len(planned.counts) :] & passes[:, supports]
    return result
