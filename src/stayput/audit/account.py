"""The account of a log: what happened, for whom, and what can be said without the rules.

Fed every entry whose signature holds, in order, also behind one that the rules forbid: from there
on the state machine is silent, but a release without a receipt is still one.  What it finds itself
are facts about scenarios and runs that need no replay; the rules remain :mod:`stayput.session`.

Memory: one small record per run, receipt, part and sum; no entry is kept.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Iterable, Iterator
from typing import TypeVar

from stayput.audit.moments import day
from stayput.audit.report import (
    Act,
    ContributionAccount,
    Event,
    ExchangeAccount,
    Finding,
    Metering,
    ReceiptAccount,
    RunAccount,
    ScenarioAccount,
    Severity,
    SumAccount,
)
from stayput.countersigning import Examination, ResultExamination
from stayput.crypto import signing
from stayput.errors import DocumentError
from stayput.scenario import OutputReview
from stayput.steps import (
    AuthorityDecision,
    Contributed,
    CountsChecked,
    Decision,
    KeysRotated,
    LogFrozen,
    MemberList,
    Outcome,
    ResultExamined,
    ResultHeld,
    ResultReleased,
    Role,
    RowsEncrypted,
    RowsErased,
    RowsHandedOver,
    RunFailed,
    RunOrdered,
    ScenarioAuthorised,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioRevoked,
    ScenarioSealed,
    SetBlinded,
    StagingDestroyed,
    Step,
    SumFormed,
    SumsReturned,
)

_T = TypeVar("_T", str, tuple[str, ...])

MAX_FINDINGS = 1000
"""Findings that are kept; a log with more is condemned by these."""


_EXCHANGES: dict[type, str] = {
    SetBlinded: "set_blinded",
    RowsEncrypted: "rows_encrypted",
    RowsHandedOver: "rows_handed_over",
    SumsReturned: "sums_returned",
}

_STANDS_WITH_ITS_RUN = (Contributed, SumFormed, CountsChecked, *_EXCHANGES)


@dataclasses.dataclass(slots=True)
class _ScenarioDraft:
    proposed: Act
    step: ScenarioProposed
    approvals: list[Act] = dataclasses.field(default_factory=list)
    refusals: list[Act] = dataclasses.field(default_factory=list)
    revocations: list[Act] = dataclasses.field(default_factory=list)
    authorisations: list[Act] = dataclasses.field(default_factory=list)
    sealed: Act | None = None
    replaced: bool = False
    ordered: int = 0
    released: int = 0

    @property
    def phase(self) -> str:
        if self.revocations:
            return "revoked"
        if self.refusals:
            return "refused"
        if self.replaced:
            return "replaced"
        if self.sealed is None:
            return "proposed"
        return "used up" if self.ordered >= self.step.runs else "sealed"


@dataclasses.dataclass(slots=True)
class _RunDraft:
    run: str
    scenario: str
    order: str
    ordered: Act
    user: str
    participants: tuple[str, ...]
    rounds: int
    join: bool
    receipts: list[ReceiptAccount] = dataclasses.field(default_factory=list)
    contributions: list[ContributionAccount] = dataclasses.field(default_factory=list)
    sums: list[SumAccount] = dataclasses.field(default_factory=list)
    exchanges: list[ExchangeAccount] = dataclasses.field(default_factory=list)
    erased: ReceiptAccount | None = None
    verdict: Act | None = None
    held: str = ""
    cleared: set[str] = dataclasses.field(default_factory=set)
    outcome: str = "open"
    ended: Act | None = None
    reason: str = ""
    result: str = ""
    cosigned_size: int = 0


class Account:
    """Takes the steps of a log and makes the parts of a report."""

    def __init__(self) -> None:
        self.timeline: list[Event] = []
        self.findings: list[Finding] = []
        self.started = 0
        self.last = 0
        self._scenarios: dict[bytes, _ScenarioDraft] = {}
        self._runs: dict[bytes, _RunDraft] = {}
        self._open: dict[bytes, None] = {}  # runs; insertion-ordered set
        self._stagings: dict[bytes, int] = {}
        self._roles: dict[str, str] = {}
        self._meters: dict[str, dict[str, int]] = {}

    def note(self, entry: int, step: Step, actor: str, role: Role) -> None:
        """Take the step that ``actor`` has signed as this entry."""
        time: int = step.ended if isinstance(step, StagingDestroyed | RowsErased) else step.time
        self.started = self.started or time
        self.last = time
        self._roles.setdefault(actor, role.name.lower())
        self._file(step, Act(entry, time, actor, _reason(step)))
        if isinstance(step, _STANDS_WITH_ITS_RUN):
            return
        sentence = self._sentence(step, actor)
        if sentence:
            scenario, run = self._about(step)
            kind = type(step).__name__
            self.timeline.append(Event(entry, time, actor, kind, sentence, scenario, run))

    def cover(self, run: bytes, size: int) -> None:
        """Note that everybody in the run has cosigned a checkpoint of this size."""
        self._runs[run].cosigned_size = size

    def participants(self, run: bytes) -> tuple[str, ...]:
        """Who takes part in a run; nobody if it was not ordered."""
        draft = self._runs.get(run)
        return () if draft is None else draft.participants

    # --- results ----------------------------------------------------------------------------------

    def scenarios(self) -> Iterator[ScenarioAccount]:
        """The scenarios, in the order of their proposals."""
        for digest, draft in self._scenarios.items():
            yield ScenarioAccount(
                scenario=digest.hex(),
                proposed=draft.proposed,
                checker=draft.step.checker,
                holders=draft.step.holders,
                min_holders=draft.step.min_holders,
                runs_allowed=draft.step.runs,
                runs_ordered=draft.ordered,
                valid_until=draft.step.valid_until,
                approvals=tuple(draft.approvals),
                refusals=tuple(draft.refusals),
                revocations=tuple(draft.revocations),
                sealed=draft.sealed,
                phase=draft.phase,
            )

    def runs(self) -> Iterator[RunAccount]:
        """The runs, in the order of their orders."""
        for draft in self._runs.values():
            yield RunAccount(
                run=draft.run,
                scenario=draft.scenario,
                order=draft.order,
                ordered=draft.ordered,
                participants=draft.participants,
                rounds=draft.rounds,
                receipts=tuple(draft.receipts),
                contributions=tuple(draft.contributions),
                sums=tuple(draft.sums),
                verdict=draft.verdict,
                outcome=draft.outcome,
                ended=draft.ended,
                reason=draft.reason,
                result=draft.result,
                cosigned_size=draft.cosigned_size,
                join=draft.join,
                exchanges=tuple(draft.exchanges),
                erased=draft.erased,
            )

    def metering(self) -> Iterator[Metering]:
        """Per holder and data user, by name."""
        for party, role in sorted(self._roles.items()):
            if role in ("holder", "user"):
                yield Metering(party, role, **self._meters.get(party, {}))

    # --- filing -----------------------------------------------------------------------------------

    def _file(self, step: Step, act: Act) -> None:
        match step:
            case ScenarioProposed():
                self._scenarios.setdefault(step.scenario, _ScenarioDraft(act, step))
            case ScenarioReviewed() | ScenarioSealed() | ScenarioRevoked():
                self._file_decision(step, act)
            case ScenarioAuthorised():
                self._file_authorisation(step, act)
            case RunOrdered():
                self._file_order(step, act)
            case LogFrozen():
                for run in tuple(self._open):
                    self._end(run, "failed", dataclasses.replace(act, reason="log_frozen"))
            case _:
                self._file_run(step, act)

    def _file_run(self, step: Step, act: Act) -> None:
        match step:
            case StagingDestroyed():
                self._file_receipt(step, act)
            case Contributed() | SumFormed() | CountsChecked():
                self._file_part(step, act)
            case SetBlinded() | RowsEncrypted() | RowsHandedOver() | SumsReturned():
                self._file_exchange(step, act)
            case RowsErased():
                self._file_erasure(step, act)
            case ResultHeld() | ResultExamined():
                self._file_examination(step, act)
            case ResultReleased():
                self._file_release(step, act)
            case RunFailed():
                self._end(step.run, "failed", act)
            case _:
                pass  # of members and scenarios

    def _file_decision(
        self, step: ScenarioReviewed | ScenarioSealed | ScenarioRevoked, act: Act
    ) -> None:
        scenario = self._scenarios.get(step.scenario)
        if scenario is None:
            self._find(act.entry, "a decision about a scenario that was not proposed", "S-1")
            return
        if isinstance(step, ScenarioSealed):
            scenario.sealed = scenario.sealed or act
            for name in _lacking(scenario.step.holders, scenario.approvals):
                self._find(act.entry, f"sealed without the approval of {name}", "S-4")
            for name in _lacking(scenario.step.authorities, scenario.authorisations):
                self._find(act.entry, f"sealed without the authorisation of {name}", "S-8")
            earlier = self._scenarios.get(scenario.step.replaces or b"")
            if earlier is not None:
                earlier.replaced = True
        elif isinstance(step, ScenarioRevoked):
            self._revoke(step.scenario, act)
        elif step.decision is Decision.REFUSED:
            scenario.refusals.append(act)
        else:
            if scenario.released:
                message = f"{step.holder} approves after a result was released"
                self._find(act.entry, message, "S-2")
            scenario.approvals.append(act)

    def _revoke(self, scenario: bytes, act: Act) -> None:
        self._scenarios[scenario].revocations.append(act)
        for run in tuple(self._open):
            if self._runs[run].scenario == scenario.hex():
                self._end(run, "failed", dataclasses.replace(act, reason="revoked"))

    def _file_authorisation(self, step: ScenarioAuthorised, act: Act) -> None:
        scenario = self._scenarios.get(step.scenario)
        if scenario is None:
            self._find(act.entry, "a decision about a scenario that was not proposed", "S-1")
        elif step.decision is AuthorityDecision.AUTHORISED:
            scenario.authorisations.append(act)
        elif step.decision is AuthorityDecision.REFUSED:
            scenario.refusals.append(act)
        else:
            self._revoke(step.scenario, act)

    def _file_examination(self, step: ResultHeld | ResultExamined, act: Act) -> None:
        run = self._runs.get(step.run)
        if run is None:
            self._find(act.entry, "a decision about a run that was not ordered", "R-9")
        elif isinstance(step, ResultHeld):
            run.held = step.result.hex()
        else:
            person, decision = _decision(step)
            if decision is Examination.FAIL:
                failed = dataclasses.replace(act, reason="result_not_cleared")
                self._end(step.run, "failed", failed)
            elif decision is Examination.PASS:
                run.cleared.add(person)

    def _file_order(self, step: RunOrdered, act: Act) -> None:
        scenario = self._scenarios.get(step.scenario)
        if scenario is not None:
            scenario.ordered += 1
        if step.run in self._runs:
            self._find(act.entry, "a run is ordered twice", "R-1")
            return
        self._runs[step.run] = _RunDraft(
            run=step.run.hex(),
            scenario=scenario_hex(step.scenario),
            order=step.order.hex(),
            ordered=act,
            user=step.user,
            participants=_shared(step.participants),
            rounds=step.rounds,
            join=bool(step.pairs),
        )
        self._open[step.run] = None
        self._count(step.user, ordered=1)
        for name in step.participants:
            self._roles.setdefault(name, "holder")
            self._count(name, took_part=1)

    def _file_receipt(self, step: StagingDestroyed, act: Act) -> None:
        first = self._stagings.setdefault(step.staging, act.entry)
        if first != act.entry:
            message = f"a receipt for the staging that entry {first} has a receipt for"
            self._find(act.entry, message, "R-2")
        run = self._runs.get(step.run)
        if run is None or step.holder not in run.participants:
            message = f"a receipt of {step.holder} for a run in which it takes no part"
            self._find(act.entry, message, "R-2")
            return
        if any(receipt.holder == step.holder for receipt in run.receipts):
            self._find(act.entry, f"a second receipt of {step.holder} for one run", "R-2")
        receipt = ReceiptAccount(
            entry=act.entry,
            run=run.run,
            holder=_shared(step.holder),
            staging=step.staging.hex(),
            method=_code(step.method),
            outcome=_code(step.outcome),
            passed=_codes(step.passed),
            failed=_codes(step.failed),
            not_covered=_codes(step.not_covered),
            started=step.started,
            ended=step.ended,
        )
        run.receipts.append(receipt)
        self._count(step.holder, receipts=1, staging_seconds=receipt.seconds)
        if step.outcome is Outcome.FAILED:
            message = f"{step.holder} reports that rows could not be destroyed: " + ", ".join(
                receipt.failed
            )
            self._find(act.entry, message, "R-2", Severity.NOTICE)
            if run.outcome == "open":
                self._end(step.run, "failed", dataclasses.replace(act, reason="deletion_failed"))

    def _file_exchange(
        self, step: SetBlinded | RowsEncrypted | RowsHandedOver | SumsReturned, act: Act
    ) -> None:
        run = self._runs.get(step.run)
        if run is None or not run.join:
            self._find(act.entry, "a step of a join that was not ordered", "R-11")
            return
        kind = _EXCHANGES[type(step)]
        run.exchanges.append(ExchangeAccount(act.entry, act.time, _shared(act.party), kind))

    def _file_erasure(self, step: RowsErased, act: Act) -> None:
        run = self._runs.get(step.run)
        if run is None or not run.join:
            self._find(act.entry, "a receipt for a join that was not ordered", "R-14")
            return
        if run.erased is not None:
            self._find(act.entry, f"a second receipt of {act.party} for one join", "R-14")
        run.erased = ReceiptAccount(
            entry=act.entry,
            run=run.run,
            holder=_shared(act.party),
            staging="",
            method="encrypted_rows",
            outcome=_code(step.outcome),
            passed=_codes(step.passed),
            failed=_codes(step.failed),
            not_covered=_codes(step.not_covered),
            started=step.started,
            ended=step.ended,
        )
        if step.outcome is Outcome.FAILED:
            message = f"{act.party} reports that encrypted rows could not be erased: " + ", ".join(
                run.erased.failed
            )
            self._find(act.entry, message, "R-14", Severity.NOTICE)
            if run.outcome == "open":
                self._end(step.run, "failed", dataclasses.replace(act, reason="deletion_failed"))

    def _file_part(self, step: Contributed | SumFormed | CountsChecked, act: Act) -> None:
        run = self._runs.get(step.run)
        if run is None:
            self._find(act.entry, "a step of a run that was not ordered", "R-3")
        elif isinstance(step, Contributed):
            part = ContributionAccount(
                act.entry,
                act.time,
                _shared(step.holder),
                _code(step.round),
                step.ciphertexts.hex(),
            )
            run.contributions.append(part)
            self._count(step.holder, contributions=1)
        elif isinstance(step, SumFormed):
            run.sums.append(SumAccount(act.entry, act.time, _code(step.round), step.sum.hex()))
        else:
            run.verdict = run.verdict or act

    def _file_release(self, step: ResultReleased, act: Act) -> None:
        run = self._runs.get(step.run)
        if run is None:
            self._find(act.entry, "released for a run that was not ordered", "R-6")
            return
        if run.outcome != "open":
            self._find(act.entry, f"released though the run was {run.outcome} already", "R-6")
        self._examine_release(run, act)
        self._examine_clearing(run, step, act)
        self._end(step.run, "released", act)
        run.result = step.result.hex()

    def _examine_clearing(self, run: _RunDraft, step: ResultReleased, act: Act) -> None:
        scenario = self._scenarios.get(bytes.fromhex(run.scenario))
        proposed = None if scenario is None else scenario.step
        if run.held and run.held != step.result.hex():
            self._find(act.entry, "released is another result than the one that was held", "R-8")
        if run.held and proposed is not None and len(run.cleared) < proposed.deciders:
            self._find(act.entry, "released though persons had not cleared it", "R-8")
        always = proposed is not None and proposed.review is OutputReview.ALWAYS
        if always and not run.held:
            self._find(act.entry, "released though no person had looked at it", "R-8")

    def _examine_release(self, run: _RunDraft, act: Act) -> None:
        """What has to stand before any release, said of this one alone."""
        scenario = self._scenarios.get(bytes.fromhex(run.scenario))
        if scenario is None:
            self._find(act.entry, "released for a scenario that was not proposed", "S-1")
        else:
            scenario.released += 1
            for name in _lacking(scenario.step.holders, scenario.approvals):
                self._find(act.entry, f"released without the approval of {name}", "S-4")
            if scenario.sealed is None or scenario.sealed.entry > run.ordered.entry:
                self._find(act.entry, "released though ordered before the sealing", "R-1")
        for name in run.participants:
            receipts = [one for one in run.receipts if one.holder == name]
            if not receipts:
                message = f"released without the deletion receipt of {name}"
                self._find(act.entry, message, "R-6")
            elif any(one.outcome == "failed" for one in receipts):
                message = f"released though {name} could not destroy its rows"
                self._find(act.entry, message, "R-6")
        if run.join and (run.erased is None or run.erased.outcome == "failed"):
            self._find(act.entry, "released without the coordinator's deletion receipt", "R-6")
        if run.verdict is None:
            self._find(act.entry, "released though its counts were not checked", "R-6")
        rounds = {"counts", "values"} if run.rounds == 2 else {"counts"}
        for missing in sorted(rounds - {one.round for one in run.sums}):
            self._find(act.entry, f"released without the sum of its {missing}", "R-6")

    def _end(self, run_id: bytes, outcome: str, act: Act) -> None:
        run = self._runs.get(run_id)
        if run is None:
            self._find(act.entry, "the end of a run that was not ordered", "R-7")
            return
        if run.outcome != "open":
            return
        del self._open[run_id]
        run.outcome, run.ended, run.reason = outcome, act, act.reason
        for name in (run.user, *run.participants):
            self._count(name, **{outcome: 1})

    def _count(self, party: str, **amounts: int) -> None:
        meter = self._meters.setdefault(party, {})
        for what, amount in amounts.items():
            meter[what] = meter.get(what, 0) + amount

    def _find(
        self, entry: int, message: str, clause: str, severity: Severity = Severity.VIOLATION
    ) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(severity, message, entry, clause))

    # --- in words ---------------------------------------------------------------------------------

    def _about(self, step: Step) -> tuple[str, str]:
        run = self._runs.get(getattr(step, "run", b""))
        if run is not None:
            return run.scenario, run.run
        digest: bytes = getattr(step, "scenario", b"")
        return scenario_hex(digest), getattr(step, "run", b"").hex()

    def _sentence(self, step: Step, actor: str) -> str:  # noqa: PLR0911, PLR0912 - one case a step
        """One sentence for the timeline; empty for what stands with its run."""
        scenario, run = (one[:12] for one in self._about(step))
        match step:
            case MemberList():
                return (
                    f"{actor} opens the log of the consortium {step.consortium}, "
                    f"with {len(step.cards)} members."
                )
            case ScenarioProposed():
                return (
                    f"{actor} proposes scenario {scenario} to {_list(step.holders)}: "
                    f"up to {step.runs} runs until {day(step.valid_until)}, "
                    f"results checked by {step.checker}."
                )
            case ScenarioReviewed(decision=Decision.APPROVED):
                waived = f", waiving {_words(step.waivers)}" if step.waivers else ""
                return f"{actor} approves scenario {scenario}{waived}."
            case ScenarioReviewed():
                return f"{actor} refuses scenario {scenario}: {_words([step.reason])}."
            case ScenarioAuthorised(decision=AuthorityDecision.AUTHORISED):
                return f"{actor} authorises scenario {scenario}."
            case ScenarioAuthorised():
                word = "refuses" if step.decision is AuthorityDecision.REFUSED else "withdraws from"
                return f"{actor} {word} scenario {scenario}: {_words([step.reason])}."
            case ScenarioSealed():
                return f"{actor} seals scenario {scenario}: it can be run from now on."
            case ScenarioRevoked():
                return f"{actor} revokes its approval of {scenario}: {_words([step.reason])}."
            case RunOrdered():
                what = f"run {run} of scenario {scenario}"
                return f"{actor} orders {what}{', over a join' if step.pairs else ''}."
            case RowsErased(outcome=Outcome.FAILED):
                return f"{actor} reports for run {run} that encrypted rows could not be erased."
            case StagingDestroyed(outcome=Outcome.FAILED):
                return f"{actor} reports for run {run} that rows could not be destroyed."
            case ResultHeld():
                return f"{actor} holds the result of run {run} for its people to look at."
            case ResultExamined():
                word = "clears" if _decision(step)[1] is Examination.PASS else "does not clear"
                return f"A person at {actor} {word} the held result of run {run}."
            case ResultReleased():
                to = self._runs[step.run].user if step.run in self._runs else "the data user"
                return f"{actor} releases the checked result of run {run} to {to}."
            case RunFailed():
                return f"{actor} ends run {run} without a result: {_words([step.reason])}."
            case KeysRotated():
                return f"{actor} takes new keys."
            case LogFrozen():
                return f"{actor} ends this log: {_words([step.reason])}."
            case _:
                return ""


@functools.lru_cache(maxsize=4096)
def scenario_hex(digest: bytes) -> str:
    """Hexadecimal; one text for all runs of a scenario."""
    return digest.hex()


@functools.lru_cache(maxsize=4096)
def _shared(value: _T) -> _T:
    """The same object for equal values: names stand in a million records."""
    return value


def _decision(step: ResultExamined) -> tuple[str, Examination | None]:
    """Who decided what, as the statement claims: the replay verifies it, or is silent by now."""
    try:
        envelope = signing.parse_envelope(step.examination)
        said: ResultExamination = signing.peek(envelope, [ResultExamination])
    except DocumentError:
        return "", None
    return envelope.key_id, said.decision


def _lacking(holders: Iterable[str], acts: Iterable[Act]) -> list[str]:
    given = {act.party for act in acts}
    return [name for name in holders if name not in given]


def _reason(step: Step) -> str:
    reason = getattr(step, "reason", None)
    return "" if reason is None else _code(reason)


@functools.cache
def _code(value: enum.Enum) -> str:
    return value.name.lower()


@functools.lru_cache(maxsize=4096)
def _codes(values: tuple[enum.Enum, ...]) -> tuple[str, ...]:
    return tuple(map(_code, values))


def _words(values: Iterable[enum.Enum | None]) -> str:
    return ", ".join(_code(value).replace("_", " ") for value in values if value is not None)


def _list(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
