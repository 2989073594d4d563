# SPDX-License-Identifier: GPL-2.0-only
"""Classic BPF that lets only our packets into a socket, so that foreign chatter wakes nobody."""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import dataclass

from towline.framing import Level, Numbers
from towline.wire import HEADER_BYTES, MAGIC

_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("HBBI")  # struct sock_filter
_PROGRAM = struct.Struct("HP")  # struct sock_fprog
_LOAD = {1: 0x30, 2: 0x28, 4: 0x20}  # BPF_LD | BPF_ABS | B, H or W
_LOAD_LENGTH = 0x80  # BPF_LD | BPF_W | BPF_LEN
_AND, _EQUAL, _AT_LEAST, _RETURN = 0x54, 0x15, 0x35, 0x06
_PACKET_TYPE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE
_ALL = 0xFFFFFFFF
_IPV4_FRAGMENT = 0x3FFF  # more fragments, or an offset
_UDP_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Demand:
    """The number at an offset of the packet, after a mask, must be this."""

    offset: int
    width: int
    value: int
    mask: int = _ALL


def frame_demands(level: Level, numbers: Numbers, port: int) -> list[Demand]:
    """What a frame of a level must look like to be ours; AF_PACKET, from the first byte of the frame on."""
    demands = [Demand(offset=level.frame_bytes, width=1, value=MAGIC)]
    if level.name != "raw":  # there, our header stands where an address is looked for: every frame is somebody else's
        demands.append(Demand(offset=_PACKET_TYPE, width=1, value=socket.PACKET_HOST))
    following = 17 if level.has_ports else numbers.next_header
    match level.family, level.frame_bytes:
        case socket.AF_PACKET, 14:
            demands.append(Demand(offset=12, width=2, value=numbers.ethertype))
        case socket.AF_INET6, _:
            demands += [Demand(offset=12, width=2, value=0x86DD), Demand(offset=20, width=1, value=following)]
        case socket.AF_INET, _:
            demands += [Demand(offset=12, width=2, value=0x0800), Demand(offset=14, width=1, value=0x45)]
            demands += [Demand(offset=20, width=2, value=0, mask=_IPV4_FRAGMENT)]
            demands += [Demand(offset=23, width=1, value=17)]
    if level.has_ports:
        demands.append(Demand(offset=level.frame_bytes - 6, width=2, value=port))
    return demands


def payload_demands(level: Level) -> list[Demand]:
    """The same for sockets that see no frame: a UDP filter runs from the UDP header on, a raw one's behind IP."""
    return [Demand(offset=_UDP_BYTES if level.has_ports else 0, width=1, value=MAGIC)]


def attach_filter(opened: socket.socket, demands: list[Demand], header_at: int) -> None:
    """Let only packets in that meet all demands and are long enough for a header at `header_at`. Raises OSError."""
    steps = [(_LOAD_LENGTH, 0), (_AT_LEAST, header_at + HEADER_BYTES)]
    for demand in demands:
        steps.append((_LOAD[demand.width], demand.offset))
        if demand.mask != _ALL:
            steps.append((_AND, demand.mask))
        steps.append((_EQUAL, demand.value))
    _attach(opened, [*steps, (_RETURN, _ALL), (_RETURN, 0)])


def attach_deaf(opened: socket.socket) -> None:
    """Let nothing in: a socket that only holds a port. Raises OSError."""
    _attach(opened, [(_RETURN, 0)])


def _attach(opened: socket.socket, steps: list[tuple[int, int]]) -> None:
    # A comparison that fails jumps to the last step, which drops the packet.
    code = b"".join(
        _INSTRUCTION.pack(what, 0, len(steps) - 2 - at if what in (_EQUAL, _AT_LEAST) else 0, value)
        for at, (what, value) in enumerate(steps)
    )
    held = ctypes.create_string_buffer(code, len(code))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _PROGRAM.pack(len(steps), ctypes.addressof(held)))
