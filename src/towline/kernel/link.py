# SPDX-License-Identifier: GPL-2.0-only
"""Interfaces as the kernel describes them: address, MTU, queues, what XDP can do there and who holds it."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute, NetlinkError
from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError
from pyroute2.netlink import genlmsg
from pyroute2.netlink.generic import GenericNetlinkSocket

from towline.errors import SettingsError
from towline.kernel.loaded import processes_with, program_name
from towline.settings import XdpMode

__all__ = ["Interface", "interface", "name_of", "xdp_features", "xdp_holder", "xdp_mode"]

_IFF_UP = 1
_XDP_ATTACHED_SKB = 2  # <linux/if_link.h>
# enum netdev_xdp_act of <linux/netdev.h>, in the order of its bits
_XDP_FEATURES = ("basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg")
_NETDEV_FAMILY, _NETDEV_CMD_DEV_GET = "netdev", 1


@dataclass(frozen=True, kw_only=True)
class Interface:
    """One interface; `mac` has 6 bytes (none on a tunnel), `kind` is "veth", "bridge" ... ("": hardware)."""

    index: int
    name: str
    mac: bytes
    mtu: int
    rx_queues: int  # in use, not merely allocated
    tx_queues: int
    kind: str
    is_up: bool


def interface(name: str) -> Interface:
    """Look up an interface of this thread's network namespace; SettingsError names those that exist."""
    with IPRoute() as route:
        found = {link.get_attr("IFLA_IFNAME"): link for link in route.get_links()}
    if name not in found:
        raise SettingsError(f"there is no interface {name!r} here; there are: {', '.join(sorted(found))}")
    link = found[name]
    info = link.get_attr("IFLA_LINKINFO")
    rx, tx = _queues(name) or (link.get_attr("IFLA_NUM_RX_QUEUES"), link.get_attr("IFLA_NUM_TX_QUEUES"))
    return Interface(
        index=link["index"],
        name=name,
        mac=bytes.fromhex((link.get_attr("IFLA_ADDRESS") or "").replace(":", "")),
        mtu=link.get_attr("IFLA_MTU"),
        rx_queues=rx,
        tx_queues=tx,
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        is_up=bool(link["flags"] & _IFF_UP),
    )


def _queues(name: str) -> tuple[int, int] | None:
    """Receive and transmit queues in use, by ethtool; None where the driver cannot say.

    netlink's numbers are those allocated: a veth has one per CPU and uses one.
    """
    try:
        with closing(IoctlEthtool(name)) as ethtool:
            channels: Any = ethtool.get_channels()
    except (NotSupportedError, OSError):
        return None
    both = channels.combined_count
    return (channels.rx_count + both, channels.tx_count + both)


def name_of(ifindex: int) -> str:
    """An interface's name for a message, whether or not it is still there."""
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return f"interface {ifindex}"


class _NetdevMessage(genlmsg):  # type: ignore[misc]
    """What the generic netlink family "netdev" says of a device."""

    nla_map = (
        ("NETDEV_A_DEV_UNSPEC", "none"),
        ("NETDEV_A_DEV_IFINDEX", "uint32"),
        ("NETDEV_A_DEV_PAD", "none"),
        ("NETDEV_A_DEV_XDP_FEATURES", "uint64"),
    )


def xdp_features(ifindex: int) -> frozenset[str] | None:
    """What a driver says it can do ("basic", "redirect", "ndo-xmit" ...); None before Linux 6.3.

    A veth's "ndo-xmit" comes and goes with its other end's NAPI. Believe it only after an answered packet:
    live frames to a device that cannot take them vanish without an error.
    """
    request = _NetdevMessage()
    request["cmd"], request["version"] = _NETDEV_CMD_DEV_GET, 1
    request["attrs"] = [("NETDEV_A_DEV_IFINDEX", ifindex)]
    with GenericNetlinkSocket() as netlink:
        try:
            netlink.bind(_NETDEV_FAMILY, _NetdevMessage)
        except NetlinkError:
            return None
        answer = netlink.nlm_request(request, msg_type=netlink.prid, msg_flags=1)[0]
    bits = answer.get_attr("NETDEV_A_DEV_XDP_FEATURES") or 0
    return frozenset(name for i, name in enumerate(_XDP_FEATURES) if bits >> i & 1)


def xdp_mode(ifindex: int) -> XdpMode:
    """How the program runs that is on an interface."""
    with IPRoute() as route:
        return mode_of(route.get_links(ifindex)[0].get_attr("IFLA_XDP"))


def mode_of(xdp: Any) -> XdpMode:
    """The same, from the attribute IFLA_XDP of an interface."""
    return "generic" if xdp and xdp.get_attr("IFLA_XDP_ATTACHED") == _XDP_ATTACHED_SKB else "native"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The program that sits on an interface's XDP hook, and the processes that hold it, as far as they can be seen."""

    program: int
    name: str
    processes: tuple[str, ...]

    def __str__(self) -> str:
        return f"program {self.program} {self.name!r} ({', '.join(self.processes) or 'no process that can be seen'})"


def xdp_holder(ifindex: int) -> Holder | None:
    """Who holds an interface's XDP hook; None where it is free."""
    with IPRoute() as route:
        links = route.get_links(ifindex)
    xdp = links[0].get_attr("IFLA_XDP") if links else None
    number = xdp.get_attr("IFLA_XDP_PROG_ID") if xdp else None
    if not number:
        return None
    return Holder(program=number, name=program_name(number), processes=tuple(processes_with(number)))
