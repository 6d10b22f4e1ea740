"""A log written here, read by golang.org/x/mod/sumdb, and the other way round.

``interop/main.go`` is the judge. It needs a Go toolchain and the sources of ``golang.org/x/mod``
as a GOPATH has them, which Debian installs with ``golang-go`` and ``golang-golang-x-mod-dev``; set
``GOPATH`` where they are elsewhere. Without them the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stayput.crypto.signing import SigningKey
from stayput.tlog import merkle, note, tiles
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from stayput.tlog.cosignature import CosignatureVerifier, cosign, parse_cosigner_vkey
from stayput.tlog.policy import all_of
from stayput.tlog.proof import Proof, verify_proof

SOURCE = Path(__file__).parent / "interop" / "main.go"
GOPATH = Path(os.environ.get("GOPATH", "/usr/share/gocode"))
MODULE = GOPATH / "src" / "golang.org" / "x" / "mod" / "sumdb"

ORIGIN = "example.stayput/log"
SIZE, OLDER = 70_000, 12_345
ENTRIES = [b'{"entry":%d}' % number for number in range(SIZE)]
ENTRIES[7] = b""
ENTRIES[300] = os.urandom(tiles.MAX_ENTRY_BYTES)
PROVEN = [0, 7, 255, 256, 300, 65_535, 65_536, SIZE - 1]


@pytest.fixture(scope="session")
def interop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs the Go program; returns what it prints, raises what it complains of."""
    go = shutil.which("go")
    if go is None or not MODULE.is_dir():
        pytest.skip(f"needs go and golang.org/x/mod in {GOPATH} (see the text of this module)")
    folder = tmp_path_factory.mktemp("interop")
    program = folder / "interop"
    environment = {
        **os.environ,
        "GO111MODULE": "off",  # no module proxy: the sources are in GOPATH
        "GOPATH": str(GOPATH),
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
    }
    subprocess.run([go, "build", "-o", program, SOURCE], check=True, env=environment, timeout=300)

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    return run


def write_log(folder: Path) -> None:
    """All that an outsider gets to see of a log, in the layout that ``main.go`` describes."""
    key = SigningKey.generate()
    witnesses = {f"example.stayput/witness/{name}": SigningKey.generate() for name in "abc"}
    edge, older, files = tiles.TileEdge(), b"", {}
    for start in range(0, SIZE, 1000):
        part = merkle.leaf_hashes(ENTRIES[start : start + 1000])
        if start < OLDER < start + 1000:
            files.update((tile.path, data) for tile, data in edge.extend(part[: OLDER - start]))
            older = sign_checkpoint(Checkpoint(ORIGIN, OLDER, edge.root()), key)
            part = part[OLDER - start :]
        files.update((tile.path, data) for tile, data in edge.extend(part))
    files.update((tile.path, data) for tile, data in edge.partial_tiles())
    for bundle in tiles.new_bundles(0, SIZE):
        start = bundle.index * tiles.TILE_WIDTH
        files[bundle.path] = tiles.encode_entry_bundle(ENTRIES[start : start + bundle.width])
    checkpoint = Checkpoint(ORIGIN, SIZE, edge.root())
    lines = [cosign(checkpoint.text, name, own, 1_800_000_000) for name, own in witnesses.items()]
    signed = note.add_signatures(sign_checkpoint(checkpoint, key), lines)
    vkeys = [CosignatureVerifier(name, own.public).vkey for name, own in witnesses.items()]
    files["checkpoint"], files["older"] = signed, older
    files["log.vkey"] = note.NoteVerifier(ORIGIN, key.public).vkey.encode() + b"\n"
    files["cosigners.vkey"] = "\n".join([*vkeys, ""]).encode()

    def read(tile: tiles.TileId) -> bytes:
        return files[tile.path]

    tiled = tiles.TiledTree(SIZE, checkpoint.root, read)
    for index in PROVEN:
        files[f"proofs/{index}"] = Proof(index, tiled.inclusion_proof(index), signed).encode()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture(scope="session")
def ours(interop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    write_log(folder)
    return folder


def test_our_log_verifies_in_go(interop, ours: Path) -> None:
    assert interop("verify", ours).split() == [
        "cosigners=3",
        f"size={SIZE}",
        f"older={OLDER}",
        "tiles=277",
        f"entries={SIZE}",
        f"proofs={len(PROVEN)}",
    ]


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("checkpoint", 25),  # a digit of the size
        ("checkpoint", -20),  # in the last cosignature
        ("older", -20),
        ("tile/0/000", 5),
        ("tile/0/272", -1),
        ("tile/0/273.p/112", 0),
        ("tile/1/000", 100),
        ("tile/1/001.p/17", 100),
        ("tile/2/000.p/1", 31),
        ("tile/entries/000", 2),
        ("tile/entries/001", -1),
        ("tile/entries/273.p/112", -1),
        ("proofs/300", 60),  # in a hash
        ("proofs/300", -20),  # in its copy of the checkpoint
        ("cosigners.vkey", -10),
    ],
)
def test_the_judge_sees_every_change(interop, ours: Path, name: str, position: int) -> None:
    """One bit of one file: the program would otherwise be an oracle that always says yes."""
    good = (ours / name).read_bytes()
    changed = bytearray(good)
    changed[position] ^= 1
    try:
        (ours / name).write_bytes(changed)
        with pytest.raises(RuntimeError, match="interop:"):
            interop("verify", ours)
    finally:
        (ours / name).write_bytes(good)


def test_the_judge_misses_nothing(interop, ours: Path) -> None:
    """A missing tile, a tile too many, a missing cosignature."""
    tile = ours / "tile/0/005"
    data = tile.read_bytes()
    tile.unlink()
    with pytest.raises(RuntimeError, match="tile/0/005"):
        interop("verify", ours)
    tile.write_bytes(data)
    extra = ours / "tile/0/274.p/1"
    extra.parent.mkdir()
    extra.write_bytes(bytes(32))
    with pytest.raises(RuntimeError, match="no tile of this tree"):
        interop("verify", ours)
    extra.unlink()
    good = (ours / "checkpoint").read_bytes()
    (ours / "checkpoint").write_bytes(good[: good.rindex(b"\xe2\x80\x94")])
    with pytest.raises(RuntimeError, match="3 of 4 trusted keys"):
        interop("verify", ours)
    (ours / "checkpoint").write_bytes(good)
    interop("verify", ours)


def test_a_log_written_in_go_verifies_here(interop, tmp_path: Path) -> None:
    interop("write", tmp_path)
    log = note.parse_vkey((tmp_path / "log.vkey").read_text().strip())
    vkeys = (tmp_path / "cosigners.vkey").read_text().split()
    cosigners = [parse_cosigner_vkey(vkey) for vkey in vkeys]
    policy = all_of([log.vkey], vkeys)
    cosigned = policy.verify((tmp_path / "checkpoint").read_bytes(), log.name)
    assert cosigned.times.keys() == {cosigner.name for cosigner in cosigners}
    checkpoint = cosigned.checkpoint
    assert checkpoint.size == SIZE
    entries: list[bytes] = []
    for bundle in tiles.new_bundles(0, checkpoint.size):
        entries += tiles.parse_entry_bundle((tmp_path / bundle.path).read_bytes(), bundle.width)
    tree = merkle.Tree(merkle.leaf_hashes(entries))
    assert tree.root() == checkpoint.root
    found = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "tile").rglob("*")}
    for tile in tiles.new_tiles(0, checkpoint.size):
        assert tile.path in found
        assert (tmp_path / tile.path).read_bytes() == tiles.tile_of(tree, tile)

    def read(tile: tiles.TileId) -> bytes:
        return (tmp_path / tile.path).read_bytes()

    tiled = tiles.TiledTree(checkpoint.size, checkpoint.root, read)
    older = verify_checkpoint((tmp_path / "older").read_bytes(), log.name, log)
    assert tiled.consistency_proof(older.size, older.root) == tree.consistency_proof(older.size)
    proofs = list((tmp_path / "proofs").iterdir())
    assert len(proofs) == 6
    for proof in proofs:
        entry = entries[int(proof.name)]
        assert verify_proof(proof.read_bytes(), entry, log.name, policy=policy) == checkpoint
