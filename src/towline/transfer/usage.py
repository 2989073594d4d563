# SPDX-License-Identifier: GPL-2.0-only
"""What this process has used: for the record."""

from __future__ import annotations

import time
from pathlib import Path


class Usage:
    """CPU seconds of this process since the object was made, and the most memory it has had."""

    def __init__(self) -> None:
        self._cpu_s = time.process_time()

    def record(self) -> dict[str, float]:
        """The fields of the record."""
        return {
            "process_cpu_seconds": time.process_time() - self._cpu_s,
            "peak_rss_mib": _peak_rss_kib() / 1024,
        }


def _peak_rss_kib() -> int:
    """The most memory since exec; getrusage's ru_maxrss would have the parent's before it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
