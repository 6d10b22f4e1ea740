"""Examination: what the checker's people do about a held result: read it, pass it or fail it.

A held result waits in the checker's journal, encrypted under a key that follows from its identity
(so it survives a restart, and a copied file shows nothing), until its run is over.  A person
decides with a key of their own; the decision is in the log, the reason as a code, and what the
person saw stays here.

Not here: holding and releasing (:mod:`stayput.checker`), who counts (:mod:`stayput.session`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stayput import documents
from stayput.countersigning import Examination, ExaminationReason, ResultExamination, countersign
from stayput.crypto import signing
from stayput.crypto.signing import SigningKey, fingerprint
from stayput.errors import NotFound, RuleViolation, VerificationError
from stayput.identity import Identity
from stayput.link import CoordinatorLink
from stayput.padding import unpadded
from stayput.release import CheckedResult
from stayput.replica import Replica
from stayput.session import RunPhase, RunState
from stayput.steps import ResultExamined
from stayput.store.journal import Journal

HELD_KEY = b"stayput/v1/held"
"""Label under which a checker derives the key that seals held results at rest."""

_NONCE_BYTES = 12


def seal_held(identity: Identity, run: bytes, encoded: bytes, nonce: bytes) -> bytes:
    """A result's padded bytes as the journal keeps them; ``nonce`` is 12 random bytes."""
    return nonce + AESGCM(identity.derive_key(HELD_KEY)).encrypt(nonce, encoded, run)


def open_held(identity: Identity, journal: Journal, run: bytes) -> bytes:
    """The padded bytes of a held result.

    Raises:
        NotFound: this checker holds none for the run.
        VerificationError: the stored bytes were altered, or are of another run.
    """
    kept = journal.get("held", run)
    nonce, sealed = kept[:_NONCE_BYTES], kept[_NONCE_BYTES:]
    try:
        return AESGCM(identity.derive_key(HELD_KEY)).decrypt(nonce, sealed, run)
    except InvalidTag:
        raise VerificationError("the held result was altered") from None


def held_runs(identity: Identity, replica: Replica) -> tuple[bytes, ...]:
    """Runs whose results wait for this checker's people, oldest first."""
    runs = replica.session.runs.items()
    return tuple(
        run
        for run, state in runs
        if state.phase is RunPhase.HELD and state.checker == identity.name
    )


@dataclasses.dataclass(frozen=True)
class HeldResult:
    """What a person reads before it decides. ``doubts`` are names of
    :class:`stayput.disclosure.doubts.Doubt`; none where every result is reviewed."""

    result: CheckedResult
    commitment: bytes
    doubts: tuple[str, ...]
    cleared: int
    needed: int


def held_result(identity: Identity, replica: Replica, journal: Journal, run: bytes) -> HeldResult:
    """A held result, if it is the one that the log commits to.

    Raises:
        NotFound: no result of this run is held here.
        VerificationError: it is another one.
    """
    state = _held(identity, replica, run)
    assert state.held is not None  # a run in this phase has it
    result = documents.parse(CheckedResult, unpadded(open_held(identity, journal, run)))
    if documents.digest(result) != state.held.result:
        raise VerificationError("the held result is not the one that the log commits to")
    doubts = (journal.find("doubts", run) or b"").decode("ascii")
    return HeldResult(
        result,
        state.held.result,
        tuple(doubts.split()),
        len(state.cleared_by),
        replica.session.scenario_of(run).proposed.deciders,
    )


def _held(identity: Identity, replica: Replica, run: bytes) -> RunState:
    state = replica.session.runs.get(run)
    if state is None or run not in held_runs(identity, replica):
        raise NotFound("no result of this run is held", hint="`stayput checker held` shows all")
    return state


def examine(
    held: HeldResult,
    identity: Identity,
    replica: Replica,
    link: CoordinatorLink,
    key: SigningKey,
    *,
    decision: Examination,
    reason: ExaminationReason | None = None,
    clock: Callable[[], int],
) -> RunState:
    """Put a person's decision about exactly what was read into the log.

    Returns:
        The state of the run after it.

    Raises:
        RuleViolation: the key is no reviewer's of this checker, or its person has decided already.
    """
    if key.public not in replica.members[identity.name].reviewers:
        raise RuleViolation(
            f"the key {fingerprint(key.public)} is no reviewer's of {identity.name}",
            clause="R-9",
            hint="its public half has to be on the checker's card: `stayput reviewer enrol`",
        )
    run = held.result.run
    said = ResultExamination(run, identity.name, held.commitment, decision, reason)
    step = ResultExamined(run, identity.name, countersign(said, key), clock())
    entry = signing.sign(step, identity.signing_key)
    replica.session.admit(entry)
    link.examine_result(entry)
    replica.catch_up(link)
    return replica.session.runs[run]
