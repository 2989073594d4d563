# SPDX-License-Identifier: GPL-2.0-only
"""The environment `veth`: a sender and a receiver in two namespaces, joined by a veth pair.

namespace ...a                      namespace ...b
sender, tl0 02:..:0a  <---------->  receiver, tl0 02:..:0b
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pyroute2 import NetlinkError, NetNS, netns

from towline.errors import PermissionsError
from towline.lab import leftovers

INTERFACE = "tl0"
SENDER_MAC = "02:00:00:00:00:0a"  # locally administered
RECEIVER_MAC = "02:00:00:00:00:0b"


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of the path: a namespace with one interface."""

    namespace: str
    interface: str
    mac: str

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` in this namespace (and sees its interfaces in /sys)."""
        return ["ip", "netns", "exec", self.namespace, *arguments]


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
def veth(*, lanes: int = 1, mtu: int = 1500) -> Iterator[Path]:
    """Make the two namespaces and the pair, with a queue for each lane; everything is gone afterwards.

    Raises PermissionsError where the process may not make namespaces.
    """
    leftovers.sweep()
    with ExitStack() as stack:
        names = leftovers.namespace_names("ab")
        try:
            for name in names:
                stack.callback(_remove, name)  # first, so that a signal in between leaves nothing
                netns.create(name)
            _join(names[0], names[1], queues=max(1, lanes), mtu=mtu)
        except (OSError, NetlinkError) as error:
            if _number(error) in (errno.EPERM, errno.EACCES):
                raise PermissionsError(
                    "making network namespaces", "CAP_SYS_ADMIN and CAP_NET_ADMIN"
                ) from error
            raise
        yield Path(
            sender=End(namespace=names[0], interface=INTERFACE, mac=SENDER_MAC),
            receiver=End(namespace=names[1], interface=INTERFACE, mac=RECEIVER_MAC),
            mtu=mtu,
        )


def _join(sender: str, receiver: str, *, queues: int, mtu: int) -> None:
    # The queue of a veth is chosen by the sending CPU: without one for each lane, lanes meet on one CPU.
    width = {"num_tx_queues": queues, "num_rx_queues": queues}
    with NetNS(sender, flags=0) as near, NetNS(receiver, flags=0) as far:
        peer: dict[str, Any] = {"ifname": INTERFACE, "address": RECEIVER_MAC, "net_ns_fd": receiver, **width}
        near.link("add", ifname=INTERFACE, kind="veth", address=SENDER_MAC, peer=peer, **width)
        for end in (near, far):
            for name in ("lo", INTERFACE):
                index = end.link_lookup(ifname=name)[0]
                if name == INTERFACE:
                    end.link("set", index=index, mtu=mtu)
                end.link("set", index=index, state="up")


def _remove(name: str) -> None:
    with suppress(OSError):  # it was never made, or somebody else removed it
        netns.remove(name)


def _number(error: Exception) -> int | None:
    return error.code if isinstance(error, NetlinkError) else getattr(error, "errno", None)
