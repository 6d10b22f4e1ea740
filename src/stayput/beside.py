"""A run beside the answers that this holder gave before (clause N-8).

What everybody in the run knows is compared over all holders: this holder counts the rows that both
answers are about and adds them, encrypted, to the counts of round one.  Answers of which not
everybody in the run knows (other holders took part, or another checker) can only be compared here,
on this holder's own rows, and only flags leave: that a cell is *close* to such an answer.

* If fewer holders took part in only one of the two than any answer has to come from, who has both
  answers can subtract what is the same here, and is left with the part of those holders, or of
  these few rows: close is a difference of fewer rows than the policy says, or none at all.
* Else close is a difference of some, but fewer rows.

That a flag is raised is all that leaves, added up over the holders and seen by the checker alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from stayput import documents
from stayput.differencing.overlap import Incomparable, Overlap, merged
from stayput.engines.snapshots import Lineage, Sharing
from stayput.errors import InvalidInput
from stayput.partials import EngineValue, LocalPartial, assemble_overlap, assemble_people
from stayput.plans import Beside, RunPlan, differing, earlier_answer
from stayput.release import RunOrder
from stayput.scenario import Scenario, TableContract
from stayput.session import RunPhase, RunState
from stayput.store.lineage import Answered, Kept, LineageBook, answered

Rows = Sequence[Sequence[EngineValue]]


@dataclasses.dataclass(frozen=True)
class _Stranger:
    """An answer of which not everybody in the run knows."""

    overlap: Overlap
    least: int
    apart: int  # holders that took part in only one of the two


@dataclasses.dataclass(frozen=True, repr=False)
class LineageOfRun:
    """What one run has to find out, and what it keeps.

    ``asked`` are the overlaps in the order of ``task.sharing``, where those that are ``counted``
    have a second place for the people behind differences.
    """

    plan: RunPlan
    source: str
    state: str
    contract: TableContract
    columns: tuple[str, ...]
    task: Lineage
    snapshots: tuple[bytes, ...]
    asked: tuple[Overlap, ...]
    counted: tuple[bool, ...]
    records: tuple[Answered | None, ...]  # of each compared answer, then of each stranger's
    strangers: tuple[_Stranger, ...]

    def beside(self, partial: LocalPartial, shared: Sequence[Rows]) -> Beside:
        """What was found, from the rows that staging gave for each overlap.

        Raises:
            InvalidInput: they do not fit the overlaps, or are more than either answer has.
        """
        counts = partial.counts
        answers = self._answers(shared)
        known = len(self.plan.compared)
        numbers, then, people = [], [], []
        for other, record in zip(self.plan.compared, self.records[:known], strict=True):
            if record is None:  # of that answer nothing is known any more: it differs in all rows
                pairs = len(other.overlap.pairs)
                numbers.append([[0] * pairs for _ in range(other.overlap.cells)])
                people.append(_everybody(other.overlap, partial.units))
            else:
                found, behind = next(answers)
                numbers.append(found)
                people.append(behind)
            then.append([] if record is None else record.matrix())
            _verify(other.overlap, counts, numbers[-1], then[-1])
        close = [[False] * len(self.plan.bound.plan.counts) for _ in counts]
        for stranger, record in zip(self.strangers, self.records[known:], strict=True):
            assert record is not None
            (found, behind), old = next(answers), record.matrix()
            _verify(stranger.overlap, counts, found, old)
            self._mark_close(stranger, counts, found, old, behind, close)
        return Beside(numbers, then, people, close)

    def _answers(self, shared: Sequence[Rows]) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
        """Of each overlap the shared rows, and the people behind differences as far as known."""
        given = iter(shared)
        for overlap, counted in zip(self.asked, self.counted, strict=True):
            found = assemble_overlap(overlap, next(given))
            nobody = [[0] * len(overlap.pairs) for _ in range(overlap.common_cells)]
            yield found, assemble_people(overlap, next(given)) if counted else nobody
        if next(given, None) is not None:
            raise InvalidInput("staging gave more than it was asked for")

    def _mark_close(
        self,
        stranger: _Stranger,
        counts: list[list[int]],
        shared: list[list[int]],
        then: list[list[int]],
        people: list[list[int]],
        close: list[list[bool]],
    ) -> None:
        overlap = stranger.overlap
        few = 0 < stranger.apart < self.plan.policy.min_holders
        least = max(stranger.least, self.plan.policy.min_difference)
        differs = differing(overlap, counts, shared, then)
        for joint, row in enumerate(shared):
            new, old = int(overlap.new_cell[joint]), int(overlap.old_cell[joint])
            common = int(overlap.common_cell[joint])
            for index, (i, j) in enumerate(overlap.pairs):
                single = counts[new][i] + then[old][j] - 2 * row[index]
                for number in (single, differs[common][index]):
                    if number < least and (number > 0 or (few and row[index] > 0)):
                        close[new][i] = True
                if self.plan.unit and people[common][index] < least and differs[common][index]:
                    close[new][i] = True

    def kept(self, counts: list[list[int]], snapshot: bytes, scenario: bytes, order: bytes) -> Kept:
        """What later answers are compared with."""
        record = answered(self.state, counts, scenario, order)
        return Kept(self.source, record, self.task.columns, snapshot)


def _everybody(overlap: Overlap, units: list[list[int]]) -> list[list[int]]:
    """Common cells × pairs: people of the new answer, of its fullest cell in each common one."""
    found = [[0] * len(overlap.pairs) for _ in range(overlap.common_cells)]
    for joint, common in enumerate(overlap.common_cell.tolist() if units[0] else ()):
        own = units[int(overlap.new_cell[joint])]
        for index, (i, _) in enumerate(overlap.pairs):
            found[common][index] = max(found[common][index], own[i])
    return found


def _verify(
    overlap: Overlap, mine: list[list[int]], shared: list[list[int]], then: list[list[int]]
) -> None:
    if not then:
        return
    fits = len(then) == overlap.old.plan.cells and len(then[0]) == len(overlap.old.plan.counts)
    if not fits or any(
        number < 0 for row in differing(overlap, mine, shared, then) for number in row
    ):
        raise InvalidInput("the numbers of rows that two answers share are impossible")


def lineage_of(
    plan: RunPlan, strangers: Sequence[RunState], book: LineageBook, state: str
) -> LineageOfRun:
    """What a run has to find out beside this holder's earlier answers.

    Args:
        strangers: earlier runs of which not everybody in the run knows.
        state: of the source now (:meth:`stayput.staging.StagingPool.state`).

    Raises:
        NotFound: the rows of an earlier answer, since changed, are not known any more.
        InvalidInput: an earlier answer read a column under another declaration.
        VerificationError: the ledger was altered.
    """
    source = plan.contract.name
    records = book.answers(source)
    contract = plan.reading or plan.contract
    columns = set(plan.columns)
    asked: list[tuple[Overlap, Answered]] = []
    found: list[Answered | None] = []
    for other in plan.compared:
        record = records.get(other.earlier.run)
        found.append(record)
        if record is not None:
            asked.append((other.overlap, record))
    unknown: list[_Stranger] = []
    for run in strangers:
        record = records.get(run.ordered.run)
        if record is None or run.phase is RunPhase.FAILED:
            continue
        answer = earlier_answer(
            documents.parse(Scenario, record.scenario), documents.parse(RunOrder, record.order)
        )
        try:
            contract = merged(contract, answer.contract, answer.bound.plan.columns)
        except Incomparable as column:
            raise InvalidInput(
                f"column {column} was declared otherwise in an earlier scenario of others, so how "
                "far the answers differ cannot be told",
                hint="ask for the same declaration, or begin a new lineage",
            ) from None
        overlap = Overlap(plan.bound, answer.bound)
        if not overlap.pairs:
            continue  # no row can be in both
        apart = len({*plan.participants} ^ {*run.ordered.participants})
        unknown.append(_Stranger(overlap, answer.least, apart))
        found.append(record)
        asked.append((overlap, record))
        columns |= set(overlap.columns)
    sharing, snapshots, counted = [], [], []
    for overlap, record in asked:
        read = overlap.old.plan.columns
        sharing.append(
            Sharing(
                sql=overlap.sql(),
                by_row=overlap.sql_by_row(),
                keys=len(overlap.dimensions),
                pairs=len(overlap.pairs),
                columns=read,
            )
        )
        unchanged = record.state == state
        snapshots.append(b"" if unchanged else book.snapshot(source, record.state, read))
        # Of rows that are new somebody is known only if rows were told apart by person.
        counted.append(bool(plan.unit) and (unchanged or plan.unit in read))
        if counted[-1]:
            sharing.append(
                Sharing(
                    sql=overlap.units_sql(plan.unit),
                    by_row=overlap.units_by_row(plan.unit),
                    keys=len(overlap.common_axes),
                    pairs=len(overlap.pairs),
                    columns=read,
                    people=True,
                )
            )
            snapshots.append(b"")  # that of the one before
    own = plan.bound.plan.columns
    task = Lineage(
        key=book.key(source),
        sharing=tuple(sharing),
        columns=own,
        take=not book.has_snapshot(source, state, own),
    )
    return LineageOfRun(
        plan=plan,
        source=source,
        state=state,
        contract=contract,
        columns=tuple(sorted(columns)),
        task=task,
        snapshots=tuple(snapshots),
        asked=tuple(overlap for overlap, _ in asked),
        counted=tuple(counted),
        records=tuple(found),
        strangers=tuple(unknown),
    )
