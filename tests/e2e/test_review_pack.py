"""An auditor with one file, a policy and no network, after real processes have answered."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pets
import pytest
from browser import find_browser, running_browser
from e2e.consortium import RUN_SECONDS, Consortium, wait_until

OFFLINE = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"an audit used the network: {event}")
sys.addaudithook(refuse)
from stayput.cli import main
sys.exit(main(sys.argv[1:]))
"""


def offline(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder of its own, with no home, where any use of a socket ends it."""
    return subprocess.run(
        [sys.executable, "-c", OFFLINE, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin", "HOME": str(folder / "nobody")},
    )


def packed(up: Consortium, folder: Path, name: str) -> int:
    """Write a pack that reaches to the end of the log; the size of the log."""

    def written() -> bool:
        done = up.cli("reviewer", "log", "pack", str(folder / name))
        return done.returncode == 0 and "not in it" not in done.stderr

    wait_until(written, 30, pause=0.3)
    return len(up.entries())


@pytest.fixture(scope="module")
def auditor(_shared: Consortium, scenario: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two packs of one consortium, a run apart, a policy, an older checkpoint."""
    folder = tmp_path_factory.mktemp("auditor")
    with _shared.client() as client:
        client.run(scenario, "by_colour", youngest=2).wait(timeout=RUN_SECONDS)
        packed(_shared, folder, "older.pack")
        kept = _shared.cli("reviewer", "log", "checkpoint", "-o", str(folder / "kept"))
        assert kept.returncode == 0, kept.stderr
        client.run(scenario, "numbers").wait(timeout=RUN_SECONDS)
    packed(_shared, folder, "log.pack")
    newest = _shared.cli("reviewer", "log", "checkpoint", "-o", str(folder / "newest"))
    assert newest.returncode == 0, newest.stderr
    policy = _shared.cli("reviewer", "log", "policy", str(folder / "policy"))
    assert policy.returncode == 0, policy.stderr
    return folder


def test_one_file_a_policy_and_no_network(auditor: Path, up: Consortium) -> None:
    words = ("audit", "log.pack", "--policy", "policy", "--since", "kept")
    shown = offline(auditor, *words)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("PASS: the log menagerie.stayput/log")
    done = offline(auditor, *words, "--json", "--html", "report.html", "--crate", "crate.zip")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    truth = up.report()
    assert report["verdict"] == "pass"
    assert report["findings"] == []
    assert report["log"]["fingerprint"] == up.members.digest.hex()
    runs = {run["run"]: run for run in report["runs"]}
    assert set(runs) <= {run.hex() for run in truth.session.runs}
    released = [run for run in runs.values() if run["outcome"] == "released"]
    assert len(released) >= 2
    for run in released:
        assert {one["holder"] for one in run["receipts"]} == set(pets.HOLDERS)
        assert run["cosigned_size"] > run["ended"]["entry"]
    metered = {one["party"]: one for one in report["metering"]}
    assert set(pets.HOLDERS) < set(metered)
    assert all(metered[name]["receipts"] >= 2 for name in pets.HOLDERS)
    with zipfile.ZipFile(auditor / "crate.zip") as crate:
        assert crate.testzip() is None
        (inside,) = [name for name in crate.namelist() if name.endswith("/review.pack")]
        assert crate.read(inside) == (auditor / "log.pack").read_bytes()


def test_the_page_of_a_real_audit_in_a_real_browser(auditor: Path, tmp_path: Path) -> None:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium: install Debian's chromium-headless-shell")
    done = offline(auditor, "audit", "log.pack", "--policy", "policy", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    url = (auditor / "page.html").as_uri()
    with running_browser(program, tmp_path) as browser:
        browser.open(url, width=1200)
        assert browser.requests() == [url]
        assert browser.complaints() == []
        verdict = "document.getElementById('verdict').innerText"
        assert browser.evaluate(verdict) == "The log stands."
        for name in pets.HOLDERS:
            assert browser.evaluate(f"document.body.innerText.includes({name!r})")


def test_what_was_taken_away_is_noticed_by_who_kept_a_checkpoint(auditor: Path) -> None:
    alone = offline(auditor, "audit", "older.pack", "--policy", "policy")
    assert alone.returncode == 0, alone.stderr  # true up to its size
    done = offline(auditor, "audit", "older.pack", "--policy", "policy", "--since", "newest")
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL")
    assert "something was taken away" in done.stderr


def test_a_truncated_or_altered_pack(auditor: Path) -> None:
    data = (auditor / "log.pack").read_bytes()
    (auditor / "cut.pack").write_bytes(data[: len(data) * 2 // 3])
    done = offline(auditor, "audit", "cut.pack", "--policy", "policy")
    assert done.returncode == 1
    assert "ends too early" in done.stdout + done.stderr
    assert "1970" not in done.stdout  # nothing is told of entries that cannot be read
    assert "True up to" not in done.stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        about = next(one for one in archive if one.name.startswith("tile/entries/"))
    bent = bytearray(data)
    bent[about.offset_data + about.size - 30] ^= 1
    (auditor / "bent.pack").write_bytes(bent)
    done = offline(auditor, "audit", "bent.pack", "--policy", "policy")
    assert done.returncode == 1
    assert about.name in done.stdout
