"""Models over joins: the same as statsmodels on the pooled rows, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from vertical.plain import moments

import stayput
from stayput.disclosure import Reason
from stayput.disclosure.models import check_categories
from stayput.errors import SqlError, VerificationError
from stayput.residents import registers
from stayput.scenario import (
    Column,
    ColumnRole,
    ColumnType,
    Grade,
    IdentifierKind,
    IdentifierRule,
    Model,
    ModelKind,
    Outside,
    Reference,
    TableContract,
)
from stayput.scenario_file import parse_scenario_file
from stayput.table import WITHHELD
from stayput.vertical.identifiers import normalise
from stayput.vertical.linear import fit
from stayput.vertical.models import (
    ask_model,
    finish_model,
    judge_model,
    solve,
    verify_model_table,
)

FILE = Path(stayput.__file__).parent / "demo_data" / "income-capacity.yaml"
SCENARIO = parse_scenario_file(FILE.read_text(encoding="utf-8"), nonce=bytes(16))
(DEPOSITS,) = SCENARIO.models
LEVELLED = dataclasses.replace(
    DEPOSITS,
    predictors=("contribution_base", "district", "sector", "mortgaged", "property_value"),
    references=(Reference("district", "Hills"), Reference("sector", "private")),
)


@functools.cache
def city() -> dict[str, pa.Table]:
    return registers(1500, np.random.default_rng(20260101))


@functools.cache
def pool() -> pd.DataFrame:
    """The three registers, joined in the open."""
    rule = IdentifierRule(IdentifierKind.CN_RESIDENT)
    frames = []
    for table in city().values():
        frame = table.to_pandas()
        frame["resident"] = [normalise(number, rule) for number in frame["resident"]]
        frames.append(frame.set_index("resident"))
    return frames[0].join(frames[1], how="inner").join(frames[2], how="inner")


def opened(model: Model, tables: Any = SCENARIO.tables, rows: Any = None) -> list[int]:
    question = ask_model(model, tables)
    contracts = {table.name: table for table in tables}
    found = moments(question.staged, question.moments, contracts, rows or city())
    (sums,) = found.values()  # one cell: everybody
    return sums


def design(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    found = {} if model.without_constant else {"constant": np.ones(len(frame))}
    references = {reference.column: reference.level for reference in model.references}
    for name in model.predictors:
        if name in references:
            for level in sorted(set(frame[name])):
                if level != references[name]:
                    found[f"{name}={level}"] = (frame[name] == level).astype(float)
        elif frame[name].dtype == bool:
            found[f"{name}=true"] = frame[name].astype(float)
        else:
            found[name] = frame[name].astype(float)
    return pd.DataFrame(found, index=frame.index)


def close(ours: Any, theirs: Any) -> bool:
    return bool(np.allclose(np.array(ours, float), np.array(theirs, float), rtol=1e-8, atol=0))


@pytest.mark.parametrize(
    "model",
    [
        DEPOSITS,
        LEVELLED,
        dataclasses.replace(DEPOSITS, without_constant=True),
        dataclasses.replace(DEPOSITS, target="property_value", predictors=("deposit", "months")),
        dataclasses.replace(DEPOSITS, tables=("social", "housing"), predictors=("months_36",)),
    ],
)
def test_ordinary_least_squares_as_in_statsmodels(model: Model) -> None:
    tables = SCENARIO.tables
    frame = pool()
    if len(model.tables) == 2:
        frame = _pair()
    question = ask_model(model, tables, SCENARIO.output)
    sums = opened(model)
    table = finish_model(question, sums)
    columns = {c.name: c.values for c in table.columns}
    x = design(model, frame)
    theirs = sm.OLS(frame[model.target].astype(float), x).fit()
    assert columns["term"] == list(x.columns)
    assert close(columns["coefficient"], theirs.params)
    assert close(columns["standard_error"], theirs.bse)
    assert close(columns["t"], theirs.tvalues)
    assert close(columns["r_squared"], [theirs.rsquared] * len(x.columns))
    assert columns["residual_freedom"] == [theirs.df_resid] * len(x.columns)
    assert columns["people"] == [len(frame)] * len(x.columns)
    assert verify_model_table(question, table) is table
    # The Gram matrix itself is exact.
    scale = 100 if question.target.decimals else 1
    cents = [int(v) for v in (frame[model.target] * scale).astype(object)]
    assert question.matrix(sums)[-1][-1] == sum(v * v for v in cents)
    for name, moment in question.people_of_dummies:
        assert sums[moment] == int(x[name].sum())


def _pair() -> pd.DataFrame:
    rule = IdentifierRule(IdentifierKind.CN_RESIDENT)
    frames = []
    for name in ("housing", "social"):
        frame = city()[name].to_pandas()
        frame["resident"] = [normalise(number, rule) for number in frame["resident"]]
        frames.append(frame.set_index("resident"))
    return frames[0].join(frames[1], how="inner")


@pytest.mark.parametrize(("penalty", "decimals"), [(5, 1), (10**6, 0), (10**9, 0)])
def test_ridge(penalty: int, decimals: int) -> None:
    model = dataclasses.replace(
        LEVELLED, kind=ModelKind.RIDGE, penalty=penalty, penalty_decimals=decimals
    )
    found = solve(ask_model(model, SCENARIO.tables), opened(model))
    assert found is not None
    frame, weight = pool(), penalty / 10**decimals
    x, y = design(model, frame), frame["deposit"].astype(float)
    # statsmodels minimises RSS / 2n + Σ alpha_j b_j² / 2: its alpha is the penalty by n.
    alpha = np.array([0.0 if name == "constant" else weight / len(frame) for name in x.columns])
    theirs = sm.OLS(y, x).fit_regularized(alpha=alpha, L1_wt=0.0)
    assert np.allclose([float(b) for b in found.coefficients], theirs.params, rtol=1e-6)
    # Standard errors from the formulas, in floating point.
    design_matrix = x.to_numpy()
    inverse = np.linalg.inv(design_matrix.T @ design_matrix + np.diag(alpha * len(frame)))
    hat = design_matrix @ inverse @ design_matrix.T
    residual = y - hat @ y
    freedom = len(frame) - np.trace(hat)
    spread = float(residual @ residual) / freedom
    middle = inverse @ design_matrix.T @ design_matrix @ inverse
    assert found.variances is not None
    assert np.allclose([float(v) for v in found.variances], spread * np.diag(middle), rtol=1e-6)
    assert float(found.freedom) == pytest.approx(freedom, rel=1e-9)


def test_columns_that_depend_on_each_other_give_no_coefficients() -> None:
    base = np.arange(40) * 7 % 31
    columns = np.array([np.ones(40, int), base, 3 * base - 2, base * base]).astype(object)
    gram = (columns @ columns.T).tolist()
    assert fit(40, gram, constant=True, penalty=[Fraction(0)] * 3) is None
    ridge = fit(40, gram, constant=True, penalty=[Fraction(0), Fraction(1, 3), Fraction(1, 3)])
    assert ridge is not None
    assert 37 < ridge.freedom < 38.1


def test_withheld_and_dependent_tables() -> None:
    question = ask_model(DEPOSITS, SCENARIO.tables)
    table = finish_model(question, None)
    assert table.columns[1].values == [WITHHELD] * 4
    assert table.columns[4].values == [WITHHELD] * 4
    nobody = finish_model(question, [0] * len(question.moments))
    assert nobody.columns[1].values == [None] * 4
    for wrong in (
        dataclasses.replace(table, synthetic=True),
        dataclasses.replace(table, columns=table.columns[:-1]),
        finish_model(ask_model(LEVELLED, SCENARIO.tables), None),
    ):
        with pytest.raises(VerificationError):
            verify_model_table(question, wrong)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_columns_against_floating_point(data: st.DataObject) -> None:
    people, terms = data.draw(st.integers(8, 30)), data.draw(st.integers(1, 4))
    number = st.integers(-1000, 1000)
    row = st.lists(number, min_size=terms, max_size=terms)
    rows = [[1, *data.draw(row)] for _ in range(people)]
    x = np.array(rows, dtype=float)
    y = np.array(data.draw(st.lists(number, min_size=people, max_size=people)), dtype=float)
    both = np.column_stack([x, y]).astype(int).astype(object)
    none = [Fraction(0)] * (terms + 1)
    found = fit(people, (both.T @ both).tolist(), constant=True, penalty=none)
    rank = np.linalg.matrix_rank(x)
    assert (found is not None) == (rank == terms + 1)
    if found is not None and np.linalg.cond(x) < 1e5:
        theirs = np.linalg.lstsq(x, y, rcond=None)[0]
        assert np.allclose([float(b) for b in found.coefficients], theirs, rtol=1e-5, atol=1e-5)
        assert found.freedom == people - terms - 1


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "about", "hint"),
    [
        ({"tables": ("housing", "nosuch")}, "no table 'nosuch'", "housing"),
        ({"using": "person"}, "no identifier 'person'", "identifier"),
        ({"target": "district", "predictors": ("months",)}, "is no number", "GROUP BY"),
        ({"target": "nosuch"}, "no table of the join has a column 'nosuch'", "deposit"),
        ({"predictors": ("resident",)}, "has a column 'resident'", "deposit"),
        ({"predictors": ("sector",)}, "needs one of its levels", "sector: private"),
        (
            {"predictors": ("sector",), "references": (Reference("sector", "army"),)},
            "'army' is none",
            "sector: private",
        ),
        ({"references": (Reference("months_36", "3"),)}, "has no reference level", "levels"),
        ({"references": (Reference("sector", "public"),)}, "is no predictor", "add it"),
        (
            {"predictors": ("mortgaged",), "references": (Reference("mortgaged", "true"),)},
            "reference of mortgaged is false",
            "remove",
        ),
    ],
)
def test_refused(changes: dict[str, Any], about: str, hint: str) -> None:
    with pytest.raises(SqlError, match=about) as caught:
        ask_model(dataclasses.replace(DEPOSITS, **changes), SCENARIO.tables)
    assert hint in caught.value.hint


def altered(table: str, name: str, /, **changes: Any) -> tuple[TableContract, ...]:
    return tuple(
        dataclasses.replace(
            contract,
            columns=tuple(
                dataclasses.replace(c, **changes) if (contract.name, c.name) == (table, name) else c
                for c in contract.columns
            ),
        )
        for contract in SCENARIO.tables
    )


@pytest.mark.parametrize(
    ("table", "name", "changes", "about"),
    [
        ("social", "sector", {"outside": Outside.OTHER}, "values outside its levels"),
        ("social", "contribution_base", {"nullable": True}, "may be missing"),
        ("housing", "deposit", {"roles": (ColumnRole.KEY,)}, "its role is key"),
        ("social", "months_36", {"name": "deposit"}, "a column of housing and of social"),
        (
            "social",
            "resident",
            {"identifier": IdentifierRule(IdentifierKind.TEXT)},
            "different forms",
        ),
    ],
)
def test_contracts_that_do_not_fit(
    table: str, name: str, changes: dict[str, Any], about: str
) -> None:
    with pytest.raises(SqlError, match=about) as caught:
        ask_model(LEVELLED, altered(table, name, **changes))
    assert caught.value.hint


def test_policies_that_cannot_be_checked() -> None:
    with pytest.raises(SqlError, match="min_holders is 3"):
        ask_model(
            dataclasses.replace(DEPOSITS, tables=("housing", "social"), predictors=("months",)),
            SCENARIO.tables,
            dataclasses.replace(SCENARIO.output, min_holders=3),
        )


def test_too_many_terms() -> None:
    levels = tuple(f"l{i}" for i in range(60))
    tables = altered("social", "sector", levels=levels)
    model = dataclasses.replace(LEVELLED, references=(
        Reference("district", "Hills"), Reference("sector", "l0")))  # fmt: skip
    with pytest.raises(SqlError, match="at most 48"):
        ask_model(model, tables)


def test_a_column_below_zero() -> None:
    """Shifted features, negative targets: the model does not notice."""
    identifier = Column("who", ColumnType.IDENTIFIER, Grade.SENSITIVE, Outside.REFUSE,
                        identifier=IdentifierRule(IdentifierKind.TEXT))  # fmt: skip

    def number(name: str) -> Column:
        return Column(name, ColumnType.DECIMAL, Grade.INTERNAL, Outside.REFUSE, decimals=1,
                      minimum=-500, maximum=700)  # fmt: skip

    tables = (
        TableContract("one", ("a",), (identifier, number("x"), number("z")), 100),
        TableContract("two", ("b",), (identifier, number("y")), 100),
    )
    rng = np.random.default_rng(5)
    values = rng.integers(-500, 700, (3, 60)) / 10
    who = [str(i) for i in range(60)]
    rows = {
        "one": pa.table({"who": who, "x": values[0], "z": values[1]}),
        "two": pa.table({"who": who[::-1], "y": values[2][::-1]}),
    }
    model = Model("m", ModelKind.OLS, ("one", "two"), "who", "y", ("x", "z"))
    question = ask_model(model, tables)
    assert min(min(s.bounds) for s in question.staged) >= 0
    table = finish_model(question, opened(model, tables, rows))
    theirs = sm.OLS(values[2], sm.add_constant(values[:2].T)).fit()
    assert close(table.columns[1].values, theirs.params)
    assert close(table.columns[2].values, theirs.bse)


# --- which models are released --------------------------------------------------------------------


def town(people: int) -> dict[str, pa.Table]:
    return registers(people, np.random.default_rng(3))


def judged(model: Model, rows: dict[str, pa.Table]) -> list[tuple[Reason, str]]:
    """What output checking finds, in the order in which it looks."""
    question = ask_model(model, SCENARIO.tables)
    sums = opened(model, rows=rows)
    people, *ones = (sums[i] for i in question.first)
    early = check_categories(question.columns, people, ones, SCENARIO.output)
    late = judge_model(question, sums, SCENARIO.output)
    assert set(early) <= set(late)
    kept = question.judge([[people, *ones]], SCENARIO.output)
    assert kept.tolist() == [[not early]]
    (then,) = question.wanted(kept)
    assert sorted((*then, *question.first)) == (
        list(range(len(sums))) if not early else sorted(question.first)
    )
    seen = {i: sums[i] for i in (*question.first, *then)}
    table = question.table([seen], kept, SCENARIO.output)
    assert question.verify_table(table) is table
    assert (table.columns[1].values[0] is WITHHELD) == bool(early or late)
    return [(problem.reason, problem.column) for problem in (early or late)]


def test_the_models_of_the_city_pass() -> None:
    assert judged(DEPOSITS, city()) == []
    with_levels = dataclasses.replace(LEVELLED, references=(
        Reference("district", "Riverside"), Reference("sector", "private")))  # fmt: skip
    assert judged(with_levels, city()) == []
    assert judged(with_levels, town(600)) == [(Reason.SMALL_CATEGORY, "district=Harbour")]


def test_a_few_people_get_no_model() -> None:
    reasons = {reason for reason, _ in judged(DEPOSITS, town(15))}
    assert Reason.FEW_FREEDOM in reasons


def test_a_small_reference_is_found_before_any_sum() -> None:
    """Who alone is the reference would be the constant of the model."""
    model = dataclasses.replace(LEVELLED, predictors=("district",), references=(
        Reference("district", "Harbour"),))  # fmt: skip
    assert judged(model, town(600)) == [(Reason.SMALL_REFERENCE, "housing.district")]


def test_what_follows_from_others_is_found() -> None:
    rows = dict(city())
    social = rows["social"]
    place = social.schema.get_field_index("score_f")
    rows["social"] = social.set_column(place, "score_f", social["months_36"])
    model = dataclasses.replace(DEPOSITS, predictors=("months_36", "score_f"))
    assert judged(model, rows) == [(Reason.FOLLOWS, "score_f")]
    perfect = dataclasses.replace(
        DEPOSITS, target="score_f", predictors=("months_36", "property_value")
    )
    assert judged(perfect, rows) == [(Reason.PERFECT_FIT, "")]


def test_impossible_sums_end_the_run() -> None:
    question = ask_model(DEPOSITS, SCENARIO.tables)
    sums = opened(DEPOSITS)
    for index in range(len(sums)):
        bent = [*sums]
        bent[index] = -sums[index]
        with pytest.raises(VerificationError, match="impossible"):
            judge_model(question, bent, SCENARIO.output)
