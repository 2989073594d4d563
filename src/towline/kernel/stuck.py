# SPDX-License-Identifier: GPL-2.0-only
"""Locks that a program took and will never give back, because it has been replaced."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray

LOOKS, PAUSE_S = 20, 100e-6  # a packet holds a lock for a microsecond


def release_stuck(states: NDArray[Any]) -> None:
    """Clear `lock` in those structs where the same holder is seen at every look."""
    first = states["lock"].copy()
    stuck = first != 0
    for _ in range(LOOKS):
        if not stuck.any():
            return
        time.sleep(PAUSE_S)
        stuck &= states["lock"] == first
    states["lock"][stuck] = 0
