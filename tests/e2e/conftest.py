"""Real consortia for real processes."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from e2e.consortium import DAEMONS, Consortium, discard_template, running


@pytest.fixture(scope="session", autouse=True)
def _homes() -> Iterator[None]:
    yield
    discard_template()


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with running(tmp_path_factory.mktemp("up")) as consortium:
        yield consortium


@pytest.fixture(scope="session")
def scenario(_shared: Consortium) -> bytes:
    """A sealed scenario with runs for everybody."""
    with _shared.client() as client:
        return _shared.agree(client)


@pytest.fixture
def up(_shared: Consortium, scenario: bytes) -> Consortium:
    """A consortium that several tests use; all daemons are up whatever an earlier test did."""
    for name in DAEMONS:
        if _shared.environment.pop(name, None) and _shared.running[name].poll() is None:
            _shared.kill(name)
    _shared.start(*(name for name in DAEMONS if _shared.running[name].poll() is not None))
    return _shared


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what every daemon said last."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Consortium):
                for name in value.running:
                    report.sections.append((f"{name} said", value.said(name)[-1500:]))
    return report
