"""Safe primes: primes p = 2p' + 1 with p' prime, found by sieving.

One takes 0.3 s of one core at 1024 bits and 2 s at 1536 bits on average, with a wide spread.

Paillier keys here need them: short encryption exponents are only as hard to find as the order of
the group is free of small factors.  Not here: anything about Paillier.

What leaks: generation is not constant time; it happens once, on the key owner's machine.
"""

from __future__ import annotations

import functools
import math
import secrets
from collections.abc import Callable, Iterator
from typing import Final

import gmpy2
import numpy as np
import numpy.typing as npt

SMALL_FACTORS_BELOW: Final = 1 << 18
"""No modulus that is accepted has a factor below."""

_SIEVE_BELOW: Final = 1 << 22
"""Candidates with a factor below are dropped before any exponentiation: a third fewer than with
2**18, for 0.05 s more per window."""

_LIMB_BITS: Final = 24
"""A prime below 2**22 shifted by so much fits 64 bits: residues of all primes at once."""

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
    return next(search_safe_primes(bits, lambda: False))


def search_safe_primes(bits: int, stop: Callable[[], bool]) -> Iterator[int]:
    """Random safe primes as :func:`generate_safe_prime` gives them, until ``stop()`` is true.

    The search is incremental from random starts (Brandt–Damgård 1992), 384 bits and more.  After
    each prime it starts anew, so primes are independent.

    Args:
        stop: asked before each candidate; lets several threads share one search.

    Raises:
        ValueError: too few bits.
    """
    if bits < 384:
        raise ValueError("a safe prime here has at least 384 bits")
    high_bits = 0b11 << (bits - 2)
    while not stop():
        start = secrets.randbits(bits - 2) | high_bits
        start += (11 - start) % _STEP
        for candidate in _candidates(start):
            if stop():
                return
            if candidate.bit_length() == bits and is_safe_prime(candidate):
                yield candidate
                break


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


@functools.cache
def small_primes(below: int = SMALL_FACTORS_BELOW) -> npt.NDArray[np.int64]:
    """All odd primes below an even bound (sieve of Eratosthenes over odd numbers)."""
    odd = np.ones(below // 2, dtype=np.bool_)  # odd[i] stands for 2i + 1
    odd[0] = False
    for number in range(3, math.isqrt(below) + 1, 2):
        if odd[number // 2]:
            odd[number * number // 2 :: number] = False
    return 2 * np.nonzero(odd)[0] + 1


def _candidates(start: int) -> Iterator[int]:
    """Numbers start + 12k of one window without small factors in themselves or in p'."""
    primes = small_primes(_SIEVE_BELOW)[1:]  # 3 is settled by the step
    residues = residues_modulo(start, primes)
    # 12^-1 mod p = (1 + (-p mod 12)·p) / 12, since p·p = 1 modulo 12
    inverses = (1 + (-primes % _STEP) * primes) // _STEP
    alive = np.ones(_WINDOW, dtype=np.bool_)
    for wanted in (0, 1):  # p = 0: p itself has the factor; p = 1: p' has it
        positions = (wanted - residues) * inverses % primes
        few = int(np.searchsorted(primes, _WINDOW >> 4))
        for prime, position in zip(primes[:few].tolist(), positions[:few].tolist(), strict=True):
            alive[position::prime] = False
        # The others hit a window at most 16 times: all of them at once, step by step.
        position, step = positions[few:], primes[few:]
        while len(position):
            inside = position < _WINDOW
            position, step = position[inside], step[inside]
            alive[position] = False
            position = position + step
    for k in np.nonzero(alive)[0].tolist():
        yield start + _STEP * k


def residues_modulo(number: int, primes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """``number`` modulo each of the primes, by Horner's rule over its limbs."""
    residues = np.zeros(len(primes), dtype=np.int64)
    for shift in range((number.bit_length() // _LIMB_BITS) * _LIMB_BITS, -1, -_LIMB_BITS):
        limb = number >> shift & ((1 << _LIMB_BITS) - 1)
        residues = ((residues << _LIMB_BITS) + limb) % primes
    return residues
