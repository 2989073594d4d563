# SPDX-License-Identifier: GPL-2.0-only
"""The sockets that a transfer's messages go through, and the frames between its two ends."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from towline.delivery import Origin
from towline.errors import UnsupportedError
from towline.framing import ETHERNET, IPV6, LEVELS, UDP4, UDP6, Ends, Level, Numbers
from towline.kernel.link import Interface, interface
from towline.kernel.route import Route, link_address, route_to
from towline.settings import Settings
from towline.sockets.inbox import Letter
from towline.sockets.inet import RawPort, UdpPort
from towline.sockets.packet import PacketPort
from towline.sockets.port import Peer, Port
from towline.transfer.target import Target

_SHARED = (ETHERNET, IPV6, UDP6, UDP4)
_NO_MAC = bytes(6)


def numbers_of(settings: Settings) -> Numbers:
    """What our frames say of who we are."""
    return Numbers(ethertype=settings.ethertype, next_header=settings.next_header)


def levels_of(settings: Settings) -> tuple[Level, ...]:
    """The levels that a receiver serves: the one that was asked for, or all that go together."""
    return (LEVELS[settings.level],) if settings.level else _SHARED


def port_at(level: Level, link: Interface, settings: Settings, *, number: int) -> Port:
    """An ordinary socket at a level; `number`: its UDP port, 0 for any. Raises what sockets.opening does."""
    if level.has_ports:
        anyone = bytes(16 if level.family == socket.AF_INET6 else 4)
        return UdpPort(level, address=anyone, port=number, interface=link.name)
    if level is IPV6:
        return RawPort(settings.next_header, interface=link.name)
    return PacketPort(link.name, link.mac, level, numbers_of(settings))


@dataclass(frozen=True, kw_only=True)
class Reach:
    """A receiver, as this machine reaches it."""

    interface: Interface
    port: Port
    peer: Peer
    route: Route | None  # at the Internet levels

    @property
    def level(self) -> Level:
        """The level of our packets."""
        return self.port.level

    def ends(self) -> Ends:
        """Of frames to the peer. Raises UnsupportedError while the next hop's link address is unknown: speak first."""
        if self.route is None:
            return Ends(destination_mac=self.peer.mac, source_mac=self.interface.mac)
        mac = link_address(self.route.ifindex, self.route.next_hop)
        if mac is None and self.interface.name != "lo":
            raise UnsupportedError(
                f"writing frames for {self.interface.name}", "a next hop with a MAC in the kernel's neighbour table"
            )
        return Ends(
            destination_mac=mac or _NO_MAC,
            source_mac=self.interface.mac or _NO_MAC,
            destination=self.peer.address,
            source=self.route.source,
            destination_port=self.peer.port,
            source_port=self.port.port,
        )


def reach(target: Target, settings: Settings) -> Reach:
    """Find the way to a target, and open a socket on it. Raises SettingsError, FileError, PermissionsError."""
    if not target.address:
        link = interface(target.interface)
        port = port_at(target.level, link, settings, number=0)
        return Reach(interface=link, port=port, peer=Peer(mac=target.mac), route=None)
    route = route_to(target.address, scope=target.scope)
    link = interface(route.interface)
    number = settings.port if target.level.has_ports else 0
    peer = Peer(address=target.address, port=number, scope=target.scope, local=route.source)
    return Reach(interface=link, port=port_at(target.level, link, settings, number=0), peer=peer, route=route)


def origin_of(letter: Letter, link: Interface, port: int) -> Origin:
    """Where a HELLO came from, and how to answer it; `port`: our UDP port."""
    peer = letter.peer
    reply_to = peer if peer is not None else Peer(mac=letter.message.fields["address"])
    ends = Ends(
        destination_mac=link.mac or _NO_MAC,
        source_mac=reply_to.mac or _NO_MAC,
        destination=reply_to.local,
        source=reply_to.address,
        destination_port=port,
        source_port=reply_to.port,
    )
    by_socket = bool(letter.message.fields["by_socket"])
    return Origin(port=letter.port, peer=peer, reply_to=reply_to, ends=ends, by_socket=by_socket)


def name_of(peer: Peer) -> bytes:
    """What a cookie is bound to."""
    return peer.mac + peer.address + peer.port.to_bytes(2)
