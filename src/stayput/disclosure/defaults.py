"""What a scenario file gets that does not say otherwise, each with its source.

A scenario writes all of it out, so that a later default changes no scenario that is signed.
"""

from __future__ import annotations

from stayput.scenario import Dominance, OutputPolicy, Privacy

MIN_COUNT = 10
"""Rows, and people, behind every released number: ABS DataLab "rule of 10"; acro 1.0.2
``safe_threshold``; UK LLC guidebook."""

MIN_HOLDERS = 3
"""Of two contributing holders each can subtract its own part.  Ours; 2 needs every holder's
waiver."""

DOMINANCE = Dominance(p_percent=10, top_two_percent=89)
"""p% rule at 10: acro 1.0.2 (``safe_pratio_p`` 0.10); the Handbook on SDC prefers it to (n, k).
Two contributors with 90 % of a sum fail as well: acro 1.0.2 (``safe_nk_k`` 0.90, which fails at 90,
while we allow up to the number).  ABS is stricter, (1, 50) and (2, 67): ``top_one_percent``,
``top_two_percent``."""

GROUP_PERCENT = 90
"""Nine of ten in one category tell about the tenth.  Often quoted, but we found no primary source:
ours."""

MIN_FREEDOM = 10
"""Residual degrees of freedom of variances, correlations and models: acro 1.0.2
``safe_dof_threshold``."""

MAX_PARAMETERS_PERCENT = 33
"""Parameters of a model per hundred people: DataSHIELD dsBase 6.3.3 ``nfilter.glm`` 0.33.  No
scenario declares it."""

MIN_COUNT_PER_HOLDER = 0
"""Off: it withholds every cell in which some holder has a few rows.  Turn it on (5 or 10) where
holders may be in league with each other."""

RELEASE_ZEROS = False
"""An empty cell looks like any withheld one: acro 1.0.2 ``zeros_are_disclosive``."""

MIN_DIFFERENCE = 10
"""Rows in which any two answers, or a combination of answers, differ: none, or as many as a cell
needs.  acro has no such rule; ours, after the Handbook on SDC (ch. 4.3.3, differencing)."""

ROUNDING = 0
"""Off; acro 1.0.2 rounds to multiples of 5."""


def policy() -> OutputPolicy:
    """The output policy of a scenario file without ``output``."""
    return OutputPolicy(
        min_count=MIN_COUNT,
        min_holders=MIN_HOLDERS,
        dominance=DOMINANCE,
        min_count_per_holder=MIN_COUNT_PER_HOLDER,
        group_percent=GROUP_PERCENT,
        release_zeros=RELEASE_ZEROS,
        min_freedom=MIN_FREEDOM,
        rounding=ROUNDING,
        min_difference=MIN_DIFFERENCE,
    )


def noisy_policy(privacy: Privacy | None) -> OutputPolicy:
    """That of a scenario file with ``privacy`` and without ``output``."""
    return OutputPolicy(min_count=MIN_COUNT, min_holders=MIN_HOLDERS, privacy=privacy)
