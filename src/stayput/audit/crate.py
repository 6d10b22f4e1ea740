"""The audit as a Five Safes RO-Crate: one ZIP that research repositories and safe havens read.

`Five Safes RO-Crate 0.4 <https://w3id.org/5s-crate/0.4>`_ on RO-Crate 1.2, in a BagIt bag, with
W3C PROV terms: who did what (agents and activities), from what to what (entities).  In the bag are
the review pack, the policy it was read with, the report for machines and for people, and a small
nested crate that describes the workflow of a run in CWL, since the profile demands one.

How a log fits the profile: a run is its ``CreateAction``, a holder's approval the sign-off, the
checker's verdict the disclosure check, a deletion receipt a ``DeleteAction``, this audit the check
phase.  The profile wants a person as requesting agent; a log names no people, so the person here is
whoever holds the data user's key, without a name.

Not here: verification, and any text of a scenario or result; both are as absent here as in the log.
Invariants: same report and files, same bytes (stored, not compressed; no clock, no chance); every
name in the crate is made here, so nothing in a report can leave its folder; digests and sizes are
those of the bytes that went in, read twice and compared.  What leaks: what the log shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

from stayput.audit.crate_workflow import (
    METADATA,
    WORKFLOW_CRATE,
    WORKFLOW_FILE,
    WORKFLOW_TEXT,
    workflow_metadata,
)
from stayput.audit.moments import day, rfc3339
from stayput.audit.page import render_page
from stayput.audit.report import (
    Act,
    AuditReport,
    ReceiptAccount,
    RunAccount,
    ScenarioAccount,
    Verdict,
)
from stayput.errors import InvalidInput

MOST_RUNS: Final = 1000
"""Runs that the metadata tells one by one, the newest; the pack has all, and the crate says so."""

RO_CRATE: Final = "https://w3id.org/ro/crate/1.2"
FIVE_SAFES: Final = "https://w3id.org/5s-crate/0.4"

PACK: Final = "review.pack"
POLICY: Final = "policy.txt"
REPORT: Final = "report.json"
PAGE: Final = "report.html"
WORKFLOW: Final = "workflow/"

_STATUS: Final = "http://schema.org/{}ActionStatus"
_SAFE_HAVEN: Final = "https://w3id.org/shp#"
_SHA256: Final = "https://www.iana.org/assignments/named-information#sha-256"
_CHUNK: Final = 1 << 20
_PROV: Final = (
    "actedOnBehalfOf",
    "endedAtTime",
    "generated",
    "startedAtTime",
    "used",
    "wasAssociatedWith",
    "wasAttributedTo",
    "wasDerivedFrom",
    "wasGeneratedBy",
    "wasInformedBy",
)
"""Terms of W3C PROV-O used here, told in the context one by one: validators want that."""

_FIRST_DAY: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP knows; it means nothing here
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)

Entity = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Payload:
    """A file of the crate: bytes, or a stream that is read once for digests and once to copy."""

    path: str
    content: bytes | BinaryIO
    size: int
    sha256: str
    sha512: str

    def chunks(self) -> Iterator[bytes]:
        """The content again.

        Raises:
            InvalidInput: it is no longer what was hashed.
        """
        if isinstance(self.content, bytes):
            yield self.content
            return
        again = hashlib.sha256()
        self.content.seek(0)
        while chunk := self.content.read(_CHUNK):
            again.update(chunk)
            yield chunk
        if again.hexdigest() != self.sha256:
            raise InvalidInput(
                f"{self.path} changed while it was copied", hint="write the crate again"
            )


def write_crate(
    report: AuditReport, pack: BinaryIO, policy: bytes, out: BinaryIO, *, version: str
) -> None:
    """Write the crate as a ZIP.

    Args:
        report: the outcome of auditing exactly this ``pack`` with this ``policy``.
        pack: the review pack, seekable; it is read twice and not held in memory.
        out: where the ZIP goes; need not be seekable.
        version: of Stayput, which made the report.

    Raises:
        InvalidInput: the pack changes while it is read.
    """
    files = [
        _measure(PACK, pack),
        _measure(POLICY, policy),
        _measure(REPORT, _json(report.to_json())),
        _measure(PAGE, render_page(report)),
        _measure(WORKFLOW + WORKFLOW_FILE, WORKFLOW_TEXT),
        _measure(WORKFLOW + METADATA, _json(workflow_metadata())),
    ]
    metadata = _measure(METADATA, _json(crate_metadata(report, files, version)))
    _write_bag(report, [metadata, *files], out)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def _measure(path: str, content: bytes | BinaryIO) -> _Payload:
    narrow, wide = hashlib.sha256(), hashlib.sha512()
    size = 0
    for chunk in [content] if isinstance(content, bytes) else _read(content):
        narrow.update(chunk)
        wide.update(chunk)
        size += len(chunk)
    return _Payload(path, content, size, narrow.hexdigest(), wide.hexdigest())


def _read(stream: BinaryIO) -> Iterator[bytes]:
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        yield chunk


# --- the bag (RFC 8493) ---------------------------------------------------------------------------


def _write_bag(report: AuditReport, files: Sequence[_Payload], out: BinaryIO) -> None:
    octets = sum(file.size for file in files)
    tags = [
        ("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"),
        (
            "bag-info.txt",
            f"External-Identifier: {crate_identifier(report)}\n"
            f"External-Description: Review of a Stayput log, {report.log.size} entries\n"
            f"Payload-Oxum: {octets}.{len(files)}\n",
        ),
        ("manifest-sha512.txt", "".join(f"{file.sha512}  data/{file.path}\n" for file in files)),
    ]
    manifest = "".join(
        f"{hashlib.sha512(text.encode()).hexdigest()}  {name}\n" for name, text in tags
    )
    tags.append(("tagmanifest-sha512.txt", manifest))
    bag = f"stayput-review-{_hex(report.log.root)[:16]}"
    # Stored: what a compressor writes depends on its version.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, text in tags:
            archive.writestr(_header(f"{bag}/{name}"), text.encode())
        for file in files:
            header = _header(f"{bag}/data/{file.path}")
            header.file_size = file.size
            with archive.open(header, "w") as member:
                for chunk in file.chunks():
                    member.write(chunk)


def _header(name: str) -> zipfile.ZipInfo:
    header = zipfile.ZipInfo(name, _FIRST_DAY)
    header.create_system = 3  # Unix, on every machine
    header.external_attr = 0o100644 << 16
    return header


def crate_identifier(report: AuditReport) -> str:
    """``urn:uuid:…``: of this log at this size (RFC 9562, version 8, from SHA-256)."""
    said = f"stayput review crate\n{report.log.origin}\n{report.log.size}\n{report.log.root}\n"
    raw = bytearray(hashlib.sha256(said.encode("utf-8", "replace")).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
    return "urn:uuid:" + "-".join(parts)


# --- the metadata ---------------------------------------------------------------------------------


def crate_metadata(report: AuditReport, files: Sequence[_Payload], version: str) -> dict[str, Any]:
    """``ro-crate-metadata.json`` as JSON values: the whole graph, flat."""
    runs = sorted(report.runs, key=lambda run: run.ordered.entry)[-MOST_RUNS:]
    wanted = {run.scenario for run in runs}
    scenarios = [
        one for one in report.scenarios if one.scenario in wanted or len(report.runs) <= MOST_RUNS
    ]
    told = [
        _audit(report, version),
        *(entity for one in scenarios for entity in _scenario(one)),
        *(entity for run in runs for entity in _run(run, report)),
    ]
    graph = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": _ref("./"),
            "conformsTo": _ref(RO_CRATE),
        },
        _root(report, told, len(runs)),
        *_data(files),
        *_context(report, version),
        *told,
    ]
    terms = {f"prov:{term}": f"http://www.w3.org/ns/prov#{term}" for term in _PROV}
    context = [f"{RO_CRATE}/context", terms]
    return {"@context": context, "@graph": [_compact(one) for one in graph]}


def _compact(entity: Entity) -> Entity:
    """A list of one is written as that one, as RO-Crate recommends; an empty one not at all."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in entity.items()
        if value != []
    }


def _root(report: AuditReport, told: Sequence[Entity], runs: int) -> Entity:
    actions = [entity for entity in told if "prov:Activity" in entity["@type"]]
    stands = "stands" if report.verdict is Verdict.PASS else "does not stand"
    words = (
        f"The log {report.log.origin} with {report.log.size} entries {stands}. Scenarios: "
        f"{len(report.scenarios)}; runs: {len(report.runs)}; deletion receipts: "
        f"{len(report.receipts)}."
    )
    if runs < len(report.runs):
        words += f" Only the newest {runs} runs are described here; the review pack has all."
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Review of the log {report.log.origin}",
        "description": words,
        "identifier": crate_identifier(report),
        "datePublished": rfc3339(report.log.last),
        "license": _ref("#terms"),
        "hasPart": [_ref(path) for path in (PACK, POLICY, REPORT, PAGE, WORKFLOW)],
        "mainEntity": _ref(WORKFLOW),
        "mentions": [_ref(action["@id"]) for action in actions],
        "sourceOrganization": _ref("#consortium"),
    }
    if runs:  # the profile wants one run or more
        root["conformsTo"] = _ref(FIVE_SAFES)
    return root


_DESCRIPTIONS: Final = {
    PACK: (
        "Review pack",
        "application/x-tar",
        "Every entry of the log, its tiles, checkpoints with cosignatures, and proofs.",
    ),
    POLICY: (
        "Trust policy of this audit",
        "text/plain",
        "Which keys this audit trusted (C2SP tlog-policy). Whoever repeats it uses their own.",
    ),
    REPORT: ("Report, for machines", "application/json", "Verdict, findings and accounts."),
    PAGE: ("Report, for people", "text/html", "The same as one page; a rendering, no evidence."),
    WORKFLOW + WORKFLOW_FILE: (
        "One run of a sealed scenario",
        "application/yaml",
        "Abstract operations in CWL: who does what, in which order.",
    ),
}


def _data(files: Sequence[_Payload]) -> Iterator[Entity]:
    for file in files:
        if file.path not in _DESCRIPTIONS:
            continue  # metadata
        name, media_type, words = _DESCRIPTIONS[file.path]
        made = {"prov:wasGeneratedBy": _ref("#audit")} if file.path in (REPORT, PAGE) else {}
        yield {
            "@id": file.path,
            "@type": ["File", "prov:Entity"],
            "name": name,
            "description": words,
            "encodingFormat": media_type,
            "contentSize": str(file.size),
            "sha256": file.sha256,
            **made,
        }
    yield {
        "@id": WORKFLOW,
        "@type": ["Dataset", "prov:Plan"],
        "name": "The workflow of a run, described in CWL",
        "description": "A description of what the parties do in a run, for readers of this crate.",
        "conformsTo": _ref(WORKFLOW_CRATE),
        "hasPart": _ref(WORKFLOW + WORKFLOW_FILE),
    }


def _context(report: AuditReport, version: str) -> Iterator[Entity]:
    """What the rest refers to: profiles, terms, software, the consortium, its members."""
    yield {"@id": FIVE_SAFES, "@type": "Profile", "name": "Five Safes RO-Crate profile"}
    yield {"@id": WORKFLOW_CRATE, "@type": "Profile", "name": "Workflow RO-Crate profile"}
    yield {
        "@id": "#terms",
        "@type": "CreativeWork",
        "name": "Terms of the consortium",
        "description": "Not an open licence. What may be done with this crate is for the members "
        "of the consortium to say; the log does not record it.",
    }
    yield {"@id": _SHA256, "@type": "DefinedTerm", "name": "sha-256 algorithm"}
    yield {
        "@id": "#stayput",
        "@type": ["SoftwareApplication", "prov:SoftwareAgent"],
        "name": "Stayput",
        "version": version,
        "url": "https://pypi.org/project/stayput/",
    }
    yield {
        "@id": "#policy-of-review",
        "@type": "CreativeWork",
        "name": "Review of the scenario by each data holder",
        "description": "Each holder reads the approval report of the scenario and signs its "
        "digest, or refuses.",
    }
    for name in ("scenario", "order"):  # the inputs of the workflow
        yield {"@id": f"#parameter-{name}", "@type": "FormalParameter", "name": name}
    yield {
        "@id": "#consortium",
        "@type": "Project",
        "name": f"Consortium of the log {report.log.origin}",
        "identifier": report.log.fingerprint,
        "member": [_ref(_party(party.name)) for party in report.parties],
    }
    for party in report.parties:
        yield {
            "@id": _party(party.name),
            "@type": ["Organization", "prov:Agent"],
            "name": party.name,
            "description": f"{party.role} of the consortium",
            "identifier": party.key,
        }
    asked = {run.ordered.party for run in report.runs}
    for name in sorted(asked | {one.proposed.party for one in report.scenarios}):
        yield from _requester(name)


def _requester(name: str) -> Iterator[Entity]:
    yield {
        "@id": _person(name),
        "@type": ["Person", "prov:Agent"],
        "name": f"Whoever holds the signing key of {name}; the log names no people",
        "affiliation": _ref(_party(name)),
        "memberOf": [_ref("#consortium")],
        "prov:actedOnBehalfOf": _ref(_party(name)),
    }
    yield {
        "@id": f"#permission-{_id(name)}",
        "@type": "DigitalDocumentPermission",
        "name": f"{name} may read its results",
        "permissionType": "http://schema.org/ReadPermission",
        "grantee": _ref(_party(name)),
    }


def _audit(report: AuditReport, version: str) -> Entity:
    passed = report.verdict is Verdict.PASS
    return {
        "@id": "#audit",
        "@type": ["AssessAction", "prov:Activity"],
        "additionalType": _ref(f"{_SAFE_HAVEN}CheckValue"),
        "name": f"Audit of the log by replay with Stayput {version}: "
        f"{'it stands' if passed else 'it does not stand'}",
        "object": [_ref("./"), _ref(PACK)],
        "instrument": _ref(_SHA256),
        "agent": _ref("#stayput"),
        "result": [_ref(REPORT), _ref(PAGE)],
        "actionStatus": _status("Completed" if passed else "Failed"),
        "prov:used": [_ref(PACK), _ref(POLICY)],
        "prov:wasAssociatedWith": _ref("#stayput"),
    }


# --- from the log: scenarios ----------------------------------------------------------------------


def _scenario(scenario: ScenarioAccount) -> Iterator[Entity]:
    asked = scenario.proposed
    yield {
        "@id": _scenario_id(scenario.scenario),
        "@type": ["CreativeWork", "prov:Entity"],
        "name": f"Scenario {scenario.scenario[:12]}, {scenario.phase}",
        "description": "One reviewed question; its text is with its parties. "
        f"{scenario.runs_allowed} runs until {day(scenario.valid_until)}.",
        "identifier": scenario.scenario,
        "exampleOfWork": _ref("#parameter-scenario"),
        "prov:wasAttributedTo": _ref(_party(asked.party)),
        "prov:wasGeneratedBy": _ref(_entry(asked)),
    }
    yield _action("Action", asked, f"Scenario {scenario.scenario[:12]} proposed by {asked.party}")
    for act in scenario.approvals:
        yield _sign_off(scenario, act, "approved", "Completed")
    for act in scenario.refusals:
        yield _sign_off(scenario, act, "refused", "Failed")
    for act in scenario.revocations:
        yield _action(
            "DeactivateAction",
            act,
            f"Approval of scenario {scenario.scenario[:12]} revoked by {act.party}",
            object=_ref(_scenario_id(scenario.scenario)),
        )
    if scenario.sealed is not None:
        yield _action(
            "Action",
            scenario.sealed,
            f"Scenario {scenario.scenario[:12]} sealed: every holder had approved",
            object=_ref(_scenario_id(scenario.scenario)),
        )


def _sign_off(scenario: ScenarioAccount, act: Act, outcome: str, status: str) -> Entity:
    reason = f" ({act.reason.replace('_', ' ')})" if act.reason else ""
    return _action(
        "AssessAction",
        act,
        f"Sign-off of scenario {scenario.scenario[:12]} by {act.party}: {outcome}{reason}",
        status=status,
        additionalType=_ref(f"{_SAFE_HAVEN}SignOff"),
        object=[
            _ref("./"),
            _ref(WORKFLOW),
            _ref("#consortium"),
            _ref(_scenario_id(scenario.scenario)),
        ],
        instrument=_ref("#policy-of-review"),
    )


# --- from the log: runs ---------------------------------------------------------------------------


_EXCHANGES = {
    "set_blinded": "Set of identifiers blinded",
    "rows_encrypted": "Rows encrypted",
    "rows_handed_over": "Encrypted rows handed over",
    "sums_returned": "Masked sums returned",
}


def _run(run: RunAccount, report: AuditReport) -> Iterator[Entity]:
    order, result = f"#order-{_hex(run.run)}", f"#result-{_hex(run.run)}"
    yield _run_action(run, order, result)
    yield {
        "@id": order,
        "@type": ["PropertyValue", "prov:Entity"],
        "name": "Digest of the run order: statement and parameters, with a nonce",
        "value": run.order,
        "exampleOfWork": _ref("#parameter-order"),
    }
    for receipt in run.every_receipt:
        yield _receipt(receipt)
    for step in run.exchanges:
        what = f"{_EXCHANGES[step.kind]} by {step.party} for run {run.run[:12]}, over a join"
        made = _action("CreateAction", Act(step.entry, step.time, step.party), what)
        yield {**made, "prov:wasInformedBy": _ref(_run_id(run))}
    coordinator = next((p.name for p in report.parties if p.role == "coordinator"), "")
    yield from _ciphertexts(run, coordinator)
    if run.verdict is not None:
        sums = [_ref(_entry(total)) for total in run.sums if total.round == "counts"]
        yield _action(
            "AssessAction",
            run.verdict,
            f"Disclosure check of run {run.run[:12]} by {run.verdict.party}: which cells may be "
            "opened",
            additionalType=_ref(f"{_SAFE_HAVEN}DisclosureCheck"),
            object=[_ref("./"), *sums],
        )
    if run.outcome == "released" and run.ended is not None:
        yield {
            "@id": result,
            "@type": ["DigitalDocument", "prov:Entity"],
            "name": f"Released result of run {run.run[:12]}, not in this crate",
            "identifier": run.result,
            "hasDigitalDocumentPermission": _ref(f"#permission-{_id(run.ordered.party)}"),
            "prov:wasGeneratedBy": _ref(_run_id(run)),
            "prov:wasAttributedTo": _ref(_party(run.ended.party)),
            "prov:wasDerivedFrom": [_ref(_entry(total)) for total in run.sums],
        }


def _run_action(run: RunAccount, order: str, result: str) -> Entity:
    status = {"released": "Completed", "failed": "Failed"}.get(run.outcome, "Active")
    reason = f" ({run.reason.replace('_', ' ')})" if run.reason else ""
    action: Entity = {
        "@id": _run_id(run),
        "@type": ["CreateAction", "prov:Activity"],
        "name": f"Run {run.run[:12]} of scenario {run.scenario[:12]}: {run.outcome}{reason}",
        "identifier": run.run,
        "actionStatus": _status(status),
        "agent": _ref(_person(run.ordered.party)),
        "instrument": _ref(WORKFLOW),
        "object": [_ref(_scenario_id(run.scenario)), _ref(order)],
        "participant": [_ref(_party(name)) for name in run.participants],
        "startTime": rfc3339(run.ordered.time),
        "prov:used": [_ref(_scenario_id(run.scenario)), _ref(order)],
        "prov:wasAssociatedWith": [
            _ref(_person(run.ordered.party)),
            *(_ref(_party(name)) for name in run.participants),
        ],
        "prov:startedAtTime": _instant(run.ordered.time),
    }
    made = [*run.contributions, *run.sums]
    if made:
        action["prov:generated"] = [_ref(_entry(each)) for each in made]
    if run.ended is not None:
        action["endTime"] = rfc3339(run.ended.time)
        action["prov:endedAtTime"] = _instant(run.ended.time)
    if run.outcome == "released":
        action["result"] = [_ref(result)]
    return action


def _receipt(receipt: ReceiptAccount) -> Entity:
    def listed(codes: Sequence[str]) -> str:
        return ", ".join(code.replace("_", " ") for code in codes) or "none"

    return {
        "@id": f"#entry-{receipt.entry}",
        "@type": ["DeleteAction", "prov:Activity"],
        "name": f"Deletion receipt of {receipt.holder} for run {receipt.run[:12]}: "
        f"{receipt.outcome}",
        "description": f"Checks passed: {listed(receipt.passed)}. Checks failed: "
        f"{listed(receipt.failed)}. Does not cover: {listed(receipt.not_covered)}. "
        f"A signed statement of {receipt.holder}, not a proof.",
        "identifier": f"entry {receipt.entry}",
        "agent": _ref(_party(receipt.holder)),
        "actionStatus": _status("Completed" if receipt.outcome == "destroyed" else "Failed"),
        "startTime": rfc3339(receipt.started),
        "endTime": rfc3339(receipt.ended),
        "prov:wasAssociatedWith": _ref(_party(receipt.holder)),
        "prov:wasInformedBy": _ref(f"#run-{_hex(receipt.run)}"),
        "prov:startedAtTime": _instant(receipt.started),
        "prov:endedAtTime": _instant(receipt.ended),
    }


def _ciphertexts(run: RunAccount, coordinator: str) -> Iterator[Entity]:
    """Digests of what was added, and of the sums; each sum comes from exactly these parts."""
    for part in run.contributions:
        yield {
            "@id": f"#entry-{part.entry}",
            "@type": ["PropertyValue", "prov:Entity"],
            "name": f"Encrypted part of {part.holder}, {part.round}: digest",
            "value": part.ciphertexts,
            "prov:wasAttributedTo": _ref(_party(part.holder)),
            "prov:wasGeneratedBy": _ref(_run_id(run)),
        }
    for total in run.sums:
        parts = [part for part in run.contributions if part.round == total.round]
        yield {
            "@id": f"#entry-{total.entry}",
            "@type": ["PropertyValue", "prov:Entity"],
            "name": f"Encrypted sum, {total.round}: digest",
            "value": total.sum,
            "prov:wasAttributedTo": _ref(_party(coordinator)),
            "prov:wasGeneratedBy": _ref(_run_id(run)),
            "prov:wasDerivedFrom": [_ref(f"#entry-{part.entry}") for part in parts],
        }


# --- pieces ---------------------------------------------------------------------------------------


def _action(kind: str, act: Act, name: str, *, status: str = "Completed", **more: Any) -> Entity:
    return {
        "@id": _entry(act),
        "@type": [kind, "prov:Activity"],
        "name": name,
        "identifier": f"entry {act.entry}",
        "agent": _ref(_party(act.party)),
        "actionStatus": _status(status),
        "endTime": rfc3339(act.time),
        "prov:wasAssociatedWith": _ref(_party(act.party)),
        "prov:endedAtTime": _instant(act.time),
        **more,
    }


def _ref(identifier: str) -> Entity:
    return {"@id": identifier}


def _status(word: str) -> str:
    return _STATUS.format(word)


def _instant(seconds: int) -> Entity:
    return {"@type": "http://www.w3.org/2001/XMLSchema#dateTime", "@value": rfc3339(seconds)}


def _entry(act: Any) -> str:
    return f"#entry-{int(act.entry)}"


def _id(name: str) -> str:
    """A party's name where it is one; anything else becomes a digest, so that no IRI breaks."""
    if _NAME.fullmatch(name):
        return name
    return "x-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]


def _hex(value: str) -> str:
    return value if _HEX.fullmatch(value) else _id(value)


def _party(name: str) -> str:
    return f"#party-{_id(name)}"


def _person(name: str) -> str:
    return f"#requester-{_id(name)}"


def _scenario_id(digest: str) -> str:
    return f"#scenario-{_hex(digest)}"


def _run_id(run: RunAccount) -> str:
    return f"#run-{_hex(run.run)}"
