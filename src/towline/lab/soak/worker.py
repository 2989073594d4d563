# SPDX-License-Identifier: GPL-2.0-only
"""A process that carries out one `receive` or `send` after another: starting one takes longer than most transfers.

python -m towline.lab.soak.worker

It reads a line of JSON for each (`Receive` or `Send`), prints their events, and at last `Over`. On SIGUSR1 it says on
stderr where each of its threads is.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import os
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import msgspec

from towline import transfer
from towline.errors import TowlineError
from towline.settings import Settings
from towline.transfer.events import Event

_SIOCSIFMTU = 0x8922
_IFREQ = struct.Struct("=16si20x")


class Receive(msgspec.Struct, frozen=True, kw_only=True, tag="receive"):
    """Serve one transfer; `mtu` is what the interface is to have."""

    interface: str
    mtu: int
    output: str
    settings: Settings


class Send(msgspec.Struct, frozen=True, kw_only=True, tag="send"):
    """Send so many random bytes."""

    interface: str
    mtu: int
    target: str
    size_bytes: int
    seed: int
    settings: Settings


Order = Receive | Send


class Over(Event, frozen=True, kw_only=True):
    """An order was carried out, or failed: `error` is the exception's name, `said` what it says, `where` a traceback.

    The rest is what the process holds on to afterwards: open files, BPF objects (open or mapped), memory.
    """

    error: str | None = None
    said: str = ""
    where: str = ""
    files: int
    bpf_objects: int
    rss_kib: int


def carry_out(order: Order) -> Over:
    """One order, from beginning to end; its events are printed meanwhile."""
    error, said, where = None, "", ""
    try:
        _set_mtu(order.interface, order.mtu)
        match order:
            case Receive():
                output = Path(order.output)
                transfer.receive(order.interface, output, order.settings, keep=False, overwrite=False, on_event=say)
            case Send():
                transfer.send(order.size_bytes, order.target, order.settings, on_event=say, seed=order.seed)
    except Exception as caught:  # anything: the laboratory tells it, with the seed
        error, said = type(caught).__name__, str(caught)
        if not isinstance(caught, TowlineError):
            where = "".join(traceback.format_exception(caught))
    gc.collect()  # what a traceback or a cycle has held is no leak
    return Over(
        error=error,
        said=said,
        where=where,
        files=len(_files()),
        bpf_objects=sum("bpf" in name for name in _files()) + Path("/proc/self/maps").read_text().count("bpf-map"),
        rss_kib=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024,
    )


def say(event: Event) -> None:
    """One line on stdout, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


def _files() -> list[str]:
    """What is open, by the names that /proc gives it."""
    names = []
    for descriptor in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the listing's own
            names.append(str(descriptor.readlink()))
    return names


def _set_mtu(interface: str, mtu: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFMTU, _IFREQ.pack(interface.encode(), mtu))


def main() -> int:
    """The process: until its input ends."""
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    gc.collect()
    gc.freeze()  # what the imports made stays: collections need not look at it
    orders = msgspec.json.Decoder(Order)
    for line in sys.stdin.buffer:
        say(carry_out(orders.decode(line)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
