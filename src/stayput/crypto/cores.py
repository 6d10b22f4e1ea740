"""Long vectors in pieces: on other cores if there are workers, with progress, and cancellable.

Threads help encryption less than processes: multiplications are short for the lock between them
(measured: 1.5 × on two cores with ``allow_release_gil``, processes 1.8 ×).  So whoever wants more
cores hands in a ``concurrent.futures`` executor of processes and keeps it, or of threads where
other processes must not see what they would be sent; this package starts none.

Invariants: results come in order; what a worker is sent is public, or what it is to encrypt.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Final, TypeVar

Progress = Callable[[int, int], None]
"""Called now and then with the numbers of ciphertexts done and in all.  What it raises ends the
work: that is how to cancel."""

PIECE: Final = 128
"""Ciphertexts per piece: some 20 to 50 ms of encryption at 3072 bits."""

SHARED_FROM: Final = 8 * PIECE
"""Ciphertexts below which workers are not asked: they would take longer to start."""

_IN_FLIGHT: Final = 16
"""Pieces that wait at the workers; bounds the memory of what is pending."""

R = TypeVar("R")
T = TypeVar("T")


def in_pieces(
    task: Callable[[Sequence[T]], R],
    items: Sequence[T],
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> Iterator[R]:
    """``task`` of each piece of ``items``, in order.

    Args:
        task: picklable if the workers are processes.
        workers: None computes here.
    """
    starts = range(0, len(items), PIECE)
    pending: collections.deque[Future[R]] = collections.deque()
    done = 0
    try:
        for start in starts:
            piece = items[start : start + PIECE]
            if workers is None:
                yield task(piece)
            else:
                pending.append(workers.submit(task, piece))
                if len(pending) < _IN_FLIGHT:
                    continue
                yield pending.popleft().result()
            done += 1
            _tell(progress, done * PIECE, len(items))
        while pending:
            yield pending.popleft().result()
            done += 1
            _tell(progress, done * PIECE, len(items))
    finally:
        for future in pending:
            future.cancel()


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(min(done, total), total)
