"""A real staging pool and a source, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from staging.flights import ROWS, write_parquet

from stayput.engines.source import SourceSpec
from stayput.staging import StagingPool


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StagingPool]:
    with StagingPool(tmp_path_factory.mktemp("pool"), memory_limit_mb=300) as pool:
        yield pool


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SourceSpec:
    return write_parquet(tmp_path_factory.mktemp("source") / "flights.parquet", ROWS)
