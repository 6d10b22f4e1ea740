"""Attacks on joins: who tries to learn who is in another's register, or another's numbers.

Each test is somebody's attempt. Where nothing stops it, the test shows that it works, and
docs/caveats.md says so.
"""

from __future__ import annotations

import dataclasses
import hashlib

import gmpy2
import numpy as np
import pytest
from vertical.together import SCENARIO, Together, everything, run_key

from stayput.crypto.paillier import Randomness, encrypt, parse_ciphertexts
from stayput.crypto.ristretto import Exponent, hash_to_points, random_points
from stayput.errors import (
    InvalidInput,
    PermissionDenied,
    RuleViolation,
    VerificationError,
)
from stayput.scenario import Duplicates, IdentifierKind, IdentifierRule
from stayput.vertical.blinding import BlindedSet, Blinding, verify_raised
from stayput.vertical.combining import Combination, Combining, open_masked
from stayput.vertical.matching import Matching
from stayput.vertical.people import People, people_of
from stayput.vertical.plan import ONE, Joined, JoinPlan, Pair, Slot, Source
from stayput.vertical.rows import hand_over, parse_rows, verify_run_key
from stayput.vertical.way import way_of

RULE = IdentifierRule(IdentifierKind.TEXT)
HOLDERS = ("ash", "birch", "cedar")
RUN, YESTERDAY = b"r" * 16, b"y" * 16


def people(names: list[str], numbers: list[int]) -> People:
    table = Joined("ash", "t", RULE, 1000, 0, 1, (1000,))
    return people_of(table, names, [0] * len(names), [numbers])


def tables(pad_to: int = 0, max_rows: int = 1000) -> list[Joined]:
    return [
        Joined(name, f"t{i}", RULE, max_rows, pad_to, 1, (1000,)) for i, name in enumerate(HOLDERS)
    ]


def blinding(name: str, run: bytes = RUN) -> Blinding:
    return Blinding(run, SCENARIO, name, tables())


def small_plan(holders: tuple[str, ...] = HOLDERS) -> JoinPlan:
    """Count and the owner's sum: ash combines, birch owns."""
    tables = tuple(
        Joined(name, f"t{i}", RULE, 1000, 0, 1, (1000,)) for i, name in enumerate(holders)
    )
    slots = ((Slot(0, ONE, 10), Slot(0, 0, 20)),)
    return JoinPlan(
        tables=tables,
        key_bits=2048,
        cells=((0,) * len(holders),),
        pairs=(Pair(0, 1, (ONE,), slots),),
        sources=(Source(0, ONE, ONE), Source(0, ONE, 0)),
        sum_bits=(10, 20),
    )


def together() -> Together:
    return Together(
        small_plan(),
        {
            "ash": people(["a", "b", "c", "d"], [1, 2, 3, 4]),
            "birch": people(["b", "c", "d", "e"], [10, 20, 30, 40]),
            "cedar": people(["c", "d", "e", "f"], [5, 6, 7, 8]),
        },
    )


# --- identifiers ----------------------------------------------------------------------------------


def test_a_dictionary_of_the_coordinator_matches_nothing() -> None:
    """It knows run, scenario and every identifier, but no secret."""
    run = together()
    run.match()
    seen = {
        one.points[i : i + 32]
        for sets in run.seen.values()
        for one in sets
        for i in range(0, len(one.points), 32)
    }
    guesses = [name.encode() for name in "abcdef"]
    own = Exponent.draw()
    for exponent in (Exponent(1), own):
        tag = b"stayput/v1/join" + RUN + SCENARIO
        assert seen.isdisjoint(hash_to_points(guesses, tag, exponent))
        assert seen.isdisjoint(hashlib.sha256(name + RUN).digest() for name in guesses), (
            "no plain hash either"
        )


def test_nobody_raises_a_dictionary_that_no_holder_has_signed() -> None:
    """The coordinator hands its guesses to birch as the set of ash."""
    ash, birch = map(blinding, HOLDERS[:2])
    real, _ = ash.first([b"a", b"b"])
    guesses = dataclasses.replace(real, points=b"".join(random_points(2)))
    with pytest.raises(VerificationError, match="not the one in the log"):
        birch.further(guesses, real.digest)
    birch.further(real, real.digest)
    # Even signed by a holder in league: of each owner one set.
    with pytest.raises(RuleViolation, match="one set"):
        birch.further(guesses, guesses.digest)


def test_asking_again_gives_the_same_bytes() -> None:
    ash, birch = map(blinding, HOLDERS[:2])
    real, _ = ash.first([b"a", b"b"])
    assert birch.further(real, real.digest) == birch.further(real, real.digest)
    with pytest.raises(RuleViolation, match="once"):
        ash.first([b"a", b"b"])


def test_yesterdays_set_is_refused_and_would_match_nothing() -> None:
    old = blinding("ash", YESTERDAY)
    kept, _ = old.first([b"a", b"b", b"c"])
    birch = blinding("birch")
    with pytest.raises(PermissionDenied, match="another run"):
        birch.further(kept, kept.digest)
    # Under today's run id: the hash has the run id in it.
    run = together()
    replayed = dataclasses.replace(kept, run=RUN)
    run.match()
    after = run.blinding["birch"]
    with pytest.raises(RuleViolation, match="one set"):
        after.further(replayed, replayed.digest)
    tag = b"stayput/v1/join"
    one = Exponent.draw()
    assert hash_to_points([b"a"], tag + RUN + SCENARIO, one) != hash_to_points(
        [b"a"], tag + YESTERDAY + SCENARIO, one
    )


@pytest.mark.parametrize(
    "bent",
    [
        lambda points: points[:-32] + bytes(32),
        lambda points: points[:-32] + b"\xff" * 32,
        lambda points: points[:32] + points[:32],
        lambda points: points[:-1],
    ],
    ids=["identity", "no element", "twice", "half a point"],
)
def test_what_is_no_set_of_points_is_not_raised(bent: object) -> None:
    ash, birch = map(blinding, HOLDERS[:2])
    real, _ = ash.first([b"a", b"b"])
    assert callable(bent)
    bad = dataclasses.replace(real, points=bent(real.points))
    with pytest.raises(VerificationError):
        birch.further(bad, bad.digest)


def test_a_raised_set_of_another_length_way_or_without_work_is_refused() -> None:
    ash, birch = map(blinding, HOLDERS[:2])
    real, _ = ash.first([b"a", b"b", b"c"])
    raised = birch.further(real, real.digest)
    assert verify_raised(real, raised, "birch") == raised
    for bad, match in (
        (dataclasses.replace(raised, points=raised.points[:-32]), "another number"),
        (dataclasses.replace(raised, points=raised.points + random_points(1)[0]), "another number"),
        (dataclasses.replace(raised, points=raised.points[:64] + real.points[64:]), "not raised"),
        (dataclasses.replace(raised, raised_by=("ash", "cedar")), "way"),
        (dataclasses.replace(raised, owner="birch"), "way"),
        (dataclasses.replace(raised, run=YESTERDAY), "run"),
    ):
        with pytest.raises(VerificationError, match=match):
            verify_raised(real, bad, "birch")


def test_a_set_is_raised_in_its_turn_only_and_comes_back_whole() -> None:
    parties = {name: blinding(name) for name in HOLDERS}
    real, _ = parties["ash"].first([b"a", b"b"])
    for early in ("cedar", "ash"):
        with pytest.raises(PermissionDenied, match="not with this holder"):
            parties[early].further(real, real.digest)
    found = real
    for name in ("birch", "cedar"):
        found = parties[name].further(found, found.digest)
    short = dataclasses.replace(found, points=found.points[:32])
    with pytest.raises(VerificationError, match="another length"):
        parties["ash"].further(short, short.digest)


def test_holders_together_cannot_compare_sets_that_pass_through_their_hands() -> None:
    """Two of three holders, all their secrets, everything that they were sent; not the coordinator.

    Before its owner comes back to it, a set is blinded by a secret that no other set has.
    """
    run = together()
    run.match()
    crowd = ("ash", "birch")
    held: dict[str, set[bytes]] = {}
    for owner, sets in run.seen.items():
        way = way_of(owner, HOLDERS)
        for place, one in enumerate(sets):
            sent_to = way[place + 1] if place + 1 < len(way) else None
            if sent_to in crowd or way[place] in crowd:
                points = {one.points[i : i + 32] for i in range(0, len(one.points), 32)}
                held.setdefault(owner, set()).update(points)
    assert held["cedar"].isdisjoint(held["ash"] | held["birch"])
    # The coordinator sees the ends, and there it is: what it and only it compares.
    ends = [
        {one.points[i : i + 32] for i in range(0, len(one.points), 32)}
        for one in (run.seen[name][-1] for name in HOLDERS)
    ]
    assert len(ends[0] & ends[1] & ends[2]) == 2


def test_of_two_holders_neither_sees_its_own_set_at_the_end_of_its_way() -> None:
    """It would find the other's tokens there, which it raised last."""
    two = ("ash", "birch")
    run = Together(
        small_plan(two), {"ash": people(["a", "b"], [1, 2]), "birch": people(["b", "c"], [3, 4])}
    )
    assert run.match().joined == 1
    for owner, other in (two, two[::-1]):
        assert way_of(owner, two) == (owner, other)
        held = {
            one.points[i : i + 32]
            for one in (*run.seen[owner], run.seen[other][0])
            if one.raised_by != (owner, other)
            for i in (0, 32)
        }
        held |= {run.seen[other][-1].points[i : i + 32] for i in (0, 32)}
        assert len(held) == 6, "all different: own, the other's, the other's raised"


def test_every_run_is_shuffled_anew_and_padding_looks_like_people() -> None:
    names = [bytes([i]) for i in range(40)]
    one, order = Blinding(RUN, SCENARIO, "ash", tables(64, 64)).first(names)
    _, other = Blinding(RUN, SCENARIO, "ash", tables(64, 64)).first(names)
    assert one.count == 64
    assert order != other
    assert sorted(order) == [-1] * 24 + list(range(40)) == sorted(other)
    with pytest.raises(InvalidInput, match="max_rows"):
        Blinding(RUN, SCENARIO, "ash", tables(64, 39)).first(names)


def test_a_dictionary_as_ones_own_set_is_no_longer_than_the_contract_allows() -> None:
    """The coordinator and a holder may ask about people of their choice; so many, and no more."""
    names = [bytes([i]) for i in range(40)]
    long, _ = Blinding(RUN, SCENARIO, "ash", tables()).first(names)
    for pad_to, max_rows in ((0, 39), (64, 64), (39, 39)):
        birch = Blinding(RUN, SCENARIO, "birch", tables(pad_to, max_rows))
        with pytest.raises(VerificationError, match="longer"):
            birch.further(long, long.digest)


def test_duplicates_are_refused_or_collapsed_as_declared() -> None:
    table = Joined("ash", "t", RULE, 10, 0, 2, (100,))
    collapse = dataclasses.replace(RULE, duplicates=Duplicates.COLLAPSE)
    lax = dataclasses.replace(table, rule=collapse)
    with pytest.raises(InvalidInput, match="two rows of one person"):
        people_of(table, ["x", "y", "x"], [0, 1, 0], [[5, 6, 5]])
    found = people_of(lax, ["x", "y", "x"], [0, 1, 0], [[5, 6, 5]])
    assert len(found) == 2
    for groups, numbers in (([0, 1, 1], [5, 6, 5]), ([0, 1, 0], [5, 6, 7])):
        with pytest.raises(InvalidInput, match="do not agree"):
            people_of(lax, ["x", "y", "x"], groups, [numbers])
    with pytest.raises(InvalidInput, match="twice"):
        blinding("ash").first([b"x", b"x"])
    for names, groups, numbers in (
        (["x"], [2], [5]),
        (["x"], [0], [101]),
        (["x"], [0], [-1]),
        ([str(i) for i in range(11)], [0] * 11, [0] * 11),
        (["x"], [0, 0], [5]),
    ):
        with pytest.raises(InvalidInput):
            people_of(table, names, groups, [numbers])


def test_only_whole_sets_of_one_run_are_matched() -> None:
    run = together()
    run.match()
    ends = {name: sets[-1] for name, sets in run.seen.items()}
    assert Matching(ends, HOLDERS).joined == 2
    with pytest.raises(RuleViolation, match="whole way"):
        Matching({**ends, "ash": run.seen["ash"][-2]}, HOLDERS)
    with pytest.raises(RuleViolation, match="all sets"):
        Matching({name: ends[name] for name in HOLDERS[:2]}, HOLDERS)
    with pytest.raises(RuleViolation, match="whole way"):
        Matching({**ends, "ash": ends["birch"]}, HOLDERS)
    with pytest.raises(VerificationError, match="several runs"):
        Matching({**ends, "ash": dataclasses.replace(ends["ash"], run=YESTERDAY)}, HOLDERS)
    twice = dataclasses.replace(ends["ash"], points=ends["ash"].points[:32] * 4)
    with pytest.raises(VerificationError, match="twice"):
        Matching({**ends, "ash": twice}, HOLDERS)


# --- rows -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exchanged() -> Together:
    run = together()
    run.match()
    run.exchange()
    return run


def split(data: bytes) -> list[bytes]:
    width = run_key("birch").public.ciphertext_bytes
    return [data[i : i + width] for i in range(0, len(data), width)]


def test_a_combiner_cannot_tell_joined_rows_by_bytes_symbols_or_size(exchanged: Together) -> None:
    (data,) = exchanged.received[0]
    rows = split(data)
    assert len(rows) == 4 == len(set(rows)), "one for each row of its own, joined or not"
    assert set(rows).isdisjoint(split(exchanged.owned[0])), "none is a ciphertext of the owner"
    n = gmpy2.mpz(run_key("birch").public.modulus)
    numbers = [int.from_bytes(row, "big") for row in rows]
    assert {gmpy2.jacobi(number % n, n) for number in numbers} == {1}
    assert all(number % n != 1 for number in numbers)
    # What is in them, for those who have the key: two people in everybody's table.
    private = run_key("birch")
    opened = private.open_numbers(numbers)
    assert sorted(m & 1023 for m in opened) == [0, 0, 1, 1]


def test_two_combiners_cannot_compare_what_they_got(exchanged: Together) -> None:
    """The same row of the owner, handed over twice, is two ciphertexts."""
    pair = exchanged.plan.pairs[0]
    public = run_key("birch").public
    partners = np.array([0, 0, -1], dtype=np.int64)
    found = split(hand_over(partners, exchanged.owned[0], public, pair))
    found += split(hand_over(partners, exchanged.owned[0], public, pair))
    assert len(set(found)) == 6
    with pytest.raises(InvalidInput, match="no such row"):
        hand_over(np.array([4]), exchanged.owned[0], public, pair)


def test_rows_that_zeros_could_be_told_from_are_refused(exchanged: Together) -> None:
    """Randomness r^n has Jacobi symbol -1 half of the time; the coordinator's zeros never."""
    pair = exchanged.plan.pairs[0]
    public = run_key("birch").public
    n = gmpy2.mpz(public.modulus)
    while True:
        careless = encrypt(public, [1], randomness=Randomness.FULL)
        if gmpy2.jacobi(int.from_bytes(careless, "big") % n, n) == -1:
            break
    with pytest.raises(VerificationError, match="another kind"):
        parse_rows(careless, public, pair, 1)
    square = n * n
    for bad in (0, 1 + 5 * n, int(square), int(gmpy2.mpz(run_key("birch").primes()[0]))):
        with pytest.raises(VerificationError):
            parse_rows(int(bad).to_bytes(public.ciphertext_bytes, "big"), public, pair, 1)
    with pytest.raises(VerificationError, match="bytes"):
        parse_rows(careless * 2, public, pair, 1)


def test_run_keys_are_as_the_scenario_says() -> None:
    public = run_key("birch").public
    assert verify_run_key(public, 2048) == public
    with pytest.raises(VerificationError, match="3072"):
        verify_run_key(public, 3072)


def test_a_planted_row_gives_the_same_messages_whether_it_is_known_or_not() -> None:
    """ash offers one person, to see whether birch knows it."""
    sizes = []
    for name in ("b", "stranger"):
        run = Together(
            small_plan(("ash", "birch")),
            {"ash": people([name], [1]), "birch": people(["b", "c"], [10, 20])},
        )
        run.match()
        run.exchange()
        count, _ = run.compute(everything(run.plan, [0, 1]))
        sizes.append((len(run.received[0][0]), len(run.returned[0]), len(run.shares["birch"])))
        # What it got is a ciphertext; the count is the checker's, and below any minimum.
        assert count == (name == "b")
    assert sizes[0] == sizes[1]


# --- sums -----------------------------------------------------------------------------------------


def test_an_owner_that_keeps_its_key_sees_masks_and_no_sum(exchanged: Together) -> None:
    """What it opens is uniform over 80 bits more than the sum, anew each time."""
    pair = exchanged.plan.pairs[0]
    views = []
    for _ in range(6):
        exchanged.compute(everything(exchanged.plan, [0, 1]))
        views.append(exchanged.opened[0])
        for place, seen in exchanged.opened[0].items():
            bits = pair.slots[0][place[1]].sum_bits
            assert seen - exchanged.masks[0][place] in (2, 50), "2 people, 20 + 30"
            assert seen >> bits, "the mask is far longer than the sum"
    for place in views[0]:
        assert len({view[place] for view in views}) == 6
        bits = pair.slots[0][place[1]].sum_bits + 80
        tops = [view[place] >> (bits - 4) for view in views]
        assert len(set(tops)) > 1, "also in its highest bits (fails once in 10^6)"


def test_what_comes_back_is_no_product_of_the_owners_own_ciphertexts(exchanged: Together) -> None:
    """The owner has the key: it can take plaintexts away and compare what randomness is left.

    With two rows joined there are few subsets; none has the randomness of what came back, not even
    with the ciphertexts that the combiner got.
    """
    exchanged.compute(everything(exchanged.plan, [0, 1]))
    private = run_key("birch")
    n = gmpy2.mpz(private.public.modulus)
    square = n * n

    def randomness(number: int) -> int:
        (m,) = private.open_numbers([number])
        return int(number * gmpy2.powmod(1 + n, -m, square) % square)

    got = [int.from_bytes(row, "big") for row in split(exchanged.received[0][0])]
    target = randomness(int.from_bytes(exchanged.returned[0], "big"))
    everyone = gmpy2.mpz(1)
    for number in got:
        everyone = everyone * number % square
    assert randomness(int(everyone)) != target
    jacobi = set()
    for _ in range(24):
        exchanged.compute(everything(exchanged.plan, [0, 1]))
        jacobi.add(gmpy2.jacobi(int.from_bytes(exchanged.returned[0], "big") % n, n))
    assert jacobi == {1, -1}, "uniform among all n-th residues, not only those of rows"


def test_a_share_alone_is_noise_and_a_missing_one_shows_nothing(exchanged: Together) -> None:
    sums = exchanged.compute(everything(exchanged.plan, [0, 1]))
    assert sums == (2, 50)
    for name in ("ash", "birch"):
        assert all(share >> 8 for share in exchanged.shares[name]), "32 bits of noise"
    assert exchanged.shares["cedar"] == [0, 0]


def test_masks_hide_one_sum_and_chunks_must_fit(exchanged: Together) -> None:
    pair = exchanged.plan.pairs[0]
    combining = Combining(pair, [Combination(0, ONE, 0)], run_key("birch").public)
    with pytest.raises(VerificationError, match="each of its rows"):
        combining.add(exchanged.people["ash"], [0, 1], exchanged.received[0][0])
    combining.finish()
    with pytest.raises(RuleViolation, match="one sum"):
        combining.finish()


def test_bent_answers_are_refused_or_noise(exchanged: Together) -> None:
    exchanged.compute(everything(exchanged.plan, [0, 1]))
    private, pair = run_key("birch"), exchanged.plan.pairs[0]
    products = [Combination(0, ONE, 0)]
    width = private.public.ciphertext_bytes
    for bad in (b"", exchanged.returned[0] * 2, bytes(width), b"\xff" * width):
        with pytest.raises(VerificationError):
            open_masked(private, bad, pair, products)
    huge = encrypt(private.public, [1 << 2000])
    with pytest.raises(VerificationError, match="shape"):
        open_masked(private, huge, pair, products)


def test_in_caveats_a_combiner_that_returns_one_row_is_not_stopped(exchanged: Together) -> None:
    """It lies as any holder can: it puts the right count on top of one row's number.

    Nothing in the sum tells. What it cannot do is choose a row that it knows to be joined: it sends
    a zero or a person, and cannot tell which.
    """
    pair, public = exchanged.plan.pairs[0], run_key("birch").public
    square = gmpy2.mpz(public.modulus) ** 2
    joined = [i for i, row in enumerate(exchanged.orders["ash"]) if row == 2]  # "c"
    single = split(exchanged.received[0][0])[joined[0]]
    lie = Combining(pair, [Combination(0, ONE, 0)], public)
    lie._products = [
        gmpy2.mpz.from_bytes(single, "big")
        * parse_ciphertexts(encrypt(public, [1]), public, 1).numbers[0]
        % square
    ]
    exchanged.returned[0], exchanged.masks[0] = lie.finish()
    exchanged.opened[0] = open_masked(
        run_key("birch"), exchanged.returned[0], pair, [Combination(0, ONE, 0)]
    )
    assert exchanged.add_up(everything(exchanged.plan, [0, 1])) == (2, 20)


def test_nothing_secret_is_shown() -> None:
    run = together()
    matching = run.match()
    shown = " ".join(
        map(repr, (*run.blinding.values(), matching, *run.people.values(), *run.seen["ash"]))
    )
    assert "b'" not in shown.replace(repr(RUN), ""), shown


def test_outsiders_have_no_part() -> None:
    with pytest.raises(PermissionDenied):
        blinding("stranger")
    real, _ = blinding("ash").first([b"a"])
    foreign = BlindedSet(RUN, "stranger", ("stranger",), real.points)
    with pytest.raises(PermissionDenied):
        blinding("birch").further(foreign, foreign.digest)
