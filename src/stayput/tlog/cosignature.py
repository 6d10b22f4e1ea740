"""Cosignatures (C2SP tlog-cosignature) with Ed25519 keys, type 0x04.

A cosigner states that, as of a time, the largest tree of the log that it has seen has this root and
is consistent with all it saw before.  A key may state more than that, and then states it always:
what each key of a member states is written in ``docs/protocol.md``.

The signed message does not name the cosigner.  One key must therefore never stand under two names:
whoever collects trusted keys refuses that (:mod:`stayput.tlog.checkpoint`,
:mod:`stayput.tlog.policy`).  Type 0x06 (ML-DSA-44) is recognised by name and refused.

The time is the cosigner's word and orders nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from stayput.crypto import signing
from stayput.errors import VerificationError
from stayput.tlog import note
from stayput.tlog.note import Signer

COSIGNATURE_ED25519: Final = 0x04
"""Signature type: timestamped Ed25519 cosignature of a checkpoint."""

MAX_TIME: Final = 2**63 - 1
"""\"It MUST NOT exceed 2^63 - 1\" (seconds since the Epoch)."""

_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = _TIME_BYTES + signing.SIGNATURE_BYTES


@dataclasses.dataclass(frozen=True)
class CosignatureVerifier:
    """A key that is trusted to cosign, under a name.

    Raises:
        ValueError: no valid key name, or a key that no honest party has.
    """

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not note.is_key_name(self.name):
            raise ValueError(f"{self.name!r} is no key name: no spaces, no plus, not empty")
        try:
            signing.verify_public_key(self.public)
        except VerificationError as error:
            raise ValueError(error.message) from None

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || 0x04 || public key)[:4]."""
        return note.key_id(self.name, COSIGNATURE_ED25519, self.public)

    @property
    def vkey(self) -> str:
        """The verifier key as text, ``name+id+base64(0x04 || key)``."""
        return note.encode_vkey(self.name, COSIGNATURE_ED25519, self.public)

    def verify(self, text: str, signature: bytes) -> int:
        """Verify a ``timestamped_signature`` over the text of a checkpoint.

        Args:
            text: the whole note text with its last newline.
            signature: what follows the key id in the line: 8 bytes of time, then 64 bytes.

        Returns:
            The time in seconds since the Epoch.

        Raises:
            VerificationError: malformed, or not this key's over this text.
        """
        time = signature_time(signature)
        try:
            signing.verify_signature(self.public, _message(text, time), signature[_TIME_BYTES:])
        except VerificationError:
            raise VerificationError(f"the cosignature of {self.name} does not hold") from None
        return time


def cosign(checkpoint_text: str, name: str, key: Signer, time: int) -> bytes:
    """One signature line for the note of a checkpoint.

    The caller has verified that the checkpoint extends everything that this key has cosigned, and
    has made that durable (C2SP tlog-witness: "MUST persist the new checkpoint before responding").

    Args:
        checkpoint_text: :attr:`stayput.tlog.checkpoint.Checkpoint.text`.
        name: the cosigner's key name.
        key: a key that signs nothing else, under no other name.
        time: now, in seconds since the Epoch.

    Raises:
        ValueError: a text without a last newline, bad name or key, or a time out of range.
    """
    if not checkpoint_text.endswith("\n"):
        raise ValueError("the text of a checkpoint ends in a newline")
    if not 0 < time <= MAX_TIME:
        raise ValueError("a time is 1 to 2**63 - 1 seconds since the Epoch")
    signature = key.sign(_message(checkpoint_text, time))
    verifier = CosignatureVerifier(name, key.public)
    return note.signature_line(verifier, time.to_bytes(_TIME_BYTES, "big") + signature)


def parse_cosigner_vkey(text: str) -> CosignatureVerifier:
    """Parse the verifier key of a cosigner.

    Raises:
        DocumentError: malformed, of another type than 0x04, or a key that no honest party has.
    """
    return CosignatureVerifier(*note.decode_ed25519_vkey(text, COSIGNATURE_ED25519))


def signature_time(signature: bytes) -> int:
    """The time that a cosignature states, in seconds since the Epoch; not verified.

    Raises:
        VerificationError: not 72 bytes, or a time out of range.
    """
    if len(signature) != _SIGNATURE_BYTES:
        raise VerificationError(f"an Ed25519 cosignature has {_SIGNATURE_BYTES} bytes")
    time = int.from_bytes(signature[:_TIME_BYTES], "big")
    if time > MAX_TIME:
        raise VerificationError("the time of a cosignature is above 2**63 - 1")
    return time


def _message(text: str, time: int) -> bytes:
    """The two header lines and the whole note text."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()
