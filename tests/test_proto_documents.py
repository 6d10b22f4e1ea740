"""The proto schema and the document classes say the same, field by field and byte by byte.

Oracle: protobuf itself. A document's bytes are parsed by ``google.protobuf.json_format`` into the
generated message, sent through the binary format, printed again and compared.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stayput
from stayput import documents
from stayput.v1 import documents_pb2

UNIONS = (types.UnionType, Union)
"""``int | None`` is the one, ``Int64 | None`` the other."""

POOL = descriptor_pool.Default()


def _document_classes() -> dict[str, type]:
    """Every document class of the package, by message name."""
    found: dict[str, type] = {}
    root = Path(stayput.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if "@document(" not in path.read_text(encoding="utf-8"):
            continue  # importing everything would load gRPC before its time
        name = ".".join(("stayput", *path.relative_to(root).with_suffix("").parts))
        for value in vars(importlib.import_module(name)).values():
            declared = getattr(value, "__document_type__", None)
            if isinstance(value, type) and isinstance(declared, str):
                assert found.setdefault(declared, value) is value, f"{declared} is declared twice"
    return found


CLASSES = _document_classes()


def _present(hint: Any) -> Any:
    if get_origin(hint) in UNIONS:
        (hint,) = [a for a in get_args(hint) if a is not type(None)]
    return hint


def _nested(cls: type) -> Iterator[Any]:
    """Types of the fields of a document class, one level down."""
    for hint in get_type_hints(cls, include_extras=True).values():
        inner = _present(hint)
        if get_origin(inner) is tuple:
            inner = get_args(inner)[0]
        elif get_origin(inner) not in (None, Annotated):
            inner = get_args(inner)[1]
        yield inner


def _reachable() -> tuple[dict[str, type], dict[str, type[enum.Enum]]]:
    messages, enums, todo = {}, {}, list(CLASSES.values())
    while todo:
        cls = todo.pop()
        messages[_message_name(cls)] = cls
        for inner in _nested(cls):
            if isinstance(inner, type) and issubclass(inner, enum.Enum):
                enums[f"stayput.v1.{inner.__name__}"] = inner
            elif dataclasses.is_dataclass(inner) and _message_name(inner) not in messages:
                todo.append(inner)  # type: ignore[arg-type]
    return messages, enums


def _message_name(cls: Any) -> str:
    return getattr(cls, "__document_type__", f"stayput.v1.{cls.__name__}")


MESSAGES, ENUMS = _reachable()

_KINDS = {
    bool: FieldDescriptor.TYPE_BOOL,
    bytes: FieldDescriptor.TYPE_BYTES,
    int: FieldDescriptor.TYPE_INT32,
    str: FieldDescriptor.TYPE_STRING,
}


def _expected_kind(hint: Any) -> int:
    if get_origin(hint) is Annotated:
        return FieldDescriptor.TYPE_INT64
    if hint in _KINDS:
        return _KINDS[hint]
    if issubclass(hint, enum.Enum):
        return FieldDescriptor.TYPE_ENUM
    return FieldDescriptor.TYPE_MESSAGE


def test_every_document_has_a_message_and_vice_versa() -> None:
    declared = {m.full_name for m in documents_pb2.DESCRIPTOR.message_types_by_name.values()}
    assert declared == set(MESSAGES)
    declared = {e.full_name for e in documents_pb2.DESCRIPTOR.enum_types_by_name.values()}
    assert declared == set(ENUMS)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_fields_agree(name: str) -> None:
    descriptor: Descriptor = POOL.FindMessageTypeByName(name)
    hints = get_type_hints(MESSAGES[name], include_extras=True)
    assert {field.name for field in descriptor.fields} == set(hints)
    for field in descriptor.fields:
        hint = hints[field.name]
        optional = get_origin(hint) in UNIONS
        inner = _present(hint)
        repeated = get_origin(inner) is tuple
        if repeated:
            inner = get_args(inner)[0]
        assert field.is_repeated == repeated, field.name
        assert field.type == _expected_kind(inner), field.name
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            assert field.message_type.full_name == _message_name(inner)
        elif not repeated:
            assert field.has_presence == optional, field.name


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enums_agree(name: str) -> None:
    descriptor: EnumDescriptor = POOL.FindEnumTypeByName(name)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", ENUMS[name].__name__).upper() + "_"
    expected = {prefix + "UNSPECIFIED": 0} | {prefix + m.name: m.value for m in ENUMS[name]}
    assert {value.name: value.number for value in descriptor.values} == expected


# --- bytes ----------------------------------------------------------------------------------------


def _values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field, chosen by its type alone."""
    origin = get_origin(hint)
    if origin in UNIONS:
        return st.none() | _values(_present(hint))
    if origin is Annotated:
        return st.integers(-(2**63), 2**63 - 1)
    if origin is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=3).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(st.text("ab_", max_size=3), _values(get_args(hint)[1]), max_size=2)
    if hint is int:
        return st.integers(-(2**31), 2**31 - 1)
    if hint is bool:
        return st.booleans()
    if hint is bytes:
        return st.binary(max_size=40)
    if hint is str:
        return st.text(st.characters(codec="utf-8"), max_size=12)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return _documents(hint)


def _documents(cls: type) -> st.SearchStrategy[Any]:
    """Documents of a class, without its own checks: the mapping must hold for all contents."""
    hints = get_type_hints(cls, include_extras=True)

    def build(values: tuple[Any, ...]) -> Any:
        made = object.__new__(cls)
        for name, value in zip(hints, values, strict=True):
            object.__setattr__(made, name, value)
        return made

    return st.tuples(*(_values(hint) for hint in hints.values())).map(build)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_protobuf_reads_and_writes_the_same_bytes(name: str) -> None:
    message_class = message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))

    @settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
    @given(_documents(CLASSES[name]))
    def check(doc: Any) -> None:
        data = documents.encode(doc)
        message = json_format.Parse(data, message_class())
        again = message_class.FromString(message.SerializeToString())
        printed = json_format.MessageToDict(again, preserving_proto_field_name=True)
        assert documents.canonical_json(printed) == data

    check()
