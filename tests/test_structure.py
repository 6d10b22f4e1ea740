"""The shape of the house holds, and the check that says so notices when somebody breaks it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "stayput"
GENERATED = SOURCE / "v1"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if GENERATED not in path.parents)


def run_linter(root: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the tree at ``root``, which it must really look at."""
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "COLUMNS": "200"}
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The source tree and the contracts, to be broken."""
    shutil.copytree(
        SOURCE, tmp_path / "src" / "stayput", ignore=shutil.ignore_patterns("*.parquet")
    )
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_the_tree_keeps_its_shape(copy: Path) -> None:
    outcome = run_linter(copy)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "3 kept, 0 broken" in outcome.stdout


@pytest.mark.parametrize(
    ("module", "offence", "says"),
    [
        ("session", "import socket", "stayput.session -> socket"),
        ("session", "import stayput.store.journal", "stayput.session -> stayput.store.journal"),
        ("audit.replay", "from pathlib import Path", "stayput.audit.replay -> pathlib"),
        ("finishing", "def f():\n    import time", "stayput.finishing -> time"),
        ("sql.render", "import duckdb", "stayput.sql.render -> duckdb"),
        ("encryption", "import secrets", "stayput.encryption -> secrets"),
        ("crypto.masks", "import random", "stayput.crypto.masks -> random"),
        ("crypto.signing", "import stayput.scenario", "stayput.crypto.signing -> stayput.scenario"),
        ("tlog.merkle", "import stayput.session", "stayput.tlog.merkle -> stayput.session"),
        ("node", "import stayput.coordinator", "stayput.node -> stayput.coordinator"),
        ("store.ledger", "import stayput.node", "stayput.store.ledger -> stayput.node"),
    ],
)
def test_an_offence_is_noticed(copy: Path, module: str, offence: str, says: str) -> None:
    path = copy / "src" / "stayput" / (module.replace(".", "/") + ".py")
    path.write_text(path.read_text("utf-8") + f"\n\n{offence}\n", "utf-8")
    outcome = run_linter(copy)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "broken" in outcome.stdout
    assert says in outcome.stdout


def test_an_offence_by_way_of_a_new_module_is_noticed(copy: Path) -> None:
    package = copy / "src" / "stayput"
    (package / "shortcut.py").write_text("import subprocess\n")
    session = package / "session.py"
    session.write_text(session.read_text("utf-8") + "\n\nimport stayput.shortcut\n", "utf-8")
    outcome = run_linter(copy)
    assert outcome.returncode == 1
    # The new module has no floor, and what it does is the story's doing.
    assert "stayput.shortcut" in outcome.stdout


# --- what import-linter does not see --------------------------------------------------------------


def story() -> list[str]:
    """The modules of the contract "The story does no I/O"."""
    text = (ROOT / ".importlinter").read_text("utf-8")
    block = text.partition("[importlinter:contract:story]")[2].partition("forbidden_modules")[0]
    names = re.findall(r"^    stayput\.(\w+)$", block, re.MULTILINE)
    assert len(names) > 15
    return names


def story_files() -> list[Path]:
    names = set(story())
    return [
        path for path in MODULES if path.relative_to(SOURCE).parts[0].removesuffix(".py") in names
    ]


BANNED_CALLS = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint"}
BANNED_ATTRIBUTES = {"now", "today", "utcnow", "urandom", "default_rng", "system"}
BANNED_OWNERS = {"random"}  # numpy.random; a generator that was handed in is fine


def impurities(tree: ast.AST) -> list[str]:
    """Calls that touch the world without an import: files, terminal, clock, chance."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in BANNED_CALLS:
            found.append(f"line {node.lineno}: {function.id}()")
        if isinstance(function, ast.Attribute):
            owner = function.value
            name = getattr(owner, "attr", None) or getattr(owner, "id", None)
            if function.attr in BANNED_ATTRIBUTES or name in BANNED_OWNERS:
                found.append(f"line {node.lineno}: {name}.{function.attr}()")
    return found


@pytest.mark.parametrize("path", story_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_story_touches_no_file_terminal_clock_or_chance(path: Path) -> None:
    assert impurities(ast.parse(path.read_text("utf-8"))) == []


def test_an_impurity_is_noticed() -> None:
    for text in (
        "open('x')",
        "datetime.datetime.now()",
        "np.random.default_rng()",
        "f(print('x'))",
    ):
        assert impurities(ast.parse(text))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "a module has a docstring: its job, what it is not, invariants"
    assert not re.search(r"utils?\b|helpers?\b|common\b", path.stem)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert not re.search(r"Manager|Helper|^_?Base[A-Z]", node.name), node.name
