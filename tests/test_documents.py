"""Documents: one byte string for one content, and nothing else is accepted."""

from __future__ import annotations

import base64
import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput import documents
from stayput.documents import Int64, document
from stayput.errors import DocumentError


class SkyColor(enum.Enum):
    CLEAR = 1
    DARK_GREY = 2


@dataclasses.dataclass(frozen=True)
class Inner:
    name: str
    weight: Int64 = 0


@document("stayput.test.Everything")
@dataclasses.dataclass(frozen=True)
class Everything:
    text: str
    flag: bool
    small: int
    wide: Int64
    blob: bytes
    sky: SkyColor
    inner: Inner
    many: tuple[Inner, ...]
    blobs: tuple[bytes, ...]
    table: Mapping[str, Int64]
    maybe: Int64 | None = None
    perhaps: str | None = None
    optional: Inner | None = None

    def __post_init__(self) -> None:
        if self.text == "forbidden":
            raise ValueError("this text is not allowed")


@document("stayput.test.Small")
@dataclasses.dataclass(frozen=True)
class Small:
    text: str = "the dataclass default is not the proto default"
    number: int = 7
    wide: Int64 = 0
    blob: bytes = b""
    flag: bool = False
    items: tuple[int, ...] = ()


PLAIN = Everything("a", True, 1, 2, b"\0\xff", SkyColor.CLEAR, Inner("i"), (), (), {})
NOTHING = Small("", 0)


def plain(**changes: Any) -> bytes:
    """The JSON of PLAIN with some fields replaced, or left out (``...``), canonical but untyped."""
    value = json.loads(documents.encode(PLAIN)) | changes
    value = {key: item for key, item in value.items() if item is not ...}
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# --- round trips and independent rules ------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
INNER = st.builds(Inner, TEXT, INT64)
EVERYTHING = st.builds(
    Everything,
    TEXT,
    st.booleans(),
    INT32,
    INT64,
    st.binary(max_size=9),
    st.sampled_from(SkyColor),
    INNER,
    st.lists(INNER, max_size=3).map(tuple),
    st.lists(st.binary(max_size=3), max_size=3).map(tuple),
    st.dictionaries(st.text(st.characters(codec="ascii"), max_size=3), INT64, max_size=3),
    st.none() | INT64,
    st.none() | TEXT,
    st.none() | INNER,
)


def by_rule(doc: Everything) -> dict[str, Any]:
    """The proto3 JSON mapping, written out for this one class."""

    def inner(value: Inner) -> dict[str, Any]:
        return ({"name": value.name} if value.name else {}) | (
            {"weight": str(value.weight)} if value.weight else {}
        )

    def b64(value: bytes) -> str:
        return base64.standard_b64encode(value).decode()

    out: dict[str, Any] = {"sky": "SKY_COLOR_" + doc.sky.name, "inner": inner(doc.inner)}
    if doc.text:
        out["text"] = doc.text
    if doc.flag:
        out["flag"] = True
    if doc.small:
        out["small"] = doc.small
    if doc.wide:
        out["wide"] = str(doc.wide)
    if doc.blob:
        out["blob"] = b64(doc.blob)
    if doc.many:
        out["many"] = [inner(value) for value in doc.many]
    if doc.blobs:
        out["blobs"] = [b64(value) for value in doc.blobs]
    if doc.table:
        out["table"] = {key: str(value) for key, value in doc.table.items()}
    if doc.maybe is not None:
        out["maybe"] = str(doc.maybe)
    if doc.perhaps is not None:
        out["perhaps"] = doc.perhaps
    if doc.optional is not None:
        out["optional"] = inner(doc.optional)
    return out


@given(EVERYTHING)
def test_round_trip_and_the_rule_written_out(doc: Everything) -> None:
    data = documents.encode(doc)
    assert documents.parse(Everything, data) == doc
    expected = json.dumps(by_rule(doc), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert data == expected.encode()


@settings(max_examples=200)
@given(EVERYTHING, st.data())
def test_any_flipped_bit_gives_another_document_or_none(doc: Everything, data) -> None:
    encoded = bytearray(documents.encode(doc))
    position = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[position // 8] ^= 1 << position % 8
    try:
        parsed = documents.parse(Everything, bytes(encoded))
    except DocumentError:
        return
    assert parsed != doc
    assert documents.encode(parsed) == encoded


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def rfc8785(value: Any) -> str:
    """Canonical JSON by the RFC's own sections, for values without fractions."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
            return '"' + "".join(_escape(c, short) for c in value) + '"'
        case list():
            return "[" + ",".join(map(rfc8785, value)) + "]"
        case dict():
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return "{" + ",".join(f"{rfc8785(k)}:{rfc8785(value[k])}" for k in names) + "}"
    raise AssertionError(value)


def _escape(character: str, short: dict[int, str]) -> str:
    code = ord(character)
    if code in short:
        return short[code]
    return f"\\u{code:04x}" if code < 0x20 else character


@given(JSON)
def test_canonical_json_is_that_of_the_rfc(value: Any) -> None:
    data = documents.canonical_json(value)
    assert data == rfc8785(value).encode()
    assert documents.parse_canonical_json(data) == value


@given(st.binary(max_size=60))
def test_junk_is_refused_or_canonical(data: bytes) -> None:
    try:
        value = documents.parse_canonical_json(data)
    except DocumentError:
        return
    assert rfc8785(value).encode() == data


@given(JSON)
def test_other_spellings_of_the_same_json_are_refused(value: Any) -> None:
    canonical = rfc8785(value).encode()
    for other in (
        json.dumps(value, indent=1),
        json.dumps(value, sort_keys=True),
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True),
        json.dumps(_reversed(value), separators=(",", ":"), ensure_ascii=False),
    ):
        if other.encode() != canonical:
            with pytest.raises(DocumentError):
                documents.parse_canonical_json(other.encode())


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in sorted(value, reverse=True)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


# --- JSON that must be refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{} ",
        b" {}",
        b"{}\n",
        b"{}\0",
        b"\xef\xbb\xbf{}",  # byte order mark
        b"\xff\xfe{\x00}\x00",  # UTF-16
        b'{"a":1.5}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":1E400}',
        b'{"a":-0}',
        b'{"a":-0.0}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":0x1}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"x":{"a":1,"a":2}}',
        b'{"\\u0061":1}',  # an escape that is not needed
        b'{"b":1,"a":1}',
        b'{"a": 1}',
        b'{"a":"\\/"}',
        b'{"a":"\\u00e9"}',
        b'{"a":"\\u001F"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\xed\xa0\x80"}',  # a surrogate, in bytes
        b'{"a":"\xc0\xaf"}',  # overlong
        b'{"a":"\x1f"}',
        b"{'a':1}",
        '{"é":1}'.encode(),
        b'{"a":9007199254740992}',  # 2**53
        b'{"a":-9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"[" * 18 + b"]" * 18,
        b'"' + b"x" * documents.MAX_DOCUMENT_BYTES + b'"',
        b"null" * 2,
        b"undefined",
        b"/* */{}",
        b'{"a":1,}',
    ],
    ids=lambda data: repr(data[:24]),
)
def test_json_that_is_not_canonical(data: bytes) -> None:
    with pytest.raises(DocumentError):
        documents.parse_canonical_json(data)


def test_the_edges_of_what_is_allowed() -> None:
    for data in (
        b'{"a":9007199254740991,"b":-9007199254740991}',
        b"[" * documents.MAX_DEPTH + b"]" * documents.MAX_DEPTH,
        b'"' + b"x" * (documents.MAX_DOCUMENT_BYTES - 2) + b'"',
        '"\u007f\u2028é\U0001f600"'.encode(),
    ):
        assert documents.canonical_json(documents.parse_canonical_json(data)) == data


@pytest.mark.parametrize(
    "value",
    [1.5, float("nan"), float("inf"), 0.0, 2**53, -(2**53), 10**5000, b"x", (1,), {1}, {1: 2}],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "wide",
)
def test_values_without_canonical_json(value: Any) -> None:
    for nested in (value, [value], {"a": value}):
        with pytest.raises(DocumentError):
            documents.canonical_json(nested)


def test_keys_and_texts_without_canonical_json() -> None:
    for value in ({"é": 1}, {"a": "\ud800"}, {"\udfff": 1}, {None: 1}):
        with pytest.raises(DocumentError):
            documents.canonical_json(value)


# --- documents that must be refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"extra": 1}, "unknown field 'extra'"),
        ({"text": ""}, "canonical"),  # a default written out
        ({"flag": False}, "canonical"),
        ({"small": 0}, "canonical"),
        ({"wide": "0"}, "canonical"),
        ({"blob": ""}, "canonical"),
        ({"many": []}, "canonical"),
        ({"table": {}}, "canonical"),
        ({"inner": {"name": "i", "weight": "0"}}, "canonical"),
        ({"text": 1}, "Everything.text is not text"),
        ({"text": None}, "Everything.text is not text"),
        ({"flag": 1}, "Everything.flag is not true or false"),
        ({"flag": "true"}, "Everything.flag"),
        ({"small": "1"}, "Everything.small is not an integer"),
        ({"small": True}, "Everything.small is not an integer"),
        ({"small": 2**31}, "Everything.small is not an integer of 32 bits"),
        ({"small": -(2**31) - 1}, "Everything.small is not an integer of 32 bits"),
        ({"wide": 2}, "Everything.wide is not an integer in text"),
        ({"wide": str(2**63)}, "Everything.wide is not an integer of 64 bits"),
        ({"wide": str(-(2**63) - 1)}, "Everything.wide is not an integer of 64 bits"),
        ({"wide": "9" * 5000}, "Everything.wide"),
        ({"wide": "+2"}, "Everything.wide"),
        ({"wide": "02"}, "Everything.wide"),
        ({"wide": "-0"}, "Everything.wide"),
        ({"wide": " 2"}, "Everything.wide"),
        ({"wide": "2_0"}, "Everything.wide"),
        ({"wide": "２"}, "Everything.wide"),
        ({"wide": ""}, "Everything.wide"),
        ({"wide": "-"}, "Everything.wide"),
        ({"wide": "1.0"}, "Everything.wide"),
        ({"maybe": None}, "Everything.maybe"),
        ({"perhaps": None}, "Everything.perhaps"),
        ({"optional": None}, "Everything.optional"),
        ({"blob": "AP8"}, "Everything.blob is not base64"),  # no padding
        ({"blob": "AP9="}, "canonical"),  # padding bits set: the same bytes, another text
        ({"blob": "AP8=\n"}, "Everything.blob is not base64"),
        ({"blob": "A P8="}, "Everything.blob is not base64"),
        ({"blob": "AP8=="}, "Everything"),
        ({"blob": "__8="}, "Everything.blob is not base64"),  # the URL alphabet
        ({"blob": "é"}, "Everything.blob is not base64"),
        ({"blob": [0, 255]}, "Everything.blob is not base64"),
        ({"sky": "CLEAR"}, "Everything.sky is not one of SKY_COLOR_CLEAR, SKY_COLOR_DARK_GREY"),
        ({"sky": "SKY_COLOR_UNSPECIFIED"}, "Everything.sky"),
        ({"sky": 1}, "Everything.sky"),
        ({"sky": ["SKY_COLOR_CLEAR"]}, "Everything.sky"),
        ({"sky": ...}, "Everything lacks the field 'sky'"),
        ({"inner": ...}, "Everything lacks the field 'inner'"),
        ({"inner": []}, "Everything.inner is not an object"),
        ({"inner": {"nam": "i"}}, "Everything.inner has an unknown field 'nam'"),
        ({"many": {}}, "Everything.many is not a list"),
        ({"many": "ab"}, "Everything.many is not a list"),
        ({"many": [{"name": "i"}, 7]}, r"Everything.many\[1\] is not an object"),
        ({"blobs": [None]}, r"Everything.blobs\[0\]"),
        ({"table": []}, "Everything.table is not an object"),
        ({"table": {"k": 1}}, r"Everything.table\['k'\]"),
        ({"text": "forbidden"}, "this text is not allowed"),
        ({"x" * 5000: 1}, "unknown field 'x{80}'"),
        ({"\x1b[2J": 1}, r"unknown field '\\x1b"),
        ({"table": {"\x1b[2J": 1}}, r"table\['\\x1b"),
    ],
)
def test_a_document_of_another_shape(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        documents.parse(Everything, plain(**changes))


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"a"', b"true"])
def test_a_document_is_an_object(data: bytes) -> None:
    with pytest.raises(DocumentError, match="Everything is not an object"):
        documents.parse(Everything, data)


def test_trailing_and_leading_bytes() -> None:
    data = documents.encode(PLAIN)
    assert documents.parse(Everything, data) == PLAIN
    for other in (data + b"\n", data + b"\0", b" " + data, data + data, data[:-1]):
        with pytest.raises(DocumentError):
            documents.parse(Everything, other)


def test_optional_fields_tell_absent_from_zero() -> None:
    zero = dataclasses.replace(PLAIN, maybe=0, perhaps="", optional=Inner(""))
    data = documents.encode(zero)
    assert json.loads(data)["maybe"] == "0"
    assert json.loads(data)["perhaps"] == ""
    assert json.loads(data)["optional"] == {}
    assert documents.parse(Everything, data) == zero
    assert documents.parse(Everything, documents.encode(PLAIN)).maybe is None


def test_a_missing_field_means_the_proto_default_never_the_dataclass_default() -> None:
    assert documents.encode(NOTHING) == b"{}"
    assert documents.parse(Small, b"{}") == NOTHING
    assert documents.parse(Small, documents.encode(Small())) == Small()


# --- values that must not be written --------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"text": b""},
        {"text": None},
        {"number": False},  # equal to 0, and no number
        {"number": 0.0},
        {"number": 2**31},
        {"number": None},
        {"wide": 2**63},
        {"wide": 10**5000},
        {"wide": "0"},
        {"wide": True},
        {"blob": ""},
        {"blob": bytearray()},
        {"blob": "AA=="},
        {"flag": 0},
        {"flag": None},
        {"items": []},  # equal in JSON, and would be written out though empty
        {"items": [1]},
        {"items": ("1",)},
        {"items": None},
    ],
    ids=lambda changes: next(iter(changes)) + type(next(iter(changes.values()))).__name__,
)
def test_a_value_of_another_type_is_not_encoded(changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        documents.encode(dataclasses.replace(NOTHING, **changes))


def test_nested_values_of_another_type_are_not_encoded() -> None:
    for changes in (
        {"sky": "CLEAR"},
        {"sky": 1},
        {"inner": {"name": "i"}},
        {"inner": None},
        {"inner": NOTHING},
        {"many": (NOTHING,)},
        {"table": [("a", 1)]},
        {"table": {"é": 1}},
        {"table": {1: 1}},
        {"text": "\ud800"},
    ):
        with pytest.raises(DocumentError):
            documents.encode(dataclasses.replace(PLAIN, **changes))


def test_an_error_does_not_repeat_the_value() -> None:
    for changes in ({"text": b"hunter2"}, {"number": "hunter2"}, {"blob": "hunter2"}):
        with pytest.raises(DocumentError) as caught:
            documents.encode(dataclasses.replace(NOTHING, **changes))
        assert "hunter2" not in str(caught.value)


def test_only_documents_are_encoded() -> None:
    for value in (Inner("i"), {}, "x", None):
        with pytest.raises(TypeError, match="not a document"):
            documents.encode(value)
    with pytest.raises(TypeError, match="dataclass"):
        document("stayput.test.Plain")(type("Plain", (), {}))


# --- digests --------------------------------------------------------------------------------------


def test_a_digest_is_separated_by_type() -> None:
    data = documents.encode(PLAIN)
    tag = b"stayput.test.Everything"
    expected = hashlib.sha256(bytes([0, len(tag)]) + tag + data).digest()
    assert documents.digest(PLAIN) == expected == documents.digest_bytes(tag.decode(), data)
    assert documents.type_name(PLAIN) == documents.type_name(Everything) == tag.decode()
    # The boundary between name and data is fixed: moving a byte across it changes the digest.
    assert documents.digest_bytes("ab", b"c") != documents.digest_bytes("a", b"bc")


def test_a_commitment_needs_its_salt() -> None:
    salt = bytes(range(32))
    committed = documents.commitment("x", salt, b"7")
    assert committed == documents.digest_bytes("commitment/x", salt + b"7")
    assert committed != documents.commitment("x", bytes(32), b"7")
    assert committed != documents.commitment("y", salt, b"7")
    assert committed != documents.digest_bytes("x", salt + b"7")
    for short in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            documents.commitment("x", short, b"7")
