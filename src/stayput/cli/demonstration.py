"""The command demo."""

from __future__ import annotations

import dataclasses
import enum
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from stayput.cli.terminal import AsJson, counting, put, put_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


class Which(enum.Enum):
    """The demonstrations there are."""

    AIRPORTS = "airports"
    CREDIT = "credit"


def demo(
    which: Annotated[
        Which,
        typer.Argument(
            help="airports: the same columns, other rows; credit: the same people, other columns."
        ),
    ] = Which.AIRPORTS,
    directory: Annotated[
        Path, typer.Option("--dir", metavar="FOLDER", help="Where the consortium is made.")
    ] = Path("consortium"),
    up: Annotated[
        bool, typer.Option("--up", help="Start the daemons of an earlier demonstration again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Three organisations answer questions together, here, with real processes."""
    from stayput.demo import keep_up, run_demo
    from stayput.shows import AIRPORTS, CREDIT

    if up:
        keep_up(directory, say)
        return
    report = run_demo(
        directory,
        say if as_json else put,
        CREDIT if which is Which.CREDIT else AIRPORTS,
        program=program_words(),
        progress=counting("drawing the checker's key of 3072 bits, numbers tested"),
    )
    if as_json:
        put_json(dataclasses.asdict(report))


def program_words() -> str:
    """How this program was called, as somebody would type it here."""
    called = Path(sys.argv[0])
    if called.name != "stayput":
        return "python -m stayput"
    found = shutil.which("stayput")
    if found and Path(found).resolve() == called.resolve():
        return "stayput"
    relative = os.path.relpath(called)
    return relative if len(relative) < len(str(called)) else str(called)
