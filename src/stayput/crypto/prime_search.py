"""Searching random primes of a form: the sieve that spares most tests, and many cores at once.

A prime of the forms that keys need is one candidate in a hundred thousand.  The sieve drops every
candidate of a window that has a small factor, by a few array operations per window; what is left
costs one exponentiation each, which is where the time goes.

Not here: what makes a prime fit for a key (:mod:`stayput.crypto.safe_primes`,
:mod:`stayput.crypto.subgroup_primes`).  Invariants: a search that is abandoned ends soon;
what one thread finds does not decide what another does.

What leaks: nothing here is constant time; keys are drawn once, on the owner's machine.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

import gmpy2
import numpy as np
import numpy.typing as npt

from stayput.crypto.cores import Progress

Words = npt.NDArray[np.uint64]

MAX_FACTOR_BITS: Final = 24
"""Factors below 2^24 at most: then products of two residues, and limbs, fit 64-bit words."""

_OFTEN: Final = 1 << 14
"""Primes below hit a window often enough to be struck out one by one."""

_TESTS_AT_ONCE: Final = 64
"""A tenth of a second at 1536 bits: how soon a search ends that is over or abandoned."""

_EULER: Final = 1.7810724179901979
"""e^γ, as in Mertens' third theorem."""

T = TypeVar("T")


@functools.cache
def odd_primes(below: int) -> Words:
    """All odd primes below an even bound (sieve of Eratosthenes over odd numbers)."""
    odd = np.ones(below // 2, dtype=np.bool_)  # odd[i] stands for 2i + 1
    odd[0] = False
    for number in range(3, math.isqrt(below) + 1, 2):
        if odd[number // 2]:
            odd[number * number // 2 :: number] = False
    return 2 * np.flatnonzero(odd).astype(np.uint64) + np.uint64(1)


def residues_modulo(number: int, primes: Words) -> Words:
    """``number`` modulo each of the primes below 2^24, by Horner's rule over its limbs."""
    limb_bits = 64 - MAX_FACTOR_BITS
    mask = (1 << limb_bits) - 1
    residues = np.zeros(len(primes), dtype=np.uint64)
    for shift in range(number.bit_length() // limb_bits * limb_bits, -1, -limb_bits):
        residues <<= np.uint64(limb_bits)
        residues |= np.uint64(number >> shift & mask)
        residues %= primes
    return residues


def inverses_modulo(residues: Words, primes: Words) -> Words:
    """The inverse of each residue modulo its prime, by Fermat's r^(p-2); 0 for 0."""
    exponents = primes - np.uint64(2)
    result = np.ones(len(primes), dtype=np.uint64)
    for bit in reversed(range(MAX_FACTOR_BITS)):
        result = result * result % primes
        multiplied = result * residues % primes
        result = np.where(exponents >> np.uint64(bit) & np.uint64(1), multiplied, result)
    return result


def survivors(primes: Words, struck: Iterable[Words], window: int) -> list[int]:
    """The positions below ``window`` that no prime strikes.

    Args:
        struck: arrays of first positions, one position for each prime p; with it all those that
            follow at a distance of p are struck.
    """
    alive = np.ones(window, dtype=np.bool_)
    few = int(np.searchsorted(primes, _OFTEN))
    for first in struck:
        for prime, position in zip(primes[:few].tolist(), first[:few].tolist(), strict=True):
            alive[position::prime] = False
        # The others strike rarely: all of them at once, step by step.
        position, step = first[few:].view(np.int64), primes[few:].view(np.int64)
        while len(position):
            inside = position < window
            position, step = position[inside], step[inside]
            alive[position] = False
            position = position + step
    remaining: list[int] = np.flatnonzero(alive).tolist()
    return remaining


def expected_tests(bits: int, other_bits: int, sieved_below: int) -> int:
    """Tests on average until two sieved numbers of these lengths are prime together.

    One without factors below B is a prime with probability e^γ·ln B / ln x (Mertens).
    """
    sieved = _EULER * math.log(sieved_below)
    return round(bits * other_bits * (math.log(2) / sieved) ** 2)


def search_together(
    search: Callable[[], Iterator[T | None]],
    wanted: int,
    *,
    expected: int,
    cores: int,
    progress: Progress | None = None,
) -> list[T]:
    """``wanted`` distinct finds of a search that several threads carry out, each by itself.

    Args:
        search: gives None for each test that failed, else what it found; each thread starts one.
        expected: tests for all finds on average.
        cores: threads.
        progress: called now and then with tests done and ``expected`` in all; luck decides when it
            ends.  What it raises ends the search.
    """
    found: list[T] = []
    tests = 0

    def look(searching: Iterator[T | None]) -> tuple[Iterator[T | None], list[T | None]]:
        return searching, list(itertools.islice(searching, _TESTS_AT_ONCE))

    with ThreadPoolExecutor(cores, initializer=release_lock_while_computing) as pool:
        running = {pool.submit(look, search()) for _ in range(cores)}
        while len(found) < wanted:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for searching, results in (one.result() for one in ended):
                tests += len(results)
                found += (one for one in results if one is not None and one not in found)
                running.add(pool.submit(look, searching))
            if progress is not None:
                progress(expected if len(found) >= wanted else min(tests, expected - 1), expected)
    return found[:wanted]


def release_lock_while_computing() -> None:
    """Let other threads run while GMP computes in the calling thread."""
    context: Any = gmpy2.get_context()  # a setting of one thread only
    context.allow_release_gil = True
