"""What a command starts from: its party's home, a verified connection, names that people type.

What crosses the wire of a command is counted beside what its daemon counts, so that
``stayput wire`` shows all of a party's wire (:mod:`stayput.traffic`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stayput.errors import ConfigurationError, InvalidInput, NotFound

if TYPE_CHECKING:
    from stayput.client import Client
    from stayput.identity import Identity
    from stayput.link import CoordinatorLink
    from stayput.membership import Members
    from stayput.replica import Replica
    from stayput.session import ScenarioPhase, ScenarioState
    from stayput.store.ledger import Ledger

MIN_PREFIX = 6
"""Hex digits with which a scenario or run may be named."""


@contextlib.contextmanager
def opened(home: Path) -> Iterator[tuple[Identity, Replica, CoordinatorLink]]:
    """A verified replica and a link, for one command of the party in ``home``."""
    from stayput.rpc.tls import require_tls13

    require_tls13()
    from stayput.connecting import connection

    with recording(home), connection(home) as (identity, replica, link):
        yield identity, replica, link


@contextlib.contextmanager
def opened_client(home: Path) -> Iterator[Client]:
    """A data user's client, for one command."""
    from stayput.rpc.tls import require_tls13

    require_tls13()
    from stayput.connecting import connect_user
    from stayput.identity import load_identity
    from stayput.steps import Role

    identity = load_identity(home)
    if identity.role is not Role.USER:
        raise ConfigurationError(
            f"{identity.name} is a {identity.role.name.lower()}; only data users ask",
            hint="use --home with the folder of a data user",
        )
    with recording(home), connect_user(home) as client:
        yield client


@contextlib.contextmanager
def opened_ledger(identity: Identity) -> Iterator[Ledger]:
    """The holder's own ledger.

    Raises:
        ConfigurationError: the party is no holder.
    """
    from stayput.steps import Role
    from stayput.store.ledger import STORAGE_KEY, Ledger

    if identity.role is not Role.HOLDER:
        raise ConfigurationError(
            f"{identity.name} is a {identity.role.name.lower()}, not a holder",
            hint="use --home with the folder of a holder",
        )
    with contextlib.closing(
        Ledger(identity.home / "ledger.db", identity.derive_key(STORAGE_KEY))
    ) as ledger:
        yield ledger


def members_from(home: Path, file: Path | None, fingerprint: str) -> Members:
    """The member list to verify against: a file, or the one that this home has joined.

    Args:
        fingerprint: what the list's fingerprint has to be, empty for any.
    """
    from stayput.identity import load_members
    from stayput.membership import verify_member_list

    from .terminal import read_file

    if file is None:
        return load_members(home)
    pinned = parse_fingerprint(fingerprint) if fingerprint else None
    return verify_member_list(read_file(file), pinned=pinned)


def parse_fingerprint(text: str) -> bytes:
    """The digest that a person typed; spaces, colons and case do not matter.

    Raises:
        InvalidInput: not 64 hex digits.
    """
    plain = "".join(character for character in text if character not in " :-")
    try:
        digest = bytes.fromhex(plain)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise InvalidInput(
            "a fingerprint has 64 hexadecimal digits",
            hint="all of it: the first digits alone can be imitated",
        )
    return digest


def grouped(digest: bytes) -> str:
    """A digest for reading aloud: groups of four hex digits."""
    return digest.hex(" ", 2)


# --- names ----------------------------------------------------------------------------------------


def find_scenario(
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    text: str,
    *,
    prefer: tuple[ScenarioPhase, ...] = (),
) -> bytes:
    """The scenario meant by the first digits of its digest, or by its name.

    Args:
        prefer: of several with this name, the newest in the first of these phases that has one.

    Raises:
        NotFound: none of this party's scenarios is meant.
        InvalidInput: more than one is.
    """
    states = replica.session.scenarios
    by_digest = match_prefix(states, text, "scenario")
    if by_digest is not None:
        return by_digest
    named = [digest for digest, name in scenario_names(identity, replica, link) if name == text]
    for phase in prefer:
        for digest in reversed(named):
            if states[digest].phase is phase:
                return digest
    if not named:
        raise NotFound(f"no scenario {text!r}", hint="`stayput scenario list` shows all")
    return named[-1]


def match_prefix(known: Iterable[bytes], text: str, kind: str) -> bytes | None:
    """The one id that starts with these hex digits, if the text can be meant so.

    Raises:
        InvalidInput: several do.
    """
    hits = [one for one in known if len(text) >= MIN_PREFIX and one.hex().startswith(text.lower())]
    if len(hits) > 1:
        raise InvalidInput(f"{len(hits)} of the {kind}s start with {text}", hint="type more of it")
    return hits[0] if hits else None


def find_run(known: Iterable[bytes], text: str) -> bytes:
    """The run whose id starts with these hex digits.

    Raises:
        NotFound: none does.
        InvalidInput: several do.
    """
    found = match_prefix(known, text, "run")
    if found is None:
        raise NotFound(
            f"no run {text!r}",
            hint=f"give at least {MIN_PREFIX} digits; `stayput log show` has all",
        )
    return found


def scenario_names(
    identity: Identity, replica: Replica, link: CoordinatorLink
) -> Iterator[tuple[bytes, str]]:
    """(digest, name) of the scenarios in which this party is, oldest first."""
    from stayput.review import fetch_scenario

    for digest, state in replica.session.scenarios.items():
        if identity.name in state.parties():
            yield digest, fetch_scenario(replica, link, digest).name


def phase_words(state: ScenarioState, now: int) -> str:
    """The phase of a scenario for people; expiry is a matter of the clock."""
    from stayput.session import ScenarioPhase

    closed = (ScenarioPhase.REFUSED, ScenarioPhase.REVOKED, ScenarioPhase.USED_UP)
    if state.phase not in closed and now >= state.proposed.valid_until:
        return "expired"
    return state.phase.name.lower().replace("_", " ")


# --- the wire of commands -------------------------------------------------------------------------


@contextlib.contextmanager
def recording(home: Path) -> Iterator[None]:
    """Count what crosses the wire meanwhile, beside what the daemon counts."""
    try:
        yield
    finally:
        from stayput.rpc import wire
        from stayput.traffic import add_command_traffic

        add_command_traffic(home, wire.snapshot())
