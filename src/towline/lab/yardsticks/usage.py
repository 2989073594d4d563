# SPDX-License-Identifier: GPL-2.0-only
"""What a process at one end of a yardstick has used, and the clock that ends it.

As transfer.usage has it, which would load numpy: a copier in Python needs none, and its memory is shown.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType


class CappedError(Exception):
    """The time is over."""


def usage() -> dict[str, float]:
    """The fields `process_cpu_seconds` and `peak_rss_mib`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return {"process_cpu_seconds": time.process_time(), "peak_rss_mib": peak_kib / 1024}


def stop_after(seconds: float) -> None:
    """Raise CappedError in so many seconds, in the middle of whatever call; 0: never."""
    signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise CappedError
