"""Connecting one command or program, in contrast to a daemon, to its coordinator.

Starts from the party's mirror on disk if a daemon keeps one (so that a log that was cut since is
noticed) and keeps what is new in memory.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from stayput.client import Client
from stayput.daemon import clock
from stayput.identity import Identity, load_identity, load_members
from stayput.replica import Replica
from stayput.rpc.client import GrpcLink
from stayput.store.journal import Journal, MemoryMirror


@contextlib.contextmanager
def connection(home: Path) -> Iterator[tuple[Identity, Replica, GrpcLink]]:
    """A verified replica and a link for one command."""
    identity, members = load_identity(home), load_members(home)
    with GrpcLink(identity, members) as link:
        replica = Replica(members, _mirror(home))
        replica.catch_up(link)
        yield identity, replica, link


def _mirror(home: Path) -> MemoryMirror:
    if not (home / "journal.db").exists():
        return MemoryMirror()
    with contextlib.closing(Journal(home / "journal.db")) as journal:
        return MemoryMirror(*journal.load())


def connect_user(home: Path) -> Client:
    """A client; its mirror is kept on disk, so history cannot be cut between two commands."""
    identity, members = load_identity(home), load_members(home)
    journal = Journal(home / "journal.db")
    link = GrpcLink(identity, members)

    def close() -> None:
        link.close()
        journal.close()

    try:
        replica = Replica(members, journal)
        replica.catch_up(link)
    except BaseException:
        close()
        raise
    return Client(identity, replica, link, clock, time.monotonic, secrets.token_bytes, close)
