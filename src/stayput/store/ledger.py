"""A holder's own ledger: what it approved, what it charged, what it is about to send.

Nobody else writes here, so a coordinator that lies about approvals, limits or runs meets facts it
cannot change.  A run is charged before anything is computed, in one transaction with the check of
the limit: two runs at once cannot both take the last one.  A contribution is stored before it is
sent and never replaced, so a retry sends the same bytes (no keystream masks two vectors, and no
number gets noise twice).

A run with noise is charged to the privacy budget of its data set in the same transaction (clause
D-4).  What is charged stays charged, whatever becomes of the run.

Every charge says whose run it was and about which table, so that quotas hold over all scenarios
(clause N-9), also those that were set later.

Partial sums waiting for round two are kept sealed (AES-256-GCM under a key of the holder's) and
erased when the run is over; rows are never here.
"""

from __future__ import annotations

import dataclasses
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stayput import documents
from stayput.errors import NotFound, RuleViolation, VerificationError
from stayput.quota import Quota, Use, concerned
from stayput.steps import DeletionCheck, Outcome, Round
from stayput.store import lineage
from stayput.store.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS approval (
    scenario BLOB PRIMARY KEY, report BLOB NOT NULL, runs INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS charge (run BLOB PRIMARY KEY, scenario BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS spent (
    run BLOB PRIMARY KEY, lineage TEXT NOT NULL, cost INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS metered (
    run BLOB NOT NULL, source TEXT NOT NULL, user TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (run, source)) STRICT;
CREATE TABLE IF NOT EXISTS local_staging (
    staging BLOB PRIMARY KEY, receipt BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS partial (run BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outgoing (
    run BLOB NOT NULL, name TEXT NOT NULL, step BLOB NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (run, name)) STRICT;
CREATE TABLE IF NOT EXISTS note (
    position INTEGER PRIMARY KEY, run BLOB NOT NULL, time INTEGER NOT NULL, message TEXT NOT NULL,
    hint TEXT NOT NULL) STRICT;
"""


@dataclasses.dataclass(frozen=True)
class Outgoing:
    """A signed step and what goes with it, fixed before it is sent the first time."""

    step: bytes
    payload: bytes = b""


@dataclasses.dataclass(frozen=True)
class Spend:
    """What a run costs of a data set's budget, in units of 1 / :data:`stayput.privacy.PICO`."""

    lineage: str
    cost: int
    total: int


@dataclasses.dataclass(frozen=True)
class Note:
    """A message for the holder's own people about a run."""

    run: bytes
    time: int
    message: str
    hint: str


@documents.document("stayput.store.LocalReceipt")
@dataclasses.dataclass(frozen=True)
class LocalReceipt:
    """What became of a staging that was no run, such as an estimate: it is in no log.

    ``scenario`` is empty if nobody knows any more, since a kill ended the staging.
    """

    staging: bytes
    scenario: bytes
    outcome: Outcome
    passed: tuple[DeletionCheck, ...]
    failed: tuple[DeletionCheck, ...]
    started: documents.Int64
    ended: documents.Int64


STORAGE_KEY = b"stayput/v1/storage"
"""Label under which a party derives the key that seals its partial sums at rest."""


class Ledger:
    """The ledger of one holder.

    Args:
        path: SQLite file.
        key: 32 bytes that seal partial sums at rest.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._database = Database(path, _SCHEMA + lineage.SCHEMA)
        self._cipher = AESGCM(key)
        self.lineages = lineage.LineageBook(self._database, self._cipher)

    def approve(self, scenario: bytes, report: bytes, runs: int) -> None:
        """Record the holder's own approval and the number of runs it read."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO approval (scenario, report, runs) VALUES (?, ?, ?)",
                (scenario, report, runs),
            )

    def revoke(self, scenario: bytes) -> None:
        """Record that the approval is taken back: effective at once, before anybody is told."""
        with self._database.transaction() as connection:
            # Also of an approval that this ledger does not know (any more): it stays taken back.
            connection.execute(
                "INSERT INTO approval (scenario, report, runs, revoked) VALUES (?, x'', 0, 1) "
                "ON CONFLICT (scenario) DO UPDATE SET revoked = 1",
                (scenario,),
            )

    def is_approved(self, scenario: bytes) -> bool:
        """Whether this holder approved the scenario and has not revoked it."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT revoked FROM approval WHERE scenario = ?", (scenario,)
            ).fetchone()
        return row is not None and row[0] == 0

    def charge(
        self,
        scenario: bytes,
        run: bytes,
        spend: Spend | None = None,
        use: Use | None = None,
        quotas: Sequence[Quota] = (),
    ) -> None:
        """Take one run from the scenario's limit, from the quotas of what it is about, and its cost
        from a budget; again is free.

        All or nothing, and on disk when this returns.

        Args:
            use: whose run it is, about which tables.
            quotas: of this holder; those that the run is charged to are found here.

        Raises:
            RuleViolation: not approved here, revoked, or a limit, quota or budget is used up.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT runs, revoked FROM approval WHERE scenario = ?", (scenario,)
            ).fetchone()
            if row is None or row[1]:
                raise RuleViolation("this holder has not approved the scenario", clause="N-2")
            if connection.execute("SELECT 1 FROM charge WHERE run = ?", (run,)).fetchone():
                return
            (used,) = connection.execute(
                "SELECT COUNT(*) FROM charge WHERE scenario = ?", (scenario,)
            ).fetchone()
            if used >= row[0]:
                raise RuleViolation("the scenario's runs are used up at this holder", clause="N-4")
            if use is not None:
                _meter(connection, run, use, quotas)
            connection.execute("INSERT INTO charge VALUES (?, ?)", (run, scenario))
            if spend is not None:
                _spend(connection, run, spend)

    def used(self, quota: Quota, now: int) -> tuple[int, dict[str, int]]:
        """Runs that count against a quota at ``now``: of all, and of each data user."""
        with self._database.reading() as connection:
            return _used(connection, quota, now)

    def keep_local(self, receipt: LocalReceipt) -> None:
        """Keep the facts of a staging that was no run: for this holder's own people."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO local_staging VALUES (?, ?)",
                (receipt.staging, documents.encode(receipt)),
            )

    def kept_local(self) -> tuple[LocalReceipt, ...]:
        """The receipts of stagings that were no runs, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT receipt FROM local_staging ORDER BY rowid").fetchall()
        return tuple(documents.parse(LocalReceipt, receipt) for (receipt,) in rows)

    def charged(self, scenario: bytes) -> int:
        """How many runs of the scenario were charged."""
        with self._database.reading() as connection:
            (used,) = connection.execute(
                "SELECT COUNT(*) FROM charge WHERE scenario = ?", (scenario,)
            ).fetchone()
        return int(used)

    def spent(self, lineage: str) -> int:
        """What all runs so far have cost of a data set's budget."""
        with self._database.reading() as connection:
            return _spent(connection, lineage)

    def store(
        self,
        run: bytes,
        outgoing: dict[str, Outgoing],
        *,
        partial: bytes | None = None,
        kept: lineage.Kept | None = None,
    ) -> None:
        """Fix what will be sent, and optionally the partial sums for round two and what later
        answers are compared with, together.

        What is there already stays as it is.
        """
        key = None if kept is None else self.lineages.key(kept.source)
        sealed = None
        if partial is not None:
            nonce = secrets.token_bytes(12)
            sealed = nonce + self._cipher.encrypt(nonce, partial, run)
        with self._database.transaction() as connection:
            for name, item in outgoing.items():
                connection.execute(
                    "INSERT OR IGNORE INTO outgoing VALUES (?, ?, ?, ?)",
                    (run, name, item.step, item.payload),
                )
            if sealed is not None:
                connection.execute("INSERT OR IGNORE INTO partial VALUES (?, ?)", (run, sealed))
            if kept is not None and key is not None:
                self.lineages.keep(connection, run, kept, key)

    def outgoing(self, run: bytes, name: str) -> Outgoing | None:
        """What was fixed under this name, or None."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT step, payload FROM outgoing WHERE run = ? AND name = ?", (run, name)
            ).fetchone()
        return Outgoing(*row) if row else None

    def runs_with(self, name: str) -> tuple[bytes, ...]:
        """Runs for which something was fixed under this name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT run FROM outgoing WHERE name = ?", (name,)).fetchall()
        return tuple(run for (run,) in rows)

    def partial(self, run: bytes) -> bytes:
        """The partial sums kept for round two.

        Raises:
            NotFound: none are kept.
            VerificationError: the stored bytes were altered.
        """
        with self._database.reading() as connection:
            row = connection.execute("SELECT sealed FROM partial WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise NotFound("no partial sums are kept for this run")
        try:
            return self._cipher.decrypt(row[0][:12], row[0][12:], run)
        except InvalidTag:
            raise VerificationError("the kept partial sums were altered") from None

    def close_run(self, run: bytes) -> None:
        """Erase partial sums and ciphertexts of a run that is over; charges and steps stay."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM partial WHERE run = ?", (run,))
            connection.execute("UPDATE outgoing SET payload = x'' WHERE run = ?", (run,))

    def unfinished(self) -> tuple[bytes, ...]:
        """Runs that still have partial sums or ciphertexts here."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT run FROM partial UNION SELECT run FROM outgoing WHERE length(payload) > 0"
            ).fetchall()
        return tuple(run for (run,) in rows)

    def add_note(self, note: Note) -> None:
        """Keep a message for the holder's own people."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO note (run, time, message, hint) VALUES (?, ?, ?, ?)",
                dataclasses.astuple(note),
            )

    def notes(self) -> tuple[Note, ...]:
        """Messages for the holder's own people, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT run, time, message, hint FROM note ORDER BY position")
            return tuple(Note(*row) for row in rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _meter(connection: sqlite3.Connection, run: bytes, use: Use, quotas: Sequence[Quota]) -> None:
    for quota in concerned(quotas, use):
        everybody, each = _used(connection, quota, use.time)
        mine = each.get(use.user, 0)
        over = (quota.runs and everybody >= quota.runs) or (
            quota.runs_per_user and mine >= quota.runs_per_user
        )
        if over:
            raise RuleViolation(
                f"the quota {quota.name!r} is used up at this holder",
                clause="N-9",
                hint="`stayput node quota` shows it; [quotas] in stayput.toml sets it",
            )
    rows = [(run, table, use.user, use.time) for table in dict.fromkeys(use.tables)]
    connection.executemany("INSERT INTO metered VALUES (?, ?, ?, ?)", rows)


def _used(connection: sqlite3.Connection, quota: Quota, now: int) -> tuple[int, dict[str, int]]:
    marks = ", ".join("?" * len(quota.tables))
    rows = connection.execute(
        f"SELECT user, COUNT(DISTINCT run) FROM metered WHERE source IN ({marks}) AND time > ?"  # noqa: S608 - question marks
        " GROUP BY user",
        (*quota.tables, quota.since(now)),
    ).fetchall()
    each = {str(user): int(runs) for user, runs in rows}
    return sum(each.values()), each


def _spend(connection: sqlite3.Connection, run: bytes, spend: Spend) -> None:
    if spend.cost <= 0:
        raise ValueError("a run with noise costs something")
    if _spent(connection, spend.lineage) + spend.cost > spend.total:
        raise RuleViolation(
            f"the privacy budget of {spend.lineage!r} is used up at this holder",
            clause="D-4",
            hint="`stayput node budget` shows it; what was spent does not come back",
        )
    row = (run, spend.lineage, spend.cost)
    connection.execute("INSERT INTO spent VALUES (?, ?, ?)", row)


def _spent(connection: sqlite3.Connection, lineage: str) -> int:
    (found,) = connection.execute(
        "SELECT COALESCE(SUM(cost), 0) FROM spent WHERE lineage = ?", (lineage,)
    ).fetchone()
    return int(found)


def contribution_name(round: Round) -> str:
    """The name under which a round's contribution is fixed."""
    return f"contribution-{round.name.lower()}"
