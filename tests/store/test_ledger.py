"""A holder's own book: nothing spent twice, nothing sent in two versions, nothing in clear."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from stayput.errors import ConfigurationError, NotFound, RuleViolation, VerificationError
from stayput.store.ledger import Ledger, Note, Outgoing

KEY = b"k" * 32
SCENARIO, OTHER = b"s" * 32, b"o" * 32


def run_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db", KEY)


def test_a_charge_needs_an_approval_of_this_holder(ledger: Ledger) -> None:
    with pytest.raises(RuleViolation) as caught:
        ledger.charge(SCENARIO, run_id(1))
    assert caught.value.clause == "N-2"
    ledger.approve(SCENARIO, b"report", runs=1)
    ledger.charge(SCENARIO, run_id(1))
    ledger.approve(OTHER, b"report", runs=1)
    ledger.revoke(OTHER)
    with pytest.raises(RuleViolation):
        ledger.charge(OTHER, run_id(2))
    assert not ledger.is_approved(OTHER)


def test_the_limit_holds_and_the_same_run_is_charged_once(ledger: Ledger) -> None:
    ledger.approve(SCENARIO, b"report", runs=2)
    for _ in range(3):
        ledger.charge(SCENARIO, run_id(1))
    ledger.charge(SCENARIO, run_id(2))
    with pytest.raises(RuleViolation) as caught:
        ledger.charge(SCENARIO, run_id(3))
    assert caught.value.clause == "N-4"
    assert ledger.charged(SCENARIO) == 2


def test_approving_again_does_not_reset_the_limit_or_a_revocation(ledger: Ledger) -> None:
    ledger.approve(SCENARIO, b"report", runs=1)
    ledger.charge(SCENARIO, run_id(1))
    ledger.approve(SCENARIO, b"report", runs=100)
    with pytest.raises(RuleViolation):
        ledger.charge(SCENARIO, run_id(2))
    ledger.revoke(SCENARIO)
    ledger.approve(SCENARIO, b"report", runs=100)
    assert not ledger.is_approved(SCENARIO)


def test_twenty_threads_spend_exactly_the_limit(ledger: Ledger) -> None:
    ledger.approve(SCENARIO, b"report", runs=7)
    granted: list[int] = []
    start = threading.Barrier(20)

    def spend(number: int) -> None:
        start.wait()
        try:
            ledger.charge(SCENARIO, run_id(number))
        except RuleViolation:
            return
        granted.append(number)

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 7 == ledger.charged(SCENARIO)


def _spend_in_process(path: Path, first: int, results: multiprocessing.Queue[int]) -> None:
    ledger = Ledger(path, KEY)
    for number in range(first, first + 10):
        try:
            ledger.charge(SCENARIO, run_id(number))
        except RuleViolation:
            continue
        results.put(number)
    ledger.close()


def test_three_processes_spend_exactly_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, KEY).approve(SCENARIO, b"report", runs=11)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_spend_in_process, args=(path, 100 * i, results)) for i in range(3)
    ]
    for process in processes:
        process.start()
    granted = [results.get(timeout=60) for _ in range(11)]
    for process in processes:
        process.join()
        process.close()
    assert len(set(granted)) == 11 == Ledger(path, KEY).charged(SCENARIO)


def _charge_and_die(path: Path) -> None:
    ledger = Ledger(path, KEY)
    ledger.charge(SCENARIO, run_id(1))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_charge_survives_being_killed_right_after(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path, KEY).approve(SCENARIO, b"report", runs=1)
    process = multiprocessing.get_context("spawn").Process(target=_charge_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    process.close()
    assert Ledger(path, KEY).charged(SCENARIO) == 1


def test_what_will_be_sent_is_fixed_the_first_time(ledger: Ledger) -> None:
    ledger.store(run_id(1), {"contribution-counts": Outgoing(b"step", b"ciphertexts")})
    ledger.store(run_id(1), {"contribution-counts": Outgoing(b"other", b"others")})
    assert ledger.outgoing(run_id(1), "contribution-counts") == Outgoing(b"step", b"ciphertexts")
    assert ledger.outgoing(run_id(2), "contribution-counts") is None


def test_partial_sums_are_not_on_disk_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, KEY)
    canary = b"canary-of-a-single-row-4711"
    ledger.store(run_id(1), {}, partial=canary)
    assert ledger.partial(run_id(1)) == canary
    for file in tmp_path.iterdir():
        assert canary not in file.read_bytes(), file.name
    ledger.close_run(run_id(1))
    with pytest.raises(NotFound):
        ledger.partial(run_id(1))


def test_altered_or_swapped_partial_sums_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path, KEY)
    ledger.store(run_id(1), {}, partial=b"one")
    ledger.store(run_id(2), {}, partial=b"two")
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE partial SET sealed = (SELECT sealed FROM partial WHERE run = ?) WHERE run = ?",
            (run_id(2), run_id(1)),
        )
    connection.close()
    with pytest.raises(VerificationError):
        Ledger(path, KEY).partial(run_id(1))
    with pytest.raises(VerificationError):
        Ledger(path, b"x" * 32).partial(run_id(2))


def test_a_closed_run_keeps_its_steps_but_no_ciphertext(ledger: Ledger) -> None:
    ledger.store(run_id(1), {"a": Outgoing(b"step", b"payload")}, partial=b"sums")
    assert ledger.unfinished() == (run_id(1),)
    ledger.close_run(run_id(1))
    assert ledger.unfinished() == ()
    assert ledger.outgoing(run_id(1), "a") == Outgoing(b"step", b"")


def test_notes_are_kept_in_order(ledger: Ledger) -> None:
    notes = [Note(run_id(i), i, f"message {i}", "hint") for i in range(3)]
    for note in notes:
        ledger.add_note(note)
    assert ledger.notes() == tuple(notes)


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigurationError, match=r"ledger\.db"):
        Ledger(tmp_path / "ledger.db", KEY)
