# SPDX-License-Identifier: GPL-2.0-only
"""The inbox: batches of the data plane go to their sessions, messages are letters, the rest is counted."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from tests.twins import data_packet
from towline.framing import ETHERNET
from towline.sockets.inbox import Inbox, is_same
from towline.sockets.port import Batch, Flow, Peer
from towline.wire import Kind, Message, encode

ALICE, BOB = Peer(mac=b"\2\0\0\0\0\1"), Peer(mac=b"\2\0\0\0\0\2")
FIN = Message(kind=Kind.FIN, session=7, fields={"packets": 1, "stream_bytes": 2})


class FakePort:
    """Hands out the batches that it was given."""

    level, port, malformed, refused = ETHERNET, 0, 0, 0

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()

    def put(self, *packets: bytes, peers: list[Peer | None] | None = None) -> None:
        whole = np.zeros((len(packets), max(map(len, packets)) + 8), np.uint8)
        for row, packet in zip(whole, packets, strict=True):
            row[: len(packet)] = np.frombuffer(packet, np.uint8)
        lengths = np.array([len(packet) for packet in packets])
        self.batches.append(Batch(whole, lengths, lambda row: (peers or [ALICE] * len(packets))[row]))

    def receive(self) -> Batch | None:
        return self.batches.popleft() if self.batches else None

    def fileno(self) -> int:
        raise NotImplementedError

    def send(self, packet: bytes, peer: Peer) -> None:
        raise NotImplementedError

    def flow(self, peer: Peer, most_packets: int, width: int, ends: object = None) -> Flow:
        raise NotImplementedError

    def overflowed(self) -> int:
        return 0

    def close(self) -> None:
        raise NotImplementedError


class Session:
    """What a session was given: indices, by batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def take(self, packets: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        assert len(packets) == len(lengths)
        self.batches.append([int.from_bytes(row[12:16].tobytes()) for row in packets])


def test_pump__sessions_get_their_packets_in_order_and_the_rest_are_letters() -> None:
    port, seven, nine = FakePort(), Session(), Session()
    inbox = Inbox(port)
    inbox.register(7, Kind.DATA, ALICE, seven.take)
    inbox.register(9, Kind.DATA, None, nine.take)
    port.put(*(data_packet(session, index, b"x") for session, index in ((7, 0), (9, 0), (7, 1))), encode(FIN))
    assert inbox.pump()
    assert (seven.batches, nine.batches) == ([[0, 1]], [[0]])
    assert [letter.message.kind for letter in inbox.letters] == [Kind.FIN]
    assert not inbox.pump()


def test_pump__a_whole_batch_is_handed_on_as_it_is() -> None:
    port, seven = FakePort(), Session()
    inbox = Inbox(port)
    inbox.register(7, Kind.DATA, ALICE, seven.take)
    port.put(*(data_packet(7, index, b"x") for index in range(5)))
    assert inbox.pump()
    assert seven.batches == [[0, 1, 2, 3, 4]]
    assert not inbox.letters


def test_pump__of_a_stranger_or_of_no_session_is_a_letter() -> None:
    port, seven = FakePort(), Session()
    inbox = Inbox(port)
    inbox.register(7, Kind.DATA, ALICE, seven.take)
    port.put(data_packet(7, 0, b"x"), peers=[BOB])
    port.put(data_packet(8, 0, b"x"))
    inbox.forget(7)
    port.put(data_packet(7, 1, b"x"))
    while inbox.pump():
        pass
    assert seven.batches == []
    assert [letter.message.session for letter in inbox.letters] == [7, 8, 7]


def test_pump__what_is_no_message_is_counted() -> None:
    port = FakePort()
    inbox = Inbox(port)
    inbox.register(7, Kind.DATA, ALICE, Session().take)
    damaged = bytearray(encode(FIN))
    damaged[30] ^= 1
    port.put(bytes(damaged), b"\xbe\x50", encode(FIN))
    assert inbox.pump()
    assert (inbox.malformed, len(inbox.letters)) == (2, 1)


def test_is_same__as_far_as_frames_tell() -> None:
    host = Peer(address=b"\xc0\0\2\1", port=5)
    assert is_same(None, ALICE)
    assert is_same(ALICE, None)
    assert not is_same(BOB, ALICE)
    assert is_same(Peer(address=b"\xc0\0\2\1", port=5, local=b"\xc0\0\2\2", mac=b"x"), host)
    assert not is_same(Peer(address=b"\xc0\0\2\1", port=6), host)
