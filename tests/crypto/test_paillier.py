"""Paillier: the law D(ΠE(x)) = Σx, both kinds of randomness, keys and ciphertexts refused."""

from __future__ import annotations

import json

import gmpy2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stayput.crypto import paillier
from stayput.crypto.paillier import (
    Accumulator,
    PrivateKey,
    PublicKey,
    decrypt,
    encrypt,
    encrypt_with_full_randomness,
    parse_ciphertexts,
    parse_public_key,
)
from stayput.errors import ConfigurationError, DocumentError, InvalidInput, VerificationError

few = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def open_by_definition(private: PrivateKey, ciphertext: int) -> int:
    """Decryption as Paillier 1999 defines it, in Python integers, without any shortcut."""
    p, q = private.primes()
    n, lam = p * q, (p - 1) * (q - 1)
    return (pow(ciphertext, lam, n * n) - 1) // n * pow(lam, -1, n) % n


def numbers_of(data: bytes, public: PublicKey) -> list[int]:
    width = public.ciphertext_bytes
    return [int.from_bytes(data[i : i + width], "big") for i in range(0, len(data), width)]


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encryption", [encrypt, encrypt_with_full_randomness])
def test_extremes_round_trip(private_key: PrivateKey, encryption) -> None:
    public = private_key.public
    plaintexts = [0, 1, 2**64, public.modulus // 2, public.modulus - 1]
    data = encryption(public, plaintexts)
    assert len(data) == 5 * public.ciphertext_bytes
    assert decrypt(private_key, parse_ciphertexts(data, public, 5)) == plaintexts


@pytest.mark.parametrize("encryption", [encrypt, encrypt_with_full_randomness])
def test_ciphertexts_open_by_the_definition(private_key: PrivateKey, encryption) -> None:
    public = private_key.public
    (number,) = numbers_of(encryption(public, [123456789]), public)
    assert open_by_definition(private_key, number) == 123456789


@few
@given(
    st.lists(
        st.lists(st.integers(0, 2**2040), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_sum_of_parts_opens_to_the_sum(private_key: PrivateKey, parts: list[list[int]]) -> None:
    accumulator = Accumulator(private_key.public, 3)
    for part in parts:
        data = encrypt(private_key.public, part)
        accumulator.add(parse_ciphertexts(data, private_key.public, 3))
    expected = [sum(column) for column in zip(*parts, strict=True)]
    assert decrypt(private_key, accumulator.total()) == expected


def test_sums_are_modulo_n(private_key: PrivateKey) -> None:
    public = private_key.public
    accumulator = Accumulator(public, 1)
    for plaintext in (public.modulus - 3, 5):
        accumulator.add(parse_ciphertexts(encrypt(public, [plaintext]), public, 1))
    assert decrypt(private_key, accumulator.total()) == [2]


def test_the_empty_vector_and_the_empty_sum(private_key: PrivateKey) -> None:
    public = private_key.public
    assert encrypt(public, []) == encrypt_with_full_randomness(public, []) == b""
    assert decrypt(private_key, parse_ciphertexts(b"", public, 0)) == []
    assert decrypt(private_key, Accumulator(public, 2).total()) == [0, 0]


def test_bytes_are_stable_over_parsing(private_key: PrivateKey) -> None:
    data = encrypt(private_key.public, [1, 2, 3])
    assert parse_ciphertexts(data, private_key.public, 3).to_bytes() == data


# --- randomness -----------------------------------------------------------------------------------


def test_equal_plaintexts_never_encrypt_alike(private_key: PrivateKey) -> None:
    data = encrypt(private_key.public, [7] * 50)
    assert len(set(numbers_of(data, private_key.public))) == 50


def test_randomness_is_an_nth_residue_and_a_power_of_the_base(private_key: PrivateKey) -> None:
    """ρ = c/(1+mn) is an n-th residue, so ρ^λ = 1 modulo n²; and so is the public base."""
    public = private_key.public
    n, square = public.modulus, public.modulus**2
    p, q = private_key.primes()
    for number in numbers_of(encrypt(public, [5, 6]), public):
        assert int(gmpy2.powmod(paillier.residue_base(public), (p - 1) * (q - 1), square)) == 1
        rho = number * pow(1 + n * open_by_definition(private_key, number), -1, square) % square
        assert int(gmpy2.powmod(rho, (p - 1) * (q - 1), square)) == 1
        assert rho != 1


def test_base_generates_the_large_subgroup(private_key: PrivateKey) -> None:
    """h = -x² has Jacobi symbol 1, is no square, and its order is divisible by p'·q' (DJN §4.2)."""
    public = private_key.public
    n = public.modulus
    p, q = private_key.primes()
    base = paillier.residue_base(public)
    # h_s = h^n modulo n², so modulo p it is h^n; n is odd and prime to p - 1: same characters
    assert gmpy2.legendre(base, p) == gmpy2.legendre(base, q) == -1
    for quotient in (2, p - 1, q - 1):
        assert gmpy2.powmod(base, quotient, n) != 1
    assert gmpy2.powmod(base, (p - 1) * (q - 1) // 2, n) == 1


def test_plaintexts_out_of_range_are_refused(private_key: PrivateKey) -> None:
    public = private_key.public
    for plaintext in (-1, public.modulus, public.modulus + 1):
        for encryption in (encrypt, encrypt_with_full_randomness):
            with pytest.raises(InvalidInput):
                encryption(public, [0, plaintext])


# --- ciphertexts that are none --------------------------------------------------------------------


def test_invalid_ciphertexts_are_refused(private_key: PrivateKey) -> None:
    public = private_key.public
    n, (p, q) = public.modulus, private_key.primes()
    good = numbers_of(encrypt(public, [1, 2]), public)
    bad = [0, n, 2 * n, n * n, n * n + 1, p, q, 5 * p, p * p, n * n - q]
    bad.append((1 << (8 * public.ciphertext_bytes)) - 1)
    for number in bad:
        for place in range(3):
            numbers = [*good[:place], number, *good[place:]]
            data = b"".join(c.to_bytes(public.ciphertext_bytes, "big") for c in numbers)
            with pytest.raises(VerificationError):
                parse_ciphertexts(data, public, 3)


def test_each_kind_of_invalid_ciphertext_has_its_own_error(private_key: PrivateKey) -> None:
    public = private_key.public
    n, (p, q) = public.modulus, private_key.primes()
    refused = {
        "out of range": [0, n * n, n * n + 1],
        "common factor": [n, p, 3 * q, n * n - n, n * n - p],
        "without randomness": [1, n + 1, 1 + 12345 * n, 1 + (n - 1) * n],
    }
    for reason, numbers in refused.items():
        for number in numbers:
            with pytest.raises(VerificationError, match=reason):
                parse_ciphertexts(number.to_bytes(public.ciphertext_bytes, "big"), public, 1)


def test_another_length_is_refused(private_key: PrivateKey) -> None:
    public = private_key.public
    data = encrypt(public, [1, 2])
    for altered in (data[:-1], data + b"\0", b"\0" + data, data[: len(data) // 2], b""):
        with pytest.raises(VerificationError, match="bytes"):
            parse_ciphertexts(altered, public, 2)


def test_vectors_under_another_key_are_refused(
    private_key: PrivateKey, other_private_key: PrivateKey
) -> None:
    vector = parse_ciphertexts(encrypt(private_key.public, [1]), private_key.public, 1)
    with pytest.raises(VerificationError, match="another key"):
        decrypt(other_private_key, vector)
    with pytest.raises(VerificationError):
        Accumulator(other_private_key.public, 1).add(vector)
    with pytest.raises(VerificationError):
        Accumulator(private_key.public, 2).add(vector)


# --- keys -----------------------------------------------------------------------------------------


def test_generated_key_has_the_length_asked_and_safe_primes(private_key: PrivateKey) -> None:
    assert private_key.public.bits == 2048
    for prime in private_key.primes():
        assert prime.bit_length() == 1024
        assert gmpy2.is_prime(prime)
        assert gmpy2.is_prime(prime // 2)


@pytest.mark.parametrize("bits", [0, 512, 1024, 2046, 2049, 4098])
def test_other_lengths_are_not_generated(bits: int) -> None:
    with pytest.raises(InvalidInput):
        PrivateKey.generate(bits)


def test_keys_survive_their_bytes(private_key: PrivateKey) -> None:
    public = private_key.public
    assert parse_public_key(public.to_bytes()) == public
    again = PrivateKey.from_bytes(private_key.to_bytes())
    assert again.public == public
    assert again.primes() == private_key.primes()
    data = encrypt(public, [42])
    assert decrypt(again, parse_ciphertexts(data, public, 1)) == [42]


def test_key_ids_tell_keys_apart(private_key: PrivateKey, other_private_key: PrivateKey) -> None:
    assert len(private_key.public.key_id) == 32
    assert private_key.public.key_id != other_private_key.public.key_id


def test_reprs_show_no_secret(private_key: PrivateKey) -> None:
    vector = parse_ciphertexts(encrypt(private_key.public, [1]), private_key.public, 1)
    shown = repr(private_key) + repr(private_key.public) + repr(vector)
    assert len(shown) < 300
    for prime in private_key.primes():
        assert str(prime)[:12] not in shown
        assert f"{prime:x}"[:12] not in shown


def composite(bits: int, *primes: int) -> int:
    """A number of that length: the primes given times one more prime."""
    product = 1
    for prime in primes:
        product *= prime
    return product * int(gmpy2.next_prime(3 << (bits - product.bit_length() - 1)))


def test_bad_moduli_are_refused(private_key: PrivateKey) -> None:
    n = private_key.public.modulus
    p, q = private_key.primes()
    bad = {
        "bits": [0, 1, -n, p, n >> 1, 1 << 2047 >> 1, n**3, 1 << 4096],
        "even": [1 << 2047, n + 1, 2 * p * (q >> 1)],
        "small factor": [composite(2048, 3), composite(2048, 65_537), composite(2048, 262_139)],
        "power": [p * p, (p >> 1 | 1) ** 3, n * n],
        "prime": [int(gmpy2.next_prime(1 << 2047)), int(gmpy2.next_prime(3 << 2046))],
    }
    for reason, moduli in bad.items():
        for modulus in moduli:
            with pytest.raises(VerificationError, match=reason):
                PublicKey(modulus)
    assert q != p


@pytest.mark.parametrize("data", [b"", b"\0", b"\1", bytes(256), b"\xff" * 513])
def test_malformed_public_keys_are_refused(data: bytes) -> None:
    with pytest.raises((DocumentError, VerificationError)):
        parse_public_key(data)


def test_leading_zeros_of_a_public_key_are_refused(private_key: PrivateKey) -> None:
    with pytest.raises(DocumentError):
        parse_public_key(b"\0" + private_key.public.to_bytes())


def test_primes_that_are_not_safe_or_not_two_are_refused(private_key: PrivateKey) -> None:
    p, q = private_key.primes()
    unsafe = int(gmpy2.next_prime(p))
    while paillier.is_safe_prime(unsafe):
        unsafe = int(gmpy2.next_prime(unsafe))
    for pair in ((p, p), (p, unsafe), (unsafe, q), (p, 3), (0, 0), (p, 1), (p * q, 1)):
        with pytest.raises(VerificationError):
            PrivateKey(*pair)


def test_damaged_key_files_are_refused_without_quoting_them(private_key: PrivateKey) -> None:
    data = private_key.to_bytes()
    value = json.loads(data)
    swapped = json.dumps(value | {"q": value["p"]}, sort_keys=True, separators=(",", ":")).encode()
    renamed = data.replace(b"PaillierPrivateKey", b"PaillierPublicKey")
    for bad in (b"", data[:-1], data + b"\n", swapped, renamed, data.replace(b'"p":"', b'"p":"A')):
        with pytest.raises(ConfigurationError) as caught:
            PrivateKey.from_bytes(bad)
        assert value["p"][:8] not in str(caught.value) + caught.value.hint
        assert caught.value.__suppress_context__
