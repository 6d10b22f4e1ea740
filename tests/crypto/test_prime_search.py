"""The sieve strikes out what has a small factor and nothing else; searches end when told."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import gmpy2
import numpy as np
import pytest

from stayput.crypto import safe_primes, subgroup_primes
from stayput.crypto.prime_search import (
    expected_tests,
    inverses_modulo,
    odd_primes,
    residues_modulo,
    search_together,
    survivors,
)

NUMBERS = [0, 1, 2**40 - 1, 2**40, 3**300, 2**1536 - 1, 2**1535 + 12345678901234567890]


def test_odd_primes_are_all_of_them() -> None:
    primes = odd_primes(1 << 18)
    assert primes[:5].tolist() == [3, 5, 7, 11, 13]
    assert len(primes) == 22_999  # π(2^18) = 23000, less the prime 2
    assert int(primes[-1]) == 262_139
    below = odd_primes(100).tolist()
    assert below == [n for n in range(3, 100) if all(n % d for d in range(2, n))]


@pytest.mark.parametrize("number", NUMBERS)
def test_residues_are_those_of_python(number: int) -> None:
    primes = odd_primes(1 << 24)[::9973]
    assert residues_modulo(number, primes).tolist() == [number % p for p in primes.tolist()]


def test_inverses_are_those_of_python() -> None:
    primes = odd_primes(1 << 24)[5::9973]
    residues = residues_modulo(3**300, primes)
    expected = [pow(3**300, -1, p) for p in primes.tolist()]
    assert inverses_modulo(residues, primes).tolist() == expected
    assert not inverses_modulo(np.zeros_like(primes), primes).any()


@pytest.mark.parametrize("window", [1, 1000, 1 << 16])
def test_survivors_are_the_positions_that_nothing_strikes(window: int) -> None:
    primes = odd_primes(1 << 15)
    firsts = [residues_modulo(seed**40, primes) for seed in (7, 11)]
    struck = {
        position
        for first in firsts
        for prime, start in zip(primes.tolist(), first.tolist(), strict=True)
        for position in range(start, window, prime)
    }
    assert survivors(primes, firsts, window) == sorted(set(range(window)) - struck)


def has_small_factor(number: int, below: int = 1 << 18) -> bool:
    return gmpy2.gcd(number, small_product(below)) != 1


@functools.cache
def small_product(below: int) -> int:
    return int(gmpy2.primorial(below))


def test_no_candidate_for_a_safe_prime_has_a_small_factor_and_none_without_is_lost() -> None:
    start = 2**384 + 2**383
    start += (11 - start) % 12
    kept = set(itertools.takewhile(lambda c: c < start + 1200, safe_primes._candidates(start)))
    for candidate in range(start, start + 1200, 12):
        struck = has_small_factor(candidate, 1 << 24) or has_small_factor(candidate // 2, 1 << 24)
        assert struck == (candidate not in kept)


def test_candidates_of_a_subgroup_have_no_small_factor_on_either_side() -> None:
    order = 2**255 + 95  # a prime: the next after 2^255
    kept = list(itertools.islice(subgroup_primes._candidates(2**600 + 1, order), 40))
    assert kept
    for cofactor in kept:
        assert cofactor % 2
        assert not has_small_factor(cofactor)
        assert not has_small_factor(2 * order * cofactor + 1)


def test_expected_tests_are_what_it_takes() -> None:
    """Of the sieved numbers of one window so many are prime as Mertens' theorem says: within five
    standard deviations."""
    start = 2**384 + 2**383
    start += (11 - start) % 12
    candidates = list(safe_primes._candidates(start))
    found = sum(gmpy2.is_prime(c) and gmpy2.is_prime(c // 2) for c in candidates)
    expected = len(candidates) / safe_primes.expected_tests(384)
    assert 15 < expected < 60
    assert abs(found - expected) < 5 * expected**0.5
    assert expected_tests(1536, 1535, 1 << 24) == pytest.approx(1290, rel=0.01)


# --- searching ------------------------------------------------------------------------------------


def every_hundredth() -> Iterator[int | None]:
    for i in itertools.count(1):
        yield i if i % 100 == 0 else None


def test_a_search_gives_distinct_finds_and_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    found = search_together(
        every_hundredth, 3, expected=150, cores=2, progress=lambda *far: told.append(far)
    )
    assert len(set(found)) == 3
    assert told[-1] == (150, 150)
    assert all(0 < done < total == 150 for done, total in told[:-1])
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_progress_raises_ends_the_search() -> None:
    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_together(lambda: iter(lambda: None, 0), 1, expected=9, cores=2, progress=cancel)


def test_an_error_in_a_search_is_not_lost() -> None:
    def broken() -> Iterator[int | None]:
        yield None
        raise RuntimeError("the search broke")

    with pytest.raises(RuntimeError, match="broke"):
        search_together(broken, 1, expected=9, cores=2)
