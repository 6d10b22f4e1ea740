"""Membership: who takes part in a consortium, as one signed list that every party pins.

Each party signs its own card (:class:`stayput.steps.Member`: proof that it has the key), the
coordinator signs the list of cards, and every party confirms the list's digest when it joins.  The
list is entry 0 of the log.

Not here: files (:mod:`stayput.identity`), what a role may do (:mod:`stayput.session`), TLS
(:mod:`stayput.rpc`).  No clock either: whether a certificate is in date *now* is asked with a time.

Invariants of a :class:`Members` (made by :func:`verify_member_list` alone): every card holds under
its own key; names, keys and certificates are unique, no key serves two purposes, none is of small
order; exactly one coordinator, at least one checker; every TLS certificate is self-signed ECDSA P-256 for exactly
``<name>.stayput`` and cannot issue others.  That all TLS keys are ECDSA is also what makes
:mod:`stayput.rpc.tls` exclude TLS 1.2.

What leaks: nothing; names, roles, public keys and certificates are public inside the consortium.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stayput import documents
from stayput.crypto import signing
from stayput.crypto.agreement import verify_agreement_key
from stayput.crypto.paillier import PublicKey, parse_public_key
from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, NotFound, VerificationError
from stayput.steps import Member, MemberList, Role
from stayput.tlog.note import NoteVerifier

D = TypeVar("D")

MAX_CERTIFICATE_BYTES = 2048
"""Ours have about 450; a longer one carries something that nobody asked for."""


# --- certificates ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A party's TLS certificate after :func:`parse_certificate`; times in Unix seconds."""

    der: bytes
    public_key: bytes
    not_before: int
    not_after: int

    @property
    def sha256(self) -> bytes:
        """What TLS peers are recognised by."""
        return hashlib.sha256(self.der).digest()

    @property
    def pem(self) -> bytes:
        """The form that TLS libraries take."""
        return x509.load_der_x509_certificate(self.der).public_bytes(Encoding.PEM)


def tls_name(name: str) -> str:
    """The DNS name in the certificate of the party ``name``; resolved by nobody."""
    return f"{name}.stayput"


def parse_certificate(der: bytes, name: str) -> Certificate:
    """Parse an untrusted certificate that should be the party ``name``'s own.

    Raises:
        DocumentError: not one X.509 certificate in DER.
        VerificationError: not self-signed ECDSA P-256, for another name, or one that can issue.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise DocumentError(f"a certificate has at most {MAX_CERTIFICATE_BYTES} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        names = _dns_names(certificate)
        issues = _may_issue(certificate)
        not_before = int(certificate.not_valid_before_utc.timestamp())
        not_after = int(certificate.not_valid_after_utc.timestamp())
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise DocumentError("not an X.509 certificate") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise VerificationError("the certificate's key is not ECDSA P-256")
    if names != [tls_name(name)]:
        raise VerificationError(f"the certificate is not for {tls_name(name)}")
    if issues:
        raise VerificationError("the certificate could issue other certificates")
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        raise VerificationError("the certificate is not signed by its own key") from None
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(der, public, not_before, not_after)


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    if not all(isinstance(name, x509.DNSName) for name in extension.value):
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return True  # it does not say that it may not
    return extension.value.ca


# --- the verified list ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Members:
    """The members of a consortium, verified. Made by :func:`verify_member_list` only.

    ``envelope`` is the signed list, byte for byte: entry 0 of the log.
    """

    consortium: str
    envelope: bytes
    _by_name: Mapping[str, Member]
    _certificates: Mapping[str, Certificate]
    _checker_keys: Mapping[str, PublicKey]

    @property
    def digest(self) -> bytes:
        """What parties compare and pin: a digest of the signed bytes."""
        return documents.digest_bytes("stayput.v1.MemberListEnvelope", self.envelope)

    @property
    def coordinator(self) -> Member:
        """The one coordinator."""
        return self.with_role(Role.COORDINATOR)[0]

    @property
    def log_origin(self) -> str:
        """The identity of the consortium's log, first line of its checkpoints."""
        return f"{self.consortium}.stayput/log"

    @property
    def log_verifier(self) -> NoteVerifier:
        """Verifies checkpoints: the coordinator's signing key under the log's origin.

        One key signs envelopes and checkpoints.  They cannot be taken for each other: the former
        sign bytes that begin ``DSSEv1`` and a space, the latter an origin, which has no space.
        """
        return NoteVerifier(self.log_origin, self.coordinator.signing_key)

    def get(self, name: str) -> Member | None:
        """The member of that name, or None."""
        return self._by_name.get(name)

    def __getitem__(self, name: str) -> Member:
        """The member of that name.

        Raises:
            NotFound: there is none.
        """
        member = self._by_name.get(name)
        if member is None:
            raise NotFound(
                f"{name} is no member of {self.consortium}",
                hint="the members are: " + ", ".join(self._by_name),
            )
        return member

    def __iter__(self) -> Iterator[Member]:
        """Members in order of name."""
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def role(self, name: str) -> Role:
        """The role of a member. Raises NotFound."""
        return self[name].role

    def with_role(self, role: Role) -> tuple[Member, ...]:
        """All members of a role, in order of name."""
        return tuple(member for member in self if member.role is role)

    def by_certificate(self, sha256: bytes) -> Member | None:
        """The member whose TLS certificate has this SHA-256, or None."""
        for name, certificate in self._certificates.items():
            if certificate.sha256 == sha256:
                return self._by_name[name]
        return None

    def by_fingerprint(self, fingerprint: str) -> Member | None:
        """The member whose signing key has this fingerprint, or None."""
        for member in self:
            if signing.fingerprint(member.signing_key) == fingerprint:
                return member
        return None

    def certificate(self, name: str) -> Certificate:
        """The TLS certificate of a member. Raises NotFound."""
        return self._certificates[self[name].name]

    def checker_key(self, name: str) -> PublicKey:
        """The Paillier key of a checker.

        Raises:
            NotFound: no member, or no checker.
        """
        key = self._checker_keys.get(self[name].name)
        if key is None:
            raise NotFound(f"{name} is no checker")
        return key

    def checker_key_of(self, key_id: bytes) -> PublicKey:
        """The Paillier key with this id.

        Raises:
            NotFound: no checker of this consortium has it.
        """
        for key in self._checker_keys.values():
            if key.key_id == key_id:
                return key
        raise NotFound("no checker of this consortium has that Paillier key")

    def verify_current(self, name: str, now: int) -> Member:
        """The member, if its TLS certificate is in date at ``now`` (Unix seconds).

        Raises:
            NotFound: no member.
            VerificationError: not yet valid, or expired.
        """
        member = self[name]
        _require_in_date(name, self.certificate(name), now)
        return member


def _require_in_date(name: str, certificate: Certificate, now: int) -> None:
    if now > certificate.not_after:
        raise VerificationError(
            f"the certificate of {name} has expired",
            hint=f"{name} needs a new identity and a new member list",
        )
    if now < certificate.not_before:
        raise VerificationError(
            f"the certificate of {name} is not valid yet",
            hint="compare the clocks of the two machines",
        )


# --- forming and verifying ------------------------------------------------------------------------


def verify_card(data: bytes) -> Member:
    """Verify a card: a member's public identity, signed by itself.

    1. It is an envelope of a :class:`Member`.  2. No key in it is of small order.  3. The signature
    holds under the key in it.  4. The certificate is the member's own.  5. A checker's modulus is
    one that an honest checker can have.

    Raises:
        DocumentError, VerificationError: one of them fails.
    """
    claimed = _claimed(data, Member)
    for key in _ed25519_keys(claimed):
        signing.verify_public_key(key)
    verify_agreement_key(claimed.agreement_key)
    member = signing.verify(data, Member, claimed.signing_key).doc
    parse_certificate(member.certificate, member.name)
    if member.role is Role.CHECKER:
        parse_public_key(member.paillier_modulus)
    return member


def form_member_list(
    consortium: str, cards: Sequence[bytes], coordinator_key: SigningKey, time: int
) -> bytes:
    """The signed member list of these cards (an envelope of :class:`MemberList`).

    Args:
        cards: the cards as the parties handed them over, in any order.
        time: Unix seconds.

    Raises:
        DocumentError, VerificationError: a card, or the list as a whole, is refused.
    """
    ordered = sorted(cards, key=lambda card: verify_card(card).name)
    try:
        listed = MemberList(consortium, tuple(ordered), time)
    except ValueError as error:
        raise DocumentError(
            str(error), hint="use small letters, digits and hyphens, a letter first"
        ) from None
    data = signing.sign(listed, coordinator_key)
    verify_member_list(data, pinned=None)
    return data


def verify_member_list(data: bytes, *, pinned: bytes | None) -> Members:
    """Verify a member list.

    1. Its digest is the pinned one.  2. Every card holds (:func:`verify_card`).  3. Cards are in
    order of name; names, keys and certificates are unique.  4. There is exactly one coordinator,
    and it has signed the list.  5. There is a checker.  6. Every certificate was in date when the
    list was made.

    Args:
        data: untrusted bytes.
        pinned: :attr:`Members.digest` as confirmed on joining; None only for entry 0 of a log that
            is compared as a whole, or before the person joining has confirmed it.

    Raises:
        DocumentError, VerificationError: one of them fails.
    """
    members = _verify(bytes(data))
    if pinned is not None and members.digest != pinned:
        raise VerificationError(
            "this is not the member list that was confirmed on joining",
            hint="compare the digest with the other members",
        )
    return members


@functools.lru_cache(maxsize=8)  # a pure function of bytes; every party asks for the same list
def _verify(data: bytes) -> Members:
    claimed = _claimed(data, MemberList)
    cards = [verify_card(card) for card in claimed.cards]
    coordinators = [member for member in cards if member.role is Role.COORDINATOR]
    if len(coordinators) != 1:
        raise VerificationError(f"a consortium has one coordinator, not {len(coordinators)}")
    listed = signing.verify(data, MemberList, coordinators[0].signing_key).doc
    _require_unique(cards)
    certificates = {m.name: parse_certificate(m.certificate, m.name) for m in cards}
    if len({certificate.public_key for certificate in certificates.values()}) != len(cards):
        raise VerificationError("two members have the same TLS key")
    for name, certificate in certificates.items():
        _require_in_date(name, certificate, listed.time)
    checkers = [member for member in cards if member.role is Role.CHECKER]
    if not checkers:
        raise VerificationError("a consortium has a checker")
    return Members(
        consortium=listed.consortium,
        envelope=data,
        _by_name={member.name: member for member in cards},
        _certificates=certificates,
        _checker_keys={m.name: parse_public_key(m.paillier_modulus) for m in checkers},
    )


def _claimed(data: bytes, cls: type[D]) -> D:
    """The document inside an envelope, not verified: it says itself under which key it holds."""
    claimed = signing.peek(signing.parse_envelope(data), [cls])
    if not isinstance(claimed, cls):
        raise TypeError("peek gives a document of the class it was asked for")
    return claimed


def _require_unique(cards: Sequence[Member]) -> None:
    names = [member.name for member in cards]
    if names != sorted(names):
        raise VerificationError("the cards are not in order of name")
    parts: tuple[tuple[str, Callable[[Member], object]], ...] = (
        ("name", lambda member: member.name),
        ("signing key", lambda member: member.signing_key),
        ("agreement key", lambda member: member.agreement_key),
        ("Paillier key", lambda member: member.paillier_modulus or member.name),
    )
    for what, part in parts:
        if len({part(member) for member in cards}) != len(cards):
            raise VerificationError(f"two members have the same {what}")
    # An Ed25519 cosignature does not commit to the cosigner's name (C2SP tlog-cosignature): one key
    # under two names, or in two trades, would let one party speak for two.
    keys = [key for member in cards for key in _ed25519_keys(member)]
    if len(set(keys)) != len(keys):
        raise VerificationError("one key serves two purposes or two members")


def _ed25519_keys(member: Member) -> tuple[bytes, ...]:
    cosigning = (member.witness_key, member.auditor_key) if member.witness_key else ()
    return (member.signing_key, *cosigning)
