"""Settings of a daemon: ``stayput.toml`` in the party's home folder.

One dataclass per section, every key documented at its field; the samples in ``deploy/`` show all of
them.  A missing file means all defaults.  Unknown keys are errors, since a misspelt limit that is
silently ignored is worse than none.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from stayput.approval import NO_CEILING, Ceiling
from stayput.disclosure.floor import NO_FLOOR, OutputFloor
from stayput.engines.source import SourceSpec
from stayput.errors import ConfigurationError
from stayput.privacy import MAX_TOTAL, PICO, Budget, budget_of
from stayput.quota import Quota
from stayput.scenario import IDENTIFIER

T = TypeVar("T")

FILE_NAME = "stayput.toml"

FORMATS = {".parquet": "parquet", ".csv": "csv", ".sqlite": "sqlite", ".db": "sqlite"}
"""Formats of sources by suffix."""


MIN_RETENTION_DAYS = 1096
"""Three years, a leap day in them: who asks what was computed gets an answer for so long."""


@dataclasses.dataclass(frozen=True)
class CoordinatorSettings:
    """Section ``[coordinator]``."""

    run_timeout_seconds: int = 600
    """A run without any progress for this long is failed, so that nobody waits for ever."""

    retention_days: int = 0
    """What stands beside the log about the runs of a scenario (orders, verdicts, encrypted results)
    is erased so many days after the scenario has expired; 0 for never.  No fewer than
    :data:`MIN_RETENTION_DAYS`.  Entries of the log are never erased."""

    held_timeout_seconds: int = 1_209_600
    """The same while persons at the checker have to decide about a result: two weeks."""


@dataclasses.dataclass(frozen=True)
class CheckerSettings:
    """Section ``[checker]``."""

    constant_time: bool = True
    """Open sums in constant time; else 1.4 times as fast, for a machine of the checker's own."""


@dataclasses.dataclass(frozen=True)
class StagingSettings:
    """Section ``[staging]`` of a holder's node."""

    memory_limit_mb: int = 1024
    """Memory of the database engine inside the staging process; it never spills to disk."""

    time_limit_seconds: int = 300
    """A staging process that takes longer is killed and the run refused."""

    require_landlock: bool = True
    """Refuse to stage where the kernel cannot confine the process (Linux 5.13 or newer can)."""

    threads: int = 2
    """Threads of the database engine."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """All sections of ``stayput.toml``."""

    coordinator: CoordinatorSettings = CoordinatorSettings()
    checker: CheckerSettings = CheckerSettings()
    staging: StagingSettings = StagingSettings()
    review: OutputFloor = NO_FLOOR
    ceiling: Ceiling = NO_CEILING
    sources: dict[str, SourceSpec] = dataclasses.field(default_factory=dict)
    """Section ``[sources.TABLE]``: ``path`` (absolute, or relative to the home folder), ``format``
    (``parquet``, ``csv`` or ``sqlite``; from the suffix if left out), ``table`` (for SQLite)."""
    budgets: tuple[Budget, ...] = ()
    """Section ``[budgets.NAME]``, one for each data set that is asked with noise: what all runs of
    all scenarios together may cost, for ever.  ``rho`` (zCDP), or ``epsilon`` and ``delta``, as
    text or number; ``tables`` that show the data set (NAME if left out); ``exact``: whether
    scenarios without noise may ask them besides (no)."""
    quotas: tuple[Quota, ...] = ()
    """Section ``[quotas.NAME]``, one for each data set: how many runs of all scenarios together are
    answered.  ``runs`` of all data users, ``runs_per_user`` of each; ``days`` within which they
    count (left out: for ever); ``tables`` that show the data set (NAME if left out)."""


def load_settings(home: Path) -> Settings:
    """The settings of a home folder.

    Raises:
        ConfigurationError: the file is malformed, or names what does not exist.
    """
    path = home / FILE_NAME
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"cannot read {FILE_NAME}: {error}") from None
    _refuse_unknown(raw, [field.name for field in dataclasses.fields(Settings)], "")
    sources = _sources(raw.get("sources", {}), home)
    coordinator = _section(CoordinatorSettings, raw, "coordinator")
    if 0 < coordinator.retention_days < MIN_RETENTION_DAYS:
        raise ConfigurationError(
            f"coordinator.retention_days in {FILE_NAME} is {coordinator.retention_days}: what was "
            f"computed is answered for at least three years",
            hint=f"write {MIN_RETENTION_DAYS} or more, or 0 to erase nothing",
        )
    return Settings(
        coordinator=coordinator,
        checker=_section(CheckerSettings, raw, "checker"),
        staging=_section(StagingSettings, raw, "staging"),
        review=_section(OutputFloor, raw, "review"),
        ceiling=_section(Ceiling, raw, "ceiling"),
        sources=sources,
        budgets=_budgets(raw.get("budgets", {}), sources),
        quotas=_quotas(raw.get("quotas", {}), sources),
    )


def _section(cls: type[T], raw: dict[str, Any], name: str) -> T:
    values = raw.get(name, {})
    if not isinstance(values, dict):
        raise ConfigurationError(f"[{name}] in {FILE_NAME} is not a section")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    _refuse_unknown(values, list(fields), name)
    for key, value in tuple(values.items()):
        default = fields[key].default
        if isinstance(default, enum.Enum):
            values = {**values, key: _named(type(default), value, f"{name}.{key}")}
            continue
        boolean = isinstance(default, bool)
        least = 0 if default == 0 else 1  # zero only where it switches something off
        if not (isinstance(value, bool) if boolean else type(value) is int and value >= least):
            kind = "true or false" if boolean else f"a whole number, {least} or more"
            raise ConfigurationError(f"{name}.{key} in {FILE_NAME} is {kind}, not {value!r}")
    return cls(**values)


def _named(kind: type[enum.Enum], value: object, where: str) -> enum.Enum:
    names = {member.name.lower(): member for member in kind}
    if not isinstance(value, str) or value not in names:
        words = ", ".join(f'"{word}"' for word in names)
        raise ConfigurationError(f"{where} in {FILE_NAME} is one of {words}, not {value!r}")
    return names[value]


def _refuse_unknown(values: dict[str, Any], known: list[str], where: str) -> None:
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            raise ConfigurationError(
                f"{FILE_NAME} has an unknown key {'.'.join(filter(None, (where, key)))!r}",
                hint=f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known),
            )


def _sources(raw: Any, home: Path) -> dict[str, SourceSpec]:
    if not isinstance(raw, dict):
        raise ConfigurationError(f"[sources] in {FILE_NAME} is not a section")
    return {name: _source(name, value, home) for name, value in raw.items()}


def _source(name: str, raw: Any, home: Path) -> SourceSpec:
    where = f"sources.{name}"
    if not IDENTIFIER.fullmatch(name):
        raise ConfigurationError(f"{name!r} in {FILE_NAME} is no table name")
    if not isinstance(raw, dict) or not isinstance(raw.get("path"), str):
        raise ConfigurationError(f"[{where}] in {FILE_NAME} has no path")
    _refuse_unknown(raw, ["path", "format", "table"], where)
    path = (home / raw["path"]).resolve()
    return source_spec(path, raw.get("format"), raw.get("table", ""))


def _budgets(raw: Any, sources: dict[str, SourceSpec]) -> tuple[Budget, ...]:
    if not isinstance(raw, dict):
        raise ConfigurationError(f"[budgets] in {FILE_NAME} is not a section")
    budgets = tuple(_budget(name, value) for name, value in raw.items())
    _refuse_two("privacy budget", {one.name: one.tables for one in budgets}, sources)
    return budgets


def _quotas(raw: Any, sources: dict[str, SourceSpec]) -> tuple[Quota, ...]:
    if not isinstance(raw, dict):
        raise ConfigurationError(f"[quotas] in {FILE_NAME} is not a section")
    quotas = tuple(_quota(name, value) for name, value in raw.items())
    _refuse_two("quota", {one.name: one.tables for one in quotas}, sources)
    return quotas


def _quota(name: str, raw: Any) -> Quota:
    where = f"[quotas.{name}] in {FILE_NAME}"
    if not IDENTIFIER.fullmatch(name):
        raise ConfigurationError(f"{name!r} in {FILE_NAME} is no name of a quota")
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{where} is not a section")
    numbers = ["runs", "runs_per_user", "days"]
    _refuse_unknown(raw, [*numbers, "tables"], f"quotas.{name}")
    for key in numbers:
        value = raw.get(key, 1)
        if type(value) is not int or value < 1:
            raise ConfigurationError(
                f"{key} of {where} is a whole number, 1 or more",
                hint="leave out what is not to be limited",
            )
    if not {"runs", "runs_per_user"} & set(raw):
        raise ConfigurationError(
            f"{where} limits nothing", hint="write  runs_per_user = 50  or  runs = 200"
        )
    given = {key: raw[key] for key in numbers if key in raw}
    return Quota(name, _tables(raw, name, where), **given)


def _tables(raw: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    """The tables that show one data set; the one of its name if left out."""
    tables = raw.get("tables", [name])
    named = isinstance(tables, list) and tables and all(isinstance(t, str) for t in tables)
    if not named or not all(IDENTIFIER.fullmatch(table) for table in tables):
        raise ConfigurationError(f"tables of {where} is a list of table names")
    return tuple(tables)


def _budget(name: str, raw: Any) -> Budget:
    where = f"[budgets.{name}] in {FILE_NAME}"
    if not IDENTIFIER.fullmatch(name):
        raise ConfigurationError(f"{name!r} in {FILE_NAME} is no name of a budget")
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{where} is not a section")
    _refuse_unknown(raw, ["rho", "epsilon", "delta", "tables", "exact"], f"budgets.{name}")
    tables, exact = _tables(raw, name, where), raw.get("exact", False)
    if not isinstance(exact, bool):
        raise ConfigurationError(f"exact of {where} is true or false")
    given = sorted(set(raw) & {"rho", "epsilon", "delta"})
    if given == ["rho"]:
        total = int(_amount(raw["rho"], where, "rho", MAX_TOTAL // PICO) * PICO)
    elif given == ["delta", "epsilon"]:
        epsilon = _amount(raw["epsilon"], where, "epsilon", MAX_TOTAL // PICO)
        delta = _amount(raw["delta"], where, "delta", Decimal("1e-5"))
        total = budget_of(epsilon, delta)
    else:
        raise ConfigurationError(
            f"{where} has no total",
            hint='write  rho = "1"  or  epsilon = "5"  with  delta = "1e-6"',
        )
    return Budget(name, total, tables, exact)


def _amount(value: Any, where: str, key: str, most: int | Decimal) -> Decimal:
    """A number above zero and not beyond what still promises something, exactly as written."""
    try:
        number = Decimal(value) if isinstance(value, str | int | Decimal) else None
    except ArithmeticError:
        number = None
    if number is None or isinstance(value, bool) or not number.is_finite():
        raise ConfigurationError(f'{key} of {where} is a number, such as "0.5"')
    if not Decimal("1e-18") <= number <= most:
        raise ConfigurationError(f"{key} of {where} is above 0 and at most {most}")
    return number


def _refuse_two(
    kind: str, named: Mapping[str, Sequence[str]], sources: dict[str, SourceSpec]
) -> None:
    """One data set has one budget, or quota, under whatever names of tables it is shown.

    Args:
        named: the tables of each.
    """
    owner: dict[str, str] = {}
    for name, tables in named.items():
        for table in tables:
            spec = sources.get(table)
            shown = [table] if spec is None else [table, f"{spec.path} {spec.table}".rstrip()]
            for thing in shown:
                if owner.setdefault(thing, name) != name:
                    raise ConfigurationError(
                        f"{thing} has two of a {kind} in {FILE_NAME}",
                        hint=f"list all tables that show one data set under one {kind}",
                    )
    owned = {
        f"{sources[table].path} {sources[table].table}"
        for tables in named.values()
        for table in tables
        if table in sources
    }
    for table, spec in sources.items():
        if f"{spec.path} {spec.table}" in owned and table not in owner:
            raise ConfigurationError(
                f"the table {table!r} shows data that has a {kind} under another name",
                hint=f"list it under the tables of that {kind}",
            )


def source_spec(path: Path, format: str | None = None, table: str = "") -> SourceSpec:
    """A source of a file, its format from the suffix unless given.

    Raises:
        ConfigurationError: no such file, or an unknown format.
    """
    chosen = format or FORMATS.get(path.suffix.lower(), "")
    if chosen not in FORMATS.values():
        raise ConfigurationError(
            f"cannot tell the format of {path.name}",
            hint="name it: parquet, csv or sqlite",
        )
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}", hint="check the path of the source")
    return SourceSpec(path=str(path), format=chosen, table=table)


def add_source(home: Path, table: str, path: Path, format: str | None, inner: str) -> SourceSpec:
    """Declare a source in ``stayput.toml``.

    Raises:
        ConfigurationError: the table has a source already, or the file does not fit.
    """
    if table in load_settings(home).sources:
        raise ConfigurationError(
            f"the table {table!r} has a source already", hint=f"edit {home / FILE_NAME}"
        )
    if not IDENTIFIER.fullmatch(table):
        raise ConfigurationError(f"{table!r} is no table name")
    spec = source_spec(path.resolve(), format, inner)
    lines = [f"\n[sources.{table}]", f"path = {_toml_string(spec.path)}"]
    lines.append(f"format = {_toml_string(spec.format)}")
    if inner:
        lines.append(f"table = {_toml_string(inner)}")
    with (home / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return spec


def _toml_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if any(ord(character) < 32 for character in escaped):
        raise ConfigurationError("a path with control characters cannot be declared")
    return f'"{escaped}"'
