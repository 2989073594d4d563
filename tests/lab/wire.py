# SPDX-License-Identifier: GPL-2.0-only
"""Frames of our own through an impaired path, seen by packet sockets at both ends."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from towline.kernel.netns import inside
from towline.lab.emulator.control import Emulator
from towline.lab.emulator.impairments import Impairments
from towline.lab.environments import veth

ETHERTYPE = 0x88B5  # for local experiments
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _ETH_P_ALL = 33, 35, 3
_BUFFER_BYTES = 1 << 28
_NUMBER = struct.Struct("!IQ")
_TIME = struct.Struct("=qq")
_HEADER_BYTES = 14


class Wire:
    """`sent_from` and `seen_at`: packet sockets; hosts' own chatter does not cross (no IPv6, no addresses)."""

    def __init__(self, path: veth.Path, *, backward: bool = False) -> None:
        assert path.emulator is not None
        self.path, self.emulator = path, path.emulator
        near, far = (path.receiver, path.sender) if backward else (path.sender, path.receiver)
        self.head = bytes.fromhex((far.mac + near.mac).replace(":", "")) + ETHERTYPE.to_bytes(2, "big")
        self.near, self.far = _socket(near), _socket(far)

    def frame(self, number: int, size_bytes: int = 100) -> bytes:
        """A frame with a number, the time, and a content that follows from its number."""
        start = self.head + _NUMBER.pack(number, time.time_ns())
        return start + bytes((number + i) % 251 for i in range(size_bytes - len(start)))

    def send(self, count: int, size_bytes: int = 100, gap_s: float = 0.0) -> list[bytes]:
        """Frames 0, 1 ...; returns them."""
        body = self.frame(0, size_bytes)[_HEADER_BYTES + _NUMBER.size :]
        sent = []
        for number in range(count):
            frame = self.head + _NUMBER.pack(number, time.time_ns()) + body
            self.near.send(frame)
            sent.append(frame)
            if gap_s:
                time.sleep(gap_s)
        return sent

    def receive(self, quiet_s: float = 0.3) -> list[tuple[float, bytes]]:
        """What has arrived until it was quiet for so long: (time in s, frame)."""
        found: list[tuple[float, bytes]] = []
        self.far.settimeout(quiet_s)
        while True:
            try:
                frame, ancillary, *_ = self.far.recvmsg(4096, 128)
            except TimeoutError:
                return found
            seconds, nanoseconds = _TIME.unpack(ancillary[0][2][: _TIME.size])
            found.append((seconds + nanoseconds / 1e9, frame))

    def close(self) -> None:
        """Both sockets."""
        self.near.close()
        self.far.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def wire(
    impairments: Impairments, *, backward: bool = False, capture: Path | None = None, mtu: int = 1500
) -> Iterator[Wire]:
    """An impaired path without chatter."""
    with veth.veth(impairments=impairments, addressed=False, capture=capture, mtu=mtu) as path:
        for end in (path.sender, path.receiver):
            subprocess.run(end.command("sysctl", "-qw", f"net.ipv6.conf.{end.interface}.disable_ipv6=1"), check=True)
        with Wire(path, backward=backward) as made:
            made.receive(0.05)
            made.emulator.set(impairments)
            yield made


def is_ours(frame: bytes) -> bool:
    """Of the ethertype that `Wire` sends."""
    return int.from_bytes(frame[_HEADER_BYTES - 2 : _HEADER_BYTES], "big") == ETHERTYPE


def number_of(frame: bytes) -> int:
    """Of a frame that was not damaged."""
    number: int = _NUMBER.unpack_from(frame, _HEADER_BYTES)[0]
    return number


def sent_at(frame: bytes) -> float:
    """When it was sent, in s."""
    nanoseconds: int = _NUMBER.unpack_from(frame, _HEADER_BYTES)[1]
    return nanoseconds / 1e9


def settled(emulator: Emulator, seconds: float = 5.0) -> None:
    """Wait until nothing is in flight forward."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        counted = emulator.report().forward
        if counted.released == counted.carried - counted.lost - counted.no_room + counted.duplicated:
            return
        time.sleep(0.02)
    raise AssertionError("frames are still in flight")


def _socket(end: veth.End) -> socket.socket:
    with inside(end.namespace):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.bind((end.interface, 0))  # an interface of the socket's namespace; the protocol stays
    return made
