"""Proof that whoever made a ciphertext vector knows what is in it: one short proof for all.

A Schnorr-like proof for the homomorphism (m, a) ↦ (1 + n)^m · h_s^a, batched over the vector and
made non-interactive by Fiat and Shamir's hash (Cramer, Damgård and Nielsen 2001 have it for
Paillier; Bellare, Garay and Rabin 1998 the batching by random exponents).  The prover commits
to T = (1 + n)^u · h_s^v, the hash of everything gives exponents e_i, and the answers are
z = u + Σ e_i·m_i modulo n and w = v + Σ e_i·a_i.  The verifier compares (1 + n)^z · h_s^w with
T · Π c_i^e_i.

The hash takes in a *binding*: who proves, and for what.  So nobody can pass on another's
ciphertexts as its own, nor a product made of them.

Not here: that plaintexts are within bounds, or packed as they should be.  What leaks: nothing of
the plaintexts; v is 128 bits longer than the sum it hides (statistical distance 2^-128).
What it does not show: c and -c have the same plaintext and are not told apart.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Final

import gmpy2

from stayput.crypto.cores import Progress
from stayput.crypto.kernel import power_product
from stayput.crypto.paillier import (
    CiphertextVector,
    PublicKey,
    Randomness,
    encrypt_with_exponents,
    parse_ciphertexts,
    residue_base,
)
from stayput.errors import InvalidInput, VerificationError

_CHALLENGE_BITS: Final = 128
_HIDING_BITS: Final = 128
_MAX_COUNT_BITS: Final = 32
_TAG: Final = b"stayput.v1.PlaintextKnowledge"


def encrypt_with_proof(
    public: PublicKey,
    plaintexts: Sequence[int],
    binding: bytes,
    *,
    randomness: Randomness | None = None,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[bytes, bytes]:
    """Encrypt as :func:`stayput.crypto.paillier.encrypt` does; the ciphertexts and a proof.

    Args:
        binding: digest of who proves and for what, such as holder and context.
        workers, progress: as for encryption.

    Raises:
        InvalidInput: as for encryption; or full randomness, which has no exponent to prove.
    """
    randomness = randomness or public.randomness
    if randomness is Randomness.FULL:
        raise InvalidInput("a proof of knowledge needs randomness with an exponent")
    data, exponents = encrypt_with_exponents(
        public, plaintexts, randomness=randomness, workers=workers, progress=progress
    )
    n = gmpy2.mpz(public.modulus)
    square = n * n
    u = secrets.randbelow(public.modulus)
    v = secrets.randbits(_response_bits(public, randomness) - 1)
    commitment = (1 + u * n) * gmpy2.powmod(residue_base(public), v, square) % square
    sealed = commitment.to_bytes(public.ciphertext_bytes, "big")
    challenges = _challenges(public, data, sealed, binding, len(plaintexts))
    z = (u + sum(e * m for e, m in zip(challenges, plaintexts, strict=True))) % n
    w = v + sum(e * a for e, a in zip(challenges, exponents, strict=True))
    parts = (z, public.bits), (w, _response_bits(public, Randomness.HALF))
    answers = b"".join(int(x).to_bytes((bits + 7) // 8, "big") for x, bits in parts)
    return data, sealed + answers


def verify_proof(vector: CiphertextVector, binding: bytes, proof: bytes) -> CiphertextVector:
    """Refuse a vector whose maker does not show that it knows the plaintexts; returns the vector.

    Raises:
        VerificationError: the proof is malformed, for another binding or another vector.
    """
    public = vector.public
    n = gmpy2.mpz(public.modulus)
    square = n * n
    width, z_bytes = public.ciphertext_bytes, (public.bits + 7) // 8
    if len(proof) != proof_bytes(public):
        raise VerificationError("the proof of knowledge does not have its length")
    sealed = proof[:width]
    commitment = parse_ciphertexts(sealed, public, 1).numbers[0]
    z = int.from_bytes(proof[width : width + z_bytes], "big")
    w = int.from_bytes(proof[width + z_bytes :], "big")
    if z >= public.modulus:
        raise VerificationError("the proof of knowledge is out of range")
    challenges = _challenges(public, vector.to_bytes(), sealed, binding, len(vector))
    expected: Any = commitment * power_product(vector.numbers, challenges, square) % square
    shown = (1 + z * n) * gmpy2.powmod(residue_base(public), w, square) % square
    if shown != expected:
        raise VerificationError("the maker of the ciphertexts does not know what is in them")
    return vector


def proof_bytes(public: PublicKey) -> int:
    """The length of every proof under a key."""
    answers = public.bits, _response_bits(public, Randomness.HALF)
    return public.ciphertext_bytes + sum((bits + 7) // 8 for bits in answers)


def _response_bits(public: PublicKey, randomness: Randomness) -> int:
    """Bits of w; v has one fewer. The longest exponent decides the width on the wire."""
    return (
        max(randomness.exponent_bits(public.bits), Randomness.SHORT_384.exponent_bits(public.bits))
        + _CHALLENGE_BITS
        + _MAX_COUNT_BITS
        + _HIDING_BITS
        + 1
    )


def _challenges(
    public: PublicKey, data: bytes, commitment: bytes, binding: bytes, count: int
) -> list[int]:
    """128 bits per ciphertext, from the hash of all that the prover had fixed before."""
    hashed = hashlib.sha3_256()
    for part in (_TAG, public.key_id, binding, data, commitment):
        hashed.update(len(part).to_bytes(8, "big") + part)
    size = _CHALLENGE_BITS // 8
    stream = hashlib.shake_256(hashed.digest()).digest(size * count)
    return [int.from_bytes(stream[i : i + size], "big") for i in range(0, len(stream), size)]
