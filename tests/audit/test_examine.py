"""The audit of a pack: honest ones pass, each bent one fails, and the report names the entry."""

from __future__ import annotations

import io

import pytest
from audit.logs import Log
from parties import Party

from stayput.audit.examine import audit_pack
from stayput.audit.report import AuditReport, Verdict


@pytest.fixture(scope="module")
def honest(consortium: Party) -> Log:
    log = Log(consortium)
    scenario = log.sealed()
    for _ in range(40):
        log.run(scenario)
    return log


def audit(log: Log, **changes) -> AuditReport:
    return audit_pack(io.BytesIO(log.pack(**changes)), log.policy())


def test_an_honest_pack_passes(honest: Log) -> None:
    report = audit(honest)
    assert report.findings == ()
    assert report.verdict is Verdict.PASS
    assert report.log.size == honest.size > 512
    assert report.log.root == honest.root(honest.size).hex()
