"""Identity: the keys of one party and the folder in which they live.

A home folder (mode 0700) holds, after :func:`create_identity`::

    identity.json   name, role, a coordinator's address       card.json   to hand to the coordinator
    signing.key     Ed25519                                   tls.crt     self-signed, two years
    agreement.key   X25519                                    tls.key     ECDSA P-256
    paillier.key    the checker's alone
    witness.key     Ed25519, holders and auditors: cosigns that the log only grows
    auditor.key     Ed25519, holders and auditors: cosigns that it obeys the rules

and after :func:`save_members` ``members.json`` (the signed list) and ``joined.json`` (the digest
that the person confirmed, and where the coordinator listens).

Not here: what makes a card or list acceptable (:mod:`stayput.membership`).

Invariants: private parts are 0600, leave the folder never, and are not read when anybody else could
have; an identity is never overwritten; ``identity.json`` is written last, so a folder without it
holds no identity whatever a crash left there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
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
from stayput.crypto.paillier import DEFAULT_BITS, PrivateKey
from stayput.crypto.signing import SigningKey
from stayput.documents import Int64, document
from stayput.errors import ConfigurationError, DocumentError, InvalidInput, VerificationError
from stayput.membership import Members, parse_certificate, tls_name, verify_member_list
from stayput.scenario import SLUG
from stayput.steps import COSIGNING_ROLES, Member, Role

CERTIFICATE_DAYS = 730
"""Two years: long enough not to expire unnoticed in a project, short enough to be renewed once."""

CLOCK_SKEW_SECONDS = 3600
"""Certificates begin an hour early: clocks of two organisations differ."""

MAX_FILE_BYTES = documents.MAX_DOCUMENT_BYTES

T = TypeVar("T")


@document("stayput.v1.PartyHome")
@dataclasses.dataclass(frozen=True)
class PartyHome:
    """``identity.json``: whose folder this is."""

    name: str
    role: Role
    address: str
    created: Int64

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a party")
        if bool(self.address) != (self.role is Role.COORDINATOR):
            raise ValueError("the coordinator, and only the coordinator, listens on an address")
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
    ``certificate`` is DER, ``tls_key`` PEM; only a checker has a ``paillier_key``, only holders and
    auditors have ``witness_key`` and ``auditor_key``.
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
    witness_key: SigningKey | None = None
    auditor_key: SigningKey | None = None

    @property
    def member(self) -> Member:
        """The public half."""
        return Member(
            name=self.name,
            role=self.role,
            signing_key=self.signing_key.public,
            agreement_key=self.agreement_key.public,
            certificate=self.certificate,
            paillier_modulus=self.paillier_key.public.to_bytes() if self.paillier_key else b"",
            witness_key=self.witness_key.public if self.witness_key else b"",
            auditor_key=self.auditor_key.public if self.auditor_key else b"",
        )

    def derive_key(self, label: bytes) -> bytes:
        """32 secret bytes for one purpose, the same every time: nothing new to keep or to lose.

        HKDF-SHA-256 (RFC 5869) of the signing key's seed; ``label`` separates the purposes.
        """
        hkdf = HKDF(hashes.SHA256(), length=32, salt=None, info=b"stayput/v1/derive\x00" + label)
        return hkdf.derive(self.signing_key.to_bytes())


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
) -> Identity:
    """Draw the keys of a new party and store them in ``home``.

    Args:
        home: folder to make, or an existing one that only its owner can enter.
        now: Unix seconds; the certificate is valid from an hour before, for two years.
        address: ``host:port`` on which a coordinator listens; empty for every other role.
        paillier_bits: length of the checker's modulus.

    Raises:
        InvalidInput: a name, address or key length that cannot be.
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
        tls_key, certificate = _make_certificate(name, now)
        identity = Identity(
            home=home,
            name=name,
            role=role,
            address=address,
            signing_key=SigningKey.generate(),
            agreement_key=AgreementKey.generate(),
            certificate=certificate.public_bytes(serialization.Encoding.DER),
            tls_key=tls_key,
            paillier_key=PrivateKey.generate(paillier_bits) if role is Role.CHECKER else None,
            witness_key=SigningKey.generate() if role in COSIGNING_ROLES else None,
            auditor_key=SigningKey.generate() if role in COSIGNING_ROLES else None,
        )
        _write(home / "signing.key", identity.signing_key.to_bytes())
        _write(home / "agreement.key", identity.agreement_key.to_bytes())
        _write(home / "tls.key", tls_key)
        if identity.paillier_key is not None:
            _write(home / "paillier.key", identity.paillier_key.to_bytes())
        if identity.witness_key is not None and identity.auditor_key is not None:
            _write(home / "witness.key", identity.witness_key.to_bytes())
            _write(home / "auditor.key", identity.auditor_key.to_bytes())
        _write(home / "tls.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        _write(home / "card.json", member_card(identity), 0o644)
        _write(home / "identity.json", documents.encode(described), 0o644)
    return identity


def load_identity(home: Path) -> Identity:
    """Load the identity in ``home``.

    Raises:
        ConfigurationError: there is none, a file is damaged, or others can read a private part.
    """
    if not (home / "identity.json").is_file():
        raise ConfigurationError(
            f"{home} holds no identity", hint="make one with `stayput init`, or check the folder"
        )
    _require_private(home, 0o700)
    described = _document(home / "identity.json", PartyHome)
    certificate = _certificate(home / "tls.crt")
    tls_key = _secret(home / "tls.key")
    _require_pair(home, tls_key, certificate, described.name)
    paillier = home / "paillier.key"
    joined = (home / "joined.json").is_file()
    return Identity(
        home=home,
        name=described.name,
        role=described.role,
        address=described.address or (coordinator_address(home) if joined else ""),
        signing_key=SigningKey.from_bytes(_secret(home / "signing.key")),
        agreement_key=AgreementKey.from_bytes(_secret(home / "agreement.key")),
        certificate=certificate,
        tls_key=tls_key,
        paillier_key=(
            PrivateKey.from_bytes(_secret(paillier)) if described.role is Role.CHECKER else None
        ),
        witness_key=_cosigning_key(home / "witness.key", described.role),
        auditor_key=_cosigning_key(home / "auditor.key", described.role),
    )


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

    Raises:
        ConfigurationError: not in the list, or there with other keys.
    """
    listed = members.get(identity.name)
    if listed is None:
        raise ConfigurationError(
            f"{identity.name} is not in the member list of {members.consortium}",
            hint="hand card.json to the coordinator and ask for a list with it",
        )
    if listed != identity.member:
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
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
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
    except (DocumentError, InvalidInput, ValueError):
        raise _damaged(path) from None


def _damaged(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is damaged", hint="restore the file from its backup")
