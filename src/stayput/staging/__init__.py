"""Staging: rows live in one short-lived, confined process; only sums and a receipt come out.

:mod:`~stayput.staging.pool` is the door, :mod:`~stayput.staging.process` one process seen from
outside, :mod:`~stayput.staging.child` the same from inside, :mod:`~stayput.staging.confinement`
what it gives up, :mod:`~stayput.staging.destruction` what is checked afterwards.

A run over a join (:mod:`~stayput.staging.joins`) has a process that lives longer: it keeps the rows
and every secret of the join until its holder's shares are made, and gives out what may leave.

What it does not do: it does not sign receipts (the node does), and it says nothing about the source
itself, backups, swap or the page cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stayput.staging.destruction import DeletionFacts, Swept, merge_facts, sweep
    from stayput.staging.joins import JoinRequest, JoinStaging
    from stayput.staging.pool import (
        SourceRefused,
        Staged,
        StagingFailed,
        StagingPool,
        StagingRequest,
    )

__all__ = [
    "DeletionFacts",
    "JoinRequest",
    "JoinStaging",
    "SourceRefused",
    "Staged",
    "StagingFailed",
    "StagingPool",
    "StagingRequest",
    "Swept",
    "merge_facts",
    "sweep",
]


def __getattr__(name: str) -> Any:
    # Lazily: the staging process itself imports this package, and must be hardened first.
    if name in ("DeletionFacts", "Swept", "merge_facts", "sweep"):
        from stayput.staging import destruction  # noqa: PLC0415

        return getattr(destruction, name)
    if name in ("JoinRequest", "JoinStaging"):
        from stayput.staging import joins  # noqa: PLC0415

        return getattr(joins, name)
    if name in __all__:
        from stayput.staging import pool  # noqa: PLC0415

        return getattr(pool, name)
    raise AttributeError(name)
