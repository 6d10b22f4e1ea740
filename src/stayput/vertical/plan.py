"""What a run of a join computes, part by part: derived by every party from the sealed text.

A question (:mod:`stayput.vertical.questions`, :mod:`stayput.vertical.models`) names moments: sums
over the people of a cell of 1, of one feature, or of a product of two holders' features.  Each
moment is computed by one *pair* of holders.  The *owner* encrypts its features row by row under its
own key; the *combiner* raises them, unread, to its own plaintext numbers (1 or a feature) and adds
up the rows of each of its groups.  A third holder takes part by the matching alone: a row that not
everybody has is a row of zeros.

The owner's row is a vector of *slots*, one for each of its groups and each number that is wanted
there: the number if the row is in that group, else 0.  So the combiner, who cannot see the owner's
groups, computes all of them at once.  The number of a slot is 1 (it counts people) or a feature.

Which of two holders is the owner: the one whose rows take fewer ciphertexts, and of equals the one
that lets the other raise to fewer numbers, or else comes later.  A moment of fewer than two holders
is computed by a pair that is needed anyway.

Pure.  Invariants: no slot can spill into the next, whatever data within the contracts: a slot has
the bits of the largest possible sum and of the mask that hides it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from stayput.crypto.packing import WIDTHS
from stayput.errors import InvalidInput
from stayput.scenario import IdentifierRule, TableContract

if TYPE_CHECKING:  # they bring the SQL parser, which a staging process has no use for
    from stayput.vertical.models import ModelQuestion
    from stayput.vertical.questions import JoinQuestion, Staged

ONE: Final = -1
"""Stands for the number 1 where otherwise the position of a feature stands."""

MASK_BITS: Final = 80
"""A mask is uniform over so many bits more than the sum that it hides: the distance of what the
owner opens from a uniform number is below 2^-80."""

MAX_ROW_CIPHERTEXTS: Final = 64
"""Ciphertexts of one row: each costs half a millisecond at every party."""


@dataclasses.dataclass(frozen=True)
class Joined:
    """One table of the join and its holder.

    ``bounds`` are the largest values of its features, ``groups`` the number of values of its part
    of the group key.
    """

    holder: str
    table: str
    rule: IdentifierRule
    max_rows: int
    pad_to: int  # 0: as many blinded identifiers as people
    groups: int
    bounds: tuple[int, ...]

    def bound(self, number: int) -> int:
        """Largest value of a feature, or of :data:`ONE`."""
        return 1 if number == ONE else self.bounds[number]


@dataclasses.dataclass(frozen=True)
class Slot:
    """A place in the owner's row: ``number`` of those of its rows that are in ``group``."""

    group: int
    number: int  # position of a feature, or ONE
    sum_bits: int  # of the largest sum over rows, for every power of the pair

    @property
    def bits(self) -> int:
        """Whole bytes that hold the masked sum."""
        return -(-(self.sum_bits + MASK_BITS + 1) // 8) * 8


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two holders, by position in the join, and what they compute together.

    ``powers`` are the combiner's numbers that ciphertexts are raised to; ``slots`` say what is in
    a row of the owner, ciphertext by ciphertext.
    """

    combiner: int
    owner: int
    powers: tuple[int, ...]
    slots: tuple[tuple[Slot, ...], ...]

    @property
    def row_ciphertexts(self) -> int:
        """Ciphertexts of one row of the owner."""
        return len(self.slots)

    def find(self, group: int, number: int) -> tuple[int, int]:
        """Where a slot is: ciphertext of the row, place in it."""
        for index, ciphertext in enumerate(self.slots):
            for place, slot in enumerate(ciphertext):
                if (slot.group, slot.number) == (group, number):
                    return index, place
        raise KeyError("the pair has no such slot")


@dataclasses.dataclass(frozen=True)
class Source:
    """Which pair computes a moment, from which power and which of the owner's numbers."""

    pair: int
    power: int
    number: int


@dataclasses.dataclass(frozen=True)
class JoinPlan:
    """Everything that the parties of a run compute over a join.

    ``cells`` are the numbers of the group in each table; ``sources`` belong to the moments of the
    question in order, the first of which counts people.
    """

    tables: tuple[Joined, ...]
    key_bits: int
    cells: tuple[tuple[int, ...], ...]
    pairs: tuple[Pair, ...]
    sources: tuple[Source, ...]
    sum_bits: tuple[int, ...]  # of each moment

    @property
    def holders(self) -> tuple[str, ...]:
        """The holders in the order of the join."""
        return tuple(table.holder for table in self.tables)

    def width(self, moments: Sequence[int]) -> int:
        """Bits of a residue in which the sums of these moments fit, with their sign (M-4)."""
        needed = max((self.sum_bits[moment] for moment in moments), default=0) + 1
        return next(width for width in WIDTHS if width >= needed)


def plan_join(
    question: JoinQuestion | ModelQuestion, tables: Sequence[TableContract], key_bits: int
) -> JoinPlan:
    """The plan of a question; everybody derives the same.

    Args:
        key_bits: length of the run keys, from the scenario.

    Raises:
        InvalidInput: its sums do not fit 160 bits, or a row would take more than 64 ciphertexts.
    """
    contracts = {table.name: table for table in tables}
    joined = tuple(_joined(contracts[staged.table], staged) for staged in question.staged)
    cells = tuple(question.groups())
    people = min(table.max_rows for table in joined)
    sum_bits = []
    for moment in question.moments:
        largest = people
        for table, number in moment:
            largest *= joined[table].bound(number)
        sum_bits.append(largest.bit_length())
    if max(sum_bits) + 1 > WIDTHS[-1]:
        raise InvalidInput(
            f"a sum over the join may need {max(sum_bits) + 1} bits; {WIDTHS[-1]} are supported",
            hint="Declare closer bounds of the columns, or fewer max_rows.",
        )
    keyed = frozenset(index for index, table in enumerate(joined) if table.groups > 1)
    wanted = _by_pair(question.moments, keyed)
    pairs: list[Pair] = []
    sources: dict[int, Source] = {}
    for members, moments in wanted.items():
        pair = _pair(joined, members, [question.moments[index] for index in moments], key_bits)
        for index in moments:
            numbers = dict(question.moments[index])
            sources[index] = Source(
                len(pairs), numbers.get(pair.combiner, ONE), numbers.get(pair.owner, ONE)
            )
        pairs.append(pair)
    return JoinPlan(
        tables=joined,
        key_bits=key_bits,
        cells=cells,
        pairs=tuple(pairs),
        sources=tuple(sources[index] for index in range(len(question.moments))),
        sum_bits=tuple(sum_bits),
    )


def _joined(contract: TableContract, staged: Staged) -> Joined:
    identifier = contract.identifier
    if identifier is None or identifier.identifier is None:
        raise InvalidInput(f"{contract.name} has no identifier to join by")
    return Joined(
        holder=staged.holder,
        table=staged.table,
        rule=identifier.identifier,
        max_rows=contract.max_rows,
        pad_to=contract.pad_to,
        groups=staged.groups,
        bounds=staged.bounds,
    )


_Moment = tuple[tuple[int, int], ...]


def _by_pair(moments: Sequence[_Moment], keyed: frozenset[int]) -> dict[tuple[int, int], list[int]]:
    """Moments by the two holders that compute them; pairs in order."""
    holders = [keyed | {table for table, _ in moment} for moment in moments]
    pairs = {tuple(sorted(of)) for of in holders if len(of) == 2}
    found: dict[tuple[int, int], list[int]] = {}
    for index, of in enumerate(holders):
        fitting = sorted(pair for pair in pairs if of <= set(pair))
        if not fitting:  # nobody multiplies: the lowest other holder helps
            others = itertools.filterfalse(of.__contains__, itertools.count())
            members = sorted([*of, *itertools.islice(others, 2 - len(of))])
            fitting = [tuple(members)]
            pairs.add(fitting[0])
        first, second = fitting[0]
        found.setdefault((first, second), []).append(index)
    return dict(sorted(found.items()))


def _pair(
    joined: Sequence[Joined], members: tuple[int, int], moments: Sequence[_Moment], key_bits: int
) -> Pair:
    first, second = members
    candidates = [
        _directed(joined, combiner, owner, moments, key_bits)
        for combiner, owner in ((first, second), (second, first))
    ]
    best = min(candidates, key=lambda pair: (pair.row_ciphertexts, len(pair.powers)))
    if best.row_ciphertexts > MAX_ROW_CIPHERTEXTS:
        raise InvalidInput(
            f"a row would take {best.row_ciphertexts} ciphertexts; at most {MAX_ROW_CIPHERTEXTS} "
            "are supported",
            hint="Ask for fewer levels of group keys, or for fewer sums in one statement.",
        )
    return best


def _directed(
    joined: Sequence[Joined], combiner: int, owner: int, moments: Sequence[_Moment], key_bits: int
) -> Pair:
    """The pair with these roles."""
    powers, numbers = set(), set()
    for moment in moments:
        of = dict(moment)
        powers.add(of.get(combiner, ONE))
        numbers.add(of.get(owner, ONE))
    # A ciphertext is raised as a whole: a slot must hold its sum for the largest of all powers.
    people = min(table.max_rows for table in joined)
    largest = people * max(joined[combiner].bound(power) for power in powers)
    slots = [
        Slot(group, number, (largest * joined[owner].bound(number)).bit_length())
        for group in range(joined[owner].groups)
        for number in sorted(numbers)
    ]
    return Pair(combiner, owner, tuple(sorted(powers)), tuple(_packed(slots, key_bits - 1)))


def _packed(slots: Sequence[Slot], plaintext_bits: int) -> Iterator[tuple[Slot, ...]]:
    """Slots in order, as many to a plaintext as fit."""
    row: list[Slot] = []
    for slot in slots:
        if sum(one.bits for one in row) + slot.bits > plaintext_bits:
            yield tuple(row)
            row = []
        row.append(slot)
    yield tuple(row)
