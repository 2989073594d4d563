# SPDX-License-Identifier: GPL-2.0-only
"""What a swap costs where packets never pause: `measure_steady`, as root.

In a transfer the sender pauses between its bursts, and a gap around a swap is as long as any other. Here a program
(steady.bpf.c) makes one packet after the other on the first CPU, the receiver's program takes and places them there,
and the swaps are commanded from the last CPU. A gap is then what the machine and the swap put between two packets.

namespace ...a                                  namespace ...b
steady.bpf.c, tl0 02:..:0a  <--------------->  a receiver's program, tl0 02:..:0b
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.swaps.distributions import Distributions, random_moments, rows
from benchmarks.swaps.turns import COUNT, POLICY_FILES, away_from_lanes, take_turns
from towline.bpf import INCLUDE
from towline.delivery import Origin
from towline.delivery.xdp import XdpReceiver
from towline.errors import RunError
from towline.framing import ETHERNET, Ends, Numbers, write_frame
from towline.kernel.attach import attach
from towline.kernel.attached import Program
from towline.kernel.clang import compile_program
from towline.kernel.link import Interface, interface
from towline.kernel.live import LiveFrames
from towline.kernel.netns import inside
from towline.kernel.program import Object
from towline.kernel.successor import states
from towline.lab.environments import veth
from towline.protocol.opening import Terms
from towline.running.places import Place, place_called
from towline.running.swap import Swapper
from towline.settings import NEAR_WINDOW, Settings
from towline.wire import HEADER_BYTES

SOURCE = Path(__file__).with_name("steady.bpf.c")
ALONE_S = 5.0  # without swaps, before them
READY_S = 10.0
LOOK_S = 1e-3
REPEAT = 1 << 24  # packets of one call, which takes some ten seconds; as many that are dropped, less than one
BATCH = 8  # frames that are made in a row before the receiver sees the first; more of them were a pause
MARK = bytes(4)
FLAGS = (INCLUDE, "-Wno-unused-function")  # of check.h it wants a part
RTT_US = 100  # what policies go by
WHAT = "swaps before a source that never pauses"


@dataclass(frozen=True, kw_only=True)
class Steady(Distributions):
    """`other_gaps_us` is of ALONE_S without a swap; what is counted, of all the time that packets came."""

    packets: int
    placed: int
    seconds: float
    waited_s: float  # the source for its CPU, which processes had


class Source:
    """One session's packets, in a thread of its own, from `start` to `stop`."""

    def __init__(self, path: veth.Path, ends: Ends, session: int, payload_bytes: int, states_fd: int) -> None:
        """Loaded and attached: live frames run what the kernel's XDP dispatcher holds already, and answers end in it.
        `states_fd`: the receiver's map `receivers`.
        """
        self._namespace = path.sender.namespace
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None
        self.waited_s = self.seconds = 0.0
        self._stack = ExitStack()
        try:
            self._load(path.sender.interface, write_frame(ETHERNET, ends, Numbers()), session, payload_bytes, states_fd)
        except BaseException:
            self._stack.close()
            raise

    def _load(self, name: str, frame: bytes, session: int, payload_bytes: int, states_fd: int) -> None:
        new = self._stack.enter_context(Object(compile_program(SOURCE, flags=FLAGS)))
        with inside(self._namespace):
            index = interface(name).index
            new.set_constants(frame=frame, session=session, payload_bytes=payload_bytes, ifindex=index)
            new.reuse("receivers", states_fd)
            new.load()
            self._stack.enter_context(attach(new.program("steady"), index, "native"))
        frame_bytes = len(frame) + HEADER_BYTES + payload_bytes
        self._frames = LiveFrames(new.program("steady"), index, MARK, frame_bytes, BATCH)
        self._sent, self._stop = new.globals("sent"), new.globals("stop")

    @property
    def packets(self) -> int:
        """How many have left."""
        return int(self._sent)

    def start(self) -> None:
        """Packets come when this returns. Raises what the thread met instead."""
        self._thread.start()
        deadline = time.monotonic() + READY_S
        while not self.packets:
            if self._error:
                raise self._error
            if time.monotonic() > deadline:
                raise RunError("bench", "the source of packets does not begin")
            time.sleep(LOOK_S)

    def stop(self) -> None:
        """None comes any more. Raises what the thread met before."""
        self._end()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Detach."""
        self._end()
        self._stack.close()

    def _end(self) -> None:
        self._stop[...] = 1
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        try:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of this thread alone, as the namespace
            with inside(self._namespace):
                while not self._stop:
                    self._frames.run(REPEAT)
            _, waited_ns, _ = Path("/proc/thread-self/schedstat").read_text().split()
            self.waited_s = int(waited_ns) / 1e9
        except BaseException as error:
            self._error = error
        self.seconds = time.monotonic() - started


def measure_steady(count: int = COUNT, alone_s: float = ALONE_S, seed: int = 0) -> Steady:
    """Swap in one session whose packets never pause. RunError where they do not come, or no longer."""
    with flowing() as (place, state, source), away_from_lanes(), Swapper(place) as swapper:
        programs = [swapper.load(file) for file in POLICY_FILES]
        histogram = programs[0].memory("gaps", "gaps")[0]["histogram"]
        before = histogram.copy()
        time.sleep(alone_s)
        alone = histogram - before
        figures = take_turns(swapper, programs, count, random.Random(seed), time.sleep)
        source.stop()
        if len(figures) < count:
            raise RunError("bench", f"packets came no longer after {len(figures)} of {count} swaps")
        packets, placed = source.packets, int(state["placed"])
    replace, effect, gap = np.array(figures).T
    return Steady(
        replace_us=replace,
        effect_us=effect,
        gap_us=gap,
        other_gaps_us=random_moments(alone),
        packets=packets,
        placed=placed,
        seconds=source.seconds,
        waited_s=source.waited_s,
    )


@contextmanager
def flowing() -> Iterator[tuple[Place, Any, Source]]:
    """Where the receiver's program is, its session's struct receiver_state, and the source of its packets, which come.
    All is gone when the block is left.
    """
    with ExitStack() as stack:
        path = stack.enter_context(veth.veth(lanes=1, mtu=1500, addressed=False))
        for end in (path.sender, path.receiver):
            _hush(end)
        with inside(path.receiver.namespace):
            there = interface(path.receiver.interface)
            settings = Settings(window=NEAR_WINDOW, watch_gaps=True)
            receiver = XdpReceiver(there, (ETHERNET,), Numbers(), 0, settings)
        stack.callback(receiver.close)
        assert receiver.program is not None
        running = stack.enter_context(Program(os.dup(receiver.program)))
        source, session = _opened(path, there, receiver, running, settings)
        stack.callback(source.close)
        source.start()
        place = place_called(path.receiver.place, "receiver")
        yield place, states(running)[session & 0xFFFF], source


def _hush(end: veth.End) -> None:
    """No packet of the kernel's own, which may leave on another CPU: the interface is polled there from then on, for as
    long as packets come, and that CPU does not keep up with the source.
    """
    with inside(end.namespace), suppress(FileNotFoundError):  # there is no IPv6
        Path(f"/proc/sys/net/ipv6/conf/{end.interface}/disable_ipv6").write_text("1")


def _opened(
    path: veth.Path, there: Interface, receiver: XdpReceiver, running: Program, settings: Settings
) -> tuple[Source, int]:
    """A session and its source."""
    payload_bytes = ETHERNET.largest_payload_bytes(path.mtu)
    ends = Ends(destination_mac=there.mac, source_mac=bytes.fromhex(path.sender.mac.replace(":", "")))
    unasked: Any = SimpleNamespace(level=ETHERNET)  # the port that a HELLO would have come to
    origin = Origin(port=unasked, peer=None, reply_to=unasked, ends=ends, by_socket=False)
    terms = Terms(
        payload_size=payload_bytes,
        ack_every=settings.ack_every,
        window=NEAR_WINDOW,
        block_bytes=1,
        delivery="direct",
    )
    session, _ = receiver.open(terms, origin, 0, RTT_US)
    shared = running.map("receivers")
    assert shared is not None
    return Source(path, ends, session, payload_bytes, shared.fd), session


def block(found: Steady) -> str:
    """Percentiles as lines of text."""
    lines = rows(WHAT, found)
    again = found.packets - found.placed
    lines.append(
        f"  {found.packets:,} packets, {found.packets / found.seconds / 1e6:.1f} million a second, {again} lost or sent"
        f" again; processes had the source's CPU for {found.waited_s * 1e3:,.0f} of {found.seconds * 1e3:,.0f} ms"
    )
    return "\n".join(lines)
