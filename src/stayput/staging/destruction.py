"""Destroying: what is checked after a staging process, and what the receipt says.

Each staging has a folder of its own, named by its id, that nothing should ever write to; it is
where the process stands, so that a stray file would be found.  While a process lives, the
folder holds one file of ours with the process id, so that a later start of the node
can tell what a killed run left (:func:`sweep`).

The rule is here and nowhere else: one failed check makes the outcome FAILED.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import time
from pathlib import Path

from stayput.steps import DeletionCheck, Outcome

MARK = "process"
"""Process id and its start time (clock ticks since boot), so that a reused id is not mistaken."""

_FOLDER = re.compile(r"[0-9a-f]{2,64}")


@dataclasses.dataclass(frozen=True)
class DeletionFacts:
    """What a deletion receipt says of one staging; times in Unix seconds."""

    passed: tuple[DeletionCheck, ...]
    failed: tuple[DeletionCheck, ...]
    outcome: Outcome
    started: int
    ended: int


@dataclasses.dataclass(frozen=True)
class Swept:
    """What a killed run had left, and that it is gone now."""

    staging_id: bytes
    files: int
    killed: bool
    receipt: DeletionFacts


def facts(checks: dict[DeletionCheck, bool], started: int) -> DeletionFacts:
    """The facts of a receipt from its checks; a check that was not done is not named."""
    passed = tuple(check for check in DeletionCheck if checks.get(check) is True)
    failed = tuple(check for check in DeletionCheck if checks.get(check) is False)
    outcome = Outcome.FAILED if failed else Outcome.DESTROYED
    return DeletionFacts(passed, failed, outcome, started, max(started, int(time.time())))


def merge_facts(first: DeletionFacts, second: DeletionFacts) -> DeletionFacts:
    """One statement about two stagings of one run: no check passed that failed in either."""
    failed = set(first.failed) | set(second.failed)
    passed = (set(first.passed) | set(second.passed)) - failed
    return DeletionFacts(
        passed=tuple(check for check in DeletionCheck if check in passed),
        failed=tuple(check for check in DeletionCheck if check in failed),
        outcome=Outcome.FAILED if failed else Outcome.DESTROYED,
        started=min(first.started, second.started),
        ended=max(first.ended, second.ended),
    )


def open_folder(workdir: Path, staging_id: bytes) -> Path:
    """The folder of a new staging.

    Raises:
        FileExistsError: a staging of this id is going on, or was never swept.
        OSError: it cannot be made.
    """
    workdir.mkdir(mode=0o700, parents=True, exist_ok=True)
    workdir.chmod(0o700)
    folder = workdir / staging_id.hex()
    folder.mkdir(mode=0o700)
    return folder


def mark(folder: Path, pid: int) -> None:
    """Note in the folder which process stands in it."""
    (folder / MARK).write_text(f"{pid} {_start_time(pid)}\n", encoding="ascii")


def unmark(folder: Path) -> None:
    """Take the note away, once the process is reaped."""
    (folder / MARK).unlink(missing_ok=True)


def look_for_files(folder: Path) -> bool:
    """Whether the folder is empty, and gone."""
    try:
        folder.rmdir()  # the kernel refuses unless it is empty
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def no_core_file(folder: Path) -> bool:
    """Whether no core file lies in the folder."""
    return not any(folder.glob("core*"))


def no_descriptor_into(paths: tuple[str, ...]) -> bool:
    """Whether this process has nothing open in or below any of the paths."""
    try:
        open_now = os.listdir("/proc/self/fd")
    except OSError:
        return False
    for descriptor in open_now:
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue  # closed since the listing
        if any(target == path or target.startswith(path + "/") for path in paths):
            return False
    return True


def no_mount_below(folder: Path) -> bool:
    """Whether nothing is mounted on or below the folder."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    points = [line.split(" ")[4].replace("\\040", " ") for line in lines]
    return not any(point == str(folder) or point.startswith(f"{folder}/") for point in points)


def sweep(workdir: Path) -> list[Swept]:
    """Remove what stagings left whose node was killed. Only before any staging starts.

    Kills a process that a mark names and that still lives, then removes the folders.
    """
    if not workdir.is_dir():
        return []
    found = [
        path for path in sorted(workdir.iterdir()) if path.is_dir() and _FOLDER.fullmatch(path.name)
    ]
    return [_sweep_one(path) for path in found if len(path.name) % 2 == 0]


def _sweep_one(folder: Path) -> Swept:
    started = int(folder.stat().st_mtime)
    gone, killed = _end_marked(folder)
    files = sum(1 for path in folder.rglob("*") if path.name != MARK)
    mounts = no_mount_below(folder)
    core = no_core_file(folder)
    if mounts:
        shutil.rmtree(folder, ignore_errors=True)
    checks = {
        DeletionCheck.PROCESS_REAPED: gone,
        DeletionCheck.NO_FILES_LEFT: not folder.exists(),
        DeletionCheck.NO_CORE_DUMP: core,
        DeletionCheck.NO_MOUNT_LEFT: mounts,
        DeletionCheck.LATE_SWEEP: True,
    }
    return Swept(bytes.fromhex(folder.name), files, killed, facts(checks, started))


def _end_marked(folder: Path) -> tuple[bool, bool]:
    """Whether the marked process is gone, and whether it had to be killed for that."""
    try:
        pid, since = (folder / MARK).read_text(encoding="ascii").split()
        process = int(pid)
    except (OSError, ValueError):
        return True, False  # killed before the mark: the process had no job yet
    if _start_time(process) != since:
        return True, False
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return True, False
    except PermissionError:
        return False, False
    for _ in range(1000):
        if _start_time(process) != since or _state(process) == "Z":
            return True, True
        time.sleep(0.01)
    return False, True


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name in parentheses may hold anything


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else ""


def _start_time(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""
