"""Primes of subgroup keys: p = 2·a·b + 1 with a prime a of 256 bits and a prime b.

After Groth (TCC 2005) and Ma, Han and Li (ACSAC 2021).  Randomness then lives in the
subgroup whose order is the product of both a, and decryption needs an exponent of 256 bits only.

Not here: what such a key assumes (:mod:`stayput.crypto.paillier`).  What leaks: generation is not
constant time; it happens once, on the key owner's machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

import gmpy2
import numpy as np

from stayput.crypto import prime_search
from stayput.crypto.prime_search import inverses_modulo, odd_primes, residues_modulo, survivors

_SIEVE_BELOW: Final = 1 << 22
_WINDOW: Final = 1 << 18


def generate_subgroup_prime(bits: int, order_bits: int) -> tuple[int, int]:
    """A random prime of exactly ``bits`` bits, its two highest bits set, and its prime a.

    Raises:
        ValueError: lengths for which there is no such prime of use.
    """
    return next(found for found in search_subgroup_primes(bits, order_bits) if found is not None)


def search_subgroup_primes(bits: int, order_bits: int) -> Iterator[tuple[int, int] | None]:
    """Primes as :func:`generate_subgroup_prime` gives them, without end; each with an a of its own.

    Yields:
        None for each candidate that failed its tests, so that the caller can stop; else (p, a).

    Raises:
        ValueError: lengths for which there is no such prime of use.
    """
    if order_bits < 128 or bits < 3 * order_bits:
        raise ValueError("a prime with a subgroup is three times as long as its order, or longer")
    while True:
        order = int(gmpy2.next_prime(secrets.randbits(order_bits - 1) | 1 << (order_bits - 1)))
        if order.bit_length() != order_bits:
            continue
        lowest = (0b11 << (bits - 2)) // (2 * order) + 1
        highest = ((1 << bits) - 2) // (2 * order)
        start = lowest + secrets.randbelow(highest - lowest)
        for cofactor in _candidates(start | 1, order):
            prime = 2 * order * cofactor + 1
            if prime.bit_length() == bits and has_subgroup(prime, order):
                yield prime, order
                break
            yield None


def expected_tests(bits: int, order_bits: int) -> int:
    """Candidates that are tested on average for one prime."""
    return prime_search.expected_tests(bits, bits - order_bits - 1, _SIEVE_BELOW)


def has_subgroup(prime: int, order: int) -> bool:
    """Whether ``prime`` is a (probable) prime 2·order·b + 1 with primes ``order`` and b."""
    if prime < 7 or order < 3 or (prime - 1) % (2 * order):
        return False
    p: Any = gmpy2.mpz(prime)
    cofactor = (p - 1) // (2 * order)
    return bool(
        gmpy2.powmod(2, cofactor - 1, cofactor) == 1
        and gmpy2.powmod(2, p - 1, p) == 1
        and gmpy2.is_prime(order, 40)
        and gmpy2.is_prime(cofactor, 40)
        and gmpy2.is_prime(p, 40)
    )


def _candidates(start: int, order: int) -> Iterator[int]:
    """Odd b of one window such that neither b nor 2·order·b + 1 has a small factor."""
    primes = odd_primes(_SIEVE_BELOW)
    residues = residues_modulo(start, primes)
    twice = residues_modulo(2 * order, primes)
    halves = (primes + np.uint64(1)) // np.uint64(2)  # 2^-1; position k stands for start + 2k
    wanted = primes - inverses_modulo(twice, primes)  # b = -1 / (2·order)
    struck = tuple(
        (target + primes - residues) % primes * halves % primes
        for target in (np.zeros_like(primes), wanted)
    )
    for k in survivors(primes, struck, _WINDOW):
        yield start + 2 * k
