"""Staging of a join as the node sees it: one process that lives until its shares are made.

The process reads the rows and keeps people, the order of the blinded set, exponents, run key and
masks; none of them comes out.  What comes out is what may leave the holder (blinded identifiers, a
public key, row ciphertexts, masked sums) and at the end the holder's own shares, which are as
secret as partial sums are.

Whoever opens one closes it, and gets the facts for the deletion receipt: after success, after
failure, after being cancelled.  Calls come one after the other; :meth:`JoinStaging.close` may come
at any time, from another thread too, and kills what is going on.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Protocol

from stayput.crypto.cores import Progress
from stayput.crypto.ristretto import POINT_BYTES
from stayput.engines.source import SourceSpec
from stayput.errors import (
    PermissionDenied,
    RuleViolation,
    StayputError,
    VerificationError,
)
from stayput.link import MAX_PIECE_BYTES
from stayput.scenario import TableContract
from stayput.staging.destruction import DeletionFacts
from stayput.staging.join_messages import SHARE_BYTES, Call, Method
from stayput.staging.messages import Code
from stayput.staging.process import StagingProcess, StagingProcessFailed
from stayput.vertical.blinding import BlindedSet
from stayput.vertical.plan import JoinPlan


@dataclasses.dataclass(frozen=True)
class JoinRequest:
    """One holder's part in a run over a join.

    ``columns`` are the declared columns that ``sql`` uses, the identifier first, and ``sql`` is
    that of this holder's :class:`~stayput.vertical.questions.Staged`.  ``scenario`` is the
    scenario's digest; ``staging_id`` (1 to 32 bytes) names the folder while it lasts.
    """

    source: SourceSpec
    contract: TableContract
    columns: tuple[str, ...]
    sql: str
    staging_id: bytes
    run: bytes
    scenario: bytes
    me: str
    plan: JoinPlan


class JoinStaging(Protocol):
    """One holder's rows and secrets of a join; see :class:`stayput.staging.join_work.JoinWork`.

    Every method but ``close`` raises StagingFailed if the process fails, with the facts of its
    destruction; ``first`` also SourceRefused.  VerificationError, PermissionDenied and
    RuleViolation refuse one call and leave it open for others.  ``progress`` is called now and then
    with work done and in all; what it raises ends the staging.
    """

    def first(self, progress: Progress | None = None) -> BlindedSet:
        """Read the source and blind its identifiers. Once."""
        ...

    def further(
        self, received: BlindedSet, signed: bytes, progress: Progress | None = None
    ) -> BlindedSet:
        """Raise a set whose digest the raiser before has signed. Asked again: the same bytes."""
        ...

    def run_key(self) -> bytes:
        """The modulus of this holder's run key, big-endian. Asked again: the same."""
        ...

    def encrypt(self, pair: int, chunk: int, progress: Progress | None = None) -> bytes:
        """The ciphertexts of a chunk of rows: chunk after chunk, once."""
        ...

    def combine(self, pair: int, modulus: bytes, chunk: int, handed: bytes) -> None:
        """Combine what was handed over for a chunk of rows: chunk after chunk, once."""
        ...

    def finish(self, pair: int, modulus: bytes, progress: Progress | None = None) -> bytes:
        """The masked sums that go back to the owner. Once, after the last chunk."""
        ...

    def open(self, pair: int, returned: bytes, progress: Progress | None = None) -> None:
        """Open what came back from the combiner. Once; the same bytes again are nothing."""
        ...

    def shares(self) -> list[list[int]]:
        """Shares of all sums: cells × moments, residues modulo 2^160."""
        ...

    def close(self) -> DeletionFacts:
        """End it and say what is left. Safe to call again: the facts are the same."""
        ...


class JoinProcess:
    """A join staged in a process of its own.

    Args:
        process: started, and given its job.
        request: what for.
        end: ends the process and states the facts; called once.
        told: a failure in words.
        silence: seconds without a word after which the process is given up.
    """

    def __init__(
        self,
        process: StagingProcess,
        request: JoinRequest,
        *,
        end: Callable[[], DeletionFacts],
        told: Callable[[StagingProcessFailed, DeletionFacts], StayputError],
        silence: float,
    ) -> None:
        self._process = process
        self._run = request.run
        self._me = request.me
        self._plan = request.plan
        self._end = end
        self._told = told
        self._silence = silence
        self._lock = threading.Lock()
        self._facts: DeletionFacts | None = None
        (self._table,) = [table for table in self._plan.tables if table.holder == self._me]

    def first(self, progress: Progress | None = None) -> BlindedSet:
        """See :class:`JoinStaging`."""
        most = max(self._table.max_rows, self._table.pad_to)
        points = self._call(Call(Method.FIRST), limit=most * POINT_BYTES, progress=progress)
        return BlindedSet(self._run, self._me, (self._me,), points)

    def further(
        self, received: BlindedSet, signed: bytes, progress: Progress | None = None
    ) -> BlindedSet:
        """See :class:`JoinStaging`."""
        call = Call(
            Method.FURTHER,
            run=received.run,
            owner=received.owner,
            raised_by=received.raised_by,
            signed=signed,
        )
        points = self._call(call, received.points, limit=len(received.points), progress=progress)
        raised_by = (*received.raised_by, self._me)
        return dataclasses.replace(received, raised_by=raised_by, points=points)

    def run_key(self) -> bytes:
        """See :class:`JoinStaging`."""
        return self._call(Call(Method.RUN_KEY), limit=self._plan.key_bits // 8)

    def encrypt(self, pair: int, chunk: int, progress: Progress | None = None) -> bytes:
        """See :class:`JoinStaging`."""
        call = Call(Method.ENCRYPT, pair=pair, chunk=chunk)
        return self._call(call, limit=MAX_PIECE_BYTES, progress=progress)

    def combine(self, pair: int, modulus: bytes, chunk: int, handed: bytes) -> None:
        """See :class:`JoinStaging`."""
        self._call(Call(Method.COMBINE, pair=pair, chunk=chunk, modulus=modulus), handed)

    def finish(self, pair: int, modulus: bytes, progress: Progress | None = None) -> bytes:
        """See :class:`JoinStaging`."""
        call = Call(Method.FINISH, pair=pair, modulus=modulus)
        sums = len(self._plan.cells) * len(self._plan.sources)  # each in a product of its own
        return self._call(call, limit=sums * self._ciphertext_bytes, progress=progress)

    def open(self, pair: int, returned: bytes, progress: Progress | None = None) -> None:
        """See :class:`JoinStaging`."""
        self._call(Call(Method.OPEN, pair=pair), returned, progress=progress)

    def shares(self) -> list[list[int]]:
        """See :class:`JoinStaging`."""
        cells, moments = len(self._plan.cells), len(self._plan.sources)
        expected = cells * moments * SHARE_BYTES
        data = self._call(Call(Method.SHARES), limit=expected)
        if len(data) != expected:
            raise self._failed(StagingProcessFailed(Code.MISSPOKE))
        flat = [
            int.from_bytes(data[start : start + SHARE_BYTES], "big")
            for start in range(0, expected, SHARE_BYTES)
        ]
        return [flat[start : start + moments] for start in range(0, len(flat), moments)]

    def close(self) -> DeletionFacts:
        """See :class:`JoinStaging`."""
        self._process.cancel()  # a call that is going on learns that and lets go of the lock
        with self._lock:
            return self._ended()

    def _ended(self) -> DeletionFacts:
        if self._facts is None:
            self._facts = self._end()
        return self._facts

    @property
    def _ciphertext_bytes(self) -> int:
        return self._plan.key_bits // 4

    def _call(
        self, call: Call, data: bytes = b"", *, limit: int = 0, progress: Progress | None = None
    ) -> bytes:
        with self._lock:
            if self._facts is not None:
                raise self._told(StagingProcessFailed(Code.CANCELLED), self._facts)
            try:
                return self._process.call(
                    call, data, limit=limit, silence=self._silence, progress=progress
                )
            except StagingProcessFailed as failed:
                raise self._told(failed, self._ended()) from None
            except (VerificationError, PermissionDenied, RuleViolation):
                if self._process.cancelled:  # not its word, but that of whom progress was told
                    self._ended()
                raise
            except BaseException:
                self._ended()
                raise

    def _failed(self, failure: StagingProcessFailed) -> StayputError:
        with self._lock:
            return self._told(failure, self._ended())

    def __repr__(self) -> str:
        return f"JoinProcess(me={self._me!r})"
