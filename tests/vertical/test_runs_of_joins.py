"""Runs over joins between all parties, in one process: real cores, logs, keys and encryption.

Oracle: DuckDB and numpy on the pooled registers (:mod:`stayput.pooled`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from registers import RegisterStager

from stayput.audit import VerifiedRelease, verify_release
from stayput.client import Result
from stayput.engines.source import SourceSpec
from stayput.errors import InvalidInput, RunFailure
from stayput.federation import Federation
from stayput.plans import Terms, order_terms
from stayput.pooled import compare_model_with_pooled, compare_with_pooled
from stayput.release import RunOrder
from stayput.residents import registers
from stayput.scenario import Scenario
from stayput.session import RunState
from stayput.shows import CREDIT, demo_file
from stayput.steps import FailureReason, JoinPair, Outcome

PEOPLE = 160
CAPACITY, BANDS, WEALTH, MODEL = (name for name, _ in CREDIT.runs)
TEXT = (
    demo_file(f"{CREDIT.scenario}.yaml")
    .read_text(encoding="utf-8")
    .replace("pad_to: 6000", "pad_to: 170")
)


@dataclasses.dataclass
class City:
    """A consortium of three offices with invented registers, one scenario sealed."""

    federation: Federation
    files: Mapping[str, list[Path]]
    scenario: bytes = b""

    def ask(self, name: str, **parameters: str) -> tuple[Result, RunState]:
        run = self.federation.client.run(self.scenario, name, **parameters)
        self.federation.settle(rounds=200)
        return run.wait(timeout=0), run.state


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    root = tmp_path_factory.mktemp("city")
    made = registers(PEOPLE, np.random.default_rng(20260102))
    files = {}
    for table, rows in made.items():
        files[table] = [root / f"{table}.parquet"]
        parquet.write_table(rows, files[table][0])
    (root / "parties").mkdir(mode=0o700)
    federation = Federation(
        root / "parties",
        holders=CREDIT.holders,
        checker=CREDIT.checker,
        user=CREDIT.user,
        coordinator=CREDIT.coordinator,
        sources={
            holder: {table: SourceSpec(path=str(files[table][0]), format="parquet")}
            for holder, table in CREDIT.tables.items()
        },
        stager=lambda name: RegisterStager(made),
        clock=lambda: int(time.time()),
        paillier_bits=2048,
    )
    found = City(federation, files)
    found.scenario = federation.client.propose(TEXT)
    federation.approve(federation.client.scenario(found.scenario))
    yield found
    federation.close()


def mismatches(city: City, verified: VerifiedRelease) -> tuple[str, ...]:
    scenario, table = verified.scenario, verified.result.table
    models = {model.name: model for model in scenario.models}
    name = verified.result.statement
    if name in models:
        return compare_model_with_pooled(
            table, models[name], city.files, scenario.tables
        ).mismatches
    statement = scenario.statement(name)
    compared = compare_with_pooled(table, statement, {}, city.files, scenario.tables)
    assert compared.exact_cells + compared.derived_cells > 0
    return compared.mismatches


@pytest.mark.parametrize(
    "name", [MODEL, *(pytest.param(name, marks=pytest.mark.long) for name in (CAPACITY, BANDS))]
)
def test_the_answer_is_the_pooled_one(name: str, city: City) -> None:
    result, state = city.ask(name)
    verified = verify_release(result.bundle, city.federation.members)
    assert mismatches(city, verified) == ()
    assert state.erased is not None
    assert state.erased.outcome is Outcome.DESTROYED
    assert set(state.receipts) == set(state.ordered.participants)
    assert city.federation.checker.reasons(verified.result.run)
    # The stored answer is free, and the same.
    again = city.federation.client.answered(city.scenario, name)
    assert again is not None
    assert again.id == verified.result.run


def test_two_of_three_holders(city: City) -> None:
    """The third takes no step, and its cosignature is not waited for."""
    result, state = city.ask(WEALTH)
    assert mismatches(city, verify_release(result.bundle, city.federation.members)) == ()
    assert state.ordered.participants == ("housing-fund", "property-registry")
    assert set(state.receipts) == set(state.ordered.participants)


def test_an_order_with_other_pairs_is_refused_by_the_nodes(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who combines whose rows follows from the sealed text; nobody else chooses it (N-3)."""

    def turned(scenario: Scenario, order: RunOrder) -> Terms:
        terms = order_terms(scenario, order)
        pairs = tuple(JoinPair(pair.owner, pair.combiner) for pair in terms.pairs)
        return dataclasses.replace(terms, pairs=pairs)

    monkeypatch.setattr("stayput.client.order_terms", turned)
    with pytest.raises(RunFailure) as failed:
        city.ask(WEALTH)
    assert failed.value.reason == FailureReason.HOLDER_REFUSED.name
    *_, (run, state) = city.federation.client.replica.session.runs.items()
    assert not state.receipts, "nothing was staged"
    ledgers = [city.federation.nodes[name]._ledger for name in state.ordered.participants]
    notes = [note for ledger in ledgers for note in ledger.notes() if note.run == run]
    assert any("other pairs" in note.message for note in notes)


def test_nothing_is_ordered_that_was_not_sealed(city: City) -> None:
    client = city.federation.client
    client.state(city.scenario)
    before = client.replica.session.size
    with pytest.raises(InvalidInput, match="no statement or model"):
        client.run(city.scenario, "elsewhere")
    with pytest.raises(InvalidInput, match="no parameter"):
        client.run(city.scenario, MODEL, months="1")
    assert client.replica.session.size == before
