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

from stayput.crypto.safe_primes import residues_modulo, small_primes

_SIEVE_BELOW: Final = 1 << 18
_WINDOW: Final = 1 << 16


def generate_subgroup_prime(bits: int, order_bits: int) -> tuple[int, int]:
    """A random prime of exactly ``bits`` bits, its two highest bits set, and its prime a.

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
                return prime, order


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
    primes = small_primes(_SIEVE_BELOW)
    first = residues_modulo(start, primes)
    twice = 2 * residues_modulo(order, primes) % primes
    alive = np.ones(_WINDOW, dtype=np.bool_)  # alive[k] stands for start + 2k
    for prime, residue, slope in zip(primes.tolist(), first.tolist(), twice.tolist(), strict=True):
        half = (prime + 1) // 2
        alive[-residue * half % prime :: prime] = False
        if slope:  # b = -1 / (2·order)
            wanted = -pow(slope, -1, prime)
            alive[(wanted - residue) * half % prime :: prime] = False
    for k in np.nonzero(alive)[0].tolist():
        yield start + 2 * k
