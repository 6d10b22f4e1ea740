"""What a join costs between real parties: wall time, CPU, memory and bytes of each, by rows.

Makes the consortium of ``stayput demo credit`` in a temporary folder (coordinator, checker, three
offices, each a process of its own with its staging process; mutual TLS on loopback), then gives the
offices invented registers of each size, 87 % of everybody's people in common, and orders a
statement (40 cells by keys of one office, sums of six columns of three offices) and a linear model
(five predictors of three offices).  ``--asked sum`` is count and sum of two offices, the question
of private-join-and-compute: its paper has 7.5 s for 10,000 × 10,000 (Ion et al. 2020), a user of
its code reported some 41 s.  All answers are compared with plain sums of the pooled join.

CPU is that of all processes of a party, memory that of its largest one.  The floor is what nobody
can leave out: each ciphertext of a row encrypted once at its owner and once at the coordinator, and
each identifier raised by everybody, measured in the same run, on one core that does nothing else.

    python bench/bench_join.py [--rows 5000 20000] [--asked cells deposits]
                               [--bits 2048] [--consortium DIR] [--json FILE]

At 286,900 rows it takes some twenty minutes, and wants a quiet machine with two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from live import connect, daemons
from paillier_tables import table

from stayput.crypto.paillier import PrivateKey, Randomness, encrypt
from stayput.crypto.ristretto import Exponent, raise_points, random_points
from stayput.scenario_file import parse_scenario_file
from stayput.shows import CREDIT
from stayput.sql import plan
from stayput.vertical.models import ModelQuestion, ask_model
from stayput.vertical.plan import plan_join
from stayput.vertical.questions import JoinQuestion, ask
from stayput.vertical.way import way_of

SHARE_IN_COMMON = 0.8714  # 250,000 of 286,900
QUESTIONS = ("cells", "deposits", "sum")
PARTIES = (CREDIT.coordinator, CREDIT.checker, *CREDIT.holders)

FILE = """
scenario: SCENARIO
title: A join of three registers
purpose: To see what it costs.
data_user: city-planning
checker: statistics-office
holders: [housing-fund, social-insurance, property-registry]
limits: {runs: 4, valid_until: 2099-12-31}
join: {key_bits: BITS}
tables:
  housing:
    at: [housing-fund]
    max_rows: ROWS
    columns:
      person: {type: identifier, grade: sensitive}
      district: {type: integer, min: 1, max: 8, grade: public}
      age: {type: integer, min: 1, max: 5, grade: public}
      deposit: {type: integer, min: 0, max: 600000, grade: sensitive}
      months: {type: integer, min: 0, max: 480, grade: sensitive}
  social:
    at: [social-insurance]
    max_rows: ROWS
    columns:
      person: {type: identifier, grade: sensitive}
      base: {type: integer, min: 0, max: 40000, grade: sensitive}
      months_36: {type: integer, min: 0, max: 36, grade: sensitive}
  property:
    at: [property-registry]
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

COLUMNS = {
    "housing": {"district": (1, 8), "age": (1, 5), "deposit": (0, 600_000), "months": (0, 480)},
    "social": {"base": (0, 40_000), "months_36": (0, 36)},
    "property": {"worth": (0, 20_000_000), "mortgages": (0, 9)},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--asked", nargs="+", choices=QUESTIONS, default=["cells", "deposits"])
    parser.add_argument("--bits", type=int, default=2048, help="length of the run keys")
    parser.add_argument("--consortium", type=Path, help="folder that `stayput demo credit` made")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    figures: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "bits": options.bits}
    figures["load"] = os.getloadavg()[0]
    figures["runs"] = []
    with tempfile.TemporaryDirectory(prefix="stayput-bench-") as folder:
        root = options.consortium or Path(folder) / "consortium"
        if options.consortium is None:
            say("making the demonstration's consortium ...")
            stayput_command("demo", "credit", "--dir", str(root))
        for rows in options.rows:
            joined = put_registers(root, rows)
            with daemons(root, PARTIES) as running:
                for asked in options.asked:
                    say(f"{asked} of {rows:,} rows ...")
                    found = measure(root, running, rows, options.bits, asked, joined)
                    figures["runs"].append(found)
                    print(shown(found), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(summary(figures))
    return 0


# --- parties --------------------------------------------------------------------------------------


def stayput_command(*words: str) -> str:
    command = [sys.executable, "-m", "stayput", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def put_registers(root: Path, rows: int) -> pa.Table:
    """Invented registers in the place of the demonstration's; returns their join."""
    rng = np.random.default_rng(rows)
    common = round(rows * SHARE_IN_COMMON)
    joined: dict[str, Any] = {}
    for position, (holder, name) in enumerate(CREDIT.tables.items()):
        others = np.arange(rows - common) + (position + 1) * 10**9
        person = np.concatenate([np.arange(common), others])
        columns = {"person": person}
        for column, (low, high) in COLUMNS[name].items():
            columns[column] = rng.integers(low, high + 1, rows)
            joined[column] = columns[column][:common]
        order = rng.permutation(rows)
        found = pa.table({column: values[order] for column, values in columns.items()})
        pq.write_table(found, CREDIT.data(root / holder, holder))
    return pa.table(joined)


def seal(root: Path, rows: int, bits: int, asked: str) -> str:
    """A scenario of its own for each run, since each has a register of its own."""
    name = f"bench-{asked}-{rows}-{bits}"
    file = root / f"{name}.yaml"
    text = FILE.replace("SCENARIO", name).replace("BITS", str(bits)).replace("ROWS", str(rows))
    file.write_text(text, encoding="utf-8")
    stayput_command("scenario", "propose", str(file), "--home", str(root / CREDIT.user))
    for holder in CREDIT.holders:
        waive = ("--waive", "two-holders", "--yes")
        stayput_command("approve", name, *waive, "--home", str(root / holder))
    return name


# --- the floor ------------------------------------------------------------------------------------


def floor(bits: int, rows: int, asked: str) -> float:
    """CPU seconds of all encryptions and raisings that the plan of a question needs."""
    text = FILE.replace("SCENARIO", "bench").replace("BITS", str(bits)).replace("ROWS", str(rows))
    scenario = parse_scenario_file(text, nonce=bytes(16))
    question: JoinQuestion | ModelQuestion
    if asked == "deposits":
        question = ask_model(scenario.models[0], scenario.tables)
    else:
        planned = plan(scenario.statement(asked), scenario.tables, 3, scenario.output)
        question = ask(planned, scenario.tables)
    found = plan_join(question, scenario.tables, bits)
    ciphertexts = sum(pair.row_ciphertexts for pair in found.pairs)
    ways = sum(len(way_of(name, found.holders)) for name in found.holders)
    public, exponent, points = (
        PrivateKey.generate(bits).public,
        Exponent.draw(),
        random_points(2000),
    )
    encrypt(public, [0] * 4096, randomness=Randomness.HALF)  # tables are made
    start = time.process_time()
    encrypt(public, [0] * 4096, randomness=Randomness.HALF)
    middle = time.process_time()
    raise_points(points, exponent)
    end = time.process_time()
    return rows * (2 * ciphertexts * (middle - start) / 4096 + ways * (end - middle) / 2000)


# --- measuring ------------------------------------------------------------------------------------


class Watch:
    """CPU seconds and largest resident memory of processes and of all that they start."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._cpu: dict[str, dict[int, float]] = {name: {} for name in pids}
        self._peak: dict[str, float] = dict.fromkeys(pids, 0.0)
        self._stop = threading.Event()
        self._look()
        self._before = {name: dict(seen) for name, seen in self._cpu.items()}
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()

    def end(self) -> tuple[dict[str, float], dict[str, float]]:
        """CPU seconds since the start, and peak megabytes of the largest process."""
        self._stop.set()
        self._thread.join()
        self._look()
        cpu = {
            name: sum(seen.values()) - sum(self._before[name].values())
            for name, seen in self._cpu.items()
        }
        return cpu, self._peak

    def _keep_looking(self) -> None:
        while not self._stop.wait(0.5):
            self._look()

    def _look(self) -> None:
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
        for name, pid in self._pids.items():
            for one in _below(pid, children):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    fields = (Path("/proc") / str(one) / "stat").read_text().rpartition(")")[2]
                    used = [int(field) for field in fields.split()[11:13]]
                    self._cpu[name][one] = sum(used) / os.sysconf("SC_CLK_TCK")
                    status = (Path("/proc") / str(one) / "status").read_text()
                    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
                    self._peak[name] = max(self._peak[name], int(peak.split()[1]) / 1024)


def _below(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _below(child, children)


def sent(root: Path, name: str) -> int:
    """Bytes that a party has sent since its process started."""
    try:
        counted = json.loads((root / name / "wire.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return sum(one["bytes"] for one in counted if one["direction"] == "sent")


def measure(
    root: Path,
    running: dict[str, subprocess.Popen[bytes]],
    rows: int,
    bits: int,
    asked: str,
    joined: pa.Table,
) -> dict[str, Any]:
    with connect(root / CREDIT.user) as client:
        name = seal(root, rows, bits, asked)
        digest = client.find(name)
        client.wait_until_sealed(digest, timeout=120)
        before = {name: sent(root, name) for name in PARTIES}
        watch = Watch({name: daemon.pid for name, daemon in running.items()})
        stages: list[tuple[str, float]] = []
        begun = time.perf_counter()
        run = client.run(digest, asked)

        def progress(stage: str) -> None:
            stages.append((stage, round(time.perf_counter() - begun, 1)))
            say(f"  {stages[-1][1]:8.1f} s  {stage}")

        result = run.wait(timeout=7200, progress=progress)
        seconds = time.perf_counter() - begun
        cpu, peak = watch.end()
        compare(asked, result.table, joined)
    time.sleep(1.5)  # the daemons write their counters once in a while
    return {
        "asked": asked,
        "rows": rows,
        "bits": bits,
        "seconds": seconds,
        "floor_cpu": floor(bits, rows, asked),
        "cpu": cpu,
        "peak_mb": peak,
        "sent": {name: sent(root, name) - before[name] for name in PARTIES},
        "stages": stages,
    }


def compare(asked: str, released: pa.Table, joined: pa.Table) -> None:
    """Every sum of the statement, and the model's fit, against the pooled join."""
    if asked == "cells":
        pooled = joined.group_by(["district", "age"]).aggregate(
            [("deposit", "count")]
            + [(name, "sum") for name in ("deposit", "months", "base", "months_36")]
            + [(name, "sum") for name in ("worth", "mortgages")]
        )
        expected = {
            (row["district"], row["age"]): [row["deposit_count"]]
            + [row[f"{name}_sum"] for name in ("deposit", "months", "base", "months_36")]
            + [row["worth_sum"], row["mortgages_sum"]]
            for row in pooled.to_pylist()
        }
        for row in released.to_pylist():
            found = [row[name] for name in ("people", "a", "b", "c", "d", "e", "f")]
            if found[0] is not None and found != expected[row["district"], row["age"]]:
                raise SystemExit(f"wrong sums: {row}")
        return
    if asked == "sum":
        if released.to_pylist() != [
            {"people": joined.num_rows, "c": pc.sum(joined["base"]).as_py()}
        ]:
            raise SystemExit(f"wrong sum: {released.to_pylist()}")
        return
    names = ("months", "base", "months_36", "worth", "mortgages")
    columns = [np.ones(joined.num_rows), *(joined[name].to_numpy() for name in names)]
    design = np.column_stack([column.astype(float) for column in columns])
    right, *_ = np.linalg.lstsq(design, joined["deposit"].to_numpy().astype(float), rcond=None)
    found = dict(
        zip(released["term"].to_pylist(), released["coefficient"].to_pylist(), strict=True)
    )
    for name, coefficient in zip(("constant", *names), right, strict=True):
        if abs(found[name] - coefficient) > 1e-8 * abs(coefficient):
            raise SystemExit(f"wrong coefficient of {name}: {found[name]}, not {coefficient}")


# --- showing --------------------------------------------------------------------------------------


def shown(found: dict[str, Any]) -> str:
    head = f"\n{found['asked']}, {found['rows']:,} rows, {found['bits']} bits: "
    lines = [
        [name, f"{found['cpu'][name]:.1f}", f"{found['peak_mb'][name]:.0f}",
         f"{found['sent'][name] / 1e6:.1f}"]
        for name in PARTIES
    ]  # fmt: skip
    return (
        f"{head}{found['seconds']:.1f} s, {sum(found['cpu'].values()):.0f} CPU-s in all; "
        f"floor {found['floor_cpu']:.0f} CPU-s\n\n"
        + table(["party", "CPU-s", "largest process, MB", "sent, MB"], lines)
    )


def summary(figures: dict[str, Any]) -> str:
    lines = [
        [run["asked"], f"{run['rows']:,}", f"{run['seconds']:.1f}",
         f"{1e3 * sum(run['cpu'].values()) / run['rows']:.2f}",
         f"{sum(run['cpu'].values()) / run['floor_cpu']:.2f}",
         f"{max(run['peak_mb'].values()):.0f}"]
        for run in figures["runs"]
    ]  # fmt: skip
    return f"\nrun keys of {figures['bits']} bits, {figures['cores']} cores\n\n" + table(
        [
            "asked",
            "rows",
            "wall, s",
            "CPU-ms per row, all parties",
            "× floor",
            "largest process, MB",
        ],
        lines,
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
