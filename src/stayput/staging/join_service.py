"""The staging process of a join: it reads its rows once and then lives as long as the join.

It takes its job, confines itself as every staging process does, and only then opens the source.
Then it answers one call after the other (:mod:`stayput.staging.join_messages`) and ends when its
parent does, or after the first failure.  What it keeps dies with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures.thread import ThreadPoolExecutor  # now: there is no path later
from typing import Final

from stayput import documents
from stayput.crypto.cores import Progress
from stayput.crypto.prime_search import release_lock_while_computing
from stayput.engines.contract import SourceDoesNotFit
from stayput.engines.duckdb import EngineFailure
from stayput.errors import (
    DocumentError,
    PermissionDenied,
    RuleViolation,
    StayputError,
    VerificationError,
)
from stayput.staging import confinement
from stayput.staging.child import confine, end_with_parent, read, send
from stayput.staging.join_messages import (
    SHARE_BYTES,
    Call,
    JoinJob,
    Method,
    Progressed,
    Refusal,
    Said,
)
from stayput.staging.join_rows import read_people
from stayput.staging.join_work import JoinWork
from stayput.staging.messages import READY, Code, Failed, pieces, read_frame, read_pieces
from stayput.vertical.blinding import BlindedSet
from stayput.vertical.plan import JoinPlan

TELL_SECONDS: Final = 0.25
"""Progress is told this often at most."""

BESIDE_MB: Final = 512
"""Memory of a join beside the engine's and beside people: tables of powers, a chunk of rows."""

PERSON_BYTES: Final = 1024
"""Of each person: identifier, points of its set and of those that pass through, as objects.
Measured: half of it, with some features."""

FEATURE_BYTES: Final = 96
"""Of each feature of a person: as the engine gives it, as an array, as kept."""

PEOPLE_TIMES_ENGINE: Final = 2
"""People may take so many times the memory of the engine, which is the holder's own setting: a
contract may allow a thousand million rows and bound nothing."""


def serve(answers: int, *, loaded: bool) -> None:
    """Take the job, confine, answer calls until there are no more.

    Args:
        answers: the descriptor to answer on.
        loaded: whether the library of blinded identifiers is.
    """
    send(answers, READY)
    try:
        job = documents.parse(JoinJob, read_frame(read))
    except (DocumentError, EOFError):
        return
    plan = job.plan.plan()
    try:
        confined = confine(job.job, beside_mb=beside_mb(plan, job.me, job.job.memory_limit_mb))
    except confinement.NotConfined:
        send(answers, documents.encode(Failed(Code.NOT_CONFINED)))
        return
    if not loaded:
        send(answers, documents.encode(Failed(Code.NO_TEMPORARY_FOLDER)))
        return
    send(answers, documents.encode(confined))
    end_with_parent()
    (table,) = [table for table in plan.tables if table.holder == job.me]
    # Threads that are started by a confined one are confined as it is.
    with ThreadPoolExecutor(job.job.threads, initializer=release_lock_while_computing) as threads:
        work = JoinWork(
            plan, job.run, job.scenario, job.me, lambda: read_people(job.job, table), threads
        )
        while _served(work, answers):
            pass


def beside_mb(plan: JoinPlan, me: str, memory_limit_mb: int) -> int:
    """Memory that a join may take beside the engine: for as many people as contracts allow, within
    what the holder's setting of the engine's memory allows."""
    people = max(max(table.max_rows, table.pad_to) for table in plan.tables)
    features = max(len(table.bounds) for table in plan.tables if table.holder == me)
    needed = people * (PERSON_BYTES + FEATURE_BYTES * features) // 2**20
    return BESIDE_MB + min(needed, PEOPLE_TIMES_ENGINE * memory_limit_mb)


def _served(work: JoinWork, answers: int) -> bool:
    """Answer one call; whether there may be another."""

    def tell(said: Said) -> None:
        send(answers, documents.encode(said))

    try:
        call = documents.parse(Call, read_frame(read))
        data = read_pieces(read, call.size)
    except (DocumentError, EOFError):
        return False
    said, answer = _answer(work, call, data, tell)
    tell(said)
    for piece in pieces(answer):
        send(answers, piece)
    return said.failed is None


def _answer(
    work: JoinWork, call: Call, data: bytes, tell: Callable[[Said], None]
) -> tuple[Said, bytes]:
    """The last word to a call, and the data that follow it: of an error, a code."""
    try:
        answer = _do(work, call, data, _throttled(tell))
    except (VerificationError, PermissionDenied, RuleViolation) as refused:
        return Said(refused=_REFUSALS[type(refused)]), b""
    except SourceDoesNotFit as unfit:
        return Said(failed=Failed(Code.DATA_DO_NOT_FIT, unfit.violations)), b""
    except EngineFailure as failure:
        return Said(failed=Failed(Code[failure.code.name])), b""
    except MemoryError:
        return Said(failed=Failed(Code.OUT_OF_MEMORY)), b""
    return Said(answer=len(answer)), answer


_REFUSALS: dict[type[StayputError], Refusal] = {
    VerificationError: Refusal.NOT_VERIFIED,
    PermissionDenied: Refusal.FOREIGN,
    RuleViolation: Refusal.NOT_NOW,
}


def _do(work: JoinWork, call: Call, data: bytes, progress: Progress) -> bytes:
    received = BlindedSet(call.run, call.owner, call.raised_by, data)
    answers: dict[Method, Callable[[], bytes | None]] = {
        Method.FIRST: lambda: work.first(progress).points,
        Method.FURTHER: lambda: work.further(received, call.signed, progress).points,
        Method.RUN_KEY: work.run_key,
        Method.ENCRYPT: lambda: work.encrypt(call.pair, call.chunk, progress),
        Method.COMBINE: lambda: work.combine(call.pair, call.modulus, call.chunk, data),
        Method.FINISH: lambda: work.finish(call.pair, call.modulus, progress),
        Method.OPEN: lambda: work.open(call.pair, data, progress),
        Method.SHARES: lambda: _flat(work.shares()),
    }
    return answers[call.method]() or b""


def _flat(shares: list[list[int]]) -> bytes:
    return b"".join(share.to_bytes(SHARE_BYTES, "big") for cell in shares for share in cell)


def _throttled(tell: Callable[[Said], None]) -> Progress:
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL_SECONDS:
            last = now
            tell(Said(progress=Progressed(done, total)))

    return progress
