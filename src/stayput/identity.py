"""Identity: the keys of one party and the folder in which they live.

A home folder (mode 0700) holds, after :func:`create_identity`::

    identity.json   name, role, a coordinator's address       card.json   to hand to the coordinator
    signing.key     Ed25519                                   tls.crt     self-signed, two years
    agreement.key   X25519                                    tls.key     ECDSA P-256
    paillier.key    the checker's alone; a passphrase may lock it
    witness.key     Ed25519, holders and auditors: cosigns that the log only grows
    auditor.key     Ed25519, holders and auditors: cosigns that it obeys the rules

and after :func:`save_members` ``members.json`` (the signed list) and ``joined.json`` (the digest
that the person confirmed, and where the coordinator listens).

After the n-th rotation the keys are those in ``keys-n/``, with ``storage.key`` beside them: what
:meth:`Identity.derive_key` starts from, so that what was sealed before can still be opened.
``identity.json`` says which n holds.  A folder ``keys-n/`` of the next n is a rotation under way
(:func:`begin_rotation`); it counts once :func:`complete_rotation` has replaced ``identity.json``.

Not here: what makes a card or list acceptable (:mod:`stayput.membership`), when new keys are in the
log (:mod:`stayput.rotation`).

Invariants: private parts are 0600, leave the folder never, and are not read when anybody else could
have; an identity is never overwritten; ``identity.json`` is written last, so a folder without it
holds no identity whatever a crash left there, and a rotation changes all keys at once or none.
Private keys that a rotation replaced are erased, but for the agreement keys of a data user: results
released before are sealed to them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stayput import documents
from stayput.crypto import signing
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.cores import Progress
from stayput.crypto.lock import is_locked
from stayput.crypto.paillier import DEFAULT_BITS, PrivateKey, PublicKey, parse_public_key
from stayput.crypto.signing import SigningKey
from stayput.documents import Int64, document
from stayput.errors import (
    ConfigurationError,
    DocumentError,
    InvalidInput,
    NotFound,
    VerificationError,
)
from stayput.membership import Members, parse_certificate, tls_name, verify_member_list
from stayput.scenario import SLUG
from stayput.steps import COSIGNING_ROLES, Member, Role

CERTIFICATE_DAYS = 730
"""Two years: long enough not to expire unnoticed in a project, short enough to be renewed once."""

CLOCK_SKEW_SECONDS = 3600
"""Certificates begin an hour early: clocks of two organisations differ."""

MAX_CORES = 8
"""Cores that draw a Paillier key together."""

MAX_FILE_BYTES = documents.MAX_DOCUMENT_BYTES

T = TypeVar("T")


@document("stayput.v1.PartyHome")
@dataclasses.dataclass(frozen=True)
class PartyHome:
    """``identity.json``: whose folder this is, and how often its keys were rotated."""

    name: str
    role: Role
    address: str
    created: Int64
    rotations: int = 0

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a party")
        if bool(self.address) != (self.role is Role.COORDINATOR):
            raise ValueError("the coordinator, and only the coordinator, listens on an address")
        if self.rotations < 0:
            raise ValueError("keys were rotated some number of times")
        if self.address:
            parse_address(self.address)


@document("stayput.v1.Joined")
@dataclasses.dataclass(frozen=True)
class Joined:
    """``joined.json``: the member list that was confirmed, and where to dial."""

    digest: bytes
    coordinator: str

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise ValueError("a digest has 32 bytes")
        parse_address(self.coordinator)


@dataclasses.dataclass(frozen=True)
class Identity:
    """A party's keys, loaded. Its ``repr`` shows no secret.

    ``address`` is where the coordinator listens (``host:port``), empty before a party has joined;
    ``certificate`` is DER, ``tls_key`` PEM; only a checker has a ``paillier_key``, and not while
    its file is locked; ``paillier_public`` is there always, ``passphrase`` where it was used.  Only
    holders and auditors have ``witness_key`` and ``auditor_key``.  ``rotations`` counts how often
    the keys were replaced, ``former`` are agreement keys from before that may still be needed.
    ``reviewers`` are public keys of persons, of whom ``quorum`` sign with this party.
    """

    home: Path
    name: str
    role: Role
    address: str
    signing_key: SigningKey
    agreement_key: AgreementKey
    certificate: bytes
    tls_key: bytes = dataclasses.field(repr=False)
    paillier_key: PrivateKey | None
    paillier_public: PublicKey | None = None
    passphrase: str | None = dataclasses.field(default=None, repr=False)
    witness_key: SigningKey | None = None
    auditor_key: SigningKey | None = None
    storage_root: bytes = dataclasses.field(default=b"", repr=False)
    rotations: int = 0
    former: tuple[AgreementKey, ...] = dataclasses.field(default=(), repr=False)
    reviewers: tuple[bytes, ...] = ()
    quorum: int = 0

    @property
    def member(self) -> Member:
        """The public half."""
        return Member(
            name=self.name,
            role=self.role,
            signing_key=self.signing_key.public,
            agreement_key=self.agreement_key.public,
            certificate=self.certificate,
            paillier_modulus=self.paillier_public.to_bytes() if self.paillier_public else b"",
            witness_key=self.witness_key.public if self.witness_key else b"",
            auditor_key=self.auditor_key.public if self.auditor_key else b"",
            reviewers=self.reviewers,
            quorum=self.quorum,
        )

    def derive_key(self, label: bytes) -> bytes:
        """32 secret bytes for one purpose, the same every time, also after a rotation.

        HKDF-SHA-256 (RFC 5869) of a root that follows from the first signing key's seed: nothing
        more to keep or to lose.  ``label`` separates the purposes.
        """
        return _derive(self.root, b"stayput/v1/derive\x00" + label)

    @property
    def root(self) -> bytes:
        """What :meth:`derive_key` starts from; a rotation hands it on."""
        return self.storage_root or _derive(self.signing_key.to_bytes(), b"stayput/v1/root")

    def agreement_key_of(self, public: bytes) -> AgreementKey:
        """The agreement key, present or former, with this public half.

        Raises:
            NotFound: this party does not have it (any more).
        """
        for key in (self.agreement_key, *self.former):
            if key.public == public:
                return key
        raise NotFound(
            f"{self.name} does not have the agreement key that this was sealed to",
            hint="restore the home folder's keys-… folders from the backup",
        )


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(secret)


def member_card(identity: Identity) -> bytes:
    """The card that a party hands over: its public half, signed by itself (an envelope)."""
    return signing.sign(identity.member, identity.signing_key)


# --- create and load ------------------------------------------------------------------------------


def create_identity(
    home: Path,
    name: str,
    role: Role,
    *,
    now: int,
    address: str = "",
    paillier_bits: int = DEFAULT_BITS,
    subgroup: bool = False,
    passphrase: str | None = None,
    progress: Progress | None = None,
) -> Identity:
    """Draw the keys of a new party and store them in ``home``.

    Args:
        home: folder to make, or an existing one that only its owner can enter.
        now: Unix seconds; the certificate is valid from an hour before, for two years.
        address: ``host:port`` on which a coordinator listens; empty for every other role.
        paillier_bits: length of the checker's modulus.
        subgroup: draw a subgroup key for the checker (``docs/crypto.md``).
        passphrase: lock the checker's Paillier key with it.
        progress: as for :meth:`~stayput.crypto.paillier.PrivateKey.generate`.

    Raises:
        InvalidInput: a name, address or key length that cannot be, or an empty passphrase.
        ConfigurationError: the folder holds an identity already, or others can enter it.
    """
    try:
        described = PartyHome(name, role, address, now)
    except ValueError as error:
        raise InvalidInput(
            str(error), hint="names have small letters, digits and hyphens, a letter first"
        ) from None
    _make_folder(home)
    with _only_one(home):
        if (home / "identity.json").exists():
            raise ConfigurationError(
                f"{home} holds an identity already",
                hint="an identity is never overwritten: choose another folder",
            )
        paillier = (
            draw_paillier_key(paillier_bits, subgroup=subgroup, progress=progress)
            if role is Role.CHECKER
            else None
        )
        identity = _draw(home, described, now, paillier, passphrase)
        _write_keys(home, identity)
        _write(home / "identity.json", documents.encode(described), 0o644)
    return identity


def draw_paillier_key(
    bits: int, *, subgroup: bool = False, progress: Progress | None = None
) -> PrivateKey:
    """A checker's key, searched by all cores."""
    draw = PrivateKey.generate_subgroup if subgroup else PrivateKey.generate
    cores = min(len(os.sched_getaffinity(0)), MAX_CORES)
    return draw(bits, cores=cores, progress=progress)


def _draw(
    home: Path, described: PartyHome, now: int, paillier: PrivateKey | None, passphrase: str | None
) -> Identity:
    """An identity with keys that nobody has seen."""
    role = described.role
    tls_key, certificate = _make_certificate(described.name, now)
    return Identity(
        home=home,
        name=described.name,
        role=role,
        address=described.address,
        signing_key=SigningKey.generate(),
        agreement_key=AgreementKey.generate(),
        certificate=certificate.public_bytes(serialization.Encoding.DER),
        tls_key=tls_key,
        paillier_key=paillier,
        paillier_public=paillier.public if paillier else None,
        passphrase=passphrase,
        witness_key=SigningKey.generate() if role in COSIGNING_ROLES else None,
        auditor_key=SigningKey.generate() if role in COSIGNING_ROLES else None,
    )


def _write_keys(folder: Path, identity: Identity) -> None:
    """All key files of one rotation, or of none yet."""
    _write(folder / "signing.key", identity.signing_key.to_bytes())
    _write(folder / "agreement.key", identity.agreement_key.to_bytes())
    _write(folder / "tls.key", identity.tls_key)
    if identity.paillier_key is not None:
        _write(folder / "paillier.key", identity.paillier_key.to_bytes(identity.passphrase))
    if identity.witness_key is not None and identity.auditor_key is not None:
        _write(folder / "witness.key", identity.witness_key.to_bytes())
        _write(folder / "auditor.key", identity.auditor_key.to_bytes())
    if identity.storage_root:
        _write(folder / "storage.key", identity.storage_root)
    certificate = x509.load_der_x509_certificate(identity.certificate)
    _write(folder / "tls.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    _write(folder / "card.json", member_card(identity), 0o644)


def load_identity(home: Path, ask_passphrase: Callable[[], str] | None = None) -> Identity:
    """Load the identity in ``home``.

    Args:
        ask_passphrase: asked for the passphrase of a locked Paillier key.  Without it such a key
            stays locked, which is enough for whatever opens no sum.

    Raises:
        ConfigurationError: there is none, a file is damaged, others can read a private part, or
            another passphrase.
    """
    if not (home / "identity.json").is_file():
        raise ConfigurationError(
            f"{home} holds no identity", hint="make one with `stayput init`, or check the folder"
        )
    _require_private(home, 0o700)
    return _load(home, _document(home / "identity.json", PartyHome), ask_passphrase)


def _load(home: Path, described: PartyHome, ask_passphrase: Callable[[], str] | None) -> Identity:
    """The identity with the keys of the given rotation."""
    folder = _keys_folder(home, described.rotations)
    if described.rotations:
        _require_private(folder, 0o700)
    certificate = _certificate(folder / "tls.crt")
    tls_key = _secret(folder / "tls.key")
    _require_pair(folder, tls_key, certificate, described.name)
    paillier, public, passphrase = _paillier(folder, described.role, ask_passphrase)
    joined = (home / "joined.json").is_file()
    signing_key = SigningKey.from_bytes(_secret(folder / "signing.key"))
    carded = _card(folder, signing_key.public)
    return Identity(
        home=home,
        name=described.name,
        role=described.role,
        address=described.address or (coordinator_address(home) if joined else ""),
        signing_key=signing_key,
        agreement_key=AgreementKey.from_bytes(_secret(folder / "agreement.key")),
        certificate=certificate,
        tls_key=tls_key,
        paillier_key=paillier,
        paillier_public=public,
        passphrase=passphrase,
        witness_key=_cosigning_key(folder / "witness.key", described.role),
        auditor_key=_cosigning_key(folder / "auditor.key", described.role),
        storage_root=_secret(folder / "storage.key") if described.rotations else b"",
        rotations=described.rotations,
        former=_former_agreement_keys(home, described),
        reviewers=carded.reviewers,
        quorum=carded.quorum,
    )


def _keys_folder(home: Path, rotations: int) -> Path:
    return home / f"keys-{rotations}" if rotations else home


def _former_agreement_keys(home: Path, described: PartyHome) -> tuple[AgreementKey, ...]:
    """Those that were kept, newest first; a folder restored without them still loads."""
    if described.role is not Role.USER:
        return ()
    paths = (
        _keys_folder(home, number) / "agreement.key"
        for number in reversed(range(described.rotations))
    )
    return tuple(AgreementKey.from_bytes(_secret(path)) for path in paths if path.is_file())


def _paillier(
    folder: Path, role: Role, ask_passphrase: Callable[[], str] | None
) -> tuple[PrivateKey | None, PublicKey | None, str | None]:
    """A checker's Paillier key, its public half, and the passphrase that it took."""
    if role is not Role.CHECKER:
        return None, None, None
    data = _secret(folder / "paillier.key")
    if not is_locked(data):
        private, passphrase = PrivateKey.from_bytes(data), None
    elif ask_passphrase is not None:
        passphrase = ask_passphrase()
        private = PrivateKey.from_bytes(data, passphrase)
    else:
        return None, _carded_key(folder), None
    return private, private.public, passphrase


def _carded_key(folder: Path) -> PublicKey:
    """The public half of a locked key, from the card that the party signed itself."""
    signer = SigningKey.from_bytes(_secret(folder / "signing.key")).public
    return parse_public_key(_card(folder, signer).paillier_modulus)


def _card(folder: Path, signer: bytes) -> Member:
    """The card that the party signed itself: also the one place that says who its reviewers are."""
    return _intact(folder / "card.json", lambda data: signing.verify(data, Member, signer).doc)


def _cosigning_key(path: Path, role: Role) -> SigningKey | None:
    return SigningKey.from_bytes(_secret(path)) if role in COSIGNING_ROLES else None


def _make_certificate(name: str, now: int) -> tuple[bytes, x509.Certificate]:
    """A TLS key (PEM) and its self-signed certificate.

    It is its own trust anchor, yet no authority: ``CA`` is false, so that a member's TLS key
    vouches for nobody else.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    both_ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    own_name = x509.SubjectAlternativeName([x509.DNSName(tls_name(name))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - datetime.timedelta(seconds=CLOCK_SKEW_SECONDS))
        .not_valid_after(start + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signing_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both_ends), critical=False)
        .add_extension(own_name, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, certificate


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def enrol_reviewers(identity: Identity, keys: Sequence[bytes], quorum: int) -> Identity:
    """Put persons' public keys on the card of a party that has not joined yet.

    Raises:
        InvalidInput: no such role has reviewers, a key twice, or a quorum that cannot be.
        VerificationError: a key that no honest person has.
        ConfigurationError: the party has joined: its card is in the log.
    """
    if (identity.home / "joined.json").is_file():
        raise ConfigurationError(
            f"{identity.name} has joined: its reviewers are on its card in the log",
            hint="change them there: `stayput reviewer change`",
        )
    changed = with_reviewers(identity, keys, quorum)
    with _only_one(identity.home):
        _write(_keys_folder(identity.home, 0) / "card.json", member_card(changed), 0o644)
    return changed


def with_reviewers(identity: Identity, keys: Sequence[bytes], quorum: int) -> Identity:
    """The party with these reviewers; nothing is written.

    Raises:
        InvalidInput, VerificationError: see :func:`enrol_reviewers`.
    """
    for key in keys:
        signing.verify_public_key(key)
    changed = dataclasses.replace(identity, reviewers=tuple(sorted(keys)), quorum=quorum)
    try:
        _ = changed.member
    except ValueError as error:
        raise InvalidInput(str(error), hint="`stayput reviewer enrol --help`") from None
    return changed


# --- rotating -------------------------------------------------------------------------------------


def next_reviewers(identity: Identity, keys: Sequence[bytes], quorum: int) -> Identity:
    """The same party with the same keys and other reviewers, nothing of it on disk yet.

    Its card is the same each time it is asked for, so that persons can sign it before it is
    announced (clause K-7).

    Raises:
        InvalidInput, VerificationError: see :func:`enrol_reviewers`.
        ConfigurationError: a checker's key file is locked.
    """
    if identity.role is Role.CHECKER and identity.paillier_key is None:
        raise ConfigurationError(
            "the Paillier key is locked: it moves to the next folder of keys",
            hint="change reviewers where somebody can type its passphrase",
        )
    changed = with_reviewers(identity, keys, quorum)
    return dataclasses.replace(
        changed, storage_root=identity.root, rotations=identity.rotations + 1
    )


def draw_next(identity: Identity, *, now: int, progress: Progress | None = None) -> Identity:
    """The same party with new keys, nothing of them on disk yet.

    Args:
        now: Unix seconds; from then on the certificate is valid.
        progress: for a checker, as for :func:`create_identity`.

    Raises:
        ConfigurationError: a coordinator's keys do not rotate; a checker's key file is locked.
    """
    if identity.role is Role.COORDINATOR:
        raise ConfigurationError(
            "a coordinator's keys do not rotate: everybody finds the log by them",
            hint="freeze the log, then form a successor with a new identity: docs/operating.md",
        )
    described = _document(identity.home / "identity.json", PartyHome)
    paillier, present = None, identity.paillier_public
    if present is not None:
        if identity.paillier_key is None:
            raise ConfigurationError(
                "the Paillier key is locked: its passphrase locks the next one, too",
                hint="rotate where somebody can type it",
            )
        subgroup = present.subgroup is not None
        paillier = draw_paillier_key(present.bits, subgroup=subgroup, progress=progress)
    kept = (identity.agreement_key, *identity.former) if identity.role is Role.USER else ()
    return dataclasses.replace(
        _draw(identity.home, described, now, paillier, identity.passphrase),
        address=identity.address,
        storage_root=identity.root,
        rotations=identity.rotations + 1,
        former=kept,
        reviewers=identity.reviewers,
        quorum=identity.quorum,
    )


def begin_rotation(following: Identity, step: bytes) -> None:
    """Keep the next keys, and the signed step that announces them, beside the present ones.

    ``step.json`` is written last: without it nothing was sent to anybody, and
    :func:`pending_rotation` takes no notice.

    Raises:
        ConfigurationError: a rotation is under way already, or another process writes the folder.
    """
    home = following.home
    folder = _keys_folder(home, following.rotations)
    with _only_one(home):
        if (folder / "step.json").exists():
            raise ConfigurationError(
                "a rotation is under way already", hint="`stayput rotate` finishes it"
            )
        folder.mkdir(mode=0o700, exist_ok=True)
        _write_keys(folder, following)
        _write(folder / "step.json", step, 0o644)
        _sync_folder(home)


def pending_rotation(identity: Identity) -> tuple[Identity, bytes] | None:
    """The next keys and the step that announces them, of a rotation that was begun; or None.

    Raises:
        ConfigurationError: a file of it is damaged.
    """
    folder = _keys_folder(identity.home, identity.rotations + 1)
    if not (folder / "step.json").is_file():
        return None
    described = _document(identity.home / "identity.json", PartyHome)
    following = dataclasses.replace(described, rotations=identity.rotations + 1)
    passphrase = identity.passphrase
    ask = None if passphrase is None else lambda: passphrase
    return _load(identity.home, following, ask), _read(folder / "step.json")


def complete_rotation(following: Identity) -> Identity:
    """Make the next keys the present ones, and erase those that they replace; returns them.

    To be called when the log holds the step.  Again after a crash changes nothing.

    Raises:
        ConfigurationError: another process writes the folder.
    """
    home = following.home
    with _only_one(home):
        described = _document(home / "identity.json", PartyHome)
        now = dataclasses.replace(described, rotations=following.rotations)
        _write(home / "identity.json", documents.encode(now), 0o644)
        _write(home / "card.json", member_card(following), 0o644)
    erase_former_keys(following)
    return following


_SECRETS = ("signing.key", "tls.key", "witness.key", "auditor.key", "paillier.key", "storage.key")


def erase_former_keys(identity: Identity) -> None:
    """Remove private keys of earlier rotations; also what a kill in between has left."""
    needed = ("agreement.key",) if identity.role is Role.USER else ()
    for number in range(identity.rotations):
        folder = _keys_folder(identity.home, number)
        for name in (*_SECRETS, "agreement.key", "tls.crt"):
            if name not in needed:
                (folder / name).unlink(missing_ok=True)
        if folder.is_dir():
            _sync_folder(folder)


# --- joining --------------------------------------------------------------------------------------


def save_members(
    home: Path, data: bytes, *, coordinator: str, expected: bytes | None = None
) -> Members:
    """Join: verify the member list, check that this party is in it, pin it.

    Joining again with the same list changes nothing but the address.

    Args:
        data: the signed list as the coordinator handed it over.
        coordinator: ``host:port`` where the coordinator listens.
        expected: the digest that the person was told; compared when given.

    Raises:
        DocumentError, VerificationError: the list is refused, or is not the expected one.
        InvalidInput: the address is none.
        ConfigurationError: this party is not in it, or has joined another list.
    """
    members = verify_member_list(data, pinned=expected)
    verify_membership(load_identity(home), members)
    parse_address(coordinator)
    if (home / "joined.json").exists():
        pinned = _document(home / "joined.json", Joined)
        if pinned.digest != members.digest:
            raise ConfigurationError(
                f"{home} has joined another member list already",
                hint="a new member list needs a new home folder",
            )
    with _only_one(home):
        _write(home / "members.json", data, 0o644)
        _write(home / "joined.json", documents.encode(Joined(members.digest, coordinator)), 0o644)
    return members


def load_members(home: Path) -> Members:
    """The pinned member list of a party that has joined, verified again.

    Raises:
        ConfigurationError: it has not joined, or the files are damaged.
    """
    joined = _joined(home)
    try:
        return verify_member_list(_read(home / "members.json"), pinned=joined.digest)
    except (DocumentError, VerificationError) as error:
        raise ConfigurationError(
            f"{home / 'members.json'} is not the list that was confirmed: {error}",
            hint="join again with the coordinator's members.json",
        ) from None


def verify_membership(identity: Identity, members: Members) -> Member:
    """The party's entry in the member list, if it is this identity.

    The list is the one that was pinned: of a party that has rotated its keys since, it has the
    first ones, so only name and role are compared.  The log has the others.

    Raises:
        ConfigurationError: not in the list, or there with other keys or in another role.
    """
    listed = members.get(identity.name)
    if listed is None:
        raise ConfigurationError(
            f"{identity.name} is not in the member list of {members.consortium}",
            hint="hand card.json to the coordinator and ask for a list with it",
        )
    rotated = identity.rotations > 0 and listed.role is identity.role
    if listed != identity.member and not rotated:
        raise ConfigurationError(
            f"the member list has another {identity.name}, with other keys",
            hint="hand the card.json of this folder to the coordinator",
        )
    return listed


def coordinator_address(home: Path) -> str:
    """``host:port`` where this party finds the coordinator. Raises ConfigurationError."""
    return _joined(home).coordinator


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` (IPv6 in brackets).

    Raises:
        InvalidInput: it is none.
    """
    host, _, port = text.rpartition(":")
    plain = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    bare = host.startswith("[") and host.endswith("]")
    if not plain or not host or (":" in host) != bare or any(c.isspace() for c in text):
        raise InvalidInput(f"{text!r} is no address", hint="write host:port, such as 10.0.0.5:7443")
    return host.strip("[]"), int(port)


def _joined(home: Path) -> Joined:
    if not (home / "joined.json").is_file():
        raise ConfigurationError(
            f"{home} has not joined a consortium",
            hint="get members.json from the coordinator, then `stayput join`",
        )
    return _document(home / "joined.json", Joined)


# --- files ----------------------------------------------------------------------------------------


def _make_folder(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ConfigurationError(f"cannot make the folder {home}: {error.strerror}") from None
    _require_private(home, 0o700)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Exclude a second process that writes the same folder."""
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigurationError(
            f"another process is writing {home}", hint="wait for it to end, then try again"
        ) from None
    finally:
        os.close(folder)


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a whole file or nothing: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # it may be half a private key
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """What was made, renamed or removed in the folder is on disk after this."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _require_private(path: Path, mode: int) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if found & ~mode:
        raise ConfigurationError(
            f"others can read {path} (mode {found:04o})", hint=f"chmod {mode:o} {path}"
        )


def _secret(path: Path) -> bytes:
    if path.is_file():
        _require_private(path, 0o600)
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}: {error.strerror}", hint="restore the file from its backup"
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise _damaged(path)
    return data


def _document(path: Path, cls: type[T]) -> T:
    return _intact(path, lambda data: documents.parse(cls, data))


def _certificate(path: Path) -> bytes:
    def parse(data: bytes) -> bytes:
        certificate = x509.load_pem_x509_certificate(data)
        return certificate.public_bytes(serialization.Encoding.DER)

    return _intact(path, parse)


def _require_pair(home: Path, tls_key: bytes, certificate: bytes, name: str) -> None:
    """The TLS key is the certificate's, and the certificate is this party's."""
    try:
        parsed = parse_certificate(certificate, name)
        public = serialization.load_pem_private_key(tls_key, None).public_key()
    except (DocumentError, VerificationError, ValueError, TypeError):
        raise _damaged(home / "tls.crt") from None
    encoded = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if encoded != parsed.public_key:
        raise ConfigurationError(
            f"{home / 'tls.key'} and tls.crt do not belong together",
            hint="restore both files from the same backup",
        )


def _intact(path: Path, parse: Callable[[bytes], T]) -> T:
    data = _read(path)
    try:
        return parse(data)
    except (DocumentError, VerificationError, InvalidInput, ValueError):
        raise _damaged(path) from None


def _damaged(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is damaged", hint="restore the file from its backup")
