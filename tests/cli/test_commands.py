"""The commands of all parties, against real cores in one process."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import time
import zipfile
from pathlib import Path

import pets
import pytest
from cli.transcript import Stayput

from stayput import review
from stayput.approval import approval_report
from stayput.errors import Unavailable
from stayput.federation import Federation
from stayput.rpc import wire
from stayput.scenario_file import parse_scenario_file
from stayput.steps import STEP_CLASSES
from stayput.store.ledger import Note

NUMBERS = itertools.count()


def propose(stayput: Stayput, live: Federation, name: str, text: str = pets.TEXT) -> str:
    """A scenario of that name, proposed; its digest."""
    path = Path(f"{name}.yaml")
    path.write_text(text.replace("scenario: pets", f"scenario: {name}"))
    outcome = stayput("scenario", "propose", str(path), home=live.root / "asker")
    assert outcome.code == 0, outcome.err
    assert "waits for the approval of north, south, west" in outcome.err
    return outcome.out.strip()


def approve_all(stayput: Stayput, live: Federation, name: str) -> None:
    for holder in pets.HOLDERS:
        outcome = stayput("approve", name, "--yes", home=live.root / holder)
        assert outcome.code == 0, outcome.err


@pytest.fixture
def sealed(stayput: Stayput, live: Federation) -> str:
    """A sealed scenario of this test alone."""
    name = f"sealed-{next(NUMBERS)}"
    propose(stayput, live, name)
    approve_all(stayput, live, name)
    return name


# --- proposing and reviewing ----------------------------------------------------------------------


def test_from_proposal_to_seal(stayput: Stayput, live: Federation) -> None:
    digest = propose(stayput, live, "colours")
    north = live.root / "north"
    waiting = stayput("pending", "--json", home=north).json
    assert {"digest": digest, "name": "colours", "data_user": "asker"} in waiting
    assert "colours" in stayput("pending", home=north).out

    report = stayput("report", "colours", home=north)
    scenario = live.client.scenario(bytes.fromhex(digest))
    proposed = live.client.state(bytes.fromhex(digest)).proposed.time
    expected = approval_report(scenario, "north", proposed=proposed)
    assert report.out == expected.text, "byte for byte what an approval signs"
    assert expected.digest.hex() in report.err
    as_json = stayput("report", digest[:8], "--json", home=north).json
    assert as_json["digest"] == expected.digest.hex()

    outcome = stayput("approve", "colours", "--report", expected.digest.hex(), "--yes", home=north)
    assert outcome.code == 0
    assert outcome.out == ""
    assert "approved by north; the scenario is proposed" in outcome.err
    for holder in ("south", "west"):
        outcome = stayput("approve", digest[:10], "--yes", home=live.root / holder)
    assert "the scenario is sealed" in outcome.err

    listed = {s["digest"]: s for s in stayput("scenario", "list", "--json", home=north).json}
    assert listed[digest]["phase"] == "sealed"
    assert set(listed[digest]["reviews"].values()) == {"approved"}
    shown = stayput("scenario", "show", "colours", home=north).out
    assert "holder       south: approved" in shown
    assert "SELECT colour, COUNT(*) AS pets" in shown
    assert stayput("scenario", "show", "colours", "--json", home=north).json["name"] == "colours"
    assert "sealed" in stayput("scenario", "list", home=north).out


def test_nothing_is_signed_without_a_yes(stayput: Stayput, live: Federation) -> None:
    digest = propose(stayput, live, "unasked")
    for words in (("approve",), ("refuse", "--reason", "legal"), ("revoke", "--reason", "legal")):
        outcome = stayput(*words, "unasked", home=live.root / "north")
        assert outcome.code == 1
        assert "nothing was signed" in outcome.err
        assert "--yes" in outcome.err
    assert live.client.state(bytes.fromhex(digest)).reviews == {}


def test_an_approval_of_another_report_is_not_signed(stayput: Stayput, live: Federation) -> None:
    propose(stayput, live, "reread")
    outcome = stayput("approve", "reread", "--report", "ab" * 32, "--yes", home=live.root / "north")
    assert outcome.code == 1
    assert "not the one that was read" in outcome.err


def test_a_waiver_has_to_be_typed(stayput: Stayput, live: Federation) -> None:
    propose(stayput, live, "weak", pets.TEXT.replace("min_holders: 3", "min_holders: 2"))
    outcome = stayput("approve", "weak", "--yes", home=live.root / "north")
    assert outcome.code == 1
    assert "TWO_HOLDERS" in outcome.err
    assert "hint: read the warnings of the report; to give it up, add --waive two-holders" in (
        outcome.err
    )
    outcome = stayput(
        "approve", "weak", "--waive", "two-holders", "--yes", home=live.root / "north"
    )
    assert outcome.code == 0


def test_a_refusal(stayput: Stayput, live: Federation) -> None:
    digest = propose(stayput, live, "unwanted")
    outcome = stayput("refuse", "unwanted", "--reason", "purpose", "-y", home=live.root / "west")
    assert outcome.code == 0
    outcome = stayput("approve", "unwanted", "--yes", home=live.root / "north")
    assert outcome.code == 1
    assert "refused" in outcome.err
    shown = stayput("scenario", "show", digest[:12], home=live.root / "asker").out
    assert "west: refused" in shown
    assert "PURPOSE" in shown


def test_only_holders_review_and_only_users_ask(stayput: Stayput, live: Federation) -> None:
    propose(stayput, live, "roles")
    outcome = stayput("approve", "roles", "--yes", home=live.root / "asker")
    assert outcome.code == 1
    assert "not a holder" in outcome.err
    outcome = stayput("run", "roles", "numbers", home=live.root / "north")
    assert outcome.code == 1
    assert "only data users ask" in outcome.err


def test_a_name_that_nothing_has(stayput: Stayput, live: Federation) -> None:
    outcome = stayput("report", "nothing-like-it", home=live.root / "north")
    assert outcome.code == 1
    assert "stayput scenario list" in outcome.err


# --- asking ---------------------------------------------------------------------------------------


def test_a_run_and_its_result_again(stayput: Stayput, live: Federation, sealed: str) -> None:
    asker = live.root / "asker"
    outcome = stayput(
        "run", sealed, "by_colour", "-p", "youngest=2", "-o", "result.json", "--csv", home=asker
    )
    assert outcome.code == 0, outcome.err
    for stage in (
        "ordered: 3 holders",
        "staged, counted and destroyed: 3 of 3",
        "counts opened",
        "values added without being read",
        "checked and released",
        "verified",
    ):
        assert stage in outcome.err
    rows = {row["colour"]: row for row in csv.DictReader(io.StringIO(outcome.out))}
    everybody = [row for holder in pets.HOLDERS for row in pets.rows_of(holder)]
    for colour, (count, mean, sd) in pets.pooled(everybody, 2).items():
        if colour in ("blue", "white"):  # two holders only; too few
            assert set(list(rows[colour].values())[1:]) == {"withheld"}
        else:
            assert int(rows[colour]["pets"]) == count
            assert float(rows[colour]["mean"]) == pytest.approx(mean, rel=1e-9)
            assert float(rows[colour]["sd"]) == pytest.approx(sd, rel=1e-9)

    run = outcome.err.split()[1]
    again = stayput("result", run[:10], "--csv", home=asker)
    assert again.out == outcome.out
    as_json = stayput("result", run[:10], "--json", home=asker).json
    assert as_json["rows"][0][0] == "red"
    assert "withheld" in stayput("result", run[:10], home=asker).out

    verified = stayput("verify", "result.json", home=live.root / "office")
    assert verified.code == 0
    assert [line[:2] for line in verified.out.splitlines()[:4]] == ["1.", "2.", "3.", "4."]
    members = Path("members.json")
    members.write_bytes(live.members.envelope)
    pinned = ("--members", str(members), "--fingerprint", live.members.digest.hex())
    found = stayput("verify", "result.json", *pinned, "--json").json
    assert found["run"] == run
    assert found["arguments"] == {"youngest": 2}
    assert found["result"] == as_json


def test_a_forged_result_does_not_verify(stayput: Stayput, live: Federation, sealed: str) -> None:
    stayput("run", sealed, "numbers", "-o", "result.json", home=live.root / "asker")
    bundle = json.loads(Path("result.json").read_bytes())
    bundle["scenario"], bundle["result"] = bundle["result"], bundle["scenario"]
    Path("forged.json").write_text(json.dumps(bundle, sort_keys=True, separators=(",", ":")))
    for file in ("forged.json", __file__):
        outcome = stayput("verify", file, home=live.root / "office")
        assert outcome.code == 1
        assert outcome.out == ""
        assert outcome.err.startswith("stayput: error: ")
    outcome = stayput(
        "verify", "result.json", "--members", str(live.root / "asker" / "members.json"),
        "--fingerprint", "00" * 32,
    )  # fmt: skip
    assert outcome.code == 1


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["colours"], "no statement or model 'colours'", "by_colour, numbers"),
        (["by_colour"], "youngest", ""),
        (["by_colour", "-p", "youngest=2", "-p", "oldest=3"], "no parameter 'oldest'", "youngest"),
        (["by_colour", "-p", "youngest=11"], "youngest", ""),
        (["by_colour", "-p", "youngest=1.5"], "decimals", "text or Decimal"),
        (["by_colour", "-p", "youngest"], "'youngest' gives no value", "-p NAME=VALUE"),
        (["by_colour", "-p", "youngest=1", "-p", "youngest=2"], "given twice", "one value"),
        (["numbers", "--csv", "--json"], "--csv and --json", "choose one"),
    ],
)
def test_what_cannot_be_asked_is_not_ordered(
    words: list[str], says: str, hint: str, stayput: Stayput, live: Federation, sealed: str
) -> None:
    live.client.replica.catch_up(live.link("asker"))
    before = len(live.client.replica.session.runs)
    outcome = stayput("run", sealed, *words, home=live.root / "asker")
    live.client.replica.catch_up(live.link("asker"))
    assert outcome.code == 1
    assert says in outcome.err
    assert hint in outcome.err.partition("hint: ")[2]
    assert len(live.client.replica.session.runs) == before


def test_a_run_that_is_not_over_can_be_asked_for_later(
    stayput: Stayput, live: Federation, sealed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(live, "settle", lambda: time.sleep(0.05))
        outcome = stayput("run", sealed, "numbers", "--timeout", "0.1", home=live.root / "asker")
    assert outcome.code == 1
    assert "the run goes on; ask later with `stayput result" in outcome.err
    run = outcome.err.split()[1]
    assert stayput("result", run, home=live.root / "asker").code == 1, "not over yet"
    assert stayput("result", run, "--timeout", "5", home=live.root / "asker").code == 0


# --- revoking -------------------------------------------------------------------------------------


def test_a_revocation(stayput: Stayput, live: Federation, sealed: str) -> None:
    outcome = stayput("revoke", sealed, "--reason", "legal", "--yes", home=live.root / "south")
    assert outcome.code == 0, outcome.err
    outcome = stayput("run", sealed, "numbers", home=live.root / "asker")
    assert outcome.code == 1
    assert "revoked" in outcome.err


def test_a_revocation_needs_no_coordinator_to_stop_the_own_node(
    stayput: Stayput, live: Federation, sealed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.nodes["north"].work()  # its mirror knows the scenario
    digest = live.client.find(sealed)

    def cut(*_: object) -> None:
        raise Unavailable("the coordinator cannot be reached")

    monkeypatch.setattr("stayput.connecting.GrpcLink", cut)
    monkeypatch.setattr("stayput.daemon.GrpcLink", cut)
    outcome = stayput(
        "revoke", digest.hex()[:12], "--reason", "legal", "--yes", home=live.root / "north"
    )
    assert outcome.code == 1
    assert "cannot be reached" in outcome.err
    assert not live._ledgers["north"].is_approved(digest)


# --- history --------------------------------------------------------------------------------------


def test_the_log_live(stayput: Stayput, live: Federation, sealed: str) -> None:
    office = live.root / "office"
    run = stayput("run", sealed, "numbers", home=live.root / "asker").err.split()[1]
    there = stayput("log", "verify", "--json", home=office).json
    assert there["finding"] is None
    assert there["steps"]["MemberList"] == 1
    entries = stayput("log", "show", "--json", home=office).json
    assert len(entries) == there["size"]
    assert {one["step"] for one in entries} <= {cls.__name__ for cls in STEP_CLASSES}

    of_run = stayput("log", "show", "--run", run, "--json", home=office).json
    assert of_run[0]["step"] == "RunOrdered"
    assert of_run[-1]["step"] == "ResultReleased"
    receipts = stayput("log", "show", "--run", run, "--kind", "StagingDestroyed", home=office).out
    assert receipts.count("outcome DESTROYED") == 3
    assert "root" in stayput("log", "verify", home=office).out


def test_an_audit_needs_a_pack_and_a_policy_and_nobody(
    stayput: Stayput, live: Federation, sealed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stayput("run", sealed, "numbers", home=live.root / "asker").err.split()[1]
    home = live.root / "reviewer" if (live.root / "reviewer").exists() else live.root / "asker"
    assert stayput("log", "pack", "log.pack", home=home).code == 0
    assert stayput("log", "policy", "log.policy", home=home).code == 0
    kept = stayput("log", "checkpoint", "-o", "kept", home=home)
    assert kept.code == 0

    def nobody(*_: object, **__: object) -> None:
        raise AssertionError("an audit connects to nobody")

    monkeypatch.setattr("stayput.connecting.GrpcLink", nobody)
    words = ("audit", "log.pack", "--policy", "log.policy")
    shown = stayput(*words)
    assert shown.code == 0, shown.err
    assert shown.out.startswith("PASS: the log ")
    assert f"releases the checked result of run {run[:12]}" in shown.out
    report = stayput(*words, "--json", "--html", "page.html", "--crate", "crate.zip").json
    assert report["verdict"] == "pass"
    assert report["findings"] == []
    assert run in "".join(one["run"] for one in report["runs"] if one["outcome"] == "released")
    assert Path("page.html").read_bytes().startswith(b"<!doctype html>")
    assert zipfile.is_zipfile("crate.zip")

    bent = bytearray(Path("log.pack").read_bytes())
    bent[len(bent) // 2] ^= 1
    Path("bent.pack").write_bytes(bent)
    outcome = stayput("audit", "bent.pack", "--policy", "log.policy")
    assert outcome.code == 1
    assert outcome.out.startswith("FAIL")
    assert "does not stand" in outcome.err


def test_what_is_no_pack_or_no_policy_says_so(stayput: Stayput, live: Federation) -> None:
    Path("policy").write_bytes(b"quorum none\n")
    Path("no.pack").write_bytes(b"nonsense")
    outcome = stayput("audit", "no.pack", "--policy", "policy")
    assert outcome.code == 1
    assert "the log alone can show two histories" in outcome.err
    assert stayput("log", "policy", "log.policy", home=live.root / "office").code == 0
    for file in ("no.pack", "missing.pack"):
        outcome = stayput("audit", file, "--policy", "log.policy")
        assert outcome.code == 1
        assert "stayput log pack" in outcome.err or "cut off" in outcome.err


def test_questions_to_the_log_that_make_no_sense(stayput: Stayput, live: Federation) -> None:
    office = live.root / "office"
    outcome = stayput("log", "show", "--kind", "Coffee", home=office)
    assert outcome.code == 1
    assert "StagingDestroyed" in outcome.err


def test_the_wire_of_commands_adds_up(
    stayput: Stayput, live: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {"method": "LogService/ReadLog", "direction": "sent", "kind": "log position",
               "messages": 1, "bytes": 5}  # fmt: skip
    monkeypatch.setattr(wire, "snapshot", lambda: [counted])
    south = live.root / "south"
    (south / "wire-commands.json").unlink(missing_ok=True)
    (south / "wire.json").write_text(json.dumps([counted]))
    stayput("pending", home=south)
    stayput("pending", home=south)
    assert stayput("wire", "--json", home=south).json == [{**counted, "messages": 3, "bytes": 15}]
    assert "log position" in stayput("wire", home=south).out
    (south / "wire.json").write_text("{")
    assert "nothing but counters" in stayput("wire", home=south).err


def test_notes_of_a_node(stayput: Stayput, live: Federation) -> None:
    north = live.root / "north"
    live._ledgers["north"].add_note(Note(b"r" * 16, 0, "a value is out of bounds", "look at it"))
    assert "a value is out of bounds" in stayput("node", "notes", home=north).out
    assert stayput("node", "notes", "--json", home=north).json[-1]["hint"] == "look at it"
    outcome = stayput("node", "notes", home=live.root / "office")
    assert outcome.code == 1
    assert "not a holder" in outcome.err


def test_the_privacy_budgets_of_a_node(stayput: Stayput, live: Federation) -> None:
    north = live.root / "north"
    settings = north / "stayput.toml"
    before = settings.read_text() if settings.exists() else None
    assert "no budget" in stayput("node", "budget", home=north).err
    settings.write_text(
        (before or "") + '\n[budgets.dogs]\nrho = "0.4"\ntables = ["dogs", "cats"]\n'
    )
    with live._ledgers["north"]._database.transaction() as connection:
        connection.execute("INSERT INTO spent VALUES (?, 'dogs', ?)", (b"z" * 16, 3 * 10**11))
    out = stayput("node", "budget", home=north).out
    assert re.search(r"dogs +dogs, cats +0\.3, epsilon 4\.38 +0\.4, epsilon 5\.11 +25 %", out)
    (found,) = stayput("node", "budget", "--json", home=north).json
    assert (found["spent_pico_rho"], found["total_pico_rho"]) == (3 * 10**11, 4 * 10**11)
    assert stayput("node", "budget", home=live.root / "office").code == 1
    settings.unlink() if before is None else settings.write_text(before)


# --- writing --------------------------------------------------------------------------------------


def test_reasons_are_for_the_checkers_own_people(
    stayput: Stayput, live: Federation, sealed: str
) -> None:
    """White pets are few; the data user sees that they are withheld, the checker also why."""
    run = stayput("run", sealed, "numbers", home=live.root / "asker").err.split()[1]
    found = stayput("checker", "reasons", run[:12], home=live.root / "office")
    assert found.code == 0
    assert re.search(r"white +COUNT\(\*\) +too few", found.out)
    assert "red" not in found.out
    every = stayput("checker", "reasons", run, "--all", "--json", home=live.root / "office")
    rows = json.loads(every.out)
    assert {"cell": "red", "measure": "COUNT(*)", "reason": "passes"} in rows
    for other in ("asker", "north"):
        refused = stayput("checker", "reasons", run[:12], home=live.root / other)
        assert refused.code == 1
        assert "only the checker has reasons" in refused.err
        assert not refused.out


def test_every_mistake_of_a_scenario_has_a_place_and_a_hint(stayput: Stayput) -> None:
    Path("good.yaml").write_text(pets.TEXT)
    outcome = stayput("scenario", "check", "good.yaml")
    assert (outcome.code, outcome.out) == (0, "")
    Path("bad.yaml").write_text(
        pets.TEXT.replace("max: 30", "max: thirty").replace("AVG(weight)", "MEDIAN(weight)")
    )
    outcome = stayput("scenario", "check", "bad.yaml")
    assert outcome.code == 1
    places = [line for line in outcome.out.splitlines() if line.startswith("bad.yaml:")]
    lines = [int(line.split(":")[1]) for line in places]
    text = Path("bad.yaml").read_text().splitlines()
    assert "thirty" in text[lines[0] - 1]
    assert "mistake" in outcome.err
    found = stayput("scenario", "check", "bad.yaml", "--json").json
    assert [one["line"] for one in found] == lines


def test_a_mistake_is_not_proposed(stayput: Stayput, live: Federation) -> None:
    Path("bad.yaml").write_text(pets.TEXT.replace("max: 30", "max: thirty"))
    outcome = stayput("scenario", "propose", "bad.yaml", home=live.root / "asker")
    assert outcome.code == 1
    assert outcome.err.startswith("stayput: error: line ")


def test_a_rehearsal_says_that_it_is_one(stayput: Stayput) -> None:
    Path("pets.yaml").write_text(pets.TEXT)
    outcome = stayput("rehearse", "pets.yaml", "numbers", "--rows", "200", "--json")
    assert outcome.code == 0, outcome.err
    assert "SYNTHETIC" in outcome.err
    assert outcome.json["synthetic"] is True
    assert sum(row[1] for row in outcome.json["rows"] if row[1] != "withheld") == 600


def test_reviews_are_of_the_scenario_in_the_log(live: Federation) -> None:
    """The commands and the functions below them read the same report."""
    digest = live.client.propose(pets.TEXT.replace("scenario: pets", "scenario: same"))
    found = review.review_report(
        live.identities["north"], live.client.replica, live.link("north"), digest
    )
    nonce = found.scenario.nonce
    written = parse_scenario_file(
        pets.TEXT.replace("scenario: pets", "scenario: same"), nonce=nonce
    )
    proposed = live.client.state(digest).proposed.time
    assert found.report == approval_report(written, "north", proposed=proposed)
