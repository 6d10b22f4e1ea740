"""What a holder keeps about its own answers, so that later ones can be compared with them.

Per answered run: the state of the file it was computed from, this holder's own counts, and the
documents that say what was asked.  Per state of a file and set of columns: a snapshot of its rows,
as keyed hashes that are sealed in the staging process (:mod:`stayput.engines.snapshots`).  All is
encrypted under the *lineage key* of its source, which is drawn once, and kept sealed under the
holder's own key.  :meth:`LineageBook.destroy` deletes the key and all that it sealed: then nobody
can compare any more, and later answers are not compared with those before.

Nothing here is sent to anybody.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from sqlite3 import Connection

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stayput import documents
from stayput.errors import NotFound, VerificationError
from stayput.store.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS lineage (source TEXT PRIMARY KEY, key BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS answer (
    run BLOB PRIMARY KEY, source TEXT NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS snapshot (
    source TEXT NOT NULL, state TEXT NOT NULL, columns TEXT NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (source, state, columns)) STRICT
"""

_NONCE = 12


@documents.document("stayput.store.Answered")
@dataclasses.dataclass(frozen=True)
class Answered:
    """One answer of this holder: from which state of the source, its counts row by row in bytes of
    eight, and what was asked."""

    state: str
    counts: bytes
    width: int
    scenario: bytes = dataclasses.field(repr=False)
    order: bytes = dataclasses.field(repr=False)

    def matrix(self) -> list[list[int]]:
        """Cells × counts."""
        numbers = [
            int.from_bytes(self.counts[i : i + 8], "big") for i in range(0, len(self.counts), 8)
        ]
        return [numbers[i : i + self.width] for i in range(0, len(numbers), self.width)]


def answered(
    state: str, counts: Sequence[Sequence[int]], scenario: bytes, order: bytes
) -> Answered:
    """The record of an answer, from cells × counts."""
    data = b"".join(count.to_bytes(8, "big") for row in counts for count in row)
    return Answered(state, data, len(counts[0]), scenario, order)


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is stored together with a contribution."""

    source: str
    answer: Answered
    columns: tuple[str, ...]
    snapshot: bytes  # sealed; empty if there is one of this state already


class LineageBook:
    """The part of a holder's ledger about its answers; see module."""

    def __init__(self, database: Database, cipher: AESGCM) -> None:
        self._database = database
        self._cipher = cipher

    def key(self, source: str) -> bytes:
        """The lineage key of a source, drawn when it is asked for the first time.

        Raises:
            VerificationError: it was altered.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT key FROM lineage WHERE source = ?", (source,)
            ).fetchone()
            if row is None:
                nonce, key = secrets.token_bytes(_NONCE), secrets.token_bytes(32)
                sealed = nonce + self._cipher.encrypt(nonce, key, source.encode())
                connection.execute("INSERT INTO lineage VALUES (?, ?)", (source, sealed))
                return key
        return _opened(self._cipher, row[0], source.encode())

    def keep(self, connection: Connection, run: bytes, kept: Kept, key: bytes) -> None:
        """Store an answer, inside the transaction of its contribution; the first one stays."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + AESGCM(key).encrypt(nonce, documents.encode(kept.answer), run)
        connection.execute(
            "INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", (run, kept.source, sealed)
        )
        if kept.snapshot:
            connection.execute(
                "INSERT OR IGNORE INTO snapshot VALUES (?, ?, ?, ?)",
                (kept.source, kept.answer.state, _listed(kept.columns), kept.snapshot),
            )

    def answers(self, source: str) -> dict[bytes, Answered]:
        """Every answer from a source, by run.

        Raises:
            VerificationError: one was altered.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT run, sealed FROM answer WHERE source = ? ORDER BY rowid", (source,)
            ).fetchall()
        cipher = AESGCM(self.key(source))
        return {
            run: documents.parse(Answered, _opened(cipher, sealed, run)) for run, sealed in rows
        }

    def has_snapshot(self, source: str, state: str, columns: tuple[str, ...]) -> bool:
        """Whether the rows of that state are known as far as these columns go."""
        return self._find(source, state, columns) is not None

    def snapshot(self, source: str, state: str, columns: tuple[str, ...]) -> bytes:
        """The sealed rows of a state.

        Raises:
            NotFound: there are none.
        """
        found = self._find(source, state, columns)
        if found is None:
            raise NotFound("the rows of an earlier answer are not known any more")
        return found

    def _find(self, source: str, state: str, columns: tuple[str, ...]) -> bytes | None:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT sealed FROM snapshot WHERE source = ? AND state = ? AND columns = ?",
                (source, state, _listed(columns)),
            ).fetchone()
        return bytes(row[0]) if row else None

    def destroy(self, source: str) -> int:
        """Delete the key of a source and everything under it. Returns the number of answers."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM lineage WHERE source = ?", (source,))
            connection.execute("DELETE FROM snapshot WHERE source = ?", (source,))
            return connection.execute("DELETE FROM answer WHERE source = ?", (source,)).rowcount


def _listed(columns: tuple[str, ...]) -> str:
    return ",".join(columns)


def _opened(cipher: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)
    except InvalidTag:
        raise VerificationError("what the ledger keeps about an answer was altered") from None
