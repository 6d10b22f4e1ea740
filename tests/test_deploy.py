"""What is in ``deploy/`` loads, names what exists, and confines what it says it confines."""

from __future__ import annotations

import configparser
import dataclasses
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from stayput.approval import Ceiling
from stayput.config import (
    FILE_NAME,
    CheckerSettings,
    CoordinatorSettings,
    Settings,
    StagingSettings,
    load_settings,
)
from stayput.disclosure.floor import OutputFloor
from stayput.engines.source import SourceSpec
from stayput.errors import ConfigurationError

DEPLOY = Path(__file__).parent.parent / "deploy"
SAMPLES = {name: DEPLOY / name / FILE_NAME for name in ("checker", "coordinator", "node")}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


# --- stayput.toml ---------------------------------------------------------------------------------


def _load(text: str, home: Path) -> Settings:
    """Load a sample as a home folder's, with the source files that it names in place."""
    (home / FILE_NAME).write_text(text, encoding="utf-8")
    for source in tomllib.loads(text).get("sources", {}).values():
        path = home / source["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return load_settings(home)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_load_and_show_the_defaults(name: str, tmp_path: Path) -> None:
    loaded = _load(SAMPLES[name].read_text(encoding="utf-8"), tmp_path)
    assert loaded.checker == CheckerSettings()
    assert loaded.coordinator == CoordinatorSettings()
    assert loaded.staging == StagingSettings()
    assert loaded.review == OutputFloor()


def test_the_samples_show_every_key(tmp_path: Path) -> None:
    shown: dict[str, set[str]] = {}
    for path in SAMPLES.values():
        for section, values in tomllib.loads(path.read_text(encoding="utf-8")).items():
            tables = values.values() if section in ("sources", "budgets", "quotas") else [values]
            shown.setdefault(section, set()).update(key for table in tables for key in table)
    keys = {
        "checker": {field.name for field in dataclasses.fields(CheckerSettings)},
        "coordinator": {field.name for field in dataclasses.fields(CoordinatorSettings)},
        "review": {field.name for field in dataclasses.fields(OutputFloor)},
        "staging": {field.name for field in dataclasses.fields(StagingSettings)},
        "sources": {field.name for field in dataclasses.fields(SourceSpec)},
        "ceiling": {field.name for field in dataclasses.fields(Ceiling)},
        "budgets": {"rho", "epsilon", "delta", "tables", "exact"},
        "quotas": {"runs", "runs_per_user", "days", "tables"},
    }
    assert shown == keys
    assert set(shown) == {field.name for field in dataclasses.fields(Settings)}


def test_the_samples_explain_every_key() -> None:
    for path in SAMPLES.values():
        explained: set[str] = set()
        previous = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            key = line.split(" = ")[0] if re.match(r"\w+ = ", line) else ""
            if (
                previous.startswith("#") or key == "path"
            ):  # the comment on [sources] speaks of paths
                explained.add(key)
            assert not key or key in explained, f"{key} in {path} has no comment"
            previous = line


def test_the_node_sample_shows_every_format(tmp_path: Path) -> None:
    loaded = _load(SAMPLES["node"].read_text(encoding="utf-8"), tmp_path)
    assert {source.format for source in loaded.sources.values()} == {"parquet", "csv", "sqlite"}


# --- systemd --------------------------------------------------------------------------------------


def _unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


def test_there_is_a_unit_for_each_daemon() -> None:
    assert [unit.stem for unit in UNITS] == [
        "stayput-checker",
        "stayput-coordinator",
        "stayput-node",
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_keep_each_daemon_in_a_folder_of_its_own(unit: Path) -> None:
    service = _unit(unit)["Service"]
    name = unit.stem
    assert service["User"] == service["Group"] == service["StateDirectory"] == name
    assert service["StateDirectoryMode"] == "0700"
    assert service["ExecStart"].endswith(f" /var/lib/{name}")
    assert service["LimitCORE"] == "0"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"


def test_the_node_may_confine_its_staging_and_does_not_swap() -> None:
    text = (DEPLOY / "systemd" / "stayput-node.service").read_text(encoding="utf-8")
    allowed = " ".join(re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE)).split()
    for call in ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"):
        assert call in allowed
    service = _unit(DEPLOY / "systemd" / "stayput-node.service")["Service"]
    assert service["MemorySwapMax"] == "0"
    # DuckDB reads /proc/sys, which `ProcSubset=pid` would hide.
    assert "ProcSubset" not in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    text = unit.read_text(encoding="utf-8")
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    # verify loads other units of the machine too; only what it says of ours counts
    said = [line for line in (done.stderr + done.stdout).splitlines() if unit.name in line]
    assert said == []


# --- containers and Kubernetes --------------------------------------------------------------------


def _objects() -> list[dict[str, Any]]:
    return [
        each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def _pods() -> list[dict[str, Any]]:
    """Pod specifications of all manifests."""
    found = []
    for each in _objects():
        if each["kind"] == "Pod":
            found.append(each["spec"])
        elif each["kind"] == "StatefulSet":
            found.append(each["spec"]["template"]["spec"])
    assert len(found) == 2
    return found


def test_manifests_name_volumes_and_claims_that_exist() -> None:
    claims = {o["metadata"]["name"] for o in _objects() if o["kind"] == "PersistentVolumeClaim"}
    maps = {o["metadata"]["name"] for o in _objects() if o["kind"] == "ConfigMap"}
    for pod in _pods():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        containers = [*pod.get("initContainers", []), *pod["containers"]]
        mounted = {mount["name"] for c in containers for mount in c["volumeMounts"]}
        assert mounted == set(volumes)
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume:
                name = volume["persistentVolumeClaim"]["claimName"]
                assert name in claims or name == "our-data"  # the data are there already


def test_pods_have_no_privileges_and_no_open_port() -> None:
    for pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert "hostNetwork" not in pod
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "ports" not in container
    assert {o["kind"] for o in _objects()}.isdisjoint({"Service", "Ingress"})


def test_the_network_policy_covers_the_pods_and_lets_nobody_in() -> None:
    (policy,) = [o for o in _objects() if o["kind"] == "NetworkPolicy"]
    assert policy["spec"]["ingress"] == []
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    chosen = policy["spec"]["podSelector"]["matchLabels"].items()
    (node,) = [o for o in _objects() if o["kind"] == "StatefulSet"]
    (setup,) = [o for o in _objects() if o["kind"] == "Pod"]
    assert chosen <= node["spec"]["template"]["metadata"]["labels"].items()
    assert chosen <= setup["metadata"]["labels"].items()


def test_the_nodes_settings_load_and_its_data_are_mounted(tmp_path: Path) -> None:
    (settings,) = [o for o in _objects() if o["kind"] == "ConfigMap"]
    text = settings["data"][FILE_NAME]
    (node,) = [pod for pod in _pods() if "initContainers" in pod]
    mounts = [mount["mountPath"] for mount in node["containers"][0]["volumeMounts"]]
    for source in tomllib.loads(text)["sources"].values():
        assert any(source["path"].startswith(f"{mount}/") for mount in mounts)
    moved = text.replace("/srv/stayput-data", str(tmp_path))
    assert set(_load(moved, tmp_path).sources) == {"flights"}


def test_one_node_per_home_folder() -> None:
    (node,) = [o for o in _objects() if o["kind"] == "StatefulSet"]
    assert node["spec"]["replicas"] <= 1
    (claim,) = [o for o in _objects() if o["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_the_image_runs_as_nobody_in_particular_and_holds_no_secret() -> None:
    text = (DEPLOY / "container" / "Containerfile").read_text(encoding="utf-8")
    users = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    (uid,) = {pod["securityContext"]["runAsUser"] for pod in _pods()}
    assert users == [(str(uid), str(uid))]
    assert re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) == ["dist/stayput-*.whl /tmp/"]


def test_the_script_is_a_script() -> None:
    script = DEPLOY / "container" / "run-node.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(script)], check=True)
    shown = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "run-node.sh VOLUME DATA_FOLDER" in shown.stderr


# --- the command ----------------------------------------------------------------------------------


def _daemon_commands() -> list[list[str]]:
    """The arguments with which daemons are started, wherever they are started."""
    found = [_unit(unit)["Service"]["ExecStart"].split()[1:] for unit in UNITS]
    found += [pod["containers"][0]["args"] for pod in _pods() if "initContainers" in pod]
    script = (DEPLOY / "container" / "run-node.sh").read_text(encoding="utf-8")
    found += [
        line.split("set -- ")[1].split() for line in script.splitlines() if "|| set --" in line
    ]
    assert len(found) == 5
    return found


def test_daemons_are_started_with_a_command_that_exists() -> None:
    from stayput.cli import app

    for words in _daemon_commands():
        command: Any = typer.main.get_command(app)
        arguments = list(words)
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        context = command.make_context(command.name, arguments)
        assert "/var/lib/stayput" in str(context.params)


@pytest.mark.parametrize("value", ['"secret"', '"SENSITIVE"', "3", "true", "[]"])
def test_a_ceiling_is_a_grade(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'ceiling\.key .* one of "public", "internal"'):
        _load(f"[ceiling]\nkey = {value}\n", tmp_path)
