# SPDX-License-Identifier: GPL-2.0-only
"""The environment `veth`: two ends that reach each other, and nothing afterwards.

namespace ...a                      namespace ...b
sender, tl0 02:..:0a  <---------->  receiver, tl0 02:..:0b
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from pyroute2 import netns

from towline.errors import PermissionsError
from towline.lab.emulator.impairments import Impairments
from towline.lab.environments import veth

OFFLOADS = ("tcp-segmentation-offload", "generic-segmentation-offload", "tx-checksumming")

pytestmark = pytest.mark.usefixtures("namespaces")


def link(end: veth.End) -> dict[str, Any]:
    """What `ip` says of an end's interface."""
    command = end.command("ip", "-json", "-details", "link", "show", "dev", end.interface)
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    answer: dict[str, Any] = found[0]
    return answer


@pytest.mark.parametrize("lanes", [1, 2])
def test_veth__has_addresses_mtu_and_a_queue_for_each_lane(lanes: int) -> None:
    with veth.veth(lanes=lanes, mtu=3000) as path:
        for end in (path.sender, path.receiver):
            about = link(end)
            assert (about["address"], about["mtu"]) == (end.mac, 3000)
            assert (about["num_tx_queues"], about["num_rx_queues"]) == (lanes, lanes)
            assert {"UP", "LOWER_UP"} <= set(about["flags"])
        assert path.target == f"{path.receiver.mac}%{path.sender.interface}"


def test_veth__two_at_a_time_do_not_meet() -> None:
    with veth.veth() as one, veth.veth() as other:
        names = {end.namespace for path in (one, other) for end in (path.sender, path.receiver)}
        assert len(names) == 4
        assert names <= set(netns.listnetns())


def features(end: veth.End) -> dict[str, str]:
    """What `ethtool` says of an end's offloads: on or off, by name."""
    command = end.command("ethtool", "--show-features", end.interface)
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    return {name.strip(): words.split()[0] for name, _, words in (line.partition(":") for line in lines)}


def test_veth__has_addresses_unless_none_were_wanted() -> None:
    with veth.veth(addressed=False) as path:
        assert (path.sender.address, path.receiver.address6) == (None, None)
    with veth.veth() as path:
        for near, far in ((path.sender, path.receiver), (path.receiver, path.sender)):
            for own, other in ((near.address, far.address), (near.address6, far.address6)):
                assert own != other
                route = near.command("ip", "-json", "route", "get", str(other))
                said = json.loads(subprocess.run(route, capture_output=True, check=True).stdout)
                assert (said[0]["dev"], said[0]["prefsrc"]) == (near.interface, own)


@pytest.mark.parametrize("impairments", [None, Impairments()])
def test_veth__every_address_can_be_used_at_once(impairments: Impairments | None) -> None:
    with veth.veth(impairments=impairments) as path:
        for end in (path.sender, path.receiver):
            show = end.command("ip", "-6", "-json", "address", "show", "dev", end.interface)
            said = json.loads(subprocess.run(show, capture_output=True, check=True).stdout)
            found = {about["scope"]: about for about in said[0]["addr_info"]}
            assert found.keys() == {"link", "global"}
            assert not [about for about in found.values() if about.get("tentative")]
            assert found["link"]["local"] == end.link_local
            assert len(said[0]["addr_info"]) == 2  # none of the kernel's besides


def test_veth__with_impairments_has_a_silent_namespace_in_the_middle() -> None:
    with veth.veth(lanes=2, mtu=3000, impairments=Impairments()) as path:
        middle = path.sender.namespace[:-1] + "m"
        assert middle in netns.listnetns()
        said = subprocess.run(["ip", "-n", middle, "address"], capture_output=True, text=True, check=True).stdout
        assert "inet" not in said
        for end in (path.sender, path.receiver):
            about = link(end)
            assert (about["address"], about["mtu"]) == (end.mac, 3000)
            assert (about["num_tx_queues"], about["num_rx_queues"]) == (1, 2)
            # Frames are cut, and checksums made, before they leave; and XDP's frames are taken in.
            assert [features(end)[name] for name in OFFLOADS] == ["off"] * 3
            assert features(end)["generic-receive-offload"] == "on"
    assert middle not in netns.listnetns()


def test_veth__offloads_are_on_unless_they_were_not_wanted() -> None:
    for offloads, word in ((True, "on"), (False, "off")):
        with veth.veth(offloads=offloads) as path:
            for end in (path.sender, path.receiver):
                assert [features(end)[name] for name in OFFLOADS] == [word] * 3


CALL = """
import socket
with socket.socket(type=socket.SOCK_DGRAM) as caller:
    for _ in range(3):
        caller.sendto(b"anybody there?", ("{address}", 9))
"""


def test_frames_sent__counts_what_leaves_this_end() -> None:
    with veth.veth(addressed=True) as path:
        before = path.sender.frames_sent()
        call = CALL.format(address=path.receiver.address)
        subprocess.run(path.sender.command(sys.executable, "-c", call), check=True)
        assert path.sender.frames_sent() - before >= 3


HANDLED = """
import signal, sys
from towline.lab.environments.veth import veth
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
for _ in range(10):
    with veth():
        pass
"""


def test_veth__a_handler_for_sigterm_is_not_the_childrens() -> None:
    # What helps to make the namespaces is a forked child, ended by SIGTERM; it must not clean up for us.
    done = subprocess.run([sys.executable, "-c", HANDLED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_veth__is_gone_after_an_exception() -> None:
    with pytest.raises(KeyboardInterrupt), veth.veth() as path:
        raise KeyboardInterrupt
    assert {path.sender.namespace, path.receiver.namespace} & set(netns.listnetns()) == set()


def test_veth__half_made_is_gone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(veth, "_join", fail)
    with pytest.raises(PermissionsError, match="CAP_SYS_ADMIN"), veth.veth():
        pass
