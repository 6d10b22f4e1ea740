"""A run over a join between a real coordinator and three holders whose every message can be bent.

The coordinator is the daemon's core over a folder; the holders have the protocol's own parts
(:mod:`stayput.vertical`) but no node, so that a test sends what no node would.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
from parties import NOW, Party
from vertical import plain
from vertical.together import everything, run_key

from stayput import documents
from stayput.approval import approval_report, required_waivers
from stayput.coordinator import Coordinator
from stayput.crypto.paillier import PrivateKey, parse_public_key
from stayput.federation import LocalLink
from stayput.link import Item, ItemKind
from stayput.plans import order_terms
from stayput.release import RunOrder
from stayput.scenario import Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.session import Blind, Combine, EncryptRows, Instruction, RunState, verify_proposal
from stayput.sql import bind, plan
from stayput.steps import (
    Decision,
    RowsEncrypted,
    RunOrdered,
    ScenarioProposed,
    ScenarioReviewed,
    SetBlinded,
    SumsReturned,
)
from stayput.store.journal import Journal
from stayput.vertical.blinding import BlindedSet, Blinding
from stayput.vertical.combining import Combining, Place, combinations, open_masked, share_of
from stayput.vertical.people import People
from stayput.vertical.pieces import PiecesDigest, set_pieces
from stayput.vertical.plan import JoinPlan, plan_join
from stayput.vertical.questions import JoinQuestion, ask
from stayput.vertical.rows import chunks, encrypt_rows

HOLDERS = ("north", "south", "west")

RUN = b"r" * 16

TEXT = """\
scenario: together
title: Three registers of the same people
purpose: See that what one party sends reaches the one that it is for, and nobody else.
data_user: asker
checker: office
holders: [north, south, west]
limits: {runs: 9, valid_until: 2099-12-31}
join: {key_bits: 2048}
tables:
  homes:
    at: [north]
    max_rows: 40
    columns:
      person: {type: identifier, kind: text, grade: sensitive}
      district: {type: level, levels: [harbour, hills], grade: public}
      rent: {type: integer, min: 0, max: 500, grade: internal}
  wages:
    at: [south]
    pad_to: 30
    max_rows: 30
    columns:
      person: {type: identifier, kind: text, grade: sensitive}
      wage: {type: integer, min: 0, max: 1000, grade: internal}
  plots:
    at: [west]
    max_rows: 40
    columns:
      person: {type: identifier, kind: text, grade: sensitive}
      area: {type: integer, min: 0, max: 90, grade: internal}
statements:
  by_district:
    sql: |
      SELECT district, COUNT(*) AS people, AVG(rent) AS rent, AVG(wage) AS wage, AVG(area) AS area
      FROM homes JOIN wages USING (person) JOIN plots USING (person) GROUP BY district
output: {min_count: 3, min_holders: 2, dominance: none}
"""

TABLES = {
    "homes": pa.table(
        {
            "person": [f"p{i}" for i in range(24)],
            "district": ["harbour" if i % 3 else "hills" for i in range(24)],
            "rent": [10 * i for i in range(24)],
        }
    ),
    "wages": pa.table(
        {"person": [f"p{i}" for i in range(4, 26)], "wage": [7 * i for i in range(22)]}
    ),
    "plots": pa.table({"person": [f"p{i}" for i in range(0, 24, 2)], "area": list(range(12))}),
}


@functools.cache
def scenario() -> Scenario:
    return parse_scenario_file(TEXT, nonce=bytes(16))


@functools.cache
def question() -> JoinQuestion:
    found = scenario()
    planned = plan(found.statement("by_district"), found.tables, 3, found.output)
    return ask(bind(planned, {}), found.tables, found.output)


@functools.cache
def join_plan() -> JoinPlan:
    return plan_join(question(), scenario().tables, 2048)


@functools.cache
def people(holder: str) -> People:
    (staged,) = [one for one in question().staged if one.holder == holder]
    contracts = {table.name: table for table in scenario().tables}
    rows = plain.stage(staged, contracts[staged.table], TABLES[staged.table])
    return People(
        identifiers=tuple(rows),
        groups=np.array([group for group, _ in rows.values()], dtype=np.int64),
        features=tuple(
            np.array([features[i] for _, features in rows.values()], dtype=object)
            for i in range(len(staged.bounds))
        ),
    )


def expected() -> list[list[int]]:
    """The moments of each cell, by plain integers."""
    contracts = {table.name: table for table in scenario().tables}
    sums = plain.moments(question().staged, question().moments, contracts, TABLES)
    return [sums.get(groups, [0] * len(question().moments)) for groups in join_plan().cells]


class World:
    """The coordinator over its folder, and the three holders."""

    def __init__(self, root: Path, consortium: Party, run: bytes = RUN) -> None:
        self.root, self.consortium = root, consortium
        self.now = NOW
        root.mkdir(exist_ok=True)
        self.hub = self.start()
        self.holders = {name: Holder(self, name) for name in HOLDERS}
        self._seal()
        self.order(run)

    def start(self) -> Coordinator:
        """The coordinator, from what its folder holds."""
        self.journal = Journal(self.root / "journal.db")
        key = self.consortium.identities["hub"].signing_key
        folder = self.root / "log"
        return Coordinator(
            self.consortium.members, key, self.journal, folder, lambda: self.now, run_timeout=600
        )

    def close(self) -> None:
        self.hub.close()
        self.journal.close()

    def restart(self) -> None:
        self.close()
        self.hub = self.start()

    def link(self, name: str) -> LocalLink:
        return LocalLink(lambda: self.hub, self.consortium.members[name])

    def sign(self, step: object, name: str) -> bytes:
        return self.consortium.sign(step, name)

    def _seal(self) -> None:
        found = scenario()
        step = ScenarioProposed(
            scenario=found.digest,
            user="asker",
            checker="office",
            holders=HOLDERS,
            runs=found.limits.runs,
            valid_until=found.limits.valid_until,
            min_holders=found.output.min_holders,
            time=self.now,
        )
        verify_proposal(step, found)
        link = self.link("asker")
        link.propose_scenario(self.sign(step, "asker"), documents.encode(found))
        for name in HOLDERS:
            report = approval_report(found, name)
            review = ScenarioReviewed(
                found.digest,
                name,
                Decision.APPROVED,
                report.digest,
                self.now,
                waivers=required_waivers(found),
            )
            self.link(name).review_scenario(self.sign(review, name))

    def order(self, run: bytes) -> None:
        """Order a run; it is the one that the holders work for."""
        self.run = run
        order = RunOrder(run, scenario().digest, "by_district", (), b"salt" * 8)
        terms = order_terms(scenario(), order)
        step = RunOrdered(
            run=run,
            scenario=scenario().digest,
            user="asker",
            order=documents.digest(order),
            participants=terms.participants,
            rounds=terms.rounds,
            time=self.now,
            pairs=terms.pairs,
        )
        self.link("asker").order_run(self.sign(step, "asker"), documents.encode(order))
        for name in HOLDERS:
            self.holders[name] = Holder(self, name)

    @property
    def state(self) -> RunState:
        return self.hub.log.session.runs[self.run]

    @property
    def folder(self) -> Path:
        return self.root / "joins" / self.run.hex()

    def turns(self, name: str) -> list[Instruction]:
        """What one party has to do for the run."""
        found = self.hub.log.session.instructions(name)
        return [turn for turn in found if getattr(turn, "run", None) == self.run]

    def until(self, kind: type[Instruction], name: str = "") -> Instruction:
        """Let everybody work until it is somebody's turn to do such a thing."""
        for _ in range(100):
            for one in (name,) if name else ("hub", *HOLDERS):
                for turn in self.turns(one):
                    if isinstance(turn, kind):
                        return turn
            self.work()
        raise AssertionError("it does not come to that")

    def work(self) -> bool:
        """One round of the holders', and if they have nothing to do, of the coordinator's."""
        busy = False
        for name, holder in self.holders.items():
            for turn in self.turns(name):
                busy |= holder.obey(turn)
        return busy or self.hub.work()

    def settle(self) -> None:
        """Until nobody has anything to do but to contribute."""
        while self.work():
            pass

    def sums(self) -> list[list[int]]:
        """What the holders' shares add up to, cells × moments."""
        shares = [holder.shares() for holder in self.holders.values()]
        totals = [sum(parts) % (1 << 160) for parts in zip(*shares, strict=True)]
        wide = len(join_plan().sources)
        return [totals[i : i + wide] for i in range(0, len(totals), wide)]


class Holder:
    """One holder's own secrets of a run, and what it sends."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.run = getattr(world, "run", RUN)
        self.link = world.link(name)
        self.people = people(name)
        self.blinding = Blinding(self.run, scenario().digest, name, join_plan().tables)
        self.order: list[int] = []
        self.masks: dict[int, dict[Place, int]] = {}
        self.opened: dict[int, dict[Place, int]] = {}

    @property
    def key(self) -> PrivateKey:
        """For this run alone (R-12)."""
        return run_key(self.name if self.run == RUN else f"{self.name} again")

    def obey(self, turn: Instruction) -> bool:
        match turn:
            case Blind(owner=owner, place=place):
                self.submit_set(self.raised(owner, place))
            case EncryptRows(pair=pair):
                self.submit_rows(pair, self.encrypted(pair))
            case Combine(pair=pair):
                self.submit_sums(pair, self.combined(pair))
            case _:
                return False
        return True

    # --- making -----------------------------------------------------------------------------------

    def raised(self, owner: str, place: int) -> BlindedSet:
        if not place:
            found, self.order = self.blinding.first(self.people.identifiers)
            return found
        item = Item(ItemKind.SET, owner, place - 1)
        count = self.link.count_pieces(self.run, item)
        points = b"".join(self.link.get_piece(self.run, item, i) for i in range(count))
        way = self.world.state.way(owner)
        received = BlindedSet(self.run, owner, way[:place], points)
        return self.blinding.further(received, self.world.state.blinded[owner][-1].set)

    def encrypted(self, pair: int) -> list[bytes]:
        of, public = join_plan().pairs[pair], self.key.public
        parts = chunks(len(self.order), of, 2048)
        return [encrypt_rows(self.people, self.order[part], of, public) for part in parts]

    def combined(self, pair: int) -> bytes:
        of = join_plan().pairs[pair]
        wanted = combinations(join_plan(), pair, _everything())
        combining = Combining(of, wanted, parse_public_key(self.world.state.rows[pair].modulus))
        digest = PiecesDigest()
        for index, part in enumerate(chunks(len(self.order), of, 2048)):
            piece = self.link.get_piece(self.run, Item(ItemKind.HANDED, number=pair), index)
            digest.add(piece)
            combining.add(self.people, self.order[part], piece)
        handed = self.world.state.handed
        assert handed is not None
        assert digest.digest == handed.handed[pair], "something else was handed over"
        returned, self.masks[pair] = combining.finish()
        return returned

    def shares(self) -> list[int]:
        for pair, of in enumerate(join_plan().pairs):
            if join_plan().holders[of.owner] == self.name and pair not in self.opened:
                returned = self.link.get_piece(self.run, Item(ItemKind.SUMS, number=pair), 0)
                wanted = combinations(join_plan(), pair, _everything())
                self.opened[pair] = open_masked(self.key, returned, of, wanted)
        return share_of(
            join_plan(), self.name, _everything(), 160, masks=self.masks, opened=self.opened
        )

    # --- sending ----------------------------------------------------------------------------------

    def put(self, item: Item, pieces: list[bytes]) -> None:
        for index, piece in enumerate(pieces):
            self.link.put_piece(self.run, item, index, piece)

    def submit_set(self, found: BlindedSet, **changes: object) -> int:
        place = len(found.raised_by) - 1
        self.put(Item(ItemKind.SET, found.owner, place), list(set_pieces(found.points)))
        step = SetBlinded(self.run, self.name, found.owner, place, found.digest, self.world.now)
        return self.submit(dataclasses.replace(step, **changes))  # type: ignore[arg-type]

    def submit_rows(self, pair: int, pieces: list[bytes], **changes: object) -> int:
        self.put(Item(ItemKind.ROWS, number=pair), pieces)
        modulus = self.key.public.to_bytes()
        digest = digest_of(pieces)
        step = RowsEncrypted(self.run, self.name, pair, modulus, digest, self.world.now)
        return self.submit(dataclasses.replace(step, **changes))  # type: ignore[arg-type]

    def submit_sums(self, pair: int, returned: bytes, **changes: object) -> int:
        self.put(Item(ItemKind.SUMS, number=pair), [returned])
        step = SumsReturned(self.run, self.name, pair, digest_of([returned]), self.world.now)
        return self.submit(dataclasses.replace(step, **changes))  # type: ignore[arg-type]

    def submit(self, step: object) -> int:
        return self.link.submit_join_step(self.world.sign(step, self.name))


def digest_of(pieces: list[bytes]) -> bytes:
    found = PiecesDigest()
    for piece in pieces:
        found.add(piece)
    return found.digest


def _everything() -> list[tuple[int, int]]:
    return everything(join_plan(), range(len(join_plan().sources)))
