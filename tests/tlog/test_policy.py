"""Trust policies: the grammar, the quorum, and which policies a dishonest log can split.

The oracle for quorum and split is the definition, tried on every set of witnesses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.crypto.signing import SigningKey
from stayput.errors import DocumentError, VerificationError
from stayput.tlog import merkle, note
from stayput.tlog.checkpoint import Checkpoint, sign_checkpoint
from stayput.tlog.cosignature import CosignatureVerifier, cosign
from stayput.tlog.policy import (
    MAX_ENTRIES,
    MAX_POLICY_BYTES,
    Group,
    Policy,
    Witness,
    all_of,
    parse_policy,
    verify_all,
    verify_unsplittable,
)

ORIGIN = "example.stayput/log"
LOG_KEY = SigningKey.generate()
LOG = note.NoteVerifier(ORIGIN, LOG_KEY.public)
KEYS = [SigningKey.generate() for _ in range(40)]
COSIGNERS = [
    CosignatureVerifier(f"example.stayput/w{number}", key.public) for number, key in enumerate(KEYS)
]
VKEYS = [cosigner.vkey for cosigner in COSIGNERS]
CHECKPOINT = Checkpoint(ORIGIN, 1, merkle.leaf_hash(b"entry"))


def file(*lines: str, witnesses: int = 3, log: bool = True) -> bytes:
    head = [f"log {LOG.vkey}"] if log else []
    head += [f"witness w{number} {VKEYS[number]}" for number in range(witnesses)]
    return "\n".join([*head, *lines, ""]).encode()


def k_of_n(k: int, n: int) -> Policy:
    names = " ".join(f"w{number}" for number in range(n))
    return parse_policy(file(f"group g {k} {names}", "quorum g", witnesses=n))


def cosigned(*numbers: int) -> bytes:
    lines = [cosign(CHECKPOINT.text, COSIGNERS[n].name, KEYS[n], 100 + n) for n in numbers]
    return note.add_signatures(sign_checkpoint(CHECKPOINT, LOG_KEY), lines)


# --- the grammar ----------------------------------------------------------------------------------


def test_the_example_of_the_specification() -> None:
    """Two groups of three: two of the X and any of the Y, with the keys put in."""
    x = [f"witness X{i + 1} {VKEYS[i]}" for i in range(3)]
    y = [f"witness Y{i + 1} {VKEYS[i + 3]}" for i in range(3)]
    text = "\n".join(
        [
            f"log {LOG.vkey}",
            "",
            *x,
            "group X-witnesses 2 X1 X2 X3",
            "",
            *y,
            "group Y-witnesses any Y1 Y2 Y3",
            "",
            "group X-and-Y all X-witnesses Y-witnesses",
            "quorum X-and-Y",
            "",
        ]
    )
    policy = parse_policy(text.encode())
    assert [group.threshold for group in policy.groups] == [2, 1, 2]
    publics = [cosigner.public for cosigner in COSIGNERS]
    assert policy.is_satisfied([publics[0], publics[2], publics[4]])
    assert not policy.is_satisfied([publics[0], publics[4], publics[5]])
    assert not policy.is_satisfied(publics[:3])


def test_space_comments_and_urls() -> None:
    text = (
        f"# a comment\n  \t\n\t log \t{LOG.vkey}   https://log.example/ \n"
        f"  # another \xff\n\twitness w0\t{VKEYS[0]} https://w0.example/path\n"
        f"witness none-of-it {VKEYS[1]}\nquorum w0\t\n"
    )
    policy = parse_policy(text.encode("latin-1"))
    assert policy.logs[0].url == "https://log.example/"
    assert policy.witnesses[0].url == "https://w0.example/path"
    assert policy.witnesses[1].url == ""
    assert policy.groups == ()
    assert policy.quorum == "w0"
    assert policy.encode().decode() == (
        f"log {LOG.vkey} https://log.example/\nwitness w0 {VKEYS[0]} https://w0.example/path\n"
        f"witness none-of-it {VKEYS[1]}\nquorum w0\n"
    )


def test_names_are_octets() -> None:
    """The Kelvin sign is no K, and what is no UTF-8 is a name all the same."""
    names = [b"K", b"\xe2\x84\xaa", b"\xff\xfe", b"#", b"all", b"w\xc2\xa0w"]
    lines = [b"witness %b %b" % (name, VKEYS[i].encode()) for i, name in enumerate(names)]
    data = b"\n".join([*lines, b"group g all " + b" ".join(names), b"quorum g", b""])
    policy = parse_policy(data)
    assert len({witness.name for witness in policy.witnesses}) == len(names)
    assert policy.encode() == data


def test_the_words_for_thresholds() -> None:
    for word, threshold in (("all", 3), ("any", 1), ("2", 2), ("1", 1), ("3", 3)):
        policy = parse_policy(file(f"group g {word} w0 w1 w2", "quorum g"))
        assert policy.groups == (Group("g", threshold, ("w0", "w1", "w2")),)
        assert parse_policy(policy.encode()) == policy


def test_thirty_two_of_everything() -> None:
    lines = [
        f"log {note.NoteVerifier(f'l{n}', SigningKey.generate().public).vkey}" for n in range(32)
    ]
    groups = [f"group g{n} all w{n}" for n in range(32)]
    top = "group top all " + " ".join(f"g{n}" for n in range(32))
    policy = parse_policy(file(*lines, *groups, top, "quorum top", witnesses=32, log=False))
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (32, 32, 33)
    assert policy.is_satisfied(cosigner.public for cosigner in COSIGNERS[:32])
    assert not policy.is_satisfied(cosigner.public for cosigner in COSIGNERS[:31])


def test_groups_may_be_nested_as_deep_as_there_are_groups() -> None:
    chain = ["group g0 all w0"] + [f"group g{n} all g{n - 1}" for n in range(1, MAX_ENTRIES)]
    policy = parse_policy(file(*chain, f"quorum g{MAX_ENTRIES - 1}"))
    assert policy.is_satisfied([COSIGNERS[0].public])
    assert not policy.is_satisfied([COSIGNERS[1].public])
    with pytest.raises(DocumentError, match="at most"):
        parse_policy(file(*chain, f"group last all g{MAX_ENTRIES - 1}", "quorum last"))


BROKEN = {
    "no quorum": [],
    "two quorums": ["quorum w0", "quorum w1"],
    "the same quorum twice": ["quorum w0", "quorum w0"],
    "quorum of nobody": ["quorum"],
    "quorum of two": ["quorum w0 w1"],
    "quorum not defined": ["quorum w9"],
    "quorum before its group": ["quorum g", "group g all w0"],
    "group before its member": ["group g all h", "group h all w0", "quorum g"],
    "a group in itself": ["group g all g", "quorum g"],
    "a member twice in one group": ["group g 2 w0 w0", "quorum g"],
    "a member of two groups": ["group g all w0", "group h all w0 w1", "quorum h"],
    "a group in two groups": ["group g all w0", "group h all g", "group i all g", "quorum i"],
    "group named as a witness": ["group w0 all w1", "quorum w0"],
    "group named twice": ["group g all w0", "group g all w1", "quorum g"],
    "group named none": ["group none all w0", "quorum none"],
    "witness named none": [f"witness none {VKEYS[5]}", "quorum none"],
    "none as a member": ["group g all w0 none", "quorum g"],
    "witness named twice": [f"witness w0 {VKEYS[5]}", "quorum w0"],
    "group of nobody": ["group g all", "quorum w0"],
    "group without a threshold": ["group g w0 w1", "quorum w0"],
    "threshold zero": ["group g 0 w0 w1", "quorum g"],
    "threshold above the members": ["group g 3 w0 w1", "quorum g"],
    "threshold with a sign": ["group g +2 w0 w1", "quorum g"],
    "threshold with a zero": ["group g 02 w0 w1", "quorum g"],
    "threshold with an underscore": ["group g 1_0 w0 w1", "quorum g"],
    "threshold in wide digits": ["group g \uff12 w0 w1", "quorum g"],
    "threshold in hex": ["group g 0x2 w0 w1", "quorum g"],
    "threshold in capitals": ["group g ALL w0 w1", "quorum g"],
    "an unknown keyword": ["witnesses w0", "quorum w0"],
    "a keyword in capitals": ["Quorum w0"],
    "a comment after a line": ["quorum w0 # all"],
    "a log with two urls": [f"log {LOG.vkey} a b", "quorum w0"],
    "a log without a key": ["log", "quorum w0"],
    "the log's key twice": [f"log {LOG.vkey}", "quorum w0"],
    "the log's key under another name": [
        f"log {note.NoteVerifier('example.org/x', LOG_KEY.public).vkey}",
        "quorum w0",
    ],
    "the log as its own witness": [
        f"witness w9 {CosignatureVerifier('example.org/x', LOG_KEY.public).vkey}",
        "quorum w9",
    ],
    "a witness key twice": [f"witness w9 {VKEYS[0]}", "quorum w0"],
    "a witness key under another name": [
        f"witness w9 {CosignatureVerifier('example.org/x', KEYS[0].public).vkey}",
        "group g 2 w0 w9",
        "quorum g",
    ],
    "a witness with two urls": [f"witness w9 {VKEYS[9]} a b", "quorum w0"],
    "a witness without a key": ["witness w9", "quorum w0"],
    "a witness with a note key": [
        f"witness w9 {note.NoteVerifier('example.org/x', KEYS[9].public).vkey}",
        "quorum w9",
    ],
    "a log with a cosigner's key": [f"log {VKEYS[9]}", "quorum w0"],
    "an ML-DSA-44 witness": [
        f"witness w9 {note.encode_vkey('example.org/x', 6, bytes(1312))}",
        "quorum w9",
    ],
    "a vkey whose id is another's": [f"witness w9 {VKEYS[9].replace('+', '+0')}", "quorum w9"],
    "a key of small order": [
        f"witness w9 {note.encode_vkey('example.org/x', 4, bytes(32))}",
        "quorum w9",
    ],
    "a carriage return": ["quorum w0\r"],
    "a form feed": ["quorum\fw0"],
    "a vertical tab": ["\vquorum w0"],
    "a null": ["# \x00", "quorum w0"],
    "a delete": ["# \x7f", "quorum w0"],
    "a separator that only Unicode takes for space": ["quorum\u00a0w0"],
    "a separator that only Unicode takes for a newline": ["# \u2028quorum w0"],
}


@pytest.mark.parametrize("lines", BROKEN.values(), ids=BROKEN)
def test_broken_policies_are_refused(lines: list[str]) -> None:
    with pytest.raises(DocumentError):
        parse_policy(file(*lines))


def test_the_broken_ones_are_made_from_a_good_one() -> None:
    assert parse_policy(file("quorum w0")).quorum == "w0"
    assert parse_policy(file("group g all w0 w1", "quorum g")).quorum == "g"


@pytest.mark.parametrize("data", [b"", b"\n", b"quorum none", b"\xef\xbb\xbfquorum none\n"])
def test_files_that_are_no_policy(data: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_policy(data)


def test_a_policy_is_bounded() -> None:
    line = b"# " + b"x" * (MAX_POLICY_BYTES - len(b"# \nquorum none\n")) + b"\nquorum none\n"
    assert parse_policy(line).quorum == "none"
    with pytest.raises(DocumentError, match="bytes"):
        parse_policy(b" " + line)


def test_the_message_names_the_line_and_the_hint_says_what_to_do() -> None:
    with pytest.raises(DocumentError, match=r"line 5: w7 is not defined") as refused:
        parse_policy(file("group g all w7", "quorum g"))
    assert "Define witnesses first" in refused.value.hint
    with pytest.raises(DocumentError, match=r"\\xff"):
        parse_policy(b"quorum \xff\n")


# --- the quorum -----------------------------------------------------------------------------------


def test_verify_gives_the_times() -> None:
    verified = k_of_n(2, 3).verify(cosigned(0, 2), ORIGIN)
    assert verified.checkpoint == CHECKPOINT
    assert verified.times == {COSIGNERS[0].name: 100, COSIGNERS[2].name: 102}


def test_the_quorum_is_not_reached() -> None:
    with pytest.raises(VerificationError, match=r"quorum g; missing: w0, w2") as refused:
        k_of_n(2, 3).verify(cosigned(1), ORIGIN)
    assert "Ask for the checkpoint again" in refused.value.hint


def test_a_stranger_does_not_count() -> None:
    with pytest.raises(VerificationError, match="missing: w0, w1"):
        k_of_n(3, 3).verify(cosigned(2, 3, 4), ORIGIN)


def test_one_line_of_a_witness_that_does_not_hold_condemns_the_note() -> None:
    other = Checkpoint(ORIGIN, 2, CHECKPOINT.root)
    bad = cosign(other.text, COSIGNERS[2].name, KEYS[2], 5)
    with pytest.raises(VerificationError, match="does not hold"):
        k_of_n(2, 3).verify(note.add_signatures(cosigned(0, 1), [bad]), ORIGIN)


def test_doubled_lines_do_not_make_a_quorum() -> None:
    line = cosign(CHECKPOINT.text, COSIGNERS[0].name, KEYS[0], 5)
    with pytest.raises(VerificationError, match="missing: w1, w2"):
        k_of_n(2, 3).verify(cosigned(0) + line * 3, ORIGIN)


def test_one_hundred_and_one_lines_are_refused() -> None:
    line = cosign(CHECKPOINT.text, "example.org/x", KEYS[9], 5)
    policy = k_of_n(2, 3)
    assert policy.verify(cosigned(0, 1) + line * 97, ORIGIN)
    with pytest.raises(DocumentError, match="100 signatures"):
        policy.verify(cosigned(0, 1) + line * 98, ORIGIN)


def test_only_the_logs_of_the_policy_count() -> None:
    policy = parse_policy(file("quorum none"))
    assert policy.verify(cosigned(), ORIGIN).times == {}
    with pytest.raises(VerificationError, match="does not name the log"):
        policy.verify(cosigned(), "example.stayput/other")
    with pytest.raises(VerificationError, match="no trusted key"):
        policy.verify(sign_checkpoint(CHECKPOINT, KEYS[0]), ORIGIN)
    without = parse_policy(file("quorum w0", log=False))
    with pytest.raises(VerificationError, match="does not name the log") as refused:
        without.verify(cosigned(0), ORIGIN)
    assert "vkey" in refused.value.hint


def test_a_log_with_two_keys_may_sign_with_either() -> None:
    new_key = SigningKey.generate()
    policy = parse_policy(
        file(f"log {note.NoteVerifier(ORIGIN, new_key.public).vkey}", "quorum w0")
    )
    line = cosign(CHECKPOINT.text, COSIGNERS[0].name, KEYS[0], 5)
    for key in (LOG_KEY, new_key):
        data = note.add_signatures(sign_checkpoint(CHECKPOINT, key), [line])
        assert policy.verify(data, ORIGIN).checkpoint == CHECKPOINT


def test_a_witness_may_have_an_old_and_a_new_key() -> None:
    old, new = KEYS[0], KEYS[1]
    name = "example.stayput/auditor/ewr"
    vkeys = [CosignatureVerifier(name, key.public).vkey for key in (old, new)]
    text = f"witness old {vkeys[0]}\nwitness new {vkeys[1]}\ngroup ewr any old new\nquorum ewr\n"
    policy = parse_policy(f"log {LOG.vkey}\n{text}".encode())
    for key in (old, new):
        line = cosign(CHECKPOINT.text, name, key, 5)
        data = note.add_signatures(sign_checkpoint(CHECKPOINT, LOG_KEY), [line])
        assert policy.verify(data, ORIGIN).times == {name: 5}


def test_all_of() -> None:
    policy = all_of([LOG.vkey], VKEYS[:3])
    assert parse_policy(policy.encode()) == policy
    assert policy.verify(cosigned(0, 1, 2), ORIGIN).checkpoint == CHECKPOINT
    for missing in itertools.combinations(range(3), 2):
        with pytest.raises(VerificationError, match="do not reach"):
            policy.verify(cosigned(*missing), ORIGIN)
    with pytest.raises(DocumentError, match="at least one"):
        all_of([LOG.vkey], [])
    with pytest.raises(DocumentError, match="twice"):
        all_of([LOG.vkey], [VKEYS[0], VKEYS[0]])
    same_name = [CosignatureVerifier("w", key.public).vkey for key in KEYS[:2]]
    assert len(parse_policy(all_of([LOG.vkey], same_name).encode()).witnesses) == 2


# --- nested policies at random, against the definition --------------------------------------------


@st.composite
def policies(draw: st.DrawFn, most: int = 6) -> Policy:
    """A tree over up to ``most`` witnesses, some of which may stay outside of it."""
    count = draw(st.integers(1, most))
    witnesses = tuple(Witness(f"w{n}", COSIGNERS[n]) for n in range(count))
    free = [witness.name for witness in witnesses]
    groups: list[Group] = []
    for number in range(draw(st.integers(0, 4))):
        members = draw(st.lists(st.sampled_from(free), min_size=1, max_size=len(free), unique=True))
        threshold = draw(st.integers(1, len(members)))
        groups.append(Group(f"g{number}", threshold, tuple(members)))
        free = [name for name in free if name not in members] + [f"g{number}"]
    return Policy((), witnesses, tuple(groups), draw(st.sampled_from(free)))


def meaning(policy: Policy) -> Callable[[frozenset[str]], bool]:
    """The quorum as the specification words it, by recursion."""
    groups = {group.name: group for group in policy.groups}

    def witnessed(name: str, signed: frozenset[str]) -> bool:
        if name not in groups:
            return name in signed
        members = [member for member in groups[name].members if witnessed(member, signed)]
        return len(members) >= groups[name].threshold

    return lambda signed: witnessed(policy.quorum, signed)


def subsets(policy: Policy) -> Iterator[frozenset[str]]:
    names = [witness.name for witness in policy.witnesses]
    for count in range(len(names) + 1):
        yield from map(frozenset, itertools.combinations(names, count))


def smallest(policy: Policy) -> list[frozenset[str]]:
    """The sufficient sets without a sufficient subset: those with the smallest intersections."""
    enough: list[frozenset[str]] = []
    satisfied = meaning(policy)
    for names in subsets(policy):  # by size
        if satisfied(names) and not any(part <= names for part in enough):
            enough.append(names)
    return enough


@given(policy=policies())
def test_the_quorum_is_that_of_the_definition(policy: Policy) -> None:
    satisfied = meaning(policy)
    public = {witness.name: witness.verifier.public for witness in policy.witnesses}
    for names in subsets(policy):
        assert policy.is_satisfied(public[name] for name in names) == satisfied(names)


@given(policy=policies())
def test_a_policy_survives_its_file(policy: Policy) -> None:
    assert parse_policy(policy.encode()) == policy


def split_by(policy: Policy) -> tuple[int, bool]:
    """Tried out: how few witnesses suffice to split, and whether some that are not needed do."""
    enough = smallest(policy)
    pairs = min(len(a & b) for a, b in itertools.product(enough, repeat=2))
    triples = any(not a & b & c for a, b, c in itertools.product(enough, repeat=3))
    return pairs, triples


@settings(deadline=None)
@given(policy=policies())
def test_what_can_be_split_is_refused_and_nothing_else(policy: Policy) -> None:
    fewest, by_expendable = split_by(policy)
    if fewest >= 2 and not by_expendable:
        assert verify_unsplittable(policy) is policy
    else:
        conspirators = {0: "the log alone", 1: "the log and 1 witness "}.get(fewest, "witnesses")
        with pytest.raises(VerificationError, match=conspirators) as refused:
            verify_unsplittable(policy)
        assert refused.value.hint


@settings(deadline=None)
@given(policy=policies(most=5))
def test_the_oracle_of_splits_is_a_split(policy: Policy) -> None:
    """From the definition of a split view: dishonest witnesses sign both, honest ones one side."""
    satisfied = meaning(policy)
    everyone = frozenset(witness.name for witness in policy.witnesses)

    def splits(dishonest: frozenset[str]) -> bool:
        honest = sorted(everyone - dishonest)
        for left in itertools.product((True, False), repeat=len(honest)):
            side = frozenset(name for name, taken in zip(honest, left, strict=True) if taken)
            if satisfied(dishonest | side) and satisfied(everyone - side):
                return True
        return False

    can = [names for names in subsets(policy) if splits(names)]
    fewest, by_expendable = split_by(policy)
    assert min(map(len, can)) == fewest
    assert any(satisfied(everyone - names) for names in can) == by_expendable


# --- the rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(2, 33))
def test_k_of_n(n: int) -> None:
    needed = 1 + 2 * n // 3
    for k in range(1, n + 1):
        if k >= needed:
            assert verify_unsplittable(k_of_n(k, n))
        else:
            with pytest.raises(VerificationError, match="can be split") as refused:
                verify_unsplittable(k_of_n(k, n))
            assert f"at least {needed} of its {n} members" in refused.value.hint


def test_two_of_three_is_refused_because_the_log_and_one_holder_split_it() -> None:
    """The split itself: both readers get a checkpoint that satisfies the policy."""
    policy = k_of_n(2, 3)
    for left, traitor, right in itertools.permutations(range(3)):
        other = Checkpoint(ORIGIN, 1, merkle.leaf_hash(b"another entry"))
        lines = [cosign(other.text, COSIGNERS[n].name, KEYS[n], 5) for n in (traitor, right)]
        elsewhere = note.add_signatures(sign_checkpoint(other, LOG_KEY), lines)
        assert policy.verify(cosigned(left, traitor), ORIGIN).checkpoint == CHECKPOINT
        assert policy.verify(elsewhere, ORIGIN).checkpoint == other
    with pytest.raises(VerificationError, match="the log and 1 witness can show") as refused:
        verify_unsplittable(policy)
    assert refused.value.hint == "Group g needs at least 3 of its 3 members."


def test_no_cosignature_and_a_single_witness_are_refused() -> None:
    with pytest.raises(VerificationError, match="the log alone"):
        verify_unsplittable(parse_policy(file("quorum none")))
    for lines in (["quorum w0"], ["group g all w0", "quorum g"]):
        with pytest.raises(VerificationError, match="the log and 1 witness") as refused:
            verify_unsplittable(parse_policy(file(*lines)))
        assert "at least two witnesses" in refused.value.hint


@pytest.mark.parametrize(
    ("lines", "remedy"),
    [
        (["group a any w0 w1 w2", "group top all a w3", "quorum top"], "Group a"),
        (["group a 2 w0 w1 w2", "group b any w3 w4", "group t all a b", "quorum t"], "Group a"),
        (["group a all w0 w1", "group b all w2 w3", "group t any a b", "quorum t"], "Group t"),
        (["group a any w0 w1 w2", "quorum a"], "3 of its 3"),
    ],
)
def test_nested_groups_that_are_refused(lines: list[str], remedy: str) -> None:
    with pytest.raises(VerificationError, match="can be split") as refused:
        verify_unsplittable(parse_policy(file(*lines, witnesses=5)))
    assert remedy in refused.value.hint


@pytest.mark.parametrize(
    "lines",
    [
        ["group a all w0 w1", "group t all a w2", "quorum t"],
        ["group a 3 w0 w1 w2 w3", "group t all a w4", "quorum t"],
        # each side needs w3, and two of the others: the log, w3 and one more split it, no fewer
        ["group a 2 w0 w1 w2", "group t all a w3", "quorum t"],
        # any of the outsiders beside all the holders: more is not weaker
        ["group a all w0 w1 w2", "group b any w3 w4", "group t all a b", "quorum t"],
    ],
)
def test_nested_groups_that_are_accepted(lines: list[str]) -> None:
    assert verify_unsplittable(parse_policy(file(*lines, witnesses=5)))


def test_verify_all() -> None:
    policy = all_of([LOG.vkey], VKEYS[:3])
    assert verify_all(policy, COSIGNERS[:3]) is policy
    assert verify_all(policy, COSIGNERS[:2]) is policy
    for cosigners in (COSIGNERS[:4], [COSIGNERS[3]], []):
        with pytest.raises(VerificationError):
            verify_all(policy, cosigners)
    renamed = CosignatureVerifier("example.org/x", COSIGNERS[0].public)
    with pytest.raises(VerificationError, match="does not demand"):
        verify_all(policy, [renamed])


@given(policy=policies())
def test_verify_all_is_the_definition(policy: Policy) -> None:
    """A cosigner is demanded exactly if it is in every sufficient set."""
    enough = smallest(policy)
    for witness in policy.witnesses:
        if all(witness.name in names for names in enough):
            assert verify_all(policy, [witness.verifier]) is policy
        else:
            with pytest.raises(VerificationError, match="does not demand"):
                verify_all(policy, [witness.verifier])
