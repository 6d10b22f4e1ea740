"""Combining: sums over the joined rows of a cell, computed on ciphertexts, and taken apart in two.

::

    combiner                                             owner
    Combining.add, chunk by chunk                        open_masked
    Combining.finish ──masked, re-randomised──▶ decrypts ──▶ sum + mask
         └─▶ -mask                                            │
    both: share_of ──▶ encryption.encrypt_shares ──▶ the sum over all holders, as of any statement

For each group of its own and each of its numbers x, the combiner forms the product of c^x over its
rows c in that group: an encryption, under the owner's key, of sums over the joined rows, one in
each slot.  To every slot it adds a mask and sends the product back.  Now the owner knows sum + mask
and the combiner -mask: neither knows the sum, and modulo 2^width they add up to it.  From here on
it is a sum over holders like any other: pairwise masks, the checker's key, one opening.

* J-9  What the combiner returns is masked slot by slot, uniformly over 80 bits more than the
  largest sum, and re-randomised with an n-th power of a uniform number, which even the owner of the
  key cannot tell from that of any other ciphertext.  Masks are used once.
* J-10  Combiner and owner contribute residues modulo 2^width, the others zeros: of each round what
  is wanted in it, of residues of all sums that each keeps modulo 2^160 until the run is over.  A
  slot that is a number for no moment is masked too, and its mask forgotten.

Not here: which cells pass, encryption to the checker.  What leaks: to the owner nothing, since a
run combines all groups.  A combiner that does not do as it should can return a sum over fewer rows,
as any holder can lie about its rows; see docs/caveats.md.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import gmpy2
import numpy as np
import numpy.typing as npt

from stayput.crypto.cores import Progress
from stayput.crypto.kernel import power_product
from stayput.crypto.masks import statistical_masks
from stayput.crypto.paillier import (
    PrivateKey,
    PublicKey,
    Randomness,
    decrypt,
    encrypt,
    parse_ciphertexts,
    vector_of,
)
from stayput.errors import InvalidInput, RuleViolation, VerificationError
from stayput.vertical.people import People
from stayput.vertical.plan import MASK_BITS, JoinPlan, Pair

Wanted = Sequence[tuple[int, int]]
"""Cells and moments, by position in the plan, in the order of a round's vector."""

_PIECE_ROWS: Final = 1024
"""Rows that one worker combines at a time: enough for large windows, few enough for two workers."""


@dataclasses.dataclass(frozen=True, order=True)
class Combination:
    """One product: the combiner's rows of a group, raised to one of its numbers, of one ciphertext
    of the owner's row."""

    group: int
    power: int
    ciphertext: int


Place = tuple[Combination, int]
"""A sum: the product that has it, and the slot there."""


def place_of(plan: JoinPlan, cell: int, moment: int) -> Place:
    """Where the moment of a cell is computed, within its pair."""
    source = plan.sources[moment]
    pair, groups = plan.pairs[source.pair], plan.cells[cell]
    ciphertext, slot = pair.find(groups[pair.owner], source.number)
    return Combination(groups[pair.combiner], source.power, ciphertext), slot


def combinations(plan: JoinPlan, pair: int, wanted: Wanted) -> tuple[Combination, ...]:
    """The products that a pair forms for what is wanted: each once, in order."""
    mine = {
        place_of(plan, cell, moment)[0]
        for cell, moment in wanted
        if plan.sources[moment].pair == pair
    }
    return tuple(sorted(mine))


class Combining:
    """The combiner's work of one pair and round; one use. Memory of one product each.

    Args:
        pair: who with whom.
        wanted: the products to form.
        public: the owner's run key.
    """

    def __init__(self, pair: Pair, wanted: Sequence[Combination], public: PublicKey) -> None:
        self._pair = pair
        self._wanted = tuple(wanted)
        self._public = public
        self._square = gmpy2.mpz(public.modulus) ** 2
        self._products = [gmpy2.mpz(1)] * len(self._wanted)
        self._finished = False

    def add(
        self,
        people: People,
        order: Sequence[int],
        received: bytes,
        workers: Executor | None = None,
    ) -> None:
        """Combine a chunk of rows; a chunk that is refused leaves no trace.

        Args:
            order: the rows of ``people`` of this chunk, in the order of the blinded set.
            received: the ciphertexts that came for them.

        Raises:
            VerificationError: not that many ciphertexts, or no ciphertexts.
        """
        width = self._pair.row_ciphertexts * self._public.ciphertext_bytes
        if len(received) != len(order) * width:
            raise VerificationError("the combiner gets ciphertexts for each of its rows")
        task = functools.partial(
            _combine, self._public, self._pair.row_ciphertexts, self._wanted, self._square
        )
        rows = np.array(order, dtype=np.int64)
        pieces = [
            (
                np.where(mine < 0, -1, people.groups[mine]) if len(people) else mine,
                {power: people.numbers(power)[mine].tolist() for power in self._pair.powers}
                if len(people)
                else {},
                received[start * width : (start + _PIECE_ROWS) * width],
            )
            for start in range(0, len(rows), _PIECE_ROWS)
            for mine in (rows[start : start + _PIECE_ROWS],)
        ]
        products = self._products
        for found in map(task, pieces) if workers is None else workers.map(task, pieces):
            products = [
                product * more % self._square for product, more in zip(products, found, strict=True)
            ]
        self._products = products

    def finish(
        self, workers: Executor | None = None, progress: Progress | None = None
    ) -> tuple[bytes, dict[Place, int]]:
        """Mask and re-randomise (J-9): an exponentiation of full length for each product.

        Returns:
            What goes to the owner, and the masks, which stay.

        Raises:
            RuleViolation: it was finished before.
        """
        if self._finished:
            raise RuleViolation("a mask hides one sum", clause="J-9")
        self._finished = True
        masks: dict[Place, int] = {}
        plaintexts = []
        for wanted in self._wanted:
            slots = self._pair.slots[wanted.ciphertext]
            drawn = statistical_masks([slot.sum_bits + MASK_BITS for slot in slots])
            masks.update({(wanted, place): mask for place, mask in enumerate(drawn)})
            plaintexts.append(_joined(drawn, self._pair, wanted))
        fresh = parse_ciphertexts(
            encrypt(
                self._public,
                plaintexts,
                randomness=Randomness.FULL,
                workers=workers,
                progress=progress,
            ),
            self._public,
            len(plaintexts),
        )
        returned = vector_of(
            self._public,
            (a * b % self._square for a, b in zip(self._products, fresh.numbers, strict=True)),
        )
        return returned.to_bytes(), masks

    def __repr__(self) -> str:
        return f"Combining({len(self._wanted)} products)"


_Piece = tuple[npt.NDArray[np.int64], Mapping[int, list[int]], bytes]
"""Groups of the rows (-1: padding), numbers of the rows by power, ciphertexts."""


def _combine(
    public: PublicKey, per_row: int, wanted: Sequence[Combination], square: Any, piece: _Piece
) -> list[Any]:
    """The products over some rows."""
    groups, numbers, data = piece
    received = parse_ciphertexts(data, public, len(groups) * per_row).numbers
    inside = {
        group: np.flatnonzero(groups == group).tolist() for group in {one.group for one in wanted}
    }
    products = []
    for one in wanted:
        rows = inside[one.group]
        products.append(
            power_product(
                [received[row * per_row + one.ciphertext] for row in rows],
                [numbers[one.power][row] for row in rows],
                square,
            )
        )
    return products


def open_masked(
    private: PrivateKey,
    returned: bytes,
    pair: Pair,
    wanted: Sequence[Combination],
    *,
    progress: Progress | None = None,
) -> dict[Place, int]:
    """Decrypt what the combiner returned: sum + mask of every slot. The owner's work.

    Raises:
        VerificationError: no ciphertexts of that number, or not slots of this pair.
    """
    vector = parse_ciphertexts(returned, private.public, len(wanted))
    opened: dict[Place, int] = {}
    for one, plaintext in zip(wanted, decrypt(private, vector, progress=progress), strict=True):
        rest = plaintext
        for place, slot in enumerate(pair.slots[one.ciphertext]):
            opened[one, place] = rest & ((1 << slot.bits) - 1)
            rest >>= slot.bits
        if rest:
            raise VerificationError("what came back does not have the shape of its pair")
    return opened


def share_of(
    plan: JoinPlan,
    me: str,
    wanted: Wanted,
    width: int,
    *,
    masks: Mapping[int, Mapping[Place, int]],
    opened: Mapping[int, Mapping[Place, int]],
) -> list[int]:
    """A holder's residues modulo 2^width, one for each moment of a cell that is wanted (J-10).

    Args:
        masks: of each pair in which this holder is the combiner.
        opened: of each pair in which it is the owner.

    Returns:
        Numbers from 0 to 2^width - 1; over all holders they add up to the sums modulo 2^width.

    Raises:
        InvalidInput: the sums do not fit the width, or a pair of this holder is missing.
    """
    if width < plan.width([moment for _, moment in wanted]):
        raise InvalidInput("the sums do not fit the width")
    shares = []
    for cell, moment in wanted:
        index = plan.sources[moment].pair
        pair = plan.pairs[index]
        share = 0
        try:
            if plan.holders[pair.combiner] == me:
                share = -masks[index][place_of(plan, cell, moment)]
            elif plan.holders[pair.owner] == me:
                share = opened[index][place_of(plan, cell, moment)]
        except KeyError:
            raise InvalidInput("a sum of this holder was not combined") from None
        shares.append(share % (1 << width))
    return shares


def _joined(numbers: Iterable[int], pair: Pair, wanted: Combination) -> int:
    """The plaintext with these numbers in its slots."""
    plaintext, shift = 0, 0
    for number, slot in zip(numbers, pair.slots[wanted.ciphertext], strict=True):
        plaintext |= number << shift
        shift += slot.bits
    return plaintext
