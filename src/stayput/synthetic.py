"""Synthetic rows for rehearsals: made from the table contract alone, from nobody's data.

A rehearsal shows the data user what comes back before anybody is asked.  Values lie inside the
declared bounds and levels; levels are unevenly frequent, so that small cells occur and are seen to
be withheld; nullable columns have NULLs.  Nothing here says anything about real data, and every
table carries the mark :data:`SYNTHETIC_MARK` in its schema metadata.

No I/O and no randomness of its own: the caller hands in the generator.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stayput.scenario import Column, ColumnType, IdentifierKind, TableContract
from stayput.vertical.identifiers import invented

SYNTHETIC_MARK = b"stayput.synthetic"
"""Schema metadata key (value ``true``): whoever shows such a table says so."""

NULL_SHARE = 0.05
"""Share of NULLs in a nullable column: often enough to be met in a small rehearsal."""


def synthetic_rows(contract: TableContract, rows: int, rng: np.random.Generator) -> pa.Table:
    """``rows`` rows that fit the contract.

    Args:
        contract: the declared columns.
        rows: how many rows, at most ``contract.max_rows``.
        rng: where the randomness comes from.

    Returns:
        One column per declared column, in its order and in its own unit (a column in cents of
        euros is a decimal of euros, not a scaled integer): ``string``, ``int64``,
        ``decimal128(38, decimals)`` or ``bool``.

    Raises:
        ValueError: ``rows`` is negative or above ``max_rows``.
    """
    if not 0 <= rows <= contract.max_rows:
        raise ValueError(f"a table of this contract has 0 to {contract.max_rows} rows")
    arrays = [_with_nulls(_values(column, rows, rng), column, rng) for column in contract.columns]
    names = [column.name for column in contract.columns]
    return pa.table(arrays, names=names).replace_schema_metadata({SYNTHETIC_MARK: b"true"})


def is_synthetic(table: pa.Table) -> bool:
    """Does the table carry the mark of :func:`synthetic_rows`?"""
    return (table.schema.metadata or {}).get(SYNTHETIC_MARK) == b"true"


def _values(column: Column, rows: int, rng: np.random.Generator) -> pa.Array:
    if column.type is ColumnType.BOOLEAN:
        return pa.array(rng.integers(0, 2, rows).astype(np.bool_))
    if column.identifier is not None:
        return _people(column.identifier.kind, rows, rng)
    if column.type is ColumnType.LEVEL:
        # Zipf-like: the k-th level about 1/k as often as the first, in an order of its own.
        weights = 1.0 / np.arange(1, len(column.levels) + 1)
        order = rng.permutation(len(column.levels))
        chosen = rng.choice(order, rows, p=weights / weights.sum())
        return pa.array(column.levels, pa.string()).take(pa.array(chosen))
    if column.minimum is None or column.maximum is None:
        raise AssertionError("unreachable: numbers have bounds, checked on construction")
    scaled = rng.integers(column.minimum, column.maximum, rows, dtype=np.int64, endpoint=True)
    if column.type is ColumnType.INTEGER:
        return pa.array(scaled)
    return _fixed_point(scaled, column.decimals)


def _people(kind: IdentifierKind, rows: int, rng: np.random.Generator) -> pa.Array:
    """Four of five invented people, so that tables of so many rows have many in common."""
    chosen = rng.choice(rows + rows // 4, rows, replace=False)
    return pa.array([invented(kind, int(number)) for number in chosen], pa.string())


def _fixed_point(scaled: npt.NDArray[np.int64], decimals: int) -> pa.Array:
    """Scaled integers as decimals, exactly: Arrow keeps a decimal as that 128-bit integer."""
    words = np.empty((len(scaled), 2), dtype="<i8")
    words[:, 0] = scaled
    words[:, 1] = scaled >> 63  # the sign, extended
    return pa.Array.from_buffers(
        pa.decimal128(38, decimals), len(scaled), [None, pa.py_buffer(words.tobytes())]
    )


def _with_nulls(values: pa.Array, column: Column, rng: np.random.Generator) -> pa.Array:
    if not column.nullable:
        return values
    missing = pa.array(rng.random(len(values)) < NULL_SHARE)
    return pc.if_else(missing, pa.scalar(None, values.type), values)
