"""Where attacks are tried: three holders, a data user who asks what it likes, and what it is told.

The same attack runs against the federation in one process (:class:`InMemory`, the default) and
against real processes over TLS (:class:`Live`).  What everybody but the attacker does is honest;
the checker's own reasons are read afterwards, to name the rule that stopped the attack.
"""

from __future__ import annotations

import abc
import atexit
import contextlib
import dataclasses
import functools
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attacks.lying import World
from pets import HOLDERS, Row

from stayput import federation
from stayput.approval import approval_report, required_waivers
from stayput.connecting import connection
from stayput.disclosure import Reason
from stayput.disclosure.wording import reason_words
from stayput.errors import RunFailure, StayputError
from stayput.identity import Identity, load_identity
from stayput.review import approve, review_report

LEVELS = tuple("abcdefghij")
"""Values of ``colour`` here."""

HEAD = """\
scenario: {name}
title: A question of an attacker
purpose: Find out what a clever data user gets.
data_user: asker
checker: office
holders: [{holders}]
limits: {{runs: 200, valid_until: 2099-12-31}}
tables:
  pets:
    at: [{holders}]
    max_rows: 5000
    columns:
      colour: {{type: level, levels: [a, b, c, d, e, f, g, h, i, j], grade: public}}
      age: {{type: integer, min: 0, max: 100000, grade: internal}}
      weight: {{type: decimal, decimals: 1, min: -100000, max: 100000, grade: internal}}
statements:
"""

Parts = Mapping[str, Sequence[Row]]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the data user gets: rows (``None`` where a value is withheld), or one sentence."""

    rows: tuple[dict[str, Any], ...]
    refused: str = ""
    rules: tuple[str, ...] = ()  # why cells are withheld, for the table of attacks

    @property
    def row(self) -> dict[str, Any]:
        """The one row of an answer without keys."""
        (row,) = self.rows
        return row

    def by(self, key: str = "colour") -> dict[Any, dict[str, Any]]:
        """The rows by a group key."""
        return {row[key]: row for row in self.rows}


class Court(abc.ABC):
    """One fresh consortium."""

    live = False

    @abc.abstractmethod
    def put(self, parts: Parts) -> None:
        """Give every holder its rows."""

    @abc.abstractmethod
    def agree(self, text: str, holders: Sequence[str]) -> tuple[bytes, str]:
        """Propose, and let these holders approve: the digest, and what a holder was shown."""

    @abc.abstractmethod
    def ask(self, scenario: bytes, statement: str) -> Answer:
        """Run a statement."""

    def seal(
        self,
        statements: Mapping[str, str],
        output: str = "",
        name: str = "question",
        holders: Sequence[str] = HOLDERS,
    ) -> tuple[bytes, str]:
        """A scenario with these statements, with the default output policy or this one."""
        text = HEAD.format(name=name, holders=", ".join(holders))
        for statement, sql in statements.items():
            text += f"  {statement}:\n    sql: {json.dumps(sql)}\n"
        return self.agree(text + (f"output: {{{output}}}\n" if output else ""), holders)

    def question(self, sql: str, parts: Parts, output: str = "") -> Answer:
        """One statement over these rows."""
        self.put(parts)
        scenario, _ = self.seal({"question": sql}, output)
        return self.ask(scenario, "question")


def _plain(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {name: value for name, value in row.items() if not name.endswith("__withheld")}
        for row in rows
    )


class InMemory(Court):
    """All parties in this process, with real keys and real encryption."""

    def __init__(self, root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(federation, "_identity", _identity)
            self.world = World(root)

    def put(self, parts: Parts) -> None:
        for holder in HOLDERS:
            self.world.stagers[holder].rows = list(parts[holder])

    def agree(self, text: str, holders: Sequence[str]) -> tuple[bytes, str]:
        digest = self.world.client.propose(text)
        scenario = self.world.client.scenario(digest)
        everybody = self.world.holders
        self.world.holders = tuple(holders)
        self.world.approve(scenario)
        self.world.holders = everybody
        return digest, approval_report(scenario, "north").text

    def ask(self, scenario: bytes, statement: str) -> Answer:
        try:
            run = self.world.client.run(scenario, statement)
            self.world.settle()
            rows = run.wait().table.to_pylist()
        except RunFailure as error:
            failure = self.world.failure(run.id)
            code = "" if failure is None else failure.name
            return Answer((), error.message, (f"the run fails: {code}",))
        found = {reason_words(r) for row in self.world.checker.reasons(run.id) for r in row}
        return Answer(_plain(rows), "", tuple(sorted(found - {"released"})))


@functools.cache
def _keys() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="stayput-keys-"))
    atexit.register(shutil.rmtree, folder)
    return folder


def _identity(home: Path, name: str, *given: Any) -> Identity:
    """A party's folder, copied from the first court's: new keys take seconds."""
    kept = _keys() / name
    if not kept.exists():
        _new_identity(kept, name, *given)
    shutil.copytree(kept, home)
    return load_identity(home)


_new_identity = federation._identity


class Live(Court):
    """Daemons of their own, over TLS; the attacker has nothing but a client."""

    live = True

    def __init__(self, consortium: Any) -> None:
        self._consortium = consortium
        self._client = consortium.client()

    def put(self, parts: Parts) -> None:
        from e2e.consortium import write_rows

        for holder in HOLDERS:
            write_rows(self._consortium.source(holder), list(parts[holder]))

    def agree(self, text: str, holders: Sequence[str]) -> tuple[bytes, str]:
        digest: bytes = self._client.propose(text)
        needed = required_waivers(self._client.scenario(digest))
        for name in holders:
            home = self._consortium.home(name)
            with (
                connection(home) as (identity, replica, link),
                self._consortium.ledger(name) as own,
            ):
                review = review_report(identity, replica, link, digest)
                clock = lambda: int(time.time())  # noqa: E731
                approve(review, identity, replica, link, own, waivers=needed, clock=clock)
        self._client.wait_until_sealed(digest, timeout=30)
        return digest, approval_report(self._client.scenario(digest), "north").text

    def ask(self, scenario: bytes, statement: str) -> Answer:
        try:
            run = self._client.run(scenario, statement)
            rows = run.wait(timeout=90).table.to_pylist()
        except StayputError as error:
            return Answer((), error.message)
        shown = self._consortium.cli("office", "checker", "reasons", run.id.hex(), "--json")
        codes = {row["reason"] for row in json.loads(shown.stdout or "[]")}
        words = {reason_words(Reason[code.upper()]) for code in codes}
        return Answer(_plain(rows), "", tuple(sorted(words)))


@contextlib.contextmanager
def in_memory() -> Iterator[InMemory]:
    """A fresh court in this process."""
    with tempfile.TemporaryDirectory(prefix="stayput-court-") as folder:
        court = InMemory(Path(folder))
        try:
            yield court
        finally:
            court.world.close()


@contextlib.contextmanager
def live() -> Iterator[Live]:
    """A fresh court of real processes."""
    from e2e.consortium import running

    with (
        tempfile.TemporaryDirectory(prefix="stayput-court-") as folder,
        running(Path(folder)) as consortium,
    ):
        court = Live(consortium)
        try:
            yield court
        finally:
            court._client.close()
