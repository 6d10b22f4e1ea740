"""The Merkle tree against published vectors and against a tree written straight from the RFC."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.errors import VerificationError
from stayput.tlog import merkle

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "transparency-dev-merkle"
PROBES = sorted(VECTORS.rglob("*.json"))


# --- published vectors ----------------------------------------------------------------------------


def test_the_inclusion_vectors_are_complete() -> None:
    if not VECTORS.is_dir():
        pytest.skip(f"no published vectors at {VECTORS}")
    assert len(PROBES) == 98


@pytest.mark.parametrize("path", PROBES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_inclusion_probe(path) -> None:
    probe = json.loads(path.read_text())
    leaf, root = (base64.b64decode(probe[name] or "") for name in ("leafHash", "root"))
    proof = [base64.b64decode(value) for value in probe["proof"] or []]
    arguments = (leaf, probe["leafIdx"], probe["treeSize"], proof, root)
    if probe["wantErr"]:
        with pytest.raises(VerificationError):
            merkle.verify_inclusion(*arguments)
    else:
        assert merkle.verify_inclusion(*arguments) == leaf


def test_rfc6962_tree(vectors) -> None:
    published = vectors("derived/rfc6962-tree.json")
    leaves = [merkle.leaf_hash(bytes.fromhex(text)) for text in published["leaf_inputs_hex"]]
    roots = [bytes.fromhex(text) for text in published["root_hashes_by_size"]]
    edge, tree = merkle.CompactRange(), merkle.Tree()
    assert len(roots) == len(leaves) + 1
    for size, root in enumerate(roots):
        assert edge.root() == tree.root() == root
        assert edge.size == tree.size == size
        if size < len(leaves):
            edge.append(leaves[size])
            tree.append(leaves[size])
    # The file lists the complete subtrees level by level: 8 leaves, 4, 2, 1.
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append(
            [merkle.node_hash(*below[i : i + 2]) for i in range(0, len(below) // 2 * 2, 2)]
        )
    flat = [value.hex() for level in levels for value in level]
    assert flat == published["node_hashes_flat"]
    hasher = published["hasher"]
    assert merkle.EMPTY_ROOT.hex() == hasher["empty"]
    assert merkle.leaf_hash(b"").hex() == hasher["leaf_empty"]
    assert merkle.leaf_hash(b"L123456").hex() == hasher["leaf_L123456"]
    assert merkle.node_hash(b"N123", b"N456").hex() == hasher["node_N123_N456"]


# --- an independent tree: the definitions of RFC 6962 section 2.1, slice by slice -----------------


def naive_root(entries: list[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = naive_split(len(entries))
    return hashlib.sha256(b"\1" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def naive_split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_path(m: int, entries: list[bytes]) -> list[bytes]:
    if len(entries) == 1:
        return []
    k = naive_split(len(entries))
    if m < k:
        return [*naive_path(m, entries[:k]), naive_root(entries[k:])]
    return [*naive_path(m - k, entries[k:]), naive_root(entries[:k])]


def naive_subproof(m: int, entries: list[bytes], b: bool) -> list[bytes]:
    if m == len(entries):
        return [] if b else [naive_root(entries)]
    k = naive_split(len(entries))
    if m <= k:
        return [*naive_subproof(m, entries[:k], b), naive_root(entries[k:])]
    return [*naive_subproof(m - k, entries[k:], False), naive_root(entries[:k])]


ENTRIES = st.lists(st.binary(max_size=3), min_size=1, max_size=70)


@settings(deadline=None, max_examples=60)
@given(ENTRIES, st.data())
def test_roots_and_proofs_are_those_of_the_definition(entries: list[bytes], data) -> None:
    size2 = data.draw(st.integers(1, len(entries)))
    size1 = data.draw(st.integers(1, size2))
    index = data.draw(st.integers(0, size2 - 1))
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    tree, edge = merkle.Tree(leaves), merkle.CompactRange()
    for leaf in leaves[:size2]:
        edge.append(leaf)
    root1, root2 = naive_root(entries[:size1]), naive_root(entries[:size2])

    assert edge.root() == root2
    assert tree.root(size2) == root2
    assert tree.root() == naive_root(entries)
    inclusion = tree.inclusion_proof(index, size2)
    assert list(inclusion) == naive_path(index, entries[:size2])
    assert merkle.inclusion_proof(leaves, index, size2) == inclusion
    consistency = tree.consistency_proof(size1, size2)
    assert list(consistency) == naive_subproof(size1, entries[:size2], True)
    assert merkle.consistency_proof(leaves, size1, size2) == consistency

    merkle.verify_inclusion(leaves[index], index, size2, inclusion, root2)
    assert merkle.verify_consistency(size1, size2, consistency, root1, root2) == root2


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 70), st.data())
def test_a_changed_proof_is_refused(size2: int, data) -> None:
    entries = [bytes([i]) for i in range(size2)]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    size1 = data.draw(st.integers(1, size2 - 1))
    index = data.draw(st.integers(0, size2 - 1))
    root1, root2 = naive_root(entries[:size1]), naive_root(entries)
    bit = data.draw(st.integers(0, 255))

    inclusion = merkle.inclusion_proof(leaves, index, size2)
    place = data.draw(st.integers(0, len(inclusion) - 1))
    for proof in mutations(inclusion, place, bit):
        with pytest.raises(VerificationError):
            merkle.verify_inclusion(leaves[index], index, size2, proof, root2)
    other = (index + 1) % size2
    for arguments in [
        (leaves[other], index, size2, inclusion, root2),
        (leaves[index], other, size2, inclusion, root2),
        (leaves[index], index, size2, inclusion, flip(root2, bit)),
        (leaves[index], -1, size2, inclusion, root2),
        (leaves[index], size2, size2, inclusion, root2),
    ]:
        with pytest.raises(VerificationError):
            merkle.verify_inclusion(*arguments)

    consistency = merkle.consistency_proof(leaves, size1, size2)
    place = data.draw(st.integers(0, len(consistency) - 1))
    for proof in mutations(consistency, place, bit):
        with pytest.raises(VerificationError):
            merkle.verify_consistency(size1, size2, proof, root1, root2)
    for arguments in [
        (size1, size2, consistency, flip(root1, bit), root2),
        (size1, size2, consistency, root1, flip(root2, bit)),
        (size2, size1, consistency, root1, root2),
        (0, size2, consistency, root1, root2),
        (0, size2, (), merkle.EMPTY_ROOT, root2),
    ]:
        with pytest.raises(VerificationError):
            merkle.verify_consistency(*arguments)


def flip(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ (1 << bit)).to_bytes(len(value), "big")


def mutations(proof: tuple[bytes, ...], place: int, bit: int) -> list[tuple[bytes, ...]]:
    before, value, after = proof[:place], proof[place], proof[place + 1 :]
    return [
        (*before, flip(value, bit), *after),
        (*before, *after),
        (*before, value, value, *after),
        (*before, value[:-1], *after),
        (*proof, bytes(32)),
        (bytes(32), *proof),
    ]


def test_one_size_has_one_root() -> None:
    root = merkle.leaf_hash(b"x")
    assert merkle.verify_consistency(1, 1, (), root, root) == root
    for proof, root2 in [((), flip(root, 0)), ((root,), root)]:
        with pytest.raises(VerificationError):
            merkle.verify_consistency(1, 1, proof, root, root2)


def test_an_inner_node_is_no_entry() -> None:
    # Second preimage: the entry 0x01 || left || right, or left || right, against the inner node.
    a, b = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    root = merkle.node_hash(a, b)
    for forged in (a + b, b"\x01" + a + b):
        with pytest.raises(VerificationError):
            merkle.verify_inclusion(merkle.leaf_hash(forged), 0, 1, (), root)


# --- state ----------------------------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(0, 20))
@settings(deadline=None, max_examples=30)
def test_a_compact_range_goes_on_where_it_was_stored(size: int, more: int) -> None:
    leaves = [merkle.leaf_hash(bytes([i])) for i in range(size + more)]
    whole = merkle.CompactRange()
    for leaf in leaves[:size]:
        whole.append(leaf)
    restored, copied = merkle.CompactRange(whole.size, whole.hashes), whole.copy()
    kept = whole.root()
    for leaf in leaves[size:]:
        restored.append(leaf)
        copied.append(leaf)
    assert restored.root() == copied.root() == merkle.Tree(leaves).root()
    assert whole.root() == kept
    assert len(whole.hashes) == size.bit_count()


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(-1, ()), (1, ()), (0, (bytes(32),)), (3, (bytes(32),)), (1, (bytes(31),)), (2**63, ())],
)
def test_a_compact_range_that_cannot_be(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="hash"):
        merkle.CompactRange(size, hashes)


@settings(deadline=None, max_examples=60)
@given(
    parts=st.lists(st.integers(0, 20), max_size=6),
    singly=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_many_leaves_at_once_are_the_same_as_one_by_one(
    parts: list[int], singly: list[bool]
) -> None:
    leaves = merkle.leaf_hashes(str(number).encode() for number in range(sum(parts)))
    edge, tree, start = merkle.CompactRange(), merkle.Tree(), 0
    for count, one_by_one in zip(parts, singly, strict=False):
        part = leaves[start : start + count]
        start += count
        if one_by_one:
            for leaf in part:
                edge.append(leaf)
                tree.append(leaf)
        else:
            edge.extend(part)
            tree.extend(iter(part))
        root = naive_root([str(number).encode() for number in range(start)])
        assert edge.size == tree.size == start
        assert edge.root() == tree.root() == root
        assert merkle.CompactRange(edge.size, edge.hashes).root() == root
    for size in range(1, start + 1):
        assert tree.inclusion_proof(size - 1) == merkle.inclusion_proof(leaves, size - 1, start)


def test_subtree_roots_of_a_tree() -> None:
    leaves = merkle.leaf_hashes([b"0", b"1", b"2", b"3", b"4"])
    tree = merkle.Tree(leaves)
    assert tree.hashes(0, 1, 5) == leaves[1:]
    assert tree.hashes(1, 0, 2) == merkle.parents(leaves)
    assert tree.hashes(2, 0, 1) == [tree.root(4)]
    assert tree.hashes(0, 5, 5) == []
    for bad in ((0, 0, 6), (1, 2, 3), (3, 0, 1), (-1, 0, 1), (0, 2, 1), (0, -1, 1)):
        with pytest.raises(ValueError, match="smaller"):
            tree.hashes(*bad)


def test_a_full_tree_takes_no_more() -> None:
    full = merkle.CompactRange(merkle.MAX_SIZE, [bytes(32)] * 63)
    with pytest.raises(ValueError, match="2\\*\\*63"):
        full.append(bytes(32))
    with pytest.raises(ValueError, match="2\\*\\*63"):
        full.extend([bytes(32)])
    assert full.size == merkle.MAX_SIZE


def test_only_hashes_are_appended() -> None:
    for target in (merkle.CompactRange(), merkle.Tree()):
        with pytest.raises(ValueError, match="32 bytes"):
            target.append(b"entry")
        with pytest.raises(ValueError, match="32 bytes"):
            target.extend([bytes(32), b"entry"])
        assert target.root() == merkle.EMPTY_ROOT


def test_proofs_of_what_is_not_there() -> None:
    leaves = [merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")]
    tree = merkle.Tree(leaves)
    for make in (
        lambda: tree.inclusion_proof(2),
        lambda: tree.inclusion_proof(-1),
        lambda: tree.inclusion_proof(0, 3),
        lambda: tree.consistency_proof(0),
        lambda: tree.consistency_proof(2, 1),
        lambda: tree.root(3),
        lambda: merkle.inclusion_proof(leaves, 2, 3),
        lambda: merkle.inclusion_proof(leaves, 1, 1),
        lambda: merkle.consistency_proof(leaves, 1, 3),
    ):
        with pytest.raises(ValueError, match=r"no such|smaller"):
            make()


def test_the_largest_indices_verify() -> None:
    # A tree of 2**63 - 1 leaves whose last leaf is the only one we know: its path is 62 hashes.
    leaf, proof = merkle.leaf_hash(b"last"), [bytes([i]) * 32 for i in range(62)]
    root = leaf
    for sibling in proof:
        root = merkle.node_hash(sibling, root)
    size = merkle.MAX_SIZE
    merkle.verify_inclusion(leaf, size - 1, size, proof, root)
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(leaf, size, size + 1, proof, root)
