"""Commands that ask, and read answers: run, result, verify, rehearse."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stayput.cli.opening import find_run, grouped, members_from, opened_client
from stayput.cli.scenarios import ScenarioId, moment
from stayput.cli.terminal import (
    DEFAULT_HOME,
    AsJson,
    Home,
    put,
    put_json,
    put_result,
    read_file,
    read_text,
    result_json,
    say,
    write_file,
)
from stayput.errors import InvalidInput, NotYet, Unavailable

if TYPE_CHECKING:
    from stayput.audit import VerifiedRelease
    from stayput.client import Result
    from stayput.membership import Members
    from stayput.release import CheckedResult
    from stayput.session import RunState

StatementName = Annotated[str, typer.Argument(metavar="STATEMENT", help="Name of the statement.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A value for a parameter."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Keep the result and its proof in a file, for `verify`."),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Head = Annotated[int, typer.Option(min=0, metavar="N", help="Print only the first N rows.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (run, result, verify, rehearse):
        app.command()(command)


def run(
    scenario: ScenarioId,
    statement: StatementName,
    parameter: Parameters = None,
    output: Output = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 600.0,
    stored: Annotated[
        bool,
        typer.Option("--stored", help="Print the stored answer, if there is one: free of charge."),
    ] = False,
    head: Head = 0,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Run one statement of a sealed scenario, and print the verified result."""
    form = _form(as_csv, as_json)
    values = parse_parameters(parameter or [])
    started = time.monotonic()
    with opened_client(home) as client:
        digest = client.find(scenario)
        kept = client.answered(digest, statement, **values) if stored else None
        ordered = kept or client.run(digest, statement, **values)
        if kept is not None:
            say(f"answered on {moment(kept.state.ordered.time)}: nothing is charged")
        say(f"run {ordered.id.hex()}")
        try:
            found = ordered.wait(
                timeout=timeout,
                progress=lambda stage: say(f"  {time.monotonic() - started:5.1f} s  {stage}"),
            )
        except (NotYet, Unavailable, KeyboardInterrupt):
            say(f"the run goes on; ask later with `stayput result {ordered.id.hex()[:12]}`")
            raise
    say(f"  {time.monotonic() - started:5.1f} s  fetched, opened and verified")
    _put(found, output, form, head)


def result(
    run: Annotated[str, typer.Argument(metavar="RUN", help="First digits of the run's id.")],
    output: Output = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait if it is not over.")] = 0.0,
    head: Head = 0,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the verified result of a run that was ordered before."""
    form = _form(as_csv, as_json)
    with opened_client(home) as client:
        mine = [
            one
            for one, state in client.replica.session.runs.items()
            if state.ordered.user == client.identity.name
        ]
        found = client.wait_for(find_run(mine, run), timeout=timeout, progress=say)
    _put(found, output, form, head)


def _put(found: Result, output: Path | None, form: str, head: int) -> None:
    if output is not None:
        write_file(output, found.bundle)
    put_result(found.checked.result.table, form=form, head=head)
    if output is not None:
        say(f"result and proof are in {output}: `stayput verify {output}` needs nobody")


def _form(as_csv: bool, as_json: bool) -> str:
    if as_csv and as_json:
        raise InvalidInput("--csv and --json are two answers to one question", hint="choose one")
    return "csv" if as_csv else "json" if as_json else "table"


def parse_parameters(given: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` words; what the values mean is the statement's to say.

    Raises:
        InvalidInput: a word is no such pair, or a name comes twice.
    """
    values: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"{word!r} gives no value", hint="write -p NAME=VALUE")
        if name in values:
            raise InvalidInput(f"{name} is given twice", hint="one value for each parameter")
        values[name] = value
    return values


def rehearse(
    file: Annotated[Path, typer.Argument(help="Scenario file (YAML).")],
    statement: StatementName,
    parameter: Parameters = None,
    rows: Annotated[int, typer.Option(min=1, help="Synthetic rows at each holder.")] = 2000,
    head: Head = 0,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Run a statement on synthetic rows, here and alone, with everything but the real data."""
    from stayput.rehearsal import rehearse as carry_out

    form = _form(as_csv, as_json)
    values = parse_parameters(parameter or [])
    table = carry_out(
        read_text(file), statement, values, rows=rows, progress=lambda stage: say(f"  {stage}")
    )
    put_result(table, form=form, head=head)


def verify(
    bundle: Annotated[Path, typer.Argument(help="File with a result and its proof.")],
    members: Annotated[
        Path | None, typer.Option(help="Member list; the one that --home has joined if left out.")
    ] = None,
    fingerprint: Annotated[
        str, typer.Option(metavar="HEX", help="What the list's fingerprint has to be.")
    ] = "",
    table: Annotated[bool, typer.Option("--table", help="Print the result as well.")] = False,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Verify a result offline, from its file and the member list alone."""
    from stayput.audit import verify_release

    listed = members_from(home, members, fingerprint)
    verified = verify_release(read_file(bundle), listed)
    steps = _steps(verified, listed)
    if as_json:
        put_json(
            {
                "verified": steps,
                "fingerprint": listed.digest.hex(),
                "run": verified.result.run.hex(),
                "scenario": verified.scenario.digest.hex(),
                "statement": verified.result.statement,
                "arguments": {a.name: a.value for a in verified.result.arguments},
                "result": result_json(verified.result.table),
            }
        )
        return
    for number, step in enumerate(steps, 1):
        put(f"{number}. {step}")
    put("verified, against the member list with the fingerprint")
    put(f"   {grouped(listed.digest)}")
    if table:
        put_result(verified.result.table)


def _steps(verified: VerifiedRelease, members: Members) -> list[str]:
    """The steps of :func:`stayput.audit.verify_release`, and what was found in each."""
    scenario, run_state, answered = verified.scenario, verified.run, verified.result
    everybody = ", ".join(scenario.holders)
    arguments = ", ".join(f"{a.name}={a.value}" for a in answered.arguments)
    return [
        f"The checkpoint over {verified.log_size} entries of {members.log_origin} is signed by "
        f"{members.coordinator.name}.",
        f"{len(run_state.entries)} entries of the run and those of its scenario are in that log.",
        f"They obey the rules: {scenario.name} approved by {everybody}; ordered by "
        f"{scenario.data_user}; {_joined(run_state)}"
        f"staged rows destroyed by {', '.join(sorted(run_state.receipts))}; "
        f"sums of exactly these parts; counts judged first, then released, by {scenario.checker}.",
        f"Scenario, order and result are the ones in the log: {answered.statement}({arguments}), "
        f"{_threshold(answered)} in each cell.",
    ]


def _joined(run: RunState) -> str:
    """What a run over a join shows besides."""
    if not run.ordered.pairs:
        return ""
    names = ", ".join(run.ordered.participants)
    return f"joined blindly over {names}; encrypted rows erased by the coordinator; "


def _threshold(answered: CheckedResult) -> str:
    if answered.table.noisy:
        return f"every holder's noise in each number, at least {answered.min_count} noisy rows"
    return f"at least {answered.min_count} rows and {answered.min_holders} holders"
