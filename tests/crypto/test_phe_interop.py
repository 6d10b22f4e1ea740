"""An independent implementation reads our keys and ciphertexts, and we read its."""

from __future__ import annotations

import pytest
from phe import paillier as phe

from stayput.crypto import phe_interop
from stayput.crypto.paillier import (
    Accumulator,
    PrivateKey,
    Randomness,
    decrypt,
    encrypt,
    parse_ciphertexts,
)
from stayput.crypto.products import signed
from stayput.errors import VerificationError


@pytest.fixture(scope="module", params=["ordinary", "subgroup"])
def key(request: pytest.FixtureRequest, private_key: PrivateKey) -> PrivateKey:
    return private_key if request.param == "ordinary" else PrivateKey.generate_subgroup(2048)


def values_for(key: PrivateKey) -> list[int]:
    """Both signs, up to the largest that ``phe`` takes for numbers."""
    largest = phe_interop.public_to_phe(key.public).max_int
    return [0, 1, -1, 2**64, -(2**64), 10**100, -(10**100), largest, -largest]


def choices_of(key: PrivateKey) -> list[Randomness]:
    ordinary = [choice for choice in Randomness if choice is not Randomness.SUBGROUP]
    return ordinary if key.public.subgroup is None else [Randomness.SUBGROUP]


def test_phe_opens_ours(key: PrivateKey) -> None:
    public, values = key.public, values_for(key)
    theirs = phe_interop.private_to_phe(key)
    for choice in choices_of(key):
        data = encrypt(public, [value % public.modulus for value in values], randomness=choice)
        numbers = phe_interop.numbers_to_phe(parse_ciphertexts(data, public, len(values)))
        assert [theirs.decrypt(number) for number in numbers] == values


def test_we_open_phe(key: PrivateKey) -> None:
    theirs, values = phe_interop.public_to_phe(key.public), values_for(key)
    numbers = [theirs.encrypt(value) for value in values]
    vector = phe_interop.numbers_from_phe(key.public, numbers)
    assert signed(decrypt(key, vector), key.public) == values


def test_phe_continues_what_we_began(private_key: PrivateKey) -> None:
    """Its sums, products and negations of our ciphertexts are what they would be of its own."""
    public, values = private_key.public, [5, -(2**70)]
    data = encrypt(public, [value % public.modulus for value in values])
    one, other = phe_interop.numbers_to_phe(parse_ciphertexts(data, public, 2))
    mixed = phe_interop.numbers_from_phe(public, [one + other, one * -3, other - one, one + 2**40])
    assert signed(decrypt(private_key, mixed), public) == [
        5 - 2**70, -15, -(2**70) - 5, 5 + 2**40,
    ]  # fmt: skip


def test_parts_of_both_add_up(private_key: PrivateKey) -> None:
    public = private_key.public
    accumulator = Accumulator(public, 1)
    accumulator.add(parse_ciphertexts(encrypt(public, [20]), public, 1))
    theirs = phe_interop.public_to_phe(public).encrypt(22)
    accumulator.add(phe_interop.numbers_from_phe(public, [theirs]))
    assert decrypt(private_key, accumulator.total()) == [42]
    ours, key = phe_interop.numbers_to_phe(accumulator.total()), private_key
    assert phe_interop.private_to_phe(key).decrypt(ours[0] + 8) == 50


def test_keys_come_back(private_key: PrivateKey) -> None:
    theirs = phe_interop.private_to_phe(private_key)
    again = phe_interop.private_from_phe(theirs)
    assert sorted(again.primes()) == sorted(private_key.primes())
    assert phe_interop.public_from_phe(theirs.public_key) == private_key.public


def test_public_key_that_phe_generated_takes_our_ciphertexts() -> None:
    public, private = phe.generate_paillier_keypair(n_length=2048)
    ours = phe_interop.public_from_phe(public)
    vector = parse_ciphertexts(encrypt(ours, [77]), ours, 1)
    assert private.decrypt(phe_interop.numbers_to_phe(vector)[0]) == 77
    # ... but its primes are not safe, so it does not become a key of ours
    with pytest.raises(VerificationError, match="safe"):
        phe_interop.private_from_phe(private)


def test_small_phe_keys_are_refused() -> None:
    public, private = phe.generate_paillier_keypair(n_length=1024)
    with pytest.raises(VerificationError, match="bits"):
        phe_interop.public_from_phe(public)
    with pytest.raises(VerificationError, match="bits"):
        phe_interop.private_from_phe(private)


def test_floats_and_other_keys_are_refused(
    private_key: PrivateKey, other_private_key: PrivateKey
) -> None:
    theirs = phe_interop.public_to_phe(private_key.public)
    with pytest.raises(VerificationError):
        phe_interop.numbers_from_phe(private_key.public, [theirs.encrypt(0.5)])
    with pytest.raises(VerificationError):
        phe_interop.numbers_from_phe(other_private_key.public, [theirs.encrypt(1)])
