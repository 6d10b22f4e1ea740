"""Stayput beside ACRO 1.0.2, the reference tool of output checkers, on the same pooled data.

Stayput never releases a number that ACRO fails.  The other way round, every number that ACRO passes
and Stayput withholds has one of the reasons in :data:`STRICTER`; docs/output-checking.md lists them
with why.  ACRO runs in an environment of its own (``make .venv/acro/.installed``).
"""

from __future__ import annotations

import collections
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from stayput.differencing import audit
from stayput.disclosure import Reason, check_counts, check_values, defaults, verify_counts
from stayput.disclosure.models import ModelColumn, check_model, verify_model
from stayput.errors import SqlError
from stayput.partials import assemble
from stayput.plans import RunPlan, counts_vector, split_counts
from stayput.scenario import Column, ColumnType, Grade, Outside, Statement, TableContract
from stayput.sql import Plan, bind, plan

ROOT = Path(__file__).parent.parent
ACRO = ROOT / ".venv" / "acro" / "bin" / "python"
POLICY = defaults.policy()
Row = tuple[str, str, int]

TABLE = TableContract(
    "t",
    ("a", "b", "c"),
    (
        Column("g", ColumnType.LEVEL, Grade.SENSITIVE, Outside.REFUSE, levels=("p", "q", "r")),
        Column("h", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("u", "v", "w")),
        Column("x", ColumnType.INTEGER, Grade.INTERNAL, Outside.REFUSE, minimum=0, maximum=10**8),
    ),
    10_000,
)
AGGREGATES = {
    "count": "COUNT(*)",
    "sum": "SUM(x)",
    "mean": "AVG(x)",
    "std": "STDDEV_SAMP(x)",
}

STRICTER = {
    Reason.FEW_HOLDERS: "of one holder alone, or of two who subtract: ACRO sees one pool",
    Reason.DOMINATED: "dominated at one holder, which the others can subtract down to",
    Reason.ONE_CATEGORY: "nearly all of a group in one category: ACRO has no rule",
    Reason.ALL_EQUAL: "every value the same: ACRO's check for it is never run",
    Reason.CELL: "the number of rows is withheld, so everything of the cell is",
    Reason.SUPPORT: "the number of its rows is withheld",
    Reason.FEW_ROWS: "an empty cell: ACRO leaves it out of the table, which tells that it is empty",
}


def acro(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """ACRO's verdicts."""
    if not ACRO.exists():
        pytest.skip(
            f"ACRO is not installed: make {ACRO.parent.parent.relative_to(ROOT)}/.installed"
        )
    done = subprocess.run(
        [ACRO, Path(__file__).with_name("acro_verdicts.py")],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def planned(sql: str) -> Plan:
    return plan(Statement("s", sql), [TABLE], 3, POLICY)


def stayput(sql: str, parts: Sequence[Sequence[Row]]) -> dict[tuple[str, str], list[Reason]]:
    """Why each measure of each cell is withheld, with rows at three holders."""
    made = planned(sql)
    zero = bytes(32)
    run = RunPlan(bytes(16), zero, TABLE, POLICY, bind(made, {}), ("a", "b", "c"), zero, zero, zero)
    vectors, values = [], np.zeros((made.cells, len(made.values)), dtype=object)
    for part in parts:
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE stayput_source (g VARCHAR, h VARCHAR, x BIGINT)")
            if part:
                connection.executemany("INSERT INTO stayput_source VALUES (?, ?, ?)", part)
            local = assemble(made, connection.execute(run.bound.node_sql()).fetchall())
        vectors.append(counts_vector(run, local))
        values += np.array(local.values, dtype=object).reshape(values.shape)
    opened = split_counts(run, [sum(numbers) for numbers in zip(*vectors, strict=True)])
    reasons = check_counts(made, verify_counts(made, opened, 3), POLICY)
    sums = [
        [int(v) if r == 0 else None for v, r in zip(*both, strict=True)]
        for both in zip(values, reasons[:, len(made.counts) :], strict=True)
    ]
    late = check_values(made, opened.counts, sums, POLICY)
    reasons = np.where(reasons == 0, late, reasons)
    slots = iter(reasons.tolist())
    return {
        (g, h): [Reason(code) for code in row]
        for g in ("p", "q", "r", "__other__")
        for h in ("u", "v", "w", "__other__")
        for row in [next(slots)]
    }


def some_rows(dice: np.random.Generator) -> list[Row]:
    """A pool with everything in it: small cells, outliers, equal values, one category."""
    found: list[Row] = []
    for g in "pqr":
        for h in "uvw":
            number = int(dice.choice([0, 3, 9, 10, 11, 30, 90]))
            kind = dice.choice(["even", "equal", "heavy", "two", "zero"])
            x = dice.integers(1, 100, number)
            if kind == "equal":
                x[:] = 7
            elif kind == "zero":
                x[:] = 0
            elif number > 2 and kind in ("heavy", "two"):
                x[0] = int(dice.choice([1_000, 10_000, 50_000]))
                x[1] = x[0] - 500 if kind == "two" else x[1]
            found += [(g, h, int(value)) for value in x]
    return found


@pytest.mark.long
def test_stayput_never_releases_what_acro_fails() -> None:
    dice = np.random.default_rng(11)
    pools = [some_rows(dice) for _ in range(60)]
    cases = [{"rows": rows, "aggregate": name} for rows in pools for name in AGGREGATES]
    verdicts = acro(cases)
    seen: collections.Counter[str] = collections.Counter()
    passed = 0
    for case, verdict in zip(cases, verdicts, strict=True):
        sql = f"SELECT g, h, {AGGREGATES[case['aggregate']]} AS found FROM t GROUP BY g, h"
        rows = case["rows"]
        where = dice.integers(0, 3, len(rows))
        parts = [[r for r, at in zip(rows, where, strict=True) if at == i] for i in range(3)]
        ours = stayput(sql, parts)
        for cell, failed in verdict["cells"].items():
            g, h = cell.split("|")
            reasons = [r for r in ours[g, h] if r is not Reason.PASSES]
            n = sum(1 for row in rows if row[:2] == (g, h))
            if n > 10:  # ACRO gives degrees of freedom where a mask is expected: every cell fails
                failed = [check for check in failed if check != "MinimumDoFCheck"]  # noqa: PLW2901
            if failed:
                assert reasons, (case["aggregate"], cell, failed, n)
                seen.update(failed)
            elif not reasons:
                passed += 1
            for reason in reasons if not failed else ():
                assert reason in STRICTER, (case["aggregate"], cell, reason)
                seen[reason.name] += 1
    assert passed > 200  # or it would be easy
    for check in ("MinimumThresholdCheck", "MinimumDoFCheck", "NKCheck", "PPercentCheck"):
        assert seen[check] > 10, seen  # every check of ACRO's was failed


@pytest.mark.long
def test_stayput_passes_no_model_that_acro_fails() -> None:
    dice = np.random.default_rng(12)
    cases, ours = [], []
    for people in range(6, 40):
        for parameters in (1, 3, 6):
            design = dice.integers(0, 100, (parameters, people))
            target = dice.integers(0, 100, people)
            data = np.array([[1] * people, *design.tolist(), target.tolist()], dtype=object)
            gram = [[int(x) for x in row] for row in data @ data.T]
            columns = [ModelColumn("constant", 1, 1, constant=True)]
            columns += [ModelColumn(f"x{i}", 0, 10_000) for i in range(parameters)]
            y = ModelColumn("y", 0, 10_000)
            verify_model(columns, y, people, gram)
            ours.append(check_model(columns, y, people, gram, POLICY))
            cases.append({"design": design.T.tolist(), "target": target.tolist()})
    failed = passed = 0
    for verdict, problems in zip(acro(cases), ours, strict=True):
        assert problems or verdict["status"] == "pass"
        failed += verdict["status"] == "fail"
        passed += not problems
    assert failed > 10
    assert passed > 10


@pytest.mark.long
def test_three_probes_that_acro_passes_are_refused() -> None:
    """The largest value of one person; two tables one record apart; 96.7 % in one category."""
    dice = np.random.default_rng(13)
    rich = [("p", "u", int(x)) for x in dice.integers(1, 100, 19)] + [("p", "u", 50_000_000)]
    table = [(g, h, 5) for g in "pq" for h in "uv" for _ in range(40)]
    crowd = [("p", "u", 5)] * 290 + [("q", "u", 5)] * 10
    verdicts = acro(
        [
            {"rows": rich, "aggregate": "max"},
            {"rows": table, "aggregate": "count"},
            {"rows": table[:-1], "aggregate": "count"},
            {"rows": crowd, "aggregate": "count"},
        ]
    )
    assert [not any(v["cells"].values()) for v in verdicts] == [True] * 4, (
        "ACRO has become stricter"
    )

    with pytest.raises(SqlError, match="MAX") as refused:
        planned("SELECT g, h, MAX(x) AS largest FROM t GROUP BY g, h")
    assert "bin" in refused.value.hint

    apart = [
        plan(
            Statement(name, f"SELECT g, h, COUNT(*) AS n FROM t {where} GROUP BY g, h"), [TABLE], 3
        )
        for name, where in (("all", ""), ("but_one", "WHERE x <> 77"))
    ]
    assert "isolates rows with x 77" in " ".join(map(str, audit(apart).findings))

    thirds = [crowd[i::3] for i in range(3)]
    found = stayput("SELECT g, h, COUNT(*) AS n FROM t GROUP BY g, h", thirds)
    assert found["p", "u"] == [Reason.ONE_CATEGORY]
    assert found["q", "u"] != [Reason.PASSES]
