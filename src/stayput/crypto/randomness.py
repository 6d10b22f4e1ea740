"""Where the randomness of a ciphertext comes from: the choices, and their tables of powers.

A ciphertext is (1 + m·n) · ρ with ρ a random n-th residue.  :class:`Randomness` names the ways to
make ρ; each rests on an assumption, which ``docs/crypto.md`` states with its source.  Tables are
built when needed, as large as pays for the work at hand, kept per key, and bounded in memory.

Not here: keys and ciphertexts (:mod:`stayput.crypto.paillier`), arithmetic
(:mod:`stayput.crypto.kernel`).  Invariant: every choice draws from the operating system only.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Final

from stayput.crypto.kernel import FixedBase, best_window, table_bytes

MAX_TABLE_BYTES: Final = 1 << 26
"""64 MB for one table: window 10 or 11 at 3072 bits and 384-bit exponents, beyond which little is
gained."""

MAX_CACHE_BYTES: Final = 1 << 27
"""128 MB for all tables of a process; the least recently used go first."""

ORDER_BITS: Final = 256
"""Length of each prime order of a subgroup key: 2^128 for generic attacks and for those of Coron et
al. (2011), which cost the square root of one order."""

_UNIFORM_BITS: Final = 128
"""Exponents longer than an order by so much are uniform modulo it, but for 2^-128."""


class Randomness(enum.Enum):
    """How ρ is made; a security parameter."""

    SHORT_384 = "384-bit exponent of a public base: the default for parts, which are masked besides"
    SHORT_256 = "256-bit exponent of a public base"
    HALF = "exponent of half the modulus's length, as Damgård, Jurik and Nielsen have it"
    FULL = "r^n for uniform r, as Paillier has it: no further assumption, and some 50 × slower"
    SUBGROUP = "uniform in the subgroup of a subgroup key; what such a key takes, and nothing else"

    def exponent_bits(self, modulus_bits: int) -> int:
        """Length of exponents.

        Raises:
            ValueError: for FULL, which has no base.
        """
        if self is Randomness.FULL:
            raise ValueError("full randomness has no short exponent")
        return {
            Randomness.SHORT_384: 384,
            Randomness.SHORT_256: 256,
            Randomness.HALF: -(-modulus_bits // 2),
            Randomness.SUBGROUP: 2 * ORDER_BITS + _UNIFORM_BITS,
        }[self]


_Name = tuple[int, int, int]

# Operations on these are atomic each; two threads at worst build the same table twice.
_tables: OrderedDict[_Name, FixedBase] = OrderedDict()
_used: dict[_Name, int] = {}


def powers_of(
    modulus: int, base: int, exponent_bits: int, count: int, *, at_once: int = 0
) -> FixedBase:
    """A table of powers of ``base``, for ``count`` more of them.

    The window is chosen for the work that is known to come (``at_once``), or for as many as were
    taken so far if those are more: few powers never pay for a large table, many small vectors get
    one in the end.
    """
    name = (modulus, base, exponent_bits)
    held = _tables.get(name)
    _used[name] = _used.get(name, 0) + count
    bits = modulus.bit_length()
    expected = max(at_once, count, _used[name] // 2)
    window = best_window(bits, exponent_bits, expected, MAX_TABLE_BYTES)
    if held is None or held.window < window:
        held = FixedBase(modulus, base, exponent_bits, window)
    _tables[name] = held
    _tables.move_to_end(name)
    while len(_tables) > 1 and cached_bytes() > MAX_CACHE_BYTES:
        forgotten, _ = _tables.popitem(last=False)
        _used.pop(forgotten, None)
    return held


def cached_bytes() -> int:
    """Memory of all tables of this process."""
    return sum(
        table_bytes(modulus.bit_length(), bits, table.window)
        for (modulus, _, bits), table in list(_tables.items())
    )
