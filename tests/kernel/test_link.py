# SPDX-License-Identifier: GPL-2.0-only
"""Interfaces as netlink describes them."""

from __future__ import annotations

import pytest
from pyroute2 import IPRoute

from towline.errors import TowlineError
from towline.kernel.libbpf import kernel_version
from towline.kernel.link import interface, xdp_features, xdp_holder


def test_interface__describes_a_veth(pair: tuple[int, int]) -> None:
    with IPRoute() as route:
        route.link("set", index=pair[0], mtu=1400)
        route.link("set", index=pair[1], state="down")
    va, vb = interface("va"), interface("vb")
    assert (va.index, vb.index) == pair
    assert (va.mac, va.mtu, va.kind, va.is_up) == (bytes.fromhex("02000000000a"), 1400, "veth", True)
    assert (vb.mac, vb.mtu, vb.is_up) == (bytes.fromhex("02000000000b"), 1500, False)


def test_interface__counts_the_queues_in_use(pair: tuple[int, int]) -> None:
    with IPRoute() as route:
        peer = {"ifname": "vd", "num_rx_queues": 2, "num_tx_queues": 2}
        route.link("add", ifname="vc", kind="veth", num_rx_queues=3, num_tx_queues=2, peer=peer)
    assert (interface("va").rx_queues, interface("va").tx_queues) == (1, 1)  # allocated: one per CPU
    assert (interface("vc").rx_queues, interface("vc").tx_queues) == (3, 2)
    assert interface("lo").rx_queues == 1


def test_interface__names_those_that_exist(pair: tuple[int, int]) -> None:
    with pytest.raises(TowlineError, match="no interface 'eth9' here; there are: lo, va, vb"):
        interface("eth9")


def test_xdp_features__says_what_a_driver_can_do(pair: tuple[int, int]) -> None:
    features, loopback = xdp_features(pair[0]), xdp_features(1)
    if features is None and kernel_version() < (6, 3):
        pytest.skip("the kernel has no netlink family netdev (Linux 6.3)")
    assert features is not None
    assert {"basic", "redirect"} <= features
    assert loopback == frozenset()


def test_xdp_features__is_none_where_the_kernel_cannot_say(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("towline.kernel.link._NETDEV_FAMILY", "tltest")
    assert xdp_features(1) is None
    assert not caplog.records


def test_xdp_holder__is_none_where_the_hook_is_free(pair: tuple[int, int]) -> None:
    assert xdp_holder(pair[0]) is None
