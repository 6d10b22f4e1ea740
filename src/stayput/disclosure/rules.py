"""The rules of output checking: small pure functions, each with its formula and source.

Sources: ABS DataLab ("Input and output clearance", rule of 10), acro 1.0.2 (``default.yaml``),
the Handbook on Statistical Disclosure Control (ESSnet, ch. 4), DataSHIELD dsBase 6.3.3.

Matrices are numpy arrays of exact integers with a row per cell; a rule is true where it is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
"""Exact integers (``object`` or ``int64``), a row per cell."""

Flags = npt.NDArray[np.bool_]


def enough_rows(rows: Numbers, min_count: int) -> Flags:
    """Frequency: at least ``min_count`` rows (10: ABS "rule of 10", acro ``safe_threshold``)."""
    return np.asarray(rows >= min_count, dtype=np.bool_)


def enough_holders(holders: Numbers, min_holders: int) -> Flags:
    """Contributing holders: at least ``min_holders`` have such rows.

    Else the sum would be one holder's partial, or one of two could subtract its own.
    """
    return np.asarray(holders >= min_holders, dtype=np.bool_)


def empty(rows: Numbers) -> Flags:
    """No row at all."""
    return np.asarray(rows == 0, dtype=np.bool_)


def enough_units(units: Numbers, min_count: int, *, apart: bool) -> Flags:
    """Protected units: at least ``min_count`` people, however many rows each has.

    Within a holder, distinct units are counted.  Over holders, n_i of them at holder i, the number
    of distinct people N has max n_i ≤ N ≤ Σ n_i.  If nobody is known to two holders, N = Σ n_i and
    ``units`` is that sum; else only the lower bound is of use, and ``units`` is the number of
    holders with n_i ≥ ``min_count``: one is enough.
    """
    return np.asarray(units >= (min_count if apart else 1), dtype=np.bool_)


def none(flags: Numbers) -> Flags:
    """No holder raises a flag.

    For ``min_count_per_holder`` k this implies the rule against n - 1 holders in league, who are
    left with N - n_i people: each holder j has n_j = 0 or n_j ≥ k, so N - n_i, a sum of such
    numbers, is 0 or at least k, for every i and for every group of holders left out.
    """
    return np.asarray(flags == 0, dtype=np.bool_)


def enough_freedom(rows: Numbers, parameters: int, least: int) -> Flags:
    """Residual degrees of freedom: n rows less the parameters fitted to them (acro: 10).

    A variance has its mean as parameter, a straight line two.
    """
    return np.asarray(rows - parameters >= least, dtype=np.bool_)
