"""Entries by which one member would harm all others, or say what has no place in the log."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from attacks.lying import NOW, World
from pets import HOLDERS, TEXT, destroyed

from stayput import documents
from stayput.crypto import signing
from stayput.errors import DocumentError, StayputError
from stayput.replica import Replica
from stayput.steps import (
    Decision,
    DeletionCheck,
    ScenarioReviewed,
    StagingDestroyed,
    Waiver,
)
from stayput.store.journal import MemoryMirror

LONG = 10_000_000
"""With base64 twice a single entry of 18 MB: more than a page of the log holds."""


def approval(scenario: bytes) -> ScenarioReviewed:
    return ScenarioReviewed(scenario, "north", Decision.APPROVED, b"r" * 32, NOW)


def unchecked(step: Any, **changes: Any) -> Any:
    """A step as its class would refuse to make it: the sender writes its own software."""
    for name, value in changes.items():
        object.__setattr__(step, name, value)
    return step


@pytest.mark.parametrize(
    "changes",
    [
        {"report": b"Ada Lovelace, born 1815, diagnosis: " * (LONG // 36)},
        {"report": b"Ada Lovelace was here"},
        {"report": b""},
        {"waivers": (Waiver.TWO_HOLDERS,) * 2},
        {"waivers": (Waiver.TWO_HOLDERS,) * (LONG // 20)},
        {"time": 2**62},
        {"time": -1},
    ],
    ids=["long text", "text", "nothing", "a waiver twice", "a long list", "late", "early"],
)
def test_an_approval_with_room_for_more(world: World, changes: dict[str, Any]) -> None:
    """Free text in the log, or an entry so long that nobody can read on."""
    scenario = world.client.propose(TEXT.replace("scenario: pets", "scenario: more-pets"))
    size = world.coordinator.size
    step = world.sign(unchecked(approval(scenario), **changes), "north")
    with pytest.raises(DocumentError):
        world.coordinator.review_scenario(world.members["north"], step)
    assert world.coordinator.size == size
    world.settle()


def test_a_page_of_the_log_has_at_least_one_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page without the next entry would look like a fork to everybody."""
    world.order()
    world.settle()
    monkeypatch.setattr("stayput.sequencer.MAX_PAGE_BYTES", 10)
    replica = Replica(world.members, MemoryMirror())
    assert replica.catch_up(world.link("south"))
    assert replica.size == world.coordinator.size


def test_a_receipt_that_says_nothing(world: World) -> None:
    run = world.order()
    node = world.nodes["north"]
    honest = destroyed().receipt
    for facts in (
        dataclasses.replace(honest, passed=()),
        dataclasses.replace(honest, passed=(DeletionCheck.NO_CORE_DUMP,)),
    ):
        with pytest.raises(StayputError):
            world.coordinator.submit_receipt(
                world.members["north"], node._receipt(run, world.scenario, facts)
            )
    envelope = signing.parse_envelope(node._receipt(run, world.scenario, honest))
    step = documents.parse(StagingDestroyed, envelope.payload)
    for changes in (
        {"staging": b"this file was row 7 of patients.csv"},
        {"passed": honest.passed * 2},
        {"not_covered": step.not_covered[::-1]},
    ):
        bent = world.sign(unchecked(dataclasses.replace(step), **changes), "north")
        with pytest.raises(DocumentError):
            world.coordinator.submit_receipt(world.members["north"], bent)
    world.settle()
    assert world.failure(run) is None
    assert len(HOLDERS) == len(world.client.replica.session.runs[run].receipts)
