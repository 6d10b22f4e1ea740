"""Estimating: how one holder's own rows would fare under the rules, before it approves.

The statements of a scenario are staged over the holder's own source, in the same kind of process as
a run, confined and destroyed afterwards; of the sums that come out only *numbers of cells* are
kept.  Nothing is sent, nothing is logged, no run or budget is charged, and none of it is part of
the approval report that is signed: it depends on data, which the report must not.

What the numbers mean: a cell that is few *here* may be large over all holders.  Withheld for sure,
whatever the others have, is only what fails a rule that is kept by every holder alone (dominance,
``min_count_per_holder``).  Joins are not estimated: own rows do not say who is in another's table.

What leaks: nothing leaves the holder.  Who reads the numbers learns about its rows what anybody who
may start the node can find out anyway.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping

from stayput.disclosure.dominance import dominated
from stayput.engines.source import SourceSpec
from stayput.errors import ConfigurationError, StagingError
from stayput.partials import LocalPartial, assemble
from stayput.scenario import ColumnType, OutputPolicy, Parameter, ParameterValue, Scenario
from stayput.sql import BoundPlan, bind, plan
from stayput.staging import (
    DeletionFacts,
    SourceRefused,
    Staged,
    StagingFailed,
    StagingRequest,
)
from stayput.steps import Outcome

MAX_QUESTIONS = 16
"""Of one statement: lowest and highest values of four parameters; who wants others names them."""


@dataclasses.dataclass(frozen=True)
class LocalCells:
    """Numbers of cells of one question at this holder, by the rows of this holder alone.

    ``empty``: no row here.  ``few``: some, but fewer than ``min_count`` (rows, or people where the
    table contract names them).  ``narrow``: enough, but a FILTER or CASE counts few of them, or
    leaves few out.  ``below_own``: some, but fewer than ``min_count_per_holder``.  ``dominated``:
    few contributors make up too much of a sum.  A cell may be in several of them.
    """

    statement: str
    arguments: tuple[tuple[str, ParameterValue], ...]
    cells: int
    empty: int
    few: int
    narrow: int
    below_own: int
    dominated: int
    withheld: int  # for sure, as a whole or some sum of it, whatever other holders have


def questions(
    scenario: Scenario, fixed: Mapping[str, Mapping[str, ParameterValue]]
) -> Iterator[BoundPlan]:
    """The questions to estimate: of each statement over one table, with its parameters at their
    lowest and highest values (first and last level, both truth values).

    Args:
        fixed: for each statement, parameters that have one value instead; scaled.

    Raises:
        SqlError: a statement is outside the supported grammar.
        InvalidInput: a value is out of its range.
    """
    for statement in scenario.statements:
        planned = plan(statement, scenario.tables, len(scenario.holders), scenario.output)
        if planned.joined:
            continue
        given = fixed.get(statement.name, {})
        choices = [
            [(p.name, given[p.name])] if p.name in given else [(p.name, v) for v in _ends(p)]
            for p in statement.parameters
        ]
        for values in itertools.islice(itertools.product(*choices), MAX_QUESTIONS):
            yield bind(planned, dict(values))


def _ends(parameter: Parameter) -> list[ParameterValue]:
    if parameter.type is ColumnType.BOOLEAN:
        return [False, True]
    if parameter.levels:
        return list(dict.fromkeys((parameter.levels[0], parameter.levels[-1])))
    assert parameter.minimum is not None  # numbers have bounds
    assert parameter.maximum is not None
    return list(dict.fromkeys((parameter.minimum, parameter.maximum)))


def estimate(
    bound: BoundPlan,
    scenario: Scenario,
    sources: Mapping[str, SourceSpec],
    stage: Callable[[StagingRequest], Staged],
    staging_id: bytes,
    keep: Callable[[DeletionFacts], None],
) -> LocalCells:
    """Stage one question over this holder's own rows and count its cells.

    Args:
        sources: the holder's, by table.
        stage: :meth:`stayput.staging.StagingPool.stage`.
        staging_id: 16 random bytes.
        keep: is handed the facts of the destruction, also if the staging fails.

    Raises:
        ConfigurationError: the holder has no source for the table.
        ContractViolation: the rows do not fit the table contract.
        StagingError: they could not be staged, or not be shown to be destroyed.
        InvalidInput: impossible sums.
    """
    table = bound.plan.table
    source = sources.get(table)
    if source is None:
        raise ConfigurationError(
            f"this holder has declared no source for the table {table!r}",
            hint=f"stayput source add {table} FILE",
        )
    request = StagingRequest(
        source=source,
        contract=scenario.table(table),
        columns=bound.plan.columns,
        sql=bound.node_sql(),
        staging_id=staging_id,
    )
    try:
        staged = stage(request)
    except (SourceRefused, StagingFailed) as error:
        keep(error.receipt)
        raise
    keep(staged.receipt)
    if staged.receipt.outcome is not Outcome.DESTROYED:
        raise StagingError(
            "staged rows could not be shown to be destroyed",
            hint="look for what is left in the folder estimates of the home folder",
        )
    return local_cells(bound, assemble(bound.plan, staged.rows), scenario.output)


def local_cells(bound: BoundPlan, partial: LocalPartial, policy: OutputPolicy) -> LocalCells:
    """Count the cells of one holder's partial by what it has in them."""
    planned = bound.plan
    found = {"empty": 0, "few": 0, "narrow": 0, "below_own": 0, "dominated": 0, "withheld": 0}
    for cell in range(planned.cells):
        rows = partial.counts[cell]
        groups = [*rows, *(rows[whole] - rows[part] for part, whole in planned.rests)]
        people = partial.units[cell] if partial.units and planned.evidence.unit else groups
        few = [0 < number < policy.min_count for number in people]
        own = [0 < number < policy.min_count_per_holder for number in people]
        sizes = partial.sizes[cell] if partial.sizes else []
        heavy = policy.dominance is not None and any(
            dominated(*three, policy.dominance)
            for three in zip(sizes[::3], sizes[1::3], sizes[2::3], strict=True)
        )
        found["empty"] += not rows[0]
        found["few"] += few[0]
        found["narrow"] += not few[0] and any(few)
        found["below_own"] += any(own)
        found["dominated"] += heavy
        found["withheld"] += any(own) or heavy
    return LocalCells(planned.statement.name, bound.parameters, planned.cells, **found)
