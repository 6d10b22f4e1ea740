"""The documents say what the code does: clauses, tables, examples, links, commands.

The worked example of the README is run as it stands there, through the real cores, staging
processes and encryption, and what each party saw is recorded where it sees it.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stayput import audit, checker, client, documents, encryption, link, node
from stayput.approval import ApprovalWarning
from stayput.crypto import paillier, signing
from stayput.documents import type_name
from stayput.encryption import parse_sum
from stayput.engines.source import SourceSpec
from stayput.errors import StayputError
from stayput.federation import Federation
from stayput.membership import Members
from stayput.scenario_file import check_scenario_file
from stayput.session import signer_of
from stayput.staging import StagingPool
from stayput.steps import STEP_CLASSES, DeletionCheck, FailureReason, Outcome, Role, Round
from stayput.v1 import services_pb2

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "stayput"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]

CLAUSE = re.compile(r"(?<![\w-])[A-Z]-[1-9][0-9]?(?![\w-])")


# --- clauses --------------------------------------------------------------------------------------


def _sources() -> Iterator[tuple[Path, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if path.parent.name != "v1":
            yield path, path.read_text(encoding="utf-8")


def _stated_clauses() -> list[str]:
    return re.findall(r"^\* \*\*([A-Z]-[0-9]+)\*\* ", PROTOCOL, re.MULTILINE)


def test_every_clause_that_the_code_quotes_is_stated() -> None:
    stated = set(_stated_clauses())
    for path, text in _sources():
        unknown = set(CLAUSE.findall(text)) - stated
        assert not unknown, f"{path.relative_to(ROOT)} quotes {sorted(unknown)}"


def test_every_clause_stated_is_quoted_by_the_code() -> None:
    quoted = {clause for _, text in _sources() for clause in CLAUSE.findall(text)}
    assert set(_stated_clauses()) - quoted == set()


def test_clauses_are_stated_once_and_numbered_without_gaps() -> None:
    stated = _stated_clauses()
    assert len(stated) == len(set(stated))
    for letter in {clause[0] for clause in stated}:
        numbers = [int(c[2:]) for c in stated if c[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter


def test_a_clause_is_recognised_as_one() -> None:
    found = CLAUSE.findall("(N-1 … N-6, `M-3`) SHA-256, P-256, UTF-8, RFC-8, clause S-4.")
    assert found == ["N-1", "N-6", "M-3", "S-4"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_quote_only_clauses_that_are_stated(document: Path) -> None:
    quoted = set(CLAUSE.findall(document.read_text(encoding="utf-8")))
    assert quoted - set(_stated_clauses()) == set()


# --- the tables of the protocol -------------------------------------------------------------------


def _rows(text: str, heading: str) -> list[list[str]]:
    """The body rows of the markdown table whose heading row starts with ``heading``."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(heading):
            next(lines)  # the rule below the heading
            break
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows, f"no table {heading!r}"
    return rows


def test_the_table_of_steps_lists_every_step() -> None:
    steps = [row[0].strip("`") for row in _rows(PROTOCOL, "| step |")]
    assert steps == [type_name(step).removeprefix("stayput.v1.") for step in STEP_CLASSES]


def test_the_table_of_steps_names_the_signer(consortium: Any) -> None:
    words = {
        Role.COORDINATOR: "coordinator",
        Role.HOLDER: "holder",
        Role.CHECKER: "checker",
        Role.USER: "data user",
        Role.AUDITOR: "auditor",
    }
    stated = {row[0].strip("`"): row[1] for row in _rows(PROTOCOL, "| step |")}
    for step in STEP_CLASSES:
        name = type_name(step).removeprefix("stayput.v1.")
        if name == "RunFailed":
            assert stated[name] == "coordinator, checker or participant"
        elif name == "KeysRotated":
            assert stated[name] == "any member but the coordinator"
        else:
            assert stated[name] == words[_signer_role(step, consortium.members)], name


def _signer_role(step: type, members: Members) -> Role:
    blank = object.__new__(step)
    for field in ("user", "holder", "checker", "authority"):
        object.__setattr__(blank, field, "somebody")
    return signer_of(blank, members)[1]


def test_the_table_of_messages_names_calls_and_steps_that_exist() -> None:
    calls = {
        method.name
        for service in services_pb2.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    steps = {type_name(step).removeprefix("stayput.v1.") for step in STEP_CLASSES}
    _, joins = PROTOCOL.split("Before 3, a run over a join has these")
    for row in (*_rows(PROTOCOL, "| # | from |"), *_rows(joins, "| # | from |")):
        assert set(re.findall(r"`(\w+)`", row[2])) <= calls, row
        assert set(re.findall(r"`(\w+)`", row[3])) <= steps, row
    assert all(f"`{call}`" in PROTOCOL for call in calls if call.startswith(("Submit", "Fail")))


def test_the_link_has_as_many_functions_as_the_architecture_says() -> None:
    functions = [name for name in dir(link.CoordinatorLink) if not name.startswith("_")]
    assert len(functions) == 26
    assert "twenty-six functions" in ARCHITECTURE


def test_the_protocol_mentions_no_reason_code_that_does_not_exist() -> None:
    known = {code.name for enum in (FailureReason, Outcome, DeletionCheck) for code in enum}
    for code in ("TIMED_OUT", "INVARIANT_VIOLATED"):
        assert code in known
        assert f"`{code}`" in PROTOCOL


# --- the house ------------------------------------------------------------------------------------


def test_the_architecture_shows_every_part_of_the_house() -> None:
    house = re.search(r"## The house\n(.*?)\n## ", ARCHITECTURE, re.DOTALL)
    assert house is not None
    shown = set(re.findall(r"[a-z_0-9]+", house[1]))
    parts = {path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")}
    parts |= {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert parts - shown == set()


# --- links ----------------------------------------------------------------------------------------


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{target} in {document.name}"
        if anchor:
            assert anchor in _anchors(path), f"{target} in {document.name}"


# --- the worked example of the README -------------------------------------------------------------


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def _clinics() -> dict[str, list[tuple[str, int]]]:
    rows: dict[str, list[tuple[str, int]]] = {}
    for clinic, ward, minutes in _rows(README, "| clinic |"):
        rows.setdefault(clinic, []).append((ward, int(minutes)))
    return rows


class Seen:
    """What went through the hands of nodes and checker, recorded where it is in clear."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: dict[Round, tuple[int, ...]] = {}
        self.sent: dict[str, list[int]] = {}
        open_sum, encrypt = encryption.open, encryption.encrypt

        def opening(encrypted: Any, private: Any, **others: Any) -> tuple[int, ...]:
            sums = open_sum(encrypted, private, **others)
            self.opened[encrypted.context.round] = sums
            return sums

        def encrypting(values: Any, context: Any, **others: Any) -> Any:
            self.sent[f"{others['me']} {context.round.name}"] = list(values)
            return encrypt(values, context, **others)

        monkeypatch.setattr(checker.encryption, "open", opening)
        monkeypatch.setattr(node, "encrypt", encrypting)


@pytest.fixture
def clinics(tmp_path: Path) -> Iterator[Federation]:
    sources = {}
    for clinic, rows in _clinics().items():
        path = tmp_path / f"{clinic}.csv"
        path.write_text("ward,minutes\n" + "".join(f"{w},{m}\n" for w, m in rows))
        sources[clinic] = {"visits": SourceSpec(path=str(path), format="csv")}
    pools = {name: StagingPool(workdir=tmp_path / "staging" / name) for name in sources}
    root = tmp_path / "parties"
    root.mkdir(mode=0o700)
    federation = Federation(
        root,
        holders=tuple(sources),
        checker="statistics-office",
        user="health-office",
        sources=sources,
        stager=lambda name: pools[name],
        paillier_bits=2048,
    )
    try:
        yield federation
    finally:
        federation.close()
        for pool in pools.values():
            pool.close()


def test_the_scenario_of_the_readme_has_no_mistake() -> None:
    assert check_scenario_file(_block("yaml")) == []


def test_the_worked_example_of_the_readme(
    clinics: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(monkeypatch)
    user = clinics.client
    digest = user.propose(_block("yaml"))
    clinics.approve(user.scenario(digest))
    run = user.run(digest, "waiting")
    clinics.settle()
    result = run.wait(timeout=10)

    # The answer, as printed.
    printed = {row[0].strip("`"): tuple(row[1:]) for row in _rows(README, "| ward |")}
    answered = {
        row["ward"]: tuple("withheld" if row[c] is None else f"{row[c]:g}" for c in columns)
        for columns in [("visits", "mean_wait")]
        for row in result.table.to_pylist()
    }
    assert answered == printed

    # And by hand, from the rows as printed.
    waits = {w: [m for rows in _clinics().values() for v, m in rows if v == w] for w in "AB"}
    assert (len(waits["A"]), sum(waits["A"])) == (5, 150)
    assert (len(waits["B"]), sum(waits["B"])) == (2, 90)

    # The checker: counts of all wards, clinics that have any; then 150 and nothing else.
    assert seen.opened[Round.COUNTS] == (5, 2, 0, 3, 2, 0)
    assert seen.opened[Round.VALUES] == (150,)

    # North: A 2 visits and 30 minutes; the 30 minutes of ward B were never sent.
    assert seen.sent["north COUNTS"] == [2, 1, 0, 1, 1, 0]
    assert seen.sent["north VALUES"] == [30]
    assert [seen.sent[f"{name} VALUES"] for name in ("south", "west")] == [[70], [50]]

    # Proven offline from the bundle alone; the receipts say that rows are gone.
    verified = audit.verify_release(result.bundle, clinics.members)
    assert {name: r.outcome for name, r in verified.run.receipts.items()} == dict.fromkeys(
        _clinics(), Outcome.DESTROYED
    )


def test_the_checkers_key_does_not_open_norths_part(
    clinics: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last claim of the example: a part alone opens to noise, for the checker too."""
    parts: dict[str, Any] = {}
    encrypt = encryption.encrypt

    def encrypting(values: Any, context: Any, **others: Any) -> Any:
        part = encrypt(values, context, **others)
        parts[f"{others['me']} {context.round.name}"] = part
        return part

    monkeypatch.setattr(node, "encrypt", encrypting)
    user = clinics.client
    digest = user.propose(_block("yaml"))
    clinics.approve(user.scenario(digest))
    user.run(digest, "waiting")
    clinics.settle()
    key = clinics.identities["statistics-office"].paillier_key
    assert key is not None
    part = parts["north VALUES"]
    try:
        opened = encryption.open(parse_sum(part.ciphertexts, part.context, key.public), key)
    except StayputError:
        return  # not even of the shape of a sum
    assert opened != (30,)  # 2**-64 by chance


# --- Python and commands in documents -------------------------------------------------------------


def test_the_python_example_uses_what_exists() -> None:
    tree = ast.parse(_block("python"))
    calls = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    known = {"connect", *dir(client.Client), *dir(client.Run), *dir(client.Result)}
    assert calls <= known
    demonstrated = yaml.safe_load((SOURCE / "demo_data" / "nyc-delays.yaml").read_text())
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    assert {demonstrated["scenario"], "delay_by_carrier"} <= strings
    keywords = {k.arg for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords} - {
        "progress"
    }
    assert keywords == set(demonstrated["statements"]["delay_by_carrier"]["parameters"])


def _commands() -> list[str]:
    """Command lines of ours in code spans and blocks, with their options, without prompts."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in re.findall(r"```(?:sh|console)?\n(.*?)```", text, re.DOTALL):
            joined = block.replace("\\\n", " ")
            found += re.findall(r"^\$? ?(stayput [^\n#|>…]*)", joined, re.MULTILINE)
        found += re.findall(r"`(stayput [^`…]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for path in sorted((ROOT / "deploy").rglob("*.toml")):
        found += re.findall(r"`(stayput [^`…]*)`", path.read_text(encoding="utf-8"))
    return sorted({" ".join(command.split()) for command in found})


@pytest.mark.parametrize("command", _commands())
def test_commands_in_documents_exist(command: str) -> None:
    """Groups and commands are found, and every option is one of the command's."""
    import typer

    from stayput.cli import app

    current: Any = typer.main.get_command(app)
    words = shlex.split(command)[1:]
    while words and hasattr(current, "commands"):
        name = words.pop(0)
        if name.startswith("-"):
            break
        assert name in current.commands, f"there is no `{command}`"
        current = current.commands[name]
    known = {flag for p in current.params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
    used = {word.split("=")[0] for word in words if word.startswith("-")}
    assert used <= known, command


def test_there_are_commands_in_the_documents() -> None:
    assert any(command.startswith("stayput scenario check") for command in _commands())


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [README, PROTOCOL, ARCHITECTURE], ids=["README", "protocol", "house"]
)
def test_documents_promise_nothing_that_nobody_can_keep(text: str) -> None:
    for word in ("absolutely", "blockchain", "certified", "proven deleted", "unbreakable"):
        assert word not in text.lower(), word


def test_figures_in_the_protocol_are_those_of_the_code() -> None:
    for said, meant in (
        ("first 16 hex digits", signing.FINGERPRINT_CHARS == 16),
        ("3072 bits by default (2048 to 4096 accepted)", _paillier_bits() == (3072, 2048, 4096)),
        ("At most 32 MiB, 16 levels deep", _document_limits() == (32 << 20, 16)),
        ("(768 at 3072 bits)", 2 * 3072 // 8 == 768),
    ):
        assert said in PROTOCOL
        assert meant, said


def _paillier_bits() -> tuple[int, int, int]:
    return paillier.DEFAULT_BITS, paillier.MIN_BITS, paillier.MAX_BITS


def _document_limits() -> tuple[int, int]:
    return documents.MAX_DOCUMENT_BYTES, documents.MAX_DEPTH


def test_every_warning_of_the_approval_report_is_explained() -> None:
    text = (ROOT / "docs" / "output-checking.md").read_text()
    told = re.findall(r"(?m)^\| `([A-Z_]+)` \|", text)
    assert told == [kind.name for kind in ApprovalWarning]
