"""Output checking: which cells may be opened and released.

Evaluated by the checker on what round one opened (:mod:`stayput.disclosure.opened`) alone, before
any value is sent (promise 3).  Each rule is a pure function with its formula and source in
:mod:`stayput.disclosure.rules`; :func:`check_counts` puts them together, cell by cell and count by
count.  A withheld cell is one bit; the checker publishes no reason.

:func:`verify_counts` and :func:`verify_values` (:mod:`stayput.disclosure.invariants`) are not
disclosure rules but sanity: sums that no honest data within the declared bounds can produce end the
run (clause C-3).  Masks turn a missing, foreign or altered part into uniform noise, which fails
here.

What follows from totals of several answers is :mod:`stayput.disclosure.tables`; it loads a solver,
so only the checker imports it.  Not here: differencing over statements with other conditions.
"""

from stayput.disclosure.dominance import dominated
from stayput.disclosure.doubts import Doubt, doubts
from stayput.disclosure.invariants import verify_counts, verify_values
from stayput.disclosure.opened import OpenedCounts, OpenedOverlap
from stayput.disclosure.verdict import (
    Reason,
    Reasons,
    check_counts,
    check_values,
    passes,
    withhold_isolating,
)

__all__ = [
    "Doubt",
    "OpenedCounts",
    "OpenedOverlap",
    "Reason",
    "Reasons",
    "check_counts",
    "check_values",
    "dominated",
    "doubts",
    "passes",
    "verify_counts",
    "verify_values",
    "withhold_isolating",
]
