"""Commands about a holder's data: source add, renew, list, describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stayput.cli.terminal import DEFAULT_HOME, AsJson, Home, put, put_json, put_table, say
from stayput.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Declare and describe data (a holder).", rich_markup_mode=None)
    group.command("add")(add)
    group.command("renew")(renew)
    group.command("list")(list_sources)
    group.command("describe")(describe)
    app.add_typer(group, name="source")


def add(
    table: Annotated[str, typer.Argument(help="Name of the table in scenarios.")],
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or SQLite file.")],
    format: Annotated[
        str | None, typer.Option(help="parquet, csv or sqlite; from the ending if left out.")
    ] = None,
    inner: Annotated[str, typer.Option("--table", help="Table inside a SQLite file.")] = "",
    home: Home = DEFAULT_HOME,
) -> None:
    """Let this holder's node use a file for a table; a running node sees it at once."""
    from stayput.config import add_source
    from stayput.identity import load_identity
    from stayput.steps import Role

    identity = load_identity(home)
    if identity.role is not Role.HOLDER:
        raise ConfigurationError(
            f"{identity.name} is a {identity.role.name.lower()}; only holders have data",
            hint="use --home with the folder of a holder",
        )
    spec = add_source(home, table, file, format, inner)
    say(f"{identity.name} computes {table} from {spec.path} ({spec.format})")


def renew(
    table: Annotated[str, typer.Argument(help="Name of the table in scenarios.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Begin a new lineage: destroy what is kept of the rows and answers of a table.

    For when its data are destroyed, or are other data from now on. Later answers are not compared
    with those before.
    """
    from stayput.cli.opening import opened_ledger
    from stayput.identity import load_identity

    with opened_ledger(load_identity(home)) as ledger:
        count = ledger.lineages.destroy(table)
    say(f"what was kept of {count} answers from {table} is destroyed, with its key")


def list_sources(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print the declared sources."""
    from stayput.config import load_settings

    sources = load_settings(home).sources
    if as_json:
        put_json(
            [
                {"table": name, "path": spec.path, "format": spec.format, "inner": spec.table}
                for name, spec in sources.items()
            ]
        )
        return
    put_table(
        ("table", "format", "path"),
        [(name, spec.format, spec.path) for name, spec in sources.items()],
    )
    if not sources:
        say("no sources: `stayput source add TABLE FILE`")


def describe(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file.")],
    table: Annotated[
        str, typer.Option(help="Name of the table; from the file's if left out.")
    ] = "",
) -> None:
    """Draft a table contract from a file, for you to edit before anybody sees it."""
    from stayput.describe import describe_source

    put(describe_source(file, table=table).rstrip("\n"))
