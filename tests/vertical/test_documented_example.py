"""The tiny example of docs/joins.md is true."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from vertical.plain import moments

from stayput.disclosure import check_counts, passes
from stayput.finishing import finish
from stayput.scenario_file import parse_scenario_file
from stayput.sql import bind, plan
from stayput.table import WITHHELD
from stayput.vertical.questions import ask

PAGE = (Path(__file__).parents[2] / "docs" / "joins.md").read_text(encoding="utf-8")


def columns(heading: str) -> list[list[str]]:
    """The cells of the table that begins with a heading, column by column."""
    lines = PAGE[PAGE.index(heading) :].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return [list(column) for column in zip(*rows, strict=True)]


def test_the_tiny_example() -> None:
    text = PAGE[PAGE.index("```yaml") + 8 :]
    scenario = parse_scenario_file(text[: text.index("```")], nonce=bytes(16))
    who, district, deposit = columns("| fund: resident")
    whom, base = columns("| insurance: resident")
    rows = {
        "housing": pa.table(
            {"resident": who, "district": district, "deposit": [int(v) for v in deposit]}
        ),
        "social": pa.table({"resident": whom, "base": [int(v) for v in base]}),
    }
    planned = plan(scenario.statements[0], scenario.tables, 2, scenario.output)
    question = ask(bind(planned, {}), scenario.tables, scenario.output)
    contracts = {table.name: table for table in scenario.tables}
    found = moments(question.staged, question.moments, contracts, rows)
    sums = [found.get(groups, [0] * len(question.moments)) for groups in question.groups()]
    counts = question.opened_counts([row[0] for row in sums], scenario.output)
    kept = passes(check_counts(planned, counts, scenario.output))
    table = finish(planned, counts.counts, [question.values(row) for row in sums], kept)
    released = [
        ["withheld" if value is WITHHELD else f"{value:g}" for value in row[1:]]  # type: ignore[str-format]
        for row in table.rows()
    ]
    keys, *values = columns("| district | residents")
    assert [row[0] for row in table.rows()] == keys
    assert [list(row) for row in zip(*values, strict=True)] == released
