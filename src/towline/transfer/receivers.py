# SPDX-License-Identifier: GPL-2.0-only
"""What a receiving process listens with: sockets at each level, and XDP or, where that cannot be had, the sockets."""

from __future__ import annotations

import socket

from towline.delivery import Delivery, Origin, Receiver
from towline.delivery.pins import Pins
from towline.delivery.socket import SocketReceiver
from towline.delivery.xdp import XdpReceiver
from towline.errors import FileError, PermissionsError, SettingsError, TowlineError, UnsupportedError
from towline.kernel.link import Interface
from towline.kernel.route import addresses_of
from towline.protocol.opening import Terms
from towline.settings import Settings
from towline.sockets.port import Port
from towline.transfer.control import Control
from towline.transfer.reach import levels_of, numbers_of, port_at
from towline.transfer.target import format_address
from towline.transfer.transmitters import REFUSALS


def open_ports(link: Interface, settings: Settings) -> tuple[list[Port], tuple[str, ...]]:
    """A socket at each level, and notes on the levels that cannot be served here.

    Raises what went wrong where no level can be served, or the one that was asked for cannot.
    """
    if not link.is_up:
        raise FileError(link.name, f"is down: bring it up with `ip link set dev {link.name} up`")
    ports: list[Port] = []
    errors: dict[str, TowlineError] = {}
    for level in levels_of(settings):
        try:
            ports.append(port_at(level, link, settings, number=settings.port))
        except (UnsupportedError, PermissionsError, SettingsError) as error:
            errors[level.name] = error
    if not ports:
        raise next(iter(errors.values()))
    return ports, tuple(f"level {name} is not served: {error}" for name, error in errors.items())


def open_receiver(
    link: Interface, control: Control, settings: Settings, notes: tuple[str, ...], pins: Pins | None = None
) -> Receiver:
    """What takes the packets; `notes` is what is to be told before its own. With `pins` it is an XdpReceiver."""
    if settings.datapath_receiver == "ebpf":
        levels = [inbox.port.level for inbox in control.inboxes]
        try:
            receiver = XdpReceiver(link, levels, numbers_of(settings), settings.port, settings, pins)
        except REFUSALS as error:
            if pins or settings.insists_on_xdp("receiver"):
                raise
            notes = (*notes, f"no eBPF: {error}")
        else:
            receiver.notes = (*notes, *receiver.notes)
            if pins or settings.insists_on_xdp("receiver"):
                return receiver
            return XdpOrSockets(receiver, SocketReceiver(control.inbox_of))
    return SocketReceiver(control.inbox_of, notes=notes)


class XdpOrSockets:
    """XDP, and for a sender that its acknowledgements would not reach, the sockets."""

    def __init__(self, xdp: XdpReceiver, sockets: SocketReceiver) -> None:
        self.xdp_mode, self.program, self.link = xdp.xdp_mode, xdp.program, xdp.link
        self.identity = xdp.identity
        self.notes = xdp.notes
        self._xdp, self._sockets = xdp, sockets
        self._takers: dict[int, Receiver] = {}

    def open(self, terms: Terms, origin: Origin, first_index: int, rtt_us: int) -> tuple[int, Delivery]:
        """A session with its memory, taken care of from here on."""
        taker: Receiver = self._xdp if self._xdp.is_heard_by(origin) else self._sockets
        session, delivery = taker.open(terms, origin, first_index, rtt_us)
        self._takers[session] = taker
        return session, delivery

    def close_session(self, session: int) -> None:
        """The session's packets are strangers' from here on; its memory goes."""
        self._takers.pop(session).close_session(session)

    def recover(self) -> None:
        """Of the program's sessions."""
        self._xdp.recover()

    def close(self) -> None:
        """Everything goes."""
        self._xdp.close()
        self._sockets.close()


def targets_at(link: Interface, ports: list[Port]) -> tuple[str, ...]:
    """What a sender types to reach an interface."""
    families = {port.level.family for port in ports}
    found = [f"{format_address(link.mac)}%IF"] if socket.AF_PACKET in families and link.mac else []
    return (*found, *(text for family, text in addresses_of(link.index) if family in families))
