"""A whole run of a join in one process: every party's part in order, messages as bytes.

For tests and benchmarks. What each party sees is kept, so that attacks can look at it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from concurrent.futures import Executor

from stayput import encryption
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.paillier import PrivateKey
from stayput.encryption import Addition, Context
from stayput.steps import Round
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
from stayput.vertical.rows import chunks, encrypt_rows, hand_over, parse_rows, verify_run_key
from stayput.vertical.way import way_of

SCENARIO = b"s" * 32


@functools.cache
def checker_key() -> PrivateKey:
    return PrivateKey.generate(2048)


@functools.cache
def run_key(holder: str) -> PrivateKey:
    return PrivateKey.generate(2048)


@dataclasses.dataclass
class Together:
    """One run; call :meth:`match`, :meth:`exchange`, then :meth:`compute` for each round."""

    plan: JoinPlan
    people: dict[str, People]
    run: bytes = b"r" * 16
    workers: Executor | None = None

    def match(self) -> Matching:
        """Blind every set, let it go its way, match."""
        holders = self.plan.holders
        self.blinding = {
            name: Blinding(self.run, SCENARIO, name, self.plan.tables) for name in sorted(holders)
        }
        self.orders: dict[str, list[int]] = {}
        self.seen: dict[str, list[BlindedSet]] = {}  # by the coordinator, of each owner
        for table in self.plan.tables:
            own = self.blinding[table.holder]
            found, self.orders[table.holder] = own.first(
                self.people[table.holder].identifiers, workers=self.workers
            )
            self.seen[table.holder] = [found]
            for raiser in way_of(table.holder, holders)[1:]:
                after = self.blinding[raiser].further(found, found.digest, workers=self.workers)
                found = verify_raised(found, after, raiser)
                self.seen[table.holder].append(found)
        self.matching = Matching({name: sets[-1] for name, sets in self.seen.items()}, holders)
        return self.matching

    def exchange(self) -> None:
        """Encrypt rows and hand them over; afterwards every combiner has its ciphertexts."""
        self.owned: dict[int, bytes] = {}
        self.received: dict[int, list[bytes]] = {}
        for index, pair in enumerate(self.plan.pairs):
            owner, combiner = self.plan.holders[pair.owner], self.plan.holders[pair.combiner]
            public = verify_run_key(run_key(owner).public, self.plan.key_bits)
            order = self.orders[owner]
            stored = b""
            for rows in chunks(len(order), pair, self.plan.key_bits):
                data = encrypt_rows(
                    self.people[owner], order[rows], pair, public, workers=self.workers
                )
                stored += parse_rows(data, public, pair, len(order[rows])).to_bytes()
            self.owned[index] = stored
            partners = self.matching.partners(combiner, owner)
            self.received[index] = [
                hand_over(partners[rows], stored, public, pair, workers=self.workers)
                for rows in chunks(len(partners), pair, self.plan.key_bits)
            ]

    def compute(self, wanted: Wanted, round_: Round = Round.COUNTS) -> tuple[int, ...]:
        """Combine, take apart, add, open: the sums, in the order in which they are wanted."""
        self.masks: dict[int, dict[Place, int]] = {}
        self.returned: dict[int, bytes] = {}
        self.opened: dict[int, dict[Place, int]] = {}
        for index, pair in enumerate(self.plan.pairs):
            products = combinations(self.plan, index, wanted)
            owner, combiner = self.plan.holders[pair.owner], self.plan.holders[pair.combiner]
            combining = Combining(pair, products, run_key(owner).public)
            order = self.orders[combiner]
            parts = chunks(len(order), pair, self.plan.key_bits)
            for rows, received in zip(parts, self.received[index], strict=True):
                combining.add(self.people[combiner], order[rows], received, self.workers)
            self.returned[index], self.masks[index] = combining.finish()
            self.opened[index] = open_masked(run_key(owner), self.returned[index], pair, products)
        return self.add_up(wanted, round_)

    def add_up(self, wanted: Wanted, round_: Round = Round.COUNTS) -> tuple[int, ...]:
        """The horizontal half: shares, pairwise masks, one sum, opened by the checker."""
        width = self.plan.width([moment for _, moment in wanted])
        checker = checker_key()
        participants = tuple(sorted(self.plan.holders))
        context = Context(
            run=self.run,
            scenario=SCENARIO,
            round=round_,
            participants=participants,
            checker_key=checker.public.key_id,
            width=width,
            count=len(wanted),
            question=b"q" * 32,
        )
        keys = {name: AgreementKey.generate() for name in participants}
        publics = {name: key.public for name, key in keys.items()}
        addition = Addition(context, checker.public)
        self.shares: dict[str, list[int]] = {}
        for position, name in enumerate(self.plan.holders):
            pairs = list(enumerate(self.plan.pairs))
            self.shares[name] = share_of(
                self.plan,
                name,
                wanted,
                width,
                masks={i: self.masks[i] for i, pair in pairs if pair.combiner == position},
                opened={i: self.opened[i] for i, pair in pairs if pair.owner == position},
            )
            part = encryption.encrypt_shares(
                self.shares[name],
                context,
                me=name,
                key=keys[name],
                agreement_keys=publics,
                checker=checker.public,
            )
            addition.add(name, part.ciphertexts)
        return encryption.open(addition.sum(), checker)


def everything(plan: JoinPlan, moments: Sequence[int]) -> list[tuple[int, int]]:
    """All cells of some moments."""
    return [(cell, moment) for cell in range(len(plan.cells)) for moment in moments]
