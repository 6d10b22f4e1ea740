"""The audit of a review pack: one file and a policy in, a report out; no network, no clock.

1. The policy cannot be split, or the audit does not start.
2. The newest checkpoint is signed and cosigned as the policy demands.
3. Every entry is somebody's signed statement, and all of them obey the rules (:mod:`.replay`).
4. The tree over exactly these entries has the signed size and root: nothing is left out.
5. The tiles in the pack are those of that tree, so that other tools find the same log.
6. Every checkpoint in the pack is of that tree; each released result is proven in one that all
   holders of its run have cosigned.
7. The policy demands the cosignatures of every holder that took part in a released run.
8. An older checkpoint that the auditor has kept is of that tree.

What fails is a finding; only bytes that are no pack end the audit.  Stateless work is handed to an
executor if there is one; the result is the same without (:mod:`.reading`).

Memory: what waits at the workers, the state of open runs, and records per run, receipt and part;
entries are read and dropped.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import BinaryIO, Final

from stayput.audit.account import Account
from stayput.audit.pack import (
    CHECKPOINT_NAME,
    Group,
    Pack,
    claimed_checkpoint,
    milestone_name,
    proof_name,
)
from stayput.audit.reading import CosignedNote, NoteKeys, Work, WorkDone, do_work
from stayput.audit.replay import Replay
from stayput.audit.report import (
    AuditReport,
    CosignedAt,
    Finding,
    LogIdentity,
    Party,
    Severity,
)
from stayput.crypto import signing
from stayput.errors import DocumentError, StayputError
from stayput.membership import Members
from stayput.session import Admitted, signer_of
from stayput.steps import ResultReleased
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, CosignedCheckpoint
from stayput.tlog.note import verify_note
from stayput.tlog.policy import Policy, verify_all, verify_unsplittable
from stayput.tlog.proof import Proof, parse_proof
from stayput.tlog.tiles import TILE_WIDTH, TileEdge, TileId

Progress = Callable[[int, int], None]
"""Called now and then with the numbers of entries done and in all."""

_AT_WORK: Final = 8
"""Groups of 256 entries that wait at the workers."""


def audit_pack(
    source: BinaryIO,
    policy: Policy,
    *,
    since: bytes | None = None,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a review pack; the steps are those in the module's text.

    Args:
        source: the pack, from its first byte; read once.
        policy: whom the auditor trusts, from elsewhere than the pack.
        since: an older checkpoint of the log, a signed note, that the auditor has kept.
        workers: processes that share the work; None does it here.

    Raises:
        DocumentError: the source is no review pack, or ``since`` no checkpoint.
        VerificationError: the policy can be split.
    """
    verify_unsplittable(policy)
    pack = Pack(source)
    examination = _Examination(pack, policy)
    if since is not None:
        examination.expect(claimed_checkpoint(since), since)
    done = 0
    for group, work, finished in _shared_out(examination, pack, workers):
        examination.take(group, work, finished)
        done += len(group.entries)
        if progress is not None:
            progress(done, pack.claimed.size)
    return examination.report()


def _shared_out(
    examination: _Examination, pack: Pack, workers: Executor | None
) -> Iterator[tuple[Group, Work, WorkDone]]:
    """Groups with what a worker vouches for, in order; some ahead of those that are taken."""
    pending: collections.deque[tuple[Group, Work, Future[WorkDone]]] = collections.deque()
    for group in examination.groups():
        work = examination.work(group)
        if workers is None:
            yield group, work, do_work(work)
            continue
        pending.append((group, work, workers.submit(do_work, work)))
        if len(pending) >= _AT_WORK:
            first, its_work, future = pending.popleft()
            yield first, its_work, future.result()
    for first, its_work, future in pending:
        yield first, its_work, future.result()


@dataclasses.dataclass
class _Release:
    """A result that was released, until it is known who has cosigned it."""

    run: bytes
    leaf: bytes
    participants: tuple[str, ...]


class _Examination:
    def __init__(self, pack: Pack, policy: Policy) -> None:
        self._pack = pack
        self._policy = policy
        self._replay = Replay()
        self._account = Account()
        self._tree = merkle.CompactRange()
        self._upper = TileEdge()
        self._findings: list[Finding] = []
        self._first_members: Members | None = None
        self._expected: dict[int, list[tuple[str, bytes]]] = {}
        self._releases: dict[int, _Release] = {}
        self._releasing: set[str] = set()
        self._suspects: list[tuple[str, str]] = []
        self._cosigned = self._verify_newest()

    # --- before the entries -----------------------------------------------------------------------

    def _verify_newest(self) -> CosignedCheckpoint | None:
        try:
            return self._policy.verify(self._pack.note, self._pack.claimed.origin)
        except StayputError as error:
            self._find(error.message, member=CHECKPOINT_NAME)
            return None

    def expect(self, older: Checkpoint, note: bytes) -> None:
        """The log must contain a checkpoint that the auditor has kept."""
        logs = [log.verifier for log in self._policy.logs]
        name = "the older checkpoint"
        try:
            verify_note(note, logs)
        except StayputError as error:
            self._find(f"{name} is not of a log in the policy: {error.message}")
            return
        if older.origin != self._pack.claimed.origin:
            self._find(f"{name} is of another log, {older.origin}")
        elif older.size > self._pack.claimed.size:
            self._find(
                f"{name} has {older.size} entries, the pack only {self._pack.claimed.size}: "
                "something was taken away"
            )
        elif older.size:
            self._expected.setdefault(older.size, []).append((name, older.root))

    def groups(self) -> Iterator[Group]:
        """The groups of the pack; one that cannot be read is a finding, and the last."""
        try:
            for group in self._pack.groups():
                if group.index == 0:
                    self._open(group)
                yield group
        except DocumentError as error:
            self._broken(error)

    def _open(self, group: Group) -> None:
        """Learn the first keys, to share work out: from a claim, which the replay verifies."""
        opening = Replay()
        opening.take(0, group.entries[0])
        self._first_members = opening.session.members

    def work(self, group: Group) -> Work:
        """What can be read of a group without the log."""
        members = self._replay.session.members or self._first_members
        notes = tuple(note for _, note in group.notes) + tuple(
            proof.checkpoint for proof in map(_proof, group.proofs) if proof is not None
        )
        width = len(group.entries)
        if members is None:
            return Work(group.bundle, width, {}, notes, None)
        keys = {signing.fingerprint(member.signing_key): member.signing_key for member in members}
        return Work(group.bundle, width, keys, notes, _note_keys(members))

    # --- the entries ------------------------------------------------------------------------------

    def take(self, group: Group, work: Work, done: WorkDone) -> None:
        """Replay a group, then compare what stands with it."""
        self._take_tiles(group, done.leaves)
        proofs = [_proof(one) for one in group.proofs]
        sizes = {size for size, _ in group.notes}
        sizes |= {claim.size for claim in map(_claim, proofs) if claim is not None}
        roots = self._grow(group, done.leaves, sizes | self._expected.keys())
        for offset, entry in enumerate(group.entries):
            taken = self._replay.take(group.first + offset, entry, done.claims[offset])
            if taken is not None:
                self._note(taken, done.leaves[offset])
        for size, root in roots.items():
            for name, expected in self._expected.get(size, ()):
                if root != expected:
                    self._find(f"{name} of {size} entries is of another history than the pack")
        read = iter(done.notes)
        for (size, note), cosigned in zip(group.notes, read, strict=False):
            self._take_note(milestone_name(size), size, note, roots, work, cosigned)
        for (index, _), proof in zip(group.proofs, proofs, strict=True):
            cosigned = next(read, None) if proof is not None else None
            self._take_proof(index, proof, roots, work, cosigned)

    def _grow(self, group: Group, leaves: tuple[bytes, ...], sizes: set[int]) -> dict[int, bytes]:
        """Append leaves; the roots of those of ``sizes`` that are reached on the way."""
        start, stop = self._tree.size, self._tree.size + len(leaves)
        roots = {}
        for size in sorted(size for size in sizes if start < size <= stop):
            self._tree.extend(leaves[self._tree.size - start : size - start])
            roots[size] = self._tree.root()
        self._tree.extend(leaves[self._tree.size - start :])
        return roots

    def _take_tiles(self, group: Group, leaves: tuple[bytes, ...]) -> None:
        if b"".join(leaves) != group.tile:
            self._suspects.append((group.entries_name, group.tile_name))
        computed: dict[TileId, bytes] = {}
        if len(leaves) == TILE_WIDTH:
            whole = merkle.CompactRange()
            whole.extend(leaves)
            computed.update((_above(tile), data) for tile, data in self._upper.append(whole.root()))
        if group.upper and group.first + len(leaves) == self._pack.claimed.size:
            computed.update((_above(tile), data) for tile, data in self._upper.partial_tiles())
        for tile, data in group.upper:
            if computed.get(tile) != data:
                self._suspects.append(("", tile.path))

    def _note(self, taken: Admitted, leaf: bytes) -> None:
        members = self._replay.session.members
        if members is None:
            return
        step = taken.step
        self._account.note(taken.index, step, *signer_of(step, members))
        run = getattr(step, "run", None)
        if isinstance(step, ResultReleased):
            participants = self._account.participants(step.run)
            self._releases[taken.index] = _Release(step.run, leaf, participants)
            self._releasing.update(participants)
        if run is not None and run in self._replay.session.runs:
            self._replay.session.forget_parts(run)

    # --- checkpoints ------------------------------------------------------------------------------

    def _take_note(
        self,
        member: str,
        size: int,
        note: bytes,
        roots: dict[int, bytes],
        work: Work,
        cosigned: CosignedNote | None,
    ) -> CosignedNote | None:
        """A checkpoint of this log, signed, and of the very tree of these entries."""
        session = self._replay.session
        if session.members is None:
            return None
        keys = _note_keys(session.members_at(size))
        try:
            if cosigned is None or keys != work.note_keys:
                cosigned = keys.read(note)
        except StayputError as error:
            self._find(error.message, member=member)
            return None
        checkpoint = cosigned.checkpoint
        if checkpoint.size != size or size not in roots:
            self._find(f"a checkpoint of {checkpoint.size} entries", member=member)
            return None
        if checkpoint.root != roots[size]:
            self._find(
                "the log signed another history: evidence of a fork, keep the pack", member=member
            )
            return None
        return cosigned

    def _take_proof(
        self,
        index: int,
        proof: Proof | None,
        roots: dict[int, bytes],
        work: Work,
        cosigned: CosignedNote | None,
    ) -> None:
        member = proof_name(index)
        claim = _claim(proof)
        release = self._releases.get(index)
        if proof is None or claim is None or proof.index != index or release is None:
            self._find("not the proof of a released result", index, member=member)
            return
        verified = self._take_note(member, claim.size, proof.checkpoint, roots, work, cosigned)
        if verified is None:
            return
        checkpoint = verified.checkpoint
        try:
            merkle.verify_inclusion(
                release.leaf, index, checkpoint.size, list(proof.hashes), checkpoint.root
            )
        except StayputError as error:
            self._find(error.message, index, member=member)
            return
        needed = self._replay.session.members_at(checkpoint.size).cosigners(release.participants)
        missing = [key.name for key in needed if key.public not in verified.keys]
        if missing:
            listed = ", ".join(missing)
            self._find(f"released without the cosignature of {listed}", index, "W-1", member)
            return
        del self._releases[index]
        self._account.cover(release.run, checkpoint.size)
        if checkpoint.size > index + 1:
            self._findings.append(
                Finding(
                    Severity.NOTICE,
                    f"cosigned by all its holders only with {checkpoint.size} entries",
                    index,
                    member=member,
                )
            )

    # --- the end ----------------------------------------------------------------------------------

    def _broken(self, error: DocumentError) -> None:
        member, colon, message = error.message.partition(": ")
        if colon and " " not in member:
            self._find(message, member=member)
        else:
            self._find(error.message)

    def report(self) -> AuditReport:
        """All findings, and what happened."""
        self._compare_root()
        self._judge_policy()
        for index in sorted(self._releases):
            self._find("no checkpoint shows that its holders saw this release", index, "W-1")
        session = self._replay.session
        members = session.members
        claimed = self._pack.claimed
        findings = [*self._replay.findings, *self._account.findings, *self._findings]
        if self._replay.unlisted:
            findings.append(
                Finding(
                    Severity.VIOLATION, f"{self._replay.unlisted} more entries are nobody's word"
                )
            )
        return AuditReport(
            log=LogIdentity(
                origin=claimed.origin,
                size=self._tree.size,
                root=self._tree.root().hex(),
                fingerprint="" if members is None else members.digest.hex(),
                started=self._account.started,
                last=self._account.last,
                cosigned=tuple(
                    CosignedAt(name, time)
                    for name, time in (self._cosigned.times if self._cosigned else {}).items()
                ),
            ),
            findings=_in_order(findings),
            parties=tuple(
                Party(one.name, one.role.name.lower(), signing.fingerprint(one.signing_key))
                for one in members or ()
            ),
            timeline=tuple(self._account.timeline),
            scenarios=tuple(self._account.scenarios()),
            runs=tuple(self._account.runs()),
            metering=tuple(self._account.metering()),
        )

    def _compare_root(self) -> None:
        claimed = self._pack.claimed
        same = (self._tree.size, self._tree.root()) == (claimed.size, claimed.root)
        if not same:
            self._find(
                f"the entries are not the {claimed.size} that the checkpoint was signed for",
                member=CHECKPOINT_NAME,
            )
        if claimed.size == 0:
            self._find("the log is empty", member=CHECKPOINT_NAME)
        for entries, tile in self._suspects:
            # If the entries are those that were signed, the tile over them is wrong; else they are.
            culprit = tile if same or not entries else entries
            self._find("not what the checkpoint was signed for", member=culprit)

    def _judge_policy(self) -> None:
        members = self._replay.session.members
        if members is None or not self._releasing:
            return
        try:
            verify_all(self._policy, members.cosigners(sorted(self._releasing)))
        except StayputError as error:
            self._find(error.message)
        if members.log_verifier not in [log.verifier for log in self._policy.logs]:
            self._find("the member list names another log key than the policy", 0, "L-3")

    def _find(
        self, message: str, entry: int | None = None, clause: str = "", member: str = ""
    ) -> None:
        self._findings.append(Finding(Severity.VIOLATION, message, entry, clause, member))


def _note_keys(members: Members) -> NoteKeys:
    return NoteKeys(members.log_verifier, members.cosigners())


def _above(tile: TileId) -> TileId:
    """A tile over tiles: the edge of the upper levels counts tiles of level 0 as its leaves."""
    return dataclasses.replace(tile, level=tile.level + 1)


def _proof(numbered: tuple[int, bytes]) -> Proof | None:
    try:
        return parse_proof(numbered[1])
    except DocumentError:
        return None


def _claim(proof: Proof | None) -> Checkpoint | None:
    try:
        return None if proof is None else claimed_checkpoint(proof.checkpoint)
    except DocumentError:
        return None


def _in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """By entry, each said once: the rules and the account may find the same."""
    unique = {(one.entry, one.clause, one.member, one.message): one for one in findings}
    return tuple(
        sorted(
            unique.values(), key=lambda one: (one.entry is None, one.entry or 0, one.severity.value)
        )
    )
