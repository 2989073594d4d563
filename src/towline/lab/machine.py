# SPDX-License-Identifier: GPL-2.0-only
"""What machine this is, and how busy it was: its processors' time from /proc/stat."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BASELINE_SECONDS = 0.25  # 25 ticks a CPU: the error is a few per cent of one CPU
SHORTEST_SECONDS = 10 / TICKS_PER_SECOND
STOLEN_SHARE = 0.02  # of the CPUs' time; with more, the host was measured and not us


@dataclass(frozen=True, kw_only=True)
class CpuTime:
    """Time of all CPUs together since boot, in seconds; `wall_s` is a clock to measure intervals by."""

    busy_s: float
    stolen_s: float
    wall_s: float

    def __sub__(self, earlier: CpuTime) -> CpuTime:
        return CpuTime(
            busy_s=self.busy_s - earlier.busy_s,
            stolen_s=self.stolen_s - earlier.stolen_s,
            wall_s=self.wall_s - earlier.wall_s,
        )


def cpu_time() -> CpuTime:
    """What the CPUs have done so far."""
    with Path("/proc/stat").open() as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return CpuTime(
        busy_s=(user + nice + system + irq + softirq) / TICKS_PER_SECOND,
        stolen_s=steal / TICKS_PER_SECOND,
        wall_s=time.monotonic(),
    )


def baseline() -> float:
    """CPUs that are busy while we do nothing: busy seconds per second."""
    before = cpu_time()
    time.sleep(BASELINE_SECONDS)
    spent = cpu_time() - before
    return spent.busy_s / spent.wall_s


def costs(begin: CpuTime, end: CpuTime, load: float) -> dict[str, Any]:
    """What a run cost: the fields `load stolen cpu_seconds void void_reason` of a record.

    `load` is the baseline. CPU time that could not be measured is None.
    """
    spent = end - begin
    stolen = spent.stolen_s / (spent.wall_s * (os.cpu_count() or 1)) if spent.wall_s > 0 else 0.0
    void = stolen > STOLEN_SHARE
    ours_s = spent.busy_s - load * spent.wall_s
    # Too short for the kernel's ticks; or less than nothing, because the rest of the machine became quieter.
    measured = spent.wall_s >= SHORTEST_SECONDS and ours_s > 0
    return {
        "load": load,
        "stolen": stolen,
        "cpu_seconds": ours_s if measured else None,
        "void": void,
        "void_reason": f"the host took {stolen:.0%} of the CPUs' time" if void else None,
    }


def describe() -> dict[str, str | None]:
    """The fields `kernel` and `cpu` of a record."""
    return {"kernel": platform.release(), "cpu": _cpu_model()}


def _cpu_model() -> str | None:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return platform.machine() or None
