"""Daemons start once and stop when told, whatever they are doing."""

from __future__ import annotations

import os
import signal
import time

import pytest
from e2e.consortium import RUN_SECONDS, Consortium
from e2e.test_faults import STAGES, staging_child, wait_until

from stayput.errors import Unavailable

STOP_SECONDS = 3.0


@pytest.mark.parametrize("name", ["hub", "office", "north"])
def test_a_home_has_one_daemon(up: Consortium, name: str) -> None:
    told = up.cli(name, "start")
    assert told.returncode == 1
    assert "running already" in told.stderr
    assert "hint: " in told.stderr
    assert up.running[name].poll() is None


def test_everybody_stops_in_time_while_waiting_for_news(up: Consortium) -> None:
    time.sleep(1.0)  # node and checker are in a long poll, the coordinator holds four of them open
    for name, number in (
        ("west", signal.SIGTERM),
        ("office", signal.SIGINT),
        ("south", signal.SIGINT),
        ("hub", signal.SIGTERM),
        ("north", signal.SIGTERM),  # when nobody is there any more
    ):
        started = time.monotonic()
        up.running[name].send_signal(number)
        assert up.running[name].wait(20) == 0, up.said(name)
        assert time.monotonic() - started < STOP_SECONDS, name
        assert up.said(name).rstrip().endswith("stopped")
        assert "Traceback" not in up.said(name)
    with pytest.raises(Unavailable):
        up.client()
    up.start("hub", "office", "north", "south", "west")


def test_a_node_stops_in_the_middle_of_staging_and_goes_on_later(
    up: Consortium, scenario: bytes
) -> None:
    with up.client() as client:
        child = staging_child(up, "west")
        os.kill(child, signal.SIGSTOP)
        run = client.run(scenario, "by_colour", youngest=2)
        wait_until(lambda: STAGES["staging"](up, run.id))
        code, seconds = up.stop("west")
        assert code == 0, up.said("west")
        assert seconds < STOP_SECONDS
        assert not os.path.exists(f"/proc/{child}")
        assert not list((up.home("west") / "staging").iterdir())
        up.start("west")
        up.verify_run(run.id, run.wait(timeout=RUN_SECONDS))
        up.verify_promises(scenario, {})


def test_the_coordinator_hears_a_signal_also_when_it_is_busy(
    up: Consortium, scenario: bytes
) -> None:
    with up.client() as client:
        for moment in (0.0, 0.1):
            run = client.run(scenario, "numbers")
            time.sleep(moment)
            code, seconds = up.stop("hub")
            assert code == 0, up.said("hub")
            assert seconds < STOP_SECONDS
            up.start("hub")
            up.verify_run(run.id, run.wait(timeout=RUN_SECONDS))
    assert "Traceback" not in up.said("hub")
