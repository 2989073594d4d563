# SPDX-License-Identifier: GPL-2.0-only
"""Indices that wrap, bitmaps and ranges, against plain sets of integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.protocol.window import (
    NO_INDICES,
    clear_bits,
    pack_ranges,
    ranges_of,
    run_length,
    set_bits,
    unpack_ranges,
    unwrap,
    unwrap_all,
    word_numbers,
)

HALF = 1 << 31
near_indices = st.integers(HALF, 1 << 45)
index_sets = st.sets(st.integers((1 << 32) - 300, (1 << 32) + 300), max_size=80)


@given(near_indices, st.integers(-HALF, HALF - 1))
def test_unwrap__finds_what_was_cut_to_32_bits(near: int, away: int) -> None:
    assert unwrap((near + away) & 0xFFFFFFFF, near) == near + away


@pytest.mark.parametrize(
    ("value", "near", "expected"),
    [
        (0, 0, 0),
        (0xFFFFFFFF, 0, -1),
        (0, 0xFFFFFFFF, 1 << 32),
        (5, 1 << 40, (1 << 40) + 5),
        (0x80000000, 0, -HALF),  # as far as it gets: before
        (0x7FFFFFFF, 0, HALF - 1),
    ],
)
def test_unwrap__borders(value: int, near: int, expected: int) -> None:
    assert unwrap(value, near) == expected


@given(near_indices, st.lists(st.integers(0, 0xFFFFFFFF), max_size=20))
def test_unwrap_all__is_unwrap_of_each(near: int, values: list[int]) -> None:
    unwrapped = unwrap_all(np.array(values, np.uint32), near)
    assert unwrapped.dtype == np.int64
    assert unwrapped.tolist() == [unwrap(value, near) for value in values]


@given(st.integers(0, 1 << 40), st.integers(0, 500))
def test_word_numbers__hold_exactly_the_indices(low: int, count: int) -> None:
    numbers = word_numbers(low, low + count).tolist()
    holding = sorted({index // 64 for index in range(low, low + count)})
    assert numbers == holding or (not count and len(numbers) <= 1)


@given(index_sets, st.integers(0, 63), st.integers(0, 400))
def test_clear_bits__are_the_indices_that_are_not_in_the_bitmap(placed: set[int], shift: int, count: int) -> None:
    low = (1 << 32) - 200 + shift
    words = np.array([word_of(placed, number) for number in word_numbers(low, low + count).tolist()], np.uint64)
    window = range(low, low + count)
    assert clear_bits(words, low, low + count).tolist() == [i for i in window if i not in placed]
    assert set_bits(words, low, low + count).tolist() == [i for i in window if i in placed]


def word_of(indices: set[int], number: int) -> int:
    return sum(1 << index % 64 for index in indices if index // 64 == number)


@given(index_sets)
def test_pack_ranges__round_trip(indices: set[int]) -> None:
    ascending = np.array(sorted(indices), np.int64)
    ranges = unpack_ranges(pack_ranges(ascending))
    unpacked = [unwrap(first, 1 << 32) + i for first, count in ranges for i in range(count)]
    assert unpacked == sorted(indices)


@given(index_sets)
def test_ranges_of__are_as_few_as_can_be(indices: set[int]) -> None:
    ranges = ranges_of(np.array(sorted(indices), np.int64))
    assert len(ranges) == sum(index - 1 not in indices for index in indices)
    assert all(first + count not in indices for first, count in ranges)


def test_pack_ranges__of_nothing_is_nothing() -> None:
    assert pack_ranges(NO_INDICES) == b""
    assert unpack_ranges(b"") == []


@given(st.binary(max_size=40))
def test_unpack_ranges__leaves_half_a_range_out(body: bytes) -> None:
    assert len(unpack_ranges(body)) == len(body) // 8


@given(st.lists(st.booleans(), min_size=1, max_size=70), st.integers(0, 1 << 40), st.integers(0, 70))
def test_run_length__counts_until_the_first_gap(flags: list[bool], first: int, most: int) -> None:
    most = min(most, len(flags))
    slots = [flags[(first + n) % len(flags)] for n in range(most)]
    expected = slots.index(False) if False in slots else most
    assert run_length(np.array(flags), first, most) == expected
