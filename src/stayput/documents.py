"""Documents: frozen dataclasses with exactly one canonical JSON form.

Everything that is signed, logged or hashed is a *document*.  Its bytes are canonical JSON (the
subset of RFC 8785 without floats: sorted ASCII keys, no white space, minimal escapes) in the
proto3 JSON mapping of the message of the same name in ``proto/stayput/v1``.  So ``jq`` reads it,
any protobuf library reads it, and there is one byte string for one content.

The mapping, by type annotation: ``str`` and ``bool`` as themselves; ``int`` (32 bit) as a number;
:data:`Int64` as a decimal string; ``bytes`` as base64; enums by
``TYPE_NAME``; nested documents as objects;
``tuple[T, ...]`` as arrays; ``Mapping[str, T]`` as objects.  Fields at their default are left out.

Not here: signatures (:mod:`stayput.crypto.signing`).  Invariant: ``encode(parse(cls, b)) == b``
for every accepted ``b``; anything else (unknown or duplicate key, float, default written out,
wrong order, trailing byte) is refused.
"""

from __future__ import annotations

import binascii
import dataclasses
import enum
import functools
import hashlib
import json
import re
import types
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from stayput.errors import DocumentError

MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
"""A result of 100,000 cells has some 12 MB; a longer document is refused before it is parsed."""

MAX_DEPTH = 16
"""Nesting of JSON arrays and objects; the deepest document of ours has 9 levels."""

_WIDE = "int64"
Int64 = Annotated[int, _WIDE]
"""An integer that may leave 32 bits; a decimal string in JSON, as proto3 has it."""

D = TypeVar("D")


def document(type_name: str) -> Callable[[type[D]], type[D]]:
    """Class decorator: name the protobuf message whose JSON form the frozen dataclass has."""

    def mark(cls: type[D]) -> type[D]:
        if not dataclasses.is_dataclass(cls):
            raise TypeError("a document is a dataclass")
        cls.__document_type__ = type_name  # type: ignore[attr-defined]
        return cls

    return mark


def type_name(doc: object) -> str:
    """The protobuf message name of a document or document class."""
    name = getattr(doc, "__document_type__", None)
    if not isinstance(name, str):
        raise TypeError(f"{type(doc).__name__} is not a document")
    return name


def encode(doc: object) -> bytes:
    """The canonical bytes of a document."""
    type_name(doc)
    kind: Any = type(doc)
    return _utf8(_writer(kind)(doc))


def parse(cls: type[D], data: bytes) -> D:
    """Parse untrusted bytes as a document of class ``cls``.

    Raises:
        DocumentError: not the canonical JSON of such a document.
    """
    kind: Any = cls
    value = _loads(data, _DOCUMENT_JSON)
    try:
        doc = _reader(kind)(value)
    except _Misfit as misfit:
        raise DocumentError(cls.__name__ + misfit.text) from None
    # The readers refuse defaults that are written out and base64 in a second form, so that JSON in
    # its canonical form is all that is left to check.
    if _utf8(_CANONICAL_JSON.encode(value)) != data:
        raise DocumentError(f"{cls.__name__} is not in canonical form")
    return doc  # type: ignore[no-any-return]


def digest(doc: object) -> bytes:
    """SHA-256 over type name and canonical bytes; the identity of a document."""
    return digest_bytes(type_name(doc), encode(doc))


def digest_bytes(name: str, data: bytes) -> bytes:
    """SHA-256 of ``data`` separated by domain: length-prefixed ``name``, then ``data``."""
    tag = name.encode("ascii")
    return hashlib.sha256(len(tag).to_bytes(2, "big") + tag + data).digest()


def commitment(name: str, salt: bytes, data: bytes) -> bytes:
    """Salted commitment: what is guessable goes into the log only in this form.

    Raises:
        ValueError: the salt is not 32 bytes.
    """
    if len(salt) != 32:
        raise ValueError("a commitment salt has 32 bytes")
    return digest_bytes("commitment/" + name, salt + data)


# --- JSON ---------------------------------------------------------------------------------------


def canonical_json(value: Any) -> bytes:
    """Encode JSON without floats canonically (RFC 8785 for this subset).

    Raises:
        DocumentError: a float, a non-ASCII key, a lone surrogate, or another type.
    """
    _require_plain(value, 0)
    return _utf8(_CANONICAL_JSON.encode(value))


def parse_canonical_json(data: bytes) -> Any:
    """Parse untrusted canonical JSON; anything not byte-for-byte canonical is refused.

    Raises:
        DocumentError: too long, not JSON, a float, a duplicate key, not canonical.
    """
    value = _loads(data, _ANY_JSON)
    if canonical_json(value) != data:
        raise DocumentError("the JSON is not in canonical form")
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise DocumentError("text is not valid Unicode") from None


def _loads(data: bytes, decoder: json.JSONDecoder) -> Any:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise DocumentError(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        # Unlike decode() it leaves white space around a value alone, which is not canonical anyway.
        value, end = decoder.raw_decode(text)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError):
        raise DocumentError("not a JSON document") from None
    if end != len(text):
        raise DocumentError("not a JSON document")
    return value


def _refuse_number(text: str) -> Any:
    raise DocumentError("a document has no fractional numbers")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise DocumentError("a JSON object repeats a key")
    return result


_CANONICAL_JSON = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False
)

_ANY_JSON = json.JSONDecoder(
    parse_float=_refuse_number, parse_constant=_refuse_number, object_pairs_hook=_unique_keys
)
_DOCUMENT_JSON = json.JSONDecoder(parse_float=_refuse_number, parse_constant=_refuse_number)


def _require_plain(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise DocumentError("the JSON is nested too deeply")
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, int):
        if abs(value) > 2**53 - 1:
            raise DocumentError("a JSON number leaves 53 bits")
    elif isinstance(value, list):
        for item in value:
            _require_plain(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise DocumentError("a JSON key is not ASCII")
            _require_plain(item, depth + 1)
    else:
        raise DocumentError(f"{type(value).__name__} has no canonical JSON form")


# --- dataclass <-> JSON --------------------------------------------------------------------------


_REQUIRED = object()

_UNIONS = (types.UnionType, Union)
"""``str | None`` is the one, ``Int64 | None`` (an annotated type) the other."""


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, Any, Any], ...]:
    """(name, annotation, value when absent) of each field of a document class.

    The value when absent is proto3's, never the dataclass default: one meaning in every language.
    """
    hints = get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    return tuple((name, hints[name], _absent(hints[name])) for name in names)


def _absent(hint: Any) -> Any:
    """What a missing field means in proto3; ``_REQUIRED`` for messages and enums without zero."""
    origin = get_origin(hint)
    if origin in _UNIONS:
        return None
    if origin is Annotated or hint is int:
        return 0
    if hint in (str, bytes, bool):
        return hint()
    if origin is tuple:
        return ()
    if _is_mapping(origin):
        return {}
    return _REQUIRED


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _enum_names(cls: type[enum.Enum]) -> dict[str, enum.Enum]:
    """``REFUSAL_REASON_LEGAL`` and so on: enum values carry their type (buf STANDARD)."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
    return {f"{prefix}_{member.name}": member for member in cls}


# One function per type, made once: a log of a million entries is read through them.


@functools.cache
def _writer(hint: Any) -> Callable[[Any], str]:
    """The function that writes a value of this type as canonical JSON text."""
    origin = get_origin(hint)
    if origin in _UNIONS:
        return _writer(_present(hint))
    if origin is tuple:
        return _list_writer(_writer(get_args(hint)[0]))
    if _is_mapping(origin):
        return _mapping_writer(_writer(get_args(hint)[1]))
    if dataclasses.is_dataclass(hint):
        return _object_writer(hint)  # type: ignore[arg-type]
    return _scalar_writer(hint)


def _scalar_writer(hint: Any) -> Callable[[Any], str]:
    if get_origin(hint) is Annotated:
        return lambda value: f'"{_whole(value, 64)}"'
    if hint is int:
        return lambda value: str(_whole(value, 32))
    if hint is bytes:
        return lambda value: f'"{_base64(_typed(value, bytes))}"'
    if hint is str:
        return lambda value: encode_basestring(_typed(value, str))
    if hint is bool:
        return lambda value: "true" if _typed(value, bool) else "false"
    texts = {member: f'"{name}"' for name, member in _enum_names(hint).items()}
    return lambda value: texts[_typed(value, hint)]


def _list_writer(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: f"[{','.join(map(write, _typed(value, tuple)))}]"


def _mapping_writer(write: Callable[[Any], str]) -> Callable[[Any], str]:
    def write_mapping(value: Any) -> str:
        items = _typed(value, Mapping)
        if not all(isinstance(key, str) and key.isascii() for key in items):
            raise DocumentError("a JSON key is not ASCII")
        pairs = [f"{encode_basestring(key)}:{write(items[key])}" for key in sorted(items)]
        return f"{{{','.join(pairs)}}}"

    return write_mapping


def _object_writer(cls: type) -> Callable[[Any], str]:
    fields = [(name, _writer(hint), default) for name, hint, default in sorted(_fields(cls))]

    def write_object(value: Any) -> str:
        _typed(value, cls)
        pairs = []
        for name, write, default in fields:
            item = getattr(value, name)
            if item is None and default is None:
                continue
            text = write(item)  # before comparing: False is no 0, [] is no ()
            if default is _REQUIRED or item != default:
                pairs.append(f'"{name}":{text}')
        return f"{{{','.join(pairs)}}}"

    return write_object


class _Misfit(Exception):
    """JSON of another shape; ``text`` says where, from the outside in, and what is wrong."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def inside(self, where: str) -> _Misfit:
        return _Misfit(where + self.text)


@functools.cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    """The function that makes a value of this type of parsed JSON, or raises :class:`_Misfit`."""
    origin = get_origin(hint)
    if origin in _UNIONS:
        return _reader(_present(hint))
    if origin is tuple:
        return _list_reader(_reader(get_args(hint)[0]))
    if _is_mapping(origin):
        return _mapping_reader(_reader(get_args(hint)[1]))
    if dataclasses.is_dataclass(hint):
        return _object_reader(hint)  # type: ignore[arg-type]
    return _scalar_reader(hint)


def _scalar_reader(hint: Any) -> Callable[[Any], Any]:
    if get_origin(hint) is Annotated:
        return _read_wide
    if hint is int:
        return lambda value: _fitting(value, 32)
    if hint is bytes:
        return _read_bytes
    if issubclass(hint, enum.Enum):
        return _enum_reader(_enum_names(hint))
    return _exact_reader(hint, "text" if hint is str else "true or false")


def _read_wide(value: Any) -> int:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise _Misfit(" is not an integer in text form")
    return _fitting(int(value), 64)


def _fitting(value: Any, bits: int) -> int:
    try:
        return _whole(value, bits, "")
    except DocumentError as error:
        raise _Misfit(error.message) from None


def _read_bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Misfit(" is not base64 text")
    try:
        data = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:  # also binascii.Error
        raise _Misfit(" is not base64 text") from None
    if not has_canonical_end(value):
        raise _Misfit(" is not in canonical form")
    return data


_ENDS_OF_TWO = frozenset(f"{last}=" for last in "AEIMQUYcgkosw048")
_ENDS_OF_ONE = frozenset(f"{last}==" for last in "AQgw")


def has_canonical_end(text: str) -> bool:
    """Whether base64 that decodes strictly leaves its unused bits zero (RFC 4648 §3.5).

    Then it is the one encoding of its bytes. Looking is faster than encoding them again.
    """
    return text[-1:] != "=" or text[-2:] in _ENDS_OF_TWO or text[-3:] in _ENDS_OF_ONE


def _enum_reader(names: Mapping[str, enum.Enum]) -> Callable[[Any], Any]:
    def read_enum(value: Any) -> enum.Enum:
        member = names.get(value) if isinstance(value, str) else None
        if member is None:
            raise _Misfit(f" is not one of {', '.join(names)}")
        return member

    return read_enum


def _exact_reader(hint: type, words: str) -> Callable[[Any], Any]:
    def read_exact(value: Any) -> Any:
        if type(value) is not hint:
            raise _Misfit(f" is not {words}")
        return value

    return read_exact


def _list_reader(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Misfit(" is not a list")
        items: list[Any] = []
        try:
            for item in value:
                items.append(read(item))
        except _Misfit as misfit:
            raise misfit.inside(f"[{len(items)}]") from None
        return tuple(items)

    return read_list


def _mapping_reader(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_mapping(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _Misfit(" is not an object")
        key = ""
        items = {}
        try:
            for key, item in value.items():
                if not key.isascii():
                    raise _Misfit(" is not ASCII")
                items[key] = read(item)
        except _Misfit as misfit:
            raise misfit.inside(f"[{key[:80]!r}]") from None
        return items

    return read_mapping


def _object_reader(cls: type) -> Callable[[Any], Any]:
    fields = [
        (name, _reader(hint), default, default is not None and default is not _REQUIRED)
        for name, hint, default in _fields(cls)
    ]
    names = {name for name, _, _, _ in fields}

    def read_object(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Misfit(" is not an object")
        if not value.keys() <= names:
            unknown = min(value.keys() - names)
            raise _Misfit(f" has an unknown field {unknown[:80]!r}")
        name = ""
        arguments = []
        try:
            for name, read, default, left_out in fields:
                if name in value:
                    item = read(value[name])
                    if left_out and item == default:
                        raise _Misfit(" is not in canonical form: a default is left out")
                    arguments.append(item)
                elif default is _REQUIRED:
                    break
                else:
                    arguments.append(default)
        except _Misfit as misfit:
            raise misfit.inside(f".{name}") from None
        if len(arguments) != len(fields):
            raise _Misfit(f" lacks the field {name!r}")
        try:
            return cls(*arguments)
        except ValueError as error:
            raise _Misfit(f": {error}") from None

    return read_object


_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)


def _present(hint: Any) -> Any:
    """``T`` of ``T | None``."""
    (inner,) = [a for a in get_args(hint) if a is not type(None)]
    return inner


def _whole(value: Any, bits: int, where: str = "a number") -> int:
    if type(value) is not int or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise DocumentError(f"{where} is not an integer of {bits} bits")
    return value


def _typed(value: Any, expected: type) -> Any:
    """The value, if its type is the declared one. The value itself may be secret: not in the text.

    Texts, bytes and truth values are of exactly that type, since subclasses may print otherwise.
    """
    if type(value) is expected:
        return value
    if expected in (str, bytes, bool) or not isinstance(value, expected):
        raise DocumentError(f"{type(value).__name__} where {expected.__name__} is declared")
    return value


def _base64(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")
