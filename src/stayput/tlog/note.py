"""Signed notes (C2SP signed-note): a text and signature lines, with Ed25519 keys (type 0x01).

A verifier names the keys it trusts; signatures by others are ignored, one bad signature by a
trusted key condemns the whole note.  The text of an unverified note is nobody's word: the only way
to a text is :func:`verify_note`.

One Ed25519 key may sign notes and, elsewhere, DSSE envelopes: the bytes signed there start with
``DSSEv1`` and a space, those of a checkpoint with an origin, which has no space.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stayput.errors import DocumentError, VerificationError

MAX_NOTE_BYTES = 64 * 1024
"""A checkpoint with 100 Ed25519 signatures has 20 kB; room for longer names."""

MAX_SIGNATURES = 100
"""As golang.org/x/mod/sumdb/note has it; the specification asks for 16 at least."""

ED25519 = 0x01
"""Signature type: plain Ed25519 over the note text."""

_MARK = "— "


class Signer(Protocol):
    """An Ed25519 key that signs; :class:`stayput.crypto.signing.SigningKey` is one."""

    @property
    def public(self) -> bytes: ...
    def sign(self, message: bytes, /) -> bytes: ...


@dataclasses.dataclass(frozen=True)
class NoteVerifier:
    """A key that is trusted to sign notes, under a name.

    Raises:
        ValueError: no valid key name, or not 32 bytes.
    """

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise ValueError(f"{self.name!r} is no key name: no spaces, no plus, not empty")
        if len(self.public) != 32:
            raise ValueError("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || 0x01 || public key)[:4]; an identifier, not a proof."""
        preimage = self.name.encode() + b"\n" + bytes([ED25519]) + self.public
        return hashlib.sha256(preimage).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key as text, ``name+id+base64(type || key)``."""
        key = base64.b64encode(bytes([ED25519]) + self.public).decode("ascii")
        return f"{self.name}+{self.key_id.hex()}+{key}"

    def verify(self, text: str, signature: bytes) -> None:
        """Raises VerificationError unless ``signature`` is this key's over ``text``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            raise VerificationError(f"the signature of {self.name} does not hold") from None


@dataclasses.dataclass(frozen=True)
class VerifiedNote:
    """A text, the names of the trusted keys that signed it, and the other names on it."""

    text: str
    verified: tuple[str, ...]
    unverified: tuple[str, ...]


def parse_vkey(text: str) -> NoteVerifier:
    """Parse a verifier key ``name+id+base64``.

    Raises:
        DocumentError: malformed, of another type than Ed25519, or the id is not the key's.
    """
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    key = decode_base64(encoded)
    if key[:1] != bytes([ED25519]):
        raise DocumentError("the verifier key is not of type Ed25519")
    try:
        verifier = NoteVerifier(name, key[1:])
    except ValueError as error:
        raise DocumentError(f"not a verifier key: {error}") from None
    if key_id != verifier.key_id.hex():
        raise DocumentError("the id of the verifier key is not that of its name and key")
    return verifier


def sign_note(text: str, name: str, key: Signer) -> bytes:
    """A note with one signature.

    Raises:
        ValueError: the text does not end in a newline or has control characters; bad name.
    """
    if not text.endswith("\n") or _has_control_characters(text):
        raise ValueError("a note is lines of text without control characters")
    verifier = NoteVerifier(name, key.public)
    signature = base64.b64encode(verifier.key_id + key.sign(text.encode())).decode("ascii")
    return f"{text}\n{_MARK}{name} {signature}\n".encode()


def verify_note(data: bytes, verifiers: Sequence[NoteVerifier]) -> VerifiedNote:
    """Parse an untrusted note and verify every signature by a trusted key.

    1. The note is well-formed: UTF-8, text, blank line, signature lines.
    2. "Verifiers MUST ignore signatures from unknown keys, even if they share a name or ID (but
       not both) with a known key."
    3. "If the key name and ID match a known key, verifiers MUST verify the signature"; one that
       fails condemns the note.  A second line of the same key is not looked at.
    4. "If no signature from a known key verifies successfully, clients MUST reject the note."

    Raises:
        DocumentError: step 1.
        VerificationError: step 3 or 4, or two trusted keys with the same name and id.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    if len(known) != len(verifiers):
        raise VerificationError("two trusted keys have the same name and id")
    text, signatures = _parse(data)
    verified, unverified = [], []
    for (name, key_id), signature in signatures.items():
        verifier = known.get((name, key_id))
        if verifier is None:
            unverified.append(name)
            continue
        verifier.verify(text, signature)
        verified.append(name)
    if not verified:
        raise VerificationError("no trusted key has signed the note")
    return VerifiedNote(text, tuple(verified), tuple(unverified))


def is_key_name(name: str) -> bool:
    """Whether a text can be a key name: not empty, no Unicode space, no plus, no control."""
    return (
        bool(name)
        and "+" not in name
        and not any(character.isspace() for character in name)
        and not _has_control_characters(name)
    )


def decode_base64(text: str) -> bytes:
    """Standard base64 (RFC 4648 section 4) in its one canonical form.

    Raises:
        DocumentError: junk, missing padding, or padding bits that are not zero.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise DocumentError("not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise DocumentError("not canonical base64")
    return data


def parse_decimal(text: str, maximum: int) -> int:
    """A non-negative ASCII decimal without leading zeroes, as C2SP writes sizes and indices.

    Raises:
        DocumentError: anything else, or above ``maximum``.
    """
    # The length is bounded before int(), which is quadratic; "１２".isdigit() is true, hence ASCII.
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or str(int(text)) != text:
        raise DocumentError("not a decimal number in canonical form")
    if int(text) > maximum:
        raise DocumentError(f"a number is above {maximum}")
    return int(text)


def _parse(data: bytes) -> tuple[str, dict[tuple[str, bytes], bytes]]:
    """Text, and the first signature of each (name, key id) in order."""
    if len(data) > MAX_NOTE_BYTES:
        raise DocumentError(f"a note has at most {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentError("a note is UTF-8") from None
    if _has_control_characters(whole):
        raise DocumentError("a note has no control characters")
    # "the text is separated from the signatures by the last empty line in the note"
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise DocumentError("a note is a text, an empty line and signature lines")
    signatures: dict[tuple[str, bytes], bytes] = {}
    listed = lines[:-1].split("\n")
    if len(listed) > MAX_SIGNATURES:
        raise DocumentError(f"a note has at most {MAX_SIGNATURES} signatures")
    for line in listed:
        name, key_id, signature = _parse_signature_line(line)
        signatures.setdefault((name, key_id), signature)
    return text + "\n", signatures


def _parse_signature_line(line: str) -> tuple[str, bytes, bytes]:
    if not line.startswith(_MARK):
        raise DocumentError("a line after the text of a note is no signature")
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    blob = decode_base64(encoded)
    if not is_key_name(name) or len(blob) < 5:
        raise DocumentError("a signature line is malformed")
    return name, blob[:4], blob[4:]


def _has_control_characters(text: str) -> bool:
    return any(character < " " and character != "\n" for character in text)
