"""The schemes that :mod:`bench_paillier` lets take turns, and the multiplications that bound them.

A :class:`Line` is one scheme with its operations in the order in which they follow each other; a
turn does each once.

``phe`` comes with Stayput.  ``sf-heu`` (``pip install --pre sf-heu``) and ``tenseal`` take part
where they are installed.
"""

from __future__ import annotations

import dataclasses
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Any

import gmpy2
import numpy as np
from phe import paillier as phe

from stayput.crypto import kernel, packing, paillier, proofs, randomness
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.masks import pairwise_mask
from stayput.crypto.packing import Layout, layout_for
from stayput.crypto.paillier import (
    Accumulator,
    PrivateKey,
    PublicKey,
    Randomness,
    parse_ciphertexts,
)
from stayput.crypto.products import ResiduePool, scalar_products

WIDTH = 64
HOLDERS = 10

MANY = 24_000
"""Ciphertexts of a million cells: tables of powers are made for as many."""

_SAMPLE = 500
"""Multiplications that are timed together: some milliseconds."""


def cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    """What ``work`` gives, and its CPU seconds in all threads of this process."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


@dataclasses.dataclass(frozen=True)
class Operation:
    """One step of a turn.

    Attributes:
        work: is given what the step before returned.
        values: how many values one call is about.
        ciphertexts: how many ciphertexts.
        keeps: hands on what it was given itself.
    """

    name: str
    work: Callable[[Any], Any]
    values: int
    ciphertexts: int
    keeps: bool = False


@dataclasses.dataclass
class Line:
    """One scheme: its operations and what they cost, turn by turn.

    Attributes:
        figures: values per CPU-second.
    """

    name: str
    assumption: str
    operations: list[Operation]
    bytes_per_value: float
    figures: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def turn(self) -> None:
        """Each operation once."""
        held: Any = None
        for one in self.operations:
            result, spent = cpu(lambda one=one, held=held: one.work(held))
            self.figures.setdefault(one.name, []).append(one.values / spent)
            held = held if one.keeps else result

    def median(self, name: str) -> float:
        """Values per CPU-second."""
        return statistics.median(self.figures[name])

    def seconds(self, name: str) -> float:
        """CPU-seconds of one ciphertext."""
        one = next(one for one in self.operations if one.name == name)
        return one.values / one.ciphertexts / self.median(name)


class Multiplications:
    """GMP's multiplications and powers for one modulus, timed by list comprehensions over them."""

    def __init__(self, private: PrivateKey) -> None:
        n = gmpy2.mpz(private.public.modulus)
        self._half, self._square = n, n * n
        self._prime = gmpy2.mpz(private.primes()[0])

    def _time(self, bound: Any, factor: Any, modulus: Any) -> float:
        pairs = [(secrets.randbelow(int(bound)), secrets.randbelow(int(factor)))] * _SAMPLE
        numbers = [(gmpy2.mpz(a), gmpy2.mpz(b)) for a, b in pairs]
        return cpu(lambda: [a * b % modulus for a, b in numbers])[1] / _SAMPLE

    def one(self) -> float:
        """Seconds of a·b modulo n², with both below n²."""
        return self._time(self._square, self._square, self._square)

    def mixed(self) -> float:
        """Seconds of a·b modulo n², with b below n."""
        return self._time(self._square, self._half, self._square)

    def small(self) -> float:
        """Seconds of a·b modulo p², half of a decryption's."""
        square = self._prime**2
        return self._time(square, square, square)

    def power(self, bits: int, power: Callable[[Any, Any, Any], Any]) -> float:
        """Seconds of one power modulo p² with an exponent of so many bits."""
        square = self._prime**2
        bases = [gmpy2.mpz(secrets.randbelow(int(square))) for _ in range(8)]
        exponent = gmpy2.mpz(secrets.randbits(bits) | 1 << (bits - 1))
        return cpu(lambda: [power(base, exponent, square) for base in bases])[1] / len(bases)


# --- ours -----------------------------------------------------------------------------------------


def layout_of(private: PrivateKey, ciphertexts: int) -> Layout:
    """As many 64-bit values of ten holders as fill so many ciphertexts."""
    bits = private.public.plaintext_bits
    return layout_for(bits, WIDTH, HOLDERS, ciphertexts * layout_for(bits, WIDTH, HOLDERS, 1).slots)


def random_residues(layout: Layout) -> packing.Residues:
    values = np.frombuffer(secrets.token_bytes(8 * layout.count), dtype=np.int64) >> 8
    return packing.residues_from(values, layout)


def window_of(bits: int, choice: Randomness) -> tuple[int, int]:
    """Bits and number of the digits of an exponent in long vectors."""
    length = choice.exponent_bits(bits)
    window = kernel.best_window(bits, length, MANY, randomness.MAX_TABLE_BYTES)
    return window, -(-length // window)


def prepare(public: PublicKey, choice: Randomness) -> None:
    """Make the table of powers that long vectors get."""
    bits = choice.exponent_bits(public.bits)
    randomness.powers_of(public.modulus, paillier.residue_base(public), bits, 1, at_once=MANY)


def our_line(
    name: str, assumption: str, private: PrivateKey, choice: Randomness, ciphertexts: int
) -> Line:
    """Encrypt, check what arrived, add, decrypt in constant time and blinded."""
    public = private.public
    layout = layout_of(private, ciphertexts)
    packed = packing.pack(random_residues(layout), layout)
    # where both ways to decrypt are timed so many that what a call costs once does not count
    twice = choice in (Randomness.SHORT_384, Randomness.SUBGROUP)
    few = min(ciphertexts, 96 if twice else 8)
    if choice is not Randomness.FULL:
        prepare(public, choice)

    def add(vector: Any) -> None:
        accumulator = Accumulator(public, ciphertexts)
        for _ in range(4):
            accumulator.add(vector)

    def decrypt(vector: Any) -> None:
        assert paillier.decrypt(private, vector) == packed[:few]

    def blinded(vector: Any) -> None:
        assert paillier.decrypt(private, vector, blinded=True) == packed[:few]

    def operation(name: str, work: Any, number: int, times: int = 1, keeps: bool = False) -> Any:
        return Operation(name, work, times * number * layout.slots, times * number, keeps)

    return Line(
        name,
        assumption,
        [
            operation(
                "encrypt",
                lambda _: paillier.encrypt(public, packed, randomness=choice),
                ciphertexts,
            ),
            operation(
                "check", lambda data: parse_ciphertexts(data, public, ciphertexts), ciphertexts
            ),
            operation("add", add, ciphertexts, times=4, keeps=True),
            operation(
                "shorten",
                lambda vector: paillier.vector_of(public, vector.numbers[:few]),
                ciphertexts,
            ),
            operation("decrypt", decrypt, few, keeps=True),
            *([operation("decrypt blinded", blinded, few)] if twice else []),
        ],
        public.ciphertext_bytes / layout.slots,
    )


def our_lines(private: PrivateKey, subgroup: PrivateKey) -> list[Line]:
    """All choices of randomness, the default first."""
    randomness.MAX_CACHE_BYTES = 1 << 29  # four kinds of tables at once, which nobody else needs
    dcr = "DCR"
    return [
        our_line("ours, 384-bit exponent (default)", f"{dcr}, short exponents", private,
                 Randomness.SHORT_384, 128),
        our_line("ours, 256-bit exponent", f"{dcr}, short exponents", private,
                 Randomness.SHORT_256, 128),
        our_line("ours, half the modulus (DJN)", f"{dcr}, DJN §4.2", private,
                 Randomness.HALF, 32),
        our_line("ours, full r^n", dcr, private, Randomness.FULL, 2),
        our_line("ours, subgroup key", f"{dcr}, RSA subgroup", subgroup,
                 Randomness.SUBGROUP, 128),
    ]  # fmt: skip


def around(private: PrivateKey) -> Line:
    """What comes with encrypted sums besides, under the default key."""
    public, count = private.public, 1024
    layout = layout_of(private, count)
    residues = random_residues(layout)
    packed = packing.pack(residues, layout)
    vector = parse_ciphertexts(paillier.encrypt(public, packed), public, count)
    own = AgreementKey.generate()
    peers = {f"holder-{i}": AgreementKey.generate().public for i in range(HOLDERS - 1)}
    long = layout_of(private, 8192)  # what a pair costs once is a third of a ns of each value
    pool = ResiduePool(public)
    proof: list[Any] = []

    def prove() -> None:
        data, shown = proofs.encrypt_with_proof(public, packed, b"bench")
        proof[:] = [parse_ciphertexts(data, public, count), shown]

    def operation(name: str, work: Callable[[], Any]) -> Operation:
        return Operation(name, lambda _: work(), layout.count, count)

    def mask(_: Any) -> Any:
        return pairwise_mask(own, "north", peers, bytes(32), long)

    return Line(
        "around it",
        "",
        [
            operation("packing", lambda: packing.pack(residues, layout)),
            operation("unpacking", lambda: packing.unpack(packed, layout)),
            Operation("masking, each peer", mask, len(peers) * long.count, long.ciphertexts),
            operation("randomness in advance", lambda: pool.fill(count)),
            operation("re-randomising from it", lambda: pool.rerandomise(vector)),
            operation("encrypting with a proof of knowledge", prove),
            operation(
                "verifying that proof", lambda: proofs.verify_proof(proof[0], b"bench", proof[1])
            ),
        ],
        0.0,
    )


def scalars(private: PrivateKey) -> dict[int, float]:
    """Terms x·E(y) of a scalar product per CPU-second, by the bits of x; one y per ciphertext."""
    public, count = private.public, 2000
    vector = parse_ciphertexts(paillier.encrypt(public, [7] * count), public, count)
    rates = {}
    for bits in (1, 16, 32):
        xs = [secrets.randbits(bits) - (1 << bits >> 1) for _ in range(count)]
        _, spent = cpu(lambda xs=xs: scalar_products(vector, [xs]))
        rates[bits] = count / spent
    return rates


# --- peers ----------------------------------------------------------------------------------------


def _line(
    name: str,
    assumption: str,
    each: int,
    number: int,
    bytes_per_value: float,
    works: tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], Any]],
    opened: int = 0,
) -> Line:
    """A peer's line: ``each`` values in every one of ``number`` ciphertexts."""
    encrypt, add, decrypt = works
    opened = opened or number
    return Line(
        name,
        assumption,
        [
            Operation("encrypt", lambda _: encrypt(), each * number, number),
            Operation("add", add, each * number, number, keeps=True),
            Operation("decrypt", lambda cs: decrypt(cs[:opened]), each * opened, opened),
        ],
        bytes_per_value,
    )


def phe_lines(private: PrivateKey) -> list[Line]:
    public = phe.PaillierPublicKey(private.public.modulus)
    key = phe.PaillierPrivateKey(public, *private.primes())
    numbers = [secrets.randbits(62) for _ in range(4)]
    layout = layout_of(private, 4)
    packed = packing.pack(random_residues(layout), layout)
    wide = private.public.ciphertext_bytes
    return [
        _line("phe, EncryptedNumber as documented", "DCR", 1, 4, wide, (
            lambda: [public.encrypt(x) for x in numbers],
            lambda cs: [c + d for c, d in zip(cs, cs, strict=True)],
            lambda cs: [key.decrypt(c) for c in cs],
        )),
        _line("phe, packed by us", "DCR", layout.slots, 4, wide / layout.slots, (
            lambda: [public.raw_encrypt(m) for m in packed],
            lambda cs: [c * c % public.nsquare for c in cs],
            lambda cs: [key.raw_decrypt(c) for c in cs],
        )),
    ]  # fmt: skip


def heu_lines(private: PrivateKey) -> list[Line]:
    try:
        from heu import phe as heu
    except ImportError:
        return []
    layout = layout_of(private, 32)
    packed = packing.pack(random_residues(layout), layout)
    kit = heu.setup(heu.SchemaType.ZPaillier, private.public.bits)
    encryptor, evaluator, decryptor = kit.encryptor(), kit.evaluator(), kit.decryptor()
    big = heu.BigintEncoder(heu.SchemaType.ZPaillier)
    batch = kit.batch_integer_encoder()
    pairs = [(secrets.randbits(40), secrets.randbits(40)) for _ in range(16)]

    def line(name: str, encode: Callable[[], list[Any]], decode: Any, each: int) -> Line:
        size = len(encryptor.encrypt(encode()[0]).serialize())
        works = (
            lambda: [encryptor.encrypt(p) for p in encode()],
            lambda cs: [evaluator.add(c, c) for c in cs],
            lambda cs: [decode(decryptor.decrypt(c)) for c in cs],
        )
        return _line(name, "DCR, DJN §4.2", each, len(encode()), size / each, works, 8)

    return [
        line(BATCH, lambda: [batch.encode(*p) for p in pairs], batch.decode, 2),
        line(BY_HAND, lambda: [big.encode(m) for m in packed], big.decode, layout.slots),
    ]


BATCH = "HEU ZPaillier, its batch encoder"
BY_HAND = "HEU ZPaillier, packed by hand"


def tenseal_lines() -> list[Line]:
    """BFV with two plaintext primes, so that it carries 64 bits as all others do."""
    try:
        import tenseal
    except ImportError:
        return []
    degree = 8192
    primes: list[int] = []
    candidate = (1 << 37) // (2 * degree) * 2 * degree + 1
    while len(primes) < 2:
        if gmpy2.is_prime(candidate):
            primes.append(candidate)
        candidate += 2 * degree
    contexts = [
        tenseal.context(tenseal.SCHEME_TYPE.BFV, poly_modulus_degree=degree, plain_modulus=p)
        for p in primes
    ]
    vectors = [[secrets.randbelow(p) for _ in range(degree)] for p in primes]
    both = list(zip(contexts, vectors, strict=True))
    size = sum(len(tenseal.bfv_vector(c, v).serialize()) for c, v in both)
    works = (
        lambda: [tenseal.bfv_vector(c, v) for c, v in both],
        lambda cs: [c + c for c in cs],
        lambda cs: [c.decrypt() for c in cs],
    )
    # half of a value in each of two ciphertexts
    return [_line("tenseal BFV", "RLWE, not DCR", degree // 2, 2, size / degree, works)]
