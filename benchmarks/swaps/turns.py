# SPDX-License-Identifier: GPL-2.0-only
"""Programs that take turns at moments that chance decides."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from towline.bpf import policy_source
from towline.kernel.attached import Program
from towline.running.swap import Swapper

COUNT = 10_000
PAUSE_S = 0.002  # between swaps, on average
POLICY_FILES = [policy_source(name) for name in ("fixed", "timed", "adaptive")]


def take_turns(
    swapper: Swapper, programs: Sequence[Program], count: int, chance: random.Random, pause: Callable[[float], object]
) -> list[tuple[float, float, float]]:
    """Swap so many times; `pause` waits so many seconds. Returns replace_us, effect_us and gap_us of each swap: of
    fewer where one had no effect, since packets come no longer.
    """
    gaps = programs[0].memory("gaps", "gaps")[0]
    figures: list[tuple[float, float, float]] = []
    for _ in range(count):
        before = swapper.running_version
        new = chance.choice([one for one in programs if swapper.version_of(one) != before])
        swapped = swapper.put(new)
        if swapped.effect_s is None:
            break
        figures.append((swapped.replace_s * 1e6, swapped.effect_s * 1e6, float(gaps["around_ns"]) / 1e3))
        pause(chance.expovariate(1 / PAUSE_S))
    return figures


@contextmanager
def away_from_lanes() -> Iterator[None]:
    """On the last of our CPUs; a lane is on the first, and packets are not taken while somebody else is there."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)
