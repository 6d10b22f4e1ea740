"""The crate against BagIt (RFC 8493), RO-Crate 1.2, Five Safes RO-Crate 0.4 and PROV-O.

The rules are written down here once more, from the specifications.  Beside that, crates like these
were given to `bagit` 1.9, and to `rocrate-validator` with its profiles RO-Crate 1.2, Workflow
RO-Crate 1.0 and (from the proposal to add it) Five Safes 0.4: nothing required is missing.  That
program needs the network for JSON-LD contexts, so it does not run here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import zipfile
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from audit.logs import HOLDERS, Log
from audit.reports import empty_report, long_report, short_report
from audit.test_page import BAD, CANARY
from parties import Party

from stayput.audit.crate import MOST_RUNS, write_crate
from stayput.audit.examine import audit_pack
from stayput.audit.page import render_page
from stayput.audit.report import AuditReport
from stayput.errors import InvalidInput
from stayput.steps import FailureReason, RefusalReason, RunFailed, ScenarioRevoked

PACK, POLICY = b"a pack" * 1000, b"a policy\n"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PROV = {  # property -> classes of PROV-O at both ends
    "prov:used": ("prov:Activity", "prov:Entity"),
    "prov:generated": ("prov:Activity", "prov:Entity"),
    "prov:wasInformedBy": ("prov:Activity", "prov:Activity"),
    "prov:wasAssociatedWith": ("prov:Activity", "prov:Agent"),
    "prov:wasGeneratedBy": ("prov:Entity", "prov:Activity"),
    "prov:wasDerivedFrom": ("prov:Entity", "prov:Entity"),
    "prov:wasAttributedTo": ("prov:Entity", "prov:Agent"),
    "prov:actedOnBehalfOf": ("prov:Agent", "prov:Agent"),
}
IS_A = {"prov:Plan": "prov:Entity", "prov:SoftwareAgent": "prov:Agent"}


def crate(report: AuditReport, pack: bytes = PACK, policy: bytes = POLICY) -> bytes:
    out = io.BytesIO()
    write_crate(report, io.BytesIO(pack), policy, out, version="0.1")
    return out.getvalue()


def poisoned(value: Any, field: str = "") -> Any:
    """The same report with the canary before every text; equal texts stay equal."""
    if dataclasses.is_dataclass(value):
        names = [one.name for one in dataclasses.fields(value)]
        return type(value)(**{name: poisoned(getattr(value, name), name) for name in names})
    if isinstance(value, tuple):
        return tuple(poisoned(item, field) for item in value)
    spared = field in ("outcome", "phase", "round", "role")  # words of ours
    return CANARY + value if isinstance(value, str) and not spared else value


def contents(data: bytes) -> dict[str, bytes]:
    """By path below the bag's folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(set(names)) == len(names)
        (bag,) = {name.partition("/")[0] for name in names}
        return {name.removeprefix(bag + "/"): archive.read(name) for name in names}


def graph(data: bytes, path: str = "ro-crate-metadata.json") -> dict[str, dict[str, Any]]:
    document = json.loads(contents(data)["data/" + path])
    assert set(document) == {"@context", "@graph"}
    by_id = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(by_id) == len(document["@graph"]), "each entity is described once"
    return by_id


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def refs(entity: dict[str, Any], key: str) -> list[str]:
    return [one["@id"] for one in listed(entity.get(key, []))]


def kinds(entity: dict[str, Any]) -> set[str]:
    found = set(listed(entity["@type"]))
    return found | {IS_A[one] for one in found & IS_A.keys()}


@pytest.fixture(scope="module")
def real(consortium: Party) -> tuple[Log, bytes, AuditReport]:
    """A log with a released, a failed and a revoked run, its pack and what the audit says."""
    log = Log(consortium)
    scenario = log.sealed()
    log.run(scenario)
    failed = log.order(scenario)
    log.receipt(failed, scenario, "north")
    log.add(RunFailed(failed, "hub", FailureReason.TIMED_OUT, log.time), "hub")
    log.order(scenario)
    log.add(ScenarioRevoked(scenario, "south", RefusalReason.LEGAL, log.time), "south")
    pack = log.pack()
    return log, pack, audit_pack(io.BytesIO(pack), log.policy())


@pytest.fixture(scope="module")
def made(real: tuple[Log, bytes, AuditReport]) -> bytes:
    log, pack, report = real
    return crate(report, pack, log.policy().encode())


CASES = {
    "short": short_report,
    "failed": lambda: short_report(BAD),
    "long": lambda: long_report(40),
    "empty": empty_report,
    "poisoned": lambda: poisoned(short_report(BAD)),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def report(request: pytest.FixtureRequest) -> AuditReport:
    return request.param()


# --- the bag --------------------------------------------------------------------------------------


def test_the_bag_is_whole(report: AuditReport) -> None:
    """RFC 8493: declaration, every payload file in the manifest, tag files too, the right sums."""
    files = contents(crate(report))
    declaration = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    assert files["bagit.txt"] == declaration
    for manifest, chosen in (
        ("manifest-sha512.txt", lambda name: name.startswith("data/")),
        ("tagmanifest-sha512.txt", lambda name: "/" not in name and "tagmanifest" not in name),
    ):
        sums = dict(line.split("  ")[::-1] for line in files[manifest].decode().splitlines())
        expected = {
            name: hashlib.sha512(data).hexdigest() for name, data in files.items() if chosen(name)
        }
        assert sums == expected
    payload = [data for name, data in files.items() if name.startswith("data/")]
    oxum = f"Payload-Oxum: {sum(map(len, payload))}.{len(payload)}\n"
    assert oxum in files["bag-info.txt"].decode()


def test_nothing_leaves_the_folder_or_is_a_link(report: AuditReport) -> None:
    with zipfile.ZipFile(io.BytesIO(crate(report))) as archive:
        for info in archive.infolist():
            path = PurePosixPath(info.filename)
            assert not path.is_absolute()
            assert ".." not in path.parts
            assert re.fullmatch(r"[A-Za-z0-9./_-]+", info.filename)
            assert info.external_attr >> 16 == 0o100644


def test_the_same_report_gives_the_same_bytes(report: AuditReport) -> None:
    assert crate(report) == crate(report)


def test_it_holds_exactly_what_was_audited(real: tuple[Log, bytes, AuditReport]) -> None:
    log, pack, found = real
    files = contents(crate(found, pack, log.policy().encode()))
    assert files["data/review.pack"] == pack
    assert files["data/policy.txt"] == log.policy().encode()
    assert json.loads(files["data/report.json"]) == found.to_json()
    assert files["data/report.html"] == render_page(found)
    again = audit_pack(io.BytesIO(files["data/review.pack"]), log.policy())
    assert again == found


def test_a_pack_that_changes_while_it_is_copied_is_noticed() -> None:
    class Changing(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            if self.tell():
                self.getbuffer()[5] ^= 1
            return super().seek(offset, whence)

    with pytest.raises(InvalidInput, match="changed while"):
        write_crate(short_report(), Changing(PACK), POLICY, io.BytesIO(), version="0.1")


# --- RO-Crate -------------------------------------------------------------------------------------


def test_the_root_is_described(report: AuditReport) -> None:
    by_id = graph(crate(report))
    descriptor, root = by_id["ro-crate-metadata.json"], by_id["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert refs(descriptor, "about") == ["./"]
    assert refs(descriptor, "conformsTo") == ["https://w3id.org/ro/crate/1.2"]
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license"} <= root.keys()
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        root["identifier"],
    )


def test_every_file_is_described_as_it_is(report: AuditReport) -> None:
    data = crate(report)
    by_id, files = graph(data), contents(data)
    described = {name for name, entity in by_id.items() if "File" in listed(entity["@type"])}
    present = {name.removeprefix("data/") for name in files if name.startswith("data/")}
    assert described == present - {"ro-crate-metadata.json", "workflow/ro-crate-metadata.json"}
    for name in described:
        assert by_id[name]["sha256"] == hashlib.sha256(files["data/" + name]).hexdigest()
        assert by_id[name]["contentSize"] == str(len(files["data/" + name]))
    assert set(refs(by_id["./"], "hasPart")) | {"workflow/run.cwl"} == described | {"workflow/"}


def test_every_reference_leads_somewhere(report: AuditReport) -> None:
    """To an entity of the crate, or to an absolute address."""
    by_id = graph(crate(report))
    for entity in by_id.values():
        assert re.fullmatch(r"[!-~]+", entity["@id"])
        for key, value in entity.items():
            assert key.startswith(("@", "prov:")) or re.fullmatch(r"[a-zA-Z0-9]+", key)
            for one in listed(value):
                assert not isinstance(one, (list, float, type(None)))
                if isinstance(one, dict) and "@id" in one:
                    assert set(one) == {"@id"}
                    assert one["@id"] in by_id or one["@id"].startswith("http"), one


def test_no_text_of_a_log_is_an_address() -> None:
    by_id = graph(crate(poisoned(short_report(BAD))))
    for name in by_id:
        assert re.fullmatch(r"https?://[a-z0-9./#-]+|[#a-z0-9./-]+", name, re.IGNORECASE), name


# --- Five Safes -----------------------------------------------------------------------------------


def test_it_has_the_phases_of_the_profile(made: bytes) -> None:
    by_id = graph(made)
    root = by_id["./"]
    assert refs(root, "conformsTo") == ["https://w3id.org/5s-crate/0.4"]
    assert refs(root, "mainEntity") == ["workflow/"]
    assert by_id[refs(root, "sourceOrganization")[0]]["@type"] == "Project"
    mentioned = [by_id[name] for name in refs(root, "mentions")]
    runs = [one for one in mentioned if "CreateAction" in one["@type"]]
    assert [one["actionStatus"].rpartition("/")[2] for one in runs] == [
        "CompletedActionStatus",
        "FailedActionStatus",
        "FailedActionStatus",
    ]
    for run in runs:
        assert refs(run, "instrument") == ["workflow/"]
        (agent,) = (by_id[name] for name in refs(run, "agent"))
        assert "Person" in agent["@type"]
        assert refs(agent, "memberOf") == refs(root, "sourceOrganization")
        assert INSTANT.fullmatch(run["startTime"])
        assert INSTANT.fullmatch(run["endTime"])
        inputs = [by_id[name] for name in refs(run, "object")]
        assert all(refs(one, "exampleOfWork") for one in inputs)
    by_phase: dict[str, list[dict[str, Any]]] = {}
    for one in mentioned:
        for phase in refs(one, "additionalType"):
            by_phase.setdefault(phase.removeprefix("https://w3id.org/shp#"), []).append(one)
    assert {phase: len(found) for phase, found in by_phase.items()} == {
        "CheckValue": 1,
        "SignOff": len(HOLDERS),
        "DisclosureCheck": 1,
    }
    for one in by_phase["SignOff"]:
        assert {"./", "workflow/", *refs(root, "sourceOrganization")} <= set(refs(one, "object"))
        assert refs(one, "instrument")
    assert "./" in refs(by_phase["DisclosureCheck"][0], "object")
    deletions = [one for one in by_id.values() if "DeleteAction" in one["@type"]]
    assert len(deletions) == len(HOLDERS) + 1
    assert all("not a proof" in one["description"] for one in deletions)
    assert sum("DeactivateAction" in one["@type"] for one in by_id.values()) == 1


def test_a_log_without_runs_does_not_claim_the_profile() -> None:
    assert "conformsTo" not in graph(crate(empty_report()))["./"]


def test_a_log_that_does_not_stand_is_not_said_to() -> None:
    by_id = graph(crate(short_report(BAD)))
    assert "does not stand" in by_id["./"]["description"]
    assert by_id["#audit"]["actionStatus"].endswith("FailedActionStatus")


def test_the_workflow_is_a_crate_of_its_own(made: bytes) -> None:
    by_id = graph(made, "workflow/ro-crate-metadata.json")
    main = by_id[refs(by_id["./"], "mainEntity")[0]]
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow"} == set(main["@type"])
    assert by_id[refs(main, "programmingLanguage")[0]]["@type"] == "ComputerLanguage"
    text = yaml.safe_load(contents(made)["data/workflow/" + main["@id"]])
    assert text["cwlVersion"] == "v1.2"
    known = {*text["inputs"]} | {
        f"{step}/{out}" for step, about in text["steps"].items() for out in about["out"]
    }
    for step in text["steps"].values():
        assert set(step["in"].values()) <= known
        assert set(step["in"]) == set(step["run"]["inputs"])
        assert set(step["out"]) == set(step["run"]["outputs"])
    assert {one["outputSource"] for one in text["outputs"].values()} <= known


def test_of_many_runs_the_newest_are_told_and_that_is_said() -> None:
    report = long_report(MOST_RUNS + 30)
    by_id = graph(crate(report))
    runs = [one for one in by_id.values() if "CreateAction" in one["@type"]]
    assert len(runs) == MOST_RUNS
    newest = sorted(report.runs, key=lambda run: run.ordered.entry)[30:]
    assert {run["identifier"] for run in runs} == {run.run for run in newest}
    assert f"newest {MOST_RUNS} runs" in by_id["./"]["description"]


# --- PROV -----------------------------------------------------------------------------------------


def test_provenance_relates_what_may_be_related(report: AuditReport) -> None:
    data = crate(report)
    context = json.loads(contents(data)["data/ro-crate-metadata.json"])["@context"]
    by_id = graph(data)
    used = {key for entity in by_id.values() for key in entity if key.startswith("prov:")}
    assert used <= PROV.keys() | {"prov:startedAtTime", "prov:endedAtTime"}
    for term in used:
        assert context[1][term] == f"http://www.w3.org/ns/prov#{term.removeprefix('prov:')}"
    for entity in by_id.values():
        for term, (domain, range_) in PROV.items():
            for target in refs(entity, term):
                assert domain in kinds(entity), (entity["@id"], term)
                assert range_ in kinds(by_id[target]), (entity["@id"], term, target)


def test_a_result_comes_from_sums_and_a_sum_from_every_holders_part(made: bytes) -> None:
    by_id = graph(made)
    (result,) = (one for name, one in by_id.items() if name.startswith("#result-"))
    sums = [by_id[name] for name in refs(result, "prov:wasDerivedFrom")]
    assert [one["name"] for one in sums] == [
        "Encrypted sum, counts: digest",
        "Encrypted sum, values: digest",
    ]
    for one in sums:
        parts = [by_id[name] for name in refs(one, "prov:wasDerivedFrom")]
        owners = {name for part in parts for name in refs(part, "prov:wasAttributedTo")}
        assert owners == {f"#party-{name}" for name in HOLDERS}
        assert all(refs(part, "prov:wasDerivedFrom") == [] for part in parts)
