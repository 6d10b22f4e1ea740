"""Tiles: paths, what is new, entry bundles, and that no tile is believed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle, tiles
from stayput.tlog.tiles import ENTRIES, TiledTree, TileEdge, TileId

SIZE = 70_000  # the example of the specification
LEAVES = merkle.leaf_hashes(str(number).encode() for number in range(SIZE))
TREE = merkle.Tree(LEAVES)


def built(size: int, step: int = 1000) -> dict[TileId, bytes]:
    """All tiles of the first ``size`` leaves, as a log that grows by ``step`` writes them."""
    edge, stored = TileEdge(), {}
    for start in range(0, size, step):
        stored.update(edge.extend(LEAVES[start : min(start + step, size)]))
    stored.update(edge.partial_tiles())
    return stored


ALL_TILES = built(SIZE)


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TileId(0, 1_234_067), "tile/0/x001/x234/067"),  # the example of the specification
        (TileId(0, 0), "tile/0/000"),
        (TileId(0, 273, 112), "tile/0/273.p/112"),
        (TileId(1, 999, 1), "tile/1/999.p/1"),
        (TileId(1, 1000, 255), "tile/1/x001/000.p/255"),
        (TileId(63, 0, 1), "tile/63/000.p/1"),
        (TileId(ENTRIES, 1_234_067, 8), "tile/entries/x001/x234/067.p/8"),
        (TileId(0, 2**63 - 1), "tile/0/x009/x223/x372/x036/x854/x775/807"),
    ],
)
def test_paths(tile: TileId, path: str) -> None:
    assert tile.path == tiles.tile_path(tile.level, tile.index, tile.width) == path
    assert tiles.parse_tile_path(path) == tile


TILE_IDS = st.builds(
    TileId, st.integers(ENTRIES, 63), st.integers(0, 2**63 - 1), st.integers(1, 256)
)


@given(tile=TILE_IDS)
def test_every_tile_has_one_path(tile: TileId) -> None:
    assert tiles.parse_tile_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",  # leading zeroes
        "tile/0/001/067",  # no x
        "tile/0/x001",
        "tile/0/X001/067",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/8/-01",
        "tile/data/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/007",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000.p/1_0",
        "tile/0/000\n",
        "tile/0/../0/000",
        "tile/0/x009/x223/x372/x036/x854/x775/808",  # 2**63
        "tile/0/" + "x001/" * 1000 + "000",
        "tile/\uff10/000",
        "tile/0/\u0660\u0660\u0660",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(DocumentError):
        tiles.parse_tile_path(path)


@pytest.mark.parametrize(
    "numbers", [(-2, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, 257)]
)
def test_tiles_that_cannot_be(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="tile"):
        TileId(*numbers)


# --- which tiles there are ------------------------------------------------------------------------


def test_the_tree_of_the_specification() -> None:
    """ "273 full level 0 tiles, one partial level 0 tile of width 112, one full level 1 tile, one
    partial level 1 tile of width 17, and one partial level 2 tile of width 1"."""
    found = list(tiles.new_tiles(0, 70_000))
    assert found == [
        *(TileId(0, index) for index in range(273)),
        TileId(0, 273, 112),
        TileId(1, 0),
        TileId(1, 1, 17),
        TileId(2, 0, 1),
    ]
    assert list(tiles.new_tiles(0, 256)) == [TileId(0, 0), TileId(1, 0, 1)]
    assert list(tiles.new_bundles(0, 600)) == [
        TileId(ENTRIES, 0),
        TileId(ENTRIES, 1),
        TileId(ENTRIES, 2, 88),
    ]


def tiles_of(size: int) -> set[TileId]:
    """By the definition: tile n of level l spans hashes n*256 .. of the floor(size / 256**l)."""
    found = set()
    for level in range(8):
        count = size // 256**level
        found |= {TileId(level, index) for index in range(count // 256)}
        if count % 256:
            found.add(TileId(level, count // 256, count % 256))
    return found


@given(sizes=st.lists(st.integers(0, 200_000), min_size=2, max_size=2).map(sorted))
def test_new_tiles_are_the_difference(sizes: list[int]) -> None:
    old, new = sizes
    found = list(tiles.new_tiles(old, new))
    assert set(found) == tiles_of(new) - tiles_of(old)
    assert len(set(found)) == len(found)
    assert all(tile.width == tiles.tile_width(tile.level, tile.index, new) for tile in found)
    bundles = set(tiles.new_bundles(old, new))
    assert bundles == {TileId(ENTRIES, t.index, t.width) for t in found if t.level == 0}


def test_nothing_is_new_in_the_same_tree_and_a_log_does_not_shrink() -> None:
    for size in (0, 1, 256, 257):
        assert list(tiles.new_tiles(size, size)) == list(tiles.new_bundles(size, size)) == []
    for sizes in ((1, 0), (-1, 0), (0, 2**63)):
        with pytest.raises(ValueError, match="grows"):
            list(tiles.new_tiles(*sizes))
        with pytest.raises(ValueError, match="grows"):
            tiles.new_bundles(*sizes)


def test_the_largest_tree_has_eight_levels() -> None:
    edge = list(tiles.new_tiles(2**62 - 1, 2**62))
    assert {tile.level for tile in edge} == set(range(8))


# --- making them ----------------------------------------------------------------------------------


def test_all_tiles_of_the_example_are_made() -> None:
    assert set(ALL_TILES) == tiles_of(SIZE)
    assert all(len(data) == 32 * tile.width for tile, data in ALL_TILES.items())


def test_each_hash_is_that_of_the_definition() -> None:
    """MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    for tile in (TileId(0, 273, 112), TileId(1, 0), TileId(1, 1, 17), TileId(2, 0, 1)):
        span = 256**tile.level
        for i, value in enumerate(tiles.parse_tile(ALL_TILES[tile], tile.width)):
            start = (tile.index * 256 + i) * span
            edge = merkle.CompactRange()
            edge.extend(LEAVES[start : start + span])
            assert value == edge.root()


@given(size=st.integers(0, 3000), step=st.integers(1, 700))
@settings(deadline=None)
def test_the_tiles_do_not_depend_on_how_the_log_grew(size: int, step: int) -> None:
    stored = built(size, step)
    assert set(stored) == tiles_of(size)
    tree = merkle.Tree(LEAVES[:size])
    for tile, data in stored.items():
        assert tiles.tile_of(tree, tile) == data


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, SIZE])
def test_an_edge_goes_on_where_it_was_stored(size: int) -> None:
    stored = {tile: tiles.tile_of(TREE, tile) for tile in tiles.new_tiles(0, size)}
    edge = TileEdge.restore(size, stored.__getitem__)
    assert edge.size == size
    assert edge.root() == TREE.root(size)
    completed = dict(edge.extend(LEAVES[size : size + 300]))
    completed.update(edge.partial_tiles())
    grown = min(size + 300, SIZE)
    assert edge.root() == TREE.root(grown)
    assert set(completed) <= tiles_of(grown)
    assert set(completed) >= tiles_of(grown) - tiles_of(size)
    assert all(tiles.tile_of(TREE, tile) == data for tile, data in completed.items())


def test_an_edge_from_malformed_tiles() -> None:
    with pytest.raises(DocumentError, match="width 1"):
        TileEdge.restore(257, lambda tile: bytes(31))


def test_one_leaf_at_a_time() -> None:
    edge = TileEdge()
    made = [pair for leaf in LEAVES[:512] for pair in edge.append(leaf)]
    assert [tile for tile, _ in made] == [TileId(0, 0), TileId(0, 1)]
    assert edge.root() == TREE.root(512)
    with pytest.raises(ValueError, match="32 bytes"):
        edge.append(b"short")
    assert edge.size == 512


def test_a_tree_gives_no_tile_that_it_has_not() -> None:
    tree = merkle.Tree(LEAVES[:300])
    for tile in (TileId(0, 1, 45), TileId(0, 2, 1), TileId(1, 0, 2), TileId(2, 0, 1)):
        with pytest.raises(ValueError, match="smaller"):
            tiles.tile_of(tree, tile)
    with pytest.raises(ValueError, match="no entries"):
        tiles.tile_of(tree, TileId(ENTRIES, 0))


# --- reading them ---------------------------------------------------------------------------------


@pytest.fixture
def tiled() -> TiledTree:
    return TiledTree(SIZE, TREE.root(), ALL_TILES.__getitem__)


EDGES = [0, 1, 111, 255, 256, 65_279, 65_280, 65_535, 65_536, 69_887, 69_888, 69_999]


def test_the_root_comes_from_tiles(tiled: TiledTree) -> None:
    assert tiled.verify_root() == TREE.root()
    assert TiledTree(0, merkle.EMPTY_ROOT, ALL_TILES.__getitem__).verify_root() == merkle.EMPTY_ROOT


@pytest.mark.parametrize("index", EDGES)
def test_inclusion_from_tiles(tiled: TiledTree, index: int) -> None:
    assert tiled.inclusion_proof(index) == TREE.inclusion_proof(index)
    assert tiled.leaf_hash(index) == LEAVES[index]


@pytest.mark.parametrize("size", [*(index + 1 for index in EDGES), 12_345])
def test_consistency_from_tiles(tiled: TiledTree, size: int) -> None:
    assert tiled.consistency_proof(size, TREE.root(size)) == TREE.consistency_proof(size)


@given(size=st.integers(1, 3000), data=st.data())
@settings(deadline=None)
def test_smaller_trees_from_tiles(size: int, data: st.DataObject) -> None:
    stored = {tile: tiles.tile_of(TREE, tile) for tile in tiles.new_tiles(0, size)}
    tiled = TiledTree(size, TREE.root(size), stored.__getitem__)
    tiled.verify_root()
    index = data.draw(st.integers(0, size - 1))
    assert tiled.inclusion_proof(index) == TREE.inclusion_proof(index, size)
    old = index + 1
    assert tiled.consistency_proof(old, TREE.root(old)) == TREE.consistency_proof(old, size)


def test_only_tiles_of_this_tree_are_asked_for() -> None:
    """A server may have deleted every partial tile of other sizes."""
    asked: list[TileId] = []

    def read(tile: TileId) -> bytes:
        asked.append(tile)
        return ALL_TILES[tile]

    tiled = TiledTree(SIZE, TREE.root(), read)
    tiled.inclusion_proof(12_345)
    tiled.consistency_proof(54_321, TREE.root(54_321))
    assert set(asked) <= tiles_of(SIZE)
    assert len(asked) == len(set(asked)) <= 12  # logarithmic, and each tile once


@pytest.mark.parametrize(
    ("tile", "index"),  # a leaf whose proof needs the first hash of the tile
    [
        (TileId(0, 0), 0),
        (TileId(0, 273, 112), 0),
        (TileId(1, 1, 17), 0),
        (TileId(2, 0, 1), SIZE - 1),
    ],
)
def test_a_flipped_bit_in_a_tile_is_noticed(tile: TileId, index: int) -> None:
    changed = bytearray(ALL_TILES[tile])
    changed[17] ^= 4
    stored = {**ALL_TILES, tile: bytes(changed)}
    tiled = TiledTree(SIZE, TREE.root(), stored.__getitem__)
    with pytest.raises(VerificationError, match="another root"):
        tiled.leaf_hash(index)
    if tile != TileId(0, 0):  # the others make up the right edge
        with pytest.raises(VerificationError, match="another root"):
            tiled.verify_root()


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\x00", lambda _: b""]
)
def test_tiles_of_another_length(change) -> None:
    tiled = TiledTree(SIZE, TREE.root(), lambda tile: change(ALL_TILES[tile]))
    with pytest.raises(DocumentError, match="width"):
        tiled.verify_root()


def test_another_checkpoint_root_or_history(tiled: TiledTree) -> None:
    lying = TiledTree(SIZE, merkle.leaf_hash(b"x"), ALL_TILES.__getitem__)
    with pytest.raises(VerificationError):
        lying.inclusion_proof(5)
    with pytest.raises(VerificationError):
        tiled.consistency_proof(500, merkle.leaf_hash(b"x"))
    for index in (-1, SIZE):
        with pytest.raises(ValueError, match="no such leaf"):
            tiled.leaf_hash(index)
    for size in (0, SIZE + 1):
        with pytest.raises(ValueError, match="no such two sizes"):
            tiled.consistency_proof(size, TREE.root())


# --- bundles of entries ---------------------------------------------------------------------------


def test_the_layout_of_a_bundle() -> None:
    entries = [b"", b"a", b"b" * 258]
    data = tiles.encode_entry_bundle(entries)
    assert data == b"\x00\x00" + b"\x00\x01a" + b"\x01\x02" + b"b" * 258
    assert tiles.parse_entry_bundle(data) == tuple(entries)
    assert tiles.parse_entry_bundle(data, 3) == tuple(entries)


def test_the_largest_entry_fits_and_one_byte_more_does_not() -> None:
    largest = hashlib.shake_256(b"entry").digest(65_535)
    data = tiles.encode_entry_bundle([largest, largest])
    assert data[:2] == b"\xff\xff"
    assert tiles.parse_entry_bundle(data, 2) == (largest, largest)
    with pytest.raises(DocumentError, match="at most 65,535 bytes, this one 65,536") as refused:
        tiles.encode_entry_bundle([b"fits", largest + b"\x00"])
    assert "digest" in refused.value.hint


def test_a_bundle_has_1_to_256_entries() -> None:
    full = [b"x"] * 256
    assert tiles.parse_entry_bundle(tiles.encode_entry_bundle(full), 256) == tuple(full)
    for entries in ([], [b"x"] * 257):
        with pytest.raises(ValueError, match="1 to 256"):
            tiles.encode_entry_bundle(entries)
    for data in (b"", b"\x00\x00" * 257, b"\x00\x00" * 100_000):
        with pytest.raises(DocumentError, match="1 to 256"):
            tiles.parse_entry_bundle(data)


@pytest.mark.parametrize(
    "data",
    [b"\x00", b"\x00\x01", b"\x00\x01ab", b"\x00\x01a\x00", b"\x00\x01a\x00\x02b", b"\xff\xff"],
)
def test_a_torn_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError):
        tiles.parse_entry_bundle(data)


@pytest.mark.parametrize("width", [1, 3, 256])
def test_a_bundle_of_another_width_is_refused(width: int) -> None:
    data = tiles.encode_entry_bundle([b"a", b"b"])
    with pytest.raises(DocumentError, match=f"has {width} entries"):
        tiles.parse_entry_bundle(data, width)


def test_a_tile_is_1_to_256_hashes() -> None:
    data = tiles.encode_tile(LEAVES[:3])
    assert tiles.parse_tile(data, 3) == tuple(LEAVES[:3])
    for hashes in ([], [bytes(32)] * 257, [bytes(31)]):
        with pytest.raises(ValueError, match="1 to 256 hashes"):
            tiles.encode_tile(hashes)
    for width in (2, 4):
        with pytest.raises(DocumentError, match="width"):
            tiles.parse_tile(data, width)


# --- a leaf shaped like an inner node -------------------------------------------------------------


def test_a_leaf_shaped_like_an_inner_node_is_a_leaf() -> None:
    """Its 65 bytes hash under the leaf's prefix, so the tree with it is not the shorter tree."""
    left, right = LEAVES[:2]
    for entry in (left + right, b"\x01" + left + right):
        forged = merkle.Tree([merkle.leaf_hash(entry)])
        assert forged.root() != merkle.Tree([left, right]).root()
        (stored,) = tiles.parse_entry_bundle(tiles.encode_entry_bundle([entry]), 1)
        tiled = TiledTree(2, TREE.root(2), {TileId(0, 0, 2): left + right}.__getitem__)
        with pytest.raises(VerificationError):
            merkle.verify_inclusion(
                merkle.leaf_hash(stored), 0, 2, tiled.inclusion_proof(0), TREE.root(2)
            )
        with pytest.raises(VerificationError):  # as the only leaf of a tree with the same root
            merkle.verify_inclusion(merkle.leaf_hash(stored), 0, 1, (), TREE.root(2))
