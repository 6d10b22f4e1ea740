"""The kernel against its definitions: Python's own ``pow`` and products, nothing shared with it."""

from __future__ import annotations

import itertools
import math
import secrets

import gmpy2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.crypto import kernel
from stayput.crypto.kernel import CrtPower, FixedBase, Product, best_window, table_bytes

P, Q = (int(gmpy2.next_prime(3 << 254 | salt)) for salt in (0xABCDEF, 0x123457))
N = P * Q
SQUARE = N * N
BASE = pow(0x1234567890ABCDEF, N, SQUARE)

numbers = st.integers(1, SQUARE - 1).filter(lambda u: math.gcd(u, N) == 1)


@pytest.mark.parametrize("window", [1, 2, 5, 8, 11])
@pytest.mark.parametrize("exponent_bits", [1, 40, 64, 97])
def test_powers_are_powers(window: int, exponent_bits: int) -> None:
    powers = FixedBase(N, BASE, exponent_bits, window)
    for digits in powers.draw(5):
        exponent = powers.exponent(digits)
        assert 0 <= exponent < 2**exponent_bits
        assert powers.encrypt(0, digits) == pow(BASE, exponent, SQUARE)


@settings(deadline=None)
@given(st.integers(0, N - 1), st.integers(0, 2**64 - 1), numbers)
def test_encryption_is_the_definition_for_any_base(m: int, exponent: int, base: int) -> None:
    powers = FixedBase(N, base, 64, 4)
    digits = [exponent >> (4 * i) & 15 for i in range(16)]
    assert powers.exponent(digits) == exponent
    expected = (1 + m * N) * pow(base, exponent, SQUARE) % SQUARE
    assert powers.encrypt(m, digits) == expected


def test_extreme_exponents() -> None:
    powers = FixedBase(N, BASE, 50, 7)  # the highest digit has one bit
    top = [127] * 7 + [1]
    assert powers.exponent(top) == 2**50 - 1
    assert powers.encrypt(N - 1, top) == (1 - N) * pow(BASE, 2**50 - 1, SQUARE) % SQUARE
    assert powers.encrypt(5, [0] * 8) == 1 + 5 * N


@pytest.mark.parametrize("window", [3, 7, 10])
def test_exponents_are_uniform(window: int) -> None:
    """χ² over every digit's values, every bit balanced, neighbouring digits unrelated."""
    powers = FixedBase(N, BASE, 384, window)
    drawn = np.array(powers.draw(40_000))
    top = 384 % window or window
    for column, digits in enumerate(drawn.T):
        values = 1 << (top if column == len(drawn.T) - 1 else window)
        counts = np.bincount(digits, minlength=values)
        assert len(counts) == values
        expected = len(digits) / values
        chi2 = float(((counts - expected) ** 2 / expected).sum())
        assert abs(chi2 - (values - 1)) < 7.5 * math.sqrt(2 * (values - 1)) + 15
    bits = drawn[:, :-1, None] >> np.arange(window) & 1
    assert abs(bits.mean(axis=0) - 0.5).max() < 0.018  # seven standard deviations
    correlation = np.corrcoef(drawn[:, :-1].T) - np.eye(drawn.shape[1] - 1)
    assert abs(correlation).max() < 0.035


def test_no_two_draws_are_alike() -> None:
    powers = FixedBase(N, BASE, 384, 8)
    drawn = {powers.exponent(digits) for digits in powers.draw(1000) + powers.draw(1000)}
    assert len(drawn) == 2000
    assert max(drawn).bit_length() >= 383


@pytest.mark.parametrize("arguments", [(0, 4), (10, 0), (10, 15)])
def test_impossible_tables_are_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="table"):
        FixedBase(N, BASE, *arguments)


def test_window_grows_with_the_work_and_stops_at_the_bound() -> None:
    windows = [best_window(3072, 384, 10**k, 1 << 26) for k in range(8)]
    assert windows == sorted(windows)
    assert windows[0] <= 2
    assert windows[-1] >= 10
    for bound in (1 << 22, 1 << 24, 1 << 26):
        for bits in (256, 384, 1536):
            window = best_window(3072, bits, 10**9, bound)
            assert table_bytes(3072, bits, window) <= bound
            assert table_bytes(3072, bits, window + 2) > bound
    assert best_window(3072, 384, 10**9, 0) == 1


@settings(deadline=None)
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), max_size=5))
def test_product_of_vectors(vectors: list[list[int]]) -> None:
    product = Product(N, 3)
    for vector in vectors:
        product.multiply([divmod(gmpy2.mpz(u), N) for u in vector])
    columns = zip(*vectors, strict=True) if vectors else [()] * 3
    expected = [math.prod(column) % SQUARE for column in columns]
    assert [high * N + low for high, low in product.digits] == expected


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, st.integers(-(2**70), 2**70) | st.integers(-3, 3)), max_size=40))
def test_product_of_powers(pairs: list[tuple[int, int]]) -> None:
    us, exponents = [gmpy2.mpz(u) for u, _ in pairs], [e for _, e in pairs]
    expected = math.prod(pow(u, e, SQUARE) for u, e in pairs) % SQUARE
    assert kernel.power_product(us, exponents, gmpy2.mpz(SQUARE)) == expected


def test_long_product_of_powers() -> None:
    us = [gmpy2.mpz(secrets.randbelow(SQUARE)) for _ in range(3000)]
    exponents = [secrets.randbelow(2**24) - 2**23 for _ in us]
    expected = math.prod(pow(int(u), e, SQUARE) for u, e in zip(us, exponents, strict=True))
    assert kernel.power_product(us, exponents, gmpy2.mpz(SQUARE)) == expected % SQUARE


@pytest.mark.parametrize("blinded", [False, True])
def test_half_of_a_decryption(blinded: bool) -> None:
    half = CrtPower(P, Q, P - 1)
    blinds = half.blinds(pow(5, N, SQUARE)) if blinded else itertools.repeat(None)
    for m, blind in zip((0, 1, N - 1, 2**400), blinds, strict=False):
        number = (1 + m * N) * pow(secrets.randbelow(N), N, SQUARE) % SQUARE
        assert half.open(number, blind) == m % P


@pytest.mark.parametrize("blinded", [False, True])
def test_an_exponent_that_does_not_belong_is_noticed(blinded: bool) -> None:
    half = CrtPower(P, Q, 12345)
    blind = next(half.blinds(pow(5, N, SQUARE))) if blinded else None
    assert half.open(gmpy2.mpz(pow(3, N, SQUARE)), blind) is None


def test_blinds_are_residues_that_nobody_can_foresee() -> None:
    half = CrtPower(P, Q, P - 1)
    drawn = [list(itertools.islice(half.blinds(pow(5, N, SQUARE)), 3)) for _ in range(20)]
    assert all(pow(int(blind), P - 1, P * P) == 1 for blinds in drawn for blind in blinds)
    assert len({int(blind) for blinds in drawn for blind in blinds}) == 60
