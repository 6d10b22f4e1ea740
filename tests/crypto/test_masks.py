"""Masks: cancel over exactly all participants, and are the keystream that the clause says."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.crypto import packing
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.masks import pairwise_mask
from stayput.crypto.packing import WIDTHS, Layout, Residues, layout_for
from stayput.errors import InvalidInput, VerificationError

CONTEXT = hashlib.sha256(b"a context").digest()


def masks_of(
    keys: dict[str, AgreementKey], layout: Layout, context: bytes = CONTEXT
) -> dict[str, Residues]:
    return {
        me: pairwise_mask(
            keys[me], me, {n: k.public for n, k in keys.items() if n != me}, context, layout
        )
        for me in keys
    }


def total(masks: list[Residues], layout: Layout) -> list[int]:
    out = np.zeros((layout.count, layout.limbs), dtype=np.uint32)
    for mask in masks:
        out = packing.add_residues(out, mask)
    return packing.values_from(out, layout)


def keys_for(*names: str) -> dict[str, AgreementKey]:
    return {name: AgreementKey.generate() for name in names}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(WIDTHS), st.integers(2, 7), st.integers(0, 20))
def test_masks_cancel_over_all_and_over_no_fewer(width: int, parties: int, count: int) -> None:
    keys = keys_for(*(f"holder-{i}" for i in range(parties)))
    layout = layout_for(2047, width, parties, count)
    masks = masks_of(keys, layout)
    assert total(list(masks.values()), layout) == [0] * count
    if count >= 4:  # noise is zero in all of four slots once in 2^128 only
        for absent in masks:
            rest = [mask for name, mask in masks.items() if name != absent]
            assert any(total(rest, layout))


@pytest.mark.parametrize("count", [5, 40_000])  # the latter in several pieces, the last one short
@pytest.mark.parametrize("width", WIDTHS)
def test_mask_is_the_keystream_of_the_clause(width: int, count: int) -> None:
    """X25519 → HKDF (RFC 5869, by hand) → ChaCha20; the lower name adds, the higher subtracts."""
    keys = keys_for("beta", "alpha")
    layout = layout_for(2047, width, 2, count)
    info = b"stayput.v1.PairwiseMask"
    info += b"\0\x05alpha" + keys["alpha"].public + b"\0\x04beta" + keys["beta"].public
    secret = keys["alpha"].exchange(keys["beta"].public)
    prk = hmac.digest(CONTEXT, secret, "sha256")
    key = hmac.digest(prk, info + b"\x01", "sha256")
    cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None)
    stream = cipher.encryptor().update(bytes(count * width // 8))
    step = width // 8
    plus = [int.from_bytes(stream[i : i + step], "little") for i in range(0, len(stream), step)]
    masks = masks_of(keys, layout)
    for name, sign in (("alpha", 1), ("beta", -1)):
        values = packing.values_from(masks[name], layout)
        assert [v % 2**width for v in values] == [sign * m % 2**width for m in plus]


def test_another_context_name_or_key_gives_another_mask() -> None:
    keys = keys_for("a", "b")
    layout = layout_for(2047, 64, 2, 4)
    one = masks_of(keys, layout)
    other_context = masks_of(keys, layout, hashlib.sha256(b"another").digest())
    renamed = masks_of({"a": keys["a"], "c": keys["b"]}, layout)
    rekeyed = masks_of({"a": keys["a"], "b": AgreementKey.generate()}, layout)
    variants = [one, other_context, renamed, rekeyed]
    assert len({variant["a"].tobytes() for variant in variants}) == 4
    # a part of one context does not complete a sum of another
    assert any(total([one["a"], other_context["b"]], layout))


def test_masks_look_uniform() -> None:
    keys = keys_for("a", "b", "c")
    layout = layout_for(2047, 64, 3, 20_000)
    for mask in masks_of(keys, layout).values():
        ones = np.unpackbits(mask.view(np.uint8)).mean()
        assert abs(ones - 0.5) < 0.005  # more than 11 standard deviations
        assert len(np.unique(mask.view(np.uint64))) == 20_000


def test_nobody_masks_alone_or_with_itself() -> None:
    key = AgreementKey.generate()
    layout = layout_for(2047, 64, 2, 1)
    with pytest.raises(InvalidInput, match="without other"):
        pairwise_mask(key, "a", {}, CONTEXT, layout)
    with pytest.raises(InvalidInput, match="itself"):
        pairwise_mask(key, "a", {"a": key.public}, CONTEXT, layout)


def test_peer_key_of_small_order_is_refused() -> None:
    layout = layout_for(2047, 64, 2, 1)
    with pytest.raises(VerificationError):
        pairwise_mask(AgreementKey.generate(), "a", {"b": bytes(32)}, CONTEXT, layout)


def test_context_of_another_length_is_a_mistake() -> None:
    layout = layout_for(2047, 64, 2, 1)
    with pytest.raises(ValueError, match="32 bytes"):
        pairwise_mask(
            AgreementKey.generate(), "a", {"b": AgreementKey.generate().public}, b"run", layout
        )
