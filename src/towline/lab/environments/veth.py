# SPDX-License-Identifier: GPL-2.0-only
"""The environment `veth`: a sender and a receiver in two namespaces, joined by a veth pair.

namespace ...a                      namespace ...b
sender, tl0 02:..:0a  <---------->  receiver, tl0 02:..:0b
"""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pyroute2 import NetlinkError, NetNS, config, netns

from towline.errors import PermissionsError, UnsupportedError
from towline.lab import leftovers

INTERFACE = "tl0"
SENDER_MAC = "02:00:00:00:00:0a"  # locally administered
RECEIVER_MAC = "02:00:00:00:00:0b"
SENDER_ADDRESS = "192.0.2.1"  # TEST-NET-1: nobody's, and the namespaces know no other network
RECEIVER_ADDRESS = "192.0.2.2"
_PREFIX_LENGTH = 30
_OFFLOADS = ("tx", "tso", "gso", "gro")

# pyroute2 opens its sockets in forked children, which it ends by SIGTERM. A child that inherits our handler
# leaves by an exception, through every `with` of ours, and removes the namespaces that the parent works in.
config.disable_mp_signal = True


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of the path: a namespace with one interface."""

    namespace: str
    interface: str
    mac: str
    address: str | None = None  # IPv4, where it was asked for

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` in this namespace (and sees its interfaces in /sys)."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def frames_sent(self) -> int:
        """How many frames have left the interface; one that the driver was to cut up counts once."""
        with NetNS(self.namespace, flags=0) as namespace:
            link = namespace.get_links(ifname=self.interface)[0]
            return int(link.get_attr("IFLA_STATS64")["tx_packets"])


@dataclass(frozen=True, kw_only=True)
class Path:
    """Two ends that reach each other, and the MTU between them in bytes."""

    sender: End
    receiver: End
    mtu: int

    @property
    def target(self) -> str:
        """What the sender types to reach the receiver: MAC%IF."""
        return f"{self.receiver.mac}%{self.sender.interface}"


@contextmanager
def veth(*, lanes: int = 1, mtu: int = 1500, addressed: bool = False, offloads: bool = True) -> Iterator[Path]:
    """Make the two namespaces and the pair, with a queue for each lane; everything is gone afterwards.

    `addressed`: with IPv4 addresses, for programs that speak TCP. `offloads`: as the kernel makes a veth;
    without them a packet has at most `mtu` bytes, as on a wire, and a checksum that was really computed.
    Raises PermissionsError where the process may not make namespaces, UnsupportedError where offloads stay.
    """
    leftovers.sweep()
    with ExitStack() as stack:
        names = leftovers.namespace_names("ab")
        try:
            for name in names:
                stack.callback(_remove, name)  # first, so that a signal in between leaves nothing
                netns.create(name)
            _join(names[0], names[1], queues=max(1, lanes), mtu=mtu, addressed=addressed)
        except (OSError, NetlinkError) as error:
            if _number(error) in (errno.EPERM, errno.EACCES):
                raise PermissionsError("making network namespaces", "CAP_SYS_ADMIN and CAP_NET_ADMIN") from error
            raise
        sender, receiver = (
            End(namespace=name, interface=INTERFACE, mac=mac, address=address if addressed else None)
            for name, mac, address in zip(
                names, (SENDER_MAC, RECEIVER_MAC), (SENDER_ADDRESS, RECEIVER_ADDRESS), strict=True
            )
        )
        if not offloads:
            for end in (sender, receiver):
                _switch_offloads_off(end)
        yield Path(sender=sender, receiver=receiver, mtu=mtu)


def _join(sender: str, receiver: str, *, queues: int, mtu: int, addressed: bool) -> None:
    # The queue of a veth is chosen by the sending CPU: without one for each lane, lanes meet on one CPU.
    width = {"num_tx_queues": queues, "num_rx_queues": queues}
    with NetNS(sender, flags=0) as near, NetNS(receiver, flags=0) as far:
        peer: dict[str, Any] = {"ifname": INTERFACE, "address": RECEIVER_MAC, "net_ns_fd": receiver, **width}
        near.link("add", ifname=INTERFACE, kind="veth", address=SENDER_MAC, peer=peer, **width)
        for end, address in ((near, SENDER_ADDRESS), (far, RECEIVER_ADDRESS)):
            for name in ("lo", INTERFACE):
                index = end.link_lookup(ifname=name)[0]
                if name == INTERFACE:
                    end.link("set", index=index, mtu=mtu)
                    if addressed:
                        end.addr("add", index=index, address=address, prefixlen=_PREFIX_LENGTH)
                end.link("set", index=index, state="up")


def _switch_offloads_off(end: End) -> None:
    switches = [word for name in _OFFLOADS for word in (name, "off")]
    done = subprocess.run(
        end.command("ethtool", "-K", end.interface, *switches), capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise UnsupportedError("an interface without offloads", f"ethtool (Debian: apt install ethtool); {why[0]}")


def _remove(name: str) -> None:
    with suppress(OSError):  # it was never made, or somebody else removed it
        netns.remove(name)


def _number(error: Exception) -> int | None:
    return error.code if isinstance(error, NetlinkError) else getattr(error, "errno", None)
