"""The node: computes its holder's part, and nothing that was not reviewed.

The node trusts nobody's word.  It replays the log itself (:mod:`stayput.replica`), compiles the SQL
itself from the sealed text, and refuses by itself, whatever the coordinator says; before it
computes it verifies, in this order (clauses N-1 … N-6):

1. the sealing and the order stand in a log that it verified (N-1);
2. this holder's own ledger says approved, not revoked (N-2);
3. scenario and order are the documents that the log commits to; statement and arguments are inside
   what was sealed; the checker's key is the enrolled one (N-3);
4. neither the scenario's expiry, by this node's own clock, nor its runs are used up; the charge is
   on disk before anything is computed (N-4).

Then rows are staged in a process of their own and destroyed; only sums exist.  A contribution is
on disk before it is sent; a retry sends the same bytes (N-5).  For round two it sends values of
those cells only that the checker's verdict, committed to in the log, lets through (N-6).

Killed at any point, it goes on from the log and its ledger: :meth:`Node.work` asks the session what
is to be done and each answer is safe to give twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from stayput import documents
from stayput.crypto import signing
from stayput.encryption import Context, EncryptedPartial, encrypt
from stayput.engines.source import SourceSpec
from stayput.errors import (
    ConfigurationError,
    DocumentError,
    InvalidInput,
    NotFound,
    RuleViolation,
    StagingError,
    StayputError,
    Unavailable,
    VerificationError,
)
from stayput.identity import Identity
from stayput.link import CoordinatorLink
from stayput.partials import assemble, parse_partial
from stayput.plans import (
    RunPlan,
    counts_context,
    counts_vector,
    plan_run,
    values_context,
    values_vector,
)
from stayput.release import CellVerdict, RunOrder
from stayput.replica import Replica
from stayput.scenario import Scenario
from stayput.session import Contribute, RunPhase, verify_proposal
from stayput.staging import (
    DeletionFacts,
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
)
from stayput.store.ledger import Ledger, Note, Outgoing, contribution_name

_RECEIPT = "receipt"
_FAILURE = "failure"


class Stager(Protocol):
    """Runs a query over a holder's rows in a process of its own and destroys that.

    ``sweeps`` is what a killed node had left, found at the start.
    """

    @property
    def sweeps(self) -> Sequence[Swept]: ...

    def stage(self, request: StagingRequest) -> Staged: ...


class Node:
    """One holder's node.

    Args:
        identity: the holder's keys.
        replica: its verified copy of the log.
        ledger: its own book.
        link: the way to the coordinator.
        sources: the holder's declared sources by table name.
        stager: where rows are staged.
        clock: Unix seconds.
        random: ``random(n)`` gives n random bytes from the operating system.
    """

    def __init__(
        self,
        identity: Identity,
        replica: Replica,
        ledger: Ledger,
        link: CoordinatorLink,
        sources: Callable[[], Mapping[str, SourceSpec]],
        stager: Stager,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._identity = identity
        self.replica = replica
        self._ledger = ledger
        self._link = link
        self._sources = sources
        self._stager = stager
        self._swept = {swept.staging_id: swept.receipt for swept in stager.sweeps}
        # Runs whose receipt may not be in the log yet.
        self._owed = {*self._swept, *ledger.runs_with(_RECEIPT)}
        self._clock = clock
        self._random = random
        self.report: Callable[[str], None] = lambda message: None

    def work(self, *, wait_ms: int = 0) -> bool:
        """Catch up with the log and carry out what is this node's turn.

        Returns:
            Whether there was anything to do.

        Raises:
            Unavailable: the coordinator cannot be reached; call again.
            VerificationError: the log does not stand; do not call again.
        """
        moved = self._settle()  # what is over, perhaps since a kill, must not wait for news
        waiting = not moved and not self.replica.instructions(self._identity.name)
        moved = self.replica.catch_up(self._link, wait_ms=wait_ms if waiting else 0) > 0 or moved
        moved = self._settle() or moved
        for instruction in self.replica.instructions(self._identity.name):
            assert isinstance(instruction, Contribute)
            moved = self._obey(instruction) or moved
        return moved

    def _settle(self) -> bool:
        """Erase what was kept for runs that are over, and give receipts that are owed."""
        for run in self._ledger.unfinished():
            state = self.replica.session.runs.get(run)
            if state is not None and state.over:
                self._ledger.close_run(run)
        return self._give_late_receipts()

    def _obey(self, instruction: Contribute) -> bool:
        """Carry out one instruction; a refusal of our own ends the run, with a code.

        So does any other error but one that concerns all runs: the next one is not kept waiting.
        """
        if not self._stands(instruction):
            return True  # the log moved on while we worked on another run
        try:
            return self._contribute(instruction)
        except _Refused as refused:
            self._refuse(instruction.run, refused)
        except (Unavailable, VerificationError):
            raise
        except StayputError as error:
            reason = FailureReason.HOLDER_REFUSED
            self._refuse(instruction.run, _Refused(reason, error.message, error.hint))
        return True

    def _stands(self, instruction: Contribute) -> bool:
        return instruction in self.replica.instructions(self._identity.name)

    def _contribute(self, instruction: Contribute) -> bool:
        run, round = instruction.run, instruction.round
        failure = self._ledger.outgoing(run, _FAILURE)
        if failure is not None:
            return self._send_failure(failure)
        fixed = self._ledger.outgoing(run, contribution_name(round))
        if fixed is None:
            scenario, plan = self._verify_run(run)
            if round is Round.COUNTS:
                self._prepare_counts(run, scenario, plan)
            else:
                self._prepare_values(run, plan)
        self._verify_consent(self.replica.session.runs[run].ordered.scenario)
        return self._send(instruction)

    # --- verifying (clauses N-1 to N-4) -----------------------------------------------------------

    def _verify_run(self, run: bytes) -> tuple[Scenario, RunPlan]:
        session = self.replica.session
        ordered = session.runs[run].ordered  # N-1: the instruction came from the verified log
        proposed = session.scenarios[ordered.scenario].proposed
        self._verify_consent(ordered.scenario)
        try:
            scenario = documents.parse(Scenario, self._link.get_scenario(ordered.scenario))
            verify_proposal(proposed, scenario)
            order = documents.parse(RunOrder, self._link.get_run_order(run))
            if documents.digest(order) != ordered.order or order.run != run:
                raise VerificationError("the order is not the one in the log")
            plan = plan_run(scenario, order, ordered, self.replica.members)
        except (DocumentError, VerificationError, InvalidInput, RuleViolation, NotFound) as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None
        return scenario, plan

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

    def _prepare_counts(self, run: bytes, scenario: Scenario, plan: RunPlan) -> None:
        try:
            self._ledger.charge(scenario.digest, run)
        except RuleViolation as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None
        self.report(f"run {run.hex()[:8]}: staging {plan.contract.name}")
        staged = self._stage(run, plan)
        facts = self._with_sweep(run, staged.receipt)
        if facts.outcome is not Outcome.DESTROYED:
            raise _Refused(
                FailureReason.DELETION_FAILED,
                "staged rows could not be shown to be destroyed",
                "look for what is left in the staging folder, then order a new run",
                receipt=facts,
            )
        receipt = self._receipt(run, scenario.digest, facts)
        try:
            partial = assemble(plan.bound.plan, staged.rows)
        except InvalidInput as error:
            raise _Refused(
                FailureReason.DATA_DO_NOT_FIT, error.message, error.hint, receipt=facts
            ) from None
        context = counts_context(plan)
        contribution = self._encrypt(context, counts_vector(plan, partial))
        self._ledger.store(
            run,
            {_RECEIPT: Outgoing(receipt), contribution_name(Round.COUNTS): contribution},
            partial=partial.to_bytes() if plan.rounds == 2 else None,
        )
        self._owed.add(run)

    def _stage(self, run: bytes, plan: RunPlan) -> Staged:
        try:
            source = self._sources().get(plan.contract.name)
        except ConfigurationError as error:  # the holder's settings, edited since the start
            raise _Refused(FailureReason.STAGING_FAILED, error.message, error.hint) from None
        if source is None:
            raise _Refused(
                FailureReason.STAGING_FAILED,
                f"this holder has declared no source for the table {plan.contract.name!r}",
                f"stayput source add {plan.contract.name} FILE",
            )
        try:
            return self._stager.stage(
                StagingRequest(
                    source=source,
                    contract=plan.contract,
                    columns=plan.bound.plan.columns,
                    sql=plan.bound.node_sql(),
                    staging_id=run,
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
        step = StagingDestroyed(
            run=run,
            scenario=scenario,
            holder=self._identity.name,
            staging=self._random(16),
            method=StagingMethod.PROCESS_MEMORY,
            outcome=facts.outcome,
            passed=facts.passed,
            failed=facts.failed,
            not_covered=tuple(NotCovered),
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

    def _prepare_values(self, run: bytes, plan: RunPlan) -> None:
        checked = self.replica.session.runs[run].verdict
        assert checked is not None  # the session opens round two only after the verdict
        try:
            verdict = documents.parse(CellVerdict, self._link.get_verdict(run))
        except (DocumentError, NotFound) as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None
        if documents.digest(verdict) != checked.verdict or verdict.run != run:
            raise _Refused(
                FailureReason.HOLDER_REFUSED, "the verdict is not the one in the log", ""
            )
        try:
            partial = parse_partial(self._ledger.partial(run), plan.bound.plan)
            context = values_context(plan, verdict)
            vector = values_vector(plan, partial, verdict.matrix())
        except (NotFound, VerificationError):
            raise _Refused(
                FailureReason.STATE_LOST,
                "this node lost its partial sums between the two rounds",
                "order a new run",
            ) from None
        except InvalidInput as error:
            raise _Refused(FailureReason.HOLDER_REFUSED, error.message, error.hint) from None
        contribution = self._encrypt(context, vector)
        self._ledger.store(run, {contribution_name(Round.VALUES): contribution})

    # --- sending (clause N-5) ---------------------------------------------------------------------

    def _encrypt(self, context: Context, vector: Sequence[int]) -> Outgoing:
        members = self.replica.members
        checker = members.checker_key_of(context.checker_key)
        part: EncryptedPartial = encrypt(
            vector,
            context,
            me=self._identity.name,
            key=self._identity.agreement_key,
            agreement_keys={name: members[name].agreement_key for name in context.participants},
            checker=checker,
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
            return self.replica.catch_up(self._link) > 0
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
