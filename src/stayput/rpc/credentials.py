"""Who may talk: TLS credentials made of the member list, and nothing else.

Every certificate is its own trust anchor.  The coordinator trusts exactly the members' certificates
and demands one; everybody else trusts exactly the coordinator's, under its own name.  No system
certificate store, no name service, no authority takes part.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from stayput.errors import PermissionDenied, VerificationError
from stayput.identity import Identity
from stayput.membership import Members, parse_certificate, tls_name
from stayput.rpc.tls import require_tls13
from stayput.steps import Member

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""A contribution of a million cells at 3072 bits has about 20 MB."""

KEEPALIVE_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
"""A peer that vanished is noticed after 40 s; firewalls keep a line with traffic open."""

LIMITS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
)


def server_credentials(
    identity: Identity, members: Callable[[], Members]
) -> grpc.ServerCredentials:
    """For the coordinator: its own certificate, and only members may connect.

    Every handshake is made with the members of its moment.  A certificate that a rotation replaced
    passes the handshake, since only then its owner can be told; :func:`verify_peer` lets it no
    further.

    Args:
        members: the members as of now; called on gRPC's threads.

    Raises:
        ConfigurationError: TLS 1.3 alone cannot be had any more in this process.
    """
    require_tls13()
    used = members()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        current = members()
        if current is used:
            return None  # gRPC keeps what it has
        used = current
        return _server_configuration(identity, current)

    return grpc.dynamic_ssl_server_credentials(
        _server_configuration(identity, used),
        fetch,  # type: ignore[arg-type]  # the stubs do not know that None means "as before"
        require_client_authentication=True,
    )


def _server_configuration(
    identity: Identity, members: Members
) -> grpc.ServerCertificateConfiguration:
    current = [members.certificate(member.name) for member in members]
    anchors = b"".join(one.pem for one in (*current, *members.retired_certificates()))
    own = members.certificate(identity.name).pem
    return grpc.ssl_server_certificate_configuration(
        [(identity.tls_key, own)], root_certificates=anchors
    )


def channel_credentials(identity: Identity, members: Members) -> grpc.ChannelCredentials:
    """For everybody else: its own certificate, and only this coordinator is talked to.

    Raises:
        ConfigurationError: TLS 1.3 alone cannot be had any more in this process.
    """
    require_tls13()
    return grpc.ssl_channel_credentials(
        root_certificates=members.certificate(members.coordinator.name).pem,
        private_key=identity.tls_key,
        certificate_chain=parse_certificate(identity.certificate, identity.name).pem,
    )


def expected_name(members: Members) -> str:
    """The TLS name under which the coordinator must show itself, whatever address was dialled."""
    return tls_name(members.coordinator.name)


def verify_peer(auth_context: Mapping[str, Any], members: Members) -> Member:
    """The member at the other end of a connection, by the exact certificate that it showed.

    TLS has checked that the peer has the certificate's key; here is checked whose it is.

    Raises:
        VerificationError: no certificate, or no member's.
        PermissionDenied: one that a rotation has replaced.
    """
    shown = auth_context.get("x509_pem_cert", [])
    if len(shown) != 1:
        raise VerificationError("the peer showed no certificate")
    try:
        der = ssl.PEM_cert_to_DER_cert(shown[0].decode("ascii"))
    except ValueError:
        raise VerificationError("the peer's certificate cannot be read") from None
    sha256 = hashlib.sha256(der).digest()
    member = members.by_certificate(sha256)
    if member is None:
        former = members.formerly(sha256)
        if former is not None:
            raise PermissionDenied(
                f"{former} shows a certificate from before its keys were rotated"
            )
        raise VerificationError("the peer's certificate is no member's")
    return member
