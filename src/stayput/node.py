"""The node: computes its holder's part, and nothing that was not reviewed.

The node trusts nobody's word.  It replays the log itself (:mod:`stayput.replica`), compiles the SQL
itself from the sealed text, and refuses by itself, whatever the coordinator says; before it
computes it verifies, in this order (clauses N-1 … N-9):

1. the sealing and the order stand in a log that it verified, and every participant has cosigned
   that very log (N-1);
2. this holder's own ledger says approved, not revoked (N-2);
3. scenario and order are the documents that the log commits to; statement and arguments are inside
   what was sealed; the checker's key is the enrolled one (N-3);
4. neither the scenario's expiry, by this node's own clock, nor its runs are used up, nor a quota of
   its holder's (N-9); the charge is on disk before anything is computed (N-4).

Where a scenario asks for noise, its cost is charged to the budget of the data set with it; noise is
drawn after that and before anything is encrypted (clauses D-1, D-4, D-5).

Then rows are staged in a process of their own and destroyed; only sums exist.  A contribution is
on disk before it is sent; a retry sends the same bytes (N-5).  For round two it sends values of
those cells only that the checker's verdict, committed to in a cosigned log, lets through (N-6).

It is a witness, too (:mod:`stayput.witness`): it cosigns the log that it holds, but not the sum of
a run of its own before it has formed it again from the parts (N-7).

Over a join the rows stay staged for longer: until they are combined, with those of the other
holders, into masked sums (:mod:`stayput.joining`); then they are destroyed, and this holder's part
of each round is made of residues that say nothing alone (clause J-10).

Killed at any point, it goes on from the log and its ledger: :meth:`Node.work` asks the session what
is to be done and each answer is safe to give twice.  A join whose rows were staged is lost then:
its run fails, with a receipt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Protocol

from stayput import documents
from stayput.beside import LineageOfRun, lineage_of
from stayput.crypto import signing
from stayput.crypto.cores import Progress
from stayput.crypto.noise import draw_noise
from stayput.encryption import Context, EncryptedPartial, encrypt, encrypt_shares
from stayput.engines.source import SourceSpec
from stayput.errors import (
    ConfigurationError,
    DocumentError,
    InvalidInput,
    NotFound,
    NotYet,
    PermissionDenied,
    RuleViolation,
    StagingError,
    StayputError,
    Unavailable,
    VerificationError,
)
from stayput.identity import Identity
from stayput.join_plans import JoinRunPlan
from stayput.joining import (
    Join,
    JoinFailed,
    Joins,
    Task,
    parse_shares,
    shares_to_bytes,
)
from stayput.link import CoordinatorLink
from stayput.partials import assemble, parse_partial
from stayput.plans import (
    RunPlan,
    counts_context,
    counts_noise,
    counts_vector,
    values_context,
    values_noise,
    values_vector,
)
from stayput.privacy import Budget, budget_for, run_cost
from stayput.quota import Quota, Use
from stayput.release import CellVerdict, RunOrder
from stayput.replica import Replica
from stayput.runs import (
    context_of,
    fetch_plan,
    fetch_verdict,
    runs_beside,
    told,
    verify_sum,
)
from stayput.scenario import NoiseMechanism, Scenario, TableContract
from stayput.session import Contribute, RunPhase, RunState
from stayput.staging import (
    DeletionFacts,
    JoinRequest,
    JoinStaging,
    SourceRefused,
    Staged,
    StagingFailed,
    StagingRequest,
    Swept,
    merge_facts,
)
from stayput.steps import (
    Contributed,
    FailureReason,
    NotCovered,
    Outcome,
    Round,
    RunFailed,
    StagingDestroyed,
    StagingMethod,
    SumFormed,
)
from stayput.store.journal import Journal
from stayput.store.ledger import Ledger, Note, Outgoing, Spend, contribution_name
from stayput.witness import Witness

_RECEIPT = "receipt"
_FAILURE = "failure"


class Stager(Protocol):
    """Runs a query over a holder's rows in a process of its own and destroys that.

    ``sweeps`` is what a killed node had left, found at the start.
    """

    @property
    def sweeps(self) -> Sequence[Swept]: ...

    def state(self, source: SourceSpec) -> str: ...

    def stage(self, request: StagingRequest) -> Staged: ...

    def open_join(self, request: JoinRequest) -> JoinStaging: ...


class Node:
    """One holder's node.

    Args:
        identity: the holder's keys.
        replica: its verified copy of the log.
        journal: where that is stored, and what this node has cosigned.
        ledger: its own book.
        link: the way to the coordinator.
        sources: the holder's declared sources by table name.
        stager: where rows are staged.
        clock: Unix seconds.
        random: ``random(n)`` gives n random bytes from the operating system.
        budgets: what runs may cost, of each data set, by the holder's settings.
        workers: processes that share the encryption of long vectors.
        quotas: how many runs are answered about each data set, by the holder's settings.
        background: threads in which joins go on while this node follows the log; None: at once.
    """

    def __init__(
        self,
        identity: Identity,
        replica: Replica,
        journal: Journal,
        ledger: Ledger,
        link: CoordinatorLink,
        sources: Callable[[], Mapping[str, SourceSpec]],
        stager: Stager,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        budgets: Callable[[], Sequence[Budget]] = tuple,
        workers: Executor | None = None,
        quotas: Callable[[], Sequence[Quota]] = tuple,
        background: Executor | None = None,
    ) -> None:
        self._identity = identity
        self._budgets = budgets
        self._quotas = quotas
        self.replica = replica
        self._ledger = ledger
        self._link = link
        self._witness = Witness(identity, replica, journal, link, clock)
        self._sums: dict[bytes, set[Round]] = {}  # formed again, by run
        self._sources = sources
        self._stager = stager
        self._swept = {swept.staging_id: swept.receipt for swept in stager.sweeps}
        # Runs whose receipt may not be in the log yet.
        self._owed = {*self._swept, *ledger.runs_with(_RECEIPT)}
        self._clock = clock
        self._random = random
        self._workers = workers
        self._joins = Joins(background)
        self._report: Callable[[str], None] = lambda message: None

    @property
    def report(self) -> Callable[[str], None]:
        """Is told what this node does, in words."""
        return self._report

    @report.setter
    def report(self, report: Callable[[str], None]) -> None:
        self._report = self._witness.report = report

    def work(self, *, wait_ms: int = 0) -> bool:
        """Catch up with the log and carry out what is this node's turn.

        Returns:
            Whether there was anything to do.

        Raises:
            Unavailable: the coordinator cannot be reached; call again.
            VerificationError: the log does not stand; do not call again.
        """
        moved = self._settle()  # what is over, perhaps since a kill, must not wait for news
        waiting = not moved and not any(self._may_begin(one) for one in self._instructions())
        moved = self.follow(wait_ms=wait_ms if waiting else 0) or moved
        moved = self._settle() or moved
        for instruction in self._instructions():
            moved = self._obey(instruction) or moved
        return moved

    def _instructions(self) -> tuple[Contribute | Task, ...]:
        instructions = self.replica.instructions(self._identity.name)
        return tuple(one for one in instructions if isinstance(one, Contribute | Task))

    def follow(self, *, wait_ms: int = 0) -> bool:
        """Catch up with the log, recompute what was added, and cosign: the witness's part of
        :meth:`work`, which also computes.

        Returns:
            Whether there was anything new, or to send. Raises as :meth:`work`.
        """
        news = self.replica.catch_up(self._link, wait_ms=wait_ms)
        news = self._verify_sums() or news
        until = next((index for index, _, _ in self._unverified_sums()), None)
        return self._witness.cosign(quiet=not news, until=until) or news

    def _settle(self) -> bool:
        """Erase what was kept for runs that are over, and give receipts that are owed."""
        for run in self._ledger.unfinished():
            state = self.replica.session.runs.get(run)
            if state is not None and state.over:
                self._ledger.close_run(run)
                self._sums.pop(run, None)
        for run in self._joins:
            state = self.replica.session.runs[run]
            if state.over:
                facts = self._with_sweep(run, self._joins.end(run))
                receipt = self._receipt(run, state.ordered.scenario, facts)
                self._ledger.store(run, {_RECEIPT: Outgoing(receipt)})
                self._owed.add(run)
        return self._give_late_receipts()

    def _obey(self, instruction: Contribute | Task) -> bool:
        """Carry out one instruction; a refusal of our own ends the run, with a code.

        So does any other error but one that concerns all runs: the next one is not kept waiting.
        """
        if not self._stands(instruction):
            return True  # the log moved on while we worked on another run
        try:
            if isinstance(instruction, Contribute):
                return self._contribute(instruction)
            return self._join(instruction)
        except _Refused as refused:
            self._refuse(instruction.run, refused)
        except JoinFailed as failed:
            self._refuse(instruction.run, _refused(failed))
        except NotYet:
            return False
        except (Unavailable, VerificationError):
            raise
        except StayputError as error:
            reason = FailureReason.HOLDER_REFUSED
            self._refuse(instruction.run, _Refused(reason, error.message, error.hint))
        return True

    def _stands(self, instruction: Contribute | Task) -> bool:
        return instruction in self.replica.instructions(self._identity.name)

    def _may_begin(self, instruction: Contribute | Task) -> bool:
        """Every participant has cosigned the order, or the verdict: we all look at one log.

        A refusal is given without waiting for anybody.
        """
        state = self.replica.session.runs[instruction.run]
        second = isinstance(instruction, Contribute) and instruction.round is Round.VALUES
        step = state.verdict if second else state.ordered
        assert step is not None  # the session opens round two only after the verdict
        return (
            not self.replica.awaited(step, state.ordered.participants)
            or self._ledger.outgoing(instruction.run, _FAILURE) is not None
        )

    def _contribute(self, instruction: Contribute) -> bool:
        run, round = instruction.run, instruction.round
        failure = self._ledger.outgoing(run, _FAILURE)
        if failure is not None:
            return self._send_failure(failure)
        if not self._may_begin(instruction):
            return False
        fixed = self._ledger.outgoing(run, contribution_name(round))
        if fixed is None:
            scenario, order, plan = self._verify_run(run)
            if isinstance(plan, JoinRunPlan):
                self._prepare_shares(run, round, plan)
            elif round is Round.VALUES:
                self._prepare_values(run, plan)
            elif plan.policy.min_difference and self._owes_earlier(run):
                return False
            else:
                self._prepare_counts(run, scenario, order, plan)
        self._verify_consent(self.replica.session.runs[run].ordered.scenario)
        return self._send(instruction)

    def _owes_earlier(self, run: bytes) -> bool:
        """Whether an open run before this one waits for our counts: it is computed first, so that
        this one can be compared with it."""
        return any(
            other.open_round is Round.COUNTS
            and self._identity.name in other.ordered.participants
            and self._ledger.outgoing(other.ordered.run, contribution_name(Round.COUNTS)) is None
            and self._ledger.outgoing(other.ordered.run, _FAILURE) is None
            for other in self.replica.session.runs_before(run)
        )

    # --- verifying (clauses N-1 to N-4) -----------------------------------------------------------

    def _verify_run(self, run: bytes) -> tuple[Scenario, RunOrder, RunPlan | JoinRunPlan]:
        self._verify_consent(self.replica.session.runs[run].ordered.scenario)
        try:
            scenario, order, plan = fetch_plan(self._link, self.replica, run)
        except (DocumentError, VerificationError, InvalidInput, RuleViolation, NotFound) as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None
        return scenario, order, plan

    def _verify_consent(self, scenario: bytes) -> None:
        """This holder approves of it, now: asked before computing, and again before sending."""
        if not self._ledger.is_approved(scenario):
            raise _Refused(
                FailureReason.HOLDER_REFUSED,
                "a run was ordered of a scenario that this holder has not approved here",
                "if nobody here approved it, this holder's key may be in foreign hands",
            )
        if self._clock() >= self.replica.session.scenarios[scenario].proposed.valid_until:
            raise _Refused(FailureReason.HOLDER_REFUSED, "the scenario has expired", "")

    # --- round one --------------------------------------------------------------------------------

    def _prepare_counts(
        self, run: bytes, scenario: Scenario, order: RunOrder, plan: RunPlan
    ) -> None:
        self._charge(run, scenario, plan.contract, self._price(scenario, plan.contract))
        self.report(f"run {run.hex()[:8]}: staging {plan.contract.name}")
        source = self._source(plan.contract)
        lineage = self._lineage_of(run, plan, source)
        staged = self._stage(run, plan, source, lineage)
        facts = self._destroyed(run, staged.receipt)
        receipt = self._receipt(run, scenario.digest, facts)
        if lineage is not None and self._stager.state(source) != lineage.state:
            raise _Refused(
                FailureReason.STAGING_FAILED,
                f"the source of {plan.contract.name} changed while it was read",
                "give a file that nobody writes to",
                receipt=facts,
            )
        try:
            partial = assemble(plan.bound.plan, staged.rows)
            beside = None if lineage is None else lineage.beside(partial, staged.shared)
        except InvalidInput as error:
            raise _Refused(
                FailureReason.DATA_DO_NOT_FIT, error.message, error.hint, receipt=facts
            ) from None
        context = counts_context(plan)
        vector = self._noised(plan, counts_vector(plan, partial, beside), counts_noise(plan))
        contribution = self._encrypt(context, vector)
        kept = (
            None
            if lineage is None
            else lineage.kept(
                partial.counts, staged.snapshot, documents.encode(scenario), documents.encode(order)
            )
        )
        self._ledger.store(
            run,
            {_RECEIPT: Outgoing(receipt), contribution_name(Round.COUNTS): contribution},
            partial=partial.to_bytes() if plan.rounds == 2 else None,
            kept=kept,
        )
        self._owed.add(run)

    def _charge(
        self, run: bytes, scenario: Scenario, contract: TableContract, price: Spend | None = None
    ) -> None:
        """Charge the run to the scenario's limit (N-4), to quotas (N-9) and to a budget (D-4),
        before anything is computed."""
        user = self.replica.session.runs[run].ordered.user
        use = Use(user, (contract.name,), self._clock())
        try:
            self._ledger.charge(scenario.digest, run, price, use, self._quotas())
        except ConfigurationError as error:  # the holder's settings, edited since the start
            raise _Refused(FailureReason.STAGING_FAILED, error.message, error.hint) from None
        except RuleViolation as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None

    def _destroyed(self, run: bytes, receipt: DeletionFacts) -> DeletionFacts:
        """The facts of a staging, if they say that rows are gone; else the run ends here."""
        facts = self._with_sweep(run, receipt)
        if facts.outcome is not Outcome.DESTROYED:
            raise _Refused(
                FailureReason.DELETION_FAILED,
                "staged rows could not be shown to be destroyed",
                "look for what is left in the staging folder, then order a new run",
                receipt=facts,
            )
        return facts

    def _price(self, scenario: Scenario, contract: TableContract) -> Spend | None:
        """What the run costs of which budget (clauses D-4, D-6)."""
        try:
            budget = budget_for(scenario.output.privacy, contract.name, self._budgets())
        except ConfigurationError as error:  # the holder's settings, edited since the start
            raise _Refused(FailureReason.STAGING_FAILED, error.message, error.hint) from None
        if budget is None or scenario.output.privacy is None:
            return None
        return Spend(budget.name, run_cost(scenario.output.privacy), budget.total)

    def _noised(self, plan: RunPlan, vector: list[int], scales: Sequence[float]) -> list[int]:
        """The vector with this holder's full noise in every number (clause D-1).

        Called when the run is charged, and stored with what it gave before anything is sent: a kill
        in between throws the noise away with the sums that nobody has seen (clause D-5).
        """
        noise = plan.bound.plan.noise
        if noise is None:
            return vector
        drawn = draw_noise(scales, gaussian=noise.mechanism is NoiseMechanism.GAUSSIAN)
        return [number + extra for number, extra in zip(vector, drawn, strict=True)]

    def _lineage_of(self, run: bytes, plan: RunPlan, source: SourceSpec) -> LineageOfRun | None:
        """What is to be found out beside earlier answers (clause N-8)."""
        if not plan.policy.min_difference:
            return None
        try:
            return lineage_of(
                plan,
                runs_beside(self.replica.session, run)[1],
                self._ledger.lineages,
                self._stager.state(source),
            )
        except ConfigurationError as error:  # the source is not there
            raise _Refused(FailureReason.STAGING_FAILED, error.message, error.hint) from None
        except (NotFound, VerificationError, DocumentError, InvalidInput) as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None

    def _source(self, contract: TableContract) -> SourceSpec:
        try:
            source = self._sources().get(contract.name)
        except ConfigurationError as error:  # the holder's settings, edited since the start
            raise _Refused(FailureReason.STAGING_FAILED, error.message, error.hint) from None
        if source is None:
            raise _Refused(
                FailureReason.STAGING_FAILED,
                f"this holder has declared no source for the table {contract.name!r}",
                f"stayput source add {contract.name} FILE",
            )
        return source

    def _stage(
        self, run: bytes, plan: RunPlan, source: SourceSpec, lineage: LineageOfRun | None
    ) -> Staged:
        try:
            return self._stager.stage(
                StagingRequest(
                    source=source,
                    contract=plan.contract if lineage is None else lineage.contract,
                    columns=plan.bound.plan.columns if lineage is None else lineage.columns,
                    sql=plan.bound.node_sql(),
                    staging_id=run,
                    lineage=None if lineage is None else lineage.task,
                    snapshots=() if lineage is None else lineage.snapshots,
                )
            )
        except SourceRefused as error:
            reason, facts = FailureReason.DATA_DO_NOT_FIT, error.receipt
            raise _Refused(reason, error.message, error.hint, receipt=facts) from None
        except StagingFailed as error:
            reason, facts = FailureReason.STAGING_FAILED, error.receipt
            raise _Refused(reason, error.message, error.hint, receipt=facts) from None
        except (StagingError, ConfigurationError) as error:
            raise _Refused(FailureReason.STAGING_FAILED, error.message, error.hint) from None

    def _receipt(self, run: bytes, scenario: bytes, facts: DeletionFacts) -> bytes:
        joined = bool(self.replica.session.runs[run].ordered.pairs)
        step = StagingDestroyed(
            run=run,
            scenario=scenario,
            holder=self._identity.name,
            staging=self._random(16),
            method=StagingMethod.PROCESS_MEMORY,
            outcome=facts.outcome,
            passed=facts.passed,
            failed=facts.failed,
            # Of a join no hashes of rows are kept: its answers are not compared with others.
            not_covered=tuple(
                one for one in NotCovered if not (joined and one is NotCovered.ROW_HASHES)
            ),
            started=facts.started,
            ended=facts.ended,
        )
        return signing.sign(step, self._identity.signing_key)

    def _with_sweep(self, run: bytes, facts: DeletionFacts) -> DeletionFacts:
        """The facts of a staging, and of an earlier one of the same run that a kill had ended."""
        swept = self._swept.get(run)
        return facts if swept is None else merge_facts(swept, facts)

    def _give_late_receipts(self) -> bool:
        """Give the receipts of runs that are over: of a staging that a kill ended, and of one whose
        receipt was fixed but not sent before the run failed."""
        moved = False
        for run in tuple(self._owed):
            state = self.replica.session.runs.get(run)
            given = state is not None and self._identity.name in state.receipts
            if state is None or not (state.over or given):
                continue
            if not given:
                fixed = self._ledger.outgoing(run, _RECEIPT)
                self._submit_late(
                    fixed.step
                    if fixed is not None
                    else self._receipt(run, state.ordered.scenario, self._swept[run])
                )
                moved = True
            self._owed.discard(run)
            self._swept.pop(run, None)
        return moved

    def _submit_late(self, receipt: bytes) -> None:
        # Signed again: the same bytes, unless the keys were rotated since the run was over.
        payload = signing.parse_envelope(receipt).payload
        step = documents.parse(StagingDestroyed, payload)
        try:
            self._link.submit_receipt(signing.sign(step, self._identity.signing_key))
        except RuleViolation:
            self.replica.catch_up(self._link)  # it was given before the kill

    # --- round two --------------------------------------------------------------------------------

    def _verdict(self, run: bytes) -> CellVerdict:
        try:
            return fetch_verdict(self._link, self.replica.session.runs[run])
        except (VerificationError, NotFound) as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None

    def _prepare_values(self, run: bytes, plan: RunPlan) -> None:
        verdict = self._verdict(run)
        try:
            partial = parse_partial(self._ledger.partial(run), plan.bound.plan)
            context = values_context(plan, verdict)
            vector = values_vector(plan, partial, verdict.matrix())
            scales = values_noise(plan, verdict.matrix())
        except (NotFound, VerificationError):
            raise _state_lost() from None
        except InvalidInput as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None
        contribution = self._encrypt(context, self._noised(plan, vector, scales))
        self._ledger.store(run, {contribution_name(Round.VALUES): contribution})

    # --- joins ------------------------------------------------------------------------------------

    def _join(self, task: Task) -> bool:
        """Go on with a join: blinding, encrypting, combining.

        Returns:
            Whether anything was begun or done.
        """
        failure = self._ledger.outgoing(task.run, _FAILURE)
        if failure is not None:
            return self._send_failure(failure)
        if not self._may_begin(task):
            return False
        state = self.replica.session.runs[task.run]
        self._verify_consent(state.ordered.scenario)
        if task.run not in self._joins:
            self._begin_join(task.run, state)
        moved = self._joins.advance(task, state)
        if moved:
            self.replica.catch_up(self._link)
        return moved

    def _begin_join(self, run: bytes, state: RunState) -> None:
        """Charge the run and start the staging process that lives until its rows are combined."""
        me = self._identity.name
        if any(step.holder == me for steps in state.blinded.values() for step in steps):
            raise _state_lost()
        scenario, _, plan = self._verify_run(run)
        if not isinstance(plan, JoinRunPlan):
            raise _Refused(FailureReason.HOLDER_REFUSED, "the run is ordered as a join", "")
        staged = next(one for one in plan.question.staged if one.holder == me)
        contract = scenario.table(staged.table)
        self._charge(run, scenario, contract)
        self.report(f"run {run.hex()[:8]}: staging {contract.name} for a join")
        request = JoinRequest(
            source=self._source(contract),
            contract=contract,
            columns=staged.columns,
            sql=staged.sql,
            staging_id=run,
            run=run,
            scenario=scenario.digest,
            me=me,
            plan=plan.join,
        )
        try:
            staging = self._stager.open_join(request)
        except StagingFailed as error:  # a process was started, and ended
            reason, facts = FailureReason.STAGING_FAILED, error.receipt
            raise _Refused(reason, error.message, error.hint, receipt=facts) from None
        except (StagingError, ConfigurationError) as error:
            raise _Refused(FailureReason.STAGING_FAILED, error.message, error.hint) from None
        sign = functools.partial(signing.sign, key=self._identity.signing_key)
        told = self._told_of(run)
        join = Join(me, run, plan.join, staging, self._link, sign, self._clock, told)
        self._joins.begin(run, join)

    def _told_of(self, run: bytes) -> Callable[[str, int, int], None]:
        """Tells our own people how far a join is."""
        known: dict[str, Progress] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = told(self._report, self._clock, f"run {run.hex()[:8]}: {what}")
            known[what](done, total)

        return tell

    def _prepare_shares(self, run: bytes, round: Round, plan: JoinRunPlan) -> None:
        """This holder's part of a round over a join: residues, which say nothing alone (J-10).

        They are taken when every pair's sums are masked; then the rows are destroyed, before
        anything is contributed.
        """
        if round is Round.VALUES:
            self._prepare_shares_of_values(run, plan)
            return
        if run not in self._joins:
            raise _state_lost()
        state = self.replica.session.runs[run]
        shares, receipt = self._joins.shares(run, state.returned)
        facts = self._destroyed(run, receipt)
        try:
            vector = plan.counts_vector(shares)
        except InvalidInput as error:
            reason = FailureReason.HOLDER_REFUSED
            raise _Refused(reason, error.message, error.hint, receipt=facts) from None
        outgoing = {
            _RECEIPT: Outgoing(self._receipt(run, state.ordered.scenario, facts)),
            contribution_name(Round.COUNTS): self._encrypt(
                counts_context(plan), vector, shares=True
            ),
        }
        kept = shares_to_bytes(shares) if plan.rounds == 2 else None
        self._ledger.store(run, outgoing, partial=kept)
        self._owed.add(run)

    def _prepare_shares_of_values(self, run: bytes, plan: JoinRunPlan) -> None:
        verdict = self._verdict(run)
        try:
            kept = self._ledger.partial(run)
            shares = parse_shares(kept, len(plan.join.cells), len(plan.question.moments))
            vector = plan.values_vector(shares, verdict.matrix())
            context = values_context(plan, verdict)
        except (NotFound, VerificationError):
            raise _state_lost() from None
        except InvalidInput as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None
        contribution = self._encrypt(context, vector, shares=True)
        self._ledger.store(run, {contribution_name(Round.VALUES): contribution})

    # --- sums (clause N-7) ------------------------------------------------------------------------

    def _verify_sums(self) -> bool:
        """Form again the sums of our runs that came since; a wrong one ends its run.

        Returns:
            Whether there was one.
        """
        moved = False
        for _, step, state in tuple(self._unverified_sums()):
            run, round = step.run, step.round
            if state.over:
                continue  # its parts are erased
            failure = self._ledger.outgoing(run, _FAILURE)
            if failure is not None:  # found wrong before a kill
                moved = self._send_failure(failure) or moved
                continue
            try:
                self._verify_sum(run, round)
                self._sums.setdefault(run, set()).add(round)
            except (NotYet, NotFound):
                continue  # the run is over, as the next page of the log will say
            except _Refused as refused:
                self._refuse(run, refused)
            moved = True
        return moved

    def _verify_sum(self, run: bytes, round: Round) -> None:
        """1. There are as many parts as the scenario asks for.  2. One of them is ours.  3. They
        add up to the sum that the log names."""
        state = self.replica.session.runs[run]
        try:
            scenario, _, plan = fetch_plan(self._link, self.replica, run)
            if len(state.contributions[round]) < scenario.output.min_holders:
                raise VerificationError("fewer parts were added than the scenario asks for")
            self._verify_own_part(state, round)
            context = context_of(self._link, state, plan, round)
            verify_sum(self._link, self.replica, run, round, context)
        except (VerificationError, InvalidInput, RuleViolation, PermissionDenied) as error:
            raise _Refused(
                FailureReason.SUM_MISMATCH,
                f"the encrypted sum is not that of the parts: {error.message}",
                "the coordinator adds the parts: ask its operator; nothing of this sum was opened",
            ) from None

    def _verify_own_part(self, state: RunState, round: Round) -> None:
        fixed = self._ledger.outgoing(state.ordered.run, contribution_name(round))
        logged = state.contributions[round].get(self._identity.name)
        ours = (
            None
            if fixed is None
            else signing.peek(signing.parse_envelope(fixed.step), [Contributed])
        )
        if logged is None or logged != ours:
            raise VerificationError("the part in this holder's name is not the one that it sent")

    def _unverified_sums(self) -> Iterator[tuple[int, SumFormed, RunState]]:
        """Sums of our runs that were not formed again here, with their indices, oldest first.

        What our auditor key has cosigned was verified then.  A run that was released counts like
        one that is open: nobody honest releases what we have not agreed to.  One that failed has
        opened nothing.
        """
        for index, step in self.replica.milestones_from(self._witness.audited):
            if not isinstance(step, SumFormed):
                continue
            state = self.replica.session.runs[step.run]
            ours = self._identity.name in state.ordered.participants
            known = step.round in self._sums.get(step.run, ())
            if ours and not known and state.phase is not RunPhase.FAILED:
                yield index, step, state

    # --- sending (clause N-5) ---------------------------------------------------------------------

    def _encrypt(
        self, context: Context, vector: Sequence[int], *, shares: bool = False
    ) -> Outgoing:
        members = self.replica.members
        checker = members.checker_key_of(context.checker_key)
        part: EncryptedPartial = (encrypt_shares if shares else encrypt)(
            vector,
            context,
            me=self._identity.name,
            key=self._identity.agreement_key,
            agreement_keys={name: members[name].agreement_key for name in context.participants},
            checker=checker,
            workers=self._workers,
            progress=told(self._report, self._clock, f"run {context.run.hex()[:8]}: encrypted"),
        )
        step = Contributed(
            run=context.run,
            scenario=context.scenario,
            holder=self._identity.name,
            round=context.round,
            ciphertexts=part.digest,
            context=documents.digest(context),
            time=self._clock(),
        )
        encoded = documents.encode(context)
        payload = len(encoded).to_bytes(4, "big") + encoded + part.ciphertexts
        return Outgoing(signing.sign(step, self._identity.signing_key), payload)

    def _send(self, instruction: Contribute) -> bool:
        run, round = instruction.run, instruction.round
        receipt = self._ledger.outgoing(run, _RECEIPT)
        fixed = self._ledger.outgoing(run, contribution_name(round))
        assert receipt is not None
        assert fixed is not None
        if self._identity.name not in self.replica.session.runs[run].receipts:
            self._link.submit_receipt(receipt.step)
        length = int.from_bytes(fixed.payload[:4], "big")
        context, ciphertexts = fixed.payload[4 : 4 + length], fixed.payload[4 + length :]
        self.report(
            f"run {run.hex()[:8]}: sending {round.name.lower()}, {len(ciphertexts)} bytes encrypted"
        )
        try:
            self._link.submit_contribution(fixed.step, context, ciphertexts)
        except (RuleViolation, NotFound, VerificationError, InvalidInput) as error:
            self.replica.catch_up(self._link)
            if self._stands(instruction):
                raise _Refused(
                    FailureReason.HOLDER_REFUSED,
                    f"the coordinator does not take this holder's part: {error.message}",
                    "its own log says why: ask its operator",
                ) from None
            # Else the run moved on while we worked (failed, revoked).
        return True

    def _refuse(self, run: bytes, refused: _Refused) -> None:
        """Tell our own people why, everybody else only a code, and erase what was kept."""
        self._ledger.add_note(Note(run, self._clock(), refused.message, refused.hint))
        self.report(f"run {run.hex()[:8]}: refused: {refused.message}")
        step = RunFailed(run, self._identity.name, refused.reason, self._clock())
        outgoing = {_FAILURE: Outgoing(signing.sign(step, self._identity.signing_key))}
        if refused.receipt is not None:
            scenario = self.replica.session.runs[run].ordered.scenario
            facts = self._with_sweep(run, refused.receipt)
            outgoing[_RECEIPT] = Outgoing(self._receipt(run, scenario, facts))
        self._ledger.store(run, outgoing)
        if refused.receipt is not None:
            self._owed.add(run)
        fixed = self._ledger.outgoing(run, _FAILURE)
        assert fixed is not None
        self._send_failure(fixed)

    def _send_failure(self, failure: Outgoing) -> bool:
        self.replica.catch_up(self._link)
        envelope = signing.parse_envelope(failure.step)
        step = documents.parse(RunFailed, envelope.payload)
        receipt = self._ledger.outgoing(step.run, _RECEIPT)
        if receipt and self._identity.name not in self.replica.session.runs[step.run].receipts:
            self._submit_late(receipt.step)
            self.replica.catch_up(self._link)
        if self.replica.session.runs[step.run].phase is RunPhase.FAILED:
            self._ledger.close_run(step.run)
            return False
        try:
            self._link.fail_run(failure.step)
        except RuleViolation:
            return self.replica.catch_up(self._link)
        return True


class _Refused(StayputError):
    """This node will not go on with a run: a code for everybody, words for its own people."""

    def __init__(
        self,
        reason: FailureReason,
        message: str,
        hint: str,
        *,
        receipt: DeletionFacts | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.receipt = receipt


def _refused(failed: JoinFailed) -> _Refused:
    return _Refused(failed.reason, failed.message, failed.hint, receipt=failed.receipt)


def _state_lost() -> _Refused:
    return _Refused(
        FailureReason.STATE_LOST,
        "this node lost what it had computed for the run when it was stopped",
        "order a new run",
    )
