"""Signatures: Ed25519 over the type-tagged encoding of DSSE, carried with the bytes they sign.

An *envelope* is the canonical JSON of a DSSE v1 envelope with exactly one signature::

    {"payload": base64, "payloadType": "application/vnd.stayput+json; type=stayput.v1.X",
     "signatures": [{"keyid": fingerprint, "sig": base64}]}

The payload travels verbatim, so nobody re-serialises a document to verify it, and the type is
under the signature, so a document of one type never passes for another.

Not here: who may sign what (:mod:`stayput.session`), where private keys are kept.

Invariants: one envelope has one byte string (canonical JSON, canonical base64); a public key of
small order or in a second encoding is never accepted, because under such a key one signature may
hold for many messages.  What leaks: an envelope shows its payload and the signer's fingerprint.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from stayput import documents
from stayput.errors import ConfigurationError, DocumentError, VerificationError

D = TypeVar("D")

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
FINGERPRINT_CHARS: Final = 16

_PAYLOAD_TYPE: Final = "application/vnd.stayput+json; type="
_TYPE_NAME: Final = re.compile(r"stayput\.v1\.[A-Za-z][A-Za-z0-9]{0,62}")
_FINGERPRINT: Final = re.compile(rf"[0-9a-f]{{{FINGERPRINT_CHARS}}}")

# RFC 8032 §5.1: -x² + y² = 1 + d·x²·y² over the integers modulo p.
_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SIGN_BIT: Final = 1 << 255
# The four points of order 8 share two y coordinates, this one and its negative (C2SP CCTV ed25519).
_ORDER_8_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})  # orders 4 1 2 8 8


@functools.lru_cache(maxsize=1024)  # a pure function; the same few keys sign everything
def verify_public_key(public: bytes) -> bytes:
    """Refuse public keys that no honest party has; returns the key.

    Refused are encodings with y ≥ p, points off the curve, and the points of small order with all
    their alternative encodings (C2SP CCTV ``ed25519``, RFC 8032 §5.1.3).

    Raises:
        VerificationError: not such a key.
    """
    if len(public) != KEY_BYTES:
        raise VerificationError(f"a signing key has {KEY_BYTES} bytes, not {len(public)}")
    y = int.from_bytes(public, "little") & ~_SIGN_BIT
    if y >= _P:
        raise VerificationError("the signing key is not in its canonical encoding")
    if y in _SMALL_ORDER_Y:  # also covers "x = 0 with the sign bit": there y = ±1
        raise VerificationError("the signing key is a point of small order")
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(x_squared, (_P - 1) // 2, _P) != 1:
        raise VerificationError("the signing key is not a point of the curve")
    return public


@functools.lru_cache(maxsize=1024)
def fingerprint(public: bytes) -> str:
    """The first 16 hex digits of the SHA-256 of a public key: for people and key ids."""
    return hashlib.sha256(public).hexdigest()[:FINGERPRINT_CHARS]


def verify_signature(public: bytes, message: bytes, signature: bytes) -> bytes:
    """Check an Ed25519 signature over raw bytes; returns the message.

    Raises:
        VerificationError: the key is refused or the signature does not hold.
    """
    verify_public_key(public)
    if len(signature) != SIGNATURE_BYTES:  # below it is parted from the message by its length
        raise VerificationError(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    try:
        # libsodium takes half the time of OpenSSL.  Both decide by the equation of RFC 8032
        # without the cofactor, but libsodium also refuses some signatures that only a dishonest
        # signer makes (R of small order).  What it refuses is therefore asked again: OpenSSL's word
        # is the rule, for all parties alike.
        return crypto_sign_open(signature + message, public)
    except BadSignatureError:
        pass
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise VerificationError("the signature does not hold") from None
    return message


class SigningKey:
    """An Ed25519 private key. Shows only the fingerprint of its public half."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> SigningKey:
        """Read what :meth:`to_bytes` wrote (the 32-byte seed of RFC 8032).

        Raises:
            ConfigurationError: another length.
        """
        if len(data) != KEY_BYTES:
            raise ConfigurationError(
                f"a signing key file has {KEY_BYTES} bytes, not {len(data)}",
                hint="Restore the key file from its backup.",
            )
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def to_bytes(self) -> bytes:
        """The 32 secret bytes; the caller stores them where only the owner can read."""
        return self._private.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of raw bytes. The caller separates domains."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(public={fingerprint(self.public)})"


# --- envelopes ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Envelope:
    """A well-formed envelope whose signature has *not* been checked.

    ``type_name`` is the document type, ``key_id`` the fingerprint claimed, ``data`` the envelope
    itself, byte for byte.
    """

    type_name: str
    payload: bytes
    key_id: str
    signature: bytes
    data: bytes


@dataclasses.dataclass(frozen=True)
class Signed(Generic[D]):
    """A document whose signature by ``public`` has been checked, with the envelope that shows it.

    Made by :func:`verify` only.
    """

    doc: D
    envelope: bytes
    public: bytes


def sign(doc: object, key: SigningKey) -> bytes:
    """The envelope of a document, signed by ``key``."""
    payload_type = _PAYLOAD_TYPE + documents.type_name(doc)
    payload = documents.encode(doc)
    signature = key.sign(_pre_authentication_encoding(payload_type, payload))
    return documents.canonical_json(
        {
            "payload": _base64(payload),
            "payloadType": payload_type,
            "signatures": [{"keyid": fingerprint(key.public), "sig": _base64(signature)}],
        }
    )


def parse_envelope(data: bytes) -> Envelope:
    """Parse untrusted bytes as an envelope, without checking the signature.

    Raises:
        DocumentError: not the canonical JSON of an envelope with exactly one signature.
    """
    match = _ENVELOPE.fullmatch(data)
    if match is None:
        _refuse_envelope(data)
        raise DocumentError("not an envelope")
    payload, type_name, key_id, signature = match.groups()
    try:
        content, signed = _canonical(payload), _canonical(signature)
    except binascii.Error:
        raise DocumentError("not base64 text") from None
    return Envelope(type_name.decode("ascii"), content, key_id.decode("ascii"), signed, bytes(data))


_BASE64: Final = r"[A-Za-z0-9+/]*+={0,2}+"  # as far as that is seen at a glance
_ENVELOPE: Final = re.compile(
    (
        rf'\{{"payload":"({_BASE64})","payloadType":"{re.escape(_PAYLOAD_TYPE)}'
        rf'({_TYPE_NAME.pattern})","signatures":\[\{{"keyid":"({_FINGERPRINT.pattern})",'
        rf'"sig":"([A-Za-z0-9+/]{{86}}==)"\}}\]\}}'
    ).encode("ascii")
)
"""The one canonical JSON form of an envelope, in which nothing has to be escaped."""


def _refuse_envelope(data: bytes) -> None:
    """Say what is wrong with bytes that are not of the form :data:`_ENVELOPE`."""
    value = documents.parse_canonical_json(data)
    _, payload_type, signatures = _members(value, ("payload", "payloadType", "signatures"))
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise DocumentError("an envelope has exactly one signature")
    key_id, signature = _members(signatures[0], ("keyid", "sig"))
    if not isinstance(key_id, str) or not _FINGERPRINT.fullmatch(key_id):
        raise DocumentError("the key id is not a fingerprint")
    if not isinstance(payload_type, str) or not payload_type.startswith(_PAYLOAD_TYPE):
        raise DocumentError("the payload type is not ours")
    if not _TYPE_NAME.fullmatch(payload_type.removeprefix(_PAYLOAD_TYPE)):
        raise DocumentError("the payload type names no document")
    for text in (value["payload"], signature):
        _unbase64(text)
    if len(_unbase64(signature)) != SIGNATURE_BYTES:
        raise DocumentError(f"a signature has {SIGNATURE_BYTES} bytes")


def peek(envelope: Envelope, classes: Iterable[type]) -> Any:
    """The parsed payload, *not verified*: to learn who claims to have signed.

    Raises:
        DocumentError: the type is none of ``classes``, or the payload is malformed.
    """
    cls = _by_type_name(tuple(classes)).get(envelope.type_name)
    if cls is None:
        raise DocumentError(f"a document of type {envelope.type_name} is not expected here")
    return documents.parse(cls, envelope.payload)


@functools.lru_cache(maxsize=64)
def _by_type_name(classes: tuple[type, ...]) -> dict[str, type]:
    return {documents.type_name(cls): cls for cls in classes}


def verify(data: bytes, cls: type[D], public: bytes) -> Signed[D]:
    """Verify that ``public`` signed a document of class ``cls``; returns both.

    1. The envelope is well-formed.  2. It claims this type and this key.  3. The key is one that
    an honest party can have.  4. The signature holds over type and payload.  5. Only then is the
    payload parsed.

    Raises:
        DocumentError: the envelope or its payload is malformed.
        VerificationError: another type, another key, or a signature that does not hold.
    """
    envelope = parse_envelope(data)
    if envelope.type_name != documents.type_name(cls):
        raise VerificationError(
            f"expected {documents.type_name(cls)}, the signature is for {envelope.type_name}"
        )
    verify_envelope(envelope, public)
    return Signed(documents.parse(cls, envelope.payload), envelope.data, public)


def verify_envelope(envelope: Envelope, public: bytes) -> Envelope:
    """Verify that ``public`` signed type and payload of a parsed envelope; returns the envelope.

    Raises:
        VerificationError: another key, or a signature that does not hold.
    """
    if envelope.key_id != fingerprint(public):
        raise VerificationError("the document is signed by another key")
    encoded = _pre_authentication_encoding(_PAYLOAD_TYPE + envelope.type_name, envelope.payload)
    verify_signature(public, encoded, envelope.signature)
    return envelope


def _pre_authentication_encoding(payload_type: str, body: bytes) -> bytes:
    """PAE of DSSE v1: ``"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body``."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def _members(value: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of an object that has exactly these members."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise DocumentError(f"an envelope has exactly the members {', '.join(names)} here")
    return tuple(value[name] for name in names)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unbase64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise DocumentError("not base64 text")
    try:
        return _canonical(text.encode("ascii"))
    except ValueError:  # also binascii.Error, UnicodeEncodeError
        raise DocumentError("not base64 text") from None


def _canonical(text: bytes) -> bytes:
    data = binascii.a2b_base64(text, strict_mode=True)
    if not documents.has_canonical_end(text[-3:].decode("ascii")):
        raise DocumentError("the base64 text is not canonical")  # one envelope has one form
    return data
