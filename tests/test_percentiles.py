"""Percentiles from bins: always around the truth, and silent about bins that are withheld."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.disclosure import OpenedCounts, check_counts, passes, verify_counts
from stayput.disclosure.verdict import Reason
from stayput.errors import SqlError, VerificationError
from stayput.finishing import finish
from stayput.percentiles import enclose
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
from stayput.sql import SOURCE, Plan, bind, plan
from stayput.sql.formulas import Bins
from stayput.table import WITHHELD

LOW, HIGH = -23, 61
CONTRACT = TableContract(
    "t",
    ("a", "b", "c"),
    (
        Column("g", ColumnType.LEVEL, Grade.PUBLIC, Outside.REFUSE, levels=("x", "y")),
        Column("v", ColumnType.INTEGER, Grade.PUBLIC, Outside.CLIP, minimum=LOW, maximum=HIGH),
        Column(
            "d", ColumnType.DECIMAL, Grade.PUBLIC, Outside.CLIP, decimals=1, minimum=0, maximum=99,
            nullable=True,
        ),
    ),
    1_000,
)  # fmt: skip
POLICY = OutputPolicy(min_count=3, min_holders=2)
SHARES = ("0.05", "0.25", "0.5", "0.9", "0.99")


@functools.cache
def planned(select: str, rest: str = "") -> Plan:
    return plan(Statement("s", f"SELECT {select} FROM t {rest}"), [CONTRACT], 3, POLICY)


def opened(found: Plan, parts: Sequence[Sequence[int]]) -> OpenedCounts:
    """What round one opens, for ``v`` without keys, by looking at each value."""
    (bins,) = found.bins
    own = []
    for values in parts:
        row = [len(values)] * len(found.counts)
        for index, (least, greatest) in zip(bins.counts, bins.ranges, strict=True):
            row[index] = sum(least <= value <= greatest for value in values)
        own.append([*row, *(row[whole] - row[part] for part, whole in found.rests)])
    sums = [sum(column) for column in zip(*own, strict=True)]
    return OpenedCounts(
        counts=[sums[: len(found.counts)]],
        holders=[[sum(n > 0 for n in column) for column in zip(*own, strict=True)]],
    )


def released(found: Plan, parts: Sequence[Sequence[int]], rounding: int = 0) -> dict[str, object]:
    one = opened(found, parts)
    verify_counts(found, one, len(parts))
    kept = passes(check_counts(found, one, POLICY))
    table = finish(found, one.counts, [[]], kept.tolist(), rounding=rounding)
    return dict(zip([c.name for c in table.columns], table.rows()[0], strict=True))


values = st.integers(LOW, HIGH) | st.sampled_from([LOW, 0, 7, 8, 9, HIGH])
parts = st.lists(st.lists(values, max_size=25), min_size=3, max_size=3)
ONE_OF_EACH = ", ".join(f"APPROX_PERCENTILE(v, {q}, {{0}}) AS p{q[2:]}" for q in SHARES)


@settings(max_examples=120, deadline=None)
@given(parts, st.sampled_from([1, 5, 10, 40, 100]), st.sampled_from([0, 5, 7]))
def test_the_pooled_percentile_is_always_inside(
    rows: list[list[int]], width: int, rounding: int
) -> None:
    """Oracle: every definition of numpy that interpolates between neighbours, on pooled rows."""
    pooled = [value for part in rows for value in part]
    answer = released(planned(ONE_OF_EACH.format(width)), rows, rounding)
    for q in SHARES:
        low, high = answer[f"p{q[2:]}_low"], answer[f"p{q[2:]}_high"]
        if low is WITHHELD or low is None:
            assert high is low
            continue
        assert LOW <= low <= high <= HIGH  # type: ignore[operator]
        for method in ("linear", "lower", "higher", "nearest", "inverted_cdf"):
            truth = np.quantile(pooled, float(q), method=method)  # type: ignore[call-overload]
            assert low - 1e-9 <= truth <= high + 1e-9, (q, method)  # type: ignore[operator]


def test_the_sql_of_nodes_and_duckdb_on_pooled_rows() -> None:
    """Through the node's own SQL, by group, with NULLs, a FILTER and decimals."""
    dice = np.random.default_rng(11)
    sql = (
        "g, COUNT(*) AS n, APPROX_PERCENTILE(d, 0.5, 0.5) AS middle, "
        "APPROX_PERCENTILE(d, 0.9, 0.5) FILTER (WHERE v > 10) AS late"
    )
    found = planned(sql, "GROUP BY g")
    rows = [
        (str(dice.choice(["x", "y"])), int(dice.integers(LOW, HIGH)), None if empty else int(d))
        for empty, d in zip(
            dice.random(900) < 0.1, dice.exponential(20, 900).clip(0, 99), strict=True
        )
    ]
    counts = [[0] * len(found.counts) for _ in range(found.cells)]
    holders = [[0] * found.groups for _ in range(found.cells)]
    with duckdb.connect() as database:
        for part in (rows[::3], rows[1::3], rows[2::3]):
            database.execute(f"CREATE OR REPLACE TABLE {SOURCE} (g VARCHAR, v BIGINT, d BIGINT)")
            database.executemany(f"INSERT INTO {SOURCE} VALUES (?, ?, ?)", part)
            for key, *own in database.execute(bind(found, {}).node_sql()).fetchall():
                cell = ("x", "y").index(key)
                both = [*own, *(own[whole] - own[part] for part, whole in found.rests)]
                for i, number in enumerate(own):
                    counts[cell][i] += number
                for i, number in enumerate(both):
                    holders[cell][i] += number > 0
        database.execute("CREATE TABLE pooled (g VARCHAR, v BIGINT, d DECIMAL(9, 1))")
        database.executemany(
            "INSERT INTO pooled VALUES (?, ?, ?)",
            [(g, v, None if d is None else d / 10) for g, v, d in rows],
        )
        truth = {
            row[0]: row[1:]
            for row in database.execute(
                "SELECT g, QUANTILE_CONT(d, 0.5), QUANTILE_DISC(d, 0.5), "
                "QUANTILE_CONT(d, 0.9) FILTER (WHERE v > 10), "
                "QUANTILE_DISC(d, 0.9) FILTER (WHERE v > 10) FROM pooled GROUP BY g"
            ).fetchall()
        }
    one = verify_counts(found, OpenedCounts(counts, holders), 3)
    kept = passes(check_counts(found, one, POLICY))
    table = finish(found, counts, [[]] * found.cells, kept.tolist())
    assert [c.name for c in table.columns] == [
        *("g", "n", "middle_low", "middle_high", "late_low", "late_high")
    ]
    for key, _, *ends in table.rows()[:2]:
        low, high, late_low, late_high = map(float, ends)  # type: ignore[arg-type]
        middle, discrete, late, late_discrete = map(float, truth[key])
        assert low <= min(middle, discrete) <= max(middle, discrete) <= high
        assert late_low <= min(late, late_discrete) <= max(late, late_discrete) <= late_high
        assert high - low < 1.0, "two bins at most where nothing is withheld"


# --- what is withheld -----------------------------------------------------------------------------


def test_a_bin_with_one_person_widens_the_interval_and_does_not_show() -> None:
    found = planned("COUNT(*) AS n, APPROX_PERCENTILE(v, 0.99, 10) AS top")
    crowd = [list(range(20)) for _ in range(3)]
    alone = [list(range(20)), list(range(20)), [*range(20), 61]]
    assert released(found, crowd)["top_high"] == 19
    answer = released(found, alone)
    assert (answer["top_low"], answer["top_high"]) != (60, 61)
    for elsewhere in range(30, 60):  # wherever that person is, the answer is the same
        moved = [list(range(20)), list(range(20)), [*range(20), elsewhere]]
        assert released(found, moved) == answer


def test_every_histogram_of_a_small_universe() -> None:
    """Who reads all percentiles, and knows the rules, cannot tell a withheld bin's number.

    All histograms of four bins; those that give the same answers are what a reader cannot tell
    apart.
    """
    shares = [f"0.{i:03}" for i in range(25, 1000, 50)]
    sql = ", ".join(f"APPROX_PERCENTILE(v, {q}, 22) AS p{q[2:]}" for q in shares)
    found = planned(f"COUNT(*) AS n, {sql}")
    (bins,) = found.bins
    starts = [least for least, _ in bins.ranges]
    assert len(starts) == 5
    alike: dict[tuple[object, ...], list[tuple[int, ...]]] = {}
    withheld: dict[tuple[int, ...], list[int]] = {}
    for sizes in itertools.product(range(6), repeat=4):
        if not 3 <= sum(sizes) <= 9:
            continue
        everybody = [s for s, size in zip(starts, (*sizes, 0), strict=True) for _ in range(size)]
        split = [everybody[i::3] for i in range(3)]
        one = opened(found, split)
        one = dataclasses.replace(  # holders are another rule: here all have some of all
            one, holders=[[min(n, 3) for n in _groups(found, one.counts[0])]]
        )
        reasons = check_counts(found, one, POLICY)
        kept = passes(reasons)
        answer = tuple(finish(found, one.counts, [[]], kept.tolist()).rows()[0])
        alike.setdefault(answer, []).append(sizes)
        small = [i for i in range(4) if reasons[0, bins.counts[i]] == Reason.FEW_ROWS]
        withheld[sizes] = [i for i in small if sizes[i]]
    secrets = 0
    for group in alike.values():
        for sizes in group:
            for i in withheld[sizes]:
                assert len({other[i] for other in group}) > 1, (sizes, i, group)
                secrets += 1
    assert secrets > 900  # or nothing was tested


def _groups(found: Plan, row: Sequence[int]) -> list[int]:
    return [*row, *(row[whole] - row[part] for part, whole in found.rests)]


def test_of_equally_small_bins_all_go_with_a_withheld_one() -> None:
    """Else the place of the one that goes would tell the place of the one it goes with."""
    found = planned("APPROX_PERCENTILE(v, 0.5, 10) AS m")
    (bins,) = found.bins
    for counts in ((4, 4, 1, 9), (1, 4, 4, 9), (4, 1, 4, 9)):
        rows = [bins.ranges[i][0] for i, n in enumerate(counts) for _ in range(n)]
        reasons = check_counts(found, opened(found, [rows[i::3] for i in range(3)]), POLICY)
        kinds = [Reason(reasons[0, bins.counts[i]]) for i in range(4)]
        assert kinds == [{4: Reason.BIN, 1: Reason.FEW_ROWS, 9: Reason.PASSES}[n] for n in counts]


def test_one_holders_own_bin_does_not_follow() -> None:
    """Many rows, but of one holder: the others would subtract."""
    found = planned("COUNT(*) AS n, APPROX_PERCENTILE(v, 0.9, 10) AS p")
    (bins,) = found.bins
    one = opened(found, [[0] * 10 + [10] * 8, [0] * 10 + [10] * 9, [0] * 10 + [50] * 20])
    reasons = check_counts(found, one, POLICY)
    names = {bins.ranges[i][0]: Reason(reasons[0, bins.counts[i]]) for i in range(len(bins.counts))}
    assert names[50] is Reason.FEW_HOLDERS
    assert names[10] is Reason.BIN
    assert names[0] is Reason.PASSES


def test_where_a_holder_has_too_few_all_bins_go() -> None:
    policy = OutputPolicy(min_count=3, min_holders=2, min_count_per_holder=2)
    found = plan(
        Statement("s", "SELECT APPROX_PERCENTILE(v, 0.5, 10) AS m FROM t"), [CONTRACT], 3, policy
    )
    (bins,) = found.bins
    one = opened(found, [[0] * 5 + [10] * 5, [0] * 5 + [10] * 5, [0] * 5 + [10]])
    own = [[5, 5, 5], [5, 5, 1]]
    small = [[0] * found.groups]
    small[0][bins.counts[bins.ranges.index((10, 19))]] = sum(0 < n < 2 for n in own[1])
    reasons = check_counts(found, dataclasses.replace(one, small=small), policy)
    used = {reasons[0, i] for i in bins.counts}
    assert Reason.PASSES not in used


# --- the computation ------------------------------------------------------------------------------

FOUR = Bins(0, (1, 2, 3, 4), ((0, 9), (10, 19), (20, 29), (30, 39)))
sizes = st.lists(st.integers(0, 9), min_size=4, max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    sizes,
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.fractions(Fraction(1, 100), Fraction(99, 100)),
    st.sampled_from([0, 2, 3, 5, 10]),
)
def test_the_bins_of_both_ranks_are_inside_and_no_wider_than_must_be(
    counts: list[int], kept: list[bool], share: Fraction, base: int
) -> None:
    total = sum(counts)
    rounded = [(2 * n + base) // (2 * base) * base if base else n for n in (total, *counts)]
    ends = enclose(FOUR, share, rounded, [True, *kept], base)
    if not total:
        assert ends is None or base
        return
    assert ends is not None
    ends_at = list(itertools.accumulate(counts))
    first = bisect.bisect_left(ends_at, 1 + math.floor(share * (total - 1)))
    last = bisect.bisect_left(ends_at, 1 + math.ceil(share * (total - 1)))
    assert ends[0] <= FOUR.ranges[first][0]
    assert ends[1] >= FOUR.ranges[last][1]
    if all(kept) and not base:
        assert ends == (FOUR.ranges[first][0], FOUR.ranges[last][1])
    elsewhere = list(rounded)
    hidden = [i for i in range(4) if not kept[i]]
    if len(hidden) > 1:  # only their total is used
        elsewhere[1 + hidden[0]], elsewhere[1 + hidden[1]] = 0, -1
        assert enclose(FOUR, share, elsewhere, [True, *kept], base) == ends


def test_bins_that_do_not_add_up_end_the_run() -> None:
    """A broken node, or one that lies about a bin."""
    found = planned("APPROX_PERCENTILE(v, 0.5, 10) AS m")
    (bins,) = found.bins
    one = opened(found, [[0] * 10] * 3)
    row = list(one.counts[0])
    row[bins.counts[0]] += 1
    with pytest.raises(VerificationError):
        verify_counts(found, dataclasses.replace(one, counts=[row]), 3)


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ("MAX(v)", "APPROX_PERCENTILE(x, 0.95, 10)"),
        ("MEDIAN(v)", "APPROX_PERCENTILE(x, 0.5, 10)"),
        ("APPROX_PERCENTILE(v, 0.5)", "width of bins"),
        ("APPROX_PERCENTILE(v, 0, 10)", "between 0 and 1"),
        ("APPROX_PERCENTILE(v, 1, 10)", "between 0 and 1"),
        ("APPROX_PERCENTILE(v, 1.5, 10)", "between 0 and 1"),
        ("APPROX_PERCENTILE(v, v, 10)", "between 0 and 1"),
        ("APPROX_PERCENTILE(v, 0.5, 0)", "more than nothing"),
        ("APPROX_PERCENTILE(v, 0.5, -1)", "more than nothing"),
        ("APPROX_PERCENTILE(v, 0.5, 0.5)", "more decimals"),
        ("APPROX_PERCENTILE(v, 0.5, v)", "is a constant"),
        ("APPROX_PERCENTILE(g, 0.5, 10)", "numeric column"),
        ("APPROX_PERCENTILE(3, 0.5, 10)", "numeric column"),
        ("APPROX_PERCENTILE(v * v, 0.5, 1)", "at most 200"),
        ("ROUND(APPROX_PERCENTILE(v, 0.5, 10), 1)", "output by itself"),
        ("APPROX_PERCENTILE(v, 0.5, 10) + 1", "output by itself"),
        ("SUM(v) / APPROX_PERCENTILE(v, 0.5, 10) FILTER (WHERE v > 1)", "output by itself"),
        ("APPROX_PERCENTILE(v, 0.5, 10) AS a, APPROX_PERCENTILE(v, 0.9, 7) AS b", "one width"),
        ("APPROX_PERCENTILE(v, 0.5, 10) AS a, COUNT(*) AS a_low", "two output columns"),
        ("COUNT(*) FILTER (WHERE APPROX_PERCENTILE(v, 0.5, 10) > 1)", "not supported"),
        ("APPROX_PERCENTILE(SUM(v), 0.5, 10)", "aggregate"),
    ],
)  # fmt: skip
def test_what_is_refused_says_what_to_write(select: str, says: str) -> None:
    with pytest.raises(SqlError) as refused:
        planned(select)
    assert says in f"{refused.value.message} {refused.value.hint}"


def test_not_with_noise() -> None:
    """No interval around a noisy count is certain."""
    noisy = OutputPolicy(
        min_count=3,
        min_holders=2,
        privacy=Privacy(NoiseMechanism.GEOMETRIC, epsilon=1_000_000, max_rows_per_unit=1),
    )
    with pytest.raises(SqlError, match="noise"):
        plan(
            Statement("s", "SELECT APPROX_PERCENTILE(v, 0.5, 10) AS m FROM t"), [CONTRACT], 3, noisy
        )
