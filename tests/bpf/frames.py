# SPDX-License-Identifier: GPL-2.0-only
"""Packets that encode() would not make, with a check that is right all the same."""

from __future__ import annotations

from tests.twins import body_mix, header_check, payload_sum
from towline.wire import HEADER_BYTES, Flag, Kind


def seal(packet: bytes) -> bytes:
    """A packet with its check made right, whatever else is wrong with it."""
    length = int.from_bytes(packet[2:4])
    body = packet[HEADER_BYTES : HEADER_BYTES + length]
    total = body_mix(body)
    if packet[1] >> 4 == Kind.DATA:
        total = payload_sum(body) if packet[1] & Flag.CHECKSUM else 0
    return packet[:20] + header_check(packet, total).to_bytes(4) + packet[HEADER_BYTES:]


def headed(kind: int, session: int, body: bytes, *, flags: int = 0, index: int = 0, timestamp: int = 0) -> bytes:
    """A sealed packet of any kind around any body."""
    head = bytes((0xBE, kind << 4 | flags)) + len(body).to_bytes(2) + session.to_bytes(8)
    return seal(head + index.to_bytes(4) + timestamp.to_bytes(4) + bytes(4) + body)
