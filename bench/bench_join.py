"""What a join costs: time, bytes and memory of every party, by rows; beside others' protocols.

Every party is a process with workers of its own; they take turns, so the wall clock is that of all
parties on one machine.  First a run of a statement (40 cells by keys of one holder, sums of six
columns of three holders), then a run of a linear model (five predictors of three holders); of each
the sums are compared with plain integers.  87 % of everybody's people are in common.

Then, on one core each: the size of an intersection beside ``openmined-psi`` (its ECDH protocol),
where its Python is given; it wants an environment of its own, since it pins an old protobuf.  And
count and sum of two holders, beside the published figures of private-join-and-compute for
10,000 × 10,000 (7.5 s in Ion et al. 2020, some 41 s reported by a user of its code).

    python bench/bench_join.py [--rows 1000 2000 5000 10000] [--bits 2048] [--cores 2]
                               [--questions cells deposits] [--sum 10000]
                               [--peer /path/to/env/bin/python] [--items 10000] [--json FILE]

At 286,900 rows it takes some minutes for each of the two runs on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from join_parties import (
    RUN,
    SCENARIO,
    Coordinator,
    Holder,
    Party,
    invented_people,
    random_question,
    right_sums,
    stopwatch,
)
from paillier_tables import number, table

from stayput import encryption
from stayput.crypto.paillier import PrivateKey, Randomness, encrypt
from stayput.crypto.ristretto import Exponent, raise_points, random_points
from stayput.encryption import Addition, Context
from stayput.scenario import IdentifierKind, IdentifierRule, Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.sql import plan
from stayput.steps import Round
from stayput.vertical.blinding import Blinding
from stayput.vertical.matching import Matching
from stayput.vertical.models import ask_model
from stayput.vertical.plan import Joined, JoinPlan, plan_join
from stayput.vertical.questions import ask
from stayput.vertical.way import way_of

SHARE_IN_COMMON = 0.8715
"""250,000 of 286,900."""

QUESTIONS = ("cells", "deposits")

FILE = """
scenario: bench
title: A join of three registers
purpose: To see what it costs.
data_user: user
checker: checker
holders: [fund, insurance, registry]
limits: {runs: 1, valid_until: 2099-12-31}
join: {key_bits: BITS}
tables:
  housing:
    at: [fund]
    max_rows: ROWS
    columns:
      person: {type: identifier, grade: sensitive}
      district: {type: integer, min: 1, max: 8, grade: public}
      age: {type: integer, min: 1, max: 5, grade: public}
      deposit: {type: integer, min: 0, max: 600000, grade: sensitive}
      months: {type: integer, min: 0, max: 480, grade: sensitive}
  social:
    at: [insurance]
    max_rows: ROWS
    columns:
      person: {type: identifier, grade: sensitive}
      base: {type: integer, min: 0, max: 40000, grade: sensitive}
      months_36: {type: integer, min: 0, max: 36, grade: sensitive}
  property:
    at: [registry]
    max_rows: ROWS
    columns:
      person: {type: identifier, grade: sensitive}
      worth: {type: integer, min: 0, max: 20000000, grade: sensitive}
      mortgages: {type: integer, min: 0, max: 9, grade: sensitive}
statements:
  cells:
    sql: |
      SELECT district, age, COUNT(*) AS people, SUM(deposit) AS a, SUM(months) AS b, SUM(base) AS c,
             SUM(months_36) AS d, SUM(worth) AS e, SUM(mortgages) AS f
      FROM housing JOIN social USING (person) JOIN property USING (person)
      GROUP BY district, age
  sum:
    sql: SELECT COUNT(*) AS people, SUM(base) AS c FROM housing JOIN social USING (person)
models:
  deposits:
    kind: ols
    join: [housing, social, property]
    using: person
    target: deposit
    predictors: [months, base, months_36, worth, mortgages]
output: {min_count: 10, min_holders: 2, dominance: none}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 2000, 5000, 10_000])
    parser.add_argument("--questions", nargs="*", default=["cells", "deposits"], choices=QUESTIONS)
    parser.add_argument("--sum", type=int, default=10_000, help="rows of count and sum; 0: none")
    parser.add_argument("--bits", type=int, default=2048)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--peer", help="a Python with openmined-psi")
    parser.add_argument("--items", type=int, nargs="*", default=[10_000])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {"cores": options.cores, "bits": options.bits, "runs": []}
    for rows in options.rows:
        for name in options.questions:
            say(f"{rows:,} rows, {name} ...")
            figures["runs"].append(whole_run(name, rows, options.bits, options.cores))
    if options.sum:
        say(f"{options.sum:,} rows, count and sum of two holders ...")
        figures["runs"].append(whole_run("sum", options.sum, options.bits, options.cores))
    figures["sizes"] = [sizes(items, options.peer) for items in options.items]
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    print(shown(figures))


# --- a whole run ----------------------------------------------------------------------------------


def whole_run(name: str, rows: int, bits: int, cores: int) -> dict[str, Any]:
    """Every party's part of one run, two rounds, on files; sums compared with plain integers."""
    text = FILE.replace("ROWS", str(rows)).replace("BITS", str(bits))
    scenario = parse_scenario_file(text, nonce=bytes(16))
    question = asked(name, scenario)
    found = plan_join(question, scenario.tables, bits)
    common = int(rows * SHARE_IN_COMMON)
    people = [invented_people(found, i, rows, common) for i in range(len(found.tables))]
    holders = [Party(Holder, found, i, mine, cores) for i, mine in enumerate(people)]
    coordinator = Party(Coordinator, found, cores)
    publics, agreements = zip(*(holder("keys") for holder in holders), strict=True)
    lap, phases, sent = stopwatch(), {}, {"blinding": 0, "rows": 0, "sums": 0}
    sets, names = {}, found.holders
    for place, name_of in enumerate(names):
        one = holders[place]("first")
        sent["blinding"] += len(one.points)
        for raiser in way_of(name_of, names)[1:]:
            after = holders[names.index(raiser)]("further", one)
            coordinator("raised", one, after, raiser)
            sent["blinding"] += 2 * len(one.points)
            one = after
        sets[name_of] = one
    phases["blinding"] = lap()
    joined = coordinator("match", sets)
    phases["matching"] = lap()
    pairs = list(enumerate(found.pairs))
    with tempfile.TemporaryDirectory(prefix="stayput-bench-") as folder:
        paths = [(Path(folder, f"owned{i}"), Path(folder, f"got{i}")) for i, _ in pairs]
        for index, pair in pairs:
            holders[pair.owner]("encrypt", index, paths[index][0])
            sent["rows"] += paths[index][0].stat().st_size
        phases["encrypting"] = lap()
        for index, pair in pairs:
            coordinator("hand_over", index, publics[pair.owner], *paths[index])
            sent["rows"] += paths[index][1].stat().st_size
        phases["handing over"] = lap()
        checker = PrivateKey.generate(2048)
        lap()
        first = [(cell, moment) for cell in range(len(found.cells)) for moment in question.first]
        rest = [
            (cell, moment)
            for cell in range(len(found.cells))
            for moment in range(len(question.moments))
            if moment not in question.first
        ]
        right = right_sums(found, question.moments, people, common)
        lap()
        for wanted, round_ in ((first, Round.COUNTS), (rest, Round.VALUES)):
            for index, pair in pairs:
                public = publics[pair.owner]
                returned = holders[pair.combiner]("combine", index, wanted, public, paths[index][1])
                sent["sums"] += 2 * len(returned)
                holders[pair.owner]("open", index, wanted, returned)
            sums = added(found, wanted, round_, holders, agreements, checker)
            assert sums == tuple(right[place] for place in wanted), "the sums are wrong"
        phases["combining"] = lap()
    assert joined == common
    bills = [party.end() for party in (*holders, coordinator)]
    return {
        "rows": rows,
        "question": name,
        "moments": len(question.moments),
        "cells": len(found.cells),
        "row_ciphertexts": [pair.row_ciphertexts for pair in found.pairs],
        "phases": phases,
        "wall_s": sum(phases.values()),
        "sent_mb": {what: size / 1e6 for what, size in sent.items()},
        "cpu_s": {who: cpu for who, (cpu, _) in zip((*names, "coordinator"), bills, strict=True)},
        "peak_mb": {
            who: peak for who, (_, peak) in zip((*names, "coordinator"), bills, strict=True)
        },
        "floor_us": floor(bits),
    }


def asked(name: str, scenario: Scenario) -> Any:
    if name == "deposits":
        return ask_model(scenario.models[0], scenario.tables)
    return ask(plan(scenario.statement(name), scenario.tables, 3, scenario.output), scenario.tables)


def added(
    found: JoinPlan,
    wanted: list[tuple[int, int]],
    round_: Round,
    holders: list[Party],
    agreements: tuple[bytes, ...],
    checker: PrivateKey,
) -> tuple[int, ...]:
    """The horizontal half of a round."""
    context = Context(
        run=RUN,
        scenario=SCENARIO,
        round=round_,
        participants=tuple(sorted(found.holders)),
        checker_key=checker.public.key_id,
        width=found.width([moment for _, moment in wanted]),
        count=len(wanted),
        question=random_question(),
    )
    keys = dict(zip(found.holders, agreements, strict=True))
    addition = Addition(context, checker.public)
    for name, holder in zip(found.holders, holders, strict=True):
        addition.add(name, holder("contribute", wanted, context, keys, checker.public))
    return encryption.open(addition.sum(), checker)


def floor(bits: int) -> float:
    """Microseconds of one encryption of a row here and now: what most of the time goes into."""
    public = PrivateKey.generate(bits).public
    encrypt(public, [0] * 500, randomness=Randomness.HALF)
    start = time.process_time()
    encrypt(public, [0] * 500, randomness=Randomness.HALF)
    return (time.process_time() - start) / 500 * 1e6


# --- sizes of intersections -----------------------------------------------------------------------

PEER = """
import sys, time, private_set_intersection.python as psi
n = int(sys.argv[1])
start = time.process_time()
client, server = psi.client.CreateWithNewKey(False), psi.server.CreateWithNewKey(False)
ours = [f"{i:08}" for i in range(n)]
theirs = [f"{i:08}" for i in range(n // 2, n + n // 2)]
setup = server.CreateSetupMessage(0.0, n, theirs, psi.DataStructure.RAW)
answer = server.ProcessRequest(client.CreateRequest(ours))
size = client.GetIntersectionSize(setup, answer)
assert size == n // 2, size
print(time.process_time() - start)
"""


def sizes(items: int, peer: str | None) -> dict[str, Any]:
    """CPU seconds of all parties for the size of an intersection of two sets, half in common."""
    say(f"sizes of intersections, {items:,} items ...")
    ours, floor_us = cardinality(items)
    theirs = None
    if peer:
        found = subprocess.run(
            [peer, "-c", PEER, str(items)], capture_output=True, text=True, check=True
        )
        theirs = float(found.stdout)
    return {"items": items, "ours": ours, "openmined": theirs, "floor_us": floor_us}


def cardinality(items: int) -> tuple[float, float]:
    """CPU seconds of ours, and microseconds of one power."""
    floor_points = random_points(200)
    start = time.process_time()
    raise_points(floor_points, Exponent.draw())
    each = (time.process_time() - start) / 200 * 1e6
    names = ("ash", "birch")
    start = time.process_time()
    rule = IdentifierRule(IdentifierKind.TEXT)
    tables = [Joined(name, name, rule, items, 0, 1, ()) for name in names]
    parties = {name: Blinding(RUN, SCENARIO, name, tables) for name in names}
    sets = {}
    for offset, name in zip((0, items // 2), names, strict=True):
        people = [f"{i:08}".encode() for i in range(offset, offset + items)]
        one, _ = parties[name].first(people)
        (other,) = {*names} - {name}
        sets[name] = parties[other].further(one, one.digest)
    assert Matching(sets, names).joined == items - items // 2
    return time.process_time() - start, each


# --- tables ---------------------------------------------------------------------------------------


def shown(figures: dict[str, Any]) -> str:
    """Markdown."""
    runs = figures["runs"]
    phases = list(runs[0]["phases"])
    first = table(
        ["question", "rows each", "wall, s", *phases, "CPU-s", "MB sent", "peak MB", "floor, µs"],
        (
            [
                run["question"],
                f"{run['rows']:,}",
                number(run["wall_s"]),
                *(number(run["phases"][phase]) for phase in phases),
                number(sum(run["cpu_s"].values())),
                number(sum(run["sent_mb"].values())),
                number(max(run["peak_mb"].values())),
                number(run["floor_us"]),
            ]
            for run in runs
        ),
    )
    each = table(
        ["question", "rows each", "party", "CPU-s", "CPU-ms per row", "peak MB"],
        (
            [
                run["question"],
                f"{run['rows']:,}",
                who,
                number(cpu),
                number(1000 * cpu / run["rows"]),
                number(run["peak_mb"][who]),
            ]
            for run in runs
            for who, cpu in run["cpu_s"].items()
        ),
        left=3,
    )
    beside = table(
        ["items", "ours, CPU-s", "openmined-psi", "floor: one power, µs"],
        (
            [f"{one['items']:,}", *(number(one[k]) for k in ("ours", "openmined", "floor_us"))]
            for one in figures["sizes"]
        ),
    )
    return "\n\n".join((f"{figures['bits']}-bit run keys.", first, each, beside))


def say(text: str) -> None:
    print(f"{text} (load {os.getloadavg()[0]:.1f})", file=sys.stderr)


if __name__ == "__main__":
    main()
