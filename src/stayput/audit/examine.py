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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from typing import BinaryIO, Final

from stayput.audit.account import Account
from stayput.audit.pack import (
    CHECKPOINT_NAME,
    Group,
    Pack,
    milestone_name,
    proof_name,
)
from stayput.audit.reading import CosignedNote, NoteKeys, Work, WorkDone, do_work, foreign_lines
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
from stayput.errors import DocumentError, StayputError, VerificationError
from stayput.membership import Members
from stayput.session import Admitted, signer_of
from stayput.steps import ResultReleased
from stayput.tlog import merkle
from stayput.tlog.checkpoint import (
    Checkpoint,
    CosignedCheckpoint,
    claimed_checkpoint,
    verify_cosigned,
)
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


@dataclasses.dataclass
class _Note:
    """A checkpoint: what it claims, and what a worker vouches for."""

    claimed: Checkpoint | None
    cosigned: CosignedNote | None


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
        self._proofs: dict[int, list[Proof | None]] = {}
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
        proofs = [_proof(data) for _, data in group.proofs]
        self._proofs[group.index] = proofs
        noted = [note for _, note in group.notes]
        noted += [proof.checkpoint for proof in proofs if proof is not None]
        notes = tuple(dict.fromkeys(noted))  # most releases of a group share one
        width = len(group.entries)
        if members is None:
            return Work(group.bundle, width, {}, notes, None)
        keys = {signing.fingerprint(member.signing_key): member.signing_key for member in members}
        return Work(group.bundle, width, keys, notes, _note_keys(members))

    # --- the entries ------------------------------------------------------------------------------

    def take(self, group: Group, work: Work, done: WorkDone) -> None:
        """Replay a group, then compare what stands with it."""
        self._take_tiles(group, done.leaves)
        notes = {
            note: _Note(_claim(note), cosigned)
            for note, cosigned in zip(work.notes, done.notes, strict=True)
        }
        sizes = {note.claimed.size for note in notes.values() if note.claimed is not None}
        roots = self._grow(group, done.leaves, sizes | self._expected.keys())
        for offset, entry in enumerate(group.entries):
            taken = self._replay.take(group.first + offset, entry, done.claims[offset])
            if taken is not None:
                self._note(taken, done.leaves[offset])
        for size, root in roots.items():
            for name, expected in self._expected.get(size, ()):
                if root != expected:
                    self._find(f"{name} of {size} entries is of another history than the pack")
        self._take_notes(group, notes, roots, work)

    def _take_notes(
        self, group: Group, notes: dict[bytes, _Note], roots: dict[int, bytes], work: Work
    ) -> None:
        verified: dict[bytes, CosignedNote | StayputError] = {
            data: self._verify_note(data, note, roots, work) for data, note in notes.items()
        }
        for size, data in group.notes:
            cosigned = verified[data]
            if isinstance(cosigned, StayputError):
                self._find(cosigned.message, member=milestone_name(size))
            elif cosigned.checkpoint.size != size:
                found = f"a checkpoint of {cosigned.checkpoint.size} entries"
                self._find(found, member=milestone_name(size))
        proofs = self._proofs.pop(group.index)
        for (index, _), proof in zip(group.proofs, proofs, strict=True):
            self._take_proof(index, proof, verified)

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

    def _verify_note(
        self, data: bytes, note: _Note, roots: dict[int, bytes], work: Work
    ) -> CosignedNote | StayputError:
        """A checkpoint of this log, signed, and of the very tree of these entries; or why not."""
        session = self._replay.session
        if note.claimed is None or note.claimed.size not in roots or session.members is None:
            return VerificationError("no checkpoint of a size that belongs here")
        keys = _note_keys(session.members_at(note.claimed.size))
        cosigned = note.cosigned
        try:
            if cosigned is None or keys != work.note_keys:
                cosigned = keys.read(data)
        except StayputError as error:
            return error
        if cosigned.checkpoint.root != roots[cosigned.checkpoint.size]:
            return VerificationError("the log signed another history: evidence of a fork, keep it")
        return cosigned

    def _take_proof(
        self,
        index: int,
        proof: Proof | None,
        verified: Mapping[bytes, CosignedNote | StayputError],
    ) -> None:
        member = proof_name(index)
        release = self._releases.get(index)
        if proof is None or proof.index != index or release is None:
            self._find("not the proof of a released result", index, member=member)
            return
        cosigned = verified[proof.checkpoint]
        if isinstance(cosigned, StayputError):
            self._find(cosigned.message, index, member=member)
            return
        checkpoint = cosigned.checkpoint
        try:
            merkle.verify_inclusion(
                release.leaf, index, checkpoint.size, list(proof.hashes), checkpoint.root
            )
        except StayputError as error:
            self._find(error.message, index, member=member)
            return
        needed = self._replay.session.members_at(checkpoint.size).cosigners(release.participants)
        missing = [key.name for key in needed if key.public not in cosigned.keys]
        if missing:
            listed = ", ".join(missing)
            self._find(f"released without the cosignature of {listed}", index, "W-1", member)
            return
        del self._releases[index]
        self._account.cover(release.run, checkpoint.size)

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
        self._judge_newest()
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

    def _judge_newest(self) -> None:
        """No line on the newest checkpoint is of anybody but policy and members."""
        if self._cosigned is None or not self._replay.session.size:
            return
        members = self._replay.session.members_at(self._pack.claimed.size)
        try:
            found = verify_cosigned(
                self._pack.note, members.log_origin, members.log_verifier, members.cosigners()
            )
        except StayputError as error:
            self._find(error.message, member=CHECKPOINT_NAME)
            return
        if foreign_lines(self._pack.note, self._cosigned, found):
            self._find("a line in it is of nobody who cosigns", member=CHECKPOINT_NAME)

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


def _proof(data: bytes) -> Proof | None:
    """The proof, unless it is none, or says more than a pack's: nobody vouches for the rest."""
    try:
        proof = parse_proof(data)
    except DocumentError:
        return None
    return None if proof.extra else proof


def _claim(note: bytes) -> Checkpoint | None:
    try:
        return claimed_checkpoint(note)
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
