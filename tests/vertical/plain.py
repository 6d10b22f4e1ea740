"""What a join gives, computed in the open: for tests only, on rows that nobody has to hide.

It takes the same questions as the protocol (features, groups, moments) and adds plain integers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from stayput.engines.contract import RAW, SOURCE, source_view_sql
from stayput.scenario import TableContract
from stayput.vertical.identifiers import normalise
from stayput.vertical.questions import Staged

Person = tuple[int, tuple[int, ...]]
"""Number of the group, features."""


@functools.cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()  # one for all: a new one takes longer than what is asked


def stage(staged: Staged, contract: TableContract, rows: pa.Table) -> dict[bytes, Person]:
    """What a holder has in memory: by normalised identifier."""
    connection = _engine()
    connection.execute(f"DROP VIEW IF EXISTS {SOURCE}")
    connection.register(RAW, rows)
    described = connection.execute(f"DESCRIBE {RAW}").fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    connection.execute(source_view_sql(contract, types, staged.columns))
    rule = contract.identifier
    assert rule is not None
    assert rule.identifier is not None
    found: dict[bytes, Person] = {}
    for identifier, group, *features in connection.execute(staged.sql).fetchall():
        assert 0 <= group < staged.groups
        assert all(0 <= f <= most for f, most in zip(features, staged.bounds, strict=True))
        key = normalise(identifier, rule.identifier)
        assert key not in found
        found[key] = (group, tuple(features))
    return found


def moments(
    staged: Sequence[Staged],
    wanted: Sequence[Sequence[tuple[int, int]]],
    contracts: Mapping[str, TableContract],
    rows: Mapping[str, pa.Table],
) -> dict[tuple[int, ...], list[int]]:
    """The moments of each cell that has people, by the numbers of the group."""
    people: list[dict[bytes, Any]] = [
        stage(one, contracts[one.table], rows[one.table]) for one in staged
    ]
    for product in wanted:
        assert len({table for table, _ in product}) == len(product) <= 2
    common = set(people[0]).intersection(*people[1:])
    found: dict[tuple[int, ...], list[int]] = {}
    for key in common:
        known = [table[key] for table in people]
        sums = found.setdefault(tuple(group for group, _ in known), [0] * len(wanted))
        for index, product in enumerate(wanted):
            value = 1
            for table, feature in product:
                value *= known[table][1][feature]
            sums[index] += value
    return found
