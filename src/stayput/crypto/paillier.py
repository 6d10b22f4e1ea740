"""Paillier encryption of vectors: whole numbers in, numbers whose product is the encrypted sum.

With n = p·q and g = n + 1, a ciphertext of m is ``(1 + m·n) · ρ mod n²`` where ρ is a random n-th
residue (Paillier 1999).  ρ is made as Damgård, Jurik and Nielsen do (2010, §4.2): ``ρ = h_s^a``
with ``h = -x² mod n``, ``h_s = h^n mod n²`` and a short random a.  Here x is derived from n by
hashing, so h_s is public and anyone can recompute it; a has 384 bits; powers come from a table
built once per key and process.  :func:`encrypt_with_full_randomness` is the plain form
``ρ = r^n`` and the reference; both decrypt alike and both interoperate with ``phe``.

Not here: packing (:mod:`stayput.crypto.packing`), masks, contexts, where keys are stored.

Invariants: keys are 2048 to 4096 bits, smaller ones are refused everywhere; private keys consist
of two safe primes, which a short exponent needs; a :class:`CiphertextVector` holds only units
modulo n².

Assumptions: decisional composite residuosity, and that a 384-bit exponent of h_s is hard to find
(generic attacks cost 2^192; DJN themselves take ⌈|n|/2⌉ bits).  An encrypting party cannot see
whether a public modulus is made of safe primes: a checker with a badly made key gives away the
sums that it may open anyway, never a part, since parts are masked.

What leaks: the time of encryption depends on the random exponent through table look-ups, so it
runs in the holder's own process.  Decryption exponentiates with ``powmod_sec``, whose time and
memory accesses do not depend on the secret exponent; reductions around it are ordinary GMP.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import gmpy2

from stayput import documents
from stayput.crypto.safe_primes import SMALL_FACTORS_BELOW, is_safe_prime, search_safe_primes
from stayput.documents import document
from stayput.errors import ConfigurationError, DocumentError, InvalidInput, VerificationError

MIN_BITS: Final = 2048
"""112-bit security (NIST SP 800-57): the floor, for every key, also in tests."""

DEFAULT_BITS: Final = 3072
"""128-bit security (NIST SP 800-57)."""

MAX_BITS: Final = 4096
"""Beyond it a foreign key would only cost time."""

EXPONENT_BITS: Final = 384
"""Length of the random exponent of h_s; see the assumptions above."""

_WINDOW_BITS: Final = 6
"""64 rows of 63 powers: 40 ms and 3 MB at 3072 bits; 7 would save a tenth per encryption only."""


# --- public keys ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """A Paillier modulus that passed :func:`verify_modulus`.

    Raises:
        VerificationError: on construction, for any other modulus.
    """

    modulus: int

    def __post_init__(self) -> None:
        verify_modulus(self.modulus)

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

    @functools.cached_property
    def key_id(self) -> bytes:
        """32-byte digest of the modulus; what contexts are bound to."""
        return documents.digest_bytes("stayput.v1.PaillierPublicKey", self.to_bytes())

    def to_bytes(self) -> bytes:
        """The modulus, big-endian, without leading zeros."""
        return self.modulus.to_bytes((self.bits + 7) // 8, "big")

    def __repr__(self) -> str:
        return f"PublicKey(bits={self.bits}, key_id={self.key_id.hex()[:16]})"


def parse_public_key(data: bytes) -> PublicKey:
    """Parse an untrusted modulus as :meth:`PublicKey.to_bytes` writes it.

    Raises:
        DocumentError: empty, too long, or with leading zeros.
        VerificationError: not a modulus that :func:`verify_modulus` accepts.
    """
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
    if n % 2 == 0 or gmpy2.gcd(n, _small_primes_product()) != 1:
        raise VerificationError("the Paillier modulus has a small factor")
    if gmpy2.is_power(n):
        raise VerificationError("the Paillier modulus is a perfect power")
    if gmpy2.is_prime(n):
        raise VerificationError("the Paillier modulus is a prime")
    return modulus


@functools.cache
def _small_primes_product() -> Any:
    return gmpy2.primorial(SMALL_FACTORS_BELOW) // 2  # the product of all odd primes below


# --- private keys ---------------------------------------------------------------------------------


@document("stayput.v1.PaillierKeyFile")
@dataclasses.dataclass(frozen=True)
class _KeyFile:
    """What a key file holds; ``type`` keeps it from being taken for another key."""

    type: str
    p: bytes = dataclasses.field(repr=False)
    q: bytes = dataclasses.field(repr=False)


_KEY_FILE_TYPE: Final = "stayput.v1.PaillierPrivateKey"


class PrivateKey:
    """Two safe primes of equal length. Shows only its public half.

    Raises:
        VerificationError: on construction, for other factors or a refused modulus.
    """

    __slots__ = ("_halves", "_p_inverse", "public")

    def __init__(self, p: int, q: int) -> None:
        if p == q or p.bit_length() != q.bit_length():
            raise VerificationError("the primes of a Paillier key are distinct and of equal length")
        self.public = PublicKey(p * q)
        if not is_safe_prime(p) or not is_safe_prime(q):
            raise VerificationError("the primes of a Paillier key are safe primes")
        self._halves = (_Half(p, q), _Half(q, p))
        self._p_inverse: Any = gmpy2.invert(p, q)

    @classmethod
    def generate(cls, bits: int = DEFAULT_BITS) -> PrivateKey:
        """A new key from the operating system's randomness (a few seconds).

        Raises:
            InvalidInput: not an even number of bits between 2048 and 4096.
        """
        if not MIN_BITS <= bits <= MAX_BITS or bits % 2:
            raise InvalidInput(f"a Paillier key has {MIN_BITS} to {MAX_BITS} bits, an even number")
        found: set[int] = set()

        def search(_: int) -> None:
            for prime in search_safe_primes(bits // 2, lambda: len(found) >= 2):
                found.add(prime)

        with _two_threads() as pool:
            list(pool.map(search, range(2)))  # both threads for both primes: luck is shared
        p, q = sorted(found)[:2]
        return cls(p, q)

    @classmethod
    def from_bytes(cls, data: bytes) -> PrivateKey:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ConfigurationError: not such a key file, or a key that is refused.
        """
        try:
            stored = documents.parse(_KeyFile, data)
            if stored.type != _KEY_FILE_TYPE:
                raise DocumentError("the file is another kind of key")
            return cls(int.from_bytes(stored.p, "big"), int.from_bytes(stored.q, "big"))
        except (DocumentError, VerificationError):
            # No detail and no cause: it could quote the file.
            raise ConfigurationError(
                "the Paillier key file does not hold a usable key",
                hint="Restore the key file from its backup.",
            ) from None

    def to_bytes(self) -> bytes:
        """The secret primes as a canonical document; the caller stores them for the owner alone."""
        p, q = (prime.to_bytes((prime.bit_length() + 7) // 8, "big") for prime in self.primes())
        return documents.encode(_KeyFile(_KEY_FILE_TYPE, p, q))

    def primes(self) -> tuple[int, int]:
        """The two secret primes."""
        return int(self._halves[0].prime), int(self._halves[1].prime)

    def open_numbers(self, ciphertexts: Sequence[Any]) -> list[int]:
        """Decrypt units modulo n² by the Chinese remainder theorem (Paillier 1999, §7).

        Each prime has a thread of its own: the exponentiation releases the interpreter lock.
        """
        with _two_threads() as pool:
            by_p, by_q = pool.map(lambda half: half.open(ciphertexts), self._halves)
        p, q = (half.prime for half in self._halves)
        return [
            int(m_p + p * ((m_q - m_p) * self._p_inverse % q))
            for m_p, m_q in zip(by_p, by_q, strict=True)
        ]

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public!r})"


class _Half:
    """Decryption modulo one prime: m = L(c^(p-1) mod p²) · h mod p with L(u) = (u - 1) / p."""

    __slots__ = ("_factor", "_square", "prime")

    def __init__(self, prime: int, other: int) -> None:
        self.prime: Any = gmpy2.mpz(prime)
        self._square: Any = self.prime * self.prime
        # h = L(g^(p-1) mod p²)^-1; with g = 1 + n that is (-q)^-1 modulo p.
        self._factor: Any = gmpy2.invert(-other, self.prime)

    def open(self, ciphertexts: Sequence[Any]) -> list[Any]:
        prime, square, exponent = self.prime, self._square, self.prime - 1
        return [
            (gmpy2.powmod_sec(c % square, exponent, square) - 1) // prime * self._factor % prime
            for c in ciphertexts
        ]


def _two_threads() -> ThreadPoolExecutor:
    """One thread per prime, really parallel as long as GMP computes."""
    return ThreadPoolExecutor(2, initializer=_release_lock_while_computing)


def _release_lock_while_computing() -> None:
    gmpy2.get_context().allow_release_gil = True  # a setting of the calling thread only


# --- ciphertexts ----------------------------------------------------------------------------------


class CiphertextVector:
    """Ciphertexts under one key, each a unit modulo n². Made by this module's functions."""

    __slots__ = ("numbers", "public")

    def __init__(self, public: PublicKey, numbers: Iterable[Any]) -> None:
        self.public = public
        self.numbers: tuple[Any, ...] = tuple(numbers)

    def to_bytes(self) -> bytes:
        """Every ciphertext big-endian in ``ciphertext_bytes`` bytes, one after the other."""
        width = self.public.ciphertext_bytes
        return b"".join(int(number).to_bytes(width, "big") for number in self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"CiphertextVector({len(self)} ciphertexts under {self.public!r})"


def parse_ciphertexts(data: bytes, public: PublicKey, count: int) -> CiphertextVector:
    """Parse untrusted bytes as exactly ``count`` ciphertexts under ``public``.

    Raises:
        VerificationError: another length; a number that is 0, ≥ n², or has a common factor with n.
    """
    width = public.ciphertext_bytes
    if len(data) != count * width:
        raise VerificationError(f"{count} ciphertexts have {count * width} bytes, not {len(data)}")
    numbers = [
        gmpy2.mpz(int.from_bytes(data[start : start + width], "big"))
        for start in range(0, len(data), width)
    ]
    return verify_ciphertexts(numbers, public)


def verify_ciphertexts(numbers: Sequence[Any], public: PublicKey) -> CiphertextVector:
    """Check that every number is a unit modulo n²: between 0 and n², and prime to n.

    One gcd of the product with n decides for all: it is 1 exactly when every single one is.

    Raises:
        VerificationError: one of them is not.
    """
    n = gmpy2.mpz(public.modulus)
    square = n * n
    product = gmpy2.mpz(1)
    for number in numbers:
        if not 0 < number < square:
            raise VerificationError("a ciphertext is out of range")
        product = product * number % n
    if gmpy2.gcd(product, n) != 1:
        raise VerificationError("a ciphertext has a common factor with the modulus")
    return CiphertextVector(public, numbers)


def encrypt(public: PublicKey, plaintexts: Sequence[int]) -> bytes:
    """Encrypt numbers 0 ≤ m < n; returns the bytes of the ciphertext vector.

    Raises:
        InvalidInput: a plaintext is out of range.
    """
    n = gmpy2.mpz(_require_plaintexts(public, plaintexts).modulus)
    square = n * n
    table = _power_table(public) if plaintexts else ()
    numbers = ((1 + m * n) * _random_residue(table, square) % square for m in plaintexts)
    return CiphertextVector(public, numbers).to_bytes()


def encrypt_with_full_randomness(public: PublicKey, plaintexts: Sequence[int]) -> bytes:
    """The reference: like :func:`encrypt`, with ``ρ = r^n`` for uniform r (about 50 × slower).

    Raises:
        InvalidInput: a plaintext is out of range.
    """
    n = gmpy2.mpz(_require_plaintexts(public, plaintexts).modulus)
    square = n * n
    # A common factor of r and n would factor n; it does not happen.
    numbers = (
        (1 + m * n) * gmpy2.powmod(secrets.randbelow(public.modulus - 1) + 1, n, square) % square
        for m in plaintexts
    )
    return CiphertextVector(public, numbers).to_bytes()


def decrypt(private: PrivateKey, vector: CiphertextVector) -> list[int]:
    """The plaintexts, 0 ≤ m < n.

    Raises:
        VerificationError: the vector is under another key.
    """
    if vector.public != private.public:
        raise VerificationError("the ciphertexts are under another key")
    return private.open_numbers(vector.numbers)


class Accumulator:
    """The sum of ciphertext vectors, formed as they arrive: memory of one vector.

    Args:
        public: the key of every vector.
        count: ciphertexts in every vector.
    """

    def __init__(self, public: PublicKey, count: int) -> None:
        self._public = public
        self._square: Any = gmpy2.mpz(public.modulus) ** 2
        self._product: list[Any] = [gmpy2.mpz(1)] * count

    def add(self, vector: CiphertextVector) -> None:
        """Multiply a vector in: its plaintexts are added modulo n.

        Raises:
            VerificationError: another key or another length.
        """
        if vector.public != self._public or len(vector) != len(self._product):
            raise VerificationError("the ciphertexts do not belong to this sum")
        square = self._square
        self._product = [a * b % square for a, b in zip(self._product, vector.numbers, strict=True)]

    def total(self) -> CiphertextVector:
        """The encrypted sum so far."""
        return CiphertextVector(self._public, self._product)


def _require_plaintexts(public: PublicKey, plaintexts: Sequence[int]) -> PublicKey:
    if not all(0 <= m < public.modulus for m in plaintexts):
        raise InvalidInput("a plaintext is out of the range of the key")
    return public


# --- randomness after Damgård, Jurik and Nielsen --------------------------------------------------


def residue_base(public: PublicKey) -> int:
    """h_s = h^n mod n² with h = -x² mod n (DJN 2010, §4.2), x hashed from n.

    For two primes p, q = 3 modulo 4, -1 is no square but has Jacobi symbol 1, so h generates (all
    but certainly) the whole subgroup of Jacobi symbol 1.  x = SHAKE-256(tag ‖ n) with 128 bits
    more than n, reduced: nobody chose it, anybody can recompute it.
    """
    n = gmpy2.mpz(public.modulus)
    stream = hashlib.shake_256(b"stayput.v1 paillier randomness base" + public.to_bytes())
    x = gmpy2.mpz(int.from_bytes(stream.digest((public.bits + 128 + 7) // 8), "big")) % n
    return int(gmpy2.powmod(-x * x % n, n, n * n))


@functools.lru_cache(maxsize=4)
def _power_table(public: PublicKey) -> tuple[tuple[Any, ...], ...]:
    """Row i holds h_s^(d · 2^(6i)) for every 6-bit digit d (fixed-base windowing)."""
    square = gmpy2.mpz(public.modulus) ** 2
    base: Any = gmpy2.mpz(residue_base(public))
    rows = []
    for _ in range(-(-EXPONENT_BITS // _WINDOW_BITS)):
        row = [gmpy2.mpz(1)]
        for _ in range((1 << _WINDOW_BITS) - 1):
            row.append(row[-1] * base % square)
        base = row[-1] * base % square
        rows.append(tuple(row))
    return tuple(rows)


def _random_residue(table: tuple[tuple[Any, ...], ...], square: Any) -> Any:
    """h_s^a for a fresh random a of 384 bits."""
    exponent = secrets.randbits(EXPONENT_BITS)
    residue: Any = gmpy2.mpz(1)
    for i, row in enumerate(table):
        digit = exponent >> (i * _WINDOW_BITS) & ((1 << _WINDOW_BITS) - 1)
        residue = residue * row[digit] % square
    return residue
