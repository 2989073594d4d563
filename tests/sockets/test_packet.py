# SPDX-License-Identifier: GPL-2.0-only
"""What is peculiar to packet sockets: types that are lengths, bytes like a VLAN tag, checksums of ours."""

from __future__ import annotations

import socket
import subprocess

import numpy as np
import pytest

from tests.sockets.ends import FAR_PORT, Cable, both, collect, fill, opened, packet, wait
from towline.errors import FileError, PermissionsError, SettingsError
from towline.framing import DST, ETHERNET, IPV6, LEVELS, RAW, UDP4, UDP6, Level, Numbers
from towline.kernel.netns import inside
from towline.sockets.packet import PacketPort
from towline.sockets.ring import RING_BYTES


@pytest.mark.parametrize("ethertype", [0x1501, 1501, 0x0600, 46])
def test_send__ethertype(cable: Cable, ethertype: int) -> None:
    """1501 is the length of an 802.3 frame to Linux."""
    with both(cable, ETHERNET, numbers=Numbers(ethertype=ethertype)) as (near, far):
        near.send(packet(100), cable.peer(ETHERNET))
        assert collect(far, 1) == [packet(100)]
        with opened(cable.near, "packet", ETHERNET, 0, Numbers(ethertype=1502)) as stranger:
            stranger.send(packet(90), cable.peer(ETHERNET))
        assert wait(far, 0.05) is None


@pytest.mark.parametrize("next_header", [146, 253])
def test_send__next_header(cable: Cable, next_header: int) -> None:
    with both(cable, IPV6, numbers=Numbers(next_header=next_header)) as (near, far):
        near.send(packet(100), cable.peer(IPV6))
        assert collect(far, 1) == [packet(100)]
        with opened(cable.near, "packet", IPV6, 0, Numbers(next_header=254)) as stranger:
            stranger.send(packet(90), cable.peer(IPV6))
        assert wait(far, 0.05) is None


@pytest.mark.parametrize("tag", [b"\x81\x00", b"\x88\xa8"])
@pytest.mark.parametrize(("level", "at"), [(RAW, 12), (DST, 6)], ids=["raw", "dst"])
def test_receive__vlan_tag(cable: Cable, level: Level, at: int, tag: bytes) -> None:
    size = level.largest_payload_bytes(1500) + 24
    with both(cable, level) as (near, far):
        flow = near.flow(cable.peer(level), 3, size)
        rows = fill(flow, 3)
        rows[1, at : at + 4] = np.frombuffer(tag + b"\xf3\x21", np.uint8)
        flow.packets[:] = rows
        assert flow.send(3, size) == 3
        assert collect(far, 3) == [row.tobytes() for row in rows]
        assert far.malformed == 0


def test_receive__addressed_to_others(cable: Cable) -> None:
    """At raw every frame is somebody else's; at dst, one with another address is."""
    with both(cable, DST) as (near, far):
        near.send(packet(100), type(cable.peer(DST))(mac=bytes.fromhex("0200000000cc")))
        near.send(packet(50), cable.peer(DST))
        assert collect(far, 1) == [packet(50)]


@pytest.mark.parametrize("level", [UDP6, UDP4], ids=lambda level: level.name)
def test_flow__checksums_are_taken_by_the_kernel(cable: Cable, level: Level) -> None:
    """A UDP socket of the kernel's drops a wrong sum: odd and even lengths, all zeros, and a sum of zero."""
    with both(cable, level, ("packet", "udp")) as (near, far):
        flow = near.flow(cable.peer(level), 64, 101)
        fill(flow, 64)
        flow.packets[0, 1:] = 0
        lengths = np.arange(64) % 50 + 50
        rows = flow.packets.copy()
        assert flow.send(64, lengths) == 64
        assert collect(far, 64) == [row[:size].tobytes() for row, size in zip(rows, lengths, strict=True)]


def test_flow__length_changes(cable: Cable) -> None:
    """Lengths are written again where a row's has changed."""
    with both(cable, IPV6, ("packet", "raw")) as (near, far):
        flow = near.flow(cable.peer(IPV6), 4, 200)
        rows = fill(flow, 4)
        for size in (200, 120, 200):
            assert flow.send(4, size) == 4
            assert collect(far, 4) == [row[:size].tobytes() for row in rows]


def test_receive__ring_goes_round_and_overflows(cable: Cable) -> None:
    with both(cable, ETHERNET) as (near, far):
        flow = near.flow(cable.peer(ETHERNET), 1024, 200)
        rows = fill(flow, 1024)
        expected = [row.tobytes() for row in rows]
        for _ in range(5):
            assert flow.send(1024, 200) == 1024
            assert collect(far, 1024) == expected
        assert far.overflowed() == 0
        assert far.receive() is None  # the last batch's slots go back
        for _ in range(5):
            assert flow.send(1024, 200) == 1024
        slots = RING_BYTES // 2048
        assert collect(far, slots) == (expected * 5)[:slots]
        assert far.receive() is None
        assert far.overflowed() == far.overflowed() == 5 * 1024 - slots


@pytest.mark.parametrize("level", [UDP6, UDP4], ids=lambda level: level.name)
def test_packet_port__taken(cable: Cable, level: Level) -> None:
    with (
        opened(cable.far, "packet", level, FAR_PORT),
        pytest.raises(SettingsError, match="taken"),
        opened(cable.far, "packet", level, FAR_PORT),
    ):
        pass


def test_packet_port__any_port(cable: Cable) -> None:
    with opened(cable.near, "packet", UDP6, 0) as near:
        assert isinstance(near, PacketPort)
        assert near.port > 0


def test_packet_port__nobody_is_told_that_nobody_is_here(cable: Cable) -> None:
    """The kernel would answer a port that it does not know with an ICMP error."""
    with both(cable, UDP4) as (near, far), inside(cable.near.end.namespace):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
            talk.connect(("192.0.2.2", FAR_PORT))
            talk.settimeout(0.1)
            talk.send(packet(100))
            with pytest.raises(TimeoutError):  # ConnectionRefusedError otherwise
                talk.recv(10)
        assert collect(far, 1) == [packet(100)]
        assert near.receive() is None


def test_packet_port__no_interface(cable: Cable) -> None:
    for level in LEVELS.values():
        with inside(cable.near.end.namespace), pytest.raises(FileError, match="nosuch0"):
            PacketPort("nosuch0", cable.near.mac, level, Numbers())


def test_packet_port__interface_down(cable: Cable) -> None:
    name = cable.near.end.namespace
    subprocess.run(["ip", "-n", name, "link", "add", "tldown", "type", "veth", "peer", "tldown2"], check=True)
    try:
        with inside(name), pytest.raises(FileError, match="is down"):
            PacketPort("tldown", cable.near.mac, ETHERNET, Numbers())
    finally:
        subprocess.run(["ip", "-n", name, "link", "del", "tldown"], check=True)


def test_packet_port__no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(PermissionsError, match="CAP_NET_RAW"):
        PacketPort("lo", bytes(6), ETHERNET, Numbers())
