"""The parties of a join as processes, for the benchmark: each has its own memory and its own bill.

Messages are files; a party reads and writes them chunk by chunk, as it would stream them.
"""

from __future__ import annotations

import mmap
import os
import secrets
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from stayput import encryption
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.paillier import PrivateKey, PublicKey
from stayput.encryption import Context
from stayput.vertical.blinding import BlindedSet, Blinding, verify_raised
from stayput.vertical.combining import (
    Combining,
    Place,
    Wanted,
    combinations,
    open_masked,
    share_of,
)
from stayput.vertical.matching import Matching
from stayput.vertical.people import People
from stayput.vertical.plan import JoinPlan
from stayput.vertical.rows import chunks, encrypt_rows, hand_over, parse_rows

SCENARIO = b"s" * 32
RUN = b"r" * 16


class Holder:
    """A node: its people, its secrets, its run key."""

    def __init__(self, plan: JoinPlan, position: int, people: People, cores: int) -> None:
        self.plan, self.me, self.people = plan, plan.holders[position], people
        self.position = position
        self.workers = _workers(cores)
        self.blinding = Blinding(RUN, SCENARIO, self.me, plan.tables)
        self.private = PrivateKey.generate(plan.key_bits)
        self.agreement = AgreementKey.generate()
        self.masks: dict[int, dict[Place, int]] = {}
        self.opened: dict[int, dict[Place, int]] = {}

    def keys(self) -> tuple[PublicKey, bytes]:
        return self.private.public, self.agreement.public

    def first(self) -> BlindedSet:
        found, self.order = self.blinding.first(self.people.identifiers, workers=self.workers)
        return found

    def further(self, received: BlindedSet) -> BlindedSet:
        return self.blinding.further(received, received.digest, workers=self.workers)

    def encrypt(self, index: int, path: Path) -> None:
        pair = self.plan.pairs[index]
        with path.open("wb") as file:
            for rows in chunks(len(self.order), pair, self.plan.key_bits):
                file.write(
                    encrypt_rows(
                        self.people,
                        self.order[rows],
                        pair,
                        self.private.public,
                        workers=self.workers,
                    )
                )

    def combine(self, index: int, wanted: Wanted, public: PublicKey, path: Path) -> bytes:
        pair = self.plan.pairs[index]
        combining = Combining(pair, combinations(self.plan, index, wanted), public)
        width = pair.row_ciphertexts * public.ciphertext_bytes
        with path.open("rb") as file:
            for rows in chunks(len(self.order), pair, self.plan.key_bits):
                order = self.order[rows]
                combining.add(self.people, order, file.read(len(order) * width), self.workers)
        returned, self.masks[index] = combining.finish()
        return returned

    def open(self, index: int, wanted: Wanted, returned: bytes) -> None:
        self.opened[index] = open_masked(
            self.private, returned, self.plan.pairs[index], combinations(self.plan, index, wanted)
        )

    def contribute(
        self, wanted: Wanted, context: Context, keys: dict[str, bytes], checker: PublicKey
    ) -> bytes:
        shares = share_of(
            self.plan, self.me, wanted, context.width, masks=self.masks, opened=self.opened
        )
        part = encryption.encrypt_shares(
            shares, context, me=self.me, key=self.agreement, agreement_keys=keys, checker=checker
        )
        return part.ciphertexts


class Coordinator:
    """Matches, keeps encrypted rows in files, hands them over."""

    def __init__(self, plan: JoinPlan, cores: int) -> None:
        self.plan = plan
        self.workers = _workers(cores)

    def raised(self, before: BlindedSet, after: BlindedSet, raiser: str) -> None:
        verify_raised(before, after, raiser)

    def match(self, sets: dict[str, BlindedSet]) -> int:
        self.matching = Matching(sets, self.plan.holders)
        return self.matching.joined

    def hand_over(self, index: int, public: PublicKey, path: Path, to: Path) -> None:
        pair = self.plan.pairs[index]
        owner, combiner = self.plan.holders[pair.owner], self.plan.holders[pair.combiner]
        width = pair.row_ciphertexts * public.ciphertext_bytes
        with path.open("rb") as file:
            for rows in chunks(self.matching.size(owner), pair, self.plan.key_bits):
                count = rows.stop - rows.start
                parse_rows(file.read(count * width), public, pair, count)
            partners = self.matching.partners(combiner, owner)
            with to.open("wb") as out, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as owned:
                view = memoryview(owned)
                for rows in chunks(len(partners), pair, self.plan.key_bits):
                    out.write(hand_over(partners[rows], view, public, pair, workers=self.workers))
                view.release()


class Party:
    """A party in its own process; call its methods by name."""

    def __init__(self, kind: type, *arguments: Any) -> None:
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, kind, arguments))
        self._process.start()
        self._connection.recv()

    def __call__(self, method: str, *arguments: Any) -> Any:
        self._connection.send((method, arguments))
        answer, error = self._connection.recv()
        if error:
            raise RuntimeError(error)
        return answer

    def end(self) -> tuple[float, float]:
        """CPU seconds with workers, and peak MB of the largest process."""
        spent: tuple[float, float] = self("")
        self._process.join()
        return spent


def _serve(connection: Connection, kind: type, arguments: tuple[Any, ...]) -> None:
    party = kind(*arguments)
    connection.send(None)
    while True:
        method, words = connection.recv()
        if not method:
            break
        try:
            connection.send((getattr(party, method)(*words), ""))
        except Exception:  # noqa: BLE001 - the benchmark's own process shows it and ends
            connection.send((None, traceback.format_exc()))
    peaks = [_peak("self"), *[_peak(str(pid)) for pid in party.workers._processes]]
    party.workers.shutdown()
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system
    connection.send(((cpu, max(peaks)), ""))


def _workers(cores: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(cores, mp_context=get_context("spawn"))


def _peak(process: str) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def invented_people(plan: JoinPlan, position: int, count: int, common: int) -> People:
    """Random people within the contract, ``common`` of them known to everybody."""
    table = plan.tables[position]
    rng = np.random.default_rng(position)
    names = [f"{i:08}".encode() for i in range(common)]
    names += [f"{position}-{i:08}".encode() for i in range(count - common)]
    return People(
        identifiers=tuple(names),
        groups=rng.integers(0, table.groups, count),
        features=tuple(rng.integers(0, bound + 1, count) for bound in table.bounds),
    )


def right_sums(plan: JoinPlan, moments: Any, people: list[People], common: int) -> dict[Any, int]:
    """The oracle, in plain integers, over the first ``common`` people of every table."""
    found = {}
    for cell, groups in enumerate(plan.cells):
        inside = np.ones(common, dtype=bool)
        for table, group in enumerate(groups):
            if plan.tables[table].groups > 1:
                inside &= people[table].groups[:common] == group
        for index, moment in enumerate(moments):
            product = np.ones(common, dtype=object)
            for table, feature in moment:
                product = product * people[table].features[feature][:common]
            found[cell, index] = int(product[inside].sum())
    return found


def stopwatch() -> Any:
    """A function that tells the seconds since it was last asked."""
    last = [time.perf_counter()]

    def lap() -> float:
        now = time.perf_counter()
        took, last[0] = now - last[0], now
        return took

    return lap


def random_question() -> bytes:
    return secrets.token_bytes(32)
