# SPDX-License-Identifier: GPL-2.0-only
"""The outgoing stream: how much of it so many packets hold."""

from __future__ import annotations

import pytest

from towline.transfer.files import RandomSource
from towline.transfer.stream import Entry, OutgoingStream


@pytest.mark.parametrize(
    ("block_bytes", "packets", "held"),
    [
        (1, 64, 64),  # a byte and its trailer in each packet
        (2000, 0, 0),
        (2000, 1, 1000),
        (2000, 3, 2000),  # the third holds the trailer
        (2000, 4, 3000),
        (1976, 2, 1976),
        (1976, 3, 2976),
    ],
)
def test_bytes_in__a_block_begins_in_a_packet_of_its_own(block_bytes: int, packets: int, held: int) -> None:
    source = RandomSource(1 << 16, 0)
    stream = OutgoingStream(Entry(name="f", size_bytes=1 << 16, mode=0o644, mtime_ns=0), source, block_bytes)
    assert stream.bytes_in(packets, 1000) == held
