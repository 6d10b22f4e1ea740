"""A whole consortium in one process: for rehearsals, and the main fixture of the tests.

The cores are the real ones, with real keys, real logs on disk and real encryption; only the wire is
left out: a :class:`LocalLink` calls the coordinator directly.  Nothing here is an option of a
daemon, so no consortium can be run this way by mistake.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stayput.approval import required_waivers
from stayput.checker import Checker
from stayput.client import Client
from stayput.coordinator import Coordinator
from stayput.crypto import signing
from stayput.engines.source import SourceSpec
from stayput.identity import Identity, create_identity, enrol_reviewers, member_card
from stayput.link import CoordinatorLink, Item, LogPage
from stayput.membership import Members, form_member_list, verify_member_list
from stayput.node import Node, Stager
from stayput.privacy import Budget
from stayput.quota import Quota
from stayput.replica import Replica
from stayput.review import earlier_version, read_by
from stayput.scenario import Scenario
from stayput.steps import Decision, Member, Role, Round, ScenarioReviewed
from stayput.store.journal import Journal
from stayput.store.ledger import STORAGE_KEY, Ledger
from stayput.witness import Witness

Clock = Callable[[], int]


class LocalLink:
    """A :class:`~stayput.link.CoordinatorLink` that calls the coordinator's core directly."""

    def __init__(self, core: Callable[[], Coordinator], caller: Member) -> None:
        self._core = core
        self._caller = caller

    def read_log(self, start: int, wait_ms: int, known: bytes = b"") -> LogPage:
        del known  # nobody waits here
        return self._core().read_log(self._caller, start, wait_ms)

    def read_tile(self, path: str) -> bytes:
        return self._core().read_tile(self._caller, path)

    def rotate_keys(self, step: bytes) -> int:
        return self._core().rotate_keys(self._caller, step)

    def submit_cosignatures(self, notes: tuple[bytes, ...]) -> None:
        self._core().submit_cosignatures(self._caller, notes)

    def propose_scenario(self, step: bytes, scenario: bytes) -> int:
        return self._core().propose_scenario(self._caller, step, scenario)

    def get_scenario(self, scenario: bytes) -> bytes:
        return self._core().get_scenario(self._caller, scenario)

    def review_scenario(self, step: bytes) -> int:
        return self._core().review_scenario(self._caller, step)

    def revoke_scenario(self, step: bytes) -> int:
        return self._core().revoke_scenario(self._caller, step)

    def authorise_scenario(self, step: bytes) -> int:
        return self._core().authorise_scenario(self._caller, step)

    def order_run(self, step: bytes, order: bytes) -> int:
        return self._core().order_run(self._caller, step, order)

    def get_run_order(self, run: bytes) -> bytes:
        return self._core().get_run_order(self._caller, run)

    def submit_receipt(self, step: bytes) -> int:
        return self._core().submit_receipt(self._caller, step)

    def submit_contribution(self, step: bytes, context: bytes, ciphertexts: bytes) -> int:
        return self._core().submit_contribution(self._caller, step, context, ciphertexts)

    def get_contribution(self, run: bytes, round: Round, holder: str) -> bytes:
        return self._core().get_contribution(self._caller, run, round, holder)

    def submit_verdict(self, step: bytes, verdict: bytes) -> int:
        return self._core().submit_verdict(self._caller, step, verdict)

    def get_verdict(self, run: bytes) -> bytes:
        return self._core().get_verdict(self._caller, run)

    def hold_result(self, step: bytes) -> int:
        return self._core().hold_result(self._caller, step)

    def examine_result(self, step: bytes) -> int:
        return self._core().examine_result(self._caller, step)

    def submit_release(self, step: bytes) -> int:
        return self._core().submit_release(self._caller, step)

    def deliver_result(self, run: bytes, sealed: bytes) -> None:
        self._core().deliver_result(self._caller, run, sealed)

    def fetch_result(self, run: bytes) -> bytes:
        return self._core().fetch_result(self._caller, run)

    def fail_run(self, step: bytes) -> int:
        return self._core().fail_run(self._caller, step)

    def put_piece(self, run: bytes, item: Item, index: int, data: bytes) -> None:
        self._core().put_piece(self._caller, run, item, index, data)

    def count_pieces(self, run: bytes, item: Item) -> int:
        return self._core().count_pieces(self._caller, run, item)

    def get_piece(self, run: bytes, item: Item, index: int) -> bytes:
        return self._core().get_piece(self._caller, run, item, index)

    def submit_join_step(self, step: bytes) -> int:
        return self._core().submit_join_step(self._caller, step)


NOBODY: Mapping[str, tuple[Sequence[bytes], int]] = {}
"""No reviewers."""


class Federation:
    """Coordinator, checker, holders and one data user, each with its own folder below ``root``.

    Args:
        root: an empty private folder.
        holders, checker, user, auditors, users: names; ``users`` are further data users.
        sources: for each holder, its sources by table name.
        stager: where all holders stage.
        clock: Unix seconds.
        paillier_bits: length of the checker's key.
        budgets: what runs may cost at every holder.
        quotas: how many runs are answered at every holder.
    """

    def __init__(
        self,
        root: Path,
        *,
        holders: tuple[str, ...],
        checker: str,
        user: str,
        sources: Mapping[str, Mapping[str, SourceSpec]],
        stager: Callable[[str], Stager],
        clock: Clock = lambda: int(time.time()),
        paillier_bits: int = 3072,
        coordinator: str = "coordinator",
        auditors: tuple[str, ...] = (),
        users: tuple[str, ...] = (),
        run_timeout: int = 600,
        reviewers: Mapping[str, tuple[Sequence[bytes], int]] = NOBODY,
        retention_days: int = 0,
        budgets: Sequence[Budget] = (),
        quotas: Sequence[Quota] = (),
    ) -> None:
        self.root = root
        self.clock = clock
        self.sources = sources
        self.run_timeout = run_timeout
        self.retention_days = retention_days
        self.budgets = tuple(budgets)
        self.quotas = tuple(quotas)
        self._stager = stager
        roles = {
            coordinator: Role.COORDINATOR,
            checker: Role.CHECKER,
            **dict.fromkeys((user, *users), Role.USER),
            **dict.fromkeys(holders, Role.HOLDER),
            **dict.fromkeys(auditors, Role.AUDITOR),
        }
        self.identities = {
            name: _identity(root / name, name, role, clock(), paillier_bits)
            for name, role in roles.items()
        }
        for name, (keys, quorum) in reviewers.items():
            self.identities[name] = enrol_reviewers(self.identities[name], keys, quorum)
        cards = [member_card(identity) for identity in self.identities.values()]
        listed = form_member_list("rehearsal", cards, self._of(coordinator).signing_key, clock())
        self.members: Members = verify_member_list(listed, pinned=None)
        self.holders, self.checker_name, self.user_name = holders, checker, user
        self.coordinator_name = coordinator
        self._journals: dict[str, Journal] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._started = False
        self.coordinator = self.start_coordinator()
        self.nodes = {name: self.start_node(name) for name in holders}
        self.witnesses = {name: self.start_witness(name) for name in auditors}
        self.checker = self.start_checker()
        self.client = self.start_client()

    def _of(self, name: str) -> Identity:
        return self.identities[name]

    def link(self, name: str) -> CoordinatorLink:
        """The link of one party; tests put faults in between here."""
        return LocalLink(lambda: self.coordinator, self.members[name])

    def journal(self, name: str) -> Journal:
        """A party's journal, opened afresh."""
        if name in self._journals:
            self._journals.pop(name).close()
        self._journals[name] = Journal(self.root / name / "journal.db")
        return self._journals[name]

    def ledger(self, name: str) -> Ledger:
        """A holder's ledger, opened afresh."""
        if name in self._ledgers:
            self._ledgers.pop(name).close()
        key = self._of(name).derive_key(STORAGE_KEY)
        self._ledgers[name] = Ledger(self.root / name / "ledger.db", key)
        return self._ledgers[name]

    # Starting a party again is what a restart of its process does: everything from disk.

    def start_coordinator(self) -> Coordinator:
        """A coordinator over what its folder holds."""
        if self._started:
            self.coordinator.close()
        self.coordinator = Coordinator(
            self.members,
            self._of(self.coordinator_name).signing_key,
            self.journal(self.coordinator_name),
            self.root / self.coordinator_name / "log",
            self.clock,
            run_timeout=self.run_timeout,
            retention_days=self.retention_days,
        )
        self._started = True
        return self.coordinator

    def start_node(self, name: str) -> Node:
        """A node over what its folder holds."""
        journal = self.journal(name)
        return Node(
            self._of(name),
            Replica(self.members, journal),
            journal,
            self.ledger(name),
            self.link(name),
            lambda: self.sources[name],
            self._stager(name),
            self.clock,
            secrets.token_bytes,
            lambda: self.budgets,
            quotas=lambda: self.quotas,
        )

    def start_witness(self, name: str) -> Witness:
        """An auditor's witness over what its folder holds."""
        journal = self.journal(name)
        replica = Replica(self.members, journal)
        return Witness(self._of(name), replica, journal, self.link(name), self.clock)

    def start_checker(self) -> Checker:
        """A checker over what its folder holds."""
        name = self.checker_name
        journal = self.journal(name)
        return Checker(
            self._of(name),
            Replica(self.members, journal),
            journal,
            self.link(name),
            self.clock,
            secrets.token_bytes,
        )

    def start_client(self, name: str = "") -> Client:
        """A data user's client over what its folder holds; the first one's by default."""
        name = name or self.user_name
        return Client(
            self._of(name),
            Replica(self.members, self.journal(name)),
            self.link(name),
            self.clock,
            time.monotonic,
            secrets.token_bytes,
        )

    def approve(self, scenario: Scenario) -> None:
        """Every holder approves what it reads, with the waivers that the scenario needs."""
        self.client.replica.catch_up(self.link(self.user_name))
        proposed = self.client.replica.session.scenarios[scenario.digest].proposed.time
        for name in scenario.holders:
            earlier = earlier_version(name, self.client.replica, self.link(name), scenario)
            report = read_by(name, scenario, earlier, proposed).report
            self._ledgers[name].approve(scenario.digest, report.digest, scenario.limits.runs)
            step = ScenarioReviewed(
                scenario=scenario.digest,
                holder=name,
                decision=Decision.APPROVED,
                report=report.digest,
                time=self.clock(),
                waivers=required_waivers(scenario),
            )
            self.link(name).review_scenario(signing.sign(step, self._of(name).signing_key))

    def settle(self, *, rounds: int = 50) -> None:
        """Let everybody work until nobody has anything to do.

        Raises:
            AssertionError: it does not come to rest.
        """
        for _ in range(rounds):
            busy = [node.work() for node in self.nodes.values()]
            busy += [witness.work() for witness in self.witnesses.values()]
            busy += [self.checker.work(), self.coordinator.work()]
            if not any(busy):
                return
        raise AssertionError("the federation does not come to rest")

    def close(self) -> None:
        """Close all files."""
        self.coordinator.close()
        for journal in self._journals.values():
            journal.close()
        for ledger in self._ledgers.values():
            ledger.close()


def _identity(home: Path, name: str, role: Role, now: int, paillier_bits: int) -> Identity:
    address = "127.0.0.1:1" if role is Role.COORDINATOR else ""
    return create_identity(home, name, role, address=address, paillier_bits=paillier_bits, now=now)
