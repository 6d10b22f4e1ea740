"""The result table: what the data user reads, and what release and log commit to.

A document, so it has exactly one byte string.  Numbers travel as text, exact: an integer or
fixed-point number in full, a real number as the shortest text that reads back as the same double
(Python's ``repr``).  A cell is one of three things that never look alike: a value, SQL's NULL, or
withheld by output checking.

Not here: deciding what is withheld (:mod:`stayput.disclosure`).
"""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from stayput import documents
from stayput.documents import document
from stayput.errors import ConfigurationError


class CellType(enum.Enum):
    """What the texts of a column are."""

    INTEGER = 1
    DECIMAL = 2  # with ``scale`` places
    FLOAT = 3
    TEXT = 4
    BOOLEAN = 5


class CellState(enum.Enum):
    """What a cell is; the letter stands in :attr:`ResultColumn.states`."""

    VALUE = "v"
    NULL = "n"
    WITHHELD = "w"
    OTHER = "o"  # a group key outside its declared values


class Withheld(enum.Enum):
    """The type of :data:`WITHHELD`."""

    WITHHELD = "withheld"

    def __repr__(self) -> str:
        return "WITHHELD"

    def __bool__(self) -> bool:
        return False


WITHHELD = Withheld.WITHHELD
"""Stands in :meth:`ResultTable.rows` for a cell that output checking withheld."""

OTHER_TEXT = "__other__"

PythonValue = int | Decimal | float | str | bool | None | Withheld

MAX_SCALE = 18
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")


@dataclasses.dataclass(frozen=True)
class ResultColumn:
    """A column with its cells; ``key`` marks a group key.

    ``states`` has one letter of :class:`CellState` per row, ``texts`` the texts of those rows that
    hold a value, in order.  So a withheld cell costs one byte.  ``error`` says of a count or sum to
    which holders added noise: in 95 of 100 cells it is off by no more than this.
    """

    name: str
    type: CellType
    scale: int = 0
    key: bool = False
    states: str = ""
    texts: tuple[str, ...] = ()
    error: str = ""

    def __post_init__(self) -> None:
        exact = self.type in (CellType.INTEGER, CellType.DECIMAL) and not self.key
        sound = exact and not self.error.startswith("-") and _is_canonical(self, self.error)
        if self.error and not sound:
            raise ValueError(f"the column {self.name!r} has an error of another type")
        if not self.name:
            raise ValueError("a column has a name")
        if not 0 <= self.scale <= MAX_SCALE:
            raise ValueError(f"a scale is 0 to {MAX_SCALE}")
        if (self.type is CellType.DECIMAL) != (self.scale > 0):
            raise ValueError("decimals, and only decimals, have a scale")
        allowed = {CellState.VALUE, CellState.NULL}
        allowed.add(CellState.OTHER if self.key else CellState.WITHHELD)
        if not set(self.states) <= {state.value for state in allowed}:
            raise ValueError("a group key may be __other__, a measure may be withheld")
        if self.states.count(CellState.VALUE.value) != len(self.texts):
            raise ValueError(f"the column {self.name!r} has another number of texts than of values")
        for text in self.texts:
            if not _is_canonical(self, text):
                raise ValueError(f"the column {self.name!r} has a cell of another type")

    @property
    def values(self) -> list[PythonValue]:
        """The cells as Python values; see :meth:`ResultTable.rows`."""
        texts = iter(self.texts)
        special: dict[str, PythonValue] = {
            CellState.NULL.value: None,
            CellState.WITHHELD.value: WITHHELD,
            CellState.OTHER.value: OTHER_TEXT,
        }
        return [special[s] if s in special else _python(self, next(texts)) for s in self.states]


def column(
    name: str,
    type: CellType,
    cells: Iterable[str | CellState],
    *,
    scale: int = 0,
    key: bool = False,
    error: str = "",
) -> ResultColumn:
    """A column from its cells: a text for a value, else a state."""
    states, texts = [], []
    for cell in cells:
        if isinstance(cell, CellState):
            states.append(cell.value)
        else:
            states.append(CellState.VALUE.value)
            texts.append(cell)
    return ResultColumn(name, type, scale, key, "".join(states), tuple(texts), error)


@dataclasses.dataclass(frozen=True)
class Summary:
    """How much of a table was withheld; cells of measures, not of keys."""

    rows: int
    cells: int
    withheld_cells: int
    withheld_rows: int  # no measure of the row is left

    def __str__(self) -> str:
        return f"{self.withheld_cells} of {self.cells} cells in {self.rows} rows are withheld"


@document("stayput.v1.ResultTable")
@dataclasses.dataclass(frozen=True)
class ResultTable:
    """Columns and rows in declared order; ``synthetic`` marks a rehearsal, ``noisy`` that holders
    added noise to all sums, so that counts may be negative and parts do not add up to wholes."""

    columns: tuple[ResultColumn, ...]
    synthetic: bool = False
    noisy: bool = False

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("a table has columns")
        if not self.noisy and any(column.error for column in self.columns):
            raise ValueError("only a noisy table has errors")
        if len({len(column.states) for column in self.columns}) > 1:
            raise ValueError("all columns have the same number of rows")
        names = [column.name.lower() for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError("two columns have the same name")

    def __len__(self) -> int:
        return len(self.columns[0].states)

    def rows(self) -> list[tuple[PythonValue, ...]]:
        """Rows of Python values; NULL is ``None``, a withheld cell is :data:`WITHHELD`, a group
        key outside its declared values is ``"__other__"``."""
        return list(zip(*(column.values for column in self.columns), strict=True))

    @property
    def summary(self) -> Summary:
        """How much was withheld."""
        measures = [column.states for column in self.columns if not column.key]
        letter = CellState.WITHHELD.value
        return Summary(
            rows=len(self),
            cells=len(self) * len(measures),
            withheld_cells=sum(states.count(letter) for states in measures),
            withheld_rows=sum(set(row) == {letter} for row in zip(*measures, strict=True)),
        )

    def to_arrow(self) -> Any:
        """A ``pyarrow.Table``.

        Withheld cells are null; where a column has some, a column ``<name>__withheld`` of
        booleans tells them from NULL.  Keys other than texts are null in the ``__other__`` cell.
        The schema's metadata says whether the table is ``synthetic`` and whether it is ``noisy``;
        a column's, ``error95``, within what the noise of a count or sum is in 95 of 100 cells.
        """
        # Late: a daemon that only passes documents on does not load pyarrow.
        import pyarrow as pa  # noqa: PLC0415

        fields, arrays = [], []
        for column in self.columns:
            withheld = [state == CellState.WITHHELD.value for state in column.states]
            plain = _plain(column)
            arrays.append(pa.array(plain, type=_arrow_type(pa, column, plain)))
            noted = {"stayput.error95": column.error} if column.error else None
            fields.append(pa.field(column.name, arrays[-1].type, metadata=noted))
            if any(withheld):
                arrays.append(pa.array(withheld, type=pa.bool_()))
                fields.append(pa.field(f"{column.name}__withheld", pa.bool_()))
        marks = {"synthetic": self.synthetic, "noisy": self.noisy}
        metadata = {f"stayput.{name}": "true" if mark else "false" for name, mark in marks.items()}
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` of :meth:`to_arrow`.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401, PLC0415
        except ImportError:
            raise ConfigurationError(
                "pandas is not installed", hint="pip install 'stayput[pandas]', or use to_arrow()"
            ) from None
        return self.to_arrow().to_pandas()


def parse_table(data: bytes) -> ResultTable:
    """Parse untrusted bytes. Raises DocumentError."""
    return documents.parse(ResultTable, data)


def float_text(value: float) -> str:
    """The text of a real number; zero has no sign."""
    return repr(value + 0.0 if value else 0.0)


def _is_canonical(column: ResultColumn, text: str) -> bool:
    if column.type is CellType.INTEGER:
        return _INTEGER.fullmatch(text) is not None
    if column.type is CellType.DECIMAL:
        match = _DECIMAL.fullmatch(text)
        zero = text.startswith("-") and not text.strip("-0.")
        return match is not None and len(text.partition(".")[2]) == column.scale and not zero
    if column.type is CellType.BOOLEAN:
        return text in ("true", "false")
    if column.type is CellType.FLOAT:
        try:
            number = float(text)
        except ValueError:
            return False
        return math.isfinite(number) and float_text(number) == text
    return True


def _python(column: ResultColumn, text: str) -> PythonValue:
    if column.type is CellType.INTEGER:
        return int(text)
    if column.type is CellType.DECIMAL:
        return Decimal(text)
    if column.type is CellType.FLOAT:
        return float(text)
    if column.type is CellType.BOOLEAN:
        return text == "true"
    return text


def _plain(column: ResultColumn) -> list[Any]:
    """Values as Arrow takes them: what is no value of the type is null."""
    plain: list[Any] = []
    for state, value in zip(column.states, column.values, strict=True):
        other = state == CellState.OTHER.value and column.type is not CellType.TEXT
        plain.append(None if other or value is WITHHELD else value)
    return plain


def _arrow_type(pa: Any, column: ResultColumn, plain: list[Any]) -> Any:
    if column.type is CellType.INTEGER:
        wide = any(value is not None and not -(2**63) <= value < 2**63 for value in plain)
        return pa.decimal256(76, 0) if wide else pa.int64()
    if column.type is CellType.DECIMAL:
        return pa.decimal256(76, column.scale)
    return {
        CellType.FLOAT: pa.float64(),
        CellType.TEXT: pa.string(),
        CellType.BOOLEAN: pa.bool_(),
    }[column.type]
