"""Every parser of the package on bytes that somebody else chose.

The law: bytes are refused with an error of ours, or they are the one encoding of what was read.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle, note, tiles
from stayput.tlog.checkpoint import (
    Checkpoint,
    parse_checkpoint_text,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosigned,
)
from stayput.tlog.cosignature import CosignatureVerifier, cosign, parse_cosigner_vkey
from stayput.tlog.policy import all_of, parse_policy
from stayput.tlog.proof import Proof, parse_proof

REFUSED = (DocumentError, VerificationError)
KEY, WITNESS = SigningKey.generate(), SigningKey.generate()
LOG = note.NoteVerifier("example.org/log", KEY.public)
COSIGNER = CosignatureVerifier("example.org/w", WITNESS.public)
TREE = merkle.Tree(merkle.leaf_hashes([b"a", b"b", b"c"]))
CHECKPOINT = Checkpoint(LOG.name, 3, TREE.root())
SIGNED = sign_checkpoint(CHECKPOINT, KEY)
COSIGNED = note.add_signatures(SIGNED, [cosign(CHECKPOINT.text, COSIGNER.name, WITNESS, 7)])
PROOF = Proof(1, TREE.inclusion_proof(1), COSIGNED, b"extra").encode()
POLICY = all_of([LOG.vkey], [COSIGNER.vkey]).encode()
BUNDLE = tiles.encode_entry_bundle([b"", b"one", b"two" * 100])


def reencode_text(data: bytes) -> bytes:
    return parse_checkpoint_text(data.decode()).text.encode()


def reencode_vkey(data: bytes) -> bytes:
    return note.parse_vkey(data.decode()).vkey.encode()


def reencode_cosigner_vkey(data: bytes) -> bytes:
    return parse_cosigner_vkey(data.decode()).vkey.encode()


def reencode_policy(data: bytes) -> bytes:
    """A policy may have comments; what it says has one encoding, and that is stable."""
    policy = parse_policy(data)
    encoded = policy.encode()
    assert parse_policy(encoded) == policy
    assert parse_policy(encoded).encode() == encoded
    return data


def reencode_note(data: bytes) -> bytes:
    """Nothing is added: only the order may change, and doubled lines may go."""
    merged = note.add_signatures(data, [])
    assert note.add_signatures(merged, []) == merged
    before, after = (whole.rpartition(b"\n\n") for whole in (data, merged))
    assert before[0] == after[0]
    assert set(before[2].split(b"\n")) >= set(after[2].split(b"\n"))
    return data


PARSERS: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "checkpoint text": (reencode_text, CHECKPOINT.text.encode()),
    "vkey": (reencode_vkey, LOG.vkey.encode()),
    "cosigner vkey": (reencode_cosigner_vkey, COSIGNER.vkey.encode()),
    "policy": (reencode_policy, POLICY),
    "note": (reencode_note, COSIGNED),
    "proof": (lambda data: parse_proof(data).encode(), PROOF),
    "tile path": (
        lambda data: tiles.parse_tile_path(data.decode()).path.encode(),
        b"tile/1/x001/234.p/7",
    ),
    "entry bundle": (
        lambda data: tiles.encode_entry_bundle(tiles.parse_entry_bundle(data)),
        BUNDLE,
    ),
    "tile": (
        lambda data: tiles.encode_tile(tiles.parse_tile(data, 3)),
        b"".join(TREE.hashes(0, 0, 3)),
    ),
    "base64": (
        lambda data: base64.b64encode(note.decode_base64(data.decode())),
        base64.b64encode(b"some bytes"),
    ),
    "decimal": (lambda data: str(note.parse_decimal(data.decode(), 2**63 - 1)).encode(), b"1234"),
}


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


TAKES_TEXT = {"checkpoint text", "vkey", "cosigner vkey", "tile path", "base64", "decimal"}

# Pieces that a mutation may put in: what lenient parsers overlook.
PIECES = st.sampled_from(
    [b"\n", b"\n\n", b"\r", b" ", b"\t", b"\x00", b"\x7f", b"0", b"+", b"-", b"_", b"=", b"=="]
    + [piece.encode() for piece in ("\uff11", "\u00a0", "\u2028", "\u2014 ", "\ufeff", "#x/")]
    + [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"A", b"B", b"9" * 25]
)


@st.composite
def mutations(draw: st.DrawFn, good: bytes) -> bytes:
    """A good encoding with a few bytes cut, doubled or replaced, or pieces put in."""
    data = good
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([0, 1, 3, 90])))
        middle = draw(st.one_of(PIECES, st.binary(max_size=3), st.just(data[start:stop] * 2)))
        data = data[:start] + middle + data[stop:]
    return data


@pytest.mark.parametrize("name", PARSERS)
def test_the_good_encoding_comes_back(name: str) -> None:
    reencode, good = PARSERS[name]
    assert reencode(good) == good


@pytest.mark.parametrize("name", PARSERS)
@settings(deadline=None)
@given(data=st.data())
def test_bytes_are_refused_or_the_one_encoding(name: str, data: st.DataObject) -> None:
    reencode, good = PARSERS[name]
    candidate = data.draw(st.one_of(mutations(good), st.binary(max_size=200)))
    if name in TAKES_TEXT and not is_text(candidate):
        return  # these take a str: their callers have decoded it
    try:
        again = reencode(candidate)
    except REFUSED:
        return
    assert again == candidate


@settings(deadline=None)
@given(data=st.data())
def test_no_mutation_of_a_cosigned_checkpoint_says_something_else(data: st.DataObject) -> None:
    """Whatever still verifies is the same checkpoint, cosigned by nobody who did not."""
    candidate = data.draw(mutations(COSIGNED))
    for verify in (
        lambda: verify_checkpoint(candidate, LOG.name, LOG),
        lambda: verify_cosigned(candidate, LOG.name, LOG, [COSIGNER]),
        lambda: parse_policy(POLICY).verify(candidate, LOG.name),
    ):
        try:
            verified = verify()
        except REFUSED:
            continue
        if isinstance(verified, Checkpoint):
            assert verified == CHECKPOINT
        else:
            assert verified.checkpoint == CHECKPOINT
            assert dict(verified.times) in ({}, {COSIGNER.name: 7})


@settings(deadline=None)
@given(text=st.text(max_size=80), maximum=st.integers(0, 2**70))
@example(text="0" * 21, maximum=1)
@example(text="\u0665", maximum=9)
def test_texts_of_any_alphabet(text: str, maximum: int) -> None:
    """Parsers of a ``str``: also lone surrogates and digits of other scripts."""
    for parse in (
        note.decode_base64,
        note.parse_vkey,
        parse_cosigner_vkey,
        parse_checkpoint_text,
        tiles.parse_tile_path,
        lambda value: note.parse_decimal(value, maximum),
    ):
        try:
            parse(text)
        except REFUSED:
            continue
        assert text.isascii()  # these texts are too short for a name with other letters


def test_lone_surrogates_are_refused() -> None:
    for parse in (note.parse_vkey, parse_cosigner_vkey, parse_checkpoint_text, note.decode_base64):
        with pytest.raises(REFUSED):
            parse("\udcff")
    vkey = LOG.vkey.replace(LOG.name, "\udcff")
    for parse in (note.parse_vkey, parse_cosigner_vkey):
        with pytest.raises(REFUSED):
            parse(vkey)
    with pytest.raises(REFUSED):
        parse_checkpoint_text(CHECKPOINT.text.replace(LOG.name, "\udcff"))
    with pytest.raises(REFUSED):
        parse_policy(b"log \xff%b\nquorum none\n" % LOG.vkey.removeprefix(LOG.name).encode())
