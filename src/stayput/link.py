"""The link: what a party can ask of the coordinator, and nothing else.

One narrow interface behind which the network (:mod:`stayput.rpc`) and the in-memory federation of
tests and rehearsals both fit.  The caller's identity belongs to the link, not to the arguments.

Every call is idempotent: the same call again gives the same answer.  Calls raise
:class:`stayput.errors.Unavailable` when the coordinator cannot be reached (try again), and other
:class:`~stayput.errors.StayputError` classes when it refuses (do not).
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import Protocol

from stayput.steps import Round


@dataclasses.dataclass(frozen=True)
class LogPage:
    """Leaf bytes of entries ``start``, ``start + 1``, … and the newest signed checkpoint.

    ``cosigned`` are notes signed by the log, of this checkpoint's size or smaller: for every key of
    a cosigner the newest that it has cosigned, and of those larger than ``start`` the first few
    (:data:`NOTES_PER_PAGE`).
    """

    start: int
    entries: tuple[bytes, ...]
    checkpoint: bytes
    cosigned: tuple[bytes, ...] = ()

    @property
    def cosigned_digest(self) -> bytes:
        """Names the cosigned notes, for who asks to be told of others; empty without any."""
        return digest_notes(self.cosigned)


NOTES_PER_PAGE = 16
"""Cosigned notes above ``start`` in one page: the first one answers who asks about one entry."""


def digest_notes(notes: tuple[bytes, ...]) -> bytes:
    """A digest of a list of notes; empty for the empty list."""
    if not notes:
        return b""
    # Each digest has one length, so no two lists run together.
    return hashlib.sha256(b"".join(hashlib.sha256(note).digest() for note in notes)).digest()


class ItemKind(enum.Enum):
    """What of a run over a join travels in pieces."""

    SET = 1  # a blinded set after one place of its way
    ROWS = 2  # an owner's encrypted rows of a pair
    HANDED = 3  # what a combiner gets of them
    SUMS = 4  # what it returns


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing of a run that travels in pieces.

    ``owner`` is that of a set; ``number`` the place in its way, or of the others the pair.
    """

    kind: ItemKind
    owner: str = ""
    number: int = 0


MAX_PIECE_BYTES = 16 * 1024 * 1024
"""Of one piece: a fourth of what the wire takes at once, eight times what a row's ciphertexts have
in a chunk at 2048 bits."""


class JoinLink(Protocol):
    """What a holder's node asks of the coordinator in a run over a join.

    What has the size of a table travels in pieces, before the step that names its digest.
    ``put_piece`` takes the same bytes again, and no others in their place; ``count_pieces`` says
    how many are there, so that a caller whose connection broke goes on; ``submit_join_step`` takes
    a :class:`~stayput.steps.SetBlinded`, :class:`~stayput.steps.RowsEncrypted` or
    :class:`~stayput.steps.SumsReturned`.
    """

    def put_piece(self, run: bytes, item: Item, index: int, data: bytes) -> None: ...
    def count_pieces(self, run: bytes, item: Item) -> int: ...
    def get_piece(self, run: bytes, item: Item, index: int) -> bytes: ...
    def submit_join_step(self, step: bytes) -> int: ...


class CoordinatorLink(JoinLink, Protocol):
    """Calls a party makes; ``step`` is always the envelope of the signed step of that name.

    ``read_log`` waits up to ``wait_ms`` for entries from ``start`` on, or for other cosigned notes
    than those of which the caller gives the digest (``known``).  ``submit_cosignatures`` takes
    notes of checkpoints with the caller's own cosignatures, with or without the log's signature.
    ``read_tile`` gives a file of the published log (C2SP tlog-tiles) by its path.
    """

    def read_log(self, start: int, wait_ms: int, known: bytes = b"") -> LogPage: ...
    def read_tile(self, path: str) -> bytes: ...
    def rotate_keys(self, step: bytes) -> int: ...
    def submit_cosignatures(self, notes: tuple[bytes, ...]) -> None: ...
    def propose_scenario(self, step: bytes, scenario: bytes) -> int: ...
    def get_scenario(self, scenario: bytes) -> bytes: ...
    def review_scenario(self, step: bytes) -> int: ...
    def revoke_scenario(self, step: bytes) -> int: ...
    def authorise_scenario(self, step: bytes) -> int: ...
    def order_run(self, step: bytes, order: bytes) -> int: ...
    def get_run_order(self, run: bytes) -> bytes: ...
    def submit_receipt(self, step: bytes) -> int: ...
    def submit_contribution(self, step: bytes, context: bytes, ciphertexts: bytes) -> int: ...
    def get_contribution(self, run: bytes, round: Round, holder: str) -> bytes: ...
    def submit_verdict(self, step: bytes, verdict: bytes) -> int: ...
    def get_verdict(self, run: bytes) -> bytes: ...
    def hold_result(self, step: bytes) -> int: ...
    def examine_result(self, step: bytes) -> int: ...
    def submit_release(self, step: bytes) -> int: ...
    def deliver_result(self, run: bytes, sealed: bytes) -> None: ...
    def fetch_result(self, run: bytes) -> bytes: ...
    def fail_run(self, step: bytes) -> int: ...
