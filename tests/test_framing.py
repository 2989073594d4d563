# SPDX-License-Identifier: GPL-2.0-only
"""The table of levels, and frames as a parser sees them that we did not write."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tests.frames_seen import assert_seen
from tests.levels import EVERY, SENDER_TO_RECEIVER, ends_at, framed, template
from towline.errors import MalformedError
from towline.framing import (
    DST,
    ETHERNET,
    LARGEST_LIVE_FRAME_BYTES,
    LEVELS,
    RAW,
    UDP4,
    UDP6,
    Ends,
    Level,
    Numbers,
    seal_frames,
    source_untrusted,
    write_frame,
)
from towline.wire import HEADER_BYTES, payload_sums

PORTED = pytest.mark.parametrize("level", [UDP6, UDP4], ids=["udp6", "udp4"])


def test_levels__are_numbered_by_name() -> None:
    assert [level.number for level in LEVELS.values()] == list(range(7))
    assert all(name == level.name for name, level in LEVELS.items())
    assert [level.frame_bytes for level in LEVELS.values()] == [0, 6, 12, 14, 54, 62, 42]


@EVERY
@pytest.mark.parametrize("mtu", [256, 1280, 1500, 3442, 9000])
def test_largest_payload_bytes__fits_and_no_byte_more(level: Level, mtu: int) -> None:
    largest = level.largest_payload_bytes(mtu)
    whole = level.frame_bytes + HEADER_BYTES + largest
    assert whole == min(mtu + 14, LARGEST_LIVE_FRAME_BYTES)
    if whole == mtu + 14:
        assert level.mtu_for(largest) == mtu


def test_largest_payload_bytes__at_1500() -> None:
    found = {name: level.largest_payload_bytes(1500) for name, level in LEVELS.items()}
    assert list(found) == ["raw", "dst", "dst-src", "ethernet", "ipv6", "udp6", "udp4"]
    assert list(found.values()) == [1490, 1484, 1478, 1476, 1436, 1428, 1448]


@EVERY
@pytest.mark.parametrize("size", [24, 25, 104, 1400])
def test_frames__as_others_see_them(level: Level, size: int) -> None:
    packet = Random(size).randbytes(size)
    for ends in (SENDER_TO_RECEIVER, SENDER_TO_RECEIVER.turned()):
        assert len(template(level, ends)) == level.frame_bytes
        assert_seen(level, framed(level, ends, packet), ends, packet)


@EVERY
def test_write_frame__with_other_numbers(level: Level) -> None:
    numbers = Numbers(ethertype=1501, next_header=253)
    assert_seen(level, framed(level, SENDER_TO_RECEIVER, bytes(50), numbers), SENDER_TO_RECEIVER, bytes(50), numbers)


@EVERY
def test_seal_frames__many_at_once_and_strided(level: Level) -> None:
    """Frames as they lie in front of their packets, with what an earlier use left in lengths and checksums."""
    sizes = np.array([24, 104, 105, 900, 1400])
    memory = np.zeros((len(sizes), 1500), np.uint8)
    bodies = [np.frombuffer(Random(int(size)).randbytes(int(size)), np.uint8).reshape(1, -1) for size in sizes]
    sums = np.concatenate([payload_sums(body) for body in bodies])
    memory[:, : level.frame_bytes] = np.frombuffer(template(level, SENDER_TO_RECEIVER), np.uint8)
    for _ in range(2):
        seal_frames(level, memory[:, : level.frame_bytes], sizes, sums)
    for row, body in zip(memory, bodies, strict=True):
        assert row[: level.frame_bytes].tobytes() + body.tobytes() == framed(level, SENDER_TO_RECEIVER, body.tobytes())


@PORTED
def test_seal_frames__sums_need_not_be_folded(level: Level) -> None:
    frames = np.frombuffer(template(level, SENDER_TO_RECEIVER) * 2, np.uint8).reshape(2, -1).copy()
    seal_frames(level, frames, np.array([100, 100]), np.array([0x1234 + 0xFFFF * 9_000_000, 0x1234], np.uint64))
    assert frames[0].tobytes() == frames[1].tobytes()


@PORTED
def test_seal_frames__a_checksum_of_zero_is_sent_as_ones(level: Level) -> None:
    first = framed(level, SENDER_TO_RECEIVER, bytes(100))
    lacked = first[level.frame_bytes - 2 : level.frame_bytes]
    second = framed(level, SENDER_TO_RECEIVER, lacked + bytes(98))
    assert second[level.frame_bytes - 2 : level.frame_bytes] == b"\xff\xff"
    assert_seen(level, second, SENDER_TO_RECEIVER, lacked + bytes(98))


@PORTED
def test_seal_frames__needs_the_sums(level: Level) -> None:
    frames = np.frombuffer(template(level, SENDER_TO_RECEIVER), np.uint8).reshape(1, -1).copy()
    with pytest.raises(AssertionError):
        seal_frames(level, frames, np.array([100]))


@EVERY
def test_source_untrusted__is_who_sent_it(level: Level) -> None:
    ends = ends_at(level, SENDER_TO_RECEIVER)
    expected = None if level in (RAW, DST) else ends.source_mac if level.frame_bytes <= 14 else ends.source
    assert source_untrusted(level, write_frame(level, ends, Numbers()) + b"more") == expected
    assert level.names_source == (expected is not None)


@EVERY
def test_source_untrusted__a_short_frame_is_malformed(level: Level) -> None:
    frame = template(level, SENDER_TO_RECEIVER)
    for length in range(len(frame)):
        with pytest.raises(MalformedError):
            source_untrusted(level, frame[:length])


def test_turned__twice_is_the_same() -> None:
    assert SENDER_TO_RECEIVER.turned() != SENDER_TO_RECEIVER
    assert SENDER_TO_RECEIVER.turned().turned() == SENDER_TO_RECEIVER
    assert Ends(source_mac=b"abcdef").turned() == Ends(destination_mac=b"abcdef")


def test_write_frame__ethernet_is_fourteen_bytes() -> None:
    ends = Ends(destination_mac=b"\x02\0\0\0\0\x01", source_mac=b"\x02\0\0\0\0\x02")
    assert write_frame(ETHERNET, ends, Numbers()).hex() == "0200000000010200000000021501"
