"""An exported log: one file with which anybody verifies the whole history offline.

Text, one canonical JSON object a line: a header with the signed checkpoint, then every entry,
byte for byte as it stands in the log (an envelope has no line break).  Invariant:
``log_file(*parse_log_file(data)) == data`` for every accepted ``data``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from stayput import documents
from stayput.errors import DocumentError

MAX_LOG_FILE_BYTES = 1 << 30
"""About half a million entries; a longer log wants another form."""

FORMAT = "stayput-log-1"


def log_file(entries: Sequence[bytes], checkpoint: bytes) -> bytes:
    """The bytes of the file."""
    header = {"checkpoint": base64.b64encode(checkpoint).decode("ascii"), "format": FORMAT}
    return b"".join(line + b"\n" for line in (documents.canonical_json(header), *entries))


def parse_log_file(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Entries and checkpoint from untrusted bytes; nothing is verified.

    Raises:
        DocumentError: not such a file.
    """
    if len(data) > MAX_LOG_FILE_BYTES:
        raise DocumentError(f"a log file has at most {MAX_LOG_FILE_BYTES} bytes")
    if not data.endswith(b"\n"):
        raise _no_log("its last line does not end")
    head, *entries = data[:-1].split(b"\n")
    try:
        header = documents.parse_canonical_json(head)
        checkpoint = base64.b64decode(header["checkpoint"], validate=True)
        stands = header == {"checkpoint": header["checkpoint"], "format": FORMAT}
    except (DocumentError, binascii.Error, KeyError, TypeError, ValueError):
        stands = False
    if not stands:
        raise _no_log("its first line is no header of one")
    return tuple(entries), checkpoint


def _no_log(why: str) -> DocumentError:
    return DocumentError(
        f"not an exported log: {why}", hint="make one with `stayput log export FILE`"
    )
