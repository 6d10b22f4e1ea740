"""An independent implementation reads our keys and ciphertexts, and we read its."""

from __future__ import annotations

import pytest
from phe import paillier as phe

from stayput.crypto import phe_interop
from stayput.crypto.paillier import (
    Accumulator,
    PrivateKey,
    decrypt,
    encrypt,
    encrypt_with_full_randomness,
    parse_ciphertexts,
)
from stayput.errors import VerificationError

VALUES = [0, 1, -1, 2**64, -(2**64), 10**100, -(10**100)]


@pytest.mark.parametrize("encryption", [encrypt, encrypt_with_full_randomness])
def test_phe_opens_ours(private_key: PrivateKey, encryption) -> None:
    public = private_key.public
    data = encryption(public, [value % public.modulus for value in VALUES])
    vector = parse_ciphertexts(data, public, len(VALUES))
    theirs = phe_interop.private_to_phe(private_key)
    numbers = phe_interop.numbers_to_phe(vector)
    assert [theirs.decrypt(number) for number in numbers] == VALUES


def test_we_open_phe(private_key: PrivateKey) -> None:
    theirs = phe_interop.public_to_phe(private_key.public)
    numbers = [theirs.encrypt(value) for value in VALUES]
    vector = phe_interop.numbers_from_phe(private_key.public, numbers)
    n = private_key.public.modulus
    opened = [m - n if m > n // 2 else m for m in decrypt(private_key, vector)]
    assert opened == VALUES


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
