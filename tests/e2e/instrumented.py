"""A daemon exactly as ``python -m stayput start`` runs it, that a test looks into.

Started as a program.  ``E2E_DUMP`` names a file to which every message of its wire is added, as it
is before TLS; ``E2E_KILL`` (``METHOD DIRECTION NUMBER``) a message at which the process kills
itself with SIGKILL, before anything else happens.
"""

from __future__ import annotations

import os
import signal
import sys

from stayput.cli import main
from stayput.rpc import wire


def dump(path: str) -> wire.WireObserver:
    sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def observe(method: str, direction: wire.Direction, data: bytes) -> None:
        os.write(sink, f"\n{method} {direction.value}\n".encode() + data)

    return observe


def death(at: str) -> wire.WireObserver:
    wanted, way, number = at.split()
    left = int(number)

    def observe(method: str, direction: wire.Direction, data: bytes) -> None:
        nonlocal left
        if (method, direction.value) == (wanted, way):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return observe


if __name__ == "__main__":
    if "E2E_DUMP" in os.environ:
        wire.PROCESS.observe(dump(os.environ["E2E_DUMP"]))
    if "E2E_KILL" in os.environ:
        wire.PROCESS.observe(death(os.environ["E2E_KILL"]))
    sys.exit(main())
