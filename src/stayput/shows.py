"""What the demonstrations show: who takes part, with which rows, and what is asked.

Data only; :mod:`stayput.demo` puts it on stage.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pyarrow import parquet

from stayput.residents import registers

PEOPLE = 5_000
"""Invented residents of the city."""

SEED = 20_260_101
"""So that everybody sees the same invented city; it draws people, and no key or mask."""


@dataclasses.dataclass(frozen=True)
class Show:
    """One demonstration.

    ``holders`` have one table each, ``tables[holder]``; ``put`` writes all of it into the files
    that it is given, by holder.
    """

    scenario: str
    consortium: str
    coordinator: str
    checker: str
    user: str
    auditor: str
    tables: Mapping[str, str]
    rows: str  # what a row is, in words
    runs: Sequence[tuple[str, Mapping[str, str]]]  # statements and models, with parameters
    again: tuple[str, ...]  # a question to ask afterwards
    rehearsed: str
    put: Callable[[Mapping[str, Path]], None]
    waived: tuple[str, ...] = ()  # protections that every holder gives up, as typed
    at_once: bool = True  # all questions are asked at once

    @property
    def holders(self) -> tuple[str, ...]:
        return tuple(self.tables)

    @property
    def daemons(self) -> tuple[str, ...]:
        return (self.coordinator, self.checker, *self.holders)

    @property
    def roles(self) -> dict[str, str]:
        """Every party's role."""
        return {
            self.coordinator: "coordinator",
            self.checker: "checker",
            **dict.fromkeys(self.holders, "holder"),
            self.user: "user",
            self.auditor: "auditor",
        }

    def data(self, home: Path, holder: str) -> Path:
        """Where a holder's rows are, in its folder."""
        return home / "data" / f"{self.tables[holder]}.parquet"


def demo_file(name: str) -> Path:
    """A file that comes with the demonstrations."""
    with importlib.resources.as_file(importlib.resources.files("stayput") / "demo_data") as folder:
        return folder / name


def _flights(files: Mapping[str, Path]) -> None:
    for airport, path in files.items():
        shutil.copyfile(demo_file(f"{airport}.parquet"), path)


def _residents(files: Mapping[str, Path]) -> None:
    made = registers(PEOPLE, np.random.default_rng(SEED))
    for holder, path in files.items():
        parquet.write_table(made[CREDIT.tables[holder]], path)


AIRPORTS = Show(
    scenario="nyc-delays",
    consortium="new-york",
    coordinator="hub",
    checker="city-statistics-office",
    user="port-authority",
    auditor="auditor",
    tables=dict.fromkeys(("ewr", "jfk", "lga"), "flights"),
    rows="flights",
    runs=(
        ("delay_by_carrier", {"first": "1", "last": "12"}),
        ("late_by_hour", {}),
        ("delay_distance", {}),
    ),
    again=("delay_by_carrier", "-p", "first=7", "-p", "last=12"),
    rehearsed="late_by_hour",
    put=_flights,
)
"""The same columns at every airport, other flights: horizontal."""

CREDIT = Show(
    scenario="income-capacity",
    consortium="invented-city",
    coordinator="data-bureau",
    checker="statistics-office",
    user="city-planning",
    auditor="auditor",
    tables={
        "housing-fund": "housing",
        "social-insurance": "social",
        "property-registry": "property",
    },
    rows="people",
    runs=(
        ("capacity_by_district_and_age", {}),
        ("deposits_by_bands", {}),
        ("deposits_and_wealth", {}),
        ("deposits", {}),
    ),
    again=("deposits_by_bands",),
    rehearsed="deposits_by_bands",
    put=_residents,
    waived=("two-holders",),
    at_once=False,
)
"""The same people at every office, other columns: vertical."""
