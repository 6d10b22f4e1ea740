"""The review pack: everything of a log that an auditor needs, as one file.

A POSIX ``ustar`` archive with exactly these members, in this order::

    stayput-review-pack          the format and its version
    checkpoint                   the newest checkpoint, with cosignatures
    tile/entries/…, tile/0/…     256 entries, and their leaf hashes
    tile/1/…                     every upper tile that these complete
    checkpoints/<size>           earlier cosigned checkpoints of sizes reached by now
    proofs/<index>               tlog-proofs of released results, in such a checkpoint
    …                            and again, to the last entry

Unpacked it is a C2SP tlog-tiles folder that other tools read.  Keys are not in it: the first entry
is the member list, rotations are entries, and whom to trust is told separately: a pack never
carries a policy.

One log has one pack for one choice of checkpoints: headers say nothing but name and size, and order
is fixed, so that nothing can stand twice, hide behind the end, or leave the folder it is unpacked
in.  Every size is bounded before it is read; a reader holds one group of 256 entries.

Not here: whether anything in it is true (:mod:`stayput.audit.examine`).
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, Final

from stayput.errors import DocumentError
from stayput.tlog import merkle, tiles
from stayput.tlog.checkpoint import claimed_checkpoint
from stayput.tlog.note import MAX_NOTE_BYTES
from stayput.tlog.proof import MAX_PROOF_BYTES, Proof
from stayput.tlog.tiles import ENTRIES, TILE_WIDTH, TileId

FORMAT_NAME: Final = "stayput-review-pack"
FORMAT: Final = b"stayput review pack, version 1\n"
CHECKPOINT_NAME: Final = "checkpoint"

MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (tiles.MAX_ENTRY_BYTES + 2)

_BLOCK: Final = 512
_NAME: Final = re.compile(rb"([\x21-\x7e]{1,99})\0+")
_MILESTONE: Final = re.compile(r"checkpoints/(0|[1-9][0-9]{0,18})", re.ASCII)
_PROOF: Final = re.compile(r"proofs/(0|[1-9][0-9]{0,18})", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Group:
    """Up to 256 entries in a row, and what stands with them; nothing is verified.

    ``bundle`` are the entries as they lie in the file; ``tile`` is the tile of level 0 over them,
    ``upper`` the tiles above, ``notes`` are checkpoints by size, ``proofs`` by index of the entry.
    """

    index: int
    bundle: bytes
    entries: tuple[bytes, ...]
    tile: bytes
    upper: tuple[tuple[TileId, bytes], ...]
    notes: tuple[tuple[int, bytes], ...]
    proofs: tuple[tuple[int, bytes], ...]

    @property
    def first(self) -> int:
        """Index of the first entry."""
        return self.index * TILE_WIDTH

    @property
    def entries_name(self) -> str:
        """The member that holds the entries."""
        return tiles.tile_path(ENTRIES, self.index, len(self.entries))

    @property
    def tile_name(self) -> str:
        """The member that holds the tile of level 0."""
        return tiles.tile_path(0, self.index, len(self.entries))


def milestone_name(size: int) -> str:
    """The member that holds the earlier checkpoint of this size."""
    return f"checkpoints/{size}"


def proof_name(index: int) -> str:
    """The member that holds the proof of this entry."""
    return f"proofs/{index}"


def _upper_tiles(index: int, size: int) -> Iterator[TileId]:
    """The tiles above level 0 that stand with group ``index`` of a log of ``size`` entries."""
    done = min((index + 1) * TILE_WIDTH, size)
    for level in range(1, tiles.MAX_LEVEL):
        count = done >> (8 * level)
        if not count:
            return
        full, width = divmod(count, TILE_WIDTH)
        if width == 0 and done % (1 << (8 * level)) == 0:
            yield TileId(level, full - 1)
        elif width and done == size:
            yield TileId(level, full, width)


# --- writing --------------------------------------------------------------------------------------


def write_pack(
    out: BinaryIO,
    entries: Iterable[bytes],
    checkpoint: bytes,
    *,
    milestones: Mapping[int, bytes],
    proven: Mapping[int, bytes],
) -> None:
    """Write a pack.

    Args:
        out: takes the bytes.
        entries: the log from entry 0, at least as many as the checkpoint has.
        checkpoint: the newest cosigned checkpoint.
        milestones: earlier checkpoints by size.
        proven: by index of an entry, the checkpoint in which to prove that it is in the log.

    Raises:
        ValueError: fewer entries, or a checkpoint without the entry that it is to prove or newer
            than ``checkpoint``.
        DocumentError: not a checkpoint, or an entry is too large.
    """
    size = claimed_checkpoint(checkpoint).size
    sizes = {index: claimed_checkpoint(note).size for index, note in proven.items()}
    if (
        any(not index < sizes[index] <= size for index in proven)
        or max(milestones, default=0) > size
    ):
        raise ValueError("a checkpoint in the pack has not the entry, or is newer than the newest")
    by_size = sorted((sizes[index], index) for index in proven)
    _write_member(out, FORMAT_NAME, FORMAT)
    _write_member(out, CHECKPOINT_NAME, checkpoint)
    tree = merkle.Tree()
    pending = iter(entries)
    for index in range(-(-size // TILE_WIDTH)):
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        group = list(itertools.islice(pending, width))
        if len(group) < width:
            raise ValueError("there are fewer entries than the checkpoint has")
        leaves = merkle.leaf_hashes(group)
        tree.extend(leaves)
        bundle = tiles.encode_entry_bundle(group)
        _write_member(out, tiles.tile_path(ENTRIES, index, width), bundle)
        _write_member(out, tiles.tile_path(0, index, width), b"".join(leaves))
        for tile in _upper_tiles(index, size):
            _write_member(out, tile.path, tiles.tile_of(tree, tile))
        reached = range(index * TILE_WIDTH + 1, tree.size + 1)
        for milestone in sorted(milestones.keys() & set(reached)):
            _write_member(out, milestone_name(milestone), milestones[milestone])
        here = sorted(entry for at, entry in _between(by_size, reached))
        for entry in here:
            hashes = tree.inclusion_proof(entry, sizes[entry])
            proof = Proof(entry, hashes, proven[entry]).encode()
            _write_member(out, proof_name(entry), proof)
    out.write(bytes(2 * _BLOCK))


def _between(by_size: list[tuple[int, int]], reached: range) -> list[tuple[int, int]]:
    low = bisect.bisect_left(by_size, (reached.start, -1))
    return by_size[low : bisect.bisect_left(by_size, (reached.stop, -1))]


def _write_member(out: BinaryIO, name: str, data: bytes) -> None:
    out.write(_header(name.encode("ascii"), len(data)))
    out.write(data)
    out.write(bytes(-len(data) % _BLOCK))


def _header(name: bytes, size: int) -> bytes:
    """A ``ustar`` header (POSIX.1-2017, pax, "ustar Interchange Format") that says only this."""
    fields = (
        name.ljust(100, b"\0"),
        b"0000644\0" + 2 * b"0000000\0",  # mode, owner, group
        b"%011o\0" % size,
        b"%011o\0" % 0,  # time
        8 * b" ",  # the sum of all bytes, counted as if it were spaces
        b"0".ljust(101, b"\0"),  # a plain file; no link
        b"ustar\x0000".ljust(72, b"\0"),  # no names of owner and group
        2 * b"0000000\0",  # no device
        bytes(155 + 12),  # no prefix
    )
    head = b"".join(fields)
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


# --- reading --------------------------------------------------------------------------------------


class Pack:
    """Reads a pack once, from its start to its end; verifies nothing but the format.

    Attributes:
        note: the newest checkpoint, a signed note.
        claimed: what it says.

    Raises:
        DocumentError: not a pack.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._archive = _Archive(source)
        if self._archive.take(FORMAT_NAME, len(FORMAT)) != FORMAT:
            raise DocumentError(f"{FORMAT_NAME}: a review pack of another version", hint=_MAKE_ONE)
        self.note = self._archive.take(CHECKPOINT_NAME, MAX_NOTE_BYTES)
        try:
            self.claimed = claimed_checkpoint(self.note)
        except DocumentError as error:
            raise DocumentError(f"{CHECKPOINT_NAME}: {error.message}") from None

    def groups(self) -> Iterator[Group]:
        """The groups, in order.

        Raises:
            DocumentError: the file is not as it has to be; the message names the member.
        """
        for index in range(-(-self.claimed.size // TILE_WIDTH)):
            yield self._group(index)
        self._archive.require_end()

    def _group(self, index: int) -> Group:
        size = self.claimed.size
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        name = tiles.tile_path(ENTRIES, index, width)
        bundle = self._archive.take(name, MAX_BUNDLE_BYTES)
        try:
            entries = tiles.parse_entry_bundle(bundle, width)
        except DocumentError as error:
            raise DocumentError(f"{name}: {error.message}", hint=error.hint) from None
        tile = self._tile(TileId(0, index, width))
        upper = tuple((tile, self._tile(tile)) for tile in _upper_tiles(index, size))
        reached = range(index * TILE_WIDTH + 1, index * TILE_WIDTH + width + 1)
        notes = tuple(self._numbered(_MILESTONE, reached, MAX_NOTE_BYTES))
        proofs = tuple(self._numbered(_PROOF, range(reached.stop - 1), MAX_PROOF_BYTES))
        return Group(index, bundle, entries, tile, upper, notes, proofs)

    def _tile(self, tile: TileId) -> bytes:
        data = self._archive.take(tile.path, TILE_WIDTH * merkle.HASH_BYTES)
        if len(data) != tile.width * merkle.HASH_BYTES:
            raise DocumentError(f"{tile.path}: not {tile.width} hashes")
        return data

    def _numbered(
        self, pattern: re.Pattern[str], allowed: range, limit: int
    ) -> Iterator[tuple[int, bytes]]:
        previous = -1
        while (name := self._archive.name) is not None and (match := pattern.fullmatch(name)):
            number = int(match[1])
            if not previous < number or number not in allowed:
                raise DocumentError(f"{name}: not in its place")
            previous = number
            yield number, self._archive.take(name, limit)


_MAKE_ONE: Final = "make a pack with `stayput log pack FILE`"


class _Archive:
    """The members of an archive, one after the other; ``name`` is that of the next one."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.name: str | None = ""
        self._size = 0
        self._advance()

    def take(self, name: str, limit: int) -> bytes:
        """The contents of the next member, which has to be this one."""
        if self.name != name:
            raise self._misplaced(name)
        if self._size > limit:
            raise DocumentError(f"{name}: {self._size:,} bytes, {limit:,} at most")
        data = self._read(self._size)
        if self._read(-self._size % _BLOCK).strip(b"\0"):
            raise DocumentError(f"{name}: there is something behind its end")
        self._advance()
        return data

    def require_end(self) -> None:
        """There is no further member, and no further byte."""
        if self.name is not None:
            raise self._misplaced("the end of the pack")
        if self._source.read(1):
            raise DocumentError("there is something behind the end of the pack")

    def _advance(self) -> None:
        before, header = self.name, self._read(_BLOCK)
        if header == bytes(_BLOCK):
            if self._read(_BLOCK) != bytes(_BLOCK):
                raise DocumentError(f"the end of the pack, after {before}, is damaged")
            self.name = None
            return
        name = _NAME.fullmatch(header[:100])
        digits = header[124:135]
        known = name is not None and digits.isdigit() and not digits.strip(b"01234567")
        size = int(digits, 8) if known else 0
        if name is None or header != _header(name[1], size):
            if name is not None:
                _refuse_policy(name[1].decode("ascii"))
            after = f"the header after {before}" if before else "its first header"
            raise DocumentError(f"not a review pack, or damaged: {after}", hint=_MAKE_ONE)
        self.name, self._size = name[1].decode("ascii"), size

    def _read(self, count: int) -> bytes:
        data = self._source.read(count)
        if len(data) < count:
            raise DocumentError(
                f"the pack ends too early, in {self.name or 'its beginning'}",
                hint="it was cut off: copy it again, and compare sizes",
            )
        return data

    def _misplaced(self, expected: str) -> DocumentError:
        found = self.name
        _refuse_policy(found or "")
        return DocumentError(
            f"{'the end' if found is None else found} stands where {expected} belongs"
        )


def _refuse_policy(name: str) -> None:
    if "policy" in name.lower():
        raise DocumentError(
            f"{name}: a pack never carries a policy",
            hint="whom to trust is told separately: `stayput audit PACK --policy FILE`",
        )
