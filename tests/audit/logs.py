"""Honest logs, made entry by entry with real keys, and the packs and policies over them.

What every entry says is made here without the code under test; digests are random, since an audit
sees no document behind them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from parties import NOW, Party

from stayput.audit.pack import write_pack
from stayput.steps import (
    Contributed,
    CountsChecked,
    Decision,
    DeletionCheck,
    JoinPair,
    NotCovered,
    Outcome,
    ResultReleased,
    Round,
    RowsEncrypted,
    RowsErased,
    RowsHandedOver,
    RunOrdered,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioSealed,
    SetBlinded,
    StagingDestroyed,
    StagingMethod,
    SumFormed,
    SumsReturned,
)
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint
from stayput.tlog.cosignature import cosign
from stayput.tlog.note import add_signatures
from stayput.tlog.policy import Policy, all_of
from stayput.vertical.way import way_of

HOLDERS = ("north", "south", "west")


def digest() -> bytes:
    return secrets.token_bytes(32)


def run_id() -> bytes:
    return secrets.token_bytes(16)


class Log:
    """A log that grows; ``entries`` are its leaves."""

    def __init__(self, party: Party, holders: Sequence[str] = HOLDERS) -> None:
        self.party = party
        self.holders = tuple(holders)
        self.entries: list[bytes] = [party.members.envelope]
        self.releases: list[int] = []
        self.milestones: list[int] = []
        self.time = NOW

    @property
    def size(self) -> int:
        return len(self.entries)

    def add(self, step: Any, signer: str) -> int:
        """Append a step; its index."""
        self.entries.append(self.party.sign(step, signer))
        self.time += 1
        return self.size - 1

    # --- the steps of an honest run ---------------------------------------------------------------

    def propose(self, runs: int = 100) -> bytes:
        scenario = digest()
        self.add(
            ScenarioProposed(
                scenario, "asker", "office", self.holders, runs, NOW + 10**8, 3, self.time
            ),
            "asker",
        )
        return scenario

    def approve(self, scenario: bytes, holder: str) -> int:
        step = ScenarioReviewed(scenario, holder, Decision.APPROVED, digest(), self.time)
        return self.add(step, holder)

    def seal(self, scenario: bytes) -> int:
        index = self.add(ScenarioSealed(scenario, self.time), "hub")
        self.milestones.append(index + 1)
        return index

    def sealed(self, runs: int = 100) -> bytes:
        scenario = self.propose(runs)
        for holder in self.holders:
            self.approve(scenario, holder)
        self.seal(scenario)
        return scenario

    def order(self, scenario: bytes, rounds: int = 2) -> bytes:
        run = run_id()
        step = RunOrdered(run, scenario, "asker", digest(), self.holders, rounds, self.time)
        self.add(step, "asker")
        return run

    def receipt(
        self, run: bytes, scenario: bytes, holder: str, *, signer: str = "", **changes: Any
    ) -> int:
        step = StagingDestroyed(
            run=run,
            scenario=scenario,
            holder=holder,
            staging=run_id(),
            method=StagingMethod.PROCESS_MEMORY,
            outcome=Outcome.DESTROYED,
            passed=(DeletionCheck.PROCESS_REAPED, DeletionCheck.NO_FILES_LEFT),
            failed=(),
            not_covered=(NotCovered.SOURCE_SYSTEM, NotCovered.BACKUPS),
            started=self.time,
            ended=self.time + 4,
        )
        return self.add(dataclasses.replace(step, **changes), signer or holder)

    def round(self, run: bytes, scenario: bytes, which: Round) -> None:
        parts, context = [], digest()
        for holder in self.holders:
            parts.append(digest())
            step = Contributed(run, scenario, holder, which, parts[-1], context, self.time)
            self.add(step, holder)
        self.add(SumFormed(run, which, digest(), tuple(parts), self.time), "hub")

    def judge(self, run: bytes) -> int:
        return self.add(CountsChecked(run, "office", digest(), self.time), "office")

    def release(self, run: bytes) -> int:
        step = ResultReleased(run, "office", digest(), digest(), self.time)
        index = self.add(step, "office")
        self.releases.append(index)
        return index

    def run(self, scenario: bytes, *, receipts: Iterable[str] | None = None) -> bytes:
        """A whole run of two rounds, released."""
        run = self.order(scenario)
        for holder in self.holders if receipts is None else receipts:
            self.receipt(run, scenario, holder)
        self.round(run, scenario, Round.COUNTS)
        self.judge(run)
        self.round(run, scenario, Round.VALUES)
        self.release(run)
        return run

    # --- the steps of an honest run over a join ---------------------------------------------------

    def order_join(self, scenario: bytes) -> bytes:
        run = run_id()
        step = RunOrdered(run, scenario, "asker", digest(), self.holders, 2, self.time, self.pairs)
        self.add(step, "asker")
        return run

    @property
    def pairs(self) -> tuple[JoinPair, ...]:
        first, second, *_ = self.holders
        return (JoinPair(first, second),)

    def exchange(self, run: bytes) -> None:
        """Everything before the counts."""
        for place in range(len(self.holders) + 1):
            for owner in self.holders:
                holder = way_of(owner, self.holders)[place]
                self.add(SetBlinded(run, holder, owner, place, digest(), self.time), holder)
        for index, pair in enumerate(self.pairs):
            step = RowsEncrypted(
                run, pair.owner, index, b"\xff" * 224 + digest(), digest(), self.time
            )
            self.add(step, pair.owner)
        self.add(RowsHandedOver(run, tuple(digest() for _ in self.pairs), self.time), "hub")
        for index, pair in enumerate(self.pairs):
            back = SumsReturned(run, pair.combiner, index, digest(), self.time)
            self.add(back, pair.combiner)

    def erase(self, run: bytes, scenario: bytes, **changes: Any) -> int:
        step = RowsErased(
            run=run,
            scenario=scenario,
            outcome=Outcome.DESTROYED,
            passed=(DeletionCheck.NO_FILES_LEFT,),
            failed=(),
            not_covered=(NotCovered.BACKUPS,),
            started=self.time - 9,
            ended=self.time,
        )
        return self.add(dataclasses.replace(step, **changes), "hub")

    def run_join(self, scenario: bytes, *, erased: bool = True) -> bytes:
        """A whole run over a join, released."""
        run = self.order_join(scenario)
        self.exchange(run)
        if erased:
            self.erase(run, scenario)
        for holder in self.holders:
            self.receipt(run, scenario, holder)
        self.round(run, scenario, Round.COUNTS)
        self.judge(run)
        self.round(run, scenario, Round.VALUES)
        self.release(run)
        return run

    # --- checkpoints, packs -----------------------------------------------------------------------

    def root(self, size: int) -> bytes:
        """By the definition in RFC 6962 section 2.1."""
        return mth(self.entries[:size])

    def note(self, size: int | None = None, holders: Sequence[str] | None = None) -> bytes:
        """A checkpoint, cosigned with both keys of these holders."""
        size = self.size if size is None else size
        return self.signed(
            Checkpoint(self.party.members.log_origin, size, self.root(size)), holders
        )

    def signed(self, checkpoint: Checkpoint, holders: Sequence[str] | None = None) -> bytes:
        members, text = self.party.members, checkpoint.text
        lines = []
        for name in self.holders if holders is None else holders:
            identity = self.party.identities[name]
            assert identity.witness_key is not None
            assert identity.auditor_key is not None
            lines.append(cosign(text, members.witness_name(name), identity.witness_key, self.time))
            lines.append(cosign(text, members.auditor_name(name), identity.auditor_key, self.time))
        key = self.party.identities["hub"].signing_key
        return add_signatures(sign_checkpoint(checkpoint, key), lines)

    def pack(self, **changes: Any) -> bytes:
        """The review pack."""
        contents: dict[str, Any] = {
            "entries": self.entries,
            "checkpoint": self.note(),
            "milestones": {size: self.note(size) for size in self.milestones},
            "proven": {index: self.note(index + 1) for index in self.releases},
        }
        contents |= changes
        out = io.BytesIO()
        write_pack(
            out,
            contents["entries"],
            contents["checkpoint"],
            milestones=contents["milestones"],
            proven=contents["proven"],
        )
        return out.getvalue()

    def policy(self, holders: Sequence[str] | None = None) -> Policy:
        members = self.party.members
        cosigners = members.cosigners(self.holders if holders is None else holders)
        return all_of([members.log_verifier.vkey], [one.vkey for one in cosigners])


def mth(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, written out."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    split = 1
    while 2 * split < len(entries):
        split *= 2
    return hashlib.sha256(b"\1" + mth(entries[:split]) + mth(entries[split:])).digest()
