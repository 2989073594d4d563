# SPDX-License-Identifier: GPL-2.0-only
"""The environment `veth`: a sender and a receiver in two namespaces, joined by a veth pair.

namespace ...a                      namespace ...b
sender, tl0 02:..:0a  <---------->  receiver, tl0 02:..:0b

With impairments the emulator stands in between:

namespace ...a                      namespace ...m                       namespace ...b
sender, tl0 02:..:0a  <------>  left  the emulator  right  <------>  receiver, tl0 02:..:0b
"""

from __future__ import annotations

import errno
import pathlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pyroute2 import NetlinkError, NetNS, config, netns

from towline.errors import PermissionsError, UnsupportedError
from towline.kernel.netns import inside
from towline.lab import leftovers
from towline.lab.emulator.control import Emulator, emulator
from towline.lab.emulator.impairments import Impairments

INTERFACE = "tl0"
SENDER_MAC = "02:00:00:00:00:0a"  # locally administered
RECEIVER_MAC = "02:00:00:00:00:0b"
SENDER_ADDRESS = "192.0.2.1"  # TEST-NET-1: nobody's, and the namespaces know no other network
RECEIVER_ADDRESS = "192.0.2.2"
SENDER_ADDRESS6 = "2001:db8::1"  # the prefix for documentation
RECEIVER_ADDRESS6 = "2001:db8::2"
SENDER_LINK_LOCAL = "fe80::ff:fe00:a"  # of the MACs, as the kernel would make them
RECEIVER_LINK_LOCAL = "fe80::ff:fe00:b"
LEFT, RIGHT = "left", "right"  # in the namespace in the middle
_PREFIX_LENGTH, _PREFIX_LENGTH6 = 30, 64
_NODAD = 0x02  # IFA_F_NODAD
_NO_ADDRESSES = 1  # IN6_ADDR_GEN_MODE_NONE
_OFFLOADS_OUT = ("tx", "tso", "gso")

# pyroute2 opens its sockets in forked children, which it ends by SIGTERM. A child that inherits our handler
# leaves by an exception, through every `with` of ours, and removes the namespaces that the parent works in.
config.disable_mp_signal = True


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of the path: a namespace with one interface."""

    namespace: str
    interface: str
    mac: str
    link_local: str | None = None  # IPv6
    address: str | None = None  # IPv4, unless none was wanted
    address6: str | None = None  # IPv6, as above

    @property
    def place(self) -> str:
        """The interface as it is typed: NAMESPACE/IF."""
        return f"{self.namespace}/{self.interface}"

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` in this namespace (and sees its interfaces in /sys)."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def frames_sent(self) -> int:
        """How many frames have left the interface; one that the driver was to cut up counts once."""
        return self.frames_out()[0]

    def frames_out(self) -> tuple[int, int]:
        """How many frames have left the interface, and how many more were to and found its other end full."""
        with NetNS(self.namespace, flags=0) as namespace:
            counters = namespace.get_links(ifname=self.interface)[0].get_attr("IFLA_STATS64")
            return int(counters["tx_packets"]), int(counters["tx_dropped"])


@dataclass(frozen=True, kw_only=True)
class Path:
    """Two ends that reach each other, the MTU between them in bytes, and what impairs the path, if anything does."""

    sender: End
    receiver: End
    mtu: int
    emulator: Emulator | None = None

    @property
    def target(self) -> str:
        """What the sender types to reach the receiver: MAC%IF."""
        return f"{self.receiver.mac}%{self.sender.interface}"


@contextmanager
def veth(
    *,
    lanes: int = 1,
    mtu: int = 1500,
    addressed: bool = True,
    offloads: bool = True,
    gro: bool = False,
    impairments: Impairments | None = None,
    capture: pathlib.Path | None = None,
    clang_flags: Sequence[str] = (),
) -> Iterator[Path]:
    """Make the namespaces and the pairs, with a queue for each lane; everything is gone afterwards.

    `addressed`: with IPv4 and IPv6 addresses. `offloads`: as the kernel makes a veth; without them a packet has at
    most `mtu` bytes, as on a wire, and a checksum that was really computed: always so under impairments.
    `gro`: as for a sender of live frames, or an XDP_TX, whose other end has no XDP program.
    `capture`: a pcap file of what the emulator lets out (not of what it drops); without impairments it impairs nothing.
    `clang_flags`: for the emulator's program. Raises PermissionsError where the process may not make namespaces,
    UnsupportedError where offloads stay, RunError where the emulator does not start.
    """
    leftovers.sweep()
    emulated = impairments is not None or capture is not None
    with ExitStack() as stack:
        names = leftovers.namespace_names("amb" if emulated else "ab")
        try:
            for name in names:
                stack.callback(_remove, name)  # first, so that a signal in between leaves nothing
                netns.create(name)
            ends = _join(names, queues=max(1, lanes), mtu=mtu, addressed=addressed)
        except (OSError, NetlinkError) as error:
            if _number(error) in (errno.EPERM, errno.EACCES):
                raise PermissionsError("making network namespaces", "CAP_SYS_ADMIN and CAP_NET_ADMIN") from error
            raise
        sender, receiver = ends
        # A veth takes frames from XDP only where its other end polls: with a native program, or with GRO.
        outgoing = emulated or not offloads
        for end in ends if outgoing or gro else ():
            _switch_offloads(end, outgoing=not outgoing, gro=emulated or (gro and offloads))
        running = None
        if emulated:
            command = ["ip", "netns", "exec", names[1]]
            asked = impairments or Impairments()
            running = stack.enter_context(
                emulator(command, asked, left=LEFT, right=RIGHT, capture=capture, clang_flags=clang_flags)
            )
        yield Path(sender=sender, receiver=receiver, mtu=mtu, emulator=running)


def _join(names: list[str], *, queues: int, mtu: int, addressed: bool) -> tuple[End, End]:
    """One pair of interfaces between the first and the last namespace, or two, which meet in the middle."""
    sender, *middle, receiver = names
    # No waiting before an address may be used, and nobody asks for routers: there are no others on these links.
    for name in (sender, receiver):
        _sysctl(name, "accept_dad", 0)
        _sysctl(name, "router_solicitations", 0)
        # The kernel's own link-local address comes some time later, and is tentative for some time more: it is ours.
        _sysctl(name, "addr_gen_mode", _NO_ADDRESSES)
    # The queue of a veth is chosen by the sending CPU: without one for each lane, lanes meet on one CPU.
    width = {"num_tx_queues": queues, "num_rx_queues": queues}
    if middle:
        _sysctl(middle[0], "disable_ipv6", 1)  # who stands in the middle says nothing
        # One queue towards the middle: what comes from one direction has an order, and one CPU at a time.
        near = {"num_tx_queues": 1, "num_rx_queues": queues}
        far = {"num_tx_queues": queues, "num_rx_queues": 1}
        for end, mac, side in ((sender, SENDER_MAC, LEFT), (receiver, RECEIVER_MAC, RIGHT)):
            with NetNS(end, flags=0) as namespace:
                peer: dict[str, Any] = {"ifname": side, "net_ns_fd": middle[0], **far}
                namespace.link("add", ifname=INTERFACE, kind="veth", address=mac, peer=peer, **near)
            _up(middle[0], side, mtu)
    else:
        with NetNS(sender, flags=0) as namespace:
            peer = {"ifname": INTERFACE, "address": RECEIVER_MAC, "net_ns_fd": receiver, **width}
            namespace.link("add", ifname=INTERFACE, kind="veth", address=SENDER_MAC, peer=peer, **width)
    ends = [
        End(namespace=name, interface=INTERFACE, mac=mac, link_local=link_local, **(addresses if addressed else {}))
        for name, mac, link_local, addresses in (
            (sender, SENDER_MAC, SENDER_LINK_LOCAL, {"address": SENDER_ADDRESS, "address6": SENDER_ADDRESS6}),
            (receiver, RECEIVER_MAC, RECEIVER_LINK_LOCAL, {"address": RECEIVER_ADDRESS, "address6": RECEIVER_ADDRESS6}),
        )
    ]
    for one in ends:
        _up(one.namespace, "lo")
        _up(one.namespace, one.interface, mtu, one)
    return ends[0], ends[1]


def _up(name: str, interface: str, mtu: int | None = None, end: End | None = None) -> None:
    with NetNS(name, flags=0) as namespace:
        index = namespace.link_lookup(ifname=interface)[0]
        if mtu is not None:
            namespace.link("set", index=index, mtu=mtu)
        if end is not None and end.address is not None:
            namespace.addr("add", index=index, address=end.address, prefixlen=_PREFIX_LENGTH)
        for address6 in (end.link_local, end.address6) if end is not None else ():
            if address6 is not None:
                namespace.addr("add", index=index, address=address6, prefixlen=_PREFIX_LENGTH6, flags=_NODAD)
        namespace.link("set", index=index, state="up")


def _sysctl(name: str, what: str, value: int) -> None:
    """An IPv6 setting of a namespace and of all interfaces that it will have; nothing where there is no IPv6."""
    with inside(name):
        for which in ("all", "default"):
            with suppress(FileNotFoundError):
                pathlib.Path(f"/proc/sys/net/ipv6/conf/{which}/{what}").write_text(str(value))


def _switch_offloads(end: End, *, outgoing: bool, gro: bool) -> None:
    wanted = {**dict.fromkeys(_OFFLOADS_OUT, outgoing), "gro": gro}
    switches = [word for name, on in wanted.items() for word in (name, "on" if on else "off")]
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
