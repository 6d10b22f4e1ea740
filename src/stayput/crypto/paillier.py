"""Paillier encryption of vectors: whole numbers in, numbers whose product is the encrypted sum.

With n = p·q and g = n + 1, a ciphertext of m is ``(1 + m·n) · ρ mod n²`` where ρ is a random n-th
residue (Paillier 1999).  ρ is made as Damgård, Jurik and Nielsen do (2010, §4.2): ``ρ = h_s^a``
with ``h = -x² mod n``, ``h_s = h^n mod n²`` and a short random a.  Here x is derived from n by
hashing, so h_s is public and anyone can recompute it; a has 384 bits unless the caller chooses
otherwise (:class:`Randomness`); powers come from a table.  ``Randomness.FULL`` is the plain form
``ρ = r^n`` and the reference; all decrypt alike and interoperate with ``phe``.

There are two kinds of keys.  An ordinary one consists of two safe primes.  A *subgroup key* has
primes 2·a·b + 1 and a public h of order a_p·a_q (Groth 2005; Ma, Han and Li 2021): it decrypts with
exponents of 256 bits instead of half the modulus's length.  Key files and key ids say which it is.

Not here: packing (:mod:`stayput.crypto.packing`), masks, contexts, where keys are stored,
multiplications (:mod:`stayput.crypto.kernel`).

Invariants: keys are 2048 to 4096 bits, smaller ones are refused everywhere; private keys consist
of two safe primes, which a short exponent needs, or of two primes with subgroups, never of one of
each; a :class:`CiphertextVector` holds only units modulo n².

Assumptions: decisional composite residuosity, and that a 384-bit exponent of h_s is hard to find
(generic attacks cost 2^192; DJN themselves take ⌈|n|/2⌉ bits); ``docs/crypto.md`` has those of the
other choices.  An encrypting party cannot see whether a public modulus is made of safe primes, nor
the order of a subgroup key's h: a checker with a badly made key gives away the sums that it may
open anyway, never a part, since parts are masked.

What leaks: the time of encryption depends on the random exponent through table look-ups, so it
runs in the holder's own process.  Decryption exponentiates with ``powmod_sec``, whose time and
memory accesses do not depend on the secret exponent; reductions around it are ordinary GMP.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

import gmpy2

from stayput import documents
from stayput.crypto import safe_primes, subgroup_primes
from stayput.crypto.cores import PIECE, SHARED_FROM, Progress, in_pieces
from stayput.crypto.kernel import CrtPower, Product
from stayput.crypto.lock import lock, unlock
from stayput.crypto.prime_search import release_lock_while_computing, search_together
from stayput.crypto.randomness import ORDER_BITS, Randomness, powers_of
from stayput.crypto.safe_primes import is_safe_prime, search_safe_primes
from stayput.crypto.subgroup_primes import has_subgroup, search_subgroup_primes
from stayput.documents import document
from stayput.errors import ConfigurationError, DocumentError, InvalidInput, VerificationError

MIN_BITS: Final = 2048
"""112-bit security (NIST SP 800-57): the floor, for every key, also in tests."""

DEFAULT_BITS: Final = 3072
"""128-bit security (NIST SP 800-57)."""

MAX_BITS: Final = 4096
"""Beyond it a foreign key would only cost time."""

SMALL_FACTORS_BELOW: Final = 1 << 18
"""No modulus that is accepted has a factor below."""

_SUBGROUP_MARK: Final = b"\0"
"""First byte of a subgroup key; a modulus has no leading zero."""

__all__ = [
    "DEFAULT_BITS",
    "MAX_BITS",
    "MIN_BITS",
    "Accumulator",
    "CiphertextVector",
    "PrivateKey",
    "PublicKey",
    "Randomness",
    "decrypt",
    "encrypt",
    "encrypt_with_exponents",
    "encrypt_with_full_randomness",
    "parse_ciphertexts",
    "parse_public_key",
    "residue_base",
    "vector_of",
    "verify_ciphertexts",
    "verify_modulus",
    "verify_residue_base",
]


# --- public keys ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """A Paillier modulus that passed :func:`verify_modulus`; of a subgroup key also its h.

    Raises:
        VerificationError: on construction, for any other modulus or an h that is none.
    """

    modulus: int
    subgroup: int | None = None

    def __post_init__(self) -> None:
        verify_modulus(self.modulus)
        if self.subgroup is not None:
            _verify_subgroup_base(self.subgroup, self.modulus)

    @property
    def bits(self) -> int:
        """Length of the modulus."""
        return self.modulus.bit_length()

    @property
    def plaintext_bits(self) -> int:
        """Every number of so many bits is a plaintext (it is below n)."""
        return self.bits - 1

    @property
    def ciphertext_bytes(self) -> int:
        """Width of one ciphertext: the bytes of n²."""
        return (2 * self.bits + 7) // 8

    @property
    def randomness(self) -> Randomness:
        """What encryption under this key takes unless told otherwise."""
        return Randomness.SHORT_384 if self.subgroup is None else Randomness.SUBGROUP

    @functools.cached_property
    def key_id(self) -> bytes:
        """32-byte digest of the key; what contexts are bound to."""
        return documents.digest_bytes("stayput.v1.PaillierPublicKey", self.to_bytes())

    def to_bytes(self) -> bytes:
        """The modulus, big-endian, without leading zeros; of a subgroup key a zero byte, the
        modulus, and h in as many bytes."""
        width = (self.bits + 7) // 8
        data = self.modulus.to_bytes(width, "big")
        if self.subgroup is None:
            return data
        return _SUBGROUP_MARK + data + self.subgroup.to_bytes(width, "big")

    def __repr__(self) -> str:
        kind = "" if self.subgroup is None else ", subgroup"
        return f"PublicKey(bits={self.bits}{kind}, key_id={self.key_id.hex()[:16]})"


def parse_public_key(data: bytes) -> PublicKey:
    """Parse an untrusted key as :meth:`PublicKey.to_bytes` writes it.

    Raises:
        DocumentError: empty, too long, or with leading zeros.
        VerificationError: not a modulus that :func:`verify_modulus` accepts, or no h.
    """
    if data[:1] == _SUBGROUP_MARK and len(data) % 2 and len(data) > 2:
        width = len(data) // 2
        modulus, base = data[1 : 1 + width], data[1 + width :]
        if modulus[0] != 0 and MIN_BITS // 8 <= width <= MAX_BITS // 8:
            return PublicKey(int.from_bytes(modulus, "big"), int.from_bytes(base, "big"))
    if not data or data[0] == 0 or len(data) > MAX_BITS // 8:
        raise DocumentError("not the bytes of a Paillier modulus")
    return PublicKey(int.from_bytes(data, "big"))


def verify_modulus(modulus: int) -> int:
    """Refuse moduli that are certainly not the product of two large primes; returns the modulus.

    Raises:
        VerificationError: not 2048 to 4096 bits, even, prime, a perfect power, or divisible by a
            prime below 2**18.
    """
    if not MIN_BITS <= modulus.bit_length() <= MAX_BITS or modulus < 0:
        raise VerificationError(
            f"a Paillier modulus has {MIN_BITS} to {MAX_BITS} bits, not {modulus.bit_length()}"
        )
    n = gmpy2.mpz(modulus)
    if n % 2 == 0:
        raise VerificationError("the Paillier modulus is even")
    if gmpy2.gcd(n, _small_primes_product()) != 1:
        raise VerificationError("the Paillier modulus has a small factor")
    if gmpy2.is_power(n):
        raise VerificationError("the Paillier modulus is a perfect power")
    if gmpy2.is_prime(n):
        raise VerificationError("the Paillier modulus is a prime")
    return modulus


@functools.cache
def _small_primes_product() -> Any:
    return gmpy2.primorial(SMALL_FACTORS_BELOW) // 2  # the product of all odd primes below


def _verify_subgroup_base(base: int, modulus: int) -> int:
    """Refuse what is certainly not of the order of a subgroup key: 0, ±1, a factor, a non-square.

    The order itself cannot be checked without the primes.
    """
    h, n = gmpy2.mpz(base), gmpy2.mpz(modulus)
    if not 1 < h < n - 1 or gmpy2.gcd(h * (h - 1) * (h + 1), n) != 1 or gmpy2.jacobi(h, n) != 1:
        raise VerificationError("the base of the subgroup key is none")
    return base


# --- private keys ---------------------------------------------------------------------------------


@document("stayput.v1.PaillierKeyFile")
@dataclasses.dataclass(frozen=True)
class _KeyFile:
    """What a key file holds; ``type`` keeps it from being taken for another key."""

    type: str
    p: bytes = dataclasses.field(repr=False)
    q: bytes = dataclasses.field(repr=False)


_KEY_FILE_TYPE: Final = "stayput.v1.PaillierPrivateKey"
_SUBGROUP_FILE_TYPE: Final = "stayput.v1.PaillierSubgroupKey"
"""Here every prime has its 32-byte order before it."""


class PrivateKey:
    """Two safe primes of equal length, or two primes with subgroups. Shows only its public half.

    Args:
        orders: for a subgroup key, the prime order in p - 1 and in q - 1.

    Raises:
        VerificationError: on construction, for other factors or a refused modulus.
    """

    __slots__ = ("_full", "_halves", "_orders", "_p_inverse", "public")

    def __init__(self, p: int, q: int, orders: tuple[int, int] | None = None) -> None:
        if p == q or p.bit_length() != q.bit_length():
            raise VerificationError("the primes of a Paillier key are distinct and of equal length")
        verify_modulus(p * q)
        self._orders = orders
        if orders is None:
            if not is_safe_prime(p) or not is_safe_prime(q):
                raise VerificationError("the primes of a Paillier key are safe primes")
            self.public = PublicKey(p * q)
            exponents = (p - 1, q - 1)
        else:
            _verify_orders(p, q, orders)
            self.public = PublicKey(p * q, _subgroup_base(p, q, orders))
            exponents = orders
        self._halves = (CrtPower(p, q, exponents[0]), CrtPower(q, p, exponents[1]))
        self._full = (CrtPower(p, q, p - 1), CrtPower(q, p, q - 1))
        self._p_inverse: Any = gmpy2.invert(p, q)

    @classmethod
    def generate(
        cls, bits: int = DEFAULT_BITS, *, cores: int = 2, progress: Progress | None = None
    ) -> PrivateKey:
        """A new key from the operating system's randomness (some seconds).

        Args:
            cores: threads that search, each as fast as one core.
            progress: called now and then with numbers tested, and to be tested on average; luck
                decides when it ends.  What it raises cancels.

        Raises:
            InvalidInput: not an even number of bits between 2048 and 4096.
        """
        _require_bits(bits)
        p, q = search_together(
            lambda: search_safe_primes(bits // 2),
            2,
            expected=2 * safe_primes.expected_tests(bits // 2),
            cores=cores,
            progress=progress,
        )
        return cls(p, q)

    @classmethod
    def generate_subgroup(
        cls, bits: int = DEFAULT_BITS, *, cores: int = 2, progress: Progress | None = None
    ) -> PrivateKey:
        """A new subgroup key from the operating system's randomness (some seconds).

        Args:
            cores, progress: as for :meth:`generate`.

        Raises:
            InvalidInput: not an even number of bits between 2048 and 4096.
        """
        _require_bits(bits)
        (p, a_p), (q, a_q) = search_together(
            lambda: search_subgroup_primes(bits // 2, ORDER_BITS),
            2,
            expected=2 * subgroup_primes.expected_tests(bits // 2, ORDER_BITS),
            cores=cores,
            progress=progress,
        )
        return cls(p, q, (a_p, a_q))

    @classmethod
    def from_bytes(cls, data: bytes, passphrase: str | None = None) -> PrivateKey:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ConfigurationError: not such a key file, a key that is refused, or another passphrase.
        """
        if passphrase is not None:
            data = _unlocked(data, passphrase)
        try:
            stored = documents.parse(_KeyFile, data)
            if stored.type == _KEY_FILE_TYPE:
                return cls(int.from_bytes(stored.p, "big"), int.from_bytes(stored.q, "big"))
            if stored.type != _SUBGROUP_FILE_TYPE:
                raise DocumentError("the file is another kind of key")
            size = ORDER_BITS // 8
            a_p, p, a_q, q = (
                int.from_bytes(part, "big")
                for both in (stored.p, stored.q)
                for part in (both[:size], both[size:])
            )
            return cls(p, q, (a_p, a_q))
        except (DocumentError, VerificationError):
            # No detail and no cause: it could quote the file.
            raise ConfigurationError(
                "the Paillier key file does not hold a usable key",
                hint="Restore the key file from its backup.",
            ) from None

    def to_bytes(self, passphrase: str | None = None) -> bytes:
        """The secret primes as a canonical document; the caller stores them for the owner alone.

        With a passphrase the document is encrypted (:mod:`stayput.crypto.lock`).
        """
        p, q = (prime.to_bytes((prime.bit_length() + 7) // 8, "big") for prime in self.primes())
        if self._orders is None:
            data = documents.encode(_KeyFile(_KEY_FILE_TYPE, p, q))
        else:
            a_p, a_q = (order.to_bytes(ORDER_BITS // 8, "big") for order in self._orders)
            data = documents.encode(_KeyFile(_SUBGROUP_FILE_TYPE, a_p + p, a_q + q))
        return data if passphrase is None else lock(data, passphrase)

    def primes(self) -> tuple[int, int]:
        """The two secret primes."""
        return int(self._halves[0].prime), int(self._halves[1].prime)

    def open_numbers(
        self, ciphertexts: Sequence[Any], *, blinded: bool = False, progress: Progress | None = None
    ) -> list[int]:
        """Decrypt units modulo n² by the Chinese remainder theorem (Paillier 1999, §7).

        Each prime has a thread of its own: the exponentiation releases the interpreter lock.

        Args:
            blinded: see :func:`decrypt`.
        """
        opened: list[int] = []
        halves = [
            _Half(*both, residue_base(self.public) if blinded else None)
            for both in zip(self._halves, self._full, strict=True)
        ]
        with _two_threads() as pool:
            for start in range(0, len(ciphertexts), PIECE):
                piece = ciphertexts[start : start + PIECE]
                by_p, by_q = pool.map(_Half.open, halves, (piece, piece))
                opened.extend(map(self._combine, by_p, by_q))
                if progress is not None:
                    progress(len(opened), len(ciphertexts))
        return opened

    def _combine(self, m_p: Any, m_q: Any) -> int:
        p, q = (half.prime for half in self._halves)
        return int(m_p + p * ((m_q - m_p) * self._p_inverse % q))

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public!r})"


class _Half:
    """Opens numbers modulo one prime, one piece after the other.

    A number under a subgroup key whose randomness is not of the subgroup (another implementation
    made it) takes the full exponent.

    Args:
        residue: an n-th residue to blind with; None opens in constant time.
    """

    def __init__(self, half: CrtPower, full: CrtPower, residue: int | None) -> None:
        self._half, self._full = half, full
        self._blinds = itertools.repeat(None) if residue is None else half.blinds(residue)

    def open(self, numbers: Sequence[Any]) -> list[Any]:
        """Plaintexts modulo the prime."""
        opened = []
        for number, blind in zip(numbers, self._blinds, strict=False):
            m = self._half.open(number, blind)
            opened.append(self._full.open(number, blind) if m is None else m)
        return opened


def _unlocked(data: bytes, passphrase: str) -> bytes:
    try:
        return unlock(data, passphrase)
    except VerificationError:
        raise ConfigurationError(
            "the passphrase does not open the Paillier key file, or the file was altered",
            hint="Type it again, or restore the key file from its backup.",
        ) from None
    except DocumentError:
        raise ConfigurationError(
            "the Paillier key file is not locked, or damaged",
            hint="Restore the key file from its backup.",
        ) from None


def _require_bits(bits: int) -> None:
    if not MIN_BITS <= bits <= MAX_BITS or bits % 2:
        raise InvalidInput(f"a Paillier key has {MIN_BITS} to {MAX_BITS} bits, an even number")


def _verify_orders(p: int, q: int, orders: tuple[int, int]) -> None:
    for prime, order in zip((p, q), orders, strict=True):
        if order.bit_length() != ORDER_BITS or not has_subgroup(prime, order):
            raise VerificationError("the primes of a subgroup key are 2·a·b + 1 with primes a, b")
    if orders[0] == orders[1]:
        raise VerificationError("the orders of a subgroup key are distinct")


def _subgroup_base(p: int, q: int, orders: tuple[int, int]) -> int:
    """h of order a_p·a_q: the hash of n raised to the cofactor modulo each prime.

    The key alone determines it, so its file need not hold it.
    """
    x = _hash_below(p * q, b"stayput.v1 paillier subgroup base")
    h_p = gmpy2.powmod(x, (p - 1) // orders[0], p)
    h_q = gmpy2.powmod(x, (q - 1) // orders[1], q)
    return int(h_p + p * ((h_q - h_p) * gmpy2.invert(p, q) % q))


def _two_threads() -> ThreadPoolExecutor:
    """One thread per prime, really parallel as long as GMP computes."""
    return ThreadPoolExecutor(2, initializer=release_lock_while_computing)


# --- ciphertexts ----------------------------------------------------------------------------------


class CiphertextVector:
    """Ciphertexts under one key, each a unit modulo n². Made by this module's functions.

    Holds digits (high, low) to the base n, in which vectors are checked and added.
    """

    __slots__ = ("digits", "public")

    def __init__(self, public: PublicKey, digits: Iterable[tuple[Any, Any]]) -> None:
        self.public = public
        self.digits: tuple[tuple[Any, Any], ...] = tuple(digits)

    @property
    def numbers(self) -> tuple[Any, ...]:
        """The ciphertexts as numbers, computed anew."""
        n = gmpy2.mpz(self.public.modulus)
        return tuple(high * n + low for high, low in self.digits)

    def to_bytes(self) -> bytes:
        """Every ciphertext big-endian in ``ciphertext_bytes`` bytes, one after the other."""
        return _join(self.numbers, self.public)

    def __len__(self) -> int:
        return len(self.digits)

    def __repr__(self) -> str:
        return f"CiphertextVector({len(self)} ciphertexts under {self.public!r})"


def _join(numbers: Iterable[Any], public: PublicKey) -> bytes:
    width = public.ciphertext_bytes
    return b"".join(number.to_bytes(width, "big") for number in numbers)


def parse_ciphertexts(data: bytes, public: PublicKey, count: int) -> CiphertextVector:
    """Parse untrusted bytes as exactly ``count`` ciphertexts under ``public``.

    Raises:
        VerificationError: another length; a number that is 0, ≥ n², or has a common factor with n.
    """
    width = public.ciphertext_bytes
    if len(data) != count * width:
        raise VerificationError(f"{count} ciphertexts have {count * width} bytes, not {len(data)}")
    numbers = [
        gmpy2.mpz.from_bytes(data[start : start + width], "big")
        for start in range(0, len(data), width)
    ]
    return verify_ciphertexts(numbers, public)


def verify_ciphertexts(numbers: Sequence[Any], public: PublicKey) -> CiphertextVector:
    """Check that every number is a unit modulo n²: between 0 and n², and prime to n.

    Units that are 1 modulo n are refused, too: (1 + m·n) · 1 shows m to everybody, and honest
    randomness is never 1.

    One gcd of the product with n decides for all: it is 1 exactly when every single one is.

    Raises:
        VerificationError: one of them is not.
    """
    n = gmpy2.mpz(public.modulus)
    digits = []
    product = gmpy2.mpz(1)
    for number in numbers:
        high, low = divmod(number, n)
        if not (number > 0 and high < n):
            raise VerificationError("a ciphertext is out of range")
        if low == 1:
            raise VerificationError("a ciphertext is without randomness")
        product = product * low % n
        digits.append((high, low))
    if gmpy2.gcd(product, n) != 1:
        raise VerificationError("a ciphertext has a common factor with the modulus")
    return CiphertextVector(public, digits)


def vector_of(public: PublicKey, numbers: Iterable[Any]) -> CiphertextVector:
    """A vector of numbers that were computed from units modulo n², and so are units."""
    n = gmpy2.mpz(public.modulus)
    return CiphertextVector(public, (divmod(number, n) for number in numbers))


def encrypt(
    public: PublicKey,
    plaintexts: Sequence[int],
    *,
    randomness: Randomness | None = None,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Encrypt numbers 0 ≤ m < n; returns the bytes of the ciphertext vector.

    Args:
        randomness: a security parameter; the key's own (``public.randomness``) unless given.
        workers: processes that share the work of a long vector (:data:`~.cores.SHARED_FROM`); they
            are sent plaintexts and public numbers.
        progress: called now and then; what it raises cancels.

    Raises:
        InvalidInput: a plaintext is out of range, or randomness that does not fit the kind of key.
    """
    randomness = _require_randomness(public, randomness)
    if randomness is not Randomness.FULL:
        return encrypt_with_exponents(
            public, plaintexts, randomness=randomness, workers=workers, progress=progress
        )[0]
    _require_plaintexts(public, plaintexts)
    task = functools.partial(_encrypt_fully, public.modulus, public.ciphertext_bytes)
    return b"".join(in_pieces(task, plaintexts, _worth(workers, plaintexts), progress))


def encrypt_with_exponents(
    public: PublicKey,
    plaintexts: Sequence[int],
    *,
    randomness: Randomness,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[bytes, list[int]]:
    """Like :func:`encrypt`; also the secret exponents of h_s, for :mod:`stayput.crypto.proofs`.

    Args and Raises: as there.
    """
    _require_plaintexts(public, plaintexts)
    workers = _worth(workers, plaintexts)
    task = functools.partial(
        _encrypt_shortly,
        public.modulus,
        residue_base(public),
        _require_randomness(public, randomness).exponent_bits(public.bits),
        public.ciphertext_bytes,
        len(plaintexts) if workers is None else -(-len(plaintexts) // 2),
    )
    data, exponents = [], []
    for ciphertexts, drawn in in_pieces(task, plaintexts, workers, progress):
        data.append(ciphertexts)
        exponents += drawn
    return b"".join(data), exponents


def _worth(workers: Executor | None, plaintexts: Sequence[int]) -> Executor | None:
    """The workers, if a vector is long enough for them."""
    return workers if len(plaintexts) >= SHARED_FROM else None


def _encrypt_shortly(
    modulus: int, base: int, exponent_bits: int, width: int, total: int, plaintexts: Sequence[int]
) -> tuple[bytes, list[int]]:
    """A piece of a vector of ``total`` ciphertexts, and its exponents of h_s."""
    powers = powers_of(modulus, base, exponent_bits, len(plaintexts), at_once=total)
    drawn = powers.draw(len(plaintexts))
    data = b"".join(
        powers.encrypt(m, digits).to_bytes(width, "big")
        for m, digits in zip(plaintexts, drawn, strict=True)
    )
    return data, [powers.exponent(digits) for digits in drawn]


def _encrypt_fully(modulus: int, width: int, plaintexts: Sequence[int]) -> bytes:
    """A piece of a vector with r^n.

    A common factor of r and n would factor n: it does not happen.
    """
    n = gmpy2.mpz(modulus)
    square = n * n
    rs = (secrets.randbelow(modulus - 1) + 1 for _ in plaintexts)
    return b"".join(
        ((1 + m * n) * gmpy2.powmod(r, n, square) % square).to_bytes(width, "big")
        for m, r in zip(plaintexts, rs, strict=True)
    )


def encrypt_with_full_randomness(public: PublicKey, plaintexts: Sequence[int]) -> bytes:
    """The reference: :func:`encrypt` with ``Randomness.FULL``.

    Raises:
        InvalidInput: a plaintext is out of range, or a subgroup key.
    """
    return encrypt(public, plaintexts, randomness=Randomness.FULL)


def decrypt(
    private: PrivateKey,
    vector: CiphertextVector,
    *,
    blinded: bool = False,
    progress: Progress | None = None,
) -> list[int]:
    """The plaintexts, 0 ≤ m < n.

    Args:
        blinded: only where nobody else runs on the machine: ordinary exponentiation of blinded
            ciphertexts, 1.4 × as fast as constant time (docs/adr/0006).
        progress: called now and then; what it raises cancels.

    Raises:
        VerificationError: the vector is under another key.
    """
    if vector.public != private.public:
        raise VerificationError("the ciphertexts are under another key")
    return private.open_numbers(vector.numbers, blinded=blinded, progress=progress)


class Accumulator:
    """The sum of ciphertext vectors, formed as they arrive: memory of one vector.

    Args:
        public: the key of every vector.
        count: ciphertexts in every vector.
    """

    def __init__(self, public: PublicKey, count: int) -> None:
        self._public = public
        self._count = count
        self._product = Product(public.modulus, count)

    def add(self, vector: CiphertextVector) -> None:
        """Multiply a vector in: its plaintexts are added modulo n.

        Raises:
            VerificationError: another key or another length.
        """
        if vector.public != self._public or len(vector) != self._count:
            raise VerificationError("the ciphertexts do not belong to this sum")
        self._product.multiply(vector.digits)

    def total(self) -> CiphertextVector:
        """The encrypted sum so far."""
        return CiphertextVector(self._public, self._product.digits)


def _require_randomness(public: PublicKey, randomness: Randomness | None) -> Randomness:
    randomness = randomness or public.randomness
    if (randomness is Randomness.SUBGROUP) != (public.subgroup is not None):
        raise InvalidInput("a subgroup key takes randomness of its subgroup, other keys never do")
    return randomness


def _require_plaintexts(public: PublicKey, plaintexts: Sequence[int]) -> PublicKey:
    if not all(0 <= m < public.modulus for m in plaintexts):
        raise InvalidInput("a plaintext is out of the range of the key")
    return public


# --- randomness after Damgård, Jurik and Nielsen --------------------------------------------------


@functools.lru_cache(maxsize=16)
def residue_base(public: PublicKey) -> int:
    """h_s = h^n mod n² with h = -x² mod n (DJN 2010, §4.2), x hashed from n.

    For two primes p, q = 3 modulo 4, -1 is no square but has Jacobi symbol 1, so h generates (all
    but certainly) the whole subgroup of Jacobi symbol 1.  x = SHAKE-256(tag ‖ n) with 128 bits
    more than n, reduced: nobody chose it, anybody can recompute it.  A subgroup key brings its h.
    """
    n = gmpy2.mpz(public.modulus)
    if public.subgroup is not None:
        return int(gmpy2.powmod(public.subgroup, n, n * n))
    x = _hash_below(public.modulus, b"stayput.v1 paillier randomness base")
    return int(gmpy2.powmod(-x * x % n, n, n * n))


def verify_residue_base(public: PublicKey, base: int) -> int:
    """Refuse a base that somebody claims to be :func:`residue_base`; returns it.

    Raises:
        VerificationError: it is another.
    """
    if base != residue_base(public):
        raise VerificationError("the randomness base does not follow from the key")
    return base


def _hash_below(modulus: int, tag: bytes) -> Any:
    """SHAKE-256(tag ‖ n) of 128 bits more than n, modulo n."""
    bits = modulus.bit_length()
    stream = hashlib.shake_256(tag + modulus.to_bytes((bits + 7) // 8, "big"))
    return gmpy2.mpz(int.from_bytes(stream.digest((bits + 128 + 7) // 8), "big")) % modulus
