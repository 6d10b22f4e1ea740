"""The wire: gRPC over mutual TLS 1.3, between the members of one consortium.

``server`` (the coordinator's methods, as bytes in and bytes out) is put on a port by ``listener``;
``client`` (the same methods, for everybody else) goes out through ``channel``.  ``credentials`` and
``tls`` decide who may talk at all, ``status`` which errors cross, ``wire`` counts what crossed.

Only ``channel``, ``listener``, ``credentials`` and ``status`` import gRPC, and they are imported
when the first link or server is made: :func:`stayput.rpc.tls.require_tls13` has to come before.
"""
