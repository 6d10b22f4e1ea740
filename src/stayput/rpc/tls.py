"""TLS 1.3 and nothing older.

gRPC for Python has no option for the lowest TLS version.  It has one for the cipher suites of TLS
1.2, which do not apply to TLS 1.3: if the only suite of TLS 1.2 needs an RSA certificate, and every
member's certificate is ECDSA (:func:`stayput.membership.parse_certificate` refuses others), then no
handshake of TLS 1.2 can succeed.  gRPC reads that setting once, when it is first imported, so
:func:`require_tls13` has to run before; whoever listens also *measures* the outcome with
:func:`verify_tls13_only` and does not stay up otherwise.

Not here: certificates and who is trusted (:mod:`stayput.rpc.credentials`).
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from pathlib import Path

from stayput.errors import ConfigurationError

CIPHER_SETTING = "GRPC_SSL_CIPHER_SUITES"
RSA_ONLY = "ECDHE-RSA-AES128-GCM-SHA256"
"""A suite of TLS 1.2 that an ECDSA certificate cannot serve."""

LOG_SETTING = "GRPC_VERBOSITY"

PROBE_SECONDS = 5.0


def require_tls13() -> None:
    """Set gRPC up, in this process, for TLS 1.3 alone; to be called before gRPC is imported.

    Again and again is fine.  Also keeps gRPC's C core from writing to the terminal, where every
    refused handshake would be a line; our own errors say what to do.

    Raises:
        ConfigurationError: gRPC was imported before, with another setting.
    """
    if os.environ.get(CIPHER_SETTING) != RSA_ONLY:
        if "grpc" in sys.modules:
            raise ConfigurationError(
                "gRPC was loaded before stayput could restrict it to TLS 1.3",
                hint="call stayput.rpc.tls.require_tls13() before the first `import grpc`, or "
                f"start the process with {CIPHER_SETTING}={RSA_ONLY}",
            )
        os.environ[CIPHER_SETTING] = RSA_ONLY
    os.environ.setdefault(LOG_SETTING, "NONE")


def verify_tls13_only(host: str, port: int, certificate: Path, key: Path) -> None:
    """Measure that a port takes TLS 1.3 and refuses TLS 1.2, from a member's certificate.

    Args:
        host: where to dial.
        certificate, key: PEM files of a member, so that only the version can be the reason.

    Raises:
        ConfigurationError: it takes TLS 1.2, or not even TLS 1.3.
    """
    if _handshake(host, port, certificate, key, ssl.TLSVersion.TLSv1_2):
        raise ConfigurationError(
            "this machine's gRPC accepts TLS 1.2",
            hint=f"unset {CIPHER_SETTING} in the environment and start again",
        )
    if not _handshake(host, port, certificate, key, ssl.TLSVersion.TLSv1_3):
        raise ConfigurationError(f"TLS 1.3 does not work on port {port} of this machine")


def _handshake(host: str, port: int, certificate: Path, key: Path, version: ssl.TLSVersion) -> bool:
    # The server's certificate is not checked: nothing is sent, only the version is learnt.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate, key)
    try:
        with socket.create_connection((host, port), timeout=PROBE_SECONDS) as plain:  # noqa: SIM117
            with context.wrap_socket(plain) as secured:
                # In TLS 1.3 the client is done before the server has judged it: wait for a byte.
                return bool(secured.recv(1))
    except OSError:  # also ssl.SSLError
        return False
