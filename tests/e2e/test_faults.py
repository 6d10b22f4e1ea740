"""kill -9 of any one process, at any stage, and everybody goes on.

Three ways to choose the moment: a stage of the run, seen in the coordinator's log by somebody who
keeps looking; exactly after a message of the victim's wire (:mod:`e2e.instrumented`), so that
an answer is lost or what follows never happens; a random moment.  Afterwards the answer is that of
the pooled rows, or, where the staging process itself is killed, the run has failed with its reason.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pets
import pytest
from e2e.consortium import DAEMONS, RUN_SECONDS, Consortium, running, wait_until

from stayput.client import Client, Run
from stayput.crypto import signing
from stayput.errors import RunFailure, Unavailable
from stayput.steps import (
    STEP_CLASSES,
    Contributed,
    CountsChecked,
    Outcome,
    ResultReleased,
    Round,
    StagingDestroyed,
    Step,
    SumFormed,
)

Stage = Callable[[Consortium, bytes], bool]


@pytest.fixture
def world(up: Consortium, scenario: bytes) -> tuple[Consortium, bytes]:
    return up, scenario


# --- where a run is -------------------------------------------------------------------------------


def steps(consortium: Consortium, run: bytes) -> list[Step]:
    parsed = (
        signing.peek(signing.parse_envelope(entry), STEP_CLASSES)
        for entry in consortium.entries()[-40:]
    )
    return [step for step in parsed if getattr(step, "run", None) == run]


def logged(kind: type, round: Round | None = None) -> Stage:
    return lambda consortium, run: any(
        isinstance(step, kind) and round in (None, getattr(step, "round", None))
        for step in steps(consortium, run)
    )


STAGES: dict[str, Stage] = {
    "ordered": lambda consortium, run: True,
    "staging": lambda consortium, run: (folder(consortium, "west", run) / "process").exists(),
    "receipt": logged(StagingDestroyed),
    "counts": logged(Contributed, Round.COUNTS),
    "counts added": logged(SumFormed, Round.COUNTS),
    "judged": logged(CountsChecked),
    "values": logged(Contributed, Round.VALUES),
    "values added": logged(SumFormed, Round.VALUES),
    "released": logged(ResultReleased),
    "delivered": Consortium.delivered,
}


def folder(consortium: Consortium, name: str, run: bytes) -> Path:
    return consortium.home(name) / "staging" / run.hex()


def staging_child(consortium: Consortium, name: str) -> int:
    """The staging process that a node keeps ready."""

    def children() -> list[int]:
        found = []
        for task in Path(f"/proc/{consortium.running[name].pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in (task / "children").read_text().split()]
        return found

    (child,) = wait_until(children)
    return int(child)


def is_dead(pid: int) -> bool:
    """Gone, or gone but for its parent's asking how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# --- one fault ------------------------------------------------------------------------------------


def mirrors(consortium: Consortium) -> dict[str, list[bytes]]:
    return {name: consortium.entries(name) for name in (*DAEMONS, "asker")}


def go_on(world: tuple[Consortium, bytes], client: Client, run: Run, victim: str) -> None:
    """The victim is dead: it comes back, the answer is right, nothing is lost or done twice."""
    consortium, scenario = world
    before = mirrors(consortium)
    consortium.environment.pop(victim, None)
    consortium.start(victim)
    result = run.wait(timeout=RUN_SECONDS)
    consortium.verify_run(run.id, result)
    consortium.verify_promises(scenario, before)
    sealed = client._link.fetch_result(run.id)
    assert client._link.fetch_result(run.id) == sealed
    assert all(process.poll() is None for process in consortium.running.values())


def kill_at_stage(world: tuple[Consortium, bytes], victim: str, stage: str) -> None:
    consortium, scenario = world
    with consortium.client() as client:
        frozen = staging_child(consortium, "west") if stage == "staging" else 0
        if frozen:
            os.kill(frozen, signal.SIGSTOP)  # so that the stage lasts
        run = client.run(scenario, "by_colour", youngest=1)
        wait_until(lambda: STAGES[stage](consortium, run.id), pause=0.0)
        consortium.kill(victim)
        if frozen and victim != "west":
            os.kill(frozen, signal.SIGCONT)
        go_on(world, client, run, victim)


@pytest.mark.parametrize(
    ("victim", "stage"),
    [
        ("hub", "values"),
        ("office", "counts added"),
        ("north", "ordered"),
        ("west", "staging"),
        ("south", "judged"),
    ],
)
def test_killed_at_a_stage(world: tuple[Consortium, bytes], victim: str, stage: str) -> None:
    kill_at_stage(world, victim, stage)


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("victim", DAEMONS)
def test_killed_at_every_stage(world: tuple[Consortium, bytes], victim: str, stage: str) -> None:
    kill_at_stage(world, victim, stage)


def kill_at_message(world: tuple[Consortium, bytes], victim: str, message: str) -> None:
    consortium, scenario = world
    consortium.kill(victim)  # idle: also this moment
    consortium.environment[victim] = {"E2E_KILL": f"RunService/{message}"}
    consortium.start(victim)
    with consortium.client() as client:
        run = Run(client, b"")
        try:
            run = client.run(scenario, "by_colour", youngest=3)
        except Unavailable:  # no answer to the order itself: did it get through?
            assert message.startswith("OrderRun")
        process = consortium.running[victim]
        wait_until(lambda: process.poll() is not None, pause=0.001)
        assert process.returncode == -signal.SIGKILL
        if not run.id:
            before = set(client.replica.session.runs)
            consortium.environment.pop(victim)
            consortium.start(victim)
            client.replica.catch_up(client._link)
            ordered = set(client.replica.session.runs) - before
            assert len(ordered) == (message == "OrderRun sent 1")
            run = Run(client, ordered.pop()) if ordered else client.run(scenario, "numbers")
            consortium.verify_run(run.id, run.wait(timeout=RUN_SECONDS))
        else:
            go_on(world, client, run, victim)


NODE = ["GetRunOrder sent 1", "SubmitReceipt sent 1", "SubmitContribution sent 1"]
NODE += ["GetVerdict sent 1", "SubmitContribution sent 2"]
CHECKER = ["GetRunOrder sent 1", "GetContribution sent 2", "SubmitVerdict sent 1"]
CHECKER += ["GetContribution sent 5", "SubmitRelease sent 1", "DeliverResult sent 1"]
HUB = [
    f"{method} {way} {number}"
    for method, last in {
        "OrderRun": 1,
        "GetRunOrder": 1,
        "SubmitReceipt": 3,
        "SubmitContribution": 6,
        "GetContribution": 6,
        "SubmitVerdict": 1,
        "GetVerdict": 2,
        "SubmitRelease": 1,
        "DeliverResult": 1,
    }.items()
    for number in range(1, last + 1)
    for way in ("received", "sent")
]


@pytest.mark.parametrize(
    ("victim", "message"),
    [
        ("hub", "OrderRun sent 1"),  # in the log, but the data user does not know
        ("hub", "SubmitRelease sent 1"),  # released, nobody knows
        ("north", "SubmitReceipt sent 1"),
        ("office", "SubmitVerdict sent 1"),
        ("office", "SubmitRelease sent 1"),  # released, not delivered
    ],
)
def test_killed_after_a_message(world: tuple[Consortium, bytes], victim: str, message: str) -> None:
    kill_at_message(world, victim, message)


@pytest.mark.long
@pytest.mark.parametrize(
    ("victim", "message"),
    [
        *(("hub", message) for message in HUB),
        *(("office", message) for message in CHECKER),
        *(("south", message) for message in NODE),
    ],
)
def test_killed_after_every_message(
    world: tuple[Consortium, bytes], victim: str, message: str
) -> None:
    kill_at_message(world, victim, message)


def kill_at_random(world: tuple[Consortium, bytes], seed: int) -> None:
    consortium, scenario = world
    dice = random.Random(seed)
    victim, moment = dice.choice(DAEMONS), dice.uniform(0, 1.5)
    with consortium.client() as client:
        run = client.run(scenario, "by_colour", youngest=0)
        time.sleep(moment)
        consortium.kill(victim)
        time.sleep(dice.uniform(0, 0.5))
        go_on(world, client, run, victim)


@pytest.mark.parametrize("seed", range(1))
def test_killed_at_a_random_moment(world: tuple[Consortium, bytes], seed: int) -> None:
    kill_at_random(world, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 160))
def test_killed_at_many_random_moments(world: tuple[Consortium, bytes], seed: int) -> None:
    kill_at_random(world, seed)


# --- the staging process --------------------------------------------------------------------------


def test_a_killed_staging_process_fails_the_run_and_leaves_a_receipt(
    world: tuple[Consortium, bytes],
) -> None:
    consortium, scenario = world
    with consortium.client() as client:
        child = staging_child(consortium, "west")
        os.kill(child, signal.SIGSTOP)
        run = client.run(scenario, "by_colour", youngest=1)
        wait_until(lambda: STAGES["staging"](consortium, run.id))
        before = mirrors(consortium)
        os.kill(child, signal.SIGKILL)
        # It had its job and never said that it was confined: nobody claims that it was.
        with pytest.raises(RunFailure, match="could not show that staged rows") as failed:
            run.wait(timeout=RUN_SECONDS)
        assert failed.value.reason == "DELETION_FAILED"
        assert "staging folder" in failed.value.hint
        consortium.verify_run(run.id, None)
        consortium.verify_promises(scenario, before)
        receipt = consortium.report().session.runs[run.id].receipts["west"]
        assert receipt.outcome is Outcome.FAILED
        assert {check.name for check in receipt.failed} == {"CONFINED_BY_LANDLOCK"}
        told = consortium.cli("west", "node", "notes")
        assert "the staging process died" in told.stdout
        # The same node, the next run; and one kept ready that dies idle is nobody's trouble.
        idle = staging_child(consortium, "west")
        os.kill(idle, signal.SIGKILL)
        wait_until(lambda: is_dead(idle), 10)  # a busy machine takes its time
        again = client.run(scenario, "by_colour", youngest=1)
        consortium.verify_run(again.id, again.wait(timeout=RUN_SECONDS))


def test_a_node_that_died_while_staging_accounts_for_it_even_when_the_run_is_over(
    tmp_path: Path,
) -> None:
    with running(tmp_path, run_timeout=2) as consortium, consortium.client() as client:
        scenario = consortium.agree(client)
        child = staging_child(consortium, "west")
        os.kill(child, signal.SIGSTOP)
        run = client.run(scenario, "numbers")
        wait_until(lambda: STAGES["staging"](consortium, run.id))
        consortium.kill("west")
        wait_until(lambda: not Path(f"/proc/{child}").exists(), 10)  # it dies with its node
        with pytest.raises(RunFailure, match="stayed away") as failed:
            run.wait(timeout=RUN_SECONDS)
        assert failed.value.reason == "TIMED_OUT"
        assert "log show" in failed.value.hint
        assert "west" not in consortium.report().session.runs[run.id].receipts
        consortium.start("west")
        late = wait_until(lambda: consortium.report().session.runs[run.id].receipts.get("west"), 15)
        assert isinstance(late, StagingDestroyed)
        assert late.outcome is Outcome.DESTROYED
        assert "LATE_SWEEP" in {check.name for check in late.passed}
        consortium.verify_run(run.id, None)
        for name in pets.HOLDERS:
            with consortium.ledger(name) as ledger:
                assert ledger.charged(scenario) == 1
        # Somebody who is away from the beginning: the others' parts are of no use to anybody.
        consortium.kill("south")
        second = client.run(scenario, "numbers")
        with pytest.raises(RunFailure, match="stayed away"):
            second.wait(timeout=RUN_SECONDS)
        consortium.start("south")
        third = client.run(scenario, "numbers")
        consortium.verify_run(third.id, third.wait(timeout=RUN_SECONDS))
        consortium.verify_run(second.id, None)
