"""Packing: many bounded numbers in one Paillier plaintext, and their sums out of it again.

A *residue* is a number modulo 2^width; a vector of them is an array of little-endian 32-bit limbs,
shape ``count × width / 32``.  Signed values are two's complement.  In a plaintext every residue has
a *slot* of ``width + guard`` bits.  Guard bits take the carries of an addition: ``n`` parts below
2^width add up to less than n · 2^width ≤ 2^(width + guard), so no slot spills into the next.  Slots
are whole bytes, so there are 8 guard bits for up to 256 parts and 16 for up to 65,536; that is up
to 7 bits more than ceil(log2 n), and lets one copy of bytes do the work.

Not here: bounds of the *values* (|sum| < 2^(width-1) is the caller's duty: a sum beyond it wraps,
and no guard bit tells).  Invariant: ``unpack(pack(r)) == r``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stayput.errors import InvalidInput, VerificationError

Residues = npt.NDArray[np.uint32]
"""``count × limbs``, little-endian limbs of 32 bits."""

WIDTHS: Final = (32, 64, 96, 128, 160)
"""Value widths in bits; 160 holds 2^64 · 2^64 · 2^32, a sum of products of the widest columns."""

GUARDS: Final = (8, 16)
"""Guard widths in bits; the second is for more than 256 parts."""

_LIMB_BITS: Final = 32
_LIMB_MASK: Final = np.uint64(2**_LIMB_BITS - 1)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How ``count`` residues of ``width`` bits lie in plaintexts of ``plaintext_bits`` bits."""

    width: int
    guard: int
    count: int
    plaintext_bits: int

    def __post_init__(self) -> None:
        if self.width not in WIDTHS or self.guard not in GUARDS or self.count < 0:
            raise InvalidInput("there is no such layout of values")
        if self.slots < 1:
            raise InvalidInput("a plaintext is too short for one value")

    @property
    def slots(self) -> int:
        """Values per plaintext."""
        return self.plaintext_bits // (self.width + self.guard)

    @property
    def ciphertexts(self) -> int:
        """Plaintexts for the whole vector; 0 for an empty one."""
        return -(-self.count // self.slots)

    @property
    def limbs(self) -> int:
        """32-bit limbs per residue."""
        return self.width // _LIMB_BITS


def layout_for(plaintext_bits: int, width: int, parties: int, count: int) -> Layout:
    """The layout for a sum over ``parties`` parts.

    Raises:
        InvalidInput: a width that is not in :data:`WIDTHS`, or more than 65,536 parties (M-3).
    """
    for guard in GUARDS:
        if 1 <= parties <= 1 << guard:
            return Layout(width, guard, count, plaintext_bits)
    raise InvalidInput(f"a sum has 1 to {1 << GUARDS[-1]} parts, not {parties}")


def residues_from(values: Sequence[int] | npt.NDArray[np.int64], layout: Layout) -> Residues:
    """Two's complement residues of whole numbers within -2^(width-1) … 2^(width-1) - 1.

    Values that fit 64 bits, as arrays or as numbers, take no Python loop; wider ones are taken
    apart by numpy's loops over objects.

    Raises:
        InvalidInput: another count, a value that is no whole number or does not fit the width.
    """
    if len(values) != layout.count:
        raise InvalidInput(f"the vector has {layout.count} values, not {len(values)}")
    whole = whole_array(values)
    lowest, highest = extremes(whole)
    half = 1 << (layout.width - 1)
    if not -half <= lowest <= highest < half:
        raise InvalidInput(f"a value does not fit into {layout.width} bits")
    limbs = np.empty((layout.count, layout.limbs), dtype=np.uint32)
    if whole.dtype == np.int64:
        low = np.ascontiguousarray(whole, dtype="<i8").view("<u4").reshape(-1, 2)
        limbs[:, : min(2, layout.limbs)] = low[:, : layout.limbs]
        if layout.limbs > 2:
            limbs[:, 2:] = (whole >> 63).astype(np.uint32)[:, None]  # the sign, all the way up
        return limbs
    for i in range(layout.limbs):
        limbs[:, i] = (whole >> (_LIMB_BITS * i) & int(_LIMB_MASK)).astype(np.uint32)
    return limbs


def array_from(residues: Residues, layout: Layout) -> npt.NDArray[Any]:
    """The signed values of residues (two's complement): int64 up to 64 bits, else objects."""
    if layout.width <= 64:
        data = np.ascontiguousarray(residues, dtype="<u4")
        return data.view(f"<i{layout.width // 8}").reshape(-1).astype(np.int64)
    values: npt.NDArray[Any] = residues[:, -1].astype(np.int32).astype(object)
    for i in reversed(range(layout.limbs - 1)):
        values = (values << _LIMB_BITS) | residues[:, i].astype(object)
    return values


def values_from(residues: Residues, layout: Layout) -> list[int]:
    """The signed values of residues as Python integers."""
    values: list[int] = array_from(residues, layout).tolist()
    return values


def whole_array(values: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values as one array: int64 if they all fit, else objects.

    Raises:
        InvalidInput: a float, a truth value, text; never rounded or guessed.
    """
    narrow = isinstance(values, np.ndarray) and np.can_cast(values.dtype, np.int64)
    if isinstance(values, np.ndarray) and narrow and values.dtype.kind in "iu" and values.ndim == 1:
        return values.astype(np.int64)
    numbers = whole_numbers(values)
    try:
        return np.array(numbers, dtype=np.int64)
    except OverflowError:
        return np.array(numbers, dtype=object)


def extremes(whole: npt.NDArray[Any]) -> tuple[int, int]:
    """Least and greatest value; 0 and 0 of an empty vector."""
    return (int(whole.min()), int(whole.max())) if len(whole) else (0, 0)


def whole_numbers(values: Sequence[int] | npt.NDArray[Any]) -> list[int]:
    """The values as Python integers.

    Raises:
        InvalidInput: a float, a truth value, text; never rounded or guessed.
    """
    numbers: list[int] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not set(map(type, numbers)) <= {int}:
        raise InvalidInput("the values of a vector are whole numbers")
    return numbers


def add_residues(residues: Residues, added: Residues) -> Residues:
    """The sum modulo 2^width, slot by slot."""
    if residues.shape[1] <= 2:
        return from_words(words(residues) + words(added))
    return carry(residues.astype(np.uint64) + added)


def words(residues: Residues) -> npt.NDArray[Any]:
    """Residues of 32 or 64 bits as one machine word each; numpy adds those modulo 2^width."""
    width = residues.shape[1] * _LIMB_BITS // 8
    return np.ascontiguousarray(residues, dtype="<u4").view(f"<u{width}").reshape(-1)


def from_words(values: npt.NDArray[Any]) -> Residues:
    """The residues of :func:`words`."""
    limbs = values.dtype.itemsize * 8 // _LIMB_BITS
    return values.view("<u4").reshape(-1, limbs).astype(np.uint32, copy=False)


def carry(limbs: npt.NDArray[np.uint64]) -> Residues:
    """Reduce limb sums below 2^63 to residues: carries go up, the last one is dropped.

    Args:
        limbs: ``count × limbs``; worked on in place.
    """
    for i in range(limbs.shape[1] - 1):
        limbs[:, i + 1] += limbs[:, i] >> np.uint64(_LIMB_BITS)
    return (limbs & _LIMB_MASK).astype(np.uint32)


def pack(residues: Residues, layout: Layout) -> list[int]:
    """Plaintexts of a vector; value i is in slot i mod ``slots`` of plaintext i div ``slots``,
    the lowest slot first; unused slots are 0.

    Raises:
        ValueError: the array does not have the shape of the layout.
    """
    if residues.shape != (layout.count, layout.limbs):
        raise ValueError("the residues do not have the shape of the layout")
    slots = _empty_slots(layout)
    values = np.ascontiguousarray(residues, dtype="<u4").view(np.uint8)
    slots[: layout.count, : layout.width // 8] = values
    step = layout.slots * slots.shape[1]
    data = slots.tobytes()
    return [int.from_bytes(data[i : i + step], "little") for i in range(0, len(data), step)]


def unpack(plaintexts: Sequence[int], layout: Layout) -> Residues:
    """The residues in the slots of summed plaintexts, each reduced modulo 2^width.

    Raises:
        VerificationError: not the number of plaintexts of the layout, or something beyond the last
            slot: whatever was encrypted, it was not this vector.
    """
    if len(plaintexts) != layout.ciphertexts:
        raise VerificationError("the opened sum does not have the length of its vector")
    slots = _empty_slots(layout)
    width = layout.slots * slots.shape[1]
    if any(plaintext >> (8 * width) for plaintext in plaintexts):
        raise VerificationError("the opened sum does not have the shape of its vector")
    joined = b"".join(plaintext.to_bytes(width, "little") for plaintext in plaintexts)
    slots = np.frombuffer(joined, dtype=np.uint8).reshape(slots.shape)
    if slots[layout.count :].any():
        raise VerificationError("the opened sum has values beyond its vector")
    values = np.ascontiguousarray(slots[: layout.count, : layout.width // 8])
    return values.view("<u4").reshape(layout.count, layout.limbs).astype(np.uint32)


def _empty_slots(layout: Layout) -> npt.NDArray[np.uint8]:
    """All slots of all plaintexts, one row of bytes each."""
    slot_bytes = (layout.width + layout.guard) // 8
    return np.zeros((layout.ciphertexts * layout.slots, slot_bytes), dtype=np.uint8)
