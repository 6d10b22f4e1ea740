"""Scalar products, re-randomising, and proofs of knowledge: laws and attacks."""

from __future__ import annotations

import secrets
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stayput.crypto import cores, products, proofs
from stayput.crypto.packing import WIDTHS, layout_for, pack, residues_from, unpack, values_from
from stayput.crypto.paillier import (
    Accumulator,
    CiphertextVector,
    PrivateKey,
    Randomness,
    decrypt,
    encrypt,
    parse_ciphertexts,
    vector_of,
)
from stayput.crypto.products import ResiduePool, scalar_products, scale, signed
from stayput.crypto.proofs import encrypt_with_proof, verify_proof
from stayput.errors import InvalidInput, NotYet, VerificationError

few = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
scalars = st.integers(-(2**40), 2**40) | st.sampled_from([0, 1, -1])


def encrypted(private: PrivateKey, values: list[int]) -> CiphertextVector:
    public = private.public
    data = encrypt(public, [value % public.modulus for value in values])
    return parse_ciphertexts(data, public, len(values))


def opened(private: PrivateKey, vector: CiphertextVector) -> list[int]:
    return signed(decrypt(private, vector), private.public)


# --- scalar products ------------------------------------------------------------------------------


@few
@given(st.lists(st.tuples(scalars, scalars, scalars), min_size=1, max_size=6))
def test_scalar_products_are_scalar_products(
    private_key: PrivateKey, triples: list[tuple[int, int, int]]
) -> None:
    ys, *rows = (list(column) for column in zip(*triples, strict=True))
    vector = encrypted(private_key, ys)
    expected = [sum(x * y for x, y in zip(row, ys, strict=True)) for row in rows]
    assert opened(private_key, scalar_products(vector, rows)) == expected
    slots = [x * y for x, y in zip(rows[0], ys, strict=True)]
    assert opened(private_key, scale(vector, rows[0])) == slots


def test_scalars_come_as_arrays(private_key: PrivateKey) -> None:
    vector = encrypted(private_key, [5, -7])
    xs = np.array([3, -2], dtype=np.int64)
    assert opened(private_key, scalar_products(vector, [xs])) == [29]
    assert opened(private_key, scale(vector, xs)) == [15, 14]


@pytest.mark.parametrize("bad", [[1], [1, 2, 3], [1.0, 2], [True, 2], [1, 2**128], [1, -(2**128)]])
def test_bad_scalars_are_refused(private_key: PrivateKey, bad: list[int]) -> None:
    vector = encrypted(private_key, [5, -7])
    with pytest.raises(InvalidInput):
        scale(vector, bad)
    with pytest.raises(InvalidInput):
        scalar_products(vector, [bad])


@pytest.mark.parametrize("contributors", [1, 2, 255, 256, 65_535, 65_536])
def test_many_equal_contributors(private_key: PrivateKey, contributors: int) -> None:
    """A part taken k times is what k contributors of equal values make."""
    values = [0, 1, 2**1900]
    total = scale(encrypted(private_key, values), [contributors] * 3)
    assert decrypt(private_key, total) == [contributors * value for value in values]


@few
@given(
    st.sampled_from(WIDTHS),
    st.integers(1, 65_536) | st.sampled_from([1, 2, 255, 256, 257, 512, 65_535, 65_536]),
    st.data(),
)
def test_sums_of_up_to_65536_masked_contributors(
    private_key: PrivateKey, width: int, contributors: int, data: st.DataObject
) -> None:
    """All but one give x + r, and that one y minus all their r.

    A vector taken k times is what k contributors make of it, so this costs two encryptions.  In the
    first slot r = -1: with x = 0 it is full for all, which is the worst that guard bits must hold.
    """
    public, modulus, others = private_key.public, 1 << width, contributors - 1
    bound = ((1 << (width - 1)) - 1) // contributors
    value = st.sampled_from([0, 1, -1, bound, -bound]) | st.integers(-bound, bound)
    vector = st.lists(value, min_size=29, max_size=29)  # two plaintexts, or more
    xs, ys = [0, *data.draw(vector)], [bound, *data.draw(vector)]
    layout = layout_for(public.plaintext_bits, width, contributors, 30)
    rs = [-1, *(secrets.randbelow(modulus) for _ in xs[1:])]
    accumulator = Accumulator(public, layout.ciphertexts)
    for values, factor, times in ((xs, 1, others), (ys, -others, 1)):
        residues = [(v + factor * r) % modulus for v, r in zip(values, rs, strict=True)]
        masked = [v - modulus if v >= modulus // 2 else v for v in residues]
        packed = pack(residues_from(masked, layout), layout)
        part = parse_ciphertexts(encrypt(public, packed), public, layout.ciphertexts)
        accumulator.add(scale(part, [times] * layout.ciphertexts))
    opened = values_from(unpack(decrypt(private_key, accumulator.total()), layout), layout)
    assert opened == [others * x + y for x, y in zip(xs, ys, strict=True)]


# --- re-randomising -------------------------------------------------------------------------------


@few
@given(st.lists(st.integers(0, 2**2000), min_size=1, max_size=4))
def test_rerandomising_changes_every_ciphertext_and_no_plaintext(
    private_key: PrivateKey, values: list[int]
) -> None:
    vector = encrypted(private_key, values)
    pool = ResiduePool(private_key.public)
    pool.fill(2 * len(values))
    once, twice = pool.rerandomise(vector), pool.rerandomise(vector)
    assert len(pool) == 0
    for a, b, c in zip(vector.numbers, once.numbers, twice.numbers, strict=True):
        assert len({a, b, c}) == 3
    assert decrypt(private_key, once) == decrypt(private_key, twice) == values


def test_pool_gives_no_residue_twice(
    private_key: PrivateKey, other_private_key: PrivateKey
) -> None:
    vector = encrypted(private_key, [1, 2])
    pool = ResiduePool(private_key.public)
    pool.fill(3)
    pool.rerandomise(vector)
    with pytest.raises(NotYet):
        pool.rerandomise(vector)
    assert len(pool) == 1
    with pytest.raises(InvalidInput, match="another key"):
        pool.rerandomise(encrypted(other_private_key, [1]))


# --- proofs of knowledge --------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [None, Randomness.SHORT_256, Randomness.HALF])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_honest_proofs_hold(private_key: PrivateKey, choice: Randomness, count: int) -> None:
    public = private_key.public
    values = [secrets.randbelow(public.modulus) for _ in range(count)]
    data, proof = encrypt_with_proof(public, values, b"ewr, run 1", randomness=choice)
    vector = parse_ciphertexts(data, public, count)
    assert verify_proof(vector, b"ewr, run 1", proof) is vector
    assert decrypt(private_key, vector) == values


def test_foreign_and_altered_vectors_have_no_proof(private_key: PrivateKey) -> None:
    public = private_key.public
    square = public.modulus**2
    data, proof = encrypt_with_proof(public, [1, 2, 3], b"ewr")
    vector = parse_ciphertexts(data, public, 3)
    one, two, three = vector.numbers
    pool = ResiduePool(public)
    pool.fill(3)
    malleated = {
        "replayed under another name": (vector, b"jfk"),
        "one added": (vector_of(public, [one * (1 + public.modulus) % square, two, three]), b"ewr"),
        "swapped": (vector_of(public, [two, one, three]), b"ewr"),
        "cut": (vector_of(public, [one, two]), b"ewr"),
        "squared": (vector_of(public, [u * u % square for u in vector.numbers]), b"ewr"),
        "inverted": (scale(vector, [-1, 1, 1]), b"ewr"),
        "re-randomised": (pool.rerandomise(vector), b"ewr"),
    }
    for forged, binding in malleated.values():
        with pytest.raises(VerificationError, match="know"):
            verify_proof(forged, binding, proof)


def test_altered_proofs_are_refused(private_key: PrivateKey) -> None:
    public = private_key.public
    data, proof = encrypt_with_proof(public, [1, 2, 3], b"ewr")
    vector = parse_ciphertexts(data, public, 3)
    for position in (5, 300, 512, 600, 767, 768, 900, len(proof) - 1):
        altered = bytearray(proof)
        altered[position] ^= 1
        with pytest.raises(VerificationError):
            verify_proof(vector, b"ewr", bytes(altered))
    for bad in (b"", proof[:-1], proof + b"\0", bytes(len(proof)), b"\xff" * len(proof)):
        with pytest.raises(VerificationError):
            verify_proof(vector, b"ewr", bad)


def test_full_randomness_has_no_proof(private_key: PrivateKey) -> None:
    with pytest.raises(InvalidInput, match="exponent"):
        encrypt_with_proof(private_key.public, [1], b"", randomness=Randomness.FULL)


def test_answers_have_room_for_their_sum() -> None:
    """w is at least 128 bits longer than what it hides, for 2^32 ciphertexts."""

    class Public:
        bits = 3072

    for choice in (Randomness.SHORT_384, Randomness.HALF, Randomness.SUBGROUP):
        hidden = choice.exponent_bits(3072) + 128 + 32
        assert proofs._response_bits(Public(), choice) - 1 >= hidden + 128  # type: ignore[arg-type]


# --- other cores, progress, cancelling ------------------------------------------------------------


def test_processes_give_valid_ciphertexts_in_order(private_key: PrivateKey) -> None:
    public = private_key.public
    values = list(range(3 * cores.PIECE + 5))
    seen: list[tuple[int, int]] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        data = encrypt(public, values, workers=workers, progress=lambda *now: seen.append(now))
    vector = parse_ciphertexts(data, public, len(values))
    assert len(set(vector.numbers)) == len(values)
    chosen = [0, 1, cores.PIECE, 2 * cores.PIECE + 1, len(values) - 1]
    numbers = vector.numbers
    assert decrypt(private_key, vector_of(public, [numbers[i] for i in chosen])) == chosen
    assert seen[-1] == (len(values), len(values))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_progress_cancels(private_key: PrivateKey) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        calls.append(done)
        raise Enough

    for work in (
        lambda: encrypt(private_key.public, [1] * 3 * cores.PIECE, progress=stop),
        lambda: decrypt(private_key, encrypted(private_key, [1, 2]), progress=stop),
    ):
        calls: list[int] = []
        with pytest.raises(Enough):
            work()
        assert len(calls) == 1


def test_pieces_cover_everything_once() -> None:
    for count in (0, 1, cores.PIECE, cores.PIECE + 1):
        pieces = list(cores.in_pieces(list, range(count)))
        assert [item for piece in pieces for item in piece] == list(range(count))


def test_accumulating_rerandomised_parts(private_key: PrivateKey) -> None:
    accumulator = Accumulator(private_key.public, 1)
    pool = products.ResiduePool(private_key.public, Randomness.HALF)
    pool.fill(2)
    for value in (40, 2):
        accumulator.add(pool.rerandomise(encrypted(private_key, [value])))
    assert decrypt(private_key, accumulator.total()) == [42]
