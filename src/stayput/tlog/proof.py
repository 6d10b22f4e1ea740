"""Offline proofs of inclusion (C2SP tlog-proof@v1): one text file that needs no server.

It holds the index of an entry, the hashes from the leaf up, and the log's checkpoint verbatim with
all the cosignatures that stood on it.  The entry itself is not in it, and ``extra`` is covered by
no signature: it may help to find the entry, and is never to be believed.

With a policy (:mod:`stayput.tlog.policy`) a proof also says that enough witnesses saw the same
history; without one it is the log's word alone.
"""

from __future__ import annotations

import base64
import dataclasses

from stayput.errors import DocumentError
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, verify_checkpoint
from stayput.tlog.note import MAX_NOTE_BYTES, NoteVerifier, decode_base64, parse_decimal
from stayput.tlog.policy import Policy

HEADER = "c2sp.org/tlog-proof@v1"

MAX_PROOF_BYTES = MAX_NOTE_BYTES + 128 * 1024
"""A whole note, 63 hashes of 45 characters, and room for ``extra``."""


@dataclasses.dataclass(frozen=True)
class Proof:
    """An inclusion proof that is not verified yet.

    Args:
        index: zero-based index of the entry.
        hashes: from the leaf's sibling up.
        checkpoint: the signed note, verbatim.
        extra: unauthenticated bytes; empty means that the line is left out.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """The text form."""
        lines = [HEADER]
        if self.extra:
            lines.append("extra " + base64.b64encode(self.extra).decode("ascii"))
        lines.append(f"index {self.index}")
        lines.extend(base64.b64encode(value).decode("ascii") for value in self.hashes)
        return "\n".join([*lines, "", ""]).encode("ascii") + self.checkpoint


def parse_proof(data: bytes) -> Proof:
    """Parse an untrusted proof.

    Raises:
        DocumentError: not in the format; the checkpoint inside is not looked at.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise DocumentError(f"a proof has at most {MAX_PROOF_BYTES} bytes")
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank or not checkpoint:
        raise DocumentError("a proof ends with a checkpoint after an empty line")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise DocumentError("a proof is ASCII text before its checkpoint") from None
    if lines.pop(0) != HEADER:
        raise DocumentError(f"a proof starts with the line {HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
        if not extra:
            raise DocumentError("an empty extra line is left out")
    if not lines or not lines[0].startswith("index "):
        raise DocumentError("a proof names the index of its entry")
    index = parse_decimal(lines.pop(0).removeprefix("index "), merkle.MAX_SIZE - 1)
    if len(lines) > merkle.MAX_PROOF_HASHES:
        raise DocumentError(f"a proof has at most {merkle.MAX_PROOF_HASHES} hashes")
    hashes = tuple(decode_base64(line) for line in lines)
    if any(len(value) != merkle.HASH_BYTES for value in hashes):
        raise DocumentError(f"a hash has {merkle.HASH_BYTES} bytes")
    return Proof(index, hashes, checkpoint, extra)


def verify_proof(
    data: bytes,
    entry: bytes,
    origin: str,
    verifier: NoteVerifier | None = None,
    policy: Policy | None = None,
) -> Checkpoint:
    """Verify that an entry, given as its exact bytes, is in the log ``origin``.

    1. The file is a proof in the format.
    2. Its checkpoint is signed by the log's key and is this log's.
    3. With a policy: a log of the policy signed it, and the cosignatures reach the quorum.
    4. The hash of the entry leads, at the stated index, to the checkpoint's root.

    Args:
        data: the proof.
        entry: exact bytes of the leaf.
        origin: of the log.
        verifier: the log's key; may be left out where a policy names it.
        policy: who must have cosigned.

    Returns:
        The verified checkpoint; its index is ``parse_proof(data).index``.

    Raises:
        ValueError: neither key nor policy.
        DocumentError: step 1, or a malformed checkpoint.
        VerificationError: step 2, 3 or 4.
    """
    if verifier is None and policy is None:
        raise ValueError("a proof is verified with the log's key, a policy, or both")
    proof = parse_proof(data)
    if verifier is not None:
        checkpoint = verify_checkpoint(proof.checkpoint, origin, verifier)
    if policy is not None:
        checkpoint = policy.verify(proof.checkpoint, origin).checkpoint
    merkle.verify_inclusion(
        merkle.leaf_hash(entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root
    )
    return checkpoint
