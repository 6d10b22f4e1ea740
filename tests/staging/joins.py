"""A whole join between stagings, in the order of the protocol; what passes by is kept as bytes.

The coordinator's part (order of sets, matching, handing over) is done here, between real processes
or stagings of any other kind.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from staging.flights import WRITERS

import stayput
from stayput.crypto.paillier import PublicKey
from stayput.engines.source import SourceSpec
from stayput.residents import registers
from stayput.scenario import Scenario, Statement, TableContract
from stayput.scenario_file import parse_scenario_file
from stayput.sql import plan
from stayput.staging import JoinRequest, JoinStaging
from stayput.vertical.blinding import BlindedSet, verify_raised, way_of
from stayput.vertical.matching import Matching
from stayput.vertical.models import ModelQuestion
from stayput.vertical.plan import JoinPlan, plan_join
from stayput.vertical.questions import JoinQuestion, ask
from stayput.vertical.rows import chunks, hand_over, parse_rows, verify_run_key

FILE = Path(stayput.__file__).parent / "demo_data" / "income-capacity.yaml"
RUN, SCENARIO = b"r" * 16, b"s" * 32
ALL = "housing JOIN social USING (resident) JOIN property USING (resident)"
FORMATS = {"housing": "parquet", "social": "csv", "property": "sqlite"}


@functools.cache
def scenario() -> Scenario:
    return parse_scenario_file(FILE.read_text(encoding="utf-8"), nonce=bytes(16))


@functools.cache
def city() -> dict[str, pa.Table]:
    return registers(150, np.random.default_rng(20260102))


def question_of(sql: str) -> JoinQuestion:
    found = scenario()
    return ask(plan(Statement("s", sql), found.tables, 3, found.output), found.tables)


def plan_of(question: JoinQuestion | ModelQuestion, *, pad_to: int = 0) -> JoinPlan:
    """The plan; with other padding than the scenario's, which is for thousands of people."""
    found = plan_join(question, scenario().tables, 2048)
    tables = tuple(dataclasses.replace(table, pad_to=pad_to) for table in found.tables)
    return dataclasses.replace(found, tables=tables)


def ruled(found: JoinPlan, **changes: object) -> JoinPlan:
    """The plan with other rules for identifiers."""
    tables = tuple(
        dataclasses.replace(table, rule=dataclasses.replace(table.rule, **changes))
        for table in found.tables
    )
    return dataclasses.replace(found, tables=tables)


def write(folder: Path, table: str, rows: pa.Table, kind: str = "") -> SourceSpec:
    kind = kind or FORMATS[table]
    path = folder / f"{table}.{kind}"
    if kind == "parquet":  # with its types, also of no rows
        pyarrow.parquet.write_table(rows, path)
        return SourceSpec(str(path), kind)
    columns = {name: rows[name].to_pylist() for name in rows.column_names}
    if kind == "sqlite":  # which has no truth values
        columns = {
            name: [int(v) if isinstance(v, bool) else v for v in values]
            for name, values in columns.items()
        }
    return WRITERS[kind](path, columns)


def requests(
    question: JoinQuestion | ModelQuestion,
    found: JoinPlan,
    sources: Mapping[str, SourceSpec],
    *,
    staging_id: Callable[[str], bytes] = lambda holder: holder.encode()[:32],
) -> dict[str, JoinRequest]:
    """Of each holder what it stages."""
    contracts: dict[str, TableContract] = {table.name: table for table in scenario().tables}
    return {
        staged.holder: JoinRequest(
            source=sources[staged.table],
            contract=contracts[staged.table],
            columns=staged.columns,
            sql=staged.sql,
            staging_id=staging_id(staged.holder),
            run=RUN,
            scenario=SCENARIO,
            me=staged.holder,
            plan=found,
        )
        for staged in question.staged
    }


@dataclasses.dataclass
class Joining:
    """One run; each step is called once, in order."""

    plan: JoinPlan
    stagings: Mapping[str, JoinStaging]
    passed: list[bytes] = dataclasses.field(default_factory=list)

    def blind(self) -> Matching:
        holders = self.plan.holders
        firsts = {name: self.stagings[name].first() for name in holders}
        self.sets: dict[str, BlindedSet] = {}
        for owner in holders:
            found = firsts[owner]
            self.passed.append(found.points)
            for raiser in way_of(owner, holders)[1:]:
                after = self.stagings[raiser].further(found, found.digest)
                found = verify_raised(found, after, raiser)
                self.passed.append(found.points)
            self.sets[owner] = found
        self.matching = Matching(self.sets, holders)
        return self.matching

    def exchange(self) -> None:
        self.keys: dict[int, bytes] = {}
        self.handed: dict[int, list[bytes]] = {}
        for index, pair in enumerate(self.plan.pairs):
            owner, combiner = self.plan.holders[pair.owner], self.plan.holders[pair.combiner]
            self.keys[index] = self.stagings[owner].run_key()
            public = PublicKey(int.from_bytes(self.keys[index], "big"))
            verify_run_key(public, self.plan.key_bits)
            stored = b""
            for number, rows in enumerate(chunks(self.sets[owner].count, pair, self.plan.key_bits)):
                data = self.stagings[owner].encrypt(index, number)
                stored += parse_rows(data, public, pair, rows.stop - rows.start).to_bytes()
            self.passed.append(stored)
            partners = self.matching.partners(combiner, owner)
            self.handed[index] = [
                hand_over(partners[rows], stored, public, pair)
                for rows in chunks(len(partners), pair, self.plan.key_bits)
            ]

    def combine(self) -> None:
        for index, pair in enumerate(self.plan.pairs):
            owner, combiner = self.plan.holders[pair.owner], self.plan.holders[pair.combiner]
            staging = self.stagings[combiner]
            for number, handed in enumerate(self.handed[index]):
                staging.combine(index, self.keys[index], number, handed)
            returned = staging.finish(index, self.keys[index])
            self.passed.append(returned)
            self.stagings[owner].open(index, returned)

    def sums(self) -> list[list[int]]:
        """Cells × moments, as numbers with their sign."""
        parts = [self.stagings[name].shares() for name in self.plan.holders]
        return [
            [_signed(sum(row)) for row in zip(*cell, strict=True)]
            for cell in zip(*parts, strict=True)
        ]

    def all(self) -> list[list[int]]:
        self.blind()
        self.exchange()
        self.combine()
        return self.sums()


def _signed(residue: int) -> int:
    residue %= 1 << 160
    return residue - (1 << 160) if residue >> 159 else residue


def normalised(number: str) -> str:
    """What the three registers write differently, by other means than the product's."""
    plain = "".join(chr(ord(c) - 0xFEE0) if 0xFF01 <= ord(c) <= 0xFF5E else c for c in number)
    return "".join(plain.split()).upper()


def opened(sums: Sequence[Sequence[int]]) -> list[dict[int, int]]:
    return [dict(enumerate(row)) for row in sums]
