"""Choices of randomness, known answers, subgroup keys, and the memory of tables.

The known answers come from :func:`reference`, a few lines of Python integers that share no code
with the engine, over the two published 2048-bit safe primes of RFC 3526 §3 and RFC 7919 §A.1,
which are computed from π and e as those documents define them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math

import gmpy2
import numpy as np
import pytest
from phe import paillier as phe

from stayput.crypto import paillier, phe_interop, randomness
from stayput.crypto.kernel import FixedBase
from stayput.crypto.paillier import (
    PrivateKey,
    PublicKey,
    Randomness,
    decrypt,
    encrypt,
    parse_ciphertexts,
    parse_public_key,
    verify_residue_base,
)
from stayput.errors import ConfigurationError, DocumentError, InvalidInput, VerificationError


@pytest.fixture(scope="session")
def subgroup_key() -> PrivateKey:
    return PrivateKey.generate_subgroup(2048)


def numbers_of(data: bytes, public: PublicKey) -> list[int]:
    width = public.ciphertext_bytes
    return [int.from_bytes(data[i : i + width], "big") for i in range(0, len(data), width)]


# --- known answers --------------------------------------------------------------------------------


def published_primes() -> tuple[int, int]:
    with gmpy2.context(precision=4096):
        pi, e = gmpy2.const_pi(), gmpy2.exp(gmpy2.mpfr(1))
        floors = [int(gmpy2.floor(x * gmpy2.mpfr(2) ** 1918)) for x in (pi, e)]
    p, q = (
        2**2048 - 2**1984 - 1 + 2**64 * (floor + salt)
        for floor, salt in zip(floors, (124476, 560316), strict=True)
    )
    return p, q


def reference(n: int, m: int, a: int) -> tuple[int, int]:
    """h_s and the ciphertext of m with exponent a, as the documents define them."""
    data = b"stayput.v1 paillier randomness base" + n.to_bytes(512, "big")
    x = int.from_bytes(hashlib.shake_256(data).digest(528), "big") % n
    h_s = pow(-x * x, n, n * n)
    return h_s, pow(n + 1, m, n * n) * pow(h_s, a, n * n) % (n * n)


def test_published_primes_are_what_the_documents_print() -> None:
    p, q = published_primes()
    assert f"{p:X}".startswith("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD1")
    assert f"{p:X}".endswith("15728E5A8AACAA68FFFFFFFFFFFFFFFF")
    assert f"{q:X}".startswith("FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1")
    assert f"{q:X}".endswith("886B423861285C97FFFFFFFFFFFFFFFF")


def test_known_answers() -> None:
    p, q = published_primes()
    private = PrivateKey(p, q)
    n = private.public.modulus
    base = paillier.residue_base(private.public)
    known = []
    for m, a in ((0, 1), (1, 2**384 - 1), (n - 1, 3**200), (2**64 + 1, 5**100)):
        h_s, expected = reference(n, m, a)
        assert base == h_s
        for window in (1, 6):
            powers = FixedBase(n, base, 384, window)
            digits = [a >> (window * i) & (1 << window) - 1 for i in range(384 // window)]
            assert powers.encrypt(m, digits) == expected
        vector = parse_ciphertexts(expected.to_bytes(1024, "big"), private.public, 1)
        assert decrypt(private, vector) == decrypt(private, vector, blinded=True) == [m]
        known.append(hashlib.sha256(expected.to_bytes(1024, "big")).hexdigest()[:16])
    assert known == KNOWN


KNOWN = ["9c1d9f79448c8ed4", "bd1b6bd0a63dbcd9", "90c05df11feae884", "cde466d64e583bea"]
"""First half of each ciphertext's SHA-256 in hex, as :func:`reference` gives them."""


# --- choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [c for c in Randomness if c is not Randomness.SUBGROUP])
def test_every_choice_opens_and_is_an_nth_residue(
    private_key: PrivateKey, choice: Randomness
) -> None:
    public = private_key.public
    n, (p, q) = public.modulus, private_key.primes()
    data = encrypt(public, [0, 7, n - 1], randomness=choice)
    assert decrypt(private_key, parse_ciphertexts(data, public, 3)) == [0, 7, n - 1]
    rho = numbers_of(data, public)[0]
    assert rho != 1
    assert int(gmpy2.powmod(rho, (p - 1) * (q - 1), n * n)) == 1


def test_exponents_have_the_length_that_was_chosen() -> None:
    lengths = {c: c.exponent_bits(3072) for c in Randomness if c is not Randomness.FULL}
    assert lengths == {
        Randomness.SHORT_384: 384,
        Randomness.SHORT_256: 256,
        Randomness.HALF: 1536,
        Randomness.SUBGROUP: 640,
    }
    with pytest.raises(ValueError, match="no short exponent"):
        Randomness.FULL.exponent_bits(3072)


def test_default_is_384_bits(private_key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = paillier.powers_of

    def spy(modulus: int, base: int, bits: int, count: int, **more: int) -> FixedBase:
        asked.append(bits)
        return original(modulus, base, bits, count, **more)

    monkeypatch.setattr(paillier, "powers_of", spy)
    encrypt(private_key.public, [1])
    assert asked == [384]


def test_equal_plaintexts_give_unrelated_ciphertexts(private_key: PrivateKey) -> None:
    """Bits of ciphertexts of one plaintext are balanced, differ in half of their places, and no
    quotient or difference of two comes twice."""
    public = private_key.public
    square = public.modulus**2
    numbers = numbers_of(encrypt(public, [7] * 300), public)
    bits = np.unpackbits(
        np.array([list((u & (1 << 4000) - 1).to_bytes(500, "big")) for u in numbers], np.uint8),
        axis=1,
    ).astype(np.int64)
    assert abs(bits.mean() - 0.5) < 0.004  # nine standard deviations
    assert abs(bits.mean(axis=0) - 0.5).max() < 0.2
    distances = np.abs(bits[1:] - bits[:-1]).sum(axis=1)
    assert abs(distances - 2000).max() < 32 * 8
    quotients = {u * pow(v, -1, square) % square for u, v in itertools.pairwise(numbers)}
    differences = {abs(u - v) for u, v in itertools.pairwise(numbers)}
    assert len(quotients) == len(differences) == 299


def test_wrong_base_is_refused(private_key: PrivateKey) -> None:
    public = private_key.public
    base = paillier.residue_base(public)
    assert verify_residue_base(public, base) == base
    for wrong in (0, 1, base + 1, public.modulus**2 - base, base**2 % public.modulus**2):
        with pytest.raises(VerificationError, match="follow"):
            verify_residue_base(public, wrong)


# --- tables ---------------------------------------------------------------------------------------


@pytest.fixture
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness, "_tables", type(randomness._tables)())
    monkeypatch.setattr(randomness, "_used", {})


@pytest.mark.usefixtures("no_tables")
def test_small_vectors_build_small_tables_that_grow_with_use(private_key: PrivateKey) -> None:
    public = private_key.public
    base = paillier.residue_base(public)
    windows = [randomness.powers_of(public.modulus, base, 64, 20).window for _ in range(20)]
    assert windows == sorted(windows)
    assert windows[0] < windows[-1]
    # what is there is kept for less work
    assert randomness.powers_of(public.modulus, base, 64, 1).window == windows[-1]


@pytest.mark.usefixtures("no_tables")
def test_tables_stay_within_their_memory(
    private_key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(randomness, "MAX_TABLE_BYTES", 1 << 18)
    monkeypatch.setattr(randomness, "MAX_CACHE_BYTES", 3 << 17)
    public = private_key.public
    for base in range(2, 7):
        randomness.powers_of(public.modulus, base, 64, 10**6)
        assert 0 < randomness.cached_bytes() <= 3 << 17
    assert (public.modulus, 6, 64) in randomness._tables
    assert (public.modulus, 2, 64) not in randomness._tables


# --- subgroup keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("blinded", [False, True])
def test_subgroup_key_opens_sums(subgroup_key: PrivateKey, blinded: bool) -> None:
    public = subgroup_key.public
    plaintexts = [0, 1, public.modulus - 1, 2**2000]
    accumulator = paillier.Accumulator(public, 4)
    for _ in range(2):
        accumulator.add(parse_ciphertexts(encrypt(public, plaintexts), public, 4))
    opened = decrypt(subgroup_key, accumulator.total(), blinded=blinded)
    assert opened == [2 * m % public.modulus for m in plaintexts]


def test_subgroup_base_has_the_order_that_decrypts(subgroup_key: PrivateKey) -> None:
    n, h = subgroup_key.public.modulus, subgroup_key.public.subgroup
    a_p, a_q = subgroup_key._orders
    assert h is not None
    assert gmpy2.powmod(h, a_p * a_q, n) == 1
    assert gmpy2.powmod(h, a_p, n) != 1 != gmpy2.powmod(h, a_q, n)
    assert a_p.bit_length() == a_q.bit_length() == 256
    for prime, order in zip(subgroup_key.primes(), (a_p, a_q), strict=True):
        assert all(map(gmpy2.is_prime, (prime, order, (prime - 1) // (2 * order))))


def test_subgroup_key_opens_what_phe_made(subgroup_key: PrivateKey) -> None:
    theirs = phe.PaillierPublicKey(subgroup_key.public.modulus).encrypt(-42)
    vector = phe_interop.numbers_from_phe(subgroup_key.public, [theirs])
    assert decrypt(subgroup_key, vector) == [subgroup_key.public.modulus - 42]


def test_kinds_of_keys_do_not_mix(subgroup_key: PrivateKey, private_key: PrivateKey) -> None:
    for choice in set(Randomness) - {Randomness.SUBGROUP}:
        with pytest.raises(InvalidInput, match="subgroup"):
            encrypt(subgroup_key.public, [1], randomness=choice)
    with pytest.raises(InvalidInput, match="subgroup"):
        encrypt(private_key.public, [1], randomness=Randomness.SUBGROUP)
    plain = PublicKey(subgroup_key.public.modulus)
    assert plain.key_id != subgroup_key.public.key_id
    (p, q), (r, _) = subgroup_key.primes(), private_key.primes()
    a_p, a_q = subgroup_key._orders
    for arguments in (
        (p, q),
        (p, r),
        (p, q, (a_q, a_p)),
        (p, q, (a_p, a_p)),
        (r, q, ((r - 1) // 2, a_q)),
        (p, q, ((p - 1) // 2, a_q)),
    ):
        with pytest.raises(VerificationError):
            PrivateKey(*arguments)


def test_subgroup_keys_survive_their_bytes_and_files_say_what_they_are(
    subgroup_key: PrivateKey, private_key: PrivateKey
) -> None:
    public = parse_public_key(subgroup_key.public.to_bytes())
    assert public == subgroup_key.public
    data = subgroup_key.to_bytes()
    assert json.loads(data)["type"] == "stayput.v1.PaillierSubgroupKey"
    assert json.loads(private_key.to_bytes())["type"] == "stayput.v1.PaillierPrivateKey"
    again = PrivateKey.from_bytes(data)
    assert again.public == public
    assert again.primes() == subgroup_key.primes()
    swapped = data.replace(b"PaillierSubgroupKey", b"PaillierPrivateKey")
    with pytest.raises(ConfigurationError):
        PrivateKey.from_bytes(swapped)
    assert "subgroup" in repr(public)
    assert str(subgroup_key._orders[0])[:12] not in repr(subgroup_key)


def test_bad_subgroup_bases_are_refused(subgroup_key: PrivateKey) -> None:
    n, (p, _) = subgroup_key.public.modulus, subgroup_key.primes()
    no_square = next(x for x in range(2, 100) if gmpy2.jacobi(x, n) == -1)
    for base in (0, 1, n - 1, n, n + 2, p, n - p, p + 1, no_square):
        with pytest.raises(VerificationError, match="base"):
            PublicKey(n, base)
    data = subgroup_key.public.to_bytes()
    for bad in (data[:-1], data + b"\0", b"\1" + data[1:], data[:257], b"\0" + data):
        with pytest.raises((DocumentError, VerificationError)):
            parse_public_key(bad)


# --- locked key files -----------------------------------------------------------------------------


def test_locked_keys_open_with_their_passphrase_only(private_key: PrivateKey) -> None:
    data = private_key.to_bytes("correct horse")
    assert data.startswith(b"stayput key locked")
    assert b'"p"' not in data
    assert PrivateKey.from_bytes(data, "correct horse").public == private_key.public
    altered = bytearray(data)
    altered[-20] ^= 1
    for bad, passphrase in ((data, "wrong"), (bytes(altered), "correct horse"), (data, None)):
        with pytest.raises(ConfigurationError):
            PrivateKey.from_bytes(bad, passphrase)
    for bad in (b"", data[:30], private_key.to_bytes()):
        with pytest.raises(ConfigurationError):
            PrivateKey.from_bytes(bad, "correct horse")
    assert private_key.to_bytes("x") != private_key.to_bytes("x")
    with pytest.raises(InvalidInput, match="empty"):
        private_key.to_bytes("")


def test_generated_subgroup_keys_have_the_length_asked() -> None:
    with pytest.raises(InvalidInput):
        PrivateKey.generate_subgroup(1024)
    assert math.log2(randomness.MAX_TABLE_BYTES) == 26
