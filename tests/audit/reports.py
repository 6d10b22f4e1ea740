"""Reports to look at, made by hand: nothing here comes from the code under test."""

from __future__ import annotations

import hashlib

from stayput.audit.report import (
    Act,
    AuditReport,
    ContributionAccount,
    CosignedAt,
    Event,
    Finding,
    LogIdentity,
    Metering,
    Party,
    ReceiptAccount,
    RunAccount,
    ScenarioAccount,
    SumAccount,
)

START = 1_793_700_000  # 2026-11-03 06:00:00 UTC
HOLDERS = ("ewr", "jfk", "lga")
PASSED = (
    "process_reaped",
    "no_files_left",
    "no_open_descriptors",
    "no_core_dump",
    "no_mount_left",
    "confined_by_landlock",
)
NOT_COVERED = ("source_system", "backups", "snapshots", "swap", "page_cache", "row_hashes")


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Log:
    """Counts entries and time while a report is written down."""

    def __init__(self, holders: tuple[str, ...] = HOLDERS, pace: int = 7) -> None:
        self.holders = holders
        self.pace = pace
        self.size = 0
        self.events: list[Event] = []
        self.scenarios: list[ScenarioAccount] = []
        self.runs: list[RunAccount] = []
        self.say("coordinator", "MemberList", "opened the log with its member list")

    def next(self, party: str, reason: str = "") -> Act:
        act = Act(self.size, START + self.pace * self.size, party, reason)
        self.size += 1
        return act

    def say(
        self,
        party: str,
        kind: str,
        sentence: str,
        reason: str = "",
        scenario: str = "",
        run: str = "",
    ) -> Act:
        act = self.next(party, reason)
        self.events.append(Event(act.entry, act.time, party, kind, sentence, scenario, run))
        return act

    def scenario(self, *, user: str = "port-authority", refused: str = "") -> str:
        name = digest("scenario", self.size)
        at = {"scenario": name}
        proposed = self.say(user, "ScenarioProposed", f"proposed scenario {name[:12]}", **at)
        approvals, refusals = [], []
        for holder in self.holders:
            if holder == refused:
                refusals.append(
                    self.say(holder, "ScenarioReviewed", "refused it: legal", "legal", **at)
                )
            else:
                approvals.append(self.say(holder, "ScenarioReviewed", "approved it", **at))
        sealed = None
        if not refused:
            sealed = self.say("coordinator", "ScenarioSealed", "sealed it: all approved", **at)
        self.scenarios.append(
            ScenarioAccount(
                scenario=name,
                proposed=proposed,
                checker="statistics-office",
                holders=self.holders,
                min_holders=2,
                runs_allowed=24,
                runs_ordered=0,
                valid_until=START + 200 * 86_400,
                approvals=tuple(approvals),
                refusals=tuple(refusals),
                revocations=(),
                sealed=sealed,
                phase="refused" if refused else "sealed",
            )
        )
        return name

    def run(
        self, scenario: str, *, user: str = "port-authority", fails: str = "", open_: bool = False
    ) -> RunAccount:
        """``fails`` is ``deletion_failed``, or another reason of failure after the first round."""
        name = digest("run", self.size)[:32]
        at = {"scenario": scenario, "run": name}
        ordered = self.say(user, "RunOrdered", f"ordered run {name[:12]}", **at)
        receipts, parts, sums = [], [], []
        verdict, ended, outcome = None, None, "open"
        for index, holder in enumerate(self.holders):
            bad = fails == "deletion_failed" and index == len(self.holders) - 1
            act = self.next(holder)
            receipts.append(
                ReceiptAccount(
                    entry=act.entry,
                    run=name,
                    holder=holder,
                    staging=digest("staging", act.entry)[:32],
                    method="process_memory",
                    outcome="failed" if bad else "destroyed",
                    passed=tuple(code for code in PASSED if not (bad and code == "no_files_left")),
                    failed=("no_files_left",) if bad else (),
                    not_covered=NOT_COVERED,
                    started=act.time - 4 - index,
                    ended=act.time,
                )
            )
            if bad:
                ended, outcome = act, "failed"
                break
            parts.append(self._part(holder, "counts"))
        if outcome == "open" and not open_:
            sums.append(self._sum("counts"))
            if fails:
                ended = self.say(
                    self.holders[0], "RunFailed", f"ended the run: {fails}", fails, **at
                )
                outcome = "failed"
            else:
                verdict = self.say("statistics-office", "CountsChecked", "judged the counts", **at)
                parts += [self._part(holder, "values") for holder in self.holders]
                sums.append(self._sum("values"))
                ended = self.say("statistics-office", "ResultReleased", "released the result", **at)
                outcome = "released"
        run = RunAccount(
            run=name,
            scenario=scenario,
            order=digest("order", name),
            ordered=ordered,
            participants=self.holders,
            rounds=2,
            receipts=tuple(receipts),
            contributions=tuple(parts),
            sums=tuple(sums),
            verdict=verdict,
            outcome=outcome,
            ended=ended,
            reason=fails,
            result=digest("result", name) if outcome == "released" else "",
            cosigned_size=self.size if outcome == "released" else 0,
        )
        self.runs.append(run)
        return run

    def _part(self, holder: str, phase: str) -> ContributionAccount:
        act = self.next(holder)
        return ContributionAccount(act.entry, act.time, holder, phase, digest("part", act.entry))

    def _sum(self, phase: str) -> SumAccount:
        act = self.next("coordinator")
        return SumAccount(act.entry, act.time, phase, digest("sum", act.entry))

    def report(self, *findings: Finding) -> AuditReport:
        last = START + self.pace * (self.size - 1)
        users = sorted({one.proposed.party for one in self.scenarios})
        parties = (
            Party("coordinator", "coordinator", digest("key", "coordinator")[:32]),
            Party("statistics-office", "checker", digest("key", "checker")[:32]),
            *(
                Party(name, "user", digest("key", name)[:32])
                for name in users or ["port-authority"]
            ),
            *(Party(name, "holder", digest("key", name)[:32]) for name in self.holders),
        )
        metering = [
            Metering(
                name,
                "user",
                ordered=sum(run.ordered.party == name for run in self.runs),
                released=self._count("released", user=name),
                failed=self._count("failed", user=name),
            )
            for name in users
        ] + [
            Metering(
                name,
                "holder",
                took_part=len(self.runs),
                released=self._count("released"),
                failed=self._count("failed"),
                receipts=sum(one.holder == name for run in self.runs for one in run.receipts),
                staging_seconds=sum(
                    one.seconds for run in self.runs for one in run.receipts if one.holder == name
                ),
                contributions=sum(
                    one.holder == name for run in self.runs for one in run.contributions
                ),
            )
            for name in self.holders
        ]
        return AuditReport(
            log=LogIdentity(
                origin="airports.stayput",
                size=self.size,
                root=digest("root", self.size),
                fingerprint=digest("members"),
                started=START,
                last=last,
                cosigned=tuple(
                    CosignedAt(f"airports.stayput/{kind}/{name}", last + 2)
                    for name in self.holders
                    for kind in ("auditor", "witness")
                ),
            ),
            findings=findings,
            parties=parties,
            timeline=tuple(sorted(self.events, key=lambda event: event.entry)),
            scenarios=tuple(self.scenarios),
            runs=tuple(self.runs),
            metering=tuple(metering),
        )

    def _count(self, outcome: str, *, user: str = "") -> int:
        return sum(
            run.outcome == outcome and (not user or run.ordered.party == user) for run in self.runs
        )


def short_report(*findings: Finding) -> AuditReport:
    """Two scenarios, one refused; four runs: two released, one failed, one with a bad receipt."""
    log = Log()
    first = log.scenario()
    log.run(first)
    log.scenario(refused="lga", user="planning")
    log.run(first, fails="timed_out")
    log.run(first)
    log.run(first, fails="deletion_failed")
    log.run(first, open_=True)
    return log.report(*findings)


def long_report(runs: int, *findings: Finding, holders: int = 3) -> AuditReport:
    """As many runs as wanted, every fiftieth failed; a scenario for every twenty."""
    log = Log(tuple(f"holder-{place:02d}" for place in range(holders)), pace=41)
    scenario = ""
    for place in range(runs):
        if place % 20 == 0:
            scenario = log.scenario()
        log.run(scenario, fails="timed_out" if place % 50 == 49 else "")
    return log.report(*findings)


def empty_report() -> AuditReport:
    """A log that was opened, and nothing else."""
    return Log().report()
