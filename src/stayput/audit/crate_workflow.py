"""The workflow of a run as a nested Workflow RO-Crate, which the Five Safes profile asks for.

A description for readers of the crate, in CWL 1.2 with abstract operations: what goes in, who does
what in which order, what comes out.  Nothing executes it; what the parties run is fixed by the
protocol (``docs/protocol.md``) and by the sealed scenario.  The same bytes in every crate.
"""

from __future__ import annotations

from typing import Any, Final

RO_CRATE: Final = "https://w3id.org/ro/crate/1.1"  # the version that Workflow RO-Crate 1.0 is for
WORKFLOW_CRATE: Final = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
WORKFLOW_FILE: Final = "run.cwl"
METADATA: Final = "ro-crate-metadata.json"

PUBLISHED: Final = "2026-11-24"
"""Of this description; a changed text gets another day."""

WORKFLOW_TEXT: Final = b"""\
cwlVersion: v1.2
class: Workflow
label: One run of a sealed scenario
doc: |
  What the parties of a Stayput consortium do in one run. A description, not executable:
  every step is an abstract operation of a party, recorded in the consortium's log.
inputs:
  scenario:
    type: File
    doc: The sealed scenario; every holder has approved exactly these bytes.
  order:
    type: File
    doc: Which statement of it, with which parameters, by the data user.
outputs:
  result:
    type: File
    outputSource: release/result
    doc: The checked table, encrypted to the data user.
steps:
  compute_locally:
    label: Each holder, counts and values
    doc: Stage own rows in one confined process, sum per cell, destroy the rows, attest it.
    in: {scenario: scenario, order: order}
    out: [counts, values, receipt]
    run:
      class: Operation
      inputs: {scenario: File, order: File}
      outputs: {counts: File, values: File, receipt: File}
  add_counts:
    label: Coordinator, encrypted counts
    doc: Multiply the holders' ciphertexts; nobody sees a part.
    in: {parts: compute_locally/counts}
    out: [sum]
    run:
      class: Operation
      inputs: {parts: File}
      outputs: {sum: File}
  judge:
    label: Checker, which cells may be opened
    doc: Open the pooled counts and apply the output policy of the scenario.
    in: {sum: add_counts/sum}
    out: [verdict]
    run:
      class: Operation
      inputs: {sum: File}
      outputs: {verdict: File}
  add_values:
    label: Coordinator, encrypted values of the cells that passed
    in: {parts: compute_locally/values, verdict: judge/verdict}
    out: [sum]
    run:
      class: Operation
      inputs: {parts: File, verdict: File}
      outputs: {sum: File}
  release:
    label: Checker, the result
    doc: Open the sums, finish the statistics, encrypt the table to the data user.
    in: {sum: add_values/sum}
    out: [result]
    run:
      class: Operation
      inputs: {sum: File}
      outputs: {result: File}
"""


def workflow_metadata() -> dict[str, Any]:
    """``ro-crate-metadata.json`` of the nested crate, as JSON values."""
    language = "https://w3id.org/workflowhub/workflow-ro-crate#cwl"
    graph: list[dict[str, Any]] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [{"@id": RO_CRATE}, {"@id": WORKFLOW_CRATE}],
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": "The workflow of a run",
            "description": "What the parties of a Stayput consortium do in one run.",
            "datePublished": PUBLISHED,
            "license": {"@id": "https://spdx.org/licenses/Apache-2.0"},
            "hasPart": {"@id": WORKFLOW_FILE},
            "mainEntity": {"@id": WORKFLOW_FILE},
        },
        {
            "@id": WORKFLOW_FILE,
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "One run of a sealed scenario",
            "description": "Abstract operations: who does what, in which order.",
            "encodingFormat": "application/yaml",
            "license": {"@id": "https://spdx.org/licenses/Apache-2.0"},
            "programmingLanguage": {"@id": language},
        },
        {
            "@id": language,
            "@type": "ComputerLanguage",
            "name": "Common Workflow Language",
            "alternateName": "CWL",
            "version": "1.2",
            "identifier": {"@id": "https://w3id.org/cwl/v1.2/"},
            "url": {"@id": "https://www.commonwl.org/"},
        },
        {
            "@id": "https://spdx.org/licenses/Apache-2.0",
            "@type": "CreativeWork",
            "name": "Apache License 2.0",
            "identifier": "Apache-2.0",
        },
    ]
    return {"@context": f"{RO_CRATE}/context", "@graph": graph}
