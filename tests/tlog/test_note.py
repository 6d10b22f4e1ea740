"""Signed notes against the vectors of golang.org/x/mod and C2SP, and against mutations."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput.errors import DocumentError, VerificationError
from stayput.tlog import note

REFUSED = (DocumentError, VerificationError)
TEXT = "first line\n\nafter an empty line\n"


# --- published vectors ----------------------------------------------------------------------------


def test_published_notes(vectors) -> None:
    cases = vectors("derived/signed-note.json")["cases"]
    assert len(cases) == 14
    for case in cases:
        data = case["note"].encode()
        verifiers = [note.parse_vkey(text) for text in case["vkeys"]]
        if case["ok"]:
            opened = note.verify_note(data, verifiers)
            assert list(opened.verified) == case["verified"], case["desc"]
            assert list(opened.unverified) == case["unverified"], case["desc"]
            assert opened.text == case["note"].partition("\n\n")[0] + "\n", case["desc"]
        else:
            with pytest.raises(REFUSED):
                note.verify_note(data, verifiers)


def test_published_bad_keys(vectors) -> None:
    published = vectors("derived/signed-note.json")
    assert len(published["bad_vkeys"]) == 5
    for text in published["bad_vkeys"]:
        with pytest.raises(DocumentError):
            note.parse_vkey(text)
    good = note.parse_vkey(published["cases"][0]["vkeys"][0])
    with pytest.raises(DocumentError, match="UTF-8"):
        note.verify_note(bytes.fromhex(published["also_bad_bytes_hex"]), [good])


def test_the_example_of_the_specification(vectors) -> None:
    example = vectors("derived/signed-note.json")["c2sp_spec_example"]
    verifier = note.parse_vkey(example["vkey"])
    assert verifier.vkey == example["vkey"]
    opened = note.verify_note(example["note"].encode(), [verifier])
    assert opened.text == "This is an example message.\n"
    assert opened.verified == ("example.com/foo",)
    assert opened.unverified == ()
    assert opened.lines == (example["note"].split("\n\n")[1].encode(),)


# --- our own --------------------------------------------------------------------------------------


@pytest.fixture
def verifier(key) -> note.NoteVerifier:
    return note.NoteVerifier("example.org/log", key.public)


def test_sign_and_verify(key, verifier) -> None:
    data = note.sign_note(TEXT, verifier.name, key)
    assert note.verify_note(data, [verifier]).text == TEXT
    preimage = b"example.org/log\n\x01" + key.public
    assert verifier.key_id == hashlib.sha256(preimage).digest()[:4]
    blob = base64.b64decode(data.decode().split(" ")[-1])
    assert (blob[:4], len(blob)) == (verifier.key_id, 68)
    assert note.parse_vkey(verifier.vkey) == verifier


def test_every_flipped_bit_is_refused(key, verifier) -> None:
    data = note.sign_note("a\n", verifier.name, key)
    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(REFUSED):
            note.verify_note(bytes(changed), [verifier])


@given(st.binary(max_size=200))
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(REFUSED):
        note.verify_note(data, [note.NoteVerifier("n", bytes(32))])


def test_unknown_signatures_are_ignored(key, other_key, verifier) -> None:
    ours = note.sign_note(TEXT, verifier.name, key)
    # The same name with another key, another name with the same key: not the key that we trust.
    same_name = note.sign_note(TEXT, verifier.name, other_key)
    same_key = note.sign_note(TEXT, "example.org/other", key)
    for foreign in (same_name, same_key):
        with pytest.raises(VerificationError, match="no trusted key"):
            note.verify_note(foreign, [verifier])
    line = same_name.decode().rpartition("\n\n")[2].encode()
    opened = note.verify_note(ours + line, [verifier])
    assert opened.verified == (verifier.name,)
    assert opened.unverified == (verifier.name,)


def test_a_bad_signature_of_a_trusted_key_condemns_the_note(key, other_key, verifier) -> None:
    second = note.NoteVerifier("example.org/witness", other_key.public)
    good = note.sign_note(TEXT, verifier.name, key)
    stolen = note.sign_note("another text\n", second.name, other_key)
    line = stolen.decode().rpartition("\n\n")[2].encode()
    assert note.verify_note(good + line, [verifier]).verified == (verifier.name,)
    with pytest.raises(VerificationError, match=r"example\.org/witness"):
        note.verify_note(good + line, [verifier, second])


def test_two_trusted_keys_of_one_name_and_id(key, verifier) -> None:
    with pytest.raises(VerificationError, match="same name and id"):
        note.verify_note(note.sign_note(TEXT, verifier.name, key), [verifier, verifier])


def test_the_number_of_signatures_is_bounded(key, verifier) -> None:
    data = note.sign_note(TEXT, verifier.name, key)
    strange = "— x " + base64.b64encode(bytes(68)).decode() + "\n"
    assert note.verify_note(data + strange.encode() * 99, [verifier])
    with pytest.raises(DocumentError, match="100 signatures"):
        note.verify_note(data + strange.encode() * 100, [verifier])
    with pytest.raises(DocumentError, match="bytes"):
        note.verify_note(b"x" * note.MAX_NOTE_BYTES + data, [verifier])


@pytest.mark.parametrize(
    "line",
    [
        "x AAAAAAAA",  # no dash
        "- x AAAAAAAA",  # hyphen instead of em dash
        "—  AAAAAAAA",  # empty name
        "— a+b AAAAAAAA",
        "— a\u00a0b AAAAAAAA",  # a Unicode space
        "— x AAAAAA==",  # an id without a signature
        "— x AAAA!AAA",
        "— x AAAAAAB=",  # padding bits are not zero
        "— x AAAAAAA",
        "— x",
        "— x AAAAAAAA ",
        "— x AAAAAAAA\r",
        "",
    ],
)
def test_malformed_signature_lines(key, verifier, line: str) -> None:
    data = note.sign_note(TEXT, verifier.name, key)
    with pytest.raises(DocumentError):
        note.verify_note(data + line.encode() + b"\n", [verifier])


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "cr\r\n", "nul\0\n"])
def test_texts_that_cannot_be_signed(key, text: str) -> None:
    with pytest.raises(ValueError, match="lines of text"):
        note.sign_note(text, "n", key)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x01"])
def test_names_that_cannot_be(key, name: str) -> None:
    with pytest.raises(ValueError, match="key name"):
        note.NoteVerifier(name, key.public)


def test_a_public_key_that_is_no_point_verifies_nothing(key) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        note.NoteVerifier("n", key.public + b"\0")
    broken = note.NoteVerifier("n", b"\xff" * 32)
    with pytest.raises(VerificationError):
        broken.verify("a\n", bytes(64))


def test_a_vkey_is_strict(verifier) -> None:
    name, key_id, encoded = verifier.vkey.split("+", 2)
    for text in (
        f"{name}+{key_id.upper()}x+{encoded}",
        f"{name}+{key_id}",
        f"{name}+{key_id}+",
        f"+{key_id}+{encoded}",
        f"{name}+{key_id}+{encoded} ",
        f"{name}+{key_id}+{encoded[:-4]}",
    ):
        with pytest.raises(DocumentError):
            note.parse_vkey(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+5",
        "-0",
        "-1",
        "1_000",
        "007",
        "00",
        " 7",
        "7 ",
        "7\n",
        "１２",
        "²",
        "0x1",
        "1e3",
        "9" * 30,
    ],
)
def test_decimals_are_canonical(text: str) -> None:
    with pytest.raises(DocumentError):
        note.parse_decimal(text, 2**63 - 1)


def test_decimals_are_bounded() -> None:
    assert note.parse_decimal("0", 0) == 0
    assert note.parse_decimal(str(2**63 - 1), 2**63 - 1) == 2**63 - 1
    with pytest.raises(DocumentError):
        note.parse_decimal(str(2**63), 2**63 - 1)


@given(st.text(alphabet="ABab01+/=-_ \n", max_size=12))
def test_base64_has_one_form(text: str) -> None:
    try:
        data = note.decode_base64(text)
    except DocumentError:
        return
    assert base64.b64encode(data).decode() == text


# --- adding signatures ----------------------------------------------------------------------------


def stranger(name: str, signature: bytes = bytes(64), key_id: bytes = b"\x01\x02\x03\x04") -> bytes:
    return f"\u2014 {name} {base64.b64encode(key_id + signature).decode()}\n".encode()


LINES = [stranger(f"example.org/{letter}") for letter in "dacb"]


@given(order=st.permutations(LINES), split=st.integers(0, 4))
def test_the_order_of_adding_does_not_matter(order: list[bytes], split: int) -> None:
    start = f"n\n\n{stranger('z').decode()}{stranger('n').decode()}".encode()
    merged = note.add_signatures(note.add_signatures(start, order[:split]), order[split:])
    assert merged == b"n\n\n" + stranger("n") + b"".join(sorted(LINES)) + stranger("z")
    assert note.add_signatures(merged, order) == merged


def test_the_author_stands_first_also_with_two_keys(key) -> None:
    data = note.sign_note("example.org/log\n1\n", "example.org/log", key)
    second = stranger("example.org/log", key_id=b"\xff\xff\xff\xff")
    merged = note.add_signatures(data, [stranger("a"), second])
    assert merged == data + second + stranger("a")


def test_a_second_line_of_a_key_is_dropped(key, verifier) -> None:
    """Whoever comes second, with other bytes, cannot push out a signature that was verified."""
    data = note.sign_note(TEXT, verifier.name, key)
    bad = stranger(verifier.name, key_id=verifier.key_id)
    assert note.add_signatures(data, [bad]) == data
    first, second = stranger("x", b"\x01" * 64), stranger("x", b"\x02" * 64)
    assert note.add_signatures(data, [first, second]) == data + first


def test_the_text_with_empty_lines_is_kept(key, verifier) -> None:
    data = note.sign_note(TEXT, verifier.name, key)
    merged = note.add_signatures(data, [stranger("x")])
    opened = note.verify_note(merged, [verifier])
    assert opened.text == TEXT
    assert opened.lines == (data.removeprefix(TEXT.encode() + b"\n"),)
    assert opened.unverified == ("x",)


def test_not_more_lines_than_a_reader_takes(key, verifier) -> None:
    data = note.sign_note(TEXT, verifier.name, key)
    many = [stranger(f"x{number}") for number in range(100)]
    assert note.verify_note(note.add_signatures(data, many[:99]), [verifier])
    with pytest.raises(DocumentError, match="100 signatures"):
        note.add_signatures(data, many)
    with pytest.raises(DocumentError, match="bytes"):
        note.add_signatures(data, [stranger(f"x{number}", bytes(4000)) for number in range(20)])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        stranger("x").removesuffix(b"\n"),
        stranger("x") + b"\n",
        stranger("x") + stranger("y"),
        stranger("x").replace(b"\n", b"\r\n"),
        b" " + stranger("x"),
        stranger("x").replace(b" x ", b" x  "),
        stranger("x").replace(b" x ", b" x\t"),
        stranger("x").replace(b"\xe2\x80\x94", b"-"),
        stranger("x").replace(b"\xe2\x80\x94", b"\xe2\x80"),
        stranger("x", b""),
        b"\xe2\x80\x94 x AAAAAAB=\n",
        b"\n" + stranger("x"),
    ],
)
def test_what_is_not_one_line_is_not_added(key, verifier, line: bytes) -> None:
    with pytest.raises(DocumentError):
        note.add_signatures(note.sign_note(TEXT, verifier.name, key), [line])
