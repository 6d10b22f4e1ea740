"""What encrypted sums cost: our Paillier engine beside its peers and its floor, in one run.

All lines of the first table take turns within each round, on one core; figures are medians of
values per CPU-second, ratios are medians of the ratios of each round.  Values have 64 bits, in
slots of 72 where they are packed; keys have 3072 bits.  ``phe`` comes with Stayput.  ``sf-heu``
(``pip install --pre sf-heu``) and ``tenseal`` take part where they are installed: HEU with its own
batch encoder and packed by hand, tenseal's BFV with two plaintext primes for 64 bits.  BFV rests on
another assumption (ring learning with errors); HEU's exponents have DJN's own length, as our line
"half the modulus" has.

Then: the distance to the floor, which is the least number of modular multiplications times what one
of GMP's takes; what masks, packing and proofs cost; one core against two; whole sums through masks,
packing and encryption, each size in a process of its own so that its peak memory is its own; and
what of the engine's goals this run reached.  Tables are Markdown.

    python bench/bench_paillier.py [--rounds 7] [--cells 1000000] [--holders 10]
                                   [--json FILE] [--fill-in README.md docs/crypto.md]

``--cells 0`` leaves the whole sums out; the largest takes minutes.  ``--fill-in`` puts the tables
into documents, between ``<!-- bench: summary -->`` or ``<!-- bench: everything -->`` and
``<!-- /bench -->``; ``--from FILE`` takes them from an earlier ``--json`` instead of measuring.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import gmpy2
import paillier_lines as lines
import paillier_sums
import paillier_tables as tables

from stayput.crypto.paillier import PrivateKey, Randomness
from stayput.crypto.randomness import ORDER_BITS

DEFAULT_BITS = 3072


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as numbers."""
    load = os.getloadavg()[0]
    say("drawing two keys ...")
    private = PrivateKey.generate(options.bits)
    subgroup = PrivateKey.generate_subgroup(options.bits)
    figures = take_turns(options.rounds, private, subgroup)
    figures["scalars"] = lines.scalars(private)
    say("two cores ...")
    figures["cores"] = paillier_sums.both_cores(min(options.rounds, 5), private)
    if options.cells:
        key = private.to_bytes()
        small = min(options.cells, 10_000)
        sizes = [c for c in (10_000, 100_000) if c < options.cells] + [options.cells]
        figures["many"] = [
            paillier_sums.alone(paillier_sums.many_holders, holders, small, key)
            for holders in (10, 100, 1000)
        ]
        figures["sums"] = []
        for cells, used in [*((c, key) for c in sizes), (sizes[-1], subgroup.to_bytes())]:
            say(f"{cells:,} cells ...")
            figures["sums"].append(
                paillier_sums.alone(paillier_sums.whole_sum, cells, options.holders, used)
            )
    figures["machine"] |= {
        "bits": options.bits,
        "rounds": options.rounds,
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "python": platform.python_version(),
        "gmpy2": gmpy2.version(),
        "gmp": gmpy2.mp_version().removeprefix("GMP "),
    }
    return figures


def take_turns(rounds: int, private: PrivateKey, subgroup: PrivateKey) -> dict[str, Any]:
    """All schemes in turn, round by round, with the floors of each round."""
    floor = lines.Multiplications(private)
    ours = lines.our_lines(private, subgroup)
    peers = [*lines.phe_lines(private), *lines.heu_lines(private), *lines.tenseal_lines()]
    around = lines.around(private)
    long, short = private.public.bits // 2, ORDER_BITS
    least: dict[str, list[float]] = {}
    for turn in range(rounds):
        say(f"round {turn + 1} of {rounds} ...")
        for line in (*ours, *peers, around):
            line.turn()
        for name, seconds in {
            "one": floor.one(),
            "mixed": floor.mixed(),
            "small": floor.small(),
            "power": floor.power(long, gmpy2.powmod),
            "power_sec": floor.power(long, gmpy2.powmod_sec),
            "short": floor.power(short, gmpy2.powmod),
            "short_sec": floor.power(short, gmpy2.powmod_sec),
        }.items():
            least.setdefault(name, []).append(seconds * 1e6)
    multiplications = {name: statistics.median(each) for name, each in least.items()}
    return {
        "lines": [
            {
                "scheme": line.name,
                "assumption": line.assumption,
                **{one.name: line.median(one.name) for one in line.operations},
                "bytes": line.bytes_per_value,
                "rounds": line.figures,
            }
            for line in (*ours, *peers)
        ],
        "around": {one.name: around.median(one.name) for one in around.operations},
        "multiplications_us": multiplications,
        "floors": floors(ours, multiplications, private.public.bits),
        "machine": {
            "multiplication_us": multiplications["one"],
            "multiplication_us_best": min(least["one"]),
        },
    }


def floors(ours: list[lines.Line], us: dict[str, float], bits: int) -> list[dict[str, Any]]:
    """For each operation the least it could take, from multiplications timed in the same run."""
    by_name = {line.name: line for line in ours}
    found: list[dict[str, Any]] = []

    def add(operation: str, scheme: str, name: str, least: str, floor: float, rest: str) -> None:
        found.append(
            {
                "operation": operation,
                "least": least,
                "floor_us": floor,
                "spent_us": 1e6 * by_name[scheme].seconds(name),
                "rest": rest,
            }
        )

    for scheme, choice in (
        (tables.DEFAULT, Randomness.SHORT_384),
        (tables.SHORT, Randomness.SHORT_256),
        (tables.DJN, Randomness.HALF),
        (tables.SUBGROUP, Randomness.SUBGROUP),
    ):
        window, digits = lines.window_of(bits, choice)
        add(
            f"encrypt, {scheme.removeprefix('ours, ')}",
            scheme,
            "encrypt",
            f"{digits - 1} of n² by n: {choice.exponent_bits(bits)} bits, window {window}",
            (digits - 1) * us["mixed"],
            "exponents, slopes, Python's loop, bytes",
        )
    add("add", tables.DEFAULT, "add", "1 of n² by n²", us["one"], "nothing: it works on halves")
    for scheme, length, power in (
        (tables.DEFAULT, bits // 2, "power"),
        (tables.SUBGROUP, ORDER_BITS, "short"),
    ):
        key = f"decrypt, {'ordinary' if power == 'power' else 'subgroup'} key"
        products = length + length // 6  # squarings, and one more for each window of 5 bits
        least = f"2 × {products} of p² by p²"
        add(key, scheme, "decrypt", least, 2 * products * us["small"], "constant time")
        add(
            key,
            scheme,
            "decrypt",
            "2 of GMP's powmod_sec",
            2 * us[f"{power}_sec"],
            "L, CRT, Python",
        )
        add(f"{key}, blinded", scheme, "decrypt blinded", "2 of GMP's powmod", 2 * us[power],
            "blinds, L, CRT, Python")  # fmt: skip
    return found


def processor() -> str:
    """What /proc/cpuinfo calls it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cells", type=int, default=1_000_000, help="largest whole sum; 0: none")
    parser.add_argument("--holders", type=int, default=10)
    parser.add_argument("--bits", type=int, default=DEFAULT_BITS, help="of both keys")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--from", type=Path, dest="source", help="figures of an earlier --json")
    parser.add_argument("--fill-in", type=Path, nargs="+", default=[], help="documents to renew")
    options = parser.parse_args()
    if options.source:
        figures = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        figures = json.loads(json.dumps(measure(options)))  # the same as from a file
    print(tables.everything(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for document in options.fill_in:
        tables.fill_in(document, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
