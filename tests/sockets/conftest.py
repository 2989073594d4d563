# SPDX-License-Identifier: GPL-2.0-only
"""Two namespaces on a cable, for the sockets of one test file.

namespace ...a                                     namespace ...b
tl0 02:..:0a  192.0.2.1  fd00::1  <------------->  tl0 02:..:0b  192.0.2.2  fd00::2     GRO on
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import ours
from tests.sockets.ends import Cable, Side
from towline.lab.environments import veth

V6 = ("fd00::1", "fd00::2")


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    """The two ends; everything is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces, CAP_NET_RAW for packet sockets)")
    before = ours()
    with veth.veth(mtu=1500, addressed=True) as path:
        sides = []
        for end, v6 in zip((path.sender, path.receiver), V6, strict=True):
            on = ["ip", "address", "add", f"{v6}/64", "dev", end.interface, "nodad"]
            subprocess.run(end.command(*on), check=True)
            subprocess.run(end.command("ethtool", "-K", end.interface, "gro", "on"), check=True)
            addresses: dict[int, bytes] = {
                socket.AF_INET: socket.inet_aton(end.address or ""),
                socket.AF_INET6: socket.inet_pton(socket.AF_INET6, v6),
            }
            sides.append(Side(end=end, mac=bytes.fromhex(end.mac.replace(":", "")), addresses=addresses))
        yield Cable(near=sides[0], far=sides[1])
    assert ours() - before == set()
