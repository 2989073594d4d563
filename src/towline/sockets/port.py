# SPDX-License-Identifier: GPL-2.0-only
"""The one shape of every socket here: who a peer is, a batch of packets, a port, a flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from towline.framing import Ends, Level


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Whom packets come from and go to; what a socket neither sees nor needs is empty."""

    mac: bytes = b""  # 6 bytes where the socket writes frames itself (at dst: what HELLO named)
    address: bytes = b""  # 16 or 4 bytes at the Internet levels
    port: int = 0
    scope: int = 0  # interface index of a link-local IPv6 address
    local: bytes = b""  # our own address that the peer spoke to, so that answers leave from it


class Batch:
    """Packets that came together; valid until the next receive()."""

    def __init__(
        self, packets: NDArray[np.uint8], lengths: NDArray[np.int64], peer: Callable[[int], Peer | None]
    ) -> None:
        """`packets`: shape (n, width), header first, frames stripped. `lengths`: shape (n,), bytes from the header on.

        What stands in a row behind its length is anything.
        """
        self.packets = packets
        self.lengths = lengths
        self._peer = peer

    def __len__(self) -> int:
        return len(self.lengths)

    def peer(self, row: int) -> Peer | None:
        """Who sent a row; None where a frame names no source (raw, dst)."""
        return self._peer(row)


class Flow(Protocol):
    """Prepared sending of many packets to one peer: write `packets`, then send."""

    packets: NDArray[np.uint8]  # (most_packets, width), writable: header and payload
    how: str  # by which system call, for the record

    def send(self, count: int, lengths: NDArray[Any] | int) -> int:
        """Send packets[:count], `lengths` bytes of each from the header on; returns how many left.

        A full queue is waited for, some milliseconds at most; then fewer have left than were asked for. What the
        network refuses (a link that is down, no route, larger than the path's MTU) counts as left, and in `refused`
        of the port: silence is noticed by the protocol.
        """
        ...


class Port(Protocol):
    """One socket at one level."""

    level: Level
    port: int  # our UDP port, 0 where the level has none

    @property
    def refused(self) -> int:
        """Packets that the system did not want to send."""
        ...

    @property
    def malformed(self) -> int:
        """Packets left out: too short, too long, no header of ours."""
        ...

    def fileno(self) -> int:
        """For poll: readable when receive() has something."""
        ...

    def receive(self) -> Batch | None:
        """What is there, up to a batch; None: nothing. Never blocks. Only packets of this level that begin as ours."""
        ...

    def send(self, packet: bytes, peer: Peer) -> None:
        """Send one message; dropped where the queue is full or the link is down, as the path might."""
        ...

    def flow(self, peer: Peer, most_packets: int, width: int, ends: Ends | None = None) -> Flow:
        """Prepare sending packets of at most `width` bytes. `ends`: where a socket writes frames; else the peer's."""
        ...

    def overflowed(self) -> int:
        """How many packets found the socket's buffer full."""
        ...

    def close(self) -> None:
        """Close the socket."""
        ...
