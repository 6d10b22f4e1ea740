"""Costs, scales and errors against definitions; sensitivity against every small table.

Oracles: OpenDP's own privacy maps; convolutions of exact probabilities; doubles where the code has
decimals; and for sensitivity DuckDB, which runs the node's SQL on all tables of a small universe
with and without a unit.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pytest

from stayput.errors import RuleViolation, SqlError
from stayput.partials import assemble
from stayput.privacy import (
    MAX_SCALE,
    PICO,
    Budget,
    Noise,
    budget_for,
    budget_of,
    epsilon_of,
    laplace_tail,
    noise_of,
    run_cost,
)
from stayput.scenario import (
    Column,
    ColumnType,
    Grade,
    NoiseMechanism,
    OutputPolicy,
    Outside,
    Privacy,
    Statement,
    TableContract,
)
from stayput.sql import Plan, bind, plan

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import opendp.prelude as dp

GEOMETRIC, GAUSSIAN = NoiseMechanism.GEOMETRIC, NoiseMechanism.GAUSSIAN
NANO, ATTO = 10**9, 10**18

PURE = Privacy(GEOMETRIC, epsilon=NANO // 2)
ZCDP = Privacy(GAUSSIAN, rho=NANO // 20)
BOTH = Privacy(GAUSSIAN, epsilon=NANO, delta=ATTO // 10**6)


# --- costs ----------------------------------------------------------------------------------------


def test_costs_by_hand() -> None:
    assert run_cost(PURE) == PICO // 8  # 0.5 ** 2 / 2
    assert run_cost(ZCDP) == PICO // 20
    assert run_cost(Privacy(GEOMETRIC, epsilon=10**5)) == 5_000  # 0.0001 ** 2 / 2
    assert run_cost(Privacy(GEOMETRIC, epsilon=333_333_333)) == 55_555_555_445  # rounded up
    assert run_cost(Privacy(GAUSSIAN, rho=1_000)) == 10**6


@pytest.mark.parametrize("epsilon", ["0.0001", "0.3", "1", "10"])
@pytest.mark.parametrize("delta", ["1e-5", "1e-9", "1e-18"])
def test_an_epsilon_becomes_the_largest_rho_that_means_it(epsilon: str, delta: str) -> None:
    rho = budget_of(Decimal(epsilon), Decimal(delta))
    log = math.log(1 / float(delta))

    def means(spent: float) -> float:
        return spent + 2 * math.sqrt(spent * log)

    assert means(rho / PICO) <= float(epsilon) * (1 + 1e-12)
    assert means((rho + 2) / PICO) > float(epsilon) * (1 - 1e-12)
    assert epsilon_of(rho, Decimal(delta)) in (
        Decimal(epsilon).quantize(Decimal("0.01"), "ROUND_CEILING"),
        Decimal(epsilon).quantize(Decimal("0.01"), "ROUND_CEILING") - Decimal("0.01"),
    )


def test_rho_is_shown_as_an_epsilon_that_is_never_too_small() -> None:
    for rho in (1, 10**6, PICO // 100, PICO, 37 * PICO):
        shown = epsilon_of(rho, Decimal("1e-6"))
        exact = rho / PICO + 2 * math.sqrt(rho / PICO * math.log(1e6))
        assert exact <= float(shown) < exact + 0.0100001
    assert epsilon_of(0, Decimal("1e-6")) == 0


def spaces(mechanism: NoiseMechanism) -> tuple[Any, Any, Any]:
    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    if mechanism is GEOMETRIC:
        return domain, dp.l1_distance(T="i64"), dp.m.make_laplace
    return domain, dp.l2_distance(T="f64"), dp.m.make_gaussian


@pytest.mark.parametrize("privacy", [PURE, ZCDP, BOTH])
@pytest.mark.parametrize("contributions", [[1], [1, 1, 30], [1, 1_000, 10**6, 7]])
@pytest.mark.parametrize("rows", [1, 3])
def test_opendp_says_that_the_scales_cost_what_is_charged(
    privacy: Privacy, contributions: list[int], rows: int
) -> None:
    """Its own privacy maps, added up over the measures, give the declared cost, and hardly less."""
    unit = {"unit": "person", "max_rows_per_unit": rows} if rows > 1 else {}
    privacy = dataclasses.replace(privacy, **unit)
    domain, metric, make = spaces(privacy.mechanism)
    noise = noise_of(privacy, contributions)
    losses = [
        make(domain, metric, scale=scale).map(change * rows)
        for scale, change in zip(noise.scales, contributions, strict=True)
    ]
    declared = privacy.epsilon / NANO if privacy is PURE or not privacy.delta else 0.0
    if privacy.mechanism is GAUSSIAN:
        declared = run_cost(privacy) / PICO
    assert declared * (1 - 1e-9) <= math.fsum(losses) <= declared * (1 + 1e-12)


def test_scales_are_never_below_the_exact_ones() -> None:
    for epsilon in (NANO // 3, NANO // 7, 999_999_937):
        (scale,) = noise_of(Privacy(GEOMETRIC, epsilon=epsilon), [10**6 + 3]).scales
        exact = Fraction((10**6 + 3) * NANO, epsilon)
        assert exact <= Fraction(scale) < exact * (1 + Fraction(1, 2**51))
    for rho in (NANO // 3, 12_345_679):
        (scale,) = noise_of(Privacy(GAUSSIAN, rho=rho), [77]).scales
        exact = Fraction(77**2 * NANO, 2 * rho)
        assert exact <= Fraction(scale) ** 2 < exact * (1 + Fraction(1, 2**50))


def test_noise_that_opendp_could_not_hold_is_refused() -> None:
    most = int(MAX_SCALE) // 10
    assert noise_of(Privacy(GEOMETRIC, epsilon=NANO // 10), [most]).scales
    for too_much in (most * 2, 2**63, 2**200):
        with pytest.raises(ValueError, match="64 bits"):
            noise_of(Privacy(GEOMETRIC, epsilon=NANO // 10), [too_much])
        with pytest.raises(ValueError, match="64 bits"):
            noise_of(Privacy(GAUSSIAN, rho=10**6), [1, too_much])


# --- errors ---------------------------------------------------------------------------------------


def coverage(mechanism: NoiseMechanism, scale: float, holders: int, within: int) -> float:
    """P(|sum of the noise of all holders| ≤ within), by convolving exact probabilities."""
    reach = math.ceil(45 * scale) + 3
    x = np.arange(-reach, reach + 1)
    shape = -np.abs(x) / scale if mechanism is GEOMETRIC else -(x**2) / (2 * scale**2)
    one = np.exp(shape) / np.exp(shape).sum()
    total = one
    for _ in range(holders - 1):
        total = np.convolve(total, one)
    middle = len(total) // 2
    return float(total[middle - within : middle + within + 1].sum())


@pytest.mark.parametrize("mechanism", [GEOMETRIC, GAUSSIAN])
@pytest.mark.parametrize("holders", [1, 2, 3, 8, 40])
def test_the_error_that_is_told_holds_95_of_100(mechanism: NoiseMechanism, holders: int) -> None:
    for scale in (1.0, 6.0, 15.5):
        error = math.ceil(Noise(mechanism, (scale,)).error([(1, 0)], holders))
        assert coverage(mechanism, scale, holders, error) >= 0.9495
        assert coverage(mechanism, scale, holders, error - 2 - holders // 20) < 0.95


def test_the_tail_of_a_sum_of_laplace_variables() -> None:
    """One: exp(-t). Two: exp(-t)·(1 + t/2), from the density exp(-t)·(1 + t)/4."""
    for t in (0.5, 3.0, 20.0):
        assert math.isclose(laplace_tail(1, Decimal(t)), math.exp(-t))
        assert math.isclose(laplace_tail(2, Decimal(t)), math.exp(-t) * (1 + t / 2))
    assert abs(laplace_tail(5, Decimal(0)) - 1) < Decimal("1e-20")


def test_tails_are_as_rare_as_they_are_said_to_be() -> None:
    """2·exp(-t) of t scales for the one, 2·exp(-t²/2) for the other."""
    for mechanism, log in ((GEOMETRIC, 73), (GAUSSIAN, 13**2 / 2)):
        assert (math.log(2) - log) / math.log(2) < -104
        for scale in (0.5, 1.0, 1e9):
            reach = Noise(mechanism, (scale,)).tail(0)
            assert reach >= (73 if mechanism is GEOMETRIC else 13) * scale + 1


# --- sensitivity: every small table, with and without a unit --------------------------------------


def table_of(unit: str = "") -> TableContract:
    def number(name: str, low: int, high: int, nullable: bool = False) -> Column:
        return Column(
            name, ColumnType.INTEGER, Grade.INTERNAL, Outside.REFUSE,
            minimum=low, maximum=high, nullable=nullable,
        )  # fmt: skip

    columns = (
        number("person", 1, 3),
        number("x", -3, 2, nullable=True),
        number("y", 0, 4),
        Column("g", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("a", "b")),
    )
    return TableContract("t", ("north", "south"), columns, 1000, unit)


STATEMENTS = {
    "count": "SELECT g, COUNT(*) AS n FROM t GROUP BY g",
    "sum": "SELECT g, SUM(x) AS s FROM t GROUP BY g",
    "moments": "SELECT COUNT(*) AS n, VAR_SAMP(y) AS v, CORR(x, y) AS r FROM t",
    "flags": "SELECT g, COUNT(*) FILTER (WHERE y > 2) AS n, SUM(x) FILTER (WHERE y > 2) AS s "
    "FROM t WHERE y > 0 GROUP BY g",
    "case": "SELECT SUM(CASE WHEN g = 'a' THEN x * y ELSE 3 * y END) AS s FROM t",
}


def planned(sql: str, privacy: Privacy, unit: str = "") -> Plan:
    policy = OutputPolicy(1, 2, privacy=privacy)
    return plan(Statement("s", sql), [table_of(unit)], 2, policy)


Row = tuple[int, int | None, int, str]


def measured(connection: Any, made: Plan, rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """Cells × measures as the node computes them."""
    connection.execute("DELETE FROM stayput_source")
    if rows:
        values = ", ".join("(?, ?, ?, ?)" for _ in rows)
        connection.execute(f"INSERT INTO stayput_source VALUES {values}", [*itertools.chain(*rows)])
    found = connection.execute(bind(made, {}).node_sql()).fetchall()
    partial = assemble(made, found)
    return np.array([[*c, *v] for c, v in zip(partial.counts, partial.values, strict=True)])


def small_tables() -> Iterator[list[Row]]:
    """Person 1 with up to three extreme rows, beside what two others have."""
    rows: list[tuple[int | None, int, str]] = [
        (-3, 4, "a"), (2, 4, "a"), (None, 4, "b"), (-3, 1, "b"), (2, 0, "b"),
    ]  # fmt: skip
    others: list[Row] = [(2, 2, 4, "a"), (2, -3, 4, "b"), (3, None, 0, "a"), (3, 1, 3, "b")]
    for number in range(1, 4):
        for mine in itertools.combinations_with_replacement(rows, number):
            yield [*((1, *row) for row in mine), *others]


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    with duckdb.connect() as opened:
        opened.execute("CREATE TABLE stayput_source (person BIGINT, x BIGINT, y BIGINT, g VARCHAR)")
        yield opened


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("most", [1, 2])
def test_no_unit_changes_more_than_the_noise_is_made_for(
    connection: Any, name: str, most: int
) -> None:
    """All rows of one person, up to three, against the bound of one or two; which is met."""
    privacy = dataclasses.replace(PURE, unit="person", max_rows_per_unit=most)
    made = planned(STATEMENTS[name], privacy, "person")
    assert made.noise is not None
    share = Fraction(privacy.epsilon, NANO) / made.measures
    bounds = [Fraction(scale) * share for scale in made.noise.scales]
    worst = [0] * made.measures
    without = measured(connection, made, next(small_tables())[-4:])
    for rows in small_tables():
        change = measured(connection, made, rows) - without
        lengths = np.abs(change).sum(axis=0)
        squares = (change**2).sum(axis=0)
        for index, bound in enumerate(bounds):
            assert lengths[index] <= bound * (1 + Fraction(1, 2**50))
            assert squares[index] <= bound**2 * (1 + Fraction(1, 2**50))
            worst[index] = max(worst[index], int(lengths[index]))
    assert worst == [round(bound) for bound in bounds], "the bounds are not wider than need be"


def test_a_row_alone_without_a_unit(connection: Any) -> None:
    made = planned(STATEMENTS["moments"], ZCDP)
    assert made.noise is not None
    scales = np.array(made.noise.scales) * math.sqrt(2 * 0.05 / made.measures)
    for rows in small_tables():
        change = np.abs(measured(connection, made, rows) - measured(connection, made, rows[1:]))
        assert (change.sum(axis=0) <= scales * (1 + 1e-12)).all()


def test_which_rows_of_a_person_enter_depends_on_that_person_alone(connection: Any) -> None:
    privacy = dataclasses.replace(PURE, unit="person", max_rows_per_unit=2)
    made = planned("SELECT SUM(x) AS s, COUNT(*) AS n FROM t WHERE y > 0", privacy, "person")
    mine: list[Row] = [(1, 2, 4, "a"), (1, 1, 3, "b"), (1, -3, 0, "a"), (1, 2, 2, "a")]
    alone = measured(connection, made, mine)
    assert alone[0, 0] == 2, "the row that WHERE leaves out takes nobody's place"
    others: list[Row] = [(2, x, y, "a") for x in (2, -3) for y in (1, 2, 4)]
    for order in itertools.permutations(mine):
        beside = measured(connection, made, [*others[:3], *order, *others[3:]])
        assert (beside - measured(connection, made, others) == alone).all()


def test_evidence_is_not_computed_beside_noise() -> None:
    policy = OutputPolicy(1, 2, privacy=dataclasses.replace(PURE, unit="person"))
    made = plan(Statement("s", STATEMENTS["sum"]), [table_of("person")], 2, policy)
    assert made.round_one == len(made.counts)
    assert "person" in made.columns
    assert "size_" not in made.node_sql()
    assert "units_" not in made.node_sql()


def test_slots_have_room_for_the_noise() -> None:
    """2**31 rows would fit beside nothing; with noise of a hundred million they need 64 bits."""
    wide = planned("SELECT COUNT(*) AS n FROM t", Privacy(GEOMETRIC, epsilon=10**5))
    assert (wide.count_width, planned("SELECT COUNT(*) AS n FROM t", PURE).count_width) == (32, 32)
    assert wide.noise is not None
    assert wide.noise.tail(0) >= 730_000
    large = planned("SELECT SUM(x * y) AS s FROM t", Privacy(GEOMETRIC, epsilon=10**5))
    plain = plan(Statement("s", "SELECT SUM(x * y) AS s FROM t"), [table_of()], 2)
    assert plain.value_width == 32
    assert large.noise is not None
    for made in (wide, large):
        for index in range(len(made.noise.scales) if made.noise else 0):
            width = made.count_width if index < len(made.counts) else made.value_width
            size = (
                1 if index < len(made.counts) else made.values[index - len(made.counts)].expr.size
            )
            assert made.noise is not None
            assert 2 * (size * 1000 + made.noise.tail(index)) < 2 ** (width - 1)


def test_a_sum_whose_noise_would_not_fit_is_refused_with_a_way_out() -> None:
    huge = dataclasses.replace(
        table_of(),
        columns=(
            Column("x", ColumnType.INTEGER, Grade.INTERNAL, Outside.CLIP,
                   minimum=0, maximum=10**15),
        ),
    )  # fmt: skip
    policy = OutputPolicy(1, 2, privacy=PURE)
    with pytest.raises(SqlError, match="64 bits") as caught:
        plan(Statement("s", "SELECT VAR_SAMP(x) AS v FROM t"), [huge], 2, policy)
    assert "tighter" in caught.value.hint


# --- whose budget ---------------------------------------------------------------------------------


def test_which_budget_pays() -> None:
    budgets = (Budget("people", 5, ("a", "b")), Budget("open", 5, ("c",), exact=True))
    assert budget_for(PURE, "b", budgets) is budgets[0]
    assert budget_for(PURE, "c", budgets) is budgets[1]
    assert budget_for(None, "c", budgets) is None
    assert budget_for(None, "d", budgets) is None
    for privacy, table in ((PURE, "d"), (None, "a")):
        with pytest.raises(RuleViolation) as caught:
            budget_for(privacy, table, budgets)
        assert caught.value.clause == "D-6"
        assert "stayput.toml" in caught.value.hint
