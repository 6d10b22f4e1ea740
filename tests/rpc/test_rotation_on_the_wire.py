"""Certificates come and go while the coordinator listens; who is out is told why."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rpc.loopback import Consortium, Running, running

from stayput.errors import PermissionDenied, Unavailable, VerificationError
from stayput.identity import Identity, draw_next, member_card
from stayput.membership import Members
from stayput.rpc import credentials
from stayput.rpc.client import GrpcLink
from stayput.rpc.wire import WireRecord


def rotated(members: Members, new: Identity, now: int) -> Members:
    return members.rotated(member_card(new), now)


def link(server: Running, identity: Identity) -> GrpcLink:
    return GrpcLink(
        identity,
        server.parties.members,
        address=server.address,
        record=WireRecord(),
        patience=0.0,
    )


@pytest.fixture
def alone(parties: Consortium) -> Iterator[Running]:
    """A server whose members change."""
    with running(parties) as server:
        yield server


@pytest.fixture
def new(parties: Consortium) -> Identity:
    return draw_next(parties.identities["north"], now=parties.now)


def test_a_new_certificate_gets_in_from_the_rotation_on(alone: Running, new: Identity) -> None:
    with link(alone, new) as early, pytest.raises(Unavailable):
        early.read_log(0, 0)  # TLS itself ends it: the certificate is nobody's
    alone.core.members = rotated(alone.core.members, new, alone.parties.now)
    with link(alone, new) as late:
        assert late.read_log(0, 0).entries == (b"entry 0",)
        late.submit_receipt(b"step")
    assert alone.core.calls[-1][:2] == ("submit_receipt", "north")
    for name in ("office", "asker"):
        with alone.link(name) as other:  # the others do not notice
            other.read_log(0, 0)


def test_the_old_certificate_is_refused_and_told_why(alone: Running, new: Identity) -> None:
    """On an open connection, and on a new one, whatever is called."""
    with alone.link("north") as opened:
        opened.read_log(0, 0)
        alone.core.members = rotated(alone.core.members, new, alone.parties.now)
        before = list(alone.core.calls)
        with pytest.raises(PermissionDenied, match="were rotated") as refused:
            opened.read_log(0, 0)
        assert "stayput rotate" in refused.value.hint
    with alone.link("north") as again:
        for call in (lambda: again.read_log(0, 0), lambda: again.rotate_keys(b"step")):
            with pytest.raises(PermissionDenied, match="were rotated"):
                call()
    assert alone.core.calls == before, "the core was asked on behalf of an old certificate"


def test_health_and_reflection_refuse_the_old_certificate_too(
    alone: Running, new: Identity
) -> None:
    alone.core.members = rotated(alone.core.members, new, alone.parties.now)
    old = alone.parties.identities["north"]
    hub = alone.parties.members.certificate("hub").pem
    own = alone.parties.members.certificate("north").pem
    secured = grpc.ssl_channel_credentials(hub, old.tls_key, own)
    options = (("grpc.ssl_target_name_override", "hub.stayput"),)
    with grpc.secure_channel(alone.address, secured, options) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        with pytest.raises(grpc.RpcError) as refused:
            check(health_pb2.HealthCheckRequest(), timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "replaced" in refused.value.details()


def test_many_rotations_leave_only_the_last_certificate(alone: Running) -> None:
    identities = [alone.parties.identities["north"]]
    for _ in range(4):
        identities.append(draw_next(identities[-1], now=alone.parties.now))
        alone.core.members = rotated(alone.core.members, identities[-1], alone.parties.now)
    for identity in identities[:-1]:
        with link(alone, identity) as old, pytest.raises(PermissionDenied, match="were rotated"):
            old.read_log(0, 0)
    with link(alone, identities[-1]) as last:
        last.read_log(0, 0)


def test_a_peer_is_known_by_its_certificate_of_now(parties: Consortium, new: Identity) -> None:
    members = rotated(parties.members, new, parties.now)
    shown = {"x509_pem_cert": [members.certificate("north").pem]}
    assert credentials.verify_peer(shown, members) == new.member
    with pytest.raises(VerificationError):
        credentials.verify_peer(shown, parties.members)
    shown = {"x509_pem_cert": [parties.members.certificate("north").pem]}
    with pytest.raises(PermissionDenied, match="north"):
        credentials.verify_peer(shown, members)
