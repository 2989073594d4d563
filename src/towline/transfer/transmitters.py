# SPDX-License-Identifier: GPL-2.0-only
"""Which transmitter a transfer gets: the fastest that works here, or the one that was asked for; never silently."""

from __future__ import annotations

from collections.abc import Callable

from towline.errors import CompileError, LoadError, PermissionsError, UnsupportedError
from towline.kernel.link import Interface, xdp_features, xdp_holder
from towline.kernel.memory import Map
from towline.protocol.opening import Accepted
from towline.settings import Settings
from towline.slots import Slots
from towline.sockets.packet_flow import PacketExit
from towline.sockets.port import Flow
from towline.transfer.control import Control
from towline.transfer.reach import Reach, numbers_of
from towline.transmit.flow import BATCH_MOST, FlowBursts, packet_bytes
from towline.transmit.lane import Bursts, Transmitter
from towline.transmit.socket import SocketTransmitter
from towline.transmit.xdp import Way, XdpTransmitter, prepare

# What says that XDP cannot be had here; with flags of the user's own, what they did is the answer.
REFUSALS = (UnsupportedError, PermissionsError, LoadError, CompileError)


def hears_by_xdp(link: Interface, settings: Settings) -> bool:
    """Whether a program in the driver will hear the acknowledgements, as far as it can be told beforehand.

    Compiles it, so that no receiver waits for that. Raises CompileError where a fallback is not wanted.
    """
    if settings.datapath_sender == "socket":
        return False
    try:
        prepare(settings)
        Map.create_array("towline_probe", 8).close()
    except REFUSALS:
        if settings.insists_on_xdp("sender"):
            raise
        return False
    features = xdp_features(link.index)
    in_driver = settings.xdp_mode != "generic" and (features is None or "basic" in features)
    return in_driver and not xdp_holder(link.index)


def open_transmitter(way: Reach, control: Control, accepted: list[Accepted], settings: Settings) -> Transmitter:
    """The transmitter of a transfer, with one lane per session."""
    if settings.datapath_sender == "socket":
        return _by_socket(way, control, accepted, settings, ())
    try:
        return _by_xdp(way, control, accepted, settings)
    except REFUSALS as error:
        if settings.insists_on_xdp("sender"):
            raise
        return _by_socket(way, control, accepted, settings, (f"no eBPF: {error}",))


def _by_xdp(way: Reach, control: Control, accepted: list[Accepted], settings: Settings) -> Transmitter:
    frames = Way(interface=way.interface, level=way.level, ends=way.ends(), numbers=numbers_of(settings))
    notes: tuple[str, ...] = ()
    if settings.transmit in (None, "live"):
        try:
            otherwise = None if settings.transmit else _bursts_later(way, control, accepted, settings)
            return XdpTransmitter(frames, accepted, settings, otherwise=otherwise)
        except UnsupportedError as error:
            if settings.transmit == "live":
                raise
            notes = (f"no live frames: {error}",)
    how, bursts = _bursts(way, control, accepted, settings)
    transmitter = XdpTransmitter(frames, accepted, settings, transmit=how, bursts=bursts)
    transmitter.notes = (*notes, *transmitter.notes)
    return transmitter


def _by_socket(
    way: Reach, control: Control, accepted: list[Accepted], settings: Settings, notes: tuple[str, ...]
) -> Transmitter:
    how, bursts = _bursts(way, control, accepted, settings)
    peer = way.peer if way.level.names_source else None
    inbox = control.inbox_of(way.port)
    return SocketTransmitter(accepted, inbox, peer, transmit=how, bursts=bursts, notes=notes)


def by_socket_at(way: Reach, settings: Settings) -> str:
    """Through which kind of socket packets leave, where they leave through one."""
    return settings.transmit or ("udp" if way.level.has_ports else "packet")


def _bursts_later(
    way: Reach, control: Control, accepted: list[Accepted], settings: Settings
) -> Callable[[int, Slots], Bursts]:
    """The same, but nothing is opened before it is needed."""

    def make(number: int, slots: Slots) -> Bursts:
        return _bursts(way, control, accepted, settings)[1](number, slots)

    return make


def _bursts(
    way: Reach, control: Control, accepted: list[Accepted], settings: Settings
) -> tuple[str, Callable[[int, Slots], Bursts]]:
    """How packets leave through a socket, and what makes a lane's."""
    how = by_socket_at(way, settings)
    exit_ = PacketExit(way.interface.name, way.level, numbers_of(settings)) if how == "packet" else None
    if exit_ is not None:
        control.hold(exit_)

    def make(number: int, slots: Slots) -> Bursts:
        width = packet_bytes(slots.payload_size)
        if exit_ is not None:
            flow: Flow = exit_.flow(way.ends(), BATCH_MOST, width)
        else:
            flow = way.port.flow(way.peer, BATCH_MOST, width)
        return FlowBursts(session=accepted[number].session, slots=slots, flow=flow)

    return how, make
