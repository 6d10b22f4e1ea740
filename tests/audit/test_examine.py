"""The audit of a pack: honest ones pass, each bent one fails, and the report says where."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from audit.logs import HOLDERS, Log, digest, run_id
from audit.test_pack import header, members, unsigned
from parties import NOW, Party

from stayput.audit.examine import audit_pack
from stayput.audit.pack import CHECKPOINT_NAME
from stayput.audit.report import AuditReport, Finding, Severity, Verdict
from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, VerificationError
from stayput.identity import draw_next, member_card
from stayput.steps import (
    Contributed,
    Decision,
    DeletionCheck,
    FailureReason,
    FreezeReason,
    KeysRotated,
    LogFrozen,
    Outcome,
    RefusalReason,
    ResultReleased,
    Round,
    RunFailed,
    RunOrdered,
    ScenarioReviewed,
    ScenarioRevoked,
    ScenarioSealed,
)
from stayput.tlog.checkpoint import Checkpoint
from stayput.tlog.cosignature import CosignatureVerifier, cosign
from stayput.tlog.note import add_signatures
from stayput.tlog.policy import all_of, parse_policy
from stayput.tlog.proof import parse_proof


@pytest.fixture(scope="module")
def honest(consortium: Party) -> Log:
    """Three groups of entries."""
    log = Log(consortium)
    scenario = log.sealed()
    for _ in range(40):
        log.run(scenario)
    return log


@pytest.fixture
def log(consortium: Party) -> Log:
    return Log(consortium)


@pytest.fixture(scope="module")
def small(consortium: Party) -> Log:
    """One scenario, one released run, one that failed, in the same order in every pack."""
    log = Log(consortium)
    scenario = log.sealed()
    log.run(scenario)
    failed = log.order(scenario)
    log.receipt(failed, scenario, "north")
    log.add(RunFailed(failed, "hub", FailureReason.TIMED_OUT, log.time), "hub")
    return log


def audit(log: Log, **changes) -> AuditReport:
    return audit_pack(io.BytesIO(log.pack(**changes)), log.policy())


def audit_bytes(log: Log, data: bytes, **options) -> AuditReport:
    return audit_pack(io.BytesIO(data), log.policy(), **options)


def violations(report: AuditReport) -> list[Finding]:
    assert (report.verdict is Verdict.FAIL) == any(
        one.severity is Severity.VIOLATION for one in report.findings
    )
    return [one for one in report.findings if one.severity is Severity.VIOLATION]


def condemns(report: AuditReport, entry: int | None, clause: str, words: str = "") -> None:
    """The report fails, and one of its findings is this."""
    found = violations(report)
    assert any(
        one.entry == entry and one.clause == clause and re.search(words, one.message)
        for one in found
    ), found


def replaced(data: bytes, name: str, content: bytes) -> bytes:
    """A pack with another content of one member."""
    offset, old = members(data)[name]
    end = offset + -(-len(old) // 512) * 512
    padded = content + bytes(-len(content) % 512)
    return data[: offset - 512] + header(name, len(content)) + padded + data[end:]


# --- honest ones ----------------------------------------------------------------------------------


def test_an_honest_pack_passes(honest: Log) -> None:
    report = audit(honest)
    assert report.findings == ()
    assert report.verdict is Verdict.PASS
    assert report.log.size == honest.size > 512
    assert report.log.root == honest.root(honest.size).hex()
    assert {one.name for one in report.log.cosigned} == {
        one.name for one in honest.party.members.cosigners(HOLDERS)
    }
    assert all(run.cosigned_size == run.ended.entry + 1 for run in report.runs)


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_sharing_the_work_out_changes_no_word(honest: Log, pool: type) -> None:
    alone = audit(honest)
    wrong = honest.pack(proven={honest.releases[3]: honest.note(honest.releases[4] + 1, ["north"])})
    with pool(2) as workers:
        together = audit_bytes(honest, honest.pack(), workers=workers)
        assert together.to_json() == alone.to_json()
        seen = audit_bytes(honest, wrong, workers=workers)
    assert seen.to_json() == audit_bytes(honest, wrong).to_json()
    assert seen.verdict is Verdict.FAIL


def test_progress_is_told_up_to_the_end(honest: Log) -> None:
    told: list[tuple[int, int]] = []
    audit_bytes(honest, honest.pack(), progress=lambda done, total: told.append((done, total)))
    assert told == [(256, honest.size), (512, honest.size), (honest.size, honest.size)]


def test_the_report_tells_the_whole_story(log: Log) -> None:
    """Against the story as it was told here: runs, receipts, failures, revocations, metering."""
    scenario = log.sealed(runs=24)
    first = log.run(scenario)
    second = log.order(scenario)
    receipts = [log.receipt(second, scenario, name) for name in ("north", "south")]
    refused = log.add(RunFailed(second, "south", FailureReason.DATA_DO_NOT_FIT, log.time), "south")
    third = log.order(scenario, rounds=1)
    log.receipt(third, scenario, "west")
    revoked = log.add(ScenarioRevoked(scenario, "west", RefusalReason.LEGAL, log.time), "west")
    report = audit(log)
    assert report.findings == ()
    assert [run.run for run in report.runs] == [one.hex() for one in (first, second, third)]
    assert [run.outcome for run in report.runs] == ["released", "failed", "failed"]
    assert [run.reason for run in report.runs] == ["", "data_do_not_fit", "revoked"]
    assert [run.ended.entry for run in report.runs][1:] == [refused, revoked]
    assert [one.entry for one in report.runs[1].receipts] == receipts
    assert len(report.receipts) == 6
    (told,) = report.scenarios
    assert (told.phase, told.runs_ordered, told.runs_allowed) == ("revoked", 3, 24)
    assert [one.party for one in told.revocations] == ["west"]
    metered = {one.party: one for one in report.metering}
    assert set(metered) == {"asker", *HOLDERS}
    assert (metered["asker"].ordered, metered["asker"].released, metered["asker"].failed) == (
        3,
        1,
        2,
    )
    counted = {
        name: (one.took_part, one.receipts, one.staging_seconds, one.contributions)
        for name, one in metered.items()
        if name in HOLDERS
    }
    assert counted == {
        "north": (3, 2, 8, 2),
        "south": (3, 2, 8, 2),
        "west": (3, 2, 8, 2),
    }
    sentences = {event.entry: event.sentence for event in report.timeline}
    assert sentences[revoked] == f"west revokes its approval of {scenario.hex()[:12]}: legal."
    assert sentences[refused].startswith("south ends run")
    assert json.loads(json.dumps(report.to_json()))["verdict"] == "pass"


def test_rotated_keys_and_a_frozen_log_pass(log: Log, tmp_path) -> None:
    scenario = log.sealed()
    log.run(scenario)
    eve = log.party.identities["eve"]
    new = draw_next(eve, now=NOW)
    card = member_card(new)
    log.add(KeysRotated("eve", card, NOW), "eve")
    log.run(scenario)
    log.add(LogFrozen(FreezeReason.CONSORTIUM_ENDS, log.time), "hub")
    report = audit(log)
    assert report.findings == ()
    assert {one.name: one.key for one in report.parties}["eve"] != ""
    assert [event.kind for event in report.timeline][-1] == "LogFrozen"


# --- bytes that were altered ----------------------------------------------------------------------


def flipped(data: bytes, position: int) -> bytes:
    bent = bytearray(data)
    bent[position] ^= 1 << (position * 5 % 8)
    return bytes(bent)


def named(log: Log, data: bytes) -> set[str]:
    """Which members of a pack an audit blames."""
    try:
        report = audit_bytes(log, data)
    except DocumentError as error:
        return {word for name in members(log.pack()) for word in [name] if word in error.message}
    return {one.member for one in violations(report)}


def positions(data: bytes, step: int) -> list[tuple[str, int]]:
    return [
        (name, offset + at)
        for name, (offset, content) in members(data).items()
        for at in sorted({0, len(content) - 1, *range(7 % step, len(content), step)})
    ]


def test_every_flipped_byte_is_found_and_its_member_named(small: Log) -> None:
    """A tenth of a percent of them here, in every member; all of them in the long test."""
    data = small.pack()
    for name, position in positions(data, 211):
        assert name in named(small, flipped(data, position)), (name, position)


@pytest.mark.long
@pytest.mark.parametrize("share", range(8))
def test_each_single_flipped_byte_is_found_and_its_member_named(small: Log, share: int) -> None:
    data = small.pack()
    for name, position in positions(data, 1)[share::8]:
        assert name in named(small, flipped(data, position)), (name, position)


def test_a_flip_in_any_group_names_its_file(honest: Log) -> None:
    data = honest.pack()
    for name, position in positions(data, 10**9)[::9]:
        assert name in named(honest, flipped(data, position)), (name, position)


def test_a_flipped_byte_in_an_entry_names_the_entry(small: Log) -> None:
    for index in range(1, small.size):
        entries = list(small.entries)
        entries[index] = flipped(entries[index], 100 + index)
        report = audit(small, entries=entries)
        assert index in {one.entry for one in violations(report)}


def test_a_truncated_pack_never_passes(small: Log) -> None:
    data = small.pack()
    said: set[str] = set()
    for end in [*range(0, len(data), 509), len(data) - 1]:
        try:
            report = audit_bytes(small, data[:end])
        except DocumentError as error:
            said.add(error.message)
            continue
        said.update(one.message for one in violations(report) if "ends too" in one.message)
        assert report.verdict is Verdict.FAIL
    assert all("ends too early" in one or "damaged" in one for one in said), said


def test_an_entry_that_was_left_out_put_in_or_moved(small: Log) -> None:
    last = small.entries[-1]
    for entries in (
        [*small.entries[:-2], last, small.entries[-2]],
        [*small.entries[:8], *small.entries[9:], last],
        [*small.entries[:5], small.entries[5], *small.entries[5:-1]],
    ):
        report = audit(small, entries=entries)
        assert CHECKPOINT_NAME in {one.member for one in violations(report)}


def test_a_line_of_a_stranger_on_any_note(small: Log, consortium: Party) -> None:
    """Nobody vouches for it, so it does not belong in the file."""
    stranger = unsigned(1).rpartition(b"\n\n")[2]
    data = small.pack()
    for name, (_, content) in members(data).items():
        if name.startswith(("checkpoint", "proofs/")):
            report = audit_bytes(small, replaced(data, name, content + stranger))
            assert name in {one.member for one in violations(report)}


def test_lines_of_an_outside_witness_are_somebodys(small: Log, consortium: Party) -> None:
    """A member that is an auditor, on any note; somebody in the policy, on the newest one."""
    everybody = [*HOLDERS, "reviewer"]
    index = small.releases[0]
    report = audit(
        small,
        checkpoint=small.note(holders=everybody),
        milestones={6: small.note(6, everybody)},
        proven={index: small.note(index + 1, everybody)},
    )
    assert report.findings == ()
    key = SigningKey.generate()
    outside = CosignatureVerifier("witness.example", key.public)
    text = Checkpoint(consortium.members.log_origin, small.size, small.root(small.size)).text
    note = add_signatures(small.note(), [cosign(text, outside.name, key, NOW)])
    trusted = all_of(
        [consortium.members.log_verifier.vkey],
        [*(one.vkey for one in consortium.members.cosigners(HOLDERS)), outside.vkey],
    )
    pack = small.pack(checkpoint=note)
    report = audit_pack(io.BytesIO(pack), trusted)
    assert report.findings == ()
    assert outside.name in {one.name for one in report.log.cosigned}
    found = violations(audit_pack(io.BytesIO(small.pack()), trusted))
    assert {one.member for one in found} == {CHECKPOINT_NAME}, "it is missing"


def test_a_proof_carries_nothing_that_nobody_vouches_for(small: Log) -> None:
    data = small.pack()
    (name,) = [name for name in members(data) if name.startswith("proofs/")]
    proof = parse_proof(members(data)[name][1])
    more = dataclasses.replace(proof, extra=b"and the result was 42").encode()
    report = audit_bytes(small, replaced(data, name, more))
    assert name in {one.member for one in violations(report)}


# --- whom to trust --------------------------------------------------------------------------------


def test_a_policy_that_could_be_split_is_refused_with_the_reason(small: Log) -> None:
    text = small.policy().encode().decode()
    for weaker in ("any", "4"):
        weak = re.sub(r"(group \S+) \S+", rf"\1 {weaker}", text)
        assert weak != text
        with pytest.raises(VerificationError, match=r"split|witness") as caught:
            audit_pack(io.BytesIO(small.pack()), parse_policy(weak.encode()))
        assert caught.value.hint


def test_a_policy_that_can_do_without_a_holder(small: Log) -> None:
    """Five of the six keys cannot be split, but a release needs all of them."""
    text = small.policy().encode().decode()
    weak = re.sub(r"(group \S+) \S+", r"\1 5", text)
    report = audit_pack(io.BytesIO(small.pack()), parse_policy(weak.encode()))
    assert [one.member for one in violations(report)] == [""]


def test_another_consortium_of_the_same_shape(small: Log, consortium: Party) -> None:
    """Everything in the pack agrees with itself; only it is not whom the auditor trusts."""
    other = dataclasses.replace(
        small.policy(),
        logs=(
            dataclasses.replace(
                small.policy().logs[0],
                verifier=dataclasses.replace(
                    small.policy().logs[0].verifier,
                    public=consortium.identities["rival"].signing_key.public,
                ),
            ),
        ),
    )
    report = audit_pack(io.BytesIO(small.pack()), other)
    assert CHECKPOINT_NAME in {one.member for one in violations(report)}
    condemns(report, 0, "L-3", "another log key than the policy")


def test_a_policy_without_a_holder_that_took_part(small: Log) -> None:
    report = audit_pack(io.BytesIO(small.pack()), small.policy(["north", "south"]))
    assert any("west" in one.message for one in violations(report))


@pytest.mark.parametrize("name", HOLDERS)
def test_a_newest_checkpoint_that_one_holder_has_not_cosigned(small: Log, name: str) -> None:
    others = [one for one in HOLDERS if one != name]
    report = audit(small, checkpoint=small.note(holders=others))
    assert CHECKPOINT_NAME in {one.member for one in violations(report)}


# --- history --------------------------------------------------------------------------------------


def test_older_checkpoints_that_the_auditor_has_kept(small: Log) -> None:
    data = small.pack()
    for size in range(1, small.size + 1):
        assert audit_bytes(small, data, since=small.note(size)).findings == ()


def test_a_pack_that_is_older_than_what_the_auditor_has_kept(small: Log) -> None:
    newer = small.note()
    older = small.pack(
        entries=small.entries[:6], checkpoint=small.note(6), proven={}, milestones={}
    )
    assert audit_bytes(small, older).findings == ()  # true up to its size, and no further
    report = audit_bytes(small, older, since=newer)
    assert any("something was taken away" in one.message for one in violations(report))


def test_a_fork_that_the_auditor_was_shown_a_part_of(small: Log, log: Log) -> None:
    log.entries = [*small.entries[:-1]]
    log.add(RunOrdered(run_id(), digest(), "asker", digest(), HOLDERS, 2, log.time), "asker")
    for size in range(1, small.size):
        assert audit_bytes(small, small.pack(), since=log.note(size)).findings == ()
    report = audit_bytes(small, small.pack(), since=log.note())
    assert any("another history" in one.message for one in violations(report))
    milestone = small.pack(milestones={small.size: log.note()})
    found = violations(audit_bytes(small, milestone))
    assert any(
        one.member == f"checkpoints/{small.size}" and "evidence of a fork" in one.message
        for one in found
    )


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (lambda log: unsigned(5), "not of a log in the policy"),
        (
            lambda log: log.signed(Checkpoint("other.stayput/log", 5, log.root(5))),
            "not of a log in the policy",
        ),
    ],
)
def test_an_older_checkpoint_of_somebody_else(
    small: Log, bend: Callable[[Log], bytes], words: str
) -> None:
    report = audit_bytes(small, small.pack(), since=bend(small))
    assert any(words in one.message for one in violations(report))
    with pytest.raises(DocumentError):
        audit_bytes(small, small.pack(), since=b"size 7")


# --- releases -------------------------------------------------------------------------------------


def test_a_release_that_no_checkpoint_proves(small: Log) -> None:
    condemns(audit(small, proven={}), small.releases[0], "W-1", "saw this release")


@pytest.mark.parametrize("name", HOLDERS)
def test_a_release_that_one_holder_has_not_cosigned(small: Log, name: str) -> None:
    index = small.releases[0]
    others = [one for one in HOLDERS if one != name]
    report = audit(small, proven={index: small.note(index + 1, others)})
    condemns(report, index, "W-1", f"witness/{name}, testers.stayput/auditor/{name}")


def test_a_release_with_the_witness_cosignatures_alone(small: Log) -> None:
    index = small.releases[0]
    note = small.note(index + 1)
    head, _, lines = note.rpartition(b"\n\n")
    kept = [line for line in lines.splitlines(keepends=True) if b"/auditor/" not in line]
    report = audit(small, proven={index: head + b"\n\n" + b"".join(kept)})
    condemns(report, index, "W-1", "auditor/north")


def test_the_proof_of_one_release_under_the_name_of_another(log: Log) -> None:
    scenario = log.sealed()
    log.run(scenario)
    log.run(scenario)
    data = log.pack()
    one, two = (f"proofs/{index}" for index in log.releases)
    contents = members(data)
    bent = replaced(replaced(data, one, contents[two][1]), two, contents[one][1])
    report = audit_bytes(log, bent)
    assert {one, two} <= {found.member for found in violations(report)}


def test_a_fork_in_the_proof_of_a_release_is_evidence(small: Log, log: Log) -> None:
    index = small.releases[0]
    log.entries = [*small.entries[:index], small.entries[-1]]
    report = audit(small, proven={index: log.note()})
    condemns(report, index, "", "evidence of a fork")


# --- the rules ------------------------------------------------------------------------------------


def test_an_approval_that_is_logged_after_the_release(log: Log) -> None:
    scenario = log.propose()
    for holder in HOLDERS[:2]:
        log.approve(scenario, holder)
    sealed = log.seal(scenario)
    log.run(scenario)
    late = log.approve(scenario, HOLDERS[2])
    report = audit(log)
    condemns(report, sealed, "S-4", "not every holder has approved")
    condemns(report, log.releases[0], "S-4", "without the approval of west")
    condemns(report, late, "S-2", "west approves after a result was released")


@pytest.mark.parametrize("signer", ["asker", "hub", "office", "north"])
def test_an_approval_that_somebody_else_has_signed(log: Log, signer: str) -> None:
    """Also the data user's own: who asks does not approve."""
    scenario = log.propose()
    for holder in HOLDERS[:2]:
        log.approve(scenario, holder)
    step = ScenarioReviewed(scenario, "west", *_approved(log))
    forged = log.add(step, signer)
    sealed = log.seal(scenario)
    report = audit(log)
    condemns(report, forged, "", "signed by another key")
    condemns(report, sealed, "S-4")


@pytest.mark.parametrize("name", ["asker", "hub", "office", "reviewer", "eve"])
def test_an_approval_by_somebody_who_is_no_holder_of_it(log: Log, name: str) -> None:
    scenario = log.propose()
    own = log.add(ScenarioReviewed(scenario, name, *_approved(log)), name)
    condemns(audit(log), own, "S-2" if name == "eve" else "L-2")


def test_an_approval_of_another_scenario_does_not_count(log: Log) -> None:
    scenario, other = log.propose(), log.propose()
    for holder in HOLDERS[:2]:
        log.approve(scenario, holder)
    log.approve(other, HOLDERS[2])
    condemns(audit_after(log, log.seal(scenario)), log.size - 1, "S-4")


def test_a_run_ordered_before_the_seal(log: Log) -> None:
    early = log.propose()
    order = log.size
    log.order(early)
    condemns(audit(log), order, "R-1")


def test_a_run_after_a_revocation(log: Log) -> None:
    scenario = log.sealed()
    log.add(ScenarioRevoked(scenario, "west", RefusalReason.LEGAL, log.time), "west")
    order = log.size
    log.order(scenario)
    condemns(audit(log), order, "R-1", "revoked")


def test_a_run_too_many(log: Log) -> None:
    scenario = log.sealed(runs=2)
    log.run(scenario)
    log.run(scenario)
    order = log.size
    log.run(scenario)
    condemns(audit(log), order, "R-1", "used up")


def test_a_release_without_a_receipt(log: Log) -> None:
    log.run(log.sealed(), receipts=HOLDERS[:2])
    condemns(audit(log), log.releases[0], "R-6", "without the deletion receipt of west")


def test_a_receipt_that_another_holder_has_signed(log: Log) -> None:
    scenario = log.sealed()
    run = log.order(scenario)
    forged = log.receipt(run, scenario, "west", signer="north")
    condemns(audit(log), forged, "", "signed by another key")


def test_a_receipt_of_a_holder_that_takes_no_part(log: Log) -> None:
    scenario = log.sealed()
    foreign = log.receipt(log.order(scenario), scenario, "eve")
    condemns(audit(log), foreign, "R-2", "takes no part")


def test_a_receipt_that_is_used_again(log: Log) -> None:
    """For another run, or by another holder: the same staging was destroyed once."""
    scenario = log.sealed()
    staging = run_id()
    log.receipt(log.order(scenario), scenario, "north", staging=staging)
    first = log.size - 1
    again = log.receipt(log.order(scenario), scenario, "north", staging=staging)
    condemns(audit(log), again, "R-2", f"entry {first}")


def test_the_bytes_of_a_receipt_once_more(log: Log) -> None:
    scenario = log.sealed()
    run = log.order(scenario)
    log.receipt(run, scenario, "north")
    log.entries.append(log.entries[-1])
    condemns(audit(log), log.size - 1, "R-2", "second receipt")


def test_a_release_though_rows_could_not_be_destroyed(log: Log) -> None:
    scenario = log.sealed()
    run = log.order(scenario)
    log.receipt(
        run,
        scenario,
        "north",
        outcome=Outcome.FAILED,
        passed=(DeletionCheck.PROCESS_REAPED,),
        failed=(DeletionCheck.NO_FILES_LEFT,),
    )
    for holder in HOLDERS[1:]:
        log.receipt(run, scenario, holder)
    log.round(run, scenario, Round.COUNTS)
    log.judge(run)
    log.round(run, scenario, Round.VALUES)
    release = log.release(run)
    report = audit(log)
    condemns(report, release, "R-6", "north could not destroy its rows")
    condemns(report, release, "R-6", "the run was failed already")


def test_a_release_that_nobody_checked(log: Log) -> None:
    scenario = log.sealed()
    run = log.order(scenario)
    for holder in HOLDERS:
        log.receipt(run, scenario, holder)
    log.round(run, scenario, Round.COUNTS)
    log.round(run, scenario, Round.VALUES)
    condemns(audit_after(log, log.release(run)), log.releases[0], "R-6", "were not checked")


def test_a_release_without_the_sum_of_its_values(log: Log) -> None:
    scenario = log.sealed()
    run = log.order(scenario)
    for holder in HOLDERS:
        log.receipt(run, scenario, holder)
    log.round(run, scenario, Round.COUNTS)
    log.judge(run)
    condemns(audit_after(log, log.release(run)), log.releases[0], "R-6", "sum of its values")


def test_a_second_release_of_one_run(log: Log) -> None:
    """Released bytes that are not the checked ones need a second release, or another digest."""
    run = log.run(log.sealed())
    step = ResultReleased(run, "office", digest(), digest(), log.time)
    second = log.add(step, "office")
    condemns(audit(log), second, "R-6", "released already")


@pytest.mark.parametrize("signer", ["hub", "north", "asker"])
def test_a_release_by_somebody_who_is_not_the_checker(log: Log, signer: str) -> None:
    scenario = log.sealed()
    run = log.order(scenario)
    step = ResultReleased(run, "office", digest(), digest(), log.time)
    condemns(audit_after(log, log.add(step, signer)), log.size - 1, "", "signed by another key")


def test_a_part_that_is_used_again(log: Log) -> None:
    scenario = log.sealed()
    ciphertexts, context = digest(), digest()
    for _ in range(2):
        run = log.order(scenario)
        log.receipt(run, scenario, "north")
        part = Contributed(run, scenario, "north", Round.COUNTS, ciphertexts, context, log.time)
        last = log.add(part, "north")
    condemns(audit(log), last, "R-3", "contributed before")


def test_whatever_follows_a_frozen_log(log: Log) -> None:
    scenario = log.sealed()
    log.add(LogFrozen(FreezeReason.KEY_COMPROMISED, log.time), "hub")
    order = log.size
    log.order(scenario)
    condemns(audit(log), order, "K-5")


def test_an_entry_that_is_no_step_is_nobodys_word(log: Log) -> None:
    log.sealed()
    log.entries.append(b"\1" + bytes(64))  # the preimage of an inner node
    condemns(audit(log), log.size - 1, "", "")
    log.entries.append(b"x" * 65_535)
    condemns(audit(log), log.size - 1, "", "")


def test_a_log_of_nothing_but_rubbish_is_condemned_in_bounded_space(log: Log) -> None:
    for number in range(1500):
        log.entries.append(b"rubbish %d" % number)
    report = audit(log)
    assert len(report.findings) < 1100
    assert any("500 more entries are nobody's word" in one.message for one in report.findings)


def test_behind_the_first_broken_rule_a_release_is_still_looked_at(log: Log) -> None:
    scenario = log.sealed()
    log.add(ScenarioSealed(scenario, log.time), "hub")  # twice: from here on the rules are silent
    broken = log.size - 1
    log.run(scenario, receipts=())
    report = audit(log)
    condemns(report, broken, "S-4")
    for holder in HOLDERS:
        condemns(report, log.releases[0], "R-6", f"receipt of {holder}")


def _approved(log: Log) -> tuple:
    return Decision.APPROVED, digest(), log.time


def audit_after(log: Log, _: int) -> AuditReport:
    """Of a log that ends with a step."""
    return audit(log)
