"""A checker whose key is a subgroup key and locked: from `stayput init` to a verified answer."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e.consortium import DAEMONS, Consortium, make_homes

from stayput.crypto import lock
from stayput.identity import Identity, load_identity

PASSPHRASE = "correct horse battery staple"


def init_checker(home: Path) -> Identity:
    """As its people type it; the passphrase comes from the service manager."""
    words = ("init", "office", "--role", "checker", "--paillier", "subgroup", "--lock")
    told = subprocess.run(
        [sys.executable, "-m", "stayput", *words, "--home", str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert PASSPHRASE not in told.stdout + told.stderr
    return load_identity(home)  # without the passphrase: all but the key


@pytest.mark.long  # five processes and a key of full length; in memory: tests/simulation
def test_a_locked_subgroup_key_opens_the_sums_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "stayput-passphrase").write_text(PASSPHRASE + "\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    homes = make_homes(tmp_path / "homes", int(time.time()), init_checker)
    made = Consortium.make(tmp_path / "all", homes=homes)
    try:
        made.start(*DAEMONS)
        with made.client() as client:
            scenario = made.agree(client)
            result = client.run(scenario, "by_colour", youngest=2).wait(timeout=90)
        made.verify_result(result)
        key = made.members["office"].paillier_modulus
        assert len(key) == 1 + 2 * 3072 // 8  # a zero byte, the modulus, its h
        assert "3072 bits, subgroup" in made.cli("north", "members").stdout
        assert lock.is_locked((made.home("office") / "paillier.key").read_bytes())
        files = (one for one in made.root.rglob("*") if one.is_file())
        assert not [one for one in files if PASSPHRASE.encode() in one.read_bytes()]
        # without the passphrase it does not even start, and says what to do
        made.stop("office")
        monkeypatch.delenv("CREDENTIALS_DIRECTORY")
        told = made.cli("office", "start")
        assert told.returncode == 1
        assert "the key is locked" in told.stderr
        assert "hint: " in told.stderr
    finally:
        made.end()
