"""Stayput: organisations answer a question together; their rows stay where they are.

For data users::

    import stayput

    with stayput.connect("home/of/my/identity") as client:
        run = client.run(client.find("nyc-delays"), "delay_by_carrier", first=1, last=6)
        table = run.wait().table

Everything else is under ``stayput --help`` and in the modules; start with ``ARCHITECTURE.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stayput.client import Client

__version__ = "0.1.0"


def connect(home: str | Path) -> Client:
    """Connect as the data user whose identity is in ``home``.

    Raises:
        ConfigurationError: no identity or member list there, or a certificate has expired.
        Unavailable: the coordinator cannot be reached.
    """
    from stayput.connecting import connect_user  # noqa: PLC0415 - grpc loads only when needed

    return connect_user(Path(home))
