"""Worker processes of a daemon: they share long computations, and are there only when one comes.

A :class:`Workers` is an executor (``concurrent.futures``) that starts its processes at the first
piece of work and ends them with the daemon.  They are spawned, not forked: a daemon has threads of
gRPC, whose locks a fork would copy in any state.  If the daemon is killed, the kernel ends them.

They are sent what :mod:`stayput.crypto` encrypts: masked numbers and public keys.  Rows, masks and
secret keys are not among it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from stayput.staging.confinement import harden

P = ParamSpec("P")
T = TypeVar("T")


class Workers(Executor):
    """Processes that are started when they are first needed; a context manager ends them.

    Args:
        count: processes; one for each core by default.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = count or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``concurrent.futures.Executor.submit``."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._count, get_context("spawn"), _enter, (os.getpid(),)
            )
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; a later :meth:`submit` starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, *_: object) -> None:
        """What is still at work is of no use to a daemon that ends."""
        self.shutdown(wait=True, cancel_futures=True)


def _enter(parent: int) -> None:
    """First thing in every process: its daemon's signals are not its own, its daemon's end is."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    harden(parent)
