"""Signed notes (C2SP signed-note): a text and signature lines, with Ed25519 keys (type 0x01).

Other types of signature (:mod:`stayput.tlog.cosignature`) are verified here by whatever is a
:class:`Verifier`.  A reader names the keys it trusts; signatures by others are ignored, one bad
signature by a trusted key condemns the whole note.  The text of an unverified note is nobody's
word: the only way to a text is :func:`verify_note`.

One Ed25519 key may sign notes and, elsewhere, DSSE envelopes: the bytes signed there start with
``DSSEv1`` and a space, those of a checkpoint with an origin, which has no space.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from stayput.crypto import signing
from stayput.errors import DocumentError, VerificationError

MAX_NOTE_BYTES = 64 * 1024
"""A checkpoint with 100 Ed25519 signatures has 20 kB; room for longer names."""

MAX_SIGNATURES = 100
"""As golang.org/x/mod/sumdb/note has it; the specification asks for 16 at least."""

ED25519: Final = 0x01
"""Signature type: plain Ed25519 over the note text."""

SIGNATURE_TYPES: Final[Mapping[int, str]] = {
    0x01: "Ed25519",
    0x02: "ECDSA",
    0x04: "Ed25519 cosignature",
    0x05: "RFC 6962 tree head",
    0x06: "ML-DSA-44 cosignature",
}
"""The signature types that the specification assigns, to name one that is not supported."""

_MARK: Final = "— "

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
# A surrogate stands in a ``str`` for an octet that is no UTF-8.
_KEY_NAME: Final = re.compile(r"[^\s+\x00-\x1f\ud800-\udfff]+")


class Signer(Protocol):
    """An Ed25519 key that signs; :class:`stayput.crypto.signing.SigningKey` is one."""

    @property
    def public(self) -> bytes: ...
    def sign(self, message: bytes, /) -> bytes: ...


class Verifier(Protocol):
    """A trusted key of any signature type."""

    @property
    def name(self) -> str: ...
    @property
    def key_id(self) -> bytes: ...
    def verify(self, text: str, signature: bytes, /) -> object:
        """Raises VerificationError unless the signature (without key id) holds for the text."""


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
        return key_id(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        """The verifier key as text, ``name+id+base64(type || key)``."""
        return encode_vkey(self.name, ED25519, self.public)

    def verify(self, text: str, signature: bytes) -> None:
        """Raises VerificationError unless ``signature`` is this key's over ``text``."""
        try:
            signing.verify_signature(self.public, text.encode(), signature)
        except VerificationError:
            raise VerificationError(f"the signature of {self.name} does not hold") from None


@dataclasses.dataclass(frozen=True)
class VerifiedNote:
    """A text and who signed it.

    ``verified`` and ``unverified`` are key names in the order of the note; ``signatures`` are the
    verified signatures by (name, key id), ``lines`` the same as bytes of the note, to be kept.
    """

    text: str
    verified: tuple[str, ...]
    unverified: tuple[str, ...]
    signatures: Mapping[tuple[str, bytes], bytes]

    @property
    def lines(self) -> tuple[bytes, ...]:
        """The verified signature lines, in the order of the note."""
        return tuple(_line(*key, signature) for key, signature in self.signatures.items())


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """SHA-256(name || 0x0A || signature type || public key)[:4]; an identifier, not a proof."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def encode_vkey(name: str, kind: int, public: bytes) -> str:
    """The verifier key as text, ``name+id+base64(type || key)``."""
    key = base64.b64encode(bytes([kind]) + public).decode("ascii")
    return f"{name}+{key_id(name, kind, public).hex()}+{key}"


def decode_vkey(text: str) -> tuple[str, int, bytes]:
    """Name, signature type and public key of a verifier key of any type; not yet trusted.

    Raises:
        DocumentError: malformed, or the id is not that of name and key.
    """
    name, _, rest = text.partition("+")
    stated, _, encoded = rest.partition("+")
    key = decode_base64(encoded)
    if not is_key_name(name) or not key:
        raise DocumentError("not a verifier key: name+id+base64 of type and key")
    if stated != key_id(name, key[0], key[1:]).hex():
        raise DocumentError("the id of the verifier key is not that of its name and key")
    return name, key[0], key[1:]


def decode_ed25519_vkey(text: str, kind: int) -> tuple[str, bytes]:
    """Name and public key of a verifier key of one of the types over Ed25519.

    Raises:
        DocumentError: malformed, of another type, or a key that no honest party has
            (:func:`stayput.crypto.signing.verify_public_key`).
    """
    name, found, public = decode_vkey(text)
    if found != kind:
        raise DocumentError(
            f"the verifier key {name} is of type {_type_name(found)}, not {_type_name(kind)}",
            hint="Ask its owner for a verifier key of the expected type.",
        )
    try:
        return name, signing.verify_public_key(public)
    except VerificationError as error:
        raise DocumentError(f"not a verifier key: {error}") from None


def parse_vkey(text: str) -> NoteVerifier:
    """Parse a verifier key ``name+id+base64``.

    Raises:
        DocumentError: malformed, of another type than Ed25519, a key that no honest party has, or
            the id is not the key's.
    """
    return NoteVerifier(*decode_ed25519_vkey(text, ED25519))


def sign_note(text: str, name: str, key: Signer) -> bytes:
    """A note with one signature.

    Raises:
        ValueError: the text does not end in a newline or has control characters; bad name.
    """
    if not text.endswith("\n") or _has_control_characters(text):
        raise ValueError("a note is lines of text without control characters")
    verifier = NoteVerifier(name, key.public)
    return f"{text}\n".encode() + _line(name, verifier.key_id, key.sign(text.encode()))


def signature_line(verifier: Verifier, signature: bytes) -> bytes:
    """One line of a note, ``— name base64(key id || signature)`` and a newline."""
    return _line(verifier.name, verifier.key_id, signature)


def add_signatures(note: bytes, lines: Iterable[bytes]) -> bytes:
    """The note with more signature lines: each key once, sorted, the author's own lines first.

    The author is who signs under the first line of the text, as a log does under its origin.  A
    line of a key that is already there is dropped, so adding is idempotent and the order of adding
    does not matter.  Nothing is verified here: whoever adds a line has verified it, because one bad
    line of a trusted key condemns the note for every reader.

    Args:
        note: a well-formed note.
        lines: whole lines, each with its newline.

    Raises:
        DocumentError: a malformed note or line, or more lines than a note may have.
    """
    text, signatures = _parse(note)
    for line in lines:
        name, identifier, signature = _parse_signature_line(_decode(line).removesuffix("\n"))
        if line != _line(name, identifier, signature):
            raise DocumentError("a signature line is malformed")
        signatures.setdefault((name, identifier), signature)
    if len(signatures) > MAX_SIGNATURES:
        raise DocumentError(f"a note has at most {MAX_SIGNATURES} signatures")
    author = text.partition("\n")[0]
    ordered = sorted(signatures, key=lambda key: (key[0] != author, key))
    merged = f"{text}\n".encode() + b"".join(_line(*key, signatures[key]) for key in ordered)
    if len(merged) > MAX_NOTE_BYTES:
        raise DocumentError(f"a note has at most {MAX_NOTE_BYTES} bytes")
    return merged


def verify_note(data: bytes, verifiers: Sequence[Verifier]) -> VerifiedNote:
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
    verified = {}
    for key, signature in signatures.items():
        if key in known:
            known[key].verify(text, signature)
            verified[key] = signature
    if not verified:
        raise VerificationError("no trusted key has signed the note")
    unverified = tuple(name for name, identifier in signatures if (name, identifier) not in known)
    return VerifiedNote(text, tuple(name for name, _ in verified), unverified, verified)


def is_key_name(name: str) -> bool:
    """Whether a text can be a key name: UTF-8, not empty, no Unicode space, no plus, no control."""
    return _KEY_NAME.fullmatch(name) is not None


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
    whole = _decode(data)
    # "the text is separated from the signatures by the last empty line in the note"
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise DocumentError("a note is a text, an empty line and signature lines")
    signatures: dict[tuple[str, bytes], bytes] = {}
    listed = lines[:-1].split("\n")
    if len(listed) > MAX_SIGNATURES:
        raise DocumentError(f"a note has at most {MAX_SIGNATURES} signatures")
    for line in listed:
        name, identifier, signature = _parse_signature_line(line)
        signatures.setdefault((name, identifier), signature)
    return text + "\n", signatures


def _parse_signature_line(line: str) -> tuple[str, bytes, bytes]:
    if not line.startswith(_MARK):
        raise DocumentError("a line after the text of a note is no signature")
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    blob = decode_base64(encoded)
    if not is_key_name(name) or len(blob) < 5:
        raise DocumentError("a signature line is malformed")
    return name, blob[:4], blob[4:]


def _line(name: str, identifier: bytes, signature: bytes) -> bytes:
    encoded = base64.b64encode(identifier + signature).decode("ascii")
    return f"{_MARK}{name} {encoded}\n".encode()


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentError("a note is UTF-8") from None
    if _has_control_characters(text):
        raise DocumentError("a note has no control characters")
    return text


def _type_name(kind: int) -> str:
    return f"0x{kind:02x} ({SIGNATURE_TYPES.get(kind, 'unassigned')})"


def _has_control_characters(text: str) -> bool:
    return _CONTROL.search(text) is not None
