"""Rehearsal: a whole run on synthetic rows, before anybody is asked anything.

The author of a scenario sees what would come out: the real pipeline (review, seal, staging
processes, masks, encryption, two rounds, output checking, release, verification) with throw-away
identities in a temporary folder, on rows drawn at random inside the table contract.  No holder and
no network takes part; the result says that it is synthetic.  Of a scenario with noise it says how
far the noise moved the numbers, which only synthetic rows may show.

What people decide is not rehearsed: authorities, reviewers, held results, earlier versions.
"""

from __future__ import annotations

import dataclasses
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from pyarrow import parquet

from stayput.engines.source import SourceSpec
from stayput.errors import InvalidInput
from stayput.federation import Federation
from stayput.node import Stager
from stayput.pooled import noise_in
from stayput.privacy import Budget, run_cost
from stayput.release import CheckedResult
from stayput.scenario import ParameterValue, Scenario
from stayput.scenario_file import parse_scenario_file
from stayput.staging import StagingPool
from stayput.synthetic import synthetic_rows
from stayput.table import ResultTable

REHEARSAL_BITS = 2048
"""Length of the throw-away key: the smallest accepted, since it protects nothing."""

DEFAULT_ROWS = 2000
"""Synthetic rows per holder."""


def rehearse(
    text: str,
    statement: str,
    parameters: Mapping[str, ParameterValue],
    *,
    rows: int = DEFAULT_ROWS,
    progress: Callable[[str], None] = lambda stage: None,
) -> ResultTable:
    """Run one statement of a scenario's YAML text on synthetic rows.

    Args:
        parameters: values as a person gives them, see :meth:`stayput.client.Client.run`.
        rows: synthetic rows at each holder.
        progress: is told of each stage.

    Raises:
        ScenarioError: a mistake in the text.
        InvalidInput: statement or parameters are not of the scenario, or the table contracts allow
            fewer rows.
        RunFailure: the run ended without a result.
    """
    scenario = parse_scenario_file(text, nonce=secrets.token_bytes(16))
    most = min(table.max_rows for table in scenario.tables)
    if rows > most:
        raise InvalidInput(
            f"a table of the scenario has at most {most} rows, not {rows}",
            hint=f"rehearse with --rows {most} or fewer",
        )
    with tempfile.TemporaryDirectory(prefix="stayput-rehearsal-") as folder:
        root = Path(folder)
        progress(f"drawing {rows} synthetic rows for each of {len(scenario.holders)} holders")
        sources = {
            name: _synthetic_sources(root, name, scenario, rows) for name in scenario.holders
        }
        pools = {name: StagingPool(workdir=root / "staging" / name) for name in scenario.holders}
        try:
            federation = _federation(root / "parties", scenario, sources, pools)
            try:
                checked = _run(federation, scenario, statement, parameters, progress)
            finally:
                federation.close()
            if checked.table.noisy:
                _tell_of_noise(scenario, checked, sources, progress)
            return dataclasses.replace(checked.table, synthetic=True)
        finally:
            for pool in pools.values():
                pool.close()


def _synthetic_sources(
    root: Path, holder: str, scenario: Scenario, rows: int
) -> dict[str, SourceSpec]:
    folder = root / "rows" / holder
    folder.mkdir(parents=True)
    sources = {}
    for contract in scenario.tables:
        if holder not in contract.holders:
            continue
        path = folder / f"{contract.name}.parquet"
        parquet.write_table(synthetic_rows(contract, rows, np.random.default_rng()), path)
        sources[contract.name] = SourceSpec(path=str(path), format="parquet")
    return sources


def _federation(
    root: Path,
    scenario: Scenario,
    sources: Mapping[str, Mapping[str, SourceSpec]],
    pools: Mapping[str, Stager],
) -> Federation:
    root.mkdir(mode=0o700)
    taken = {scenario.data_user, scenario.checker, *scenario.holders}
    coordinator = next(n for n in ("coordinator", "the-coordinator", "hub") if n not in taken)
    # A scenario may be rehearsed after it has expired: the clock is set to before.
    offset = min(0, scenario.limits.valid_until - 3600 - int(time.time()))
    return Federation(
        root,
        holders=scenario.holders,
        checker=scenario.checker,
        user=scenario.data_user,
        coordinator=coordinator,
        sources=sources,
        stager=lambda name: pools[name],
        clock=lambda: int(time.time()) + offset,
        paillier_bits=REHEARSAL_BITS,
        budgets=_budgets(scenario),
    )


def _run(
    federation: Federation,
    scenario: Scenario,
    statement: str,
    parameters: Mapping[str, ParameterValue],
    progress: Callable[[str], None],
) -> CheckedResult:
    client = federation.client
    alone = _without_people(scenario)
    if alone != scenario:
        progress("authorities, review of results and earlier versions are not rehearsed")
    digest = client.propose_scenario(alone)
    federation.approve(alone)
    progress("reviewed, approved and sealed by throw-away identities")
    run = client.run(digest, statement, **parameters)
    federation.settle()
    return run.wait(timeout=0, progress=progress).checked.result


def _without_people(scenario: Scenario) -> Scenario:
    """The same question, for parties that have nobody else to ask."""
    return dataclasses.replace(
        scenario,
        authorisation=None,
        authorities=(),
        replaces=None,
        output=dataclasses.replace(scenario.output, review=None, review_below=0),
    )


def _tell_of_noise(
    scenario: Scenario,
    checked: CheckedResult,
    sources: Mapping[str, Mapping[str, SourceSpec]],
    progress: Callable[[str], None],
) -> None:
    """Against the exact answer, which nobody but a rehearsal has."""
    statement = scenario.statement(checked.statement)
    files = {
        table.name: [Path(held[table.name].path) for held in sources.values()]
        for table in scenario.tables
    }
    arguments = {argument.name: argument.value for argument in checked.arguments}
    for moved in noise_in(checked.table, statement, arguments, files):
        progress(str(moved))


def _budgets(scenario: Scenario) -> tuple[Budget, ...]:
    """Enough for the one run of a rehearsal: it is nobody's data."""
    privacy = scenario.output.privacy
    if privacy is None:
        return ()
    return tuple(Budget(t.name, run_cost(privacy), (t.name,)) for t in scenario.tables)
