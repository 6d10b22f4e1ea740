"""What is written to the terminal, and how; the rules stand in :mod:`stayput.cli`."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stayput.errors import ConfigurationError

if TYPE_CHECKING:
    from stayput.table import PythonValue, ResultTable

DEFAULT_HOME = Path(".stayput")

Home = Annotated[
    Path,
    typer.Option(
        "--home", envvar="STAYPUT_HOME", metavar="FOLDER", help="Home folder of the party."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SIGNIFICANT_DIGITS = 6
"""Of real numbers in a printed table; JSON, CSV and Python have all of them."""

CREDENTIAL = "stayput-passphrase"
"""Under this name a service manager hands over the passphrase of a locked key."""

OTHER_WIDTH = 10_000
"""Columns where the output is no terminal and ``COLUMNS`` is not set: nothing is wrapped."""


def shown(text: str) -> str:
    """Text of others with what does not show as what it is made visible; line breaks stay."""
    from stayput.scenario import UNSHOWABLE

    return UNSHOWABLE.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", text.expandtabs(4))


def complain(message: str, hint: str = "") -> None:
    """An error, on stderr."""
    say(f"stayput: error: {message}")
    if hint:
        say(f"hint: {hint}")


def say(text: str) -> None:
    """Anything that is no result, on stderr."""
    print(shown(text), file=sys.stderr, flush=True)


def put(text: str) -> None:
    """A result, on stdout."""
    print(shown(text), flush=True)


def put_json(value: Any) -> None:
    """A result for programs, on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=True), flush=True)


def confirm(question: str) -> bool:
    """Ask the person; False where there is none to ask."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def ask_passphrase(question: str) -> str:
    """The passphrase of a key: from the service manager, else typed where nobody sees it.

    Never from the command line or the environment, which others on the machine can read.

    Raises:
        ConfigurationError: there is neither, or it is empty.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")  # systemd.exec(5), LoadCredential=
    credential = Path(folder) / CREDENTIAL if folder else None
    if credential is not None and credential.is_file():
        passphrase = read_text(credential).rstrip("\r\n")
    elif sys.stdin.isatty():
        import getpass

        passphrase = getpass.getpass(f"{question}: ", sys.stderr)
    else:
        raise ConfigurationError(
            "the key is locked, and there is nobody to ask for its passphrase",
            hint=f"start it by hand, or hand it over as the systemd credential {CREDENTIAL}",
        )
    if not passphrase:
        raise ConfigurationError("the passphrase is empty", hint="type it again")
    return passphrase


def choose_passphrase(question: str) -> str:
    """A new passphrase, typed twice where it is typed.

    Raises:
        ConfigurationError: as for :func:`ask_passphrase`, or the two differ.
    """
    passphrase = ask_passphrase(question)
    if passphrase != ask_passphrase(f"{question}, once more"):
        raise ConfigurationError("the two passphrases differ", hint="type the same one twice")
    return passphrase


BAR_WIDTH = 30
"""Characters of a progress bar: what is beside it fits a narrow terminal."""


def counting(what: str) -> Callable[[int, int], None]:
    """Progress on stderr: a line that counts where it is a terminal, else one line in the end."""
    typed = sys.stderr.isatty()

    def tell(done: int, total: int) -> None:
        if typed:
            end = "\n" if done >= total else ""
            print(f"\r{what}: {done:,} of about {total:,}", end=end, file=sys.stderr, flush=True)
        elif done >= total:
            say(f"{what}: done")

    return tell


def progress_bar(what: str) -> Callable[[int, int], None]:
    """Progress of known length on stderr: a bar on a terminal, else one line in the end."""
    typed = sys.stderr.isatty()

    def tell(done: int, total: int) -> None:
        if typed:
            filled = BAR_WIDTH * done // max(total, 1)
            drawn = "#" * filled + "." * (BAR_WIDTH - filled)
            end = "\n" if done >= total else ""
            line = f"\r{what} [{drawn}] {done:,} of {total:,}"
            print(line, end=end, file=sys.stderr, flush=True)
        elif done >= total:
            say(f"{what}: {total:,}")

    return tell


def put_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: frozenset[int] = frozenset()
) -> None:
    """A table of texts, on stdout.

    Args:
        numbers: indices of the columns that are aligned to the right.
    """
    put(table_text(headers, rows, numbers=numbers))


def table_text(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: frozenset[int] = frozenset()
) -> str:
    """A table as text, as wide as the terminal if there is one."""
    import rich.box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, header in enumerate(headers):
        justify: Literal["right", "left"] = "right" if index in numbers else "left"
        table.add_column(Text(shown(header)), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else OTHER_WIDTH
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


# --- result tables --------------------------------------------------------------------------------


def put_result(table: ResultTable, *, form: str = "table", head: int = 0) -> None:
    """A result table on stdout, and on stderr how much of it was withheld.

    Args:
        form: ``table``, ``csv`` or ``json``.
        head: print only so many rows of a ``table``; 0 for all.
    """
    if form == "json":
        put_json(result_json(table))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([column.name for column in table.columns])
        writer.writerows([exact(value) for value in row] for row in table.rows())
        sys.stdout.flush()
    else:
        put(result_text(table, head=head))
    say(str(table.summary))
    if table.synthetic:
        say("SYNTHETIC: a rehearsal on rows drawn at random, no holder's data")
    if table.noisy:
        say("NOISY: every holder added noise to every number" + _errors(table))


def _errors(table: ResultTable) -> str:
    known = [f"{column.name} ±{column.error}" for column in table.columns if column.error]
    return f"; in 95 of 100 cells it is within {', '.join(known)}" if known else ""


def result_text(table: ResultTable, *, head: int = 0) -> str:
    """A result table for people; withheld cells read ``withheld``, NULL is empty."""
    from stayput.vertical.models import COLUMNS

    if tuple(column.name for column in table.columns) == COLUMNS and len(table):
        return _model_text(table)
    rows = table.rows()
    chosen = rows[:head] if 0 < head < len(rows) else rows
    numbers = frozenset(
        i for i, column in enumerate(table.columns) if not column.key or column.type.name != "TEXT"
    )
    text = table_text(
        [column.name for column in table.columns],
        [[printed(value) for value in row] for row in chosen],
        numbers=numbers,
    )
    if len(chosen) < len(rows):
        text += f"\n… and {len(rows) - len(chosen)} more rows"
    return text


def _model_text(table: ResultTable) -> str:
    """A model: a row for each term, and below what is true of the whole."""
    rows = [[printed(value) for value in row] for row in table.rows()]
    _, _, _, _, people, freedom, explained = rows[0]
    names = [column.name for column in table.columns[:4]]
    text = table_text(names, [row[:4] for row in rows], numbers=frozenset({1, 2, 3}))
    return f"{text}\npeople {people}, residual degrees of freedom {freedom}, R² {explained}"


def result_json(table: ResultTable) -> dict[str, Any]:
    """For programs: a withheld measure is ``"withheld"``, NULL is null, fixed-point is text."""
    from decimal import Decimal

    from stayput.table import WITHHELD

    def plain(value: PythonValue) -> Any:
        if value is WITHHELD:
            return "withheld"
        return str(value) if isinstance(value, Decimal) else value

    return {
        "columns": [
            {"name": column.name, "type": column.type.name.lower(), "key": column.key}
            | ({"error95": column.error} if column.error else {})
            for column in table.columns
        ],
        "rows": [[plain(value) for value in row] for row in table.rows()],
        "withheld_cells": table.summary.withheld_cells,
        "synthetic": table.synthetic,
        "noisy": table.noisy,
    }


def printed(value: PythonValue) -> str:
    """A cell as it is printed: real numbers with :data:`SIGNIFICANT_DIGITS`."""
    return f"{value:.{SIGNIFICANT_DIGITS}g}" if isinstance(value, float) else exact(value)


def exact(value: PythonValue) -> str:
    """A cell in full."""
    from stayput.table import WITHHELD

    if value is None:
        return ""
    if value is WITHHELD:
        return "withheld"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


# --- files ----------------------------------------------------------------------------------------


def read_file(path: Path) -> bytes:
    """A file named on the command line.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}: {error.strerror}", hint="check the path"
        ) from None


def read_text(path: Path) -> str:
    """A text file named on the command line.

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8.
    """
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not UTF-8: byte {error.start} does not decode", hint="save it as UTF-8"
        ) from None


def write_file(path: Path, data: bytes) -> None:
    """Write a file named on the command line, whole or not at all.

    Raises:
        ConfigurationError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check the folder"
        ) from None
