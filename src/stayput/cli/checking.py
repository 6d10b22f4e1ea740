"""Commands of a checker's own people: checker reasons.

What leaks: reasons are about small cells, so nobody but the checker has them, and nothing here is
sent to anybody.
"""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from stayput.cli import persons
from stayput.cli.opening import find_run, opened
from stayput.cli.terminal import DEFAULT_HOME, AsJson, Home, put_json, put_table, say
from stayput.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="A checker.", rich_markup_mode=None)
    group.callback()(_checker)
    group.command("reasons")(reasons)
    group.command("held")(persons.held)
    group.command("show")(persons.show)
    group.command("pass")(persons.pass_)
    group.command("fail")(persons.fail)
    app.add_typer(group, name="checker")


def _checker() -> None:
    """What a checker's own people may see."""


def reasons(
    run: Annotated[str, typer.Argument(metavar="RUN", help="First digits of the run's id.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is released.")] = False,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print why cells of a run are withheld: for the checker's own people, nobody else gets it."""
    from stayput.disclosure import Reason
    from stayput.disclosure.verdict import recall_reasons
    from stayput.disclosure.wording import reason_words
    from stayput.finishing import cell_keys
    from stayput.runs import fetch_plan
    from stayput.steps import Role
    from stayput.store.journal import Journal

    with opened(home) as (identity, replica, link):
        if identity.role is not Role.CHECKER:
            raise ConfigurationError(
                f"{identity.name} is a {identity.role.name.lower()}; only the checker has reasons",
                hint="use --home with the folder of the checker",
            )
        found = find_run(replica.session.runs, run)
        with contextlib.closing(Journal(home / "journal.db")) as journal:
            kept = journal.get("reasons", found)
        _, _, planned = fetch_plan(link, replica, found)
    names = planned.reason_places
    cells = cell_keys(planned.bound.plan)
    rows = [
        ("/".join(keys) or "all rows", name, reason)
        for keys, cell in zip(cells, recall_reasons(kept, len(names)), strict=True)
        for name, reason in zip(names, cell, strict=True)
        if everything or reason is not Reason.PASSES
    ]
    if as_json:
        put_json([{"cell": c, "measure": m, "reason": r.name.lower()} for c, m, r in rows])
        return
    put_table(("cell", "measure", "reason"), [(c, m, reason_words(r)) for c, m, r in rows])
    say("these reasons are about small groups: they do not go to the data user, nor to holders")
