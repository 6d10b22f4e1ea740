"""One holder's rows of a join: identifiers in one form, groups and features, each person once.

The columns are as :mod:`stayput.vertical.questions` has them staged.  Not here: blinding, and
reading a table.  No message of an error says whose row it is about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stayput.crypto.packing import extremes, whole_array
from stayput.errors import InvalidInput
from stayput.scenario import Duplicates
from stayput.vertical.identifiers import normalise
from stayput.vertical.plan import ONE, Joined


@dataclasses.dataclass(frozen=True)
class People:
    """The people in one table. Position is what joins the three; shows nothing."""

    identifiers: tuple[bytes, ...] = dataclasses.field(repr=False)
    groups: npt.NDArray[np.int64] = dataclasses.field(repr=False)
    features: tuple[npt.NDArray[Any], ...] = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.identifiers)

    def numbers(self, number: int) -> npt.NDArray[Any]:
        """A feature of everybody, or ones for :data:`stayput.vertical.plan.ONE`."""
        return np.ones(len(self), dtype=np.int64) if number == ONE else self.features[number]


def people_of(
    table: Joined,
    identifiers: Iterable[str | int],
    groups: Sequence[int] | npt.NDArray[Any],
    features: Sequence[Sequence[int] | npt.NDArray[Any]],
) -> People:
    """The people of a table from its staged columns.

    Raises:
        InvalidInput: an identifier does not fit its rule; a person is there twice (or, where equal
            rows count once, twice with different rows); more rows than ``max_rows``; a group or a
            feature is out of its bounds, or the columns are not equally long.
    """
    known = [normalise(identifier, table.rule) for identifier in identifiers]
    columns = [whole_array(column) for column in (groups, *features)]
    if len(known) > table.max_rows:
        raise InvalidInput(f"{table.table} has more than max_rows rows")
    if len(columns) != 1 + len(table.bounds) or any(len(c) != len(known) for c in columns):
        raise InvalidInput(f"{table.table} was staged with other columns")
    for column, largest in zip(columns, (table.groups - 1, *table.bounds), strict=True):
        lowest, highest = extremes(column)
        if not 0 <= lowest <= highest <= largest:
            raise InvalidInput(f"{table.table} has a value out of the bounds of its contract")
    first: dict[bytes, int] = {}
    for row, identifier in enumerate(known):
        same = first.setdefault(identifier, row)
        if same != row:
            _verify_same(table, columns, same, row)
    kept = list(first.values())
    return People(
        identifiers=tuple(first),
        groups=columns[0][kept].astype(np.int64),
        features=tuple(column[kept] for column in columns[1:]),
    )


@dataclasses.dataclass(frozen=True)
class Faults:
    """Why rows are no people, for their holder alone: numbers of rows."""

    misfits: int  # the identifier does not fit its rule
    repeated: int  # the person is in an earlier row, where duplicates are refused
    contradicting: int  # the person is in an earlier row with other values, where they collapse


def faults_of(
    table: Joined,
    identifiers: Iterable[str | int],
    groups: Sequence[int] | npt.NDArray[Any],
    features: Sequence[Sequence[int] | npt.NDArray[Any]],
) -> Faults:
    """How many rows :func:`people_of` would refuse for whom they are about."""
    columns = [whole_array(column) for column in (groups, *features)]
    first: dict[bytes, int] = {}
    misfits = repeated = contradicting = 0
    for row, identifier in enumerate(identifiers):
        try:
            same = first.setdefault(normalise(identifier, table.rule), row)
        except InvalidInput:
            misfits += 1
            continue
        if same == row:
            continue
        if table.rule.duplicates is Duplicates.REFUSE:
            repeated += 1
        elif any(column[same] != column[row] for column in columns):
            contradicting += 1
    return Faults(misfits, repeated, contradicting)


def _verify_same(table: Joined, columns: Sequence[npt.NDArray[Any]], one: int, two: int) -> None:
    if table.rule.duplicates is Duplicates.REFUSE:
        raise InvalidInput(
            f"{table.table} has two rows of one person",
            hint="Offer one row for each person, or declare  duplicates: collapse  if they agree.",
        )
    if any(column[one] != column[two] for column in columns):
        raise InvalidInput(
            f"{table.table} has two rows of one person that do not agree",
            hint="Offer one row for each person.",
        )
