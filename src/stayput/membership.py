"""Membership: who takes part in a consortium, as one signed list that every party pins.

Each party signs its own card (:class:`stayput.steps.Member`: proof that it has the key), the
coordinator signs the list of cards, and every party confirms the list's digest when it joins.  The
list is entry 0 of the log.  Later entries may replace a member's card by a new one of the same
member (:meth:`Members.rotated`); names and roles stay for the life of the log.

Not here: files (:mod:`stayput.identity`), what a role may do (:mod:`stayput.session`), TLS
(:mod:`stayput.rpc`).  No clock either: whether a certificate is in date *now* is asked with a time.

Invariants of a :class:`Members` (made by :func:`verify_member_list`, and from that by
:meth:`Members.rotated`): every card holds under its own key; names, keys and certificates are
unique, also over time; no key serves two purposes, none is of small order; exactly one coordinator,
at least one checker; every TLS certificate is self-signed ECDSA P-256 for exactly
``<name>.stayput`` and cannot issue others.  That all TLS keys are ECDSA is also what makes
:mod:`stayput.rpc.tls` exclude TLS 1.2.

What leaks: nothing; names, roles, public keys and certificates are public inside the consortium.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from stayput.errors import DocumentError, NotFound, RuleViolation, VerificationError
from stayput.steps import COSIGNING_ROLES, Member, MemberList, Predecessor, Role
from stayput.tlog.checkpoint import Checkpoint, claimed_checkpoint, verify_checkpoint
from stayput.tlog.cosignature import CosignatureVerifier
from stayput.tlog.note import NoteVerifier

D = TypeVar("D")

MAX_COSIGNERS = 49
"""Holders and auditors of one consortium: a note has room for 100 signature lines, two of each and
the log's."""

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


def log_origin(consortium: str) -> str:
    """The identity of a consortium's log: first line of its checkpoints, name of its key."""
    return f"{consortium}.stayput/log"


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
    """The members of a consortium as of one entry of its log, verified.

    Made by :func:`verify_member_list`, and from that by :meth:`rotated`.  ``envelope`` is the
    signed list, byte for byte: entry 0 of the log, whatever was rotated since.  ``predecessor`` is
    the log that this one continues; nothing but its form was verified.
    """

    consortium: str
    envelope: bytes
    predecessor: Predecessor | None
    _by_name: Mapping[str, Member]
    _certificates: Mapping[str, Certificate]
    _checker_keys: Mapping[str, PublicKey]
    _used: frozenset[bytes]
    _moduli: tuple[int, ...]
    _retired: tuple[tuple[str, Certificate], ...] = ()
    _held: frozenset[Member] = frozenset()  # every card that holds, or once held

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
        return log_origin(self.consortium)

    @property
    def log_verifier(self) -> NoteVerifier:
        """Verifies checkpoints: the coordinator's signing key under the log's origin.

        One key signs envelopes and checkpoints.  They cannot be taken for each other: the former
        sign bytes that begin ``DSSEv1`` and a space, the latter an origin, which has no space.
        """
        return NoteVerifier(self.log_origin, self.coordinator.signing_key)

    def cosigners(self, names: Iterable[str] | None = None) -> tuple[CosignatureVerifier, ...]:
        """The keys that verify cosignatures: of each cosigner first its witness key, then its
        auditor key.

        Args:
            names: whose; of every holder and auditor by default.

        Raises:
            NotFound: no member of that name, or one that does not cosign.
        """
        everybody = (member for member in self if member.witness_key)
        chosen = everybody if names is None else (self[name] for name in names)
        verifiers = []
        for member in chosen:
            if not member.witness_key:
                raise NotFound(f"{member.name} does not cosign checkpoints")
            verifiers += [
                CosignatureVerifier(self.witness_name(member.name), member.witness_key),
                CosignatureVerifier(self.auditor_name(member.name), member.auditor_key),
            ]
        return tuple(verifiers)

    def witness_name(self, name: str) -> str:
        """The key name under which a member states that the log only grows."""
        return f"{self.consortium}.stayput/witness/{name}"

    def auditor_name(self, name: str) -> str:
        """The key name under which a member states that the log obeys the rules."""
        return f"{self.consortium}.stayput/auditor/{name}"

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

    def retired_certificates(self) -> tuple[Certificate, ...]:
        """TLS certificates that a rotation has replaced, oldest first.

        Nobody is recognised by them; who shows one is told that its keys were rotated.
        """
        return tuple(certificate for _, certificate in self._retired)

    def formerly(self, sha256: bytes) -> str | None:
        """The name of the member that had the certificate with this SHA-256 before a rotation."""
        for name, certificate in self._retired:
            if certificate.sha256 == sha256:
                return name
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

    def rotated(self, card: bytes, time: int) -> Members:
        """The members after one of them has taken new keys; this object stays as it is.

        1. The card holds by itself (:func:`verify_card`).  2. It is of a member, in its role, but
        not the coordinator's: everybody finds the log by the coordinator's keys (K-1).  3. What
        differs from the member's present card, if anything does, is new to the whole log: no key
        or certificate that anybody has or had, and a Paillier modulus without a factor of another;
        nor did the whole card hold before (K-2).  4. The certificate is in date at ``time`` (K-2).

        Who may ask for it is the log's business (:mod:`stayput.session`): the step that carries the
        card is signed with the present signing key.

        Args:
            card: untrusted bytes, an envelope of :class:`~stayput.steps.Member`.
            time: Unix seconds, of the step that carries the card.

        Raises:
            DocumentError, VerificationError: the card does not hold by itself.
            RuleViolation: one of the others fails.
        """
        new = verify_card(card)
        old = self._by_name.get(new.name)
        if old is None or old.role is not new.role:
            raise RuleViolation(
                f"{new.name} is no {new.role.name.lower()} of this consortium", clause="K-1"
            )
        if new.role is Role.COORDINATOR:
            raise RuleViolation(
                "the coordinator's keys do not rotate",
                clause="K-1",
                hint="freeze the log, then form a successor with a new coordinator identity",
            )
        certificate = parse_certificate(new.certificate, new.name)
        before = self._certificates[new.name]
        parts = _public_parts(new, certificate)
        fresh = {
            now for now, was in zip(parts, _public_parts(old, before), strict=True) if now != was
        }
        fresh |= set(new.reviewers) - set(old.reviewers)
        everything = (*parts, *new.reviewers)
        if new != old and new in self._held:  # what persons once signed about it would count again
            raise RuleViolation(
                f"a card of {new.name} that held once does not hold again",
                clause="K-2",
                hint="rotate the keys first (`stayput rotate`), then change the reviewers",
            )
        if new == old or fresh & self._used or len(set(everything)) != len(everything):
            raise RuleViolation(
                f"{new.name} takes a key that is or was somebody's in this log",
                clause="K-2",
                hint="every key that changes is drawn anew",
            )
        try:
            require_in_date(new.name, certificate, time)
        except VerificationError as error:
            raise RuleViolation(error.message, clause="K-2", hint=error.hint) from None
        moduli, checker_keys = self._moduli, dict(self._checker_keys)
        if new.paillier_modulus != old.paillier_modulus:
            checker_keys[new.name] = parse_public_key(new.paillier_modulus)
            moduli = (*moduli, _fresh_modulus(checker_keys[new.name], moduli))
        replaced = certificate.der != before.der
        return dataclasses.replace(
            self,
            _by_name={**self._by_name, new.name: new},
            _certificates={**self._certificates, new.name: certificate},
            _checker_keys=checker_keys,
            _used=self._used | fresh,
            _moduli=moduli,
            _retired=(*self._retired, (new.name, before)) if replaced else self._retired,
            _held=self._held | {new},
        )

    def verify_current(self, name: str, now: int) -> Member:
        """The member, if its TLS certificate is in date at ``now`` (Unix seconds).

        Raises:
            NotFound: no member.
            VerificationError: not yet valid, or expired.
        """
        member = self[name]
        require_in_date(name, self.certificate(name), now)
        return member


def require_in_date(name: str, certificate: Certificate, now: int) -> None:
    """Whether the certificate of ``name`` is in date at ``now`` (Unix seconds).

    Raises:
        VerificationError: not yet valid, or expired.
    """
    if now > certificate.not_after:
        raise VerificationError(
            f"the certificate of {name} has expired",
            hint="keys are rotated before that; now a successor log is needed: docs/operating.md",
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
    for key in (*_ed25519_keys(claimed), *claimed.reviewers):
        signing.verify_public_key(key)
    verify_agreement_key(claimed.agreement_key)
    member = signing.verify(data, Member, claimed.signing_key).doc
    parse_certificate(member.certificate, member.name)
    if member.role is Role.CHECKER:
        parse_public_key(member.paillier_modulus)
    return member


def form_member_list(
    consortium: str,
    cards: Sequence[bytes],
    coordinator_key: SigningKey,
    time: int,
    *,
    predecessor: bytes = b"",
) -> bytes:
    """The signed member list of these cards (an envelope of :class:`MemberList`).

    Args:
        cards: the cards as the parties handed them over, in any order.
        time: Unix seconds.
        predecessor: the last checkpoint, a signed note, of the log that this one continues.

    Raises:
        DocumentError, VerificationError: a card, or the list as a whole, is refused.
    """
    ordered = sorted(cards, key=lambda card: verify_card(card).name)
    try:
        continued = (
            Predecessor(claimed_checkpoint(predecessor).origin, predecessor)
            if predecessor
            else None
        )
        listed = MemberList(consortium, tuple(ordered), time, continued)
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
    list was made.  7. A predecessor is another log, with a well-formed checkpoint of its origin:
    whether that is its last one is for those to verify who have pinned its member list
    (:func:`verify_predecessor`, K-6).

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
    if sum(card.role in COSIGNING_ROLES for card in cards) > MAX_COSIGNERS:
        raise VerificationError(f"a consortium has at most {MAX_COSIGNERS} holders and auditors")
    certificates = {m.name: parse_certificate(m.certificate, m.name) for m in cards}
    if len({certificate.public_key for certificate in certificates.values()}) != len(cards):
        raise VerificationError("two members have the same TLS key")
    for name, certificate in certificates.items():
        require_in_date(name, certificate, listed.time)
    _verify_predecessor_form(listed)
    checkers = [member for member in cards if member.role is Role.CHECKER]
    if not checkers:
        raise VerificationError("a consortium has a checker")
    checker_keys = {m.name: parse_public_key(m.paillier_modulus) for m in checkers}
    moduli = tuple(key.modulus for key in checker_keys.values())
    if any(math.gcd(one, other) != 1 for one, other in itertools.combinations(moduli, 2)):
        raise VerificationError("two Paillier keys have a common factor")
    return Members(
        consortium=listed.consortium,
        envelope=data,
        predecessor=listed.predecessor,
        _by_name={member.name: member for member in cards},
        _certificates=certificates,
        _checker_keys=checker_keys,
        _used=frozenset().union(
            *((*_public_parts(m, certificates[m.name]), *m.reviewers) for m in cards)
        ),
        _moduli=moduli,
        _held=frozenset(cards),
    )


def _verify_predecessor_form(listed: MemberList) -> None:
    predecessor = listed.predecessor
    if predecessor is None:
        return
    checkpoint = claimed_checkpoint(predecessor.checkpoint)
    if checkpoint.origin != predecessor.origin:
        raise VerificationError("the predecessor's checkpoint is of another log")
    if checkpoint.origin == log_origin(listed.consortium):
        raise VerificationError(
            "a log does not continue itself", hint="give the successor another name"
        )
    if checkpoint.size == 0:
        raise VerificationError("the predecessor's checkpoint is of an empty log")


def verify_predecessor(successor: Members, old: Members) -> Checkpoint:
    """The last checkpoint of the log that ``successor`` continues, if it is that of ``old``.

    Says that the old log signed it.  Whether the old log ends there shows its last entry, which
    whoever has the entries compares.

    Args:
        successor: the list of the new log.
        old: the list of the old log, as pinned.

    Raises:
        DocumentError, VerificationError: it continues no log, another one, or the checkpoint is not
            signed by the old log.
    """
    predecessor = successor.predecessor
    if predecessor is None:
        raise VerificationError(f"{successor.consortium} continues no other log")
    if predecessor.origin != old.log_origin:
        raise VerificationError(
            f"{successor.consortium} continues {predecessor.origin}, not {old.log_origin}"
        )
    return verify_checkpoint(predecessor.checkpoint, old.log_origin, old.log_verifier)


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
    _require_distinct(cards)


def _require_distinct(cards: Sequence[Member]) -> None:
    # An Ed25519 cosignature does not commit to the cosigner's name (C2SP tlog-cosignature): one key
    # under two names, or in two trades, would let one party speak for two.
    # So would a person's key that counts for two members, or is a member's own.
    keys = [key for member in cards for key in (*_ed25519_keys(member), *member.reviewers)]
    if len(set(keys)) != len(keys):
        raise VerificationError("one key serves two purposes or two members")


def _public_parts(member: Member, certificate: Certificate) -> tuple[bytes, ...]:
    """All that must never be anybody else's, or serve another purpose, now or later."""
    return (
        *_ed25519_keys(member),
        member.agreement_key,
        certificate.public_key,
        certificate.sha256,
    )


def _fresh_modulus(key: PublicKey, moduli: tuple[int, ...]) -> int:
    """The modulus, if it shares no factor with another: who knows one's factors has the other's."""
    if any(math.gcd(key.modulus, other) != 1 for other in moduli):
        raise RuleViolation("the Paillier key shares a factor with another", clause="K-2")
    return key.modulus


def _ed25519_keys(member: Member) -> tuple[bytes, ...]:
    cosigning = (member.witness_key, member.auditor_key) if member.witness_key else ()
    return (member.signing_key, *cosigning)
