# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's way to a host: interface, our address, next hop, and that one's link-layer address."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from pyroute2 import IPRoute, NetlinkError

from towline.errors import SettingsError
from towline.kernel.link import name_of

__all__ = ["Route", "addresses_of", "link_address", "route_to"]

_LINK_SCOPE = 253  # RT_SCOPE_LINK


@dataclass(frozen=True, kw_only=True)
class Route:
    """How packets to a host leave; addresses have 4 or 16 bytes."""

    interface: str
    ifindex: int
    source: bytes
    next_hop: bytes


def route_to(address: bytes, *, scope: int = 0) -> Route:
    """The route that the kernel takes; `scope`: interface index of a link-local address.

    Raises SettingsError where there is none.
    """
    family = _family(address)
    text = socket.inet_ntop(family, address)
    asked = {"dst": text, "family": family} | ({"oif": scope} if scope else {})
    try:
        with IPRoute() as route:
            found = route.route("get", **asked)[0]
    except NetlinkError as error:
        raise SettingsError(f"there is no route to {text} ({error.args[1]})") from None
    ifindex = found.get_attr("RTA_OIF")
    gateway, source = found.get_attr("RTA_GATEWAY"), found.get_attr("RTA_PREFSRC")
    if source is None:
        raise SettingsError(f"this machine has no address to reach {text} from")
    return Route(
        interface=name_of(ifindex),
        ifindex=ifindex,
        source=socket.inet_pton(family, source),
        next_hop=socket.inet_pton(family, gateway) if gateway else address,
    )


def link_address(ifindex: int, next_hop: bytes) -> bytes | None:
    """The MAC (6 bytes) that a neighbour answered with; None where the kernel does not know it (yet)."""
    text = socket.inet_ntop(_family(next_hop), next_hop)
    with IPRoute() as route:
        for entry in route.get_neighbours(family=_family(next_hop), ifindex=ifindex):
            if entry.get_attr("NDA_DST") == text and entry.get_attr("NDA_LLADDR"):
                return bytes.fromhex(entry.get_attr("NDA_LLADDR").replace(":", ""))
    return None


def addresses_of(ifindex: int) -> list[tuple[int, str]]:
    """An interface's IP addresses as (family, what others type), those of wider scope first."""
    with IPRoute() as route:
        entries = sorted(
            (entry["scope"], -entry["family"], entry.get_attr("IFA_ADDRESS")) for entry in route.get_addr(index=ifindex)
        )
    return [(-family, f"{text}%IF" if scope == _LINK_SCOPE else text) for scope, family, text in entries]


def _family(address: bytes) -> int:
    return socket.AF_INET6 if len(address) == 16 else socket.AF_INET
