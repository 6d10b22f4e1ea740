"""A join between real processes: small registers, all daemons, gRPC over TLS, staging processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from stayput import demo
from stayput.residents import registers
from stayput.shows import CREDIT, demo_file

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

PEOPLE = 260


def put(files: Mapping[str, Path]) -> None:
    made = registers(PEOPLE, np.random.default_rng(20260102))
    for holder, path in files.items():
        parquet.write_table(made[CREDIT.tables[holder]], path)


def test_three_offices_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{CREDIT.scenario}.yaml"
    text = demo_file(name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(text.replace("pad_to: 6000", "pad_to: 280"), encoding="utf-8")
    monkeypatch.setattr(demo, "demo_file", lambda wanted: tmp_path / wanted)
    runs = (("deposits_by_bands", {}), ("deposits", {}))
    show = dataclasses.replace(CREDIT, put=put, runs=runs)
    told: list[str] = []
    report = demo.run_demo(tmp_path / "consortium", told.append, show)
    assert [one.statement for one in report.comparisons] == [name for name, _ in runs]
    assert all(one.mismatches == () for one in report.comparisons)
    assert all(one.exact_cells + one.derived_cells for one in report.comparisons)
    assert report.receipts == 2 + 1 + 3 + 1
