"""Whole sums for :mod:`bench_paillier`: every party's time and memory; and both cores.

Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import os
import secrets
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from paillier_lines import HOLDERS, WIDTH, cpu, prepare, random_residues

from stayput import encryption
from stayput.crypto import cores, packing, paillier
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.packing import layout_for
from stayput.crypto.paillier import Accumulator, PrivateKey, PublicKey, parse_ciphertexts
from stayput.encryption import Addition, Context
from stayput.steps import Round


def whole_sum(cells: int, holders: int, key: bytes) -> dict[str, Any]:
    """One sum, masks and all, by one process that plays every party in turn."""
    private = PrivateKey.from_bytes(key)
    names = tuple(f"holder-{i:03}" for i in range(holders))
    keys = {name: AgreementKey.generate() for name in names}
    public_keys = {name: own.public for name, own in keys.items()}
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
    spent: dict[str, list[float]] = {"encrypt": [], "add": []}
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
        "key": "ordinary" if private.public.subgroup is None else "subgroup",
        "cells": cells,
        "holders": holders,
        "holder_cpu_s": statistics.median(spent["encrypt"]),
        "coordinator_cpu_s": sum(spent["add"]),
        "checker_cpu_s": seconds,
        "checker_wall_s": wall,
        "wire_bytes_per_cell": len(total.ciphertexts) / cells,
        "peak_mb": peak_megabytes(),
    }


def many_holders(holders: int, cells: int, key: bytes) -> dict[str, float]:
    """The parts of many holders added, of whom ten are real and come again and again."""
    private = PrivateKey.from_bytes(key)
    public = private.public
    layout = layout_for(public.plaintext_bits, WIDTH, 1000, cells)
    packed = [packing.pack(random_residues(layout), layout) for _ in range(HOLDERS)]
    parts = [paillier.encrypt(public, p) for p in packed]
    accumulator = Accumulator(public, layout.ciphertexts)
    start = time.process_time()
    for i in range(holders):
        accumulator.add(parse_ciphertexts(parts[i % HOLDERS], public, layout.ciphertexts))
    spent = time.process_time() - start
    (first,) = paillier.decrypt(
        private, paillier.vector_of(public, accumulator.total().numbers[:1])
    )
    assert first == sum(packed[i % HOLDERS][0] for i in range(holders))
    return {
        "holders": holders,
        "cells": cells,
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


# --- both cores -----------------------------------------------------------------------------------


def both_cores(rounds: int, private: PrivateKey) -> dict[str, float]:
    """What a second core brings: two processes to encrypt, two threads to open.

    On a machine with other work the wall clock says little; so also what the division itself costs:
    the CPU time of both ways, which is the gain that two idle cores would bring.
    """
    public = private.public
    packed = [secrets.randbits(public.plaintext_bits) for _ in range(24 * cores.PIECE)]
    few = paillier.vector_of(
        public, parse_ciphertexts(paillier.encrypt(public, packed[:64]), public, 64).numbers
    )
    gains, by_cpu, opening = [], [], []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        list(workers.map(_prepare, [public] * 2))  # the tables that processes keep
        prepare(public, public.randomness)
        for _ in range(rounds):
            start, busy = time.perf_counter(), time.process_time()
            paillier.encrypt(public, packed)
            one_cpu, one = time.process_time() - busy, time.perf_counter() - start
            start, busy = time.perf_counter(), _everyones_cpu(workers)
            paillier.encrypt(public, packed, workers=workers)
            both_cpu, both = _everyones_cpu(workers) - busy, time.perf_counter() - start
            gains.append(one / both)
            by_cpu.append(2 * one_cpu / both_cpu)
            start, busy = time.perf_counter(), time.process_time()
            paillier.decrypt(private, few)
            opening.append((time.process_time() - busy) / (time.perf_counter() - start))
    return {
        "encrypt_gain": statistics.median(gains),
        "encrypt_gain_best": max(gains),
        "encrypt_gain_by_cpu": statistics.median(by_cpu),
        "decrypt_cores_used": statistics.median(opening),
        "decrypt_cores_used_best": max(opening),
    }


def _prepare(public: PublicKey) -> None:
    prepare(public, public.randomness)
    time.sleep(1)  # so that the other process gets the other call


def _everyones_cpu(workers: ProcessPoolExecutor) -> float:
    """CPU seconds of this process and its workers so far, from /proc."""
    total = time.process_time()
    for process in workers._processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total
