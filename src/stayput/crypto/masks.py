"""Pairwise masks: noise in every single part that cancels in the sum of exactly all parts.

Each pair of participants shares a keystream: ChaCha20 under a key that HKDF-SHA256 derives from
their X25519 secret, the context digest (salt) and both names and public keys (info).  Modulo
2^width, the party whose name is lower adds it, the other subtracts it (clause M-2).  So a part
alone is uniformly random to everybody but the pair, and only the total over all participants is
not: one part missing or of another context leaves noise.

The keystream has no nonce of its own: the key is used for one vector.  **A keystream must never
mask two different vectors**, or their difference is in clear.  The context therefore binds
everything that makes a vector (clause M-1), and a party makes its part of a context once and keeps
it; sending again means sending those bytes.

Not here: what a context is (:mod:`stayput.encryption`).  What leaks: to all other participants
together, the part of the remaining one, which the sum gives them anyway.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stayput.crypto.agreement import AgreementKey
from stayput.crypto.packing import Layout, Residues, carry, from_words, words
from stayput.errors import InvalidInput

CONTEXT_BYTES: Final = 32
_INFO: Final = b"stayput.v1.PairwiseMask"
_MAX_KEYSTREAM_BYTES: Final = 1 << 38
"""2^32 blocks of 64 bytes: where the block counter of ChaCha20 (RFC 8439) ends."""

_PIECE_BYTES: Final = 1 << 17
"""Keystream that is made and added at once: it stays in a core's cache, which halves the time."""


def pairwise_mask(
    own: AgreementKey, me: str, peers: Mapping[str, bytes], context: bytes, layout: Layout
) -> Residues:
    """The sum of my masks with all peers, modulo 2^width; shape of the layout.

    Args:
        own: my agreement key.
        me: my name; the order of names (by code point) decides who adds.
        peers: name and public agreement key of every *other* participant.
        context: 32-byte digest that binds the masks to one vector of each participant.
        layout: count and width of the vector.

    Raises:
        InvalidInput: no peers, or I am among them.
        VerificationError: a peer's key is refused.
    """
    if not peers:
        raise InvalidInput("a part without other participants cannot be masked")
    if me in peers:
        raise InvalidInput("a participant is no peer of itself")
    if len(context) != CONTEXT_BYTES:
        raise ValueError(f"a context digest has {CONTEXT_BYTES} bytes")

    def streams() -> _Streams:
        for name, public in peers.items():
            secret = own.exchange(public)
            key = _pair_key(secret, (me, own.public), (name, public), context)
            for rows, stream in _keystream(key, layout):
                yield me < name, rows, stream

    add_up = _sum_of_words if layout.limbs <= 2 else _sum_of_limbs
    return add_up(streams(), layout)


def statistical_masks(bits: Iterable[int]) -> list[int]:
    """Uniformly random numbers of so many bits each, to hide a number by adding.

    A number below 2^b plus a mask of b + s bits is within 2^-s of the mask alone.
    """
    return [secrets.randbits(length) for length in bits]


_Streams = Iterator[tuple[bool, slice, Residues]]
"""Pieces of keystreams: whether it is added, to which rows of the vector, and what."""


def _sum_of_words(streams: _Streams, layout: Layout) -> Residues:
    """Up to 64 bits numpy adds and subtracts modulo 2^width by itself."""
    total = np.zeros(layout.count, dtype=f"<u{layout.width // 8}")
    for adds, rows, stream in streams:
        if adds:
            total[rows] += words(stream)
        else:
            total[rows] -= words(stream)
    return from_words(total)


def _sum_of_limbs(streams: _Streams, layout: Layout) -> Residues:
    """Limbs are summed with their carries pending: 65,536 times 2^32 stays far below 2^63."""
    total = np.zeros((layout.count, layout.limbs), dtype=np.uint64)
    for adds, rows, stream in streams:
        if adds:
            total[rows] += stream
        else:  # -m = ~m + 1 in two's complement
            total[rows] += ~stream
            total[rows, 0] += np.uint64(1)
    return carry(total)


def _pair_key(
    secret: bytes, one: tuple[str, bytes], other: tuple[str, bytes], context: bytes
) -> bytes:
    info = _INFO
    for name, public in sorted((one, other)):
        encoded = name.encode("utf-8")
        info += len(encoded).to_bytes(2, "big") + encoded + public
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=context, info=info).derive(secret)


def _keystream(key: bytes, layout: Layout) -> Iterator[tuple[slice, Residues]]:
    """The keystream of a whole vector, piece by piece; the next piece overwrites the last."""
    row = layout.width // 8
    if layout.count * row > _MAX_KEYSTREAM_BYTES:
        raise InvalidInput("the vector is too long for one keystream")
    encryptor = Cipher(ChaCha20(key, nonce=bytes(16)), mode=None).encryptor()
    step = _PIECE_BYTES // row
    zeros, stream = memoryview(bytes(step * row)), bytearray(step * row)
    for start in range(0, layout.count, step):
        rows = min(step, layout.count - start)
        encryptor.update_into(zeros[: rows * row], stream)
        piece = np.frombuffer(stream, dtype="<u4", count=rows * layout.limbs)
        yield slice(start, start + rows), piece.reshape(rows, layout.limbs)
