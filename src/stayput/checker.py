"""The checker: opens only sums, counts first, and releases only what passes.

It holds the Paillier key and never sees a part: parts are masked, so the key opens nothing but the
sum over exactly the sealed participants, and a sum with a missing, foreign or altered part opens to
noise, which :func:`stayput.disclosure.verify_counts` refuses (clauses C-1 … C-6):

1. the sum it opens is the one in the log, and it adds the logged parts again to see that (C-1);
2. every part is bound to the context that the checker computes itself from the sealed text (C-2);
3. impossible sums end the run (C-3);
4. counts are opened and judged before any value exists in encrypted form (C-4);
5. the result goes to the data user only after its release is in the log, encrypted to the data
   user's key, and the same bytes every time (C-5);
6. it opens a sum only when every participant has cosigned the log with exactly that sum, and hands
   over a result only when they have cosigned its release (C-6).

Opened counts live in memory for the length of a run.  On disk are the verdict with its reasons, the
result encrypted to the data user (and to the checker itself until it is released, since persons may
have to decide about it first), and of each run the counts that passed: a later answer of the
same scenario must not give away, as a total, a cell that an earlier one withheld.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from stayput import documents, encryption, examination
from stayput.crypto import sealing, signing
from stayput.crypto.paillier import PrivateKey
from stayput.differencing.overlap import Overlap
from stayput.disclosure import (
    Doubt,
    OpenedCounts,
    OpenedOverlap,
    Reason,
    Reasons,
    passes,
    withhold_isolating,
)
from stayput.disclosure.isolating import Judged, Pair, isolating
from stayput.disclosure.opened import overlaps_to_bytes, parse_overlaps
from stayput.disclosure.verdict import recall_reasons
from stayput.encryption import Context
from stayput.errors import (
    InvalidInput,
    NotFound,
    NotYet,
    PermissionDenied,
    RuleViolation,
    VerificationError,
)
from stayput.identity import Identity
from stayput.link import CoordinatorLink
from stayput.padding import padded, unpadded
from stayput.plans import (
    Earlier,
    Planned,
    RunPlan,
    bound_plan,
    counts_context,
    values_context,
)
from stayput.release import (
    CellVerdict,
    CheckedResult,
    RunOrder,
    cell_verdict,
    seal_info,
    sealed_digest,
)
from stayput.replica import Replica
from stayput.runs import earlier_run, fetch_plan, told, verify_sum
from stayput.scenario import OutputReview, Scenario
from stayput.session import Judge, Release
from stayput.steps import CountsChecked, FailureReason, ResultHeld, ResultReleased, Round, RunFailed
from stayput.store.journal import Journal


class Checker:
    """The checker's core.

    Args:
        identity: its keys, among them the Paillier key.
        replica: its verified copy of the log.
        journal: where verdicts and sealed results are kept until they are delivered.
        link: the way to the coordinator.
        clock: Unix seconds.
        random: ``random(n)`` gives n random bytes from the operating system.
        constant_time: how sums are opened; see :func:`stayput.encryption.open`.
    """

    def __init__(
        self,
        identity: Identity,
        replica: Replica,
        journal: Journal,
        link: CoordinatorLink,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        *,
        constant_time: bool = True,
    ) -> None:
        self._identity = identity
        self.replica = replica
        self._journal = journal
        self._link = link
        self._clock = clock
        self._random = random
        self._constant_time = constant_time
        self._counts: dict[bytes, OpenedCounts] = {}
        self.report: Callable[[str], None] = lambda message: None

    def work(self, *, wait_ms: int = 0) -> bool:
        """Catch up with the log and carry out what is the checker's turn.

        Returns:
            Whether there was anything to do.

        Raises:
            Unavailable: the coordinator cannot be reached; call again.
            VerificationError: the log does not stand; do not call again.
        """
        moved = self._deliver()  # what a kill interrupted must not wait for news
        waiting = not moved and not any(self._may_open(one) for one in self._instructions())
        moved = self.replica.catch_up(self._link, wait_ms=wait_ms if waiting else 0) or moved
        for run in [run for run in self._counts if self.replica.session.runs[run].over]:
            del self._counts[run]
        for instruction in self._instructions():
            moved = self._obey(instruction) or moved
        return self._deliver() or moved

    def _instructions(self) -> tuple[Judge | Release, ...]:
        instructions = self.replica.instructions(self._identity.name)
        return tuple(one for one in instructions if isinstance(one, Judge | Release))

    def _may_open(self, instruction: Judge | Release) -> bool:
        """Every participant has formed the newest sum of the run again, and cosigned it (C-6)."""
        state = self.replica.session.runs[instruction.run]
        newest = state.sums[max(state.sums, key=lambda round: round.value)]
        return not self.replica.awaited(newest, state.ordered.participants)

    def _obey(self, instruction: Judge | Release) -> bool:
        run = instruction.run
        if not self._may_open(instruction):
            return False
        try:
            if isinstance(instruction, Judge):
                self._judge(run)
            else:
                self._release(run)
        except NotYet:
            return self.replica.catch_up(self._link)
        except RuleViolation:  # the run moved on while we worked
            return self.replica.catch_up(self._link)
        except (VerificationError, InvalidInput, NotFound, PermissionDenied) as error:
            self.report(f"run {run.hex()[:8]}: failed: {error.message}")
            step = RunFailed(
                run, self._identity.name, FailureReason.INVARIANT_VIOLATED, self._clock()
            )
            self._submit_failure(signing.sign(step, self._identity.signing_key))
        return True

    def _submit_failure(self, step: bytes) -> None:
        try:
            self._link.fail_run(step)
        except RuleViolation:
            self.replica.catch_up(self._link)

    # --- counts -----------------------------------------------------------------------------------

    def _judge(self, run: bytes) -> None:
        verdict = self._journal.find("verdict", run)
        step = self._journal.find("verdict-step", run)
        if verdict is None or step is None:
            scenario, order, plan = fetch_plan(self._link, self.replica, run)
            opened = self._open_counts(run, plan)
            reasons = plan.check_counts(opened)
            if isinstance(plan, RunPlan):  # over joins there is nothing to compare (docs/caveats)
                reasons = self._beside_others(plan, opened, reasons)
            reasons, answer = self._beside_earlier(scenario, order, plan, opened, reasons)
            document = cell_verdict(run, plan.passes(reasons), self._random(32))
            checked = CountsChecked(
                run, self._identity.name, documents.digest(document), self._clock()
            )
            verdict = documents.encode(document)
            step = signing.sign(checked, self._identity.signing_key)
            self._journal.put_all(
                {
                    ("verdict", run): verdict,
                    ("verdict-step", run): step,
                    ("reasons", run): reasons.tobytes(),
                    ("answer", run): answer,
                    ("overlaps", run): overlaps_to_bytes(opened.overlaps),
                }
            )
        self.report(f"run {run.hex()[:8]}: counts judged")
        self._link.submit_verdict(step, verdict)

    def _beside_others(self, plan: RunPlan, opened: OpenedCounts, reasons: Reasons) -> Reasons:
        """The reasons, with counts withheld that isolate rows beside other answers (clause C-7).

        Others are those that the run was compared with, and runs ordered after it that were judged
        before it: they were compared with it.
        """
        if not plan.policy.min_difference:
            return reasons
        planned, counts = plan.bound.plan, len(plan.bound.plan.counts)
        new = Judged(
            plan.run,
            plan.bound,
            np.array(opened.counts, dtype=object),
            passes(reasons)[:, :counts],
            plan.policy.min_difference,
        )
        asked = {other.earlier.run: other.earlier for other in plan.compared}
        for state in self.replica.session.runs_after(plan.run):
            if self._journal.find("overlaps", state.ordered.run) is not None:
                later = earlier_run(self._link, self.replica, state)
                if later is not None and later.least:
                    asked[later.run] = later
        others = [j for answer in asked.values() if (j := self._judged(answer)) is not None]
        pairs = {}
        known = [(plan.run, plan.bound, opened.overlaps)]
        known += [(o.run, o.bound, self._overlaps(o.run)) for o in others]
        bounds = {plan.run: plan.bound, **{other.run: other.bound for other in others}}
        for run, bound, overlaps in known:
            for beside in overlaps:
                if beside.run in bounds:
                    pairs[run, beside.run] = Pair(
                        Overlap(bound, bounds[beside.run]),
                        np.array(beside.shared, dtype=object),
                        np.array(beside.holders, dtype=object),
                        None if beside.people is None else np.array(beside.people, dtype=object),
                    )
        if opened.close is not None:
            close = np.array(opened.close, dtype=object) > 0
            reasons = withhold_isolating(planned, opened, reasons, close)
        while True:
            found = isolating(
                dataclasses.replace(new, passes=passes(reasons)[:, :counts]),
                others,
                pairs,
                least=plan.policy.min_difference,
                min_holders=plan.policy.min_holders,
            )
            reasons = withhold_isolating(planned, opened, reasons, found)
            if not planned.bins or not found.any():
                return reasons  # else bins went with others, and totals are other ones

    def _judged(self, answer: Earlier) -> Judged | None:
        """An answer that was judged here and whose run has not failed."""
        from stayput.disclosure import tables  # noqa: PLC0415

        state = self.replica.session.runs[answer.run]
        kept = self._journal.find("answer", answer.run)
        if kept is None or (state.over and not state.released):
            return None
        counts, passed = tables.recall_counts(kept)
        return Judged(
            answer.run,
            answer.bound,
            np.array(counts, dtype=object),
            np.array(passed, dtype=np.bool_),
            answer.least,
        )

    def _overlaps(self, run: bytes) -> list[OpenedOverlap]:
        kept = self._journal.find("overlaps", run)
        return [] if kept is None else parse_overlaps(kept)

    def _beside_earlier(
        self,
        scenario: Scenario,
        order: RunOrder,
        plan: Planned,
        opened: OpenedCounts,
        reasons: Reasons,
    ) -> tuple[Reasons, bytes]:
        """The reasons, with cells withheld so that no small cell of this or of an earlier answer of
        the scenario follows from totals; and this answer, for the next ones."""
        if plan.bound.plan.noise is not None:
            return reasons, b""  # noise hides what would follow from a difference
        # The solver behind it takes half a second to load, which only a checker has to spend.
        from stayput.disclosure import tables  # noqa: PLC0415

        earlier = []
        for run, state in self.replica.session.runs.items():
            if state.ordered.scenario == scenario.digest and not (
                state.over and not state.released
            ):
                kept = self._journal.find("answer", run)
                if kept is not None:
                    earlier.append(tables.recall(kept, lambda o: bound_plan(scenario, o)))

        def answer(found: Reasons) -> tables.Answer:
            wide = len(plan.bound.plan.counts)  # a model's other counts are not released
            counts = [row[:wide] for row in opened.counts]
            return tables.Answer(plan.bound, counts, plan.passes(found)[:, :wide].tolist())

        least = scenario.output.min_count
        reasons = tables.withhold_derivable(answer(reasons), earlier, reasons, least)
        return reasons, tables.remember(order, answer(reasons))

    def reasons(self, run: bytes) -> list[list[Reason]]:
        """Why each measure of each cell of a judged run is withheld; for the checker's own people.

        Raises:
            NotFound: it was not judged here.
        """
        _, _, plan = fetch_plan(self._link, self.replica, run)
        return recall_reasons(self._journal.get("reasons", run), len(plan.reason_places))

    def _open_counts(self, run: bytes, plan: Planned) -> OpenedCounts:
        """Counts of a run, opened once; again after a restart, since they are never on disk."""
        if run not in self._counts:
            opened = self._open(run, Round.COUNTS, counts_context(plan))
            self._counts[run] = plan.open_counts(opened)
        return self._counts[run]

    def _open(self, run: bytes, round: Round, context: Context) -> tuple[int, ...]:
        """Open the logged sum of a round (clauses C-1, C-2).

        The parts are added again here, one at a time: whoever added something else to the sum in
        between, the coordinator included, is found out before anything is opened.
        """
        return encryption.open(
            verify_sum(self._link, self.replica, run, round, context),
            self._paillier,
            constant_time=self._constant_time,
            progress=told(self.report, self._clock, f"run {run.hex()[:8]}: opened"),
        )

    # --- release ----------------------------------------------------------------------------------

    def _release(self, run: bytes) -> None:
        step = self._journal.find("release-step", run)
        if step is None:
            if self._hold(run):
                return
            encoded = examination.open_held(self._identity, self._journal, run)
            sealed, step = self._seal(run, encoded)
            self._journal.put_all({("sealed", run): sealed, ("release-step", run): step})
        self._link.submit_release(step)
        self.replica.catch_up(self._link)

    def _hold(self, run: bytes) -> bool:
        """Finish the result of a run, and hold it where persons have to decide (clause R-8).

        It is on disk, encrypted, before anybody hears of it: what is decided about is what is
        released, whatever is restarted in between.
        """
        if self.replica.session.runs[run].held is not None:
            return False  # cleared
        step = self._journal.find("hold-step", run)
        if self._journal.find("held", run) is None:
            result, encoded, found = self._finish(run)
            review = self.replica.session.scenario_of(run).proposed.review
            if review is OutputReview.ALWAYS or (review is not None and found):
                held = ResultHeld(run, self._identity.name, result, self._clock())
                step = signing.sign(held, self._identity.signing_key)
            kept = examination.seal_held(self._identity, run, encoded, self._random(12))
            names = " ".join(doubt.name for doubt in found).encode("ascii")
            steps = {} if step is None else {("hold-step", run): step}
            self._journal.put_all({("held", run): kept, ("doubts", run): names, **steps})
        if step is None:
            return False
        self._link.hold_result(step)
        self.report(f"run {run.hex()[:8]}: held, see `stayput checker held`")
        self.replica.catch_up(self._link)
        return True

    def _finish(self, run: bytes) -> tuple[bytes, bytes, tuple[Doubt, ...]]:
        """The commitment to the result, its padded bytes, and what is doubtful in it."""
        scenario, order, plan = fetch_plan(self._link, self.replica, run)
        verdict = documents.parse(CellVerdict, self._journal.get("verdict", run))
        opened = self._open_counts(run, plan)
        sums: tuple[int, ...] = ()
        if plan.rounds == 2:
            sums = self._open(run, Round.VALUES, values_context(plan, verdict))
        first = self._journal.get("reasons", run)
        finished = plan.finish(opened, sums, verdict.matrix(), first)
        self._journal.replace({("reasons", run): finished.reasons})
        result = CheckedResult(
            run=run,
            scenario=scenario.digest,
            statement=order.statement,
            arguments=order.arguments,
            min_count=scenario.output.min_count,
            min_holders=scenario.output.min_holders,
            table=finished.table,
            salt=self._random(32),
            compared=plan.comparing,
        )
        encoded = padded(documents.encode(result), result.table, plan.widths)
        return documents.digest(result), encoded, finished.doubts

    def _seal(self, run: bytes, encoded: bytes) -> tuple[bytes, bytes]:
        """The result, sealed to the data user, and the step that releases it."""
        user = self.replica.members[self.replica.session.runs[run].ordered.user]
        sealed = sealing.seal(user.agreement_key, encoded, seal_info(run))
        released = ResultReleased(
            run=run,
            checker=self._identity.name,
            result=documents.digest(documents.parse(CheckedResult, unpadded(encoded))),
            sealed=sealed_digest(sealed),
            time=self._clock(),
        )
        return sealed, signing.sign(released, self._identity.signing_key)

    def _deliver(self) -> bool:
        """Hand over what is released and not yet delivered (clause C-5)."""
        moved = False
        for run in self._journal.keys("sealed"):
            state = self.replica.session.runs.get(run)
            if state is None or not state.over:
                continue
            if state.released is not None:
                if self.replica.awaited(state.released, state.ordered.participants):
                    continue  # not before every participant has seen that it is released
                self._link.deliver_result(run, self._journal.get("sealed", run))
                self.report(f"run {run.hex()[:8]}: released")
            self._journal.forget("sealed", run)
            moved = True
        for run in self._journal.keys("held"):
            state = self.replica.session.runs.get(run)
            if state is not None and state.over:
                self._journal.forget("held", run)
        return moved

    @property
    def _paillier(self) -> PrivateKey:
        key = self._identity.paillier_key
        assert key is not None  # a checker identity is not loaded without one
        return key
