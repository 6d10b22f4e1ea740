"""Held results with real sums: who tries to get one out that nobody cleared, or clears it alone."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attacks.lying import NOW, World
from pets import HOLDERS, TEXT, rows_of

from stayput import documents, examination
from stayput.client import stages
from stayput.countersigning import Examination, ExaminationReason
from stayput.crypto.signing import SigningKey
from stayput.errors import NotFound, NotYet, RuleViolation, RunFailure, VerificationError
from stayput.privacy import PICO, Budget
from stayput.release import CheckedResult
from stayput.session import RunPhase
from stayput.steps import FailureReason, ResultReleased

PEOPLE = [SigningKey.from_bytes(bytes([i]) * 32) for i in range(1, 3)]
STRANGER = SigningKey.from_bytes(b"x" * 32)


class HeldWorld(World):
    reviewers: ClassVar = {"office": ([key.public for key in PEOPLE], 1)}

    def read(self, run: bytes) -> examination.HeldResult:
        office = self.checker
        return examination.held_result(
            self.identities["office"], office.replica, self._journals["office"], run
        )

    def decide(self, run: bytes, key: SigningKey, decision: Examination = Examination.PASS) -> Any:
        reason = ExaminationReason.DISCLOSIVE if decision is Examination.FAIL else None
        return examination.examine(
            self.read(run),
            self.identities["office"],
            self.checker.replica,
            self.link("office"),
            key,
            decision=decision,
            reason=reason,
            clock=lambda: NOW,
        )


def world_of(root: Path, output: str) -> HeldWorld:
    text = re.sub(r"(?m)^output: .*$", f"output: {{min_count: 10, min_holders: 3, {output}}}", TEXT)
    assert output in text
    return HeldWorld(root, text)


def run_of(world: HeldWorld) -> Any:
    run = world.client.run(world.scenario, "by_colour", youngest=0)
    world.settle()
    return run


def plain_answer(root: Path) -> Any:
    world = world_of(root, "review: none")
    run = run_of(world)
    found = run.wait().table.to_pylist()
    world.close()
    return found


def test_a_held_result_waits_for_a_person_and_survives_a_restart(tmp_path: Path) -> None:
    world = world_of(tmp_path / "held", "review: always")
    run = run_of(world)
    assert world.checker.replica.session.runs[run.id].phase is RunPhase.HELD
    assert not world.checker.work()  # nothing is left to do without a person
    with pytest.raises(NotYet):
        run.wait(timeout=0.0)
    world.client.replica.catch_up(world.link("asker"))
    assert any("held" in said for said in stages(world.client.replica.session.runs[run.id]))
    before = world.read(run.id)
    world.checker = world.start_checker()
    world.checker.work()
    assert world.read(run.id).commitment == before.commitment
    with pytest.raises(RuleViolation):
        world.decide(run.id, STRANGER)
    world.decide(run.id, PEOPLE[0])
    world.settle()
    released = run.wait()
    assert released.table.to_pylist() == plain_answer(tmp_path / "plain")
    assert documents.digest(released.checked.result) == before.commitment
    assert not world._journals["office"].keys("held")  # erased once it is out
    world.close()


def test_no_copy_of_the_checker_s_files_shows_a_held_result(tmp_path: Path) -> None:
    world = world_of(tmp_path, "review: always")
    run = run_of(world)
    journal = world._journals["office"]
    kept = journal.get("held", run.id)
    encoded = examination.open_held(world.identities["office"], journal, run.id)
    assert b"by_colour" in encoded
    assert b"by_colour" not in kept
    journal.replace({("held", run.id): kept[:-1] + bytes([kept[-1] ^ 1])})
    with pytest.raises(VerificationError, match="altered"):
        world.read(run.id)
    journal.replace({("held", b"q" * 16): kept, ("held", run.id): kept})
    with pytest.raises(VerificationError, match="altered"):  # of another run
        examination.open_held(world.identities["office"], journal, b"q" * 16)
    world.close()


def test_a_checker_that_releases_without_its_people_is_refused(tmp_path: Path) -> None:
    world = world_of(tmp_path, "review: always")
    run = run_of(world)
    held = world.read(run.id)
    step = ResultReleased(run.id, "office", held.commitment, bytes(32), NOW)
    office = world.members["office"]
    with pytest.raises(RuleViolation) as caught:
        world.coordinator.submit_release(office, world.sign(step, "office"))
    assert caught.value.clause == "R-8"
    with pytest.raises(NotFound):
        world.coordinator.deliver_result(office, run.id, b"sealed")
    with pytest.raises(NotYet):
        world.link("asker").fetch_result(run.id)
    world.close()


def test_one_no_ends_it_and_the_data_user_reads_a_constant_sentence(tmp_path: Path) -> None:
    world = world_of(tmp_path, "review: always")
    run = run_of(world)
    state = world.decide(run.id, PEOPLE[1], Examination.FAIL)
    assert state.failure is FailureReason.RESULT_NOT_CLEARED
    world.settle()
    with pytest.raises(RunFailure, match="is not released") as caught:
        run.wait()
    assert "red" not in str(caught.value)
    assert not world._journals["office"].keys("held")
    world.close()


def test_only_doubtful_results_are_held(tmp_path: Path) -> None:
    quiet = world_of(tmp_path / "quiet", "review: doubtful")
    run = run_of(quiet)
    table = run.wait().table.to_pylist()
    counts = [row["pets"] for row in table if row["pets"] is not None]
    quiet.close()
    below = min(counts) + 1
    narrow = world_of(tmp_path / "narrow", f"review: doubtful, review_below: {below}")
    run = run_of(narrow)
    assert narrow.read(run.id).doubts == ("NARROW",)
    assert isinstance(narrow.read(run.id).result, CheckedResult)
    narrow.close()


def test_what_people_see_of_a_run_with_noise_is_the_noisy_table(tmp_path: Path) -> None:
    """An epsilon of 0.01 moves three counts by hundreds: that none moves has odds below 10**-6."""
    written = re.sub(
        r"(?m)^output: .*$",
        "output: {min_count: 1, min_holders: 3, review: always}\n"
        "privacy: {mechanism: geometric, epsilon: 0.01}",
        re.sub(r"(?s)  by_colour:.*?(?=  numbers:)", "", TEXT),
    )
    world = HeldWorld(tmp_path, written)
    world.budgets = (Budget("pets", 100 * PICO, ("pets",)),)
    run = world.client.run(world.scenario, "numbers")
    world.settle()
    assert world.checker.replica.session.runs[run.id].phase is RunPhase.HELD
    seen = world.read(run.id).result
    assert seen.table.noisy
    exact = Counter(colour for holder in HOLDERS for colour, _, _ in rows_of(holder))
    shown = {row["colour"]: row["pets"] for row in seen.table.to_arrow().to_pylist()}
    assert {c: n for c, n in exact.items() if shown[c] == n} != exact
    # Looking draws no noise again, however often: it is the table that is released.
    assert world.read(run.id).result == seen
    world.checker = world.start_checker()
    world.checker.work()
    assert world.read(run.id).result == seen
    spent = world._ledgers["north"].spent("pets")
    world.decide(run.id, PEOPLE[0])
    world.settle()
    assert run.wait().checked.result == seen
    assert world._ledgers["north"].spent("pets") == spent
    world.close()
