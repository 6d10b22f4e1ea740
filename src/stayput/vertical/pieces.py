"""Pieces: how what a join moves between parties is cut up, and the digest that a step names of it.

Blinded sets, encrypted rows and sums are too long for one message; they travel piece by piece, so
that a lost connection costs one piece and nobody holds all of them in memory.  Both sides cut alike
and both compute the digest: the sender signs it, the receiver compares it with the log.

Not here: what is in a piece (:mod:`stayput.vertical.rows`), storing and sending.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from stayput import documents
from stayput.crypto.ristretto import POINT_BYTES

SET_PIECE_BYTES: Final = 32_768 * POINT_BYTES
"""Of a blinded set: 1 MiB.  Encrypted rows have a piece for each chunk
(:func:`stayput.vertical.rows.chunks`), sums are one piece."""


def set_pieces(points: bytes) -> Iterator[bytes]:
    """A blinded set in pieces; of an empty one, one empty piece."""
    for start in range(0, max(len(points), 1), SET_PIECE_BYTES):
        yield points[start : start + SET_PIECE_BYTES]


class PiecesDigest:
    """The digest of pieces, one after the other: over the SHA-256 of each."""

    def __init__(self) -> None:
        self._hashes = bytearray()

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self._hashes += hashlib.sha256(piece).digest()

    @property
    def count(self) -> int:
        """Pieces taken."""
        return len(self._hashes) // hashlib.sha256().digest_size

    @property
    def digest(self) -> bytes:
        """What ``RowsEncrypted.rows``, ``RowsHandedOver.handed`` and ``SumsReturned.sums`` name."""
        return digest_of_hashes([bytes(self._hashes)])


def digest_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """The same digest, by who has the SHA-256 of each piece."""
    return documents.digest_bytes("stayput.v1.JoinPieces", b"".join(hashes))
