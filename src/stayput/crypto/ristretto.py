"""The group in which identifiers are blinded: ristretto255 (RFC 9496), by libsodium.

*Points* are 32 bytes, in the one encoding that RFC 9496 gives each element of a group of prime
order (about 2^252); *exponents* are :class:`Exponent`.  Everything that comes from outside goes
through :func:`parse_points`: what is no canonical encoding, or the identity, is refused, so there
is no small subgroup, no second encoding, and no point whose powers are all the same.

A hash becomes a point by ``hash_to_ristretto255`` (RFC 9380, appendix B, with SHA-512), whose
discrete logarithm nobody knows.  (A hash taken as u-coordinate of X25519 would leak a bit: half of
all are on the twist.)

Not here: what is hashed, who raises what when.  What leaks: libsodium's scalar multiplication takes
the same time for all exponents and points.

``rbcl`` brings libsodium inside, writes it to a temporary file when it is first imported, and
leaves that file behind; here it is removed as soon as it is loaded, and not loaded before the first
call.
"""

from __future__ import annotations

import functools
import hashlib
import pathlib
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from stayput.crypto.cores import Progress, in_pieces
from stayput.errors import ConfigurationError, VerificationError

POINT_BYTES: Final = 32

ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Number of elements (RFC 9496, §4)."""

_BLOCK: Final = 128
_IDENTITY: Final = bytes(POINT_BYTES)


class Exponent:
    """A secret number from 1 to the order of the group minus 1; is not shown."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        if not 0 < number < ORDER:
            raise ValueError("an exponent is prime to the order of the group")
        self._number = number

    @classmethod
    def draw(cls) -> Exponent:
        """A random one."""
        return cls(secrets.randbelow(ORDER - 1) + 1)

    def divided_by(self, other: Exponent) -> Exponent:
        """The exponent that makes of a power by ``other`` the power by this one."""
        return Exponent(self._number * pow(other._number, -1, ORDER) % ORDER)

    def to_bytes(self) -> bytes:
        """32 bytes, for the owner's own store."""
        return self._number.to_bytes(POINT_BYTES, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> Exponent:
        """What :meth:`to_bytes` wrote."""
        return cls(int.from_bytes(data, "little"))

    def __repr__(self) -> str:
        return "Exponent()"


def hash_to_points(
    messages: Sequence[bytes],
    tag: bytes,
    exponent: Exponent,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> list[bytes]:
    """The points of messages (RFC 9380, appendix B), raised to an exponent.

    Args:
        tag: separates uses; 16 to 255 bytes, fixed text first.
    """
    if not 16 <= len(tag) <= 255:
        raise ValueError("a tag has 16 to 255 bytes")
    task = functools.partial(_hash_piece, tag, exponent.to_bytes())
    return [point for piece in in_pieces(task, messages, workers, progress) for point in piece]


def raise_points(
    points: Sequence[bytes],
    exponent: Exponent,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> list[bytes]:
    """Every point raised to an exponent, in order.

    Args:
        points: as :func:`parse_points` gives them.
    """
    task = functools.partial(_raise_piece, exponent.to_bytes())
    return [point for piece in in_pieces(task, points, workers, progress) for point in piece]


def random_points(count: int) -> list[bytes]:
    """Uniformly random elements; nobody knows a message that hashes to one of them."""
    group = _group()
    return [group.crypto_core_ristretto255_from_hash(secrets.token_bytes(64)) for _ in range(count)]


def random_order(count: int) -> list[int]:
    """A uniformly random permutation of 0 … count - 1."""
    order = list(range(count))
    secrets.SystemRandom().shuffle(order)
    return order


def parse_points(data: bytes, count: int) -> list[bytes]:
    """Parse untrusted bytes as exactly ``count`` distinct points.

    Raises:
        VerificationError: another length, a string that is no canonical encoding of an element,
            the identity, or a point twice.
    """
    if len(data) != count * POINT_BYTES:
        raise VerificationError(f"{count} points have {count * POINT_BYTES} bytes, not {len(data)}")
    points = [data[i : i + POINT_BYTES] for i in range(0, len(data), POINT_BYTES)]
    group = _group()
    for point in points:
        # The libsodium inside overlooks the highest bit, which RFC 9496 §4.3.1 wants to be zero:
        # with it every element would have two encodings, and a person could be in a set twice.
        canonical = point[-1] < 0x80 and group.crypto_core_ristretto255_is_valid_point(point)
        if point == _IDENTITY or not canonical:
            raise VerificationError("a blinded identifier is no element of the group")
    if len(set(points)) != count:
        raise VerificationError("a blinded identifier is there twice")
    return points


def _hash_piece(tag: bytes, exponent: bytes, messages: Iterable[bytes]) -> list[bytes]:
    group = _group()
    from_hash, multiply = (
        group.crypto_core_ristretto255_from_hash,
        group.crypto_scalarmult_ristretto255,
    )
    return [multiply(exponent, from_hash(_expand(message, tag))) for message in messages]


def _raise_piece(exponent: bytes, points: Iterable[bytes]) -> list[bytes]:
    multiply = _group().crypto_scalarmult_ristretto255
    return [multiply(exponent, point) for point in points]


def _expand(message: bytes, tag: bytes) -> bytes:
    """``expand_message_xmd`` with SHA-512 to 64 bytes: one block (RFC 9380, §5.3.1)."""
    suffix = tag + bytes([len(tag)])
    first = hashlib.sha512(bytes(_BLOCK) + message + b"\x00\x40\x00" + suffix).digest()
    return hashlib.sha512(first + b"\x01" + suffix).digest()


def load() -> None:
    """Load the library now: in a process that will soon be able to write no file.

    Raises:
        ConfigurationError: the folder for temporary files does not do.
    """
    _group()


@functools.cache
def _group() -> Any:
    """``rbcl``, loaded at the first use."""
    try:
        import rbcl  # noqa: PLC0415 - unpacks a library; only joins need it
        from rbcl import _sodium  # noqa: PLC0415
    except OSError as error:
        raise ConfigurationError(
            "libsodium cannot be loaded from the folder for temporary files",
            hint="Set TMPDIR to a folder of this user in which programs may run.",
        ) from error
    pathlib.Path(_sodium._name).unlink(missing_ok=True)
    return rbcl
