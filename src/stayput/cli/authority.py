"""Commands of an authority: authority authorise, refuse, withdraw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stayput.cli.holder import Reason, Yes, require_report, require_yes
from stayput.cli.opening import find_scenario, opened
from stayput.cli.scenarios import ScenarioId
from stayput.cli.terminal import DEFAULT_HOME, Home, read_file, say

if TYPE_CHECKING:
    from stayput.session import ScenarioPhase
    from stayput.steps import ScenarioAuthorised


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="A party that authorises scenarios besides their holders.", rich_markup_mode=None
    )
    group.command("authorise")(authorise)
    group.command("refuse")(refuse)
    group.command("withdraw")(withdraw)
    app.add_typer(group, name="authority")


def authorise(
    scenario: ScenarioId,
    read: Annotated[
        str, typer.Option("--report", metavar="HEX", help="The report that was read.")
    ] = "",
    signature: Annotated[
        list[Path] | None, typer.Option(help="Statement of a reviewer, from `reviewer sign`.")
    ] = None,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Authorise a scenario: sign its digest and that of exactly this authority's report."""
    from stayput import authorising
    from stayput.daemon import clock
    from stayput.review import review_report

    with opened(home) as (identity, replica, link):
        digest = find_scenario(identity, replica, link, scenario, prefer=_open_phases())
        reviewed = review_report(identity, replica, link, digest)
        require_report(reviewed, read)
        require_yes(yes, f"Authorise it in the name of {identity.name}?")
        authorising.authorise(
            reviewed,
            identity,
            replica,
            link,
            countersignatures=[read_file(path) for path in signature or ()],
            clock=clock,
        )
        state = replica.session.scenarios[digest]
    say(f"authorised by {identity.name}; the scenario is {state.phase.name.lower()}")


def refuse(
    scenario: ScenarioId, reason: Reason, yes: Yes = False, home: Home = DEFAULT_HOME
) -> None:
    """Refuse a scenario, for everybody and for good."""
    from stayput import authorising

    name = _end(scenario, reason, yes, home, "Refuse", _open_phases(), authorising.refuse)
    say(f"refused by {name}")


def withdraw(
    scenario: ScenarioId, reason: Reason, yes: Yes = False, home: Home = DEFAULT_HOME
) -> None:
    """Take an authorisation back: the scenario is closed for good, its open runs fail."""
    from stayput import authorising
    from stayput.session import ScenarioPhase

    phases = (ScenarioPhase.SEALED, ScenarioPhase.USED_UP, ScenarioPhase.PROPOSED)
    name = _end(scenario, reason, yes, home, "Withdraw", phases, authorising.withdraw)
    say(f"withdrawn by {name}")


def _end(
    scenario: str,
    reason: Reason,
    yes: bool,
    home: Path,
    verb: str,
    phases: tuple[ScenarioPhase, ...],
    act: Callable[..., ScenarioAuthorised],
) -> str:
    """Close a scenario in the name of this authority, which is returned."""
    from stayput.daemon import clock
    from stayput.review import review_report
    from stayput.steps import RefusalReason

    with opened(home) as (identity, replica, link):
        digest = find_scenario(identity, replica, link, scenario, prefer=phases)
        reviewed = review_report(identity, replica, link, digest)
        require_yes(yes, f"{verb} {reviewed.scenario.name} in the name of {identity.name}?")
        act(reviewed, identity, replica, link, reason=RefusalReason[reason.name], clock=clock)
        return identity.name


def _open_phases() -> tuple[ScenarioPhase, ...]:
    from stayput.session import ScenarioPhase

    return (ScenarioPhase.PROPOSED,)
