"""Reading one table of a SQLite file as a stream of text columns.

DuckDB reads SQLite through an extension that its wheel does not contain and that a confined process
could not download.  So the standard library reads, and every value arrives as text, exactly: whole
numbers as digits, floating-point numbers in the shortest form that gives the same number back.  A
BLOB arrives as text that is no number and no level.

The file is opened ``immutable``: no lock, no journal, nothing written beside it.  That would miss
rows still in a write-ahead log, so a file with one that is not empty is refused.
"""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from typing import Any

BATCH_ROWS = 20_000
"""Rows that exist as Python objects at a time."""

BLOB = "\x00blob"


class UnfinishedWrites(Exception):
    """A write-ahead log or rollback journal beside the file is not empty."""


class NoSuchTable(Exception):
    """The file has no table of that name, or several tables and none was named."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        super().__init__("the file has no such table")
        self.tables = tables


def refuse_unfinished_writes(path: str) -> None:
    """Look for writes that have not reached the file itself.

    Raises:
        UnfinishedWrites: there are some.
    """
    for suffix in ("-wal", "-journal"):
        try:
            if os.stat(path + suffix).st_size:
                raise UnfinishedWrites
        except FileNotFoundError:
            continue


class SqliteTable:
    """One table (or view) of a SQLite file, opened read-only.

    Raises:
        NoSuchTable: see there.
        sqlite3.Error: it is no SQLite file.
    """

    def __init__(self, path: str, table: str) -> None:
        quoted = urllib.parse.quote(path)
        self._connection = sqlite3.connect(
            f"file:{quoted}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        try:
            self._connection.execute("PRAGMA temp_store=MEMORY")  # sorting in a view spills nothing
            self._connection.execute("PRAGMA trusted_schema=OFF")
            self._connection.text_factory = _text
            self._name = _quote(self._find(table))
            described = self._connection.execute(f"SELECT * FROM {self._name} LIMIT 0")  # noqa: S608
            self.columns: tuple[str, ...] = tuple(column[0] for column in described.description)
        except (sqlite3.Error, NoSuchTable):
            self._connection.close()
            raise

    def _find(self, table: str) -> str:
        rows = self._connection.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        names = tuple(str(row[0]) for row in rows)
        if table and table in names:
            return table
        if not table and len(names) == 1:
            return names[0]
        raise NoSuchTable(names)

    def batches(self, columns: tuple[str, ...]) -> Iterator[list[list[str | None]]]:
        """The rows in batches, each a list of columns of texts.

        Raises:
            sqlite3.Error: the file is damaged.
        """
        listed = ", ".join(_quote(column) for column in columns) or "1"
        cursor = self._connection.execute(f"SELECT {listed} FROM {self._name}")  # noqa: S608
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield [[_as_text(value) for value in column] for column in zip(*rows, strict=True)]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")  # a bad byte then matches no declared level


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return repr(value) if isinstance(value, (int, float)) else BLOB
