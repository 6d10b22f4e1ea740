"""Commands of a holder about scenarios: pending, report, approve, refuse, revoke."""

from __future__ import annotations

import contextlib
import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stayput.cli.opening import (
    find_scenario,
    match_prefix,
    opened,
    opened_ledger,
    parse_fingerprint,
    scenario_names,
)
from stayput.cli.scenarios import ScenarioId, moment
from stayput.cli.terminal import (
    DEFAULT_HOME,
    AsJson,
    Home,
    confirm,
    put_json,
    put_table,
    read_file,
    say,
)
from stayput.errors import ConfigurationError, RuleViolation

if TYPE_CHECKING:
    from stayput.differencing import StaticAudit
    from stayput.identity import Identity
    from stayput.review import Review
    from stayput.scenario import Scenario


DAY_SECONDS = 86_400


class WaiverName(enum.StrEnum):
    """Waivers as they are typed."""

    TWO_HOLDERS = "two-holders"


class ReasonName(enum.StrEnum):
    """Reasons as they are typed; they stand in the log as codes."""

    UNSPECIFIED_BY_HOLDER = "unspecified-by-holder"
    PURPOSE = "purpose"
    DATA_TOO_SENSITIVE = "data-too-sensitive"
    STATEMENT_TOO_DETAILED = "statement-too-detailed"
    OUTPUT_POLICY_TOO_WEAK = "output-policy-too-weak"
    LIMITS_TOO_WIDE = "limits-too-wide"
    DATA_NOT_AVAILABLE = "data-not-available"
    LEGAL = "legal"


Reason = Annotated[ReasonName, typer.Option(help="Why: a code, everybody reads it in the log.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (pending, report, approve, refuse, revoke):
        app.command()(command)


def pending(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print the scenarios that wait for this holder's, or authority's, decision."""
    from stayput.review import pending_reviews

    with opened(home) as (identity, replica, link):
        waiting = pending_reviews(identity, replica)
        names = dict(scenario_names(identity, replica, link)) if waiting else {}
    rows = [
        (digest.hex(), names[digest], replica.session.scenarios[digest].proposed)
        for digest in waiting
    ]
    if as_json:
        put_json([{"digest": d, "name": name, "data_user": p.user} for d, name, p in rows])
        return
    put_table(
        ("digest", "name", "data user", "proposed"),
        [(d[:12], name, p.user, moment(p.time)) for d, name, p in rows],
    )
    say("read with `stayput report NAME`" if rows else "nothing waits for review")


def report(scenario: ScenarioId, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print the approval report: what this holder, or authority, reads before it decides."""
    from stayput.review import audit_beside, review_report
    from stayput.session import ScenarioPhase

    with opened(home) as (identity, replica, link):
        digest = find_scenario(identity, replica, link, scenario, prefer=(ScenarioPhase.PROPOSED,))
        reviewed = review_report(identity, replica, link, digest)
        beside = audit_beside(identity, replica, link, reviewed.scenario)
    found = reviewed.report
    if as_json:
        put_json(
            {
                "scenario": digest.hex(),
                "reader": found.reader,
                "digest": found.digest.hex(),
                "warnings": [
                    {"kind": w.kind.name, "sentence": w.sentence, **dict(w.parameters)}
                    for w in found.warnings
                ],
                "text": found.text,
                "beside_other_scenarios": [] if beside is None else [*map(str, beside.findings)],
            }
        )
        return
    sys.stdout.write(found.text)  # as it is: its digest is what an approval signs
    sys.stdout.flush()
    if beside is not None:
        _say_beside(beside)
    _say_here(home, identity, reviewed.scenario)
    say(f"report {found.digest.hex()}")
    if found.reader in reviewed.scenario.holders:
        say("approve with `stayput approve`, or refuse with `stayput refuse --reason CODE`")
    else:
        say("`stayput authority authorise`, or `stayput authority refuse --reason CODE`")


def _say_here(home: Path, identity: Identity, scenario: Scenario) -> None:
    """What depends on this moment and this holder's settings, and so is not in the report."""
    from stayput.config import load_settings
    from stayput.daemon import clock
    from stayput.quota import Use, concerned

    now = clock()
    days = (scenario.limits.valid_until - now) // DAY_SECONDS
    say("it has expired" if days < 0 else f"it is valid for {days} more days (not in the report)")
    if identity.name not in scenario.holders:
        return
    use = Use(scenario.data_user, tuple(table.name for table in scenario.tables), now)
    quotas = concerned(load_settings(home).quotas, use)
    if not quotas:
        return
    with opened_ledger(identity) as ledger:
        for quota in quotas:
            used, each = ledger.used(quota, now)
            left = [quota.runs - used] if quota.runs else []
            if quota.runs_per_user:
                left.append(quota.runs_per_user - each.get(scenario.data_user, 0))
            say(
                f"your quota {quota.name} leaves {scenario.data_user} {max(0, min(left))} runs, the"
                f" scenario asks for {scenario.limits.runs} (not in the report)"
            )


def _say_beside(beside: StaticAudit) -> None:
    """What is not in the signed report: other scenarios of the data user, which we know."""
    say("Beside other scenarios of the same data user about these tables (not in the report):")
    for finding in beside.findings:
        say(f"  {finding}")
    if not beside.found:
        say("  no group of rows was found that their answers isolate together")
    elif beside.found > len(beside.findings):
        say(f"  at least {beside.found} in all")
    for text in beside.undecided:
        say(f"  Not decided: {text}")


def approve(
    scenario: ScenarioId,
    waive: Annotated[list[WaiverName] | None, typer.Option(help="A protection to give up.")] = None,
    read: Annotated[
        str, typer.Option("--report", metavar="HEX", help="The report that was read.")
    ] = "",
    signature: Annotated[
        list[Path] | None, typer.Option(help="Statement of a reviewer, from `reviewer sign`.")
    ] = None,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Approve a scenario: sign its digest and that of exactly this holder's report."""
    from stayput import review
    from stayput.config import load_settings
    from stayput.daemon import clock
    from stayput.session import ScenarioPhase
    from stayput.steps import Waiver

    waivers = tuple(Waiver[name.name] for name in waive or ())
    with opened(home) as (identity, replica, link), opened_ledger(identity) as ledger:
        digest = find_scenario(identity, replica, link, scenario, prefer=(ScenarioPhase.PROPOSED,))
        reviewed = review.review_report(identity, replica, link, digest)
        require_report(reviewed, read)
        require_yes(yes, f"Approve it in the name of {identity.name}?")
        settings = load_settings(home)
        review.approve(
            reviewed,
            identity,
            replica,
            link,
            ledger,
            waivers=waivers,
            countersignatures=[read_file(path) for path in signature or ()],
            floor=settings.review,
            ceiling=settings.ceiling,
            budgets=settings.budgets,
            clock=clock,
        )
        state = replica.session.scenarios[digest]
    say(f"approved by {identity.name}; the scenario is {state.phase.name.lower()}")


def require_report(reviewed: Review, read: str) -> None:
    """Say which report will be signed; it is the one that was read, if that was named.

    Args:
        read: its digest as a person typed it, or nothing.

    Raises:
        RuleViolation: it is another one.
    """
    signed = reviewed.report.digest
    if read and parse_fingerprint(read) != signed:
        raise RuleViolation(
            "the report is not the one that was read",
            clause="S-2",
            hint="read it again: `stayput report`",
        )
    say(f"scenario {reviewed.scenario.name}, digest {reviewed.scenario.digest.hex()}")
    say(f"report   {signed.hex()}")
    warnings = [warning.kind.name for warning in reviewed.report.warnings]
    if warnings:
        say(f"warnings {', '.join(warnings)} (in words: `stayput report`)")


def refuse(
    scenario: ScenarioId, reason: Reason, yes: Yes = False, home: Home = DEFAULT_HOME
) -> None:
    """Refuse a scenario, for everybody and for good."""
    from stayput import review
    from stayput.daemon import clock
    from stayput.session import ScenarioPhase
    from stayput.steps import RefusalReason

    with opened(home) as (identity, replica, link):
        digest = find_scenario(identity, replica, link, scenario, prefer=(ScenarioPhase.PROPOSED,))
        reviewed = review.review_report(identity, replica, link, digest)
        require_yes(yes, f"Refuse {reviewed.scenario.name} in the name of {identity.name}?")
        review.refuse(
            reviewed, identity, replica, link, reason=RefusalReason[reason.name], clock=clock
        )
    say(f"refused by {identity.name}")


def revoke(
    scenario: ScenarioId, reason: Reason, yes: Yes = False, home: Home = DEFAULT_HOME
) -> None:
    """Take an approval back, from the next step on; the own node stops even if nobody is there."""
    from stayput import review
    from stayput.daemon import clock
    from stayput.identity import load_identity
    from stayput.session import ScenarioPhase
    from stayput.steps import RefusalReason

    identity = load_identity(home)
    require_yes(yes, f"Take the approval of {scenario} back, for good?")
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(opened_ledger(identity))
        digest = _known_here(identity, scenario)
        if digest is not None:  # before anything that needs the coordinator
            review.revoke_locally(identity, ledger, digest)
        identity, replica, link = stack.enter_context(opened(home))
        if digest is None:
            phases = (ScenarioPhase.SEALED, ScenarioPhase.USED_UP, ScenarioPhase.PROPOSED)
            digest = find_scenario(identity, replica, link, scenario, prefer=phases)
            review.revoke_locally(identity, ledger, digest)
        review.publish_revocation(
            identity, replica, link, digest, reason=RefusalReason[reason.name], clock=clock
        )
    say(f"revoked by {identity.name}")


def _known_here(identity: Identity, text: str) -> bytes | None:
    """The scenario whose digest starts so, by this holder's own copy of the log alone."""
    from stayput.identity import load_members
    from stayput.replica import Replica
    from stayput.store.journal import Journal

    path = identity.home / "journal.db"
    if not path.exists():
        return None
    with contextlib.closing(Journal(path)) as journal:
        replica = Replica(load_members(identity.home), journal)
    return match_prefix(replica.session.scenarios, text, "scenario")


def require_yes(yes: bool, question: str) -> None:
    """A yes on the command line or the terminal.

    Raises:
        ConfigurationError: there is none.
    """
    if yes or confirm(question):
        return
    raise ConfigurationError(
        "nothing was signed", hint="answer the question on a terminal, or add --yes"
    )
