"""Documents of a run that are not in the log, and the bundle that proves a release.

The log holds digests of these; each carries 32 random bytes (``salt``), so its digest is a
commitment: nobody can guess the content and compare.  They travel only to the parties entitled to
them.

* :class:`RunOrder`: what the data user asks (statement, parameters).
* :class:`CellVerdict`: which cells may be opened, by the checker for the nodes.
* :class:`CheckedResult`: what is released, by the checker for the data user.
* :class:`ReleaseBundle`: one file with which anybody whom the data user gives it can verify a
  result offline; see :mod:`stayput.audit`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stayput import documents
from stayput.documents import Int64, document
from stayput.scenario import ParameterValue
from stayput.table import ResultTable

Passes = npt.NDArray[np.bool_]
"""Cells × measures (a plan's counts, then its values): may this be opened and released?"""


@document("stayput.v1.Argument")
@dataclasses.dataclass(frozen=True)
class Argument:
    """A value given to a parameter: exactly one of the three."""

    name: str
    number: Int64 | None = None  # scaled by the parameter's decimals
    level: str | None = None
    truth: bool | None = None

    def __post_init__(self) -> None:
        if sum(v is not None for v in (self.number, self.level, self.truth)) != 1:
            raise ValueError(f"{self.name} has exactly one value")

    @property
    def value(self) -> ParameterValue:
        for candidate in (self.number, self.level, self.truth):
            if candidate is not None:
                return candidate
        raise AssertionError("unreachable: checked on construction")


@document("stayput.v1.RunOrder")
@dataclasses.dataclass(frozen=True)
class RunOrder:
    """Which statement of a sealed scenario to run, with which arguments (in order of name)."""

    run: bytes
    scenario: bytes
    statement: str
    arguments: tuple[Argument, ...]
    salt: bytes

    def __post_init__(self) -> None:
        _require_salt(self.salt)
        names = [argument.name for argument in self.arguments]
        if names != sorted(set(names)):
            raise ValueError("arguments are in order of name, each once")

    def parameters(self) -> dict[str, ParameterValue]:
        """The arguments as a mapping."""
        return {argument.name: argument.value for argument in self.arguments}


def arguments_from(values: Mapping[str, ParameterValue]) -> tuple[Argument, ...]:
    """Arguments in canonical order; names and ranges are checked by :func:`stayput.sql.bind`."""
    out = []
    for name in sorted(values):
        value = values[name]
        if isinstance(value, bool):
            out.append(Argument(name, truth=value))
        elif isinstance(value, int):
            out.append(Argument(name, number=value))
        else:
            out.append(Argument(name, level=value))
    return tuple(out)


@document("stayput.v1.CellVerdict")
@dataclasses.dataclass(frozen=True)
class CellVerdict:
    """Cells × measures as a bit map, row-major, most significant bit first, zero-padded."""

    run: bytes
    cells: int
    measures: int
    passes: bytes
    salt: bytes

    def __post_init__(self) -> None:
        _require_salt(self.salt)
        bits = self.cells * self.measures
        if self.cells < 1 or self.measures < 1 or len(self.passes) != (bits + 7) // 8:
            raise ValueError("the bit map does not have the size it claims")
        if bits % 8 and self.passes[-1] & (0xFF >> bits % 8):
            raise ValueError("the padding of the bit map is not zero")

    def matrix(self) -> Passes:
        """Boolean matrix, cells × measures."""
        bits = np.unpackbits(np.frombuffer(self.passes, dtype=np.uint8))
        count = self.cells * self.measures
        return bits[:count].astype(np.bool_).reshape(self.cells, self.measures)


def cell_verdict(run: bytes, passes: Passes, salt: bytes) -> CellVerdict:
    """The document of a boolean matrix, cells × measures."""
    cells, measures = passes.shape
    return CellVerdict(run, cells, measures, np.packbits(passes.ravel()).tobytes(), salt)


@document("stayput.v1.CheckedResult")
@dataclasses.dataclass(frozen=True)
class CheckedResult:
    """The only thing that leaves: a table after output checking, and what it answers."""

    run: bytes
    scenario: bytes
    statement: str
    arguments: tuple[Argument, ...]
    min_count: int
    min_holders: int
    table: ResultTable
    salt: bytes
    compared: Int64 = 0  # numbers in round one about earlier answers; the parts are bound to it

    def __post_init__(self) -> None:
        _require_salt(self.salt)
        if self.compared < 0:
            raise ValueError("compared is at least 0")


@document("stayput.v1.ProvenEntry")
@dataclasses.dataclass(frozen=True)
class ProvenEntry:
    """A log entry and its inclusion proof, from the leaf up, in the tree of the checkpoint."""

    index: Int64
    entry: bytes
    proof: tuple[bytes, ...]


@document("stayput.v1.ReleaseBundle")
@dataclasses.dataclass(frozen=True)
class ReleaseBundle:
    """Everything needed to verify one release offline; the member list is pinned separately.

    ``checkpoint`` is the log's signed note with every holder's cosignatures, ``entries`` are
    entry 0 and every entry of the scenario's approval and of the run, in log order.
    """

    checkpoint: bytes
    entries: tuple[ProvenEntry, ...]
    scenario: bytes
    order: bytes
    result: bytes


def seal_info(run: bytes) -> bytes:
    """The context to which the sealed result is bound (HPKE ``info``)."""
    return b"stayput/v1/result\x00" + run


def sealed_digest(sealed: bytes) -> bytes:
    """What a release says of the bytes encrypted to the data user."""
    return documents.digest_bytes("stayput.v1.SealedResult", sealed)


def _require_salt(salt: bytes) -> None:
    if len(salt) != 32:
        raise ValueError("the salt has 32 bytes")
