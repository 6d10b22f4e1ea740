"""The Merkle tree of the log: RFC 6962 section 2.1, proofs as verified in RFC 9162 section 2.1.

Three forms of one tree: :class:`CompactRange` keeps O(log n) hashes and gives only the newest
root; :class:`Tree` keeps all and gives roots and proofs of every size; the functions work on a
plain list of leaf hashes.  Leaves and inner nodes are hashed under different prefixes, so that
nobody can pass off an inner node as an entry.

Nothing here knows who signed a root (:mod:`stayput.tlog.checkpoint`) or what an entry says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from stayput.errors import VerificationError

HASH_BYTES = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without entries (RFC 6962 section 2.1)."""

MAX_SIZE = 2**63 - 1
"""Largest tree size: what a signed 64-bit integer holds, in every language that verifies us."""

MAX_PROOF_HASHES = 63
"""Longest inclusion proof of a tree of ``MAX_SIZE`` leaves."""

_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || entry)."""
    return _sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The hashes of many leaves, in order."""
    return [_sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()


def parents(row: Sequence[bytes]) -> list[bytes]:
    """The inner nodes over each pair of a row of hashes; a last one without a sibling is left out.

    One loop over a row costs a third less than a call of :func:`node_hash` per pair.
    """
    return [
        _sha256(b"\x01" + left + right).digest()
        for left, right in zip(row[::2], row[1::2], strict=False)
    ]


class CompactRange:
    """The right edge of a tree: enough to append leaves and to know the root.

    ``hashes`` are the roots of the maximal complete subtrees from left to right, one per set bit
    of ``size``; ``CompactRange(range.size, range.hashes)`` restores a stored one.

    Args:
        size: number of leaves.
        hashes: roots of the complete subtrees, the largest first.

    Raises:
        ValueError: not as many hashes of 32 bytes as ``size`` has set bits.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self._size = size
        self._hashes = list(hashes)
        if not 0 <= size <= MAX_SIZE or len(self._hashes) != size.bit_count():
            raise ValueError("a compact range has one hash per set bit of its size")
        if any(len(value) != HASH_BYTES for value in self._hashes):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, the largest first."""
        return tuple(self._hashes)

    def copy(self) -> CompactRange:
        """An independent range of the same tree."""
        return CompactRange(self._size, self._hashes)

    def append(self, leaf: bytes) -> None:
        """Append a leaf, given as its hash. Amortised two hashes.

        Raises:
            ValueError: not a hash of 32 bytes, or the tree is full.
        """
        if len(leaf) != HASH_BYTES or self._size == MAX_SIZE:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes and a tree at most 2**63 - 1")
        hashes, carry = self._hashes, self._size
        while carry & 1:  # like binary addition: equal subtrees merge
            leaf = _sha256(b"\x01" + hashes.pop() + leaf).digest()
            carry >>= 1
        hashes.append(leaf)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append many leaves, given as their hashes; faster than one by one.

        Raises:
            ValueError: not hashes of 32 bytes, or the tree is full.
        """
        row = _hash_row(leaves)
        size, grown = self._size, self._size + len(row)
        if grown > MAX_SIZE:
            raise ValueError("a tree has at most 2**63 - 1 leaves")
        waiting, edge = self._hashes, []  # waiting: the smallest subtree last; edge: it comes first
        for level in range(grown.bit_length()):
            if size >> level & 1:
                row.insert(0, waiting.pop())
            if len(row) % 2:
                edge.append(row.pop())
            row = parents(row)
        self._hashes, self._size = edge[::-1], grown

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in self._hashes[-2::-1]:
            root = node_hash(left, root)
        return root


class Tree:
    """All complete subtrees of a growing log: roots and proofs in O(log² n).

    Holds at most two hashes per leaf.
    """

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]  # level k: roots of complete subtrees of 2**k leaves
        self.extend(leaf_hashes)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Append a leaf, given as its hash. Amortised two hashes.

        Raises:
            ValueError: not a hash of 32 bytes.
        """
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes")
        level = 0
        self._levels[0].append(leaf)
        while len(self._levels[level]) % 2 == 0:
            left, right = self._levels[level][-2:]
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(node_hash(left, right))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append many leaves, given as their hashes; faster than one by one.

        Raises:
            ValueError: not hashes of 32 bytes.
        """
        row = _hash_row(leaves)
        level = 0
        while row:
            if level == len(self._levels):
                self._levels.append([])
            below = self._levels[level]
            below.extend(row)
            done = 2 * len(self._levels[level + 1]) if level + 1 < len(self._levels) else 0
            row = parents(below[done:])
            level += 1

    def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Roots ``start`` to ``stop`` exclusive of the complete subtrees of ``2**level`` leaves.

        Raises:
            ValueError: the tree has not so many.
        """
        row = self._levels[level] if 0 <= level < len(self._levels) else []
        _require_range(0 <= start <= stop <= len(row), "the tree is smaller")
        return row[start:stop]

    def root(self, size: int | None = None) -> bytes:
        """The root when the tree had ``size`` leaves; of the whole tree by default.

        Raises:
            ValueError: the tree is smaller than ``size``.
        """
        size = self.size if size is None else size
        _require_range(0 <= size <= self.size, "the tree is smaller")
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Hashes from the leaf's sibling up, for the tree of ``size`` leaves.

        Raises:
            ValueError: no leaf ``index`` in a tree of that size, or the tree is smaller.
        """
        size = self.size if size is None else size
        _require_range(size <= self.size, "the tree is smaller")
        return inclusion_path(index, size, self._subtree)

    def consistency_proof(self, size1: int, size2: int | None = None) -> tuple[bytes, ...]:
        """Proof that the tree of ``size1`` leaves is a prefix of that of ``size2``.

        Raises:
            ValueError: not ``0 < size1 <= size2 <=`` the size of the tree.
        """
        size2 = self.size if size2 is None else size2
        _require_range(size2 <= self.size, "the tree is smaller")
        return consistency_path(size1, size2, self._subtree)

    def _subtree(self, low: int, high: int) -> bytes:
        """Root over leaves ``low`` to ``high`` exclusive; ``low`` is aligned as in RFC 6962."""
        count = high - low
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self._levels[level][low >> level]
        middle = low + split(count)
        return node_hash(self._subtree(low, middle), self._subtree(middle, high))


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int, size: int) -> tuple[bytes, ...]:
    """Inclusion proof of leaf ``index`` in the tree of the first ``size`` leaves; O(size).

    Keep a :class:`Tree` where many proofs are wanted.

    Raises:
        ValueError: no such leaf in a tree of that size, or too few leaf hashes.
    """
    _require_range(size <= len(leaf_hashes), "no such leaf in a tree of that size")
    return inclusion_path(index, size, _over(leaf_hashes))


def consistency_proof(leaf_hashes: Sequence[bytes], size1: int, size2: int) -> tuple[bytes, ...]:
    """Proof that the tree of the first ``size1`` leaves is a prefix of that of ``size2``; O(size).

    Raises:
        ValueError: not ``0 < size1 <= size2 <=`` the number of leaf hashes.
    """
    _require_range(size2 <= len(leaf_hashes), "no such two sizes")
    return consistency_path(size1, size2, _over(leaf_hashes))


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bytes:
    """Verify that a leaf is entry ``index`` of the tree with ``size`` leaves and this root.

    The algorithm of RFC 9162 section 2.1.3.2; ``fn`` and ``sn`` are its names.

    Args:
        leaf: the leaf hash, computed by the caller from the entry.
        proof: hashes from the leaf's sibling up.

    Returns:
        The leaf hash.

    Raises:
        VerificationError: the proof does not hold.
    """
    _require_hashes([leaf, root, *proof])
    if not 0 <= index < size <= MAX_SIZE:
        raise VerificationError(f"a tree of {size} entries has no entry {index}")
    fn, sn, computed = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise VerificationError("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            computed = node_hash(sibling, computed)
        else:
            computed = node_hash(computed, sibling)
        fn, sn = _climb(fn, sn)
    if sn != 0:
        raise VerificationError("the inclusion proof is too short")
    if computed != root:
        raise VerificationError("the inclusion proof leads to another root")
    return leaf


def verify_consistency(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes
) -> bytes:
    """Verify that the tree of ``size1`` entries is a prefix of the tree of ``size2``.

    The algorithm of RFC 9162 section 2.1.4.2.  Nothing is a prefix proof from the empty tree, which
    every tree extends: asking for one is refused, so that a forgotten size cannot pass.

    Returns:
        The verified ``root2``.

    Raises:
        VerificationError: the proof does not hold.
    """
    _require_hashes([root1, root2, *proof])
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise VerificationError(f"no tree of {size1} entries grows to {size2}")
    if size1 == size2:
        if proof or root1 != root2:
            raise VerificationError("two roots for one size of the log")
        return root2
    path = list(proof)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    if not path:
        raise VerificationError("the consistency proof is too short")
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    first = second = path[0]
    for node in path[1:]:
        if sn == 0:
            raise VerificationError("the consistency proof is too long")
        if fn & 1 or fn == sn:
            first = node_hash(node, first)
            second = node_hash(node, second)
        else:
            second = node_hash(second, node)
        fn, sn = _climb(fn, sn)
    if sn != 0:
        raise VerificationError("the consistency proof is too short")
    if first != root1 or second != root2:
        raise VerificationError("the consistency proof leads to other roots")
    return root2


def _climb(fn: int, sn: int) -> tuple[int, int]:
    """The parent of node ``fn`` in a level whose last node is ``sn``, as the RFC's loops have it.

    A last node without a sibling is its own parent: it climbs until it is a right child.
    """
    if fn == sn:
        while fn and not fn & 1:
            fn >>= 1
            sn >>= 1
    return fn >> 1, sn >> 1


# --- the recursions of RFC 6962 section 2.1 over any source of subtree roots ----------------------

Subtree = Callable[[int, int], bytes]
"""Root over leaves ``low`` to ``high`` exclusive, for the ranges that the RFC's recursions name."""


def inclusion_path(index: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Inclusion proof of leaf ``index`` in the tree of ``size`` leaves, from subtree roots.

    Raises:
        ValueError: no such leaf in a tree of that size.
    """
    _require_range(0 <= index < size, "no such leaf in a tree of that size")
    return tuple(_path(index, 0, size, subtree))


def consistency_path(size1: int, size2: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Proof that the tree of ``size1`` leaves is a prefix of that of ``size2``, from subtree roots.

    Raises:
        ValueError: not ``0 < size1 <= size2``.
    """
    _require_range(0 < size1 <= size2, "no such two sizes")
    return tuple(_subproof(size1, 0, size2, True, subtree))


def split(count: int) -> int:
    """The largest power of two smaller than ``count`` (``k`` of the RFC); ``count`` >= 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _path(index: int, low: int, high: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, leaves low..high) of section 2.1.1, from the leaf up."""
    if high - low == 1:
        return []
    middle = low + split(high - low)
    if index < middle:
        return [*_path(index, low, middle, subtree), subtree(middle, high)]
    return [*_path(index, middle, high, subtree), subtree(low, middle)]


def _subproof(size1: int, low: int, high: int, whole: bool, subtree: Subtree) -> list[bytes]:
    """SUBPROOF of section 2.1.2; ``whole`` while the old tree's root is known to the verifier."""
    if size1 == high:
        return [] if whole else [subtree(low, high)]
    middle = low + split(high - low)
    if size1 <= middle:
        return [*_subproof(size1, low, middle, whole, subtree), subtree(middle, high)]
    return [*_subproof(size1, middle, high, False, subtree), subtree(low, middle)]


def _over(leaf_hashes: Sequence[bytes]) -> Subtree:
    """Subtree roots computed from a list of leaf hashes."""

    def subtree(low: int, high: int) -> bytes:
        edge = CompactRange()
        for position in range(low, high):
            edge.append(leaf_hashes[position])
        return edge.root()

    return subtree


def _hash_row(leaves: Iterable[bytes]) -> list[bytes]:
    row = list(leaves)
    if any(len(leaf) != HASH_BYTES for leaf in row):
        raise ValueError(f"a leaf hash has {HASH_BYTES} bytes")
    return row


def _require_range(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_hashes(values: Iterable[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in values):
        raise VerificationError(f"a hash in a proof has {HASH_BYTES} bytes")
