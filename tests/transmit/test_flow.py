# SPDX-License-Identifier: GPL-2.0-only
"""Bursts through a socket: every packet is as transmit.h would have built it, whatever stood in its slot before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.twins import data_packet
from towline.protocol.sender import Schedule
from towline.slots import Slots
from towline.transmit.flow import BATCH_MOST, FlowBursts, packet_bytes
from towline.wire import HEADER_BYTES, Flag

SESSION = 0x1234_5678_9ABC_DEF0
WINDOW = 1024


class FakeFlow:
    """Keeps what was sent; `room`: how many more it takes."""

    how = "fake"

    def __init__(self, width: int, room: int) -> None:
        self.packets: NDArray[np.uint8] = np.full((BATCH_MOST, width), 0xAA, np.uint8)
        self.sent: list[bytes] = []
        self.room = room

    def send(self, count: int, lengths: NDArray[Any] | int) -> int:
        assert isinstance(lengths, int)
        count = min(count, self.room)
        self.room -= count
        self.sent += [self.packets[row, :lengths].tobytes() for row in range(count)]
        return count


def burst(payload: int, indices: list[int], lengths: list[int], flags: int, room: int = 1 << 20) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    memory = rng.integers(0, 256, WINDOW * payload).astype(np.uint8)
    slots = Slots(memory, window=WINDOW, payload_size=payload)
    flow = FakeFlow(packet_bytes(payload), room)
    bursts = FlowBursts(session=SESSION, slots=slots, flow=flow)
    schedule = Schedule(indices=np.array(indices), flags=np.full(len(indices), flags, np.uint16))
    count = bursts.send(schedule, np.array(lengths, np.uint16))
    return count, bursts, flow, slots


@pytest.mark.parametrize("flags", [0, Flag.CHECKSUM, Flag.CHECKSUM | Flag.AGAIN, Flag.FLUSH])
@pytest.mark.parametrize("payload", [1, 79, 80, 1400])
def test_send__each_packet_as_the_program_builds_it(payload: int, flags: int) -> None:
    indices = [5, 6, (1 << 32) + 7, 3]
    lengths = [payload, max(payload // 2, 1), payload, 1]
    count, bursts, flow, slots = burst(payload, indices, lengths, flags)
    assert count == bursts.sent == len(indices)
    for packet, index, length in zip(flow.sent, indices, lengths, strict=True):
        content = slots.rows()[index % WINDOW, :length].tobytes()
        stamp = int.from_bytes(packet[16:20])
        assert stamp
        assert packet == data_packet(SESSION, index, content, flags, stamp).ljust(packet_bytes(payload), b"\0")


def test_send__a_full_queue_ends_it_early() -> None:
    count, bursts, flow, _ = burst(100, list(range(700)), [100] * 700, 0, room=300)
    assert (count, bursts.sent, len(flow.sent)) == (300, 300, 300)
    assert [int.from_bytes(packet[12:16]) for packet in flow.sent] == list(range(300))
    assert len(flow.sent[0]) == HEADER_BYTES + 100
