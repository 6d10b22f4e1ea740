"""Safe primes: primes p = 2p' + 1 with p' prime, found by sieving.

One takes 0.3 s of one core at 1024 bits and 2 s at 1536 bits on average, with a wide spread.

Paillier keys here need them: short encryption exponents are only as hard to find as the order of
the group is free of small factors.  Not here: anything about Paillier.

What leaks: generation is not constant time; it happens once, on the key owner's machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

import gmpy2
import numpy as np

from stayput.crypto import prime_search
from stayput.crypto.prime_search import odd_primes, residues_modulo, survivors

_SIEVE_BELOW: Final = 1 << 24
"""Candidates with a factor below are dropped before any exponentiation.  At 1536 bits that leaves
1,300 tests of 1.5 ms for 0.2 s of sieving; 2^22 leaves 1,550, and 2^25 costs what it saves."""

_WINDOW: Final = 1 << 18
"""Candidates per random start; a 1536-bit safe prime is one in about 140,000 candidates."""

_STEP: Final = 12
"""p = 2p'+1 with p, p' prime to 6 means p = 11 modulo 12 (and so p = 3 modulo 4)."""


def generate_safe_prime(bits: int) -> int:
    """A random safe prime of exactly ``bits`` bits, its two highest bits set.

    With both high bits set the product of two such primes has exactly twice the bits.

    Raises:
        ValueError: too few bits.
    """
    return next(found for found in search_safe_primes(bits) if found is not None)


def search_safe_primes(bits: int) -> Iterator[int | None]:
    """Random safe primes as :func:`generate_safe_prime` gives them, without end.

    The search is incremental from random starts (Brandt–Damgård 1992), 384 bits and more.  After
    each prime it starts anew, so primes are independent.

    Yields:
        None for each candidate that failed its tests, so that the caller can stop; else a prime.

    Raises:
        ValueError: too few bits.
    """
    if bits < 384:
        raise ValueError("a safe prime here has at least 384 bits")
    high_bits = 0b11 << (bits - 2)
    while True:
        start = secrets.randbits(bits - 2) | high_bits
        start += (11 - start) % _STEP
        for candidate in _candidates(start):
            if candidate.bit_length() == bits and is_safe_prime(candidate):
                yield candidate
                break
            yield None


def expected_tests(bits: int) -> int:
    """Candidates that are tested on average for one safe prime."""
    return prime_search.expected_tests(bits, bits - 1, _SIEVE_BELOW)


def is_safe_prime(number: int) -> bool:
    """Whether ``number`` and ``(number - 1) / 2`` are (probable) primes.

    Base-2 Fermat tests come first, as they settle nearly every composite; then GMP's Baillie–PSW
    test, to which no composite is known to pass, with Miller–Rabin rounds of random bases.
    """
    p = gmpy2.mpz(number)
    half = p >> 1
    return bool(
        p > 11
        and p % _STEP == 11
        and gmpy2.powmod(2, half - 1, half) == 1
        and gmpy2.powmod(2, p - 1, p) == 1
        and gmpy2.is_prime(half, 40)
        and gmpy2.is_prime(p, 40)
    )


def _candidates(start: int) -> Iterator[int]:
    """Numbers start + 12k of one window without small factors in themselves or in p'."""
    primes = odd_primes(_SIEVE_BELOW)[1:]  # 3 is settled by the step
    missing = primes - residues_modulo(start, primes)
    # 12^-1 mod p = (1 + (-p mod 12)·p) / 12, since p·p = 1 modulo 12
    one, step = np.uint64(1), np.uint64(_STEP)
    inverses = (one + (step - primes % step) * primes) // step
    # p = 0: p itself has the factor; p = 1: p' has it
    struck = (missing * inverses % primes, (missing + one) * inverses % primes)
    for k in survivors(primes, struck, _WINDOW):
        yield start + _STEP * k
