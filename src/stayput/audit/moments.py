"""Moments as a reader wants them: UTC, to the second, without a clock.

Unix seconds come from signers and may be anything that an integer can be: what no calendar shows is
printed as the number it is, never refused.
"""

from __future__ import annotations

import datetime
from typing import Final

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _calendar(seconds: int) -> datetime.datetime | None:
    try:
        return _EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        return None


def moment(seconds: int) -> str:
    """``2026-11-03 09:12:45 UTC``."""
    when = _calendar(seconds)
    return f"{seconds} s" if when is None else f"{when.isoformat(' ')[:19]} UTC"


def day(seconds: int) -> str:
    """``2026-11-03``."""
    when = _calendar(seconds)
    return f"{seconds} s" if when is None else when.isoformat()[:10]


def time_of_day(seconds: int) -> str:
    """``09:12:45``."""
    when = _calendar(seconds)
    return f"{seconds} s" if when is None else when.isoformat()[11:19]


def rfc3339(seconds: int) -> str:
    """``2026-11-03T09:12:45Z``, RFC 3339 section 5.6."""
    when = _calendar(seconds)
    return str(seconds) if when is None else f"{when.isoformat()[:19]}Z"


def duration(seconds: int) -> str:
    """``4 s``, ``3 min 05 s``, ``2 h 14 min``."""
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
