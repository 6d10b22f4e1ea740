"""Commands about what happened: log show, log verify, log evidence, wire."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stayput.cli import auditing, consortium
from stayput.cli.opening import members_from, opened
from stayput.cli.scenarios import moment
from stayput.cli.terminal import (
    DEFAULT_HOME,
    AsJson,
    Home,
    put,
    put_json,
    put_table,
    say,
    write_file,
)
from stayput.errors import InvalidInput, VerificationError

if TYPE_CHECKING:
    from stayput.audit import LogReport
    from stayput.membership import Members
    from stayput.steps import Step


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Read and verify the transparency log.", rich_markup_mode=None)
    group.command("show")(show)
    group.command("verify")(verify)
    group.command("evidence")(evidence)
    auditing.register_log(group)
    consortium.register_log(group)
    app.add_typer(group, name="log")
    app.command()(wire)


def show(
    kind: Annotated[
        str, typer.Option(metavar="STEP", help="Only these, such as StagingDestroyed.")
    ] = "",
    run: Annotated[str, typer.Option(metavar="RUN", help="Only of this run.")] = "",
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the entries of the log, verified."""
    from stayput.steps import STEP_CLASSES

    kinds = {one.__name__ for one in STEP_CLASSES}
    if kind and kind not in kinds:
        raise InvalidInput(f"there is no step {kind!r}", hint="steps: " + ", ".join(sorted(kinds)))
    report, listed, entries = _replayed(home)
    chosen = [
        (index, step)
        for index, step in enumerate(report.steps)
        if (not kind or type(step).__name__ == kind)
        and (not run or getattr(step, "run", b"").hex().startswith(run.lower()))
    ]
    if as_json:
        put_json([_step_json(index, step, entries[index], listed) for index, step in chosen])
    else:
        rows = [_step_row(index, step, listed) for index, step in chosen]
        put_table(("entry", "time", "by", "step", "about", "says"), rows, numbers=frozenset({0}))
    _require_no_finding(report)


def verify(
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Replay the whole log and report the first entry that the rules refuse."""
    report, listed, _ = _replayed(home)
    finding = report.finding
    if as_json:
        put_json(
            {
                "origin": listed.log_origin,
                "fingerprint": listed.digest.hex(),
                "size": report.size,
                "root": report.root.hex(),
                "finding": None if finding is None else finding.to_json(),
                "steps": _counted(report.steps),
            }
        )
    else:
        put(f"1. The checkpoint of {listed.log_origin} is signed by {listed.coordinator.name}.")
        if finding is None:
            put("2. Entry 0 is the member list given.")
            put(f"3. All {report.size} entries obey the rules:")
            for name, count in _counted(report.steps).items():
                put(f"   {count:5} {name}")
            put("4. The tree over exactly these entries is the one that was signed.")
            put(f"Compare with other members: size {report.size}, root {report.root.hex()}")
    _require_no_finding(report)


def evidence(
    file: Annotated[Path | None, typer.Argument(help="File to write; shown if left out.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """What this party has kept that shows a forked or shortened log. Asks nobody."""
    import contextlib

    from stayput.evidence import MEANINGS, evidence_file
    from stayput.identity import load_members
    from stayput.store.journal import Journal, Kept
    from stayput.tlog.checkpoint import claimed_checkpoint

    members = load_members(home)
    kept: tuple[Kept, ...] = ()
    if (home / "journal.db").exists():
        with contextlib.closing(Journal(home / "journal.db")) as journal:
            kept = journal.evidence()
    if not kept:
        say("nothing was shown to this party that contradicts its copy of the log")
        return
    if file is not None:
        write_file(file, evidence_file(kept, members))
        say(f"{len(kept)} notes are in {file}: compare with the other members")
        return
    rows = [
        (
            MEANINGS[one.kind],
            str(claimed_checkpoint(one.note).size),
            str(claimed_checkpoint(one.held).size) if one.held else "0",
        )
        for one in kept
    ]
    put_table(("what happened", "size shown", "size held"), rows, numbers=frozenset({1, 2}))


def wire(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print what went over this party's wire since it started: kinds and bytes, no content."""
    from stayput.identity import load_identity
    from stayput.traffic import party_traffic

    load_identity(home)
    counted = party_traffic(home)
    if as_json:
        put_json(counted)
        return
    put_table(
        ("call", "direction", "what", "messages", "bytes"),
        [
            (
                one["method"],
                one["direction"],
                one["kind"],
                f"{one['messages']}",
                f"{one['bytes']:,}",
            )
            for one in counted
        ],
        numbers=frozenset({3, 4}),
    )
    for direction in ("sent", "received"):
        total = sum(one["bytes"] for one in counted if one["direction"] == direction)
        say(f"{direction} {total:,} bytes")


# --- replaying ------------------------------------------------------------------------------------


def _replayed(home: Path) -> tuple[LogReport, Members, tuple[bytes, ...]]:
    """The log as this party holds it now, replayed from its bytes alone."""
    from stayput.audit import verify_log

    listed = members_from(home, None, "")
    with opened(home) as (_, replica, _link):
        entries, checkpoint = tuple(replica.entries), replica.checkpoint
    return verify_log(entries, checkpoint, listed), listed, entries


def _require_no_finding(report: LogReport) -> None:
    if report.finding is not None:
        clause = f" (clause {report.finding.clause})" if report.finding.clause else ""
        raise VerificationError(
            f"the log does not stand: entry {report.finding.entry}: "
            f"{report.finding.message}{clause}",
            hint="keep what you hold as evidence, and compare checkpoints with the other members",
        )


def _counted(steps: tuple[Step, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for step in steps:
        name = type(step).__name__
        counts[name] = counts.get(name, 0) + 1
    return counts


# --- entries in words -----------------------------------------------------------------------------

_UNSAID = frozenset({"run", "scenario", "time", "started", "ended", "cards", "holder", "user"})
"""Fields that have a place of their own in a row, or say nothing to people."""


def _step_row(index: int, step: Step, members: Members) -> tuple[str, ...]:
    from stayput.session import signer_of

    when: int = getattr(step, "time", 0) or getattr(step, "ended", 0)
    about = getattr(step, "run", None) or getattr(step, "scenario", None)
    return (
        str(index),
        moment(when)[:-4],
        signer_of(step, members)[0],
        type(step).__name__,
        about.hex()[:12] if about else "",
        _says(step),
    )


def _says(step: Step) -> str:
    words = []
    for field in dataclasses.fields(step):
        text = _words(getattr(step, field.name))
        if field.name not in _UNSAID and text:
            words.append(f"{field.name} {text}")
    return "; ".join(words)


def _words(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()[:12] + "…"
    if isinstance(value, tuple):
        return ", ".join(_words(one) for one in value)
    return "" if value is None else str(value)


def _step_json(index: int, step: Step, entry: bytes, members: Members) -> dict[str, Any]:
    import json

    from stayput import documents
    from stayput.session import signer_of

    return {
        "entry": index,
        "step": type(step).__name__,
        "by": signer_of(step, members)[0],
        "document": json.loads(documents.encode(step)),
        "bytes": len(entry),
    }
