"""A holder's rows of a join, read by the confined engine into the process that keeps them.

What does not fit is told as in every staging: columns, kinds and numbers of rows, no value.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stayput.crypto.packing import whole_array
from stayput.engines.contract import Kind, SourceDoesNotFit, Violation
from stayput.engines.duckdb import (
    EngineCode,
    EngineFailure,
    SourceSpec,
    connect,
    read_rows,
)
from stayput.errors import InvalidInput
from stayput.staging.messages import Job, Value
from stayput.vertical.people import People, faults_of, people_of
from stayput.vertical.plan import Joined


def read_people(job: Job, table: Joined) -> People:
    """The people in a source, by the statement of a holder's side of a join.

    Args:
        job: its columns begin with the identifier; its statement gives identifier, group, features.

    Raises:
        SourceDoesNotFit: the source violates its contract, identifiers included.
        EngineFailure: see :mod:`stayput.engines.duckdb`.
    """
    columns = _Columns(table)
    connection = connect(job.memory_limit_mb, job.threads)
    try:
        source = SourceSpec(job.path, job.format, job.table)
        read_rows(connection, source, job.contract, job.columns, job.sql, columns.take)
    finally:
        connection.close()  # and its memory with it
    return columns.people(job.columns[0])


class _Columns:
    """Rows as they come from the engine, kept column by column."""

    def __init__(self, table: Joined) -> None:
        self._table = table
        self._identifiers: list[Any] = []
        # A feature can be a product that leaves 64 bits.
        self._numbers: list[Any] = [
            array("q") if bound < 2**63 else [] for bound in (table.groups, *table.bounds)
        ]

    def take(self, rows: Sequence[tuple[Value, ...]]) -> None:
        """The next rows: identifier, group, features."""
        identifiers, *numbers = zip(*rows, strict=True)
        if len(numbers) != len(self._numbers):
            raise EngineFailure(EngineCode.RESULT_SHAPE)
        self._identifiers += identifiers
        try:
            for kept, more in zip(self._numbers, numbers, strict=True):
                kept.extend(more)
        except (TypeError, OverflowError):
            raise EngineFailure(EngineCode.RESULT_SHAPE) from None

    def people(self, identifier: str) -> People:
        """The people of all rows; ``identifier`` is the name of their column."""
        try:
            groups, *features = map(_array, self._numbers)
        except InvalidInput:
            raise EngineFailure(EngineCode.RESULT_SHAPE) from None
        try:
            return people_of(self._table, self._identifiers, groups, features)
        except InvalidInput:
            faults = faults_of(self._table, self._identifiers, groups, features)
        found = {
            Kind.NO_IDENTIFIER: faults.misfits,
            Kind.REPEATED: faults.repeated,
            Kind.CONTRADICTING: faults.contradicting,
        }
        violations = [Violation(kind, identifier, rows) for kind, rows in found.items() if rows]
        if not violations:
            raise EngineFailure(EngineCode.RESULT_SHAPE)  # values that the contract excludes
        raise SourceDoesNotFit(violations)


def _array(column: Any) -> npt.NDArray[Any]:
    return whole_array(
        np.frombuffer(column, dtype=np.int64) if isinstance(column, array) else column
    )
