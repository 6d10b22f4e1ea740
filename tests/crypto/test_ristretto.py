"""The group: vectors of the RFCs, laws, and everything that is no point."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stayput.crypto.ristretto import (
    ORDER,
    Exponent,
    hash_to_points,
    parse_points,
    raise_points,
    random_order,
    random_points,
)
from stayput.errors import VerificationError

TAG = b"stayput/v1/tests"

RFC_9497_TAG = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
RFC_9497 = (  # appendix A.1.1: input, blind, blinded element
    (
        "00",
        "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
        "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c",
    ),
    (
        "5a" * 17,
        "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
        "da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418",
    ),
)

RFC_9496_INVALID = (  # appendix A.3: not canonical, negative, no square, and more
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


@pytest.mark.parametrize(("message", "blind", "element"), RFC_9497)
def test_blinding_is_that_of_rfc_9497(message: str, blind: str, element: str) -> None:
    exponent = Exponent.from_bytes(bytes.fromhex(blind))
    (point,) = hash_to_points([bytes.fromhex(message)], RFC_9497_TAG, exponent)
    assert point.hex() == element


@pytest.mark.parametrize("encoding", RFC_9496_INVALID)
def test_what_is_no_element_is_refused(encoding: str) -> None:
    (good,) = random_points(1)
    with pytest.raises(VerificationError, match="no element"):
        parse_points(good + bytes.fromhex(encoding), 2)


def test_identity_doubles_and_wrong_lengths_are_refused() -> None:
    one, other = random_points(2)
    assert parse_points(one + other, 2) == [one, other]
    for data, match in (
        (one + bytes(32), "no element"),
        (one + one, "twice"),
        (one + one[:-1] + bytes([one[-1] | 0x80]), "no element"),  # the same, in another encoding
        (one + other[:-1], "bytes"),
        (one, "bytes"),
        (one + other + one, "bytes"),
    ):
        with pytest.raises(VerificationError, match=match):
            parse_points(data, 2)


def test_raising_commutes_and_can_be_taken_back() -> None:
    a, b, c = (Exponent.draw() for _ in range(3))
    points = random_points(3)
    ab = raise_points(raise_points(points, a), b)
    assert raise_points(raise_points(points, b), a) == ab
    assert len({*points, *ab}) == 6
    # b instead of c at last, as owners do it
    assert raise_points(raise_points(points, c), b.divided_by(c)) == raise_points(points, b)
    with ThreadPoolExecutor(2) as workers:
        many = random_points(300)
        assert raise_points(many, a, workers) == raise_points(many, a)


def test_tags_separate() -> None:
    a = Exponent.draw()
    assert hash_to_points([b"x"], TAG, a) != hash_to_points([b"x"], TAG + b"!", a)
    with pytest.raises(ValueError, match="tag"):
        hash_to_points([b"x"], b"short", a)


def test_exponents_are_units_and_not_shown() -> None:
    for number in (0, ORDER, -1, 2**256):
        with pytest.raises(ValueError, match="exponent"):
            Exponent(number)
    drawn = Exponent.draw()
    assert Exponent.from_bytes(drawn.to_bytes()).to_bytes() == drawn.to_bytes()
    assert repr(drawn) == "Exponent()"


def test_orders_are_permutations() -> None:
    assert sorted(random_order(100)) == list(range(100)) != random_order(100)


def test_the_library_leaves_no_file_behind() -> None:
    random_points(1)  # loads it, if no other test has
    maps = Path("/proc/self/maps").read_text(encoding="ascii")
    loaded = {line.split(maxsplit=5)[5] for line in maps.splitlines() if line.endswith("deleted)")}
    assert any(name.endswith(".so (deleted)") for name in loaded), os.environ.get("TMPDIR")
