# SPDX-License-Identifier: GPL-2.0-only
"""Indices that wrap, bitmaps of them, and lists of ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.settings import WINDOW_MOST
from towline.wire import INDEX_BITS, INDEX_MASK, RANGE

Indices = NDArray[np.int64]

BITMAP_WORDS = 2 * WINDOW_MOST // 64  # of the rings in state.h: twice the largest window
NO_INDICES: Indices = np.empty(0, np.int64)


def unwrap(value: int, near: int) -> int:
    """The integer nearest to `near` whose low 32 bits are `value` (RFC 1982 arithmetic)."""
    half = 1 << INDEX_BITS - 1
    return near + ((value - near + half) & INDEX_MASK) - half


def unwrap_all(values: NDArray[Any], near: int) -> Indices:
    """`unwrap` for an array of 32-bit values."""
    half = 1 << INDEX_BITS - 1
    return near + ((values.astype(np.int64) - near + half) & INDEX_MASK) - half


def word_numbers(low: int, high: int) -> Indices:
    """Numbers (not wrapped) of the 64-bit bitmap words that hold indices low to high (exclusive)."""
    return np.arange(low >> 6, (high + 63) >> 6, dtype=np.int64)


def clear_bits(words: NDArray[np.uint64], low: int, high: int) -> Indices:
    """The indices from low to high (exclusive) whose bit is 0; words[0] holds the bit of low, shape `word_numbers`."""
    if not len(words):
        return NO_INDICES
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")  # on little-endian machines only, as all of this
    clear = np.flatnonzero(bits == 0) + (low & ~63)
    return clear[(clear >= low) & (clear < high)]


def set_bits(words: NDArray[np.uint64], low: int, high: int) -> Indices:
    """The indices from low to high (exclusive) whose bit is 1."""
    return clear_bits(~words, low, high)


def run_length(flags: NDArray[np.bool_], first: int, most: int) -> int:
    """How many flags, by slot (index modulo their number), are set in a row from index `first` on; at most `most`."""
    length = 0
    while length < most:
        start = (first + length) % len(flags)
        run = flags[start : start + most - length]
        gap = int(run.argmin())
        if not run[gap]:
            return length + gap
        length += len(run)
    return length


def ranges_of(indices: Indices) -> list[tuple[int, int]]:
    """Ascending indices as (first, count) ranges."""
    if not len(indices):
        return []
    breaks = np.flatnonzero(np.diff(indices) != 1)
    firsts = indices[np.concatenate(([0], breaks + 1))]
    lasts = indices[np.concatenate((breaks, [len(indices) - 1]))]
    return list(zip(firsts.tolist(), (lasts - firsts + 1).tolist(), strict=True))


def pack_ranges(indices: Indices) -> bytes:
    """Ascending indices as the body of a NACK, whole: shape (n,) -> 8 bytes a range."""
    ranges = ranges_of(indices)
    packed = np.zeros(len(ranges), RANGE)
    if ranges:
        packed["first"], packed["count"] = np.array(ranges).T & INDEX_MASK
    return packed.tobytes()


def unpack_ranges(body: bytes) -> list[tuple[int, int]]:
    """A NACK's body as (first, count) ranges of 32-bit values; bytes that make no whole range are left out."""
    packed = np.frombuffer(body, RANGE, len(body) // RANGE.itemsize)
    return list(zip(packed["first"].tolist(), packed["count"].tolist(), strict=True))
