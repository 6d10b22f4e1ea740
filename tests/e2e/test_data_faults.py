"""Data that do not fit: words for the holder, a sentence for everybody else, and life goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pets
import pytest
from e2e.consortium import RUN_SECONDS, Consortium, query, write_rows

from stayput.errors import RunFailure
from stayput.steps import Outcome, RunFailed

OFFENDING = "chartreuse"  # a value: in no message, not even the holder's


def unknown_level(path: Path) -> None:
    write_rows(path, [*pets.rows_of("north"), (OFFENDING, 3, None)])


def missing_column(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT colour, weight FROM '{path}') TO '{path}.new' (HEADER)")
    Path(f"{path}.new").replace(path)


def out_of_bounds(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO pets VALUES ('red', 4711, 1.5)")
    database.close()


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("holder", "spoil", "reason", "sentence", "words"),
    [
        ("north", unknown_level, "DATA_DO_NOT_FIT", "do not fit the table contract", "colour"),
        ("south", missing_column, "DATA_DO_NOT_FIT", "do not fit the table contract", "age"),
        ("west", out_of_bounds, "DATA_DO_NOT_FIT", "do not fit the table contract", "age"),
        ("north", gone, "STAGING_FAILED", "could not compute its part", "north.parquet"),
    ],
)
def test_a_spoilt_source(
    up: Consortium,
    scenario: bytes,
    holder: str,
    spoil: Callable[[Path], None],
    reason: str,
    sentence: str,
    words: str,
) -> None:
    source = up.source(holder)
    sound = source.read_bytes()
    pid = up.running[holder].pid
    notes = {name: count_notes(up, name) for name in pets.HOLDERS}
    with up.client() as client:
        spoil(source)
        run = client.run(scenario, "by_colour", youngest=0)
        with pytest.raises(RunFailure, match=sentence) as failed:
            run.wait(timeout=RUN_SECONDS)
        assert failed.value.reason == reason
        assert holder not in failed.value.message + failed.value.hint
        assert "stayput node notes" in failed.value.hint
        up.verify_run(run.id, None)
        state = up.report().session.runs[run.id]
        # Whoever staged has said that it is gone; here nothing was staged if there was no file.
        assert (holder in state.receipts) == (spoil is not gone)
        assert all(one.outcome is Outcome.DESTROYED for one in state.receipts.values())
        assert isinstance(state.failed, RunFailed)
        # The people of this holder, and no others, read what is wrong and what to do.
        for name in pets.HOLDERS:
            assert count_notes(up, name) - notes[name] == (name == holder)
        (said,) = told(up, holder)[notes[holder] :]
        assert words in said["message"]
        assert said["hint"]
        assert said["run"].startswith(run.id.hex()[:8])
        everywhere = json.dumps(said) + "".join(up.said(name) for name in up.running)
        assert OFFENDING not in everywhere
        assert "4711" not in said["message"]
        # Mended, the same daemon takes part again.
        source.write_bytes(sound)
        again = client.run(scenario, "by_colour", youngest=0)
        up.verify_run(again.id, again.wait(timeout=RUN_SECONDS))
    assert up.running[holder].pid == pid
    assert up.running[holder].poll() is None
    up.verify_promises(scenario, {})


def told(up: Consortium, name: str) -> list[dict[str, str]]:
    notes = up.cli(name, "node", "notes", "--json")
    assert notes.returncode == 0, notes.stderr
    parsed: list[dict[str, str]] = json.loads(notes.stdout)
    return parsed


def count_notes(up: Consortium, name: str) -> int:
    ((count,),) = query(up.home(name) / "ledger.db", "SELECT COUNT(*) FROM note")
    return int(count)
