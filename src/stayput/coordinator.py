"""The coordinator: orders the steps, adds ciphertexts it cannot read, holds nothing worth stealing.

It hands each signed step to :mod:`stayput.sequencer`, keeps the documents that steps commit to, and
carries out its own two instructions: seal what everybody approved, add what everybody contributed.
Every call is idempotent: a step whose exact bytes are in the log already gets the same index again.

A document is on disk before the step that commits to it is in the log, under a key that holds the
commitment.  So no step is without its document, and a document whose step was refused in the last
moment harms nobody: nothing leads to it, and parts of runs that are not open are swept.

It is trusted with availability and with the order of steps, nothing more: it has no key that opens
a sum, it cannot forge another party's step, and parties verify its log by replaying it.

Who may call what: reading the log, any member; a step, only its signer; a document, only the
parties of its scenario (each method names them).  Everybody else gets the same refusal as for
something that does not exist.

Locks: ``log.lock`` for one moment of the session, then that of the running sums, then that of one
sum; never the other way round.  Checking a large part holds only the last.  Who holds the lock of
an item of a join may take ``log.lock``, and who holds that asks for no item.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from stayput import documents
from stayput.crypto import signing
from stayput.crypto.cores import Progress
from stayput.crypto.paillier import PublicKey
from stayput.crypto.signing import SigningKey
from stayput.encryption import Addition, Context, EncryptedSum, digest_ciphertexts
from stayput.errors import (
    ConfigurationError,
    DocumentError,
    InvalidInput,
    NotFound,
    NotYet,
    PermissionDenied,
    RuleViolation,
    Unavailable,
    VerificationError,
)
from stayput.exchange import (
    JOIN_STEPS,
    Exchange,
    require_counting,
    require_receiver,
    require_sender,
)
from stayput.join_plans import JoinRunPlan
from stayput.link import Item, LogPage
from stayput.membership import Members
from stayput.plans import Earlier, RunPlan, counts_context, plan_run, values_context
from stayput.release import CellVerdict, RunOrder, sealed_digest
from stayput.runs import plan_earlier, runs_beside, told
from stayput.scenario import Scenario
from stayput.sequencer import Sequencer
from stayput.session import (
    Add,
    Admitted,
    EraseRows,
    HandOver,
    Instruction,
    RunPhase,
    RunState,
    Seal,
    Session,
    signer_of,
    verify_proposal,
)
from stayput.steps import (
    ID_BYTES,
    STEP_CLASSES,
    Contributed,
    CountsChecked,
    DeletionCheck,
    FailureReason,
    FreezeReason,
    KeysRotated,
    LogFrozen,
    Member,
    NotCovered,
    Outcome,
    ResultExamined,
    ResultHeld,
    ResultReleased,
    Round,
    RowsErased,
    RowsHandedOver,
    RunFailed,
    RunOrdered,
    ScenarioAuthorised,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioRevoked,
    ScenarioSealed,
    StagingDestroyed,
    Step,
    SumFormed,
)
from stayput.store.journal import Documents, Journal
from stayput.store.pieces import PieceFiles
from stayput.vertical.plan import JoinPlan

S = TypeVar("S", bound=Step)

DAY = 86400

_PROMPTS = (ScenarioReviewed, ScenarioAuthorised, Contributed)
"""Steps after which it may be the coordinator's turn."""

JOINS = "joins"
"""The folder, beside that of the log, with pieces of runs over joins."""

_NOT_ERASED = (NotCovered.BACKUPS, NotCovered.SNAPSHOTS, NotCovered.SWAP, NotCovered.PAGE_CACHE)
"""What the receipt for encrypted rows does not speak of."""

HELD_SECONDS = 14 * 24 * 3600
"""How long persons may take to decide about a held result: two weeks bridge a holiday."""


class Coordinator:
    """The coordinator's core; :mod:`stayput.rpc.server` puts it on the wire.

    Args:
        members: the pinned member list.
        key: the coordinator's signing key; it also signs checkpoints.
        journal: the documents beside the log.
        folder: where the log is, apart from everything else.
        clock: Unix seconds.
        run_timeout: seconds without progress after which a run is failed.
        retention_days: days after a scenario has expired when what stands beside the log about its
            runs is erased; 0 for never.  The floor is :mod:`stayput.config`'s.
        held_timeout: the same while persons have to decide about its result.
        workers: processes that share what takes long in runs over joins; none works here.

    Raises:
        VerificationError: the folder does not hold the log that its checkpoint was signed for.
        ConfigurationError: the log is in use, or in a form that is not read any more.
        Unavailable: the disk cannot be used now.
    """

    def __init__(
        self,
        members: Members,
        key: SigningKey,
        journal: Journal,
        folder: Path,
        clock: Callable[[], int],
        *,
        run_timeout: int = 600,
        retention_days: int = 0,
        held_timeout: int = HELD_SECONDS,
        workers: Executor | None = None,
    ) -> None:
        if journal.read(0, 1):
            raise ConfigurationError(
                "this coordinator's log is in journal.db, where an early version kept it",
                hint="such a log is not converted: keep the folder, and begin a new consortium",
            )
        self._pinned = members
        self._key = key
        self._journal = journal
        self._clock = clock
        self._run_timeout = run_timeout
        self._retention = retention_days * DAY
        self._next_erasure = 0
        self._held_timeout = held_timeout
        self._lock = threading.Lock()
        self._sums: dict[tuple[bytes, Round], _RunningSum] = {}
        self._questions: dict[bytes, Earlier | None] = {}
        self._progress: dict[bytes, int] = {}
        self._ended: set[bytes] = set()  # runs whose parts are still to be erased
        self._at_work = False
        self._interrupted = False
        self._exchange = Exchange(PieceFiles(folder.parent / JOINS), workers)
        self._joins: dict[bytes, JoinPlan] = {}
        self._late: set[bytes] = set()  # runs over joins that ended before this process began
        self._working = threading.Lock()
        self._due = threading.Event()  # there may be something for work() to do
        self._due.set()
        self._stopping = False
        self.report: Callable[[str], None] = lambda words: None
        self.on_append: Callable[[], None] = lambda: None
        self.log = Sequencer(members, key, folder)
        try:
            self._take_up()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up the log's folder."""
        self.interrupt()
        self.log.close()

    def interrupt(self) -> None:
        """Let :meth:`work` end after the piece that it is at; it goes on at the next start."""
        self._stopping = True

    # --- the log ----------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Entries in the log."""
        return self.log.size

    @property
    def members(self) -> Members:
        """The members as of now: keys rotate."""
        return self._session.members or self._pinned

    @property
    def _session(self) -> Session:
        return self.log.session

    def read_log(self, caller: Member, start: int, wait_ms: int = 0) -> LogPage:
        """Any member. ``wait_ms`` is the server's business; this answers at once."""
        del caller, wait_ms
        return LogPage(start, *self.log.page(start))

    def read_tile(self, caller: Member, path: str) -> bytes:
        """Any member: ``checkpoint``, or a tile or entry bundle (C2SP tlog-tiles) by its path."""
        del caller
        return self.log.read_public(path)

    def submit_cosignatures(self, caller: Member, notes: tuple[bytes, ...]) -> None:
        """A holder or auditor, of checkpoints of this log that it has verified."""
        if self.log.add_cosignatures(notes, caller.name):
            self.on_append()

    def rotate_keys(self, caller: Member, step: bytes) -> int:
        """Any member but the coordinator, signed with the keys that it replaces."""
        return self._submit(caller, step, KeysRotated)

    def freeze(self, reason: FreezeReason) -> int:
        """End the log, for good (K-5). Asked for by this coordinator's own people only.

        Raises:
            RuleViolation: it is frozen already.
        """
        if self._session.frozen is not None:  # in the same second it would be the same step again
            raise RuleViolation("the log is frozen already: nothing may follow", clause="K-5")
        return self.log.submit(signing.sign(LogFrozen(reason, self._clock()), self._key))

    def _take_up(self) -> None:
        """Go on with what a log holds."""
        now = self._clock()
        self._progress = dict.fromkeys(self._session.open_runs(), now)
        self._ended = {key[:ID_BYTES] for key in self._journal.keys("contribution")}
        self._ended -= set(self._progress)
        self._late = set(self._exchange.runs()) - set(self._progress)
        self.log.on_commit = self._committed
        with self.log.lock:
            self._erase_ended()
            self._carry_out()

    def _committed(self, admitted: Sequence[Admitted]) -> None:
        """These steps are in the log; the log's lock is held."""
        now = self._clock()
        for one in admitted:
            run = getattr(one.step, "run", None)
            if run is not None:
                self._progress[run] = now
        self._close_sums()
        self._erase_ended()
        self._due.set()
        self.on_append()
        if any(isinstance(one.step, _PROMPTS) for one in admitted):
            self._carry_out()

    def _close_sums(self) -> None:
        """Runs that are over, whatever ended them: their ciphertexts are of no use to anybody."""
        over = [run for run in self._progress if self._session.runs[run].over]
        for run in over:
            del self._progress[run]
            for round in Round:
                self._drop(run, round)
        self._ended.update(over)

    def _erase_ended(self) -> None:
        with contextlib.suppress(Unavailable):  # a full disk: the next tick tries again
            for run in tuple(self._ended):
                self._journal.forget("contribution", run)
                self._joins.pop(run, None)
                self._ended.discard(run)

    def _submit(
        self, caller: Member, entry: bytes, kind: type[Step], stored: Documents | None = None
    ) -> int:
        """Put a caller's step, and before it the documents it commits to, where they stay."""
        self._claim(caller, entry, kind)
        known = self.log.find(entry)
        if known is not None:
            return known
        if stored:
            with self.log.lock:
                self._session.admit(entry)  # nothing is stored for a step that is refused anyway
            self._journal.put_all(stored)
        return self.log.submit(entry)

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
        """Carry out instructions until none is left; also what a crash interrupted.

        The log's lock is held.  What the disk refuses now is carried out at the next tick.
        """
        if self._at_work:
            return  # a step of our own: the loop below goes on
        self._at_work = self._interrupted = True
        try:
            me = self.members.coordinator.name
            while instruction := self._next_short(me):
                self._obey(instruction)
            self._interrupted = False
        except Unavailable:
            pass
        finally:
            self._at_work = False

    def _next_short(self, me: str) -> Instruction | None:
        """The first instruction that is carried out at once; others are for :meth:`work`."""
        found = self._session.instructions(me)
        return next((one for one in found if isinstance(one, Seal | Add)), None)

    def _obey(self, instruction: Instruction) -> None:
        now = self._clock()
        match instruction:
            case Seal(scenario):
                self._say(ScenarioSealed(scenario, now))
            case Add(run, round):
                self._add(run, round, now)
            case _:
                raise AssertionError(f"{instruction} is not the coordinator's")

    def _say(self, step: Step) -> None:
        """A step of our own. A step of somebody else's that comes first may have settled it."""
        size = self._session.size
        try:
            self.log.submit(signing.sign(step, self._key))
        except RuleViolation:
            if self._session.size == size:
                raise

    def _add(self, run: bytes, round: Round, now: int) -> None:
        state = self._session.runs[run]
        logged = {name: part.ciphertexts for name, part in state.contributions[round].items()}
        try:
            running = self._running(run, round)
            if not running.holds(
                logged
            ):  # after a restart, or a part that was not logged after all
                self._drop(run, round)
                running = self._running(run, round)
                for name, digest in logged.items():
                    part = self._journal.get("contribution", _part_key(run, round, digest))
                    running.add(name, digest, part)
            total = running.sum()
        except (VerificationError, InvalidInput, RuleViolation, NotFound):
            # What is stored does not add up any more: that ends one run, not the coordinator.
            self._fail(run, FailureReason.INVARIANT_VIOLATED, now)
            return
        step = SumFormed(
            run=run,
            round=round,
            sum=total.digest,
            contributions=tuple(logged[name] for name in state.ordered.participants),
            time=now,
        )
        self._say(step)
        self._drop(run, round)

    def _running(self, run: bytes, round: Round) -> _RunningSum:
        """The running sum of a round."""
        with self._lock:
            running = self._sums.get((run, round))
            if running is None:
                checker = self.members.checker_key(self._session.runs[run].checker)
                running = _RunningSum(self._context(run, round), checker)
                self._sums[run, round] = running
            return running

    def _drop(self, run: bytes, round: Round) -> None:
        with self._lock:
            self._sums.pop((run, round), None)

    def _context(self, run: bytes, round: Round) -> Context:
        """What the parts of a round are bound to: it follows from the sealed text.

        Taken from whoever comes first, it would let one holder keep all others out.
        """
        state = self._session.runs[run]
        planned = self._plan(run)
        if round is Round.COUNTS:
            return counts_context(planned)
        if state.verdict is None:
            raise NotYet("the counts are not judged yet")
        judged = self._journal.get("verdict", run + state.verdict.verdict)
        return values_context(planned, documents.parse(CellVerdict, judged))

    def _plan(self, run: bytes) -> RunPlan | JoinRunPlan:
        """What a run computes (N-3). Raises as :func:`stayput.plans.plan_run`."""
        state = self._session.runs[run]
        scenario = documents.parse(Scenario, self._journal.get("scenario", state.ordered.scenario))
        order = documents.parse(RunOrder, self._journal.get("order", run + state.ordered.order))
        known, strangers = runs_beside(self._session, run)
        earlier = [self._earlier(other) for other in known]
        return plan_run(
            scenario,
            order,
            state.ordered,
            self.members,
            [answer for answer in earlier if answer is not None],
            strangers=bool(strangers),
        )

    def _earlier(self, state: RunState) -> Earlier | None:
        """What a run is compared with, of one before it."""
        run = state.ordered.run
        if run not in self._questions:
            sealed = self._journal.get("scenario", state.ordered.scenario)
            order = self._journal.get("order", run + state.ordered.order)
            scenario = documents.parse(Scenario, sealed)
            self._questions[run] = plan_earlier(scenario, documents.parse(RunOrder, order))
        return self._questions[run]

    def tick(self) -> None:
        """Fail runs in which somebody stayed away too long; do what the disk refused before.

        Raises:
            Unavailable: it refuses again.
        """
        with self.log.lock:
            now = self._clock()
            for run in self._session.open_runs():
                held = self._session.runs[run].phase is RunPhase.HELD
                patience = self._held_timeout if held else self._run_timeout
                late = now - self._progress.setdefault(run, now) > patience
                if late and not self._session.runs[run].over:
                    self._fail(run, FailureReason.TIMED_OUT, now)
            self.log.tend()
            self._erase_ended()
            self._erase_expired(now)
            if self._interrupted:
                self._carry_out()

    def _erase_expired(self, now: int) -> None:
        """Once a day: what was kept long enough. No entry of the log is ever erased.

        The time counts from the expiry of the scenario: none of its runs was ordered later.
        """
        if not self._retention or now < self._next_erasure:
            return
        self._next_erasure = now + DAY
        for run, state in self._session.runs.items():
            expired = self._session.scenario_of(run).proposed.valid_until
            if state.over and now > expired + self._retention:
                for kind in ("order", "verdict", "result"):
                    self._journal.forget(kind, run)

    def _fail(self, run: bytes, reason: FailureReason, now: int) -> None:
        self._say(RunFailed(run, self.members.coordinator.name, reason, now))

    # --- joins ------------------------------------------------------------------------------------

    def work(self) -> bool:
        """Carry out what takes long, outside the log's lock: hand rows over, erase them.

        One call at a time; a second one finds nothing to do meanwhile.

        Returns:
            Whether anything was done.

        Raises:
            Unavailable: the disk refuses now; the next call goes on from there.
        """
        if not self._due.is_set() or not self._working.acquire(blocking=False):
            return False
        self._due.clear()
        try:
            me = self.members.coordinator.name
            with self.log.lock:
                turns = list(self._session.instructions(me))
            busy = False
            for turn in turns:
                if isinstance(turn, HandOver):
                    self._hand_over(turn.run)
                elif isinstance(turn, EraseRows):
                    self._erase_rows(turn.run)
                busy |= isinstance(turn, HandOver | EraseRows)
            return self._sweep_joins() or busy
        except Unavailable:
            self._due.set()
            raise
        finally:
            self._working.release()

    def _hand_over(self, run: bytes) -> None:
        words: dict[str, Progress] = {}

        def going_on(what: str, done: int, total: int) -> None:
            said = f"run {run.hex()[:12]}: {what},"
            words.setdefault(what, told(self.report, self._clock, said))(done, total)
            with self.log.lock:
                if self._session.runs[run].over or self._stopping:
                    raise _Over
                self._progress[run] = self._clock()

        try:
            state = self._session.runs[run]
            handed = self._exchange.hand_over(state, self._join_plan(run), going_on)
        except _Over:
            return
        except (VerificationError, InvalidInput, RuleViolation, NotFound) as error:
            self.report(f"run {run.hex()[:12]} cannot be matched: {error.message}")
            with self.log.lock:
                if not self._session.runs[run].over:
                    self._fail(run, FailureReason.INVARIANT_VIOLATED, self._clock())
            return
        with self.log.lock:
            if not self._session.runs[run].over:
                self._say(RowsHandedOver(run, handed, self._clock()))

    def _erase_rows(self, run: bytes) -> None:
        """Erase what is about single rows, and give the receipt (R-14)."""
        checks = self._exchange.erase(run)
        if run in self._late:
            checks[DeletionCheck.LATE_SWEEP] = True
        failed = tuple(check for check in DeletionCheck if checks.get(check) is False)
        with self.log.lock:
            now, state = self._clock(), self._session.runs[run]
            came = [step.time for steps in state.blinded.values() for step in steps]
            receipt = RowsErased(
                run=run,
                scenario=state.ordered.scenario,
                outcome=Outcome.FAILED if failed else Outcome.DESTROYED,
                passed=tuple(check for check in DeletionCheck if checks.get(check)),
                failed=failed,
                not_covered=_NOT_ERASED,
                started=min([now, *came]),
                ended=now,
            )
            self._say(receipt)

    def _sweep_joins(self) -> bool:
        """Take away what is left on the disk of runs that are over."""
        swept = False
        for run in self._exchange.runs():
            with self.log.lock:
                state = self._session.runs.get(run)
                owed = state is not None and state.erased is None and not self._session.frozen
            if state is not None and not state.over:
                continue
            if owed:  # pieces came, but no step that names them
                self._erase_rows(run)
            self._exchange.forget(run)
            self._late.discard(run)
            swept = True
        return swept

    def _join_plan(self, run: bytes) -> JoinPlan:
        """What a run over a join computes: it follows from the sealed text.

        Raises:
            InvalidInput, RuleViolation: the order is outside what was sealed.
            NotFound: the run is over no join.
        """
        if run not in self._joins:
            planned = self._plan(run)
            if not isinstance(planned, JoinRunPlan):
                raise NotFound("the run is over no join")
            self._joins[run] = planned.join
        return self._joins[run]

    def put_piece(self, caller: Member, run: bytes, item: Item, index: int, data: bytes) -> None:
        """The holder whose turn it is to send it."""
        with self.log.lock:
            sent_now = require_sender(self._run_of(run, caller), caller.name, item)
        plan = self._join_plan(run) if sent_now else None
        self._exchange.put(run, plan, item, index, data)
        self._note_progress(run)

    def count_pieces(self, caller: Member, run: bytes, item: Item) -> int:
        """The holder that sends it, and the one that receives it."""
        with self.log.lock:
            require_counting(self._run_of(run, caller), caller.name, item)
        return self._exchange.count(run, item)

    def get_piece(self, caller: Member, run: bytes, item: Item, index: int) -> bytes:
        """The holder that receives it, once the log says that it is there."""
        with self.log.lock:
            require_receiver(self._run_of(run, caller), caller.name, item)
        found = self._exchange.get(run, item, index)
        self._note_progress(run)
        return found

    def _note_progress(self, run: bytes) -> None:
        with self.log.lock:
            if run in self._progress:
                self._progress[run] = self._clock()

    def submit_join_step(self, caller: Member, step: bytes) -> int:
        """A holder of the join, when all pieces that the step names are here."""
        kind = type(signing.peek(signing.parse_envelope(step), STEP_CLASSES))
        if kind not in JOIN_STEPS:
            raise DocumentError("this is no step of a join")
        claimed = self._claim(caller, step, kind)
        known = self.log.find(step)
        if known is not None:
            return known
        with self.log.lock:
            state = self._run_of(claimed.run, caller)
            self._session.admit(step)  # nothing is looked at for a step that is refused anyway
        self._exchange.verify(state, self._join_plan(claimed.run), claimed)
        return self.log.submit(step)

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
        with self.log.lock:
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

    def authorise_scenario(self, caller: Member, step: bytes) -> int:
        """An authority that the scenario names."""
        return self._submit(caller, step, ScenarioAuthorised)

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
        stored = {("order", ordered.run + ordered.order): order}
        return self._submit(caller, step, RunOrdered, stored)

    def get_run_order(self, caller: Member, run: bytes) -> bytes:
        """Parties of the scenario."""
        ordered = self._run_of(run, caller).ordered
        return self._journal.get("order", run + ordered.order)

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
        known = self.log.find(step)
        if known is not None:
            return known
        run, round, digest = claimed.run, claimed.round, claimed.ciphertexts
        with self.log.lock:
            self._run_of(run, caller)
            self._session.admit(step)  # nothing is computed for a step that is refused anyway
        running = self._running(run, round)
        if (context, claimed.context) != running.bound_to:
            raise VerificationError("the contribution is bound to another run or key")
        if digest_ciphertexts(ciphertexts) != digest:
            raise VerificationError("the ciphertexts are not the ones that were signed")
        running.add(caller.name, digest, ciphertexts)  # refuses what is no ciphertext (M-6)
        try:
            self._journal.put("contribution", _part_key(run, round, digest), ciphertexts)
            return self.log.submit(step)
        except BaseException:
            self._drop(run, round)  # not logged, so not part of the sum: it is built again
            raise

    def get_contribution(self, caller: Member, run: bytes, round: Round, holder: str) -> bytes:
        """Checker and participants, who add the parts again (C-1, N-7), while the run is open;
        masked, they say nothing."""
        state = self._run_of(run, caller)
        adding = (state.checker, *state.ordered.participants)
        if caller.name not in adding or holder not in state.ordered.participants:
            raise NotFound("no such contribution for this party")
        part = state.contributions[round].get(holder)
        if part is not None and not state.over:
            found = self._journal.find("contribution", _part_key(run, round, part.ciphertexts))
            if found is not None:
                return found
        raise NotYet("this part is not here, or its run is over")

    def submit_verdict(self, caller: Member, step: bytes, verdict: bytes) -> int:
        """The scenario's checker."""
        checked = self._claim(caller, step, CountsChecked)
        document = documents.parse(CellVerdict, verdict)
        if (document.run, documents.digest(document)) != (checked.run, checked.verdict):
            raise VerificationError("the verdict is not the one the step commits to")
        stored = {("verdict", checked.run + checked.verdict): verdict}
        return self._submit(caller, step, CountsChecked, stored)

    def get_verdict(self, caller: Member, run: bytes) -> bytes:
        """Participants and checker; the data user reads withheld cells in the result."""
        state = self._run_of(run, caller)
        if caller.name == state.ordered.user:
            raise NotFound("no such verdict for this party")
        if state.verdict is None:
            raise NotYet("the counts are not judged yet")
        return self._journal.get("verdict", run + state.verdict.verdict)

    def hold_result(self, caller: Member, step: bytes) -> int:
        """The scenario's checker."""
        return self._submit(caller, step, ResultHeld)

    def examine_result(self, caller: Member, step: bytes) -> int:
        """The scenario's checker, with the statement of one of its reviewers."""
        return self._submit(caller, step, ResultExamined)

    def submit_release(self, caller: Member, step: bytes) -> int:
        """The scenario's checker."""
        return self._submit(caller, step, ResultReleased)

    def deliver_result(self, caller: Member, run: bytes, sealed: bytes) -> None:
        """The scenario's checker, after the release is in the log."""
        state = self._run_of(run, caller)
        if caller.name != state.checker or state.released is None:
            raise NotFound("no such release by this party")
        if sealed_digest(sealed) != state.released.sealed:
            raise VerificationError("these bytes are not the released ones")
        self._journal.put("result", run, sealed)
        self.on_append()

    def fetch_result(self, caller: Member, run: bytes) -> bytes:
        """The data user who ordered the run, again and again."""
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
        with self.log.lock:
            state = self._session.runs.get(run)
            if state is None or caller.name not in self._session.scenario_of(run).parties():
                raise NotFound("no such run for this party")
            return state


class _Over(Exception):
    """The run, or this process, ended while rows were being handed over."""


class _RunningSum:
    """The sum of a round as its parts arrive, and what all of them are bound to.

    A part is added before its step is in the log, so that what cannot be added is never logged;
    :meth:`holds` says whether exactly the logged parts are in.
    """

    def __init__(self, context: Context, checker: PublicKey) -> None:
        self.bound_to = documents.encode(context), documents.digest(context)
        self._lock = threading.Lock()
        self._addition = Addition(context, checker)
        self._parts: dict[str, bytes] = {}

    def add(self, holder: str, digest: bytes, ciphertexts: bytes) -> None:
        """Add a part. A part that is in already (a repeated call) changes nothing.

        Raises as :meth:`stayput.encryption.Addition.add`.
        """
        with self._lock:
            if self._parts.get(holder) != digest:
                self._addition.add(holder, ciphertexts)
                self._parts[holder] = digest

    def holds(self, logged: Mapping[str, bytes]) -> bool:
        """Whether these parts are in, and no other."""
        with self._lock:
            return self._parts == logged

    def sum(self) -> EncryptedSum:
        """The encrypted sum. Raises as :meth:`stayput.encryption.Addition.sum`."""
        with self._lock:
            return self._addition.sum()


def _part_key(run: bytes, round: Round, ciphertexts: bytes) -> bytes:
    return run + bytes([round.value]) + ciphertexts
