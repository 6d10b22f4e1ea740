"""Where a holder has a table. A description only: making one loads no engine and opens no file."""

from __future__ import annotations

import dataclasses

GLOB_CHARACTERS = "*?[]{}"
"""DuckDB expands these in a path, and what it then may read is no longer one file."""


@dataclasses.dataclass(frozen=True)
class SourceSpec:
    """The file in which a holder has a table.

    ``path`` is absolute; ``format`` is ``parquet``, ``csv`` or ``sqlite``; ``table`` names the
    table inside a SQLite file (may be empty if it has only one).
    """

    path: str
    format: str
    table: str = ""
