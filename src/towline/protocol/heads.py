# SPDX-License-Identifier: GPL-2.0-only
"""The headers of n packets at once, as three 64-bit words each: what their check mixes, and what stands in them.

`wire.HEADER` says which byte is what. Here a header is read by one copy instead of one for each of its fields, which
is what a batch of a few packets costs. Words are uint64 of shape (3, n):

    0  magic 8, kind and flags 8, length 16, session's upper half 32
    1  session's lower half 32, index 32
    2  timestamp 32, check 32
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.protocol.window import Indices
from towline.wire import HEADER_BYTES, INDEX_MASK, MAGIC, Flag, Kind

Words = NDArray[np.uint64]

NO_SUM = np.uint64(0)
LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFF << 32)
FLAGS_SHIFT = 48  # of kind and flags in word 0
LENGTH_SHIFT, LENGTH_MASK = np.uint64(32), np.uint64(0xFFFF)


# Of the check; made once, since making them costs as much as the mixing of a small batch.
_FIRST, _SECOND, _THIRD = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_32, _29 = np.uint64(32), np.uint64(29)


def words_of(packets: NDArray[np.uint8]) -> Words:
    """The headers of packets, shape (n, at least HEADER_BYTES) -> (3, n)."""
    words: Words = packets[:, :HEADER_BYTES].view(">u8").T.astype(np.uint64, order="C")
    return words


def write_words(packets: NDArray[np.uint8], words: Words) -> None:
    """The other way round: `words` (3, n) into the headers of n packets."""
    packets[:, :HEADER_BYTES].view(">u8")[:] = words.T


def check_of(words: Words, sums: Words | np.uint64 = NO_SUM) -> Words:
    """The check of n headers with the sums (n,) of what it covers behind them: `wire.header_check` on words."""
    mixed: Words = words[0] * _FIRST
    mixed ^= mixed >> _32
    mixed ^= words[1]
    mixed *= _SECOND
    mixed ^= mixed >> _29
    mixed ^= words[2] & HIGH | sums
    mixed *= _THIRD
    mixed ^= mixed >> _32
    mixed &= LOW
    return mixed


def lengths_in(words: Words) -> Indices:
    """How many bytes each header says that follow it: int64 (n,)."""
    return np.asarray(words[0] >> LENGTH_SHIFT & LENGTH_MASK, np.uint64).view(np.int64)


def has_flag(words: Words, flag: Flag) -> NDArray[np.bool_]:
    """Which of the packets carry a flag: (n,)."""
    return np.asarray(words[0] & np.uint64(flag << FLAGS_SHIFT) != 0, np.bool_)


def compose(*, kind: Kind, length: int, session: int, index: int, timestamps: Words) -> Words:
    """Headers that differ in their timestamps only, (n,), which stand in the upper half; their check is still 0."""
    words = np.empty((3, len(timestamps)), np.uint64)
    words[0] = MAGIC << 56 | kind << FLAGS_SHIFT + 4 | length << 32 | session >> 32
    words[1] = (session & 0xFFFFFFFF) << 32 | index & INDEX_MASK
    words[2] = timestamps
    return words


def ahead_of(origin: int | NDArray[Any], values: NDArray[Any]) -> Indices:
    """How far values lie ahead of `origin`, each cut to 32 bits: int64 (n,), negative behind (RFC 1982)."""
    there = np.uint32(origin & INDEX_MASK) if isinstance(origin, int) else origin.astype(np.uint32)
    return (values.astype(np.uint32) - there).view(np.int32).astype(np.int64)
