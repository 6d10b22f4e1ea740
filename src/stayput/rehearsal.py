"""Rehearsal: a whole run on synthetic rows, before anybody is asked anything.

The author of a scenario sees what would come out: the real pipeline (review, seal, staging
processes, masks, encryption, two rounds, output checking, release, verification) with throw-away
identities in a temporary folder, on rows drawn at random inside the table contract.  No holder and
no network takes part; the result says that it is synthetic.
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
from stayput.federation import Federation
from stayput.node import Stager
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
        InvalidInput: statement or parameters are not of the scenario.
        RunFailure: the run ended without a result.
    """
    scenario = parse_scenario_file(text, nonce=secrets.token_bytes(16))
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
                return _run(federation, text, statement, parameters, progress)
            finally:
                federation.close()
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
    )


def _run(
    federation: Federation,
    text: str,
    statement: str,
    parameters: Mapping[str, ParameterValue],
    progress: Callable[[str], None],
) -> ResultTable:
    client = federation.client
    digest = client.propose(text)
    scenario = client.scenario(digest)
    federation.approve(scenario)
    progress("reviewed, approved and sealed by throw-away identities")
    run = client.run(digest, statement, **parameters)
    federation.settle()
    result = run.wait(timeout=0, progress=progress)
    return dataclasses.replace(result.checked.result.table, synthetic=True)
