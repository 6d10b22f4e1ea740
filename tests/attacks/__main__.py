"""``make attacks``: tries every attack and prints what it came to.

    cd tests && python -m attacks [--live] [NAME …]

Without ``--live`` all parties are in this process, with real keys and real encryption; with it
every attack meets a consortium of real processes over TLS.  Exit code 1 if an attack succeeded.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import time

from attacks import court
from attacks.registry import Leak, Outcome, load

WIDTHS = (30, 38, 30, 46)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m attacks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of an attack's name")
    parser.add_argument("--live", action="store_true", help="against real processes")
    options = parser.parse_args()
    chosen = [a for a in load() if not options.names or any(n in a.name for n in options.names)]
    _put(("attack", "what was tried", "what was answered", "stopped by"))
    _put(tuple("-" * width for width in WIDTHS))
    succeeded = 0
    started = time.monotonic()
    for one in chosen:
        if one.in_memory and options.live:
            _put((one.name, "", "", "tried in memory only: it needs a party's own process"))
            continue
        try:
            with court.live() if options.live else court.in_memory() as place:
                outcome = one.carry_out(place)
        except Leak as leak:
            succeeded += 1
            outcome = Outcome("", f"IT SUCCEEDED: {leak}", "NOTHING")
        _put((one.name, outcome.tried, outcome.answered, outcome.stopped))
    print(
        f"{len(chosen)} attacks, {succeeded} succeeded; {time.monotonic() - started:.0f} s",
        file=sys.stderr,
    )
    return 1 if succeeded else 0


def _put(texts: tuple[str, ...]) -> None:
    cells = [textwrap.wrap(text, width) or [""] for text, width in zip(texts, WIDTHS, strict=True)]
    for number in range(max(map(len, cells))):
        line = (
            (cell[number] if number < len(cell) else "").ljust(width)
            for cell, width in zip(cells, WIDTHS, strict=True)
        )
        print("  ".join(line).rstrip())
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
