"""A released table against the same question on the pooled plain rows.

An independent oracle: DuckDB reads all holders' files and computes the statement as it stands, a
join included; a model is fitted by numpy to the joined rows.  Only a demonstration or a test has
those files in one place.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet
from sqlglot import tokenize

from stayput.scenario import Model, ParameterValue, Statement, TableContract
from stayput.table import WITHHELD, CellType, ResultTable
from stayput.vertical.identifiers import normalise
from stayput.vertical.models import Term, ask_model

Files = Mapping[str, Sequence[Path]]
"""Parquet files of each table: of all holders, or of the one that has it."""

PRINTED_DIGITS = 6
"""Significant digits of a printed real number, to which derived values have to agree."""

MODEL_ERROR = 1e-8
"""Relative, of coefficients and standard errors: those of the pooled rows are found in doubles."""

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
    files: Files,
    contracts: Sequence[TableContract] = (),
) -> Comparison:
    """Compare a released table, cell by cell, with DuckDB's answer on the pooled Parquet files.

    Counts and sums have to be equal; derived values to :data:`PRINTED_DIGITS` and within
    :data:`RELATIVE_ERROR`; withheld cells are counted, not compared.  A row that the pooled answer
    does not have may hold nothing but withheld cells, zero counts and NULLs.

    Args:
        arguments: scaled, as in the run order.
        contracts: of the tables that are joined, whose identifiers are compared in one form.
    """
    pooled = _pooled_answer(table, statement, arguments, files, contracts)
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
    return cells.comparison(len(table))


def compare_model_with_pooled(
    table: ResultTable, model: Model, files: Files, contracts: Sequence[TableContract]
) -> Comparison:
    """Compare a released model by ordinary least squares with one fitted to the pooled rows.

    Real numbers have to agree within :data:`MODEL_ERROR`, the number of people exactly.
    """
    question = ask_model(model, contracts)
    rows = _joined_rows(model, files, contracts)
    target = np.array([float(v) for v in rows[model.target].to_pylist()])
    design = np.column_stack([_column(term, rows) for term in question.terms])
    # Columns of one length: else the largest decides about all digits.
    lengths = np.linalg.norm(design, axis=0)
    orthogonal, triangle = np.linalg.qr(design / lengths)
    inverse = np.linalg.inv(triangle)
    coefficients = inverse @ (orthogonal.T @ target) / lengths
    residual = target - design @ coefficients
    freedom = len(target) - design.shape[1]
    square = float(residual @ residual)
    errors = np.sqrt(square / freedom * (inverse**2).sum(axis=1)) / lengths
    around = target if model.without_constant else target - target.mean()
    expected = {
        "coefficient": coefficients,
        "standard_error": errors,
        "t": coefficients / errors,
        "people": [len(target)] * len(errors),
        "residual_freedom": [float(freedom)] * len(errors),
        "r_squared": [1 - square / float(around @ around)] * len(errors),
    }
    cells = _Cells(model.name)
    names = [str(name) for name in table.columns[0].values]
    for column in table.columns[1:]:
        for name, value, pooled in zip(names, column.values, expected[column.name], strict=True):
            cells.compare((name, column.name), value, pooled, column.type, MODEL_ERROR)
    if names != [term.name for term in question.terms]:
        cells.mismatches.append(f"{model.name}: its terms are {', '.join(names)}")
    return cells.comparison(len(table))


def _column(term: Term, rows: pa.Table) -> npt.NDArray[np.float64]:
    if not term.of:
        return np.ones(rows.num_rows)
    values = rows[term.of.partition(".")[2]].to_pylist()
    if not term.dummy:
        return np.array([float(value) for value in values])
    level = term.name.partition("=")[2]
    return np.array([float(value is True or value == level) for value in values])


@dataclasses.dataclass(frozen=True)
class Moved:
    """How far noise moved the released cells of one output column."""

    output: str
    cells: int
    median: float
    most: float

    def __str__(self) -> str:
        return (
            f"noise moved {self.output} by {self.median:.4g} in the middle of {self.cells} cells, "
            f"by {self.most:.4g} at most"
        )


def noise_in(
    table: ResultTable,
    statement: Statement,
    arguments: Mapping[str, ParameterValue],
    files: Files,
) -> tuple[Moved, ...]:
    """A noisy table against DuckDB's exact answer on the pooled Parquet files."""
    pooled = _pooled_answer(table, statement, arguments, files, ())
    keys = [index for index, column in enumerate(table.columns) if column.key]
    found = []
    for index, column in enumerate(table.columns):
        if column.key:
            continue
        # Of a group without rows counts are 0, and everything else is NULL.
        nothing = [None if column.type is CellType.FLOAT else 0] * len(table.columns)
        distances = []
        for row in table.rows():
            released: Any = row[index]
            exact = (pooled.get(tuple(row[key] for key in keys)) or nothing)[index]
            if released is not None and released is not WITHHELD and exact is not None:
                distances.append(abs(float(released) - float(exact)))
        if distances:
            middle = statistics.median(distances)
            found.append(Moved(column.name, len(distances), middle, max(distances)))
    return tuple(found)


class _Cells:
    """Counts of compared cells."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        self.exact = self.derived = self.withheld = 0
        self.mismatches: list[str] = []

    def comparison(self, rows: int) -> Comparison:
        return Comparison(
            self.statement, rows, self.exact, self.derived, self.withheld, tuple(self.mismatches)
        )

    def compare(
        self,
        place: tuple[Any, ...],
        released: Any,
        pooled: Any,
        kind: CellType,
        error: float = RELATIVE_ERROR,
    ) -> None:
        if released is WITHHELD:
            self.withheld += 1
            return
        if kind is CellType.FLOAT:
            self.derived += 1
            equal = _equal_floats(released, pooled, error)
        else:
            self.exact += 1
            equal = released == (0 if pooled is None and released is not None else pooled)
        if not equal:
            self.mismatches.append(f"{self.statement} {place}: {released!r}, pooled {pooled!r}")


def _equal_floats(released: float | None, pooled: float | None, error: float) -> bool:
    if released is None or pooled is None or math.isnan(pooled):
        return released is None and (pooled is None or math.isnan(pooled))
    same_text = f"{released:.{PRINTED_DIGITS}g}" == f"{pooled:.{PRINTED_DIGITS}g}"
    return same_text and math.isclose(released, pooled, rel_tol=error, abs_tol=1e-12)


def _pooled_answer(
    table: ResultTable,
    statement: Statement,
    arguments: Mapping[str, ParameterValue],
    files: Files,
    contracts: Sequence[TableContract],
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
        _register(connection, files, contracts)
        query = duckdb_parameters(statement.sql, tuple(declared))
        rows = connection.execute(query, values or None).fetchall()
    finally:
        connection.close()
    keys = [index for index, column in enumerate(table.columns) if column.key]
    return {tuple(row[index] for index in keys): row for row in rows}


def _register(
    connection: duckdb.DuckDBPyConnection, files: Files, contracts: Sequence[TableContract]
) -> None:
    """The pooled tables, by name; the identifiers of joined ones in their one form."""
    connection.execute("SET temp_directory = ''")
    identifiers = {contract.name: contract.identifier for contract in contracts}
    for name, paths in files.items():
        rows = pa.concat_tables([parquet.read_table(path) for path in paths])
        declared = identifiers.get(name)
        if declared is not None and declared.identifier is not None:
            rule = declared.identifier
            one_form = [normalise(value, rule) for value in rows[declared.name].to_pylist()]
            place = rows.schema.get_field_index(declared.name)
            rows = rows.set_column(place, declared.name, pa.array(one_form, pa.binary()))
        connection.register(name, rows)


def _joined_rows(model: Model, files: Files, contracts: Sequence[TableContract]) -> pa.Table:
    connection = duckdb.connect(":memory:")
    try:
        _register(connection, files, contracts)
        first, *others = (f'"{name}"' for name in model.tables)
        joins = "".join(f' JOIN {other} USING ("{model.using}")' for other in others)
        found: pa.Table = connection.sql(f"SELECT * FROM {first}{joins}").to_arrow_table()  # noqa: S608 - declared names
        return found
    finally:
        connection.close()


def duckdb_parameters(sql: str, names: Sequence[str]) -> str:
    """The text with ``:name`` as ``$name``, for declared parameters outside quotes and comments."""
    tokens = tokenize(sql)
    text = sql
    for colon, word in reversed(list(itertools.pairwise(tokens))):
        adjacent = colon.token_type.name == "COLON" and word.start == colon.end + 1
        if adjacent and word.text in names:
            text = text[: colon.start] + "$" + text[colon.end + 1 :]
    return text
