"""The client: a data user asks, waits, and reads only what it verified.

::

    with stayput.connect("consortium/port-authority") as client:
        scenario = client.propose(Path("nyc-delays.yaml").read_text())
        client.wait_until_sealed(scenario)
        result = client.run(scenario, "delay_by_carrier", first=1, last=6).wait()
        result.table           # pyarrow.Table
        result.verify()        # offline, from the bundle alone

The client follows and verifies the log like every other party, and shows nothing that it could not
verify: a result is handed out only after every holder has cosigned its release, and
:func:`stayput.audit.verify_release` accepted the bundle that proves it.
"""

from __future__ import annotations

import contextlib
import decimal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stayput import documents
from stayput.audit import VerifiedRelease, bundle_release, verify_release
from stayput.crypto import sealing, signing
from stayput.errors import (
    InvalidInput,
    NotFound,
    NotYet,
    RunFailure,
    Unavailable,
    VerificationError,
)
from stayput.identity import Identity
from stayput.link import CoordinatorLink
from stayput.membership import Members
from stayput.padding import unpadded
from stayput.plans import find_question, order_terms
from stayput.release import RunOrder, arguments_from, seal_info, sealed_digest
from stayput.replica import Replica
from stayput.runs import fetch_order
from stayput.scenario import ColumnType, Model, Parameter, ParameterValue, Scenario, Statement
from stayput.scenario_file import parse_scenario_file
from stayput.session import RunPhase, RunState, ScenarioPhase, ScenarioState
from stayput.steps import FailureReason, Round, RunOrdered, ScenarioProposed

POLL_MS = 5000
"""How long one question to the coordinator may wait for news."""

CONFIRMING_SECONDS = 2.0
"""After a release that is not cosigned for so long the person who waits is told for whom."""

Progress = Callable[[str], None]
"""Is told of each stage of a run, once, in words."""

_FAILURES = {
    FailureReason.TIMED_OUT: (
        "a party stayed away for too long",
        "check with `stayput log show` whose step is missing, then order a new run",
    ),
    FailureReason.HOLDER_REFUSED: (
        "a holder's node refused the run",
        "ask the holders; the holder concerned reads the reason with `stayput node notes`",
    ),
    FailureReason.DATA_DO_NOT_FIT: (
        "a holder's data do not fit the table contract",
        "the holder concerned reads the reason with `stayput node notes`",
    ),
    FailureReason.STAGING_FAILED: (
        "a holder could not compute its part",
        "the holder concerned reads the reason with `stayput node notes`",
    ),
    FailureReason.DELETION_FAILED: (
        "a holder could not show that staged rows were destroyed",
        "the holder concerned has to look at its staging folder",
    ),
    FailureReason.INVARIANT_VIOLATED: (
        "the opened sums are impossible: a part is missing, foreign or altered",
        "order a new run; if it fails again ask the operator and the holders",
    ),
    FailureReason.REVOKED: ("a holder has revoked its approval", "the scenario is closed for good"),
    FailureReason.STATE_LOST: ("a holder's node lost its state in a crash", "order a new run"),
    FailureReason.SUM_MISMATCH: (
        "the encrypted sum is not that of the holders' parts; nothing of it was opened",
        "ask the operator of the coordinator, which adds the parts, then order a new run",
    ),
    FailureReason.RESULT_NOT_CLEARED: (
        "a person at the checker decided that the result is not released",
        "the code is in the log (`stayput log show`); the checker's people know the rest",
    ),
    FailureReason.LOG_FROZEN: (
        "the coordinator has ended this log",
        "ask the coordinator for the successor log, join that, and propose the scenario there",
    ),
}


class Result:
    """A released result, verified.

    Attributes:
        bundle: the bytes that prove it, for a file or for somebody else.
    """

    def __init__(self, bundle: bytes, members: Members) -> None:
        self.bundle = bundle
        self._members = members
        self._verified = verify_release(bundle, members)

    def verify(self) -> VerifiedRelease:
        """Verify again, offline, from the bundle alone.

        Raises:
            VerificationError, RuleViolation: a step fails; the message says which.
        """
        return verify_release(self.bundle, self._members)

    @property
    def checked(self) -> VerifiedRelease:
        """What was verified: scenario, result document, run."""
        return self._verified

    @property
    def table(self) -> Any:
        """The result as ``pyarrow.Table``; withheld values are null, see ``withheld``."""
        return self._verified.result.table.to_arrow()

    def to_pandas(self) -> Any:
        """The result as ``pandas.DataFrame``.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        return self._verified.result.table.to_pandas()


class Run:
    """One ordered run."""

    def __init__(self, client: Client, run: bytes) -> None:
        self._client = client
        self.id = run

    @property
    def state(self) -> RunState:
        """What the log says of it."""
        return self._client.replica.session.runs[self.id]

    def wait(self, *, timeout: float = 600.0, progress: Progress | None = None) -> Result:
        """Wait for the verified result.

        Args:
            timeout: seconds.
            progress: is told of each stage.

        Raises:
            RunFailure: the run ended without a result.
            NotYet: the time is over; the run goes on, ask again.
        """
        return self._client.wait_for(self.id, timeout=timeout, progress=progress)


class Client:
    """A data user's connection; made by :func:`stayput.connect`.

    Args:
        identity: the data user's keys.
        replica: its verified copy of the log.
        link: the way to the coordinator.
        clock: Unix seconds.
        monotonic: seconds for measuring waits.
        random: ``random(n)`` gives n random bytes from the operating system.
        close: called once on leaving.
    """

    def __init__(
        self,
        identity: Identity,
        replica: Replica,
        link: CoordinatorLink,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        random: Callable[[int], bytes],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.identity = identity
        self.replica = replica
        self._link = link
        self._clock = clock
        self._monotonic = monotonic
        self._random = random
        self._close = close

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def close(self) -> None:
        """Close the connection."""
        self._close()

    # --- scenarios --------------------------------------------------------------------------------

    def propose(self, text: str) -> bytes:
        """Propose the scenario of a YAML text to its holders.

        Returns:
            The scenario's digest: its identity from now on.

        Raises:
            ScenarioError: a mistake in the text, with its line.
            InvalidInput: it has another data user.
            RuleViolation: it names parties that are not of this consortium.
        """
        return self.propose_scenario(
            parse_scenario_file(text, nonce=self._random(16), earlier=self.find)
        )

    def propose_scenario(self, scenario: Scenario) -> bytes:
        """Propose a scenario that was read already, with a nonce that nobody has seen.

        Returns and raises as :meth:`propose`.
        """
        step = ScenarioProposed(
            scenario=scenario.digest,
            user=scenario.data_user,
            checker=scenario.checker,
            holders=tuple(sorted(scenario.holders)),
            runs=scenario.limits.runs,
            valid_until=scenario.limits.valid_until,
            min_holders=scenario.output.min_holders,
            time=self._clock(),
            review=scenario.output.review,
            deciders=scenario.deciders,
            authorisation=scenario.authorisation,
            authorities=tuple(authority.name for authority in scenario.authorities),
            replaces=scenario.replaces,
        )
        if scenario.data_user != self.identity.name:
            raise InvalidInput(
                f"the scenario's data user is {scenario.data_user}, you are {self.identity.name}",
                hint="propose it with the identity of the data user",
            )
        self.replica.catch_up(self._link)
        entry, document = self._admissible(step), documents.encode(scenario)
        self._submit(
            lambda: self._link.propose_scenario(entry, document),
            lambda: scenario.digest in self.replica.session.scenarios,
            f"the proposal of scenario {scenario.digest.hex()}",
            "`stayput scenario list` shows it if so",
        )
        return scenario.digest

    def scenario(self, digest: bytes) -> Scenario:
        """The scenario document, verified against the log.

        Raises:
            NotFound: not proposed, or this party is not in it.
        """
        self.replica.catch_up(self._link)
        scenario = documents.parse(Scenario, self._link.get_scenario(digest))
        if scenario.digest != digest:
            raise VerificationError("the coordinator sent another scenario")
        return scenario

    def state(self, digest: bytes) -> ScenarioState:
        """What the log says of a scenario.

        Raises:
            NotFound: it was not proposed.
        """
        self.replica.catch_up(self._link)
        state = self.replica.session.scenarios.get(digest)
        if state is None:
            raise NotFound("no such scenario", hint="`stayput scenario list` shows all")
        return state

    def find(self, name: str) -> bytes:
        """The digest meant by a prefix of its hex form, or by the name of a scenario.

        The newest sealed scenario of a name is preferred, then the newest proposed one.

        Raises:
            NotFound: nothing, or more than one thing, is meant.
        """
        self.replica.catch_up(self._link)
        scenarios = self.replica.session.scenarios
        mine = [d for d, s in scenarios.items() if self.identity.name in s.parties()]
        hits = [d for d in mine if len(name) >= 6 and d.hex().startswith(name)]
        if len(hits) == 1:
            return hits[0]
        named = [d for d in reversed(mine) if self.scenario(d).name == name]
        for phase in (ScenarioPhase.SEALED, ScenarioPhase.PROPOSED):
            for digest in named:
                if scenarios[digest].phase is phase:
                    return digest
        if named:
            return named[0]
        raise NotFound(f"no scenario {name!r}", hint="`stayput scenario list` shows all")

    def wait_until_sealed(self, digest: bytes, *, timeout: float = 3600.0) -> None:
        """Wait until every holder has approved, and every authority has authorised.

        Raises:
            RunFailure: one of them refused or took it back; the hint says who, and their code.
            NotYet: the time is over.
        """
        deadline = self._monotonic() + timeout
        while True:
            state = self.state(digest)
            if state.phase is ScenarioPhase.SEALED or state.phase is ScenarioPhase.USED_UP:
                return
            if state.phase is not ScenarioPhase.PROPOSED:
                raise RunFailure(
                    f"the scenario is {state.phase.name.lower()}",
                    reason=state.phase.name,
                    hint="; ".join(state.refusals()),
                )
            if not self._wait(deadline):
                raise NotYet(
                    "not everybody has reviewed it",
                    hint="waiting for " + ", ".join(state.awaited()),
                )

    # --- runs -------------------------------------------------------------------------------------

    def run(
        self, digest: bytes, statement: str, /, **parameters: ParameterValue | decimal.Decimal
    ) -> Run:
        """Order one run of a statement or model.

        Args:
            statement: its name; of a model likewise.
            parameters: a value for each declared parameter; decimals as ``Decimal``, ``int`` or
                text.

        Raises:
            InvalidInput: statement or values are outside what was sealed (nothing was ordered).
            RuleViolation: the scenario is not sealed, expired, revoked or used up.
            Unavailable: the coordinator cannot be reached; the message says whether the run may be
                under way all the same, and as which.
        """
        scenario = self.scenario(digest)
        values = scaled_arguments(find_question(scenario, statement), parameters)
        order = RunOrder(
            run=self._random(16),
            scenario=digest,
            statement=statement,
            arguments=arguments_from(values),
            salt=self._random(32),
        )
        terms = order_terms(scenario, order)
        step = RunOrdered(
            run=order.run,
            scenario=digest,
            user=self.identity.name,
            order=documents.digest(order),
            participants=terms.participants,
            rounds=terms.rounds,
            time=self._clock(),
            pairs=terms.pairs,
        )
        entry, document = self._admissible(step), documents.encode(order)
        self._submit(
            lambda: self._link.order_run(entry, document),
            lambda: order.run in self.replica.session.runs,
            f"the order of run {order.run.hex()}",
            f"ask with `stayput result {order.run.hex()[:12]}` before you order another one",
        )
        return Run(self, order.run)

    def answered(
        self, digest: bytes, statement: str, /, **parameters: ParameterValue | decimal.Decimal
    ) -> Run | None:
        """The newest released run of exactly this question, if there is one.

        Its answer is kept for this data user; fetching it again charges nothing and asks nobody.
        It says what the data said then: that they have not changed since is itself something about
        them, so no holder tells; who wants to know orders a new run.

        Raises:
            InvalidInput: statement or values are outside what was sealed.
        """
        asked = find_question(self.scenario(digest), statement)
        arguments = arguments_from(scaled_arguments(asked, parameters))
        for run, state in reversed(self.replica.session.runs.items()):
            mine = state.ordered.user == self.identity.name and state.ordered.scenario == digest
            if not mine or state.phase is not RunPhase.RELEASED:
                continue
            order = fetch_order(self._link, state)
            if (order.statement, order.arguments) == (statement, arguments):
                return Run(self, run)
        return None

    def ask(
        self,
        digest: bytes,
        statement: str,
        /,
        *,
        timeout: float = 600.0,
        **parameters: ParameterValue | decimal.Decimal,
    ) -> Result:
        """The stored answer to a question, free of charge, or that of a new run.

        Raises as :meth:`run` and :meth:`Run.wait`.
        """
        found = self.answered(digest, statement, **parameters)
        run = found or self.run(digest, statement, **parameters)
        return run.wait(timeout=timeout)

    def wait_for(
        self, run: bytes, *, timeout: float = 600.0, progress: Progress | None = None
    ) -> Result:
        """Wait for the verified result of a run; see :meth:`Run.wait`."""
        deadline = self._monotonic() + timeout
        patience = self._monotonic() + CONFIRMING_SECONDS
        said: set[str] = set()
        self.replica.catch_up(self._link)
        while True:
            state = self.replica.session.runs.get(run)
            if state is None:
                raise NotFound("no such run")
            for stage in stages(state):
                if progress is not None and stage not in said:
                    progress(stage)
                said.add(stage)
            if state.phase is RunPhase.FAILED:
                assert state.failure is not None
                message, hint = _FAILURES[state.failure]
                raise RunFailure(message, reason=state.failure.name, hint=hint)
            unconfirmed = self._unconfirmed(state)
            if state.released is not None and not unconfirmed:
                try:
                    return self.fetch(run)
                except NotYet:
                    pass  # released and cosigned; the checker is about to deliver
            if unconfirmed and progress is not None and self._monotonic() > patience:
                progress(f"released; {', '.join(unconfirmed)} still to confirm it")
                patience = deadline
            if state.released is None:
                patience = self._monotonic() + CONFIRMING_SECONDS
            if not self._wait(deadline, state.released is not None and not unconfirmed):
                if unconfirmed:
                    raise _unconfirmed_error(unconfirmed)
                raise NotYet("the run is not over", hint=f"stayput result {run.hex()[:12]}")

    def _unconfirmed(self, state: RunState) -> tuple[str, ...]:
        """Which holders have not cosigned the release of a run yet; none before it (U-1)."""
        if state.released is None:
            return ()
        return self.replica.awaited(state.released, state.ordered.participants)

    def fetch(self, run: bytes) -> Result:
        """Fetch, open and verify the result of a released run.

        It is shown only when every holder of the scenario has cosigned the log with its release: a
        coordinator cannot show a release to us that the holders do not know of (U-1).

        Raises:
            NotYet: not released, or a holder has not confirmed that; the hint says who.
            VerificationError: what came does not verify; nothing is shown.
        """
        sealed = self._link.fetch_result(run)
        self.replica.catch_up(self._link)
        state = self.replica.session.runs[run]
        if state.released is None:
            raise VerificationError("the coordinator sent a result that the log does not release")
        if sealed_digest(sealed) != state.released.sealed:
            raise VerificationError("the coordinator sent other bytes than the released ones")
        holders = state.ordered.participants
        note = self.replica.cosigned_note(self._link, state.released, holders)
        if note is None:
            raise _unconfirmed_error(self._unconfirmed(state) or holders)
        then = self.replica.session.members_at(state.entries[0])  # our keys may have rotated since
        key = self.identity.agreement_key_of(then[self.identity.name].agreement_key)
        result = unpadded(sealing.unseal(key, sealed, seal_info(run)))
        bundle = bundle_release(
            self.replica.session,
            self.replica.entries,
            self.replica.leaf_hashes,
            note,
            run=run,
            scenario=self._link.get_scenario(state.ordered.scenario),
            order=self._link.get_run_order(run),
            result=result,
        )
        return Result(bundle, self.replica.members)

    def _admissible(self, step: ScenarioProposed | RunOrdered) -> bytes:
        """Our step, signed, which our own replay (caught up just now) admits: its refusal says why,
        while what comes back over the wire is a constant sentence.

        Raises:
            RuleViolation: the rules forbid it now.
        """
        entry = signing.sign(step, self.identity.signing_key)
        self.replica.session.admit(entry)
        return entry

    def _submit(
        self, call: Callable[[], int], is_logged: Callable[[], bool], what: str, hint: str
    ) -> None:
        """Submit a step of ours, and once more if the answer was lost: the same bytes are the same
        step, so that nothing is proposed or ordered twice.

        Raises:
            Unavailable: the coordinator cannot be reached, and the step may stand in its log.
        """
        lost: Unavailable | None = None
        for _ in range(2):
            try:
                call()
                self.replica.catch_up(self._link)
                return
            except Unavailable as error:
                lost = error
            with contextlib.suppress(Unavailable):
                self.replica.catch_up(self._link)
            if is_logged():
                return
        assert lost is not None
        raise Unavailable(
            f"{lost.message} Its log may hold {what} all the same.", hint=hint
        ) from None

    def _wait(self, deadline: float, briefly: bool = False) -> bool:
        """Wait for news of the log, at most until ``deadline``; False when it has passed."""
        left = deadline - self._monotonic()
        if left <= 0:
            return False
        longest = 25 if briefly else POLL_MS
        self.replica.catch_up(self._link, wait_ms=max(1, min(longest, int(left * 1000))))
        return True


def _unconfirmed_error(names: Sequence[str]) -> NotYet:
    return NotYet(
        "the result is released, but not every holder has confirmed that",
        hint=f"waiting for {', '.join(names)}: once their nodes have run, ask again",
    )


def stages(run: RunState) -> list[str]:
    """What has happened in a run so far, in words, in order."""
    everyone = len(run.ordered.participants)
    said = [f"ordered: {everyone} holders take part", *_stages_of_join(run)]
    if run.receipts:
        said.append(f"staged, counted and destroyed: {len(run.receipts)} of {everyone} holders")
    for round in (Round.COUNTS, Round.VALUES):
        word = round.name.lower()
        done = len(run.contributions[round])
        if done:
            said.append(f"masked and encrypted {word}: {done} of {everyone} holders")
        if round in run.sums:
            said.append(f"{word} added without being read")
        if round is Round.COUNTS and run.verdict is not None:
            said.append("counts opened and judged by the checker")
    if run.held is not None:
        said.append("result held: people at the checker look at it before it is released")
        if run.cleared_by:
            said.append(f"cleared by {len(run.cleared_by)} of them")
    if run.released is not None:
        said.append("result checked and released")
    return said


def _stages_of_join(run: RunState) -> list[str]:
    """What is done before anything is counted."""
    said = []
    pairs = len(run.ordered.pairs)
    whole = sum(run.next_raiser(owner) is None for owner in run.blinded)
    if whole:
        said.append(f"identifiers blinded by all: {whole} of {len(run.ordered.participants)} sets")
    if run.rows:
        said.append(f"rows encrypted: for {len(run.rows)} of {pairs} pairs of holders")
    if run.handed is not None:
        said.append("matched: every combiner has encrypted rows, joined or not")
    if run.returned:
        said.append(f"sums formed, unread, and masked: by {len(run.returned)} of {pairs} pairs")
    if run.erased is not None:
        said.append("encrypted rows erased at the coordinator")
    return said


def scaled_arguments(
    asked: Statement | Model, values: Mapping[str, ParameterValue | decimal.Decimal]
) -> dict[str, ParameterValue]:
    """Arguments as people give them, as the scaled integers of the protocol.

    Raises:
        InvalidInput: a number has more decimals than the parameter, or is no number.
    """
    parameters = () if isinstance(asked, Model) else asked.parameters
    declared = {parameter.name: parameter for parameter in parameters}
    for name in values:
        if name not in declared:
            known = ", ".join(declared) or "no parameters"
            raise InvalidInput(f"{asked.name} has no parameter {name!r}", hint=f"it has: {known}")
    return {name: _scaled(declared[name], value) for name, value in values.items()}


_TRUTH = {"true": True, "false": False}


def _scaled(parameter: Parameter, value: ParameterValue | decimal.Decimal) -> ParameterValue:
    if parameter.type is ColumnType.LEVEL:
        return str(value)
    if parameter.type is ColumnType.BOOLEAN:
        if isinstance(value, bool):
            return value
        if str(value).lower() in _TRUTH:
            return _TRUTH[str(value).lower()]
        raise InvalidInput(f"{parameter.name} is true or false, not {value!r}")
    try:
        if isinstance(value, bool | float):
            raise decimal.InvalidOperation
        scaled = decimal.Decimal(value).scaleb(parameter.decimals)
        # No parameter has more than 19 digits; a huge exponent is not spelt out.
        whole = scaled.is_finite() and scaled.adjusted() < 20
        if not whole or scaled != scaled.to_integral_value():
            raise decimal.InvalidOperation
    except (decimal.DecimalException, ValueError):
        raise InvalidInput(
            f"{parameter.name} is a number with at most {parameter.decimals} decimals, "
            f"not {value!r}",
            hint="give fractional numbers as text or Decimal, never as float",
        ) from None
    return int(scaled)
