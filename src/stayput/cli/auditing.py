"""Commands of an audit: log pack, log policy, audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stayput.cli.opening import opened
from stayput.cli.terminal import (
    DEFAULT_HOME,
    AsJson,
    Home,
    progress_bar,
    put,
    put_json,
    put_table,
    read_file,
    say,
    write_file,
)
from stayput.errors import VerificationError

if TYPE_CHECKING:
    from stayput.audit.report import AuditReport, Finding

TIMELINE_ROWS = 200
"""Lines of the timeline on a terminal: the newest ones; ``--json`` and ``--html`` have more."""


def register(app: typer.Typer) -> None:
    """Add the command that asks nobody."""
    app.command()(audit)


def register_log(group: typer.Typer) -> None:
    """Add the commands that make what an auditor needs to the group of the log's commands."""
    group.command("pack")(pack)
    group.command("policy")(policy)


def pack(
    file: Annotated[Path, typer.Argument(help="File to write: one archive with the whole log.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the review pack: all that an auditor needs of the log, in one file.

    It reaches to the newest checkpoint that every holder has cosigned.
    """
    from stayput.pack_file import write_pack_file

    with opened(home) as (_, replica, link):
        size = write_pack_file(file, replica, link)
        behind = replica.size - size
    say(f"{size} entries are in {file}")
    if behind:
        say(f"the newest {behind} are not cosigned by every holder yet, and not in it")


def policy(
    file: Annotated[Path, typer.Argument(help="File to write: whom an auditor is to trust.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the trust policy of this consortium: the keys of the log and of every holder.

    Hand it to the auditor by another way than the pack, and compare its fingerprint.
    """
    import hashlib

    from stayput.pack_file import holders_policy

    with opened(home) as (_, replica, _link):
        data = holders_policy(replica.members).encode()
    write_file(file, data)
    say(f"the policy is in {file}; its SHA-256 is {hashlib.sha256(data).hexdigest()}")


def audit(
    file: Annotated[Path, typer.Argument(metavar="PACK", help="A review pack.")],
    policy: Annotated[
        Path, typer.Option(metavar="FILE", help="Whom to trust; from elsewhere than the pack.")
    ],
    since: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An older checkpoint of the log that you have kept."),
    ] = None,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as a web page.")
    ] = None,
    crate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a Five Safes RO-Crate (ZIP).")
    ] = None,
) -> None:
    """Verify a review pack offline, and say what happened: asks nobody, trusts only the policy."""
    from stayput.pack_file import audit_file
    from stayput.tlog.policy import parse_policy

    trusted = read_file(policy)
    report = audit_file(
        file,
        parse_policy(trusted),
        since=None if since is None else read_file(since),
        progress=progress_bar("entries audited"),
    )
    if as_json:
        put_json(report.to_json())
    else:
        _show(report)
    if html is not None:
        from stayput.audit.page import render_page

        write_file(html, render_page(report))
        say(f"the report is in {html}")
    if crate is not None:
        _write_crate(crate, report, file, trusted)
        say(f"the crate is in {crate}")
    violations = _violations(report)
    if violations:
        raise VerificationError(
            f"the pack does not stand: {_finding(violations[0])}",
            hint="keep pack and policy as evidence, and compare with the other members",
        )


def _write_crate(crate: Path, report: AuditReport, file: Path, trusted: bytes) -> None:
    from stayput import __version__
    from stayput.audit.crate import write_crate
    from stayput.pack_file import written

    with file.open("rb") as source, written(crate) as out:
        write_crate(report, source, trusted, out, version=__version__)


# --- in words -------------------------------------------------------------------------------------


def _show(report: AuditReport) -> None:
    from stayput.audit.moments import day, duration, moment

    log = report.log
    passed = not _violations(report)
    put(f"{'PASS' if passed else 'FAIL'}: the log {log.origin}, {log.size} entries")
    if log.size:  # of a pack that cannot be read there is nothing to tell but what is wrong
        put(f"  root         {log.root}")
        put(f"  member list  {log.fingerprint}")
        put(f"  entries from {moment(log.started)} to {moment(log.last)}")
    for one in log.cosigned:
        put(f"  cosigned     {moment(one.time)} {one.name}")
    outcomes = [run.outcome for run in report.runs]
    put(
        f"  {len(report.scenarios)} scenarios; {len(outcomes)} runs: "
        f"{outcomes.count('released')} released, {outcomes.count('failed')} failed, "
        f"{outcomes.count('open')} open; {len(report.receipts)} deletion receipts"
    )
    if report.findings:
        put("")
        put("Findings")
        for finding in report.findings:
            put(f"  {finding.severity.value}: {_finding(finding)}")
    if not log.size:
        return
    put("")
    put("What happened")
    left_out = len(report.timeline) - TIMELINE_ROWS
    if left_out > 0:
        put(f"  … {left_out} earlier events; --html and --json have more")
    for event in report.timeline[-TIMELINE_ROWS:]:
        put(f"  {event.entry:>6}  {moment(event.time)[:-4]}  {event.sentence}")
    if report.metering:
        put("")
        rows = [
            (
                one.party,
                one.role,
                *map(str, (one.ordered, one.took_part, one.released, one.failed, one.receipts)),
                duration(one.staging_seconds),
            )
            for one in report.metering
        ]
        headers = ("party", "role", "ordered", "took part", "released", "failed", "receipts")
        put_table((*headers, "rows staged"), rows, numbers=frozenset(range(2, 8)))
    put("")
    word = "True" if passed else "Read"
    put(f"{word} up to entry {log.size - 1}; the oldest entry is of {day(log.started)}.")


def _violations(report: AuditReport) -> list[Finding]:
    from stayput.audit.report import Severity

    return [one for one in report.findings if one.severity is Severity.VIOLATION]


def _finding(finding: Finding) -> str:
    where = "" if finding.entry is None else f"entry {finding.entry}: "
    member = f"{finding.member}: " if finding.member else ""
    clause = f" (clause {finding.clause})" if finding.clause else ""
    return f"{where}{member}{finding.message}{clause}"
