"""Personal data on its way into the log, and guesses at what is behind the digests in it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from attacks.lying import World, steps
from audit.logs import Log
from parties import NOW, Party

from stayput import documents
from stayput.audit import verify_release
from stayput.countersigning import Examination, ResultExamination, countersign
from stayput.crypto import signing
from stayput.crypto.signing import SigningKey
from stayput.errors import StayputError
from stayput.identity import draw_next, member_card, with_reviewers
from stayput.membership import form_member_list, verify_member_list
from stayput.release import CellVerdict, ReleaseBundle, RunOrder
from stayput.scenario import AuthorisationMode, OutputReview
from stayput.session import Session
from stayput.steps import (
    STEP_CLASSES,
    AuthorityDecision,
    CountsChecked,
    Decision,
    FailureReason,
    FreezeReason,
    KeysRotated,
    LogFrozen,
    RefusalReason,
    ResultExamined,
    ResultHeld,
    ResultReleased,
    Round,
    RunFailed,
    RunOrdered,
    ScenarioAuthorised,
    ScenarioProposed,
    ScenarioReviewed,
    ScenarioRevoked,
)

RUNS: list[bytes] = []

# None has 16 or 32 bytes: of so many nobody can see whether they are an id, a digest or a text
# (docs/caveats.md). Whoever writes one there signs for it.
CANARIES = (
    "Ada Lovelace, born 10 December 1815, diagnosis C50.9",
    "ada-lovelace",  # what could be a party
    "+44 (0)20 7946 0958",
    "ada@example.org",
    "Łukasz Żółciak",
    "",
)


# --- every field of every step --------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(consortium: Party) -> list[tuple[Session, bytes, str]]:
    """An honest entry of each kind but the member list, who signs it, and the session before it."""
    person = SigningKey.generate()
    office = with_reviewers(consortium.identities["office"], [person.public], 1)
    identities = {**consortium.identities, "office": office}
    cards = [member_card(identity) for identity in identities.values()]
    listed = form_member_list("testers", cards, identities["hub"].signing_key, NOW - 900)
    log = Log(Party(identities, verify_member_list(listed, pinned=None)))
    refused = log.propose()
    step = ScenarioReviewed(refused, "north", Decision.REFUSED, b"r" * 32, NOW, RefusalReason.LEGAL)
    log.add(step, "north")
    scenario = log.sealed()
    log.run(scenario)
    log.run_join(scenario)
    _with_persons(log, person)
    run = log.order(scenario)
    log.receipt(run, scenario, "north")
    log.add(RunFailed(run, "north", FailureReason.STATE_LOST, NOW), "north")
    log.add(ScenarioRevoked(scenario, "west", RefusalReason.LEGAL, NOW), "west")
    card = member_card(draw_next(consortium.identities["eve"], now=NOW))
    log.add(KeysRotated("eve", card, NOW), "eve")
    log.add(LogFrozen(FreezeReason.MEMBERS_CHANGE, NOW), "hub")
    found: dict[tuple[type, int], tuple[int, str]] = {}
    session = Session()
    for index, entry in enumerate(log.entries):
        step = session.replay(entry)
        shape = len(json.loads(documents.encode(step)))  # a step with other optional fields, too
        found[type(step), shape] = (index, signer(consortium, entry))
    assert {kind for kind, _ in found} == set(STEP_CLASSES)
    kept = []
    for index, name in sorted(found.values()):
        if index:
            before = Session()
            for entry in log.entries[:index]:
                before.replay(entry)
            kept.append((before, log.entries[index], name))
    return kept


def _with_persons(log: Log, person: SigningKey) -> None:
    """A scenario that an authority authorises, and a run whose result a person clears."""
    scenario, report, result = b"p" * 32, b"a" * 32, b"h" * 32
    proposal = ScenarioProposed(
        scenario, "asker", "office", log.holders, 9, NOW + 10**8, 3, NOW,
        review=OutputReview.ALWAYS, deciders=1,
        authorisation=AuthorisationMode.CENTRALISED, authorities=("reviewer",),
    )  # fmt: skip
    log.add(proposal, "asker")
    for holder in log.holders:
        log.approve(scenario, holder)
    decision = AuthorityDecision.AUTHORISED
    log.add(ScenarioAuthorised(scenario, "reviewer", decision, report, NOW), "reviewer")
    log.seal(scenario)
    run = log.order(scenario)
    for holder in log.holders:
        log.receipt(run, scenario, holder)
    log.round(run, scenario, Round.COUNTS)
    log.judge(run)
    log.round(run, scenario, Round.VALUES)
    log.add(ResultHeld(run, "office", result, NOW), "office")
    said = countersign(ResultExamination(run, "office", result, Examination.PASS, None), person)
    log.add(ResultExamined(run, "office", said, NOW), "office")
    log.add(ResultReleased(run, "office", result, b"s" * 32, NOW), "office")


def signer(party: Party, entry: bytes) -> str:
    key_id = json.loads(entry)["signatures"][0]["keyid"]
    (name,) = (
        name
        for name, identity in party.identities.items()
        if signing.fingerprint(identity.signing_key.public) == key_id
    )
    return name


def envelope(payload: bytes, kind: str, key: SigningKey) -> bytes:
    """DSSE, written out once more: whoever cheats does not ask our classes."""
    body = kind.encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(body), body, len(payload), payload)
    members = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [
            {
                "keyid": signing.fingerprint(key.public),
                "sig": base64.b64encode(key.sign(signed)).decode(),
            }
        ],
    }
    return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()


def bent(value: Any, canary: str) -> Iterator[Any]:
    """Other values of a field: the canary as text, in a list, as bytes, as a member of its own."""
    encoded = base64.b64encode(canary.encode()).decode()
    yield canary
    yield encoded
    yield [canary]
    yield {"name": canary}
    yield 4_420_794_609_580
    if isinstance(value, list):
        yield [*value, canary]
        yield [*value, encoded]


def test_the_forger_signs_what_would_be_taken(consortium: Party, told: list) -> None:
    """Else every refusal below could be one of the signature."""
    for session, entry, name in told:
        found = json.loads(entry)
        payload = base64.b64decode(found["payload"])
        key = consortium.identities[name].signing_key
        assert envelope(payload, found["payloadType"], key) == entry
        session.admit(entry)


def test_no_field_of_any_step_takes_a_canary(consortium: Party, told: list) -> None:
    """Whoever signs it: what is no id, digest, code, member or allowed number is no entry."""
    tried = 0
    for session, entry, name in told:
        found = json.loads(entry)
        fields = json.loads(base64.b64decode(found["payload"]))
        key = consortium.identities[name].signing_key
        for canary in CANARIES:
            changed = [
                {**fields, field: other}
                for field, value in fields.items()
                for other in bent(value, canary)
                if other != value
            ]
            changed += [{**fields, extra: canary} for extra in ("comment", "name", "zzz")]
            for document in changed:
                payload = json.dumps(
                    document, separators=(",", ":"), sort_keys=True, ensure_ascii=False
                ).encode()
                forged = envelope(payload, found["payloadType"], key)
                try:
                    session.admit(forged)
                except StayputError:
                    tried += 1
                    continue
                raise AssertionError(f"taken: {document}")
    assert tried > 2000


@pytest.mark.parametrize("field", ["payload", "payloadType", "keyid", "sig", "extra", "space"])
def test_no_part_of_the_envelope_takes_a_canary(consortium: Party, told: list, field: str) -> None:
    """The signature does not cover the envelope's own form: so there is only one form."""
    canary = CANARIES[0]
    for session, entry, _ in told:
        found = json.loads(entry)
        match field:
            case "payload" | "payloadType":
                found[field] = canary
            case "keyid" | "sig":
                found["signatures"][0][field] = canary
            case "extra":
                found["extra"] = canary
        forged = json.dumps(found, separators=(",", ":"), sort_keys=True).encode()
        if field == "space":
            forged = entry + b" " + canary.encode()
        with pytest.raises(StayputError):
            session.admit(forged)


# --- guessing -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = World(tmp_path_factory.mktemp("world"))
    RUNS.append(built.order())
    built.settle()
    yield built
    built.close()


def public_values(world: World) -> set[bytes]:
    """All bytes of 16 or 32 that a reader of the log has: what a lazy salt could be."""
    values = {bytes(16), bytes(32)}
    for step in steps(world):
        for value in vars(step).values():
            values.update(one for one in (value if isinstance(value, tuple) else (value,))
                          if isinstance(one, bytes) and len(one) in (16, 32))  # fmt: skip
    return values


def test_a_verdict_is_not_found_by_trying_all_of_them(world: World) -> None:
    """One bit for each cell and count: a few thousand guesses, were it not for the salt."""
    (logged,) = (step.verdict for step in steps(world) if isinstance(step, CountsChecked))
    stored = world.coordinator._journal.get("verdict", RUNS[0] + logged)
    true = documents.parse(CellVerdict, stored)
    salts = [salt for salt in public_values(world) if len(salt) == 32]
    assert len(salts) > 15
    known = int.from_bytes(true.passes, "big")
    padding = -(true.cells * true.measures) % 8

    def guesses(salts: list[bytes]) -> Iterator[bytes]:
        """All settings of ten bits, by somebody who knows the others already."""
        for salt, number in itertools.product(salts, range(2**10)):
            passes = (known & ~(1023 << padding) | number << padding).to_bytes(len(true.passes))
            yield documents.digest(dataclasses.replace(true, passes=passes, salt=salt))

    assert logged not in set(guesses([*salts[:9], bytes(32)]))
    assert logged in set(guesses([true.salt])), "with the salt it is found: this is how one tries"
    for salt in salts:  # and the right verdict under any value that a reader has
        assert documents.digest(dataclasses.replace(true, salt=salt)) != logged


def test_a_result_and_an_order_are_not_confirmed_by_who_knows_them(world: World) -> None:
    """Who has learnt the very answer elsewhere cannot tell from the log that it is this one."""
    result = world.client.fetch(RUNS[0])
    verified = verify_release(result.bundle, world.members)
    order = documents.parse(RunOrder, documents.parse(ReleaseBundle, result.bundle).order)
    logged = {
        value
        for step in steps(world)
        if isinstance(step, RunOrdered | ResultReleased)
        for value in vars(step).values()
        if isinstance(value, bytes)
    }
    assert documents.digest(verified.result) in logged
    for document in (verified.result, order):
        plain = json.loads(documents.encode(document))
        del plain["salt"]
        text = json.dumps(plain, separators=(",", ":"), sort_keys=True).encode()
        assert hashlib.sha256(text).digest() not in logged
        assert hashlib.sha256(documents.encode(document)).digest() not in logged
        for salt in public_values(world):
            if len(salt) == 32:
                assert documents.digest(dataclasses.replace(document, salt=salt)) not in logged


def test_every_salt_is_random_and_used_once(world: World) -> None:
    """32 bytes each (a scenario 16), no two alike, none of them in the log."""
    run = world.order()
    world.settle()
    salts = [world.client.scenario(world.scenario).nonce]
    for one in (RUNS[0], run):
        bundle = world.client.fetch(one).bundle
        found = json.loads(bundle)
        for name in ("order", "result"):
            salts.append(base64.b64decode(json.loads(base64.b64decode(found[name]))["salt"]))
    for step in steps(world):
        if isinstance(step, CountsChecked):
            stored = world.coordinator._journal.get("verdict", step.run + step.verdict)
            salts.append(documents.parse(CellVerdict, stored).salt)
    assert [len(salt) for salt in salts] == [16, 32, 32, 32, 32, 32, 32]
    assert len(set(salts)) == len(salts)
    assert not set(salts) & public_values(world)
    for entry in world.coordinator.log.entries():
        for salt in salts:
            assert base64.b64encode(salt)[:20] not in base64.b64decode(json.loads(entry)["payload"])
