"""Encrypted rows: an owner's numbers under its own key, and their way to the combiner.

The owner encrypts a row for each point of its blinded set, padding too, in the same order.  The
coordinator gives the combiner, for each row of the *combiner*, the ciphertexts of the same person's
row, or encryptions of zero where that person is not in everybody's table.

* J-6  The owner's key is made for the run and destroyed with it.  It encrypts with exponents of
  half the modulus's length (Damgård, Jurik and Nielsen's own): these plaintexts are unmasked.
* J-7  Ciphertexts of rows have Jacobi symbol +1, as fresh encryptions of zero have.  One with -1
  would tell the combiner by its symbol that it is no zero, so that its row is joined.
* J-8  What the combiner gets is re-randomised row by row: a copy for each pair and each row, made
  by the same steps whether the row is joined or not.  Two combiners cannot compare what they got.

Not here: matching, and what the combiner computes.  What leaks: to the combiner nothing, under
decisional composite residuosity, as long as it does not know the owner's key: **combiner and owner
together see which of the combiner's rows are joined**, with all other holders' tables too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import gmpy2
import numpy as np

from stayput.crypto.cores import Progress
from stayput.crypto.kernel import Product
from stayput.crypto.paillier import (
    CiphertextVector,
    PublicKey,
    Randomness,
    encrypt,
    parse_ciphertexts,
    residue_base,
)
from stayput.crypto.randomness import powers_of
from stayput.errors import InvalidInput, VerificationError
from stayput.link import MAX_PIECE_BYTES
from stayput.vertical.matching import UNMATCHED, Rows
from stayput.vertical.people import People
from stayput.vertical.plan import Pair

ROW_RANDOMNESS: Final = Randomness.HALF

CHUNK_ROWS: Final = 4096
"""Rows that are encrypted, sent, re-randomised or combined at a time: 2 MB per ciphertext of a row
at 2048 bits."""


def chunk_rows(pair: Pair, key_bits: int) -> int:
    """How many rows of a pair's ciphertexts are a chunk, which travels as one piece."""
    rows = CHUNK_ROWS
    while rows * row_bytes(pair, key_bits) > MAX_PIECE_BYTES:
        rows //= 2
    return rows


def chunks(count: int, pair: Pair, key_bits: int) -> Iterator[slice]:
    """The chunks of so many rows of a pair's ciphertexts, in order."""
    rows = chunk_rows(pair, key_bits)
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))


def row_bytes(pair: Pair, key_bits: int) -> int:
    """Length of one encrypted row: ciphertexts are numbers modulo the square of the modulus."""
    return pair.row_ciphertexts * key_bits // 4


def expect_rows(public: PublicKey, pairs: Iterable[Pair], rows: int) -> None:
    """Make the table of powers for all rows that will be encrypted, before threads make one each.

    Args:
        pairs: in which this key is the owner's.
    """
    count = rows * sum(pair.row_ciphertexts for pair in pairs)
    bits = ROW_RANDOMNESS.exponent_bits(public.bits)
    powers_of(public.modulus, residue_base(public), bits, 0, at_once=count)


def encrypt_rows(
    people: People,
    order: Sequence[int],
    pair: Pair,
    public: PublicKey,
    *,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Encrypt a chunk of the owner's rows (J-6); ciphertexts row by row.

    Args:
        order: rows of ``people``, as :meth:`stayput.vertical.blinding.Blinding.first` has them;
            of a padding row every number is 0.
        public: the owner's run key.
    """
    plaintexts = np.zeros((len(order), pair.row_ciphertexts), dtype=object)
    rows = np.array(order, dtype=np.int64)
    real = np.flatnonzero(rows >= 0)
    groups = people.groups[rows[real]]
    columns = {
        slot.number: people.numbers(slot.number)[rows[real]].astype(object)
        for ciphertext in pair.slots
        for slot in ciphertext
    }
    for index, ciphertext in enumerate(pair.slots):
        shift = 0
        for slot in ciphertext:
            inside = groups == slot.group
            plaintexts[real[inside], index] += columns[slot.number][inside] << shift
            shift += slot.bits
    flat: list[int] = [int(number) for number in plaintexts.reshape(-1)]
    return encrypt(public, flat, randomness=ROW_RANDOMNESS, workers=workers, progress=progress)


def parse_rows(data: bytes, public: PublicKey, pair: Pair, rows: int) -> CiphertextVector:
    """Parse an owner's encrypted rows (J-7); what the coordinator keeps.

    Raises:
        VerificationError: another length, numbers that are no ciphertexts, or one that could be
            told from an encryption of zero without the key.
    """
    vector = parse_ciphertexts(data, public, rows * pair.row_ciphertexts)
    n = gmpy2.mpz(public.modulus)
    if any(gmpy2.jacobi(low, n) != 1 for _, low in vector.digits):
        raise VerificationError("an encrypted row is of another kind than an encrypted zero")
    return vector


def verify_run_key(public: PublicKey, key_bits: int) -> PublicKey:
    """Check the key that an owner says is its own for this run (J-6).

    Raises:
        VerificationError: not as long as the scenario says, or a subgroup key.
    """
    if public.bits != key_bits or public.subgroup is not None:
        raise VerificationError(f"a run key is an ordinary one of {key_bits} bits")
    return public


def hand_over(
    partners: Rows,
    owned: bytes | memoryview,
    public: PublicKey,
    pair: Pair,
    *,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> bytes:
    """What the combiner gets for a chunk of its rows (J-8).

    Args:
        partners: of each row of the chunk the owner's row, or ``UNMATCHED``.
        owned: all encrypted rows of the owner, verified; may be a map of a file.

    Raises:
        InvalidInput: the owner has no such row.
    """
    width = pair.row_ciphertexts * public.ciphertext_bytes
    if len(partners) and int(partners.max()) >= len(owned) // width:
        raise InvalidInput("the owner has no such row")
    # One, the product's neutral element, stands for a row that is not joined.
    neutral = (1).to_bytes(public.ciphertext_bytes, "big") * pair.row_ciphertexts
    rows = [
        neutral if row == UNMATCHED else bytes(owned[row * width : (row + 1) * width])
        for row in partners.tolist()
    ]
    count = len(rows) * pair.row_ciphertexts
    zeros = encrypt(
        public, [0] * count, randomness=ROW_RANDOMNESS, workers=workers, progress=progress
    )
    product = Product(public.modulus, count)
    product.multiply(parse_ciphertexts(zeros, public, count).digits)
    product.multiply(_digits(b"".join(rows), public))
    return CiphertextVector(public, product.digits).to_bytes()


def _digits(data: bytes, public: PublicKey) -> Iterator[tuple[Any, Any]]:
    """Numbers that were verified before, to the base n."""
    n, width = gmpy2.mpz(public.modulus), public.ciphertext_bytes
    for start in range(0, len(data), width):
        yield divmod(gmpy2.mpz.from_bytes(data[start : start + width], "big"), n)
