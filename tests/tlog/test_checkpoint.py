"""Checkpoints: the strict grammar, and whose word they are."""

from __future__ import annotations

import base64

import pytest

from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle, note
from stayput.tlog.checkpoint import (
    Checkpoint,
    parse_checkpoint_text,
    sign_checkpoint,
    verify_checkpoint,
)

ORIGIN = "example.org/log"
ROOT = merkle.leaf_hash(b"entry")
ROOT64 = base64.b64encode(ROOT).decode()


# --- published vectors ----------------------------------------------------------------------------


def test_published_texts(vectors) -> None:
    published = vectors("derived/checkpoint-and-proof-parse.json")["checkpoint_parse"]
    assert [case["ok"] for case in published] == [True] * 2 + [False] * 7
    for case in published:
        # Upstream takes hashes of any length and extension lines; we take neither, so what it
        # accepts must become acceptable by exactly that difference.
        with pytest.raises(DocumentError):
            parse_checkpoint_text(case["text"])
        if case["ok"]:
            origin, size, _ = case["text"].split("\n")[:3]
            checkpoint = parse_checkpoint_text(f"{origin}\n{size}\n{ROOT64}\n")
            assert checkpoint == Checkpoint(origin, int(size), ROOT)


def test_texts_that_lenient_parsers_accept(vectors) -> None:
    cases = vectors("derived/checkpoint-and-proof-parse.json")["added_by_us_strictness"]
    assert len(cases) == 7
    for case in cases:
        assert case["ok"] is False
        with pytest.raises(DocumentError):
            parse_checkpoint_text(case["text"])


# --- our own --------------------------------------------------------------------------------------


def test_the_text_is_three_lines() -> None:
    checkpoint = Checkpoint(ORIGIN, 20852163, ROOT)
    assert checkpoint.text == f"{ORIGIN}\n20852163\n{ROOT64}\n"
    assert parse_checkpoint_text(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n5\n{ROOT64}",
        f"{ORIGIN}\n5\n{ROOT64}\n\n",
        f"{ORIGIN}\n5\n{ROOT64}\nextension\n",
        f"{ORIGIN}\n\n5\n{ROOT64}\n",
        f"\n5\n{ROOT64}\n",
        f"with space\n5\n{ROOT64}\n",
        f"a+b\n5\n{ROOT64}\n",
        f"{ORIGIN}\n{2**63}\n{ROOT64}\n",
        f"{ORIGIN}\n0\n{ROOT64}\n",  # an empty log has the empty root
        f"{ORIGIN}\n5\n{ROOT64[:-1]}\n",
        f"{ORIGIN}\n5\n {ROOT64}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(bytes(31)).decode()}\n",
        f"5\n{ORIGIN}\n{ROOT64}\n",
        f"{ORIGIN}\r\n5\r\n{ROOT64}\r\n",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_checkpoint_text(text)


def test_sizes_at_the_edges() -> None:
    empty = Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT)
    largest = Checkpoint(ORIGIN, 2**63 - 1, ROOT)
    for checkpoint in (empty, largest):
        assert parse_checkpoint_text(checkpoint.text) == checkpoint
    for size in (-1, 2**63):
        with pytest.raises(ValueError, match="size"):
            Checkpoint(ORIGIN, size, ROOT)


def test_sign_and_verify(key, other_key) -> None:
    checkpoint = Checkpoint(ORIGIN, 7, ROOT)
    data = sign_checkpoint(checkpoint, key)
    verifier = note.NoteVerifier(ORIGIN, key.public)
    assert verify_checkpoint(data, ORIGIN, verifier) == checkpoint
    # "The log's key name in its signature line SHOULD match the origin line."
    assert f"\n\n— {ORIGIN} ".encode() in data
    with pytest.raises(VerificationError):
        verify_checkpoint(data, ORIGIN, note.NoteVerifier(ORIGIN, other_key.public))
    with pytest.raises(DocumentError):
        verify_checkpoint(checkpoint.text.encode(), ORIGIN, verifier)


def test_a_checkpoint_of_another_log_signed_by_the_same_key(key) -> None:
    staging = Checkpoint("example.org/staging", 7, ROOT)
    verifier = note.NoteVerifier(ORIGIN, key.public)
    with pytest.raises(VerificationError):
        verify_checkpoint(sign_checkpoint(staging, key), ORIGIN, verifier)
    # … even under the key name that we trust.
    with pytest.raises(VerificationError, match="another log"):
        verify_checkpoint(note.sign_note(staging.text, ORIGIN, key), ORIGIN, verifier)


def test_a_signed_text_that_is_no_checkpoint(key) -> None:
    verifier = note.NoteVerifier(ORIGIN, key.public)
    with pytest.raises(DocumentError):
        verify_checkpoint(note.sign_note(f"{ORIGIN}\nhello\n", ORIGIN, key), ORIGIN, verifier)


def test_cosignatures_do_not_disturb(key, other_key) -> None:
    checkpoint = Checkpoint(ORIGIN, 7, ROOT)
    data = sign_checkpoint(checkpoint, key)
    witness = note.sign_note(checkpoint.text, "witness.example", other_key)
    line = witness.decode().rpartition("\n\n")[2].encode()
    verifier = note.NoteVerifier(ORIGIN, key.public)
    assert verify_checkpoint(data + line, ORIGIN, verifier) == checkpoint


def test_the_real_signing_key_fits(key) -> None:
    signing = pytest.importorskip("stayput.crypto.signing")
    real = signing.SigningKey.generate()
    checkpoint = Checkpoint(ORIGIN, 7, ROOT)
    verifier = note.NoteVerifier(ORIGIN, real.public)
    assert verify_checkpoint(sign_checkpoint(checkpoint, real), ORIGIN, verifier) == checkpoint
