"""Noise follows exactly the distribution that it is asked for; nothing else is drawn.

Oracle: the probabilities, computed here from their definition in fractions and doubles, and a
chi-square test whose threshold is that of a false alarm in 10**9 runs (Wilson and Hilferty).
"""

from __future__ import annotations

import math
from collections import Counter

import pytest

from stayput.crypto.noise import draw_noise
from stayput.errors import InvalidInput

DRAWS = 20_000


def weight(x: int, scale: float, gaussian: bool) -> float:
    return math.exp(-(x * x) / (2 * scale * scale)) if gaussian else math.exp(-abs(x) / scale)


def probabilities(scale: float, gaussian: bool) -> dict[int, float]:
    reach = math.ceil(60 * scale) + 60
    weights = {x: weight(x, scale, gaussian) for x in range(-reach, reach + 1)}
    total = math.fsum(weights.values())
    return {x: w / total for x, w in weights.items()}


def chi_square(drawn: list[int], expected: dict[int, float]) -> tuple[float, int]:
    """The statistic and its degrees of freedom; outer values are taken together."""
    inner = [x for x, p in expected.items() if p * len(drawn) >= 10]
    found = Counter(x if x in set(inner) else None for x in drawn)
    bins = [(found[x], expected[x]) for x in inner]
    bins.append((found[None], 1 - math.fsum(expected[x] for x in inner)))
    bins = [(n, p) for n, p in bins if p * len(drawn) > 1e-6]
    return sum((n - p * len(drawn)) ** 2 / (p * len(drawn)) for n, p in bins), len(bins) - 1


def limit(freedom: int, deviations: float = 6.0) -> float:
    """Of chi-square with that many degrees of freedom, so many deviations out."""
    return freedom * (1 - 2 / (9 * freedom) + deviations * math.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("scale", [0.7, 3.5, 20.0])
def test_the_distribution_is_the_exact_one(scale: float, gaussian: bool) -> None:
    expected = probabilities(scale, gaussian)
    statistic, freedom = chi_square(draw_noise([scale] * DRAWS, gaussian=gaussian), expected)
    assert statistic < limit(freedom)


@pytest.mark.parametrize(
    ("drawn_with", "taken_for", "gaussian"),
    [(1.2, 1.0, False), (3.0, 3.5, True), (20.0, 24.0, False)],
)
def test_the_test_would_notice(drawn_with: float, taken_for: float, gaussian: bool) -> None:
    """A scale that is a fifth off is found, in either direction."""
    drawn = draw_noise([drawn_with] * DRAWS, gaussian=gaussian)
    statistic, freedom = chi_square(drawn, probabilities(taken_for, gaussian))
    assert statistic > limit(freedom)


def test_a_rounded_normal_is_not_a_discrete_one() -> None:
    """Of scale 0.3 the discrete Gaussian is 0 far more often than a rounded normal deviate."""
    drawn = draw_noise([0.3] * 4_000, gaussian=True)
    expected = probabilities(0.3, gaussian=True)[0]  # 0.992; rounding gives 0.904
    assert abs(drawn.count(0) / 4_000 - expected) < 0.02


def test_each_number_has_the_noise_of_its_own_scale() -> None:
    drawn = draw_noise([0.01, 1e6] * 300, gaussian=False)
    assert set(drawn[::2]) == {0}
    assert drawn[1::2].count(0) < 4  # each is 0 once in two million draws
    assert len(set(drawn[1::2])) > 295
    assert draw_noise([], gaussian=True) == []


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("gaussian", [False, True])
def test_a_scale_that_is_none_is_refused(scale: float, gaussian: bool) -> None:
    """OpenDP itself takes 0 for "no noise"."""
    with pytest.raises(InvalidInput):
        draw_noise([1.0, scale], gaussian=gaussian)


def test_there_is_no_seed() -> None:
    import random

    import numpy as np

    found = []
    for _ in range(2):
        random.seed(1)
        np.random.seed(1)
        found.append(draw_noise([1000.0] * 50, gaussian=True))
    assert found[0] != found[1]
