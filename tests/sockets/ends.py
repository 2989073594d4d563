# SPDX-License-Identifier: GPL-2.0-only
"""The two ends of a cable, ports on them, and packets to send."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.framing import Level, Numbers
from towline.kernel.netns import inside
from towline.lab.environments.veth import End
from towline.sockets.inet import RawPort, UdpPort
from towline.sockets.packet import PacketPort
from towline.sockets.port import Batch, Flow, Peer, Port
from towline.wire import HEADER_BYTES, MAGIC

NEAR_PORT, FAR_PORT = 6001, 6002
WAIT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """A namespace with one interface, its MAC, and its address of each family."""

    end: End
    mac: bytes
    addresses: dict[int, bytes]


@dataclass(frozen=True, kw_only=True)
class Cable:
    """Both sides."""

    near: Side
    far: Side

    def peer(self, level: Level, port: int = FAR_PORT) -> Peer:
        """The far side as the near one sees it, complete."""
        family = int(level.family)
        return Peer(
            mac=self.far.mac,
            address=self.far.addresses.get(family, b""),
            port=port if level.has_ports else 0,
            local=self.near.addresses.get(family, b""),
        )


@contextmanager
def opened(side: Side, kind: str, level: Level, port: int, numbers: Numbers | None = None) -> Iterator[Port]:
    """A port of a kind (packet, udp, raw) on one side."""
    numbers = numbers or Numbers()
    with inside(side.end.namespace):
        made: Port
        match kind:
            case "packet":
                made = PacketPort(side.end.interface, side.mac, level, numbers, port=port)
            case "udp":
                made = UdpPort(level, port=port, interface=side.end.interface)
            case _:
                made = RawPort(numbers.next_header, interface=side.end.interface)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def both(
    cable: Cable, level: Level, kinds: tuple[str, str] = ("packet", "packet"), numbers: Numbers | None = None
) -> Iterator[tuple[Port, Port]]:
    """A port on the near side and one on the far side."""
    with (
        opened(cable.near, kinds[0], level, NEAR_PORT, numbers) as near,
        opened(cable.far, kinds[1], level, FAR_PORT, numbers) as far,
    ):
        yield near, far


def packet(size: int, number: int = 0) -> bytes:
    """Bytes that begin as ours; all others depend on the number."""
    body = np.random.default_rng(number).integers(0, 256, size, np.uint8)
    body[0] = MAGIC
    return body.tobytes()


def fill(flow: Flow, count: int) -> NDArray[np.uint8]:
    """Write different packets into a flow; returns a copy of them."""
    rows = np.random.default_rng(count).integers(0, 256, flow.packets[:count].shape, np.uint8)
    rows[:, 0] = MAGIC
    rows[:, 20:HEADER_BYTES] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    flow.packets[:count] = rows
    return rows


def wait(port: Port, seconds: float = WAIT_S) -> Batch | None:
    """The next batch; None where none comes in time."""
    poll = select.poll()
    poll.register(port.fileno(), select.POLLIN)
    until = time.monotonic() + seconds
    while poll.poll(max(0.0, until - time.monotonic()) * 1000):
        batch = port.receive()
        if batch is not None:
            return batch
    return None


def collect(port: Port, count: int) -> list[bytes]:
    """The bytes of packets as they come, until there are so many or nothing comes any more."""
    packets: list[bytes] = []
    while len(packets) < count:
        batch = wait(port)
        if batch is None:
            break
        lengths: Any = batch.lengths.tolist()
        packets += [row[:size].tobytes() for row, size in zip(batch.packets, lengths, strict=True)]
    return packets
