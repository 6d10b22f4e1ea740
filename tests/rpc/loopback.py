"""A small real consortium on the loopback: TLS asks the machine's clock: fresh keys."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stayput.errors import NotFound, StayputError
from stayput.identity import Identity, create_identity, member_card, save_members
from stayput.link import Item, LogPage
from stayput.membership import Members, form_member_list, verify_member_list
from stayput.rpc import wire
from stayput.rpc.client import GrpcLink
from stayput.rpc.server import serve
from stayput.rpc.tls import require_tls13
from stayput.steps import Member, Role, Round

require_tls13()  # tests import grpc themselves

ROLES = {
    "hub": Role.COORDINATOR,
    "office": Role.CHECKER,
    "asker": Role.USER,
    "north": Role.HOLDER,
    "reviewer": Role.AUDITOR,
}


class Consortium:
    """Identities in folders, and the list that they have joined."""

    def __init__(self, root: Path) -> None:
        self.now = int(time.time())
        self.identities = {name: make(root, name, role, self.now) for name, role in ROLES.items()}
        cards = [member_card(identity) for identity in self.identities.values()]
        hub = self.identities["hub"]
        listed = form_member_list("testers", cards, hub.signing_key, self.now)
        self.members = verify_member_list(listed, pinned=None)
        for name in ROLES:
            save_members(root / name, listed, coordinator="127.0.0.1:7443")


def make(root: Path, name: str, role: Role, now: int) -> Identity:
    """A party's identity in ``root/name``."""
    address = "127.0.0.1:7443" if role is Role.COORDINATOR else ""
    return create_identity(root / name, name, role, now=now, address=address, paillier_bits=2048)


class Core:
    """A coordinator's core that remembers who said what, and fails on demand."""

    def __init__(self, members: Members) -> None:
        self.members = members
        self.on_append: Callable[[], None] = lambda: None
        self.calls: list[tuple[str, str, tuple[Any, ...]]] = []
        self.log: list[bytes] = [b"entry 0"]
        self.cosigned: tuple[bytes, ...] = ()
        self.failure: Exception | None = None

    def append(self, entry: bytes) -> None:
        self.log.append(entry)
        self.on_append()

    def cosign(self, *notes: bytes) -> None:
        self.cosigned = notes
        self.on_append()

    def read_log(self, caller: Member, start: int, wait_ms: int = 0) -> LogPage:
        self._note("read_log", caller, start)
        if start > len(self.log):
            raise NotFound("beyond the end")
        return LogPage(start, tuple(self.log[start:]), b"checkpoint", self.cosigned)

    def read_tile(self, caller: Member, path: str) -> bytes:
        self._note("read_tile", caller, path)
        return b"32 bytes"

    def rotate_keys(self, caller: Member, step: bytes) -> int:
        return self._note("rotate_keys", caller, step)

    def submit_cosignatures(self, caller: Member, notes: tuple[bytes, ...]) -> None:
        self._note("submit_cosignatures", caller, notes)

    def propose_scenario(self, caller: Member, step: bytes, scenario: bytes) -> int:
        return self._note("propose_scenario", caller, step, scenario)

    def get_scenario(self, caller: Member, scenario: bytes) -> bytes:
        self._note("get_scenario", caller, scenario)
        return b"the scenario"

    def review_scenario(self, caller: Member, step: bytes) -> int:
        return self._note("review_scenario", caller, step)

    def revoke_scenario(self, caller: Member, step: bytes) -> int:
        return self._note("revoke_scenario", caller, step)

    def order_run(self, caller: Member, step: bytes, order: bytes) -> int:
        return self._note("order_run", caller, step, order)

    def get_run_order(self, caller: Member, run: bytes) -> bytes:
        self._note("get_run_order", caller, run)
        return b"the order"

    def submit_receipt(self, caller: Member, step: bytes) -> int:
        return self._note("submit_receipt", caller, step)

    def submit_contribution(
        self, caller: Member, step: bytes, context: bytes, ciphertexts: bytes
    ) -> int:
        return self._note("submit_contribution", caller, step, context, ciphertexts)

    def get_contribution(self, caller: Member, run: bytes, round: Round, holder: str) -> bytes:
        self._note("get_contribution", caller, run, round, holder)
        return b"the sum"

    def submit_verdict(self, caller: Member, step: bytes, verdict: bytes) -> int:
        return self._note("submit_verdict", caller, step, verdict)

    def get_verdict(self, caller: Member, run: bytes) -> bytes:
        self._note("get_verdict", caller, run)
        return b"the verdict"

    def authorise_scenario(self, caller: Member, step: bytes) -> int:
        return self._note("authorise_scenario", caller, step)

    def hold_result(self, caller: Member, step: bytes) -> int:
        return self._note("hold_result", caller, step)

    def examine_result(self, caller: Member, step: bytes) -> int:
        return self._note("examine_result", caller, step)

    def submit_release(self, caller: Member, step: bytes) -> int:
        return self._note("submit_release", caller, step)

    def deliver_result(self, caller: Member, run: bytes, sealed: bytes) -> None:
        self._note("deliver_result", caller, run, sealed)

    def fetch_result(self, caller: Member, run: bytes) -> bytes:
        self._note("fetch_result", caller, run)
        return b"the result"

    def fail_run(self, caller: Member, step: bytes) -> int:
        return self._note("fail_run", caller, step)

    def put_piece(self, caller: Member, run: bytes, item: Item, index: int, data: bytes) -> None:
        self._note("put_piece", caller, run, item, index, data)

    def count_pieces(self, caller: Member, run: bytes, item: Item) -> int:
        return self._note("count_pieces", caller, run, item) % 2**32

    def get_piece(self, caller: Member, run: bytes, item: Item, index: int) -> bytes:
        self._note("get_piece", caller, run, item, index)
        return b"the piece"

    def submit_join_step(self, caller: Member, step: bytes) -> int:
        return self._note("submit_join_step", caller, step)

    def _note(self, method: str, caller: Member, *arguments: Any) -> int:
        if self.failure is not None:
            raise self.failure
        self.calls.append((method, caller.name, arguments))
        return len(self.calls) + 2**40


class Running:
    """A server on a free port of the loopback, its core and its wire record."""

    def __init__(self, parties: Consortium, core: Core, address: str) -> None:
        self.parties = parties
        self.core = core
        self.address = address
        self.record = wire.WireRecord()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def link(self, name: str, **options: Any) -> GrpcLink:
        identity = self.parties.identities[name]
        options = {"address": self.address, "record": wire.WireRecord(), "patience": 0.0, **options}
        return GrpcLink(identity, self.parties.members, **options)


@contextlib.contextmanager
def running(
    parties: Consortium,
    *,
    members: Members | None = None,
    address: str = "127.0.0.1:0",
    clock: Callable[[], float] = time.time,
) -> Iterator[Running]:
    """Serve on a loop in a thread of its own, as the daemon's main thread does."""
    server = Running(parties, Core(members or parties.members), "")
    started, stop = threading.Event(), threading.Event()
    failed: list[StayputError] = []

    async def main() -> None:
        try:
            listener = await serve(
                server.core,
                parties.identities["hub"],
                address=address,
                record=server.record,
                clock=clock,
            )
        except StayputError as error:
            failed.append(error)
            started.set()
            return
        server.address = listener.address
        started.set()
        await asyncio.to_thread(stop.wait)
        await listener.stop(1.0)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    started.wait()
    try:
        if failed:
            raise failed[0]
        yield server
    finally:
        stop.set()
        thread.join()
