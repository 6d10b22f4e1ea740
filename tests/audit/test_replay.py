"""A whole log from bytes alone: what a party that pinned the member list can say of it."""

from __future__ import annotations

import dataclasses

import pytest
from audit.logs import HOLDERS, Log
from parties import Party

from stayput.audit import verify_log
from stayput.audit.replay import MAX_FINDINGS, Replay
from stayput.errors import VerificationError
from stayput.identity import member_card
from stayput.membership import form_member_list, verify_member_list
from stayput.steps import MemberList, ResultReleased, RunOrdered
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint


@pytest.fixture(scope="module")
def log(consortium: Party) -> Log:
    log = Log(consortium)
    log.run(log.sealed())
    return log


def test_an_honest_log_has_no_finding(log: Log) -> None:
    report = verify_log(log.entries, log.note(), log.party.members)
    assert report.finding is None
    assert (report.size, report.root) == (log.size, log.root(log.size))
    assert len(report.steps) == log.size
    assert isinstance(report.steps[0], MemberList)
    assert isinstance(report.steps[-1], ResultReleased)


def test_the_first_entry_that_the_rules_refuse_is_the_finding(log: Log) -> None:
    for index in range(1, log.size):
        entries = [*log.entries[:index], log.entries[index - 1], *log.entries[index:]]
        report = verify_log(entries, log.note(), log.party.members)
        assert report.finding is not None
        assert report.finding.entry == index
        assert len(report.steps) == index


def test_entries_that_nobody_signed_for(log: Log) -> None:
    """All of them obey the rules; only the checkpoint is of others."""
    report = verify_log(log.entries[:-1], log.note(), log.party.members)
    assert report.finding is not None
    assert "not the 20 that the checkpoint was signed for" in report.finding.message
    other = Checkpoint(log.party.members.log_origin, log.size, b"r" * 32)
    signed = sign_checkpoint(other, log.party.identities["hub"].signing_key)
    assert verify_log(log.entries, signed, log.party.members).finding is not None


def test_another_member_list_is_entry_0_of_another_log(log: Log) -> None:
    """The same consortium, listed once more: not what was pinned."""
    party = log.party
    cards = [member_card(identity) for identity in party.identities.values()]
    listed = form_member_list("testers", cards, party.identities["hub"].signing_key, log.time)
    other = verify_member_list(listed, pinned=None)
    assert other.log_origin == party.members.log_origin
    report = verify_log(log.entries, log.note(), other)
    assert report.finding is not None
    assert (report.finding.entry, report.finding.clause) == (0, "L-1")


def test_a_checkpoint_by_somebody_else_is_no_report_at_all(log: Log) -> None:
    checkpoint = Checkpoint(log.party.members.log_origin, log.size, log.root(log.size))
    for name in ("rival", *HOLDERS):
        signed = sign_checkpoint(checkpoint, log.party.identities[name].signing_key)
        with pytest.raises(VerificationError):
            verify_log(log.entries, signed, log.party.members)
    elsewhere = dataclasses.replace(checkpoint, origin="other.stayput/log")
    signed = sign_checkpoint(elsewhere, log.party.identities["hub"].signing_key)
    with pytest.raises(VerificationError):
        verify_log(log.entries, signed, log.party.members)


def test_behind_the_first_broken_rule_signatures_still_count(log: Log) -> None:
    replay = Replay()
    for index, entry in enumerate(log.entries[:8]):
        assert replay.take(index, entry) is not None
    assert replay.stands
    taken = replay.take(8, log.entries[3])  # an approval too many
    assert taken is not None, "it is somebody's statement all the same"
    assert not replay.stands
    assert replay.take(9, b"{}") is None
    ordered = replay.take(10, log.entries[6])
    assert ordered is not None
    assert isinstance(ordered.step, RunOrdered)
    assert [one.entry for one in replay.findings] == [8, 9]


def test_findings_are_bounded(log: Log) -> None:
    replay = Replay()
    replay.take(0, log.entries[0])
    for index in range(1, MAX_FINDINGS + 50):
        replay.take(index, b"rubbish")
    assert len(replay.findings) == MAX_FINDINGS
    assert replay.unlisted == 49
