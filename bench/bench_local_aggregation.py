"""Local partial aggregation: staging, cold, against the same plain SQL in DuckDB.

    python bench/bench_local_aggregation.py                       # 10 million rows
    python bench/bench_local_aggregation.py --rows 50_000_000

Makes one Parquet table in a temporary folder: 1,000 groups, 5 whole-number columns.  Then, in turn
and several times each:

* plain: a fresh Python process that imports duckdb and runs count, sum and sum of squares per group
  over the file, with as many threads, and fetches the groups;
* staged: ``StagingPool(warm=False).stage(...)``: start of the process, hardening, Landlock,
  contract check of every column, the same sums exactly, the destruction checks.

Both start from nothing and both read the same file from the page cache.  Prints medians, the
ratio of medians, processor time and peak resident memory as Markdown.  The groups of both are
compared, so that the faster one cannot be the wrong one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stayput.engines.source import SourceSpec
from stayput.scenario import Column, ColumnType, Grade, Outside, TableContract
from stayput.staging import StagingPool, StagingRequest

MEASURES = 5
GROUPS = 1000
BOUND = 10_000

MAKE = """
import duckdb, sys
rows, path, span, groups, measures = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
listed = ", ".join(
    f"CAST(hash(i * 7 + {k}) % {2 * span + 1} AS BIGINT) - {span} AS m{k}" for k in range(measures)
)
con = duckdb.connect(
    config={"threads": 2, "memory_limit": "600MB", "preserve_insertion_order": False}
)
con.execute("SET enable_progress_bar=false")
con.execute(
    f"COPY (SELECT CAST(hash(i) % {groups} AS BIGINT) AS g, {listed} FROM range({rows}) t(i)) "
    f"TO '{path}' (FORMAT parquet)"
)
"""

SUMS = ", ".join(f"SUM(m{k}), SUM(m{k} * m{k})" for k in range(MEASURES))
PLAIN = """
import duckdb, json, sys
path, threads, sums = sys.argv[1], int(sys.argv[2]), sys.argv[3]
con = duckdb.connect(config={"threads": threads})
con.execute("SET enable_progress_bar=false")
rows = con.execute(f"SELECT g, COUNT(*), {sums} FROM read_parquet('{path}') GROUP BY 1").fetchall()
json.dump(sorted(rows), sys.stdout)
"""


@dataclasses.dataclass(frozen=True)
class Measured:
    wall: float
    cpu: float
    peak_mb: float
    rows: list[list[int]]


def contract() -> TableContract:
    def column(name: str, low: int, high: int) -> Column:
        return Column(
            name, ColumnType.INTEGER, Grade.INTERNAL, Outside.REFUSE, minimum=low, maximum=high
        )

    measures = [column(f"m{k}", -BOUND, BOUND) for k in range(MEASURES)]
    columns = (column("g", 0, GROUPS - 1), *measures)
    return TableContract("t", ("north", "south"), columns, max_rows=10**9)


def plain(path: Path, threads: int) -> Measured:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", PLAIN, str(path), str(threads), SUMS], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as answers:
        text = answers.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    assert process.returncode == 0, "the plain run failed"
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(text))


def staged(path: Path, threads: int, workdir: Path) -> Measured:
    declared = contract()
    sql = f"SELECT g AS key_0, COUNT(*) AS count_0, {SUMS} FROM stayput_source GROUP BY 1"
    request = StagingRequest(
        SourceSpec(str(path), "parquet"),
        declared,
        tuple(column.name for column in declared.columns),
        sql,
        os.urandom(16),
    )
    started, cpu = time.perf_counter(), time.process_time()
    with StagingPool(workdir, memory_limit_mb=300, threads=threads, warm=False) as pool:
        done = pool.stage(request)
        wall = time.perf_counter() - started
    own = time.process_time() - cpu
    assert not done.receipt.failed
    rows = [list(map(int, row)) for row in sorted(done.rows)]  # type: ignore[arg-type, type-var]
    return Measured(wall, done.ended.cpu_seconds + own, done.ended.peak_bytes / 2**20, rows)


def line(name: str, runs: list[Measured]) -> str:
    wall = statistics.median(run.wall for run in runs)
    cpu = statistics.median(run.cpu for run in runs)
    spread = f"{min(run.wall for run in runs):.2f}–{max(run.wall for run in runs):.2f}"
    peak = max(run.peak_mb for run in runs)
    return f"| {name} | {wall:.2f} | {spread} | {cpu:.2f} | {peak:.0f} |"


def ratio(ours: list[Measured], theirs: list[Measured], name: str) -> float:
    def median(runs: list[Measured]) -> float:
        return statistics.median(getattr(run, name) for run in runs)

    return median(ours) / median(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        sizes = [str(number) for number in (BOUND, GROUPS, MEASURES)]
        make = [sys.executable, "-c", MAKE, str(chosen.rows), str(path), *sizes]
        subprocess.run(make, check=True)
        theirs, ours = [], []
        for turn in range(chosen.repeat + 1):
            a, b = plain(path, chosen.threads), staged(path, chosen.threads, Path(folder) / "work")
            assert a.rows == b.rows, "the two disagree"
            if turn:  # the first turn fills the page cache
                theirs.append(a)
                ours.append(b)
        size = path.stat().st_size / 2**20
    print(f"{chosen.rows:,} rows, {GROUPS} groups × {MEASURES} measures, {size:.0f} MB of Parquet,")
    print(f"{chosen.threads} threads, {chosen.repeat} runs each, in turn\n")
    print("| | wall s, median | wall s, range | CPU s, median | peak MB |")
    print("|---|--:|--:|--:|--:|")
    print(line("plain DuckDB, fresh process", theirs))
    print(line("staged, cold, with contract check", ours))
    print(f"| ratio | {ratio(ours, theirs, 'wall'):.2f} | | {ratio(ours, theirs, 'cpu'):.2f} | |")


if __name__ == "__main__":
    main()
