# SPDX-License-Identifier: GPL-2.0-only
"""Four hosts on a bridge: two transfers to different receivers, and beside them echoes and a TCP stream, unharmed.

namespace ...s, the switch:     tlbr (a bridge)
                          p0     p1     p2     p3
                          |      |      |      |
namespaces ...0 to ...3: tl0    tl0    tl0    tl0
                       sender  sender receiver receiver
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import netns

from tests.end_to_end.hand import hand, receiving
from towline.lab import leftovers, verify
from towline.lab.environments.veth import End

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

HOSTS = 4
SIZE = 256 << 20
TCP_BYTES = 64 << 20
PACE = "500mbit"  # four seconds: the others have their share of two cores
ECHOES, ECHO_GAP_S = 200, 0.01

# An ICMP echo by hand: how many of so many answers came. There may be no ping here.
ECHO = """
import os, socket, struct, sys, time
address, count, gap = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.settimeout(2)
ident, came = os.getpid() & 0xffff, 0
for number in range(count):
    body = bytes(range(56))
    check = checksum(struct.pack("!BBHHH", 8, 0, 0, ident, number) + body)
    raw.sendto(struct.pack("!BBHHH", 8, 0, check, ident, number) + body, (address, 0))
    try:
        while True:
            packet = raw.recv(2048)
            kind, _, _, whose, which = struct.unpack_from("!BBHHH", packet, 20)
            if (kind, whose, which) == (0, ident, number) and packet[28:] == body:
                came += 1
                break
    except TimeoutError:
        pass
    time.sleep(gap)
print(came)
"""

TCP_SERVER = """
import hashlib, socket
with socket.create_server(("0.0.0.0", 5001)) as server:
    print("ready", flush=True)
    digest, (one, _) = hashlib.sha256(), server.accept()
    while data := one.recv(1 << 16):
        digest.update(data)
print(digest.hexdigest())
"""

TCP_CLIENT = """
import random, socket, sys
with socket.create_connection((sys.argv[1], 5001)) as one:
    one.sendall(random.Random(1).randbytes(int(sys.argv[2])))
"""


@pytest.fixture
def hosts() -> Iterator[list[End]]:
    """The hosts on their bridge; everything is gone afterwards."""
    with ExitStack() as stack:
        switch, *names = leftovers.namespace_names("s0123")
        for name in (switch, *names):
            stack.callback(netns.remove, name)
            netns.create(name)
        ip(switch, "link", "add", "tlbr", "type", "bridge")
        ip(switch, "link", "set", "tlbr", "up")
        yield [host(switch, name, number) for number, name in enumerate(names)]


def host(switch: str, name: str, number: int) -> End:
    """A host with an address, on a port of the bridge."""
    mac, address = f"02:00:00:00:00:{number + 1:02x}", f"192.0.2.{number + 1}"
    port = f"p{number}"
    ip(name, *("link", "add", "tl0", "address", mac, "type", "veth", "peer", port, "netns", switch))
    ip(name, "addr", "add", f"{address}/24", "dev", "tl0")
    ip(switch, "link", "set", port, "master", "tlbr", "up")
    for namespace, interface in ((name, "tl0"), (switch, port)):
        # A veth takes frames from XDP where its other end polls.
        command = ["ip", "netns", "exec", namespace, "ethtool", "-K", interface, "gro", "on"]
        subprocess.run(command, check=True)
    ip(name, "link", "set", "tl0", "up")
    ip(name, "link", "set", "lo", "up")
    return End(namespace=name, interface="tl0", mac=mac, address=address)


def ip(namespace: str, *words: str) -> None:
    """`ip` in a namespace."""
    subprocess.run(["ip", "-n", namespace, *words], check=True)


@contextmanager
def python(end: End, program: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A program that runs at a host, and is gone when the block is left."""
    command = end.command(sys.executable, "-c", program, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("datapath", ["ebpf", "socket"])
@pytest.mark.parametrize("level", ["dst", "dst-src", "ethernet"])
def test_bridge__two_transfers_and_the_hosts_own_traffic(
    hosts: list[End], tmp_path: Path, level: str, datapath: str
) -> None:
    how = ("--level", level, "--datapath", datapath)
    pairs = list(zip(hosts[:2], hosts[2:], strict=True))
    expected = hashlib.sha256(random.Random(1).randbytes(TCP_BYTES)).hexdigest()
    with ExitStack() as stack:
        receivers, senders = [], []
        for number, (_, receiver) in enumerate(pairs):
            folder = tmp_path / str(number)
            folder.mkdir()
            receivers.append(stack.enter_context(receiving(receiver, "--output", str(folder), *how)))
        # Between the ends of a transfer and across them.
        server = stack.enter_context(python(hosts[2], TCP_SERVER))
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        for number, (sender, receiver) in enumerate(pairs):
            target = f"{receiver.mac}%{sender.interface}"
            words = ("send", "--size", str(SIZE), "--seed", str(number), target, "--pace", PACE, *how)
            senders.append(stack.enter_context(hand(sender, *words)))
        for one in senders:
            one.under_way()
        client = stack.enter_context(python(hosts[0], TCP_CLIENT, str(hosts[2].address), str(TCP_BYTES)))
        echoes = [
            stack.enter_context(python(one, ECHO, str(other.address), str(ECHOES), str(ECHO_GAP_S)))
            for one, other in ((hosts[0], hosts[2]), (hosts[1], hosts[2]), (hosts[3], hosts[0]))
        ]
        came = [int(echo.communicate(timeout=60)[0]) for echo in echoes]
        assert client.wait(60) == 0
        harmless_until = time.monotonic()
        records: list[dict[str, Any]] = [one.finished() for one in senders]
        assert all(one.ended_at > harmless_until - 2 for one in senders), "it was over before the others had begun"
        for one in receivers:
            one.finished()
        assert server.communicate(timeout=60)[0].strip() == expected
        assert came == [ECHOES] * len(echoes)
    for number, record in enumerate(records):
        assert verify.same(verify.source_chunks(SIZE, number), tmp_path / str(number) / f"random-{SIZE}-{number}")
        assert record["level"] == level
