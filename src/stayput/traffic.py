"""What went over one party's wire, from its home folder: kinds and bytes, never content.

A daemon counts into ``wire.json`` (its latest life); every command adds its own to
``wire-commands.json``.  Both together are what the party sent and received.

Not here: the counting itself (:mod:`stayput.rpc.wire`).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stayput.errors import ConfigurationError

DAEMON_FILE = "wire.json"
COMMANDS_FILE = "wire-commands.json"

Counted = dict[str, Any]
"""``method``, ``direction``, ``kind``, ``messages``, ``bytes``, as in the files."""


def add_command_traffic(home: Path, counted: Sequence[Counted]) -> None:
    """Add the counters of one command; several commands may end at once."""
    if not counted or not home.is_dir():
        return
    descriptor = os.open(home / COMMANDS_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        total = _added([*_parse(home / COMMANDS_FILE, file.read()), *counted])
        file.seek(0)
        file.truncate()
        json.dump(total, file, indent=1)


def party_traffic(home: Path) -> list[Counted]:
    """All that went over the wire of the party, by method and direction.

    Raises:
        ConfigurationError: a file is damaged.
    """
    counted: list[Counted] = []
    for path in (home / DAEMON_FILE, home / COMMANDS_FILE):
        if path.exists():
            counted += _parse(path, path.read_text(encoding="utf-8", errors="replace"))
    return sorted(_added(counted), key=lambda one: (one["method"], one["direction"]))


def _parse(path: Path, text: str) -> list[Counted]:
    try:
        counted = json.loads(text) if text else []
        return [
            {
                **{key: str(one[key]) for key in ("method", "direction", "kind")},
                **{key: int(one[key]) for key in ("messages", "bytes")},
            }
            for one in counted
        ]
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f"{path} cannot be read", hint="it holds nothing but counters: move it away"
        ) from None


def _added(counted: Iterable[Counted]) -> list[Counted]:
    """Counters of the same method, direction and kind as one."""
    total: dict[tuple[str, str, str], Counted] = {}
    for one in counted:
        key = (one["method"], one["direction"], one["kind"])
        so_far = total.setdefault(key, {**one, "messages": 0, "bytes": 0})
        so_far["messages"] += one["messages"]
        so_far["bytes"] += one["bytes"]
    return list(total.values())
