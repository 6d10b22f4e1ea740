"""From values to one opened sum: the law, and every part or sum that must be refused."""

from __future__ import annotations

import dataclasses
import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import gmpy2
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stayput import documents, encryption
from stayput.crypto import paillier
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.packing import WIDTHS, layout_for
from stayput.crypto.paillier import PrivateKey
from stayput.encryption import Addition, Context, EncryptedPartial, EncryptedSum, parse_sum
from stayput.errors import (
    DocumentError,
    InvalidInput,
    NotYet,
    PermissionDenied,
    RuleViolation,
    VerificationError,
)
from stayput.steps import Round

NAMES = ("ewr", "jfk", "lga", "bos", "phl", "sfo", "atl")


@pytest.fixture(scope="session")
def checker() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def other_checker() -> PrivateKey:
    return PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def keys() -> dict[str, AgreementKey]:
    return {name: AgreementKey.generate() for name in NAMES}


def context_for(
    checker: PrivateKey, participants: Iterable[str] = NAMES[:3], width: int = 64, count: int = 3
) -> Context:
    return Context(
        run=os.urandom(16),
        scenario=os.urandom(32),
        round=Round.VALUES,
        participants=tuple(participants),
        checker_key=checker.public.key_id,
        width=width,
        count=count,
        question=os.urandom(32),
    )


def part(
    values: Sequence[int],
    context: Context,
    me: str,
    keys: dict[str, AgreementKey],
    checker: PrivateKey,
) -> EncryptedPartial:
    return encryption.encrypt(
        values,
        context,
        me=me,
        key=keys[me],
        agreement_keys={name: key.public for name, key in keys.items()},
        checker=checker.public,
    )


def opened_alone(ciphertexts: bytes, context: Context, checker: PrivateKey) -> tuple[int, ...]:
    """What a curious checker with its key sees in any vector it gets hold of."""
    return encryption.open(EncryptedSum(context, ciphertexts), checker)


# --- the law --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_residues_that_only_together_are_numbers(
    checker: PrivateKey, keys: dict[str, AgreementKey], width: int
) -> None:
    """Of each value two holders have uniform residues, the third has zeros."""
    largest = (1 << (width - 1)) - 1
    values = [0, 1, -1, largest, -largest - 1]
    context = context_for(checker, width=width, count=len(values))
    masks = [secrets.randbits(width) for _ in values]
    shares = [
        [-mask % (1 << width) for mask in masks],
        [(value + mask) % (1 << width) for value, mask in zip(values, masks, strict=True)],
        [0] * len(values),
    ]
    addition = Addition(context, checker.public)
    for name, residues in zip(context.participants, shares, strict=True):
        made = _part_of_shares(residues, context, name, keys, checker)
        addition.add(name, made.ciphertexts)
        assert opened_alone(made.ciphertexts, context, checker) != tuple(values)
    assert encryption.open(addition.sum(), checker) == tuple(values)
    for bad in (-1, 1 << width):
        with pytest.raises(InvalidInput, match="bits"):
            _part_of_shares([bad] * len(values), context, "ewr", keys, checker)


def _part_of_shares(
    residues: Sequence[int],
    context: Context,
    me: str,
    keys: dict[str, AgreementKey],
    checker: PrivateKey,
) -> EncryptedPartial:
    return encryption.encrypt_shares(
        residues,
        context,
        me=me,
        key=keys[me],
        agreement_keys={name: key.public for name, key in keys.items()},
        checker=checker.public,
    )


@st.composite
def parts_of_a_sum(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    width, holders = draw(st.sampled_from(WIDTHS)), draw(st.integers(2, 7))
    bound = ((1 << (width - 1)) - 1) // holders
    value = st.sampled_from([0, 1, -1, bound, -bound]) | st.integers(-bound, bound)
    count = draw(st.integers(0, 60))
    vector = st.lists(value, min_size=count, max_size=count)
    return width, [draw(vector) for _ in range(holders)]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts_of_a_sum())
def test_opened_sum_is_the_sum(
    checker: PrivateKey, keys: dict[str, AgreementKey], drawn: tuple[int, list[list[int]]]
) -> None:
    width, vectors = drawn
    names = NAMES[: len(vectors)]
    context = context_for(checker, names, width, len(vectors[0]))
    addition = Addition(context, checker.public)
    for name, values in zip(names, vectors, strict=True):
        addition.add(name, part(values, context, name, keys, checker).ciphertexts)
    total = parse_sum(addition.sum().ciphertexts, context, checker.public)
    expected = tuple(sum(column) for column in zip(*vectors, strict=True))
    assert encryption.open(total, checker) == expected


@pytest.mark.parametrize("holders", range(2, 8))
@pytest.mark.parametrize("width", WIDTHS)
def test_extremes_at_the_bound_fit(
    checker: PrivateKey, keys: dict[str, AgreementKey], width: int, holders: int
) -> None:
    context = context_for(checker, NAMES[:holders], width, 2)
    # |x| < 2^(w-1)/n, spelled out: one more would reach the bound of the sum
    assert context.bound * holders < 2 ** (width - 1) <= (context.bound + 1) * holders
    addition = Addition(context, checker.public)
    for name in context.participants:
        values = [context.bound, -context.bound]
        addition.add(name, part(values, context, name, keys, checker).ciphertexts)
    top = context.bound * holders
    assert encryption.open(addition.sum(), checker) == (top, -top)


def test_parts_may_arrive_in_any_order(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    context = context_for(checker)
    addition = Addition(context, checker.public)
    for i, name in enumerate(reversed(context.participants)):
        assert name in addition.missing
        addition.add(name, part([i, 1, -1], context, name, keys, checker).ciphertexts)
    assert addition.missing == ()
    assert encryption.open(addition.sum(), checker) == (3, 3, -3)


def test_arrays_are_values_too(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    context = context_for(checker, NAMES[:2])
    addition = Addition(context, checker.public)
    for dtype, name in ((np.int64, NAMES[0]), (object, NAMES[1])):
        values = np.array([5, -6, 7], dtype=dtype)
        addition.add(name, part(values, context, name, keys, checker).ciphertexts)
    assert encryption.open(addition.sum(), checker) == (10, -12, 14)


def test_progress_is_told_and_cancels(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert 0 < done <= total == 1
        raise Enough

    context = context_for(checker)
    public_keys = {name: key.public for name, key in keys.items()}
    with pytest.raises(Enough):
        encryption.encrypt(
            [1, 2, 3],
            context,
            me="ewr",
            key=keys["ewr"],
            agreement_keys=public_keys,
            checker=checker.public,
            progress=stop,
        )
    vector = part([1, 2, 3], context, "ewr", keys, checker).ciphertexts
    with pytest.raises(Enough):
        encryption.open(EncryptedSum(context, vector), checker, progress=stop)


def test_workers_may_share_the_work(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    context = context_for(checker, NAMES[:2], count=5000)
    addition = Addition(context, checker.public)
    values = np.arange(5000, dtype=np.int64) - 2500
    with ThreadPoolExecutor(2) as workers:
        for name in context.participants:
            encrypted = encryption.encrypt(
                values,
                context,
                me=name,
                key=keys[name],
                agreement_keys={name: key.public for name, key in keys.items()},
                checker=checker.public,
                workers=workers,
            )
            addition.add(name, encrypted.ciphertexts)
    assert encryption.open(addition.sum(), checker) == tuple((2 * values).tolist())


def test_an_empty_vector_is_empty_bytes(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    context = context_for(checker, count=0)
    addition = Addition(context, checker.public)
    for name in context.participants:
        encrypted = part([], context, name, keys, checker)
        assert encrypted.ciphertexts == b""
        addition.add(name, encrypted.ciphertexts)
    assert encryption.open(addition.sum(), checker) == ()


def test_digests_name_the_bytes(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    context = context_for(checker)
    one = part([1, 2, 3], context, "ewr", keys, checker)
    assert one.digest == documents.digest_bytes("stayput.v1.Ciphertexts", one.ciphertexts)
    assert one.digest != part([1, 2, 3], context, "ewr", keys, checker).digest  # fresh randomness
    assert EncryptedSum(context, one.ciphertexts).digest == one.digest


# --- by hand: the protocol's section 7, written down again ----------------------------------------


def power(base: int, exponent: int, modulus: int) -> int:
    return int(gmpy2.powmod(base, exponent, modulus))  # as `pow`, in a tenth of the time


def plaintexts_by_hand(values: Sequence[int], context: Context, slots: int) -> list[int]:
    """M-3: the lowest slot first, of the value's width and 8 bits more."""
    step, modulus = context.width + 8, 1 << context.width
    return [
        sum(v % modulus << (step * i) for i, v in enumerate(values[k : k + slots]))
        for k in range(0, len(values), slots)
    ]


def part_by_hand(
    values: Sequence[int],
    context: Context,
    me: str,
    keys: dict[str, AgreementKey],
    n: int,
) -> bytes:
    """One part in Python integers: masks (M-2), packing (M-3), encryption with r^n."""
    size, masked = context.width // 8, list(values)
    for peer in context.participants:
        if peer == me:
            continue
        info = b"stayput.v1.PairwiseMask"
        for name in sorted((me, peer)):
            info += len(name).to_bytes(2, "big") + name.encode() + keys[name].public
        prk = hmac.digest(context.digest, keys[me].exchange(keys[peer].public), "sha256")
        cipher = Cipher(ChaCha20(hmac.digest(prk, info + b"\x01", "sha256"), bytes(16)), mode=None)
        stream = cipher.encryptor().update(bytes(size * len(values)))
        sign = 1 if me < peer else -1
        for i in range(len(values)):
            masked[i] += sign * int.from_bytes(stream[size * i : size * (i + 1)], "little")
    slots = (n.bit_length() - 1) // (context.width + 8)
    width = (2 * n.bit_length() + 7) // 8
    return b"".join(
        ((1 + m * n) * power(secrets.randbelow(n), n, n * n) % (n * n)).to_bytes(width, "big")
        for m in plaintexts_by_hand(masked, context, slots)
    )


def opened_by_hand(data: bytes, context: Context, primes: tuple[int, int]) -> list[int]:
    """Paillier's own decryption, slots by shifting, two's complement."""
    p, q = primes
    n, lam = p * q, (p - 1) * (q - 1)
    width, step = (2 * n.bit_length() + 7) // 8, context.width + 8
    half, values = 1 << (context.width - 1), []
    for start in range(0, len(data), width):
        number = int.from_bytes(data[start : start + width], "big")
        m = (power(number, lam, n * n) - 1) // n * power(lam, -1, n) % n
        slots = ((m >> (step * i)) % (2 * half) for i in range((n.bit_length() - 1) // step))
        values += [v - 2 * half if v >= half else v for v in slots]
    return values[: context.count]


@pytest.mark.parametrize("width", WIDTHS)
def test_parts_and_sums_are_those_of_a_few_lines_of_integers(
    checker: PrivateKey, keys: dict[str, AgreementKey], width: int
) -> None:
    context = context_for(checker, NAMES[:3], width, 60)
    bound = context.bound
    vectors = {name: [secrets.randbelow(2 * bound) - bound for _ in range(60)] for name in NAMES}
    for name, extreme in zip(context.participants, (bound, bound, -bound), strict=True):
        vectors[name][:2] = [extreme, -bound]
    truth = [sum(vectors[name][i] for name in context.participants) for i in range(60)]
    n = checker.public.modulus
    addition = Addition(context, checker.public)
    for name in context.participants:
        by_hand = part_by_hand(vectors[name], context, name, keys, n)
        ours = part(vectors[name], context, name, keys, checker).ciphertexts
        # the same masked plaintexts, whoever encrypted them
        seen = opened_by_hand(ours, context, checker.primes())
        assert seen == opened_by_hand(by_hand, context, checker.primes()) != vectors[name]
        addition.add(name, by_hand if name == "jfk" else ours)
    total = addition.sum()
    assert list(encryption.open(total, checker)) == truth
    assert opened_by_hand(total.ciphertexts, context, checker.primes()) == truth


# --- what nobody can see --------------------------------------------------------------------------


def noisy(values: Sequence[int], truth: Sequence[int]) -> bool:
    """No slot shows the truth or a small number; a chance of 2^-40 or so per test."""
    return all(v != t and abs(v) > 2**20 for v, t in zip(values, truth, strict=True))


def test_the_checkers_key_opens_no_part(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    context = context_for(checker)
    values = [10, 20, 30]
    seen = opened_alone(part(values, context, "ewr", keys, checker).ciphertexts, context, checker)
    assert noisy(seen, values)


def test_a_missing_participant_leaves_noise(
    checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    context = context_for(checker)
    layout = layout_for(checker.public.plaintext_bits, 64, 3, 3)
    for absent in context.participants:
        accumulator = paillier.Accumulator(checker.public, layout.ciphertexts)
        for name in context.participants:
            if name != absent:
                data = part([1, 2, 3], context, name, keys, checker).ciphertexts
                accumulator.add(paillier.parse_ciphertexts(data, checker.public, 1))
        seen = opened_alone(accumulator.total().to_bytes(), context, checker)
        assert noisy(seen, [2, 4, 6])


def variations(context: Context) -> dict[str, Context]:
    """The context with one thing changed that leaves the vector's shape as it is."""
    replace = dataclasses.replace
    return {
        "run": replace(context, run=os.urandom(16)),
        "scenario": replace(context, scenario=os.urandom(32)),
        "round": replace(context, round=Round.COUNTS),
        "participants": replace(context, participants=("ewr", "jfk", "bos")),
        "order": replace(context, participants=context.participants[::-1]),
    }


@pytest.mark.parametrize("changed", ["run", "scenario", "round", "participants", "order"])
def test_a_part_of_another_context_leaves_noise(
    checker: PrivateKey, keys: dict[str, AgreementKey], changed: str
) -> None:
    context = context_for(checker)
    addition = Addition(context, checker.public)
    foreign = variations(context)[changed]
    addition.add("ewr", part([1, 2, 3], foreign, "ewr", keys, checker).ciphertexts)
    for name in ("jfk", "lga"):
        addition.add(name, part([1, 2, 3], context, name, keys, checker).ciphertexts)
    assert noisy(encryption.open(addition.sum(), checker), [3, 6, 9])


def test_replaying_one_part_for_another_leaves_noise(
    checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    context = context_for(checker)
    addition = Addition(context, checker.public)
    copied = part([1, 2, 3], context, "ewr", keys, checker).ciphertexts
    for name, data in (
        ("ewr", copied),
        ("jfk", copied),
        ("lga", part([1, 2, 3], context, "lga", keys, checker).ciphertexts),
    ):
        addition.add(name, data)
    assert noisy(encryption.open(addition.sum(), checker), [3, 6, 9])


def test_every_field_of_the_context_is_in_its_digest(checker: PrivateKey) -> None:
    context = context_for(checker)
    digests = {c.digest for c in variations(context).values()} | {context.digest}
    digests |= {
        dataclasses.replace(context, checker_key=os.urandom(32)).digest,
        dataclasses.replace(context, width=96).digest,
        dataclasses.replace(context, count=4).digest,
    }
    assert len(digests) == 9


def test_reprs_do_not_spill_ciphertexts(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    encrypted = part([1, 2, 3], context_for(checker), "ewr", keys, checker)
    assert "ciphertexts" not in repr(encrypted)


# --- what a holder refuses to make ----------------------------------------------------------------


def test_one_participant_alone_is_refused(checker: PrivateKey) -> None:
    for participants in ((), ("ewr",), ("ewr", "ewr")):
        with pytest.raises(ValueError, match="participant"):
            context_for(checker, participants)


@pytest.mark.parametrize(
    "changes",
    [
        {"run": bytes(15)},
        {"scenario": bytes(31)},
        {"checker_key": b""},
        {"width": 48},
        {"width": 0},
        {"count": -1},
        {"count": encryption.MAX_COUNT + 1},
        {"participants": tuple(f"h{i}" for i in range(65_537))},
    ],
)
def test_impossible_contexts_are_refused(checker: PrivateKey, changes: dict[str, object]) -> None:
    context = context_for(checker)
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own sentence
        dataclasses.replace(context, **changes)


def test_context_is_a_document(checker: PrivateKey) -> None:
    context = context_for(checker)
    data = documents.encode(context)
    assert documents.parse(Context, data) == context
    with pytest.raises(DocumentError):
        documents.parse(Context, data.replace(b'"width":64', b'"width":48'))


def test_who_is_no_participant_gives_no_part(
    checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    with pytest.raises(PermissionDenied):
        part([1, 2, 3], context_for(checker), "bos", keys, checker)


def test_another_checker_key_is_refused(
    checker: PrivateKey, other_checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    """A coordinator that puts its own key in the checker's place gets nothing."""
    context = context_for(checker)
    with pytest.raises(VerificationError, match="checker"):
        part([1, 2, 3], context, "ewr", keys, other_checker)
    with pytest.raises(VerificationError, match="checker"):
        Addition(context, other_checker.public)


@pytest.mark.parametrize("excess", [1, 2**40])
@pytest.mark.parametrize("width", WIDTHS)
def test_values_beyond_the_bound_are_refused(
    checker: PrivateKey, keys: dict[str, AgreementKey], width: int, excess: int
) -> None:
    context = context_for(checker, width=width)
    for value in (context.bound + excess, -context.bound - excess):
        with pytest.raises(InvalidInput, match="bound"):
            part([0, value, 0], context, "ewr", keys, checker)


@pytest.mark.parametrize("values", [[], [1, 2], [1, 2, 3, 4]])
def test_another_count_is_refused(
    checker: PrivateKey, keys: dict[str, AgreementKey], values: list[int]
) -> None:
    with pytest.raises(InvalidInput, match="3 values"):
        part(values, context_for(checker), "ewr", keys, checker)


@pytest.mark.parametrize("value", [1.0, True, "1", None])
def test_what_is_no_whole_number_is_refused(
    checker: PrivateKey, keys: dict[str, AgreementKey], value: object
) -> None:
    with pytest.raises(InvalidInput, match="whole"):
        part([0, value, 0], context_for(checker), "ewr", keys, checker)


def test_unknown_foreign_or_weak_agreement_keys_are_refused(
    checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    context = context_for(checker)
    public = {name: key.public for name, key in keys.items()}
    for name, replacement in (("jfk", None), ("ewr", public["jfk"]), ("lga", bytes(32))):
        known = {k: v for k, v in public.items() if k != name}
        if replacement is not None:
            known[name] = replacement
        with pytest.raises(VerificationError):
            encryption.encrypt(
                [1, 2, 3],
                context,
                me="ewr",
                key=keys["ewr"],
                agreement_keys=known,
                checker=checker.public,
            )


# --- what the coordinator refuses to add ----------------------------------------------------------


def test_foreign_and_second_parts_are_refused(
    checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    context = context_for(checker)
    addition = Addition(context, checker.public)
    first = part([1, 2, 3], context, "ewr", keys, checker).ciphertexts
    with pytest.raises(PermissionDenied):
        addition.add("bos", first)
    addition.add("ewr", first)
    for again in (first, part([1, 2, 3], context, "ewr", keys, checker).ciphertexts):
        with pytest.raises(RuleViolation) as caught:
            addition.add("ewr", again)
        assert caught.value.clause == "M-5"


def test_no_sum_before_all_parts(checker: PrivateKey, keys: dict[str, AgreementKey]) -> None:
    context = context_for(checker)
    addition = Addition(context, checker.public)
    for name in ("ewr", "jfk"):
        with pytest.raises(NotYet, match="lga"):
            addition.sum()
        addition.add(name, part([1, 2, 3], context, name, keys, checker).ciphertexts)
    with pytest.raises(NotYet):
        addition.sum()


def invalid_vectors(good: bytes, checker: PrivateKey) -> list[bytes]:
    n, (p, q) = checker.public.modulus, checker.primes()
    width = checker.public.ciphertext_bytes
    numbers = [0, 1, n, n + 1, n * n, n * n + 5, p, 7 * q, p * p, (1 << 8 * width) - 1]
    vectors = [number.to_bytes(width, "big") for number in numbers]
    return [*vectors, good[:-1], good[1:], good + b"\0", b"\0" + good, good + good, b""]


def test_invalid_ciphertexts_are_refused_and_change_nothing(
    checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    context = context_for(checker)
    addition = Addition(context, checker.public)
    good = part([1, 2, 3], context, "ewr", keys, checker).ciphertexts
    for bad in invalid_vectors(good, checker):
        with pytest.raises(VerificationError):
            addition.add("ewr", bad)
        with pytest.raises(VerificationError):
            parse_sum(bad, context, checker.public)
        with pytest.raises(VerificationError):
            encryption.open(EncryptedSum(context, bad), checker)
    for name in context.participants:
        addition.add(name, part([1, 2, 3], context, name, keys, checker).ciphertexts)
    assert encryption.open(addition.sum(), checker) == (3, 6, 9)


@pytest.mark.parametrize(
    "change",
    [
        lambda context: {"width": 32},
        lambda context: {"width": 96},
        lambda context: {"participants": tuple(f"h{i}" for i in range(257))},  # wider guard bits
        lambda context: {"count": context.count - 1},
        lambda context: {"count": context.count + 1},  # one value too many: a second ciphertext
    ],
)
def test_a_part_in_another_layout_is_refused_or_leaves_noise(
    checker: PrivateKey,
    keys: dict[str, AgreementKey],
    change: Callable[[Context], dict[str, object]],
) -> None:
    """Nothing in a part says how it is laid out: its context does, and keys its masks."""
    slots = layout_for(checker.public.plaintext_bits, 64, 3, 1).slots
    context = context_for(checker, count=slots)
    foreign = dataclasses.replace(context, **change(context))
    names = foreign.participants
    known = dict.fromkeys(names, keys["jfk"]) | {names[0]: keys["ewr"]}
    data = encryption.encrypt(
        [1] * foreign.count,
        foreign,
        me=names[0],
        key=known[names[0]],
        agreement_keys={name: key.public for name, key in known.items()},
        checker=checker.public,
    ).ciphertexts
    addition = Addition(context, checker.public)
    width = checker.public.ciphertext_bytes
    if len(data) != width:
        with pytest.raises(VerificationError, match=f"have {width} bytes, not {len(data)}"):
            addition.add("ewr", data)
        return
    addition.add("ewr", data)
    for name in ("jfk", "lga"):
        addition.add(name, part([1] * slots, context, name, keys, checker).ciphertexts)
    assert noisy(encryption.open(addition.sum(), checker), [3] * slots)


# --- what the checker refuses to open -------------------------------------------------------------


def test_a_sum_under_another_key_is_not_opened(
    checker: PrivateKey, other_checker: PrivateKey, keys: dict[str, AgreementKey]
) -> None:
    context = context_for(checker)
    data = part([1, 2, 3], context, "ewr", keys, checker).ciphertexts
    with pytest.raises(VerificationError, match="checker"):
        encryption.open(EncryptedSum(context, data), other_checker)


def test_a_sum_with_values_beyond_its_vector_is_refused(checker: PrivateKey) -> None:
    context = context_for(checker)
    for plaintext in (1 << (3 * 72), checker.public.modulus - 1):
        data = paillier.encrypt(checker.public, [plaintext])
        with pytest.raises(VerificationError, match="opened sum"):
            encryption.open(EncryptedSum(context, data), checker)


# --- proofs of knowledge (M-7) --------------------------------------------------------------------


@pytest.fixture
def proven(checker: PrivateKey) -> Context:
    return dataclasses.replace(context_for(checker), proven=True)


def refused(addition: Addition, holder: str, data: bytes) -> str:
    """How a part is refused; nothing of it is in the sum afterwards."""
    missing = addition.missing
    with pytest.raises(VerificationError) as caught:
        addition.add(holder, data)
    assert addition.missing == missing
    return caught.value.message


def test_a_sum_of_proven_parts_is_the_sum(
    checker: PrivateKey, keys: dict[str, AgreementKey], proven: Context
) -> None:
    addition = Addition(proven, checker.public)
    for name in proven.participants:
        addition.add(name, part([1, -2, 3], proven, name, keys, checker).ciphertexts)
    assert encryption.open(addition.sum(), checker) == (3, -6, 9)


def test_nobody_submits_what_another_made(
    checker: PrivateKey, keys: dict[str, AgreementKey], proven: Context
) -> None:
    """Copied, re-randomised, doubled, of another run; with no proof, or that of something else."""
    theirs = part([1, -2, 3], proven, "ewr", keys, checker).ciphertexts
    own = part([4, 5, 6], proven, "jfk", keys, checker).ciphertexts
    width = checker.public.ciphertext_bytes
    vector, proof = theirs[:width], theirs[width:]
    n = checker.public.modulus
    number = int.from_bytes(vector, "big")
    zero = int.from_bytes(paillier.encrypt(checker.public, [0]), "big")

    def bent(changed: int) -> bytes:
        return (changed % n**2).to_bytes(width, "big") + proof

    addition = Addition(proven, checker.public)
    unknown = "the maker of the ciphertexts does not know what is in them"
    assert refused(addition, "jfk", theirs) == unknown
    for changed in (number * zero, number**2, number * (1 + n)):
        assert refused(addition, "jfk", bent(changed)) == unknown
        assert refused(addition, "ewr", bent(changed)) == unknown
    assert refused(addition, "jfk", vector + own[width:]) == unknown
    assert "length" in refused(addition, "ewr", vector)
    assert "length" in refused(addition, "ewr", theirs + b"\0")
    for change in ({"run": os.urandom(16)}, {"round": Round.COUNTS}, {"question": bytes(32)}):
        elsewhere = dataclasses.replace(proven, **change)
        assert refused(Addition(elsewhere, checker.public), "ewr", theirs) == unknown
    addition.add("ewr", theirs)


def test_an_unproven_context_takes_no_proof_and_the_other_way_round(
    checker: PrivateKey, keys: dict[str, AgreementKey], proven: Context
) -> None:
    plain = dataclasses.replace(proven, proven=False)
    assert plain.digest != proven.digest
    with_proof = part([1, 2, 3], proven, "ewr", keys, checker).ciphertexts
    without = part([1, 2, 3], plain, "ewr", keys, checker).ciphertexts
    assert "bytes" in refused(Addition(plain, checker.public), "ewr", with_proof)
    assert "length" in refused(Addition(proven, checker.public), "ewr", without)


def test_nothing_needs_no_proof(
    checker: PrivateKey, keys: dict[str, AgreementKey], proven: Context
) -> None:
    nothing = dataclasses.replace(proven, count=0)
    addition = Addition(nothing, checker.public)
    for name in nothing.participants:
        found = part([], nothing, name, keys, checker).ciphertexts
        assert found == b""
        addition.add(name, found)
    assert encryption.open(addition.sum(), checker) == ()
