"""Noise for differential privacy: whole numbers from OpenDP's samplers.

Exact sampling of discrete distributions (Canonne, Kamath, Steinke, NeurIPS 2020) from the operating
system's random bytes; there is no seed.  OpenDP asks for its ``contrib`` feature to be named: these
mechanisms are in daily use, yet not every proof is vetted.  We draw the noise of zeros and add it
ourselves, since our sums have more than the 64 bits of OpenDP.

Not here: how much noise (:mod:`stayput.privacy`).  What leaks: how long drawing takes hints at the
size of noise (Jin et al., "Are we there yet?"); a vector is drawn at once, before anything is sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stayput.errors import InvalidInput


def draw_noise(scales: Sequence[float], *, gaussian: bool) -> list[int]:
    """Independent noise, one whole number for each scale.

    Args:
        scales: b of P(x) ∝ exp(-|x|/b), or σ of P(x) ∝ exp(-x²/2σ²).
        gaussian: the latter.

    Raises:
        InvalidInput: a scale is not a finite number above 0: OpenDP takes 0 for "no noise".
    """
    # Late: 0.3 s that only a node with a noisy run has to spend.
    import opendp.prelude as dp  # noqa: PLC0415

    wanted = np.array(scales, dtype=np.float64)
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise InvalidInput("the scale of noise is not a finite number above 0")
    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    found = np.zeros(len(wanted), dtype=object)
    for scale in np.unique(wanted):
        if gaussian:
            mechanism = dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), scale=float(scale))
        else:
            mechanism = dp.m.make_laplace(domain, dp.l1_distance(T="i64"), scale=float(scale))
        places = np.flatnonzero(wanted == scale)
        found[places] = mechanism([0] * len(places))
    return [int(number) for number in found]
