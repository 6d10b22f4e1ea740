"""A coordinator that shows holders two histories, with a data user or a checker as its friend.

Each holder sees a log in which everything is in order; their parts answer different questions.
"""

from __future__ import annotations

import itertools

import numpy as np
from attacks.lying import World, steps
from pets import HOLDERS

from stayput import documents, encryption
from stayput.crypto.packing import WIDTHS
from stayput.crypto.paillier import Accumulator, parse_ciphertexts
from stayput.encryption import Context, EncryptedSum, encrypt
from stayput.plans import counts_context, plan_run, values_context
from stayput.release import Argument, RunOrder, cell_verdict
from stayput.steps import Contributed, CountsChecked, Round, RunOrdered


def order(world: World, run: bytes, youngest: int) -> tuple[RunOrder, RunOrdered]:
    """A data user may sign two orders under one run id and one salt."""
    document = RunOrder(
        run, world.scenario, "by_colour", (Argument("youngest", number=youngest),), b"s" * 32
    )
    step = RunOrdered(
        run, world.scenario, "asker", documents.digest(document), HOLDERS, 2, world.clock()
    )
    return document, step


def opened_together(world: World, contexts: dict[str, Context]) -> tuple[int, ...]:
    """North sends 1, 2, 3 …, the others zeros, each bound to what it was shown; the checker opens
    what coordinator and friend add up."""
    key = world.identities["office"].paillier_key
    assert key is not None
    length = encryption._layout(contexts["north"], key.public).ciphertexts
    total = Accumulator(key.public, length)
    for name, context in contexts.items():
        values = range(1, context.count + 1) if name == "north" else [0] * context.count
        part = encrypt(
            list(values),
            context,
            me=name,
            key=world.identities[name].agreement_key,
            agreement_keys={h: world.members[h].agreement_key for h in HOLDERS},
            checker=key.public,
        )
        total.add(parse_ciphertexts(part.ciphertexts, key.public, length))
    return encryption.open(EncryptedSum(contexts["north"], total.total().to_bytes()), key)


def test_two_orders_under_one_run_id(world: World) -> None:
    """South and west compute the question of which they have no rows: the sum would be north's."""
    scenario = world.client.scenario(world.scenario)
    run = b"r" * 16
    contexts = {}
    for name, youngest in zip(HOLDERS, (0, 10, 10), strict=True):
        document, step = order(world, run, youngest)
        contexts[name] = counts_context(plan_run(scenario, document, step, world.members))
    opened = opened_together(world, contexts)
    assert opened[:3] != (1, 2, 3)
    assert sum(abs(number) > 2**20 for number in opened) > len(opened) // 2


def test_two_verdicts_of_one_run(world: World) -> None:
    """As many cells pass in each: for north one that it has, for the others one that they lack."""
    scenario = world.client.scenario(world.scenario)
    document, step = order(world, b"r" * 16, 0)
    planned = plan_run(scenario, document, step, world.members)
    cells, measures = planned.bound.plan.cells, planned.bound.plan.measures
    contexts = {}
    for name, cell in zip(HOLDERS, (0, 4, 4), strict=True):
        passes = np.array([[row == cell] * measures for row in range(cells)])
        contexts[name] = values_context(planned, cell_verdict(planned.run, passes, b"v" * 32))
    assert len({context.count for context in contexts.values()}) == 1
    assert opened_together(world, contexts)[:3] != (1, 2, 3)


def test_who_reads_the_log_cannot_try_numbers_of_cells_until_a_context_fits(world: World) -> None:
    """Everything else in a context is public: how many cells passed would be in the log."""
    world.order()
    world.settle()
    logged = [step for step in steps(world) if isinstance(step, Contributed)]
    (ordered,) = [step for step in steps(world) if isinstance(step, RunOrdered)]
    (checked,) = [step for step in steps(world) if isinstance(step, CountsChecked)]
    guesses = {
        documents.digest(
            Context(
                run=ordered.run,
                scenario=ordered.scenario,
                round=turn,
                participants=ordered.participants,
                checker_key=world.members.checker_key("office").key_id,
                width=width,
                count=count,
                question=question,
            )
        )
        for turn, width, count, question in itertools.product(
            Round, WIDTHS, range(64), (ordered.order, checked.verdict, bytes(32))
        )
    }
    assert not guesses & {step.context for step in logged}
