"""Offline proofs: format, and that only the right entry at the right place verifies."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle
from stayput.tlog.checkpoint import Checkpoint, parse_checkpoint_text, sign_checkpoint
from stayput.tlog.cosignature import CosignatureVerifier, cosign
from stayput.tlog.note import NoteVerifier, add_signatures
from stayput.tlog.policy import Policy, all_of
from stayput.tlog.proof import Proof, parse_proof, verify_proof

ORIGIN = "example.org/log"
ENTRIES = [f"entry {i}".encode() for i in range(11)]
REFUSED = (DocumentError, VerificationError)


def test_published_malformed_proofs(vectors) -> None:
    cases = vectors("derived/checkpoint-and-proof-parse.json")["tlog_proof_parse_errors"]
    assert len(cases) == 6
    for case in cases:
        with pytest.raises(DocumentError):
            parse_proof(case["proof"].encode())


@pytest.fixture
def verifier(key) -> NoteVerifier:
    return NoteVerifier(ORIGIN, key.public)


@pytest.fixture
def tree() -> merkle.Tree:
    return merkle.Tree(merkle.leaf_hash(entry) for entry in ENTRIES)


@pytest.fixture
def checkpoint(key, tree) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), key)


def test_the_layout_is_that_of_the_specification() -> None:
    proof = Proof(73894, (bytes(32), b"\x01" * 32), b"o\n1\nr\n\n\xe2\x80\x94 s\n", extra=b"ab")
    hashes = [base64.b64encode(value).decode() for value in proof.hashes]
    assert proof.encode().decode() == (
        "c2sp.org/tlog-proof@v1\nextra YWI=\nindex 73894\n"
        f"{hashes[0]}\n{hashes[1]}\n\no\n1\nr\n\n— s\n"
    )
    assert parse_proof(proof.encode()) == proof


@pytest.mark.parametrize("index", range(len(ENTRIES)))
def test_every_entry_is_proven(index, tree, checkpoint, verifier) -> None:
    data = Proof(index, tree.inclusion_proof(index), checkpoint).encode()
    assert verify_proof(data, ENTRIES[index], ORIGIN, verifier).size == tree.size
    with pytest.raises(VerificationError):
        verify_proof(data, ENTRIES[index] + b"x", ORIGIN, verifier)
    with pytest.raises(VerificationError):
        verify_proof(data, ENTRIES[index - 1], ORIGIN, verifier)


def test_every_flipped_bit_is_refused(tree, checkpoint, verifier) -> None:
    data = Proof(3, tree.inclusion_proof(3), checkpoint).encode()
    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(REFUSED):
            verify_proof(bytes(changed), ENTRIES[3], ORIGIN, verifier)


def test_a_proof_for_another_size_or_signer(tree, key, other_key, checkpoint, verifier) -> None:
    smaller = sign_checkpoint(Checkpoint(ORIGIN, 8, tree.root(8)), key)
    forged = sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), other_key)
    foreign = sign_checkpoint(Checkpoint("example.org/x", tree.size, tree.root()), key)
    path = tree.inclusion_proof(3)
    for note in (smaller, forged, foreign):
        with pytest.raises(VerificationError):
            verify_proof(Proof(3, path, note).encode(), ENTRIES[3], ORIGIN, verifier)
    assert verify_proof(Proof(3, path, checkpoint).encode(), ENTRIES[3], ORIGIN, verifier)


def test_extra_is_carried_and_proves_nothing(tree, checkpoint, verifier) -> None:
    path = tree.inclusion_proof(0)
    for extra in (b"", b"anything", bytes(300)):
        data = Proof(0, path, checkpoint, extra).encode()
        assert verify_proof(data, ENTRIES[0], ORIGIN, verifier)
        assert parse_proof(data).extra == extra


HASH = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\nc\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra YWI=\n\nc\n",
        "c2sp.org/tlog-proof@v1\nextra YWI=\nextra YWI=\nindex 0\n\nc\n",
        "c2sp.org/tlog-proof@v1\nextra YWJ=\nindex 0\n\nc\n",
        "c2sp.org/tlog-proof@v1\nindex 00\n\nc\n",
        "c2sp.org/tlog-proof@v1\nindex 1_0\n\nc\n",
        "c2sp.org/tlog-proof@v1\nindex １\n\nc\n",
        f"c2sp.org/tlog-proof@v1\nindex {2**63 - 1}\n\nc\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nindex 0\n\nc\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-4]}\n\nc\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH} \n\nc\n",
        f"c2sp.org/tlog-proof@v1\r\nindex 0\r\n{HASH}\r\n\r\nc\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + f"{HASH}\n" * 64 + "\nc\n",
        "c2sp.org/tlog-proof@v2\nindex 0\n\nc\n",
    ],
)
def test_other_layouts_are_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_proof(text.encode())


def test_a_proof_is_bounded(checkpoint) -> None:
    with pytest.raises(DocumentError, match="bytes"):
        parse_proof(Proof(0, (), checkpoint, bytes(200_000)).encode())


@given(
    st.integers(0, 2**62),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.binary(min_size=1, max_size=40),
    st.binary(max_size=40),
)
def test_round_trip(index: int, hashes: list[bytes], checkpoint: bytes, extra: bytes) -> None:
    proof = Proof(index, tuple(hashes), checkpoint, extra)
    assert parse_proof(proof.encode()) == proof


# --- with a policy --------------------------------------------------------------------------------

WITNESSES = {f"example.org/{name}": SigningKey.generate() for name in ("w1", "w2", "w3")}


@pytest.fixture
def policy(verifier) -> Policy:
    vkeys = [CosignatureVerifier(name, key.public).vkey for name, key in WITNESSES.items()]
    return all_of([verifier.vkey], vkeys)


def cosigned(checkpoint: bytes, *names: str) -> bytes:
    text = checkpoint.decode().partition("\n\n")[0] + "\n"
    assert parse_checkpoint_text(text)
    return add_signatures(checkpoint, [cosign(text, name, WITNESSES[name], 9) for name in names])


def test_a_proof_carries_the_cosigned_checkpoint(tree, checkpoint, verifier, policy) -> None:
    note = cosigned(checkpoint, *WITNESSES)
    data = Proof(3, tree.inclusion_proof(3), note).encode()
    assert data.endswith(b"\n\n" + note)
    assert parse_proof(data).checkpoint == note
    expected = Checkpoint(ORIGIN, tree.size, tree.root())
    assert verify_proof(data, ENTRIES[3], ORIGIN, policy=policy) == expected
    assert verify_proof(data, ENTRIES[3], ORIGIN, verifier, policy) == expected
    with pytest.raises(VerificationError, match="another root"):
        verify_proof(data, ENTRIES[4], ORIGIN, policy=policy)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_proof_without_the_quorum(count: int, tree, checkpoint, verifier, policy) -> None:
    note = cosigned(checkpoint, *list(WITNESSES)[:count])
    data = Proof(3, tree.inclusion_proof(3), note).encode()
    assert verify_proof(data, ENTRIES[3], ORIGIN, verifier).size == tree.size
    with pytest.raises(VerificationError, match=r"quorum all-cosigners; missing: .*w3"):
        verify_proof(data, ENTRIES[3], ORIGIN, verifier, policy)


def test_key_and_policy_must_both_hold(tree, checkpoint, other_key, policy) -> None:
    data = Proof(3, tree.inclusion_proof(3), cosigned(checkpoint, *WITNESSES)).encode()
    with pytest.raises(VerificationError):
        verify_proof(data, ENTRIES[3], ORIGIN, NoteVerifier(ORIGIN, other_key.public), policy)
    with pytest.raises(VerificationError, match="does not name the log"):
        verify_proof(data, ENTRIES[3], "example.org/other", policy=policy)
    with pytest.raises(ValueError, match="key"):
        verify_proof(data, ENTRIES[3], ORIGIN)
