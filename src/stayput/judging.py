"""Judging a statement: from its opened sums to what is withheld and the table that is released.

The rules are in :mod:`stayput.disclosure`, the arithmetic in :mod:`stayput.finishing`.  Here they
are put in order for a statement, wherever its sums come from: rows at every holder, or people whom
several holders know together.  (A model has an order of its own: :mod:`stayput.join_plans`.)

Pure; the checker's alone.  What leaks: nothing but the table; reasons and doubts stay with the
checker's own people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from stayput.disclosure import Doubt, Reasons, check_values, doubts, passes, verify_values
from stayput.disclosure.verdict import recall_reasons
from stayput.finishing import finish
from stayput.release import Passes
from stayput.scenario import OutputPolicy
from stayput.sql import Plan
from stayput.sql.render import render
from stayput.table import ResultTable


@dataclasses.dataclass(frozen=True)
class Finished:
    """A result before it is sealed.

    ``reasons`` say why the rest is withheld, as the checker keeps them; ``doubts`` are what a
    person should see before it is released.
    """

    table: ResultTable
    reasons: bytes
    doubts: tuple[Doubt, ...]


def finish_statement(
    plan: Plan,
    counts: Sequence[Sequence[int]],
    values: Sequence[Sequence[int | None]],
    kept: Passes,
    reasons: bytes,
    policy: OutputPolicy,
) -> Finished:
    """The table of a statement.

    Args:
        counts: opened, cells × counts.
        values: opened, cells × values, ``None`` where nothing was.
        kept: the verdict on the counts, cells × measures.
        reasons: those of the verdict.

    Raises:
        VerificationError: no honest parts can give such sums (clause C-3).
    """
    verify_values(plan, counts, values)
    late = check_values(plan, counts, values, policy)
    released: Passes = kept & passes(late)
    merged = first_reasons(reasons, late)
    return Finished(
        finish(plan, counts, values, released.tolist(), rounding=policy.rounding),
        merged,
        doubts(plan, counts, released, recall_reasons(merged, plan.measures), policy),
    )


def first_reasons(earlier: bytes, later: Reasons) -> bytes:
    """Of each measure the reason that came first."""
    return bytes(a or b for a, b in zip(earlier, later.tobytes(), strict=True))


def measure_names(plan: Plan) -> tuple[str, ...]:
    """Each measure of a plan as SQL, counts first."""
    counts = (
        "COUNT(*)" if c.condition is None else f"COUNT(*) of {render(c.condition)}"
        for c in plan.counts
    )
    return (*counts, *(f"SUM({render(value.expr)})" for value in plan.values))
