"""The door of the coordinator: put its core on a port.

gRPC reads its cipher setting once, when it is first imported; so this module makes the setting and
only then loads what imports gRPC.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from stayput.identity import Identity
from stayput.rpc import wire
from stayput.rpc.methods import CoordinatorCore
from stayput.rpc.tls import require_tls13

if TYPE_CHECKING:
    from stayput.rpc.listener import Listener


async def serve(
    core: CoordinatorCore,
    identity: Identity,
    *,
    address: str | None = None,
    record: wire.WireRecord = wire.PROCESS,
    clock: Callable[[], float] = time.time,
) -> Listener:
    """Put the coordinator on its port, and prove that only TLS 1.3 gets in.

    Args:
        address: ``host:port`` if another than the identity's; port 0 lets the system choose.
        record: where to count what crosses.
        clock: Unix seconds, to judge certificates.

    Raises:
        ConfigurationError: not the coordinator, the port is taken, or TLS cannot be had as wanted.
    """
    require_tls13()  # before gRPC is imported: it reads its cipher setting once
    from stayput.rpc.listener import Listener  # noqa: PLC0415

    listener = Listener(core, identity, record, clock)
    await listener.start(address or identity.address)
    return listener
