# SPDX-License-Identifier: GPL-2.0-only
"""Frames of every level between two ends, and whether a frame is one of them: what the programs are held against."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest

from towline.framing import (
    DST,
    DST_SRC,
    ETHERNET,
    IPV6,
    LEVELS,
    RAW,
    UDP4,
    UDP6,
    Ends,
    Level,
    Numbers,
    seal_frames,
    write_frame,
)
from towline.wire import payload_sums

SHARED = tuple(level for level in LEVELS.values() if level.is_shared)
EVERY = pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
NUMBERS = Numbers()
_MACS = {
    "destination_mac": bytes.fromhex("02000000000b"),
    "source_mac": bytes.fromhex("02000000000a"),
    "destination_port": 15010,
    "source_port": 40001,
}
_SIX = Ends(
    destination=IPv6Address("fd00:1::2:3").packed,
    source=IPv6Address("fd00:ffff::1").packed,
    **_MACS,  # type: ignore[arg-type]
)
_FOUR = Ends(
    destination=IPv4Address("10.0.0.2").packed,
    source=IPv4Address("192.168.255.1").packed,
    **_MACS,  # type: ignore[arg-type]
)
SENDER_TO_RECEIVER = _SIX  # the ports and MACs are the same at every level


def ends_at(level: Level, ends: Ends) -> Ends:
    """The ends with addresses of the level's family."""
    if level.family != socket.AF_INET:
        return ends
    four = _FOUR if ends.source_port == _FOUR.source_port else _FOUR.turned()
    return replace(ends, destination=four.destination, source=four.source)


def template(level: Level, ends: Ends, numbers: Numbers = NUMBERS) -> bytes:
    """What stands in front of a header, lengths and checksums excepted."""
    return write_frame(level, ends_at(level, ends), numbers)


def framed(level: Level, ends: Ends, packet: bytes, numbers: Numbers = NUMBERS) -> bytes:
    """A whole frame, as framing.py makes it."""
    frame = np.frombuffer(template(level, ends, numbers), np.uint8).reshape(1, -1).copy()
    body = np.frombuffer(packet, np.uint8).reshape(1, -1)
    seal_frames(level, frame, np.array([len(packet)]), payload_sums(body))
    return frame.tobytes() + packet


# The bits of a frame by which it is known: not what routers change, nor lengths and checksums. RFC 8200, 791, 768.
_ANY_MACS = bytes(12)
_IPV6 = _ANY_MACS + b"\xff\xff" + b"\xf0" + bytes(5) + b"\xff" + bytes(1) + b"\xff" * 32
_IPV4 = _ANY_MACS + b"\xff\xff" + b"\xff" + bytes(5) + b"\x3f\xff" + bytes(1) + b"\xff" + bytes(2) + b"\xff" * 8
_UDP = b"\xff" * 4 + bytes(4)
MASKS = {
    RAW: b"",
    DST: b"\xff" * 6,
    DST_SRC: b"\xff" * 12,
    ETHERNET: b"\xff" * 14,
    IPV6: _IPV6,
    UDP6: _IPV6 + _UDP,
    UDP4: _IPV4 + _UDP,
}


def is_in_frame(level: Level, whole: bytes, expected: bytes) -> bool:
    """Does a frame begin with what a template says, as far as it is known by it?"""
    mask = int.from_bytes(MASKS[level])
    front = whole[: level.frame_bytes]
    return len(front) == level.frame_bytes and not (int.from_bytes(front) ^ int.from_bytes(expected)) & mask


def answer_ends(level: Level, whole: bytes) -> Ends:
    """The ends of an answer to a frame: at the Internet levels it goes to the MAC that the frame came from."""
    ends = SENDER_TO_RECEIVER.turned()
    if level.family == socket.AF_PACKET:
        return ends
    return replace(ends, destination_mac=whole[6:12], source_mac=whole[:6])
