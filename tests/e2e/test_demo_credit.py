"""The demonstration of joins, for real: three offices, five daemons, gRPC over TLS.

Beside the demonstration's own comparison: statsmodels fits the model, and pandas counts a cell, on
the joined registers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from pyarrow import parquet

from stayput.audit import verify_release
from stayput.identity import load_members
from stayput.scenario import IdentifierKind, IdentifierRule
from stayput.shows import CREDIT
from stayput.vertical.identifiers import normalise

SECONDS = 900  # a busy machine

pytestmark = [pytest.mark.timeout(2 * SECONDS), pytest.mark.long]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Where it was, its report as JSON, and everything that it told."""
    folder = tmp_path_factory.mktemp("credit")
    done = subprocess.run(
        [sys.executable, "-m", "stayput", "demo", "credit", "--json"],
        cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "consortium", done.stdout, done.stderr


@pytest.fixture(scope="module")
def pool(shown: tuple[Path, str, str]) -> pd.DataFrame:
    rule = IdentifierRule(IdentifierKind.CN_RESIDENT)
    frames = []
    for holder in CREDIT.holders:
        frame = parquet.read_table(CREDIT.data(shown[0] / holder, holder)).to_pandas()
        frame.index = pd.Index([normalise(number, rule) for number in frame.pop("resident")])
        frames.append(frame)
    return frames[0].join(frames[1], how="inner").join(frames[2], how="inner")


def released(folder: Path, name: str) -> dict[str, list[object]]:
    data = (folder / "results" / f"{name}.json").read_bytes()
    verified = verify_release(data, load_members(folder / CREDIT.auditor))
    return {column.name: list(column.values) for column in verified.result.table.columns}


def test_every_released_value_is_the_pooled_one(shown: tuple[Path, str, str]) -> None:
    report = json.loads(shown[1])
    assert [one["statement"] for one in report["comparisons"]] == [n for n, _ in CREDIT.runs]
    assert all(one["mismatches"] == [] for one in report["comparisons"])
    assert sum(one["withheld_cells"] for one in report["comparisons"]) > 0
    # Two runs of three holders, two of two, and one receipt of the coordinator for each.
    assert report["receipts"] == 3 + 2 + 2 + 3 + 4


def test_the_model_is_that_of_statsmodels(shown: tuple[Path, str, str], pool: pd.DataFrame) -> None:
    table = released(shown[0], "deposits")
    x = sm.add_constant(pool[["contribution_base", "months_36", "property_value"]].astype(float))
    theirs = sm.OLS(pool["deposit"].astype(float), x).fit()
    for name, expected in (("coefficient", theirs.params), ("standard_error", theirs.bse)):
        assert np.allclose(np.array(table[name], float), expected, rtol=1e-8, atol=0)
    assert table["people"] == [len(pool)] * 4
    assert np.allclose(np.array(table["r_squared"], float), theirs.rsquared, rtol=1e-8)


def test_one_cell_by_hand(shown: tuple[Path, str, str], pool: pd.DataFrame) -> None:
    table = released(shown[0], "capacity_by_district_and_age")
    place = [*zip(table["district"], table["age_band"], strict=True)].index(("Riverside", "30-39"))
    group = pool[(pool["district"] == "Riverside") & (pool["age_band"] == "30-39")]
    assert table["residents"][place] == len(group)
    score = (
        (group["score_a"] + group["score_b"]) * 0.4
        + (group["score_c"] + group["score_d"]) * 0.25
        + (group["score_e"] + group["score_f"]) * 0.35
    )
    assert table["mean_score"][place] == pytest.approx(score.mean(), rel=1e-12)


def test_no_identifier_left_its_office(shown: tuple[Path, str, str]) -> None:
    """No file of another party, log and wire included, has a resident number of an office."""
    folder = shown[0]
    numbers = {
        holder: parquet.read_table(CREDIT.data(folder / holder, holder))["resident"]
        .slice(0, 50)
        .to_pylist()
        for holder in CREDIT.holders
    }
    for holder, known in numbers.items():
        for path in folder.rglob("*"):
            if path.is_file() and folder / holder not in path.parents and "data" not in path.parts:
                data = path.read_bytes()
                assert not any(number.encode() in data for number in known), path
