"""Joins staged in this process, so that many are quick; the real process has its own tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import duckdb
import pyarrow as pa
from pets import destroyed

from stayput.engines.contract import RAW, source_view_sql
from stayput.engines.source import SourceSpec
from stayput.staging import DeletionFacts, JoinRequest, Staged, StagingRequest, Swept
from stayput.staging.join_work import JoinWork
from stayput.vertical.people import People, people_of


class MemoryJoin(JoinWork):
    """The work itself, and a receipt."""

    def close(self) -> DeletionFacts:
        return destroyed().receipt


@dataclasses.dataclass
class RegisterStager:
    """Registers by table name, as a holder has them; no statements over one table."""

    registers: Mapping[str, pa.Table]
    requests: list[JoinRequest] = dataclasses.field(default_factory=list)
    sweeps: list[Swept] = dataclasses.field(default_factory=list)

    def state(self, source: SourceSpec) -> str:
        del source
        return "unchanged"

    def stage(self, request: StagingRequest) -> Staged:
        raise AssertionError("only joins are asked here")

    def open_join(self, request: JoinRequest) -> MemoryJoin:
        self.requests.append(request)
        return MemoryJoin(
            request.plan, request.run, request.scenario, request.me, lambda: self._read(request)
        )

    def _read(self, request: JoinRequest) -> People:
        (table,) = [table for table in request.plan.tables if table.holder == request.me]
        with duckdb.connect() as connection:
            connection.register(RAW, self.registers[table.table])
            described = connection.execute(f"DESCRIBE {RAW}").fetchall()
            types = {str(row[0]): str(row[1]) for row in described}
            connection.execute(source_view_sql(request.contract, types, request.columns))
            rows = connection.execute(request.sql).fetchall()
        columns = list(zip(*rows, strict=True)) or [()] * (2 + len(table.bounds))
        return people_of(table, columns[0], list(columns[1]), [list(c) for c in columns[2:]])
