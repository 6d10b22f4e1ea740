"""The benchmark of encrypted sums runs, and fills its figures into documents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench" / "bench_paillier.py"


def run(*words: str) -> str:
    return subprocess.run(
        [sys.executable, str(BENCH), *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    ).stdout


@pytest.mark.long
def test_one_command_measures_all_and_renews_documents(tmp_path: Path) -> None:
    kept, document = tmp_path / "figures.json", tmp_path / "README.md"
    small = ("--bits", "2048", "--rounds", "1", "--cells", "600", "--holders", "3")
    shown = run(*small, "--json", str(kept))
    figures = json.loads(kept.read_text())
    ours = [one for one in figures["lines"] if one["scheme"].startswith("ours")]
    assert len(ours) == 5
    assert all(one[name] > 0 for one in ours for name in ("encrypt", "add", "check", "decrypt"))
    assert [one["key"] for one in figures["sums"]] == ["ordinary", "subgroup"]
    assert [one["holders"] for one in figures["many"]] == [10, 100, 1000]
    document.write_text("before\n<!-- bench: summary -->\nold\n<!-- /bench -->\nafter\n")
    again = run("--from", str(kept), "--fill-in", str(document))
    assert again == shown
    text = document.read_text()
    assert text.startswith("before\n<!-- bench: summary -->\n| ")
    assert text.endswith("<!-- /bench -->\nafter\n")
    assert "old" not in text
    assert run("--from", str(kept), "--fill-in", str(document)) == shown
    assert document.read_text() == text


@pytest.mark.long
def test_sizes_of_intersections_are_measured() -> None:
    script = str(BENCH.with_name("bench_intersection.py"))
    found = subprocess.run(
        [sys.executable, script, "--items", "100"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "| 100 " in found.stdout


@pytest.mark.long
def test_joins_are_measured_and_their_sums_are_right() -> None:
    script = str(BENCH.with_name("bench_join.py"))
    found = subprocess.run(
        [sys.executable, script, "--rows", "500", "--asked", "cells", "deposits", "sum"],
        capture_output=True,
        text=True,
        check=True,
        timeout=1200,
    )
    for line in ("| cells ", "| deposits ", "| sum "):
        assert line in found.stdout
