"""Runs over a join, whole: coordinator, checker, nodes and a data user in one process.

Real keys, log, files, encryption and output checking; rows are staged in this process (the real
staging process has its own tests).  The oracle is DuckDB, or numpy, on the pooled join.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from registers import RegisterStager

from stayput.client import Client, Run
from stayput.engines.source import SourceSpec
from stayput.errors import Unavailable, VerificationError
from stayput.federation import Federation
from stayput.joining import parse_shares, shares_to_bytes
from stayput.link import CoordinatorLink, ItemKind
from stayput.pooled import compare_with_pooled
from stayput.residents import registers
from stayput.scenario import Scenario
from stayput.session import RunState
from stayput.shows import demo_file
from stayput.steps import FailureReason, NotCovered, Outcome

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

    federation: FaultyCity
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

    def files(self, folder: Path) -> dict[str, list[Path]]:
        """The registers as Parquet files, for the oracle."""
        found = {}
        for name, table in city().items():
            found[name] = [folder / f"{name}.parquet"]
            pq.write_table(table, found[name][0])
        return found

    def state(self, run: bytes) -> RunState:
        return self.federation.coordinator.log.session.runs[run]

    def heal(self) -> None:
        for link in self.federation.links.values():
            link.fault = None

    def verify_answer(self, run: Run, folder: Path) -> None:
        """It is that of the pooled rows, and nothing of them is left."""
        found = compare_with_pooled(
            run.wait(timeout=0.0).checked.result.table,
            self.scenario.statement(TWO),
            {},
            self.files(folder),
            self.scenario.tables,
        )
        assert not found.mismatches
        assert found.exact_cells >= 5
        assert found.derived_cells >= 10
        self.verify_destroyed(run.id)

    def verify_destroyed(self, run: bytes) -> None:
        """Whoever had anything of single rows has given a receipt for it."""
        state = self.state(run)
        began = {
            name
            for name, stager in self.stagers.items()
            if any(request.run == run for request in stager.requests)
        }
        assert began
        assert set(state.receipts) == began
        for receipt in state.receipts.values():
            assert receipt.outcome is Outcome.DESTROYED
            assert NotCovered.ROW_HASHES not in receipt.not_covered
        assert state.erased is not None
        assert state.erased.outcome is Outcome.DESTROYED
        assert not list(self.federation.root.glob(f"**/*{run.hex()}*"))


class Faulty:
    """A link on which the test decides what becomes of a call: ``fault(method, arguments, call)``
    makes it, or does not, or gives another answer."""

    def __init__(self, link: CoordinatorLink) -> None:
        self._link = link
        self.fault: Callable[[str, tuple[Any, ...], Callable[[], Any]], Any] | None = None

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._link, method)

        def through(*arguments: Any) -> Any:
            def made() -> Any:
                return call(*arguments)

            return made() if self.fault is None else self.fault(method, arguments, made)

        return through


class FaultyCity(Federation):
    """A federation whose nodes speak over links with faults."""

    links: dict[str, Faulty]

    def link(self, name: str) -> CoordinatorLink:
        self.links = getattr(self, "links", {})
        found = self.links.setdefault(name, Faulty(super().link(name)))
        return cast(CoordinatorLink, found)


@pytest.fixture(scope="module")
def city_hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    stagers = {name: RegisterStager(city()) for name in HOLDERS}
    tables = {"housing-fund": "housing", "property-registry": "property"}
    tables["social-insurance"] = "social"
    federation = FaultyCity(
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
    city_hall.verify_answer(run, tmp_path)
    assert not city_hall.stagers["property-registry"].requests  # it has no part in it


def test_lost_connections_cost_time_only(city_hall: City, tmp_path: Path) -> None:
    """Every call of every node is lost once before it arrives, or its answer is."""
    lost: set[tuple[str, str, int]] = set()
    calls: Counter[tuple[str, str]] = Counter()

    def losing(name: str) -> Callable[[str, tuple[Any, ...], Callable[[], Any]], Any]:
        def fault(method: str, arguments: tuple[Any, ...], call: Callable[[], Any]) -> Any:
            calls[name, method] += 1
            place = (name, method, calls[name, method] // 2)
            if place in lost or method in ("read_log", "submit_cosignatures"):
                return call()
            lost.add(place)
            if place[2] % 2:
                call()
            raise Unavailable("lost")

        return fault

    run = city_hall.client.run(city_hall.digest, TWO)
    for name in HOLDERS:
        city_hall.federation.links[name].fault = losing(name)
    try:
        for _ in range(200):
            try:
                city_hall.settle()
                break
            except Unavailable:
                continue
    finally:
        city_hall.heal()
    city_hall.settle()
    city_hall.verify_answer(run, tmp_path)
    assert {method for _, method, _ in lost} >= {
        "put_piece",
        "get_piece",
        "count_pieces",
        "submit_join_step",
    }


@pytest.mark.parametrize(
    ("kind", "victim"), [(ItemKind.HANDED, "combiner"), (ItemKind.SUMS, "owner")]
)
def test_what_the_log_does_not_name_is_not_used(
    city_hall: City, kind: ItemKind, victim: str
) -> None:
    """A coordinator that answers with other ciphertexts, valid ones too, is found out."""
    altered: list[bytes] = []

    def fault(method: str, arguments: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        answer = call()
        if method == "get_piece" and arguments[1].kind is kind:
            # The first ciphertext in the place of the second: all are valid, the sums are others.
            size = 2048 // 8 * 2
            other = answer[:size] * 2 + answer[2 * size :] if len(answer) > size else answer[::-1]
            altered.append(other)
            return other
        return answer

    run = city_hall.client.run(city_hall.digest, TWO)
    for name in HOLDERS:
        city_hall.federation.links[name].fault = fault
    try:
        city_hall.settle()
    finally:
        city_hall.heal()
    city_hall.settle()
    assert altered
    state = city_hall.state(run.id)
    assert state.failed is not None
    assert state.failed.reason is FailureReason.HOLDER_REFUSED
    assert state.failed.party == getattr(state.ordered.pairs[0], victim)
    city_hall.verify_destroyed(run.id)


def test_a_node_that_was_stopped_has_lost_its_join(city_hall: City) -> None:
    run = city_hall.client.run(city_hall.digest, TWO)
    federation = city_hall.federation
    while not city_hall.state(run.id).blinded:
        for node in federation.nodes.values():
            node.work()
    began = next(iter(city_hall.state(run.id).blinded))
    federation.nodes[began] = federation.start_node(began)
    # As the staging folder tells after a kill.
    city_hall.settle()
    state = city_hall.state(run.id)
    assert state.failed is not None
    assert (state.failed.party, state.failed.reason) == (began, FailureReason.STATE_LOST)
    assert "was stopped" in federation.ledger(began).notes()[-1].message
    federation.nodes[began] = federation.start_node(began)
    city_hall.settle()


def test_two_rows_of_one_person_end_the_run(city_hall: City) -> None:
    stager = city_hall.stagers["social-insurance"]
    whole = stager.registers
    twice = pa.concat_tables([whole["social"], whole["social"].slice(0, 1)])
    stager.registers = {**whole, "social": twice}
    try:
        run = city_hall.client.run(city_hall.digest, TWO)
        city_hall.settle()
    finally:
        stager.registers = whole
    state = city_hall.state(run.id)
    assert state.failed is not None
    assert state.failed.party == "social-insurance"
    notes = city_hall.federation.ledger("social-insurance").notes()
    assert "two rows of one person" in notes[-1].message
    city_hall.federation.nodes["social-insurance"] = city_hall.federation.start_node(
        "social-insurance"
    )
    city_hall.verify_destroyed(run.id)


def test_kept_shares_are_of_one_shape() -> None:
    shares = [[1, 2**160 - 1], [0, 7], [5, 6]]
    kept = shares_to_bytes(shares)
    assert parse_shares(kept, 3, 2) == shares
    for cells, moments, data in ((2, 3, kept[:-1]), (3, 2, kept + b"x"), (2, 2, kept)):
        with pytest.raises(VerificationError, match="another shape"):
            parse_shares(data, cells, moments)
