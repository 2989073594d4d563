# SPDX-License-Identifier: GPL-2.0-only
"""Routes and neighbours as netlink describes them."""

from __future__ import annotations

import socket

import pytest
from pyroute2 import IPRoute

from towline.errors import SettingsError
from towline.kernel.route import addresses_of, link_address, route_to

GATEWAY_MAC = "02:00:00:00:00:99"


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


@pytest.fixture
def addressed(pair: tuple[int, int]) -> int:
    """Index of va: 192.0.2.1/24 and 2001:db8::1/64, a route to 198.51.100.0/24 through 192.0.2.9, which is known."""
    with IPRoute() as route:
        route.addr("add", index=pair[0], address="192.0.2.1", prefixlen=24)
        route.addr("add", index=pair[0], address="2001:db8::1", prefixlen=64, flags=0x02)  # IFA_F_NODAD
        route.route("add", dst="198.51.100.0/24", gateway="192.0.2.9")
        route.neigh("add", dst="192.0.2.9", lladdr=GATEWAY_MAC, ifindex=pair[0], state=0x80)  # NUD_PERMANENT
    return pair[0]


def test_route_to__on_the_link_and_through_a_gateway(addressed: int) -> None:
    near = route_to(packed("192.0.2.7"))
    assert (near.interface, near.ifindex, near.source, near.next_hop) == (
        "va",
        addressed,
        packed("192.0.2.1"),
        packed("192.0.2.7"),
    )
    assert route_to(packed("198.51.100.1")).next_hop == packed("192.0.2.9")
    assert route_to(packed("2001:db8::7")).source == packed("2001:db8::1")


def test_route_to__a_link_local_address_needs_its_interface(addressed: int) -> None:
    assert route_to(packed("fe80::7"), scope=addressed).interface == "va"


def test_route_to__nowhere_is_said(addressed: int) -> None:
    with pytest.raises(SettingsError, match=r"no route to 203\.0\.113\.1"):
        route_to(packed("203.0.113.1"))


def test_link_address__is_what_the_neighbour_answered(addressed: int) -> None:
    assert link_address(addressed, packed("192.0.2.9")) == bytes.fromhex(GATEWAY_MAC.replace(":", ""))
    assert link_address(addressed, packed("192.0.2.8")) is None


def test_addresses_of__as_others_type_them(addressed: int) -> None:
    found = addresses_of(addressed)
    assert {(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")} <= set(found)
    assert found[-1][1].startswith("fe80::")
    assert found[-1][1].endswith("%IF")
