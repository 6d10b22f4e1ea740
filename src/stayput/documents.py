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

import base64
import binascii
import dataclasses
import enum
import functools
import hashlib
import json
import re
import types
from collections.abc import Callable, Mapping
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
    return canonical_json(_to_json(doc, type(doc)))


def parse(cls: type[D], data: bytes) -> D:
    """Parse untrusted bytes as a document of class ``cls``.

    Raises:
        DocumentError: not the canonical JSON of such a document.
    """
    value = parse_canonical_json(data)
    doc = _from_json(value, cls, cls.__name__)
    if encode(doc) != data:
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
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise DocumentError("text is not valid Unicode") from None


def parse_canonical_json(data: bytes) -> Any:
    """Parse untrusted canonical JSON; anything not byte-for-byte canonical is refused.

    Raises:
        DocumentError: too long, not JSON, a float, a duplicate key, not canonical.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise DocumentError(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            object_pairs_hook=_unique_keys,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError):
        raise DocumentError("not a JSON document") from None
    if canonical_json(value) != data:
        raise DocumentError("the JSON is not in canonical form")
    return value


def _refuse_number(text: str) -> Any:
    raise DocumentError("a document has no fractional numbers")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise DocumentError("a JSON object repeats a key")
    return result


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


@functools.cache
def _enum_prefix(cls: type[enum.Enum]) -> str:
    """``RefusalReason`` -> ``REFUSAL_REASON_``: enum values carry their type (buf STANDARD)."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper() + "_"


def _to_json(value: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in _UNIONS:
        return _to_json(value, _present(hint))
    if origin is tuple:
        return [_to_json(item, get_args(hint)[0]) for item in _typed(value, tuple)]
    if _is_mapping(origin):
        items = _typed(value, Mapping).items()
        return {key: _to_json(item, get_args(hint)[1]) for key, item in items}
    if dataclasses.is_dataclass(hint):
        return _object_to_json(_typed(value, hint), hint)  # type: ignore[arg-type]
    return _scalar_to_json(value, hint)


def _scalar_to_json(value: Any, hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        return str(_whole(value, 64))
    if hint is int:
        return _whole(value, 32)
    _typed(value, hint)
    if hint is bytes:
        return base64.b64encode(value).decode("ascii")
    if issubclass(hint, enum.Enum):
        return _enum_prefix(hint) + value.name
    return value


def _object_to_json(value: Any, cls: type) -> dict[str, Any]:
    out = {}
    for name, hint, default in _fields(cls):
        item = getattr(value, name)
        if item is None and default is None:
            continue
        encoded = _to_json(item, hint)  # before comparing: False is no 0, [] is no ()
        if default is _REQUIRED or item != default:
            out[name] = encoded
    return out


def _from_json(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in _UNIONS:
        return _from_json(value, _present(hint), where)
    if origin is tuple:
        if not isinstance(value, list):
            raise DocumentError(f"{where} is not a list")
        return tuple(_from_json(v, get_args(hint)[0], f"{where}[{i}]") for i, v in enumerate(value))
    if not (_is_mapping(origin) or dataclasses.is_dataclass(hint)):
        return _scalar_from(value, hint, where)
    if not isinstance(value, dict):
        raise DocumentError(f"{where} is not an object")
    if _is_mapping(origin):
        inner = get_args(hint)[1]
        return {k: _from_json(v, inner, f"{where}[{k[:80]!r}]") for k, v in value.items()}
    return _object_from(value, hint, where)


def _scalar_from(value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) is Annotated:
        if not isinstance(value, str) or not _is_decimal(value):
            raise DocumentError(f"{where} is not an integer in text form")
        return _whole(int(value), 64, where)
    if hint is int:
        return _whole(value, 32, where)
    if hint is bytes:
        return _bytes_from(value, where)
    if issubclass(hint, enum.Enum):
        names = {_enum_prefix(hint) + member.name: member for member in hint}
        if not isinstance(value, str) or value not in names:
            raise DocumentError(f"{where} is not one of {', '.join(names)}")
        return names[value]
    if type(value) is not hint:
        raise DocumentError(f"{where} is not {'text' if hint is str else 'true or false'}")
    return value


def _object_from(value: dict[str, Any], cls: type, where: str) -> Any:
    fields = _fields(cls)
    unknown = set(value) - {name for name, _, _ in fields}
    if unknown:
        raise DocumentError(f"{where} has an unknown field {min(unknown)[:80]!r}")
    arguments = {}
    for name, hint, default in fields:
        if name in value:
            arguments[name] = _from_json(value[name], hint, f"{where}.{name}")
        elif default is _REQUIRED:
            raise DocumentError(f"{where} lacks the field {name!r}")
        else:
            arguments[name] = default
    try:
        return cls(**arguments)
    except ValueError as error:
        raise DocumentError(f"{where}: {error}") from None


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
    exact = expected in (str, bytes, bool)
    if not (type(value) is expected if exact else isinstance(value, expected)):
        raise DocumentError(f"{type(value).__name__} where {expected.__name__} is declared")
    return value


def _is_decimal(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 19 and str(int(text)) == text


def _bytes_from(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise DocumentError(f"{where} is not base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise DocumentError(f"{where} is not base64 text") from None
