"""Which rows were there when an earlier question was answered.

A row is what a question can see of it: the values of the columns that its statement reads.  A
*snapshot* is the multiset of these rows, each as 64 bits of a keyed hash with its number, sealed
under the holder's lineage key before it leaves the staging process.  So when the same or another
question is asked after the file changed, the staging process counts how many of the rows in both
answers are the same: as many copies of a row as there were then, and are now.

Keyed hashes are data about rows.  They leave the process encrypted, the node keeps them so
(:mod:`stayput.store.lineage`), and destroying the lineage key makes them unreadable.

64 bits: of ten million different rows two collide with probability 3 in a million; then one row too
many is taken for an old one.  MD5 is no longer a collision-resistant hash; here its input has a
secret of 32 bytes in front, and whoever could choose rows to collide owns the rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Callable, Sequence

import duckdb
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stayput import documents
from stayput.engines.contract import SOURCE

# S608: the text is made of our own names, SQL rendered from the typed tree, and a key in hex.

Value = int | str | bool | None

THEN = "stayput_then"

_NONCE = 12
_BYTES = 12  # of a row in a snapshot: 8 of its hash, 4 of how often it is there


class Unreadable(Exception):
    """A snapshot was altered, or sealed under another key."""


@documents.document("stayput.staging.Sharing")
@dataclasses.dataclass(frozen=True)
class Sharing:
    """One earlier answer to compare with.

    ``sql`` counts rows that both are about; ``by_row`` does so per ``identity``, for when the file
    has changed since; ``keys`` and ``pairs`` are the numbers of their columns.  ``columns`` are
    those that the earlier statement reads.

    With ``people`` they count units, of rows in which the answers differ, and the snapshot is that
    of the one before; ``by_row`` then has rows of the new answer and those of both, per identity
    and unit.  Rows that are gone are nobody's: of them there is but the hash.
    """

    sql: str
    by_row: str
    keys: int
    pairs: int
    columns: tuple[str, ...]
    people: bool = False


@documents.document("stayput.staging.Lineage")
@dataclasses.dataclass(frozen=True)
class Lineage:
    """What a staging does beside earlier answers, and whether to take a snapshot for later ones.

    ``columns`` are those that the present statement reads.
    """

    key: bytes = dataclasses.field(repr=False)
    sharing: tuple[Sharing, ...]
    columns: tuple[str, ...]
    take: bool


Run = Callable[[str], list[tuple[Value, ...]]]


def compare(
    connection: duckdb.DuckDBPyConnection, lineage: Lineage, snapshots: Sequence[bytes], run: Run
) -> list[list[tuple[Value, ...]]]:
    """Rows shared with each earlier answer: keys of the joint grid, then the number of each pair.

    Args:
        connection: with the relation :data:`~stayput.engines.contract.SOURCE`.
        snapshots: of each, its sealed snapshot; empty if the file has not changed since.
        run: executes a query and gives its rows.

    Raises:
        Unreadable: a snapshot does not open.
    """
    found = []
    last = b""
    for sharing, sealed in zip(lineage.sharing, snapshots, strict=True):
        last = last if sharing.people else sealed
        if last:
            found.append(_changed(connection, lineage.key, sharing, last, run))
        else:
            found.append(run(sharing.sql))
    return found


def _changed(
    connection: duckdb.DuckDBPyConnection, key: bytes, sharing: Sharing, sealed: bytes, run: Run
) -> list[tuple[Value, ...]]:
    identities, numbers = _open(sealed, key, sharing.columns)
    connection.register(THEN, {"identity": identities, "present": numbers})
    try:
        return run(_people_sql(sharing, key) if sharing.people else _matching_sql(sharing, key))
    finally:
        connection.unregister(THEN)


def _matching_sql(sharing: Sharing, key: bytes) -> str:
    """Of the copies of a row as many are old ones as there were; the first cells get them."""
    keys = [f"key_{i}" for i in range(sharing.keys)]
    pairs = range(sharing.pairs)
    source = f"(SELECT *, {_identity(sharing.columns, key)} AS identity FROM {SOURCE})"  # noqa: S608
    grouped = sharing.by_row.replace(f'FROM "{SOURCE}"', f"FROM {source}")
    order = f" ORDER BY {', '.join(keys)} ROWS UNBOUNDED PRECEDING" if keys else ""
    until = [f"SUM(shared_{i}) OVER (PARTITION BY identity{order}) AS until_{i}" for i in pairs]
    old = [
        f"CAST(COALESCE(SUM(LEAST(shared_{i}, GREATEST(present - (until_{i} - shared_{i}), 0))), 0)"
        f" AS HUGEINT) AS shared_{i}"
        for i in pairs
    ]
    inner = f"SELECT *, {', '.join(until)} FROM ({grouped}) JOIN {THEN} USING (identity)"  # noqa: S608
    text = f"SELECT {', '.join([*keys, *old])} FROM ({inner})"  # noqa: S608
    return f"{text} GROUP BY {', '.join(keys)}" if keys else text


def _people_sql(sharing: Sharing, key: bytes) -> str:
    """Units that have more rows in the new answer than were in the old one."""
    keys = [f"key_{i}" for i in range(sharing.keys)]
    pairs = range(sharing.pairs)
    source = f"(SELECT *, {_identity(sharing.columns, key)} AS identity FROM {SOURCE})"  # noqa: S608
    grouped = sharing.by_row.replace(f'FROM "{SOURCE}"', f"FROM {source}")
    order = f"ORDER BY {', '.join([*keys, 'unit'])} ROWS UNBOUNDED PRECEDING"
    until = [f"SUM(shared_{i}) OVER (PARTITION BY identity {order}) AS until_{i}" for i in pairs]
    new = [
        f"COUNT(DISTINCT unit) FILTER (WHERE mine_{i} > LEAST(shared_{i}, "
        f"GREATEST(COALESCE(present, 0) - (until_{i} - shared_{i}), 0))) AS units_{i}"
        for i in pairs
    ]
    inner = f"SELECT *, {', '.join(until)} FROM ({grouped}) LEFT JOIN {THEN} USING (identity)"  # noqa: S608
    text = f"SELECT {', '.join([*keys, *new])} FROM ({inner})"  # noqa: S608
    return f"{text} GROUP BY {', '.join(keys)}" if keys else text


def take(connection: duckdb.DuckDBPyConnection, lineage: Lineage) -> bytes:
    """The sealed snapshot of the present rows, for :func:`compare` at a later time."""
    names = ", ".join(f'"{name}"' for name in lineage.columns)
    rows = f"SELECT {names or 'TRUE AS nothing'}, COUNT(*) AS present FROM {SOURCE} GROUP BY ALL"  # noqa: S608
    found = connection.execute(
        f"SELECT {_identity(lineage.columns, lineage.key)} AS identity, "  # noqa: S608
        f"CAST(LEAST(present, 4294967295) AS UINTEGER) AS present FROM ({rows})"
    ).fetchnumpy()
    identities = np.asarray(found["identity"], dtype="<u8")
    numbers = np.asarray(found["present"], dtype="<u4")
    nonce = secrets.token_bytes(_NONCE)
    plain = identities.tobytes() + numbers.tobytes()
    return nonce + _cipher(lineage.key).encrypt(nonce, plain, _bound_to(lineage.columns))


def _open(
    sealed: bytes, key: bytes, columns: Sequence[str]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    try:
        plain = _cipher(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound_to(columns))
    except (InvalidTag, ValueError):
        raise Unreadable from None
    count, rest = divmod(len(plain), _BYTES)
    if rest:
        raise Unreadable
    identities = np.frombuffer(plain, dtype="<u8", count=count)
    numbers = np.frombuffer(plain, dtype="<u4", offset=8 * count).astype(np.int64)
    return identities, numbers


def _identity(columns: Sequence[str], key: bytes) -> str:
    """SQL of a row's hash: each value with its length in front, so no two rows read the same."""
    secret = hashlib.sha256(b"stayput/v1/row-identity\x00" + key).hexdigest()
    values = [
        f"COALESCE(LENGTH(CAST(\"{name}\" AS VARCHAR)) || ':' || CAST(\"{name}\" AS VARCHAR), '-')"
        for name in columns
    ]
    return f"md5_number_lower({' || '.join([_quoted(secret), *values])})"


def _quoted(text: str) -> str:
    return f"'{text}'"


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(hashlib.sha256(b"stayput/v1/row-snapshot\x00" + key).digest())


def _bound_to(columns: Sequence[str]) -> bytes:
    return "\x00".join(columns).encode()
