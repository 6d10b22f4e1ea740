"""What a join costs the staging process of a holder: CPU per row and peak memory, phase by phase.

One real process, confined as in a node, over a Parquet file of invented residents; the question is
the first statement of the demonstration (36 cells, sums of three holders).  Blinded sets of the
other holders are random points, and what is handed over are encryptions under a key of ours: the
work is the same.  Of encrypting and combining a few chunks are enough, since chunks are alike.

``wall`` depends on what else the machine does; ``cpu / wall`` above 1 shows both cores at work.

    python bench/bench_join_staging.py [--people 20000] [--chunks 2] [--bits 2048] [--json FILE]

With ``--people 340000`` the registers have 250,000 to 287,000 rows; some three minutes of one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
from paillier_tables import number, table

import stayput
from stayput.crypto.paillier import PrivateKey, Randomness, encrypt
from stayput.crypto.ristretto import random_points
from stayput.engines.source import SourceSpec
from stayput.residents import registers
from stayput.scenario_file import parse_scenario_file
from stayput.sql import plan
from stayput.staging import JoinRequest, StagingPool
from stayput.staging.joins import JoinProcess
from stayput.vertical.blinding import BlindedSet
from stayput.vertical.plan import plan_join
from stayput.vertical.questions import ask
from stayput.vertical.rows import chunk_rows, chunks
from stayput.vertical.way import way_of

SCENARIO = Path(stayput.__file__).parent / "demo_data" / "income-capacity.yaml"


class Meter:
    """CPU and memory of a process between one look and the next."""

    def __init__(self, staging: JoinProcess) -> None:
        self._pid = staging._process.pid  # a benchmark may look
        self.lines: list[dict[str, str | float]] = []
        self._look()

    def _look(self) -> None:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        self._cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        self._wall = time.monotonic()

    def note(self, phase: str, rows: int) -> None:
        cpu, wall = self._cpu, self._wall
        self._look()
        status = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        (peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
        cpu, wall = self._cpu - cpu, self._wall - wall
        self.lines.append(
            {
                "phase": phase,
                "rows": rows,
                "µs of CPU per row": 1e6 * cpu / rows if rows else 0.0,
                "cpu / wall": cpu / wall,
                "peak MB so far": peak / 1024,
            }
        )


def requests(people: int, bits: int, folder: Path) -> dict[str, JoinRequest]:
    """What each holder stages."""
    scenario = parse_scenario_file(SCENARIO.read_text(encoding="utf-8"), nonce=bytes(16))
    city = registers(people, np.random.default_rng(1))
    most = max(len(rows) for rows in city.values())
    contracts = {
        one.name: dataclasses.replace(one, max_rows=most, pad_to=0) for one in scenario.tables
    }
    tables = tuple(contracts.values())
    question = ask(plan(scenario.statements[0], tables, 3, scenario.output), tables)
    found = plan_join(question, tables, bits)
    asked = {}
    for staged in question.staged:
        path = folder / f"{staged.table}.parquet"
        pyarrow.parquet.write_table(city[staged.table], path)
        asked[staged.holder] = JoinRequest(
            source=SourceSpec(str(path), "parquet"),
            contract=contracts[staged.table],
            columns=staged.columns,
            sql=staged.sql,
            staging_id=os.urandom(16),
            run=b"r" * 16,
            scenario=b"s" * 32,
            me=staged.holder,
            plan=found,
        )
    return asked


def blinding(staging: JoinProcess, request: JoinRequest, meter: Meter) -> int:
    """Every set that this holder raises; returns the number of its own points."""
    own = staging.first()
    meter.note("read and blind", own.count)
    holders, points = request.plan.holders, b"".join(random_points(own.count))
    for owner in sorted(set(holders) - {request.me}):
        way = way_of(owner, holders)
        received = BlindedSet(request.run, owner, way[: way.index(request.me)], points)
        staging.further(received, received.digest)
        meter.note(f"raise the set of {owner}", own.count)
    return own.count


def rows(staging: JoinProcess, request: JoinRequest, meter: Meter, count: int, some: int) -> None:
    """Some chunks of rows in every pair of this holder."""
    found = request.plan
    for index, pair in enumerate(found.pairs):
        size = chunk_rows(pair, found.key_bits)
        whole = min(some, sum(1 for one in chunks(count, pair, found.key_bits)) - 1)
        shape = f"{pair.row_ciphertexts} ciphertexts a row"
        if found.holders[pair.owner] == request.me:
            staging.run_key()
            meter.note("make the run key", 0)
            for chunk in range(whole):
                staging.encrypt(index, chunk)
            meter.note(f"encrypt, {shape}", whole * size)
        elif found.holders[pair.combiner] == request.me:
            public = PrivateKey.generate(found.key_bits).public
            numbers = [1] * (size * pair.row_ciphertexts)
            handed = encrypt(public, numbers, randomness=Randomness.HALF)
            modulus = public.modulus.to_bytes(found.key_bits // 8, "big")
            meter.note("wait", 0)
            for chunk in range(whole):
                staging.combine(index, modulus, chunk, handed)
            meter.note(f"combine, {shape}, {len(pair.powers)} powers", whole * size)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("--people", type=int, default=20_000)
    arguments.add_argument("--chunks", type=int, default=2)
    arguments.add_argument("--bits", type=int, default=2048)
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        each = requests(asked.people, asked.bits, Path(folder))
        with StagingPool(Path(folder) / "pool", warm=False) as pool:
            plan_of_all = next(iter(each.values())).plan
            shown = {pair.owner for pair in plan_of_all.pairs[:1]} | {
                pair.combiner for pair in plan_of_all.pairs[:1]
            }
            for holder in [plan_of_all.holders[position] for position in sorted(shown)]:
                staging = pool.open_join(each[holder])
                assert isinstance(staging, JoinProcess)
                meter = Meter(staging)
                count = blinding(staging, each[holder], meter)
                rows(staging, each[holder], meter, count, asked.chunks)
                print(f"\n{holder}: {count} rows; {staging.close().outcome.name.lower()}")
                head = list(meter.lines[0])
                print(table(head, [[_shown(line[name]) for name in head] for line in meter.lines]))
                found[holder] = meter.lines
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else number(value)


if __name__ == "__main__":
    main()
