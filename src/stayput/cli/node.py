"""Commands of a holder about its own node: node notes, budget, quota, estimate, receipts."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stayput.cli.opening import find_scenario, opened, opened_ledger
from stayput.cli.runs import Parameters, parse_parameters
from stayput.cli.scenarios import ScenarioId, moment
from stayput.cli.terminal import DEFAULT_HOME, AsJson, Home, put_json, put_table, say
from stayput.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from stayput.estimating import LocalCells
    from stayput.quota import Quota
    from stayput.scenario import ParameterValue, Scenario
    from stayput.staging import DeletionFacts, StagingPool
    from stayput.store.ledger import Ledger

STAGED = "estimates"
"""Folder of a home in which estimates are staged, apart from the node's runs: whoever starts there
sweeps it."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="A holder's node.", rich_markup_mode=None)
    for command in (notes, budget, quota, estimate, receipts):
        group.command()(command)
    app.add_typer(group, name="node")


def notes(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print the node's messages for this holder's own people; nobody else gets them."""
    from stayput.identity import load_identity

    with opened_ledger(load_identity(home)) as ledger:
        found = ledger.notes()
    if as_json:
        put_json(
            [
                {"run": n.run.hex(), "time": n.time, "message": n.message, "hint": n.hint}
                for n in found
            ]
        )
        return
    put_table(
        ("time", "run", "message", "hint"),
        [(moment(n.time), n.run.hex()[:12], n.message, n.hint) for n in found],
    )
    if not found:
        say("no messages")


def budget(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print what is spent and left of the privacy budget of each data set."""
    from stayput.config import load_settings
    from stayput.identity import load_identity
    from stayput.privacy import PICO, USUAL_DELTA, epsilon_of

    budgets = load_settings(home).budgets
    with opened_ledger(load_identity(home)) as ledger:
        rows = [(one, ledger.spent(one.name)) for one in budgets]
    if as_json:
        put_json(
            [
                {
                    "budget": one.name,
                    "tables": list(one.tables),
                    "total_pico_rho": one.total,
                    "spent_pico_rho": spent,
                    "delta": str(USUAL_DELTA),
                    "spent_epsilon": str(epsilon_of(spent, USUAL_DELTA)),
                    "total_epsilon": str(epsilon_of(one.total, USUAL_DELTA)),
                }
                for one, spent in rows
            ]
        )
        return

    def both(rho: int) -> str:
        return f"{rho / PICO:.6g}, epsilon {epsilon_of(rho, USUAL_DELTA)}"

    put_table(
        ("data set", "tables", "spent rho", "of rho", "left"),
        [
            (one.name, ", ".join(one.tables), both(spent), both(one.total), _left(one.total, spent))
            for one, spent in rows
        ],
    )
    say(
        f"each epsilon is at a delta of {USUAL_DELTA}; what is spent does not come back"
        if rows
        else "no budget: stayput.toml has no [budgets.TABLE], so no scenario with noise is answered"
    )


def _left(total: int, spent: int) -> str:
    return f"{max(0, 100 * (total - spent) // max(total, 1))} %"


def quota(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print how many runs about each data set this node has answered, and may answer."""
    from stayput.config import load_settings
    from stayput.daemon import clock
    from stayput.identity import load_identity

    quotas = load_settings(home).quotas
    now = clock()
    with opened_ledger(load_identity(home)) as ledger:
        rows = [(one, *ledger.used(one, now)) for one in quotas]
    if as_json:
        put_json(
            [
                {
                    "quota": one.name,
                    "tables": list(one.tables),
                    "days": one.days,
                    "runs": one.runs,
                    "used": used,
                    "runs_per_user": one.runs_per_user,
                    "used_by": each,
                }
                for one, used, each in rows
            ]
        )
        return
    put_table(
        ("data set", "tables", "within", "data user", "used"),
        [row for one, used, each in rows for row in _quota_rows(one, used, each)],
    )
    say(
        "what is over is refused like a run too many"
        if rows
        else "no quota: stayput.toml has no [quotas.TABLE], so only scenarios limit runs"
    )


def _quota_rows(one: Quota, used: int, each: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    start = (one.name, ", ".join(one.tables), f"{one.days} days" if one.days else "for ever")
    if one.runs:
        yield (*start, "all", f"{used} of {one.runs}")
    for user, runs in each.items():
        if one.runs_per_user:
            yield (*start, user, f"{runs} of {one.runs_per_user}")
    if one.runs_per_user and not each:
        yield (*start, "each", f"0 of {one.runs_per_user}")


# --- before approving -----------------------------------------------------------------------------


def estimate(
    scenario: ScenarioId,
    parameter: Parameters = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Count how many cells your own rows alone would leave empty, few or dominated.

    Your rows are staged as for a run, and destroyed; nothing is logged, sent or charged, and none
    of it is part of the report that you sign. Parameters that are not given are tried at their
    lowest and highest values.
    """
    from stayput import estimating
    from stayput.config import load_settings
    from stayput.review import fetch_scenario
    from stayput.session import ScenarioPhase

    with opened(home) as (identity, replica, link), opened_ledger(identity) as ledger:
        digest = find_scenario(identity, replica, link, scenario, prefer=(ScenarioPhase.PROPOSED,))
        asked = fetch_scenario(replica, link, digest)
        if identity.name not in asked.holders:
            raise ConfigurationError(
                f"{identity.name} is no holder of {asked.name}", hint="only holders have rows"
            )
        questions = list(estimating.questions(asked, _fixed(asked, parameter or [])))
        settings = load_settings(home)
        found: list[LocalCells] = []
        with _pool(home, ledger) as pool:
            for bound in questions:
                staging = secrets.token_bytes(16)
                keep = functools.partial(_keep, ledger, staging, digest)
                found.append(
                    estimating.estimate(bound, asked, settings.sources, pool.stage, staging, keep)
                )
    joins = len(asked.statements) - len({one.statement for one in found}) + len(asked.models)
    _put_estimate(found, asked, joins, as_json)


def _put_estimate(found: list[LocalCells], asked: Scenario, joins: int, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        rows = [{**asdict(one), "arguments": dict(one.arguments)} for one in found]
        put_json({"local": True, "signed": False, "not_estimated": joins, "questions": rows})
        return
    say("LOCAL ESTIMATE from your rows alone: not part of the signed report, sent to nobody")
    words = ("cells", "empty", "few", "narrow", "below_own", "dominated", "withheld")
    put_table(
        ("statement", "arguments", *(word.replace("_", " ") for word in words)),
        [
            (
                one.statement,
                ", ".join(f"{name}={_shown(asked, one, name, v)}" for name, v in one.arguments),
                *(str(getattr(one, word)) for word in words),
            )
            for one in found
        ],
    )
    policy = asked.output
    say(f"few: you have some, but fewer than {policy.min_count}; narrow: of a part of the cell")
    if policy.min_count_per_holder:
        say(f"below own: you have some, but fewer than {policy.min_count_per_holder}")
    say("withheld: for sure, whatever the others have; all other cells depend on theirs")
    if policy.privacy is not None:
        say("with noise counts are compared after it: these are the numbers before")
    if joins:
        say(f"{joins} joins are not estimated: your rows do not say who is in another's table")
    say("the receipts of these stagings are kept here: `stayput node receipts`")


def _shown(asked: Scenario, one: LocalCells, name: str, value: ParameterValue) -> str:
    """An argument as a person writes it."""
    declared = {p.name: p for p in asked.statement(one.statement).parameters}[name]
    if isinstance(value, int) and not isinstance(value, bool) and declared.decimals:
        return f"{value / 10**declared.decimals:.{declared.decimals}f}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fixed(asked: Scenario, given: list[str]) -> dict[str, dict[str, ParameterValue]]:
    """For each statement the values of those of its parameters that were given."""
    from stayput.client import scaled_arguments

    values = parse_parameters(given)
    known = {p.name for statement in asked.statements for p in statement.parameters}
    for name in values:
        if name not in known:
            raise InvalidInput(
                f"no statement has a parameter {name!r}",
                hint="they have: " + (", ".join(sorted(known)) or "none"),
            )
    return {
        statement.name: scaled_arguments(
            statement,
            {p.name: values[p.name] for p in statement.parameters if p.name in values},
        )
        for statement in asked.statements
    }


@contextlib.contextmanager
def _pool(home: Path, ledger: Ledger) -> Iterator[StagingPool]:
    """Stagings of this command alone; what a killed one has left is swept, and its receipt kept.

    Raises:
        ConfigurationError: another estimate is under way.
    """
    from stayput.config import load_settings
    from stayput.staging import StagingPool

    settings = load_settings(home).staging
    folder = home / STAGED
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "another estimate is under way in this home folder", hint="wait until it is over"
            ) from None
        with StagingPool(
            workdir=folder,
            memory_limit_mb=settings.memory_limit_mb,
            time_limit_s=settings.time_limit_seconds,
            require_landlock=settings.require_landlock,
            threads=settings.threads,
            warm=False,
        ) as pool:
            for swept in pool.sweeps:
                _keep(ledger, swept.staging_id, b"", swept.receipt)
            yield pool
    finally:
        os.close(lock)


def _keep(ledger: Ledger, staging: bytes, scenario: bytes, facts: DeletionFacts) -> None:
    from stayput.store.ledger import LocalReceipt

    ledger.keep_local(
        LocalReceipt(
            staging,
            scenario,
            facts.outcome,
            facts.passed,
            facts.failed,
            facts.started,
            facts.ended,
        )
    )


def receipts(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Print the receipts of stagings that were no runs (estimates); they are in no log."""
    from stayput.identity import load_identity

    with opened_ledger(load_identity(home)) as ledger:
        kept = ledger.kept_local()
    if as_json:
        put_json(
            [
                {
                    "staging": one.staging.hex(),
                    "scenario": one.scenario.hex(),
                    "started": one.started,
                    "ended": one.ended,
                    "outcome": one.outcome.name.lower(),
                    "passed": [check.name for check in one.passed],
                    "failed": [check.name for check in one.failed],
                }
                for one in kept
            ]
        )
        return
    put_table(
        ("ended", "scenario", "outcome", "checks"),
        [
            (
                moment(one.ended),
                one.scenario.hex()[:12] or "unknown",
                one.outcome.name.lower(),
                f"{len(one.passed)} passed, {len(one.failed)} failed",
            )
            for one in kept
        ],
    )
    if not kept:
        say("no receipts: nothing was staged but for runs")
