"""The demonstration of joins with all of its cryptography, in one process.

Five thousand residents, four questions: blinded, padded, matched, encrypted row by row, combined,
masked, added up, opened, judged, and compared with the pooled registers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from vertical import plain
from vertical.together import Together, everything

from stayput.pooled import compare_model_with_pooled, compare_with_pooled
from stayput.scenario import Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.shows import CREDIT, demo_file
from stayput.sql import bind, plan
from stayput.steps import Round
from stayput.table import ResultTable
from stayput.vertical.models import ModelQuestion, ask_model
from stayput.vertical.people import People
from stayput.vertical.plan import plan_join
from stayput.vertical.questions import JoinQuestion, ask

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

Question = JoinQuestion | ModelQuestion


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


def question_of(scenario: Scenario, name: str) -> Question:
    models = {model.name: model for model in scenario.models}
    if name in models:
        return ask_model(models[name], scenario.tables, scenario.output)
    planned = plan(scenario.statement(name), scenario.tables, 3, scenario.output)
    return ask(bind(planned, {}), scenario.tables, scenario.output)


def answer(scenario: Scenario, question: Question, files: dict[str, list[Path]]) -> ResultTable:
    people = {}
    for staged in question.staged:
        (path,) = files[staged.table]
        rows = plain.stage(staged, scenario.table(staged.table), parquet.read_table(path))
        people[staged.holder] = People(
            identifiers=tuple(rows),
            groups=np.array([group for group, _ in rows.values()], dtype=np.int64),
            features=tuple(
                np.array([features[i] for _, features in rows.values()], dtype=object)
                for i in range(len(staged.bounds))
            ),
        )
    found = plan_join(question, scenario.tables, scenario.run_key_bits)
    with ThreadPoolExecutor(2) as workers:
        together = Together(found, people, workers=workers)
        matching = together.match()
        assert {matching.size(name) for name in found.holders} == {6_000}, "padded"
        together.exchange()
        first = everything(found, question.first)
        opened: list[dict[int, int]] = [{} for _ in found.cells]
        for (cell, moment), value in zip(first, together.compute(first), strict=True):
            opened[cell][moment] = value
        numbers = [[row[index] for index in question.first] for row in opened]
        kept = question.judge(numbers, scenario.output)
        then = [
            (c, moment) for c, moments in enumerate(question.wanted(kept)) for moment in moments
        ]
        for (cell, moment), value in zip(then, together.compute(then, Round.VALUES), strict=True):
            opened[cell][moment] = value
    return question.verify_table(question.table(opened, kept, scenario.output))


@pytest.mark.parametrize("name", [name for name, _ in CREDIT.runs])
def test_as_on_the_pooled_registers(
    name: str, scenario: Scenario, files: dict[str, list[Path]]
) -> None:
    table = answer(scenario, question_of(scenario, name), files)
    models = {model.name: model for model in scenario.models}
    if name in models:
        compared = compare_model_with_pooled(table, models[name], files, scenario.tables)
    else:
        statement = scenario.statement(name)
        compared = compare_with_pooled(table, statement, {}, files, scenario.tables)
    assert compared.mismatches == ()
    assert compared.derived_cells > 0
