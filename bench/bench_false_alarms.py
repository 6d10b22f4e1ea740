"""False alarms: which useful numbers output checking withholds, and by which rule.

Statements about the demonstration's 336,776 flights of three airports, at default output policy: of
the cells with flights, how many are released whole, and which rule withholds the others.  Beside it
the same with a stricter policy.  Then the share of a run's CPU time that the checks of one answer
take, in a federation in one process with a 2048-bit key and without real staging, both of which
make it larger than it is.  Then the time of a run of which all is released beside one of which all
is withheld: who cannot see the answer, but how long it takes, learns that much.  Comparing with
earlier answers is bench_output_checking.py.

    python bench/bench_false_alarms.py [--false-alarms] [--json]
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from pets import destroyed  # a staging without a process, as the tests have it

from stayput import checker as checker_module
from stayput import judging as judging_module
from stayput import node as node_module
from stayput import plans as plans_module
from stayput.disclosure import Reason, check_counts, check_values, defaults, verify_counts
from stayput.disclosure import verify_values as verify_opened
from stayput.disclosure.tables import Answer, withhold_derivable
from stayput.disclosure.wording import reason_words
from stayput.engines.snapshots import compare, take
from stayput.engines.source import SourceSpec
from stayput.federation import Federation
from stayput.partials import LocalPartial, assemble
from stayput.plans import RunPlan, counts_vector, split_counts
from stayput.scenario import OutputPolicy, Scenario, Statement
from stayput.scenario_file import parse_scenario_file
from stayput.sql import BoundPlan, bind, plan
from stayput.staging import JoinRequest, JoinStaging, Staged, StagingRequest, Swept

AIRPORTS = ("ewr", "jfk", "lga")
CHECK_PERCENT = 5.0

QUESTIONS = {
    "all": "SELECT COUNT(*) AS n, AVG(arr_delay) AS mean, STDDEV_SAMP(arr_delay) AS sd"
    " FROM flights",
    "by month": "SELECT month, COUNT(*) AS n, AVG(arr_delay) AS mean, STDDEV_SAMP(arr_delay) AS sd"
    " FROM flights GROUP BY month",
    "by hour": "SELECT hour, COUNT(*) AS n, SUM(dep_delay) AS sum, AVG(dep_delay) AS mean"
    " FROM flights GROUP BY hour",
    "by carrier": "SELECT carrier, COUNT(*) AS n, AVG(arr_delay) AS mean,"
    " STDDEV_SAMP(arr_delay) AS sd FROM flights GROUP BY carrier",
    "by carrier, month": "SELECT carrier, month, COUNT(*) AS n, AVG(arr_delay) AS mean,"
    " STDDEV_SAMP(arr_delay) AS sd FROM flights GROUP BY carrier, month",
    "by carrier, hour": "SELECT carrier, hour, COUNT(*) AS n, SUM(dep_delay) AS sum"
    " FROM flights GROUP BY carrier, hour",
    "late by month, hour": "SELECT month, hour, COUNT(dep_delay) AS n,"
    " COUNT(*) FILTER (WHERE dep_delay > 15) / COUNT(dep_delay) AS late"
    " FROM flights GROUP BY month, hour",
    "correlation by carrier": "SELECT carrier, CORR(dep_delay, distance) AS r FROM flights"
    " GROUP BY carrier",
}


def scenario() -> Scenario:
    text = files("stayput").joinpath("demo_data", "nyc-delays.yaml").read_text("utf-8")
    return parse_scenario_file(text, nonce=bytes(16))


@functools.cache
def airport(name: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    path = files("stayput").joinpath("demo_data", f"{name}.parquet")
    numbers = ("month", "hour", "dep_delay", "arr_delay", "distance")
    columns = ", ".join(f"CAST({name} AS BIGINT) AS {name}" for name in numbers)
    connection.execute(f"CREATE TABLE stayput_source AS SELECT carrier, {columns} FROM '{path}'")
    return connection


def local(name: str, bound: BoundPlan) -> LocalPartial:
    return assemble(bound.plan, airport(name).execute(bound.node_sql()).fetchall())


def judge(
    asked: Scenario, sql: str, policy: OutputPolicy
) -> tuple[int, collections.Counter[Reason]]:
    """Numbers about flights in an answer, and why those that are withheld are."""
    made = plan(Statement("s", sql), asked.tables, 3, policy)
    zero = bytes(32)
    bound = bind(made, {})
    run = RunPlan(bytes(16), zero, asked.tables[0], policy, bound, AIRPORTS, zero, zero, zero)
    parts = [local(name, bound) for name in AIRPORTS]
    vectors = [counts_vector(run, part) for part in parts]
    total = [sum(numbers) for numbers in zip(*vectors, strict=True)]
    opened = verify_counts(made, split_counts(run, total), 3)
    reasons = check_counts(made, opened, policy)
    kept = (reasons[:, : len(made.counts)] == 0).tolist()
    reasons = withhold_derivable(Answer(bound, opened.counts, kept), [], reasons, policy.min_count)
    pooled = sum(np.array(part.values, dtype=object) for part in parts)
    values = (
        [
            [int(v) if r == 0 else None for v, r in zip(*both, strict=True)]
            for both in zip(pooled, reasons[:, len(made.counts) :], strict=True)
        ]
        if made.values
        else [[] for _ in opened.counts]
    )
    verify_opened(made, opened.counts, values)
    late = check_values(made, opened.counts, values, policy)
    reasons = np.where(reasons == 0, late, reasons)
    found: collections.Counter[Reason] = collections.Counter()
    cells = 0
    for row, codes in zip(opened.counts, reasons.tolist(), strict=True):
        if row[0]:
            cells += 1
            # The first reason of the cell, or of what is left out of it.
            withheld = [Reason(code) for code in codes if code]
            found[withheld[0] if withheld else Reason.PASSES] += 1
    return cells, found


def false_alarms() -> list[dict[str, Any]]:
    asked = scenario()
    policies = {
        "default": defaults.policy(),
        "and 10 at each holder": dataclasses.replace(defaults.policy(), min_count_per_holder=10),
    }
    return [
        {"policy": name, "question": question, "cells": cells, "reasons": dict(found)}
        for name, policy in policies.items()
        for question, sql in QUESTIONS.items()
        for cells, found in [judge(asked, sql, policy)]
    ]


def show_false_alarms(rows: list[dict[str, Any]]) -> None:
    for policy in dict.fromkeys(row["policy"] for row in rows):
        print(f"\ncells with flights, policy: {policy}")
        print(f"  {'question':<24} {'cells':>6} {'whole':>7}  withheld, all or in part, by")
        sums: collections.Counter[Reason] = collections.Counter()
        for row in (row for row in rows if row["policy"] == policy):
            sums.update(row["reasons"])
            print(
                f"  {row['question']:<24} {row['cells']:>6} {_shares(row['reasons'], row['cells'])}"
            )
        total = sum(sums.values())
        print(f"  {'together':<24} {total:>6} {_shares(sums, total)}")


def _shares(found: Mapping[Reason, int], cells: int) -> str:
    others = [
        f"{reason_words(reason)} {100 * n / cells:.1f} %"
        for reason, n in sorted(found.items(), key=lambda item: -item[1])
        if reason is not Reason.PASSES
    ]
    return f"{100 * found.get(Reason.PASSES, 0) / cells:6.1f} %  " + "; ".join(others)


# --- cost -----------------------------------------------------------------------------------------


class FlightsStager:
    """Stages in this process; the real one takes longer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.sweeps: list[Swept] = []

    def state(self, source: SourceSpec) -> str:
        del source
        return self._name  # these rows never change

    def open_join(self, request: JoinRequest) -> JoinStaging:
        raise AssertionError("flights have no identifiers")

    def stage(self, request: StagingRequest) -> Staged:
        connection = airport(self._name)

        def run(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        staged = dataclasses.replace(destroyed(), rows=run(request.sql))
        if request.lineage is None:
            return staged
        shared = compare(connection, request.lineage, request.snapshots, run)
        kept = take(connection, request.lineage) if request.lineage.take else b""
        return dataclasses.replace(staged, shared=shared, snapshot=kept)


def withheld_time(runs: int = 5) -> dict[str, float]:
    """Median CPU seconds of a run where all passes and of one where nothing does, in turn."""
    text = files("stayput").joinpath("demo_data", "nyc-delays.yaml").read_text("utf-8")
    text = text[: text.index("\noutput:")] + "\noutput: "
    policies = {
        name: f"{{min_count: {least}, min_holders: 2, dominance: none, group_percent: none,"
        " min_freedom: none, zeros: release, min_difference: none}\n"
        for name, least in (("released", 1), ("withheld", 1_000_000))
    }
    taken: dict[str, list[float]] = {name: [] for name in policies}
    with tempfile.TemporaryDirectory(prefix="stayput-bench-") as folder:
        federation = _federation(Path(folder))
        digests = {name: federation.client.propose(text + p) for name, p in policies.items()}
        for digest in digests.values():
            federation.approve(federation.client.scenario(digest))
        for index in range(runs + 1):
            for name, digest in digests.items():
                started = time.process_time()
                run = federation.client.run(digest, "delay_by_carrier", first=1, last=12)
                federation.settle()
                run.wait()
                if index:
                    taken[name].append(time.process_time() - started)
        federation.close()
    return {f"{name}_seconds": statistics.median(seconds) for name, seconds in taken.items()}


def _federation(folder: Path) -> Federation:
    spec = SourceSpec(path="flights.parquet", format="parquet")
    return Federation(
        folder,
        holders=AIRPORTS,
        checker="city-statistics-office",
        user="port-authority",
        coordinator="hub",
        sources={name: {"flights": spec} for name in AIRPORTS},
        stager=FlightsStager,
        paillier_bits=2048,
    )


def run_time(runs: int = 3) -> dict[str, float]:
    """CPU seconds of a run of the demonstration's largest statement, and of its checks."""
    spent = collections.Counter[str]()

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                spent[name] += time.process_time() - started

        return call

    for module, names in (
        (plans_module, ("check_counts", "verify_counts")),
        (judging_module, ("check_values", "verify_values")),
    ):
        for name in names:
            setattr(module, name, timed("checker", getattr(module, name)))
    core = checker_module.Checker
    core._beside_earlier = timed("checker", core._beside_earlier)  # type: ignore[method-assign]
    node_module.counts_vector = timed("nodes", node_module.counts_vector)  # type: ignore[assignment]

    text = files("stayput").joinpath("demo_data", "nyc-delays.yaml").read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="stayput-bench-") as folder:
        federation = _federation(Path(folder))
        digest = federation.client.propose(text)
        federation.approve(federation.client.scenario(digest))
        taken = []
        for index in range(runs + 1):
            started = time.process_time()
            run = federation.client.run(digest, "delay_by_carrier", first=1, last=12 - index % 2)
            federation.settle()
            run.wait()
            if index == 0:
                spent.clear()  # the first run loads the solver and builds tables
            else:
                taken.append(time.process_time() - started)
        federation.close()
    return {
        "run_seconds": sum(taken) / runs,
        "checker_seconds": spent["checker"] / runs,
        "nodes_seconds": spent["nodes"] / runs,
        "percent": 100 * sum(spent.values()) / sum(taken),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--false-alarms", action="store_true", help="only these")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    alarms = false_alarms()
    checked = {} if options.false_alarms else run_time()
    timed = {} if options.false_alarms else withheld_time()
    if options.json:
        plain = [{**r, "reasons": {k.name: n for k, n in r["reasons"].items()}} for r in alarms]
        print(json.dumps({"false_alarms": plain, "run": checked, "withheld": timed}))
        return 0
    show_false_alarms(alarms)
    if not options.false_alarms:
        print(
            f"\nrun-time checks: {checked['percent']:.1f} % of a run's"
            f" {checked['run_seconds']:.2f} CPU-s (checker"
            f" {1000 * checked['checker_seconds']:.0f} ms,"
            f" nodes {1000 * checked['nodes_seconds']:.0f} ms; target {CHECK_PERCENT:.0f} %)"
        )
        print(
            f"a run of which all is released: {timed['released_seconds']:.2f} CPU-s of all parties;"
            f" of which nothing is: {timed['withheld_seconds']:.2f}"
        )
        return int(checked["percent"] > CHECK_PERCENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
