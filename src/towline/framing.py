# SPDX-License-Identifier: GPL-2.0-only
"""The levels as one table: what stands in front of the header, and how to write and know it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from towline.errors import MalformedError
from towline.wire import HEADER_BYTES

LARGEST_LIVE_FRAME_BYTES = 3408  # the page of a live frame less its room for an skb


@dataclass(frozen=True, kw_only=True)
class Level:
    """One framing. `number` is enum level of bpf/framing.h; `overhead_bytes` counts against the MTU."""

    name: str
    number: int
    frame_bytes: int
    overhead_bytes: int

    def largest_payload_bytes(self, mtu: int) -> int:
        """The payload that fits an interface's MTU, and a live frame."""
        largest = mtu - self.overhead_bytes - HEADER_BYTES
        return min(largest, LARGEST_LIVE_FRAME_BYTES - self.frame_bytes - HEADER_BYTES)

    def mtu_for(self, payload_bytes: int) -> int:
        """The smallest MTU that holds a payload."""
        return payload_bytes + self.overhead_bytes + HEADER_BYTES


ETHERNET = Level(name="ethernet", number=3, frame_bytes=14, overhead_bytes=0)
LEVELS = {level.name: level for level in (ETHERNET,)}

ETHERTYPE = 0x1501
_ETHERNET = struct.Struct("!6s6sH")


def ethernet_frame(destination: bytes, source: bytes, ethertype: int = ETHERTYPE) -> bytes:
    """The 14 bytes in front of a header at level `ethernet`."""
    return _ETHERNET.pack(destination, source, ethertype)


def ethernet_source_untrusted(frame: bytes) -> bytes:
    """The source address of a received frame (6 bytes)."""
    if len(frame) < ETHERNET.frame_bytes:
        raise MalformedError("shorter than an Ethernet header")
    source: bytes = _ETHERNET.unpack_from(frame)[1]
    return source
