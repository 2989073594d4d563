# SPDX-License-Identifier: GPL-2.0-only
"""What is peculiar to Internet sockets: GSO and GRO, no privilege, taken and closed ports. Mostly on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.sockets.ends import Cable, both, collect, fill, packet, wait
from towline.errors import SettingsError, TowlineError
from towline.framing import UDP4, UDP6, Level
from towline.sockets import inet_flow
from towline.sockets.inet import RawPort, UdpPort
from towline.sockets.port import Peer

LOOPBACK = {UDP6.name: socket.inet_pton(socket.AF_INET6, "::1"), UDP4.name: bytes([127, 0, 0, 1])}
NOBODY = 65534
each_level = pytest.mark.parametrize("level", [UDP6, UDP4], ids=lambda level: level.name)


def peer(level: Level, port: int) -> Peer:
    """A port of this machine, spoken to from its own address."""
    return Peer(address=LOOPBACK[level.name], port=port, local=LOOPBACK[level.name])


@each_level
def test_flow__gso_is_joined_again(cable: Cable, level: Level) -> None:
    with both(cable, level, ("udp", "udp")) as (near, far):
        flow = near.flow(cable.peer(level), 92, 1400)
        fill(flow, 92)
        assert flow.send(92, 1400) == 92
        assert flow.how == "gso"
        assert isinstance(far, UdpPort)
        assert far.gro
        batch = wait(far)
        assert batch is not None
        assert len(batch) >= 46  # one message at least: 65507 // 1400


@each_level
@pytest.mark.parametrize("last", [1400, 24, 700])
def test_flow__last_is_shorter(level: Level, last: int) -> None:
    near, far = UdpPort(level), UdpPort(level)
    flow = near.flow(peer(level, far.port), 50, 1400)
    rows = fill(flow, 50)
    lengths = np.full(50, 1400)
    lengths[-1] = last
    for _ in range(3):  # the first makes the rows of the inbox as long as messages are
        assert flow.send(50, lengths) == 50
        assert collect(far, 50) == [row[:size].tobytes() for row, size in zip(rows, lengths, strict=True)]
    near.close()
    far.close()


@each_level
def test_flow__gso_refused(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inet_flow, "_UDP_SEGMENT", 99)  # no such control message: EINVAL, as on an old kernel
    near, far = UdpPort(level), UdpPort(level)
    flow = near.flow(peer(level, far.port), 50, 1400)
    rows = fill(flow, 50)
    assert flow.send(50, 1400) == 50
    assert flow.how == "sendmmsg"
    assert collect(far, 50) == [row.tobytes() for row in rows]
    near.close()
    far.close()


@each_level
def test_receive__sizes_that_change(level: Level) -> None:
    """Joined and single packets of all sizes, in one batch and one after the other."""
    near, far = UdpPort(level), UdpPort(level)
    flow = near.flow(peer(level, far.port), 200, 1400)
    rows = fill(flow, 200)
    expected = []
    for count, size in ((200, 100), (1, 1400), (130, 1400), (3, 24), (200, 1400), (7, 333)):
        assert flow.send(count, size) == count
        expected += [row[:size].tobytes() for row in rows[:count]]
    assert collect(far, len(expected)) == expected
    assert far.malformed == 0
    near.close()
    far.close()


@each_level
def test_send__closed_port(level: Level) -> None:
    near, gone = UdpPort(level), UdpPort(level)
    gone.close()
    for _ in range(3):
        near.send(packet(100), peer(level, gone.port))
    assert near.receive() is None
    near.close()


@each_level
def test_receive__buffer_full(level: Level) -> None:
    near, far = UdpPort(level), UdpPort(level)
    far._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for number in range(100):
        near.send(packet(1000, number), peer(level, far.port))
    assert far.overflowed() > 0
    near.close()
    far.close()


@each_level
def test_udp_port__taken(level: Level) -> None:
    held = UdpPort(level)
    with pytest.raises(SettingsError, match=f"port {held.port} is taken"):
        UdpPort(level, port=held.port)
    held.close()


def test_udp_port__both_families_share_a_port() -> None:
    six = UdpPort(UDP6)
    four = UdpPort(UDP4, port=six.port)
    six.close()
    four.close()


@each_level
def test_udp_port__strange_address(level: Level) -> None:
    strange = {UDP6: "2001:db8::77", UDP4: "198.51.100.77"}[level]
    with pytest.raises(SettingsError, match="none of this machine's"):
        UdpPort(level, address=socket.inet_pton(level.family, strange))


UNPRIVILEGED = """
import os, sys
sys.path[:0] = {path!r}
from tests.sockets import ends, test_inet
ends.packet(1)  # nobody may be unable to read the interpreter's modules: have them all
os.setgroups([])
os.setgid({nobody})
os.setuid({nobody})
test_inet.as_nobody()
"""


def as_nobody() -> None:
    """UDP works without privilege; a raw socket says what it needs."""
    for level in (UDP6, UDP4):
        near, far = UdpPort(level, interface="lo"), UdpPort(level, interface="lo")
        flow = near.flow(peer(level, far.port), 60, 1400)
        rows = fill(flow, 60)
        assert flow.send(60, 1400) == 60
        assert collect(far, 60) == [row.tobytes() for row in rows]
    try:
        RawPort(146)
    except TowlineError as error:
        print(error)


def test_udp_port__without_privilege(namespaces: None) -> None:
    code = UNPRIVILEGED.format(nobody=NOBODY, path=sys.path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "CAP_NET_RAW" in done.stdout
