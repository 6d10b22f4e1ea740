"""The daemons of a demonstration's consortium, for benchmarks that measure real parties."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import stayput
from stayput.client import Client
from stayput.errors import Unavailable


@contextlib.contextmanager
def daemons(consortium: Path, names: Iterable[str]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """These parties' daemons, by name; told to stop on leaving, their words in ``bench.log``."""
    running = {}
    try:
        for name in names:
            home = consortium / name
            with (home / "bench.log").open("ab") as log:
                command = [sys.executable, "-m", "stayput", "start", "--home", str(home)]
                running[name] = subprocess.Popen(command, stdout=log, stderr=log)
        yield running
    finally:
        for daemon in running.values():
            daemon.send_signal(signal.SIGTERM)
        for daemon in running.values():
            daemon.wait(timeout=60)


def connect(home: Path) -> Client:
    """Connect as soon as the coordinator is up."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return stayput.connect(home)
        except Unavailable:
            if time.monotonic() > deadline:
                raise
