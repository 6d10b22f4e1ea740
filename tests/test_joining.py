"""Runs over a join, whole: coordinator, checker, nodes and a data user in one process.

Real keys, log, files, encryption and output checking; rows are staged in this process (the real
staging process has its own tests).  The oracle is DuckDB, or numpy, on the pooled join.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from registers import RegisterStager

from stayput.client import Client
from stayput.engines.source import SourceSpec
from stayput.errors import RunFailure, VerificationError
from stayput.federation import Federation
from stayput.joining import parse_shares, shares_to_bytes
from stayput.pooled import compare_with_pooled
from stayput.residents import registers
from stayput.scenario import Scenario
from stayput.shows import demo_file
from stayput.steps import Outcome

PEOPLE = 400
TWO, MODEL = "deposits_by_bands", "deposits"
HOLDERS = ("housing-fund", "property-registry", "social-insurance")


@functools.cache
def city() -> dict[str, pa.Table]:
    return registers(PEOPLE, np.random.default_rng(7))


def text() -> str:
    found = demo_file("income-capacity.yaml").read_text(encoding="utf-8")
    return found.replace("pad_to: 6000", f"pad_to: {PEOPLE + 20}")


@dataclasses.dataclass
class City:
    """The offices of a city, their registers, and a sealed scenario."""

    federation: Federation
    stagers: dict[str, RegisterStager]
    digest: bytes

    @property
    def client(self) -> Client:
        return self.federation.client

    @property
    def scenario(self) -> Scenario:
        return self.client.scenario(self.digest)

    def settle(self) -> None:
        self.federation.settle(rounds=200)

    def fails(self, run: Any) -> RunFailure:
        self.settle()
        with pytest.raises(RunFailure) as failed:
            run.wait(timeout=0.0)
        return failed.value

    def files(self, folder: Path) -> dict[str, list[Path]]:
        """The registers as Parquet files, for the oracle."""
        found = {}
        for name, table in city().items():
            found[name] = [folder / f"{name}.parquet"]
            pq.write_table(table, found[name][0])
        return found

    def verify_destroyed(self, run: bytes) -> None:
        """Whoever had anything of single rows has given a receipt for it."""
        state = self.federation.coordinator.log.session.runs[run]
        began = {
            name
            for name, stager in self.stagers.items()
            if any(request.run == run for request in stager.requests)
        }
        assert began
        assert set(state.receipts) == began
        assert all(one.outcome is Outcome.DESTROYED for one in state.receipts.values())
        assert state.erased is not None
        assert state.erased.outcome is Outcome.DESTROYED
        assert not list(self.federation.root.glob(f"**/*{run.hex()}*"))


@pytest.fixture(scope="module")
def city_hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    stagers = {name: RegisterStager(city()) for name in HOLDERS}
    tables = {"housing-fund": "housing", "property-registry": "property"}
    tables["social-insurance"] = "social"
    federation = Federation(
        tmp_path_factory.mktemp("city") / "parties",
        holders=HOLDERS,
        checker="statistics-office",
        user="city-planning",
        sources={
            holder: {table: SourceSpec(f"{table}.parquet", "parquet", "")}
            for holder, table in tables.items()
        },
        stager=stagers.__getitem__,
        paillier_bits=2048,
    )
    digest = federation.client.propose(text())
    federation.approve(federation.client.scenario(digest))
    yield City(federation, stagers, digest)
    federation.close()


def test_a_statement_over_two_of_three_holders(city_hall: City, tmp_path: Path) -> None:
    run = city_hall.client.run(city_hall.digest, TWO)
    city_hall.settle()
    found = compare_with_pooled(
        run.wait(timeout=0.0).checked.result.table,
        city_hall.scenario.statement(TWO),
        {},
        city_hall.files(tmp_path),
        city_hall.scenario.tables,
    )
    assert not found.mismatches
    assert found.exact_cells >= 5
    assert found.derived_cells >= 10
    city_hall.verify_destroyed(run.id)
    assert not city_hall.stagers["property-registry"].requests  # it has no part in it


def test_kept_shares_are_of_one_shape() -> None:
    shares = [[1, 2**160 - 1], [0, 7], [5, 6]]
    kept = shares_to_bytes(shares)
    assert parse_shares(kept, 3, 2) == shares
    for cells, moments, data in ((2, 3, kept[:-1]), (3, 2, kept + b"x"), (2, 2, kept)):
        with pytest.raises(VerificationError, match="another shape"):
            parse_shares(data, cells, moments)
