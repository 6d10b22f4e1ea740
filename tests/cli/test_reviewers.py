"""People sign on machines of their own, and change who they are; with real keys and commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pets
import pytest
from cli.test_authority import keys, proposed, refused
from cli.transcript import Outcome, Stayput

from stayput import documents, rotation
from stayput.crypto.signing import SigningKey
from stayput.daemon import clock, connected
from stayput.federation import Federation
from stayput.identity import Identity, load_identity, next_reviewers, pending_rotation
from stayput.review import ReadingCopy, parse_reading_copy
from stayput.session import ScenarioPhase, read_claim
from stayput.steps import KeysRotated

PEOPLE = [SigningKey.from_bytes(bytes([i]) * 32) for i in range(51, 55)]
LATE = SigningKey.from_bytes(b"late" * 8)
PUBLIC = [key.public.hex() for key in PEOPLE]


def key_files(tmp_path: Path) -> list[str]:
    paths = []
    for index, key in enumerate(PEOPLE):
        path = tmp_path / f"holder-person-{index}.key"
        path.write_bytes(key.to_bytes())
        path.chmod(0o600)
        paths.append(str(path))
    return paths


def rotations(live: Federation) -> int:
    live.client.replica.catch_up(live.link("asker"))
    return len(live.client.replica.session.rotations)


def test_people_read_and_sign_where_no_keys_of_the_party_are(
    stayput: Stayput, live: Federation, tmp_path: Path
) -> None:
    text = "authorisation: {centralised: bureau}\n"
    name, first = proposed(stayput, live, "")
    later, digest = proposed(stayput, live, f"{text}replaces: {name}\n", title="Another title")
    for holder in pets.HOLDERS:
        assert stayput("approve", later, "-y", home=live.root / holder).code == 0
    bureau, people = live.root / "bureau", keys(tmp_path)
    assert stayput("reviewer", "export", later, "-o", "copy.json", home=bureau).code == 0
    elsewhere = tmp_path / "elsewhere"  # no home folder, and nothing else there
    elsewhere.mkdir()
    copy = shutil.move("copy.json", elsewhere / "copy.json")
    shown = stayput("reviewer", "read", str(copy))
    assert shown.out == stayput("report", later, home=bureau).out
    # The bureau has no part in the earlier version, and so the copy does not have it either.
    assert "VERSION_UNKNOWN" in shown.out
    assert documents.parse(ReadingCopy, Path(copy).read_bytes()).earlier == b""
    read = shown.err.split("report ")[1].split()[0]
    for person in people[:2]:
        outcome = stayput("reviewer", "sign", "--copy", str(copy), "--key", person, "-o",
                          f"{person}.signed", "--report", read)  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert "signed for bureau" in outcome.err
    signed = [word for person in people[:2] for word in ("--signature", f"{person}.signed")]
    assert stayput("authority", "authorise", later, "-y", *signed, home=bureau).code == 0
    assert live.client.state(digest).phase is ScenarioPhase.SEALED
    assert live.client.state(first).phase is ScenarioPhase.REPLACED
    # A holder that has a part in the earlier one takes it along.
    north = live.root / "north"
    assert stayput("reviewer", "export", later, "-o", "north.json", home=north).code == 0
    held = stayput("reviewer", "read", "north.json").out
    assert held == stayput("report", later, home=north).out
    assert "NEW_VERSION" in held


def test_an_altered_copy_changes_what_is_read_and_its_signature_counts_for_nothing(
    stayput: Stayput, live: Federation, tmp_path: Path
) -> None:
    name, digest = proposed(stayput, live, "authorisation: {centralised: bureau}\n")
    bureau, people = live.root / "bureau", keys(tmp_path)
    stayput("reviewer", "export", name, "-o", "copy.json", home=bureau)
    honest = documents.parse(ReadingCopy, Path("copy.json").read_bytes())
    told = parse_reading_copy(Path("copy.json").read_bytes()).report.digest
    milder = honest.scenario.replace(b"in bad weather", b"in any weather")
    assert milder != honest.scenario
    for changed in (
        ReadingCopy("bureau", milder, honest.proposed),
        ReadingCopy("bureau", honest.scenario, honest.proposed + 10**9),
        ReadingCopy("north", honest.scenario, honest.proposed),
    ):
        Path("altered.json").write_bytes(documents.encode(changed))
        shown = stayput("reviewer", "read", "altered.json")
        read = shown.err.split("report ")[1].split()[0]
        assert bytes.fromhex(read) != told
        signed = []
        for person in people[:2]:
            outcome = stayput("reviewer", "sign", "--copy", "altered.json", "--key", person,
                              "-o", f"{person}.altered", "--report", read)  # fmt: skip
            assert outcome.code == 0
            signed += ["--signature", f"{person}.altered"]
        outcome = stayput("authority", "authorise", name, "-y", *signed, home=bureau)
        refused(outcome, "has signed something else")
    assert live.client.state(digest).authorisations == {}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "document"),
        (b"{}", ""),
        (documents.encode(ReadingCopy("bureau", b"{}", 1)), ""),
        (documents.encode(ReadingCopy("bureau", b"\xff" * 9, 1)), ""),
    ],
)
def test_what_is_no_copy_is_not_shown(stayput: Stayput, data: bytes, words: str) -> None:
    Path("junk.json").write_bytes(data)
    outcome = stayput("reviewer", "read", "junk.json")
    assert outcome.code == 1
    assert outcome.out == ""
    assert words in outcome.err
    refused(
        stayput("reviewer", "sign", "--key", "k", "-o", "s", "--report", "ab"), "name a scenario"
    )


# --- changing reviewers ---------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _known_to_others(live: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The federation's own objects follow north's home folder."""
    live.identities["north"] = load_identity(live.root / "north")


def change(stayput: Stayput, live: Federation, *words: str) -> Outcome:
    return stayput("reviewer", "change", *words, home=live.root / "north")


def test_reviewers_come_and_go_only_with_their_consent(
    stayput: Stayput, live: Federation, tmp_path: Path
) -> None:
    north, people = live.root / "north", key_files(tmp_path)
    before = load_identity(north)
    outcome = change(stayput, live, *PUBLIC[:3], "--quorum", "2")  # the first come by themselves
    assert outcome.code == 0, outcome.err
    now = load_identity(north)
    assert (now.quorum, len(now.reviewers), now.rotations) == (2, 3, before.rotations + 1)
    assert now.signing_key.public == before.signing_key.public
    assert now.derive_key(b"x") == before.derive_key(b"x")
    assert rotations(live) == 1

    name, digest = proposed(stayput, live, "")
    refused(stayput("approve", name, "-y", home=north), "0 of the 2 reviewers")
    refused(change(stayput, live, PUBLIC[3], "--quorum", "1"), "0 of the 2 reviewers")
    refused(change(stayput, live, *PUBLIC[:3], "--quorum", "4"), "quorum is 1 to")
    refused(change(stayput, live, "zz", "--quorum", "1"), "no reviewer's key")

    wanted = (*PUBLIC[1:], "--quorum", "1")
    assert change(stayput, live, *wanted, "-o", "card.json").code == 0
    assert rotations(live) == 1  # nothing but a file so far

    def consent(person: str, card: str = "card.json", *yes: str) -> Outcome:
        return stayput("reviewer", "sign-card", card, "--key", person, "-o", f"{person}.card", *yes)

    refused(consent(people[0]), "nothing was signed")
    shown = consent(people[0], "card.json", "-y")
    assert "north: 1 of these 3 sign from now on" in shown.out
    assert PUBLIC[0] not in shown.out
    one = ("--signature", f"{people[0]}.card")
    refused(change(stayput, live, *wanted, *one), "1 of the 2 reviewers")
    consent(people[3], "card.json", "-y")  # the one who is to come has no say yet
    refused(change(stayput, live, *wanted, *one, "--signature", f"{people[3]}.card"), "enrolled")
    consent(people[1], "card.json", "-y")
    two = (*one, "--signature", f"{people[1]}.card")
    refused(change(stayput, live, *PUBLIC[1:], "--quorum", "2", *two), "signed something else")
    assert change(stayput, live, *wanted, *two).code == 0
    assert rotations(live) == 2

    read = stayput("report", name, "--json", home=north).json["digest"]
    for person, counts in ((people[0], False), (people[3], True)):
        stayput("reviewer", "sign", name, "--key", person, "-o", f"{person}.signed",
                "--report", read, home=north)  # fmt: skip
        outcome = stayput("approve", name, "-y", "--signature", f"{person}.signed", home=north)
        assert (outcome.code == 0) == counts, outcome.err
    assert live.client.state(digest).awaited() == ("south", "west")
    # Another holder's person signs for the holder that it is of, and for nobody else.
    outcome = stayput("approve", name, "-y", "--signature", f"{people[3]}.signed",
                      home=live.root / "south")  # fmt: skip
    refused(outcome, "nobody has to countersign")


def test_a_change_of_reviewers_survives_a_kill(
    stayput: Stayput, live: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the log has it, before the folder does: `rotate` goes on with it."""
    home = live.root / "west"
    known, before = load_identity(home), rotations(live)

    class Killed(BaseException):
        pass

    def die(_: Identity) -> Identity:
        raise Killed

    following = next_reviewers(known, [LATE.public], 1)
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "complete_rotation", die)
        with pytest.raises(Killed):
            rotation.change_reviewers(known, following, (), connected, clock)
    assert load_identity(home).member == known.member
    assert pending_rotation(known) is not None
    refused(stayput("reviewer", "change", PUBLIC[1], "--quorum", "1", home=home), "under way")
    assert stayput("rotate", home=home).code == 0
    assert load_identity(home).reviewers == (LATE.public,)
    assert rotations(live) == before + 1
    entry = live.client.replica.entries[live.client.replica.session.rotations[-1]]
    (step, _) = read_claim(entry)
    assert isinstance(step, KeysRotated)
    assert step.member == "west"
