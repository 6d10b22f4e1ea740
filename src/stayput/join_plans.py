"""What a run over a join computes, derived by every party from sealed text, and how it is judged.

A :class:`JoinRunPlan` is to a join what :class:`stayput.plans.RunPlan` is to a table that every
holder has.  The numbers of its rounds are *moments* (:mod:`stayput.vertical.moments`), of which
each holder has a residue modulo 2^160 once the rows are combined (clause J-10):

* counts: cell by cell, the question's first moments: numbers of people;
* values: cell by cell, those moments that the sums which passed are made of, in order.

Residues of a round are taken modulo 2^width, the least width in which the round's sums fit.

Pure.  Not here: how the residues come about (:mod:`stayput.vertical`), and comparing with answers
of other scenarios, which is not done over joins (docs/caveats.md).
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from stayput import documents
from stayput.crypto.packing import WIDTHS
from stayput.disclosure import Doubt, OpenedCounts, Reason, Reasons, check_counts, passes
from stayput.disclosure.models import Problem
from stayput.errors import InvalidInput, VerificationError
from stayput.judging import Finished, finish_statement, first_reasons, measure_names
from stayput.padding import LONGEST_FLOAT, widths
from stayput.release import Passes, RunOrder
from stayput.scenario import Model, OutputPolicy, Scenario, Statement
from stayput.sql import BoundPlan, bind, plan
from stayput.table import CellType, ResultTable
from stayput.vertical.models import ModelQuestion, ask_model, finish_model, judge_model
from stayput.vertical.plan import JoinPlan, plan_join
from stayput.vertical.questions import JoinQuestion, ask

SHARE_BITS = WIDTHS[-1]
"""Bits of the residues that a holder keeps between the rounds: every width divides them."""

MODEL = "the model"
"""What the checker's people read instead of a measure where a model fails as a whole."""


@dataclasses.dataclass(frozen=True)
class JoinRunPlan(abc.ABC):
    """The plan of one run over a join, bound to its order.

    ``join`` says what the holders compute together; ``bound`` is the statement, of a model the
    count of everybody that it is about.
    """

    run: bytes
    scenario: bytes
    policy: OutputPolicy
    join: JoinPlan
    bound: BoundPlan
    participants: tuple[str, ...]
    checker_key: bytes
    order: bytes
    salt: bytes = dataclasses.field(repr=False)
    proven: bool = False

    @property
    def comparing(self) -> int:
        """Numbers of round one about earlier answers: none."""
        return 0

    @property
    @abc.abstractmethod
    def question(self) -> JoinQuestion | ModelQuestion:
        """What is asked, bound to its arguments."""

    @property
    @abc.abstractmethod
    def rounds(self) -> int:
        """One if only people are counted, else two."""

    # --- the numbers of a round -------------------------------------------------------------------

    def counts_shape(self, comparing: int | None = None) -> tuple[int, int]:
        """Width and number of the numbers of round one.

        Raises:
            InvalidInput: such a run is compared with nothing.
        """
        if comparing:
            raise InvalidInput("an answer over a join is not compared with earlier ones")
        first = self.question.first
        return self.join.width(first), len(self.join.cells) * len(first)

    def values_shape(self, kept: Passes) -> tuple[int, int]:
        """Width and number of the numbers of round two, by the verdict.

        Raises:
            InvalidInput: the verdict is of another shape.
        """
        wanted = self.wanted(kept)
        moments = sorted({moment for cell in wanted for moment in cell})
        return self.join.width(moments), sum(len(cell) for cell in wanted)

    def wanted(self, kept: Passes) -> list[tuple[int, ...]]:
        """The moments of each cell that the verdict lets through (clause N-6).

        Raises:
            InvalidInput: the verdict is of another shape.
        """
        if kept.shape != self.verdict_shape:
            raise InvalidInput("the verdict does not fit the plan of the run")
        return self.question.wanted(self._supported(kept))

    def _supported(self, kept: Passes) -> Passes:
        """Without what stands on a count that did not pass."""
        return kept

    @property
    @abc.abstractmethod
    def verdict_shape(self) -> tuple[int, int]:
        """Cells × measures."""

    def counts_vector(self, shares: Sequence[Sequence[int]]) -> list[int]:
        """One holder's residues of round one.

        Args:
            shares: its residues modulo 2^160, cells × moments.

        Raises:
            InvalidInput: of another shape.
        """
        return self._residues(shares, [self.question.first] * len(self.join.cells))

    def values_vector(self, shares: Sequence[Sequence[int]], kept: Passes) -> list[int]:
        """One holder's residues of round two: of what the verdict lets through only (N-6).

        Raises:
            InvalidInput: shares or verdict are of another shape.
        """
        return self._residues(shares, self.wanted(kept))

    def _residues(
        self, shares: Sequence[Sequence[int]], moments: Sequence[Sequence[int]]
    ) -> list[int]:
        fitting = {len(row) for row in shares} == {len(self.question.moments)}
        if len(shares) != len(self.join.cells) or not fitting:
            raise InvalidInput("the residues do not fit the plan of the run")
        if not all(0 <= share < 1 << SHARE_BITS for row in shares for share in row):
            raise InvalidInput(f"a residue is a number of {SHARE_BITS} bits")
        end = 1 << self.join.width(sorted({moment for cell in moments for moment in cell}))
        return [
            row[moment] % end for row, cell in zip(shares, moments, strict=True) for moment in cell
        ]

    def opened_moments(
        self, first: Sequence[Sequence[int]], kept: Passes, sums: Sequence[int]
    ) -> list[dict[int, int]]:
        """Of each cell its opened moments, by index.

        Args:
            first: what round one opened, cells × first moments.
            sums: what round two opened.

        Raises:
            InvalidInput: the verdict is of another shape.
            VerificationError: a sum beyond what the people of its cell can add up to (C-3).
        """
        found = []
        opened = iter(sums)
        for row, cell in zip(first, self.wanted(kept), strict=True):
            moments = dict(zip(self.question.first, row, strict=True))
            moments.update((moment, next(opened)) for moment in cell)
            for moment in cell:
                if not 0 <= moments[moment] <= row[0] * self._largest(moment):
                    raise VerificationError(
                        "the opened sums are impossible for data within the declared bounds",
                        hint="a part is missing, foreign or altered, or a holder's node is broken:"
                        " order a new run",
                    )
            found.append(moments)
        return found

    def _largest(self, moment: int) -> int:
        """What one person adds to a moment at most."""
        parts = self.question.moments[moment]
        return math.prod(self.join.tables[table].bound(number) for table, number in parts)

    # --- judging ----------------------------------------------------------------------------------

    @abc.abstractmethod
    def open_counts(self, sums: Sequence[int]) -> OpenedCounts:
        """The opened sums of round one, as output checking sees them.

        Raises:
            VerificationError: no honest parts can give such numbers (clause C-3).
        """

    @abc.abstractmethod
    def check_counts(self, opened: OpenedCounts) -> Reasons:
        """Why what was asked is withheld."""

    @abc.abstractmethod
    def passes(self, reasons: Reasons) -> Passes:
        """The bits that leave the checker, cells × measures."""

    @abc.abstractmethod
    def finish(
        self, opened: OpenedCounts, sums: Sequence[int], kept: Passes, reasons: bytes
    ) -> Finished:
        """The result.

        Args:
            opened: what :meth:`open_counts` gave.
            sums: what round two opened; nothing if there is none.
            kept: the verdict.
            reasons: those of the verdict.

        Raises:
            VerificationError: no honest parts can give such sums (clause C-3).
        """

    @property
    @abc.abstractmethod
    def reason_places(self) -> tuple[str, ...]:
        """What the reasons of a cell are about, in order, in words."""

    @property
    @abc.abstractmethod
    def widths(self) -> tuple[int, ...]:
        """Of each column of the result, characters of the longest possible number (padding)."""

    def verify_table(self, table: ResultTable) -> ResultTable:
        """A table that this question can have; returns it. Raises VerificationError."""
        return self.question.verify_table(table)

    def _first(self, sums: Sequence[int]) -> list[list[int]]:
        """Cells × first moments."""
        wide = len(self.question.first)
        return [list(sums[i : i + wide]) for i in range(0, len(sums), wide)]


@dataclasses.dataclass(frozen=True)
class JoinedStatement(JoinRunPlan):
    """A statement over a join."""

    asked: JoinQuestion = dataclasses.field(kw_only=True)

    @property
    def question(self) -> JoinQuestion:
        return self.asked

    @property
    def rounds(self) -> int:
        return self.bound.plan.rounds

    @property
    def verdict_shape(self) -> tuple[int, int]:
        return self.bound.plan.cells, self.bound.plan.measures

    def _supported(self, kept: Passes) -> Passes:
        planned = self.bound.plan
        supports = np.array([value.support for value in planned.values], dtype=np.int64)
        values = kept[:, len(planned.counts) :] & kept[:, supports]
        found: Passes = np.concatenate([kept[:, : len(planned.counts)], values], axis=1)
        return found

    def open_counts(self, sums: Sequence[int]) -> OpenedCounts:
        return self.asked.opened_counts([row[0] for row in self._first(sums)], self.policy)

    def check_counts(self, opened: OpenedCounts) -> Reasons:
        return check_counts(self.bound.plan, opened, self.policy)

    def passes(self, reasons: Reasons) -> Passes:
        return passes(reasons)

    def finish(
        self, opened: OpenedCounts, sums: Sequence[int], kept: Passes, reasons: bytes
    ) -> Finished:
        moments = self.opened_moments(opened.counts, kept, sums)
        values = self.asked.sums(moments, self._supported(kept))
        return finish_statement(self.bound.plan, opened.counts, values, kept, reasons, self.policy)

    @property
    def reason_places(self) -> tuple[str, ...]:
        return measure_names(self.bound.plan)

    @property
    def widths(self) -> tuple[int, ...]:
        return widths(self.bound.plan)


@dataclasses.dataclass(frozen=True)
class JoinedModel(JoinRunPlan):
    """A model over a join: one cell, released as a whole or not at all.

    Its reasons are one for the whole, then one for each column of the design, the target last.
    """

    asked: ModelQuestion = dataclasses.field(kw_only=True)

    @property
    def question(self) -> ModelQuestion:
        return self.asked

    @property
    def rounds(self) -> int:
        return 2

    @property
    def verdict_shape(self) -> tuple[int, int]:
        return 1, 1

    def open_counts(self, sums: Sequence[int]) -> OpenedCounts:
        (first,) = self._first(sums)
        return OpenedCounts([self.asked.verify_people(first, self.bound.plan.max_rows)])

    def check_counts(self, opened: OpenedCounts) -> Reasons:
        return self._reasons(self.asked.problems(opened.counts[0], self.policy))

    def passes(self, reasons: Reasons) -> Passes:
        return np.array([[not reasons.any()]])

    def finish(
        self, opened: OpenedCounts, sums: Sequence[int], kept: Passes, reasons: bytes
    ) -> Finished:
        (moments,) = self.opened_moments(opened.counts, kept, sums)
        found: tuple[Problem, ...] = ()
        if kept[0, 0]:
            found = judge_model(self.asked, moments, self.policy)
        released = bool(kept[0, 0]) and not found
        return Finished(
            finish_model(self.asked, moments if released else None),
            first_reasons(reasons, self._reasons(found)),
            self._doubts(opened.counts[0]) if released else (),
        )

    def _doubts(self, first: Sequence[int]) -> tuple[Doubt, ...]:
        """The narrowest group of people that is released, against ``review_below``."""
        people, *ones = first
        outside = [people - number for number in (*ones, *self.asked.marked(ones).values())]
        narrow = min([people, *ones, *outside]) < self.policy.review_below
        return (Doubt.NARROW,) if narrow else ()

    def _reasons(self, problems: Sequence[Problem]) -> Reasons:
        found: Reasons = np.zeros((1, len(self.reason_places)), dtype=np.uint8)
        for problem in problems:
            place = self._place(problem)
            if found[0, place] == Reason.PASSES:
                found[0, place] = problem.reason
        return found

    def _place(self, problem: Problem) -> int:
        """The column at which a rule fails; of a category, the first of its columns."""
        if not problem.column:
            return 0
        columns = self.asked.columns
        names = [column.name for column in columns]
        categories = [column.category for column in columns]
        for listed in (names, categories):
            if problem.column in listed:
                return 1 + listed.index(problem.column)
        return 1 + len(columns)

    @property
    def reason_places(self) -> tuple[str, ...]:
        return (MODEL, *(column.name for column in self.asked.columns), self.asked.target.name)

    @property
    def widths(self) -> tuple[int, ...]:
        people = len(str(self.bound.plan.max_rows)) + 1
        return tuple(
            0 if column.key else len(LONGEST_FLOAT) if column.type is CellType.FLOAT else people
            for column in finish_model(self.asked, None).columns
        )


# --- from sealed text -----------------------------------------------------------------------------


def bound_model(scenario: Scenario, model: Model) -> BoundPlan:
    """The count of everybody that a model is about, which its result tells."""
    first, *others = model.tables
    joins = "".join(f" JOIN {other} USING ({model.using})" for other in others)
    counting = Statement(model.name, f"SELECT COUNT(*) AS people FROM {first}{joins}")  # noqa: S608 - declared names, and planned as any other statement
    return bind(plan(counting, scenario.tables, len(scenario.holders), scenario.output), {})


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question over a join with everything that follows from it, before it is ordered."""

    question: JoinQuestion | ModelQuestion
    join: JoinPlan
    bound: BoundPlan

    @property
    def participants(self) -> tuple[str, ...]:
        """The holders that are joined, in order of name."""
        return tuple(sorted(self.join.holders))

    @property
    def rounds(self) -> int:
        return 2 if isinstance(self.question, ModelQuestion) else self.bound.plan.rounds


def ask_join(scenario: Scenario, bound: BoundPlan, model: Model | None) -> Asked:
    """What is asked over a join.

    Args:
        bound: the statement with its arguments; of a model, :func:`bound_model`.

    Raises:
        SqlError, InvalidInput: the protocol cannot compute it.
    """
    question: JoinQuestion | ModelQuestion
    if model is None:
        question = ask(bound, scenario.tables, scenario.output)
    else:
        question = ask_model(model, scenario.tables, scenario.output)
    return Asked(question, plan_join(question, scenario.tables, scenario.run_key_bits), bound)


def join_run_plan(
    scenario: Scenario, order: RunOrder, asked: Asked, checker_key: bytes
) -> JoinRunPlan:
    """The plan of an ordered run over a join.

    Args:
        checker_key: ``key_id`` of the checker's Paillier key.
    """
    common = (
        order.run,
        scenario.digest,
        scenario.output,
        asked.join,
        asked.bound,
        asked.participants,
        checker_key,
        documents.digest(order),
        order.salt,
        scenario.proven,
    )
    if isinstance(asked.question, ModelQuestion):
        return JoinedModel(*common, asked=asked.question)
    return JoinedStatement(*common, asked=asked.question)
