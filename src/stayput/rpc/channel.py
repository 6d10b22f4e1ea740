"""The channel: one party's line to the coordinator, bytes out and bytes in.

Opens and reopens by itself.  Knows methods by name and nothing of their messages; errors come out
as ours (:mod:`stayput.rpc.status`).
"""

from __future__ import annotations

import grpc

from stayput.identity import Identity, parse_address
from stayput.membership import Members
from stayput.rpc import credentials, status
from stayput.rpc.wire import Direction, WireRecord
from stayput.v1 import services_pb2 as pb

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_RECONNECTING = (
    # gRPC's own pauses grow to two minutes; a coordinator that was restarted is found sooner, well
    # within the patience of a call (rpc.client.PATIENCE_SECONDS): a pause that began before the
    # coordinator came back must not outlast it.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_500),
    ("grpc.enable_retries", 0),  # repeating is the link's, which counts what it sends
    ("grpc.use_local_subchannel_pool", 1),  # two identities in one process share no connection
)

_NOT_SENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


class Channel:
    """A line to ``address`` as ``identity``.

    Raises:
        ConfigurationError: TLS 1.3 alone cannot be had any more in this process.
    """

    def __init__(
        self, address: str, identity: Identity, members: Members, record: WireRecord
    ) -> None:
        host, _ = parse_address(address)
        options = [
            *credentials.LIMITS,
            *_RECONNECTING,
            ("grpc.ssl_target_name_override", credentials.expected_name(members)),
        ]
        if host in _LOOPBACK:
            options.append(("grpc.enable_http_proxy", 0))  # a proxy has its own idea of loopback
        self._record = record
        self._channel = grpc.secure_channel(
            address, credentials.channel_credentials(identity, members), options=options
        )

    def call(self, method: str, request: bytes, timeout: float) -> bytes:
        """Call ``Service/Method`` and wait up to ``timeout`` seconds.

        Raises:
            Unavailable: nobody there, or no answer in time.
            StayputError: as the coordinator answered.
        """
        path = f"/{pb.DESCRIPTOR.package}.{method}"
        try:
            call = self._channel.unary_unary(path, bytes, bytes)
            response: bytes = call(request, timeout=timeout)
        except grpc.RpcError as error:
            code = error.code()
            if code not in _NOT_SENT:
                self._record.request(method, Direction.SENT, request)
            metadata = error.trailing_metadata() or ()
            raise status.to_error(code, ((item.key, item.value) for item in metadata)) from None
        self._record.request(method, Direction.SENT, request)
        self._record.response(method, Direction.RECEIVED, response)
        return response

    def close(self) -> None:
        """Give the connection up; calls under way end as unreachable."""
        self._channel.close()
