# SPDX-License-Identifier: GPL-2.0-only
"""What this process has used: for the record."""

from __future__ import annotations

import resource
import time


class Usage:
    """CPU seconds of this process since the object was made, and the most memory it has had."""

    def __init__(self) -> None:
        self._cpu_s = time.process_time()

    def record(self) -> dict[str, float]:
        """The fields of the record."""
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "process_cpu_seconds": time.process_time() - self._cpu_s,
            "peak_rss_mib": peak_kib / 1024,
        }
