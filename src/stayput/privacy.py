"""Differential privacy in numbers: what a run costs, how much noise that is, what it does.

Every holder adds *full* noise to its own sums before it encrypts them (clause D-1).  So what a
holder gives is private by itself, whatever the others do: they may add none, be in league with each
other, or have their parts opened.  The price is the noise of all n holders in a released sum.

**Neighbours.**  Two data sets of a holder are neighbours if one is the other without the rows of
one *unit*: a single row, or all rows of one value of the declared column, of which at most m enter
(the node's SQL leaves out the others, clause D-2).  Each row is in one cell and there adds 0 or 1
to a count, and at most ``max(|min|, |max|)`` to a sum.  So over all cells together a unit changes a
measure by at most

    Δ = m · largest contribution of a row,

in L1, and therefore in L2 as well: Σ x² ≤ (Σ |x|)².

**Noise.**  The cost is shared evenly by the k measures of a statement, whatever round they are sent
in.  By composition the whole run costs

* ε if each measure has two-sided geometric noise, P(x) ∝ exp(-|x|/b), with b = Δ·k/ε (Ghosh,
  Roughgarden, Sundararajan, STOC 2009);
* ρ of zero-concentrated differential privacy if each has discrete Gaussian noise,
  P(x) ∝ exp(-x²/2σ²), with σ² = Δ²·k/2ρ (Canonne, Kamath, Steinke, NeurIPS 2020, theorem 4).

Scales are rounded up, exactly, so rounding costs noise, never privacy.

**One account.**  Budgets are kept in ρ, which simply adds up (Bun, Steinke, TCC 2016): an ε of pure
differential privacy is ρ = ε²/2 (proposition 1.4), and ρ means (ρ + 2·√(ρ·ln(1/δ)), δ) for every δ
(proposition 1.3).  Integers in units of 10**-12; costs are rounded up, totals down.

**Range.**  A noisy number leaves the range that its slot provides for (clause M-4) with probability
below 2**-104; then the node refuses the run.  That costs no privacy: it is a function of the noisy
number alone, and so is whatever a number is cut to (post-processing).

Not here: drawing (:mod:`stayput.crypto.noise`), the ledger.  Arithmetic is exact or in decimals of
:data:`DIGITS` digits, so that everybody computes the same scales.  What leaks: nothing; all of it
follows from the scenario.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

from stayput.errors import RuleViolation
from stayput.scenario import BUDGET_UNIT, DELTA_UNIT, NoiseMechanism, Privacy

PICO = 10**12
"""Budgets are integers in units of 1 / PICO."""

MAX_TOTAL = 1_000 * PICO
"""Of a budget: an epsilon above 1,000 promises nothing."""

DIGITS = 40

USUAL_DELTA = Decimal("1e-6")
"""At which budgets are shown as an epsilon: less than one by the people of most tables."""

MAX_SCALE = 2.0**55
"""OpenDP draws 64-bit integers and stops at their ends; 256 scales away nothing ever is."""

_TAILS = {NoiseMechanism.GEOMETRIC: 73, NoiseMechanism.GAUSSIAN: 13}
"""In scales.  P(|x| ≥ t·b) ≤ 2·exp(-t), and P(|x| ≥ t·σ + 1) ≤ 2·exp(-t²/2) (Canonne et al.,
proposition 25): below 2**-104 for both.  A run of 65,536 holders with 2**24 numbers each stays
inside with probability 1 - 2**-64."""

_ROOT_BITS = 80

_SLACK = Decimal("1e-25")
"""Logarithms and roots are rounded to the nearest, at 40 digits: far less than this."""

_DOWN = Context(prec=DIGITS, rounding=ROUND_FLOOR)
_UP = Context(prec=DIGITS, rounding=ROUND_CEILING)


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a holder lets all runs together cost about one data set, for ever.

    ``name`` is the data set's lineage: charges stay when its files are replaced.  ``total`` is in
    units of 1 / :data:`PICO`.  ``exact``: scenarios without noise may ask its tables besides; their
    answers are not counted.
    """

    name: str
    total: int
    tables: tuple[str, ...]
    exact: bool = False


@dataclasses.dataclass(frozen=True)
class Noise:
    """The noise of a statement: of each measure (counts, then sums), and whose presence it hides.

    ``unit`` is a column of which each value has at most ``max_rows`` rows; empty: a row.
    """

    mechanism: NoiseMechanism
    scales: tuple[float, ...]
    unit: str = ""
    max_rows: int = 1

    def tail(self, measure: int) -> int:
        """What one holder's noise of a measure does not reach, but with probability 2**-104."""
        return tail(self.mechanism, self.scales[measure])

    def error(self, terms: Sequence[tuple[int, int]], holders: int) -> Decimal:
        """Half the width of an interval that holds 95 % of the noise of all holders in a number.

        Args:
            terms: (factor, measure): what the number adds up.
        """
        squares = Fraction(0)
        for factor, measure in terms:
            squares += Fraction(factor) ** 2 * Fraction(self.scales[measure]) ** 2
        root = _root(squares)
        scale = _UP.divide(Decimal(root.numerator), Decimal(root.denominator))
        return _UP.multiply(_quantile(self.mechanism, holders), scale)


def run_cost(privacy: Privacy) -> int:
    """ρ of one run, in units of 1 / :data:`PICO`, rounded up."""
    if privacy.rho:
        return privacy.rho * (PICO // BUDGET_UNIT)
    if privacy.delta:
        delta = Decimal(privacy.delta) / DELTA_UNIT
        return budget_of(Decimal(privacy.epsilon) / BUDGET_UNIT, delta)
    return -(-(privacy.epsilon**2) // (2 * BUDGET_UNIT**2 // PICO))


def budget_of(epsilon: Decimal, delta: Decimal) -> int:
    """The largest ρ that means (ε, δ) at most: (√(ln(1/δ) + ε) - √ln(1/δ))², rounded down."""
    log = -_DOWN.ln(delta)
    root = _DOWN.subtract(_DOWN.sqrt(_DOWN.add(log, epsilon)), _UP.sqrt(log)) - _SLACK
    return max(0, int(_DOWN.multiply(_DOWN.multiply(root, root), PICO)))


def epsilon_of(rho: int, delta: Decimal) -> Decimal:
    """The ε of a ρ (units of 1 / :data:`PICO`) at a δ, rounded up to two digits after the point."""
    spent = Decimal(rho) / PICO
    root = _UP.sqrt(_UP.multiply(spent, -_UP.ln(delta)))
    found = _UP.add(spent, 2 * root) + _SLACK if rho else Decimal(0)
    return found.quantize(Decimal("0.01"), rounding=ROUND_CEILING)


def budget_for(privacy: Privacy | None, table: str, budgets: Sequence[Budget]) -> Budget | None:
    """The budget that a run over a table is charged to; None for one without noise.

    Raises:
        RuleViolation: noise is asked for and the holder has named no budget, or an exact answer
            about data that it answers with noise alone (clause D-6).
    """
    found = next((budget for budget in budgets if table in budget.tables), None)
    if privacy is not None and found is None:
        raise RuleViolation(
            f"this holder has named no privacy budget for the table {table!r}",
            clause="D-6",
            hint=f'name what all runs together may cost: [budgets.{table}] rho = "1" in '
            "stayput.toml",
        )
    if privacy is None and found is not None and not found.exact:
        raise RuleViolation(
            f"the table {table!r} has a privacy budget, and the scenario asks without noise",
            clause="D-6",
            hint=f"exact answers are not counted: refuse, or allow them with [budgets.{found.name}]"
            " exact = true in stayput.toml",
        )
    return None if privacy is None else found


def noise_of(privacy: Privacy, contributions: Sequence[int]) -> Noise:
    """The noise of a statement.

    Args:
        contributions: of each measure, the largest absolute value that one row adds.

    Raises:
        ValueError: the noise of a measure is too large to be drawn.
    """
    shares = len(contributions)
    changes = [privacy.max_rows_per_unit * most for most in contributions]
    if privacy.mechanism is NoiseMechanism.GEOMETRIC:
        wide = [Fraction(change * shares * BUDGET_UNIT, privacy.epsilon) for change in changes]
    else:
        cost = run_cost(privacy)
        wide = [_root(Fraction(change**2 * shares * PICO, 2 * cost)) for change in changes]
    scales = tuple(_float_up(scale) for scale in wide)
    if max(scales) > MAX_SCALE:
        raise ValueError("the noise of a sum is too large for 64 bits")
    return Noise(privacy.mechanism, scales, privacy.unit, privacy.max_rows_per_unit)


def tail(mechanism: NoiseMechanism, scale: float) -> int:
    """What noise of a scale does not reach, but with probability 2**-104."""
    return math.ceil(_TAILS[mechanism] * Fraction(scale)) + 1


def _root(value: Fraction) -> Fraction:
    """A square root, rounded up."""
    shifted = -(-(value.numerator << (2 * _ROOT_BITS)) // value.denominator)
    root = math.isqrt(shifted)
    return Fraction(root + (root * root < shifted), 1 << _ROOT_BITS)


def _float_up(value: Fraction) -> float:
    """The least double that is not below an exact number."""
    found = float(value)
    return found if Fraction(found) >= value else math.nextafter(found, math.inf)


# --- how large the noise of n holders is ----------------------------------------------------------

MANY = 32
"""Holders from which the sum of their noise is taken for normal; two-sided geometric noise has
then an excess kurtosis below 0.1."""

_NORMAL = Decimal("1.959964")


@functools.cache
def _quantile(mechanism: NoiseMechanism, holders: int) -> Decimal:
    """In scales, what the sum of the noise of n holders stays within in 95 of 100 cases."""
    if mechanism is NoiseMechanism.GAUSSIAN:
        return _UP.multiply(_NORMAL, Decimal(holders).sqrt(_UP))
    if holders > MANY:
        return _UP.multiply(Decimal("1.98"), Decimal(2 * holders).sqrt(_UP))
    low, high = Decimal(0), Decimal(4 * holders)
    for _ in range(40):
        middle = (low + high) / 2
        if laplace_tail(holders, middle) > Decimal("0.05"):
            low = middle
        else:
            high = middle
    return high


def laplace_tail(holders: int, distance: Decimal) -> Decimal:
    """P(|S| > t) of a sum S of n Laplace variables of scale 1.

    S is the difference of two gamma variables of shape n, so its density on one side is a
    polynomial times exp(-t); integrated by parts:
    2·exp(-t) · Σ_{j<n} C(n-1+j, j) / 2^(n+j) · Σ_{i<n-j} t^i / i!
    """
    powers = [Decimal(1)]  # partial sums of t^i / i!
    term = Decimal(1)
    for i in range(1, holders):
        term = term * distance / i
        powers.append(powers[-1] + term)
    total = sum(
        (
            Decimal(math.comb(holders - 1 + j, j)) / 2 ** (holders + j) * powers[holders - 1 - j]
            for j in range(holders)
        ),
        Decimal(0),
    )
    return 2 * (-distance).exp() * total
