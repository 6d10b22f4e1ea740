"""kill -9 in the middle of a join between real processes: the answer is right, or the run has
failed, with receipts for all that anybody had of single rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.consortium import RUN_SECONDS, Consortium, wait_until
from pyarrow import parquet
from simulation.test_joins import AT, assert_right
from vertical.by_hand import TABLES, TEXT

from stayput.config import add_source
from stayput.crypto import signing
from stayput.errors import RunFailure
from stayput.session import RunState
from stayput.steps import (
    STEP_CLASSES,
    FailureReason,
    Outcome,
    RowsEncrypted,
    RowsHandedOver,
    SetBlinded,
    SumsReturned,
)

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]


@pytest.fixture(scope="module")
def registers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registers")
    for name, table in TABLES.items():
        parquet.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture
def joined(up: Consortium, registers: Path) -> tuple[Consortium, bytes]:
    """The consortium, with other tables besides, and a sealed scenario over them."""
    for name, table in AT.items():
        if f"[sources.{table}]" not in (up.home(name) / "stayput.toml").read_text():
            add_source(up.home(name), table, registers / f"{table}.parquet", None, "")
    with up.client() as client:
        return up, up.agree(client, TEXT.replace("min_holders: 2", "min_holders: 3"))


def has(consortium: Consortium, run: bytes, kind: type) -> bool:
    """Whether the coordinator has logged such a step of the run."""
    steps = (
        signing.peek(signing.parse_envelope(entry), STEP_CLASSES) for entry in consortium.entries()
    )
    return any(isinstance(step, kind) and getattr(step, "run", b"") == run for step in steps)


def state(consortium: Consortium, run: bytes) -> RunState:
    return consortium.report().session.runs[run]


def verify_nothing_left(consortium: Consortium, run: bytes) -> None:
    wait_until(lambda: state(consortium, run).erased is not None, RUN_SECONDS)
    found = state(consortium, run)
    assert found.erased is not None
    receipts = (*found.receipts.values(), found.erased)
    assert all(one.outcome is Outcome.DESTROYED for one in receipts)
    assert consortium.report().finding is None
    wait_until(lambda: not list((consortium.home("hub") / "joins").iterdir()), RUN_SECONDS)
    wait_until(lambda: not consortium.staging_folders(), RUN_SECONDS)


@pytest.mark.parametrize("kind", [SetBlinded, RowsEncrypted, RowsHandedOver, SumsReturned])
def test_a_killed_coordinator_goes_on_with_a_join(
    joined: tuple[Consortium, bytes], kind: type
) -> None:
    consortium, scenario = joined
    with consortium.client() as client:
        run = client.run(scenario, "by_district")
        wait_until(lambda: has(consortium, run.id, kind), RUN_SECONDS)
        consortium.kill("hub")
        consortium.start("hub")
        assert_right(run.wait(timeout=2 * RUN_SECONDS))
    assert set(state(consortium, run.id).receipts) == set(AT)
    verify_nothing_left(consortium, run.id)


def test_a_killed_node_ends_a_join_and_says_so(joined: tuple[Consortium, bytes]) -> None:
    """Its secrets are gone with its staging process; nothing of the others' is left either."""
    consortium, scenario = joined
    with consortium.client() as client:
        run = client.run(scenario, "by_district")
        wait_until(
            lambda: any(
                getattr(step, "holder", "") == "south"
                for steps in state(consortium, run.id).blinded.values()
                for step in steps
            ),
            RUN_SECONDS,
        )
        consortium.kill("south")
        consortium.start("south")
        with pytest.raises(RunFailure):
            run.wait(timeout=2 * RUN_SECONDS)
    found = state(consortium, run.id)
    assert found.failure is FailureReason.STATE_LOST
    wait_until(lambda: set(state(consortium, run.id).receipts) == set(AT), RUN_SECONDS)
    verify_nothing_left(consortium, run.id)
