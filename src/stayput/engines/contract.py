"""A holder's file against the table contract: SQL that checks it and SQL that scales it.

Text in, text out: nothing here touches a file or a database.  The relation
:data:`~stayput.sql.SOURCE` that statements read is a view over the raw file in which every number
is a 64-bit integer in units of ``10**-decimals`` inside its declared bounds, every level is a
declared one or ``__other__``, and every truth value is a BOOLEAN.

How a number is scaled: ``floor(x * 10**decimals + 1/2)``, exactly for whole numbers, decimals and
text, in double precision for floating-point columns (so exact only as far as 53 bits go); a column
declared INTEGER must hold whole numbers.  What the contract says about bounds is
said about the scaled number.  Before scaling, numbers are clamped to :data:`CLAMP`, beyond all
bounds that a contract can declare, so nothing here can overflow.

A :class:`Violation` names a column, a kind and a number of rows, never a value.  It is for the
holder's eyes alone.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping, Sequence

from stayput.documents import Int64
from stayput.scenario import Column, ColumnType, IdentifierKind, Outside, TableContract

RAW = "stayput_raw"
"""The relation with the columns as the file has them."""

SOURCE = "stayput_source"
OTHER = "__other__"
# The words of stayput.sql, repeated (tests/engines compares): importing it would load the SQL
# parser into every staging process.

CLAMP = 2 * 10**18
"""Twice the largest bound of a contract (10**18), and inside 64 bits."""

TEXT_SCALE = 18
"""Decimals kept of a number given as text, before rounding: DECIMAL(38,18) has 20 digits left."""

_NARROW = frozenset(
    ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"]
)
_WIDE = frozenset(("UBIGINT", "HUGEINT"))
_FLOAT = frozenset(("FLOAT", "DOUBLE"))
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


class Kind(enum.Enum):
    """What is wrong with a source."""

    MISSING_COLUMN = 1
    AMBIGUOUS_COLUMN = 2  # two columns of the file differ only in case
    WRONG_TYPE = 3
    NULLS = 4
    NOT_A_VALUE = 5  # text that is no number, NaN, infinity, neither true nor false
    NOT_WHOLE = 6
    OUTSIDE_BOUNDS = 7
    UNKNOWN_LEVEL = 8
    TOO_MANY_ROWS = 9
    NO_IDENTIFIER = 10  # does not fit the rule of its column
    REPEATED = 11  # a person in two rows, where that is refused
    CONTRADICTING = 12  # a person in two rows that do not agree


@dataclasses.dataclass(frozen=True)
class Violation:
    """One way in which a source does not fit.

    ``rows`` is the number of rows concerned (of ``TOO_MANY_ROWS``: of all rows); ``found`` has
    names or types from the file's header, never a value.
    """

    kind: Kind
    column: str = ""
    rows: Int64 = 0
    found: tuple[str, ...] = ()


class SourceDoesNotFit(Exception):
    """The source violates the contract; inside the staging process only."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("the source does not fit its contract")
        self.violations = tuple(violations)


@dataclasses.dataclass(frozen=True)
class Check:
    """One count of offending rows: ``SELECT COUNT(*) FILTER (condition)`` of the raw relation."""

    kind: Kind
    column: str
    condition: str


def match_columns(
    contract: TableContract, actual: Mapping[str, str], used: Sequence[str]
) -> dict[str, str]:
    """The file's name of each used column, matched without regard to case.

    Raises:
        SourceDoesNotFit: a column is missing, there twice, or of a type that cannot be read.
    """
    matched, violations = {}, []
    for name in used:
        found = [column for column in actual if column.lower() == name]
        if not found:
            listed = tuple(list(actual)[:MAX_LISTED])
            violations.append(Violation(Kind.MISSING_COLUMN, name, found=listed))
        elif len(found) > 1:
            violations.append(Violation(Kind.AMBIGUOUS_COLUMN, name, found=tuple(found)))
        elif not _readable(contract.column(name), actual[found[0]]):
            listed = (actual[found[0]][:MAX_TYPE_NAME],)
            violations.append(Violation(Kind.WRONG_TYPE, name, found=listed))
        else:
            matched[name] = found[0]
    if violations:
        raise SourceDoesNotFit(violations)
    return matched


MAX_LISTED = 100  # columns of the file that a message lists
MAX_TYPE_NAME = 80  # a type name may carry a whole enumeration, which is data


def source_view_sql(
    contract: TableContract, actual_columns: Mapping[str, str], used: Sequence[str]
) -> str:
    """The statement that makes the relation that node SQL reads.

    Args:
        contract: the declared columns.
        actual_columns: name → DuckDB type of the raw relation's columns.
        used: names of the declared columns that the statement uses.

    Raises:
        SourceDoesNotFit: see :func:`match_columns`.
    """
    matched = match_columns(contract, actual_columns, used)
    items = [
        f"{_expression(contract.column(name), matched[name], actual_columns)} AS {_quote(name)}"
        for name in used
    ]
    # COUNT(*) alone uses no column, but a relation has one.
    listed = ",\n  ".join(items or ["TRUE AS stayput_row"])
    return f"CREATE TEMP VIEW {SOURCE} AS SELECT\n  {listed}\nFROM {RAW}"


def checks(
    contract: TableContract, actual_columns: Mapping[str, str], used: Sequence[str]
) -> list[Check]:
    """Everything that has to be counted before the statement may run."""
    matched = match_columns(contract, actual_columns, used)
    found: list[Check] = []
    for name in used:
        column = contract.column(name)
        found += _checks(column, _quote(matched[name]), actual_columns[matched[name]])
    return found


def count_sql(wanted: Sequence[Check]) -> str:
    """One scan: the number of all rows, then of each check's offending rows."""
    counts = [f"COUNT(*) FILTER ({check.condition})" for check in wanted]
    return f"SELECT {', '.join(['COUNT(*)', *counts])} FROM {RAW}"  # noqa: S608 - names are quoted


def extremes_sql(
    contract: TableContract, actual_columns: Mapping[str, str], used: Sequence[str]
) -> tuple[str, list[str]]:
    """A query that DuckDB answers from a Parquet file's statistics alone, where they exist.

    Returns:
        The SQL and the used columns of whole-number type; the row is ``COUNT(*)``, then
        ``COUNT(c)`` of every used column, then ``MIN(c), MAX(c)`` of each of the latter.
    """
    matched = match_columns(contract, actual_columns, used)
    narrow = [
        name
        for name in used
        if actual_columns[matched[name]] in _NARROW and _is_number(contract.column(name))
    ]
    items = ["COUNT(*)", *(f"COUNT({_quote(matched[name])})" for name in used)]
    for name in narrow:
        items += [f"MIN({_quote(matched[name])})", f"MAX({_quote(matched[name])})"]
    return f"SELECT {', '.join(items)} FROM {RAW}", narrow  # noqa: S608 - names are quoted


def unproven(
    contract: TableContract,
    used: Sequence[str],
    narrow: Sequence[str],
    row: Sequence[int | None],
    wanted: Sequence[Check],
) -> list[Check]:
    """The checks that the answer to :func:`extremes_sql` does not already settle."""
    rows, present = row[0], dict(zip(used, row[1 : 1 + len(used)], strict=True))
    extremes = iter(row[1 + len(used) :])
    inside = {}
    for name in narrow:
        low, high = next(extremes), next(extremes)
        inside[name] = low is None or high is None or _fits(contract.column(name), low, high)
    return [
        check
        for check in wanted
        if not (check.kind is Kind.NULLS and present[check.column] == rows)
        and not (check.kind is Kind.OUTSIDE_BOUNDS and inside.get(check.column, False))
    ]


def _fits(column: Column, low: int, high: int) -> bool:
    minimum, maximum = bounds(column)
    unit: int = 10**column.decimals
    return minimum <= low * unit and high * unit <= maximum


def bounds(column: Column) -> tuple[int, int]:
    """Declared bounds of a number, scaled."""
    assert column.minimum is not None
    assert column.maximum is not None  # the scenario's invariant for numbers
    return column.minimum, column.maximum


# --- sentences for the holder --------------------------------------------------------------------


def sentence(violation: Violation, contract: TableContract, file_name: str) -> str:
    """The violation in words for the holder; declared bounds and names, never a value."""
    if violation.kind is Kind.TOO_MANY_ROWS:
        return (
            f"{file_name} has {violation.rows} rows; "
            f"the contract of table {contract.name!r} allows {contract.max_rows}"
        )
    column = contract.column(violation.column)
    where = f"column {column.name!r} of {file_name}"
    if violation.kind is Kind.MISSING_COLUMN:
        listed = ", ".join(violation.found)
        return f"column {column.name!r} is missing in {file_name}; the file has: {listed}"
    if violation.kind in _OF_THE_HEADER:
        return f"{where} {_of_the_header(violation, column)}"
    rows = "1 row" if violation.rows == 1 else f"{violation.rows} rows"
    return f"{where} has {rows} {_of_the_rows(violation.kind, column)}"


_OF_THE_HEADER = (Kind.AMBIGUOUS_COLUMN, Kind.WRONG_TYPE)


def _of_the_header(violation: Violation, column: Column) -> str:
    found = ", ".join(violation.found)
    if violation.kind is Kind.AMBIGUOUS_COLUMN:
        return f"is there more than once: {found}"
    return f"is of type {found}; the contract says {column.type.name.lower()}"


def _of_the_rows(kind: Kind, column: Column) -> str:
    match kind:
        case Kind.NOT_A_VALUE:
            wanted = "true or false" if column.type is ColumnType.BOOLEAN else "a finite number"
            return f"whose value is not {wanted}"
        case Kind.OUTSIDE_BOUNDS:
            low, high = (_shown(bound, column.decimals) for bound in bounds(column))
            return f"outside {low} … {high}"
        case Kind.UNKNOWN_LEVEL:
            return f"whose value is none of the {len(column.levels)} declared levels"
        case Kind.NO_IDENTIFIER:
            assert column.identifier is not None
            return f"whose value is no {_IDENTIFIERS[column.identifier.kind]}"
    return _CONSTANT[kind]


_CONSTANT = {
    Kind.NULLS: "without a value; the contract does not allow NULL",
    Kind.NOT_WHOLE: "whose value is not a whole number",
    Kind.REPEATED: "about a person who is in an earlier row; the contract refuses duplicates",
    Kind.CONTRADICTING: "about a person who is in an earlier row, with other values",
}

_IDENTIFIERS = {
    IdentifierKind.TEXT: "identifier: it is empty, too long or has characters of no name",
    IdentifierKind.CN_RESIDENT: "resident number (GB 11643)",
    IdentifierKind.CN_ORGANISATION: "unified social credit code (GB 32100)",
    IdentifierKind.LUHN: "number with a Luhn check digit",
    IdentifierKind.IBAN: "IBAN",
    IdentifierKind.LEI: "LEI",
}


def _shown(scaled: int, decimals: int) -> str:
    if decimals == 0:
        return str(scaled)
    whole, rest = divmod(abs(scaled), 10**decimals)
    return f"{'-' if scaled < 0 else ''}{whole}.{rest:0{decimals}d}"


# --- SQL per type --------------------------------------------------------------------------------


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _is_number(column: Column) -> bool:
    return column.type in (ColumnType.INTEGER, ColumnType.DECIMAL)


def _is_text(actual: str) -> bool:
    return actual == "VARCHAR" or actual.startswith("ENUM(")


def _readable(column: Column, actual: str) -> bool:
    whole = actual in _NARROW or actual in _WIDE
    match column.type:
        case ColumnType.LEVEL | ColumnType.IDENTIFIER:
            return whole or _is_text(actual)
        case ColumnType.BOOLEAN:
            return whole or _is_text(actual) or actual == "BOOLEAN"
        case ColumnType.INTEGER | ColumnType.DECIMAL:
            decimal = _DECIMAL.fullmatch(actual)
            return whole or _is_text(actual) or actual in _FLOAT or decimal is not None


def _expression(column: Column, name: str, actual_columns: Mapping[str, str]) -> str:
    raw, actual = _quote(name), actual_columns[name]
    if column.type is ColumnType.LEVEL:
        return _level(column, raw, actual)
    if column.type is ColumnType.BOOLEAN:
        return _truth(raw, actual)
    if column.type is ColumnType.IDENTIFIER:
        # As the file has it: its normal form is made in Python (stayput.vertical.identifiers).
        return raw if actual == "VARCHAR" else f"CAST({raw} AS VARCHAR)"
    scaled = _scaled(column, raw, actual)
    if column.outside is not Outside.CLIP:
        return scaled
    low, high = bounds(column)
    return _between(scaled, str(low), str(high))


def _level(column: Column, raw: str, actual: str) -> str:
    text = raw if actual == "VARCHAR" else f"CAST({raw} AS VARCHAR)"
    if column.outside is not Outside.OTHER:
        return text
    return f"CASE WHEN {text} IS NULL OR {_listed(column, text)} THEN {text} ELSE '{OTHER}' END"


def _listed(column: Column, text: str) -> str:
    return f"{text} IN ({', '.join(_text(level) for level in column.levels)})"


def _truth(raw: str, actual: str) -> str:
    if actual == "BOOLEAN":
        return raw
    return f"TRY_CAST({raw} AS BOOLEAN)"


def _number(raw: str, actual: str) -> tuple[str, int]:
    """An exact decimal of the raw column (NULL if it is no number) and its decimals."""
    decimal = _DECIMAL.fullmatch(actual)
    if decimal is not None and int(decimal[2]) <= TEXT_SCALE:
        return raw, int(decimal[2])
    text = raw if not actual.startswith("ENUM(") else f"CAST({raw} AS VARCHAR)"
    return f"TRY_CAST({text} AS DECIMAL(38,{TEXT_SCALE}))", TEXT_SCALE


def _scaled(column: Column, raw: str, actual: str) -> str:
    """BIGINT, |x| ≤ CLAMP; NULL for NULL and for what is no number."""
    unit = 10**column.decimals
    limit = CLAMP // unit
    if actual in _NARROW or actual in _WIDE:
        if unit == 1 and actual in _NARROW:
            return raw if actual == "BIGINT" else f"CAST({raw} AS BIGINT)"
        wide = f"CAST({raw} AS HUGEINT)"  # so that the limits fit beside any narrower type
        return f"(CAST({_clamped(wide, limit)} AS BIGINT) * CAST({unit} AS BIGINT))"
    if actual in _FLOAT:
        product = f"(CAST({raw} AS DOUBLE) * {unit}e0)"
        finite = f"CASE WHEN isfinite({raw}) THEN {_clamped(product, CLAMP, 'DOUBLE')} END"
        return f"CAST(FLOOR({finite} + 0.5e0) AS BIGINT)"
    number, scale = _number(raw, actual)
    product = f"({_clamped(number, limit, 'DECIMAL(20,0)')} * CAST({unit} AS DECIMAL(10,0)))"
    if scale <= column.decimals:
        return f"CAST({product} AS BIGINT)"  # exact; FLOOR on DECIMAL is five times slower
    return f"CAST(FLOOR({product} + 0.5) AS BIGINT)"


def _clamped(number: str, limit: int, type_name: str = "HUGEINT") -> str:
    low, high = f"CAST({-limit} AS {type_name})", f"CAST({limit} AS {type_name})"
    return _between(number, low, high)


def _between(number: str, low: str, high: str) -> str:
    # Not LEAST and GREATEST: they skip NULL, and a missing value would become a bound.
    return (
        f"CASE WHEN {number} < {low} THEN {low} WHEN {number} > {high} THEN {high} "
        f"ELSE {number} END"
    )


def _checks(column: Column, raw: str, actual: str) -> list[Check]:
    wanted = []
    if not column.nullable:
        wanted.append(Check(Kind.NULLS, column.name, f"{raw} IS NULL"))
    present = f"{raw} IS NOT NULL"
    if column.type is ColumnType.LEVEL:
        if column.outside is Outside.REFUSE:
            text = raw if actual == "VARCHAR" else f"CAST({raw} AS VARCHAR)"
            unknown = f"{present} AND NOT {_listed(column, text)}"
            wanted.append(Check(Kind.UNKNOWN_LEVEL, column.name, unknown))
    elif column.type is ColumnType.BOOLEAN:
        if _is_text(actual):
            wrong = f"{present} AND {_truth(raw, actual)} IS NULL"
            wanted.append(Check(Kind.NOT_A_VALUE, column.name, wrong))
        elif actual != "BOOLEAN":
            wanted.append(Check(Kind.NOT_A_VALUE, column.name, f"{raw} NOT IN (0, 1)"))
    elif column.type is not ColumnType.IDENTIFIER:
        wanted += _number_checks(column, raw, actual)
    return wanted


def _number_checks(column: Column, raw: str, actual: str) -> list[Check]:
    wanted = []
    scaled = _scaled(column, raw, actual)
    whole = actual in _NARROW or actual in _WIDE
    if not whole:
        # A DECIMAL has no NaN: the only values without a scaled form are text and floats.
        invalid = f"{raw} IS NOT NULL AND {scaled} IS NULL"
        wanted.append(Check(Kind.NOT_A_VALUE, column.name, invalid))
    if not whole and column.type is ColumnType.INTEGER:
        number = raw if actual in _FLOAT else _number(raw, actual)[0]
        wanted.append(Check(Kind.NOT_WHOLE, column.name, _fraction(number, actual, scaled)))
    if column.outside is Outside.REFUSE:
        low, high = bounds(column)
        outside = f"{scaled} NOT BETWEEN {low} AND {high}"
        wanted.append(Check(Kind.OUTSIDE_BOUNDS, column.name, outside))
    return wanted


def _fraction(number: str, actual: str, scaled: str) -> str:
    """Whether a number inside the clamp has a fractional part."""
    if actual in _FLOAT:
        return f"isfinite({number}) AND {number} <> FLOOR({number})"
    limit = f"CAST({CLAMP} AS DECIMAL(20,0))"
    inside = f"{number} BETWEEN -{limit} AND {limit}"
    return f"{inside} AND {number} <> {scaled}"
