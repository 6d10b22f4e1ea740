"""What encrypted sums cost: our Paillier engine beside its peers and its floor, in one run.

All lines of the first table take turns within each round, on one core; figures are medians of
values per CPU-second.  Values have 64 bits, in slots of 72 where they are packed; keys have 3072
bits.  ``phe`` comes with Stayput.  ``sf-heu`` (``pip install --pre sf-heu``) and ``tenseal`` take
part where they are installed: HEU with its own batch encoder and packed by hand, tenseal's BFV
with two plaintext primes for 64 bits.  BFV rests on another assumption (ring learning with
errors); HEU's exponents have DJN's own length, as our line "half the modulus" has.

Then: one core against two; and whole sums through masks, packing and encryption, each size in a
process of its own so that its peak memory is its own.

    python bench/bench_paillier.py [--rounds 7] [--cells 1000000] [--holders 10] [--json FILE]

``--cells 0`` leaves the whole sums out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np
from phe import paillier as phe

from stayput import encryption
from stayput.crypto import cores, packing, paillier, randomness
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.packing import Layout, layout_for
from stayput.crypto.paillier import Accumulator, PrivateKey, Randomness, parse_ciphertexts
from stayput.encryption import Addition, Context
from stayput.steps import Round

BITS = 3072
WIDTH = 64


@dataclasses.dataclass
class Line:
    """One scheme: what one turn of each operation does, and how many values that is."""

    name: str
    encrypt: Callable[[], Any]
    add: Callable[[Any], Any]
    decrypt: Callable[[Any], Any]
    values: int
    added: int
    opened: int
    bytes_per_value: float
    figures: dict[str, list[float]] = dataclasses.field(default_factory=dict)


def cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


# --- lines ----------------------------------------------------------------------------------------


def plaintexts(layout: Layout) -> list[int]:
    values = np.frombuffer(secrets.token_bytes(8 * layout.count), dtype=np.int64) >> 8
    return packing.pack(packing.residues_from(values, layout), layout)


def our_line(name: str, private: PrivateKey, choice: Randomness | None, ciphertexts: int) -> Line:
    public = private.public
    slots = layout_for(public.plaintext_bits, WIDTH, 10, 1).slots
    layout = layout_for(public.plaintext_bits, WIDTH, 10, slots * ciphertexts)
    packed = plaintexts(layout)
    few = min(ciphertexts, 8 if public.subgroup is None else 32)

    def encrypt() -> Any:
        data = paillier.encrypt(public, packed, randomness=choice)
        return data

    def add(data: Any) -> Any:
        # Checking what arrives is timed apart: see the line below the table.
        vector, spent = cpu(lambda: parse_ciphertexts(data, public, ciphertexts))
        line.figures.setdefault("check", []).append(line.values / spent)
        accumulator = Accumulator(public, ciphertexts)
        accumulator.add(vector)
        _, spent = cpu(lambda: [accumulator.add(vector) for _ in range(4)])
        line.figures.setdefault("add", []).append(4 * line.values / spent)
        return vector

    def decrypt(vector: Any) -> Any:
        short = paillier.vector_of(public, vector.numbers[:few])
        assert paillier.decrypt(private, short) == packed[:few]
        offline, spent = cpu(lambda: paillier.decrypt(private, short, offline=True))
        assert offline == packed[:few]
        line.figures.setdefault("decrypt offline", []).append(few * slots / spent)
        return None

    line = Line(
        name, encrypt, add, decrypt, layout.count, 0, few * slots, public.ciphertext_bytes / slots
    )
    encrypt()  # the tables are built once per key
    return line


def phe_lines(private: PrivateKey) -> list[Line]:
    public = phe.PaillierPublicKey(private.public.modulus)
    key = phe.PaillierPrivateKey(public, *private.primes())
    numbers = [secrets.randbits(62) for _ in range(4)]
    layout = layout_for(private.public.plaintext_bits, WIDTH, 10, 42 * 4)
    packed = plaintexts(layout)
    wide = private.public.ciphertext_bytes
    return [
        Line(
            "phe, EncryptedNumber as documented",
            lambda: [public.encrypt(x) for x in numbers],
            lambda cs: [c + d for c, d in zip(cs, cs, strict=True)],
            lambda cs: [key.decrypt(c) for c in cs],
            4,
            4,
            4,
            wide,
        ),
        Line(
            "phe, packed by us",
            lambda: [public.raw_encrypt(m) for m in packed],
            lambda cs: [c * c % public.nsquare for c in cs],
            lambda cs: [key.raw_decrypt(c) for c in cs],
            layout.count,
            layout.count,
            layout.count,
            wide / 42,
        ),
    ]


def heu_lines(packed: list[int]) -> list[Line]:
    try:
        from heu import phe as heu
    except ImportError:
        return []
    kit = heu.setup(heu.SchemaType.ZPaillier, BITS)
    encryptor, evaluator, decryptor = kit.encryptor(), kit.evaluator(), kit.decryptor()
    big = heu.BigintEncoder(heu.SchemaType.ZPaillier)
    batch = kit.batch_integer_encoder()
    pairs = [(secrets.randbits(40), secrets.randbits(40)) for _ in range(16)]

    def line(name: str, encode: Callable[[], list[Any]], decode: Any, each: int) -> Line:
        size = len(encryptor.encrypt(encode()[0]).serialize())
        count = len(encode())
        return Line(
            name,
            lambda: [encryptor.encrypt(p) for p in encode()],
            lambda cs: [evaluator.add(c, c) for c in cs],
            lambda cs: [decode(decryptor.decrypt(c)) for c in cs[:8]],
            each * count,
            each * count,
            each * min(8, count),
            size / each,
        )

    return [
        line("HEU ZPaillier, its batch encoder", lambda: [batch.encode(*p) for p in pairs],
             batch.decode, 2),
        line("HEU ZPaillier, packed by hand", lambda: [big.encode(m) for m in packed[:32]],
             big.decode, 42),
    ]  # fmt: skip


def tenseal_lines() -> list[Line]:
    try:
        import tenseal
    except ImportError:
        return []
    degree = 8192
    primes: list[int] = []
    candidate = (1 << 37) // (2 * degree) * 2 * degree + 1
    while len(primes) < 2:
        if gmpy2.is_prime(candidate):
            primes.append(candidate)
        candidate += 2 * degree
    contexts = [
        tenseal.context(tenseal.SCHEME_TYPE.BFV, poly_modulus_degree=degree, plain_modulus=p)
        for p in primes
    ]
    vectors = [[secrets.randbelow(p) for _ in range(degree)] for p in primes]
    both = list(zip(contexts, vectors, strict=True))
    size = sum(len(tenseal.bfv_vector(c, v).serialize()) for c, v in both)
    return [
        Line(
            "tenseal BFV (another assumption: RLWE)",
            lambda: [tenseal.bfv_vector(c, v) for c, v in both],
            lambda cs: [c + c for c in cs],
            lambda cs: [c.decrypt() for c in cs],
            degree,
            degree,
            degree,
            size / degree,
        )
    ]


def floors(private: PrivateKey) -> dict[str, float]:
    """Microseconds of GMP's own multiplications, by a list comprehension over 300 of them."""
    n = gmpy2.mpz(private.public.modulus)
    square = n * n
    wide = [gmpy2.mpz(secrets.randbelow(int(square))) for _ in range(300)]
    half = [gmpy2.mpz(secrets.randbelow(int(n))) for _ in range(300)]
    _, full = cpu(lambda: [a * b % square for a, b in zip(wide, reversed(wide), strict=True)])
    _, mixed = cpu(lambda: [a * b % square for a, b in zip(wide, half, strict=True)])
    return {"full": full / 300 * 1e6, "half": mixed / 300 * 1e6}


def side_by_side(rounds: int) -> dict[str, Any]:
    private = PrivateKey.generate(BITS)
    subgroup = PrivateKey.generate_subgroup(BITS)
    ours = [
        our_line("ours, 384-bit exponent (default)", private, Randomness.SHORT_384, 256),
        our_line("ours, 256-bit exponent", private, Randomness.SHORT_256, 256),
        our_line("ours, half the modulus (DJN)", private, Randomness.HALF, 64),
        our_line("ours, full r^n", private, Randomness.FULL, 2),
        our_line("ours, subgroup key", subgroup, None, 128),
    ]
    layout = layout_for(private.public.plaintext_bits, WIDTH, 10, 42 * 32)
    lines = [*ours, *phe_lines(private), *heu_lines(plaintexts(layout)), *tenseal_lines()]
    randomness.MAX_CACHE_BYTES = 1 << 29  # four kinds of tables at once, which nobody else needs
    # What long vectors get: tables as large as pay for a million cells.
    for key, choice in ((private, Randomness.SHORT_384), (private, Randomness.SHORT_256),
                        (private, Randomness.HALF), (subgroup, Randomness.SUBGROUP)):  # fmt: skip
        randomness.powers_of(
            key.public.modulus,
            paillier.residue_base(key.public),
            choice.exponent_bits(BITS),
            1,
            at_once=24_000,
        )
    multiplications: dict[str, list[float]] = {"full": [], "half": []}
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds} ...", file=sys.stderr)
        for line in lines:
            ciphertexts, spent = cpu(line.encrypt)
            line.figures.setdefault("encrypt", []).append(line.values / spent)
            total, spent = cpu(lambda line=line, cs=ciphertexts: line.add(cs))
            if line.added:
                line.figures.setdefault("add", []).append(line.added / spent)
            # Ours opens twice in its turn; the first alone is timed here.
            start = time.process_time()
            if line in ours:
                vector = total
                short = paillier.vector_of(vector.public, vector.numbers[: line.opened // 42])
                key = subgroup if vector.public.subgroup else private
                start = time.process_time()
                paillier.decrypt(key, short)
                spent = time.process_time() - start
                line.decrypt(vector)
            else:
                line.decrypt(total)
                spent = time.process_time() - start
            line.figures.setdefault("decrypt", []).append(line.opened / spent)
        for name, figure in floors(private).items():
            multiplications[name].append(figure)
    table = [
        {
            "scheme": line.name,
            **{name: statistics.median(figures) for name, figures in line.figures.items()},
            "bytes": line.bytes_per_value,
        }
        for line in lines
    ]
    return {
        "rows": table,
        "multiplication_us": {k: statistics.median(v) for k, v in multiplications.items()},
        "windows": {
            f"{bits} bits": held.window for (_, _, bits), held in randomness._tables.items()
        },
        "table_bytes": randomness.cached_bytes(),
    }


# --- both cores -----------------------------------------------------------------------------------


def both_cores(rounds: int) -> dict[str, float]:
    """Wall-clock gain of two processes over one for encryption, and of two threads to open.

    On a machine with other work the gain says little; the CPU time of both ways tells what the
    division itself costs.
    """
    private = PrivateKey.generate(2048)
    public = private.public
    packed = [secrets.randbits(2000) for _ in range(24 * cores.PIECE)]
    gains, opening, alone_cpu, both_cpu = [], [], [], []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        for _ in range(2):
            paillier.encrypt(public, packed, workers=workers)
            paillier.encrypt(public, packed)
        for _ in range(rounds):
            start, busy = time.perf_counter(), time.process_time()
            paillier.encrypt(public, packed)
            alone_cpu.append(time.process_time() - busy)
            middle, busy = time.perf_counter(), everyones_cpu(workers)
            paillier.encrypt(public, packed, workers=workers)
            gains.append((middle - start) / (time.perf_counter() - middle))
            both_cpu.append(everyones_cpu(workers) - busy)
            vector = parse_ciphertexts(paillier.encrypt(public, packed[:32]), public, 32)
            start, busy = time.perf_counter(), time.process_time()
            paillier.decrypt(private, vector)
            opening.append((time.process_time() - busy) / (time.perf_counter() - start))
    return {
        "encrypt_gain": statistics.median(gains),
        "encrypt_gain_best": max(gains),
        "encrypt_gain_by_cpu": 2 * statistics.median(alone_cpu) / statistics.median(both_cpu),
        "decrypt_cores_used": statistics.median(opening),
        "load": os.getloadavg()[0],
    }


def everyones_cpu(workers: ProcessPoolExecutor) -> float:
    """CPU seconds of this process and its workers so far, from /proc."""
    total = time.process_time()
    for process in workers._processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


# --- whole sums -----------------------------------------------------------------------------------


def whole_sum(cells: int, holders: int, modulus: tuple[int, int]) -> dict[str, float]:
    """One sum, masks and all, by one process that plays every party in turn."""
    private = PrivateKey(*modulus)
    names = tuple(f"holder-{i:03}" for i in range(holders))
    keys = {name: AgreementKey.generate() for name in names}
    public_keys = {name: key.public for name, key in keys.items()}
    context = Context(
        run=os.urandom(16),
        scenario=os.urandom(32),
        round=Round.VALUES,
        participants=names,
        checker_key=private.public.key_id,
        width=WIDTH,
        count=cells,
        question=os.urandom(32),
    )
    addition = Addition(context, private.public)
    expected = np.zeros(cells, dtype=np.int64)
    spent = {"encrypt": [], "add": []}
    for name in names:
        values = np.frombuffer(secrets.token_bytes(8 * cells), dtype=np.int64) >> 12
        expected += values
        part, seconds = cpu(
            lambda name=name, values=values: encryption.encrypt(
                values,
                context,
                me=name,
                key=keys[name],
                agreement_keys=public_keys,
                checker=private.public,
            )
        )
        spent["encrypt"].append(seconds)
        _, seconds = cpu(lambda name=name, part=part: addition.add(name, part.ciphertexts))
        spent["add"].append(seconds)
    total = addition.sum()
    start = time.perf_counter()
    opened, seconds = cpu(lambda: encryption.open(total, private))
    wall = time.perf_counter() - start
    assert np.array_equal(np.array(opened), expected)
    return {
        "cells": cells,
        "holders": holders,
        "holder_cpu_s": statistics.median(spent["encrypt"]),
        "coordinator_cpu_s": sum(spent["add"]),
        "checker_cpu_s": seconds,
        "checker_wall_s": wall,
        "wire_bytes_per_cell": len(total.ciphertexts) / cells,
        "peak_mb": peak_megabytes(),
    }


def many_holders(holders: int, modulus: tuple[int, int]) -> dict[str, float]:
    """10⁴ cells of many holders added, of whom ten are real and come again and again."""
    private = PrivateKey(*modulus)
    public = private.public
    layout = layout_for(public.plaintext_bits, WIDTH, 1000, 10_000)
    packed = [plaintexts(layout) for _ in range(10)]
    parts = [paillier.encrypt(public, p) for p in packed]
    accumulator = Accumulator(public, layout.ciphertexts)
    start = time.process_time()
    for i in range(holders):
        accumulator.add(parse_ciphertexts(parts[i % 10], public, layout.ciphertexts))
    spent = time.process_time() - start
    (first,) = paillier.decrypt(
        private, paillier.vector_of(public, accumulator.total().numbers[:1])
    )
    assert first == sum(packed[i % 10][0] for i in range(holders))
    return {
        "holders": holders,
        "add_cpu_s": spent,
        "peak_mb": peak_megabytes(),
    }


def peak_megabytes() -> float:
    """This process's own peak; ``ru_maxrss`` would inherit that of the process which started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function in a fresh process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


# --- showing --------------------------------------------------------------------------------------


def number(x: float | None) -> str:
    if x is None:
        return "–"
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def markdown(figures: dict[str, Any]) -> str:
    rows = figures["side_by_side"]["rows"]
    base = next(r["encrypt"] for r in rows if r["scheme"].startswith("phe, Enc"))
    out = [
        "| values per CPU-second | encrypt | × phe | add | decrypt | bytes/value |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        cells = (r["encrypt"], r["encrypt"] / base, r["add"], r["decrypt"], r["bytes"])
        out.append(f"| {r['scheme']} | " + " | ".join(map(number, cells)) + " |")
    out.append("")
    for r in rows:
        if "check" in r:
            out.append(
                f"{r['scheme']}: checking what arrives {number(r['check'])}/s, "
                f"decrypting offline {number(r['decrypt offline'])}/s.  "
            )
    us = figures["side_by_side"]["multiplication_us"]
    default = rows[0]
    window = figures["side_by_side"]["windows"]["384 bits"]
    digits = -(-384 // window)
    floor = 42e6 / ((digits - 1) * us["half"])
    out += [
        "",
        f"GMP: a·b mod n² {us['full']:.2f} µs, with b < n {us['half']:.2f} µs. Default encryption, "
        f"window {window}: {digits - 1} of the latter at least, so {number(floor)}/s; "
        f"reached {default['encrypt'] / floor:.0%}. Adding by one multiplication: "
        f"{number(42e6 / us['full'])}/s; reached {default['add'] * us['full'] / 42e6:.0%}. "
        f"Tables: {figures['side_by_side']['table_bytes'] / 2**20:.0f} MB.",
    ]
    if "cores" in figures:
        c = figures["cores"]
        out.append(
            f"\nTwo processes encrypt {c['encrypt_gain']:.2f} × as fast as one (best round "
            f"{c['encrypt_gain_best']:.2f}, by CPU time {c['encrypt_gain_by_cpu']:.2f}, load "
            f"{c['load']:.1f}); decryption used "
            f"{c['decrypt_cores_used']:.2f} cores."
        )
    if figures.get("sums"):
        out += [
            "",
            "| cells | holders | each holder, CPU-s | coordinator | checker | (wall) | peak MB |",
            "|--:|--:|--:|--:|--:|--:|--:|",
        ]
        out += [
            f"| {s['cells']:,} | {s['holders']} | "
            + " | ".join(
                f"{s[k]:.2f}"
                for k in ("holder_cpu_s", "coordinator_cpu_s", "checker_cpu_s", "checker_wall_s")
            )
            + f" | {s['peak_mb']:.0f} |"
            for s in figures["sums"]
        ]
        out += ["", "| holders × 10⁴ cells | adding, CPU-s | peak MB |", "|--:|--:|--:|"]
        out += [
            f"| {m['holders']:,} | {m['add_cpu_s']:.2f} | {m['peak_mb']:.0f} |"
            for m in figures["many"]
        ]
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cells", type=int, default=1_000_000, help="largest whole sum; 0: none")
    parser.add_argument("--holders", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    figures: dict[str, Any] = {"side_by_side": side_by_side(options.rounds)}
    figures["cores"] = both_cores(options.rounds)
    if options.cells:
        print(markdown(figures), file=sys.stderr)  # the rest takes minutes
        primes = PrivateKey.generate(BITS).primes()
        sizes = [c for c in (10_000, 100_000) if c < options.cells] + [options.cells]
        figures["many"] = [alone(many_holders, holders, primes) for holders in (10, 100, 1000)]
        figures["sums"] = []
        for cells in sizes:
            print(f"{cells:,} cells ...", file=sys.stderr)
            figures["sums"].append(alone(whole_sum, cells, options.holders, primes))
    print(markdown(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
