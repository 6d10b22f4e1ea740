"""What one holder demands of every output policy, whatever is asked: the strictest holder wins.

A scenario has one output policy, the same for all, and every holder has to approve it.  So a holder
that wants stricter numbers needs no vote: it refuses to approve laxer ones, by itself, before a
person could overlook them.  Who asks writes the strictest number into the scenario.

Of a scenario with noise only ``min_count`` and ``min_holders`` can be demanded: the other rules
need exact numbers that then leave nobody.  What bounds such a scenario instead is the holder's
privacy budget, without which it is not approved (clause D-6).

What leaks: nothing.  The floor stays in the holder's own settings; what others see is that it does
not approve.
"""

from __future__ import annotations

import dataclasses

from stayput.errors import RuleViolation
from stayput.scenario import OutputPolicy


@dataclasses.dataclass(frozen=True)
class OutputFloor:
    """Section ``[review]`` of ``stayput.toml``: approve no scenario that asks for less."""

    min_count: int = 1
    """Rows, and people, behind every released number."""

    min_holders: int = 2
    """Holders behind every released number."""

    min_count_per_holder: int = 0
    """Each holder has none or so many; 0 does not ask for it."""

    p_percent: int = 0
    """Of the p% rule of dominance; 0 does not ask for it."""

    group_percent: int = 0
    """A group of which so much is in one category is withheld; 0 does not ask for it."""

    min_freedom: int = 0
    """Residual degrees of freedom of variances, correlations and models."""

    min_difference: int = 0
    """Rows in which answers differ; 0 does not ask for it."""

    allow_zeros: bool = True
    """Whether empty cells may be released as 0."""


NO_FLOOR = OutputFloor()
"""Nothing beyond what every scenario has."""


def verify_floor(policy: OutputPolicy, floor: OutputFloor) -> OutputPolicy:
    """A policy that asks for no less than a holder demands; returns it.

    Raises:
        RuleViolation: it does; says all that is missing.
    """
    dominance = 0 if policy.dominance is None else policy.dominance.p_percent
    if policy.privacy is not None:
        floor = OutputFloor(floor.min_count, floor.min_holders)
    pairs = (
        ("min_count", policy.min_count, floor.min_count),
        ("min_holders", policy.min_holders, floor.min_holders),
        ("min_count_per_holder", policy.min_count_per_holder, floor.min_count_per_holder),
        ("dominance.p_percent", dominance, floor.p_percent),
        ("min_freedom", policy.min_freedom, floor.min_freedom),
        ("min_difference", policy.min_difference, floor.min_difference),
    )
    missing = [f"{name} {found}, not {least}" for name, found, least in pairs if found < least]
    lax = policy.group_percent == 0 or policy.group_percent > floor.group_percent
    if floor.group_percent and lax:
        missing.append(f"group_percent {policy.group_percent or 'none'}, not {floor.group_percent}")
    if policy.release_zeros and not floor.allow_zeros:
        missing.append("zeros release, not withhold")
    if missing:
        raise RuleViolation(
            "the scenario asks for less than this holder demands: " + "; ".join(missing),
            clause="S-6",
            hint="refuse it, or agree on [review] in stayput.toml first",
        )
    return policy
