"""Commands about scenarios: scenario check, propose, list, show."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stayput.cli.opening import find_scenario, opened, opened_client, phase_words
from stayput.cli.terminal import (
    DEFAULT_HOME,
    AsJson,
    Home,
    put,
    put_json,
    put_table,
    read_text,
    say,
)

if TYPE_CHECKING:
    from stayput.errors import ScenarioError
    from stayput.scenario import Scenario
    from stayput.session import ScenarioState

ScenarioId = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="Its name, or the first digits of its digest.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Write, propose and look at scenarios.", rich_markup_mode=None)
    group.command("check")(check)
    group.command("propose")(propose)
    group.command("list")(list_scenarios)
    group.command("show")(show)
    group.command("diff")(diff)
    app.add_typer(group, name="scenario")


def check(
    file: Annotated[Path, typer.Argument(help="Scenario file (YAML).")], as_json: AsJson = False
) -> None:
    """Explain every mistake in a scenario file, before anybody else sees it."""
    from stayput.scenario_file import check_scenario_file, parse_scenario_file

    text = read_text(file)
    mistakes = check_scenario_file(text)
    if as_json:
        put_json([_mistake_json(mistake) for mistake in mistakes])
    else:
        for mistake in mistakes:
            put(f"{file}:{mistake.line}:{mistake.column}: {_mistake(mistake)}")
            if mistake.hint:
                put(f"    hint: {mistake.hint}")
    if mistakes:
        say(f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''} in {file}")
        raise typer.Exit(1)
    found = parse_scenario_file(text, nonce=bytes(16))
    for who in _who_signs(found):
        say(who)
    say(f"{file} can be proposed; `stayput rehearse` shows what would come out")


def _who_signs(scenario: Scenario) -> Iterator[str]:
    """Who has to agree before it is sealed."""
    yield f"each of these holders has to approve: {', '.join(scenario.holders)}"
    for authority in scenario.authorities:
        yield f"{authority.name} has to authorise it as well, for {', '.join(authority.holders)}"
    if scenario.deciders:
        yield f"of {scenario.checker}'s people, {scenario.deciders} clear results that are held"


def _mistake(mistake: ScenarioError) -> str:
    return f"{mistake.where}: {mistake.message}" if mistake.where else mistake.message


def _mistake_json(mistake: ScenarioError) -> dict[str, Any]:
    return {
        "line": mistake.line,
        "column": mistake.column,
        "where": mistake.where,
        "message": mistake.message,
        "hint": mistake.hint,
    }


def propose(
    file: Annotated[Path, typer.Argument(help="Scenario file (YAML).")], home: Home = DEFAULT_HOME
) -> None:
    """Propose a scenario to its holders; prints its digest, its identity from now on."""
    text = read_text(file)
    with opened_client(home) as client:
        digest = client.propose(text)
        proposed = client.state(digest).proposed
    say(f"proposed; waits for the approval of {', '.join(proposed.holders)}")
    if proposed.authorities:
        say(f"and for the authorisation of {', '.join(proposed.authorities)}")
    put(digest.hex())


def list_scenarios(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print all scenarios of the consortium; names only of those in which you are."""
    from stayput.cli.opening import scenario_names

    with opened(home) as (identity, replica, link):
        names = dict(scenario_names(identity, replica, link))
    states = replica.session.scenarios
    now = int(time.time())
    if as_json:
        put_json(
            [
                _scenario_json(digest, state, names.get(digest), now)
                for digest, state in states.items()
            ]
        )
        return
    put_table(
        ("digest", "name", "data user", "phase", "approved", "runs", "valid until"),
        [
            _scenario_row(digest, state, names.get(digest, ""), now)
            for digest, state in states.items()
        ],
    )


def _scenario_row(digest: bytes, state: ScenarioState, name: str, now: int) -> tuple[str, ...]:
    proposed = state.proposed
    approved = sum(review.decision.name == "APPROVED" for review in state.reviews.values())
    return (
        digest.hex()[:12],
        name,
        proposed.user,
        phase_words(state, now),
        f"{approved} of {len(proposed.holders)}",
        f"{state.runs_ordered} of {proposed.runs}",
        moment(proposed.valid_until - 1),
    )


def _scenario_json(
    digest: bytes, state: ScenarioState, name: str | None, now: int
) -> dict[str, Any]:
    proposed = state.proposed
    return {
        "digest": digest.hex(),
        "name": name,
        "data_user": proposed.user,
        "checker": proposed.checker,
        "phase": phase_words(state, now),
        "reviews": {
            holder: state.reviews[holder].decision.name.lower() if holder in state.reviews else None
            for holder in proposed.holders
        },
        "authorisation": (
            "dispersed" if proposed.authorisation is None else proposed.authorisation.name.lower()
        ),
        "authorisations": {
            name: state.authorisations[name].decision.name.lower()
            if name in state.authorisations
            else None
            for name in proposed.authorities
        },
        "replaces": None if proposed.replaces is None else proposed.replaces.hex(),
        "refusals": list(state.refusals()),
        "runs_ordered": state.runs_ordered,
        "runs": proposed.runs,
        "valid_until": proposed.valid_until,
    }


def show(scenario: ScenarioId, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print a scenario in which you are, and who has reviewed it; --json prints the document."""
    from stayput import documents
    from stayput.review import fetch_scenario
    from stayput.vertical.models import ask_model
    from stayput.vertical.wording import model_sentences

    with opened(home) as (identity, replica, link):
        digest = find_scenario(identity, replica, link, scenario)
        found = fetch_scenario(replica, link, digest)
    states = replica.session.scenarios
    state = states[digest]
    if as_json:
        put_json(json.loads(documents.encode(found)))
        return
    put(f"{found.name}: {found.title}")
    put(f"digest       {digest.hex()}")
    put(f"phase        {phase_words(state, int(time.time()))}")
    put(f"data user    {found.data_user}")
    put(f"checker      {found.checker}")
    put(f"runs         {state.runs_ordered} of {found.limits.runs}")
    put(f"valid until  {moment(found.limits.valid_until - 1)}")
    for holder in found.holders:
        put(f"holder       {holder}: {_review_words(state, holder)}")
    for authority in found.authorities:
        served, said = ", ".join(authority.holders), _authority_words(state, authority.name)
        put(f"authority    {authority.name}, for {served}: {said}")
    if state.revoked is not None:
        put(f"revoked      by {state.revoked.holder}, {state.revoked.reason.name}")
    if found.replaces is not None:
        put(f"replaces     {found.replaces.hex()}")
    replaced = [d for d, other in states.items() if other.proposed.replaces == digest]
    for newer in replaced:
        put(f"replaced by  {newer.hex()}: {phase_words(states[newer], int(time.time()))}")
    for statement in found.statements:
        put(f"\n{statement.name}({', '.join(p.name for p in statement.parameters)})")
        put("    " + statement.sql.strip().replace("\n", "\n    "))
    for model in found.models:
        put(f"\n{model.name}")
        for line in model_sentences(ask_model(model, found.tables)):
            put(f"    {line}")


def diff(
    earlier: ScenarioId,
    later: Annotated[str, typer.Argument(metavar="LATER", help="The other one.")],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print everything in which two scenarios differ, both of which you are in."""
    from stayput.approval import difference_lines
    from stayput.review import fetch_scenario
    from stayput.versions import differences

    with opened(home) as (identity, replica, link):
        texts = [
            fetch_scenario(replica, link, find_scenario(identity, replica, link, name))
            for name in (earlier, later)
        ]
    found = differences(*texts)
    if as_json:
        put_json(
            [
                {"place": d.place, "change": d.change.name.lower(), "lines": list(d.lines())}
                for d in found
            ]
        )
        return
    for line in difference_lines(found):
        put(line)
    say(f"{len(found)} differences" if found else "they say the same")


def _review_words(state: ScenarioState, holder: str) -> str:
    review = state.reviews.get(holder)
    if review is None:
        return "has not reviewed it"
    words = f"{review.decision.name.lower()} {moment(review.time)}"
    if review.reason is not None:
        words += f", {review.reason.name}"
    return words + "".join(f", waives {waiver.name}" for waiver in review.waivers)


def _authority_words(state: ScenarioState, authority: str) -> str:
    said = state.authorisations.get(authority)
    if said is None:
        return "has not decided"
    words = f"{said.decision.name.lower()} {moment(said.time)}"
    return words if said.reason is None else f"{words}, {said.reason.name}"


def moment(seconds: int) -> str:
    """A time in a log, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
