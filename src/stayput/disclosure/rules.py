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
