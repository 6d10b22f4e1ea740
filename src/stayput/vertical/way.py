"""The way of a blinded set: who raises it, in which order.

Apart from :mod:`stayput.vertical.blinding`, since the log's rules need nothing else of a join.
"""

from __future__ import annotations

from collections.abc import Sequence


def way_of(owner: str, holders: Sequence[str]) -> tuple[str, ...]:
    """Who raises a set, in order (J-3): owner, those after it by name, those before, owner.

    Of two holders the owner does not come back: the other is all that is left, and sees no second
    set at the end of its way.
    """
    names = sorted(holders)
    start = names.index(owner)
    way = (*names[start:], *names[:start])
    return way if len(way) == 2 else (*way, owner)
