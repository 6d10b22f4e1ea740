"""One release, verified offline: the entries that a result rests on, each proven to be in the log.

What a bundle cannot show is what it leaves out: that no other entry (a revocation, more runs than
allowed) stands between.  The whole log can (:mod:`stayput.audit.replay`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from stayput import documents
from stayput.errors import VerificationError
from stayput.membership import Members
from stayput.plans import Planned, counts_context, plan_run
from stayput.release import CheckedResult, ProvenEntry, ReleaseBundle, RunOrder
from stayput.scenario import Scenario
from stayput.session import RunPhase, RunState, Session, verify_proposal
from stayput.steps import Round
from stayput.tlog import merkle
from stayput.tlog.checkpoint import claimed_checkpoint, verify_checkpoint, verify_cosigned


@dataclasses.dataclass(frozen=True)
class VerifiedRelease:
    """A result of which every step was verified."""

    scenario: Scenario
    result: CheckedResult
    run: RunState
    log_size: int


def verify_release(data: bytes, members: Members) -> VerifiedRelease:
    """Verify one release offline.

    1. The checkpoint is signed by the log key of the pinned member list.
    2. Every entry given is in the log of that checkpoint, at its index; the first is that list,
       entry 0.
    3. The entries obey the rules: proposed, approved by every holder, sealed, ordered by the data
       user, every staging destroyed, every part there once, sums of exactly these parts, counts
       judged before values, released by the checker.
    4. Scenario, order and result are the ones that those entries commit to, and answer each other.
    5. Every holder of the scenario has cosigned that very checkpoint with both its keys (U-1).
    6. Statement and arguments are inside what was sealed, every part of the counts is bound to
       exactly that, and the table has the columns and rows of the statement.

    Raises:
        DocumentError: the bytes are no bundle.
        VerificationError, RuleViolation, InvalidInput: a step fails; the message says which.
    """
    bundle = documents.parse(ReleaseBundle, data)
    signed = verify_checkpoint(bundle.checkpoint, members.log_origin, members.log_verifier)
    session = Session()
    if not bundle.entries or bundle.entries[0].entry != members.envelope:
        # Of whatever stands first the session would take its members.
        raise VerificationError("the first entry is not the pinned member list")
    for proven in _included(bundle.entries, signed.size, signed.root):
        session.replay(proven.entry, index=proven.index)
    run = _single_release(session)
    _verify_cosigned(bundle.checkpoint, session.members_at(signed.size), run.ordered.participants)
    result = documents.parse(CheckedResult, bundle.result)
    scenario = documents.parse(Scenario, bundle.scenario)
    order = documents.parse(RunOrder, bundle.order)
    _verify_documents(session, run, scenario, order, result)
    then = session.members_at(run.entries[0])  # keys as of the order: some may be replaced by now
    _verify_answer(run, plan_run(scenario, order, run.ordered, then), result)
    return VerifiedRelease(scenario, result, run, signed.size)


def _included(entries: Sequence[ProvenEntry], size: int, root: bytes) -> Iterable[ProvenEntry]:
    previous = -1
    for proven in entries:
        if not previous < proven.index < size:
            raise VerificationError("the entries of the bundle are not in the order of the log")
        leaf = merkle.leaf_hash(proven.entry)
        merkle.verify_inclusion(leaf, proven.index, size, list(proven.proof), root)
        previous = proven.index
        yield proven


def _single_release(session: Session) -> RunState:
    released = [run for run in session.runs.values() if run.phase is RunPhase.RELEASED]
    if len(released) != 1 or len(session.runs) != 1:
        raise VerificationError("the bundle does not prove exactly one release")
    return released[0]


def _verify_cosigned(checkpoint: bytes, members: Members, holders: Sequence[str]) -> None:
    """No holder was shown another history: one tree with all this in it has their cosignatures."""
    cosigners = members.cosigners(holders)
    origin, log = members.log_origin, members.log_verifier
    found = verify_cosigned(checkpoint, origin, log, cosigners).times
    missing = [cosigner.name for cosigner in cosigners if cosigner.name not in found]
    if missing:
        raise VerificationError(
            f"the checkpoint of the release is not cosigned by {missing[0]}",
            hint="ask the data user for the bundle again when every holder has confirmed it",
        )


def _verify_documents(
    session: Session, run: RunState, scenario: Scenario, order: RunOrder, result: CheckedResult
) -> None:
    released = run.released
    assert released is not None
    verify_proposal(session.scenarios[run.ordered.scenario].proposed, scenario)
    if documents.digest(order) != run.ordered.order or order.run != run.ordered.run:
        raise VerificationError("the order is not the one in the log")
    if documents.digest(result) != released.result:
        raise VerificationError("the result is not the one that was released")
    answers = (result.run, result.scenario, result.statement, result.arguments)
    if answers != (order.run, order.scenario, order.statement, order.arguments):
        raise VerificationError("the result answers another order")
    policy = (scenario.output.min_count, scenario.output.min_holders)
    if (result.min_count, result.min_holders) != policy:
        raise VerificationError("the result was checked under another policy than the sealed one")


def _verify_answer(run: RunState, plan: Planned, result: CheckedResult) -> None:
    # What the earlier answers are does not concern this one; that the parts agreed on them does.
    context = documents.digest(counts_context(plan, result.compared))
    if any(part.context != context for part in run.contributions[Round.COUNTS].values()):
        raise VerificationError("the parts were made for another statement")
    plan.verify_table(result.table)


def bundle_release(
    session: Session,
    entries: Sequence[bytes],
    leaf_hashes: Sequence[bytes],
    checkpoint: bytes,
    *,
    run: bytes,
    scenario: bytes,
    order: bytes,
    result: bytes,
) -> bytes:
    """Collect what proves one release, from a replica that holds the whole log.

    Args:
        session: the replayed log; ``entries`` and ``leaf_hashes`` are its leaves in order.
        checkpoint: of a tree with the release in it, cosigned by every holder of the scenario.
        scenario, order, result: canonical bytes of the documents.
    """
    size = claimed_checkpoint(checkpoint).size
    # Of rotations all: without them signatures and cosignatures made since do not hold.  Of earlier
    # versions of the scenario their proposals: without them it could not be one (S-9).
    asked = session.runs[run].ordered.scenario
    wanted = {
        0,
        *session.rotations,
        *(session.scenarios[one].entries[0] for one in session.predecessors(asked)),
        *session.scenario_of(run).entries,
        *session.runs[run].entries,
    }
    wanted = {index for index in wanted if index < size}
    tree = merkle.Tree(leaf_hashes)
    proven = tuple(
        ProvenEntry(index, entries[index], tree.inclusion_proof(index, size))
        for index in sorted(wanted)
    )
    return documents.encode(ReleaseBundle(checkpoint, proven, scenario, order, result))
