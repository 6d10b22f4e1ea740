"""Packing against slots shifted by hand in Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput.crypto import packing
from stayput.crypto.packing import WIDTHS, Layout, layout_for
from stayput.errors import InvalidInput, VerificationError

widths = st.sampled_from(WIDTHS)


@st.composite
def vectors(draw: st.DrawFn) -> tuple[Layout, list[int]]:
    width = draw(widths)
    half = 1 << (width - 1)
    extremes = st.sampled_from([0, 1, -1, half - 1, -half])
    values = draw(st.lists(extremes | st.integers(-half, half - 1), max_size=120))
    parties = draw(st.sampled_from([2, 3, 256, 257, 65_536]))
    bits = draw(st.sampled_from([2047, 2048, 3071, 4095]))
    return layout_for(bits, width, parties, len(values)), values


@given(vectors())
def test_packing_is_shifting(vector: tuple[Layout, list[int]]) -> None:
    layout, values = vector
    slot = layout.width + layout.guard
    expected = [
        sum(v % 2**layout.width << (slot * i) for i, v in enumerate(values[k : k + layout.slots]))
        for k in range(0, len(values), layout.slots)
    ]
    plaintexts = packing.pack(packing.residues_from(values, layout), layout)
    assert plaintexts == expected
    assert len(plaintexts) == layout.ciphertexts
    assert all(plaintext < 2**layout.plaintext_bits for plaintext in plaintexts)


@given(vectors())
def test_unpacking_is_the_way_back(vector: tuple[Layout, list[int]]) -> None:
    layout, values = vector
    residues = packing.residues_from(values, layout)
    again = packing.unpack(packing.pack(residues, layout), layout)
    assert np.array_equal(again, residues)
    assert packing.values_from(again, layout) == values


@given(vectors(), st.integers(2, 256))
def test_sums_of_full_slots_never_spill(vector: tuple[Layout, list[int]], parties: int) -> None:
    """The worst case for guard bits: every part is 2^width - 1 in every slot."""
    layout, _ = vector
    full = packing.residues_from([-1] * layout.count, layout)
    plaintexts = [plaintext * parties for plaintext in packing.pack(full, layout)]
    residues = packing.unpack(plaintexts, layout)
    assert packing.values_from(residues, layout) == [-parties] * layout.count


def test_sixteen_guard_bits_take_65536_parts() -> None:
    layout = layout_for(2047, 64, 65_536, 40)
    full = packing.residues_from([-1] * 40, layout)
    plaintexts = [plaintext * 65_536 for plaintext in packing.pack(full, layout)]
    assert packing.values_from(packing.unpack(plaintexts, layout), layout) == [-65_536] * 40


@given(vectors(), st.data())
def test_adding_residues_is_addition_modulo_two_to_the_width(
    vector: tuple[Layout, list[int]], data: st.DataObject
) -> None:
    layout, values = vector
    half = 1 << (layout.width - 1)
    others = [data.draw(st.integers(-half, half - 1)) for _ in values]
    total = packing.add_residues(
        packing.residues_from(values, layout), packing.residues_from(others, layout)
    )
    expected = [(a + b + half) % (2 * half) - half for a, b in zip(values, others, strict=True)]
    assert packing.values_from(total, layout) == expected


@pytest.mark.parametrize(
    ("bits", "width", "parties", "slots"),
    [
        (2047, 64, 3, 28),
        (3071, 64, 3, 42),
        (3071, 64, 256, 42),
        (3071, 64, 257, 38),
        (2047, 160, 2, 12),
    ],
)
def test_slots_per_plaintext(bits: int, width: int, parties: int, slots: int) -> None:
    layout = layout_for(bits, width, parties, slots + 1)
    assert layout.slots == slots
    assert layout.ciphertexts == 2
    assert layout_for(bits, width, parties, slots).ciphertexts == 1
    assert layout_for(bits, width, parties, 0).ciphertexts == 0


@pytest.mark.parametrize("parties", [0, -1, 65_537])
def test_impossible_numbers_of_parties_are_refused(parties: int) -> None:
    with pytest.raises(InvalidInput, match="parts"):
        layout_for(2047, 64, parties, 1)


@pytest.mark.parametrize(
    "arguments",
    [(48, 8, 1, 2047), (0, 8, 1, 2047), (64, 4, 1, 2047), (64, 8, -1, 2047), (64, 8, 1, 71)],
)
def test_impossible_layouts_are_refused(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInput):
        Layout(*arguments)


@pytest.mark.parametrize("width", WIDTHS)
def test_values_beyond_the_width_are_refused_never_wrapped(width: int) -> None:
    layout = layout_for(2047, width, 2, 2)
    for value in (1 << (width - 1), -(1 << (width - 1)) - 1, 1 << 200):
        with pytest.raises(InvalidInput, match="fit"):
            packing.residues_from([0, value], layout)


@pytest.mark.parametrize("values", [[0.0, 1], [True, 1], ["1", 1], [None, 1], np.array([0.5, 1])])
def test_what_is_no_whole_number_is_refused_never_rounded(values) -> None:
    with pytest.raises(InvalidInput, match="whole"):
        packing.residues_from(values, layout_for(2047, 64, 2, 2))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint64, object])
def test_arrays_are_taken_as_they_are(dtype) -> None:
    layout = layout_for(2047, 96, 2, 3)
    residues = packing.residues_from(np.array([1, 2, 2**31 - 1], dtype=dtype), layout)
    assert packing.values_from(residues, layout) == [1, 2, 2**31 - 1]


@pytest.mark.parametrize("width", WIDTHS)
def test_arrays_and_lists_pack_alike(width: int) -> None:
    half = 1 << (min(width, 64) - 1)
    values = [0, 1, -1, half - 1, -half, 12345, -12345]
    layout = layout_for(2047, width, 2, len(values))
    of_list = packing.residues_from(values, layout)
    for array in (np.array(values, dtype=np.int64), np.array(values, dtype=object)):
        assert np.array_equal(packing.residues_from(array, layout), of_list)
    opened = packing.array_from(of_list, layout)
    assert opened.dtype == (np.int64 if width <= 64 else object)
    assert opened.tolist() == values


def test_arrays_beyond_int64_are_never_wrapped() -> None:
    layout = layout_for(2047, 64, 2, 1)
    with pytest.raises(InvalidInput, match="fit"):
        packing.residues_from(np.array([2**63], dtype=np.uint64), layout)
    wide = layout_for(2047, 96, 2, 1)
    residues = packing.residues_from(np.array([2**64 - 1], dtype=np.uint64), wide)
    assert packing.values_from(residues, wide) == [2**64 - 1]


def test_tables_are_no_vectors() -> None:
    for shape in ((2, 1), (2, 2)):
        with pytest.raises(InvalidInput, match="whole"):
            packing.residues_from(np.ones(shape, dtype=np.int64), layout_for(2047, 64, 2, 2))


def test_another_count_is_refused() -> None:
    layout = layout_for(2047, 64, 2, 3)
    with pytest.raises(InvalidInput, match="3 values"):
        packing.residues_from([1, 2], layout)
    with pytest.raises(ValueError, match="shape"):
        packing.pack(np.zeros((2, 2), dtype=np.uint32), layout)


def test_plaintexts_that_were_never_packed_are_refused() -> None:
    layout = layout_for(2047, 64, 2, 30)  # 28 and 2 slots, of 9 bytes each
    good = packing.pack(packing.residues_from(list(range(30)), layout), layout)
    for bad in (
        good[:1],
        [*good, 0],
        [],
        [good[0] | 1 << (28 * 72), good[1]],  # above the highest slot
        [good[0], good[1] | 1 << (2 * 72)],  # in a slot that no value has
    ):
        with pytest.raises(VerificationError):
            packing.unpack(bad, layout)
