"""A federation in which one party lies, with real keys: for all attack tests.

Everybody is honest but for one: a coordinator that answers lies (:class:`LyingLink`), a data user
who signs what the client would never sign (:meth:`World.order`), a holder who sends what is not its
own (:func:`contribution`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pets import HOLDERS, TEXT, TableStager, destroyed, rows_of, sources

from stayput import documents
from stayput.audit import verify_log
from stayput.crypto import signing
from stayput.encryption import encrypt
from stayput.errors import RuleViolation
from stayput.federation import Federation
from stayput.link import LogPage
from stayput.plans import counts_context
from stayput.release import Argument, RunOrder
from stayput.steps import Contributed, FailureReason, Round, RunOrdered
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint

NOW = 1_790_000_000


class World(Federation):
    """A federation with a sealed scenario in which single answers can be bent."""

    auditors: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    reviewers: ClassVar[dict[str, tuple[list[bytes], int]]] = {}

    def __init__(self, root: Path, text: str = TEXT) -> None:
        self.stagers = {holder: TableStager(rows_of(holder)) for holder in HOLDERS}
        self.lies: dict[tuple[str, str], Callable[..., Any]] = {}
        self.instead: dict[tuple[str, str], Callable[..., Any]] = {}
        self.contexts: list[bytes] = []
        super().__init__(
            root,
            holders=HOLDERS,
            checker="office",
            user="asker",
            coordinator="hub",
            auditors=self.auditors,
            users=self.users,
            sources=sources(root),
            stager=lambda name: self.stagers[name],
            clock=lambda: NOW,
            paillier_bits=2048,
            reviewers=self.reviewers,
        )
        self.scenario = self.client.propose(text)
        self.approve(self.client.scenario(self.scenario))

    def link(self, name: str) -> Any:
        return LyingLink(self, name, super().link(name))

    def order(self, **changes: Any) -> bytes:
        """Order a run as a data user may who writes its own client."""
        scenario = self.client.scenario(self.scenario)
        order = RunOrder(
            run=secrets.token_bytes(16),
            scenario=self.scenario,
            statement=changes.pop("statement", "by_colour"),
            arguments=changes.pop("arguments", (Argument("youngest", number=0),)),
            salt=secrets.token_bytes(32),
        )
        step = RunOrdered(
            run=order.run,
            scenario=self.scenario,
            user="asker",
            order=documents.digest(order),
            participants=tuple(sorted(scenario.holders)),
            rounds=2,
            time=NOW,
        )
        step = dataclasses.replace(step, **changes)
        self.coordinator.order_run(
            self.members["asker"], self.sign(step, "asker"), documents.encode(order)
        )
        self.follow()
        return order.run

    def follow(self) -> None:
        """Every node looks at the log, cosigns it, and computes nothing."""
        for _ in range(2):  # the first to look sees the others' cosignatures the second time
            for node in self.nodes.values():
                node.follow()

    def contribute(self) -> None:
        """Every node computes and sends its part of the open round, and checks the sum."""
        for node in self.nodes.values():
            node.work()
        self.follow()

    def sign(self, step: object, name: str) -> bytes:
        return signing.sign(step, self.identities[name].signing_key)

    def failure(self, run: bytes) -> FailureReason | None:
        self.client.replica.catch_up(self.link("asker"))
        return self.client.replica.session.runs[run].failure

    def notes(self, holder: str) -> str:
        return " / ".join(note.message for note in self._ledgers[holder].notes())


class LyingLink:
    """Answers of the coordinator pass through whatever lie is set for (party, call)."""

    def __init__(self, world: World, name: str, inner: Any) -> None:
        self._world, self._name, self._inner = world, name, inner

    def __getattr__(self, call: str) -> Callable[..., Any]:
        honest = getattr(self._inner, call)

        def answer(*arguments: Any, **named: Any) -> Any:
            lie = self._world.lies.get((self._name, call))
            instead = self._world.instead.get((self._name, call))
            if instead is not None:
                return instead(*arguments, **named)
            if call == "submit_contribution":
                self._world.contexts.append(arguments[1])
            found = honest(*arguments, **named)
            return found if lie is None else lie(found)

        return answer


def nothing_staged(world: World, holder: str = "north") -> bool:
    return not world.stagers[holder].requests


def forged_page(world: World, entries: list[bytes], start: int) -> LogPage:
    """What a coordinator can sign: any tree over any entries."""
    tree = merkle.CompactRange()
    for entry in entries:
        tree.append(merkle.leaf_hash(entry))
    checkpoint = Checkpoint(world.members.log_origin, tree.size, tree.root())
    signed = sign_checkpoint(checkpoint, world.identities["hub"].signing_key)
    return LogPage(start, tuple(entries[start:]), signed)


def contribution(world: World, run: bytes, name: str, **changes: Any) -> tuple[bytes, bytes, bytes]:
    """What a holder that writes its own node may sign and send."""
    node = world.nodes[name]
    node.replica.catch_up(world.link(name))
    _, _, plan = node._verify_run(run)
    context = dataclasses.replace(counts_context(plan), **changes.pop("context", {}))
    checker = changes.pop("checker", world.members.checker_key("office"))
    ciphertexts = changes.pop("ciphertexts", None)
    if ciphertexts is None:
        ciphertexts = encrypt(
            [1] * context.count,
            context,
            me=name,
            key=world.identities[name].agreement_key,
            agreement_keys={h: world.members[h].agreement_key for h in HOLDERS},
            checker=checker,
        ).ciphertexts
    step = Contributed(
        run=run,
        scenario=world.scenario,
        holder=name,
        round=Round.COUNTS,
        ciphertexts=documents.digest_bytes("stayput.v1.Ciphertexts", ciphertexts),
        context=documents.digest(context),
        time=NOW,
    )
    step = dataclasses.replace(step, **changes)
    return world.sign(step, name), documents.encode(context), ciphertexts


def submit(world: World, name: str, part: tuple[bytes, bytes, bytes]) -> int:
    node = world.nodes[name]
    receipt = node._receipt(
        documents.parse(Contributed, signing.parse_envelope(part[0]).payload).run,
        world.scenario,
        destroyed().receipt,
    )
    with contextlib.suppress(RuleViolation):
        world.coordinator.submit_receipt(world.members[name], receipt)
    return world.coordinator.submit_contribution(world.members[name], *part)


def steps(world: World) -> tuple[Any, ...]:
    log = world.coordinator.log
    return verify_log(log.entries(), log.checkpoint, world.members).steps
