"""A released table against the same SQL on the pooled plain rows.

An independent oracle: DuckDB reads the union of all holders' files and computes the statement as it
stands.  Only a demonstration or a test has those files in one place.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import tokenize

from stayput.scenario import ParameterValue, Statement
from stayput.table import WITHHELD, CellType, ResultTable

PRINTED_DIGITS = 6
"""Significant digits of a printed real number, to which derived values have to agree."""

RELATIVE_ERROR = 1e-9
"""Of derived values: DuckDB computes them in doubles, the protocol in exact fractions."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One released table against the same SQL on the pooled plain rows."""

    statement: str
    rows: int
    exact_cells: int  # counts and sums, equal
    derived_cells: int  # equal to the last printed digit
    withheld_cells: int  # not released, so not compared
    mismatches: tuple[str, ...]


def compare_with_pooled(
    table: ResultTable,
    statement: Statement,
    arguments: Mapping[str, ParameterValue],
    files: Sequence[Path],
) -> Comparison:
    """Compare a released table, cell by cell, with DuckDB's answer on the union of Parquet files.

    Counts and sums have to be equal; derived values to :data:`PRINTED_DIGITS` and within
    :data:`RELATIVE_ERROR`; withheld cells are counted, not compared.  A row that the pooled answer
    does not have may hold nothing but withheld cells, zero counts and NULLs.

    Args:
        arguments: scaled, as in the run order.
    """
    pooled = _pooled_answer(table, statement, arguments, files)
    keys = [index for index, column in enumerate(table.columns) if column.key]
    cells = _Cells(statement.name)
    for row in table.rows():
        group = tuple(row[index] for index in keys)
        expected = pooled.pop(group, None)
        for index, column in enumerate(table.columns):
            if not column.key:
                value = None if expected is None else expected[index]
                cells.compare((*group, column.name), row[index], value, column.type)
    for group in pooled:
        cells.mismatches.append(f"{statement.name}: the row {group} is missing")
    return Comparison(
        statement.name, len(table), cells.exact, cells.derived, cells.withheld,
        tuple(cells.mismatches),
    )  # fmt: skip


class _Cells:
    """Counts of compared cells."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        self.exact = self.derived = self.withheld = 0
        self.mismatches: list[str] = []

    def compare(self, place: tuple[Any, ...], released: Any, pooled: Any, kind: CellType) -> None:
        if released is WITHHELD:
            self.withheld += 1
            return
        if kind is CellType.FLOAT:
            self.derived += 1
            equal = _equal_floats(released, pooled)
        else:
            self.exact += 1
            equal = released == (0 if pooled is None and released is not None else pooled)
        if not equal:
            self.mismatches.append(f"{self.statement} {place}: {released!r}, pooled {pooled!r}")


def _equal_floats(released: float | None, pooled: float | None) -> bool:
    if released is None or pooled is None or math.isnan(pooled):
        return released is None and (pooled is None or math.isnan(pooled))
    same_text = f"{released:.{PRINTED_DIGITS}g}" == f"{pooled:.{PRINTED_DIGITS}g}"
    return same_text and math.isclose(released, pooled, rel_tol=RELATIVE_ERROR, abs_tol=1e-12)


def _pooled_answer(
    table: ResultTable,
    statement: Statement,
    arguments: Mapping[str, ParameterValue],
    files: Sequence[Path],
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    declared = {parameter.name: parameter for parameter in statement.parameters}
    values = {
        name: Decimal(value).scaleb(-declared[name].decimals)
        if type(value) is int and declared[name].decimals
        else value
        for name, value in arguments.items()
    }
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET temp_directory = ''")
        names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
        connection.execute(f"CREATE VIEW flights AS FROM read_parquet([{names}])")
        query = duckdb_parameters(statement.sql, tuple(declared))
        rows = connection.execute(query, values or None).fetchall()
    finally:
        connection.close()
    keys = [index for index, column in enumerate(table.columns) if column.key]
    return {tuple(row[index] for index in keys): row for row in rows}


def duckdb_parameters(sql: str, names: Sequence[str]) -> str:
    """The text with ``:name`` as ``$name``, for declared parameters outside quotes and comments."""
    tokens = tokenize(sql)
    text = sql
    for colon, word in reversed(list(itertools.pairwise(tokens))):
        adjacent = colon.token_type.name == "COLON" and word.start == colon.end + 1
        if adjacent and word.text in names:
            text = text[: colon.start] + "$" + text[colon.end + 1 :]
    return text
