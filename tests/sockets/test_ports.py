# SPDX-License-Identifier: GPL-2.0-only
"""Every port, at every level: there and back, in batches, and to every other port that speaks the level."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from pyroute2 import NetNS

from tests.sockets.ends import FAR_PORT, NEAR_PORT, Cable, both, collect, fill, opened, packet, wait
from towline.errors import FileError
from towline.framing import DST, ETHERNET, IPV6, LEVELS, RAW, UDP4, UDP6, Level
from towline.kernel.netns import inside
from towline.sockets.port import Peer
from towline.wire import HEADER_BYTES

PAIRS = [
    *((level, ("packet", "packet")) for level in LEVELS.values()),
    *((level, kinds) for level in (UDP6, UDP4) for kinds in (("udp", "udp"), ("udp", "packet"), ("packet", "udp"))),
    *((IPV6, kinds) for kinds in (("raw", "raw"), ("raw", "packet"), ("packet", "raw"))),
]
each_pair = pytest.mark.parametrize(("level", "kinds"), PAIRS, ids=lambda value: getattr(value, "name", None))


def answer_to(cable: Cable, level: Level, heard: Peer | None) -> Peer:
    """Whom to answer: whoever the frame named, else whoever HELLO would have named."""
    assert (heard is not None) == level.names_source
    return heard if heard is not None else Peer(mac=cable.near.mac)


@each_pair
def test_send__there_and_back(cable: Cable, level: Level, kinds: tuple[str, str]) -> None:
    with both(cable, level, kinds) as (near, far):
        near.send(packet(100, 1), cable.peer(level))
        batch = wait(far)
        assert batch is not None
        assert (len(batch), int(batch.lengths[0])) == (1, 100)
        assert batch.packets[0, :100].tobytes() == packet(100, 1)
        heard = batch.peer(0)
        if heard is not None:
            assert heard.mac in (b"", cable.near.mac)
            assert heard.address == cable.near.addresses.get(int(level.family), b"")
            assert heard.local == cable.far.addresses.get(int(level.family), b"")
            assert heard.port == (NEAR_PORT if level.has_ports else 0)
        far.send(packet(HEADER_BYTES, 2), complete(cable, answer_to(cable, level, heard)))
        assert collect(near, 1) == [packet(HEADER_BYTES, 2)]
        assert (near.malformed, far.malformed, near.refused, far.refused) == (0, 0, 0, 0)


def complete(cable: Cable, peer: Peer) -> Peer:
    """With the MAC that a packet socket needs and an Internet socket has not seen."""
    return Peer(mac=cable.near.mac, address=peer.address, port=peer.port, scope=peer.scope, local=peer.local)


@each_pair
@pytest.mark.parametrize("count", [1, 7, 1024])
def test_flow__batch(cable: Cable, level: Level, kinds: tuple[str, str], count: int) -> None:
    size = level.largest_payload_bytes(1500) + HEADER_BYTES
    with both(cable, level, kinds) as (near, far):
        flow = near.flow(cable.peer(level), count, size)
        rows = fill(flow, count)
        assert flow.send(count, size) == count
        assert collect(far, count) == [row.tobytes() for row in rows]
        assert far.overflowed() == near.refused == far.malformed == 0


@pytest.mark.parametrize(("level", "kinds"), [(ETHERNET, ("packet", "packet")), (UDP6, ("packet", "udp"))])
def test_flow__lengths_that_differ(cable: Cable, level: Level, kinds: tuple[str, str]) -> None:
    lengths = np.array([HEADER_BYTES, 1400, 333, 104, 1400])
    with both(cable, level, kinds) as (near, far):
        flow = near.flow(cable.peer(level), 5, 1400)
        rows = fill(flow, 5)
        assert flow.send(5, lengths) == 5
        assert collect(far, 5) == [row[:size].tobytes() for row, size in zip(rows, lengths, strict=True)]


@each_pair
def test_receive__never_blocks(cable: Cable, level: Level, kinds: tuple[str, str]) -> None:
    with both(cable, level, kinds) as (near, far):
        start = time.monotonic()
        assert near.receive() is None
        assert far.receive() is None
        assert time.monotonic() - start < 0.5


@each_pair
def test_receive__foreign_and_short(cable: Cable, level: Level, kinds: tuple[str, str]) -> None:
    with both(cable, level, kinds) as (near, far):
        near.send(b"\x60" + packet(99)[1:], cable.peer(level))
        near.send(packet(HEADER_BYTES - 1), cable.peer(level))
        near.send(packet(50, 5), cable.peer(level))
        assert collect(far, 1) == [packet(50, 5)]
        assert far.receive() is None


@pytest.mark.parametrize("level", [RAW, DST], ids=lambda level: level.name)
def test_receive__chatter_of_hosts(cable: Cable, level: Level) -> None:
    with both(cable, level) as (near, far), inside(cable.near.end.namespace):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
            talk.sendto(b"\xbe" * 40, ("192.0.2.2", 9))
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as talk:
            talk.sendto(b"\xbe" * 40, ("ff02::1", 9, 0, socket.if_nametoindex(cable.near.end.interface)))
        near.send(packet(100), cable.peer(level))
        assert collect(far, 1) == [packet(100)]
        assert wait(far, 0.1) is None


def test_receive__own_packets_do_not_come_back(cable: Cable) -> None:
    for level in LEVELS.values():
        with both(cable, level) as (near, far):
            near.send(packet(80), cable.peer(level))
            assert wait(far) is not None
            assert near.receive() is None, level.name


@pytest.mark.parametrize("level", [UDP6, UDP4], ids=lambda level: level.name)
def test_receive__another_port(cable: Cable, level: Level) -> None:
    for kind in ("udp", "packet"):
        with both(cable, level, ("udp", kind)) as (near, far):
            near.send(packet(100), cable.peer(level, FAR_PORT + 1))
            near.send(packet(50), cable.peer(level))
            assert collect(far, 1) == [packet(50)]
            assert far.receive() is None


def test_receive__shared_interface(cable: Cable) -> None:
    """Each level has a port of its own; none hears the others."""
    shared = [level for level in LEVELS.values() if level.is_shared]
    for sent in shared:
        with opened(cable.near, "packet", sent, NEAR_PORT) as near:
            ports = [opened(cable.far, "packet", level, FAR_PORT) for level in shared]
            held = [port.__enter__() for port in ports]
            near.send(packet(90), cable.peer(sent))
            heard = [wait(port, 0.05) is not None for port in held]
            for port in ports:
                port.__exit__(None, None, None)
            assert heard == [level is sent for level in shared]


@each_pair
def test_send__link_down(cable: Cable, level: Level, kinds: tuple[str, str]) -> None:
    with both(cable, level, kinds) as (near, _), NetNS(cable.near.end.namespace, flags=0) as namespace:
        index = namespace.link_lookup(ifname=cable.near.end.interface)[0]
        namespace.link("set", index=index, state="down")
        try:
            near.send(packet(100), cable.peer(level))
            flow = near.flow(cable.peer(level), 3, 100)
            fill(flow, 3)
            assert flow.send(3, 100) == 3
            assert near.refused == 4
            assert near.receive() is None
        finally:
            namespace.link("set", index=index, state="up")
            v6 = socket.inet_ntop(socket.AF_INET6, cable.near.addresses[socket.AF_INET6])
            namespace.addr("replace", index=index, address=v6, prefixlen=64, flags=2)


@each_pair
def test_send__larger_than_the_mtu(cable: Cable, level: Level, kinds: tuple[str, str]) -> None:
    with both(cable, level, kinds) as (near, far):
        near.send(packet(3000), cable.peer(level))
        assert near.refused == 1
        near.send(packet(50), cable.peer(level))
        assert collect(far, 1) == [packet(50)]


def test_close__fileno_is_gone(cable: Cable) -> None:
    with opened(cable.near, "packet", ETHERNET, 0) as port:
        port.close()
        with pytest.raises(FileError):
            port.receive()
