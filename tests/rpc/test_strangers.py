"""Who does not get in: strangers, old certificates, old TLS, forged and issued certificates.

Where the attack is on TLS itself the attacker is Python's own ``ssl``, not gRPC.
"""

from __future__ import annotations

import dataclasses
import datetime
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from rpc.loopback import Consortium, Running, make, running

from stayput.crypto import signing
from stayput.errors import ConfigurationError, StayputError, Unavailable, VerificationError
from stayput.identity import Identity, create_identity, member_card
from stayput.membership import Members, form_member_list, verify_member_list
from stayput.rpc import credentials, tls
from stayput.rpc.client import GrpcLink
from stayput.steps import Role

YEAR = 365 * 86400


def pem(identity: Identity) -> tuple[bytes, bytes]:
    """Key and certificate."""
    return identity.tls_key, (identity.home / "tls.crt").read_bytes()


def dial(
    server: Running, pair: tuple[bytes, bytes] | None, name: str = "hub.stayput"
) -> grpc.Channel:
    """A channel of an attacker who knows the coordinator's certificate."""
    key, certificate = pair or (None, None)
    hub = server.parties.members.certificate("hub").pem
    secured = grpc.ssl_channel_credentials(hub, key, certificate)
    options = (("grpc.ssl_target_name_override", name),)
    return grpc.secure_channel(server.address, secured, options)


def read_log(channel: grpc.Channel) -> bytes:
    with channel:
        answer: bytes = channel.unary_unary("/stayput.v1.LogService/ReadLog", bytes, bytes)(
            b"", timeout=5
        )
        return answer


def refused_with(server: Running, pair: tuple[bytes, bytes] | None) -> grpc.StatusCode:
    server.core.calls.clear()
    with pytest.raises(grpc.RpcError) as refused:
        read_log(dial(server, pair))
    assert server.core.calls == []
    code: grpc.StatusCode = refused.value.code()
    return code


# --- strangers ----------------------------------------------------------------------------------


def test_the_attackers_tool_works_for_a_member(server: Running) -> None:
    assert read_log(dial(server, pem(server.parties.identities["north"])))


def test_nobody_without_a_certificate(server: Running) -> None:
    assert refused_with(server, None) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["stranger", "north"])
def test_a_self_made_certificate_does_not_get_in(
    server: Running, tmp_path: Path, name: str
) -> None:
    stranger = make(tmp_path, name, Role.HOLDER, server.parties.now)
    assert refused_with(server, pem(stranger)) is grpc.StatusCode.UNAVAILABLE


def test_a_members_certificate_without_its_key_does_not_get_in(
    server: Running, tmp_path: Path
) -> None:
    _, certificate = pem(server.parties.identities["north"])
    key, _ = pem(make(tmp_path, "north", Role.HOLDER, server.parties.now))
    with pytest.raises((ValueError, grpc.RpcError)):  # gRPC may refuse the pair by itself
        read_log(dial(server, (key, certificate)))


def issue(parent: Identity, name: str, *, copy_issuer: bool) -> tuple[bytes, bytes]:
    """A certificate for ``name`` signed with a member's TLS key."""
    signer = serialization.load_pem_private_key(parent.tls_key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    own = x509.load_der_x509_certificate(parent.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(own.subject if copy_issuer else x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.stayput")]), False)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("copy_issuer", [True, False])
def test_a_member_cannot_vouch_for_another(server: Running, copy_issuer: bool) -> None:
    north = server.parties.identities["north"]
    pair = issue(north, "guest", copy_issuer=copy_issuer)
    assert refused_with(server, pair) is grpc.StatusCode.UNAVAILABLE
    chained = (pair[0], pair[1] + pem(north)[1])
    assert refused_with(server, chained) is grpc.StatusCode.UNAVAILABLE


def test_a_stranger_reads_one_plain_sentence(server: Running, tmp_path: Path) -> None:
    """As a person meets it: by our own client, with a list in which they put themselves."""
    stranger = make(tmp_path, "stranger", Role.USER, server.parties.now)
    members = with_cards(server.parties, stranger)
    with running_link(server, stranger, members) as link, pytest.raises(Unavailable) as refused:
        link.read_log(0, 0)
    assert str(refused.value) == "The coordinator cannot be reached."
    assert "certificate" in refused.value.hint


def test_one_who_is_not_in_the_list_is_told_before_dialling(
    server: Running, tmp_path: Path
) -> None:
    stranger = make(tmp_path, "stranger", Role.USER, server.parties.now)
    with pytest.raises(ConfigurationError, match="stranger is not in the member list of testers"):
        running_link(server, stranger, server.parties.members)
    impostor = make(tmp_path, "north", Role.HOLDER, server.parties.now)
    with pytest.raises(ConfigurationError, match="another north, with other keys"):
        running_link(server, impostor, server.parties.members)


def running_link(server: Running, identity: Identity, members: Members):  # type: ignore[no-untyped-def]

    return GrpcLink(identity, members, address=server.address, patience=0.0)


def with_cards(parties: Consortium, *more: Identity) -> Members:
    """The parties and some more, in a list that the real coordinator signed."""
    cards = [member_card(identity) for identity in (*parties.identities.values(), *more)]
    hub = parties.identities["hub"]
    listed = form_member_list("testers", cards, hub.signing_key, parties.now)
    return verify_member_list(listed, pinned=None)


# --- dates --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """A consortium formed a year ago, of which one certificate ended half a year ago."""
    root = tmp_path_factory.mktemp("aged")
    aged = Consortium.__new__(Consortium)
    now = int(time.time())
    formed = now - YEAR
    made = {"north": formed - int(1.5 * YEAR)}  # ended half a year ago
    aged.now = now
    aged.identities = {
        name: make(root, name, role, made.get(name, formed))
        for name, role in {
            "hub": Role.COORDINATOR,
            "office": Role.CHECKER,
            "asker": Role.USER,
            "north": Role.HOLDER,
        }.items()
    }
    cards = [member_card(identity) for identity in aged.identities.values()]
    listed = form_member_list("testers", cards, aged.identities["hub"].signing_key, formed)
    aged.members = verify_member_list(listed, pinned=None)
    return aged


def test_an_expired_certificate_is_told_before_dialling(aged: Consortium) -> None:
    with running(aged) as server:
        with server.link("asker") as link:  # the others are not disturbed
            assert link.read_log(0, 0).entries
        with pytest.raises(ConfigurationError) as refused:
            server.link("north")
        assert str(refused.value) == "the certificate of north has expired"
        assert "successor log" in refused.value.hint


def test_an_expired_certificate_does_not_get_in(aged: Consortium) -> None:
    with running(aged) as server:
        assert refused_with(server, pem(aged.identities["north"])) is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_that_expires_while_connected_gets_no_further(parties: Consortium) -> None:
    """TLS looks at dates once, when connecting; the server at every call."""
    shift = [0]
    with running(parties, clock=lambda: time.time() + shift[0]) as server:  # noqa: SIM117
        with server.link("north") as link:
            assert link.read_log(0, 0).entries
            shift[0] = 3 * YEAR
            server.core.calls.clear()
            with pytest.raises(StayputError) as refused:
                link.read_log(0, 0)
            assert "does not accept this identity's certificate" in str(refused.value)
            assert server.core.calls == []


def test_an_expired_coordinator_does_not_listen(parties: Consortium) -> None:
    with pytest.raises(ConfigurationError, match="hub has expired"):  # noqa: SIM117
        with running(parties, clock=lambda: time.time() + 3 * YEAR):
            pass


def test_a_clock_that_is_behind_is_told(server: Running) -> None:
    with pytest.raises(ConfigurationError, match="not valid yet") as refused:
        server.link("north", clock=lambda: time.time() - YEAR)
    assert "clock" in refused.value.hint


# --- the coordinator has to be the right one ----------------------------------------------------


def test_another_coordinator_is_not_talked_to(parties: Consortium, tmp_path: Path) -> None:
    """At the same address, of the same name, and it would accept us: still not."""
    other = Consortium(tmp_path)
    with running(other, members=None) as server:
        link = server.link("north")  # other's own north is served
        assert link.read_log(0, 0).entries
        link.close()
        server.parties = parties
        server.core.calls.clear()
        with server.link("north") as link, pytest.raises(Unavailable):
            link.read_log(0, 0)
        assert server.core.calls == []


def test_a_member_cannot_pose_as_the_coordinator(parties: Consortium) -> None:
    """A holder that listens with its own certificate is no coordinator, for server and client."""
    posing = dataclasses.replace(parties.identities["north"], address="127.0.0.1:0")
    posed = Consortium.__new__(Consortium)
    posed.now, posed.members = parties.now, parties.members
    posed.identities = {**parties.identities, "hub": posing}
    with pytest.raises(ConfigurationError, match="north is no coordinator"):  # noqa: SIM117
        with running(posed):
            pass


# --- TLS 1.3 ------------------------------------------------------------------------------------


def handshake(server: Running, identity: Identity, version: ssl.TLSVersion, ciphers: str) -> str:
    """What a careful TLS client of the standard library gets: the version, or the failure."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.parties.identities["hub"].home / "tls.crt")
    context.load_cert_chain(identity.home / "tls.crt", identity.home / "tls.key")
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="hub.stayput") as secured:
                assert secured.recv(1)
                return str(secured.version())
        except (ssl.SSLError, ConnectionResetError) as error:
            return f"refused: {type(error).__name__}"


def test_tls_1_3_is_taken(server: Running) -> None:
    north = server.parties.identities["north"]
    assert handshake(server, north, ssl.TLSVersion.TLSv1_3, "ALL") == "TLSv1.3"


@pytest.mark.parametrize("ciphers", ["ALL", tls.RSA_ONLY, "ECDHE-ECDSA-AES128-GCM-SHA256"])
def test_tls_1_2_is_refused_even_to_a_member(server: Running, ciphers: str) -> None:
    north = server.parties.identities["north"]
    assert handshake(server, north, ssl.TLSVersion.TLSv1_2, ciphers).startswith("refused")


def test_our_client_does_not_stoop_to_tls_1_2(parties: Consortium) -> None:
    """A coordinator with the right key that offers TLS 1.2 alone is not talked to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    home = parties.identities["hub"].home
    context.load_cert_chain(home / "tls.crt", home / "tls.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        host, port = listening.getsockname()
        server = Running(parties, core=None, address=f"{host}:{port}")  # type: ignore[arg-type]
        with server.link("north") as link:
            call = link._line._channel.unary_unary("/a.B/C", bytes, bytes)  # type: ignore[attr-defined]
            pending = call.future(b"", timeout=5)
            accepted, _ = listening.accept()
            with accepted, pytest.raises((ssl.SSLError, ConnectionResetError)):
                context.wrap_socket(accepted, server_side=True).recv(1)
            with pytest.raises(grpc.RpcError):
                pending.result()


PROBE = """
import sys
import {first}
from stayput.errors import ConfigurationError
from stayput.rpc.tls import require_tls13
try:
    require_tls13()
    require_tls13()
except ConfigurationError as error:
    sys.exit(f"{{error}} {{error.hint}}")
"""


@pytest.mark.parametrize(
    ("first", "setting", "refused"),
    [
        ("stayput", None, False),
        ("grpc", None, True),
        ("grpc", "HIGH", True),
        ("stayput", "HIGH", False),
        ("grpc", tls.RSA_ONLY, False),
    ],
)
def test_grpc_that_was_loaded_before_is_noticed(
    first: str, setting: str | None, refused: bool
) -> None:
    environment = {"PATH": "", **({tls.CIPHER_SETTING: setting} if setting else {})}
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(first=first)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(done.returncode) == refused, done.stderr
    if refused:
        assert "gRPC was loaded before" in done.stderr
        assert "require_tls13" in done.stderr


def test_modules_of_the_wire_load_grpc_only_when_used() -> None:
    code = (
        "import sys, stayput.rpc.client, stayput.rpc.server, stayput.rpc.wire, stayput.identity\n"
        "assert 'grpc' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_measurement_notices_tls_1_2(parties: Consortium) -> None:
    """The probe against a server of the standard library that takes both versions, or only 1.2."""
    home = parties.identities["hub"].home
    for highest, words in ((None, "accepts TLS 1.2"), (ssl.TLSVersion.TLSv1_2, "accepts TLS 1.2")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home / "tls.crt", home / "tls.key")
        context.set_alpn_protocols(["h2"])
        if highest is not None:
            context.maximum_version = highest
        with Answering(context) as port, pytest.raises(ConfigurationError, match=words):
            tls.verify_tls13_only("127.0.0.1", port, home / "tls.crt", home / "tls.key")


def test_the_measurement_notices_that_nothing_works(parties: Consortium) -> None:
    home = parties.identities["hub"].home
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConfigurationError, match="does not work"):
        tls.verify_tls13_only("127.0.0.1", port, home / "tls.crt", home / "tls.key")


class Answering:
    """A TLS server that sends one byte to whoever completes a handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:

        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._listening.getsockname()[1])

    def __exit__(self, *error: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            with plain:
                try:
                    with self._context.wrap_socket(plain, server_side=True) as secured:
                        secured.sendall(b"x")
                except OSError:
                    continue


# --- health and reflection ----------------------------------------------------------------------


def test_health_and_reflection_answer_members(server: Running) -> None:
    with dial(server, pem(server.parties.identities["reviewer"])) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for service in ("", "stayput.v1.LogService", "stayput.v1.RunService"):
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watched = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=5
        )
        assert next(iter(watched)).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()

        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        (listed,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([ask]), timeout=5
        )
        names = {service.name for service in listed.list_services_response.service}
        assert names == {
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "stayput.v1.JoinService",
            "stayput.v1.LogService",
            "stayput.v1.RunService",
            "stayput.v1.ScenarioService",
        }


def test_health_and_reflection_answer_nobody_else(aged: Consortium, tmp_path: Path) -> None:
    stranger = create_identity(tmp_path / "stranger", "stranger", Role.USER, now=int(time.time()))
    with running(aged) as server:
        for pair in (None, pem(stranger), pem(aged.identities["north"])):
            with dial(server, pair) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
                ask = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
                for call in (
                    lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=5),  # noqa: B023
                    lambda: next(
                        iter(health.Watch(health_pb2.HealthCheckRequest(), timeout=5))  # noqa: B023
                    ),
                    lambda: next(iter(reflection.ServerReflectionInfo(ask, timeout=5))),  # noqa: B023
                ):
                    with pytest.raises(grpc.RpcError):
                        call()


def test_every_method_asks_who_calls_also_behind_tls(parties: Consortium) -> None:
    """A member whose certificate expires while connected: one sentence, whatever it calls."""
    shift = [0]
    with running(parties, clock=lambda: time.time() + shift[0]) as server:  # noqa: SIM117
        with dial(server, pem(parties.identities["north"])) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            assert check(health_pb2.HealthCheckRequest(), timeout=5).status
            shift[0] = 3 * YEAR
            health = health_pb2_grpc.HealthStub(channel)
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            ask = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            log = channel.unary_unary("/stayput.v1.LogService/ReadLog", bytes, bytes)
            for call in (
                lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=5),
                lambda: next(iter(health.Watch(health_pb2.HealthCheckRequest(), timeout=5))),
                lambda: next(iter(reflection.ServerReflectionInfo(ask, timeout=5))),
                lambda: log(b"", timeout=5),
            ):
                with pytest.raises(grpc.RpcError) as refused:
                    call()
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert refused.value.details() == (
                    "This certificate is no current member's of the consortium."
                )


# --- who is at the other end --------------------------------------------------------------------


def test_a_peer_is_known_by_its_exact_certificate(parties: Consortium, tmp_path: Path) -> None:
    for name, identity in parties.identities.items():
        shown = {"x509_pem_cert": [pem(identity)[1]]}
        assert credentials.verify_peer(shown, parties.members).name == name
    again = make(tmp_path, "north", Role.HOLDER, parties.now)
    for shown in (
        {},
        {"x509_pem_cert": []},
        {"x509_pem_cert": [pem(again)[1]]},
        {"x509_pem_cert": [pem(parties.identities["north"])[1]] * 2},
        {"x509_pem_cert": [b"junk"]},
        {"x509_pem_cert": ["-----BEGIN CERTIFICATE-----\xff".encode()]},
    ):
        with pytest.raises(VerificationError):
            credentials.verify_peer(shown, parties.members)


def test_fingerprints_of_the_parties_differ(parties: Consortium) -> None:
    prints = {signing.fingerprint(member.signing_key) for member in parties.members}
    assert len(prints) == len(parties.identities)
