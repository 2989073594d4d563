# SPDX-License-Identifier: GPL-2.0-only
"""The bare copy loop, packets over a veth pair with no check and no window: what our speed is measured by.

Direct placement on one or two lanes, or through the ring buffer to a numpy consumer on the other CPU. All
of it is one process; `measure` starts a new one, so that each run begins with clean interfaces.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

import towline
from towline.errors import TowlineError
from towline.kernel.attach import Link, attach
from towline.kernel.clang import compile_program
from towline.kernel.link import interface
from towline.kernel.live import LiveFrames
from towline.kernel.memory import Ring
from towline.kernel.netns import inside
from towline.kernel.program import Object
from towline.lab import machine
from towline.lab.environments import veth
from towline.lab.yardsticks import ends

Delivery = Literal["direct", "ring"]

SOURCE = Path(__file__).with_name("bare.bpf.c")
SLOTS = 16384  # these four as in bare.bpf.c
LANES_MOST = 2
HEADER_BYTES = 24
LEAD_BYTES = 8
BURST = 1024
WARM_UP_PACKETS = SLOTS  # each slot once, before the clock
IDLE_S = 1e-4


class Loop:
    """The loop between two ends, loaded and attached; `run` may be called again and again.

    Payload from 128 bytes: an acknowledgement takes the place of a packet, and must fit in there.
    """

    def __init__(self, path: veth.Path, *, lanes: int, delivery: Delivery, payload_bytes: int) -> None:
        self._path, self._lanes, self._payload_bytes = path, lanes, payload_bytes
        self._object = Object(compile_program(SOURCE))
        self._object.keep(f"receive_{delivery}", "hear", "transmit0", "transmit1")
        with inside(path.sender.namespace):
            ifindex = interface(path.sender.interface).index
        self._object.set_constants(payload_bytes=payload_bytes, ifindex=ifindex)
        for name in ("sources", "slots"):
            self._object.resize(name, value_size=payload_bytes)
        self._object.load()
        # A transmitter that is attached nowhere makes each call wait for RCU: both are parked on a loopback.
        self._links = [*self._attach(path.sender, "hear", "transmit0")]
        self._links += self._attach(path.receiver, f"receive_{delivery}", "transmit1")
        size_bytes = LEAD_BYTES + HEADER_BYTES + payload_bytes
        programs = [self._object.program(f"transmit{lane}") for lane in range(lanes)]
        self._frames = [LiveFrames(program, ifindex, b"", size_bytes) for program in programs]
        self._state = self._object.globals("lanes")
        self._ring = Ring(self._object.map("ring"), self._record()) if delivery == "ring" else None
        self._sources = self._rows("sources")
        # Through the ring, what has arrived is the consumer's.
        self._slots = np.empty_like(self._sources) if self._ring else self._rows("slots")
        self._sources[:] = np.random.default_rng(0).integers(0, 256, self._sources.shape, np.uint8)

    def run(self, packets: int) -> float:
        """Send so many packets on each lane; returns the seconds until the last one is in its slot."""
        self._state.view(np.uint8)[:] = 0
        self._slots[:] = 0
        sent = threading.Event()
        senders = [threading.Thread(target=self._send, args=(n, packets)) for n in range(self._lanes)]
        consumers = [threading.Thread(target=self._consume, args=(self._ring, sent))] if self._ring else []
        for thread in (*consumers, *senders):
            thread.daemon = True
        started = time.perf_counter()
        for thread in (*consumers, *senders):
            thread.start()
        for thread in senders:
            thread.join()
        sent.set()
        for thread in consumers:
            thread.join()
        return time.perf_counter() - started

    def count(self, name: str) -> int:
        """A counter of struct lane, of all lanes together."""
        return int(self._state[name].sum())

    def equal(self) -> bool:
        """Whether every slot holds what was sent into it, if each was."""
        used = self._lanes * SLOTS
        return np.array_equal(self._sources[:used], self._slots[:used])

    def close(self) -> None:
        """Detach; everything goes."""
        for link in self._links:
            link.close()
        self._object.close()

    def _attach(self, end: veth.End, program: str, parked: str) -> Iterator[Link]:
        with inside(end.namespace):
            yield attach(self._object.program(program), interface(end.interface).index, "native")
            yield attach(self._object.program(parked), interface("lo").index, "generic")

    def _rows(self, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return self._object.map(name).bytes().reshape(LANES_MOST * SLOTS, -1)[:, : self._payload_bytes]

    def _record(self) -> np.dtype[Any]:
        """struct record with its data."""
        head = self._object.dtype("record")
        data = (np.uint8, self._payload_bytes)
        return np.dtype(
            {
                "names": ["index", "lane", "data"],
                "formats": [head["index"], head["lane"], data],
                "offsets": [0, head["index"].itemsize, head.itemsize],
                "itemsize": head.itemsize + self._payload_bytes,
            }
        )

    def _send(self, lane: int, packets: int) -> None:
        pin(lane)  # the queue is chosen by the sending CPU
        frames, state = self._frames[lane], self._state[lane]
        with inside(self._path.sender.namespace):
            while (left := packets - int(state["next"])) > 0:
                frames.run(min(left, BURST))

    def _consume(self, ring: Ring, sent: threading.Event) -> None:
        pin(-1)
        while True:
            last = sent.is_set()  # before the look, which then sees everything
            records, _ = ring.batch(SLOTS)
            if len(records):
                self._slots[records["lane"] * SLOTS + records["index"] % SLOTS] = records["data"]
                ring.release(len(records))
            elif last:
                return
            else:
                time.sleep(IDLE_S)


def measure(
    *, size_bytes: int, lanes: int = 1, delivery: Delivery = "direct", payload_bytes: int = 1400
) -> dict[str, Any]:
    """One run in a process of its own; returns its record, raises RunError with its words where it fails."""
    how = [f"--size={size_bytes}", f"--lanes={lanes}", f"--delivery={delivery}", f"--payload={payload_bytes}"]
    with ends.end("bare loop", [sys.executable, str(Path(__file__).absolute()), *how]) as child:
        found: dict[str, Any] = msgspec.json.decode(ends.last_words(child, size_bytes))
    return found


def run(*, size_bytes: int, lanes: int, delivery: Delivery, payload_bytes: int) -> dict[str, Any]:
    """One run in this process; its record has the names that a run of towline has for the same things."""
    packets = -(-size_bytes // (payload_bytes * lanes))
    with veth.veth(lanes=lanes) as path:
        loop = Loop(path, lanes=lanes, delivery=delivery, payload_bytes=payload_bytes)
        loop.run(WARM_UP_PACKETS)
        load = machine.baseline()
        begin = machine.cpu_time()
        seconds = loop.run(packets)
        end = machine.cpu_time()
        placed, ring_full = loop.count("placed"), loop.count("ring_full")
        whole = loop.equal() if packets >= SLOTS else None  # else there are slots that nothing was sent into
        loop.close()
    placed_bytes = placed * payload_bytes
    record = {
        "yardstick": "bare",
        "environment": "veth",
        "delivery": delivery,
        "lanes": lanes,
        "payload_size": payload_bytes,
        "mtu": path.mtu,
        "file_bytes": placed_bytes,
        "sink": "memory",
        "seconds": seconds,
        "goodput_gbps": placed_bytes * 8 / 1e9 / seconds,
        "packets_sent": packets * lanes,
        "ring_full": ring_full,
        "peak_rss_mib": None,  # sources and slots hold all there is: it says nothing
        "verified": whole,
        "version": towline.__version__,
        **machine.costs(begin, end, load),
        **machine.describe(),
    }
    cpu_s = record["cpu_seconds"]
    return {**record, "cpu_seconds_per_gib": None if cpu_s is None else cpu_s / (placed_bytes / (1 << 30))}


def pin(cpu: int) -> None:
    """Have this thread on one of the CPUs that it may use."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[cpu % len(cpus)]})


def main() -> None:
    """The command line: one run, its record as a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes")
    parser.add_argument("--lanes", type=int, choices=range(1, LANES_MOST + 1), default=1)
    parser.add_argument("--delivery", choices=("direct", "ring"), default="direct")
    parser.add_argument("--payload", type=int, default=1400, help="bytes")
    said = parser.parse_args()
    try:
        record = run(size_bytes=said.size, lanes=said.lanes, delivery=said.delivery, payload_bytes=said.payload)
    except TowlineError as error:
        sys.exit(f"towline: {error}")
    print(msgspec.json.encode(record).decode())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the namespaces go
    main()
