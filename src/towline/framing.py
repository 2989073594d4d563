# SPDX-License-Identifier: GPL-2.0-only
"""The levels as one table: what stands in front of the header, and how to write and know it."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.errors import MalformedError
from towline.wire import HEADER_BYTES

LARGEST_LIVE_FRAME_BYTES = 3408  # the page of a live frame less its room for an skb
ETHERNET_BYTES = 14  # an interface's MTU leaves them out
HOP_LIMIT = 64


@dataclass(frozen=True, kw_only=True)
class Level:
    """One framing; `number` is enum level of bpf/framing.h."""

    name: str
    number: int
    frame_bytes: int
    names_source: bool  # False: replies go to the address that HELLO named
    family: int  # socket.AF_PACKET, AF_INET6 or AF_INET
    has_ports: bool
    is_shared: bool  # one interface serves all such levels at once; the others want it for themselves

    @property
    def overhead_bytes(self) -> int:
        """What the frame takes of an interface's MTU; below zero where there is less than an Ethernet header."""
        return self.frame_bytes - ETHERNET_BYTES

    def largest_payload_bytes(self, mtu: int) -> int:
        """The payload that fits an interface's MTU, and a live frame."""
        largest = mtu - self.overhead_bytes - HEADER_BYTES
        return min(largest, LARGEST_LIVE_FRAME_BYTES - self.frame_bytes - HEADER_BYTES)

    def mtu_for(self, payload_bytes: int) -> int:
        """The smallest MTU that holds a payload."""
        return payload_bytes + self.overhead_bytes + HEADER_BYTES


def _level(
    name: str,
    number: int,
    frame_bytes: int,
    family: int = socket.AF_PACKET,
    *,
    names_source: bool = True,
    has_ports: bool = False,
    is_shared: bool = False,
) -> Level:
    return Level(
        name=name,
        number=number,
        frame_bytes=frame_bytes,
        names_source=names_source,
        family=family,
        has_ports=has_ports,
        is_shared=is_shared,
    )


RAW = _level("raw", 0, 0, names_source=False)
DST = _level("dst", 1, 6, names_source=False)
DST_SRC = _level("dst-src", 2, 12)
ETHERNET = _level("ethernet", 3, 14, is_shared=True)
IPV6 = _level("ipv6", 4, 54, socket.AF_INET6, is_shared=True)
UDP6 = _level("udp6", 5, 62, socket.AF_INET6, has_ports=True, is_shared=True)
UDP4 = _level("udp4", 6, 42, socket.AF_INET, has_ports=True, is_shared=True)
LEVELS = {level.name: level for level in (RAW, DST, DST_SRC, ETHERNET, IPV6, UDP6, UDP4)}


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What a frame says of who we are; constants of the programs (framing.h)."""

    ethertype: int = 0x1501  # level ethernet
    next_header: int = 146  # level ipv6


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Both ends of a frame; what a level does not carry is ignored. Addresses as bytes: 6, and 16 or 4."""

    destination_mac: bytes = bytes(6)
    source_mac: bytes = bytes(6)
    destination: bytes = b""
    source: bytes = b""
    destination_port: int = 0
    source_port: int = 0

    def turned(self) -> Ends:
        """Those of the answer."""
        return Ends(
            destination_mac=self.source_mac,
            source_mac=self.destination_mac,
            destination=self.source,
            source=self.destination,
            destination_port=self.source_port,
            source_port=self.destination_port,
        )


_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")  # version, class and flow; payload length; next header; hop limit; addresses
_IPV4 = struct.Struct("!BBHHHBBH4s4s")  # version and words; service; length; id; flags; ttl; protocol; sum; addresses
_UDP = struct.Struct("!HHHH")
_ETHERTYPES: dict[int, int] = {socket.AF_INET6: 0x86DD, socket.AF_INET: 0x0800}
_IPV6_VERSION = 6 << 28
_IPV4_VERSION_AND_WORDS = 0x45
_DONT_FRAGMENT = 0x4000
_UDP_PROTOCOL = 17


def write_frame(level: Level, ends: Ends, numbers: Numbers) -> bytes:
    """What stands in front of the header, `level.frame_bytes` long; lengths and checksums are seal_frames's.

    RFC 8200 section 3, RFC 791 section 3.1 and RFC 768.
    """
    if level.frame_bytes < ETHERNET_BYTES:
        return (ends.destination_mac + ends.source_mac)[: level.frame_bytes]
    kind = _ETHERTYPES.get(level.family, numbers.ethertype)
    frame = _ETHERNET.pack(ends.destination_mac, ends.source_mac, kind)
    if level.family == socket.AF_INET6:
        following = _UDP_PROTOCOL if level.has_ports else numbers.next_header
        frame += _IPV6.pack(_IPV6_VERSION, 0, following, HOP_LIMIT, ends.source, ends.destination)
    elif level.family == socket.AF_INET:
        fixed = (_IPV4_VERSION_AND_WORDS, 0, 0, 0, _DONT_FRAGMENT, HOP_LIMIT, _UDP_PROTOCOL, 0)
        frame += _IPV4.pack(*fixed, ends.source, ends.destination)
    if level.has_ports:
        frame += _UDP.pack(ends.source_port, ends.destination_port, 0, 0)
    return frame


def seal_frames(
    level: Level, frames: NDArray[np.uint8], bodies_bytes: NDArray[Any], sums: NDArray[np.uint64] | None = None
) -> None:
    """Fill in the lengths and checksums of n frames, in place: they must be as write_frame made them.

    `frames`: uint8, shape (n, frame_bytes), may be strided. `bodies_bytes`: integers, shape (n,): bytes that follow
    each frame (header, payload and padding). `sums`: shape (n,): RFC 1071 sums over those bytes, folded or not;
    needed where the level has ports. The checksums: RFC 791, RFC 768 and RFC 8200 section 8.1.
    """
    if level.family == socket.AF_PACKET:
        return
    lengths = np.asarray(bodies_bytes, np.uint64) + np.uint64(_UDP.size if level.has_ports else 0)
    if level.family == socket.AF_INET:
        _put(frames, 16, lengths + np.uint64(_IPV4.size))
        _put(frames, 24, ~_words_sum(frames, (14, 24), (26, 34)))
    else:
        _put(frames, 18, lengths)
    if level.has_ports:
        assert sums is not None, "a UDP checksum covers the body"
        ports = level.frame_bytes - _UDP.size
        addresses = (26, 34) if level.family == socket.AF_INET else (22, 54)
        total = _words_sum(frames, addresses, (ports, ports + 4))
        total = ~_folded(total + np.uint64(_UDP_PROTOCOL) + np.uint64(2) * lengths + _folded(sums)) & np.uint64(0xFFFF)
        _put(frames, ports + 4, lengths)
        _put(frames, ports + 6, np.where(total == 0, np.uint64(0xFFFF), total))  # 0 says: no checksum


def source_untrusted(level: Level, frame: bytes) -> bytes | None:
    """The address that a received frame names as its source: a MAC's 6 bytes, or an IP address's 16 or 4.

    None where the level's frames name none. Raises MalformedError.
    """
    if len(frame) < level.frame_bytes:
        raise MalformedError(f"shorter than a frame of level {level.name}")
    if not level.names_source:
        return None
    start, end = _SOURCES[level.family]
    return frame[start:end]


_SOURCES: dict[int, tuple[int, int]] = {socket.AF_PACKET: (6, 12), socket.AF_INET6: (22, 38), socket.AF_INET: (26, 30)}


def _words_sum(frames: NDArray[np.uint8], *spans: tuple[int, int]) -> NDArray[np.uint64]:
    """Folded sums of the 16-bit words in some spans of each frame: shape (n,)."""
    parts = np.concatenate([frames[:, start:end] for start, end in spans], axis=1)
    return _folded(parts.view(">u2").sum(axis=1, dtype=np.uint64))


def _folded(sums: NDArray[np.uint64]) -> NDArray[np.uint64]:
    sums = np.asarray(sums, np.uint64)
    for _ in range(4):
        sums = (sums & np.uint64(0xFFFF)) + (sums >> np.uint64(16))
    return sums


def _put(frames: NDArray[np.uint8], offset: int, values: NDArray[np.uint64]) -> None:
    """16 bits of each value, network order."""
    frames[:, offset] = values >> np.uint64(8) & np.uint64(0xFF)
    frames[:, offset + 1] = values & np.uint64(0xFF)
