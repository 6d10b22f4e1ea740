"""Who does not get in, or not further: one plain sentence each, from the real coordinator."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from e2e.consortium import DAY, ROLES, RUN_SECONDS, Consortium

from stayput.errors import (
    ConfigurationError,
    NotFound,
    PermissionDenied,
    RuleViolation,
    StayputError,
    Unavailable,
)
from stayput.identity import create_identity, load_identity, load_members, member_card, save_members
from stayput.membership import form_member_list
from stayput.rpc.client import GrpcLink
from stayput.steps import Role, Round


def assert_plain(told: subprocess.CompletedProcess[str], sentence: str) -> None:
    """Exit code 1, nothing on stdout, an error of one line, a hint, no traceback."""
    assert told.returncode == 1, told
    assert told.stdout == ""
    lines = told.stderr.splitlines()
    assert lines[0].startswith("stayput: error: ")
    assert sentence in lines[0], lines
    assert [line.partition(":")[0] for line in lines[1:]] in ([], ["hint"]), lines


def test_a_stranger_is_not_heard(up: Consortium, tmp_path: Path) -> None:
    stranger = create_identity(up.home("stranger"), "stranger", Role.USER, now=int(time.time()))
    alone = up.cli("stranger", "scenario", "list")
    assert_plain(alone, "has not joined a consortium")
    # With the list of everybody, in which it is not.
    shutil.copy(up.home("asker") / "members.json", up.home("stranger"))
    shutil.copy(up.home("asker") / "joined.json", up.home("stranger"))
    assert_plain(up.cli("stranger", "scenario", "list"), "stranger is not in the member list")
    # With a list of its own, in which it is, and even under the coordinator's signature.
    for name in ("members.json", "joined.json"):
        (up.home("stranger") / name).unlink()
    hub = load_identity(up.home("hub"))
    cards = [member_card(load_identity(up.home(name))) for name in ROLES if name != "late"]
    listed = form_member_list(
        "menagerie", [*cards, member_card(stranger)], hub.signing_key, int(time.time())
    )
    save_members(up.home("stranger"), listed, coordinator=f"127.0.0.1:{up.port}")
    told = up.cli("stranger", "scenario", "list")
    assert_plain(told, "The coordinator cannot be reached.")
    assert "certificate" in told.stderr
    assert up.cli("asker", "scenario", "list").returncode == 0  # nobody else is disturbed


def test_an_expired_certificate_is_not_accepted(up: Consortium) -> None:
    assert_plain(up.cli("late", "scenario", "list"), "expired")
    identity, members = load_identity(up.home("late")), load_members(up.home("late"))
    then = time.time() - 40 * DAY
    with (
        GrpcLink(identity, members, clock=lambda: then, patience=0.0) as link,
        pytest.raises((Unavailable, PermissionDenied)) as refused,
    ):
        link.read_log(0, 0)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="expired"):
        GrpcLink(identity, members)


def link(up: Consortium, name: str) -> GrpcLink:
    return GrpcLink(load_identity(up.home(name)), load_members(up.home(name)), patience=0.0)


@pytest.mark.parametrize("name", ["north", "office", "reviewer"])
def test_nobody_but_a_user_orders(up: Consortium, scenario: bytes, name: str) -> None:
    size = len(up.entries())
    with link(up, name) as line:
        with pytest.raises(PermissionDenied, match="This identity may not do this"):
            line.order_run(b"{}", b"{}")
        with pytest.raises(PermissionDenied, match="This identity may not do this"):
            line.fetch_result(bytes(16))
    assert_plain(up.cli(name, "run", scenario.hex(), "numbers"), "only data users ask")
    assert len(up.entries()) == size


def test_nobody_does_what_another_role_does(up: Consortium, scenario: bytes) -> None:
    with link(up, "asker") as line:
        for call in (
            lambda: line.review_scenario(b"{}"),
            lambda: line.submit_contribution(b"{}", b"{}", b""),
            lambda: line.get_contribution(bytes(16), Round.COUNTS, "north"),
            lambda: line.submit_release(b"{}"),
            lambda: line.get_verdict(bytes(16)),
        ):
            with pytest.raises(PermissionDenied):
                call()
    with link(up, "reviewer") as line:
        assert line.read_log(0, 0).entries
        with pytest.raises(NotFound):  # as if there were none
            line.get_scenario(scenario)
    assert_plain(up.cli("asker", "approve", scenario.hex(), "--yes"), "asker")
    assert_plain(up.cli("office", "approve", scenario.hex(), "--yes"), "office")
    assert_plain(up.cli("asker", "start"), "a user has no daemon")


def test_another_user_sees_neither_scenario_nor_result(up: Consortium, scenario: bytes) -> None:
    with up.client() as asker, up.client("rival") as rival:
        run = asker.run(scenario, "numbers")
        up.verify_run(run.id, run.wait(timeout=RUN_SECONDS))
        rival.replica.catch_up(rival._link)
        for call in (
            lambda: rival.scenario(scenario),
            lambda: rival.fetch(run.id),
            lambda: rival._link.get_run_order(run.id),
        ):
            with pytest.raises(NotFound) as refused:
                call()
            assert "\n" not in refused.value.message
        with pytest.raises((NotFound, RuleViolation)):
            rival.run(scenario, "numbers")
        # What exists but is not for it reads like what does not exist.
        with pytest.raises(NotFound) as nothing:
            rival._link.fetch_result(bytes(16))
        with pytest.raises(NotFound) as hidden:
            rival._link.fetch_result(run.id)
        assert str(nothing.value) == str(hidden.value)
    assert_plain(up.cli("rival", "result", run.id.hex()), "no run")


def test_errors_are_ours(up: Consortium) -> None:
    with link(up, "asker") as line, pytest.raises(StayputError) as refused:
        line.propose_scenario(b"no envelope", b"no scenario")
    assert refused.value.message == "A document in the request is malformed."
