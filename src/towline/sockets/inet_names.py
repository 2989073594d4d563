# SPDX-License-Identifier: GPL-2.0-only
"""Peers as the kernel writes them: socket addresses, and the packet information that tells our own address."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

from towline.framing import Level
from towline.sockets.port import Peer

_IPV4_NAME = struct.Struct("=H2s4s8x")  # sockaddr_in
_IPV6_NAME = struct.Struct("=H2sI16sI")  # sockaddr_in6: flow label, address, scope
_IPV4_INFORMATION = struct.Struct("=i4s4s")  # in_pktinfo: interface, our address, the header's
_IPV6_INFORMATION = struct.Struct("=16si")  # in6_pktinfo
_IP_PKTINFO = 8  # Python 3.11 has no name for it
_MULTICAST = 0xFF


@dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between IPv4 and IPv6."""

    number: int
    address_bytes: int
    information: tuple[int, int]  # level and type of the control message
    information_bytes: int
    receive_information: tuple[int, int]  # the option that asks for it

    @staticmethod
    def of(level: Level) -> Family:
        """A level's."""
        return _FAMILIES[level.family]


_FAMILIES = {
    int(socket.AF_INET6): Family(
        number=socket.AF_INET6,
        address_bytes=16,
        information=(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
        information_bytes=_IPV6_INFORMATION.size,
        receive_information=(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
    ),
    int(socket.AF_INET): Family(
        number=socket.AF_INET,
        address_bytes=4,
        information=(socket.IPPROTO_IP, _IP_PKTINFO),
        information_bytes=_IPV4_INFORMATION.size,
        receive_information=(socket.IPPROTO_IP, _IP_PKTINFO),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Name:
    """A socket address, for Python's calls and for the kernel's."""

    text: tuple[Any, ...]
    raw: bytes


def peer_name(level: Level, peer: Peer) -> Name:
    """A peer's. A scope counts for link-local addresses only, a port where the level has ports (EINVAL otherwise)."""
    number = peer.port if level.has_ports else 0
    port = number.to_bytes(2, "big")
    if level.family == socket.AF_INET:
        text = (socket.inet_ntop(socket.AF_INET, peer.address), number)
        return Name(text=text, raw=_IPV4_NAME.pack(socket.AF_INET, port, peer.address))
    scope = peer.scope if _is_link_local(peer.address) else 0
    return Name(
        text=(socket.inet_ntop(socket.AF_INET6, peer.address), number, 0, scope),
        raw=_IPV6_NAME.pack(socket.AF_INET6, port, 0, peer.address, scope),
    )


def peer_of(family: Family, raw: bytes, local: bytes, has_ports: bool) -> Peer:
    """Who a socket address of the kernel's names; `local`: our own address."""
    if family.number == socket.AF_INET:
        _, port, address = _IPV4_NAME.unpack_from(raw)
        scope = 0
    else:
        _, port, _, address, scope = _IPV6_NAME.unpack_from(raw)
    return Peer(address=address, port=int.from_bytes(port, "big") if has_ports else 0, scope=scope, local=local)


def packet_information(family: Family, peer: Peer) -> tuple[int, int, bytes]:
    """The control message that makes a packet leave from `peer.local`: level, type, value."""
    if family.number == socket.AF_INET:
        return *family.information, _IPV4_INFORMATION.pack(0, peer.local, bytes(4))
    return *family.information, _IPV6_INFORMATION.pack(peer.local, peer.scope if _is_link_local(peer.local) else 0)


def local_untrusted(family: Family, information: bytes) -> bytes:
    """Our own address in received packet information; empty where the packet went to a group."""
    if family.number == socket.AF_INET:
        return bytes(_IPV4_INFORMATION.unpack(information)[1])
    address = bytes(_IPV6_INFORMATION.unpack(information)[0])
    return b"" if address[0] == _MULTICAST else address


def _is_link_local(address: bytes) -> bool:
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80
