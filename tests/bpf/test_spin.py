# SPDX-License-Identifier: GPL-2.0-only
"""The known slowness is as long as was asked for, and nobody else has to wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.bpf.conftest import Programs
from tests.bpf.programs import ReceiverProgram
from tests.levels import SENDER_TO_RECEIVER, framed
from tests.twins import data_packet
from towline.kernel.figures import figures
from towline.kernel.live import run_packet
from towline.kernel.netns import inside

SPIN_NS = 20_000
REPEATS, ROUNDS = 200, 10
NONE_DUE: dict[str, Any] = {"ack_every": 4096, "window": 16384}  # an ACK: the packet would be turned into it


@pytest.fixture(scope="module")
def slow(programs: Programs, namespace: str) -> Iterator[ReceiverProgram]:
    """receiver.h that waits."""
    link, _ = programs.pair()
    with inside(namespace):
        program = ReceiverProgram(link, spin_ns=SPIN_NS)
    yield program
    program.close()


def shortest_ns(program: ReceiverProgram, session: int) -> float:
    """Of a packet that has arrived before; the best of some means, which nobody has disturbed."""
    frame = framed(program.level, SENDER_TO_RECEIVER, data_packet(session, 0, bytes(100)))
    return min(run_packet(program.fd, frame, repeat=REPEATS).duration_ns for _ in range(ROUNDS))


def test_spin__takes_so_much_longer(slow: ReceiverProgram, receiver: ReceiverProgram) -> None:
    slower = shortest_ns(slow, slow.open(**NONE_DUE).number) - shortest_ns(receiver, receiver.open(**NONE_DUE).number)
    assert 0.97 * SPIN_NS < slower < 1.2 * SPIN_NS


def test_spin__strangers_do_not_wait(slow: ReceiverProgram) -> None:
    assert shortest_ns(slow, slow.open(**NONE_DUE).number + (1 << 16)) < SPIN_NS / 4


def test_spin__is_not_in_the_program_where_none_is_asked_for(slow: ReceiverProgram, receiver: ReceiverProgram) -> None:
    with_it, without = figures(slow.fd), figures(receiver.fd)
    assert with_it.instructions > without.instructions
    assert with_it.jited_bytes > without.jited_bytes
