"""How many entries a log takes, and whether its witnesses keep up.

Three measurements with real keys and real steps (runs of three holders, 13 or 14 entries each), on
the disk under ``--folder``:

* **store**: groups of 256 entries made durable as the coordinator does it: append, ``fdatasync``,
  read back from the disk, hash, sign the checkpoint, make that durable.  The floor is the same
  bytes, written and synced group by group, and nothing else.
* **coordinator**: the whole way of a step, many callers at once: signature, rules, one write for
  all who wait, checkpoint.  The floor is one verification of a signature for each, on one core.
* **cosigning**: a holder's node follows that log a second at a time, as it would at 1,000 entries
  per second: verify, replay the rules, store, cosign with both keys, send.

    python bench/bench_log.py [--entries 100000] [--steps 10000] [--folder DIR] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_audit import HOLDERS, NOW, PARTIES, RUNS_PER_SCENARIO, in_process, scenario, verify_many

from stayput.coordinator import Coordinator
from stayput.crypto import signing
from stayput.federation import LocalLink
from stayput.identity import Identity, create_identity, member_card
from stayput.membership import Members, form_member_list, verify_member_list
from stayput.replica import Replica
from stayput.steps import Role, ScenarioProposed
from stayput.store.disk import Disk, replace_file
from stayput.store.journal import Journal
from stayput.store.segments import Segments
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint
from stayput.witness import Witness

GROUP = 256
CALLERS = 64
PER_SECOND = 1000
TARGET_STORE = 50_000
TIMES = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000, help="of the store")
    parser.add_argument("--steps", type=int, default=10_000, help="of coordinator and cosigning")
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stayput-bench-", dir=options.folder) as folder:
        root = Path(folder)
        identities, members = parties(root)
        entries = steps(identities, options.steps)
        size = sum(map(len, entries)) / len(entries)
        figures: dict[str, Any] = {"entry_bytes": size}
        figures |= store(root, members, identities["hub"], entries, options.entries)
        with coordinator(root, identities, members) as core:
            figures |= submit(core, proposals(identities, options.steps))
        with coordinator(root, identities, members) as core:
            figures |= follow(root, identities, members, core, entries)
    show(figures, as_json=options.json)
    return 0


def parties(root: Path) -> tuple[dict[str, Identity], Members]:
    identities = {
        name: create_identity(
            root / name,
            name,
            role,
            now=NOW - 10,
            address="127.0.0.1:7443" if role is Role.COORDINATOR else "",
            paillier_bits=2048,
        )
        for name, role in PARTIES.items()
    }
    cards = [member_card(identity) for identity in identities.values()]
    listed = form_member_list("bench", cards, identities["hub"].signing_key, NOW)
    return identities, verify_member_list(listed, pinned=None)


def steps(identities: dict[str, Identity], count: int) -> list[bytes]:
    """Signed steps of whole scenarios, behind the member list."""
    keys = {name: identity.signing_key.to_bytes() for name, identity in identities.items()}
    made: list[bytes] = []
    with in_process(len(os.sched_getaffinity(0))) as pool:
        batches = -(-count // (RUNS_PER_SCENARIO * 13))
        for batch in pool.map(scenario, [keys] * batches):
            made += batch
    return made[:count]


@contextlib.contextmanager
def coordinator(
    root: Path, identities: dict[str, Identity], members: Members
) -> Iterator[Coordinator]:
    with (
        tempfile.TemporaryDirectory(prefix="hub-", dir=root) as folder,
        contextlib.closing(Journal(Path(folder) / "journal.db")) as journal,
    ):
        key = identities["hub"].signing_key
        core = Coordinator(members, key, journal, Path(folder) / "log", lambda: NOW)
        core.log.on_commit = lambda admitted: None  # its own turn is in the steps already
        with contextlib.closing(core):
            yield core


# --- the store ------------------------------------------------------------------------------------


def store(
    root: Path, members: Members, hub: Identity, entries: list[bytes], count: int
) -> dict[str, float]:
    groups = [
        [entries[(start + i) % len(entries)] for i in range(min(GROUP, count - start))]
        for start in range(0, count, GROUP)
    ]
    rates, floors = [], []
    for number in range(TIMES):
        rates.append(count / timed(lambda n=number: write(root / f"s{n}", members, hub, groups)))
        floors.append(count / timed(lambda n=number: write_plainly(root / f"p{n}", groups)))
    return {
        "store_entries_per_second": statistics.median(rates),
        "store_slowest": min(rates),
        "store_floor_entries_per_second": statistics.median(floors),
    }


def write(folder: Path, members: Members, hub: Identity, groups: list[list[bytes]]) -> None:
    """As :mod:`stayput.sequencer` does it, without its rules."""
    folder.mkdir()
    disk = Disk()
    segments, tree = Segments(folder / "segments", 0, disk), merkle.CompactRange()
    for group in groups:
        start = segments.append(group)
        tree.extend(merkle.leaf_hashes(segments.read_back(start)))
        checkpoint = Checkpoint(members.log_origin, tree.size, tree.root())
        replace_file(disk, folder / "checkpoint", sign_checkpoint(checkpoint, hub.signing_key))
    segments.close()


def write_plainly(path: Path, groups: list[list[bytes]]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    for group in groups:
        os.write(descriptor, b"".join(group))
        os.fdatasync(descriptor)
    os.close(descriptor)


def timed(work: Any) -> float:
    """Seconds on the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# --- the coordinator ------------------------------------------------------------------------------


def proposals(identities: dict[str, Identity], count: int) -> list[bytes]:
    """Steps that the rules allow in any order."""
    key = identities["asker"].signing_key
    return [
        signing.sign(
            ScenarioProposed(
                secrets.token_bytes(32), "asker", "office", HOLDERS, 9, NOW + 10**8, 3, NOW
            ),
            key,
        )
        for _ in range(count)
    ]


def submit(core: Coordinator, entries: list[bytes]) -> dict[str, float]:
    """Many callers at once, each with its share, each waiting for every index."""

    def call(share: list[bytes]) -> None:
        for entry in share:
            core.log.submit(entry)

    callers = [
        threading.Thread(target=call, args=(entries[number::CALLERS],)) for number in range(CALLERS)
    ]

    def all_at_once() -> None:
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    seconds = timed(all_at_once)
    assert core.size == len(entries) + 1
    return {
        "coordinator_entries_per_second": len(entries) / seconds,
        "coordinator_floor_entries_per_second": len(entries) / verify_many(len(entries)),
    }


# --- cosigning ------------------------------------------------------------------------------------


def follow(
    root: Path,
    identities: dict[str, Identity],
    members: Members,
    core: Coordinator,
    entries: list[bytes],
) -> dict[str, float]:
    """A holder's witness, a second's worth of entries at a time."""
    taken, cpu = [], 0.0
    with contextlib.closing(Journal(root / "witness.db")) as journal:
        link = LocalLink(lambda: core, members["north"])
        witness = Witness(
            identities["north"], Replica(members, journal), journal, link, lambda: NOW
        )
        witness.work()
        for start in range(0, len(entries), PER_SECOND):
            batch = entries[start : start + PER_SECOND]
            for entry in batch:
                core.log.submit(entry)

            def catch_up() -> None:
                while witness.work():
                    pass

            begun = time.process_time()
            taken.append(timed(catch_up) * PER_SECOND / len(batch))
            cpu += time.process_time() - begun
        standing = witness.replica.cosigned("north")
        assert standing.witness == standing.auditor == core.size, standing
    return {
        "cosigning_seconds_per_1000": statistics.median(taken),
        "cosigning_slowest": max(taken),
        "cosigning_cpu_seconds_per_1000": cpu * PER_SECOND / len(entries),
        "cosigning_entries_per_second": PER_SECOND / statistics.median(taken),
    }


def show(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    print(f"entries of {figures['entry_bytes']:.0f} bytes")
    for name, words in (("store", "plain writes and syncs"), ("coordinator", "verifying alone")):
        rate = figures[f"{name}_entries_per_second"]
        floor = figures[f"{name}_floor_entries_per_second"]
        print(f"{name:12}{rate:10,.0f} entries/s   {floor:10,.0f} by {words}, {floor / rate:.1f} x")
    slowest = figures["store_slowest"]
    word = "above" if slowest >= TARGET_STORE else "BELOW"
    print(f"{'':12}slowest of {TIMES}: {slowest:,.0f}/s, {word} the target of {TARGET_STORE:,}")
    rate, slowest = figures["cosigning_entries_per_second"], figures["cosigning_slowest"]
    word = "keeps up" if slowest < 1 else "does NOT keep up"
    print(f"{'cosigning':12}{rate:10,.0f} entries/s   slowest 1,000: {slowest:.2f} s, {word}")
    cpu = figures["cosigning_cpu_seconds_per_1000"]
    print(f"{'':12}{cpu:10.2f} CPU-s for 1,000, of node and coordinator together")


if __name__ == "__main__":
    sys.exit(main())
