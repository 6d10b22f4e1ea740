"""The coordinator: orders the steps, adds ciphertexts it cannot read, holds nothing worth stealing.

It admits each signed step through :mod:`stayput.session`, appends it to the log together with the
documents it commits to (one transaction), signs the new checkpoint, and carries out its own two
instructions: seal what everybody approved, add what everybody contributed.  Every call is
idempotent: a step whose exact bytes are in the log already gets the same index again.

It is trusted with availability and with the order of steps, nothing more: it has no key that opens
a sum, it cannot forge another party's step, and parties verify its log by replaying it.

Who may call what: reading the log, any member; a step, only its signer; a document, only the
parties of its scenario (each method names them).  Everybody else gets the same refusal as for
something that does not exist.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from typing import TypeVar

from stayput import documents
from stayput.cosigning import CosignedNotes
from stayput.crypto import signing
from stayput.crypto.signing import SigningKey
from stayput.encryption import Addition, Context, digest_ciphertexts
from stayput.errors import (
    DocumentError,
    InvalidInput,
    NotFound,
    NotYet,
    PermissionDenied,
    RuleViolation,
    VerificationError,
)
from stayput.link import LogPage
from stayput.membership import Members
from stayput.plans import counts_context, plan_run, values_context
from stayput.release import CellVerdict, RunOrder, sealed_digest
from stayput.scenario import Scenario
from stayput.session import (
    Add,
    Instruction,
    RunState,
    Seal,
    Session,
    signer_of,
    verify_proposal,
)
from stayput.steps import (
    STEP_CLASSES,
    Contributed,
    CountsChecked,
    FailureReason,
    FreezeReason,
    KeysRotated,
    LogFrozen,
    Member,
    ResultReleased,
    Round,
    RunFailed,
    RunOrdered,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioRevoked,
    ScenarioSealed,
    StagingDestroyed,
    Step,
    SumFormed,
)
from stayput.store.journal import Documents, Journal
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint

S = TypeVar("S", bound=Step)

MAX_PAGE = 1000
"""Entries in one page of the log."""

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""Bytes in one page of the log, so that a page always fits a message."""


class Coordinator:
    """The coordinator's core; :mod:`stayput.rpc.server` puts it on the wire.

    Args:
        members: the pinned member list.
        key: the coordinator's signing key; it also signs checkpoints.
        journal: the log and the documents beside it.
        clock: Unix seconds.
        run_timeout: seconds without progress after which a run is failed.

    Raises:
        VerificationError: the stored log is not the one the stored checkpoint was signed for.
    """

    def __init__(
        self,
        members: Members,
        key: SigningKey,
        journal: Journal,
        clock: Callable[[], int],
        *,
        run_timeout: int = 600,
    ) -> None:
        self._pinned = members
        self._key = key
        self._journal = journal
        self._clock = clock
        self._run_timeout = run_timeout
        self._lock = threading.RLock()
        self._session = Session()
        self._tree = merkle.CompactRange()
        self._positions: dict[bytes, int] = {}
        self._cosigned = CosignedNotes(members.log_origin, key)
        self._additions: dict[tuple[bytes, Round], _RunningSum] = {}
        self._progress: dict[bytes, int] = {}
        self.on_append: Callable[[], None] = lambda: None
        self._load()

    # --- the log ----------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Entries in the log."""
        return self._session.size

    @property
    def members(self) -> Members:
        """The members as of now: keys rotate."""
        return self._session.members or self._pinned

    def read_log(self, caller: Member, start: int, wait_ms: int = 0) -> LogPage:
        """Any member. ``wait_ms`` is the server's business; this answers at once."""
        del caller, wait_ms
        with self._lock:
            if start > self._session.size:
                raise NotFound(f"the log has {self._session.size} entries")
            entries = self._journal.read(start, MAX_PAGE)
            checkpoint = self._journal.checkpoint()
            cosigned = self._cosigned.page(start)
        total = 0
        for position, entry in enumerate(entries):
            total += len(entry)
            if (
                total > MAX_PAGE_BYTES and position
            ):  # a page that does not advance looks like a fork
                entries = entries[:position]
                break
        return LogPage(start, entries, checkpoint, cosigned)

    def submit_cosignatures(self, caller: Member, notes: tuple[bytes, ...]) -> None:
        """A holder or auditor, of checkpoints of this log that it has verified."""
        with self._lock:
            merged = self._cosigned.merge(notes, self._session.members_at, caller.name)
            if not merged:
                return
            self._journal.replace(
                {("cosigned", size.to_bytes(8, "big")): note for size, note in merged.items()}
            )
            self._cosigned.believe(merged, self._session.members_at)
        self.on_append()

    def rotate_keys(self, caller: Member, step: bytes) -> int:
        """Any member but the coordinator, signed with the keys that it replaces."""
        return self._submit(caller, step, KeysRotated)

    def freeze(self, reason: FreezeReason) -> int:
        """End the log, for good (K-5). Asked for by this coordinator's own people only.

        Raises:
            RuleViolation: it is frozen already.
        """
        with self._lock:
            entry = signing.sign(LogFrozen(reason, self._clock()), self._key)
            runs = self._session.open_runs()
            index = self._append(entry)
            for run in runs:
                self._note_progress(run)
            return index

    def read_tile(self, caller: Member, path: str) -> bytes:
        """Any member."""
        del caller
        raise NotFound(f"the log publishes no {path[:80]}")

    def _load(self) -> None:
        checkpoint = self._journal.checkpoint()
        if not checkpoint:
            self._append(self._pinned.envelope)
            return
        for entry in self._journal.entries():
            self._take(entry)
        members = self.members
        signed = verify_checkpoint(checkpoint, members.log_origin, members.log_verifier)
        if signed.size != self._tree.size or signed.root != self._tree.root():
            raise VerificationError(
                "the stored log is not the one this coordinator signed",
                hint="restore the whole folder from one backup; never mix files of two moments",
            )
        stored = {
            int.from_bytes(key, "big"): self._journal.get("cosigned", key)
            for key in self._journal.keys("cosigned")
        }
        self._cosigned.believe(stored, self._session.members_at)
        now = self._clock()
        for run in self._session.open_runs():
            self._progress[run] = now
        self._carry_out()

    def _take(self, entry: bytes) -> None:
        self._session.replay(entry)
        self._positions[hashlib.sha256(entry).digest()] = self._tree.size
        self._tree.append(merkle.leaf_hash(entry))
        self._cosigned.append(merkle.leaf_hash(entry))

    def _append(self, entry: bytes, stored: Documents | None = None) -> int:
        """Admit, sign the new checkpoint, store it all durably, then believe it."""
        admitted = self._session.admit(entry)
        tree = self._tree.copy()
        tree.append(merkle.leaf_hash(entry))
        members = self.members
        checkpoint = sign_checkpoint(
            Checkpoint(members.log_origin, tree.size, tree.root()), self._key
        )
        self._journal.append(admitted.index, (entry,), checkpoint, stored)
        self._session.apply(admitted)
        self._tree = tree
        self._cosigned.append(merkle.leaf_hash(entry))
        self._positions[hashlib.sha256(entry).digest()] = admitted.index
        run = getattr(admitted.step, "run", None)
        if run is not None:
            self._note_progress(run)
        self.on_append()
        return admitted.index

    def _note_progress(self, run: bytes) -> None:
        if self._session.runs[run].over:
            self._forget(run)
        else:
            self._progress[run] = self._clock()

    def _submit(
        self, caller: Member, entry: bytes, kind: type[Step], stored: Documents | None = None
    ) -> int:
        """Append a caller's step and do what is then the coordinator's turn."""
        with self._lock:
            self._claim(caller, entry, kind)
            known = self._positions.get(hashlib.sha256(entry).digest())
            if known is not None:
                return known
            index = self._append(entry, stored)
            self._carry_out()
            return index

    def _claim(self, caller: Member, entry: bytes, kind: type[S]) -> S:
        """The step inside, if it is of this kind and by the caller (its signature comes later)."""
        step = signing.peek(signing.parse_envelope(entry), STEP_CLASSES)
        if not isinstance(step, kind):
            raise DocumentError(f"this is not the step {kind.__name__}")
        if signer_of(step, self.members) != (caller.name, caller.role):
            raise PermissionDenied(f"{caller.name} submits a step of somebody else's")
        return step

    # --- the coordinator's own turn ---------------------------------------------------------------

    def _carry_out(self) -> None:
        """Carry out instructions until none is left; also what a crash interrupted."""
        me = self.members.coordinator.name
        while instruction := next(iter(self._session.instructions(me)), None):
            self._obey(instruction)

    def _obey(self, instruction: Instruction) -> None:
        now = self._clock()
        match instruction:
            case Seal(scenario):
                self._append(signing.sign(ScenarioSealed(scenario, now), self._key))
            case Add(run, round):
                self._add(run, round, now)
            case _:
                raise AssertionError(f"{instruction} is not the coordinator's")

    def _add(self, run: bytes, round: Round, now: int) -> None:
        state = self._session.runs[run]
        try:
            total = self._addition(run, round).addition.sum()
        except (VerificationError, InvalidInput, RuleViolation, NotFound):
            # What is stored does not add up any more: that ends one run, not the coordinator.
            self._fail(run, FailureReason.INVARIANT_VIOLATED, now)
            return
        parts = state.contributions[round]
        step = SumFormed(
            run=run,
            round=round,
            sum=total.digest,
            contributions=tuple(parts[name].ciphertexts for name in state.ordered.participants),
            time=now,
        )
        entry = signing.sign(step, self._key)
        self._append(entry)
        del self._additions[run, round]

    def _addition(self, run: bytes, round: Round) -> _RunningSum:
        """The running sum of a round; after a restart rebuilt from the stored contributions."""
        running = self._additions.get((run, round))
        if running is None:
            state = self._session.runs[run]
            context = self._context(run, round)
            checker = self.members.checker_key(state.checker)
            running = _RunningSum(context, Addition(context, checker))
            for holder in state.contributions[round]:
                part = self._journal.get("contribution", _round_key(run, round, holder))
                running.addition.add(holder, part)
            self._additions[run, round] = running
        return running

    def _context(self, run: bytes, round: Round) -> Context:
        """What the parts of a round are bound to: it follows from the sealed text.

        Taken from whoever comes first, it would let one holder keep all others out.
        """
        state = self._session.runs[run]
        scenario = documents.parse(Scenario, self._journal.get("scenario", state.ordered.scenario))
        order = documents.parse(RunOrder, self._journal.get("order", run))
        planned = plan_run(scenario, order, state.ordered, self.members)
        if round is Round.COUNTS:
            return counts_context(planned)
        verdict = documents.parse(CellVerdict, self._journal.get("verdict", run))
        return values_context(planned, verdict)

    def tick(self) -> None:
        """Fail runs in which somebody stayed away for longer than the timeout."""
        with self._lock:
            now = self._clock()
            for run in self._session.open_runs():
                if now - self._progress.setdefault(run, now) > self._run_timeout:
                    self._fail(run, FailureReason.TIMED_OUT, now)

    def _fail(self, run: bytes, reason: FailureReason, now: int) -> None:
        step = RunFailed(run, self.members.coordinator.name, reason, now)
        self._append(signing.sign(step, self._key))

    def _forget(self, run: bytes) -> None:
        """A run is over: its ciphertexts are of no use to anybody."""
        self._progress.pop(run, None)
        for round in Round:
            self._additions.pop((run, round), None)
        self._journal.forget("contribution", run)

    # --- scenarios --------------------------------------------------------------------------------

    def propose_scenario(self, caller: Member, step: bytes, scenario: bytes) -> int:
        """The data user named in it. The step must say what the scenario says."""
        proposed = self._claim(caller, step, ScenarioProposed)
        document = documents.parse(Scenario, scenario)
        verify_proposal(proposed, document)
        stored = {("scenario", proposed.scenario): scenario}
        return self._submit(caller, step, ScenarioProposed, stored)

    def get_scenario(self, caller: Member, scenario: bytes) -> bytes:
        """Parties of the scenario."""
        with self._lock:
            state = self._session.scenarios.get(scenario)
            if state is None or caller.name not in state.parties():
                raise NotFound("no such scenario for this party")
            return self._journal.get("scenario", scenario)

    def review_scenario(self, caller: Member, step: bytes) -> int:
        """A holder of the scenario."""
        return self._submit(caller, step, ScenarioReviewed)

    def revoke_scenario(self, caller: Member, step: bytes) -> int:
        """A holder that approved it."""
        return self._submit(caller, step, ScenarioRevoked)

    # --- runs -------------------------------------------------------------------------------------

    def order_run(self, caller: Member, step: bytes, order: bytes) -> int:
        """The scenario's data user."""
        ordered = self._claim(caller, step, RunOrdered)
        document = documents.parse(RunOrder, order)
        if (document.run, document.scenario, documents.digest(document)) != (
            ordered.run,
            ordered.scenario,
            ordered.order,
        ):
            raise VerificationError("the order is not the one the step commits to")
        return self._submit(caller, step, RunOrdered, {("order", ordered.run): order})

    def get_run_order(self, caller: Member, run: bytes) -> bytes:
        """Parties of the scenario."""
        with self._lock:
            self._run_of(run, caller)
            return self._journal.get("order", run)

    def submit_receipt(self, caller: Member, step: bytes) -> int:
        """A participant of the run."""
        return self._submit(caller, step, StagingDestroyed)

    def submit_contribution(
        self, caller: Member, step: bytes, context: bytes, ciphertexts: bytes
    ) -> int:
        """A participant of the run, in the open round.

        Each ciphertext is checked (range, gcd with the modulus, exact length) before it is added.
        """
        claimed = self._claim(caller, step, Contributed)
        with self._lock:
            known = self._positions.get(hashlib.sha256(step).digest())
            if known is not None:
                return known
            self._run_of(claimed.run, caller)
            admitted = self._session.admit(step)
            running = self._addition(claimed.run, claimed.round)
            bound_to = documents.encode(running.context), documents.digest(running.context)
            if (context, claimed.context) != bound_to:
                raise VerificationError("the contribution is bound to another run or key")
            if digest_ciphertexts(ciphertexts) != claimed.ciphertexts:
                raise VerificationError("the ciphertexts are not the ones that were signed")
            running.addition.add(caller.name, ciphertexts)  # refuses what is no ciphertext (M-6)
            key = _round_key(claimed.run, claimed.round, caller.name)
            try:
                index = self._append(admitted.entry, {("contribution", key): ciphertexts})
            except BaseException:
                # Not logged, so not part of the sum: build it again from what is stored.
                del self._additions[claimed.run, claimed.round]
                raise
            self._carry_out()
            return index

    def get_contribution(self, caller: Member, run: bytes, round: Round, holder: str) -> bytes:
        """Checker and participants, who add the parts again (C-1, N-7); masked, they say
        nothing."""
        with self._lock:
            state = self._run_of(run, caller)
            adding = (state.checker, *state.ordered.participants)
            if caller.name not in adding or holder not in state.ordered.participants:
                raise NotFound("no such contribution for this party")
            found = self._journal.find("contribution", _round_key(run, round, holder))
        if found is None:
            raise NotYet("this part is not here, or its run is over")
        return found

    def submit_verdict(self, caller: Member, step: bytes, verdict: bytes) -> int:
        """The scenario's checker."""
        checked = self._claim(caller, step, CountsChecked)
        document = documents.parse(CellVerdict, verdict)
        if (document.run, documents.digest(document)) != (checked.run, checked.verdict):
            raise VerificationError("the verdict is not the one the step commits to")
        return self._submit(caller, step, CountsChecked, {("verdict", checked.run): verdict})

    def get_verdict(self, caller: Member, run: bytes) -> bytes:
        """Participants and checker; the data user reads withheld cells in the result."""
        with self._lock:
            state = self._run_of(run, caller)
            if caller.name == state.ordered.user:
                raise NotFound("no such verdict for this party")
            found = self._journal.find("verdict", run)
        if found is None:
            raise NotYet("the counts are not judged yet")
        return found

    def submit_release(self, caller: Member, step: bytes) -> int:
        """The scenario's checker."""
        return self._submit(caller, step, ResultReleased)

    def deliver_result(self, caller: Member, run: bytes, sealed: bytes) -> None:
        """The scenario's checker, after the release is in the log."""
        with self._lock:
            state = self._run_of(run, caller)
            if caller.name != state.checker or state.released is None:
                raise NotFound("no such release by this party")
            if sealed_digest(sealed) != state.released.sealed:
                raise VerificationError("these bytes are not the released ones")
            self._journal.put("result", run, sealed)
        self.on_append()

    def fetch_result(self, caller: Member, run: bytes) -> bytes:
        """The data user who ordered the run, again and again."""
        with self._lock:
            state = self._run_of(run, caller)
            if caller.name != state.ordered.user:
                raise NotFound("no such result for this party")
            found = self._journal.find("result", run)
        if found is None:
            raise NotYet("the result is not released yet")
        return found

    def fail_run(self, caller: Member, step: bytes) -> int:
        """A participant or the checker."""
        return self._submit(caller, step, RunFailed)

    def _run_of(self, run: bytes, caller: Member) -> RunState:
        """The run, if the caller is a party of its scenario."""
        state = self._session.runs.get(run)
        if state is None or caller.name not in self._session.scenario_of(run).parties():
            raise NotFound("no such run for this party")
        return state


@dataclasses.dataclass(frozen=True)
class _RunningSum:
    """The sum of a round as its parts arrive, and what all of them are bound to."""

    context: Context
    addition: Addition


def _round_key(run: bytes, round: Round, holder: str) -> bytes:
    return run + bytes([round.value]) + holder.encode("ascii")
