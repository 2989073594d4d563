# SPDX-License-Identifier: GPL-2.0-only
"""The emulator's ceiling: how many frames it passes on this machine before it drops some on its own, or is late.

The protocol has no part in it: one XDP program sends frames that are all alike, another counts and drops them.
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from towline.kernel.attach import attach
from towline.kernel.clang import compile_program
from towline.kernel.link import interface
from towline.kernel.live import LiveFrames
from towline.kernel.netns import inside
from towline.kernel.program import Object
from towline.lab.emulator.control import Emulator
from towline.lab.emulator.impairments import Impairment, Impairments
from towline.lab.environments import veth

CEILING_SHARE = 0.7  # of it a run may use: above, the emulator would be measured and not the protocol

SOURCE = Path(__file__).with_name("ceiling.bpf.c")
FIRST_GBPS, STEP, STEPS_MOST = 0.25, 2**0.5, 16
STEP_S = 0.15
NO_LIMIT_BPS = 1e12  # a rate that no queue forms at: 12 ns for a frame, and capturing it takes longer
TRIES = 4  # one that is late may have been disturbed
REACHED_SHARE = 0.9  # of what was to be offered: with less, the sender is at its own end
ARRIVED_SHARE = 0.999  # of what was offered: the rest is what rounding and the last frames in flight make
BATCH = 64
PAUSE_S = 1e-4


def measure(impairments: Impairments, *, mtu: int, frame_bytes: int) -> float:
    """Gbit/s of frames of `frame_bytes` that pass forward unharmed, under these impairments without loss and rate.

    The highest rate of a rising series at which none was dropped or, where frames are kept (delay, jitter, rate,
    duplicates, reordering), late. Where all happens in passing that is mostly what could be sent at all.
    Raises what `veth.veth` raises.
    """
    asked = dataclasses.replace(
        impairments, forward=_without_limits(impairments.forward), backward=_without_limits(impairments.backward)
    )
    highest_gbps = 0.0
    with veth.veth(mtu=mtu, impairments=asked) as path, _Blaster(path, frame_bytes) as blaster:
        assert path.emulator is not None
        wait_s = (asked.forward.delay_us + asked.forward.jitter_us) / 1e6 + 0.02
        for step in range(STEPS_MOST):
            offered_gbps = FIRST_GBPS * STEP**step
            for _ in range(TRIES):
                path.emulator.set(asked)
                found = blaster.blast(offered_gbps, wait_s)
                if unharmed := _unharmed(path.emulator, found):
                    break
            if not unharmed:
                break
            highest_gbps = found.gbps
            if found.gbps < REACHED_SHARE * offered_gbps:
                break
    return highest_gbps


def _without_limits(one: Impairment) -> Impairment:
    """Loss makes less work, and a rate is a ceiling of its own: but what waits for one is kept, so there is one."""
    rate_bps = None if one.rate_bps is None else NO_LIMIT_BPS
    return dataclasses.replace(one, loss=0.0, loss_burst=1.0, rate_bps=rate_bps, queue_bytes=None)


@dataclass(frozen=True, kw_only=True)
class _Blast:
    """One step: what was offered really, and how many frames were sent and came out."""

    gbps: float
    sent: int
    arrived: int


def _unharmed(emulator: Emulator, found: _Blast) -> bool:
    return emulator.void_reason() is None and found.arrived >= ARRIVED_SHARE * found.sent


class _Blaster:
    """Both ends of a path. A context manager."""

    def __init__(self, path: veth.Path, frame_bytes: int) -> None:
        self._path, self._frame_bytes = path, frame_bytes

    def __enter__(self) -> _Blaster:
        with ExitStack() as stack:
            self._object = stack.enter_context(Object(compile_program(SOURCE)))
            with inside(self._path.sender.namespace):
                self._out = interface(self._path.sender.interface).index
            self._object.set_constants(out=self._out, frame_bytes=self._frame_bytes)
            self._object.load()
            with inside(self._path.receiver.namespace):
                index = interface(self._path.receiver.interface).index
                stack.enter_context(attach(self._object.program("swallow"), index, "native"))
                # Parked: live frames of a program that is attached nowhere wait for RCU in each call.
                stack.enter_context(attach(self._object.program("blast"), interface("lo").index, "generic"))
            self._sent, self._arrived = self._object.globals("blasted"), self._object.globals("swallowed")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def blast(self, gbps: float, wait_s: float) -> _Blast:
        """Send for STEP_S at a rate, and wait so long for what is under way."""
        self._sent[...] = self._arrived[...] = 0
        with inside(self._path.sender.namespace):
            taken_s = self._send(gbps * 1e9 / 8 / self._frame_bytes)
        time.sleep(wait_s)
        sent = int(self._sent)
        return _Blast(gbps=sent * self._frame_bytes * 8 / 1e9 / taken_s, sent=sent, arrived=int(self._arrived))

    def _send(self, frames_per_second: float) -> float:
        """Returns how many seconds it took."""
        frames = LiveFrames(self._object.program("blast"), self._out, b"", self._frame_bytes, batch=BATCH)
        begun = time.monotonic()
        while (passed_s := time.monotonic() - begun) < STEP_S:
            due = int(passed_s * frames_per_second) - int(self._sent)
            if due > 0:
                frames.run(min(due, BATCH))
            else:
                time.sleep(PAUSE_S)
        return passed_s
