"""Frames and rows between node and staging process: exact both ways, malformed ones refused."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput import documents
from stayput.engines.contract import Kind, Violation
from stayput.engines.duckdb import EngineCode
from stayput.errors import DocumentError
from stayput.staging.messages import (
    MAX_FRAME,
    Code,
    Failed,
    encode_rows,
    pack_frame,
    parse_rows,
    read_frame,
)

VALUES = st.none() | st.booleans() | st.integers(-(2**127), 2**127) | st.text(max_size=5)


@given(st.integers(0, 4).flatmap(lambda n: st.lists(st.tuples(*[VALUES] * n), max_size=5)))
def test_rows_come_back_as_they_were(rows: list[tuple[object, ...]]) -> None:
    got = parse_rows(encode_rows(rows), len(rows))  # type: ignore[arg-type]
    assert got == rows
    assert [[type(v) for v in row] for row in got] == [[type(v) for v in row] for row in rows]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 0),
        (b"[", 0),
        (b"\xff", 0),
        (b"{}", 1),
        (b'[["#1"]]', 2),
        (b'[["#1"],["#1","#2"]]', 2),
        (b"[[1]]", 1),
        (b"[[1.5]]", 1),
        (b"[[NaN]]", 1),
        (b'[["1"]]', 1),
        (b'[[""]]', 1),
        (b'[["#01"]]', 1),
        (b'[["#1_0"]]', 1),
        (b'[["# 1"]]', 1),
        (b'[["#+1"]]', 1),
        (b'[["#"]]', 1),
        (b'[[["#1"]]]', 1),
        (b"[1]", 1),
        (b"null", 0),
        (b"[" * 100_000, 1),
        (json.dumps([["#" + "9" * 10_000]]).encode(), 1),
    ],
)
def test_malformed_rows_are_refused(data: bytes, count: int) -> None:
    with pytest.raises(DocumentError):
        parse_rows(data, count)


def test_frames() -> None:
    data = pack_frame(b"one") + pack_frame(b"")
    stream = io.BytesIO(data)
    assert read_frame(stream.read) == b"one"
    assert read_frame(stream.read) == b""
    with pytest.raises(DocumentError):
        read_frame(io.BytesIO((MAX_FRAME + 1).to_bytes(4, "big")).read)


def test_every_engine_code_has_a_code_on_the_pipe() -> None:
    assert {code.name for code in EngineCode} <= {code.name for code in Code}


def test_violations_travel() -> None:
    failed = Failed(Code.DATA_DO_NOT_FIT, (Violation(Kind.MISSING_COLUMN, "x", 2**40, ("a", "ü")),))
    assert documents.parse(Failed, documents.encode(failed)) == failed
