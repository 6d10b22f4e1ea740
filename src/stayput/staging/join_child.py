"""The staging process of a join, from inside: how it begins.

As in :mod:`stayput.staging.child` nothing of the engine is loaded before the process is hardened.
One thing comes before that: the library of blinded identifiers is unpacked and loaded.  It writes a
file for that, which a hardened process cannot, and nothing has been seen yet that could be written.
"""

from __future__ import annotations

import os

from stayput.staging import confinement


def main(parent: int) -> None:
    """Serve one join from standard input, answering on standard output."""
    from stayput.crypto import ristretto  # noqa: PLC0415 - loads nothing yet
    from stayput.errors import ConfigurationError  # noqa: PLC0415

    try:
        ristretto.load()
        loaded = True
    except ConfigurationError:
        loaded = False
    confinement.harden(parent)
    answers = os.dup(1)
    os.dup2(2, 1)  # to nowhere: what a library prints is no answer
    from stayput.staging.join_service import serve  # noqa: PLC0415

    serve(answers, loaded=loaded)
