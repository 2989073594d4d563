# SPDX-License-Identifier: GPL-2.0-only
"""The emulator's process, in the namespace in the middle: it lets frames out when they are due, and obeys its input.

python -m towline.lab.emulator.impair --left IF --right IF --impairments JSON [--capture FILE] [--clang-flags FLAGS]

It prints a line of JSON when it is ready ({"ready": true, "priority": null}), one for each line that it reads
({"set": IMPAIRMENTS} | {"report": true} | {"blackhole": SECONDS, "direction": "forward"}, without direction: both),
and its report when its input ends or SIGTERM comes.
"""

from __future__ import annotations

import argparse
import gc
import os
import secrets
import select
import shlex
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic_ns
from typing import Any

import msgspec
import numpy as np

from towline.errors import SettingsError, TowlineError
from towline.kernel import figures
from towline.kernel.attach import attach
from towline.kernel.clang import compile_program
from towline.kernel.memory import Ring
from towline.kernel.program import Object
from towline.lab.emulator.impairments import DIRECTIONS, Impairments, Report, decode
from towline.lab.emulator.line import Line
from towline.lab.emulator.pcap import Capture

SOURCE = Path(__file__).with_name("impair.bpf.c")
PRIORITY = 10
# Frames that are due within a quantum leave together: two per cent of the delay, and never more often than costs let.
_QUANTUM_SHARE = 0.02
_QUANTUM_NS = (200_000, 500_000)
_FOREVER_NS = 2**63
_LEAD_MOST_NS = 150_000  # waking and coming to the point takes time: it is learned, and so much earlier we wake
_LEAD_WEIGHT = 1 / 16


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the input."""

    set: Impairments | None = None
    report: bool = False
    blackhole: float | None = None
    direction: str | None = None


class Emulator:
    """Both lines on two interfaces of this namespace."""

    def __init__(self, left: str, right: str, *, capture: Path | None, clang_flags: list[str]) -> None:
        self._stack = ExitStack()
        self._program = self._stack.enter_context(Object(compile_program(SOURCE, flags=clang_flags)))
        secret = secrets.randbits(64)
        self._program.set_constants(live_secret=secret)
        self._program.load()
        self._capture = Capture(capture) if capture else None
        indices = {name: socket.if_nametoindex(name) for name in (left, right)}
        self.lines = [
            Line(
                self._program,
                number=number,
                inward=inward,
                outward=outward,
                indices=(indices[inward], indices[outward]),
                mark=struct.pack("=Q", secret),
            )
            for number, (inward, outward) in enumerate(((left, right), (right, left)))
        ]
        for name, which in zip((left, right), DIRECTIONS, strict=True):
            self._stack.enter_context(attach(self._program.program(which), indices[name], "native"))
        self._wake_before = self._program.globals("wake_before")
        self._wakes = Ring(self._program.map("wakes"), np.dtype([("due", "u8")]))
        self.wake_fd = self._program.map("wakes").fd
        self._fence = threading.Lock()
        self._quantum_ns = _QUANTUM_NS[0]
        self._lead_ns = 0.0
        self._punctual = False  # this turn begins when a frame is due, and not when a quantum is over

    def close(self) -> None:
        """Detach, and write what is left of the capture."""
        self._stack.close()
        if self._capture:
            self._capture.close()

    def set(self, asked: Impairments) -> None:
        """New impairments; frames in flight are gone, counts begin at 0, and so do the random numbers."""
        for line in self.lines:
            line.stop()
        time.sleep(0.001)
        for number, (line, direction) in enumerate(zip(self.lines, DIRECTIONS, strict=True)):
            line.start(
                asked.of(direction),
                queue_bytes=asked.queue_bytes(direction),
                # any other constant would do: the directions must not meet the same fate
                seed=asked.seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03,
                capture=self._capture is not None,
            )
        delay_ns = min(asked.forward.delay_us, asked.backward.delay_us) * 1000
        self._quantum_ns = int(min(max(delay_ns * _QUANTUM_SHARE, _QUANTUM_NS[0]), _QUANTUM_NS[1]))

    def report(self, priority: str | None) -> Report:
        """What happened since the last `set`."""
        forward, backward = (line.counted() for line in self.lines)
        programs = [self._program.program(direction) for direction in DIRECTIONS]
        program = figures.fields(programs, "emulator")
        return Report(forward=forward, backward=backward, priority=priority, program=program)

    def turn(self) -> int:
        """Let out what is due; returns when the next turn is (ns), and is woken for what comes before."""
        started = monotonic_ns()
        self._wake_before[...] = 0
        self._wakes.release(len(self._wakes.batch(512)[0]))
        released = False
        for line in self.lines:
            line.take()
            # The quantum's middle counts: half of the frames leave a little too early, half a little too late.
            if (punctual := line.release(started + self._quantum_ns // 2, self._capture)) is not None:
                released = True
                self._learn(punctual)
        now = monotonic_ns()
        # After a release wait a quantum for more to come due, and as long as this took: others want the CPU.
        earliest = max(started + self._quantum_ns, now + min(now - started, self._quantum_ns)) if released else 0
        until = self._publish(earliest)
        if sum(line.take() for line in self.lines):  # they came before XDP could see that we sleep
            until = self._publish(earliest)
        return until

    def _learn(self, first_late_ns: int) -> None:
        if self._punctual:
            lead_ns = self._lead_ns + first_late_ns * _LEAD_WEIGHT
            self._lead_ns = min(max(lead_ns, 0.0), _LEAD_MOST_NS)
            self._punctual = False

    def _publish(self, earliest_ns: int) -> int:
        """Choose when the next turn is, and say so to XDP."""
        due = min((due for line in self.lines if (due := line.next_due()) is not None), default=_FOREVER_NS)
        in_time = due - int(self._lead_ns)
        self._punctual = in_time >= earliest_ns
        until = max(in_time, earliest_ns)
        self._wake_before[...] = max(until - self._quantum_ns // 2, 0)
        with self._fence:  # on x86 a store may pass a later load, but not a locked instruction
            pass
        return until


def real_time() -> str | None:
    """Take real-time priority; returns why that was refused."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        return f"no real-time priority: {error.strerror}"
    return None


def obey(emulator: Emulator, line: bytes, priority: str | None) -> dict[str, Any]:
    """Carry out one line of the input; returns the answer."""
    try:
        command = msgspec.json.decode(line, type=Command)
        if command.direction not in (None, *DIRECTIONS):
            raise SettingsError(f"there is no direction {command.direction!r}")
    except (msgspec.DecodeError, SettingsError) as error:
        return {"error": str(error)}
    if command.set is not None:
        emulator.set(command.set)
    if command.blackhole is not None:
        for one, direction in zip(emulator.lines, DIRECTIONS, strict=True):
            if command.direction in (None, direction):
                one.blackhole(command.blackhole)
    return {"report": emulator.report(priority)} if command.report else {"done": True}


def _say(what: Any) -> None:
    with suppress(BrokenPipeError):  # nobody wants to know
        os.write(1, msgspec.json.encode(what) + b"\n")


def run(emulator: Emulator, priority: str | None) -> None:
    """Turn after turn, until the input ends or SIGTERM comes."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # select sees it, between two turns
    rest = b""
    while True:
        until = emulator.turn()
        wait_s = min(max(until - monotonic_ns(), 0) / 1e9, 3600.0)
        readable, _, _ = select.select([0, reading, emulator.wake_fd], [], [], wait_s)
        if reading in readable:
            return
        if 0 in readable:
            if not (data := os.read(0, 1 << 16)):
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _say(obey(emulator, line, priority))


def main(arguments: list[str] | None = None) -> int:
    """The process; returns its exit code."""
    parser = argparse.ArgumentParser(prog="towline.lab.emulator.impair", allow_abbrev=False)
    parser.add_argument("--left", required=True)
    parser.add_argument("--right", required=True)
    parser.add_argument("--impairments", default="{}")
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--clang-flags", default="")
    asked = parser.parse_args(arguments)
    try:
        emulator = Emulator(asked.left, asked.right, capture=asked.capture, clang_flags=shlex.split(asked.clang_flags))
        try:
            emulator.set(decode(asked.impairments))
            gc.disable()  # nothing here makes cycles, and a collection would be late for frames
            priority = real_time()
            _say({"ready": True, "priority": priority})
            run(emulator, priority)
            _say({"report": emulator.report(priority)})
        finally:
            emulator.close()
    except (TowlineError, OSError) as error:
        sys.stderr.write(f"towline: {error}\n")
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
