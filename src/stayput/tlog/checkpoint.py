"""Checkpoints (C2SP tlog-checkpoint): the log's signed word on its size and root.

Exactly three lines: origin, size, root.  Extension lines are refused: nobody audits them, and some
tools do not sign them.  The log signs under its origin as key name.  Cosignatures may stand on the
note: :func:`verify_checkpoint` does not look at them, :func:`verify_cosigned` verifies those of the
keys it is given, :mod:`stayput.tlog.policy` says which are enough.

A valid checkpoint alone proves nothing about history: compare it with what you hold
(:func:`stayput.tlog.merkle.verify_consistency`, or recompute the root from all entries).
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence

from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle
from stayput.tlog.cosignature import CosignatureVerifier, signature_time
from stayput.tlog.note import (
    NoteVerifier,
    Signer,
    add_signatures,
    decode_base64,
    is_key_name,
    parse_decimal,
    sign_note,
    verify_note,
)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Origin (identity of the log), number of entries, root hash.

    Raises:
        ValueError: the origin cannot be a key name, the size is out of range, the root has not 32
            bytes, or an empty log has another root than the empty one.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.origin):
            raise ValueError("an origin has no spaces, no plus, and is not empty")
        if not 0 <= self.size <= merkle.MAX_SIZE:
            raise ValueError("the size of a log is 0 to 2**63 - 1")
        if len(self.root) != merkle.HASH_BYTES:
            raise ValueError(f"a root hash has {merkle.HASH_BYTES} bytes")
        if self.size == 0 and self.root != merkle.EMPTY_ROOT:
            raise ValueError("an empty log has the empty root")

    @property
    def text(self) -> str:
        """The note text that is signed."""
        root = base64.b64encode(self.root).decode("ascii")
        return f"{self.origin}\n{self.size}\n{root}\n"


@dataclasses.dataclass(frozen=True)
class CosignedCheckpoint:
    """A checkpoint whose log signature and cosignatures have been verified.

    Args:
        checkpoint: what was signed.
        times: by the key name of each cosigner that signed, the time it states (the latest, if
            several keys of that name did).
        keys: the public keys that cosigned.
        lines: the log's signature line and the verified cosignature lines, in the note's order.
    """

    checkpoint: Checkpoint
    times: Mapping[str, int]
    keys: frozenset[bytes]
    lines: tuple[bytes, ...]


def sign_checkpoint(checkpoint: Checkpoint, key: Signer) -> bytes:
    """The checkpoint as a note signed by the log.

    "A log MUST not sign any checkpoint which is inconsistent with any checkpoint it previously
    signed": that is the caller's to know.
    """
    return sign_note(checkpoint.text, checkpoint.origin, key)


def parse_checkpoint_text(text: str) -> Checkpoint:
    """Parse the text of a note, whose signatures the caller verifies, as a checkpoint.

    Raises:
        DocumentError: not exactly origin, size and root in canonical form.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise DocumentError("a checkpoint is three lines: origin, size, root")
    origin, size, root = lines[:3]
    try:
        return Checkpoint(origin, parse_decimal(size, merkle.MAX_SIZE), decode_base64(root))
    except ValueError as error:
        raise DocumentError(f"not a checkpoint: {error}") from None


def claimed_checkpoint(data: bytes) -> Checkpoint:
    """What a well-formed note says of a log: nobody's word, since no signature was verified.

    For who has to know size or origin to choose the keys to verify with.

    Raises:
        DocumentError: not a note, or not of a checkpoint.
    """
    add_signatures(data, ())  # refuses what is no note
    text, _, _ = data.rpartition(b"\n\n")
    return parse_checkpoint_text(text.decode("utf-8") + "\n")


def verify_checkpoint(data: bytes, origin: str, verifier: NoteVerifier) -> Checkpoint:
    """Verify that the log ``origin`` signed this checkpoint with the key in ``verifier``.

    Raises:
        DocumentError: not a signed checkpoint.
        VerificationError: the signature is missing or wrong, or it is another log's checkpoint.
    """
    checkpoint = parse_checkpoint_text(verify_note(data, [verifier]).text)
    if checkpoint.origin != origin:
        raise VerificationError("the checkpoint is of another log")
    return checkpoint


def verify_cosigned(
    data: bytes,
    origin: str,
    log_verifier: NoteVerifier,
    cosigners: Sequence[CosignatureVerifier],
) -> CosignedCheckpoint:
    """Verify the log's signature and all cosignatures by these keys.

    1. The log ``origin`` signed the checkpoint with the key in ``log_verifier``.
    2. Lines of keys that are not given are ignored.
    3. A line of a given key that does not hold condemns the note.
    4. No key stands under two names, because the signed message does not name the cosigner.

    How many cosignatures are enough is not judged here: ``times`` may be empty.

    Raises:
        DocumentError: not a signed checkpoint.
        VerificationError: step 1, 3 or 4.
    """
    if len({cosigner.public for cosigner in cosigners} | {log_verifier.public}) <= len(cosigners):
        raise VerificationError("a key stands under two names")
    note = verify_note(data, [log_verifier, *cosigners])
    if (log_verifier.name, log_verifier.key_id) not in note.signatures:
        raise VerificationError("the log has not signed the checkpoint")
    checkpoint = parse_checkpoint_text(note.text)
    if checkpoint.origin != origin:
        raise VerificationError("the checkpoint is of another log")
    times: dict[str, int] = {}
    keys = set()
    for cosigner in cosigners:
        signature = note.signatures.get((cosigner.name, cosigner.key_id))
        if signature is not None:
            times[cosigner.name] = max(times.get(cosigner.name, 0), signature_time(signature))
            keys.add(cosigner.public)
    return CosignedCheckpoint(checkpoint, times, frozenset(keys), note.lines)
