"""How long a data user waits: from ordering a statement to its release, over real processes.

Makes the demonstration's consortium in a temporary folder (coordinator, checker, three holders,
each its own process; 3072-bit Paillier, mutual TLS on loopback), then orders ``delay_by_carrier``
(204 cells) for one month after the other, so that no answer has rows of the one before: compared
are those with the demonstration's own answers.  With ``--again`` it orders the whole year again and
again, and each answer is compared with all before it.  Interleaved in the same run stands the
floor: the same SQL by DuckDB on the pooled plain rows, which is what the parties would have if they
pooled them.

    python bench/bench_round_trip.py [--runs 15] [--again] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import duckdb
from live import connect, daemons

DAEMONS = ("hub", "city-statistics-office", "ewr", "jfk", "lga")
TARGET_SECONDS = 2.0
POOLED = """
    SELECT carrier, month, COUNT(*), AVG(arr_delay), STDDEV_SAMP(arr_delay)
    FROM read_parquet(?) WHERE month BETWEEN ? AND ? GROUP BY carrier, month
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="counted runs, at most 20")
    parser.add_argument("--again", action="store_true", help="the same question again and again")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stayput-bench-") as folder:
        consortium = Path(folder) / "consortium"
        print("making the demonstration's consortium ...", file=sys.stderr)
        subprocess.run(
            [sys.executable, "-m", "stayput", "demo", "--dir", str(consortium)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with daemons(consortium, DAEMONS):
            figures = measure(consortium, min(20, options.runs), again=options.again)
    show(figures, as_json=options.json)
    return 0


def measure(consortium: Path, runs: int, *, again: bool) -> dict[str, object]:
    released, verified, pooled = [], [], []
    parquet = [str(files("stayput") / "demo_data" / f"{name}.parquet") for name in DAEMONS[2:]]
    with connect(consortium / "port-authority") as client, duckdb.connect() as database:
        scenario = client.find("nyc-delays")
        cells = 0
        for number in range(runs + 1):
            first, last = (1, 12) if again else (number % 12 + 1,) * 2
            begun = time.perf_counter()
            run = client.run(scenario, "delay_by_carrier", first=first, last=last)
            seen: list[float] = []

            def progress(stage: str, begun: float = begun, seen: list[float] = seen) -> None:
                if stage == "result checked and released":
                    seen.append(time.perf_counter() - begun)

            result = run.wait(timeout=120, progress=progress)
            done = time.perf_counter() - begun
            start_pooled = time.perf_counter()
            database.execute(POOLED, [parquet, first, last]).fetchall()
            floor = time.perf_counter() - start_pooled
            cells = result.table.num_rows
            if number:  # the first one warms up
                released.append(seen[0])
                verified.append(done)
                pooled.append(floor)
    return {
        "cells": cells,
        "question": "the same" if again else "another month",
        "runs": runs,
        "cores": os.cpu_count(),
        "submit to released": released,
        "submit to verified by the client": verified,
        "same SQL on pooled rows": pooled,
    }


def show(figures: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=1))
        return
    print(
        f"{figures['cells']} cells, {figures['runs']} runs, {figures['question']} each time, "
        f"{figures['cores']} cores\n"
    )
    floor = statistics.median(figures["same SQL on pooled rows"])  # type: ignore[arg-type]
    print("| seconds | min | median | max | × pooled |\n|---|--:|--:|--:|--:|")
    for name, times in figures.items():
        if isinstance(times, list):
            median = statistics.median(times)
            print(
                f"| {name} | {min(times):.3f} | {median:.3f} | {max(times):.3f} "
                f"| {median / floor:.1f} |"
            )
    median = statistics.median(figures["submit to released"])  # type: ignore[arg-type]
    verdict = "met" if median <= TARGET_SECONDS else "missed"
    print(f"\ntarget: median submit to released ≤ {TARGET_SECONDS:g} s: {verdict}")


if __name__ == "__main__":
    raise SystemExit(main())
