"""Safe primes: what is found is one, what is none is refused."""

from __future__ import annotations

import random

import pytest

from stayput.crypto.safe_primes import (
    generate_safe_prime,
    is_safe_prime,
)


def is_prime_by_miller_rabin(number: int) -> bool:
    """Miller–Rabin in Python integers: an oracle that shares no code with GMP's test."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        x = pow(random.randrange(2, number - 1), odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


@pytest.mark.parametrize("bits", [384, 401, 512])
def test_generated_primes_are_safe_and_of_the_length_asked(bits: int) -> None:
    prime = generate_safe_prime(bits)
    assert prime.bit_length() == bits
    assert prime >> (bits - 2) == 0b11  # two of them have a product of exactly twice the bits
    assert prime % 4 == 3
    assert is_prime_by_miller_rabin(prime)
    assert is_prime_by_miller_rabin(prime // 2)


def test_two_primes_differ() -> None:
    assert generate_safe_prime(384) != generate_safe_prime(384)


def test_small_numbers_agree_with_trial_division() -> None:
    def prime(number: int) -> bool:
        return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))

    # 5, 7 and 11 are safe primes too, of no use here, and outside the residue class we search
    expected = {n for n in range(12, 5000) if prime(n) and prime(n // 2)}
    assert {n for n in range(5000) if is_safe_prime(n)} == expected


def test_a_prime_that_is_not_safe_and_a_pseudoprime_are_refused() -> None:
    assert not is_safe_prime(2**521 - 1)
    assert not is_safe_prime(2 * 341 + 1)  # 341 = 11 · 31 passes Fermat's test to base 2


def test_too_short_a_prime_is_refused() -> None:
    with pytest.raises(ValueError, match="384"):
        generate_safe_prime(383)
