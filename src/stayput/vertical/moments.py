"""Which sums over a join make up what is asked: features of holders, and products of two of them.

A *feature* is a whole number ≥ 0 that one holder computes for each of its rows; a *moment* is a
sum over the people of a cell of 1, of one feature, or of a product of two features of two holders.
Additive encryption computes exactly these: a product of more holders' numbers, or a comparison of
what nobody sees together, it cannot.

Here a sum of a polynomial of declared columns becomes a *recipe*: whole numbers times moments.
Columns are shifted by their declared minimum where that is negative, and the recipe shifts back,
exactly::

    Σ (x + a)·(y + b) = Σ f·g + b·Σ f + a·Σ g + a·b·n      with f = x, g = y shifted up

Products of columns of one holder are that holder's own feature, and so is a sum of such
(:func:`merged`): of Σ (0.4·a + 0.6·b) nobody but the holder of both ever has Σ a.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from stayput.sql.tree import Arithmetic, Case, Column, Expr, Number, Operation, columns_of

Monomial = tuple[Expr, ...]
"""A product of columns, or of other expressions of one holder each, in a fixed order."""

Polynomial = Mapping[Monomial, int]
"""Coefficients, in units of the expression's scale."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """A number ≥ 0 that one holder computes per row: ``expr`` minus ``shift``."""

    table: str
    expr: Expr
    shift: int  # at most 0

    @property
    def largest(self) -> int:
        """Upper bound."""
        return self.expr.high - self.shift


Moment = tuple[int, ...]
"""Indices of the features that are multiplied, sorted: none (the count), one, or two."""

Recipe = tuple[tuple[int, int], ...]
"""(factor, index of a moment): what to add up."""


Opened = Sequence[int] | Mapping[int, int]
"""Opened moments of one cell, by index."""


MAX_MERGED = 2**62
"""A holder computes a merged feature in 64 bits; a larger one stays in its parts."""


def merged(polynomial: Polynomial, scale: int) -> Polynomial:
    """The same sum, with all that one holder can add up by itself as one number of that holder.

    Args:
        polynomial: in units of ``10**-scale``.
        scale: of the expression that it was made of.
    """
    alone: dict[str, dict[Monomial, int]] = {}
    for monomial, coefficient in polynomial.items():
        tables = {table_of(atom) for atom in monomial}
        if len(tables) == 1:
            alone.setdefault(tables.pop(), {})[monomial] = coefficient
    found = dict(polynomial)
    for parts in alone.values():
        common = math.gcd(*parts.values())
        products = [_product(monomial) for monomial in parts]
        numbers = [coefficient // common for coefficient in parts.values()]
        terms = zip(numbers, products, strict=True)
        if len(parts) == 1 or sum(abs(n) * p.size for n, p in terms) >= MAX_MERGED:
            continue
        total: Expr | None = None
        for number, product in zip(numbers, products, strict=True):
            # Scales are such that each term counts in the units of the polynomial.
            term = Arithmetic(Operation.MULTIPLY, Number(number, scale - product.scale), product)
            total = term if total is None else Arithmetic(Operation.ADD, total, term)
        assert total is not None
        for monomial in parts:
            del found[monomial]
        found[(total,)] = common
    return found


def _product(atoms: Sequence[Expr]) -> Expr:
    expr = atoms[0]
    for atom in atoms[1:]:
        expr = Arithmetic(Operation.MULTIPLY, expr, atom)
    return expr


class TooManyHolders(ValueError):
    """A sum that needs the rows of more than two holders together."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"{', '.join(tables)} together")
        self.tables = tuple(tables)


class Moments:
    """Collects the distinct features and moments of one question. One use.

    ``keys`` are the tables of the group keys: their holders are part of every product.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = frozenset(keys)
        self.features: list[Feature] = []
        self.moments: list[Moment] = [()]

    def recipe(self, polynomial: Polynomial) -> Recipe:
        """The recipe of a sum over the people of a cell.

        Raises:
            TooManyHolders: it needs more than two holders' numbers for one person.
        """
        found: dict[int, int] = {}
        for monomial, coefficient in polynomial.items():
            for features, factor in self._shifted(monomial):
                index = self._moment(features)
                found[index] = found.get(index, 0) + coefficient * factor
        return tuple((factor, index) for index, factor in sorted(found.items()) if factor)

    def _shifted(self, monomial: Monomial) -> list[tuple[Moment, int]]:
        """The monomial as features times factors: each table's part is a feature plus its shift."""
        parts: dict[str, list[Expr]] = {}
        for atom in monomial:
            parts.setdefault(table_of(atom), []).append(atom)
        tables = sorted(self._keys | parts.keys())
        if len(tables) > 2:
            raise TooManyHolders(tables)
        terms: list[tuple[Moment, int]] = [((), 1)]
        for table, atoms in sorted(parts.items()):
            expr = _product(atoms)
            feature = Feature(table, expr, min(expr.low, 0))
            number = self._feature(feature)
            terms = [
                *(((*chosen, number), factor) for chosen, factor in terms),
                *((chosen, factor * feature.shift) for chosen, factor in terms if feature.shift),
            ]
        return [(tuple(sorted(chosen)), factor) for chosen, factor in terms]

    def _feature(self, feature: Feature) -> int:
        if feature not in self.features:
            self.features.append(feature)
        return self.features.index(feature)

    def _moment(self, moment: Moment) -> int:
        if moment not in self.moments:
            self.moments.append(moment)
        return self.moments.index(moment)


def apply(recipe: Recipe, opened: Opened) -> int:
    """The sum that a recipe says, from opened moments."""
    return sum(factor * opened[index] for factor, index in recipe)


def table_of(atom: Expr) -> str:
    """The one table of whose columns an expression is made.

    Raises:
        ValueError: of several.
    """
    tables = {column.table for column in columns_of(atom)}
    if len(tables) != 1:
        raise ValueError("the expression is made of several tables' columns")
    return tables.pop()


def expand(expr: Expr) -> dict[Monomial, int]:
    """A sum, difference and product of columns and numbers as a polynomial.

    Coefficients are in units of ``10**-expr.scale``; each column counts in units of its own scale.

    Raises:
        TypeError: another operation.
    """
    if isinstance(expr, Number):
        return {(): expr.value} if expr.value else {}
    if isinstance(expr, (Column, Case)):
        return {(expr,): 1}
    if not isinstance(expr, Arithmetic):
        raise TypeError(f"{type(expr).__name__} is no polynomial")
    left, right = expand(expr.left), expand(expr.right)
    found: dict[Monomial, int] = {}
    if expr.operation is Operation.MULTIPLY:
        for a, x in left.items():
            for b, y in right.items():
                product = tuple(sorted((*a, *b), key=repr))
                found[product] = found.get(product, 0) + x * y
    else:
        sign = 1 if expr.operation is Operation.ADD else -1
        for side, part, factor in ((expr.left, left, 1), (expr.right, right, sign)):
            for monomial, value in part.items():
                scaled = factor * value * 10 ** (expr.scale - side.scale)
                found[monomial] = found.get(monomial, 0) + scaled
    return {monomial: value for monomial, value in found.items() if value}
