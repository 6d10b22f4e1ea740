"""Checks after a staging, each with something that it must find; and the late sweep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from staging.flights import request, stage

from stayput.engines.source import SourceSpec
from stayput.staging import DeletionFacts, StagingPool, destruction, merge_facts, sweep
from stayput.steps import DeletionCheck, Outcome


def test_one_failed_check_fails_the_receipt() -> None:
    good = dict.fromkeys(DeletionCheck, True)
    assert destruction.facts(good, 5).outcome is Outcome.DESTROYED
    for check in DeletionCheck:
        facts = destruction.facts({**good, check: False}, 5)
        assert facts.outcome is Outcome.FAILED
        assert facts.failed == (check,)
        assert check not in facts.passed
    some = {DeletionCheck.PROCESS_REAPED: True}
    assert destruction.facts(some, 5).passed == (DeletionCheck.PROCESS_REAPED,)
    assert destruction.facts(some, 2**40).ended == 2**40  # a clock set back gives no negative time


def test_merging_forgets_no_failure() -> None:
    reaped, files = DeletionCheck.PROCESS_REAPED, DeletionCheck.NO_FILES_LEFT
    first = DeletionFacts((reaped,), (files,), Outcome.FAILED, 10, 20)
    second = DeletionFacts((reaped, files), (), Outcome.DESTROYED, 30, 40)
    for merged in (merge_facts(first, second), merge_facts(second, first)):
        assert merged == DeletionFacts((reaped,), (files,), Outcome.FAILED, 10, 40)


def test_a_stray_file_is_found(tmp_path: Path) -> None:
    folder = destruction.open_folder(tmp_path / "work", b"\x01\x02")
    assert folder.name == "0102"
    (folder / "core.123").touch()
    assert not destruction.no_core_file(folder)
    assert not destruction.look_for_files(folder)
    (folder / "core.123").unlink()
    assert destruction.no_core_file(folder)
    assert destruction.look_for_files(folder)
    assert not folder.exists()
    assert destruction.look_for_files(folder)
    destruction.open_folder(tmp_path / "work", b"\x03")
    with pytest.raises(FileExistsError):
        destruction.open_folder(tmp_path / "work", b"\x03")


def test_an_open_descriptor_is_found(tmp_path: Path) -> None:
    path = tmp_path / "source.csv"
    path.touch()
    assert destruction.no_descriptor_into((str(path), str(tmp_path)))
    with path.open():
        assert not destruction.no_descriptor_into((str(path),))
        assert not destruction.no_descriptor_into((str(tmp_path),))
        assert destruction.no_descriptor_into((str(tmp_path / "source"),))  # no mere prefix
    assert destruction.no_descriptor_into((str(path), str(tmp_path)))


def test_a_mount_is_found(tmp_path: Path) -> None:
    assert destruction.no_mount_below(tmp_path)
    assert not destruction.no_mount_below(Path("/proc"))


def test_a_receipt_fails_when_the_source_stays_open(pool: StagingPool, source: SourceSpec) -> None:
    with Path(source.path).open("rb"):
        staged = stage(pool, source)
    assert staged.receipt.failed == (DeletionCheck.NO_OPEN_DESCRIPTORS,)
    assert staged.receipt.outcome is Outcome.FAILED


def test_a_receipt_fails_when_a_file_is_left(
    tmp_path: Path, source: SourceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = destruction.mark

    def mark_and_litter(folder: Path, pid: int) -> None:
        real(folder, pid)
        (folder / "spill").write_text("rows")

    monkeypatch.setattr(destruction, "mark", mark_and_litter)
    with StagingPool(tmp_path / "work") as pool:
        staged = stage(pool, source)
        assert staged.receipt.failed == (DeletionCheck.NO_FILES_LEFT,)
        assert staged.receipt.outcome is Outcome.FAILED
        assert pool.swept == 0
    (swept,) = sweep(tmp_path / "work")  # and the next start finds it
    assert swept.files == 1
    assert DeletionCheck.NO_FILES_LEFT in swept.receipt.passed
    assert list((tmp_path / "work").iterdir()) == []


def test_sweeping_kills_what_is_marked_and_only_that(tmp_path: Path) -> None:
    work = tmp_path / "work"
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper) as marked, subprocess.Popen(sleeper) as other:
        try:
            first = destruction.open_folder(work, b"\x01")
            destruction.mark(first, marked.pid)
            reused = destruction.open_folder(work, b"\x02")
            (reused / destruction.MARK).write_text(f"{other.pid} 1\n")  # another start time
            broken = destruction.open_folder(work, b"\x03")
            (broken / destruction.MARK).write_text("nonsense")
            deep = destruction.open_folder(work, b"\x04") / "a" / "b"
            deep.mkdir(parents=True)
            (deep / "row").touch()
            (work / "not-a-staging").mkdir()
            (work / "note.txt").touch()
            found = sweep(work)
            assert marked.wait(timeout=5) < 0
            assert other.poll() is None
        finally:
            marked.kill()
            other.kill()
    assert [(swept.staging_id, swept.killed, swept.files) for swept in found] == [
        (b"\x01", True, 0),
        (b"\x02", False, 0),
        (b"\x03", False, 0),
        (b"\x04", False, 3),
    ]
    for swept in found:
        assert swept.receipt.outcome is Outcome.DESTROYED
        assert DeletionCheck.LATE_SWEEP in swept.receipt.passed
        assert swept.receipt.started <= swept.receipt.ended <= time.time()
    assert {path.name for path in work.iterdir()} == {"not-a-staging", "note.txt"}
    assert sweep(tmp_path / "nothing") == []


def test_ids_out_of_range_are_refused(pool: StagingPool, source: SourceSpec) -> None:
    import dataclasses

    for staging_id in (b"", bytes(33)):
        with pytest.raises(ValueError, match="1 to 32 bytes"):
            pool.stage(dataclasses.replace(request(source), staging_id=staging_id))


def test_a_folder_that_cannot_be_made(tmp_path: Path, source: SourceSpec) -> None:
    if os.geteuid() == 0:
        (tmp_path / "work").write_text("a file where the folder should be")
    from stayput.errors import StagingError

    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
    with StagingPool(tmp_path / "work", warm=False) as pool, pytest.raises(StagingError):
        stage(pool, source)
