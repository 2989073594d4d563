# SPDX-License-Identifier: GPL-2.0-only
"""Batched system calls, on sockets that need no network."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from towline.sockets.batches import MESSAGE, PIECE, Arrivals, addresses, ancillary, send_messages

SO_TIMESTAMP = 29  # asm-generic/socket.h
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two datagram sockets that are joined."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    yield near, far
    near.close()
    far.close()


class Outbox:
    """Messages of some bytes each, the first byte their number."""

    def __init__(self, count: int, size: int = 8) -> None:
        self.rows = np.zeros((count, size), np.uint8)
        self.rows[:, 0] = np.arange(count) % 256
        self.pieces = np.zeros(count, PIECE)
        self.pieces["base"], self.pieces["bytes"] = addresses(self.rows), size
        self.messages: NDArray[Any] = np.zeros(count, MESSAGE)
        self.messages["pieces"], self.messages["count"] = addresses(self.pieces), 1


def test_send_messages__queue_stays_full(pair: Pair) -> None:
    start = time.monotonic()
    out = Outbox(5000)
    sent = send_messages(pair[0].fileno(), out.messages, 5000, patience_s=0.03)
    assert 0 < sent.done < 5000
    assert sent.refused == 0
    assert 0.03 <= time.monotonic() - start < 1


def test_send_messages__queue_empties(pair: Pair) -> None:
    arrivals, out, got = Arrivals(row_bytes=8, count=64), Outbox(300), []
    done = 0
    while done < 300:
        done += send_messages(pair[0].fileno(), out.messages[done:], 300 - done, patience_s=0).done
        while count := arrivals.receive(pair[1].fileno()):
            got += arrivals.rows[:count, 0].tolist()
    assert got == [number % 256 for number in range(300)]


def test_send_messages__refused(pair: Pair) -> None:
    pair[1].close()
    gone = frozenset({errno.ECONNREFUSED, errno.ENOTCONN})
    out = Outbox(3)
    sent = send_messages(pair[0].fileno(), out.messages, 3, patience_s=0, lost=gone)
    assert (sent.done, sent.refused) == (3, 3)


def test_send_messages__broken(pair: Pair) -> None:
    messages = np.zeros(3, MESSAGE)
    messages["count"], messages["pieces"] = 1, 8  # nobody's memory
    with pytest.raises(OSError, match="Bad address"):
        send_messages(pair[0].fileno(), messages, 3, patience_s=0)


def test_receive__longer_than_a_row(pair: Pair) -> None:
    arrivals = Arrivals(row_bytes=16, count=4, prefix_bytes=2, overflow_bytes=32)
    for size in (1, 18, 20, 51):
        pair[0].send(bytes(range(size)))
    assert arrivals.receive(pair[1].fileno()) == 4
    assert arrivals.lengths().tolist() == [-1, 16, 18, -1]  # less than a prefix; the row is full; overflow; no room
    assert arrivals.prefixes[2].tobytes() + arrivals.rows[2].tobytes() + arrivals.overflow[2, :2].tobytes() == bytes(
        range(20)
    )


def test_receive__again_and_again(pair: Pair) -> None:
    """What the kernel writes into the structures does not shorten the next messages."""
    arrivals = Arrivals(row_bytes=16, count=4, control_bytes=64)
    for size in (3, 16, 5):
        assert arrivals.receive(pair[1].fileno()) == 0
        pair[0].send(bytes(size))
        assert arrivals.receive(pair[1].fileno()) == 1
        assert arrivals.lengths().tolist() == [size]


def test_ancillaries__finds_its_kind(pair: Pair) -> None:
    near, far = pair
    far.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    far.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)  # comes first
    arrivals = Arrivals(row_bytes=16, count=4, control_bytes=128)
    near.send(b"a")
    near.send(b"b")
    assert arrivals.receive(far.fileno()) == 2
    found, values = arrivals.ancillaries(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, 12)
    assert found.all()
    assert (values.view(np.int32)[:, 0] > 0).all()  # our process
    assert not arrivals.ancillaries(socket.SOL_SOCKET, 12345, 4)[0].any()


def test_ancillary__is_padded() -> None:
    made = ancillary(17, 103, b"\x01\x02")
    assert (len(made), made[:8], made[16:]) == (24, (18).to_bytes(8, "little"), b"\x01\x02" + bytes(6))
