"""The local engine: DuckDB in memory, locked down, over one file.

The lock comes in layers, and this module is the inner one: no temporary files, no extensions, no
Python variables as tables, no file but the one source, no change of settings.  It holds against the
SQL it is given.  Against a bug in DuckDB itself there is the staging process around it
(:mod:`stayput.staging`), which the kernel confines.

DuckDB's error texts quote cell values.  None leaves this module: every failure is an
:class:`EngineFailure` with a code.  Sums are exact: results are Python integers from BIGINT and
HUGEINT columns, and a result column of any other type than whole number, text or truth value is
refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb

from stayput.engines import contract as contracts
from stayput.engines import snapshots as lineages
from stayput.engines.contract import Kind, SourceDoesNotFit, Violation
from stayput.engines.snapshots import Lineage
from stayput.engines.source import SourceSpec
from stayput.engines.sqlite import (
    NoSuchTable,
    SqliteTable,
    UnfinishedWrites,
    refuse_unfinished_writes,
)
from stayput.scenario import TableContract

__all__ = [
    "Aggregated",
    "EngineCode",
    "EngineFailure",
    "SourceSpec",
    "aggregate",
    "connect",
    "lock",
    "read_rows",
]

FETCH_ROWS = 1000


class EngineCode(enum.Enum):
    """Why an aggregation failed; all that is ever said about it."""

    SOURCE_UNREADABLE = 1
    SOURCE_MALFORMED = 2
    SOURCE_BUSY = 3  # unfinished writes beside a SQLite file
    SOURCE_CHANGED = 4
    NO_SUCH_TABLE = 5
    OUT_OF_MEMORY = 6
    FORBIDDEN = 7  # the statement tried what the lock forbids
    STATEMENT = 8  # the statement is no valid SQL over the source
    RESULT_SHAPE = 9  # a result column is neither whole number, text nor truth value
    TOO_MANY_GROUPS = 10
    INTERNAL = 11
    SNAPSHOT = 12  # what is kept of the rows of an earlier answer does not open


class EngineFailure(Exception):
    """An aggregation failed; a code and nothing from the data."""

    def __init__(self, code: EngineCode) -> None:
        super().__init__(code.name)
        self.code = code


Value = int | str | bool | None


def connect(memory_limit_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """A database in memory that spills nothing, loads nothing and sees no Python variable."""
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_limit_mb}MB",
            "threads": threads,
            "temp_directory": "",  # a spill would write rows in clear, and survive a kill
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
            "enable_external_file_cache": False,  # one pass over the file; a cache only costs
            "preserve_insertion_order": False,  # sums have no order; less is held back in memory
        },
    )


def lock(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Allow one file, forbid everything else, and freeze the settings."""
    connection.execute(f"SET allowed_paths=[{_text(path)}]")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")


@dataclasses.dataclass(frozen=True, repr=False)
class Aggregated:
    """What leaves the engine: ``rows`` of the statement; of each earlier answer, rows that both are
    about; a sealed snapshot, if one was asked for."""

    rows: list[tuple[Value, ...]]
    shared: list[list[tuple[Value, ...]]] = dataclasses.field(default_factory=list)
    snapshot: bytes = b""


def aggregate(
    connection: duckdb.DuckDBPyConnection,
    source: SourceSpec,
    contract: TableContract,
    used: Sequence[str],
    sql: str,
    *,
    max_groups: int,
    lineage: Lineage | None = None,
    snapshots: Sequence[bytes] = (),
) -> Aggregated:
    """Check the source against its contract, then run the statement over it.

    Args:
        connection: from :func:`connect`; it is locked here and good for this one use.
        source: the holder's file.
        contract: the declared table.
        used: names of the declared columns that the statement uses.
        sql: node SQL over ``stayput_source``.
        max_groups: more result rows are refused.
        lineage: what to find out beside earlier answers (:mod:`stayput.engines.snapshots`).
        snapshots: sealed, one for each of these, empty where the file has not changed since.

    Returns:
        The result rows: whole numbers as ``int``, whatever their size, text and truth values.

    Raises:
        SourceDoesNotFit: the source violates the contract.
        EngineFailure: anything else; its code is all that is known.
    """
    with _reading(connection, source, contract, used, again=lineage is not None):

        def run(text: str) -> list[tuple[Value, ...]]:
            return _fetch(connection, text, max_groups)

        found = Aggregated(run(sql))
        if lineage is not None:
            shared = lineages.compare(connection, lineage, snapshots, run)
            kept = lineages.take(connection, lineage) if lineage.take else b""
            found = Aggregated(found.rows, shared, kept)
    return found


def read_rows(
    connection: duckdb.DuckDBPyConnection,
    source: SourceSpec,
    contract: TableContract,
    used: Sequence[str],
    sql: str,
    take: Callable[[Sequence[tuple[Value, ...]]], None],
) -> None:
    """Check the source against its contract, then hand over the statement's rows in batches.

    For rows that stay in this process: of joins.

    Args:
        take: called with up to :data:`FETCH_ROWS` rows at a time, in no particular order.
        connection, source, contract, used, sql: as for :func:`aggregate`.

    Raises:
        SourceDoesNotFit, EngineFailure: as there.
    """
    with _reading(connection, source, contract, used, again=False):
        for batch in _batches(connection, sql):
            take(batch)


@contextlib.contextmanager
def _reading(
    connection: duckdb.DuckDBPyConnection,
    source: SourceSpec,
    contract: TableContract,
    used: Sequence[str],
    *,
    again: bool,
) -> Iterator[None]:
    """Inside, the source is checked and there to be queried; what goes wrong becomes a code."""
    before = _fingerprint(source.path)
    table = None
    try:
        if source.format == "sqlite":
            refuse_unfinished_writes(source.path)
            table = SqliteTable(source.path, source.table)
        lock(connection, source.path)
        _prepare(connection, source, table, contract, used, again=again)
        yield
    except duckdb.Error as error:
        raise EngineFailure(_code(error)) from None
    except sqlite3.Error:
        raise EngineFailure(EngineCode.SOURCE_MALFORMED) from None
    except lineages.Unreadable:
        raise EngineFailure(EngineCode.SNAPSHOT) from None
    except UnfinishedWrites:
        raise EngineFailure(EngineCode.SOURCE_BUSY) from None
    except NoSuchTable:
        raise EngineFailure(EngineCode.NO_SUCH_TABLE) from None
    except MemoryError:
        raise EngineFailure(EngineCode.OUT_OF_MEMORY) from None
    finally:
        if table is not None:
            table.close()
    if _fingerprint(source.path) != before:
        raise EngineFailure(EngineCode.SOURCE_CHANGED)  # checked rows may not be the ones read


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    source: SourceSpec,
    table: SqliteTable | None,
    contract: TableContract,
    used: Sequence[str],
    *,
    again: bool,
) -> None:
    """Check the source and make the relation that statements read; ``again``: more than once."""
    if table is not None:
        actual = dict.fromkeys(table.columns, "VARCHAR")
        matched = contracts.match_columns(contract, actual, used)
        wanted = tuple(matched[name] for name in used)
        _register(connection, table, wanted)
        _check(connection, source, contract, used, actual)
        _register(connection, table, wanted)  # a stream is read once
        if again:
            connection.execute(f"CREATE TEMP TABLE stayput_copy AS FROM {contracts.RAW}")
            connection.unregister(contracts.RAW)
            connection.execute(f"CREATE TEMP VIEW {contracts.RAW} AS FROM stayput_copy")
    else:
        connection.execute(f"CREATE TEMP VIEW {contracts.RAW} AS FROM {_reader(source)}")
        described = connection.execute(f"DESCRIBE {contracts.RAW}").fetchall()
        actual = {str(row[0]): str(row[1]) for row in described}
        contracts.match_columns(contract, actual, used)
        _check(connection, source, contract, used, actual)
    connection.execute(contracts.source_view_sql(contract, actual, used))


def _reader(source: SourceSpec) -> str:
    if source.format == "parquet":
        # A folder named year=2013 must not become a column.
        return f"read_parquet({_text(source.path)}, hive_partitioning=false)"
    if source.format == "csv":
        # All text: what a number is decides the contract, not a guess from the first rows.
        return (
            f"read_csv({_text(source.path)}, all_varchar=true, header=true, "
            "hive_partitioning=false, ignore_errors=false, store_rejects=false)"
        )
    raise EngineFailure(EngineCode.SOURCE_UNREADABLE)


def _check(
    connection: duckdb.DuckDBPyConnection,
    source: SourceSpec,
    contract: TableContract,
    used: Sequence[str],
    actual: dict[str, str],
) -> None:
    """Raise SourceDoesNotFit unless every row fits.

    Of a Parquet file, statistics answer what they can.  They are the holder's own: wrong ones make
    its own part wrong, as wrong rows would, and sums beyond the declared bounds are still refused
    before anything is encrypted.
    """
    wanted = contracts.checks(contract, actual, used)
    if source.format == "parquet":
        sql, narrow = contracts.extremes_sql(contract, actual, used)
        (row,) = connection.execute(sql).fetchall()
        _verify_rows(contract, row[0])
        wanted = contracts.unproven(contract, used, narrow, row, wanted)
        if not wanted:
            return
    (counts,) = connection.execute(contracts.count_sql(wanted)).fetchall()
    _verify_rows(contract, counts[0])
    found = [
        Violation(check.kind, check.column, rows)
        for check, rows in zip(wanted, counts[1:], strict=True)
        if rows
    ]
    if found:
        raise SourceDoesNotFit(found)


def _verify_rows(contract: TableContract, rows: int) -> None:
    if rows > contract.max_rows:
        raise SourceDoesNotFit([Violation(Kind.TOO_MANY_ROWS, rows=rows)])


def _register(
    connection: duckdb.DuckDBPyConnection, table: SqliteTable, columns: tuple[str, ...]
) -> None:
    import pyarrow as pa  # noqa: PLC0415 - only SQLite sources pay for it

    names = columns or ("stayput_row",)
    schema = pa.schema([(name, pa.string()) for name in names])

    def stream() -> Iterator[Any]:
        for batch in table.batches(columns):
            yield pa.record_batch([pa.array(column, pa.string()) for column in batch], schema)

    reader = pa.RecordBatchReader.from_batches(schema, stream())
    connection.register(contracts.RAW, reader)


_KINDS = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), int),
    "VARCHAR": str,
    "BOOLEAN": bool,
}


def _fetch(
    connection: duckdb.DuckDBPyConnection, sql: str, max_groups: int
) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    for batch in _batches(connection, sql):
        rows += batch
        if len(rows) > max_groups:
            raise EngineFailure(EngineCode.TOO_MANY_GROUPS)
    return rows


def _batches(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> Iterator[Sequence[tuple[Value, ...]]]:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise EngineFailure(EngineCode.FORBIDDEN)  # the lock lets ATTACH ':memory:' and CREATE pass
    cursor = connection.execute(statements[0])
    kinds = [_KINDS.get(str(column[1])) for column in cursor.description or ()]
    if not kinds or None in kinds:
        raise EngineFailure(EngineCode.RESULT_SHAPE)
    while batch := cursor.fetchmany(FETCH_ROWS):
        yield batch


def _code(error: duckdb.Error) -> EngineCode:
    """The code of a DuckDB error; its text, which may quote rows, ends here."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return EngineCode.OUT_OF_MEMORY
    if isinstance(error, (duckdb.PermissionException, duckdb.IOException)):
        forbidden = isinstance(error, duckdb.PermissionException)
        return EngineCode.FORBIDDEN if forbidden else EngineCode.SOURCE_UNREADABLE
    if isinstance(error, (duckdb.ParserException, duckdb.BinderException)):
        return EngineCode.STATEMENT
    if isinstance(error, (duckdb.CatalogException, duckdb.SyntaxException)):
        return EngineCode.STATEMENT
    if isinstance(error, (duckdb.ConversionException, duckdb.InvalidInputException)):
        return EngineCode.SOURCE_MALFORMED
    return EngineCode.INTERNAL


def _fingerprint(path: str) -> tuple[int, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        raise EngineFailure(EngineCode.SOURCE_UNREADABLE) from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
