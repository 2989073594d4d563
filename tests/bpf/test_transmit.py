# SPDX-License-Identifier: GPL-2.0-only
"""What leaves on live frames: the sender's program run on a packet that carries the mark."""

from __future__ import annotations

import time
from random import Random

import numpy as np
import pytest

from tests.bpf.programs import DROP, PASS, PAYLOAD_MOST, REDIRECT, TO_RECEIVER, SenderProgram, SendingLane
from towline.framing import ETHERNET
from towline.settings import LARGEST_PAYLOAD_BYTES
from towline.wire import (
    DATA_LEAST_BYTES,
    HEADER,
    HEADER_BYTES,
    Flag,
    Kind,
    decode_untrusted,
    header_check,
    payload_sums,
)

BEFORE = ETHERNET.frame_bytes
SIZES = (1, 2, 3, 79, 80, 81, 255, 256, 257, 511, 512, 513, 767, 768, 769, 1023, 1024, 1025, 1400, 1476, 3369, 3370)
STALE = b"\xa5" * (BEFORE + HEADER_BYTES + DATA_LEAST_BYTES)  # what the page still holds


def fill(lane: SendingLane, index: int, payload: bytes) -> None:
    """Put a payload into the slot of a packet."""
    rows = lane.live.slots.rows()
    rows[index % lane.terms.window, : len(payload)] = np.frombuffer(payload, np.uint8)


def schedule(lane: SendingLane, *entries: tuple[int, int, int]) -> None:
    """(index, length, flags) each."""
    written = lane.live._bursts._entries[: len(entries)]
    for name, column in zip(("index", "length", "flags"), zip(*entries, strict=True), strict=True):
        written[name] = column
    lane.state["next"] = 0


def leave(sender: SenderProgram, lane: SendingLane, frame: bytes = STALE) -> bytes:
    """Run the program on one live frame that leaves; returns it."""
    verdict, after = sender.run(frame, lane.mark)
    assert verdict == REDIRECT
    return after


@pytest.mark.parametrize("flags", [Flag.NONE, Flag.CHECKSUM], ids=["", "checksum"])
@pytest.mark.parametrize("size", SIZES)
def test_frame__holds_header_and_payload(sender: SenderProgram, size: int, flags: Flag) -> None:
    lane = sender.lane(payload_size=PAYLOAD_MOST)
    payload = Random(size).randbytes(size)
    fill(lane, 5, payload)
    schedule(lane, (5, size, flags))
    frame = leave(sender, lane)
    assert frame[:BEFORE] == TO_RECEIVER
    assert len(frame) == BEFORE + HEADER_BYTES + max(size, DATA_LEAST_BYTES)
    message = decode_untrusted(frame[BEFORE:])  # its check covers the payload, if the flag says so
    assert (message.kind, message.flags, message.session) == (Kind.DATA, flags, lane.session)
    assert (message.index, message.tail) == (5, payload)
    assert [int(lane.state[name]) for name in ("next", "sent")] == [1, 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", ["zeros", "ones", "odd", "fold"])
def test_frame__checks_the_sums_that_fold(sender: SenderProgram, size: int, content: str) -> None:
    """Sums at the edge of one's complement: 0, 65535 (which is 0, too, but not the same), carries everywhere."""
    payload = {
        "zeros": bytes(size),
        "ones": b"\xff" * size,
        "odd": b"\xff\x00" * (size // 2) + b"\x01" * (size % 2),
        "fold": b"\xff\xfe\x00\x01" * (size // 4) + bytes(size % 4),
    }[content]
    lane = sender.lane(payload_size=PAYLOAD_MOST)
    fill(lane, 0, payload)
    schedule(lane, (0, size, Flag.CHECKSUM))
    frame = leave(sender, lane)
    head = np.frombuffer(frame[BEFORE:], HEADER, 1)
    sums = payload_sums(np.frombuffer(payload, np.uint8).reshape(1, -1))
    assert head["check"] == header_check(head, sums)


@pytest.mark.parametrize("length", [BEFORE, 60, BEFORE + HEADER_BYTES, 200, 1400, 3408])
def test_frame__length_does_not_depend_on_the_last_packet(sender: SenderProgram, length: int) -> None:
    lane = sender.lane(payload_size=1000)
    fill(lane, 0, b"x" * 1000)
    schedule(lane, (0, 1000, Flag.CHECKSUM), (0, 10, Flag.CHECKSUM))
    whole = leave(sender, lane, b"\xa5" * length)
    small = leave(sender, lane, b"\xa5" * length)
    assert [len(whole), len(small)] == [BEFORE + HEADER_BYTES + size for size in (1000, DATA_LEAST_BYTES)]
    assert decode_untrusted(whole[BEFORE:]).tail == b"x" * 1000
    assert decode_untrusted(small[BEFORE:]).tail == b"x" * 10


def test_frames__follow_the_schedule(sender: SenderProgram) -> None:
    first = (1 << 32) - 3
    lane = sender.lane(first_index=first)
    order = [(first + n) & 0xFFFFFFFF for n in (4, 0, 7, 1, 1)]
    flags = (Flag.NONE, Flag.AGAIN, Flag.FLUSH, Flag.AGAIN | Flag.CHECKSUM | Flag.FLUSH, Flag.CHECKSUM)
    for index in order:
        fill(lane, index, index.to_bytes(4) * 25)
    schedule(lane, *zip(order, (100,) * 5, flags, strict=True))
    messages = [decode_untrusted(leave(sender, lane)[BEFORE:]) for _ in order]
    assert [message.index for message in messages] == order
    assert [message.flags for message in messages] == list(flags)
    assert [message.tail for message in messages] == [index.to_bytes(4) * 25 for index in order]


def test_frames__are_stamped_now_and_then(sender: SenderProgram) -> None:
    """Every 32nd, and those that are answered at once."""
    lane = sender.lane()
    schedule(lane, *((n % 64, 100, Flag.FLUSH if n == 40 else Flag.NONE) for n in range(70)))
    stamps = []
    for _ in range(70):
        before = time.monotonic_ns() // 1000
        stamps.append(decode_untrusted(leave(sender, lane)[BEFORE:]).timestamp)
        assert stamps[-1] != 0
        if len(stamps) in (1, 33, 41, 65):
            assert (stamps[-1] - before) & 0xFFFFFFFF < 1_000_000
    fresh = [n for n in range(1, 70) if stamps[n] != stamps[n - 1]]
    assert fresh == [32, 40, 64]


@pytest.mark.parametrize("length", [0, LARGEST_PAYLOAD_BYTES + 1, 4096, 65535])
def test_frame__an_impossible_length_leaves_nothing(sender: SenderProgram, length: int) -> None:
    lane = sender.lane()
    schedule(lane, (0, length, 0))
    assert sender.run(STALE, lane.mark)[0] == DROP
    assert [int(lane.state[name]) for name in ("next", "sent")] == [1, 0]


def test_frame__nothing_leaves_behind_the_schedule(sender: SenderProgram) -> None:
    lane = sender.lane()
    lane.state["next"] = len(lane.live._bursts._entries)
    assert sender.run(STALE, lane.mark)[0] == DROP
    assert [int(lane.state[name]) for name in ("next", "sent")] == [len(lane.live._bursts._entries), 0]


def test_frame__a_lane_that_is_none_leaves_nothing(sender: SenderProgram) -> None:
    lane = sender.lane()
    schedule(lane, (0, 100, 0))
    other = lane.mark[:8] + (1).to_bytes(4, "little") + lane.mark[12:]
    assert sender.run(STALE, other)[0] == DROP
    assert not lane.state["sent"]


@pytest.mark.parametrize("bit", [0, 17, 63])
def test_frame__without_the_secret_is_the_wires(sender: SenderProgram, bit: int) -> None:
    lane = sender.lane()
    schedule(lane, (0, 100, 0))
    forged = (int.from_bytes(lane.mark[:8]) ^ 1 << bit).to_bytes(8) + lane.mark[8:]
    assert sender.run(STALE, forged) == (PASS, STALE)
    assert sender.run(STALE, lane.mark[:12]) == (PASS, STALE)
    assert [int(lane.state[name]) for name in ("next", "sent")] == [0, 0]
