"""Plans of runs over a join: what a step has to say, what holders send, how it is judged.

The rows are combined here by adding plain integers, and each sum is split at random among the
holders, as the protocol leaves it (tests/vertical has that part).  The expected tables come from
the same sums through the question alone, which other tests hold against DuckDB and statsmodels.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from vertical import plain
from vertical.together import checker_key

from stayput import documents, encryption
from stayput.crypto.agreement import AgreementKey
from stayput.disclosure import Doubt, Reason
from stayput.disclosure.tables import Answer, recall, remember, withhold_derivable
from stayput.disclosure.verdict import recall_reasons
from stayput.encryption import Addition, Context
from stayput.errors import InvalidInput, RuleViolation, VerificationError
from stayput.join_plans import SHARE_BITS, JoinRunPlan
from stayput.judging import Finished
from stayput.membership import Members
from stayput.padding import padded
from stayput.plans import (
    bound_plan,
    counts_context,
    earlier_answer,
    order_terms,
    plan_run,
    values_context,
)
from stayput.release import Passes, RunOrder, arguments_from, cell_verdict
from stayput.residents import registers
from stayput.scenario import OutputPolicy, OutputReview, Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.shows import demo_file
from stayput.steps import JoinPair, RunOrdered
from stayput.vertical.models import ModelQuestion

SALT = b"\x05" * 32
CAPACITY, BANDS, WEALTH, MODEL = (
    "capacity_by_district_and_age",
    "deposits_by_bands",
    "deposits_and_wealth",
    "deposits",
)
PLAIN = "by_numbers"
MORE = """
  young:
    sql: |
      SELECT sector, COUNT(*) AS n, AVG(deposit) AS d FROM social JOIN housing USING (resident)
      WHERE months < :months GROUP BY sector
    parameters: {months: {type: integer, min: 1, max: 480}}
  rich:
    sql: |
      SELECT sector, COUNT(*) AS n
      FROM property JOIN social USING (resident) JOIN housing USING (resident) GROUP BY sector
"""


@functools.cache
def scenario() -> Scenario:
    text = demo_file("income-capacity.yaml").read_text(encoding="utf-8")
    text = text.replace("\nmodels:", f"{MORE}\nmodels:")
    levels = "predictors: [contribution_base, sector, mortgaged]\n    reference: {sector: public}"
    model = text[text.index("  deposits:\n    description") : text.index("\noutput:")]
    text = text.replace(model, model + model.replace("  deposits:", f"  {PLAIN}:", 1))
    numbers = "predictors: [contribution_base, months_36, property_value]"
    return parse_scenario_file(text.replace(numbers, levels, 1), nonce=bytes(16))


@functools.cache
def city() -> dict[str, pa.Table]:
    return registers(400, np.random.default_rng(20260102))


def order_of(name: str, **values: int) -> RunOrder:
    return RunOrder(b"r" * 16, scenario().digest, name, arguments_from(values), SALT)


def ordered_of(order: RunOrder) -> RunOrdered:
    terms = order_terms(scenario(), order)
    return RunOrdered(
        run=order.run,
        scenario=order.scenario,
        user="city-planning",
        order=documents.digest(order),
        participants=terms.participants,
        rounds=terms.rounds,
        time=1_800_000_000,
        pairs=terms.pairs,
    )


def members() -> Members:
    return cast(Members, SimpleNamespace(checker_key=lambda _: checker_key().public))


def plan_of(name: str, policy: OutputPolicy | None = None, **values: int) -> JoinRunPlan:
    found = scenario()
    if policy is not None:
        found = dataclasses.replace(found, output=policy)
    order = dataclasses.replace(order_of(name, **values), scenario=found.digest)
    plan = plan_run(found, order, ordered_of(order_of(name, **values)), members())
    assert isinstance(plan, JoinRunPlan)
    return plan


def moments_of(plan: JoinRunPlan) -> list[list[int]]:
    """Cells × moments over the joined rows."""
    question = plan.question
    contracts = {table.name: table for table in scenario().tables}
    sums = plain.moments(question.staged, question.moments, contracts, city())
    return [sums.get(groups, [0] * len(question.moments)) for groups in plan.join.cells]


def split(plan: JoinRunPlan, sums: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    """Residues of each participant that add up to the sums."""
    end, draw = 1 << SHARE_BITS, random.Random(7)
    shares = [[[draw.randrange(end) for _ in row] for row in sums] for _ in plan.participants[1:]]
    rest = [
        [(value - sum(share[i][j] for share in shares)) % end for j, value in enumerate(row)]
        for i, row in enumerate(sums)
    ]
    return [rest, *shares]


def add(context: Context, vectors: Sequence[Sequence[int]]) -> list[int]:
    """What the checker opens: residues added and read as two's complement."""
    assert all(len(vector) == context.count for vector in vectors)
    end = 1 << context.width
    totals = [sum(column) % end for column in zip(*vectors, strict=True)]
    return [total - end if total >> (context.width - 1) else total for total in totals]


def judged(plan: JoinRunPlan, sums: Sequence[Sequence[int]]) -> tuple[Passes, Finished]:
    """Both rounds of a run whose rows add up to the sums."""
    shares = split(plan, sums)
    counts = add(counts_context(plan), [plan.counts_vector(share) for share in shares])
    opened = plan.open_counts(counts)
    reasons = plan.check_counts(opened)
    kept = plan.passes(reasons)
    values: list[int] = []
    if plan.rounds == 2:
        context = values_context(plan, cell_verdict(plan.run, kept, SALT))
        values = add(context, [plan.values_vector(share, kept) for share in shares])
    return kept, plan.finish(opened, values, kept, reasons.tobytes())


@pytest.mark.parametrize("name", [CAPACITY, BANDS, WEALTH, "rich", MODEL, PLAIN])
def test_the_result_is_that_of_the_question(name: str) -> None:
    plan = plan_of(name)
    sums = moments_of(plan)
    kept, finished = judged(plan, sums)
    question = plan.question
    first = [[row[moment] for moment in question.first] for row in sums]
    assert (kept == question.judge(first, plan.policy)).all()
    assert kept.any()
    assert finished.table == question.table(
        [dict(enumerate(row)) for row in sums], kept, plan.policy
    )
    assert plan.verify_table(finished.table) is finished.table
    assert plan.participants == tuple(sorted(plan.join.holders))
    places = recall_reasons(finished.reasons, len(plan.reason_places))
    assert len(places) == len(plan.join.cells)


def test_values_of_cells_that_fail_are_in_no_vector() -> None:
    plan = plan_of(CAPACITY)
    sums = moments_of(plan)
    kept, _ = judged(plan, sums)
    failing = [cell for cell, row in enumerate(kept) if not row.all()]
    assert failing
    assert all(plan.wanted(kept)[cell] == () for cell in failing)
    changed = [list(row) for row in sums]
    for cell in failing:
        changed[cell][1:] = [12345] * (len(changed[cell]) - 1)
    assert plan.values_vector(changed, kept) == plan.values_vector(sums, kept)
    # And a verdict that lets a sum through without its count lets nothing through.
    kept[:, 0] = False
    assert values_context(plan, cell_verdict(plan.run, kept, SALT)).count == 0


def test_the_parts_of_a_run_encrypted_and_opened() -> None:
    plan = plan_of("young", months=120)
    sums = moments_of(plan)
    context = counts_context(plan)
    keys = {name: AgreementKey.generate() for name in plan.participants}
    addition = Addition(context, checker_key().public)
    for name, share in zip(plan.participants, split(plan, sums), strict=True):
        part = encryption.encrypt_shares(
            plan.counts_vector(share),
            context,
            me=name,
            key=keys[name],
            agreement_keys={n: key.public for n, key in keys.items()},
            checker=checker_key().public,
        )
        addition.add(name, part.ciphertexts)
    opened = encryption.open(addition.sum(), checker_key())
    assert list(opened) == [row[0] for row in sums]


def test_parts_are_bound_to_the_question() -> None:
    one, other = (counts_context(plan_of("young", months=m)) for m in (120, 121))
    assert (one.count, one.width) == (other.count, other.width)
    assert one.question != other.question
    plan = plan_of(BANDS)
    passes = np.ones(plan.bound.plan.cells * plan.bound.plan.measures, dtype=bool)
    everything = passes.reshape(plan.bound.plan.cells, -1)
    less = everything.copy()
    less[0] = False
    contexts = [values_context(plan, cell_verdict(plan.run, p, SALT)) for p in (everything, less)]
    assert contexts[0].count > contexts[1].count
    assert contexts[0].question != contexts[1].question
    with pytest.raises(InvalidInput, match="verdict"):
        values_context(plan, cell_verdict(plan.run, everything.T, SALT))
    with pytest.raises(InvalidInput, match="compared"):
        counts_context(plan, 1)


@pytest.mark.parametrize("name", [CAPACITY, MODEL])
def test_an_altered_or_missing_part_ends_the_run(name: str) -> None:
    plan = plan_of(name)
    shares = split(plan, moments_of(plan))
    context = counts_context(plan)
    vectors = [plan.counts_vector(share) for share in shares]
    with pytest.raises(VerificationError, match="impossible"):
        plan.open_counts(add(context, vectors[1:]))
    opened = plan.open_counts(add(context, vectors))
    reasons = plan.check_counts(opened)
    kept = plan.passes(reasons)
    context = values_context(plan, cell_verdict(plan.run, kept, SALT))
    values = [plan.values_vector(share, kept) for share in shares]
    with pytest.raises(VerificationError, match="impossible"):
        plan.finish(opened, add(context, values[1:]), kept, reasons.tobytes())
    plan.finish(opened, add(context, values), kept, reasons.tobytes())


@pytest.mark.parametrize("ones", [(-1, 5, 5), (300, 300, 5), (5, 5, 401)])
def test_impossible_categories_of_a_model(ones: tuple[int, ...]) -> None:
    plan = plan_of(MODEL)
    assert len(plan.question.first) == 4
    with pytest.raises(VerificationError, match="impossible"):
        plan.open_counts([400, *ones])
    with pytest.raises(VerificationError, match="impossible"):
        plan.open_counts([plan.bound.plan.max_rows + 1, 5, 5, 5])


def test_residues_of_another_shape_are_refused() -> None:
    plan = plan_of(BANDS)
    share = split(plan, moments_of(plan))[0]
    for wrong in (share[1:], [row[1:] for row in share], [[-1, *row[1:]] for row in share]):
        with pytest.raises(InvalidInput):
            plan.counts_vector(wrong)


# --- what the order says --------------------------------------------------------------------------


def test_the_step_says_who_calculates_with_whom() -> None:
    terms = order_terms(scenario(), order_of(WEALTH))
    assert terms.participants == ("housing-fund", "property-registry")
    (pair,) = terms.pairs
    assert {pair.combiner, pair.owner} == set(terms.participants)
    assert len(order_terms(scenario(), order_of(MODEL)).pairs) == 3
    assert order_terms(scenario(), order_of("rich")).rounds == 1


def altered(ordered: RunOrdered, **changes: object) -> RunOrdered:
    return dataclasses.replace(ordered, **changes)  # type: ignore[arg-type]


def test_a_step_that_says_otherwise_is_refused() -> None:
    order = order_of(CAPACITY)
    ordered = ordered_of(order)
    turned = tuple(JoinPair(pair.owner, pair.combiner) for pair in ordered.pairs)
    for wrong in (
        altered(ordered, pairs=()),
        altered(ordered, pairs=ordered.pairs[::-1] + ordered.pairs),
        altered(ordered, pairs=turned),
        altered(ordered, participants=ordered.participants[:2]),
        altered(ordered, rounds=1),
    ):
        with pytest.raises(RuleViolation) as refused:
            plan_run(scenario(), order, wrong, members())
        assert refused.value.clause == "N-3"


def test_what_is_not_in_the_scenario_cannot_be_ordered() -> None:
    with pytest.raises(InvalidInput, match="no statement or model"):
        order_terms(scenario(), order_of("elsewhere"))
    with pytest.raises(InvalidInput, match="no parameters"):
        order_terms(scenario(), order_of(MODEL, months=1))
    with pytest.raises(InvalidInput, match="missing"):
        order_terms(scenario(), order_of("young"))
    with pytest.raises(InvalidInput, match="compared"):
        earlier_answer(scenario(), order_of(CAPACITY))


# --- output checking ------------------------------------------------------------------------------


def strict(**changes: object) -> OutputPolicy:
    return dataclasses.replace(scenario().output, **changes)  # type: ignore[arg-type]


def test_why_a_model_is_withheld_and_at_which_column() -> None:
    policy = strict(min_count=100)
    plan = plan_of(MODEL, policy)
    sums = moments_of(plan)
    kept, finished = judged(plan, sums)
    assert not kept.any()
    assert all(set(column.states) == {"w"} for column in finished.table.columns[1:])
    (reasons,) = recall_reasons(finished.reasons, len(plan.reason_places))
    said = dict(zip(plan.reason_places, reasons, strict=True))
    question = plan.question
    assert isinstance(question, ModelQuestion)
    people, *ones = (sums[0][moment] for moment in question.first)
    for (name, _), number in zip(question.people_of_dummies, ones, strict=True):
        few = number < 100 or people - number < 100
        assert (said[name] in (Reason.SMALL_CATEGORY, Reason.SMALL_REFERENCE)) >= few
    assert Reason.SMALL_CATEGORY in reasons
    assert said["contribution_base"] is Reason.PASSES


def test_doubts_about_a_model() -> None:
    plan = plan_of(MODEL)
    sums = moments_of(plan)
    assert judged(plan, sums)[1].doubts == ()
    question = plan.question
    people, *ones = (sums[0][moment] for moment in question.first)
    narrowest = min(*ones, people - sum(ones[:2]), people - ones[2])
    for below, doubts in ((narrowest, ()), (narrowest + 1, (Doubt.NARROW,))):
        policy = strict(review=OutputReview.DOUBTFUL, review_below=below)
        assert judged(plan_of(MODEL, policy), sums)[1].doubts == doubts


@pytest.mark.parametrize("name", [CAPACITY, BANDS, WEALTH, MODEL, PLAIN])
def test_results_have_one_length_whatever_is_in_them(name: str) -> None:
    """What is withheld, and how large numbers are, cannot be told from a sealed result (C-5)."""
    lengths = set()
    for least in (3, 10, 50, 390):  # the last withholds everything
        plan = plan_of(name, strict(min_count=least))
        _, finished = judged(plan, moments_of(plan))
        encoded = documents.encode(finished.table)
        lengths.add(len(padded(encoded, finished.table, plan.widths)))
    assert len(lengths) == 1


def answer_of(
    name: str, counts: Mapping[int, int] | None = None, *, withheld: Sequence[int] = ()
) -> Answer:
    """An answer as a checker keeps it, and finds it again."""
    plan = plan_of(name)
    people = [[row[0]] for row in moments_of(plan)]
    for cell, number in (counts or {}).items():
        people[cell] = [number]
    passes = [[cell not in withheld] for cell in range(len(people))]
    kept = remember(order_of(name), Answer(plan.bound, people, passes))
    return recall(kept, lambda order: bound_plan(scenario(), order))


def test_a_model_is_a_total_over_the_cells_of_its_join() -> None:
    """Everybody minus the released cells is the withheld one, whatever the order of the tables."""
    assert plan_of("rich").bound.plan.joined != plan_of(MODEL).bound.plan.joined
    earlier = answer_of("rich", withheld=[0])
    model = answer_of(MODEL)
    reasons = np.zeros((1, len(plan_of(MODEL).reason_places)), dtype=np.uint8)
    found = withhold_derivable(model, [earlier], reasons, 10)
    assert set(found[0].tolist()) == {Reason.DERIVABLE}
    assert not plan_of(MODEL).passes(found).any()
    # Two withheld cells hide each other; and cells of another join are other people.
    two = answer_of("rich", withheld=[0, 1])
    assert not withhold_derivable(model, [two], reasons, 10).any()
    assert not withhold_derivable(model, [answer_of(BANDS, withheld=[0])], reasons, 10).any()
