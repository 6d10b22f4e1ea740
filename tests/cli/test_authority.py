"""Authorities and versions at the command line, with real keys through the whole federation."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pets
import pytest
from cli.conftest import PEOPLE
from cli.transcript import Outcome, Stayput

from stayput.approval import authority_report
from stayput.federation import Federation
from stayput.session import ScenarioPhase
from stayput.steps import AuthorityDecision

NUMBERS = itertools.count()
CENTRAL = "authorisation: {centralised: clinic}\n"
PLAIN = re.sub(r"(?s)  by_colour:.*?(?=  numbers:)", "", pets.TEXT)
"""One statement without parameters: the static audit in each report takes no time."""
SECTORS = "authorisation: {sectoral: {bureau: [south], clinic: [north, west]}}\n"


def written(extra: str, **instead: str) -> tuple[str, Path]:
    name = f"governed-{next(NUMBERS)}"
    text = PLAIN.replace("scenario: pets", f"scenario: {name}") + extra
    for old, new in instead.items():
        text = text.replace(f"{old}: ", f"{old}: {new} # ")
    path = Path(f"{name}.yaml")
    path.write_text(text)
    return name, path


def proposed(stayput: Stayput, live: Federation, extra: str, **instead: str) -> tuple[str, bytes]:
    name, path = written(extra, **instead)
    outcome = stayput("scenario", "propose", str(path), home=live.root / "asker")
    assert outcome.code == 0, outcome.err
    return name, bytes.fromhex(outcome.out.strip())


def approve_all(stayput: Stayput, live: Federation, name: str) -> None:
    for holder in pets.HOLDERS:
        outcome = stayput("approve", name, "--yes", home=live.root / holder)
        assert outcome.code == 0, outcome.err


def keys(tmp_path: Path) -> list[str]:
    """Key files of the bureau's people."""
    paths = []
    for index, key in enumerate(PEOPLE):
        path = tmp_path / f"person-{index}.key"
        path.write_bytes(key.to_bytes())
        path.chmod(0o600)
        paths.append(str(path))
    return paths


def phase(live: Federation, digest: bytes) -> ScenarioPhase:
    return live.client.state(digest).phase


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1
    for word in words:
        assert word in outcome.err, outcome.err


def test_a_central_authority_authorises_and_withdraws(stayput: Stayput, live: Federation) -> None:
    name, digest = proposed(stayput, live, CENTRAL)
    clinic = live.root / "clinic"
    approve_all(stayput, live, name)
    assert phase(live, digest) is ScenarioPhase.PROPOSED
    shown = stayput("scenario", "show", name, home=live.root / "asker").out
    assert "authority    clinic, for north, south, west: has not decided" in shown
    assert {"digest": digest.hex(), "name": name, "data_user": "asker"} in stayput(
        "pending", "--json", home=clinic
    ).json

    report = stayput("report", name, home=clinic)
    scenario, state = live.client.scenario(digest), live.client.state(digest)
    expected = authority_report(scenario, "clinic", proposed=state.proposed.time)
    assert report.out == expected.text, "byte for byte what an authorisation signs"
    assert "APPROVAL REPORT FOR north" in report.out
    assert "south, west read the same, but for the name." in report.out
    refused(stayput("authority", "authorise", name, home=clinic), "nothing was signed")
    refused(
        stayput("authority", "authorise", name, "-y", "--report", "ab" * 32, home=clinic),
        "not the one that was read",
    )
    signed = ("authority", "authorise", name, "-y", "--report", expected.digest.hex())
    outcome = stayput(*signed, home=clinic)
    assert "the scenario is sealed" in outcome.err, outcome.err
    assert stayput(*signed, home=clinic).code == 0  # once more changes nothing
    said = live.client.state(digest).authorisations["clinic"]
    assert (said.decision, said.report) == (AuthorityDecision.AUTHORISED, expected.digest)

    refused(
        stayput("authority", "refuse", name, "--reason", "legal", "-y", home=clinic),
        "has decided already",
        "authority withdraw",
    )
    outcome = stayput("authority", "withdraw", name, "--reason", "legal", "-y", home=clinic)
    assert outcome.code == 0, outcome.err
    assert phase(live, digest) is ScenarioPhase.REVOKED
    asked = stayput("run", name, "numbers", home=live.root / "asker")
    refused(asked, "revoked")
    listed = stayput("scenario", "list", "--json", home=live.root / "asker").json
    (row,) = [row for row in listed if row["digest"] == digest.hex()]
    assert row["authorisation"] == "centralised"
    assert row["authorisations"] == {"clinic": "withdrawn"}
    assert row["refusals"] == ["clinic: LEGAL"]


def test_a_sectoral_authority_signs_with_its_people(
    stayput: Stayput, live: Federation, tmp_path: Path
) -> None:
    name, digest = proposed(stayput, live, SECTORS)
    bureau, people = live.root / "bureau", keys(tmp_path)
    report = stayput("report", name, "--json", home=bureau).json
    assert "sectoral, for south" in report["text"]
    assert "APPROVAL REPORT FOR south" in report["text"]
    assert "APPROVAL REPORT FOR north" not in report["text"]
    authorise = ("authority", "authorise", name, "--yes")
    refused(stayput(*authorise, home=bureau), "0 of the 2 reviewers")

    def sign(person: str, home: str = "bureau", report: str = report["digest"]) -> Outcome:
        return stayput(
            "reviewer", "sign", name, "--key", person, "-o", f"{person}.{home}",
            "--report", report, home=live.root / home,
        )  # fmt: skip

    refused(sign(people[0], report="ab" * 32), "not the one that was read")
    assert sign(people[0]).code == 0
    assert sign(people[1]).code == 0
    first, second = (("--signature", f"{person}.bureau") for person in people[:2])
    refused(stayput(*authorise, *first, *first, home=bureau), "each reviewer signs once")
    # A person that signs what the other authority reads has not signed for this one.
    theirs = stayput("report", name, "--json", home=live.root / "clinic").json["digest"]
    assert sign(people[1], "clinic", theirs).code == 0
    other = ("--signature", f"{people[1]}.clinic")
    refused(stayput(*authorise, *first, *other, home=bureau), "has signed something else")
    assert stayput(*authorise, *first, *second, home=bureau).code == 0
    outcome = stayput("authority", "authorise", name, "-y", *first, home=live.root / "clinic")
    refused(outcome, "nobody has to countersign")
    assert stayput("authority", "authorise", name, "-y", home=live.root / "clinic").code == 0
    assert phase(live, digest) is ScenarioPhase.PROPOSED  # no authority stands in for a holder
    approve_all(stayput, live, name)
    assert phase(live, digest) is ScenarioPhase.SEALED


def test_who_is_not_named_does_not_authorise(stayput: Stayput, live: Federation) -> None:
    name, digest = proposed(stayput, live, CENTRAL)
    outcome = stayput("authority", "authorise", digest.hex(), "-y", home=live.root / "bureau")
    refused(outcome, "no holder of this scenario, and no authority")
    outcome = stayput("authority", "authorise", name, "-y", home=live.root / "north")
    refused(outcome, "north is no authority of this scenario", "stayput approve")
    for words in (("approve", name), ("refuse", name, "--reason", "legal")):
        outcome = stayput(*words, "-y", home=live.root / "clinic")
        refused(outcome, "clinic")
    assert live.client.state(digest).authorisations == {}
    outcome = stayput("authority", "refuse", name, "--reason", "purpose", "-y",
                      home=live.root / "clinic")  # fmt: skip
    assert outcome.code == 0
    assert phase(live, digest) is ScenarioPhase.REFUSED
    refused(stayput("approve", name, "-y", home=live.root / "north"), "refused")


def test_who_has_to_sign_is_said_before_anybody_is_asked(stayput: Stayput) -> None:
    _, path = written(SECTORS)
    said = stayput("scenario", "check", str(path)).err
    assert "each of these holders has to approve: north, south, west" in said
    assert "bureau has to authorise it as well, for south" in said
    _, path = written("authorisation: dispersed\n")
    assert "authorise" not in stayput("scenario", "check", str(path)).err


@pytest.mark.parametrize(
    ("authority", "words"),
    [("nobody", "nobody is no auditor here"), ("south", "no other part"), ("asker", "no other")],
)
def test_an_authority_that_cannot_be_one(
    stayput: Stayput, live: Federation, authority: str, words: str
) -> None:
    _, path = written(f"authorisation: {{centralised: {authority}}}\n")
    refused(stayput("scenario", "propose", str(path), home=live.root / "asker"), words)


# --- versions -------------------------------------------------------------------------------------


def test_a_new_version_voids_approvals_and_shows_what_it_changes(
    stayput: Stayput, live: Federation
) -> None:
    name, first = proposed(stayput, live, "")
    approve_all(stayput, live, name)
    assert phase(live, first) is ScenarioPhase.SEALED
    later, second = proposed(
        stayput, live, f"replaces: {name}\n", output="{min_count: 5, min_holders: 3}"
    )
    report = stayput("report", later, home=live.root / "north").out
    assert "! NEW_VERSION" in report
    assert "! PROTECTION_LOWERED" in report
    assert "     | - 10\n     | + 5\n" in report
    assert "output, min count: changed" in report
    shown = stayput("scenario", "show", name, home=live.root / "asker").out
    assert f"replaced by  {second.hex()}: proposed" in shown
    compared = stayput("scenario", "diff", name, later, home=live.root / "south")
    assert "output, min count: changed" in compared.out
    rows = stayput("scenario", "diff", name, later, "--json", home=live.root / "south").json
    assert {"place": "output, min count", "change": "changed", "lines": ["- 10", "+ 5"]} in rows

    # Approvals are of the earlier digest: the new one has none, and the earlier one stays sealed.
    assert live.client.state(second).reviews == {}
    assert phase(live, first) is ScenarioPhase.SEALED
    approve_all(stayput, live, later)
    assert phase(live, first) is ScenarioPhase.REPLACED
    refused(stayput("run", first.hex(), "numbers", home=live.root / "asker"), "new version")
    # The result verifies from its bundle alone, with the proposal of the earlier version in it.
    assert stayput("run", later, "numbers", home=live.root / "asker").code == 0


def test_editing_voids_approvals(stayput: Stayput, live: Federation) -> None:
    name, first = proposed(stayput, live, "")
    for holder in ("north", "south"):
        assert stayput("approve", name, "-y", home=live.root / holder).code == 0
    read = stayput("report", name, "--json", home=live.root / "north").json["digest"]
    text = Path(f"{name}.yaml").read_text() + f'replaces: "{first.hex()}"\n'
    Path(f"{name}.yaml").write_text(text.replace("Pets by colour", "Pets by colours"))
    outcome = stayput("scenario", "propose", f"{name}.yaml", home=live.root / "asker")
    second = bytes.fromhex(outcome.out.strip())
    assert live.client.state(second).awaited() == ("north", "south", "west")
    assert stayput("approve", second.hex(), "-y", home=live.root / "west").code == 0
    assert phase(live, second) is ScenarioPhase.PROPOSED
    outcome = stayput("approve", second.hex(), "-y", "--report", read, home=live.root / "north")
    refused(outcome, "not the one that was read")
    assert not live._ledgers["north"].is_approved(second)


def test_what_cannot_be_replaced(stayput: Stayput, live: Federation) -> None:
    for text, words in (
        ("nothing-of-that-name", "no scenario"),
        ("Not A Name", "names no scenario"),
        (f'"{"ab" * 32}"', "no scenario"),
    ):
        _, path = written(f"replaces: {text}\n")
        refused(stayput("scenario", "propose", str(path), home=live.root / "asker"), words)
    _, path = written("replaces: pets\n")
    assert stayput("scenario", "check", str(path)).code == 0  # offline nobody can say
