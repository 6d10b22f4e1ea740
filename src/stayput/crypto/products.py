"""Beyond sums: scalar products with known whole numbers, and ciphertexts made unrecognisable.

For an encrypted vector E(y) and known x, the product of E(y_i)^x_i is an encryption of Σ x_i·y_i,
modulo n: signed results are read as m or m - n (:func:`signed`).

Not here: what the numbers mean, bounds (|Σ x_i·y_i| < n/2 is the caller's duty).  What leaks: a
scalar product shows its x to whoever knows the E(y_i), until it is re-randomised; time depends on
x.
Invariant: a residue of a :class:`ResiduePool` is used once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import gmpy2
import numpy as np
import numpy.typing as npt

from stayput.crypto.kernel import Product, power_product
from stayput.crypto.packing import whole_numbers
from stayput.crypto.paillier import (
    CiphertextVector,
    PublicKey,
    Randomness,
    encrypt,
    parse_ciphertexts,
    vector_of,
)
from stayput.errors import InvalidInput, NotYet

MAX_SCALAR_BITS: Final = 128
"""Longer scalars would be no data."""

Scalars = Sequence[int] | npt.NDArray[np.int64]


def scalar_products(vector: CiphertextVector, rows: Iterable[Scalars]) -> CiphertextVector:
    """For every row x, an encryption of Σ x_i·y_i (Pippenger's simultaneous exponentiation).

    Args:
        vector: E(y_i).
        rows: each as long as the vector, whole numbers of at most 128 bits, of either sign.

    Raises:
        InvalidInput: another length, or scalars that are too long or no whole numbers.
    """
    square = gmpy2.mpz(vector.public.modulus) ** 2
    numbers = vector.numbers
    return vector_of(
        vector.public, (power_product(numbers, _scalars(row, len(vector)), square) for row in rows)
    )


def scale(vector: CiphertextVector, scalars: Scalars) -> CiphertextVector:
    """Encryptions of x_i·y_i, slot by slot.

    Raises:
        InvalidInput: see :func:`scalar_products`.
    """
    n = gmpy2.mpz(vector.public.modulus)
    square = n * n
    exponents = _scalars(scalars, len(vector))
    powers = [
        gmpy2.powmod(number, abs(x), square)
        for number, x in zip(vector.numbers, exponents, strict=True)
    ]
    negative = [i for i, x in enumerate(exponents) if x < 0]
    inverses = _inverses([powers[i] for i in negative], square)
    for i, inverse in zip(negative, inverses, strict=True):
        powers[i] = inverse
    return vector_of(vector.public, powers)


def signed(plaintexts: Iterable[int], public: PublicKey) -> list[int]:
    """Plaintexts as numbers of either sign: those above n/2 stand for negative ones."""
    n = public.modulus
    return [m - n if m > n // 2 else m for m in plaintexts]


class ResiduePool:
    """Encryptions of zero made in advance; each is used once.

    Args:
        public: whose ciphertexts will be re-randomised.
        randomness: as for :func:`stayput.crypto.paillier.encrypt`.
    """

    def __init__(self, public: PublicKey, randomness: Randomness | None = None) -> None:
        self._public = public
        self._randomness = randomness
        self._zeros: list[tuple[Any, Any]] = []

    def fill(self, count: int) -> None:
        """Make ``count`` more."""
        data = encrypt(self._public, [0] * count, randomness=self._randomness)
        self._zeros.extend(parse_ciphertexts(data, self._public, count).digits)

    def __len__(self) -> int:
        return len(self._zeros)

    def rerandomise(self, vector: CiphertextVector) -> CiphertextVector:
        """The same plaintexts in ciphertexts that nobody can relate to those of ``vector``.

        Raises:
            InvalidInput: the vector is under another key.
            NotYet: the pool has fewer residues than the vector ciphertexts; none is spent.
        """
        if vector.public != self._public:
            raise InvalidInput("the pool is for another key")
        count = len(vector)
        if count > len(self._zeros):
            raise NotYet("the pool of randomness is too small", hint="Fill it first.")
        keep = len(self._zeros) - count
        self._zeros, spent = self._zeros[:keep], self._zeros[keep:]
        product = Product(self._public.modulus, count)
        product.multiply(vector.digits)
        product.multiply(spent)
        return CiphertextVector(self._public, product.digits)


def _scalars(scalars: Scalars, count: int) -> list[int]:
    whole = whole_numbers(scalars)
    if len(whole) != count:
        raise InvalidInput(f"there are {count} ciphertexts and {len(whole)} scalars")
    if any(x.bit_length() > MAX_SCALAR_BITS for x in whole):
        raise InvalidInput(f"a scalar has at most {MAX_SCALAR_BITS} bits")
    return whole


def _inverses(numbers: Sequence[Any], square: Any) -> list[Any]:
    """All inverses for one inversion and three multiplications each (Montgomery 1987, §10.3.1)."""
    products = [gmpy2.mpz(1)]
    for number in numbers:
        products.append(products[-1] * number % square)
    inverse = gmpy2.invert(products[-1], square)
    inverses = []
    for number, before in zip(reversed(numbers), reversed(products[:-1]), strict=True):
        inverses.append(inverse * before % square)
        inverse = inverse * number % square
    return inverses[::-1]
