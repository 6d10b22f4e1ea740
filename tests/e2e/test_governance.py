"""Who decides, with real processes over TLS: authority, people, held results, quotas."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.consortium import DAEMONS, DAY, TEXT, Consortium, make_homes, wait_until

from stayput.crypto.signing import SigningKey
from stayput.errors import RunFailure
from stayput.identity import Identity, create_identity, enrol_reviewers
from stayput.session import RunPhase, ScenarioPhase
from stayput.steps import Role

pytestmark = pytest.mark.long  # six processes and some sixty commands; in memory: tests/cli

CHECKERS = [SigningKey.from_bytes(bytes([i]) * 32) for i in (61, 62)]
NORTHERNERS = [SigningKey.from_bytes(bytes([i]) * 32) for i in (71, 72, 73)]

GOVERNED = (
    TEXT.replace(
        "max: 100, nullable: true, grade: internal", "max: 100, nullable: true, grade: sensitive"
    )
    .replace("min_holders: 3,", "min_holders: 3, review: always,")
    .replace("scenario: pets", "scenario: governed")
    + "authorisation: {centralised: reviewer}\n"
)


def checker_with_people(home: Path) -> Identity:
    formed = int(time.time()) - 60 * DAY
    made = create_identity(home, "office", Role.CHECKER, now=formed, paillier_bits=2048)
    return enrol_reviewers(made, [key.public for key in CHECKERS], 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    root = tmp_path_factory.mktemp("governed")
    homes = make_homes(root / "homes", int(time.time()) - 60 * DAY, checker_with_people)
    made = Consortium.make(root / "all", homes=homes)
    for name, keys in (("checker", CHECKERS), ("north", NORTHERNERS)):
        for index, key in enumerate(keys):
            path = root / f"{name}-{index}.key"
            path.write_bytes(key.to_bytes())
            path.chmod(0o600)
    try:
        made.start(*DAEMONS)
        yield made
    finally:
        made.end()


def key(world: Consortium, name: str, index: int) -> str:
    return str(world.root.parent / f"{name}-{index}.key")


def told(world: Consortium, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that has to do what it says."""
    outcome = world.cli(name, *words)
    assert outcome.returncode == 0, (words, outcome.stderr)
    return outcome


def refused(world: Consortium, name: str, *words: str) -> str:
    outcome = world.cli(name, *words)
    assert outcome.returncode == 1, (words, outcome.stdout, outcome.stderr)
    return outcome.stderr


def as_json(world: Consortium, name: str, *words: str) -> Any:
    return json.loads(told(world, name, *words, "--json").stdout)


@pytest.fixture(scope="module")
def scenario(world: Consortium) -> bytes:
    """Approved by three holders, authorised by an authority, all by command."""
    path = world.root / "governed.yaml"
    path.write_text(GOVERNED)
    digest = told(world, "asker", "scenario", "propose", str(path)).stdout.strip()
    before = len(world.entries())
    found = as_json(world, "north", "node", "estimate", "governed", "-p", "youngest=0")
    assert [one["statement"] for one in found["questions"]] == ["by_colour", "numbers"]
    assert found["questions"][1]["few"] == 1  # three white pets
    assert len(world.entries()) == before  # beside a node that runs, and in no log
    assert not world.staging_folders()
    for holder in ("north", "south", "west"):
        told(world, holder, "approve", "governed", "--yes")
    with world.client() as client:
        assert client.state(bytes.fromhex(digest)).awaited() == ("reviewer",)
    told(world, "reviewer", "report", "governed")
    told(world, "reviewer", "authority", "authorise", "governed", "--yes")
    with world.client() as client:
        client.wait_until_sealed(bytes.fromhex(digest), timeout=30)
    return bytes.fromhex(digest)


def held(world: Consortium, run: bytes) -> Any:
    def row() -> Any:
        rows = as_json(world, "office", "checker", "held")
        return next((one for one in rows if one["run"] == run.hex()), None)

    return wait_until(row, 60, pause=0.5)


def test_two_people_clear_a_result_and_a_kill_in_between_changes_nothing(
    world: Consortium, scenario: bytes
) -> None:
    with world.client() as client:
        run = client.run(scenario, "by_colour", youngest=0)
        row = held(world, run.id)
        assert (row["cleared"], row["needed"]) == (0, 2)  # a column is sensitive
        shown = as_json(world, "office", "checker", "show", run.id.hex())
        assert "red" in json.dumps(shown["result"])
        short = run.id.hex()[:12]
        decide = ("checker", "pass", short, "--yes", "--key")
        assert "no reviewer's" in refused(world, "office", *decide, key(world, "north", 0))
        told(world, "office", *decide, key(world, "checker", 0))
        assert "has decided already" in refused(world, "office", *decide, key(world, "checker", 0))
        world.kill("office")
        world.start("office")
        assert (
            as_json(world, "office", "checker", "show", short)["commitment"]
            == (shown["commitment"])
        )
        assert held(world, run.id)["cleared"] == 1
        client.replica.catch_up(client._link)
        assert run.state.phase is RunPhase.HELD
        told(world, "office", *decide, key(world, "checker", 1))
        result = run.wait(timeout=60)
    world.verify_result(result)
    assert as_json(world, "office", "checker", "held") == []
    assert not world.query("office", "SELECT 1 FROM document WHERE kind = 'held'")


def test_one_person_s_no_ends_a_run_with_a_code(world: Consortium, scenario: bytes) -> None:
    with world.client() as client:
        run = client.run(scenario, "numbers")
        held(world, run.id)
        short = run.id.hex()[:12]
        told(world, "office", "checker", "pass", short, "-y", "--key", key(world, "checker", 1))
        told(
            world, "office", "checker", "fail", short, "--reason", "disclosive", "-y",
            "--key", key(world, "checker", 0),
        )  # fmt: skip
        with pytest.raises(RunFailure) as caught:
            run.wait(timeout=60)
    assert caught.value.reason == "RESULT_NOT_CLEARED"
    assert "no run" in refused(world, "office", "checker", "show", short)
    assert "is not released" in refused(world, "asker", "result", short)
    wait_until(lambda: not world.query("office", "SELECT 1 FROM document WHERE kind = 'held'"), 20)


def test_reviewers_of_a_holder_change_and_sign_elsewhere(
    world: Consortium, scenario: bytes, tmp_path: Path
) -> None:
    public = [one.public.hex() for one in NORTHERNERS]
    change = ("reviewer", "change", *public[:2], "--quorum", "2")
    assert "running already" in refused(world, "north", *change)
    world.stop("north")
    told(world, "north", *change)
    world.start("north")
    text = GOVERNED.replace("scenario: governed", "scenario: signed") + "replaces: governed\n"
    path = tmp_path / "signed.yaml"
    path.write_text(text)
    told(world, "asker", "scenario", "propose", str(path))
    assert "0 of the 2 reviewers" in refused(world, "north", "approve", "signed", "--yes")
    copy = str(tmp_path / "copy.json")
    told(world, "north", "reviewer", "export", "signed", "-o", copy)
    statements: list[str] = []
    for index in (0, 1):
        shown = stray("reviewer", "read", copy)
        assert "NEW_VERSION" in shown.stdout
        digest = shown.stderr.split("report ")[1].split()[0]
        out = str(tmp_path / f"{index}.signed")
        signing = ("--key", key(world, "north", index), "-o", out, "--report", digest)
        stray("reviewer", "sign", "--copy", copy, *signing)
        statements += ["--signature", out]
    told(world, "north", "approve", "signed", "--yes", *statements)
    told(world, "south", "refuse", "signed", "--reason", "data-too-sensitive", "--yes")
    with world.client() as client:
        digest = client.find("signed")
        assert client.state(digest).phase is ScenarioPhase.REFUSED
        with pytest.raises(RunFailure) as caught:
            client.wait_until_sealed(digest, timeout=5)
    assert caught.value.hint == "south: DATA_TOO_SENSITIVE"
    assert "DATA_TOO_SENSITIVE" in told(world, "asker", "scenario", "show", "signed").stdout


def stray(*words: str) -> subprocess.CompletedProcess[str]:
    """A command on a machine without any home folder."""
    return subprocess.run(
        [sys.executable, "-m", "stayput", *words], capture_output=True, text=True, check=True
    )


def test_a_quota_is_read_anew_and_the_authority_s_word_ends_it(
    world: Consortium, scenario: bytes
) -> None:
    settings = world.home("west") / "stayput.toml"
    settings.write_text(settings.read_text() + "\n[quotas.pets]\nruns_per_user = 2\n")
    with world.client() as client:
        run = client.run(scenario, "numbers")
        with pytest.raises(RunFailure) as caught:
            run.wait(timeout=60)
        assert caught.value.reason == "HOLDER_REFUSED"
        assert "quota" in told(world, "west", "node", "notes").stdout
        assert "2 of 2" in told(world, "west", "node", "quota").stdout
        told(world, "reviewer", "authority", "withdraw", "governed", "--reason", "legal", "-y")
        client.replica.catch_up(client._link)
        assert client.state(scenario).refusals() == ("reviewer: LEGAL",)
    assert "revoked" in refused(world, "asker", "run", scenario.hex(), "numbers")
    assert world.report().finding is None
