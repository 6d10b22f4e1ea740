"""Planted values, and a scanner that finds them in whatever form they could have been written."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import secrets
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

MAX_BYTES = 64 * 2**20


def base64_forms(data: bytes) -> Iterator[bytes]:
    """How the bytes look inside longer base64, wherever they start: three alignments."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data)
        # Characters, of six bits, that depend on nothing but the data.
        yield whole[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


@dataclasses.dataclass(frozen=True)
class Canary:
    """A planted value and the byte strings of which none may turn up."""

    name: str
    forms: tuple[bytes, ...]

    @classmethod
    def of_text(cls, text: str) -> Canary:
        plain = text.encode("ascii")
        return cls(text, _encoded([plain, text.encode("utf-16-le"), plain.hex().encode()]))

    @classmethod
    def of_number(cls, number: int, *, decimals: int = 0) -> Canary:
        """A number of 41 to 47 bits, so that six of its bytes do not turn up by chance.

        Integers of 6, 8, 16… bytes contain its six; SQLite, Parquet, protobuf, DuckDB write those.
        """
        assert 2**40 < number < 2**47
        texts = [str(number), f"{number:x}"]
        if decimals:
            texts.append(f"{number / 10**decimals:.{decimals}f}")
        real = number / 10**decimals
        raw = [number.to_bytes(6, "big"), number.to_bytes(6, "little")]
        raw += [struct.pack("<d", number), struct.pack(">d", number), _varint(number)]
        raw += [struct.pack("<d", real), struct.pack(">d", real), _varint(number << 1)]
        return cls(str(number), _encoded([*(text.encode() for text in texts), *raw]))


def _encoded(plain: Iterable[bytes]) -> tuple[bytes, ...]:
    """The forms themselves, in base64, and in base64 of base64 (bytes in a signed document)."""
    forms = list(plain)
    once = [form for one in forms for form in base64_forms(one)]
    twice = [form for one in once for form in base64_forms(one)]
    return tuple(dict.fromkeys(forms + once + twice))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def random_number() -> int:
    """Odd, so that a tenth of it is no whole number, which SQLite would store as another type."""
    return 2**46 + (secrets.randbelow(2**46) | 1)


def found_in(data: bytes, canaries: Iterable[Canary]) -> list[str]:
    """Names of the canaries that are in the bytes."""
    return [one.name for one in canaries if any(form in data for form in one.forms)]


class Scanner:
    """Looks for canaries in files; those that have not changed since are not read again."""

    def __init__(self, canaries: Iterable[Canary], *, spared: Iterable[Path] = ()) -> None:
        self.canaries = tuple(canaries)
        self._spared = {path.resolve() for path in spared}
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self.findings: set[tuple[str, str]] = set()
        self.files: set[Path] = set()
        self.bytes = 0

    def scan(self, *places: Path) -> set[tuple[str, str]]:
        """(canary, place) of everything found so far; file names are searched as well."""
        for place in places:
            if place.is_file():
                self._file(place)
            for folder, _, names in os.walk(place):
                for name in names:
                    self._file(Path(folder) / name)
        return self.findings

    def _file(self, path: Path) -> None:
        if path.resolve() in self._spared:
            return
        with contextlib.suppress(OSError):  # gone, or a socket
            state = path.stat()
            mark = (state.st_mtime_ns, state.st_size, state.st_ino)
            if not path.is_file() or self._seen.get(path) == mark or state.st_size > MAX_BYTES:
                return
            self._look(str(path), path.read_bytes())
            self._seen[path] = mark
            self.files.add(path)

    def scan_descriptors(self, pid: int) -> None:
        """Also what a process has open: files that were deleted have no name."""
        links: list[Path] = []
        with contextlib.suppress(OSError):  # it has ended
            links = list(Path(f"/proc/{pid}/fd").iterdir())
        for link in links:
            with contextlib.suppress(OSError):  # closed since the listing
                target = os.readlink(link)
                if target.endswith(" (deleted)") or "memfd:" in target:
                    self._look(f"{pid}:{target}", link.read_bytes())

    def _look(self, place: str, data: bytes) -> None:
        self.bytes += len(data)
        for name in found_in(place.encode() + b"\n" + data, self.canaries):
            self.findings.add((name, place))


class Relay:
    """A TCP relay that keeps every byte it passes on, in both directions."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.seen = bytearray()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                thread = threading.Thread(target=self._pump, args=(source, sink), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                with self._lock:
                    self.seen += data
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()
