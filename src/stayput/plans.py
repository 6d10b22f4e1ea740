"""What a run computes: the plan that node and checker derive, each by itself, from sealed text.

Nobody sends a plan: from scenario and order everybody gets the same one, and the encryption context
of each round binds it.  What all plans have in common is :class:`Planned`; of runs over joins it is
:mod:`stayput.join_plans`.  The vectors of the two rounds over a table that every holder has:

* counts: first all counts, cell by cell; then, cell by cell, for each count and for each rest (the
  rows that a narrowed count leaves out of a larger one) whether this holder has any such row (0 or
  1), so that the checker learns how many holders contribute, not which.  Then, if table contract or
  output policy ask for it, cell by cell:

  * the number of distinct units in each of these groups, where nobody is known to two holders; else
    whether this holder alone has ``min_count`` of them;
  * whether this holder has some, but fewer than ``min_count_per_holder``, in each group;
  * whether few contributors make up most of this holder's part of each sum, and of the difference
    of two sums over a part and its whole (:mod:`stayput.disclosure.dominance`);

  at last, if the output policy asks for differences of answers (clause N-8): for each earlier
  answer that this one is compared with, how many rows both are about and whether this holder has
  rows in which they differ (:mod:`stayput.differencing.overlap`); and, if a participant answered
  questions of which not everybody here knows, whether this answer is too close to one of those;

* values: cell by cell, those value measures that the verdict lets through, in the order of the
  plan.

Where the scenario asks for noise, round one has the counts alone: every bit that leaves is made of
noisy numbers (clause D-3).  Which noise goes to which place is said here; the node draws it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stayput import documents
from stayput.differencing.overlap import Incomparable, Overlap, merged
from stayput.disclosure import (
    OpenedCounts,
    OpenedOverlap,
    Reasons,
    check_counts,
    dominated,
    passes,
    verify_counts,
)
from stayput.encryption import Context
from stayput.errors import InvalidInput, RuleViolation
from stayput.finishing import verify_table
from stayput.join_plans import Asked, JoinRunPlan, ask_join, bound_model, join_run_plan
from stayput.judging import Finished, finish_statement, measure_names
from stayput.membership import Members
from stayput.padding import widths
from stayput.partials import LocalPartial
from stayput.release import CellVerdict, Passes, RunOrder
from stayput.scenario import Model, OutputPolicy, Scenario, Statement, TableContract
from stayput.sql import BoundPlan, bind, plan
from stayput.steps import JoinPair, Round, RunOrdered
from stayput.table import ResultTable

MAX_COMPARED = 100_000
"""Numbers of round one about earlier answers; an answer that would need more is refused."""


class Planned(Protocol):
    """What parties need of the plan of a run, whatever it is over.

    ``bound`` is the statement with its arguments; of a model, the count of everybody that it is
    about.  ``comparing`` counts the numbers of round one about earlier answers.
    """

    @property
    def run(self) -> bytes: ...
    @property
    def scenario(self) -> bytes: ...
    @property
    def policy(self) -> OutputPolicy: ...
    @property
    def bound(self) -> BoundPlan: ...
    @property
    def participants(self) -> tuple[str, ...]: ...
    @property
    def checker_key(self) -> bytes: ...
    @property
    def order(self) -> bytes: ...
    @property
    def salt(self) -> bytes: ...
    @property
    def proven(self) -> bool: ...
    @property
    def rounds(self) -> int: ...
    @property
    def comparing(self) -> int: ...

    def counts_shape(self, comparing: int | None = None) -> tuple[int, int]:
        """Width and number of the numbers of round one."""

    def values_shape(self, kept: Passes) -> tuple[int, int]:
        """Width and number of the numbers of round two, by the verdict."""

    def open_counts(self, sums: Sequence[int]) -> OpenedCounts:
        """The opened sums of round one. Raises VerificationError: impossible ones (C-3)."""

    def check_counts(self, opened: OpenedCounts) -> Reasons:
        """Why what was asked is withheld."""

    def passes(self, reasons: Reasons) -> Passes:
        """The bits that leave the checker, cells × measures."""

    def finish(
        self, opened: OpenedCounts, sums: Sequence[int], kept: Passes, reasons: bytes
    ) -> Finished:
        """The result, from both rounds and the verdict. Raises as :meth:`open_counts`."""

    @property
    def reason_places(self) -> tuple[str, ...]:
        """What the reasons of a cell are about, in order, in words."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Of each column of the result, characters of the longest possible number."""

    def verify_table(self, table: ResultTable) -> ResultTable:
        """A table that this can have; returns it. Raises VerificationError."""


@dataclasses.dataclass(frozen=True)
class Earlier:
    """An answer about the same table that was ordered before; see :func:`earlier_answer`."""

    run: bytes
    scenario: bytes
    contract: TableContract
    least: int  # ``min_difference`` of its policy
    min_holders: int
    bound: BoundPlan


def earlier_answer(scenario: Scenario, order: RunOrder) -> Earlier:
    """What is compared of an earlier run.

    Raises:
        InvalidInput: it is over a join; and as :func:`plan_run`.
    """
    bound = bound_plan(scenario, order)
    if bound.plan.joined:
        raise InvalidInput("an answer over a join is compared with no other")
    return Earlier(
        run=order.run,
        scenario=scenario.digest,
        contract=scenario.table(bound.plan.table),
        least=scenario.output.min_difference,
        min_holders=scenario.output.min_holders,
        bound=bound,
    )


@dataclasses.dataclass(frozen=True)
class Compared:
    """An earlier answer beside this one.

    ``people``: where the table has a unit, how many of them have to be behind a difference; else 0.
    """

    earlier: Earlier
    overlap: Overlap
    people: int = 0

    def numbers(self, participants: int) -> int:
        """Numbers of round one about it."""
        flags = _packed(self.overlap.flags, participants)
        most = self.people * participants
        return self.overlap.shared + flags + (_packed(self.overlap.flags, most) if most else 0)


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """The plan of one run, bound to its order.

    ``reading`` is the contract with the columns that earlier answers read besides.
    """

    run: bytes
    scenario: bytes
    contract: TableContract
    policy: OutputPolicy
    bound: BoundPlan
    participants: tuple[str, ...]
    checker_key: bytes
    order: bytes
    salt: bytes = dataclasses.field(repr=False)  # the order's; only parties of the scenario have it
    compared: tuple[Compared, ...] = ()
    strangers: bool = False  # a participant answered questions that not everybody here knows
    reading: TableContract | None = None
    proven: bool = False  # every part carries a proof (M-7)

    @property
    def rounds(self) -> int:
        return self.bound.plan.rounds

    @property
    def flags(self) -> int:
        """Numbers of round one that say whether an answer is too close to one of others."""
        return self.bound.plan.cells * len(self.bound.plan.counts) if self.strangers else 0

    @property
    def unit(self) -> str:
        """The column that says whom a row is about; empty if every row is somebody else."""
        return self.bound.plan.evidence.unit

    @property
    def comparing(self) -> int:
        """Numbers of round one about earlier answers."""
        people = len(self.participants)
        return sum(other.numbers(people) for other in self.compared) + self.flags

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that this and the earlier answers read."""
        names = set(self.bound.plan.columns)
        return tuple(sorted(names.union(*(other.overlap.columns for other in self.compared))))

    def counts_shape(self, comparing: int | None = None) -> tuple[int, int]:
        """Width and number of the numbers of round one.

        Args:
            comparing: how many are about earlier answers, for who does not know these.
        """
        planned = self.bound.plan
        compared = self.comparing if comparing is None else comparing
        return planned.count_width, planned.cells * planned.round_one + compared

    def values_shape(self, kept: Passes) -> tuple[int, int]:
        """Width and number of the numbers of round two.

        Raises:
            InvalidInput: the verdict is of another shape.
        """
        return self.bound.plan.value_width, int(_surviving(self, kept).sum())

    def open_counts(self, sums: Sequence[int]) -> OpenedCounts:
        """The opened sums of round one. Raises VerificationError: impossible ones (C-3)."""
        return verify_counts(self.bound.plan, split_counts(self, sums), len(self.participants))

    def check_counts(self, opened: OpenedCounts) -> Reasons:
        """Why each measure of each cell is withheld."""
        return check_counts(self.bound.plan, opened, self.policy)

    def passes(self, reasons: Reasons) -> Passes:
        """The bits that leave the checker."""
        return passes(reasons)

    def finish(
        self, opened: OpenedCounts, sums: Sequence[int], kept: Passes, reasons: bytes
    ) -> Finished:
        """The result, from both rounds and the verdict. Raises as :meth:`open_counts`."""
        planned = self.bound.plan
        values: list[list[int | None]] = [[] for _ in opened.counts]
        if planned.rounds == 2:
            values = split_values(self, kept, sums)
        return finish_statement(planned, opened.counts, values, kept, reasons, self.policy)

    @property
    def reason_places(self) -> tuple[str, ...]:
        """Each measure as SQL."""
        return measure_names(self.bound.plan)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of each column of the result, characters of the longest possible number."""
        return widths(self.bound.plan)

    def verify_table(self, table: ResultTable) -> ResultTable:
        """A table that the statement can have; returns it. Raises VerificationError."""
        return verify_table(self.bound.plan, table)


def find_question(scenario: Scenario, name: str) -> Statement | Model:
    """The statement or model of this name.

    Raises:
        InvalidInput: the scenario has none.
    """
    named: dict[str, Statement | Model] = {s.name: s for s in scenario.statements}
    named.update((model.name, model) for model in scenario.models)
    if name not in named:
        raise InvalidInput(
            f"the scenario has no statement or model {name!r}",
            hint="it has: " + ", ".join(named),
        )
    return named[name]


def bound_plan(scenario: Scenario, order: RunOrder) -> BoundPlan:
    """The statement of an order with its arguments; of a model, the count of its people.

    Raises:
        InvalidInput: statement or arguments are outside what was sealed.
    """
    asked = find_question(scenario, order.statement)
    if isinstance(asked, Model):
        if order.arguments:
            raise InvalidInput(f"{asked.name} is a model, which has no parameters")
        return bound_model(scenario, asked)
    planned = plan(asked, scenario.tables, len(scenario.holders), scenario.output)
    return bind(planned, order.parameters())


@dataclasses.dataclass(frozen=True)
class Terms:
    """What the step that orders a run says about it, as it follows from the sealed text (R-1)."""

    participants: tuple[str, ...]
    rounds: int
    pairs: tuple[JoinPair, ...] = ()


def order_terms(scenario: Scenario, order: RunOrder) -> Terms:
    """What a step that orders this has to say. Raises as :func:`bound_plan`."""
    bound = bound_plan(scenario, order)
    if not bound.plan.joined:
        return Terms(tuple(sorted(scenario.holders)), bound.plan.rounds)
    asked = ask_join(scenario, bound, _model(scenario, order))
    return Terms(asked.participants, asked.rounds, _pairs(asked))


def _model(scenario: Scenario, order: RunOrder) -> Model | None:
    asked = find_question(scenario, order.statement)
    return asked if isinstance(asked, Model) else None


def _pairs(asked: Asked) -> tuple[JoinPair, ...]:
    names = asked.join.holders
    return tuple(JoinPair(names[pair.combiner], names[pair.owner]) for pair in asked.join.pairs)


def plan_run(
    scenario: Scenario,
    order: RunOrder,
    ordered: RunOrdered,
    members: Members,
    earlier: Sequence[Earlier] = (),
    *,
    strangers: bool = False,
) -> RunPlan | JoinRunPlan:
    """The plan of an ordered run (clause N-3).

    Args:
        earlier: answers ordered before, whose questions every participant knows (clause N-8).
        strangers: there are others, whose questions only some of them know.

    Raises:
        InvalidInput: statement or arguments are outside what was sealed, or an earlier answer
            cannot be compared with it.
        RuleViolation: the step in the log does not fit the plan.
    """
    bound = bound_plan(scenario, order)
    checker_key = members.checker_key(scenario.checker).key_id
    if bound.plan.joined:
        asked = ask_join(scenario, bound, _model(scenario, order))
        _verify_terms(Terms(asked.participants, asked.rounds, _pairs(asked)), ordered)
        return join_run_plan(scenario, order, asked, checker_key)
    _verify_terms(Terms(tuple(sorted(scenario.holders)), bound.plan.rounds), ordered)
    run = RunPlan(
        run=order.run,
        scenario=scenario.digest,
        contract=scenario.table(bound.plan.table),
        policy=scenario.output,
        bound=bound,
        participants=ordered.participants,
        checker_key=checker_key,
        order=documents.digest(order),
        salt=order.salt,
        proven=scenario.proven,
    )
    return _beside(run, earlier, strangers=strangers)


def _verify_terms(terms: Terms, ordered: RunOrdered) -> None:
    if ordered.rounds != terms.rounds:
        raise RuleViolation("the order names another number of rounds", clause="N-3")
    if ordered.participants != terms.participants or ordered.pairs != terms.pairs:
        raise RuleViolation("the order names other participants, or other pairs", clause="N-3")


def _beside(run: RunPlan, earlier: Sequence[Earlier], *, strangers: bool) -> RunPlan:
    """The plan with what it is compared with (clause N-8)."""
    mine = run.policy.min_difference
    compared, reading = [], run.contract
    for answer in earlier:
        planned = answer.bound.plan
        if planned.table != run.bound.plan.table or not mine or not answer.least:
            continue
        try:
            reading = merged(reading, answer.contract, planned.columns)
        except Incomparable as column:
            raise InvalidInput(
                f"column {column} was declared otherwise when {planned.statement.name} was asked, "
                "so how far the answers differ cannot be told",
                hint="declare it as in the earlier scenario",
            ) from None
        overlap = Overlap(run.bound, answer.bound)
        if overlap.pairs:  # else no row can be in both
            least = max(mine, answer.least) if run.bound.plan.evidence.unit else 0
            compared.append(Compared(answer, overlap, least))
    found = dataclasses.replace(
        run,
        compared=tuple(compared),
        strangers=strangers and mine > 0,
        reading=reading if compared else None,
    )
    if found.comparing > MAX_COMPARED:
        raise InvalidInput(
            f"comparing this answer with {len(compared)} earlier ones takes {found.comparing} "
            f"numbers; at most {MAX_COMPARED} are supported",
            hint="ask with fewer keys; an answer that you have need not be asked for again",
        )
    return found


def counts_context(run: Planned, comparing: int | None = None) -> Context:
    """What contributions of round one are bound to.

    Args:
        comparing: how many numbers are about earlier answers, for who does not know these.
    """
    return _context(run, Round.COUNTS, run.counts_shape(comparing))


def values_context(run: Planned, verdict: CellVerdict) -> Context:
    """What contributions of round two are bound to."""
    shape = run.values_shape(verdict.matrix())
    return _context(run, Round.VALUES, shape, documents.digest(verdict))


def _context(run: Planned, round: Round, shape: tuple[int, int], verdict: bytes = b"") -> Context:
    width, count = shape
    return Context(
        run=run.run,
        scenario=run.scenario,
        round=round,
        participants=run.participants,
        checker_key=run.checker_key,
        width=width,
        count=count,
        question=documents.commitment("stayput.v1.Question", run.salt, run.order + verdict),
        proven=run.proven,
    )


def counts_vector(run: RunPlan, partial: LocalPartial, beside: Beside | None = None) -> list[int]:
    """One holder's vector of round one; its sections are laid out as the module says.

    Args:
        beside: what this holder found beside its earlier answers, if the run is compared with any.
    """
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
    if run.comparing:
        assert beside is not None
        for other, shared, then, people in zip(
            run.compared, beside.shared, beside.counts, beside.people, strict=True
        ):
            vector += [number for row in shared for number in row]
            differs = differing(other.overlap, partial.counts, shared, then)
            flags = [int(number > 0) for row in differs for number in row]
            vector += _together(flags, len(run.participants))
            if other.people:
                vector += _people(run, other, people)
        vector += [int(flag) for row in beside.close for flag in row] if run.strangers else []
    return vector


def _people(run: RunPlan, other: Compared, found: list[list[int]]) -> list[int]:
    """People behind differences, as many as have to be at most; where somebody may be known to two
    holders, none or as many as have to be: one holder that has them alone is enough."""
    least, apart = other.people, run.bound.plan.evidence.units_apart
    numbers = [min(number, least) for row in found for number in row]
    counted = [number if apart or number == least else 0 for number in numbers]
    return _together(counted, least * len(run.participants))


FLAG_BITS = 30
"""Bits of a number of round one that flags fill; the narrowest numbers have 32 and a sign."""


def _per_number(most: int) -> int:
    """How many small sums share one number, each in the place of the largest one."""
    return max(1, FLAG_BITS // most.bit_length())


def _together(flags: Sequence[int], most: int) -> list[int]:
    """Flags and other small numbers, several in each number, so that their sums over the holders,
    up to ``most``, stay apart."""
    size, bits = _per_number(most), most.bit_length()
    return [
        sum(flag << bits * place for place, flag in enumerate(flags[i : i + size]))
        for i in range(0, len(flags), size)
    ]


def _apart(numbers: Sequence[int], count: int, most: int) -> list[int]:
    """The sums of :func:`_together`; of impossible numbers, impossible sums."""
    size, bits = _per_number(most), most.bit_length()
    found = []
    for i, number in enumerate(numbers):
        places = min(size, count - i * size)
        rest = number >> bits * (places - 1)  # the last place keeps what is too much
        lower = [number >> bits * place & (1 << bits) - 1 for place in range(places - 1)]
        found += [*lower, rest]
    return found


def _packed(count: int, most: int) -> int:
    """Numbers that :func:`_together` makes of so many small ones."""
    return -(-count // _per_number(most))


@dataclasses.dataclass(frozen=True, repr=False)
class Beside:
    """What one holder finds beside earlier answers.

    ``shared``: of each compared answer, joint cells × pairs, rows that both are about.  ``counts``:
    its own cells × counts of each of these answers, when it was given (none: it took no part).
    ``people``: common cells × pairs of each, units behind the rows in which they differ, where the
    table has a unit.  ``close``: cells × counts of this answer, whether it is too close to an
    answer of others.
    """

    shared: list[list[list[int]]]
    counts: list[list[list[int]]]
    people: list[list[list[int]]]
    close: list[list[bool]] = dataclasses.field(default_factory=list)


def differing(
    overlap: Overlap, mine: list[list[int]], shared: list[list[int]], then: list[list[int]]
) -> list[list[int]]:
    """Common cells × pairs: rows that exactly one of the two answers is about, at one holder."""
    both = np.array(shared, dtype=np.int64).reshape(overlap.cells, len(overlap.pairs))
    new = np.array(mine, dtype=np.int64)
    old = np.array(then or [[0] * len(overlap.old.plan.counts)] * overlap.old.plan.cells, np.int64)
    found = np.zeros((overlap.common_cells, len(overlap.pairs)), dtype=np.int64)
    for index, (i, j) in enumerate(overlap.pairs):
        found[:, index] = overlap.common(new[:, i], overlap.new_cell)
        found[:, index] += overlap.common(old[:, j], overlap.old_cell)
        np.add.at(found[:, index], overlap.common_cell, -2 * both[:, index])
    result: list[list[int]] = found.tolist()
    return result


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

    def block(cells: int, width: int) -> list[list[int]]:
        nonlocal start
        found = _rows(vector[start : start + cells * width], width) if width else [[]] * cells
        start += cells * width
        return found

    def section(width: int) -> list[list[int]]:
        return block(planned.cells, width)

    def small(overlap: Overlap, most: int) -> list[list[int]]:
        (numbers,) = block(1, _packed(overlap.flags, most))
        return _rows(_apart(numbers, overlap.flags, most), len(overlap.pairs))

    holders = len(run.participants)

    return OpenedCounts(
        counts=section(len(planned.counts)),
        holders=section(planned.groups),
        units=section(planned.groups) if planned.evidence.unit else None,
        small=section(planned.groups) if planned.evidence.smallest else None,
        dominated=section(planned.contributions) if planned.contributions else None,
        overlaps=[
            OpenedOverlap(
                other.earlier.run,
                block(other.overlap.cells, len(other.overlap.pairs)),
                small(other.overlap, holders),
                small(other.overlap, other.people * holders) if other.people else None,
            )
            for other in run.compared
        ],
        close=section(len(planned.counts)) if run.strangers else None,
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
