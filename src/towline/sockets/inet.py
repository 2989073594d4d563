# SPDX-License-Identifier: GPL-2.0-only
"""Internet sockets: UDP without privilege (udp6, udp4), and raw IPv6 (ipv6)."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.errors import FileError
from towline.framing import IPV6, Ends, Level
from towline.sockets.batches import LOST, Arrivals
from towline.sockets.filters import attach_filter, payload_demands
from towline.sockets.inet_flow import INET_LOST, InetFlow
from towline.sockets.inet_names import (
    Family,
    local_untrusted,
    packet_information,
    peer_name,
    peer_of,
)
from towline.sockets.opening import bind_to_interface, enlarge_buffers, overflowed, told
from towline.sockets.port import Batch, Peer
from towline.sockets.segments import Cutter

SOL_UDP, UDP_GRO = 17, 104  # linux/udp.h
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _DO, _IPV6_DONTFRAG = 10, 23, 2, 62
_BATCH_BYTES = 2 << 20
_FIRST_ROW_BYTES = 2048
_LARGEST_MESSAGE_BYTES = 1 << 16
_CONTROL_BYTES = 96  # UDP_GRO and the packet information, with room for another
_SEGMENT = struct.Struct("=i")


class _InetPort:
    """What UDP and raw sockets have in common. Many threads may send, one receives."""

    def __init__(self, level: Level, opened: socket.socket) -> None:
        self.level = level
        self.refused = 0
        self._socket = opened
        self._family = Family.of(level)
        self._cutter = Cutter()
        self._arrivals = _arrivals(_FIRST_ROW_BYTES)
        self._longest = 0
        self._was_full = False

    @property
    def malformed(self) -> int:
        """Packets left out."""
        return self._cutter.malformed

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def receive(self) -> Batch | None:
        """See Port. Raises FileError where the socket is broken."""
        self._fit_rows()
        try:
            count = self._arrivals.receive(self._socket.fileno())
        except OSError as error:
            if error.errno in LOST:  # of a packet sent earlier
                return None
            raise FileError("the socket", error.strerror or str(error)) from error
        if not count:
            return None
        lengths = self._arrivals.lengths()
        self._longest = int(lengths.max())
        self._was_full = count == self._arrivals.count
        return self._cutter.cut(self._arrivals, lengths, self._segments(count), skip=0, peer=self._peer)

    def send(self, packet: bytes, peer: Peer) -> None:
        """See Port."""
        control = [packet_information(self._family, peer)] if peer.local else []
        try:
            self._socket.sendmsg([packet], control, 0, peer_name(self.level, peer).text)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno not in INET_LOST and error.errno != errno.ENOBUFS:
                raise FileError("the socket", error.strerror or str(error)) from error
            self.refused += 1

    def flow(self, peer: Peer, most_packets: int, width: int, ends: Ends | None = None) -> InetFlow:
        """See Port; `ends` is not needed."""
        return InetFlow(self, self._family, peer, most_packets, width)

    def overflowed(self) -> int:
        """See Port."""
        return overflowed(self._socket)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _segments(self, count: int) -> NDArray[np.int64]:
        return np.zeros(count, np.int64)

    def _fit_rows(self) -> None:
        # Rows as long as messages are: then what came lies back to back, and nothing has to be copied.
        have = self._arrivals.row_bytes
        if self._longest > have or (self._was_full and 0 < self._longest <= have // 2):
            self._arrivals = _arrivals(self._longest)

    def _peer(self, message: int) -> Peer | None:
        found, values = self._arrivals.ancillaries(*self._family.information, self._family.information_bytes)
        local = local_untrusted(self._family, values[message].tobytes()) if found[message] else b""
        return peer_of(self._family, self._arrivals.names[message].tobytes(), local, self.level.has_ports)


class UdpPort(_InetPort):
    """A UDP socket, without privilege; the kernel joins (GRO) and cuts (GSO) packets where it can."""

    def __init__(self, level: Level, *, address: bytes = b"", port: int = 0, interface: str | None = None) -> None:
        """`address`: ours (16 or 4 bytes; empty: any); `port` 0: any, then in `port`. `interface`: only through that.

        Raises SettingsError where the port is taken or the address not ours, PermissionsError for a port below 1024.
        """
        with told("a UDP socket", interface=interface, port=port):
            opened = socket.socket(level.family, socket.SOCK_DGRAM)
            try:
                self.gro = self._prepare(opened, level, interface)
                scope = socket.if_nametoindex(interface) if interface else 0
                here = Peer(address=address or bytes(Family.of(level).address_bytes), port=port, scope=scope)
                opened.bind(peer_name(level, here).text)
            except BaseException:
                opened.close()
                raise
        self.port = int(opened.getsockname()[1])
        super().__init__(level, opened)

    @staticmethod
    def _prepare(opened: socket.socket, level: Level, interface: str | None) -> bool:
        _prepare(opened, level, interface, header_at=8)
        try:
            opened.setsockopt(SOL_UDP, UDP_GRO, 1)
        except OSError:
            return False
        return True

    def _segments(self, count: int) -> NDArray[np.int64]:
        found, values = self._arrivals.ancillaries(SOL_UDP, UDP_GRO, _SEGMENT.size)
        return np.where(found, values.view(np.int32)[:, 0].astype(np.int64), 0)


class RawPort(_InetPort):
    """A raw IPv6 socket: the kernel writes and takes off the IPv6 header. Needs CAP_NET_RAW."""

    port = 0

    def __init__(self, next_header: int, *, address: bytes = b"", interface: str | None = None) -> None:
        """`address`: ours (16 bytes; empty: any). Raises PermissionsError, SettingsError."""
        with told("a raw socket", interface=interface, capabilities="CAP_NET_RAW"):
            opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, next_header)
            try:
                _prepare(opened, IPV6, interface, header_at=0)
                if address:
                    scope = socket.if_nametoindex(interface) if interface else 0
                    opened.bind(peer_name(IPV6, Peer(address=address, scope=scope)).text)
            except BaseException:
                opened.close()
                raise
        super().__init__(IPV6, opened)


def _prepare(opened: socket.socket, level: Level, interface: str | None, *, header_at: int) -> None:
    opened.setblocking(False)
    attach_filter(opened, payload_demands(level), header_at)
    enlarge_buffers(opened)
    bind_to_interface(opened, interface)
    options: list[tuple[int, int, Any]] = [(*Family.of(level).receive_information, 1)]
    if level.family == socket.AF_INET6:
        options += [(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _DO), (socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)]
        if level.has_ports:
            options += [(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)]
    else:
        options += [(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DO)]
    for where, option, value in options:
        with suppress(PermissionError):
            opened.setsockopt(where, option, value)


def _arrivals(row_bytes: int) -> Arrivals:
    return Arrivals(
        row_bytes=row_bytes,
        count=min(max(_BATCH_BYTES // row_bytes, 16), 1024),
        control_bytes=_CONTROL_BYTES,
        overflow_bytes=_LARGEST_MESSAGE_BYTES,
    )
