# SPDX-License-Identifier: GPL-2.0-only
"""Many packets to one peer through an Internet socket: dozens a message where the kernel cuts them (UDP GSO)."""

from __future__ import annotations

import errno
import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from towline.errors import FileError
from towline.framing import Level
from towline.sockets.batches import LOST, MESSAGE, PIECE, Sent, addresses, ancillary, send_messages
from towline.sockets.inet_names import Family, packet_information, peer_name
from towline.sockets.port import Peer

PATIENCE_S = 0.005
MOST_SEGMENTS = 64  # UDP_MAX_SEGMENTS of older kernels
MOST_MESSAGE_BYTES = 65507  # of UDP over IPv4
_SOL_UDP, _UDP_SEGMENT = 17, 103  # linux/udp.h
_SEGMENT = struct.Struct("=H")
# Our own address has gone, as those of IPv6 do when a link goes down. With GSO, it may also mean that there is none.
INET_LOST = LOST | {errno.EINVAL}
_NO_GSO = (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP)  # no checksums by the device, no such option


class _Owner(Protocol):
    level: Level
    refused: int

    def fileno(self) -> int: ...


class InetFlow:
    """See Flow. Give packets of one length, the last shorter at most: others go one by one."""

    def __init__(self, port: _Owner, family: Family, peer: Peer, most_packets: int, width: int) -> None:
        self.packets = np.zeros((most_packets, width), np.uint8)
        self.how = "gso" if port.level.has_ports else "sendmmsg"
        self.patience_s = PATIENCE_S
        self._port = port
        self._name = np.frombuffer(peer_name(port.level, peer).raw, np.uint8)
        self._local = ancillary(*packet_information(family, peer)) if peer.local else b""
        self._control = np.empty(0, np.uint8)
        self._pieces = np.zeros(most_packets, PIECE)
        self._pieces["base"] = addresses(self.packets)
        self._piece_addresses = addresses(self._pieces)
        self._messages = np.zeros(most_packets, MESSAGE)
        self._messages["name"] = self._name.ctypes.data
        self._messages["name_bytes"] = len(self._name)

    def send(self, count: int, lengths: NDArray[Any] | int) -> int:
        """See Flow. Raises FileError where the socket is broken."""
        if not count:
            return 0
        sizes = np.broadcast_to(np.asarray(lengths, np.int64), (count,))
        self._pieces["bytes"][:count] = sizes
        size = int(sizes[0])
        joined = min(MOST_SEGMENTS, MOST_MESSAGE_BYTES // size, count)
        uniform = bool((sizes[:-1] == size).all()) and int(sizes[-1]) <= size
        if self.how != "gso" or not uniform or joined < 2:
            return self._send(count, 1, b"")
        segment = ancillary(_SOL_UDP, _UDP_SEGMENT, _SEGMENT.pack(size))
        try:
            return self._send(count, joined, segment, lost=LOST)
        except FileError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in _NO_GSO:
                raise
        before = self._port.refused
        left = self._send(count, 1, b"")
        if self._port.refused - before < left:  # some went: it was GSO that the kernel did not want
            self.how = "sendmmsg"
        return left

    def _send(self, count: int, joined: int, control: bytes, lost: frozenset[int] = INET_LOST) -> int:
        """`joined` packets to a message."""
        messages = self._messages[: -(-count // joined)]
        messages["pieces"] = self._piece_addresses[:count:joined]
        messages["count"] = joined
        messages["count"][-1] = count - (len(messages) - 1) * joined
        self._control = np.frombuffer(self._local + control, np.uint8)
        messages["control"] = self._control.ctypes.data if len(self._control) else 0
        messages["control_bytes"] = len(self._control)
        try:
            sent: Sent = send_messages(
                self._port.fileno(), messages, len(messages), patience_s=self.patience_s, lost=lost
            )
        except OSError as error:
            raise FileError("the socket", error.strerror or str(error)) from error
        self._port.refused += min(sent.refused * joined, count)
        return min(sent.done * joined, count)
