# SPDX-License-Identifier: GPL-2.0-only
"""A lane's slots: runs of packets as runs of bytes, around the end of the memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.slots import Slots, gather, scatter

WINDOW, PAYLOAD = 8, 5
TOTAL = WINDOW * PAYLOAD


def numbered() -> Slots:
    """Each byte holds its own offset; there is slack behind the last slot."""
    return Slots(np.arange(TOTAL + 16, dtype=np.uint8), window=WINDOW, payload_size=PAYLOAD)


@given(st.integers(0, 1 << 40), st.integers(0, 3 * TOTAL), st.integers(0, TOTAL))
def test_pieces__are_the_bytes_behind_one_another(first: int, skip: int, size: int) -> None:
    views = numbered().pieces(first, skip, size)
    assert len(views) <= 2
    start = first % WINDOW * PAYLOAD + skip
    assert gather(views) == bytes((start + i) % TOTAL for i in range(size))


def test_pieces__are_views() -> None:
    slots = numbered()
    scatter(slots.pieces(WINDOW - 1, 3, 4), b"abcd")
    assert slots.rows()[WINDOW - 1, 3:].tobytes() == b"ab"
    assert slots.rows()[0, :3].tobytes() == b"cd\x02"


def test_rows__a_slot_for_each_packet() -> None:
    rows = numbered().rows()
    assert rows.shape == (WINDOW, PAYLOAD)
    assert rows[3].tolist() == [15, 16, 17, 18, 19]


@given(st.integers(0, 1 << 33), st.integers(0, TOTAL), st.data())
def test_scatter__gather_gives_it_back_and_the_rest_is_untouched(first: int, skip: int, data: st.DataObject) -> None:
    slots = Slots(np.full(TOTAL, 0xAA, np.uint8), window=WINDOW, payload_size=PAYLOAD)
    content = data.draw(st.binary(max_size=TOTAL))
    views = slots.pieces(first, skip, len(content))
    scatter(views, content)
    assert gather(views) == content
    assert np.count_nonzero(slots.rows() == 0xAA) >= TOTAL - len(content)


@pytest.mark.parametrize("kind", [bytes, np.uint8, np.uint64])
def test_scatter__takes_bytes_and_arrays(kind: type) -> None:
    slots = numbered()
    content = bytes(range(100, 116))
    views = slots.pieces(6, 0, 16)
    scatter(views, content if kind is bytes else np.frombuffer(content, kind))
    assert gather(views) == content


def test_pieces__of_nothing_are_none() -> None:
    assert numbered().pieces(5, 0, 0) == []
    assert gather([]) == b""
