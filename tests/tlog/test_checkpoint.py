"""Checkpoints: the strict grammar, and whose word they are."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle, note
from stayput.tlog.checkpoint import (
    Checkpoint,
    parse_checkpoint_text,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosigned,
)
from stayput.tlog.cosignature import CosignatureVerifier, cosign

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


@pytest.mark.parametrize(
    "size",
    [
        "",
        "007",
        "00",
        "+5",
        "-3",
        "-0",
        "1_000",
        " 7 ",
        "7 ",
        "1e3",
        "0x7",
        "\uff11\uff12",
        "\u0667",
        str(2**63),
        str(2**64),
        str(2**64 + 1),
        pytest.param("9" * 5000, id="5000 digits"),
        "7\t",
        "7\x00",
    ],
)
def test_sizes_that_lenient_parsers_accept(size: str, key) -> None:
    text = f"{ORIGIN}\n{size}\n{ROOT64}\n"
    with pytest.raises(DocumentError):
        parse_checkpoint_text(text)
    signature = base64.b64encode(
        note.NoteVerifier(ORIGIN, key.public).key_id + key.sign(text.encode())
    ).decode()
    signed = f"{text}\n\u2014 {ORIGIN} {signature}\n".encode()
    with pytest.raises(DocumentError):  # also when the log itself has signed it
        verify_checkpoint(signed, ORIGIN, note.NoteVerifier(ORIGIN, key.public))


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


def test_the_real_signing_key_fits() -> None:
    real = SigningKey.generate()
    checkpoint = Checkpoint(ORIGIN, 7, ROOT)
    verifier = note.NoteVerifier(ORIGIN, real.public)
    assert verify_checkpoint(sign_checkpoint(checkpoint, real), ORIGIN, verifier) == checkpoint


# --- cosigned -------------------------------------------------------------------------------------

LOG_KEY = SigningKey.generate()
LOG = note.NoteVerifier("example.stayput/log", LOG_KEY.public)
COSIGNER_KEYS = {
    f"example.stayput/witness/{name}": SigningKey.generate() for name in ("ewr", "jfk", "lga")
}
COSIGNERS = [CosignatureVerifier(name, key.public) for name, key in COSIGNER_KEYS.items()]
COSIGNED = Checkpoint(LOG.name, 2, merkle.node_hash(merkle.leaf_hash(b"0"), merkle.leaf_hash(b"1")))


def lines(text: str = COSIGNED.text) -> list[bytes]:
    return [
        cosign(text, name, key, 1000 + i) for i, (name, key) in enumerate(COSIGNER_KEYS.items())
    ]


def milestone(*added: bytes) -> bytes:
    return note.add_signatures(sign_checkpoint(COSIGNED, LOG_KEY), added)


def test_all_cosignatures_are_verified() -> None:
    cosigned = verify_cosigned(milestone(*lines()), LOG.name, LOG, COSIGNERS)
    assert cosigned.checkpoint == COSIGNED
    assert cosigned.times == {name: 1000 + i for i, name in enumerate(COSIGNER_KEYS)}
    assert cosigned.keys == {key.public for key in COSIGNER_KEYS.values()}
    assert cosigned.lines[1:] == tuple(lines())


def test_who_has_not_cosigned_is_not_named() -> None:
    cosigned = verify_cosigned(milestone(lines()[1]), LOG.name, LOG, COSIGNERS)
    assert list(cosigned.times) == ["example.stayput/witness/jfk"]
    assert verify_cosigned(milestone(), LOG.name, LOG, COSIGNERS).times == {}


def test_strangers_are_ignored() -> None:
    stranger = SigningKey.generate()
    line = cosign(COSIGNED.text, "example.stayput/witness/ewr", stranger, 5)  # a name of ours
    cosigned = verify_cosigned(milestone(line), LOG.name, LOG, COSIGNERS)
    assert cosigned.times == {}
    assert len(cosigned.lines) == 1


def test_cosignatures_do_not_replace_the_log() -> None:
    data = note.sign_note(COSIGNED.text, "example.org/other", SigningKey.generate())
    with pytest.raises(VerificationError, match="log has not signed"):
        verify_cosigned(note.add_signatures(data, lines()), LOG.name, LOG, COSIGNERS)


def test_a_bad_line_of_a_known_cosigner_condemns_the_note() -> None:
    other = Checkpoint(LOG.name, 1, merkle.leaf_hash(b"0"))
    for bad in lines(other.text):  # cosignatures of another size moved over
        with pytest.raises(VerificationError, match="does not hold"):
            verify_cosigned(milestone(bad), LOG.name, LOG, COSIGNERS)


def test_a_doubled_line_counts_once() -> None:
    line = lines()[0]
    data = milestone(line) + line + line
    assert len(verify_cosigned(data, LOG.name, LOG, COSIGNERS).times) == 1


def test_another_line_of_the_same_key_does_not_take_the_first_ones_place() -> None:
    first, second = (
        cosign(COSIGNED.text, COSIGNERS[0].name, COSIGNER_KEYS[COSIGNERS[0].name], time)
        for time in (7, 8)
    )
    data = milestone(first) + second
    assert verify_cosigned(data, LOG.name, LOG, COSIGNERS).times == {COSIGNERS[0].name: 7}


def test_one_key_under_two_names_is_refused() -> None:
    """The message does not name the cosigner: one signature would count for both names."""
    key = COSIGNER_KEYS[COSIGNERS[0].name]
    twice = [*COSIGNERS, CosignatureVerifier("example.stayput/witness/sybil", key.public)]
    data = milestone(*lines(), cosign(COSIGNED.text, twice[-1].name, key, 1000))
    with pytest.raises(VerificationError, match="two names"):
        verify_cosigned(data, LOG.name, LOG, twice)
    with pytest.raises(VerificationError, match="two names"):  # the log as its own witness
        verify_cosigned(data, LOG.name, LOG, [CosignatureVerifier("w", LOG_KEY.public)])


def test_a_cosigner_that_changes_its_key_keeps_its_name() -> None:
    name = COSIGNERS[0].name
    new_key = SigningKey.generate()
    both = [*COSIGNERS, CosignatureVerifier(name, new_key.public)]
    data = milestone(lines()[0], cosign(COSIGNED.text, name, new_key, 2000))
    cosigned = verify_cosigned(data, LOG.name, LOG, both)
    assert cosigned.times == {name: 2000}
    assert cosigned.keys == {COSIGNERS[0].public, new_key.public}


def test_a_cosigned_checkpoint_of_another_log() -> None:
    with pytest.raises(VerificationError, match="another log"):
        verify_cosigned(milestone(*lines()), "example.org/log", LOG, COSIGNERS)


def test_the_origin_comes_first() -> None:
    """A text with the right lines in another order, properly signed and cosigned."""
    _, size, root, _ = COSIGNED.text.split("\n")
    for text in (f"{size}\n{LOG.name}\n{root}\n", f"\n{COSIGNED.text}", f"#\n{COSIGNED.text}"):
        data = note.add_signatures(note.sign_note(text, LOG.name, LOG_KEY), lines(text))
        with pytest.raises(DocumentError):
            verify_cosigned(data, LOG.name, LOG, COSIGNERS)


@given(data=st.data())
def test_every_flipped_bit_of_a_cosigned_note_is_refused_or_unseen(data) -> None:
    """A flipped bit makes the note invalid, or a line foreign: then its cosigner is not counted."""
    whole = milestone(*lines())
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        cosigned = verify_cosigned(bytes(changed), LOG.name, LOG, COSIGNERS)
    except (DocumentError, VerificationError):
        return
    assert cosigned.checkpoint == COSIGNED
    assert len(cosigned.times) == len(COSIGNERS) - 1
