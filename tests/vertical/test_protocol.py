"""The protocol of joins, all parties in one process: exact sums, whatever the question.

Oracle: plain integers over the same rows (:mod:`vertical.plain`), which other tests hold against
DuckDB and statsmodels.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from vertical import plain
from vertical.together import Together, everything

import stayput
from stayput.link import MAX_PIECE_BYTES
from stayput.residents import registers
from stayput.scenario import Scenario, Statement
from stayput.scenario_file import parse_scenario_file
from stayput.sql import plan
from stayput.steps import Round
from stayput.vertical.models import ModelQuestion, ask_model
from stayput.vertical.people import People
from stayput.vertical.plan import ONE, JoinPlan, Pair, Slot, plan_join
from stayput.vertical.questions import JoinQuestion, ask
from stayput.vertical.rows import chunks

FILE = Path(stayput.__file__).parent / "demo_data" / "income-capacity.yaml"
ALL = "housing JOIN social USING (resident) JOIN property USING (resident)"


@functools.cache
def scenario() -> Scenario:
    return parse_scenario_file(FILE.read_text(encoding="utf-8"), nonce=bytes(16))


@functools.cache
def city() -> dict[str, pa.Table]:
    return registers(150, np.random.default_rng(20260102))


def question_of(sql: str) -> JoinQuestion:
    found = scenario()
    return ask(plan(Statement("s", sql), found.tables, 3, found.output), found.tables)


def run_of(question: JoinQuestion | ModelQuestion, pad_to: int = 0) -> Together:
    contracts = {table.name: table for table in scenario().tables}
    found = plan_join(question, scenario().tables, 2048)
    people = {}
    for staged in question.staged:
        rows = plain.stage(staged, contracts[staged.table], city()[staged.table])
        people[staged.holder] = People(
            identifiers=tuple(rows),
            groups=np.array([group for group, _ in rows.values()], dtype=np.int64),
            features=tuple(
                np.array([features[i] for _, features in rows.values()], dtype=object)
                for i in range(len(staged.bounds))
            ),
        )
    return Together(unpadded(found, pad_to), people)


def unpadded(found: JoinPlan, pad_to: int) -> JoinPlan:
    tables = tuple(dataclasses.replace(table, pad_to=pad_to) for table in found.tables)
    return dataclasses.replace(found, tables=tables)


def expected(question: JoinQuestion | ModelQuestion, found: JoinPlan) -> list[list[int]]:
    contracts = {table.name: table for table in scenario().tables}
    sums = plain.moments(question.staged, question.moments, contracts, city())
    return [sums.get(groups, [0] * len(question.moments)) for groups in found.cells]


STATEMENTS = {
    "one key, three holders' sums": f"""
        SELECT district, COUNT(*) AS n, AVG(deposit) AS d, AVG(contribution_base) AS b,
               AVG(property_value) AS v FROM {ALL} GROUP BY district""",
    "keys of two holders, sums of one": """
        SELECT district, sector, COUNT(*) AS n, SUM(deposit) AS d
        FROM housing JOIN social USING (resident) GROUP BY district, sector""",
    "products of two holders": f"""
        SELECT COUNT(*) AS n, CORR(deposit, contribution_base) AS r, SUM(property_value) AS v
        FROM {ALL}""",
}


@pytest.mark.parametrize("sql", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_statements(sql: str) -> None:
    question = question_of(sql)
    together = run_of(question)
    matching = together.match()
    together.exchange()
    right = expected(question, together.plan)
    assert matching.joined == sum(row[0] for row in right)
    policy = dataclasses.replace(scenario().output, min_count=3)
    people = together.compute(everything(together.plan, question.first))
    assert people == tuple(row[0] for row in right)
    # Round two: cells that passed, and what recipes read of them.
    kept = question.judge([[number] for number in people], policy)
    wanted = [
        (cell, moment) for cell, moments in enumerate(question.wanted(kept)) for moment in moments
    ]
    assert wanted
    sums = together.compute(wanted, Round.VALUES)
    assert sums == tuple(right[cell][moment] for cell, moment in wanted)
    opened = [{0: number} for number in people]
    for (cell, moment), value in zip(wanted, sums, strict=True):
        opened[cell][moment] = value
    table = question.table(opened, kept, policy)
    everything_opened = [dict(enumerate(row)) for row in right]
    assert table == question.table(everything_opened, kept, policy)


def test_a_model_over_three_holders_with_padding() -> None:
    question = ask_model(scenario().models[0], scenario().tables)
    together = run_of(question, pad_to=200)
    matching = together.match()
    assert {matching.size(name) for name in together.plan.holders} == {200}
    together.exchange()
    wanted = everything(together.plan, range(len(question.moments)))
    sums = together.compute(wanted)
    (right,) = expected(question, together.plan)
    assert sums == tuple(right)
    assert len(together.plan.pairs) == 3, "every two holders multiply something"


def test_nobody_in_common_and_nobody_at_all() -> None:
    question = question_of(STATEMENTS["products of two holders"])
    together = run_of(question)
    _, insurance, registry = together.plan.holders
    none = dataclasses.replace(
        together.people[insurance],
        identifiers=(),
        groups=np.empty(0, dtype=np.int64),
        features=tuple(column[:0] for column in together.people[insurance].features),
    )
    strangers = dataclasses.replace(
        together.people[registry],
        identifiers=tuple(b"x" + name for name in together.people[registry].identifiers),
    )
    for holder, others in ((insurance, none), (registry, strangers)):
        run = Together(together.plan, {**together.people, holder: others})
        assert run.match().joined == 0
        run.exchange()
        assert set(run.compute(everything(run.plan, range(len(question.moments))))) == {0}


# --- the plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_no_slot_spills_and_every_moment_has_one(sql: str) -> None:
    question = question_of(sql)
    found = plan_join(question, scenario().tables, 2048)
    people = min(table.max_rows for table in found.tables)
    for pair in found.pairs:
        for ciphertext in pair.slots:
            assert sum(slot.bits for slot in ciphertext) < 2048
            for slot in ciphertext:
                worst = people * found.tables[pair.owner].bound(slot.number)
                for power in pair.powers:
                    largest = worst * found.tables[pair.combiner].bound(power)
                    assert largest + (1 << (slot.sum_bits + 80)) - 1 < 1 << slot.bits
    for cell, groups in enumerate(found.cells):
        for moment, source in enumerate(found.sources):
            pair = found.pairs[source.pair]
            numbers = dict(question.moments[moment])
            assert source.power == numbers.pop(pair.combiner, -1)
            assert source.number == numbers.pop(pair.owner, -1)
            assert not numbers, "no third holder's number is left out"
            others = set(range(len(groups))) - {pair.combiner, pair.owner}
            assert all(groups[other] == 0 for other in others), cell


def test_the_plan_is_the_same_for_everybody_and_longer_keys_take_fewer_ciphertexts() -> None:
    question = question_of(STATEMENTS["keys of two holders, sums of one"])
    short = plan_join(question, scenario().tables, 2048)
    assert short == plan_join(question, list(reversed(scenario().tables)), 2048)
    long = plan_join(question, scenario().tables, 4096)
    assert sum(pair.row_ciphertexts for pair in long.pairs) <= sum(
        pair.row_ciphertexts for pair in short.pairs
    )


def test_wide_rows_travel_in_smaller_chunks() -> None:
    """A piece fits a message, whatever the plan: 64 ciphertexts a row at 4096 bits."""
    slot = Slot(0, ONE, 10)
    for ciphertexts, key_bits in ((1, 2048), (2, 3072), (64, 2048), (64, 4096)):
        pair = Pair(0, 1, (ONE,), ((slot,),) * ciphertexts)
        parts = list(chunks(10_000, pair, key_bits))
        assert [row for part in parts for row in range(10_000)[part]] == list(range(10_000))
        largest = max(part.stop - part.start for part in parts)
        assert largest * ciphertexts * (key_bits // 4) <= MAX_PIECE_BYTES < 64 * 2**20
        assert largest >= 32
