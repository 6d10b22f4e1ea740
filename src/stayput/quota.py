"""Quotas: how often a holder's node answers about one data set (clause N-9).

A scenario limits its own runs; who may propose a second scenario has twice as many.  A quota is the
holder's: it counts all runs about a data set, over all scenarios, of each data user and of all of
them, within some days or for ever.  It is charged by the holder's own ledger together with the run
(:meth:`stayput.store.ledger.Ledger.charge`), and refused like a run too many: others see a code
that says nothing of quotas.

A data set is one lineage under one or several names of tables, as for privacy budgets.  Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

DAY_SECONDS = 86_400


@dataclasses.dataclass(frozen=True)
class Quota:
    """How many runs about the data set that ``tables`` show; 0 for no limit.

    ``runs`` are those of all data users together, ``runs_per_user`` of each; ``days`` is the time
    within which they count, 0 for ever.
    """

    name: str
    tables: tuple[str, ...]
    runs: int = 0
    runs_per_user: int = 0
    days: int = 0

    def __post_init__(self) -> None:
        if not self.tables or min(self.runs, self.runs_per_user, self.days) < 0:
            raise ValueError("a quota is of some tables, and its numbers are not negative")
        if not (self.runs or self.runs_per_user):
            raise ValueError("a quota limits something")

    def since(self, now: int) -> int:
        """Unix seconds: runs charged later than this count at ``now``."""
        return now - self.days * DAY_SECONDS if self.days else -1


@dataclasses.dataclass(frozen=True)
class Use:
    """A run as quotas see it: whose, about which tables of this holder's, when charged."""

    user: str
    tables: tuple[str, ...]
    time: int


def concerned(quotas: Sequence[Quota], use: Use) -> tuple[Quota, ...]:
    """The quotas that a run is charged to."""
    return tuple(quota for quota in quotas if set(quota.tables) & set(use.tables))
