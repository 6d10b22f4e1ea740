"""Commands of persons with keys of their own: reviewer …, checker …."""

from __future__ import annotations

import contextlib
import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stayput.cli.opening import find_run, find_scenario, opened, recording
from stayput.cli.scenarios import ScenarioId, moment
from stayput.cli.terminal import (
    DEFAULT_HOME,
    AsJson,
    Home,
    ask_passphrase,
    choose_passphrase,
    confirm,
    put,
    put_json,
    put_result,
    put_table,
    read_file,
    result_json,
    say,
    write_file,
)
from stayput.errors import ConfigurationError

if TYPE_CHECKING:
    from stayput.crypto.signing import SigningKey


class FailName(enum.StrEnum):
    """Reasons as they are typed; they stand in the log as codes."""

    DISCLOSIVE = "disclosive"
    OUTSIDE_PURPOSE = "outside-purpose"
    IMPLAUSIBLE = "implausible"
    PROCEDURE = "procedure"


KeyFile = Annotated[Path, typer.Option("--key", help="The person's key file.")]
CopyFile = Annotated[Path, typer.Argument(help="File of `reviewer export`.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="First digits of the run's id.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands of reviewers; those of the checker's people are in ``checking``."""
    group = typer.Typer(help="People who sign with a party.", rich_markup_mode=None)
    group.command("new")(new)
    group.command("enrol")(enrol)
    for command in (export, read, sign, change):
        group.command()(command)
    group.command("sign-card")(sign_card)
    app.add_typer(group, name="reviewer")


def new(
    file: Annotated[Path, typer.Argument(help="File to keep the key in.")],
    unlocked: Annotated[bool, typer.Option("--unlocked", help="Without a passphrase.")] = False,
) -> None:
    """Draw a person's key; prints its public half, for the party's card."""
    from stayput.reviewers import create_reviewer_key

    passphrase = None if unlocked else choose_passphrase("passphrase for the key")
    key = create_reviewer_key(file, passphrase)
    say(f"the key is in {file}; give the line below to whoever forms the party's card")
    put(key.public.hex())


def enrol(
    keys: Annotated[list[str], typer.Argument(metavar="KEY", help="Public keys, hexadecimal.")],
    quorum: Annotated[int, typer.Option(min=1, help="How many of them have to sign.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Put persons' keys on the card of a party that has not joined yet."""
    from stayput.identity import enrol_reviewers, load_identity
    from stayput.reviewers import parse_reviewer

    changed = enrol_reviewers(load_identity(home), [parse_reviewer(key) for key in keys], quorum)
    say(f"{quorum} of {len(changed.reviewers)} reviewers sign with {changed.name}")
    say("hand the card over (again): `stayput card`")


def export(
    scenario: ScenarioId,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a scenario as a file that a person reads and signs on a machine of their own."""
    from stayput import review
    from stayput.session import ScenarioPhase

    with opened(home) as (identity, replica, link):
        digest = find_scenario(identity, replica, link, scenario, prefer=(ScenarioPhase.PROPOSED,))
        copy = review.reading_copy(identity, replica, link, digest)
    write_file(output, copy)
    say(f"read it with `stayput reviewer read {output}`, sign with `stayput reviewer sign`")


def read(file: CopyFile) -> None:
    """Print the report in a file of `reviewer export`; needs no keys, and no network."""
    from stayput.review import parse_reading_copy

    found = parse_reading_copy(read_file(file)).report
    sys.stdout.write(found.text)  # as it is: its digest is what a person signs
    sys.stdout.flush()
    say(f"report {found.digest.hex()}")
    say(f"sign with `stayput reviewer sign --copy {file} --key FILE --report {found.digest.hex()}`")


def sign(
    key: KeyFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the statement.")],
    read: Annotated[str, typer.Option("--report", metavar="HEX", help="The report that was read.")],
    scenario: Annotated[
        str, typer.Argument(metavar="[SCENARIO]", help="Its name or digest, in the party's home.")
    ] = "",
    copy: Annotated[
        Path | None, typer.Option("--copy", help="A file of `reviewer export` instead.")
    ] = None,
    waive: Annotated[list[str] | None, typer.Option(help="A protection to give up.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Sign, as a person, that a party may approve, or authorise, what was read."""
    from stayput import review
    from stayput.cli.opening import parse_fingerprint
    from stayput.session import ScenarioPhase
    from stayput.steps import Waiver

    known = {review.waiver_word(waiver): waiver for waiver in Waiver}
    if unknown := set(waive or ()) - set(known):
        raise ConfigurationError(f"no such protection: {', '.join(sorted(unknown))}")
    if (copy is None) == (not scenario):
        raise ConfigurationError(
            "name a scenario, or a file of `stayput reviewer export` with --copy, and not both"
        )
    if copy is not None:
        reviewed = review.parse_reading_copy(read_file(copy))
    else:
        prefer = (ScenarioPhase.PROPOSED,)
        with opened(home) as (identity, replica, link):
            digest = find_scenario(identity, replica, link, scenario, prefer=prefer)
            reviewed = review.review_report(identity, replica, link, digest)
    statement = review.countersign_report(
        reviewed,
        parse_fingerprint(read),
        _load(key),
        waivers=tuple(known[word] for word in waive or ()),
    )
    write_file(output, statement)
    party = reviewed.report.reader
    verb = "approve" if party in reviewed.scenario.holders else "authority authorise"
    name = reviewed.scenario.name
    say(f"signed for {party}; `stayput {verb} {name} --signature {output}` counts it")


def change(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="All public keys from then on.")
    ] = None,
    quorum: Annotated[int, typer.Option(min=0, help="How many of them have to sign.")] = 0,
    signature: Annotated[
        list[Path] | None, typer.Option(help="Statement of a present reviewer about the card.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the card for them to sign.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Change who the reviewers of a party are; its daemon is stopped meanwhile.

    The present reviewers, as many as have to sign, agree first: write the card with -o, let them
    sign it with `reviewer sign-card`, then call this again with --signature.
    """
    from stayput.daemon import clock, connected, exclusively
    from stayput.identity import load_identity, member_card, next_reviewers
    from stayput.reviewers import parse_reviewer
    from stayput.rotation import change_reviewers
    from stayput.rpc.tls import require_tls13

    require_tls13()
    identity = load_identity(home, lambda: ask_passphrase("passphrase of the Paillier key"))
    following = next_reviewers(identity, [parse_reviewer(key) for key in keys or ()], quorum)
    if output is not None:
        write_file(output, member_card(following))
        say(f"{identity.quorum} of the present reviewers have to sign it: `reviewer sign-card`")
        return
    with exclusively(home), recording(home):
        changed = change_reviewers(
            identity,
            following,
            [read_file(path) for path in signature or ()],
            connected,
            clock,
        )
    say(f"from now on {changed.quorum} of {len(changed.reviewers)} sign with {changed.name}")
    say("next: start the daemon again, and back up the home folder")


def sign_card(
    card: Annotated[Path, typer.Argument(help="Card from `reviewer change -o`.")],
    key: KeyFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the statement.")],
    yes: Yes = False,
) -> None:
    """Sign, as a present reviewer, who the reviewers are from now on."""
    from stayput.countersigning import CardApproved, countersign
    from stayput.membership import verify_card
    from stayput.session import card_digest

    data = read_file(card)
    found = verify_card(data)
    put(f"{found.name}: {found.quorum} of these {len(found.reviewers)} sign from now on")
    for one in found.reviewers:
        put(one.hex())
    if not (yes or confirm("Are these the people?")):
        raise ConfigurationError("nothing was signed", hint="answer the question, or add --yes")
    write_file(output, countersign(CardApproved(found.name, card_digest(data)), _load(key)))
    say(f"signed; `stayput reviewer change … --signature {output}` counts it")


def held(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print the results that wait for this checker's people."""
    from stayput.examination import held_runs

    with opened(home) as (identity, replica, _):
        runs = held_runs(identity, replica)
        states = [
            (run, replica.session.runs[run], replica.session.scenario_of(run)) for run in runs
        ]
    rows = [
        (run.hex(), s.ordered.user, s.held.time, len(s.cleared_by), scenario.proposed.deciders)
        for run, s, scenario in states
        if s.held is not None
    ]
    if as_json:
        names = ("run", "data_user", "held", "cleared", "needed")
        put_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    put_table(
        ("run", "data user", "held", "cleared"),
        [(r[:12], user, moment(when), f"{n} of {of}") for r, user, when, n, of in rows],
    )
    say("read with `stayput checker show RUN`" if rows else "no result is held")


def show(run: RunId, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print a held result, and why it is held; for this checker's people alone."""
    from stayput import examination
    from stayput.store.journal import Journal

    with opened(home) as (identity, replica, _):
        found = find_run(examination.held_runs(identity, replica), run)
        with contextlib.closing(Journal(home / "journal.db")) as journal:
            waiting = examination.held_result(identity, replica, journal, found)
    if as_json:
        put_json(
            {
                "run": found.hex(),
                "statement": waiting.result.statement,
                "commitment": waiting.commitment.hex(),
                "doubts": list(waiting.doubts),
                "cleared": waiting.cleared,
                "needed": waiting.needed,
                "result": result_json(waiting.result.table),
            }
        )
        return
    put_result(waiting.result.table)
    arguments = ", ".join(f"{a.name}={a.value}" for a in waiting.result.arguments)
    say(f"run {found.hex()}, {waiting.result.statement}({arguments})")
    say(f"held: {', '.join(waiting.doubts) or 'every result of the scenario is'}")
    say(f"{waiting.cleared} of {waiting.needed} people have cleared it")


def pass_(run: RunId, key: KeyFile, yes: Yes = False, home: Home = DEFAULT_HOME) -> None:
    """Clear a held result, as one person; with enough of them it is released."""
    _examine(home, run, key, None, yes)


def fail(
    run: RunId,
    key: KeyFile,
    reason: Annotated[FailName, typer.Option(help="Why: a code, everybody reads it in the log.")],
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """End a run whose result must not be released."""
    _examine(home, run, key, reason, yes)


def _examine(home: Path, run: str, key: Path, reason: FailName | None, yes: bool) -> None:
    from stayput import examination
    from stayput.countersigning import Examination, ExaminationReason
    from stayput.daemon import clock
    from stayput.store.journal import Journal

    decision = Examination.PASS if reason is None else Examination.FAIL
    person = _load(key)
    with opened(home) as (identity, replica, link):
        found = find_run(examination.held_runs(identity, replica), run)
        with contextlib.closing(Journal(home / "journal.db")) as journal:
            waiting = examination.held_result(identity, replica, journal, found)
        if not (yes or confirm(f"{decision.name.capitalize()} the result of {found.hex()[:12]}?")):
            raise ConfigurationError("nothing was signed", hint="answer the question, or add --yes")
        state = examination.examine(
            waiting,
            identity,
            replica,
            link,
            person,
            decision=decision,
            reason=None if reason is None else ExaminationReason[reason.name],
            clock=clock,
        )
    say(f"run {found.hex()[:12]} is {state.phase.name.lower()}")


def _load(key: Path) -> SigningKey:
    from stayput.reviewers import load_reviewer_key

    return load_reviewer_key(key, lambda: ask_passphrase("passphrase of the key"))
