"""What a node computes beyond counts and sums, so that small and dominated cells show.

Numbers of people and the largest contributions stay at the node; from them it makes the numbers
and flags of round one (:func:`stayput.plans.counts_vector`).  A *contribution* is what one row adds
to a sum, in absolute value; where the table contract names the unit, all that one unit's rows add
in absolute value.

Text of SQL in, text of SQL out; the pieces come from :mod:`stayput.sql.render`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Which evidence a run needs; it follows from table contract and output policy.

    ``unit`` is the column that says whom a row is about, or empty: every row is somebody else.
    ``units_apart``: nobody is known to two holders.  ``smallest``: whether each holder says where
    it has few.  ``contributions``: whether it says where few make up most of a sum.
    """

    unit: str = ""
    units_apart: bool = False
    smallest: bool = False
    contributions: bool = False


NONE = Evidence()


@dataclasses.dataclass(frozen=True)
class Size:
    """One sum in absolute values: its number and rows as SQL; ``rows`` empty means all."""

    number: str
    rows: str


def size_columns(sizes: Sequence[Size]) -> list[str]:
    """Of each: total, largest and second largest contribution of a row; 0 where there is none."""
    found = []
    for i, size in enumerate(sizes):
        where = f" FILTER (WHERE {size.rows})" if size.rows else ""
        found += [
            f"COALESCE(SUM({size.number}){where}, 0) AS size_{i}",
            f"COALESCE(MAX({size.number}){where}, 0) AS largest_{i}",
            f"COALESCE((MAX({size.number}, 2){where})[2], 0) AS second_{i}",
        ]
    return found


def unit_totals(sizes: Sequence[Size]) -> list[str]:
    """Of each, what one unit's rows add."""
    return [
        f"COALESCE(SUM({size.number}){f' FILTER (WHERE {size.rows})' if size.rows else ''}, 0)"
        f" AS of_unit_{i}"
        for i, size in enumerate(sizes)
    ]


def over_units(
    keys: int, counts: int, values: int, rests: Sequence[tuple[int, int]], sizes: int
) -> list[str]:
    """The outer query's columns: sums over units, numbers of units, largest units."""
    found = [f"key_{i}" for i in range(keys)]
    found += [f"COALESCE(SUM(rows_{i}), 0) AS count_{i}" for i in range(counts)]
    found += [f"COALESCE(SUM(sum_{i}), 0) AS value_{i}" for i in range(values)]
    groups = [f"rows_{i} > 0" for i in range(counts)]
    groups += [f"rows_{whole} > rows_{part}" for part, whole in rests]
    found += [f"COUNT(*) FILTER (WHERE {group}) AS units_{i}" for i, group in enumerate(groups)]
    return found + size_columns([Size(f"of_unit_{i}", "") for i in range(sizes)])
