"""Worker processes: there when needed, gone with their daemon, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from parties import Party

from stayput.crypto import paillier
from stayput.crypto.cores import SHARED_FROM
from stayput.crypto.paillier import parse_ciphertexts
from stayput.workers import Workers

DAEMON = """
import os, time
from stayput.workers import Workers

with Workers(2) as workers:
    futures = [workers.submit(os.getpid) for _ in range(8)]
    print(*{future.result() for future in futures}, flush=True)
    workers.submit(time.sleep, 60)
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def started() -> tuple[subprocess.Popen[str], list[int]]:
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    pids = [int(word) for word in daemon.stdout.readline().split()]
    daemon.stdout.close()
    return daemon, pids


def test_a_killed_daemon_leaves_no_worker() -> None:
    daemon, pids = started()
    assert pids
    assert all(map(alive, pids))
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    assert gone(pids)


def test_no_process_before_there_is_work_and_long_vectors_only(consortium: Party) -> None:
    private_key = consortium.identities["office"].paillier_key
    assert private_key is not None
    public = private_key.public
    with Workers(2) as workers:
        few = list(range(SHARED_FROM - 1))
        paillier.encrypt(public, few, workers=workers)
        assert workers._pool is None
        many = list(range(SHARED_FROM))
        data = paillier.encrypt(public, many, workers=workers)
        assert workers._pool is not None
    assert workers._pool is None
    vector = parse_ciphertexts(data, public, len(many))
    some = paillier.vector_of(public, [vector.numbers[i] for i in (0, 1, 127, 128, len(many) - 1)])
    assert paillier.decrypt(private_key, some) == [0, 1, 127, 128, len(many) - 1]
