"""The journal: log entries, the newest checkpoint, documents and cosignatures, in one file.

The coordinator's is the log itself; a node's, a checker's or a client's is its mirror.  Entries are
the exact leaf bytes.  Appending entries, their checkpoint and the documents they commit to is one
transaction, so after a crash either all of it is there or none.

A cosigner's journal also remembers the largest tree that each of its keys has cosigned, and the
notes that are not at the coordinator yet (:meth:`Journal.cosign`): both are on disk before a
signature leaves.
"""

from __future__ import annotations

import dataclasses
import enum
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

from stayput.errors import NotFound, VerificationError
from stayput.store.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (position INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS head (
    one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, checkpoint BLOB NOT NULL
    ) STRICT;
CREATE TABLE IF NOT EXISTS document (
    kind TEXT NOT NULL, key BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, key)) STRICT;
CREATE TABLE IF NOT EXISTS evidence (
    position INTEGER PRIMARY KEY, kind TEXT NOT NULL, note BLOB NOT NULL, held BLOB NOT NULL
    ) STRICT;
CREATE TABLE IF NOT EXISTS cosigned (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, time INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS unsent (position INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT
"""

Documents = Mapping[tuple[str, bytes], bytes]
"""(kind, key) -> bytes."""


class Evidence(enum.Enum):
    """What a note that is kept as evidence shows."""

    FORK = "fork"  # the log signed a tree that is none of ours, or one that breaks the rules
    SHRUNK = "shrunk"  # the log showed an older tree as its newest
    COSIGNED = "cosigned"  # a member cosigned another tree than ours


@dataclasses.dataclass(frozen=True)
class Kept:
    """A note that contradicts ours, and the newest checkpoint that was held then."""

    kind: Evidence
    note: bytes
    held: bytes


@dataclasses.dataclass(frozen=True)
class Cosigned:
    """The largest tree that a key of this party has cosigned, and the time that it stated."""

    size: int
    root: bytes
    time: int


Cosigning = Callable[[Mapping[str, Cosigned]], tuple[Mapping[str, Cosigned], tuple[bytes, ...]]]
"""From what each key has cosigned: what each has cosigned then, and the notes to send."""


class Mirror(Protocol):
    """Where a replica keeps what it has verified: on disk, or in memory for one command."""

    def load(self) -> tuple[tuple[bytes, ...], bytes]: ...
    def checkpoint(self) -> bytes: ...
    def append(self, start: int, entries: tuple[bytes, ...], checkpoint: bytes) -> None: ...
    def keep_evidence(self, kind: Evidence, note: bytes) -> None: ...


class Journal:
    """A journal on disk."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    def load(self) -> tuple[tuple[bytes, ...], bytes]:
        """All leaf bytes and their checkpoint, of one moment.

        One transaction: another command of the same party may append in between two reads.
        """
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT leaf FROM entry ORDER BY position").fetchall()
            head = connection.execute("SELECT checkpoint FROM head").fetchone()
        return tuple(leaf for (leaf,) in rows), head[0] if head else b""

    def entries(self) -> Iterator[bytes]:
        """All leaf bytes in order."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT leaf FROM entry ORDER BY position")
            for (leaf,) in rows:
                yield leaf

    def read(self, start: int, limit: int) -> tuple[bytes, ...]:
        """Leaf bytes of at most ``limit`` entries from ``start`` on."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT leaf FROM entry WHERE position >= ? ORDER BY position LIMIT ?",
                (start, limit),
            )
            return tuple(leaf for (leaf,) in rows)

    def checkpoint(self) -> bytes:
        """The newest checkpoint, empty when there is none."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT checkpoint FROM head").fetchone()
        return row[0] if row else b""

    def append(
        self,
        start: int,
        entries: tuple[bytes, ...],
        checkpoint: bytes,
        documents: Documents | None = None,
    ) -> None:
        """Entries from position ``start`` on, their checkpoint and documents, durably and together.

        Two commands of one party may bring the same mirror forward at once: what is there already
        must be the same bytes, and a newer checkpoint is not replaced by an older one.

        Raises:
            VerificationError: other bytes stand at one of the positions, or there is a gap.
        """
        with self._database.transaction() as connection:
            (size,) = connection.execute("SELECT COUNT(*) FROM entry").fetchone()
            held = connection.execute(
                "SELECT leaf FROM entry WHERE position >= ? ORDER BY position LIMIT ?",
                (start, len(entries)),
            ).fetchall()
            if start > size or tuple(leaf for (leaf,) in held) != entries[: len(held)]:
                raise VerificationError("the journal holds other entries at these positions")
            connection.executemany(
                "INSERT INTO entry (position, leaf) VALUES (?, ?)",
                [(start + i, entry) for i, entry in enumerate(entries) if i >= len(held)],
            )
            connection.execute(
                "INSERT INTO head VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET "
                "size = excluded.size, checkpoint = excluded.checkpoint "
                "WHERE excluded.size >= head.size",
                (start + len(entries), checkpoint),
            )
            _insert_documents(connection, documents or {}, "REPLACE")

    def put(self, kind: str, key: bytes, data: bytes) -> None:
        """Store one document, durably; the first one stored under a key stays."""
        self.put_all({(kind, key): data})

    def put_all(self, stored: Documents) -> None:
        """Store several documents, durably and together; what is there already stays."""
        with self._database.transaction() as connection:
            _insert_documents(connection, stored, "IGNORE")

    def replace(self, stored: Documents) -> None:
        """Store several documents, durably and together, in place of what is there."""
        with self._database.transaction() as connection:
            _insert_documents(connection, stored, "REPLACE")

    def keys(self, kind: str) -> tuple[bytes, ...]:
        """Keys of all documents of a kind."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT key FROM document WHERE kind = ? ORDER BY key", (kind,)
            ).fetchall()
        return tuple(key for (key,) in rows)

    def find(self, kind: str, key: bytes) -> bytes | None:
        """A document, or None."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT data FROM document WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
        return row[0] if row else None

    def get(self, kind: str, key: bytes) -> bytes:
        """A document.

        Raises:
            NotFound: there is none.
        """
        data = self.find(kind, key)
        if data is None:
            raise NotFound(f"no {kind} is stored under this key")
        return data

    def forget(self, kind: str, prefix: bytes) -> None:
        """Erase the documents of a kind whose key starts with ``prefix``."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM document WHERE kind = ? AND substr(key, 1, ?) = ?",
                (kind, len(prefix), prefix),
            )

    # --- evidence -----------------------------------------------------------------------------

    def keep_evidence(self, kind: Evidence, note: bytes) -> None:
        """Keep a note that contradicts ours, beside our checkpoint; the same one once."""
        held = self.checkpoint()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO evidence (kind, note, held) SELECT ?1, ?2, ?3 "
                "WHERE NOT EXISTS (SELECT 1 FROM evidence WHERE kind = ?1 AND note = ?2)",
                (kind.value, note, held),
            )

    def evidence(self) -> tuple[Kept, ...]:
        """All that was kept, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT kind, note, held FROM evidence ORDER BY position")
            return tuple(Kept(Evidence(kind), note, held) for kind, note, held in rows)

    # --- cosigning ----------------------------------------------------------------------------

    def cosign(self, decide: Cosigning) -> bool:
        """Decide what to cosign and remember it, durably, before anything is sent.

        One transaction that excludes every other: two processes over one journal cannot both start
        from the smaller size (C2SP tlog-witness: check and update are atomic).

        Returns:
            Whether there is something to send.
        """
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT key, size, root, time FROM cosigned").fetchall()
            cosigned, notes = decide({key: Cosigned(*rest) for key, *rest in rows})
            connection.executemany(
                "INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?)",
                [(key, one.size, one.root, one.time) for key, one in cosigned.items()],
            )
            connection.executemany(
                "INSERT INTO unsent (note) VALUES (?)", [(note,) for note in notes]
            )
        return bool(notes)

    def cosigned(self) -> dict[str, Cosigned]:
        """By key, the largest tree that it has cosigned."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT key, size, root, time FROM cosigned").fetchall()
        return {key: Cosigned(*rest) for key, *rest in rows}

    def unsent(self, limit: int) -> tuple[tuple[int, bytes], ...]:
        """Positions and notes that were not sent yet, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT position, note FROM unsent ORDER BY position LIMIT ?", (limit,)
            )
            return tuple(rows)

    def sent(self, last: int) -> None:
        """Everything up to this position is at the coordinator."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM unsent WHERE position <= ?", (last,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _insert_documents(
    connection: sqlite3.Connection, stored: Documents, on_conflict: Literal["IGNORE", "REPLACE"]
) -> None:
    connection.executemany(
        f"INSERT OR {on_conflict} INTO document VALUES (?, ?, ?)",  # noqa: S608 - a literal
        [(kind, key, data) for (kind, key), data in stored.items()],
    )


class MemoryMirror:
    """A mirror for one command: starts from verified entries, keeps the rest in memory."""

    def __init__(self, entries: tuple[bytes, ...] = (), checkpoint: bytes = b"") -> None:
        self._entries = list(entries)
        self._checkpoint = checkpoint
        self.evidence: list[Kept] = []

    def load(self) -> tuple[tuple[bytes, ...], bytes]:
        return tuple(self._entries), self._checkpoint

    def entries(self) -> Iterator[bytes]:
        yield from self._entries

    def checkpoint(self) -> bytes:
        return self._checkpoint

    def append(self, start: int, entries: tuple[bytes, ...], checkpoint: bytes) -> None:
        if start != len(self._entries):
            raise VerificationError("the mirror does not end where these entries start")
        self._entries.extend(entries)
        self._checkpoint = checkpoint

    def keep_evidence(self, kind: Evidence, note: bytes) -> None:
        self.evidence.append(Kept(kind, note, self._checkpoint))
