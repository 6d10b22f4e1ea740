"""Review packs on disk: written from a party's verified copy of the log, audited on all cores.

Not here: the format (:mod:`stayput.audit.pack`) and the audit (:mod:`stayput.audit.examine`).
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import BinaryIO

from stayput.audit.examine import Progress, audit_pack
from stayput.audit.pack import write_pack
from stayput.audit.report import AuditReport
from stayput.errors import ConfigurationError, NotFound, NotYet
from stayput.link import CoordinatorLink
from stayput.membership import Members
from stayput.replica import Replica
from stayput.steps import ResultReleased, Role, ScenarioSealed, Step
from stayput.tlog.checkpoint import claimed_checkpoint, verify_cosigned
from stayput.tlog.policy import Policy, all_of
from stayput.tlog.tiles import TILE_WIDTH

WORKERS_FROM_BYTES = 4 * 1024 * 1024
"""Size of a pack from which starting processes (a second) pays: some 5,000 entries."""

MAX_TRIES = 64
"""Milestones that are asked about, from the newest back, until one is cosigned by every holder."""


def holders_policy(members: Members) -> Policy:
    """The policy to hand to an auditor: the log's key, and both keys of every holder."""
    holders = [member.name for member in members.with_role(Role.HOLDER)]
    return all_of(
        [members.log_verifier.vkey], [verifier.vkey for verifier in members.cosigners(holders)]
    )


# --- writing --------------------------------------------------------------------------------------


def write_pack_file(path: Path, replica: Replica, link: CoordinatorLink) -> int:
    """Write a review pack: the log up to the newest checkpoint that every holder has cosigned.

    Releases of 256 entries in a row share the checkpoint in which they are proven: whatever is
    cosigned later contains them.

    Args:
        replica: caught up; what goes into the pack is from here.
        link: gives cosigned checkpoints, which the replica verifies.

    Returns:
        The number of entries in the pack.

    Raises:
        NotYet: no checkpoint is cosigned by every holder.
        VerificationError: what the coordinator shows does not stand.
        ConfigurationError: the file cannot be written.
    """
    checkpoint = _newest(replica, link)
    size = claimed_checkpoint(checkpoint).size
    milestones, proven = _notes(replica, link, size)
    with written(path) as out:
        write_pack(out, replica.entries, checkpoint, milestones=milestones, proven=proven)
    return size


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which is there whole in the end or not at all.

    Raises:
        ConfigurationError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as out:
            yield out
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check the folder"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _newest(replica: Replica, link: CoordinatorLink) -> bytes:
    holders = tuple(member.name for member in replica.members.with_role(Role.HOLDER))
    shown = [
        note
        for note in link.read_log(replica.size, 0).cosigned
        if claimed_checkpoint(note).size <= replica.size and _is_cosigned(replica, note, holders)
    ]
    recent = list(replica.milestones_from(0))[-MAX_TRIES:]
    for _, step in reversed(recent):
        note = replica.cosigned_note(link, step, holders)
        if note is not None:
            shown.append(note)
            break
    if not shown:
        raise NotYet(
            "no checkpoint is cosigned by every holder yet",
            hint="a pack needs the cosignatures of all holders: see that their nodes run",
        )
    return max(shown, key=lambda note: claimed_checkpoint(note).size)


def _is_cosigned(replica: Replica, note: bytes, names: tuple[str, ...]) -> bool:
    members = replica.session.members_at(claimed_checkpoint(note).size)
    needed = members.cosigners(names)
    found = verify_cosigned(note, members.log_origin, members.log_verifier, needed)
    return found.keys == {verifier.public for verifier in needed}


def _notes(
    replica: Replica, link: CoordinatorLink, size: int
) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Checkpoints with the sealings by size, and those that prove a release by its index."""
    milestones: dict[int, bytes] = {}
    proven: dict[int, bytes] = {}
    group, last, last_names = -1, b"", frozenset[str]()
    for index, step in reversed(list(replica.milestones_from(0))):
        if index >= size or not isinstance(step, ResultReleased | ScenarioSealed):
            continue
        names = frozenset(_concerned(replica, step))
        if (
            isinstance(step, ResultReleased)
            and group == index // TILE_WIDTH
            and names <= last_names
        ):
            proven[index] = last
            continue
        note = replica.cosigned_note(link, step, sorted(names))
        if note is None or claimed_checkpoint(note).size > size:
            continue
        if isinstance(step, ScenarioSealed):
            milestones[claimed_checkpoint(note).size] = note
        else:
            group, last, last_names = index // TILE_WIDTH, note, names
            proven[index] = note
    return milestones, proven


def _concerned(replica: Replica, step: Step) -> tuple[str, ...]:
    if isinstance(step, ResultReleased):
        return replica.session.runs[step.run].ordered.participants
    if isinstance(step, ScenarioSealed):
        return replica.session.scenarios[step.scenario].proposed.holders
    return ()


# --- auditing -------------------------------------------------------------------------------------


def audit_file(
    path: Path,
    policy: Policy,
    *,
    since: bytes | None = None,
    cores: int | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a pack in a file.

    Args:
        since: an older checkpoint that the auditor has kept.
        cores: how many processes share the work; as many as this one may use by default.

    Raises:
        NotFound: there is no such file.
        DocumentError, VerificationError: as :func:`stayput.audit.examine.audit_pack`.
    """
    try:
        source = path.open("rb")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(
            f"there is no file {path}", hint="make one with `stayput log pack FILE`"
        ) from None
    with source:
        small = path.stat().st_size < WORKERS_FROM_BYTES
        count = 1 if small else (cores or len(os.sched_getaffinity(0)))
        with _no_collector(), _processes(count) as workers:
            return audit_pack(source, policy, since=since, workers=workers, progress=progress)


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Records of an audit have no cycles; looking for some in millions of them takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _processes(count: int) -> Iterator[Executor | None]:
    if count < 2:
        yield None
        return
    # Spawned, not forked: the command line may have threads by now.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=gc.disable) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
