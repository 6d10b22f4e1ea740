"""The listener: the coordinator's methods on a port, with health and reflection beside them.

It judges who is at the other end before anything else runs, moves the blocking core onto threads,
lets ``ReadLog`` wait for news, and turns errors into statuses.

Invariants: no method, health and reflection included, answers anybody but a member whose
certificate is in date; of an error only class, constant sentence and clause cross; whatever else
goes wrong inside crosses as "failed", and stays in this party's own log.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from stayput.errors import (
    ConfigurationError,
    PermissionDenied,
    StayputError,
    VerificationError,
)
from stayput.identity import Identity, parse_address, verify_membership
from stayput.link import digest_notes
from stayput.rpc import credentials, status
from stayput.rpc.methods import MAX_WAIT_MS, METHODS, CoordinatorCore, answer, parse_request
from stayput.rpc.tls import verify_tls13_only
from stayput.rpc.wire import Direction, WireRecord
from stayput.steps import Member, Role
from stayput.v1 import services_pb2 as pb

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

_LOG = logging.getLogger("stayput.rpc")

THREADS = 8
"""Calls of the core at the same time; it is the disk and the interpreter lock that limit it."""

GRACE_SECONDS = 5.0

_PACKAGE = pb.DESCRIPTOR.package
_SERVICES = tuple(service.full_name for service in pb.DESCRIPTOR.services_by_name.values())

_OPTIONS = (
    *credentials.LIMITS,
    ("grpc.so_reuseport", 0),  # else a second coordinator would share the port in silence
    ("grpc.http2.min_ping_interval_without_data_ms", credentials.KEEPALIVE_MS // 2),
)


class Listener:
    """A running server; made by :func:`stayput.rpc.server.serve`."""

    def __init__(
        self,
        core: CoordinatorCore,
        identity: Identity,
        record: WireRecord,
        clock: Callable[[], float],
    ) -> None:
        self._core = core
        self._identity = identity
        self._record = record
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="stayput-rpc")
        self._news = asyncio.Event()
        self._stopping = False
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._server = grpc.aio.server(interceptors=[_MembersOnly(self._caller)], options=_OPTIONS)
        self._server.add_generic_rpc_handlers(tuple(map(self._handlers, _SERVICES)))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.address = ""

    async def start(self, address: str) -> None:
        """Listen on ``host:port`` and measure that only TLS 1.3 gets in.

        Raises:
            ConfigurationError: not the coordinator, port taken, certificate out of date, or TLS 1.2
                would be accepted.
        """
        self._require_coordinator()
        host, _ = parse_address(address)
        secured = credentials.server_credentials(self._identity, lambda: self._core.members)
        try:
            port = self._server.add_secure_port(address, secured)
        except RuntimeError:
            raise ConfigurationError(
                f"cannot listen on {address}", hint="is the port taken, is the address this host's?"
            ) from None
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{shown}:{port}"
        loop = asyncio.get_running_loop()
        self._core.on_append = functools.partial(self._appended, loop)
        await self._server.start()
        try:
            await self._in_thread(
                verify_tls13_only,
                {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host),  # noqa: S104 - compared only
                port,
                self._identity.home / "tls.crt",
                self._identity.home / "tls.key",
            )
        except ConfigurationError:
            await self.stop(0)
            raise
        for service in (*_SERVICES, ""):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def _require_coordinator(self) -> None:
        verify_membership(self._identity, self._core.members)
        if self._identity.role is not Role.COORDINATOR:
            raise ConfigurationError(
                f"{self._identity.name} is no coordinator", hint="only the coordinator listens"
            )
        try:
            self._core.members.verify_current(self._identity.name, int(self._clock()))
        except VerificationError as error:
            raise ConfigurationError(error.message, hint=error.hint) from None

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Take no more calls, let those under way end, give up the port."""
        self._stopping = True
        self._core.on_append = _nobody_listens
        self._wake()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
        self._pool.shutdown(wait=True)

    async def wait(self) -> None:
        """Until the server has stopped."""
        await self._server.wait_for_termination()

    # --- news for those who wait --------------------------------------------------------------

    def _appended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the core, on whatever thread it works."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    # --- calls --------------------------------------------------------------------------------

    def _caller(self, context: Context) -> Member:
        """Who is at the other end.

        Raises:
            VerificationError: no member, or one whose certificate is out of date.
            PermissionDenied: a certificate that a rotation has replaced.
        """
        members = self._core.members
        member = credentials.verify_peer(context.auth_context(), members)
        return members.verify_current(member.name, int(self._clock()))

    def _handlers(self, service: str) -> grpc.GenericRpcHandler[Any, Any]:
        prefix = service.removeprefix(_PACKAGE + ".")
        methods = {
            name.partition("/")[2]: grpc.unary_unary_rpc_method_handler(
                functools.partial(self._handle, name)
            )
            for name in METHODS
            if name.startswith(prefix + "/")
        }
        return grpc.method_handlers_generic_handler(service, methods)

    async def _handle(self, method: str, data: bytes, context: Context) -> bytes:
        """One call of our own services, from bytes to bytes."""
        try:
            caller = self._caller(context)
        except (VerificationError, PermissionDenied) as error:  # since the interceptor looked
            await _abort(context, _refusal(error))
        self._record.request(method, Direction.RECEIVED, data)
        try:
            request = parse_request(method, caller, data)
            response = await self._answer(method, caller, request)
        except StayputError as error:
            _LOG.info("%s by %s refused: %s", method, caller.name, error)
            failed = status.to_status(error)
        except Exception:  # noqa: BLE001 - else gRPC itself would send str(error) to the peer
            _LOG.exception("%s by %s failed", method, caller.name)
            failed = status.FAILED_INSIDE
        else:
            encoded = response.SerializeToString()
            self._record.response(method, Direction.SENT, encoded)
            return encoded
        await _abort(context, failed)

    async def _answer(self, method: str, caller: Member, request: Message) -> Message:
        if not isinstance(request, pb.ReadLogRequest):
            answered: Message = await self._in_thread(answer, self._core, method, caller, request)
            return answered
        loop = asyncio.get_running_loop()
        until = loop.time() + min(request.wait_ms, MAX_WAIT_MS) / 1000
        while True:
            news = self._news  # taken before reading: an append in between is not missed
            page: Message = await self._in_thread(answer, self._core, method, caller, request)
            left = until - loop.time()
            if _is_news(page, request.known) or left <= 0 or self._stopping:
                return page
            await _wait_for(news, left)

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, call, *arguments)


class _MembersOnly(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """In front of every method, whoever made it: members only."""

    def __init__(self, caller: Callable[[Context], Member]) -> None:
        self._caller = caller

    async def intercept_service(  # type: ignore[override]
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap what would answer, so that it asks first who calls."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None  # unknown method: gRPC says so
        if handler.response_streaming:
            make, inner = (
                (grpc.stream_stream_rpc_method_handler, handler.stream_stream)
                if handler.request_streaming
                else (grpc.unary_stream_rpc_method_handler, handler.unary_stream)
            )
            guarded = self._guard_stream(inner)
        else:
            make, inner = (
                (grpc.stream_unary_rpc_method_handler, handler.stream_unary)
                if handler.request_streaming
                else (grpc.unary_unary_rpc_method_handler, handler.unary_unary)
            )
            guarded = self._guard(inner)
        made: Handler = make(guarded, handler.request_deserializer, handler.response_serializer)
        return made

    def _guard(self, inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(request: Any, context: Context) -> Any:
            await self._admit(context)
            return await inner(request, context)

        return guarded

    def _guard_stream(self, inner: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
        async def guarded(request: Any, context: Context) -> None:
            await self._admit(context)
            answers = inner(request, context)
            if not hasattr(answers, "__aiter__"):  # a coroutine that writes to the context itself
                await answers
                return
            async for message in answers:
                await context.write(message)

        return guarded

    async def _admit(self, context: Context) -> None:
        try:
            self._caller(context)
        except (VerificationError, PermissionDenied) as error:
            _LOG.info("refused %s: %s", context.peer(), error)
            await _abort(context, _refusal(error))


def _refusal(error: StayputError) -> status.Status:
    return status.REPLACED_PEER if isinstance(error, PermissionDenied) else status.UNKNOWN_PEER


def _is_news(page: Message, known: bytes) -> bool:
    """Whether a page has entries, or other cosigned notes than the caller knows."""
    cosigned = tuple(getattr(page, "cosigned", ()))
    return bool(getattr(page, "entries", ())) or digest_notes(cosigned) != known


async def _abort(context: Context, failed: status.Status) -> NoReturn:
    await context.abort(failed.code, failed.sentence, failed.metadata)


async def _wait_for(news: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), seconds)


def _nobody_listens() -> None:
    """What a core calls when it is on no port."""
