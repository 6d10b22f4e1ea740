"""A SQLite file that keeps what it has acknowledged.

WAL journal with ``synchronous=FULL``: a committed transaction survives a killed process and a power
cut.  One connection per object, guarded by a lock, so daemons may call from several threads; a
second process (the command line beside a daemon) waits up to :data:`BUSY_SECONDS` for its turn.

What time may mend (a full disk, another process that does not let go) is
:class:`~stayput.errors.Unavailable`: nothing was written, a daemon tries again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from stayput.errors import ConfigurationError, Unavailable

BUSY_SECONDS = 20.0


class Database:
    """An open SQLite file with the given schema.

    Args:
        path: the file; made 0600 if new.
        schema: ``CREATE TABLE IF NOT EXISTS`` statements.

    Raises:
        ConfigurationError: the file is no database, or unreadable.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._lock = threading.RLock()
        self._name = path.name
        try:
            path.touch(mode=0o600, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA secure_delete=ON")
            with self.transaction() as connection:
                for statement in schema.split(";"):
                    connection.execute(statement)
        except (sqlite3.DatabaseError, Unavailable, OSError) as error:
            raise ConfigurationError(
                f"cannot open the state file {path.name}: {error}",
                hint="check the path and its permissions, or restore the file from a backup",
            ) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on leaving normally what was written is on disk.

        Raises:
            Unavailable: the disk is full, or another process does not let go; nothing was written.
            ConfigurationError: the file is damaged.
        """
        with self._lock, self._in_words():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite may have ended it by itself
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read outside a transaction. Raises as :meth:`transaction`."""
        with self._lock, self._in_words():
            yield self._connection

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the state file {self._name} cannot be used now: {error}",
                hint="is the disk full, or does another process hold the file?",
            ) from None
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a mistake of ours
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(
                f"the state file {self._name} is damaged: {error}",
                hint="restore the whole folder from one backup",
            ) from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
