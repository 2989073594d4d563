# SPDX-License-Identifier: GPL-2.0-only
"""Packet sockets (AF_PACKET): every level, frames and all, on one interface."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct

import numpy as np

from towline.framing import ETHERNET_BYTES, Ends, Level, Numbers
from towline.sockets.batches import Arrivals
from towline.sockets.filters import attach_deaf, attach_filter, frame_demands
from towline.sockets.opening import bind_to_interface, enlarge_buffers, require_up, told
from towline.sockets.packet_flow import PacketExit, PacketFlow, gone
from towline.sockets.port import Batch, Peer
from towline.sockets.ring import Ring
from towline.sockets.segments import Cutter

BATCH_MESSAGES = 256
_LARGEST_ROW_BYTES = 9216  # an interface with a larger MTU (lo) seldom sends so much at once
_LARGEST_MESSAGE_BYTES = 1 << 16
_VLAN_BYTES = 4
_SOL_PACKET, _STATISTICS, _VNET_HEADER, _IGNORE_OUTGOING = 263, 6, 15, 23  # linux/if_packet.h
_ADD_MEMBERSHIP, _PROMISCUOUS = 1, 1
_MEMBERSHIP = struct.Struct("iHH8s")
_SIOCGIFMTU, _MTU_REQUEST = 0x8921, struct.Struct("16si20x")  # struct ifreq
_ALL_PROTOCOLS = 3
_PROTOCOLS: dict[int, int] = {socket.AF_INET6: 0x86DD, socket.AF_INET: 0x0800}
_LEAST_ETHERTYPE = 0x600  # below it, the field is the length of an 802.3 frame
_VNET_LAYOUT = np.dtype(
    [("flags", "u1"), ("kind", "u1"), ("headers", "u2"), ("segment", "u2"), ("sum_at", "u2"), ("sum_to", "u2")]
)
_VNET_KIND_UDP = 5  # VIRTIO_NET_HDR_GSO_UDP_L4
_COUNTERS = struct.Struct("2I")  # tpacket_stats
_PORTS = struct.Struct("!HH")


class PacketPort:
    """One level's frames on one interface. Many threads may send, one receives. Needs CAP_NET_RAW."""

    def __init__(self, interface: str, mac: bytes, level: Level, numbers: Numbers, *, port: int = 0) -> None:
        """`mac`: the interface's own. `port`: our UDP port where the level has ports; 0: any, then in `port`.

        Raises PermissionsError, FileError for an interface that is down or missing, SettingsError for a taken port.
        """
        self.level = level
        self._overflowed = 0
        self._mac = mac
        self._numbers = numbers
        self._opened: list[socket.socket] = []
        self._exit = PacketExit(interface, level, numbers)
        try:
            with told("a packet socket", interface=interface, capabilities="CAP_NET_RAW"):
                self._in = self._packet_socket()
            self.port = self._hold(interface, port)
            with told("a packet socket", interface=interface, capabilities="CAP_NET_RAW"):
                self._open(interface)
            require_up(self._in, interface)
        except BaseException:
            self.close()
            raise
        self._cutter = Cutter()

    @property
    def malformed(self) -> int:
        """Packets left out."""
        return self._cutter.malformed

    @property
    def refused(self) -> int:
        """Packets that the system did not want to send."""
        return self._exit.refused

    def fileno(self) -> int:
        """Of the socket that receives."""
        return self._in.fileno()

    def receive(self) -> Batch | None:
        """See Port. Raises FileError where the interface has gone."""
        count = self._arrivals.receive() if isinstance(self._arrivals, Ring) else self._received(self._arrivals)
        if not count:
            self._check()
            return None
        lengths = self._arrivals.lengths()
        segments = np.zeros(count, np.int64)
        if isinstance(
            self._arrivals, Arrivals
        ):  # a sender with GSO at the other end of a veth: nobody has cut its packets
            heads = self._arrivals.prefixes[:count].view(_VNET_LAYOUT)[:, 0]
            segments[:] = np.where(heads["kind"] == _VNET_KIND_UDP, heads["segment"], 0)
        elif self.level.frame_bytes < 12:
            self._arrivals.put_tags_back(lengths)
        return self._cutter.cut(self._arrivals, lengths, segments, skip=self.level.frame_bytes, peer=self._peer)

    def send(self, packet: bytes, peer: Peer) -> None:
        """See Port. Raises FileError where the interface has gone."""
        flow = self.flow(peer, 1, len(packet))
        flow.packets[0] = np.frombuffer(packet, np.uint8)
        flow.patience_s = 0.0
        flow.send(1, len(packet))

    def flow(self, peer: Peer, most_packets: int, width: int, ends: Ends | None = None) -> PacketFlow:
        """See Port. Without `ends`, frames go to the peer from our own address and port."""
        return self._exit.flow(ends or self._ends(peer), most_packets, width)

    def overflowed(self) -> int:
        """See Port."""
        _, dropped = _COUNTERS.unpack(self._in.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTERS.size))  # and starts anew
        self._overflowed += dropped
        return self._overflowed

    def close(self) -> None:
        """Close all sockets."""
        for opened in self._opened:
            opened.close()
        self._exit.close()

    def _packet_socket(self) -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing until it is bound
        self._opened.append(opened)
        opened.setblocking(False)
        enlarge_buffers(opened)
        return opened

    def _hold(self, interface: str, port: int) -> int:
        # The system would answer "nobody here" to what XDP passes on, or give our port to somebody else.
        kind, protocol = socket.SOCK_DGRAM, 0
        if not self.level.has_ports:
            kind, protocol = socket.SOCK_RAW, self._numbers.next_header
        if self.level.family == socket.AF_PACKET:
            return 0
        capabilities = "CAP_NET_RAW" if protocol else ""
        with told("holding our port", interface=interface, port=port, capabilities=capabilities):
            held = socket.socket(self.level.family, kind, protocol)
            self._opened.append(held)
            attach_deaf(held)
            bind_to_interface(held, interface)
            if not self.level.has_ports:
                return 0
            if self.level.family == socket.AF_INET6:
                held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            held.bind(("", port))
            return int(held.getsockname()[1])

    def _open(self, interface: str) -> None:
        level = self.level
        mtu = _mtu(self._in, interface)
        self._arrivals = self._superframes(mtu) if level.has_ports else Ring(self._in, mtu)
        attach_filter(self._in, frame_demands(level, self._numbers, self.port), level.frame_bytes)
        protocol = _PROTOCOLS.get(level.family, 0)
        if level.name == "ethernet" and self._numbers.ethertype >= _LEAST_ETHERTYPE:
            protocol = self._numbers.ethertype
        if not protocol:
            self._in.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        self._in.bind((interface, protocol or _ALL_PROTOCOLS))
        if level.name == "raw":  # a real interface hides what is addressed to others
            wish = _MEMBERSHIP.pack(socket.if_nametoindex(interface), _PROMISCUOUS, 0, b"")
            self._in.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, wish)

    def _superframes(self, mtu: int) -> Arrivals:
        # What a sender has left to be cut apart is larger than any slot of a ring.
        self._in.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)
        row_bytes = min(mtu, _LARGEST_ROW_BYTES) + ETHERNET_BYTES + _VLAN_BYTES
        return Arrivals(
            row_bytes=-(-row_bytes // 64) * 64,
            count=BATCH_MESSAGES,
            prefix_bytes=_VNET_LAYOUT.itemsize,
            overflow_bytes=_LARGEST_MESSAGE_BYTES,
        )

    def _received(self, arrivals: Arrivals) -> int:
        try:
            return arrivals.receive(self._in.fileno())
        except OSError as error:
            if error.errno == errno.ENETDOWN:  # told once when the link goes down
                return 0
            raise gone(error) from error

    def _check(self) -> None:
        """Take the socket's error, or poll would say for ever that there is something to read."""
        try:
            number = self._in.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as error:
            raise gone(error) from error
        if number not in (0, errno.ENETDOWN):
            raise gone(OSError(number, os.strerror(number)))

    def _peer(self, message: int) -> Peer | None:
        frame = self._arrivals.rows[message, : self.level.frame_bytes].tobytes()
        mac = frame[6:12]
        match self.level.family:
            case socket.AF_INET6:
                addresses_at = (22, 38, 54)
            case socket.AF_INET:
                addresses_at = (26, 30, 34)
            case _:
                return Peer(mac=mac) if self.level.names_source else None
        source, destination, end = addresses_at
        port = _PORTS.unpack_from(frame, end)[0] if self.level.has_ports else 0
        return Peer(mac=mac, address=frame[source:destination], port=port, local=frame[destination:end])

    def _ends(self, peer: Peer) -> Ends:
        return Ends(
            destination_mac=peer.mac,
            source_mac=self._mac,
            destination=peer.address,
            source=peer.local,
            destination_port=peer.port,
            source_port=self.port,
        )


def _mtu(opened: socket.socket, interface: str) -> int:
    # /sys may show another namespace than the one that this thread is in.
    answer = fcntl.ioctl(opened.fileno(), _SIOCGIFMTU, _MTU_REQUEST.pack(interface.encode(), 0))
    return int(_MTU_REQUEST.unpack(answer)[1])
