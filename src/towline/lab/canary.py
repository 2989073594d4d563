# SPDX-License-Identifier: GPL-2.0-only
"""The canary: the same small work before and after a run; if it takes another time, the machine is another one."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter, sleep
from types import TracebackType
from typing import Self

import numpy as np

import towline.lab
from towline.kernel.clang import compile_program
from towline.kernel.live import run_classifier
from towline.kernel.program import Object

SOURCE = Path(towline.lab.__path__[0]) / "canary.bpf.c"
# More than a core has of its own, and less than the cache that cores share. A copy through the memory behind it (32
# MiB, the best of 20) differed by more than 10 % in one of four pairs a second apart while nothing ran: on a virtual
# machine the neighbours have their share of that. This one did in one of a hundred.
COPY_BYTES = 8 << 20
COPIES = 128
RUNS = 500_000
CPUS_MOST = 4  # a run keeps at least two busy, and a machine with many of them has room for others
READINGS_MOST = 5
PAUSE_S = 0.1
STEADY = 0.10  # the most that two readings of a machine that has not changed differ
_PACKET = bytes(64)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`memory_us`: a copy of COPY_BYTES, the best of many. `program_ns`: a run of a program that does nothing, the mean
    of all CPUs at once.

    The best of many does not see who shares a CPU: that takes turns of some milliseconds. The mean does.
    """

    memory_us: float
    program_ns: float

    def moved(self, earlier: Reading) -> float:
        """The larger of the relative changes since an earlier reading: 0.03 is 3 %, more or less."""
        changes = (now / then - 1 for now, then in zip(astuple(self), astuple(earlier), strict=True))
        return float(max(map(abs, changes)))


class Canary:
    """Its program is loaded, and its memory written, once: at the beginning of the block that it is used in.

    Raises PermissionsError, CompileError and what else the kernel room raises.
    """

    def __enter__(self) -> Self:
        self._object = Object(compile_program(SOURCE))
        try:
            self._object.load()
            self._program = self._object.program("canary")
            self._source = np.ones(COPY_BYTES // 8, np.uint64)
            self._target = np.zeros_like(self._source)
            self._threads = ThreadPoolExecutor(CPUS_MOST, thread_name_prefix="towline-canary")
        except BaseException:
            self._object.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown()
        self._object.close()

    def measure(self) -> Reading:
        """One reading: about 40 ms."""
        program_ns = self._program_ns()  # first: a CPU that has slept is slow for some milliseconds
        return Reading(memory_us=self._memory_us(), program_ns=program_ns)

    def settled(self) -> Reading:
        """A reading that the one before it agrees with; the last of READINGS_MOST where none does."""
        found = self.measure()
        for _ in range(READINGS_MOST - 1):
            earlier, found = found, self.measure()
            if found.moved(earlier) <= STEADY:
                break
        return found

    def since(self, before: Reading) -> Reading:
        """A reading to compare with an earlier one. Where it differs more are made, with pauses, until one does not:
        what passes within half a second is no other machine. Returns the one that differs least.
        """
        found = [self.measure()]
        while len(found) < READINGS_MOST and found[-1].moved(before) > STEADY:
            sleep(PAUSE_S)
            found.append(self.measure())
        return min(found, key=lambda one: one.moved(before))

    def _memory_us(self) -> float:
        shortest_s = float("inf")
        for _ in range(COPIES):
            begun = perf_counter()
            np.copyto(self._target, self._source)
            shortest_s = min(shortest_s, perf_counter() - begun)
        return shortest_s * 1e6

    def _program_ns(self) -> float:
        cpus = sorted(os.sched_getaffinity(0))[:CPUS_MOST]
        together = threading.Barrier(len(cpus))
        asked = [self._threads.submit(self._runs_ns, cpu, together) for cpu in cpus]
        return fmean(one.result() for one in asked)

    def _runs_ns(self, cpu: int, together: threading.Barrier) -> float:
        os.sched_setaffinity(0, {cpu})  # of this thread: two of ours would share a CPU for a while
        together.wait()
        begun = perf_counter()
        run_classifier(self._program, _PACKET, repeat=RUNS)
        return (perf_counter() - begun) * 1e9 / RUNS
