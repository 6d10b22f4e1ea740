"""Connecting one command or program, in contrast to a daemon, to its coordinator.

A rotation of keys that was interrupted is finished first, if the log has it.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from stayput.client import Client
from stayput.daemon import clock, connected
from stayput.identity import Identity, load_identity, load_members
from stayput.replica import Replica
from stayput.rotation import finish_rotation
from stayput.rpc.client import GrpcLink
from stayput.store.journal import Journal


@contextlib.contextmanager
def connection(home: Path) -> Iterator[tuple[Identity, Replica, GrpcLink]]:
    """A verified replica and a link for one command."""
    identity = finish_rotation(load_identity(home), connected)
    with connected(identity) as (replica, link):
        yield identity, replica, link


def connect_user(home: Path) -> Client:
    """A client; its mirror is kept on disk, so history cannot be cut between two commands."""
    identity, members = finish_rotation(load_identity(home), connected), load_members(home)
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
