"""Draft a table contract from a file, for its holder to edit.

Reads CSV or Parquet through DuckDB, on the holder's machine, and writes the ``tables:`` part of a
scenario with a comment wherever a person has to decide.  It is a draft: the holder reads it, lowers
grades knowingly, and only then gives it away.

What the draft gives away, since it will be shown to other parties: names and types of columns;
whether NULLs occur; bounds, but rounded outwards to 1, 2 or 5 times a power of ten, so never an
observed extreme except a round one; levels that occur in at least :data:`RARE` rows (rarer ones are
neither listed nor counted exactly); the order of magnitude of the number of rows.  Left out with a
reason: free text, identifiers, dates, and whatever the protocol cannot carry.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb

from stayput.errors import ConfigurationError, InvalidInput
from stayput.scenario import IDENTIFIER, MAX_DECIMALS, MAX_LINE, MAX_NUMBER, UNSHOWABLE

MAX_LISTED_LEVELS = 20
"""A list that a person still reads; more levels are a decision, not a draft."""

RARE = 10
"""A level in fewer rows is not listed: that it occurs at all may point at somebody."""

MAX_DRAFTED_DECIMALS = 6
"""Floats are rounded to at most so many decimals in a draft."""

_AS_IDENTIFIER = "an identifier; to join tables of several holders declare it as type identifier"

_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?")
_DECIMAL_TYPE = re.compile(r"DECIMAL\(\d+,(\d+)\)")
_READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".txt": "read_csv",
    ".gz": "read_csv",
}


@dataclasses.dataclass(frozen=True)
class _Profile:
    """What the draft needs to know of one column of the file."""

    source_name: str
    type: str
    rows: int
    present: int  # not NULL, and finite
    minimum: Any
    maximum: Any
    distinct: int  # approximate
    decimals: int  # floats: decimals that the values use
    numbers: int  # text: values that read as numbers


def describe_source(path: Path, *, table: str = "") -> str:
    """Draft the contract of the table in a file.

    Args:
        path: a CSV or Parquet file.
        table: name of the table; from the file name when empty.

    Returns:
        YAML that :func:`stayput.scenario_file.parse_tables` reads.

    Raises:
        ConfigurationError: the file is not there or cannot be read.
        InvalidInput: no column can be used, or ``table`` is no name.
    """
    name = table or re.sub(r"[^a-z0-9]+", "_", path.name.split(".")[0].lower()).strip("_") or "data"
    if not IDENTIFIER.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name of a table",
            hint="give one: small letters, digits and underscores",
        )
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(
            f"{path.name} is neither CSV nor Parquet", hint="known endings: " + ", ".join(_READERS)
        )
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}", hint="check the path")
    connection = duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    )
    try:
        connection.execute("SET temp_directory = ''")  # rows never spill to disk in clear
        source = f"{reader}({_text(str(path))})"
        connection.execute(f"CREATE VIEW source AS SELECT * FROM {source}")  # noqa: S608 - quoted
        profiles = _profile(connection)
        drafts = [_column(connection, profile) for profile in profiles]
    except duckdb.Error:
        # The engine's own words may quote cells of the file.
        raise ConfigurationError(
            f"{path.name} cannot be read as {path.suffix[1:]}",
            hint="check its form: one header line, one delimiter, UTF-8",
        ) from None
    finally:
        connection.close()
    return _document(name, profiles[0].rows, drafts)


def _profile(connection: duckdb.DuckDBPyConnection) -> list[_Profile]:
    """One pass over the file.

    Raises:
        InvalidInput: the file has no rows.
    """
    columns = connection.execute("DESCRIBE source").fetchall()
    parts = ["COUNT(*)"]
    for source_name, kind, *_ in columns:
        parts += _facts(_identifier(source_name), kind)
    (row,) = connection.execute(f"SELECT {', '.join(parts)} FROM source").fetchall()  # noqa: S608
    if row[0] == 0:
        raise InvalidInput("the file has no rows", hint="a draft needs data to look at")
    return [
        _Profile(source_name, kind, row[0], *row[1 + 6 * i : 7 + 6 * i])
        for i, (source_name, kind, *_) in enumerate(columns)
    ]


def _facts(column: str, kind: str) -> list[str]:
    """SQL of the facts about one column, in the order of :class:`_Profile`."""
    floating = kind in ("DOUBLE", "FLOAT")
    sure = f"FILTER (WHERE isfinite({column}))" if floating else ""
    ordered = floating or kind == "VARCHAR" or _INTEGERS.fullmatch(kind) or "DECIMAL" in kind
    places = " ".join(
        f"WHEN {column} = round({column}, {n}) THEN {n}" for n in range(MAX_DRAFTED_DECIMALS + 1)
    )
    return [
        f"COUNT({column}) {sure}",
        f"MIN({column}) {sure}" if ordered else "NULL",
        f"MAX({column}) {sure}" if ordered else "NULL",
        f"approx_count_distinct({column})" if kind != "BOOLEAN" else "2",
        f"MAX(CASE {places} ELSE {MAX_DRAFTED_DECIMALS + 1} END) {sure}" if floating else "0",
        f"COUNT(TRY_CAST({column} AS DOUBLE))" if kind == "VARCHAR" else "0",
    ]


@dataclasses.dataclass(frozen=True)
class _Draft:
    """Lines of one column; a column that is left out has a reason instead of a body."""

    name: str
    lines: tuple[str, ...] = ()
    reason: str = ""


def _column(connection: duckdb.DuckDBPyConnection, profile: _Profile) -> _Draft:
    if not IDENTIFIER.fullmatch(profile.source_name.lower()):
        return _left_out(profile, "its name is no plain SQL name: rename it in the source")
    if profile.present == 0:
        return _left_out(profile, "it has no values")
    if profile.type == "VARCHAR":
        return _levels(connection, profile)
    return _typed(profile)


def _typed(profile: _Profile) -> _Draft:
    """A column of any type but text."""
    decimal = _DECIMAL_TYPE.fullmatch(profile.type)
    if profile.type == "BOOLEAN":
        return _draft(profile, ["type: boolean"])
    if _INTEGERS.fullmatch(profile.type):
        return _integer(profile)
    if decimal:
        return _number(profile, int(decimal[1]), [])
    if profile.type in ("DOUBLE", "FLOAT"):
        return _float(profile)
    dates = profile.type.startswith(("DATE", "TIME"))
    return _left_out(
        profile,
        "dates are not supported yet: add a year or month column"
        if dates
        else f"type {profile.type} cannot be computed with",
    )


def _integer(profile: _Profile) -> _Draft:
    if profile.present > 2 * RARE and profile.distinct > 0.9 * profile.present:
        return _left_out(profile, "nearly every value differs: " + _AS_IDENTIFIER)
    return _number(profile, 0, [])


def _float(profile: _Profile) -> _Draft:
    decimals = profile.decimals
    comments = []
    if decimals > MAX_DRAFTED_DECIMALS:
        # Sensor-like noise in the last places: a person says how many decimals mean something.
        decimals = 2
        comments.append(
            f"values have more than {MAX_DRAFTED_DECIMALS} decimals: they are rounded to this many"
        )
    return _number(profile, decimals, comments, always_decimal=True)


def _number(
    profile: _Profile, decimals: int, comments: list[str], *, always_decimal: bool = False
) -> _Draft:
    low, high = _round_down(_exact(profile.minimum)), _round_up(_exact(profile.maximum))
    if decimals > MAX_DECIMALS or max(abs(low), abs(high)) * 10**decimals > MAX_NUMBER:
        return _left_out(profile, "its numbers are too large or too fine: use a coarser unit")
    if decimals == 0 and not always_decimal:
        kind, places = "type: integer", []
    else:
        kind, places = "type: decimal", [f"decimals: {decimals}"]
        low, high = _at_least_unit(low, decimals, down=True), _at_least_unit(high, decimals)
    notes = [f"# {comment}" for comment in comments]
    bounds = [f"min: {_plain(low)}", f"max: {_plain(high)}"]
    return _draft(profile, [kind, *notes, *places, *bounds, "# unit: …  (such as min or EUR)"])


def _levels(connection: duckdb.DuckDBPyConnection, profile: _Profile) -> _Draft:
    column = _identifier(profile.source_name)
    if profile.distinct > 4 * MAX_LISTED_LEVELS:
        return _too_many(profile)
    found = connection.execute(
        f"SELECT {column}, COUNT(*) FROM source WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 1"  # noqa: S608
    ).fetchall()
    if len(found) > MAX_LISTED_LEVELS:
        return _too_many(profile)
    listed = [level for level, rows in found if rows >= RARE and _listable(level)]
    if not listed:
        return _left_out(profile, f"no value occurs in {RARE} rows or more")
    lines = ["type: level"]
    if len(listed) < len(found):
        lines.append(f"# values in fewer than {RARE} rows, or unprintable, are not listed: that")
        lines.append("# they occur at all may point at somebody; they count in the cell __other__")
    lines.append("# whoever sees this list learns that these values occur at some holder")
    lines.append("levels: [" + ", ".join(json.dumps(v, ensure_ascii=False) for v in listed) + "]")
    lines.append("outside: other")
    return _draft(profile, lines)


def _too_many(profile: _Profile) -> _Draft:
    if profile.numbers > profile.present / 2:
        return _left_out(
            profile,
            "numbers mixed with words, such as NA for missing ones: say so in the source",
        )
    if profile.present > 2 * RARE and profile.distinct > 0.9 * profile.present:
        return _left_out(profile, "nearly every value differs: free text, or " + _AS_IDENTIFIER)
    return _left_out(
        profile,
        f"text with more than {MAX_LISTED_LEVELS} values: to use it, write"
        "  type: level  and list the levels, or group them in the source",
    )


def _listable(level: str) -> bool:
    return (
        len(level) <= MAX_LINE
        and level == level.strip() != ""
        and not (UNSHOWABLE.search(level) or "\n" in level or level == "__other__")
    )


def _draft(profile: _Profile, lines: Iterable[str]) -> _Draft:
    nulls = ["nullable: true"] if profile.present < profile.rows else []
    # Lowering a grade is the holder's decision: nobody reads a grade that is already low.
    grade = "grade: sensitive  # lower to internal or public only if you mean it"
    return _Draft(profile.source_name.lower(), (*lines, *nulls, grade))


def _left_out(profile: _Profile, reason: str) -> _Draft:
    return _Draft(UNSHOWABLE.sub("?", profile.source_name).replace("\n", " "), reason=reason)


def _document(table: str, rows: int, drafts: list[_Draft]) -> str:
    if not any(draft.lines for draft in drafts):
        raise InvalidInput(
            "no column of the file can be used",
            hint="; ".join(f"{draft.name}: {draft.reason}" for draft in drafts[:5]),
        )
    lines = [
        "# Draft of a table contract, made from one holder's file. Edit it before you share it:",
        "# remove columns that the question does not need, correct bounds (rounded outwards here;",
        "# a value beyond them stops the run, or write  outside: clip), set units and grades.",
        "tables:",
        f"  {table}:",
        "    at: [this-holder, another-holder]  # edit: every holder of the scenario",
        f"    max_rows: {_plain(_round_up(Fraction(10 * rows)))}  # per holder, with room to grow",
        "    columns:",
    ]
    for draft in drafts:
        if draft.reason:
            lines.append(f"      # {draft.name}: left out, {draft.reason}")
        else:
            lines.append(f"      {draft.name}:")
            lines += [f"        {line}" for line in draft.lines]
    return "\n".join(lines) + "\n"


# --- numbers --------------------------------------------------------------------------------------


def _round_up(value: Fraction) -> Fraction:
    """The least of 0 and ±{1, 2, 5}·10**k that is not below ``value``."""
    if value == 0:
        return value
    power = _power(abs(value))
    steps = [power * step for step in (1, 2, 5, 10)]
    if value > 0:
        return next(step for step in steps if step >= value)
    return -next(step for step in reversed(steps) if step <= -value)


def _round_down(value: Fraction) -> Fraction:
    return -_round_up(-value)


def _power(value: Fraction) -> Fraction:
    """The largest power of ten that is not above ``value`` > 0."""
    power = Fraction(1)
    while power > value:
        power /= 10
    while power * 10 <= value:
        power *= 10
    return power


def _at_least_unit(bound: Fraction, decimals: int, *, down: bool = False) -> Fraction:
    """``bound`` moved outwards to a multiple of the last declared decimal."""
    scaled = bound * 10**decimals
    whole = scaled.numerator // scaled.denominator
    if not down and whole != scaled:
        whole += 1
    return Fraction(whole, 10**decimals)


def _exact(value: int | float | Decimal) -> Fraction:
    return Fraction(value)


def _plain(value: Fraction) -> str:
    """Digits without exponent; ``value`` has a finite decimal expansion."""
    text = format(Decimal(value.numerator) / Decimal(value.denominator), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
