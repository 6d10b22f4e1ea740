"""The command line in this process: ``stayput("log", "show")`` and what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pets
import pytest
from cli.transcript import Outcome, Stayput

from stayput.cli import main
from stayput.crypto.signing import SigningKey
from stayput.federation import Federation, LocalLink
from stayput.identity import Identity, save_members
from stayput.link import LogPage
from stayput.membership import Members

PEOPLE = [SigningKey.from_bytes(bytes([i]) * 32) for i in range(41, 44)]
"""Reviewers of the authority ``bureau``, of whom two sign."""


@pytest.fixture
def stayput(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Stayput:
    """Runs a command line in an empty folder; never lets a traceback through."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STAYPUT_HOME", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: str, home: Path | None = None) -> Outcome:
        capsys.readouterr()
        code = main([*words, *(["--home", str(home)] if home is not None else [])])
        written = capsys.readouterr()
        assert "Traceback" not in written.err + written.out
        return Outcome(code, written.out, written.err)

    return run


class _Settling(LocalLink):
    """A link over which everybody else works whenever this party waits."""

    def __init__(self, federation: Federation, name: str) -> None:
        super().__init__(lambda: federation.coordinator, federation.members[name])
        self._federation = federation

    def read_log(self, start: int, wait_ms: int, known: bytes = b"") -> LogPage:
        if wait_ms:
            self._federation.settle()
        return super().read_log(start, wait_ms, known)

    def __enter__(self) -> _Settling:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The pets' consortium, every party joined in its own home folder."""
    root = tmp_path_factory.mktemp("pets")
    federation = Federation(
        root,
        holders=pets.HOLDERS,
        checker="office",
        user="asker",
        sources=pets.sources(root),
        stager=lambda name: pets.TableStager(pets.rows_of(name)),
        paillier_bits=2048,
        auditors=("bureau", "clinic"),
        reviewers={"bureau": ([key.public for key in PEOPLE], 2)},
    )
    for name in federation.identities:
        save_members(root / name, federation.members.envelope, coordinator="127.0.0.1:1")
    yield federation
    federation.close()


@pytest.fixture
def live(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> Federation:
    """Commands reach the federation's coordinator; only the wire is left out."""

    def link(identity: Identity, members: Members) -> _Settling:
        assert members.digest == federation.members.digest
        return _Settling(federation, identity.name)

    monkeypatch.setattr("stayput.connecting.GrpcLink", link)
    monkeypatch.setattr("stayput.daemon.GrpcLink", link)
    return federation
