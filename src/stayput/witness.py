"""The witness: a holder or auditor cosigns the log that it has verified and stored (clause W-2).

After each catch-up it cosigns the milestones that came, and the newest checkpoint when nothing else
is new: nobody waits for that one.  The witness key signs whatever extends what
it signed before; the auditor key only up to the first sum of its own runs that it has not
recomputed.

Invariants: what is cosigned is on disk before; what each key has cosigned is on disk, in one
transaction with the notes to send, before a signature leaves; no key signs a smaller tree after a
larger one, nor two trees of one size; a retry sends the same bytes.  Who was restored from an old
copy learns from the coordinator what its own keys have cosigned since, and cosigns nothing until it
holds that.  Who was shown a fork once cosigns nothing any more: that is for people to settle.

Not here: verifying the log (:mod:`stayput.replica`), recomputing sums (:mod:`stayput.node`),
waiting for others' cosignatures (:meth:`stayput.replica.Replica.awaited`).
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterable, Mapping

from stayput.crypto.signing import SigningKey
from stayput.errors import ConfigurationError, VerificationError
from stayput.identity import Identity
from stayput.link import CoordinatorLink
from stayput.replica import Replica
from stayput.store.journal import Cosigned, Evidence, Journal
from stayput.tlog.checkpoint import Checkpoint
from stayput.tlog.cosignature import cosign

MAX_MILESTONES = 1000
"""Of those that came at once the newest are cosigned: a new mirror of an old log signs no history.
Nobody waits for older ones: whatever is cosigned later contains them."""

NOTES_AT_ONCE = 256
"""In one call; :data:`stayput.rpc.methods.MAX_NOTES` is what the coordinator takes."""

_WITNESS = "witness"
_AUDITOR = "auditor"


@dataclasses.dataclass(frozen=True)
class _Key:
    """One of the two keys: under which name it signs, and the largest size it may sign now."""

    kind: str
    name: str
    key: SigningKey
    limit: int


class Witness:
    """A cosigner.

    Args:
        identity: its keys; a holder's or an auditor's.
        replica: its verified copy of the log.
        journal: where that is stored, and what was cosigned.
        link: the way to the coordinator.
        clock: Unix seconds.

    Raises:
        ConfigurationError: an identity that does not cosign.
    """

    def __init__(
        self,
        identity: Identity,
        replica: Replica,
        journal: Journal,
        link: CoordinatorLink,
        clock: Callable[[], int],
    ) -> None:
        if identity.witness_key is None or identity.auditor_key is None:
            raise ConfigurationError(f"{identity.name} has no keys to cosign with")
        self._name = identity.name
        self._witness_key, self._auditor_key = identity.witness_key, identity.auditor_key
        self.replica = replica
        self._journal = journal
        self._link = link
        self._clock = clock
        self._shown_fork = False
        self.report: Callable[[str], None] = lambda message: None

    def work(self, *, wait_ms: int = 0) -> bool:
        """Follow the log and cosign it: all that an auditor does.

        Returns:
            Whether there was anything to do.

        Raises:
            Unavailable: the coordinator cannot be reached; call again.
            VerificationError: the log does not stand; do not call again.
        """
        news = self.replica.catch_up(self._link, wait_ms=wait_ms)
        return self.cosign(quiet=not news) or news

    @property
    def audited(self) -> int:
        """The largest size that the auditor key has cosigned, here or before a restore."""
        held = self._journal.cosigned().get(_AUDITOR)
        return max(self.replica.cosigned(self._name).auditor, held.size if held else 0)

    def cosign(self, *, quiet: bool = True, until: int | None = None) -> bool:
        """Cosign what the replica holds, and send what was not sent.

        Args:
            quiet: nothing is new: cosign the newest checkpoint, for which nobody waits, too.
            until: the auditor key signs nothing larger than this size.

        Returns:
            Whether anything was sent.

        Raises:
            Unavailable: own disk or coordinator; call again, nothing is lost.
            VerificationError: this party has cosigned another history than the one it holds now.
        """
        if not self.replica.size or self._must_not():
            return False
        size = self.replica.size
        members = self.replica.members
        listed = members[self._name]
        if (listed.witness_key, listed.auditor_key) != (
            self._witness_key.public,
            self._auditor_key.public,
        ):
            return False  # rotated since: what these keys sign now holds for nobody (K-4)
        keys = (
            _Key(_WITNESS, members.witness_name(self._name), self._witness_key, size),
            _Key(
                _AUDITOR,
                members.auditor_name(self._name),
                self._auditor_key,
                size if until is None else min(size, until),
            ),
        )
        if self._decide(keys, self._journal.cosigned(), quiet)[1]:  # else nothing is written
            self._journal.cosign(lambda held: self._decide(keys, held, quiet))
        return self._send()

    def _must_not(self) -> bool:
        """A fork was shown to us once, or we have cosigned a larger tree than we hold (W-5)."""
        if not self._shown_fork:
            self._shown_fork = any(k.kind is Evidence.FORK for k in self._journal.evidence())
            if self._shown_fork:
                self.report("cosigns nothing: evidence of a fork is kept (`stayput log evidence`)")
        return self._shown_fork or self.replica.is_ahead(self._name)

    def _decide(
        self, keys: Iterable[_Key], held: Mapping[str, Cosigned], quiet: bool
    ) -> tuple[Mapping[str, Cosigned], tuple[bytes, ...]]:
        """From what each key has cosigned: what it has cosigned then, and the notes to send."""
        if any(before.size > self.replica.size for before in held.values()):
            return {}, ()  # another process of ours is ahead of this one
        time = max([self._clock(), *(before.time for before in held.values())])
        lines: dict[int, list[bytes]] = {}
        after = {}
        for key in keys:
            start = self._start(key, held.get(key.kind))
            for size in self._sizes(start, key.limit, quiet):
                if not self._is_current(key, size):
                    continue
                line = cosign(self._text(size), key.name, key.key, time)
                lines.setdefault(size, []).append(line)
                after[key.kind] = Cosigned(size, self.replica.tree.root(size), time)
        return after, tuple(
            f"{self._text(size)}\n".encode() + b"".join(lines[size]) for size in sorted(lines)
        )

    def _start(self, key: _Key, before: Cosigned | None) -> int:
        """The largest size that this key has cosigned, here or before a restore (W-5), or that it
        is not for."""
        if before is not None and self.replica.tree.root(before.size) != before.root:
            raise VerificationError(
                f"this party has cosigned another tree of {before.size} entries than it holds",
                hint="its copy of the log was exchanged: keep the folder as evidence, compare with "
                "the other members",
            )
        shown: int = getattr(self.replica.cosigned(self._name), key.kind)
        # Trees from before a rotation are not for the new keys.
        foreign = self.replica.session.card_since(self._name) - 1
        return max(shown, before.size if before else 0, foreign)

    def _sizes(self, start: int, limit: int, quiet: bool) -> list[int]:
        """Milestones from ``start`` on, and the limit itself if nobody is kept waiting by it."""
        milestones = self.replica.milestones
        first, last = bisect.bisect_right(milestones, start), bisect.bisect_right(milestones, limit)
        sizes = milestones[max(first, last - MAX_MILESTONES) : last]
        newest = [limit] if quiet and limit > start and limit not in sizes[-1:] else []
        return sizes + newest

    def _is_current(self, key: _Key, size: int) -> bool:
        """Whether this is our key in the tree of that size: keys rotate (K-4)."""
        member = self.replica.session.members_at(size).get(self._name)
        public: bytes = getattr(member, f"{key.kind}_key", b"")
        return public == key.key.public

    def _text(self, size: int) -> str:
        origin = self.replica.members.log_origin
        return Checkpoint(origin, size, self.replica.tree.root(size)).text

    def _send(self) -> bool:
        """Send what is not at the coordinator yet; the same bytes again after a failure."""
        moved = False
        while rows := self._journal.unsent(NOTES_AT_ONCE):
            self._link.submit_cosignatures(tuple(note for _, note in rows))
            self._journal.sent(rows[-1][0])
            moved = True
        return moved
