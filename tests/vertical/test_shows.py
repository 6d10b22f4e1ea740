"""The demonstration of joins, all but the protocol: its questions, its people, its comparison.

The protocol's part is played by plain sums (:mod:`vertical.plain`); judging, finishing and the
comparison are the real ones.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from pyarrow import parquet
from vertical.plain import moments

from stayput.errors import VerificationError
from stayput.pooled import compare_model_with_pooled, compare_with_pooled
from stayput.scenario import Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.shows import CREDIT, demo_file
from stayput.sql import bind, plan
from stayput.table import ResultTable
from stayput.vertical.models import ModelQuestion, ask_model
from stayput.vertical.questions import JoinQuestion, ask


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    text = demo_file(f"{CREDIT.scenario}.yaml").read_text(encoding="utf-8")
    return parse_scenario_file(text, nonce=bytes(16))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    folder = tmp_path_factory.mktemp("city")
    paths = {holder: folder / f"{table}.parquet" for holder, table in CREDIT.tables.items()}
    CREDIT.put(paths)
    return {CREDIT.tables[holder]: [path] for holder, path in paths.items()}


def opened(scenario: Scenario, question: Any, files: dict[str, list[Path]]) -> Any:
    contracts = {table.name: table for table in scenario.tables}
    rows = {name: parquet.read_table(path) for name, (path,) in files.items()}
    return moments(question.staged, question.moments, contracts, rows)


def released(scenario: Scenario, name: str, files: dict[str, list[Path]]) -> ResultTable:
    """The whole way: first moments, verdict, no other moments than those that passed, table."""
    models = {model.name: model for model in scenario.models}
    question: JoinQuestion | ModelQuestion
    if name in models:
        question = ask_model(models[name], scenario.tables, scenario.output)
        sums = list(opened(scenario, question, files).values())
    else:
        planned = plan(scenario.statement(name), scenario.tables, 3, scenario.output)
        question = ask(bind(planned, {}), scenario.tables, scenario.output)
        found = opened(scenario, question, files)
        empty = [0] * len(question.moments)
        sums = [found.get(groups, empty) for groups in question.groups()]
    first = [[row[index] for index in question.first] for row in sums]
    kept = question.judge(first, scenario.output)
    seen = [
        {index: row[index] for index in (*question.first, *wanted)}
        for row, wanted in zip(sums, question.wanted(kept), strict=True)
    ]
    for row, passing in zip(seen, kept, strict=True):
        if not passing[0]:
            assert set(row) == set(question.first), "no sum of a cell that does not pass"
    return question.verify_table(question.table(seen, kept, scenario.output))


@pytest.mark.parametrize("name", [name for name, _ in CREDIT.runs[:3]])
def test_statements_as_on_the_pooled_registers(
    name: str, scenario: Scenario, files: dict[str, list[Path]]
) -> None:
    table = released(scenario, name, files)
    compared = compare_with_pooled(table, scenario.statement(name), {}, files, scenario.tables)
    assert compared.mismatches == ()
    assert compared.exact_cells > 0
    assert compared.derived_cells > 0
    if name == "capacity_by_district_and_age":
        assert len(table) >= 25
        assert compared.withheld_cells > 0, "something to withhold is part of the show"


def test_impossible_sums_end_the_run(scenario: Scenario) -> None:
    planned = plan(scenario.statement("deposits_by_bands"), scenario.tables, 3, scenario.output)
    question = ask(planned, scenario.tables, scenario.output)
    empty = [[0] for _ in range(question.cells)]
    for wrong in (-1, 6_001):
        with pytest.raises(VerificationError, match="numbers of people are impossible"):
            question.judge([[wrong], *empty[1:]], scenario.output)
    kept = question.judge([[20] for _ in empty], scenario.output)
    most, base = 20 * 600_000, 20 * 40_000
    rest = [{0: 20, 1: 5_000, 2: 5_000} for _ in empty[1:]]
    question.table([{0: 20, 1: most - 1, 2: base - 1}, *rest], kept, scenario.output)
    for sums in ({1: most + 1, 2: 5}, {1: 5, 2: -1}):
        assert kept[0].all()
        with pytest.raises(VerificationError):
            question.table([{0: 20, **sums}, *rest], kept, scenario.output)


def test_a_wrong_sum_is_found(scenario: Scenario, files: dict[str, list[Path]]) -> None:
    table = released(scenario, "deposits_by_bands", files)
    (place,) = [i for i, c in enumerate(table.columns) if c.name == "residents"]
    counts = table.columns[place]
    wrong = dataclasses.replace(counts, texts=(str(int(counts.texts[0]) + 1), *counts.texts[1:]))
    columns = (*table.columns[:place], wrong, *table.columns[place + 1 :])
    compared = compare_with_pooled(
        dataclasses.replace(table, columns=columns),
        scenario.statement("deposits_by_bands"),
        {},
        files,
        scenario.tables,
    )
    assert len(compared.mismatches) == 1


def test_the_model_as_on_the_pooled_registers(
    scenario: Scenario, files: dict[str, list[Path]]
) -> None:
    (model,) = scenario.models
    table = released(scenario, model.name, files)
    compared = compare_model_with_pooled(table, model, files, scenario.tables)
    assert compared.mismatches == ()
    assert compared.derived_cells == 4 * 5
    # What is compared with is itself compared: a slightly wrong coefficient is found.
    text = table.columns[1].texts
    near = repr(float(text[1]) * (1 + 1e-6))
    wrong = dataclasses.replace(table.columns[1], texts=(text[0], near, *text[2:]))
    columns = (table.columns[0], wrong, *table.columns[2:])
    bent = dataclasses.replace(table, columns=columns)
    assert len(compare_model_with_pooled(bent, model, files, scenario.tables).mismatches) == 1


def test_the_city_is_correlated_and_makes_sense(files: dict[str, list[Path]]) -> None:
    frames = {name: parquet.read_table(path).to_pandas() for name, (path,) in files.items()}
    assert [len(frame) for frame in frames.values()] == [
        parquet.read_metadata(path).num_rows for (path,) in files.values()
    ]
    assert all(3000 < len(frame) < 5000 for frame in frames.values())
    assert all(frame["resident"].is_unique for frame in frames.values())
    for path in (path for (path,) in files.values()):
        metadata = parquet.read_schema(path).metadata or {}
        assert metadata[b"stayput.synthetic"] == b"true"
    housing = frames["housing"]
    fit = sm.OLS(housing["deposit"].astype(float), sm.add_constant(housing["score_e"])).fit()
    assert fit.params["score_e"] > 0
    assert (
        np.corrcoef(frames["social"]["contribution_base"], frames["social"]["score_f"])[0, 1] > 0.5
    )
