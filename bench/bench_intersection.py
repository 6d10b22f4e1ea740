"""The size of an intersection, beside ``openmined-psi`` and its ECDH protocol, on one core each.

Both count CPU seconds of both parties in one process: identifiers to points, both blindings, the
comparison.  Ours blinds on ristretto255 by libsodium, theirs on P-256 by BoringSSL; theirs is told
to send raw points, as ours does.  The floor is one power of a point, of which ours takes four per
item of a set.  ``openmined-psi`` wants an environment of its own, since it pins an old protobuf:
give its Python.

    python bench/bench_intersection.py [--peer /path/to/env/bin/python] [--items 10000 100000]
                                       [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from paillier_tables import number, table

from stayput.crypto.ristretto import Exponent, raise_points, random_points
from stayput.scenario import IdentifierKind, IdentifierRule
from stayput.vertical.blinding import Blinding
from stayput.vertical.matching import Matching
from stayput.vertical.plan import Joined

PEER = """
import sys, time, private_set_intersection.python as psi
n = int(sys.argv[1])
start = time.process_time()
client, server = psi.client.CreateWithNewKey(False), psi.server.CreateWithNewKey(False)
ours = [f"{i:08}" for i in range(n)]
theirs = [f"{i:08}" for i in range(n // 2, n + n // 2)]
setup = server.CreateSetupMessage(0.0, n, theirs, psi.DataStructure.RAW)
answer = server.ProcessRequest(client.CreateRequest(ours))
size = client.GetIntersectionSize(setup, answer)
assert size == n // 2, size
print(time.process_time() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[10_000])
    parser.add_argument("--peer", help="a Python that has openmined-psi")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found = [sizes(items, options.peer) for items in options.items]
    if options.json is not None:
        options.json.write_text(json.dumps({"load": load, "sizes": found}, indent=1), "utf-8")
    print(
        table(
            ["items", "ours, CPU-s", "openmined-psi", "theirs : ours", "floor: one power, µs"],
            (
                [
                    f"{one['items']:,}",
                    *(number(one[name]) for name in ("ours", "openmined", "ratio", "floor_us")),
                ]
                for one in found
            ),
        )
    )


def sizes(items: int, peer: str | None) -> dict[str, Any]:
    """CPU seconds of both parties for the size of an intersection of two sets, half in common."""
    ours, floor_us = cardinality(items)
    theirs = None
    if peer:
        done = subprocess.run(
            [peer, "-c", PEER, str(items)], capture_output=True, text=True, check=True
        )
        theirs = float(done.stdout)
    ratio = None if theirs is None else theirs / ours
    return {
        "items": items,
        "ours": ours,
        "openmined": theirs,
        "ratio": ratio,
        "floor_us": floor_us,
    }


def cardinality(items: int) -> tuple[float, float]:
    """CPU seconds of ours, and microseconds of one power."""
    floor_points = random_points(200)
    start = time.process_time()
    raise_points(floor_points, Exponent.draw())
    each = (time.process_time() - start) / 200 * 1e6
    names = ("ash", "birch")
    start = time.process_time()
    rule = IdentifierRule(IdentifierKind.TEXT)
    tables = [Joined(name, name, rule, items, 0, 1, ()) for name in names]
    parties = {name: Blinding(b"r" * 16, b"s" * 32, name, tables) for name in names}
    sets = {}
    for offset, name in zip((0, items // 2), names, strict=True):
        people = [f"{i:08}".encode() for i in range(offset, offset + items)]
        one, _ = parties[name].first(people)
        (other,) = {*names} - {name}
        sets[name] = parties[other].further(one, one.digest)
    assert Matching(sets, names).joined == items - items // 2
    return time.process_time() - start, each


if __name__ == "__main__":
    main()
