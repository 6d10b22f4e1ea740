"""Interoperability with ``phe`` (python-paillier): the same keys, the same ciphertexts.

The only file that knows ``phe``.  Whole numbers only: its float encoding puts an exponent in clear
beside the ciphertext, which tells the magnitude of the value, so numbers with an exponent other
than 0 are refused.  A negative number x is the plaintext n + x, as ``phe`` has it.

Not used by the protocol: it is a door for checking our numbers against another implementation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gmpy2
from phe import paillier as phe

from stayput.crypto.paillier import CiphertextVector, PrivateKey, PublicKey, verify_ciphertexts
from stayput.errors import VerificationError


def public_to_phe(public: PublicKey) -> Any:
    """The ``phe.PaillierPublicKey`` of a key."""
    return phe.PaillierPublicKey(public.modulus)


def public_from_phe(key: Any) -> PublicKey:
    """The key of a ``phe.PaillierPublicKey``.

    Raises:
        VerificationError: the modulus is refused, for one because it is too small.
    """
    return PublicKey(int(key.n))


def private_to_phe(private: PrivateKey) -> Any:
    """The ``phe.PaillierPrivateKey`` of a key."""
    return phe.PaillierPrivateKey(public_to_phe(private.public), *private.primes())


def private_from_phe(key: Any) -> PrivateKey:
    """The key of a ``phe.PaillierPrivateKey``.

    Raises:
        VerificationError: too small, or not made of safe primes (as the keys that
            ``phe.generate_paillier_keypair`` draws are not): our short exponents need them.
    """
    return PrivateKey(int(key.p), int(key.q))


def numbers_to_phe(vector: CiphertextVector) -> list[Any]:
    """The ciphertexts as ``phe.EncryptedNumber`` with exponent 0."""
    public = public_to_phe(vector.public)
    return [phe.EncryptedNumber(public, int(number), 0) for number in vector.numbers]


def numbers_from_phe(public: PublicKey, numbers: Iterable[Any]) -> CiphertextVector:
    """The ciphertexts of ``phe.EncryptedNumber`` of whole numbers.

    Raises:
        VerificationError: another key, an exponent other than 0, or an invalid ciphertext.
    """
    raw = []
    for number in numbers:
        if number.public_key.n != public.modulus or number.exponent != 0:
            raise VerificationError("not an encrypted whole number under this key")
        raw.append(gmpy2.mpz(number.ciphertext()))
    return verify_ciphertexts(raw, public)
