"""Combinations of answers that are about few rows: short vectors of a lattice.

Released row sets are vectors of zeros and ones, one place per row; of them only the scalar products
are known, which are the numbers of shared rows.  A combination with whole coefficients c gives each
row a whole weight; cᵀGc, with G the matrix of scalar products, is the sum of the squared weights.
So a combination that is about a set of fewer than ``least`` rows, once each, is one with
0 < cᵀGc < least; a pair S - T has cᵀGc = |S| + |T| - 2·|S ∩ T|.

The search for these is exact: the sets are replaced by shorter differences of each other as long as
there are any (which changes no combination), then all short vectors are enumerated, depth first,
with the part of the length that cannot be undone any more as the bound (Fincke and Pohst, "Improved
methods for calculating vectors of short length in a lattice", 1985).  What takes more than
:data:`MAX_STEPS` steps counts as found: on the safe side.

A combination may also give m times a set, as A+B, A+C and B+C give 2·A.  Then 0 < cᵀGc < m²·least,
m² divides cᵀGc, at least three coefficients are no multiples of m, and each released set S shares
|A ∩ S| rows with it, so m divides all products, of one sign, and m times a product is at most cᵀGc.
That is necessary, not sufficient, so a harmless combination may be found, too; it is searched for
up to :data:`MAX_MULTIPLE` and as far as
:data:`MAX_STEPS_OF_MULTIPLES` go.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

MAX_MULTIPLE = 3
"""Four sets have no combination that gives a higher multiple of a set and not the set itself: no
determinant of four rows of zeros and ones is larger (of five rows: 5)."""

MAX_STEPS = 20_000
MAX_STEPS_OF_MULTIPLES = 400

_SLACK = 1e-6

Gram = Sequence[Sequence[int]]
Accepts = Callable[[int, Sequence[int], Sequence[int]], bool]
"""Whether a combination is wanted: its squared length, coefficients, products with all sets."""


def few_rows(gram: Gram, least: int, fresh: int = 1) -> bool:
    """Whether a combination with one of the first ``fresh`` answers in it is about few rows.

    Args:
        gram: rows shared by each pair of answers; on the diagonal the rows of each.
        least: fewer rows are few.
        fresh: so many answers come first that are new; what the others give away by themselves is
            not looked at.
    """
    basis = _Basis(gram, fresh)
    basis.shorten()
    if not basis.size:
        return False
    once = _Search(basis, gram, least - 1, 1, lambda length, _, __: length > 0)
    if once.found(MAX_STEPS, otherwise=True):
        return True
    return any(
        _Search(basis, gram, m * m * least - 1, m * m, _gives_multiple(m)).found(
            MAX_STEPS_OF_MULTIPLES, otherwise=False
        )
        for m in range(2, MAX_MULTIPLE + 1)
    )


def surely_apart(grams: npt.NDArray[np.int64], least: int) -> npt.NDArray[np.bool_]:
    """Of many tables at once: those of which :func:`few_rows` surely finds nothing.

    Each is reduced as there.  With L the lengths of the reduced vectors and μ the smallest
    eigenvalue of their table scaled to ones on the diagonal, cᵀGc ≥ μ·Σ c²L.  So where few
    coefficients, each ±1, already make a combination too long to be wanted, those with fewer are
    all that has to be looked at.  Of other tables, and of those of which one answer follows from
    others, nothing is said.

    Args:
        grams: tables × answers × answers.
    """
    products = grams.astype(np.int64)  # of the reduced vectors with each other
    size = products.shape[1]
    weights = np.broadcast_to(np.eye(size, dtype=np.int64), products.shape).copy()
    for _ in range(MAX_PASSES):
        steps = [_reduce_all(products, weights, i, j) for i in range(size) for j in range(size)]
        if not any(steps):
            break
    lengths = np.einsum("tii->ti", products)  # writable: the diagonals themselves
    absent = lengths == 0  # a combination of length nothing is about no row
    most = MAX_MULTIPLE**2 * least
    lengths += np.where(absent, 10 * most, 0)
    terms = MAX_TERMS if size <= MAX_TRIPLED else MAX_TERMS - 1
    scale = np.sqrt(lengths.astype(np.float64))
    scaled = products / scale[:, :, np.newaxis] / scale[:, np.newaxis, :]
    smallest = np.linalg.eigvalsh(scaled)[:, 0] - _SLACK
    # The shortest with more than so many terms: others, or one of them twice.
    shortest = np.sort(lengths, axis=1)
    more = np.minimum(shortest[:, : terms + 1].sum(axis=1), 4 * shortest[:, 0])
    if size <= terms:
        more = 4 * shortest[:, 0]
    safe: npt.NDArray[np.bool_] = smallest * more >= most
    candidates = _combinations(size, terms)
    for table in np.flatnonzero(safe):
        own = candidates
        if absent[table].any():
            own = own[(own[:, absent[table]] == 0).all(axis=1)]
        length = ((own @ products[table]) * own).sum(axis=1)
        short = (length > 0) & (length < most)
        chosen = own[short] @ weights[table]
        safe[table] = not _wanted(length[short], chosen, chosen @ grams[table], least).any()
    return safe


def _wanted(
    length: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int64],
    products: npt.NDArray[np.int64],
    least: int,
) -> npt.NDArray[np.bool_]:
    """Of combinations of one table, which are about few rows, once or as a multiple."""
    found: npt.NDArray[np.bool_] = length < least
    one_sign = (products >= 0).all(axis=1) | (products <= 0).all(axis=1)
    for m in range(2, MAX_MULTIPLE + 1):
        several = (weights % m != 0).sum(axis=1) >= 3
        divides = (length % m**2 == 0) & (products % m == 0).all(axis=1)
        short = (length < m * m * least) & (np.abs(products) * m <= length[:, np.newaxis]).all(1)
        found |= several & divides & one_sign & short
    return found


@functools.lru_cache(maxsize=64)
def _combinations(size: int, terms: int) -> npt.NDArray[np.int64]:
    """All coefficients of up to so many terms, each ±1; of two opposite ones, one."""
    found = []
    for number in range(1, terms + 1):
        for places in itertools.combinations(range(size), number):
            for signs in itertools.product((1, -1), repeat=number - 1):
                row = np.zeros(size, dtype=np.int64)
                row[list(places)] = (1, *signs)
                found.append(row)
    return np.array(found, dtype=np.int64)


MAX_TERMS = 3
MAX_TRIPLED = 16
"""Combinations of three are looked at among so many answers, else of two."""

MAX_PASSES = 8
"""Rounds of reduction of many tables at once; what is left long is searched."""


def _reduce_all(
    products: npt.NDArray[np.int64], weights: npt.NDArray[np.int64], i: int, j: int
) -> bool:
    """In each table, replace i by its shortest difference to multiples of j; whether one did."""
    length, both = products[:, j, j], products[:, i, j]
    factor = np.where(length > 0, (2 * both + length) // np.maximum(2 * length, 1), 0)
    factor = np.where(factor * (2 * both - factor * length) > 0, factor, 0)
    if i == j or not factor.any():
        return False
    products[:, i, :] -= factor[:, np.newaxis] * products[:, j, :]
    products[:, :, i] -= factor[:, np.newaxis] * products[:, :, j]
    weights[:, i] -= factor[:, np.newaxis] * weights[:, j]
    return True


def _gives_multiple(m: int) -> Accepts:
    def accepts(length: int, weights: Sequence[int], products: Sequence[int]) -> bool:
        several = sum(weight % m != 0 for weight in weights) >= 3
        if not several or length <= 0 or any(p % m for p in products):
            return False
        one_sign = min(products) >= 0 or max(products) <= 0
        return one_sign and max(map(abs, products)) * m <= length

    return accepts


class _Basis:
    """Whole combinations of the answers that span the same lattice, and their products."""

    def __init__(self, gram: Gram, fresh: int) -> None:
        count = len(gram)
        self.fresh = fresh
        self.vectors = [[int(i == j) for j in range(count)] for i in range(count)]
        self.products = [[int(n) for n in row] for row in gram]
        self._drop_zeros()

    @property
    def size(self) -> int:
        return len(self.vectors)

    def shorten(self) -> None:
        """Replace each vector by a shorter difference to another one, while there is one."""
        changed = True
        while changed:
            changed = False
            for i in range(self.size):
                for j in range(self.size):
                    if i != j and self._reduce(i, j):
                        changed = True
            self._drop_zeros()

    def _reduce(self, i: int, j: int) -> bool:
        length = self.products[j][j]
        if not length:
            return False
        factor = (2 * self.products[i][j] + length) // (2 * length)
        gain = factor * (2 * self.products[i][j] - factor * length)
        if factor == 0 or gain <= 0:
            return False
        self.vectors[i] = [
            a - factor * b for a, b in zip(self.vectors[i], self.vectors[j], strict=True)
        ]
        products = self.products
        products[i] = [a - factor * b for a, b in zip(products[i], products[j], strict=True)]
        for row in products:
            row[i] -= factor * row[j]
        return True

    def _drop_zeros(self) -> None:
        kept = [i for i in range(self.size) if self.products[i][i]]
        self.vectors = [self.vectors[i] for i in kept]
        self.products = [[self.products[i][j] for j in kept] for i in kept]


class _Search:
    """One use: vectors of a squared length up to ``bound``, a multiple of ``step``, that a test
    accepts.

    Coefficients are chosen from the last vector of the basis to the first.
    """

    def __init__(self, basis: _Basis, gram: Gram, bound: int, step: int, accepts: Accepts) -> None:
        order = sorted(range(basis.size), key=lambda i: basis.products[i][i])
        self._vectors = [basis.vectors[i] for i in order]
        self._products = [[basis.products[i][j] for j in order] for i in order]
        self._fresh, self._gram, self._bound, self._accepts = basis.fresh, gram, bound, accepts
        self._lengths, self._slopes = _decomposed(np.array(self._products, dtype=np.float64))
        self._step = step
        self._left = 0
        self._chosen = np.zeros(basis.size)

    def found(self, steps: int, *, otherwise: bool) -> bool:
        """Whether there is one; ``otherwise`` if that takes more than so many steps to tell."""
        self._left = steps
        try:
            return self._descend(len(self._vectors) - 1, float(self._bound))
        except _TooManySteps:
            return otherwise

    def _descend(self, level: int, left: float) -> bool:
        self._left -= 1
        if self._left < 0:
            raise _TooManySteps
        if level < 0:
            length = round(self._bound - left)  # exact: it is whole, and small beside 2**53
            return length % self._step == 0 and self._is_wanted()
        length = self._lengths[level]
        center = -float(self._slopes[level, level + 1 :] @ self._chosen[level + 1 :])
        reach = math.sqrt(max(left, 0.0) / length) + _SLACK if length else 2.0
        for value in range(math.ceil(center - reach), math.floor(center + reach) + 1):
            self._chosen[level] = value
            if self._descend(level - 1, left - length * (value - center) ** 2):
                return True
        self._chosen[level] = 0.0
        return False

    def _is_wanted(self) -> bool:
        chosen = [round(c) for c in self._chosen]
        weights = [
            sum(c * vector[i] for c, vector in zip(chosen, self._vectors, strict=True))
            for i in range(len(self._gram))
        ]
        if not any(weights[: self._fresh]):
            return False
        products = [sum(g * w for g, w in zip(row, weights, strict=True)) for row in self._gram]
        length = sum(p * w for p, w in zip(products, weights, strict=True))
        return length <= self._bound and self._accepts(length, weights, products)


class _TooManySteps(Exception):
    """The search was given up."""


def _decomposed(
    gram: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(lengths, slopes): cᵀGc = Σ_i lengths[i]·(c[i] + Σ_{j>i} slopes[i, j]·c[j])²."""
    size = len(gram)
    rest = gram.copy()
    slopes = np.zeros((size, size))
    lengths = np.zeros(size)
    for i in range(size):
        if rest[i, i] <= _SLACK * gram[i, i]:
            continue  # it follows from those before: any whole coefficient near the center will do
        lengths[i] = rest[i, i]
        slopes[i, i + 1 :] = rest[i, i + 1 :] / lengths[i]
        rest[i + 1 :, i + 1 :] -= np.outer(slopes[i, i + 1 :], rest[i, i + 1 :])
    return lengths, slopes
