# SPDX-License-Identifier: GPL-2.0-only
"""What the laboratory has to offer, and for what it cannot do on this machine the reason."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from towline.delivery.xdp import XdpReceiver
from towline.errors import SettingsError, TowlineError
from towline.framing import ETHERNET, LEVELS, Level, Numbers
from towline.kernel.link import interface
from towline.kernel.netns import inside
from towline.lab.environments import veth
from towline.lab.plans import plan
from towline.settings import DEFAULT_PORT, Settings

_LEVELS = {
    "raw": "nothing in front of the header",
    "dst": "the receiver's MAC address",
    "dst-src": "both MAC addresses",
    "ethernet": "an Ethernet header",
    "ipv6": "Ethernet and IPv6",
    "udp6": "Ethernet, IPv6 and UDP",
    "udp4": "Ethernet, IPv4 and UDP",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing to choose. `what`: it is, in a few words; `missing`: why it cannot be had here, None: it can."""

    name: str
    what: str
    missing: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Machine:
    """Why something cannot be had on this machine; None: it can."""

    veth: str | None
    ebpf: str | None
    native: str | None


def catalogue(plans: Path) -> Mapping[str, Sequence[Entry]]:
    """Everything to choose from, by kind; `plans`: their folder. Tries out what it lists, which takes a second."""
    machine = _try_out()
    no_veth = machine.veth and "it needs the environment veth"
    no_ebpf = machine.ebpf and "it needs the datapath ebpf"
    return {
        "environments": [Entry(name="veth", what="two network namespaces and a virtual cable", missing=machine.veth)],
        "levels": [_level(level, no_veth) for level in LEVELS.values()],
        "datapaths": [
            Entry(name="ebpf", what="XDP programs do the work of each packet", missing=machine.ebpf),
            Entry(name="socket", what="the same protocol over ordinary sockets", missing=no_veth),
        ],
        "deliveries": [
            Entry(name="direct", what="XDP writes payload at its place in memory", missing=no_ebpf),
            Entry(name="ring", what="XDP hands payload over through a BPF ring buffer", missing=no_ebpf),
        ],
        "XDP modes": [
            Entry(name="native", what="programs run in the driver", missing=no_ebpf or machine.native),
            Entry(name="generic", what="programs run behind the driver", missing=no_ebpf),
        ],
        "yardsticks": list(_yardsticks(no_veth)),
        "plans": list(_plans(plans)),
    }


def _try_out() -> _Machine:
    """Make the environment and load a program into it, as a run does."""
    try:
        with veth.veth(offloads=False, gro=True) as path, inside(path.receiver.namespace):
            return _try_xdp(path.receiver)
    except TowlineError as error:
        return _Machine(veth=str(error), ebpf="it needs the environment veth", native=None)
    except FileNotFoundError as error:
        why = f"{error.filename} is not installed (Debian: apt install iproute2 ethtool)"
        return _Machine(veth=why, ebpf="it needs the environment veth", native=None)


def _try_xdp(end: veth.End) -> _Machine:
    try:
        with closing(XdpReceiver(interface(end.interface), [ETHERNET], Numbers(), DEFAULT_PORT, Settings())) as xdp:
            native = None if xdp.xdp_mode == "native" else " ".join(xdp.notes)
            return _Machine(veth=None, ebpf=None, native=native)
    except TowlineError as error:
        return _Machine(veth=None, ebpf=str(error), native=None)


def _level(level: Level, no_veth: str | None) -> Entry:
    no_ipv6 = level.family == socket.AF_INET6 and not Path("/proc/net/if_inet6").exists()
    missing = no_veth or ("this machine's kernel has no IPv6, or it is switched off" if no_ipv6 else None)
    return Entry(name=level.name, what=f"{_LEVELS[level.name]}: {level.frame_bytes} bytes", missing=missing)


def _yardsticks(no_veth: str | None) -> Iterator[Entry]:
    from towline.lab.yardsticks import YARDSTICKS  # noqa: PLC0415 (QUIC's libraries take long to import)

    for name, yardstick in YARDSTICKS.items():
        yield Entry(name=name, what=yardstick.label, missing=no_veth or yardstick.missing())


def _plans(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob("*.toml")):
        try:
            yield Entry(name=str(path), what=plan.read(path).question)
        except SettingsError as error:
            yield Entry(name=str(path), what="", missing=str(error))
