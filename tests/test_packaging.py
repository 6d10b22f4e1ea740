"""What ships is complete, and what is generated or stated twice says the same."""

from __future__ import annotations

import email
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata, resources
from pathlib import Path

import grpc_tools
import pytest
from grpc_tools import protoc
from packaging.requirements import Requirement
from packaging.version import Version
from pyarrow import parquet

import stayput

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "src" / "stayput" / "v1"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


# --- generated code -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make proto` writes now."""
    out = tmp_path_factory.mktemp("proto")
    protos = sorted(str(path) for path in (ROOT / "proto").rglob("*.proto"))
    services = [path for path in protos if path.endswith("services.proto")]
    include = ["-I", str(ROOT / "proto"), "-I", str(Path(grpc_tools.__file__).parent / "_proto")]
    messages = [f"--python_out={out}", f"--pyi_out={out}", *protos]
    assert protoc.main(["protoc", *include, *messages]) == 0
    assert protoc.main(["protoc", *include, f"--grpc_python_out={out}", *services]) == 0
    return out / "stayput" / "v1"


def test_generated_code_is_up_to_date(regenerated: Path) -> None:
    generated = {path.name: path.read_bytes() for path in regenerated.iterdir()}
    committed = {path.name: path.read_bytes() for path in GENERATED.glob("*_pb2*.py*")}
    assert sorted(committed) == sorted(generated), "run `make proto` and commit src/stayput/v1"
    for name, content in generated.items():
        assert committed[name] == content, f"{name} is not what proto/ says: run `make proto`"


def test_the_lowest_versions_run_the_generated_code() -> None:
    """Generated code refuses a runtime older than its generator; the requirements say so."""
    lowest = {}
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        for bound in requirement.specifier:
            if bound.operator == ">=":
                lowest[requirement.name] = Version(bound.version)
    grpc_text = (GENERATED / "services_pb2_grpc.py").read_text("utf-8")
    protobuf_text = (GENERATED / "services_pb2.py").read_text("utf-8")
    grpc_made = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", grpc_text)
    protobuf_made = re.search(r"# Protobuf Python Version: ([\d.]+)", protobuf_text)
    assert grpc_made
    assert protobuf_made
    assert lowest["grpcio"] >= Version(grpc_made[1])
    assert lowest["protobuf"] >= Version(protobuf_made[1])


# --- the demonstration's data ---------------------------------------------------------------------

AIRPORTS = ("ewr", "jfk", "lga")


def test_the_flights_are_those_of_their_provenance() -> None:
    folder = resources.files("stayput") / "demo_data"
    provenance = (folder / "PROVENANCE.md").read_text("utf-8")
    rows = 0
    size = 0
    for airport in AIRPORTS:
        content = (folder / f"{airport}.parquet").read_bytes()
        with resources.as_file(folder / f"{airport}.parquet") as path:
            table = parquet.read_table(path)
        digest = hashlib.sha256(content).hexdigest()
        line = f"| `{airport}.parquet` | {table.num_rows:,} | {len(content):,} | `{digest}` |"
        assert line in provenance
        assert set(table["origin"].to_pylist()) == {airport.upper()}
        assert table["carrier"].null_count == table["dest"].null_count == 0
        assert table["dep_delay"].null_count > 0
        rows += table.num_rows
        size += len(content)
    assert rows == 336_776
    assert size < 10_000_000


def test_the_flights_have_the_columns_of_the_scenario() -> None:
    with resources.as_file(resources.files("stayput") / "demo_data" / "ewr.parquet") as path:
        schema = parquet.read_schema(path)
    types = {field.name: str(field.type) for field in schema}
    assert types == {
        "carrier": "string",
        "month": "int8",
        "day": "int8",
        "hour": "int8",
        "dep_delay": "int16",
        "arr_delay": "int16",
        "distance": "int16",
        "air_time": "int16",
        "origin": "string",
        "dest": "string",
    }


# --- wheel and sdist ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sdist from the tree, wheel from the sdist, as `make wheel` builds them."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=240,
    )
    return out


def test_the_sdist_has_all_that_a_packager_needs(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in (
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "Makefile",
        ".importlinter",
        ".ci/run",
        "pyproject.toml",
        "proto/stayput/v1/services.proto",
        "docs/caveats.md",
        "bench/make_flights.py",
        "tests/test_packaging.py",
        "src/stayput/demo_data/ewr.parquet",
    ):
        assert wanted in names
    assert not [name for name in names if re.search(r"\.venv|__pycache__|\.key$|\.db$", name)]


def test_the_wheel_has_code_and_data_and_nothing_else(dist: Path) -> None:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        header = archive.read(next(name for name in names if name.endswith("/METADATA")))
    shipped = {
        str(file.relative_to(ROOT / "src"))
        for file in (ROOT / "src" / "stayput").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    inside = {name for name in names if not name.startswith(f"stayput-{stayput.__version__}")}
    assert inside == shipped
    assert "stayput/py.typed" in inside
    assert "stayput/demo_data/PROVENANCE.md" in inside
    told = email.message_from_bytes(header)
    assert (told["Name"], told["Version"]) == ("stayput", stayput.__version__)
    assert told["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_gives_a_working_command(dist: Path, tmp_path: Path) -> None:
    (path,) = dist.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(site)
    program = (
        "import sys, stayput; from importlib.metadata import entry_points, distribution\n"
        "assert stayput.__file__.startswith(sys.argv.pop(1)), stayput.__file__\n"
        "(command,) = [e for e in distribution('stayput').entry_points if e.name == 'stayput']\n"
        "sys.exit(command.load()())"
    )
    for arguments in (["--version"], ["--help"]):
        outcome = subprocess.run(
            [sys.executable, "-c", program, str(site), *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
    assert "demo" in outcome.stdout


# --- what is stated twice -------------------------------------------------------------------------


def test_one_version() -> None:
    version = PROJECT["version"]
    assert stayput.__version__ == version
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest
    assert newest[1] == version
    assert metadata.version("stayput") == version, "installed from an older tree: install again"


def test_the_licence_is_the_whole_text() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text


def test_the_readme_names_commands_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    wanted = {"demo", "test", "check", "check-long", "bench", "proto", "wheel", "clean"}
    assert wanted <= targets
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text("utf-8")
        named = set(re.findall(r"^\s*make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE))
        assert {a or b for a, b in named} <= targets, name


def test_ci_runs_what_people_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text("utf-8")
    assert "set -euo pipefail" in text
    assert "make test" in text
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=20)
    # `make check` and CI check the same: every part of the one is a step of the other.
    makefile = (ROOT / "Makefile").read_text("utf-8")
    parts = re.search(r"^check: ([a-z ]+)", makefile, re.MULTILINE)
    assert parts
    assert parts[1].split() == re.findall(r"^step make (\w+)", text, re.MULTILINE)
