"""The arithmetic kernel: all that multiplies modulo n², behind one small interface.

Four things, and nothing about keys, randomness policies or bytes: powers of a fixed base
(:class:`FixedBase`), products of vectors (:class:`Product`), powers modulo one secret prime
(:class:`CrtPower`), and products of many powers (:func:`power_product`).  A native kernel could
take their place; the plain definitions in ``tests/crypto/test_kernel.py`` would be its oracle too.

Everything rests on two ways to write a unit u modulo n²:

* as *digits* to the base n: u = low + high · n.  A product of two costs three multiplications and
  two divisions of half the length, less than one multiplication modulo n²;
* as a *pair* (low, slope): u = low · (1 + slope · n).  Since (1 + a·n)(1 + b·n) = 1 + (a + b)·n,
  slopes only add up, and plaintexts with them; what is left to multiply modulo n² are the lows, of
  half the length.  A power from a table of pairs costs half of the usual one.

What leaks: table look-ups by secret digits and ordinary GMP are not constant time, but for
:meth:`CrtPower.open`, which says how it protects its exponent.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from operator import getitem
from typing import Any, Final

import gmpy2
import numpy as np

MAX_WINDOW: Final = 14
"""Digits of exponents are drawn as 16-bit numbers; wider tables would not fit any memory bound."""

_BUILD_COST: Final = 1.6
"""One table entry costs as much as so many multiplications by an entry (measured)."""

_ENTRY_OVERHEAD: Final = 100
"""Bytes of two Python objects and two list slots beside the numbers of one entry."""

_BLIND_BITS: Final = 384
"""Length of the exponent of the first blind of a call."""


# --- powers of a fixed base -----------------------------------------------------------------------


class FixedBase:
    """Powers of one public base modulo n², from a table (Brickell et al. 1992, fixed-base windows).

    Row i holds base^(d · 2^(window · i)) for every digit d, as pairs.

    Args:
        modulus: n.
        base: a unit modulo n².
        exponent_bits: length of exponents.
        window: bits per digit, 1 to 14.
    """

    def __init__(self, modulus: int, base: int, exponent_bits: int, window: int) -> None:
        if not 1 <= window <= MAX_WINDOW or exponent_bits < 1:
            raise ValueError("there is no such table of powers")
        self.window = window
        self.exponent_bits = exponent_bits
        self._modulus: Any = gmpy2.mpz(modulus)
        self._square: Any = self._modulus * self._modulus
        self._lows, self._slopes = _power_table(
            self._modulus, gmpy2.mpz(base), -(-exponent_bits // window), 1 << window
        )
        top = exponent_bits - window * (len(self._lows) - 1)
        self._masks = np.array(
            [(1 << window) - 1] * (len(self._lows) - 1) + [(1 << top) - 1], dtype="<u2"
        )

    def draw(self, count: int) -> list[list[int]]:
        """``count`` uniformly random exponents, as digits, lowest first.

        Every digit has random bytes of its own, so there is nothing to reduce and no bias.
        """
        rows = len(self._masks)
        words = np.frombuffer(secrets.token_bytes(2 * count * rows), dtype="<u2")
        digits: list[list[int]] = (words.reshape(count, rows) & self._masks).tolist()
        return digits

    def exponent(self, digits: Sequence[int]) -> int:
        """The exponent with these digits."""
        return sum(digit << (self.window * i) for i, digit in enumerate(digits))

    def encrypt(self, plaintext: Any, digits: Sequence[int]) -> Any:
        """``(1 + plaintext · n) · base^exponent`` modulo n², for 0 ≤ plaintext < n."""
        n, square = self._modulus, self._square
        low: Any = 1
        for factor in map(getitem, self._lows, digits):
            low = low * factor % square
        slope = sum(map(getitem, self._slopes, digits), plaintext)
        # low · (1 + slope · n) needs slope only modulo n, and only the lower digit of low.
        number = low + low % n * slope % n * n
        return number - square if number >= square else number


def _power_table(n: Any, base: Any, rows: int, width: int) -> tuple[list[list[Any]], ...]:
    """Lows and slopes of base^(d · width^i), 0 ≤ d < width.

    With u = b(1 + s·n), v = c(1 + t·n) and b·c = quotient·n + low:
    u·v = low · (1 + (s + t + quotient / low)·n).  Instead of dividing by every low, its inverse is
    carried along; there is one inversion in all.
    """
    high, low = divmod(base, n)
    inverse = gmpy2.invert(low, n)
    slope = high * inverse % n
    all_lows, all_slopes = [], []
    for _ in range(rows):
        lows, slopes, last_inverse = [gmpy2.mpz(1)], [gmpy2.mpz(0)], gmpy2.mpz(1)
        for _ in range(width):
            quotient, product = divmod(lows[-1] * low, n)
            last_inverse = last_inverse * inverse % n
            slopes.append((slopes[-1] + slope + quotient * last_inverse) % n)
            lows.append(product)
        low, slope, inverse = lows.pop(), slopes.pop(), last_inverse
        all_lows.append(lows)
        all_slopes.append(slopes)
    return all_lows, all_slopes


def table_bytes(modulus_bits: int, exponent_bits: int, window: int) -> int:
    """Memory of a :class:`FixedBase`, to a few per cent."""
    entries = -(-exponent_bits // window) << window
    return entries * (2 * modulus_bits // 8 + _ENTRY_OVERHEAD)


def best_window(modulus_bits: int, exponent_bits: int, count: int, max_bytes: int) -> int:
    """The window with which building the table and taking ``count`` powers costs least.

    Args:
        max_bytes: no table is larger.
    """
    affordable = [
        window
        for window in range(1, MAX_WINDOW + 1)
        if window == 1 or table_bytes(modulus_bits, exponent_bits, window) <= max_bytes
    ]

    def cost(window: int) -> float:
        return -(-exponent_bits // window) * (_BUILD_COST * (1 << window) + count)

    return min(affordable, key=cost)


# --- products of vectors --------------------------------------------------------------------------


class Product:
    """The product of vectors of units modulo n², slot by slot, formed one vector at a time.

    Plain sequential reduction: trees and delayed reductions measured no better.
    """

    def __init__(self, modulus: int, count: int) -> None:
        self._modulus: Any = gmpy2.mpz(modulus)
        self.digits: list[tuple[Any, Any]] = [(gmpy2.mpz(0), gmpy2.mpz(1))] * count

    def multiply(self, digits: Iterable[tuple[Any, Any]]) -> None:
        """Multiply a vector in, as digits (high, low) to the base n."""
        n, out = self._modulus, []
        for (high, low), (other_high, other_low) in zip(self.digits, digits, strict=True):
            carry, product = divmod(low * other_low, n)
            out.append(((low * other_high + high * other_low + carry) % n, product))
        self.digits = out


def power_product(numbers: Sequence[Any], exponents: Sequence[int], square: Any) -> Any:
    """The product of numbers[i]^exponents[i], exponents of either sign (Pippenger's buckets).

    Per window of bits, numbers with the same digit are multiplied first, so that each number costs
    about one multiplication per window.  One inversion serves all negative exponents.
    """
    longest = max((abs(exponent).bit_length() for exponent in exponents), default=0)
    window = max(1, min(12, len(numbers).bit_length() - 3))
    product, inverted = gmpy2.mpz(1), gmpy2.mpz(1)
    for shift in range(-(-longest // window) * window - window, -1, -window):
        if shift + window < longest:
            product = gmpy2.powmod(product, 1 << window, square)
            inverted = gmpy2.powmod(inverted, 1 << window, square)
        buckets: list[dict[int, Any]] = [{}, {}]
        mask = (1 << window) - 1
        for number, exponent in zip(numbers, exponents, strict=True):
            digit = abs(exponent) >> shift & mask
            if digit:
                bucket = buckets[exponent < 0]
                held = bucket.get(digit)
                bucket[digit] = number if held is None else held * number % square
        product = product * _weigh(buckets[0], square) % square
        inverted = inverted * _weigh(buckets[1], square) % square
    return product if inverted == 1 else product * gmpy2.invert(inverted, square) % square


def _weigh(bucket: dict[int, Any], square: Any) -> Any:
    """The product of bucket[d]^d, by running products from the largest digit down."""
    running, total, above = gmpy2.mpz(1), gmpy2.mpz(1), 0
    for digit in sorted(bucket, reverse=True):
        if above:
            total = total * gmpy2.powmod(running, above - digit, square) % square
        running = running * bucket[digit] % square
        above = digit
    return total * gmpy2.powmod(running, above, square) % square


# --- powers modulo a secret prime -----------------------------------------------------------------


class CrtPower:
    """Half of a decryption: m modulo p from c, as L(c^e mod p²) / L(g^e mod p²), L(u) = (u-1) / p.

    Args:
        prime: p, one of the secret primes.
        other: q.
        exponent: a multiple of the order of every n-th residue modulo p² that is to be opened,
            prime to p.
    """

    __slots__ = ("_exponent", "_factor", "_square", "prime")

    def __init__(self, prime: int, other: int, exponent: int) -> None:
        self.prime: Any = gmpy2.mpz(prime)
        self._square: Any = self.prime * self.prime
        self._exponent: Any = gmpy2.mpz(exponent)
        # L((1 + n)^e) = e·q modulo p
        self._factor: Any = gmpy2.invert(self._exponent * other, self.prime)

    def open(self, number: Any, blind: Any = None) -> Any | None:
        """m modulo p, or None if ``exponent`` does not belong to this number.

        Normally with ``powmod_sec``, whose time and memory accesses do not depend on the exponent.

        Args:
            blind: an n-th residue modulo p² that nobody else knows (:meth:`blinds`).  The number is
                multiplied by it, which leaves m as it is, and the faster ``powmod`` taken: the base
                of the power is then nothing that anybody chose or has seen (Kocher 1996, §10).
        """
        square = self._square
        if blind is None:
            power = gmpy2.powmod_sec(number % square, self._exponent, square)
        else:
            power = gmpy2.powmod(number * blind % square, self._exponent, square)
        quotient, rest = divmod(power - 1, self.prime)
        return None if rest else quotient * self._factor % self.prime

    def blinds(self, residue: int) -> Iterator[Any]:
        """Blinds without end: a random power of an n-th residue, and then each the square of the
        one before (Kocher 1996, §10).

        Its exponent is as long as those of ciphertexts are by default: whoever could tell such a
        power from any other residue could as well tell what ciphertexts hold.
        """
        start = secrets.randbits(_BLIND_BITS)
        blind = gmpy2.powmod_sec(residue % self._square, start, self._square)
        while True:
            yield blind
            blind = blind * blind % self._square
