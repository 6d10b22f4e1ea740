"""How long an audit takes: a review pack of a million entries, verified offline.

Makes a pack with real keys in a temporary folder: scenarios of three holders, runs of two rounds
(14 entries each; one in twenty fails instead), every release proven in a checkpoint that all three
holders have cosigned with both keys: the newest among each 256 entries, as in every pack.  Then
audits it as ``stayput audit`` does.  The floor is what no audit can leave out: the same number of
signature verifications, by the same library, on the same number of cores, and nothing else.

    python bench/bench_audit.py [--entries 1000000] [--cores 2] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import resource
import secrets
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign_open

from stayput.audit.pack import write_pack
from stayput.crypto import signing
from stayput.identity import create_identity, member_card
from stayput.membership import form_member_list, verify_member_list
from stayput.pack_file import audit_file
from stayput.steps import (
    Contributed,
    CountsChecked,
    Decision,
    DeletionCheck,
    FailureReason,
    NotCovered,
    Outcome,
    ResultReleased,
    Role,
    Round,
    RunFailed,
    RunOrdered,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioSealed,
    StagingDestroyed,
    StagingMethod,
    SumFormed,
)
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint
from stayput.tlog.cosignature import cosign
from stayput.tlog.note import add_signatures
from stayput.tlog.policy import all_of, parse_policy
from stayput.tlog.tiles import TILE_WIDTH

NOW = 1_790_000_000
HOLDERS = ("north", "south", "west")
RUNS_PER_SCENARIO = 400
PARTIES = {
    "asker": Role.USER,
    "hub": Role.COORDINATOR,
    "office": Role.CHECKER,
    **dict.fromkeys(HOLDERS, Role.HOLDER),
}
TARGET_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stayput-bench-") as folder:
        pack, policy = Path(folder) / "pack", Path(folder) / "policy"
        with in_process(1) as alone:  # its memory is not the audit's
            alone.submit(make, Path(folder), options.entries, options.cores).result()
        with in_process(1) as alone:
            figures = alone.submit(measure, pack, policy, options.cores).result()
        with in_process(options.cores) as pool:
            figures |= floor(figures["signatures"], pool, options.cores)
    show(figures, as_json=options.json)
    return 0


def in_process(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


# --- making a pack --------------------------------------------------------------------------------


def make(folder: Path, entries: int, cores: int) -> None:
    identities = {
        name: create_identity(
            folder / name,
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
    members = verify_member_list(listed, pinned=None)
    keys = {name: identity.signing_key.to_bytes() for name, identity in identities.items()}
    cosigning = []
    for name in HOLDERS:
        one = identities[name]
        cosigning.append((members.witness_name(name), one.witness_key.to_bytes()))
        cosigning.append((members.auditor_name(name), one.auditor_key.to_bytes()))
    log = [listed]
    with in_process(cores) as pool:
        batches = -(-entries // (RUNS_PER_SCENARIO * 13))
        for number, batch in enumerate(pool.map(scenario, [keys] * batches)):
            log += batch[: max(0, entries - len(log))]
            say(f"{len(log):,} entries signed", number)
        released = [index for index, entry in enumerate(log) if b"v1.ResultReleased" in entry]
        newest = {index // TILE_WIDTH: index + 1 for index in released}
        chosen = {index: newest[index // TILE_WIDTH] for index in released}
        tree = merkle.CompactRange()
        roots = {}
        for size in sorted({*chosen.values(), len(log)}):
            tree.extend(merkle.leaf_hashes(log[tree.size : size]))
            roots[size] = tree.root()
        origin, key = members.log_origin, keys["hub"]
        jobs = [(origin, key, cosigning, size, root) for size, root in roots.items()]
        notes = dict(zip(roots, pool.map(note, jobs, chunksize=256), strict=True))
    releases = {index: notes[size] for index, size in chosen.items()}
    with (folder / "pack").open("wb") as out:
        write_pack(out, log, notes[len(log)], milestones={}, proven=releases)
    vkeys = [one.vkey for one in members.cosigners(HOLDERS)]
    (folder / "policy").write_bytes(all_of([members.log_verifier.vkey], vkeys).encode())


def scenario(keys: dict[str, bytes]) -> list[bytes]:
    """The entries of one scenario and its runs."""
    signers = {name: signing.SigningKey.from_bytes(key) for name, key in keys.items()}
    entries: list[bytes] = []

    def add(step: Any, name: str) -> None:
        entries.append(signing.sign(step, signers[name]))

    digest = secrets.token_bytes(32)
    add(
        ScenarioProposed(
            digest, "asker", "office", HOLDERS, RUNS_PER_SCENARIO, NOW + 10**8, 3, NOW
        ),
        "asker",
    )
    for name in HOLDERS:
        report = secrets.token_bytes(32)
        add(ScenarioReviewed(digest, name, Decision.APPROVED, report, NOW), name)
    add(ScenarioSealed(digest, NOW), "hub")
    for number in range(RUNS_PER_SCENARIO):
        one_run(digest, number, add)
    return entries


def one_run(digest: bytes, number: int, add: Any) -> None:
    run, now = secrets.token_bytes(16), NOW + 60 * number
    add(RunOrdered(run, digest, "asker", secrets.token_bytes(32), HOLDERS, 2, now), "asker")
    for name in HOLDERS:
        add(
            StagingDestroyed(
                run=run,
                scenario=digest,
                holder=name,
                staging=secrets.token_bytes(16),
                method=StagingMethod.PROCESS_MEMORY,
                outcome=Outcome.DESTROYED,
                passed=(
                    DeletionCheck.PROCESS_REAPED,
                    DeletionCheck.NO_FILES_LEFT,
                    DeletionCheck.NO_OPEN_DESCRIPTORS,
                    DeletionCheck.CONFINED_BY_LANDLOCK,
                ),
                failed=(),
                not_covered=(NotCovered.SOURCE_SYSTEM, NotCovered.BACKUPS, NotCovered.SWAP),
                started=now,
                ended=now + 3,
            ),
            name,
        )
    if number % 20 == 19:
        add(RunFailed(run, "hub", FailureReason.TIMED_OUT, now + 9), "hub")
        return
    for which in Round:
        context, parts = secrets.token_bytes(32), []
        for name in HOLDERS:
            parts.append(secrets.token_bytes(32))
            add(Contributed(run, digest, name, which, parts[-1], context, now + 4), name)
        add(SumFormed(run, which, secrets.token_bytes(32), tuple(parts), now + 5), "hub")
        if which is Round.COUNTS:
            add(CountsChecked(run, "office", secrets.token_bytes(32), now + 6), "office")
    result, sealed = secrets.token_bytes(32), secrets.token_bytes(32)
    add(ResultReleased(run, "office", result, sealed, now + 8), "office")


def note(job: tuple[str, bytes, list[tuple[str, bytes]], int, bytes]) -> bytes:
    """A checkpoint that the log has signed and everybody cosigned."""
    origin, log_key, cosigning, size, root = job
    checkpoint = Checkpoint(origin, size, root)
    signed = sign_checkpoint(checkpoint, signing.SigningKey.from_bytes(log_key))
    lines = [
        cosign(checkpoint.text, name, signing.SigningKey.from_bytes(key), NOW)
        for name, key in cosigning
    ]
    return add_signatures(signed, lines)


# --- measuring ------------------------------------------------------------------------------------


def measure(pack: Path, policy: Path, cores: int) -> dict[str, Any]:
    begun = time.perf_counter()
    report = audit_file(
        pack,
        parse_policy(policy.read_bytes()),
        cores=cores,
        progress=lambda done, total: say(f"{done:,} of {total:,} entries audited", done // 256),
    )
    seconds = time.perf_counter() - begun
    released = sum(run.outcome == "released" for run in report.runs)
    checkpoints = len({run.cosigned_size for run in report.runs} - {0})
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "entries": report.log.size,
        "verdict": report.verdict.value,
        "findings": [dataclasses.asdict(one) for one in report.findings[:3]],
        "runs": len(report.runs),
        "releases": released,
        "signatures": report.log.size + (checkpoints + 1) * (1 + 2 * len(HOLDERS)),
        "pack_bytes": pack.stat().st_size,
        "cores": cores,
        "seconds": seconds,
        "entries_per_second": report.log.size / seconds,
        "cpu_seconds": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "replay_cpu_seconds": own.ru_utime + own.ru_stime,
        "peak_memory_mb": own.ru_maxrss / 1024,
        "peak_memory_of_a_worker_mb": children.ru_maxrss / 1024,
    }


def floor(signatures: int, pool: ProcessPoolExecutor, cores: int) -> dict[str, float]:
    """What so many verifications take on so many cores, from a tenth of them."""
    share = max(1000, signatures // (10 * cores))
    scale = signatures / (share * cores)
    list(pool.map(verify_many, [10] * cores))  # processes are up
    begun = time.perf_counter()
    cpu = sum(pool.map(verify_many, [share] * cores))
    return {
        "floor_seconds": (time.perf_counter() - begun) * scale,
        "floor_cpu_seconds": cpu * scale,
    }


def verify_many(count: int) -> float:
    """CPU seconds of so many verifications."""
    key = signing.SigningKey.generate()
    messages = [secrets.token_bytes(460) for _ in range(64)]
    signed = [key.sign(message) + message for message in messages]
    begun = time.process_time()
    for number in range(count):
        crypto_sign_open(signed[number % 64], key.public)
    return time.process_time() - begun


def say(text: str, number: int) -> None:
    if number % 100 == 0:
        print(text, file=sys.stderr, end="\r")


def show(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    runs, releases, entries = figures["runs"], figures["releases"], figures["entries"]
    megabytes, peak, worker = (
        figures["pack_bytes"] / 1e6,
        figures["peak_memory_mb"],
        figures["peak_memory_of_a_worker_mb"],
    )
    print(f"{entries:,} entries, {releases:,} releases in {runs:,} runs,")
    print(f"{figures['signatures']:,} signatures, {megabytes:,.0f} MB: {figures['verdict']}")
    print(
        f"audit        {figures['seconds']:8.1f} s   {figures['entries_per_second']:,.0f} entries/s"
    )
    print(f"             {figures['cpu_seconds']:8.1f} CPU-s on {figures['cores']} cores")
    print(f"             {figures['replay_cpu_seconds']:8.1f} of them in the one that replays")
    print(f"peak memory  {peak:8.0f} MB, each worker {worker:.0f} MB")
    print(f"floor        {figures['floor_seconds']:8.1f} s   signature verification alone")
    print(f"             {figures['floor_cpu_seconds']:8.1f} CPU-s")
    print(f"ratio        {figures['seconds'] / figures['floor_seconds']:8.2f}   audit to floor")
    with contextlib.suppress(ZeroDivisionError):
        scaled = figures["seconds"] * 1_000_000 / figures["entries"]
        word = "under" if scaled < TARGET_SECONDS else "OVER"
        print(f"a million entries in {scaled:.0f} s: {word} the target of {TARGET_SECONDS:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
