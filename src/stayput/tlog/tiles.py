"""Tiles (C2SP tlog-tiles): the tree and the entries as files that any web server can serve.

A hash tile of level L holds up to 256 hashes, each the root of a complete subtree of 256**L leaves;
an entry bundle holds the up to 256 entries under one tile of level 0.  A full tile never changes; a
partial one lies beside it under its width.  Paths are relative to the log's prefix:
``tile/0/x001/234.p/5``, ``tile/entries/000``.

Nothing here reads or writes files.  :class:`TileEdge` makes tiles from leaf hashes as they come,
:class:`TiledTree` reads them through a function it is given and trusts none of them: a root or
proof leaves it only after it was verified against the root of a checkpoint.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle

TILE_WIDTH: Final = 256
"""Hashes or entries of a full tile."""

ENTRIES: Final = -1
"""In place of a level: the bundle of entries under a tile of level 0."""

MAX_LEVEL: Final = 63
"""Largest level that a path may name; a tree of ``merkle.MAX_SIZE`` leaves reaches level 7."""

MAX_ENTRY_BYTES: Final = 2**16 - 1
"""Largest entry: its length stands as an unsigned 16-bit number in a bundle."""

_TILE_HEIGHT: Final = 8
_PATH: Final = re.compile(
    r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([0-9]{1,3}))?", re.ASCII
)
_MAX_PATH_CHARS: Final = 64


@dataclasses.dataclass(frozen=True, order=True)
class TileId:
    """Which tile: level (or :data:`ENTRIES`), index in the level, number of hashes or entries.

    Raises:
        ValueError: out of range.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not ENTRIES <= self.level <= MAX_LEVEL:
            raise ValueError("the level of a tile is 0 to 63")
        if not 0 <= self.index <= merkle.MAX_SIZE or not 1 <= self.width <= TILE_WIDTH:
            raise ValueError("a tile has an index of 0 to 2**63 - 1 and a width of 1 to 256")

    @property
    def path(self) -> str:
        """The path below the log's prefix."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        number = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
        kind = "entries" if self.level == ENTRIES else str(self.level)
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{kind}/{number}{suffix}"


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """The path of a tile below the log's prefix; ``level`` may be :data:`ENTRIES`.

    Raises:
        ValueError: out of range.
    """
    return TileId(level, index, width).path


def parse_tile_path(path: str) -> TileId:
    """Parse an untrusted path below the log's prefix.

    Raises:
        DocumentError: not the one path that :func:`tile_path` gives.
    """
    matched = _PATH.fullmatch(path) if len(path) <= _MAX_PATH_CHARS else None
    if matched is None:
        raise DocumentError("not the path of a tile")
    kind, upper, last, width = matched.groups()
    level = ENTRIES if kind == "entries" else int(kind)
    index = int((upper + last).replace("x", "").replace("/", ""))
    try:
        tile = TileId(level, index, TILE_WIDTH if width is None else int(width))
    except ValueError:
        raise DocumentError("the path of a tile is out of range") from None
    if tile.path != path:  # leading zeroes, or the width of a full tile
        raise DocumentError("not the canonical path of a tile")
    return tile


def tile_width(level: int, index: int, size: int) -> int:
    """Number of hashes (entries) of tile ``index`` of ``level`` in a tree of ``size``; or 0."""
    count = size >> (_TILE_HEIGHT * max(level, 0))
    return max(0, min(TILE_WIDTH, count - index * TILE_WIDTH))


def new_tiles(old_size: int, new_size: int) -> Iterator[TileId]:
    """The hash tiles that a tree of ``new_size`` has and one of ``old_size`` had not.

    Raises:
        ValueError: not ``0 <= old_size <= new_size``.
    """
    _require_growth(old_size, new_size)
    level = 0
    while new_size >> (_TILE_HEIGHT * level):
        yield from _new_in_level(level, old_size, new_size)
        level += 1


def new_bundles(old_size: int, new_size: int) -> Iterator[TileId]:
    """The entry bundles that a log of ``new_size`` has and one of ``old_size`` had not.

    Raises:
        ValueError: not ``0 <= old_size <= new_size``.
    """
    _require_growth(old_size, new_size)
    return _new_in_level(ENTRIES, old_size, new_size)


# --- contents -------------------------------------------------------------------------------------


def require_entry_size(entry: bytes) -> bytes:
    """Refuse an entry that does not fit into a bundle; returns the entry.

    Raises:
        DocumentError: more than :data:`MAX_ENTRY_BYTES` bytes.
    """
    if len(entry) > MAX_ENTRY_BYTES:
        raise DocumentError(
            f"an entry of the log has at most {MAX_ENTRY_BYTES:,} bytes, this one {len(entry):,}",
            hint="Put the document beside the log and its digest into the entry.",
        )
    return entry


def encode_entry_bundle(entries: Sequence[bytes]) -> bytes:
    """1 to 256 entries, each after its length in two bytes, big-endian.

    Raises:
        ValueError: no entry, or more than 256.
        DocumentError: an entry is too large.
    """
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise ValueError("a bundle has 1 to 256 entries")
    return b"".join(
        len(entry).to_bytes(2, "big") + entry for entry in map(require_entry_size, entries)
    )


def parse_entry_bundle(data: bytes, width: int | None = None) -> tuple[bytes, ...]:
    """Parse an untrusted bundle, whose entries the caller compares with the tree.

    Args:
        width: how many entries its path promises; ``None`` takes 1 to 256.

    Raises:
        DocumentError: truncated, another number of entries, or bytes after the last one.
    """
    entries: list[bytes] = []
    position = 0
    while position < len(data) and len(entries) <= TILE_WIDTH:
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        if len(data) < max(start, position):
            raise DocumentError(f"a bundle ends inside its entry {len(entries)}")
        entries.append(bytes(data[start:position]))
    if not 1 <= len(entries) <= TILE_WIDTH or width not in (None, len(entries)):
        raise DocumentError(f"a bundle has {width or '1 to 256'} entries")
    return tuple(entries)


def encode_tile(hashes: Sequence[bytes]) -> bytes:
    """1 to 256 hashes one after another.

    Raises:
        ValueError: no hash, more than 256, or one that has not 32 bytes.
    """
    if not 1 <= len(hashes) <= TILE_WIDTH or any(len(h) != merkle.HASH_BYTES for h in hashes):
        raise ValueError("a tile has 1 to 256 hashes of 32 bytes")
    return b"".join(hashes)


def parse_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """The hashes of an untrusted tile.

    Raises:
        DocumentError: not exactly ``width`` hashes.
    """
    if len(data) != width * merkle.HASH_BYTES:
        raise DocumentError(f"a tile of width {width} has {width * merkle.HASH_BYTES} bytes")
    return tuple(
        data[start : start + merkle.HASH_BYTES] for start in range(0, len(data), merkle.HASH_BYTES)
    )


def tile_of(tree: merkle.Tree, tile: TileId) -> bytes:
    """The bytes of a hash tile of a tree that is in memory.

    Raises:
        ValueError: the tree has no such tile, or it is a bundle of entries.
    """
    if tile.level == ENTRIES:
        raise ValueError("a tree holds no entries")
    start = tile.index * TILE_WIDTH
    return b"".join(tree.hashes(_TILE_HEIGHT * tile.level, start, start + tile.width))


# --- making tiles ---------------------------------------------------------------------------------


class TileEdge:
    """The unfinished tiles of a growing tree: makes tiles of all levels from leaf hashes.

    Holds at most 255 hashes per level, whatever the size of the tree.
    """

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._levels: list[list[bytes]] = [[]]

    @classmethod
    def restore(cls, size: int, read: Callable[[TileId], bytes]) -> TileEdge:
        """The edge of a tree whose partial tiles are stored.

        The caller compares :meth:`root` with a checkpoint before it builds on the edge.

        Raises:
            DocumentError: a tile has not the bytes its width says.
        """
        edge = cls()
        edge._size = size
        edge._levels = []
        level = 0
        while size >> (_TILE_HEIGHT * level):
            index, width = divmod(size >> (_TILE_HEIGHT * level), TILE_WIDTH)
            tile = TileId(level, index, width) if width else None
            edge._levels.append(list(parse_tile(read(tile), width)) if tile else [])
            level += 1
        edge._levels = edge._levels or [[]]
        return edge

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def append(self, leaf: bytes) -> list[tuple[TileId, bytes]]:
        """Append a leaf, given as its hash; returns the full tiles that it completes.

        Raises:
            ValueError: not a hash of 32 bytes.
        """
        return self.extend([leaf])

    def extend(self, leaves: Sequence[bytes]) -> list[tuple[TileId, bytes]]:
        """Append many leaves, given as their hashes; returns the full tiles that they complete.

        Raises:
            ValueError: not hashes of 32 bytes.
        """
        if any(len(leaf) != merkle.HASH_BYTES for leaf in leaves):
            raise ValueError(f"a leaf hash has {merkle.HASH_BYTES} bytes")
        completed: list[tuple[TileId, bytes]] = []
        position = 0
        while position < len(leaves):
            room = TILE_WIDTH - len(self._levels[0])
            taken = leaves[position : position + room]
            self._levels[0].extend(taken)
            self._size += len(taken)
            position += len(taken)
            completed += self._complete()
        return completed

    def partial_tiles(self) -> list[tuple[TileId, bytes]]:
        """The partial tiles of the tree as it is now, the lowest level first."""
        return [
            (
                TileId(level, self._size >> (_TILE_HEIGHT * (level + 1)), len(hashes)),
                b"".join(hashes),
            )
            for level, hashes in enumerate(self._levels)
            if hashes
        ]

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        edge: list[bytes] = []
        for hashes in reversed(self._levels):
            edge += _peaks(hashes)
        if not edge:
            return merkle.EMPTY_ROOT
        root = edge.pop()
        while edge:
            root = merkle.node_hash(edge.pop(), root)
        return root

    def _complete(self) -> Iterator[tuple[TileId, bytes]]:
        level = 0
        while len(self._levels[level]) == TILE_WIDTH:
            hashes, self._levels[level] = self._levels[level], []
            index = (self._size >> (_TILE_HEIGHT * (level + 1))) - 1
            yield TileId(level, index), b"".join(hashes)
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(_tile_root(hashes))


# --- reading tiles --------------------------------------------------------------------------------


class TiledTree:
    """The tree under a verified checkpoint, read from tiles that nobody vouches for.

    Args:
        size: of the tree, from the checkpoint.
        root: of the tree, from the checkpoint.
        read: gives the bytes of a tile; raises what it likes when there is none.

    Invariant: whatever leaves an instance was verified against ``root``.
    """

    __slots__ = ("_cache", "_read", "_root", "_size")

    def __init__(self, size: int, root: bytes, read: Callable[[TileId], bytes]) -> None:
        self._size = size
        self._root = root
        self._read = read
        self._cache: dict[tuple[int, int], tuple[bytes, ...]] = {}

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def verify_root(self) -> bytes:
        """Recompute the root from the tiles of the right edge; returns it.

        Raises:
            DocumentError: a tile is malformed.
            VerificationError: the tiles have another root than the checkpoint.
        """
        computed = self._hash(0, self._size) if self._size else merkle.EMPTY_ROOT
        if computed != self._root:
            raise VerificationError("the tiles have another root than the checkpoint")
        return computed

    def leaf_hash(self, index: int) -> bytes:
        """The hash of leaf ``index``, proven.

        Raises:
            ValueError: no such leaf.
            DocumentError: a tile is malformed.
            VerificationError: the tiles do not lead to the root.
        """
        self.inclusion_proof(index)
        return self._hash(index, index + 1)

    def inclusion_proof(self, index: int) -> tuple[bytes, ...]:
        """The inclusion proof of leaf ``index``, verified.

        Raises:
            ValueError: no such leaf.
            DocumentError: a tile is malformed.
            VerificationError: the tiles do not lead to the root.
        """
        proof = merkle.inclusion_path(index, self._size, self._hash)
        leaf = self._hash(index, index + 1)
        merkle.verify_inclusion(leaf, index, self._size, proof, self._root)
        return proof

    def consistency_proof(self, size1: int, root1: bytes) -> tuple[bytes, ...]:
        """The proof that the tree of ``size1`` leaves with ``root1`` is a prefix, verified.

        Raises:
            ValueError: not ``0 < size1 <= size``.
            DocumentError: a tile is malformed.
            VerificationError: it is no prefix, or the tiles do not lead to the root.
        """
        proof = merkle.consistency_path(size1, self._size, self._hash)
        merkle.verify_consistency(size1, self._size, proof, root1, self._root)
        return proof

    def _hash(self, low: int, high: int) -> bytes:
        """Root over leaves ``low`` to ``high`` exclusive; ``low`` is aligned as in RFC 6962."""
        count = high - low
        if count & (count - 1):
            middle = low + merkle.split(count)
            return merkle.node_hash(self._hash(low, middle), self._hash(middle, high))
        level = (count.bit_length() - 1) // _TILE_HEIGHT
        first, last = (position >> (_TILE_HEIGHT * level) for position in (low, high))
        index, offset = divmod(first, TILE_WIDTH)
        hashes = self._tile(level, index)[offset : offset + last - first]
        return _tile_root(hashes)

    def _tile(self, level: int, index: int) -> tuple[bytes, ...]:
        if (level, index) not in self._cache:
            width = tile_width(level, index, self._size)
            tile = TileId(level, index, width)
            self._cache[level, index] = parse_tile(self._read(tile), width)
        return self._cache[level, index]


def _require_growth(old_size: int, new_size: int) -> None:
    if not 0 <= old_size <= new_size <= merkle.MAX_SIZE:
        raise ValueError("a log grows")


def _new_in_level(level: int, old_size: int, new_size: int) -> Iterator[TileId]:
    shift = _TILE_HEIGHT * max(level, 0)
    old, new = old_size >> shift, new_size >> shift
    if new == old:
        return
    for index in range(old // TILE_WIDTH, -(-new // TILE_WIDTH)):
        yield TileId(level, index, tile_width(level, index, new_size))


def _peaks(hashes: Sequence[bytes]) -> list[bytes]:
    """Roots of the maximal complete subtrees over hashes of one tile, from left to right."""
    edge = merkle.CompactRange()
    edge.extend(hashes)
    return list(edge.hashes)


def _tile_root(hashes: Sequence[bytes]) -> bytes:
    """Root of the complete subtree over a power of two of hashes."""
    row = hashes
    while len(row) > 1:
        row = merkle.parents(row)
    return row[0]
