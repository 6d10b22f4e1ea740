"""The rules of the terminal: exit codes, streams, hints, tables, and text of strangers."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from cli.transcript import Stayput

from stayput import cli, errors
from stayput.cli import app, terminal
from stayput.table import CellState, CellType, ResultTable, column
from stayput.vertical.models import COLUMNS

HEAVY = ("grpc", "duckdb", "numpy", "sqlglot", "pyarrow", "cryptography", "rich", "pydantic")

TABLE = ResultTable(
    (
        column("colour", CellType.TEXT, ["red", CellState.NULL, CellState.OTHER], key=True),
        column("pets", CellType.INTEGER, ["30", "12", CellState.WITHHELD]),
        column("cost", CellType.DECIMAL, ["1.50", CellState.NULL, CellState.WITHHELD], scale=2),
        column("mean", CellType.FLOAT, ["12.345678901", "0.1", CellState.WITHHELD]),
    )
)


def _commands() -> list[list[str]]:
    found = []

    def walk(command: Any, words: list[str]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*words, name])
        if not hasattr(command, "commands"):
            found.append(words)

    walk(typer.main.get_command(app), [])
    return found


# --- help and usage -------------------------------------------------------------------------------


def test_without_a_command_there_is_help(stayput: Stayput) -> None:
    outcome = stayput()
    assert outcome.code == 0
    assert outcome.out == stayput("--help").out
    for word in ("demo", "scenario", "report", "approve", "run", "verify", "log", "rehearse"):
        assert word in outcome.out


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_every_command_has_help(words: list[str], stayput: Stayput) -> None:
    outcome = stayput(*words, "--help")
    assert outcome.code == 0
    assert f"Usage: stayput {' '.join(words)}" in outcome.out
    described = outcome.out.split("\n\n")[1].strip()
    assert described.endswith("."), "a sentence that says what it does"


def test_all_commands_of_the_house_are_there() -> None:
    assert {" ".join(words) for words in _commands()} == {
        "init", "card", "consortium form", "join", "members", "start",
        "source add", "source renew", "source list", "source describe",
        "scenario check", "scenario propose", "scenario list", "scenario show", "scenario diff",
            "authority authorise", "authority refuse", "authority withdraw",
        "pending", "report", "approve", "refuse", "revoke", "node notes", "node budget",
            "node quota", "node estimate", "node receipts",
        "checker reasons", "checker held", "checker show", "checker pass", "checker fail",
        "reviewer new", "reviewer enrol", "reviewer export", "reviewer read", "reviewer sign",
            "reviewer change", "reviewer sign-card",
        "run", "result", "verify", "rehearse", "rotate", "log show", "log verify", "log pack",
        "log policy", "log evidence", "log checkpoint", "log freeze", "audit", "wire", "demo",
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "members", "source list", "scenario check", "scenario list", "scenario show", "pending",
        "report", "node notes", "run", "result", "verify", "rehearse", "log show", "log verify",
        "audit", "wire", "demo",
    ],
)  # fmt: skip
def test_what_prints_a_table_prints_json(words: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    assert "--json" in {flag for parameter in command.params for flag in parameter.opts}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["frobnicate"], "frobnicate"),
        (["run"], "SCENARIO"),
        (["log"], "Missing command"),
        (["--nonsense"], "--nonsense"),
        (["init", "x", "--role", "boss"], "boss"),
        (["rehearse", "file", "s", "--rows", "many"], "--rows"),
        (["refuse", "x", "--reason", "bored"], "bored"),
    ],
)
def test_a_wrong_command_line_exits_2_and_names_the_help(
    words: list[str], says: str, stayput: Stayput
) -> None:
    outcome = stayput(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    first, hint = outcome.err.splitlines()
    assert first.startswith("stayput: error: ")
    assert says in first
    assert hint.startswith("hint: `stayput")
    assert hint.endswith("--help` shows what it takes")


def test_version(stayput: Stayput) -> None:
    from stayput import __version__

    outcome = stayput("--version")
    assert (outcome.code, outcome.out) == (0, f"stayput {__version__}\n")


def test_help_loads_nothing_heavy() -> None:
    """What keeps `stayput --help` below 0.3 s."""
    program = (
        "import sys\n"
        "from stayput.cli import main\n"
        "assert main(['--help']) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"


# --- errors ---------------------------------------------------------------------------------------


def test_an_error_says_what_and_what_to_do(stayput: Stayput, tmp_path: Path) -> None:
    for words in (["card"], ["members"], ["start"], ["wire"], ["pending"], ["log", "show"]):
        outcome = stayput(*words, home=tmp_path / "nobody")
        assert outcome.code == 1, words
        assert outcome.out == ""
        assert outcome.err.startswith("stayput: error: "), outcome.err
        assert "\nhint: " in outcome.err


def test_the_home_comes_from_the_environment(
    stayput: Stayput, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert ".stayput holds no identity" in stayput("card").err
    monkeypatch.setenv("STAYPUT_HOME", str(tmp_path / "elsewhere"))
    assert "elsewhere holds no identity" in stayput("card").err


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (errors.RunFailure("it ended", reason="X", hint="again"), 1, "it ended"),
        (errors.SqlError("no such word", line=3, column=7), 1, "line 3, column 7: no such word"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_how_commands_end(
    raised: BaseException,
    code: int,
    says: str,
    stayput: Stayput,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Path) -> str:
        raise raised

    monkeypatch.setattr(cli.scenarios, "read_text", fail)
    before = sys.stdout
    try:
        outcome = stayput("scenario", "check", "file")
    finally:
        sys.stdout = before
    assert outcome.code == code
    assert says in outcome.err


def test_a_bug_is_not_dressed_up_as_an_error_of_the_person(
    stayput: Stayput, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.scenarios, "read_text", fail)
    with pytest.raises(ZeroDivisionError):
        stayput("scenario", "check", "file")


def test_files_that_cannot_be_read(stayput: Stayput, tmp_path: Path) -> None:
    outcome = stayput("scenario", "check", "nothing.yaml")
    assert outcome.code == 1
    assert "cannot read nothing.yaml: No such file" in outcome.err
    (tmp_path / "latin.yaml").write_bytes(b"title: caf\xe9\n")
    outcome = stayput("scenario", "check", "latin.yaml")
    assert "latin.yaml is not UTF-8: byte 10 does not decode" in outcome.err


# --- text of strangers ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "a\rb", "\u202ereversed", "zero\u200bwidth"])
def test_control_characters_of_strangers_become_visible(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.put(text)
    terminal.say(text)
    terminal.put_table((text,), [(text,)])
    written = capsys.readouterr()
    for part in (written.out, written.err):
        assert "\\u{" in part
        assert not set("\x1b\r\u202e\u200b") & set(part)


def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.put_table(("[bold]h[/bold]",), [("[red]x[/red]",)])
    assert "[bold]h[/bold]" in (out := capsys.readouterr().out)
    assert "[red]x[/red]" in out


# --- tables ---------------------------------------------------------------------------------------


def test_no_terminal_no_wrapping_no_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "x" * 500
    terminal.put_table(("a", "b"), [(long, "1")])
    out = capsys.readouterr().out
    assert long in out
    assert "\x1b" not in out


def test_a_bar_fills_up_on_a_terminal_and_is_one_line_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = terminal.progress_bar("entries audited")
    for done in (0, 500_000, 1_000_000):
        tell(done, 1_000_000)
    assert capsys.readouterr().err == "entries audited: 1,000,000\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    tell = terminal.progress_bar("entries audited")
    for done in (0, 500_000, 1_000_000):
        tell(done, 1_000_000)
    drawn = capsys.readouterr().err.split("\r")[1:]
    assert [line.count("#") for line in drawn] == [0, 15, 30]
    assert all(line.count("#") + line.count(".") == 30 for line in drawn)
    assert drawn[1].endswith("500,000 of 1,000,000")
    assert drawn[2].endswith("1,000,000 of 1,000,000\n")


def test_a_result_as_people_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.put_result(TABLE)
    written = capsys.readouterr()
    lines = [line.split() for line in written.out.splitlines()]
    assert lines[0] == ["colour", "pets", "cost", "mean"]
    assert lines[2:] == [
        ["red", "30", "1.50", "12.3457"],
        ["12", "0.1"],
        ["__other__", "withheld", "withheld", "withheld"],
    ]
    assert written.err == "3 of 9 cells in 3 rows are withheld\n"


def test_a_model_as_people_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = (("1.5", "0.25", "6.0"), ("-2.0", "0.5", "-4.0"))
    kinds = [CellType.TEXT, *[CellType.FLOAT] * 3, CellType.INTEGER, *[CellType.FLOAT] * 2]
    cells = [("constant", "base"), *zip(*numbers, strict=True), ["312"] * 2, ["310.0"] * 2]
    cells.append(["0.7512345678"] * 2)
    table = ResultTable(
        tuple(
            column(name, kind, given, key=name == "term")
            for name, kind, given in zip(COLUMNS, kinds, cells, strict=True)
        )
    )
    terminal.put_result(table)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["term", "coefficient", "standard_error", "t"]
    assert [line.split() for line in lines[2:4]] == [
        ["constant", "1.5", "0.25", "6"],
        ["base", "-2", "0.5", "-4"],
    ]
    assert lines[4] == "people 312, residual degrees of freedom 310, R² 0.751235"


def test_only_the_first_rows(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.put_result(TABLE, head=1)
    out = capsys.readouterr().out
    assert "red" in out
    assert "__other__" not in out
    assert "… and 2 more rows" in out


def test_a_result_as_csv_has_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.put_result(TABLE, form="csv")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [
        ["colour", "pets", "cost", "mean"],
        ["red", "30", "1.50", "12.345678901"],
        ["", "12", "", "0.1"],
        ["__other__", "withheld", "withheld", "withheld"],
    ]


def test_a_result_as_json_tells_withheld_from_null(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.put_result(TABLE, form="json")
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == [
        ["red", 30, "1.50", 12.345678901],
        [None, 12, None, 0.1],
        ["__other__", "withheld", "withheld", "withheld"],
    ]
    assert [one["key"] for one in found["columns"]] == [True, False, False, False]
    assert found["withheld_cells"] == 3
    assert found["synthetic"] is False


def test_a_rehearsal_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.put_result(ResultTable(TABLE.columns, synthetic=True))
    assert "SYNTHETIC" in capsys.readouterr().err
